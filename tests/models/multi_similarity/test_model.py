"""What the networks of the multi-task paper promise: its table, the vectors written out, and batches as one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from models.multi_similarity.model import MfccResNet, MfccResNetSettings, SpeakerHead, XVector, XVectorSettings
from tests.models.common.test_networks import cosine, feats, shaken

SMALL_RESNET = MfccResNetSettings(channels=8, blocks=(2, 1, 1, 1), dimension=12)
SMALL_XVECTOR = XVectorSettings(channels=16, pooled_channels=24, dimension=12)
BOTH = pytest.mark.parametrize("which", ["resnet", "xvector"])


def networks():
    return {"resnet": shaken(MfccResNet(SMALL_RESNET), 1), "xvector": shaken(XVector(SMALL_XVECTOR), 2)}


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(kind, *sizes):
    with torch.device("meta"):
        return kind(*sizes)


def normed(state, x, name):
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return functional.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-3)


def pooled(x):
    """(2 C,) of (1, C, T)."""
    return torch.cat([x.mean(dim=2), x.var(dim=2, correction=0).clamp(min=1e-5).sqrt()], dim=1)[0]


def resnet_written_out(state, given_feats, blocks):
    """The vector (D,) of one utterance's cepstra (T, M); frames lie before cepstra, as the paper writes them."""

    def conv(x, name, **how):
        return functional.conv2d(x, state[f"{name}.weight"].transpose(2, 3), **how)

    x = functional.relu(normed(state, conv(given_feats[None, None], "conv1", padding=3), "bn1"))
    for stage, count in zip(("conv2_x", "conv3_x", "conv4_x", "conv5_x"), blocks, strict=True):
        for j in range(count):
            name, stride = f"{stage}.{j}", (1, 2) if j == 0 else (1, 1)
            out = conv(x, f"{name}.conv1", stride=stride, padding=1)
            out = normed(state, conv(functional.relu(normed(state, out, f"{name}.bn1")), f"{name}.conv2", padding=1),
                         f"{name}.bn2")  # fmt: skip
            if j == 0:
                x = normed(state, conv(x, f"{name}.shortcut.0", stride=stride), f"{name}.shortcut.1")
            x = functional.relu(out + x)
    vector = pooled(x.transpose(2, 3).flatten(1, 2))
    return state["embedding.weight"] @ vector + state["embedding.bias"]


def xvector_written_out(state, given_feats):
    """The vector (D,) of one utterance's cepstra (T, M): the frames that a layer sees are put side by side."""
    x = given_feats
    for i, context in enumerate(((-2, -1, 0, 1, 2), (-2, 0, 2), (-3, 0, 3), (0,), (0,))):
        reach = context[-1]
        seen = torch.cat([x[reach + at : len(x) - reach + at] for at in context], dim=1)
        weight = state[f"tdnn.{i}.conv.weight"].permute(0, 2, 1).flatten(1)  # by frame, then by channel
        x = normed(state, functional.relu(seen @ weight.T + state[f"tdnn.{i}.conv.bias"]), f"tdnn.{i}.norm")
    return state["embedding.weight"] @ pooled(x.T[None]) + state["embedding.bias"]


