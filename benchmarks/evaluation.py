"""What a trial list and the scores of a system on it come to: rows of RESULTS, of all trials and group by group.

Every figure comes with its interval (`benchmarks.intervals`: people drawn anew), the numbers of trials and the
conventions by which it is computed. Of scores that are no log-likelihood ratios, such as cosines, actDCF and Cllr say
how bad it would be to take them for some.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.comparison import each_group
from benchmarks.intervals import (
    MIN_PEOPLE,
    MIN_PEOPLE_OF_COSTS,
    Column,
    Figure,
    Trials,
    fewest_people,
    person_intervals,
)
from benchmarks.intervals import Metric as MetricOfScores
from benchmarks.metrics import (
    EER_CONVENTIONS,
    Bools,
    Costs,
    Floats,
    Ranking,
    Scores,
    act_dcf,
    checked,
    cllr,
    crossing,
    eer_and_min_dcf,
    equal_error_rate,
    least_cost,
    min_cllr,
    min_dcf,
)
from benchmarks.protocol import Metric
from curate.schema import OF_ALL, RESULTS

Codes = NDArray[np.int64]
OF_SCORES = ("eer", "min_dcf", "act_dcf", "cllr", "min_cllr")
COSTS = ("min_dcf", "act_dcf")
AS_RATIOS = "scores taken as natural log-likelihood ratios"
DEFAULT = (Metric(name="eer"), Metric(name="min_dcf", p_target=0.01))


def results_part(benchmark: str, list_name: str, system: str) -> str:
    """The part of RESULTS for a system on a list, whatever it is called."""
    return "--".join(plain(one) for one in (benchmark, list_name, system))


def plain(text: str) -> str:
    """As names of files may be written."""
    return re.sub(r"[^\w.+=@-]", "_", text)


def of_todays_lists(rows: pa.Table, trials: pa.Table) -> pa.Table:
    """Rows of RESULTS of one benchmark on its whole lists as they are now, each figure once.

    What has another number of trials than `trials` (TRIALS) is of a list that was drawn anew since. Of a figure that
    two commands found, as `curate run` and `curate score` may, the first stays.
    """
    counted = trials.group_by(["list", "is_target"]).aggregate([([], "count_all")]).to_pylist()
    num = {(row["list"], row["is_target"]): row["count_all"] for row in counted}
    stays: dict[tuple[str, ...], int] = {}
    for i, row in enumerate(rows.select([*RESULTS.key, "num_target", "num_nontarget"]).to_pylist()):
        now = tuple(num.get((row["list"], is_target), 0) for is_target in (True, False))
        if row["subset"] == OF_ALL and now == (row["num_target"], row["num_nontarget"]):
            stays.setdefault(tuple(row[name] for name in RESULTS.key), i)
    return rows.take(pa.array(stays.values(), pa.int64()))


class ByGroup(NamedTuple):
    """Rows of RESULTS, and of groups what lacks a figure or an interval, or has too narrow a one."""

    rows: pa.Table
    remarks: list[str]


def result_rows(
    scores: Scores,
    trials: pa.Table,
    person: Mapping[str, str] | None,
    *,
    benchmark: str,
    list_name: str,
    system: str,
    metrics: Sequence[Metric],
    rng: np.random.Generator,
    subset: str = OF_ALL,
) -> pa.Table:
    """A row of RESULTS for each metric. `trials` (enrol_id, test_id, is_target) are in the order of `scores` (T,).

    `person` says who is in an utterance or a model; where it is None, or a kind of trial has fewer than ten people,
    there are no intervals. Raises ValueError for a metric that is not of scores or is asked twice, for scores that are
    not numbers, and where a kind of trial is missing.
    """
    is_target = trials["is_target"].to_numpy()
    names = metric_names(metrics)
    values = values_of(scores, is_target, metrics)
    ends = [(np.nan, np.nan)] * len(metrics)
    if person is not None:
        enrol, test = people_of(trials, person)
        scored = Trials(scores=scores, is_target=is_target, enrol_person=enrol, test_person=test)
        most = [1.0 if metric.name in ("eer", "min_dcf", "min_cllr") else np.inf for metric in metrics]
        ends = person_intervals(scored, _figures(scores, metrics), rng=rng, most=most)
    counts = {"num_target": int(is_target.sum()), "num_nontarget": int((~is_target).sum())}
    about = {"benchmark": benchmark, "list": list_name, "system": system, "subset": subset} | counts
    rows = [
        about
        | {"metric": name, "value": value, "lower": _or_null(low), "upper": _or_null(high)}
        | {"conventions": conventions(metric)}
        for name, metric, value, (low, high) in zip(names, metrics, values, ends, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=RESULTS.arrow())


def rows_by_group(
    scores: Scores,
    trials: pa.Table,
    person: Mapping[str, str] | None,
    groups: Column,
    *,
    column: str,
    benchmark: str,
    list_name: str,
    system: str,
    metrics: Sequence[Metric],
    rng: np.random.Generator,
) -> ByGroup:
    """`result_rows` of the trials of each group, whose subset is called `column = group`; `groups` (T,) has names.

    People are drawn within each group, and no group's draws depend on which others there are. A group with one kind of
    trial has no rows, and is told.
    """
    found, remarks = [RESULTS.arrow().empty_table()], []
    for name, rows, own in each_group(groups, rng=rng):
        subset, some = f"{column} = {name}", trials.take(pa.array(rows))
        num_targets = int(np.count_nonzero(some["is_target"]))
        if num_targets in (0, len(rows)):
            remarks.append(f"{subset}: {num_targets} targets among {len(rows)} trials; a figure takes both kinds")
            continue
        about = {"benchmark": benchmark, "list_name": list_name, "system": system, "subset": subset}
        found.append(result_rows(scores[rows], some, person, metrics=metrics, rng=own, **about))
        if person is not None:
            remarks += [f"{subset}: {line}" for line in told_of_intervals(found[-1], scores[rows], some, person)]
    return ByGroup(pa.concat_tables(found), remarks)


def told_of_intervals(rows: pa.Table, scores: Scores, trials: pa.Table, person: Mapping[str, str]) -> list[str]:
    """Which of these `result_rows` of the trials have no interval, and which one that is likely too narrow.

    There is none of too few people, or where all draws are alike. That of a cost is too narrow where a kind of trial
    has fewer than 40 people; one of no mistake is exact (`benchmarks.intervals`).
    """
    told = rows.to_pylist()
    lacking = [row["metric"] for row in told if row["lower"] is None]
    drawn = [row["metric"] for row in told if row["lower"] is not None and row["value"] > 0]
    costs = [name for name in drawn if name.startswith(COSTS)]
    if not lacking and not costs:
        return []
    enrol, test = people_of(trials, person)
    num_people = fewest_people(
        Trials(scores=scores, is_target=trials["is_target"].to_numpy(), enrol_person=enrol, test_person=test)
    )
    if num_people < MIN_PEOPLE:
        return [f"no interval; it takes {MIN_PEOPLE} people with trials of each kind"]
    lines = [f"no interval of {', '.join(lacking)}: every draw of people comes to the same figure"] if lacking else []
    if costs and num_people < MIN_PEOPLE_OF_COSTS:
        expected = f"expected {MIN_PEOPLE_OF_COSTS} or more"
        lines.append(f"{', '.join(costs)}: interval from {num_people} people, likely too narrow; {expected}")
    return lines


def metric_names(metrics: Sequence[Metric]) -> list[str]:
    """What RESULTS calls them: `min_dcf`, and where several are asked `min_dcf p=0.001`.

    Raises ValueError for one that is not of scores, or asked twice.
    """
    others = [metric.name for metric in metrics if metric.name not in OF_SCORES]
    if others:
        raise ValueError(f"{others[0]}: not computed of scores; expected any of {', '.join(OF_SCORES)}")
    times = Counter(metric.name for metric in metrics)
    names = [metric.name if times[metric.name] == 1 else _in_full(metric) for metric in metrics]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]}: asked twice; expected each metric once")
    return names


def conventions(metric: Metric) -> str:
    """How a figure is computed, in words."""
    of_costs = costs_of(metric).conventions()
    return {
        "eer": EER_CONVENTIONS,
        "min_dcf": of_costs,
        "act_dcf": f"{of_costs}; at Bayes' threshold, {AS_RATIOS}",
        "cllr": f"bits, mean of both kinds' means; {AS_RATIOS}",
        "min_cllr": "bits, mean of both kinds' means; after the best rising map of the scores (PAV)",
    }[metric.name]


def costs_of(metric: Metric) -> Costs:
    """What a detection cost weighs."""
    return Costs(p_target=metric.p_target, miss=metric.cost_miss, false_accept=metric.cost_false_accept)


def people_of(trials: pa.Table, person: Mapping[str, str]) -> tuple[Codes, Codes]:
    """Who is on both sides of each trial, as numbers from 0. Only who is in a trial can be drawn.

    Raises ValueError naming an id of nobody.
    """
    names = names_in(trials)
    of_nobody = [name for name in names if name not in person]
    if of_nobody:
        raise ValueError(f"{of_nobody[0]}: {len(of_nobody)} ids of the trials are of nobody; expected a person of each")
    number = np.unique([person[name] for name in names], return_inverse=True)[1].tolist()
    place = dict(zip(names, number, strict=True))
    return coded(trials["enrol_id"], place), coded(trials["test_id"], place)


def names_in(trials: pa.Table) -> list[str]:
    """Every id of the trials (enrol_id, test_id), once."""
    sides = [_as_one(trials[side]) for side in ("enrol_id", "test_id")]
    used = [side.dictionary.take(pa.array(np.unique(side.indices))).cast(pa.string()) for side in sides]
    names: list[str] = pa.concat_arrays(used).unique().to_pylist()  # dictionaries may hold ids of other lists
    return names


def coded(side: pa.Array | pa.ChunkedArray, place: Mapping[str, int]) -> Codes:
    """The place of each name; -1 of one that has none. A name is looked up once."""
    one = _as_one(side)
    places = np.array([place.get(name, -1) for name in one.dictionary.to_pylist()], dtype=np.int64)
    found: Codes = places[one.indices.to_numpy()]
    return found


def _as_one(side: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    encoded = side if pa.types.is_dictionary(side.type) else side.dictionary_encode()
    return encoded.unify_dictionaries().combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded


def as_function(metric: Metric) -> MetricOfScores:
    """The metric as a function of scores, `is_target` and `weight`."""
    how = costs_of(metric)
    of_scores: dict[str, MetricOfScores] = {
        "eer": equal_error_rate,
        "min_dcf": partial(min_dcf, p_target=how.p_target, c_miss=how.miss, c_fa=how.false_accept),
        "act_dcf": partial(act_dcf, p_target=how.p_target, c_miss=how.miss, c_fa=how.false_accept),
        "cllr": cllr,
        "min_cllr": min_cllr,
    }
    return of_scores[metric.name]


def _in_full(metric: Metric) -> str:
    costs = (("c_miss", metric.cost_miss), ("c_fa", metric.cost_false_accept))
    return " ".join(
        [f"{metric.name} p={metric.p_target:g}", *(f"{name}={cost:g}" for name, cost in costs if cost != 1)]
    )


def values_of(scores: Scores, is_target: Bools, metrics: Sequence[Metric]) -> list[float]:
    """Each metric of all trials."""
    eer, least = eer_and_min_dcf(scores, is_target, [costs_of(m) for m in metrics if m.name == "min_dcf"])
    dcfs = iter(least)

    def value(metric: Metric) -> float:
        if metric.name == "eer":
            return eer
        return next(dcfs) if metric.name == "min_dcf" else as_function(metric)(scores, is_target)

    return [value(metric) for metric in metrics]


def values_by_weight(scores: Scores, is_target: Bools, metrics: Sequence[Metric]) -> Callable[[Floats], list[float]]:
    """`values_of` as a function of the weight of each trial, which are put in order once; nan where a kind has none."""
    ranking, figures = Ranking(*checked(scores, is_target)), _figures(scores, metrics)

    def weighed(weight: Floats) -> list[float]:
        accept, reject = ranking.error_rates(weight)
        return [math.nan if np.isnan(accept[0]) else figure(accept, reject) for figure in figures]

    return weighed


def _figures(scores: Scores, metrics: Sequence[Metric]) -> list[Figure]:
    """The metrics as figures of the rates at all operating points, of which a draw needs them once for all.

    Between two points lie the trials of one score, so that costs of scores can be told from rates as well.
    """
    thresholds = np.unique(scores)[::-1].astype(np.float64)

    def figure(metric: Metric) -> Figure:
        how = costs_of(metric)
        match metric.name:
            case "eer":
                return crossing
            case "min_dcf":
                return lambda accept, reject: least_cost(accept, reject, how)
            case "act_dcf":
                at = slice(reached := int((thresholds >= how.threshold).sum()), reached + 1)
                return lambda accept, reject: least_cost(accept[at], reject[at], how)
            case "cllr":
                of_other, of_target = (np.logaddexp(0, sign * thresholds) / np.log(4) for sign in (1, -1))
                return lambda accept, reject: float(np.diff(accept) @ of_other - np.diff(reject) @ of_target)
            case _:
                return _least_cllr

    return [figure(metric) for metric in metrics]


def _least_cllr(accept: Floats, reject: Floats) -> float:
    """`min_cllr` of trials that weigh what each operating point adds; only the order of scores matters to it."""
    rank = np.arange(len(accept) - 1, 0, -1.0)
    is_target = np.repeat([True, False], len(rank))
    return min_cllr(np.tile(rank, 2), is_target, weight=np.append(-np.diff(reject), np.diff(accept)))


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
