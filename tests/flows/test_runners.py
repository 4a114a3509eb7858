"""The flow beyond one process: Dask and Ray give the tables that threads give, whatever happens to their workers."""

import importlib.metadata
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prefect.utilities.collections import visit_collection

from curate.config import Runner, load_pipeline
from curate.errors import CorpusError, ExtractorError, PipelineError, VoxcurateError
from curate.schema import RUNS
from flows.pipeline import _may_pass, run
from flows.runners import (
    Sealed,
    _environment,
    _require_package,
    at_most,
    chosen,
    idle_cores,
    require,
    require_device,
    take_one_core,
)

TIMED = (RUNS.name,)  # the one table whose bytes depend on when it was made
STEPS = "scan|register|ingest|embed|duplicates|clean|review|identities|ages|split|trials|leakage|score|wrote"
OURS = re.compile(rf"({STEPS})\b|  ")
DYING_WORKER = Path(__file__).with_name("cluster_dying_worker.py")
DASK = Path(sys.executable).with_name("dask")
DEADLINE_S = 120


def blocks(catalog: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (catalog / "cache" / "embeddings").rglob("*.parquet")}


def with_one_worker(file: Path) -> Path:
    """Each process takes seconds to import what it needs."""
    file.write_text(file.read_text() + "[runner]\nworkers = 1\n")
    return file


@pytest.fixture(scope="module")
def on_threads(small_run) -> Path:
    """The catalog that every other runner must give."""
    return small_run.with_name("catalog")


class Cluster:
    """A Dask cluster as a user starts it, of a worker that lives and one that dies; and the log of all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, {}
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        self.address = self.said("scheduler", r"Scheduler at: *(tcp://\S+)")
        for name, preload in (("lives", ()), ("dies", ("--preload", DYING_WORKER))):
            self.start("worker", self.address, "--nthreads", "1", "--no-nanny", *preload, name=name)
        for name in ("lives", "dies"):
            self.said(name, r"(Registered to)")

    def start(self, verb: str, *arguments: object, name: str | None = None) -> None:
        words = [DASK, verb, *map(str, arguments), "--no-dashboard"]
        with (self.folder / f"{name or verb}.log").open("wb") as log:
            self.processes[name or verb] = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder)

    def said(self, name: str, pattern: str) -> str:
        """What it says in its log, as soon as it does."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until and self.processes[name].poll() is None:
            if found := re.search(pattern, (self.folder / f"{name}.log").read_text()):
                return found[1]
            time.sleep(0.02)
        raise AssertionError(f"{name} never said {pattern}: {(self.folder / f'{name}.log').read_text()}")

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.end()


@pytest.mark.real
def test_a_dask_worker_killed_in_the_middle_costs_nothing(
    cluster, on_threads, tmp_path, write_pipeline, contents, caplog
):
    with caplog.at_level(logging.INFO, logger="voxcurate"):
        run(write_pipeline(tmp_path), runner=f"dask:{cluster.address}")
    assert cluster.processes["dies"].wait(DEADLINE_S) == -signal.SIGKILL
    assert cluster.processes["lives"].poll() is None
    assert contents(tmp_path / "catalog", without=TIMED) == contents(on_threads, without=TIMED)
    assert blocks(tmp_path / "catalog") == blocks(on_threads)
    told = [int(number) for number in re.findall(r"embed: block (\d+):", caplog.text)]
    assert told == list(range(1, len(blocks(on_threads)) + 1))


@pytest.mark.real
def test_what_is_wrong_with_corpora_comes_back_from_dask_as_it_was_raised(cluster, tmp_path, write_pipeline, corpora):
    file = write_pipeline(tmp_path)
    for name in ("three", "four"):
        place = f'name = "{name}"\nreader = "librispeech"\nroot = "{corpora / "LibriSpeech"}"\n'
        file.write_text(file.read_text() + f'[[corpora]]\n{place}include = ["{name}/*"]\n')
    with pytest.raises(CorpusError, match=r"^corpus 'four': .*; corpus 'three': .*matches none of"):
        run(file, runner=f"dask:{cluster.address}")


@pytest.mark.real
def test_a_dask_cluster_of_this_machine_gives_the_tables_of_threads_and_is_quiet(
    on_threads, tmp_path, write_pipeline, contents, capfd
):
    run(with_one_worker(write_pipeline(tmp_path)), runner="dask")
    assert contents(tmp_path / "catalog", without=TIMED) == contents(on_threads, without=TIMED)
    assert blocks(tmp_path / "catalog") == blocks(on_threads)
    said = capfd.readouterr().err
    assert [word for word in ("distributed", "EventsWorker", "Warning") if word in said] == []


