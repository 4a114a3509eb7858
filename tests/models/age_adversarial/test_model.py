"""What stands on a feature: a gradient that comes back reversed, and discriminators of the subgroups of one group."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.age_adversarial.model import Discriminators, Head, reversed_gradient
from models.data.labels import classes_of, group_of_subgroup

SIZES = {"hidden": 6, "dropout": 0.5, "smoothing": 0.1}
ALL = ("young", "adult", "senior")


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def discriminators(scheme="leq29", groups=ALL, dimension=4, seed=0, **sizes):
    torch.manual_seed(seed)
    return Discriminators(scheme, groups, dimension, **(SIZES | sizes)).double()


# --------------------------------------------------------------------------------------------- the gradient, reversed


@given(seed=st.integers(0, 2**32 - 1), num=st.integers(1, 5), scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_what_goes_in_comes_out_to_the_last_bit_and_the_gradient_has_the_opposite_sign(seed, num, scale):
    x = (scale * drawn(num, 3, seed=seed, dtype=torch.float32)).requires_grad_()
    found = reversed_gradient(x)
    assert torch.equal(found, x)
    gradient = drawn(num, 3, seed=seed + 1, dtype=torch.float32)
    found.backward(gradient)
    assert torch.equal(x.grad, -gradient)


def plain(x, extractor, above):
    """A network by hand, without a reversal: a layer, a tanh, a layer, and a cosine that makes a number of it."""
    return ((x @ extractor).tanh() @ above).cos().sum()


def test_below_the_reversal_the_gradient_of_a_network_is_the_opposite_of_the_plain_one_s_and_above_it_is_that():
    x = drawn(5, 4)
    extractor, above = drawn(4, 3, seed=1).requires_grad_(), drawn(3, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda *learnt: plain(x, *learnt), (extractor, above))
    of_extractor, of_above = torch.autograd.grad(plain(x, extractor, above), (extractor, above))
    reversed_one = (reversed_gradient((x @ extractor).tanh()) @ above).cos().sum()
    found = torch.autograd.grad(reversed_one, (extractor, above))
    assert reversed_one == plain(x, extractor, above)
    assert torch.equal(found[0], -of_extractor)
    assert torch.equal(found[1], of_above)


# ---------------------------------------------------------------------------------------------------- discriminators


def by_hand():
    """Of the young by leq29, whose logits are the two attended values and a zero."""
    made = discriminators(groups=("young",), dimension=2, hidden=2, smoothing=0.3).eval()
    first, _, norm, _, last = made.heads["young"].layers
    norm.running_var.fill_(1 - norm.eps)
    first.weight.data, first.bias.data = torch.eye(2).double(), torch.zeros(2).double()
    last.weight.data, last.bias.data = torch.eye(3, 2).double(), torch.zeros(3).double()
    return made


def test_a_batch_worked_by_hand():
    """Four utterances: a 10-19 to be attended to by a half, one unknown, an adult of 40-49, a 20-29 by a quarter.

    What the discriminator is given is (1, 1) and (1, 2). Of the smoothed targets 0.1 is at each wrong subgroup.
    """
    subgroups = classes_of("leq29")["age_subgroup"]
    code = {name: at for at, name in enumerate(subgroups)}
    feature = torch.tensor([[2.0, 2.0], [5.0, 1.0], [7.0, 3.0], [4.0, 8.0]], dtype=torch.float64, requires_grad=True)
    told = torch.tensor([0.5, 0.9, 0.1, 0.25], dtype=torch.float64)
    probability = torch.stack([told, 1 - told, torch.zeros(4).double()], dim=1).requires_grad_()
    subgroup = torch.tensor([code["10-19"], -1, code["40-49"], code["20-29"]])
    found = by_hand()(feature, probability, subgroup)["young"]
    e = math.e
    first = math.log(2 * e + 1) - (0.1 * 1 + 0.8 * 1 + 0.1 * 0)
    second = math.log(e + e**2 + 1) - (0.1 * 1 + 0.1 * 2 + 0.8 * 0)
    assert found.item() == pytest.approx((first + second) / 2)
    found.backward()
    slopes = [  # of the mean, against the logits that are attended values, times what attends, with the sign turned
        [-0.5 / 2 * (e / (2 * e + 1) - 0.1), -0.5 / 2 * (e / (2 * e + 1) - 0.8)],
        [0, 0],
        [0, 0],
        [-0.25 / 2 * (e / (e + e**2 + 1) - 0.1), -0.25 / 2 * (e**2 / (e + e**2 + 1) - 0.1)],
    ]
    np.testing.assert_allclose(feature.grad, slopes, atol=1e-12)
    assert probability.grad is None, "how much is attended to is not learnt from discriminators"


@pytest.mark.parametrize("scheme", ["leq29", "leq17"])
def test_each_tells_the_subgroups_of_its_own_group_alone(scheme):
    made, names = discriminators(scheme).eval(), classes_of(scheme)["age_group"]
    of_subgroup = group_of_subgroup(scheme)
    assert {name: head.layers[-1].out_features for name, head in made.heads.items()} == {
        name: of_subgroup.count(code) for code, name in enumerate(names)
    }
    for code, group in enumerate(of_subgroup):
        found = made(drawn(2, 4), torch.full((2, 3), 1 / 3).double(), torch.tensor([code, -1]))
        assert [name for name, loss in found.items() if loss] == [names[group]]


def test_utterances_without_a_loss_change_nothing_but_the_statistics_of_normalisation():
    made = discriminators()
    feature, probability = drawn(6, 4), drawn(6, 3, seed=1).softmax(dim=1)
    subgroup = torch.tensor([0, 2, 1, 5, -1, 8])
    made.eval()
    of_all = made(feature, probability, subgroup)["young"]
    assert torch.equal(of_all, made(feature[:3], probability[:3], subgroup[:3])["young"])
    made.train()
    before = made.heads["young"].layers[2].running_mean.clone()
    made(feature, probability, torch.full((6,), -1))
    assert not torch.equal(made.heads["young"].layers[2].running_mean, before)


def test_one_utterance_alone_of_its_group_is_learnt_from():
    made = discriminators(dropout=0.0)
    feature = drawn(3, 4).requires_grad_()
    found = made(feature, torch.full((3, 3), 1 / 3).double(), torch.tensor([0, 4, 8]))
    sum(found.values()).backward()
    assert all(loss.item() > 0 for loss in found.values())
    assert feature.grad.any(dim=1).all()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    scheme=st.sampled_from(["leq29", "leq17"]),
    subgroups=st.lists(st.integers(-1, 8), min_size=2, max_size=9),
    scale=st.sampled_from([0.0, 1.0, 1e3]),
    is_sure=st.booleans(),
)
def test_whoever_is_known_in_a_batch_of_any_size_losses_and_slopes_are_numbers(seed, scheme, subgroups, scale, is_sure):
    made, num = discriminators(scheme, seed=seed).float(), len(subgroups)
    feature = (scale * drawn(num, 4, seed=seed, dtype=torch.float32)).requires_grad_()
    probability = drawn(num, 3, seed=seed, dtype=torch.float32).softmax(dim=1)
    if is_sure:
        probability = nn.functional.one_hot(probability.argmax(dim=1), 3).float()
    known = torch.tensor(subgroups).clamp(max=len(group_of_subgroup(scheme)) - 1)
    found = made(feature, probability, known)
    sum(found.values()).backward()
    seen = {group_of_subgroup(scheme)[code] for code in known.tolist() if code >= 0}
    for code, loss in enumerate(found.values()):
        assert loss.isfinite()
        assert (loss.item() > 0) == (code in seen)
    assert feature.grad.isfinite().all()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in made.parameters())


def test_where_no_discriminator_has_anybody_all_slopes_are_zero():
    made = discriminators()
    feature = drawn(4, 4).requires_grad_()
    found = made(feature, torch.full((4, 3), 1 / 3).double(), torch.full((4,), -1))
    sum(found.values()).backward()
    assert [loss.item() for loss in found.values()] == [0, 0, 0]
    assert not any(one.grad.any() for one in [feature, *made.parameters()])


@pytest.mark.parametrize(
    ("scheme", "group", "said"),
    [
        ("decades", "60-69", "60-69 has one subgroup, which is nothing to tell apart; expected some of 20-39, 40-59"),
        ("leq29", "old", "old is not of leq29; expected some of young, adult, senior"),
    ],
)
def test_a_group_that_has_nothing_to_tell_apart_has_no_discriminator(scheme, group, said):
    with pytest.raises(ValueError, match=f"^discriminators: {said}$"):
        discriminators(scheme, (group,))


# --------------------------------------------------------------------------------------------------------------- heads


def test_a_head_is_a_layer_leaky_relu_normalisation_dropout_and_a_layer_written_out():
    torch.manual_seed(0)
    head = Head(3, 4, hidden=5, dropout=0.5).double().eval()
    norm, x = head.layers[2], drawn(6, 3)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    first, last = head.layers[0], head.layers[4]
    hidden = x @ first.weight.T + first.bias
    hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
    hidden = (hidden - norm.running_mean) / (norm.running_var + 1e-5).sqrt()
    torch.testing.assert_close(head(x), hidden @ last.weight.T + last.bias)
    torch.manual_seed(1)
    assert head.train().layers[3].p == 0.5
    assert (head.layers[3](torch.ones(100, 5)) == 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
