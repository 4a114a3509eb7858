"""`curate test` of runs that read and know voices: on either kind of split, by beginnings, and layer by layer.

Words are of tones, a letter each, and a voice is how much of the octave above is in them.
"""

import json
import logging
import shutil
from itertools import combinations

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from benchmarks.metrics import equal_error_rate
from benchmarks.words import error_rate, word_edits
from curate.catalog import Catalog, read_parquet, rows_of
from curate.errors import VoxcurateError
from curate.schema import CLASS_RESULTS, CORPORA, DECISIONS, IDENTITIES, RESULTS, SPLITS, TRIALS, UTTERANCES
from flows.cli import app
from models.disjoint_mtl.recipe import save_encoder
from models.training.trained import load_run
from tests.models.disjoint_mtl.systems_made import LETTERS, NETWORK, spoken, system_of
from tests.models.training.tones_made import BENCHMARK, described

PEOPLE = {"people": "pq", "reading": "rs", "test-people": "tuv", "test-reading": "wxy"}  # of each split
TEXTS = ("AB", "CAD", "BDC")
UNTOLD = "tv"  # whose texts nobody knows
FIRST_S = 0.3
RECIPE = f"""base = "w2v2-dj-2s-0.5"
name = "both"
epochs = 1
steps_an_epoch = 2
precision = "float32"
readers = 1
[batches]
utterances = 4
crop_s = [0.3, 0.3]
[whole]
seconds = 3.0
[schedule]
rate = 0.003
[settings]
characters = "{LETTERS}"
speaker_layer = 2
[settings.network]
"""


