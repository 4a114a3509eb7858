"""Keep two sides of a benchmark apart: one loses the people of the other, by a list of names and by their voices.

Who is on both sides by identity is on one only when splits are drawn. What is done here is for those of whom nobody
knows it: a list that somebody else made, and people who sound alike. Whom a list names with anything of his, a label, a
session or a file, goes with all that he has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.protocol import KeptApart
from benchmarks.splits import Division
from curate.errors import CorpusError, PipelineError
from curate.exclusions import exclusions_in
from curate.similarity import Flags, Indices, Scores, Vectors, mean_vectors, unit

PEOPLE_AT_ONCE = 512  # rows of a block of cosines
MOST_TOLD = 10  # people who sound like somebody, by name


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Vectors (N, D) of the rows that are being divided; zero where a row has none."""

    unit_vectors: Vectors
    is_heard: Flags


def heard(utterance_ids: list[str], vectors: tuple[Iterable[str], Vectors]) -> Heard:
    """Bring vectors, of utterances in any order, to the rows that are being divided."""
    ids, given = vectors
    place = {utterance: at for at, utterance in enumerate(_strings(ids))}
    at = np.array([place.get(utterance, -1) for utterance in utterance_ids], np.int64)
    is_heard = at >= 0
    unit_vectors: Vectors = np.zeros((len(at), given.shape[1]), np.float32)
    unit_vectors[is_heard] = unit(given[at[is_heard]])
    return Heard(unit_vectors=unit_vectors, is_heard=is_heard)


def keep_apart(
    apart: KeptApart,
    division: Division,
    rows: pa.Table,
    *,
    voices: Heard | None,
    lists: Mapping[str, Iterable[str]],
    thresholds: Mapping[str, float],
) -> list[str]:
    """Take people out of `apart.split`; return remarks. `rows` are those of the division, with corpus and path.

    Raises PipelineError for a list that is not given or matches nothing, and where voices are asked for and not there.
    """
    if not division.of(apart.split).any():
        return [f"split {apart.split} is empty: nobody was kept apart from it"]
    named = None if apart.list is None else _named(apart, division, rows, lists)
    alike = None if apart.min_similarity is None else _alike(apart, division, rows, voices, thresholds)
    remarks: list[str] = []
    if named is not None:
        num = int(named.people.sum())
        division.lose(apart.split, named.people, f"nobody whom the list {apart.list} names ({num:,} people)")
        remarks += named.remarks
    if alike is not None:
        people = alike.people if named is None else alike.people & ~named.people
        sides, num = " or ".join(apart.other), int(people.sum())
        rule = f"nobody who sounds like somebody of {sides}: mean cosine of at least {alike.least} ({num:,} people)"
        division.lose(apart.split, people, rule)
        remarks += alike.remarks(division, apart.split, people)
        if named is not None:
            both = int((alike.people & named.people).sum())
            remarks.append(
                f"of {int(named.people.sum()):,} people whom the list {apart.list} names, {both:,} sound like somebody "
                f"of {sides}"
            )
    return remarks


@dataclass(frozen=True, kw_only=True)
class _Named:
    """Whom a list names, of the people of a division."""

    people: Flags
    remarks: list[str]


def _named(apart: KeptApart, division: Division, rows: pa.Table, lists: Mapping[str, Iterable[str]]) -> _Named:
    name = str(apart.list)
    if name not in lists:
        where = f" (to be had at {apart.list_url})" if apart.list_url else ""
        raise PipelineError(f"keep_apart: the list {name!r} is not given; expected `--list {name}=FILE`{where}")
    places = np.flatnonzero(division.of(apart.split))
    told = rows.take(pa.array(places)).select(["corpus", "utterance_id", "speaker_id", "session_id", "path"])
    is_named = np.zeros(len(places), bool)
    corpora = np.asarray(told["corpus"].to_pylist(), object)
    try:
        listed = exclusions_in(Path(name), sorted(lists[name]), {})
        for corpus in sorted(set(corpora)):
            own = np.flatnonzero(corpora == corpus)
            batch = told.take(pa.array(own)).combine_chunks().to_batches()[0]
            is_named[own] = np.asarray(listed.match(batch), bool)
    except CorpusError as error:
        raise PipelineError(f"keep_apart: {error}") from error
    if not listed.matched:
        example = told["speaker_id"][0].as_py()
        raise PipelineError(
            f"keep_apart: the list {name!r} matches nothing in split {apart.split!r}: none of its "
            f"{len(listed.entries)} entries, such as {listed.first!r}, is a speaker, session or file of it, such as "
            f"{example!r}; expected a list for this split"
        )
    people = np.zeros(len(division.people), bool)
    people[division.person[places[is_named]]] = True
    return _Named(people=people, remarks=[listed.remark] if listed.remark else [])