@pytest.mark.real
def test_the_command_runs_on_a_ray_of_this_machine_and_gives_the_tables_of_threads(
    on_threads, tmp_path, write_pipeline, contents, script
):
    result = script("run", with_one_worker(write_pipeline(tmp_path)), "--runner", "ray")
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if not OURS.match(line)] == []
    assert contents(tmp_path / "catalog", without=TIMED) == contents(on_threads, without=TIMED)
    assert blocks(tmp_path / "catalog") == blocks(on_threads)


@pytest.mark.real
def test_another_word_for_a_runner_is_told_in_one_line(tmp_path, write_pipeline, curate):
    result = curate("run", write_pipeline(tmp_path), "--runner", "spark")
    assert result.returncode == 1
    (said,) = result.stderr.splitlines()
    assert said.startswith("curate: runner 'spark': no such runner; expected threads, dask or ray, or one with")


@pytest.mark.parametrize("asked", ["", "Dask", "dask:", "threads:tcp://host:8786", "ray:", ":tcp://host:8786"])
def test_a_runner_that_there_is_not_is_named(asked):
    with pytest.raises(VoxcurateError, match=f"^runner {asked!r}: no such runner; expected threads, dask or ray"):
        chosen(asked, Runner())


def test_the_option_says_all_of_a_runner_but_its_workers():
    section = Runner(kind="dask", workers=7, address="tcp://one:8786")
    assert chosen("dask", section) == Runner(kind="dask", workers=7)
    assert chosen("threads", section) == Runner(workers=7)
    assert chosen("ray:ray://two:10001", section) == Runner(kind="ray", workers=7, address="ray://two:10001")


@pytest.mark.parametrize(
    ("kind", "address"),
    [("dask", "host"), ("dask", "ray://host:1"), ("dask", "tcp://host:x"), ("ray", "host:6379"), ("ray", "auto")],
)
def test_what_is_no_address_of_a_cluster_is_named_with_one_that_is(kind, address):
    with pytest.raises(VoxcurateError, match=f"^runner {kind}: {address}: no address of a cluster; expected one such"):
        require(Runner(kind=kind, address=address))


@pytest.mark.parametrize(("kind", "scheme"), [("dask", "tcp"), ("ray", "ray")])
def test_an_address_where_nothing_answers_is_named(kind, scheme):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(VoxcurateError, match=f"{scheme}://127.0.0.1:{port}: no cluster answers .Connection refused"):
        require(Runner(kind=kind, address=f"{scheme}://127.0.0.1:{port}"))


def test_what_listens_and_is_no_dask_scheduler_is_found_out():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        hangs_up = threading.Thread(target=lambda: server.accept()[0].close())
        hangs_up.start()
        with pytest.raises(VoxcurateError, match="no cluster answers"):
            require(Runner(kind="dask", address=f"127.0.0.1:{server.getsockname()[1]}"))
        hangs_up.join()


