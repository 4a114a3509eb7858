"""The catalog that loads are measured on is what a run leaves, and a step that grows faster than its law is told."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.speed.load import LAWS, growth
from benchmarks.speed.load_made import EXTRACTOR, Chunk, make, planned
from curate.blocks import read_vectors
from curate.catalog import Catalog
from curate.config import load_pipeline
from curate.decisions import Author
from curate.duplicates import judge_duplicates
from curate.presets import Duplicates
from curate.schema import DECISIONS, EMBEDDINGS, SOUND_PRINTS, UTTERANCES
from curate.vectors import JUDGED

NUM, SPEAKERS = 3_000, 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("load")
    plan = planned(NUM, SPEAKERS, dimension=16, landmarks_a_second=6.0, seed=1)
    return plan, load_pipeline(make(folder, plan))


def test_all_utterances_are_there_and_those_that_are_fit_are_heard(made):
    plan, pipeline = made
    catalog = Catalog(pipeline.catalog)
    utterances, gone = catalog.read(UTTERANCES), catalog.read(DECISIONS).select(JUDGED.names)
    ids = set(utterances["utterance_id"].to_pylist())
    assert len(ids) == NUM == plan.count.sum()
    assert len(utterances["speaker_id"].unique()) == SPEAKERS
    heard, _ = read_vectors(catalog, [EXTRACTOR])
    assert heard.equals(catalog.read(SOUND_PRINTS)["utterance_id"])
    assert {*heard.to_pylist()} == ids - {*gone["subject_id"].to_pylist()}
    damaged = utterances.filter(pc.is_valid(utterances["damage"]))
    assert {*damaged["utterance_id"].to_pylist()} <= {*gone["subject_id"].to_pylist()}
    assert catalog.parts(UTTERANCES) == sorted(corpus.name for corpus in pipeline.corpora)


def test_utterances_of_a_label_are_alike_and_of_two_are_not(made):
    _, pipeline = made
    ids, vectors = read_vectors(Catalog(pipeline.catalog), [EXTRACTOR])
    label = np.array([one.split("/v")[0] for one in ids.to_pylist()])
    same = [vectors[label == one] @ vectors[label == one].T for one in np.unique(label)]
    assert 0.5 < np.median(np.concatenate([one.ravel() for one in same])) < 0.9
    assert np.median(vectors @ vectors.T) < 0.3


def test_a_plan_makes_the_same_catalog_again(made, tmp_path):
    plan, pipeline = made
    again = Catalog(load_pipeline(make(tmp_path, plan)).catalog)
    for table in (UTTERANCES, EMBEDDINGS, SOUND_PRINTS, DECISIONS):
        for part in again.parts(table):
            assert again.path(table, part).read_bytes() == Catalog(pipeline.catalog).path(table, part).read_bytes()


def test_the_copies_that_were_planted_are_found(made):
    plan, pipeline = made
    catalog = Catalog(pipeline.catalog)
    ids, vectors = read_vectors(catalog, [EXTRACTOR])
    rows = catalog.read(UTTERANCES).sort_by("utterance_id")
    rows = rows.filter(pc.is_in(rows["utterance_id"], value_set=ids.combine_chunks()))
    author = Author(rule="toy", step="duplicates", run_id="r")
    found = judge_duplicates(rows, catalog.read(SOUND_PRINTS), vectors, settings=Duplicates(), author=author)
    chunks = [Chunk(plan, name, labels) for name in plan.corpus for labels in plan.chunks(name)]
    planted = [one for chunk in chunks for one in chunk.ids.filter(pa.array(chunk.is_copy)).to_pylist()]
    assert planted
    gone = {*found["subject_id"].to_pylist(), *found["other_id"].to_pylist()}
    assert len({*planted} & gone) >= 0.6 * len(planted)  # of the short ones there are too few landmarks


def lines(tmp_path, size, **seconds):
    file = tmp_path / f"{size}.jsonl"
    of_size = {"utterances": size, "speakers": size // 50, "wall_s": 0.0, "told": ""}
    rows = [of_size | {"step": step, "processor_s": s, "peak_mb": mb} for step, (s, mb) in seconds.items()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize(
    ("before", "after", "well"),
    [
        ((12.0, 100), (102.0, 900), True),
        ((12.0, 100), (302.0, 900), False),
        ((12.0, 100), (102.0, 8_001), False),
        ((4.5, 100), (302.0, 900), True),
        ((12.0, 100), (1.5, 900), True),
    ],
    ids=["as its law", "beyond its law", "beyond the memory", "too short to tell", "sooner than it starts"],
)
def test_a_step_that_grows_faster_than_its_law_or_takes_more_memory_is_told(tmp_path, capsys, before, after, well):
    before = lines(tmp_path, 1_000_000, start=(2.0, 100), ages=before)
    file = lines(tmp_path, 10_000_000, start=(2.0, 100), ages=after)
    assert growth([before, file]) == well
    assert ("beyond its law" in capsys.readouterr().out) != well


def test_every_step_of_a_run_has_a_law():
    from flows.steps import AFTER_INGEST

    assert set(AFTER_INGEST) - {"embed"} <= set(LAWS)
