"""Find invalid speakers and noisy utterances by the rule of the VietSV paper (sections 4.3.1 and 4.3.2).

The paper judges speakers by eye, from pictures of their similarity matrices. Here a speaker is invalid when the mean
cosine of two different utterances of it is below `min_speaker_similarity`, a number that belongs to the extractor.

An utterance is noisy when a_i = (1/n) sum over j != i of cos(v_i, v_j) leaves [Q1 - 1.5 IQR, Q3 + 1.5 IQR] of its
speaker (eq. 6 to 8), on either side as printed. The paper divides by n where a mean over the others divides by n - 1;
that scales all a_i of a speaker alike, and its quartiles with them, so that the verdicts are the same. Quartiles are
interpolated linearly between the sorted scores (numpy's default, type 7 of Hyndman and Fan).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.codes import numbered
from curate.decisions import Author, verdicts
from curate.reasons import Reason, Subject, Verdict
from curate.schema import SPEAKER_SCORES, UTTERANCE_SCORES
from curate.similarity import Indices, Scores, Vectors, self_similarity, unit

MIN_TO_JUDGE = 4  # of three scores or fewer none leaves a range of 1.5 IQR, whatever they are
Flags = NDArray[np.bool_]
ROUNDING = 1e-6  # of float32 cosines: scores closer than this to a bound are on it


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was measured and what follows from it; one verdict for every utterance and every speaker given."""

    utterance_scores: pa.Table
    speaker_scores: pa.Table
    decisions: pa.Table


def clean_vietsv(
    utterances: pa.Table,
    vectors: Vectors,
    *,
    iqr_factor: float,
    min_speaker_similarity: float,
    author: Author,
    overwrite: bool = False,
) -> Cleaned:
    """Judge `utterances` (utterance_id, speaker_id) by their `vectors` (N, D), row by row. Nothing is dropped here."""
    speaker_ids, speaker = numbered(utterances["speaker_id"])
    similarity = self_similarity(unit(vectors, overwrite=overwrite), speaker, len(speaker_ids))
    count = similarity.count
    average = similarity.utterance * (count[speaker] - 1) / count[speaker]  # eq. 6: over n, not n - 1
    lower, upper = valid_ranges(average, speaker, len(speaker_ids), iqr_factor=iqr_factor)
    speaker_scores = SPEAKER_SCORES.rows(
        {
            "speaker_id": speaker_ids,
            "num_utterances": count,
            "self_similarity": pa.array(similarity.speaker, from_pandas=True),
            "lower_bound": pa.array(lower, from_pandas=True),
            "upper_bound": pa.array(upper, from_pandas=True),
        }
    )
    utterance_scores = UTTERANCE_SCORES.rows(
        {
            "utterance_id": utterances["utterance_id"],
            "speaker_id": utterances["speaker_id"],
            "average_similarity": pa.array(average, from_pandas=True),
        }
    )
    incoherent = similarity.speaker < min_speaker_similarity  # False where it is nan: one utterance cannot be compared
    of_speakers = verdicts(
        author,
        Subject.SPEAKER,
        speaker_ids.tolist(),
        verdict=np.where(incoherent, Verdict.DROP, Verdict.KEEP),
        reason=np.select([incoherent, count < 2], [Reason.INCOHERENT_SPEAKER, Reason.TOO_FEW_TO_JUDGE], Reason.OK),
        score=similarity.speaker,
        lower_bound=min_speaker_similarity,
    )
    of_utterances = _judge_utterances(
        utterances["utterance_id"],
        average,
        (lower[speaker], upper[speaker]),
        invalid=incoherent[speaker],
        too_few=count[speaker] < MIN_TO_JUDGE,
        author=author,
    )
    decisions = pa.concat_tables([of_speakers, of_utterances])
    return Cleaned(utterance_scores=utterance_scores, speaker_scores=speaker_scores, decisions=decisions)


def _judge_utterances(
    ids: pa.ChunkedArray,
    average: Scores,
    valid: tuple[Scores, Scores],
    *,
    invalid: Flags,
    too_few: Flags,
    author: Author,
) -> pa.Table:
    """A verdict for each of N utterances, from its score and its speaker's range; nan is a speaker of one utterance."""
    lower, upper = valid
    below, above = average < lower - ROUNDING, average > upper + ROUNDING
    return verdicts(
        author,
        Subject.UTTERANCE,
        ids,
        verdict=np.where(invalid | below | above, Verdict.DROP, Verdict.KEEP),
        reason=np.select(
            [invalid, below, above, too_few],
            [Reason.INVALID_SPEAKER, Reason.BELOW_RANGE, Reason.ABOVE_RANGE, Reason.TOO_FEW_TO_JUDGE],
            Reason.OK,
        ),
        score=average,
        lower_bound=lower,
        upper_bound=upper,
    )


def valid_ranges(
    scores: Scores, speaker: Indices, num_speakers: int, *, iqr_factor: float = 1.5
) -> tuple[Scores, Scores]:
    """Q1 - f IQR and Q3 + f IQR of each speaker's scores, both (S,) (eq. 7 and 8); nan for a speaker without any."""
    first, third = quartiles(scores, speaker, num_speakers)
    spread = third - first
    return first - iqr_factor * spread, third + iqr_factor * spread


def quartiles(scores: Scores, speaker: Indices, num_speakers: int) -> tuple[Scores, Scores]:
    """Each speaker's first and third quartile, both (S,), to the last bit those of `numpy.percentile`.

    Scores are brought together by speaker, and of each one's no more are sorted than it takes. nan for a speaker who
    has none, or a nan among them.
    """
    from curate import kernels  # numba takes a third of a second to import

    start = np.cumsum(np.append(0, np.bincount(speaker, minlength=num_speakers)))
    first, third = np.empty((2, num_speakers))
    kernels.quartiles(scores, speaker, start, first, third)
    return first, third
