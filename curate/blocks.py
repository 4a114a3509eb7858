"""Blocks of embeddings: files that are each computed once, kept whole, and never computed again.

A vector, and the sound print beside it, is filed under what it was computed from: the extractor's fingerprint, the
hash of the file's bytes, and the stretch of it. Audio may move, tables may change and the utterances be cut into other
blocks; it is still found.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate import whole
from curate.catalog import Catalog, num_rows_of, read_parquet, write_parquet
from curate.codes import give_back
from curate.errors import CatalogError
from curate.reasons import Reason
from curate.schema import EMBEDDINGS
from curate.storage import is_local

log = logging.getLogger("voxcurate")

ROWS_AT_ONCE = 8_192  # of vectors
ALL_CHANNELS = -1  # averaged: a key must not be null
Key = tuple[str, float, float, int]
KEY = ("content_sha256", "start_s", "duration_s", "channel")
KEY_SCHEMA = pa.schema(
    [
        pa.field("content_sha256", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("channel", pa.int16(), nullable=False),
    ]
)
BLOCK_SCHEMA = pa.schema(
    [
        *KEY_SCHEMA,
        pa.field("block", pa.string(), nullable=False),
        pa.field("fault", pa.string()),  # a Reason, where there is no vector
        pa.field("detail", pa.string()),
        pa.field("samples_sha256", pa.string()),  # null where there is a fault
        pa.field("num_landmarks", pa.int64(), nullable=False),  # told apart: that is read without them
        pa.field("landmarks", pa.list_(pa.int64()), nullable=False),  # empty where there is a fault
        pa.field("vector", pa.list_(pa.float32()), nullable=False),  # zeros where there is a fault
    ]
)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What one vector is computed from."""

    file: Path
    content_sha256: str
    start_s: float
    duration_s: float
    channel: int | None = None
    utterance_id: str | None = None  # as which a fault in it is told; no part of the key

    @property
    def key(self) -> Key:
        """The same for the same samples, wherever the file lies."""
        return (
            self.content_sha256,
            self.start_s,
            self.duration_s,
            ALL_CHANNELS if self.channel is None else self.channel,
        )


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a stretch has no vector."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class SoundPrint:
    """What tells the audio of a stretch again, however it was copied (`curate.landmarks`)."""

    samples_sha256: str  # of its samples as the extractor is given them
    landmarks: NDArray[np.int64]  # (L,)


