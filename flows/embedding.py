"""The step between what corpora say and what is decided on them: a vector and a sound print for each utterance.

Blocks are computed by tasks of the flow, wherever its runner puts them; the step gathers them into the tables.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.blocks import BlockStore, read_vectors
from curate.catalog import Catalog
from curate.codes import in_order, is_ascending
from curate.config import Pipeline
from curate.decisions import Author
from curate.embed import Embedded, Extractor
from curate.errors import ExtractorError, PipelineError
from curate.explain import counted
from curate.landmarks import VERSION
from curate.runs import Result, Step
from curate.schema import DECISIONS, EMBEDDINGS, SOUND_PRINTS, UTTERANCES
from curate.similarity import Vectors
from curate.vectors import Planned, embedding_rows, plan, print_rows, without_vector
from flows.code import CODE
from models.extractors import extractor


def encoder(pipeline: Pipeline) -> Extractor:
    """The speaker encoder that the pipeline names."""
    return extractor(pipeline.embedding)


def require_thresholds(pipeline: Pipeline) -> None:
    """Raises PipelineError where a threshold is left to an extractor that nobody has measured."""
    listener = encoder(pipeline)
    asked = {
        "cleaning.min_speaker_similarity": (
            getattr(pipeline.cleaning, "min_speaker_similarity", None),  # the robust rule needs none
            listener.min_one_person,
        ),
        "identities.min_similarity": (pipeline.identities.min_similarity, listener.min_same_person),
    }
    keys = [key for key, (given, measured) in asked.items() if given == "extractor" and measured is None]
    if keys:
        hearing = pipeline.embedding
        raise PipelineError(
            f"{' and '.join(keys)}: nobody has measured thresholds of {listener.name} with speech = "
            f'"{hearing.speech}" and part = "{hearing.part}"; expected a cosine for each'
        )


def require_same_encoder(pipeline: Pipeline, fingerprint: str) -> None:
    """Raises ExtractorError where this process hears otherwise than the run that it works for."""
    listener = encoder(pipeline)
    if listener.fingerprint != fingerprint:
        raise ExtractorError(
            f"{listener.name}: {listener.fingerprint} on this worker, {fingerprint} where the run is; expected the "
            "same weights and versions on both, and workers begun after these were put there"
        )


def _as_heard(pipeline: Pipeline) -> dict[str, Any]:
    """What a reader of `runs` wants to know of the encoder, beside its fingerprint."""
    told = asdict(pipeline.embedding)
    return {key: value for key, value in told.items() if key not in ("device", "utterances_per_block", "decoders")}


def ingested(catalog: Catalog) -> list[str]:
    """The parts of the decisions that ingest made."""
    return [part for part in catalog.parts(DECISIONS) if part.startswith("ingest-")]


def block_store(pipeline: Pipeline, catalog: Catalog) -> BlockStore:
    """The blocks of the pipeline's encoder, with the sound prints that are made now."""
    return BlockStore(catalog.root / "cache" / "embeddings" / f"{encoder(pipeline).fingerprint}-{VERSION}")


def blocks_to_embed(pipeline: Pipeline, catalog: Catalog) -> Planned | None:
    """What no block holds yet; None where the table of embeddings is current."""
    if embed(pipeline, catalog).is_current:
        return None
    roots = {corpus.name: corpus.root for corpus in pipeline.corpora}
    return plan(catalog, block_store(pipeline, catalog), roots, _scratch(catalog))


def is_on_processor(pipeline: Pipeline) -> bool:
    """Whether no GPU computes the embeddings."""
    from models.extractors.device import device_of  # torch takes seconds

    return device_of(pipeline.embedding.device).type == "cpu"


class Progress:
    """How far the blocks are, in words. What is left is told by the audio: blocks come longest first."""

    def __init__(self, planned: Planned) -> None:
        self._planned, self._started = planned, time.monotonic()
        self._num_blocks, self._num_done, self._done_s = 0, 0, 0.0

    def before(self, extractor: str) -> str:
        """What there is to do, and what is there."""
        utterances, hours = counted(self._planned.num_stretches, "utterance"), self._planned.audio_s / 3600
        return f"embed: {utterances}, {hours:.2f} h, to be heard by {extractor}; {self._planned.num_held} heard before"

    def after(self, block: Embedded) -> str:
        """One line when a block is done, and one for each of its utterances that has no vector."""
        self._num_blocks += 1
        self._num_done += block.num_utterances
        self._done_s += block.audio_s
        taken_s = max(time.monotonic() - self._started, 1e-9)
        left_s = max(self._planned.audio_s - self._done_s, 0.0) * taken_s / max(self._done_s, 1e-9)
        utterances = counted(self._planned.num_stretches, "utterance")
        line = (
            f"embed: block {self._num_blocks}: {self._num_done} of {utterances}, "
            f"{self._num_done / taken_s:.1f}/s, {self._done_s / taken_s:.0f} x real time, {left_s:.0f} s left"
        )
        return "\n".join([line, *(f"  no vector: {fault}" for fault in block.faults)])


def embed(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Gather the embeddings and sound prints from their blocks, and a verdict on each utterance that has none."""
    listener = encoder(pipeline)

    def gather(step: Step) -> Result:
        author = Author(rule=f"extractor {listener.name}", step="embed", run_id=step.run_id)
        store, scratch = block_store(pipeline, catalog), _scratch(catalog)
        rows = embedding_rows(catalog, store, extractor=listener.name, dimension=listener.dimension, scratch=scratch)
        prints = print_rows(catalog, store, extractor=listener.name, scratch=scratch)
        without, num = without_vector(catalog, store, author, scratch)
        return [rows, prints, without], f"{counted(num, 'embedding')}, {counted(len(without), 'utterance')} without"

    return Step(
        catalog=catalog,
        name="embed",
        part=listener.name,
        settings={"fingerprint": listener.fingerprint} | _as_heard(pipeline),
        code=CODE,
        reads=[UTTERANCES, *((DECISIONS, part) for part in ingested(catalog))],
        publishes=[(EMBEDDINGS, listener.name), (SOUND_PRINTS, listener.name), (DECISIONS, "embed")],
        compute=gather,
    )


def embedded(pipeline: Pipeline, catalog: Catalog, columns: list[str] | None = None) -> tuple[pa.Table, Vectors]:
    """The utterances that have an embedding, in the order of ids, and their vectors (N, D).

    Of the utterances all `columns` or these, of which utterance_id is one: millions are held only as far as needed.
    """
    ids, vectors = read_vectors(catalog, [encoder(pipeline).name])
    if not is_ascending(ids):
        order = pc.sort_indices(ids).to_numpy()
        ids, vectors = ids.take(pa.array(order)), vectors[order]
    utterances = in_order(catalog.read(UTTERANCES, columns=columns), "utterance_id")
    has_one = pc.is_in(utterances["utterance_id"], value_set=ids.combine_chunks())
    return utterances.filter(has_one), vectors


def sound_prints(pipeline: Pipeline, catalog: Catalog) -> pa.Table:
    """Those of the same utterances, in the same order."""
    return in_order(catalog.read(SOUND_PRINTS, encoder(pipeline).name), "utterance_id")


def _scratch(catalog: Catalog) -> Path:
    return catalog.scratch / "embedding"
