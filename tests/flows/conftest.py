"""A small pipeline over real speech, and the command in a process that has its modules loaded."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.catalog import Catalog
from curate.schema import TABLES
from flows.cli import main
from tests.flows.pipelines_made import SMALL
from tests.forked import SCRIPT, Forks


@pytest.fixture(scope="session")
def write_pipeline(corpora: Path):
    """Write the small pipeline into a folder, and return its file."""

    def write(folder: Path, *, seed: int = 1, iqr_factor: float = 1.5, num_test: int = 4) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"libri": corpora / "LibriSpeech", "seed": seed, "iqr_factor": iqr_factor, "num_test": num_test}
        (folder / "small.toml").write_text(SMALL.format(**settings), encoding="utf-8")
        return folder / "small.toml"

    return write


@pytest.fixture(scope="session")
def small_run(once: Callable[[str, Callable[[Path], object]], Path], write_pipeline, prefect_server) -> Path:
    """The small pipeline, run and undisturbed: its file, in a folder that is everybody's and never changed."""
    from flows.pipeline import run

    return once("small", lambda folder: run(write_pipeline(folder))) / "small.toml"


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
