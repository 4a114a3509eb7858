"""What every rule took away while a benchmark was built, and in which order."""

from collections import Counter

import pyarrow as pa

from curate.schema import REMOVALS


class Account:
    """Rows of `REMOVALS`, as they come."""

    def __init__(self, benchmark: str) -> None:
        self._benchmark = benchmark
        self._rows: list[dict[str, object]] = []
        self._places: Counter[tuple[str, str]] = Counter()

    def note(
        self,
        stage: str,
        part: str,
        rule: str,
        examined: int | None,
        removed: int | None,
        *,
        is_exact: bool = True,
    ) -> None:
        """One rule of a part, and what it took of the utterances or pairs that it saw."""
        row = {"benchmark": self._benchmark, "stage": stage, "part": part, "place": self._places[stage, part]}
        self._rows.append(row | {"rule": rule, "num_examined": examined, "num_removed": removed, "is_exact": is_exact})
        self._places[stage, part] += 1

    def last(self, part: str, *stages: str) -> str:
        """The rule of these stages that took the last of a part, in words; empty where none took anything."""
        took = [row for row in self._rows if row["part"] == part and row["stage"] in stages and row["num_removed"]]
        return f"`{took[-1]['rule']}` took the last {took[-1]['num_removed']:,}" if took else ""

    def table(self) -> pa.Table:
        """As `REMOVALS`."""
        return pa.Table.from_pylist(self._rows, schema=REMOVALS.arrow())
