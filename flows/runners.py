"""Who carries out scans and blocks of embeddings: threads of this process, or the workers of a Dask or a Ray cluster.

A cluster is started on this machine and ends with the run, or is found at an address. There its workers need this
version of the package, and the corpora and the catalog at the places that the pipeline file names. A worker that dies
costs what it was at: Dask and Ray give that to another one.

A task tells Prefect's server of itself from where it is carried out. A server at 127.0.0.1, such as the one that
Prefect starts for a run, hears nothing from workers of other machines, and they do not mind; with PREFECT_API_URL
naming one that they reach, their task runs are shown there, too.
"""

import importlib.util
import logging
import math
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, final
from urllib.parse import urlsplit

from curate.config import Runner
from curate.errors import VoxcurateError

if TYPE_CHECKING:  # Prefect takes seconds to import: not to find that there is nothing to do
    from distributed import Client
    from prefect import Task
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

log = logging.getLogger("voxcurate")  # the command line shows it
T = TypeVar("T")
Job = TypeVar("Job")
PACKAGES = {"threads": (), "dask": ("prefect_dask", "distributed"), "ray": ("prefect_ray", "ray")}
SCHEMES = {"dask": ("", "tcp", "tls", "ws", "wss"), "ray": ("ray",)}
EXAMPLES = {"dask": "tcp://host:8786", "ray": "ray://host:10001"}
ANSWER_S = 5.0  # within which a cluster must answer
OBJECT_STORE_BYTES = (
    100 * 2**20
)  # of a local Ray: our tasks pass names and counts, Ray would take a third of the memory


def chosen(asked: str, section: Runner) -> Runner:
    """The runner of `kind` or `kind:address`, with the workers of the section. Raises VoxcurateError for another."""
    kind, colon, address = asked.partition(":")
    if kind not in PACKAGES or (colon and not address) or (address and kind == "threads"):
        raise VoxcurateError(
            f"runner {asked!r}: no such runner; expected threads, dask or ray, or one with the address of a cluster: "
            + " or ".join(f"{kind}:{example}" for kind, example in EXAMPLES.items())
        )
    return replace(section, kind=cast(Any, kind), address=address or None)


def require(runner: Runner) -> None:
    """Raises VoxcurateError where the package is missing, or no cluster answers at the address."""
    for package in PACKAGES[runner.kind]:
        if importlib.util.find_spec(package) is None:
            raise VoxcurateError(
                f"runner {runner.kind}: no package {package!r} here; expected `pip install 'voxcurate[{runner.kind}]'`"
            )
    if runner.address is not None:
        _require_answer(runner)


def require_device(runner: Runner, device: str) -> None:
    """Raises VoxcurateError for a GPU by its number on Ray, where a task sees but one, of Ray's choice."""
    if runner.kind == "ray" and device.startswith("cuda:"):
        raise VoxcurateError(
            f'embedding.device = "{device}" on Ray, which gives each task a GPU of its own choice; expected "cuda"'
        )


def _require_answer(runner: Runner) -> None:
    """The clients of Dask and Ray would try for half a minute, and take anything that listens for what they expect."""
    place = f"runner {runner.kind}: {runner.address}"
    scheme, _, rest = str(runner.address).rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if scheme not in SCHEMES[runner.kind] or not host or not port:
        raise VoxcurateError(f"{place}: no address of a cluster; expected one such as {EXAMPLES[runner.kind]}")
    try:
        with socket.create_connection((host, port), timeout=ANSWER_S) as connection:
            if scheme in ("", "tcp") and not connection.recv(1):  # a Dask scheduler speaks first
                raise ConnectionError("it hangs up")
    except OSError as error:
        told = error.strerror or str(error)
        raise VoxcurateError(f"{place}: no cluster answers ({told}); expected one there that is running") from error


@final
class Sealed(Generic[T]):
    """A value for a task that Prefect does not look into; its own `quote` comes out of a pickle as another value."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


@final
@dataclass(frozen=True)
class Workers:
    """They carry out tasks of the flow, `runner.workers` at once."""

    runner: Runner
    tasks: "TaskRunner[Any]"

    def outcomes(
        self, task: "Task[Any, Any]", jobs: Iterable[dict[str, Any]], *, on_gpu: bool = False
    ) -> Iterator[Callable[[], Any]]:
        """Carry out the task for each of the jobs, its parameters, taken one by one when a worker is free.

        As each is done, yields a call that returns what the task returned or raises what it raised, or VoxcurateError
        where the workers failed. With `on_gpu`, Ray gives it a share of one, which tasks else do not see.
        """
        for future in at_most(self.runner.workers, partial(self._submit, task, on_gpu), jobs):
            yield partial(self._result, future)

    def _submit(self, task: "Task[Any, Any]", on_gpu: bool, job: dict[str, Any]) -> "PrefectFuture[Any]":
        with ExitStack() as said:
            if self.runner.kind != "threads":
                said.enter_context(_told_to_workers())
            if self.runner.kind == "ray" and on_gpu:
                said.enter_context(_share_of_gpu(self.runner.workers))
            return cast("PrefectFuture[Any]", self.tasks.submit(task, job))

    def _result(self, future: "PrefectFuture[Any]") -> Any:
        try:
            return future.result()
        except Exception as error:
            if future._final_state is not None:  # the task's own, not one of its worker
                raise
            told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise VoxcurateError(
                f"{_place(self.runner)}: workers failed ({told}); expected some that live, with this version of "
                "voxcurate and memory for a block of `embedding.utterances_per_block`"
            ) from error


def at_most(
    workers: int, submit: "Callable[[Job], PrefectFuture[Any]]", jobs: Iterable[Job]
) -> "Iterator[PrefectFuture[Any]]":
    """Futures as they complete, no more than `workers` under way: clusters and served flows know no limit."""
    ended: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    under_way = 0
    for job in jobs:
        if under_way == workers:
            yield ended.get()
            under_way -= 1
        submit(job).add_done_callback(ended.put)
        under_way += 1
    for _ in range(under_way):
        yield ended.get()


@contextmanager
def _told_to_workers() -> Iterator[None]:
    """The server that this run tells of itself, for its workers to do the same: they would start one each.

    They do not ask it for its version, which would fail where they cannot reach it.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings

    url = str(get_client(sync_client=True).api_url).rstrip("/")
    with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}):
        yield


