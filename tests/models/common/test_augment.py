"""What augmentation of waveforms promises: levels, rooms and pitch measured by another route, and what seeds it."""

import json
import random

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from models.common.augment import (
    Augmentation,
    AugmentationSettings,
    ImpulseResponses,
    SpecAugmentSettings,
    at_speed,
)
from tests.models.made import noise, noises

PERSON = torch.arange(8)
SETTINGS = TypeAdapter(AugmentationSettings)


def write(file, samples, rate=16_000, **how):
    file.parent.mkdir(exist_ok=True, parents=True)
    soundfile.write(file, samples, rate, **how)
    return file


def as_float(file, samples, rate=16_000):
    """Without rounding."""
    return write(file.with_suffix(".wav"), samples, rate, subtype="FLOAT")


def batch(num_samples=8_000, seed=0):
    """(8, N)."""
    return torch.from_numpy(np.stack(noises(seed, *[num_samples] * 8)))


def augmented(wave, seed=0, num_people=8, num_samples=0, **settings):
    augmentation = Augmentation(AugmentationSettings(**settings), num_people)
    return drawn(augmentation, wave, seed, num_samples)[0]


def drawn(augmentation, wave, seed=0, num_samples=0, person=PERSON):
    """What comes of a batch when both generators are seeded, as the engine does before each step."""
    torch.manual_seed(seed)
    random.seed(seed)
    return augmentation(wave, person, num_samples)


def decibels(ratio):
    return 10 * ratio.log10()


@pytest.fixture
def noise_folder(tmp_path):
    """Longer and shorter than a batch, at another rate, with two channels, in another format, and what is no sound."""
    folder = tmp_path / "noise"
    as_float(folder / "long", noise(1, 40_000))
    as_float(folder / "deeper" / "short", noise(2, 1_500))
    as_float(folder / "telephone", noise(3, 9_001), 8_000)
    as_float(folder / "stereo", np.stack([noise(4, 20_000), np.zeros(20_000, np.float32)], axis=1))
    write(folder / "LOUD.FLAC", noise(5, 12_345, level=0.3))
    (folder / "README").write_text("no sound")
    return folder


@pytest.fixture
def rooms(tmp_path):
    """Impulse responses whose loudest sample comes late, and not in all alike."""
    folder = tmp_path / "rooms"
    for seed, (length, delay) in enumerate([(300, 20), (2_000, 0), (900, 333)]):
        response = noise(seed, length, level=0.02) * np.exp(-np.arange(length) / 200, dtype=np.float32)
        response[delay] = -0.5
        as_float(folder / f"{seed}", response)
    return folder


@pytest.fixture
def everything(noise_folder, rooms):
    return Augmentation(
        AugmentationSettings(
            noise_folder=noise_folder,
            noise_probability=0.7,
            reverb_folder=rooms,
            reverb_probability=0.5,
            gain_probability=0.5,
            polarity_probability=0.5,
            speeds=(0.9, 1.0, 1.1),
        ),
        num_people=8,
    )


def test_as_it_stands_nothing_is_changed():
    wave = batch()
    heard, person = drawn(Augmentation(AugmentationSettings(), 8), wave)
    assert torch.equal(heard, wave)
    assert torch.equal(person, PERSON)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 7.5, 20.0])
def test_noise_is_so_far_below_speech_as_is_said(noise_folder, snr_db):
    wave = batch()
    heard = augmented(wave, noise_folder=noise_folder, noise_snr_db=(snr_db, snr_db), noise_probability=1.0)
    speech, added = wave.double(), heard.double() - wave.double()
    measured = decibels(speech.square().mean(dim=1) / added.square().mean(dim=1))
    assert measured.numpy() == pytest.approx(np.full(8, snr_db), abs=0.1)


