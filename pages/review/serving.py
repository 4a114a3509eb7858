"""Serve the page until Ctrl-C."""

import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from os import environ

import uvicorn

from curate.catalog import Catalog
from curate.errors import VoxcurateError
from curate.storage import why
from pages.review.app import create_app
from pages.review.guard import Door, drawn_token, is_of_this_machine

LONGEST_ADDRESS_BYTES = 1 << 20  # ids of a corpus may be long, and stand in addresses
SECONDS_TO_END = 1  # a browser keeps its connections


def serve(
    catalog: Catalog,
    *,
    host: str,
    port: int,
    token: str | None,
    reviewer: str,
    opens: bool,
    tell: Callable[[str], None],
) -> None:
    """Listen at `host` and `port` (0: any that is free), and answer until Ctrl-C; `tell` is given what to print.

    Without a token one is drawn where others can reach the host. Raises VoxcurateError where nothing can listen there,
    or there is no catalog.
    """
    if token is None and not is_of_this_machine(host):
        token = drawn_token()
    Door(host=host, port=port, token=token)  # what is wrong with it is told before anything is read
    with listening(host, port) as listener:
        door = Door(host=host, port=listener.getsockname()[1], token=token)
        app = create_app(catalog, door, reviewer=reviewer)
        config = uvicorn.Config(
            app,
            log_config=None,  # else it shuts all loggers of the process down, whoever they are
            log_level="warning",
            access_log=False,
            server_header=False,
            http="h11",
            ws="none",
            lifespan="off",
            h11_max_incomplete_event_size=LONGEST_ADDRESS_BYTES,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
        tell(f"Reviewing {catalog.root} at {door.address} (Ctrl-C ends it)")
        if opens and _has_screen():
            threading.Thread(target=webbrowser.open, args=(door.address,), daemon=True).start()
        with suppress(KeyboardInterrupt):  # uvicorn ends in order, and then may say again what ended it
            uvicorn.Server(config).run(sockets=[listener])
        tell("Ended; what was said is kept.")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises VoxcurateError."""
    try:
        family = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host.strip("[]"), port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:  # the last for a name that cannot be one of a machine
        words = why(error).partition(" (")[0]  # Python says the address in brackets
        raise VoxcurateError(
            f"{host}:{port}: {words}; expected a free port (--port) of a name or address of this machine (--host)"
        ) from error


def _has_screen() -> bool:
    """Whether a browser would open in a window: one of the terminal would take it over."""
    return sys.platform in ("darwin", "win32") or any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
