"""Where a score lies between its bounds, as lengths of a small picture."""

import math
from dataclasses import dataclass
from typing import Any

WIDTH = 240.0  # of the picture, in its own units
MARGIN = 12.0
ROOM = 0.2  # beside what is shown, as a share of how far it spreads
LEAST_SPREAD = 0.02  # of a cosine: nearer ones are not torn apart


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Places from the left; a bound that there is none of is None. The band holds the scores that would be well."""

    score: float
    lower: float | None
    upper: float | None
    band_from: float
    band_to: float
    is_within: bool


def strip(row: dict[str, Any]) -> Strip | None:
    """Of a verdict with a score; None where nothing was measured. What is infinite lies at the end of the picture."""
    score, lower, upper = row["score"], row["lower_bound"], row["upper_bound"]
    if score is None or math.isnan(score):
        return None
    shown = [value for value in (score, lower, upper) if value is not None and math.isfinite(value)] or [0.0]
    spread = max(max(shown) - min(shown), LEAST_SPREAD)
    least, greatest = min(shown) - ROOM * spread, max(shown) + ROOM * spread

    def place(value: float) -> float:
        share = min(max((value - least) / (greatest - least), 0.0), 1.0)
        return float(round(MARGIN + share * (WIDTH - 2 * MARGIN), 1))

    return Strip(
        score=place(score),
        lower=None if lower is None else place(lower),
        upper=None if upper is None else place(upper),
        band_from=0.0 if lower is None else place(lower),
        band_to=WIDTH if upper is None else place(upper),
        is_within=(lower is None or score >= lower) and (upper is None or score <= upper),
    )


def number(value: float | None) -> str:
    """A score in words."""
    if value is None:
        return "none"
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return f"{value:.4f}".replace("-", "−")
