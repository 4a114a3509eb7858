"""Embed a block of utterances, and take their sound prints: threads do that and decode beside the network.

What cannot be heard is told, not raised.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curate import audio
from curate.blocks import BlockStore, Fault, SoundPrint, Stretch
from curate.errors import DamagedAudioError
from curate.landmarks import landmarks, samples_sha256
from curate.reasons import Reason

MAX_MISSING_S = 0.2  # by which a stretch may end early: headers of compressed audio are not exact


class Extractor(Protocol):
    """Anything that maps waveforms to vectors."""

    name: str
    fingerprint: str  # differs whenever its vectors may differ
    sample_rate_hz: int
    dimension: int
    min_same_person: float | None  # mean cosine from which two labels are one person; None where nobody measured it
    min_one_person: float | None  # mean cosine below which a label is not one person
    batch_s: float  # seconds of audio that one call of `embed` is best given; 0 for one waveform a call

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(N, dimension) for N mono waveforms of any lengths above 0; a row of zeros where no speech is heard.

        A waveform's vector is the same whatever it is given with, up to rounding: cosine 0.99999. May be called by
        several threads at once.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What became of a block."""

    block: str
    num_utterances: int
    audio_s: float
    faults: tuple[str, ...]  # a line for each stretch that has no vector
    seconds: float  # that it took
    waited_s: float  # of these, how long the network waited for audio


@dataclass(frozen=True)
class Heard:
    """A waveform at its place in the block, and its sound print."""

    place: int
    waveform: NDArray[np.float32]
    sound_print: SoundPrint


@dataclass(frozen=True)
class Unheard:
    """Why there is no waveform for a place."""

    place: int
    fault: Fault


def embed_block(block: Sequence[Stretch], extractor: Extractor, store: BlockStore, *, decoders: int = 2) -> Embedded:
    """Decode, embed and file one block.

    A stretch that cannot be decoded, is silent, or yields no finite vector has a fault in its row in place of a vector
    and a sound print, and costs the others nothing. Raises CorpusError for a file that is not the one that was scanned.
    """
    started, waited = time.monotonic(), 0.0
    vectors = np.zeros((len(block), extractor.dimension), dtype=np.float32)
    faults: dict[int, Fault] = {}
    prints: dict[int, SoundPrint] = {}
    threads = ThreadPoolExecutor(decoders)
    try:
        batches = in_batches(_decoded(block, extractor, threads, decoders), faults, extractor)
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            waited += time.monotonic() - asked
            if batch is None:
                break
            vectors[[one.place for one in batch]] = extractor.embed([one.waveform for one in batch])
            prints |= {one.place: one.sound_print for one in batch}
    finally:
        threads.shutdown(cancel_futures=True)  # after an error nobody wants what is not yet decoded
    faults |= unheard(vectors, faults)
    vectors[list(faults)] = 0
    heard = {place: one for place, one in prints.items() if place not in faults}
    return Embedded(
        block=store.add(block, vectors, heard, faults),
        num_utterances=len(block),
        audio_s=sum(stretch.duration_s for stretch in block),
        faults=tuple(
            f"{block[place].utterance_id or block[place].file}: {faults[place].detail}" for place in sorted(faults)
        ),
        seconds=time.monotonic() - started,
        waited_s=waited,
    )


def in_batches(
    heard: Iterator[Heard | Unheard], faults: dict[int, Fault], extractor: Extractor
) -> Iterator[list[Heard]]:
    """Waveforms, as many as one call is best given; why there is none is noted in `faults`."""
    batch: list[Heard] = []
    num_samples = 0
    for one in heard:
        if isinstance(one, Unheard):
            faults[one.place] = one.fault
            continue
        if batch and num_samples + len(one.waveform) > extractor.batch_s * extractor.sample_rate_hz:
            yield batch
            batch, num_samples = [], 0
        batch.append(one)
        num_samples += len(one.waveform)
    if batch:
        yield batch


def unheard(vectors: NDArray[np.float32], faults: dict[int, Fault]) -> dict[int, Fault]:
    """What is wrong with vectors (N, D), by their places, beside what is known already."""
    found: dict[int, Fault] = {}
    finite, has_direction = np.all(np.isfinite(vectors), axis=1), np.any(vectors != 0, axis=1)
    for place in np.flatnonzero(~(finite & has_direction)).tolist():
        if place not in faults and not finite[place]:
            found[place] = Fault(reason=Reason.NOT_FINITE, detail="its vector is not finite")
        elif place not in faults:
            found[place] = Fault(reason=Reason.NO_SPEECH, detail="no speech is heard in it")
    return found


def _decoded(
    block: Sequence[Stretch], extractor: Extractor, threads: ThreadPoolExecutor, decoders: int
) -> Iterator[Heard | Unheard]:
    """The waveforms in their order, decoded a batch ahead: one is made ready while the network hears another."""
    waiting: deque[tuple[Future[Heard | Unheard], float]] = deque()
    ahead_s = 0.0
    for place, stretch in enumerate(block):
        waiting.append((threads.submit(_hear, place, stretch, extractor.sample_rate_hz), stretch.duration_s))
        ahead_s += stretch.duration_s
        while len(waiting) > decoders and ahead_s > extractor.batch_s:
            future, duration_s = waiting.popleft()
            ahead_s -= duration_s
            yield future.result()
    while waiting:
        yield waiting.popleft()[0].result()


def _hear(place: int, stretch: Stretch, sample_rate_hz: int) -> Heard | Unheard:
    try:
        waveform = audio.decode(
            stretch.file,
            sample_rate_hz=sample_rate_hz,
            start_s=stretch.start_s,
            duration_s=stretch.duration_s,
            channel=stretch.channel,
            content_sha256=stretch.content_sha256,
        )
    except DamagedAudioError as error:
        detail = str(error).removeprefix(f"{stretch.file}: ")
        reason = Reason.TRUNCATED if isinstance(error, audio.TruncatedAudioError) else Reason.UNREADABLE
        return Unheard(place, Fault(reason=reason, detail=detail))
    fault = _fault_of(waveform, stretch.duration_s, sample_rate_hz)
    if fault is not None:
        return Unheard(place, fault)
    marks = landmarks(waveform, sample_rate_hz)
    return Heard(place, waveform, SoundPrint(samples_sha256=samples_sha256(waveform), landmarks=marks))


def _fault_of(waveform: NDArray[np.float32], duration_s: float, sample_rate_hz: int) -> Fault | None:
    missing_s = duration_s - len(waveform) / sample_rate_hz
    if missing_s > min(MAX_MISSING_S, duration_s / 2) or not len(waveform):
        return Fault(reason=Reason.TRUNCATED, detail=f"ends {missing_s:.2f} s before its {duration_s:.2f} s")
    if not np.isfinite(waveform).all():
        return Fault(reason=Reason.UNREADABLE, detail="holds samples that are not finite numbers")
    if not waveform.any():
        return Fault(reason=Reason.SILENT, detail="all its samples are zero")
    return None
