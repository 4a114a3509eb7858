"""Verification metrics of `scores` (N,) and `is_target` (N,) of bool: pure functions of arrays.

Conventions, printed beside every figure by `conventions`:
- A trial is accepted when its score reaches the threshold, so that tied scores move together; accepting all and
  accepting none are operating points too.
- EER: the false-accept and false-reject rates as functions of the threshold, joined linearly between operating points,
  where they cross. No histogram, no convex hull. WeSpeaker interpolates in the same way and agrees to 1e-6 where no
  scores are tied; Kaldi's compute-eer takes the next false-reject rate, at most one target higher; voxceleb_trainer
  the greater rate of the nearest point (up to 1e-3 higher on 10,000 trials); SpeechBrain averages both rates at the
  nearest threshold.
- minDCF: the least of c_miss * P_miss * p_target + c_fa * P_fa * (1 - p_target) over all thresholds, divided by the
  cost of the better of the two trivial systems (NIST SRE 2016). WeSpeaker, Kaldi and voxceleb_trainer do the same, but
  do not try to accept all; SpeechBrain's is not divided. DCF2 and DCF3 have p_target 0.01 and 0.001.
- actDCF: the same cost at Bayes' threshold, log(c_fa (1 - p_target) / (c_miss p_target)), of scores that are natural
  log-likelihood ratios.
- Cllr, in bits: log2(1 + exp(-llr)) of a target and log2(1 + exp(llr)) of another, the mean of both kinds' means
  (Brümmer and du Preez, Application-independent evaluation of speaker detection, 2006). Min Cllr is that after the best
  rising map of the scores (pool adjacent violators), whose values may be infinite.

`weight` (N,) says how often each trial counts, as in a bootstrap; where a kind of trial weighs nothing the figure is
nan. Scores of float32 are not widened. All raise ValueError for scores that are not finite numbers or do not match,
and where a kind of trial is missing.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]
Scores = NDArray[np.floating[Any]]

AT_ONCE = 1 << 13  # trials that are split or ranked at once stay in the cache, and take no memory to speak of


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the detection cost weighs."""

    p_target: float = 0.01
    miss: float = 1.0
    false_accept: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.p_target < 1:
            raise ValueError(f"p_target {self.p_target}; expected a share between 0 and 1")
        for name, cost in (("miss", self.miss), ("false accept", self.false_accept)):
            if not 0 < cost < math.inf:
                raise ValueError(f"cost of a {name} {cost}; expected a number above 0")

    def of(self, accept: Floats, reject: Floats) -> Floats:
        """The normalised cost at operating points of these rates."""
        miss, false_accept = self.miss * self.p_target, self.false_accept * (1 - self.p_target)
        return (miss * reject + false_accept * accept) / min(miss, false_accept)

    @property
    def threshold(self) -> float:
        """From which log-likelihood ratio on it costs less to accept."""
        return math.log(self.false_accept * (1 - self.p_target) / (self.miss * self.p_target))

    def conventions(self) -> str:
        """In words, for printing beside the figure."""
        return (
            f"p_target {self.p_target:g}, C_miss {self.miss:g}, C_fa {self.false_accept:g}, "
            "divided by the cost of the better trivial system"
        )


DCF2 = Costs(p_target=0.01)
DCF3 = Costs(p_target=0.001)
EER_CONVENTIONS = "linear interpolation between operating points; tied scores are one operating point"


