"""`curate plant` on real speech: a catalog of its own, told by its truth, on which the whole tool runs."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.planting.account import Judged
from benchmarks.planting.faults import Fault, Planting
from curate import audio
from curate.blocks import matrix
from curate.catalog import Catalog, read_parquet
from curate.config import load_pipeline
from curate.decisions import Author, verdicts
from curate.embed import embed_block
from curate.errors import VoxcurateError
from curate.landmarks import landmarks, samples_sha256
from curate.reasons import Reason, Subject, Verdict
from curate.schema import DECISIONS, EMBEDDINGS, IDENTITIES, SOUND_PRINTS, UTTERANCE_SCORES, UTTERANCES
from flows import planting
from flows.embedding import block_store, blocks_to_embed, embed, embedded, encoder, sound_prints
from flows.judging import clean, duplicates
from flows.plant import plant
from flows.reading import ingest, register, scan
from tests.flows.pipelines_made import ONE_AND_TWO

app = typer.Typer(rich_markup_mode=None)
app.command()(plant)

PIPELINE = f"""
name = "small"
catalog = "catalog"
{ONE_AND_TWO}
[splits]
num_test_speakers = 4
"""


def fill(pipeline_file: Path) -> Catalog:
    """What a run does up to the duplicates, here and at once."""
    pipeline = load_pipeline(pipeline_file)
    catalog = Catalog(pipeline.catalog)
    for corpus in pipeline.corpora:
        scan(pipeline, catalog, corpus.name)
        ingest(pipeline, catalog, corpus.name).carry_out()
    register(pipeline, catalog).carry_out()
    planned = blocks_to_embed(pipeline, catalog)
    for block in planned.blocks(100):
        embed_block(block, encoder(pipeline), block_store(pipeline, catalog))
    embed(pipeline, catalog).carry_out()
    duplicates(pipeline, catalog).carry_out()
    return catalog


@pytest.fixture(scope="module")
def write(corpora):
    def written(folder: Path) -> Path:
        root = corpora / "LibriSpeech"
        (folder / "small.toml").write_text(PIPELINE.format(libri=root), encoding="utf-8")
        return folder / "small.toml"

    return written


@pytest.fixture(scope="module")
def small(write, tmp_path_factory) -> Path:
    pipeline_file = write(tmp_path_factory.mktemp("small"))
    fill(pipeline_file)
    return pipeline_file


def asked(small: Path, to: Path, *words: str):
    return CliRunner().invoke(app, [str(small), "--to", str(to), *words])


def hashes(root: Path) -> dict[str, str]:
    files = (file for file in sorted(root.rglob("*")) if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


SOUNDS = ("--noise", "0.08", "--silence", "0.04", "--duplicate", "0.2", "--duplicate-by", "offset,codec", "--seed", "2")
LABELS = ("--wrong-speaker", "0.08", "--split", "0.2")


@pytest.fixture(scope="module")
def sounding(small, tmp_path_factory) -> Path:
    to = tmp_path_factory.mktemp("planted") / "all"
    done = asked(small, to, *SOUNDS, *LABELS)
    assert done.exit_code == 0, done.output
    return to


@pytest.fixture(scope="module")
def again(sounding) -> Catalog:
    """The planted corpora as a run takes them."""
    return fill(sounding / planting.PIPELINE_FILE)


@pytest.mark.real
def test_the_catalog_that_is_planted_into_stays_as_it_was(small, tmp_path):
    before = hashes(small.parent)
    assert asked(small, tmp_path / "planted", *LABELS, "--evaluate").exit_code == 0
    assert hashes(small.parent) == before


@pytest.mark.real
def test_the_planted_folder_is_a_catalog_that_differs_by_what_its_truth_says(small, sounding):
    pipeline = load_pipeline(small)
    given, vectors = embedded(pipeline, Catalog(pipeline.catalog))
    was = dict(zip(given["utterance_id"].to_pylist(), zip(given.to_pylist(), vectors, strict=True), strict=True))
    found, new_vectors = embedded(pipeline, Catalog(sounding))
    heard = dict(zip(found["utterance_id"].to_pylist(), new_vectors, strict=True))
    known, new = (
        {row.pop("utterance_id"): row for row in sound_prints(pipeline, catalog).to_pylist()}
        for catalog in (Catalog(pipeline.catalog), Catalog(sounding))
    )
    assert new.keys() == heard.keys()
    truth = {row["utterance_id"]: row for row in read_parquet(sounding / planting.TRUTH_FILE).to_pylist()}
    assert sorted({row["fault"] for row in truth.values()}) == [
        *("duplicate", "noise", "silence", "split", "wrong_speaker")
    ]
    for row in Catalog(sounding).read(UTTERANCES).to_pylist():
        told = truth.get(row["utterance_id"])
        original, vector = was[told["original_id"] if told else row["utterance_id"]]
        if told is None:
            assert row == original
        if told is None or told["fault"] in ("split", "wrong_speaker"):
            assert row["content_sha256"] == original["content_sha256"]
            assert np.array_equal(heard[row["utterance_id"]], vector)
            assert new[row["utterance_id"]] == known[original["utterance_id"]]
        elif told["fault"] != "silence":
            cosine = np.dot(heard[row["utterance_id"]], vector) / np.linalg.norm(heard[row["utterance_id"]])
            assert 0.3 < cosine / np.linalg.norm(vector) < 0.9999
            waveform = audio.decode(sounding / "audio" / row["corpus"] / row["path"], sample_rate_hz=16_000)
            assert new[row["utterance_id"]]["landmarks"] == landmarks(waveform, 16_000).tolist()
            assert new[row["utterance_id"]]["samples_sha256"] == samples_sha256(waveform)
    dropped = Catalog(sounding).read(DECISIONS).to_pylist()
    assert [(row["subject_id"], row["reason"]) for row in dropped] == [
        (one, Reason.SILENT) for one, row in truth.items() if row["fault"] == "silence"
    ]


@pytest.mark.real
def test_the_whole_tool_runs_on_what_was_planted_and_hears_nothing_again(sounding, again):
    catalog, run = Catalog(sounding), load_pipeline(sounding / planting.PIPELINE_FILE)
    assert len(block_store(run, again).files()) == 2  # what was known, and what was altered: no block was added
    as_planted = {row["utterance_id"]: row for row in catalog.read(UTTERANCES).to_pylist()}
    as_read = {row["utterance_id"]: row for row in again.read(UTTERANCES).to_pylist()}
    assert as_read == as_planted
    one, two = (side.read(EMBEDDINGS).sort_by("utterance_id") for side in (catalog, again))
    assert one["utterance_id"].equals(two["utterance_id"])
    assert np.array_equal(matrix(one["vector"]), matrix(two["vector"]))
    one, two = (side.read(SOUND_PRINTS).sort_by("utterance_id") for side in (catalog, again))
    assert one.equals(two)


@pytest.mark.real
def test_what_was_planted_twice_is_found_by_an_evaluation_and_by_a_run(sounding, again):
    truth = read_parquet(sounding / planting.TRUTH_FILE).to_pylist()
    twins = {frozenset((row["utterance_id"], row["original_id"])) for row in truth if row["fault"] == "duplicate"}
    assert len(twins) == 5
    run = load_pipeline(sounding / planting.PIPELINE_FILE)
    rows = again.read(DECISIONS, "duplicates").to_pylist()
    assert {frozenset((row["subject_id"], row["other_id"])) for row in rows} == twins
    assert {row["reason"] for row in rows} == {Reason.NEAR_DUPLICATE}
    clean(run, again).carry_out()
    scored = again.read(UTTERANCE_SCORES)["utterance_id"].to_pylist()
    assert set(scored) == set(again.read(EMBEDDINGS)["utterance_id"].to_pylist()) - {row["subject_id"] for row in rows}
    told = planting.evaluate(run, sounding, planting.preset_named("robust", run)).faults
    assert (told[Fault.DUPLICATE].found.sum(), told[Fault.DUPLICATE].planted.sum()) == (5, 5)


@pytest.mark.real
def test_nothing_is_planted_into_what_is_there_twice_already(small, tmp_path, corpora):
    more = (
        '[[corpora]]\nname = "three"\nreader = "librispeech"\nroot = "{}"\ninclude = ["test-other/1688/*[0-3].flac"]\n'
    )
    text = small.read_text(encoding="utf-8") + more.format(corpora / "LibriSpeech")
    (tmp_path / "small.toml").write_text(text, encoding="utf-8")
    shutil.copytree(small.parent / "catalog" / "cache", tmp_path / "catalog" / "cache")  # hears nothing again
    catalog = fill(tmp_path / "small.toml")
    ids = catalog.read(EMBEDDINGS)["utterance_id"].to_pylist()
    copies = {row["subject_id"]: row["other_id"] for row in catalog.read(DECISIONS, "duplicates").to_pylist()}
    assert copies == {one: one.replace("three/", "one/") for one in ids if one.startswith("three/")}
    given = planting.source(tmp_path / "small.toml", load_pipeline(tmp_path / "small.toml"))
    assert given.utterances["utterance_id"].to_pylist() == sorted(set(ids) - copies.keys())
    assert len(given.vectors) == len(given.prints) == len(given.utterances) == 24


@pytest.mark.real
def test_the_same_seed_plants_the_same_bytes_and_what_is_there_is_not_planted_again(small, sounding, tmp_path):
    again = tmp_path / "again"
    assert asked(small, again, *SOUNDS, *LABELS).exit_code == 0
    own = ("planted.toml", "corpora/all.parquet")  # they say where it lies

    def planted(root: Path) -> dict[str, str]:
        cached = ("run/", "writer.lock")
        return {name: one for name, one in hashes(root).items() if not name.startswith(cached) and name not in own}

    assert planted(again) == planted(sounding)
    assert "planted before" in asked(small, again, *SOUNDS, *LABELS).output
    other = asked(small, again, "--wrong-speaker", "0.1")
    assert isinstance(other.exception, VoxcurateError)
    assert "is there already, and holds something else" in str(other.exception)


@pytest.mark.real
def test_levels_seeds_and_presets_stand_side_by_side_in_one_report(small, tmp_path):
    words = ("--wrong-speaker", "0.1", "--levels", "0.1,0.2", "--seeds", "2", "--evaluate")
    done = asked(small, tmp_path, *words, "--preset", "vietsv", "--preset", "robust")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [(one["preset"], one["share"], one["num_plantings"]) for one in report["told"]] == [
        ("vietsv", "0.1", 2),
        ("robust", "0.1", 2),
        ("vietsv", "0.2", 2),
        ("robust", "0.2", 2),
    ]
    planted = [one["faults"]["wrong_speaker"]["planted"] for one in report["told"]]
    assert planted == [4, 4, 10, 10]  # of 24 utterances 2 and 5, twice
    assert (tmp_path / "report.md").read_text(encoding="utf-8").strip() in done.output


@pytest.mark.real
def test_a_rule_that_knows_the_truth_finds_all_and_one_that_drops_everything_loses_all(small, tmp_path):
    pipeline, to = load_pipeline(small), tmp_path / "planted"
    given = planting.source(small, pipeline)
    planting.plant(given, Planting(wrong_speaker=0.25), to)
    truth = read_parquet(to / planting.TRUTH_FILE)["utterance_id"].to_pylist()

    def dropping(ids):
        author = Author(rule="toy", step="clean", run_id="")
        decisions = verdicts(author, Subject.UTTERANCE, ids, verdict=Verdict.DROP, reason=Reason.BELOW_RANGE)
        judged = Judged(decisions=decisions, identities=IDENTITIES.arrow().empty_table())
        return lambda utterances, prints, vectors: judged

    everything = given.utterances["utterance_id"].to_pylist()
    for ids, alarms in ((truth, 0), (everything, 18)):
        (counts,) = planting.evaluate(pipeline, to, dropping(ids)).faults.values()
        assert (counts.planted.sum(), counts.found.sum(), counts.alarms.sum()) == (6, 6, alarms)


@pytest.mark.real
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--wrong-speaker", "1.5"), "wrong_speaker 1.5; expected a share from 0 to 1"),
        (("--mixed", "1"), "find other people in their corpus"),
        ((), "nothing to plant; expected a share of any of mixed"),
        (("--noise", "0.1", "--evaluate", "--preset", "best"), "preset 'best'; expected one of robust, vietsv"),
        (("--levels", "0.1"), "of no fault; expected a share"),
    ],
)
def test_what_cannot_be_planted_is_one_line_and_leaves_nothing(small, tmp_path, words, told):
    done = asked(small, tmp_path / "planted", *words)
    assert isinstance(done.exception, VoxcurateError)
    assert told in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "planted").exists()


@pytest.mark.real
def test_nothing_is_planted_within_the_catalog_itself(small):
    done = asked(small, small.parent / "catalog" / "planted", *LABELS)
    assert "lies in the catalog" in str(done.exception)
    assert not (small.parent / "catalog" / "planted").exists()


@pytest.mark.real
def test_nothing_is_planted_within_the_catalog_by_way_of_a_link(small, tmp_path):
    (tmp_path / "link").symlink_to(small.parent / "catalog")
    done = asked(small, tmp_path / "link" / "planted", *LABELS)
    assert "lies in the catalog" in str(done.exception)
    assert not (small.parent / "catalog" / "planted").exists()


@pytest.mark.real
def test_several_plantings_overwrite_nothing_of_others(small, tmp_path):
    (tmp_path / "report.json").write_text("mine")
    done = asked(small, tmp_path, *LABELS, "--seeds", "2", "--evaluate")
    assert f"{tmp_path / 'report.json'}: is there already, and is no planting" in str(done.exception)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.json", "mine")]


@pytest.mark.real
def test_a_folder_with_broken_settings_is_told(small, tmp_path):
    (tmp_path / planting.SETTINGS_FILE).write_text("{broken")
    done = asked(small, tmp_path, *LABELS)
    assert "no JSON; expected what `curate plant` wrote there" in str(done.exception)


@pytest.mark.real
def test_a_catalog_without_embeddings_is_told(write, tmp_path):
    done = asked(write(tmp_path), tmp_path / "planted", *LABELS)
    assert isinstance(done.exception, VoxcurateError)
    assert "expected a catalog that `curate run` has filled" in str(done.exception)


def test_an_unknown_fault_or_a_share_that_is_no_number_is_told(tmp_path):
    assert "No such option: --wrong-number" in asked(tmp_path, tmp_path, "--wrong-number", "1").output
    assert "Invalid value for '--mixed'" in asked(tmp_path, tmp_path, "--mixed", "half").output
    assert "expected numbers with commas" in asked(tmp_path, tmp_path, "--mixed-parts", "a,b").output


def test_its_help_loads_neither_torch_nor_prefect():
    script = "import sys, flows.plant; print(sorted({'torch', 'prefect', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
