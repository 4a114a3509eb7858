"""Crops of utterances at 16 kHz: where they begin is drawn first, then they are read, from files by seeking.

Shape letters: U utterances of the split, B of a batch, N samples at 16 kHz.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path
from typing import final

import numpy as np
import soundfile
from numpy.typing import NDArray

from curate import audio
from curate.errors import CorpusError, DamagedAudioError
from curate.storage import is_local
from models.data.speech import Speech

RATE_HZ = 16_000
MARGIN = 256  # samples at the lower of two rates; past 160 soxr's filter hears nothing (at 20 ms, 2e-7 of full scale)
# Their frames lean on those before, so that libsndfile finds other samples after a jump than on the way: 0.1 of full
# scale in an MP3 that lacks the bits it borrowed. They are decoded from their start; training should map them.
LEANING = {"OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}

Integers = NDArray[np.int64]
Samples = NDArray[np.float32]


def num_samples_at_16_khz(speech: Speech) -> Integers:
    """(U,) the samples of each utterance at 16 kHz, the last one whole. Raises CorpusError where there is none."""
    num_samples = speech.num_samples * RATE_HZ // speech.sample_rate_hz
    if len(empty := np.flatnonzero(num_samples <= 0)):
        raise CorpusError(f"{speech.utterance_ids[int(empty[0])]}: no sample at 16 kHz; expected at least one")
    return num_samples


class Reader(ABC):
    """Crops of the utterances of a split; the same whatever holds the samples, and however many threads read them."""

    def __init__(self, speech: Speech, *, num_threads: int = 1):
        self.speech, self.num_threads = speech, num_threads
        self.num_samples = num_samples_at_16_khz(speech)  # (U,)

    @abstractmethod
    def read_into(self, row: int, first: int, out: Samples) -> None:
        """Fill `out` (n,) with samples of an utterance from `first` on, counted at 16 kHz, in [-1, 1].

        Raises DamagedAudioError, or CorpusError where the file cannot be read; both name utterance and file.
        """

    @final
    def crops(self, utterances: Integers, num_samples: int, rng: np.random.Generator) -> Samples:
        """(B, N) of rows (B,), each from anywhere in its utterance; one that is shorter is repeated from its start.

        Takes one number of `rng` for each row, and before anything is read. Raises as `read_into`.
        """
        held = np.minimum(self.num_samples[utterances], num_samples)  # (B,)
        ways = self.num_samples[utterances] - held + 1
        first = (rng.random(len(utterances)) * ways).astype(np.int64)
        wave_BN = np.empty((len(utterances), num_samples), dtype=np.float32)

        def fill(place: int) -> None:
            num_held = int(held[place])
            self.read_into(int(utterances[place]), int(first[place]), wave_BN[place, :num_held])
            if num_held < num_samples:
                wave_BN[place] = np.resize(wave_BN[place, :num_held], num_samples)

        self._each(fill, len(utterances))
        return wave_BN

    @final
    def whole(self, utterances: Integers) -> tuple[Samples, Integers]:
        """(B, N) of rows (B,), zeros after the end of each, and how many samples of each are its own."""
        num_samples = self.num_samples[utterances]
        wave_BN = np.zeros((len(utterances), int(num_samples.max(initial=0))), dtype=np.float32)
        self._each(lambda at: self.read_into(int(utterances[at]), 0, wave_BN[at, : num_samples[at]]), len(utterances))
        return wave_BN, num_samples

    def _each(self, fill: Callable[[int], None], num_rows: int) -> None:
        if self.num_threads == 1:
            for place in range(num_rows):
                fill(place)
            return
        with ThreadPoolExecutor(self.num_threads) as pool:
            for _ in pool.map(fill, range(num_rows)):  # raises what the first row raises, not the first thread
                pass


@final
class FileReader(Reader):
    """From the files themselves: each crop opens its file and reads no more than it needs."""

    def read_into(self, row: int, first: int, out: Samples) -> None:
        """As told above; other rates by soxr, to the samples that the whole utterance would have."""
        rate, length = int(self.speech.sample_rate_hz[row]), int(self.speech.num_samples[row])
        if rate == RATE_HZ:
            samples = self._at_own_rate(row, first, len(out))
        else:
            common = gcd(rate, RATE_HZ)
            up, down = RATE_HZ // common, rate // common  # every `down` samples of the file begin with one of ours
            margin = MARGIN * max(1, -(-rate // RATE_HZ))
            begin = max(first * down // up - margin, 0) // down * down
            end = min(-(-(first + len(out)) * down // up) + margin, length)
            resampled = audio.resample(self._at_own_rate(row, begin, end - begin), rate, RATE_HZ)
            samples = resampled[first - begin // down * up :][: len(out)]
        np.clip(samples, -1.0, 1.0, out=out)  # files of floats, lossy codecs and filters go beyond

    def _at_own_rate(self, row: int, first: int, num_samples: int) -> Samples:
        """(n,) of the utterance's channel, from `first` on."""
        path, channel = self.speech.files[row], int(self.speech.channel[row])
        name, rate = self.speech.utterance_ids[row], int(self.speech.sample_rate_hz[row])
        first += int(self.speech.start[row])
        try:
            found = _sought(path, first, num_samples) if is_local(path) else None
            samples, found_hz = found or audio.read(path, start_s=first / rate, duration_s=num_samples / rate)
        except soundfile.LibsndfileError as error:
            raise DamagedAudioError(
                f"{name}: {path}: cannot be decoded at sample {first}; expected the file that was scanned"
            ) from error
        except CorpusError as error:
            raise type(error)(f"{name}: {error}") from error
        if found_hz != rate:
            raise CorpusError(f"{name}: {path}: has {found_hz} Hz; expected the {rate} Hz that it was scanned with")
        if channel >= samples.shape[1]:
            raise DamagedAudioError(f"{name}: {path}: no channel {channel}; it has {samples.shape[1]}, counted from 0")
        if len(samples) < num_samples:
            ends = first + len(samples)
            raise DamagedAudioError(f"{name}: {path}: ends at sample {ends}; expected {first + num_samples} of them")
        mono: Samples = samples.mean(axis=1, dtype=np.float32) if channel < 0 else samples[:, channel]
        if not np.isfinite(mono).all():
            raise DamagedAudioError(f"{name}: {path}: holds samples that are not finite; expected numbers")
        return mono


def _sought(path: Path, first: int, num_samples: int) -> tuple[Samples, int] | None:
    """(n, channels) from a sample on, and their rate; None where libsndfile does not open the file.

    That is m4a, which FFmpeg decodes whole, or damage. Raises LibsndfileError where it gives up on the way.
    """
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless formats ask for a rate
        return None
    with file:
        begin = 0 if file.subtype in LEANING else first
        file.seek(begin)
        if file.tell() > file.frames:  # a damaged Opus: there it would be asked for less than nothing
            return np.zeros((0, file.channels), np.float32), file.samplerate
        samples: Samples = file.read(first - begin + num_samples, dtype="float32", always_2d=True)
        return samples[first - begin :], file.samplerate
