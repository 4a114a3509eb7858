"""How long the commands take on a catalog that is complete, beside the plain way of starting them.

    .venv/bin/python benchmarks/speed/commands.py examples/real.toml

Seconds of wall clock, the median of several runs. The plain way imports what `curate run` needs before anything is
asked: the ratio is what importing it only where it is needed saves.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from curate.config import load_pipeline

REPEATS = 5
CURATE = Path(sys.executable).with_name("curate")
PLAIN = "import sys; import torch, prefect, duckdb, flows.pipeline; from flows.cli import main; main()"


def seconds(command: list[str | Path]) -> float:
    """The median wall-clock time of a command that must succeed."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    """Print one line a command."""
    pipeline_file = Path(sys.argv[1])
    catalog = load_pipeline(pipeline_file).catalog
    subprocess.run([CURATE, "run", pipeline_file], check=True, capture_output=True)
    query = ["query", "select reason, count(*) from decisions group by 1", "-c", str(catalog)]
    for name, words in (("--help", ["--help"]), ("query", query), ("run, again", ["run", str(pipeline_file)])):
        ours, plain = seconds([CURATE, *words]), seconds([sys.executable, "-c", PLAIN, *words])
        print(f"{name:<12} {ours:6.2f} s   plain {plain:6.2f} s   {plain / ours:5.1f} x")


if __name__ == "__main__":
    main()
