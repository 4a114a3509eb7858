"""Columns of millions of rows without a copy: texts as numbers, and what lies in one piece as it lies.

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
