"""Probe, decode, resample and hash audio: the only file that knows codecs."""

import hashlib
import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from curate.errors import CorpusError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
FRAMES_PER_BLOCK = 1 << 18  # decoded at once while probing: memory stays flat for hour-long files
FRAMES_PER_SMALL_BLOCK = 1 << 10  # to find how far a damaged file goes
STREAMED_RIFF = 0x7FFFF000  # from this length on a WAV header was written before its end was known
UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's word for a stream that was written to a pipe; it cannot decode its end


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What one look into a file found. `damage` is None for a sound file; `detail` says it in words."""

    content_sha256: str | None = None
    sample_rate_hz: int | None = None
    num_channels: int | None = None
    duration_s: float | None = None
    peak_dbfs: float | None = None
    damage: str | None = None
    detail: str = ""


def probe(path: Path) -> Probe:
    """Hash the file and decode all of it: a header can promise what the file does not hold.

    Raises CorpusError where the file cannot be opened at all.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}; expected a readable file") from error
    known: dict[str, Any] = {"content_sha256": hashlib.sha256(content).hexdigest()}
    if not content:
        return Probe(**known, damage="empty", detail="0 bytes")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            known |= {"sample_rate_hz": file.samplerate, "num_channels": file.channels}
            promised = file.frames
            found, peak, failure = _decode_to_the_end(file, FRAMES_PER_BLOCK)
        if failure:  # the block it gave up in is lost whole: look again in small ones
            with soundfile.SoundFile(io.BytesIO(content)) as file:
                found, peak, _ = _decode_to_the_end(file, FRAMES_PER_SMALL_BLOCK)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: headerless formats ask for a rate
        return Probe(**known, damage="unreadable", detail=f"no audio that libsndfile knows ({_words(error)})")
    known["duration_s"] = found / known["sample_rate_hz"]
    if not math.isfinite(peak):
        return Probe(**known, damage="unreadable", detail="holds samples that are not finite numbers")
    known["peak_dbfs"] = 20 * math.log10(peak) if peak > 0 else -math.inf
    if promised == UNKNOWN_LENGTH:
        return Probe(**known, damage="unreadable", detail="its header does not say how many samples it holds")
    if missing := _bytes_missing_from_riff(content):
        return Probe(**known, damage="truncated", detail=f"{missing} bytes that its header announces are not there")
    if promised == 0:
        return Probe(**known, damage="empty", detail="0 samples")
    if found < promised or failure:
        return Probe(**known, damage="truncated", detail=f"{found} of {promised} samples can be decoded")
    return Probe(**known)


def _decode_to_the_end(file: soundfile.SoundFile, frames_per_block: int) -> tuple[int, float, bool]:
    """Frames decoded, the greatest magnitude among them, and whether the decoder gave up."""
    found, peak = 0, 0.0
    block = np.empty((max(frames_per_block // file.channels, 1), file.channels), dtype=np.float32)
    while True:
        try:
            samples = file.read(out=block)
        except soundfile.LibsndfileError:
            return found, peak, True
        if len(samples) == 0:
            return found, peak, False
        found += len(samples)
        peak = max(peak, float(samples.max()), -float(samples.min()), key=_nan_first)


def _nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _bytes_missing_from_riff(content: bytes) -> int:
    """How far the audio that a WAV header announces goes past the end; libsndfile quietly takes what is there.

    The header of a stream announces nothing: its length is 0, all ones, or sox's greatest.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(content):
        chunk, size = struct.unpack_from("<4sI", content, at)
        if chunk == b"data":
            return 0 if size >= STREAMED_RIFF else max(at + 8 + size - len(content), 0)
        at += 8 + size + size % 2
    return 0


def _words(error: Exception) -> str:
    return str(error).rsplit(": ", 1)[-1].strip().rstrip(".")


def decode(
    path: Path,
    *,
    sample_rate_hz: int,
    start_s: float = 0.0,
    duration_s: float | None = None,
    content_sha256: str | None = None,
) -> NDArray[np.float32]:
    """Mono float32 samples (N,) at the asked rate; channels are averaged.

    Raises CorpusError if the file is unreadable, or its bytes have another hash than the one given.
    """
    try:
        content = path.read_bytes()  # once: what is decoded is what was hashed
        if content_sha256 not in (None, hashlib.sha256(content).hexdigest()):
            # a scan knows a file by size and time of change: whatever kept both must be touched to be seen
            raise CorpusError(f"{path} changed during the run; run again, and if this is said again `touch` it before")
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if start_s:
                file.seek(min(round(start_s * file.samplerate), file.frames))
            frames = -1 if duration_s is None else round(duration_s * file.samplerate)
            samples, rate = file.read(frames, dtype="float32", always_2d=True), file.samplerate
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise CorpusError(f"{path}: cannot be decoded ({_words(error)}); expected a sound file") from error
    mono: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    return mono if rate == sample_rate_hz else soxr.resample(mono, rate, sample_rate_hz).astype(np.float32)


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
