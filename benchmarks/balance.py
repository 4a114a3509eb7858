"""Pairs of which every person, or every two people, give as many as any other, while they last.

Pairs lie in heaps, one a person or one for two people. A round takes a pair from each heap; the heaps of a test of
thousands of people are not held, but numbered, as pairs are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.pairs import (
    PAIRS_AT_ONCE,
    Keys,
    NumberedPairs,
    Pairs,
    Tally,
    Test,
    chunks,
    first_refusals,
    order,
    shuffled,
)
from curate.similarity import Flags, Indices


class Strata(Protocol):
    """Pairs in heaps of which each is to give as many as any other. A round visits heaps, no one twice."""

    @property
    def num(self) -> int:
        """How many heaps there are."""

    @property
    def total(self) -> int:
        """How many pairs there are in all of them."""

    def visits(self, number: int, at_once: int) -> Iterator[Indices]:
        """The heaps that round `number` visits, in order, in chunks."""

    def sizes(self, strata: Indices) -> Indices:
        """How many pairs there are in these heaps."""

    def pair(self, strata: Indices, places: Indices) -> Pairs:
        """The pair at each place, of a random order, of its heap."""


def in_rounds(
    strata: Strata,
    tests: Sequence[Test],
    *,
    at_most: int,
    max_each: int | None,
    tally: Tally,
    at_once: int = PAIRS_AT_ONCE,
) -> Iterator[Pairs]:
    """Pairs that pass the tests, in chunks: one of each heap a round, until there are `at_most`, or `max_each` of each.

    Memory: 4 bytes a heap, where a heap was visited.
    """
    taken = np.zeros(strata.num, np.int32)
    number, looked_at = 0, 0
    while looked_at < strata.total and at_most and (max_each is None or number < max_each):
        for some in strata.visits(number, at_once):
            if not at_most:
                return
            left, right, refusals = _visit(strata, some, tests, taken)
            looked_at += sum(len(at) for at, _ in refusals)
            found = np.flatnonzero(left >= 0)[:at_most]
            at_most -= len(found)
            needed = len(some) if at_most else int(found[-1]) + 1
            for at, refused_by in refusals:
                tally.add(refused_by[at < needed])
            if len(found):
                yield left[found], right[found]
        number += 1


def _visit(
    strata: Strata, some: Indices, tests: Sequence[Test], taken: NDArray[np.int32]
) -> tuple[Indices, Indices, list[Pairs]]:
    """For each heap the next pair that passes (-1: none does), and at which visits which tests refused what."""
    left, right = np.full((2, len(some)), -1, np.int64)
    sizes, at = strata.sizes(some), np.arange(len(some))
    refusals: list[Pairs] = []
    while True:
        at = at[taken[some[at]] < sizes[at]]
        if not len(at):
            return left, right, refusals
        one, other = strata.pair(some[at], taken[some[at]].astype(np.int64))
        taken[some[at]] += 1
        refused_by = first_refusals(tests, one, other)
        refusals.append((at, refused_by))
        passed = refused_by == len(tests)
        left[at[passed]], right[at[passed]] = one[passed], other[passed]
        at = at[~passed]


@dataclass(frozen=True, kw_only=True)
class OfPeople:
    """A heap a person, where the pairs of one person have the numbers from `start[p]` to `start[p + 1]`."""

    pairs: NumberedPairs
    start: Indices  # (P + 1,)
    keys: Keys

    @property
    def num(self) -> int:
        """How many people there are."""
        return len(self.start) - 1

    @property
    def total(self) -> int:
        """How many pairs."""
        return self.pairs.total

    def visits(self, number: int, at_once: int) -> Iterator[Indices]:
        """Everybody who has that many pairs, in an order that is the same in all rounds."""
        people = order(0, self.num, self.num, self.keys)
        yield from chunks(people[np.diff(self.start)[people] > number], at_once)

    def sizes(self, strata: Indices) -> Indices:
        """Pairs of each."""
        return np.diff(self.start)[strata]

    def pair(self, strata: Indices, places: Indices) -> Pairs:
        """See `Strata`."""
        return self.pairs.pair(self.start[strata] + shuffled(places, self.sizes(strata), self.keys, strata + 1))


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Items side by side that are one person's and of one group: item `start[c]` to `start[c + 1]` are of cell c."""

    start: Indices  # (C + 1,)
    group: Indices  # (C,) ascending
    person: Indices  # (C,)


