"""What `benchmarks.calibration` promises: scores made log-likelihood ratios, by the loss that it names."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from benchmarks.calibration import Calibration, fitted
from benchmarks.metrics import act_dcf, cllr, equal_error_rate, min_cllr, min_dcf

seeds = st.integers(0, 2**32 - 1)


def gaussian(seed, num_trials=500, share=0.2):
    """Scores of unit variance around 0 and 2: their ratio is 2 s - 2."""
    rng = np.random.default_rng(seed)
    is_target = rng.random(num_trials) < share
    return rng.normal(size=num_trials) + 2.0 * is_target, is_target


def test_a_worked_case():
    """A quarter of the targets have the low score and three quarters of the others, and so for the high one."""
    scores, is_target = np.array([1, 1, 1, 0, 1, 0, 0, 0.0]), np.array([True] * 4 + [False] * 4)
    found = fitted(scores, is_target)
    assert found.applied([0, 1]) == pytest.approx([-math.log(3), math.log(3)], abs=1e-9)


def test_the_share_of_targets_in_the_list_does_not_matter():
    scores, is_target = np.array([1, 1, 1, 0, 1, 0, 0, 0.0]), np.array([True] * 4 + [False] * 4)
    many = np.append(scores, np.tile(scores[~is_target], 50)), np.append(is_target, np.zeros(200, dtype=bool))
    assert fitted(*many).applied([0, 1]) == pytest.approx([-math.log(3), math.log(3)], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("p_target", [0.5, 0.05, 0.9])
def test_it_is_scikit_learns_logistic_regression_with_weights(seed, p_target):
    scores, is_target = gaussian(seed)
    weight = np.where(is_target, p_target / is_target.sum(), (1 - p_target) / (~is_target).sum()) * len(scores)
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    model.fit(scores[:, None], is_target, sample_weight=weight)
    found = fitted(scores, is_target, p_target=p_target)
    assert found.slope == pytest.approx(model.coef_[0, 0], rel=1e-6)
    assert found.offset == pytest.approx(model.intercept_[0] - math.log(p_target / (1 - p_target)), rel=1e-6)


def test_of_many_gaussian_scores_it_is_the_ratio_of_their_densities():
    found = fitted(*gaussian(1, num_trials=200_000, share=0.5))
    assert (found.slope, found.offset) == (pytest.approx(2.0, abs=0.03), pytest.approx(-2.0, abs=0.03))


@given(seeds, st.floats(0.01, 100), st.floats(-100, 100), st.sampled_from([0.5, 0.01]))
def test_scores_on_another_scale_give_the_same_ratios_and_ratios_themselves(seed, slope, offset, p_target):
    scores, is_target = gaussian(seed)
    ratios = fitted(scores, is_target, p_target=p_target).applied(scores)
    moved = slope * scores + offset
    assert fitted(moved, is_target, p_target=p_target).applied(moved) == pytest.approx(ratios, abs=1e-5)
    again = fitted(ratios, is_target, p_target=p_target)
    assert (again.slope, again.offset) == (pytest.approx(1.0, abs=1e-6), pytest.approx(0.0, abs=1e-5))


@given(seeds)
def test_cllr_comes_between_the_least_and_one_and_nothing_else_changes(seed):
    scores, is_target = gaussian(seed)
    ratios = fitted(scores, is_target).applied(scores)
    assert min_cllr(scores, is_target) <= cllr(ratios, is_target) <= 1.0
    assert equal_error_rate(ratios, is_target) == equal_error_rate(scores, is_target)
    assert min_dcf(ratios, is_target) == min_dcf(scores, is_target) <= act_dcf(ratios, is_target)
    for near in (Calibration(slope=1.01, offset=0.0), Calibration(slope=1.0, offset=0.01)):
        assert cllr(ratios, is_target) <= cllr(near.applied(ratios), is_target)


def test_what_was_fitted_on_one_list_calibrates_another():
    ratios = fitted(*gaussian(1, num_trials=20_000)).applied(gaussian(2, num_trials=20_000)[0])
    is_target = gaussian(2, num_trials=20_000)[1]
    assert cllr(ratios, is_target) == pytest.approx(min_cllr(ratios, is_target), abs=0.01)


def test_inverted_scores_get_a_falling_line():
    scores, is_target = gaussian(1)
    assert fitted(-scores, is_target).slope == pytest.approx(-fitted(scores, is_target).slope, rel=1e-6)


@pytest.mark.parametrize("scores", [[3, 2, 1, 0.0], [0, 1, 2, 3.0], [2, 1, 1, 0.0], [1, 1, 1, 1.0]])
def test_without_overlap_there_is_no_best_line(scores):
    with pytest.raises(ValueError, match="a threshold tells all targets from all other trials"):
        fitted(np.array(scores), np.array([True, True, False, False]))


@pytest.mark.parametrize("p_target", [0.0, 1.0])
def test_a_prior_that_is_sure_is_refused(p_target):
    with pytest.raises(ValueError, match=f"p_target {p_target}; expected a share"):
        fitted(*gaussian(1), p_target=p_target)


def test_one_kind_of_trial_is_refused():
    with pytest.raises(ValueError, match="2 targets among 2 trials"):
        fitted(np.array([1.0, 2.0]), np.array([True, True]))
