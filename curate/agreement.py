"""The loops of `curate.duplicates`, compiled by numba on first use.

Importing numba takes a third of a second: import this module only where something is computed.

Shapes: R recordings; recording r has the landmarks `values[start[r] : end[r]]`, ascending. M pairs of recordings.
"""

import numpy as np
from numpy.typing import NDArray

from curate.kernels import compiled
from curate.landmarks import FREQUENCY_BITS, PARTNER_BITS

Indices = NDArray[np.int64]
Scores = NDArray[np.float64]

ROW_MASK = (1 << 32) - 1
PARTNER_MASK = (1 << PARTNER_BITS) - 1


@compiled()
def seeds(values: Indices, start: Indices, end: Indices, first: int, stop: int, place: Indices, found: Indices) -> None:
    """Fill `found` with the seeds of the recordings from `first` to before `stop`, those of each part together.

    Each has its recording in the low 32 bits.

    A seed is two landmarks that begin at one peak: three peaks, and so much rarer than a landmark. `place` (parts,)
    says where the next one of each part goes, and is moved on; where `found` has no room they are counted only.
    """
    for r in range(first, stop):
        by_frame = np.empty(end[r] - start[r], np.int64)
        for i in range(len(by_frame)):
            value = values[start[r] + i]
            by_frame[i] = (value & ROW_MASK) << 31 | value >> 32
        by_frame.sort()
        for i in range(len(by_frame)):
            for k in range(i + 1, len(by_frame)):
                if by_frame[i] >> PARTNER_BITS != by_frame[k] >> PARTNER_BITS:
                    break  # another peak
                one, other = by_frame[i] & ((1 << (FREQUENCY_BITS + PARTNER_BITS)) - 1), by_frame[k] & PARTNER_MASK
                seed = one << PARTNER_BITS | other
                part = seed % len(place)
                if len(found):
                    found[place[part]] = seed << 32 | r
                place[part] += 1


@compiled()
def candidates(sorted_seeds: Indices, begin: int, max_alike: int, pairs: Indices) -> tuple[int, int]:
    """Fill `pairs` with recordings that share a seed, one in the high 32 bits, from the seed at `begin` on.

    Return how many they are, and the seed to go on from when `pairs` was full. A seed that more than `max_alike` share
    tells nothing and is passed by; `pairs` must have room for all pairs of so many.
    """
    num = 0
    while begin < len(sorted_seeds):
        end = begin + 1
        while end < len(sorted_seeds) and sorted_seeds[end] >> 32 == sorted_seeds[begin] >> 32:
            end += 1
        alike = end - begin
        if alike <= max_alike:
            if num + alike * (alike - 1) // 2 > len(pairs):
                break
            for j in range(begin, end):
                for k in range(j + 1, end):
                    one, other = sorted_seeds[j] & ROW_MASK, sorted_seeds[k] & ROW_MASK
                    if one != other:
                        pairs[num] = one << 32 | other
                        num += 1
        begin = end
    return num, begin


@compiled()
def _matches(values: Indices, begin: int, end: int, other_begin: int, other_end: int) -> Indices:
    """(P, 2) for each pair of equal hashes of two recordings: the offset, ascending, and the frame in the first."""
    found = np.empty((64, 2), np.int64)
    num, i, k = 0, begin, other_begin
    while i < end and k < other_end:
        first, second = values[i] >> 32, values[k] >> 32
        if first < second:
            i += 1
        elif second < first:
            k += 1
        else:
            j = k
            while j < other_end and values[j] >> 32 == first:
                if num == len(found):
                    found = np.concatenate((found, found))
                frame = values[i] & ROW_MASK
                found[num, 0], found[num, 1] = (values[j] & ROW_MASK) - frame, frame
                num += 1
                j += 1
            i += 1
    return found[:num][np.argsort(found[:num, 0])]


@compiled()
def _at_one_offset(found: Indices) -> tuple[int, int]:
    """How many of the sorted matches are at one offset, or at it and the next, at most; and where these begin."""
    best, left, of_best = 0, 0, 0
    for right in range(len(found)):
        while found[right, 0] - found[left, 0] > 1:
            left += 1
        if right - left + 1 > best:
            best, of_best = right - left + 1, left
    return best, of_best


@compiled()
def agreeing(values: Indices, start: Indices, end: Indices, pairs: Indices, least: Indices, counts: Indices) -> None:
    """Fill `counts` (M,): how many landmarks of both agree at one offset, or at it and the next, of one frame more.

    0 where so few hashes are in both that there cannot be `least` (M,): nearly all pairs, and no branch is foreseen
    wrongly in finding them.
    """
    for m in range(len(pairs)):
        one, other = pairs[m] >> 32, pairs[m] & ROW_MASK
        in_both = 0
        i, k = start[one], start[other]
        while i < end[one] and k < end[other]:
            first, second = values[i] >> 32, values[k] >> 32
            in_both += first == second
            i += first <= second
            k += second <= first
        counts[m] = 0
        if 2 * in_both < least[m]:  # at two offsets, each hash may agree twice
            continue
        best, _ = _at_one_offset(_matches(values, start[one], end[one], start[other], end[other]))
        counts[m] = min(best, end[one] - start[one], end[other] - start[other])


@compiled()
def spanned(values: Indices, start: Indices, end: Indices, pairs: Indices, spans: Scores) -> None:
    """Fill `spans` (M,): how much of the shorter recording lies between the first and the last landmark that agree.

    In a copy they are everywhere; two recordings that have a word or a jingle in common agree in that alone.
    """
    for m in range(len(pairs)):
        one, other = pairs[m] >> 32, pairs[m] & ROW_MASK
        found = _matches(values, start[one], end[one], start[other], end[other])
        best, of_best = _at_one_offset(found)
        frames = found[of_best : of_best + best, 1]
        length = min(_length(values[start[one] : end[one]]), _length(values[start[other] : end[other]]))
        spans[m] = (frames.max() - frames.min()) / max(length, 1) if best else 0.0


@compiled()
def _length(marks: Indices) -> int:
    """Frames from the first landmark to the last."""
    frames = marks & ROW_MASK
    return int(frames.max() - frames.min())
