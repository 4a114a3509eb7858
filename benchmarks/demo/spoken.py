"""Text spoken by espeak-ng, a formant synthesiser, through the library that `espeakng_loader` carries.

espeak keeps its state in C globals, and neither a new seed nor `espeak_Terminate` clears them all (the flutter of
the pitch goes on where the last text left it). We therefore load the library anew for each text, which costs half
a millisecond: what is said depends on the arguments alone. Not for two threads at once.
"""

import _ctypes
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np
import soxr
from numpy.typing import NDArray

from curate.errors import VoxcurateError

SAMPLE_RATE_HZ = 22_050  # espeak knows no other
RETRIEVE_SYNCHRONOUSLY = 2  # espeak_AUDIO_OUTPUT: samples go to the callback, and the call returns when all is said
RATE, PITCH, PITCH_RANGE = 1, 3, 4  # espeak_PARAMETER
BY_CHARACTER, UTF8 = 1, 1  # espeak_POSITION_TYPE, and the flag for the text
LANGUAGES = ("vi", "vi-vn-x-central", "vi-vn-x-south")
OnSamples = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SpeechError(VoxcurateError, RuntimeError):
    """espeak-ng cannot be loaded, or will not say a text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """Somebody's voice: an accent, an espeak variant, and the size of the vocal tract.

    A `formant_scale` above 1 is a short tract. espeak is asked to speak that much slower and its sound is then played
    that much faster, which moves the formants and the pitch by this factor and leaves the tempo as it was.
    """

    language: str  # vi: Hanoi, vi-vn-x-central: Hue, vi-vn-x-south: Saigon
    variant: str  # a file of espeak-ng-data/voices/!v
    pitch: int = 50  # 0 to 99, as espeak counts; 50 is the pitch of the variant
    pitch_range: int = 50  # 0 to 99, as espeak counts
    words_per_minute: int = 175
    formant_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise ValueError(f"language must be one of {LANGUAGES}, got {self.language!r}")
        if not (_data_folder() / "voices" / "!v" / self.variant).is_file():  # espeak itself would use a default
            raise ValueError(f"espeak-ng has no voice variant {self.variant!r}")
        if not (0 <= self.pitch <= 99 and 0 <= self.pitch_range <= 99):
            raise ValueError(f"pitch and pitch_range must be in 0..99, got {self.pitch} and {self.pitch_range}")
        if not 0.7 <= self.formant_scale <= 1.4:
            raise ValueError(f"formant_scale must be in 0.7..1.4, got {self.formant_scale}")
        if not 80 <= self.words_per_minute / self.formant_scale <= 450:
            raise ValueError(f"words_per_minute / formant_scale must be in 80..450, got {self}")


def speak(text: str, voice: Voice, *, seed: int = 1) -> NDArray[np.float32]:
    """Mono samples (n,) in [-1, 1] at `SAMPLE_RATE_HZ`; `seed` moves only the noise of breathy voices."""
    blocks: list[NDArray[np.int16]] = []

    def keep(samples: "ctypes._Pointer[ctypes.c_short]", num_samples: int, _events: int | None) -> int:
        if samples and num_samples:  # the last call brings none
            blocks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0  # go on

    with _espeak() as lib:
        callback = OnSamples(keep)  # C holds no reference: it must live until all is said
        lib.espeak_SetSynthCallback(callback)
        lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        lib.srand(ctypes.c_uint(seed))  # libc's: its Klatt voices with breath (Reed, caleb) draw their noise there
        _become(lib, voice)
        data = text.encode() + b"\0"
        _check(lib.espeak_Synth(data, len(data), 0, BY_CHARACTER, 0, UTF8, None, None), f"cannot say {text!r}")
    sound = np.concatenate([np.zeros(0, np.int16), *blocks]).astype(np.float32) / np.float32(32768)
    if not sound.any():
        raise SpeechError(f"espeak-ng said nothing for {text!r}")
    return _scale_formants(sound, voice.formant_scale)


def _become(lib: ctypes.CDLL, voice: Voice) -> None:
    name = f"{voice.language}+{voice.variant}"
    _check(lib.espeak_SetVoiceByName(name.encode()), f"no voice {name!r}")
    lib.espeak_SetParameter(RATE, round(voice.words_per_minute / voice.formant_scale), 0)
    lib.espeak_SetParameter(PITCH, voice.pitch, 0)
    lib.espeak_SetParameter(PITCH_RANGE, voice.pitch_range, 0)


def _scale_formants(sound: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    faster: NDArray[np.float32] = soxr.resample(sound, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ)
    return np.clip(faster, -1, 1)


@contextmanager
def _espeak() -> Iterator[ctypes.CDLL]:
    """espeak-ng as new, and unloaded afterwards."""
    path = espeakng_loader.get_library_path()
    try:
        lib = ctypes.CDLL(path)
    except OSError as error:
        raise SpeechError(f"cannot load espeak-ng from {path}: {error}; reinstall espeakng-loader") from error
    try:
        rate = lib.espeak_Initialize(RETRIEVE_SYNCHRONOUSLY, 0, str(_data_folder()).encode(), 0)
        if rate != SAMPLE_RATE_HZ:
            raise SpeechError(f"espeak-ng would not start with {_data_folder()}: {rate}, not {SAMPLE_RATE_HZ} Hz")
        yield lib
        lib.espeak_Terminate()
    finally:
        _ctypes.dlclose(lib._handle)  # ctypes itself never unloads


def _check(status: int, problem: str) -> None:
    if status != 0:
        raise SpeechError(f"espeak-ng: {problem} (status {status})")


def _data_folder() -> Path:
    return Path(espeakng_loader.get_data_path())
