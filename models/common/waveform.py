"""What a network is given that hears samples itself: the wave as it is, in the place of features.

Shape letters: B batch, N samples.
"""

from typing import final

from torch import Tensor, nn


@final
class Waveform(nn.Module):
    """Samples at 16 kHz from -1 to 1 as frames of one value each."""

    def __init__(self, num_bands: int = 1) -> None:
        """Raises ValueError for more values than the one that a sample has."""
        super().__init__()
        if num_bands != 1:
            raise ValueError(f"num_bands {num_bands} must be 1: a wave has one value a sample")

    @staticmethod
    def min_samples(num_frames: int) -> int:
        """The least waveform that has so many frames, which are its samples."""
        return num_frames

    def forward(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Both as they are: (B, N), and how many samples of each are valid; None where all are."""
        return wave_BN, samples_B
