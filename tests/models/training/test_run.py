"""A run from beginning to end on tones in files: what it leaves, that it goes on, and what is told of it."""

import csv
import json
import logging
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks.metrics import equal_error_rate, min_dcf
from benchmarks.scoring import cosine_scores
from benchmarks.trial_rules import Rules
from benchmarks.trials import draw_trials
from curate.catalog import read_parquet
from curate.errors import DamagedAudioError, VoxcurateError
from curate.hearing import Checkpoint
from curate.similarity import unit
from models import checkpoint
from models.data.crops import FileReader
from models.data.speech import of_manifest
from models.data.texts import LIBRISPEECH
from models.extractors.checkpoint import CheckpointEncoder
from models.training import checkpoints, engine
from models.training import run as runs
from models.training.run import HeldOut, train
from models.training.run_folder import RunFolder
from models.training.schedules import Plateau
from models.training.systems import module_of
from tests.models.training.runs_made import recipe
from tests.models.training.tones_made import manifest_of, tones

TRAINED, HELD = [f"p{who}" for who in range(6)], ["p6", "p7"]


def held_out(root):
    speech = of_manifest(manifest_of(root, "held.csv", HELD))
    people = [speech.people[code] for code in speech.person]
    rows = pa.table({"utterance_id": speech.utterance_ids, "identity_id": people})
    rules = Rules(same_recording=True)
    trials = draw_trials(rows, benchmark="toy", targets=rules, nontargets=rules, rng=np.random.default_rng(0)).trials
    return HeldOut(benchmark="toy", list_name="held", trials=trials, speech=speech)


