"""What a run leaves behind: whose folder it is, tables that are whole, and durations in words."""

import copy
import csv
import json
import logging
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from curate.errors import TrainingError
from curate.storage import location
from models.training import run_folder
from models.training.engine import Progress, Validated
from models.training.run_folder import RunFolder, duration

DESCRIPTION = {
    "recipe": {"name": "x", "batches": {"crop_s": (2.0, 4.0)}},
    "speech": {"of": "train.csv", "fingerprint": "a"},
    "validation": None,
    "weights": {"of": "x.model", "sha256": "0"},
    "versions": {"torch": "1"},
}


def described(**changes):
    return copy.deepcopy(DESCRIPTION) | changes


def note(run, epoch, step, parts=None, *, num_steps=3, rate=100.0, left_s=5.0):
    at = Progress(epoch=epoch, step=step, num_steps=(epoch - 1) * num_steps + step)
    run.note_step(at, num_steps, parts or {"loss": 1 / step}, lr=0.01, rate=rate, left_s=left_s)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path):
    """One that took a step."""
    made = RunFolder(tmp_path / "run")
    made.begin(described())
    note(made, 1, 1)
    yield made
    made.close()


# ---------------------------------------------------------------------------------------------------------- whose it is


def test_a_run_may_be_called_again_and_says_what_it_is_only_once(run):
    run.close()
    before = (run.root / "run.json").read_bytes()
    again = RunFolder(run.root)
    again.begin(described(versions={"torch": "2"}))
    again.close()
    assert (run.root / "run.json").read_bytes() == before
    assert json.loads(before)["recipe"] == {"name": "x", "batches": {"crop_s": [2.0, 4.0]}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": {"name": "y"}}, "another recipe"),
        ({"speech": {"of": "train.csv", "fingerprint": "b"}}, "other speech"),
        ({"validation": {"trials": 3}}, "another validation"),
        ({"weights": {"of": "x.model", "sha256": "1"}}, r"other weights to begin with \(--from\)"),
        ({"processes": 2}, "another number of processes"),
        ({"weights": None}, r"other weights to begin with \(--from\)"),
    ],
)
def test_the_folder_of_another_run_is_told(run, changes, said):
    run.close()
    with pytest.raises(TrainingError, match=rf"run: holds a run with {said}; expected the same, or another folder$"):
        RunFolder(run.root).begin(described(**changes))


def test_what_is_heard_counts_and_not_what_it_is_called(run):
    run.close()
    again = RunFolder(run.root)
    again.begin(described(speech={"of": "/data/train.csv", "fingerprint": "a"}))
    again.close()
    (run.checkpoints / "000001-00000001").mkdir(parents=True)
    again.begin(described(weights=None))  # it goes on from a checkpoint
    again.close()


def test_a_run_that_took_no_step_may_be_another_now(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.begin(described())
    run.close()
    run.begin(described(recipe={"name": "y"}))
    run.close()
    assert json.loads((run.root / "run.json").read_text())["recipe"] == {"name": "y"}


def test_two_processes_may_not_train_in_one_folder(run):
    with pytest.raises(TrainingError, match=r"run: another process trains here; expected to be alone$"):
        RunFolder(run.root).begin(described())
    run.close()
    other = RunFolder(run.root)
    other.begin(described())
    other.close()


def test_what_is_no_run_is_left_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"is not empty and no run; expected a folder that is not there$"):
        RunFolder(tmp_path).begin(described())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(NotADirectoryError):
        RunFolder(tmp_path / "notes.txt").begin(described())


def test_an_empty_folder_may_be_there(tmp_path):
    run = RunFolder(tmp_path)
    run.begin(described())
    run.close()
    assert (tmp_path / "run.json").exists()


def test_a_place_elsewhere_is_refused():
    with pytest.raises(TrainingError, match=r"^memory://runs/x: lies elsewhere; expected a folder of this machine"):
        RunFolder(location("memory://runs/x")).begin(described())


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_damaged_description_is_told(run, text):
    run.close()
    (run.root / "run.json").write_text(text)
    with pytest.raises(TrainingError, match=r"run\.json: cannot be read \(.*\); expected what a run wrote there$"):
        RunFolder(run.root).begin(described())


# --------------------------------------------------------------------------------------------------------------- tables


def test_a_row_a_step_and_a_row_a_validation(run):
    note(run, 1, 2, {"loss": 0.25}, rate=123.456)
    run.note_validation(1, Validated(0.125, "eer", {"num_target": 3, "num_nontarget": 9}), is_best=True, num_steps=2)
    assert rows(run.root / "steps.csv") == [
        {"epoch": "1", "step": "1", "loss": "1.0", "lr": "0.01", "utterances_per_s": "100.0"},
        {"epoch": "1", "step": "2", "loss": "0.25", "lr": "0.01", "utterances_per_s": "123.5"},
    ]
    assert rows(run.root / "validations.csv") == [
        {"epoch": "1", "eer": "0.125", "num_target": "3", "num_nontarget": "9", "is_best": "True"}
    ]


@given(st.floats(1e-6, 1e7))
def test_no_rate_is_told_as_nothing(tmp_path_factory, rate):
    run = RunFolder(tmp_path_factory.mktemp("rate"))
    run._tell_tensorboard = lambda step, values: None
    note(run, 1, 1, rate=rate)
    assert float(rows(run.root / "steps.csv")[0]["utterances_per_s"]) == pytest.approx(rate, rel=1e-3)


