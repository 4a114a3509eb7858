"""What the bootstrap over people promises."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.intervals import NUM_DRAWS, Trials, person_intervals
from benchmarks.metrics import Costs, crossing, equal_error_rate, least_cost, min_dcf

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
@given(num_people=st.integers(5, 12), seed=st.integers(0, 2**32 - 1))
def test_weighing_trials_is_writing_them_out_as_often_as_their_people_are_drawn(num_people, seed):
    trials = trials_of(num_people, rng=np.random.default_rng(seed))
    found = person_intervals(trials, FIGURES, rng=np.random.default_rng(seed))
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(NUM_DRAWS):
        scores, is_target = repeated(trials, rng.multinomial(num_people, np.full(num_people, 1 / num_people)))
        if is_target.any() and not is_target.all():
            drawn.append([equal_error_rate(scores, is_target), min_dcf(scores, is_target)])
    np.testing.assert_allclose(found, np.quantile(drawn, [0.025, 0.975], axis=0).T, atol=1e-12)


def test_the_interval_of_scores_without_a_mistake_is_a_point():
    trials = trials_of(10, rng=np.random.default_rng(1), spread=0.0)
    assert person_intervals(trials, FIGURES, rng=np.random.default_rng(1)) == [(0.0, 0.0), (0.0, 0.0)]


def test_more_people_narrow_the_interval_around_the_figure():
    widths = []
    for num_people in (10, 100):
        trials = trials_of(num_people, rng=np.random.default_rng(1))
        (low, high), _ = person_intervals(trials, FIGURES, rng=np.random.default_rng(1))
        assert low < equal_error_rate(trials.scores, trials.is_target) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_one_person_gives_no_interval():
    alone = Trials(
        scores=np.array([1.0, 2.0]),
        is_target=np.array([True, True]),
        enrol_person=np.array([0, 0]),
        test_person=np.array([0, 0]),
    )
    assert np.isnan(person_intervals(alone, FIGURES, rng=np.random.default_rng(1))).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_interval(seed):
    trials = trials_of(20, rng=np.random.default_rng(0))
    one, again = (person_intervals(trials, FIGURES, rng=np.random.default_rng(seed)) for _ in range(2))
    assert one == again
