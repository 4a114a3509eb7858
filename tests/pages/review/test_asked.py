"""Filters go into an address and come back as they were."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.reasons import Subject, Verdict
from pages.review.asked import MAX_TEXT, Asked, AskedError, State

numbers = st.none() | st.floats(-5, 5, allow_subnormal=False)
words = st.text(max_size=8).map(str.strip)


@given(
    asked=st.builds(
        Asked,
        state=st.sampled_from(State),
        kind=st.sampled_from(["", *Subject]),
        verdict=st.sampled_from(["", *Verdict]),
        corpus=words,
        reason=words,
        text=words,
        min_doubt=numbers,
        max_score=numbers,
    )
)
def test_what_is_asked_for_comes_back_from_its_address(asked):
    query = asked.query(subject="pair", id="a&b", other=None, page=2)
    found = dict(parse_qsl(query, keep_blank_values=True))
    assert Asked.of(found) == asked
    assert {name: found[name] for name in ("subject", "id", "page")} == {"subject": "pair", "id": "a&b", "page": "2"}
    assert "other" not in found


def test_what_leaves_nothing_out_is_not_named():
    assert Asked().query() == ""
    assert Asked(state=State.ALL, text="x y").query() == "state=all&text=x+y"


def test_a_text_that_is_too_long_to_be_searched_for_is_refused():
    with pytest.raises(AskedError, match=f"text of {MAX_TEXT + 1} characters: expected at most {MAX_TEXT}"):
        Asked(text="x" * (MAX_TEXT + 1))
