"""What scores of a list come to: figures of all trials and of groups, beside those of other systems and papers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import comparison, evaluation, pictures
from benchmarks.intervals import Trials, has_enough_people, weights
from benchmarks.protocol import Figure, Metric, load_protocol
from benchmarks.protocol import names as protocols
from curate.catalog import Catalog
from curate.errors import CatalogError, ListError
from curate.runs import Step, content_fingerprint, take_note
from curate.schema import RESULTS
from flows import seeds
from flows.code import EVALUATING
from flows.listed import Listed, Scores

HEAD = ["subset", "metric", "value", "lower", "upper", "targets", "nontargets"]
COLUMNS = ["subset", "metric", "value", "lower", "upper", "num_target", "num_nontarget"]
Table = tuple[list[str], list[tuple[Any, ...]]]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Rows of RESULTS, and what a reader must be told beside them."""

    rows: pa.Table
    remarks: list[str]


def metrics_asked(names: Sequence[str], p_targets: Sequence[float], default: Sequence[Metric]) -> list[Metric]:
    """Costs at every p_target; without names those of the default. Raises ListError for other names, or one twice."""
    names = list(names) or list(dict.fromkeys(metric.name for metric in default))
    other = [name for name in names if name not in evaluation.OF_SCORES]
    if other:
        raise ListError(f"metric {other[0]!r}; expected any of {', '.join(evaluation.OF_SCORES)}")
    costly = ("min_dcf", "act_dcf")
    if not p_targets:
        asked = [m for name in names for m in ([m for m in default if m.name == name] or [Metric(name=name)])]  # type: ignore[arg-type]
    else:
        asked = [
            Metric(name=name, p_target=p_target)  # type: ignore[arg-type]  # of OF_SCORES
            for name in names
            for p_target in (p_targets if name in costly else p_targets[:1])
        ]
    try:
        evaluation.metric_names(asked)
    except ValueError as error:
        raise ListError(f"metric {error}") from error
    return asked


def evaluated(
    listed: Listed, scores: Scores, *, system: str, metrics: Sequence[Metric], by: Sequence[str], seed: int
) -> Evaluated:
    """The figures of all trials, and of the groups of each column. Raises ListError without both kinds of trial."""
    num_targets = int(listed.is_target.sum())
    if num_targets in (0, len(listed.is_target)):
        raise ListError(
            f"{listed.place}: {num_targets} targets among {len(listed.is_target)} trials; expected both kinds"
        )
    about: dict[str, Any] = {"benchmark": listed.benchmark, "list_name": listed.name, "system": system}
    about |= {"metrics": metrics}
    rng = np.random.default_rng([seed, seeds.INTERVALS])
    rows = [evaluation.result_rows(scores, listed.trials, listed.person, rng=rng, **about)]
    remarks = []
    if listed.person is None:
        remarks.append("no intervals: who speaks is not known; expected --people, or --catalog")
    else:
        remarks += evaluation.told_of_intervals(rows[0], scores, listed.trials, listed.person)
    for column in by:
        rng = np.random.default_rng([seed, seeds.INTERVALS, *column.encode()])
        found = evaluation.rows_by_group(
            scores, listed.trials, listed.person, listed.groups(column), column=column, rng=rng, **about
        )
        rows.append(found.rows)
        remarks += found.remarks
    return Evaluated(rows=pa.concat_tables(rows), remarks=remarks)


def publish(catalog: Catalog, listed: Listed, found: Evaluated, scores: Scores, settings: Mapping[str, Any]) -> str:
    """Make the rows the part of their benchmark, list and system; says which that is.

    Raises CatalogError where another system, list or benchmark has that part.
    """
    system = found.rows["system"][0].as_py()
    part = evaluation.results_part(listed.benchmark, listed.name, system)
    with catalog.locked():
        if part in catalog.parts(RESULTS):
            rows = catalog.read(RESULTS, part).select(["benchmark", "list", "system"]).to_pylist()
            others = {tuple(row.values()) for row in rows} - {(listed.benchmark, listed.name, system)}
            if others:
                *of, other = min(others)
                raise CatalogError(
                    f"{part}: has figures of {other!r} on {'/'.join(of)}; expected another name than {system!r}"
                )
        heard = {
            "scores": hashlib.sha256(scores.tobytes()).hexdigest(),
            "trials": content_fingerprint(listed.trials),
            "figures": content_fingerprint(found.rows),
        }
        eer = next((row["value"] for row in found.rows.to_pylist() if row["metric"] == "eer"), None)
        told = "" if eer is None else f"EER {100 * eer:.2f} % "
        step = Step(
            catalog=catalog,
            name="evaluate",
            part=part,
            settings={"system": system, **settings, **heard},
            code=EVALUATING,
            publishes=[(RESULTS, part)],
            compute=lambda step: ([found.rows], f"{told}({system}, list {listed.name} of {listed.benchmark})"),
        )
        take_note(catalog, step.carry_out())
    return part


def as_rows(rows: pa.Table) -> Table:
    """The figures as plain rows."""
    return HEAD, [tuple(row[name] for name in COLUMNS) for row in rows.to_pylist()]


def conventions(rows: pa.Table) -> list[str]:
    """A line for each metric: how it is computed."""
    return [
        f"{metric}: {text}"
        for metric, text in dict.fromkeys(zip(rows["metric"].to_pylist(), rows["conventions"].to_pylist(), strict=True))
    ]


# --------------------------------------------------------------------------------------------------------- comparisons


