"""The first steps: scan every corpus, and only when all are well publish what they say of their utterances."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.catalog import Catalog, write_text
from curate.config import Pipeline
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings, Described
from curate.decisions import Author
from curate.errors import PipelineError
from curate.ingest import (
    FILES_A_CHUNK,
    Seen,
    describe,
    judge_files,
    may_go_on,
    probe_chunks,
    refuse_beyond,
    refuse_damaged,
    seen_as_lines,
    seen_as_text,
    seen_from_text,
    utterance_rows,
)
from curate.runs import Result, Step, content_fingerprint
from curate.schema import CORPORA, DECISIONS, SPLITS, UTTERANCES
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
    corpus = pipeline.corpus(name)
    described = describe(corpus)
    seen = look_into_files(corpus, described, catalog.root / "cache" / "files" / f"{name}.jsonl")
    refuse_damaged(corpus, seen)
    refuse_beyond(corpus, described, seen)
    rows = utterance_rows(corpus, described, seen)
    scanned(catalog).publish(UTTERANCES, rows, part=name, fingerprint=content_fingerprint(rows))
    return f"{name}: {len(rows)} utterances of {len(rows['speaker_id'].unique())} speakers"


def look_into_files(corpus: CorpusSettings, described: list[Described], memory: Path) -> dict[str, Seen]:
    """What is in every file. Each chunk is remembered as it is done: a killed scan goes on where it was."""
    text = memory.read_text(encoding="utf-8", errors="replace") if memory.exists() else ""
    known, goes_on = seen_from_text(text), may_go_on(text)
    paths = list(dict.fromkeys(utterance.path for utterance in described))
    seen: dict[str, Seen] = {}
    for chunk in probe_chunks(corpus.root, paths, known):
        seen |= chunk
        news = {path: file for path, file in chunk.items() if known.get(path) != file}
        if news and not goes_on:
            write_text(memory, seen_as_text(known))
            goes_on = True
        if news:
            with memory.open("a", encoding="utf-8") as lines:
                lines.write(seen_as_lines(news))
        if len(paths) > FILES_A_CHUNK:
            log.info("scan %s: %d of %d files", corpus.name, len(seen), len(paths))
    if seen != known:
        write_text(memory, seen_as_text(seen))  # without lines that others made void, and files that are gone
    return seen


def scanned(catalog: Catalog) -> Catalog:
    """Where scans are set aside."""
    return Catalog(catalog.root / "cache" / "scanned")


def ingest(pipeline: Pipeline, catalog: Catalog, name: str) -> Step:
    """Publish the rows of one scanned corpus, and the verdicts on its unfit files."""
    corpus, aside = pipeline.corpus(name), scanned(catalog)
    settings = {key: value for key, value in asdict(corpus).items() if key != "root"}

    def judge(step: Step) -> Result:
        rows = aside.read(UTTERANCES, name)
        author = Author(rule="limits of the corpus", step="ingest", run_id=step.run_id)
        unfit = judge_files(corpus, rows, author)
        return [rows, unfit], f"{len(rows)} utterances, {len(unfit)} unfit"

    return Step(
        catalog=catalog,
        name="ingest",
        part=name,
        settings=settings | {"content": aside.fingerprint(UTTERANCES, name)},
        code=CODE,
        publishes=[(UTTERANCES, name), (DECISIONS, f"ingest-{name}")],
        compute=judge,
    )


def register(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Publish where the corpora lie and on what terms."""
    rows = pa.Table.from_pylist([_terms(corpus) for corpus in pipeline.corpora], schema=CORPORA.arrow())
    rows = rows.sort_by("corpus")
    return Step(
        catalog=catalog,
        name="register",
        settings={"content": content_fingerprint(rows)},
        code=CODE,
        publishes=[(CORPORA, "all")],
        compute=lambda step: ([rows], f"{len(rows)} corpora"),
    )


def _terms(corpus: CorpusSettings) -> dict[str, Any]:
    reader = READERS[corpus.reader]
    return {
        "corpus": corpus.name,
        "reader": corpus.reader,
        "root": str(corpus.root),
        "licence": corpus.licence or reader.LICENCE,
        "citation": reader.CITATION,
        "url": reader.URL,
    }
