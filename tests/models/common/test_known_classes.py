"""Cross-entropy of the classes that are known: by loops, by hand, its slopes, and where nobody is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.common.classification import mean_of_known, smoothed_cross_entropy


def of_known(logits, classes, *, smoothing):
    return mean_of_known(smoothed_cross_entropy(logits, classes, smoothing=smoothing), classes >= 0)


def by_loops(logits, classes, smoothing):
    """The mean of cross-entropies with smoothed targets, number by number."""
    told = []
    for row, code in zip(logits.tolist(), classes.tolist(), strict=True):
        if code < 0:
            continue
        log_sum = math.log(sum(map(math.exp, row)))
        target = [smoothing / len(row) + (1 - smoothing) * (place == code) for place in range(len(row))]
        told.append(sum(share * (log_sum - one) for share, one in zip(target, row, strict=True)))
    return sum(told) / len(told) if told else 0.0


SHAPES = {"seed": st.integers(0, 2**32 - 1), "num": st.integers(1, 6), "num_classes": st.integers(2, 5)}


@given(**SHAPES, smoothing=st.sampled_from([0.0, 0.1, 0.6]))
def test_the_mean_is_that_of_the_known_alone(seed, num, num_classes, smoothing):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(num, num_classes, generator=rng, dtype=torch.float64).requires_grad_()
    classes = torch.randint(-1, num_classes, (num,), generator=rng)
    found = of_known(logits, classes, smoothing=smoothing)
    assert found.item() == pytest.approx(by_loops(logits, classes, smoothing), abs=1e-9)
    found.backward()
    assert not logits.grad[classes < 0].any()
    assert logits.grad.isfinite().all()


def test_its_slopes_are_those_of_the_mean():
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    classes = torch.tensor([0, -1, 2, 2, -1])
    assert torch.autograd.gradcheck(lambda given: of_known(given, classes, smoothing=0.1), (logits,))


def test_one_utterance_with_a_smoothed_label_worked_by_hand():
    """Logits of 1 and 0, the label the second: 0.2 / 2 of the target are at the first."""
    found = of_known(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), smoothing=0.2)
    assert found.item() == pytest.approx(math.log(math.e + 1) - 0.1, abs=1e-6)


def test_where_nobody_is_known_the_loss_is_a_zero_that_can_be_run_back():
    logits = torch.randn(3, 4).requires_grad_()
    found = of_known(logits, torch.full((3,), -1), smoothing=0.1)
    found.backward()
    assert found.item() == 0
    assert torch.equal(logits.grad, torch.zeros(3, 4))
