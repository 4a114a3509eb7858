"""Tiny systems of the published recipes, and what they hear."""

import torch

from models.age_adversarial.recipe import RECIPES, made
from models.common.augment import SpecAugmentSettings
from models.data.labels import classes_of, group_of_subgroup
from tests.models.made import noises

ECAPA = {"num_bands": 16, "channels": 16, "scale": 2, "pooled_channels": 24, "dimension": 12}
ECAPA |= {"attention_channels": 8, "se_channels": 8}
RAWNET2 = {"filters": 8, "filter_size": 31, "channels": [8, 12], "gru_size": 10, "dimension": 6}
TINY = {"ecapa": ECAPA, "joined": {"ecapa": ECAPA, "rawnet2": RAWNET2}}
SAMPLES = 4_800
NO_MASKS = SpecAugmentSettings()


def recipe_of(name):
    return next(one for one in RECIPES if one.name == name)


def system_of(name, *, num_people=6, seed=0, masks=NO_MASKS, network=None, **settings):
    """The system of a recipe with tiny networks, and other settings where they are given."""
    told = dict(recipe_of(name).settings)
    told |= {"network": TINY[told["extractor"]] if network is None else network, "hidden": 10, **settings}
    torch.manual_seed(seed)
    return made(told, num_people=num_people, spec_augment=masks)


def waves(num=6, seed=0, num_samples=SAMPLES):
    return torch.tensor([one.tolist() for one in noises(seed, *[num_samples] * num)])


def labels_of(scheme, subgroups, *, person=None):
    """Of utterances of these subgroups; None is known of neither, and a group that stands for itself of it alone."""
    names = classes_of(scheme)
    groups = list(names["age_group"])
    place = {name: code for code, name in enumerate(names["age_subgroup"])}
    of = dict(zip(names["age_subgroup"], group_of_subgroup(scheme), strict=True))
    known = [-1 if one is None else groups.index(one) if one in groups else of[one] for one in subgroups]
    return {
        "person": torch.arange(len(subgroups)) % 6 if person is None else person,
        "age_group": torch.tensor(known),
        "age_subgroup": torch.tensor([place.get(one, -1) for one in subgroups]),
    }


MIXED = {
    "leq29": ("10-19", "20-29", "30-39", "80+", None, "senior"),
    "leq17": ("13-16", "17", "30-39", "80+", None, "senior"),
}
