"""What a run leaves behind.

    <run>/run.json          the recipe, what it is trained on, versions
    <run>/people.txt        who it is trained on, a person a line
    <run>/steps.csv         a row a step: its losses (the first process' share), the learning rate, utterances a second
    <run>/validations.csv   a row a validation
    <run>/tensorboard/      the same for TensorBoard
    <run>/checkpoints/      where it stands, and where it was best
    <run>/cache/            the samples of its speech, where `--cache` asked for them (`models.data.pcm_cache`)
    <run>/best.json         which checkpoint that is
    <run>/encoder/          the best network, for `[embedding] extractor = "checkpoint"` of a pipeline file
    <run>/tests/            what `curate test` found
    <run>/results.parquet   its figures on the trials of the validation, as `curate evaluate` has them

A run that goes on from a checkpoint first forgets what was noted after it, so that its tables are those of a run that
was never stopped; rates differ, and TensorBoard is told from which step on it is told anew.
"""

import csv
import fcntl
import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import TrainingError
from curate.storage import is_local
from curate.whole import make_folder, sync, write_text
from models.training import checkpoints

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from models.training.engine import Progress, Validated

log = logging.getLogger("voxcurate")  # the command line shows it

DESCRIPTION, STEPS, VALIDATIONS, BEST = "run.json", "steps.csv", "validations.csv", "best.json"
TENSORBOARD = "tensorboard"
SECONDS_BETWEEN_LINES = 10.0
MEASURES = {  # of a validation, in words
    "eer": "EER",
    "wer": "WER",
    "wer_eer": "a quarter of WER and three of EER",
    "class_error": "error of classes (1 - macro F1)",
}
SAME = {  # of a run that is called again
    "recipe": "another recipe",
    "speech": "other speech",
    "validation": "another validation",
    "weights": "other weights to begin with (--from)",
    "teacher": "another teacher",
    "processes": "another number of processes",
}