def test_ratios_are_spread_over_what_is_said(noise_folder):
    wave = batch()
    found = []
    for seed in range(25):
        heard = augmented(wave, seed, noise_folder=noise_folder, noise_snr_db=(5.0, 15.0), noise_probability=1.0)
        added = heard.double() - wave.double()
        found.append(decibels(wave.double().square().mean(dim=1) / added.square().mean(dim=1)))
    found = torch.cat(found)
    assert found.min() == pytest.approx(5, abs=0.3)
    assert found.max() == pytest.approx(15, abs=0.3)
    assert found.mean() == pytest.approx(10, abs=0.7)  # 200 of a spread of 2.9: three times 0.2


def test_what_is_added_is_a_stretch_of_the_file(tmp_path):
    file = as_float(tmp_path / "noise" / "one", noise(1, 40_000))
    wave = batch()
    added = augmented(wave, noise_folder=file.parent, noise_probability=1.0) - wave
    starts = set()
    for row in added.double().numpy():
        likeness = scipy.signal.correlate(noise(1, 40_000).astype(float), row, mode="valid", method="fft")
        start = int(likeness.argmax())
        stretch = noise(1, 40_000)[start : start + len(row)]
        assert np.corrcoef(stretch, row)[0, 1] > 0.99999
        starts.add(start)
    assert len(starts) == 8


def test_all_files_are_heard(tmp_path):
    for hz in (500, 1_500, 2_500):
        as_float(tmp_path / "tones" / str(hz), np.sin(2 * np.pi * hz * np.arange(20_000) / 16_000).astype(np.float32))
    wave = batch()
    added = augmented(wave, noise_folder=tmp_path / "tones", noise_snr_db=(0.0, 0.0), noise_probability=1.0) - wave
    loudest = torch.fft.rfft(added).abs().argmax(dim=1) * 2  # Hz: 8,000 samples
    assert set(loudest.tolist()) == {500, 1_500, 2_500}


def test_silence_as_noise_or_as_speech_adds_nothing(tmp_path):
    as_float(tmp_path / "silent" / "one", np.zeros(9_000, np.float32))
    as_float(tmp_path / "loud" / "one", noise(1, 9_000))
    wave = batch()
    assert torch.equal(augmented(wave, noise_folder=tmp_path / "silent", noise_probability=1.0), wave)
    silent = torch.zeros(8, 4_000)
    assert torch.equal(augmented(silent, noise_folder=tmp_path / "loud", noise_probability=1.0), silent)


def test_a_room_is_that_of_scipy_from_the_loudest_sample_of_its_response_on(rooms):
    wave = batch()
    heard = augmented(wave, reverb_folder=rooms, reverb_probability=1.0).double().numpy()
    responses = [soundfile.read(file)[0] for file in sorted(rooms.iterdir())]
    used = set()
    for row, ours in zip(wave.double().numpy(), heard, strict=True):
        errors = []
        for response in responses:
            unit = response / np.sqrt((response**2).sum())
            delay = np.abs(response).argmax()
            errors.append(np.abs(scipy.signal.fftconvolve(row, unit)[delay : delay + len(row)] - ours).max())
        assert min(errors) < 1e-6
        used.add(int(np.argmin(errors)))
    assert used == {0, 1, 2}


def test_a_room_does_not_change_how_loud_noise_is(rooms):
    responses = ImpulseResponses(rooms)
    for file in responses.paths:
        assert float(responses(file).double().square().sum()) == pytest.approx(1, rel=1e-6)
    wave = batch(32_000)
    heard = augmented(wave, reverb_folder=rooms, reverb_probability=1.0)
    level = decibels(heard.square().mean(dim=1) / wave.square().mean(dim=1))
    assert level.numpy() == pytest.approx(np.zeros(8), abs=1.0)


