"""What ECAPA-TDNN and ResNet-34 promise: the vectors of the published networks, in batches as one by one, and fast."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from curate.errors import ExtractorError
from models.common import onednn
from models.common.ecapa import Ecapa, EcapaSettings, ecapa_from_speechbrain
from models.common.ecapa_onednn import FastEcapa
from models.common.resnet import ResNet, ResNetSettings, resnet_from_wespeaker
from models.common.resnet_onednn import FastResNet

SMALL_ECAPA = EcapaSettings(channels=64, pooled_channels=320, attention_channels=16, se_channels=16, dimension=24)
SMALL_RESNET = ResNetSettings(num_bands=16, channels=8, blocks=(1, 2, 1, 1), dimension=24)


def shaken(network, seed):
    """With normalisations of all signs, as training leaves them: at their start they would hide a slip."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng) / max(1, parameter[0].numel()) ** 0.5
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=rng) / 4)
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=rng))
            module.weight.data = torch.randn(module.weight.shape, generator=rng)
            module.bias.data = torch.randn(module.bias.shape, generator=rng) / 4
    return network.eval().requires_grad_(False)


def feats(seed, num_frames, num_bands):
    return 3 * torch.randn(num_frames, num_bands, generator=torch.Generator().manual_seed(seed))


def cosine(one, other):
    return functional.cosine_similarity(one.double(), other.double(), dim=-1).min().item()


def networks():
    return {"ecapa": shaken(Ecapa(SMALL_ECAPA), 1), "resnet": shaken(ResNet(SMALL_RESNET), 2)}


FAST = {"ecapa": FastEcapa, "resnet": FastResNet}
BOTH = pytest.mark.parametrize("which", ["ecapa", "resnet"])


def test_ecapa_gives_the_vectors_of_speechbrain_s_on_its_weights(library):
    theirs = shaken(
        library.ECAPA_TDNN(
            80, channels=[64] * 4 + [320], kernel_sizes=[5, 3, 3, 3, 1], dilations=[1, 2, 3, 4, 1], lin_neurons=24,
            attention_channels=16, se_channels=16,
        ),
        0,
    )  # fmt: skip
    ours = ecapa_from_speechbrain(theirs.state_dict())
    assert ours.settings == SMALL_ECAPA
    for num_frames in (5, 6, 77):
        given = feats(num_frames, num_frames, 80)
        expected = theirs(given[None], torch.ones(1))[0, 0]
        assert cosine(ours(given[None])[0], expected) >= 0.99999
        assert cosine(FastEcapa(ours)(given), expected) >= 0.99999
        torch.testing.assert_close(FastEcapa(ours)(given), expected, atol=1e-3, rtol=1e-3)


def test_ecapa_has_the_published_size_and_its_settings_as_they_stand(library):
    with torch.device("meta"):
        num = sum(parameter.numel() for parameter in Ecapa(EcapaSettings()).parameters())
        theirs = library.ECAPA_TDNN(80, channels=[1024] * 4 + [3072], lin_neurons=192)
    assert num == sum(parameter.numel() for parameter in theirs.parameters()) == 20_767_552


