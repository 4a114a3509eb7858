"""The layer between a process and the kernel: what it sees, what it lets fail, and what its power cut takes."""

import errno
import os
import signal
import socket
import sqlite3

import pytest

from tests.faults.layer import Strike, watched

pytestmark = pytest.mark.usefixtures("layer")


def write_aside(folder):
    """A file, synced and renamed; its folder is synced; then another is written to, and one removed."""
    with (folder / "x.new").open("wb") as file:
        file.write(b"first")
        file.flush()
        os.fsync(file.fileno())
    (folder / "x.new").replace(folder / "x")
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    with (folder / "x").open("ab") as file:
        file.write(b", second")
    (folder / "old").unlink()


SEEN = ["create x.new", "write x.new", "sync x.new", "rename x.new -> x", "sync .", "open x", "write x", "unlink old"]


@pytest.fixture
def done(loaded, tmp_path):
    """Call it under this strike; how it ended, and the files that are left."""

    def struck(call, *arguments, **strike):
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        (folder / "old").write_bytes(b"old")
        ended = watched(loaded, folder, Strike(**strike), call, folder, *arguments)
        return ended, {path.name: path.read_bytes() for path in folder.iterdir()}

    return struck


def in_words(changes):
    told = [f"{one.call} {one.path.name}" + (f" -> {one.other.name}" if one.other else "") for one in changes]
    return [one.replace(" work", " .") for one in told]


def test_all_that_changes_names_and_contents_is_seen_before_it_happens(done):
    ended, left = done(write_aside)
    assert (ended.code, in_words(ended.changes)) == (0, SEEN)
    assert left == {"x": b"first, second"}


@pytest.mark.parametrize(
    ("at", "left"),
    [
        (0, {"old": b"old"}),
        (1, {"old": b"old", "x.new": b""}),
        (3, {"old": b"old", "x.new": b"first"}),
        (4, {"old": b"old", "x": b"first"}),
        (7, {"old": b"old", "x": b"first, second"}),
    ],
)
def test_a_kill_leaves_what_was_done_before_that_change_and_nothing_of_it(done, at, left):
    ended, found = done(write_aside, kills=True, at=at)
    assert ended.code == -signal.SIGKILL
    assert found == left
    assert in_words(ended.changes) == SEEN[: at + 1]


@pytest.mark.parametrize(
    ("at", "left"),
    [
        (2, {"old": b"old"}),  # neither the name nor the content was synced
        (3, {"old": b"old", "x.new": b"first"}),
        (4, {"old": b"old", "x.new": b"first"}),  # the folder was not: it knows nothing of the new name
        (5, {"old": b"old", "x": b"first"}),
        (8, {"old": b"old", "x": b"first"}),  # all was done: what was appended, and the removal, were never synced
    ],
)
def test_a_power_cut_takes_what_was_not_synced(done, at, left):
    _, found = done(write_aside, cuts_power=True, at=at)
    assert found == left


def rename_over_what_is_there(folder):
    (folder / "new").write_bytes(b"new")
    (folder / "new").replace(folder / "old")


def test_a_power_cut_brings_back_what_was_renamed_over(done):
    assert done(rename_over_what_is_there)[1] == {"old": b"new"}
    assert done(rename_over_what_is_there, cuts_power=True)[1] == {"old": b"old"}


def empty_and_write_again(folder):
    with (folder / "old").open("r+b") as file:
        os.fsync(file.fileno())
    (folder / "old").write_bytes(b"new")


def test_a_power_cut_takes_all_of_a_file_that_was_emptied_and_not_synced_since(done):
    assert done(empty_and_write_again)[1] == {"old": b"new"}
    assert done(empty_and_write_again, cuts_power=True)[1] == {"old": b""}


def make_folders(folder, synced):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name).mkdir(exist_ok=True)  # it is there, and stays
    if synced:
        handle = os.open(folder / "a", os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


@pytest.mark.parametrize(("synced", "left"), [(False, set()), (True, {"a"})])
def test_a_power_cut_takes_folders_that_are_new(loaded, tmp_path, synced, left):
    (tmp_path / "work").mkdir()
    watched(loaded, tmp_path / "work", Strike(cuts_power=True), make_folders, tmp_path / "work", synced)
    assert {path.name for path in (tmp_path / "work").iterdir()} == left


def remove_a_folder(folder):
    (folder / "there").rmdir()


def test_a_power_cut_brings_back_a_folder_that_was_removed(loaded, tmp_path):
    (tmp_path / "work" / "there").mkdir(parents=True)
    watched(loaded, tmp_path / "work", Strike(cuts_power=True), remove_a_folder, tmp_path / "work")
    assert (tmp_path / "work" / "there").is_dir()


def test_whether_a_strike_was_due_is_told(done):
    assert done(write_aside, kills=True, at=7)[0].was_struck
    assert not done(write_aside, kills=True, at=8)[0].was_struck


def test_where_the_kernel_holds_no_calls_that_is_told(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.faults.layer._held_in", meets_without)
    with pytest.raises(OSError, match="seccomp: not here"):
        watched(loaded, tmp_path, Strike(), print)


def meets_without(place, *_):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
    raise OSError(38, "seccomp: not here")


def test_a_full_disk_takes_nothing_from_there_on_and_is_told_to_who_writes(done):
    ended, left = done(write_aside, fails_with=errno.ENOSPC, lasts=True, at=1, only=frozenset({"write", "create"}))
    assert ended.code == 1
    assert "No space left on device" in ended.err
    assert left == {"old": b"old", "x.new": b""}


def note_in_a_database(folder, synchronous):
    notes = sqlite3.connect(folder / "notes.sqlite", isolation_level=None)
    notes.execute(f"pragma synchronous = {synchronous}")
    notes.execute("create table words as select 'kept' as word")
    notes.close()


@pytest.mark.parametrize(("synchronous", "left"), [("extra", [("kept",)]), ("full", [])])
def test_what_sqlite_says_of_a_power_cut_right_after_a_commit_holds(done, tmp_path, synchronous, left):
    """Only `extra` syncs the folder once the journal is gone; else that may be there again, and is played back."""
    ended, _ = done(note_in_a_database, synchronous, cuts_power=True)
    assert {"create notes.sqlite-journal", "sync notes.sqlite", "unlink notes.sqlite-journal"} <= set(
        in_words(ended.changes)
    )
    found = sqlite3.connect(tmp_path / "work" / "notes.sqlite")
    tables = found.execute("select name from sqlite_master").fetchall()
    assert (found.execute("select word from words").fetchall() if tables else []) == left
    found.close()