def test_a_part_that_appears_later_becomes_a_column(run):
    note(run, 1, 2, {"loss": 0.5, "metric": 2.0})
    note(run, 1, 3, {"loss": 0.25})
    found = rows(run.root / "steps.csv")
    assert [row["loss"] for row in found] == ["1.0", "0.5", "0.25"]
    assert [row["metric"] for row in found] == ["", "2.0", ""]
    assert [row["lr"] for row in found] == ["0.01"] * 3
    again = RunFolder(run.root)
    again.forget_after(1, 2)
    note(again, 1, 3, {"other": 7.0, "loss": 0.125})
    again.close()
    assert rows(run.root / "steps.csv")[-1] == {
        "epoch": "1",
        "step": "3",
        "loss": "0.125",
        "lr": "0.01",
        "utterances_per_s": "100.0",
        "metric": "",
        "other": "7.0",
    }


def filled(run):
    for epoch, step in ((1, 2), (1, 3), (2, 1), (2, 2), (2, 3)):
        note(run, epoch, step)
    for epoch in range(3):
        run.note_validation(
            epoch, Validated(0.5, "eer", {"num_target": 1, "num_nontarget": 1}), is_best=False, num_steps=3 * epoch
        )


@pytest.mark.parametrize(
    ("epoch", "step", "num_steps", "num_validations"),
    [(0, 0, 0, 0), (1, 1, 1, 1), (1, 3, 3, 1), (2, 0, 3, 2), (2, 2, 5, 2), (3, 0, 6, 3)],
)
def test_what_came_after_a_checkpoint_is_forgotten(run, epoch, step, num_steps, num_validations):
    filled(run)
    run.forget_after(epoch, step)
    assert len(rows(run.root / "steps.csv")) == num_steps
    assert len(rows(run.root / "validations.csv")) == num_validations
    again = (run.root / "steps.csv").read_bytes()
    run.forget_after(epoch, step)
    assert (run.root / "steps.csv").read_bytes() == again


@pytest.mark.parametrize("num_bytes", range(1, 25, 3))
def test_half_a_row_is_dropped_wherever_it_was_cut(run, num_bytes):
    filled(run)
    whole = (run.root / "steps.csv").read_bytes()
    last = whole.rstrip().rpartition(b"\n")[2]
    assert len(last) > 24
    (run.root / "steps.csv").write_bytes(whole[: len(whole) - len(last) - 2 + num_bytes])
    run.forget_after(9, 9)
    assert (run.root / "steps.csv").read_bytes() == whole[: len(whole) - len(last) - 2]


@pytest.mark.parametrize(
    "text", ["epoch,step\n1,x\n", "epoch,loss\n1,2\n", "epoch,step\n1\n", "epoch,step\n1,2,3\n", "epoch,step\n,\n"]
)
def test_a_table_that_no_run_wrote_is_told(run, text):
    (run.root / "steps.csv").write_text(text)
    with pytest.raises(TrainingError, match=r"steps\.csv: .*; expected a table of this run, as it was written$"):
        run.forget_after(9, 9)


def test_a_full_disk_is_told(run, monkeypatch):
    (run.root / "steps.csv").unlink()
    (run.root / "steps.csv").mkdir()
    with pytest.raises(TrainingError, match=r"steps\.csv: cannot be written \(Is a directory\); expected room"):
        note(RunFolder(run.root), 1, 1)


def test_tensorboard_is_told_the_same_under_the_steps_of_the_whole_run(run):
    filled(run)
    run.close()
    told = EventAccumulator(str(run.root / "tensorboard"))
    told.Reload()
    assert [(one.step, one.value) for one in told.Scalars("loss")] == [
        (at + 1, pytest.approx(1 / (at % 3 + 1))) for at in range(6)
    ]
    assert [one.step for one in told.Scalars("eer")] == [0, 3, 6]


def test_a_line_is_said_at_the_end_of_an_epoch_and_every_ten_seconds(run, caplog, monkeypatch):
    """Of each part what it was last: batches of two kinds have others by turns."""
    caplog.set_level(logging.INFO, "voxcurate")
    clock = SimpleNamespace(monotonic=lambda: 1e9)
    monkeypatch.setattr(run_folder, "time", clock)
    run._said = 1e9 - 10
    note(run, 1, 2, {"loss": 0.5, "scale": 10.0}, rate=0.04, left_s=3725)
    note(run, 2, 1)
    note(run, 2, 3, rate=1234.0)
    assert [record.getMessage() for record in caplog.records] == [
        "train: epoch 1, step 2 of 3: loss 0.5000, scale 10.0000; lr 0.01, 0.04 utterances/s, 1 h 2 min left",
        "train: epoch 2, step 3 of 3: loss 0.3333, scale 10.0000; lr 0.01, 1234 utterances/s, 5 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60.0, "1 min"),
        (89.9, "1 min"),
        (90.0, "2 min"),
        (3569.9, "59 min"),
        (3570.0, "1 h 0 min"),
        (7529.0, "2 h 5 min"),
        (360_000.0, "100 h 0 min"),
    ],
)
def test_durations_are_said_in_words(seconds, said):
    assert duration(seconds) == said


@given(st.floats(60, 1e7))
def test_a_duration_in_words_is_within_half_a_minute(seconds):
    parts = duration(seconds).split()
    unit = {"h": 3600, "min": 60, "s": 1}
    said = sum(int(number) * unit[name] for number, name in zip(parts[::2], parts[1::2], strict=True))
    assert abs(said - seconds) <= 30
