"""A map of the speakers: each label is the direction of the mean of its kept utterances, laid on a plane by t-SNE.

Labels that are close are alike; how far those are that are not close says little (van der Maaten and Hinton, JMLR 9,
2008). What the titles say is counted among the vectors themselves: whose nearest label is of the same corpus, or sex.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.pictures import LEAST_POINTS, on_plane, styled
from curate.similarity import Vectors, mean_vectors, unit
from pages.report.material import Material, corpora_in_turn, corpus_of_labels
from pages.report.names import drawn_apart, shown
from pages.report.palette import GROUPS_TOLD, INK, OTHERS, looks
from pages.report.picture import USUAL, LeftOut, Picture, number_of, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADINGS = {"corpus": "The speakers by corpus", "sex": "The speakers by sex"}
MOST_LABELS = 2_000  # of more that many are drawn by chance
SEED = 0  # of that chance, and of t-SNE
NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class Speakers:
    """Labels in order, their directions (S, D), and what is told of them."""

    labels: tuple[str, ...]
    vectors: Vectors
    groups: dict[str, tuple[str, ...]]  # by corpus and by sex
    num_all: int


def pictures(material: Material) -> list[Picture | LeftOut]:
    """One map, twice: by corpus, and by sex where it is known."""
    found = speakers(material)
    num = len(found.labels)
    if num < LEAST_POINTS:
        why = f"{number_of(num, 'label')} with vectors {'is' if num == 1 else 'are'} left; a map needs {LEAST_POINTS}."
        return [LeftOut(name=f"map_{name}", heading=head, why=why) for name, head in HEADINGS.items()]
    at = on_plane(found.vectors, seed=SEED)
    return [_map(found, at, name, material) for name in HEADINGS]


# ------------------------------------------------------------------------------------------------------------- numbers


def speakers(material: Material, most: int = MOST_LABELS) -> Speakers:
    """Those whose kept utterances have vectors; of more than `most` those that chance takes, the same each time."""
    rows = material.left.select(["utterance_id", "speaker_id", "sex"])
    place = pc.index_in(rows["utterance_id"].combine_chunks(), value_set=material.ids)
    rows, place = rows.filter(pc.is_valid(place)), place.drop_null().to_numpy()
    coded = rows["speaker_id"].combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    if len(order) > most:
        chosen = np.random.default_rng(SEED).choice(len(order), most, replace=False)
        order = [order[at] for at in sorted(chosen.tolist())]
    sexes: dict[str, str] = {}
    for label, sex in zip(*(rows[name].to_pylist() for name in ("speaker_id", "sex")), strict=True):
        if sex is not None:
            sexes.setdefault(label, sex)
    corpora = corpus_of_labels(material)  # an utterance that was moved may be of another
    code = coded.indices.to_numpy().astype(np.int64)
    means = mean_vectors(material.vectors[place], code, len(names))[order]
    square = np.einsum("sd,sd->s", means, means, dtype=np.float64)
    stays = np.flatnonzero(square > 0)
    labels = tuple(names[order[at]] for at in stays.tolist())
    return Speakers(
        labels=labels,
        vectors=unit(means[stays]),
        groups={
            "corpus": tuple(corpora[label] for label in labels),
            "sex": tuple(sexes.get(label, NOT_STATED) for label in labels),
        },
        num_all=len(names),
    )


def neighbours(vectors: Vectors, groups: Sequence[str]) -> tuple[int, int, float]:
    """How many have a nearest other of their own group, among how many, and how many would by chance.

    Those whose group is not stated are left out. By chance: each other is as likely to be the nearest.
    """
    known = np.array([group != NOT_STATED for group in groups])
    num = int(known.sum())
    if num < 2:
        return 0, num, 0.0
    _, code = np.unique(np.array(groups, dtype=object)[known].astype(str), return_inverse=True)
    cosines = vectors[known] @ vectors[known].T
    np.fill_diagonal(cosines, -np.inf)
    same = int((code[cosines.argmax(axis=1)] == code).sum())
    of_group = np.bincount(code)
    return same, num, float((of_group * (of_group - 1)).sum() / (num - 1))


# --------------------------------------------------------------------------------------------------- words and drawings


def _map(found: Speakers, at: NDArray[np.float64], name: str, material: Material) -> Picture | LeftOut:
    groups = found.groups[name]
    stated = set(groups) - {NOT_STATED}
    if not stated:
        return LeftOut(name=f"map_{name}", heading=HEADINGS[name], why=f"The {name} of no label is stated.")
    same, num, chance = neighbours(found.vectors, groups)
    known = f" of known {name}" if num < len(groups) else ""
    title = f"{same:,} of {number_of(num, 'label')}{known} {'is' if same == 1 else 'are'} nearest to one of the same"
    title += f" {name}; by chance {chance:,.0f} would be"
    if len(stated) == 1:
        title = f"{number_of(num, 'label')}{known}, all of one {name}: {shown(next(iter(stated)), 30)}"
    caption = (
        f"n = {number_of(len(found.labels), 'label')}, each the mean of the vectors of "
        f"{shown(material.extractors[0])} of its utterances that are left, "
        "laid out by t-SNE: what is close is alike, and distances have no unit."
    )
    if num < len(groups):
        caption += f" What is nearest is looked for among those of known {name} alone."
    if found.num_all > MOST_LABELS:
        caption += f" Chance took them of {found.num_all:,}."
    in_turn = corpora_in_turn(material) if name == "corpus" else sorted({"female", "male", *stated})
    rows = sorted(Counter(groups).items(), key=lambda one: (-one[1], one[0]))
    return Picture(
        name=f"map_{name}",
        heading=HEADINGS[name],
        title=title,
        caption=caption,
        head=(name, "labels"),
        rows=rows,
        draw=lambda: draw(at, groups, in_turn, title),
    )


@styled()
def draw(at: NDArray[np.float64], groups: Sequence[str], in_turn: Sequence[str], title: str) -> "Figure":
    """A colour and a marker for each group, `in_turn`; beyond seven groups the rest is pale."""
    count = Counter(groups)
    names, every = drawn_apart(in_turn), looks(in_turn[:GROUPS_TOLD])
    look = {name: one for name, one in every.items() if name in count}
    figure, (axes,) = sheet(title, height_in=3.9 + 0.18 * ((len(look) + 2) // 2))
    size = 26 if len(at) <= 300 else 10
    of_rest = np.array([group not in look for group in groups])
    if of_rest.any():
        how: dict[str, Any] = {"c": OTHERS.colour, "marker": "o", "edgecolors": "#888888", "linewidths": 0.4}
        rest = NOT_STATED if set(groups) <= {NOT_STATED, *look} else "others"
        x, y = at[of_rest].T
        axes.scatter(x, y, s=size * 0.6, label=f"{rest} ({of_rest.sum():,})", **how)
    for group, one in look.items():
        x, y = at[np.array([other == group for other in groups])].T
        how = {"c": one.colour, "marker": one.marker, "edgecolors": "white", "linewidths": 0.3}
        axes.scatter(x, y, s=size, label=f" {names[group]} ({count[group]:,})", **how)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel("first dimension of t-SNE (no unit)", fontsize=USUAL, color=INK)
    axes.set_ylabel("second dimension (no unit)", fontsize=USUAL, color=INK)
    figure.legend(loc="outside lower center", ncols=2, fontsize=USUAL, frameon=False)
    return figure
