"""The networks of the multi-task paper (Chen et al. 2021): the ResNet of its table 1, and the x-vector TDNN beside it.

Readings, where the paper says nothing or two things:

- The first convolution has stride 1. The text of section 2.1 says 2 x 2; table 1 has all 30 cepstra and all T frames
  after it, and T to the end, and counts.
- The ResNet is of He et al.'s basic blocks (arXiv:1512.03385): batch normalisation before each ReLU, no max pooling, a
  1 x 1 convolution where the shortcut changes shape. Halving 15 cepstra leaves 8, as a padding of 1 does.
- Pooled are the 2 x 512 values of each frame: 2048 into the first 512.
- The contexts of the TDNN are those of Snyder et al. 2018 ([-2, 2], {-2, 0, 2}, {-3, 0, 3}, {0}, {0}), which the paper
  cites, without padding: 14 frames fewer come out. Its last width is the paper's 1536, not Snyder's 1500.
- The embedding is the first of the two 512 layers before its ReLU, as Kaldi takes it. The second belongs to what tells
  the speakers of training apart (`SpeakerHead`).
- "The same type of batch normalization" as Zeinali et al. 2019 has: in the TDNN and after the embedding it follows the
  ReLU, as their published toolkit and Kaldi do; its running statistics move by 0.05, its variance has a floor of 1e-3.

A batch gives the vectors that one by one gives: what follows an utterance's end is silent, and is not pooled. In
training, batch normalisation sees it: train on as many frames of each (`models.common.mfcc.repeated`).

Shape letters: B batch, T frames, M cepstra, C channels, D embedding, S speakers of training.
"""

from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar, final

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from models.common.classification import SpeakerSoftmax
from models.common.pointwise import StridedPointwise
from models.common.pooling import statistics
from models.common.resnet import silent_after

MAX_SIZE = 2**12  # beyond it a network is a mistake
NORM_FLOOR, NORM_MOMENTUM = 1e-3, 0.05
CONTEXTS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))  # frames of each layer of the TDNN, and how far they are apart
REACH = sum((size - 1) * apart for size, apart in CONTEXTS)  # frames that it comes out shorter by
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class MfccResNetSettings:
    """The sizes; as they stand, those of table 1."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_bands: int = 30  # cepstra
    channels: int = 64  # of the first stage; each further stage has twice as many
    blocks: tuple[int, int, int, int] = (2, 3, 4, 2)
    dimension: int = 512

    def __post_init__(self) -> None:
        _check_sizes(self.num_bands, self.channels, *self.blocks, self.dimension)

    @property
    def min_frames(self) -> int:
        """The least that has a deviation."""
        return 2

    @property
    def pooled_channels(self) -> int:
        """Channels times cepstra of the last stage, which four stages have halved, rounded up."""
        return 8 * self.channels * -(-self.num_bands // 16)


@dataclass(frozen=True, kw_only=True)
class XVectorSettings:
    """The sizes; as they stand, those of section 4.1.3."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_bands: int = 30  # cepstra
    channels: int = 512
    pooled_channels: int = 1536
    dimension: int = 512

    def __post_init__(self) -> None:
        _check_sizes(self.num_bands, self.channels, self.pooled_channels, self.dimension)

    @property
    def min_frames(self) -> int:
        """The least of which two come out for the deviation."""
        return REACH + 2


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut; a stride is over cepstra alone."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, (stride, 1), padding=1, bias=False)
        self.bn1 = _norm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = _norm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(StridedPointwise(in_channels, channels, (stride, 1)), _norm2d(channels))

    def forward(self, x_BCMT: Tensor, length_B: Tensor | None) -> Tensor:
        """(B, C, M, T), at half the cepstra where there is a stride."""
        out_BCMT = silent_after(F.relu(self.bn1(self.conv1(x_BCMT))), length_B)
        out_BCMT = F.relu(self.bn2(self.conv2(out_BCMT)) + self.shortcut(x_BCMT))
        return silent_after(out_BCMT, length_B)


