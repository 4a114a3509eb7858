"""What `benchmarks.metrics` promises: error rates and costs by the conventions that it states, ties and all."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from benchmarks import metrics
from benchmarks.metrics import (
    DCF2,
    DCF3,
    Costs,
    act_dcf,
    cllr,
    crossing,
    det_curve,
    eer_and_min_dcf,
    equal_error_rate,
    error_rates,
    least_cost,
    min_cllr,
    min_dcf,
)
from tests.benchmarks.scores_made import costs, gaussian, seeds, trials, under


def rates_by_counting(scores, is_target):
    """(false accepts, false rejects) at every threshold, one trial after the other; above all scores first."""
    points = []
    for threshold in [np.inf, *sorted(set(scores.tolist()), reverse=True)]:
        accepted = [score >= threshold for score in scores]
        wrong = [a for a, target in zip(accepted, is_target, strict=True) if not target]
        missed = [not a for a, target in zip(accepted, is_target, strict=True) if target]
        points.append((sum(wrong) / len(wrong), sum(missed) / len(missed)))
    return points


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
    assert min_dcf(scores, is_target, p_target=0.5) == pytest.approx(1 / 3)
    assert min_dcf(scores, is_target, p_target=0.5, c_miss=10) == pytest.approx(1 / 2)
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
    assert under(min_dcf, how)(*rows) == pytest.approx(dcf_by_counting(*rows, how), abs=1e-9)
    assert under(min_dcf, how)(*rows) <= 1 + 1e-12


@settings(deadline=None)
@given(trials(), st.sampled_from([np.exp, np.arctan, lambda s: s**3, lambda s: 1e-6 * s - 5]), costs)
def test_only_the_order_of_the_scores_matters(rows, rising, how):
    scores, is_target = rows
    assert equal_error_rate(rising(scores), is_target) == equal_error_rate(scores, is_target)
    assert under(min_dcf, how)(rising(scores), is_target) == under(min_dcf, how)(scores, is_target)


@settings(deadline=None)
@given(trials(), costs, seeds)
def test_the_order_of_the_trials_does_not_matter_nor_which_kind_is_called_target(rows, how, seed):
    scores, is_target = rows
    order = np.random.default_rng(seed).permutation(len(scores))
    assert equal_error_rate(scores[order], is_target[order]) == equal_error_rate(scores, is_target)
    assert under(min_dcf, how)(scores[order], is_target[order]) == under(min_dcf, how)(scores, is_target)
    assert equal_error_rate(-scores, ~is_target) == pytest.approx(equal_error_rate(scores, is_target), abs=1e-12)
    mirrored = Costs(p_target=1 - how.p_target, miss=how.false_accept, false_accept=how.miss)
    assert under(min_dcf, mirrored)(-scores, ~is_target) == pytest.approx(
        under(min_dcf, how)(scores, is_target), abs=1e-9
    )


EVERY = [equal_error_rate, min_dcf, act_dcf, cllr, min_cllr, error_rates, eer_and_min_dcf, det_curve]


@pytest.mark.parametrize("metric", EVERY)
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


@pytest.mark.parametrize(
    ("scores", "is_target", "words"),
    [
        (np.array(["0.1", "0.2"]), np.array([True, False]), "scores of type <U3; expected numbers"),
        (np.array([0.1, 0.2]), np.array([1, 0]), "is_target of type int64; expected bool"),
        (np.array([0.1, 0.2]), np.array([1.0, np.nan]), "is_target of type float64; expected bool"),
    ],
)
def test_a_label_is_not_guessed(scores, is_target, words):
    with pytest.raises(ValueError, match=words):
        equal_error_rate(scores, is_target)


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"p_target": 0.0}, "p_target 0.0; expected a share between 0 and 1"),
        ({"p_target": 1.0}, "p_target 1.0; expected a share"),
        ({"c_miss": 0}, "cost of a miss 0; expected a number above 0"),
        ({"c_fa": math.inf}, "cost of a false accept inf"),
    ],
)
@pytest.mark.parametrize("metric", [min_dcf, act_dcf])
def test_costs_that_make_no_sense_are_refused(metric, settings_, words):
    with pytest.raises(ValueError, match=words):
        metric(np.array([1.0, 0.0]), np.array([True, False]), **settings_)


@pytest.mark.parametrize(
    ("weight", "words"),
    [([1.0], r"weight \(1,\); expected one for each of 2"), ([1, -2], "weight -2.0"), ([1, np.nan], "weight nan")],
)
@pytest.mark.parametrize("metric", [equal_error_rate, min_dcf, act_dcf, cllr, min_cllr])
def test_weights_that_make_no_sense_are_refused(metric, weight, words):
    with pytest.raises(ValueError, match=words):
        metric(np.array([1.0, 0.0]), np.array([True, False]), weight=np.array(weight))


# --------------------------------------------------------------------------------------------- the fast way, and types


@given(trials(), st.lists(costs, min_size=1, max_size=3), st.integers(1, 7))
def test_both_at_once_are_what_the_curve_of_all_operating_points_says(rows, several, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "AT_ONCE", at_once)
        eer, dcfs = eer_and_min_dcf(*rows, several)
    assert eer == pytest.approx(crossing(*error_rates(*rows)), abs=1e-15)
    assert dcfs == pytest.approx([least_cost(*error_rates(*rows), how) for how in several], abs=1e-12)
    assert eer == equal_error_rate(*rows)
    assert dcfs == [under(min_dcf, how)(*rows) for how in several]


def test_dcf2_and_dcf3_are_told_unless_others_are_asked_for():
    rng = np.random.default_rng(3)
    is_target = rng.random(5_000) < 0.3
    scores = rng.normal(size=5_000) + 2 * is_target
    assert (DCF2.p_target, DCF3.p_target) == (0.01, 0.001)
    expected = [min_dcf(scores, is_target), min_dcf(scores, is_target, p_target=0.001)]
    assert eer_and_min_dcf(scores, is_target)[1] == expected
    assert expected[0] < expected[1]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8])
def test_scores_of_any_type_give_the_figures_of_the_same_numbers_in_float64(kind):
    rng = np.random.default_rng(5)
    is_target = rng.random(3_000) < 0.2
    scores = (20 * rng.normal(size=3_000) + 30 * is_target).clip(-120, 120).astype(kind)
    for metric in (equal_error_rate, min_dcf, act_dcf, cllr, min_cllr):
        assert metric(scores, is_target) == pytest.approx(metric(np.float64(scores), is_target), rel=1e-12)


def test_what_is_given_is_left_as_it_was():
    scores, is_target = np.array([0.3, 0.1, 0.2]), np.array([True, False, True])
    for metric in EVERY:
        metric(scores, is_target)
    assert (scores.tolist(), is_target.tolist()) == ([0.3, 0.1, 0.2], [True, False, True])


# --------------------------------------------------------------------------- log-likelihood ratios


def test_costs_at_bayes_threshold_worked_by_hand():
    """Log 99 is 4.595: one of two targets is below it, one of two others above."""
    scores, is_target = np.array([5.0, 4.0, 4.6, -1.0]), np.array([True, True, False, False])
    assert act_dcf(scores, is_target) == pytest.approx((0.01 / 2 + 0.99 / 2) / 0.01)
    assert act_dcf(scores, is_target, p_target=0.5) == pytest.approx(1 / 2)  # from 0 on
    assert act_dcf(scores, is_target, p_target=0.5, c_fa=math.exp(4.8)) == pytest.approx(1 / 2)
    assert Costs(p_target=0.5, miss=2, false_accept=6).threshold == pytest.approx(math.log(3))


def test_a_ratio_at_the_threshold_is_accepted_and_float32_is_not_rounded_onto_it():
    is_target = np.array([True, False])
    assert act_dcf(np.array([0.0, -1.0]), is_target, p_target=0.5) == 0.0
    thresholds = {p_target: Costs(p_target=p_target).threshold for p_target in (0.01, 0.02, 0.03, 0.04, 0.05)}
    p_target = next(p for p, threshold in thresholds.items() if float(np.float32(threshold)) < threshold)
    assert act_dcf(np.float32([thresholds[p_target], -1]), is_target, p_target=p_target) == 1.0


def test_cllr_worked_by_hand():
    """Odds of three to one for what is true cost log2(4/3), for what is not 2 bits."""
    is_target = np.array([True, False])
    assert cllr(np.log([3, 1 / 3]), is_target) == pytest.approx(math.log2(4 / 3))
    assert cllr(np.log([1 / 3, 3]), is_target) == pytest.approx(2.0)
    assert cllr(np.array([0.0, 0.0]), is_target) == pytest.approx(1.0)
    assert cllr(np.array([0.0, 0.0, np.log(3)]), np.array([True, False, False])) == pytest.approx((1 + (1 + 2) / 2) / 2)
    assert cllr(np.array([1e4, -1e4]), is_target) == 0.0
    assert cllr(np.array([-1e4, 1e4]), is_target) == pytest.approx(1e4 / math.log(2))


def test_min_cllr_of_perfect_useless_and_inverted_scores():
    scores, is_target = np.array([4, 3, 2, 1.0]), np.array([True, True, False, False])
    assert min_cllr(scores, is_target) == 0.0
    assert min_cllr(-scores, is_target) == pytest.approx(1.0)
    assert min_cllr(np.zeros(4), is_target) == pytest.approx(1.0)


def test_min_cllr_worked_by_hand():
    """From the top: a target, an other and a target that are joined, and cost one bit each, and an other."""
    assert min_cllr(np.array([4, 3, 2, 1.0]), np.array([True, False, True, False])) == pytest.approx(1 / 2)


@given(trials())
def test_cllr_is_scikit_learns_log_loss_with_both_kinds_of_one_weight(rows):
    scores, is_target = rows
    weight = np.where(is_target, 1 / is_target.sum(), 1 / (~is_target).sum())
    posterior = np.array([1 / (1 + math.exp(-score)) for score in scores])
    expected = log_loss(is_target, posterior, sample_weight=weight) / math.log(2)
    assert cllr(scores, is_target) == pytest.approx(expected, abs=1e-9)


def min_cllr_by_scikit_learn(scores, is_target):
    """Posteriors by isotonic regression, less the odds of the list, priced trial by trial."""
    posterior = IsotonicRegression(y_min=0, y_max=1).fit_transform(scores, is_target.astype(float))
    prior = is_target.mean()
    total = {True: 0.0, False: 0.0}
    for p, target in zip(posterior.tolist(), is_target.tolist(), strict=True):
        right, wrong = (p / prior, (1 - p) / (1 - prior)) if target else ((1 - p) / (1 - prior), p / prior)
        total[target] += math.log2(1 + wrong / right)
    return (total[True] / is_target.sum() + total[False] / (~is_target).sum()) / 2


@given(trials())
def test_min_cllr_is_that_of_scikit_learns_isotonic_regression(rows):
    assert min_cllr(*rows) == pytest.approx(min_cllr_by_scikit_learn(*rows), abs=1e-9)


@given(trials(), st.floats(0.05, 20), st.floats(-5, 5))
def test_no_rising_map_costs_less_than_min_cllr(rows, slope, offset):
    scores, is_target = rows
    assert min_cllr(scores, is_target) <= cllr(slope * scores + offset, is_target) + 1e-12
    assert 0 <= min_cllr(scores, is_target) <= 1 + 1e-12
    assert min_cllr(np.arctan(scores), is_target) == min_cllr(scores, is_target)


@given(trials(), costs)
def test_no_threshold_costs_less_than_the_best(rows, how):
    assert under(min_dcf, how)(*rows) <= under(act_dcf, how)(*rows)


@given(trials(), costs)
def test_min_dcf_is_the_least_of_act_dcf_wherever_the_scores_are_moved(rows, how):
    scores, is_target = rows
    moved = [how.threshold - score for score in scores] + [how.threshold - scores.max() - 1]
    least = min(under(act_dcf, how)(scores + move + 1e-9, is_target) for move in moved)
    assert under(min_dcf, how)(scores, is_target) == pytest.approx(least, abs=1e-9)


# ---------------------------------------------------------------------------------------- weights


@given(trials(), seeds, costs)
def test_a_weight_is_how_often_a_trial_is_written_out(rows, seed, how):
    scores, is_target = rows
    times = np.random.default_rng(seed).integers(0, 4, size=len(scores))
    written = np.repeat(scores, times), np.repeat(is_target, times)
    for metric in (equal_error_rate, under(min_dcf, how), under(act_dcf, how), cllr, min_cllr):
        found = metric(scores, is_target, weight=times.astype(float))
        if written[1].any() and not written[1].all():
            assert found == pytest.approx(metric(*written), abs=1e-9)
        else:
            assert math.isnan(found)


@given(trials(), st.floats(0.1, 10))
def test_equal_weights_change_nothing(rows, weight):
    for metric in (equal_error_rate, min_dcf, act_dcf, cllr, min_cllr):
        assert metric(*rows, weight=np.full(len(rows[0]), weight)) == pytest.approx(metric(*rows), abs=1e-9)


# ---------------------------------------------------------------------------------------- DET


def test_the_corners_of_a_curve_worked_by_hand():
    """From the top: two targets, two others, a target; only the second and the fourth turn a corner."""
    accept, reject = det_curve(np.array([5, 4, 3, 2, 1.0]), np.array([True, True, False, False, True]))
    np.testing.assert_allclose(accept, [0, 0, 1, 1])
    np.testing.assert_allclose(reject, [1, 1 / 3, 1 / 3, 0])


@given(trials(), costs)
def test_no_corner_is_lost_and_nothing_else_is_kept(rows, how):
    accept, reject = det_curve(*rows)
    every = list(zip(*error_rates(*rows), strict=True))
    kept = list(zip(accept, reject, strict=True))
    turns = [
        point
        for before, point, after in zip(every, every[1:], every[2:], strict=False)
        if not any(before[side] == point[side] == after[side] for side in (0, 1))
    ]
    assert kept == [every[0], *turns, every[-1]]
    assert crossing(accept, reject) == pytest.approx(equal_error_rate(*rows), abs=1e-12)
    assert least_cost(accept, reject, how) == pytest.approx(under(min_dcf, how)(*rows), abs=1e-12)


def test_a_picture_of_many_trials_has_few_points_and_is_nowhere_off_by_more_than_a_cell():
    scores, is_target = gaussian(7, num_trials=100_000, share=0.5)
    every, thinned = det_curve(scores, is_target), det_curve(scores, is_target, cell=0.05)
    assert len(thinned[0]) < len(every[0]) / 20
    squares = {}
    for point, square in zip(zip(*every, strict=True), np.floor(ndtri(np.array(every)) / 0.05).T.tolist(), strict=True):
        squares.setdefault(tuple(square), []).append(point)
    assert set(zip(*thinned, strict=True)) == {square[end] for square in squares.values() for end in (0, -1)}
    inner = (every[0] > 0) & (every[0] < 1) & (every[1] > 0) & (every[1] < 1)
    one, other = ndtri(np.array(every)[:, inner]), ndtri(np.array(thinned))
    nearest = [np.abs(other - point[:, None]).max(axis=0).min() for point in one.T[::50]]
    assert max(nearest) <= 0.05
