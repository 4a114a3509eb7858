"""Judge speakers and utterances by what each fault would give in the corpora themselves: no threshold is brought along.

Four questions, one after the other, each asked of what the one before has left:
1. Is an utterance likelier another label's (`curate.mislabelled`)?
2. Do several people speak under a label (`curate.mixed`)? Who says most keeps it, where that is `min_main_share`; a
   part that is another label's person is told as that label's. So is a label under which several utterances of one
   other label were found one by one: it stays, and is told as mixed.
3. Is an utterance no more like its label than a stranger is?
4. Is enough left of a label for it to stand for a person?

Labels of fewer than five utterances are too few to judge, and kept.

Where `wrong_speaker` is "relabel", an utterance that another label claims is not always dropped. It moves where it
stands out for that label as hardly an utterance would that has no label of its own here: how far the nearest label
leads before the next is measured on all that stays, their own label left out. It does not move to a label that is
dropped or too few to judge. What moves counts for neither label: whether enough is left of a label is asked of the
utterances that came under it. So the two settings differ in nothing but that some are moved instead of dropped.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import poisson

from curate.codes import numbered
from curate.decisions import Author, verdicts
from curate.mislabelled import MIN_TO_JUDGE, Mislabelled, Unlike, find_mislabelled, find_unlike
from curate.mixed import People, people
from curate.nearest import nearest_speakers
from curate.outliers import Cleaned
from curate.presets import Robust
from curate.reasons import Reason, Subject, Verdict
from curate.schema import SPEAKER_SCORES, UTTERANCE_SCORES
from curate.similarity import Indices, Picked, Scores, Vectors, self_similarity, unit

Flags = NDArray[np.bool_]

MIN_SHARE_OF_GUEST = 0.1  # of a label: what another one claims of it, where that is a person in it
MAX_SLIPS = 0.05  # of labels without such a guest have by chance so many slips of one other label
MAX_BY_CHANCE = 0.01  # of utterances without a label of their own stand out for one as much as what moves


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was measured of N utterances of S labels, and what follows."""

    count: Indices  # (S,)
    of_label: Mislabelled
    of_nobody: Unlike
    people: People  # of those that are no other label's
    num_people: Indices  # (S,) with those whose utterances other labels claim one by one
    claimed: Indices  # (N,) the label that an utterance is likelier of; -1 where it is its own, or nobody's
    is_foreign: Flags  # (N,) of a person who is not the label's main one
    is_unclear: Flags  # (S,) several people, and none who has enough of it


def clean_robust(
    utterances: pa.Table, vectors: Vectors, *, settings: Robust, author: Author, overwrite: bool = False
) -> Cleaned:
    """Judge `utterances` (utterance_id, speaker_id, session_id) by their `vectors` (N, D), row by row.

    One verdict for every utterance and every speaker; nothing is dropped here. Without utterances there are none.
    Raises ValueError for a vector without direction.
    """
    speaker_ids, speaker = numbered(utterances["speaker_id"])
    session = _numbered(utterances["session_id"])
    unit_ND = unit(vectors, overwrite=overwrite)
    found = _find(unit_ND, speaker, session, len(speaker_ids), settings.min_main_share)
    of_utterances = _reasons_of_utterances(found, speaker)
    of_speakers = _reasons_of_speakers(found, of_utterances, speaker, settings)
    invalid = np.isin(of_speakers, [Reason.MIXED_SPEAKER, Reason.INCOHERENT_SPEAKER, Reason.TOO_FEW_LEFT])
    is_left = np.isin(of_utterances, [Reason.OK, Reason.TOO_FEW_TO_JUDGE])
    moves = np.zeros(len(speaker), bool)
    if settings.wrong_speaker == "relabel":
        moves = _moves(unit_ND, speaker, session, found, is_left, ~invalid & (found.count >= MIN_TO_JUDGE))
    of_utterances = np.where(invalid[speaker] & is_left, Reason.INVALID_SPEAKER, of_utterances)
    ids, similarity = utterances["utterance_id"], self_similarity(unit_ND, speaker, len(speaker_ids))
    judged = _judge_utterances(ids, speaker_ids, found, of_utterances, moves, author)
    return Cleaned(
        utterance_scores=_utterance_scores(ids, speaker_ids, speaker, found, similarity.utterance),
        speaker_scores=_speaker_scores(speaker_ids, found, similarity.speaker),
        decisions=pa.concat_tables([_judge_speakers(speaker_ids, found, of_speakers, invalid, author), judged]),
    )


