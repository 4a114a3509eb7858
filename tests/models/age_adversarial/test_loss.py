"""What is added up: weights that are learnt move as eq. 5 has it; a task of which nothing is told counts nowhere."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.age_adversarial.loss import AutomaticWeights

BOTH = torch.tensor([True, True])


def weights(*c):
    made = AutomaticWeights(len(c)).double()
    made.c.data = torch.tensor(c, dtype=torch.float64)
    return made


def losses(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_the_weights_and_their_slopes_worked_by_hand():
    """C of 1 and 2: half of the first loss, an eighth of the second; slopes -L / C^3 + 2 C / (1 + C^2)."""
    made, loss = weights(1.0, 2.0), losses(2.0, 0.5)
    total = made(loss, BOTH)
    total.backward()
    assert total.item() == pytest.approx(2 / 2 + math.log(2) + 0.5 / 8 + math.log(5))
    assert loss.grad.tolist() == [1 / 2, 1 / 8]
    assert made.c.grad.tolist() == pytest.approx([-2 + 1, -0.5 / 8 + 4 / 5])


def test_both_tasks_begin_with_half_of_their_losses():
    assert AutomaticWeights(2)(torch.tensor([3.0, 5.0]), BOTH).item() == pytest.approx(4 + 2 * math.log(2))


@given(loss=st.floats(0.01, 30), c=st.floats(0.2, 5), sign=st.sampled_from([-1, 1]))
def test_a_weight_moves_towards_where_the_slope_is_none(loss, c, sign):
    made = weights(sign * c)
    made(losses(loss), torch.tensor([True])).backward()
    still = math.sqrt((loss + math.sqrt(loss**2 + 8 * loss)) / 4)
    moves_up = -sign * made.c.grad.item()  # of |C|, as a step against the slope moves it
    assert moves_up == pytest.approx(0, abs=1e-6) or (moves_up > 0) == (c < still)
    there = weights(still)
    there(losses(loss), torch.tensor([True])).backward()
    assert there.c.grad.item() == pytest.approx(0, abs=1e-9)


def test_the_slopes_are_those_of_the_sum():
    made = weights(0.7, 1.9)
    assert torch.autograd.gradcheck(
        lambda loss, c: torch.func.functional_call(made, {"c": c}, (loss, BOTH)), (losses(2.0, 9.0), made.c)
    )


def test_a_task_of_which_nothing_is_told_is_left_out_and_its_weight_stays():
    made = weights(2.0, 3.0)
    total = made(losses(0.0, 1.0), torch.tensor([False, True]))
    total.backward()
    assert total.item() == pytest.approx(1 / 18 + math.log(10))
    assert made.c.grad[0] == 0
    assert made.c.grad[1] != 0
