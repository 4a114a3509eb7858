"""The command `curate train`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from curate.storage import location
from flows.options import CatalogOption


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe by name, or a file of yours (.toml); alone: which recipes there are.")
    ] = None,
    catalog: CatalogOption = Path("catalog"),
    benchmark: Annotated[str | None, typer.Option(help="Which one, where the catalog holds several.")] = None,
    split: Annotated[str | None, typer.Option(help="What is trained on; else `train`.")] = None,
    also: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="Whole utterances of this split too, for a recipe that reads beside."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Train on a manifest (SpeechBrain, NeMo) in the place of a catalog.", parser=location, metavar="FILE"
        ),
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Validate on this list of the benchmark, else on people held out."),
    ] = None,
    dev: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            help="Validate on this split of the benchmark, also of known people; with --trials read it.",
        ),
    ] = None,
    hold_out: Annotated[
        int | None, typer.Option(min=0, help="People of the split to validate on; 0: none. Else 1 of 20, at least 4.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the run; else runs/RECIPE.", parser=location, metavar="FOLDER")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: --set epochs=10.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V,V", help="A run for each value: --grid schedule.rate=1e-4,3e-4; a device each."),
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="CHECKPOINT", help="Begin with these weights, ours or of others, where they fit."
        ),
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Decode the split once into one file of samples.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    describe: Annotated[bool, typer.Option("--describe", help="Say what the recipe does, and train nothing.")] = False,
) -> None:
    """Train a system on a split by a recipe of its paper. A run that was stopped goes on.

    Several processes train together under torchrun: torchrun --nproc-per-node 2 -m flows.cli train RECIPE ...

    Example: curate train vietsv-amp-arc-0.2 -c catalogs/real --set epochs=20
    """
    from flows.training import described, listed, train_on_manifest, train_on_split

    if recipe is None:
        typer.echo(listed())
        return
    if describe:
        typer.echo(described(recipe, settings or []))
        return
    from curate.catalog import open_catalog
    from flows.cli import show_progress
    from flows.grid import train_grid, words_of

    if manifest is not None and any(one is not None for one in (trials, dev, also, benchmark, split)):
        raise typer.BadParameter(
            "--benchmark, --split, --also, --dev and --trials go with a catalog; expected none beside --manifest"
        )
    if hold_out is not None and (trials, dev) != (None, None):
        raise typer.BadParameter("--trials, --dev and --hold-out each say whom to validate on; expected one of them")
    show_progress()
    changes, hold = settings or [], hold_out
    if grid:
        words = words_of(
            catalog=None if manifest is not None else catalog,
            benchmark=benchmark,
            split=split,
            also=also,
            manifest=manifest,
            trials=trials,
            dev=dev,
            hold_out=hold,
            cache=cache,
            **{"from": initial},
        )
        told = train_grid(recipe, changes, list(words), grid, out, device)
    elif manifest is not None:
        told = train_on_manifest(
            recipe, changes, manifest, hold_out=hold, out=out, initial=initial, cache=cache, device=device
        )
    else:
        told = train_on_split(
            recipe,
            changes,
            open_catalog(catalog),
            benchmark=benchmark,
            split=split or "train",
            also=also,
            trials=trials,
            dev=dev,
            hold_out=hold,
            out=out,
            initial=initial,
            cache=cache,
            device=device,
        )
    if told:  # all but the first of several processes have nothing to say
        typer.echo(told)
