"""What the angular prototypical losses promise: the paper's equations, worked by hand by loops, and no surprises."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from models.angular_prototypical.loss import AngularPrototypical, raw_scale_of

KINDS = [("ap", 0.0), ("amp-cos", 0.3), ("amp-arc", 0.2), ("amp-arc", 0.5)]
EACH_KIND = pytest.mark.parametrize(("kind", "margin"), KINDS)


def embeddings(seed, num_people=4, num_utterances=3, dimension=5):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(num_people, num_utterances, dimension, generator=rng, dtype=torch.float64)


def by_loops(emb, kind, margin, scale=10.0, bias=-5.0):
    """Equations 1 to 5, number by number."""
    people = emb.tolist()
    total = 0.0
    for i, utterances in enumerate(people):
        query, scores = utterances[-1], []
        for k, others in enumerate(people):
            centroid = [sum(column) / (len(others) - 1) for column in zip(*others[:-1], strict=True)]
            dot = sum(q * c for q, c in zip(query, centroid, strict=True))
            cosine = dot / math.hypot(*query) / math.hypot(*centroid)
            if i == k and kind == "amp-cos":
                cosine -= margin
            if i == k and kind == "amp-arc":
                angle = math.acos(cosine)
                cosine = math.cos(angle + margin) if angle + margin <= math.pi else cosine - margin * math.sin(margin)
            scores.append(scale * cosine + bias)
        total -= math.log(math.exp(scores[i]) / sum(map(math.exp, scores)))
    return total / len(people)


@EACH_KIND
@given(
    seed=st.integers(0, 2**32 - 1),
    num_people=st.integers(2, 6),
    num_utterances=st.integers(2, 5),
    dimension=st.integers(2, 8),
)
def test_the_loss_is_that_of_the_equations(kind, margin, seed, num_people, num_utterances, dimension):
    emb = embeddings(seed, num_people, num_utterances, dimension)
    expected = by_loops(emb, kind, margin)
    assert AngularPrototypical(kind, margin=margin)(emb).item() == pytest.approx(expected, abs=1e-6)
    assert AngularPrototypical(kind, margin=margin)(emb.float()).item() == pytest.approx(expected, abs=2e-4)


@EACH_KIND
def test_two_people_worked_by_hand(kind, margin):
    """The queries lie 60 degrees from their own prototypes and 30 from the other's; w = 2, b = 1."""
    half, root = 0.5, math.sqrt(3) / 2
    emb = torch.tensor([[[3.0, 0.0], [half, root]], [[0.0, 7.0], [2 * root, 2 * half]]])
    true = {"ap": half, "amp-cos": half - margin, "amp-arc": math.cos(math.pi / 3 + margin)}[kind]
    loss = AngularPrototypical(kind, margin=margin, scale=2.0, bias=1.0)
    expected = torch.tensor([[2 * true + 1, 2 * root + 1], [2 * root + 1, 2 * true + 1]])
    torch.testing.assert_close(loss.scores(emb), expected, atol=1e-6, rtol=0)
    assert loss(emb).item() == pytest.approx(math.log(1 + math.exp(2 * root - 2 * true)), abs=1e-6)


def test_the_prototype_is_the_mean_of_what_comes_before_the_last_as_it_is():
    """A long vector weighs more than a short one, and the last one is in no prototype."""
    emb = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [3.0, 1.0]], [[0.0, 1.0], [0.0, 1.0], [-1.0, 3.0]]])
    cosines = AngularPrototypical("ap", scale=1.0, bias=0.0).scores(emb)
    expected = torch.tensor([[1.0, 1 / math.sqrt(10)], [0.0, 3 / math.sqrt(10)]])
    torch.testing.assert_close(cosines, expected, atol=1e-6, rtol=0)


@EACH_KIND
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), num_people=st.integers(2, 4), num_utterances=st.integers(2, 3))
def test_the_gradient_is_that_of_the_loss(kind, margin, seed, num_people, num_utterances):
    loss = AngularPrototypical(kind, margin=margin).double()
    emb = embeddings(seed, num_people, num_utterances).requires_grad_()

    def of(emb, raw_scale, bias):
        return torch.func.functional_call(loss, {"raw_scale": raw_scale, "bias": bias}, (emb,))

    learnt = [parameter.detach().clone().requires_grad_() for parameter in (loss.raw_scale, loss.bias)]
    assert torch.autograd.gradcheck(of, (emb, *learnt))


@pytest.mark.parametrize("kind", ["amp-cos", "amp-arc"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_margin_it_is_ap_to_the_last_bit_and_in_its_gradient(kind, dtype):
    for seed in range(20):
        found = {}
        for one in ("ap", kind):
            emb = embeddings(seed).to(dtype).requires_grad_()
            loss = AngularPrototypical(one)
            loss(emb).backward()
            found[one] = (loss.scores(emb), emb.grad)
        assert torch.equal(found["ap"][0], found[kind][0])
        torch.testing.assert_close(found["ap"][1], found[kind][1])


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.5])
def test_a_wider_angle_never_scores_higher_not_even_past_pi(margin):
    angle = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    queries = torch.stack([angle.cos(), angle.sin()], dim=1)
    loss = AngularPrototypical("amp-arc", margin=margin)
    prototype, other = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    scores = [
        loss.scores(torch.stack([torch.stack([prototype, query]), torch.stack([other, other])]))[0, 0].item()
        for query in queries
    ]
    assert all(one > next_one for one, next_one in pairwise(scores))
    plain = [10 * math.cos(one + margin) - 5 for one in angle.tolist() if one + margin <= math.pi]
    assert scores[: len(plain)] == pytest.approx(plain, abs=1e-6)


