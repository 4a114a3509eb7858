"""The commands `curate evaluate` and `compare`; what they do is imported when they are called."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.options import PerhapsCatalogOption

MetricOption = Annotated[
    list[str] | None, typer.Option("--metric", help="eer, min_dcf, act_dcf, cllr, min_cllr; repeatable.")
]
PTargetOption = Annotated[
    list[float] | None,
    typer.Option(min=0, max=1, help="Of the costs; repeatable. 0.01 is DCF2, 0.001 is DCF3."),
]
PeopleOption = Annotated[
    Path | None, typer.Option(help="Lines of `utterance person`, as Kaldi's utt2spk: who speaks, without a catalog.")
]
BenchmarkOption = Annotated[str | None, typer.Option(help="What the benchmark of a list from a file is called.")]
FormOption = Annotated[
    str | None, typer.Option(help="kaldi, wespeaker, speechbrain, voxceleb_trainer, parquet; else told by looking.")
]
PicturesOption = Annotated[Path | None, typer.Option(help="Draw into this folder (SVG).")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of the draws of people.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def evaluate(
    trials: Annotated[str, typer.Argument(help="A list of trials in a file, or BENCHMARK/LIST of the catalog.")],
    scores: Annotated[Path, typer.Argument(help="A file of scores, in any form.")],
    catalog: PerhapsCatalogOption = None,
    benchmark: BenchmarkOption = None,
    name: Annotated[str | None, typer.Option("--list", help="What a list from a file is called.")] = None,
    system: Annotated[str | None, typer.Option(help="What gave the scores; else the name of their file.")] = None,
    metric: MetricOption = None,
    p_target: PTargetOption = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="A column of utterances such as sex, corpus, duration_s, session_id, age_group; repeatable."),
    ] = None,
    people: PeopleOption = None,
    form: FormOption = None,
    pictures: PicturesOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Say how well scores tell people apart.

    Of all trials and group by group, each figure with its interval.

    With a catalog the figures are published in its table `results`.

    Example: curate evaluate real/test scores.txt -c catalogs/real --by sex --by corpus
    """
    from curate.query import as_table
    from flows import evaluating

    with _as_one(catalog):
        listed, metrics = _asked(trials, catalog, benchmark, name, people, metric, p_target)
        if listed.catalog is not None and Path(trials).is_file() and not (benchmark and name):
            raise typer.BadParameter(
                "a list from a file and a catalog: expected --benchmark and --list to publish under"
            )
        system = system or scores.stem
        found_scores = listed.scores(scores, form)
        found = evaluating.evaluated(listed, found_scores, system=system, metrics=metrics, by=by or [], seed=seed)
    if listed.catalog is not None:
        settings = {"metrics": [asdict(one) for one in metrics], "by": by or [], "seed": seed, "file": scores.name}
        evaluating.publish(listed.catalog, listed, found, found_scores, settings)
    if pictures is not None:
        evaluating.draw(pictures, listed, {system: found_scores}, found.rows)
    if as_json:
        _print_json({"results": found.rows.to_pylist(), "remarks": found.remarks})
        return
    lines = [as_table(*evaluating.as_rows(found.rows)), "", *evaluating.conventions(found.rows), *found.remarks]
    typer.echo("\n".join(lines))


