"""What loading the authors' RawNet2 promises: its vectors, every name and shape, one line for anything else."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from curate.errors import ExtractorError
from models.age_adversarial.rawnet2 import PUBLISHED, rawnet2_from_published
from tests.models.age_adversarial.test_rawnet2 import wave
from tests.models.common.test_networks import cosine

RATE = 16_000


def published(seed=0, *, places=3000, filters=6, channels=(6, 6, 8, 8, 8, 8), gru=10, dimension=12, num_people=5):
    """Weights by chance under the names of the code that their published file belongs to."""
    rng = torch.Generator().manual_seed(seed)
    state = {}

    def add(name, *shape, mean=0.0, std=None):
        std = std or (2 / max(1, torch.Size(shape[1:]).numel())) ** 0.5
        state[name] = mean + std * torch.randn(shape, generator=rng)

    def add_norm(name, size):
        add(f"{name}.weight", size, mean=1.0, std=0.3)
        add(f"{name}.bias", size, std=0.3)
        add(f"{name}.running_mean", size, std=0.3)
        state[f"{name}.running_var"] = 0.5 + torch.rand(size, generator=rng)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    add("ln.gamma", places, mean=1.0, std=0.3)
    add("ln.beta", places, std=0.3)
    state["first_conv.low_hz_"] = torch.linspace(-6000, 6000, filters)[:, None]
    state["first_conv.band_hz_"] = torch.linspace(900, -400, filters)[:, None]
    add_norm("first_bn", filters)
    for i, (before, width) in enumerate(zip((filters, *channels), channels, strict=False)):
        if i:
            add_norm(f"block{i}.0.bn1", before)
        add(f"block{i}.0.conv1.weight", width, before, 3)
        add(f"block{i}.0.conv1.bias", width)
        add_norm(f"block{i}.0.bn2", width)
        add(f"block{i}.0.conv2.weight", width, width, 3)
        add(f"block{i}.0.conv2.bias", width)
        if before != width:
            add(f"block{i}.0.conv_downsample.weight", width, before, 1)
            add(f"block{i}.0.conv_downsample.bias", width)
        add(f"fc_attention{i}.0.weight", width, width)
        add(f"fc_attention{i}.0.bias", width)
    add_norm("bn_before_gru", channels[-1])
    add("gru.weight_ih_l0", 3 * gru, channels[-1])
    add("gru.weight_hh_l0", 3 * gru, gru)
    add("gru.bias_ih_l0", 3 * gru, std=0.3)
    add("gru.bias_hh_l0", 3 * gru, std=0.3)
    add("fc1_gru.weight", dimension, gru)
    add("fc1_gru.bias", dimension)
    add("fc2_gru.weight", num_people, dimension)
    add("fc2_gru.bias", num_people)
    return state


def written_out(state, given_wave):
    """The vector (D,) of one wave by the published weights, in float64, each operation on its own, frame by frame."""
    state = {name: tensor.double() for name, tensor in state.items()}
    x = given_wave.double()

    def normed(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scaled = (x - mean[:, None]) / (var[:, None] + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"][:, None] + state[f"{name}.bias"][:, None]

    def leaky(x):
        return torch.where(x > 0, x, 0.3 * x)

    def pooled(x):
        return torch.stack([x[:, i : i + 3].amax(dim=1) for i in range(0, x.shape[1] - 2, 3)], dim=1)

    def conv(x, name, **how):
        return functional.conv1d(x[None], state[f"{name}.weight"], state[f"{name}.bias"], **how)[0]

    x = state["ln.gamma"] * (x - x.mean()) / (x.std() + 1e-6) + state["ln.beta"]
    rows, middle = [], 125
    for low, band in zip(state["first_conv.low_hz_"][:, 0], state["first_conv.band_hz_"][:, 0], strict=True):
        f1 = 50 + low.abs().item()
        f2 = min(f1 + 50 + band.abs().item(), 8000)
        row = np.ones(251)
        for n in range(1, 126):
            sines = np.sin(2 * np.pi * f2 * n / RATE) - np.sin(2 * np.pi * f1 * n / RATE)
            place = (125 - n) * 124.5 / 124  # their window, of 125 samples up to the middle
            window = 0.54 - 0.46 * np.cos(2 * np.pi * place / 251)
            row[middle + n] = row[middle - n] = sines / (np.pi * n / RATE) * window / (2 * (f2 - f1))
        rows.append(np.convolve(x.numpy(), row, mode="valid"))
    x = leaky(normed(pooled(torch.from_numpy(np.stack(rows)).abs()), "first_bn"))
    i = 0
    while f"block{i}.0.conv1.weight" in state:
        name = f"block{i}.0"
        out = leaky(normed(x, f"{name}.bn1")) if i else x
        out = conv(leaky(normed(conv(out, f"{name}.conv1", padding=1), f"{name}.bn2")), f"{name}.conv2", padding=1)
        x = pooled(out + (conv(x, f"{name}.conv_downsample") if f"{name}.conv_downsample.weight" in state else x))
        scale = torch.sigmoid(state[f"fc_attention{i}.0.weight"] @ x.mean(dim=1) + state[f"fc_attention{i}.0.bias"])
        x = x * scale[:, None] + scale[:, None]
        i += 1
    hidden = torch.zeros(state["gru.weight_hh_l0"].shape[1], dtype=torch.float64)
    for frame in leaky(normed(x, "bn_before_gru")).T:
        given = state["gru.weight_ih_l0"] @ frame + state["gru.bias_ih_l0"]
        kept = state["gru.weight_hh_l0"] @ hidden + state["gru.bias_hh_l0"]
        (r1, z1, n1), (r2, z2, n2) = given.chunk(3), kept.chunk(3)
        update = torch.sigmoid(z1 + z2)
        hidden = (1 - update) * torch.tanh(n1 + torch.sigmoid(r1 + r2) * n2) + update * hidden
    return state["fc1_gru.weight"] @ hidden + state["fc1_gru.bias"]


@pytest.mark.parametrize("num_samples", [2437, 8000])
def test_it_gives_the_vectors_of_the_authors_network_written_out(num_samples):
    state = published(num_samples, places=num_samples)
    ours = rawnet2_from_published(state)
    assert not ours.training
    given_wave = wave(1, num_samples)
    found, expected = ours(given_wave[None])[0].detach(), written_out(state, given_wave)
    assert cosine(found, expected) >= 0.99999
    torch.testing.assert_close(found.double(), expected, atol=1e-3, rtol=1e-3)


def test_it_begins_again_at_the_first_place_where_a_wave_is_longer_than_its_weights():
    state = published(places=1000)
    tiled = state | {name: state[name].repeat(3)[:2700] for name in ("ln.gamma", "ln.beta")}
    vector = rawnet2_from_published(state)(wave(0, 2700)[None])
    torch.testing.assert_close(vector, rawnet2_from_published(tiled)(wave(0, 2700)[None]))
    other = dict(state, **{"ln.beta": state["ln.beta"].flip(0)})
    assert cosine(vector, rawnet2_from_published(other)(wave(0, 2700)[None])) < 0.999


def test_a_padded_batch_has_the_places_of_each_wave():
    network = rawnet2_from_published(published(places=700))
    alone = [wave(0, 2500), wave(1, 4000)]
    padded = nn.utils.rnn.pad_sequence(alone, batch_first=True)
    together = network(padded, torch.tensor([2500, 4000]))
    for vector, one in zip(together, alone, strict=True):
        torch.testing.assert_close(vector, network(one[None])[0], atol=1e-4, rtol=1e-3)


def published_shapes():
    """Every name and shape of their network: of its code, and as reports of what did not load name them."""
    norm = ("weight", "bias", "running_mean", "running_var")
    shapes = {
        "ln.gamma": (59049,),
        "ln.beta": (59049,),
        "first_conv.low_hz_": (128, 1),
        "first_conv.band_hz_": (128, 1),
        **{f"first_bn.{name}": (128,) for name in norm},
        "block0.0.conv1.weight": (128, 128, 3),
        "block0.0.conv1.bias": (128,),
        "block0.0.conv2.weight": (128, 128, 3),
        "block0.0.conv2.bias": (128,),
        **{f"block0.0.bn2.{name}": (128,) for name in norm},
        "block1.0.conv1.weight": (128, 128, 3),
        "block1.0.conv1.bias": (128,),
        "block1.0.conv2.weight": (128, 128, 3),
        "block1.0.conv2.bias": (128,),
        **{f"block1.0.bn1.{name}": (128,) for name in norm},
        **{f"block1.0.bn2.{name}": (128,) for name in norm},
        "block2.0.conv1.weight": (256, 128, 3),
        "block2.0.conv1.bias": (256,),
        "block2.0.conv2.weight": (256, 256, 3),
        "block2.0.conv2.bias": (256,),
        "block2.0.conv_downsample.weight": (256, 128, 1),
        "block2.0.conv_downsample.bias": (256,),
        **{f"block2.0.bn1.{name}": (128,) for name in norm},
        **{f"block2.0.bn2.{name}": (256,) for name in norm},
        "bn_before_gru.weight": (256,),
        "bn_before_gru.bias": (256,),
        "bn_before_gru.running_mean": (256,),
        "bn_before_gru.running_var": (256,),
        "gru.weight_ih_l0": (3072, 256),
        "gru.weight_hh_l0": (3072, 1024),
        "gru.bias_ih_l0": (3072,),
        "gru.bias_hh_l0": (3072,),
        "fc1_gru.weight": (1024, 1024),
        "fc1_gru.bias": (1024,),
        "fc2_gru.weight": (6112, 1024),
        "fc2_gru.bias": (6112,),
    }
    for i in (3, 4, 5):
        shapes |= {f"block{i}.0.conv{j}.weight": (256, 256, 3) for j in (1, 2)}
        shapes |= {f"block{i}.0.conv{j}.bias": (256,) for j in (1, 2)}
        shapes |= {f"block{i}.0.bn{j}.{name}": (256,) for j in (1, 2) for name in norm}
    for i, width in enumerate((128, 128, 256, 256, 256, 256)):
        shapes |= {f"fc_attention{i}.0.weight": (width, width), f"fc_attention{i}.0.bias": (width,)}
    for name in [name for name in shapes if name.endswith("running_var")]:
        shapes[name.replace("running_var", "num_batches_tracked")] = ()
    return shapes


def test_the_published_layout_loads_whole():
    state = {name: torch.full(shape, i, dtype=torch.long if shape == () else torch.float32)
             for i, (name, shape) in enumerate(published_shapes().items())}  # fmt: skip
    ours = rawnet2_from_published(state)
    assert ours.settings == PUBLISHED
    weights = {name: tensor for name, tensor in state.items() if not re.search("running|tracked", name)}
    assert sum(tensor.numel() for tensor in weights.values()) == 13_379_378  # as their code counts for 6,112 people
    layer_of_people = sum(tensor.numel() for name, tensor in weights.items() if name.startswith("fc2_gru."))
    assert sum(tensor.numel() for tensor in ours.parameters()) == 13_379_378 - layer_of_people
    loaded = ours.state_dict()
    assert len(loaded) == len(state) - 2  # all but the layer of the people in training
    assert sorted(float(tensor.flatten()[0]) for tensor in loaded.values()) == sorted(
        float(tensor.flatten()[0]) for name, tensor in state.items() if not name.startswith("fc2_gru.")
    )
    places = {
        "blocks.1.bn1.running_var": "block1.0.bn1.running_var",
        "blocks.2.shortcut.weight": "block2.0.conv_downsample.weight",
        "blocks.3.scale.bias": "fc_attention3.0.bias",
        "embedding.bias": "fc1_gru.bias",
        "norm.bias": "ln.beta",
        "sinc.band_hz": "first_conv.band_hz_",
    }
    for our_name, their_name in places.items():
        assert torch.equal(loaded[our_name], state[their_name]), our_name


def test_the_names_of_their_second_code_load_too():
    state = published()
    again = {re.sub(r"fc_attention(\d)\.0\.", r"block\1.0.frm.fc.", name): tensor for name, tensor in state.items()}
    assert again.keys() != state.keys()
    ours = rawnet2_from_published(again)
    for name, tensor in rawnet2_from_published(state).state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda state: state.pop("fc1_gru.weight"), "embedding.weight is missing"),
        (lambda state: state.pop("block3.0.conv1.bias"), "blocks.3.conv1.bias"),
        (lambda state: state.update(sig=torch.ones(1)), "sig"),
        (lambda state: state.update({"block0.0.bn1.weight": torch.ones(6)}), "blocks.0.bn1.weight"),
        (lambda state: state.update({"fc1_gru.bias": torch.ones(13)}), "embedding.bias"),
        (lambda state: state.clear(), "sinc.low_hz is missing"),
    ],
)
def test_anything_else_is_refused_in_one_line(spoil, says):
    state = published()
    spoil(state)
    with pytest.raises(
        ExtractorError, match=rf"^not RawNet2: [^\n]*{re.escape(says)}[^\n]*; expected the authors'[^\n]*$"
    ):
        rawnet2_from_published(state)