def catalog_of(place, root):
    """Its splits, and lists of all pairs of the last two."""
    split_of = {who: split for split, people in PEOPLE.items() for who in people}
    rows = []
    for audio in sorted(root.glob("*/*.wav")):
        who = audio.parent.name
        text = TEXTS[int(audio.stem)] if split_of[who] != "people" and who not in UNTOLD else None
        rows.append(described(audio, root) | {"transcript": text})
    catalog = Catalog(place)
    corpus = {"corpus": "tones", "reader": "folder", "root": str(root)}
    catalog.publish(CORPORA, rows_of(CORPORA, [corpus]), fingerprint="x")
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="tones", fingerprint="x")
    catalog.publish(DECISIONS, rows_of(DECISIONS, []), part="none", fingerprint="x")
    people = [{"speaker_id": f"tones/{who}", "identity_id": f"tones/{who}"} for who in split_of]
    catalog.publish(IDENTITIES, rows_of(IDENTITIES, people), fingerprint="x")
    splits, trials = [], []
    for row in rows:
        about = {"benchmark": BENCHMARK, "utterance_id": row["utterance_id"], "identity_id": row["speaker_id"]}
        splits.append(about | {"split": split_of[row["speaker_id"].removeprefix("tones/")]})
    for name in ("test-people", "test-reading"):
        for one, other in combinations([row for row in splits if row["split"] == name], 2):
            pair = {"enrol_id": one["utterance_id"], "test_id": other["utterance_id"]}
            is_target = one["identity_id"] == other["identity_id"]
            trials.append({"benchmark": BENCHMARK, "list": name, "is_target": is_target} | pair)
    catalog.publish(SPLITS, rows_of(SPLITS, splits), part=BENCHMARK, fingerprint="x")
    catalog.publish(TRIALS, rows_of(TRIALS, trials), part=BENCHMARK, fingerprint="x")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Speech, its catalog, and two runs: the network of one is frozen as drawn, the other has weights and learns."""
    folder = tmp_path_factory.mktemp("readers")
    for number, who in enumerate("".join(PEOPLE.values())):
        (folder / "tones" / who).mkdir(parents=True)
        for take, text in enumerate(TEXTS):
            wave = spoken(text, seed=10 * number + take, tilt=0.3 * number)
            soundfile.write(folder / "tones" / who / f"{take}.wav", wave, 16_000)
    catalog_of(folder / "catalog", folder / "tones")
    save_encoder(folder / "base", system_of("w2v2-asr-ls", seed=5))
    network = "\n".join(f"{key} = {value}" for key, value in NETWORK.items())
    (folder / "both.toml").write_text(RECIPE + network)
    for name, frozen_steps, begins_with in (("frozen", 9, []), ("learnt", 0, ["--from", folder / "base"])):
        words = ["train", folder / "both.toml", "-c", folder / "catalog", "--split", "people", "--also", "reading"]
        words += ["--hold-out", "0", *begins_with, "--out", folder / name, "--device", "cpu"]
        words += ["--set", "patience=none", "--set", f"settings.frozen_steps={frozen_steps}"]
        told = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
        assert told.exit_code == 0
    return folder


@pytest.fixture
def curate_test(place, tmp_path, monkeypatch, caplog):
    """The command on copies of the catalog and of the runs."""
    for name in ("catalog", "frozen", "learnt"):
        shutil.copytree(place / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))

    def command(*words):
        given = ["test", *map(str, words), "-c", "catalog", "--device", "cpu"]
        told = CliRunner().invoke(app, given, catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return told.stdout

    return command


def heard(place, name, seconds=None):
    """Of each utterance of a split, by its id, as much of it."""
    found = {}
    for file in sorted(file for who in PEOPLE[name] for file in (place / "tones" / who).glob("*.wav")):
        wave, rate = soundfile.read(file, dtype="float32")
        wave = wave if seconds is None else wave[: round(seconds * rate)]
        found[f"tones/{file.parent.name}/{file.stem}"] = torch.from_numpy(wave)[None]
    return found


def eer_of(vectors):
    """Of all pairs of utterances, each told with its vector."""
    scores, is_target = [], []
    for (one, left), (other, right) in combinations(vectors.items(), 2):
        scores.append(float(left @ right / np.linalg.norm(left) / np.linalg.norm(right)))
        is_target.append(one.split("/")[1] == other.split("/")[1])
    return equal_error_rate(np.array(scores), np.array(is_target))


def told_of(function, waves):
    with torch.inference_mode():
        return {name: function(wave)[0].double().numpy() for name, wave in waves.items()}


def eer_in(tmp_path, name, system):
    rows = Catalog(tmp_path / "catalog").read(RESULTS, f"{BENCHMARK}--{name}--{system}").to_pylist()
    return next(row["value"] for row in rows if row["metric"] == "eer")


def test_a_run_of_two_kinds_of_speech_is_tested_on_either_for_words_and_voices(place, curate_test, tmp_path):
    system, _ = load_run(place / "learnt")
    for name, known in (("test-reading", "wxy"), ("test-people", "u")):
        said = curate_test("learnt", "--split", name, "--list", name)
        written = [system.transcribe(wave)[0] for key, wave in heard(place, name).items() if key[6] in known]
        edits = word_edits([*TEXTS] * len(known), written)
        rows = Catalog(tmp_path / "catalog").read(CLASS_RESULTS, f"{BENCHMARK}--{name}--both").to_pylist()
        wer = next(row for row in rows if row["metric"] == "wer")
        assert (wer["value"], wer["num_utterances"]) == (error_rate(edits.total, edits.num_reference), 3 * len(known))
        assert {row["metric"] for row in rows} == {"wer", "cer"}
        assert eer_in(tmp_path, name, "both") == pytest.approx(eer_of(told_of(system.embed, heard(place, name))))
        left_out = 9 - 3 * len(known)
        assert (f"text: {left_out} of 9 utterances left out: no transcript" in said) is bool(left_out)


def test_the_first_seconds_are_scored_beside_the_whole_as_another_system(place, curate_test, tmp_path):
    curate_test("learnt", "--list", "test-people", "--split", "test-people")
    parts = tmp_path / "catalog" / "results"
    whole = parts / f"{BENCHMARK}--test-people--both.parquet"
    before = whole.read_bytes()
    words = ("learnt", "--list", "test-people", "--split", "test-people", "--first-s", FIRST_S)
    said = curate_test(*words)
    assert whole.read_bytes() == before
    assert {path.stem for path in parts.glob("*")} == {whole.stem, f"{whole.stem}_first-0.3s"}
    system, _ = load_run(place / "learnt")
    expected = eer_of(told_of(system.embed, heard(place, "test-people", FIRST_S)))
    found = eer_in(tmp_path, "test-people", "both_first-0.3s")
    assert found == pytest.approx(expected)
    assert found != eer_in(tmp_path, "test-people", "both")
    lines = [line.split() for line in said.splitlines()]
    assert ["test-people", "first", "0.3", "s", "eer"] in [line[:5] for line in lines]
    assert ["test-people", "whole", "eer"] in [line[:3] for line in lines]
    assert "precision" not in said, "it tells no classes"
    texts = read_parquet(tmp_path / "learnt" / "tests" / "toy-test-people" / "texts.parquet")["written"].to_pylist()
    waves = heard(place, "test-people")
    assert texts == [system.transcribe(waves[f"tones/u/{take}"])[0] for take in range(3)], "words are read whole"
    told = json.loads(curate_test(*words, "--json"))
    assert {row["system"] for row in told["results"]} == {"both", "both_first-0.3s"}


def test_each_layer_has_its_eer_before_training_and_after(place, curate_test, tmp_path):
    base, (learnt, _) = system_of("w2v2-asr-ls", seed=5).eval(), load_run(place / "learnt")
    said = curate_test("learnt", "--split", "test-people", "--layers")
    folder = tmp_path / "learnt" / "tests" / "toy-test-people"
    rows = read_parquet(folder / "layers.parquet").to_pylist()
    found = {(row["list"], row["training"], row["layer"]): row["eer"] for row in rows}
    assert len(found) == len(rows) == 2 * 2 * 4
    for name in ("test-people", "test-reading"):
        for training, system in (("before", base), ("after", learnt)):
            vectors = told_of(system.layer_vectors, heard(place, name))
            for layer in range(4):
                expected = eer_of({key: of_all[layer] for key, of_all in vectors.items()})
                assert found[name, training, layer] == pytest.approx(expected)
        drawn = (folder / f"layers_{name}.svg").read_text()
        assert all(f"<!-- {told} -->" in drawn for told in ("before training", "after training", "EER (%)"))
        assert "9 targets, 27 nontargets" in drawn
    assert any(found["test-people", "before", layer] != found["test-people", "after", layer] for layer in range(4))
    assert {(row["num_target"], row["num_nontarget"]) for row in rows} == {(9, 27)}
    lines = [line.split() for line in said.splitlines()]
    eers = [f"{found['test-people', training, 1]:.4f}" for training in ("before", "after")]
    assert ["test-people", "1", *eers] in lines
    assert "learnt/tests/toy-test-people/layers_test-people.svg" in said


def test_what_is_not_scored_or_not_read_to_its_end_is_said(curate_test, tmp_path, monkeypatch):
    shutil.rmtree(tmp_path / "catalog" / "trials")
    monkeypatch.setattr("flows.transcribed.LONGEST_S", FIRST_S)
    said = curate_test("learnt", "--split", "test-people", "--first-s", FIRST_S, "--layers").splitlines()
    assert "text: 3 of 3 read to 0.3 s: what is said after that are errors" in said
    assert {"first 0.3 s: no list to score", "layers: no list to score"} <= {*said}


def test_layers_of_a_network_that_was_frozen_are_what_the_seed_drew(curate_test, tmp_path):
    told = json.loads(curate_test("frozen", "--split", "test-people", "--list", "test-people", "--layers", "--json"))
    eers = {(row["training"], row["layer"]): row["eer"] for row in told["layers"]}
    assert [eers["before", layer] for layer in range(4)] == [eers["after", layer] for layer in range(4)]


def test_weights_that_are_gone_or_others_leave_the_layers_after_training(curate_test, place, tmp_path):
    path = tmp_path / "learnt" / "run.json"
    about = json.loads(path.read_text())
    weights = {"of": str(tmp_path / "base"), "sha256": about["weights"]["sha256"]}
    path.write_text(json.dumps(about | {"weights": weights}))
    words = ("learnt", "--split", "test-people", "--list", "test-people", "--layers")
    expected = "the weights that learnt began with {}; expected them as they were"
    said = curate_test(*words)
    of_it = f"layers: after training alone: {tmp_path / 'base'}: {expected}"
    assert of_it.format("are not there any more") in said.splitlines()
    assert "after training" in said
    assert "before training" not in said
    shutil.copytree(place / "frozen" / "encoder", tmp_path / "base")
    (tmp_path / "base" / "other").write_text("")
    assert of_it.format("are others now") in curate_test(*words).splitlines()
    rows = read_parquet(tmp_path / "learnt" / "tests" / "toy-test-people" / "layers.parquet")
    assert rows["training"].to_pylist() == ["after"] * 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--system", "mine_first-2s"],
            r"^--system 'mine_first-2s': '_first-2s' is what --first-s adds; expected a name",
        ),
        (["--list", "none"], r"^toy: no list 'none'"),
    ],
)
def test_what_is_wrong_is_one_line(words, said, curate_test):
    with pytest.raises(VoxcurateError, match=said):
        curate_test("learnt", "--split", "test-people", "--first-s", "2", *words)


@pytest.mark.parametrize("seconds", ["0", "nan", "30"])
def test_seconds_that_are_no_beginning_are_told(seconds, curate_test):
    told = CliRunner().invoke(app, ["test", "learnt", "-c", "catalog", "--first-s", seconds])
    assert told.exit_code == 2
    assert "expected 0.1 to 20 seconds" in " ".join(told.output.split())
