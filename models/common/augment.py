"""Augmentation of a batch on its device: of waveforms at 16 kHz, and of features (SpecAugment). No length changes.

In this order, each on its own: speed, reverberation, noise, gain, polarity. An SNR therefore counts from reverberated
speech. All but the speed is `torch_audiomentations`; it reads files by torchaudio's `info`, which torchaudio 2.11 no
longer has, so that what it reads by is ours (`SoundFolder`).

What is drawn comes from torch (whether, the SNR, gain, speed and masks) and from `random` (which file, and from where
in it): with both seeded, the same is drawn again. numpy's generators are not asked. SNR, gain and masks are drawn on
the device, so that a GPU has others than a processor.

Shape letters: B batch, N samples, T frames, M mel bands, K masks.
"""

import math
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, NamedTuple, final

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from curate.audio import resample
from curate.corpora.described import STRICT
from curate.errors import TrainingError
from curate.headers import read_header
from models.common.features import SAMPLE_RATE_HZ

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")  # what libsndfile reads stretches of

Probability = Annotated[float, Field(ge=0, le=1)]
Decibels = Annotated[float, Field(ge=-100, le=100)]
Speed = Annotated[float, Field(ge=0.5, le=2)]
Count = Annotated[int, Field(ge=0)]


@validated(frozen=True, kw_only=True, config=STRICT)
class SpecAugmentSettings:
    """How many masks of each kind, and how wide one may be; widths are WeSpeaker's where they are not said."""

    num_time_masks: Count = 0
    max_frames: int = Field(default=10, ge=1)
    num_frequency_masks: Count = 0
    max_bands: int = Field(default=8, ge=1)


@validated(frozen=True, kw_only=True, config=STRICT)
class AugmentationSettings:
    """What a recipe says of augmentation; as it stands, none. A probability is that of one utterance to be changed."""

    noise_folder: Path | None = None  # such as MUSAN's `noise`
    noise_snr_db: tuple[Decibels, Decibels] = (0.0, 15.0)  # drawn evenly in between; voxceleb_trainer's for noise
    noise_probability: Probability = 0.0
    reverb_folder: Path | None = None  # impulse responses, such as those of RIRS_NOISES
    reverb_probability: Probability = 0.0
    gain_db: tuple[Decibels, Decibels] = (-6.0, 6.0)  # drawn evenly in between
    gain_probability: Probability = 0.0
    polarity_probability: Probability = 0.0
    speeds: tuple[Speed, ...] = ()  # drawn alike often; (1.0, 0.9, 1.1) in WeSpeaker and Kaldi
    speeds_are_people: bool = False  # a voice at another speed is another person, as WeSpeaker has it
    spec_augment: SpecAugmentSettings = SpecAugmentSettings()

    def __post_init__(self) -> None:
        for what in ("noise", "reverb"):
            folder, probability = getattr(self, f"{what}_folder"), getattr(self, f"{what}_probability")
            if (folder is None) != (probability == 0):
                raise ValueError(
                    f"{what}_folder {folder} with {what}_probability {probability}; "
                    "expected a folder and a probability above 0, or neither"
                )
        if self.noise_snr_db[0] > self.noise_snr_db[1]:
            raise ValueError(f"noise_snr_db {self.noise_snr_db}; expected the lower one first")
        if self.gain_db[0] >= self.gain_db[1]:
            raise ValueError(f"gain_db {self.gain_db}; expected a lower one and then a higher one")
        if self.speeds and (1.0 not in self.speeds or len(set(self.speeds)) < len(self.speeds)):
            raise ValueError(f"speeds {self.speeds}; expected 1.0, which validation hears, and others, each once")
        if self.speeds_are_people and not self.speeds:
            raise ValueError("speeds_are_people without speeds; expected speeds such as [1.0, 0.9, 1.1]")


