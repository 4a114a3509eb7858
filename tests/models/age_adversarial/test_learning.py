"""Every recipe tells the age group of people of the demo whom it has not heard better than chance.

Networks are tiny and runs are of 24 steps: what differs from the paper's settings stands in
`tests.models.age_speech_made.small`. The 31 voices are synthetic, and their ages follow them
(`benchmarks.demo.people`): that a system finds it shows that features, networks, losses, labels and the loop work
together, and nothing of how well ages of people can be told. Each of three seeds has other weights and does not hear
another third, so that everybody is told once. That a discriminator hides subgroups is not asserted: at the paper's
alpha and in so few steps it hides none.
"""

import os

import pytest

from models.data.labels import classes_of, codes
from tests.models import demo_people_made
from tests.models.age_speech_made import DEMO, Runs, demo_of, pooled, require_beyond_chance
from tests.models.labelled_runs_made import of_system

SYSTEM = "age_adversarial"
FIRST = int(os.environ.get("VOXCURATE_SEED", "1"))


@pytest.fixture(scope="module")
def runs(once, tmp_path_factory):
    everybody = demo_people_made.people(once("demo-corpora-3", demo_people_made.write))
    spoken = {seed: demo_of(everybody, seed) for seed in range(FIRST, FIRST + 3)}
    return Runs(DEMO, tmp_path_factory.mktemp("runs"), spoken)


def test_nobody_is_heard_and_told_and_everybody_is_told_once(runs):
    told = [who for spoken in runs.spoken.values() for who in spoken.unheard.speech.people]
    assert len(told) == len({*told}) == 31
    for spoken in runs.spoken.values():
        assert {*spoken.heard.speech.people} == {*told} - {*spoken.unheard.speech.people}


@pytest.mark.parametrize("scheme", ["leq29", "leq17"])
def test_all_groups_and_both_sexes_are_heard_and_told(runs, scheme):
    for spoken in runs.spoken.values():
        for speech in (spoken.heard.speech, spoken.unheard.speech):
            group = codes(speech, classes_of(scheme), scheme)["age_group"]
            assert {*group.tolist()} >= {0, 1, 2}
            assert {*speech.sex} == {"female", "male"}
            of_person = {(person, code) for person, code in zip(speech.person, group, strict=True) if code >= 0}
            assert len(of_person) == len({person for person, _ in of_person}), "one group each"


@pytest.mark.parametrize("name", of_system(SYSTEM))
def test_a_recipe_tells_the_age_group_of_people_whom_it_has_not_heard(name, runs):
    runs.require_less_loss(name)
    runs.require_told(name, "age_group", margin=0.05)
    # 0.030 is the most of permutations that did as well as a row, where this was measured; others round otherwise
    require_beyond_chance(pooled(runs.told(name, "age_group")), share=0.9)
