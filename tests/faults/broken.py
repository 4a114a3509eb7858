"""Break what a promise rests on, in a copy of the project, and see that the test which holds the promise fails.

    .venv/bin/python -m tests.faults.broken [--only 3]

First sees that these tests pass where nothing is broken: else to fail would say nothing. Then prints a table for the
log, and ends with exit code 1 where a test passes all the same. Takes minutes. See `docs/promises.md`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CORPORA

ROOT = Path(__file__).parents[2]
RUNS, OTHERS = "tests/faults/test_crash_of_runs.py", "tests/faults/test_crash_of_others.py"
AT_ONCE = "tests/faults/test_concurrency.py"
TWO_AT_ONCE = f"{AT_ONCE}::test_two_at_once_never_mix_and_what_is_acknowledged_is_kept"
STRUCK = f"{OTHERS}::test_a_job_that_is_struck_and_begun_again_ends_as_if_nothing_had_been"


@dataclass(frozen=True)
class Break:
    """One change of the code that takes a mechanism away, and the test that must see it."""

    promise: int
    what: str
    file: str
    text: str
    by: str
    test: str


BREAKS = [
    Break(
        1,
        "what is written is not synced",
        "curate/whole.py",
        "            os.fsync(file.fileno())\n",
        "",
        f"{STRUCK}[review-power cut-0.35]",
    ),
    Break(
        1,
        "a rename is not synced",
        "curate/whole.py",
        "    aside.replace(path)\n    sync(path.parent)\n",
        "    aside.replace(path)\n",
        f"{STRUCK}[review-power cut-1.0]",
    ),
    Break(
        1,
        "written in its place, not aside",
        "curate/whole.py",
        'place.with_name(place.name + (".new" if alone else f".{uuid.uuid4().hex}.new"))',
        "place",
        f"{STRUCK}[review-killed-0.57]",
    ),
    Break(
        1,
        "who reads does not wait for who replaces",
        "curate/turns.py",
        "        _hold(publishing, fcntl.LOCK_SH)\n        require_whole(root)\n",
        "",
        f"{AT_ONCE}::test_who_comes_to_read_while_tables_are_replaced_waits_and_then_reads_the_new_ones",
    ),
    Break(
        1,
        "two may write at once",
        "curate/turns.py",
        "            _hold(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n        except",
        "            pass\n        except",
        TWO_AT_ONCE,
    ),
    Break(
        2,
        "a finished block is taken for half of one",
        "curate/blocks.py",
        "if not _is_whole(file)",
        "if True",
        f"{RUNS}::test_a_run_that_is_struck_and_begun_again_ends_as_if_nothing_had_been[killed-0.45]",
    ),
    Break(
        3,
        "two processes of a reviewer do not take turns",
        "curate/reviews.py",
        "        fcntl.flock(file, fcntl.LOCK_EX)\n",
        "",
        TWO_AT_ONCE,
    ),
    Break(
        4,
        "files are taken in the order of the file system",
        "flows/publishing.py",
        'sorted(folder.rglob("*.parquet"))',
        'folder.rglob("*.parquet")',
        "tests/faults/test_order.py::test_the_whole_path_gives_the_same_bytes_where_all_around_it_is_another",
    ),
    Break(
        5,
        "numbers of thousands of digits are not foreseen",
        "curate/config.py",
        "except (ValueError, RecursionError) as error:",
        "except tomllib.TOMLDecodeError as error:",
        "tests/fuzz/test_found.py",
    ),
    Break(
        6,
        "links in a catalog are followed",
        "curate/whole.py",
        "flags | os.O_NOFOLLOW",
        "flags",
        "tests/faults/test_hostile.py::test_bad_input_costs_a_line_and_touches_nothing_elsewhere",
    ),
    Break(
        6,
        "a pickle is opened as one",
        "models/angular_prototypical/key_map.py",
        "weights_only=True",
        "weights_only=False",
        "tests/faults/test_hostile.py::test_bad_input_costs_a_line_and_touches_nothing_elsewhere",
    ),
]


def main() -> None:
    """A row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, help="of this promise alone")
    asked = parser.parse_args()
    chosen = [one for one in BREAKS if asked.only in (None, one.promise)]
    require_passing(sorted({one.test for one in chosen}))
    is_held = True
    print("| promise | what is broken | test | what it says | s |\n| ---: | --- | --- | --- | ---: |")  # noqa: T201
    for one in chosen:
        began = time.monotonic()
        told = broken(one)
        is_held &= told is not None
        row = [one.promise, one.what, f"`{one.test}`", told or "**nothing**", f"{time.monotonic() - began:.0f}"]
        print("| " + " | ".join(map(str, row)) + " |", flush=True)  # noqa: T201
    sys.exit(0 if is_held else 1)


def require_passing(tests: list[str]) -> None:
    """RuntimeError where one of them fails, or is skipped, in a copy where nothing is broken."""
    with copied() as copy:
        done = outcome(copy, *tests)
    if done.returncode or "skipped" in done.stdout.splitlines()[-1]:
        raise RuntimeError(f"expected all to pass where nothing is broken: {done.stdout[-2000:]}")


def broken(one: Break) -> str | None:
    """What the test says of the project where this is broken; None where it passes. RuntimeError where it cannot be."""
    with copied() as copy:
        text = (copy / one.file).read_text(encoding="utf-8")
        if one.text not in text:
            raise RuntimeError(f"{one.file}: has no {one.text!r}; expected what is to be broken")
        (copy / one.file).write_text(text.replace(one.text, one.by), encoding="utf-8")
        done = outcome(copy, one.test)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{one.test}: was not run: {done.stdout[-2000:]}")
    said = re.findall(r"^E +(.*)$", done.stdout, flags=re.MULTILINE)
    return None if done.returncode == 0 else (said[0] if said else "fails")[:160].replace("|", "\\|")


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of all files that git knows, as they are now."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "project"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        yield copy


def outcome(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """How tests end in a copy."""
    around = os.environ | {"PYTHONPATH": str(copy), "VOXCURATE_CORPORA": str(CORPORA)}
    words = [sys.executable, "-m", "pytest", "-n0", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(words, cwd=copy, env=around, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
