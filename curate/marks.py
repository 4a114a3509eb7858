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
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from curate.codes import give_back, in_one
from curate.errors import CatalogError
from curate.labels import Columns
from curate.similarity import Indices


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
    def filed(cls, batches: Iterable[pa.RecordBatch], folder: Path) -> "Marks":
        """Those of the only column of these rows, written to a file in the folder.

        Raises CatalogError where that cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        num_of_each = [np.zeros(1, np.int64)]
        with _told_of(folder), tempfile.TemporaryFile(dir=folder) as file:
            for batch in batches:
                lists = batch.column(0)
                num_of_each.append(lists.value_lengths().to_numpy().astype(np.int64))
                file.write(lists.flatten().to_numpy())
            give_back()
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.tell() else None
        values = np.frombuffer(mapped, np.int64) if mapped else np.zeros(0, np.int64)
        return cls(values=values, offsets=np.cumsum(np.concatenate(num_of_each)), mapped=mapped, folder=folder)

    def let_go(self) -> None:
        """Take what was read of the file out of the memory of this process; it is read again where it is asked for."""
        if self.mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)

    @contextmanager
    def rooms(self, num: int) -> Iterator[list[BinaryIO]]:
        """Where to write what is as much as the landmarks themselves: files beside them, or memory.

        Raises CatalogError where that cannot be written.
        """
        with ExitStack() as rooms:
            if self.folder is None:
                yield [io.BytesIO() for _ in range(num)]
                return
            rooms.enter_context(_told_of(self.folder))
            yield [cast(BinaryIO, rooms.enter_context(tempfile.TemporaryFile(dir=self.folder))) for _ in range(num)]


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
