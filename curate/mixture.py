"""Tell wrong from right by scores alone, without a threshold from elsewhere.

The data at hand say what a fault would look like: score everything as if it bore the fault, and the distribution of
wrong scores is known before a single fault is. What was observed is then a mixture of right scores, taken to be normal,
and of wrong ones, in shares that expectation maximisation finds; an item is wrong where that is likelier than right.
The share of faults comes out with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm

from curate.similarity import Scores

BIN = 0.002  # of the histograms of scores, which are differences of cosines
NEVER = 1e-9  # a density that no score has: far out, wrong and right are both told by their tails
MAX_WRONG = 0.5  # where more than half are wrong, nothing says which half
START = 0.3  # share of wrong scores to set out from: from 0.1 it may end at none where many are wrong and near
NUM_ROUNDS = 200
CONVERGED = 1e-6
MAD_OF_NORMAL = 1.4826  # a normal's standard deviation over its median absolute deviation


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Right scores and wrong ones."""

    threshold: float  # scores below it are likelier wrong than right; -inf where nothing is
    share_wrong: float  # of all observed
    grid: Scores  # scores, ascending
    probability: Scores  # of being wrong, at each; never rises with the score

    def probability_wrong(self, scores: Scores) -> Scores:
        """Of each score, between 0 and 1; nan stays nan."""
        found: Scores = np.interp(scores, self.grid, self.probability)
        return found


def fit(observed: Scores, wrong: Sequence[Scores], *, mirrored: bool = False) -> Mixture:
    """The mixture of `observed` scores (N,), each kind of `wrong` scores (of any number) having a share of its own.

    With `mirrored`, one more kind are right scores with the sign changed: what a difference between two candidates is
    where they were swapped. All scores are finite. Raises ValueError where there is nothing to fit.
    """
    if not len(observed):
        raise ValueError("no scores; expected at least one observed")
    everything = [observed, *wrong, *([-observed] if mirrored else [])]
    reach = max(float(np.abs(scores).max()) for scores in everything if len(scores)) + 0.05
    edges = np.arange(-np.ceil(reach / BIN), np.ceil(reach / BIN) + 2) * BIN - BIN / 2
    grid = (edges[:-1] + edges[1:]) / 2
    count = np.histogram(observed, edges)[0].astype(np.float64)
    kinds = [_density(scores, edges) for scores in wrong if len(scores)]
    mean = float(np.median(observed))
    spread = max(MAD_OF_NORMAL * float(np.median(np.abs(observed - mean))), BIN)
    num_kinds = len(kinds) + mirrored
    shares = np.full(num_kinds, START / max(num_kinds, 1))
    for _ in range(NUM_ROUNDS):
        parts = _parts(grid, kinds, shares, mean, spread, mirrored=mirrored)
        belongs = parts / parts.sum(axis=0)
        before, shares = shares, (belongs[1:] * count).sum(axis=1) / count.sum()
        shares *= min(1.0, MAX_WRONG / max(shares.sum(), NEVER))
        right = belongs[0] * count
        mean = float((right * grid).sum() / right.sum())
        spread = max(float(np.sqrt((right * (grid - mean) ** 2).sum() / right.sum())), BIN)
        if np.abs(shares - before).max(initial=0.0) < CONVERGED:
            break
    parts = _parts(grid, kinds, shares, mean, spread, mirrored=mirrored)
    probability = np.where(grid < mean, parts[1:].sum(axis=0) / parts.sum(axis=0), 0.0)
    probability = np.maximum.accumulate(probability[::-1])[::-1]  # less alike is never more likely right
    wrong_at = np.flatnonzero(probability > 0.5)  # likelier wrong than right
    threshold = float(grid[wrong_at[-1]] + BIN / 2) if len(wrong_at) else -np.inf
    return Mixture(threshold=threshold, share_wrong=float(shares.sum()), grid=grid, probability=probability)


def _parts(grid: Scores, kinds: list[Scores], shares: Scores, mean: float, spread: float, *, mirrored: bool) -> Scores:
    """(1 + K, G): what right scores, then each kind of wrong ones, bring to the density."""
    densities = [norm.pdf(grid, mean, spread), *kinds, *([norm.pdf(grid, -mean, spread)] if mirrored else [])]
    found: Scores = np.array([1 - shares.sum(), *shares])[:, None] * (np.array(densities) + NEVER)
    return found


def _density(scores: Scores, edges: Scores) -> Scores:
    """The histogram, smoothed by Scott's rule (a normal kernel of 1.06 sd / fifth root of N)."""
    width = 1.06 * float(scores.std()) * len(scores) ** -0.2
    share = np.histogram(scores, edges)[0] / len(scores)
    smooth: Scores = gaussian_filter1d(share, max(width / BIN, 1.0), mode="constant") / BIN
    return smooth
