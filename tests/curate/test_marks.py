"""Landmarks of many recordings: what is filed is what was given, and no file is left."""

import errno
import os
import re
import tempfile
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CatalogError
from curate.marks import Marks, Prints

LISTS = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), max_size=9)


def column(lists):
    chunks = [pa.array(lists[at : at + 2], pa.list_(pa.int64())) for at in range(0, len(lists), 2)]
    return pa.chunked_array(chunks, pa.list_(pa.int64()))


def as_lists(marks):
    return [marks.values[begin:end].tolist() for begin, end in pairwise(marks.offsets.tolist())]


@given(lists=LISTS)
def test_what_is_held_and_what_is_filed_are_what_was_given(tmp_path_factory, lists):
    folder = tmp_path_factory.mktemp("marks")
    rows = column(lists)
    filed = Marks.filed(pa.table({"landmarks": rows}).to_batches(), folder / "made")
    filed.let_go()  # and is read again
    assert as_lists(Marks.held(rows)) == as_lists(filed) == lists
    assert not list((folder / "made").iterdir())


def test_what_is_in_a_slice_is_its_own_lists():
    rows = pa.table({"landmarks": column([[1, 2], [3], [4, 5, 6], []])}).combine_chunks().slice(1, 2)
    assert as_lists(Marks.held(rows["landmarks"])) == [[3], [4, 5, 6]]
    assert as_lists(Prints.held(rows).landmarks()) == [[3], [4, 5, 6]]


@pytest.mark.parametrize("is_filed", [False, True])
def test_what_is_written_into_its_room_is_read_again_and_leaves_no_name(tmp_path, is_filed):
    rows = pa.table({"landmarks": column([[1]])})
    marks = Marks.filed(rows.to_batches(), tmp_path) if is_filed else Marks.held(rows["landmarks"])
    with marks.rooms(2) as (room, other):
        room.write(np.arange(5))
        for one, written in ((room, [0, 1, 2, 3, 4]), (other, [])):
            one.seek(0)
            assert np.frombuffer(one.read(), np.int64).tolist() == written
        assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_of_the_folder(tmp_path, monkeypatch):
    rows = pa.table({"landmarks": column([[1]])})
    marks = Marks.filed(rows.to_batches(), tmp_path)

    def no_room(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    told = f"{tmp_path}: No space left on device; expected room for sound prints"
    with pytest.raises(CatalogError, match=re.escape(told)):
        Marks.filed(rows.to_batches(), tmp_path)
    with pytest.raises(CatalogError, match=re.escape(told)), marks.rooms(1):
        pass
