"""Recipes learn on real speech: their loss falls, and utterances that were not heard are told apart better than before.

Networks are tiny and runs are seconds long, on the pieces of LibriSpeech and EmoDB: that a loss, its optimiser and its
network work together, not what they are good for. What differs from the papers' settings stands in `small`. One recipe
stands for all that share a loss and an optimiser; what each gave over three seeds is told in the README of its system.
"""

import os
from dataclasses import replace

import numpy as np
import pytest

from models.data import pcm_cache
from models.training.recipe import Optimizer, Recipe
from models.training.schedules import Exponential, Step
from models.training.systems import recipes
from models.training.validation import Validation
from tests.models.recipes_made import spoken_by, system_of, trained, trials_of

NUM_HELD_OUT, MOST_HEARD, LONGEST_S = 4, 30, 4.0  # utterances of each person
HALF_RESNET = {"num_bands": 24, "channels": 8, "blocks": [1, 1, 1, 1], "attention_channels": 32, "dimension": 64}
RESNET = {"channels": 8, "blocks": [1, 1, 1, 1], "dimension": 64}
TDNN = {"channels": 64, "pooled_channels": 128, "dimension": 64}
SEED = int(os.environ.get("VOXCURATE_SEED", "1"))


def small(name: str) -> Recipe:
    """A recipe for 17 people on a processor: about 50 steps.

    VietSV: batches of 16 people, 1 s, and rates at which so few steps show: Adam 0.001; SGD 0.01 with a momentum of
    0.9, since these runs begin from nothing, where the paper's fine-tune. MTML: batches of 6 or 8 people, 1 to 1.3 s;
    the ResNet at twice the paper's rates.
    """
    recipe = recipes()[name]
    if recipe.system == "angular_prototypical":
        is_adam = recipe.optimizer.kind == "adam"
        return replace(
            recipe,
            settings=recipe.settings | {"network": HALF_RESNET},
            batches=replace(recipe.batches, speakers=16, crop_s=(1.0, 1.0), passes=10),
            optimizer=recipe.optimizer if is_adam else Optimizer(kind="sgd", momentum=0.9),
            schedule=Step(rate=0.001 if is_adam else 0.01),
            epochs=6,
            readers=1,
            seed=SEED,
        )
    is_tdnn = recipe.settings["architecture"] == "tdnn"
    return replace(
        recipe,
        settings=recipe.settings | {"network": TDNN if is_tdnn else RESNET},
        batches=replace(recipe.batches, speakers=8 if is_tdnn else 6, crop_s=(1.0, 1.3), passes=7),
        schedule=Exponential() if is_tdnn else Exponential(first_rate=2e-3, last_rate=2e-4),
        epochs=4 if is_tdnn else 2,
        readers=1,
        seed=SEED,
    )


@pytest.fixture(scope="module")
def heard(corpora, tmp_path_factory):
    """What is trained on, decoded once, and a validation on other utterances of the same people; on people unheard."""
    files = {}
    for path in sorted(corpora.glob("LibriSpeech/*/*/*/*.flac")):
        files.setdefault(f"librispeech/{path.parts[-3]}", []).append(path)
    for path in sorted(corpora.glob("emodb/wav/*.wav")):
        files.setdefault(f"emodb/{path.name[:2]}", []).append(path)
    unheard = {who for corpus in ("emodb", "librispeech") for who in sorted(w for w in files if corpus in w)[-3:]}
    kept, held_out, new = {}, {}, {}
    for who, paths in sorted(files.items()):
        if who in unheard:
            new[who] = paths[:: max(1, len(paths) // 8)][:8]
            continue
        held_out[who] = paths[:: len(paths) // NUM_HELD_OUT][:NUM_HELD_OUT]
        kept[who] = [path for path in paths if path not in held_out[who]][:MOST_HEARD]
    cache = tmp_path_factory.mktemp("cache")
    found = []
    for chosen in (kept, held_out, new):
        speech = spoken_by(chosen, longest_s=LONGEST_S if chosen is kept else 3.0)
        pcm_cache.write(speech, cache)
        found.append(pcm_cache.MappedReader(speech, cache))
    validations = [Validation(trials=trials_of(one.speech), reader=one, longest_s=3.0) for one in found[1:]]
    return found[0], *validations


# Points of EER, fewer than each of three seeds gained. Normalisation alone, which hears the crops, gains some, but
# lowers no loss: see the READMEs of the systems. `VOXCURATE_SEED` chooses another seed.
MARGINS = {
    "vietsv-scratch-ap-adam": 7.0,
    "vietsv-amp-cos-0.2": 5.0,
    "vietsv-amp-arc-0.1": 3.0,
    "mtml-tdnn": 3.5,
    "mtml-eta-0.3": 5.0,
    "mtml-eta-1": 8.0,
}


@pytest.mark.real
@pytest.mark.parametrize("name", MARGINS)
def test_a_recipe_lowers_its_loss_and_the_error_on_utterances_that_it_has_not_heard(name, heard, tmp_path):
    reader, held_out, _ = heard
    recipe = small(name)
    system = system_of(recipe, len(reader.speech.people))
    before = held_out(system).error
    losses = [step["loss"] for step in trained(recipe, system, reader.speech, reader, tmp_path / "run")]
    after = held_out(system).error
    fifth = len(losses) // 5
    assert np.mean(losses[-fifth:]) < np.mean(losses[:fifth])
    assert 100 * (before - after) >= MARGINS[name]