@EACH_KIND
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("query", "prototype", "cosine"),
    [((1.0, 0.0), (1.0, 0.0), 1.0), ((1.0, 0.0), (-1.0, 0.0), -1.0), ((0.0, 0.0), (1.0, 0.0), 0.0)],
)
def test_at_the_ends_and_at_zero_the_loss_is_right_and_its_slope_small(kind, margin, dtype, query, prototype, cosine):
    emb = torch.tensor([[prototype, query]] * 3, dtype=dtype).requires_grad_()
    loss = AngularPrototypical(kind, margin=margin)
    value = loss(emb)
    value.backward()
    wide = math.cos(math.acos(cosine) + margin) if cosine > -1 else -1 - margin * math.sin(margin)
    true = {"ap": cosine, "amp-cos": cosine - margin, "amp-arc": wide}[kind]
    assert value.item() == pytest.approx(math.log(1 + 2 * math.exp(10 * (cosine - true))), abs=1e-6)
    assert all(parameter.grad.isfinite() for parameter in loss.parameters())
    assert emb.grad.isfinite().all()
    assert emb.grad.abs().max() < 20


@EACH_KIND
def test_perfect_embeddings_of_noise_have_small_gradients(kind, margin):
    """Next to an angle of zero the sine is steep: what is rounded must not be blown up."""
    base = functional.normalize(embeddings(3, 16, 1, 64).float(), dim=-1)
    emb = (base.repeat(1, 2, 1) + 1e-7 * embeddings(4, 16, 2, 64).float()).requires_grad_()
    AngularPrototypical(kind, margin=margin)(emb).backward()
    assert emb.grad.isfinite().all()
    assert emb.grad.abs().max() < 1


@EACH_KIND
def test_under_autocast_it_is_the_loss_in_float32(kind, margin):
    emb = embeddings(5, 8, 2, 64).bfloat16().requires_grad_()
    loss = AngularPrototypical(kind, margin=margin)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, scores = loss(emb), loss.scores(emb)
    value.backward()
    assert value.dtype == scores.dtype == torch.float32
    assert torch.equal(value, loss(emb.detach().float()))
    assert value.isfinite()
    assert emb.grad.isfinite().all()


def test_the_scale_starts_at_ten_and_the_bias_at_minus_five():
    loss = AngularPrototypical("ap")
    assert loss.scale.item() == pytest.approx(10, abs=1e-6)
    assert loss.bias.item() == -5
    assert {name for name, _ in loss.named_parameters()} == {"raw_scale", "bias"}


def test_the_scale_stays_positive_and_comes_back():
    """Down among people who sound like each other's prototypes, where less is always better; then up among others."""
    right = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    wrong = torch.stack([right[:, 0], right[:, 1].flip(0)], dim=1)
    loss = AngularPrototypical("ap")
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    scales = []
    for emb in (wrong, right):
        for _ in range(200):
            optimizer.zero_grad()
            loss(emb).backward()
            optimizer.step()
            scales.append(loss.scale.item())
    assert 0 < min(scales) == scales[199] < 0.05
    assert scales[-1] > 20 * scales[199]


def test_the_scale_learns_as_fast_as_if_it_were_learnt_itself():
    emb = embeddings(1)
    loss = AngularPrototypical("ap").double()
    loss(emb).backward()
    ahead, behind = (by_loops(emb, "ap", 0.0, scale=10 + step) for step in (1e-5, -1e-5))
    assert loss.raw_scale.grad.item() == pytest.approx((ahead - behind) / 2e-5, rel=1e-4)


@given(scale=st.floats(1e-6, 1e4))
def test_any_scale_is_found_again(scale):
    assert AngularPrototypical("ap", scale=scale).scale.item() == pytest.approx(scale, rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 2, 4), (3, 1, 4), (3, 4), (0, 2, 4), (2, 0, 4)])
def test_a_batch_that_cannot_give_the_loss_is_refused(shape):
    with pytest.raises(ValueError, match=r"^embeddings of shape \(.*\): expected \(people, utterances of each, D\)"):
        AngularPrototypical("ap")(torch.ones(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "amp"}, "kind 'amp': expected one of ap, amp-cos, amp-arc"),
        ({"kind": "ap", "margin": 0.1}, "margin 0.1 of ap"),
        ({"kind": "amp-cos", "margin": -0.1}, "margin -0.1 of amp-cos"),
        ({"kind": "amp-arc", "margin": 1.6}, "margin 1.6 of amp-arc"),
        ({"kind": "amp-arc", "margin": math.nan}, "margin nan of amp-arc"),
        ({"kind": "ap", "scale": 0.0}, "scale 0.0: expected a positive number"),
        ({"kind": "ap", "scale": -3.0}, "scale -3.0: expected a positive number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AngularPrototypical(**settings)


def test_nan_is_seen_in_the_loss():
    emb = embeddings(0)
    emb[1, 0, 0] = math.nan
    assert AngularPrototypical("amp-arc", margin=0.2)(emb).isnan()


def test_the_inverse_of_softplus_is_exact_where_the_scale_is_small():
    assert raw_scale_of(1e-9) == pytest.approx(math.log(1e-9), rel=1e-9)
