"""How well classes are told: confusion matrix, accuracy, precision, recall and F1, of labels (N,) said and true.

Conventions:
- A class that occurs in the truth and is never said has precision 0 and F1 0, as scikit-learn has it by default.
- A class that the truth lacks has no recall, and no precision either where it is never said: nan. It is in no macro
  mean, though whoever says it is wrong and so loses recall and accuracy elsewhere. scikit-learn counts such a class
  as 0 unless `labels` leaves it out, as `labels=np.unique(truth)` does; then the figures are the same to 1e-12.
- The weighted mean weighs by how often a class is true. Macro recall is also called balanced accuracy, or UAR.

`weight` (N,) says how often each row counts, as in a bootstrap; all are nan where all rows weigh nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Floats, checked_weight

Labels = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Means:
    """One kind of mean over classes."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures of C classes, in the order of `classes`."""

    classes: tuple[Any, ...]
    confusion: Floats  # (C, C): rows are true, columns said
    precision: Floats
    recall: Floats
    f1: Floats
    macro: Means
    weighted: Means
    accuracy: float

    @property
    def support(self) -> Floats:
        """(C,): how often each class is true."""
        total: Floats = self.confusion.sum(axis=1)
        return total


def report(
    said: Labels, truth: Labels, *, classes: Sequence[Any] | None = None, weight: Floats | None = None
) -> Report:
    """All figures; `classes` are those that occur, sorted, or those given, among which all that occur must be.

    Raises ValueError for labels that do not match, are none, or are of no given class.
    """
    said, truth = np.asarray(said), np.asarray(truth)
    if said.shape != truth.shape or said.ndim != 1 or not len(said):
        raise ValueError(f"labels {said.shape} said and {truth.shape} true; expected one of each a row, and some rows")
    known, places = np.unique(np.concatenate([said, truth]), return_inverse=True)
    names = known.tolist() if classes is None else list(classes)
    if foreign := [name for name in known.tolist() if name not in names]:
        raise ValueError(f"class {foreign[0]!r}; expected one of {names}")
    if len(set(names)) != len(names):
        raise ValueError(f"classes {names}; expected each once")
    column, row = np.array([names.index(name) for name in known.tolist()])[places].reshape(2, -1)
    weight = None if weight is None else checked_weight(weight, len(said))
    size = len(names)
    confusion = np.bincount(row * size + column, weights=weight, minlength=size**2).reshape(size, size)
    return of_confusion(confusion.astype(np.float64), tuple(names))


def of_confusion(confusion: Floats, classes: tuple[Any, ...]) -> Report:
    """The figures that follow from a confusion matrix (C, C)."""
    right, support, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    precision = np.where((support > 0) & (said == 0), 0.0, _ratio(right, said))
    recall, f1 = _ratio(right, support), _ratio(2 * right, support + said)
    true = support > 0

    def means(weight: Floats) -> Means:
        shares = _ratio(weight[true], np.full(true.sum(), weight[true].sum()))
        of_each = (float(figure[true] @ shares) if true.any() else np.nan for figure in (precision, recall, f1))
        return Means(**dict(zip(("precision", "recall", "f1"), of_each, strict=True)))

    return Report(
        classes=classes,
        confusion=confusion,
        precision=precision,
        recall=recall,
        f1=f1,
        macro=means(np.ones(len(support))),
        weighted=means(support),
        accuracy=float(_ratio(right.sum(), support.sum())),
    )


def accuracy(said: Labels, truth: Labels, *, weight: Floats | None = None) -> float:
    """The share of rows that are told rightly."""
    return report(said, truth, weight=weight).accuracy


def macro_recall(said: Labels, truth: Labels, *, weight: Floats | None = None) -> float:
    """The mean recall of the classes that are true of some row: balanced accuracy."""
    return report(said, truth, weight=weight).macro.recall


def macro_f1(said: Labels, truth: Labels, *, weight: Floats | None = None) -> float:
    """The mean F1 of the classes that are true of some row."""
    return report(said, truth, weight=weight).macro.f1


def weighted_f1(said: Labels, truth: Labels, *, weight: Floats | None = None) -> float:
    """The mean F1 of the classes, each as often as it is true."""
    return report(said, truth, weight=weight).weighted.f1


def _ratio(part: Any, whole: Any) -> Floats:
    """Nan where there is nothing of which to be a part."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    share: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return share
