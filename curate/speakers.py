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

The paper leaves the last word to the eye; here every candidate pair is a decision, merged or not, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.calibration import Calibration, codes, shared_threshold, thresholds_between
from curate.decisions import Author, verdicts
from curate.reasons import Reason, Subject, Verdict
from curate.schema import IDENTITIES, SPEAKER_PAIRS
from curate.similarity import Indices, Scores, SimilarPairs, Vectors, mean_vectors, similar_pairs, unit

VIETSV_MIN_SIMILARITY = 0.7  # the paper's, for its own encoder
GUARD_REASONS = {"sex": Reason.SEX_CONFLICT, "language": Reason.LANGUAGE_CONFLICT}
Flags = NDArray[np.bool_]
Refusals = NDArray[np.str_]  # the reason why a pair may not merge; empty where none is known
Thresholds = float | Mapping[str, Calibration]


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
) -> Unified:
    """Group `speakers` (speaker_id, corpus, and what `guards` name) by the `vectors` (N, D) of their kept `utterances`.

    `min_similarity` is one threshold, or those that `calibrate_corpora` found. `guards` are of sex, language and age
    (columns age_min_years and age_max_years). A mean over little speech is noisy: a pair of which one label has less
    than `min_utterances` or `min_speech_s` is too little to judge by, and stays apart. Every speaker gets an identity;
    one without kept utterances, and one that nobody resembles, is its own.

    Raises ValueError for vectors without direction.
    """
    speakers = speakers.sort_by("speaker_id")
    ids = speakers["speaker_id"].combine_chunks()
    of_utterance = pc.index_in(utterances["speaker_id"], value_set=ids).to_numpy()
    count = np.bincount(of_utterance, minlength=len(ids))
    heard = np.flatnonzero(count)
    means = mean_vectors(unit(vectors), np.searchsorted(heard, of_utterance), len(heard))
    found = similar_pairs(means, _lowest(min_similarity))
    pairs = SimilarPairs(first=heard[found.first], second=heard[found.second], similarity=found.similarity)
    corpus = speakers["corpus"].to_numpy()
    candidates, thresholds = _candidates(pairs, corpus, count, min_similarity, within_corpora)
    speech_s = np.bincount(of_utterance, weights=utterances["duration_s"].to_numpy(), minlength=len(ids))
    enough = (count >= min_utterances) & (speech_s >= min_speech_s)
    alone = np.where(np.isin(corpus, without_duplicates), codes(speakers["corpus"]), -1)
    refused = _refused(candidates, speakers, guards, max_age_gap_years, alone=alone, enough=enough)
    identity, reasons = complete_link(len(ids), candidates, refused, alone)
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
            verdict=np.where(reasons == Reason.SAME_PERSON, Verdict.MERGE, Verdict.KEEP),
            reason=reasons,
            score=candidates.similarity,
            lower_bound=thresholds,
        ),
    )


def speaker_table(utterances: pa.Table) -> pa.Table:
    """One row a speaker of `utterances`: speaker_id, and what its rows say.

    corpus, sex, language, accent and nationality where its rows agree on one, and the range of ages that they span.
    """
    columns = ["corpus", "sex", "language", "accent", "nationality"]
    ages = [("age_min_years", "min"), ("age_max_years", "max")]
    grouped = utterances.group_by("speaker_id").aggregate([(column, "distinct") for column in columns] + ages)
    agreed = {column: [_only(values) for values in grouped[f"{column}_distinct"].to_pylist()] for column in columns}
    types = {column: pa.array(values, pa.string()) for column, values in agreed.items()}
    spanned = {column: grouped[f"{column}_{extreme}"] for column, extreme in ages}
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
) -> tuple[SimilarPairs, Scores]:
    """The pairs that reach their thresholds, and these. `corpus` and `count` (S,): of each speaker, of utterances."""
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
    chosen = pairs.similarity >= thresholds
    if not within_corpora:
        chosen &= corpus[pairs.first] != corpus[pairs.second]
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
) -> Refusals:
    """For each candidate the first reason that forbids it; a label that nobody gave conflicts with none.

    `alone` (S,) is the corpus of speakers whose corpus holds nobody twice, else -1; `enough` (S,) can be judged.
    """
    first, second = candidates.first, candidates.second
    conflicts: list[tuple[Flags, Reason]] = []
    for guard in guards:
        if guard == "age":
            conflicts.append((_ages_apart(candidates, speakers, max_age_gap_years), Reason.AGES_APART))
        else:
            said = codes(speakers[guard])
            both = (said[first] >= 0) & (said[second] >= 0)
            conflicts.append((both & (said[first] != said[second]), GUARD_REASONS[guard]))
    conflicts.append(((alone[first] >= 0) & (alone[first] == alone[second]), Reason.NOBODY_TWICE))
    conflicts.append((~(enough[first] & enough[second]), Reason.TOO_FEW_TO_JUDGE))
    return np.select([flags for flags, _ in conflicts], [reason.value for _, reason in conflicts], "")


def _ages_apart(candidates: SimilarPairs, speakers: pa.Table, max_age_gap_years: int) -> Flags:
    corpus = codes(speakers["corpus"])
    youngest, oldest = (
        speakers[column].cast(pa.float64()).to_numpy() for column in ("age_min_years", "age_max_years")
    )  # nan where nobody says, which is not greater than anything
    first, second = candidates.first, candidates.second
    gap = np.maximum(youngest[second] - oldest[first], youngest[first] - oldest[second])
    apart: Flags = (corpus[first] == corpus[second]) & (gap > max_age_gap_years)
    return apart


def complete_link(
    num_speakers: int, candidates: SimilarPairs, refused: Refusals, alone: Indices
) -> tuple[list[int], Refusals]:
    """The least member of each speaker's group, and for each candidate pair what became of it.

    Equal similarities are taken in the order of the pairs, so that the result depends on nothing else. No two members
    of a group have the same `alone` (S,), where it is not -1.
    """
    free = refused == ""
    friends: list[set[int]] = [set() for _ in range(num_speakers)]
    for a, b in zip(candidates.first[free].tolist(), candidates.second[free].tolist(), strict=True):
        friends[a].add(b)
        friends[b].add(a)
    group = {i: {i} for i in range(num_speakers)}
    leader = list(range(num_speakers))
    strongest = np.flatnonzero(free)[np.argsort(-candidates.similarity[free], kind="stable")]
    for a, b in zip(candidates.first[strongest].tolist(), candidates.second[strongest].tolist(), strict=True):
        one, two = sorted((leader[a], leader[b]))
        if one != two and all(group[two] <= friends[member] for member in group[one]):
            for member in group[two]:
                leader[member] = one
            group[one] |= group.pop(two)
    identity = np.array(leader, np.int64)
    apart = np.where(
        _hold_labels_of_one(group, alone, identity, candidates), Reason.NOBODY_TWICE, Reason.INCOMPLETE_LINK
    )
    merged = identity[candidates.first] == identity[candidates.second]
    reasons = np.select([merged, ~free], [np.full(len(free), Reason.SAME_PERSON.value), refused], apart)
    return leader, reasons


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
