"""Which vectors are still to be computed, and the table of those that are: joins on the disk, with little memory.

A catalog may have millions of utterances, and their vectors do not fit into memory: DuckDB joins, sorts and spills, and
rows stream in and out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import dataset

from curate.blocks import ALL_CHANNELS, BLOCK_SCHEMA, KEY, BlockStore, Stretch
from curate.catalog import Catalog, Sorted, read_batches, write_batches
from curate.decisions import Author, verdicts
from curate.describe import quoted, sorting
from curate.errors import CatalogError
from curate.schema import DECISIONS, UTTERANCES, Reason, Subject, Verdict

KEYS = ", ".join(KEY)
ROWS_A_BATCH = 2_000
PLANNED = pa.schema(
    [
        pa.field("corpus", pa.string()),
        pa.field("path", pa.string()),
        pa.field("content_sha256", pa.string()),
        pa.field("start_s", pa.float64()),
        pa.field("duration_s", pa.float64()),
        pa.field("channel", pa.int16()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What is to be computed, as a file: longest first, so that like lengths are neighbours and the last task is short."""

    file: Path
    roots: dict[str, Path]  # of the corpora
    num_stretches: int
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
    file = scratch / "planned.parquet"
    with _joining(catalog, store, scratch) as connection:
        rows = connection.sql(
            f"SELECT min(corpus) AS corpus, arg_min(path, corpus) AS path, {KEYS} FROM fit "
            f"ANTI JOIN heard USING ({KEYS}) GROUP BY {KEYS} "
            "ORDER BY duration_s DESC, content_sha256, start_s, channel"
        )
        num_stretches = write_batches(file, PLANNED, rows.to_arrow_reader(ROWS_A_BATCH))
    audio_s = sum(sum(batch["duration_s"].to_pylist()) for batch in read_batches(file, ["duration_s"]))
    return Planned(file=file, roots=roots, num_stretches=num_stretches, audio_s=audio_s)


def embedding_rows(catalog: Catalog, store: BlockStore, *, extractor: str, dimension: int, scratch: Path) -> Sorted:
    """The rows of `embeddings`, in the order of ids: of utterances that share their audio, the first has the vector.

    Raises CatalogError where a vector has not been computed.
    """

    def rows() -> Iterator[pa.RecordBatch]:
        with _joining(catalog, store, scratch) as connection:
            _require_all(connection, store)
            yield from connection.sql(
                f"SELECT utterance_id, {quoted(extractor)} AS extractor, vector::FLOAT[{dimension}] AS vector "
                f"FROM heard JOIN (SELECT min(utterance_id) AS utterance_id, {KEYS} FROM fit GROUP BY {KEYS}) "
                f"USING ({KEYS}) JOIN first_block USING ({KEYS}, block) WHERE fault IS NULL ORDER BY utterance_id"
            ).to_arrow_reader(ROWS_A_BATCH)

    return Sorted(rows)


def without_vector(catalog: Catalog, store: BlockStore, author: Author, scratch: Path) -> pa.Table:
    """A verdict for each fit utterance that has no row in `embeddings`: why not, or whose duplicate it is.

    A duplicate is told as that alone, whatever is heard in it: the one that stays says the rest.
    """
    with _joining(catalog, store, scratch) as connection:
        first = f"(SELECT min(utterance_id) AS first, {KEYS} FROM fit GROUP BY {KEYS})"
        rows = connection.sql(
            f"SELECT utterance_id, if(utterance_id = first, fault, {quoted(Reason.DUPLICATE)}) AS reason, "
            f"if(utterance_id != first, first, NULL) AS other_id FROM fit JOIN {first} USING ({KEYS}) "
            f"JOIN heard USING ({KEYS}) JOIN first_block USING ({KEYS}, block) "
            "WHERE utterance_id != first OR fault IS NOT NULL ORDER BY utterance_id"
        ).to_arrow_table()
    reasons = rows["reason"].to_pylist()
    return verdicts(
        author,
        Subject.UTTERANCE,
        rows["utterance_id"].cast(pa.string()),
        verdict=Verdict.DROP,
        reason=reasons,
        other_ids=rows["other_id"].cast(pa.string()),
    )


def count_fit(catalog: Catalog, store: BlockStore, scratch: Path) -> int:
    """How many utterances ingest found fit."""
    with _joining(catalog, store, scratch) as connection:
        return int(connection.sql("SELECT count(*) FROM fit").fetchall()[0][0])


@contextmanager
def _joining(catalog: Catalog, store: BlockStore, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the utterances that ingest found fit (`fit`), and what is in blocks (`heard`, `first_block`)."""
    scratch.mkdir(parents=True, exist_ok=True)
    with sorting(scratch) as connection:
        described = [catalog.path(UTTERANCES, part) for part in catalog.parts(UTTERANCES)]
        judged = [catalog.path(DECISIONS, part) for part in catalog.parts(DECISIONS) if part.startswith("ingest-")]
        connection.register("utterances", _in_files(described, UTTERANCES.arrow()))
        connection.register("decisions", _in_files(judged, DECISIONS.arrow()))
        connection.execute(
            "CREATE VIEW fit AS SELECT utterance_id, corpus, path, content_sha256, start_s, duration_s, "
            f"coalesce(channel, {ALL_CHANNELS})::SMALLINT AS channel FROM utterances WHERE utterance_id NOT IN "
            f"(SELECT subject_id FROM decisions WHERE subject = {quoted(Subject.UTTERANCE)} "
            f"AND verdict = {quoted(Verdict.DROP)})"
        )
        connection.register("heard", _in_files(store.files(), BLOCK_SCHEMA))
        # Two runs at one time, with other sizes of blocks, may have computed one stretch twice: the first name counts.
        connection.execute(f"CREATE VIEW first_block AS SELECT {KEYS}, min(block) AS block FROM heard GROUP BY {KEYS}")
        yield connection


def _in_files(files: list[Path], schema: pa.Schema) -> object:
    """Their rows, read as far as a query asks."""
    return dataset.dataset(files, schema=schema, format="parquet") if files else schema.empty_table()


def _require_all(connection: duckdb.DuckDBPyConnection, store: BlockStore) -> None:
    missing = connection.sql(f"SELECT count(*) FROM fit ANTI JOIN heard USING ({KEYS})").fetchall()[0][0]
    if missing:
        raise CatalogError(f"{store.folder}: lacks {missing} vectors; expected to be run after all are computed")
