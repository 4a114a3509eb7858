"""What a system says of the classes of a split's utterances, and of their words: rows of CLASS_RESULTS.

Figures are those of `benchmarks.classes`, of the utterances whose class is known. Each comes with its interval
(`benchmarks.intervals`: people drawn anew, the central 95 % of 200 draws, moved until their mean is the figure).

There is none of too few people: a figure of a class takes ten who are of it, a macro mean ten of each class that
anybody is of, any other ten in all; nor where every draw comes to the same. In 600 simulations each of 10, 20 and 100
people of each of two classes, who differ in how often they are told rightly (0.8 of 20 utterances on average, beta of
3.2 and 0.8), intervals of a class' recall held the truth in 90, 93 and 93 %, of macro F1 in 93, 93 and 93 %. Those of
precision held it in 99 % and more: they allow for other shares of the classes, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import classes
from benchmarks.intervals import MIN_PEOPLE, NUM_DRAWS, central
from benchmarks.metrics import Bools, Floats
from benchmarks.protocol import Figure
from benchmarks.words import character_edits, word_edits
from curate.schema import CLASS_RESULTS

Codes = NDArray[np.int64]
ALL = "all"  # the class_name of what is of no one class
UNKNOWN = -1
OF_A_CLASS = ("precision", "recall", "f1")
GROUP, SUBGROUP = "age_group", "age_subgroup"
CONTRADICTION = "contradiction"
TEXT = "text"  # the task of who reads
IN_PAPERS = {"sex": "sex", "age class": GROUP, "age subclass": SUBGROUP}  # what papers call a task
CONVENTIONS = {
    "precision": "right / called so; 0 of a class that is never said",
    "recall": "right / truly so",
    "f1": "2 right / (called so + truly so)",
    "macro": "mean of the classes that some utterance is of",
    "weighted": "mean of the classes, each as often as it is true",
    "accuracy": "right / all whose class is known",
    "wer": "substitutions, deletions and insertions of words / words of the transcripts, all normalised",
    "cer": "the same of characters, blanks between words among them",
    CONTRADICTION: f"utterances whose {SUBGROUP}, as it is told, is not in the {GROUP} that is told / all",
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a system says of one task, of N utterances."""

    task: str
    classes: tuple[str, ...]  # (K,) in the order of their codes
    said: Codes  # (N,)
    truth: Codes  # (N,) -1: not known
    person: Codes  # (N,) from 0

    @property
    def is_known(self) -> Bools:
        """(N,): whose class is known."""
        return np.asarray(self.truth != UNKNOWN)

    def confusion(self) -> Floats:
        """(K, K): rows are true, columns said."""
        total: Floats = _by_person(self).sum(axis=0).astype(np.float64)
        return total


def class_rows(
    told: Told, benchmark: str, split: str, system: str, *, rng: np.random.Generator, num_draws: int = NUM_DRAWS
) -> pa.Table:
    """Precision, recall and F1 of each class, their macro and weighted means, and accuracy.

    No rows where no utterance's class is known. Utterances that are of no known class count nowhere.
    """
    of_each = _by_person(told)  # (P, K, K) of those who have an utterance of a known class
    if not len(of_each):
        return CLASS_RESULTS.arrow().empty_table()
    named = _names(told.classes)
    is_of = of_each.sum(axis=2) > 0  # (P, K)
    num_of = is_of.sum(axis=0)
    support = of_each.sum(axis=(0, 2))
    fewest = {name: int(num) for name, num in zip(told.classes, num_of, strict=True)}
    in_macro = int(num_of[support > 0].min())
    values = _figures(of_each.sum(axis=0), told.classes)
    drawn = np.stack([_figures(one, told.classes) for one in _drawn(of_each, rng, num_draws)])
    rows = []
    for (name, metric), value, draws in zip(named, values, drawn.T, strict=True):
        people = fewest[name] if name != ALL else in_macro if metric.startswith("macro") else len(of_each)
        low, high = _ends(value, draws, num_people=people)
        at = None if name == ALL else told.classes.index(name)
        rows.append(
            {"task": told.task, "class_name": name, "metric": metric}
            | {"value": _or_null(value), "lower": _or_null(low), "upper": _or_null(high)}
            | {"num_utterances": int(support.sum() if at is None else support[at])}
            | {"num_people": len(of_each) if at is None else fewest[name]}
            | {"conventions": "; ".join(CONVENTIONS[word] for word in metric.split())}
        )
    return _as_table(rows, benchmark=benchmark, split=split, system=system)


def contradicts(group: Codes, subgroup: Codes, group_of_subgroup: Sequence[int]) -> Bools:
    """(N,): whether the subgroup that is told is not in the group that is told."""
    of_subgroup = np.asarray(group_of_subgroup)[subgroup]
    return np.asarray(of_subgroup != group)


def contradiction_rows(
    is_contradiction: Bools,
    person: Codes,
    benchmark: str,
    split: str,
    system: str,
    *,
    rng: np.random.Generator,
    num_draws: int = NUM_DRAWS,
) -> pa.Table:
    """The share of all utterances (N,), whatever is known of them, of which two tasks are told as cannot be."""
    every = np.ones(len(person))
    row = _rate_row(SUBGROUP, CONTRADICTION, is_contradiction, every, person, rng=rng, num_draws=num_draws, most=1.0)
    return _as_table([row], benchmark=benchmark, split=split, system=system)