@contextmanager
def _share_of_gpu(workers: int) -> Iterator[None]:
    """For a task on Ray, a GPU, or an equal share of one where there are more workers than GPUs."""
    import ray
    from prefect_ray.context import remote_options

    gpus = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    with remote_options(num_gpus=1 / math.ceil(workers / gpus)) if gpus else nullcontext():
        yield


@contextmanager
def started(runner: Runner) -> Iterator[Workers]:
    """The workers, within a flow; a local cluster ends on leaving. Raises VoxcurateError where there can be none."""
    require(runner)
    with ExitStack() as stack:
        if runner.kind != "threads" and runner.address is None:
            stack.enter_context(_environment())
        try:
            tasks = stack.enter_context(_tasks(runner))
        except (OSError, RuntimeError, ValueError) as error:
            told = " ".join(str(error).split())[:300]
            hint = " (does it ask for a token? then RAY_AUTH_MODE=token)" if runner.kind == "ray" else ""
            raise VoxcurateError(f"{_place(runner)}: {told}; expected a running cluster{hint}") from error
        yield Workers(runner, tasks)


def _tasks(runner: Runner) -> "AbstractContextManager[TaskRunner[Any]]":
    from prefect.task_runners import ThreadPoolTaskRunner

    if runner.kind == "dask":
        return _dask(runner)
    if runner.kind == "ray":
        return _ray(runner)
    return ThreadPoolTaskRunner(max_workers=runner.workers)


@contextmanager
def _dask(runner: Runner) -> "Iterator[TaskRunner[Any]]":
    """A process a worker, which does one thing at a time."""
    from prefect_dask.task_runners import DaskTaskRunner

    for name in ("distributed", "distributed.client", "distributed.gc"):  # the last two have levels of their own
        logging.getLogger(name).setLevel(logging.CRITICAL)
    local = {
        "n_workers": runner.workers,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",  # any free port, also where it is not shown
        "scheduler_kwargs": {"dashboard": False},
        "preload": ["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],  # Ctrl-C is for who started it
    }
    tasks = (
        DaskTaskRunner(cluster_kwargs=local)
        if runner.address is None
        else DaskTaskRunner(address=runner.address, client_kwargs={"timeout": ANSWER_S})
    )
    with tasks:
        client = tasks.client  # connects: not only when the first task is submitted
        if runner.address is not None:
            _require_package(runner, client)
        yield tasks


def _require_package(runner: Runner, client: "Client") -> None:
    """Raises VoxcurateError for a worker without our package: it would end itself over the first task, told nowhere."""
    for package in ("voxcurate", "prefect-dask"):
        here = version(package)
        for worker, there in client.run(version, package, on_error="return").items():
            if isinstance(there, Exception) or (package == "voxcurate" and there != here):
                found = "no" if isinstance(there, Exception) else there
                raise VoxcurateError(
                    f"{_place(runner)}: worker {worker} has {found} {package}; expected voxcurate[dask] {here} on each"
                )
    if not client.scheduler_info()["workers"]:
        log.info(f"{_place(runner)}: no worker is there yet; waiting for the first")


def _ray(runner: Runner) -> "AbstractContextManager[TaskRunner[Any]]":
    from prefect_ray import RayTaskRunner

    said = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if runner.address is None:
        said |= {"num_cpus": runner.workers, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    tasks: AbstractContextManager[TaskRunner[Any]] = RayTaskRunner(address=runner.address or "local", init_kwargs=said)
    return tasks


@contextmanager
def _environment() -> Iterator[None]:
    """What the processes of a local cluster are born with, those too that take the place of dead ones."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    wanted = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    wanted |= {"DASK_LOGGING__DISTRIBUTED": "critical", "PREFECT_LOGGING_ROOT_LEVEL": "CRITICAL"}
    wanted |= {"RAY_USAGE_STATS_ENABLED": "0"}
    added = {key: value for key, value in wanted.items() if key not in os.environ}  # what the user says, holds
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def idle_cores(runner: Runner) -> int:
    """How many of the cores that we may use no worker of this machine takes: each takes one."""
    return 0 if runner.address else max(0, len(os.sched_getaffinity(0)) - runner.workers)


def take_one_core() -> None:
    """Have torch compute a block on one core, however many there are: sums that several share end in other bits."""
    import torch

    torch.set_num_threads(1)


def _place(runner: Runner) -> str:
    return f"runner {runner.kind}" + (f": {runner.address}" if runner.address else "")
