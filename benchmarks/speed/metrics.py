"""How fast EER and minDCF of a list of scores are computed, beside the ways of others, and in what memory.

    .venv/bin/python -m benchmarks.speed.metrics [--rounds 5] [--sizes 10000 100000 1000000 10000000] [--targets 0.1]

Gaussian scores of float32, EER about 5 %, p_target 0.05. The ways of WeSpeaker, voxceleb_trainer and SpeechBrain are
written here from their description. WeSpeaker's takes the least cost by Python's `min`; the same with numpy's stands
beside it. Those that go through Python loops or compare all scores with all are left out where they would take minutes
or all memory. Data are scores and `is_target`, 5 bytes a trial. How it is timed: `turns`.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_curve

from benchmarks.metrics import Bools, Costs, eer_and_min_dcf
from benchmarks.speed.turns import Turns, extra_mb, in_turns, machine

Scores = NDArray[np.float32]
Pair = tuple[float, float]  # EER, minDCF
Way = Callable[[Scores, Bools], Pair]

P_TARGET = 0.05
EER = 0.05
OURS = "sorted values (ours)"
WESPEAKER = "WeSpeaker: argsort, min"


def made(num_trials: int, share: float) -> tuple[Scores, Bools]:
    """Two Gaussians that cross at `EER`."""
    rng = np.random.default_rng(1)
    is_target = rng.random(num_trials) < share
    apart = np.float32(-2 * norm.ppf(EER))
    scores = rng.standard_normal(num_trials, dtype=np.float32)
    scores[is_target] += apart
    return scores, is_target


def ours(scores: Scores, is_target: Bools) -> Pair:
    """Both in one go."""
    eer, (cost,) = eer_and_min_dcf(scores, is_target, [Costs(p_target=P_TARGET)])
    return eer, cost


def swept(scores: Scores, is_target: Bools) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Miss and false-accept rates after each of the trials sorted by score."""
    label = is_target[np.argsort(scores)]
    weight = np.ones(len(label))
    of_target, of_other = weight * label.astype("f8"), weight * (~label).astype("f8")
    return np.cumsum(of_target) / np.sum(of_target), 1 - np.cumsum(of_other) / np.sum(of_other)


def interpolated(miss: NDArray[np.float64], accept: NDArray[np.float64]) -> float:
    """Between the last point at which misses are fewer and the first at which they are not."""
    gap = miss - accept
    after, before = np.flatnonzero(gap >= 0)[0], np.flatnonzero(gap < 0)[-1]
    share = gap[after] / (gap[after] - gap[before])
    return float(miss[after] + share * (miss[before] - miss[after]))


def by_wespeaker(scores: Scores, is_target: Bools) -> Pair:
    """Places are sorted, labels gathered and summed up; the least of the costs by Python's `min`."""
    miss, accept = swept(scores, is_target)
    cost = min(P_TARGET * miss + (1 - P_TARGET) * accept)
    return interpolated(miss, accept), float(cost / min(P_TARGET, 1 - P_TARGET))


def by_wespeaker_in_numpy(scores: Scores, is_target: Bools) -> Pair:
    """The same, but for numpy's `min`."""
    miss, accept = swept(scores, is_target)
    cost = (P_TARGET * miss + (1 - P_TARGET) * accept).min()
    return interpolated(miss, accept), float(cost / min(P_TARGET, 1 - P_TARGET))


def by_voxceleb_trainer(scores: Scores, is_target: Bools) -> Pair:
    """The greater rate at scikit-learn's nearest point; the least cost by loops over a list of sorted trials."""
    accept, hit, _ = roc_curve(is_target, scores, pos_label=1)
    nearest = np.nanargmin(np.abs(1 - hit - accept))
    ranked = sorted(enumerate(scores.tolist()), key=lambda one: one[1])
    labels = [bool(is_target[place]) for place, _ in ranked]
    misses: list[int] = []
    rejections: list[int] = []
    for label in labels:
        misses.append((misses[-1] if misses else 0) + label)
        rejections.append((rejections[-1] if rejections else 0) + (not label))
    num_targets = sum(labels)
    num_others = len(labels) - num_targets
    least = float("inf")
    for missed, rejected in zip(misses, rejections, strict=True):
        least = min(least, P_TARGET * missed / num_targets + (1 - P_TARGET) * (1 - rejected / float(num_others)))
    return float(max(accept[nearest], 1 - hit[nearest])), least / min(P_TARGET, 1 - P_TARGET)


def by_speechbrain(scores: Scores, is_target: Bools) -> Pair:
    """A loop over all scores and their midpoints, each held against all scores; its cost, divided as ours is."""
    targets, others = scores[is_target], scores[~is_target]
    points = np.unique(scores)
    points = np.sort(np.concatenate([points, (points[:-1] + points[1:]) / 2]))
    nearest, eer, least = float("inf"), float("nan"), float("inf")
    for threshold in points:
        miss, accept = float((targets <= threshold).mean()), float((others > threshold).mean())
        if abs(accept - miss) < nearest:
            nearest, eer = abs(accept - miss), (accept + miss) / 2
        least = min(least, P_TARGET * miss + (1 - P_TARGET) * accept)
    return eer, least / min(P_TARGET, 1 - P_TARGET)


WAYS: dict[str, tuple[Way, int]] = {  # and the greatest list for which it is tried
    OURS: (ours, 10**9),
    WESPEAKER: (by_wespeaker, 10**9),
    "the same, numpy's min": (by_wespeaker_in_numpy, 10**9),
    "voxceleb_trainer: scikit-learn and loops": (by_voxceleb_trainer, 10**6),
    "SpeechBrain: all against all": (by_speechbrain, 10**4),
}


def compare(num_trials: int, *, rounds: int, share: float) -> Turns:
    """Times, memory and agreement on one list."""
    scores, is_target = made(num_trials, share)
    data_mb = (scores.nbytes + is_target.nbytes) / 2**20
    ways = {name: partial(way, scores, is_target) for name, (way, most) in WAYS.items() if num_trials <= most}
    print(f"{num_trials:,} trials, {is_target.mean():.0%} targets, {data_mb:.1f} MB of data")
    turns = in_turns(ways, rounds=rounds)
    print(*turns.lines(OURS), sep="\n")
    for name in (OURS, WESPEAKER):
        extra = extra_mb(ways[name])
        print(f"  {name}: extra memory {extra:.1f} MB, {extra / data_mb:.1f} x the data")
    for name, (eer, cost) in turns.found.items():
        apart = eer - turns.found[OURS][0], cost - turns.found[OURS][1]
        print(f"  {name:<44} EER {eer:.6f} ({apart[0]:+.1e})  minDCF {cost:.6f} ({apart[1]:+.1e})")
    return turns


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--targets", type=float, default=0.1, help="their share of the trials")
    given = parser.parse_args()
    print(machine())
    before: tuple[int, float] | None = None
    for num_trials in given.sizes:
        turns = compare(num_trials, rounds=given.rounds, share=given.targets)
        taken = float(np.median(turns.seconds[OURS]))
        print(f"  ours takes {taken / num_trials * 1e9:.1f} ns a trial", end="")
        print(f", {taken / before[1]:.1f} x as long for {num_trials / before[0]:g} x as many" if before else "")
        before = num_trials, taken


if __name__ == "__main__":
    main()
