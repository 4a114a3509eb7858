"""What the filter banks promise: those of torchaudio and SpeechBrain, and in a batch those of one by one."""

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import audio
from models.common.features import KaldiFbank, SpeechBrainFbank, batch
from tests.models.made import noise

KINDS = pytest.mark.parametrize("kind", [KaldiFbank, SpeechBrainFbank])
FILES = ("LibriSpeech/test-other/1688/142285/1688-142285-0000.flac", "emodb/wav/03a01Fa.wav")


def reference(kind, library, waveform, num_bands=80):
    """(T, M) by the other package."""
    wave = torch.from_numpy(waveform)[None]
    if kind is KaldiFbank:
        bands = {"num_mel_bins": num_bands, "window_type": "hamming", "dither": 0.0}
        feats = torchaudio.compliance.kaldi.fbank(wave * 32768, **bands)
        return feats - feats.mean(dim=0)
    feats = library.Fbank(n_mels=num_bands)(wave)
    return library.InputNormalization(norm_type="sentence", std_norm=False)(feats, torch.ones(1))[0]


def ours(kind, waveform, num_bands=80):
    feats, num_valid = kind(num_bands)(*batch([waveform]))
    assert num_valid is None
    return feats[0]


@KINDS
@pytest.mark.parametrize("num_bands", [80, 40])
def test_they_are_those_of_the_reference_on_noise_and_on_silence_between(kind, num_bands, library):
    waveform = noise(0, 16_123)
    waveform[5000:9000] = 0  # lies at the floor
    torch.testing.assert_close(
        ours(kind, waveform, num_bands), reference(kind, library, waveform, num_bands), atol=2e-3, rtol=1e-5
    )


@pytest.mark.real
@KINDS
@pytest.mark.parametrize("file", FILES)
def test_they_are_those_of_the_reference_on_real_speech(kind, file, corpora, library):
    waveform = audio.decode(corpora / file, sample_rate_hz=16_000)
    torch.testing.assert_close(ours(kind, waveform), reference(kind, library, waveform, 80), atol=2e-3, rtol=1e-5)


@KINDS
@settings(deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(400, 4000), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_a_padded_batch_gives_what_one_by_one_gives_and_zeros_after_it(kind, lengths, seed):
    waveforms = [noise(seed + i, length) for i, length in enumerate(lengths)]
    feats, num_valid = kind()(*batch(waveforms))
    for i, waveform in enumerate(waveforms):
        alone = ours(kind, waveform)
        num_frames = feats.shape[1] if num_valid is None else int(num_valid[i])
        assert num_frames == len(alone)
        torch.testing.assert_close(feats[i, :num_frames], alone, atol=1e-4, rtol=1e-5)
        assert not feats[i, num_frames:].any()


@KINDS
@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_min_samples_is_the_least_waveform_that_has_so_many_frames(kind, num_frames):
    least = kind.min_samples(num_frames)
    assert len(ours(kind, noise(0, least))) == num_frames
    if (kind, num_frames) == (SpeechBrainFbank, 1):
        assert least == 1
    elif num_frames > 1:
        assert len(ours(kind, noise(0, least - 1))) == num_frames - 1


@KINDS
def test_the_frames_of_a_padded_waveform_are_counted_by_hand(kind):
    expected = {KaldiFbank: [2, 4], SpeechBrainFbank: [5, 6]}[kind]  # 640 and 959 samples
    _, num_valid = kind()(*batch([noise(0, 640), noise(1, 959)]))
    assert num_valid.tolist() == expected
