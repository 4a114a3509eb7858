"""Pictures of scores: what is greater lies further right, within the picture, and bounds where they are."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.review.strip import HEIGHT, MARGIN, NUM_BARS, WIDTH, number, scales, strip


def rows(scores, lower=0.3, upper=None):
    kind = {"subject": "utterance", "step": "clean", "lower_bound": lower, "upper_bound": upper}
    return [kind | {"score": score} for score in scores]


def table(rows):
    floats = dict.fromkeys(("score", "lower_bound", "upper_bound"), pa.float64())
    schema = pa.schema({"subject": pa.string(), "step": pa.string()} | floats)
    return pa.Table.from_pylist(rows, schema)


def test_a_picture_worked_by_hand():
    """Scores of 0 and 1 and a bound at 0.3: from -0.1 to 1.1 there are 1.2, in the 216 units between the margins."""
    judged = rows([0.0] * 50 + [1.0] * 50)
    found = strip(judged[0], scales(table(judged)))
    assert found.score == pytest.approx(MARGIN + 216 / 12, abs=0.05)
    assert found.lower == found.band_from == pytest.approx(MARGIN + 216 * 0.4 / 1.2, abs=0.05)
    assert (found.upper, found.band_to, found.is_within) == (None, WIDTH, False)
    assert [height for _, _, height in found.bars] == [HEIGHT, HEIGHT]
    assert found.bars[0][0] <= found.score <= found.bars[0][0] + found.bars[0][1]


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=30), st.floats(-2, 2))
def test_what_is_greater_lies_further_right_and_all_lies_within(scores, bound):
    judged = rows(scores, lower=bound)
    of_all = scales(table(judged))
    places = [strip(row, of_all).score for row in sorted(judged, key=lambda row: row["score"])]
    assert places == sorted(places)
    assert all(MARGIN <= place <= WIDTH - MARGIN for place in places)
    for row in judged:
        found = strip(row, of_all)
        assert found.is_within == (row["score"] >= bound)
        assert len(found.bars) <= NUM_BARS
        assert np.sign(found.score - found.lower) in (0, np.sign(row["score"] - bound))


def test_what_is_infinite_lies_at_the_end_and_what_was_not_measured_has_no_picture():
    judged = rows([-math.inf, 0.5, 0.6, None])
    of_all = scales(table(judged))
    assert strip(judged[0], of_all).score == MARGIN
    assert strip(judged[3], of_all) is None
    assert strip(judged[0] | {"step": None, "subject": "pair"}, of_all) is None
    nothing = rows([None, None], lower=None)
    assert strip(nothing[0], scales(table(nothing))) is None


def test_numbers_in_words():
    assert [number(value) for value in (None, 0.5, -0.12344, -math.inf, math.inf)] == [
        "none", "0.5000", "\u22120.1234", "\u2212\u221e", "\u221e"
    ]  # fmt: skip
