"""The parts of the system: mixup by hand, encoders that are what they were, sizes as the paper has them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.ecapa import Ecapa, EcapaSettings
from models.mixup_distillation.model import (
    STUDENTS,
    TEACHERS,
    FrozenProjection,
    PooledEncoder,
    classifier,
    mixed,
    projection,
)

README = (Path(__file__).parents[3] / "models" / "mixup_distillation" / "README.md").read_text(encoding="utf-8")
SMALL = {
    "ecapa": EcapaSettings(
        num_bands=16, channels=16, pooled_channels=24, attention_channels=8, se_channels=8, scale=4, dimension=12
    ),
    "resnet": HalfResNetSettings(num_bands=16, channels=8, blocks=(1, 1, 1, 1), attention_channels=8, dimension=12),
}


def network(kind, seed=0):
    torch.manual_seed(seed)
    return Ecapa(SMALL[kind]) if kind == "ecapa" else HalfResNet(SMALL[kind])


def feats(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ----------------------------------------------------------------------------------------------------------- the mixup


def test_mixup_by_hand():
    normal = torch.tensor([10.0, 20.0, 30.0, 40.0])[None, :, None]
    masked = torch.tensor([1.0, 2.0, 6.0, 10.0])[None, :, None]
    averages = torch.tensor([1.5, 3.0, 6.0, 8.0])[None, :, None]  # over three frames, at the ends over two
    torch.testing.assert_close(mixed(normal, masked, share=0.7, window=3), 0.7 * normal + 0.3 * averages)
    torch.testing.assert_close(mixed(normal, masked, share=0.0, window=3), averages)
    torch.testing.assert_close(mixed(normal, masked, share=0.0, window=1), masked)


@given(st.integers(1, 3), st.integers(1, 30), st.integers(1, 8), st.integers(0, 20), st.integers(0, 2**31))
def test_with_all_of_the_features_mixup_is_the_identity(num, frames, bands, half, seed):
    normal = feats(seed, num, frames, bands)
    assert torch.equal(mixed(normal, feats(seed + 1, num, frames, bands), share=1.0, window=2 * half + 1), normal)


@given(st.integers(1, 30), st.integers(0, 20), st.floats(0, 1), st.integers(0, 2**31))
def test_the_average_is_over_the_frames_that_there_are(frames, half, share, seed):
    normal, masked = feats(seed, 1, frames, 2).double(), feats(seed + 1, 1, frames, 2).double()
    found = mixed(normal, masked, share=share, window=2 * half + 1)
    for i in range(frames):
        around = masked[0, max(0, i - half) : i + half + 1].mean(dim=0)
        torch.testing.assert_close(found[0, i], share * normal[0, i] + (1 - share) * around)


# -------------------------------------------------------------------------------------------------------- the encoders


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("lengths", [None, [40, 40], [40, 23]])
def test_an_encoder_gives_the_embeddings_that_its_network_gives(kind, lengths):
    found = network(kind)
    found(feats(1, 4, 50, 16))  # so that its normalisations are not those of the start
    found.eval()
    length = None if lengths is None else torch.tensor(lengths)
    pooled, vectors = PooledEncoder(found)(feats(2, 2, 40, 16), length)
    assert torch.equal(vectors, found(feats(2, 2, 40, 16), length))
    assert pooled.shape == (2, 2 * found.settings.pooled_channels)
    last = found.embedded if kind == "ecapa" else found.fc
    assert torch.equal(last(pooled), vectors)


@pytest.mark.parametrize("kind", SMALL)
def test_pooled_are_means_and_deviations(kind):
    """The second half of the features are deviations: never below 0, and as good as 0 where no frame differs."""
    found = network(kind).eval()
    pooled, _ = PooledEncoder(found)(feats(2, 2, 40, 16))
    deviations = pooled[:, found.settings.pooled_channels :]
    assert (deviations > 0).all()
    if kind == "ecapa":  # whose convolutions see no zeros beyond the ends
        still, _ = PooledEncoder(found)(feats(3, 2, 1, 16).expand(2, 40, 16))
        assert (still[:, found.settings.pooled_channels :] < 1e-3).all()


@pytest.mark.parametrize("kind", SMALL)
def test_the_last_layer_is_in_float32_under_autocast(kind):
    with torch.autocast("cpu", torch.bfloat16):
        pooled, vectors = PooledEncoder(network(kind))(feats(2, 3, 40, 16))
    assert (pooled.dtype, vectors.dtype) == (torch.float32, torch.float32)


def count(sizes):
    with torch.device("meta"):
        kind = Ecapa if isinstance(sizes, EcapaSettings) else HalfResNet
        return sum(parameter.numel() for parameter in kind(sizes).parameters())


COUNTS = {"ecapa": (21_160_832, 10_637_754), "resnet": (25_532_440, 12_132_354)}  # of the README


@pytest.mark.parametrize("kind", COUNTS)
def test_a_student_has_about_half_of_its_teacher_s_parameters(kind):
    found = count(TEACHERS[kind]), count(STUDENTS[kind])
    assert found == COUNTS[kind]
    assert 0.45 < found[1] / found[0] < 0.55
    assert all(f"{num:,}" in README for num in found)


def test_the_size_that_section_4_tells_alone_does_not_give_half():
    alone = replace(TEACHERS["ecapa"], scale=4), replace(TEACHERS["resnet"], blocks=(2, 2, 2, 2))
    assert [round(count(sizes) / 1e6, 2) for sizes in alone] == [21.90, 15.28]  # as the docstring says


@pytest.mark.parametrize("sizes", [TEACHERS["ecapa"], STUDENTS["ecapa"]], ids=["teacher", "student"])
def test_ecapa_has_the_parameters_of_speechbrain_s_of_these_sizes(library, sizes):
    with torch.device("meta"):
        theirs = library.ECAPA_TDNN(
            80,
            channels=[sizes.channels] * 4 + [sizes.pooled_channels],
            res2net_scale=sizes.scale,
            attention_channels=sizes.attention_channels,
            se_channels=sizes.se_channels,
            lin_neurons=sizes.dimension,
        )
    assert count(sizes) == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize("sizes", [TEACHERS["resnet"], STUDENTS["resnet"]], ids=["teacher", "student"])
def test_resnet_has_the_parameters_counted_layer_by_layer(sizes):
    total, before = 9 * sizes.channels + sizes.channels + 2 * sizes.channels, sizes.channels
    for stage, num_blocks in enumerate(sizes.blocks):
        width = sizes.channels * 2**stage
        for block in range(num_blocks):
            first = width if block else before
            total += 9 * width * (first + width) + 4 * width  # two convolutions, each normalised
            total += 2 * width * (width // 8) + width // 8 + width  # squeeze and excitation
            total += first * width + 2 * width if stage and not block else 0  # the shortcut of another size
        before = width
    pooled = before * 80 // 8
    total += pooled * 128 + 128 + 2 * 128 + 128 * pooled + pooled  # attention
    assert count(sizes) == total + 2 * pooled * 256 + 256


def test_the_sizes_are_those_of_section_4():
    for sizes in (*TEACHERS.values(), *STUDENTS.values()):
        assert (sizes.num_bands, sizes.dimension) == (80, 256)
    assert (TEACHERS["ecapa"].scale, STUDENTS["ecapa"].scale) == (8, 4)  # "residual block size: 8 -> 4"
    layers = [2 + 2 * sum(sizes["resnet"].blocks) for sizes in (TEACHERS, STUDENTS)]
    assert layers == [34, 18]  # two convolutions a block, the first layer and the last


# ------------------------------------------------------------------------------------- the projection, the classifiers


def test_the_projection_is_drawn_alike_each_time_and_holds_nothing_that_learns():
    torch.manual_seed(1)
    first = FrozenProjection(30, 50)
    torch.manual_seed(2)
    second = FrozenProjection(30, 50)
    assert torch.equal(first.weight, second.weight)
    assert not list(first.parameters())
    assert not first.state_dict()
    pooled = feats(0, 4, 30)
    torch.testing.assert_close(first(pooled), pooled @ first.weight.T)


def test_the_projection_is_a_convolution_of_one_frame_over_one_frame():
    found = FrozenProjection(30, 50)
    pooled = feats(0, 4, 30)
    convolved = nn.functional.conv1d(pooled[..., None], found.weight[..., None])[..., 0]
    torch.testing.assert_close(found(pooled), convolved)


def test_the_projection_keeps_lengths_on_average():
    pooled = feats(7, 200, 300)  # drawn by another seed than the projection
    ratios = FrozenProjection(300, 450)(pooled).norm(dim=1) / pooled.norm(dim=1)
    assert np.mean(ratios.tolist()) == pytest.approx(1, abs=0.02)


def test_features_of_one_size_are_not_projected():
    assert isinstance(projection(network("ecapa"), network("ecapa", 1)), nn.Identity)
    found = projection(network("ecapa"), network("resnet"))
    assert found(feats(0, 3, 48)).shape == (3, 2 * 8 * 16)


def test_a_classifier_is_the_block_of_section_4_and_a_linear_layer():
    found = classifier(24, 32, 5, dropout=0.5)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.LeakyReLU, nn.Dropout, nn.Linear]
    assert [type(layer) for layer in found] == kinds
    assert found(feats(0, 3, 24)).shape == (3, 5)
