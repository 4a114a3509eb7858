"""A run that is killed in the middle; see `test_run`."""

import os
import signal
from pathlib import Path

import torch

from models.training.engine import Training
from tests.models.training.test_run import begun

NUM_STEPS = 4


def begun_and_killed(root: Path, folder: Path) -> None:
    """From the tones in `root`; the run's own folder."""
    torch.set_num_threads(1)
    learn, done = Training._learn, []

    def learn_or_die(self, *args, **kwargs):
        if len(done) == NUM_STEPS:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(None)
        return learn(self, *args, **kwargs)

    Training._learn = learn_or_die
    begun(root, folder)
