"""The catalog: one folder per table, one Parquet file per part, plain for anything that reads Parquet.

    <root>/<table>/<part>.parquet      what is current
    <root>/<table>/<part>.parquet.new  being written; never read, replaced by the next attempt
    <root>/schema.json                 the version of the schema that all tables have (curate.versions)
    <root>/cache/draft/...             what a run has made and not yet published, in the same layout
    <root>/cache/                      what was computed on the way; may be deleted, costs time only

A part is published whole: written aside, synced to the disk, and made current by one rename. Its footer carries the
fingerprint of what it was made from, so that the files themselves say what need not be computed again.

A run works on drafts, which it alone sees, and publishes them all when its last step is done: a run that fails leaves
the tables as they were, and the next one goes on from its drafts. `curate.turns` says when several tables are of one
run.

The root is a folder, or a place in a store (`s3://bucket/catalog`, as `curate.storage.location` gives it) with the same
layout. There an upload is whole or absent by itself, so that no `.new` is needed (`curate.whole`), and a lease stands
for the lock (`curate.lease`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate import lease, turns, versions, whole
from curate.codes import give_back
from curate.conforming import conform, conforming, typed
from curate.errors import CatalogError, shown
from curate.schema import TABLES, Table
from curate.storage import is_local
from curate.whole import rename_durably as rename_durably
from curate.whole import write_text as write_text

FINGERPRINT = b"voxcurate.fingerprint"
ROWS_PER_GROUP = 65_536  # one row group is what a reader must hold, and a writer
BYTES_PER_GROUP = 1 << 23  # of vectors
A_RUN = "curate run"  # who replaces many tables at once
BESIDE = ("cache", "benchmarks", "lists", "README.md", "catalog.duckdb", versions.FILE, versions.BEFORE)  # and tables
AS_WRITTEN = {"compression": "zstd", "write_page_index": True, "write_page_checksum": True}


@dataclass(frozen=True)
class Sorted:
    """Rows that are too many to be held, in the order of their key."""

    batches: Callable[[], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Catalog:
    """The tables under `root`; with `drafts`, as a run sees them, its drafts before what is published."""

    root: Path
    drafts: bool = False

    def path(self, table: Table, part: str = "all") -> Path:
        """Where a part is read."""
        draft = self._draft(table, part)
        return draft if self.drafts and whole.exists(draft) else self._published(table, part)

    @property
    def scratch(self) -> Path:
        """A folder of this machine for what must be local: databases, sorting, what is written before it is uploaded.

        It is the cache of the catalog itself, or, where that is in a store, a folder of the user's cache that is named
        after its address. It may be deleted; it need not exist yet, and other machines have others.
        """
        if is_local(self.root):
            return self.root / "cache"
        users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return users / "voxcurate" / hashlib.sha256(str(self.root).encode()).hexdigest()[:16]

    def _published(self, table: Table, part: str) -> Path:
        return self.root / table.name / f"{part}.parquet"

    def _draft(self, table: Table, part: str, suffix: str = "parquet") -> Path:
        return self.root / "cache" / "draft" / table.name / f"{part}.{suffix}"

    def parts(self, table: Table) -> list[str]:
        """The parts that there are, in order."""
        parts = whole.stems(self.root / table.name, "parquet")
        if self.drafts:
            folder = self._draft(table, "all").parent
            parts |= whole.stems(folder, "parquet")
            parts -= whole.stems(folder, "gone")
        return sorted(parts)

    def read(self, table: Table, part: str | None = None, *, columns: list[str] | None = None) -> pa.Table:
        """One part, or all parts one after the other; of all `columns` or these.

        Raises CatalogError where none is, and where the table, or a part of it, is a link out of the catalog.
        """
        if is_local(self.root):
            whole.require_no_way_out(self.root, [table.name])
        parts = self.parts(table) if part is None else [part]
        paths = [self.path(table, p) for p in parts]
        if not paths or not all(map(whole.exists, paths)):
            is_there = not is_local(self.root) or self.root.is_dir()
            lacks = f"no table {table.name!r}" if is_there else "no catalog is there"
            raise CatalogError(f"{self.root}: {lacks}; expected a catalog that `curate run` has filled")
        names = table.arrow().names if columns is None else columns
        rows = pa.concat_tables(typed(table, read_parquet(path, names), path) for path in paths)
        give_back()
        return rows

    def batches(
        self, table: Table, part: str, columns: list[str], rows: int = ROWS_PER_GROUP
    ) -> Iterator[pa.RecordBatch]:
        """These columns of one part, so many rows at a time. Raises CatalogError where one of them is not there."""
        path = self.path(table, part)
        return (typed(table, batch, path) for batch in read_batches(path, columns, rows))

    def publish(self, table: Table, rows: "pa.Table | Sorted", *, part: str = "all", fingerprint: str) -> int:
        """Make `rows` the current part, whole or not at all; says how many they are.

        Raises ValueError where they break the schema or key, CatalogError for a catalog of another version.
        """
        if not self.drafts:
            versions.say_current(self.root)
        path = self._draft(table, part) if self.drafts else self._published(table, part)
        if isinstance(rows, Sorted):
            schema, batches = conforming(table, rows.batches())
            num_rows = write_batches(path, schema, batches, fingerprint)
        else:
            num_rows = rows.num_rows
            write_parquet(path, conform(table, rows).replace_schema_metadata({FINGERPRINT: fingerprint.encode()}))
        whole.remove(self._draft(table, part, "gone"))
        return num_rows

    def fingerprint(self, table: Table, part: str = "all") -> str | None:
        """What the part was made from; None where there is none."""
        return fingerprint_of(self.path(table, part))

    def has(self, table: Table, part: str, fingerprint: str) -> bool:
        """Whether the part is there as made from this. Where a published part is, a draft of it gives way."""
        if fingerprint_of(self._published(table, part)) == fingerprint:
            if self.drafts:
                whole.remove(self._draft(table, part))
                whole.remove(self._draft(table, part, "gone"))
            return True
        return self.drafts and fingerprint_of(self._draft(table, part)) == fingerprint

    def keep_only(self, table: Table, parts: set[str]) -> None:
        """Take away the parts that the pipeline file does not name any more; in drafts, when they are published."""
        for part in set(self.parts(table)) - parts:
            if not self.drafts:
                whole.remove(self._published(table, part))
                continue
            whole.remove(self._draft(table, part))
            whole.mark(self._draft(table, part, "gone"))

    def publish_drafts(self) -> None:
        """Make every draft current. A crash between two of the renames is mended by the next run, which starts here."""
        lease.require_held(self.root)
        versions.say_current(self.root)
        drafted = whole.names(self.root / "cache" / "draft")
        with self.publishing(A_RUN):
            for table in (table for table in TABLES.values() if table.name in drafted):
                folder = self._draft(table, "all").parent
                for part in sorted(whole.stems(folder, "gone")):
                    whole.remove(self._published(table, part))
                    whole.remove(self._draft(table, part, "gone"))
                for part in sorted(whole.stems(folder, "parquet")):
                    whole.move(self._draft(table, part), self._published(table, part))

    @contextmanager
    def locked(self, who: str = "") -> Iterator[None]:
        """Be the only writer, as `locked_of_any_version`. Raises CatalogError for a catalog of another version, too."""
        with self.locked_of_any_version(who):
            versions.require_current(self.root)
            yield

    @contextmanager
    def locked_of_any_version(self, who: str = "") -> Iterator[None]:
        """Be the only writer. Raises CatalogError that names the other one; a dead writer holds nothing.

        Raises it, too, where a link leads out of the catalog, and where another one than `who` was killed while it
        replaced several tables. In a store, what a dead writer holds ends with its lease.
        """
        if is_local(self.root):
            whole.require_no_way_out(self.root, (*TABLES, *BESIDE))
        with turns.writing(self.root, who) if is_local(self.root) else lease.held(self.root):
            yield

    @contextmanager
    def publishing(self, who: str) -> Iterator[None]:
        """Replace several tables: who reads them `as_one` reads them before or after. In a store, nothing waits."""
        with turns.publishing(self.root, who) if is_local(self.root) else nullcontext():
            yield

    def broke_off(self) -> str:
        """Who was killed while several tables were replaced; else empty, as for a store, where that is not known."""
        return turns.broke_off(self.root) if is_local(self.root) else ""

    @contextmanager
    def as_one(self) -> Iterator[None]:
        """Read several tables as one run left them. It waits for that: read, and do the rest afterwards.

        Raises CatalogError where a writer was killed while it replaced them, where a link leads out of the catalog, and
        where it is of another version: a migration may have been undone since it was opened.
        """
        if is_local(self.root):
            whole.require_no_way_out(self.root, TABLES)
        with turns.reading(self.root) if is_local(self.root) else nullcontext():
            versions.require_current(self.root)
            yield


def open_catalog(root: Path) -> Catalog:
    """The catalog there, to be read or written. Raises CatalogError where it is of another version than ours."""
    versions.require_current(root)
    return Catalog(root)


def fingerprint_of(path: Path) -> str | None:
    """What a published file was made from; None where there is none."""
    try:
        with _parquet(path) as file:
            metadata = file.metadata.metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None  # a file that is no Parquet was not written by us: it is made anew
    return metadata[FINGERPRINT].decode() if FINGERPRINT in metadata else None


def num_rows_of(path: Path) -> int:
    """How many rows the file has, as its footer says."""
    with _parquet_expected(path), _parquet(path) as file:
        return int(file.metadata.num_rows)


def read_parquet(path: Path, columns: list[str] | None = None, *, verify: bool = False) -> pa.Table:
    """One file as it is: the folders above it are names, not Hive partitions.

    With `verify`, each page is held against its checksum: a bit that a disk turned is a CatalogError.
    """
    with _parquet_expected(path), _parquet(path, verify=verify, at_once=True) as file:
        _require(path, file, columns)
        return file.read(columns).replace_schema_metadata(None)


def parquet_schema(path: Path) -> pa.Schema:
    """The columns of one file."""
    with _parquet_expected(path), _parquet(path) as file:
        return file.schema_arrow.remove_metadata()


def _require(path: Path, file: pq.ParquetFile, columns: list[str] | None) -> None:
    """Raises CatalogError for a column that the file lacks, which Arrow would leave out without a word."""
    for name in columns or ():
        if name not in file.schema_arrow.names:
            raise CatalogError(f"{path}: no column {name!r}; expected one beside {shown(file.schema_arrow.names)}")


@contextmanager
def _parquet(path: Path, *, verify: bool = False, at_once: bool = False) -> Iterator[pq.ParquetFile]:
    """The file, open. Of one in a store as much is fetched as is asked for; `at_once` asks in few requests."""
    if is_local(path):
        with pq.ParquetFile(path, page_checksum_verification=verify) as file:
            yield file
        return
    with (
        closing(whole.reader(path)) as source,
        pq.ParquetFile(source, page_checksum_verification=verify, pre_buffer=at_once) as file,
    ):
        yield file


@contextmanager
def _parquet_expected(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        words = " ".join(str(error).split())
        hint = "expected Parquet: take the file away, and `curate run` makes it anew (but for `reviews`: nothing does)"
        raise CatalogError(f"{path}: {words}; {hint}") from error


def write_parquet(path: Path, rows: pa.Table, *, alone: bool = True) -> None:
    """Write one file: after a crash the old one or the new one is there, whole. `alone` as in `whole.written`."""
    with whole.written(path, alone=alone) as file:
        pq.write_table(rows, file, row_group_size=rows_per_group(rows.schema), **AS_WRITTEN)


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], fingerprint: str = "") -> int:
    """The same for rows that do not fit into memory, in the order in which they come; says how many they were.

    The file is the same however the rows are cut into batches.
    """
    metadata = {FINGERPRINT: fingerprint.encode()} if fingerprint else None
    num_rows, waiting, size = 0, schema.empty_table(), rows_per_group(schema)
    with (
        whole.written(path) as file,
        pq.ParquetWriter(file, schema.with_metadata(metadata), **AS_WRITTEN) as writer,
    ):
        for batch in batches:
            num_rows += batch.num_rows
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch]).cast(schema)])
            while waiting.num_rows >= size:
                writer.write_table(waiting.slice(0, size).combine_chunks())
                waiting = waiting.slice(size)
        if waiting.num_rows or not num_rows:
            writer.write_table(waiting.combine_chunks())
    return num_rows


def rows_per_group(schema: pa.Schema) -> int:
    """Fewer where a row holds a vector, or a list of any length."""
    if any(pa.types.is_list(field.type) for field in schema):
        return 4096
    sizes = [field.type.list_size for field in schema if pa.types.is_fixed_size_list(field.type)]
    return min([ROWS_PER_GROUP, *(BYTES_PER_GROUP // (4 * max(size, 1)) or 1 for size in sizes)])


def read_batches(
    path: Path, columns: list[str] | None = None, rows: int = ROWS_PER_GROUP, *, verify: bool = False
) -> Iterator[pa.RecordBatch]:
    """The rows of one file, so many at a time; `verify` as in `read_parquet`."""
    with _parquet_expected(path), _parquet(path, verify=verify) as file:
        _require(path, file, columns)
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield batch.replace_schema_metadata(None)


def rows_of(table: Table, rows: list[dict[str, object]]) -> pa.Table:
    """Plain rows as a table of this schema; a key that a row lacks is null."""
    return pa.Table.from_pylist(rows, schema=table.arrow())


def canonical_json(value: object) -> str:
    """JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
