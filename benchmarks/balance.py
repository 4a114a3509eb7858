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
from curate.similarity import Indices


class Heaps(Protocol):
    """Some heaps of pairs."""

    @property
    def sizes(self) -> Indices:
        """(H,) how many pairs there are in each."""

    def pair(self, at: Indices, places: Indices) -> Pairs:
        """Of the heaps `at`, the pair at each place of a random order."""


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

    def heaps(self, strata: Indices) -> Heaps:
        """Those of these numbers."""


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
    heaps, at = strata.heaps(some), np.arange(len(some))
    refusals: list[Pairs] = []
    while True:
        places = taken[some[at]].astype(np.int64)
        lasts = places < heaps.sizes[at]
        at, places = at[lasts], places[lasts]
        if not len(at):
            return left, right, refusals
        one, other = heaps.pair(at, places)
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

    def heaps(self, strata: Indices) -> "HeapsOfPeople":
        """See `Strata`."""
        return HeapsOfPeople(of=self, people=strata, sizes=np.diff(self.start)[strata])


@dataclass(frozen=True, kw_only=True)
class HeapsOfPeople:
    """Those of some people (H,)."""

    of: OfPeople
    people: Indices
    sizes: Indices

    def pair(self, at: Indices, places: Indices) -> Pairs:
        """See `Heaps`."""
        people = self.people[at]
        numbers = shuffled(places, self.sizes[at], self.of.keys, people + 1)
        return self.of.pairs.pair(self.of.start[people] + numbers)


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
    def _distances(self) -> Indices:
        """(C,) at which each left cell meets others: as many for all of a group."""
        return self._circle_num // 2 if self.one_circle else self._circle_num

    @cached_property
    def _start(self) -> Indices:
        """(C + 1,) heaps of left cell c are those from `_start[c]` on, one a distance."""
        return np.concatenate([[0], np.cumsum(self._distances)])

    @cached_property
    def _head(self) -> Indices:
        """(G,) the first left cell of each group that meets others."""
        heads = np.flatnonzero(np.diff(self.left.group, prepend=-1))
        return heads[self._distances[heads] > 0]

    @property
    def num(self) -> int:
        """How many heaps there are; some of even circles and of one person are empty."""
        return int(self._start[-1])

    def visits(self, number: int, at_once: int) -> Iterator[Indices]:
        """See `Strata`."""
        if self.by_people:
            cells = np.flatnonzero(self._distances)
            num = self._distances[cells]
            distances = shuffled(number % num, num, self.keys, self.left.group[cells] + 1)
            heaps = self._start[cells] + distances
            yield from chunks(heaps[order(0, len(cells), len(cells), self.keys)], at_once)
            return
        for start in range(0, self.num, at_once):
            yield order(start, min(start + at_once, self.num), self.num, self.keys)

    def heaps(self, strata: Indices) -> "HeapsOfTwo":
        """See `Strata`."""
        head = self._head[np.searchsorted(self._start[self._head], strata, side="right") - 1]
        cell, distance = np.divmod(strata - self._start[head], self._distances[head])
        left, distance, num = head + cell, distance + self.one_circle, self._circle_num[head]
        place = self._place[left]
        right = self._circle[self._circle_first[head] + (place + distance) % num]
        is_met = self.left.person[left] != self.right.person[right]
        if self.one_circle:
            is_met &= (2 * distance != num) | (2 * place < num)  # else met from the other side
        sizes = np.diff(self.left.start)[left] * np.diff(self.right.start)[right] * is_met
        return HeapsOfTwo(of=self, strata=strata, left=left, right=right, sizes=sizes)


@dataclass(frozen=True, kw_only=True)
class HeapsOfTwo:
    """Those of some cells (H,) on the left, each with one on the right."""

    of: OfPairsOfPeople
    strata: Indices
    left: Indices
    right: Indices
    sizes: Indices

    def pair(self, at: Indices, places: Indices) -> Pairs:
        """See `Heaps`."""
        numbers = shuffled(places, self.sizes[at], self.of.keys, self.strata[at] + 1)
        first, second = self.of.left.start, self.of.right.start
        left, right = self.left[at], self.right[at]
        row, column = np.divmod(numbers, second[right + 1] - second[right])
        return first[left] + row, second[right] + column


def cells_of(run: Indices, person: Indices) -> Cells:
    """Items sorted by run and person; groups are numbered as the runs are."""
    heads = np.flatnonzero((np.diff(run, prepend=-1) != 0) | (np.diff(person, prepend=-1) != 0))
    return Cells(start=np.append(heads, len(run)), group=run[heads], person=person[heads])
