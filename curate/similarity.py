"""Mean cosines, exactly and without n x n matrices: of unit vectors, the mean of all cosines is a dot product of means.

The loops are in `curate.kernels`, in float64. A result is the same to the last bit in any order of the rows, and with
any number of threads: sums are exact, and what a matrix product finds in float32 is computed again before it counts.

Shapes: N utterances, S speakers, D dimensions of the embedding. None of them need be more than zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

ROUNDING = 1e-6  # of a float32 cosine
SPEAKERS_PER_TILE = 512  # a tile of cosines is 1 MB: it stays in the cache
SUMS_PER_TILE = 1024


def unit(vectors: Vectors, *, overwrite: bool = False) -> Vectors:
    """(N, D) at length one: before any averaging, or loud utterances would dominate.

    With `overwrite` in the place of those that are given. Raises ValueError for a vector that has no direction.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    has_none = ~(np.isfinite(lengths) & (lengths > 0))
    if has_none.any():
        row = int(has_none.argmax())
        raise ValueError(f"vector {row} of {len(vectors)} is zero or not finite; expected one that has a direction")
    directions: Vectors = vectors if overwrite else np.empty(vectors.shape, np.float32)
    np.divide(vectors, lengths[:, None], out=directions, casting="same_kind")
    return directions


@dataclass(frozen=True)
class Picked:
    """Some `rows` (M,) of vectors (N, D), in their order; copied only as far as they are asked for."""

    vectors: Vectors
    rows: Indices

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """(M, D)."""
        return len(self.rows), self.vectors.shape[1]

    def __getitem__(self, rows: Indices | slice) -> Vectors:
        """As of an array."""
        return self.vectors[self.rows[rows]]


@dataclass(frozen=True, kw_only=True)
class SelfSimilarity:
    """How alike the utterances of each speaker are."""

    utterance: Scores  # (N,) mean cosine to the speaker's others; nan where there are none
    speaker: Scores  # (S,) mean cosine of two different utterances; nan for one utterance and for none
    count: Indices  # (S,)


def self_similarity(unit_ND: Vectors, speaker: Indices, num_speakers: int) -> SelfSimilarity:
    """Of unit vectors, with `speaker` (N,) saying whose each is. O(N D) time, and 24 bytes an utterance of memory.

    With S the sum of a speaker's n vectors v: sum of v . w over the others w is v . S - 1 (VietSV eq. 6), and the sum
    over all ordered pairs is S . S - n. Raises ValueError for a row that is not a unit vector.
    """
    from curate import (
        kernels,
    )  # numba takes a third of a second to import: not to be waited for where nothing is computed

    start = starts(unit_ND, speaker, num_speakers)
    utterance, of_speaker = np.empty(len(unit_ND)), np.empty(num_speakers)
    order = kernels.ordered(speaker, start)
    refuse_row(kernels.self_similarities(unit_ND, order, start, utterance, of_speaker), unit_ND)
    return SelfSimilarity(utterance=utterance, speaker=of_speaker, count=np.diff(start))


def starts(unit_ND: Vectors, speaker: Indices, num_speakers: int) -> Indices:
    """(S + 1,) where each speaker's rows begin once they are sorted. Raises ValueError for labels that do not fit."""
    if len(speaker) != len(unit_ND):
        raise ValueError(f"{len(speaker)} labels of {len(unit_ND)} vectors; expected one of each")
    if len(speaker) and not 0 <= speaker.min() <= speaker.max() < num_speakers:
        raise ValueError(f"speakers {speaker.min()} to {speaker.max()}; expected 0 to {num_speakers - 1}")
    start = np.zeros(num_speakers + 1, np.int64)
    np.cumsum(np.bincount(speaker, minlength=num_speakers), out=start[1:])
    return start


def refuse_row(row: int, unit_ND: Vectors) -> None:
    """Raise ValueError for a row, unless -1, that is not a unit vector."""
    if row >= 0:
        length = np.linalg.norm(unit_ND[row])
        raise ValueError(f"vector {row} of {len(unit_ND)} has length {length:.4g}; expected length one (see `unit`)")


def speaker_sums(
    unit_ND: Vectors,
    speaker: Indices,
    num_speakers: int,
    trusted: Flags | None = None,
) -> tuple[Indices, Scores]:
    """How many vectors each speaker has (S,) and their sums (S, D) in float64, of those that are `trusted` (N,) or all.

    Raises ValueError for a row that is not a unit vector.
    """
    from curate import kernels

    order, start = _rows_by_speaker(unit_ND, speaker, num_speakers, trusted)
    total = np.zeros((num_speakers, unit_ND.shape[1]))
    kernels.sum_rows(unit_ND, order, start, 0, total)
    return np.diff(start), total


