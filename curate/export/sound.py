"""Audio on its way out: copied as it is, or cut, mixed, resampled and written anew.

Stretches and single channels are cut out to files of their own. Whatever needs no change is copied byte for byte.
"""

import io
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from curate import audio
from curate.errors import CorpusError, ExportError
from curate.export.outgoing import Outgoing
from curate.storage import BYTES_PER_BLOCK, UnreachableError, is_local, opened, reachable, why
from curate.whole import sync

FILES_AT_ONCE = 256
BITS = (16, 24)
FORMATS = ("wav", "flac")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What audio is made into; nothing given leaves a file as it is."""

    rate_hz: int | None = None
    mono: bool = False  # the mean of all channels
    bits: int | None = None  # of what is written anew: 16 where nothing is said
    format: str | None = None  # wav | flac; what is written anew is wav where nothing is said

    def __post_init__(self) -> None:
        if self.rate_hz is not None and not 1_000 <= self.rate_hz <= 384_000:
            raise ExportError(f"rate {self.rate_hz}; expected 1000 to 384000 Hz")
        if self.bits not in (None, *BITS):
            raise ExportError(f"bits {self.bits}; expected one of {', '.join(map(str, BITS))}")
        if self.format not in (None, *FORMATS):
            raise ExportError(f"format {self.format!r}; expected one of {', '.join(FORMATS)}")

    def leaves(self, one: Outgoing) -> bool:
        """Whether the file goes out as it is."""
        same_rate = self.rate_hz in (None, one.file_rate_hz)
        same_channels = not self.mono or one.file_num_channels == 1
        return one.is_whole_file and same_rate and same_channels and self.bits is None and self.format is None


# The mixup paper takes its 16 kHz speech to the 8 kHz, 16 bit of a telephone; resampling cuts off what is above 4 kHz.
TELEPHONE = Conversion(rate_hz=8_000, mono=True, bits=16)


def converted(
    utterances: Iterator[Outgoing], conversion: Conversion, folder: Path, *, final: Path, workers: int
) -> Iterator[Outgoing]:
    """Write the audio of each utterance below `folder`, which shall be `final`; in their order.

    A file that is there already is kept: it appears whole or not at all. Audio may lie in a store; what it is made into
    lies here. Raises CorpusError for audio that is not what was scanned.
    """
    work = partial(_convert, conversion, folder, final)
    with ThreadPoolExecutor(workers) as threads:
        while chunk := list(islice(utterances, FILES_AT_ONCE)):
            yield from threads.map(work, chunk)


def _convert(conversion: Conversion, folder: Path, final: Path, one: Outgoing) -> Outgoing:
    suffix = one.file.suffix.lower() if conversion.leaves(one) else f".{conversion.format or 'wav'}"
    name = file_name(one.utterance) + suffix
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            aside = path.with_name(path.name + ".new")
            if conversion.leaves(one):
                _copy(one, aside)
            else:
                _write(one, conversion, aside, suffix)
            sync(aside)  # else it could be empty after a power cut, and would be kept
            aside.replace(path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ExportError(
            f"{name}: one id is called as a folder of another is; expected `--format` to differ"
        ) from error
    if conversion.leaves(one):
        return replace(one, file=final / name, readable=path, content_sha256=None)
    header = soundfile.info(path)
    return replace(
        one,
        file=final / name,
        readable=path,
        file_rate_hz=header.samplerate,
        file_num_samples=header.frames,
        file_num_channels=header.channels,
        start_s=0.0,
        duration_s=header.frames / header.samplerate,
        channel=None,
        content_sha256=None,
    )


def file_name(utterance: str) -> str:
    """An id as a path below a folder, whatever it holds: no part of it leads upwards or is empty, and no two are one.

    What looks like a part that was changed has one more `%`.
    """
    parts = [
        "%" + part.replace(".", "%2E") if re.fullmatch(r"\.*|%+(%2E)*", part) else part for part in utterance.split("/")
    ]
    if any(len(os.fsencode(part)) > 240 for part in parts):
        raise ExportError(f"{utterance[:80]!r}...: too long for the name of a file; expected at most 240 bytes")
    return "/".join(parts)


def _copy(one: Outgoing, path: Path) -> None:
    if is_local(one.file):
        shutil.copyfile(one.file, path)
    else:
        _fetch(one.file, path)
    if audio.sha256_of(path) != one.content_sha256:
        path.unlink()
        raise ExportError(f"{one.file} is not what was scanned; expected `curate run` after a change of the audio")


def _fetch(file: Path, path: Path) -> None:
    """However long it is, a block of it is in memory. Raises CorpusError where its place does not give it."""
    try:
        with reachable(file), opened(file) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy, BYTES_PER_BLOCK)
    except (UnreachableError, FileNotFoundError) as error:
        raise CorpusError(f"{file}: {why(error)}; expected a readable file") from error


def _write(one: Outgoing, conversion: Conversion, path: Path, suffix: str) -> None:
    samples, rate = audio.read(one.file, **one.stretch)
    if conversion.mono:
        samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
    if conversion.rate_hz not in (None, rate):
        samples, rate = audio.resample(samples, rate, conversion.rate_hz or rate), conversion.rate_hz or rate
    if not len(samples) or not np.isfinite(samples).all():
        what = "samples that are no numbers" if len(samples) else "no samples"
        raise ExportError(f"{one.utterance}: {what} in {one.duration_s} s of {one.file}; expected sound")
    whole, subtype = quantised(samples, conversion.bits or 16)
    encoded = io.BytesIO()  # first: a disk that is full says so itself, where libsndfile does not
    try:
        soundfile.write(encoded, whole, rate, subtype=subtype, format=suffix[1:].upper())
    except soundfile.LibsndfileError as error:  # FLAC has at most 8 channels, and not every rate
        told = f"{one.utterance}: {samples.shape[1]} channels at {rate} Hz cannot be written as {suffix[1:]}"
        raise ExportError(f"{told} ({error.error_string.rstrip('.')}); expected another `--format`") from error
    path.write_bytes(encoded.getbuffer())


def quantised(samples: NDArray[np.float32], bits: int) -> tuple[NDArray[np.int16] | NDArray[np.int32], str]:
    """Floats in [-1, 1] as whole numbers, nearest and clipped, and libsndfile's name for them.

    By hand: libsndfile rounds downwards, so that samples which were read as floats would not come back as they were.
    """
    whole = np.clip(np.rint(samples * 2.0 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if bits == 16:
        return whole.astype(np.int16), "PCM_16"
    return whole.astype(np.int32) << 8, "PCM_24"
