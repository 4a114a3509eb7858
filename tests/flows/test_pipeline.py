"""The whole path: what a run promises of its tables, whatever happens to it."""

import shutil
import threading
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest
from prefect import flow, task
from prefect.flows import load_flow_from_entrypoint

import flows.pipeline
from curate.catalog import Catalog
from curate.embed import embed_block
from curate.explain import explain
from curate.runs import last_done
from curate.schema import DECISIONS, EMBEDDINGS, RUNS, SPLITS, TRIALS, UTTERANCE_SCORES, UTTERANCES
from flows.pipeline import curate_corpora, run
from flows.runners import at_most

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("prefect_server")]
TIMED = (RUNS.name,)  # the one table whose bytes depend on when it was made
CORPUS = '[[corpora]]\nname = "{name}"\nreader = "librispeech"\nroot = "{root}"\ninclude = ["{include}"]\n'


def add_corpus(file: Path, root: Path, name: str, include: str) -> None:
    file.write_text(file.read_text() + CORPUS.format(name=name, root=root, include=include))


class Crowd:
    """How many were in it at once, at most."""

    def __init__(self):
        self.lock, self.inside, self.most = threading.Lock(), 0, 0

    def __enter__(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *error):
        with self.lock:
            self.inside -= 1


@pytest.fixture(scope="module")
def undisturbed(small_run) -> Path:
    """The catalog of a run that nothing disturbed."""
    return small_run.with_name("catalog")


def test_a_second_run_does_nothing_and_leaves_every_table_as_it_is(undisturbed, tmp_path, write_pipeline, contents):
    shutil.copytree(undisturbed, tmp_path / "catalog")
    done = run(write_pipeline(tmp_path))
    assert not any(step.changed for step in done)
    assert contents(tmp_path / "catalog") == contents(undisturbed)


def test_every_utterance_has_exactly_one_verdict(undisturbed):
    decisions = Catalog(undisturbed).read(DECISIONS).filter(pc.field("subject") == "utterance")
    utterances = Catalog(undisturbed).read(UTTERANCES)
    assert sorted(decisions["subject_id"].to_pylist()) == sorted(utterances["utterance_id"].to_pylist())


def test_a_corpus_that_repeats_the_audio_of_another_is_dropped_as_duplicates(tmp_path, write_pipeline, corpora):
    file = write_pipeline(tmp_path)
    add_corpus(file, corpora / "LibriSpeech", "zwei", "test-other/1688/*[0-3].flac")
    run(file)
    catalog = Catalog(tmp_path / "catalog")
    ids, decisions = catalog.read(UTTERANCES)["utterance_id"].to_pylist(), catalog.read(DECISIONS)
    copies = decisions.filter(pc.field("reason") == "duplicate").select(["subject_id", "other_id"]).to_pylist()
    assert {row["subject_id"]: row["other_id"] for row in copies} == {
        one: one.replace("zwei/", "one/") for one in ids if one.startswith("zwei/")
    }
    assert copies
    about = decisions.filter(pc.field("subject") == "utterance")["subject_id"].to_pylist()
    assert sorted(about) == sorted(ids)
    assert set(catalog.read(EMBEDDINGS)["utterance_id"].to_pylist()) == set(ids)
    assert not any(one.startswith("zwei/") for one in catalog.read(UTTERANCE_SCORES)["utterance_id"].to_pylist())
    (summary,) = (row["summary"] for row in last_done(catalog) if row["step"] == "duplicates")
    assert summary == f"{len(copies)} the same samples, 0 the same recording changed"
    (story,) = [line for line in explain(catalog, copies[0]["subject_id"]) if "duplicate" in line]
    why = f"dropped, duplicate: the same samples as {copies[0]['other_id']}. By the rule `samples and landmarks`"
    assert story.startswith(f"The utterance was {why}")


def test_the_same_inputs_give_the_same_bytes_in_another_folder(undisturbed, tmp_path, write_pipeline, contents):
    run(write_pipeline(tmp_path))
    assert contents(tmp_path / "catalog", without=TIMED) == contents(undisturbed, without=TIMED)