@final
class MfccResNet(nn.Module):
    """From cepstra to vectors: table 1."""

    def __init__(self, settings: MfccResNetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.channels * 2**i for i in range(4)]
        self.conv1 = nn.Conv2d(1, widths[0], 7, padding=3, bias=False)
        self.bn1 = _norm2d(widths[0])
        before = [widths[0], *widths]
        stages = [_stage(before[i], widths[i], settings.blocks[i]) for i in range(4)]
        self.conv2_x, self.conv3_x, self.conv4_x, self.conv5_x = stages
        self.embedding = nn.Linear(2 * settings.pooled_channels, settings.dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def layers(self) -> list[BasicBlock]:
        """All blocks in order."""
        named = (self.conv2_x, self.conv3_x, self.conv4_x, self.conv5_x)
        return [block for stage in named for block in stage if isinstance(block, BasicBlock)]

    def products_in(self, dtype: torch.dtype) -> Self:
        """With its convolutions in this type; normalisation, pooling and the last layer stay in float32."""
        return _products_in(self, dtype)

    def forward(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, D), not normalised, of utterances of so many valid frames each; None: of all frames."""
        if length_B is not None and bool((length_B == feats_BTM.shape[1]).all()):
            length_B = None
        x_BCMT = silent_after(feats_BTM.transpose(1, 2)[:, None], length_B).to(self.conv1.weight.dtype)
        x_BCMT = x_BCMT.contiguous(memory_format=torch.channels_last)
        x_BCMT = silent_after(F.relu(self.bn1(self.conv1(x_BCMT))), length_B)
        for block in self.layers:
            x_BCMT = block(x_BCMT, length_B)
        vector_BD: Tensor = self.embedding(statistics(x_BCMT.flatten(1, 2), length_B))
        return vector_BD


class TdnnLayer(nn.Module):
    """A convolution that sees no frames beyond the ends, ReLU, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, context: tuple[int, int]) -> None:
        super().__init__()
        size, apart = context
        self.conv = nn.Conv1d(in_channels, out_channels, size, dilation=apart)
        self.norm = nn.BatchNorm1d(out_channels, NORM_FLOOR, NORM_MOMENTUM)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """(B, C, T), of fewer frames where it sees several."""
        out_BCT: Tensor = self.norm(F.relu(self.conv(x_BCT)))
        return out_BCT


@final
class XVector(nn.Module):
    """From cepstra to vectors: the TDNN of Snyder et al. 2018 (doi:10.1109/ICASSP.2018.8461375)."""

    def __init__(self, settings: XVectorSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.num_bands, *[settings.channels] * 4, settings.pooled_channels]
        shapes = zip(widths[:-1], widths[1:], CONTEXTS, strict=True)
        self.tdnn = nn.Sequential(*(TdnnLayer(*shape) for shape in shapes))
        self.embedding = nn.Linear(2 * settings.pooled_channels, settings.dimension)

    def products_in(self, dtype: torch.dtype) -> Self:
        """With its convolutions in this type; normalisation, pooling and the last layer stay in float32."""
        return _products_in(self, dtype)

    def forward(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, D), not normalised, of utterances of so many valid frames each; None: of all frames.

        An utterance has `settings.min_frames` at least.
        """
        dtype = next(self.tdnn.parameters()).dtype
        x_BCT = self.tdnn(feats_BTM.transpose(1, 2).to(dtype))
        vector_BD: Tensor = self.embedding(statistics(x_BCT, None if length_B is None else length_B - REACH))
        return vector_BD


@final
class SpeakerHead(nn.Module):
    """What tells the speakers of training apart: the second 512 layer, and the softmax layer with its loss (eq. 6)."""

    def __init__(self, dimension: int, num_speakers: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm1d(dimension, NORM_FLOOR, NORM_MOMENTUM)
        self.hidden = nn.Linear(dimension, dimension)
        self.norm2 = nn.BatchNorm1d(dimension, NORM_FLOOR, NORM_MOMENTUM)
        self.speakers = SpeakerSoftmax(dimension, num_speakers)

    def forward(self, vector_BD: Tensor, person_B: Tensor) -> Tensor:
        """The cross-entropy, a scalar, of embeddings as the networks give them."""
        hidden_BD = self.hidden(self.norm1(F.relu(vector_BD)))
        loss: Tensor = self.speakers(self.norm2(F.relu(hidden_BD)), person_B)
        return loss


def _stage(in_channels: int, channels: int, num_blocks: int) -> nn.Sequential:
    blocks = [BasicBlock(in_channels, channels, 2)]
    blocks += [BasicBlock(channels, channels, 1) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)


def _norm2d(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, NORM_FLOOR, NORM_MOMENTUM)


def _products_in(network: N, dtype: torch.dtype) -> N:
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            layer.to(dtype)
    return network


def _check_sizes(*sizes: int) -> None:
    if not all(1 <= size <= MAX_SIZE for size in sizes):
        raise ValueError(f"sizes must be from 1 to {MAX_SIZE}")
