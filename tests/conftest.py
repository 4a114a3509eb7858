"""What every test shares: where the real speech lies, fixed threads and examples, what is made once, servers."""

import fcntl
import gc
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.flows.pipelines_made import SMALL
from tests.forked import OF_A_RUN, OF_TRAINING, SCRIPT, Forks, shared_forks
from tests.prefect_shared import shared_server

os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums must not depend on who else is running

# Two runs of `make test` have the same examples, so that what fails is what was changed. They follow from the text of
# a test, and a little from which modules of ours are loaded: hypothesis tries their constants. `pytest
# --hypothesis-profile=explore` looks for others: the option is applied after this file was loaded, in xdist's workers
# too. An example that it finds and that says something new belongs in an `@example` of its test. As the same examples
# come again each time, thirty of them do where a test does not ask for a number; exploring has a hundred new ones.
usual = settings.get_profile("default")  # not what is loaded: with CI in the environment that has fixed examples
settings.register_profile("ci", usual, derandomize=True, database=None, deadline=None, max_examples=30)
settings.register_profile("explore", usual, deadline=None, print_blob=True)
settings.load_profile("ci")

CORPORA = Path(os.environ.get("VOXCURATE_CORPORA", Path(__file__).parents[2] / "shared" / "corpora"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays to the end: a million objects that need not be gone through again and again.

    That took a quarter of the time of collecting, and a second whenever tests had made a quarter as many again.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 50, 50)  # what tests make goes by itself, but for little
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_handler() -> Iterator[None]:
    """Commands within this process give their lines no handler: it outlives its stream, and hides them from caplog."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.cli.show_progress", lambda: None)
        yield


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The real speech. Where it is missing, tests that need it fail: a pass would say nothing."""
    assert (CORPORA / "LibriSpeech").is_dir(), f"no real speech in {CORPORA}: set VOXCURATE_CORPORA"
    return CORPORA


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], object]], Path]:
    """A folder of that name, filled once for all processes of this run of tests: the first that asks fills it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # xdist gives each process a folder in one that is shared

    def filled(name: str, fill: Callable[[Path], object]) -> Path:
        folder, is_filled = shared / f"once-{name}", shared / f"once-{name}.filled"
        with (shared / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_filled.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a test that failed while it filled it
                folder.mkdir()
                fill(folder)
                is_filled.touch()
        return folder

    return filled


@pytest.fixture(scope="session")
def prefect_server(once: Callable[[str, Callable[[Path], object]], Path]) -> Iterator[None]:
    """Runs of this process and its children talk to the one server that all tests share."""
    with shared_server(once):
        yield


@pytest.fixture(scope="session")
def script():
    """The command as it is installed: it takes seconds to import what it needs, and to take it apart at its end."""

    def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)

    return command


@pytest.fixture(scope="session")
def demo_made(once, script, prefect_server) -> Path:
    """What `curate demo` makes, with 6 in the place of 60 epochs: in `whole`, and what it printed in `told`.

    In `copied` are its catalog and pipeline file once more, for who changes them: `whole` is to be as it was made.
    """

    def fill(folder: Path) -> None:
        told = script("demo", folder / "whole", "--set", "batches.passes=1", "--set", "epochs=6")
        assert told.returncode == 0, told.stderr
        (folder / "told").write_text(told.stdout, encoding="utf-8")
        shutil.copytree(folder / "whole" / "catalog", folder / "copied" / "catalog")
        pipeline = (folder / "whole" / "demo.toml").read_text(encoding="utf-8")
        roots = pipeline.replace('root = "corpora', f'root = "{folder}/whole/corpora')
        (folder / "copied" / "demo.toml").write_text(roots, encoding="utf-8")

    return once("demo", fill)


@pytest.fixture(scope="session")
def loaded(once: Callable[[str, Callable[[Path], object]], Path]) -> Iterator[Forks]:
    """Forks of one process, for all of this run of tests, that has torch and what runs and training import."""
    with shared_forks(once, *OF_A_RUN, *OF_TRAINING) as forked:
        yield forked


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


@pytest.fixture(scope="module")
def s3_server() -> Iterator[Any]:
    """A server that speaks S3, on this machine, and the environment that leads to it; it starts without buckets."""
    from moto.moto_api._internal.models import moto_api_backend
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    serving = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    serving.start()
    moto_api_backend.reset()  # servers of one process share their buckets
    host, port = serving.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        S3FileSystem.clear_instance_cache()  # a client goes on with the server that it met first
        yield serving
        S3FileSystem.clear_instance_cache()
    serving.stop()
