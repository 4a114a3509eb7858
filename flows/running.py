"""Run a pipeline file to its end: what is told before Prefect is started, and Prefect kept quiet and in its folder."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import CorpusError, VoxcurateError

if TYPE_CHECKING:
    from curate.catalog import Catalog
    from curate.corpora.described import CorpusSettings

ON_AGAIN = "run it again, and it goes on from there"
GUARDS: list[subprocess.Popen[bytes]] = []  # kept: their pipes close when the process ends, not before


def curate_file(pipeline_file: Path, runner: str | None = None) -> str:
    """Run a pipeline file to its end, and say so in one line."""
    from curate.catalog import A_RUN, open_catalog
    from curate.config import load_pipeline
    from curate.describe import require_root
    from curate.scan import require_named
    from curate.schema import UTTERANCES
    from flows import runners
    from flows.cli import show_progress

    show_progress()
    require_no_count(runner)
    pipeline = load_pipeline(pipeline_file)  # the usual slips are told before anything slow is imported or started
    catalog = open_catalog(pipeline.catalog)
    chosen = pipeline.runner if runner is None else runners.chosen(runner, pipeline.runner)
    runners.require(chosen)
    runners.require_device(chosen, pipeline.embedding.device)
    require_each(pipeline.corpora, require_root)
    from flows import embedding, steps

    embedding.require_thresholds(pipeline)
    with catalog.locked(A_RUN):
        known = catalog.parts(UTTERANCES)  # was scanned before, and what was looked into is remembered
        require_each([corpus for corpus in pipeline.corpora if corpus.name not in known], require_named)
        try:
            complete = not catalog.broke_off() and steps.is_complete(pipeline, catalog)
        except CorpusError:
            complete = False  # it stops at the first fault; the flow tells all
        if complete:  # Prefect takes seconds to start: not to find that there is nothing to do
            steps.finish(pipeline, catalog)
            return "\n".join([f"Nothing to do: {catalog.root} is complete.", *told_of(catalog)])
    quiet_prefect(catalog.scratch / "prefect")
    end_children_with_us()
    require_prefect_server()
    from flows.pipeline import run as run_flow

    run_flow(pipeline_file, runner)
    return "\n".join([f"The catalog is complete: {catalog.root}", *told_of(catalog)])


def told_of(catalog: "Catalog") -> list[str]:
    """What is to be known of a catalog that is complete: that nothing is left, which benchmarks are out of date.

    Not within `as_one`: it waits for who replaces tables, such as a `curate build` since the run.
    """
    from flows.building import told_stale

    with catalog.as_one():
        return [*told_empty(catalog), *told_stale(catalog)]


def told_empty(catalog: "Catalog") -> list[str]:
    """A line where every utterance was dropped; none where one is left.

    The exit code is 0 all the same: the run has done what it was asked, its verdicts are published and say why, and the
    next one finds nothing to do. What then asks for utterances, as an export does, says that it lacks them, and fails.
    """
    from curate.explain import nothing_left

    told = nothing_left(catalog)
    return [f"Nothing is left of {told}. `curate why ID` says more of each."] if told else []


def require_no_count(runner: str | None) -> None:
    """Raises VoxcurateError for a runner with a number of workers, as in `threads:4`: that is the section's to say."""
    _, _, number = (runner or "").partition(":")
    if number.isdecimal():
        raise VoxcurateError(
            f"runner {runner!r}: how many workers is not said here; expected the runner alone, and "
            f"`workers = {number}` in `[runner]` of the pipeline file"
        )


def require_each(corpora: Iterable["CorpusSettings"], require: Callable[["CorpusSettings"], None]) -> None:
    """Ask it of every corpus. Raises one CorpusError that tells the faults of all."""
    faults = []
    for corpus in corpora:
        try:
            require(corpus)
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
    os.write(2, f"\ncurate: interrupted; {ON_AGAIN}\n".encode())
    os._exit(130)
