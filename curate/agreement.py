"""The loops of `curate.duplicates`, compiled by numba on first use.

Importing numba takes a third of a second: import this module only where something is computed.

Shapes: R recordings; recording r has the landmarks `values[start[r] : end[r]]`, ascending. M pairs of recordings.
"""

import numpy as np
from numpy.typing import NDArray

from curate.kernels import compiled
from curate.landmarks import FREQUENCY_BITS, PARTNER_BITS

Indices = NDArray[np.int64]
Places = NDArray[np.int32]
Scores = NDArray[np.float64]

ROW_MASK = (1 << 32) - 1
PARTNER_MASK = (1 << PARTNER_BITS) - 1
REACH_FRAMES, STEP_FRAMES = 256, 8  # 2.56 s to each side of a seed, and what of it is one time
STEP_BITS = 6  # of 2 * 256 / 8 times
MOST_LANDMARKS = (
    1 << 12
)  # two minutes; looking through all of an hour at each of its seeds takes longer than to compare
CHAINS_EACH = 128  # of landmarks: about as many lie around a seed
ODD = 0x9E3779B1  # spreads over the chains what differs in any bits


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
def candidates(
    values: Indices,
    start: Indices,
    end: Indices,
    sorted_seeds: Indices,
    begin: int,
    max_alike: int,
    min_beside: int,
    pairs: Indices,
) -> tuple[int, int]:
    """Fill `pairs` with recordings that agree around a seed of both, one in the high 32 bits, from that at `begin` on.

    They agree where at least `min_beside` of what `_around` tells are the same; with one of more than `MOST_LANDMARKS`
    all do. The recordings of a seed are gone through once, each against all before it.

    Return how many they are, and the seed to go on from when `pairs` was full. A seed that more than `max_alike` share
    tells nothing and is passed by; `pairs` must have room for all pairs of so many.
    """
    num = 0
    around, seen, before = np.empty(1 << 10, np.int64), np.empty(1 << 10, np.int64), np.empty(1 << 10, np.int32)
    newest = np.empty(2 * CHAINS_EACH * max_alike, np.int32)
    num_beside, is_long = np.empty(max_alike, np.int64), np.empty(max_alike, np.bool_)
    while begin < len(sorted_seeds):
        stop = begin + 1
        while stop < len(sorted_seeds) and sorted_seeds[stop] >> 32 == sorted_seeds[begin] >> 32:
            stop += 1
        alike = stop - begin
        if 1 < alike <= max_alike:
            if num + alike * (alike - 1) // 2 > len(pairs):
                break
            num_chains, num_seen = CHAINS_EACH, 0
            while num_chains < CHAINS_EACH * alike:
                num_chains *= 2
            newest[:num_chains] = -1
            for k in range(alike):
                row = sorted_seeds[begin + k] & ROW_MASK
                num_around, is_long[k] = 0, end[row] - start[row] > MOST_LANDMARKS
                if not is_long[k]:
                    num_around, around = _around(values[start[row] : end[row]], sorted_seeds[begin] >> 32, around)
                if num_seen + num_around > len(seen):
                    seen = np.concatenate((seen, np.empty(len(seen) + num_around, np.int64)))
                    before = np.concatenate((before, np.empty(len(before) + num_around, np.int32)))
                num_beside[: k + 1] = 0
                num_seen = _count(around[:num_around], k, newest[:num_chains], seen, before, num_seen, num_beside)
                for j in range(k):
                    pairs[num] = (sorted_seeds[begin + j] & ROW_MASK) << 32 | row
                    num += num_beside[j] >= min_beside or is_long[j] or is_long[k]
        begin = stop
    return num, begin


@compiled()
def _around(own: Indices, seed: int, found: Indices) -> tuple[int, Indices]:
    """The landmarks of a recording (L,) around each peak at which it has the seed, those of the seed among them.

    Of each the hash, and how long after the peak, in steps: one of a copy is, but for a frame, as long after its own.
    They are the first so many of what is returned, which is `found` where there is room for them.
    """
    one, other = seed >> PARTNER_BITS, seed >> 2 * PARTNER_BITS << PARTNER_BITS | seed & PARTNER_MASK
    num, i, k = 0, np.searchsorted(own, one << 32), np.searchsorted(own, other << 32)
    while i < len(own) and k < len(own) and own[i] >> 32 == one and own[k] >> 32 == other:
        frame, of_other = own[i] & ROW_MASK, own[k] & ROW_MASK
        if frame == of_other:
            if num + len(own) > len(found):
                found = np.concatenate((found, np.empty(len(found) + len(own), np.int64)))
            for value in own:
                since = (value & ROW_MASK) - frame + REACH_FRAMES
                found[num] = value >> 32 << STEP_BITS | since // STEP_FRAMES
                num += 0 <= since < 2 * REACH_FRAMES
        i += frame <= of_other
        k += of_other <= frame
    return num, found


@compiled()
def _count(
    marks: Indices, k: int, newest: Places, seen: Indices, before: Places, num_seen: int, num_beside: Indices
) -> int:
    """Add to `num_beside` (k,) how many of the marks of the k-th recording each before it has; note them as seen.

    What was seen lies in chains, so that a mark meets few but its like: `newest` is where each begins, `before` is what
    comes next, -1 the end. Return how many are seen.
    """
    for mark in marks:
        chain = mark * ODD >> 20 & len(newest) - 1
        i = newest[chain]
        while i >= 0 and seen[i] != mark << 32 | k:
            num_beside[seen[i] & ROW_MASK] += seen[i] >> 32 == mark
            i = before[i]
        if i < 0:  # else it is there twice, and was counted
            seen[num_seen], before[num_seen], newest[chain] = mark << 32 | k, newest[chain], num_seen
            num_seen += 1
    return num_seen


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
