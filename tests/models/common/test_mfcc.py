"""What Kaldi's cepstra promise: those of torchaudio, the frames that Kaldi's rule calls speech, batch or not."""

import math

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import audio
from models.common.features import batch
from models.common.mfcc import Mfcc, is_speech, only, repeated, without_moving_mean
from models.extractors.speech import log_energies, voiced
from tests.models.made import noise

FILES = ("LibriSpeech/test-other/1688/142285/1688-142285-0000.flac", "emodb/wav/03a01Fa.wav")


def reference(waveform):
    """(T, 30) by torchaudio, with the settings of Kaldi's VoxCeleb recipe."""
    cepstra = torchaudio.compliance.kaldi.mfcc(
        torch.from_numpy(waveform)[None] * 32768,
        num_mel_bins=30, num_ceps=30, low_freq=20, high_freq=7600, snip_edges=False, use_energy=True,
        energy_floor=0.0, dither=0.0,
    )  # fmt: skip
    cepstra[:, 0] = (cepstra[:, 0].double().exp() + 400).log()  # what dither of 1.0 has on average
    return cepstra


def slow_speech(log_energy):
    """compute-vad written out: which of the frames are speech."""
    threshold = 5.5 + 0.5 * sum(log_energy) / len(log_energy)
    speech = []
    for t in range(len(log_energy)):
        around = log_energy[max(0, t - 2) : t + 3]
        speech.append(sum(energy > threshold for energy in around) >= 0.12 * len(around))
    return speech


def slow_cepstra_of_speech(waveform):
    """(T', 30): mean away, frames of speech alone; all of them where fewer than 25 are speech."""
    cepstra = reference(waveform)
    speech = slow_speech(cepstra[:, 0].double().tolist())
    if sum(speech) < 25:
        speech = [True] * len(speech)
    return slow_moving_mean_away(cepstra)[torch.tensor(speech)]


def slow_moving_mean_away(cepstra):
    rows = []
    for t in range(len(cepstra)):
        first = max(0, min(t - 150, len(cepstra) - 300))
        rows.append(cepstra[t] - cepstra[first : first + 300].double().mean(dim=0))
    return torch.stack(rows).float()


def bursts(seed, num_samples):
    """Noise, a tenth of a second loud and two nearly silent, in turn."""
    waveform = noise(seed, num_samples)
    for start in range(1600, num_samples, 4800):
        waveform[start : start + 3200] *= 1e-3
    return waveform


