"""The recipes of the mixup distillation paper: each has what the paper prints, and a step of it is finite."""

import json
import re
from dataclasses import asdict

import pytest
import torch

from models.common.augment import AugmentationSettings
from models.mixup_distillation.model import STUDENTS, TEACHERS
from models.mixup_distillation.recipe import RECIPES, made
from models.training.system import written_out
from tests.models.mixup_distillation.systems_made import BY_NAME, LABELS, NO_MASKS, tiny, wave

# Table 1: F1 of sex and of age groups in %, what is distilled by, and whether there is CH.
TABLE = """
mixup-ecapa-teacher   99.84 96.78 -      -
mixup-ecapa-base      97.13 70.01 -      -
mixup-ecapa-mkd-mse   96.67 66.75 mse    -
mixup-ecapa-mkd-cos   96.89 67.43 cosine -
mixup-ecapa-ch        97.35 81.82 -      CH
mixup-ecapa-mkd-ch    98.42 85.09 cosine CH
mixup-resnet-teacher  99.86 94.11 -      -
mixup-resnet-base     95.26 73.00 -      -
mixup-resnet-mkd-mse  -     -     mse    -
mixup-resnet-mkd-cos  96.07 73.05 cosine -
mixup-resnet-ch       97.55 77.66 -      CH
mixup-resnet-mkd-ch   98.96 87.83 cosine CH
"""
ROWS = [row.split() for row in TABLE.strip().splitlines()]


def test_the_public_rows_of_table_1_are_published_and_no_others():
    assert [recipe.name for recipe in RECIPES] == [row[0] for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_recipe_is_its_row_and_section_4(row):
    name, sex, group, by, ch = row
    recipe = BY_NAME[name]
    architecture = recipe.settings["architecture"]
    assert recipe.system == "mixup_distillation"
    assert name.split("-")[1] == architecture
    sizes = (TEACHERS if name.endswith("teacher") else STUDENTS)[architecture]
    assert recipe.settings["network"] == written_out(sizes)
    assert recipe.settings["distance"] == (None if by == "-" else by)
    assert recipe.settings["teacher"] is None
    assert recipe.settings["hierarchical"] == (ch == "CH")
    assert (recipe.settings["mixup_share"], recipe.settings["distance_weight"]) == (0.7, 0.25)
    assert (recipe.settings["smoothing"], recipe.settings["scheme"]) == (0.1, "decades")
    assert sex == "-" or f"F1 {sex} % of sex, {group} % of age groups on " in recipe.source
    assert (recipe.batches.utterances, recipe.batches.speakers, recipe.batches.crop_s) == (12, 0, (3.0, 3.0))
    assert asdict(recipe.optimizer) == {"kind": "adam", "momentum": 0.0, "weight_decay": 0.0}
    assert (recipe.schedule.rate, recipe.schedule.factor) == (1e-4, 0.8)
    assert (recipe.schedule.num_epochs, recipe.schedule.first_epoch, recipe.epochs) == (4, 2, 10)
    masks = recipe.augmentation.spec_augment
    assert (masks.num_time_masks, masks.num_frequency_masks) == ((0, 0) if by == "-" else (1, 1))
    assert recipe.augmentation == AugmentationSettings(spec_augment=masks)
    assert json.loads(json.dumps(recipe.plain()["settings"])) == recipe.settings


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_step_of_a_recipe_is_finite_and_reaches_all_that_learns(recipe, teachers):
    found = tiny(recipe, teachers)
    parts = found.losses(wave(), LABELS)
    parts["loss"].backward()
    expected = {"loss", "sex", "age_group", "age_subgroup"}
    expected |= {"distance"} if recipe.settings["distance"] else set()
    expected |= {"dependency"} if recipe.settings["hierarchical"] else set()
    assert parts.keys() == expected
    assert all(torch.isfinite(part) and part.dtype == torch.float32 and part.ndim == 0 for part in parts.values())
    learning = [parameter for parameter in found.parameters() if parameter.requires_grad]
    assert all(torch.isfinite(parameter.grad).all() for parameter in learning)
    assert {id(parameter) for parameter in found.network.parameters()} <= set(map(id, learning))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architecture": "tdnn"}, "architecture: Input should be 'ecapa' or 'resnet'"),
        ({"distance": "l1"}, "distance: Input should be 'mse' or 'cosine'"),
        ({"mixup_window": 4}, "settings: mixup_window 4; expected an odd number, as many before as after"),
        ({"mixup_share": 1.1}, "mixup_share: Input should be less than or equal to 1"),
        ({"margin": 1.0}, "margin: Input should be less than 1"),
        ({"gamma_negative": -1.0}, "gamma_negative: Input should be greater than or equal to 0"),
        ({"scheme": "leq30"}, "scheme: 'leq30'; expected one of leq29, leq17, decades"),
        ({"teacher": "x"}, "settings: teacher x without a distance; expected mse or cosine"),
        ({"network": {"scale": 1}}, "network: channels 680 must be a multiple of scale 1"),
        ({"network": {"blocks": [1] * 4}}, "network.blocks: Unexpected keyword argument"),
        ({"lambda": 1}, "lambda: Unexpected keyword argument"),
    ],
)
def test_settings_that_are_none_of_it_are_told_in_a_line(changes, says):
    with pytest.raises(ValueError, match=rf"^{re.escape(says.removeprefix('settings: '))}[^\n]*$"):
        made(BY_NAME["mixup-ecapa-base"].settings | changes, num_people=3, spec_augment=NO_MASKS)
