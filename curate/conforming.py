"""Rows held against the schema of their table: as they are published, and as they are read again."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from curate.codes import is_ascending
from curate.errors import CatalogError
from curate.schema import Table

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

FEW_VALUES, SAMPLE = 8, 4096  # of a column of a key that divides the rows, and how many rows tell that it may


def typed(table: Table, rows: Rows, path: Path) -> Rows:
    """The rows, whose columns have the types of the schema. Raises CatalogError naming the file where one has not."""
    schema = table.arrow()
    for field in rows.schema:
        have, expected = field.type, schema.field(field.name).type
        is_fixed = pa.types.is_list(expected) and pa.types.is_fixed_size_list(have)
        if have != expected and not (is_fixed and have.value_type == expected.value_type):
            raise CatalogError(f"{path}: column {field.name!r} is of {have}; expected {expected}")
    return rows


def conform(table: Table, rows: pa.Table) -> pa.Table:
    """The rows in the columns, types and nullability of the schema. Raises ValueError naming what does not fit.

    A list column of the schema takes fixed-size lists of any one length, and keeps that length.
    """
    fields = []
    for field in table.arrow():
        if field.name not in rows.column_names:
            raise ValueError(f"{table.name}: no column {field.name!r}; expected {table.arrow().names}")
        have = rows.schema.field(field.name).type
        fixed = pa.types.is_list(field.type) and pa.types.is_fixed_size_list(have)
        fields.append(field.with_type(pa.list_(field.type.value_type, have.list_size)) if fixed else field)
        if not field.nullable and rows[field.name].null_count:
            raise ValueError(f"{table.name}.{field.name}: {rows[field.name].null_count} nulls; expected none")
    schema = pa.schema(fields)
    try:
        rows = rows.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{table.name}: {error}; expected the types of the schema") from error
    if not _are_unique(rows.select(list(table.key))):
        raise ValueError(f"{table.name}: {' + '.join(table.key)} must be unique among its {rows.num_rows} rows")
    return rows


def _are_unique(keys: pa.Table) -> bool:
    """Whether no two rows are equal. What is in order needs no look at all others, which takes ten times the memory."""
    first, *others = keys.column_names
    if is_ascending(keys[first], strictly=True):
        return True
    if others and not keys[first].null_count and len(keys[first][:SAMPLE].unique()) <= FEW_VALUES:
        values = keys[first].unique()
        if len(values) <= FEW_VALUES:
            rest = keys.select(others)
            return all(_are_unique(rest.filter(pc.equal(keys[first], value))) for value in values)
    return bool(keys.group_by(keys.column_names).aggregate([]).num_rows == keys.num_rows)


def conforming(table: Table, batches: Iterable[pa.RecordBatch]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns of the first rows, which all others must have, and the batches as they come."""
    checked = _checked(table, batches)
    first = next(checked, None)
    if first is None:
        return table.arrow(), iter(())
    return first.schema, chain([first], checked)


def _checked(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, held against the schema. Sorted rows with unequal neighbours have unique keys."""
    by_key = [(name, "ascending") for name in table.key]
    first, last = None, None
    for batch in batches:
        rows = conform(table, pa.Table.from_batches([batch])).combine_chunks()
        if not rows.num_rows:
            continue
        first = first or rows.schema
        for have, expected in zip(rows.schema, first, strict=True):
            if have != expected:
                raise ValueError(
                    f"{table.name}.{have.name}: {have.type}; expected {expected.type} as in the rows before"
                )
        keys = rows.select(list(table.key))
        ordered = keys if last is None else pa.concat_tables([last, keys])
        if not pc.sort_indices(ordered, by_key).equals(pa.array(range(len(ordered)), pa.uint64())):
            raise ValueError(f"{table.name}: rows out of order; expected them in the order of {' + '.join(table.key)}")
        if last is not None and last.equals(keys.slice(0, 1)):
            raise ValueError(f"{table.name}: {' + '.join(table.key)} must be unique: {last.to_pylist()[0]} is not")
        last = keys.slice(keys.num_rows - 1)
        yield from rows.to_batches()
