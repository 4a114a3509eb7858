"""Ways of doing one thing, timed in turns in one process on one thread.

Processor time, since others may use the machine too. A first turn warms up, and compiles. Ratios are those of one turn,
so that what slows all of a turn down drops out; their median is told, with the least and the greatest.
"""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info, threadpool_limits


@dataclass(frozen=True, kw_only=True)
class Turns:
    """What each way took in each turn, and what it found in the last."""

    seconds: Mapping[str, list[float]]
    found: Mapping[str, Any]

    def lines(self, ours: str) -> list[str]:
        """One a way: its median, and how many times as long as ours it took."""
        told = []
        for name, taken in self.seconds.items():
            line = f"  {name:<44} {statistics.median(taken) * 1e3:10.2f} ms"
            if name != ours:
                ratios = [theirs / mine for theirs, mine in zip(taken, self.seconds[ours], strict=True)]
                line += f"   ours {statistics.median(ratios):7.1f} x ({min(ratios):.1f}-{max(ratios):.1f})"
            told.append(line)
        return told


def in_turns(ways: Mapping[str, Callable[[], Any]], *, rounds: int) -> Turns:
    """Time `ways`, all once a round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    with threadpool_limits(1):
        for number in range(rounds + 1):
            for name, way in ways.items():
                found.pop(name, None)
                started = time.process_time()
                found[name] = way()
                if number:
                    seconds[name].append(time.process_time() - started)
    return Turns(seconds=seconds, found=found)


def extra_mb(way: Callable[[], Any]) -> float:
    """By how much the memory of this process grows at most while it goes one way, what it returns included."""
    with threadpool_limits(1):
        way()  # compiles, and takes what is taken once
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # or what it gave back would be used again, and not be seen
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held
        before = _status_kb("VmRSS")
        kept = way()
    peak = _status_kb("VmHWM")
    del kept
    return (peak - before) / 1024


def _status_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def machine() -> str:
    """The kernels that numpy's products run on: a pinned or an old one makes any ratio look better or worse."""
    kinds = [f"{one['internal_api']} {one['version']} {one.get('architecture', '?')}" for one in threadpool_info()]
    return f"one thread; {', '.join(kinds)}"
