"""How well the catalog's own vectors tell the trials of a benchmark: densities of their scores, and DET curves.

Densities are those of figure 9 of VietSV (Amp-Dat, 2022): one of targets, one of nontargets, and a dotted line at the
mean of each. A score is the cosine of two vectors; an enrolment model is the direction of the mean of its vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.metrics import det_curve, equal_error_rate
from benchmarks.pictures import RATES, det, styled
from benchmarks.scoring import Finder, Scorer, Side, averaged
from pages.report.material import Material
from pages.report.names import drawn_apart, shown
from pages.report.palette import BLUE, INK, VERMILLION
from pages.report.picture import USUAL, LeftOut, Picture, Row, listed, number_of, rounded, sheet, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DENSITIES, CURVES = "Scores of the trials", "Errors at every threshold"
MOST_TRIALS = 100_000  # of each kind, of a list; of more that many are drawn by chance
LISTS_SHOWN, BINS = 6, 60
SEED = 0  # of that chance
Floats = NDArray[np.float64]
KINDS = (("targets", BLUE, "", "-"), ("nontargets", VERMILLION, "////", "--"))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The trials of one list that are looked at, and how many there are of both kinds, targets first."""

    name: str
    scores: Floats
    is_target: NDArray[np.bool_]
    num_all: tuple[int, int]

    @property
    def is_sampled(self) -> bool:
        """Whether there are more than are looked at."""
        return sum(self.num_all) > len(self.scores)


def pictures(material: Material) -> list[Picture | LeftOut]:
    """Of each list its densities, and the curves of all."""
    found, why = scored_lists(material)
    if not found:
        return [LeftOut(name=name, heading=head, why=why) for name, head in (("scores", DENSITIES), ("det", CURVES))]
    shown_ones = found[:LISTS_SHOWN]
    if len(found) > LISTS_SHOWN:
        why = f"{why} Of {len(found)} lists the first {LISTS_SHOWN} are drawn.".strip()
    densities = [_densities(one, at, material) for at, one in enumerate(shown_ones)]
    beyond = [one for one in shown_ones if not is_within(one)]
    if len(beyond) == len(shown_ones):
        why = f"No curve lies within its axes, between {100 * RATES[0]:g} and {100 * RATES[-1]:g} % of errors."
        return [*densities, LeftOut(name="det", heading=CURVES, why=why)]
    if beyond:
        why = f"{why} Beyond the axes lie the curves of {listed([shown(one.name, 30) for one in beyond])}.".strip()
    return [*densities, _curves(shown_ones, material, why)]


# ------------------------------------------------------------------------------------------------------------- numbers


def scored_lists(material: Material) -> tuple[list[Scored], str]:
    """The lists of both kinds of trial whose vectors are all there, and why others are not among them."""
    if not material.lists:
        return [], "There are no trials."
    if not len(material.ids):
        return [], "The catalog holds no vectors to score its trials by."
    scorer = _scorer(material)
    found, reasons = [], []
    for name, trials in material.lists.items():
        num = _numbers(trials)
        if not all(num):
            reasons.append(f"List {shown(name)} has {_kinds(*num)}; both are needed.")
        elif isinstance(scorer, str):
            reasons.append(scorer)
        else:
            some = sampled(trials)
            try:
                enrol, test = (Finder(side).places(some[column]) for side, column in _sides(scorer))
            except ValueError as error:
                reasons.append(f"List {shown(name)} is left out: {shown(error, 200)}.")
                continue
            scores = scorer.scores(enrol, test).astype(np.float64)
            is_target = np.asarray(some["is_target"])
            found.append(Scored(name=name, scores=scores, is_target=is_target, num_all=num))
    return found, " ".join(dict.fromkeys(reasons))


def sampled(trials: pa.Table, most: int = MOST_TRIALS) -> pa.Table:
    """All trials, or so many of each kind as chance takes them, in their order; the same each time.

    Rates are shares of one kind each, so that kinds may be thinned apart.
    """
    is_target = np.asarray(trials["is_target"])
    rng = np.random.default_rng(SEED)
    rows = [np.flatnonzero(is_target == kind) for kind in (True, False)]
    if all(len(some) <= most for some in rows):
        return trials
    taken = [some if len(some) <= most else rng.choice(some, most, replace=False) for some in rows]
    return trials.take(pa.array(np.sort(np.concatenate(taken))))


def density(scored: Scored) -> tuple[Floats, Floats, Floats]:
    """Edges (61,) of bins, and the densities (60,) of targets and of nontargets."""
    low, high = float(scored.scores.min()), float(scored.scores.max())
    edges = np.linspace(low, high if high > low else low + 1e-6, BINS + 1)
    both = (np.histogram(scored.scores[scored.is_target == kind], edges, density=True)[0] for kind in (True, False))
    return edges, *both  # type: ignore[return-value]


def is_within(scored: Scored) -> bool:
    """Whether a part of its DET curve lies within the axes: scores that tell all trials, or none, have none there."""
    least, most = RATES[0], RATES[-1]
    is_there = np.ones(1, bool)
    for rates in det_curve(scored.scores, scored.is_target):
        low, high = np.minimum(rates[1:], rates[:-1]), np.maximum(rates[1:], rates[:-1])
        is_there = is_there & (high > least) & (low < most)
    return bool(is_there.any())


def _numbers(trials: pa.Table) -> tuple[int, int]:
    targets = int(pc.sum(trials["is_target"]).as_py() or 0)
    return targets, len(trials) - targets


