"""Keep two sides of a benchmark apart: one loses the people of the other, by a list of names and by their voices.

Who is on both sides by identity is on one only when splits are drawn. What is done here is for those of whom nobody
knows it: a list that somebody else made, and people who sound alike. Whom a list names with anything of his, a label, a
session or a file, goes with all that he has.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.alike import similar_between
from benchmarks.division import Division
from benchmarks.leakage import Voices
from benchmarks.protocol import KeptApart
from curate.blocks import keep_rows
from curate.errors import CorpusError, PipelineError
from curate.exclusions import exclusions_in
from curate.sides import Pair
from curate.similarity import Flags, Indices, Scores, Vectors, mean_vectors, unit

MOST_TOLD = 10  # people who sound like somebody, by name


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The vectors (V, D) of N rows that are being divided, in any order; -1 as the `place` (N,) of a row without."""

    unit_vectors: Vectors
    place: Indices


def heard(utterance_ids: pa.ChunkedArray, vectors: Voices) -> Heard:
    """Of all vectors, in any order, those of the rows that are being divided: there is no second copy of them."""
    ids, given = vectors()
    row = np.asarray(pc.index_in(ids, value_set=utterance_ids.combine_chunks()).fill_null(-1), np.int64)
    place = np.full(len(utterance_ids), -1)
    place[row[row >= 0]] = np.arange((row >= 0).sum())
    return Heard(unit_vectors=unit(keep_rows(given, row >= 0), overwrite=True), place=place)


def keep_apart(
    apart: KeptApart,
    division: Division,
    rows: pa.Table,
    *,
    voices: Heard | None,
    lists: Mapping[str, Iterable[str]],
    thresholds: Mapping[str, float],
    known_apart: Collection[Pair] = (),
) -> list[str]:
    """Take people out of `apart.split`; return remarks. `rows` are those of the division, with corpus and path.

    `known_apart` are pairs of people whom reviewers keep apart: they may sound alike. Raises PipelineError for a list
    that is not given or matches nothing of `rows`, and where voices are asked for and not there.
    """
    if not division.of(apart.split).any():
        return [f"split {apart.split} is empty: nobody was kept apart from it"]
    named = None if apart.list is None else _named(apart, division, rows, lists)
    alike = None if apart.min_similarity is None else _alike(apart, division, rows, voices, thresholds, known_apart)
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
        if named is not None and named.people.any():
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
    told = rows.select(["corpus", "utterance_id", "speaker_id", "session_id", "path"])
    is_named = np.zeros(len(rows), bool)  # in whatever split: a draw may have put all whom it names into others
    try:
        listed = exclusions_in(Path(name), sorted(lists[name]), {})
        for corpus in sorted(told["corpus"].unique().to_pylist()):
            own = np.asarray(pc.equal(told["corpus"], corpus), bool)
            batches = told.filter(pa.array(own)).to_batches()
            is_named[own] = np.concatenate([np.asarray(listed.match(batch), bool) for batch in batches])
    except CorpusError as error:
        raise PipelineError(f"keep_apart: {error}") from error
    if not listed.matched:
        example = told["speaker_id"][0].as_py()
        raise PipelineError(
            f"keep_apart: the list {name!r} matches nothing: none of its {len(listed.entries)} entries, such as "
            f"{listed.first!r}, is a speaker, session or file of the catalog, such as {example!r}; expected names as "
            "the catalog has"
        )
    people = np.zeros(len(division.people), bool)
    people[division.person[is_named & division.of(apart.split)]] = True
    remarks = [listed.remark] if listed.remark else []
    if not people.any():
        elsewhere = f"{len(listed.matched)} of its {len(listed.entries)} entries match others of the catalog"
        remarks.append(f"split {apart.split}: the list {name} names nobody of it; {elsewhere}")
    return _Named(people=people, remarks=remarks)


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
    known_apart: Collection[Pair],
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
    partner, best = _nearest(own, other, least, _places(known_apart, division, own, other))
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
        rows = np.flatnonzero(there & (voices.place >= 0))
        self.people: Indices
        self.people, code = np.unique(division.person[rows], return_inverse=True)
        whose, is_asked = np.zeros((2, len(voices.unit_vectors)), np.int64)
        whose[voices.place[rows]], is_asked[voices.place[rows]] = code, 1
        self.means = mean_vectors(voices.unit_vectors, whose, len(self.people), is_asked > 0)
        self.num_unheard = len(np.unique(division.person[there])) - len(self.people)


def _places(pairs: Collection[Pair], division: Division, own: _People, other: _People) -> Indices:
    """(K, 2) the places of those pairs of which one is among the own people and the other among the other ones."""
    at, other_at = ({division.people[who]: k for k, who in enumerate(side.people.tolist())} for side in (own, other))
    both_ways = [*pairs, *((two, one) for one, two in pairs)]
    found = [(at[one], other_at[two]) for one, two in both_ways if one in at and two in other_at]
    return np.array(found, np.int64).reshape(-1, 2)


def _nearest(own: _People, other: _People, least: Scores, known_apart: Indices) -> tuple[Indices, Scores]:
    """Of each own person the most similar other one that is similar enough, and the mean cosine; -inf for none.

    `known_apart` (K, 2) are places, in `own` and in `other`, of pairs that do not count.
    """
    nearest, best = np.zeros(len(own.people), np.int64), np.full(len(own.people), -np.inf)
    not_counted = known_apart @ [len(other.people), 1]
    for pairs, cosines in similar_between(own.means, other.means, least[own.people], least[other.people]):
        counts = ~np.isin(pairs[0] * len(other.people) + pairs[1], not_counted)
        (one, another), cosine = pairs[:, counts], cosines[counts]
        order = np.lexsort([another, -cosine, one])
        who, first = np.unique(one[order], return_index=True)
        found = order[first]
        is_nearer = cosine[found] > best[who]
        nearest[who[is_nearer]], best[who[is_nearer]] = another[found[is_nearer]], cosine[found[is_nearer]]
    return nearest, best


def _calibrated(division: Division, rows: pa.Table, thresholds: Mapping[str, float], people: list[int]) -> Scores:
    """(P,) the strictest threshold of the corpora that each of these people speaks in."""
    least = np.full(len(division.people), -np.inf)
    asked = np.zeros(len(division.people), bool)
    asked[people] = True
    of_people = rows.select(["corpus"]).filter(pa.array(asked[division.person]))["corpus"]
    for corpus in of_people.unique().to_pylist():
        if corpus not in thresholds:
            raise PipelineError(
                f"keep_apart.min_similarity: no calibrated threshold of corpus {corpus!r}; expected a number, or "
                "identities that are told by calibrated thresholds"
            )
        own = np.unique(division.person[np.asarray(pc.equal(rows["corpus"], corpus), bool)])
        own = own[asked[own]]
        least[own] = np.maximum(least[own], thresholds[corpus])
    return least
