"""The convolution of a shortcut is PyTorch's, to the last gradient, and no shortcut has the one that breaks memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.pointwise import StridedPointwise
from models.common.resnet import ResNet, ResNetSettings
from models.multi_similarity.model import MfccResNet, MfccResNetSettings

channels, strides = st.integers(1, 20), st.integers(1, 3)


@given(channels, channels, st.tuples(strides, strides), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_it_gives_what_a_strided_convolution_gives_and_so_do_its_gradients(num_in, num_out, stride, size):
    ours = StridedPointwise(num_in, num_out, stride).double()
    theirs = nn.Conv2d(num_in, num_out, 1, stride, bias=False).double()  # in float64 it is not oneDNN's
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, num_in, *size, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    found = []
    for one in (ours, theirs):
        given_x = x.clone().requires_grad_()
        out = one(given_x)
        (out * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
        found.append((out, given_x.grad, one.weight.grad))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (ResNet(ResNetSettings(num_bands=16, channels=2, blocks=(2, 1, 1, 1), dimension=8)), (2, 40, 16)),
        (HalfResNet(HalfResNetSettings(num_bands=16, channels=8, blocks=(2, 1, 1, 1), dimension=8)), (2, 40, 16)),
        (MfccResNet(MfccResNetSettings(channels=2, blocks=(2, 1, 1, 1), dimension=8)), (2, 40, 30)),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, nn.Module) else "",
)
def test_a_network_of_few_channels_can_be_trained(network, shape):
    strided = [one for one in network.modules() if isinstance(one, nn.Conv2d) and one.kernel_size == (1, 1)]
    strided = [one for one in strided if max(one.stride) > 1]
    assert strided
    assert all(type(one) is StridedPointwise for one in strided)
    for _ in range(3):
        network(torch.randn(shape)).square().sum().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in network.parameters())
