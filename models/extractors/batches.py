"""Waveforms that may share a batch: of one length, or under masks of like length."""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]


def by_equal_length(
    waveforms: Sequence[Waveform], embed: Callable[[NDArray[np.float32]], NDArray[np.float32]], *, max_samples: int
) -> NDArray[np.float32]:
    """(N, D) in the order of the waveforms, from `embed`, which maps (B, T) to (B, D).

    A batch holds waveforms of one length, and no more than `max_samples` of them all; one waveform at least.
    """
    order = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))
    rows: dict[int, NDArray[np.float32]] = {}
    for length, group in groupby(order, key=lambda i: len(waveforms[i])):
        same = list(group)
        size = max(1, max_samples // max(length, 1))
        for start in range(0, len(same), size):
            chosen = same[start : start + size]
            rows |= zip(chosen, embed(np.stack([waveforms[i] for i in chosen])), strict=True)
    return np.stack([rows[i] for i in range(len(waveforms))])


def of_like_length(lengths: Sequence[int], max_samples: int) -> list[list[int]]:
    """The places of the waveforms in batches, the shortest first, so that little is padding.

    A batch has `max_samples` at most when it is padded; one waveform at least.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[i] <= max_samples:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
