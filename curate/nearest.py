"""Each utterance against its own label without it, and against the other labels that it is most like.

Shapes: N utterances, S speakers (labels), D dimensions of the embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.similarity import Indices, Scores, Vectors

Flags = NDArray[np.bool_]

UTTERANCES_PER_TILE = 4096
MIN_OTHER_SESSIONS = 2  # with one other session nobody can tell which of the two is the foreign one


@dataclass(frozen=True, kw_only=True)
class NearestSpeakers:
    """Cosines of N utterances to the directions in which labels point."""

    own: Scores  # (N,) to the utterance's own label without it and its session; nan where nothing is left
    first: Indices  # (N,) the other label that it is most like; -1 where there is none
    second: Indices  # (N,) the next; -1 where there is none
    first_cosine: Scores  # (N,) -inf where there is none
    second_cosine: Scores  # (N,)


def nearest_speakers(
    unit_ND: Vectors,  # noqa: N803
    speaker: Indices,
    session: Indices,
    num_speakers: int,
    trusted: Flags | None = None,
) -> NearestSpeakers:
    """Of unit vectors, with `speaker` (N,) and `session` (N,) saying whose each is and from which sitting (-1: none).

    A label points where the sum of its `trusted` (N,) vectors points; without them, all. An utterance is compared with
    its own label less itself, and less its whole session where at least two other sessions of the label remain: a whole
    session of somebody else would defend itself.
    """
    weight = np.ones(len(speaker)) if trusted is None else trusted.astype(np.float64)
    total = _sums(unit_ND, speaker, num_speakers, weight)
    direction = _at_length_one(total).astype(np.float32)
    own = np.einsum("nd,nd->n", unit_ND, _at_length_one(total[speaker] - _own_part(unit_ND, session, speaker, weight)))
    first, second = np.full((2, len(speaker)), -1)
    first_cosine, second_cosine = np.full((2, len(speaker)), -np.inf)
    for start in range(0, len(speaker), UTTERANCES_PER_TILE):
        rows = slice(start, start + UTTERANCES_PER_TILE)
        cosines = (unit_ND[rows] @ direction.T).astype(np.float64)
        cosines[np.arange(len(cosines)), speaker[rows]] = -np.inf
        cosines[np.isnan(cosines)] = -np.inf  # labels without a trusted utterance
        for index, value in ((first, first_cosine), (second, second_cosine)):
            at = cosines.argmax(axis=1)
            best = cosines[np.arange(len(cosines)), at]
            index[rows], value[rows] = np.where(best > -np.inf, at, -1), best
            cosines[np.arange(len(cosines)), at] = -np.inf
    return NearestSpeakers(own=own, first=first, second=second, first_cosine=first_cosine, second_cosine=second_cosine)


def directions(unit_ND: Vectors, speaker: Indices, num_speakers: int, trusted: Flags) -> Vectors:  # noqa: N803
    """(S, D): where each label points, at length one; nan for a label without a trusted utterance."""
    found = _at_length_one(_sums(unit_ND, speaker, num_speakers, trusted.astype(np.float64)))
    return found.astype(np.float32)


def _sums(unit_ND: Vectors, speaker: Indices, num_speakers: int, weight: Scores) -> Scores:  # noqa: N803
    total = np.zeros((num_speakers, unit_ND.shape[1]))
    np.add.at(total, speaker, unit_ND * weight[:, None])
    return total


def _own_part(unit_ND: Vectors, session: Indices, speaker: Indices, weight: Scores) -> Scores:  # noqa: N803
    """(N, D): what an utterance itself, or its session, brings to the sum of its label."""
    known = session >= 0
    part = unit_ND * weight[:, None]
    pairs = np.unique(np.stack([speaker, session])[:, known], axis=1)
    num_sessions = np.bincount(pairs[0], minlength=int(speaker.max(initial=-1)) + 1)
    told = known & (num_sessions[speaker] > MIN_OTHER_SESSIONS)
    of_session = np.zeros((int(session.max(initial=-1)) + 1, unit_ND.shape[1]))
    np.add.at(of_session, session[told], part[told])
    part[told] = of_session[session[told]]
    return part


def _at_length_one(sums: Scores) -> Scores:
    """At length one; nan where a sum is zero."""
    length = np.linalg.norm(sums, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Scores = np.where(length > 1e-6, sums / length, np.nan)  # less is what rounding leaves of nothing
    return found
