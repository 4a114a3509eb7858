"""A process that runs are forked from, and what they are struck in."""

import os
from collections.abc import Iterator

import pytest

from tests.faults.layer import IS_POSSIBLE
from tests.forked import OF_A_RUN, Forks, forks


@pytest.fixture(scope="module")
def running(prefect_server) -> Iterator[Forks]:
    """Forks of a process that has loaded what a run needs, Prefect with the settings of now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_LOGGING_LEVEL", "CRITICAL")
        with forks("flows.pipeline", "prefect.flow_engine", "prefect.task_engine", *OF_A_RUN) as forked:
            yield forked


@pytest.fixture(scope="session")
def layer() -> None:
    """What strikes at system calls; the other tests of faults do without it."""
    if not IS_POSSIBLE:
        assert "VOXCURATE_DEBIAN" not in os.environ, "system calls cannot be held here"
        pytest.skip("system calls are held on Linux and x86-64 alone")
