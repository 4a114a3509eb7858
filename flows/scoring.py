"""Score lists of a benchmark by the vectors of a catalog: a step a list, which publishes its figures."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.evaluation import DEFAULT, OF_SCORES, names_in, result_rows, results_part
from benchmarks.protocol import Metric
from benchmarks.scoring import Scorer, score_list, scored, trials_of
from curate.catalog import Catalog, read_parquet
from curate.errors import CatalogError, ScoringError
from curate.explain import counted
from curate.runs import Part, Result, Step, last_done, take_note
from curate.schema import EMBEDDINGS, MODELS, REMOVALS, RESULTS, RUNS, SPLITS, TRIALS, UTTERANCES
from flows import seeds
from flows.code import SCORING
from flows.systems import Beginnings, System, made, people_in, seen_in_calibration

log = logging.getLogger("voxcurate")  # the command line shows it


def score_lists(
    catalog: Catalog,
    benchmark: str,
    system: System,
    *,
    lists: Sequence[str] = (),
    out: Path | None = None,
    beginnings: Beginnings | None = None,
) -> list[str]:
    """Score `lists`, or all; write the scores of the only one to `out`; a line on each list.

    `beginnings` gives the vectors where the system hears no more than `first_s` of an utterance. Raises CatalogError
    for a benchmark, list, split or vector that the catalog does not have, ScoringError for a system that cannot score.
    """
    asked = lists_of(catalog, benchmark, lists, system)
    if out is not None and len(asked) > 1:
        raise ScoringError(f"{out}: holds the scores of one list, not of {', '.join(asked)}; expected one `--list`")
    extractor_of(catalog, system.extractor)  # or an error
    tell_stale(catalog, benchmark)

    @cache
    def scorer() -> Scorer:
        wanted = [*asked, *([system.calibrate_on] if system.calibrate_on else [])]
        try:
            return made(catalog, benchmark, system, wanted, beginnings)
        except ValueError as error:
            raise error if isinstance(error, ScoringError) else ScoringError(f"{system.name}: {error}") from error

    lines = []
    with catalog.locked():
        for name in asked:
            done = step(catalog, benchmark, name, system, scorer).carry_out()
            take_note(catalog, done)
            told = catalog.read(RESULTS, results_part(benchmark, name, system.name))
            seen = seen_in_calibration(catalog, benchmark, name, system)
            lines.append(in_words(told) + seen + ("" if done.changed else " (nothing to do)"))
        if out is not None:
            score_list(catalog.path(TRIALS, benchmark), asked[0], out, scorer())
    return lines


def step(catalog: Catalog, benchmark: str, name: str, system: System, scorer: Callable[[], Scorer]) -> Step:
    """Score one list and publish its figures."""
    metrics, seed = asked_of(catalog, benchmark)

    def compare(step: Step) -> Result:
        trials = trials_of(catalog.path(TRIALS, benchmark), name)
        rows = pa.Table.from_batches(scored(trials, scorer())).unify_dictionaries()
        try:
            figures = result_rows(
                rows["score"].to_numpy(),
                rows,
                people_in(catalog, benchmark, pa.array(names_in(rows), pa.string())),
                benchmark=benchmark,
                list_name=name,
                system=system.name,
                metrics=metrics,
                rng=np.random.default_rng([seed, seeds.INTERVALS]),
            )
        except ValueError as error:
            raise ScoringError(f"{benchmark}, list {name!r}: {error}") from error
        return [figures], in_words(figures)

    read: list[Part] = [(table, benchmark) for table in (TRIALS, SPLITS, MODELS) if benchmark in catalog.parts(table)]
    return Step(
        catalog=catalog,
        name="score",
        part=results_part(benchmark, name, system.name),
        settings={"system": asdict(system), "metrics": [asdict(metric) for metric in metrics], "seed": seed},
        code=SCORING,
        reads=[*read, (EMBEDDINGS, system.extractor)],
        publishes=[(RESULTS, results_part(benchmark, name, system.name))],
        compute=compare,
    )


def in_words(figures: pa.Table) -> str:
    """What came out of a list, in one line."""
    rows = figures.to_pylist()
    told = [
        f"EER {100 * row['value']:.2f} %" if row["metric"] == "eer" else f"{row['metric']} {row['value']:.4f}"
        for row in rows
    ]
    counts = f"{counted(rows[0]['num_target'], 'target')}, {counted(rows[0]['num_nontarget'], 'nontarget')}"
    return f"{rows[0]['benchmark']}, list {rows[0]['list']}: {', '.join(told)} ({rows[0]['system']}; {counts})"


# ---------------------------------------------------------------------------------------------------- what is asked for


def lists_of(catalog: Catalog, benchmark: str, lists: Sequence[str], system: System) -> list[str]:
    """Those asked for, or all. Raises CatalogError for a benchmark or a list that is not there, and where none is."""
    known = catalog.parts(TRIALS)
    if benchmark not in known:
        raise CatalogError(
            f"{catalog.root}: no trials of a benchmark {benchmark!r}; expected {', '.join(known) or 'one to be built'}"
        )
    there = sorted(read_parquet(catalog.path(TRIALS, benchmark), ["list"])["list"].unique().to_pylist())
    for name in (*lists, *([system.calibrate_on] if system.calibrate_on else [])):
        if name not in there:
            raise CatalogError(f"{benchmark}: no list {name!r}; expected {', '.join(there) or 'one with trials'}")
    if not there:
        raise CatalogError(f"{benchmark}: has no lists of trials; expected a benchmark that has some")
    return list(dict.fromkeys(lists)) or there


def require_catalog(catalog: Catalog) -> None:
    """Raises CatalogError where there is none."""
    if not catalog.parts(UTTERANCES):
        raise CatalogError(f"{catalog.root}: no catalog there; expected a folder that `curate run` has filled")


def tell_stale(catalog: Catalog, benchmark: str) -> None:
    """A warning where the benchmark is a built one that would be another if it were built now."""
    from flows.building import told_stale  # with it comes DuckDB, which scores need not wait for

    if benchmark in catalog.parts(REMOVALS) and catalog.parts(RUNS):
        for line in told_stale(catalog):
            if line.startswith(f"{benchmark}: "):
                log.warning(f"score: {line}")


def extractor_of(catalog: Catalog, name: str | None) -> str:
    """The extractor of this name, or the only one. Raises CatalogError where that does not tell one."""
    known = catalog.parts(EMBEDDINGS)
    if name is None and len(known) == 1:
        return known[0]
    if name not in known:
        told = "no vectors" if name is None and not known else f"vectors of {', '.join(known) or 'nobody'}"
        raise CatalogError(
            f"{catalog.root}: {told}; expected "
            + (f"those of {name!r}" if name else "one extractor (`--extractor` says which), or `curate run` to be done")
        )
    return name


def asked_of(catalog: Catalog, benchmark: str) -> tuple[list[Metric], int]:
    """The metrics of scores that the benchmark's protocol or pipeline asks for, and its seed."""
    noted = last_done(catalog) if catalog.parts(RUNS) else []
    settings = {row["step"]: json.loads(row["settings"]) for row in noted if row["part"] == benchmark}
    if "build" in settings:
        protocol = settings["build"]["protocol"]
        metrics = [Metric(**one) for one in protocol["metrics"] if one["name"] in OF_SCORES]
        return metrics or list(DEFAULT), protocol["seed"]
    if "score" in settings:
        told = settings["score"]
        costs = {"p_target": told["p_target"], "cost_miss": told["miss"], "cost_false_accept": told["false_accept"]}
        return [Metric(name="eer"), Metric(name="min_dcf", **costs)], told["seed"]
    return list(DEFAULT), 0
