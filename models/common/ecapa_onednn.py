"""ECAPA-TDNN for inference on a processor: the network of ecapa.py, one utterance at a time, no masks.

Frames are rows, so that a layer of one frame is a plain product of matrices; mirrored ends are a few rows copied; the
pooling goes through memory in stripes of channels that fit into the cache. Batch normalisation after a ReLU cannot be
folded into the layer before it; as one multiply-add it costs less than a hundredth of the layer.

Shape letters: T frames, M mel bands, C channels, P channels of a piece, D embedding.
"""

from typing import final

import torch
from torch import Tensor

from models.common.ecapa import STD_FLOOR, Ecapa, Res2NetBlock, SeBlock, SeRes2NetBlock, TdnnBlock
from models.common.onednn import Conv2d, Linear, affine, bias_of

STRIPE = 256  # channels: with 10 s of frames about 1 MB, the second cache of one core


@final
class FastEcapa:
    """The function that an `Ecapa` in evaluation mode computes, with its weights as they are now."""

    def __init__(self, network: Ecapa, dtype: torch.dtype = torch.float32) -> None:
        first, blocks = network.stack
        self._dtype = dtype
        self._first = _Tdnn(first, dtype)
        self._blocks = [_SeRes2Net(block, dtype) for block in blocks]
        self._join = Linear(network.mfa.conv.weight[..., 0], bias_of(network.mfa.conv), dtype=dtype, relu=True)
        self._pool = _Pooling(network, dtype)
        scale_C, shift_C = affine(network.asp_bn)
        weight_DC, bias_D = network.fc.weight.detach()[..., 0], bias_of(network.fc)
        self._vector = Linear(weight_DC * scale_C, weight_DC @ shift_C + bias_D, dtype=torch.float32)

    def __call__(self, feats_TM: Tensor) -> Tensor:
        """The vector (D,) in float32, not normalised, of the valid frames of one utterance; `min_frames` at least."""
        x_TC = self._first(feats_TM.to(self._dtype))
        outs = []
        for block in self._blocks:
            x_TC = block(x_TC)
            outs.append(x_TC)
        return self._vector(self._pool(self._join(torch.cat(outs, dim=1)))[None])[0]


class _Tdnn:
    """Convolution, ReLU, batch normalisation in place."""

    def __init__(self, block: TdnnBlock, dtype: torch.dtype) -> None:
        self.reach = block.reach
        weight, bias = block.conv.weight, bias_of(block.conv)
        self._scale_C, self._shift_C = (affine.to(dtype) for affine in affine(block.norm))
        self._convolve: Linear | Conv2d
        if weight.shape[2] == 1:
            self._convolve = Linear(weight[..., 0], bias, dtype=dtype, relu=True)
        else:
            self._convolve = Conv2d(weight[:, :, None], bias, dtype=dtype, dilation=block.conv.dilation[0], relu=True)

    def __call__(self, x_TC: Tensor) -> Tensor:
        """(T, C)."""
        if isinstance(self._convolve, Linear):
            out_TC = self._convolve(x_TC)
        else:
            padded_TC = x_TC.new_empty(len(x_TC) + 2 * self.reach, x_TC.shape[1])
            padded_TC[self.reach : self.reach + len(x_TC)] = x_TC
            out_TC = self.activated(padded_TC)
        return self.normalised(out_TC, out_TC)

    def activated(self, padded_TC: Tensor) -> Tensor:
        """The convolution with its ReLU, of frames between `reach` rows to either side, which are filled here."""
        mirror_ends(padded_TC, self.reach)
        out_1C1T: Tensor = self._convolve(padded_TC.T[None, :, None])
        return out_1C1T[0, :, 0].T

    def normalised(self, x_TC: Tensor, out_TC: Tensor) -> Tensor:
        """Batch normalisation into `out_TC`."""
        return torch.addcmul(self._shift_C, x_TC, self._scale_C, out=out_TC)


class _Res2Net:
    def __init__(self, block: Res2NetBlock, dtype: torch.dtype) -> None:
        self._layers = [_Tdnn(layer, dtype) for layer in block.layers]

    def __call__(self, x_TC: Tensor) -> Tensor:
        """(T, C), in the place of what is given."""
        reach, num_frames = self._layers[0].reach, len(x_TC)
        _, *pieces = x_TC.chunk(len(self._layers) + 1, dim=1)
        padded_TP = x_TC.new_empty(num_frames + 2 * reach, pieces[0].shape[1])
        inner_TP = padded_TP[reach : reach + num_frames]
        for i, (layer, piece_TP) in enumerate(zip(self._layers, pieces, strict=True)):
            if i == 0:
                inner_TP.copy_(piece_TP)
            else:
                torch.add(piece_TP, pieces[i - 1], out=inner_TP)
            layer.normalised(layer.activated(padded_TP), piece_TP)
        return x_TC


