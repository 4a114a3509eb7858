"""Processes that train one system together, as `torchrun` starts them; without it there is one."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from curate.errors import TrainingError
from models.extractors.device import device_of

# While the first writes a cache or validates, the others wait: torch's 10 (NCCL) or 30 minutes would end them. One that
# dies, torchrun sees.
PATIENCE = timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Which one this is, of how many, and where it computes."""

    number: int
    num: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """It alone writes files and says what happens."""
        return self.number == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.num > 1:
            distributed.barrier()


@contextmanager
def together(device: str) -> Iterator[Processes]:
    """Join the others, which torchrun tells of by the environment. Raises TrainingError for a device that is not there.

    Gradients go by NCCL between GPUs, a process each, and by gloo between processors. All but the first are silent.
    """
    num = int(os.environ.get("WORLD_SIZE", "1"))
    number, on_machine = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
        raise TrainingError(f"--device {device}: expected auto, cpu, cuda or one such as cuda:1")
    computes_on = device_of(device)
    if computes_on.type == "cuda" and num > 1:
        if on_machine >= torch.cuda.device_count():
            raise TrainingError(
                f"process {on_machine}: {torch.cuda.device_count()} GPUs on this machine; expected one for each process"
            )
        computes_on = torch.device("cuda", on_machine)
        torch.cuda.set_device(computes_on)
    if num > 1:
        distributed.init_process_group("nccl" if computes_on.type == "cuda" else "gloo", timeout=PATIENCE)
    log, was_disabled = logging.getLogger("voxcurate"), logging.getLogger("voxcurate").disabled
    log.disabled = was_disabled or number > 0
    try:
        yield Processes(number=number, num=num, device=computes_on)
    finally:
        log.disabled = was_disabled
        if num > 1:
            distributed.destroy_process_group()
