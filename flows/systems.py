"""Systems that score trials: whose vectors, through which back end, normalised and calibrated by what."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import calibration
from benchmarks.backends import BackEnd, fitted, spread
from benchmarks.metrics import Bools
from benchmarks.scoring import SIDES, Scorer, Side, averaged, scored, trials_of
from curate.blocks import keep_rows, matrix
from curate.catalog import Catalog, read_batches, read_parquet
from curate.codes import in_one, numbered
from curate.errors import CatalogError, ScoringError
from curate.explain import counted
from curate.schema import EMBEDDINGS, MODELS, SPLITS, TRIALS, UTTERANCES
from curate.similarity import Vectors, mean_vectors, unit

log = logging.getLogger("voxcurate")  # the command line shows it

MAX_PLDA = 200_000  # the longest utterances of the training split, from which PLDA is learnt (Chen et al. 2021, 4.1.4)
BackEndName = Literal["cosine", "lda", "plda", "lda-plda"]
Beginnings = Callable[[pa.Array, float], Vectors]  # of the first seconds of utterances, by their ids


@dataclass(frozen=True, kw_only=True)
class System:
    """How scores come about."""

    extractor: str
    backend: BackEndName = "cosine"
    center: bool = False
    dimensions: int = 100  # that LDA leaves
    train_split: str = "train"  # from which the mean, LDA and PLDA are learnt
    as_norm: int | None = None  # of how many scores against the cohort
    cohort: str = "train"  # the split
    cohort_of: Literal["people", "utterances"] = "people"  # the mean of each person, or each utterance by itself
    calibrate_on: str | None = None  # a list
    first_s: float | None = None  # that are heard: the cohort and the training split are heard whole
    first_of: Literal["both", "test"] = "both"  # of enrolment and test, as Vaessen et al. 2023, table 3; or of the test

    @property
    def is_learnt(self) -> bool:
        """Whether it needs a training split."""
        return self.center or self.backend != "cosine"

    @property
    def name(self) -> str:
        """What RESULTS calls it: no two systems are called the same, and all may stand in names of files."""
        of_test = "-of-test" if self.first_of == "test" else ""
        first = f"first-{self.first_s:.12g}s{of_test}" if self.first_s else ""
        told = [self.extractor, first, "centred" if self.center else ""]
        told += [f"lda{self.dimensions}" if "lda" in self.backend.split("-") else ""]
        told += ["plda" if self.backend.endswith("plda") else ""]
        told += [f"of-{self.train_split}" if self.is_learnt and self.train_split != "train" else ""]
        if self.as_norm:
            cohort = "" if self.cohort == "train" else f"-from-{self.cohort}"
            told += [f"asnorm{self.as_norm}{'' if self.cohort_of == 'people' else '-utterances'}{cohort}"]
        told += [f"calibrated-on-{self.calibrate_on}" if self.calibrate_on else ""]
        return "_".join(filter(None, told))


@dataclass(frozen=True, kw_only=True)
class Ids:
    """Who and what the lists ask about."""

    enrol: pa.Array  # utterances and models
    test: pa.Array
    models: pa.Table  # rows of MODELS, of those that are enrolled


def made(
    catalog: Catalog, benchmark: str, system: System, lists: Sequence[str], beginnings: Beginnings | None
) -> Scorer:
    """The system, ready to score the lists. Raises as `score_lists` does, and ValueError."""
    ids = ids_of(catalog, benchmark, lists)
    enrolled = pa.concat_arrays([_without(ids.enrol, ids.models["model_id"]), in_one(ids.models["utterance_id"])])
    back_end = learnt(catalog, benchmark, system, pa.concat_arrays([ids.enrol, ids.test]))

    def heard(asked: pa.Array, *, whole: bool) -> tuple[pa.Array, Vectors]:
        if whole or system.first_s is None:
            found, vectors = vectors_of(catalog, system.extractor, asked)
            return found, back_end.directions(vectors)
        if beginnings is None:
            raise ScoringError(
                f"first {system.first_s:g} s: nobody hears them; expected `--pipeline` beside `--first-s`"
            )
        return asked, back_end.directions(beginnings(asked, system.first_s))

    if system.first_s and system.first_of == "test":
        ids_heard, directions = heard(enrolled.unique(), whole=True)
        test_ids, test = heard(ids.test, whole=False)
    else:
        ids_heard, directions = test_ids, test = heard(pa.concat_arrays([enrolled, ids.test]).unique(), whole=False)
    names, means = averaged(ids.models, ids_heard, directions) if len(ids.models) else (None, None)
    enrol_ids, enrol = ids_heard, directions
    if names is not None:
        enrol_ids, enrol = pa.concat_arrays([names, ids_heard]), np.concatenate([means, directions])
    sides = [back_end.side(enrol_ids, enrol), back_end.side(test_ids, test)]
    if system.as_norm:
        cohort = cohort_of(catalog, benchmark, system, back_end, ids)
        sides = [replace(side, spread=spread(side, cohort, system.as_norm)) for side in sides]
    scorer = Scorer(enrol=sides[0], test=sides[1])
    return scorer if system.calibrate_on is None else calibrated(catalog, benchmark, system.calibrate_on, scorer)


def calibrated(catalog: Catalog, benchmark: str, name: str, scorer: Scorer) -> Scorer:
    """With scores made log-likelihood ratios by a list. Raises ScoringError where that cannot be learnt from it."""
    rows = pa.Table.from_batches(scored(trials_of(catalog.path(TRIALS, benchmark), name), scorer))
    try:
        learnt = calibration.fitted(rows["score"].to_numpy(), rows["is_target"].to_numpy())
    except ValueError as error:
        raise ScoringError(f"calibration on the list {name!r}: {error}") from error
    if learnt.slope <= 0:
        raise ScoringError(
            f"calibration on the list {name!r}: slope {learnt.slope:.3g} would turn all scores round; expected a list "
            "whose targets score higher"
        )
    return replace(scorer, calibration=learnt)


def ids_of(catalog: Catalog, benchmark: str, lists: Sequence[str]) -> Ids:
    """What the trials of the lists enrol and test."""
    found: dict[str, list[pa.Array]] = {side: [pa.array([], pa.string())] for side in SIDES}
    for name in lists:
        for batch in trials_of(catalog.path(TRIALS, benchmark), name):
            for side in SIDES:
                found[side].append(batch[side].unique().dictionary_decode())
    enrol, test = (pa.concat_arrays(found[side]).unique() for side in SIDES)
    models = catalog.read(MODELS, benchmark) if benchmark in catalog.parts(MODELS) else MODELS.arrow().empty_table()
    return Ids(enrol=enrol, test=test, models=models.filter(pc.is_in(models["model_id"], value_set=enrol)))


def learnt(catalog: Catalog, benchmark: str, system: System, of_trials: pa.Array) -> BackEnd:
    """The back end, from the training split."""
    if not system.is_learnt:
        return BackEnd()
    people, ids, vectors = split_of(catalog, benchmark, system.train_split, system.extractor)
    tell_shared(catalog, benchmark, of_trials, people, f"the back end is learnt from {system.train_split!r}")
    return fitted(
        vectors,
        numbered(pa.chunked_array([people]))[1],
        center=system.center,
        lda_dimensions=system.dimensions if system.backend.startswith("lda") else None,
        plda=system.backend.endswith("plda"),
        plda_of=longest(catalog, ids, MAX_PLDA),
    )


def cohort_of(catalog: Catalog, benchmark: str, system: System, back_end: BackEnd, ids: Ids) -> Side:
    """Whom scores are normalised by: nobody who is in the trials, for he would be alike."""
    people, known, vectors = split_of(catalog, benchmark, system.cohort, system.extractor)
    in_trials = pa.array(sorted(set(people_in(catalog, benchmark, _all(ids)).values())), pa.string())
    apart = pc.invert(pc.is_in(people, value_set=in_trials))
    people, known = people.filter(apart), known.filter(apart)
    if not len(known):
        raise ScoringError(f"cohort {system.cohort!r}: all its people are in the trials; expected another split")
    directions = back_end.directions(keep_rows(vectors, apart.to_numpy(zero_copy_only=False)), overwrite=True)
    if system.cohort_of == "people":
        coded = people.dictionary_encode()
        code = coded.indices.to_numpy().astype(np.int64)
        known, directions = coded.dictionary, unit(mean_vectors(directions, code, len(coded.dictionary)))
    return back_end.side(known, directions)


def split_of(catalog: Catalog, benchmark: str, split: str, extractor: str) -> tuple[pa.Array, pa.Array, Vectors]:
    """The people, ids and vectors of a split's utterances. Raises CatalogError where there is no such split."""
    splits = catalog.read(SPLITS, benchmark, columns=["utterance_id", "identity_id", "split"])
    rows = splits.filter(pc.equal(splits["split"], split))
    if not len(rows):
        known = sorted(splits["split"].unique().to_pylist())
        raise CatalogError(f"{benchmark}: no split {split!r}; expected {', '.join(known)}")
    ids, vectors = vectors_of(catalog, extractor, in_one(rows["utterance_id"]))
    place = pc.index_in(ids, value_set=in_one(rows["utterance_id"]))
    return in_one(rows["identity_id"]).take(place), ids, vectors


