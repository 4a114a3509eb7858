"""What happens to the demo's speech between the mouth and the file: the session's channel, and noise.

All sounds are mono float32 (n,) in [-1, 1]; levels are decibels of the root mean square against full scale.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Sound = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """A session's microphone and room: a mild equaliser, a level, and a faint noise that never stops."""

    tilt_db: float  # per octave, about 1 kHz
    peak_hz: float
    peak_db: float
    level_db: float
    noise_db: float

    def record(self, sound: Sound, rate_hz: int, rng: np.random.Generator) -> Sound:
        """The sound as this session has it on file."""
        size = fft.next_fast_len(len(sound), real=True)  # a prime length takes ten times as long
        octave = np.log2(np.maximum(fft.rfftfreq(size, 1 / rate_hz), 60) / 1000)
        peak = np.exp(-0.5 * ((octave - np.log2(self.peak_hz / 1000)) / 0.5) ** 2)
        gain_db = self.tilt_db * octave + self.peak_db * peak
        equalised: NDArray[np.float64] = fft.irfft(fft.rfft(sound, size) * 10 ** (gain_db / 20), size)[: len(sound)]
        room = noise(len(sound), rng, tilt_db=-3)
        return clip(at_level(equalised, self.level_db) + at_level(room, self.noise_db))


def draw_channel(rng: np.random.Generator) -> Channel:
    """A channel of a quiet room, 25 to 38 dB above its noise."""
    level_db = rng.uniform(-29, -20)
    return Channel(
        tilt_db=rng.uniform(-1.2, 1.2),
        peak_hz=rng.uniform(300, 4000),
        peak_db=rng.uniform(-4, 4),
        level_db=level_db,
        noise_db=level_db - rng.uniform(25, 38),
    )


def noise(num_samples: int, rng: np.random.Generator, *, tilt_db: float) -> Sound:
    """Gaussian noise whose spectrum falls or rises by `tilt_db` per octave: 0 is white, -3 pink."""
    size = fft.next_fast_len(num_samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(size))
    octave = np.log2(np.maximum(np.arange(len(spectrum)), 1))
    tilted: NDArray[np.float64] = fft.irfft(spectrum * 10 ** (tilt_db * octave / 20), size)
    return tilted[:num_samples].astype(np.float32)


def hum(num_samples: int, rate_hz: int, rng: np.random.Generator) -> Sound:
    """Mains hum: 50 Hz and its first nine harmonics, each with a phase of its own."""
    time_s = np.arange(num_samples) / rate_hz
    harmonics = np.arange(1, 11)[:, None]
    phases = rng.uniform(0, 2 * np.pi, (10, 1))
    waves = np.sin(2 * np.pi * 50 * harmonics * time_s + phases) / harmonics
    mains: Sound = waves.sum(axis=0).astype(np.float32)
    return mains


def at_level(sound: NDArray[np.floating], level_db: float) -> Sound:
    """The sound, so loud that its root mean square is `level_db` under full scale; digital silence stays so."""
    rms = max(float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))), 1e-12)
    levelled: Sound = (sound * (10 ** (level_db / 20) / rms)).astype(np.float32)
    return levelled


def clip(sound: Sound) -> Sound:
    """The sound as a converter has it: nothing beyond full scale."""
    return np.clip(sound, -1, 1).astype(np.float32)
