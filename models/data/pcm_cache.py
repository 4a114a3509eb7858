"""All utterances of a split, decoded once to 16 kHz and 16 bits, in one file that crops are mapped from.

    <folder>/<fingerprint>/samples.s16le   the samples of one utterance after the other
    <folder>/<fingerprint>/first.npy       (U + 1,) where each begins, and where the last one ends

A cache is written aside, synced and renamed: whatever has the name is whole. It takes 32 kB a second of speech, as much
as WAV, which is told before it is written.
"""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from curate.audio import sha256_of
from curate.errors import CorpusError, TrainingError
from curate.storage import is_local, why
from curate.whole import rename_durably, sync
from models.data.crops import FileReader, Integers, Reader, Samples, num_samples_at_16_khz
from models.data.speech import Speech

log = logging.getLogger("voxcurate")

LAYOUT = "1"  # a change of what the files hold must change it
SAMPLES, FIRST = "samples.s16le", "first.npy"
UNFINISHED = ".unfinished"
FULL_SCALE = 32_768
AT_ONCE = 1_024  # utterances that wait for a thread


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a cache takes, and what the disk has."""

    num_bytes: int
    free_bytes: int

    @property
    def is_enough(self) -> bool:
        """Whether it fits."""
        return self.num_bytes <= self.free_bytes


def place_of(speech: Speech, folder: Path) -> Path:
    """The cache of these utterances below `folder`, whether it is there or not: named by what it is made from."""
    digest = hashlib.sha256(LAYOUT.encode())
    for names in (speech.utterance_ids.to_pylist(), speech.content_sha256):
        digest.update("\0".join([str(len(names)), *names]).encode())
    for numbers in (speech.start, speech.num_samples, speech.sample_rate_hz, speech.channel):
        digest.update(np.ascontiguousarray(numbers, dtype="<i8").tobytes())
    return folder / digest.hexdigest()[:24]


def room(speech: Speech, folder: Path) -> Room:
    """What the cache of these utterances would take, and what is free where `folder` is or would be made."""
    _require_local(folder)
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    num_bytes = 2 * int(num_samples_at_16_khz(speech).sum()) + 8 * (len(speech) + 1) + 128  # 128: numpy's header
    return Room(num_bytes=num_bytes, free_bytes=shutil.disk_usage(there).free)


def write(speech: Speech, folder: Path, *, num_threads: int = 1) -> Path:
    """Make the cache of these utterances, if it is not there, and say where it is.

    Who finds another process at work waits for it. Raises TrainingError where there is no room for it, or the disk does
    not take it; CorpusError where an utterance cannot be read, or its file is not the one that was scanned. What was
    begun is then removed.
    """
    place = place_of(speech, folder)
    _require_local(folder)
    with _told(place), _alone(folder):
        if place.exists():
            return place
        aside = place.with_name(place.name + UNFINISHED)
        if aside.exists():  # of a process that died
            shutil.rmtree(aside)
        needed = room(speech, folder)
        size = f"{needed.num_bytes:,} bytes for {len(speech):,} utterances; {needed.free_bytes:,} bytes are free"
        if not needed.is_enough:
            raise TrainingError(f"{place}: no room for a cache of {size}; expected enough, or training without it")
        log.info("%s: writing a cache of %s", place, size)
        try:
            aside.mkdir()
            _fill(aside, speech, num_threads)
            rename_durably(aside, place)
        except BaseException:  # whatever ends it, Ctrl-C too: half a cache is of no use
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return place


def _require_local(folder: Path) -> None:
    if not is_local(folder):
        raise TrainingError(f"{folder}: cannot be mapped into memory; expected a folder of this machine")


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{place}: cannot be written ({why(error)}); expected room for a cache") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process that writes below `folder`; the lock of one that dies is gone with it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _fill(aside: Path, speech: Speech, num_threads: int) -> None:
    reader = FileReader(speech)
    first = np.concatenate([[0], np.cumsum(reader.num_samples)])
    checked: set[Path] = set()  # two threads may check one file; that costs time alone

    def decode(row: int) -> None:
        path, expected = speech.files[row], speech.content_sha256[row]
        if path not in checked and _hash_of(path) != expected:
            raise CorpusError(
                f"{speech.utterance_ids[row]}: {path} changed since it was scanned; run `curate run` again"
            )
        checked.add(path)
        samples = np.empty(int(reader.num_samples[row]), dtype=np.float32)
        reader.read_into(row, 0, samples)
        _write_at(file.fileno(), _rounded(samples).tobytes(), 2 * int(first[row]))

    with (aside / SAMPLES).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2 * int(first[-1]))  # a full disk shows now, not after hours
        with ThreadPoolExecutor(num_threads) as pool:
            for begin in range(0, len(speech), AT_ONCE):
                end = min(begin + AT_ONCE, len(speech))
                list(pool.map(decode, range(begin, end)))
                if 10 * begin // len(speech) < 10 * end // len(speech):
                    log.info("%s: %d of %d utterances", aside, end, len(speech))
        os.fsync(file.fileno())
    with (aside / FIRST).open("wb") as index:
        np.save(index, first.astype("<i8"))
        index.flush()
        os.fsync(index.fileno())
    sync(aside)


def _hash_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise CorpusError(f"{path}: {why(error)}; expected a readable file") from error


def _rounded(samples: Samples) -> NDArray[np.int16]:
    """To 16 bits, to the nearest: the very samples of a file that has 16."""
    return np.minimum(np.rint(samples * FULL_SCALE), FULL_SCALE - 1).astype("<i2")


def _write_at(handle: int, content: bytes, offset: int) -> None:
    while content:  # one call need not write all
        written = os.pwrite(handle, content, offset)
        content, offset = content[written:], offset + written


@final
class MappedReader(Reader):
    """From a cache. Raises TrainingError where there is none, or one of another size than its utterances."""

    def __init__(self, speech: Speech, folder: Path, *, num_threads: int = 1):
        super().__init__(speech, num_threads=num_threads)
        self.place = place_of(speech, folder)
        try:
            self._first: Integers = np.load(self.place / FIRST)
            num_bytes = (self.place / SAMPLES).stat().st_size
        except (OSError, ValueError, EOFError) as error:
            raise TrainingError(
                f"{self.place}: no cache of these utterances; expected `write` to have made it"
            ) from error
        is_whole = np.array_equal(np.diff(self._first), self.num_samples) and num_bytes == 2 * self._first[-1]
        if not is_whole:
            raise TrainingError(f"{self.place}: damaged; expected a whole cache: remove it, and it is made anew")
        self._map()

    def _map(self) -> None:
        # a plain array over the map: slices of a memmap are memmaps, each of which takes as long as a crop
        self._samples: NDArray[np.int16] = np.asarray(np.memmap(self.place / SAMPLES, dtype="<i2", mode="r"))

    def read_into(self, row: int, first: int, out: Samples) -> None:
        """As told above."""
        begin = int(self._first[row]) + first
        out[:] = self._samples[begin : begin + len(out)]
        out *= np.float32(
            1 / FULL_SCALE
        )  # in the cache of the processor: twice as fast as to cast and multiply at once

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_samples"}  # or all would be copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()
