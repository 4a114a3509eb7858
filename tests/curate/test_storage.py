"""What a place of data promises: a text names it, it is used as a path, and its faults are said in one line."""

import errno
import pickle
import socket
import ssl
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from curate import storage
from curate.corpora import inventory
from curate.corpora.inventory import Inventory, held_at, inventory_of, listed_once
from curate.corpora.places import files_below, inside, is_file, names_in, require_inside
from curate.errors import CorpusError, LocationError
from curate.storage import Location, UnreachableError, is_local, joined, location, matching, reachable, why

NAMES = st.text(st.sampled_from("ab-. /é\x01"), min_size=1, max_size=3).filter(lambda name: name.strip(" ./"))
PATHS = st.lists(NAMES.filter(lambda name: "/" not in name), min_size=1, max_size=3).map("/".join)


@pytest.fixture
def place():
    """A folder of fsspec's memory."""
    root = location("memory://a place")
    yield root
    if root.fs.exists(root.path):
        root.fs.rm(root.path, recursive=True)


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("text", ["corpora/vivos", "/data/vivos", "~/vivos", "a b/c:d", "x/s3://b", "file:///data/x"])
def test_what_is_of_this_machine_is_a_plain_path(text):
    assert location(text) == Path(text.removeprefix("file://"))
    assert is_local(location(text))


@pytest.mark.parametrize("text", ["s3://bucket/a b/vivos", "memory://bucket/vivos", "s3://bucket"])
def test_an_address_is_a_path_elsewhere_and_can_be_read_back_from_its_text(text):
    found = location(text)
    assert not is_local(found)
    assert str(found).rstrip("/") == text
    assert location(str(found)) == found
    assert location(f"{text}/") == found
    assert str(found / "a" / "b.wav") == f"{text}/a/b.wav"
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    "text", ["s4://bucket/x", "zip::s3://bucket/x", "s3://", "s3:///", "s3://b/../x", "file://x/y"]
)
def test_an_address_that_we_cannot_work_with_is_named_in_one_line(text):
    with pytest.raises(LocationError, match=r"^[^\n]*expected [^\n]*$") as told:
        location(text)
    assert text in str(told.value)


def test_a_scheme_whose_package_is_missing_names_it():
    with pytest.raises(LocationError, match=r"^gs://bucket/x: .*gcsfs.*; expected its package$"):
        location("gs://bucket/x")


@pytest.mark.parametrize("text", ["s3://key:hush@bucket/x", "ftp://me:hush@host/x", "https://host/x?X-Signature=hush"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(text):
    with pytest.raises(LocationError, match="expected a plain address") as told:
        location(text)
    assert "hush" not in str(told.value)
    with pytest.raises(ValidationError) as told_by_pydantic:
        TypeAdapter(Location).validate_python(text)
    assert "hush" not in told_by_pydantic.value.errors()[0]["msg"]


@pytest.mark.parametrize("said", ["x/y", "/x/y", "s3://bucket/x"])
def test_settings_read_a_place_from_json_and_leave_one_as_it_is(said):
    kind = TypeAdapter(Location)
    assert kind.validate_json(f'"{said}"', strict=True) == location(said)
    assert kind.validate_python(location(said), strict=True) is not None
    for wrong in ("3", "null", "[]"):
        with pytest.raises(ValidationError, match="expected a path, or an address"):
            kind.validate_json(wrong)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (".", "s3://b/root"),
        ("a/./b", "s3://b/root/a/b"),
        ("../other", "s3://b/other"),
        ("/local", "/local"),
        ("memory://x/y", "memory://x/y"),
    ],
)
def test_a_name_is_taken_from_a_folder_unless_it_is_a_place_of_its_own(said, expected):
    assert joined(location("s3://b/root"), location(said)) == location(expected)
    assert joined(Path("/here"), location("a/b")) == Path("/here/a/b")
    assert joined(Path("/here"), location("s3://b/x")) == location("s3://b/x")


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError("bucket/a b/c"), "No such file or directory"),
        (FileNotFoundError("The specified bucket does not exist"), "The specified bucket does not exist"),
        (PermissionError("Access Denied"), "Access Denied"),
        (PermissionError("b/c"), "Permission denied"),
        (OSError(errno.ENOSPC, "No space left"), "No space left"),
        (OSError("two\nlines"), "two lines"),
        (OSError(), "OSError"),
    ],
)
def test_what_went_wrong_is_said_on_one_line(error, words):
    assert why(error) == words


class _ClientError(Exception):
    """What a client raises; its module is what tells."""

    __module__ = "botocore.exceptions"