def test_gains_are_those_that_are_drawn():
    wave = batch()
    heard = augmented(wave, seed=3, gain_db=(-6.0, 10.0), gain_probability=0.5)
    torch.manual_seed(3)
    chosen = torch.bernoulli(torch.full((8,), 0.5)).bool()
    db = -6 + 16 * torch.rand(int(chosen.sum())).double()
    assert 0 < len(db) < 8
    torch.testing.assert_close(heard[chosen].double(), wave[chosen] * 10 ** (db[:, None] / 20), rtol=1e-5, atol=0)
    assert torch.equal(heard[~chosen], wave[~chosen])


def test_polarity_is_turned_in_so_many_as_is_said():
    wave = batch(100)
    assert torch.equal(augmented(wave, polarity_probability=1.0), -wave)
    turned = 0
    for seed in range(40):
        heard = augmented(wave, seed, polarity_probability=0.25)
        is_turned = (heard == -wave).all(dim=1)
        assert torch.equal(heard[~is_turned], wave[~is_turned])
        turned += int(is_turned.sum())
    assert 55 < turned < 105  # 80 of 320, and 7.7 is the deviation


@pytest.mark.parametrize(("speed", "hz"), [(1.1, 484), (0.9, 396), (1.0, 440), (1.25, 550)])
def test_a_higher_speed_is_a_higher_pitch(speed, hz):
    time = torch.arange(40_000, dtype=torch.float64) / 16_000
    heard = at_speed((2 * torch.pi * 440 * time).sin().float()[None], speed, 32_000)
    expected = (2 * torch.pi * hz * time[:32_000]).sin().float()[None]
    torch.testing.assert_close(heard[:, 100:31_900], expected[:, 100:31_900], rtol=0, atol=2e-3)
    assert int(torch.fft.rfft(heard[0]).abs().argmax()) / 2 == hz  # 32,000 samples: half a Hz from one to the next


def test_what_is_too_short_at_its_speed_begins_anew():
    wave = batch(1_100)
    heard = at_speed(wave, 1.1, 2_500)
    assert torch.equal(heard[:, 1_000:2_000], heard[:, :1_000])
    assert torch.equal(heard[:, 2_000:], heard[:, :500])
    assert torch.equal(at_speed(wave, 1.0, 2_500), torch.cat([wave, wave, wave[:, :300]], dim=1))


def test_all_speeds_are_drawn_alike_often_and_are_those_of_one_by_one():
    wave = batch(1_100)
    by_speed = torch.stack([at_speed(wave, speed, 1_000) for speed in (0.9, 1.0, 1.1)])
    counts = torch.zeros(3)
    augmentation = Augmentation(AugmentationSettings(speeds=(0.9, 1.0, 1.1)), 8)
    for seed in range(50):
        heard, person = drawn(augmentation, wave, seed, 1_000)
        which = (by_speed - heard).abs().amax(dim=2)
        assert torch.all(which.amin(dim=0) < 1e-6)
        counts += torch.bincount(which.argmin(dim=0), minlength=3)
        assert torch.equal(person, PERSON)
    assert 100 < counts.min() <= counts.max() < 167  # 133 of 400, and 9.4 is the deviation