def test_another_seed_gives_other_splits_and_trials_and_nothing_else(undisturbed, tmp_path, write_pipeline, contents):
    done = run(write_pipeline(tmp_path, seed=2))
    ours, theirs = (Catalog(root) for root in (tmp_path / "catalog", undisturbed))
    assert all(ours.read(table) != theirs.read(table) for table in (SPLITS, TRIALS))
    assert ours.read(DECISIONS) == theirs.read(DECISIONS)
    assert all(step.changed for step in done)


def test_another_cleaning_threshold_recomputes_cleaning_and_what_follows_but_no_embedding(
    undisturbed, tmp_path, write_pipeline
):
    shutil.copytree(undisturbed, tmp_path / "catalog")
    blocks = {file: file.stat().st_mtime_ns for file in (tmp_path / "catalog" / "cache" / "embeddings").rglob("*")}
    done = run(write_pipeline(tmp_path, iqr_factor=0.5))
    changed = [step.step for step in done if step.changed]
    assert changed == ["clean", "review", "identities", "ages", "split", "trials", "leakage", "score"]
    assert {file: file.stat().st_mtime_ns for file in blocks} == blocks


def test_no_more_jobs_are_under_way_than_there_are_workers_and_none_is_lost():
    crowd = Crowd()

    @task
    def job(number: int) -> int:
        with crowd:
            time.sleep(0.05)
        return number

    @flow
    def many() -> list[int]:
        return [future.result() for future in at_most(2, job.submit, range(7))]

    assert sorted(many()) == list(range(7))
    assert crowd.most == 2


def test_a_served_flow_keeps_to_the_workers_of_its_pipeline_file(tmp_path, write_pipeline, monkeypatch):
    """Served, it has the runner of Prefect's choice, not the one that `run` gives it."""
    crowd = Crowd()

    def slowly(*arguments, **options):
        with crowd:
            time.sleep(0.2)
            return embed_block(*arguments, **options)

    monkeypatch.setattr(flows.pipeline, "embed_block", slowly)
    curate_corpora(str(write_pipeline(tmp_path)))
    assert crowd.most == 2


def test_the_faults_of_all_corpora_are_told_at_once(undisturbed, tmp_path, write_pipeline, curate):
    """Of a catalog that was complete, too: what finds that there is nothing to do stops at the first fault."""
    shutil.copytree(undisturbed, tmp_path / "catalog")
    file = write_pipeline(tmp_path)
    for name in ("three", "four"):
        (tmp_path / name).mkdir()
        file.write_text(f'{file.read_text()}[[corpora]]\nname = "{name}"\nreader = "folder"\nroot = "{name}"\n')
    result = curate("run", file)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    said = result.stderr.splitlines()[-1]
    assert said.startswith("curate: corpus 'four': no audio in")
    assert "; corpus 'three': no audio in" in said


def test_every_corpus_that_is_not_there_is_told_at_once(tmp_path, write_pipeline, curate):
    file = write_pipeline(tmp_path)
    for name in ("three", "four"):
        add_corpus(file, tmp_path / f"no-{name}", name, "*")
    (said,) = curate("run", file).stderr.splitlines()
    assert all(f"corpus '{name}': no folder" in said for name in ("three", "four"))


def test_a_prefect_server_that_does_not_answer_is_told_in_one_line(tmp_path, write_pipeline, curate, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # nobody is at the port for discarding
    result = curate("run", write_pipeline(tmp_path))
    expected = "curate: PREFECT_API_URL http://127.0.0.1:9/api: no Prefect server answers; expected one there, or the"
    assert result.returncode == 1
    (said,) = result.stderr.splitlines()
    assert said == f"{expected} variable unset"


def test_the_flow_can_be_served_under_its_entrypoint_with_the_pipeline_file_and_a_runner_as_parameters():
    flow = load_flow_from_entrypoint(f"{Path(__file__).parents[2] / 'flows' / 'pipeline.py'}:curate_corpora")
    deployment = flow.to_deployment("nightly")
    assert deployment.entrypoint.endswith("pipeline.py:curate_corpora")
    assert list(flow.parameters.properties) == ["pipeline_file", "runner"]
