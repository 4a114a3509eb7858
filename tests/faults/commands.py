"""Commands of ours in forked processes, which can be held at a point until something else has happened."""

import importlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.catalog import Catalog
from curate.schema import TABLES
from tests.forked import SCRIPT, Forks

Done = subprocess.CompletedProcess[str]
PATIENCE_S = 300.0  # for who never comes
NEVER = "never came"


def start(forks: Forks, *words: object, environment: Mapping[str, str] | None = None) -> Callable[[], Done]:
    """`curate` with these words; what is returned waits for its end."""
    return forks.start(carried_out, argv=(str(SCRIPT), *map(str, words)), environment=environment)


def curate(forks: Forks, *words: object, environment: Mapping[str, str] | None = None) -> Done:
    """The same to its end."""
    return start(forks, *words, environment=environment)()


def carried_out() -> None:
    from flows.cli import main

    main()


class Held:
    """A process that has come to a point, and stays there until it is let go or killed."""

    def __init__(self, connection: socket.socket, ended: Callable[[], Done]) -> None:
        self.said = connection.recv(1 << 16).decode()
        self.process, self._connection, self._ended = int(self.said.split()[0]), connection, ended

    def go_on(self) -> Done:
        """Let it go, and wait for its end."""
        self._connection.close()
        return self._ended()

    def kill(self) -> Done:
        os.kill(self.process, signal.SIGKILL)
        return self.go_on()


@contextmanager
def gate() -> Iterator[tuple[Path, socket.socket]]:
    """A place that a process connects to when it has come to its point."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        place = Path(folder) / "gate"
        listening.bind(str(place))
        listening.listen(64)
        listening.settimeout(PATIENCE_S)
        yield place, listening


def held(forks: Forks, where: str, *words: object, which: int = 1) -> Held:
    """`curate` with these words, held before its so manieth call of `where`, such as curate.catalog:Catalog.publish.

    RuntimeError where it has ended before that.
    """
    with gate() as (place, listening):
        argv = (str(SCRIPT), *map(str, words))
        ended = forks.start(come_to_the_gate, where, which, place, argv=argv)
        connection, _ = listening.accept()
        connection.settimeout(PATIENCE_S)
        one = Held(connection, ended)
    if one.said.endswith(NEVER):
        raise RuntimeError(f"{words[0]} has ended without call {which} of {where}: {one.go_on().stderr[-500:]}")
    return one


def come_to_the_gate(where: str, which: int, place: Path) -> None:
    module, _, name = where.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for one in outer:
        owner = getattr(owner, one)
    real, calls = getattr(owner, last), 0

    def waits(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == which:
            wait_at(place)
        return real(*arguments, **named)

    setattr(owner, last, waits)
    try:
        carried_out()
    finally:
        if calls < which:
            wait_at(place, NEVER)


def wait_at(place: Path, said: str = "") -> None:
    """Say our number there, and wait until whoever listens has closed."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place))
        connection.send(f"{os.getpid()} {said}".encode())
        connection.recv(1)


def told_badly(done: Done, *, refused: bool, says: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What is wrong with how a command has ended: a refusal is exit code 1 and one line, which holds these words."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("curate: ")]
    command = " ".join(Path(word).name for word in done.args[1:4])
    found = []
    if done.returncode != int(refused):
        found.append(f"{command}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    if "Traceback" in done.stderr + done.stdout:
        found.append(f"{command}: a traceback: {done.stderr.strip()[-300:]}")
    if refused and len(lines) != 1:
        found.append(f"{command}: {len(lines)} lines of refusal; expected one: {done.stderr.strip()[-300:]}")
    found += [f"{command}: {word!r} is not in {' '.join(lines)[-300:]}" for word in says if word not in " ".join(lines)]
    return tuple(found)


def contents(root: Path, *, without: tuple[str, ...] = ("runs",)) -> dict[str, bytes]:
    """The bytes of every part, list and card of a catalog; of `runs`, which knows the time, none."""
    catalog, tables = Catalog(root), [table for table in TABLES.values() if table.name not in without]
    files = [catalog.path(table, part) for table in tables for part in catalog.parts(table)]
    files += [path for path in sorted(root.glob("benchmarks/**/*")) + sorted(root.glob("lists/*")) if path.is_file()]
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def copied(root: Path, to: Path) -> Path:
    """A copy of a catalog, to be written into."""
    shutil.copytree(root, to, symlinks=True)
    return to
