"""ResNet-34 for inference on a processor: the network of resnet.py, one utterance at a time, no masks.

Batch normalisation is folded into the convolutions, which is exact; ReLU and the sum with the shortcut are part of
their last pass. Channels lie last in memory, as oneDNN reads them.

Shape letters: T frames, M mel bands, C channels, D embedding.
"""

from typing import cast, final

import torch
from torch import Tensor, nn

from models.common.onednn import Conv2d, Linear, affine
from models.common.resnet import BasicBlock, ResNet, statistics


@final
class FastResNet:
    """The function that a `ResNet` in evaluation mode computes, with its weights as they are now."""

    def __init__(self, network: ResNet, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._first = _folded(network.conv1, network.bn1, dtype, relu=True)
        self._blocks = [_Block(block, dtype) for block in network.layers]
        self._vector = Linear(network.seg_1.weight, network.seg_1.bias, dtype=torch.float32)

    def __call__(self, feats_TM: Tensor) -> Tensor:
        """The vector (D,) in float32, not normalised, of the valid frames of one utterance; `min_frames` at least."""
        x_1CMT = feats_TM.T[None, None].to(self._dtype).contiguous(memory_format=torch.channels_last)
        x_1CMT = self._first(x_1CMT)
        for block in self._blocks:
            x_1CMT = block(x_1CMT)
        return self._vector(statistics(x_1CMT, None))[0]


class _Block:
    def __init__(self, block: BasicBlock, dtype: torch.dtype) -> None:
        self._first = _folded(block.conv1, block.bn1, dtype, relu=True)
        self._second = _folded(block.conv2, block.bn2, dtype)
        self._shortcut = None
        if block.shortcut:
            conv, norm = cast(tuple[nn.Conv2d, nn.BatchNorm2d], block.shortcut)
            self._shortcut = _folded(conv, norm, dtype)

    def __call__(self, x_1CMT: Tensor) -> Tensor:
        """(1, C, M, T); what is given may be overwritten."""
        inner_1CMT = self._first(x_1CMT)
        return self._second.onto(x_1CMT if self._shortcut is None else self._shortcut(x_1CMT), inner_1CMT)


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype, *, relu: bool = False) -> Conv2d:
    """The convolution with the batch normalisation after it."""
    scale_C, shift_C = affine(norm)
    return Conv2d(
        conv.weight.detach() * scale_C[:, None, None, None],
        shift_C,
        dtype=dtype,
        padding=conv.kernel_size[0] // 2,
        stride=conv.stride[0],
        relu=relu,
    )
