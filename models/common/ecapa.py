"""ECAPA-TDNN (arXiv:2005.07143) in the shape that SpeechBrain gives it, whose published weights load.

Against the paper: batch normalisation comes after the ReLU, as SpeechBrain has it, and convolutions see the utterance
mirrored at its ends instead of zeros. Each utterance of a batch is mirrored at its own end, and what follows its end
enters neither squeeze and excitation nor pooling: a batch gives the vectors that one by one gives. In training, batch
normalisation does see it: train on crops of one length.

Shape letters: B batch, T frames, M mel bands, C channels, A attention channels, D embedding.
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

MAX_SIZE = 2**16  # beyond it a network is a mistake
STD_FLOOR = 1e-12  # of a variance in the pooling


@dataclass(frozen=True, kw_only=True)
class EcapaSettings:
    """The sizes; as they stand, SpeechBrain's and the paper's large network (C = 1024)."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    num_bands: int = 80
    channels: int = 1024
    pooled_channels: int = 3072  # after the outputs of all blocks are joined
    kernel_sizes: tuple[int, ...] = (5, 3, 3, 3, 1)  # first layer, the blocks, the layer that joins them
    dilations: tuple[int, ...] = (1, 2, 3, 4, 1)
    attention_channels: int = 128
    scale: int = 8  # pieces that a block's channels are cut into
    se_channels: int = 128
    dimension: int = 192

    def __post_init__(self) -> None:
        widths = (self.num_bands, self.channels, self.pooled_channels, self.attention_channels, self.se_channels)
        if not all(1 <= size <= MAX_SIZE for size in (*widths, self.dimension, *self.kernel_sizes, *self.dilations)):
            raise ValueError(f"sizes must be from 1 to {MAX_SIZE}")
        if len(self.kernel_sizes) != len(self.dilations) or len(self.kernel_sizes) < 3:
            raise ValueError(
                f"{len(self.kernel_sizes)} kernel_sizes, {len(self.dilations)} dilations must be as many, 3+"
            )
        if self.scale < 2 or self.channels % self.scale:
            raise ValueError(f"channels {self.channels} must be a multiple of scale {self.scale}, which is 2 or more")
        if any(size % 2 == 0 for size in self.kernel_sizes):
            raise ValueError(f"kernel_sizes {self.kernel_sizes} must be odd")

    @property
    def min_frames(self) -> int:
        """The least that can be mirrored at its ends by as much as the widest convolution reaches."""
        return 1 + max(size // 2 * dilation for size, dilation in zip(self.kernel_sizes, self.dilations, strict=True))


class TdnnBlock(nn.Module):
    """Convolution over mirrored ends, ReLU, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.reach = kernel_size // 2 * dilation  # frames to either side
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x_BCT: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, C, T); frames beyond an utterance's end are no longer what they were."""
        out: Tensor = self.norm(F.relu(self.conv(mirrored(x_BCT, self.reach, length_B))))
        return out


class Res2NetBlock(nn.Module):
    """The channels in pieces, each seen together with what came of the piece before."""

    def __init__(self, channels: int, scale: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        piece = channels // scale
        self.blocks = nn.ModuleList(TdnnBlock(piece, piece, kernel_size, dilation) for _ in range(scale - 1))

    @property
    def layers(self) -> list[TdnnBlock]:
        """One for each piece but the first."""
        return [block for block in self.blocks if isinstance(block, TdnnBlock)]

    def forward(self, x_BCT: Tensor, length_B: Tensor | None) -> Tensor:
        """(B, C, T)."""
        first, *pieces = x_BCT.chunk(len(self.blocks) + 1, dim=1)
        out = [first]
        for block, piece in zip(self.layers, pieces, strict=True):
            out.append(block(piece if len(out) == 1 else piece + out[-1], length_B))
        return torch.cat(out, dim=1)


class SeBlock(nn.Module):
    """Squeeze and excitation: each channel weighed by what the mean frame says."""

    def __init__(self, channels: int, se_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, se_channels, 1)
        self.conv2 = nn.Conv1d(se_channels, channels, 1)

    def forward(self, x_BCT: Tensor, valid_B1T: Tensor | None) -> Tensor:
        """(B, C, T)."""
        if valid_B1T is None:
            mean_BC1 = x_BCT.mean(dim=2, keepdim=True)
        else:
            total_BC1 = (x_BCT * valid_B1T).sum(dim=2, keepdim=True, dtype=torch.float32)
            mean_BC1 = (total_BC1 / valid_B1T.sum(dim=2, keepdim=True)).to(x_BCT.dtype)
        return x_BCT * torch.sigmoid(self.conv2(F.relu(self.conv1(mean_BC1))))


class SeRes2NetBlock(nn.Module):
    """A block of the paper's figure 2."""

    def __init__(self, settings: EcapaSettings, kernel_size: int, dilation: int) -> None:
        super().__init__()
        channels = settings.channels
        self.tdnn1 = TdnnBlock(channels, channels)
        self.res2net_block = Res2NetBlock(channels, settings.scale, kernel_size, dilation)
        self.tdnn2 = TdnnBlock(channels, channels)
        self.se_block = SeBlock(channels, settings.se_channels)

    def forward(self, x_BCT: Tensor, length_B: Tensor | None, valid_B1T: Tensor | None) -> Tensor:
        """(B, C, T)."""
        out: Tensor = self.tdnn2(self.res2net_block(self.tdnn1(x_BCT), length_B))
        out = self.se_block(out, valid_B1T)
        return out + x_BCT


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over time, weighed for each channel (the paper's eq. 2 and 3), in float32.

    The attention sees each frame beside the plain mean and deviation of all; as these are one for all frames, their
    share of the product is computed once and not for each frame.
    """

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.tdnn = TdnnBlock(3 * channels, attention_channels)
        self.conv = nn.Conv1d(attention_channels, channels, 1)

    def forward(self, x_BCT: Tensor, valid_B1T: Tensor | None) -> Tensor:
        """(B, 2 C)."""
        x_BCT = x_BCT.float()
        share_B1T = x_BCT.new_ones(1, 1, x_BCT.shape[2]) if valid_B1T is None else valid_B1T.float()
        mean_BC, std_BC = _statistics(x_BCT, share_B1T / share_B1T.sum(dim=2, keepdim=True))
        channels, weight = x_BCT.shape[1], self.tdnn.conv.weight
        of_all_BA = F.linear(torch.cat([mean_BC, std_BC], dim=1), weight[:, channels:, 0], self.tdnn.conv.bias)
        hidden_BAT = F.conv1d(x_BCT, weight[:, :channels]) + of_all_BA[..., None]
        score_BCT = self.conv(torch.tanh(self.tdnn.norm(F.relu(hidden_BAT))).to(self.conv.weight.dtype)).float()
        if valid_B1T is not None:
            score_BCT = score_BCT.masked_fill(~valid_B1T, -torch.inf)
        return torch.cat(_statistics(x_BCT, score_BCT.softmax(dim=2)), dim=1)


@final
class Ecapa(nn.Module):
    """From filter banks to vectors."""

    def __init__(self, settings: EcapaSettings) -> None:
        super().__init__()
        self.settings = settings
        shapes = list(zip(settings.kernel_sizes, settings.dilations, strict=True))
        self.blocks = nn.ModuleList([TdnnBlock(settings.num_bands, settings.channels, *shapes[0])])
        self.blocks.extend(SeRes2NetBlock(settings, *shape) for shape in shapes[1:-1])
        self.mfa = TdnnBlock(settings.channels * (len(shapes) - 2), settings.pooled_channels, *shapes[-1])
        self.asp = AttentiveStatistics(settings.pooled_channels, settings.attention_channels)
        self.asp_bn = nn.BatchNorm1d(2 * settings.pooled_channels)
        self.fc = nn.Conv1d(2 * settings.pooled_channels, settings.dimension, 1)

    @property
    def stack(self) -> tuple[TdnnBlock, list[SeRes2NetBlock]]:
        """The first layer, and the blocks after it."""
        first = next(block for block in self.blocks if isinstance(block, TdnnBlock))
        return first, [block for block in self.blocks if isinstance(block, SeRes2NetBlock)]

    def products_in(self, dtype: torch.dtype) -> Self:
        """With its convolutions in this type; normalisation, pooling and the last layer stay in float32."""
        for part in (self.blocks, self.mfa, self.asp.conv):
            for layer in part.modules():
                if isinstance(layer, nn.Conv1d):
                    layer.to(dtype)
        return self

    def forward(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, not normalised, of utterances of so many valid frames each; None: of all frames.

        An utterance has `settings.min_frames` at least.
        """
        return self.embedded(self.pooled(feats_BTM, length_B))

    def pooled(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> Tensor:
        """(B, 2 C) in float32: what the attentive statistics pooling gives of such utterances."""
        num_frames = feats_BTM.shape[1]
        if length_B is not None and bool((length_B == num_frames).all()):
            length_B = None
        valid_B1T = None if length_B is None else is_valid(length_B, num_frames)[:, None]
        first, blocks = self.stack
        x_BCT = first(feats_BTM.transpose(1, 2).to(first.conv.weight.dtype), length_B)
        outs = []
        for block in blocks:
            x_BCT = block(x_BCT, length_B, valid_B1T)
            outs.append(x_BCT)
        pooled_BC: Tensor = self.asp(self.mfa(torch.cat(outs, dim=1), length_B), valid_B1T)
        return pooled_BC

    def embedded(self, pooled_BC: Tensor) -> Tensor:
        """(B, D): the last layer."""
        return F.linear(self.asp_bn(pooled_BC), self.fc.weight[..., 0], self.fc.bias)


def mirrored(x_BCT: Tensor, reach: int, length_B: Tensor | None) -> Tensor:
    """Each utterance continued by `reach` frames at its ends as in a mirror that stands in its last frame."""
    if reach == 0:
        return x_BCT
    padded_BCT = F.pad(x_BCT, (reach, reach), mode="reflect").to(x_BCT.dtype)  # autocast pads in float32
    if length_B is None:
        return padded_BCT
    row_B1 = torch.arange(len(length_B), device=x_BCT.device)[:, None]
    away_1R = torch.arange(1, reach + 1, device=x_BCT.device)
    last_B1 = length_B[:, None] - 1
    padded_BCT[row_B1, :, reach + last_B1 + away_1R] = x_BCT[row_B1, :, last_B1 - away_1R]
    return padded_BCT


def ecapa_from_speechbrain(state: Mapping[str, Tensor], *, dilations: tuple[int, ...] = (1, 2, 3, 4, 1)) -> Ecapa:
    """SpeechBrain's network of these weights (its `embedding_model.ckpt`), for inference.

    Sizes are read off the weights. Raises ExtractorError for weights of another network.
    """
    try:
        ours = {_our_key(key): tensor for key, tensor in state.items()}
        network = Ecapa(_settings_of(ours, dilations))
        network.load_state_dict(ours)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ExtractorError(f"not SpeechBrain's ECAPA_TDNN: {reason}; expected its weights, without groups") from error
    return network.eval()


def _our_key(key: str) -> str:
    """SpeechBrain wraps each layer once more: `fc.conv.weight` is our `fc.weight`."""
    *layer, _, name = key.split(".")
    return ".".join([*layer, name])


def _settings_of(state: Mapping[str, Tensor], dilations: tuple[int, ...]) -> EcapaSettings:
    num_blocks = len(dilations) - 2
    first = state["blocks.0.conv.weight"]
    piece = state["blocks.1.res2net_block.blocks.0.conv.weight"]
    inner = [state[f"blocks.{i}.res2net_block.blocks.0.conv.weight"].shape[2] for i in range(1, num_blocks + 1)]
    joined, attention = state["mfa.conv.weight"], state["asp.tdnn.conv.weight"]
    return EcapaSettings(
        num_bands=first.shape[1],
        channels=first.shape[0],
        pooled_channels=joined.shape[0],
        kernel_sizes=(first.shape[2], *inner, joined.shape[2]),
        dilations=dilations,
        attention_channels=attention.shape[0],
        scale=first.shape[0] // piece.shape[0],
        se_channels=state["blocks.1.se_block.conv1.weight"].shape[0],
        dimension=state["fc.weight"].shape[0],
    )


def _statistics(x_BCT: Tensor, share_BCT: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, C) over time, where each frame counts for its share."""
    mean_BC = (share_BCT * x_BCT).sum(dim=2)
    variance_BC = (share_BCT * (x_BCT - mean_BC[..., None]).square()).sum(dim=2)
    return mean_BC, variance_BC.clamp(min=STD_FLOOR).sqrt()
