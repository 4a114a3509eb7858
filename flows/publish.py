"""The commands `curate publish` and `curate verify`. Only what they say stands here: what they do is imported later."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.options import CATALOG, OUT
from flows.review import tell_out_of_date


def publish(
    catalog: Annotated[Path, typer.Argument(help="The catalog.", **CATALOG)],
    benchmark: Annotated[str, typer.Argument(help="Which one of it.")],
    out: Annotated[
        Path, typer.Argument(help="Where to write, on this machine; must not be there, or be empty.", **OUT)
    ],
    audio: Annotated[bool, typer.Option("--audio", help="Put the audio into the rows, as bytes.")] = False,
    insist: Annotated[
        bool, typer.Option("--insist", help="Also audio whose licence is not known to allow it; the card says so.")
    ] = False,
    pipeline: Annotated[
        Path | None, typer.Option(help="A pipeline file, whose `[card]` says title, description and makers.")
    ] = None,
    maker: Annotated[list[str] | None, typer.Option(help="Who made it. May be given several times.")] = None,
    version: Annotated[str, typer.Option(help="Of the data set, as MAJOR.MINOR.PATCH.")] = "1.0.0",
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="When it is published; else the day of the catalog's last run."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where it can be had; else its checksum stands for that.")] = None,
    push_to: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Put it on the Hugging Face Hub, too; HF_TOKEN is the token."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository is private, but for this.")] = False,
) -> None:
    """Write a benchmark as a data set for others to load and trust.

    That is a folder for the Hugging Face Hub. It holds Parquet splits and lists of trials, a card, Croissant metadata,
    and a manifest of checksums. Published twice it is the same bytes.

    Example: curate publish catalogs/real real published/real --maker "Speech Lab"
    """
    from curate.catalog import open_catalog
    from flows.publishing import Asked, publish_benchmark

    if push_to is not None:
        from flows.pushing import address_of, push

        url = url or address_of(push_to)
    asked = Asked(
        has_audio=audio,
        insists=insist,
        pipeline=pipeline,
        makers=tuple(maker or ()),
        version=version,
        published=None if date is None else date.date(),
        url=url,
    )
    opened = open_catalog(catalog)
    tell_out_of_date(opened)
    typer.echo(publish_benchmark(opened, benchmark, out, asked))
    if push_to is not None:
        typer.echo(push(out, push_to, is_public=public))


def verify(folder: Annotated[Path, typer.Argument(help="A folder that `curate publish` has written.")]) -> None:
    """Say whether a published folder is as it was published.

    Every file is looked at, and what its card and Croissant name. Ends with exit code 0 where it is, 1 where anything
    is missing, added or changed, a line each, and 2 where that cannot be told: the folder is not there, or has no
    manifest. What git and the Hub's client add, `.git`, `.gitattributes` and `.cache`, is left out.

    Example: curate verify published/real
    """
    from curate.verify import faults_of

    faults = faults_of(folder)
    typer.echo("\n".join(faults) if faults else f"{folder}: as it was published")
    if faults:
        raise typer.Exit(1)