def error_rates(scores: Scores, is_target: Bools, *, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """False-accept and false-reject rates at every operating point, from accepting none to accepting all."""
    scores, is_target = checked(scores, is_target)
    if weight is not None:
        return Ranking(scores, is_target).error_rates(checked_weight(weight, len(scores)))
    targets, others = _sorted_kinds(scores, is_target)
    thresholds = np.unique(scores)[::-1]
    missed = np.searchsorted(targets, thresholds) / len(targets)
    accepted = (len(others) - np.searchsorted(others, thresholds)) / len(others)
    return np.append(0.0, accepted), np.append(1.0, missed)


class Ranking:
    """Trials in the order of their scores, once and for all: for rates under one weight after the other."""

    def __init__(self, scores: Scores, is_target: Bools) -> None:
        self._order = np.argsort(scores, kind="stable")[::-1]  # stable takes no time where they are in order
        self._last_of_tie = np.append(np.diff(scores[self._order]) != 0, True)
        self._is_target = is_target[self._order]

    def error_rates(self, weight: Floats) -> tuple[Floats, Floats]:
        """As `error_rates` of the module; all nan where a kind of trial weighs nothing."""
        weight = weight[self._order]
        of_targets = weight * self._is_target
        targets = np.append(0.0, np.cumsum(of_targets)[self._last_of_tie])
        others = np.append(0.0, np.cumsum(weight - of_targets)[self._last_of_tie])
        if not (targets[-1] and others[-1]):
            return np.full(len(targets), np.nan), np.full(len(targets), np.nan)
        return others / others[-1], (targets[-1] - targets) / targets[-1]


def equal_error_rate(scores: Scores, is_target: Bools, *, weight: Floats | None = None) -> float:
    """The rate at which false accepts equal false rejects, in [0, 1]."""
    if weight is not None:
        return crossing(*error_rates(scores, is_target, weight=weight))
    return _crossing_of_sorted(*_sorted_kinds(*checked(scores, is_target)))


def min_dcf(
    scores: Scores,
    is_target: Bools,
    *,
    p_target: float = 0.01,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
    weight: Floats | None = None,
) -> float:
    """The least normalised detection cost; 1 is no better than a trivial system."""
    costs = Costs(p_target=p_target, miss=c_miss, false_accept=c_fa)
    if weight is not None:
        return least_cost(*error_rates(scores, is_target, weight=weight), costs)
    return _least_costs_of_sorted(*_sorted_kinds(*checked(scores, is_target)), [costs])[0]


def eer_and_min_dcf(
    scores: Scores, is_target: Bools, costs: Sequence[Costs] = (DCF2, DCF3)
) -> tuple[float, list[float]]:
    """`equal_error_rate`, and `min_dcf` under each of `costs`, for little more than one of them takes."""
    targets, others = _sorted_kinds(*checked(scores, is_target))
    return _crossing_of_sorted(targets, others), _least_costs_of_sorted(targets, others, costs)


def act_dcf(
    scores: Scores,
    is_target: Bools,
    *,
    p_target: float = 0.01,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
    weight: Floats | None = None,
) -> float:
    """The normalised detection cost of natural log-likelihood ratios at Bayes' threshold; never below `min_dcf`."""
    scores, is_target = checked(scores, is_target)
    costs = Costs(p_target=p_target, miss=c_miss, false_accept=c_fa)
    accepted = scores >= np.float64(costs.threshold)  # a Python number would be rounded to the precision of the scores
    weight = np.ones(len(scores)) if weight is None else checked_weight(weight, len(scores))
    accept = weighted_mean(accepted[~is_target], weight[~is_target])
    reject = weighted_mean(~accepted[is_target], weight[is_target])
    return least_cost(np.array([accept]), np.array([reject]), costs)


def crossing(accept: Floats, reject: Floats) -> float:
    """Where the two rates are equal, given them at operating points from accepting none to accepting all."""
    i = int(np.argmax(accept >= reject))  # never 0: the first point accepts none
    before, after = reject[i - 1] - accept[i - 1], accept[i] - reject[i]
    share = before / (before + after)
    return float(accept[i - 1] + share * (accept[i] - accept[i - 1]))


def least_cost(accept: Floats, reject: Floats, costs: Costs) -> float:
    """The least normalised detection cost over operating points."""
    return float(costs.of(accept, reject).min())


def cllr(scores: Scores, is_target: Bools, *, weight: Floats | None = None) -> float:
    """What natural log-likelihood ratios cost whoever believes them, in bits; 1 is what scores of 0 cost."""
    scores, is_target = checked(scores, is_target)
    weight = np.ones(len(scores)) if weight is None else checked_weight(weight, len(scores))
    of_targets = weighted_mean(np.logaddexp(0, -np.float64(scores[is_target])), weight[is_target])
    of_others = weighted_mean(np.logaddexp(0, np.float64(scores[~is_target])), weight[~is_target])
    return (of_targets + of_others) / 2 / math.log(2)


def min_cllr(scores: Scores, is_target: Bools, *, weight: Floats | None = None) -> float:
    """The least `cllr` that any rising map of the scores reaches: how well they tell apart, in [0, 1]."""
    from scipy.optimize import isotonic_regression  # scipy.optimize takes a while to import
    from scipy.special import xlog1py

    accept, reject = error_rates(scores, is_target, weight=weight)
    if np.isnan(accept).any():
        return math.nan
    others, targets = np.diff(accept), -np.diff(reject)  # what each operating point adds, from the highest score down
    mass = others + targets
    others, targets, mass = (one[mass > 0] for one in (others, targets, mass))
    blocks = isotonic_regression(targets / mass, weights=mass, increasing=False).blocks[:-1]
    targets, others = np.add.reduceat(targets, blocks), np.add.reduceat(others, blocks)
    with np.errstate(divide="ignore"):  # a block of one kind is sure, and costs nothing
        return float((xlog1py(targets, others / targets) + xlog1py(others, targets / others)).sum() / 2 / math.log(2))


def det_curve(scores: Scores, is_target: Bools, *, cell: float = 0.0) -> tuple[Floats, Floats]:
    """The corners of the DET curve: false-accept and false-reject rates, from accepting none to accepting all.

    Points between two others on one level or upright line are left out, which changes no picture. Of many corners in
    one square of `cell` normal deviates, a picture's scale, the first and the last are kept; 0 keeps all.
    """
    from scipy.special import ndtri

    accept, reject = error_rates(scores, is_target)
    upright, level = np.diff(accept) == 0, np.diff(reject) == 0
    corner = np.ones(len(accept), dtype=bool)
    corner[1:-1] = ~(upright[:-1] & upright[1:] | level[:-1] & level[1:])
    accept, reject = accept[corner], reject[corner]
    if cell > 0:
        square = np.floor(ndtri([accept, reject]) / cell)
        leaves = np.append((square[:, 1:] != square[:, :-1]).any(axis=0), True)
        kept = leaves | np.append(True, leaves[:-1])
        accept, reject = accept[kept], reject[kept]
    return accept, reject


def checked(scores: Scores, is_target: Bools) -> tuple[Scores, Bools]:
    """The same as arrays, if they are what metrics are computed from."""
    scores, is_target = np.asarray(scores), np.asarray(is_target)
    if scores.shape != is_target.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and is_target {is_target.shape}; expected one of each a trial")
    if scores.dtype.kind not in "fiu":
        raise ValueError(f"scores of type {scores.dtype}; expected numbers")
    if is_target.dtype != np.bool_:
        raise ValueError(f"is_target of type {is_target.dtype}; expected bool")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if not (finite := np.isfinite(scores)).all():
        raise ValueError(f"{(~finite).sum()} of {len(scores)} scores are not finite; expected numbers")
    if is_target.all() or not is_target.any():
        raise ValueError(f"{is_target.sum()} targets among {len(is_target)} trials; expected both kinds")
    return scores, is_target


def checked_weight(weight: Floats, num_rows: int) -> Floats:
    """The same as float64, if they are one of at least 0 a row."""
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape != (num_rows,):
        raise ValueError(f"weight {weight.shape}; expected one for each of {num_rows} rows")
    if not (sound := np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError(f"weight {weight[~sound][0]}; expected numbers of at least 0")
    return weight


def weighted_mean(values: NDArray[Any], weight: Floats) -> float:
    """Nan where all weigh nothing."""
    total = weight.sum()
    return float(values @ weight / total) if total else math.nan


def _sorted_kinds(scores: Scores, is_target: Bools) -> tuple[Scores, Scores]:
    """The scores of targets and of the others, each from the lowest to the highest.

    Values are sorted, not places, which is many times as fast. Targets are copied out by places, a block at a time, as
    a mask goes wrong with every guess that the processor makes about it. Among the others infinity takes their places,
    and comes to lie behind the end.
    """
    num_targets = int(np.count_nonzero(is_target))
    targets, others = np.empty(num_targets, scores.dtype), scores.copy()
    done = 0
    for start in range(0, len(scores), AT_ONCE):
        some, places = others[start : start + AT_ONCE], np.flatnonzero(is_target[start : start + AT_ONCE])
        targets[done : done + len(places)] = some[places]
        some[places] = np.inf
        done += len(places)
    targets.sort()
    others.sort()
    return targets, others[: len(others) - num_targets]


def _crossing_of_sorted(targets: Scores, others: Scores) -> float:
    """What `crossing` finds among all operating points, by bisection among the targets."""

    def rates(threshold: Any, side: Any) -> tuple[float, float]:
        """With scores equal to the threshold accepted (left) or rejected (right)."""
        missed, rejected = targets.searchsorted(threshold, side), others.searchsorted(threshold, side)
        return (len(others) - rejected) / len(others), missed / len(targets)

    def is_past(place: int) -> bool:
        accept, reject = rates(targets[place], "left")
        return reject > accept

    last = targets[bisect_left(range(len(targets)), True, key=is_past) - 1]  # at the lowest target none is missed
    accept, reject = rates(last, "right")
    if accept >= reject:  # up to the next target only false accepts change
        return float(reject)
    return crossing(*np.array([(accept, reject), rates(last, "left")]).T)


def _least_costs_of_sorted(targets: Scores, others: Scores, costs: Sequence[Costs]) -> list[float]:
    """What `least_cost` finds among all operating points, of which only those at a target's score can be the best.

    Of tied targets the first has the right false-reject rate, and the others a greater one, which does no harm. Within
    a stretch of targets nothing costs less than the misses of its first with the false accepts of the next stretch's
    first, so that most stretches are passed by.
    """

    def rates(places: Indices) -> tuple[Floats, Floats]:
        accepted = len(others) - others.searchsorted(targets[places])
        return accepted / len(others), places / len(targets)

    size = math.isqrt(len(targets))
    heads = np.arange(0, len(targets), size)
    accept, reject = rates(heads)
    accept_of_next = np.append(accept[1:], 0.0)
    found = []
    for one in costs:
        least = min(least_cost(np.zeros(1), np.ones(1), one), least_cost(accept, reject, one))  # first: accepting none
        hopeful = heads[one.of(accept_of_next, reject) < least]
        together = -(-AT_ONCE // size)
        for start in range(0, len(hopeful), together):
            places = np.add.outer(hopeful[start : start + together], np.arange(size)).ravel()
            least = min(least, least_cost(*rates(np.minimum(places, len(targets) - 1)), one))
        found.append(least)
    return found