def _find(unit_ND: Vectors, speaker: Indices, session: Indices, num_speakers: int, min_main_share: float) -> _Found:
    of_label = find_mislabelled(unit_ND, speaker, session, num_speakers)
    is_anothers = of_label.is_wrong & _is_like_first(of_label)
    rest = np.flatnonzero(~is_anothers)  # wrong ones that are like nobody stay: several of one voice are a person
    told = people(Picked(unit_ND, rest), speaker[rest], session[rest], num_speakers)
    is_foreign, is_main = np.zeros((2, len(speaker)), bool)
    is_foreign[rest], is_main[rest] = told.part > 0, (told.part == 0) & ~of_label.is_wrong[rest]
    of_nobody = find_unlike(unit_ND, speaker, session, num_speakers, is_main)
    claimed = np.where(is_anothers, of_label.near.first, -1)
    claimed[rest] = _claimed_parts(told, speaker[rest], num_speakers)
    # what is like nobody enough is yet likest to somebody
    is_slip = (of_label.is_wrong & ~is_foreign) | of_nobody.is_unlike
    guests = _num_guests(np.where(is_slip, of_label.near.first, -1), speaker, num_speakers)
    main = np.bincount(speaker[is_main], minlength=num_speakers)
    unclaimed = np.bincount(speaker[is_foreign & (claimed < 0)], minlength=num_speakers)
    return _Found(
        count=np.bincount(speaker, minlength=num_speakers),
        of_label=of_label,
        of_nobody=of_nobody,
        people=told,
        num_people=told.num_people + guests,
        claimed=claimed,
        is_foreign=is_foreign,
        is_unclear=(told.num_people > 1) & (main < min_main_share * (main + unclaimed)),
    )


def _num_guests(claimed: Indices, speaker: Indices, num_speakers: int) -> Indices:
    """(S,) other labels of which so many utterances stand under a label that they are a person in it, and no slips.

    Slips fall evenly: two or more of one other label are a person where so many would hardly come from it by chance.
    """
    is_guest = claimed >= 0
    pairs, num = np.unique(speaker[is_guest] * num_speakers + claimed[is_guest], return_counts=True)
    owner = pairs // num_speakers
    guests, utterances = (np.bincount(some, minlength=num_speakers) for some in (speaker[is_guest], speaker))
    of_label, others = utterances[owner], max(num_speakers - 1, 1)
    elsewhere = (is_guest.sum() - guests) / np.maximum(len(speaker) - utterances, 1)  # share of slips, without its own
    by_chance = others * poisson.sf(num - 1, of_label * elsewhere[owner] / others)
    is_person = (num >= 2) & (num >= MIN_SHARE_OF_GUEST * of_label) & (by_chance < MAX_SLIPS)
    return np.bincount(owner[is_person], minlength=num_speakers)


def _is_like_first(found: Mislabelled) -> Flags:
    """Whether an utterance is more like one of the nearest other label than like a stranger to it: else it is nobody's.

    The bound is midway between what right utterances are like their own label and the nearest other (medians).
    """
    right = found.is_judged & ~found.is_wrong
    if not right.any():
        return np.zeros(len(right), bool)
    middle = (np.median(found.near.own[right]) + np.median(found.near.first_cosine[right])) / 2
    return found.near.first_cosine >= middle


def _claimed_parts(told: People, speaker: Indices, num_speakers: int) -> Indices:
    """The label that each utterance of a foreign part belongs to; -1 for one of a main part, or of nobody's."""
    of_part = np.full((num_speakers, int(told.part.max(initial=0)) + 1), -1)
    is_claimed = told.parts.is_of_nearest & (told.parts.part > 0)
    of_part[told.parts.speaker, told.parts.part] = np.where(is_claimed, told.parts.nearest, -1)
    found: Indices = of_part[speaker, told.part]
    return found


def _moves(
    unit_ND: Vectors, speaker: Indices, session: Indices, found: _Found, is_left: Flags, may_receive: Flags
) -> Flags:
    """(N,) which claimed utterances go to the label that claims them, where it `may_receive` (S,) any.

    Every label takes part by what `is_left` (N,) under it, also one that may receive none. With fewer than three
    labels, or a hundred utterances, nothing tells how far the nearest label leads by chance, and nothing moves.
    """
    is_claimed = found.claimed >= 0
    given = np.where(is_claimed, found.claimed, speaker)
    near = nearest_speakers(unit_ND, given, session, len(found.count), is_left)
    asked, known = is_claimed & (near.first >= 0), is_left & (near.second >= 0)
    by_chance = np.sort(near.first_cosine[known] - near.second_cosine[known])
    lead = np.full(len(speaker), -np.inf)
    lead[asked] = near.own[asked] - near.first_cosine[asked]  # nan where nothing is left of the label
    as_far = len(by_chance) - np.searchsorted(by_chance, lead)
    is_sure = (as_far + 1) / (len(by_chance) + 1) < MAX_BY_CHANCE  # the one asked about is one of them
    moves: Flags = is_sure & np.isfinite(lead) & may_receive[given]
    return moves


def _reasons_of_utterances(found: _Found, speaker: Indices) -> NDArray[np.str_]:
    return np.select(
        [
            found.claimed >= 0,
            found.is_foreign,
            found.of_label.is_wrong | found.of_nobody.is_unlike,
            (found.count < MIN_TO_JUDGE)[speaker],
        ],
        [Reason.WRONG_SPEAKER, Reason.ANOTHER_PERSON, Reason.UNLIKE_SPEAKER, Reason.TOO_FEW_TO_JUDGE],
        Reason.OK,
    )


