"""Chromium without a window, and the page served in a thread of this process."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from curate.catalog import Catalog
from pages.review.app import create_app
from pages.review.guard import Door
from pages.review.serving import listening

ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips where there is none, unless VOXCURATE_DEBIAN is `required`."""
    path = shutil.which("chromium")
    if path is None:
        assert os.environ.get("VOXCURATE_DEBIAN") != "required", "no chromium on the PATH"
        pytest.skip("no chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def served(catalog: Catalog) -> Iterator[str]:
    """The address of the page of a catalog."""
    with listening("127.0.0.1", 0) as listener:
        door = Door(host="127.0.0.1", port=listener.getsockname()[1])
        app = create_app(catalog, door, reviewer="ann")
        config = uvicorn.Config(
            app, log_config=None, lifespan="off", ws="none", http="h11", h11_max_incomplete_event_size=1 << 20
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield door.address.rstrip("/")
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def watched(page: Page) -> list[str]:
    """What the page complains of from now on; also a dialog that a script would open."""
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    return faults


def begin(page: Page, address: str, name: str = "ann") -> None:
    """Come to the page, and say who one is."""
    page.goto(address)
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("link", name="Queue").wait_for()
    page.wait_for_load_state()  # before its script has run, it knows no keys


def beyond(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
