"""What RawNet2 promises: the published layers and counts, and in batches the vectors of one by one."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from models.age_adversarial.rawnet2 import PUBLISHED, RawNet2, RawNet2Settings
from models.training.system import long_enough
from tests.models.common.test_networks import cosine, shaken
from tests.models.made import noise

SMALL = RawNet2Settings(filters=8, filter_size=31, channels=(8, 12, 12), gru_size=16, dimension=12)
LEAST = 30 + 3**4  # samples that it needs


def small(seed=1):
    """With cut-offs of its own: `shaken` gives them few Hz."""
    network = shaken(RawNet2(SMALL), seed)
    edges = torch.linspace(100, 7000, SMALL.filters + 1)
    network.sinc.low_hz.data, network.sinc.band_hz.data = edges[:-1, None].clone(), edges.diff()[:, None].clone()
    return network


def wave(seed, num_samples):
    return torch.from_numpy(noise(seed, num_samples))


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(sizes):
    with torch.device("meta"):
        return RawNet2(sizes)


def test_its_layers_have_the_shapes_that_the_authors_code_gives_of_59_049_samples():
    # The paper's own table was not at hand: these follow from the code that the authors publish with it.
    ours, seen = RawNet2(RawNet2Settings()).eval().requires_grad_(False), {}
    named = {"norm": ours.norm, "sinc": ours.sinc, "first_bn": ours.first_bn, "gru": ours.gru, "fc": ours.embedding}
    named |= {f"block{i}": block for i, block in enumerate(ours.layers)}
    for name, module in named.items():

        def note(_, given, out, name=name):
            seen[name] = tuple((out[0] if isinstance(out, tuple) else out).shape)

        module.register_forward_hook(note)
    ours(wave(0, 59_049)[None])
    assert seen == {
        "norm": (1, 59_049),
        "sinc": (1, 128, 58_799),
        "first_bn": (1, 128, 19_599),
        "block0": (1, 128, 6_533),
        "block1": (1, 128, 2_177),
        "block2": (1, 256, 725),
        "block3": (1, 256, 241),
        "block4": (1, 256, 80),
        "block5": (1, 256, 26),
        "gru": (1, 26, 1024),
        "fc": (1, 512),
    }


def test_it_has_the_number_of_parameters_worked_out_from_its_layers():
    # A published total was not found; the authors' code, counted by hand with their 1,024 values, comes to the second.
    expected = 2 * 128 + 2 * 128
    for before, channels, is_first in (
        (128, 128, True),
        (128, 128, False),
        (128, 256, False),
        *[(256, 256, False)] * 3,
    ):
        expected += 0 if is_first else 2 * before
        expected += 3 * before * channels + channels + 2 * channels + 3 * channels * channels + channels
        expected += 0 if before == channels else before * channels + channels
        expected += channels * channels + channels  # what scales the channels
    expected += 2 * 256 + 3 * 1024 * (256 + 1024 + 2)
    assert num_parameters(on_meta(RawNet2Settings())) == expected + 1024 * 512 + 512 == 6_471_680
    published = expected + 1024 * 1024 + 1024 + 2 * 59_049
    assert num_parameters(on_meta(PUBLISHED)) == published == 7_114_578


def test_settings_as_they_stand_need_2437_samples():
    assert RawNet2Settings().min_frames == 250 + 3**7 == 2437
    assert SMALL.min_frames == LEAST
    assert RawNet2Settings().num_bands == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"filters": 0}, "sizes must be from 1 to 65536"),
        ({"dimension": 2**17}, "sizes must be from 1 to 65536"),
        ({"places": -1}, "places from 0"),
        ({"filter_size": 250}, "filter_size 250 must be odd"),
        ({"channels": ()}, "channels of 0 blocks must be of 1 to 8"),
        ({"channels": (8,) * 9}, "channels of 9 blocks must be of 1 to 8"),
    ],
)
def test_impossible_sizes_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        RawNet2Settings(**change)


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(LEAST, LEAST + 400), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    beyond=st.sampled_from([0.0, 7.0]),
)
@example(lengths=[LEAST, LEAST + 1, LEAST + 2, LEAST + 3, LEAST + 400], seed=0, beyond=7.0)
def test_a_padded_batch_gives_the_vectors_that_one_by_one_gives(lengths, seed, beyond):
    network = small()
    alone = [wave(seed + i, length) for i, length in enumerate(lengths)]
    padded = nn.utils.rnn.pad_sequence(alone, batch_first=True, padding_value=beyond)
    together = network(padded, torch.tensor(lengths))
    for vector, one in zip(together, alone, strict=True):
        torch.testing.assert_close(vector, network(one[None])[0], atol=1e-4, rtol=1e-3)


def test_what_lies_beyond_an_end_is_heard_without_lengths_alone():
    network = small()
    padded = torch.stack([wave(0, 400), wave(1, 400)])
    other = padded.clone()
    other[0, 250:] = 7.0
    lengths = torch.tensor([250, 400])
    torch.testing.assert_close(network(padded, lengths), network(other, lengths))
    assert cosine(network(padded)[0], network(other)[0]) < 0.999


def test_a_wave_too_short_is_repeated_until_a_frame_is_left():
    network = small()
    assert network(wave(0, LEAST)[None]).isfinite().all()
    with pytest.raises(RuntimeError):
        network(wave(0, LEAST - 1)[None])
    short = [wave(0, 7), wave(1, LEAST - 1), wave(2, 300)]
    padded = nn.utils.rnn.pad_sequence(short, batch_first=True)
    together = network(*long_enough(padded, torch.tensor([7, LEAST - 1, 300]), network.settings.min_frames))
    for vector, one in zip(together, short, strict=True):
        repeated = torch.from_numpy(np.resize(one.numpy(), max(LEAST, len(one))))
        torch.testing.assert_close(vector, network(repeated[None])[0], atol=1e-4, rtol=1e-3)


def test_silence_has_a_vector():
    network = small()
    padded = torch.stack([torch.zeros(400), torch.full((400,), 0.5), wave(0, 400)])
    vectors = network(padded, torch.tensor([200, 300, 400]))
    assert vectors.isfinite().all()
    torch.testing.assert_close(vectors[0], network(torch.zeros(1, 200))[0])


@given(gain=st.floats(0.01, 100), offset=st.floats(-0.5, 0.5))
@settings(deadline=None, max_examples=20)
def test_neither_gain_nor_offset_of_a_wave_matters(gain, offset):
    network, given_wave = small(), wave(3, 400)[None]
    assert cosine(network(gain * given_wave + offset), network(given_wave)) >= 0.999


def test_under_autocast_filters_are_in_float32_and_vectors_agree():
    network, given_wave, seen = small(), torch.stack([wave(0, 900), wave(1, 900)]), {}
    network.sinc.register_forward_hook(lambda _, given, out: seen.update(sinc=out))
    network.layers[1].conv1.register_forward_hook(lambda _, given, out: seen.update(conv=out.dtype))
    network.gru.register_forward_hook(lambda _, given, out: seen.update(gru=out[0].dtype))
    expected = network(given_wave)
    filtered = seen["sinc"]
    with torch.autocast("cpu", torch.bfloat16):
        lowered = network(given_wave)
    assert torch.equal(seen["sinc"], filtered)
    assert (seen["conv"], seen["gru"], lowered.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert 1 > cosine(lowered, expected) >= 0.999


def test_bfloat16_agrees_with_float32():
    given_wave = torch.stack([wave(0, 900), wave(1, 900)])
    network = small()
    expected = network(given_wave, torch.tensor([700, 900]))
    lowered = copy.deepcopy(network).products_in(torch.bfloat16)
    found = lowered(given_wave, torch.tensor([700, 900]))
    assert found.dtype == torch.float32
    assert lowered.layers[0].conv1.weight.dtype == torch.bfloat16
    assert lowered.sinc.low_hz.dtype == lowered.embedding.weight.dtype == torch.float32
    assert 1 > cosine(found, expected) >= 0.999


def test_it_can_be_trained():
    torch.manual_seed(0)
    network = RawNet2(SMALL).train()
    given_wave = torch.stack([wave(0, 900), wave(1, 900)])
    network(given_wave).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert network.sinc.low_hz.grad.abs().max() > 0


def test_weights_begin_as_the_authors_do():
    torch.manual_seed(0)
    network = RawNet2(RawNet2Settings(gru_size=64))
    wide = network.layers[2]
    assert wide.conv1.weight.std().item() == pytest.approx((2 / (1 + 0.01**2) / (3 * 128)) ** 0.5, rel=0.02)
    assert wide.scale.weight.abs().max().item() == pytest.approx((6 / (256 + 256)) ** 0.5, rel=0.01)
    assert (network.embedding.bias == 1e-4).all()
