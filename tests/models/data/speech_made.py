"""Splits made of a few files, for tests."""

import hashlib

import numpy as np
import pyarrow as pa
import soundfile

from models.data.speech import Speech


def speech_of(*files, channel=-1, stretches=None, person=None):
    """An utterance a file, or stretches (start, samples) of each, as a catalog would describe them."""
    infos = [soundfile.info(file) if file.suffix != ".m4a" else None for file in files]
    stretches = stretches or [(0, info.frames) for info in infos]
    numbers = np.array(stretches, dtype=np.int64)
    return Speech(
        utterance_ids=pa.array([f"made/{file.stem}" for file in files]),
        files=list(files),
        start=numbers[:, 0],
        num_samples=numbers[:, 1],
        sample_rate_hz=np.array([info.samplerate if info else 16_000 for info in infos], np.int64),
        channel=np.full(len(files), channel, np.int64),
        person=np.arange(len(files)) if person is None else np.array(person, np.int64),
        people=[f"made/{code}" for code in range(len(files))],
        content_sha256=[hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
    )


def ramp(path, num_samples, *, first=0):
    """A file whose sample i is i + `first`, of 16 bits."""
    soundfile.write(path, np.arange(first, first + num_samples).astype(np.int16), 16_000, subtype="PCM_16")
    return path


def speechlike(seed, num_samples, channels=1):
    """(N, channels) of noise without the highest notes."""
    noise = np.random.default_rng(seed).normal(size=(num_samples + 40, channels))
    smooth = np.stack([np.convolve(one, np.hanning(12), "same") for one in noise.T], axis=1)[20:][:num_samples]
    return (0.4 * smooth / np.abs(smooth).max()).astype(np.float32)
