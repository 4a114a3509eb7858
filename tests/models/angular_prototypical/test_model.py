"""What H/ASP promises: the sizes of table 2, the vectors of the network written out, and batches as one by one."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from tests.models.common.test_networks import cosine, feats, shaken

SMALL = HalfResNetSettings(
    num_bands=16, channels=8, blocks=(1, 2, 1, 1), reduction=4, attention_channels=12, dimension=24
)

# voxceleb_trainer's ResNetSE34V2 with ASP: (in, out, stride, blocks) of each layer, and the shapes in a block.
LAYERS = {"layer1": (32, 32, 1, 3), "layer2": (32, 64, 2, 4), "layer3": (64, 128, 2, 6), "layer4": (128, 256, 2, 3)}
NORM = ("weight", "bias", "running_mean", "running_var")


def normalisation(name, channels):
    return {**{f"{name}.{part}": (channels,) for part in NORM}, f"{name}.num_batches_tracked": ()}


def block_shapes(name, before, channels, has_downsample):
    shapes = {
        f"{name}.conv1.weight": (channels, before, 3, 3),
        **normalisation(f"{name}.bn1", channels),
        f"{name}.conv2.weight": (channels, channels, 3, 3),
        **normalisation(f"{name}.bn2", channels),
        f"{name}.se.fc.0.weight": (channels // 8, channels),
        f"{name}.se.fc.0.bias": (channels // 8,),
        f"{name}.se.fc.2.weight": (channels, channels // 8),
        f"{name}.se.fc.2.bias": (channels,),
    }
    if has_downsample:
        shapes[f"{name}.downsample.0.weight"] = (channels, before, 1, 1)
        shapes |= normalisation(f"{name}.downsample.1", channels)
    return shapes


def published_shapes():
    """Every tensor of the published network and its shape, by its name there."""
    shapes = {"conv1.weight": (32, 1, 3, 3), "conv1.bias": (32,), **normalisation("bn1", 32)}
    for layer, (before, channels, stride, num_blocks) in LAYERS.items():
        shapes |= block_shapes(f"{layer}.0", before, channels, stride == 2)
        for i in range(1, num_blocks):
            shapes |= block_shapes(f"{layer}.{i}", channels, channels, False)
    shapes |= {"attention.0.weight": (128, 2048, 1), "attention.0.bias": (128,), **normalisation("attention.2", 128)}
    shapes |= {"attention.3.weight": (2048, 128, 1), "attention.3.bias": (2048,)}
    return shapes | {"fc.weight": (512, 4096), "fc.bias": (512,)}


def written_out(state, bands, blocks, strides=(1, 2, 2, 2)):
    """The vector (D,) of one utterance's bands by the published order of operations, each on its own."""

    def normed(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv(x, name, **how):
        return functional.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **how)

    def linear(x, name):
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    x = normed(functional.relu(conv(bands[None, None], "conv1", padding=1)), "bn1")
    for i, (count, stride) in enumerate(zip(blocks, strides, strict=True), start=1):
        for j in range(count):
            name, step = f"layer{i}.{j}", stride if j == 0 else 1
            out = normed(functional.relu(conv(x, f"{name}.conv1", stride=step, padding=1)), f"{name}.bn1")
            out = normed(conv(out, f"{name}.conv2", padding=1), f"{name}.bn2")
            gate = linear(functional.relu(linear(out.mean(dim=(2, 3)), f"{name}.se.fc.0")), f"{name}.se.fc.2")
            out = out * gate.sigmoid()[..., None, None]
            if step == 2:
                x = normed(conv(x, f"{name}.downsample.0", stride=2), f"{name}.downsample.1")
            x = functional.relu(out + x)
    x = x.reshape(1, -1, x.shape[-1])
    hidden = functional.conv1d(x, state["attention.0.weight"], state["attention.0.bias"])
    hidden = normed(functional.relu(hidden), "attention.2")
    share = functional.conv1d(hidden, state["attention.3.weight"], state["attention.3.bias"]).softmax(dim=2)
    mean = (x * share).sum(dim=2)
    deviation = ((x.square() * share).sum(dim=2) - mean.square()).clamp(min=1e-5).sqrt()
    return linear(torch.cat([mean, deviation], dim=1), "fc")[0]


def network():
    return shaken(HalfResNet(SMALL), 1)


def test_names_and_shapes_are_those_of_the_published_network():
    with torch.device("meta"):
        ours = HalfResNet(HalfResNetSettings()).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == published_shapes()


