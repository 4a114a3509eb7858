"""What each step was made from, so that nothing is computed twice, and what it last did, so that anyone can ask.

A step's fingerprint covers its settings, its code and the fingerprints of the parts it reads; the parts it publishes
carry it in their footers. A step whose parts all carry the fingerprint that it would give them now has nothing to do.
"""

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.catalog import Catalog, Sorted, canonical_json, num_rows_of, rows_of
from curate.schema import RUNS, Table

Part = tuple[Table, str]
Result = tuple[Sequence[pa.Table | Sorted], str]
COMPUTING = ("voxcurate", "av", "duckdb", "numpy", "pyarrow", "scipy", "soundfile", "soxr", "torch")


def fingerprint(
    catalog: Catalog, step: str, part: str, *, settings: dict[str, Any], code: str, reads: Sequence[Table | Part]
) -> str:
    """Of all that a step's result depends on; of what `reads` names, as it is now."""
    inputs = {f"{table.name}/{one}": catalog.fingerprint(table, one) for table, one in _parts(catalog, reads)}
    made_from = {"step": step, "part": part, "settings": settings, "code": code, "inputs": inputs}
    return hashlib.sha256(canonical_json(made_from).encode()).hexdigest()


def _parts(catalog: Catalog, reads: Sequence[Table | Part]) -> Iterable[Part]:
    for read in reads:
        yield from [read] if isinstance(read, tuple) else ((read, part) for part in catalog.parts(read))


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of a step. `changed` is false where it had nothing to do."""

    step: str
    part: str
    changed: bool
    row: dict[str, Any]  # of the table runs

    @property
    def summary(self) -> str:
        """What it found, in words."""
        return str(self.row["summary"])


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step on one catalog, from what it reads to what it publishes."""

    catalog: Catalog
    name: str
    part: str = "all"
    settings: dict[str, Any]
    code: str  # fingerprint of the code that computes
    reads: Sequence[Table | Part] = ()  # a table stands for all its parts
    publishes: Sequence[Part]
    compute: Callable[["Step"], Result]  # the tables in the order of `publishes`, and what was found in words

    @cached_property
    def fingerprint(self) -> str:
        """Of all that the result depends on."""
        return fingerprint(self.catalog, self.name, self.part, settings=self.settings, code=self.code, reads=self.reads)

    @property
    def run_id(self) -> str:
        """What its decisions are signed with."""
        return self.fingerprint[:12]

    @property
    def is_current(self) -> bool:
        """Whether every part is already there as this step would make it."""
        return all(self.catalog.has(table, part, self.fingerprint) for table, part in self.publishes)

    @property
    def is_noted(self) -> bool:
        """Whether `runs` knows of it; not, where a run died between publishing and taking note."""
        if not self.catalog.parts(RUNS):
            return False
        rows = self.catalog.read(RUNS)
        return bool(pc.any(_same(rows, self.run_id, self.part)).as_py())

    def carry_out(self) -> Done:
        """Compute and publish, unless that is done already."""
        started_at, changed = datetime.now(UTC), not self.is_current
        who = f"curate {self.name} {self.part}"
        if not changed:
            if not self.catalog.drafts and self.catalog.broke_off() == who:
                with self.catalog.publishing(who):
                    pass  # it was killed when all tables were in their place, and had only not said so
            num_rows = sum(num_rows_of(self.catalog.path(*part)) for part in self.publishes)
            row = self._row(num_rows, "finished by a run that died before it took note", None)
            return Done(step=self.name, part=self.part, changed=False, row=row)
        tables, summary = self.compute(self)
        are_seen_together = len(self.publishes) > 1 and not self.catalog.drafts
        with self.catalog.publishing(who) if are_seen_together else nullcontext():
            num_rows = sum(
                self.catalog.publish(table, rows, part=part, fingerprint=self.fingerprint)
                for (table, part), rows in zip(self.publishes, tables, strict=True)
            )
        row = self._row(num_rows, summary, started_at)
        return Done(step=self.name, part=self.part, changed=True, row=row)

    def _row(self, num_rows: int, summary: str, started_at: datetime | None) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "step": self.name,
            "part": self.part,
            "started_at": started_at,
            "finished_at": datetime.now(UTC),
            "num_rows": num_rows,
            "summary": summary,
            "settings": canonical_json(self.settings),
            "versions": canonical_json(_versions()),
            "fingerprint": self.fingerprint,
        }


@cache
def _versions() -> dict[str, str]:
    """Of Voxcurate and the libraries that compute. Looked up once: it takes a tenth of a second."""
    return {name: importlib.metadata.version(name) for name in COMPUTING}


def take_note(catalog: Catalog, done: Done) -> None:
    """Keep the row of a step that did something. A run in which no step did anything leaves `runs` as it is.

    What is done later is noted as later, also by a clock that was put back: the last row of a step is what holds.
    """
    rows = catalog.read(RUNS) if catalog.parts(RUNS) else rows_of(RUNS, [])
    same = _same(rows, done.row["run_id"], done.part)
    if not done.changed and pc.any(same).as_py():
        return
    last, finished_at = pc.max(rows["finished_at"]).as_py(), done.row["finished_at"]
    if last is not None:
        finished_at = max(finished_at, last + timedelta(microseconds=1))
    row = done.row | {"finished_at": finished_at}
    rows = pa.concat_tables([rows.filter(pc.invert(same)), rows_of(RUNS, [row])])
    catalog.publish(RUNS, rows, fingerprint=done.row["fingerprint"])


def _same(rows: pa.Table, run_id: str, part: str) -> pa.ChunkedArray:
    return pc.and_(pc.equal(rows["run_id"], run_id), pc.equal(rows["part"], part))


def last_done(catalog: Catalog) -> list[dict[str, Any]]:
    """The latest row of `runs` for each step and part, in the order in which they finished."""
    latest = {(row["step"], row["part"]): row for row in catalog.read(RUNS).sort_by("finished_at").to_pylist()}
    return sorted(latest.values(), key=lambda row: row["finished_at"])


def code_fingerprint(*sources: Path) -> str:
    """Of these Python files, and of all below these folders."""
    digest = hashlib.sha256()
    for source in sources:
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(f"{file.relative_to(source.parent)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def content_fingerprint(rows: pa.Table) -> str:
    """Of the values of a table."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return hashlib.sha256(sink.getvalue()).hexdigest()
