"""The first steps: scan every corpus, and only when all are well publish what they say of their utterances."""

from dataclasses import asdict
from typing import Any

import pyarrow as pa

from curate.catalog import Catalog, write_text
from curate.config import Pipeline
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings
from curate.decisions import Author
from curate.errors import PipelineError
from curate.ingest import (
    describe,
    judge_files,
    probe_files,
    refuse_damaged,
    seen_as_text,
    seen_from_text,
    utterance_rows,
)
from curate.runs import Result, Step, content_fingerprint
from curate.schema import CORPORA, DECISIONS, SPLITS, UTTERANCES
from flows.code import CODE


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
    remembered = catalog.root / "cache" / "files" / f"{name}.jsonl"
    known = seen_from_text(remembered.read_text(encoding="utf-8")) if remembered.exists() else {}
    seen = probe_files(corpus.root, (utterance.path for utterance in described), known)
    if seen != known:
        write_text(remembered, seen_as_text(seen))  # before anything is refused: the next look is quick
    refuse_damaged(corpus, seen)
    rows = utterance_rows(corpus, described, seen)
    scanned(catalog).publish(UTTERANCES, rows, part=name, fingerprint=content_fingerprint(rows))
    return f"{name}: {len(rows)} utterances of {len(rows['speaker_id'].unique())} speakers"


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
