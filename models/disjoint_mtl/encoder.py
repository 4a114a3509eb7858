"""wav2vec 2.0 up to a layer, and the speaker head on it: an encoder of waveforms, as `models.checkpoint` keeps it.

Shape letters: B batch, N samples, D embedding.
"""

from typing import Self, final

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from curate.corpora.described import STRICT
from models.common.ecapa import EcapaSettings
from models.disjoint_mtl.model import Pooling, SpeakerPooling, Wav2Vec2, Wav2Vec2Settings


@validated(frozen=True, kw_only=True, config=STRICT)
class SpeakerEncoderSettings:
    """The network, which of its layers is read, and how."""

    network: Wav2Vec2Settings = Wav2Vec2Settings()
    layer: int = Field(default=12, ge=0)
    pooling: Pooling = "mean"
    ecapa: EcapaSettings | None = None

    def __post_init__(self) -> None:
        if self.layer > self.network.num_hidden_layers:
            most = self.network.num_hidden_layers
            raise ValueError(f"layer {self.layer}; expected 0 to {most}, the layers that there are")
        if (self.ecapa is not None) != (self.pooling == "ecapa"):
            raise ValueError(f"pooling {self.pooling}; expected sizes of ecapa with it, and with no other")

    @property
    def num_bands(self) -> int:
        """Values of a sample: it hears a wave."""
        return 1

    @property
    def min_frames(self) -> int:
        """The least samples that it hears."""
        return self.network.min_samples(1 if self.ecapa is None else self.ecapa.min_frames)

    @property
    def dimension(self) -> int:
        """Of an embedding."""
        return self.network.hidden_size if self.ecapa is None else self.ecapa.dimension


@final
class SpeakerEncoder(nn.Module):
    """From waveforms to speaker embeddings."""

    def __init__(self, settings: SpeakerEncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.network = Wav2Vec2(settings.network)
        self.pooling = SpeakerPooling(settings.pooling, settings.network.hidden_size, settings.ecapa)
        self._dtype = torch.float32

    def products_in(self, dtype: torch.dtype) -> Self:
        """With its products in this type, but for the first convolution."""
        self._dtype = dtype
        return self

    def forward(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, not normalised, of waves of so many valid samples each, `settings.min_frames` at least."""
        layer = self.settings.layer
        with torch.autocast(wave_BN.device.type, self._dtype, enabled=self._dtype != torch.float32):
            x_BTD, frames_B = self.network(wave_BN, samples_B, layers={layer})
            vector_BD: Tensor = self.pooling(x_BTD[layer], frames_B)
        return vector_BD.float()
