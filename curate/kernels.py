"""The loops of `curate.similarity`, `curate.nearest` and `curate.outliers`, compiled by numba on first use.

Importing numba takes a third of a second: import this module only where something is computed. What was compiled is
kept beside this file, or in the user's cache; where neither can be written to, it is compiled anew in each process.

All run on one thread. Sums are exact: see `GRID`. Cosines that a result is made of are products in float64 of one fixed
order, so that no result depends on the order of rows, on tiles or on threads. Nothing is checked here: callers do that.

Shapes: N utterances, S speakers, D dimensions of the embedding. The utterances of speaker s are
`order[start[s] : start[s + 1]]`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curate.similarity import Indices, Scores, Vectors

Function = TypeVar("Function", bound=Callable[..., Any])
Values = Vectors | Scores

# Adding and taking away this number rounds to a multiple of 2^-30 = 9e-10, a float32's own error at 0.016. Float64 adds
# multiples of 2^-30 without error up to 2^23: the sum of up to eight million unit vectors is the same in any order.
GRID = 1.5 * 2.0**22
MAX_LENGTH_ERROR = 1e-3  # of what is called a unit vector
MAX_SELECTED = 512  # scores of a speaker; more are sorted
STRETCH = 64  # cosines looked at together: most hold nothing of interest, and are passed by
# Lets the compiler add the products of a row in several sums at once. Only where the order is that of the columns.
ANY_ORDER = {"reassoc", "contract", "nsz"}


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compiles a loop when it is first called, and keeps it for the next process where that can be kept."""

    def compile_lazily(function: Function) -> Function:
        try:
            made: Function = njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # nowhere to keep it
            made = njit(nogil=True, **options)(function)
        return made

    return compile_lazily


@compiled()
def ordered(speaker: Indices, start: Indices) -> Indices:
    """(N,) the rows speaker by speaker, in the order in which they come."""
    order = np.empty(len(speaker), np.int64)
    at = start.copy()
    for i in range(len(speaker)):
        order[at[speaker[i]]] = i
        at[speaker[i]] += 1
    return order


@compiled()
def _add(row: Vectors, total: Scores) -> None:
    for d in range(len(total)):
        total[d] += (np.float64(row[d]) + GRID) - GRID


@compiled(fastmath=ANY_ORDER)
def dot(one: Values, other: Values) -> float:
    """In float64."""
    product = 0.0
    for d in range(len(one)):
        product += np.float64(one[d]) * np.float64(other[d])
    return product


@compiled()
def products(ones: Values, of_one: Indices, others: Values, of_other: Indices, found: Scores) -> None:
    """Fill `found` (P,) with the products of P pairs of rows, `of_one` with `of_other`, without a copy of them."""
    for pair in range(len(found)):
        found[pair] = dot(ones[of_one[pair]], others[of_other[pair]])


@compiled(fastmath=ANY_ORDER)
def _dot_and_square(row: Vectors, total: Scores) -> tuple[float, float]:
    product = 0.0
    square = 0.0
    for d in range(len(row)):
        value = np.float64(row[d])
        product += value * total[d]
        square += value * value
    return product, square


@compiled()
def first_not_unit(unit_ND: Vectors) -> int:
    """The first row that is not a unit vector, or -1."""
    for i in range(len(unit_ND)):
        if not abs(dot(unit_ND[i], unit_ND[i]) - 1.0) < MAX_LENGTH_ERROR:
            return i
    return -1


@compiled()
def self_similarities(
    unit_ND: Vectors,
    order: Indices,
    start: Indices,
    utterance: Scores,
    of_speaker: Scores,
) -> int:
    """Fill `utterance` (N,) and `of_speaker` (S,); return a row that is not a unit vector, or -1.

    A speaker's rows are summed, and then multiplied with the sum while they are in the cache. One row at a time:
    several at once would be fewer instructions, but thrice as slow, since the processor foresees one stream of reads.
    """
    total = np.empty(unit_ND.shape[1])
    for s in range(len(of_speaker)):
        total[:] = 0.0
        for k in range(start[s], start[s + 1]):
            _add(unit_ND[order[k]], total)
        num = start[s + 1] - start[s]
        alone = 0.0
        for k in range(start[s], start[s + 1]):
            with_self, own = _dot_and_square(unit_ND[order[k]], total)
            if not abs(own - 1.0) < MAX_LENGTH_ERROR:
                return int(order[k])
            alone += (own + GRID) - GRID
            utterance[order[k]] = (with_self - own) / (num - 1) if num > 1 else np.nan
        of_speaker[s] = (dot(total, total) - alone) / (np.float64(num) * (num - 1)) if num > 1 else np.nan
    return -1


