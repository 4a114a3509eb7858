"""One of two processes that train together; see `test_processes`."""

import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed, nn

from models.training import checkpoints
from models.training.engine import Training
from models.training.processes import together
from models.training.run_folder import RunFolder
from models.training.system import System
from tests.forked import Forks
from tests.models.training.runs_made import ALONE, recipe, spoken, training
from tests.models.training.test_engine import stopped_after

LONGEST_S = 300


def train_together(forked: Forks, call: Callable[[Path], None], folder: Path) -> None:
    """Call it with the folder in two processes that find each other as torchrun's do, and end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    ends = [
        forked.start(in_time, call, folder, environment=told | {"RANK": number, "LOCAL_RANK": number})
        for number in ("0", "1")
    ]
    done = [end() for end in ends]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr


def in_time(call: Callable[[Path], None], folder: Path) -> None:
    """An alarm ends the process that waits for one that died: by itself it would for days."""
    signal.alarm(LONGEST_S)
    call(folder)


class TwoHeads(System):
    """A layer, and two heads that learn from it by turns."""

    learns_in_parts = True

    def __init__(self):
        super().__init__()
        self.network = nn.Linear(4, 3)
        self.heads = nn.ModuleList(nn.Linear(3, 1) for _ in range(2))
        self.num_batches = 0

    def losses(self, wave, labels):
        head = self.heads[self.num_batches % 2]
        self.num_batches += 1
        return {"loss": head(self.network(wave[:, :4])).square().sum()}


def with_heads(asked, folder, *, speech, processes=ALONE):
    heard = training(asked, folder, speech=speech, validate=False)._heard
    torch.manual_seed(asked.seed)
    return Training(TwoHeads(), asked, heard, run=RunFolder(folder), processes=processes)


def first_gradients(made, asked, folder, *, speech, processes):
    """By name, of the first step: what the run steps by, and the same by hand, from batches of either process alone."""
    run, found = made(asked, folder, speech=speech, processes=processes), {}
    run._optimizer.step = lambda: found.update({name: one.grad.clone() for name, one in run._system.named_parameters()})
    run.train()
    alone = made(asked, folder, speech=speech)
    alone._processes = processes  # whose share of each batch it hears
    alone._system.train()
    learnt = dict(alone._system.named_parameters())
    expected = {name: torch.zeros_like(one) for name, one in learnt.items()}
    for place, (wave, labels) in enumerate(alone._batches(alone._plan(1), first=0)):
        alone._seed(1, place)
        alone._system.zero_grad(set_to_none=False)
        (alone._system(wave, labels)["loss"] / asked.accumulate).backward()
        gradients = {name: torch.zeros_like(one) if one.grad is None else one.grad for name, one in learnt.items()}
        for gradient in gradients.values():
            distributed.all_reduce(gradient)
            gradient /= processes.num
        if asked.clip_each:
            norm = torch.linalg.vector_norm(torch.stack([one.norm() for one in gradients.values()]))
            gradients = {name: one * min(1, asked.clip_norm / norm) for name, one in gradients.items()}
        expected = {name: held + gradients[name] for name, held in expected.items()}
    return found, expected


def one_of_two(root: Path) -> None:
    """All that both do in a folder."""
    torch.set_num_threads(1)
    asked = recipe(checkpoint_every=1)
    asked = replace(asked, batches=replace(asked.batches, speakers=4))
    speech = spoken(12)
    with together("cpu") as processes:
        whole = training(asked, root / "whole", speech=speech, processes=processes)
        whole.train()
        died = training(asked, root / "died", speech=speech, processes=processes)
        stopped_after(died, 4)
        again = training(asked, root / "died", speech=speech, processes=processes)
        processes.wait()
        assert again.go_on()
        again.train()
        torch.save(checkpoints.on_processor(dict(again._system.named_parameters())), root / f"{processes.number}.pt")

        def unvalidated(*args, **told):
            return training(*args, **told, validate=False)

        steps = replace(asked, epochs=1, accumulate=3, checkpoint_every=0, clip_norm=None)
        clipped = replace(steps, clip_each=True, clip_norm=1e-3)
        for name, made, one in (
            ("added", unvalidated, steps),
            ("each", unvalidated, clipped),
            ("parts", with_heads, steps),
        ):
            told = first_gradients(made, one, root / name, speech=speech, processes=processes)
            torch.save(told, root / f"{name}-{processes.number}.pt")
