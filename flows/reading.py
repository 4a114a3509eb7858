"""The first steps: scan every corpus, and only when all are well publish what they say of their utterances."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.audio import sha256_of
from curate.catalog import Catalog, Sorted, read_batches, write_batches, write_text
from curate.config import Pipeline
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings
from curate.decisions import Author
from curate.describe import ROWS_A_CHUNK, describe
from curate.errors import PipelineError
from curate.exclusions import Exclusions, read_exclusions
from curate.ingest import Faults, judge, looked_into
from curate.lists import published_tables, write_lists
from curate.runs import Result, Step, content_fingerprint
from curate.schema import CORPORA, DECISIONS, SPLITS, UTTERANCES, Table
from curate.seen import remembered
from flows.code import CODE

log = logging.getLogger("voxcurate")  # the command line shows it


def require_own_catalog(pipeline: Pipeline, catalog: Catalog) -> None:
    """Raises PipelineError where the catalog is another pipeline's: its benchmark would no longer agree with tables."""
    others = set(catalog.parts(SPLITS)) - {pipeline.name}
    if others:
        raise PipelineError(
            f"{catalog.root}: holds the benchmark {min(others)!r}; expected the pipeline file of that name, "
            f"or another `catalog` for {pipeline.name!r}"
        )


def scan(pipeline: Pipeline, catalog: Catalog, name: str) -> str:
    """Read one corpus and set its rows aside, not yet published: all corpora must be well before any table changes."""
    corpus, folder = pipeline.corpus(name), aside(catalog, name)
    said, lists, faults = describe(corpus, folder), exclusion_lists(corpus), Faults(corpus)
    with remembered(catalog.root / "cache" / "files" / f"{name}.sqlite", corpus.look) as memory:
        rows = looked_into(corpus, read_batches(said, rows=ROWS_A_CHUNK), memory, faults)
        num_rows = write_batches(folder / "utterances.parquet", UTTERANCES.arrow(), told(rows, lists, name))
    faults.refuse()
    for exclusions in lists:
        exclusions.require_matches(name, first_id(folder))
    remarks = [
        *(getattr(READERS[corpus.reader], "remarks", nothing)(corpus.root, corpus)),
        *(exclusions.remark for exclusions in lists if exclusions.remark),
        *write_lists(corpus, said, folder),
    ]
    write_text(folder / "remarks.txt", "\n".join(remarks))
    for remark in remarks:
        log.info("scan %s: %s", name, remark)
    return f"{name}: {num_rows} utterances in {faults.num_files} files"


def aside(catalog: Catalog, name: str) -> Path:
    """Where the scan of a corpus is set aside."""
    return catalog.root / "cache" / "scanned" / name


def told(rows: Iterator[pa.RecordBatch], lists: list[Exclusions], name: str) -> Iterator[pa.RecordBatch]:
    """The rows as they come, held against the exclusion lists; a long scan says how far it is."""
    num_rows = 0
    for batch in rows:
        num_rows += batch.num_rows
        for exclusions in lists:
            exclusions.match(batch)
        if num_rows > ROWS_A_CHUNK:
            log.info("scan %s: %d utterances", name, num_rows)
        yield batch


def exclusion_lists(corpus: CorpusSettings) -> list[Exclusions]:
    """The lists that the corpus names."""
    aliases = getattr(READERS[corpus.reader], "aliases", None)
    names = aliases(corpus.root, corpus) if aliases and corpus.exclusions else {}
    return [read_exclusions(path, names) for path in corpus.exclusions]


def first_id(folder: Path) -> str:
    """Of the utterances that were set aside."""
    batch = next(read_batches(folder / "utterances.parquet", ["utterance_id"], rows=1))
    return str(batch["utterance_id"][0].as_py())


def nothing(_root: Path, _corpus: CorpusSettings) -> list[str]:
    """The remarks of a reader that makes none."""
    return []


def ingest(pipeline: Pipeline, catalog: Catalog, name: str) -> Step:
    """Publish the rows of one scanned corpus, its lists, and verdicts on files that are unfit or that a list names."""
    corpus, folder = pipeline.corpus(name), aside(catalog, name)
    limits = {key: asdict(corpus)[key] for key in ("damaged", "min_duration_s", "max_duration_s", "min_peak_dbfs")}
    tables = tables_of(corpus)
    content = {table.name: sha256_of(file_of(folder, table)) for table in tables}
    excluded = [sha256_of(path) for path in corpus.exclusions]

    def give_verdicts(step: Step) -> Result:
        author = Author(rule="limits of the corpus", step="ingest", run_id=step.run_id)
        unfit = judge(corpus, read_batches(file_of(folder, UTTERANCES)), exclusion_lists(corpus), author)
        rows = [Sorted(lambda table=table: read_batches(file_of(folder, table))) for table in tables]  # type: ignore[misc]
        return [*rows, unfit], f"{len(unfit)} verdicts on files"

    return Step(
        catalog=catalog,
        name="ingest",
        part=name,
        settings=limits | {"content": content, "exclusions": excluded},
        code=CODE,
        publishes=[*((table, name) for table in tables), (DECISIONS, f"ingest-{name}")],
        compute=give_verdicts,
    )


def tables_of(corpus: CorpusSettings) -> list[Table]:
    """What a scan sets aside."""
    return [UTTERANCES, *published_tables(corpus)]


def file_of(folder: Path, table: Table) -> Path:
    """Where the scan set the rows of this table aside."""
    return folder / f"{table.name}.parquet"


def register(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Publish where the corpora lie, on what terms, and what is odd about them."""
    rows = pa.Table.from_pylist([_terms(corpus, catalog) for corpus in pipeline.corpora], schema=CORPORA.arrow())
    rows = rows.sort_by("corpus")
    return Step(
        catalog=catalog,
        name="register",
        settings={"content": content_fingerprint(rows)},
        code=CODE,
        publishes=[(CORPORA, "all")],
        compute=lambda step: ([rows], f"{len(rows)} corpora"),
    )


def _terms(corpus: CorpusSettings, catalog: Catalog) -> dict[str, Any]:
    reader = READERS[corpus.reader]
    return {
        "corpus": corpus.name,
        "reader": corpus.reader,
        "root": str(corpus.root),
        "licence": corpus.licence or reader.LICENCE,
        "citation": reader.CITATION,
        "url": reader.URL,
        "remarks": (aside(catalog, corpus.name) / "remarks.txt").read_text(encoding="utf-8") or None,
    }
