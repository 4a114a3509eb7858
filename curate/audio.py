"""Probe, decode, resample and hash audio. With `headers` and `m4a`, the only files that know codecs."""

import errno
import hashlib
import io
import math
import os
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from curate import headers, m4a
from curate.errors import CorpusError, DamagedAudioError
from curate.headers import HEAD_BYTES, bytes_missing, parse_header
from curate.storage import BYTES_PER_FETCH, facts, fetch, is_local, seekable, version_of, why

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".sph")
SOURCES = tuple(Path(str(file)) for file in (__file__, headers.__file__, m4a.__file__))  # what decodes and probes
FRAMES_PER_BLOCK = 1 << 18  # decoded at once while probing: an hour-long file is held as its bytes, not as its samples
FRAMES_PER_SMALL_BLOCK = 1 << 10  # to find how far a damaged file goes
SYSTEM_ERROR = 2  # libsndfile's number for a file that it cannot open or read
LONG_FILE_BYTES = 1 << 23  # a longer file is hashed once, and then read where a stretch of it lies
DECODERS = {"libsndfile": soundfile.__libsndfile_version__} | {name: version(name) for name in ("soundfile", "av")}
Taken = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # of samples (N, channels) those channels that are asked
UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's word for a stream that was written to a pipe; it cannot decode its end


class TruncatedAudioError(DamagedAudioError):
    """The file begins as it should, and what it announces cannot be decoded to its end: to `probe` it is truncated."""


class Probe(NamedTuple):
    """What one look into a file found. `damage` is None for a sound file; `detail` says it in words."""

    content_sha256: str | None = None
    sample_rate_hz: int | None = None
    num_channels: int | None = None
    num_samples: int | None = None  # in each channel
    peak_dbfs: float | None = None
    damage: str | None = None
    detail: str = ""

    @property
    def duration_s(self) -> float | None:
        """None where the file cannot be read."""
        if self.num_samples is None or not self.sample_rate_hz:
            return None
        return self.num_samples / self.sample_rate_hz


def probe(path: Path) -> Probe:
    """Hash the file and decode all of it: a header can promise what the file does not hold.

    Raises CorpusError where the file cannot be opened at all.
    """
    return probe_of(_content(path))


def probe_of(content: bytes) -> Probe:
    """The same of the bytes of a file."""
    known: dict[str, Any] = {"content_sha256": hashlib.sha256(content).hexdigest()}
    if not content:
        return Probe(**known, damage="empty", detail="0 bytes")
    if m4a.is_m4a(content):
        return _probe_m4a(content, known)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            known |= {"sample_rate_hz": file.samplerate, "num_channels": file.channels}
            promised = file.frames
            found, peak, failure = _decode_to_the_end(file, FRAMES_PER_BLOCK)
        if failure:  # the block it gave up in is lost whole: look again in small ones
            with soundfile.SoundFile(io.BytesIO(content)) as file:
                found, peak, _ = _decode_to_the_end(file, FRAMES_PER_SMALL_BLOCK)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: headerless formats ask for a rate
        return Probe(**known, damage="unreadable", detail=_why_unreadable(content, error))
    missing = bytes_missing(content)  # libsndfile quietly takes what is there
    cut = f"{missing} bytes that its header announces are not there" if missing else ""
    if not cut and (found < promised or failure):
        cut = f"{found} of {promised} samples can be decoded"
    return _probed(known, found=found, peak=peak, promised=promised, cut=cut)


def _probe_m4a(content: bytes, known: dict[str, Any]) -> Probe:
    try:
        sound = m4a.decode(content, duration_s=0.0)  # all of it, of which nothing is held
    except m4a.NoSoundError as error:
        return Probe(**known, damage="unreadable", detail=f"no sound that FFmpeg knows ({error})")
    known |= {"sample_rate_hz": sound.sample_rate_hz, "num_channels": sound.samples.shape[1]}
    cut = f"{sound.found} of {sound.promised} samples can be decoded" if sound.is_cut else ""
    return _probed(known, found=sound.found, peak=_nan_first(sound.peak), promised=sound.promised, cut=cut)


def _probed(known: dict[str, Any], *, found: int, peak: float, promised: int, cut: str) -> Probe:
    """What was measured, with the first fault that is found in it."""
    known["num_samples"] = found
    if not math.isfinite(peak):
        return Probe(**known, damage="unreadable", detail="holds samples that are not finite numbers")
    known["peak_dbfs"] = 20 * math.log10(peak) if peak > 0 else -math.inf
    if promised == UNKNOWN_LENGTH:
        return Probe(**known, damage="unreadable", detail="its header does not say how many samples it holds")
    if not found and not cut:
        return Probe(**known, damage="empty", detail="0 samples")
    return Probe(**known, damage="truncated", detail=cut) if cut else Probe(**known)