@final
class Augmentation:
    """What the settings say, done to one batch after another; call it while training only.

    The folders are looked through once, here. Raises TrainingError where one is none or holds no sound, or a file in it
    cannot be decoded. `person` codes are 0..P-1 of `num_people`; `num_classes` is how many there are afterwards.
    """

    def __init__(self, settings: AugmentationSettings, num_people: int) -> None:
        self.speeds = (1.0, *(speed for speed in settings.speeds if speed != 1.0))  # the first keeps the codes
        self.speeds_are_people = settings.speeds_are_people
        self.num_people = num_people
        self.num_classes = num_people * (len(self.speeds) if settings.speeds_are_people else 1)
        self.transforms = _transforms(settings)

    def num_samples_to_read(self, num_samples: int) -> int:
        """How long a crop must be for so many samples to be left at the highest speed; longer ones are cut."""
        return max(math.ceil(num_samples * _ratio(speed)) for speed in self.speeds)

    def __call__(self, wave_BN: Tensor, person_B: Tensor, num_samples: int = 0) -> tuple[Tensor, Tensor]:
        """Float32 waveforms (B, num_samples), or as long as they came where that is 0, and whose they now are (B,).

        Raises TrainingError for a file of noise or an impulse response that can no longer be read.
        """
        wave_BN, person_B = self._at_speeds(wave_BN, person_B, num_samples or wave_BN.shape[1])
        wave_B1N = wave_BN[:, None]
        for transform in self.transforms:
            wave_B1N = transform(wave_B1N, sample_rate=SAMPLE_RATE_HZ).samples
        return wave_B1N[:, 0], person_B

    def _at_speeds(self, wave_BN: Tensor, person_B: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        """Where a speed makes another person, all utterances of one have the same: N people x M utterances stay so."""
        if len(self.speeds) == 1:
            return at_speed(wave_BN, 1.0, num_samples), person_B
        if self.speeds_are_people:
            people, place_B = torch.unique(person_B, return_inverse=True)
            which_B = torch.randint(len(self.speeds), (len(people),)).to(person_B.device)[place_B]
            person_B = person_B + self.num_people * which_B
        else:
            which_B = torch.randint(len(self.speeds), (len(wave_BN),))
        heard_BN = wave_BN.new_empty(len(wave_BN), num_samples)
        for which, speed in enumerate(self.speeds):
            rows = (which_B == which).nonzero()[:, 0].to(wave_BN.device)
            if len(rows):
                heard_BN[rows] = at_speed(wave_BN[rows], speed, num_samples)
        return heard_BN, person_B


def at_speed(wave_BN: Tensor, speed: float, num_samples: int) -> Tensor:
    """(B, num_samples): played so much faster, and higher, as by sox's `speed`; cut, or repeated where it is too short.

    Ko et al., "Audio augmentation for speech recognition", Interspeech 2015.
    """
    if speed != 1.0:
        from torchaudio.functional import resample as resample_on_device

        ratio = _ratio(speed)
        wave_BN = resample_on_device(wave_BN, ratio.numerator, ratio.denominator)
    times = -(-num_samples // wave_BN.shape[1])
    return wave_BN.repeat(1, times)[:, :num_samples] if times > 1 else wave_BN[:, :num_samples]


@final
class SpecAugment(nn.Module):
    """Masks of time and of frequency over features, while training (Park et al., arXiv:1904.08779, section 2).

    A width is drawn evenly from 0 to the greatest, but no more than there is; then the place. Masks may overlap. What
    is masked becomes the utterance's mean over all it has: the paper sets zero, where that is the mean. No warping.
    """

    def __init__(self, settings: SpecAugmentSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, feats_BTM: Tensor) -> Tensor:
        """(B, T, M), as given."""
        if not self.training:
            return feats_BTM
        B, T, M = feats_BTM.shape
        is_frame_BT = _masked((B, T), self.settings.num_time_masks, self.settings.max_frames, feats_BTM.device)
        is_band_BM = _masked((B, M), self.settings.num_frequency_masks, self.settings.max_bands, feats_BTM.device)
        mean_B11 = feats_BTM.mean(dim=(1, 2), keepdim=True)
        return torch.where(is_frame_BT[:, :, None] | is_band_BM[:, None, :], mean_B11, feats_BTM)


def _masked(shape: tuple[int, int], num_masks: int, max_width: int, device: torch.device) -> Tensor:
    """Of this shape, true where one of the masks of a row lies."""
    num_rows, size = shape
    drawn_BK, placed_BK = torch.rand(2, num_rows, num_masks, device=device)
    width_BK = (drawn_BK * (min(max_width, size) + 1)).long()
    start_BK = (placed_BK * (size - width_BK + 1)).long()
    past = torch.arange(size, device=device) - start_BK[..., None]  # (B, K, size): how far behind a mask's start
    is_masked: Tensor = ((past >= 0) & (past < width_BK[..., None])).any(dim=1)
    return is_masked


class Sound(NamedTuple):
    """What is known of a file before it is read."""

    num_samples: int  # at its own rate
    sample_rate_hz: int


@final
class SoundFolder:
    """The sound files below a folder at 16 kHz, as `torch_audiomentations` asks for them.

    Of several channels the first, as in Kaldi's `wav-reverberate`: the mean of an array's microphones would filter.
    """

    def __init__(self, folder: Path) -> None:
        self._sounds = {path: _look_into(path) for path in _sound_files(folder)}
        self.paths = list(self._sounds)

    def get_num_samples(self, path: Path) -> int:
        """At 16 kHz."""
        sound = self._sounds[path]
        return math.ceil(sound.num_samples * Fraction(SAMPLE_RATE_HZ, sound.sample_rate_hz))

    def __call__(self, path: Path, sample_offset: int = 0, num_samples: int | None = None) -> Tensor:
        """(1, N): all of it, or so many samples from there. Raises TrainingError where it cannot be read."""
        length, rate = self._sounds[path]
        start = min(sample_offset * rate // SAMPLE_RATE_HZ, length - 1)  # of 16 kHz the last may be past the end
        frames = -1 if num_samples is None else math.ceil(num_samples * Fraction(rate, SAMPLE_RATE_HZ))
        samples = _read(path, start, frames)
        if rate != SAMPLE_RATE_HZ:
            samples = resample(samples, rate, SAMPLE_RATE_HZ)
        wanted = self.get_num_samples(path) if num_samples is None else num_samples
        return torch.from_numpy(np.pad(samples[:wanted], (0, max(0, wanted - len(samples)))))[None]

    @staticmethod
    def rms_normalize(samples: Tensor) -> Tensor:
        """(..., N) with a root mean square of 1; silence stays silence."""
        rms = samples.square().mean(dim=-1, keepdim=True).sqrt()
        return samples / rms.clamp(min=torch.finfo(samples.dtype).tiny)


@final
class ImpulseResponses:
    """Those below a folder, scaled to an energy of 1, so that a room does not change how loud speech is.

    As in voxceleb_trainer and WeSpeaker. All are read once before training: a silent one would silence what it is for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = SoundFolder(folder)
        self.paths = self._folder.paths
        for path in self.paths:
            self(path)

    def __call__(self, path: Path) -> Tensor:
        """(1, N). Raises TrainingError where it cannot be read, or is silent."""
        response = self._folder(path)
        energy = response.square().sum()
        if not energy > 0:
            raise TrainingError(f"{path}: is silent; expected an impulse response")
        return response / energy.sqrt()


def _transforms(settings: AugmentationSettings) -> list[Callable[..., Any]]:
    """Only those that do something: each draws, so that one more would change what the others draw."""
    import torch_audiomentations as library

    found: list[Any] = []
    if settings.reverb_folder is not None:
        responses = ImpulseResponses(settings.reverb_folder)
        reverb = library.ApplyImpulseResponse(
            _UNREAD,
            compensate_for_propagation_delay=True,  # else speech would leave its crop at the end
            p=settings.reverb_probability,
            output_type="dict",
        )
        reverb.ir_paths, reverb.audio = responses.paths, responses
        found.append(reverb)
    if settings.noise_folder is not None:
        noises = SoundFolder(settings.noise_folder)
        low, high = settings.noise_snr_db
        noise = library.AddBackgroundNoise(_UNREAD, low, high, p=settings.noise_probability, output_type="dict")
        noise.background_paths, noise.audio = noises.paths, noises
        found.append(noise)
    if settings.gain_probability > 0:
        found.append(library.Gain(*settings.gain_db, p=settings.gain_probability, output_type="dict"))
    if settings.polarity_probability > 0:
        found.append(library.PolarityInversion(p=settings.polarity_probability, output_type="dict"))
    return found


_UNREAD = "set below.wav"  # the library's constructors want a path, and take no other kind of file than this


def _sound_files(folder: Path) -> list[Path]:
    """In the order of their names, whatever the file system's; through links. Raises TrainingError where none is."""
    if not folder.is_dir():
        raise TrainingError(f"{folder}: is no folder; expected one of sound files ({', '.join(SUFFIXES)})")
    files = [Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names]
    sounds = sorted(file for file in files if file.suffix.lower() in SUFFIXES)
    if not sounds:
        raise TrainingError(f"{folder}: holds no sound file; expected some ({', '.join(SUFFIXES)})")
    return sounds


def _look_into(path: Path) -> Sound:
    """By its header and its last sample: what is broken in the middle is found where it is read."""
    try:
        header = read_header(path)
        with soundfile.SoundFile(path) as file:
            sound = Sound(file.frames, file.samplerate)
    except (OSError, soundfile.LibsndfileError) as error:
        raise _unreadable(path, error) from error
    if not sound.num_samples or (header and header.bytes_missing):
        raise TrainingError(f"{path}: is empty or cut off; expected a whole sound file")
    _read(path, sound.num_samples - 1, 1)
    return sound


def _read(path: Path, start: int, frames: int) -> NDArray[np.float32]:
    """(N,) of the first channel, at the file's own rate; -1: to its end."""
    try:
        samples, _ = soundfile.read(path, frames, start, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise _unreadable(path, error) from error
    if not len(samples) or not np.isfinite(samples).all():
        raise TrainingError(f"{path}: is cut off, or holds samples that are not finite; expected a whole sound file")
    first: NDArray[np.float32] = np.ascontiguousarray(samples[:, 0])
    return first


def _unreadable(path: Path, error: Exception) -> TrainingError:
    why = str(error).rsplit(": ", 1)[-1].splitlines()[0].rstrip(".")
    return TrainingError(f"{path}: cannot be decoded ({why}); expected a sound file, as all below such a folder")


def _ratio(speed: float) -> Fraction:
    """1.1 is 11/10; to resample by it takes a small filter for each unit of the denominator."""
    return Fraction(speed).limit_denominator(100)
