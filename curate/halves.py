"""Sets of utterances cut in two where they part best, and how alike the halves are.

The figure is (mean cosine across) / sqrt(mean cosine within the one x within the other), the correlation corrected for
attenuation of Spearman (1904): how much of what the utterances of each half have in common both halves share. How many
utterances there are, and how good, hardly moves it.

Shapes: B sets that are cut at once, M utterances of the largest, D dimensions of the embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.similarity import Indices, Picked, Scores, Vectors
from curate.whitened import TINY, VALUES_PER_BATCH, Spaces

Flags = NDArray[np.bool_]
Rows = list[Indices]  # of each set

MIN_HALF = 2  # the mean cosine within a half needs two
TIGHTER = 1e-6  # less is rounding
STEPS = 12  # of the power method and of 2-means: both have stood still before


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Sets of rows, each in two halves."""

    score: Scores  # similarity of the halves; nan where no two halves have enough utterances in common
    upper: list[Flags]  # of each set: which of its rows are in the one half


def cut(unit_ND: Vectors | Picked, session: Indices, spaces: Spaces, sets: Rows, fold: Indices) -> Cut:
    """Cut sets of rows in two, each in the space of its fold. `session` (N,) says from which sitting, -1: unknown."""
    score = np.full(len(sets), np.nan)
    upper = [np.zeros(len(one), bool) for one in sets]
    size = np.array([len(one) for one in sets])
    order = np.lexsort((size, fold))
    start = 0
    while start < len(order):
        stop = _end_of_batch(size[order], fold[order], start, unit_ND.shape[1])
        batch = order[start:stop]
        filled = np.arange(size[batch].max()) < size[batch][:, None]
        x_BMD = np.zeros((*filled.shape, unit_ND.shape[1]), np.float32)
        session_BM = np.full(filled.shape, -1)
        rows = np.concatenate([sets[one] for one in batch])
        x_BMD[filled], session_BM[filled] = spaces.of(unit_ND[rows], fold[batch[0]]), session[rows]
        side_BM, score[batch] = _halves(x_BMD, session_BM, filled)
        for one, side in zip(batch, side_BM, strict=True):
            upper[one] = side[: size[one]]
        start = stop
    return Cut(score=score, upper=upper)


def _end_of_batch(size: Indices, fold: Indices, start: int, dimension: int) -> int:
    """Sizes rise within a fold: as many as fit when all are as large as the last, and one at least."""
    last = int(np.searchsorted(fold, fold[start], side="right"))
    taken = size[start:last] * np.arange(1, last - start + 1) * dimension
    return start + max(1, int(np.searchsorted(taken, VALUES_PER_BATCH, side="right")))


def _halves(x_BMD: Vectors, session_BM: Indices, filled_BM: Flags) -> tuple[Flags, Scores]:
    """2-means from two starts, the first principal direction and the utterance farthest out; the tighter one counts.

    A third start is the session that stands out most. It counts where it finds halves that are less alike: a short
    session of somebody else parts a label less tightly than the person's own many utterances part.
    Returns which rows are in the one half (B, M), and the similarity of the halves (B,).
    """
    total_BD = x_BMD.sum(axis=1, dtype=np.float64).astype(np.float32)
    count_B = filled_BM.sum(axis=1)
    away = (x_BMD - (total_BD / count_B[:, None])[:, None]) * filled_BM[..., None]
    farthest = np.einsum("bmd,bmd->bm", away, away).argmax(axis=1)
    direction = away[np.arange(len(away)), farthest][:, None]
    for _ in range(STEPS):
        along = direction @ away.transpose(0, 2, 1)
        direction = along @ away
        direction /= np.maximum(np.linalg.norm(direction, axis=2, keepdims=True), TINY)
    starts = (along[:, 0] > 0, np.arange(filled_BM.shape[1]) == farthest[:, None], _session_apart(away, session_BM))
    best, side_BM, score_B = (np.full(len(x_BMD), -np.inf), np.zeros_like(filled_BM), np.full(len(x_BMD), np.nan))
    for number, start in enumerate(starts):
        side, tight, similar = _two_means(x_BMD, filled_BM, start & filled_BM, total_BD, count_B)
        better = (tight > -np.inf) & ~(similar >= score_B) if number == 2 else tight > best + TIGHTER
        best, score_B = np.where(better, tight, best), np.where(better, similar, score_B)
        side_BM[better] = side[better]
    return side_BM, score_B


