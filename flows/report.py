"""The command `curate report`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import CATALOG, OUT
from flows.review import tell_out_of_date


def report(
    catalog: Annotated[Path, typer.Argument(help="The catalog.", **CATALOG)],
    out: Annotated[
        Path, typer.Argument(help="Where to write, on this machine; must not be there, or be empty.", **OUT)
    ],
    benchmark: Annotated[str | None, typer.Option(help="Which one, where the catalog holds several.")] = None,
) -> None:
    """Draw what a catalog holds, on a page that needs no network.

    Drawn are the way of the data with counts at every step, what was dropped and of whom, ages and durations, how alike
    speakers are, who was merged, a map of speakers, and the scores of the trials. Every picture is beside the page as
    SVG and PNG. The same catalog gives the same bytes.

    Example: curate report catalogs/real reports/real
    """
    from curate.catalog import open_catalog
    from flows.reporting import write_report

    opened = open_catalog(catalog)
    tell_out_of_date(opened)
    typer.echo(write_report(opened, out, benchmark))
