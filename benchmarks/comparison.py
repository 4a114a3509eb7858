"""Two systems on one list, and one system group by group.

Both systems are weighed by the same draws of people (`benchmarks.intervals`), so that what is hard for both drops out
of their difference: its interval is narrower than those of the two figures suggest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import Column, Estimate, Metric, by_weight, central, estimate, weights

NUM_DRAWS = 1000  # a share of draws is told, of which 200 would be too coarse
MIN_PEOPLE = 10  # with 5, intervals of an EER hold the truth in 7 of 10 simulations
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two systems differ. Shares are of the draws that define both figures; equal ones count for neither."""

    one: float
    other: float
    difference: Estimate  # one - other
    one_better: float  # share of draws
    equal: float  # share of draws


@dataclass(frozen=True, kw_only=True)
class Group:
    """The figure of some of the rows, of how many, and what is to be held against it."""

    name: str
    figure: Estimate
    counts: dict[str, int]  # rows by what is true of them
    num_people: int
    remark: str  # why there is no figure or no interval; empty where there are both


def compared(
    metric: Metric,
    one: Column,
    other: Column,
    truth: Column,
    people: Sequence[Column],
    *,
    rng: np.random.Generator,
    lower_is_better: bool = True,
    num_draws: int = NUM_DRAWS,
) -> Comparison:
    """Hold what two systems said (N,) of the same rows, in the same order, against the truth and one another."""
    values = metric(one, truth), metric(other, truth)
    weighed = by_weight(metric, one, truth), by_weight(metric, other, truth)
    drawn = np.array(
        [[figure(weight) for figure in weighed] for weight in weights(*people, rng=rng, num_draws=num_draws)]
    )
    differences = drawn[:, 0] - drawn[:, 1]
    low, high = central(values[0] - values[1], differences, bounds=(-np.inf, np.inf))
    defined = differences[~np.isnan(differences)]
    better = defined < 0 if lower_is_better else defined > 0
    return Comparison(
        one=values[0],
        other=values[1],
        difference=Estimate(value=values[0] - values[1], low=low, high=high),
        one_better=float(better.mean()) if len(defined) else np.nan,
        equal=float((defined == 0).mean()) if len(defined) else np.nan,
    )


def breakdown(
    groups: Column,
    metric: Metric,
    said: Column,
    truth: Column,
    people: Sequence[Column],
    *,
    rng: np.random.Generator,
    bounds: tuple[float, float] = (0.0, np.inf),
) -> list[Group]:
    """The figure of every group of rows, by name; rows whose group is None or nan are `unknown`, and come last.

    People are drawn within each group, and no group's draws depend on which others there are. A group of less than ten
    people has no interval, one that the metric refuses no figure; both say so. What the metric refuses of all rows
    together is an error.
    """
    metric(said, truth)
    seed = int(rng.integers(2**63))
    names = np.array([_name(value) for value in groups.tolist()])
    found = []
    for name in sorted(set(names.tolist()), key=lambda name: (name == UNKNOWN, name)):
        rows = np.flatnonzero(names == name)
        own = np.random.default_rng([seed, *name.encode()])
        found.append(_group(name, metric, said[rows], truth[rows], [side[rows] for side in people], own, bounds))
    return found


def _group(
    name: str,
    metric: Metric,
    said: Column,
    truth: Column,
    people: Sequence[Column],
    rng: np.random.Generator,
    bounds: tuple[float, float],
) -> Group:
    num_people = len(np.unique(np.concatenate(people)))
    figure, remark = Estimate(value=np.nan, low=np.nan, high=np.nan), ""
    try:
        value = metric(said, truth)
    except ValueError as error:
        remark = str(error)
    else:
        if num_people < MIN_PEOPLE:
            figure = Estimate(value=value, low=np.nan, high=np.nan)
            remark = f"{num_people} people; an interval takes {MIN_PEOPLE}"
        else:
            figure = estimate(metric, said, truth, people, rng=rng, bounds=bounds)
            if np.isnan(figure.low):
                remark = "not defined in most draws of its people"
    values, counts = np.unique(truth, return_counts=True)
    told = {str(one): int(count) for one, count in zip(values.tolist(), counts, strict=True)}
    return Group(name=name, figure=figure, counts=told, num_people=num_people, remark=remark)


def of_both_sides(enrolled: Column, tested: Column) -> NDArray[np.str_]:
    """A group for each trial: `f` where both sides are, `f/m` where they differ, in either order."""
    sides = zip(enrolled.tolist(), tested.tolist(), strict=True)
    pairs = [sorted({_name(one), _name(other)}) for one, other in sides]
    return np.array([UNKNOWN if UNKNOWN in pair else "/".join(pair) for pair in pairs])


def binned(values: Column, edges: Sequence[float], *, unit: str = "") -> NDArray[np.str_]:
    """A group for each number: `2-4 s` holds 2 and not 4. Beyond the edges, `under 2 s` and `from 8 s`."""
    if not len(edges) or list(edges) != sorted(set(edges)):
        raise ValueError(f"edges {list(edges)}; expected rising numbers")
    told = [f"{edge:g}" for edge in edges]
    names = [
        f"under {told[0]}",
        *(f"{low}-{high}" for low, high in pairwise(told)),
        f"from {told[-1]}",
    ]
    numbers = np.array([np.nan if value is None else value for value in values.tolist()], dtype=np.float64)
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), numbers, side="right")
    return np.array(
        [
            UNKNOWN if np.isnan(number) else f"{names[place]} {unit}".rstrip()
            for number, place in zip(numbers, places, strict=True)
        ]
    )


def _name(value: object) -> str:
    return UNKNOWN if value is None or value != value else str(value)
