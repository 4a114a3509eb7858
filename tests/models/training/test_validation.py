"""The EER of a system on trials: by hand, by brute force, and whatever the batches are that it is heard in."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import TrainingError
from models.data.crops import RATE_HZ, Reader
from models.training.engine import Validated
from models.training.system import System
from models.training.systems import module_of, recipes
from models.training.validation import ReadingValidation, Validation
from tests.models.training.runs_made import TINY, spoken


class Waves(Reader):
    """Waveforms in memory."""

    def __init__(self, waves):
        speech = spoken(len(waves), 1)
        object.__setattr__(speech, "num_samples", np.array([len(wave) for wave in waves]))
        super().__init__(speech)
        self.waves, self.read = waves, []

    def read_into(self, row, first, out):
        self.read.append((row, first, len(out)))
        out[:] = self.waves[row][first : first + len(out)]


class FirstSamples(System):
    """The vector of a waveform are its first two samples."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def losses(self, wave, labels):
        return {"loss": self.weight.sum()}

    def embed(self, wave, samples=None):
        assert not self.training
        return wave[:, :2] * self.weight


def validation(waves, pairs, *, longest_s=1.0):
    reader = Waves([np.array(wave, np.float32) for wave in waves])
    ids = reader.speech.utterance_ids.to_pylist()
    trials = pa.table(
        {
            "enrol_id": [ids[one] for one, _, _ in pairs],
            "test_id": [ids[other] for _, other, _ in pairs],
            "is_target": [is_target for _, _, is_target in pairs],
        }
    )
    return Validation(trials=trials, reader=reader, longest_s=longest_s)


def test_an_eer_worked_by_hand():
    """Cosines 1, 0.6 and 0 of targets; 0.8, 0.6 x 0.8 + 0.8 x 0.6 = 0.96 and -1 of others."""
    waves = [(1, 0), (2, 0), (0.6, 0.8), (0, 3), (0.8, 0.6), (-1, 0)]
    pairs = [(0, 1, True), (0, 2, True), (0, 3, True), (0, 4, False), (2, 4, False), (0, 5, False)]
    asked, system = validation(waves, pairs), FirstSamples()
    np.testing.assert_allclose(asked.scores(system), [1, 0.6, 0, 0.8, 0.96, -1], atol=1e-6)
    found = asked(system)
    assert found.counts == {"num_target": 3, "num_nontarget": 3}
    assert found.error == pytest.approx(2 / 3), (
        "with a threshold of 0.8, only 1 of the targets passes, and 0.8 and 0.96"
    )
    assert system.training, "it goes on in the mode that it was in"


class TellsByFirstSample(FirstSamples):
    """Three groups and two sexes, as likely as the first five samples say."""

    tasks: ClassVar = {"age_group": ("young", "adult", "senior"), "sex": ("female", "male")}

    def tell(self, wave, samples=None):
        return {"age_group": wave[:, :3] * self.weight, "sex": wave[:, 3:5] * self.weight}


def test_an_error_of_classes_worked_by_hand():
    """Groups: young, young, adult told of young, adult, unknown: F1 of young 2/3, of adult 0. Sexes: all right."""
    waves = [(0.9, 0.1, 0, 1, 0), (0.8, 0.1, 0.1, 0, 1), (0, 1, 0, 1, 0)]
    asked = replace(
        validation(waves, []), trials=None, labels={"age_group": np.array([0, 1, -1]), "sex": np.arange(3) % 2}
    )
    found = asked(TellsByFirstSample())
    assert found.measure == "class_error"
    assert found.counts == {"num_age_group": 2, "num_sex": 3}
    assert found.error == pytest.approx(1 - (1 / 3 + 1) / 2)
    told = asked.told(TellsByFirstSample())
    np.testing.assert_allclose(told["sex"], [[1, 0], [0, 1], [1, 0]])


def test_a_task_of_which_nothing_is_known_does_not_count():
    waves = [(0.9, 0.1, 0, 1, 0), (0.8, 0.1, 0.1, 0, 1)]
    labels = {"age_group": np.array([-1, -1]), "sex": np.array([0, 0])}
    found = replace(validation(waves, []), trials=None, labels=labels)(TellsByFirstSample())
    assert found.counts == {"num_age_group": 0, "num_sex": 2}
    assert found.error == pytest.approx(1 - 2 / 3), "one class is true; who says the other too loses precision"


def test_what_is_told_and_is_no_number_is_told():
    asked = replace(validation([(0, 0, 0, np.nan, 0)], []), trials=None, labels={})
    with pytest.raises(TrainingError, match=r"^p0/0: its sex is not finite"):
        asked.told(TellsByFirstSample())


class ReadsLengths(FirstSamples):
    """Of each utterance as many words as the first sample says."""

    def transcribe(self, wave, samples=None):
        return [" ".join(["word"] * round(float(one[0]))) for one in wave]


