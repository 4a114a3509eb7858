"""EER and minDCF beside those of scikit-learn and SpeechBrain, and of WeSpeaker, Kaldi and voxceleb_trainer, whose ways
are written from their description.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import brentq
from sklearn.metrics import det_curve, roc_curve

from benchmarks.metrics import Costs, equal_error_rate, error_rates, min_dcf
from benchmarks.score_files import read_list, scores_of
from tests.benchmarks.scores_made import costs, gaussian, names_of, trials, under, write_scores


def eer_by_bisection(false_accept, hit):
    """Where the line through the points of a ROC curve meets accept = reject, found by walking along it."""
    along = np.arange(len(hit))

    def gap(place):
        return np.interp(place, along, false_accept) - (1 - np.interp(place, along, hit))

    return float(np.interp(brentq(gap, 0, len(hit) - 1, xtol=1e-13), along, false_accept))


@settings(deadline=None)
@given(trials(tied=False), costs)
def test_without_ties_the_figures_are_those_of_scikit_learns_curves(rows, how):
    scores, is_target = rows
    accept, hit, _ = roc_curve(is_target, scores, drop_intermediate=False)
    assert equal_error_rate(scores, is_target) == pytest.approx(eer_by_bisection(accept, hit), abs=1e-9)
    weighed = how.p_target * how.miss * (1 - hit) + (1 - how.p_target) * how.false_accept * accept
    trivial = min(how.p_target * how.miss, (1 - how.p_target) * how.false_accept)
    assert under(min_dcf, how)(scores, is_target) == pytest.approx(weighed.min() / trivial, abs=1e-9)


def test_ten_thousand_trials_agree_with_scikit_learns_curves():
    rng = np.random.default_rng(11)
    is_target = rng.random(10_000) < 0.1
    scores = rng.normal(size=10_000) + 2 * is_target
    accept, hit, _ = roc_curve(is_target, scores, drop_intermediate=False)
    assert equal_error_rate(scores, is_target) == pytest.approx(eer_by_bisection(accept, hit), abs=1e-9)
    accept, reject, _ = det_curve(is_target, scores)
    assert equal_error_rate(scores, is_target) == pytest.approx(accept[np.argmin(abs(accept - reject))], abs=1e-3)
    assert min_dcf(scores, is_target) == pytest.approx((0.01 * reject + 0.99 * accept).min() / 0.01, abs=1e-9)


def rejecting_one_more(scores, is_target):
    """(misses, false accepts) as WeSpeaker and Kaldi sweep: one trial more is rejected each time, from the lowest."""
    missed = rejected = 0
    for _, target in sorted(zip(scores.tolist(), is_target.tolist(), strict=True)):
        missed, rejected = missed + target, rejected + (not target)
        yield missed / is_target.sum(), 1 - rejected / (~is_target).sum()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("apart", [0.3, 2.0, 4.0])
def test_without_ties_eer_is_wespeakers(seed, apart):
    """It interpolates between the last point of its sweep with fewer misses than false accepts and the next."""
    scores, is_target = gaussian(seed, apart=apart)
    points = list(rejecting_one_more(scores, is_target))
    at = next(i for i, (miss, accept) in enumerate(points) if miss >= accept)
    (miss, accept), (miss_after, accept_after) = points[at - 1], points[at]
    share = (miss_after - accept_after) / ((accept - miss) + (miss_after - accept_after))
    assert equal_error_rate(scores, is_target) == pytest.approx(miss_after + share * (miss - miss_after), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("p_target", [0.001, 0.01, 0.05, 0.5])
def test_without_ties_min_dcf_is_wespeakers_and_kaldis(seed, p_target):
    scores, is_target = gaussian(seed)
    least = min(p_target * miss + (1 - p_target) * accept for miss, accept in rejecting_one_more(scores, is_target))
    expected = least / min(p_target, 1 - p_target)
    assert min_dcf(scores, is_target, p_target=p_target) == pytest.approx(expected, abs=1e-9)


def eer_of_kaldi(scores, is_target):
    """compute-eer: the first target below which as great a share lies as of the others lies at or above it."""
    targets, others = np.sort(scores[is_target]), np.sort(scores[~is_target])
    for place, target in enumerate(targets[:-1]):
        if others[max(len(others) - 1 - place * len(others) // len(targets), 0)] < target:
            return place / len(targets)
    return (len(targets) - 1) / len(targets)


@given(trials(tied=False))
def test_kaldi_takes_the_first_false_reject_rate_that_reaches_the_false_accept_rate(rows):
    """It is a point of our curve, and ours lies in the step that ends there: at most one target lower."""
    accept, reject = error_rates(*rows)
    found, eer = eer_of_kaldi(*rows), equal_error_rate(*rows)
    step = 1 / rows[1].sum()
    last = 1 - step  # its loop ends before the last target, whatever is above it
    reached = reject[reject >= accept].min()
    assert found == pytest.approx(min(reached, last), abs=1e-12)
    assert eer <= reached + 1e-12
    assert eer > reached - step - 1e-12
    assert abs(found - eer) <= step + 1e-12


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("apart", [0.3, 2.0, 4.0])
def test_the_eer_of_voxceleb_trainer_is_the_greater_rate_of_the_nearest_point(seed, apart):
    """Its point is one of our curve, next to where ours crosses: as far from it as the two rates are apart there."""
    scores, is_target = gaussian(seed, apart=apart)
    accept, hit, _ = roc_curve(is_target, scores, drop_intermediate=False)
    reject = 1 - hit
    nearest = np.argmin(abs(reject - accept))
    found = max(accept[nearest], reject[nearest])
    ours = equal_error_rate(scores, is_target)
    assert found >= ours - 1e-12
    assert found - ours <= abs(reject[nearest] - accept[nearest]) + 1e-12


OF_SPEECHBRAIN = """
import json, sys
from speechbrain.utils.metric_stats import EER, minDCF
from torch import tensor
for line in sys.stdin:
    targets, others, costs = json.loads(line)
    kinds = tensor(targets), tensor(others)
    found = [minDCF(*kinds, p_target=p, c_miss=miss, c_fa=false_accept)[0] for p, miss, false_accept in costs]
    print(json.dumps([EER(*kinds)[0], found]))
