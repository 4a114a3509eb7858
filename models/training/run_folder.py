"""What a run leaves behind.

    <run>/run.json          the recipe, what it is trained on, versions, when it began
    <run>/steps.csv         a row a step: its losses, the learning rate, utterances a second
    <run>/validations.csv   a row a validation
    <run>/tensorboard/      the same for TensorBoard
    <run>/checkpoints/      where it stands, and where it was best
    <run>/best.json         which checkpoint that is
    <run>/encoder/          the best network, for `[embedding] extractor = "checkpoint"` of a pipeline file

A run that goes on from a checkpoint first forgets what was noted after it, so that its tables are those of a run that
was never stopped; rates differ, and TensorBoard is told from which step on it is told anew.
"""

import csv
import io
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import TrainingError
from curate.whole import write_text
from models.training import checkpoints

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from models.training.engine import Validated

log = logging.getLogger("voxcurate")  # the command line shows it

DESCRIPTION, STEPS, VALIDATIONS, BEST = "run.json", "steps.csv", "validations.csv", "best.json"
SECONDS_BETWEEN_LINES = 10.0


class RunFolder:
    """The folder of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self._said = time.monotonic()
        self._writer: SummaryWriter | None = None

    # ----------------------------------------------------------------------------------------------- what it is

    def begin(self, description: Mapping[str, Any]) -> None:
        """Say what the run is. Raises TrainingError where the folder holds a run of another recipe or other data."""
        path = self.root / DESCRIPTION
        if path.exists():
            before = json.loads(path.read_text())
            for key in ("recipe", "speech", "validation"):
                if before.get(key) != json.loads(json.dumps(description[key])):
                    raise TrainingError(
                        f"{self.root}: holds a run with another {key}; expected the same, or another folder"
                    )
            return
        if self.root.exists() and any(self.root.iterdir()):
            raise TrainingError(f"{self.root}: is not empty and no run; expected a folder that is not there")
        self.root.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(description, indent=1, ensure_ascii=False) + "\n")

    # --------------------------------------------------------------------------------------------- what happens

    def note_step(
        self,
        epoch: int,
        step: int,
        num_steps: int,
        parts: Mapping[str, float],
        *,
        lr: float,
        rate: float,
        left_s: float,
    ) -> None:
        """One step: a row, and a line every ten seconds."""
        row = {"epoch": epoch, "step": step, **parts, "lr": lr, "utterances_per_s": round(rate, 1)}
        _append(self.root / STEPS, row)
        self._tell_tensorboard((epoch - 1) * num_steps + step, {**parts, "lr": lr, "utterances_per_s": rate})
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_LINES or step == num_steps:
            self._said = now
            told = ", ".join(f"{name} {value:.4f}" for name, value in parts.items())
            log.info(
                f"train: epoch {epoch}, step {step} of {num_steps}: {told}; lr {lr:.2g}, {rate:.0f} utterances/s, "
                f"{duration(left_s)} left"
            )

    def note_validation(self, epoch: int, found: "Validated", *, is_best: bool, num_steps: int) -> None:
        """One validation: a row and a line."""
        counts = {"num_target": found.num_target, "num_nontarget": found.num_nontarget}
        _append(self.root / VALIDATIONS, {"epoch": epoch, "eer": found.eer, **counts, "is_best": is_best})
        self._tell_tensorboard(num_steps, {"eer": found.eer})
        best = ", the best yet" if is_best else ""
        log.info(f"train: epoch {epoch}: EER {100 * found.eer:.2f} % of the validation{best}")

    def forget_after(self, epoch: int, step: int) -> None:
        """Rows of steps that are not in the checkpoint that training goes on from."""
        _keep(self.root / STEPS, lambda row: (int(row["epoch"]), int(row["step"])) <= (epoch, step))
        _keep(self.root / VALIDATIONS, lambda row: int(row["epoch"]) < epoch)

    def _tell_tensorboard(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.root / "tensorboard"), purge_step=step)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still held."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # ---------------------------------------------------------------------------------------------- checkpoints

    def keep_best_and(self, last: Path, *, is_best: bool) -> None:
        """Of all checkpoints only the last and the best."""
        if is_best:
            write_text(self.root / BEST, json.dumps({"checkpoint": last.name}) + "\n")
        checkpoints.keep_only(self.checkpoints, {last, *filter(None, [self.best()])})

    def best(self) -> Path | None:
        """The checkpoint of the best validation; without one the last."""
        try:
            name = json.loads((self.root / BEST).read_text())["checkpoint"]
        except FileNotFoundError:
            return checkpoints.latest(self.checkpoints)
        return self.checkpoints / str(name)


def duration(seconds: float) -> str:
    """`2 h 5 min`, `3 min`, `20 s`."""
    hours, minutes = int(seconds // 3600), int(seconds % 3600 // 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _append(path: Path, row: Mapping[str, Any]) -> None:
    is_new = not path.exists()
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({error.strerror}); expected room for a row") from error


def _keep(path: Path, is_kept: Callable[[dict[str, str]], bool]) -> None:
    """Only those rows; also a last one that was not written to its end is dropped."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if None not in row.values() and is_kept(row)]
        names = list(reader.fieldnames or [])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