@dataclass(frozen=True, kw_only=True)
class _Alike:
    """Who sounds like whom, of the people of a division (P,)."""

    people: Flags
    nearest: Indices  # the most similar one of the other side
    similarity: Scores
    least: str  # in words
    num_unheard: int

    def remarks(self, division: Division, split: str, people: Flags) -> list[str]:
        """The most similar of these people, and how many were not compared."""
        found = np.flatnonzero(people)
        found = found[np.lexsort([found, -self.similarity[found]])]
        told = [
            f"split {split}: {division.people[one]} sounds like {division.people[self.nearest[one]]} "
            f"(mean cosine {self.similarity[one]:.4f}) and was taken away"
            for one in found[:MOST_TOLD].tolist()
        ]
        told += [f"split {split}: so were {len(found) - MOST_TOLD:,} more"] if len(found) > MOST_TOLD else []
        told += [f"split {split}: {self.num_unheard:,} people have no vector and were not compared"] * bool(
            self.num_unheard
        )
        return told


def _alike(
    apart: KeptApart,
    division: Division,
    rows: pa.Table,
    voices: Heard | None,
    thresholds: Mapping[str, float],
) -> _Alike:
    if voices is None:
        raise PipelineError("keep_apart.min_similarity: no vectors are given; expected one an utterance")
    own, other = (_People(division, names, voices) for names in ((apart.split,), apart.other))
    if apart.min_similarity == "calibrated":
        least = _calibrated(division, rows, thresholds, own.people.tolist() + other.people.tolist())
        told = "the calibrated threshold of their corpora"
    else:
        least = np.full(len(division.people), float(apart.min_similarity or 0))
        told = f"{apart.min_similarity:g}"
    partner, best = _nearest(own, other, least)
    people = np.zeros(len(division.people), bool)
    nearest, similarity = np.zeros(len(people), np.int64), np.full(len(people), -np.inf)
    people[own.people] = np.isfinite(best)
    similarity[own.people] = best
    nearest[own.people] = other.people[partner] if len(other.people) else 0
    return _Alike(
        people=people,
        nearest=nearest,
        similarity=similarity,
        least=told,
        num_unheard=own.num_unheard + other.num_unheard,
    )


class _People:
    """The people of splits and the means of their unit vectors, in the order of their ids."""

    def __init__(self, division: Division, names: tuple[str, ...], voices: Heard) -> None:
        there = division.of(*names)
        rows = np.flatnonzero(there & voices.is_heard)
        self.people: Indices
        self.people, code = np.unique(division.person[rows], return_inverse=True)
        self.means = mean_vectors(voices.unit_vectors[rows], code, len(self.people)).astype(np.float64)
        self.num_unheard = len(np.unique(division.person[there])) - len(self.people)


def _nearest(own: _People, other: _People, least: Scores) -> tuple[Indices, Scores]:
    """Of each own person the most similar other one that is similar enough, and the mean cosine; -inf for none."""
    nearest, best = np.zeros(len(own.people), np.int64), np.full(len(own.people), -np.inf)
    if not len(other.people):
        return nearest, best
    for start in range(0, len(own.people), PEOPLE_AT_ONCE):
        some = slice(start, start + PEOPLE_AT_ONCE)
        cosines = own.means[some] @ other.means.T
        needed = np.maximum(least[own.people[some]][:, None], least[other.people][None, :])
        cosines[cosines < needed] = -np.inf
        nearest[some] = cosines.argmax(axis=1)
        best[some] = cosines.max(axis=1)
    return nearest, best


def _calibrated(division: Division, rows: pa.Table, thresholds: Mapping[str, float], people: list[int]) -> Scores:
    """(P,) the strictest threshold of the corpora that each of these people speaks in."""
    least = np.full(len(division.people), -np.inf)
    asked = np.zeros(len(division.people), bool)
    asked[people] = True
    for who, corpus in zip(division.person.tolist(), rows["corpus"].to_pylist(), strict=True):
        if asked[who]:
            if corpus not in thresholds:
                raise PipelineError(
                    f"keep_apart.min_similarity: no calibrated threshold of corpus {corpus!r}; expected a number, or "
                    "identities that are told by calibrated thresholds"
                )
            least[who] = max(least[who], thresholds[corpus])
    return least


def _strings(ids: Iterable[object]) -> list[str]:
    return ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else [str(one) for one in ids]
