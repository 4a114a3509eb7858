"""What pooling promises: mean and deviation as the equations say, whatever lies beyond an end."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.common.pooling import attentive_statistics, statistics


def slow(values, weights):
    """Mean and deviation of numbers by their weights, added up one by one in float64."""
    total = sum(weights)
    mean = sum(weight * value for weight, value in zip(weights, values, strict=True)) / total
    variance = sum(weight * (value - mean) ** 2 for weight, value in zip(weights, values, strict=True)) / total
    return mean, math.sqrt(max(variance, 1e-5))


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_worked_by_hand():
    x = torch.tensor([[[1.0, 3.0, 8.0], [2.0, 2.0, 0.0]]])
    floor = math.sqrt(1e-5)
    torch.testing.assert_close(statistics(x, torch.tensor([2])), torch.tensor([[2.0, 2.0, 1.0, floor]]))
    torch.testing.assert_close(statistics(x, None)[0, 0], torch.tensor(4.0))
    score = torch.tensor([[[math.log(3.0), 0.0, 9.0], [0.0, 0.0, 9.0]]])  # three to one, and even
    expected = torch.tensor([[1.5, 2.0, math.sqrt(0.75), floor]])
    torch.testing.assert_close(attentive_statistics(x, score, torch.tensor([2])), expected)


@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    num_channels=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_they_are_the_sums_of_the_equations_and_hear_nothing_beyond_an_end(lengths, num_channels, seed):
    x, score = drawn(seed, len(lengths), num_channels, 9), 2 * drawn(seed + 1, len(lengths), num_channels, 9)
    length = torch.tensor(lengths)
    plain, attentive = statistics(x, length), attentive_statistics(x, score, length)
    for b, num in enumerate(lengths):
        for c in range(num_channels):
            values = x[b, c, :num].double().tolist()
            even = slow(values, [1.0] * num)
            weighed = slow(values, score[b, c, :num].double().exp().tolist())
            assert plain[b, [c, num_channels + c]].tolist() == pytest.approx(even, abs=1e-5)
            assert attentive[b, [c, num_channels + c]].tolist() == pytest.approx(weighed, abs=1e-5)


def test_without_lengths_all_frames_count_and_even_scores_are_no_attention():
    x, length = drawn(0, 3, 4, 7), torch.tensor([7, 7, 7])
    torch.testing.assert_close(statistics(x, None), statistics(x, length))
    torch.testing.assert_close(attentive_statistics(x, torch.zeros(3, 4, 7), None), statistics(x, None))
    score = drawn(1, 3, 4, 7)
    torch.testing.assert_close(attentive_statistics(x, score, None), attentive_statistics(x, score, length))


def test_it_is_float32_and_gradients_are_finite_where_nothing_deviates():
    x = torch.ones(2, 3, 5, dtype=torch.bfloat16).requires_grad_()
    score = torch.zeros(2, 3, 5, dtype=torch.bfloat16).requires_grad_()
    both = torch.cat([statistics(x, None), attentive_statistics(x, score, torch.tensor([5, 2]))])
    assert both.dtype == torch.float32
    both.sum().backward()
    assert x.grad.isfinite().all()
    assert score.grad.isfinite().all()
