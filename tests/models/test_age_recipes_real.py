"""The age systems learn on EmoDB, whose ten actors the design `examples/emodb/design.toml` puts into age groups.

Networks are tiny and runs are of 36 to 60 steps: `tests.models.age_speech_made.small`. Sex is the easy task: each row
of either system tells that of five actors whom it has not heard, by the design's draws of three seeds; rows of the
adversarial system, which know age groups alone, by groups that are the sexes. Of ages ten people teach nothing that
holds for another: to tell them, the rows of E hear all ten, and tell the group of other sentences of theirs by two
seeds, where who knows the voice knows the age. By the design's scheme in the place of their own, the rows of leq29 and
of leq17 are the same: each is run once.
"""

import os

import pytest

from models.training.systems import recipes
from tests.models.age_speech_made import (
    EMODB,
    Runs,
    actors_of,
    all_of,
    by_sex,
    emodb,
    pooled,
    require_beyond_chance,
    sentences_of,
    small,
)
from tests.models.labelled_runs_made import of_system

pytestmark = pytest.mark.real

FIRST = int(os.environ.get("VOXCURATE_SEED", "1"))
SEEDS = (FIRST, FIRST + 1, FIRST + 2)


@pytest.fixture(scope="module")
def catalog(corpora, tmp_path_factory):
    return emodb(tmp_path_factory.mktemp("emodb"), corpora)


@pytest.fixture(scope="module")
def everybody(catalog):
    return all_of(catalog)


@pytest.fixture(scope="module")
def on_actors(catalog, everybody, tmp_path_factory):
    spoken = {seed: actors_of(catalog, everybody, seed) for seed in SEEDS}
    return Runs(EMODB, tmp_path_factory.mktemp("actors"), spoken)


@pytest.fixture(scope="module")
def on_sexes(catalog, everybody, tmp_path_factory):
    people = by_sex(everybody)
    return Runs(EMODB, tmp_path_factory.mktemp("sexes"), {seed: actors_of(catalog, people, seed) for seed in SEEDS})


@pytest.fixture(scope="module")
def on_sentences(everybody, tmp_path_factory):
    return Runs(EMODB, tmp_path_factory.mktemp("sentences"), dict.fromkeys(SEEDS[:2], sentences_of(everybody)))


def require_others(runs):
    for spoken in runs.spoken.values():
        heard, unheard = (reader.speech for reader in spoken)
        assert (len(heard.people), len(unheard.people)) == (5, 5)
        assert not {*heard.people} & {*unheard.people}


@pytest.mark.parametrize("name", of_system("mixup_distillation"))
def test_a_row_of_the_mixup_system_tells_the_sex_of_actors_whom_it_has_not_heard(name, on_actors):
    require_others(on_actors)
    on_actors.require_less_loss(name)
    on_actors.require_told(name, "sex", margin=0.1)


ROWS = [name for name in of_system("age_adversarial") if name.startswith("age-leq29")]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_adversarial_system_tells_groups_that_are_the_sexes_of_actors_whom_it_has_not_heard(
    name, on_sexes
):
    require_others(on_sexes)
    on_sexes.require_less_loss(name)
    on_sexes.require_told(name, "age_group", margin=0.1)
    require_beyond_chance(pooled(on_sexes.told(name, "age_group")))


@pytest.mark.parametrize("name", [name for name in ROWS if "-e-r-" not in name])
def test_a_row_of_the_adversarial_system_tells_the_group_of_sentences_that_it_has_not_heard(name, on_sentences):
    other = name.replace("leq29", "leq17")
    assert small(name, EMODB, 1).settings == small(other, EMODB, 1).settings
    on_sentences.require_less_loss(name)
    on_sentences.require_told(name, "age_group", margin=0.03)


def test_no_row_is_left_out():
    assert {*ROWS, *(name.replace("leq29", "leq17") for name in ROWS)} == {*of_system("age_adversarial")}
    assert {*of_system("age_adversarial"), *of_system("mixup_distillation")} == {
        name for name in recipes() if name.startswith(("age-", "mixup-"))
    }