"""
SOME_COSTS = [(0.01, 1, 1), (0.05, 1, 1), (0.2, 10, 1), (0.5, 1, 3)]


def test_min_dcf_is_speechbrains_once_that_is_divided_and_eer_but_for_the_interpolation():
    """With ties and without. It counts in float32, which is the tolerance; and in a process of its own, because
    modules that it loads when they are looked at disturb hypothesis.
    """
    lists = [gaussian(seed, num_trials=400) for seed in range(3)]
    lists += [(scores.round(1), is_target) for scores, is_target in lists]
    asked = [json.dumps([scores[of].tolist(), scores[~of].tolist(), SOME_COSTS]) for scores, of in lists]
    done = subprocess.run(
        [sys.executable, "-c", OF_SPEECHBRAIN], input="\n".join(asked), capture_output=True, text=True, check=True
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(lists) == 6
    for (scores, is_target), (eer, undivided) in zip(lists, found, strict=True):
        costs_ = [Costs(p_target=p, miss=miss, false_accept=false_accept) for p, miss, false_accept in SOME_COSTS]
        expected = [
            cost / min(how.p_target * how.miss, (1 - how.p_target) * how.false_accept)
            for cost, how in zip(undivided, costs_, strict=True)
        ]
        assert [under(min_dcf, how)(scores, is_target) for how in costs_] == pytest.approx(expected, rel=1e-6)
        tied = (scores == scores.round(1)).all()
        assert equal_error_rate(scores, is_target) == pytest.approx(eer, abs=0.02 if tied else 1 / is_target.sum())


@pytest.mark.parametrize("form", ["kaldi", "wespeaker", "as-norm", "speechbrain", "voxceleb_trainer"])
@pytest.mark.parametrize("seed", [0, 1])
def test_on_one_file_of_scores_the_figures_are_those_of_the_tools_that_read_it(form, seed, tmp_path):
    """WeSpeaker reads the third word of a line as score and its fourth as label; others are read by their columns."""
    scores, is_target = gaussian(seed, num_trials=1_000)
    pairs = names_of(1_000, seed=seed)
    path, listed = tmp_path / "scores", tmp_path / "list"
    path.write_text(write_scores(form, pairs, scores, is_target))
    listed.write_text("".join(f"{int(one)} {a} {b}\n" for one, (a, b) in zip(is_target, pairs, strict=True)))
    trials_ = read_list(listed)
    ours = scores_of(trials_, path), np.asarray(trials_["is_target"])
    words = [line.split() for line in path.read_text().splitlines()]
    column = {"speechbrain": 3, "voxceleb_trainer": 0}.get(form, 2)
    theirs = np.array([float(line[column]) for line in words])
    label = {"wespeaker": 3, "as-norm": 3, "speechbrain": 2}.get(form)
    truth = is_target if label is None else np.array([line[label] in ("target", "1") for line in words])
    points = list(rejecting_one_more(theirs, truth))
    for p_target in (0.01, 0.001):
        least = min(p_target * miss + (1 - p_target) * accept for miss, accept in points)
        assert min_dcf(*ours, p_target=p_target) == pytest.approx(least / p_target, abs=1e-6)
    accept, hit, _ = roc_curve(truth, theirs, drop_intermediate=False)
    assert equal_error_rate(*ours) == pytest.approx(eer_by_bisection(accept, hit), abs=1e-6)
    assert abs(equal_error_rate(*ours) - eer_of_kaldi(theirs, truth)) <= 1 / truth.sum()
