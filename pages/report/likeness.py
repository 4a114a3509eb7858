"""How alike utterances are: the cosines of all utterances of some labels, and of some pairs of labels.

As figures 6 to 8 of VietSV (Amp-Dat, 2022): a valid speaker, invalid ones, and pairs that may be one person. Which
labels are shown is not a matter of taste: the label of the greatest self_similarity (speaker_scores: of all that it was
judged by), dropped labels, the merged pairs that are least alike, and the most similar pairs that were not merged, so
many of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.pictures import styled
from curate.decisions import settled
from curate.reasons import Subject, Verdict
from pages.report.material import Material
from pages.report.names import drawn, shown
from pages.report.palette import INK, SHADES
from pages.report.picture import SMALL, USUAL, LeftOut, Picture, rounded, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_SPEAKERS, OF_PAIRS = "How alike the utterances of a label are", "How alike two labels are"
MOST_UTTERANCES = 30  # of a label, taken evenly in the order of ids
CLEAR_FROM = 5  # utterances of a label that may stand for a good one
INVALID_SHOWN, MERGED_SHOWN, NEAR_SHOWN = 5, 3, 3
CLEAR, INVALID, MERGED, APART = "a good label", "dropped", "merged", "not merged"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The cosines (N, N) of the utterances of one or two labels; those of the first come first."""

    kind: str
    labels: tuple[str, ...]
    nums: tuple[int, ...]  # utterances shown of each label
    num_all: tuple[int, ...]
    cosines: NDArray[np.float32]

    @property
    def mean(self) -> float:
        """Of one label the mean cosine of two different utterances, of two that of an utterance of each."""
        first = self.nums[0]
        if len(self.nums) == 2:
            return float(self.cosines[:first, first:].mean(dtype=np.float64))
        apart = self.cosines[~np.eye(first, dtype=bool)]
        return float(apart.mean(dtype=np.float64)) if len(apart) else float("nan")


def pictures(material: Material) -> list[Picture | LeftOut]:
    """Of labels, and of pairs."""
    return [
        _picture("labels", OF_SPEAKERS, label_matrices(material), material),
        _picture("pairs", OF_PAIRS, pair_matrices(material), material),
    ]


# ------------------------------------------------------------------------------------------------------------- numbers


def label_matrices(material: Material) -> list[Matrix]:
    """The clearest label that is kept, and those that are dropped, the least coherent first.

    Their utterances are all that have a vector and came under the label.
    """
    mine = _by_label(material, material.came)
    kept_ones = _by_label(material, material.left)
    verdicts = settled(material.decisions)
    speakers = verdicts.filter(pc.equal(verdicts["subject"], Subject.SPEAKER))
    bad = speakers.filter(pc.equal(speakers["verdict"], Verdict.DROP))
    score = dict(zip(bad["subject_id"].to_pylist(), bad["score"].to_pylist(), strict=True))
    invalid = sorted(
        (one for one in score if one in mine), key=lambda one: (score[one] is None, score[one] or 0.0, one)
    )
    likeness = {
        row["speaker_id"]: row["self_similarity"]
        for row in material.speaker_scores.to_pylist()
        if row["self_similarity"] is not None and row["speaker_id"] not in score
    }
    able = [one for one in likeness if len(kept_ones.get(one, ())) >= CLEAR_FROM]
    clear = sorted(able, key=lambda one: (-likeness[one], one))[:1]
    found = [_matrix(material, CLEAR, {one: kept_ones[one]}) for one in clear]
    return found + [_matrix(material, INVALID, {one: mine[one]}) for one in invalid[:INVALID_SHOWN]]