class _Squeeze:
    """The weights of squeeze and excitation, from the mean frame."""

    def __init__(self, block: SeBlock, dtype: torch.dtype) -> None:
        self._first = Linear(block.conv1.weight[..., 0], bias_of(block.conv1), dtype=dtype, relu=True)
        self._second = Linear(block.conv2.weight[..., 0], bias_of(block.conv2), dtype=dtype)

    def __call__(self, x_TC: Tensor) -> Tensor:
        """(C,)."""
        return torch.sigmoid(self._second(self._first(x_TC.mean(dim=0, keepdim=True))))[0]


class _SeRes2Net:
    def __init__(self, block: SeRes2NetBlock, dtype: torch.dtype) -> None:
        self._before, self._after = _Tdnn(block.tdnn1, dtype), _Tdnn(block.tdnn2, dtype)
        self._res2net = _Res2Net(block.res2net_block, dtype)
        self._squeeze = _Squeeze(block.se_block, dtype)

    def __call__(self, x_TC: Tensor) -> Tensor:
        """(T, C)."""
        out_TC = self._after(self._res2net(self._before(x_TC)))
        return torch.addcmul(x_TC, out_TC, self._squeeze(out_TC), out=out_TC)


class _Pooling:
    """Attentive statistics in float32: means and deviations (2 C,).

    The batch normalisation before it is folded in: its scale and shift come out of both statistics.
    """

    def __init__(self, network: Ecapa, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._scale_C, self._shift_C = affine(network.mfa.norm)
        layer, score = network.asp.tdnn, network.asp.conv
        channels = network.settings.pooled_channels
        weight_AG = layer.conv.weight.detach()[..., 0]
        weight_AC, weight_AG = weight_AG[:, :channels], weight_AG[:, channels:]
        bias_A = bias_of(layer.conv)
        self._hidden = Linear(weight_AC * self._scale_C, torch.zeros_like(bias_A), dtype=dtype)
        self._of_all = Linear(weight_AG, bias_A + weight_AC @ self._shift_C, dtype=torch.float32)
        self._scale_A, self._shift_A = affine(layer.norm)
        self._score = Linear(score.weight[..., 0], bias_of(score), dtype=dtype)

    def __call__(self, x_TC: Tensor) -> Tensor:
        """(2 C,)."""
        of_all_A = self._of_all(self._statistics(x_TC, None)[None])
        hidden_TA = self._hidden(x_TC).float().add_(of_all_A).relu_()
        hidden_TA = torch.addcmul(self._shift_A, hidden_TA, self._scale_A).tanh_()
        return self._statistics(x_TC, self._score(hidden_TA.to(self._dtype)))

    def _statistics(self, x_TC: Tensor, score_TC: Tensor | None) -> Tensor:
        """After batch normalisation; each frame weighed by the softmax of its score, or all alike."""
        stripes = []
        for start in range(0, x_TC.shape[1], STRIPE):
            x_TS = x_TC[:, start : start + STRIPE].to(torch.float32, copy=True)
            if score_TC is None:
                stripes.append(_plain_statistics(x_TS))
            else:
                stripes.append(_weighed_statistics(x_TS, score_TC[:, start : start + STRIPE].float()))
        mean_C, variance_C = (torch.cat(parts) for parts in zip(*stripes, strict=True))
        deviation_C = (variance_C * self._scale_C.square()).clamp(min=STD_FLOOR).sqrt()
        return torch.cat([torch.addcmul(self._shift_C, mean_C, self._scale_C), deviation_C])


def mirror_ends(padded_TC: Tensor, reach: int) -> None:
    """Fill the first and last `reach` rows with those that a mirror in the first and last frame shows."""
    for away in range(1, reach + 1):
        padded_TC[reach - away] = padded_TC[reach + away]
        padded_TC[away - reach - 1] = padded_TC[-reach - 1 - away]


def _plain_statistics(x_TS: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (S,); `x_TS` is used up. torch.var_mean takes five times as long over the first axis."""
    mean_S = x_TS.mean(dim=0)
    return mean_S, x_TS.sub_(mean_S).square_().mean(dim=0)


def _weighed_statistics(x_TS: Tensor, score_TS: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (S,), each frame weighed by the softmax of its score; `x_TS` is used up."""
    share_TS = (score_TS - score_TS.amax(dim=0)).exp_()
    share_TS /= share_TS.sum(dim=0)
    mean_S = (x_TS * share_TS).sum(dim=0)
    return mean_S, x_TS.sub_(mean_S).square_().mul_(share_TS).sum(dim=0)
