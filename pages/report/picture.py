"""What one picture of the report is, and the paper that it is drawn on.

Every module of pictures has the same parts: what is counted, as plain rows; a sentence that says what they show; and a
function that draws them. A picture that cannot be drawn from a catalog is left out, and a sentence says why.
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pages.report.names import with_glyphs
from pages.report.palette import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 4.8  # on the screen of a telephone a point is then a pixel
SMALL, USUAL, TITLE = 7.5, 8.5, 10.0  # points
TITLE_LETTERS, TITLE_LINES = 54, 4
Row = Sequence[str | int | float | None]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: `title` says what is seen, `caption` of what it is, `rows` are the numbers that it is drawn from."""

    name: str  # of its files
    heading: str
    title: str
    caption: str
    head: tuple[str, ...]
    rows: Sequence[Row]
    draw: "Callable[[], Figure]"
    is_raster: bool = False  # cells of a matrix are pixels


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A picture that is not there, and why, in one sentence."""

    name: str
    heading: str
    why: str


def sheet(
    title: str, *, height_in: float, num_rows: int = 1, num_columns: int = 1, heights: Sequence[float] | None = None
) -> "tuple[Figure, list[Axes]]":
    """A figure under its title, and its axes row by row; `height_in` is without the title, `heights` those of rows."""
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    titled(figure, title, height_in=height_in)
    made: Any = figure.subplots(num_rows, num_columns, squeeze=False, height_ratios=heights)
    axes: list[Axes] = list(made.flat)
    for one in axes:
        one.tick_params(labelsize=USUAL)
        one.xaxis.label.set_fontsize(USUAL)
        one.yaxis.label.set_fontsize(USUAL)
    return figure, axes


def titled(figure: "Figure", title: str, *, height_in: float) -> None:
    """The title above a figure, which is as high as that, and as wide as all are."""
    lines = textwrap.wrap(
        with_glyphs(title), TITLE_LETTERS, break_on_hyphens=False, max_lines=TITLE_LINES, placeholder="\u2026"
    )
    figure.set_size_inches(WIDTH_IN, height_in + 0.17 * len(lines))
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=TITLE, fontweight="bold", color=INK)


def bare(axes: "Axes") -> None:
    """Without ticks, grid and frame."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def counting(axes: "Axes", axis: Literal["x", "y"], *, most_ticks: int = 6) -> None:
    """Ticks at whole numbers, with their thousands."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    of = axes.xaxis if axis == "x" else axes.yaxis
    of.set_major_locator(MaxNLocator(most_ticks, integer=True))
    of.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def rounded(value: float) -> str:
    """Two digits after the point, and no minus before zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def percent(part: int, whole: int) -> str:
    """A share of a count."""
    return "0 %" if not whole else f"{100 * part / whole:.1f} %"


def listed(names: Sequence[str], most: int = 6) -> str:
    """`a, b and 3 more`."""
    told = ", ".join(names[:most])
    return f"{told} and {len(names) - most:,} more" if len(names) > most else told


def number_of(count: int, one: str, many: str | None = None) -> str:
    """`1 label` or `2,000 labels`."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"
