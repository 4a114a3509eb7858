"""A clock that jumps while something is done: at each look years ahead, back, or not at all."""

import itertools
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Self

import curate.reviews
import curate.runs

JUMPS_DAYS = (0, 400, -4_000, 20_000, -1)
_now = time.time


class Jumping(datetime):
    """Days away from what it is, others at each look."""

    days = itertools.cycle(JUMPS_DAYS)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        found = datetime.now(tz) + timedelta(days=next(cls.days))
        return cls.combine(found.date(), found.timetz())


def by_a_jumping_clock(call: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Call it where whatever writes down a time reads such a clock."""
    for module in (curate.runs, curate.reviews):
        module.datetime = Jumping  # type: ignore[attr-defined]
    jumps = itertools.cycle(JUMPS_DAYS)
    time.time = lambda: _now() + 86_400 * next(jumps)
    call(*arguments)
