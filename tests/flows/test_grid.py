"""A grid: a run for each value, its own process and device, the best told; what is complete is not trained again."""

import csv
import json
import re
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate.errors import TrainingError
from flows import grid
from flows.cli import app
from flows.grid import best_of, settings_of, train_grid
from tests.flows.grids_made import carried_out_here
from tests.flows.test_train import RECIPE
from tests.models.training.tones_made import catalog_of, tones


def test_all_ways_to_take_one_value_of_each_key():
    assert settings_of(["schedule.rate=1e-4, 3e-4", "seed=1"]) == [
        ("schedule.rate=1e-4", "seed=1"),
        ("schedule.rate=3e-4", "seed=1"),
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["seed"], r"^--grid seed: expected KEY=VALUE,VALUE"),
        (["seed=1,"], r"^--grid seed=1,: expected KEY=VALUE,VALUE"),
        (["seed=1,1"], r"^--grid seed=1,1: expected KEY=VALUE,VALUE"),
        (["settings.teacher=a/b,c"], r"^--grid settings\.teacher=a/b,c: expected KEY=VALUE,VALUE"),
        (["seed=1,2", "seed=3"], r"^--grid seed: seed, seed; expected each key once, with all its values"),
    ],
)
def test_what_is_no_grid_is_told(asked, said):
    with pytest.raises(TrainingError, match=said):
        settings_of(asked)


def test_a_setting_that_is_none_is_told_before_any_run_begins(tmp_path):
    with pytest.raises(TrainingError, match=r"^--set nothing=1: no key 'nothing'"):
        train_grid("mtml-tdnn", [], [], ["nothing=1,2"], tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def called(monkeypatch):
    """The processes that were called, each carried out within this one."""
    return carried_out_here(monkeypatch)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    catalog_of(folder / "catalog", tones(folder / "tones"))
    (folder / "small.toml").write_text(RECIPE)
    return folder


def grid_of(place, *words):
    given = ["train", str(place / "small.toml"), "-c", str(place / "catalog"), "--device", "cpu", *words]
    return CliRunner().invoke(app, given, catch_exceptions=False)


def test_a_run_for_each_value_and_the_best_is_told(place, called, tmp_path):
    words = [
        "--grid",
        "schedule.rate=1e-9,0.01",
        "--set",
        "epochs=1",
        "--hold-out",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    told = grid_of(place, *words)
    assert told.exit_code == 0
    folders = {value: tmp_path / "out" / f"schedule.rate={value}" for value in ("1e-9", "0.01")}
    for value, folder in folders.items():
        recipe = json.loads((folder / "run.json").read_text())["recipe"]
        assert (recipe["schedule"]["rate"], recipe["epochs"]) == (float(value), 1)
        assert (folder / "encoder").is_dir()
    best = [best_of(folder, ()) for folder in folders.values()]
    lines = told.stdout.splitlines()
    assert lines[0].split()[:2] == ["schedule.rate", "before"]
    assert lines[-1].startswith(f"The best is {min(best, key=lambda one: one.error).folder}; its network: ")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}
    assert grid_of(place, *words).stdout == told.stdout
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")} == before
    assert len(called) == 4
    assert all(command[1:5] == ["-m", "flows.cli", "train", str(place / "small.toml")] for command in called)


def test_a_run_that_fails_is_told_and_the_others_end(place, called, tmp_path):
    with pytest.raises(
        TrainingError, match=r"^batches\.utterances_each=9: tones/p\d/?: 4 utterances; .*\(1 of 2 runs fai"
    ):
        grid_of(
            place,
            "--grid",
            "batches.utterances_each=9,2",
            "--set",
            "epochs=1",
            "--hold-out",
            "0",
            "--out",
            str(tmp_path),
        )
    assert (tmp_path / "batches.utterances_each=2" / "encoder").is_dir()


def test_a_rate_too_high_is_no_reason_not_to_tell_of_the_others(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "voxcurate")

    def run(words, settings, folder, device):
        folder.mkdir()
        (folder / "validations.csv").write_text("epoch,wer_eer,wer,eer\n0,0.8,1.0,0.5\n1,0.3,0.6,0.2\n")
        if settings == ["seed=1"]:
            return "seed=1: the loss is not finite"
        (folder / "encoder").mkdir()
        return None

    monkeypatch.setattr(grid, "_run", run)
    with pytest.raises(TrainingError, match=r"^seed=1: the loss is not finite \(1 of 3 runs failed; expected none\)$"):
        train_grid("mtml-tdnn", [], [], ["seed=1,2,3"], tmp_path, "cpu")
    assert best_of(tmp_path / "seed=1", ()) is None
    head, _, first, second, _, _, best = caplog.messages[1:]
    told = re.split(" {2,}", head.removeprefix("grid: ").strip())
    assert told == ["seed", "before", "a quarter of WER and three of EER", "WER", "EER", "epoch"]
    assert (first.split()[1:], second.split()[1]) == (["2", "0.8", "0.3", "0.6", "0.2", "1"], "3")
    assert best == f"grid: The best is {tmp_path}/seed=2; its network: {tmp_path}/seed=2/encoder"


def test_as_many_run_at_a_time_as_there_are_devices_each_on_its_own(tmp_path, monkeypatch):
    both, busy, taken = threading.Barrier(2, timeout=60), set(), []

    def run(words, settings, folder, device):
        assert device not in busy
        busy.add(device)
        taken.append((folder.name, device))
        both.wait()  # for another run, or this fails
        busy.remove(device)
        both.wait()

    monkeypatch.setattr(grid, "_run", run)
    monkeypatch.setattr(grid, "_devices", lambda device: ["cuda:0", "cuda:1"])
    train_grid("mtml-tdnn", [], [], ["seed=1,2", "epochs=3,4"], tmp_path, "auto")
    assert sorted(name for name, _ in taken) == [f"seed={seed},epochs={num}" for seed in (1, 2) for num in (3, 4)]
    assert [{device for _, device in taken[at : at + 2]} for at in (0, 2)] == [{"cuda:0", "cuda:1"}] * 2


def test_the_best_validation_after_training_counts(tmp_path):
    rows = [{"epoch": 0, "wer_eer": 0.1, "wer": 0.2}, {"epoch": 1, "wer_eer": 0.5}]
    rows.append({"epoch": 2, "wer_eer": 0.4, "wer": 0.3})
    (tmp_path / "encoder").mkdir()
    with (tmp_path / "validations.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["epoch", "wer_eer", "wer"])
        table.writeheader()
        table.writerows(rows)
    found = best_of(tmp_path, ("seed=1",))
    assert (found.measure, found.before, found.error, found.epoch) == ("wer_eer", 0.1, 0.4, 2)
    assert found.parts == {"wer": 0.3}
    assert best_of(tmp_path / "nowhere", ()) is None


def test_devices_are_those_there_are(monkeypatch):
    import torch

    assert grid._devices("cpu") == ["cpu"]
    assert grid._devices("cuda:1") == ["cuda:1"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert grid._devices("auto") == ["cuda:0", "cuda:1", "cuda:2"]
    assert [str(Path(one)) for one in grid.words_of(catalog=Path("c"), hold_out=0, cache=True, dev=None)] == [
        *("--catalog", "c", "--hold-out", "0", "--cache")
    ]
