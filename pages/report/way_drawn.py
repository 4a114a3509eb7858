"""The drawing of `pages.report.way`: a band from the corpora down to the lists, as wide as the number of utterances."""

from typing import TYPE_CHECKING

from benchmarks.pictures import styled
from pages.report.names import drawn
from pages.report.palette import BLUE, INK, PALE, SKY, VERMILLION
from pages.report.picture import SMALL, USUAL, WIDTH_IN, bare, number_of, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pages.report.way import Counts, Split, Stage, TrialList, Way

MIDDLE, WIDEST, TEXT_AT = 1.15, 1.5, 2.55  # inches from the left
BOX, LINE, LEAST_GAP, BEND = 0.40, 0.145, 0.34, 0.30  # inches
LINES, ACROSS = 6, 3  # reasons told at a step; splits, and lists, beside each other
Place = tuple[float, float]


@styled()
def draw(way: "Way", title: str) -> "Figure":
    """From the top down: corpora, steps, splits, lists. One inch of the figure is one unit of its axes."""
    first = max(BOX, LINE * (min(len(way.corpora), LINES + 1) + 1) + 0.1)
    height = first + 0.1 + sum(_gap(stage) + BOX for stage in way.stages)
    height += (0.5 + BOX + LINE if way.splits else 0) + (0.85 + BOX + LINE if way.lists else 0)
    height += 2 * LINE if max(len(way.splits), len(way.lists)) > ACROSS else 0
    figure, (axes,) = sheet(title, height_in=height)
    bare(axes)
    axes.set(xlim=(0, WIDTH_IN), ylim=(height, 0))
    num = sum(number for _, number in way.corpora)
    scale = WIDEST / max([num, 1, *(stage.goes_on for stage in way.stages)])
    y = first
    _aside(axes, first / 2, "found in the corpora", way.corpora, sign="", colour=BLUE)
    _arrow(axes, (TEXT_AT - 0.05, y - BOX / 2), (MIDDLE + 1.05, y - BOX / 2))
    boxes = [(MIDDLE, y - BOX, f"{num:,}", f"utterances in {way.num_files:,} files")]
    for stage in way.stages:
        end = y + _gap(stage)
        _step(axes, stage, y, end, scale)
        boxes.append((MIDDLE, end, f"{stage.goes_on:,}", _state(stage)))
        y = end + BOX
    for x, top, count, told in boxes:
        _box(axes, x, top, count, told, width=2.1)
    if way.splits:
        _fan(axes, way, y, scale)
    return figure


def _state(stage: "Stage") -> str:
    from pages.report.way import IN_WORDS

    return IN_WORDS.get(stage.name, f"after {drawn(stage.name)}") if stage.name != "splits" else "in splits"


def _gap(stage: "Stage") -> float:
    lines = min(len(stage.leaves), LINES + 1) + len(stage.returns) + 1
    return max(LEAST_GAP, LINE * lines + 0.12)


def _step(axes: "Axes", stage: "Stage", top: float, bottom: float, scale: float) -> None:
    """The band from one box to the next, with what leaves it to the right."""
    wide, out = scale * stage.enters, scale * stage.num_left
    left, stays = MIDDLE - wide / 2, scale * (stage.enters - stage.num_left)
    after = MIDDLE - scale * stage.goes_on / 2
    _band(axes, (left, top), (after, bottom), stays, SKY)
    if out:
        _bend(axes, left + stays, top, max(out, 0.012), VERMILLION)
    told = f"{stage.name}: {stage.num_left:,} leave" if out else f"{stage.name}: none leaves"
    _aside(axes, (top + bottom) / 2, told, stage.leaves, sign="\u2212", colour=VERMILLION, back=stage.returns)


def _aside(
    axes: "Axes", middle: float, head: str, counts: "Counts", *, sign: str, colour: str, back: "Counts" = ()
) -> None:
    """Lines at the right, around a height: a heading, and the counts below it."""
    lines = [f"{sign}{number:,} {drawn(why, 26)}" for why, number in counts[:LINES]]
    if len(counts) > LINES:
        rest = counts[LINES:]
        lines.append(f"{sign}{sum(number for _, number in rest):,} of {len(rest)} more")
    lines += [f"+{number:,} {drawn(why, 32)}" for why, number in back]
    top = max(middle - LINE * (len(lines) + 1) / 2, 0.0) + LINE / 2
    heavy = "bold" if lines else "normal"
    axes.text(TEXT_AT, top, head, fontsize=USUAL, fontweight=heavy, color=colour if lines else INK, va="center")
    for place, line in enumerate(lines, 1):
        axes.text(TEXT_AT, top + LINE * place, line, fontsize=SMALL, color=INK, va="center")


