"""Every recipe learns on real speech: its loss falls, and utterances that were not heard are told apart better.

Networks are tiny and runs are seconds long, on the pieces of LibriSpeech and EmoDB: that a loss, its optimiser, its
sampler and its network work together, not what they are good for. What differs from the papers' settings stands in
`small`. The loss is that of the same crops before and after, which nothing moves but what is learnt; the EER is that
of other utterances of the same people, beside that of the untrained network.

Rows of VietSV that fine-tune begin with the network that the row from nothing leaves, and go on with a crop or so of
three utterances of each person: at the published rates so few steps would lower no loss of many. What they gain in EER
on that network is no more than what its normalisation gains by hearing the crops, so it is not asserted.
"""

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from models.angular_prototypical.recipe import MARGINS as MARGINS_OF_TABLE_3
from models.data import pcm_cache
from models.data.crops import RATE_HZ, Reader
from models.training.recipe import Recipe
from models.training.schedules import Exponential, Step
from models.training.systems import recipes
from models.training.validation import Validation
from tests.models.recipes_made import GOLDEN, spoken_by, system_of, trained, trials_of

NUM_HELD_OUT, MOST_HEARD, LONGEST_S, HELD_OUT_S = 4, 24, 4.0, 3.0  # utterances of each person, and what is heard of one
NUM_TUNED = 3  # utterances of each person, of which one crop is heard, in rows that fine-tune
NUM_STRANGERS = 3  # of each corpus, who are not heard
CROP_S = (0.7, 0.9)
HALF_RESNET = {"num_bands": 24, "channels": 8, "blocks": [1, 1, 1, 1], "attention_channels": 32, "dimension": 64}
RESNET = {"channels": 8, "blocks": [1, 1, 1, 1], "dimension": 64}
TDNN = {"channels": 64, "pooled_channels": 128, "dimension": 64}
ECAPA = {"num_bands": 24, "channels": 32, "scale": 4, "kernel_sizes": [5, 3, 3, 1], "dilations": [1, 2, 3, 1]}
ECAPA |= {"pooled_channels": 96, "attention_channels": 16, "se_channels": 16, "dimension": 48}
SEED = int(os.environ.get("VOXCURATE_SEED", "1"))
FROM_NOTHING = "vietsv-scratch-ap-adam"


def small(name: str, seed: int = SEED) -> Recipe:
    """A recipe for 17 people on a processor: 20 to 50 steps of crops of 0.7 to 0.9 s.

    VietSV: batches of 16 people; Adam at 0.001, SGD as published. Hard prototypes: 3 similar people. MTML: batches of 6
    people, rates of 2e-3 to 1e-3.
    """
    recipe = replace(recipes()[name], readers=1, seed=seed)
    batches = replace(recipe.batches, crop_s=CROP_S)
    if recipe.system == "angular_prototypical":
        return replace(
            recipe,
            settings=recipe.settings | {"network": HALF_RESNET},
            batches=replace(batches, speakers=16, passes=40 if name == FROM_NOTHING else 15),
            schedule=Step(rate=0.001) if recipe.optimizer.kind == "adam" else recipe.schedule,
            epochs=1,
        )
    if recipe.system == "hard_prototypes":
        return replace(
            recipe,
            settings=recipe.settings | {"network": ECAPA},
            batches=replace(batches, speakers=16, hard=3),
            schedule=Step(rate=0.002) if recipe.optimizer.kind == "adam" else recipe.schedule,
            epochs=28,
        )
    is_tdnn = recipe.settings["architecture"] == "tdnn"
    return replace(
        recipe,
        settings=recipe.settings | {"network": TDNN if is_tdnn else RESNET},
        batches=replace(batches, speakers=6, passes=10),
        schedule=Exponential(first_rate=2e-3, last_rate=1e-3),
        epochs=1,
    )


class Speech(NamedTuple):
    """What is trained on, and what it is validated on: other utterances of the same people."""

    whole: Reader
    few: Reader  # of these: what is fine-tuned on
    held_out: Validation


class Learnt(NamedTuple):
    """What a short run did."""

    untrained: float  # EER in %, of utterances unheard
    begun: float  # of the network that it began with
    after: float
    loss_before: float  # of the same crops
    loss_after: float


