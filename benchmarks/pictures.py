"""Pictures of scores, of classes and of vectors. The same input gives the same bytes.

DET curves, distributions, figures by group and by layer; confusion matrices; vectors as points of a plane.

Matplotlib is imported when the first is drawn, and draws without a screen. A figure is written as SVG or PNG, by the
suffix of the file.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Bools, Floats, Scores, det_curve, equal_error_rate, error_rates
from curate.errors import ListError
from curate.whole import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 0.002  # normal deviates: below a pixel
RATES = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # of the axes; beyond them a system is no better told
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names may have dollars
    "svg.hashsalt": "voxcurate",  # else ids in the file are drawn anew each time
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "savefig.dpi": 150,
    # Okabe and Ito's colours, which people of every colour vision tell apart, and lines that differ, too
    "axes.prop_cycle": "cycler('color', ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#000000'])"
    " + cycler('linestyle', ['-', '--', '-.', ':', (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3))])",
}
NUM_BINS = 80
TARGETS, NONTARGETS = "tab:blue", "tab:orange"
Vectors = NDArray[np.float32]
PERPLEXITY = 30.0  # of t-SNE, scikit-learn's default
LEAST_POINTS = 5  # of which a plane shows anything
NOT_KNOWN = "#9ecae1"  # a colour that is no shade of ages
MOST_IN_LEGEND = 24


class Bar(NamedTuple):
    """A group's figure and its interval, which may be missing."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None


@contextmanager
def styled() -> Iterator[None]:
    """Whatever the user's own settings are."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        yield


@styled()
def det(systems: Mapping[str, tuple[Scores, Bools]]) -> "Figure":
    """DET curves on axes of normal deviates (Martin et al., Eurospeech 1997), each with its EER in the legend.

    On these axes Gaussian scores are straight lines.
    """
    from scipy.special import ndtri

    figure, axes = _empty(width=5.5, height=5.5 + 0.25 * len(systems))
    least = RATES[0] / 10  # beyond the axes: a rate of 0 or 1 has no place on them
    for name, (scores, is_target) in systems.items():
        accept, reject = (np.clip(rates, least, 1 - least) for rates in det_curve(scores, is_target, cell=CELL))
        eer = equal_error_rate(scores, is_target)
        called = f"{' ' * name.startswith('_')}{name}, EER {100 * eer:.2f} %"  # else Matplotlib hides a `_name`
        axes.plot(ndtri(accept), ndtri(reject), label=called, linewidth=1.5)
    ticks = ndtri(RATES)
    axes.plot(ticks[[0, -1]], ticks[[0, -1]], color="0.7", linewidth=0.8, linestyle=":")
    told = [f"{100 * rate:g}" for rate in RATES]
    axes.set_xticks(ticks, told)
    axes.set_yticks(ticks, told)
    axes.set(xlim=ticks[[0, -1]], ylim=ticks[[0, -1]], aspect="equal")
    axes.set(xlabel="false accepts (%)", ylabel="false rejects (%)")
    figure.legend(loc="outside lower center")
    return figure


@styled()
def distributions(scores: Scores, is_target: Bools, *, name: str) -> "Figure":
    """How the scores of targets and nontargets lie, each as a density, and the threshold at the EER."""
    threshold = eer_threshold(scores, is_target)
    figure, axes = _empty(width=6.5, height=4.0)
    edges = np.histogram_bin_edges(scores, NUM_BINS).tolist()
    for kind, label, colour in ((is_target, "targets", TARGETS), (~is_target, "nontargets", NONTARGETS)):
        some = scores[kind]
        axes.hist(some, edges, density=True, alpha=0.55, color=colour, label=f"{len(some):,} {label}")
    eer = equal_error_rate(scores, is_target)
    axes.axvline(threshold, color="0.2", linewidth=1, label=f"threshold {threshold:.3g} at EER {100 * eer:.2f} %")
    axes.set(xlabel="score", ylabel="density", title=name)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled()
def bars(groups: Sequence[Bar], *, what: str, title: str, as_percent: bool = False) -> "Figure":
    """A figure group by group, with its intervals where there are any; groups from the top in their order."""
    figure, axes = _empty(width=6.0, height=1.2 + 0.35 * len(groups))
    scale = 100.0 if as_percent else 1.0
    places = np.arange(len(groups))
    axes.barh(places, [scale * bar.value for bar in groups], color=TARGETS, alpha=0.6, height=0.6)
    for place, bar in zip(places, groups, strict=True):
        if bar.lower is not None and bar.upper is not None:
            axes.plot([scale * bar.lower, scale * bar.upper], [place, place], color="0.2", linewidth=1.5, marker="|")
    axes.set_yticks(places, [bar.name for bar in groups])
    axes.set(xlabel=f"{what} (%)" if as_percent else what, title=title)
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return figure


@styled()
def layers(eers: Mapping[str, Floats], *, title: str) -> "Figure":
    """The EER (L,) of every layer of a network, from 0 on; a curve for each of two states, or for the last alone."""
    figure, axes = _empty(width=6.0, height=4.2)
    looks = ((TARGETS, "o", "--"), (NONTARGETS, "s", "-"))  # told apart without colours, too
    for (name, of_layer), (colour, marker, line) in zip(eers.items(), looks[-len(eers) :], strict=True):
        axes.plot(100 * np.asarray(of_layer), color=colour, marker=marker, linestyle=line, linewidth=1.5, label=name)
        axes.set_xticks(range(len(of_layer)))
    axes.set(xlabel="layer (0 enters the first)", ylabel="EER (%)", title=title)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@styled()
def confusion(counts: Floats, classes: Sequence[str], *, title: str) -> "Figure":
    """A confusion matrix (K, K), rows true and columns said: counts, and their shares of the row as shades."""
    figure, axes = _empty(width=2.2 + 0.75 * len(classes), height=1.8 + 0.6 * len(classes))
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts, dtype=np.float64), where=total > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        told = f"{counts[row, column]:,.0f}\n{100 * share:.1f} %" if total[row] else "0"
        axes.text(column, row, told, ha="center", va="center", color="white" if share > 0.6 else "black", fontsize=8)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="said", ylabel="true", title=title)
    axes.grid(visible=False)
    return figure


@styled()
def points(at: Floats, groups: Sequence[str], colours: Mapping[str, Any], *, title: str) -> "Figure":
    """Points (N, 2) of a plane, each in the colour of its group; `colours` says in which order groups are told.

    Beyond 24 groups, such as people, there is no legend.
    """
    figure, axes = _empty(width=6.5, height=6.0)
    axes.scatter(at[:, 0], at[:, 1], s=6, c=[colours[group] for group in groups], linewidths=0)
    axes.set(title=title, xticks=[], yticks=[])
    there = {name: list(groups).count(name) for name in colours if name in groups}
    if len(there) <= MOST_IN_LEGEND:
        for name, num in there.items():
            axes.scatter([], [], s=24, color=colours[name], linewidths=0, label=f"{name} ({num:,})")
        figure.legend(loc="outside right upper", fontsize=8)
    return figure


def shades(groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A colour for each part of each group, from the youngest on: reds of the first group, greys of all others.

    As figure 4 of the age paper (arXiv:2301.09058) has it: young people in red, adults and seniors in grey.
    """
    from matplotlib import colormaps

    young, *others = groups.values()
    older = [part for parts in others for part in parts]
    depths = (np.linspace(0.9, 0.5, len(young)), np.linspace(0.35, 0.9, len(older)))
    reds, greys = (colormaps[name](depth) for name, depth in zip(("Reds", "Greys"), depths, strict=True))
    return dict(zip([*young, *older], [*reds, *greys], strict=True))