def vectors_of(catalog: Catalog, extractor: str, ids: pa.Array) -> tuple[pa.Array, Vectors]:
    """The utterances of `ids` in the order of the catalog, and their vectors (N, D): others are not held.

    Raises CatalogError naming one that has none.
    """
    path = catalog.path(EMBEDDINGS, extractor)
    known = in_one(read_parquet(path, ["utterance_id"])["utterance_id"])
    is_asked = pc.is_in(known, value_set=ids)
    found = known.filter(is_asked)
    if len(found) < len(ids):
        absent = ids.filter(pc.invert(pc.is_in(ids, value_set=known)))
        what = counted(len(absent), "utterance or model", "utterances or models")
        raise CatalogError(
            f"{absent[0]}: {what} of {catalog.root} without a vector of {extractor!r}; expected one for each"
        )
    vectors: Vectors | None = None
    read = taken = 0
    for batch in read_batches(path, ["vector"]):
        some = matrix(pa.chunked_array([batch["vector"].filter(is_asked.slice(read, len(batch)))]))
        if vectors is None:
            vectors = np.empty((len(found), batch["vector"].type.list_size), np.float32)
        vectors[taken : taken + len(some)] = some
        read, taken = read + len(batch), taken + len(some)
    return found, np.empty((0, 0), np.float32) if vectors is None else vectors