def begun(root, folder, *, changes=None, validate=True, **settings):
    """The run that all here is about; called again it goes on."""
    asked = replace(recipe(checkpoint_every=1), **(changes or {}))
    speech = of_manifest(manifest_of(root, "train.csv", TRAINED))
    held = held_out(root) if validate else None
    return train(asked, speech, folder, of="tones", held_out=held, device="cpu", **settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, root):
    """Undisturbed, and never changed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, begun(root, folder)


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "voxcurate")
    return lambda: [record.getMessage() for record in caplog.records]


def table(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.pop("utterances_per_s", None)
    return rows


def same_runs(one, other):
    """But for rates and dates."""
    for name in ("steps.csv", "validations.csv"):
        assert table(one / name) == table(other / name)
    for name in ("best.json", "encoder/model.safetensors", "encoder/model.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert read_parquet(one / "results.parquet").equals(read_parquet(other / "results.parquet"))
    left = [sorted(place.name for place in (folder / "checkpoints").iterdir()) for folder in (one, other)]
    assert left[0] == left[1]
    last = [checkpoints.load(checkpoints.latest(folder / "checkpoints")) for folder in (one, other)]
    assert last[0].state == last[1].state
    assert all(torch.equal(last[0].system[key], last[1].system[key]) for key in last[0].system)


def test_the_encoder_hears_what_the_best_system_hears(whole, root):
    folder, found = whole
    assert found.encoder == folder / "encoder"
    encoder = CheckpointEncoder(Checkpoint(extractor="checkpoint", source=str(found.encoder), device="cpu"))
    asked = recipe()
    system = module_of(asked.system).made(
        asked.settings, num_people=len(TRAINED), spec_augment=asked.augmentation.spec_augment
    )
    best = RunFolder(folder).best()
    assert best.name == f"{found.progress.best_epoch + 1:06}-00000000"
    system.load_state_dict(checkpoints.load(best).system)
    system.eval()
    speech = held_out(root).speech
    wave, _ = FileReader(speech).whole(np.arange(len(speech)))
    with torch.inference_mode():
        expected = system.embed(torch.from_numpy(wave)).numpy()
    np.testing.assert_allclose(encoder.embed(list(wave)), expected, rtol=1e-4, atol=1e-5)


def test_results_are_the_figures_of_the_encoder(whole, root):
    folder, found = whole
    held = held_out(root)
    encoder = CheckpointEncoder(Checkpoint(extractor="checkpoint", source=str(found.encoder), device="cpu"))
    wave, _ = FileReader(held.speech).whole(np.arange(len(held.speech)))
    scores = cosine_scores(held.trials, held.speech.utterance_ids, unit(encoder.embed(list(wave))))
    is_target = held.trials["is_target"].to_numpy()
    rows = found.results.to_pylist()
    assert [row["value"] for row in rows] == pytest.approx(
        [
            equal_error_rate(scores, is_target),
            min_dcf(scores, is_target, p_target=0.01),
            min_dcf(scores, is_target, p_target=0.001),
        ]
    )
    assert {(row["benchmark"], row["list"], row["system"]) for row in rows} == {("toy", "held", recipe().name)}
    assert read_parquet(folder / "results.parquet").equals(found.results)


def test_the_folder_says_what_was_trained_on_what(whole):
    told = json.loads((whole[0] / "run.json").read_text())
    assert told["recipe"]["name"] == recipe().name
    assert (told["speech"]["utterances"], told["speech"]["people"]) == (24, 6)
    assert told["validation"]["trials"] == 28, "pairs of eight utterances"
    assert {"torch", "numpy", "python"} <= told["versions"].keys()
    assert [row["epoch"] for row in table(whole[0] / "validations.csv")] == ["0", "1", "2"]
    assert len(table(whole[0] / "steps.csv")) == 6
    assert list((whole[0] / "tensorboard").iterdir())


def test_a_run_that_is_complete_is_only_told_of(whole, root, said):
    folder, found = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = begun(root, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert again.progress == found.progress
    assert again.encoder == found.encoder
    assert again.results.equals(found.results)
    assert said() == [f"train: {folder} is complete after all of its 2 epochs; nothing to do"]


def test_a_run_that_ended_early_says_so(tmp_path, root, said):
    changes = {"epochs": 50, "patience": 1, "schedule": replace(recipe().schedule, rate=1e-12)}
    found = begun(root, tmp_path / "run", changes=changes)
    assert found.progress.epoch < 50
    before = len(said())
    assert begun(root, tmp_path / "run", changes=changes).progress == found.progress
    at = found.progress
    over = f"after {at.epoch - 1} of 50 epochs: 1 validation gained nothing on epoch {at.best_epoch}"
    assert said()[before:] == [f"train: {tmp_path / 'run'} is complete {over}; nothing to do"]


@pytest.fixture(scope="module")
def killed(loaded, tmp_path_factory, root):
    """A run that was killed in the second step of its second epoch."""
    from tests.models.training.killed_run import begun_and_killed  # it imports from here

    folder = tmp_path_factory.mktemp("killed") / "run"
    ended = loaded.run(begun_and_killed, root, folder)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return folder


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(killed, whole, root, said):
    assert len(table(killed / "steps.csv")) == 4
    assert not (killed / "encoder").exists()
    found = begun(root, killed)
    assert "train: goes on in epoch 2 after step 1" in said()
    same_runs(killed, whole[0])
    assert found.results.equals(whole[1].results)


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(tmp_path, whole, root, monkeypatch):
    changes = {"checkpoint_every": 0}
    learn, done = runs.Training._learn, []

    def learn_or_die(self, *args, **kwargs):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(None)
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(runs.Training, "_learn", learn_or_die)
    with pytest.raises(KeyboardInterrupt):
        begun(root, tmp_path / "run", changes=changes)
    assert len(table(tmp_path / "run" / "steps.csv")) == 2
    monkeypatch.undo()
    begun(root, tmp_path / "run", changes=changes)
    same_runs(tmp_path / "run", whole[0])


def test_a_run_that_died_when_its_figures_were_counted_counts_them(tmp_path, whole, root, monkeypatch):
    def died(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "result_rows", died)
    with pytest.raises(KeyboardInterrupt):
        begun(root, tmp_path / "run")
    monkeypatch.undo()
    begun(root, tmp_path / "run")
    same_runs(tmp_path / "run", whole[0])


def test_who_died_before_the_best_was_named_keeps_it(tmp_path, whole, root, monkeypatch):
    keep = RunFolder.keep_best_and

    def keep_or_die(self, last, *, is_best):
        if last.name == f"{whole[1].progress.best_epoch + 1:06}-00000000":
            raise KeyboardInterrupt
        keep(self, last, is_best=is_best)

    monkeypatch.setattr(RunFolder, "keep_best_and", keep_or_die)
    with pytest.raises(KeyboardInterrupt):
        begun(root, tmp_path / "run")
    monkeypatch.undo()
    begun(root, tmp_path / "run")
    same_runs(tmp_path / "run", whole[0])


def test_a_cache_changes_nothing(tmp_path, whole, root):
    begun(root, tmp_path / "run", cache=True)
    assert list((tmp_path / "run" / "cache").iterdir())
    same_runs(tmp_path / "run", whole[0])


def test_a_run_says_whom_it_heard(whole):
    assert (whole[0] / "people.txt").read_text().split() == [f"p{who}" for who in range(6)]


def test_a_run_may_begin_with_the_encoder_of_another(tmp_path, whole, root, said):
    first = whole[0] / "encoder"
    found = begun(root, tmp_path / "run", initial=first, changes={"schedule": replace(recipe().schedule, rate=1e-12)})
    assert any("tensors of the network matched, all" in line for line in said())
    assert found.progress.first_error == whole[1].progress.best_error
    learnt = dict(checkpoint.load(found.encoder).network.named_parameters())
    for name, tensor in checkpoint.load(first).network.named_parameters():
        torch.testing.assert_close(learnt[name], tensor, rtol=0, atol=1e-8)


def test_without_anybody_held_out_the_last_is_the_best(tmp_path, root):
    found = begun(root, tmp_path / "run", validate=False)
    assert found.results is None
    assert RunFolder(tmp_path / "run").best().name == "000003-00000000"
    assert not (tmp_path / "run" / "validations.csv").exists()
    assert begun(root, tmp_path / "run", validate=False).results is None


def test_time_left_and_rates_are_of_what_this_process_did(tmp_path, root, monkeypatch):
    """A step takes a second, of four crops; who goes on has not taken the steps before."""
    now, told = [0.0], []
    learn, note = runs.Training._learn, RunFolder.note_step

    def a_second(self, *args, **kwargs):
        now[0] += 1.0
        return learn(self, *args, **kwargs)

    def noted(self, at, num_steps, parts, *, lr, rate, left_s):
        told.append((at.epoch, at.step, rate, round(left_s, 6)))
        if len(told) == 5:
            raise KeyboardInterrupt
        note(self, at, num_steps, parts, lr=lr, rate=rate, left_s=left_s)

    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(runs.Training, "_learn", a_second)
    monkeypatch.setattr(RunFolder, "note_step", noted)
    with pytest.raises(KeyboardInterrupt):
        begun(root, tmp_path / "run")
    assert told == [(1, 1, 4.0, 5.0), (1, 2, 4.0, 4.0), (1, 3, 4.0, 3.0), (2, 1, 4.0, 2.0), (2, 2, 4.0, 1.0)]
    now[0] += 1000.0
    begun(root, tmp_path / "run")
    assert told[5:] == [(2, 2, 4.0, 1.0), (2, 3, 4.0, 0.0)]


@pytest.mark.parametrize(
    ("precision", "has_it", "is_told"),
    [("bfloat16", False, True), ("bfloat16", True, False), ("float32", False, False)],
)
def test_bfloat16_on_a_processor_without_it_is_told(tmp_path, root, caplog, monkeypatch, precision, has_it, is_told):
    caplog.set_level(logging.INFO, "voxcurate")
    monkeypatch.setattr(runs, "has_bfloat16", lambda: has_it)
    begun(root, tmp_path / "run", changes={"precision": precision, "epochs": 1}, validate=False)
    told = [line for line in caplog.messages if "`--set precision=float32`" in line]
    assert len(told) == is_told


MANY = replace(recipe().batches, utterances_each=9)
WRONG = [
    ({"settings": {"loss": "ap", "bands": 3}}, {}, r"^vietsv-scratch-ap-adam: settings: bands: "),
    ({"batches": MANY}, {}, r"^p0: 4 utterances; expected 9 of each speaker"),
    ({"batches": replace(recipe().batches, crop_s=(2.0, 1.0))}, {}, r"^crops of 32000 to 16000 samples; expected"),
    (
        {"augmentation": replace(recipe().augmentation, noise_folder=Path("gone"), noise_probability=0.5)},
        {},
        r"^gone: is no folder",
    ),
    ({"batches": replace(recipe().batches, hard=1)}, {}, r"^batches\.hard 1: this system does not know"),
    (
        {"patience": 2, "epochs": 3},
        {},
        r"^vietsv-scratch-ap-adam: patience: nobody is .*; expected people \(`--hold-out`, .*\), or no patience$",
    ),
    ({"schedule": Plateau(rate=0.1)}, {}, r"^vietsv-scratch-ap-adam: schedule plateau: nobody is held out"),
    ({}, {"initial": Path("gone.model")}, r"gone\.model: "),
    ({}, {"device": "gpu"}, r"^--device gpu: expected auto, cpu, cuda or one such as cuda:1$"),
    ({}, {"device": "cuda:99"}, r"^device 'cuda:99': "),
]


def test_patience_that_outlasts_the_run_waits_for_nobody(tmp_path, root):
    begun(root, tmp_path / "run", changes={"patience": 1, "epochs": 1}, validate=False)
    assert (tmp_path / "run" / "encoder").exists()


@pytest.mark.parametrize(("changes", "settings", "told"), WRONG)
def test_what_does_not_fit_is_told_before_anything_is_begun(tmp_path, root, changes, settings, told):
    speech = of_manifest(manifest_of(root, "train.csv", TRAINED))
    with pytest.raises(VoxcurateError, match=told) as error:
        train(replace(recipe(), **changes), speech, tmp_path / "run", of="tones", **({"device": "cpu"} | settings))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_the_loss_cannot_take_is_told_with_its_size(tmp_path, root):
    changes = {"batches": replace(recipe().batches, utterances_each=1)}
    with pytest.raises(
        VoxcurateError, match=r"^epoch 1, step 1: 2 crops of 0\.3 s: 2 utterances of 2 people: expected .*`batches`"
    ):
        begun(root, tmp_path / "run", changes=changes)
    begun(root, tmp_path / "run")  # no step was taken: it may be another run now


def test_memory_that_does_not_do_is_told_with_what_to_lower(tmp_path, root, monkeypatch):
    def full(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(runs.Training, "_learn", full)
    with pytest.raises(
        VoxcurateError,
        match=r"^epoch 1, step 1: 4 crops of 0\.3 s do not fit into the memory of cpu; expected fewer .*$",
    ) as error:
        begun(root, tmp_path / "run")
    assert "\n" not in str(error.value)
    assert all(key in str(error.value) for key in ("batches.speakers", "batches.crop_s", "bfloat16"))


def test_audio_that_changed_is_told_and_the_run_goes_on_when_it_is_back(tmp_path, whole):
    root = tones(tmp_path / "tones")
    files = sorted(root.glob("p[0-5]/*.wav"))
    kept = {file: file.read_bytes() for file in files}
    speech = of_manifest(manifest_of(root, "train.csv", TRAINED))
    for file in files:
        file.write_bytes(kept[file][:2000])
    with pytest.raises(DamagedAudioError, match=r"^p[0-5]-[0-3]: .*\.wav"):
        train(recipe(checkpoint_every=1), speech, tmp_path / "run", of="tones", held_out=held_out(root), device="cpu")
    for file in files:
        file.write_bytes(kept[file])
    begun(root, tmp_path / "run")
    same_runs(tmp_path / "run", whole[0])


def test_what_a_validation_does_not_measure_is_told(root, said):
    speech = held_out(root).speech
    none, some = (replace(speech, transcripts=[text] * len(speech)) for text in (None, "A TONE"))
    runs._say_what_is_left_out(LIBRISPEECH, none.take(np.array([], np.int64)), none, is_compared=True)
    runs._say_what_is_left_out(LIBRISPEECH, some, some, is_compared=False)
    assert said() == [
        "train: nobody held out has a transcript: validations are of EER alone",
        "train: nobody held out has two utterances to compare: validations are of WER alone",
    ]


def test_all_processes_but_the_first_are_silent(monkeypatch, said):
    monkeypatch.setattr("models.training.processes.distributed.init_process_group", lambda backend, timeout: None)
    monkeypatch.setattr("models.training.processes.distributed.destroy_process_group", lambda: None)
    log = logging.getLogger("voxcurate")
    for number in ("0", "1"):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", number)
        with runs.together("cpu"):
            log.info("of process %s", number)
    log.info("after")
    assert said() == ["of process 0", "after"]
