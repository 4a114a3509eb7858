"""What SpecAugment promises: masks that are as many and as wide as is said, anywhere, and nothing else changed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.common.augment import SpecAugment, SpecAugmentSettings


def runs(is_masked):
    """How many stretches of True there are."""
    return int(is_masked[0]) + int((is_masked[1:] & ~is_masked[:-1]).sum())


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 60), st.integers(1, 40)),
    masks=st.tuples(st.integers(0, 3), st.integers(1, 70), st.integers(0, 3), st.integers(1, 50)),
    seed=st.integers(0, 1000),
)
def test_masks_cover_whole_frames_and_bands_so_many_and_so_wide_and_nothing_else(shape, masks, seed):
    num_time_masks, max_frames, num_frequency_masks, max_bands = masks
    settings = SpecAugmentSettings(
        num_time_masks=num_time_masks,
        max_frames=max_frames,
        num_frequency_masks=num_frequency_masks,
        max_bands=max_bands,
    )
    torch.manual_seed(seed)
    feats = torch.randn(shape) + torch.arange(shape[0])[:, None, None]
    kept = feats.clone()
    masked = SpecAugment(settings)(feats)
    assert torch.equal(feats, kept)
    assert masked.shape == shape
    for before, after in zip(feats, masked, strict=True):
        changed = after == before.mean()
        if before.numel() == 1:
            continue  # its own mean
        is_frame, is_band = changed.all(dim=1), changed.all(dim=0)
        if not changed.all():  # else which of them covered it cannot be told
            assert torch.equal(changed, is_frame[:, None] | is_band)
            assert runs(is_frame) <= num_time_masks
            assert int(is_frame.sum()) <= num_time_masks * max_frames
            assert runs(is_band) <= num_frequency_masks
            assert int(is_band.sum()) <= num_frequency_masks * max_bands
        assert torch.equal(after[~changed], before[~changed])


def test_every_width_and_every_place_is_drawn_as_often_as_the_paper_has_it():
    torch.manual_seed(0)
    feats = torch.randn(20_000, 6, 2)
    masked = SpecAugment(SpecAugmentSettings(num_time_masks=1, max_frames=3))(feats)
    is_frame = (masked != feats).any(dim=2)
    width, first = is_frame.sum(dim=1), is_frame.byte().argmax(dim=1)
    assert torch.bincount(width).tolist() == pytest.approx([5_000] * 4, rel=0.05)
    for frames, places in ((1, 6), (2, 5), (3, 4)):
        counts = torch.bincount(first[width == frames]).tolist()
        assert counts == pytest.approx([5_000 / places] * places, rel=0.15)


def test_utterances_have_masks_of_their_own_and_are_whole_when_not_training():
    feats = torch.randn(8, 100, 64, generator=torch.Generator().manual_seed(0))
    augment = SpecAugment(SpecAugmentSettings(num_time_masks=1, max_frames=40, num_frequency_masks=1, max_bands=20))
    torch.manual_seed(0)
    one = augment(feats)
    torch.manual_seed(0)
    assert torch.equal(augment(feats), one)
    assert not torch.equal(augment(feats), one)
    assert len({tuple((row != feat).all(dim=1).tolist()) for row, feat in zip(one, feats, strict=True)}) > 6
    assert augment.eval()(feats) is feats
