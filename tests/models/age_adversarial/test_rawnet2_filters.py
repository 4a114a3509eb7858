"""What the sinc filters of RawNet2 promise: scipy's filters, right gradients, and a band whatever is learnt."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.signal import firwin

from models.age_adversarial.rawnet2 import SincFilters
from tests.models.made import noise

RATE = 16_000


def filters_of(low_hz, high_hz, size):
    """Filters (C, K) in float64 with these cut-offs."""
    layer = SincFilters(len(low_hz), size).double()
    low, high = torch.tensor(low_hz, dtype=torch.float64), torch.tensor(high_hz, dtype=torch.float64)
    layer.low_hz.data, layer.band_hz.data = (low - 50)[:, None], (high - low - 50)[:, None]
    return layer.filters().detach().numpy()


@pytest.mark.parametrize("size", [31, 251])
def test_filters_are_scipy_s_up_to_a_factor(size):
    low = np.array([60.0, 120.0, 777.7, 3000.0, 7800.0])
    high = np.array([180.0, 400.5, 1999.0, 7000.0, 7999.0])
    found = filters_of(low, high, size)
    for row, f1, f2 in zip(found, low, high, strict=True):
        expected = firwin(size, [f1, f2], window="hamming", pass_zero=False, scale=False, fs=RATE)
        np.testing.assert_allclose(row, expected * RATE / (2 * (f2 - f1)), rtol=0, atol=1e-12)
    assert found[:, size // 2] == pytest.approx(1, abs=1e-12)  # by hand: sinc and window are 1 in the middle


def test_filters_pass_their_band_and_no_other():
    low, high = [500.0, 2000.0, 5000.0], [1000.0, 3000.0, 7000.0]
    response = np.abs(np.fft.rfft(filters_of(low, high, 251), n=16_000))  # a bin is 1 Hz
    hz, lobe = np.arange(8001), 220  # Hz that a Hamming window of 251 samples blurs an edge by
    for row, f1, f2 in zip(response, low, high, strict=True):
        gain = row * 2 * (f2 - f1) / RATE
        np.testing.assert_allclose(gain[(hz > f1 + lobe) & (hz < f2 - lobe)], 1, atol=0.01)
        assert gain[(hz < f1 - lobe) | (hz > f2 + lobe)].max() < 0.01
        np.testing.assert_allclose(gain[[round(f1), round(f2)]], 0.5, atol=0.01)


def test_filters_begin_evenly_spaced_in_mel_from_80_hz_to_half_the_sample_rate():
    low, high = SincFilters(128, 251).cutoffs_hz()
    learnt = low[:, 0].detach().double() - 50  # what is learnt begins at 30 Hz
    mels = 2595 * torch.log10(1 + learnt / 700)
    torch.testing.assert_close(mels.diff(), mels.diff().mean().expand(127), atol=1e-3, rtol=0)
    assert low[0].item() == pytest.approx(80, abs=1e-3)
    assert high[-1].item() == pytest.approx(8000, abs=1e-2)
    torch.testing.assert_close(high[:-1], low[1:] + 50)  # each ends 50 Hz after the next begins


@given(
    low=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3),
    band=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3),
)
@example(low=[0.0, 7900.0, -7950.0], band=[0.0, 1.0, 1e9])
def test_cutoffs_stay_a_band_below_half_the_sample_rate_whatever_is_learnt(low, band):
    layer = SincFilters(3, 31)
    layer.low_hz.data, layer.band_hz.data = torch.tensor(low)[:, None], torch.tensor(band)[:, None]
    low_hz, high_hz = layer.cutoffs_hz()
    assert (low_hz >= 50).all()
    assert (high_hz - low_hz >= 49.99).all()
    assert (high_hz <= 8000).all()
    assert layer.filters().isfinite().all()


@pytest.mark.parametrize("sign", [1, -1])
def test_an_optimiser_that_runs_away_leaves_filters(sign):
    layer = SincFilters(4, 31)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e6)
    for _ in range(20):
        optimizer.zero_grad()
        (sign * layer(torch.from_numpy(noise(0, 200))[None])).sum().backward()
        optimizer.step()
    low_hz, high_hz = layer.cutoffs_hz()
    assert (low_hz - SincFilters(4, 31).cutoffs_hz()[0]).abs().max() > 1  # it did run
    assert ((low_hz >= 50) & (high_hz - low_hz >= 49.99) & (high_hz <= 8000)).all()
    assert layer.filters().isfinite().all()


def test_gradients_of_the_filters_are_right():
    layer = SincFilters(3, 11).double()

    def seen(given_wave, low_hz, band_hz):
        return torch.func.functional_call(layer, {"low_hz": low_hz, "band_hz": band_hz}, given_wave)

    given_wave = torch.from_numpy(noise(0, 40)).double().reshape(2, 20).requires_grad_(True)
    low = torch.tensor([[10.0], [-700.0], [3000.0]], dtype=torch.float64, requires_grad=True)
    band = torch.tensor([[500.0], [900.0], [-2000.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(seen, (given_wave, low, band), eps=1e-4, atol=1e-8, rtol=1e-4)
    seen(given_wave, low, band).square().sum().backward()
    assert (low.grad.abs() > 0).all()
    assert (band.grad.abs() > 0).all()
