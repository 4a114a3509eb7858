"""Which vectors are still to be computed, and the tables of those that are and of sound prints, with little memory.

A catalog may have millions of utterances, and neither they nor their vectors fit into memory: DuckDB sorts on the disk,
and sorted rows are merged as they stream by.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.blocks import ALL_CHANNELS, BLOCK_SCHEMA, KEY, KEY_SCHEMA, BlockStore, Key, Stretch, fixed_size_lists
from curate.catalog import Catalog, Sorted, fingerprint_of, read_batches, write_batches
from curate.decisions import Author, verdicts
from curate.describe import quoted, rows_in, sorting
from curate.errors import CatalogError
from curate.reasons import Subject, Verdict
from curate.schema import DECISIONS, UTTERANCES
from curate.storage import is_local

Read = Callable[[str], Mapping[Key, NDArray[Any]]]  # of the block of this name, by key
KEYS = ", ".join(KEY)
ROWS_A_BATCH = 2_000
DESCRIBED = pa.schema(
    [
        UTTERANCES.arrow().field(name)
        for name in ("utterance_id", "corpus", "path", *KEY_SCHEMA.names, "sample_rate_hz", "num_channels")
    ]
)
JUDGED = pa.schema([DECISIONS.arrow().field(name) for name in ("subject", "subject_id", "verdict")])
OF_BLOCKS = ("block", "fault", "samples_sha256", "num_landmarks")
HEARD = pa.schema([BLOCK_SCHEMA.field(name) for name in (*KEY_SCHEMA.names, *OF_BLOCKS)])
PLACED = pa.schema(
    [
        pa.field("utterance_id", pa.string()),
        *KEY_SCHEMA,
        *(pa.field(name, pa.string()) for name in ("block", "samples_sha256")),
        *(pa.field(name, pa.int64()) for name in ("size", "place")),  # in the flat file, in numbers
    ]
)
PLANNED = pa.schema([*KEY_SCHEMA, *(pa.field(name, pa.string()) for name in ("corpus", "path", "utterance_id"))])
# The key of an utterance is the same for the same samples: times are those of whole samples, rounded as the decoder
# rounds them, and the one channel of a mono file is all of its channels.
IN_SAMPLES = "if(sample_rate_hz > 0, round_even({0} * sample_rate_hz, 0) / sample_rate_hz, {0}) AS {0}"
CHANNEL = (
    f"if(channel = 0 AND num_channels = 1, {ALL_CHANNELS}, coalesce(channel, {ALL_CHANNELS}))::SMALLINT AS channel"
)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What is to be computed, as a file: longest first, so that like lengths meet and the last task is short."""

    file: Path
    roots: dict[str, Path]  # of the corpora
    num_stretches: int
    num_held: int  # stretches that blocks hold already
    audio_s: float

    def blocks(self, per_block: int) -> Iterator[list[Stretch]]:
        """So many stretches at a time."""
        for batch in read_batches(self.file, rows=per_block):
            yield [self._stretch(**row) for row in batch.to_pylist()]

    def _stretch(self, corpus: str, path: str, channel: int, **key: object) -> Stretch:
        file, channel_or_all = self.roots[corpus] / path, None if channel == ALL_CHANNELS else channel
        return Stretch(file=file, channel=channel_or_all, **key)  # type: ignore[arg-type]


