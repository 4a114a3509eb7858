"""Short runs of the age systems' recipes on tones: their first steps, and runs that are stopped and go on."""

import argparse
import csv
import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from models.common.augment import Augmentation
from models.data.crops import Reader
from models.training import checkpoints
from models.training.batches import lessons_of
from models.training.engine import Heard, Training, Validate, Validated
from models.training.processes import Processes, together
from models.training.recipe import Recipe
from models.training.run_folder import RunFolder
from models.training.schedules import Step
from models.training.system import System
from models.training.systems import recipes
from tests.models.age_adversarial import systems_made as adversarial
from tests.models.mixup_distillation import systems_made as mixup
from tests.models.recipes_made import ALONE, Tones, system_of
from tests.models.training.test_engine import stopped_after

SYSTEMS = ("age_adversarial", "mixup_distillation")
Curve = dict[str, list[float]]  # of each step: its losses by name, and `lr`


def of_system(system: str) -> dict[str, Recipe]:
    """Its recipes, by name."""
    return {name: recipe for name, recipe in recipes().items() if recipe.system == system}


def training(
    recipe: Recipe, reader: Reader, folder: Path, *, validate: Validate | None = None, processes: Processes = ALONE
) -> Training:
    """A run of it as `curate train` makes one: what it learns from is told by its own system."""
    speech = reader.speech
    system = system_of(recipe, len(speech.people))
    lessons = lessons_of(recipe, system, speech, len(speech))
    augmentation = Augmentation(recipe.augmentation, len(speech.people))
    heard = Heard(
        speech=speech, sampler=lessons.sampler, reader=reader, augmentation=augmentation, labels=lessons.labels
    )
    return Training(system, recipe, heard, run=RunFolder(folder), processes=processes, validate=validate)


# ------------------------------------------------------------------------------------------------- the first steps

GOLDEN = {system: Path(__file__).parent / system / "golden_losses.json" for system in SYSTEMS}
NOT_LOSSES = ("epoch", "step", "utterances_per_s")  # columns of steps.csv
# Of one utterance after the other, whoever speaks, as in videos of many years: every subgroup of every scheme, an age
# that is not known, and ranges that lie in one group and in two subgroups or groups of it.
YEARS = (8, 14, 17, 24, 33, 45, 55, 64, 75, 85, None, (35, 45), (25, 35))
RAWNET2 = adversarial.RAWNET2 | {"channels": [8, 8, 8, 12]}  # more poolings, and so fewer steps of its GRU


class Aged(Tones):
    """Tones of six people of both sexes, one of whom has none that is known, and of all ages."""

    def __init__(self) -> None:
        super().__init__()
        of_people = ("female", "male", "female", "male", None, "male")
        years = [YEARS[row % len(YEARS)] for row in range(len(self.speech))]
        self.speech = replace(
            self.speech,
            sex=[of_people[code] for code in self.speech.person],
            ages=[(one, one) if isinstance(one, int) else one for one in years],
        )


def tiny(recipe: Recipe, teachers: dict[str, Path]) -> Recipe:
    """Of a tiny network, with a teacher where it wants one: batches of 8 tones, four an epoch, a step after two.

    Precision is float32. Rates are a tenth of its own: with them so small a network learns in jumps that differ from
    one processor to another. One that falls in steps falls each epoch. Discriminators have an alpha of 1: by 0.01 they
    would move nothing in so few steps, whichever way.
    """
    told = recipe.settings
    if recipe.system == "age_adversarial":
        networks = {"ecapa": adversarial.ECAPA, "joined": {"ecapa": adversarial.ECAPA, "rawnet2": RAWNET2}}
        told = told | {"network": networks[told["extractor"]], "hidden": 10, "alpha": 1.0}
    else:
        told = mixup.settings_of(recipe)
        if recipe.name.endswith("teacher"):
            told |= {"network": told["network"] | mixup.LARGER[told["architecture"]]}
        if told["distance"] is not None:
            told |= {"teacher": str(teachers[told["architecture"]])}
    schedule = replace(recipe.schedule, rate=recipe.schedule.rate / 10)
    return replace(
        recipe,
        settings=told,
        batches=replace(recipe.batches, utterances=8, crop_s=(0.2, 0.25)),
        schedule=replace(schedule, num_epochs=1) if isinstance(schedule, Step) else schedule,
        epochs=5,
        accumulate=min(recipe.accumulate, 2),
        precision="float32",
        readers=1,
    )


