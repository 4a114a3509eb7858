"""The command `curate`: each verb opens the catalog, calls one function, reports.

What only reads imports neither torch nor Prefect: those are imported within the verbs that need them.
"""

import atexit
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from curate.errors import VoxcurateError
from curate.export import FORMS
from flows.audit import audit
from flows.build import build
from flows.evaluate import compare, evaluate
from flows.migrate import migrate
from flows.options import CATALOG, OUT, PLACE, CatalogOption
from flows.plant import plant
from flows.publish import publish, verify
from flows.report import report
from flows.review import decide, reviews, tell_out_of_date, undo
from flows.reviewing import review
from flows.running import ON_AGAIN, curate_file, end_at_once
from flows.score import score
from flows.test import measure
from flows.train import train

INTERRUPTED = 130  # with which Typer ends after Ctrl-C
GOES_ON = {  # what a command that was stopped finds again; the others leave nothing that is half, and begin anew, but
    # for `publish --push-to` while it pushes: the folder is written, and `hf upload` puts it on the Hub
    "run": ON_AGAIN,
    "demo": ON_AGAIN,
    "migrate": ON_AGAIN,
    "train": "run it again: it goes on from its last checkpoint, or begins anew where it has none",
    "plant": "run it again: plantings that are complete are not done again",
    "export": "run it again: audio that was converted is not converted again",
}
# They judge by their exit codes, as grep and diff do: 0 where nothing is found, 1 where something is, 2 where that
# cannot be told, be it by a slip of ours. Of all other commands 1 is for what was given wrongly.
JUDGES = (["audit", "leakage"], ["verify"])

app = typer.Typer(
    help="From raw speech corpora to a speaker benchmark that can be trusted.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the time to start
    pretty_exceptions_enable=False,
)


def tell_version(is_asked: bool) -> None:
    """Say it and end, as `--help` does."""
    if is_asked:
        typer.echo(f"voxcurate {version('voxcurate')}")
        raise typer.Exit


