"""Run a pipeline file, and kill this process at the N-th time that it makes something durable.

    python killed_run.py PIPELINE N before|after

The moments are those at which a crash could hurt: just before a finished file is renamed to its place, and just after.
"""

import os
import signal
import sys
from pathlib import Path

pipeline, number, moment = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
replace = Path.replace
renames = 0


def replace_or_die(self: Path, target: Path) -> Path:
    global renames
    renames += 1
    if renames == number and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = replace(self, target)
    if renames == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


Path.replace = replace_or_die

from flows.pipeline import run  # noqa: E402  # after the trap is laid

run(pipeline)
sys.exit(f"nothing was renamed {number} times, only {renames}")
