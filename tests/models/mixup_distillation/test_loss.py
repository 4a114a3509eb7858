"""The losses of eq. 2, 4 and 5: cases by hand, the same in slow float64, their slopes, and labels not known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from models.common.classification import mean_of_known, smoothed_cross_entropy
from models.mixup_distillation.loss import asymmetric, dependency, distance

OF_GROUP = (0, 0, 1, 1, 2)  # the groups of five subgroups
KNOWN = {"gamma_positive": 1.5, "gamma_negative": 3.0, "margin": 0.1}


def drawn(seed, num, num_classes, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(num, num_classes, dtype=torch.float64, generator=generator)


def softmax(row):
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def slow_asymmetric(row, label, *, gamma_positive, gamma_negative, margin):
    """Of one utterance, as eq. 4 has it, with the minus."""
    loss = 0.0
    for code, p in enumerate(softmax(row)):
        if code == label:
            loss -= (1 - p) ** gamma_positive * math.log(p)
        else:
            p_m = max(p - margin, 0)
            loss -= p_m**gamma_negative * math.log(1 - p_m)
    return loss


def slow_dependency(group_row, subgroup_row, group, subgroup, losses):
    """Of one utterance, as eq. 5 has it, without its minus; 0 where both exponents are 0 as nothing conflicts."""
    told_group, told_subgroup = (max(range(len(row)), key=row.__getitem__) for row in (group_row, subgroup_row))
    d = int(OF_GROUP[told_subgroup] != told_group)
    i_group, i_subgroup = int(told_group != group), int(told_subgroup != subgroup)
    return losses[1] ** (d * i_subgroup) * losses[0] ** (d * i_group) if d else 0.0


def cost(group_rows, subgroup_rows, group, subgroup, losses):
    return dependency(
        group_rows,
        subgroup_rows,
        group_B=torch.tensor(group),
        subgroup_B=torch.tensor(subgroup),
        group_loss_B=losses[0],
        subgroup_loss_B=losses[1],
        group_of_subgroup_K=torch.tensor(OF_GROUP),
    )


# ---------------------------------------------------------------------------------------------------------------- eq. 2


def test_distances_by_hand():
    student = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    teacher = torch.tensor([[2.0, 2.0 * math.sqrt(3)], [-3.0, -4.0]])
    assert distance(student, teacher, "cosine").item() == pytest.approx((0.5 + 2.0) / 2, rel=1e-6)  # 60 and 180 degrees
    squares = 1 + 12 + 36 + 64
    assert distance(student, teacher, "mse").item() == pytest.approx(squares / 4, rel=1e-6)


@pytest.mark.parametrize("kind", ["mse", "cosine"])
@given(seed=st.integers(0, 2**31), num=st.integers(1, 5), width=st.integers(1, 7))
def test_a_distance_is_that_of_a_loop(kind, seed, num, width):
    student, teacher = drawn(seed, num, width), drawn(seed + 1, num, width)
    each = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        if kind == "mse":
            each.append(sum((a - b) ** 2 for a, b in zip(s, t, strict=True)) / width)
        else:
            each.append(1 - sum(a * b for a, b in zip(s, t, strict=True)) / math.hypot(*s) / math.hypot(*t))
    assert distance(student, teacher, kind).item() == pytest.approx(sum(each) / num, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["mse", "cosine"])
def test_a_distance_is_computed_in_float32_and_has_slopes_at_silence(kind):
    student = torch.zeros(2, 4, dtype=torch.bfloat16, requires_grad=True)
    found = distance(student, torch.ones(2, 4, dtype=torch.bfloat16), kind)
    found.backward()
    assert found.dtype == torch.float32
    assert found.item() == 1
    assert torch.isfinite(student.grad).all()


# ------------------------------------------------------------------------------------------------- the cross-entropy


@given(seed=st.integers(0, 2**31), labels=st.lists(st.integers(-1, 3), min_size=1, max_size=6))
def test_the_cross_entropy_is_smoothed_and_leaves_out_who_is_not_known(seed, labels):
    logits, smoothing = drawn(seed, len(labels), 4), 0.1
    found = smoothed_cross_entropy(logits, torch.tensor(labels), smoothing=smoothing)
    for row, label, loss in zip(logits.tolist(), labels, found.tolist(), strict=True):
        each = [-math.log(p) for p in softmax(row)]
        expected = 0 if label == -1 else (1 - smoothing) * each[label] + smoothing * sum(each) / 4
        assert loss == pytest.approx(expected, rel=1e-9)


# ---------------------------------------------------------------------------------------------------------------- eq. 4


def test_the_asymmetric_loss_by_hand():
    logits = torch.tensor([[math.log(4), 0.0]], dtype=torch.float64)  # p is 0.8 and 0.2
    told = {"gamma_positive": 1.0, "gamma_negative": 2.0, "margin": 0.1}
    true_first = -0.2 * math.log(0.8) - 0.1**2 * math.log(0.9)
    true_second = -0.8 * math.log(0.2) - 0.7**2 * math.log(0.3)
    assert asymmetric(logits, torch.tensor([0]), **told).item() == pytest.approx(true_first, rel=1e-12)
    assert asymmetric(logits, torch.tensor([1]), **told).item() == pytest.approx(true_second, rel=1e-12)


def test_a_class_below_the_margin_costs_nothing():
    logits = torch.tensor([[math.log(8), 0.0, 0.0]], dtype=torch.float64)  # p is 0.8, 0.1 and 0.1
    found = asymmetric(logits, torch.tensor([0]), gamma_positive=0.0, gamma_negative=4.0, margin=0.1 + 1e-9)
    assert found.item() == pytest.approx(-math.log(0.8), rel=1e-12)


def test_without_gammas_and_margin_it_is_the_cross_entropy_of_each_class_against_the_rest():
    logits, label = drawn(0, 6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    plain = {"gamma_positive": 0.0, "gamma_negative": 0.0, "margin": 0.0}
    is_true = functional.one_hot(label, 4).double()
    expected = functional.binary_cross_entropy(logits.softmax(dim=1), is_true, reduction="none").sum(dim=1)
    torch.testing.assert_close(asymmetric(logits, label, **plain), expected)


@given(
    seed=st.integers(0, 2**31),
    labels=st.lists(st.integers(-1, 4), min_size=1, max_size=6),
    gamma_positive=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    gamma_negative=st.sampled_from([0.0, 0.5, 4.0]),
    margin=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_the_asymmetric_loss_is_eq_4(seed, labels, gamma_positive, gamma_negative, margin):
    told = {"gamma_positive": gamma_positive, "gamma_negative": gamma_negative, "margin": margin}
    logits = drawn(seed, len(labels), 5)
    found = asymmetric(logits, torch.tensor(labels), **told)
    for row, label, loss in zip(logits.tolist(), labels, found.tolist(), strict=True):
        expected = 0 if label == -1 else slow_asymmetric(row, label, **told)
        assert loss == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize("gammas", [(0.0, 4.0), (1.0, 2.0), (0.5, 0.5), (0.0, 0.0)])
def test_the_asymmetric_loss_has_the_slopes_that_differences_give(gammas, margin):
    label = torch.tensor([0, 3, -1, 2])
    told = {"gamma_positive": gammas[0], "gamma_negative": gammas[1], "margin": margin}
    assert torch.autograd.gradcheck(
        lambda logits: asymmetric(logits, label, **told), drawn(1, 4, 4).requires_grad_(), eps=1e-7
    )


@pytest.mark.parametrize("margin", [0.0, 1e-9, 0.05])
@pytest.mark.parametrize("gammas", [(0.0, 4.0), (1.0, 2.0), (0.5, 0.5), (0.0, 0.0)])
@pytest.mark.parametrize("label", [0, 1])
def test_a_sure_answer_right_or_wrong_has_finite_losses_and_slopes(label, gammas, margin):
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    told = {"gamma_positive": gammas[0], "gamma_negative": gammas[1], "margin": margin}
    loss = asymmetric(logits, torch.tensor([label]), **told).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert (loss > 300) == (label == 1)


# ---------------------------------------------------------------------------------------------------------------- eq. 5


@pytest.mark.parametrize(
    ("told_group", "told_subgroup", "group", "subgroup", "expected"),
    [
        (0, 1, 0, 1, 0.0),  # right
        (0, 1, 0, 0, 0.0),  # the subgroup is wrong, and within the group that is told
        (1, 2, 0, 1, 0.0),  # both are wrong together
        (0, 2, 0, 1, 5.0),  # a conflict: the subgroup is wrong
        (1, 0, 0, 0, 3.0),  # a conflict: the group is wrong
        (1, 4, 0, 0, 15.0),  # a conflict: both are
        (0, 2, -1, 1, 0.0),  # not known
        (0, 2, 0, -1, 0.0),
    ],
)
def test_a_conflict_costs_the_loss_of_what_is_wrong(told_group, told_subgroup, group, subgroup, expected):
    rows = (
        functional.one_hot(torch.tensor([told_group]), 3).double(),
        functional.one_hot(torch.tensor([told_subgroup]), 5).double(),
    )
    losses = torch.tensor([3.0]), torch.tensor([5.0])
    assert cost(*rows, [group], [subgroup], losses).item() == expected


@given(seed=st.integers(0, 2**31), labels=st.lists(st.integers(-1, 4), min_size=1, max_size=8))
def test_the_dependency_loss_is_eq_5(seed, labels):
    num = len(labels)
    rows = drawn(seed, num, 3), drawn(seed + 1, num, 5)
    losses = drawn(seed + 2, num, 1)[:, 0].abs(), drawn(seed + 3, num, 1)[:, 0].abs()
    groups = [-1 if label == -1 else OF_GROUP[label] for label in labels]
    found = cost(*rows, groups, labels, losses)
    for at, (group, label) in enumerate(zip(groups, labels, strict=True)):
        own = losses[0][at].item(), losses[1][at].item()
        expected = 0 if label == -1 else slow_dependency(rows[0][at].tolist(), rows[1][at].tolist(), group, label, own)
        assert found[at].item() == pytest.approx(expected, rel=1e-12)
    assert (found >= 0).all()


def test_the_slope_of_the_dependency_loss_is_that_of_the_losses_in_its_product():
    group, subgroup = torch.tensor([0, 0, 1, 2, -1]), torch.tensor([1, 0, 2, 4, -1])

    def summed(group_rows, subgroup_rows):
        losses = asymmetric(group_rows, group, **KNOWN), asymmetric(subgroup_rows, subgroup, **KNOWN)
        return cost(group_rows, subgroup_rows, group.tolist(), subgroup.tolist(), losses)

    rows = drawn(5, 5, 3).requires_grad_(), drawn(6, 5, 5).requires_grad_()
    assert (summed(*rows) > 0).sum() >= 2  # conflicts that are differentiated
    assert torch.autograd.gradcheck(summed, rows, eps=1e-7)


def test_with_both_wrong_each_learns_by_as_much_as_the_other_s_loss():
    rows = functional.one_hot(torch.tensor([1]), 3).double(), functional.one_hot(torch.tensor([4]), 5).double()
    losses = torch.tensor([3.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)
    cost(*rows, [0], [0], losses).sum().backward()
    assert (losses[0].grad.item(), losses[1].grad.item()) == (5.0, 3.0)


# ------------------------------------------------------------------------------------------------------ of those known


def test_the_mean_is_over_those_known():
    loss = torch.tensor([2.0, 0.0, 4.0])
    assert mean_of_known(loss, torch.tensor([True, False, True])).item() == 3.0


@pytest.mark.parametrize("which", ["cross-entropy", "asymmetric", "dependency"])
def test_a_batch_without_labels_is_zero_with_a_graph(which):
    rows = drawn(0, 3, 3).float().requires_grad_(), drawn(1, 3, 5).float().requires_grad_()
    nobody = torch.full((3,), -1)
    if which == "cross-entropy":
        loss = smoothed_cross_entropy(rows[0], nobody, smoothing=0.1)
    elif which == "asymmetric":
        loss = asymmetric(rows[0], nobody, **KNOWN)
    else:
        losses = asymmetric(rows[0], nobody, **KNOWN), asymmetric(rows[1], nobody, **KNOWN)
        loss = cost(*rows, [-1] * 3, [-1] * 3, losses)
    mean = mean_of_known(loss, nobody >= 0)
    mean.backward()
    assert mean.item() == 0
    assert (rows[0].grad == 0).all()


def test_losses_of_a_network_in_bfloat16_are_in_float32():
    logits, label = drawn(0, 3, 4).bfloat16(), torch.tensor([0, 1, -1])
    for loss in (smoothed_cross_entropy(logits, label, smoothing=0.1), asymmetric(logits, label, **KNOWN)):
        assert loss.dtype == torch.float32
