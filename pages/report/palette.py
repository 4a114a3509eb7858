"""Colours that people of every colour vision tell apart, each with a marker and a hatch of its own.

The colours are those of Okabe and Ito, Color Universal Design (https://jfly.uni-koeln.de/color/, 2008), without yellow,
which is faint on white. A picture may be printed in grey or seen through any eyes: nothing is told by a colour alone.
Shades of figures are those of cividis (Nuñez, Anderton and Renslow, PLOS ONE 13(7), 2018).
"""

from collections.abc import Sequence
from typing import NamedTuple

BLUE, VERMILLION, SKY, ORANGE = "#0072B2", "#D55E00", "#56B4E9", "#E69F00"
GREEN, PURPLE, BLACK = "#009E73", "#CC79A7", "#000000"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "---", "+++")
GROUPS_TOLD = len(COLOURS)  # of more, the rest is pale
PALE, GREY, INK = "#D9D9D9", "#999999", "#333333"
SHADES = "cividis"
KEPT, DROPPED = BLUE, VERMILLION
HATCH_OF_DROPPED = "////"


class Look(NamedTuple):
    """How one group is told from others."""

    colour: str
    marker: str
    hatch: str


OTHERS = Look(PALE, ".", "")  # of what nothing is known, and of groups that are too many


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each of the first names; those beyond look like `OTHERS`."""
    told = [Look(*one) for one in zip(COLOURS, MARKERS, HATCHES, strict=True)]
    return {name: told[at] if at < len(told) else OTHERS for at, name in enumerate(names)}
