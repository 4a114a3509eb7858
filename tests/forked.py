"""Processes for tests that kill them: forked from one that has imported what they need, so that each starts at once."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext


@contextmanager
def forks(*modules: str) -> Iterator[ForkServerContext]:
    """A context whose processes have these modules, and the environment of now.

    They have nothing else of this process: no threads, no caches.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    forkserver.ensure_running()
    try:
        yield context
    finally:
        forkserver._forkserver._stop()  # another test has another environment, and needs other modules
