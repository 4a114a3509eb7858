"""Landmarks of many recordings: what is filed is what was given, and no file is left."""

import errno
import os
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import marks
from curate.errors import CatalogError
from curate.marks import Marks, Prints

LISTS = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), max_size=9)


def column(lists):
    chunks = [pa.array(lists[at : at + 2], pa.list_(pa.int64())) for at in range(0, len(lists), 2)]
    return pa.chunked_array(chunks, pa.list_(pa.int64()))


def as_lists(marks):
    return [marks.values[begin:end].tolist() for begin, end in pairwise(marks.offsets.tolist())]


def batches(rows):
    return pa.table({"landmarks": rows}).to_batches()


@given(lists=LISTS, most_held=st.integers(0, 20))
def test_what_is_held_and_what_is_filed_are_what_was_given(tmp_path_factory, lists, most_held):
    folder, rows = tmp_path_factory.mktemp("marks"), column(lists)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "MOST_HELD", most_held)
        read = Marks.read(batches(rows), folder / "made")
    read.let_go()  # and is read again
    assert as_lists(Marks.held(rows)) == as_lists(read) == lists
    is_filed = sum(map(len, lists)) > most_held
    assert (read.folder == folder / "made") == (folder / "made").exists() == is_filed
    assert not list(folder.glob("made/*"))


def test_what_is_in_a_slice_is_its_own_lists():
    rows = pa.table({"landmarks": column([[1, 2], [3], [4, 5, 6], []])}).combine_chunks().slice(1, 2)
    assert as_lists(Marks.held(rows["landmarks"])) == [[3], [4, 5, 6]]
    assert as_lists(Marks.read(rows.to_batches(), Path("nowhere"))) == [[3], [4, 5, 6]]
    assert as_lists(Prints.held(rows).landmarks()) == [[3], [4, 5, 6]]


def test_who_has_none_has_no_landmarks(tmp_path):
    assert as_lists(Marks.read(batches(column([[1], None, [2, 3]])), tmp_path)) == [[1], [], [2, 3]]


@pytest.mark.parametrize("most_held", [0, 1])
def test_what_is_written_into_its_room_is_read_again_and_leaves_no_name(tmp_path, monkeypatch, most_held):
    monkeypatch.setattr(marks, "MOST_HELD", most_held)
    read = Marks.read(batches(column([[1]])), tmp_path)
    with read.rooms(2) as (room, other):
        room.write(np.arange(5))
        for one, written in ((room, [0, 1, 2, 3, 4]), (other, [])):
            one.seek(0)
            assert np.frombuffer(one.read(), np.int64).tolist() == written
        assert not list(tmp_path.iterdir())


def test_a_disk_that_cannot_be_written_to_is_told_of_where_there_is_much_and_not_used_where_there_is_little(
    tmp_path, monkeypatch
):
    def no_room(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    rows = batches(column([[1]]))
    monkeypatch.setattr(marks, "MOST_HELD", 0)
    read = Marks.read(rows, tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    told = re.escape(f"{tmp_path}: No space left on device; expected room for sound prints")
    with pytest.raises(CatalogError, match=told):
        Marks.read(rows, tmp_path)
    with pytest.raises(CatalogError, match=told), read.rooms(1):
        pass
    monkeypatch.setattr(marks, "MOST_HELD", 1)
    with Marks.read(rows, tmp_path).rooms(1):
        pass