def _session_apart(away_BMD: Vectors, session_BM: Indices) -> Flags:
    """(B, M) the rows of the session that explains most of how a set varies; none where no session is known."""
    found = np.zeros(session_BM.shape, bool)
    of_set, place = np.nonzero(session_BM >= 0)
    if len(of_set):
        keys = of_set * (session_BM.max() + 1) + session_BM[of_set, place]
        _, at, pair, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        first = of_set[at]
        total = np.zeros((len(count), away_BMD.shape[2]))
        np.add.at(total, pair, away_BMD[of_set, place])
        explained = np.where(count >= MIN_HALF, np.einsum("ud,ud->u", total, total) / count, -1.0)
        best = np.full(len(found), -1)
        order = np.argsort(explained, kind="stable")
        order = order[explained[order] >= 0]
        best[first[order]] = order  # of several, the last
        found[of_set, place] = pair == best[of_set]
    return found


def _two_means(
    x_BMD: Vectors,
    filled_BM: Flags,
    side_BM: Flags,
    total_BD: Vectors,
    count_B: Indices,
) -> tuple[Flags, Scores, Scores]:
    """The halves, how tight they are (-inf where one has too few), and how similar."""
    for step in range(STEPS + 1):
        upper_BD = (side_BM[:, None].astype(np.float32) @ x_BMD)[:, 0]
        lower_BD = total_BD - upper_BD
        num_upper = side_BM.sum(axis=1)
        num_lower = count_B - num_upper
        if step == STEPS:
            break
        mean_upper, mean_lower = (
            half / np.maximum(number, 1)[:, None] for half, number in ((upper_BD, num_upper), (lower_BD, num_lower))
        )
        middle = (np.einsum("bd,bd->b", mean_upper, mean_upper) - np.einsum("bd,bd->b", mean_lower, mean_lower)) / 2
        moved = ((x_BMD @ (mean_upper - mean_lower)[:, :, None])[..., 0] > middle[:, None]) & filled_BM
        moved = np.where(((num_upper > 0) & (num_lower > 0))[:, None], moved, side_BM)
        if (moved == side_BM).all():
            break
        side_BM = moved
    own = np.einsum("bmd,bmd->bm", x_BMD, x_BMD)
    similar = _similarity(
        upper_BD, num_upper, (own * side_BM).sum(axis=1), lower_BD, num_lower, (own * ~side_BM).sum(axis=1)
    )
    enough = np.minimum(num_upper, num_lower) >= MIN_HALF
    tight = sum(
        np.einsum("bd,bd->b", half, half, dtype=np.float64) / np.maximum(number, 1)
        for half, number in ((upper_BD, num_upper), (lower_BD, num_lower))
    )
    return side_BM, np.where(enough & ~np.isnan(similar), tight, -np.inf), similar


def _similarity(
    one_BD: Vectors,
    num_one: Indices,
    own_one: Scores,
    other_BD: Vectors,
    num_other: Indices,
    own_other: Scores,
) -> Scores:
    """Of sets of vectors, by their sums: mean cosine across / sqrt(those within); nan where those are not positive.

    `own` are the sums of squared lengths: what an utterance and itself bring to the sum over all pairs.
    """
    within = [
        (np.einsum("bd,bd->b", half, half, dtype=np.float64) - own) / np.maximum(number * (number - 1), 1)
        for half, number, own in ((one_BD, num_one, own_one), (other_BD, num_other, own_other))
    ]
    across = np.einsum("bd,bd->b", one_BD, other_BD, dtype=np.float64) / np.maximum(num_one * num_other, 1)
    positive = np.minimum(*within) > TINY
    return np.where(positive, across / np.sqrt(np.where(positive, within[0] * within[1], 1.0)), np.nan)
