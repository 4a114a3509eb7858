"""What the joined extractor promises: the vectors of both networks side by side, alone, in batches and as kept."""

import copy

import pytest
import torch
from torch import nn

from models import checkpoint
from models.age_adversarial.joined import Joined, JoinedSettings
from models.age_adversarial.rawnet2 import RawNet2, RawNet2Settings
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.features import SpeechBrainFbank
from tests.models.common.test_networks import cosine, shaken
from tests.models.made import noise

SMALL = JoinedSettings(
    ecapa=EcapaSettings(channels=32, pooled_channels=48, attention_channels=8, se_channels=8, dimension=10),
    rawnet2=RawNet2Settings(filters=8, filter_size=31, channels=(8, 12), gru_size=16, dimension=14),
)


def small():
    network = shaken(Joined(SMALL), 1)
    edges = torch.linspace(100, 7000, 9)
    network.rawnet2.sinc.low_hz.data, network.rawnet2.sinc.band_hz.data = (
        edges[:-1, None],
        edges.diff()[:, None].clone(),
    )
    return network


def wave(seed, num_samples):
    return torch.from_numpy(noise(seed, num_samples))


def test_as_it_stands_it_has_the_paper_s_768_values_and_both_networks_parameters():
    settings = JoinedSettings()
    assert (settings.ecapa.dimension, settings.rawnet2.dimension, settings.dimension) == (256, 512, 768)
    assert (settings.ecapa.num_bands, settings.num_bands) == (80, 1)
    with torch.device("meta"):
        joined, parts = Joined(settings), (Ecapa(settings.ecapa), RawNet2(settings.rawnet2))
    count = [sum(parameter.numel() for parameter in network.parameters()) for network in (joined, *parts)]
    # 20,767,552 of SpeechBrain's 192 values, and 64 more values of 6,144 pooled ones
    assert count == [27_632_512, 20_767_552 + 64 * (6144 + 1), 6_471_680]
    assert count[0] == count[1] + count[2]


def test_the_least_that_it_hears_is_enough_for_both():
    assert JoinedSettings().min_frames == 2437
    assert SMALL.min_frames == 640  # five frames of ECAPA, more than RawNet2's 57 samples
    assert small()(wave(0, 640)[None]).isfinite().all()


def test_its_vector_is_ecapa_s_and_then_rawnet2_s():
    network = small()
    waves, lengths = torch.stack([wave(0, 4000), wave(1, 4000)]), torch.tensor([3000, 4000])
    waves[0, 3000:] = 0
    found = network(waves, lengths)
    assert found.shape == (2, 24)
    torch.testing.assert_close(found[:, :10], network.ecapa(*SpeechBrainFbank()(waves, lengths)))
    torch.testing.assert_close(found[:, 10:], network.rawnet2(waves, lengths))


def test_a_padded_batch_gives_the_vectors_that_one_by_one_gives():
    network = small()
    alone = [wave(0, 640), wave(1, 1777), wave(2, 4000), wave(3, 4000)]
    padded = nn.utils.rnn.pad_sequence(alone, batch_first=True)
    together = network(padded, torch.tensor([len(one) for one in alone]))
    for vector, one in zip(together, alone, strict=True):
        torch.testing.assert_close(vector, network(one[None])[0], atol=1e-4, rtol=1e-3)


def test_masks_change_what_ecapa_hears_and_nothing_else():
    network, waves = small(), wave(0, 4000)[None]
    plain = network(waves)
    masked = network(waves, masks=lambda feats: feats * (torch.arange(80) % 2))
    assert cosine(masked[:, :10], plain[:, :10]) < 0.999
    torch.testing.assert_close(masked[:, 10:], plain[:, 10:])


def test_under_autocast_filter_banks_and_filters_are_those_of_float32():
    network, waves, seen = small(), wave(0, 4000)[None], {}
    network.rawnet2.sinc.register_forward_hook(lambda _, given, out: seen.update(filtered=out))

    def note(feats):
        seen["banks"] = feats
        return feats

    expected, plain = network(waves, masks=note), dict(seen)
    with torch.autocast("cpu", torch.bfloat16):
        lowered = network(waves, masks=note)
    assert torch.equal(seen["banks"], plain["banks"])
    assert torch.equal(seen["filtered"], plain["filtered"])
    assert lowered.dtype == torch.float32
    assert 1 > cosine(lowered, expected) >= 0.999


def test_bfloat16_agrees_with_float32():
    network, waves = small(), wave(0, 4000)[None]
    lowered = copy.deepcopy(network).products_in(torch.bfloat16)
    types = {lowered.ecapa.mfa.conv.weight.dtype, lowered.rawnet2.layers[0].conv2.weight.dtype}
    assert types == {torch.bfloat16}
    assert 1 > cosine(lowered(waves), network(waves)) >= 0.999


def test_both_are_trained():
    torch.manual_seed(0)
    network = Joined(SMALL).train()
    network(torch.stack([wave(0, 4000), wave(1, 4000)])).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_its_tables_of_filter_banks_are_no_weights_and_are_real_where_it_is_loaded(tmp_path):
    network = small()
    assert {key.split(".")[0] for key in network.state_dict()} == {"ecapa", "rawnet2"}
    checkpoint.save(tmp_path / "kept", network, features="wave")
    loaded = checkpoint.load(tmp_path / "kept").network
    assert loaded.settings == SMALL
    assert {buffer.device.type for buffer in loaded.buffers()} == {"cpu"}
    assert torch.equal(loaded(wave(0, 4000)[None]), network(wave(0, 4000)[None]))


@pytest.mark.parametrize("seed", range(3))
def test_starting_weights_of_both_give_vectors_of_like_size(seed):
    torch.manual_seed(seed)
    vector = Joined(SMALL).eval()(wave(seed, 8000)[None])[0]
    assert 1e-3 < vector[:10].norm() < 1e3
    assert 1e-3 < vector[10:].norm() < 1e3
