"""Processes of their own that start at once: forked from one that has imported what they need."""

import atexit
import importlib
import os
import pickle
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPT = Path(sys.executable).with_name("curate")  # the command as it is installed
OF_A_RUN = (  # what `curate run` comes to import, but for Prefect
    *("flows.cli", "flows.building", "flows.steps", "models.extractors.ge2e", "curate.agreement"),
    *("benchmarks.pair_kernels", "benchmarks.scoring_kernels"),
)
OF_TRAINING = ("models.training.run", "torch._dynamo", "torch.distributed", "scipy.stats")


class Forks:
    """A process that has imported modules, and forks others. They have nothing of this one: no threads, no caches."""

    def __init__(self, place: Path) -> None:
        """Of the server that listens there; ConnectionError where it has ended."""
        self._place = place
        self._held, hello = self._connected()  # as long as anybody is, the server goes on
        hello.close()

    def _connected(self) -> tuple[socket.socket, Any]:
        connection = socket.socket(socket.AF_UNIX)
        answers = connection.makefile("rb")
        try:
            connection.connect(str(self._place))
            if not answers.readline():
                raise ConnectionResetError(f"{self._place}: the server has ended")
        except ConnectionError:
            answers.close()
            connection.close()
            raise
        return connection, answers

    def start(
        self,
        call: Callable[..., object],
        *arguments: object,
        argv: tuple[str, ...] = ("-c",),
        environment: Mapping[str, str] | None = None,
    ) -> Callable[[], subprocess.CompletedProcess[str]]:
        """Call it in a process that has our folder, and our environment of now with this beside it.

        What is returned waits for its end, and gives its exit code and what it wrote.
        """
        folder = tempfile.TemporaryDirectory()
        written = [Path(folder.name) / name for name in ("out", "err")]
        job = pickle.dumps((call, arguments))  # found by its name in the process itself, in its environment
        connection, answers = self._connected()
        around = dict(os.environ) | dict(environment or {})
        connection.sendall(pickle.dumps((argv, around, Path.cwd(), written, job)))

        def ended() -> subprocess.CompletedProcess[str]:
            with folder, connection, answers:
                code = int(answers.readline())
                return subprocess.CompletedProcess(argv, code, *(file.read_text(encoding="utf-8") for file in written))

        return ended

    def run(
        self, call: Callable[..., object], *arguments: object, argv: tuple[str, ...] = ("-c",)
    ) -> subprocess.CompletedProcess[str]:
        """`start` it, and wait for its end."""
        return self.start(call, *arguments, argv=argv)()

    def end(self) -> None:
        self._held.close()


def serving(place: Path, *modules: str) -> subprocess.Popen[bytes]:
    """A server that listens there, and will have imported these in the environment of now."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(64)
        number = listening.fileno()
        words = [sys.executable, "-c", f"from tests.forked import serve; serve({number})", *modules]
        nothing = subprocess.DEVNULL
        return subprocess.Popen(words, stdin=nothing, stdout=nothing, cwd=ROOT, pass_fds=[number])


@contextmanager
def forks(*modules: str) -> Iterator[Forks]:
    """Forks of a process that has these modules, imported in the environment of now."""
    with tempfile.TemporaryDirectory() as folder, serving(place := Path(folder) / "socket", *modules):
        started = Forks(place)
        try:
            yield started
        finally:
            started.end()


@contextmanager
def shared_forks(once: Callable[[str, Callable[[Path], object]], Path], *modules: str) -> Iterator[Forks]:
    """The same of one process for all of a run of tests: who needs it first starts it, and it ends with the last.

    RuntimeError where the one that was started here has failed: to start others would end the same way.
    """
    started: list[subprocess.Popen[bytes]] = []
    for number in count():
        folder = once(f"forks-{number}", lambda folder: started.append(serving(folder / "socket", *modules)))
        try:
            forked = Forks(folder / "socket")
        except ConnectionError as error:  # whoever used it has done with it
            if any(server.wait() for server in started):
                raise RuntimeError("the process that forks has failed: what it wrote says why") from error
            continue
        break
    try:
        yield forked
    finally:
        forked.end()
        for server in started:
            server.wait()


# ---------------------------------------------------------------------------------------------- the process that forks


def serve(number: int) -> None:
    """Import the modules of our arguments; then fork for each that connects to this socket, and answer with its code.

    Ends when nobody is connected who was.
    """
    for name in sys.argv[1:]:
        importlib.import_module(name)
    with socket.socket(fileno=number) as listening, selectors.DefaultSelector() as asked:
        asked.register(listening, selectors.EVENT_READ)
        was_connected = False
        while not was_connected or len(asked.get_map()) > 1 or asked.select(timeout=0):
            for key, _ in asked.select():
                if key.fileobj is listening:
                    connection, _ = listening.accept()
                    with suppress(ConnectionError):  # who asked may be gone: `begin` finds that out
                        connection.sendall(b"ready\n")
                    asked.register(connection, selectors.EVENT_READ)
                    was_connected = True
                elif key.data is None:
                    begin(asked, key.fileobj)
                else:
                    answer(asked, key.fd, *key.data)


def begin(asked: selectors.BaseSelector, connection: Any) -> None:
    """Fork for the request of a connection, or leave one that was closed, be it in the middle of a word."""
    asked.unregister(connection)
    try:
        with connection.makefile("rb") as requests:
            request = pickle.load(requests)
    except (EOFError, ConnectionError, pickle.UnpicklingError):
        connection.close()
        return
    if not (child := os.fork()):
        become(*request)
    asked.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))


def answer(asked: selectors.BaseSelector, process: int, child: int, connection: socket.socket) -> None:
    """Tell how a child has ended, to whom it was forked for."""
    asked.unregister(process)
    os.close(process)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with connection, suppress(ConnectionError):  # who asked may be gone
        connection.sendall(f"{code}\n".encode())


def become(argv: tuple[str, ...], environment: dict[str, str], folder: Path, written: list[Path], job: bytes) -> None:
    """Carry out a job and end: as Python does, but for taking apart what was imported, which takes a second."""
    for number, file in enumerate((Path(os.devnull), *written)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = list(argv)
    code = carried_out(job)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def carried_out(job: bytes) -> int:
    """The code with which Python would end."""
    try:
        call, arguments = pickle.loads(job)
        call(*arguments)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except Exception:  # noqa: BLE001 - whatever it is: Python would tell it and end so
        traceback.print_exc()
        return 1
    return 0
