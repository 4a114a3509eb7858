"""Parts of the mixup distillation system (Baeg et al. 2023): mixup, encoders, the frozen convolution and classifiers.

"The size of the student model was approximately 50 % of the teacher model", and ECAPA's residual block goes from a
scale of 8 to one of 4, ResNet's layers from 34 to 18. Neither alone gives half:

- ECAPA of 1024 channels (SpeechBrain's) and an embedding of 256 has 21.16 million parameters at scale 8, and 21.90
  million at scale 4: pieces are fewer and wider. Most of them grow with the square of the channels: with 680 (and 3 x
  680 pooled) there are 10.64 million, 50.3 %.
- ResNet-34 of 64 channels with squeeze and excitation and attentive statistics (models/angular_prototypical/model.py)
  has 25.53 million; with blocks 2-2-2-2 it has 15.28 million, 59.9 %, as the attention and the embedding over 80 bands
  stay as large. With 56 channels there are 12.13 million, 47.5 %.

Shape letters: B batch, T frames, M mel bands, C channels of pooled features, D embedding, K classes.
"""

import math
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.ecapa import Ecapa, EcapaSettings

Architecture = Literal["ecapa", "resnet"]
TEACHERS: dict[Architecture, EcapaSettings | HalfResNetSettings] = {
    "ecapa": EcapaSettings(dimension=256),
    "resnet": HalfResNetSettings(num_bands=80, channels=64, dimension=256),
}
STUDENTS: dict[Architecture, EcapaSettings | HalfResNetSettings] = {
    "ecapa": EcapaSettings(channels=680, pooled_channels=2040, scale=4, dimension=256),
    "resnet": HalfResNetSettings(num_bands=80, channels=56, blocks=(2, 2, 2, 2), dimension=256),
}
PROJECTION_SEED = 0


def mixed(feats_BTM: Tensor, masked_BTM: Tensor, *, share: float, window: int) -> Tensor:
    """Eq. 1, (B, T, M): `share` (lambda) of the features, and the rest the moving average of their masked copy.

    The average is over `window` (T) frames around each; at the ends over those of them that there are. As printed, the
    sum has T + 1 terms and is divided by T; here T is odd and both are T. A share of 1 gives the features themselves.
    """
    around_BMT = F.avg_pool1d(masked_BTM.mT, window, stride=1, padding=window // 2, count_include_pad=False)
    return share * feats_BTM + (1 - share) * around_BMT.mT


@final
class PooledEncoder(nn.Module):
    """A network which tells, beside its embedding, what its attentive statistics pooling gives."""

    def __init__(self, encoder: Ecapa | HalfResNet) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pooled features (B, 2 C) and embeddings (B, D), both in float32; the last layer is so under autocast too."""
        pooled_BC = self.encoder.pooled(feats_BTM, length_B).float()
        with torch.autocast(feats_BTM.device.type, enabled=False):
            return pooled_BC, self.encoder.embedded(pooled_BC)


@final
class FrozenProjection(nn.Module):
    """The "non-trainable layer (Conv1D)" that brings the student's pooled features to the size of the teacher's.

    A convolution of one frame over one frame: a product. Its weights are drawn once for all runs, from a normal
    distribution that keeps lengths on average; they are neither trained nor kept, being the same again when drawn.
    """

    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(PROJECTION_SEED)
        weight = torch.randn(out_channels, in_channels, generator=generator, device="cpu") / math.sqrt(out_channels)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, pooled_BC: Tensor) -> Tensor:
        """(B, C) as many as the teacher has."""
        return F.linear(pooled_BC, self.weight)


def projection(student: Ecapa | HalfResNet, teacher: Ecapa | HalfResNet) -> nn.Module:
    """From the pooled features of one to those of the other; nothing where they are as many."""
    sizes = [2 * network.settings.pooled_channels for network in (student, teacher)]
    return nn.Identity() if sizes[0] == sizes[1] else FrozenProjection(*sizes)


def classifier(in_channels: int, hidden: int, num_classes: int, *, dropout: float) -> nn.Sequential:
    """To logits (B, K): "a linear dense block with BN, Leaky ReLU, and Dropout", and a linear layer."""
    return nn.Sequential(
        nn.Linear(in_channels, hidden),
        nn.BatchNorm1d(hidden),
        nn.LeakyReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_classes),
    )
