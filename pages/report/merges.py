"""Who is one person: labels as points, joined where they were merged, with the mean cosine of their utterances.

The labels of a person lie on a circle, and the circles fill rows from the top left on. Nothing is drawn by chance.
"""

from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.pictures import styled
from curate.decisions import settled
from curate.reasons import Subject, Verdict
from pages.report.material import Material, corpora_in_turn, corpus_of_labels
from pages.report.names import drawn_apart, shown
from pages.report.palette import GROUPS_TOLD, INK, OTHERS, Look, looks
from pages.report.picture import SMALL, USUAL, WIDTH_IN, LeftOut, Picture, Row, bare, number_of, rounded, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADING = "Labels that are one person"
PEOPLE_SHOWN, LABELS_SHOWN = 24, 40
LABELS_MEASURED, LABELS_NAMED = 4, 10  # of a person with more, cosines are not at their lines, names not drawn
LETTERS, LETTER_IN, MARGIN_IN = 20, 0.058, 0.25
POINT: dict[str, Any] = {"s": 42, "edgecolors": INK, "linewidths": 0.6}
Place = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Person:
    """The labels of one person, in order, and the pairs of them that were merged; no cosine: a reviewer said so."""

    labels: tuple[str, ...]
    links: tuple[tuple[str, str, float | None], ...]


def picture(material: Material) -> Picture | LeftOut:
    """The people with more than one label."""
    found = people(material)
    if not found:
        looked = "No two labels were merged: each is a person of its own."
        nobody = "Nobody looked which labels are one person."
        return LeftOut(name="merges", heading=HEADING, why=looked if len(material.identities) else nobody)
    title = title_of(found)
    num = sum(len(one.labels) for one in found)
    caption = (
        f"n = {number_of(num, 'label')} of {number_of(len(found), 'person', 'people')}, of "
        f"{number_of(len(material.identities), 'label')} in all. A line joins two labels that were merged, with the "
        "mean cosine of their utterances; without one a reviewer merged them."
    )
    if len(found) > PEOPLE_SHOWN:
        caption += f" Drawn are the {PEOPLE_SHOWN} with most labels."
    if len(found[0].labels) > LABELS_MEASURED:
        caption += f" Of more than {LABELS_MEASURED} labels the least and the greatest cosine stand in the middle"
        caption += f", of more than {LABELS_NAMED} no names, and no more than {LABELS_SHOWN} are drawn."
    rows: list[Row] = []
    for one in found:
        rows += [(one.labels[0], *link[:2], "" if link[2] is None else f"{link[2]:.4f}") for link in one.links]
    corpus = corpus_of_labels(material)
    return Picture(
        name="merges",
        heading=HEADING,
        title=title,
        caption=caption,
        head=("person", "label", "other label", "mean cosine"),
        rows=rows,
        draw=lambda: draw(found[:PEOPLE_SHOWN], corpus, corpora_in_turn(material), title),
    )


