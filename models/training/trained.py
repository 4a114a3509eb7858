"""A system as a run left it: the best of its checkpoints, ready to hear. And as the run found it."""

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from curate.errors import TrainingError
from models.common.augment import Augmentation, AugmentationSettings
from models.training import checkpoints
from models.training.recipe import Recipe
from models.training.run import ENCODER, PEOPLE, sha256_of_weights
from models.training.run_folder import DESCRIPTION, RunFolder
from models.training.system import System
from models.training.systems import SYSTEMS, module_of


def load_run(folder: Path) -> tuple[System, Recipe]:
    """The system on the processor, in evaluation mode, and the recipe that it was trained by.

    It tells as many people from each other as it was trained on. Raises TrainingError where the folder is no complete
    run, or of another version.
    """
    told = description_of(folder)
    if not (folder / ENCODER).exists():
        raise TrainingError(f"{folder}: the run is not complete; expected one that `curate train` ended")
    recipe, num_people = _recipe(folder, told)
    place = RunFolder(folder).best()
    if place is None:
        raise TrainingError(f"{folder}: has an encoder and no checkpoint; expected the folder as a run left it")
    system = _made(folder, recipe, num_people)
    weights = checkpoints.load(place).system
    try:
        system.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise TrainingError(f"{place}: {reason} (expected the weights of {recipe.name})") from error
    return system.eval(), recipe


def load_beginning(folder: Path) -> System:
    """The system as the run began: with the weights that its recipe's seed draws, and those that it began with.

    Raises TrainingError where the latter (`--from`) are not what they were, ExtractorError where they cannot be had.
    """
    told = description_of(folder)
    recipe, num_people = _recipe(folder, told)
    weights = told.get("weights")
    if weights is not None and sha256_of_weights(Path(weights["of"])) != weights["sha256"]:
        now = "are others now" if Path(weights["of"]).exists() else "are not there any more"
        raise TrainingError(f"{weights['of']}: the weights that {folder} began with {now}; expected them as they were")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        system = _made(folder, recipe, num_people)
    if weights is not None:
        module_of(recipe.system).begin_with(system, Path(weights["of"]))
    return system.eval()


def _made(folder: Path, recipe: Recipe, num_people: int) -> System:
    """With weights drawn by torch. Raises TrainingError."""
    augmentation = AugmentationSettings(  # of speed alone: where noise lies, this machine need not know
        speeds=recipe.augmentation.speeds, speeds_are_people=recipe.augmentation.speeds_are_people
    )
    try:
        return module_of(recipe.system).made(
            recipe.settings,
            num_people=Augmentation(augmentation, num_people).num_classes,
            spec_augment=recipe.augmentation.spec_augment,
        )
    except ValueError as error:
        raise TrainingError(f"{folder}: settings: {error}; expected a run of this version") from error


def people_of(folder: Path) -> set[str]:
    """Whom the run heard. Raises TrainingError where it does not say so."""
    path = folder / PEOPLE
    try:
        return {*path.read_text(encoding="utf-8").splitlines()}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrainingError(f"{path}: {reason}; expected what a run wrote there") from error


def description_of(folder: Path) -> dict[str, Any]:
    """What `run.json` tells. Raises TrainingError where there is none."""
    path = folder / DESCRIPTION
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise TrainingError(f"{folder}: no run ({reason}); expected a folder that `curate train` made") from error
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); expected what a run wrote there") from error
    if not isinstance(told, dict):
        raise TrainingError(f"{path}: holds {type(told).__name__}; expected what a run wrote there")
    return told


def _recipe(folder: Path, told: dict[str, Any]) -> tuple[Recipe, int]:
    """The recipe, and on how many people it was trained."""
    path = folder / DESCRIPTION
    try:
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(told["recipe"]))
        num_people = int(told["speech"]["people"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(key)[:80] for key in ("recipe", *first["loc"]))
        raise TrainingError(f"{path}: {where}: {first['msg']}; expected a run of this version") from error
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: no `recipe` or `speech.people`; expected what a run wrote there") from error
    if recipe.system not in SYSTEMS:
        raise TrainingError(f"{path}: system {recipe.system!r}; expected one of {', '.join(SYSTEMS)}")
    return recipe, num_people
