"""The command `curate`: each verb opens the catalog, calls one function, reports.

What only reads imports neither torch nor Prefect: those are imported within the verbs that need them.
"""

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.errors import CorpusError, VoxcurateError
from curate.export import FORMS
from flows.audit import audit
from flows.build import build
from flows.evaluate import compare, evaluate
from flows.migrate import migrate
from flows.options import PLACE, CatalogOption
from flows.plant import plant
from flows.publish import publish, verify
from flows.report import report
from flows.review import decide, reviews, undo
from flows.reviewing import review
from flows.score import score
from flows.test import measure
from flows.train import train

if TYPE_CHECKING:
    from curate.config import Pipeline

app = typer.Typer(
    help="From raw speech corpora to a speaker benchmark that can be trusted.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the time to start
    pretty_exceptions_enable=False,
)

GUARDS: list[subprocess.Popen[bytes]] = []  # kept: their pipes close when the process ends, not before


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
    """Curate the corpora of a pipeline file into its catalog; what is complete is not done again.

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
    """Speak three small Vietnamese corpora with planted faults, curate them, say what was found and missed, and train.

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
    """Say what each step last did, and which built benchmarks are no longer what the catalog holds.

    Example: curate status -c catalogs/real
    """
    from curate.catalog import open_catalog
    from curate.query import as_table
    from curate.runs import last_done
    from flows.building import told_stale

    opened = open_catalog(catalog)
    with opened.as_one():
        done, stale = last_done(opened), told_stale(opened)
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
    typer.echo("\n".join([table, *stale]))


@app.command()
def corpora(
    reader: Annotated[str | None, typer.Argument(help="Tell all about this one: layout, terms, keys.")] = None,
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", "-c", help="Say what the corpora of this catalog were found to tell.", **PLACE),
    ] = None,
    archives: Annotated[Path | None, typer.Option(help="Hold downloaded archives against published checksums.")] = None,
) -> None:
    """Say which corpora can be read, and what each can tell of sex, age, session, transcript and licence.

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
    catalog: Annotated[Path, typer.Argument(help="The catalog.", **PLACE)],
    out: Annotated[
        Path, typer.Argument(help="Where to write, on this machine; must not be there, or be empty.", **PLACE)
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
    """Write a benchmark in the form that another tool reads: what was kept, under the people found, with its splits.

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


def curate_file(pipeline_file: Path, runner: str | None = None) -> str:
    """Run a pipeline file to its end, and say so in one line."""
    from curate.catalog import A_RUN, open_catalog
    from curate.config import load_pipeline
    from flows import runners

    show_progress()
    require_no_count(runner)
    pipeline = load_pipeline(pipeline_file)  # the usual slips are told before anything slow is imported or started
    catalog = open_catalog(pipeline.catalog)
    chosen = pipeline.runner if runner is None else runners.chosen(runner, pipeline.runner)
    runners.require(chosen)
    runners.require_device(chosen, pipeline.embedding.device)
    require_roots(pipeline)
    from flows import building, embedding, steps

    embedding.require_thresholds(pipeline)
    with catalog.locked(A_RUN):
        try:
            complete = not catalog.broke_off() and steps.is_complete(pipeline, catalog)
        except CorpusError:
            complete = False  # it stops at the first fault; the flow tells all
        if complete:  # Prefect takes seconds to start: not to find that there is nothing to do
            steps.finish(pipeline, catalog)
            return "\n".join([f"Nothing to do: {catalog.root} is complete.", *building.told_stale(catalog)])
    quiet_prefect(catalog.scratch / "prefect")
    end_children_with_us()
    require_prefect_server()
    from flows.pipeline import run as run_flow

    run_flow(pipeline_file, runner)
    return "\n".join([f"The catalog is complete: {catalog.root}", *building.told_stale(catalog)])