@compiled()
def sum_rows(unit_ND: Vectors, order: Indices, start: Indices, first: int, total: Scores) -> None:
    """Add to `total` (T, D) the vectors of T speakers from `first` on."""
    for s in range(len(total)):
        for k in range(start[first + s], start[first + s + 1]):
            _add(unit_ND[order[k]], total[s])


@compiled()
def _cosine_to_rest(row: Vectors, total: Scores, part: Scores, rest: Scores, min_length: float) -> float:
    for d in range(len(rest)):
        rest[d] = total[d] - part[d]
    product = dot(row, rest)
    length = np.sqrt(dot(rest, rest))
    return product / length if length > min_length else np.nan


@compiled()
def cosines_to_rest(
    unit_ND: Vectors,
    order: Indices,
    start: Indices,
    session: Indices,
    trusted: NDArray[np.bool_],
    min_others: int,
    min_length: float,
    own: Scores,
) -> None:
    """Fill `own` (N,): see `nearest_speakers`. `order` sorts by speaker and by session within it."""
    total, part, rest = np.empty((3, unit_ND.shape[1]))
    for s in range(len(start) - 1):
        total[:] = 0.0
        num_sessions = 0
        for k in range(start[s], start[s + 1]):
            i = order[k]
            if trusted[i]:
                _add(unit_ND[i], total)
            if session[i] >= 0 and (k == start[s] or session[order[k - 1]] != session[i]):
                num_sessions += 1
        k = alone_until = start[s]
        while k < start[s + 1]:
            end = k + 1
            if k >= alone_until and session[order[k]] >= 0 and num_sessions > min_others:
                while end < start[s + 1] and session[order[end]] == session[order[k]]:
                    end += 1
                if 4 * (end - k) > start[s + 1] - start[s]:  # much of the label: the rest may not speak for it
                    alone_until, end = end, k + 1
            part[:] = 0.0
            for m in range(k, end):
                if trusted[order[m]]:
                    _add(unit_ND[order[m]], part)
            for m in range(k, end):
                own[order[m]] = _cosine_to_rest(unit_ND[order[m]], total, part, rest, min_length)
            k = end


@compiled()
def _some_reach(values: Vectors, floor: np.float32) -> bool:
    count = 0
    for j in range(len(values)):
        count += values[j] >= floor
    return count > 0


@compiled()
def keep_two_nearest(
    tile: Vectors,
    unit_ND: Vectors,
    row: int,
    speaker: Indices,
    label: Indices,
    total: Scores,
    length: Scores,
    margin: float,
    index: Indices,
    value: Scores,
) -> None:
    """Take the float32 cosines `tile` of the utterances from `row` on with `label` into account.

    `index` and `value` (N, 2) are the two other labels that an utterance is most like so far. A cosine that within
    `margin` of float32 could be among them is computed in float64. Of equal ones the lesser label is the nearer.
    """
    for r in range(tile.shape[0]):
        i = row + r
        floor = np.float32(value[i, 1] - margin)
        for left in range(0, tile.shape[1], STRETCH):
            right = min(left + STRETCH, tile.shape[1])
            if not _some_reach(tile[r, left:right], floor):
                continue
            for c in range(left, right):
                other = label[c]
                if tile[r, c] < floor or other == speaker[i]:
                    continue
                cosine = dot(unit_ND[i], total[other]) / length[other]
                if cosine > value[i, 0] or (cosine == value[i, 0] and other < index[i, 0]):
                    index[i, 1], value[i, 1] = index[i, 0], value[i, 0]
                    index[i, 0], value[i, 0] = other, cosine
                elif cosine > value[i, 1] or (cosine == value[i, 1] and other < index[i, 1]):
                    index[i, 1], value[i, 1] = other, cosine
                floor = np.float32(value[i, 1] - margin)


@compiled()
def _some_reach_either(values: Vectors, floor: np.float32, floors: Vectors) -> bool:
    count = 0
    for j in range(len(values)):
        count += values[j] >= min(floor, floors[j])
    return count > 0


