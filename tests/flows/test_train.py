"""`curate train`, as a user gives it, on a small catalog of tones."""

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from curate.catalog import Catalog, read_parquet, rows_of
from curate.errors import TrainingError, VoxcurateError
from curate.export.writing import export_benchmark
from curate.schema import DECISIONS, SPLITS, TRIALS, UTTERANCES
from curate.storage import location
from flows.cli import app
from flows.training import on_list, on_split, without_held_out
from models.data.speech import of_split
from models.training.systems import recipes
from tests.models.training.tones_made import BENCHMARK, catalog_of, manifest_of, tones

ROOT = Path(__file__).parents[2]
RECIPE = """base = "vietsv-scratch-ap-adam"
name = "small"
epochs = 2
validate_every = 1
checkpoint_every = 1
readers = 1
[batches]
speakers = 2
utterances_each = 2
crop_s = [0.3, 0.3]
[settings.network]
channels = 8
blocks = [1, 1, 1, 1]
num_bands = 16
dimension = 16
attention_channels = 8
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus of eight people, a catalog in which two of them are tested, a recipe."""
    folder = tmp_path_factory.mktemp("train")
    root = tones(folder / "tones")
    catalog = catalog_of(folder / "catalog", root)
    catalog.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="clean", fingerprint="x")
    bare = catalog_of(folder / "bare", root)
    bare.publish(TRIALS, TRIALS.arrow().empty_table(), part=BENCHMARK, fingerprint="y")
    manifest_of(root)
    (folder / "small.toml").write_text(RECIPE)
    return folder


