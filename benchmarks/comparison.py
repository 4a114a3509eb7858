"""Two systems on one list, and the groups by which figures of one are told apart.

Both systems are weighed by the same draws of people (`benchmarks.intervals`), so that what is hard for both drops out
of their difference: its interval is narrower than those of the two figures suggest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.intervals import (
    MIN_PEOPLE,
    Column,
    Estimate,
    Metric,
    by_weight,
    central,
    num_people,
    weights,
)

NUM_DRAWS = 1000  # a share of draws is told, of which 200 would be too coarse
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two systems differ. Shares are of the draws that define both figures; equal ones count for neither."""

    one: float
    other: float
    difference: Estimate  # one - other
    one_better: float  # share of draws
    equal: float  # share of draws
    p_value: float  # of no difference, two-sided: the level from which on the interval of the difference holds 0


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
    """Hold what two systems said (N,) of the same rows, in the same order, against the truth and one another.

    Of fewer than ten people the difference has neither interval nor p. No p is below that of one draw more than there
    were (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2).
    """
    weighed = by_weight(metric, one, truth), by_weight(metric, other, truth)
    drawn = np.array(
        [[figure(weight) for figure in weighed] for weight in weights(*people, rng=rng, num_draws=num_draws)]
    )
    values, is_enough = (metric(one, truth), metric(other, truth)), num_people(*people) >= MIN_PEOPLE
    return from_draws(values, drawn, is_enough=is_enough, lower_is_better=lower_is_better)


def from_draws(
    values: tuple[float, float], drawn: NDArray[np.float64], *, is_enough: bool, lower_is_better: bool = True
) -> Comparison:
    """The same from the figures of both and those of N draws (N, 2); `is_enough` says whether people are."""
    differences, value = drawn[:, 0] - drawn[:, 1], values[0] - values[1]
    low, high = central(value, differences, bounds=(-np.inf, np.inf)) if is_enough else (np.nan, np.nan)
    defined = differences[~np.isnan(differences)]
    better = defined < 0 if lower_is_better else defined > 0
    return Comparison(
        one=values[0],
        other=values[1],
        difference=Estimate(value=value, low=low, high=high),
        one_better=float(better.mean()) if len(defined) else np.nan,
        equal=float((defined == 0).mean()) if len(defined) else np.nan,
        p_value=np.nan if np.isnan(low) else _of_no_difference(value, defined),
    )


def _of_no_difference(value: float, drawn: NDArray[np.float64]) -> float:
    moved = drawn + (value - drawn.mean())  # as the interval is
    beyond = min(int((moved <= 0).sum()), int((moved >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(moved) + 1))


def each_group(
    groups: Column, *, rng: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.int64], np.random.Generator]]:
    """Every group's name, places of its rows and randomness, which no other group changes; by name, `unknown` last."""
    seed = int(rng.integers(2**63))
    names, at = _coded(groups)
    for place, name in enumerate(names):
        yield name, np.flatnonzero(at == place), np.random.default_rng([seed, *name.encode()])


def of_both_sides(enrolled: Column, tested: Column) -> NDArray[np.str_]:
    """A group for each trial: `f` where both sides are, `f/m` where they differ, in either order."""
    names, at = _coded(np.append(enrolled, tested))
    one, other = at.reshape(2, -1)
    pairs, which = np.unique(np.minimum(one, other) * len(names) + np.maximum(one, other), return_inverse=True)
    sides = [(names[first], names[last]) for first, last in zip(*np.divmod(pairs, len(names)), strict=True)]
    told = [UNKNOWN if UNKNOWN in pair else "/".join(dict.fromkeys(pair)) for pair in sides]
    return np.array(told)[which]


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


def _coded(values: Column) -> tuple[list[str], NDArray[np.int64]]:
    """The names of the values, in order and `unknown` last; and for each value which of them it is."""
    coded = pa.array(values, from_pandas=True).dictionary_encode()  # nan is null; many times as fast as to sort
    told = [UNKNOWN if value is None else str(value) for value in [*coded.dictionary.to_pylist(), None]]
    at = coded.indices.fill_null(len(told) - 1).to_numpy()
    here = {told[place] for place in np.unique(at)}
    names = sorted(here, key=lambda name: (name == UNKNOWN, name))
    place_of = {name: place for place, name in enumerate(names)}
    return names, np.array([place_of.get(name, -1) for name in told])[at]
