"""What `benchmarks.metrics` promises: EER and minDCF by the conventions that it states, ties and all."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import det_curve, roc_curve

from benchmarks.metrics import Costs, equal_error_rate, error_rates, min_dcf

seeds = st.integers(0, 2**32 - 1)
costs = st.builds(Costs, p_target=st.floats(0.001, 0.999), miss=st.floats(0.1, 10), false_accept=st.floats(0.1, 10))


@st.composite
def trials(draw, *, tied=True):
    """Scores, of which few are different if tied, and at least one trial of each kind."""
    score = st.integers(-3, 3).map(float) if tied else st.floats(-1, 1)
    rows = draw(
        st.lists(st.tuples(score, st.booleans()), min_size=2, max_size=40, unique_by=None if tied else (lambda r: r[0]))
    )
    is_target = np.array([target for _, target in rows])
    assume(is_target.any() and not is_target.all())
    return np.array([score for score, _ in rows]), is_target


def rates_by_counting(scores, is_target):
    """(false accepts, false rejects) at every threshold, one trial after the other; above all scores first."""
    points = []
    for threshold in [np.inf, *sorted(set(scores.tolist()), reverse=True)]:
        accepted = [score >= threshold for score in scores]
        wrong = [a for a, target in zip(accepted, is_target, strict=True) if not target]
        missed = [not a for a, target in zip(accepted, is_target, strict=True) if target]
        points.append((sum(wrong) / len(wrong), sum(missed) / len(missed)))
    return points


def eer_by_bisection(false_accept, hit):
    """Where the line through the points of a ROC curve meets accept = reject, found by walking along it."""
    along = np.arange(len(hit))

    def gap(place):
        return np.interp(place, along, false_accept) - (1 - np.interp(place, along, hit))

    return float(np.interp(brentq(gap, 0, len(hit) - 1, xtol=1e-13), along, false_accept))


def dcf_by_counting(scores, is_target, how):
    points = rates_by_counting(scores, is_target)
    cost = [
        how.p_target * how.miss * reject + (1 - how.p_target) * how.false_accept * accept for accept, reject in points
    ]
    return min(cost) / min(how.p_target * how.miss, (1 - how.p_target) * how.false_accept)


def test_a_worked_case():
    """Targets 4, 3, 1 and nontargets 2, 0: at the threshold 2, 1/2 are accepted wrongly and 1/3 are missed.

    From there the line goes back to threshold 3 (0, 1/3): it meets accept = reject at 1/3.
    """
    scores, is_target = np.array([4, 3, 2, 1, 0.0]), np.array([True, True, False, True, False])
    accept, reject = error_rates(scores, is_target)
    np.testing.assert_allclose(accept, [0, 0, 0, 1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(reject, [1, 2 / 3, 1 / 3, 1 / 3, 0, 0])
    assert equal_error_rate(scores, is_target) == pytest.approx(1 / 3)
    assert min_dcf(scores, is_target, Costs(p_target=0.5)) == pytest.approx(1 / 3)
    assert min_dcf(scores, is_target, Costs(p_target=0.5, miss=10)) == pytest.approx(1 / 2)
    assert min_dcf(scores, is_target) == pytest.approx(1 / 3)


def test_the_crossing_is_interpolated_between_operating_points():
    """(0, 1/2) to (1, 0): they cross where a = (1 - a) / 2."""
    assert equal_error_rate(np.array([2, 1, 1.0]), np.array([True, True, False])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_ten_equal_scores_are_a_half_in_any_order(seed):
    is_target = np.random.default_rng(seed).permutation([True] * 3 + [False] * 7)
    assert equal_error_rate(np.full(10, 0.4), is_target) == 0.5
    assert min_dcf(np.full(10, 0.4), is_target) == 1.0


def test_perfect_scores_have_no_error_and_inverted_scores_no_hit():
    scores, is_target = np.array([0.9, 0.8, 0.3, 0.2, 0.1]), np.array([True, True, False, False, False])
    assert (equal_error_rate(scores, is_target), min_dcf(scores, is_target)) == (0.0, 0.0)
    assert (equal_error_rate(-scores, is_target), min_dcf(-scores, is_target)) == (1.0, 1.0)


@settings(deadline=None)
@given(trials())
def test_the_rates_are_those_of_counting(rows):
    np.testing.assert_allclose(np.stack(error_rates(*rows), axis=1), rates_by_counting(*rows), atol=1e-12)


@settings(deadline=None)
@given(trials(), costs)
def test_min_dcf_is_that_of_counting_and_at_most_one(rows, how):
    assert min_dcf(*rows, how) == pytest.approx(dcf_by_counting(*rows, how), abs=1e-9)
    assert min_dcf(*rows, how) <= 1 + 1e-12


@settings(deadline=None)
@given(trials(tied=False), costs)
def test_without_ties_the_figures_are_those_of_scikit_learns_curves(rows, how):
    scores, is_target = rows
    accept, hit, _ = roc_curve(is_target, scores, drop_intermediate=False)
    assert equal_error_rate(scores, is_target) == pytest.approx(eer_by_bisection(accept, hit), abs=1e-9)
    weighed = how.p_target * how.miss * (1 - hit) + (1 - how.p_target) * how.false_accept * accept
    trivial = min(how.p_target * how.miss, (1 - how.p_target) * how.false_accept)
    assert min_dcf(scores, is_target, how) == pytest.approx(weighed.min() / trivial, abs=1e-9)


def test_ten_thousand_trials_agree_with_scikit_learns_curves():
    rng = np.random.default_rng(11)
    is_target = rng.random(10_000) < 0.1
    scores = rng.normal(size=10_000) + 2 * is_target
    accept, hit, _ = roc_curve(is_target, scores, drop_intermediate=False)
    assert equal_error_rate(scores, is_target) == pytest.approx(eer_by_bisection(accept, hit), abs=1e-9)
    accept, reject, _ = det_curve(is_target, scores)
    assert equal_error_rate(scores, is_target) == pytest.approx(accept[np.argmin(abs(accept - reject))], abs=1e-3)
    assert min_dcf(scores, is_target) == pytest.approx((0.01 * reject + 0.99 * accept).min() / 0.01, abs=1e-9)


@settings(deadline=None)
@given(trials(), st.sampled_from([np.exp, np.arctan, lambda s: s**3, lambda s: 1e-6 * s - 5]), costs)
def test_only_the_order_of_the_scores_matters(rows, rising, how):
    scores, is_target = rows
    assert equal_error_rate(rising(scores), is_target) == equal_error_rate(scores, is_target)
    assert min_dcf(rising(scores), is_target, how) == min_dcf(scores, is_target, how)


@settings(deadline=None)
@given(trials(), costs, seeds)
def test_the_order_of_the_trials_does_not_matter_nor_which_kind_is_called_target(rows, how, seed):
    scores, is_target = rows
    order = np.random.default_rng(seed).permutation(len(scores))
    assert equal_error_rate(scores[order], is_target[order]) == equal_error_rate(scores, is_target)
    assert min_dcf(scores[order], is_target[order], how) == min_dcf(scores, is_target, how)
    assert equal_error_rate(-scores, ~is_target) == pytest.approx(equal_error_rate(scores, is_target), abs=1e-12)
    mirrored = Costs(p_target=1 - how.p_target, miss=how.false_accept, false_accept=how.miss)
    assert min_dcf(-scores, ~is_target, mirrored) == pytest.approx(min_dcf(scores, is_target, how), abs=1e-9)


@pytest.mark.parametrize("metric", [equal_error_rate, min_dcf])
@pytest.mark.parametrize(
    ("scores", "is_target", "words"),
    [
        ([0.1, 0.2], [True, True], "2 targets among 2 trials; expected both kinds"),
        ([0.1, 0.2], [False, False], "0 targets among 2 trials; expected both kinds"),
        ([], [], "0 targets among 0 trials"),
        ([0.1, np.nan], [True, False], "1 of 2 scores are not finite"),
        ([0.1, -np.inf], [True, False], "1 of 2 scores are not finite"),
        ([0.1, 0.2, 0.3], [True, False], "expected one of each a trial"),
        ([[0.1, 0.2]], [[True, False]], "expected one of each a trial"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_words(metric, scores, is_target, words):
    with pytest.raises(ValueError, match=words):
        metric(np.array(scores, dtype=np.float64), np.array(is_target, dtype=bool))


def test_the_conventions_are_said_in_words():
    assert Costs(p_target=0.05, miss=2).conventions() == (
        "p_target 0.05, C_miss 2, C_fa 1, divided by the cost of the better trivial system"
    )