@compiled()
def keep_pairs(
    tile: Vectors,
    mean_SD: Vectors,
    rows: Indices,
    columns: Indices,
    is_diagonal: bool,
    min_similarity: float,
    margin: float,
    index: Indices,
    value: Scores,
    pair: Indices,
    similarity: Scores,
) -> int:
    """Take the float32 cosines `tile` of the speakers `rows` with `columns` into account; return how many pairs reach.

    Those of at least `min_similarity` are written to `pair` (P, 2) and `similarity` (P,), `index` and `value` (S,) are
    the speaker that each is most like so far. As above, what could matter within `margin` is computed in float64.
    """
    num = 0
    floors = np.empty(len(columns), np.float32)  # what a cosine must reach to matter to the column
    for c in range(len(columns)):
        floors[c] = min(value[columns[c]], min_similarity) - margin
    for r in range(len(rows)):
        one = rows[r]
        floor = np.float32(min(value[one], min_similarity) - margin)
        begin = r + 1 if is_diagonal else 0
        for left in range(begin, len(columns), STRETCH):
            right = min(left + STRETCH, len(columns))
            if not _some_reach_either(tile[r, left:right], floor, floors[left:right]):
                continue
            for c in range(left, right):
                if tile[r, c] < min(floor, floors[c]):
                    continue
                other = columns[c]
                cosine = dot(mean_SD[one], mean_SD[other])
                if cosine >= min_similarity:
                    pair[num, 0], pair[num, 1] = min(one, other), max(one, other)
                    similarity[num] = cosine
                    num += 1
                if cosine > value[one] or (cosine == value[one] and other < index[one]):
                    index[one], value[one] = other, cosine
                    floor = np.float32(min(cosine, min_similarity) - margin)
                if cosine > value[other] or (cosine == value[other] and one < index[other]):
                    index[other], value[other] = one, cosine
                    floors[c] = min(cosine, min_similarity) - margin
    return num


@compiled()
def _select(values: Scores, k: int, left: int) -> None:
    """Bring the k-th of ascending `values` to its place, none before it greater and none after it less.

    The first `left` are no greater than the others. No branch depends on a comparison of scores, which nobody could
    predict (Lomuto's partition); where many are equal it is quadratic, hence `MAX_SELECTED`.
    """
    right = len(values) - 1
    while left < right:
        middle = (left + right) // 2
        low, pivot, high = values[left], values[middle], values[right]
        if low > high:
            low, high = high, low
        if right - left == 1:
            values[left], values[right] = low, high
            return
        if pivot < low:
            low, pivot = pivot, low
        if pivot > high:
            pivot, high = high, pivot
        values[left], values[right], values[middle] = low, pivot, high
        border = left
        for i in range(left, right):
            value = values[i]
            values[i] = values[border]
            values[border] = value
            border += value < pivot
        values[right] = values[border]
        values[border] = pivot
        if border == k:
            return
        if k < border:
            right = border - 1
        else:
            left = border + 1


@compiled()
def _quantile(values: Scores, share: float, left: int) -> float:
    place = share * (len(values) - 1)
    below = int(place)
    if len(values) <= MAX_SELECTED:
        _select(values, below, left)
    low = values[below]
    if below + 1 == len(values):
        return float(low)
    high = values[below + 1 :].min()
    weight = place - below
    # From the nearer end, as numpy does it, so that the same bits come of it.
    return float(low + (high - low) * weight if weight < 0.5 else high - (high - low) * (1 - weight))


@compiled()
def quartiles(scores: Scores, speaker: Indices, start: Indices, first: Scores, third: Scores) -> None:
    """Fill `first` and `third` (S,) with each speaker's quartiles: see `curate.outliers`."""
    together = np.empty(len(scores))
    at = start.copy()
    for i in range(len(scores)):
        together[at[speaker[i]]] = scores[i]
        at[speaker[i]] += 1
    for s in range(len(first)):
        values = together[start[s] : start[s + 1]]
        if len(values) == 0 or np.isnan(values).any():
            first[s] = third[s] = np.nan
            continue
        if len(values) > MAX_SELECTED:
            values.sort()
        first[s] = _quantile(values, 0.25, 0)
        third[s] = _quantile(values, 0.75, (len(values) - 1) // 4)
