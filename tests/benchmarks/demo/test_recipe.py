"""What the demo trains: VietSV's system, small, by settings that `curate train` takes."""

from pathlib import Path

import benchmarks.demo
from benchmarks.demo.people import PEOPLE
from models.common.augment import SpecAugmentSettings
from models.training.systems import module_of, recipe_of, recipes

RECIPE = recipe_of(str(Path(benchmarks.demo.__file__).with_name("recipe.toml")))


def test_it_is_the_papers_system_from_nothing():
    published = recipes()["vietsv-scratch-ap-adam"]
    assert (RECIPE.system, RECIPE.optimizer) == (published.system, published.optimizer)
    assert RECIPE.begins_with is None
    assert RECIPE.name not in recipes()


def test_it_is_small_enough_for_two_cores_and_a_minute():
    made = module_of(RECIPE.system).made(RECIPE.settings, num_people=20, spec_augment=SpecAugmentSettings())
    assert 200_000 < sum(parameter.numel() for parameter in made.network.parameters()) < 300_000
    heard_s = len(PEOPLE) * RECIPE.batches.utterances_each * RECIPE.batches.crop_s[1]  # a batch, of all there could be
    assert RECIPE.epochs * RECIPE.batches.passes * heard_s < 6_000


def test_everybody_is_in_a_batch_and_an_epoch_has_as_many_as_it_has_passes():
    assert RECIPE.batches.speakers >= len(PEOPLE) - 10  # those of the test


def test_nothing_is_chosen_by_the_list_of_the_test():
    assert RECIPE.validate_every == RECIPE.epochs
    assert RECIPE.patience is None
    assert RECIPE.schedule.schedule != "plateau"


def test_a_demo_that_is_killed_loses_a_few_steps():
    assert 0 < RECIPE.checkpoint_every < RECIPE.batches.passes  # the engine keeps none at the end of an epoch
