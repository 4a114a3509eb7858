"""The whole path: what a run promises of its tables, whatever happens to it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest
from prefect.flows import load_flow_from_entrypoint

from curate.catalog import Catalog
from curate.schema import DECISIONS, RUNS, SPLITS, TRIALS, UTTERANCES
from flows.pipeline import run

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("prefect_server")]
TIMED = (RUNS.name,)  # the one table whose bytes depend on when it was made
KILLED_RUN = Path(__file__).with_name("killed_run.py")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, write_pipeline, prefect_server) -> Path:
    """The catalog of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(write_pipeline(folder))
    return folder / "catalog"


def test_a_second_run_does_nothing_and_leaves_every_table_as_it_is(undisturbed, write_pipeline, contents):
    before = contents(undisturbed)
    done = run(write_pipeline(undisturbed.parent))
    assert not any(step.changed for step in done)
    assert contents(undisturbed) == before


def test_every_utterance_has_exactly_one_verdict(undisturbed):
    decisions = Catalog(undisturbed).read(DECISIONS).filter(pc.field("subject") == "utterance")
    utterances = Catalog(undisturbed).read(UTTERANCES)
    assert sorted(decisions["subject_id"].to_pylist()) == sorted(utterances["utterance_id"].to_pylist())


def test_the_same_inputs_give_the_same_bytes_in_another_folder(undisturbed, tmp_path, write_pipeline, contents):
    run(write_pipeline(tmp_path))
    assert contents(tmp_path / "catalog", without=TIMED) == contents(undisturbed, without=TIMED)


def test_another_seed_gives_other_splits_and_trials_and_nothing_else(undisturbed, tmp_path, write_pipeline, contents):
    done = run(write_pipeline(tmp_path, seed=2))
    ours, theirs = (Catalog(root) for root in (tmp_path / "catalog", undisturbed))
    assert all(ours.read(table) != theirs.read(table) for table in (SPLITS, TRIALS))
    assert ours.read(DECISIONS) == theirs.read(DECISIONS)
    assert all(step.changed for step in done)


def test_another_cleaning_threshold_recomputes_cleaning_and_what_follows_but_no_embedding(tmp_path, write_pipeline):
    run(write_pipeline(tmp_path))
    blocks = {file: file.stat().st_mtime_ns for file in (tmp_path / "catalog" / "cache" / "embeddings").rglob("*")}
    done = run(write_pipeline(tmp_path, iqr_factor=0.5))
    changed = [step.step for step in done if step.changed]
    assert changed == ["clean", "identities", "split", "trials", "score"]
    assert {file: file.stat().st_mtime_ns for file in blocks} == blocks


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (1, "before"),
        (4, "after"),
        (7, "before"),
        (10, "after"),
        (13, "before"),
        (16, "after"),
        (20, "before"),
        (25, "after"),
        (30, "before"),
        (35, "after"),
        (40, "before"),
    ],
)
def test_after_a_kill_the_next_run_ends_in_the_same_tables(
    number, moment, undisturbed, tmp_path, write_pipeline, contents
):
    pipeline = write_pipeline(tmp_path)
    killed = subprocess.run(
        [sys.executable, KILLED_RUN, pipeline, str(number), moment],
        capture_output=True,
        env=os.environ | {"PREFECT_LOGGING_LEVEL": "CRITICAL"},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    run(pipeline)
    assert contents(tmp_path / "catalog", without=TIMED) == contents(undisturbed, without=TIMED)
    assert not any(step.changed for step in run(pipeline))
    assert not list((tmp_path / "catalog").glob("[a-z]*/*.new"))


def test_the_flow_can_be_served_under_its_entrypoint_with_the_pipeline_file_as_its_only_parameter():
    flow = load_flow_from_entrypoint(f"{Path(__file__).parents[2] / 'flows' / 'pipeline.py'}:curate_corpora")
    deployment = flow.to_deployment("nightly")
    assert deployment.entrypoint.endswith("pipeline.py:curate_corpora")
    assert list(flow.parameters.properties) == ["pipeline_file"]
