"""Processes of their own that start at once: forked from one that has imported what they need."""

import atexit
import importlib
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = Path(sys.executable).with_name("curate")  # the command as it is installed
OF_A_RUN = (  # what `curate run` comes to import, but for Prefect
    *("flows.cli", "flows.building", "flows.steps", "models.extractors.ge2e", "curate.agreement"),
    *("benchmarks.pair_kernels", "benchmarks.scoring_kernels"),
)


class Forks:
    """A process that has imported modules, and forks others. They have nothing of this one: no threads, no caches."""

    def __init__(self, *modules: str) -> None:
        words = [sys.executable, "-c", "from tests.forked import serve; serve()", *modules]
        self._server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)

    def run(
        self, call: Callable[..., object], *arguments: object, argv: tuple[str, ...] = ("-c",)
    ) -> subprocess.CompletedProcess[str]:
        """Call it in a process that has our folder and environment of now; its exit code, and what it wrote."""
        with tempfile.TemporaryDirectory() as folder:
            written = [Path(folder) / name for name in ("out", "err")]
            job = pickle.dumps((call, arguments))  # found by its name in the process itself, in its environment
            pickle.dump((argv, dict(os.environ), Path.cwd(), written, job), self._server.stdin)
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(argv, code, *(file.read_text(encoding="utf-8") for file in written))

    def end(self) -> None:
        self._server.communicate()


@contextmanager
def forks(*modules: str) -> Iterator[Forks]:
    """Forks of a process that has these modules, imported in the environment of now."""
    started = Forks(*modules)
    try:
        yield started
    finally:
        started.end()


def serve() -> None:
    """Import the modules of our arguments; then fork for each request, and answer with an exit code."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    with os.fdopen(os.dup(1), "w") as answers:
        while True:
            try:
                request = pickle.load(sys.stdin.buffer)
            except EOFError:
                os._exit(0)
            if not (child := os.fork()):
                become(*request)
            answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
            answers.flush()


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