@pytest.mark.parametrize("num_samples", [400, 560, 16_000, 16_123])
def test_cepstra_are_those_of_the_reference_on_noise_and_on_silence_between(num_samples):
    waveform = noise(0, num_samples)
    waveform[5000:9000] = 0
    cepstra, length = Mfcc().cepstra(*batch([waveform]))
    assert length.tolist() == [cepstra.shape[1]] == [(num_samples + 80) // 160]
    torch.testing.assert_close(cepstra[0], reference(waveform), atol=5e-3, rtol=1e-4)


@pytest.mark.real
@pytest.mark.parametrize("file", FILES)
def test_they_are_those_of_the_reference_on_real_speech(file, corpora):
    waveform = audio.decode(corpora / file, sample_rate_hz=16_000)
    # In pauses bands are nearly empty: there torchaudio in float32 is as far from itself in float64.
    torch.testing.assert_close(Mfcc().cepstra(*batch([waveform]))[0][0], reference(waveform), atol=2e-2, rtol=1e-4)
    feats, length = Mfcc()(*batch([waveform]))
    assert length.item() == voiced(log_energies(waveform, 16_000)).sum()  # as where a pipeline cuts speech
    assert 0.3 * waveform.size / 160 < length.item() < waveform.size / 160  # pauses are dropped
    torch.testing.assert_close(feats[0], slow_cepstra_of_speech(waveform), atol=2e-2, rtol=1e-3)


def test_speech_is_what_kaldi_s_rule_calls_so_worked_by_hand():
    # The mean is 8 and so the threshold 9.5: the fifth frame alone is loud, and two frames to either side hear it.
    energy = torch.tensor([[7.0, 7.0, 7.0, 7.0, 17.0, 7.0, 7.0, 7.0, 8.0, 8.0, 6.0, 8.0, 8.0, 8.0, 8.0, 8.0]])
    expected = [False, False, True, True, True, True, True, *[False] * 9]
    assert energy.mean() == 8
    assert is_speech(energy, torch.tensor([16]))[0].tolist() == expected
    assert not is_speech(
        torch.full((1, 9), 11.0), torch.tensor([9])
    ).any()  # 11 is the threshold: it is met, not passed
    assert is_speech(torch.full((1, 9), 11.5), torch.tensor([9])).all()


@settings(deadline=None, max_examples=50)
@given(
    energies=st.lists(st.lists(st.integers(0, 22), min_size=1, max_size=30), min_size=1, max_size=4),
    beyond=st.floats(0, 30),
)
def test_speech_is_what_kaldi_s_rule_calls_so_in_batches_too(energies, beyond):
    num_frames = max(map(len, energies))
    padded = torch.tensor([row + [beyond] * (num_frames - len(row)) for row in energies])
    found = is_speech(padded, torch.tensor([len(row) for row in energies]))
    for row, energy in zip(found.tolist(), energies, strict=True):
        assert row == slow_speech(energy) + [False] * (num_frames - len(energy))


@pytest.mark.parametrize("num_frames", [1, 100, 299, 300, 301, 700])
def test_the_moving_mean_is_that_of_the_reference(num_frames):
    feats = 5 + torch.randn(1, num_frames, 3, generator=torch.Generator().manual_seed(num_frames)).cumsum(dim=1)
    expected = torchaudio.functional.sliding_window_cmn(feats, cmn_window=300, center=True)[0]
    other = torch.nn.functional.pad(feats, (0, 0, 0, 41), value=99.0)
    for given_feats in (feats, other):
        away = without_moving_mean(given_feats, torch.tensor([num_frames]))[0, :num_frames]
        torch.testing.assert_close(away, expected, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(away, slow_moving_mean_away(feats[0]), atol=1e-4, rtol=1e-5)


def test_only_and_repeated_worked_by_hand():
    feats = torch.arange(1.0, 9.0).reshape(2, 4, 1)
    chosen = torch.tensor([[True, False, False, True], [False, True, True, True]])
    packed, length = only(feats, chosen)
    assert packed[..., 0].tolist() == [[1, 4, 0], [6, 7, 8]]
    assert length.tolist() == [2, 3]
    assert repeated(packed, length, 5)[..., 0].tolist() == [[1, 4, 1, 4, 1], [6, 7, 8, 6, 7]]
    assert repeated(packed, length, 2)[..., 0].tolist() == [[1, 4], [6, 7]]


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(400, 30_000), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_a_padded_batch_gives_the_speech_of_each_and_zeros_after_it(lengths, seed):
    waveforms = [bursts(seed + i, length) for i, length in enumerate(lengths)]
    wave, samples = batch(waveforms)
    if samples is not None:
        for row, length in zip(wave, lengths, strict=True):
            row[length:] = 9.0  # what lies beyond an end is not heard
    feats, num_speech = Mfcc()(wave, samples)
    assert feats.shape[1] == num_speech.max()
    for feat, num, waveform in zip(feats, num_speech.tolist(), waveforms, strict=True):
        expected = slow_cepstra_of_speech(waveform)
        assert num == len(expected)
        torch.testing.assert_close(feat[:num], expected, atol=2e-2, rtol=1e-3)
        assert not feat[num:].any()


def test_non_speech_is_dropped_and_an_utterance_without_speech_keeps_all_frames():
    loud = bursts(0, 16_000)
    _, length = Mfcc()(*batch([loud]))
    assert 25 <= length.item() < 80
    quiet, length = Mfcc()(*batch([1e-5 * noise(0, 16_000)]))
    assert length.tolist() == [100]
    assert quiet.isfinite().all()
    mute, length = Mfcc()(*batch([0 * loud]))
    assert length.tolist() == [100]
    assert mute.abs().max() < 1e-3


@pytest.mark.parametrize(("num_frames", "expected"), [(1, 200), (2, 240), (25, 3920), (200, 31_920)])
def test_min_samples_is_the_least_waveform_that_has_so_many_frames(num_frames, expected):
    assert Mfcc.min_samples(num_frames) == expected
    cepstra, _ = Mfcc().cepstra(*batch([noise(0, expected)]))
    assert cepstra.shape[1] == num_frames


def test_autocast_does_not_touch_them_and_no_gradient_goes_through():
    wave = torch.from_numpy(bursts(0, 16_000))[None].requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        lowered, _ = Mfcc()(wave)
    assert lowered.dtype == torch.float32
    assert not lowered.requires_grad
    torch.testing.assert_close(lowered, Mfcc()(wave)[0], atol=0, rtol=0)


def test_the_first_cepstrum_is_the_energy_of_16_bits():
    wave = torch.full((1, 400), 0.25)
    wave[:, ::2] = -0.25  # no mean: 400 samples of a quarter of full scale
    cepstra, _ = Mfcc().cepstra(wave)
    assert cepstra[0, 1, 0].item() == pytest.approx(math.log(400 * ((32768 / 4) ** 2 + 1)), abs=1e-3)
