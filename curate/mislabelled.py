"""Find utterances that bear the wrong label, and utterances in which nobody of the corpus is to be heard.

The margin of an utterance is its cosine to its own label, without it and its session, less that to the nearest other
label. What a wrong label would give is told by the corpus itself: each utterance is scored as if it bore the labels of
others, evenly drawn, and as if it bore the label that it is nearest to. `curate.mixture` weighs the margins against
these. Then the same is done again with sums that leave out what was found, since wrong labels blur the right ones.

A margin does not tell noise, or somebody who has no label here: such an utterance is as far from all. Its cosine to its
own label tells it, weighed against the cosines that utterances have to the labels of others.

With GE2E and wrong labels planted evenly the first finds, at 5 to 30 %, all of them on pieces of LibriSpeech, and F1 is
0.9 on EmoDB's acted emotions; where nothing is planted it finds nothing. A threshold of zero, where the
nearest label is another, reaches 0.50 to 0.86 there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.mixture import Mixture, fit
from curate.nearest import NearestSpeakers, directions, nearest_speakers, own_cosines
from curate.similarity import Indices, Scores, Vectors

Flags = NDArray[np.bool_]

MIN_TO_JUDGE = 5  # an utterance is held against the others of its label: three are too few to tell who is odd
MIN_TO_FIT = 30  # margins of fewer utterances say nothing of how margins are spread
NUM_PASSES = 2  # a third begins to take away the odd ones among the right
NUM_WRONG_LABELS = 20  # that an utterance is scored under
MAX_WRONG_SCORES = 2_000_000
MAX_ODD = 0.5  # of a label


@dataclass(frozen=True, kw_only=True)
class Mislabelled:
    """Of N utterances, which bear the wrong label."""

    near: NearestSpeakers  # to the sums of what was left
    margin: Scores  # (N,) nan where it cannot be told
    is_judged: Flags  # (N,)
    is_wrong: Flags  # (N,) False where not judged
    mixture: Mixture | None  # None where too few were judged to say how margins are spread


def find_mislabelled(
    unit_ND: Vectors,
    speaker: Indices,
    session: Indices,
    num_speakers: int,
) -> Mislabelled:
    """Of unit vectors (N, D), with `speaker` and `session` (N,) saying whose each is and from which sitting (-1: none).

    Labels are numbered in the order of their ids, so that the wrong labels tried do not depend on the order of rows.
    """
    is_wrong = np.zeros(len(speaker), bool)
    for _ in range(NUM_PASSES):
        near = nearest_speakers(unit_ND, speaker, session, num_speakers, ~is_wrong)
        margin = near.own - np.where(near.first >= 0, near.first_cosine, np.nan)
        is_judged = np.isfinite(margin) & (np.bincount(speaker, minlength=num_speakers) >= MIN_TO_JUDGE)[speaker]
        if is_judged.sum() < MIN_TO_FIT:
            mixture = None
            break
        scores = _margins_under_wrong_labels(unit_ND, speaker, num_speakers, near, ~is_wrong)
        mixture = fit(margin[is_judged], [scores], mirrored=True)
        # an utterance of whose label nothing is left to be held against stays what it was
        before, is_wrong = is_wrong, np.where(is_judged, margin < mixture.threshold, is_wrong)
        if (is_wrong == before).all():
            break
    return Mislabelled(near=near, margin=margin, is_judged=is_judged, is_wrong=is_wrong, mixture=mixture)


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """Of N utterances, which are no more like their label than a stranger is."""

    own: Scores  # (N,) cosine to the label without it; nan where nothing is left
    is_unlike: Flags  # (N,) False where not asked
    mixture: Mixture | None  # None where too few were asked


def find_unlike(
    unit_ND: Vectors,
    speaker: Indices,
    session: Indices,
    num_speakers: int,
    among: Flags,
) -> Unlike:
    """Which `among` (N,) these have a cosine to their label that is likelier a stranger's.

    Where that would be most of a label, it is none: the label is the odd one then, and that is another question.
    """
    own = own_cosines(unit_ND, speaker, session, num_speakers, among)
    asked = among & np.isfinite(own) & (np.bincount(speaker[among], minlength=num_speakers) >= MIN_TO_JUDGE)[speaker]
    if asked.sum() < MIN_TO_FIT or num_speakers < 2:
        return Unlike(own=own, is_unlike=np.zeros(len(speaker), bool), mixture=None)
    rows = np.flatnonzero(asked)
    strangers = [cosine for _, cosine in _under_wrong_labels(unit_ND, speaker, num_speakers, rows, among)]
    mixture = fit(own[asked], [_finite(strangers)])
    is_unlike = asked & (own < mixture.threshold)
    share = np.bincount(speaker[is_unlike], minlength=num_speakers) / np.maximum(
        np.bincount(speaker[asked], minlength=num_speakers), 1
    )
    return Unlike(own=own, is_unlike=is_unlike & (share <= MAX_ODD)[speaker], mixture=mixture)


def _margins_under_wrong_labels(
    unit_ND: Vectors,
    speaker: Indices,
    num_speakers: int,
    near: NearestSpeakers,
    trusted: Flags,
) -> Scores:
    """The margins that trusted utterances would have under labels of others: their own is then the one to beat."""
    rows = np.flatnonzero(trusted & np.isfinite(near.own))
    margins = []
    for label, cosine in _under_wrong_labels(unit_ND, speaker, num_speakers, rows, trusted):
        other = np.where(label == near.first[rows], near.second_cosine[rows], near.first_cosine[rows])
        margins.append(cosine - np.maximum(near.own[rows], other))
    return _finite(margins)


def _under_wrong_labels(
    unit_ND: Vectors,
    speaker: Indices,
    num_speakers: int,
    rows: Indices,
    trusted: Flags,
) -> Iterator[tuple[Indices, Scores]]:
    """Labels of others for these R rows, several times: each label (R,), and the cosines (R,) to it."""
    from curate import kernels  # numba takes a third of a second to import

    direction = directions(unit_ND, speaker, num_speakers, trusted)
    num = max(1, min(NUM_WRONG_LABELS, num_speakers - 1, MAX_WRONG_SCORES // max(len(rows), 1)))
    for step in np.unique(np.linspace(1, num_speakers - 1, num).round().astype(np.int64)):
        label = (speaker[rows] + step) % num_speakers
        cosines = np.empty(len(rows))
        kernels.products(unit_ND, rows, direction, label, cosines)
        yield label, cosines


def _finite(scores: list[Scores]) -> Scores:
    """All of them but those to labels that have no trusted utterance."""
    joined = np.concatenate(scores)
    found: Scores = joined[np.isfinite(joined)]
    return found
