"""How far a figure could have been another had other people been in the test: the bootstrap over people.

Rows that share a person are not independent, so that people are drawn anew, with replacement, and not rows. A person
drawn twice counts twice: a row of one person, an utterance or a target trial, weighs as often as that person was drawn,
a trial of two people the product of both.

The interval is the central 95 % of the draws, moved until their mean is the figure. A least cost has its own best
threshold in every draw, so that draws are lower than the figure by about as much as the figure is lower than the truth.
On simulated Gaussian scores of 10 to 120 people, intervals of EER held the truth in 91 to 95 % of repetitions, moved or
not (90 to 95 %); of minDCF at p_target 0.05, of 40 people, in 87 % moved and 71 % as they were. Where people differ in
how well they are told and in how many targets they have, 1 to 11, intervals of EER held it in 94, 93, 95 and 98 % of
12, 25, 60 and 200 people, those of minDCF in 51, 78, 91 and 95 %; of 12, 25 and 60 people
those of actDCF at p_target 0.01 held it in 57, 50 and 94 %, of Cllr in 93, 92 and 93 %, of min Cllr in 68, 76 and 79 %.
A cost that few false accepts decide is beyond rescue: at p_target 0.01 and 780 nontargets the figure itself is far too
low, and half of the intervals miss.

Fewer than ten people have no interval: with five, intervals of an EER hold the truth in 7 of 10 simulations.

Draws of a list without a mistake show none either, and an interval from 0 to 0 would be a claim that nobody can make.
What can be said is exact, and holds whatever share of his trials each person fails: were the equal error rate e, then
at its threshold n people with targets would show no miss with a chance of at most (1 - e)^n, and m pairs of nontargets
that have nobody in common no false accept with at most (1 - e)^m; and without one of the two no threshold parts the
list. So the interval ends at the e for which (1 - e)^n + (1 - e)^m is 5 %. It is the rule of three over people, but
that of false accepts there are half as many to count as people: of 40 of them the end is 14 %, of 1,251 0.5 %. Other
figures end where that error rate puts them. It is the worst case, of people whose trials all fail or none. On Gaussian
scores of 20 and 40 people whose true EER is 4.4 %, 1.6 %, 0.28 % or 0.03 %, so that up to 99 % of the lists show no
mistake, intervals held the truth in 92 to 99 % of 200 lists each. What they miss are lists that show a mistake or two
of a system that makes hardly any.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Bools, Floats, Ranking, Scores, checked

Figure = Callable[[Floats, Floats], float]  # of false-accept and false-reject rates at the operating points
Column = NDArray[Any]
LEVEL = 0.95
NUM_DRAWS = 200
MIN_PEOPLE = 10
MIN_PEOPLE_OF_COSTS = 40  # intervals of minDCF and actDCF from fewer are too narrow: see the module


class Metric(Protocol):
    """A figure of what was said of N rows and what is true of them, such as scores and `is_target`.

    `weight` (N,) says how often each row counts; nan where the figure is not defined.
    """

    def __call__(self, said: Any, truth: Any, /, *, weight: Floats | None = None) -> float: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Scored trials (T,), with the people of both sides as numbers from 0."""

    scores: Scores
    is_target: Bools
    enrol_person: NDArray[np.int64]
    test_person: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure and its interval, whose ends are nan where its draws do not tell any."""

    value: float
    low: float
    high: float


def estimate(
    metric: Metric,
    said: Column,
    truth: Column,
    people: Sequence[Column],
    *,
    rng: np.random.Generator,
    num_draws: int = NUM_DRAWS,
    bounds: tuple[float, float] = (0.0, np.inf),
) -> Estimate:
    """The figure and its interval, cut off where no figure can be. `people` are the columns that `weights` takes.

    There is none of fewer than ten people, nor where every draw is the figure itself: all people are alike, and what
    others would be is not known.
    """
    value, weighed = metric(said, truth), by_weight(metric, said, truth)
    if num_people(*people) < MIN_PEOPLE:
        return Estimate(value=value, low=np.nan, high=np.nan)
    drawn = [weighed(weight) for weight in weights(*people, rng=rng, num_draws=num_draws)]
    low, high = _ends(value, drawn, bounds=bounds)
    return Estimate(value=value, low=low, high=high)


def person_intervals(
    trials: Trials, figures: Sequence[Figure], *, rng: np.random.Generator, most: Sequence[float] | None = None
) -> list[tuple[float, float]]:
    """The interval of each figure over 200 draws, from 0 to the `most` that it can be (1 each, if not given).

    (nan, nan) where a kind of trial has fewer than ten people, less than half of the draws have both kinds, or all are
    the figure itself. A figure of 0 has an upper end all the same: see the module.
    """
    most = [1.0] * len(figures) if most is None else most
    if not has_enough_people(trials):
        return [(np.nan, np.nan)] * len(figures)
    scores, is_target = checked(trials.scores, trials.is_target)
    order = np.argsort(scores, kind="stable")
    ranking = Ranking(scores[order], is_target[order])
    whole = ranking.error_rates(np.ones(len(scores)))
    values = [figure(*whole) for figure in figures]
    drawn = []
    for weight in weights(trials.enrol_person[order], trials.test_person[order], rng=rng):
        rates = ranking.error_rates(weight)
        drawn.append([np.nan if np.isnan(rates[0][0]) else figure(*rates) for figure in figures])
    columns = zip(values, zip(*drawn, strict=True), most, strict=True)
    found = [_ends(value, of_one, bounds=(0, top)) for value, of_one, top in columns]
    if 0 in values:
        rate = unseen_rate(trials)
        worst = [np.concatenate([one[:1], np.maximum(one[1:-1], rate), one[-1:]]) for one in whole]
        found = [
            (0.0, figure(*worst)) if value == 0 else ends
            for figure, value, ends in zip(figures, values, found, strict=True)
        ]
    return found


def has_enough_people(trials: Trials) -> bool:
    """Whether each kind of trial has ten or more."""
    return fewest_people(trials) >= MIN_PEOPLE


def fewest_people(trials: Trials) -> int:
    """How many the kind of trial has that has fewer."""
    kinds = [trials.is_target, ~trials.is_target]
    return min(num_people(trials.enrol_person[kind], trials.test_person[kind]) for kind in kinds)


def _ends(value: float, drawn: Sequence[float], *, bounds: tuple[float, float]) -> tuple[float, float]:
    """`central`, but for draws that are all the figure itself: of what others would be they say nothing."""
    return (np.nan, np.nan) if all(one == value for one in drawn) else central(value, drawn, bounds=bounds)


def unseen_rate(trials: Trials) -> float:
    """The greatest equal error rate of which a list of these people without a mistake is no rarer than 5 %."""
    from scipy.optimize import brentq  # takes a while to import

    of_targets = num_people(trials.enrol_person[trials.is_target])
    others = ~trials.is_target
    pairs = num_disjoint(trials.enrol_person[others], trials.test_person[others])
    return float(brentq(lambda rate: (1 - rate) ** of_targets + (1 - rate) ** pairs - (1 - LEVEL), 0, 1))


def num_people(*sides: Column) -> int:
    """How many there are on all sides together."""
    return len(np.unique(np.concatenate(sides)))


def num_disjoint(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many pairs with nobody in common are taken, from the first on: at least half of the most there can be."""
    width = int(max(one.max(), other.max())) + 1
    pairs = np.divmod(np.unique(np.minimum(one, other) * width + np.maximum(one, other)), width)
    taken: set[int] = set()
    for pair in zip(*(side.tolist() for side in pairs), strict=True):
        if taken.isdisjoint(pair):
            taken.update(pair)
    return len(taken) // 2


