"""Fuzz everything that reads a user's bytes, for so many files and minutes; findings are kept, and end with code 1.

    python -m tests.fuzz [KIND ...] [--files 20000] [--minutes 10] [--seed 1] [--blind] [--out build/fuzz]

Each kind is tried in processes of its own, which may hang, die or be out of memory: that is a finding, too. Minutes are
shared as files are, but a kind has 15 seconds at least. With atheris, and without --blind, damage that reaches new code
is damaged further; else every file is a whole one that was damaged. Needs Linux.

What is found lies in OUT/<kind>/<fault>: the file, what it was the file of, and the traceback. build/fuzz is emptied
first; any other OUT must be new.
"""

import argparse
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.kinds import FAULTY
from tests.fuzz.kinds import KINDS as USUAL
from tests.fuzz.trying import parts

OUT = Path("build/fuzz")
START_S = 180.0  # to import, and to make what is damaged
KINDS = {**USUAL, FAULTY.name: FAULTY}
MAX_IDLE = 9  # processes after one another that die at their first file
KEPT = 2  # files of one fault
HEAD = (
    "kind",
    "files",
    "told in one line",
    "read all the same",
    "tracebacks",
    "hangs",
    "deaths",
    "memory",
    "most s",
    "most MB",
)


@dataclass
class Account:
    """What became of the files of one kind."""

    kind: str
    num: int = 0
    num_told: int = 0
    num_read: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    bytes: int = 0

    def take(self, said: dict) -> None:
        """Of one more file."""
        self.num += 1
        self.num_told += said["fault"] is None and said["told"] is not None
        self.num_read += said["fault"] is None and said["told"] is None
        self.seconds, self.bytes = max(self.seconds, said["seconds"]), max(self.bytes, said["bytes"])

    def row(self) -> tuple[str, ...]:
        """As the table has it."""
        of = {
            name: sum(num for fault, num in self.faults.items() if fault.startswith(name))
            for name in ("hang", "death", "memory")
        }
        others = sum(self.faults.values()) - sum(of.values())
        counts = (self.num, self.num_told, self.num_read, others, *of.values())
        return (self.kind, *(f"{one:,}" for one in counts), f"{self.seconds:.1f}", f"{self.bytes / 2**20:.0f}")


def main() -> int:
    """Fuzz, and print the table; 1 where anything was found."""
    asked = _asked()
    names = asked.kinds or list(USUAL)
    ends = time.monotonic() + 60 * asked.minutes
    total = sum(KINDS[name].share for name in names)
    accounts, forking, module, planned = [], None, "", 0
    shutil.rmtree(asked.out, ignore_errors=True)
    asked.out.mkdir(parents=True)
    for at, name in enumerate(names):
        kind = KINDS[name]
        if forking is None or module != kind.module:
            if forking is not None:
                forking.end()
            module = kind.module
            forking = Forking(module, asked.out / f"{module}.log", blind=asked.blind)
        left = ends - time.monotonic()
        of_rest = kind.share / sum(KINDS[one].share for one in names[at:])
        seconds = max(min(left, 2 * left * of_rest), 15.0)  # what one saves, the next may take
        num_files = max(round(asked.files * kind.share / total), 1)
        planned += num_files
        accounts.append(fuzz(name, num_files, seconds, 1_000 * asked.seed, forking, asked))
        sys.stdout.write(
            "  ".join(cell.ljust(18) if at == 0 else cell.rjust(8) for at, cell in enumerate(accounts[-1].row())) + "\n"
        )
        sys.stdout.flush()
    forking.end()
    sys.stdout.write("\n" + table(accounts) + "\n")
    if (num := sum(one.num for one in accounts)) < planned:
        sys.stdout.write(f"{num:,} of {planned:,} files: there was no time for more\n")
    found = [f"{one.kind}: {fault} ({num})" for one in accounts for fault, num in one.faults.items()]
    sys.stdout.write("\n".join([*found, f"findings lie in {asked.out}" if found else "nothing was found"]) + "\n")
    return bool(found)


def _asked() -> argparse.Namespace:
    words = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("kinds", nargs="*", metavar="KIND", help=f"all, where none is said: {', '.join(USUAL)}")
    words.add_argument("--files", type=int, default=20_000, help="of all kinds together: 20,000")
    words.add_argument("--minutes", type=float, default=10.0, help="10")
    words.add_argument("--seed", type=int, default=1, help="1; the same files again, with --blind")
    words.add_argument("--wait-s", type=float, default=30.0, help="30, for one file; a processor has 10 s for it")
    words.add_argument("--blind", action="store_true", help="without atheris")
    words.add_argument("--out", type=Path, default=OUT, help=f"for what is found: {OUT}")
    asked = words.parse_args()
    if unknown := [one for one in asked.kinds if one not in KINDS]:
        words.error(f"{unknown[0]!r}: no such kind; expected any of {', '.join(KINDS)}")
    if asked.out != OUT and asked.out.exists():
        words.error(f"{asked.out}: exists already; expected a new folder")
    return asked


