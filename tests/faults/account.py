"""What came of each fault that was tried, and the table of them that `make faults` prints."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One fault, what was going on when it struck, and what was found wrong afterwards: nothing, where all is well."""

    suite: str  # crash, concurrency, hostile or order
    during: str  # what was going on: ingest, clean, review, ...
    fault: str  # what struck: killed, disk full, two at once, ...
    point: str  # where exactly, so that it can be struck there again
    has_struck: bool = True  # else the work was done before it came to that point
    lost: tuple[str, ...] = ()  # what had been finished, decided or published, and is not there as it should be
    doubled: tuple[str, ...] = ()  # what was done or is there twice
    half_written: tuple[str, ...] = ()  # what can be read and is not whole
    untold: tuple[str, ...] = ()  # a traceback, a wrong exit code, or no line that names what was wrong

    @property
    def survived(self) -> bool:
        """Whether nothing was found wrong."""
        return not (self.lost or self.doubled or self.half_written or self.untold)


def table(tried: Iterable[Tried]) -> str:
    """One line for what was going on and what struck it, in Markdown, and one for all together.

    The first three figures count points: tried, at which the fault did strike, and after which nothing was wrong. The
    others count what was found wrong, of which one point may have several.
    """
    rows: dict[tuple[str, str, str], Counter[str]] = {}
    total: Counter[str] = Counter()
    for one in tried:
        counts = {name: len(getattr(one, name)) for name in ("lost", "doubled", "half_written", "untold")}
        for row in (rows.setdefault((one.suite, one.during, one.fault), Counter()), total):
            row.update(tried=1, struck=int(one.has_struck), survived=int(one.survived), **counts)
    columns = ("tried", "struck", "survived", "lost", "doubled", "half_written", "untold")
    lines = [
        "| suite | during | what struck | points | struck | survived | lost | doubled | half-written | told badly |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for names, row in [*rows.items(), (("all", "", ""), total)]:
        lines.append("| " + " | ".join([*names, *(f"{row[column]:,}" for column in columns)]) + " |")
    return "\n".join(lines)


def faults(tried: Iterable[Tried]) -> list[str]:
    """What was found wrong, a line each."""
    return [
        f"{one.suite}, {one.during}, {one.fault}, {one.point}: {kind.replace('_', '-')}: {what}"
        for one in tried
        for kind in ("lost", "doubled", "half_written", "untold")
        for what in getattr(one, kind)
    ]
