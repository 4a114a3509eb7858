"""Kill `curate run` at random moments, finish it, and hold it against a run that nobody disturbed.

    .venv/bin/python tests/flows/killed_at_random.py examples/real.toml --kills 20 [--seed 1]

Both runs have catalogs of their own in a temporary folder, and blocks of four utterances. Moments are drawn over the
time that the undisturbed run took to embed, from when the killed run begins to. Says how many blocks the killed runs
had finished, and ends with an error where a finished block was computed again, or a vector differs.
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from curate.blocks import matrix
from curate.catalog import Catalog
from curate.schema import DECISIONS, EMBEDDINGS

CURATE = Path(sys.executable).with_name("curate")
BLOCK = re.compile(r"embed: block \d+:")


def with_catalog(pipeline: Path, catalog: Path) -> Path:
    """The same pipeline file beside the other one, with small blocks and this catalog."""
    text = re.sub(r"^catalog = .*$", f'catalog = "{catalog}"', pipeline.read_text(), flags=re.MULTILINE)
    text = text.replace("[splits]", "[embedding]\nutterances_per_block = 4\n\n[splits]")
    copy = pipeline.with_name(f".{catalog.name}-{pipeline.name}")
    copy.write_text(text)
    return copy


def run(pipeline: Path, log: Path, kill_after_s: float | None = None) -> float:
    """Run until it ends, or for so long after it begins to embed; returns how long it embedded."""
    with log.open("w") as out:
        process = subprocess.Popen([CURATE, "run", pipeline], stdout=out, stderr=out)
        began = None
        while process.poll() is None:
            time.sleep(0.02)
            if began is None and "embed: block" in log.read_text():
                began = time.monotonic()
            if began is not None and kill_after_s is not None and time.monotonic() - began > kill_after_s:
                process.send_signal(signal.SIGKILL)
                process.wait()
    if kill_after_s is None and process.returncode:
        sys.exit(log.read_text())
    embedded = log.read_text().rsplit("embed: block", 1)
    return time.monotonic() - began if began and len(embedded) > 1 else 0.0


def vectors(catalog: Path) -> tuple[list[str], np.ndarray]:
    """Ids and (N, D)."""
    rows = Catalog(catalog).read(EMBEDDINGS)
    return rows["utterance_id"].to_pylist(), matrix(rows["vector"])


def main() -> None:
    """Print one line a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        copies = [with_catalog(asked.pipeline.resolve(), catalog) for catalog in (whole, killed)]
        try:
            took = run(copies[0], Path(folder) / "whole.log")
            total = len(BLOCK.findall((Path(folder) / "whole.log").read_text()))
            print(f"undisturbed: {total} blocks in {took:.1f} s")  # noqa: T201
            logged: list[str] = []
            stood: dict[Path, int] = {}
            for number in range(asked.kills + 1):
                log = Path(folder) / f"{number}.log"
                run(copies[1], log, rng.uniform(0, 2 * took / asked.kills) if number < asked.kills else None)
                logged += BLOCK.findall(log.read_text())
                files = {file: file.stat().st_mtime_ns for file in killed.glob("cache/embeddings/*/*.parquet")}
                touched = [file.name for file, time_ns in stood.items() if files.get(file) != time_ns]
                stood = files
                print(f"run {number:2}: {len(files)} of {total} blocks are there")  # noqa: T201
                if touched:
                    sys.exit(f"computed again, or gone: {touched}")
            if len(logged) > total:  # fewer: a run may be killed between a block and its line
                sys.exit(f"the logs tell of {len(logged)} blocks, {total} are there")
            (ids, ours), (expected_ids, expected) = vectors(killed), vectors(whole)
            same = ids == expected_ids and np.array_equal(ours, expected)
            decisions = Catalog(killed).read(DECISIONS) == Catalog(whole).read(DECISIONS)
            print(f"vectors equal: {same}; decisions equal: {decisions}; blocks logged once each: {len(logged)}")  # noqa: T201
            sys.exit(0 if same and decisions else 1)
        finally:
            for copy in copies:
                copy.unlink()


if __name__ == "__main__":
    main()
