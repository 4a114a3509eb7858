"""The command `curate test`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import CatalogOption


def measure(
    run: Annotated[Path, typer.Argument(help="The folder of a run that `curate train` completed.")],
    catalog: CatalogOption = Path("catalog"),
    benchmark: Annotated[str | None, typer.Option(help="Which one, where the catalog holds several.")] = None,
    split: Annotated[str | None, typer.Option(help="What it tells classes of; else `eval`, or `test`.")] = None,
    lists: Annotated[
        list[str] | None, typer.Option("--list", help="A list of trials to score; repeatable. Else all of utterances.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the run is called in tables; else as its recipe.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws of people, and of the picture of vectors.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a trained run on a benchmark: the classes that it tells, trials by cosine, and pictures of both.

    Figures, with intervals, are published in the catalog's tables `class_results` and `results`, and printed beside
    those of the benchmark's paper; what it says of each utterance and the pictures are put into RUN/tests.

    Example: curate test runs/small -c catalogs/real --split test
    """
    from curate.catalog import Catalog
    from flows import testing
    from flows.cli import show_progress

    show_progress()
    found = testing.measure(
        run,
        Catalog(catalog),
        benchmark=benchmark,
        split=split,
        lists=lists or [],
        system=system,
        seed=seed,
        device=device,
    )
    typer.echo(testing.as_json(found) if as_json else testing.in_words(found))
