"""The steps that build and score a benchmark, the order of all steps, and what is written at the end.

A step is made from the pipeline and the catalog, which costs little; it computes only when it is carried out and not
current.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.evaluation import result_rows
from benchmarks.leakage_report import conclusion, told
from benchmarks.list_files import list_names, write_voxceleb
from benchmarks.metrics import Costs
from benchmarks.protocol import Metric
from benchmarks.scoring import cosine_scores
from benchmarks.splits import split_speakers
from benchmarks.trials import make_trials
from curate import whole
from curate.blocks import keep_rows, read_vectors
from curate.catalog import Catalog, write_text
from curate.config import Pipeline
from curate.errors import PipelineError
from curate.explain import counted, nothing_left
from curate.publish import OF_AGES, OF_DECISIONS, OF_SPLITS, OF_UTTERANCES, card
from curate.query import write_database
from curate.runs import Result, Step
from curate.scan import tables_of
from curate.schema import (
    AGE_LABELS,
    CALIBRATIONS,
    CORPORA,
    DECISIONS,
    EMBEDDINGS,
    ENROLMENTS,
    IDENTITIES,
    LEAKS,
    PUBLISHED_TRIALS,
    RESULTS,
    SOUND_PRINTS,
    SPLITS,
    TRIALS,
    UTTERANCES,
)
from curate.similarity import unit
from flows import seeds
from flows.code import CODE, LEAKING
from flows.embedding import embed, encoder
from flows.judging import ages, clean, deciding, duplicates, identities, left, review
from flows.leaking import measured
from flows.reading import built, ingest, register, require_own_catalog, scan

ABOUT_A_PAIR = ["utterance_id", "session_id", "sex", "corpus", "path"]  # what the rules of trials look at
COST_KEYS = ("p_target", "cost_miss", "cost_false_accept")  # of [trials], and of scoring alone


# -------------------------------------------------------------------------------------------- split, trials, score


def split(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Draw the test speakers. Raises PipelineError for a pipeline without `[splits]`, and where nobody is left."""
    if pipeline.splits is None:
        raise PipelineError(f"{pipeline.name}: no section `[splits]`; expected one that says who is in the test")
    settings = asdict(pipeline.splits)

    def draw(step: Step) -> Result:
        utterances = left(catalog, ["utterance_id", "corpus", "speaker_id", "sex"])
        if not len(utterances):
            raise PipelineError(
                f"splits: nothing is left of {nothing_left(catalog)}; expected rules that leave some (without "
                "`[splits]` the run goes to its end, and `curate why ID` says more of each)"
            )
        rows = split_speakers(
            utterances,
            catalog.read(IDENTITIES),
            benchmark=pipeline.name,
            **settings,
            rng=np.random.default_rng([pipeline.seed, seeds.SPLIT]),
        )
        test = rows.filter(pc.field("split") == "test")
        people = counted(len(test["identity_id"].unique()), "person", "people")
        train = counted(len(rows) - len(test), "utterance")
        return [rows], f"test: {counted(len(test), 'utterance')} of {people}; train: {train}"

    return Step(
        catalog=catalog,
        name="split",
        part=pipeline.name,
        settings=settings | {"seed": pipeline.seed},
        code=CODE,
        reads=[UTTERANCES, *deciding(catalog), (IDENTITIES, "all")],
        publishes=[(SPLITS, pipeline.name)],
        compute=draw,
    )


