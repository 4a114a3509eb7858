"""wav2vec 2.0 as two tasks share it, and what makes a speaker embedding of one of its layers.

The network is that of `transformers` (BASE, arXiv:2006.11477): its modules, weights and names, called here one by one,
for four reasons.

- A batch gives what one by one gives. The library's group norm averages over padding; ours over the valid samples of
  each utterance alone, and attention sees only these. The authors mask attention, and the norm hears the padding.
- All that a training step draws is drawn by torch, which the engine seeds. The library draws its masks by numpy.
- A layer that LayerDrop leaves out gives what it was given: the output of layer 6 is that of layer 6.
- Layers above the highest that is asked for are not computed.

The convolutions over the waveform are frozen for good (section 4.2), and run without a graph. The first, whose input is
the waveform, is in float32 under autocast too: eight bits are audible there.

Layer 0 is what enters the first transformer layer, layer k what leaves the k-th, as for
`models.extractors.transformers`.

Shape letters: B batch, N samples, C channels, T frames, D width of the network or embedding.
"""

from collections.abc import Collection
from dataclasses import asdict
from math import prod
from typing import Annotated, Any, Literal, final

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torch.nn import functional as F

from curate.corpora.described import STRICT
from models.common.classification import precise
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.features import is_valid
from models.extractors.transformers import receptive_field

Pooling = Literal["mean", "first", "ecapa"]
VARIANCE_FLOOR = 1e-7  # of a waveform's variance, added to it, as in Wav2Vec2FeatureExtractor
Size = Annotated[int, Field(ge=1, le=2**16)]  # beyond it a network is a mistake
Share = Annotated[float, Field(ge=0, lt=1)]


@validated(frozen=True, kw_only=True, config=STRICT)
class Wav2Vec2Settings:
    """Sizes, and what training drops and masks, by the names of `Wav2Vec2Config`; as they stand, those of BASE.

    What is dropped is the library's default (a share of 0.1 everywhere, of whole layers too), and 0.1 of the projected
    features, as in the folder facebook/wav2vec2-base. That folder drops no layers, and nor does the authors' code, but
    the paper does. Masks are the library's, and have the authors' share: 5 % of frames, in spans of 10, two at least.
    """

    hidden_size: Size = 768
    num_hidden_layers: Size = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = 3072
    conv_dim: tuple[Size, ...] = (512, 512, 512, 512, 512, 512, 512)
    conv_kernel: tuple[Size, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[Size, ...] = (5, 2, 2, 2, 2, 2, 2)
    num_conv_pos_embeddings: Size = 128
    num_conv_pos_embedding_groups: Size = 16
    hidden_dropout: Share = 0.1
    activation_dropout: Share = 0.1
    attention_dropout: Share = 0.1
    feat_proj_dropout: Share = 0.1
    layerdrop: Share = 0.1
    mask_time_prob: Share = 0.05
    mask_time_length: Size = 10
    mask_time_min_masks: int = Field(default=2, ge=0)
    do_normalize: bool = True  # a waveform to mean 0 and variance 1, as in preprocessor_config.json

    def __post_init__(self) -> None:
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride) > 0:
            raise ValueError("conv_dim, conv_kernel and conv_stride; expected as many of each, one at least")
        for divisor in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % getattr(self, divisor):
                told = f"hidden_size {self.hidden_size}, {divisor} {getattr(self, divisor)}"
                raise ValueError(f"{told}; expected the first to be a multiple of the second")

    def min_samples(self, num_frames: int) -> int:
        """The least waveform that has so many frames: 400 samples for one, 320 for each further one."""
        return receptive_field(self.conv_kernel, self.conv_stride) + (num_frames - 1) * prod(self.conv_stride)


