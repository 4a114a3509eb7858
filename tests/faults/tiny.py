"""A tiny catalog on which every command has something to do, made without hearing anything."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.scoring import trials_of
from curate.blocks import fixed_size_lists
from curate.catalog import rows_of, write_parquet
from curate.schema import DECISIONS, EMBEDDINGS, SOUND_PRINTS, TRIALS, UTTERANCES
from tests.flows.published_made import write_catalog

PROTOCOL = """
name = "mine"
version = 1
title = "A design of mine"
paper = "none"
description = "All of it."
seed = 1

[[sources]]
name = "all"
corpora = ["studio", "calls", "odd"]

[[splits]]
name = "test"
sources = ["all"]

[[trials]]
name = "easy"
split = "test"
targets = {}
nontargets = {}
"""
PIPELINE = """
name = "toy"
catalog = "{catalog}"
{corpora}
[splits]
num_test_speakers = 2
"""
CORPUS = """
[[corpora]]
name = "{name}"
reader = "folder"
root = "{root}/{name}"
"""
LICENCES = dict.fromkeys(("studio", "calls", "odd"), "CC0-1.0")


def write_tiny(folder: Path, odd: Sequence[str] = ("plain", "other", "third", "fourth")) -> None:
    """The catalog with vectors, and beside it a protocol, a pipeline file and scores of the benchmark's list."""
    catalog = write_catalog(folder, licences=LICENCES, odd=odd)
    ids = sorted(catalog.read(UTTERANCES)["utterance_id"].to_pylist())
    people = {one: number for number, one in enumerate(sorted({one.rsplit("/", 1)[0] for one in ids}))}
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(people), 8))
    vectors = np.float32([centres[people[one.rsplit("/", 1)[0]]] + 0.3 * rng.normal(size=8) for one in ids])
    heard = {"utterance_id": ids, "extractor": ["ge2e"] * len(ids)}
    catalog.publish(EMBEDDINGS, pa.table(heard | {"vector": fixed_size_lists(vectors)}), part="ge2e", fingerprint="")
    prints = {
        "samples_sha256": [f"{number:064x}" for number in range(len(ids))],
        "landmarks": pa.array([[number] for number in range(len(ids))], pa.list_(pa.int64())),
    }
    catalog.publish(SOUND_PRINTS, pa.table(heard | prints), part="ge2e", fingerprint="")
    catalog.publish(DECISIONS, rows_of(DECISIONS, []), part="duplicates", fingerprint="")
    (folder / "mine.toml").write_text(PROTOCOL, encoding="utf-8")
    rows = pa.Table.from_batches(trials_of(catalog.path(TRIALS, "toy"), "test"))
    scores = {side: rows[side].cast(pa.string()) for side in ("enrol_id", "test_id")}
    write_parquet(folder / "scores.parquet", pa.table(scores | {"score": rng.normal(size=len(rows))}))


def write_pipeline(folder: Path, catalog: Path) -> Path:
    """A pipeline file over the corpora of the folder, into a catalog anywhere."""
    file = catalog.with_suffix(".toml")
    corpora = "".join(CORPUS.format(name=name, root=folder) for name in LICENCES)
    file.write_text(PIPELINE.format(catalog=catalog, corpora=corpora), encoding="utf-8")
    return file