@pytest.mark.parametrize(
    "error",
    [
        *(_ClientError("no\nroute"), PermissionError("Access Denied"), OSError("slow down"), TimeoutError()),
        *(ConnectionResetError(errno.ECONNRESET, "reset"), ssl.SSLError(1, "bad"), socket.gaierror(-2, "unknown")),
    ],
)
def test_faults_of_a_client_become_os_errors_that_name_the_place(error, place):
    with pytest.raises(UnreachableError, match=why(error)) as told, reachable(place):
        raise error
    assert told.value.filename == "memory://a place"
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [ValueError("ours"), CorpusError("ours"), FileNotFoundError("x"), OSError(28, "full")]
)
def test_faults_of_our_own_pass_as_they_are(error, place):
    with pytest.raises(type(error)) as told, reachable(place):
        raise error
    assert told.value is error
    with pytest.raises(_ClientError), reachable(Path("/data")):
        raise _ClientError


# ------------------------------------------------------------------------------------------------------ bytes and files


def test_bytes_are_written_and_read_back_whole_and_from_the_start(place):
    storage.put(place / "a" / "b", b"hello")
    assert storage.read_bytes(place / "a" / "b") == storage.fetch(place / "a" / "b") == b"hello"
    assert storage.fetch(place / "a" / "b", 2) == b"he"
    with storage.seekable(place / "a" / "b") as file:
        file.seek(1)
        assert file.read(3) == b"ell"
    with storage.opened(place / "a" / "b") as file:
        assert file.readline(3) == b"hel"
    assert storage.facts(place / "a" / "b")["size"] == 5
    for ask in (storage.fetch, storage.facts, storage.read_bytes):
        with pytest.raises(FileNotFoundError):
            ask(place / "a" / "c")


def test_the_same_questions_have_the_same_answers_here_and_elsewhere(place, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"hello")
    storage.put(place / "a" / "b.txt", b"hello")
    for root in (tmp_path, place):
        assert [storage.is_folder(root / one) for one in ("a", "a/b.txt", "c")] == [True, False, False]
        assert [storage.is_there(root / one) for one in ("a", "a/b.txt", "c")] == [True, True, False]
        assert [storage.is_taken(root / one) for one in ("a", "a/b.txt", "c")] == [True, True, False]
        assert [is_file(root, one) for one in ("a", "a/b.txt", "c")] == [False, True, False]
        assert storage.read_bytes(root / "a" / "b.txt") == b"hello"
        with storage.seekable(root / "a" / "b.txt") as source:
            assert (source.read_bytes() if isinstance(source, Path) else source.read()) == b"hello"


def test_a_file_that_was_written_anew_has_another_version(place):
    storage.put(place / "a", b"one")
    first = storage.version_of(storage.facts(place / "a"))
    with inventory_of(place) as one:
        assert one.held(["a"])["a"].version == first != ""
    assert first == storage.version_of(storage.facts(place / "a"))
    storage.put(place / "a", b"two")
    assert storage.version_of(storage.facts(place / "a")) != first


def test_a_time_is_one_version_in_whatever_zone_it_is_told():
    here = datetime(2026, 1, 1, 12, tzinfo=UTC)
    there = here.astimezone(timezone(timedelta(hours=7)))
    assert storage.version_of({"LastModified": here}) == storage.version_of({"LastModified": there}) != ""
    assert storage.version_of({"LastModified": here}) == storage.version_of({"mtime": here.timestamp()})
    assert storage.version_of({"ETag": '"x"', "LastModified": here}) == '"x"'
    assert storage.version_of({"size": 3}) == ""


@pytest.mark.parametrize(
    "pattern", ["*.txt", "*/*.txt", "a/*.txt", "a/b.txt", "*", "*/b*", "c", "[[]d]/*", "a/*/*.txt"]
)
def test_a_glob_finds_elsewhere_what_it_finds_here(pattern, place, tmp_path):
    names = ["a/b.txt", "a/c.wav", "b/b.txt", "x.txt", "c/d/e.txt", "[d]/y.txt", "a/.hidden.txt", "a/k/l.txt"]
    for name in names:
        storage.put(place / name, b"x")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    here = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob(pattern) if not path.is_dir()}
    there = [path.relative_to(place).as_posix() for path in matching(place, pattern)]
    assert sorted(there) == sorted(here)
    deep = [name for name in names if name.count("/") == pattern.count("/")]
    assert here == {n for n in deep if all(map(fnmatchcase, n.split("/"), pattern.split("/")))}


# ---------------------------------------------------------------------------------------------------------- inventories


