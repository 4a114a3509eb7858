"""Mean cosines, exactly and without n x n matrices: of unit vectors, the mean of all cosines is a dot product of means.

Shapes: N utterances, S speakers, D dimensions of the embedding.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
Indices = NDArray[np.int64]

ROUNDING = 1e-6  # of a float32 cosine
SPEAKERS_PER_TILE = 1024  # a tile of cosines is 4 MB: it stays in the cache


def unit(vectors: Vectors) -> Vectors:
    """(N, D) at length one: before any averaging, or loud utterances would dominate.

    Raises ValueError for a vector that has no direction.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("a vector is zero or not finite; expected every embedding to have a direction")
    directions: Vectors = (vectors / lengths).astype(np.float32)
    return directions


@dataclass(frozen=True, kw_only=True)
class SelfSimilarity:
    """How alike the utterances of each speaker are."""

    utterance: Scores  # (N,) mean cosine to the speaker's others; nan where there are none
    speaker: Scores  # (S,) mean cosine of two different utterances; nan for one utterance
    count: Indices  # (S,)


def self_similarity(unit_ND: Vectors, speaker: Indices, num_speakers: int) -> SelfSimilarity:  # noqa: N803
    """Of unit vectors, with `speaker` (N,) saying whose each is. O(N D) time, no matrix.

    With S the sum of a speaker's n vectors v: sum of v . w over the others w is v . S - 1 (VietSV eq. 6), and the sum
    over all ordered pairs is S . S - n.
    """
    count, total = speaker_sums(unit_ND, speaker, num_speakers)
    with_self = np.einsum("nd,nd->n", unit_ND, total[speaker], dtype=np.float64)
    own = np.einsum("nd,nd->n", unit_ND, unit_ND, dtype=np.float64)  # one, but for rounding
    alone = np.bincount(speaker, weights=own, minlength=num_speakers)
    pairs = np.einsum("sd,sd->s", total, total) - alone
    with np.errstate(invalid="ignore", divide="ignore"):
        utterance = (with_self - own) / (count[speaker] - 1)
        of_speaker = pairs / (count * (count - 1))
    utterance[count[speaker] < 2] = np.nan
    of_speaker[count < 2] = np.nan
    return SelfSimilarity(utterance=utterance, speaker=of_speaker, count=count)


def speaker_sums(unit_ND: Vectors, speaker: Indices, num_speakers: int) -> tuple[Indices, Scores]:  # noqa: N803
    """How many vectors each speaker has (S,) and their sums (S, D) in float64."""
    count = np.bincount(speaker, minlength=num_speakers)
    total = np.zeros((num_speakers, unit_ND.shape[1]))
    order = np.argsort(speaker, kind="stable")
    present = np.flatnonzero(count)
    starts = (np.cumsum(count) - count)[present]
    if len(present):
        total[present] = np.add.reduceat(unit_ND[order].astype(np.float64), starts, axis=0)
    return count, total


def mean_vectors(unit_ND: Vectors, speaker: Indices, num_speakers: int) -> Vectors:  # noqa: N803
    """(S, D): a . b of two rows is the mean of all cosines between the two speakers. Zero for nobody's utterances."""
    count, total = speaker_sums(unit_ND, speaker, num_speakers)
    return (total / np.maximum(count, 1)[:, None]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Mean cosines of the speakers from `row` on with those from `column` on."""

    row: int
    column: int
    cosines: Vectors


def cross_similarity(mean_SD: Vectors) -> Iterator[Tile]:  # noqa: N803
    """All pairs of speakers, the upper triangle in tiles: O(S^2 D) time, one tile of memory."""
    step = SPEAKERS_PER_TILE
    for row in range(0, len(mean_SD), step):
        for column in range(row, len(mean_SD), step):
            cosines = mean_SD[row : row + step] @ mean_SD[column : column + step].T
            yield Tile(row=row, column=column, cosines=cosines)


@dataclass(frozen=True, kw_only=True)
class SimilarPairs:
    """Pairs of speakers, `first < second`, in order; `similarity` is their mean cosine."""

    first: Indices
    second: Indices
    similarity: Scores


def similar_pairs(mean_SD: Vectors, min_similarity: float) -> SimilarPairs:  # noqa: N803
    """Every pair that reaches `min_similarity`, and each speaker with the one it is most like."""
    num = len(mean_SD)
    best = np.full(num, -np.inf)
    nearest = np.full(num, -1)
    firsts, seconds = [], []
    for tile in cross_similarity(mean_SD):
        cosines = tile.cosines.astype(np.float64)
        if tile.row == tile.column:
            np.fill_diagonal(cosines, -np.inf)
        _remember_best(best, nearest, tile.row, tile.column, cosines)
        _remember_best(best, nearest, tile.column, tile.row, cosines.T)
        i, j = np.nonzero(cosines >= min_similarity - ROUNDING)  # float32 chooses, float64 decides below
        upper = i + tile.row < j + tile.column
        firsts.append(i[upper] + tile.row)
        seconds.append(j[upper] + tile.column)
    with_other = np.flatnonzero(nearest >= 0)
    firsts.append(np.minimum(with_other, nearest[with_other]))
    seconds.append(np.maximum(with_other, nearest[with_other]))
    pairs = np.unique(np.stack([np.concatenate(firsts), np.concatenate(seconds)], axis=1), axis=0)
    first, second = pairs[:, 0], pairs[:, 1]
    similarity = np.einsum("pd,pd->p", mean_SD[first], mean_SD[second], dtype=np.float64)
    chosen = (similarity >= min_similarity) | (nearest[first] == second) | (nearest[second] == first)
    return SimilarPairs(first=first[chosen], second=second[chosen], similarity=similarity[chosen])


def _remember_best(best: Scores, nearest: Indices, row: int, column: int, cosines: Scores) -> None:
    at = cosines.argmax(axis=1)
    value = cosines[np.arange(len(cosines)), at]
    rows = np.arange(row, row + len(cosines))
    better = value > best[rows]
    best[rows[better]] = value[better]
    nearest[rows[better]] = at[better] + column
