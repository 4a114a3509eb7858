"""The landmarks of many recordings, one after the other: in memory or, of millions of recordings, in a file.

Speech has some thirty landmarks a second: of ten million utterances of six seconds they are 15 GB. The files have no
name (`tempfile.TemporaryFile`): they are gone with who wrote them, however he ended.
"""

import io
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from curate.codes import give_back, in_one
from curate.errors import CatalogError
from curate.labels import Columns
from curate.similarity import Indices

MOST_HELD = 1 << 25  # landmarks, 256 MB; of what is read of a catalog that cannot be written to, no more can be


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Of R recordings: recording r has the landmarks `values[offsets[r] : offsets[r + 1]]`, ascending."""

    values: Indices  # (L,)
    offsets: Indices  # (R + 1,)
    mapped: mmap.mmap | None = None  # the file that `values` are seen through
    folder: Path | None = None  # where what is computed of them has room; none: in memory

    @classmethod
    def held(cls, lists: pa.ChunkedArray) -> "Marks":
        """Those of a column of R lists, as they lie in memory."""
        rows = in_one(lists)
        return cls(values=rows.values.to_numpy(), offsets=rows.offsets.to_numpy().astype(np.int64))

    @classmethod
    def read(cls, batches: Iterable[pa.RecordBatch], folder: Path) -> "Marks":
        """Those of the only column of these rows: few in memory, more than `MOST_HELD` in a file in the folder.

        Raises CatalogError where that cannot be written.
        """
        num_of_each, held, num_held = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)], 0
        with _told_of(folder), ExitStack() as files:
            file: IO[bytes] | None = None
            for batch in batches:
                lists = batch.column(0)
                num_of_each.append(lists.value_lengths().fill_null(0).to_numpy().astype(np.int64))
                held.append(lists.flatten().to_numpy())
                num_held += len(held[-1])
                if num_held > MOST_HELD:
                    file = file or files.enter_context(_nameless(folder))
                    for some in held:
                        file.write(some.data)
                    held.clear()
            give_back()
            offsets = np.cumsum(np.concatenate(num_of_each))
            if file is None:
                return cls(values=np.concatenate(held), offsets=offsets)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(values=np.frombuffer(mapped, np.int64), offsets=offsets, mapped=mapped, folder=folder)

    def let_go(self) -> None:
        """Take what was read of the file out of the memory of this process; it is read again where it is asked for."""
        if self.mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)

    @contextmanager
    def rooms(self, num: int) -> Iterator[list[IO[bytes]]]:
        """Where to write what is as much as the landmarks themselves: files beside them, or memory.

        Raises CatalogError where that cannot be written.
        """
        with ExitStack() as rooms:
            if self.folder is None:
                yield [io.BytesIO() for _ in range(num)]
                return
            rooms.enter_context(_told_of(self.folder))
            yield [rooms.enter_context(_nameless(self.folder)) for _ in range(num)]


def _nameless(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


@contextmanager
def _told_of(folder: Path) -> Iterator[None]:
    """What fails in a file without a name is told of its folder."""
    try:
        yield
    except OSError as error:
        raise CatalogError(f"{folder}: {error.strerror}; expected room for sound prints") from error


@dataclass(frozen=True, kw_only=True)
class Prints:
    """SOUND_PRINTS of a catalog or a table: columns, and in the same order the landmarks, each when it is asked for."""

    columns: Columns
    landmarks: Callable[[], Marks]

    @classmethod
    def held(cls, rows: pa.Table) -> "Prints":
        """Those of a table."""
        return cls(columns=rows.select, landmarks=lambda: Marks.held(rows["landmarks"]))
