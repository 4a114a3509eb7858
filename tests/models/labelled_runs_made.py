"""Short runs, on tones, of the systems that learn by labels beside who speaks: ages, sexes, texts.

Their first steps, and runs that are stopped and go on.
"""

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
from models.data.crops import RATE_HZ, Reader
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
from tests.models.disjoint_mtl import systems_made as disjoint
from tests.models.mixup_distillation import systems_made as mixup
from tests.models.recipes_made import ALONE, Tones, system_of
from tests.models.training.test_engine import stopped_after

OF_AGES = ("age_adversarial", "mixup_distillation")
SYSTEMS = (*OF_AGES, "disjoint_mtl")
Curve = dict[str, list[float | None]]  # of each batch: its losses by name, None where it has not that one, and `lr`


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
        speech=speech,
        sampler=lessons.sampler,
        reader=reader,
        augmentation=augmentation,
        labels=lessons.labels,
        texts=lessons.texts,
    )
    return Training(system, recipe, heard, run=RunFolder(folder), processes=processes, validate=validate)


# ------------------------------------------------------------------------------------------------- the first steps

GOLDEN = {system: Path(__file__).parent / system / "golden_losses.json" for system in SYSTEMS}
NOT_LOSSES = ("epoch", "step", "utterances_per_s")  # columns of steps.csv
# Of one utterance after the other, whoever speaks, as in videos of many years: every subgroup of every scheme, an age
# that is not known, and ranges that lie in one group and in two subgroups or groups of it.
YEARS = (8, 14, 17, 24, 33, 45, 55, 64, 75, 85, None, (35, 45), (25, 35))
TEXTS = ("ONE TWO", "It's a bee", "SEE", None, "A", "été", "MORE THAN ANYBODY SAYS " * 4)
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


class Spoken(Tones):
    """Tones of 0.3 to 1 s, as if something were said: texts that fit, one longer than its frames, and none at all."""

    def __init__(self) -> None:
        super().__init__()
        rows = range(len(self.speech))
        length = np.array([round((0.3 + 0.7 * (7 * row % 30) / 29) * RATE_HZ) for row in rows], np.int64)
        said = [TEXTS[row % len(TEXTS)] for row in rows]
        self.speech = replace(self.speech, num_samples=length, transcripts=said)
        self.num_samples = length


def reader_of(system: str) -> Reader:
    """What the recipes of a system are heard on."""
    return Aged() if system in OF_AGES else Spoken()


def tiny(recipe: Recipe, teachers: dict[str, Path]) -> Recipe:
    """As short as a test: of ages, or of texts."""
    return _of_texts(recipe) if recipe.system == "disjoint_mtl" else _of_ages(recipe, teachers)


def _of_texts(recipe: Recipe) -> Recipe:
    """Of a tiny network: 20 steps, four an epoch, the first six of them frozen; crops of a tenth, four to a batch.

    Precision is float32. The rate is ten times its own, and gradients are clipped at a twentieth, so that a step that
    thaws too early, or is clipped elsewhere, shows. With ECAPA-TDNN the rate is its own: at a higher one so few crops
    are normalised otherwise from one processor to another.
    """
    told = disjoint.settings_of(recipe, network={"num_hidden_layers": 2, "layerdrop": 0.2}, frozen_steps=6)
    told |= {"speaker_layer": {6: 1, 12: 2}[recipe.settings["speaker_layer"]]}
    batches, whole = recipe.batches, recipe.whole
    if batches is not None:
        batches = replace(batches, utterances=4, crop_s=(batches.crop_s[0] / 10, batches.crop_s[1] / 10))
    return replace(
        recipe,
        settings=told,
        batches=batches,
        whole=None if whole is None else replace(whole, seconds=3.0),
        steps_an_epoch=4,
        schedule=replace(recipe.schedule, rate=recipe.schedule.rate * (1 if told["ecapa"] else 10)),
        epochs=5,
        validate_every=5,
        clip_value=0.05,
        precision="float32",
        readers=1,
    )


def _of_ages(recipe: Recipe, teachers: dict[str, Path]) -> Recipe:
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
    """What each batch of a run noted."""
    with (folder / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0] if name not in NOT_LOSSES
    }


def first_steps(recipe: Recipe, teachers: dict[str, Path], reader: Reader, folder: Path) -> Curve:
    """The first 20 of a recipe with a tiny network: five epochs, in which a rate that waits for gains falls once.

    Of ages 20 batches, two to a step where a recipe has more; of texts 20 steps, of one batch or of two.
    """
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
        np.allclose(
            np.array(found[name], float),
            np.array(kept[name], float),
            rtol=1e-5 if name == "lr" else 1e-3,
            atol=0 if name == "lr" else 1e-6,
            equal_nan=True,
        )
        for name in kept
    )


def write_golden() -> None:
    """Write all anew, after a change that is meant: `.venv/bin/python -m tests.models.labelled_runs_made`."""
    for system, path in GOLDEN.items():
        with TemporaryDirectory() as scratch:
            teachers = mixup.teachers_in(Path(scratch) / "teachers")
            reader = reader_of(system)
            found = {
                name: {
                    key: [None if value is None else float(f"{value:.6g}") for value in values]
                    for key, values in first_steps(recipe, teachers, reader, Path(scratch) / name).items()
                }
                for name, recipe in of_system(system).items()
            }
        text = json.dumps(found)
        for name in found:
            text = text.replace(f'"{name}"', f'\n"{name}"')
        path.write_text(text + "\n")


# --------------------------------------------------------------------------------------------- runs that are stopped

# A rate that waits for gains; a frozen teacher; a network that thaws, of whose layers one head reads half
STOPPED = ("age-leq29-e-ysd", "mixup-ecapa-mkd-ch", "w2v2-dj-2s-first-c6")
NUM_DONE = 15  # batches of 20: in the middle of an epoch, of a step of the optimiser, and after a fall of the rate


def whole_and_stopped(
    name: str, teachers: dict[str, Path], folder: Path, processes: Processes = ALONE
) -> tuple[tuple[int, int], System]:
    """Run a recipe in `folder`/whole and, stopped and begun again, in `folder`/died; where that went on, and its end.

    Two batches make a step, and there is a checkpoint after each step.
    """
    recipe = replace(tiny(recipes()[name], teachers), checkpoint_every=1, accumulate=2, validate_every=1)
    if recipe.system in OF_AGES:  # 26 are learnt from: two can share 7, 7, 7, 5
        recipe = replace(recipe, batches=replace(recipe.batches, utterances=7))
    else:  # one batch, in epoch 4, is of one utterance: two cannot share it
        recipe = replace(recipe, whole=replace(recipe.whole, seconds=1.9), steps_an_epoch=2)
    reader = reader_of(recipe.system)
    whole, died, again = (
        training(recipe, reader, folder / place, validate=without_gain, processes=processes)
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
    torch.set_num_threads(1)
    teachers = mixup.teachers_in(root / f"teachers-{os.environ['RANK']}")
    with together("cpu") as processes:
        for name in STOPPED:
            _, system = whole_and_stopped(name, teachers, root / name, processes)
            state = checkpoints.on_processor(dict(system.named_parameters()))
            torch.save(state, root / name / f"{processes.number}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_golden()
