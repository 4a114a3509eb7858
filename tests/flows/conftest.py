"""One Prefect server for all tests, and a small pipeline over real speech."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.catalog import Catalog
from curate.schema import RUNS, TABLES

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
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        from prefect.settings import PREFECT_API_URL

        os.environ["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
        yield
        del os.environ["PREFECT_API_URL"]


@pytest.fixture
def write_pipeline(corpora: Path):
    """Write the small pipeline into a folder."""

    def write(folder: Path, *, seed: int = 1, iqr_factor: float = 1.5, num_test: int = 4) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "small.toml"
        settings = {"libri": corpora / "LibriSpeech", "seed": seed, "iqr_factor": iqr_factor, "num_test": num_test}
        file.write_text(PIPELINE.format(**settings), encoding="utf-8")
        return file

    return write


def curate(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a user gives it."""
    command = [Path(sys.executable).with_name("curate"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def contents(catalog: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The bytes of every published part, list and card."""
    parts = [Catalog(catalog).path(t, p) for t in TABLES.values() if t.name not in without for p in Catalog(catalog).parts(t)]
    files = [*parts, *sorted(catalog.glob("lists/*")), *catalog.glob("README.md")]
    return {str(file.relative_to(catalog)): file.read_bytes() for file in files}


TIMED = (RUNS.name,)  # the one table whose bytes depend on when it was made
