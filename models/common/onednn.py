"""Layers for inference on a processor, through oneDNN, with weights laid out for it once.

`F.linear` in float32 calls MKL, which stays with AVX2 on AMD's processors, and a convolution of one frame on one thread
takes an older path still; oneDNN itself is up to 2.5 times as fast. torch offers it as the operators that its compiler
emits, `torch.ops.mkldnn`; they are no public interface, and `pyproject.toml` pins the release of torch.

In bfloat16 a processor without instructions for it is slower than in float32: `has_bfloat16` says which this is.

Shape letters: T frames, K channels in, N channels out, F bands, C channels.
"""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself."""
    return _is_there() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fastest(dtype: torch.dtype) -> torch.dtype:
    """This type where the processor multiplies it itself; else float32, which is more exact and then faster, too."""
    return dtype if dtype == torch.float32 or has_bfloat16() else torch.float32


def affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch normalisation in evaluation mode as a scale and a shift of each channel (C,)."""
    mean_C, variance_C = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale_C = norm.weight.detach() / torch.sqrt(variance_C + norm.eps)
    return scale_C, norm.bias.detach() - mean_C * scale_C


def bias_of(layer: nn.Conv1d) -> Tensor:
    """The bias (N,) of a layer that has one."""
    return layer.get_parameter("bias").detach()


def _is_there() -> bool:
    return bool(torch._C._has_mkldnn)


def _is_packed(dtype: torch.dtype) -> bool:
    return _is_there() and (dtype == torch.float32 or has_bfloat16())


@final
class Linear:
    """A product with (N, K), a bias, and ReLU where asked, in the type of the weights given."""

    def __init__(self, weight_NK: Tensor, bias_N: Tensor, *, dtype: torch.dtype, relu: bool = False) -> None:
        self._bias_N = bias_N.detach().to(dtype)
        self._weight = weight_NK.detach().to(dtype).contiguous()
        self._is_packed = _is_packed(dtype)
        self._after = "relu" if relu else "none"
        if self._is_packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight)

    def __call__(self, x_TK: Tensor) -> Tensor:
        """(T, N)."""
        if self._is_packed:
            out: Tensor = torch.ops.mkldnn._linear_pointwise(x_TK, self._weight, self._bias_N, self._after, [], "")
            return out
        out = F.linear(x_TK, self._weight, self._bias_N)
        return out.relu_() if self._after == "relu" else out


@final
class Conv2d:
    """A convolution over (1, K, F, T) whose channels lie last in memory, its bias, and ReLU where asked."""

    def __init__(
        self,
        weight: Tensor,
        bias_N: Tensor,
        *,
        dtype: torch.dtype,
        padding: int = 0,
        stride: int = 1,
        dilation: int = 1,
        relu: bool = False,
    ) -> None:
        self._bias_N = bias_N.detach().to(dtype)
        self._weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self._padding, self._stride, self._dilation = [padding] * 2, [stride] * 2, [dilation] * 2
        self._after = "relu" if relu else "none"
        self._is_packed = _is_packed(dtype)
        if self._is_packed:
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, self._padding, self._stride, self._dilation, 1, None
            )

    def __call__(self, x_1KFT: Tensor) -> Tensor:
        """(1, N, F, T)."""
        if self._is_packed:
            out: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x_1KFT, self._weight, self._bias_N, *self._shape(), self._after, [], ""
            )
            return out
        out = self._plain(x_1KFT)
        return out.relu_() if self._after == "relu" else out

    def onto(self, sum_1NFT: Tensor, x_1KFT: Tensor) -> Tensor:
        """ReLU of `sum_1NFT` and the convolution, which takes the place of the sum."""
        if self._is_packed:
            out: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
                sum_1NFT, x_1KFT, self._weight, self._bias_N, *self._shape(), "add", None, "relu", [], None
            )
            return out
        return sum_1NFT.add_(self._plain(x_1KFT)).relu_()

    def _shape(self) -> tuple[list[int], list[int], list[int], int]:
        return self._padding, self._stride, self._dilation, 1

    def _plain(self, x_1KFT: Tensor) -> Tensor:
        return F.conv2d(x_1KFT, self._weight, self._bias_N, self._stride, self._padding, self._dilation)
