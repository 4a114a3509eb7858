"""Ask the catalog in SQL. DuckDB sees one view a table; what it may do is read."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from curate.catalog import Catalog, rename_durably
from curate.errors import CatalogError, QueryError
from curate.schema import EMBEDDINGS, TABLES, Table

READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


def ask(catalog: Catalog, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one query that reads. Raises QueryError for any other, or one that DuckDB refuses."""
    with duckdb.connect(":memory:") as connection:
        for statement in view_statements(catalog):
            connection.execute(statement)
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1:
                raise QueryError(f"{len(statements)} statements; expected one SELECT")
            if statements[0].type not in READING:
                raise QueryError(
                    f"{statements[0].type.name} writes or sets something; expected a SELECT: the catalog is read-only"
                )
            result = connection.execute(statements[0])
            return [column[0] for column in result.description], result.fetchall()
        except duckdb.Error as error:
            raise QueryError(" ".join(str(error).split("\n\nLINE")[0].split())) from error


def view_statements(catalog: Catalog) -> list[str]:
    """One CREATE VIEW for each table that has a part. Raises CatalogError where there is no catalog."""
    published = [table for table in TABLES.values() if catalog.parts(table)]
    if not published:
        raise CatalogError(f"{catalog.root}: no catalog there; expected a folder that `curate run` has filled")
    return [
        f"CREATE VIEW {table.name} AS SELECT {_columns(catalog, table)} FROM {_files(catalog, table)}"
        for table in published
    ]


def _columns(catalog: Catalog, table: Table) -> str:
    """All of them; vectors as arrays of fixed size, which DuckDB's distance functions want, if all have one size."""
    if table is not EMBEDDINGS:
        return "*"
    sizes = {pq.read_schema(catalog.path(table, part)).field("vector").type.list_size for part in catalog.parts(table)}
    return f"* REPLACE (vector::FLOAT[{sizes.pop()}] AS vector)" if len(sizes) == 1 else "*"


def _files(catalog: Catalog, table: Table) -> str:
    pattern = str((catalog.root / table.name / "*.parquet").absolute()).replace("'", "''")
    return f"read_parquet('{pattern}', hive_partitioning = false)"


def write_database(catalog: Catalog) -> Path:
    """`catalog.duckdb` with the views, for tools that open DuckDB files; left alone where it is right already."""
    path = catalog.root / "catalog.duckdb"
    statements = view_statements(catalog)
    if path.exists() and _views(path) == statements:
        return path
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    with duckdb.connect(str(aside)) as database:
        for statement in statements:
            database.execute(statement)
            quoted = statement.replace("'", "''")  # the comment is how a later run knows what the view is
            database.execute(f"COMMENT ON VIEW {statement.split()[2]} IS '{quoted}'")
    rename_durably(aside, path)
    return path


def _views(path: Path) -> list[str] | None:
    try:
        with duckdb.connect(str(path), read_only=True) as database:
            found = dict(
                database.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
            )
    except duckdb.Error:
        return None  # not a DuckDB file any more: written anew
    return [found[name] for name in TABLES if name in found]


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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def as_json(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """One array of objects."""
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False, default=str, indent=1)


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple) and len(value) > 4:
        return f"[{', '.join(_short(v) for v in value[:3])}, ... {len(value)} in all]"
    return " ".join(str(value).split())