@pytest.fixture
def curate_train(place, monkeypatch, tmp_path, caplog):
    """The command within this process, in a folder of its own; standard output, and what it said meanwhile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))

    def command(*words, catalog=True):
        given = ["train", str(place / "small.toml"), *map(str, words), "--device", "cpu"]
        told = CliRunner().invoke(app, [*given, *(["-c", str(place / "catalog")] if catalog else [])])
        said = [record.getMessage() for record in caplog.records]
        caplog.clear()
        if told.exception is not None and not isinstance(told.exception, SystemExit):
            raise told.exception
        return told, said

    return command


def described(folder):
    return json.loads((folder / "run.json").read_text())


def test_recipes_are_listed_and_described(place):
    told = CliRunner().invoke(app, ["train"])
    assert told.exit_code == 0
    assert all(name in told.output for name in recipes())
    told = CliRunner().invoke(app, ["train", str(place / "small.toml"), "--describe", "--set", "epochs=7"])
    lines = told.output.splitlines()
    assert lines[:2] == ['base = "vietsv-scratch-ap-adam"', 'name = "small"']
    assert {"epochs = 7", "settings.network.blocks = [1, 1, 1, 1]", 'optimizer.kind = "adam"'} <= {*lines}
    assert "# patience = none" in lines


def test_a_split_is_trained_on_and_people_are_held_out(curate_train, tmp_path):
    told, said = curate_train("--hold-out", "2")
    assert told.exit_code == 0
    run = tmp_path / "runs" / "small"
    assert told.stdout.splitlines()[1:] == [
        "The run is in runs/small; its network, for a pipeline file:",
        "  [embedding]",
        '  extractor = "checkpoint"',
        '  source = "runs/small/encoder"',
    ]
    assert said[0].startswith("train: small on 16 utterances of 4 people, 0.00 h (toy, split train), on cpu")
    assert described(run)["validation"]["list"] == "held-out"
    assert described(run)["validation"]["trials"] == 8 + 16, "of other sessions, and of two people"
    assert {row["list"] for row in read_parquet(run / "results.parquet").to_pylist()} == {"held-out"}
    told, said = curate_train("--hold-out", "2")
    assert said == ["train: runs/small is complete after all of its 2 epochs; nothing to do"]
    assert told.stdout.splitlines()[0].startswith("EER ")


def test_every_option_does_what_it_says(curate_train, place, tmp_path):
    first, _ = curate_train("--out", "first", "--hold-out", "0")
    assert first.exit_code == 0
    assert described(tmp_path / "first")["validation"] is None
    told, said = curate_train(
        *("--benchmark", BENCHMARK, "--split", "train", "--trials", "test", "--out", tmp_path / "second"),
        *("--set", "epochs=1", "--set", "name=other", "--from", Path("first", "encoder"), "--cache"),
    )
    assert told.exit_code == 0
    about = described(tmp_path / "second")
    assert about["recipe"]["epochs"] == 1
    assert about["recipe"]["name"] == "other"
    assert about["validation"]["list"] == "test"
    assert about["validation"]["trials"] == 28
    assert about["weights"]["of"] == str(tmp_path / "first" / "encoder"), "wherever the run is tested from"
    assert list((tmp_path / "second" / "cache").iterdir())
    assert any("tensors of the network matched" in line for line in said)
    assert not (tmp_path / "runs").exists()


def test_a_split_may_be_validated_on(curate_train, place, tmp_path):
    told, _ = curate_train("--dev", "test", "--set", "epochs=1")
    assert told.exit_code == 0
    about = described(tmp_path / "runs" / "small")
    assert about["speech"]["people"] == 6
    assert (about["validation"]["list"], about["validation"]["trials"]) == ("held-out-test", 8 + 16)


def test_the_test_split_may_be_trained_on(curate_train, tmp_path):
    told, said = curate_train("--split", "test", "--hold-out", "0")
    assert told.exit_code == 0
    assert said[0].startswith("train: small on 8 utterances of 2 people")


def test_a_manifest_is_trained_on(curate_train, place, tmp_path):
    told, said = curate_train("--manifest", place / "tones" / "all.csv", "--hold-out", "2", catalog=False)
    assert told.exit_code == 0
    assert said[0].startswith("train: small on 24 utterances of 6 people")
    assert described(tmp_path / "runs" / "small")["validation"]["benchmark"] == "all"


def test_an_exported_split_is_trained_on_as_the_split(curate_train, place, tmp_path):
    export_benchmark(Catalog(place / "catalog"), "speechbrain", tmp_path / "out")
    curate_train("--hold-out", "0", "--out", "split")
    told, _ = curate_train("--manifest", "out/train.csv", "--hold-out", "0", "--out", "manifest", catalog=False)
    assert told.exit_code == 0
    one, other = (tmp_path / name / "encoder" / "model.safetensors" for name in ("split", "manifest"))
    assert one.read_bytes() == other.read_bytes()


WRONG = [
    (["-c", "gone"], r"^gone: no splits; expected a benchmark"),
    (["--benchmark", "other"], r"no benchmark 'other'; expected one of toy$"),
    (["--split", "dev"], r"^toy: no split 'dev', or an empty one; expected test, train$"),
    (["--trials", "dev"], r"^toy: no list 'dev'; expected known, targets, test$"),
    (["--trials", "dev", "-c", "{bare}"], r"^toy: has no lists of trials; expected --hold-out instead of --trials$"),
    (["--trials", "targets"], r"^toy/targets: 12 targets of 12 trials; expected both kinds$"),
    (["--trials", "known"], r"^--trials known: tones/p0: 2 people of the list are in the split 'train'"),
    (["--trials", "known", "--dev", "test"], r"^--trials known: tones/p0: 2 people of the list are in the split"),
    (["--trials", "test", "--dev", "train"], r"^--dev train: is trained on; expected another split$"),
    (
        ["--hold-out", "1"],
        r"^--hold-out 1: 6 people have two utterances; expected 2 to 4, 0 to hold .*, or others by --trials or --dev$",
    ),
    (["--hold-out", "5"], r"^--hold-out 5: "),
    (["--out", "memory://runs/x", "--hold-out", "0"], r"^memory://runs/x: lies elsewhere; expected a folder of this"),
    (["--set", "epochs"], r"^--set epochs: expected KEY=VALUE"),
    (["--set", "epoch=1"], r"^--set epoch=1: no key 'epoch'"),
    (["--set", "epochs=0"], r"small\.toml: epochs: .*; it has 0$"),
    (["--set", "settings.margin=x"], r"^small: settings: margin: "),
    (["--set", "settings.network.bands=3"], r"^small: settings: network\.bands: "),
    (["--set", "batches.hard=1"], r"^batches\.hard 1: "),
    (["--set", "batches.utterances_each=9"], r"^tones/p0: 4 utterances; expected 9 of each speaker"),
    (["--set", "batches.crop_s=[2.0, 1.0]"], r"^crops of 32000 to 16000 samples"),
    (["--from", "gone"], r"^gone: "),
    (["--device", "gpu"], r"^--device gpu: expected auto, cpu, cuda or one such as cuda:1$"),
    (["--manifest", "gone.csv"], r"^gone\.csv: No such file or directory; expected a manifest"),
    (["--manifest", "gone.txt"], r"^gone\.txt: expected a manifest of SpeechBrain"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=lambda words: "_".join(words) if isinstance(words, list) else "")
def test_what_is_wrong_is_one_line_and_nothing_is_begun(place, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("{bare}", str(place / "bare")) for word in words]
    given = {"-c": str(place / "catalog"), "--device": "cpu"} | dict(zip(words[::2], words[1::2], strict=True))
    with pytest.raises(VoxcurateError, match=said) as told:
        CliRunner().invoke(
            app,
            ["train", str(place / "small.toml"), *(part for pair in given.items() for part in pair)],
            catch_exceptions=False,
        )
    assert "\n" not in str(told.value)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "words",
    [
        ["--manifest", "x.csv", "--trials", "test"],
        ["--manifest", "x.csv", "--benchmark", "toy"],
        ["--manifest", "x.csv", "--split", "train"],
        ["--trials", "test", "--hold-out", "2"],
        ["--hold-out", "-1"],
        ["--hold-out", "some"],
    ],
)
def test_options_that_do_not_go_together_are_refused(curate_train, tmp_path, words):
    told, _ = curate_train(*words)
    assert told.exit_code == 2
    assert [*tmp_path.iterdir()] == []


def test_a_fault_is_one_line_and_exit_1_without_a_traceback(curate, place, tmp_path):
    told = curate("train", place / "none.toml", "-c", place / "catalog", "--out", tmp_path / "run")
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr == (
        f"curate: {place / 'none.toml'}: cannot be read (No such file or directory); expected a recipe in TOML\n"
    )
    assert not (tmp_path / "run").exists()


def test_ctrl_c_ends_it_with_a_line_and_it_goes_on(curate_train, place, tmp_path):
    words = ["--hold-out", "0", "--out", str(tmp_path / "run"), "--set", "epochs=2000", "--device", "cpu"]
    command = [sys.executable, "-m", "flows.cli", "train", str(place / "small.toml"), "-c", str(place / "catalog")]
    running = subprocess.Popen(
        [*command, *words], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    assert any(line.startswith("train: epoch 1, step 3 of 3") for line in running.stderr), "steps have checkpoints"
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    told = "interrupted; run it again: it goes on from its last checkpoint, or begins anew where it has none"
    assert said.endswith(f"\ncurate: {told}\n")
    assert "Traceback" not in said
    about = described(tmp_path / "run")
    about["recipe"]["epochs"] = 2  # it need not go on for 2,000
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    told, lines = curate_train("--hold-out", "0", "--out", tmp_path / "run")
    assert told.exit_code == 0
    assert any(line.startswith("train: goes on in epoch") for line in lines)


# ------------------------------------------------------------------------------------------------------ who is held out


@pytest.fixture
def split(place):
    """The speech of `train`, and its rows."""
    catalog = Catalog(place / "catalog")
    speech = of_split(catalog, BENCHMARK, "train")
    return speech, catalog.read(SPLITS).join(catalog.read(UTTERANCES), "utterance_id")


def sides(held):
    return [*zip(held.trials["enrol_id"].to_pylist(), held.trials["test_id"].to_pylist(), strict=True)]


def test_nobody_is_in_both(split):
    left, held = without_held_out(*split, 3, benchmark="toy", seed=1)
    assert not {*left.people} & {*held.speech.people}
    assert sorted([*left.people, *held.speech.people]) == split[0].people
    assert (len(left), len(held.speech)) == (12, 12)
    again = without_held_out(*split, 3, benchmark="toy", seed=1)[1]
    assert again.trials.equals(held.trials)
    others = {tuple(without_held_out(*split, 3, benchmark="toy", seed=seed)[1].speech.people) for seed in range(9)}
    assert len(others) > 1


def test_lists_and_splits_may_lie_elsewhere(place):
    here = Catalog(place / "catalog")
    there = catalog_of(location("memory://shelf/train"), place / "tones")
    one, other = on_list(here, BENCHMARK, "test"), on_list(there, BENCHMARK, "test")
    assert other.trials.equals(one.trials)
    assert other.speech.fingerprint == one.speech.fingerprint
    assert of_split(there, BENCHMARK, "train").fingerprint == of_split(here, BENCHMARK, "train").fingerprint
    there.root.fs.store.clear()


def session_of(utterance):
    who, _, take = utterance.rpartition("/")
    return who, int(take) // 2


def test_targets_are_of_two_sessions_where_these_are_known(split):
    held = without_held_out(*split, 2, benchmark="toy", seed=1)[1]
    targets = [
        pair for pair, is_target in zip(sides(held), held.trials["is_target"].to_pylist(), strict=True) if is_target
    ]
    assert len(targets) == 2 * 4
    assert all(session_of(one) != session_of(other) for one, other in targets)
    assert sum(not is_target for is_target in held.trials["is_target"].to_pylist()) == 4 * 4


@pytest.mark.parametrize("kind", ["none", "one of each", "some unknown"])
def test_people_of_one_session_or_none_are_compared_all_the_same(split, kind):
    speech, rows = split
    at = rows.column_names.index("session_id")
    who = rows["identity_id"].to_pylist()
    known = {
        "none": [None] * len(who),
        "one of each": who,
        "some unknown": [None if place % 4 == 0 else person for place, person in enumerate(who)],
    }[kind]
    rows = rows.set_column(at, "session_id", pa.array(known, pa.string()))
    held = without_held_out(speech, rows, 2, benchmark="toy", seed=1)[1]
    num_targets = sum(held.trials["is_target"].to_pylist())
    assert num_targets == 2 * 6 if kind != "some unknown" else 0 < num_targets < 12


def test_stretches_of_one_file_are_compared_where_there_is_nothing_else(split):
    speech, rows = split
    at = rows.column_names.index("path")
    rows = rows.set_column(at, rows.schema.field(at), [[f"{who}.wav" for who in rows["identity_id"].to_pylist()]])
    held = without_held_out(speech, rows.drop_columns("session_id"), 2, benchmark="toy", seed=1)[1]
    assert sum(held.trials["is_target"].to_pylist()) == 2 * 6


def test_one_person_of_twenty_is_held_out_and_four_at_least(split):
    assert len(without_held_out(*split, None, benchmark="toy", seed=1)[1].speech.people) == 4
    assert without_held_out(*split, 0, benchmark="toy", seed=1) == (split[0], None)


def test_with_ages_somebody_of_each_group_is_held_out_where_there_are_two(split):
    speech, rows = split
    young, adult, senior, unknown = (20, 20), (40, 49), (70, 70), None
    of_person = [young, young, adult, adult, senior, unknown]
    speech = replace(speech, ages=[of_person[code] for code in speech.person])
    for seed in range(5):
        left, held = without_held_out(speech, rows, 2, benchmark="toy", seed=seed, age_scheme="leq29")
        assert sorted({*held.speech.ages}) == [young, adult]
        assert {*left.ages} == {*of_person}
        assert held.trials is not None
    alone = replace(speech, ages=[senior if code == 0 else None for code in speech.person])
    with pytest.raises(TrainingError, match=r"^--hold-out 2: no age group \(leq29\) has two people"):
        without_held_out(alone, rows, 2, benchmark="toy", seed=1, age_scheme="leq29")
    for nothing in (None, (25, 35)):  # a range of two groups is of neither
        untold = replace(speech, ages=[nothing] * len(speech))
        with pytest.raises(TrainingError, match=r"^nobody of 6 people has a known age in a group of leq29; expected a"):
            without_held_out(untold, rows, 2, benchmark="toy", seed=1, age_scheme="leq29")


def test_two_sets_to_validate_on_are_for_who_reads(curate_train):
    with pytest.raises(TrainingError, match=r"^--trials test with --dev test: both are for systems that write text"):
        curate_train("--trials", "test", "--dev", "test")
    with pytest.raises(TrainingError, match=r"^--also test: small learns crops alone; expected a recipe of whole"):
        curate_train("--also", "test")


def test_another_split_may_be_validated_on(place):
    catalog = Catalog(place / "catalog")
    held = on_split(catalog, BENCHMARK, "test", seed=1)
    assert held.speech.fingerprint == of_split(catalog, BENCHMARK, "test").fingerprint
    assert sum(held.trials["is_target"].to_pylist()) == 2 * 4, "of two sessions"
    assert {one for pair in sides(held) for one in pair} <= {*held.speech.utterance_ids.to_pylist()}


def test_a_list_of_models_is_told(place, tmp_path):
    catalog = catalog_of(tmp_path / "catalog", place / "tones")
    trial = {"benchmark": BENCHMARK, "list": "models", "test_id": "tones/p6/0"}
    rows = [trial | {"enrol_id": f"m{at}", "is_target": bool(at)} for at in range(2)]
    catalog.publish(TRIALS, rows_of(TRIALS, rows), part=BENCHMARK, fingerprint="y")
    with pytest.raises(VoxcurateError, match=r"^toy/models: 2 of its sides are no utterances .*not of models$"):
        on_list(Catalog(tmp_path / "catalog"), BENCHMARK, "models")