def plain_resnet(state, given, blocks):
    """ResNet-34 written out: one utterance, no masks, each operation on its own."""

    def normed(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    x = given.T[None, None]
    x = functional.relu(normed(functional.conv2d(x, state["conv1.weight"], padding=1), "bn1"))
    for i, count in enumerate(blocks, start=1):
        for j in range(count):
            name, stride = f"layer{i}.{j}", 2 if i > 1 and j == 0 else 1
            out = functional.relu(
                normed(functional.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1")
            )
            out = normed(functional.conv2d(out, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2:
                x = normed(functional.conv2d(x, state[f"{name}.shortcut.0.weight"], stride=2), f"{name}.shortcut.1")
            x = functional.relu(out + x)
    mean, std = x.mean(dim=-1).flatten(), (x.var(dim=-1) + 1e-8).sqrt().flatten()
    return state["seg_1.weight"] @ torch.cat([mean, std]) + state["seg_1.bias"]


def test_resnet_gives_the_vectors_of_the_network_written_out():
    network = networks()["resnet"]
    loaded = resnet_from_wespeaker({**network.state_dict(), "projection.weight": torch.ones(5, 24)})
    assert loaded.settings == SMALL_RESNET
    for num_frames in (9, 10, 77):
        given = feats(num_frames, num_frames, 16)
        expected = plain_resnet(network.state_dict(), given, SMALL_RESNET.blocks)
        assert cosine(loaded(given[None])[0], expected) >= 0.99999
        assert cosine(FastResNet(loaded)(given), expected) >= 0.99999


def test_resnet_has_the_published_size_and_names():
    with torch.device("meta"):
        network = ResNet(ResNetSettings())
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_634_336
    assert {"layer3.5.conv2.weight", "layer2.0.shortcut.1.running_var", "seg_1.bias"} <= network.state_dict().keys()


@BOTH
@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(9, 60), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_a_padded_batch_gives_the_vectors_that_one_by_one_gives(which, lengths, seed):
    network = networks()[which]
    alone = [feats(seed + i, length, network.settings.num_bands) for i, length in enumerate(lengths)]
    padded = nn.utils.rnn.pad_sequence(alone, batch_first=True)
    together = network(padded, torch.tensor(lengths))
    for vector, one in zip(together, alone, strict=True):
        assert cosine(vector, network(one[None])[0]) >= 0.99999
        assert cosine(vector, FAST[which](network)(one)) >= 0.99999


@BOTH
def test_what_lies_beyond_an_end_does_not_matter(which):
    network = networks()[which]
    num_bands = network.settings.num_bands
    padded = torch.stack([feats(0, 40, num_bands), feats(1, 40, num_bands)])
    other = padded.clone()
    other[0, 23:] = 7.0
    lengths = torch.tensor([23, 40])
    torch.testing.assert_close(network(padded, lengths), network(other, lengths))
    assert cosine(network(padded)[0], network(other)[0]) < 0.999  # else they would not be heard at all


@BOTH
def test_bfloat16_agrees_with_float32(which):
    network = networks()[which]
    given = feats(3, 120, network.settings.num_bands)
    expected = network(given[None])[0]
    fast = FAST[which](network, torch.bfloat16)(given)
    lowered = network.products_in(torch.bfloat16)(given[None])[0]
    assert fast.dtype == lowered.dtype == torch.float32
    assert 1 > cosine(fast, expected) >= 0.999  # these are far from trained: their layers amplify
    assert 1 > cosine(lowered, expected) >= 0.999


@BOTH
def test_without_onednn_the_vectors_are_the_same(which, monkeypatch):
    network = networks()[which]
    given = feats(4, 50, network.settings.num_bands)
    expected = FAST[which](network)(given)
    monkeypatch.setattr(onednn, "_is_there", lambda: False)
    assert cosine(FAST[which](network)(given), expected) >= 0.99999


@BOTH
def test_a_network_can_be_trained(which):
    network = networks()[which].train().requires_grad_(True)
    network(
        torch.stack([feats(0, 40, network.settings.num_bands), feats(1, 40, network.settings.num_bands)])
    ).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("has_it", [True, False])
def test_float32_computes_where_a_processor_does_not_multiply_bfloat16(has_it, monkeypatch):
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: has_it)
    assert onednn.fastest(torch.bfloat16) == (torch.bfloat16 if has_it else torch.float32)
    assert onednn.fastest(torch.float32) == torch.float32


def test_weights_of_another_network_are_told_in_one_line():
    state = networks()["ecapa"].state_dict()
    for wrong in (state, {}, {"fc.conv.weight": torch.ones(2)}):
        with pytest.raises(ExtractorError, match=r"^not SpeechBrain's ECAPA_TDNN: [^\n]+$"):
            ecapa_from_speechbrain(wrong)
        with pytest.raises(ExtractorError, match=r"^not WeSpeaker's ResNet: [^\n]+$"):
            resnet_from_wespeaker(wrong)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": 7}, "multiple of scale"),
        ({"dilations": (1, 2)}, "as many"),
        ({"kernel_sizes": (4, 3, 3, 3, 1)}, "odd"),
    ],
)
def test_impossible_sizes_are_refused(change, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        EcapaSettings(**change)
    with pytest.raises(ValueError, match="multiple of 8"):
        ResNetSettings(num_bands=44)
