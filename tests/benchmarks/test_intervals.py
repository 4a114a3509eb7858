"""What the bootstrap over people promises."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from benchmarks.classes import accuracy
from benchmarks.intervals import (
    NUM_DRAWS,
    Trials,
    central,
    estimate,
    num_disjoint,
    person_intervals,
    unseen_rate,
    weights,
)
from benchmarks.metrics import Costs, cllr, crossing, equal_error_rate, least_cost, min_dcf

FIGURES = [crossing, partial(least_cost, costs=Costs())]


def trials_of(num_people: int, *, rng: np.random.Generator, spread: float = 1.0) -> Trials:
    """Three targets a person and a nontarget for each two, with scores that overlap more the greater `spread` is."""
    people = np.arange(num_people)
    one, other = np.triu_indices(num_people, 1)
    is_target = np.append(np.ones(3 * num_people, dtype=bool), np.zeros(len(one), dtype=bool))
    return Trials(
        scores=is_target + spread * rng.normal(size=len(is_target)),
        is_target=is_target,
        enrol_person=np.append(np.repeat(people, 3), one),
        test_person=np.append(np.repeat(people, 3), other),
    )


def repeated(trials: Trials, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The trials written out as often as their people were drawn: the slow way."""
    both = times[trials.enrol_person] * times[trials.test_person]
    copies = np.where(trials.is_target, times[trials.enrol_person], both)
    return np.repeat(trials.scores, copies), np.repeat(trials.is_target, copies)


@settings(deadline=None, max_examples=10)
@given(num_people=st.integers(10, 14), seed=st.integers(0, 2**32 - 1))
def test_weighing_trials_is_writing_them_out_as_often_as_their_people_are_drawn(num_people, seed):
    trials = trials_of(num_people, rng=np.random.default_rng(seed))
    found = person_intervals(trials, FIGURES, rng=np.random.default_rng(seed))
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(NUM_DRAWS):
        scores, is_target = repeated(trials, rng.multinomial(num_people, np.full(num_people, 1 / num_people)))
        if is_target.any() and not is_target.all():
            drawn.append([equal_error_rate(scores, is_target), min_dcf(scores, is_target)])
    bias = np.mean(drawn, axis=0) - [metric(trials.scores, trials.is_target) for metric in (equal_error_rate, min_dcf)]
    expected = np.clip(np.quantile(drawn, [0.025, 0.975], axis=0) - bias, 0, 1)
    np.testing.assert_allclose(found, expected.T, atol=1e-12)


def test_the_interval_of_scores_without_a_mistake_has_an_end():
    """Ten people with targets, five pairs of them: e is where (1 - e)^10 + (1 - e)^5 is 5 %; minDCF can be anything."""
    trials = trials_of(10, rng=np.random.default_rng(1), spread=0.0)
    (low, high), of_cost = person_intervals(trials, FIGURES, rng=np.random.default_rng(1))
    left = (-1 + np.sqrt(1 + 4 * 0.05)) / 2  # (1 - e)^5
    assert (low, high) == (0, pytest.approx(1 - left ** (1 / 5)))
    assert of_cost == (0, 1)
    costs, more = Costs(p_target=0.4), trials_of(40, rng=np.random.default_rng(1), spread=0.0)
    ((low, high),) = person_intervals(more, [partial(least_cost, costs=costs)], rng=np.random.default_rng(1))
    assert (low, high) == (0, pytest.approx((1 - left ** (1 / 20)) * (1 + 0.6 / 0.4)))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(0, 1), (1, 0), (2, 3)], 2),
        ([(0, 1), (0, 2), (0, 3)], 1),  # all with one person
        ([(0, 3), (1, 3), (3, 2)], 1),
        ([(0, 1), (1, 2), (2, 3)], 2),
        ([(1, 2), (0, 1), (2, 3)], 2),  # the first are taken in their order, whatever that of the rows
        (list(combinations(range(9), 2)), 4),
    ],
)
def test_pairs_with_nobody_in_common_worked_by_hand(pairs, expected):
    assert num_disjoint(*np.array(pairs).T) == expected