def plan(catalog: Catalog, store: BlockStore, roots: dict[str, Path], scratch: Path) -> Planned:
    """What no block holds yet of the utterances that are fit, each stretch of audio once."""
    store.drop_damaged()
    unsorted, file, audio_s, num_held = scratch / "missing.parquet", scratch / "planned.parquet", 0.0, 0

    def missing(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
        nonlocal num_held
        for one in _compared(connection):
            if one.block is None:
                yield *one.key, *min(one.places), one.ids[0]
            else:
                num_held += 1

    with _sorting(catalog, store, scratch) as connection:
        num_stretches = write_batches(unsorted, PLANNED, _in_batches(PLANNED, missing(connection)))
        rows = connection.sql(
            f"FROM {rows_in(unsorted)} ORDER BY duration_s DESC, content_sha256, start_s, channel"
        ).to_arrow_reader(ROWS_A_BATCH)
        write_batches(file, PLANNED, rows)
    for batch in read_batches(file, ["duration_s"]):
        audio_s += sum(batch["duration_s"].to_pylist())
    return Planned(file=file, roots=roots, num_stretches=num_stretches, num_held=num_held, audio_s=audio_s)


def embedding_rows(catalog: Catalog, store: BlockStore, *, extractor: str, dimension: int, scratch: Path) -> Sorted:
    """The rows of `embeddings`, in the order of ids. Raises CatalogError where a vector has not been computed."""

    def rows() -> Iterator[pa.RecordBatch]:
        def vectors(block: str) -> dict[Key, NDArray[np.float32]]:
            return dict(zip(*store.read(block), strict=True))

        with _laid_out(catalog, store, scratch, vectors, lambda _: dimension) as (placed, flat):
            for batch in read_batches(placed, ["utterance_id"], rows=ROWS_A_BATCH):
                values = np.fromfile(flat, dtype=np.float32, count=batch.num_rows * dimension)
                columns = [
                    batch["utterance_id"],
                    pa.array([extractor] * batch.num_rows),
                    fixed_size_lists(values.reshape(-1, dimension)),
                ]
                yield pa.RecordBatch.from_arrays(columns, ["utterance_id", "extractor", "vector"])

    return Sorted(rows)


def print_rows(catalog: Catalog, store: BlockStore, *, extractor: str, scratch: Path) -> Sorted:
    """The rows of `sound_prints`, of the same utterances in the same order. Raises as `embedding_rows` does."""

    def rows() -> Iterator[pa.RecordBatch]:
        def landmarks(block: str) -> dict[Key, NDArray[np.int64]]:
            return {key: one.landmarks for key, one in store.read_prints(block).items()}

        with _laid_out(catalog, store, scratch, landmarks, lambda one: one.num_landmarks) as (placed, flat):
            for batch in read_batches(placed, ["utterance_id", "samples_sha256", "size"], rows=ROWS_A_BATCH):
                stops = np.cumsum(batch["size"].to_numpy())
                values = np.fromfile(flat, dtype=np.int64, count=stops[-1])
                columns = [
                    batch["utterance_id"],
                    pa.array([extractor] * batch.num_rows),
                    batch["samples_sha256"],
                    pa.ListArray.from_arrays(np.append(0, stops).astype(np.int32), values),
                ]
                yield pa.RecordBatch.from_arrays(columns, ["utterance_id", "extractor", "samples_sha256", "landmarks"])

    return Sorted(rows)


def without_vector(catalog: Catalog, store: BlockStore, author: Author, scratch: Path) -> tuple[pa.Table, int]:
    """A verdict for each fit utterance that has no row in `embeddings`, saying why, and how many have one."""
    told: list[tuple[str, str]] = []
    num_embedded = 0
    with _sorting(catalog, store, scratch) as connection:
        for one in _all_heard(connection, store):
            if one.fault:
                told += [(utterance, one.fault) for utterance in one.ids]
            else:
                num_embedded += len(one.ids)
    told.sort()
    ids, reasons = zip(*told, strict=True) if told else ((), ())
    rows = verdicts(author, Subject.UTTERANCE, pa.array(ids, pa.string()), verdict=Verdict.DROP, reason=reasons)
    return rows, num_embedded


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """One stretch of audio: the utterances that are it, and the block that its vector is in."""

    key: Key
    ids: list[str]  # in order
    places: list[tuple[str, str]]  # corpus and path of each
    block: str | None
    fault: str | None
    samples_sha256: str | None
    num_landmarks: int


def _compared(connection: duckdb.DuckDBPyConnection) -> Iterator[_Compared]:
    """Every stretch of the fit utterances, in the order of keys, held against what is in blocks.

    Both sides come sorted and are merged here: a join of millions would want memory, sorting spills to the disk.
    """
    utterances = _rows(connection, f"SELECT {KEYS}, utterance_id, corpus, path FROM fit ORDER BY {KEYS}, utterance_id")
    heard = _rows(connection, f"SELECT {KEYS}, {', '.join(OF_BLOCKS)} FROM heard ORDER BY {KEYS}, block")
    one = next(heard, None)
    for key, group in groupby(utterances, key=itemgetter(0, 1, 2, 3)):
        while one is not None and one[:4] < key:
            one = next(heard, None)
        found = one[4:] if one is not None and one[:4] == key else (None, None, None, 0)
        rows = list(group)
        ids, places = [row[4] for row in rows], [(row[5], row[6]) for row in rows]
        yield _Compared(key=key, ids=ids, places=places, **dict(zip(OF_BLOCKS, found, strict=True)))


def _all_heard(connection: duckdb.DuckDBPyConnection, store: BlockStore) -> Iterator[_Compared]:
    """The same. Raises CatalogError for one that is in no block."""
    for one in _compared(connection):
        if one.block is None:
            raise CatalogError(f"{store.folder}: lacks the vector of {one.ids[0]}; expected all to be computed before")
        yield one


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[Any, ...]]:
    for batch in connection.cursor().sql(sql).to_arrow_reader(ROWS_A_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _in_batches(schema: pa.Schema, rows: Iterator[tuple[Any, ...]]) -> Iterator[pa.RecordBatch]:
    while chunk := list(islice(rows, ROWS_A_BATCH)):
        columns = zip(*chunk, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _placed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """With the place of each row: where the ones before it end."""
    end = 0
    for batch in batches:
        stops = end + np.cumsum(batch["size"].to_numpy())
        places = pa.array(stops - batch["size"].to_numpy(), pa.int64())
        yield batch.set_column(batch.num_columns - 1, PLACED.field("place"), places)
        end = stops[-1]


def _lay_out(by_block: Iterable[pa.RecordBatch], read: Read, flat: Path) -> None:
    """Write what is read of each to its place in one plain file: blocks are read once, and no sort has to carry it."""
    rows = (row for batch in by_block for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    with flat.open("wb") as file:
        for block, placed in groupby(rows, key=itemgetter(0)):
            found = read(block)
            for _, *key, place in placed:
                values = found[tuple(key)]
                file.seek(place * values.itemsize)
                file.write(values.tobytes())


@contextmanager
def _laid_out(
    catalog: Catalog, store: BlockStore, scratch: Path, read: Read, size_of: Callable[[_Compared], int]
) -> Iterator[tuple[Path, BinaryIO]]:
    """What blocks hold of each utterance that has a vector, as numbers in the order of ids, in an open file.

    `read` gives it by block, `size_of` says how many numbers that is. The first file holds the utterances, as PLACED.
    """
    unsorted, ids, flat = (scratch / name for name in ("found.parquet", "placed.parquet", "flat"))
    with _sorting(catalog, store, scratch) as connection:
        found = (
            (utterance, *one.key, one.block, one.samples_sha256, size_of(one), 0)
            for one in _all_heard(connection, store)
            if not one.fault
            for utterance in one.ids
        )
        write_batches(unsorted, PLACED, _in_batches(PLACED, found))
        by_id = connection.sql(f"FROM {rows_in(unsorted)} ORDER BY utterance_id").to_arrow_reader(ROWS_A_BATCH)
        write_batches(ids, PLACED, _placed(by_id))
        by_block = connection.sql(f"SELECT block, {KEYS}, place FROM {rows_in(ids)} ORDER BY block, place")
        _lay_out(by_block.to_arrow_reader(ROWS_A_BATCH), read, flat)
    try:
        with flat.open("rb") as file:
            yield ids, file
    finally:
        flat.unlink()


@contextmanager
def _sorting(catalog: Catalog, store: BlockStore, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the utterances that ingest found fit (`fit`), and what is in blocks (`heard`)."""
    scratch.mkdir(parents=True, exist_ok=True)
    with sorting(scratch) as connection:
        described = [catalog.path(UTTERANCES, part) for part in catalog.parts(UTTERANCES)]
        judged = [catalog.path(DECISIONS, part) for part in catalog.parts(DECISIONS) if part.startswith("ingest-")]
        connection.execute("SET threads = 1; SET preserve_insertion_order = false")  # each thread wants memory
        for name, files, columns in (
            ("utterances", described, DESCRIBED),
            ("decisions", judged, JUDGED),
            ("heard", store.files(), HEARD),
        ):
            # Blocks never change: what is copied of them holds as long as there are no others.
            fingerprint = hashlib.sha256("\n".join(map(str, files)).encode()).hexdigest() if name == "heard" else ""
            _view(connection, name, files, columns, scratch / f"{name}.parquet", fingerprint)
        connection.execute(
            "CREATE VIEW fit AS SELECT utterance_id, corpus, path, content_sha256, "
            f"{IN_SAMPLES.format('start_s')}, {IN_SAMPLES.format('duration_s')}, {CHANNEL} "
            "FROM utterances WHERE utterance_id NOT IN "
            f"(SELECT subject_id FROM decisions WHERE subject = {quoted(Subject.UTTERANCE)} "
            f"AND verdict = {quoted(Verdict.DROP)})"
        )
        yield connection


def _view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    files: list[Path],
    columns: pa.Schema,
    aside: Path,
    fingerprint: str,
) -> None:
    """These columns of all files under one name; of files elsewhere, which DuckDB cannot read, a copy on the disk.

    A copy of this fingerprint that is there already is taken as it is.
    """
    if not files or not all(is_local(file) for file in files):
        if not fingerprint or fingerprint_of(aside) != fingerprint:
            rows = (batch for file in files for batch in read_batches(file, columns.names))
            write_batches(aside, columns, rows, fingerprint)
        files = [aside]
    listed = ", ".join(quoted(escape(str(file))) for file in files)
    connection.execute(f"CREATE VIEW {name} AS FROM read_parquet([{listed}], hive_partitioning = false)")
