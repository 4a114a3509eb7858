"""Short runs of published recipes: a system, its sampler and the loop, on samples in memory or on real speech."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import soundfile
import torch

from benchmarks.trial_rules import Rules
from benchmarks.trials import draw_trials
from curate.audio import sha256_of
from models.common.augment import Augmentation
from models.data.crops import RATE_HZ, Reader
from models.data.samplers import BalancedSampler, BatchShape, HardPrototypeSampler
from models.data.speech import Speech
from models.training.engine import Heard, Training
from models.training.processes import Processes
from models.training.recipe import Recipe
from models.training.run_folder import RunFolder
from models.training.schedules import Step
from models.training.system import System
from models.training.systems import module_of, recipes

ALONE = Processes(number=0, num=1, device=torch.device("cpu"))


def system_of(recipe: Recipe, num_people: int) -> System:
    """As a run begins with it."""
    torch.manual_seed(recipe.seed)
    spec_augment = recipe.augmentation.spec_augment
    return module_of(recipe.system).made(recipe.settings, num_people=num_people, spec_augment=spec_augment)


def trained(recipe: Recipe, system: System, speech: Speech, reader: Reader, folder) -> list[dict[str, float]]:
    """All epochs of a recipe, without validation; what each step noted."""
    batches = recipe.batches
    shortest, longest = (round(seconds * RATE_HZ) for seconds in batches.crop_s)
    shape = BatchShape(
        num_speakers=batches.speakers,
        num_per_speaker=batches.utterances_each,
        min_samples=shortest,
        max_samples=longest,
    )
    who = speech.person, speech.people, shape
    if batches.hard:
        sampler = HardPrototypeSampler(*who, lambda people: system.similar(people, batches.hard), seed=recipe.seed)
    else:
        sampler = BalancedSampler(*who, seed=recipe.seed, passes=batches.passes)
    augmentation = Augmentation(recipe.augmentation, len(speech.people))
    heard = Heard(speech=speech, sampler=sampler, reader=reader, augmentation=augmentation)
    folder.mkdir()
    run = RunFolder(folder)
    Training(system, recipe, heard, run=run, processes=ALONE).train()
    run.close()
    with (folder / "steps.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def spoken_by(files: dict[str, list], *, longest_s: float) -> Speech:
    """The first seconds of these files of each person."""
    rows = sorted((str(path), path, who) for who, paths in files.items() for path in paths)
    headers = [soundfile.info(path) for _, path, _ in rows]
    people = sorted(files)
    code = {who: at for at, who in enumerate(people)}
    rate = np.array([header.samplerate for header in headers])
    return Speech(
        utterance_ids=pa.array([name for name, _, _ in rows]),
        files=[path for _, path, _ in rows],
        start=np.zeros(len(rows), np.int64),
        num_samples=np.minimum([header.frames for header in headers], (rate * longest_s).astype(np.int64)),
        sample_rate_hz=rate,
        channel=np.full(len(rows), -1),
        person=np.array([code[who] for _, _, who in rows]),
        people=people,
        content_sha256=[sha256_of(path) for _, path, _ in rows],
    )


def trials_of(speech: Speech) -> pa.Table:
    """All pairs within a corpus, whose name begins that of a person: microphones tell corpora apart."""
    who = [speech.people[code] for code in speech.person]
    corpus = [name.partition("/")[0] for name in who]
    rows = pa.table({"utterance_id": speech.utterance_ids, "identity_id": who, "corpus": corpus})
    rules = Rules(same_recording=True, same=("corpus",))
    return draw_trials(rows, benchmark="small", targets=rules, nontargets=rules, rng=np.random.default_rng(0)).trials


# ------------------------------------------------------------------------------------------------- the first steps

GOLDEN = {
    system: Path(__file__).parent / system / "golden_losses.json"
    for system in ("angular_prototypical", "hard_prototypes", "multi_similarity")
}
TINY = {
    "angular_prototypical": {
        "network": {"num_bands": 16, "channels": 8, "blocks": [1, 1, 1, 1], "attention_channels": 8, "dimension": 16}
    },
    "hard_prototypes": {
        "network": {
            "num_bands": 16,
            "channels": 16,
            "scale": 2,
            "pooled_channels": 24,
            "attention_channels": 8,
            "se_channels": 8,
            "dimension": 12,
        }
    },
    "resnet": {"network": {"num_bands": 16, "channels": 8, "blocks": [1, 1, 1, 1], "dimension": 16}},
    "tdnn": {"network": {"channels": 16, "pooled_channels": 24, "dimension": 16}},
}
NUM_PEOPLE, NUM_EACH = 6, 5


class Tones(Reader):
    """Samples in memory: each person has four pitches of his own, each utterance beats and noise of its own."""

    def __init__(self) -> None:
        num = NUM_PEOPLE * NUM_EACH
        person = np.repeat(np.arange(NUM_PEOPLE), NUM_EACH)
        super().__init__(
            Speech(
                utterance_ids=pa.array([f"{row:02}" for row in range(num)]),
                files=[Path(f"{row:02}.wav") for row in range(num)],
                start=np.zeros(num, np.int64),
                num_samples=np.full(num, RATE_HZ),
                sample_rate_hz=np.full(num, RATE_HZ),
                channel=np.full(num, -1),
                person=person,
                people=[f"p{who}" for who in range(NUM_PEOPLE)],
                content_sha256=["0"] * num,
            )
        )
        rng, times = np.random.default_rng(0), np.arange(RATE_HZ) / RATE_HZ
        pitch_hz = rng.uniform(150, 4_000, (NUM_PEOPLE, 4, 1))[person]
        beat_hz, phase = rng.uniform(2, 20, (num, 4, 1)), rng.uniform(0, 2 * np.pi, (num, 4, 1))
        tones = np.sin(2 * np.pi * pitch_hz * times) * (1 + np.sin(2 * np.pi * beat_hz * times + phase))
        self._samples = 0.1 * tones.sum(axis=1) + 0.03 * rng.normal(size=(num, RATE_HZ))

    def read_into(self, row, first, out):
        out[:] = self._samples[row, first : first + len(out)]


def first_steps(recipe: Recipe, folder: Path) -> dict[str, list[float]]:
    """Loss and learning rate of 20 steps of a recipe with a tiny network on small batches: five epochs of four.

    Its loss, optimiser, sampler and schedule are its own; a schedule that has steps takes one each epoch. Rates are a
    tenth of its own: with them so small a network learns in jumps that differ from one processor to another. With hard
    prototypes a hundredth, since their scale is 30; everybody comes with the two whom he is taken for, so that an epoch
    is six batches, and the first 20 are kept.
    """
    tiny = TINY[recipe.settings["architecture"] if recipe.system == "multi_similarity" else recipe.system]
    rates = {
        name: rate / (100 if recipe.batches.hard else 10)
        for name, rate in asdict(recipe.schedule).items()
        if name.endswith("rate")
    }
    schedule = replace(recipe.schedule, **rates)
    drawn = {"hard": 2} if recipe.batches.hard else {"passes": 2}
    recipe = replace(
        recipe,
        settings=recipe.settings | tiny,
        batches=replace(recipe.batches, speakers=3, crop_s=(0.3, 0.4), **drawn),
        schedule=replace(schedule, num_epochs=1) if isinstance(schedule, Step) else schedule,
        epochs=5,
        readers=1,
    )
    reader = Tones()
    noted = trained(recipe, system_of(recipe, NUM_PEOPLE), reader.speech, reader, folder)[:20]
    return {name: [step[name] for step in noted] for name in ("loss", "lr")}


def golden(system: str) -> dict[str, dict[str, list[float]]]:
    """What was kept, by the names of recipes."""
    return json.loads(GOLDEN[system].read_text()) if GOLDEN[system].exists() else {}


def close(found: dict[str, list[float]], kept: dict[str, list[float]]) -> bool:
    """As on any processor: another order of sums."""
    return np.allclose(found["loss"], kept["loss"], rtol=1e-3, atol=0) and np.allclose(found["lr"], kept["lr"], 1e-5, 0)


def write_golden() -> None:
    """Write all anew, after a change that is meant: `.venv/bin/python -m tests.models.recipes_made`."""
    for system, path in GOLDEN.items():
        with TemporaryDirectory() as scratch:
            found = {
                name: {
                    key: [float(f"{value:.6g}") for value in values]
                    for key, values in first_steps(recipe, Path(scratch) / name).items()
                }
                for name, recipe in recipes().items()
                if recipe.system == system
            }
        path.write_text(json.dumps(found).replace('"vietsv', '\n"vietsv').replace('"mtml', '\n"mtml') + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_golden()