def text_rows(
    references: Sequence[str],
    hypotheses: Sequence[str],
    person: Codes,
    benchmark: str,
    split: str,
    system: str,
    *,
    rng: np.random.Generator,
    num_draws: int = NUM_DRAWS,
) -> pa.Table:
    """Word and character error rate of N utterances, each of which has a word. Raises ListError where one has none."""
    of_both = {"wer": word_edits(references, hypotheses), "cer": character_edits(references, hypotheses)}
    rows = []
    for metric, edits in of_both.items():  # edits may be more than what was said
        told = edits.total, edits.num_reference
        rows.append(_rate_row(TEXT, metric, *told, person, rng=rng, num_draws=num_draws, most=np.inf))
    return _as_table(rows, benchmark=benchmark, split=split, system=system)


def conventions(rows: pa.Table) -> list[str]:
    """A line for each word in the names of their metrics: how it is computed."""
    words = dict.fromkeys(word for metric in rows["metric"].to_pylist() for word in metric.split())
    return [f"{word}: {CONVENTIONS[word]}" for word in CONVENTIONS if word in words]


def beside_papers(rows: pa.Table, figures: Sequence[Figure]) -> list[tuple[Figure, float | None]]:
    """Figures of a paper that are of classes (of no list), each with ours; None where `rows` have none.

    `precision of young` is of a class, where two tasks have it of the first; `f1 of age class`, which is of a task, is
    held to the macro mean: the paper of mixup distillation does not say which mean its figures are.
    """
    ours = {(row["task"], row["class_name"], row["metric"]): row["value"] for row in rows.to_pylist()}
    of_class: dict[str, str] = {}
    for task, name, _ in ours:
        of_class.setdefault(name, task)
    found = []
    for figure in figures:
        metric, _, what = figure.metric.partition(" of ")
        if figure.list != "none" or metric not in OF_A_CLASS or not what:
            continue
        key = (IN_PAPERS[what], ALL, f"macro {metric}") if what in IN_PAPERS else (of_class.get(what), what, metric)
        found.append((figure, ours.get(key)))
    return found


def _names(names: Sequence[str]) -> list[tuple[str, str]]:
    """The class and the metric of each figure, in the order of `_figures`."""
    of_all = [*(f"{mean} {metric}" for mean in ("macro", "weighted") for metric in OF_A_CLASS), "accuracy"]
    return [*((name, metric) for name in names for metric in OF_A_CLASS), *((ALL, metric) for metric in of_all)]


def _figures(confusion: Floats, names: Sequence[str]) -> Floats:
    """(F,) in the order of `_names`; nan where the figure is not defined."""
    found = classes.of_confusion(confusion, tuple(names))
    of_classes = np.stack([found.precision, found.recall, found.f1], axis=1).ravel()
    means = [getattr(mean, metric) for mean in (found.macro, found.weighted) for metric in OF_A_CLASS]
    return np.concatenate([of_classes, means, [found.accuracy]])


def _by_person(told: Told) -> NDArray[np.int64]:
    """(P, K, K) of the people who have an utterance of a known class: rows are true, columns said."""
    size, known = len(told.classes), told.is_known
    people, place = np.unique(told.person[known], return_inverse=True)
    cell = (place * size + told.truth[known]) * size + told.said[known]
    return np.bincount(cell, minlength=len(people) * size**2).reshape(len(people), size, size)


def _drawn(counts: NDArray[Any], rng: np.random.Generator, num_draws: int) -> Floats:
    """(R, ...): what counts by person (P, ...) come to when so many people are drawn again, with replacement."""
    times = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=num_draws)
    return np.tensordot(times.astype(np.float64), counts.astype(np.float64), axes=1)


def _rate_row(
    task: str,
    metric: str,
    part: NDArray[Any],
    whole: NDArray[Any],
    person: Codes,
    *,
    rng: np.random.Generator,
    num_draws: int,
    most: float,
) -> dict[str, Any]:
    """The sum of `part` over that of `whole`, each of N utterances."""
    _, place = np.unique(person, return_inverse=True)
    counts = np.stack([np.bincount(place, weights=of_each) for of_each in (part, whole)], axis=1)  # (P, 2)
    value = float(part.sum() / whole.sum())
    drawn = np.array([one[0] / one[1] for one in _drawn(counts, rng, num_draws)])
    low, high = _ends(value, drawn, num_people=len(counts), most=most)
    row = {"task": task, "class_name": ALL, "metric": metric, "value": value}
    row |= {"lower": _or_null(low), "upper": _or_null(high), "conventions": CONVENTIONS[metric]}
    return row | {"num_utterances": len(person), "num_people": len(counts)}


def _ends(value: float, drawn: Floats, *, num_people: int, most: float = 1.0) -> tuple[float, float]:
    if num_people < MIN_PEOPLE or np.allclose(drawn, value, rtol=0, atol=1e-12):
        return np.nan, np.nan
    return central(value, drawn, bounds=(0.0, most))


def _as_table(rows: Sequence[Mapping[str, Any]], *, benchmark: str, split: str, system: str) -> pa.Table:
    about = {"benchmark": benchmark, "split": split, "system": system}
    return pa.Table.from_pylist([about | dict(row) for row in rows], schema=CLASS_RESULTS.arrow())


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
