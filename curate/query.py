"""Ask the catalog in SQL. DuckDB sees each table by its name and nothing else of the disk: what it may do is read.

Beside the tables there is a view, `settled`: the decisions without those that a reviewer's stands in place of
(`curate.decisions.settled`).

A catalog in a store is read through fsspec, as far as a query asks. The views of its `catalog.duckdb` name addresses
(`s3://bucket/catalog/...`), which a DuckDB reads that has its extension `httpfs` and the keys, or that was given a file
system by `register_filesystem`; they are made in the second way, since an extension cannot be had everywhere.
"""

import csv
import io
import json
import math
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from pyarrow import dataset, fs

from curate import whole
from curate.catalog import Catalog, parquet_schema, rename_durably
from curate.decisions import REVIEW
from curate.errors import CatalogError, QueryError
from curate.explain import for_a_terminal
from curate.schema import DECISIONS, EMBEDDINGS, TABLES, Table
from curate.storage import is_local

READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
MAX_GIB = 6.0  # of a query, or what DuckDB takes of a smaller machine; the rest goes into the cache of the catalog
REQUESTS_AT_ONCE = 16  # of a store, each of which answers after some hundredths of a second

ABOUT = "(subject, subject_id, CASE subject WHEN 'pair' THEN coalesce(other_id, '') ELSE '' END)"
SETTLED = (
    f"SELECT * FROM decisions WHERE step = '{REVIEW}' "
    f"OR {ABOUT} NOT IN (SELECT {ABOUT} FROM decisions WHERE step = '{REVIEW}')"
)

One = TypeVar("One")
Found = TypeVar("Found")


def ask(catalog: Catalog, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one query that reads. Raises QueryError for any other, or one that DuckDB refuses."""
    with _spilling(catalog) as spill, duckdb.connect(":memory:") as connection, catalog.as_one():
        published = _published(catalog)
        for name, rows in _each(catalog, lambda table: (table.name, _rows_on_disk(catalog, table)), published):
            connection.register(name, rows)
        if DECISIONS in published:
            connection.execute(f"CREATE TEMP VIEW settled AS {SETTLED}")
        # DuckDB lets a query write where it spills, which else is `.tmp` where we stand: this name nobody can guess.
        connection.execute(f"SET temp_directory = '{spill}'")
        if _gib_of(connection) > MAX_GIB:
            connection.execute(f"SET memory_limit = '{MAX_GIB}GiB'")
        # A SELECT can hold a COPY (`WITH t AS (COPY ...)`), and EXPLAIN ANALYZE carries out what it explains.
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1:
                raise QueryError(f"{len(statements)} statements; expected one SELECT")
            if statements[0].type not in READING:
                raise QueryError(
                    f"{statements[0].type.name} writes or sets something; expected a SELECT: the catalog is read-only"
                )
            return _answer(connection, statements[0])
        except duckdb.Error as error:
            told = re.split(r"\n\nLINE|\.? Detail: Python exception", str(error))[0]
            raise QueryError(" ".join(told.split())) from error


def _answer(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows, computed in a thread of its own: in ours, DuckDB may not hear a Ctrl-C for hours."""

    def fetched() -> tuple[list[str], list[tuple[Any, ...]]]:
        result = connection.execute(statement)
        return [column[0] for column in result.description], result.fetchall()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fetched)
        try:
            return answer.result()
        except KeyboardInterrupt:
            while not answer.done():  # DuckDB forgets what it was told before it begins
                connection.interrupt()
                wait([answer], timeout=0.1)
            raise


