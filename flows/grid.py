"""`curate train --grid`: a run of one recipe for each value of some keys, one after another or a device each.

    <out>/schedule.rate=0.0001/        a run
    <out>/schedule.rate=0.0001.log     what it said

Every run is a process of its own. Called again, what is complete is only told of, and what was stopped goes on.
"""

import csv
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from queue import SimpleQueue

from curate.errors import TrainingError
from curate.explain import counted
from curate.query import as_table
from models.training.run import ENCODER
from models.training.run_folder import MEASURES, VALIDATIONS
from models.training.systems import recipe_of

log = logging.getLogger("voxcurate")  # the command line shows it


@dataclass(frozen=True, kw_only=True)
class Best:
    """What came of one run of a grid."""

    settings: tuple[str, ...]  # key=value
    folder: Path
    measure: str
    before: float
    error: float
    parts: dict[str, float]  # that the error is made of, by measure
    epoch: int


def settings_of(asked: Sequence[str]) -> list[tuple[str, ...]]:
    """Of `key=value,value`, as often as told, all ways to take one value of each. Raises TrainingError."""
    axes = []
    for one in asked:
        key, equals, values = one.partition("=")
        taken = [value.strip() for value in values.split(",")]
        if not equals or not all(taken) or len(set(taken)) < len(taken) or "/" in one:
            raise TrainingError(f"--grid {one}: expected KEY=VALUE,VALUE,... such as schedule.rate=1e-4,3e-4")
        axes.append([f"{key.strip()}={value}" for value in taken])
    keys = [axis[0].partition("=")[0] for axis in axes]
    if len(set(keys)) < len(keys):
        raise TrainingError(f"--grid {keys[0]}: {', '.join(keys)}; expected each key once, with all its values")
    return list(product(*axes))


def train_grid(
    recipe: str, settings: Sequence[str], words: Sequence[str], asked: Sequence[str], out: Path | None, device: str
) -> str:
    """All runs of the grid; what came of them, in words. `words` are all other options of `curate train`.

    Raises TrainingError for settings that are none before any run begins, and naming those that failed, at the end.
    """
    grid = settings_of(asked)
    names = [recipe_of(recipe, [*settings, *one]).name for one in grid]  # or an error, before any begins
    root = out or Path("runs") / f"{names[0]}-grid"
    root.mkdir(parents=True, exist_ok=True)
    devices: SimpleQueue[str] = SimpleQueue()
    for one in (places := _devices(device)):
        devices.put(one)
    log.info(f"grid: {counted(len(grid), 'run')} in {root}, {len(places)} at a time ({', '.join(places)})")

    def run(chosen: tuple[str, ...]) -> str | None:
        where = devices.get()
        try:
            return _run([recipe, *words], [*settings, *chosen], root / ",".join(chosen), where)
        finally:
            devices.put(where)

    with ThreadPoolExecutor(len(places)) as threads:
        failed = [why for why in threads.map(run, grid) if why is not None]
    told = _in_words([best for one in grid if (best := best_of(root / ",".join(one), one)) is not None], root)
    if failed:
        for line in told.splitlines():  # a rate too high is no reason not to tell of the others
            log.info(f"grid: {line}")
        raise TrainingError(f"{failed[0]} ({len(failed)} of {counted(len(grid), 'run')} failed; expected none)")
    return told


def _run(words: Sequence[str], settings: Sequence[str], folder: Path, device: str) -> str | None:
    """Why it failed, in its own last words; None where it did not."""
    command = [sys.executable, "-m", "flows.cli", "train", *words, "--out", str(folder), "--device", device]
    for one in settings:
        command += ["--set", one]
    said = folder.with_name(f"{folder.name}.log")
    log.info(f"grid: {folder.name} on {device}, which tells {said}")
    with said.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        return None
    lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
    return f"{folder.name}: {next((line for line in reversed(lines) if line.strip()), 'it said nothing')}"


def best_of(folder: Path, settings: tuple[str, ...]) -> Best | None:
    """Its best validation; None of a run that had none, or is not complete. Raises TrainingError for no such table."""
    path = folder / VALIDATIONS
    if not path.exists() or not (folder / ENCODER).exists():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return _best_of(list(csv.DictReader(file)), folder, settings)
    except (ValueError, LookupError, TypeError, StopIteration, csv.Error) as error:
        raise TrainingError(f"{path}: {error}; expected a table of this run, as it was written") from error


def _best_of(rows: list[dict[str, str]], folder: Path, settings: tuple[str, ...]) -> Best:
    measure = next(name for name in rows[0] if name in MEASURES)
    best = min(rows[1:] or rows, key=lambda row: float(row[measure]))
    parts = {name: float(value) for name, value in best.items() if name in MEASURES and name != measure and value}
    return Best(
        settings=settings,
        folder=folder,
        measure=measure,
        before=float(rows[0][measure]),
        error=float(best[measure]),
        parts=parts,
        epoch=int(best["epoch"]),
    )


def _in_words(found: Sequence[Best], root: Path) -> str:
    if not found:
        return f"The runs are in {root}; none that is complete was validated."
    measures = [MEASURES[name] for name in (found[0].measure, *found[0].parts)]
    head = [*(one.partition("=")[0] for one in found[0].settings), "before", *measures, "epoch"]
    rows = [
        (*(one.partition("=")[2] for one in best.settings), best.before, best.error, *best.parts.values(), best.epoch)
        for best in sorted(found, key=lambda one: one.error)
    ]
    best = min(found, key=lambda one: one.error)
    return f"{as_table(head, rows)}\n\nThe best is {best.folder}; its network: {best.folder / ENCODER}"


def _devices(device: str) -> list[str]:
    """Where runs may go side by side: every GPU, the one that is named, or the processor."""
    import torch

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return [device]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def words_of(**options: object) -> Iterator[str]:
    """As they are typed, those that are given."""
    for name, value in options.items():
        if value is True:
            yield f"--{name}"
        elif value is not None and value is not False:
            yield from (f"--{name.replace('_', '-')}", str(value))