def probe_header(path: Path) -> Probe:
    """Hash the file and believe its header: nothing is decoded, and no peak is known.

    What a header cannot tell, such as a FLAC that was cut, is found where the file is decoded. A kind of file that has
    no plain header is decoded whole. Raises CorpusError where the file cannot be opened at all.
    """
    return probe_header_of(_content(path))


def probe_header_of(content: bytes) -> Probe:
    """The same of the bytes of a file."""
    header = parse_header(content[:HEAD_BYTES], len(content))
    if header is None:
        return probe_of(content)
    cut = f"{header.bytes_missing} bytes that its header announces are not there" if header.bytes_missing else ""
    return Probe(
        content_sha256=hashlib.sha256(content).hexdigest(),
        sample_rate_hz=header.sample_rate_hz,
        num_channels=header.num_channels,
        num_samples=header.num_samples,
        damage="truncated" if cut else None if header.num_samples else "empty",
        detail=cut or ("" if header.num_samples else "0 samples"),
    )


def content_of(path: Path, content_sha256: str | None = None) -> bytes:
    """The bytes of a file. Raises CorpusError where it cannot be read, or has another hash than the one given."""
    content = _content(path)
    if content_sha256 is not None:
        _require_hash(path, hashlib.sha256(content).hexdigest(), content_sha256)
    return content


def _require_hash(path: Path, held: str, content_sha256: str | None) -> None:
    if content_sha256 not in (None, held):
        # a scan knows a file by size and time of change: whatever kept both must be touched to be seen
        raise CorpusError(
            f"{path} changed since it was scanned; run again, and if this is said again `touch` it before"
        )


def _content(path: Path) -> bytes:
    """The bytes of a file, by as few calls as can be: of small files, opening is the cost."""
    try:
        if not is_local(path):
            return fetched(path, facts(path)["size"])
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(file).st_size
            content = os.read(file, size + 1)
            if len(content) == size:
                return content
            blocks = [content]  # it grows, or is larger than one read may be
            while block := os.read(file, 1 << 30):
                blocks.append(block)
            return b"".join(blocks)
        finally:
            os.close(file)
    except OSError as error:
        raise CorpusError(f"{path}: {why(error)}; expected a readable file") from error


def fetched(path: Path, num_bytes: int) -> bytes:
    """The bytes of a file elsewhere that has so many. Raises OSError, and CorpusError where it has not."""
    content = fetch(path, num_bytes + 1) if num_bytes else b""
    if len(content) != num_bytes:
        raise CorpusError(f"{path} changed while it was read; expected files that hold still: run again")
    return content


def _why_unreadable(content: bytes, error: Exception) -> str:
    if content[:8] == b"NIST_1A\n" and b"shorten" in content[:HEAD_BYTES]:
        return "SPHERE compressed by shorten; expected what `sph2pipe` makes of it"
    return f"no audio that libsndfile knows ({_words(error)})"


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


def _words(error: Exception) -> str:
    return str(error).rsplit(": ", 1)[-1].strip().rstrip(".")


def decode(
    path: Path,
    *,
    sample_rate_hz: int | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: int | None = None,
    content_sha256: str | None = None,
) -> NDArray[np.float32]:
    """Mono float32 samples (N,) at the asked rate, or the file's own; one channel, or all of them averaged.

    Raises CorpusError if the file cannot be read, or its bytes have another hash than the one given; DamagedAudioError
    if they are the right ones, but are no sound or lack the channel, and TruncatedAudioError if the sound breaks off.
    """
    taken = _one_channel(path, channel)
    samples, rate = _samples(path, taken, start_s=start_s, duration_s=duration_s, content_sha256=content_sha256)
    mono = samples[:, 0]
    return mono if sample_rate_hz in (None, rate) else resample(mono, rate, sample_rate_hz or rate)


