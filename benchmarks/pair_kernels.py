"""The loops of `benchmarks.pairs`, compiled by numba on first use: import this module only where pairs are drawn.

Nothing is checked here: callers do that. All arithmetic is on integers, but for `cosines`.
"""

import numpy as np
from numpy.typing import NDArray

from curate.kernels import compiled, dot
from curate.similarity import Flags, Indices, Scores, Vectors

Keys = NDArray[np.uint64]

# Two odd numbers without pattern, of the splitmix64 generator (doi:10.1145/2660193.2660195).
ONE, OTHER = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
HALF = np.uint64(32)
SIDE_BY_SIDE = 256  # numbers, whose halves stay in the first cache


@compiled()
def _mixed(value: np.uint64, key: np.uint64) -> np.uint64:
    """32 bits that depend on all of both."""
    bits = (value ^ key) * ONE
    bits ^= bits >> HALF
    bits *= OTHER
    return bits >> HALF


@compiled()
def _sides(total: int) -> tuple[int, int]:
    """Rows and columns, about as many, that hold `total` numbers and fewer than `rows` more."""
    rows = int(np.sqrt(total))
    while rows * rows < total:
        rows += 1
    return rows, (total + rows - 1) // rows


@compiled()
def _permuted(number: int, total: int, rows: int, columns: int, keys: Keys, stratum: int) -> int:
    """Where `number` comes to lie among `total`: a Feistel network on the numbers below rows x columns.

    A number that leaves the range is sent through again until it is back (cycle walking, Black and Rogaway, CT-RSA
    2002), which is seldom where totals are large.
    """
    num_rows, num_columns = np.uint64(rows), np.uint64(columns)
    tweak = np.uint64(stratum) * OTHER
    while True:
        left, right = np.uint64(number // columns), np.uint64(number % columns)
        for i in range(0, len(keys), 2):
            left += (_mixed(right, keys[i] + tweak) * num_rows) >> HALF
            left = min(left, left - num_rows)  # what is below zero is large: modulo, without a branch
            right += (_mixed(left, keys[i + 1] + tweak) * num_columns) >> HALF
            right = min(right, right - num_columns)
        number = np.int64(left * num_columns + right)  # type: ignore[assignment]  # one type, to numba
        if number < total:
            return number


@compiled()
def permute(numbers: Indices, total: Indices, keys: Keys, stratum: Indices, found: Indices) -> None:
    """Fill `found` with the places of `numbers`, each among its own `total` and as its own `stratum` orders them."""
    for k in range(len(numbers)):
        rows, columns = _sides(total[k])
        found[k] = _permuted(numbers[k], total[k], rows, columns, keys, stratum[k])


@compiled()
def _send_once(left: Keys, right: Keys, rows: int, columns: int, keys: Keys) -> None:
    """The numbers left x columns + right through the network, side by side: several in one instruction."""
    num_rows, num_columns = np.uint64(rows), np.uint64(columns)
    for i in range(0, len(keys), 2):
        for k in range(len(left)):
            place = left[k] + ((_mixed(right[k], keys[i]) * num_rows) >> HALF)
            left[k] = min(place, place - num_rows)
        for k in range(len(right)):
            place = right[k] + ((_mixed(left[k], keys[i + 1]) * num_columns) >> HALF)
            right[k] = min(place, place - num_columns)


@compiled()
def permute_run(start: int, total: int, keys: Keys, found: Indices) -> None:
    """The same for the numbers from `start` on, among one total."""
    rows, columns = _sides(total)
    left, right = np.empty((2, SIDE_BY_SIDE), np.uint64)
    row, column = start // columns, start % columns
    for head in range(0, len(found), SIDE_BY_SIDE):
        num = min(SIDE_BY_SIDE, len(found) - head)
        for k in range(num):
            left[k], right[k] = row, column
            column += 1
            if column == columns:
                row, column = row + 1, 0
        _send_once(left, right, rows, columns, keys)
        for k in range(num):
            found[head + k] = np.int64(left[k]) * columns + np.int64(right[k])
        for k in range(head, head + num):
            if found[k] >= total:
                found[k] = _permuted(found[k], total, rows, columns, keys, 0)


@compiled()
def unrank(
    numbers: Indices,
    stretches: Indices,
    guide: NDArray[np.int32],
    shift: int,
    left: Indices,
    right: Indices,
) -> None:
    """Fill `left` and `right` with the pairs of `numbers`. The stretch of each lies between two entries of `guide`."""
    for k in range(len(numbers)):
        number = numbers[k]
        low, high = np.int64(guide[number >> shift]), np.int64(guide[(number >> shift) + 1])
        while low < high:
            middle = (low + high) // 2
            if stretches[middle, 0] <= number:
                low = middle + 1
            else:
                high = middle
        left[k], right[k] = stretches[low, 1], stretches[low, 2] + number


@compiled()
def unrank_run(start: int, stretches: Indices, left: Indices, right: Indices) -> None:
    """The same for the numbers from `start` on."""
    at = np.searchsorted(stretches[:, 0], start, side="right")
    k = 0
    while k < len(left):
        num = min(stretches[at, 0] - start, len(left)) - k
        for i in range(k, k + num):
            left[i], right[i] = stretches[at, 1], stretches[at, 2] + start + i
        k += num
        at += 1


@compiled()
def share_one(start: Indices, code: Indices, other: Indices, left: Indices, right: Indices, found: Flags) -> None:
    """Whether any code of the left item, `code[start[i] : start[i + 1]]`, is that of the right one."""
    for k in range(len(left)):
        found[k] = False
        for m in range(start[left[k]], start[left[k] + 1]):
            if code[m] == other[right[k]]:
                found[k] = True


@compiled()
def cosines(enrolled: Vectors, tested: Vectors, left: Indices, right: Indices, found: Scores) -> None:
    """Of unit vectors (L, D) and (R, D), in float64 and one fixed order."""
    for k in range(len(left)):
        found[k] = dot(enrolled[left[k]], tested[right[k]])


@compiled()
def keep_highest(row: Indices, column: Indices, cosine: Scores, index: Indices, value: Scores) -> None:
    """Take pairs into account: `index` and `value` (B, K) are the columns of the highest cosines of each row so far.

    Of equal ones the lesser column is the higher. A place that is not yet taken has the index -1 and the value -inf.
    """
    last = index.shape[1] - 1
    for n in range(len(row)):
        r, c, new = row[n], column[n], cosine[n]
        if new < value[r, last] or (new == value[r, last] and c > index[r, last]):
            continue
        k = last
        while k > 0 and (new > value[r, k - 1] or (new == value[r, k - 1] and c < index[r, k - 1])):
            index[r, k], value[r, k] = index[r, k - 1], value[r, k - 1]
            k -= 1
        index[r, k], value[r, k] = c, new
