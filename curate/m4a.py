"""Decode AAC in MP4 (`.m4a`), which VoxCeleb2 comes in and libsndfile does not know; by FFmpeg through PyAV."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_LOST = 4096  # frames by which a header may be longer than the sound: encoders pad to whole blocks of 1,024
MAX_CHANNELS = 7  # of 8 or more, PyAV 18 reads past the end of its list of planes, and the process dies


class NoSoundError(ValueError):
    """FFmpeg finds no sound in the bytes; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """All samples (N, channels), and how many the header announces in each channel."""

    samples: NDArray[np.float32]
    sample_rate_hz: int
    promised: int
    failed: bool  # the decoder gave up before the end

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before the sound that its header announces."""
        return self.failed or len(self.samples) + MAX_LOST < self.promised


def is_m4a(content: bytes) -> bool:
    """Whether the bytes begin as an MP4 does."""
    return content[4:8] == b"ftyp"


def decode(content: bytes) -> Decoded:
    """Decode it whole: the files are utterances. Raises NoSoundError."""
    import av  # takes a tenth of a second: not for what has no such file

    try:
        with av.open(io.BytesIO(content), "r", format="mp4", metadata_errors="replace") as container:
            stream = next((one for one in container.streams.audio if one.codec_context), None)
            if stream is None:
                raise NoSoundError("no sound in it, or of a codec that is not known")
            blocks, failed = [], False
            try:
                for frame in container.decode(stream):
                    blocks.append(_floats(frame))
            except av.error.FFmpegError:
                failed = True
            rate, channels = stream.rate or 0, stream.codec_context.channels
            promised = round(float((stream.duration or 0) * stream.time_base) * rate) if stream.time_base else 0
    except (av.error.FFmpegError, MemoryError) as error:
        raise NoSoundError(getattr(error, "strerror", None) or str(error)) from error
    if not rate or not channels or any(block.shape[1] != channels for block in blocks):
        raise NoSoundError("no rate, or not one number of channels")
    samples = np.concatenate(blocks) if blocks else np.zeros((0, channels), dtype=np.float32)
    samples = samples[: promised or None]  # the last block is padded
    return Decoded(samples=samples, sample_rate_hz=rate, promised=promised, failed=failed)


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