def without_gain(_: System) -> Validated:
    """A validation that never finds anything."""
    return Validated(0.5, "class_error", {"num_age_group": 1})


def noted(folder: Path) -> Curve:
    """What each step of a run noted."""
    with (folder / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0] if name not in NOT_LOSSES}


def first_steps(recipe: Recipe, teachers: dict[str, Path], reader: Reader, folder: Path) -> Curve:
    """The first 20 of a recipe with a tiny network: five epochs, in which a rate that waits for gains falls once."""
    folder.mkdir()
    run = training(tiny(recipe, teachers), reader, folder, validate=without_gain)
    with closing(run._run):
        run.train()
    return noted(folder)


def golden(system: str) -> dict[str, Curve]:
    """What was kept, by the names of recipes."""
    return json.loads(GOLDEN[system].read_text()) if GOLDEN[system].exists() else {}


def close(found: Curve, kept: Curve) -> bool:
    """Every loss as on any processor, another order of sums; rates as they are."""
    return found.keys() == kept.keys() and all(
        np.allclose(found[name], kept[name], rtol=1e-5 if name == "lr" else 1e-3, atol=0 if name == "lr" else 1e-6)
        for name in kept
    )


def write_golden() -> None:
    """Write all anew, after a change that is meant: `.venv/bin/python -m tests.models.labelled_runs_made`."""
    for system, path in GOLDEN.items():
        with TemporaryDirectory() as scratch:
            teachers = mixup.teachers_in(Path(scratch) / "teachers")
            found = {
                name: {
                    key: [float(f"{value:.6g}") for value in values]
                    for key, values in first_steps(recipe, teachers, Aged(), Path(scratch) / name).items()
                }
                for name, recipe in of_system(system).items()
            }
        path.write_text(json.dumps(found).replace('"age-', '\n"age-').replace('"mixup', '\n"mixup') + "\n")


# --------------------------------------------------------------------------------------------- runs that are stopped

STOPPED = ("age-leq29-e-ysd", "mixup-ecapa-mkd-ch")  # a rate that waits for gains; a frozen teacher
NUM_DONE = 15  # batches of 20: in the middle of an epoch, of a step of the optimiser, and after a fall of the rate


def whole_and_stopped(
    name: str, teachers: dict[str, Path], folder: Path, processes: Processes = ALONE
) -> tuple[tuple[int, int], System]:
    """Run a recipe in `folder`/whole and, stopped and begun again, in `folder`/died; where that went on, and its end.

    Two batches make a step, and there is a checkpoint after each step.
    """
    recipe = replace(tiny(recipes()[name], teachers), checkpoint_every=1, accumulate=2)
    recipe = replace(
        recipe, batches=replace(recipe.batches, utterances=7)
    )  # 26 are learnt from: two can share 7, 7, 7, 5
    whole, died, again = (
        training(recipe, Aged(), folder / place, validate=without_gain, processes=processes)
        for place in ("whole", "died", "died")
    )
    whole.train()
    stopped_after(died, NUM_DONE)
    processes.wait()
    assert again.go_on()
    begun = again.progress.epoch, again.progress.step
    again.train()
    for run in (whole, died, again):
        run._run.close()
    return begun, again._system


def one_of_two(root: Path) -> None:
    """Both runs of `whole_and_stopped` in one of two processes that train together; weights are put beside them."""
    teachers = mixup.teachers_in(root / f"teachers-{os.environ['RANK']}")
    with together("cpu") as processes:
        for name in STOPPED:
            _, system = whole_and_stopped(name, teachers, root / name, processes)
            state = checkpoints.on_processor(dict(system.named_parameters()))
            torch.save(state, root / name / f"{processes.number}.pt")


def main() -> None:
    """Write the golden losses anew, or be one of two processes that train together."""
    torch.set_num_threads(1)
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("--together", type=Path, metavar="FOLDER")
    told = asked.parse_args()
    if told.together is not None:
        one_of_two(told.together)
    else:
        write_golden()


if __name__ == "__main__":
    main()
