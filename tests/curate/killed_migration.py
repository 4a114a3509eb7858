"""Migrate a catalog, or undo that, and kill this process at the N-th time that it changes what is on the disk.

The moments are just before a finished file is renamed to its place, and before a file or a folder is taken away: just
after one is as good as before the next.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate import migration, whole


def migrate_until_killed(root: Path, number: int, undo: bool) -> None:
    """Moments are counted from 0. Ends with code 1 where there are not so many."""
    moments = 0

    def deadly(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any) -> Any:
            nonlocal moments
            if moments == number:
                os.kill(os.getpid(), signal.SIGKILL)
            moments += 1
            return change(*arguments)

        return changed

    Path.replace = deadly(Path.replace)  # type: ignore[method-assign]
    whole.remove, whole.remove_folder = deadly(whole.remove), deadly(whole.remove_folder)
    (migration.undo if undo else migration.migrate)(root)
    sys.exit(1)
