"""Embeddings in blocks: each block of utterances is computed once, kept as one whole file, and never computed again.

A vector is filed under what it was computed from: the extractor's fingerprint, the hash of the file's bytes, and the
stretch of it. Audio may move, tables may change and the utterances be cut into other blocks; it is still found.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate import audio
from curate.catalog import write_parquet
from curate.decisions import Author, verdicts
from curate.schema import Reason, Subject, Verdict


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
class Stretch:
    """What one vector is computed from."""

    file: Path
    content_sha256: str
    start_s: float
    duration_s: float
    channel: int | None = None

    @property
    def key(self) -> str:
        """The same for the same samples, wherever the file lies."""
        channel = "" if self.channel is None else f":c{self.channel}"
        return f"{self.content_sha256}:{self.start_s!r}:{self.duration_s!r}{channel}"


@dataclass(frozen=True)
class BlockStore:
    """The blocks of one extractor, a folder of Parquet files (key, vector)."""

    folder: Path

    def keys(self) -> set[str]:
        """What has been computed. A file that is damaged counts as not there, and is taken away."""
        found: set[str] = set()
        for file in self._files():
            try:
                found.update(pq.read_table(file)["key"].to_pylist())
            except (OSError, pa.ArrowInvalid, KeyError):
                file.unlink()
        return found

    def add(self, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """File one block (N,), (N, D), whole or not at all, under a name that its keys give it."""
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:24]
        rows = {"key": pa.array(keys, pa.string()), "vector": fixed_size_lists(vectors)}
        write_parquet(self.folder / f"{name}.parquet", pa.table(rows))

    def vectors(self, keys: Sequence[str], dimension: int) -> NDArray[np.float32]:
        """(N, D) in the order of the keys. Raises KeyError for one that is not here."""
        place: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            place.setdefault(key, []).append(row)
        found = np.full((len(keys), dimension), np.inf, dtype=np.float32)  # no extractor gives inf: still missing
        for file in self._files():
            block = pq.read_table(file)
            values = matrix(block["vector"])
            for key, vector in zip(block["key"].to_pylist(), values, strict=True):
                found[place.get(key, [])] = vector
        missing = np.isposinf(found[:, 0])
        if missing.any():
            raise KeyError(f"{missing.sum()} of {len(keys)} vectors are not in {self.folder}")
        return found

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))


def stretches(utterances: pa.Table, roots: dict[str, Path]) -> list[Stretch]:
    """Where the audio of each utterance lies, in their order; `roots` maps corpora to folders."""
    columns = ("corpus", "path", "content_sha256", "start_s", "duration_s", "channel")
    rows = zip(*(utterances[column].to_pylist() for column in columns), strict=True)
    return [
        Stretch(file=roots[corpus] / path, content_sha256=sha, start_s=start, duration_s=duration, channel=channel)
        for corpus, path, sha, start, duration, channel in rows
    ]


def missing_blocks(wanted: Sequence[Stretch], done: set[str], per_block: int) -> list[list[Stretch]]:
    """What is still to be computed, each stretch once, cut into blocks of like length."""
    left = list({stretch.key: stretch for stretch in wanted if stretch.key not in done}.values())
    left.sort(key=lambda stretch: (stretch.duration_s, stretch.key))
    return [left[start : start + per_block] for start in range(0, len(left), per_block)]


def embed_block(block: Sequence[Stretch], extractor: Extractor, store: BlockStore) -> None:
    """Decode, embed and file one block. Raises CorpusError for a file that is not the one that was scanned."""
    waveforms = [_waveform(stretch, extractor.sample_rate_hz) for stretch in block]
    store.add([stretch.key for stretch in block], extractor.embed(waveforms))


def _waveform(stretch: Stretch, sample_rate_hz: int) -> NDArray[np.float32]:
    return audio.decode(
        stretch.file,
        sample_rate_hz=sample_rate_hz,
        start_s=stretch.start_s,
        duration_s=stretch.duration_s,
        channel=stretch.channel,
        content_sha256=stretch.content_sha256,
    )


def duplicates(utterances: pa.Table, wanted: Sequence[Stretch]) -> dict[str, str]:
    """Each utterance whose audio another one has, byte for byte, with the one of them whose id comes first."""
    rows = sorted(zip(utterances["utterance_id"].to_pylist(), (stretch.key for stretch in wanted), strict=True))
    first: dict[str, str] = {}
    for utterance, key in rows:
        first.setdefault(key, utterance)
    return {utterance: first[key] for utterance, key in rows if first[key] != utterance}


def embedding_rows(
    utterances: pa.Table, wanted: Sequence[Stretch], extractor: Extractor, store: BlockStore, author: Author
) -> tuple[pa.Table, pa.Table]:
    """The rows of `embeddings`, and a verdict for each utterance that has none: a duplicate, or one without speech.

    A duplicate is told as that alone, whatever is heard in it: the one that stays says the rest.
    """
    ids, copies = utterances["utterance_id"], duplicates(utterances, wanted)
    is_copy = np.fromiter((utterance in copies for utterance in ids.to_pylist()), dtype=bool, count=len(ids))
    vectors = store.vectors([stretch.key for stretch in wanted], extractor.dimension)
    lengths = np.linalg.norm(vectors, axis=1)
    has_speech = np.isfinite(lengths) & (lengths > 0)  # what has no direction is like nothing
    chosen = has_speech & ~is_copy
    rows = pa.table(
        {
            "utterance_id": ids.filter(pa.array(chosen)),
            "extractor": [extractor.name] * int(chosen.sum()),
            "vector": fixed_size_lists(vectors[chosen]),
        }
    )
    unheard = ids.filter(pa.array(~has_speech & ~is_copy))
    return rows, pa.concat_tables(
        [
            verdicts(author, Subject.UTTERANCE, unheard, verdict=Verdict.DROP, reason=Reason.NO_SPEECH),
            verdicts(
                author,
                Subject.UTTERANCE,
                pa.array(copies.keys(), pa.string()),
                other_ids=pa.array(copies.values(), pa.string()),
                verdict=Verdict.DROP,
                reason=Reason.DUPLICATE,
            ),
        ]
    )


def fixed_size_lists(vectors: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """(N, D) as N lists of D floats."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), vectors.shape[1])


def matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of fixed-size lists as (N, D)."""
    flat = column.combine_chunks()
    values: NDArray[np.float32] = flat.flatten().to_numpy().reshape(-1, column.type.list_size)
    return values