def weights(*people: Column, rng: np.random.Generator, num_draws: int = NUM_DRAWS) -> Iterator[Floats]:
    """How often each row (N,) counts, draw by draw; `people` are one column, or the two sides of trials."""
    if len({len(column) for column in people}) != 1 or not len(people[0]):
        raise ValueError(f"people of {[len(column) for column in people]} rows; expected columns of one length above 0")
    names, numbers = np.unique(np.concatenate(people), return_inverse=True)
    first, *others = numbers.reshape(len(people), -1)
    others = [np.where(other == first, len(names), other) for other in others]  # one person counts once
    for _ in range(num_draws):
        times = np.append(rng.multinomial(len(names), np.full(len(names), 1 / len(names))), 1.0)
        weight = times[first]
        for other in others:
            weight *= times[other]
        yield weight


def by_weight(metric: Metric, said: Column, truth: Column) -> Callable[[Floats], float]:
    """The figure as a function of the weights of the rows."""
    order = np.argsort(said, kind="stable")  # once: metrics that sort again find all in order
    said, truth = said[order], truth[order]
    return lambda weight: metric(said, truth, weight=weight[order])


def central(value: float, drawn: Sequence[float] | Floats, *, bounds: tuple[float, float]) -> tuple[float, float]:
    """The interval of a figure from its draws; (nan, nan) where less than half of them are numbers."""
    values = np.asarray(drawn, dtype=np.float64)
    defined = values[~np.isnan(values)]
    if len(defined) < len(values) / 2:
        return np.nan, np.nan
    tail = (1 - LEVEL) / 2
    low, high = np.clip(np.quantile(defined, [tail, 1 - tail]) + (value - defined.mean()), *bounds)
    return float(low), float(high)
