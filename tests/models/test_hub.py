"""What finding a published model promises: its folder or its name at the hub, and of the hub what is needed alone.

The hub is a server on this machine that answers as huggingface.co does.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import huggingface_hub.constants
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import ExtractorError
from models.extractors.hub import folder_of

NAME = "someone/encoder"
OLD, NEW = "0" * 40, "1" * 40  # commits
FILES = {"settings.yaml": b"of %s", "net.ckpt": b"weights of %s", "other.ckpt": b"not wanted", "README.md": b"words"}
SAFE, PICKLED = "model*.safetensors*", "pytorch_model*.bin*"


class Hub(BaseHTTPRequestHandler):
    """One model, whose main branch is at NEW; `fetched` are the files that were asked for."""

    files: dict[str, bytes]
    fetched: list[tuple[str, str]]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        kind, *rest = urlsplit(self.path).path.removeprefix("/").removeprefix("api/models/").split("/")
        match [kind, *rest]:
            case ["someone", "encoder"]:
                self.say_json({"id": NAME, "sha": NEW, "siblings": [{"rfilename": name} for name in self.files]})
            case ["someone", "encoder", "revision", commit]:
                commit = NEW if commit == "main" else commit
                self.say_json({"id": NAME, "sha": commit, "siblings": [{"rfilename": name} for name in self.files]})
            case ["someone", "encoder", "tree", _]:
                self.say_json(
                    [{"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                     for name, content in self.files.items()]
                )  # fmt: skip
            case ["someone", "encoder", "resolve", commit, name] if name in self.files:
                if self.command == "GET":
                    self.fetched.append((commit, name))
                content = self.files[name].replace(b"%s", commit.encode())
                self.say(200, content, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
            case _:
                self.say(404, b"", {"X-Error-Code": "RepoNotFound"})

    def say_json(self, content):
        self.say(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def say(self, status, content, headers):
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *words):
        """Nothing."""


@pytest.fixture
def hub(hub_cache, monkeypatch):
    """The handler of the server, whose files a test may change."""
    handler = type("OneHub", (Hub,), {"files": dict(FILES), "fetched": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        there = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", there)
        template = there + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield handler
        server.shutdown()


@pytest.fixture
def cached(hub_cache):
    """Puts files into the cache, of a commit that the hub has moved on from."""

    def put(**files):
        snapshot = hub_cache / "models--someone--encoder" / "snapshots" / OLD
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text(OLD)
        for name, content in files.items():
            (snapshot / name.replace("_", ".")).write_bytes(content)
        return snapshot

    return put


def found(source=NAME, names=("settings.yaml", "net.ckpt"), either=()):
    return folder_of(str(source), names, either, example="speechbrain/spkrec-ecapa-voxceleb")


def error_of(*wanted):
    with pytest.raises(ExtractorError) as caught:
        found(*wanted)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_with_all_files_is_taken_and_nobody_is_asked(tmp_path, no_network):
    for name in ("settings.yaml", "net.ckpt", "pytorch_model.bin"):
        (tmp_path / name).touch()
    assert found(tmp_path) == found(tmp_path, either=(SAFE, PICKLED)) == tmp_path
    assert no_network == []


@pytest.mark.parametrize("lacks", ["settings.yaml", "net.ckpt", "model.safetensors"])
def test_a_folder_that_lacks_a_file_names_it_and_says_what_such_a_folder_holds(lacks, tmp_path):
    for name in {"settings.yaml", "net.ckpt", "model.safetensors"} - {lacks}:
        (tmp_path / name).touch()
    (tmp_path / lacks).mkdir()  # which is no file
    told = error_of(tmp_path, ("settings.yaml", "net.ckpt"), (SAFE,) if lacks != "model.safetensors" else ("m*.none",))
    named = "m.none" if lacks == "model.safetensors" else lacks
    weights = "m.none" if lacks == "model.safetensors" else "model.safetensors"
    assert told == (
        f"{tmp_path}: no {named} in it; expected a folder with settings.yaml, net.ckpt and {weights}, "
        'like that of "speechbrain/spkrec-ecapa-voxceleb"'
    )


def test_of_weights_in_two_forms_a_folder_may_hold_either(tmp_path):
    assert "; expected a folder with settings.yaml, like" in error_of(tmp_path, ("settings.yaml",))
    told = error_of(tmp_path, ("settings.yaml",), (SAFE, PICKLED))
    assert "; expected a folder with settings.yaml and model.safetensors or pytorch_model.bin, like" in told


@pytest.mark.parametrize(
    "source",
    ["/no/such/folder", "folder", "./a", "a/b/c", "a/b--c", "a/..", "a b/c", "a/b.git", "é/b", "a/" + "b" * 97],
)
def test_what_is_neither_a_folder_nor_a_name_at_the_hub_says_so_and_nobody_is_asked(source, no_network):
    told = rf"^{re.escape(source)}: no such folder; expected one with settings\.yaml, or a name at the Hugging Face hub"
    assert re.match(told, error_of(source))
    assert no_network == []


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20))
def test_whatever_the_source_is_called_the_answer_is_one_line(source):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.chdir("/")
        assert error_of(source)


def test_what_the_cache_holds_is_taken_without_asking_the_hub(cached, no_network):
    snapshot = cached(settings_yaml=b"a", net_ckpt=b"b")
    assert found() == snapshot
    assert no_network == []


def test_of_the_hub_the_files_that_are_wanted_are_fetched_and_only_once(hub, hub_cache):
    folder = found()
    assert sorted(hub.fetched) == [(NEW, "net.ckpt"), (NEW, "settings.yaml")]
    assert (folder / "net.ckpt").read_bytes() == b"weights of " + NEW.encode()
    assert folder.is_relative_to(hub_cache)
    assert found() == folder
    assert len(hub.fetched) == 2


def test_of_a_model_that_is_cached_in_part_the_rest_is_fetched_as_it_was_then(hub, cached):
    snapshot = cached(settings_yaml=b"of " + OLD.encode())
    assert found() == snapshot
    assert hub.fetched == [(OLD, "net.ckpt")]
    assert (snapshot / "net.ckpt").read_bytes() == b"weights of " + OLD.encode()


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin", "tf_model.h5"], ["pytorch_model.bin"]),
        (
            ["model.safetensors.index.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors"],
            ["model.safetensors.index.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors"],
        ),
    ],
)
def test_of_weights_in_two_forms_the_first_that_the_hub_has_is_fetched(hub, there, wanted):
    hub.files |= {name: name.encode() for name in there}  # the cache keeps one of those that are alike
    found(NAME, ("settings.yaml",), (SAFE, PICKLED))
    assert sorted(name for _, name in hub.fetched) == sorted(["settings.yaml", *wanted])


def test_what_the_hub_lacks_is_named(hub, capfd):
    told = 'at the hub; expected a model such as "speechbrain/spkrec-ecapa-voxceleb"'
    assert error_of(NAME, ("settings.yaml", "gone.ckpt")) == f"{NAME}: has no gone.ckpt {told}"
    assert error_of(NAME, ("settings.yaml",), (SAFE, PICKLED)) == f"{NAME}: has no model.safetensors {told}"
    assert error_of("some/other").startswith("some/other: the hub has no such model, or not for everybody; expected")
    assert hub.fetched == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("in_part", [False, True])
def test_without_network_a_missing_model_says_at_once_how_to_bring_it(in_part, cached, no_network, capfd):
    if in_part:
        cached(settings_yaml=b"a")
    message = error_of()
    assert message.startswith(f"{NAME}: not whole in the cache of Hugging Face, nor to be had from the hub (")
    assert f"`hf download {NAME} --local-dir FOLDER`" in message
    assert "FOLDER in the place of the name" in message
    assert 0 < len(no_network) <= 3  # asked, and not again and again
    assert capfd.readouterr() == ("", "")


def test_where_the_user_wants_no_network_nobody_is_asked(hub_cache, no_network, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "`hf download" in error_of()
    assert no_network == []
