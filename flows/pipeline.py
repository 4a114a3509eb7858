"""The whole pipeline as a Prefect flow: order, retries and parallelism.

Tasks carry paths and names, never tables; one task a corpus, a block of utterances or a step, never one an utterance.
What is complete is the catalog's to say: Prefect's own caching is off. Serve or deploy it as any flow:
`prefect flow serve flows/pipeline.py:curate_corpora`.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from curate.catalog import Catalog
from curate.config import Pipeline, load_pipeline
from curate.embed import Stretch, embed_block
from curate.errors import CorpusError, VoxcurateError
from curate.runs import Done, take_note
from flows import reading, steps

log = logging.getLogger("voxcurate")  # the command line shows it; Prefect's own log says the rest
Job = TypeVar("Job")


def _may_pass(_task: object, _run: object, state: object) -> bool:
    """Whether trying again can help: not with what the user gave."""
    error = state.result(raise_on_failure=False)  # type: ignore[attr-defined]
    return isinstance(error, OSError) and not isinstance(error, VoxcurateError)


@task(task_run_name="scan-{corpus}", cache_policy=NO_CACHE, retries=2, retry_condition_fn=_may_pass)
def scan(pipeline_file: str, corpus: str) -> str:
    """Read one corpus and look into its files."""
    pipeline, catalog = opened(pipeline_file)
    return reading.scan(pipeline, catalog, corpus)


@task(task_run_name="embed-{number}", cache_policy=NO_CACHE, retries=2, retry_condition_fn=_may_pass)
def embed(pipeline_file: str, number: int, block: Any) -> int:
    """Embed one block, a list of Stretch that Prefect must not look into; its file appears whole or not at all."""
    pipeline, catalog = opened(pipeline_file)
    embed_block(block, steps.encoder(pipeline), steps.block_store(pipeline, catalog))
    return len(block)


@task(task_run_name="{name}-{part}", cache_policy=NO_CACHE, retries=2, retry_condition_fn=_may_pass)
def carry_out(pipeline_file: str, name: str, part: str = "all") -> Done:
    """One step; `part` is the corpus to ingest."""
    pipeline, catalog = opened(pipeline_file)
    if name == "register":
        return reading.register(pipeline, catalog).carry_out()
    if name == "ingest":
        return reading.ingest(pipeline, catalog, part).carry_out()
    return steps.AFTER_INGEST[name](pipeline, catalog).carry_out()


def opened(pipeline_file: str) -> tuple[Pipeline, Catalog]:
    """The pipeline file and its catalog: a task may run in a process that has neither."""
    pipeline = load_pipeline(Path(pipeline_file))
    return pipeline, Catalog(pipeline.catalog, drafts=True)


@flow(name="curate-corpora")
def curate_corpora(pipeline_file: str) -> list[Done]:
    """From raw corpora to a scored benchmark and its card; a step that is complete is not done again."""
    pipeline, catalog = opened(pipeline_file)
    reading.require_own_catalog(pipeline, catalog)
    names = [corpus.name for corpus in pipeline.corpora]
    done: list[Done] = []

    def step(name: str, part: str = "all") -> None:
        done.append(carry_out(pipeline_file, name, part))
        take_note(catalog, done[-1])
        log.info(in_words(done[-1]))

    with catalog.locked():
        scan_all(pipeline_file)
        steps.forget_others(pipeline, catalog)
        step("register")
        for name in names:
            step("ingest", name)
        embed_missing(pipeline_file)
        for name in steps.AFTER_INGEST:
            step(name)
        catalog.publish_drafts()
        for path in steps.finish(pipeline, Catalog(catalog.root)):
            log.info(f"wrote {path}")
    return done


def at_most(workers: int, submit: Callable[[Job], PrefectFuture[Any]], jobs: Iterable[Job]) -> Iterator[Any]:
    """Futures as they complete, no more than `workers` under way: the runner of a served flow knows no limit."""
    under_way: set[PrefectFuture[Any]] = set()
    for job in jobs:
        if len(under_way) == workers:
            first = next(as_completed(list(under_way)))
            under_way.remove(first)
            yield first
        under_way.add(submit(job))
    yield from as_completed(list(under_way))


def scan_all(pipeline_file: str) -> None:
    """Scan every corpus. Raises one CorpusError that tells the faults of all."""
    pipeline, _ = opened(pipeline_file)
    names = [corpus.name for corpus in pipeline.corpora]
    faults: list[str] = []
    for future in at_most(pipeline.runner.workers, lambda name: scan.submit(pipeline_file, name), names):
        try:
            log.info("scan " + future.result().replace("\n", "\n  "))
        except CorpusError as error:
            faults.append(str(error))
    if faults:
        raise CorpusError("; ".join(sorted(faults)))  # sorted: scans end in any order


def embed_missing(pipeline_file: str) -> None:
    """Embed what no block holds yet, saying how far it is."""
    pipeline, catalog = opened(pipeline_file)
    blocks = steps.blocks_to_embed(pipeline, catalog)
    total, finished, started = sum(map(len, blocks)), 0, time.monotonic()

    def submit(numbered: tuple[int, list[Stretch]]) -> PrefectFuture[Any]:
        number, block = numbered
        return embed.submit(pipeline_file, number, quote(block))

    for future in at_most(pipeline.runner.workers, submit, enumerate(blocks)):
        finished += future.result()
        rate = finished / (time.monotonic() - started)
        log.info(f"embed: {finished} of {total} utterances, {rate:.0f}/s, {(total - finished) / rate:.0f} s left")


def in_words(done: Done) -> str:
    """One line on a step."""
    name = done.step if done.part == "all" else f"{done.step} {done.part}"
    return f"{name}: {done.summary}" if done.changed else f"{name}: nothing to do"


def run(pipeline_file: Path) -> list[Done]:
    """Run the flow in this process, on as many threads as the pipeline asks for. Raises VoxcurateError."""
    workers = load_pipeline(pipeline_file).runner.workers
    runner: Any = ThreadPoolTaskRunner(max_workers=workers)
    done: list[Done] = curate_corpora.with_options(task_runner=runner)(str(pipeline_file))
    return done
