"""Where a score lies between its bounds and among all scores of its kind, as lengths of a small picture."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.reasons import Subject

WIDTH = 240.0  # of the picture, in its own units
HEIGHT = 30.0  # of the tallest bar
MARGIN = 12.0
NUM_BARS = 48
SHOWN = (0.01, 0.99)  # of the scores: a few gross faults would press all others together
ROOM = 0.1  # beside what is shown, as a share of how far it spreads
LEAST_SPREAD = 0.02  # of a cosine: nearer ones are not torn apart

Kind = tuple[str, str]  # subject and step


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From the left to the right end of the pictures of one kind of score, and how many scores lie where."""

    least: float
    greatest: float
    bars: list[float]  # heights, NUM_BARS of them

    def place(self, value: float) -> float:
        """From the left; what lies outside is at the end."""
        share = min(max((value - self.least) / (self.greatest - self.least), 0.0), 1.0)
        return float(round(MARGIN + share * (WIDTH - 2 * MARGIN), 1))


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Places from the left; a bound that there is none of is None. The band holds the scores that would be well."""

    score: float
    lower: float | None
    upper: float | None
    band_from: float
    band_to: float
    is_within: bool
    bars: list[tuple[float, float, float]]  # left, width and height


def scales(items: pa.Table) -> dict[Kind, Scale]:
    """By subject and step: what one step measured of one kind of subject is comparable."""
    found = {}
    for subject in Subject:
        of_subject = items.filter(pc.equal(items["subject"], subject))
        for step in pc.unique(of_subject["step"]).drop_null().to_pylist():
            rows = of_subject.filter(pc.equal(of_subject["step"], step))
            score, lower, upper = (rows[name].to_numpy() for name in ("score", "lower_bound", "upper_bound"))
            found[str(subject), step] = _scale(*(values[np.isfinite(values)] for values in (score, lower, upper)))
    return found


def _scale(score: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Scale:
    ends = (
        [*np.quantile(score, SHOWN), *(np.median(bound) for bound in (lower, upper) if len(bound))]
        if len(score)
        else [0]
    )
    spread = max(max(ends) - min(ends), LEAST_SPREAD)
    least, greatest = float(min(ends) - ROOM * spread), float(max(ends) + ROOM * spread)
    counts = np.histogram(score, NUM_BARS, (least, greatest))[0]
    heights = np.sqrt(counts / max(counts.max(), 1)) * HEIGHT  # the root: few among very many are seen as well
    return Scale(least=least, greatest=greatest, bars=heights.round(1).tolist())


def strip(row: dict[str, Any], scales: dict[Kind, Scale]) -> Strip | None:
    """Of a verdict with a score; None where nothing was measured."""
    score, lower, upper = row["score"], row["lower_bound"], row["upper_bound"]
    scale = scales.get((row["subject"], row["step"]))
    if scale is None or score is None or math.isnan(score):
        return None
    ends = [scale.place(scale.least + at * (scale.greatest - scale.least) / NUM_BARS) for at in range(NUM_BARS + 1)]
    return Strip(
        score=scale.place(score),
        lower=None if lower is None else scale.place(lower),
        upper=None if upper is None else scale.place(upper),
        band_from=0.0 if lower is None else scale.place(lower),
        band_to=WIDTH if upper is None else scale.place(upper),
        is_within=(lower is None or score >= lower) and (upper is None or score <= upper),
        bars=[
            (left, round(right - left, 1), height)
            for left, right, height in zip(ends, ends[1:], scale.bars, strict=False)
            if height
        ],
    )


def number(value: float | None) -> str:
    """A score in words."""
    if value is None:
        return "none"
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return f"{value:.4f}".replace("-", "−")
