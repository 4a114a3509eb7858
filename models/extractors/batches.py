"""Waveforms that may share a batch: padding would change what a network without masks hears."""

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
