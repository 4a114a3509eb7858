"""RawNet2 (Jung et al. 2020, arXiv:2004.00526): from the samples of a wave to a vector.

Each wave is normalised in mean and deviation, seen by 128 band-pass filters whose cut-offs are learnt (SincNet,
arXiv:1808.00158), and pooled; six residual blocks follow, each of which ends in feature map scaling (FMS); a GRU reads
the frames that are left, and its last state gives the embedding. What the paper leaves out is as the authors have it
(github.com/Jungjee/RawNet, python/RawNet2): the magnitude of what a filter gives is pooled, leaky ReLUs have a slope of
0.3, a first block whose input has just been normalised does not do so again, convolutions have biases, weights begin as
theirs do. FMS is the paper's best: with one scale vector s of the mean frame, x * s + s.

Of 59,049 samples (3.69 s), what the authors crop in training; a pool of 3 drops a rest:

    layer                                    out              parameters
    input normalisation                      59,049           0, or 118,098 with its published weights (`places`)
    128 filters of 251 samples, pool 3       19,599 x 128     256, and 256 of batch normalisation
    block of 128, pool 3, FMS                 6,533 x 128     115,328
    block of 128, pool 3, FMS                 2,177 x 128     115,584
    block of 256, pool 3, FMS                   725 x 256     395,008
    three of 256, pool 3, FMS           241, 80, 26 x 256     460,544 each
    GRU                                           1,024       512 of batch normalisation, 3,938,304
    embedding                                       512       524,800; 1,049,600 of the published 1,024

6,471,680 in all; 7,114,578 as published (`PUBLISHED`), and 13,379,378 with the layer of the 6,112 people whom the
published weights tell apart. Shapes and counts are those that the authors' published code has when it is run; on the
same weights and waves its vectors are ours to 1e-5. No table of them was found in print.

Against the authors: their input normalisation has a weight and a bias for each of the 59,049 places, which no wave of
another length has; there is none unless `places` asks, and longer waves then begin again at the first place. Their
window is a Hamming window to 3e-5; ours is one. Their cut-offs cross where an optimiser drives one past half the sample
rate; ours stop before.

Each utterance of a batch has its own ends: a batch gives the vectors that one by one gives. In training, batch
normalisation sees what follows an end: train on crops of one length.

Shape letters: B batch, N samples, K samples of a filter, T frames, C channels, H units of the GRU, D embedding.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import ExtractorError
from models.common.features import SAMPLE_RATE_HZ, is_valid, mel

MAX_SIZE, MAX_BLOCKS = 2**16, 8  # beyond them a network is a mistake
SLOPE = 0.3  # of leaky ReLUs
POOL = 3
STD_FLOOR = 1e-6  # added to the deviation of a wave
MIN_LOW_HZ, MIN_BAND_HZ, MAX_HZ = 50.0, 50.0, SAMPLE_RATE_HZ / 2  # of the filters
FIRST_HZ, LAST_HZ = 30.0, MAX_HZ - MIN_LOW_HZ - MIN_BAND_HZ  # between them learnt frequencies begin, even in mel
EXPECTED = "expected the authors' RawNet2 of github.com/Jungjee/RawNet"


@dataclass(frozen=True, kw_only=True)
class RawNet2Settings:
    """The sizes; as they stand, the paper's but for the embedding, which the age paper has (arXiv:2301.09058)."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    filters: int = 128
    filter_size: int = 251  # samples
    channels: tuple[int, ...] = (128, 128, 256, 256, 256, 256)  # of each block
    gru_size: int = 1024
    places: int = 0  # samples with a weight and a bias of their own in the input normalisation
    dimension: int = 512

    def __post_init__(self) -> None:
        sizes = (self.filters, self.filter_size, *self.channels, self.gru_size, self.dimension)
        if not all(1 <= size <= MAX_SIZE for size in sizes) or not 0 <= self.places <= MAX_SIZE:
            raise ValueError(f"sizes must be from 1 to {MAX_SIZE}, places from 0")
        if not 1 <= len(self.channels) <= MAX_BLOCKS:
            raise ValueError(f"channels of {len(self.channels)} blocks must be of 1 to {MAX_BLOCKS}")
        if self.filter_size % 2 == 0:
            raise ValueError(f"filter_size {self.filter_size} must be odd")

    @property
    def num_bands(self) -> int:
        """Values of a sample: it hears a wave."""
        return 1

    @property
    def min_frames(self) -> int:
        """The least samples of which the GRU is left a frame: 2,437 for the paper's sizes."""
        return self.filter_size - 1 + int(POOL ** (1 + len(self.channels)))


