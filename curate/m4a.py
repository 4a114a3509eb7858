"""Decode AAC in MP4 (`.m4a`), which VoxCeleb2 comes in and libsndfile does not know; by FFmpeg through PyAV.

FFmpeg makes room for as many packets as the tables of a file count, before it looks for them: counts that no file of
this length can hold are refused before it does.
"""

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

MAX_LOST = 4096  # frames by which a header may be longer than the sound: encoders pad to whole blocks of 1,024
MAX_CHANNELS = 7  # of 8 or more, PyAV 18 reads past the end of its list of planes, and the process dies
HOLD_BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
COUNTED_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # after version and flags, and in the former two a size


class NoSoundError(ValueError):
    """FFmpeg finds no sound in the bytes; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Samples (N, channels) of what was asked for; of all of it how long it is, and how loud at most."""

    samples: NDArray[np.float32]
    sample_rate_hz: int
    found: int  # in each channel
    peak: float  # nan where a sample is
    promised: int  # by the header
    failed: bool  # the decoder gave up before the end

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before the sound that its header announces."""
        return self.failed or self.found + MAX_LOST < self.promised


def is_m4a(content: bytes) -> bool:
    """Whether the bytes begin as an MP4 does."""
    return content[4:8] == b"ftyp"


def decode(content: bytes, *, start_s: float = 0.0, duration_s: float | None = None) -> Decoded:
    """Decode it whole, since nobody may believe its tables, and hold what was asked for. Raises NoSoundError."""
    import av  # takes a tenth of a second: not for what has no such file

    _require_room(content)
    try:
        with av.open(io.BytesIO(content), "r", format="mp4", metadata_errors="replace") as container:
            stream = next((one for one in container.streams.audio if one.codec_context), None)
            if stream is None:
                raise NoSoundError("no sound in it, or of a codec that is not known")
            frames, first, failed = container.decode(stream), None, False
            try:
                first = next(frames, None)
            except av.error.FFmpegError:
                failed = True
            rate, channels = stream.rate or 0, stream.codec_context.channels  # as the first frame has them
            promised = round(float((stream.duration or 0) * stream.time_base) * rate) if stream.time_base else 0
            start = round(start_s * rate)
            stop = math.inf if duration_s is None else start + round(duration_s * rate)
            blocks, found, peak = [np.zeros((0, channels), np.float32)], 0, 0.0
            try:
                for frame in chain([] if first is None else [first], frames):
                    block = _floats(frame)[: promised - found if promised else None]  # the last one is padded
                    if block.shape[1] != channels:
                        raise NoSoundError("not one number of channels")
                    if found < stop and found + len(block) > start:
                        blocks.append(block[max(start - found, 0) : int(min(stop - found, len(block)))])
                    found += len(block)
                    peak = float(np.maximum(peak, np.abs(block).max(initial=0.0)))  # nan stays
            except av.error.FFmpegError:
                failed = True
    except (av.error.FFmpegError, MemoryError) as error:
        raise NoSoundError(getattr(error, "strerror", None) or str(error)) from error
    if not rate or not channels:
        raise NoSoundError("no rate, or no channels")
    samples = np.concatenate(blocks)
    return Decoded(samples=samples, sample_rate_hz=rate, found=found, peak=peak, promised=promised, failed=failed)


def _require_room(content: bytes) -> None:
    """Raises NoSoundError where the tables count more packets than the file has bytes."""
    counted = sum(_packets_counted(content))
    if counted > len(content):
        raise NoSoundError(f"its tables count {counted} packets in {len(content)} bytes")


def _packets_counted(content: bytes) -> Iterator[int]:
    """What each table counts. A box: its size, its name, what is in it."""
    at, end = 0, len(content)
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", content, at)
        body = at + 8
        if size == 1 and at + 16 <= end:  # the size comes after the name, and is longer
            (size,), body = struct.unpack_from(">Q", content, at + 8), at + 16
        if name in COUNTED_AT and body + COUNTED_AT[name] + 4 <= end:
            (counted,) = struct.unpack_from(">I", content, body + COUNTED_AT[name])
            yield counted
        holds_boxes = name in HOLD_BOXES
        at = body if holds_boxes else max(at + size, body) if size else end  # 0: to the end


def _floats(frame: object) -> NDArray[np.float32]:
    """(N, channels) of one decoded frame. AAC decodes to planar floats; anything else in an MP4 is scaled to them."""
    layout, kind = frame.layout, frame.format  # type: ignore[attr-defined]
    if layout.nb_channels > MAX_CHANNELS:
        raise NoSoundError(f"{layout.nb_channels} channels; at most {MAX_CHANNELS} can be read")
    values = frame.to_ndarray()  # type: ignore[attr-defined]
    if not kind.is_planar:
        values = values.reshape(-1, layout.nb_channels).T
    if values.dtype.kind in "iu":
        half = 2.0 ** (8 * values.dtype.itemsize - 1)
        values = (values - (half if values.dtype.kind == "u" else 0.0)) / half
    return values.T.astype(np.float32)  # type: ignore[no-any-return]
