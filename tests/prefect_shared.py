"""One Prefect server for all processes of a run of tests: it takes seconds to start."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

# What schedules, cleans up and records: nothing here asks for it, and it costs a third of the time of each run.
SERVICES = (
    *("CANCELLATION_CLEANUP", "EVENT_LOGGER", "EVENT_PERSISTER", "FOREMAN", "LATE_RUNS", "PAUSE_EXPIRATIONS"),
    *("SCHEDULER", "TASK_RUN_RECORDER", "TRIGGERS"),
)


@contextmanager
def shared_server(once: Callable[[str, Callable[[Path], object]], Path]) -> Iterator[None]:
    """Have this process talk to the server. Who needs it first starts it, and ends it when nobody else uses it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with ExitStack() as ours, pytest.MonkeyPatch.context() as patch:
        for number in count():
            folder = once(
                f"prefect-{number}", lambda folder: (folder / "url").write_text(ours.enter_context(serving()))
            )
            used = ours.enter_context((folder / "used").open("w"))
            is_ours = PREFECT_API_URL.value() == (url := (folder / "url").read_text())
            if not is_ours:
                fcntl.flock(used, fcntl.LOCK_SH)
            if not (folder / "ended").exists():
                break
        patch.setenv("PREFECT_API_URL", url)
        with temporary_settings({PREFECT_API_URL: url}):
            yield
            _drain()
        if is_ours:
            fcntl.flock(used, fcntl.LOCK_EX)
            (folder / "ended").touch()


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server of Prefect."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        for service in SERVICES:
            patch.setenv(f"PREFECT_SERVER_SERVICES_{service}_ENABLED", "false")
        with prefect_test_harness(server_startup_timeout=180):
            yield str(PREFECT_API_URL.value())


def _drain() -> None:
    """Send what Prefect has not sent yet, as long as there is whom to send it to."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all()
    EventsWorker.drain_all()
