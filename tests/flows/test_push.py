"""What is pushed arrives as it was published, byte by byte, in one commit."""

import json
import shutil
import socket

import pytest
from huggingface_hub import HfApi, constants
from typer.testing import CliRunner

from curate.errors import ExportError
from curate.verify import faults_of
from flows import pushing
from flows.cli import app
from flows.publishing import Asked, publish_benchmark
from tests.flows.hub_made import TOKEN, hub
from tests.flows.published_made import write_catalog

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw")  # how the Hub's client asks httpx


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("pushed")
    publish_benchmark(write_catalog(root), "toy", root / "out", Asked(has_audio=True))
    return root / "out"


@pytest.fixture
def server(monkeypatch):
    with hub() as server:
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # whose protocol is another program's
        monkeypatch.setattr(pushing, "HfApi", lambda: HfApi(endpoint=server.address, token=TOKEN))
        yield server


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_arrives_byte_by_byte_in_one_commit(published, server, tmp_path):
    server.files |= {".gitattributes": b"*.parquet filter=lfs", "old.parquet": b"of the one before"}
    assert pushing.push(published, "lab/toy") == f"{server.address}/datasets/lab/toy"
    assert server.files.pop(".gitattributes") == b"*.parquet filter=lfs"
    assert server.files == contents(published)
    assert server.commits == 1
    assert [(one["name"], one["organization"], one["type"], one["visibility"]) for one in server.created] == [
        ("toy", "lab", "dataset", "private")
    ]
    for name, content in server.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert faults_of(tmp_path) == []


def test_a_new_repository_is_public_where_that_is_asked(published, server):
    pushing.push(published, "lab/toy", is_public=True)
    assert [one["visibility"] for one in server.created] == ["public"]


def test_no_answer_is_one_line(published, monkeypatch):
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(pushing, "HfApi", lambda: HfApi(endpoint=address, token=TOKEN))
        with pytest.raises(
            ExportError, match=rf"^{address}: [^\n]*; {published} is written, and can be pushed by [^\n]*$"
        ):
            pushing.push(published, "lab/toy")


def test_a_refused_token_is_one_line(published, server, monkeypatch):
    monkeypatch.setattr(pushing, "HfApi", lambda: HfApi(endpoint=server.address, token="hf_wrong"))
    with pytest.raises(ExportError) as refused:
        pushing.push(published, "lab/toy")
    assert str(refused.value) == (
        f"{server.address} refuses the token; expected one in HF_TOKEN that may write lab/toy; {published} is written, "
        f"and can be pushed by `hf upload lab/toy {published} --repo-type dataset`"
    )
    assert (server.commits, server.files) == (0, {})


def test_a_name_that_the_hub_does_not_take_is_one_line(published, server):
    with pytest.raises(ExportError, match=r"expected `--push-to OWNER/NAME`"):
        pushing.push(published, "not a name/at all/x")


def test_a_folder_that_was_changed_is_not_pushed(published, server, tmp_path):
    shutil.copytree(published, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("")
    with pytest.raises(ExportError, match=r"changed: README\.md; expected it as `curate publish` wrote it"):
        pushing.push(tmp_path / "copy", "lab/toy")
    assert server.created == []


def test_the_command_publishes_and_pushes_under_the_address_that_it_will_have(published, server, tmp_path):
    out = tmp_path / "out"
    words = ["publish", published.parent / "catalog", "toy", out, "--push-to", "lab/toy"]
    told = CliRunner().invoke(app, [str(word) for word in words])
    assert (told.exit_code, told.stdout.splitlines()[1:]) == (0, [f"{server.address}/datasets/lab/toy"])
    assert server.files == contents(out)
    assert json.loads(server.files["croissant.json"])["url"] == f"{server.address}/datasets/lab/toy"