def pair_matrices(material: Material) -> list[Matrix]:
    """Merged pairs, the least similar first, and pairs that were not merged, the most similar first.

    Their utterances are those that are left, under settled labels.
    """
    mine = _by_label(material, material.left)
    verdicts = settled(material.decisions)
    judged = verdicts.filter(pc.equal(verdicts["subject"], Subject.PAIR))
    similarity = {
        tuple(row[k] for k in ("speaker_id", "other_id")): row["similarity"]
        for row in material.speaker_pairs.to_pylist()
    }
    merged: set[tuple[str, str]] = set()
    for row in judged.to_pylist():
        pair = (row["subject_id"], row["other_id"])
        if row["score"] is not None:
            similarity[pair] = row["score"]
        if row["verdict"] == Verdict.MERGE:
            merged.add(pair)
    identity = dict(zip(*(material.identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))
    there = [pair for pair in similarity if all(one in mine for one in pair)]
    weakest = sorted((pair for pair in there if pair in merged), key=lambda pair: (similarity[pair], pair))
    near = [pair for pair in there if identity.get(pair[0], pair[0]) != identity.get(pair[1], pair[1])]
    nearest = sorted(near, key=lambda pair: (-similarity[pair], pair))
    kinds = ((MERGED, weakest[:MERGED_SHOWN]), (APART, nearest[:NEAR_SHOWN]))
    return [_matrix(material, kind, {one: mine[one] for one in pair}) for kind, pairs in kinds for pair in pairs]


def _by_label(material: Material, rows: pa.Table) -> dict[str, list[int]]:
    """The places of the vectors of each label, in the order of ids."""
    place = pc.index_in(rows["utterance_id"].combine_chunks(), value_set=material.ids)
    found: dict[str, list[int]] = {}
    for label, at in zip(rows["speaker_id"].to_pylist(), place.to_pylist(), strict=True):
        if at is not None:
            found.setdefault(label, []).append(at)
    return {label: sorted(places) for label, places in found.items()}


def _matrix(material: Material, kind: str, labels: dict[str, list[int]]) -> Matrix:
    some = [_evenly(places) for places in labels.values()]
    vectors = material.vectors[np.concatenate(some)]
    return Matrix(
        kind=kind,
        labels=tuple(labels),
        nums=tuple(map(len, some)),
        num_all=tuple(map(len, labels.values())),
        cosines=np.clip(vectors @ vectors.T, -1, 1),
    )


def _evenly(places: Sequence[int]) -> Sequence[int]:
    if len(places) <= MOST_UTTERANCES:
        return places
    return [places[at] for at in np.linspace(0, len(places) - 1, MOST_UTTERANCES).round().astype(int).tolist()]


# --------------------------------------------------------------------------------------------------- words and drawings


def _picture(name: str, heading: str, found: list[Matrix], material: Material) -> Picture | LeftOut:
    if not found:
        what = (
            f"No label is dropped, and none that was judged has {CLEAR_FROM} utterances"
            if name == "labels"
            else "No two labels that are left are similar, or merged,"
        )
        why = f"{what} with vectors to look at." if len(material.ids) else "The catalog holds no vectors."
        if name == "pairs" and len(material.ids) and not len(material.identities):
            why = "Nobody looked which labels are alike."
        return LeftOut(name=name, heading=heading, why=why)
    title = title_of(found)
    rows = [
        (
            one.kind,
            " + ".join(one.labels),
            " + ".join(map(str, one.nums)),
            " + ".join(map(str, one.num_all)),
            f"{one.mean:.4f}",
        )
        for one in found
    ]
    chosen = (
        f"Shown are, of the labels of which {CLEAR_FROM} or more utterances are left, the one that cleaning measured "
        f"to be most alike in itself, and the dropped labels, the least coherent first, up to {INVALID_SHOWN}."
        if name == "labels"
        else f"Shown are the merged pairs that are least alike, up to {MERGED_SHOWN}, and the most similar pairs that "
        f"were not merged, up to {NEAR_SHOWN}; white lines part the labels, and the mean is of one utterance of each."
    )
    heard = shown(material.extractors[0])
    caption = f"A cell is the cosine of two utterances by the vectors of {heard}, in the order of ids. {chosen}"
    if any(one.nums != one.num_all for one in found):
        caption += f" Of a label with more than {MOST_UTTERANCES} utterances that many are taken, evenly."
    return Picture(
        name=name,
        heading=heading,
        title=title,
        caption=caption,
        head=("what", "labels", "utterances shown", "of", "mean cosine"),
        rows=rows,
        draw=lambda: draw(found, title),
        is_raster=True,
    )


def title_of(found: Sequence[Matrix]) -> str:
    """The first of each of two kinds, with their means."""
    firsts = {one.kind: one for one in reversed(found)}
    told = [_in_words(firsts[kind]) for kind in (CLEAR, INVALID, MERGED, APART) if kind in firsts]
    text = "; ".join(told)
    return text[0].upper() + text[1:]


def _in_words(one: Matrix) -> str:
    names = " and ".join(shown(label, 30) for label in one.labels)
    if np.isnan(one.mean):
        return f"{one.kind}: {names}, which has one utterance"
    return {
        CLEAR: f"utterances of {names} are {rounded(one.mean)} alike on average",
        INVALID: f"dropped: {names}, {rounded(one.mean)} alike",
        MERGED: f"merged: {names}, {rounded(one.mean)} alike on average",
        APART: f"not merged: {names}, {rounded(one.mean)}",
    }[one.kind]


@styled()
def draw(found: Sequence[Matrix], title: str) -> "Figure":
    """Two beside each other, all in the same shades."""
    num_rows = (len(found) + 1) // 2
    figure, axes = sheet(title, height_in=2.45 * num_rows + 0.5, num_rows=num_rows, num_columns=2)
    least = min(min(float(np.floor(10 * one.cosines.min()) / 10) for one in found), 0.9)
    picture = None
    for panel, one in zip(axes, found, strict=False):
        picture = panel.imshow(one.cosines, cmap=SHADES, vmin=least, vmax=1, interpolation="nearest")
        num = len(one.cosines)
        if len(one.nums) == 2:
            for line in (panel.axhline, panel.axvline):
                line(one.nums[0] - 0.5, color="white", linewidth=1.5)
        marks = [0, num - 1] if num > 1 else [0]
        panel.set_xticks(marks, [str(at + 1) for at in marks], fontsize=SMALL)
        panel.set_yticks(marks, [str(at + 1) for at in marks], fontsize=SMALL)
        panel.set_xlabel("utterance", fontsize=SMALL, labelpad=-6)
        panel.set_ylabel("utterance", fontsize=SMALL, labelpad=-8)
        mean = "" if np.isnan(one.mean) else f", {rounded(one.mean)}"
        names = "\n+ ".join(drawn(label, 27) for label in one.labels)
        sizes = " + ".join(map(str, one.nums))
        panel.set_title(f"{names}\n{one.kind}{mean}, n = {sizes}", fontsize=SMALL, loc="left", color=INK)
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
    for panel in axes[len(found) :]:
        panel.set_visible(False)
    bar = figure.colorbar(picture, ax=axes, location="bottom", shrink=0.6, aspect=30, fraction=0.05)  # type: ignore[arg-type]
    bar.set_label("cosine", fontsize=USUAL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure
