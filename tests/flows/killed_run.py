"""Run a pipeline file, and kill this process at the N-th time that it makes something durable.

The moments are those at which a crash could hurt: just before a finished file is renamed to its place, and just after.
"""

import os
import signal
import sys
from pathlib import Path

from flows.pipeline import run


def run_until_killed(pipeline: Path, number: int, moment: str) -> None:
    """`moment` is before or after. Ends with code 1 where nothing is renamed so often."""
    replace, renames = Path.replace, 0

    def replace_or_die(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == number and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = replace(self, target)
        if renames == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = replace_or_die
    run(pipeline)
    sys.exit(f"nothing was renamed {number} times, only {renames}")
