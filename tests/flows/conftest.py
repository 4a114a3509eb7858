"""One Prefect server for all tests, a small pipeline over real speech, and the command as a user gives it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.catalog import Catalog
from curate.schema import TABLES

PIPELINE = """
name = "small"
catalog = "catalog"
seed = {seed}

[[corpora]]
name = "one"
reader = "librispeech"
root = "{libri}"
include = ["test-other/1688/*[0-3].flac", "test-other/2033/*[0-3].flac", "test-other/1998/*[0-3].flac"]

[[corpora]]
name = "two"
reader = "librispeech"
root = "{libri}"
include = ["test-other/1688/*[4-7].flac", "test-other/3005/*[4-7].flac", "test-other/3331/*[4-7].flac"]

[embedding]
utterances_per_block = 4

[cleaning]
preset = "vietsv"
iqr_factor = {iqr_factor}

[splits]
num_test_speakers = {num_test}

[trials]
cross_session_targets = false
max_nontargets = 40
"""


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Runs of this process and its children talk to one server: it takes seconds to start."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        os.environ["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
        yield
        del os.environ["PREFECT_API_URL"]


@pytest.fixture(scope="session")
def write_pipeline(corpora: Path):
    """Write the small pipeline into a folder, and return its file."""

    def write(folder: Path, *, seed: int = 1, iqr_factor: float = 1.5, num_test: int = 4) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"libri": corpora / "LibriSpeech", "seed": seed, "iqr_factor": iqr_factor, "num_test": num_test}
        (folder / "small.toml").write_text(PIPELINE.format(**settings), encoding="utf-8")
        return folder / "small.toml"

    return write


@pytest.fixture(scope="session")
def curate():
    """The command in a process of its own."""

    def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [Path(sys.executable).with_name("curate"), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

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
