"""Waveforms that may share a batch: of one length, or under masks of like length; and fewer where a GPU is full."""

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from curate.errors import ExtractorError

Waveform = NDArray[np.float32]
Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """What is asked of it to say what did not fit."""

    name: str
    sample_rate_hz: int


E = TypeVar("E", bound=Encoder)


def in_halves_when_full(
    embed: Callable[[E, Sequence[Waveform]], Vectors],
) -> Callable[[E, Sequence[Waveform]], Vectors]:
    """An encoder's `embed`, tried again with either half of the waveforms where the memory of the GPU does not do.

    It then raises ExtractorError for a waveform that does not fit alone.
    """

    @wraps(embed)
    def fitting(encoder: E, waveforms: Sequence[Waveform]) -> Vectors:
        try:
            return embed(encoder, waveforms)
        except torch.OutOfMemoryError:
            pass  # and out of here: the error holds the tensors of the try
        if len(waveforms) == 1:
            length_s = len(waveforms[0]) / encoder.sample_rate_hz
            raise ExtractorError(
                f"{encoder.name}: {length_s:.1f} s of audio do not fit into the memory of the GPU; expected less at "
                'once: a lower max_duration_s, part = "windows", fewer workers, or device = "cpu"'
            )
        half = len(waveforms) // 2
        return np.concatenate([fitting(encoder, waveforms[:half]), fitting(encoder, waveforms[half:])])

    return fitting


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
