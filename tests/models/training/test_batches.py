"""What is learnt from which utterances: labels, texts, who is left out, and in which batches."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from curate.errors import TrainingError
from models.data.texts import LIBRISPEECH
from models.training.batches import lessons_of
from models.training.recipe import Batches, Whole
from tests.models.training.runs_made import recipe, spoken

AGES = [(20, 20), (40, 40), None, (65, 70), (25, 35), (33, 33)]  # of each person; the fifth is in no one group
TELLS = SimpleNamespace(tasks={"age_group": ("young", "adult", "senior")}, labels_needed=("age_subgroup",))
READS = SimpleNamespace(
    tasks={},
    labels_needed=(),
    age_scheme=None,
    vocabulary=LIBRISPEECH,
    texts_too_long=lambda num_samples, texts: np.array([len(text) > 20 for text in texts]),
)
CROPS = Batches(utterances=4, crop_s=(0.2, 0.2))


def told(**changes):
    return SimpleNamespace(**{**vars(TELLS), "age_scheme": "leq29", "vocabulary": None, **changes})


def aged(ages=AGES):
    speech = spoken()
    return replace(speech, ages=[ages[person] for person in speech.person])


def read(texts):
    speech = spoken()
    return replace(speech, transcripts=[texts[row % len(texts)] for row in range(len(speech))])


def rows_of(planned):
    return sorted(np.concatenate([one.utterances for one in planned]).tolist())


def test_who_has_no_group_is_not_heard_and_a_subgroup_may_be_unknown(caplog):
    caplog.set_level("INFO", "voxcurate")
    found = lessons_of(recipe(batches=CROPS), told(), aged(), 24)
    assert rows_of(found.sampler.plan(1)) == [*range(8), *range(12, 16), *range(20, 24)]
    assert found.labels["age_group"][::4].tolist() == [0, 1, -1, 2, -1, 1]
    assert found.labels["age_subgroup"][::4].tolist() == [2, 4, -1, -1, -1, 3]
    assert caplog.messages == ["train: 8 utterances of 24 left out: no age_group (leq29) is known"]


def test_who_has_one_of_two_classes_is_heard(caplog):
    caplog.set_level("INFO", "voxcurate")
    sexes = ["female", "male", None, None, "female", "male"]  # of each person; the third is known by neither
    speech = aged()
    speech = replace(speech, sex=[sexes[person] for person in speech.person])
    tells = told(tasks={"sex": ("female", "male"), **TELLS.tasks})
    found = lessons_of(recipe(batches=CROPS), tells, speech, 24)
    assert rows_of(found.sampler.plan(1)) == [*range(8), *range(12, 24)]
    assert caplog.messages == [
        "train: 4 utterances of 24 left out: no sex or age_group (leq29) is known",
        "train: sex: not known of 4 of 20 utterances",
        "train: age_group: not known of 4 of 20 utterances",
    ]


def test_two_classes_at_least_and_what_nobody_is(caplog):
    caplog.set_level("INFO", "voxcurate")
    lessons_of(recipe(batches=CROPS), told(), aged([(20, 20), (40, 40)] * 3), 24)
    assert caplog.messages == ["train: age_group: nobody is senior"]
    with pytest.raises(TrainingError, match=r"^no two classes of age_group occur in the split; expected some of "):
        lessons_of(recipe(batches=CROPS), told(), aged([(20, 20)] * 6), 24)


def test_whole_utterances_are_those_whose_text_can_be_written_and_that_fit(caplog):
    caplog.set_level("INFO", "voxcurate")
    speech = read(["a tone", None, "Ünder", "two words"])
    speech.num_samples[7] *= 9
    asked = recipe(batches=None, whole=Whole(seconds=4.0, learns=("text",)))
    found = lessons_of(asked, READS, speech, 24)
    planned = found.sampler.plan(1)
    assert rows_of(planned) == [row for row in range(24) if row % 4 in (0, 3) and row != 7]
    assert {one.learns for one in planned} == {("text",)}
    assert {one.num_samples for one in planned} == {0}
    assert all(len(one.utterances) <= 4 for one in planned)
    assert LIBRISPEECH.decoded(np.insert(found.texts[0], range(1, len(found.texts[0])), 0)) == "A TONE"
    assert caplog.messages[0].startswith("train: 12 utterances of 24 left out of reading: 6 without a text, 6 with")
    assert caplog.messages[1] == "train: 1 utterance of 24 left out, such as p1/3: longer than a batch, 4 s"
    with pytest.raises(TrainingError, match=r"^no utterance of 24 can be learnt from whole"):
        lessons_of(asked, READS, read([None]), 24)


def test_a_text_that_its_frames_cannot_write_is_learnt_and_told(caplog):
    caplog.set_level("INFO", "voxcurate")
    speech = read(["a tone", "more than anybody could say"])
    asked = recipe(batches=None, whole=Whole(seconds=4.0, learns=("text",)))
    assert rows_of(lessons_of(asked, READS, speech, 24).sampler.plan(1)) == [*range(24)]
    assert caplog.messages == [
        "train: 12 utterances of 24, such as p0/1: fewer frames than its text needs; its loss is 0"
    ]


def test_what_is_cropped_need_not_be_read(caplog):
    """Of 16 utterances there are crops; two of the 8 others are read."""
    caplog.set_level("INFO", "voxcurate")
    speech = read([None])
    speech = replace(speech, transcripts=[*[None] * 8, *["a"] * 10, *[None] * 6])
    asked = recipe(batches=CROPS, whole=Whole(seconds=3.0, learns=("text",)), accumulate=2)
    found = lessons_of(asked, READS, speech, 16)
    assert caplog.messages == ["train: 6 utterances of 8 left out of reading: 6 without a text"]
    assert [row for row, text in enumerate(found.texts) if len(text)] == [16, 17]
    assert set(rows_of(found.sampler.plan(1)[0::2])) == {16, 17}


def test_batches_of_two_kinds_come_in_turn_and_an_epoch_may_have_so_many_steps():
    asked = recipe(batches=CROPS, whole=Whole(seconds=3.0, learns=("text",)), accumulate=2, epochs=3)
    planned = lessons_of(asked, READS, read(["a"]), 16).sampler.plan(1)
    assert [one.learns for one in planned] == [("text",), ("person",)] * 4
    assert rows_of(planned[0::2]) == sorted([*range(16, 24), *rows_of(planned[6:8:2])]), "8 of 3 each, and 3 again"
    assert rows_of(planned[1::2]) == [*range(16)]
    steps = lessons_of(replace(asked, steps_an_epoch=7), READS, read(["a"]), 16).sampler.plan(2)
    assert [one.learns for one in steps] == [("text",), ("person",)] * 7
    same = lessons_of(asked, READS, read(["a"]), 24).sampler.plan(1)
    assert set(rows_of(same[0::2])) == set(rows_of(same[1::2])) == {*range(24)}, "of the same utterances"
