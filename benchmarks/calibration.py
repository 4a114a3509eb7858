"""Linear calibration: scores made natural log-likelihood ratios, fitted on one list and applied to another.

The logistic loss is weighted so that targets count as `p_target` of all trials, however many there are: the linear
calibration of Brümmer's FoCal and BOSARIS. It is not regularised. Where a threshold tells all targets from all others,
no finite slope is the best, which is an error.
"""

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.metrics import Bools, Floats, Scores, checked


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """log-likelihood ratio = slope * score + offset."""

    slope: float
    offset: float

    def applied(self, scores: Scores) -> Floats:
        """(N,) of natural log-likelihood ratios. A slope above 0 leaves EER and minDCF as they are."""
        return self.slope * np.asarray(scores, dtype=np.float64) + self.offset


def fitted(scores: Scores, is_target: Bools, *, p_target: float = 0.5) -> Calibration:
    """The calibration of least prior-weighted logistic loss; at `p_target` 0.5 that is of least Cllr."""
    from scipy.optimize import minimize  # takes a while to import
    from scipy.special import expit

    scores, is_target = checked(scores, is_target)
    if not 0 < p_target < 1:
        raise ValueError(f"p_target {p_target}; expected a share between 0 and 1")
    targets, others = scores[is_target], scores[~is_target]
    if targets.min() >= others.max() or targets.max() <= others.min():
        raise ValueError("a threshold tells all targets from all other trials; expected scores that overlap")
    centre, spread = scores.mean(dtype=np.float64), scores.std(dtype=np.float64)
    sign = np.where(is_target, 1.0, -1.0)
    design = np.stack([(scores - centre) / spread, np.ones(len(scores))])
    weight = np.where(is_target, p_target / len(targets), (1 - p_target) / len(others))
    prior = math.log(p_target / (1 - p_target))

    def loss(line: Floats) -> tuple[float, Floats]:
        margin = sign * (line @ design + prior)
        return float(weight @ np.logaddexp(0, -margin)), -design @ (weight * sign * expit(-margin))

    def curvature(line: Floats) -> Floats:
        posterior = expit(line @ design + prior)
        bent: Floats = design * (weight * posterior * (1 - posterior)) @ design.T
        return bent

    found = minimize(loss, np.zeros(2), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10}).x
    return Calibration(slope=float(found[0] / spread), offset=float(found[1] - found[0] * centre / spread))
