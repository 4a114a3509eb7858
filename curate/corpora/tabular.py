"""Rows of CSV, JSONL and Parquet files, each with the place that an error can name."""

import csv
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.corpora.json_paths import text_of
from curate.corpora.listed import objects
from curate.errors import CorpusError
from curate.storage import BYTES_PER_FETCH, seekable, why

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
ROWS_AT_ONCE = 10_000  # of Parquet
BYTES_PER_READ = 1 << 20


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """`(place, row)` for each row; blank cells are left out, everything else is text."""
    for place, row in read_cells(path):
        yield place, {column: text for column, text in row.items() if text}


def read_cells(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The same with the blank cells, as "". Raises CorpusError naming file, line and column of what is no text."""
    for place, row in read_values(path):
        if path.suffix in (".jsonl", ".parquet"):
            row = {column: text_in(place, column, value) for column, value in row.items()}
        yield place, row


def read_values(path: Path, columns: Collection[str] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same with the values that JSON and Parquet hold; None where a Parquet file has another than these columns.

    A `.tsv` is split at tabs and its quotes are kept as they are; a `.csv` is split at commas and unquoted. Raises
    CorpusError naming file and line.
    """
    if path.suffix not in SUFFIXES:
        raise CorpusError(f"{path}: cannot read {path.suffix or 'no suffix'!r}; expected one of {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        yield from parquet_values(path, columns)
    elif path.suffix == ".jsonl":
        yield from objects(path)
    else:
        yield from _delimited(path)


def text_in(place: str, column: str, value: object) -> str:
    """The text of a cell, "" for a blank one. Raises CorpusError that names the column."""
    try:
        return text_of(value)
    except CorpusError as error:
        raise CorpusError(f"{place}: column {column[:80]!r} is {error}") from error


def told_columns(columns: Iterable[str]) -> str:
    """What columns there are, on one line of an error."""
    return repr(", ".join(sorted(columns))[:300])[1:-1] or "none"


def _delimited(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _cells(path, file)
            place, header = next(rows, (f"{path}", []))
            header = [name.strip() for name in header]
            if not header:
                raise CorpusError(f"{path}: empty; expected a header and rows")
            if twice := next((name for name in header if header.count(name) > 1), None):
                raise CorpusError(f"{place}: column {twice[:80]!r} is there twice; expected each once")
            for place, cells in rows:
                if len(cells) != len(header):
                    raise CorpusError(f"{place}: {len(cells)} fields; expected {len(header)} as in the header")
                yield place, {key: cell.strip() for key, cell in zip(header, cells, strict=True)}
    except OSError as error:
        raise CorpusError(f"{path}: {why(error)}; expected a table of utterances or speakers") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: byte {error.start} is no UTF-8; expected text in UTF-8") from error


def _cells(path: Path, file: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Place and cells of each row that is not blank; a row that goes over several lines is where it begins."""
    tabs = path.suffix == ".tsv"
    # strict: a quote that is never closed must not swallow the rows below it
    reader = csv.reader(
        file, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL, strict=True
    )
    line = 1
    try:
        for cells in reader:
            if cells:
                yield f"{path}:{line}", cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(f"{path}:{line}: {error}; expected rows of cells, with every quote closed") from error


def parquet_values(
    path: Path, columns: Collection[str] | None, *, rows_at_once: int = ROWS_AT_ONCE
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and values of each row of a Parquet file; None in place of those of other columns, which are not read."""
    with parquet(path) as file:
        names = file.schema_arrow.names
        chosen = [name for name in names if columns is None or name in columns]
        number = 0
        for batch in file.iter_batches(batch_size=rows_at_once, columns=chosen):
            for row in _python(batch, path, number):
                number += 1
                yield f"{path}: row {number}", dict.fromkeys(names) | row


@contextmanager
def parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """An open Parquet file, whose faults become CorpusErrors."""
    try:
        with (
            seekable(path, bytes_per_block=BYTES_PER_FETCH) as source,
            pq.ParquetFile(source, pre_buffer=False, buffer_size=BYTES_PER_READ) as file,
        ):
            names = file.schema_arrow.names
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise CorpusError(f"{path}: column {twice[:80]!r} is there twice; expected each once")
            yield file
    except CorpusError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise CorpusError(f"{path}: no Parquet ({_words(error)}); expected a table in Parquet") from error


def _python(batch: pa.RecordBatch, path: Path, number: int) -> list[dict[str, Any]]:
    """The rows of a batch after so many others. Raises CorpusError for a value that Python cannot hold."""
    faults = (pa.ArrowException, ValueError, OverflowError, KeyError)  # such as a date in the year 100,000
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types
    except faults:
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            for at, value in enumerate(values, start=number + 1):
                try:
                    value.as_py()
                except faults as error:
                    raise CorpusError(
                        f"{path}: row {at}: column {name[:80]!r} holds no usable {value.type} ({_words(error)}); "
                        "expected a text or a number"
                    ) from error
        raise


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