def test_the_resnet_has_the_shapes_of_table_1():
    seen = {}
    ours = on_meta(MfccResNet, MfccResNetSettings())
    for name in ("conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "embedding"):
        module = getattr(ours, name)
        last = module[-1].bn2 if isinstance(module, nn.Sequential) else module
        last.register_forward_hook(lambda _, given, out, name=name: seen.update({name: tuple(out.shape)}))
    ours(torch.empty(2, 321, 30, device="meta"))
    # The table writes frames x cepstra x channels: T frames stay T.
    table = {"conv1": (30, 64), "conv2_x": (15, 64), "conv3_x": (8, 128), "conv4_x": (4, 256), "conv5_x": (2, 512)}
    assert seen == {**{name: (2, channels, bands, 321) for name, (bands, channels) in table.items()},
                    "embedding": (2, 512)}  # fmt: skip
    convolutions = [layer for layer in ours.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 1 + 2 * (2 + 3 + 4 + 2) + 4


def test_the_resnet_has_the_number_of_parameters_worked_out_from_table_1():
    expected = 7 * 7 * 64 + 2 * 64
    for before, channels, num_blocks in ((64, 64, 2), (64, 128, 3), (128, 256, 4), (256, 512, 2)):
        expected += 9 * before * channels + (2 * num_blocks - 1) * 9 * channels * channels
        expected += 2 * num_blocks * 2 * channels  # normalisation
        expected += before * channels + 2 * channels  # the shortcut where the stride is
    expected += 2 * 2 * 512 * 512 + 512
    assert num_parameters(on_meta(MfccResNet, MfccResNetSettings())) == expected == 14_880_320


def test_the_tdnn_has_the_sizes_of_section_4_1_3_and_its_parameters():
    ours = on_meta(XVector, XVectorSettings())
    shapes = [tuple(layer.conv.weight.shape) for layer in ours.tdnn]
    assert shapes == [(512, 30, 5), (512, 512, 3), (512, 512, 3), (512, 512, 1), (1536, 512, 1)]
    assert ours.embedding.weight.shape == (512, 3072)
    affine = 30 * 5 * 512 + 2 * 3 * 512 * 512 + 512 * 512 + 512 * 1536 + 3072 * 512
    assert num_parameters(ours) == affine + (4 * 512 + 1536 + 512) + 2 * (4 * 512 + 1536) == 4_282_368
    assert ours(torch.empty(2, 300, 30, device="meta")).shape == (2, 512)
    assert ours.tdnn(torch.empty(2, 30, 300, device="meta")).shape == (2, 1536, 286)


def test_the_head_is_the_second_512_layer_and_one_to_the_speakers_each_after_relu_and_normalisation():
    head = shaken(SpeakerHead(512, 7), 3)
    assert num_parameters(head) == 2 * 2 * 512 + 512 * 512 + 512 + 512 * 7 + 7
    state, vector = head.state_dict(), feats(0, 4, 512)
    hidden = normed(state, functional.relu(vector), "norm1") @ state["hidden.weight"].T + state["hidden.bias"]
    weight, bias = state["speakers.output.weight"], state["speakers.output.bias"]
    logits = normed(state, functional.relu(hidden), "norm2") @ weight.T + bias
    person = torch.tensor([6, 0, 3, 3])
    expected = -(logits - logits.logsumexp(dim=1, keepdim=True))[range(4), person].mean()
    torch.testing.assert_close(head(vector, person), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("num_frames", [16, 17, 77])
def test_they_give_the_vectors_of_the_networks_written_out(num_frames):
    ours, given_feats = networks(), feats(num_frames, num_frames, 30)
    expected = {
        "resnet": resnet_written_out(ours["resnet"].state_dict(), given_feats, SMALL_RESNET.blocks),
        "xvector": xvector_written_out(ours["xvector"].state_dict(), given_feats),
    }
    for which, vector in expected.items():
        found = ours[which](given_feats[None])[0]
        assert cosine(found, vector) >= 0.99999
        torch.testing.assert_close(found, vector, atol=1e-3, rtol=1e-3)


@BOTH
def test_min_frames_is_the_least_that_has_a_deviation(which):
    network = networks()[which]
    least = network.settings.min_frames
    assert least == {"resnet": 2, "xvector": 16}[which]
    assert network(feats(0, least, 30)[None]).isfinite().all()


@BOTH
@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(16, 60), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_a_padded_batch_gives_the_vectors_that_one_by_one_gives(which, lengths, seed):
    network = networks()[which]
    alone = [feats(seed + i, length, 30) for i, length in enumerate(lengths)]
    padded = nn.utils.rnn.pad_sequence(alone, batch_first=True, padding_value=7.0)
    together = network(padded, torch.tensor(lengths))
    for vector, one in zip(together, alone, strict=True):
        torch.testing.assert_close(vector, network(one[None])[0], atol=1e-4, rtol=1e-3)


@BOTH
def test_what_lies_beyond_an_end_is_heard_without_lengths_alone(which):
    network = networks()[which]
    padded = torch.stack([feats(0, 40, 30), feats(1, 40, 30)])
    other = padded.clone()
    other[0, 23:] = 7.0
    lengths = torch.tensor([23, 40])
    torch.testing.assert_close(network(padded, lengths), network(other, lengths))
    assert cosine(network(padded)[0], network(other)[0]) < 0.999


@BOTH
def test_bfloat16_agrees_with_float32(which):
    network = networks()[which]
    given_feats = torch.stack([feats(3, 120, 30), feats(4, 120, 30)])
    expected = network(given_feats)
    lowered = network.products_in(torch.bfloat16)(given_feats)
    assert lowered.dtype == torch.float32
    assert 1 > cosine(lowered, expected) >= 0.999


@BOTH
def test_a_network_can_be_trained(which):
    network = networks()[which].train().requires_grad_(True)
    network(torch.stack([feats(0, 40, 30), feats(1, 40, 30)])).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


@BOTH
def test_normalisation_is_zeinali_s(which):
    network = networks()[which]
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.05)}


@pytest.mark.parametrize("change", [{"num_bands": 0}, {"channels": 5000}, {"dimension": -1}])
def test_impossible_sizes_are_refused(change):
    for kind in (MfccResNetSettings, XVectorSettings):
        with pytest.raises(ValueError, match="sizes must be from 1 to 4096"):
            kind(**change)