class Forking:
    """A process of `trying` that has imported one module of subjects."""

    def __init__(self, module: str, errors: Path, *, blind: bool) -> None:
        words = [sys.executable, "-m", "tests.fuzz.trying", module, *(["--blind"] if blind else [])]
        with errors.open("wb") as told:
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told)
        self._held, self._waiting = b"", selectors.DefaultSelector()
        self._waiting.register(self._process.stdout, selectors.EVENT_READ)

    def ask(self, **request: object) -> None:
        """To try files of a kind."""
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def said(self, wait_s: float) -> dict | None:
        """The next line; None where nothing was said for so long. EOFError where the process has ended."""
        while b"\n" not in self._held:
            if not self._waiting.select(wait_s):
                return None
            if not (some := os.read(self._process.stdout.fileno(), 1 << 16)):
                raise EOFError("the process that imports has ended")
            self._held += some
        line, _, self._held = self._held.partition(b"\n")
        return json.loads(line)

    def end(self) -> None:
        """Ask nothing more, and wait for the end."""
        self._process.stdin.close()
        self._process.wait()
        self._waiting.close()
        self._process.stdout.close()


def fuzz(kind: str, num_files: int, seconds: float, seed: int, forking: Forking, asked: argparse.Namespace) -> Account:
    """So many files of one kind, or as many as there is time for; after a hang or a death another process goes on."""
    account, ends, memory = Account(kind), time.monotonic() + seconds, Path("/dev/shm")
    num_idle = 0
    while account.num < num_files and time.monotonic() < ends and num_idle < MAX_IDLE:
        seed, before = seed + 1, account.num
        with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
            forking.ask(kind=kind, num_files=num_files - account.num, seed=seed, folder=folder)
            _listen(account, forking, Path(folder), ends, asked)
        num_idle = 0 if account.num > before + 1 else num_idle + 1
    return account


def _listen(account: Account, forking: Forking, folder: Path, ends: float, asked: argparse.Namespace) -> None:
    """To one process, until it has tried its files, hangs, dies, or there is no more time."""
    child, wait_s, is_ended_by_us = 0, START_S, False
    while True:
        said = forking.said(min(wait_s, max(ends - time.monotonic(), 0.1)) if not is_ended_by_us else START_S)
        if said is None or (time.monotonic() > ends and "ended" not in said and not is_ended_by_us):
            if said is None and time.monotonic() < ends:
                account.take({"fault": "hang", "told": None, "seconds": asked.wait_s, "bytes": 0})
                _keep(account, "hang", folder / "current", asked.out)
            if not child:
                raise RuntimeError(f"{account.kind}: the process that imports does not answer; its log says why")
            os.kill(child, signal.SIGKILL)
            is_ended_by_us = True
        elif "pid" in said:
            child = said["pid"]
        elif "ready" in said:
            wait_s = asked.wait_s
        elif "ended" in said:
            if said["ended"] and not is_ended_by_us:
                code = said["ended"]
                account.take({"fault": "death", "told": None, "seconds": 0.0, "bytes": 0})
                _keep(
                    account,
                    f"death ({signal.Signals(-code).name if code < 0 else code})",
                    folder / "current",
                    asked.out,
                )
            return
        else:
            account.take(said)
            if said["fault"]:
                _keep(account, str(said["fault"]), folder / f"fault-{said['number']}", asked.out)


def _keep(account: Account, fault: str, held: Path, out: Path) -> None:
    """The file, and the traceback beside it, of the first of each fault."""
    account.faults[fault] += 1
    if account.faults[fault] > KEPT or not held.exists():
        return
    subject, file, content = parts(held.read_bytes())
    name = re.sub(r"[^\w.-]+", "-", f"{fault}-{account.faults[fault]}")[:100]
    place = out / account.kind.replace(" ", "-") / name
    place.mkdir(parents=True, exist_ok=True)
    (place / Path(file).name).write_bytes(content)
    (place / "about").write_text(f"{subject}\n{file}\n{fault}\n", encoding="utf-8")
    words = held.with_name(held.name.replace("fault", "traceback"))
    if words != held and words.exists():
        shutil.copyfile(words, place / "traceback")


def table(accounts: list[Account]) -> str:
    """As Markdown, with a row for all."""
    whole = Account("all")
    for one in accounts:
        whole.num, whole.num_told, whole.num_read = (
            whole.num + one.num,
            whole.num_told + one.num_told,
            whole.num_read + one.num_read,
        )
        whole.faults += one.faults
        whole.seconds, whole.bytes = max(whole.seconds, one.seconds), max(whole.bytes, one.bytes)
    rows = [HEAD, tuple("---" for _ in HEAD), *(one.row() for one in (*accounts, whole))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
