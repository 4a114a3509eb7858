"""Columns of millions of rows without a copy: texts as numbers, and what is in one piece or in order as it is.

Of ids that are few labels, a Python text a row would take a gigabyte and a minute.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def numbered(texts: pa.ChunkedArray) -> tuple[NDArray[np.object_], Indices]:
    """The different texts in their order, and of each row (N,) which it is; -1 for null."""
    known = pc.unique(texts).drop_null().sort()
    place = pc.fill_null(pc.index_in(texts, value_set=known), -1)
    return known.to_numpy(zero_copy_only=False), place.to_numpy().astype(np.int64)


def in_one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column in one piece; `combine_chunks` copies also what is in one already, as a column of one file is."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def is_ascending(values: pa.ChunkedArray, *, strictly: bool = False) -> bool:
    """Whether no value is less than the one before it, `strictly` none equal to it; of nulls it is not known."""
    if len(values) < 2:
        return True
    in_order = pc.less if strictly else pc.less_equal
    return bool(not values.null_count and pc.all(in_order(values[:-1], values[1:])).as_py())


def in_order(rows: pa.Table, column: str) -> pa.Table:
    """The rows in the order of a column: as they are, where they are in it already, which costs no copy of them."""
    return rows if is_ascending(rows[column]) else rows.sort_by(column)


def give_back() -> None:
    """Hand over to the system what Arrow keeps of memory that was let go: of ten million rows, gigabytes."""
    pa.default_memory_pool().release_unused()