@pytest.mark.parametrize(("kind", "package"), [("dask", "prefect_dask"), ("dask", "distributed"), ("ray", "ray")])
def test_a_package_that_is_missing_is_told_with_how_to_bring_it(kind, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(VoxcurateError, match=rf"no package '{package}' here; expected `pip install 'voxcurate\[{kind}"):
        require(Runner(kind=kind))


def test_a_gpu_by_number_is_refused_on_ray_which_deals_them_out():
    with pytest.raises(VoxcurateError, match=r'"cuda:1" on Ray, .*expected "cuda"'):
        require_device(Runner(kind="ray"), "cuda:1")
    require_device(Runner(kind="ray"), "cuda")
    require_device(Runner(kind="dask"), "cuda:1")


class Machines:
    """Dask workers, and what each has of a package."""

    def __init__(self, **has: str | Exception) -> None:
        self.has = has

    def run(self, call, package: str, *, on_error: str) -> dict[str, str | Exception]:
        assert (call, on_error) == (importlib.metadata.version, "return")
        return self.has if package == "voxcurate" else dict.fromkeys(self.has, "0.3.7")

    def scheduler_info(self) -> dict[str, object]:
        return {"workers": self.has}


@pytest.mark.parametrize(
    ("has", "said"), [("0.0.1", "0.0.1"), (importlib.metadata.PackageNotFoundError("voxcurate"), "no")]
)
def test_a_dask_worker_without_this_version_of_the_package_is_named_before_it_gets_a_task(has, said):
    here = importlib.metadata.version("voxcurate")
    with pytest.raises(VoxcurateError, match=rf"worker two has {said} voxcurate; expected voxcurate\[dask\] {here} on"):
        _require_package(Runner(kind="dask", address="tcp://one:1"), Machines(one=here, two=has))


def test_a_dask_cluster_that_has_no_worker_yet_is_told_and_waited_for(caplog):
    with caplog.at_level(logging.INFO, logger="voxcurate"):
        _require_package(Runner(kind="dask", address="tcp://one:1"), Machines())
    assert caplog.messages == ["runner dask: tcp://one:1: no worker is there yet; waiting for the first"]


class Later:
    """A future that is done some time after it was submitted."""

    def __init__(self, job: int, order: "Order") -> None:
        self.job, self.order = job, order

    def add_done_callback(self, call) -> None:
        self.order.waiting.append(lambda: call(self))
        self.order.most = max(self.order.most, len(self.order.waiting))
        if len(self.order.waiting) == self.order.workers or self.job == self.order.last:
            while self.order.waiting:
                self.order.waiting.pop(self.order.next % len(self.order.waiting))()


class Order(SimpleNamespace):
    """In which futures end: whenever all workers have one."""


@given(num_jobs=st.integers(0, 30), workers=st.integers(1, 8), shuffle=st.integers(0, 7))
def test_each_job_is_taken_when_a_worker_is_free_and_yielded_once(num_jobs, workers, shuffle):
    order = Order(workers=workers, last=num_jobs - 1, next=shuffle, waiting=[], most=0)
    taken, yielded = [], []

    def jobs() -> Iterator[int]:
        for job in range(num_jobs):
            assert len(taken) - len(yielded) <= workers
            taken.append(job)
            yield job

    for future in at_most(workers, lambda job: Later(job, order), jobs()):
        yielded.append(future.job)
    assert sorted(yielded) == list(range(num_jobs))
    assert order.most <= workers


def test_a_sealed_pipeline_comes_out_of_a_pickle_as_it_was_and_prefect_sees_nothing_of_it(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text(
        'name = "p"\ncatalog = "c"\n[[corpora]]\nname = "a"\nreader = "folder"\nroot = "a"\n'
        '[splits]\nnum_test_speakers = 2\n[runner]\nkind = "ray"\nworkers = 3\n'
    )
    pipeline, seen = load_pipeline(file), []
    assert pickle.loads(cloudpickle.dumps(Sealed(pipeline))).value == pipeline
    visit_collection({"sealed": Sealed([1, 2])}, visit_fn=seen.append, return_data=False)
    assert not [one for one in seen if one in (1, 2)]


def failed(error: Exception, cause: Exception | None = None) -> SimpleNamespace:
    error.__cause__ = cause
    return SimpleNamespace(result=lambda raise_on_failure: error)


@pytest.mark.parametrize(
    ("state", "may_pass"),
    [
        (failed(OSError(5, "Input/output error")), True),
        (failed(TimeoutError("timed out")), True),
        (failed(CorpusError("x"), OSError(5, "Input/output error")), True),
        (failed(ExtractorError("x"), ConnectionResetError(104, "reset")), True),
        (failed(CorpusError("x"), FileNotFoundError(2, "No such file")), False),
        (failed(CorpusError("x"), PermissionError(13, "Permission denied")), False),
        (failed(CorpusError("x"), ValueError("no number")), False),
        (failed(PipelineError("x")), False),
        (failed(ValueError("ours")), False),
    ],
)
def test_only_what_a_disk_or_a_network_did_is_tried_again(state, may_pass):
    assert _may_pass(None, None, state) is may_pass


def test_a_worker_takes_one_core_and_those_of_a_cluster_elsewhere_none_of_ours():
    cores = len(os.sched_getaffinity(0))
    assert [idle_cores(Runner(workers=workers)) for workers in (1, cores, cores + 1)] == [cores - 1, 0, 0]
    assert idle_cores(Runner(kind="dask", workers=1, address="tcp://head:8786")) == 0


def test_processes_of_a_local_cluster_are_born_with_one_core_unless_the_user_has_said_it(monkeypatch):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    with _environment():
        assert [os.environ[name] for name in names] == ["1", "1", "1"]
    assert dict(os.environ) == before
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with _environment():
        assert [os.environ[name] for name in names] == ["3", "3", "3"]


def test_a_block_is_computed_on_one_core_whatever_the_user_says_of_threads(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        take_one_core()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
