"""Strike a job at one of the changes that it makes, begin it again, and compare it with one that nothing struck."""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from curate.errors import VoxcurateError
from tests.faults.account import Tried
from tests.faults.clock import by_a_jumping_clock
from tests.faults.jobs import Job, Left
from tests.faults.layer import Change, Ended, Strike, watched
from tests.forked import Forks

FULL = frozenset({"write", "truncate", "create", "empty", "mkdir", "link"})  # what takes up room
FAULTS = {
    "killed": Strike(kills=True),
    "power cut": Strike(cuts_power=True),
    "disk full": Strike(fails_with=errno.ENOSPC, lasts=True, only=FULL),
    "disk fault": Strike(fails_with=errno.EIO),
    "read-only": Strike(fails_with=errno.EROFS, lasts=True),
}
CANNOT_BE_READ = (OSError, ValueError, KeyError, pa.ArrowException, duckdb.Error, VoxcurateError)


@dataclass(frozen=True)
class Undisturbed:
    """A job that nothing struck: what was there before and after, and what it changed on the way."""

    job: Job
    before: Left
    after: Left
    changes: Sequence[Change]


def undisturbed(job: Job, forked: Forks) -> Undisturbed:
    """Do it once, and see that it leaves nothing to do. AssertionError where it fails by itself."""
    with tempfile.TemporaryDirectory() as place:
        folder = _begun(job, Path(place))
        before, command = job.left(folder), job.command(folder)
        ended = watched(forked, folder, Strike(), command.call, *command.arguments, argv=command.argv)
        assert ended.code == 0, ended.err
        return Undisturbed(job, before, job.left(folder), ended.changes)


def points(known: Undisturbed, fault: str, num: int) -> list[int]:
    """So many of the changes that this fault can strike, evenly spread; all, where there are fewer.

    A power cut also strikes when all is done, after the last of them.
    """
    at = _can_strike(known, fault)
    chosen = np.unique(np.linspace(0, len(at) - 1, min(num, len(at))).round().astype(int))
    return [at[place] for place in chosen]


def point_at(known: Undisturbed, fault: str, share: float) -> int:
    """The change when this share (0-1) of all is done that this fault can strike."""
    at = _can_strike(known, fault)
    return at[round(share * (len(at) - 1))]


def _can_strike(known: Undisturbed, fault: str) -> list[int]:
    only = FAULTS[fault].only
    at = [number for number, change in enumerate(known.changes) if only is None or change.call in only]
    return [*at, len(known.changes)] if fault == "power cut" else at


def tried(known: Undisturbed, forked: Forks, asked: Iterable[tuple[str, int]], *, at_once: int = 1) -> Iterator[Tried]:
    """Strike with each of these faults at the change of that number, several at once."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda one: struck(known, forked, *one), asked)


def struck(known: Undisturbed, forked: Forks, fault: str, number: int) -> Tried:
    """Strike once, begin again, and say what is wrong."""
    job = known.job
    with tempfile.TemporaryDirectory() as place:
        folder = _begun(job, Path(place))
        command = job.command(folder)
        strike = replace(FAULTS[fault], at=number)
        ended = watched(forked, folder, strike, command.call, *command.arguments, argv=command.argv)
        wrong = _wrong_after(known, folder, ended, fault)
        finished = job.blocks(folder)
        if ended.code:
            again = forked.run(command.call, *command.arguments, argv=command.argv)
            if again.returncode and not job.is_done(again.stderr):
                wrong["untold"].append(f"begun again it ended with {again.returncode}: {_last_line(again.stderr)}")
        now = job.blocks(folder)
        wrong["doubled"] += [f"{name} was made again" for name, at in finished.items() if now.get(name) != at]
        _hold(known, folder, wrong)
    where = known.changes[number] if number < len(known.changes) else None
    return Tried(
        suite="crash",
        during=job.during(where) if where else job.name,
        fault=fault,
        point=f"{number}: {where or 'the end'}",
        has_struck=ended.was_struck or where is None,
        **{kind: tuple(found) for kind, found in wrong.items()},
    )


def by_a_clock_that_jumps(known: Undisturbed, forked: Forks) -> Tried:
    """The job by a clock that jumps at each look, twice over: what it leaves is what it leaves by a good one."""
    job = known.job
    wrong: dict[str, list[str]] = {"lost": [], "doubled": [], "half_written": [], "untold": []}
    with tempfile.TemporaryDirectory() as place:
        folder = _begun(job, Path(place))
        command = job.command(folder)
        for _ in range(2):
            ended = forked.run(by_a_jumping_clock, command.call, command.arguments, argv=command.argv)
            if ended.returncode and not job.is_done(ended.stderr):
                wrong["untold"].append(f"exit code {ended.returncode}: {_last_line(ended.stderr)}")
        _hold(known, folder, wrong)
    found = {kind: tuple(what) for kind, what in wrong.items()}
    return Tried(suite="crash", during=job.name, fault="clock jumps", point="each look at it", **found)


def _begun(job: Job, place: Path) -> Path:
    folder = place / "work"
    folder.mkdir()
    job.begin(folder)
    return folder


def _wrong_after(known: Undisturbed, folder: Path, ended: Ended, fault: str) -> dict[str, list[str]]:
    """What is wrong of what a fault left, before anything is begun again."""
    wrong: dict[str, list[str]] = {"lost": [], "doubled": [], "half_written": [], "untold": []}
    if fault not in ("killed", "power cut") and ended.code:
        wrong["untold"] += _told_badly(ended)
    try:
        left = known.job.left(folder)
    except CANNOT_BE_READ as error:
        wrong["half_written"].append(f"{type(error).__name__}: {error}")
        return wrong
    for name, content in left.items():
        may_be = (known.before.get(name), known.after.get(name))
        if name in known.after and content not in may_be and not known.job.may_be(name, content):
            wrong["half_written"].append(name)
    kept = known.job.acknowledged(ended.out) | (set(known.before) & set(known.after))
    if not ended.code:
        kept = set(known.after)
    wrong["lost"] += sorted(kept - set(left))
    return wrong


def _hold(known: Undisturbed, folder: Path, wrong: dict[str, list[str]]) -> None:
    """Hold what is there in the end against what the undisturbed job left."""
    try:
        left = known.job.left(folder)
    except CANNOT_BE_READ as error:
        wrong["half_written"].append(f"in the end: {type(error).__name__}: {error}")
        return
    for name, content in known.after.items():
        if name not in left:
            wrong["lost"].append(f"{name}, in the end")
        elif left[name] != content:
            wrong["lost"].append(f"{name} is another in the end")
    for name in sorted(set(left) - set(known.after)):
        wrong["doubled" if name.endswith(" again") else "half_written"].append(f"{name} is left over")


def _told_badly(ended: Ended) -> list[str]:
    """A fault of the disk is one line that says which, and exit code 1."""
    words = [os.strerror(code) for code in (errno.ENOSPC, errno.EIO, errno.EROFS)]
    words += [
        "disk I/O error",
        "disk is full",
        "fsync failed",
        "readonly database",
        "unable to open database file",
    ]  # as SQLite and DuckDB say it
    if "Traceback" in ended.err or ended.code != 1:
        return [f"exit code {ended.code}: {ended.err.strip()[-300:]}"]
    return [] if any(word in _last_line(ended.err) for word in words) else [f"unclear: {_last_line(ended.err)}"]


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2][:300]