def trials(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Draw the trials."""
    settings = {key: value for key, value in asdict(pipeline.trials).items() if key not in COST_KEYS}

    def draw(step: Step) -> Result:
        splits = catalog.read(SPLITS, pipeline.name, columns=["utterance_id", "identity_id", "split"])
        told = left(catalog, [*ABOUT_A_PAIR, "speaker_id"])
        test = splits.filter(pc.field("split") == "test")
        place = pc.index_in(told["utterance_id"], value_set=test["utterance_id"].combine_chunks()).combine_chunks()
        person = test["identity_id"].combine_chunks().take(place.drop_null())
        test = told.filter(place.is_valid()).append_column("identity_id", person)
        rng = np.random.default_rng([pipeline.seed, seeds.TRIALS])
        rows = make_trials(test, benchmark=pipeline.name, **settings, rng=rng)
        targets = pc.sum(rows["is_target"]).as_py()
        return [rows], f"{counted(targets, 'target')}, {counted(len(rows) - targets, 'nontarget')}"

    return Step(
        catalog=catalog,
        name="trials",
        part=pipeline.name,
        settings=settings | {"seed": pipeline.seed},
        code=CODE,
        reads=[UTTERANCES, *deciding(catalog), (SPLITS, pipeline.name)],
        publishes=[(TRIALS, pipeline.name)],
        compute=draw,
    )


def leakage(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Look for what the splits share, and should not."""
    listener = encoder(pipeline)

    def look(step: Step) -> Result:
        found = measured(catalog, pipeline.name)
        return [found], conclusion(found)

    return Step(
        catalog=catalog,
        name="leakage",
        part=pipeline.name,
        settings={},
        code=LEAKING,
        reads=[
            UTTERANCES,
            *deciding(catalog),
            *((DECISIONS, "identities"), (IDENTITIES, "all"), (CALIBRATIONS, "all"), (SPLITS, pipeline.name)),
            *((EMBEDDINGS, listener.name), (SOUND_PRINTS, listener.name)),
        ],
        publishes=[(LEAKS, pipeline.name)],
        compute=look,
    )


def score(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Score the trials by the extractor itself."""
    listener = encoder(pipeline)
    p_target, miss, false_accept = (asdict(pipeline.trials)[key] for key in COST_KEYS)
    costs = Costs(p_target=p_target, miss=miss, false_accept=false_accept)
    metrics = [
        Metric(name="eer"),
        Metric(name="min_dcf", p_target=p_target, cost_miss=miss, cost_false_accept=false_accept),
    ]

    def compare(step: Step) -> Result:
        asked = catalog.read(TRIALS, pipeline.name)
        sides = sides_of(asked)
        ids, vectors = read_vectors(catalog, [listener.name])
        is_side = pc.is_in(ids, value_set=sides)
        scores = cosine_scores(asked, ids.filter(is_side), unit(keep_rows(vectors, is_side.to_numpy()), overwrite=True))
        splits = catalog.read(SPLITS, pipeline.name, columns=["utterance_id", "identity_id"])
        splits = splits.filter(pc.is_in(splits["utterance_id"], value_set=sides))
        identity = dict(zip(*(splits[c].to_pylist() for c in ("utterance_id", "identity_id")), strict=True))
        rng = np.random.default_rng([pipeline.seed, seeds.INTERVALS])
        system = listener.name
        rows = result_rows(
            scores,
            asked,
            identity,
            benchmark=pipeline.name,
            list_name="test",
            system=system,
            metrics=metrics,
            rng=rng,
        )
        eer, dcf = rows["value"].to_pylist()
        return [rows], f"EER {100 * eer:.2f} %, minDCF {dcf:.4f} ({listener.name})"

    return Step(
        catalog=catalog,
        name="score",
        part=pipeline.name,
        settings=asdict(costs) | {"system": listener.name, "seed": pipeline.seed},
        code=CODE,
        reads=[(SPLITS, pipeline.name), (TRIALS, pipeline.name), (EMBEDDINGS, listener.name)],
        publishes=[(RESULTS, pipeline.name)],
        compute=compare,
    )


# ------------------------------------------------------------------------------------------------ order, and the end


def forget_others(pipeline: Pipeline, catalog: Catalog) -> None:
    """Take away the parts of corpora, encoders and steps that the pipeline file does not name any more."""
    names = {corpus.name for corpus in pipeline.corpora}
    for table in (UTTERANCES, ENROLMENTS, PUBLISHED_TRIALS):
        catalog.keep_only(table, {corpus.name for corpus in pipeline.corpora if table in tables_of(corpus)})
    steps = {"embed", "duplicates", "clean", "review", "identities"}
    catalog.keep_only(DECISIONS, {f"ingest-{name}" for name in names} | steps)
    for table in (EMBEDDINGS, SOUND_PRINTS):
        catalog.keep_only(table, {encoder(pipeline).name})
    if pipeline.splits is None:
        for table in (SPLITS, TRIALS, LEAKS):
            catalog.keep_only(table, built(catalog))
        own = {
            part for part in catalog.parts(RESULTS) if part == pipeline.name or part.startswith(f"{pipeline.name}--")
        }
        catalog.keep_only(RESULTS, set(catalog.parts(RESULTS)) - own)


AFTER_INGEST: dict[str, Callable[[Pipeline, Catalog], Step]] = {
    "embed": embed,
    "duplicates": duplicates,
    "clean": clean,
    "review": review,
    "identities": identities,
    "ages": ages,
    "split": split,
    "trials": trials,
    "leakage": leakage,
    "score": score,
}
OF_THE_BENCHMARK = ("split", "trials", "leakage", "score")


def after_ingest(pipeline: Pipeline) -> list[str]:
    """The names of its steps in their order: without `[splits]` it ends with the ages."""
    return [name for name in AFTER_INGEST if pipeline.splits is not None or name not in OF_THE_BENCHMARK]


def is_complete(pipeline: Pipeline, catalog: Catalog) -> bool:
    """Whether a run would find nothing to do. Scans the corpora: a fault in them is told here as it would be there."""
    require_own_catalog(pipeline, catalog)
    if not catalog.parts(AGE_LABELS if pipeline.splits is None else RESULTS):
        return False
    for corpus in pipeline.corpora:
        scan(pipeline, catalog, corpus.name)
    first = [register(pipeline, catalog), *(ingest(pipeline, catalog, corpus.name) for corpus in pipeline.corpora)]
    every = [*first, *(AFTER_INGEST[name](pipeline, catalog) for name in after_ingest(pipeline))]
    return all(step.is_current and step.is_noted for step in every)


def finish(pipeline: Pipeline, catalog: Catalog) -> list[Path]:
    """Write what is made from the tables: the card, the trials as a VoxCeleb list, and the database of views.

    A file changes only where its content does. Without `[splits]` there are no trials, and no list of them.
    """
    drawn = {} if pipeline.splits is None else _drawn(catalog, pipeline.name)
    decisions = [*deciding(catalog), (DECISIONS, "identities")]
    text = card(
        pipeline,
        corpora=catalog.read(CORPORA),
        utterances=catalog.read(UTTERANCES, columns=OF_UTTERANCES),
        decisions=pa.concat_tables(catalog.read(*part, columns=OF_DECISIONS) for part in decisions),
        identities=catalog.read(IDENTITIES),
        calibrations=catalog.read(CALIBRATIONS),
        age_labels=catalog.read(AGE_LABELS, columns=OF_AGES),
        **drawn,
    )
    card_path, list_path = catalog.root / "README.md", catalog.root / "lists" / f"{pipeline.name}.txt"
    write_text(card_path, text)
    if drawn:
        write_voxceleb(list_path, drawn["trials"], list_names(_asked(catalog, drawn["trials"])))
    else:
        whole.remove(list_path)
    return [card_path, *([list_path] if drawn else []), write_database(catalog)]


def _asked(catalog: Catalog, trials: pa.Table) -> pa.Table:
    """What a list calls the utterances of these trials by."""
    rows = catalog.read(UTTERANCES, columns=["utterance_id", "corpus", "path"])
    return rows.filter(pc.is_in(rows["utterance_id"], value_set=sides_of(trials)))


def sides_of(trials: pa.Table) -> pa.Array:
    """Each utterance of them once."""
    return pa.chunked_array([*trials["enrol_id"].chunks, *trials["test_id"].chunks], pa.string()).unique()


def _drawn(catalog: Catalog, benchmark: str) -> dict[str, Any]:
    leaks = catalog.read(LEAKS, benchmark)
    columns = {SPLITS: OF_SPLITS, TRIALS: None, RESULTS: None}
    rows = {table.name: catalog.read(table, benchmark, columns=asked) for table, asked in columns.items()}
    return rows | {"leakage": (conclusion(leaks), [one.cells for one in told(leaks)])}