def mean_vectors(unit_ND: Vectors, speaker: Indices, num_speakers: int, trusted: Flags | None = None) -> Vectors:
    """(S, D): a . b of two rows is the mean of all cosines between the two speakers. Zero for nobody's utterances.

    Of the vectors that are `trusted` (N,), or all. Raises ValueError for a row that is not a unit vector.
    """
    from curate import kernels

    order, start = _rows_by_speaker(unit_ND, speaker, num_speakers, trusted)
    means: Vectors = np.empty((num_speakers, unit_ND.shape[1]), np.float32)
    for first in range(0, num_speakers, SUMS_PER_TILE):
        some = slice(first, min(first + SUMS_PER_TILE, num_speakers))
        total = np.zeros(means[some].shape)
        kernels.sum_rows(unit_ND, order, start, first, total)
        means[some] = total / np.maximum(np.diff(start)[some, None], 1)
    return means


def _rows_by_speaker(
    unit_ND: Vectors,
    speaker: Indices,
    num_speakers: int,
    trusted: Flags | None = None,
) -> tuple[Indices, Indices]:
    from curate import kernels

    start = starts(unit_ND, speaker, num_speakers)
    refuse_row(kernels.first_not_unit(unit_ND), unit_ND)
    if trusted is None:
        return kernels.ordered(speaker, start), start
    rows = np.flatnonzero(trusted)
    np.cumsum(np.bincount(speaker[rows], minlength=num_speakers), out=start[1:])
    return rows[kernels.ordered(speaker[rows], start)], start


def product_error(dimension: int) -> float:
    """By how much a float32 product of two unit vectors may be wrong, in any order of its sum, their rounding included.

    Higham, Accuracy and Stability of Numerical Algorithms, eq. 3.5: D u / (1 - D u), with u = 2^-24.
    """
    return (dimension + 8) * 2.0**-24 / (1 - (dimension + 8) * 2.0**-24)


@dataclass(frozen=True, kw_only=True)
class SimilarPairs:
    """Pairs of speakers, `first < second`, in order; `similarity` is their mean cosine."""

    first: Indices
    second: Indices
    similarity: Scores


def similar_pairs(mean_SD: Vectors, min_similarity: float) -> SimilarPairs:
    """Every pair that reaches `min_similarity`, and each speaker with the one it is most like (the least, of several).

    O(S^2 D) time at most, and a few tiles of memory beside the pairs. Speakers are taken in the order of the lengths of
    their means: a tile is left out where even the product of lengths, which no cosine exceeds, is less than what its
    speakers need to be similar or nearer than the nearest so far. Raises ValueError for a mean that is not finite.
    """
    from curate import kernels

    length = _lengths(mean_SD)
    order = np.argsort(-length, kind="stable")
    step = min(SPEAKERS_PER_TILE, max(len(order), 1))
    room = np.empty(step * (step + 2 * mean_SD.shape[1]), np.float32)
    pair, similarity = np.empty((step * step, 2), np.int64), np.empty(step * step)
    nearest, best = np.full(len(order), -1), np.full(len(order), -np.inf)
    found = [(pair[:0], similarity[:0])]
    for row in range(0, len(order), step):
        rows = order[row : row + step]
        for column in range(row, len(order), step):
            columns = order[column : column + step]
            longest = length[rows[0]] * length[columns[0]]
            if longest < min(min_similarity, best[rows].min(), best[columns].min()) - ROUNDING:
                continue
            tile = _cosines(mean_SD, rows, columns, room)
            margin = product_error(mean_SD.shape[1]) * longest
            num = kernels.keep_pairs(
                tile, mean_SD, rows, columns, row == column, min_similarity, margin, nearest, best, pair, similarity
            )
            found.append((pair[:num].copy(), similarity[:num].copy()))
    far = np.flatnonzero((nearest >= 0) & (best < min_similarity))  # the nearest of others are among the similar
    found.append((np.sort(np.stack([far, nearest[far]], axis=1), axis=1), best[far]))
    pairs, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    _, at = np.unique(pairs[:, 0] * len(order) + pairs[:, 1], return_index=True)  # two may be nearest to each other
    return SimilarPairs(first=pairs[at, 0], second=pairs[at, 1], similarity=values[at])


def _lengths(mean_SD: Vectors) -> Scores:
    length: Scores = np.sqrt(np.einsum("sd,sd->s", mean_SD, mean_SD, dtype=np.float64))
    if not np.isfinite(length).all():
        row = int((~np.isfinite(length)).argmax())
        raise ValueError(f"mean vector {row} of {len(mean_SD)} is not finite; expected a mean of unit vectors")
    return length


def _cosines(mean_SD: Vectors, rows: Indices, columns: Indices, room: Vectors) -> Vectors:
    """The product (rows, columns) in float32, within `room`: it takes longer to get fresh memory than to fill it."""
    dimension = mean_SD.shape[1]
    left, right, tile = np.split(room, np.cumsum([len(rows) * dimension, len(columns) * dimension]))
    left, right = left.reshape(-1, dimension), right.reshape(-1, dimension)
    tile = tile[: len(rows) * len(columns)].reshape(len(rows), len(columns))
    mean_SD.take(rows, axis=0, out=left, mode="clip")  # other modes make a copy
    mean_SD.take(columns, axis=0, out=right, mode="clip")
    return np.matmul(left, right.T, out=tile)