def distinct(names: Sequence[str]) -> dict[str, Any]:
    """A colour for each; of many names some are alike."""
    from matplotlib import colormaps

    colours = colormaps["tab10"](range(10)) if len(names) <= 10 else colormaps["hsv"](np.linspace(0, 0.95, len(names)))
    return dict(zip(names, colours, strict=False))


def on_plane(vectors: Vectors, *, seed: int) -> Floats:
    """(N, 2): where t-SNE puts unit vectors (N, D), five or more (van der Maaten and Hinton, JMLR 9, 2008).

    Scikit-learn's, in one thread: sums of several come in any order, and a point would wander between two calls.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    is_spread = bool(np.ptp(vectors, axis=0).max() > 0)  # else there is no first component to begin with
    how = TSNE(
        perplexity=min(PERPLEXITY, (len(vectors) - 1) / 3), init="pca" if is_spread else "random", random_state=seed
    )
    with threadpool_limits(1):
        found: Floats = how.fit_transform(vectors).astype(np.float64)
    return found


def eer_threshold(scores: Scores, is_target: Bools) -> float:
    """The highest score at which, if it is accepted, false accepts are as many as false rejects or more."""
    accept, reject = error_rates(scores, is_target)
    return float(np.unique(scores)[::-1][int(np.argmax(accept >= reject)) - 1])


@styled()
def save(figure: "Figure", path: Path) -> Path:
    """Write it, whole or not at all. Raises ListError for another suffix than .svg and .png."""
    if path.suffix not in (".svg", ".png"):
        raise ListError(f"{path}: suffix {path.suffix!r}; expected .svg or .png")
    about = {"Date": None} if path.suffix == ".svg" else {"Software": None}  # neither the day nor the version
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:], metadata=about)
    with written(path) as file:
        file.write(drawn.getvalue())
    return path


def _empty(*, width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()
