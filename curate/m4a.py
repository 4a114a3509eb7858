"""Decode AAC in MP4 (`.m4a`), which VoxCeleb2 comes in and libsndfile does not know; by FFmpeg through PyAV."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_LOST = 4096  # frames by which a header may be longer than the sound: encoders pad to whole blocks of 1,024


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
        with av.open(io.BytesIO(content), "r", format="mp4") as container:
            if not container.streams.audio:
                raise NoSoundError("no sound in it")
            stream = container.streams.audio[0]
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
    values = frame.to_ndarray()  # type: ignore[attr-defined]
    layout, kind = frame.layout, frame.format  # type: ignore[attr-defined]
    if not kind.is_planar:
        values = values.reshape(-1, layout.nb_channels).T
    if values.dtype.kind == "i":
        values = values / float(np.iinfo(values.dtype).max + 1)
    return values.T.astype(np.float32)  # type: ignore[no-any-return]
