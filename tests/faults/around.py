"""Where a run may find itself: another locale, time zone, order of folders, number of cores, machine, user or day."""

import locale
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

Listing = Literal["sorted", "reversed", "shuffled"]
HOMES = "homes"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run is not told by its settings, and must not depend on."""

    zone: str = "Pacific/Pago_Pago"  # with Kiritimati, two days at any moment: a local date cannot be the same
    locale: str = "C.UTF-8"
    hash_seed: str = "0"
    listing: Listing = "sorted"
    cores: int = 1  # that we may use, and threads that torch, BLAS, numba, DuckDB and pyarrow take
    workers: int = 1
    umask: int = 0o022
    days: int = 0  # later
    machine: str = "one"
    user: str = ""  # the one that we are, or another with a home of his own

    def environment(self, folder: Path) -> dict[str, str]:
        """What a process is born with; another user's home is in that folder."""
        threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        around = {"TZ": self.zone, "LC_ALL": self.locale, "PYTHONHASHSEED": self.hash_seed}
        around |= dict.fromkeys(threads, str(self.cores))
        if self.user:
            home = folder / HOMES / self.user
            around |= {
                "HOME": str(home),
                "XDG_CACHE_HOME": str(home / "cache"),
                "USER": self.user,
                "LOGNAME": self.user,
            }
        return around

    def enter(self) -> None:
        """Make of this process, before it has imported anything of ours, one of these surroundings."""
        time.tzset()
        os.umask(self.umask)
        ours = sorted(os.sched_getaffinity(0))[: self.cores]
        os.sched_setaffinity(0, ours)
        _take_locale()
        _list_in_order(self.listing)
        socket.gethostname = lambda: self.machine
        socket.getfqdn = lambda name="": f"{self.machine}.example"
        _take_threads(self.cores)
        _be_later(self.days)


def _take_locale() -> None:
    """As a program does that honours its user's, and some libraries behind its back.

    Where the machine does not have it, as much of it as Python asks for by itself: a decimal comma.
    """
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        usual = locale.localeconv()
        locale.localeconv = lambda: {**usual, "decimal_point": ",", "thousands_sep": ".", "grouping": [3, 3, 0]}


class _Entries:
    """What `os.scandir` gives, in another order."""

    def __init__(self, entries: list[os.DirEntry[Any]]):
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[Any]]:
        return self._entries

    def __next__(self) -> os.DirEntry[Any]:
        return next(self._entries)

    def __enter__(self) -> "_Entries":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


def _list_in_order(listing: Listing) -> None:
    """Have folders list what they hold in this order; pathlib, glob, shutil and fsspec ask these two functions."""
    listdir, scandir = os.listdir, os.scandir

    def ordered(found: list[Any], name: Callable[[Any], Any]) -> list[Any]:
        found.sort(key=name, reverse=listing == "reversed")
        if listing == "shuffled":
            random.Random(len(found)).shuffle(found)
        return found

    def list_folder(path: Any = ".") -> list[Any]:
        return ordered(listdir(path), lambda name: name)

    def scan_folder(path: Any = ".") -> _Entries:
        with scandir(path) as found:
            return _Entries(ordered(list(found), lambda entry: entry.name))

    os.listdir, os.scandir = list_folder, scan_folder  # type: ignore[assignment]


def _take_threads(cores: int) -> None:
    """Also where a library counts the cores of the machine, in place of those that we may use."""
    import duckdb
    import pyarrow as pa

    os.cpu_count = lambda: cores
    pa.set_cpu_count(cores)
    pa.set_io_thread_count(cores)
    connect = duckdb.connect

    def connected(*arguments: Any, **settings: Any) -> Any:
        connection = connect(*arguments, **settings)
        connection.execute(f"SET threads = {cores}")
        return connection

    duckdb.connect = connected


def _be_later(days: int) -> None:
    """The one clock that the catalog has: when a step was done."""
    import curate.runs

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            assert tz is UTC, "a moment without a time zone"
            return datetime.now(tz) + timedelta(days=days)

    curate.runs.datetime = Later  # type: ignore[misc]
