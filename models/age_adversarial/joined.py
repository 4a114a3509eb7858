"""ECAPA-TDNN and RawNet2 on one wave, their vectors side by side: the extractor E-R of Baeg et al. 2023 (eq. 3).

They share no parameters; the first 256 values are ECAPA-TDNN's, on SpeechBrain's filter banks, the other 512 RawNet2's.
Eq. 3 prints both f1 + f2 and append(f1, f2): vectors of 256 and 512 values can be appended alone.

Shape letters: B batch, N samples, T frames, M mel bands, D embedding.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Self, final

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from models.age_adversarial.rawnet2 import RawNet2, RawNet2Settings
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.features import SpeechBrainFbank


@dataclass(frozen=True, kw_only=True)
class JoinedSettings:
    """The sizes; as they stand, the paper's."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    ecapa: EcapaSettings = field(default_factory=lambda: EcapaSettings(dimension=256))
    rawnet2: RawNet2Settings = field(default_factory=RawNet2Settings)

    @property
    def num_bands(self) -> int:
        """Values of a sample: it hears a wave."""
        return 1

    @property
    def min_frames(self) -> int:
        """The least samples that both can hear."""
        return max(SpeechBrainFbank.min_samples(self.ecapa.min_frames), self.rawnet2.min_frames)

    @property
    def dimension(self) -> int:
        """Of both."""
        return self.ecapa.dimension + self.rawnet2.dimension


@final
class Joined(nn.Module):
    """From waves at 16 kHz to vectors."""

    def __init__(self, settings: JoinedSettings) -> None:
        super().__init__()
        self.settings = settings
        with torch.device("cpu"):  # real also on "meta": no weights are loaded into its tables
            self.features = SpeechBrainFbank(settings.ecapa.num_bands)
        self.ecapa = Ecapa(settings.ecapa)
        self.rawnet2 = RawNet2(settings.rawnet2)

    def products_in(self, dtype: torch.dtype) -> Self:
        """With the convolutions of both in this type, as each has it."""
        self.ecapa.products_in(dtype)
        self.rawnet2.products_in(dtype)
        return self

    def forward(
        self, wave_BN: Tensor, samples_B: Tensor | None = None, *, masks: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """(B, D) in float32, not normalised, of waves of so many valid samples each; None: of all samples.

        A wave has `settings.min_frames` samples at least, and zeros after its valid ones. `masks` changes the filter
        banks (B, T, M), as SpecAugment does in training. They are in float32 under autocast, too.
        """
        with torch.autocast(wave_BN.device.type, enabled=False):
            feats_BTM, length_B = self.features(wave_BN.float(), samples_B)
        if masks is not None:
            feats_BTM = masks(feats_BTM)
        return torch.cat([self.ecapa(feats_BTM, length_B).float(), self.rawnet2(wave_BN, samples_B)], dim=1)
