"""Spaces in which utterances of one label vary alike in all directions, and the labels' common mean is zero.

Cosines there are around zero for strangers, and neither what all speech of a corpus shares nor what a person's speech
varies in (feeling, words, channel) is taken for a person.

Shapes: N utterances, G groups (labels, or their parts), F folds, D dimensions of the embedding.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curate.similarity import Indices, Picked, Scores, Vectors

VALUES_PER_BATCH = 1 << 21  # 8 MB of float32
MIN_VARIANCE = 1e-6  # of a direction, as a share of the mean: what rounding leaves is not to be blown up
TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """What is taken off every vector, and what it is multiplied with: by fold, and last by all labels."""

    centre_D: Vectors  # noqa: N815
    whitening_FDD: Vectors  # noqa: N815

    def of(self, unit_ND: Vectors, fold: int) -> Vectors:
        """At length one again; zero for what is the centre."""
        white: Vectors = (unit_ND - self.centre_D) @ self.whitening_FDD[fold]
        white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), TINY)
        return white


def spaces(unit_ND: Vectors | Picked, group: Indices, fold: Indices) -> Spaces:
    """In the space of a fold, utterances of one group of the other folds vary alike in all directions.

    The covariance within groups is drawn towards a sphere as far as its own error demands (Ledoit and Wolf 2004).
    """
    dimension, num_folds = unit_ND.shape[1], int(fold.max()) + 1
    count, mean_GD = means(unit_ND, group)
    centre_D = mean_GD.mean(axis=0).astype(np.float32)
    scatter_FDD = np.zeros((num_folds + 1, dimension, dimension))
    number, fourth = np.zeros((2, num_folds + 1))
    for rows in chunks(np.flatnonzero(count[group] > 1), dimension):
        of = group[rows]
        apart = (unit_ND[rows] - mean_GD[of]) * np.sqrt(count[of] / (count[of] - 1))[:, None]
        for one in np.unique(fold[rows]):
            here = apart[fold[rows] == one].astype(np.float32)
            scatter_FDD[one] += here.T @ here
            number[one] += len(here)
            fourth[one] += (np.einsum("nd,nd->n", here, here, dtype=np.float64) ** 2).sum()
    whitening = [
        _whitening(*(total.sum(axis=0) - total[one] for total in (scatter_FDD, number, fourth)))
        for one in range(num_folds)
    ]
    whitening.append(_whitening(scatter_FDD.sum(axis=0), number.sum(), fourth.sum()))
    return Spaces(centre_D=centre_D, whitening_FDD=np.stack(whitening).astype(np.float32))


def _whitening(scatter_DD: Scores, number: float, fourth: float) -> Scores:
    dimension = len(scatter_DD)
    variance = np.trace(scatter_DD) / max(number, 1) / dimension
    if variance < TINY:  # nothing varies: every direction is as good
        return np.eye(dimension)
    covariance = scatter_DD / number
    away = ((covariance - variance * np.eye(dimension)) ** 2).sum()
    error = (fourth / number - (covariance**2).sum()) / number
    drawn = np.clip(error / away, 0.0, 1.0) if away > TINY * variance else 1.0
    value, vector = np.linalg.eigh((1 - drawn) * covariance + drawn * variance * np.eye(dimension))
    whitening: Scores = (vector / np.sqrt(np.maximum(value, MIN_VARIANCE * variance))) @ vector.T
    whitening *= np.sqrt(variance)
    return whitening


def means(unit_ND: Vectors | Picked, group: Indices) -> tuple[Indices, Scores]:
    """How many rows each group has, and their mean."""
    count = np.bincount(group)
    total = np.zeros((len(count), unit_ND.shape[1]))
    for rows in chunks(np.argsort(group, kind="stable"), unit_ND.shape[1]):
        add_rows(total, group[rows], unit_ND[rows])
    return count, total / count[:, None]


def add_rows(total: Scores, group: Indices, values: Vectors) -> None:
    """Add rows, sorted by group, to the sums of their groups."""
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    total[group[starts]] += np.add.reduceat(values.astype(np.float64), starts, axis=0)


def chunks(rows: Indices, dimension: int) -> Iterator[Indices]:
    """As many rows at a time as fit into a batch."""
    step = max(1, VALUES_PER_BATCH // dimension)
    return (rows[start : start + step] for start in range(0, len(rows), step))
