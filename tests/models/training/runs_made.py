"""Small runs on tones: each person has a pitch of his own, and utterances differ in noise."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch

from benchmarks.trial_rules import Rules
from benchmarks.trials import draw_trials
from models.common.augment import Augmentation
from models.data.crops import RATE_HZ, Reader
from models.data.samplers import BalancedSampler, BatchShape
from models.data.speech import Speech
from models.training.engine import Heard, Training
from models.training.processes import Processes
from models.training.recipe import Recipe
from models.training.run_folder import RunFolder
from models.training.systems import module_of, recipes
from models.training.validation import Validation

TINY = {"channels": 8, "blocks": [1, 1, 1, 1], "num_bands": 16, "dimension": 16, "attention_channels": 8}
ALONE = Processes(number=0, num=1, device=torch.device("cpu"))


class Tones(Reader):
    """Samples in memory."""

    def __init__(self, speech: Speech):
        super().__init__(speech)
        rng = np.random.default_rng(0)
        times = np.arange(RATE_HZ) / RATE_HZ
        pitch = 200 + 300 * speech.person
        self.samples = 0.3 * np.sin(2 * np.pi * pitch[:, None] * times) + 0.05 * rng.normal(size=(len(speech), RATE_HZ))

    def read_into(self, row, first, out):
        out[:] = self.samples[row, first : first + len(out)]


def spoken(num_people=6, each=4):
    person = np.repeat(np.arange(num_people), each)
    num = len(person)
    return Speech(
        utterance_ids=pa.array([f"p{who}/{place}" for who in range(num_people) for place in range(each)]),
        files=[f"{place}.wav" for place in range(num)],
        start=np.zeros(num, np.int64),
        num_samples=np.full(num, RATE_HZ),
        sample_rate_hz=np.full(num, RATE_HZ),
        channel=np.full(num, -1),
        person=person,
        people=[f"p{who}" for who in range(num_people)],
        content_sha256=["0"] * num,
    )


def recipe(name="vietsv-scratch-ap-adam", **changes) -> Recipe:
    """Of three steps an epoch on six people; for two processes of twelve people."""
    published = recipes()[name]
    told = {
        "settings": published.settings | {"network": TINY},
        "batches": replace(published.batches, speakers=2, utterances_each=2, crop_s=(0.3, 0.3)),
        "schedule": replace(published.schedule, rate=0.01),
        "epochs": 2,
        "validate_every": 1,
        "readers": 1,
    }
    return replace(published, **(told | changes))


def validation(speech):
    rows = pa.table({"utterance_id": speech.utterance_ids, "identity_id": [speech.people[p] for p in speech.person]})
    rules = Rules(same_recording=True)
    trials = draw_trials(rows, benchmark="toy", targets=rules, nontargets=rules, rng=np.random.default_rng(0)).trials
    return Validation(trials=trials, reader=Tones(speech), longest_s=1.0)


def training(recipe, folder, *, speech=None, processes=ALONE, validate=True, reader=None) -> Training:
    speech = speech or spoken()
    batches = recipe.batches
    shortest, longest = (round(seconds * RATE_HZ) for seconds in batches.crop_s)
    shape = BatchShape(
        num_speakers=batches.speakers,
        num_per_speaker=batches.utterances_each,
        min_samples=shortest,
        max_samples=longest,
    )
    torch.manual_seed(recipe.seed)
    num_people = len(speech.people)
    augmentation = Augmentation(recipe.augmentation, num_people)
    system = module_of(recipe.system).made(
        recipe.settings, num_people=num_people, spec_augment=recipe.augmentation.spec_augment
    )
    return Training(
        system,
        recipe,
        Heard(
            speech=speech,
            sampler=BalancedSampler(speech.person, speech.people, shape, seed=recipe.seed),
            reader=reader or Tones(speech),
            augmentation=augmentation,
        ),
        run=RunFolder(folder),
        processes=processes,
        validate=validation(spoken(4)) if validate else None,
    )