def _reasons_of_speakers(
    found: _Found, of_utterances: NDArray[np.str_], speaker: Indices, settings: Robust
) -> NDArray[np.str_]:
    is_left = np.isin(of_utterances, [Reason.OK, Reason.TOO_FEW_TO_JUDGE])
    left = np.bincount(speaker[is_left], minlength=len(found.count))
    return np.select(
        [
            left < settings.min_kept_share * found.count,
            found.is_unclear,
            left < settings.min_utterances,
            found.count < MIN_TO_JUDGE,
        ],
        [Reason.INCOHERENT_SPEAKER, Reason.MIXED_SPEAKER, Reason.TOO_FEW_LEFT, Reason.TOO_FEW_TO_JUDGE],
        Reason.OK,
    )


def _judge_utterances(
    ids: pa.ChunkedArray,
    speaker_ids: NDArray[np.object_],
    found: _Found,
    reasons: NDArray[np.str_],
    moves: Flags,
    author: Author,
) -> pa.Table:
    """The score is what was held against a bound: the margin, or for a voice of nobody the cosine to its own label.

    An utterance that goes for the sake of its label, or with a part of it, has no bound: no score of its own decided.
    """
    by_cosine = found.of_nobody.is_unlike
    bounds = [np.nan if one.mixture is None else one.mixture.threshold for one in (found.of_label, found.of_nobody)]
    margin, own = found.of_label.margin, found.of_nobody.own
    is_kept = np.isin(reasons, [Reason.OK, Reason.TOO_FEW_TO_JUDGE])
    bound = np.where(by_cosine, bounds[1], np.where(found.of_label.is_judged, bounds[0], np.nan))
    bound[~is_kept & ~by_cosine & ~found.of_label.is_wrong] = np.nan
    return verdicts(
        author,
        Subject.UTTERANCE,
        ids,
        verdict=np.select([is_kept, moves], [Verdict.KEEP, Verdict.RELABEL], Verdict.DROP),
        reason=reasons,
        other_ids=_names(speaker_ids, np.where(reasons == Reason.WRONG_SPEAKER, found.claimed, -1)),
        score=np.where(by_cosine, own, margin),
        lower_bound=np.where(np.isfinite(bound), bound, np.nan),  # -inf: nothing is likelier wrong
    )


def _judge_speakers(
    speaker_ids: NDArray[np.object_], found: _Found, reasons: NDArray[np.str_], invalid: Flags, author: Author
) -> pa.Table:
    """The score is how alike the two halves are into which a label parts best; a mixed label that stays is told so."""
    is_mixed = found.num_people > 1
    return verdicts(
        author,
        Subject.SPEAKER,
        speaker_ids.tolist(),
        verdict=np.where(invalid, Verdict.DROP, Verdict.KEEP),
        reason=np.where(is_mixed & (reasons == Reason.OK), Reason.MIXED_SPEAKER, reasons),
        score=found.people.score,
        lower_bound=found.people.threshold,
    )


def _utterance_scores(
    ids: pa.ChunkedArray, speaker_ids: NDArray[np.object_], speaker: Indices, found: _Found, mean_cosine: Scores
) -> pa.Table:
    near, mixture = found.of_label.near, found.of_label.mixture
    num = found.count[speaker]
    probability = np.full(len(speaker), np.nan)
    if mixture is not None:
        judged = found.of_label.is_judged
        probability[judged] = mixture.probability_wrong(found.of_label.margin[judged])
    return UTTERANCE_SCORES.rows(
        {
            "utterance_id": ids,
            "speaker_id": speaker_ids[speaker],
            "average_similarity": pa.array(mean_cosine * (num - 1) / num, from_pandas=True),
            "own_cosine": pa.array(near.own, from_pandas=True),
            "nearest_speaker_id": _names(speaker_ids, near.first),
            "nearest_cosine": pa.array(np.where(near.first >= 0, near.first_cosine, np.nan), from_pandas=True),
            "probability_wrong": pa.array(probability, from_pandas=True),
        }
    )


def _speaker_scores(speaker_ids: NDArray[np.object_], found: _Found, mean_cosine: Scores) -> pa.Table:
    return SPEAKER_SCORES.rows(
        {
            "speaker_id": speaker_ids,
            "num_utterances": found.count,
            "self_similarity": pa.array(mean_cosine, from_pandas=True),
            "num_people": pa.array(found.num_people, mask=np.isnan(found.people.score)),
        }
    )


def _names(speaker_ids: NDArray[np.object_], index: Indices) -> pa.Array:
    """Ids by their number; null for -1."""
    return pa.array(speaker_ids[index] if len(speaker_ids) else [], pa.string(), mask=index < 0)


def _numbered(sessions: pa.ChunkedArray) -> Indices:
    """(N,) numbers of sessions; -1 where none is known."""
    codes = sessions.combine_chunks().dictionary_encode().indices
    found: Indices = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found