@pytest.mark.parametrize("whom", ["people fail all or none", "every trial may fail", "wolves"])
@pytest.mark.parametrize("num_people", [10, 40])
def test_the_end_of_no_mistakes_holds_the_truth(whom, num_people):
    """Lists that come out without a mistake, of systems whose true error rate lies beyond the end: 5 % at most.

    Were all people drawn to fail in all their trials or none, it would be as many as the end allows.
    """
    rng = np.random.default_rng(4)
    trials = trials_of(num_people, rng=rng)
    rate = unseen_rate(trials) + 1e-9
    targets = trials.is_target
    clean = 0
    for _ in range(4_000):
        if whom == "people fail all or none":
            misses = (rng.random(num_people) < rate)[trials.enrol_person[targets]]
            accepts = np.zeros((~targets).sum(), dtype=bool)
            accepts[0] = rng.random() > (1 - rate) ** (num_people // 2)
        elif whom == "every trial may fail":
            misses, accepts = rng.random(targets.sum()) < rate, rng.random((~targets).sum()) < rate
        else:  # who is one is accepted as anybody
            wolf = rng.random(num_people) < 1 - np.sqrt(1 - rate)
            misses = np.ones(1, dtype=bool)
            accepts = (wolf[trials.enrol_person] | wolf[trials.test_person])[~targets]
        clean += not misses.any() or not accepts.any()  # one kind without a mistake: a threshold may part the list
    assert clean / 4_000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4_000)
    if whom == "people fail all or none":
        assert clean / 4_000 >= 0.04


def test_intervals_hold_the_truth_where_most_lists_show_no_mistake():
    """Twenty people who differ, and a true EER of 0.28 %: four of five lists are without a mistake."""
    rng, own, apart, people = np.random.default_rng(1), 0.5, 6.5, np.arange(20)
    one, other = np.triu_indices(20, 1)
    enrolled, tested = np.append(np.repeat(people, 4), one), np.append(np.repeat(people, 4), other)
    is_target = enrolled == tested
    truth = ndtr(-apart / (np.sqrt(1 + own**2) + np.sqrt(1 + 2 * own**2)))
    held = clean = 0
    for _ in range(60):
        as_target, as_other = own * rng.normal(size=(2, 20))
        shift = np.where(is_target, apart + as_target[enrolled], as_other[enrolled] + as_other[tested])
        scores = rng.normal(size=len(is_target)) + shift
        trials = Trials(scores=scores, is_target=is_target, enrol_person=enrolled, test_person=tested)
        ((low, high),) = person_intervals(trials, [crossing], rng=rng)
        held += low <= truth <= high
        clean += equal_error_rate(scores, is_target) == 0
    assert clean >= 40
    assert held >= 52


def test_more_people_narrow_the_interval_around_the_figure():
    widths = []
    for num_people in (10, 100):
        trials = trials_of(num_people, rng=np.random.default_rng(1))
        (low, high), _ = person_intervals(trials, FIGURES, rng=np.random.default_rng(1))
        assert low < equal_error_rate(trials.scores, trials.is_target) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize("num_people", [1, 3, 9, 10])
def test_fewer_than_ten_people_give_no_interval(num_people):
    trials = trials_of(num_people, rng=np.random.default_rng(1))
    assert np.isnan(person_intervals(trials, FIGURES, rng=np.random.default_rng(1))).all() == (num_people < 10)
    found = estimate(
        accuracy, np.tile([1, 2], 5), np.ones(10), [np.arange(10) % num_people], rng=np.random.default_rng(1)
    )
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all() == (num_people < 10)


def test_as_many_people_are_asked_of_each_kind_of_trial():
    """Many nontargets say nothing of misses that three people could have."""
    trials = trials_of(20, rng=np.random.default_rng(1))
    few = ~trials.is_target | (trials.enrol_person < 3)
    columns = {name: getattr(trials, name)[few] for name in ("scores", "is_target", "enrol_person", "test_person")}
    assert np.isnan(person_intervals(Trials(**columns), FIGURES, rng=np.random.default_rng(1))).all()


def test_people_who_are_all_alike_give_no_interval():
    alike = np.ones(12, dtype=bool)
    found = estimate(accuracy, alike, alike, [np.arange(12)], rng=np.random.default_rng(1), bounds=(0, 1))
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_interval(seed):
    trials = trials_of(20, rng=np.random.default_rng(0))
    one, again = (person_intervals(trials, FIGURES, rng=np.random.default_rng(seed)) for _ in range(2))
    assert one == again


def test_the_weights_of_rows_worked_by_hand():
    """Anna counts as often as she is drawn, with herself too; a trial of two people the product of both."""
    enrolled, tested = np.array(["anna", "anna", "ben"]), np.array(["anna", "ben", "ben"])
    times = np.random.default_rng(1).multinomial(2, [0.5, 0.5], size=6)
    found = list(weights(enrolled, tested, rng=np.random.default_rng(1), num_draws=6))
    assert {tuple(row) for row in times.tolist()} == {(2, 0), (1, 1), (0, 2)}
    assert [weight.tolist() for weight in found] == [[anna, anna * ben, ben] for anna, ben in times.tolist()]
    alone = list(weights(enrolled, rng=np.random.default_rng(1), num_draws=6))
    assert [weight.tolist() for weight in alone] == [[anna, anna, ben] for anna, ben in times.tolist()]


