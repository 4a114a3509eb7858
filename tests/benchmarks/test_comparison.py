"""What `benchmarks.comparison` promises: both systems weighed by the same people; groups of trials, each on its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.classes import accuracy
from benchmarks.comparison import binned, compared, each_group, of_both_sides
from benchmarks.intervals import estimate, weights
from benchmarks.metrics import equal_error_rate


def trials_of(num_people, *, seed=0):
    """Two targets a person and a nontarget for each two: (common part of the scores, is_target, both sides)."""
    rng = np.random.default_rng(seed)
    people = np.arange(num_people)
    one, other = np.triu_indices(num_people, 1)
    is_target = np.append(np.ones(2 * num_people, dtype=bool), np.zeros(len(one), dtype=bool))
    sides = np.append(np.repeat(people, 2), one), np.append(np.repeat(people, 2), other)
    return rng.normal(size=len(is_target)) + 2.0 * is_target, is_target, sides


def test_a_worked_comparison():
    """One system is right of everybody, the other of nobody: whoever is drawn, the difference is one."""
    truth, people = np.tile(["f", "m"], 5), [np.arange(10)]
    right, wrong = truth, np.tile(["m", "f"], 5)
    rng = np.random.default_rng(0)
    found = compared(accuracy, right, wrong, truth, people, rng=rng, lower_is_better=False)
    assert (found.one, found.other) == (1, 0)
    assert (found.difference.value, found.difference.low, found.difference.high) == (1, 1, 1)
    assert (found.one_better, found.equal) == (1, 0)
    assert found.p_value == 2 / 1001  # none of 1000 draws, and one more
    turned = compared(accuracy, wrong, right, truth, people, rng=rng, lower_is_better=False)
    assert (turned.difference.value, turned.one_better, turned.equal) == (-1, 0, 0)


def test_a_system_is_neither_better_nor_worse_than_itself():
    scores, is_target, sides = trials_of(12)
    found = compared(equal_error_rate, scores, 2 * scores, is_target, sides, rng=np.random.default_rng(0), num_draws=50)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert (found.one_better, found.equal, found.p_value) == (0, 1, 1)


def test_the_draws_are_those_of_people_and_the_same_for_both():
    scores, is_target, sides = trials_of(12)
    worse = scores + 0.6 * np.random.default_rng(7).normal(size=len(scores))
    found = compared(equal_error_rate, scores, worse, is_target, sides, rng=np.random.default_rng(3), num_draws=40)
    drawn = [
        [equal_error_rate(one, is_target, weight=weight) for one in (scores, worse)]
        for weight in weights(*sides, rng=np.random.default_rng(3), num_draws=40)
    ]
    differences = np.array([one - other for one, other in drawn])
    value = equal_error_rate(scores, is_target) - equal_error_rate(worse, is_target)
    expected = np.quantile(differences, [0.025, 0.975]) + value - differences.mean()
    assert (found.difference.low, found.difference.high) == pytest.approx(expected)
    assert found.one_better == (differences < 0).mean() > 0.7
    moved = differences + value - differences.mean()
    assert found.p_value == pytest.approx(2 * (1 + (moved >= 0).sum()) / 41)
    assert (found.p_value < 0.05) == (found.difference.high < 0)


def test_five_people_tell_no_difference():
    scores, is_target, sides = trials_of(5)
    found = compared(equal_error_rate, scores, -scores, is_target, sides, rng=np.random.default_rng(0), num_draws=20)
    assert found.difference.value < -0.5
    assert np.isnan([found.difference.low, found.difference.high, found.p_value]).all()


def test_two_of_one_kind_are_hardly_ever_told_apart():
    """Of forty comparisons of systems that differ by chance alone, five in a hundred should have p below 0.05."""
    below = 0
    for seed in range(40):
        scores, is_target, sides = trials_of(25, seed=seed)
        noise = np.random.default_rng([1, seed]).normal(size=(2, len(scores)))
        found = compared(
            equal_error_rate,
            scores + noise[0],
            scores + noise[1],
            is_target,
            sides,
            rng=np.random.default_rng(seed),
            num_draws=200,
        )
        below += found.p_value < 0.05
    assert below <= 6


def test_the_difference_of_two_alike_is_surer_than_either():
    scores, is_target, sides = trials_of(30)
    other = scores + 0.1 * np.random.default_rng(5).normal(size=len(scores))
    found = compared(equal_error_rate, scores, other, is_target, sides, rng=np.random.default_rng(1), num_draws=200)
    alone = estimate(equal_error_rate, scores, is_target, sides, rng=np.random.default_rng(1))
    assert found.difference.high - found.difference.low < (alone.high - alone.low) / 2


def test_where_draws_hardly_ever_define_the_figures_their_difference_has_no_interval():
    """All three people must be drawn, as in two of nine draws; and no share can be told of no draws at all."""
    people = [np.array(["a", "b"]), np.array(["a", "c"])]
    for num_draws, share in ((100, 1.0), (1, np.nan)):
        found = compared(
            equal_error_rate,
            np.array([1.0, 0.0]),
            np.array([0.0, 1.0]),
            np.array([True, False]),
            people,
            rng=np.random.default_rng(1),
            num_draws=num_draws,
        )
        assert found.difference.value == -1
        assert np.isnan([found.difference.low, found.difference.high]).all()
        np.testing.assert_equal(found.one_better, share)


def test_the_groups_are_told_by_name_and_who_is_in_none_comes_last():
    groups = np.array(["m", None, "f", "m", float("nan")], dtype=object)
    found = [(name, rows.tolist()) for name, rows, _ in each_group(groups, rng=np.random.default_rng(1))]
    assert found == [("f", [2]), ("m", [0, 3]), ("unknown", [1, 4])]


def test_the_draws_of_a_group_are_those_of_it_alone():
    groups = np.array(["a", "b", "c", "b"])
    together = {name: own.integers(1 << 40) for name, _, own in each_group(groups, rng=np.random.default_rng(4))}
    ((_, _, alone),) = each_group(groups[groups == "b"], rng=np.random.default_rng(4))
    assert together["b"] == alone.integers(1 << 40)
    assert len(set(together.values())) == 3


def test_both_sides_make_a_group_in_either_order():
    one = np.array(["f", "m", "f", None, "m"], dtype=object)
    other = np.array(["f", "f", "m", "f", float("nan")], dtype=object)
    assert of_both_sides(one, other).tolist() == ["f", "f/m", "f/m", "unknown", "unknown"]
    ages = np.array(list("abcdefgh"))  # so many that no order of a set is theirs by chance
    assert of_both_sides(ages[1:], ages[:-1]).tolist() == ["a/b", "b/c", "c/d", "d/e", "e/f", "f/g", "g/h"]


def test_bins_hold_their_lower_edge():
    lengths = np.array([1.9, 2.0, 3.99, 4.0, 8.0, np.nan])
    expected = ["under 2 s", "2-4 s", "2-4 s", "4-8 s", "from 8 s", "unknown"]
    assert binned(lengths, [2, 4, 8], unit="s").tolist() == expected
    assert binned(np.array([None, 1.5], dtype=object), [1]).tolist() == ["unknown", "from 1"]


@given(st.lists(st.floats(-10, 10), min_size=1), st.lists(st.integers(-9, 9), min_size=1, unique=True).map(sorted))
def test_every_number_is_in_the_one_bin_that_names_it(values, edges):
    for value, name in zip(values, binned(np.array(values), edges).tolist(), strict=True):
        below = [edge for edge in edges if edge <= value]
        if not below:
            assert name == f"under {edges[0]}"
        elif len(below) == len(edges):
            assert name == f"from {edges[-1]}"
        else:
            assert name == f"{below[-1]}-{edges[len(below)]}"


@pytest.mark.parametrize("edges", [[], [2, 1], [1, 1]])
def test_edges_that_do_not_rise_are_refused(edges):
    with pytest.raises(ValueError, match="expected rising numbers"):
        binned(np.array([1.0]), edges)
