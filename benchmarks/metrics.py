"""Verification metrics of `scores` (N,) and `is_target` (N,) of bool.

Conventions, printed beside every figure by `conventions`:
- A trial is accepted when its score reaches the threshold, so that tied scores move together; accepting all and
  accepting none are operating points too.
- EER: the false-accept and false-reject rates as functions of the threshold, joined linearly between operating points,
  where they cross. No histogram, no convex hull. WeSpeaker interpolates in the same way and agrees to 1e-6 where no
  scores are tied; voxceleb_trainer takes the greater rate of the nearest point (up to 1e-3 higher on 10,000 trials);
  SpeechBrain averages both rates at the nearest threshold.
- minDCF: the least of cost_miss * P_miss * p_target + cost_false_accept * P_fa * (1 - p_target) over all thresholds,
  divided by the cost of the better of the two trivial systems (NIST SRE 2016). SpeechBrain's is not divided.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the detection cost weighs."""

    p_target: float = 0.01
    miss: float = 1.0
    false_accept: float = 1.0

    def conventions(self) -> str:
        """In words, for printing beside the figure."""
        return (
            f"p_target {self.p_target:g}, C_miss {self.miss:g}, C_fa {self.false_accept:g}, "
            "divided by the cost of the better trivial system"
        )


EER_CONVENTIONS = "linear interpolation between operating points; tied scores are one operating point"


def error_rates(scores: Floats, is_target: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """False-accept and false-reject rates at every operating point, from accepting none to accepting all.

    Raises ValueError for scores that are not finite or do not match, or where a kind of trial is missing.
    """
    scores, is_target = np.asarray(scores, dtype=np.float64), np.asarray(is_target, dtype=bool)
    if scores.shape != is_target.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and is_target {is_target.shape}; expected one of each a trial")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite; expected numbers")
    if is_target.all() or not is_target.any():
        raise ValueError(f"{is_target.sum()} targets among {len(is_target)} trials; expected both kinds")
    targets, others = np.sort(scores[is_target]), np.sort(scores[~is_target])
    thresholds = np.unique(scores)[::-1]
    missed = np.searchsorted(targets, thresholds, side="left") / len(targets)
    accepted = 1 - np.searchsorted(others, thresholds, side="left") / len(others)
    return np.append(0.0, accepted), np.append(1.0, missed)


def equal_error_rate(scores: Floats, is_target: NDArray[np.bool_]) -> float:
    """The rate at which false accepts equal false rejects, in [0, 1]."""
    return crossing(*error_rates(scores, is_target))


def crossing(accept: Floats, reject: Floats) -> float:
    """Where the two rates are equal, given them at operating points from accepting none to accepting all."""
    i = int(np.argmax(accept >= reject))  # never 0: the first point accepts none
    before, after = reject[i - 1] - accept[i - 1], accept[i] - reject[i]
    share = before / (before + after)
    return float(accept[i - 1] + share * (accept[i] - accept[i - 1]))


def min_dcf(scores: Floats, is_target: NDArray[np.bool_], costs: Costs = Costs()) -> float:
    """The least normalised detection cost; 1 is no better than a trivial system."""
    return least_cost(*error_rates(scores, is_target), costs)


def least_cost(accept: Floats, reject: Floats, costs: Costs) -> float:
    """The least normalised detection cost over operating points."""
    cost = costs.miss * costs.p_target * reject + costs.false_accept * (1 - costs.p_target) * accept
    trivial = min(costs.miss * costs.p_target, costs.false_accept * (1 - costs.p_target))
    return float(cost.min() / trivial)
