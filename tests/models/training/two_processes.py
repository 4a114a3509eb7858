"""One of two processes that train together; see `test_processes`. Called with the folder."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from models.training import checkpoints
from models.training.processes import together
from tests.models.training.runs_made import recipe, spoken, training
from tests.models.training.test_engine import stopped_after

if __name__ == "__main__":
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
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
