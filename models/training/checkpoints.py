"""Where training stood, kept so that it goes on from there step for step, or not kept at all.

    <run>/checkpoints/000012-00000345/system.safetensors     weights and buffers after step 345 of epoch 12
    <run>/checkpoints/000012-00000345/optimizer.safetensors  its tensors
    <run>/checkpoints/000012-00000345/state.json             its numbers, and what else training remembers

A checkpoint is written aside, synced and renamed: whatever has a name is whole. No file of it is a pickle.
SpeechBrain's checkpointer writes the description first and the weights after, so that a checkpoint that a full disk cut
short may be taken for the best.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from curate.errors import TrainingError
from curate.whole import make_folder, rename_durably, sync

SYSTEM, OPTIMIZER, STATE = "system.safetensors", "optimizer.safetensors", "state.json"
UNFINISHED = ".unfinished"
_NAME = re.compile(r"[0-9]{6,}-[0-9]{8,}")  # of a checkpoint; whatever else lies there is not ours


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that training needs to go on, on the processor."""

    system: dict[str, Tensor]
    optimizer: dict[str, Any]  # its state dict
    state: dict[str, Any]  # as JSON can hold it
    epoch: int
    step: int  # of the epoch, done


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Keep it below `folder`; the place. Raises TrainingError where the disk does not take it, and leaves nothing."""
    place = folder / f"{checkpoint.epoch:06}-{checkpoint.step:08}"
    if place.is_dir():  # of this very step: a run that went on from before comes to the same
        return place
    aside = place.with_name(place.name + UNFINISHED)
    shutil.rmtree(aside, ignore_errors=True)  # of a run that died
    try:
        make_folder(folder)
        aside.mkdir()
        tensors, numbers = _apart(checkpoint.optimizer)
        save_file({key: tensor.contiguous() for key, tensor in checkpoint.system.items()}, aside / SYSTEM)
        save_file(tensors, aside / OPTIMIZER)
        told = json.dumps({"optimizer": numbers, "state": checkpoint.state}, indent=1)
        (aside / STATE).write_text(told, encoding="utf-8")
        for file in (*aside.iterdir(), aside):
            sync(file)
        rename_durably(aside, place)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise TrainingError(f"{place}: cannot be written ({reason}); expected room for a checkpoint") from error
    return place


def latest(folder: Path) -> Path | None:
    """The last one that was kept."""
    there = [place for place in _ours(folder) if not place.name.endswith(UNFINISHED)]
    return max(there, key=_when, default=None)


def keep_only(folder: Path, places: set[Path]) -> None:
    """Remove all others, and what runs that died began."""
    for place in sorted(set(_ours(folder)) - places, reverse=True):  # what is unfinished, before what has its name
        if not place.name.endswith(UNFINISHED):
            place = place.rename(place.with_name(place.name + UNFINISHED))  # half of it shall not have its name
        shutil.rmtree(place)


def is_name(name: str) -> bool:
    """Whether a checkpoint may be called so."""
    return bool(_NAME.fullmatch(name))


def load(place: Path) -> Checkpoint:
    """What was kept there. Raises TrainingError where it cannot be read."""
    try:
        told = json.loads((place / STATE).read_text(encoding="utf-8"))
        epoch, step = _when(place)
        return Checkpoint(
            system=load_file(place / SYSTEM),
            optimizer=_together(load_file(place / OPTIMIZER), told["optimizer"]),
            state=told["state"],
            epoch=epoch,
            step=step,
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise TrainingError(f"{place}: cannot be read ({reason}); expected a checkpoint of a run") from error


def _ours(folder: Path) -> list[Path]:
    """All checkpoints, also half of one that a run began when it died."""
    if not folder.is_dir():
        return []
    return [place for place in folder.iterdir() if _NAME.fullmatch(place.name.removesuffix(UNFINISHED))]


def _when(place: Path) -> tuple[int, int]:
    epoch, step = map(int, place.name.split("-"))
    return epoch, step


def _apart(optimizer: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a state dict by `parameter/name`, and the rest."""
    tensors, numbers = {}, {}
    for parameter, state in optimizer["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}/{name}"] = value.detach().cpu().contiguous()
            else:
                numbers[f"{parameter}/{name}"] = value
    return tensors, {"state": numbers, "param_groups": optimizer["param_groups"]}


def _together(tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in (*tensors.items(), *told["state"].items()):
        parameter, _, name = key.partition("/")
        state.setdefault(int(parameter), {})[name] = value
    return {"state": state, "param_groups": told["param_groups"]}


def on_processor(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that further steps do not change."""
    return {key: tensor.detach().to("cpu", copy=True) for key, tensor in state.items()}
