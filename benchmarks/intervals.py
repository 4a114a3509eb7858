"""How far a figure could have been another had other people been in the test: the bootstrap over people.

Trials that share a person are not independent, so that people are drawn anew, with replacement, and not trials. A
person drawn twice counts twice: a target trial weighs as often as its person was drawn, a nontarget trial the product
of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Floats

Figure = Callable[[Floats, Floats], float]  # of false-accept and false-reject rates at the operating points
LEVEL = 0.95
NUM_DRAWS = 200


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Scored trials (T,), with the people of both sides as numbers from 0."""

    scores: Floats
    is_target: NDArray[np.bool_]
    enrol_person: NDArray[np.int64]
    test_person: NDArray[np.int64]


def person_intervals(
    trials: Trials, figures: Sequence[Figure], *, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """The central 95 % of each figure over 200 draws; (nan, nan) where less than half have both kinds of trial."""
    num_people = int(max(trials.enrol_person.max(), trials.test_person.max())) + 1
    order = np.argsort(-trials.scores, kind="stable")
    last_of_tie = np.append(np.diff(trials.scores[order]) != 0, True)
    is_target = trials.is_target[order]
    drawn: list[list[float]] = []
    for _ in range(NUM_DRAWS):
        times = rng.multinomial(num_people, np.full(num_people, 1 / num_people))
        enrolled, tested = times[trials.enrol_person[order]], times[trials.test_person[order]]
        weight = np.where(is_target, enrolled, enrolled * tested)
        targets, others = np.cumsum(weight * is_target)[last_of_tie], np.cumsum(weight * ~is_target)[last_of_tie]
        if targets[-1] and others[-1]:
            accept, reject = np.append(0.0, others / others[-1]), np.append(1.0, 1 - targets / targets[-1])
            drawn.append([figure(accept, reject) for figure in figures])
    if len(drawn) < NUM_DRAWS / 2:
        return [(np.nan, np.nan)] * len(figures)
    tail = (1 - LEVEL) / 2
    return [(float(low), float(high)) for low, high in np.quantile(drawn, [tail, 1 - tail], axis=0).T]