def require_no_count(runner: str | None) -> None:
    """Raises VoxcurateError for a runner with a number of workers, as in `threads:4`: that is the section's to say."""
    _, _, number = (runner or "").partition(":")
    if number.isdecimal():
        raise VoxcurateError(
            f"runner {runner!r}: how many workers is not said here; expected the runner alone, and "
            f"`workers = {number}` in `[runner]` of the pipeline file"
        )


def require_roots(pipeline: "Pipeline") -> None:
    """Raises CorpusError naming every corpus that is not there at all."""
    from curate.describe import require_root

    faults = []
    for corpus in pipeline.corpora:
        try:
            require_root(corpus)
        except CorpusError as error:
            faults.append(str(error))
    if faults:
        raise CorpusError("; ".join(faults))


def require_prefect_server() -> None:
    """Raises VoxcurateError where Prefect's settings name a server and none answers there."""
    from httpx import TransportError
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return  # Prefect starts a server of its own
    with get_client(sync_client=True) as client:
        failure = client.api_healthcheck()
    if isinstance(failure, TransportError):
        raise VoxcurateError(
            f"PREFECT_API_URL {url}: no Prefect server answers; expected one there, or the variable unset"
        )


def show_progress() -> None:
    """Our own lines on standard error; standard output is for what was asked."""
    progress = logging.getLogger("voxcurate")
    if not progress.handlers:
        progress.addHandler(logging.StreamHandler())
        progress.setLevel(logging.INFO)
        progress.propagate = False


def quiet_prefect(home: Path) -> None:
    """Prefect's files in this folder, nothing sent, and our lines in place of its log.

    Prefect reads these settings when it is imported, and wants its folder to be there.
    """
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")  # its 20 s fail a busy machine
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")  # what it could not record at its end


def end_children_with_us() -> None:
    """Have Prefect's server and a local cluster end with this process at any moment, also if it is killed.

    A shell waits at the end of a pipe that closes when we are no more, and then ends whatever carries our mark in its
    environment, or logs to a Ray session of ours: Ray's agents write over their environment. It reads /proc; without
    one, a killed run leaves them behind. Ctrl-C reaches all of them: the shell does not hear it.
    """
    us = os.getpid()
    marked = f"grep -qs 'VOXCURATE_RUN={us}$' -z $p/environ"
    of_ray = f"[ $p != /proc/{us} ] && ls -l $p/fd | grep -q '/session_[^/]*_{us}/logs/'"  # the pipe closes before us
    end = f"if {marked}; then kill ${{p#/proc/}}; elif {of_ray}; then kill -9 ${{p#/proc/}}; fi"
    ending = f"read _; for p in /proc/[0-9]*; do {end}; done"
    guard = subprocess.Popen(
        ["sh", "-c", ending], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    GUARDS.append(guard)
    os.environ["VOXCURATE_RUN"] = str(us)  # after the shell has started: it shall not end itself
    signal.signal(signal.SIGINT, end_at_once)


def end_at_once(_signal: int, _frame: object) -> None:
    """Ctrl-C is a kill, which loses no more than what is being computed: Prefect would try for a minute to tell it.

    Its server has heard the Ctrl-C as well, and answers no more.
    """
    os.write(2, b"\ncurate: interrupted; run it again, and it goes on from there\n")
    os._exit(130)


def main() -> None:
    """Run the command; a fault in what we were given, or of the disk, is one line and exit code 1."""
    message = None
    threading.excepthook = tell_but_of_the_disk
    try:
        app()
    except VoxcurateError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'the system'}: {error.strerror or error}"
    if message is not None:
        refuse(message)


def tell_but_of_the_disk(fault: threading.ExceptHookArgs) -> None:
    """A disk that a thread could not write to is told by who waits for it: TensorBoard's writer raises it once more."""
    if not issubclass(fault.exc_type, OSError):
        threading.__excepthook__(fault)


def refuse(message: str) -> None:
    """End with one line, and no other: DuckDB's binding counts at the very end what Prefect still holds of an error."""
    typer.echo(f"curate: {' '.join(message.split())}", err=True)
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    sys.exit(1)


if __name__ == "__main__":
    main()
