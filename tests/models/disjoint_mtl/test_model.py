"""The network against the library's own, padded batches against one by one, masks, dropped layers, and pooling."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2FeatureExtractor
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

from models.common.ecapa import EcapaSettings
from models.disjoint_mtl.model import (
    SpeakerPooling,
    Wav2Vec2,
    Wav2Vec2Settings,
    channel_norm,
    mean_of_frames,
    normalised,
    spans,
)
from models.training.system import checked
from tests.models.disjoint_mtl.systems_made import ECAPA, NETWORK, NOTHING_DRAWN, padded
from tests.models.made import noises

LAYERS = range(4)


def network_of(seed=0, **told):
    torch.manual_seed(seed)
    network = Wav2Vec2(checked(Wav2Vec2Settings, NETWORK | told))
    for name, tensor in network.named_parameters():  # so that layers do something, and norms are not those of the start
        if "layers" in name or "norm" in name:
            tensor.data += 0.1 * torch.randn(tensor.shape)
    return network


@pytest.fixture(scope="module")
def network():
    return network_of().eval().requires_grad_(False)


def test_the_settings_as_they_stand_are_those_of_the_base_network():
    with torch.device("meta"):
        whole = Wav2Vec2(Wav2Vec2Settings())
    assert sum(one.numel() for one in whole.parameters()) == 94_371_712  # without those of the pre-training
    assert Wav2Vec2Settings().min_samples(1) == 400
    assert Wav2Vec2Settings().min_samples(3) == 1_040
    assert not any(one.requires_grad for one in whole.model.feature_extractor.parameters())
    frozen = sum(not one.requires_grad for one in whole.parameters())
    assert frozen == len([*whole.model.feature_extractor.parameters()])


@pytest.mark.parametrize("do_normalize", [True, False])
def test_every_layer_is_that_of_the_library(do_normalize):
    network = network_of(do_normalize=do_normalize).eval().requires_grad_(False)
    waves = np.stack(noises(0, 8_000, 8_000)) + np.float32(0.05)
    features = Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    values = features(list(waves), sampling_rate=16_000, return_tensors="pt")["input_values"]
    expected = network.model(values, output_hidden_states=True).hidden_states
    found, num_frames = network(torch.from_numpy(waves), layers=LAYERS)
    assert num_frames is None
    assert len(expected) == len(LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-4)
    assert (found[1] - found[3]).abs().mean() > 0.1


def test_a_padded_batch_gives_what_one_by_one_gives(network):
    waves = noises(1, 9_000, 400, 5_123, 8_999)
    found, num_frames = network(*padded(waves), layers=LAYERS)
    for row, wave in enumerate(waves):
        alone, _ = network(torch.from_numpy(wave)[None], layers=LAYERS)
        assert num_frames[row] == alone[0].shape[1]
        for layer in LAYERS:
            torch.testing.assert_close(found[layer][row, : num_frames[row]], alone[layer][0], rtol=1e-4, atol=1e-4)


def test_one_by_one_the_gradients_of_a_padded_batch_add_up():
    network = network_of(**NOTHING_DRAWN).double().train()
    waves = [one.astype(np.float64) for one in noises(2, 6_000, 4_321)]
    found, num_frames = network(*padded(waves), layers={3})
    mean_of_frames(found[3], num_frames).square().sum().backward()
    together = {name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}
    network.zero_grad(set_to_none=True)
    for wave in waves:
        alone, _ = network(torch.from_numpy(wave)[None], layers={3})
        mean_of_frames(alone[3], None).square().sum().backward()
    assert together.keys() == {name for name, one in network.named_parameters() if one.grad is not None}
    for name, one in network.named_parameters():
        if one.grad is not None:
            torch.testing.assert_close(together[name], one.grad, rtol=1e-8, atol=1e-10)


def test_what_follows_an_utterance_is_not_heard_even_where_it_is_no_silence(network):
    waves, lengths = padded(noises(3, 7_000, 4_000))
    noisy = waves.clone()
    noisy[1, 4_400:] = 1.0  # beyond the last frame's reach
    found, num_frames = network(waves, lengths, layers={3})
    again, _ = network(noisy, lengths, layers={3})
    torch.testing.assert_close(again[3][1, : num_frames[1]], found[3][1, : num_frames[1]], rtol=1e-5, atol=1e-5)


def test_layers_above_the_highest_that_is_asked_for_are_not_computed(network):
    asked = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: asked.append(number))
        for number, layer in enumerate(network.model.encoder.layers, start=1)
    ]
    found, _ = network(torch.from_numpy(noises(0, 2_000)[0])[None], layers={0, 2})
    for hook in hooks:
        hook.remove()
    assert asked == [1, 2]
    assert found.keys() == {0, 2}


def test_a_layer_that_is_left_out_gives_what_it_was_given():
    network = network_of(**NOTHING_DRAWN | {"layerdrop": 0.5}).train()
    waves = torch.from_numpy(noises(0, 2_000)[0])[None]
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        draws = [bool(torch.rand([]) < 0.5) for _ in LAYERS[1:]]
        torch.manual_seed(seed)
        found, _ = network(waves, layers=LAYERS)
        assert [torch.equal(found[layer], found[layer - 1]) for layer in LAYERS[1:]] == draws
        seen.add(tuple(draws))
    assert len(seen) > 3
    network.eval()
    found, _ = network(waves, layers=LAYERS)
    assert not any(torch.equal(found[layer], found[layer - 1]) for layer in LAYERS[1:])


def test_all_that_a_step_draws_is_drawn_by_torch():
    network = network_of().train()
    waves, lengths = padded(noises(0, 12_000, 9_000))
    found = []
    for numpy_seed in (0, 1):
        np.random.seed(numpy_seed)  # noqa: NPY002  # that of others, which must not matter
        torch.manual_seed(5)
        found.append(network(waves, lengths, layers={3})[0][3])
    torch.manual_seed(6)
    found.append(network(waves, lengths, layers={3})[0][3])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_convolution_over_the_waveform_is_in_float32_under_autocast_too(network):
    seen = {}
    first, second = network.model.feature_extractor.conv_layers[:2]
    hooks = [
        first.conv.register_forward_hook(lambda *told: seen.update(first=told[2].dtype)),
        second.conv.register_forward_hook(lambda *told: seen.update(second=told[2].dtype)),
    ]
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = network(*padded(noises(1, 4_000, 3_000)), layers={1})
    for hook in hooks:
        hook.remove()
    assert seen == {"first": torch.float32, "second": torch.bfloat16}
    assert found[1].isfinite().all()


# ------------------------------------------------------------------------------------------------------------- masks


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    span=st.integers(1, 12),
    least=st.integers(0, 3),
    share=st.floats(0, 0.9),
)
def test_spans_lie_within_utterances_and_are_as_many_as_is_asked(seed, lengths, span, least, share):
    torch.manual_seed(seed)
    is_masked = spans(torch.tensor(lengths), max(lengths), share=share, span=span, least=least)
    assert is_masked.shape == (len(lengths), max(lengths))
    for row, length in zip(is_masked.tolist(), lengths, strict=True):
        assert not any(row[length:])
        runs = [len(run) for run in "".join("x" if one else " " for one in row).split()]
        assert all(run >= span for run in runs)
        most = min(max(int(share * length / span + 1), least), length // span)
        assert sum(row) <= most * span
        assert bool(runs) >= (length >= span and (least > 0 or share * length >= span))


def test_as_many_frames_are_masked_as_by_the_library():
    lengths = torch.tensor([400, 250, 90])
    np.random.seed(0)  # noqa: NPY002  # the library draws by it
    torch.manual_seed(0)
    attention = torch.arange(400) < lengths[:, None]
    ours, theirs = np.zeros(3), np.zeros(3)
    for _ in range(400):
        ours += spans(lengths, 400, share=0.2, span=10, least=2).sum(dim=1).numpy() / 400
        theirs += _compute_mask_indices((3, 400), 0.2, 10, attention, min_masks=2).sum(axis=1) / 400
    np.testing.assert_allclose(ours, theirs, rtol=0.03)


def test_every_frame_may_be_masked_and_none_is_left_out_by_place():
    torch.manual_seed(0)
    num = sum(spans(torch.tensor([20]), 20, share=0.1, span=4, least=1)[0].float() for _ in range(2_000))
    expected = torch.tensor([min(at, 3, 19 - at) + 1 for at in range(20)]) / 17 * 2_000  # of 17 places to begin at
    torch.testing.assert_close(num, expected, rtol=0.2, atol=0)


def test_masked_frames_are_the_vector_that_is_learnt():
    network = network_of(**NOTHING_DRAWN | {"mask_time_prob": 0.5}).train()
    torch.manual_seed(0)
    is_masked = spans(torch.tensor([30, 24]), 30, share=0.5, span=10, least=2)
    torch.manual_seed(0)
    found = network._masked(torch.zeros(2, 30, 32), torch.tensor([30, 24]))
    assert is_masked.any(dim=1).all()
    for row in range(2):
        for at in range(30):
            wanted = network.model.masked_spec_embed if is_masked[row, at] else torch.zeros(32)
            assert torch.equal(found[row, at], wanted)
    found.sum().backward()
    assert network.model.masked_spec_embed.grad.eq(is_masked.sum()).all()
    assert torch.equal(network.eval()._masked(torch.ones(1, 30, 32), None), torch.ones(1, 30, 32))


# ------------------------------------------------------------------------------------------------- norms and pooling


def test_norms_are_those_of_each_utterance_alone():
    waves, lengths = padded(noises(4, 50, 31))
    generator = torch.Generator().manual_seed(0)
    x, norm = torch.randn(2, 6, 50, generator=generator), torch.nn.GroupNorm(6, 6)
    norm.weight.data, norm.bias.data = torch.rand(6, generator=generator), torch.rand(6, generator=generator)
    for row, length in enumerate(lengths.tolist()):
        alone = waves[row, :length].numpy()
        expected = (alone - alone.mean()) / np.sqrt(alone.var() + 1e-7)
        np.testing.assert_allclose(normalised(waves, lengths)[row, :length], expected, rtol=1e-4, atol=1e-5)
        assert not normalised(waves, lengths)[row, length:].any()
        found = channel_norm(x, lengths, norm)[row, :, :length]
        torch.testing.assert_close(found, norm(x[row : row + 1, :, :length])[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(normalised(waves[:1], None), normalised(waves[:1], torch.tensor([50])))


def test_poolings_by_hand():
    x = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [8.0, 1.0]], [[5.0, 0.0], [7.0, 4.0], [9.0, 9.0]]])
    num_frames = torch.tensor([3, 2])
    assert SpeakerPooling("mean", 2)(x, num_frames).tolist() == [[4, 3], [6, 2]]
    assert SpeakerPooling("mean", 2)(x, None).tolist() == [[4, 3], [7, pytest.approx(13 / 3)]]
    assert SpeakerPooling("first", 2)(x, num_frames).tolist() == [[1, 2], [5, 0]]


def test_ecapa_reads_the_valid_frames_alone():
    torch.manual_seed(0)
    pooling = SpeakerPooling("ecapa", 32, EcapaSettings(**ECAPA)).eval().requires_grad_(False)
    x = torch.randn(2, 20, 32)
    found = pooling(x, torch.tensor([20, 11]))
    assert found.shape == (2, pooling.dimension) == (2, 12)
    torch.testing.assert_close(found[1:], pooling(x[1:, :11], None), rtol=1e-4, atol=1e-5)
    assert SpeakerPooling("ecapa", 768).dimension == 192
    assert pooling.min_frames == 5


@pytest.mark.parametrize(
    ("pooling", "ecapa", "complaint"),
    [
        ("mean", EcapaSettings(num_bands=32), "ecapa: sizes with pooling mean; expected none"),
        ("ecapa", EcapaSettings(num_bands=16), "ecapa.num_bands 16; expected 32, the width of the network"),
    ],
)
def test_sizes_that_do_not_fit_a_pooling_are_told(pooling, ecapa, complaint):
    with pytest.raises(ValueError, match=complaint):
        SpeakerPooling(pooling, 32, ecapa)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"hidden_size": 0}, "hidden_size"),
        ({"layerdrop": 1.0}, "layerdrop"),
        ({"conv_dim": [16] * 6}, "conv_dim, conv_kernel and conv_stride; expected as many of each"),
        ({"num_attention_heads": 5}, "hidden_size 32, num_attention_heads 5; expected the first to be a multiple"),
        ({"hidden": 5}, "hidden"),
    ],
)
def test_sizes_that_are_none_are_told(told, complaint):
    with pytest.raises(ValueError, match=complaint):
        checked(Wav2Vec2Settings, NETWORK | told, "network")
