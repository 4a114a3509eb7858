"""Pairs that are numbered, and drawn by their numbers: none is enumerated that is not wanted.

Sorted well, the partners of an item are one run of places, less one stretch within it. So all pairs can be numbered
and any number turned back into its pair. Distinct pairs in a random order are the numbers from 0 on, each sent through
a keyed permutation: nothing is remembered of what was drawn, memory is that of a chunk, and the order depends on
neither how many are asked for nor how many are drawn at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from curate.similarity import Flags, Indices

Keys = NDArray[np.uint64]
Pairs = tuple[Indices, Indices]
Test = Callable[[Indices, Indices], Flags]  # which of the pairs are allowed

NUM_KEYS = 8  # rounds of the network: four would do, in theory, where totals are large
PAIRS_AT_ONCE = 1 << 14  # their arrays stay in the cache


def new_keys(rng: np.random.Generator) -> Keys:
    """Of one order of pairs."""
    return rng.integers(0, 2**64, size=NUM_KEYS, dtype=np.uint64)


def shuffled(numbers: Indices, total: Indices, keys: Keys, stratum: Indices) -> Indices:
    """Where each number comes to lie below its own total, in the order that `keys` give to its stratum."""
    from benchmarks import pair_kernels  # numba takes a third of a second to import

    found = np.empty(len(numbers), np.int64)
    pair_kernels.permute(numbers, total, keys, stratum, found)
    return found


def order(start: int, stop: int, total: int, keys: Keys) -> Indices:
    """What stands at the places from `start` to `stop` of the numbers below `total`, in the order of `keys`."""
    from benchmarks import pair_kernels

    found = np.empty(stop - start, np.int64)
    pair_kernels.permute_run(start, total, keys, found)
    return found


@dataclass(frozen=True, kw_only=True)
class NumberedPairs:
    """Left item i may be paired with the right ones from `first[i]` to `end[i]`, less `cut_first[i]` to `cut_end[i]`.

    Ends are not included; a cut lies within its run.
    """

    first: Indices
    end: Indices
    cut_first: Indices
    cut_end: Indices

    @cached_property
    def before(self) -> Indices:
        """(L + 1,) how many pairs the items before each have."""
        return np.concatenate([[0], np.cumsum(self.end - self.first - (self.cut_end - self.cut_first))])

    @property
    def total(self) -> int:
        """How many pairs there are."""
        return int(self.before[-1])

    @cached_property
    def _stretches(self) -> Indices:
        """(S, 3) what lies before and behind each cut: the number behind its last, its left item, right less number."""
        num = np.stack([self.cut_first - self.first, self.end - self.cut_end], axis=1).ravel()
        first = np.stack([self.first, self.cut_end], axis=1).ravel()
        behind = np.cumsum(num)
        left = np.repeat(np.arange(len(self.first)), 2)
        return np.stack([behind, left, first - (behind - num)], axis=1)[num > 0]

    @cached_property
    def _shift(self) -> int:
        return max(0, self.total.bit_length() - len(self._stretches).bit_length() - 2)

    @cached_property
    def _guide(self) -> NDArray[np.int32]:
        """The stretch of every 2^`_shift`-th number, so that few are searched."""
        numbers = np.arange((self.total >> self._shift) + 2) << self._shift
        stretch = np.searchsorted(self._stretches[:, 0], numbers, side="right")
        return np.minimum(stretch, len(self._stretches) - 1).astype(np.int32)

    def pair(self, numbers: Indices) -> Pairs:
        """The pairs of these numbers, each from 0 to `total` - 1."""
        from benchmarks import pair_kernels

        left, right = np.empty((2, len(numbers)), np.int64)
        pair_kernels.unrank(numbers, self._stretches, self._guide, self._shift, left, right)
        return left, right

    def run(self, start: int, stop: int) -> Pairs:
        """The pairs of the numbers from `start` to `stop`."""
        from benchmarks import pair_kernels

        left, right = np.empty((2, stop - start), np.int64)
        pair_kernels.unrank_run(start, self._stretches, left, right)
        return left, right


@dataclass(frozen=True, kw_only=True)
class ListedPairs:
    """Pairs that have been found already."""

    left: Indices
    right: Indices

    @property
    def total(self) -> int:
        """How many pairs there are."""
        return len(self.left)

    def pair(self, numbers: Indices) -> Pairs:
        """The pairs of these numbers, each from 0 to `total` - 1."""
        return self.left[numbers], self.right[numbers]

    def run(self, start: int, stop: int) -> Pairs:
        """The pairs of the numbers from `start` to `stop`."""
        return self.left[start:stop], self.right[start:stop]


def chunks(values: Indices, at_once: int) -> Iterator[Indices]:
    """The values, so many at once."""
    return (values[start : start + at_once] for start in range(0, len(values), at_once))


class Tally:
    """How many pairs were looked at, and how many of them each test refused: those that no test before it had."""

    def __init__(self, num_tests: int) -> None:
        self.examined = 0
        self.refused = np.zeros(num_tests, np.int64)

    def add(self, refused_by: Indices) -> None:
        """Of each pair the test that refused it; as many as there are tests where none did."""
        self.examined += len(refused_by)
        self.refused += np.bincount(refused_by, minlength=len(self.refused) + 1)[:-1]


def first_refusals(tests: Sequence[Test], left: Indices, right: Indices) -> Indices:
    """(P,) the test that refuses each pair; as many as there are tests where none does. Tests see what is left."""
    refused_by = np.full(len(left), len(tests), np.int64)
    alive: Indices | slice = slice(None)
    for number, test in enumerate(tests):
        allowed = test(left[alive], right[alive])
        if allowed.all():
            continue
        places = np.arange(len(left)) if isinstance(alive, slice) else alive
        refused_by[places[~allowed]] = number
        alive = places[allowed]
    return refused_by


def in_order(
    pairs: NumberedPairs | ListedPairs,
    tests: Sequence[Test],
    *,
    at_most: int,
    keys: Keys | None,
    tally: Tally,
    at_once: int = PAIRS_AT_ONCE,
) -> Iterator[Pairs]:
    """The first `at_most` pairs that pass the tests, in the order of `keys` (None: of their numbers), in chunks."""
    for start in range(0, pairs.total, at_once):
        if not at_most:
            return
        stop = min(start + at_once, pairs.total)
        left, right = pairs.run(start, stop) if keys is None else pairs.pair(order(start, stop, pairs.total, keys))
        if tests:
            refused_by = first_refusals(tests, left, right)
            allowed = np.flatnonzero(refused_by == len(tests))[:at_most]
            tally.add(refused_by if len(allowed) < at_most else refused_by[: allowed[-1] + 1])  # the rest is not needed
            left, right = left[allowed], right[allowed]
        else:
            left, right = left[:at_most], right[:at_most]
            tally.examined += len(left)
        at_most -= len(left)
        if len(left):
            yield left, right
