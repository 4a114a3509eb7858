"""The command that serves the review page. What it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import CATALOG
from flows.review import ReviewerOption, name_of


def review(
    catalog: Annotated[Path, typer.Argument(help="The catalog.", **CATALOG)],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to listen; 0 takes any that is free.")] = 8765,
    host: Annotated[
        str, typer.Option(help="Who may reach it: this machine alone, or, by a name or 0.0.0.0, others with a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VOXCURATE_TOKEN", help="What others must show; where they can reach it, one is drawn without it."
        ),
    ] = None,
    reviewer: ReviewerOption = None,
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser, where there is a screen.")] = (
        True
    ),
) -> None:
    """Look at and listen to what the rules found, and decide.

    A page in the browser shows it, most doubtful first. What is said there is kept as by `curate decide`, and `curate
    run` applies it.

    Example: curate review catalogs/mine
    """
    from curate.catalog import open_catalog
    from pages.review.serving import serve

    serve(
        open_catalog(catalog),
        host=host,
        port=port,
        token=token,
        reviewer=name_of(reviewer),
        opens=opens,
        tell=lambda line: typer.echo(line),
    )
