"""The command `curate build`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from curate.storage import location
from flows.options import CatalogOption
from flows.review import tell_out_of_date


def build(
    name: Annotated[
        str | None,
        typer.Argument(help="A protocol that comes with Voxcurate, or a TOML file of yours; none lists them."),
    ] = None,
    catalog: CatalogOption = Path("catalog"),
    lists: Annotated[
        list[str] | None,
        typer.Option("--list", metavar="NAME=FILE", help="A list of names that the protocol asks for; repeatable."),
    ] = None,
    describe: Annotated[bool, typer.Option("--describe", help="Say in words what the protocol does.")] = False,
    names: Annotated[bool, typer.Option("--names", help="List the protocols with their titles.")] = False,
) -> None:
    """Build a benchmark by a published design from a catalog.

    The catalog is one that `curate run` has filled; the benchmark comes with its lists and card.

    Example: curate build libri-vox -c catalogs/real
    """
    from benchmarks.protocol import in_words, load_protocol
    from benchmarks.protocol import names as protocols

    if names or name is None:
        from curate.query import as_table

        typer.echo(as_table(["protocol", "title"], [(one, load_protocol(one).title) for one in protocols()]))
        return
    protocol = load_protocol(name)
    if describe:
        typer.echo(in_words(protocol))
        return
    from curate.catalog import open_catalog
    from flows.building import build_benchmark
    from flows.cli import show_progress

    show_progress()
    opened = open_catalog(catalog)
    tell_out_of_date(opened, builds=False)
    typer.echo(build_benchmark(protocol, opened, _files(lists or [])))


def _files(lists: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for one in lists:
        name, mark, file = one.partition("=")
        if not (name and mark and file):
            raise typer.BadParameter(f"--list {one!r}; expected NAME=FILE")
        if name in files:
            raise typer.BadParameter(f"--list {name}: given twice; expected each once")
        files[name] = location(file)
    return files