def test_what_is_read_and_who_is_compared_worked_by_hand():
    """A word of two is lost, one of three is another, and the last is not read: 3 of 9. Cosines are 0.95 and 0."""
    waves = [(1, 0), (3, 1), (3, 1), (0, 2)]
    asked = validation(waves, [(0, 1, True), (0, 3, False)])
    speech = replace(asked.reader.speech, transcripts=["Word, word!", "word word words", "word word word", "word"])
    asked.reader.speech = speech
    assert asked.written(ReadsLengths()) == ["word", "word word word", "word word word", ""]
    found = ReadingValidation(read=asked, compared=asked)(ReadsLengths())
    assert found.measure == "wer_eer"
    assert found.parts == {"wer": pytest.approx(3 / 9), "eer": 0.0}
    assert found.error == pytest.approx(0.25 * 3 / 9)
    assert found.counts == {"num_words": 9, "num_target": 1, "num_nontarget": 1}
    assert ReadingValidation(read=asked, compared=None)(ReadsLengths()) == Validated(3 / 9, "wer", {"num_words": 9})
    assert ReadingValidation(read=None, compared=asked)(ReadsLengths()).measure == "eer"


def brute_force(targets, others):
    """Where the false accepts and the false rejects cross on the straight lines between all thresholds."""
    thresholds = sorted({*targets, *others, np.inf})
    misses = [np.mean(np.array(targets) < threshold) for threshold in thresholds]
    accepts = [np.mean(np.array(others) >= threshold) for threshold in thresholds]
    for at, (miss, accept) in enumerate(zip(misses, accepts, strict=True)):
        if miss >= accept:
            if miss == accept or at == 0:
                return miss
            before = accepts[at - 1] - misses[at - 1]
            share = before / (before + miss - accept)
            return misses[at - 1] + share * (miss - misses[at - 1])
    raise AssertionError


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True),
    st.lists(st.integers(41, 80), min_size=1, max_size=12, unique=True),
    st.randoms(use_true_random=False),
)
def test_an_eer_is_that_of_all_thresholds(some, others, chance):
    """Angles without ties, dealt to both kinds by chance."""
    angles = [*some, *others]
    chance.shuffle(angles)
    num_target = len(some)
    waves = [(1.0, 0.0), *((np.cos(angle / 30), np.sin(angle / 30)) for angle in angles)]
    pairs = [(0, at + 1, at < num_target) for at in range(len(angles))]
    scores = [np.cos(angle / 30) for angle in angles]
    expected = brute_force(scores[:num_target], scores[num_target:])
    assert validation(waves, pairs)(FirstSamples()).error == pytest.approx(expected, abs=1e-9)


def test_an_utterance_is_heard_from_its_start_up_to_the_longest():
    rng = np.random.default_rng(0)
    waves = [rng.normal(size=num) for num in (RATE_HZ, 2 * RATE_HZ, 100)]
    asked = validation(waves, [(0, 1, True), (0, 2, False)], longest_s=1.25)
    asked(FirstSamples())
    assert sorted(asked.reader.read) == [(0, 0, RATE_HZ), (1, 0, RATE_HZ * 5 // 4), (2, 0, 100)]


def test_a_vector_that_is_not_finite_is_told_by_name():
    asked = validation([(1, 0), (np.nan, 0), (np.inf, 1)], [(0, 1, True), (0, 2, False)])
    system = FirstSamples()
    with pytest.raises(
        TrainingError, match=r"^p1/0: its vector is not finite; expected a system that has not diverged$"
    ):
        asked(system)
    assert system.training


SMALL = {  # where a system's sizes are told, and small ones
    "vietsv-scratch-ap-adam": {"network": TINY},
    "mtml-resnet": {"network": {"channels": 8, "blocks": [1, 1, 1, 1]}},
    "mtml-tdnn": {"network": {"channels": 16, "pooled_channels": 24}},
    "vietsv-ecapa-hpm-adam": {
        "network": {"channels": 16, "pooled_channels": 24, "attention_channels": 8, "se_channels": 8}
    },
}


@pytest.mark.parametrize("name", SMALL)
def test_padded_batches_give_the_vectors_of_one_by_one(name, monkeypatch):
    asked = recipes()[name]
    torch.manual_seed(0)
    system = module_of(asked.system).made(
        asked.settings | SMALL[name], num_people=4, spec_augment=asked.augmentation.spec_augment
    )
    rng = np.random.default_rng(0)
    waves = [0.1 * rng.normal(size=length) for length in (16_000, 12_345, 8_000, 7_999, 16_001)]
    alone = validation(waves, []).vectors(system)
    sizes, embed = [], type(system).embed

    def noted(self, wave, samples=None):
        sizes.append(len(wave))
        return embed(self, wave, samples)

    monkeypatch.setattr(type(system), "embed", noted)
    together = replace(validation(waves, []), batch_s=2.0).vectors(system)
    assert max(sizes) > 1
    scale = np.abs(alone).max()
    np.testing.assert_allclose(together / scale, alone / scale, atol=1e-4)


class Full(FirstSamples):
    """Its memory takes three waveforms, or fewer."""

    def __init__(self, most=3):
        super().__init__()
        self.most, self.sizes = most, []

    def embed(self, wave, samples=None):
        self.sizes.append(len(wave))
        if len(wave) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().embed(wave, samples)


def test_batches_that_memory_does_not_take_are_heard_in_halves():
    waves = [(at, 1) for at in range(1, 12)]
    system = Full()
    found = replace(validation(waves, []), batch_s=1.0).vectors(system)
    assert found.tolist() == [list(wave) for wave in waves]
    assert system.sizes == [11, 5, 2, 3, 6, 3, 3]
    with pytest.raises(
        TrainingError, match=r"^p0/0: 0\.0 s do not fit into the memory of cpu .* `validate_s`, or `validate_whole_s` "
    ):
        replace(validation(waves, []), batch_s=1.0)(Full(most=0))
