"""What the detectors of speech promise: a pure function of the waveform, by Kaldi's rule or by silero-vad."""

import importlib.util
import math
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from curate import audio
from curate.errors import ExtractorError
from models.extractors import speech
from models.extractors.speech import Silero, energy_speech, log_energies, stretches, voiced
from tests.models.made import noise

FILES = (
    "LibriSpeech/test-other/1688/142285/1688-142285-0000.flac",
    "LibriSpeech/train-clean-100/19/198/19-198-0000.flac",
    "emodb/wav/03a01Fa.wav",
    "fsdd/recordings/4_lucas_2.wav",
)


@pytest.fixture(scope="module")
def silero():
    return Silero()


@pytest.fixture(scope="module")
def package():
    """silero-vad itself. It sets torch to one thread when it is imported."""
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import silero_vad
    torch.set_num_threads(threads)
    return silero_vad


@pytest.fixture(scope="module")
def read_speech(corpora):
    return [audio.decode(corpora / file, sample_rate_hz=16_000) for file in FILES]


def loud_between_quiet(rate_hz):
    """A second near silence, a second of loud noise, a second near silence."""
    return np.concatenate([noise(part, rate_hz, level) for part, level in enumerate((1e-4, 0.1, 1e-4))])


def test_a_frame_is_loud_above_the_threshold_and_speech_where_one_of_five_is_loud():
    """The threshold is 5.5 + 10 / 2 = 10.5: of twenty frames of 9 and 19 only the 19s are above it."""
    energies = np.array([9.0] * 9 + [19.0] * 2 + [9.0] * 9)
    assert voiced(energies).nonzero()[0].tolist() == [7, 8, 9, 10, 11, 12]


def test_beyond_the_ends_there_are_no_frames_to_count():
    assert voiced(np.array([20.0, 0.0, 0.0, 0.0])).tolist() == [True, True, True, False]
    assert voiced(np.array([20.0])).tolist() == [True]
    assert voiced(np.array([11.0])).tolist() == [False]  # exactly the threshold is not above it


def kaldi_rule(energies):
    """As a loop over frames, in Kaldi's order."""
    threshold = 5.5 + 0.5 * sum(energies) / len(energies)
    flags = []
    for t in range(len(energies)):
        around = [energies[i] > threshold for i in range(t - 2, t + 3) if 0 <= i < len(energies)]
        flags.append(sum(around) >= 0.12 * len(around))
    return flags


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_the_decision_is_that_of_a_loop_over_frames(energies):
    assert voiced(np.array(energies, dtype=np.float64)).tolist() == kaldi_rule(energies)


@pytest.mark.parametrize("num_samples", [400, 4000, 16_001])
def test_the_log_energies_are_those_of_kaldis_features(num_samples):
    """torchaudio's port of them gives the energy without dither; the power of that noise is added to it."""
    waveform = noise(num_samples, num_samples, 0.02)
    features = torchaudio.compliance.kaldi.mfcc(
        torch.from_numpy(waveform[None] * np.float32(32_768)),
        use_energy=True,
        snip_edges=False,
        dither=0.0,
        energy_floor=0.0,
        num_mel_bins=30,
        num_ceps=30,
    )
    energy = np.exp(features[:, 0].numpy().astype(np.float64))
    np.testing.assert_allclose(log_energies(waveform, 16_000), np.log(energy + 400), atol=1e-4)


@pytest.mark.parametrize(("num_samples", "num_frames"), [(1, 1), (79, 1), (239, 1), (240, 2), (399, 2), (400, 3)])
def test_a_waveform_shorter_than_a_frame_is_mirrored_until_it_fills_one(num_samples, num_frames):
    """Worked sample by sample: before the first comes the first again, and after the last the last."""
    waveform, expected = noise(num_samples, num_samples, 0.02), []
    for t in range(num_frames):
        frame = []
        for i in range(160 * t - 120, 160 * t + 280):
            while not 0 <= i < num_samples:
                i = -i - 1 if i < 0 else 2 * num_samples - 1 - i
            frame.append(32_768 * float(waveform[i]))
        mean = sum(frame) / 400
        expected.append(math.log(sum((sample - mean) ** 2 for sample in frame) + 400))
    np.testing.assert_allclose(log_energies(waveform, 16_000), expected, rtol=1e-9)


