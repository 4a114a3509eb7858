"""Each utterance against its own label without it, and against the other labels that it is most like.

Shapes: N utterances, S speakers (labels), D dimensions of the embedding.
"""

from dataclasses import dataclass

import numpy as np

from curate.similarity import Flags, Indices, Scores, Vectors, product_error, refuse_row, speaker_sums, starts

UTTERANCES_PER_TILE = 1024
SPEAKERS_PER_TILE = 1024  # a tile of cosines is 4 MB: it stays in the cache
MIN_OTHER_SESSIONS = 2  # with one other session nobody can tell which of the two is the foreign one
MIN_LENGTH = 1e-6  # of a sum that points somewhere: less is what rounding leaves of nothing


@dataclass(frozen=True, kw_only=True)
class NearestSpeakers:
    """Cosines of N utterances to the directions in which labels point."""

    own: Scores  # (N,) to the utterance's own label without it and its session; nan where nothing is left
    first: Indices  # (N,) the other label that it is most like; -1 where there is none
    second: Indices  # (N,) the next; -1 where there is none
    first_cosine: Scores  # (N,) -inf where there is none
    second_cosine: Scores  # (N,)


def nearest_speakers(
    unit_ND: Vectors,
    speaker: Indices,
    session: Indices,
    num_speakers: int,
    trusted: Flags | None = None,
) -> NearestSpeakers:
    """Of unit vectors, with `speaker` (N,) and `session` (N,) saying whose each is and from which sitting (-1: none).

    A label points where the sum of its `trusted` (N,) vectors points; without them, all. An utterance is compared with
    its own label less itself, and less its whole session where at least two other sessions of the label remain and
    three quarters of its utterances: a whole session of somebody else would defend itself, but a few utterances of
    others must not speak for the label. Sessions of two labels are two, whatever their numbers. Of labels that are
    equally near the lesser is the first.

    O(N S D) time; beside what is returned and the labels' sums it takes a few tiles of memory. Raises ValueError for a
    row that is not a unit vector.
    """
    from curate import kernels  # numba takes a third of a second to import

    trusted = np.ones(len(speaker), bool) if trusted is None else trusted
    total = speaker_sums(unit_ND, speaker, num_speakers, trusted)[1]
    own = _to_rest(unit_ND, speaker, session, num_speakers, trusted)
    index, value = np.full((len(speaker), 2), -1), np.full((len(speaker), 2), -np.inf)
    length = np.sqrt(np.einsum("sd,sd->s", total, total))
    pointing = np.flatnonzero(length > MIN_LENGTH)
    cosines = np.empty(UTTERANCES_PER_TILE * SPEAKERS_PER_TILE, np.float32)
    for left in range(0, len(pointing), SPEAKERS_PER_TILE):
        label = pointing[left : left + SPEAKERS_PER_TILE]
        direction = (total[label] / length[label, None]).astype(np.float32)
        for row in range(0, len(speaker), UTTERANCES_PER_TILE):
            utterances = unit_ND[row : row + UTTERANCES_PER_TILE]
            tile = cosines[: len(utterances) * len(label)].reshape(len(utterances), len(label))
            np.matmul(utterances, direction.T, out=tile)
            kernels.keep_two_nearest(
                tile, unit_ND, row, speaker, label, total, length, product_error(unit_ND.shape[1]), index, value
            )
    (first, second), (first_cosine, second_cosine) = index.T.copy(), value.T.copy()
    return NearestSpeakers(own=own, first=first, second=second, first_cosine=first_cosine, second_cosine=second_cosine)


def own_cosines(unit_ND: Vectors, speaker: Indices, session: Indices, num_speakers: int, trusted: Flags) -> Scores:
    """(N,) `own` of `nearest_speakers`, in O(N D) time. Raises ValueError for a row that is not a unit vector."""
    from curate import kernels

    refuse_row(kernels.first_not_unit(unit_ND), unit_ND)
    return _to_rest(unit_ND, speaker, session, num_speakers, trusted)


def _to_rest(unit_ND: Vectors, speaker: Indices, session: Indices, num_speakers: int, trusted: Flags) -> Scores:
    from curate import kernels

    start = starts(unit_ND, speaker, num_speakers)
    by_session = np.argsort(session, kind="stable")
    order = by_session[kernels.ordered(speaker[by_session], start)]
    own = np.empty(len(speaker))
    kernels.cosines_to_rest(unit_ND, order, start, session, trusted, MIN_OTHER_SESSIONS, MIN_LENGTH, own)
    return own


def directions(unit_ND: Vectors, speaker: Indices, num_speakers: int, trusted: Flags) -> Vectors:
    """(S, D): where each label points, at length one; nan for a label without a trusted utterance."""
    total = speaker_sums(unit_ND, speaker, num_speakers, trusted)[1]
    length = np.sqrt(np.einsum("sd,sd->s", total, total))
    length[length <= MIN_LENGTH] = np.nan
    found: Vectors = (total / length[:, None]).astype(np.float32)
    return found
