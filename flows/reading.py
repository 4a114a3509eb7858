"""The first steps: scan every corpus, and only when all are well publish what they say of their utterances."""

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import whole
from curate.audio import sha256_of
from curate.catalog import Catalog, Sorted, canonical_json, read_batches
from curate.config import Pipeline
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings
from curate.decisions import Author
from curate.describe import ROWS_A_CHUNK
from curate.errors import PipelineError
from curate.explain import counted
from curate.ingest import judge
from curate.runs import Result, Step, content_fingerprint, last_done
from curate.scan import exclusion_lists, file_of, remarks_of, tables_of
from curate.scan import scan as scan_corpus
from curate.schema import CORPORA, DECISIONS, REMOVALS, RUNS, SPLITS, UTTERANCES
from curate.storage import is_local
from flows.code import CODE

log = logging.getLogger("voxcurate")  # the command line shows it


def built(catalog: Catalog) -> set[str]:
    """The benchmarks that `curate build` has made there: no pipeline's own, whose steps take note of no removals."""
    return set(catalog.parts(REMOVALS))


def curated_by(catalog: Catalog) -> str | None:
    """The pipeline whose last run filled it; None where none did."""
    noted = last_done(catalog) if catalog.parts(RUNS) else []
    settings = [json.loads(row["settings"]) for row in noted if row["step"] == "register"]
    return settings[-1].get("pipeline") if settings else None


def require_own_catalog(pipeline: Pipeline, catalog: Catalog) -> None:
    """Raises PipelineError where the catalog is another pipeline's: its benchmark would no longer agree with tables.

    What was built from it by protocols is nobody's, but takes a name.
    """
    protocols, owner = built(catalog), curated_by(Catalog(catalog.root))
    others = set(catalog.parts(SPLITS)) - protocols - {pipeline.name}
    if others:
        raise PipelineError(
            f"{catalog.root}: holds the benchmark {min(others)!r}; expected the pipeline file of that name, "
            f"or another `catalog` for {pipeline.name!r}"
        )
    if owner not in (None, pipeline.name):
        raise PipelineError(
            f"{catalog.root}: filled by the pipeline {owner!r}; expected its file, or another `catalog` for "
            f"{pipeline.name!r}"
        )
    if pipeline.splits is not None and pipeline.name in protocols:
        raise PipelineError(
            f"{catalog.root}: `curate build` has made a benchmark {pipeline.name!r} there; expected another `name`"
        )


def scan(pipeline: Pipeline, catalog: Catalog, name: str) -> str:
    """Read one corpus and set its rows aside, not yet published: all corpora must be well before any table changes.

    Returns what it found, and a line for each thing that is odd.
    """

    def progress(num_rows: int) -> None:
        if num_rows > ROWS_A_CHUNK:  # a short scan says nothing on its way
            log.info("scan %s: %d utterances", name, num_rows)

    memory, folder = catalog.scratch / "files" / f"{name}.sqlite", catalog.scratch / "scanned" / name
    found = scan_corpus(pipeline.corpus(name), folder, memory, progress=progress)
    if not is_local(catalog.root):  # the next step may be done by another machine
        for file in folder.iterdir():
            whole.upload(file, aside(catalog, name) / file.name)
    return "\n".join(
        [f"{name}: {counted(found.num_utterances, 'utterance')} in {counted(found.num_files, 'file')}", *found.remarks]
    )


def aside(catalog: Catalog, name: str) -> Path:
    """Where the scan of a corpus is set aside: in the catalog, so that every machine finds it."""
    return catalog.root / "cache" / "scanned" / name


def ingest(pipeline: Pipeline, catalog: Catalog, name: str) -> Step:
    """Publish the rows of one scanned corpus, its lists, and verdicts on files that are unfit or that a list names."""
    corpus, folder = pipeline.corpus(name), aside(catalog, name)
    limits = {key: asdict(corpus)[key] for key in ("damaged", "min_duration_s", "max_duration_s", "min_peak_dbfs")}
    tables = tables_of(corpus)
    content = {table.name: sha256_of(file_of(folder, table)) for table in tables}
    excluded = [
        (one.path.name, sorted(one.entries)) for one in exclusion_lists(corpus)
    ]  # with names of speakers resolved

    def give_verdicts(step: Step) -> Result:
        author = Author(rule="limits of the corpus", step="ingest", run_id=step.run_id)
        unfit = judge(corpus, read_batches(file_of(folder, UTTERANCES)), exclusion_lists(corpus), author)
        rows = [Sorted(lambda table=table: read_batches(file_of(folder, table))) for table in tables]  # type: ignore[misc]
        return [*rows, unfit], f"{counted(len(unfit), 'verdict')} on files"

    return Step(
        catalog=catalog,
        name="ingest",
        part=name,
        settings=limits
        | {"content": content, "exclusions": hashlib.sha256(canonical_json(excluded).encode()).hexdigest()},
        code=CODE,
        publishes=[*((table, name) for table in tables), (DECISIONS, f"ingest-{name}")],
        compute=give_verdicts,
    )


def register(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Publish where the corpora lie, on what terms, and what is odd about them."""
    rows = pa.Table.from_pylist([_terms(corpus, catalog) for corpus in pipeline.corpora], schema=CORPORA.arrow())
    rows = rows.sort_by("corpus")
    return Step(
        catalog=catalog,
        name="register",
        settings={"content": content_fingerprint(rows), "pipeline": pipeline.name},
        code=CODE,
        publishes=[(CORPORA, "all")],
        compute=lambda step: ([rows], counted(len(rows), "corpus", "corpora")),
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
        "remarks": "\n".join(remarks_of(aside(catalog, corpus.name))) or None,
    }