def test_the_interval_is_the_middle_of_the_draws_moved_until_their_mean_is_the_figure():
    drawn = np.arange(101) / 100
    assert central(0.6, drawn, bounds=(0, np.inf)) == pytest.approx((0.125, 1.075))
    assert central(0.6, drawn, bounds=(0.2, 1)) == pytest.approx((0.2, 1))
    assert central(0.6, [*drawn, *[np.nan] * 101], bounds=(0, np.inf)) == pytest.approx((0.125, 1.075))
    assert np.isnan(central(0.6, [*drawn, *[np.nan] * 102], bounds=(0, np.inf))).all()


@pytest.mark.parametrize("figure", [0, 1])
def test_any_metric_has_the_interval_that_the_curve_gives(figure):
    trials = trials_of(15, rng=np.random.default_rng(2))
    people = [trials.enrol_person, trials.test_person]
    expected = person_intervals(trials, FIGURES, rng=np.random.default_rng(7))[figure]
    metric = (equal_error_rate, min_dcf)[figure]
    found = estimate(metric, trials.scores, trials.is_target, people, rng=np.random.default_rng(7), bounds=(0, 1))
    assert found.value == metric(trials.scores, trials.is_target)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert found.low <= found.value <= found.high


def test_other_figures_have_intervals_too():
    trials = trials_of(15, rng=np.random.default_rng(2))
    people = [trials.enrol_person, trials.test_person]
    found = estimate(cllr, trials.scores, trials.is_target, people, rng=np.random.default_rng(1))
    assert found.low < found.value < found.high
    truth, person = np.tile(["f", "m"], 100), np.repeat(np.arange(40), 5)
    said = np.where(np.random.default_rng(3).random(200) < 0.8, truth, "f")
    found = estimate(accuracy, said, truth, [person], rng=np.random.default_rng(1), bounds=(0, 1))
    assert found.low < found.value == (said == truth).mean() < found.high


def test_people_who_repeat_themselves_count_once():
    """Every person is right of all utterances or of none: twenty times as many utterances tell nothing more."""
    right, rng = np.tile([True, True, False], 10), np.random.default_rng
    once = estimate(accuracy, right, np.ones(30, dtype=bool), [np.arange(30)], rng=rng(1))
    often = estimate(
        accuracy, np.repeat(right, 20), np.ones(600, dtype=bool), [np.repeat(np.arange(30), 20)], rng=rng(1)
    )
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_people_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"people of \[3, 2\] rows; expected columns of one length"):
        next(weights(np.arange(3), np.arange(2), rng=np.random.default_rng(1)))


def test_intervals_hold_the_truth_of_gaussian_scores_with_people_who_differ():
    """Forty people, whose own targets and whose nontargets lie higher or lower: normal scores all the same, so that the
    truth is known. Of 100 lists 95 should hold it, give or take 2; and the interval is as wide as the figures scatter.
    """
    apart, own, costs, rng = 3.0, 0.5, Costs(p_target=0.1), np.random.default_rng(1)
    of_target, of_other = np.sqrt(1 + own**2), np.sqrt(1 + 2 * own**2)
    threshold = np.linspace(-5, 10, 20_001)
    truth = [
        ndtr(-apart / (of_target + of_other)),
        costs.of(ndtr(-threshold / of_other), ndtr((threshold - apart) / of_target)).min(),
    ]
    people = np.arange(40)
    one, other = np.triu_indices(40, 1)
    enrolled, tested = np.append(np.repeat(people, 4), one), np.append(np.repeat(people, 4), other)
    is_target = enrolled == tested
    held, figures, widths = np.zeros(2), [], []
    for _ in range(100):
        as_target, as_other = own * rng.normal(size=(2, 40))
        shift = np.where(is_target, apart + as_target[enrolled], as_other[enrolled] + as_other[tested])
        scores = rng.normal(size=len(is_target)) + shift
        trials = Trials(scores=scores, is_target=is_target, enrol_person=enrolled, test_person=tested)
        intervals = person_intervals(trials, [crossing, partial(least_cost, costs=costs)], rng=rng)
        held += [low <= true <= high for (low, high), true in zip(intervals, truth, strict=True)]
        figures.append([equal_error_rate(scores, is_target), min_dcf(scores, is_target, p_target=0.1)])
        widths.append(np.diff(intervals)[:, 0])
    assert (held >= 88).all()
    assert (held <= 99).all()
    assert np.mean(widths, axis=0) == pytest.approx(2 * 1.96 * np.std(figures, axis=0), rel=0.3)