def test_a_speed_can_make_another_person_of_all_that_one_says():
    wave, person = batch(1_100), torch.tensor([0, 0, 3, 3, 7, 7, 5, 5])
    augmentation = Augmentation(AugmentationSettings(speeds=(0.9, 1.0, 1.1), speeds_are_people=True), 8)
    assert augmentation.num_classes == 24
    by_code = torch.stack([at_speed(wave, speed, 1_100) for speed in (1.0, 0.9, 1.1)])  # as it is: the person's own
    seen = set()
    for seed in range(20):
        heard, now = drawn(augmentation, wave, seed, person=person)
        assert torch.equal(now % 8, person)
        assert torch.equal(now[::2], now[1::2])  # two of each stay two of one
        torch.testing.assert_close(heard, by_code[now // 8, torch.arange(8)])
        seen |= set((now // 8).tolist())
    assert seen == {0, 1, 2}


def test_speeds_that_make_nobody_leave_people_as_many():
    assert Augmentation(AugmentationSettings(speeds=(1.0, 1.1)), 8).num_classes == 8


@given(st.integers(1, 5_000), st.sampled_from([(), (1.0, 1.1), (0.9, 1.0, 1.1), (1.0, 0.5), (1.0, 2.0, 1.33)]))
def test_a_crop_that_is_read_so_long_is_long_enough_at_each_speed(num_samples, speeds):
    augmentation = Augmentation(AugmentationSettings(speeds=speeds), 1)
    num_read = augmentation.num_samples_to_read(num_samples)
    assert num_samples <= num_read <= num_samples * max((1.0, *speeds)) + 1
    for speed in augmentation.speeds:
        assert len(scipy.signal.resample_poly(np.zeros(num_read), 100, round(100 * speed))) >= num_samples


@pytest.mark.parametrize("num_samples", [400, 7_999, 8_000, 10_000])
def test_no_length_is_changed(everything, num_samples):
    wave = batch()
    for seed in range(4):
        heard, _ = drawn(everything, wave, seed, num_samples)
        assert heard.shape == (8, num_samples)
        assert heard.dtype == torch.float32
        assert heard.isfinite().all()


def test_the_same_seeds_give_the_same_and_others_do_not(everything):
    wave = batch()
    kept = wave.clone()
    one = drawn(everything, wave, 1)[0]
    state = np.random.get_state()[1].copy()  # noqa: NPY002  # of numpy's own generator, which is not asked
    assert not torch.equal(drawn(everything, wave, 2)[0], one)
    np.random.default_rng(9)
    assert torch.equal(drawn(everything, wave, 1)[0], one)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert torch.equal(wave, kept)


def test_both_generators_are_asked(noise_folder):
    settings = AugmentationSettings(noise_folder=noise_folder, noise_probability=1.0)
    augmentation, wave = Augmentation(settings, 8), batch()
    one = drawn(augmentation, wave, 1)[0]
    torch.manual_seed(1)
    random.seed(2)
    other_files = augmentation(wave, PERSON)[0]
    torch.manual_seed(2)
    random.seed(1)
    other_levels = augmentation(wave, PERSON)[0]
    assert not torch.allclose(one, other_files)
    assert not torch.allclose(one, other_levels)
    added, added_otherwise = one - wave, other_levels - wave
    likeness = torch.nn.functional.cosine_similarity(added.double(), added_otherwise.double())
    assert likeness.numpy() == pytest.approx(np.ones(8), abs=1e-5)  # the same stretches, at other levels


def test_settings_come_back_from_json(tmp_path):
    settings = AugmentationSettings(
        noise_folder=tmp_path,
        noise_probability=0.3,
        speeds=(0.9, 1.0),
        spec_augment=SpecAugmentSettings(num_time_masks=2),
    )
    assert SETTINGS.validate_json(SETTINGS.dump_json(settings)) == settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"noise_folder": "musan"}, "noise_folder musan with noise_probability 0.0; expected a folder and a prob"),
        ({"reverb_probability": 0.5}, "reverb_folder None with reverb_probability 0.5; expected a folder and a prob"),
        ({"noise_snr_db": [15.0, 5.0]}, "expected the lower one first"),
        ({"gain_db": [3.0, 3.0]}, "expected a lower one and then a higher one"),
        ({"gain_probability": 1.5}, "less than or equal to 1"),
        ({"speeds": [0.9, 1.1]}, "expected 1.0"),
        ({"speeds": [1.0, 1.1, 1.1]}, "each once"),
        ({"speeds": [1.0, 3.0]}, "less than or equal to 2"),
        ({"speeds_are_people": True}, "speeds_are_people without speeds"),
        ({"spec_augment": {"max_frames": 0}}, "greater than or equal to 1"),
        ({"nose_folder": "musan"}, "nose_folder"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        SETTINGS.validate_json(json.dumps(settings))
