"""ResNet-34 over filter banks (arXiv:1512.03385) as WeSpeaker lays it out (arXiv:2210.17016), whose weights load.

One channel of bands and frames goes in; the first layer has no stride and nothing is pooled before the end, where the
mean and the standard deviation over time of each channel and band give the vector. Convolutions see zeros beyond the
ends. Each utterance of a batch has its zeros at its own end: a batch gives the vectors that one by one gives. In
training, batch normalisation sees what follows an end: train on crops of one length.

Shape letters: B batch, T frames, M mel bands, C channels, D embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import ExtractorError
from models.common.features import is_valid
from models.common.pointwise import StridedPointwise

MAX_SIZE = 2**12  # beyond it a network is a mistake
VARIANCE_FLOOR = 1e-8  # added to a variance in the pooling
STRIDES = (1, 2, 2, 2)  # of the first block of each layer, over bands and frames


@dataclass(frozen=True, kw_only=True)
class ResNetSettings:
    """The sizes; as they stand, WeSpeaker's ResNet-34 with 6.6 million parameters."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_bands: int = 80
    channels: int = 32  # of the first layer; each further layer has twice as many
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    dimension: int = 256

    def __post_init__(self) -> None:
        if not all(1 <= size <= MAX_SIZE for size in (self.num_bands, self.channels, self.dimension, *self.blocks)):
            raise ValueError(f"sizes must be from 1 to {MAX_SIZE}")
        if self.num_bands % 8:
            raise ValueError(f"num_bands {self.num_bands} must be a multiple of 8: three layers halve them")

    @property
    def min_frames(self) -> int:
        """The least of which two are left for the deviation at the end."""
        return 9


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(StridedPointwise(in_channels, channels, stride), nn.BatchNorm2d(channels))

    def forward(self, x_BCMT: Tensor, length_B: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, C, M, T) at half the bands and frames where there is a stride, and how many frames are then valid."""
        strided_B = after_stride(length_B, self.stride)
        out_BCMT = silent_after(F.relu(self.bn1(self.conv1(x_BCMT))), strided_B)
        out_BCMT = F.relu(self.bn2(self.conv2(out_BCMT)) + self.shortcut(x_BCMT))
        return silent_after(out_BCMT, strided_B), strided_B


@final
class ResNet(nn.Module):
    """From filter banks to vectors. Names of parameters are WeSpeaker's."""

    def __init__(self, settings: ResNetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.channels * 2**i for i in range(4)]
        self.conv1 = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = [widths[0], *widths]
        layers = [_layer(before[i], widths[i], num_blocks=settings.blocks[i], stride=STRIDES[i]) for i in range(4)]
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.seg_1 = nn.Linear(2 * widths[3] * settings.num_bands // 8, settings.dimension)

    @property
    def layers(self) -> list[BasicBlock]:
        """All blocks in order."""
        named = (self.layer1, self.layer2, self.layer3, self.layer4)
        return [block for layer in named for block in layer if isinstance(block, BasicBlock)]

    def products_in(self, dtype: torch.dtype) -> Self:
        """With its convolutions in this type; normalisation, pooling and the last layer stay in float32."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(dtype)
        return self

    def forward(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, not normalised, of utterances of so many valid frames each; None: of all frames.

        An utterance has `settings.min_frames` at least.
        """
        if length_B is not None and bool((length_B == feats_BTM.shape[1]).all()):
            length_B = None
        x_BCMT = silent_after(feats_BTM.transpose(1, 2)[:, None], length_B).to(self.conv1.weight.dtype)
        x_BCMT = x_BCMT.contiguous(memory_format=torch.channels_last)
        x_BCMT = silent_after(F.relu(self.bn1(self.conv1(x_BCMT))), length_B)
        for block in self.layers:
            x_BCMT, length_B = block(x_BCMT, length_B)
        vector: Tensor = self.seg_1(statistics(x_BCMT, length_B))
        return vector


def after_stride(length_B: Tensor | None, stride: int) -> Tensor | None:
    """How many frames are left of so many."""
    return length_B if length_B is None or stride == 1 else (length_B - 1) // stride + 1


def silent_after(x_BCMT: Tensor, length_B: Tensor | None) -> Tensor:
    """With zeros beyond each utterance's end."""
    if length_B is None:
        return x_BCMT
    return x_BCMT * is_valid(length_B, x_BCMT.shape[3])[:, None, None]


def statistics(x_BCMT: Tensor, length_B: Tensor | None) -> Tensor:
    """Mean and deviation over time of each channel and band (B, 2 C M), in float32; beyond the ends are zeros."""
    x_BCMT = x_BCMT.float()
    num_B11 = x_BCMT.shape[3] if length_B is None else length_B[:, None, None]
    mean_BCM = x_BCMT.sum(dim=3) / num_B11
    away_BCMT = silent_after(x_BCMT - mean_BCM[..., None], length_B)
    variance_BCM = away_BCMT.square().sum(dim=3) / (num_B11 - 1)
    return torch.cat([mean_BCM.flatten(1), (variance_BCM + VARIANCE_FLOOR).sqrt().flatten(1)], dim=1)


def resnet_from_wespeaker(state: Mapping[str, Tensor]) -> ResNet:
    """WeSpeaker's ResNet of these weights (its `avg_model.pt`), for inference; sizes are read off the weights.

    The layer that told training speakers apart is left out. Raises ExtractorError for weights of another network.
    """
    ours = {key: tensor for key, tensor in state.items() if not key.startswith("projection.")}
    try:
        network = ResNet(_settings_of(ours))
        network.load_state_dict(ours)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ExtractorError(f"not WeSpeaker's ResNet: {reason}; expected one of basic blocks with TSTP") from error
    return network.eval()


def _layer(in_channels: int, channels: int, *, num_blocks: int, stride: int) -> nn.Sequential:
    blocks = [BasicBlock(in_channels, channels, stride)]
    blocks += [BasicBlock(channels, channels, 1) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)


def _settings_of(state: Mapping[str, Tensor]) -> ResNetSettings:
    channels, pooled = state["conv1.weight"].shape[0], state["seg_1.weight"].shape[1]
    counts = [len({key.split(".")[1] for key in state if key.startswith(f"layer{i}.")}) for i in range(1, 5)]
    return ResNetSettings(
        num_bands=pooled // (2 * channels),
        channels=channels,
        blocks=(counts[0], counts[1], counts[2], counts[3]),
        dimension=state["seg_1.weight"].shape[0],
    )
