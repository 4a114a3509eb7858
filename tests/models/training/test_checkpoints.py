"""A checkpoint comes back as it was, is whole or not there, and one that is damaged is told."""

import json

import pytest
import torch
from torch import nn

from curate.errors import TrainingError
from models.training import checkpoints
from models.training.checkpoints import Checkpoint, keep_only, latest, load, save
from models.training.recipe import Optimizer

OPTIMIZERS = [
    Optimizer(kind="adam", weight_decay=1e-4),
    Optimizer(kind="sgd"),
    Optimizer(kind="sgd", momentum=0.9, weight_decay=1e-3),
]


class Network(nn.Module):
    """Weights, buffers of several kinds, a parameter that does not learn, and one that no loss reaches."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.unused = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(2, 2)
        self.fixed = nn.Parameter(torch.randn(2), requires_grad=False)

    def forward(self, x):
        return self.norm(self.linear(x)).square().sum()


def stepped(network, optimizer, num_steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_steps):
        optimizer.zero_grad()
        network(torch.randn(5, 3, generator=generator)).backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        optimizer.step()


def kept(network, optimizer, *, epoch=1, step=0, state=None):
    return Checkpoint(
        system=checkpoints.on_processor(network.state_dict()),
        optimizer=optimizer.state_dict(),
        state=state or {},
        epoch=epoch,
        step=step,
    )


def made(asked):
    torch.manual_seed(0)
    network = Network()
    return network, asked.made(network)


@pytest.mark.parametrize("asked", OPTIMIZERS, ids=lambda one: f"{one.kind}-{one.momentum}")
def test_what_comes_back_goes_on_as_what_was_never_kept(tmp_path, asked):
    network, optimizer = made(asked)
    stepped(network, optimizer, 3)
    state = {"epoch": 2, "best_error": None, "errors": [0.1, 1 / 3], "is_best": True}
    place = save(tmp_path, kept(network, optimizer, epoch=2, step=7, state=state))
    assert place.name == "000002-00000007"
    again, its = made(asked)
    stepped(again, its, 1, seed=9)  # its own state must not show
    found = load(place)
    again.load_state_dict(found.system)
    its.load_state_dict(found.optimizer)
    assert (found.epoch, found.step, found.state) == (2, 7, state)
    for one in ((network, optimizer), (again, its)):
        stepped(*one, 3, seed=1)
    assert all(torch.equal(again.state_dict()[key], tensor) for key, tensor in network.state_dict().items())
    twice = load(save(tmp_path, kept(again, its, epoch=3)))
    assert twice.optimizer["param_groups"] == json.loads(json.dumps(optimizer.state_dict()["param_groups"]))


def test_what_is_kept_does_not_change_with_further_steps(tmp_path):
    network, optimizer = made(OPTIMIZERS[0])
    before = checkpoints.on_processor(network.state_dict())
    stepped(network, optimizer, 1)
    assert not torch.equal(before["linear.weight"], network.linear.weight)


@pytest.fixture
def place(tmp_path):
    network, optimizer = made(OPTIMIZERS[0])
    stepped(network, optimizer, 1)
    return save(tmp_path, kept(network, optimizer, epoch=1, step=1))


@pytest.mark.parametrize("name", [checkpoints.SYSTEM, checkpoints.OPTIMIZER, checkpoints.STATE])
@pytest.mark.parametrize("damage", ["gone", "empty", "half", "other"])
def test_a_damaged_file_is_told(place, name, damage):
    content = (place / name).read_bytes()
    (place / name).unlink()
    if damage != "gone":
        (place / name).write_bytes({"empty": b"", "half": content[: len(content) // 2], "other": b"[1, 2]"}[damage])
    with pytest.raises(TrainingError, match=r"000001-00000001: cannot be read \(.+\); expected a checkpoint of a run$"):
        load(place)


def test_the_latest_is_by_number_and_never_half_of_one(tmp_path):
    assert latest(tmp_path / "none") is None
    for name in (
        "000002-00000010",
        "000010-00000000",
        "999999-00000300",
        "1000000-00000000",
        "1000001-00000000.unfinished",
    ):
        (tmp_path / name).mkdir()
    assert latest(tmp_path).name == "1000000-00000000"


def test_only_checkpoints_are_removed_and_what_runs_that_died_left(tmp_path):
    for name in ("000001-00000000", "000002-00000000", "000003-00000000.unfinished", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / ".DS_Store").touch()
    keep_only(tmp_path, {tmp_path / "000002-00000000"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".DS_Store", "000002-00000000", "notes"]
    assert latest(tmp_path).name == "000002-00000000"
    keep_only(tmp_path / "none", set())


def test_a_run_that_died_while_it_wrote_one_leaves_none(tmp_path, monkeypatch):
    network, optimizer = made(OPTIMIZERS[0])
    stepped(network, optimizer, 1)
    write, calls = checkpoints.save_file, []

    def died(tensors, path):
        if calls:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        calls.append(path)
        write(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", died)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, kept(network, optimizer))
    assert [path.name for path in tmp_path.iterdir()] == ["000001-00000000.unfinished"]
    assert latest(tmp_path) is None
    monkeypatch.undo()
    assert load(save(tmp_path, kept(network, optimizer))).epoch == 1
    assert [path.name for path in tmp_path.iterdir()] == ["000001-00000000"]


def test_a_checkpoint_that_is_there_is_not_written_again(place):
    network, optimizer = made(OPTIMIZERS[0])
    before = {file: file.stat().st_mtime_ns for file in place.iterdir()}
    assert save(place.parent, kept(network, optimizer, epoch=1, step=1)) == place
    assert {file: file.stat().st_mtime_ns for file in place.iterdir()} == before