def compare(
    systems: Annotated[
        list[str], typer.Argument(help="Files of scores, or NAME=FILE; or names of systems in the catalog's results.")
    ],
    trials: Annotated[str, typer.Option(help="The list: BENCHMARK/LIST of the catalog, or a file.")],
    catalog: PerhapsCatalogOption = None,
    benchmark: BenchmarkOption = None,
    name: Annotated[str | None, typer.Option("--list", help="What a list from a file is called.")] = None,
    metric: MetricOption = None,
    p_target: PTargetOption = None,
    people: PeopleOption = None,
    form: FormOption = None,
    draws: Annotated[int, typer.Option(min=100, help="Of people, for the differences.")] = 1000,
    pictures: PicturesOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Put systems side by side on one list, with its paper's figures.

    Of files of scores, also with the p of no difference.

    Example: curate compare one.txt other.txt --trials real/test -c catalogs/real
    """
    import pyarrow as pa

    from curate.query import as_table
    from flows import evaluating

    files = _files(systems)
    with _as_one(catalog):
        listed, metrics = _asked(trials, catalog, benchmark, name, people, metric, p_target)
        differences: evaluating.Table | None = None
        if files is None:
            if listed.catalog is None:
                raise typer.BadParameter(f"{', '.join(systems)}: no files of scores; expected them, or --catalog")
            if metric or p_target or pictures:
                raise typer.BadParameter(
                    "--metric, --p-target and --pictures go with files of scores only; expected none beside systems "
                    f"of the catalog ({', '.join(systems)})"
                )
            rows = evaluating.results_of(listed.catalog, listed.benchmark, listed.name, systems)
            names, remarks = systems, []
        else:
            names, scores = list(files), {one: listed.scores(path, form) for one, path in files.items()}
            found = [
                evaluating.evaluated(listed, some, system=one, metrics=metrics, by=[], seed=seed)
                for one, some in scores.items()
            ]
            rows = pa.concat_tables(one.rows for one in found)
            remarks = list(dict.fromkeys(line for one in found for line in one.remarks))
            if listed.person is not None:
                differences = evaluating.differences(listed, scores, metrics, seed=seed, num_draws=draws)
            if pictures is not None:
                evaluating.draw(pictures, listed, scores, rows)
    papers = evaluating.published(listed.benchmark, listed.name)
    if as_json:
        between = [] if differences is None else [dict(zip(differences[0], row, strict=True)) for row in differences[1]]
        reported = [asdict(figure) for figure in papers]
        told = {"results": rows.to_pylist(), "differences": between, "published": reported, "remarks": remarks}
        _print_json(told)
        return
    table, apart = evaluating.side_by_side(rows, names)
    lines = [as_table(*table), ""]
    if differences is not None:
        lines += [as_table(*differences), f"p: two-sided, of {draws} draws of people, the same for both systems", ""]
    if papers:
        head = ["published by", "metric", "value", "where"]
        lines += [as_table(head, [(one.system, one.metric, one.value, one.where) for one in papers]), ""]
    typer.echo("\n".join([*lines, *evaluating.conventions(rows), *apart, *remarks]))


def _as_one(catalog: Path | None) -> AbstractContextManager[None]:
    from curate.catalog import Catalog

    return nullcontext() if catalog is None else Catalog(catalog).as_one()


def _asked(
    trials: str,
    catalog: Path | None,
    benchmark: str | None,
    name: str | None,
    people: Path | None,
    metric: list[str] | None,
    p_target: list[float] | None,
) -> tuple[Any, Any]:
    """The list, and the metrics: those of its protocol or pipeline where none are said."""
    from benchmarks.evaluation import DEFAULT
    from curate.catalog import open_catalog
    from flows.evaluating import metrics_asked
    from flows.listed import listed
    from flows.scoring import asked_of, require_catalog

    if catalog is not None and people is not None:
        raise typer.BadParameter("--people and --catalog: expected one of them")
    outside = [one for one in p_target or [] if not 0 < one < 1]
    if outside:
        raise typer.BadParameter(f"--p-target {outside[0]:g}; expected a share between 0 and 1")
    opened = None if catalog is None else open_catalog(catalog)
    if opened is not None:
        require_catalog(opened)
    found = listed(trials, opened, benchmark=benchmark, name=name, people=people)
    default = DEFAULT if opened is None else asked_of(opened, found.benchmark)[0]
    return found, metrics_asked(metric or [], p_target or [], default)


def _files(systems: list[str]) -> dict[str, Path] | None:
    """The file of each system; None where none is one."""
    files = {}
    for one in systems:
        name, mark, file = one.partition("=") if not Path(one).is_file() else (Path(one).stem, "=", one)
        if mark:
            if name in files:
                raise typer.BadParameter(f"{name}: two files of scores are called so; expected NAME=FILE")
            files[name] = Path(file)
    if files and len(files) < len(systems):
        raise typer.BadParameter("some are files of scores and some are not; expected all or none")
    if len(systems) < 2:
        raise typer.BadParameter(f"{systems[0]}: one system; expected two or more")
    return files or None


def _print_json(told: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(told, ensure_ascii=False, indent=1, default=str))
