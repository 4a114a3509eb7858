"""The command in a process that has its modules loaded, and what a catalog holds."""

import subprocess
from pathlib import Path

import pytest

from curate.catalog import Catalog
from curate.schema import TABLES
from flows.cli import main
from tests.forked import SCRIPT, Forks


@pytest.fixture(scope="session")
def curate(loaded: Forks):
    """The command in a process of its own, but for Prefect with its modules loaded: that reads settings as it loads."""

    def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return loaded.run(main, argv=(str(SCRIPT), *map(str, arguments)))

    return command


@pytest.fixture(scope="session")
def contents():
    """The bytes of every published part, list and card of a catalog."""

    def read(root: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
        catalog, tables = Catalog(root), [table for table in TABLES.values() if table.name not in without]
        parts = [catalog.path(table, part) for table in tables for part in catalog.parts(table)]
        files = [*parts, *sorted(root.glob("lists/*")), *root.glob("README.md")]
        return {str(file.relative_to(root)): file.read_bytes() for file in files}

    return read