def test_a_constant_offset_is_no_energy():
    silence = log_energies(np.full(1600, 0.5, dtype=np.float32), 16_000)
    np.testing.assert_allclose(silence, math.log(400), atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_what_is_loud_is_left_of_a_waveform_at_any_rate(rate_hz):
    """With what two and a half frames on either side overlap with, which is 35 ms at most."""
    left = energy_speech(loud_between_quiet(rate_hz), rate_hz)
    assert 1.0 <= len(left) / rate_hz <= 1.07
    loud = loud_between_quiet(rate_hz)[rate_hz : 2 * rate_hz]
    assert np.isin(loud, left).all()


def test_a_decision_does_not_hang_on_the_rate():
    """Each sample four times over is the same sound at four times the rate."""
    waveform = loud_between_quiet(8_000)
    np.testing.assert_array_equal(
        np.repeat(energy_speech(waveform, 8_000), 4), energy_speech(np.repeat(waveform, 4), 32_000)
    )


@pytest.mark.parametrize("num_samples", [0, 1, 100, 16_000])
def test_of_digital_silence_nothing_is_left(num_samples, silero):
    silence = np.zeros(num_samples, dtype=np.float32)
    assert energy_speech(silence, 16_000).shape == (0,)
    left = silero(silence, 16_000)
    assert left.shape == (0,)
    assert left.dtype == np.float32


@given(st.integers(1, 3000), st.integers(0, 100))
def test_what_the_energy_leaves_is_what_the_marked_frames_hold(num_samples, seed):
    waveform = noise(seed, num_samples, 0.1) * (np.arange(num_samples) // 700 % 2)
    flags = voiced(log_energies(waveform, 16_000))
    kept = [sample for i, sample in enumerate(waveform) if flags[min(i // 160, len(flags) - 1)]]
    np.testing.assert_array_equal(energy_speech(waveform, 16_000), kept)


@settings(deadline=None)
@given(
    arrays.arrays(np.float32, st.integers(0, 60), elements=st.sampled_from([0.0, 0.34, 0.4, 0.5, 0.9])),
    st.integers(0, 511),
)
@example(np.float32([0.9] * 8), 0)  # 256 ms
@example(np.float32([0.9] * 20 + [0.0] * 3 + [0.4] + [0.9] * 20), 100)
@example(np.float32([0.9] * 20 + [0.0] * 4 + [0.9] * 20), 100)
def test_probabilities_become_the_stretches_of_the_package(package, probabilities, missing):
    num_samples = max(0, 512 * len(probabilities) - missing)
    expected = package.get_speech_timestamps_from_probs(probabilities.tolist(), audio_length_samples=num_samples)
    assert stretches(probabilities, num_samples) == [(part["start"], part["end"]) for part in expected]


@pytest.mark.real
def test_the_stretches_of_real_speech_are_those_of_the_package(package, silero, read_speech):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = package.load_silero_vad(onnx=True)
    for waveform in (*read_speech, np.concatenate([0 * read_speech[0][:20_000], *read_speech[1:3]])):
        expected = package.get_speech_timestamps(torch.from_numpy(waveform), model)
        np.testing.assert_array_equal(
            silero(waveform, 16_000),
            np.concatenate([waveform[:0], *(waveform[part["start"] : part["end"]] for part in expected)]),
        )


@pytest.mark.real
def test_long_audio_is_heard_in_parts_as_it_is_heard_whole(silero, read_speech, monkeypatch):
    whole = silero.probabilities(read_speech[0])
    monkeypatch.setattr(speech, "FRAMES_A_CALL", 7)
    np.testing.assert_allclose(silero.probabilities(read_speech[0]), whole, atol=1e-5)


@pytest.mark.real
@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100])
def test_another_rate_is_cut_where_16_khz_is(rate_hz, silero, read_speech):
    """Silence is put before: what is left of either begins and ends at the same moments, to a few frames."""
    waveform = np.concatenate([np.zeros(16_000, dtype=np.float32), read_speech[2]])
    left = len(silero(waveform, 16_000)) / 16_000
    other = audio.resample(waveform, 16_000, rate_hz)
    assert len(silero(other, rate_hz)) / rate_hz == pytest.approx(left, abs=0.2)
    assert left < len(waveform) / 16_000 - 0.9


@pytest.mark.real
def test_several_threads_hear_what_one_hears(silero, read_speech):
    alone = [silero(waveform, 16_000) for waveform in read_speech]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda waveform: silero(waveform, 16_000), read_speech * 3))
    for expected, found in zip(alone * 3, together, strict=True):
        np.testing.assert_array_equal(expected, found)


@pytest.mark.real
def test_noise_is_speech_to_the_energy_and_not_to_the_network(silero, read_speech):
    waveform = loud_between_quiet(16_000)
    assert len(energy_speech(waveform, 16_000)) >= 16_000
    assert len(silero(waveform, 16_000)) == 0
    assert len(silero(read_speech[0], 16_000)) > 0


def test_the_threads_of_torch_stay_as_many_as_they_were(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "silero_vad"]:
        monkeypatch.delitem(sys.modules, name)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        Silero()(noise(0, 4000, 0.1), 16_000)
        assert torch.get_num_threads() == 3
        assert "silero_vad" not in sys.modules
    finally:
        torch.set_num_threads(before)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtractorError, match="pip install silero-vad"):
        Silero()