@pytest.fixture(scope="module")
def speech(corpora, tmp_path_factory):
    """Decoded once."""
    files = {}
    for path in sorted(corpora.glob("LibriSpeech/*/*/*/*.flac")):
        files.setdefault(f"librispeech/{path.parts[-3]}", []).append(path)
    for path in sorted(corpora.glob("emodb/wav/*.wav")):
        files.setdefault(f"emodb/{path.name[:2]}", []).append(path)
    kept, held_out = {}, {}
    for corpus in ("emodb", "librispeech"):
        for who in sorted(one for one in files if one.startswith(corpus))[:-NUM_STRANGERS]:
            paths = files[who]
            held_out[who] = paths[:: len(paths) // NUM_HELD_OUT][:NUM_HELD_OUT]
            kept[who] = [path for path in paths if path not in held_out[who]][:MOST_HEARD]
    cache = tmp_path_factory.mktemp("cache")
    readers = []
    few = {who: paths[:NUM_TUNED] for who, paths in kept.items()}
    for chosen, longest_s in ((kept, LONGEST_S), (few, CROP_S[1]), (held_out, HELD_OUT_S)):
        found = spoken_by(chosen, longest_s=longest_s)
        pcm_cache.write(found, cache)
        readers.append(pcm_cache.MappedReader(found, cache))
    trials = trials_of(readers[2].speech)
    held_out = Validation(trials=trials, reader=readers[2], longest_s=HELD_OUT_S, batch_s=24.0)
    return Speech(readers[0], readers[1], held_out)


def loss_of(system, recipe, reader):
    """Its loss of the same crops of everybody, as in training; the system stays as it is."""
    rng, person = np.random.default_rng(0), reader.speech.person
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    system.train()
    found = []
    for _ in range(3):
        rows = [
            rng.choice(np.flatnonzero(person == who), recipe.batches.utterances_each, replace=False)
            for who in range(len(reader.speech.people))
        ]
        rows = np.concatenate(rows)
        wave = torch.from_numpy(reader.crops(rows, round(CROP_S[0] * RATE_HZ), rng))
        with torch.no_grad():
            found.append(float(system.losses(wave, {"person": torch.from_numpy(person[rows])})["loss"]))
    system.load_state_dict(before)
    return float(np.mean(found))


def learnt(name, speech, folder, *, begin=None, seed=SEED):
    """The system that a short run leaves, and what it did; `begin` are the weights of a network."""
    recipe, held_out = small(name, seed), speech.held_out
    reader = speech.whole if begin is None else speech.few
    system = system_of(recipe, len(reader.speech.people))
    untrained = 100 * held_out(system).error
    if begin is not None:
        system.network.load_state_dict(begin)
    begun = untrained if begin is None else 100 * held_out(system).error
    loss_before = loss_of(system, recipe, reader)
    trained(recipe, system, reader.speech, reader, folder)
    after = 100 * held_out(system).error
    return system, Learnt(untrained, begun, after, loss_before, loss_of(system, recipe, reader))


@pytest.fixture(scope="module")
def from_nothing(speech, tmp_path_factory):
    """What the row that begins with nothing learns: its network is what the rows that fine-tune begin with."""
    return learnt(FROM_NOTHING, speech, tmp_path_factory.mktemp("begun") / "run")


# What a recipe gains at least: points of EER on the untrained network, and loss on what the run began with. At most
# half of what the worst of three seeds gained (`VOXCURATE_SEED` chooses one). A run that learns nothing fails by its
# loss; its EER may fall, since normalisation hears the crops: see the READMEs of the systems.
MARGINS = {
    FROM_NOTHING: (3.8, 0.045),
    "vietsv-ap-adam": (4.4, 0.2),
    "vietsv-ap-sgd": (4.4, 0.065),
    **{f"vietsv-amp-cos-{margin}": (4.4, 0.085) for margin in MARGINS_OF_TABLE_3},
    **{f"vietsv-amp-arc-{margin}": (4.4, 0.045) for margin in MARGINS_OF_TABLE_3},
    "vietsv-ecapa-hpm-adam": (2.5, 3.2),
    "vietsv-ecapa-hpm-sgd": (1.5, 2.4),
    "mtml-tdnn": (2.9, 0.4),
    "mtml-resnet": (1.9, 0.35),
    "mtml-eta-0.1": (2.5, 0.35),
    "mtml-eta-0.3": (3.4, 0.25),
    "mtml-eta-1": (5.7, 0.004),
}


def test_every_recipe_that_is_told_by_voices_is_among_them():
    assert set(MARGINS) == {name for name, recipe in recipes().items() if recipe.system in GOLDEN}


@pytest.mark.real
@pytest.mark.parametrize("name", MARGINS)
def test_a_recipe_lowers_its_loss_and_the_error_on_utterances_that_it_has_not_heard(
    name, speech, from_nothing, tmp_path
):
    system, found = from_nothing
    if name != FROM_NOTHING:
        is_tuned = recipes()[name].system == "angular_prototypical"
        begin = system.network.state_dict() if is_tuned else None
        _, found = learnt(name, speech, tmp_path / "run", begin=begin)
    eer, loss = MARGINS[name]
    assert found.loss_before - found.loss_after >= loss
    assert found.untrained - found.after >= eer
