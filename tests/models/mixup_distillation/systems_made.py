"""Tiny systems of the published recipes, their teachers, and what they are tried on."""

import numpy as np
import torch

from models.common.augment import SpecAugmentSettings
from models.mixup_distillation.recipe import RECIPES, made, save_encoder
from models.training.recipe import Recipe
from tests.models.made import noises

BY_NAME = {recipe.name: recipe for recipe in RECIPES}
TINY = {
    "ecapa": {
        "num_bands": 16, "channels": 16, "pooled_channels": 24, "attention_channels": 8, "se_channels": 8,
        "dimension": 12,
    },
    "resnet": {"num_bands": 16, "channels": 8, "blocks": [1, 1, 1, 1], "attention_channels": 8, "dimension": 12},
}  # fmt: skip
LARGER = {"ecapa": {"pooled_channels": 32, "dimension": 10}, "resnet": {"channels": 16, "dimension": 10}}
NO_MASKS = SpecAugmentSettings()
OF_GROUP = [0, 0, 1, 1, 2]  # of `decades`
LABELS = {
    "person": torch.arange(6) % 3,
    "sex": torch.tensor([0, 1, 0, 1, -1, 0]),
    "age_group": torch.tensor([0, 1, 2, 0, -1, 1]),
    "age_subgroup": torch.tensor([0, 2, 4, 1, -1, -1]),
}
UNKNOWN = {task: torch.full((6,), -1) for task in LABELS}


def settings_of(recipe: Recipe, **changes):
    network = recipe.settings["network"] | TINY[recipe.settings["architecture"]]
    return recipe.settings | {"network": network, "hidden": 16} | changes


def system(name="mixup-ecapa-base", *, seed=0, masks=NO_MASKS, **changes):
    torch.manual_seed(seed)
    return made(settings_of(BY_NAME[name], **changes), num_people=3, spec_augment=masks)


def wave(seed=0, num=6, num_samples=8_000):
    return torch.from_numpy(np.stack(noises(seed, *[num_samples] * num)))


def teachers_in(folder):
    """Folders of tiny encoders that have heard a little, with other sizes of what they pool and embed."""
    places = {}
    for kind, sizes in LARGER.items():
        network = settings_of(BY_NAME[f"mixup-{kind}-teacher"])["network"] | sizes
        found = system(f"mixup-{kind}-teacher", seed=7, network=network)
        found.losses(wave(9), LABELS)
        places[kind] = folder / kind
        save_encoder(places[kind], found)
    return places


def tiny(recipe, teachers, **changes):
    """The system of a recipe, with a teacher where it wants one."""
    if recipe.settings["distance"] is not None:
        changes = {"teacher": str(teachers[recipe.settings["architecture"]])} | changes
    return system(recipe.name, masks=recipe.augmentation.spec_augment, **changes)


def state_of(module):
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[key]) for key, tensor in one.items())
