"""What the numbering of pairs promises: each pair has one number, and a keyed order of the numbers favours none."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from benchmarks.balance import Cells, OfPairsOfPeople, in_rounds
from benchmarks.hard_pairs import hardest_pairs
from benchmarks.pairs import ListedPairs, NumberedPairs, Tally, in_order, new_keys, order, shuffled
from curate.similarity import unit


def keys_of(seed):
    return new_keys(np.random.default_rng(seed))


def numbered(runs):
    return NumberedPairs(
        **{
            name: np.array(side)
            for name, side in zip(("first", "end", "cut_first", "cut_end"), zip(*runs, strict=True), strict=True)
        }
    )


@st.composite
def runs_with_cuts(draw):
    """Left items with a run of up to 20 places, and a cut within it."""
    runs = []
    for _ in range(draw(st.integers(1, 12))):
        first, cut_first, cut_end, end = sorted(draw(st.lists(st.integers(0, 20), min_size=4, max_size=4)))
        runs.append((first, end, cut_first, cut_end))
    return runs


def listed(runs):
    return [
        (i, place)
        for i, (first, end, low, high) in enumerate(runs)
        for place in range(first, end)
        if not low <= place < high
    ]


def as_list(pairs):
    return list(zip(*(side.tolist() for side in pairs), strict=True))


def test_a_worked_case():
    pairs = numbered([(0, 5, 1, 3), (2, 2, 2, 2), (4, 6, 4, 4)])
    assert pairs.total == 5
    assert as_list(pairs.pair(np.arange(5))) == [(0, 0), (0, 3), (0, 4), (2, 4), (2, 5)]
    assert as_list(pairs.run(2, 4)) == [(0, 4), (2, 4)]


@settings(max_examples=200)
@given(runs_with_cuts(), st.data())
def test_numbers_and_pairs_are_the_same_in_the_same_order(runs, data):
    pairs, every = numbered(runs), listed(runs)
    assert pairs.total == len(every)
    if every:
        assert as_list(pairs.pair(np.arange(pairs.total))) == every
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(every))] * 2)))
        if start < stop:
            assert as_list(pairs.run(start, stop)) == every[start:stop]


def test_few_items_that_have_nearly_all_pairs_among_many_that_have_few():
    """Where the guide to the numbers says little."""
    num = np.ones(5000, np.int64)
    num[[17, 4000]] = 10**9
    pairs = NumberedPairs(first=np.zeros_like(num), end=num, cut_first=num, cut_end=num)
    left, right = pairs.pair(np.array([16, 17, 10**9 + 16, 10**9 + 17, pairs.total - 1]))
    assert left.tolist() == [16, 17, 17, 18, 4999]
    assert right.tolist() == [0, 0, 10**9 - 1, 0, 0]


@settings(max_examples=200)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_an_order_has_every_number_once(total, seed):
    keys = keys_of(seed)
    found = order(0, total, total, keys)
    assert sorted(found.tolist()) == list(range(total))
    middle = total // 2
    assert found[middle:].tolist() == order(middle, total, total, keys).tolist()
    assert found.tolist() == shuffled(np.arange(total), np.full(total, total), keys, np.zeros(total, int)).tolist()


def test_an_order_reaches_numbers_that_no_float_holds():
    total = 2**60 + 12_345
    found = order(0, 100_000, total, keys_of(1))
    assert len(np.unique(found)) == 100_000
    assert 0 <= found.min() < total // 1000
    assert total - total // 1000 < found.max() < total


def chi_square(counts, expected):
    """The probability of counts that are as uneven, had all the same chance."""
    counts = np.asarray(counts)
    return chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1)


@pytest.mark.parametrize("total", [7, 24, 91])
def test_every_number_comes_as_often_and_so_do_every_two(total):
    """The first two, over 20,000 orders: each number, and each unordered pair of numbers."""
    first, both = np.zeros(total), Counter()
    rng = np.random.default_rng(0)
    for _ in range(20_000):
        one, other = order(0, 2, total, new_keys(rng)).tolist()
        first[one] += 1
        both[frozenset((one, other))] += 1
    assert chi_square(first, 20_000 / total) > 0.001
    num_sets = total * (total - 1) // 2
    assert chi_square([both[frozenset(pair)] for pair in combinations(range(total), 2)], 20_000 / num_sets) > 0.001


def test_a_long_order_has_no_pattern():
    """Steps from a number to the next, in 64 bins, of 100,000 drawn from 600 million."""
    total = 624_000_000
    found = order(0, 100_000, total, keys_of(3))
    for values in (found, np.diff(found) % total, (found[2:] - found[:-2]) % total):
        counts = np.bincount(values * 64 // total, minlength=64)
        assert chi_square(counts, len(values) / 64) > 0.001


@settings(max_examples=100)
@given(runs_with_cuts(), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_what_is_refused_is_replaced_and_nothing_depends_on_the_size_of_chunks(runs, at_most, seed, at_once):
    pairs, keys = numbered(runs), keys_of(seed)
    tests = [lambda left, right: (left + right) % 2 == 0, lambda left, right: right % 3 > 0]

    def drawn(at_once):
        tally = Tally(len(tests))
        found = [
            p
            for c in in_order(pairs, tests, at_most=at_most, keys=keys, tally=tally, at_once=at_once)
            for p in as_list(c)
        ]
        return found, tally.examined, tally.refused.tolist()

    allowed = {(i, j) for i, j in listed(runs) if (i + j) % 2 == 0 and j % 3 > 0}
    found, examined, refused = drawn(at_once)
    assert len(found) == len(set(found)) == min(at_most, len(allowed))
    assert set(found) <= allowed
    assert examined == len(found) + sum(refused)
    assert (found, examined, refused) == drawn(1000)


def circle(num_people, *, num_left=None, by_people=True, size=3, seed=0):
    """One group of people with `size` items each."""
    cells = Cells(start=np.arange(num_people + 1) * size, group=np.zeros(num_people, int), person=np.arange(num_people))
    left = cells
    if num_left is not None:
        left = Cells(start=np.arange(num_left + 1), group=np.zeros(num_left, int), person=np.arange(num_left))
    pairs_of_people = num_people * (num_people - 1) // 2
    total = pairs_of_people * size**2 if num_left is None else num_left * (num_people - 1) * size
    return OfPairsOfPeople(
        left=left, right=cells, total=total, one_circle=num_left is None, by_people=by_people, keys=keys_of(seed)
    )


def drawn_from(strata, at_most):
    found = in_rounds(strata, [], at_most=at_most, max_each=None, tally=Tally(0), at_once=5)
    return [pair for chunk in found for pair in as_list(chunk)]


@pytest.mark.parametrize("num_people", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("by_people", [True, False])
def test_heaps_of_two_people_hold_every_pair_once(num_people, by_people):
    found = drawn_from(circle(num_people, by_people=by_people), 10**6)
    every = {frozenset(pair) for pair in combinations(range(3 * num_people), 2) if pair[0] // 3 != pair[1] // 3}
    assert len(found) == len(every)
    assert {frozenset(pair) for pair in found} == every


@pytest.mark.parametrize("num_people", [5, 7, 9])
def test_a_round_by_people_has_everybody_once_on_either_side(num_people):
    found = drawn_from(circle(num_people), 3 * num_people)
    for side in zip(*found, strict=True):
        assert Counter(item // 3 for item in side) == dict.fromkeys(range(num_people), 3)


@pytest.mark.parametrize("by_people", [True, False])
def test_all_pairs_of_people_are_drawn_before_one_is_drawn_again(by_people):
    found = drawn_from(circle(7, by_people=by_people), 42)
    assert set(Counter(frozenset((a // 3, b // 3)) for a, b in found).values()) == {2}


def test_where_sides_differ_each_left_one_meets_all_but_itself():
    found = drawn_from(circle(5, num_left=4), 10**6)
    assert len(found) == 4 * 4 * 3
    assert set(found) == {(i, j) for i in range(4) for j in range(15) if j // 3 != i}


def test_which_people_meet_first_depends_on_the_seed():
    first = {frozenset(i // 3 for i in drawn_from(circle(7, seed=seed), 1)[0]) for seed in range(40)}
    assert len(first) > 10


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_hardest_are_those_of_a_whole_matrix(num_each, seed):
    """With cuts, two runs, a test that refuses, equal vectors, and more columns than one block has."""
    rng = np.random.default_rng(seed)
    one, other = unit(rng.normal(size=(30, 3)).astype(np.float32)), unit(rng.normal(size=(700, 3)).astype(np.float32))
    other[300:320] = other[0]
    low = np.minimum(rng.integers(0, 350, 30) + np.repeat([0, 350], 15), np.repeat([350, 700], 15))
    pairs = NumberedPairs(
        first=np.repeat([0, 350], 15),
        end=np.repeat([350, 700], 15),
        cut_first=low,
        cut_end=np.minimum(low + 20, np.repeat([350, 700], 15)),
    )
    tests = [lambda left, right: (left + right) % 5 > 0]
    found = as_list(hardest_pairs(pairs, tests, one, other, num_each=num_each))
    expected = []
    for i in range(30):
        run = [j for j in range(pairs.first[i], pairs.end[i]) if not pairs.cut_first[i] <= j < pairs.cut_end[i]]
        run = [j for j in run if (i + j) % 5]
        cosine = one[i].astype(float) @ other[run].astype(float).T
        best = sorted(zip((-cosine).round(12), run, strict=True))[:num_each]
        expected += [(i, j) for _, j in best]
    assert sorted(found) == sorted(expected)


def test_listed_pairs_are_drawn_like_numbered_ones():
    pairs = ListedPairs(left=np.arange(9), right=np.arange(9) + 10)
    drawn = [p for c in in_order(pairs, [], at_most=4, keys=keys_of(0), tally=Tally(0), at_once=3) for p in as_list(c)]
    assert len(set(drawn)) == 4
    assert all(right == left + 10 for left, right in drawn)
