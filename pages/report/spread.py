"""How old the speakers are, and how long the utterances last: histograms of what is left, by sex where it is known.

Figure 3 of the age paper (arXiv:2301.09058) shows its data set so, by age group.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.pictures import styled
from pages.report.material import Material
from pages.report.names import drawn
from pages.report.palette import Look, looks
from pages.report.picture import USUAL, LeftOut, Picture, counting, number_of, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGES, LENGTHS = "How old they are", "How long utterances last"
YEARS_A_BIN, WIDEST_YEARS = 5, 10  # a range of ages that is wider has no place in a bin
LENGTH_BINS, LONGEST_SHARE = 30, 0.995  # what is longer than so many is counted in the last bin
NOT_STATED = "not stated"
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """`counts` (K, B) of K sexes between the B + 1 `edges`; quartiles of all."""

    sexes: tuple[str, ...]
    edges: Floats
    counts: NDArray[np.int64]
    quartiles: tuple[float, float, float]
    num_out: int  # that have no place: unknown, or too vague
    num_beyond: int = 0  # that are counted in the last bin, and lie beyond it

    @property
    def num(self) -> int:
        """How many are counted."""
        return int(self.counts.sum())


def pictures(material: Material) -> list[Picture | LeftOut]:
    """Ages, and durations."""
    return [_ages(material), _lengths(material)]


def ages(material: Material) -> Histogram | None:
    """Of utterances that are left, by the middle of the range of ages that is stated; None where no age is."""
    rows = material.left
    low, high = (rows[name].cast("float64").to_numpy() for name in ("age_min_years", "age_max_years"))
    known = high - low <= WIDEST_YEARS
    if not known.any():
        return None
    middle = (low + high)[known] / 2
    first = YEARS_A_BIN * np.floor(middle.min() / YEARS_A_BIN)
    edges = np.arange(first, middle.max() + YEARS_A_BIN + 1e-9, YEARS_A_BIN)
    return _histogram(middle, _sexes(material)[known], edges, num_out=int((~known).sum()))


def lengths(material: Material) -> Histogram | None:
    """Of utterances that are left and whose length is known, in seconds; None where there is none."""
    found = material.left["duration_s"].cast("float64").to_numpy()
    known = np.isfinite(found)
    if not known.any():
        return None
    most = float(np.quantile(found[known], LONGEST_SHARE, method="higher"))
    edges = np.linspace(0, most if most > 0 else 1, LENGTH_BINS + 1)
    return _histogram(found[known], _sexes(material)[known], edges, num_out=int((~known).sum()))


def _histogram(values: Floats, sexes: NDArray[Any], edges: Floats, *, num_out: int) -> Histogram:
    names = sorted(set(sexes.tolist()), key=lambda one: (one == NOT_STATED, one))
    inside = np.minimum(values, edges[-1])
    counts = np.stack([np.histogram(inside[sexes == name], edges)[0] for name in names])
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return Histogram(
        sexes=tuple(names),
        edges=edges,
        counts=counts,
        quartiles=(low, middle, high),
        num_out=num_out,
        num_beyond=int((values > edges[-1]).sum()),
    )


def _sexes(material: Material) -> NDArray[Any]:
    return np.array(pc.fill_null(material.left["sex"], NOT_STATED).to_pylist(), dtype=object)


def _ages(material: Material) -> Picture | LeftOut:
    found = ages(material)
    if found is None:
        return LeftOut(name="ages", heading=AGES, why="No age is known of any utterance that is left.")
    low, _, high = found.quartiles
    title = f"The middle half of {number_of(found.num, 'utterance')} is of speakers of {low:.0f} to {high:.0f} years"
    caption = (
        f"n = {number_of(found.num, 'utterance')} that are left, in bins of {YEARS_A_BIN} years; a range of "
        f"ages counts at its middle. Of {found.num_out:,} no age is known to within {WIDEST_YEARS} years."
    )
    return Picture(
        name="ages",
        heading=AGES,
        title=title,
        caption=caption,
        head=("from (years)", "to under (years)", *found.sexes),
        rows=_rows(found, "{:g}"),
        draw=lambda: draw(found, title, xlabel="age (years)"),
    )


def _lengths(material: Material) -> Picture | LeftOut:
    found = lengths(material)
    if found is None:
        return LeftOut(name="durations", heading=LENGTHS, why="No utterance is left whose duration is known.")
    low, middle, high = found.quartiles
    title = f"Half of {number_of(found.num, 'utterance')} last {middle:.1f} s or less"
    title += f", the middle half {low:.1f} to {high:.1f} s"
    hours = (pc.sum(material.left["duration_s"]).as_py() or 0) / 3600
    caption = f"n = {number_of(found.num, 'utterance')} that are left, {hours:.2f} h together."
    if found.num_beyond:
        caption += f" The last bin also counts what is longer ({found.num_beyond:,})."
    if found.num_out:
        caption += f" Of {found.num_out:,} no duration is known."
    return Picture(
        name="durations",
        heading=LENGTHS,
        title=title,
        caption=caption,
        head=("from (s)", "to under (s)", *found.sexes),
        rows=_rows(found, "{:.2f}"),
        draw=lambda: draw(found, title, xlabel="duration (s)"),
    )


def _rows(found: Histogram, form: str) -> list[tuple[str | int, ...]]:
    ends = zip(found.edges, found.edges[1:], strict=False)
    counts = found.counts.T.tolist()
    return [(form.format(low), form.format(high), *row) for (low, high), row in zip(ends, counts, strict=True)]


@styled()
def draw(found: Histogram, title: str, *, xlabel: str) -> "Figure":
    """Bars of the sexes on top of each other."""
    figure, (axes,) = sheet(title, height_in=2.7)
    order = sorted({"female", "male", *found.sexes} - {NOT_STATED})
    look = looks(order) | {NOT_STATED: Look("#999999", ".", "")}
    start = np.zeros(found.counts.shape[1], np.int64)
    for name, counts in zip(found.sexes, found.counts, strict=True):
        how: dict[str, Any] = {
            "color": look[name].colour,
            "hatch": look[name].hatch,
            "edgecolor": "white",
            "linewidth": 0.3,
        }
        label = f"{drawn(name)} (n = {counts.sum():,})"
        axes.bar(found.edges[:-1], counts, np.diff(found.edges), bottom=start, align="edge", label=label, **how)
        start = start + counts
    axes.set_xlabel(xlabel, fontsize=USUAL)
    axes.set_ylabel("utterances", fontsize=USUAL)
    axes.grid(visible=False, axis="x")
    counting(axes, "y")
    figure.legend(loc="outside lower center", ncols=3, fontsize=USUAL, frameon=False)
    return figure
