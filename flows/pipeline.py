"""The whole pipeline as a Prefect flow: order, retries and parallelism.

Tasks carry settings, paths and names, never tables; one task a corpus, a block of utterances or a step, never one an
utterance. Scans and blocks go to the workers (flows/runners.py), everything else is done where the flow is. What is
complete is the catalog's to say: Prefect's own caching is off. Serve or deploy it as any flow:
`prefect flow serve flows/pipeline.py:curate_corpora`.
"""

import logging
from dataclasses import replace
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.blocks import Stretch
from curate.catalog import A_RUN, Catalog
from curate.config import Pipeline, load_pipeline
from curate.embed import Embedded, embed_block
from curate.errors import CorpusError, VoxcurateError
from curate.runs import Done, take_note
from flows import embedding, reading, runners, steps
from flows.runners import Sealed, Workers

log = logging.getLogger("voxcurate")  # the command line shows it; Prefect's own log says the rest
LASTING = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)


def _may_pass(_task: object, _run: object, state: object) -> bool:
    """Whether trying again can help: not with what the user gave, but where a disk or a network failed below it."""
    error = state.result(raise_on_failure=False)  # type: ignore[attr-defined]
    if isinstance(error, VoxcurateError):
        return isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, LASTING)
    return isinstance(error, OSError)


@task(task_run_name="scan-{corpus}", cache_policy=NO_CACHE, retries=2, retry_condition_fn=_may_pass)
def scan(sealed: Sealed[Pipeline], corpus: str) -> str:
    """Read one corpus and look into its files."""
    pipeline = sealed.value
    return reading.scan(pipeline, drafts(pipeline), corpus)


@task(task_run_name="embed-{number}", cache_policy=NO_CACHE, retries=2, retry_condition_fn=_may_pass)
def embed(sealed: Sealed[Pipeline], number: int, block: Sealed[list[Stretch]], expected: str) -> Embedded:
    """Embed one block; its file appears whole or not at all. `expected` is the fingerprint of the run's own encoder."""
    pipeline = sealed.value
    embedding.require_same_encoder(pipeline, expected)
    runners.take_one_core()
    store, decoders = embedding.block_store(pipeline, drafts(pipeline)), pipeline.embedding.decoders
    return embed_block(block.value, embedding.encoder(pipeline), store, decoders=decoders)


@task(task_run_name="{name}-{part}", cache_policy=NO_CACHE, retries=2, retry_condition_fn=_may_pass)
def carry_out(sealed: Sealed[Pipeline], name: str, part: str = "all") -> Done:
    """One step; `part` is the corpus to ingest."""
    pipeline = sealed.value
    catalog = drafts(pipeline)
    if name == "register":
        return reading.register(pipeline, catalog).carry_out()
    if name == "ingest":
        return reading.ingest(pipeline, catalog, part).carry_out()
    return steps.AFTER_INGEST[name](pipeline, catalog).carry_out()


def drafts(pipeline: Pipeline) -> Catalog:
    """The catalog as a run sees it."""
    return Catalog(pipeline.catalog, drafts=True)


@flow(name="curate-corpora")
def curate_corpora(pipeline_file: str, runner: str | None = None) -> list[Done]:
    """From raw corpora to a scored benchmark and its card; a step that is complete is not done again.

    Without `[splits]` there is no benchmark, and the card is that of the curated catalog.

    `runner`, in place of the `[runner]` of the file: threads, dask or ray, or with an address as in
    dask:tcp://host:8786.
    """
    pipeline = load_pipeline(Path(pipeline_file))
    if runner is not None:
        pipeline = replace(pipeline, runner=runners.chosen(runner, pipeline.runner))
    catalog = drafts(pipeline)
    reading.require_own_catalog(pipeline, catalog)
    embedding.require_thresholds(pipeline)
    runners.require_device(pipeline.runner, pipeline.embedding.device)
    done: list[Done] = []

    def step(name: str, part: str = "all") -> None:
        done.append(carry_out(Sealed(pipeline), name, part))
        take_note(catalog, done[-1])
        log.info(in_words(done[-1]))

    with catalog.locked(A_RUN):
        with runners.started(pipeline.runner) as workers:
            scan_all(pipeline, workers)
            steps.forget_others(pipeline, catalog)
            step("register")
            for corpus in pipeline.corpora:
                step("ingest", corpus.name)
            embed_missing(pipeline, catalog, workers)
        for name in steps.after_ingest(pipeline):
            step(name)
        catalog.publish_drafts()
        for path in steps.finish(pipeline, Catalog(catalog.root)):
            log.info(f"wrote {path}")
    return done


def scan_all(pipeline: Pipeline, workers: Workers) -> None:
    """Scan every corpus. Raises one CorpusError that tells the faults of all."""
    faults: list[str] = []
    jobs = ({"sealed": Sealed(pipeline), "corpus": corpus.name} for corpus in pipeline.corpora)
    for outcome in workers.outcomes(scan, jobs):
        try:
            log.info("scan " + outcome().replace("\n", "\n  "))
        except CorpusError as error:
            faults.append(str(error))
    if faults:
        raise CorpusError("; ".join(sorted(faults)))  # sorted: scans end in any order


def embed_missing(pipeline: Pipeline, catalog: Catalog, workers: Workers) -> None:
    """Embed what no block holds yet, saying how far it is."""
    planned = embedding.blocks_to_embed(pipeline, catalog)
    if planned is None:
        return
    progress = embedding.Progress(planned)
    log.info(progress.before(embedding.encoder(pipeline).name))
    if embedding.is_on_processor(pipeline) and (idle := runners.idle_cores(pipeline.runner)):
        log.info(f"embed: {idle} cores are left idle; `workers` in [runner] says how many compute, a block each")
    blocks = enumerate(planned.blocks(pipeline.embedding.utterances_per_block))
    same = {"sealed": Sealed(pipeline), "expected": embedding.encoder(pipeline).fingerprint}
    jobs = (same | {"number": number, "block": Sealed(block)} for number, block in blocks)
    for outcome in workers.outcomes(embed, jobs, on_gpu=pipeline.embedding.device != "cpu"):
        log.info(progress.after(outcome()))


def in_words(done: Done) -> str:
    """One line on a step."""
    name = done.step if done.part == "all" else f"{done.step} {done.part}"
    return f"{name}: {done.summary}" if done.changed else f"{name}: nothing to do"


def run(pipeline_file: Path, runner: str | None = None) -> list[Done]:
    """Run the flow in this process. Raises VoxcurateError."""
    done: list[Done] = curate_corpora(str(pipeline_file), runner)
    return done
