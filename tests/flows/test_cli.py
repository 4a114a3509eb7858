"""What the command says, and what it leaves alone when it is given something wrong."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.pipeline import run

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, corpora, prefect_server) -> Path:
    """A folder corpus of two readers, curated: the catalog that wrong input must not harm."""
    home = tmp_path_factory.mktemp("cli")
    for reader in ("1688", "2033", "1998", "3080"):
        for file in sorted((corpora / "LibriSpeech" / "test-other" / reader).rglob("*.flac"))[:4]:
            (home / "calls" / reader).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, home / "calls" / reader / file.name)
    (home / "calls" / "speakers.csv").write_text("speaker,sex\n1688,male\n2033,male\n1998,female\n3080,female\n")
    file = home / "calls.toml"
    file.write_text(
        'name = "calls"\ncatalog = "catalog"\n[[corpora]]\nname = "calls"\nreader = "folder"\nroot = "calls"\n'
        "[splits]\nnum_test_speakers = 4\n"
    )
    run(file)
    return file


def one_line_of(result) -> str:
    """The last line of a refusal, which must be the only one that is no progress."""
    assert result.returncode != 0
    assert "Traceback" not in result.stdout + result.stderr
    said = [line for line in result.stderr.splitlines() if line.startswith("curate: ")]
    assert len(said) == 1
    assert result.stderr.splitlines()[-1] == said[0]
    return said[0]


def test_run_again_says_that_there_is_nothing_to_do(script, pipeline):
    result = script("run", pipeline)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Nothing to do" in result.stdout


def damage_nothing_to_read(calls: Path) -> str:
    shutil.rmtree(calls)
    return "no folder"


def damage_emptied(calls: Path) -> str:
    for file in calls.rglob("*.flac"):
        file.unlink()
    return "no audio in"


def damage_truncated(calls: Path) -> str:
    file = calls / "1688" / "1688-142285-0001.flac"
    file.write_bytes(file.read_bytes()[:20_000])
    return "1688-142285-0001.flac is truncated"


def damage_text_as_wav(calls: Path) -> str:
    (calls / "1688" / "notes.wav").write_text("not audio at all\n" * 20)
    return "notes.wav is unreadable"


def damage_no_samples(calls: Path) -> str:
    soundfile.write(calls / "1688" / "none.wav", np.zeros(0), 16_000)
    return "none.wav is empty"


def damage_no_bytes(calls: Path) -> str:
    (calls / "1688" / "none.wav").touch()
    return "none.wav is empty"


def damage_two_with_one_id(calls: Path) -> str:
    soundfile.write(calls / "1688" / "1688-142285-0001.wav", np.ones(16_000), 16_000)
    return "1688-142285-0001.flac and 1688/1688-142285-0001.wav both have the id calls/1688/1688-142285-0001"


@pytest.mark.parametrize(
    "damage",
    [
        damage_nothing_to_read,
        damage_emptied,
        damage_truncated,
        damage_text_as_wav,
        damage_no_samples,
        damage_no_bytes,
        damage_two_with_one_id,
    ],
    ids=lambda damage: damage.__name__.removeprefix("damage_"),
)
def test_a_damaged_corpus_is_named_in_one_line_and_the_tables_stay(damage, curate, pipeline, tmp_path, contents):
    shutil.copytree(pipeline.parent, tmp_path / "copy")
    expected = damage(tmp_path / "copy" / "calls")
    before = contents(tmp_path / "copy" / "catalog")
    assert expected in one_line_of(curate("run", tmp_path / "copy" / pipeline.name))
    assert contents(tmp_path / "copy" / "catalog") == before


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[splits]", "[splits]\nnum_test_speaker = 4", "splits.num_test_speaker: unknown key; did you mean"),
        ("num_test_speakers = 4", 'num_test_speakers = "4"', "splits.num_test_speakers: '4'; expected a valid integer"),
        (
            "num_test_speakers = 4",
            # cleaning is done anew before the split fails
            "num_test_speakers = 40\n[cleaning]\npreset = 'vietsv'\niqr_factor = 0.1",
            "the test needs 20 female",
        ),
        ('"folder"', '"manifest"\nmanifest = "speakers.csv"', "no column 'path'"),
        ('"folder"', '"folders"', "reader 'folders'; expected one of"),
        ('catalog = "catalog"', "catalog = ", "no TOML"),
    ],
)
def test_a_wrong_pipeline_file_is_told_in_one_line_and_the_tables_stay(old, new, expected, curate, pipeline, contents):
    wrong = pipeline.with_name("wrong.toml")
    wrong.write_text(pipeline.read_text().replace(old, new))
    before = contents(pipeline.parent / "catalog")
    assert expected in one_line_of(curate("run", wrong))
    assert contents(pipeline.parent / "catalog") == before


def test_a_fault_that_a_step_finds_is_one_line_of_the_installed_command(script, pipeline, contents):
    """At its very end, too: Prefect and DuckDB say there what they still hold."""
    wrong = pipeline.with_name("wrong.toml")
    wrong.write_text(pipeline.read_text().replace("num_test_speakers = 4", "num_test_speakers = 40"))
    before = contents(pipeline.parent / "catalog")
    assert "the test needs 20 female, but only 2 can be drawn" in one_line_of(script("run", wrong))
    assert contents(pipeline.parent / "catalog") == before


@pytest.mark.parametrize(
    "sql",
    ["drop view utterances", "create table t (a int)", "copy (select 1) to 'here.csv'", "select 1; select 2", "selct"],
)
def test_a_query_that_does_not_only_read_is_refused(sql, curate, pipeline, contents):
    before = contents(pipeline.parent / "catalog")
    assert one_line_of(curate("query", sql, "-c", pipeline.parent / "catalog"))
    assert contents(pipeline.parent / "catalog") == before


def test_a_query_is_answered_as_table_csv_and_json(curate, script, pipeline):
    ask = (
        "query",
        "select reason, count(*) as n from decisions group by 1 order by 1",
        "-c",
        pipeline.parent / "catalog",
    )
    rows = list(csv.DictReader(io.StringIO(script(*ask, "--csv").stdout)))
    assert [{"reason": row["reason"], "n": str(row["n"])} for row in json.loads(curate(*ask, "--json").stdout)] == rows
    assert all(row["reason"] in curate(*ask).stdout for row in rows)


def test_the_card_counts_what_the_decisions_say(curate, pipeline):
    sql = "select step, subject, verdict, reason, count(*) as n from decisions group by all"
    rows = json.loads(curate("query", sql, "-c", pipeline.parent / "catalog", "--json").stdout)
    card = (pipeline.parent / "catalog" / "README.md").read_text()
    for row in rows:
        assert f"| {row['step']} | {row['subject']} | {row['verdict']} | {row['reason']} | {row['n']} |" in card


def test_why_tells_the_story_of_an_utterance_and_of_a_speaker(curate, script, pipeline):
    catalog = pipeline.parent / "catalog"
    story = script("why", "calls/1688/1688-142285-0001", "-c", catalog).stdout
    assert "robust, heard by ge2e" in story
    assert "a mean cosine of" in curate("why", "calls/1688", "-c", catalog).stdout
    assert "did you mean" in one_line_of(curate("why", "1688-142285-0001", "-c", catalog))


def test_status_says_what_each_step_last_did(script, pipeline):
    said = script("status", "-c", pipeline.parent / "catalog").stdout
    assert "4 labels of 4 people; 0 pairs merged" in said
    assert re.search(r"test: \d+ utterances of 4 people; train: \d+ utterances", said)
    steps = (
        "register",
        "ingest",
        "embed",
        "duplicates",
        "clean",
        "review",
        "identities",
        "ages",
        "split",
        "trials",
        "leakage",
        "score",
    )
    assert all(step in said for step in steps)


@pytest.mark.parametrize("kind", ["threads", "dask", "ray"])
def test_a_number_of_workers_beside_the_runner_points_to_its_section(kind, curate, tmp_path):
    said = one_line_of(curate("run", tmp_path / "any.toml", "--runner", f"{kind}:4"))
    assert said == (
        f"curate: runner '{kind}:4': how many workers is not said here; expected the runner alone, and "
        "`workers = 4` in `[runner]` of the pipeline file"
    )


@pytest.mark.parametrize("verb", [("status",), ("why", "x"), ("query", "select 1")])
def test_a_catalog_that_is_not_there_is_told_in_one_line(verb, curate, tmp_path):
    assert "expected" in one_line_of(curate(*verb, "-c", tmp_path / "nowhere"))
