"""How a report looks: colours that everybody tells apart, and names that are one short line whatever they hold."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pages.report import palette
from pages.report.names import LEFT_TO_RIGHT, drawn, drawn_apart, shown
from pages.report.picture import TITLE_LINES, sheet

# Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision deficiency, IEEE
# Transactions on Visualization and Computer Graphics 15(6), 2009: linear RGB, at full severity.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ_OF_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, D65
APART = 15.0  # of CIELAB: 2.3 is just noticeable


def lab(colour, seen_by):
    """CIELAB of a colour `#rrggbb` as somebody sees it."""
    srgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ_OF_RGB @ np.clip(SEEN_BY[seen_by] @ linear, 0, 1) / (XYZ_OF_RGB @ np.ones(3))
    f = [np.cbrt(one) if one > (6 / 29) ** 3 else one / (3 * (6 / 29) ** 2) + 4 / 29 for one in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one, other, seen_by):
    return float(np.linalg.norm(lab(one, seen_by) - lab(other, seen_by)))


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_every_two_colours_stay_apart_in_all_eyes(seen_by):
    for one, other in combinations((*palette.COLOURS, palette.PALE, "#FFFFFF"), 2):
        assert distance(one, other, seen_by) > (APART if palette.PALE not in (one, other) else 10), (one, other)


def test_the_simulation_knows_a_pair_that_some_do_not_tell_apart():
    """A red and a green of equal lightness; and white is white to all."""
    assert distance("#d62728", "#7f6000", "everybody") > 40
    assert distance("#a05000", "#6f7000", "deuteranopia") < APART < distance("#a05000", "#6f7000", "everybody")
    for seen_by in SEEN_BY:
        np.testing.assert_allclose(lab("#ffffff", seen_by), [100, 0, 0], atol=0.05)


def test_groups_differ_by_marker_and_hatch_too_and_those_beyond_seven_are_pale():
    found = palette.looks([f"g{number}" for number in range(9)])
    told = list(found.values())[:7]
    for part in zip(*told, strict=True):
        assert len(set(part)) == 7
    assert found["g7"] == found["g8"] == palette.OTHERS


@given(st.text(max_size=60), st.integers(3, 30))
@example("\u0627" * 100, 10)
@example("a\u0300" * 5_000, 20)
@example("", 5)
def test_a_name_is_one_short_line_without_what_is_invisible(text, most):
    found = shown(text, most)
    assert 1 <= len(found.removesuffix(LEFT_TO_RIGHT)) <= most
    assert found.removesuffix(LEFT_TO_RIGHT).isprintable()
    assert "  " not in found
    assert shown(found, most) == found


def test_a_long_name_keeps_both_ends_and_one_from_right_to_left_keeps_numbers_out():
    assert shown("corpus/" + "x" * 10_000 + "/end", 11) == "corpu\u2026x/end"
    assert shown("\u05e9\u05dc") == "\u05e9\u05dc\u200e"
    assert shown("<b>&") == "<b>&"
    assert drawn("\u4e2d a") == "\u25a1 a"


@given(st.lists(st.text(max_size=40), max_size=8))
def test_names_that_are_drawn_are_never_alike(names):
    found = drawn_apart(names, 6)
    assert set(found) == set(names)
    assert len(set(found.values())) == len(found)


def test_a_title_has_four_lines_at_most_and_its_letters_as_they_are():
    figure, _ = sheet("a$b^ " * 200, height_in=1.0)
    lines = figure.get_suptitle().split("\n")
    assert len(lines) == TITLE_LINES
    assert lines[0].startswith("a$b^ a$b^")
    assert lines[-1].endswith("\u2026")