@final
class Wav2Vec2(nn.Module):
    """From waveforms to the outputs of layers. Weights are drawn as the library draws them."""

    def __init__(self, settings: Wav2Vec2Settings) -> None:
        super().__init__()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.settings = settings
        config = Wav2Vec2Config(**{key: value for key, value in asdict(settings).items() if key != "do_normalize"})
        config._attn_implementation = "sdpa"  # which takes a mask of what is true
        self.model: Any = Wav2Vec2Model(config)
        self.model.feature_extractor.requires_grad_(False)

    def num_frames(self, samples_B: Tensor) -> Tensor:
        """(B,) of waveforms of so many samples."""
        for kernel, stride in zip(self.settings.conv_kernel, self.settings.conv_stride, strict=True):
            samples_B = (samples_B - kernel) // stride + 1
        return samples_B

    def forward(
        self, wave_BN: Tensor, samples_B: Tensor | None = None, *, layers: Collection[int]
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """(B, T, D) of each of these layers, and (B,) how many frames are valid; None: all. What follows is arbitrary.

        Each utterance has `settings.min_samples(1)` valid samples at least, followed by zeros.
        """
        if samples_B is not None and bool((samples_B == wave_BN.shape[1]).all()):
            samples_B = None
        x_BTC = self._heard(wave_BN, samples_B)
        frames_B = None if samples_B is None else self.num_frames(samples_B)
        x_BTD = self._masked(self.model.feature_projection(x_BTC)[0], frames_B)
        seen_B11T = None
        if frames_B is not None:
            valid_BT = is_valid(frames_B, x_BTD.shape[1])
            x_BTD = x_BTD.masked_fill(~valid_BT[..., None], 0)  # positions are told by a convolution, which sees them
            seen_B11T = valid_BT[:, None, None]
        encoder = self.model.encoder
        x_BTD = encoder.dropout(encoder.layer_norm(x_BTD + encoder.pos_conv_embed(x_BTD)))
        found = {0: x_BTD}
        for number, layer in enumerate(encoder.layers[: max(layers)], start=1):
            is_dropped = self.training and bool(torch.rand([]) < self.settings.layerdrop)
            if not is_dropped:
                x_BTD = layer(x_BTD, attention_mask=seen_B11T)
            found[number] = x_BTD
        return {number: found[number] for number in layers}, frames_B

    @torch.no_grad()
    def _heard(self, wave_BN: Tensor, samples_B: Tensor | None) -> Tensor:
        """(B, T, C): what the frozen convolutions give."""
        first, *others = self.model.feature_extractor.conv_layers
        with torch.autocast(wave_BN.device.type, enabled=False):
            if self.settings.do_normalize:
                wave_BN = normalised(wave_BN, samples_B)
            seen_BCT = first.conv(wave_BN[:, None])
            kernel, stride = self.settings.conv_kernel[0], self.settings.conv_stride[0]
            length_B = None if samples_B is None else (samples_B - kernel) // stride + 1
            x_BCT: Tensor = first.activation(channel_norm(seen_BCT, length_B, first.layer_norm))
        for layer in others:
            x_BCT = layer(x_BCT)
        return x_BCT.transpose(1, 2)

    def _masked(self, x_BTD: Tensor, frames_B: Tensor | None) -> Tensor:
        """In training, spans of frames as the one vector that is learnt to stand for them."""
        settings = self.settings
        if not self.training or settings.mask_time_prob == 0:
            return x_BTD
        length_B = x_BTD.new_full((len(x_BTD),), x_BTD.shape[1], dtype=torch.long) if frames_B is None else frames_B
        is_masked_BT = spans(
            length_B,
            x_BTD.shape[1],
            share=settings.mask_time_prob,
            span=settings.mask_time_length,
            least=settings.mask_time_min_masks,
        )
        return torch.where(is_masked_BT[..., None], self.model.masked_spec_embed.to(x_BTD.dtype), x_BTD)


def normalised(wave_BN: Tensor, samples_B: Tensor | None) -> Tensor:
    """Each waveform at mean 0 and variance 1 over its valid samples; zeros after them."""
    if samples_B is None:
        mean_B1 = wave_BN.mean(dim=1, keepdim=True)
        return (wave_BN - mean_B1) / (wave_BN.var(dim=1, keepdim=True, correction=0) + VARIANCE_FLOOR).sqrt()
    valid_BN = is_valid(samples_B, wave_BN.shape[1])
    centred_BN = (wave_BN - (wave_BN * valid_BN).sum(dim=1, keepdim=True) / samples_B[:, None]) * valid_BN
    variance_B1 = centred_BN.square().sum(dim=1, keepdim=True) / samples_B[:, None]
    return centred_BN / (variance_B1 + VARIANCE_FLOOR).sqrt()


def channel_norm(x_BCT: Tensor, length_B: Tensor | None, norm: nn.GroupNorm) -> Tensor:
    """A group norm whose groups are single channels, over the first frames of each utterance alone."""
    if length_B is None:
        normal_BCT: Tensor = norm(x_BCT)
        return normal_BCT
    valid_B1T = is_valid(length_B, x_BCT.shape[2])[:, None]
    mean_BC1 = (x_BCT * valid_B1T).sum(dim=2, keepdim=True) / length_B[:, None, None]
    centred_BCT = x_BCT - mean_BC1
    variance_BC1 = (centred_BCT * valid_B1T).square().sum(dim=2, keepdim=True) / length_B[:, None, None]
    return centred_BCT * (norm.weight[:, None] * (variance_BC1 + norm.eps).rsqrt()) + norm.bias[:, None]


def spans(length_B: Tensor, num_frames: int, *, share: float, span: int, least: int) -> Tensor:
    """(B, T): which frames are masked: share * length / span spans at distinct places of each utterance, all inside it.

    Rounded up or down by chance, alike in a batch, and `least` at least, as far as they fit without lying over each
    other; no frame of an utterance that is shorter than a span. Like `_compute_mask_indices` of `transformers`, drawn
    by torch.
    """
    if num_frames < span:
        return torch.zeros(len(length_B), num_frames, dtype=torch.bool, device=length_B.device)
    chance_BS = torch.rand(len(length_B), num_frames - span + 1, device=length_B.device)
    num_B = (share * length_B / span + torch.rand((), device=length_B.device)).long().clamp(min=least)
    num_B = torch.minimum(num_B, length_B // span)
    inside_BS = is_valid(length_B - span + 1, chance_BS.shape[1])
    rank_BS = chance_BS.masked_fill(~inside_BS, -1).argsort(dim=1, descending=True).argsort(dim=1)
    begins_BS = (rank_BS < num_B[:, None]) & inside_BS
    reached = F.max_pool1d(F.pad(begins_BS.float()[:, None], (span - 1, span - 1)), span, stride=1)
    return reached[:, 0] > 0


@final
class SpeakerPooling(nn.Module):
    """From the frames of a layer to a speaker embedding (section 3.1.2).

    The mean of the frames, the first of them, or ECAPA-TDNN with an embedding of 192. Frames beyond an utterance's end
    enter none of them; in training, though, ECAPA's batch normalisation sees them: crops have one length.
    """

    def __init__(self, pooling: Pooling, width: int, ecapa: EcapaSettings | None = None) -> None:
        """ECAPA has SpeechBrain's sizes where none are given. Raises ValueError for sizes that do not fit."""
        super().__init__()
        if ecapa is not None and pooling != "ecapa":
            raise ValueError(f"ecapa: sizes with pooling {pooling}; expected none")
        if ecapa is not None and ecapa.num_bands != width:
            raise ValueError(f"ecapa.num_bands {ecapa.num_bands}; expected {width}, the width of the network")
        self.pooling: Pooling = pooling
        self.ecapa = Ecapa(ecapa or EcapaSettings(num_bands=width)) if pooling == "ecapa" else None
        self.dimension = width if self.ecapa is None else self.ecapa.settings.dimension
        self.min_frames = 1 if self.ecapa is None else self.ecapa.settings.min_frames

    def forward(self, x_BTD: Tensor, frames_B: Tensor | None) -> Tensor:
        """(B, D), of `min_frames` valid frames at least."""
        if self.ecapa is not None:
            vector_BD: Tensor = self.ecapa(x_BTD, frames_B)
            return vector_BD
        return precise(x_BTD[:, 0]) if self.pooling == "first" else mean_of_frames(x_BTD, frames_B)


def mean_of_frames(x_BTD: Tensor, frames_B: Tensor | None) -> Tensor:
    """(B, D) in float32 at least: the mean of the valid frames."""
    x_BTD = precise(x_BTD)
    if frames_B is None:
        return x_BTD.mean(dim=1)
    valid_BT = is_valid(frames_B, x_BTD.shape[1])
    return x_BTD.masked_fill(~valid_BT[..., None], 0).sum(dim=1) / frames_B[:, None]