def test_it_has_the_number_of_parameters_worked_out_from_the_layout():
    def block(before, channels, has_downsample):
        convolutions = 9 * before * channels + 9 * channels * channels + 2 * 2 * channels
        excitation = 2 * channels * (channels // 8) + channels // 8 + channels
        return convolutions + excitation + (before * channels + 2 * channels if has_downsample else 0)

    expected = 9 * 32 + 32 + 2 * 32
    expected += 3 * block(32, 32, False)
    expected += block(32, 64, True) + 3 * block(64, 64, False)
    expected += block(64, 128, True) + 5 * block(128, 128, False)
    expected += block(128, 256, True) + 2 * block(256, 256, False)
    expected += 2048 * 128 + 128 + 2 * 128 + 128 * 2048 + 2048 + 4096 * 512 + 512
    with torch.device("meta"):
        ours = HalfResNet(HalfResNetSettings())
    assert sum(parameter.numel() for parameter in ours.parameters()) == expected == 8_028_492


def test_shapes_on_the_way_are_those_of_table_2():
    seen = {}
    with torch.device("meta"):
        ours = HalfResNet(HalfResNetSettings())
        for name in ("bn1", "layer1", "layer2", "layer3", "layer4", "fc"):
            module = getattr(ours, name)
            last = module[-1].bn2 if isinstance(module, nn.Sequential) else module
            last.register_forward_hook(
                lambda _, given, out, name=name: seen.update({name: (given[0].shape, out.shape)})
            )
        vector = ours(torch.empty(2, 200, 64))
    # The table writes frames x bands x channels, of L = 200.
    table = {"bn1": (200, 64, 32), "layer1": (200, 64, 32), "layer2": (100, 32, 64), "layer3": (50, 16, 128)}
    table["layer4"] = (25, 8, 256)
    for name, (frames, bands, channels) in table.items():
        assert seen[name][1] == (2, channels, bands, frames)
    assert seen["fc"] == ((2, 4096), (2, 512))
    assert vector.shape == (2, 512)


@pytest.mark.parametrize("num_frames", [9, 10, 77])
def test_it_gives_the_vectors_of_the_network_written_out(num_frames):
    small = network()
    given_feats = feats(num_frames, num_frames, 16)
    expected = written_out(small.state_dict(), given_feats.T, SMALL.blocks)
    found = small(given_feats[None])[0]
    assert cosine(found, expected) >= 0.99999
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(9, 60), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_a_padded_batch_gives_the_vectors_that_one_by_one_gives(lengths, seed):
    small = network()
    alone = [feats(seed + i, length, 16) for i, length in enumerate(lengths)]
    padded = nn.utils.rnn.pad_sequence(alone, batch_first=True, padding_value=7.0)
    together = small(padded, torch.tensor(lengths))
    for vector, one in zip(together, alone, strict=True):
        torch.testing.assert_close(vector, small(one[None])[0], atol=1e-4, rtol=1e-3)


def test_what_lies_beyond_an_end_is_heard_without_lengths_alone():
    small = network()
    padded = torch.stack([feats(0, 40, 16), feats(1, 40, 16)])
    other = padded.clone()
    other[0, 23:] = 7.0
    lengths = torch.tensor([23, 40])
    torch.testing.assert_close(small(padded, lengths), small(other, lengths))
    assert cosine(small(padded)[0], small(other)[0]) < 0.999


def test_bfloat16_agrees_with_float32():
    small = network()
    given_feats = torch.stack([feats(3, 120, 16), feats(4, 120, 16)])
    expected = small(given_feats)
    lowered = small.products_in(torch.bfloat16)(given_feats)
    assert lowered.dtype == torch.float32
    assert 1 > cosine(lowered, expected) >= 0.999


@pytest.mark.parametrize("lengths", [None, torch.tensor([40, 29])])
def test_it_can_be_trained(lengths):
    small = network().train().requires_grad_(True)
    small(torch.stack([feats(0, 40, 16), feats(1, 40, 16)]), lengths).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in small.parameters())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_bands": 44}, "num_bands 44 must be a multiple of 8"),
        ({"channels": 12}, "channels 12 must be a multiple of reduction 8"),
        ({"dimension": 0}, "sizes must be from 1 to 4096"),
        ({"blocks": (3, 4, 6, 5000)}, "sizes must be from 1 to 4096"),
    ],
)
def test_impossible_sizes_are_refused(change, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        HalfResNetSettings(**change)
