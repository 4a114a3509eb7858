"""Every recipe tells sex and age group of people of the demo whom it has not heard better than chance.

Of its scheme's 20 to 69 years are 23 people; the others teach sex alone. As of the other age system, whose test of this
name says more: networks are tiny, runs are short, voices are synthetic, and each seed has other weights and does not
hear another third. The teacher of a distilled row is what its own recipe learnt from the same people: it has not heard
the others either.
"""

import os

import pytest

from tests.models import demo_people_made
from tests.models.age_speech_made import DEMO, Runs, Told, demo_of, pooled, require_beyond_chance
from tests.models.labelled_runs_made import of_system

SYSTEM = "mixup_distillation"
FIRST = int(os.environ.get("VOXCURATE_SEED", "1"))
TASKS = ("sex", "age_group", "age_subgroup")


@pytest.fixture(scope="module")
def runs(once, tmp_path_factory):
    everybody = demo_people_made.people(once("demo-corpora-3", demo_people_made.write))
    spoken = {seed: demo_of(everybody, seed) for seed in range(FIRST, FIRST + 3)}
    return Runs(DEMO, tmp_path_factory.mktemp("runs"), spoken)


@pytest.mark.parametrize("name", of_system(SYSTEM))
def test_a_recipe_tells_sex_and_age_group_of_people_whom_it_has_not_heard(name, runs):
    runs.require_less_loss(name)
    runs.require_told(name, "sex", margin=0.1)
    require_beyond_chance(pooled(runs.told(name, "sex")))
    runs.require_told(name, "age_group", margin=0.03)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("network", ["ecapa", "resnet"])
def test_the_rows_of_a_network_together_are_beyond_chance(network, task, runs):
    """Of one row alone so few people do not say that of ages. The runs are those of the test above."""
    of_each = [pooled(runs.told(name, task)) for name in of_system(SYSTEM) if f"-{network}-" in name]
    likely = sum(told.likely for told in of_each) / len(of_each)
    require_beyond_chance(Told(likely, of_each[0].true, of_each[0].person))
