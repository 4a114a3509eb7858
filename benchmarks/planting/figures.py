"""Precision, recall, F1 and rates from counts, with intervals by drawing people anew.

What is said of one person's utterances hangs together, so that labels are drawn with replacement, and with each all
that was counted of it, in all repetitions of a planting. The interval is the central 95 % of 1,000 such draws. A pair
of labels weighs the product of how often each was drawn. Where every draw agrees, as where nothing at all went wrong,
the interval is a point: the bootstrap cannot know of what never happened, so that counts are always told beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.planting.account import Counts, Merges, Share

Floats = NDArray[np.float64]
NUM_DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value and its interval; nan where it is not defined, or in less than half of the draws."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is told of one kind of fault, or of one group of people."""

    unit: str
    planted: int
    found: int
    alarms: int
    good: int
    precision: Figure
    recall: Figure
    f1: Figure
    lost: Figure  # alarms / good
    beside: dict[str, tuple[int, int, Figure]]


def draws(num_labels: int, rng: np.random.Generator) -> Floats:
    """How often each of C labels is drawn (1 + draws, C); the first row is the catalog as it is."""
    drawn = rng.multinomial(num_labels, np.full(num_labels, 1 / num_labels), size=NUM_DRAWS)
    return np.vstack([np.ones((1, num_labels)), drawn])


def summed(counts: Sequence[Counts]) -> Counts:
    """The same planted several times, as one."""
    first = counts[0]
    return Counts(
        unit=first.unit,
        planted=_sum([one.planted for one in counts]),
        found=_sum([one.found for one in counts]),
        alarms=_sum([one.alarms for one in counts]),
        good=_sum([one.good for one in counts]),
        beside={
            name: Share(
                num=_sum([one.beside[name].num for one in counts]),
                total=_sum([one.beside[name].total for one in counts]),
            )
            for name in first.beside
        },
    )


def _sum(arrays: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = np.sum(arrays, axis=0, dtype=np.int64)
    return total


def figures(counts: Counts, drawn: Floats) -> Figures:
    """Of counts by label (C,), with `drawn` (R, C) as `draws` gives it."""
    found, planted, alarms, good = (drawn @ one for one in (counts.found, counts.planted, counts.alarms, counts.good))
    return Figures(
        unit=counts.unit,
        planted=int(counts.planted.sum()),
        found=int(counts.found.sum()),
        alarms=int(counts.alarms.sum()),
        good=int(counts.good.sum()),
        precision=ratio(found, found + alarms),
        recall=ratio(found, planted),
        f1=ratio(np.where(planted > 0, 2 * found, 0), np.where(planted > 0, planted + found + alarms, 0)),
        lost=ratio(alarms, good),
        beside={
            name: (int(one.num.sum()), int(one.total.sum()), ratio(drawn @ one.num, drawn @ one.total))
            for name, one in counts.beside.items()
        },
    )


def false_merges(merges: Sequence[Merges], drawn: Floats) -> tuple[int, int, Figure]:
    """False merges, pairs of labels of two people, and their ratio, over several plantings."""
    num, total = np.zeros(len(drawn)), np.zeros(len(drawn))
    for one in merges:
        first, second = one.false_pairs.T
        num += (drawn[:, first] * drawn[:, second]).sum(axis=1)
        weight = drawn[:, one.origin]
        of_person = np.zeros((len(drawn), int(one.person.max(initial=-1)) + 1))
        np.add.at(of_person.T, one.person, weight.T)
        total += (weight.sum(axis=1) ** 2 - (of_person**2).sum(axis=1)) / 2
    return round(num[0]), round(total[0]), ratio(num, total)


def ratio(num: Floats, total: Floats) -> Figure:
    """The first of R values, and the interval that the others span."""
    defined = total > 0
    values = num[defined] / total[defined]
    value = float(num[0] / total[0]) if total[0] > 0 else np.nan
    drawn = values[1:] if defined[0] else values[:0]
    if not len(drawn) or len(drawn) < (len(num) - 1) / 2:
        return Figure(value=value, low=np.nan, high=np.nan)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Figure(value=value, low=float(low), high=float(high))