def longest(catalog: Catalog, ids: pa.Array, num: int) -> Bools | None:
    """Which utterances are the `num` longest; None where there are no more."""
    if len(ids) <= num:
        return None
    told = catalog.read(UTTERANCES, columns=["utterance_id", "duration_s"])
    place = pc.index_in(ids, value_set=in_one(told["utterance_id"]))
    duration_s = in_one(told["duration_s"]).take(place).fill_null(0.0).to_numpy()
    is_long = np.zeros(len(ids), dtype=bool)
    is_long[np.argsort(-duration_s, kind="stable")[:num]] = True
    return is_long


def people_in(catalog: Catalog, benchmark: str, ids: pa.Array) -> dict[str, str]:
    """Who is in each of these utterances of the benchmark's splits and in each of these models."""
    splits = catalog.read(SPLITS, benchmark, columns=["utterance_id", "identity_id"])
    has_models = benchmark in catalog.parts(MODELS)
    models = catalog.read(MODELS, benchmark) if has_models else MODELS.arrow().empty_table()
    models = models.filter(pc.is_in(models["model_id"], value_set=ids))
    asked = pa.concat_arrays([ids, in_one(models["utterance_id"])])
    splits = splits.filter(pc.is_in(splits["utterance_id"], value_set=asked))  # of millions few are in trials
    person = dict(zip(splits["utterance_id"].to_pylist(), splits["identity_id"].to_pylist(), strict=True))
    pairs = zip(models["model_id"].to_pylist(), models["utterance_id"].to_pylist(), strict=True)
    person |= {model: person[utterance] for model, utterance in pairs if utterance in person}
    return {one: person[one] for one in ids.to_pylist() if one in person}


def seen_in_calibration(catalog: Catalog, benchmark: str, name: str, system: System) -> str:
    """What must be said of costs on a list whose people, or whose very trials, its calibration has seen; or nothing."""
    if system.calibrate_on is None:
        return ""
    if system.calibrate_on == name:
        return "; calibrated on itself, which flatters costs at a threshold"
    people, others = (
        set(people_in(catalog, benchmark, _all(ids_of(catalog, benchmark, [one]))).values())
        for one in (name, system.calibrate_on)
    )
    shared = counted(len(people & others), "person", "people")
    return f"; {shared} of the list it is calibrated on are in it, too" if people & others else ""


def tell_shared(catalog: Catalog, benchmark: str, of_trials: pa.Array, people: pa.Array, what: str) -> None:
    """A line where the people of a split are in the trials as well: figures flatter then."""
    shared = set(people_in(catalog, benchmark, of_trials).values()) & set(people.unique().to_pylist())
    if shared:
        log.info(f"score: {what}, of whom {counted(len(shared), 'person', 'people')} are in the trials, too")


def _all(ids: Ids) -> pa.Array:
    return pa.concat_arrays([ids.enrol, ids.test])


def _without(ids: pa.Array, others: pa.ChunkedArray) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=in_one(others))))
