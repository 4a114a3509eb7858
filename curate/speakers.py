"""Find labels that stand for one person, within a corpus and across corpora (VietSV section 4.3.3).

Two speakers are a candidate pair when the mean cosine of all their kept utterances reaches the threshold. Candidates
merge strongest first, and two groups become one only when every pair between them is a candidate that no guard forbids:
A-B and B-C do not join A and C. Where links are ambiguous this may group otherwise than textbook complete linkage,
which orders merges by the weakest link between groups; both end in groups without a weak link.

Guards forbid pairs whose metadata contradict: sex or language where both labels state it and differ, and ages. Of ages
only those of one corpus are held against each other, since nobody knows how many years lie between two corpora: two
labels contradict when more than `max_age_gap_years` lie between the ranges that their rows span.

A corpus of `without_duplicates` is known to have each person under one label. No group may hold two of its labels, so
that any other label merges with at most one of them, the most similar.

The paper leaves the last word to the eye; here every candidate pair is a decision, merged or not, with the reason, and
reviewers have the last word. What they merged is joined first, whatever similarity, guards and `without_duplicates`
say, and then links to others as any group does. A label that cannot be judged, for want of kept speech, needs no link
of its own there; but what guards, corpora without duplicates and reviewers forbid it, they forbid its group. What
reviewers keep apart ends in two groups, also where others are similar to both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curate.calibration import Calibration, shared_threshold, thresholds_between
from curate.codes import numbered
from curate.decisions import Author, verdicts
from curate.reasons import Reason, Subject, Verdict
from curate.schema import IDENTITIES, SPEAKER_PAIRS
from curate.sides import Pair
from curate.similarity import Indices, Scores, SimilarPairs, Vectors, mean_vectors, similar_pairs, unit

VIETSV_MIN_SIMILARITY = 0.7  # the paper's, for its own encoder
AGREED = ("corpus", "sex", "language", "accent", "nationality")  # columns of which a label has what its rows agree on
SPANNED = {"age_min_years": "min", "age_max_years": "max"}
ABOUT_A_LABEL = ["speaker_id", *AGREED, *SPANNED]  # what `speaker_table` looks at
GUARD_REASONS = {"sex": Reason.SEX_CONFLICT, "language": Reason.LANGUAGE_CONFLICT}
Flags = NDArray[np.bool_]
Refusals = NDArray[np.str_]  # the reason why a pair may not merge; empty where none is known
Thresholds = float | Mapping[str, Calibration]


@dataclass(frozen=True, kw_only=True)
class Said:
    """Pairs that reviewers decided on, by the places of their labels, `first < second`, in order."""

    first: Indices
    second: Indices
    is_merge: Flags


@dataclass(frozen=True, kw_only=True)
class Unified:
    """Who is who, and the pairs that it rests on."""

    speaker_pairs: pa.Table
    identities: pa.Table
    decisions: pa.Table


def unify(
    speakers: pa.Table,
    utterances: pa.Table,
    vectors: Vectors,
    *,
    min_similarity: Thresholds,
    within_corpora: bool,
    guards: tuple[str, ...],
    min_utterances: int,
    min_speech_s: float,
    author: Author,
    max_age_gap_years: int = 10,
    without_duplicates: tuple[str, ...] = (),
    reviewed: Mapping[Pair, str] | None = None,
    overwrite: bool = False,
) -> Unified:
    """Group `speakers` (speaker_id, corpus, and what `guards` name) by the `vectors` (N, D) of their kept `utterances`.

    `min_similarity` is one threshold, or those that `calibrate_corpora` found. `guards` are of sex, language and age
    (columns age_min_years and age_max_years). A mean over little speech is noisy: a pair of which one label has less
    than `min_utterances` or `min_speech_s` is too little to judge by, and stays apart. Every speaker gets an identity;
    one without kept utterances, and one that nobody resembles, is its own. `reviewed` says of pairs, ids in order, that
    reviewers merge or keep (apart) them; each is a decision, without a score where a label has no kept utterances.

    With `overwrite` vectors are brought to length one where they lie. Raises ValueError for vectors without direction,
    for reviewed pairs of unknown speakers, and for those that contradict each other.
    """
    speakers = speakers.sort_by("speaker_id")
    ids = speakers["speaker_id"].combine_chunks()
    of_utterance = pc.index_in(utterances["speaker_id"], value_set=ids).to_numpy()
    count = np.bincount(of_utterance, minlength=len(ids))
    heard = np.flatnonzero(count)
    means = mean_vectors(unit(vectors, overwrite=overwrite), np.searchsorted(heard, of_utterance), len(heard))
    found = similar_pairs(means, _lowest(min_similarity))
    pairs = SimilarPairs(first=heard[found.first], second=heard[found.second], similarity=found.similarity)
    corpus = speakers["corpus"].to_numpy()
    said = _indexed(reviewed or {}, ids)
    asked, is_said = _with_said(pairs, said, means, heard, len(ids))
    candidates, thresholds = _candidates(asked, corpus, count, min_similarity, within_corpora, is_said)
    speech_s = np.bincount(of_utterance, weights=utterances["duration_s"].to_numpy(), minlength=len(ids))
    enough = (count >= min_utterances) & (speech_s >= min_speech_s)
    alone = np.where(np.isin(corpus, without_duplicates), numbered(speakers["corpus"])[1], -1)

    def refusals(these: SimilarPairs, enough: Flags) -> Refusals:
        return _refused(these, speakers, guards, max_age_gap_years, alone=alone, enough=enough, said=said)

    refused = refusals(candidates, enough)
    joined = _joined(said, ids)
    anybody = np.ones(len(ids), np.bool_)
    identity, reasons = complete_link(
        len(ids),
        candidates,
        refused,
        alone,
        joined=joined,
        is_blocked=_blocked(candidates, joined, lambda these: refusals(these, anybody)),
        is_judged=enough & (count > 0),
    )
    return Unified(
        speaker_pairs=_pair_rows(pairs, ids),
        identities=pa.table({"speaker_id": ids, "identity_id": ids.take(pa.array(identity, pa.int64()))}).cast(
            IDENTITIES.arrow()
        ),
        decisions=verdicts(
            author,
            Subject.PAIR,
            ids.take(pa.array(candidates.first)),
            other_ids=ids.take(pa.array(candidates.second)),
            verdict=np.where(_are_one(candidates, np.array(identity)), Verdict.MERGE, Verdict.KEEP),
            reason=reasons,
            score=candidates.similarity,
            lower_bound=thresholds,
        ),
    )


def speaker_table(utterances: pa.Table) -> pa.Table:
    """One row a speaker of `utterances`: speaker_id, and what its rows say.

    corpus, sex, language, accent and nationality where its rows agree on one, and the range of ages that they span.
    """
    asked = [*((column, "distinct") for column in AGREED), *SPANNED.items()]
    grouped = utterances.group_by("speaker_id").aggregate(asked)
    agreed = {column: [_only(values) for values in grouped[f"{column}_distinct"].to_pylist()] for column in AGREED}
    types = {column: pa.array(values, pa.string()) for column, values in agreed.items()}
    spanned = {column: grouped[f"{column}_{extreme}"] for column, extreme in SPANNED.items()}
    return pa.table({"speaker_id": grouped["speaker_id"]} | types | spanned).sort_by("speaker_id")


def _only(values: list[str | None]) -> str | None:
    said = [value for value in values if value is not None]
    return said[0] if len(said) == 1 else None


def _lowest(min_similarity: Thresholds) -> float:
    """The least threshold of any pair: candidates are looked for from there on."""
    if isinstance(min_similarity, Mapping):
        pairs = combinations_with_replacement(min_similarity.values(), 2)
        return min((shared_threshold(a, b) for a, b in pairs), default=1.0)  # nobody, nothing to look for
    return min_similarity


def _candidates(
    pairs: SimilarPairs,
    corpus: NDArray[np.object_],
    count: Indices,
    min_similarity: Thresholds,
    within_corpora: bool,
    is_said: Flags,
) -> tuple[SimilarPairs, Scores]:
    """The pairs that reach their thresholds or that `is_said` (P,) names, and the thresholds, nan without similarity.

    `corpus` and `count` (S,): of each speaker, of utterances.
    """
    count = np.maximum(count, 1)  # of a label without any the threshold is nobody's
    thresholds = np.full(len(pairs.first), _lowest(min_similarity))
    if isinstance(min_similarity, Mapping):
        for one, other in combinations_with_replacement(min_similarity, 2):
            first, second = corpus[pairs.first], corpus[pairs.second]
            these = ((first == one) & (second == other)) | ((first == other) & (second == one))
            thresholds[these] = thresholds_between(
                min_similarity[one],
                min_similarity[other],
                count[pairs.first[these]],
                count[pairs.second[these]],
            )
    thresholds[np.isnan(pairs.similarity)] = np.nan
    chosen = pairs.similarity >= thresholds
    if not within_corpora:
        chosen &= corpus[pairs.first] != corpus[pairs.second]
    chosen |= is_said
    found = SimilarPairs(first=pairs.first[chosen], second=pairs.second[chosen], similarity=pairs.similarity[chosen])
    return found, thresholds[chosen]


def _refused(
    candidates: SimilarPairs,
    speakers: pa.Table,
    guards: tuple[str, ...],
    max_age_gap_years: int,
    *,
    alone: Indices,
    enough: Flags,
    said: Said,
) -> Refusals:
    """For each candidate the first reason why no rule may merge it; a label that nobody gave conflicts with none.

    `alone` (S,) is the corpus of speakers whose corpus holds nobody twice, else -1; `enough` (S,) can be judged. What
    reviewers decided on, either way, is not a rule's.
    """
    first, second = candidates.first, candidates.second
    is_said = np.isin(_keys(first, second, len(speakers)), _keys(said.first, said.second, len(speakers)))
    conflicts: list[tuple[Flags, Reason]] = [(is_said, Reason.REVIEWED)]
    for guard in guards:
        if guard == "age":
            conflicts.append((_ages_apart(candidates, speakers, max_age_gap_years), Reason.AGES_APART))
        else:
            stated = numbered(speakers[guard])[1]
            both = (stated[first] >= 0) & (stated[second] >= 0)
            conflicts.append((both & (stated[first] != stated[second]), GUARD_REASONS[guard]))
    conflicts.append(((alone[first] >= 0) & (alone[first] == alone[second]), Reason.NOBODY_TWICE))
    conflicts.append((~(enough[first] & enough[second]), Reason.TOO_FEW_TO_JUDGE))
    return np.select([flags for flags, _ in conflicts], [reason.value for _, reason in conflicts], "")


def _ages_apart(candidates: SimilarPairs, speakers: pa.Table, max_age_gap_years: int) -> Flags:
    corpus = numbered(speakers["corpus"])[1]
    youngest, oldest = (
        speakers[column].cast(pa.float64()).to_numpy() for column in ("age_min_years", "age_max_years")
    )  # nan where nobody says, which is not greater than anything
    first, second = candidates.first, candidates.second
    gap = np.maximum(youngest[second] - oldest[first], youngest[first] - oldest[second])
    apart: Flags = (corpus[first] == corpus[second]) & (gap > max_age_gap_years)
    return apart


def _indexed(reviewed: Mapping[Pair, str], ids: pa.Array) -> Said:
    """The pairs by the places of their labels. Raises ValueError for a label that there is not."""
    places = {speaker: place for place, speaker in enumerate(ids.to_pylist())} if reviewed else {}
    unknown = sorted({speaker for pair in reviewed for speaker in pair} - places.keys())
    if unknown:
        raise ValueError(f"{unknown[0]!r}: no speaker of {len(ids)}; expected reviewed pairs of these")
    rows = sorted((*sorted(places[speaker] for speaker in pair), verdict) for pair, verdict in reviewed.items())
    first, second = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    return Said(first=first, second=second, is_merge=np.array([row[2] == Verdict.MERGE for row in rows], np.bool_))


def _keys(first: Indices, second: Indices, num_speakers: int) -> Indices:
    """One number a pair, in the order of pairs."""
    return first * num_speakers + second


def _with_said(pairs: SimilarPairs, said: Said, means: Vectors, heard: Indices, num: int) -> tuple[SimilarPairs, Flags]:
    """The pairs and those that reviewers spoke of, in order, and which these are; nan where a label has no mean.

    `means` (H, D) are of the labels `heard` (H,) among `num`.
    """
    new = ~np.isin(_keys(said.first, said.second, num), _keys(pairs.first, pairs.second, num))
    first, second = said.first[new], said.second[new]
    similarity = np.full(len(first), np.nan)
    both = np.flatnonzero(np.isin(first, heard) & np.isin(second, heard))
    one, other = (means[np.searchsorted(heard, labels[both])] for labels in (first, second))
    similarity[both] = np.einsum("pd,pd->p", one, other, dtype=np.float64)
    firsts, seconds = np.concatenate([pairs.first, first]), np.concatenate([pairs.second, second])
    keys = _keys(firsts, seconds, num)
    order = np.argsort(keys)
    asked = SimilarPairs(
        first=firsts[order],
        second=seconds[order],
        similarity=np.concatenate([pairs.similarity, similarity])[order],
    )
    return asked, np.isin(keys[order], _keys(said.first, said.second, num))


def _joined(said: Said, ids: pa.Array) -> Indices:
    """(S,) the least label of those that reviewers made one. Raises ValueError where two of them are kept apart."""
    merges = said.first[said.is_merge], said.second[said.is_merge]
    links = coo_array((np.ones(len(merges[0]), np.bool_), merges), shape=(len(ids), len(ids)))
    _, group = connected_components(links, directed=False)
    _, least = np.unique(group, return_index=True)
    joined: Indices = least[group]
    torn = np.flatnonzero(~said.is_merge & (joined[said.first] == joined[said.second]))
    if len(torn):
        one, other = (ids[int(places[torn[0]])].as_py() for places in (said.first, said.second))
        raise ValueError(f"speakers {one} and {other} are kept apart, and merged through others; expected one of these")
    return joined


def _blocked(candidates: SimilarPairs, joined: Indices, refusals: Callable[[SimilarPairs], Refusals]) -> Flags:
    """Which candidates are forbidden by a pair between the two groups that reviewers made of their labels."""
    one, other = joined[candidates.first], joined[candidates.second]
    blocked, size = np.zeros(len(one), np.bool_), np.bincount(joined, minlength=len(joined))
    asked = np.flatnonzero((one != other) & ((size[one] > 1) | (size[other] > 1)))
    if not len(asked):
        return blocked
    members: dict[int, list[int]] = {}
    for label, leader in enumerate(joined.tolist()):
        members.setdefault(leader, []).append(label)
    rows = [
        (place, *sorted(pair))
        for place in asked.tolist()
        for pair in product(members[int(one[place])], members[int(other[place])])
    ]
    place, first, second = np.array(rows, np.int64).T
    found = refusals(SimilarPairs(first=first, second=second, similarity=np.ones(len(rows)))) != ""
    blocked[place[found]] = True
    return blocked


def complete_link(
    num_speakers: int,
    candidates: SimilarPairs,
    refused: Refusals,
    alone: Indices,
    *,
    joined: Indices | None = None,
    is_blocked: Flags | None = None,
    is_judged: Flags | None = None,
) -> tuple[list[int], Refusals]:
    """The least member of each speaker's group, and for each candidate pair what became of it.

    Equal similarities are taken in the order of the pairs, so that the result depends on nothing else. No two members
    of a group have the same `alone` (S,), where it is not -1, unless they are `joined` (S,) from the start: the least
    label of their group, themselves if not given. Candidates that are blocked (P,) merge as little as those that are
    refused. Labels that are not judged (S,) need no link.
    """
    joined = np.arange(num_speakers) if joined is None else joined
    is_judged = np.ones(num_speakers, np.bool_) if is_judged is None else is_judged
    free = refused == "" if is_blocked is None else (refused == "") & ~is_blocked
    friends: list[set[int]] = [set() for _ in range(num_speakers)]
    for a, b in zip(candidates.first[free].tolist(), candidates.second[free].tolist(), strict=True):
        friends[a].add(b)
        friends[b].add(a)
    leader = joined.tolist()
    group: dict[int, set[int]] = {one: set() for one in leader}
    judged: dict[int, set[int]] = {one: set() for one in leader}
    for label, one in enumerate(leader):
        group[one].add(label)
        if is_judged[label]:
            judged[one].add(label)
    strongest = np.flatnonzero(free)[np.argsort(-candidates.similarity[free], kind="stable")]
    for a, b in zip(candidates.first[strongest].tolist(), candidates.second[strongest].tolist(), strict=True):
        one, two = sorted((leader[a], leader[b]))
        if one != two and all(judged[two] <= friends[member] for member in judged[one]):
            for member in group[two]:
                leader[member] = one
            group[one] |= group.pop(two)
            judged[one] |= judged.pop(two)
    identity = np.array(leader, np.int64)
    apart = np.where(
        _hold_labels_of_one(group, alone, identity, candidates), Reason.NOBODY_TWICE, Reason.INCOMPLETE_LINK
    )
    by_reviewers = joined[candidates.first] == joined[candidates.second]
    whys = [Reason.REVIEWED.value, Reason.SAME_PERSON.value]
    conditions = [by_reviewers, _are_one(candidates, identity), refused != ""]
    reasons = np.select(conditions, [*(np.full(len(free), why) for why in whys), refused], apart)
    return leader, reasons


def _are_one(pairs: SimilarPairs, identity: Indices) -> Flags:
    same: Flags = identity[pairs.first] == identity[pairs.second]
    return same


def _hold_labels_of_one(
    group: Mapping[int, set[int]], alone: Indices, identity: Indices, candidates: SimilarPairs
) -> Flags:
    """For which candidates the two groups have labels of the same corpus that holds nobody twice."""
    corpora = {leader: {int(alone[member]) for member in members} - {-1} for leader, members in group.items()}
    pairs = zip(identity[candidates.first].tolist(), identity[candidates.second].tolist(), strict=True)
    return np.array([not corpora[a].isdisjoint(corpora[b]) for a, b in pairs], np.bool_)


def _pair_rows(pairs: SimilarPairs, ids: pa.Array) -> pa.Table:
    columns = {
        "speaker_id": ids.take(pa.array(pairs.first)),
        "other_id": ids.take(pa.array(pairs.second)),
        "similarity": pairs.similarity,
    }
    return pa.table(columns).cast(SPEAKER_PAIRS.arrow())
