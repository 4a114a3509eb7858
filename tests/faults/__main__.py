"""Try every kind of fault, and print what came of it: `make faults`.

    .venv/bin/python -m tests.faults [--points 40] [--suite crash] [--suite ...]

crash        runs, reviews, a publication, a migration and a training, each killed, cut from power, given full and
             failing disks and a clock that jumps, at moments spread over all that it changes; then begun again
concurrency  two writers, reviewers and readers at once
hostile      links, traps, names and secrets
order        the whole path under other locales, zones, users, threads, ...: the same bytes

Takes half an hour and a machine that does nothing else: Linux 5.9 or later on x86-64, with the corpora in
VOXCURATE_CORPORA. What is tried lies below TMPDIR, whose file system is the one that is tried, and is taken away.

Ends with exit code 1 where anything was lost, doubled, left half-written or told badly, with a line for each, as it is
found, on standard error. The table follows at the end, or when it is interrupted: how many points were tried, at how
many the fault did strike (else the work was done before it came to that point), and after how many nothing was wrong;
then what was found wrong, of which one point may have several.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import CORPORA
from tests.faults import concurrency, crash, hostile
from tests.faults import order as orders
from tests.faults.account import Tried, faults, table
from tests.faults.jobs import Job, Migration, Publication, Reviews, Run, RunAgain, Training
from tests.faults.layer import IS_POSSIBLE
from tests.forked import OF_A_RUN, OF_TRAINING, Forks, forks
from tests.models.training.tones_made import tones
from tests.prefect_shared import serving

SHARES = {"killed": 1.0, "power cut": 0.7, "disk fault": 0.35, "disk full": 0.2, "read-only": 0.1}
OF_PREFECT = ("flows.pipeline", "prefect.flow_engine", "prefect.task_engine")


def main() -> None:
    """Print the table, and say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shares = ", ".join(f"{fault} {share:g}" for fault, share in SHARES.items())
    parser.add_argument(
        "--points",
        type=int,
        default=40,
        help=f"moments of each job to kill it at, and of a run twice that (crash alone; of each: {shares})",
    )
    parser.add_argument("--suite", action="append", choices=list(SUITES), help="only this one; may be given again")
    asked = parser.parse_args()
    names = list(dict.fromkeys(asked.suite or SUITES))
    if "crash" in names and not IS_POSSIBLE:
        parser.error("crash: system calls are held on Linux and x86-64 alone; expected another --suite")
    found: list[Tried] = []
    began = time.monotonic()
    try:
        with loaded() as forked, tempfile.TemporaryDirectory() as place:
            for name in names:
                folder = Path(place) / name
                folder.mkdir()
                for one in SUITES[name](folder, forked, asked.points):
                    found.append(one)
                    for line in faults([one]):
                        print(line, file=sys.stderr, flush=True)  # noqa: T201
    finally:
        print(table(found))  # noqa: T201
        minutes = (time.monotonic() - began) / 60
        print(f"\n{platform.platform()}, {os.cpu_count()} processors, {minutes:.0f} minutes")  # noqa: T201
    sys.exit(0 if found and all(one.survived for one in found) else 1)


@contextmanager
def loaded() -> Iterator[Forks]:
    """Forks of a process that has all loaded, beside a server of Prefect."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
    with serving() as url:
        os.environ["PREFECT_API_URL"] = url
        with forks(*OF_PREFECT, *OF_A_RUN, *OF_TRAINING) as forked:
            yield forked


def crashes(folder: Path, forked: Forks, num: int) -> Iterator[Tried]:
    """Each job, struck by each fault at moments spread over all that it changes."""
    for job in jobs(folder, forked):
        known = crash.undisturbed(job, forked)
        most = 2 * num if job.name == "run" else num
        asked = [
            (fault, at) for fault, share in SHARES.items() for at in crash.points(known, fault, round(share * most))
        ]
        yield from crash.tried(known, forked, asked, at_once=os.cpu_count() or 1)
        yield crash.by_a_clock_that_jumps(known, forked)


def jobs(folder: Path, forked: Forks) -> Iterator[Job]:
    """What is struck; the second and those after it begin from what the first has published."""
    run = Run(CORPORA / "LibriSpeech")
    yield run
    run.begin(folder)
    command = run.command(folder)
    forked.run(command.call, *command.arguments, argv=command.argv).check_returncode()
    published = folder / "catalog"
    yield RunAgain(CORPORA / "LibriSpeech", published)
    yield Reviews(published)
    yield Publication(published)
    yield Migration()
    yield Training(tones(folder))


def order(folder: Path, _forked: Forks, _num: int) -> Iterator[Tried]:
    """The whole path under other locales, zones, threads, ...: the same bytes."""
    yield from orders.tried(folder, CORPORA / "LibriSpeech", full=True)


SUITES: dict[str, Callable[[Path, Forks, int], Iterator[Tried]]] = {
    "crash": crashes,
    "concurrency": lambda folder, forked, _: concurrency.tried(folder, forked, full=True),
    "hostile": lambda folder, forked, _: hostile.tried(folder, forked, full=True),
    "order": order,
}

if __name__ == "__main__":
    main()
