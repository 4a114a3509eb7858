"""The half-channel ResNet-34 with attentive statistics, H/ASP (arXiv:2009.14153), as VietSV's table 2 lays it out.

Names of parameters are those of voxceleb_trainer's ResNetSE34V2, whose public weights load (`key_map.py`), and so is
what the papers leave out: squeeze and excitation in every block (reduction 8), batch normalisation after the first ReLU
of the network and of a block, a bias in the first convolution, an attention of 128 channels. One channel of bands and
frames goes in; nothing is pooled before the end.

Convolutions see zeros beyond the ends. Each utterance of a batch has its zeros at its own end, and what follows it
enters neither squeeze and excitation nor pooling: a batch gives the vectors that one by one gives. In training, batch
normalisation sees what follows an end: train on crops of one length.

Shape letters: B batch, T frames, M mel bands, C channels, D embedding.
"""

from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from models.common.pointwise import StridedPointwise
from models.common.pooling import attentive_statistics
from models.common.resnet import after_stride, silent_after

MAX_SIZE = 2**12  # beyond it a network is a mistake
STRIDES = (1, 2, 2, 2)  # of the first block of each layer, over bands and frames


@dataclass(frozen=True, kw_only=True)
class HalfResNetSettings:
    """The sizes; as they stand, table 2's with 8.03 million parameters."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_bands: int = 64
    channels: int = 32  # of the first layer; each further layer has twice as many
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    reduction: int = 8  # of a block's channels in squeeze and excitation
    attention_channels: int = 128
    dimension: int = 512

    def __post_init__(self) -> None:
        sizes = (self.num_bands, self.channels, *self.blocks, self.reduction, self.attention_channels, self.dimension)
        if not all(1 <= size <= MAX_SIZE for size in sizes):
            raise ValueError(f"sizes must be from 1 to {MAX_SIZE}")
        if self.num_bands % 8:
            raise ValueError(f"num_bands {self.num_bands} must be a multiple of 8: three layers halve them")
        if self.channels % self.reduction:
            raise ValueError(f"channels {self.channels} must be a multiple of reduction {self.reduction}")

    @property
    def min_frames(self) -> int:
        """The least of which two are left for the deviation at the end."""
        return 9

    @property
    def pooled_channels(self) -> int:
        """Channels times bands of the last layer."""
        return self.channels * self.num_bands


class SqueezeExcitation(nn.Module):
    """Each channel weighed by what the mean over bands and frames says (arXiv:1709.01507)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        inner = channels // reduction
        self.fc = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())

    def forward(self, x_BCMT: Tensor, length_B: Tensor | None) -> Tensor:
        """(B, C, M, T), zero beyond the ends."""
        if length_B is None:
            mean_BC = x_BCMT.mean(dim=(2, 3), dtype=torch.float32)
        else:
            mean_BC = x_BCMT.sum(dim=(2, 3), dtype=torch.float32) / (x_BCMT.shape[2] * length_B[:, None])
        weight_BC: Tensor = self.fc(mean_BC).to(x_BCMT.dtype)
        return x_BCMT * weight_BC[..., None, None]


class SeBasicBlock(nn.Module):
    """Two convolutions and squeeze and excitation beside a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = SqueezeExcitation(channels, reduction)
        self.downsample = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(StridedPointwise(in_channels, channels, stride), nn.BatchNorm2d(channels))

    def forward(self, x_BCMT: Tensor, length_B: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, C, M, T) at half the bands and frames where there is a stride, and how many frames are then valid."""
        strided_B = after_stride(length_B, self.stride)
        out_BCMT = silent_after(self.bn1(F.relu(self.conv1(x_BCMT))), strided_B)
        out_BCMT = silent_after(self.bn2(self.conv2(out_BCMT)), strided_B)
        out_BCMT = F.relu(self.se(out_BCMT, strided_B) + self.downsample(x_BCMT))
        return silent_after(out_BCMT, strided_B), strided_B


@final
class HalfResNet(nn.Module):
    """From log-mel bands to vectors."""

    def __init__(self, settings: HalfResNetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.channels * 2**i for i in range(4)]
        self.conv1 = nn.Conv2d(1, widths[0], 3, padding=1)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = [widths[0], *widths]
        layers = [_layer(before[i], widths[i], settings.blocks[i], STRIDES[i], settings.reduction) for i in range(4)]
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        pooled, inner = settings.pooled_channels, settings.attention_channels
        self.attention = nn.Sequential(
            nn.Conv1d(pooled, inner, 1), nn.ReLU(), nn.BatchNorm1d(inner), nn.Conv1d(inner, pooled, 1)
        )
        self.fc = nn.Linear(2 * pooled, settings.dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def layers(self) -> list[SeBasicBlock]:
        """All blocks in order."""
        named = (self.layer1, self.layer2, self.layer3, self.layer4)
        return [block for layer in named for block in layer if isinstance(block, SeBasicBlock)]

    def products_in(self, dtype: torch.dtype) -> Self:
        """With its convolutions over bands in this type; the attention, pooling and the last layer stay in float32."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(dtype)
        return self

    def forward(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, D), not normalised, of utterances of so many valid frames each; None: of all frames.

        An utterance has `settings.min_frames` at least.
        """
        return self.embedded(self.pooled(feats_BTM, length_B))

    def pooled(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, 2 C) in float32: what attentive statistics pooling gives."""
        if length_B is not None and bool((length_B == feats_BTM.shape[1]).all()):
            length_B = None
        x_BCMT = silent_after(feats_BTM.transpose(1, 2)[:, None], length_B).to(self.conv1.weight.dtype)
        x_BCMT = x_BCMT.contiguous(memory_format=torch.channels_last)
        x_BCMT = silent_after(self.bn1(F.relu(self.conv1(x_BCMT))), length_B)
        for block in self.layers:
            x_BCMT, length_B = block(x_BCMT, length_B)
        x_BCT = x_BCMT.flatten(1, 2).float()
        return attentive_statistics(x_BCT, self.attention(x_BCT), length_B)

    def embedded(self, pooled_BC: Tensor) -> Tensor:
        """(B, D) of pooled features."""
        vector_BD: Tensor = self.fc(pooled_BC)
        return vector_BD


def _layer(in_channels: int, channels: int, num_blocks: int, stride: int, reduction: int) -> nn.Sequential:
    blocks = [SeBasicBlock(in_channels, channels, stride, reduction)]
    blocks += [SeBasicBlock(channels, channels, 1, reduction) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)
