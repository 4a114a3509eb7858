"""Texts as numbers: the same as numpy tells of a list of them."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curate.codes import is_ascending, numbered


@given(st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=9), st.integers(0, 9))
def test_numbers_follow_the_order_of_texts_and_null_is_minus_one(texts, cut):
    column = pa.chunked_array([pa.array(texts[:cut], pa.string()), pa.array(texts[cut:], pa.string())])
    known, place = numbered(column)
    assert known.tolist() == sorted({text for text in texts if text is not None})
    assert [None if at < 0 else known[at] for at in place] == texts
    assert place.dtype == np.int64


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=6), st.booleans(), st.integers(0, 6))
def test_rows_are_in_order_exactly_where_no_value_is_less_than_the_one_before(values, strictly, cut):
    column = pa.chunked_array([pa.array(values[:cut], pa.string()), pa.array(values[cut:], pa.string())])
    in_order = None not in values and values == sorted(set(values) if strictly else values)
    assert is_ascending(column, strictly=strictly) == (in_order or len(values) < 2)
