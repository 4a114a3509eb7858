"""The trial lists and enrolment models that a corpus' authors publish, in our ids.

Lists name what the full corpus has; a copy may lack some of it. A trial or model whose utterances are not all here is
left out and counted; a list of which nothing is here is an error.
"""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa

from curate.catalog import write_batches
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings, Enrolment, PublishedTrial, one_word
from curate.describe import ROWS_A_CHUNK, in_chunks, quoted, rows_in, sorting
from curate.errors import CorpusError
from curate.schema import ENROLMENTS, PUBLISHED_TRIALS, Table

_TRIALS = pa.schema([("list", pa.string()), ("enrol_id", pa.string()), ("test_id", pa.string()), ("key", pa.bool_())])
_MODELS = pa.schema([("model_id", pa.string()), ("utterance_id", pa.string())])


def published_tables(corpus: CorpusSettings) -> list[Table]:
    """What the reader of this corpus can tell of lists."""
    reader = READERS[corpus.reader]
    named = {"enrolments": ENROLMENTS, "published_trials": PUBLISHED_TRIALS}
    return [table for function, table in named.items() if hasattr(reader, function)]


def write_lists(corpus: CorpusSettings, said: Path, folder: Path) -> list[str]:
    """Write `enrolments.parquet` and `published_trials.parquet` beside what was said; remarks say what is left out.

    Raises CorpusError for a pair with two answers, and for lists of which nothing is in the corpus.
    """
    reader = READERS[corpus.reader]
    remarks: list[str] = []
    with sorting(folder) as connection:
        connection.execute(f"CREATE TABLE known AS SELECT utterance_id AS id FROM {rows_in(said)}")
        if hasattr(reader, "enrolments"):
            remarks += _write_models(corpus, reader, folder, connection)
        if hasattr(reader, "published_trials"):
            remarks += _write_trials(corpus, reader, folder, connection)
    return remarks


def _write_models(
    corpus: CorpusSettings, reader: ModuleType, folder: Path, connection: duckdb.DuckDBPyConnection
) -> Iterator[str]:
    chunks = in_chunks(reader.enrolments(corpus.root, corpus), ROWS_A_CHUNK)
    told = folder / "models.told.parquet"
    write_batches(told, _MODELS, (_models(corpus.name, chunk) for chunk in chunks))
    connection.execute(
        f"CREATE TABLE told_models AS SELECT DISTINCT * FROM {rows_in(told)};"
        "CREATE TABLE models AS SELECT * FROM told_models WHERE model_id NOT IN"
        " (SELECT model_id FROM told_models ANTI JOIN known ON utterance_id = id)"
    )
    yield from _left_out(corpus, connection, "models", "model_id", "told_models")
    rows = f"SELECT {quoted(corpus.name)} AS corpus, model_id, utterance_id FROM models ORDER BY ALL"
    _write(connection, rows, ENROLMENTS, folder)
    connection.execute("INSERT INTO known SELECT DISTINCT model_id FROM models")
    told.unlink()


def _write_trials(
    corpus: CorpusSettings, reader: ModuleType, folder: Path, connection: duckdb.DuckDBPyConnection
) -> Iterator[str]:
    chunks = in_chunks(reader.published_trials(corpus.root, corpus), ROWS_A_CHUNK)
    told = folder / "trials.told.parquet"
    write_batches(told, _TRIALS, (_trials(corpus.name, chunk) for chunk in chunks))
    connection.execute(
        "CREATE TABLE told_trials AS SELECT list, enrol_id, test_id, min(key) AS is_target, "
        f"min(key) <> max(key) AS is_odd FROM {rows_in(told)} GROUP BY ALL;"
        "CREATE TABLE trials AS FROM told_trials"
        " SEMI JOIN known e ON enrol_id = e.id SEMI JOIN known t ON test_id = t.id"
    )
    odd = _first(connection, "SELECT list, enrol_id, test_id FROM told_trials WHERE is_odd ORDER BY ALL LIMIT 1")
    if odd:
        raise CorpusError(
            f"corpus {corpus.name!r}: list {odd[0]}: {odd[1]} {odd[2]} is target and nontarget; expected one"
        )
    yield from _left_out(corpus, connection, "trials", "list", "told_trials")
    columns = "list, enrol_id, test_id, is_target"
    rows = f"SELECT {quoted(corpus.name)} AS corpus, {columns} FROM trials ORDER BY list, enrol_id, test_id"
    _write(connection, rows, PUBLISHED_TRIALS, folder)
    told.unlink()


def _left_out(
    corpus: CorpusSettings, connection: duckdb.DuckDBPyConnection, kept: str, first: str, told: str
) -> Iterator[str]:
    """A remark where some are left out. Raises CorpusError where all are."""
    counts = _first(connection, f"SELECT (SELECT count(*) FROM {told}), (SELECT count(*) FROM {kept})")
    num_told, num_kept = counts or (0, 0)
    if num_told == num_kept:
        return
    missing = _first(connection, f"SELECT * FROM {told} EXCEPT SELECT * FROM {kept} ORDER BY ALL LIMIT 1")
    example = " ".join(str(value) for value in (missing or ())[:3])
    if not num_kept:
        raise CorpusError(
            f"corpus {corpus.name!r}: none of {num_told} rows of its {kept} is of utterances that are here, such as "
            f"{example!r}; expected lists for this corpus"
        )
    yield f"{num_told - num_kept} of {num_told} rows of its {kept} are left out: utterances are not here ({example})"


def _first(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...] | None:
    rows = connection.execute(query).fetchall()  # to the end: DuckDB does nothing else before
    return rows[0] if rows else None


def _write(connection: duckdb.DuckDBPyConnection, rows: str, table: Table, folder: Path) -> None:
    write_batches(folder / f"{table.name}.parquet", table.arrow(), connection.sql(rows).to_arrow_reader(ROWS_A_CHUNK))


def _models(corpus: str, chunk: list[Enrolment]) -> pa.RecordBatch:
    rows = ((f"{corpus}/{one.list}/{one.model}", f"{corpus}/{one.utterance}") for one in chunk)
    return _batch(rows, _MODELS)


def _trials(corpus: str, chunk: list[PublishedTrial]) -> pa.RecordBatch:
    rows = (
        (one.list, "/".join(filter(None, (corpus, one.enrol_list, one.enrol))), f"{corpus}/{one.test}", one.is_target)
        for one in chunk
    )
    return _batch(rows, _TRIALS)


def _batch(rows: Iterator[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    """Blanks in names become %20, as they do in ids."""
    columns = zip(*rows, strict=True)
    plain = ([one_word(cell) if isinstance(cell, str) else cell for cell in column] for column in columns)
    return pa.RecordBatch.from_arrays([pa.array(c, f.type) for c, f in zip(plain, schema, strict=True)], schema=schema)
