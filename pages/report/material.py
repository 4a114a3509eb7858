"""What a report is made of: the tables of a catalog, and the vectors of one extractor. They are only read."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.scoring import trials_of
from curate.blocks import matrix
from curate.catalog import Catalog, read_parquet
from curate.decisions import kept, relabelled
from curate.errors import CatalogError
from curate.schema import (
    AGE_LABELS,
    CORPORA,
    DECISIONS,
    EMBEDDINGS,
    IDENTITIES,
    MODELS,
    SPEAKER_PAIRS,
    SPEAKER_SCORES,
    SPLITS,
    TRIALS,
    UTTERANCES,
    Table,
)
from curate.similarity import Vectors, unit
from curate.speakers import speaker_table

STEPS = ("ingest", "embed", "duplicates", "clean", "review")  # that drop utterances, in their order


@dataclass(frozen=True, kw_only=True)
class Material:
    """`utterances` are all, under settled labels, with `age_group`; `left` those of them that nothing drops."""

    corpora: pa.Table
    came: pa.Table  # the utterances under the labels that they came with
    utterances: pa.Table
    left: pa.Table
    scheme: str | None  # of the age groups
    decisions: pa.Table  # all, also those that a reviewer's stand in place of
    steps: tuple[str, ...]  # that were taken, of those that drop utterances, in order
    identities: pa.Table
    speaker_scores: pa.Table
    speaker_pairs: pa.Table
    benchmark: str | None
    splits: pa.Table
    models: pa.Table
    lists: dict[str, pa.Table]  # trials by list
    extractors: tuple[str, ...]  # the vectors are those of the first
    ids: pa.Array  # of the utterances that have a vector
    vectors: Vectors  # (N, D), of length one


def gathered(catalog: Catalog, benchmark: str | None = None) -> Material:
    """All of a catalog; `benchmark` names one, else it is the only one, if any.

    Raises CatalogError where there is no catalog, for a benchmark that is not there, and where several are and none is
    named.
    """
    if not catalog.parts(UTTERANCES):
        raise CatalogError(f"{catalog.root}: no catalog there; expected a folder that `curate run` has filled")
    benchmark = _benchmark(catalog, benchmark)
    came, decisions = catalog.read(UTTERANCES), _read(catalog, DECISIONS)
    scheme, age_group = _ages(_read(catalog, AGE_LABELS), came)
    utterances = relabelled(came, decisions, speaker_table(came)).append_column("age_group", age_group)
    extractors = tuple(catalog.parts(EMBEDDINGS))
    ids, vectors = _heard(catalog, extractors[0]) if extractors else (pa.array([], pa.string()), np.zeros((0, 1), "f4"))
    return Material(
        corpora=_read(catalog, CORPORA),
        came=came,
        utterances=utterances,
        left=kept(utterances, decisions),
        scheme=scheme,
        decisions=decisions,
        steps=_steps(catalog, decisions),
        identities=_read(catalog, IDENTITIES),
        speaker_scores=_read(catalog, SPEAKER_SCORES),
        speaker_pairs=_read(catalog, SPEAKER_PAIRS),
        benchmark=benchmark,
        splits=_of_benchmark(catalog, SPLITS, benchmark),
        models=_of_benchmark(catalog, MODELS, benchmark),
        lists=_lists(catalog, benchmark),
        extractors=extractors,
        ids=ids,
        vectors=vectors,
    )


def corpora_in_turn(material: Material) -> list[str]:
    """Those with most utterances first: in this order they have their looks in all pictures."""
    count = Counter(material.came["corpus"].to_pylist())
    return sorted(count, key=lambda one: (-count[one], one))


def corpus_of_labels(material: Material) -> dict[str, str]:
    """The corpus of each label."""
    return dict(zip(*(material.came[name].to_pylist() for name in ("speaker_id", "corpus")), strict=True))


def _benchmark(catalog: Catalog, asked: str | None) -> str | None:
    names = sorted({*catalog.parts(SPLITS), *catalog.parts(TRIALS)})
    if asked is not None and asked not in names:
        known = ", ".join(names) or "none to be asked for"
        raise CatalogError(f"{catalog.root}: no benchmark {asked!r}; expected one of {known}")
    if asked is None and len(names) > 1:
        raise CatalogError(f"{catalog.root} holds {', '.join(names)}; expected `--benchmark` to name one")
    return asked or next(iter(names), None)


def _read(catalog: Catalog, table: Table) -> pa.Table:
    return catalog.read(table) if catalog.parts(table) else table.arrow().empty_table()


def _of_benchmark(catalog: Catalog, table: Table, benchmark: str | None) -> pa.Table:
    there = benchmark is not None and benchmark in catalog.parts(table)
    return catalog.read(table, benchmark) if there else table.arrow().empty_table()


def _lists(catalog: Catalog, benchmark: str | None) -> dict[str, pa.Table]:
    if benchmark is None or benchmark not in catalog.parts(TRIALS):
        return {}
    path = catalog.path(TRIALS, benchmark)
    names = sorted(read_parquet(path, ["list"])["list"].unique().to_pylist())
    return {name: pa.Table.from_batches(trials_of(path, name)).unify_dictionaries() for name in names}


def _ages(labels: pa.Table, utterances: pa.Table) -> tuple[str | None, pa.Array]:
    """The first scheme, and the group of each utterance in it."""
    if not len(labels):
        return None, pa.nulls(len(utterances), pa.string())
    scheme = labels["scheme"][0].as_py()
    labels = labels.filter(pc.equal(labels["scheme"], scheme))
    place = pc.index_in(utterances["utterance_id"].combine_chunks(), value_set=labels["utterance_id"].combine_chunks())
    return scheme, labels["age_group"].combine_chunks().take(place)


def _steps(catalog: Catalog, decisions: pa.Table) -> tuple[str, ...]:
    """A step that found nothing to say was taken, too: it has a part without rows."""
    parts = {"ingest" if part.startswith("ingest-") else part for part in catalog.parts(DECISIONS)}
    taken = parts | set(decisions["step"].unique().to_pylist())
    of_utterances = decisions.filter(pc.equal(decisions["subject"], "utterance"))["step"].unique().to_pylist()
    others = sorted(set(of_utterances) - set(STEPS))
    *rules, last = STEPS
    return tuple(step for step in (*rules, *others, last) if step in taken)


def _heard(catalog: Catalog, extractor: str) -> tuple[pa.Array, Vectors]:
    """The utterances that have a vector with a direction, in the order of ids."""
    rows = catalog.read(EMBEDDINGS, extractor).sort_by("utterance_id")
    ids, vectors = rows["utterance_id"].combine_chunks(), matrix(rows["vector"])
    square = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    has_one = np.isfinite(square) & (square > 0)
    return ids.filter(pa.array(has_one)), unit(vectors[has_one])