@settings(max_examples=60)
@given(paths=st.sets(PATHS, min_size=1, max_size=8), folder=st.sampled_from(["", "a", "b"]))
@example(paths={"a/b", "a-b/c", "a b/d", "a.b", "a/._b", "ab", "a/b-c"}, folder="a")
@example(paths={"a/b", "a-b/c", "a b/d", "a.b", "a/._b", "ab", "a/b-c"}, folder="")
def test_files_elsewhere_come_in_the_order_of_a_walk_here(paths, folder):
    """Bytes of whole keys, as services sort them, put `a-b/c` before `a/b`."""
    paths = {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}  # or it is a folder
    root = location("memory://walked")
    with TemporaryDirectory() as here:
        (Path(here) / folder).mkdir(exist_ok=True)
        for path in paths - {folder}:
            storage.put(root / path, b"x")
            (Path(here) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(here) / path).touch()
        for ask in (lambda one: list(files_below(one, ("",), folder=folder)), lambda one: names_in(one, folder)):
            assert ask(root) == ask(Path(here))
    if root.fs.exists(root.path):
        root.fs.rm(root.path, recursive=True)


def test_many_files_are_listed_in_parts(place, monkeypatch):
    names = [f"{letter}/{number}.wav" for letter in "abc" for number in range(7)]
    for name in names:
        storage.put(place / name, name.encode())
    for size in (1, 2, 7, 100):
        monkeypatch.setattr(inventory, "FILES_AT_ONCE", size)
        assert list(files_below(place, (".wav",))) == names
        assert list(files_below(place, (".wav",), folder="b")) == [name for name in names if name[0] == "b"]
    with inventory_of(place) as one:
        assert {path: held.num_bytes for path, held in one.held(["a/1.wav", "z"]).items()} == {"a/1.wav": 7}


def test_an_inventory_is_shared_within_a_scan_and_made_anew_for_the_next(place, monkeypatch):
    storage.put(place / "a.wav", b"x")
    made = []
    monkeypatch.setattr(
        Inventory, "__init__", lambda self, root, of=Inventory.__init__: made.append(root) or of(self, root)
    )
    with listed_once(place):
        storage.put(place / "b.wav", b"x")
        assert [list(files_below(place, (".wav",))) for _ in range(3)] == [["a.wav"]] * 3
        assert held_at(place, "b.wav").num_bytes == 1  # written since: it is asked for
        assert held_at(place, "c.wav") is None
        list(files_below(location("memory://a place/inner"), (".wav",)))
    assert made == [place, place / "inner"]
    assert list(files_below(place, (".wav",))) == ["a.wav", "b.wav"]


def test_nothing_is_listed_of_a_folder_here(tmp_path):
    with listed_once(tmp_path):
        (tmp_path / "a.wav").touch()
        assert list(files_below(tmp_path, (".wav",))) == ["a.wav"]


# ------------------------------------------------------------------------------------------------------- paths of lists


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("wav/1.wav", "wav/1.wav"),
        ("./wav//1.wav", "wav/1.wav"),
        ("s3://bucket/root/wav/1.wav", "wav/1.wav"),
        ("s3://bucket/root/x/../wav/1.wav", "wav/1.wav"),
        ("/old/place/wav/1.wav", "wav/1.wav"),
        ("wav\\1.wav", "wav/1.wav"),
    ],
)
def test_a_list_may_name_what_lies_below_a_root_elsewhere(said, expected):
    assert inside(said, location("s3://bucket/root"), moved_from="/old/place") == expected


@pytest.mark.parametrize(
    "said",
    [
        *(
            "../x.wav",
            "a/../../x.wav",
            "s3://bucket/rooted/x.wav",
            "s3://other/root/x.wav",
            "s3://bucket/root/../x.wav",
        ),
        *("/etc/passwd", "https://bucket/root/x.wav", "gs://bucket/root/x.wav", "../../../../../etc/passwd", "", "."),
        *("s3://bucket/root", "/s3:/bucket/rooted", "../../s3:/bucket/x"),
    ],
)
def test_a_list_never_leaves_a_root_elsewhere(said):
    with pytest.raises(CorpusError, match="expected"):
        inside(said, location("s3://bucket/root"))


def test_a_list_written_of_a_bucket_is_read_beside_a_copy_of_it():
    moved = inside("s3://bucket/root/wav/1.wav", Path("/copy"), moved_from="s3://bucket/root")
    assert moved == "wav/1.wav"
    with pytest.raises(CorpusError, match="is an address"):
        inside("s3://bucket/other/1.wav", Path("/copy"), moved_from="s3://bucket/root")


def test_there_are_no_links_elsewhere(place):
    require_inside(place, "a/b")