def name_of_block(block: Sequence[Stretch]) -> str:
    """The same for the same stretches: who computes it twice writes one file."""
    return hashlib.sha256("\n".join(repr(stretch.key) for stretch in block).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class BlockStore:
    """The blocks of one extractor and one version of sound prints, a folder of Parquet files."""

    folder: Path

    def add(
        self,
        block: Sequence[Stretch],
        vectors: NDArray[np.float32],
        prints: Mapping[int, SoundPrint],
        faults: Mapping[int, Fault],
    ) -> str:
        """File the vectors (N, D) of N stretches, whole or not at all, and say the name of the block.

        By the place of a stretch there is its sound print, or the fault for which it has neither that nor a vector.
        """
        name = name_of_block(block)
        columns = list(zip(*(stretch.key for stretch in block), strict=True))
        told = [faults.get(place) for place in range(len(block))]
        heard = [prints.get(place) for place in range(len(block))]
        rows = {
            **{key.name: pa.array(column, key.type) for key, column in zip(KEY_SCHEMA, columns, strict=True)},
            "block": pa.array([name] * len(block)),
            "fault": pa.array([fault and str(fault.reason) for fault in told], pa.string()),
            "detail": pa.array([fault and fault.detail for fault in told], pa.string()),
            "samples_sha256": pa.array([one and one.samples_sha256 for one in heard], pa.string()),
            "num_landmarks": pa.array([len(one.landmarks) if one else 0 for one in heard], pa.int64()),
            "landmarks": pa.array([one.landmarks if one else [] for one in heard], pa.list_(pa.int64())),
            "vector": fixed_size_lists(vectors),
        }
        # A worker that was thought dead may be at the same block: it has the same bytes, and a file of its own aside.
        write_parquet(self.folder / f"{name}.parquet", pa.table(rows), alone=False)
        return name

    def read(self, name: str) -> tuple[list[Key], NDArray[np.float32]]:
        """The keys of a block and their vectors (N, D)."""
        rows = read_parquet(self.folder / f"{name}.parquet", [*KEY, "vector"])
        return list(zip(*(rows[column].to_pylist() for column in KEY), strict=True)), matrix(rows["vector"])

    def read_prints(self, name: str) -> dict[Key, SoundPrint]:
        """The sound prints of a block, of all its stretches that have no fault."""
        rows = read_parquet(self.folder / f"{name}.parquet", [*KEY, "samples_sha256", "landmarks"])
        keys = zip(*(rows[column].to_pylist() for column in KEY), strict=True)
        told = zip(keys, rows["samples_sha256"].to_pylist(), arrays(rows["landmarks"]), strict=True)
        return {key: SoundPrint(samples_sha256=sha, landmarks=marks) for key, sha, marks in told if sha is not None}

    def files(self) -> list[Path]:
        """Of the blocks that there are, in order."""
        return [self.folder / f"{name}.parquet" for name in sorted(whole.stems(self.folder, "parquet"))]

    def drop_damaged(self) -> None:
        """Take away what cannot be read whole: it counts as not computed. An object store guards its bytes itself."""
        if not is_local(self.folder):
            return
        for unfinished in self.folder.glob("*.new"):
            unfinished.unlink(missing_ok=True)
        for file in self.files():
            if not _is_whole(file):
                log.warning("%s: damaged, or of an earlier version; its vectors are computed again", file)
                file.unlink()


def _is_whole(file: Path) -> bool:
    """Whether a block can be read to its end, checksums and all. Raises CatalogError where the disk is at fault."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as block:
            vector = block.schema_arrow.field("vector").type
            plain = block.schema_arrow.remove_metadata()
            known = plain.set(plain.get_field_index("vector"), BLOCK_SCHEMA.field("vector"))
            num_rows = sum(batch.num_rows for batch in block.iter_batches())
            return bool(
                pa.types.is_fixed_size_list(vector)
                and known.names == BLOCK_SCHEMA.names
                and known.types == BLOCK_SCHEMA.types
                and num_rows == block.metadata.num_rows > 0
            )
    except OSError as error:
        if error.errno:  # not what the file holds: a good block must not be lost to too many open files
            raise CatalogError(f"{file}: {error.strerror}; expected a readable file") from error
        return False
    except (pa.ArrowException, ValueError, KeyError):
        return False


def arrays(column: pa.ChunkedArray) -> list[NDArray[np.int64]]:
    """A column of N lists, none of them null, as N arrays."""
    flat = column.combine_chunks()
    stops = np.cumsum(flat.value_lengths().to_numpy(zero_copy_only=False))
    return np.split(flat.flatten().to_numpy(), stops[:-1])[: len(flat)]


def fixed_size_lists(vectors: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """(N, D) as N lists of D floats."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), vectors.shape[1])


def read_vectors(catalog: Catalog, parts: Sequence[str]) -> tuple[pa.ChunkedArray, NDArray[np.float32]]:
    """The ids of these parts of `embeddings`, as they lie, and their vectors (N, D), which are in memory once.

    Raises CatalogError where a part is not there.
    """
    files = [catalog.path(EMBEDDINGS, part) for part in parts]
    if not all(map(whole.exists, files)):
        raise CatalogError(f"{catalog.root}: no table 'embeddings'; expected a catalog that `curate run` has filled")
    num_rows, done = sum(map(num_rows_of, files)), 0
    ids, vectors = [], np.zeros((0, 0), np.float32)
    for part in parts:
        for batch in catalog.batches(EMBEDDINGS, part, ["utterance_id", "vector"], ROWS_AT_ONCE):
            some = matrix(pa.chunked_array([batch["vector"]]))
            vectors = vectors if done else np.empty((num_rows, some.shape[1]), np.float32)
            vectors[done : done + len(some)] = some
            ids.append(batch["utterance_id"])
            done += len(some)
    give_back()
    return pa.chunked_array(ids, pa.string()), vectors


def keep_rows(vectors: NDArray[np.float32], keep: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The rows (N, D) that stay, moved to the front of the same memory: what was given is no more."""
    done = 0
    for row in range(0, len(vectors), ROWS_AT_ONCE):
        some = vectors[row : row + ROWS_AT_ONCE][keep[row : row + ROWS_AT_ONCE]]
        vectors[done : done + len(some)] = some
        done += len(some)
    return vectors[:done]


def matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of fixed-size lists as (N, D); lists of no fixed size are those of an empty table."""
    flat = column.combine_chunks()
    if not len(flat):
        return np.zeros((0, getattr(column.type, "list_size", 0)), dtype=np.float32)
    values: NDArray[np.float32] = flat.flatten().to_numpy().reshape(-1, column.type.list_size)
    return values