@app.callback()
def before_all(
    _version: Annotated[
        bool, typer.Option("--version", callback=tell_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """What `curate` itself takes, before the name of a command."""


@app.command()
def run(
    pipeline: Annotated[Path, typer.Argument(help="The pipeline file (TOML); examples/real.toml shows one.")],
    runner: Annotated[
        str | None,
        typer.Option(
            help="threads, dask or ray, or with an address, dask:tcp://host:8786; in place of `[runner]`, but for its "
            "`workers`: that key says how many."
        ),
    ] = None,
) -> None:
    """Curate the corpora of a pipeline file into its catalog. What is complete is not done again.

    Example: curate run examples/real.toml
    """
    typer.echo(curate_file(pipeline, runner))


@app.command()
def demo(
    root: Annotated[Path, typer.Argument(help="Where to put the demo; made if it is missing.")] = Path("build/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed speaks other corpora.")] = 1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, as in `curate train`.")
    ] = None,
) -> None:
    """Speak small corpora with planted faults, curate them, and train.

    The corpora are three, in Vietnamese; what was found of their faults and what was missed is told.

    What is trained is a small system on the split of what was kept, in less than a minute on two cores, by the recipe
    benchmarks/demo/recipe.toml; the EER before and after is on the test list, of people whom it was not trained on.

    Example: curate demo build/demo
    """
    from flows import demo as spoken

    show_progress()
    spoken.speak(root, seed=seed)
    typer.echo(curate_file(root / "demo.toml"))
    signal.signal(signal.SIGINT, end_at_once)
    typer.echo(spoken.report(root, trained_s=spoken.train(root, settings or [])))


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; every table of the catalog is a view.")],
    catalog: CatalogOption = Path("catalog"),
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the catalog in SQL (DuckDB's), read-only.

    Example: curate query "select reason, count(*) from decisions group by 1" -c catalogs/real
    """
    from curate import query as queries
    from curate.catalog import open_catalog

    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json: expected one of them")
    names, rows = queries.ask(open_catalog(catalog), sql)
    form = queries.as_csv if as_csv else queries.as_json if as_json else queries.as_table
    typer.echo(form(names, rows))


@app.command()
def why(
    subject: Annotated[str, typer.Argument(metavar="ID", help="An utterance_id or a speaker_id.")],
    catalog: CatalogOption = Path("catalog"),
) -> None:
    """Say every decision on an utterance or a speaker, in words.

    Example: curate why ha-noi/lan -c build/demo/catalog
    """
    from curate.catalog import open_catalog
    from curate.explain import explain, for_a_terminal

    opened = open_catalog(catalog)
    with opened.as_one():
        typer.echo("\n".join(map(for_a_terminal, explain(opened, subject))))


@app.command()
def status(catalog: CatalogOption = Path("catalog")) -> None:
    """Say what each step last did, and what is not up to date.

    That is benchmarks that `curate build` would make otherwise now, and what reviewers said since the last run.

    Example: curate status -c catalogs/real
    """
    from curate.catalog import open_catalog
    from curate.explain import not_applied
    from curate.query import as_table
    from curate.runs import last_done
    from flows.building import told_stale

    opened = open_catalog(catalog)
    with opened.as_one():
        done, remarks = last_done(opened), [*told_stale(opened), *not_applied(opened)]
    rows = [
        (
            row["step"],
            row["part"],
            f"{row['finished_at']:%Y-%m-%d %H:%M:%S}",
            row["num_rows"],
            row["run_id"],
            row["summary"],
        )
        for row in done
    ]
    table = as_table(["step", "part", "finished (UTC)", "rows", "run", "what it found"], rows)
    typer.echo("\n".join([table, *remarks]))


@app.command()
def corpora(
    reader: Annotated[str | None, typer.Argument(help="Tell all about this one: layout, terms, keys.")] = None,
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", "-c", help="Say what the corpora of this catalog were found to tell.", **PLACE),
    ] = None,
    archives: Annotated[Path | None, typer.Option(help="Hold downloaded archives against published checksums.")] = None,
) -> None:
    """Say which corpora can be read, and what each can tell.

    That is sex, age, session, transcript, licence and more.

    Example: curate corpora
    """
    from curate import overview
    from curate.catalog import open_catalog
    from curate.query import as_table

    if len([given for given in (reader, catalog, archives) if given is not None]) > 1:
        raise typer.BadParameter("a reader, --catalog and --archives: expected one of them")
    if reader is not None:
        typer.echo(overview.about(reader))
        return
    if archives is not None:
        typer.echo(as_table(*overview.check_archives(archives)))
        return
    if catalog is None:
        typer.echo(as_table(*overview.what_readers_fill()))
        return
    opened = open_catalog(catalog)
    with opened.as_one():
        filled, remarks = overview.what_was_filled(opened)
    typer.echo("\n".join([as_table(*filled), *([""] if remarks else []), *remarks]))


@app.command()
def export(
    catalog: Annotated[Path, typer.Argument(help="The catalog.", **CATALOG)],
    out: Annotated[
        Path, typer.Argument(help="Where to write, on this machine; must not be there, or be empty.", **OUT)
    ],
    to: Annotated[str, typer.Option(help=f"The form: {', '.join(FORMS)}.")],
    benchmark: Annotated[str | None, typer.Option(help="Which one, where the catalog holds several.")] = None,
    audio: Annotated[bool, typer.Option("--audio", help="Take the audio along: copied, or cut and converted.")] = False,
    rate: Annotated[int | None, typer.Option(help="Resample to this many Hz.")] = None,
    mono: Annotated[bool, typer.Option("--mono", help="Average the channels.")] = False,
    bits: Annotated[int | None, typer.Option(help="16 or 24 bits a sample.")] = None,
    audio_format: Annotated[str | None, typer.Option("--format", help="wav or flac.")] = None,
    telephone: Annotated[bool, typer.Option("--telephone", help="8 kHz, mono, 16 bits.")] = False,
    min_s: Annotated[float, typer.Option(help="Leave out what is shorter.")] = 0.0,
    max_s: Annotated[float, typer.Option(help="Leave out what is longer.")] = float("inf"),
    workers: Annotated[int, typer.Option(min=1, help="Files fetched or converted at once.")] = 2,
) -> None:
    """Write a benchmark in the form that another tool reads.

    It holds what was kept, under the people found, with its splits.

    Example: curate export catalogs/real out/kaldi --to kaldi
    """
    from dataclasses import replace

    from curate.catalog import open_catalog
    from curate.export.sound import TELEPHONE, Conversion
    from curate.export.writing import export_benchmark

    asked = Conversion(rate_hz=rate, mono=mono, bits=bits, format=audio_format)
    if telephone:
        if rate or bits:
            raise typer.BadParameter("--telephone says --rate and --bits; expected it without them")
        asked = replace(TELEPHONE, format=audio_format)
    conversion = asked if audio or asked != Conversion() else None
    length = {"min_duration_s": min_s, "max_duration_s": max_s}
    opened = open_catalog(catalog)
    tell_out_of_date(opened)
    summary = export_benchmark(
        opened,
        to,
        out,
        benchmark=benchmark,
        conversion=conversion,
        workers=workers,
        **length,
    )
    typer.echo(summary)


app.command()(build)
app.command()(score)
app.command()(train)
app.command("test")(measure)
app.command()(evaluate)
app.command()(compare)
app.command()(plant)
app.command()(review)
app.command()(decide)
app.command()(undo)
app.command()(reviews)
app.command()(publish)
app.command()(verify)
app.command()(report)
app.command()(migrate)
app.add_typer(audit, name="audit")


def show_progress() -> None:
    """Our own lines on standard error; standard output is for what was asked."""
    progress = logging.getLogger("voxcurate")
    if not progress.handlers:
        progress.addHandler(logging.StreamHandler())
        progress.setLevel(logging.INFO)
        progress.propagate = False


def main() -> None:
    """Run the command; what is wrong with its input or the disk is a line and exit code 1, or 2 of one that judges.

    Ctrl-C is a line and 130, also where DuckDB heard it, which raises an error of its own.
    """
    message = None
    threading.excepthook = tell_but_of_the_disk
    failed = 2 if any(sys.argv[1 : 1 + len(words)] == words for words in JUDGES) else 1
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            tell_interrupted()
        if end.code == 1 and not isinstance(end.__context__, typer.Exit):  # Typer's own: nobody reads what we say
            end.code = failed
        raise
    except VoxcurateError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'the system'}: {error.strerror or error}"
    except Exception as error:  # noqa: BLE001 - whatever it is: told as Python would, but with our exit code
        if isinstance(error, RuntimeError) and str(error) == "Query interrupted":
            tell_interrupted()
            sys.exit(INTERRUPTED)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(failed)
    if message is not None:
        refuse(message, code=failed)


def tell_interrupted() -> None:
    """In one line, and whether the same command goes on."""
    told = "; ".join(["interrupted", *(GOES_ON[word] for word in sys.argv[1:2] if word in GOES_ON)])
    with suppress(OSError):
        typer.echo(f"\ncurate: {told}", err=True)


def tell_but_of_the_disk(fault: threading.ExceptHookArgs) -> None:
    """What TensorBoard's thread could not write is told by who waits for it, to whom it is raised once more."""
    if not (issubclass(fault.exc_type, OSError) and type(fault.thread).__name__ == "_AsyncWriterThread"):
        threading.__excepthook__(fault)


def refuse(message: str, code: int = 1) -> None:
    """End with one line, and no other: DuckDB's binding counts at the very end what Prefect still holds of an error."""
    with suppress(OSError):  # nobody reads standard error any more: the code says it alone
        typer.echo(f"curate: {' '.join(message.split())}", err=True)
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    sys.exit(code)


if __name__ == "__main__":
    main()
