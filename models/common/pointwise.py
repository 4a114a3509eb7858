"""The 1 x 1 convolution of a shortcut that halves what it is given.

torch 2.11's oneDNN writes past its memory in the gradient of the weights of such a convolution, where fewer than 16
channels come in and lie last (uxlfoundation/oneDNN#6035): processes abort, or sums are silently wrong. What a stride
passes over has no part in a 1 x 1 convolution: it is left out before, and the convolution has no stride.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class StridedPointwise(nn.Conv2d):
    """1 x 1 with a stride and without a bias; weights and names are those of `nn.Conv2d`."""

    def __init__(self, in_channels: int, channels: int, stride: int | tuple[int, int]) -> None:
        super().__init__(in_channels, channels, 1, stride, bias=False)

    def forward(self, x_BCMT: Tensor) -> Tensor:
        """(B, C, M, T), each of the last two divided by its stride and rounded up."""
        rows, columns = self.stride
        return F.conv2d(x_BCMT[:, :, ::rows, ::columns], self.weight)
