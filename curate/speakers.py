"""Find labels that stand for one person, within a corpus and across corpora (VietSV section 4.3.3).

Two speakers are a candidate pair when the mean cosine of all their kept utterances reaches the threshold. Candidates
merge strongest first, and two groups become one only when every pair between them is a candidate that no guard forbids:
A-B and B-C do not join A and C. Where links are ambiguous this may group otherwise than textbook complete linkage,
which orders merges by the weakest link between groups; both end in groups without a weak link.

The paper leaves the last word to the eye; here every candidate pair is a decision, merged or not, with the reason.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.decisions import Author, verdicts
from curate.reasons import Reason, Subject, Verdict
from curate.schema import IDENTITIES, SPEAKER_PAIRS
from curate.similarity import Indices, Scores, SimilarPairs, Vectors, mean_vectors, similar_pairs, unit

VIETSV_MIN_SIMILARITY = 0.7  # the paper's, for its own encoder
GUARD_REASONS = {"sex": Reason.SEX_CONFLICT, "language": Reason.LANGUAGE_CONFLICT}


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
    min_similarity: float,
    within_corpora: bool,
    guards: tuple[str, ...],
    min_utterances: int,
    min_speech_s: float,
    author: Author,
) -> Unified:
    """Group `speakers` (speaker_id, corpus, sex, language) by the `vectors` (N, D) of their kept `utterances`.

    A mean over little speech is noisy: a pair of which one label has less than `min_utterances` or `min_speech_s` is
    too little to judge by, and stays apart. Every speaker gets an identity; one without kept utterances, and one that
    nobody resembles, is its own.
    """
    speakers = speakers.sort_by("speaker_id")
    ids = speakers["speaker_id"].to_pylist()
    of_utterance = pc.index_in(utterances["speaker_id"], value_set=speakers["speaker_id"].combine_chunks()).to_numpy()
    heard = np.unique(of_utterance)
    means = mean_vectors(unit(vectors), np.searchsorted(heard, of_utterance), len(heard))
    found = similar_pairs(means, min_similarity)
    pairs = SimilarPairs(first=heard[found.first], second=heard[found.second], similarity=found.similarity)
    candidates = _candidates(pairs, speakers["corpus"].to_numpy(), min_similarity, within_corpora)
    conflicts = _conflicts(candidates, speakers, guards)
    enough = _says_enough(of_utterance, utterances["duration_s"].to_numpy(), len(ids), min_utterances, min_speech_s)
    conflicts = [
        conflict or (None if enough[a] and enough[b] else Reason.TOO_FEW_TO_JUDGE)
        for conflict, a, b in zip(conflicts, candidates.first, candidates.second, strict=True)
    ]
    identity, reasons = complete_link(len(ids), candidates, conflicts)
    return Unified(
        speaker_pairs=_pair_rows(pairs, ids),
        identities=pa.table({"speaker_id": ids, "identity_id": [ids[i] for i in identity]}, schema=IDENTITIES.arrow()),
        decisions=verdicts(
            author,
            Subject.PAIR,
            [ids[i] for i in candidates.first],
            other_ids=[ids[i] for i in candidates.second],
            verdict=[Verdict.MERGE if reason == Reason.SAME_PERSON else Verdict.KEEP for reason in reasons],
            reason=reasons,
            score=candidates.similarity,
            lower_bound=min_similarity,
        ),
    )


def speaker_table(utterances: pa.Table) -> pa.Table:
    """One row a speaker of `utterances`: speaker_id, corpus, and sex and language where its rows agree on one."""
    columns = ["corpus", "sex", "language"]
    grouped = utterances.group_by("speaker_id").aggregate([(column, "distinct") for column in columns])
    agreed = {column: [_only(values) for values in grouped[f"{column}_distinct"].to_pylist()] for column in columns}
    types = {column: pa.array(values, pa.string()) for column, values in agreed.items()}
    return pa.table({"speaker_id": grouped["speaker_id"]} | types).sort_by("speaker_id")


def _only(values: list[str | None]) -> str | None:
    said = [value for value in values if value is not None]
    return said[0] if len(said) == 1 else None


def _candidates(pairs: SimilarPairs, corpus: np.ndarray, min_similarity: float, within_corpora: bool) -> SimilarPairs:
    chosen = pairs.similarity >= min_similarity
    if not within_corpora:
        chosen &= corpus[pairs.first] != corpus[pairs.second]
    return SimilarPairs(first=pairs.first[chosen], second=pairs.second[chosen], similarity=pairs.similarity[chosen])


def _conflicts(candidates: SimilarPairs, speakers: pa.Table, guards: tuple[str, ...]) -> list[Reason | None]:
    """For each candidate the guard that forbids it; a label that nobody gave conflicts with none."""
    said = {guard: speakers[guard].to_pylist() for guard in guards}

    def conflict(a: int, b: int) -> Reason | None:
        for guard, values in said.items():
            if None not in (values[a], values[b]) and values[a] != values[b]:
                return GUARD_REASONS[guard]
        return None

    return [conflict(int(a), int(b)) for a, b in zip(candidates.first, candidates.second, strict=True)]


def _says_enough(
    of_utterance: Indices, duration_s: Scores, num_speakers: int, min_utterances: int, min_speech_s: float
) -> NDArray[np.bool_]:
    """Which speakers (S,) have enough kept speech to be compared."""
    count = np.bincount(of_utterance, minlength=num_speakers)
    speech_s = np.bincount(of_utterance, weights=duration_s, minlength=num_speakers)
    return (count >= min_utterances) & (speech_s >= min_speech_s)


def complete_link(
    num_speakers: int, candidates: SimilarPairs, conflicts: list[Reason | None]
) -> tuple[list[int], list[Reason]]:
    """The least member of each speaker's group, and for each candidate pair what became of it.

    Equal similarities are taken in the order of the pairs, so that the result depends on nothing else.
    """
    links = list(zip(candidates.first.tolist(), candidates.second.tolist(), strict=True))
    allowed = {link for link, conflict in zip(links, conflicts, strict=True) if conflict is None}
    group = {i: [i] for i in range(num_speakers)}
    leader = list(range(num_speakers))
    for at in np.argsort(-candidates.similarity, kind="stable"):
        one, two = sorted((leader[links[at][0]], leader[links[at][1]]))
        if one != two and all((min(a, b), max(a, b)) in allowed for a in group[one] for b in group[two]):
            for member in group[two]:
                leader[member] = one
            group[one] += group.pop(two)
    reasons = [
        Reason.SAME_PERSON if leader[a] == leader[b] else conflict or Reason.INCOMPLETE_LINK
        for (a, b), conflict in zip(links, conflicts, strict=True)
    ]
    return leader, reasons


def _pair_rows(pairs: SimilarPairs, ids: list[str]) -> pa.Table:
    columns = {
        "speaker_id": [ids[i] for i in pairs.first],
        "other_id": [ids[i] for i in pairs.second],
        "similarity": pairs.similarity,
    }
    return pa.table(columns, schema=SPEAKER_PAIRS.arrow())
