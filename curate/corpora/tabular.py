"""Rows of CSV, JSONL and Parquet files as dicts of text, each with the place that an error can name."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import CorpusError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """`(place, row)` for each row; blank cells are left out, everything else is text."""
    for place, row in read_cells(path):
        yield place, {column: text for column, text in row.items() if text}


def read_cells(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The same with the blank cells, as "".

    A `.tsv` is split at tabs and its quotes are kept as they are; a `.csv` is split at commas and unquoted. Raises
    CorpusError naming file and line.
    """
    if path.suffix not in SUFFIXES:
        raise CorpusError(f"{path}: cannot read {path.suffix or 'no suffix'!r}; expected one of {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
        elif path.suffix == ".jsonl":
            yield from _jsonl(path)
        else:
            yield from _delimited(path)
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}; expected a table of utterances or speakers") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: byte {error.start} is no UTF-8; expected text in UTF-8") from error


def _delimited(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        tabs = path.suffix == ".tsv"
        reader = csv.reader(
            file, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
        )
        try:
            header = [name.strip() for name in next(reader, [])]
            if not header:
                raise CorpusError(f"{path}: empty; expected a header and rows")
            if twice := next((name for name in header if header.count(name) > 1), None):
                raise CorpusError(f"{path}:1: column {twice!r} is there twice; expected each once")
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise CorpusError(
                        f"{path}:{reader.line_num}: {len(cells)} fields; expected {len(header)} as in the header"
                    )
                row = zip(header, cells, strict=True)
                yield f"{path}:{reader.line_num}", {key: cell.strip() for key, cell in row}
        except csv.Error as error:
            raise CorpusError(f"{path}:{reader.line_num}: {error}; expected rows of cells") from error


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{path}:{number}: no JSON ({error}); expected one object a line") from error
            if not isinstance(row, dict):
                raise CorpusError(f"{path}:{number}: {type(row).__name__}; expected one object a line")
            yield f"{path}:{number}", _texts(row)


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", _texts(row)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the file cannot be opened; Arrow's own faults have no number
        words = " ".join(str(error).split())
        raise CorpusError(f"{path}: no Parquet ({words}); expected a Parquet file") from error


def _texts(row: dict[str, object]) -> dict[str, str]:
    return {key: _text(value) for key, value in row.items()}


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of whole numbers turns to floats where pandas meets a null
    return str(value).strip()
