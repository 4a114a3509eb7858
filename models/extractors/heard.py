"""What an encoder is given of an utterance: all of it, its speech alone, its beginning, or windows over it.

Of windows the vector is the direction of the mean of their unit vectors: each window counts the same however long its
vector is (those of ECAPA are the longer the louder), and one in which the encoder hears no speech does not count.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from curate.embed import Extractor
from curate.errors import ExtractorError
from curate.hearing import Hearing
from models.extractors import speech
from models.extractors.fingerprint import fingerprint

SOURCES = (Path(__file__), Path(speech.__file__))

Waveform = NDArray[np.float32]


def heard(encoder: Extractor, hearing: Hearing) -> Extractor:
    """The encoder as the section has it listen; itself where that is to all of the whole utterance.

    Raises ExtractorError where a part is shorter than a sample, or the detector of speech cannot be had.
    """
    if hearing.speech == "all" and hearing.part == "whole":
        return encoder
    return Heard(encoder, hearing)


@final
class Heard:
    """An encoder behind a detector of speech and a choice of parts."""

    # Those of the encoder were measured on all of whole utterances: nobody measured these.
    min_same_person: float | None = None
    min_one_person: float | None = None

    def __init__(self, encoder: Extractor, hearing: Hearing) -> None:
        self._encoder, self._part = encoder, hearing.part
        self.name, self.batch_s = encoder.name, encoder.batch_s
        self.sample_rate_hz, self.dimension = encoder.sample_rate_hz, encoder.dimension
        self._size = _num_samples("part_s", hearing.part_s, self.sample_rate_hz)
        self._hop = _num_samples("hop_s", _hop_s(hearing), self.sample_rate_hz)
        self._detector = _detector(hearing.speech)
        self.fingerprint = _fingerprint(encoder, hearing)

    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        """(N, dimension); of length one where the part is windows. A row of zeros where no speech is left."""
        pieces = [self._pieces(self._speech(waveform)) for waveform in waveforms]
        vectors = np.zeros((len(waveforms), self.dimension), dtype=np.float32)
        given = [piece for of_one in pieces for piece in of_one]
        if not given:
            return vectors
        found = self._found(given)
        stops = list(accumulate(len(of_one) for of_one in pieces))
        for row, of_one in enumerate(np.split(found, stops[:-1])):
            vectors[row] = mean_direction(of_one) if self._part == "windows" else of_one.sum(axis=0)  # of one or none
        return vectors

    def _found(self, given: Sequence[Waveform]) -> NDArray[np.float32]:
        """(N, dimension). Only windows may be more than one call is best given: they overlap."""
        most = len(given)
        if self._part == "windows":
            most = max(1, round(self.batch_s * self.sample_rate_hz) // self._size)
        return np.concatenate([self._encoder.embed(given[at : at + most]) for at in range(0, len(given), most)])

    def _speech(self, waveform: Waveform) -> Waveform:
        """What holds nan stays whole: no detector hears it, and the vector shall tell of it."""
        if self._detector is None or not np.isfinite(waveform).all():
            return waveform
        return self._detector(waveform, self.sample_rate_hz)

    def _pieces(self, waveform: Waveform) -> list[Waveform]:
        if not len(waveform) or self._part == "whole":
            return [waveform] if len(waveform) else []
        if self._part == "first":
            return [waveform[: self._size]]
        return [waveform[start : start + self._size] for start in window_starts(len(waveform), self._size, self._hop)]


def window_starts(num_samples: int, size: int, hop: int) -> list[int]:
    """First samples of windows that end within the waveform; the last ends where it ends. One where it is shorter."""
    starts = list(range(0, max(1, num_samples - size + 1), hop))
    last = max(0, num_samples - size)
    return starts if starts[-1] == last else [*starts, last]


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,) of length one, from (W, D) of any lengths; zeros where all are."""
    return _unit(_unit(vectors.astype(np.float64)).sum(axis=0)).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # of inf: nan, as it should be
        unit: NDArray[np.float64] = vectors / np.where(lengths == 0, 1, lengths)
    return unit


def _hop_s(hearing: Hearing) -> float:
    return hearing.part_s / 2 if hearing.hop_s is None else hearing.hop_s


def _num_samples(name: str, seconds: float, rate_hz: int) -> int:
    num_samples = round(seconds * rate_hz)
    if not num_samples:
        raise ExtractorError(f"{name} {seconds}: no sample at {rate_hz} Hz; expected at least {1 / rate_hz} s")
    return num_samples


def _detector(kind: str) -> speech.Detector | None:
    match kind:
        case "energy":
            return speech.energy_speech
        case "silero":
            return speech.Silero()
    return None


def _fingerprint(encoder: Extractor, hearing: Hearing) -> str:
    """Of the encoder, what is said here, and the code; a setting that is not in use is not in it."""
    is_silero = hearing.speech == "silero"
    settings: dict[str, object] = {"encoder": encoder.fingerprint, "speech": hearing.speech, "part": hearing.part}
    if hearing.part != "whole":
        settings["part_s"] = hearing.part_s
    if hearing.part == "windows":
        settings["hop_s"] = _hop_s(hearing)
    return fingerprint(
        hearing.extractor,
        weights=[speech.silero_weights()] if is_silero else [],
        code=SOURCES,
        packages=("numpy", *(speech.SILERO_PACKAGES if is_silero else ())),
        settings=settings,
    )
