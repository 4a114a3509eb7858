"""Vectors of the beginnings of utterances: the condition in which an utterance is its first seconds alone.

Vaessen and van Leeuwen (Towards multi-task learning of speech and speaker recognition, 2023, table 3) score trials so,
with both sides cut to 2 s. Where the pipeline's hearing cuts silence away, they are the first seconds of what is left.

They are heard by the pipeline's encoder with `part = "first"` and kept in blocks of `cache/embeddings`, whose folder is
named by what was heard and how: they never mix with those of whole utterances, and cost nothing the second time.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.blocks import BlockStore, Key, Stretch
from curate.catalog import Catalog
from curate.config import Pipeline
from curate.embed import embed_block
from curate.errors import CatalogError
from curate.explain import counted
from curate.schema import UTTERANCES
from curate.similarity import Vectors
from flows.embedding import block_store, encoder

log = logging.getLogger("voxcurate")  # the command line shows it


def beginnings(pipeline: Pipeline, catalog: Catalog, utterance_ids: pa.Array, first_s: float) -> Vectors:
    """(N, D) of the first seconds of utterances, in the order of their ids; a shorter one is heard whole.

    Raises CatalogError for an utterance that the catalog does not have, or whose beginning has no vector.
    """
    hearing = replace(pipeline.embedding, part="first", part_s=first_s, hop_s=None)
    pipeline = replace(pipeline, embedding=hearing)
    stretches = _stretches(pipeline, catalog, utterance_ids)
    store = block_store(pipeline, catalog)
    store.drop_damaged()
    _embed(pipeline, store, {one.key: one for one in stretches})
    heard = _held(store)
    vectors: Vectors = np.stack([heard[one.key] for one in stretches])
    silent = np.flatnonzero(~vectors.any(axis=1))
    if len(silent):
        raise CatalogError(
            f"{stretches[silent[0]].utterance_id}: {counted(len(silent), 'utterance')} without a vector of the first "
            f"{first_s:g} s (no speech, or it cannot be read); expected a list without them, or longer beginnings"
        )
    return vectors


def _stretches(pipeline: Pipeline, catalog: Catalog, utterance_ids: pa.Array) -> list[Stretch]:
    roots = {corpus.name: corpus.root for corpus in pipeline.corpora}
    utterances = catalog.read(UTTERANCES)
    place = pc.index_in(utterance_ids, value_set=utterances["utterance_id"].combine_chunks())
    if place.null_count:
        absent = utterance_ids.filter(place.is_null())[0]
        raise CatalogError(f"{absent}: not in {catalog.root}; expected utterances that it holds")
    return [_stretch(row, roots) for row in utterances.take(place).to_pylist()]


def _stretch(row: dict[str, Any], roots: dict[str, Path]) -> Stretch:
    """Its times are those of whole samples, and the one channel of a mono file is all of them, as in `curate.vectors`.

    Raises CatalogError for a corpus that the pipeline file does not name.
    """
    if row["corpus"] not in roots:
        raise CatalogError(f"corpus {row['corpus']!r}: not in the pipeline file; expected the file of the catalog")
    rate = row["sample_rate_hz"]
    channel = None if row["channel"] == 0 and row["num_channels"] == 1 else row["channel"]
    return Stretch(
        file=roots[row["corpus"]] / row["path"],
        content_sha256=row["content_sha256"],
        start_s=round(row["start_s"] * rate) / rate,
        duration_s=round(row["duration_s"] * rate) / rate,
        channel=channel,
        utterance_id=row["utterance_id"],
    )


def _embed(pipeline: Pipeline, store: BlockStore, asked: dict[Key, Stretch]) -> None:
    """Hear what no block holds, longest first, a block at a time."""
    held = _held(store)
    missing = sorted((asked[key] for key in asked.keys() - held.keys()), key=lambda one: (-one.duration_s, one.key))
    listener, done = encoder(pipeline), 0
    for block in _blocks(missing, pipeline.embedding.utterances_per_block):
        embedded = embed_block(block, listener, store, decoders=pipeline.embedding.decoders)
        done += embedded.num_utterances
        log.info(f"score: {done} of {counted(len(missing), 'beginning')} heard by {listener.name}")
        for fault in embedded.faults:
            log.info(f"  no vector: {fault}")


def _blocks(stretches: list[Stretch], size: int) -> Iterator[list[Stretch]]:
    rest = iter(stretches)
    while block := list(islice(rest, size)):
        yield block


def _held(store: BlockStore) -> dict[Key, Any]:
    """The vector of each stretch that a block holds; zeros where there is none to be had."""
    return {
        key: vector
        for file in store.files()
        for key, vector in zip(*store.read(file.name.removesuffix(".parquet")), strict=True)
    }