def people(material: Material) -> list[Person]:
    """Everybody with more than one label, those with most first, and then in the order of their first labels."""
    labels: dict[str, list[str]] = {}
    identity = dict(zip(*(material.identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))
    for label in sorted(identity):
        labels.setdefault(identity[label], []).append(label)
    verdicts = settled(material.decisions)
    merges = verdicts.filter(
        pc.and_(pc.equal(verdicts["subject"], Subject.PAIR), pc.equal(verdicts["verdict"], Verdict.MERGE))
    )
    links: dict[str, list[tuple[str, str, float | None]]] = {}
    for one, other, cosine in _links(merges):
        if one in identity and identity[one] == identity.get(other):
            links.setdefault(identity[one], []).append((one, other, cosine))
    found = [
        Person(labels=tuple(some), links=tuple(sorted(links.get(who, []), key=lambda link: link[:2])))
        for who, some in labels.items()
        if len(some) > 1
    ]
    return sorted(found, key=lambda one: (-len(one.labels), one.labels))


def _links(merges: pa.Table) -> "zip[tuple[str, str, float | None]]":
    return zip(*(merges[name].to_pylist() for name in ("subject_id", "other_id", "score")), strict=True)


def title_of(found: list[Person]) -> str:
    """How many labels are how many people, and the weakest link."""
    num = sum(len(one.labels) for one in found)
    title = f"{number_of(num, 'label')} are {number_of(len(found), 'person', 'people')}"
    measured = [(cosine, one, other) for who in found for one, other, cosine in who.links if cosine is not None]
    if measured:
        cosine, one, other = min(measured)
        title += f"; the weakest merge by a rule is of {shown(one, 30)} and {shown(other, 30)}, {rounded(cosine)} alike"
    return title


# -------------------------------------------------------------------------------------------------------------- layout


def circle(num: int) -> list[Place]:
    """The places of so many labels around (0, 0), in inches: the first at the top, then clockwise."""
    radius = 0.3 if num == 2 else min(0.1 * num + 0.1, 1.2)
    return [(radius * sin(2 * pi * at / num), radius * cos(2 * pi * at / num)) for at in range(num)]


def packed(sizes: list[tuple[float, float]], width: float) -> tuple[list[Place], float]:
    """The middles of boxes (width, height) in rows from the top left on, as many in a row as fit, and all their height.

    A row is as high as its highest box. Heights count downwards.
    """
    middles: list[Place] = []
    left = top = high = 0.0
    for wide, tall in sizes:
        if left and left + wide > width + 1e-9:
            left, top, high = 0.0, top + high, 0.0
        middles.append((left + wide / 2, top + tall / 2))
        left, high = left + wide, max(high, tall)
    return middles, top + high


def _size(person: Person) -> tuple[float, float]:
    """Room for the names beside the points, above and below them."""
    places = circle(len(_shown(person)))
    across, up = (2 * max(abs(place[axis]) for place in places) for axis in (0, 1))
    if len(person.labels) > LABELS_NAMED:
        return min(across + MARGIN_IN, WIDTH_IN), up + MARGIN_IN
    beside = 1 if len(person.labels) == 2 else 2  # names of two stand above and below their points
    return min(max(across, 0.1) + beside * LETTERS * LETTER_IN + MARGIN_IN, WIDTH_IN), up + 0.75


def _shown(person: Person) -> tuple[str, ...]:
    return person.labels[:LABELS_SHOWN]


@styled()
def draw(found: list[Person], corpus: dict[str, str], in_turn: list[str], title: str) -> "Figure":
    """The corpora have their looks `in_turn`. One inch of the figure is one unit of its axes."""
    names = drawn_apart((label for one in found for label in one.labels), LETTERS)
    look, told = looks(in_turn[:GROUPS_TOLD]), drawn_apart(in_turn)
    middles, height = packed([_size(one) for one in found], WIDTH_IN)
    figure, (axes,) = sheet(title, height_in=height + 0.45)
    bare(axes)
    axes.set(xlim=(0, WIDTH_IN), ylim=(height, 0))
    for person, middle in zip(found, middles, strict=True):
        offsets = dict(zip(_shown(person), circle(len(_shown(person))), strict=True))
        _draw_links(axes, person, offsets, middle)
        for label, offset in offsets.items():
            name = names[label] if len(person.labels) <= LABELS_NAMED else ""
            _draw_point(axes, offset, middle, look.get(corpus.get(label, ""), OTHERS), name)
    there = {corpus.get(label, "") for label in names}
    for one, how in look.items():
        if one in there:
            axes.scatter([], [], c=how.colour, marker=how.marker, label=f" {told[one]}", **POINT)
    if there - look.keys():
        axes.scatter([], [], c=OTHERS.colour, marker=OTHERS.marker, label="other corpora", **POINT)
    figure.legend(loc="outside lower center", ncols=3, fontsize=USUAL, frameon=False)
    return figure


def _draw_links(axes: "Axes", person: Person, offsets: dict[str, Place], middle: Place) -> None:
    """The lines, with their cosines where they are few; else the least and the greatest in the middle."""
    x, y = middle
    few = len(person.labels) <= LABELS_MEASURED
    how: dict[str, Any] = {"fontsize": SMALL, "ha": "center", "va": "center", "color": INK}
    for one, other, cosine in person.links:
        if one not in offsets or other not in offsets:
            continue
        (left, up), (right, down) = offsets[one], offsets[other]
        line = "-" if cosine is not None else ":"
        axes.plot([x + left, x + right], [y - up, y - down], color="0.6", linewidth=1.2, linestyle=line, zorder=1)
        if few and cosine is not None:
            share = 0.5 if len(person.labels) <= 3 else 0.36  # lines that cross do so in their middles
            at = x + left + share * (right - left), y - up - share * (down - up)
            axes.text(*at, rounded(cosine), bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6}, **how)
    if not few:
        cosines = [cosine for *_, cosine in person.links if cosine is not None]
        told = number_of(len(person.labels), "label")
        told += f"\n{rounded(min(cosines))} to {rounded(max(cosines))}" if cosines else ""
        axes.text(x, y, told, bbox={"facecolor": "white", "edgecolor": INK, "boxstyle": "round,pad=0.2"}, **how)


def _draw_point(axes: "Axes", offset: Place, middle: Place, look: Look, name: str) -> None:
    """A label: its name beside its point, above it at the top and below it at the bottom."""
    (dx, dy), (x, y) = offset, middle
    axes.scatter(x + dx, y - dy, c=look.colour, marker=look.marker, zorder=2, **POINT)
    if abs(dx) < 1e-6:
        axes.text(x, y - dy - (0.16 if dy > 0 else -0.16), name, fontsize=SMALL, ha="center", va="center", color=INK)
    else:
        side = 0.1 if dx > 0 else -0.1
        ha = "left" if dx > 0 else "right"
        axes.text(x + dx + side, y - dy, name, fontsize=SMALL, ha=ha, va="center", color=INK)
