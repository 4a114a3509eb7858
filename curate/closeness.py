"""How close utterances sound to each other and to labels, to be asked one thing at a time, by somebody who looks.

Shapes: N utterances with a vector, S labels that have one of them, D dimensions of the embedding. All vectors are held
in memory: 4 N D bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.blocks import matrix
from curate.catalog import Catalog, rows_of
from curate.decisions import dropped, new_labels, settled
from curate.errors import CatalogError
from curate.nearest import MIN_LENGTH
from curate.reasons import Subject
from curate.schema import DECISIONS, EMBEDDINGS, UTTERANCES
from curate.similarity import Indices, Vectors, speaker_sums, unit


class Closeness:
    """The vectors of one extractor, and where labels point.

    A label is where the vectors are that verdicts leave under it, those of reviewers before those of rules, as
    `identities` compares them; where they leave none, all that it came with. Nothing is read until something is asked,
    and then once: who wants what a later run published opens another.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def matrix(self, utterance_ids: Sequence[str]) -> Vectors:
        """(n, n): the cosine of each two of n utterances, in their order; nan where one of them has no vector.

        Raises CatalogError where there is no catalog, or more than one extractor.
        """
        row = np.array([self._heard.row_of.get(one, -1) for one in utterance_ids], np.int64)
        there = np.flatnonzero(row >= 0)
        found: Vectors = np.full((len(row), len(row)), np.nan, np.float32)
        vectors = self._heard.unit[row[there]]
        found[np.ix_(there, there)] = np.clip(vectors @ vectors.T, -1, 1)  # rounding can pass one
        return found

    def nearest_speakers(self, subject: Subject, subject_id: str, k: int = 5) -> list[tuple[str, float]]:
        """The `k` labels that are nearest, nearest first, and how near; of equally near ones the first in order of ids.

        Of a speaker it is the mean cosine of all their utterances, as in `speaker_pairs`; of an utterance the cosine to
        where the label points, as in `utterance_scores`. Its own label (that it came under) is left out. Empty for one
        that has no vector. Raises as `matrix` does, and ValueError for a pair.
        """
        if subject == Subject.PAIR:
            raise ValueError(f"{subject_id!r}: of a pair; expected a speaker or an utterance")
        heard = self._heard
        row = heard.row_of.get(subject_id, -1)
        own = int(heard.label[row]) if row >= 0 else -1
        if subject == Subject.SPEAKER:
            own = heard.place_of.get(subject_id, -1)
        if own < 0:
            return []
        if subject == Subject.SPEAKER:
            cosine = heard.mean @ heard.mean[own]
        else:
            cosine = heard.mean @ heard.unit[row] / heard.length
        cosine[own] = np.nan
        order = np.argsort(-cosine, kind="stable")[:k]  # nan comes last
        return [(heard.speaker_ids[place], float(cosine[place])) for place in order if not np.isnan(cosine[place])]

    @cached_property
    def _heard(self) -> "_Heard":
        return _heard(self.catalog)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Heard:
    """All that is held."""

    unit: Vectors  # (N, D)
    row_of: dict[str, int]  # by utterance_id
    label: Indices  # (N,) the place of the label that each came under
    speaker_ids: list[str]  # (S,) in order
    place_of: dict[str, int]  # by speaker_id
    mean: Vectors  # (S, D) of vectors at length one
    length: Vectors  # (S,) of the means; nan where one points nowhere


def _heard(catalog: Catalog) -> _Heard:
    utterances = catalog.read(UTTERANCES, columns=["utterance_id", "speaker_id"])
    parts = catalog.parts(EMBEDDINGS)
    if len(parts) > 1:
        raise CatalogError(f"{catalog.root}: embeddings of {' and '.join(parts)}; expected those of one extractor")
    rows = catalog.read(EMBEDDINGS) if parts else rows_of(EMBEDDINGS, [])
    is_known = pc.is_in(rows["utterance_id"], value_set=utterances["utterance_id"].combine_chunks())
    if not pc.all(is_known).as_py():  # while a run publishes, tables are of before and after it
        rows = rows.filter(is_known)
    came = _looked_up(rows["utterance_id"], utterances["utterance_id"], utterances["speaker_id"])
    ids, unit_ND = rows["utterance_id"], unit(matrix(rows["vector"]))
    decisions = settled(catalog.read(DECISIONS) if catalog.parts(DECISIONS) else rows_of(DECISIONS, []))
    moved = new_labels(decisions)
    goes = pc.coalesce(_looked_up(ids, moved["utterance_id"], moved["speaker_id"]), came)
    speakers = pc.unique(pa.chunked_array([*came.chunks, *goes.chunks], pa.string())).sort()
    label, left = (pc.index_in(names, value_set=speakers).to_numpy().astype(np.int64) for names in (came, goes))
    is_kept = ~pc.is_in(ids, value_set=dropped(decisions, Subject.UTTERANCE)).to_numpy()
    count, total = speaker_sums(unit_ND, left, len(speakers), is_kept)
    all_of, all_total = speaker_sums(unit_ND, label, len(speakers), (count == 0)[label])
    mean_SD = ((total + all_total) / np.maximum(count + all_of, 1)[:, None]).astype(np.float32)
    length = np.linalg.norm(mean_SD, axis=1)
    speaker_ids = speakers.to_pylist()
    return _Heard(
        unit=unit_ND,
        row_of={one: row for row, one in enumerate(ids.to_pylist())},
        label=label,
        speaker_ids=speaker_ids,
        place_of={one: place for place, one in enumerate(speaker_ids)},
        mean=mean_SD,
        length=np.where(length > MIN_LENGTH, length, np.nan),
    )


def _looked_up(asked: pa.ChunkedArray, keys: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The value of each key that is asked for; null for an unknown one."""
    return values.take(pc.index_in(asked, value_set=keys))
