"""What several tests make and measure alike: noise, encoders of SpeechBrain's folders, cosines of vectors."""

import numpy as np
import pytest

from curate.errors import ExtractorError
from curate.hearing import SpeechBrain
from models.extractors.speechbrain import SpeechBrainEncoder


def noise(seed, num_samples, level=0.1):
    """A waveform (num_samples,)."""
    return (level * np.random.default_rng(seed).normal(size=num_samples)).astype(np.float32)


def noises(seed, *lengths):
    """Waveforms of these lengths in samples, each another."""
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.normal(size=length)).astype(np.float32) for length in lengths]


def cosines(one, other):
    """(N,) of vectors (N, D) with (N, D), row by row."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def encoder_of(source, **settings):
    """SpeechBrain's encoder of a folder or of a name on the hub."""
    return SpeechBrainEncoder(SpeechBrain(extractor="speechbrain", source=str(source), device="cpu", **settings))


def error_of(source, **settings):
    """What is said where there can be no encoder: one line."""
    with pytest.raises(ExtractorError) as caught:
        encoder_of(source, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def edit(folder, old, new):
    """Replace a text that stands in the settings of a folder."""
    file = folder / "hyperparams.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return folder
