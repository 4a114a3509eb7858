"""A process that tries damaged files, and says after each what became of it; `__main__` starts it.

    python -m tests.fuzz.trying MODULE [--blind]

It imports a module of subjects, which takes long, and then forks for each request on its standard input: a line of JSON
with the kind of files, how many, a seed and a folder. It answers with lines of JSON, the last of which says how the
fork ended.

With atheris, which is libFuzzer over Python, damage that reaches new code of ours is damaged further; without it, or
`--blind`, every file is a whole one that was damaged. What is about to be tried lies in FOLDER/current: whoever finds
this process hanging or dead finds it there.
"""

import json
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tests.fuzz.damage import damaged
from tests.fuzz.kinds import FAULTY, KINDS

MAX_SECONDS = 10.0  # of a processor, for one file
MAX_GROWTH = 1 << 29  # bytes that are resident for one file, beside what is held before
ADDRESS_SPACE = 3 << 30  # that a process may take beside what it has when it begins: beyond it allocations fail
OURS = ("curate", "benchmarks", "models", "pages", "flows")
COMPILED = ("curate.kernels", "benchmarks.scoring_kernels", "benchmarks.pair_kernels")  # by numba, from their bytecode


class Trying:
    """The subjects of one kind, made below a folder, and the files that were tried."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._current, self._num = folder / "current", 0
        self._subjects = {one.name: one for one in {**KINDS, FAULTY.name: FAULTY}[kind].subjects(folder / "made")}
        self.places = [(one.name, file) for one in self._subjects.values() for file in one.files]

    def whole(self, number: int) -> bytes:
        """One of the files that damage begins with, as `case` has it."""
        name, file = self.places[number % len(self.places)]
        return case(name, file, self._subjects[name].files[file])

    def change(self, data: bytes, rng: np.random.Generator) -> bytes:
        """Another case: of the same file, damaged further; of any file, where this is none."""
        try:
            name, file, content = parts(data)
            known = (name, file) in self.places
        except ValueError:
            known = False
        if not known:
            name, file, content = parts(self.whole(int(rng.integers(len(self.places)))))
        return case(name, file, damaged(content, rng))

    def run(self, data: bytes) -> dict[str, object]:
        """Try one, and say what became of it."""
        name, file, content = parts(data)
        self._current.write_bytes(data)
        self._num += 1
        held = _resident(reset=True)
        started, told, fault = time.process_time(), None, None
        try:
            told = self._subjects[name].told(file, content)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is what is looked for
            fault = f"{type(error).__name__} at {_where(error)}"
            words = "".join(traceback.format_exception(error))
            self._current.with_name(f"traceback-{self._num}").write_text(words, "utf-8", "replace")
        seconds, growth = time.process_time() - started, max(_resident() - held, 0)
        if fault is None and seconds > MAX_SECONDS:
            fault = "hang"
        if fault is None and growth > MAX_GROWTH:
            fault = "memory"
        if fault is not None:
            self._current.with_name(f"fault-{self._num}").write_bytes(data)  # who listens comes later
        return {"number": self._num, "told": told, "fault": fault, "seconds": seconds, "bytes": growth}


def case(name: str, file: str, content: bytes) -> bytes:
    """A damaged file, and of what, as one text of bytes."""
    return f"{name}\n{file}\n".encode() + content


def parts(data: bytes) -> tuple[str, str, bytes]:
    """Subject, file and content. Raises ValueError for what is no case."""
    name, file, content = data.split(b"\n", 2)
    return name.decode(), file.decode(), content


def _where(error: BaseException) -> str:
    """The last place in our own code, which tells faults apart."""
    frames = [
        one for one in traceback.extract_tb(error.__traceback__) if any(f"/{ours}/" in one.filename for ours in OURS)
    ]
    frames = [one for one in frames if "/tests/" not in one.filename and "site-packages" not in one.filename]
    frames = frames or traceback.extract_tb(error.__traceback__)[-1:]
    return f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].name}"


def _resident(*, reset: bool = False) -> int:
    """Bytes that were resident at most since the last reset; after one, those that are."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def main() -> None:
    """Import, then fork for each request and tell its end."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what others print is not for our reader
    warnings.simplefilter("ignore")
    os.fsync = lambda _: None  # what is tried is not the disk
    atheris = None if "--blind" in sys.argv else _atheris()
    with nullcontext() if atheris is None else atheris.instrument_imports(include=list(OURS), exclude=list(COMPILED)):
        import_module(f"tests.fuzz.{sys.argv[1]}")
    for request in sys.stdin:
        if not (child := os.fork()):
            try:
                _try_all(atheris, lines, **json.loads(request))
            except BaseException:  # noqa: BLE001  # a fault of the fuzzer itself
                traceback.print_exc()
            os._exit(3)
        lines.write(json.dumps({"pid": child}) + "\n")
        lines.write(json.dumps({"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}) + "\n")


def _try_all(atheris: Any, lines: TextIO, *, kind: str, num_files: int, seed: int, folder: str) -> None:
    trying = Trying(kind, Path(folder))
    for at in range(len(trying.places)):
        trying.run(trying.whole(at))  # what is loaded at the first use is no file's growth
    lines.write(json.dumps({"ready": True}) + "\n")
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + ADDRESS_SPACE, held + ADDRESS_SPACE))
    num_left = num_files

    def tried(data: bytes) -> None:
        nonlocal num_left
        if data.count(b"\n") < 2:
            return  # libFuzzer's own first try
        lines.write(json.dumps(trying.run(data)) + "\n")
        num_left -= 1
        if not num_left:
            os._exit(0)

    if atheris is None:
        _blindly(trying, seed, tried)
    else:
        _guided(atheris, trying, seed, Path(folder), tried)


def _blindly(trying: Trying, seed: int, tried: Callable[[bytes], None]) -> None:
    number = 0
    while True:
        tried(trying.change(trying.whole(number), np.random.default_rng([seed, number])))
        number += 1


def _guided(atheris: Any, trying: Trying, seed: int, folder: Path, tried: Callable[[bytes], None]) -> None:
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for at in range(len(trying.places)):
        (corpus / f"{at:04}").write_bytes(trying.whole(at))
    words = [
        sys.argv[0],
        str(corpus),
        f"-seed={seed}",
        "-max_len=2000000",
        "-timeout=3600",
        "-rss_limit_mb=0",
        "-verbosity=0",
    ]

    def change(data: bytes, max_size: int, of: int) -> bytes:
        return trying.change(data, np.random.default_rng([seed, of]))[:max_size]

    atheris.Setup(words, tried, custom_mutator=change)
    atheris.Fuzz()


def _atheris() -> Any:
    try:
        import atheris
    except ImportError:
        return None
    return atheris


if __name__ == "__main__":
    main()
