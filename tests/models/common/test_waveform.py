"""What stands in the place of features promises: the samples as they are."""

import pytest
import torch

from models.common.waveform import Waveform


@pytest.mark.parametrize("samples", [None, torch.tensor([3, 5])])
def test_samples_and_lengths_are_handed_on(samples):
    wave = torch.arange(10.0).reshape(2, 5)
    found, lengths = Waveform(1)(wave, samples)
    assert found is wave
    assert lengths is samples
    assert Waveform.min_samples(2437) == 2437
    assert not Waveform().state_dict()


def test_a_sample_has_one_value():
    with pytest.raises(ValueError, match="num_bands 80 must be 1: a wave has one value a sample"):
        Waveform(80)
