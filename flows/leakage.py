"""The command `curate audit leakage`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import CatalogOption


def leakage(
    catalog: CatalogOption = Path("catalog"),
    benchmark: Annotated[str | None, typer.Option(help="Which one, where the catalog holds several.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SPLIT=]FILE",
            help="A list of speakers, sessions or files, one a line, that no split, or this one, may have. May be "
            "given several times.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Say what the splits of a benchmark share, and should not.

    That may be people, labels, sessions, files, audio, transcripts, voices and names. Ends with exit code 0 where
    nothing leaks, 1 where something does that the benchmark's protocol does not allow, and 2 where that cannot be told:
    there is no such catalog, benchmark or list.

    Example: curate audit leakage -c catalogs/real --against train=voxceleb1_sitw_overlap.txt
    """
    import json

    from benchmarks.leakage_report import HEAD, LEAK, conclusion, does_leak, told
    from curate.catalog import open_catalog
    from curate.export.chosen import benchmark_of
    from curate.query import as_table
    from flows.leaking import allowed_before, lists_against, measured

    opened = open_catalog(catalog)
    with opened.as_one():
        name = benchmark_of(opened, benchmark)
        lists, others = lists_against(opened, name, against or [])
        found = measured(opened, name, lists=lists, allowed=allowed_before(opened, name) | others)
    remarks = [one.remark for one in lists.values() if one.remark is not None]
    if as_json:
        checks = found.drop_columns(["benchmark"]).to_pylist()
        whole = {"benchmark": name, "leaks": does_leak(found), "conclusion": conclusion(found), "remarks": remarks}
        typer.echo(json.dumps(whole | {"checks": checks}, indent=1, ensure_ascii=False))
    else:
        rows = told(found)
        typer.echo(f"{name}\n")
        typer.echo(as_table(HEAD, [row.cells for row in rows]).rpartition("\n")[0])  # but for how many rows there are
        for row in (row for row in rows if row.status == LEAK):
            typer.echo("\n".join(["", f"{row.what} ({row.between}), such as:", *(f"  {one}" for one in row.examples)]))
        typer.echo("\n".join(["", *remarks, conclusion(found)]))
    if does_leak(found):
        raise typer.Exit(1)