PUBLISHED = RawNet2Settings(places=59_049, dimension=1024)


class InputNormalisation(nn.Module):
    """A wave without its mean, by its deviation; then a weight and a bias of each place, where there are any."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(places)) if places else None
        self.bias = nn.Parameter(torch.zeros(places)) if places else None

    def forward(self, wave_BN: Tensor, samples_B: Tensor | None) -> Tensor:
        """(B, N); what follows an end is not heard, and is no longer what it was."""
        if samples_B is None:
            std_B1, mean_B1 = torch.std_mean(wave_BN, dim=1, keepdim=True)
        else:
            valid_BN, num_B1 = is_valid(samples_B, wave_BN.shape[1]), samples_B[:, None]
            mean_B1 = wave_BN.masked_fill(~valid_BN, 0).sum(dim=1, keepdim=True) / num_B1
            away_BN = (wave_BN - mean_B1).masked_fill(~valid_BN, 0)
            std_B1 = (away_BN.square().sum(dim=1, keepdim=True) / (num_B1 - 1)).sqrt()
        normal_BN = (wave_BN - mean_B1) / (std_B1 + STD_FLOOR)
        if self.weight is None or self.bias is None:
            return normal_BN
        place_N = torch.arange(wave_BN.shape[1], device=wave_BN.device) % len(self.weight)
        return normal_BN * self.weight[place_N] + self.bias[place_N]


class SincFilters(nn.Module):
    """Band-pass filters, each of two learnt numbers (arXiv:1808.00158, eq. 4 to 6), convolved without padding.

    With cut-offs f1 < f2 in Hz, n samples from the middle and fs samples a second, under a Hamming window w:

        h[n] = (2 f2 sinc(2 f2 n / fs) - 2 f1 sinc(2 f1 n / fs)) / (2 (f2 - f1)) w[n],   sinc(x) = sin(pi x) / (pi x)

    so that h[0] = 1. f1 = 50 + |low_hz| and f2 = f1 + 50 + |band_hz|, at most 7950 and 8000: whatever is learnt, a band
    is at least 50 Hz wide and ends at half the sample rate at the latest.
    """

    def __init__(self, num_filters: int, size: int) -> None:
        super().__init__()
        self.size = size
        edges_mel = torch.linspace(mel(FIRST_HZ), mel(LAST_HZ), num_filters + 1, dtype=torch.float64)
        edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
        self.low_hz = nn.Parameter(edges_hz[:-1, None].float())
        self.band_hz = nn.Parameter(edges_hz.diff()[:, None].float())

    def cutoffs_hz(self) -> tuple[Tensor, Tensor]:
        """f1 and f2, (C, 1) each."""
        low_C1 = (MIN_LOW_HZ + self.low_hz.abs()).clamp(max=MAX_HZ - MIN_BAND_HZ)
        high_C1 = (low_C1 + MIN_BAND_HZ + self.band_hz.abs()).clamp(max=MAX_HZ)
        return low_C1, high_C1

    def filters(self) -> Tensor:
        """(C, K)."""
        low_C1, high_C1 = self.cutoffs_hz()
        place_K = torch.arange(-(self.size // 2), self.size // 2 + 1, dtype=low_C1.dtype, device=low_C1.device)
        window_K = torch.hamming_window(self.size, periodic=False, dtype=low_C1.dtype, device=low_C1.device)
        turns_K = 2 * place_K / SAMPLE_RATE_HZ
        ideal_CK: Tensor = high_C1 * torch.sinc(high_C1 * turns_K) - low_C1 * torch.sinc(low_C1 * turns_K)
        return ideal_CK / (high_C1 - low_C1) * window_K

    def forward(self, wave_BN: Tensor) -> Tensor:
        """(B, C, N - K + 1)."""
        return F.conv1d(wave_BN[:, None], self.filters()[:, None])


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, normalised before each; pooled by 3, its channels then scaled."""

    def __init__(self, in_channels: int, channels: int, *, is_first: bool) -> None:
        super().__init__()
        self.bn1 = None if is_first else nn.BatchNorm1d(in_channels)
        self.conv1 = nn.Conv1d(in_channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)
        self.shortcut = nn.Conv1d(in_channels, channels, 1) if in_channels != channels else None
        self.scale = nn.Linear(channels, channels)

    def forward(self, x_BCT: Tensor, length_B: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, C, T), a third of the frames, and how many of them are then valid."""
        out_BCT = x_BCT if self.bn1 is None else _leaky(self.bn1(x_BCT))
        out_BCT = _leaky(self.bn2(self.conv1(_silent_after(out_BCT, length_B))))
        out_BCT = self.conv2(_silent_after(out_BCT, length_B))
        out_BCT = out_BCT + (x_BCT if self.shortcut is None else self.shortcut(x_BCT))
        pooled_B = None if length_B is None else length_B // POOL
        return self._scaled(F.max_pool1d(out_BCT, POOL), pooled_B), pooled_B

    def _scaled(self, x_BCT: Tensor, length_B: Tensor | None) -> Tensor:
        """Feature map scaling: each channel by what the mean frame says of it, which is then added."""
        if length_B is None:
            mean_BC = x_BCT.mean(dim=2, dtype=torch.float32)
        else:
            mean_BC = _silent_after(x_BCT, length_B).sum(dim=2, dtype=torch.float32) / length_B[:, None]
        scale_BC1 = torch.sigmoid(self.scale(mean_BC)).to(x_BCT.dtype)[..., None]
        return x_BCT * scale_BC1 + scale_BC1


@final
class RawNet2(nn.Module):
    """From waves at 16 kHz to vectors."""

    def __init__(self, settings: RawNet2Settings) -> None:
        super().__init__()
        self.settings = settings
        self.norm = InputNormalisation(settings.places)
        self.sinc = SincFilters(settings.filters, settings.filter_size)
        self.first_bn = nn.BatchNorm1d(settings.filters)
        before = (settings.filters, *settings.channels)
        shapes = enumerate(zip(before, settings.channels, strict=False))
        self.blocks = nn.ModuleList(ResidualBlock(*shape, is_first=i == 0) for i, shape in shapes)
        self.bn_before_gru = nn.BatchNorm1d(settings.channels[-1])
        self.gru = nn.GRU(settings.channels[-1], settings.gru_size, batch_first=True)
        self.embedding = nn.Linear(settings.gru_size, settings.dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, a=0.01)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 1e-4)

    @property
    def layers(self) -> list[ResidualBlock]:
        """All blocks in order."""
        return [block for block in self.blocks if isinstance(block, ResidualBlock)]

    def products_in(self, dtype: torch.dtype) -> Self:
        """With the convolutions of its blocks in this type; the filters, scales, GRU and embedding stay in float32."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d):
                layer.to(dtype)
        return self

    def forward(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, not normalised, of waves of so many valid samples each; None: of all samples.

        A wave has `settings.min_frames` samples at least. What comes before the blocks and after them is in float32
        under autocast, too.
        """
        length_B = samples_B
        if length_B is not None and bool((length_B == wave_BN.shape[1]).all()):
            length_B = None
        with torch.autocast(wave_BN.device.type, enabled=False):
            seen_BCN = self.sinc(self.norm(wave_BN.float(), length_B))
            x_BCT = _leaky(self.first_bn(F.max_pool1d(seen_BCN.abs(), POOL)))
        if length_B is not None:
            length_B = (length_B - self.sinc.size + 1) // POOL
        x_BCT = x_BCT.to(self.layers[0].conv1.weight.dtype)
        for block in self.layers:
            x_BCT, length_B = block(x_BCT, length_B)
        with torch.autocast(wave_BN.device.type, enabled=False):
            states_BTH, _ = self.gru(_leaky(self.bn_before_gru(x_BCT.float())).transpose(1, 2))
            if length_B is None:
                last_BH = states_BTH[:, -1]
            else:
                last_BH = states_BTH[torch.arange(len(length_B), device=length_B.device), length_B - 1]
            vector_BD: Tensor = self.embedding(last_BH)
        return vector_BD


def _leaky(x_BCT: Tensor) -> Tensor:
    return F.leaky_relu(x_BCT, SLOPE)


def _silent_after(x_BCT: Tensor, length_B: Tensor | None) -> Tensor:
    """With zeros beyond each utterance's end."""
    if length_B is None:
        return x_BCT
    return x_BCT.masked_fill(~is_valid(length_B, x_BCT.shape[2])[:, None], 0)


# ------------------------------------------------------------------------------------------ weights of the authors

OUR_NAMES = (  # of names as their two versions of the code give them
    (r"ln\.gamma", "norm.weight"),
    (r"ln\.beta", "norm.bias"),
    (r"first_conv\.(low|band)_hz_", r"sinc.\1_hz"),
    (r"block(\d+)\.0\.(bn1|conv1|bn2|conv2)\.(\w+)", r"blocks.\1.\2.\3"),
    (r"block(\d+)\.0\.conv_downsample\.(\w+)", r"blocks.\1.shortcut.\2"),
    (r"block(\d+)\.0\.frm\.fc\.(\w+)", r"blocks.\1.scale.\2"),
    (r"fc_attention(\d+)\.0\.(\w+)", r"blocks.\1.scale.\2"),
    (r"((?:first_bn|bn_before_gru|gru)\.\w+)", r"\1"),
    (r"fc1_gru\.(\w+)", r"embedding.\1"),
)


def rawnet2_from_published(state: Mapping[str, Tensor]) -> RawNet2:
    """The authors' network of these weights (their `rawnet2_best_weights.pt`), for inference; sizes are read off them.

    The layer that told training speakers apart (`fc2_gru`) is left out; all others must be there and none too many.
    Filters are taken to have 251 samples, which no weight tells. Raises ExtractorError for weights of another network.
    """
    ours = {_our_name(name): tensor for name, tensor in state.items() if not name.startswith("fc2_gru.")}
    try:
        network = RawNet2(_settings_of(ours))
        network.load_state_dict(ours)
    except KeyError as error:
        raise ExtractorError(f"not RawNet2: {error.args[0]} is missing; {EXPECTED}") from error
    except (ValueError, RuntimeError, IndexError) as error:
        raise ExtractorError(f"not RawNet2: {str(error).splitlines()[-1].strip()}; {EXPECTED}") from error
    return network.eval()


def _our_name(name: str) -> str:
    """One that is none of theirs stays, for the network to refuse."""
    for theirs, ours in OUR_NAMES:
        if found := re.fullmatch(theirs, name):
            return found.expand(ours)
    return name


def _settings_of(state: Mapping[str, Tensor]) -> RawNet2Settings:
    num_blocks = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    return RawNet2Settings(
        filters=state["sinc.low_hz"].shape[0],
        channels=tuple(state[f"blocks.{i}.conv2.weight"].shape[0] for i in range(num_blocks)),
        gru_size=state["gru.weight_hh_l0"].shape[1],
        places=state["norm.weight"].shape[0],
        dimension=state["embedding.weight"].shape[0],
    )
