"""What the first bytes of an audio file promise, without decoding it: WAV, FLAC and NIST SPHERE.

By hand, because libsndfile opens and seeks several times where one read will do: `benchmarks/speed/ingest.py` has the
figures. WAV: the RIFF chunks `fmt ` and `data`. FLAC: its STREAMINFO block. SPHERE: lines of text, 1,024 bytes in all.
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple

from curate.storage import facts, fetch, is_local

HEAD_BYTES = 4096  # of a file; a header that is longer is libsndfile's to read
STREAMED_RIFF = 0x7FFFF000  # from this length on a WAV header was written before its end was known
PLAIN_WAV = {1, 3, 6, 7}  # PCM, float, A-law, mu-law: every sample has as many bytes
EXTENSIBLE_WAV = 0xFFFE  # says which of them further on
MAX_RATE_HZ, MAX_CHANNELS = (1 << 31) - 1, 1024  # as libsndfile has them: a header that says more is garbled
_SPHERE_BYTES = {"pcm": None, "ulaw": 1, "mu-law": 1, "alaw": 1}


class Header(NamedTuple):
    """Samples are counted in each channel. `bytes_missing`: announced, but past the end of the file."""

    sample_rate_hz: int
    num_channels: int
    num_samples: int
    bytes_missing: int = 0


def read_header(path: str | Path) -> Header | None:
    """By one read of the first bytes; None for every kind of file that is not described above. Raises OSError."""
    if not isinstance(path, str) and not is_local(path):
        num_bytes = facts(path)["size"]
        return parse_header(fetch(path, HEAD_BYTES) if num_bytes else b"", num_bytes)
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return parse_header(os.pread(file, HEAD_BYTES, 0), os.fstat(file).st_size)
    finally:
        os.close(file)


def parse_header(head: bytes, num_bytes: int) -> Header | None:
    """The same of bytes that were read; `num_bytes` is the size of the whole file."""
    header = None
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        header = _wav(head, num_bytes)
    elif head[:4] == b"fLaC":
        header = _flac(head)
    elif head[:8] == b"NIST_1A\n":
        header = _sphere(head, num_bytes)
    if header and header.sample_rate_hz <= MAX_RATE_HZ and header.num_channels <= MAX_CHANNELS:
        return header
    return None


def bytes_missing(content: bytes) -> int:
    """How far the audio that a header announces, of a WAV in whatever encoding, goes past the end of these bytes."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        header = parse_header(content, len(content))
        return header.bytes_missing if header else 0
    _, at, size = _wav_chunks(content)
    return 0 if size >= STREAMED_RIFF else max(at + size - len(content), 0)


def _wav(head: bytes, num_bytes: int) -> Header | None:
    form, at, size = _wav_chunks(head)
    if len(form) < 16 or not size:
        return None  # size 0: written before its end was known, or no samples
    kind, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if kind == EXTENSIBLE_WAV and len(form) >= 26:
        (kind,) = struct.unpack_from("<H", form, 24)
    if kind not in PLAIN_WAV or not (block and rate) or block != channels * -(-bits // 8):
        return None
    missing = 0 if size >= STREAMED_RIFF else max(at + size - num_bytes, 0)
    return Header(rate, channels, min(size, num_bytes - at) // block, missing)


def _wav_chunks(head: bytes) -> tuple[bytes, int, int]:
    """The chunk `fmt `, and where `data` begins and how long it says it is; 0 where it is not among the bytes."""
    form, at = b"", 12
    while at + 8 <= len(head):
        chunk, size = struct.unpack_from("<4sI", head, at)
        at += 8
        if chunk == b"fmt ":
            form = head[at : at + size]
        elif chunk == b"data":
            return form, at, size
        at += size + size % 2
    return form, at, 0


def _flac(head: bytes) -> Header | None:
    """STREAMINFO comes first: after 10 bytes, 20 bits of rate, 3 of channels, 5 of depth and 36 of samples."""
    if len(head) < 26 or head[4] & 0x7F != 0:
        return None
    packed = int.from_bytes(head[18:26], "big")
    rate, channels, samples = packed >> 44, (packed >> 41 & 0b111) + 1, packed & 0xF_FFFF_FFFF
    return Header(rate, channels, samples) if rate and samples else None  # 0 samples: not known when it was written


def _sphere(head: bytes, num_bytes: int) -> Header | None:
    try:
        size = int(head[8:16])
        lines = [line.split(None, 2) for line in head[16:size].decode("ascii").split("\n")]
        told = {line[0]: line[2].strip() for line in lines if len(line) == 3}
        rate, samples, channels = (int(told[key]) for key in ("sample_rate", "sample_count", "channel_count"))
        coding = told.get("sample_coding", "pcm")
        width = _SPHERE_BYTES[coding] or int(told["sample_n_bytes"])
    except (ValueError, KeyError, UnicodeDecodeError):
        return None  # compressed (`pcm,embedded-shorten`), or not as the format says
    if min(rate, channels, width) < 1 or samples < 0 or not 16 < size <= num_bytes:
        return None
    missing = max(size + samples * channels * width - num_bytes, 0)
    return Header(rate, channels, samples - -(-missing // (channels * width)), missing)
