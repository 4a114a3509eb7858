"""Score lists of trials from Parquet to Parquet, in chunks: what is held beside the vectors is a chunk of trials.

A score is the product of a row of the enrolment side and one of the test side, plus a term of each: a cosine is that of
unit vectors, and PLDA's log-likelihood ratio takes the same form (`benchmarks.backends`). The sides may then be
normalised by what they score against a cohort, and the scores calibrated. Products are in float32, and wrong by 1e-7
of a cosine.

Shapes: N utterances, M enrolment models, D dimensions, T trials.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.calibration import Calibration
from curate import whole
from curate.similarity import Scores, Vectors, mean_vectors, unit
from curate.storage import seekable

Places = NDArray[np.int32]
TRIALS_AT_ONCE = 1 << 20  # read, scored and written together: 16 MB
SIDES = ("enrol_id", "test_id")
SCORED = pa.schema(
    [
        pa.field("enrol_id", pa.string(), nullable=False),
        pa.field("test_id", pa.string(), nullable=False),
        pa.field("is_target", pa.bool_(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The scores of each row against the most alike of a cohort: mean and standard deviation (N,)."""

    mean: Scores
    deviation: Scores


@dataclass(frozen=True, kw_only=True)
class Side:
    """What trials compare on one side: utterances or models as `ids` (N,), their `rows` (N, D), and a term of each."""

    ids: pa.Array
    rows: Vectors
    terms: Scores | None = None  # (N,); none of a cosine
    spread: Spread | None = None  # where scores are normalised


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Gives trials their scores."""

    enrol: Side
    test: Side
    calibration: Calibration | None = None

    def scores(self, enrol: Places, test: Places) -> Vectors:
        """(T,) of trials by the places of both sides, in float32.

        Normalised scores are the mean of both sides' standard scores: adaptive symmetric normalisation (AS-norm;
        Matějka et al., Analysis of score normalization in multilingual speaker recognition, Interspeech 2017, eq. 7).
        """
        from benchmarks.scoring_kernels import products  # numba takes a third of a second to import

        found: Vectors = np.empty(len(enrol), np.float32)
        products(self.enrol.rows, self.test.rows, enrol, test, found)
        for side, places in ((self.enrol, enrol), (self.test, test)):
            if side.terms is not None:
                found += side.terms[places]
        if self.enrol.spread is not None and self.test.spread is not None:
            of_enrol, of_test = self.enrol.spread, self.test.spread
            standard = (found - of_enrol.mean[enrol]) / of_enrol.deviation[enrol]
            standard += (found - of_test.mean[test]) / of_test.deviation[test]
            found = (standard / 2).astype(np.float32)
        return found if self.calibration is None else self.calibration.applied(found).astype(np.float32)


class Finder:
    """Finds the places of ids among those of a side. Chunks of one Parquet file mostly share their dictionary."""

    def __init__(self, side: Side) -> None:
        self._ids = side.ids
        self._last: pa.Array | None = None
        self._places: Places = np.empty(0, np.int32)

    def places(self, column: pa.Array | pa.ChunkedArray) -> Places:
        """(T,) of a column of ids, dictionaries or not. Raises ValueError naming an id that is not of the side."""
        coded = whole_array(column)
        if not pa.types.is_dictionary(coded.type):
            coded = coded.dictionary_encode()
        if self._last is None or not coded.dictionary.equals(self._last):
            found = pc.index_in(coded.dictionary, value_set=self._ids)
            self._last, self._places = coded.dictionary, found.fill_null(-1).to_numpy().astype(np.int32)
        places: Places = self._places[coded.indices.to_numpy()]
        if len(places) and places.min() < 0:
            absent = np.unique(coded.indices.to_numpy()[places < 0])
            raise ValueError(
                f"{coded.dictionary[int(absent[0])]}: {len(absent)} utterances or models of the trials have no vector; "
                "expected one for each"
            )
        return places


def cosine_scores(trials: pa.Table, utterance_ids: pa.Array | pa.ChunkedArray, vectors: Vectors) -> NDArray[np.float64]:
    """(T,) cosines of the trials; row i of `vectors` is the unit vector of `utterance_ids[i]`.

    Raises ValueError naming an utterance that has no vector.
    """
    side = Side(ids=whole_array(utterance_ids), rows=vectors)
    scorer, finder = Scorer(enrol=side, test=side), Finder(side)
    return scorer.scores(*(finder.places(trials[column]) for column in SIDES)).astype(np.float64)


def averaged(models: pa.Table, utterance_ids: pa.Array | pa.ChunkedArray, vectors: Vectors) -> tuple[pa.Array, Vectors]:
    """The enrolment models (M,) of rows of `MODELS`, and the directions (M, D) of the means of their unit vectors.

    Raises ValueError naming a model of which an utterance has no vector.
    """
    place = pc.index_in(models["utterance_id"], value_set=whole_array(utterance_ids))
    if place.null_count:
        model, utterance = (models.filter(pc.is_null(place))[name][0] for name in ("model_id", "utterance_id"))
        raise ValueError(f"model {model}: its utterance {utterance} has no vector; expected one for each")
    coded = models["model_id"].combine_chunks().dictionary_encode()
    code = coded.indices.to_numpy().astype(np.int64)
    return coded.dictionary, unit(mean_vectors(vectors[place.to_numpy()], code, len(coded.dictionary)))


def whole_array(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Of one piece."""
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids


def trials_of(path: Path, name: str, *, at_once: int = TRIALS_AT_ONCE) -> Iterator[pa.RecordBatch]:
    """The trials of one list of a file of `TRIALS`, so many at a time, their ids as dictionaries."""
    columns = [*SIDES, "is_target"]
    with seekable(path) as source, pq.ParquetFile(source, read_dictionary=list(SIDES)) as file:
        for batch in file.iter_batches(batch_size=at_once, columns=["list", *columns]):
            is_asked = pc.equal(batch["list"], name)
            yield batch.select(columns) if pc.all(is_asked).as_py() else batch.select(columns).filter(is_asked)


def scored(trials: Iterable[pa.RecordBatch], scorer: Scorer) -> Iterator[pa.RecordBatch]:
    """The same trials with their `score`. Raises ValueError naming an id that has no vector."""
    enrol, test = Finder(scorer.enrol), Finder(scorer.test)
    for batch in trials:
        scores = scorer.scores(enrol.places(batch["enrol_id"]), test.places(batch["test_id"]))
        yield batch.append_column(pa.field("score", pa.float32(), nullable=False), pa.array(scores))


def write_scores(path: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write scored trials as Parquet, whole or not at all, as they come; say how many they were."""
    num_trials = 0
    schema = pa.schema([field.with_type(_as_dictionary(field.type)) for field in SCORED])
    with (
        whole.written(path) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression={"enrol_id": "zstd", "test_id": "zstd", "is_target": "zstd", "score": "none"},
            use_dictionary=list(SIDES),  # scores seldom repeat
            store_schema=False,  # or ids would be read back as dictionaries
            write_statistics=False,
        ) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch.cast(schema))
            num_trials += len(batch)
    return num_trials


def score_list(source: Path, name: str, out: Path, scorer: Scorer, *, at_once: int = TRIALS_AT_ONCE) -> int:
    """Score one list of a file of `TRIALS` into a file of `SCORED`; say how many trials it has."""
    return write_scores(out, scored(trials_of(source, name, at_once=at_once), scorer))


def _as_dictionary(kind: pa.DataType) -> pa.DataType:
    return pa.dictionary(pa.int32(), kind) if pa.types.is_string(kind) else kind
