"""The command that serves the review page: what it refuses, in one line. That it serves is told by tests/pages."""

import logging
import socket

import pytest
from typer.testing import CliRunner

from curate.errors import VoxcurateError
from flows.cli import app
from pages.review import serving
from tests.pages.catalogs_made import review_catalog


@pytest.fixture
def asked(tmp_path):
    """The words of the command on a small catalog."""
    return ["review", str(review_catalog(tmp_path, num_each=2).root), "--no-open", "--reviewer", "ann", "--port", "0"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--token", "short"), "--token: expected 16 to 128 letters, digits, `-` and `_`"),
        (
            ("--host", "no.such.host.invalid"),
            r"no\.such\.host\.invalid:0: .*; expected a free port \(--port\) of a name",
        ),
        (("--host", "lab..7"), r"lab\.\.7:0: .*; expected a free port \(--port\) of a name"),
        (("--reviewer", "a/b"), "reviewer 'a/b': expected at most 64 letters"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(words, told, asked):
    result = CliRunner().invoke(app, [*asked, *words])
    assert isinstance(result.exception, VoxcurateError)
    with pytest.raises(VoxcurateError, match=f"^{told}"):
        raise result.exception
    assert "\n" not in str(result.exception)


def test_a_port_in_use_is_told(asked):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, [*asked[:-1], str(port)])
    assert str(result.exception) == (
        f"127.0.0.1:{port}: Address already in use; expected a free port (--port) of a name or address of this "
        "machine (--host)"
    )


def test_a_catalog_that_is_not_there_is_told_and_not_made(tmp_path):
    result = CliRunner().invoke(app, ["review", str(tmp_path / "no"), "--no-open", "--reviewer", "ann", "--port", "0"])
    assert isinstance(result.exception, VoxcurateError)
    assert str(result.exception) == (
        f"{tmp_path}/no: no catalog is there; expected a catalog that `curate run` has filled"
    )
    assert not (tmp_path / "no").exists()


def test_what_others_can_reach_is_given_a_token_that_is_printed(asked, monkeypatch):
    """Also where the login opens a browser only on a screen."""
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("socket.gethostname", lambda: "lab7")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(serving.uvicorn.Server, "run", lambda self, sockets: None)
    words = [word for word in asked if word != "--no-open"]
    told = CliRunner().invoke(app, [*words, "--host", "0.0.0.0"], catch_exceptions=False).output
    address = told.split(" at ")[1].split(" (")[0]
    assert address.startswith("http://lab7:")
    assert len(address.partition("?token=")[2]) == 32
    assert opened == []


def test_handlers_of_others_are_not_closed(asked, monkeypatch):
    """As they would be by uvicorn's own settings of logging."""
    monkeypatch.setattr(serving.uvicorn.Server, "run", lambda self, sockets: None)
    closed, handler = [], logging.StreamHandler()
    monkeypatch.setattr(handler, "close", lambda: closed.append(handler))
    CliRunner().invoke(app, asked, catch_exceptions=False)
    assert closed == []