class RunFolder:
    """The folder of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self._said = time.monotonic()
        self._writer: SummaryWriter | None = None
        self._lock: int | None = None
        self._parts: dict[str, float] = {}  # each as it was last: batches may have others by turns
        self._columns: dict[Path, list[str]] = {}  # of the tables that this process wrote

    # ----------------------------------------------------------------------------------------------- what it is

    def begin(self, description: Mapping[str, Any]) -> None:
        """Say what the run is; from here to `close` no other process may. A run that took no step may be another now.

        Raises TrainingError where another process trains here, and where the folder holds anything else: a run of
        another recipe, on other data or from other weights, or what is no run. It may be called without the weights
        that it began with where it goes on from a checkpoint.
        """
        if not is_local(self.root):
            raise TrainingError(f"{self.root}: lies elsewhere; expected a folder of this machine for a run")
        is_new = not (self.root / DESCRIPTION).exists()
        if is_new and self.root.exists() and any(self.root.iterdir()):
            raise TrainingError(f"{self.root}: is not empty and no run; expected a folder that is not there")
        make_folder(self.root)
        self._take()
        if not is_new and ((self.root / STEPS).exists() or checkpoints.latest(self.checkpoints)):
            self._require_same(description)
            return
        write_text(self.root / DESCRIPTION, json.dumps(description, indent=1, ensure_ascii=False) + "\n")

    def _take(self) -> None:
        """Be the only process that trains here; the lock of one that dies is gone with it."""
        self._lock = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(f"{self.root}: another process trains here; expected to be alone") from error

    def _require_same(self, description: Mapping[str, Any]) -> None:
        path = self.root / DESCRIPTION
        try:
            before = {key: _compared(value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
        except (ValueError, AttributeError, RecursionError) as error:
            raise TrainingError(f"{path}: cannot be read ({error}); expected what a run wrote there") from error
        now = {key: _compared(value) for key, value in json.loads(json.dumps(description)).items()}
        if now.get("weights") is None and checkpoints.latest(self.checkpoints) is not None:
            before.pop("weights", None)
        for key, other in SAME.items():
            if before.get(key) != now.get(key):
                raise TrainingError(f"{self.root}: holds a run with {other}; expected the same, or another folder")

    # --------------------------------------------------------------------------------------------- what happens

    def note_step(
        self,
        at: "Progress",
        num_steps: int,
        parts: Mapping[str, float],
        *,
        lr: float,
        rate: float,
        left_s: float,
    ) -> None:
        """One step, of so many of its epoch: a row; and a line every ten seconds, of each part what it was last."""
        epoch, step = at.epoch, at.step
        row = {"epoch": epoch, "step": step, **parts, "lr": lr, "utterances_per_s": float(f"{rate:.4g}")}
        self._append(self.root / STEPS, row)
        self._tell_tensorboard(at.num_steps, {**parts, "lr": lr, "utterances_per_s": rate})
        self._parts |= parts
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_LINES or step == num_steps:
            self._said = now
            told = ", ".join(f"{name} {value:.4f}" for name, value in self._parts.items())
            log.info(
                f"train: epoch {epoch}, step {step} of {num_steps}: {told}; lr {lr:.2g}, {_shown(rate)} utterances/s, "
                f"{duration(left_s)} left"
            )

    def note_validation(self, epoch: int, found: "Validated", *, is_best: bool, num_steps: int) -> None:
        """One validation: a row and a line."""
        row = {"epoch": epoch, found.measure: found.error, **found.parts, **found.counts, "is_best": is_best}
        self._append(self.root / VALIDATIONS, row)
        self._tell_tensorboard(num_steps, {found.measure: found.error, **found.parts})
        best = ", the best that training came to" if is_best else ""
        told = ", ".join(f"{MEASURES[name]} {100 * error:.2f} %" for name, error in found.parts.items())
        of_both = f" ({told})" if told else ""
        measure = f"{MEASURES[found.measure]} {100 * found.error:.2f} %{of_both}"
        log.info(f"train: epoch {epoch}: {measure} of the validation{best}")

    def forget_after(self, epoch: int, step: int) -> None:
        """Rows of steps that are not in the checkpoint that training goes on from; of all, where both are 0."""
        _keep(self.root / STEPS, lambda row: (int(row["epoch"]), int(row["step"])) <= (epoch, step))
        _keep(self.root / VALIDATIONS, lambda row: int(row["epoch"]) < epoch)

    def _append(self, path: Path, row: Mapping[str, Any]) -> None:
        """One row; what it has and those above have not becomes a column, empty for them."""
        try:
            if path not in self._columns:
                self._columns[path] = _columns(path)
            names = self._columns[path]
            if new := [name for name in row if name not in names]:
                self._columns[path] = names = names + new
                _rewrite(path, names, _rows(path))
            with path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, names, restval="").writerow(row)
        except OSError as error:
            raise TrainingError(f"{path}: cannot be written ({error.strerror}); expected room for a row") from error

    def _tell_tensorboard(self, step: int, values: Mapping[str, float]) -> None:
        with self._telling():
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self.root / TENSORBOARD), purge_step=step)
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """A thread writes for TensorBoard, and what it met is raised at the next call, without the file's name."""
        try:
            yield
        except OSError as error:
            self._writer = None  # it would raise the same when it is closed
            place = self.root / TENSORBOARD
            raise TrainingError(f"{place}: cannot be written ({error.strerror}); expected room for events") from error

    def close(self) -> None:
        """Write what is still held, and let others train here."""
        try:
            if self._writer is not None:
                with self._telling():
                    self._writer.close()
        finally:
            self._writer = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # ---------------------------------------------------------------------------------------------- checkpoints

    def sync_tables(self) -> None:
        """Have the disk hold all rows, so that none is missing that came before a checkpoint."""
        for path in (self.root / STEPS, self.root / VALIDATIONS):
            if path.exists():
                sync(path)

    def keep_best_and(self, last: Path, *, is_best: bool) -> None:
        """Of all checkpoints only the last and the best."""
        if self._writer is not None:
            with self._telling():
                self._writer.flush()  # else what came before a checkpoint would never be told
        if is_best:
            write_text(self.root / BEST, json.dumps({"checkpoint": last.name}) + "\n")
        checkpoints.keep_only(self.checkpoints, {last, *filter(None, [self.best()])})

    def best(self) -> Path | None:
        """The checkpoint of the best validation; without one the last. Raises TrainingError where none is named."""
        path = self.root / BEST
        try:
            name = str(json.loads(path.read_text(encoding="utf-8"))["checkpoint"])
        except FileNotFoundError:
            return checkpoints.latest(self.checkpoints)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TrainingError(f"{path}: cannot be read; expected what a run wrote there") from error
        if not checkpoints.is_name(name):
            raise TrainingError(f"{path}: {name[:80]!r} is no checkpoint; expected what a run wrote there")
        return self.checkpoints / name


def duration(seconds: float) -> str:
    """`2 h 5 min`, `3 min`, `20 s`."""
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    hours, minutes = divmod(int(seconds + 30) // 60, 60)  # to the nearest minute
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _shown(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def _compared(told: Any) -> Any:
    """Of what is heard, not the words for it: a manifest may be named by another path."""
    return {key: value for key, value in told.items() if key != "of"} if isinstance(told, dict) else told


def _columns(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])


def _rows(path: Path) -> list[dict[str, str]]:
    """All whole rows: a last one without its end is half of what a run wrote when it died."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    return list(csv.DictReader(lines))


def _keep(path: Path, is_kept: Callable[[dict[str, str]], bool]) -> None:
    """Only those rows. Raises TrainingError for a table that no run wrote."""
    if not path.exists():
        return
    try:
        _rewrite(path, _columns(path), [row for row in _rows(path) if is_kept(row)])
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise TrainingError(f"{path}: {error}; expected a table of this run, as it was written") from error


def _rewrite(path: Path, names: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