@dataclass(frozen=True, kw_only=True)
class OfPairsOfPeople:
    """A heap for each two people of one group: any item of the one with any of the other.

    People of a group stand in a circle, and each meets the one that stands so many places further on. Where anybody
    may be enrolled, left and right are the same circle, and half the distances reach all pairs once (the circle method
    of tournaments): a round in which everybody is met at one distance has everybody once on either side. Where left
    and right differ, a round has every left one once.
    """

    left: Cells
    right: Cells
    total: int
    one_circle: bool
    by_people: bool  # a round has one heap a person, else all heaps
    keys: Keys

    @cached_property
    def _circle(self) -> Indices:
        """The right cells, group by group, each group in random order."""
        num = len(self.right.group)
        return np.lexsort((order(0, num, num, self.keys), self.right.group))

    @cached_property
    def _place(self) -> Indices:
        """Where in its circle each left cell stands."""
        if not self.one_circle:
            return np.arange(len(self.left.group))
        place = np.empty(len(self._circle), np.int64)
        place[self._circle] = np.arange(len(self._circle))
        return place - self._circle_first

    @cached_property
    def _circle_first(self) -> Indices:
        return np.searchsorted(self.right.group, self.left.group)

    @cached_property
    def _circle_num(self) -> Indices:
        return np.searchsorted(self.right.group, self.left.group, side="right") - self._circle_first

    @cached_property
    def _start(self) -> Indices:
        """(C + 1,) heaps of left cell c are those from `_start[c]` on, one a distance."""
        distances = self._circle_num // 2 if self.one_circle else self._circle_num
        return np.concatenate([[0], np.cumsum(distances)])

    @property
    def num(self) -> int:
        """How many heaps there are; some of even circles and of one person are empty."""
        return int(self._start[-1])

    def visits(self, number: int, at_once: int) -> Iterator[Indices]:
        """See `Strata`."""
        if self.by_people:
            met = np.diff(self._start)
            cells = np.flatnonzero(met)
            distances = shuffled(number % met[cells], met[cells], self.keys, self.left.group[cells] + 1)
            heaps = self._start[cells] + distances
            yield from chunks(heaps[order(0, len(cells), len(cells), self.keys)], at_once)
            return
        for start in range(0, self.num, at_once):
            yield order(start, min(start + at_once, self.num), self.num, self.keys)

    def _met(self, strata: Indices) -> tuple[Indices, Indices, Flags]:
        """Left cells, right cells, and which of them there are."""
        left = np.searchsorted(self._start, strata, side="right") - 1
        distance, num = strata - self._start[left] + self.one_circle, self._circle_num[left]
        right = self._circle[self._circle_first[left] + (self._place[left] + distance) % num]
        once = ~(
            self.one_circle & (2 * distance == num) & (2 * self._place[left] >= num)
        )  # else met from the other side
        return left, right, once & (self.left.person[left] != self.right.person[right])

    def sizes(self, strata: Indices) -> Indices:
        """Pairs of each."""
        left, right, is_met = self._met(strata)
        return np.diff(self.left.start)[left] * np.diff(self.right.start)[right] * is_met

    def pair(self, strata: Indices, places: Indices) -> Pairs:
        """See `Strata`."""
        left, right, _ = self._met(strata)
        num = np.diff(self.right.start)[right]
        numbers = shuffled(places, np.diff(self.left.start)[left] * num, self.keys, strata + 1)
        return self.left.start[left] + numbers // num, self.right.start[right] + numbers % num


def cells_of(run: Indices, person: Indices) -> Cells:
    """Items sorted by run and person; groups are numbered as the runs are."""
    heads = np.flatnonzero((np.diff(run, prepend=-1) != 0) | (np.diff(person, prepend=-1) != 0))
    return Cells(start=np.append(heads, len(run)), group=run[heads], person=person[heads])