def _gib_of(connection: duckdb.DuckDBPyConnection) -> float:
    """The memory that DuckDB would take: a share of what the machine, or its container, has."""
    ((told,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = told.split()  # as `18.7 GiB`
    return float(number) * {"TiB": 1024.0, "GiB": 1.0}.get(unit, 0.0)


@contextmanager
def _spilling(catalog: Catalog) -> Iterator[str]:
    """A folder, in SQL, for what does not fit into memory, gone afterwards; none where the catalog has no cache."""
    folder = catalog.scratch.absolute() / f"query-{uuid.uuid4().hex}"
    try:
        yield str(folder).replace("'", "''") if folder.parent.is_dir() else ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def view_statements(catalog: Catalog) -> list[str]:
    """One CREATE VIEW for each table that has a part, and `settled`. Raises CatalogError where there is no catalog."""
    published = _published(catalog)
    of_tables = [
        f"CREATE VIEW {table.name} AS SELECT {_columns(catalog, table)} FROM {_files(catalog, table)}"
        for table in published
    ]
    return of_tables + ([f"CREATE VIEW settled AS {SETTLED}"] if DECISIONS in published else [])


def _published(catalog: Catalog) -> list[Table]:
    published = [
        table for table, parts in _each(catalog, lambda table: (table, catalog.parts(table)), TABLES.values()) if parts
    ]
    if not published:
        raise CatalogError(f"{catalog.root}: no catalog there; expected a folder that `curate run` has filled")
    return published


def _rows_on_disk(catalog: Catalog, table: Table) -> dataset.Dataset:
    """All parts of a table, read as far as a query asks; vectors have a fixed size where all have one size."""
    files = [catalog.path(table, part) for part in catalog.parts(table)]
    schemas = [parquet_schema(file) for file in files]
    schema = schemas[0] if all(other.equals(schemas[0]) for other in schemas) else table.arrow()
    if is_local(catalog.root):
        return dataset.dataset(files, schema=schema, format="parquet")
    stored = fs.PyFileSystem(_Stored(files))
    return dataset.dataset([whole.in_store(file)[1] for file in files], schema, format="parquet", filesystem=stored)


class _Stored(fs.FSSpecHandler):  # type: ignore[misc]
    """These files of a store as a file system of pyarrow."""

    def __init__(self, files: list[Path]) -> None:
        super().__init__(whole.in_store(files[0])[0])
        self._places = {whole.in_store(file)[1]: file for file in files}

    def open_input_file(self, path: str) -> pa.NativeFile:
        """One of them; its faults are told as ours."""
        file = whole.reader(self._places[path])
        return file if isinstance(file, pa.NativeFile) else pa.PythonFile(file, mode="r")


def _each(catalog: Catalog, do: Callable[[One], Found], many: Iterable[One]) -> list[Found]:
    """What is found for each, in their order; of a store, several are asked for at once."""
    if is_local(catalog.root):
        return list(map(do, many))
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return list(pool.map(do, many))


def _columns(catalog: Catalog, table: Table) -> str:
    """All of them; vectors as arrays of fixed size, which DuckDB's distance functions want, if all have one size."""
    if table is not EMBEDDINGS:
        return "*"
    files = [catalog.path(table, part) for part in catalog.parts(table)]
    types = {parquet_schema(file).field("vector").type for file in files}
    if len(types) != 1 or not pa.types.is_fixed_size_list(vector := types.pop()):
        return "*"
    return f"* REPLACE (vector::FLOAT[{vector.list_size}] AS vector)"


def _files(catalog: Catalog, table: Table) -> str:
    root = catalog.root.absolute() if is_local(catalog.root) else catalog.root
    folder = re.sub(r"[*?\[]", r"[\g<0>]", str(root / table.name))  # they are DuckDB's wildcards
    pattern = f"{folder}/*.parquet".replace("'", "''")
    return f"read_parquet('{pattern}', hive_partitioning = false)"


def write_database(catalog: Catalog) -> Path:
    """`catalog.duckdb` with the views, for tools that open DuckDB files; left alone where it is right already."""
    path = catalog.root / "catalog.duckdb"
    statements = view_statements(catalog)
    if is_local(path):
        if not path.exists() or _views(path) != statements:
            aside = path.with_name(path.name + ".new")
            _make_database(aside, statements, None)
            rename_durably(aside, path)
        return path
    here = catalog.scratch / path.name
    here.parent.mkdir(parents=True, exist_ok=True)
    here.write_bytes(whole.read_bytes(path) or b"")
    if _views(here) != statements:
        _make_database(here, statements, whole.in_store(path)[0])
        whole.upload(here, path)
    return path


def _make_database(file: Path, statements: list[str], store: Any) -> None:
    for left in (file, file.with_name(f"{file.name}.wal")):  # by one that died
        left.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(file)) as database:
            if store is not None:
                database.register_filesystem(store)
            for statement in statements:
                database.execute(statement)
                quoted = statement.replace("'", "''")  # the comment is how a later run knows what the view is
                database.execute(f"COMMENT ON VIEW {statement.split()[2]} IS '{quoted}'")
            database.execute("CHECKPOINT")  # closing does it, too, but says nothing where the disk does not take it
    except duckdb.Error as error:
        raise CatalogError(f"{file}: {' '.join(str(error).split())}; expected room on the disk for views") from error


def _views(path: Path) -> list[str] | None:
    try:
        with duckdb.connect(str(path), read_only=True) as database:
            found = dict(
                database.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
            )
    except duckdb.Error:
        return None  # not a DuckDB file any more: written anew
    return [found[name] for name in (*TABLES, "settled") if name in found]


def as_table(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Aligned columns under their names; numbers to the right."""
    cells = [[_short(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(names)]
    right = [
        all(isinstance(row[i], int | float) or row[i] is None for row in rows) and bool(rows) for i in range(len(names))
    ]

    def line(row: Iterable[str]) -> str:
        padded = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join([line(names), line("-" * width for width in widths), *map(line, cells), count])


def as_csv(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """RFC 4180, with a header; null is an empty field."""
    return "\n".join(_csv_line(row) for row in [names, *rows])


def _csv_line(row: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(row)  # it quotes a return or newline only if lines end in it
    return text.getvalue().removesuffix("\r\n")


def as_json(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """One array of objects; what JSON has no number for is `"inf"`, `"-inf"` or `"nan"`."""
    objects = [{name: _in_json(value) for name, value in zip(names, row, strict=True)} for row in rows]
    return json.dumps(objects, ensure_ascii=False, default=str, indent=1)


def _in_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_in_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple) and len(value) > 4:
        return f"[{', '.join(_short(v) for v in value[:3])}, ... {len(value)} in all]"
    return for_a_terminal(" ".join(str(value).split()))
