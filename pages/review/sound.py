"""The sound of one utterance as a browser takes it: PCM in a WAV, whole or a range of its bytes, and its outline."""

import re
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.audio import decode
from curate.errors import CorpusError
from curate.storage import location

HELD_BYTES = 1 << 27  # of what was listened to last: a browser asks for one sound in many ranges
HEADER_BYTES = 44
NUM_PEAKS = 600
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class UnsatisfiableError(Exception):
    """A range that begins behind the end."""


class Sounds:
    """WAV files by utterance, of which the last are held."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def wav(self, utterance: dict[str, Any], root: str) -> bytes:
        """Of a row of UTTERANCES whose corpus lies at `root`. Raises CorpusError where it cannot be decoded."""
        names = ("path", "channel", "start_s", "duration_s", "content_sha256")
        key = (root, *(utterance[name] for name in names))
        return self._once(key, lambda: wav_of(utterance, root))

    def _once(self, key: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = make()
        with self._lock:
            self._held[key] = made
            while len(self._held) > 1 and sum(map(len, self._held.values())) > HELD_BYTES:
                self._held.popitem(last=False)
        return made


def wav_of(utterance: dict[str, Any], root: str) -> bytes:
    """Mono PCM of 16 bits at the rate of the file; of its stretch alone. Raises CorpusError."""
    rate = utterance["sample_rate_hz"]
    if rate is None:
        raise CorpusError(f"{utterance['path']}: {utterance['damage'] or 'never read'}; expected a sound file")
    within = PurePosixPath(utterance["path"])
    if within.is_absolute() or ".." in within.parts:
        raise CorpusError(f"{within}: leads out of its corpus; expected a path below {root}")
    samples = decode(
        location(root) / str(within),
        start_s=utterance["start_s"],
        duration_s=utterance["duration_s"],
        channel=utterance["channel"],
        content_sha256=utterance["content_sha256"],
    )
    return wav_bytes(samples, rate)


def wav_bytes(samples: NDArray[np.float32], rate_hz: int) -> bytes:
    """Samples (N,) in [-1, 1] as a WAV of 16 bits; what is louder is cut, what is no number is silent."""
    pcm = np.rint(np.clip(np.nan_to_num(samples, nan=0.0), -1, 1) * 32767).astype("<i2").tobytes()
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + len(pcm), b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", len(pcm)) + pcm


def peaks(wav: bytes, num: int = NUM_PEAKS) -> dict[str, Any]:
    """The least and greatest sample of each of `num` equal stretches, in -127 to 127, and the length in seconds."""
    pcm = np.frombuffer(wav, "<i2", offset=HEADER_BYTES)
    (rate_hz,) = struct.unpack_from("<I", wav, 24)
    if not len(pcm):
        return {"duration_s": 0.0, "low": [], "high": []}
    starts = np.arange(min(num, len(pcm))) * len(pcm) // min(num, len(pcm))
    scaled = [np.rint(ends.reduceat(pcm, starts) / 32767 * 127) for ends in (np.minimum, np.maximum)]
    low, high = (np.clip(values, -127, 127).astype(int).tolist() for values in scaled)
    return {"duration_s": len(pcm) / rate_hz, "low": low, "high": high}


def byte_range(asked: str | None, num_bytes: int) -> tuple[int, int] | None:
    """First and last byte of a `Range` header, both included; None where all is sent, as for several ranges.

    Raises UnsatisfiableError where nothing of it is there.
    """
    found = RANGE.fullmatch((asked or "").replace(" ", ""))
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = int(found[2])
        if not length:
            raise UnsatisfiableError
        return max(num_bytes - length, 0), num_bytes - 1
    first = int(found[1])
    last = min(int(found[2]), num_bytes - 1) if found[2] else num_bytes - 1
    if found[2] and int(found[2]) < first:
        return None  # no range at all, by RFC 9110
    if first >= num_bytes:
        raise UnsatisfiableError
    return first, last