def _box(axes: "Axes", x: float, top: float, count: str, told: str, *, width: float, more: str = "") -> None:
    """A box around its middle, with a count and what it is of."""
    from matplotlib.patches import FancyBboxPatch

    height = BOX + (LINE if more else 0)
    at = (x - width / 2 + 0.04, top + 0.03)
    style = "round,pad=0,rounding_size=0.05"
    axes.add_patch(
        FancyBboxPatch(at, width - 0.08, height - 0.06, boxstyle=style, facecolor="white", edgecolor=INK, zorder=3)
    )
    axes.text(x, top + 0.13, count, fontsize=USUAL, fontweight="bold", color=INK, ha="center", va="center", zorder=4)
    for place, line in enumerate(filter(None, (told, more))):
        y = top + 0.13 + LINE * (place + 1)
        axes.text(x, y, line, fontsize=SMALL, color=INK, ha="center", va="center", zorder=4)


def _band(axes: "Axes", start: Place, end: Place, wide: float, colour: str) -> None:
    """From one left end down to another, bent like an S where they are not below each other."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    (left, top), (to, bottom) = start, end
    half = (top + bottom) / 2
    points = [(left, top), (left, half), (to, half), (to, bottom), (to + wide, bottom)]
    points += [(to + wide, half), (left + wide, half), (left + wide, top), (left, top)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(points, codes), facecolor=colour, alpha=0.55, linewidth=0))


def _bend(axes: "Axes", left: float, top: float, wide: float, colour: str) -> None:
    """Out of the band to the right, ending in an arrow before the text."""
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    wide = min(wide, BEND)
    end, bottom = TEXT_AT - 0.2, top + BEND
    points = [(left, top), (left, bottom), (left + wide, bottom), (end, bottom)]
    points += [(end, bottom - wide), (left + wide, bottom - wide), (left + wide, bottom - wide), (left + wide, top)]
    codes = [Path.MOVETO, *[Path.CURVE3] * 2, Path.LINETO, Path.LINETO, *[Path.CURVE3] * 2, Path.LINETO]
    axes.add_patch(PathPatch(Path(points, codes), facecolor=colour, alpha=0.75, linewidth=0, hatch="////"))
    reach = max(wide, 0.06)
    middle = bottom - wide / 2
    axes.add_patch(
        Polygon(
            [(end, middle - reach / 2 - 0.03), (end + 0.12, middle), (end, middle + reach / 2 + 0.03)], color=colour
        )
    )


def _fan(axes: "Axes", way: "Way", top: float, scale: float) -> None:
    """From the last step to the splits, and from these to the lists of trials."""
    splits, lists = way.splits[:ACROSS], way.lists[:ACROSS]
    y = top + 0.5
    left = MIDDLE - scale * sum(one.num_utterances for one in way.splits) / 2
    places = _across(len(splits))
    for split, x in zip(splits, places, strict=True):
        wide = scale * split.num_utterances
        _band(axes, (left, top), (x - wide / 2, y), wide, SKY)
        left += wide
    for split, x in zip(splits, places, strict=True):
        _split_box(axes, split, x, y, WIDTH_IN / len(splits), has_lists=bool(way.lists))
    ends = _across(len(lists))
    after, below = y + BOX + LINE, y + BOX + LINE + 0.85
    for at, (one, x) in enumerate(zip(lists, ends, strict=True)):
        for split, come in zip(splits, places, strict=True):
            if split.in_lists[one.name]:
                _arrow(axes, (come, after), (x, below), f"{split.in_lists[one.name]:,}", 0.3 + 0.4 * (at % 2))
        _list_box(axes, one, x, below, WIDTH_IN / len(lists))
    out = (len(way.splits) - len(splits), "split"), (len(way.lists) - len(lists), "list")
    told = [number_of(num, f"more {what}") for num, what in out if num]
    if told:
        end = (below + BOX + LINE if lists else after) + LINE
        axes.text(WIDTH_IN / 2, end, f"and {', and '.join(told)}", fontsize=SMALL, ha="center", va="center", color=INK)


def _across(num: int) -> list[float]:
    return [WIDTH_IN * (place + 0.5) / num for place in range(num)]


def _split_box(axes: "Axes", split: "Split", x: float, y: float, width: float, *, has_lists: bool) -> None:
    people = number_of(split.num_people, "person", "people")
    out = split.num_utterances - split.num_in_trials
    more = f"{out:,} in no trial" if has_lists else ""
    count = f"{split.num_utterances:,} in "
    name = drawn(split.name, max(int(width / 0.09) - len(count), 5))
    _box(axes, x, y, f"{count}{name}", people, width=min(width, 2.3), more=more)


def _list_box(axes: "Axes", one: "TrialList", x: float, y: float, width: float) -> None:
    name = drawn(one.name, int(width / 0.09) - len("list "))
    kinds = f"{one.num_targets:,} targets", f"{one.num_nontargets:,} nontargets"
    _box(axes, x, y, f"list {name}", kinds[0], width=min(width, 2.4), more=kinds[1])


def _arrow(axes: "Axes", start: Place, end: Place, count: str = "", share: float = 0.5) -> None:
    """With its count on it."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.0})
    if not count:
        return
    x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
    look = {"facecolor": "white", "edgecolor": PALE, "boxstyle": "round,pad=0.15"}
    axes.text(x, y, count, fontsize=SMALL, color=INK, ha="center", va="center", bbox=look)
