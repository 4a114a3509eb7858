"""The most alike of the pairs that may be, of unit vectors, by blocks: no matrix of all pairs is held.

A product in float32 says which pairs could matter; those are computed again in float64, so that what is found depends
neither on the size of blocks nor on the library that multiplies.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.pairs import NumberedPairs, Pairs, Test, first_refusals
from curate.similarity import ROUNDING, Indices, Scores, Vectors

ROWS_PER_BLOCK = 256
FEW_COLUMNS, COLUMNS_PER_BLOCK = 256, 4096  # a few first: they say what a cosine must reach to matter


def cosines(enrolled: Vectors, tested: Vectors, left: Indices, right: Indices) -> Scores:
    """(P,) of pairs of unit vectors, (L, D) and (R, D)."""
    from benchmarks import pair_kernels

    found = np.empty(len(left))
    pair_kernels.cosines(enrolled, tested, left, right, found)
    return found


def hardest_pairs(
    pairs: NumberedPairs, tests: Sequence[Test], enrolled: Vectors, tested: Vectors, *, num_each: int
) -> Pairs:
    """Of each left item the allowed pairs of highest cosine, by left item; of equal ones that of the lesser place.

    `enrolled` (L, D) and `tested` (R, D) are unit vectors. Left items that share a run must lie side by side.
    """
    heads = np.flatnonzero(np.diff(pairs.first, prepend=-1) | np.diff(pairs.end, prepend=-1)).tolist()
    found: list[Pairs] = []
    for head, tail in zip(heads, [*heads[1:], len(pairs.first)], strict=True):
        for start in range(head, tail, ROWS_PER_BLOCK):
            rows = np.arange(start, min(start + ROWS_PER_BLOCK, tail))
            found.append(_hardest_of(pairs, tests, enrolled, tested, rows, num_each))
    empty = np.empty(0, np.int64)
    left, right = (np.concatenate([empty, *side]) for side in zip(*found, strict=True)) if found else (empty, empty)
    return left, right


def _hardest_of(
    pairs: NumberedPairs, tests: Sequence[Test], enrolled: Vectors, tested: Vectors, rows: Indices, num_each: int
) -> Pairs:
    from benchmarks import pair_kernels

    index = np.full((len(rows), num_each), -1, np.int64)
    value = np.full((len(rows), num_each), -np.inf)
    column, end = int(pairs.first[rows[0]]), int(pairs.end[rows[0]])
    width = FEW_COLUMNS
    while column < end:
        tile = enrolled[rows] @ tested[column : min(column + width, end)].T
        at, right = np.nonzero(tile >= (value[:, -1] - 4 * ROUNDING)[:, None])
        left, right = rows[at], right + column
        allowed = (right < pairs.cut_first[left]) | (right >= pairs.cut_end[left])
        at, left, right = at[allowed], left[allowed], right[allowed]
        allowed = first_refusals(tests, left, right) == len(tests)
        at, left, right = at[allowed], left[allowed], right[allowed]
        pair_kernels.keep_highest(at, right, cosines(enrolled, tested, left, right), index, value)
        column, width = column + width, COLUMNS_PER_BLOCK
    at, place = np.nonzero(index >= 0)
    return rows[at], index[at, place]