def read(
    path: Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: int | None = None,
    content_sha256: str | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Float32 samples (N, channels) of all channels, or (N, 1) of one, and their rate. Raises as `decode` does."""
    taken = _all_channels if channel is None else _one_channel(path, channel)
    return _samples(path, taken, start_s=start_s, duration_s=duration_s, content_sha256=content_sha256)


def _all_channels(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples


def _one_channel(path: Path, channel: int | None) -> Taken:
    """Of samples (N, channels) the mean, or one channel, (N, 1); DamagedAudioError where that is not there."""

    def taken(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if channel is None:
            mean: NDArray[np.float32] = samples.mean(axis=1, keepdims=True, dtype=np.float32)
            return mean
        if channel >= samples.shape[1]:
            raise DamagedAudioError(f"{path}: no channel {channel}; it has {samples.shape[1]}, counted from 0")
        return samples[:, channel : channel + 1]

    return taken


def resample(samples: NDArray[np.float32], rate_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Samples (N,) or (N, channels) at another rate, by soxr's default filter."""
    resampled: NDArray[np.float32] = soxr.resample(samples, rate_hz, to_hz).astype(np.float32)
    return resampled


def _samples(
    path: Path, taken: Taken, *, start_s: float, duration_s: float | None, content_sha256: str | None
) -> tuple[NDArray[np.float32], int]:
    """(N, channels) of the stretch, of those channels that are taken, and their rate."""
    try:
        num_bytes, *state = _state_of(path)
        if num_bytes > LONG_FILE_BYTES and not _begins_as_m4a(path):
            _require_hash(path, _hash_of(path, num_bytes, *state), content_sha256)
            return _stretch_of(path, taken, start_s, duration_s)
        # once: what is decoded is what was hashed
        content = path.read_bytes() if is_local(path) else fetched(path, num_bytes)
        _require_hash(path, hashlib.sha256(content).hexdigest(), content_sha256)
        if m4a.is_m4a(content):
            sound = m4a.decode(content, start_s=start_s, duration_s=duration_s)
            return taken(sound.samples), sound.sample_rate_hz
        return _read(io.BytesIO(content), taken, start_s, duration_s)
    except (soundfile.LibsndfileError, m4a.NoSoundError, TypeError) as error:
        was_opened = getattr(error, "prefix", None) == ""  # soundfile puts words before what it cannot open
        kind = TruncatedAudioError if was_opened else DamagedAudioError
        raise kind(f"{path}: cannot be decoded ({_words(error)}); expected a sound file") from error
    except OSError as error:
        raise CorpusError(f"{path}: {why(error)}; expected a readable file") from error


def _state_of(path: Path) -> tuple[int, int | str, int | str]:
    """Its size, and what differs when it was written anew."""
    if is_local(path):
        status = path.stat()
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns
    found = facts(path)
    return found["size"], version_of(found), ""


def _begins_as_m4a(path: Path) -> bool:
    if not is_local(path):
        return m4a.is_m4a(fetch(path, 8))
    with path.open("rb") as file:
        return m4a.is_m4a(file.read(8))


def _read(
    source: "Path | io.BytesIO | _Watched", taken: Taken, start_s: float, duration_s: float | None
) -> tuple[NDArray[np.float32], int]:
    with soundfile.SoundFile(source) as file:
        if start_s:
            file.seek(min(round(start_s * file.samplerate), file.frames))
        here = file.tell() if file.seekable() else 0
        left = file.frames - here  # of a damaged Opus that is sought to behind its end, less than nothing
        if duration_s is not None:
            left = min(left, round(duration_s * file.samplerate))
        if file.channels == 1 and left > 0:
            return taken(file.read(left, dtype="float32", always_2d=True)), file.samplerate
        # Of many channels one is kept, or their mean: what is silent in eight takes little of a disk, and much memory.
        blocks = [taken(np.zeros((0, file.channels), np.float32))]
        while left > 0:
            block = file.read(min(left, FRAMES_PER_BLOCK), dtype="float32", always_2d=True)
            if not len(block):
                break
            left -= len(block)
            blocks.append(taken(block))
        return np.concatenate(blocks), file.samplerate


def _stretch_of(path: Path, taken: Taken, start_s: float, duration_s: float | None) -> tuple[NDArray[np.float32], int]:
    """Of a long file that was hashed; only what is asked for is read. Raises OSError where that fails."""
    if is_local(path):
        try:
            return _read(path, taken, start_s, duration_s)
        except soundfile.LibsndfileError as error:
            if error.code == SYSTEM_ERROR:
                raise OSError(errno.EIO, _words(error), str(path)) from error
            raise
    with seekable(path) as file:
        watched = _Watched(cast(IO[bytes], file))
        try:
            return _read(watched, taken, start_s, duration_s)
        finally:
            if watched.failure:
                raise watched.failure


class _Watched:
    """A file elsewhere, as libsndfile reads it: to it a read that fails is the end, so that failures are kept."""

    def __init__(self, file: IO[bytes]) -> None:
        self.failure: Exception | None = None
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, num_bytes: int) -> bytes:
        """What is next; nothing after a failure."""
        try:
            return b"" if self.failure else self._file.read(num_bytes)
        except Exception as failure:  # noqa: BLE001  # every client has its own
            self.failure = failure
            return b""


@lru_cache(maxsize=1 << 16)  # stretches come by their length: recordings in any order
def _hash_of(path: Path, num_bytes: int, *state: int | str) -> str:
    """Of a long file that many stretches are read from, as long as it holds still."""
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") if is_local(path) else seekable(path, bytes_per_block=BYTES_PER_FETCH) as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
