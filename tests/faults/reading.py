"""Readers, in a loop, while tables are replaced again and again: each sees the old ones or the new ones, and no error.

Our own commands see several tables of one run, whatever they join. Others, who open files themselves, see each file
whole, the old one or the new one; that is all that they are promised.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from curate.catalog import A_RUN, Catalog
from curate.query import ask, write_database
from curate.schema import DECISIONS, IDENTITIES, LEAKS, RUNS, SPLITS, TRIALS, UTTERANCES
from tests.faults.account import Tried
from tests.faults.commands import copied, told_badly
from tests.forked import Forks

SAYS = {  # a column of each table in which every row says which run it is of
    UTTERANCES: "transcript",
    DECISIONS: "decided_by",
    LEAKS: "check",
    RUNS: "summary",
    SPLITS: "split",
    TRIALS: "list",
    IDENTITIES: "identity_id",
}
ALL = (
    "select distinct said from ("
    + " union all ".join(f'select "{c}" said from {t.name}' for t, c in SAYS.items())
    + ")"
)
OLD, NEW = "the-old-run", "the-new-run"


def tried(folder: Path, made: Path, forks: Forks, *, full: bool) -> Iterator[Tried]:
    """Every kind of reader, several of each, while one process publishes by turns."""
    catalog, several, reads = copied(made / "catalog", folder / "read" / "catalog"), 4 if full else 1, 60 if full else 8
    publish(catalog, OLD)
    write_database(Catalog(catalog))
    done = folder / "read" / "done"
    done.mkdir()
    kinds = [kind for kind in READERS for _ in range(several)]
    readers = [forks.start(read, kind, catalog, reads, done / str(at)) for at, kind in enumerate(kinds)]
    publisher = forks.start(publish_by_turns, catalog, done, len(kinds))
    ended = [one() for one in readers]
    for at in range(len(kinds)):
        (done / str(at)).touch()  # who was killed has not said so, and the publisher would wait
    untold = told_badly(publisher(), refused=False)
    if untold:
        raise RuntimeError(f"who publishes has failed: {untold}")
    for kind, one in zip(kinds, ended, strict=True):
        found = json.loads(one.stdout or "{}")
        mixed = found.get("mixed", [])
        yield Tried(
            suite="concurrency",
            during="runs that publish",
            fault=f"a reader by {kind}",
            point=f"{found.get('reads', 0)} reads",
            half_written=tuple(mixed),
            untold=told_badly(one, refused=False),
        )


def publish(root: Path, run: str) -> None:
    """All tables anew, as a run does it, with its name in every row."""
    drafts = Catalog(root, drafts=True)
    with drafts.locked(A_RUN):
        for table, column in SAYS.items():
            for part in Catalog(root).parts(table):
                rows = Catalog(root).read(table, part)
                field = rows.schema.field(column)
                said = pa.array([run] * len(rows), field.type)
                drafts.publish(
                    table, rows.set_column(rows.column_names.index(column), field, said), part=part, fingerprint=run
                )
        drafts.publish_drafts()


def publish_by_turns(root: Path, done: Path, readers: int) -> None:
    """Until every reader has done."""
    turn = 0
    while len(os.listdir(done)) < readers:
        turn += 1
        publish(root, (OLD, NEW)[turn % 2])


# --------------------------------------------------------------------------------------------------------- the readers


def read(kind: str, root: Path, reads: int, done: Path) -> None:
    """So many times, and at least until both runs were seen; prints what was mixed."""
    seen, mixed, number = set(), [], 0
    try:
        while number < reads or (len(seen) < 2 and number < 50 * reads):
            number += 1
            for what, found in READERS[kind](root).items():
                seen |= found
                if len(found) != 1:
                    mixed.append(f"{what}: {sorted(found)}")
    finally:
        done.touch()
    if len(seen) < 2:
        raise RuntimeError(f"{kind}: {number} reads saw {seen} alone")
    print(json.dumps({"reads": number, "mixed": mixed[:3]}))  # noqa: T201 - for who has started it


def by_query(root: Path) -> dict[str, set[str]]:
    """All tables, joined."""
    return {"all tables": {row[0] for row in ask(Catalog(root), ALL)[1]}}


def by_command(root: Path, *words: str) -> dict[str, set[str]]:
    """What a command prints of several tables."""
    from flows.cli import app

    told = CliRunner().invoke(app, [*words, "-c", str(root)], catch_exceptions=False)
    if told.exit_code:
        raise RuntimeError(told.output)
    return {words[0]: {run for run in (OLD, NEW) if run in told.stdout}}


def by_views(root: Path) -> dict[str, set[str]]:
    """Another DuckDB, by the views that lie in the catalog: of each table a part."""
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        return {
            table.name: {
                row[0] for row in connection.execute(f'select distinct "{column}" from {table.name}').fetchall()
            }
            for table, column in SAYS.items()
            if len(Catalog(root).parts(table)) == 1
        }


def by_files(root: Path) -> dict[str, set[str]]:
    """Plain pyarrow, file by file, of those that have rows."""
    found = {
        str(file): set(pq.read_table(file, columns=[column], partitioning=None)[column].to_pylist())
        for table, column in SAYS.items()
        for file in sorted((root / table.name).glob("*.parquet"))
    }
    return {file: said for file, said in found.items() if said}


def by_catalog(root: Path) -> dict[str, set[str]]:
    """Our own reading, of several tables as one."""
    catalog = Catalog(root)
    with catalog.as_one():
        found = [set(catalog.read(table)[column].to_pylist()) for table, column in SAYS.items()]
    return {"all tables": set.union(*found)}


READERS: dict[str, Callable[[Path], dict[str, set[str]]]] = {
    "curate query": by_query,
    "curate why": lambda root: by_command(root, "why", "studio/an/1"),
    "curate status": lambda root: by_command(root, "status"),
    "views of catalog.duckdb": by_views,
    "pyarrow": by_files,
    "Catalog.as_one": by_catalog,
}
