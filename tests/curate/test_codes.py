"""Texts as numbers: the same as numpy tells of a list of them."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curate.codes import numbered


@given(st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=9), st.integers(0, 9))
def test_numbers_follow_the_order_of_texts_and_null_is_minus_one(texts, cut):
    column = pa.chunked_array([pa.array(texts[:cut], pa.string()), pa.array(texts[cut:], pa.string())])
    known, place = numbered(column)
    assert known.tolist() == sorted({text for text in texts if text is not None})
    assert [None if at < 0 else known[at] for at in place] == texts
    assert place.dtype == np.int64