def _scorer(material: Material) -> Scorer | str:
    """Models stand beside utterances on the side that is enrolled. A sentence where a model lacks a vector."""
    test = Side(ids=material.ids, rows=material.vectors)
    if not len(material.models):
        return Scorer(enrol=test, test=test)
    try:
        ids, rows = averaged(material.models, material.ids, material.vectors)
    except ValueError as error:
        return f"An enrolment {shown(error, 200)}."
    enrol = Side(ids=pa.concat_arrays([ids, material.ids]), rows=np.concatenate([rows, material.vectors]))
    return Scorer(enrol=enrol, test=test)


def _sides(scorer: Scorer) -> tuple[tuple[Side, str], ...]:
    return (scorer.enrol, "enrol_id"), (scorer.test, "test_id")


# --------------------------------------------------------------------------------------------------- words and drawings


def _densities(one: Scored, at: int, material: Material) -> Picture:
    eer = equal_error_rate(one.scores, one.is_target)
    targets, others = one.scores[one.is_target], one.scores[~one.is_target]
    title = f"Targets of list {shown(one.name, 30)} score {rounded(targets.mean())} on average"
    title += f", nontargets {rounded(others.mean())}; EER {100 * eer:.2f} %"
    kinds = zip(("targets", "nontargets"), one.num_all, (targets, others), strict=True)
    rows: list[Row] = [
        (name, num, len(some), *(f"{value:.4f}" for value in (some.mean(), some.std(), some.min(), some.max())))
        for name, num, some in kinds
    ]
    return Picture(
        name=f"scores_{at + 1}",
        heading=f"Scores of list {shown(one.name, 30)}",
        title=title,
        caption=f"{_of(one)} Dotted lines stand at the means, as in figure 9 of VietSV. {_heard(material)}",
        head=("kind", "trials", "scored", "mean", "standard deviation", "least", "greatest"),
        rows=rows,
        draw=lambda: draw_densities(one, title),
    )


def _curves(found: list[Scored], material: Material, why: str) -> Picture:
    names = drawn_apart((one.name for one in found), 34)
    systems = {names[one.name]: (one.scores, one.is_target) for one in found}
    eers = {one.name: equal_error_rate(one.scores, one.is_target) for one in found}
    least, most = min(eers, key=lambda one: eers[one]), max(eers, key=lambda one: eers[one])
    rates = f"{100 * eers[least]:.2f} % of the trials of {'each list' if len(eers) > 1 else f'list {shown(least, 30)}'}"
    if eers[least] < eers[most]:
        low, high = (f"{100 * eers[one]:.2f} % (list {shown(one, 30)})" for one in (least, most))
        rates = f"from {low} to {high} of the trials"
    title = f"At equal rates {rates} are told wrongly"
    caption = " ".join(filter(None, [*(_of(one) for one in found), _heard(material), why]))
    rows = [(one.name, *one.num_all, len(one.scores), f"{100 * eers[one.name]:.2f} %") for one in found]
    return Picture(
        name="det",
        heading=CURVES,
        title=title,
        caption=f"{caption} On these axes Gaussian scores are straight lines; the dotted one is that of equal rates.",
        head=("list", "targets", "nontargets", "scored", "EER"),
        rows=rows,
        draw=lambda: draw_curves(systems, title),
    )


def _of(one: Scored) -> str:
    told = f"List {shown(one.name)}: n = {_kinds(*one.num_all)}"
    taken = f", of which chance took {MOST_TRIALS:,} of each kind that has more" if one.is_sampled else ""
    return f"{told}{taken}."


def _kinds(num_targets: int, num_nontargets: int) -> str:
    return f"{number_of(num_targets, 'target')} and {number_of(num_nontargets, 'nontarget')}"


def _heard(material: Material) -> str:
    first, *others = material.extractors
    more = f" (vectors of {', '.join(map(shown, others))} are not looked at)" if others else ""
    return f"Scores are cosines of the vectors of {shown(first)}{more}."


@styled()
def draw_densities(one: Scored, title: str) -> "Figure":
    """Two densities, and the mean of each."""
    figure, (axes,) = sheet(title, height_in=2.8)
    edges, *both = density(one)
    for (kind, colour, hatch, line), values, is_kind in zip(KINDS, both, (True, False), strict=True):
        some = one.scores[one.is_target == is_kind]
        how: dict[str, Any] = {"color": colour, "linewidth": 1.3, "linestyle": line}
        axes.stairs(values, edges, fill=True, facecolor=colour, edgecolor=colour, alpha=0.3, hatch=hatch, linewidth=0)
        axes.stairs(values, edges, label=f"{kind} (n = {len(some):,})", **how)
        axes.axvline(some.mean(), color=colour, linestyle=":", linewidth=1.5)
        axes.text(
            some.mean(), 1.01, rounded(some.mean()), transform=axes.get_xaxis_transform(), fontsize=USUAL, ha="center"
        )
    axes.set_xlabel("score (cosine)", fontsize=USUAL, color=INK)
    axes.set_ylabel("density", fontsize=USUAL, color=INK)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2, fontsize=USUAL, frameon=False)
    return figure


@styled()
def draw_curves(systems: Mapping[str, tuple[Floats, NDArray[np.bool_]]], title: str) -> "Figure":
    """The DET curves of `benchmarks.pictures` under this title."""
    figure = det(systems)
    titled(figure, title, height_in=4.6 + 0.2 * len(systems))
    figure.axes[0].tick_params(labelsize=USUAL)
    return figure
