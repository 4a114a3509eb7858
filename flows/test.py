"""The command `curate test`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import CatalogOption

LEAST_S, MOST_S = 0.1, 20.0  # that are heard as a beginning; of a whole utterance it is the latter, at most


def measure(
    run: Annotated[Path, typer.Argument(help="The folder of a run that `curate train` completed.")],
    catalog: CatalogOption = Path("catalog"),
    benchmark: Annotated[str | None, typer.Option(help="Which one, where the catalog holds several.")] = None,
    split: Annotated[str | None, typer.Option(help="What it tells classes of; else `eval`, or `test`.")] = None,
    lists: Annotated[
        list[str] | None, typer.Option("--list", help="A list of trials to score; repeatable. Else all of utterances.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the run is called in tables; else as its recipe.")] = None,
    first_s: Annotated[
        float | None, typer.Option(help="Score trials by the first so many seconds of both sides, too.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="EER of each layer, before and after training; of wav2vec 2.0.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws of people, and of the picture of vectors.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a trained run on a benchmark.

    What is measured is the classes that it tells, and trials by cosine, with pictures of both.

    Figures, with intervals, are published in the catalog's tables `class_results` and `results`, and printed beside
    those of the benchmark's paper; what it says of each utterance and the pictures are put into RUN/tests.

    With --first-s 2 trials are scored twice: by whole utterances (20 s at most), and by their first 2 s as the system
    NAME_first-2s.
    --layers scores them by the mean of each layer's output, of the network that the run ended with and of that which it
    began with, and draws both.

    Example: curate test runs/small -c catalogs/real --split test

    Example: curate test runs/w2v2-dj-2s-0.5 -c catalogs/real --first-s 2 --layers
    """
    if first_s is not None and not LEAST_S <= first_s <= MOST_S:
        raise typer.BadParameter(f"--first-s {first_s:g}; expected {LEAST_S:g} to {MOST_S:g} seconds")
    from curate.catalog import open_catalog
    from flows import measured, testing
    from flows.cli import show_progress

    show_progress()
    found = testing.measure(
        run,
        open_catalog(catalog),
        benchmark=benchmark,
        split=split,
        lists=lists or [],
        system=system,
        first_s=first_s,
        with_layers=layers,
        seed=seed,
        device=device,
    )
    typer.echo(measured.as_json(found) if as_json else measured.in_words(found))
