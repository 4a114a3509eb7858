"""What the log-mel bands of ResNetSE34V2 promise: those of its own layers, and in a batch those of one by one."""

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from curate import audio
from models.common.features import batch
from models.common.log_mel import LogMel
from tests.models.made import noise


def reference(waveform, num_bands=64):
    """(T, M) by torchaudio and InstanceNorm1d, in the order of voxceleb_trainer's ResNetSE34V2."""
    wave = functional.pad(torch.from_numpy(waveform)[None, None], (1, 0), mode="reflect")
    emphasised = functional.conv1d(wave, torch.tensor([[[-0.97, 1.0]]]))[0]
    spectrogram = torchaudio.transforms.MelSpectrogram(
        sample_rate=16_000, n_fft=512, win_length=400, hop_length=160, window_fn=torch.hamming_window, n_mels=num_bands
    )
    bands = (spectrogram(emphasised) + 1e-6).log()
    return torch.nn.InstanceNorm1d(num_bands)(bands)[0].T


def ours(waveform, num_bands=64):
    feats, num_valid = LogMel(num_bands)(*batch([waveform]))
    assert num_valid is None
    return feats[0]


@pytest.mark.parametrize("num_bands", [64, 40])
def test_they_are_those_of_the_reference_on_noise_and_on_silence_between(num_bands):
    waveform = noise(0, 16_123)
    waveform[5000:9000] = 0  # lies at the floor
    torch.testing.assert_close(ours(waveform, num_bands), reference(waveform, num_bands), atol=1e-3, rtol=1e-4)


@pytest.mark.real
@pytest.mark.parametrize("file", ["LibriSpeech/test-other/1688/142285/1688-142285-0000.flac", "emodb/wav/03a01Fa.wav"])
def test_they_are_those_of_the_reference_on_real_speech(file, corpora):
    waveform = audio.decode(corpora / file, sample_rate_hz=16_000)
    torch.testing.assert_close(ours(waveform), reference(waveform), atol=1e-3, rtol=1e-4)


@settings(deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(257, 4000), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_a_padded_batch_gives_what_one_by_one_gives_and_zeros_after_it(lengths, seed):
    waveforms = [noise(seed + i, length) for i, length in enumerate(lengths)]
    wave, samples = batch(waveforms)
    if samples is not None:
        for row, length in zip(wave, lengths, strict=True):
            row[length:] = 9.0  # what lies beyond an end is not heard
    feats, num_valid = LogMel()(wave, samples)
    for i, waveform in enumerate(waveforms):
        num_frames = feats.shape[1] if num_valid is None else int(num_valid[i])
        torch.testing.assert_close(feats[i, :num_frames], reference(waveform), atol=2e-3, rtol=1e-3)
        assert not feats[i, num_frames:].any()


@pytest.mark.parametrize(
    ("num_samples", "num_frames"), [(31_839, 199), (31_840, 200), (31_999, 200), (32_000, 201), (32_240, 202)]
)
def test_the_frames_of_crops_are_counted_by_hand(num_samples, num_frames):
    assert len(ours(noise(0, num_samples))) == num_frames
    _, num_valid = LogMel()(torch.zeros(2, 40_000), torch.tensor([num_samples, 40_000]))
    assert num_valid.tolist() == [num_frames, 251]


@pytest.mark.parametrize(("num_frames", "expected"), [(1, 201), (2, 201), (3, 320), (200, 31_840)])
def test_min_samples_is_the_least_waveform_that_has_so_many_frames(num_frames, expected):
    assert LogMel.min_samples(num_frames) == expected
    assert len(ours(noise(0, expected))) == max(num_frames, 2)


def test_each_band_of_an_utterance_has_mean_0_and_variance_1_and_constant_ones_are_finite():
    feats = ours(noise(0, 16_000))
    torch.testing.assert_close(feats.mean(dim=0), torch.zeros(64), atol=1e-5, rtol=0)
    torch.testing.assert_close(feats.var(dim=0, correction=0), torch.ones(64), atol=1e-3, rtol=0)
    assert ours(0 * noise(0, 16_000)).abs().max() < 1e-2


def test_autocast_does_not_touch_them_and_no_gradient_goes_through():
    wave = torch.from_numpy(noise(0, 4000))[None].requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        lowered, _ = LogMel()(wave)
    assert lowered.dtype == torch.float32
    assert not lowered.requires_grad
    torch.testing.assert_close(lowered[0], ours(noise(0, 4000)), atol=0, rtol=0)