def side_by_side(rows: pa.Table, systems: Sequence[str]) -> tuple[Table, list[str]]:
    """A row for each subset and metric, a column for each system; and what keeps figures apart.

    Figures stand in one row only if they are computed by the same conventions.
    """
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    counts: dict[str, set[tuple[int, int]]] = {}
    for row in rows.to_pylist():
        key = row["subset"], row["metric"], row["conventions"]
        cells.setdefault(key, {})[row["system"]] = _cell(row)
        counts.setdefault(row["subset"], set()).add((row["num_target"], row["num_nontarget"]))
    remarks = [
        f"{subset}: {' and '.join(f'{targets} + {others}' for targets, others in sorted(found))} trials: "
        "the systems were not scored on the same"
        for subset, found in counts.items()
        if len(found) > 1
    ]
    named = [key[:2] for key in cells]
    remarks += [
        f"{metric} of {subset}: computed in more than one way, a row each"
        for subset, metric in dict.fromkeys(named)
        if named.count((subset, metric)) > 1
    ]
    table = [(*key[:2], *(told.get(system, "") for system in systems)) for key, told in cells.items()]
    return (["subset", "metric", *systems], table), remarks


def _cell(row: Mapping[str, Any]) -> str:
    ends = "" if row["lower"] is None else f" [{row['lower']:.4f}, {row['upper']:.4f}]"
    return f"{row['value']:.4f}{ends}"


def results_of(catalog: Catalog, benchmark: str, name: str, systems: Sequence[str]) -> pa.Table:
    """The published figures of these systems on a list. Raises CatalogError naming one that has none."""
    rows = catalog.read(RESULTS)
    rows = rows.filter((pc.field("benchmark") == benchmark) & (pc.field("list") == name))
    there = sorted(rows["system"].unique().to_pylist())
    for system in systems:
        if system not in there:
            known = ", ".join(there) or "those of no system"
            raise CatalogError(f"{benchmark}/{name}: no figures of {system!r}; there are {known}")
    return rows.filter(pc.is_in(rows["system"], value_set=pa.array(systems, pa.string())))


def published(benchmark: str, name: str) -> list[Figure]:
    """What the benchmark's paper reports of a list, where the benchmark is one of the protocols."""
    if benchmark not in protocols():
        return []
    return [figure for figure in load_protocol(benchmark).figures if figure.list == name]


def differences(
    listed: Listed, scores: Mapping[str, Scores], metrics: Sequence[Metric], *, seed: int, num_draws: int
) -> Table:
    """Every two systems by every metric: the difference, its interval, and p of no difference (two-sided).

    All are weighed by the same draws. Where a kind of trial has fewer than ten people there is neither interval nor p.
    Raises ListError where nobody knows who speaks: people are drawn.
    """
    if listed.person is None:
        raise ListError(f"{listed.place}: who speaks is not known; expected --people, or --catalog")
    people, is_target = evaluation.people_of(listed.trials, listed.person), listed.is_target
    who = {"enrol_person": people[0], "test_person": people[1]}
    is_enough = has_enough_people(Trials(scores=next(iter(scores.values())), is_target=is_target, **who))
    values = {system: evaluation.values_of(some, is_target, metrics) for system, some in scores.items()}
    weighed = [evaluation.values_by_weight(some, is_target, metrics) for some in scores.values()]
    rng = np.random.default_rng([seed, seeds.COMPARISON])
    draws = ([one(weight) for one in weighed] for weight in weights(*people, rng=rng, num_draws=num_draws))
    drawn = dict(zip(scores, np.moveaxis(np.array(list(draws)), 1, 0), strict=True))  # of each system, draws x metrics
    head = ["metric", "system", "other", "difference", "lower", "upper", "p"]
    rows: list[tuple[Any, ...]] = []
    for at, called in enumerate(evaluation.metric_names(metrics)):
        for one, other in combinations(scores, 2):
            of_both = np.stack([drawn[one][:, at], drawn[other][:, at]], axis=1)
            found = comparison.from_draws((values[one][at], values[other][at]), of_both, is_enough=is_enough)
            ends = (found.difference.value, found.difference.low, found.difference.high, found.p_value)
            rows.append((called, one, other, *(None if np.isnan(end) else end for end in ends)))
    return head, rows


# ------------------------------------------------------------------------------------------------------------ pictures


def draw(folder: Path, listed: Listed, scores: Mapping[str, Scores], rows: pa.Table) -> list[Path]:
    """DET curves of all systems, the distributions of each, and bars of the groups that there are figures of."""
    curves = {system: (some, listed.is_target) for system, some in scores.items()}
    title = f"{listed.benchmark}, list {listed.name}"
    drawn = [pictures.save(pictures.det(curves), folder / "det.svg")]
    for system, some in scores.items():
        figure = pictures.distributions(some, listed.is_target, name=f"{title}: {system}")
        drawn.append(pictures.save(figure, folder / f"scores_{evaluation.plain(system)}.svg"))
    groups: dict[tuple[str, str, str], list[pictures.Bar]] = {}
    for row in rows.to_pylist():
        column, mark, _ = row["subset"].partition(" = ")
        if mark:
            bar = pictures.Bar(row["subset"], row["value"], row["lower"], row["upper"])
            groups.setdefault((row["system"], row["metric"], column), []).append(bar)
    for (system, metric, column), bars in groups.items():
        figure = pictures.bars(bars, what=metric, title=f"{title}: {system}", as_percent=metric == "eer")
        drawn.append(
            pictures.save(
                figure,
                folder / f"{evaluation.plain(metric)}_by_{evaluation.plain(column)}_{evaluation.plain(system)}.svg",
            )
        )
    return drawn
