"""Which utterances a matrix shows: as many of each speaker, and those that must be there."""

import numpy as np
import pytest

from pages.review.matrix import as_bytes, chosen
from pages.review.shown import Tables
from tests.pages.catalogs_made import review_catalog

SPEAKERS = ("a/a", "b/b", "c/c")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return Tables(review_catalog(tmp_path_factory.mktemp("many"), speakers=SPEAKERS, num_each=40, with_sound=False))


@pytest.mark.parametrize("most", [1, 2, 7, 40, 80, 119, 120, 500])
@pytest.mark.parametrize("always", [(), ("a/a/7", "c/c/39", "nobody")])
def test_no_more_than_fit_are_chosen_evenly_in_order_and_with_those_that_must_be_there(tables, most, always):
    found = chosen(tables, SPEAKERS, always, most=most)
    assert found.num_all == 120
    assert len(found.utterance_ids) == min(most, 120) == sum(count for _, count in found.groups)
    assert len(set(found.utterance_ids)) == len(found.utterance_ids)
    counts = [count for _, count in found.groups]
    assert max(counts) - min(counts) <= 1
    start = 0
    for speaker, count in found.groups:
        mine = found.utterance_ids[start : start + count]
        assert mine == sorted(mine)
        assert all(one.startswith(speaker) for one in mine)
        there = {one for one in always if one.startswith(speaker)}
        assert there <= {*mine} or count == 0
        start += count
    assert found.marked == [one for one in always if one in found.utterance_ids]


def test_a_small_speaker_leaves_his_room_to_the_others(tmp_path):
    catalog = review_catalog(tmp_path, speakers=("a/a", "a/b", "a/c"), num_each=3, with_sound=False)
    found = chosen(Tables(catalog), ["a/a", "nobody", "a/b", "a/a"], most=5)
    assert found.groups == [("a/a", 2), ("nobody", 0), ("a/b", 3)]


def test_cosines_as_bytes():
    found = np.frombuffer(as_bytes(np.float32([[1, 0.5], [-1, 1.0001]])), np.int8)
    assert found.tolist() == [127, 64, -127, 127]
