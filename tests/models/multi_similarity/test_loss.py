"""What the multi-similarity loss promises: the paper's equations, by hand and by loops; its slope is the weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.multi_similarity.loss import MultiSimilarity, loss_of_pairs, mined, multi_task, weights_of_pairs

CONSTANTS = {"alpha": 2.0, "beta": 50.0, "threshold": 1.0}


@st.composite
def batches(draw):
    """Embeddings of two people or more, one of them heard twice at least; others may be heard once."""
    counts = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5).filter(lambda counts: max(counts) > 1))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    person = torch.repeat_interleave(torch.arange(len(counts)) * 7, torch.tensor(counts))
    person = person[torch.randperm(len(person), generator=rng)]
    spread = draw(st.sampled_from([0.1, 0.5, 3.0]))
    centre = torch.randn(40, 3, generator=rng, dtype=torch.float64)[person]
    return centre + spread * torch.randn(centre.shape, generator=rng, dtype=torch.float64), person


def pairs_by_loops(similarity, people, margin):
    """Equation 3, pair by pair: (anchor, other) of the positive and of the negative pairs."""
    positive, negative, everyone = set(), set(), range(len(people))
    for i in everyone:
        own = [k for k in everyone if people[k] == people[i] and k != i]
        others = [k for k in everyone if people[k] != people[i]]
        for j in own:
            if any(similarity[i][j] < similarity[i][k] + margin for k in others):
                positive.add((i, j))
        for j in others:
            if any(similarity[i][j] > similarity[i][k] - margin for k in own):
                negative.add((i, j))
    return positive, negative


def loss_by_loops(emb, people, *, alpha=2.0, beta=50.0, threshold=1.0, margin=0.1, normalised=True):
    """Equations 3 and 5 from vectors, number by number."""
    rows = emb.tolist()
    if normalised:
        rows = [[value / math.hypot(*row) for value in row] for row in rows]
    similarity = [[sum(a * b for a, b in zip(one, other, strict=True)) for other in rows] for one in rows]
    positive, negative = pairs_by_loops(similarity, people, margin)
    total = 0.0
    for i in range(len(rows)):
        pulled = sum(math.exp(-alpha * (similarity[a][k] - threshold)) for a, k in positive if a == i)
        pushed = sum(math.exp(beta * (similarity[a][k] - threshold)) for a, k in negative if a == i)
        total += math.log(1 + pulled) / alpha + math.log(1 + pushed) / beta
    return total / len(rows)


def weights_by_loops(similarity, positive, negative, *, alpha, beta, threshold):
    """Equation 4 as printed."""
    weights = [[0.0] * len(similarity) for _ in similarity]
    for i, j in positive:
        own = [k for a, k in positive if a == i]
        below = math.exp(-alpha * (threshold - similarity[i][j]))
        weights[i][j] = 1 / (below + sum(math.exp(-alpha * (similarity[i][k] - similarity[i][j])) for k in own))
    for i, j in negative:
        others = [k for a, k in negative if a == i]
        below = math.exp(beta * (threshold - similarity[i][j]))
        weights[i][j] = 1 / (below + sum(math.exp(beta * (similarity[i][k] - similarity[i][j])) for k in others))
    return weights


def places(mask):
    return {(i, j) for i, j in mask.nonzero().tolist()}


@given(batch=batches(), margin=st.sampled_from([0.0, 0.1, 0.5]))
def test_the_loss_is_that_of_the_equations(batch, margin):
    emb, person = batch
    expected = loss_by_loops(emb, person.tolist(), margin=margin)
    assert MultiSimilarity(margin=margin)(emb, person).item() == pytest.approx(expected, abs=1e-6)


@given(batch=batches())
def test_with_other_constants_and_raw_vectors_too(batch):
    emb, person = batch
    constants = {"alpha": 1.5, "beta": 3.0, "threshold": 0.5, "margin": 0.3, "normalised": False}
    expected = loss_by_loops(emb, person.tolist(), **constants)
    assert MultiSimilarity(**constants)(emb, person).item() == pytest.approx(expected, abs=1e-6)


@given(batch=batches(), margin=st.sampled_from([0.0, 0.1, 0.5]))
def test_the_pairs_are_those_of_equation_3(batch, margin):
    emb, person = batch
    similarity = torch.nn.functional.normalize(emb) @ torch.nn.functional.normalize(emb).T
    pairs = mined(similarity, person, margin=margin)
    expected = pairs_by_loops(similarity.tolist(), person.tolist(), margin)
    assert (places(pairs.positive), places(pairs.negative)) == expected


def test_mining_worked_by_hand():
    """Utterances 0, 1 and 2 are of one person, 3 and 4 of another; the margin is 0.1.

    Anchor 0: its hardest negative is 0.5, so positives below 0.6 stay: 2 (0.55), not 1 (0.9). Its hardest positive is
    0.55, so negatives above 0.45 stay: 3 (0.5), not 4 (0.2).
    Anchor 1: hardest negative 0.3, hardest positive 0.8: nothing below 0.4, nothing above 0.7. No pairs.
    Anchor 2: hardest negative 0.75: below 0.85 are 0 (0.55) and 1 (0.8). Hardest positive 0.55: above 0.45 is 4 (0.75),
    not 3 (0.45): the bound itself is outside.
    Anchor 3: hardest negative 0.5: below 0.6 is nothing: 4 is at 0.6. Hardest positive 0.6: above 0.5 is nothing.
    Anchor 4: hardest negative 0.75: below 0.85 is 3 (0.6). Hardest positive 0.6: above 0.5 is 2 (0.75).
    """
    similarity = torch.tensor(
        [
            [1.00, 0.90, 0.55, 0.50, 0.20],
            [0.90, 1.00, 0.80, 0.30, 0.10],
            [0.55, 0.80, 1.00, 0.45, 0.75],
            [0.50, 0.30, 0.45, 1.00, 0.60],
            [0.20, 0.10, 0.75, 0.60, 1.00],
        ],
        dtype=torch.float64,
    )
    pairs = mined(similarity, torch.tensor([0, 0, 0, 1, 1]), margin=0.1)
    assert places(pairs.positive) == {(0, 2), (2, 0), (2, 1), (4, 3)}
    assert places(pairs.negative) == {(0, 3), (2, 4), (4, 2)}


def test_a_pair_is_mined_by_one_anchor_and_not_by_the_other():
    """0 and 1 are one person. For 0 the pair is easy; 1 has a stranger as near as its own."""
    similarity = torch.tensor([[1.0, 0.8, 0.1], [0.8, 1.0, 0.8], [0.1, 0.8, 1.0]])
    pairs = mined(similarity, torch.tensor([5, 5, 9]), margin=0.1)
    assert places(pairs.positive) == {(1, 0)}
    assert places(pairs.negative) == {(1, 2)}


def test_the_readings_differ_from_the_print_where_they_should():
    """As printed, eq. 3 would keep the easy positive pair and drop the hard one, and keep every negative pair."""
    similarity = torch.tensor([[1.0, 0.95, 0.3, 0.5], [0.95, 1.0, 0.3, 0.1], [0.3, 0.3, 1.0, 0.1], [0.5, 0.1, 0.1, 1]])
    pairs = mined(similarity, torch.tensor([0, 0, 0, 1]), margin=0.1)
    assert places(pairs.positive) >= {(0, 2)}
    assert (0, 1) not in places(pairs.positive)
    assert (1, 3) not in places(pairs.negative)


def test_the_loss_worked_by_hand():
    """Two utterances of each of two people in a plane: 0 and 60 degrees, and 90 and 150 degrees.

    Cosines: own 1/2 both; 0-90: 0, 0-150: -root(3)/2, 60-90: root(3)/2, 60-150: 0. By eq. 3 with 0.1, utterance 60
    keeps its own (0.5 < 0.97) and the stranger at 90 (0.87 > 0.4), and so does utterance 90; the others keep nothing.
    """
    angles = torch.deg2rad(torch.tensor([0.0, 60.0, 90.0, 150.0], dtype=torch.float64))
    emb = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    root = math.sqrt(3) / 2
    one = math.log(1 + math.exp(-2 * (0.5 - 1))) / 2 + math.log(1 + math.exp(50 * (root - 1))) / 50
    found = MultiSimilarity()(emb, torch.tensor([0, 0, 1, 1]))
    assert found.item() == pytest.approx(2 * one / 4, abs=1e-9)


@given(batch=batches())
def test_the_slope_of_equation_5_is_the_weights_of_equation_4(batch):
    emb, person = batch
    directions = torch.nn.functional.normalize(emb)
    similarity = (directions @ directions.T).requires_grad_()
    pairs = mined(similarity, person, margin=0.1)
    loss_of_pairs(similarity, pairs, **CONSTANTS).backward()
    printed = weights_by_loops(similarity.tolist(), places(pairs.positive), places(pairs.negative), **CONSTANTS)
    printed = torch.tensor(printed, dtype=torch.float64)
    sign = pairs.negative.double() - pairs.positive.double()
    torch.testing.assert_close(similarity.grad, sign * printed / len(person), atol=1e-12, rtol=1e-9)
    weights = weights_of_pairs(similarity.detach(), pairs, **CONSTANTS)
    torch.testing.assert_close(weights, printed, atol=1e-12, rtol=1e-9)


@settings(max_examples=10)
@given(batch=batches(), normalised=st.booleans())
def test_the_gradient_is_that_of_the_loss(batch, normalised):
    emb, person = batch
    loss = MultiSimilarity(normalised=normalised, beta=50.0 if normalised else 5.0)
    assert torch.autograd.gradcheck(lambda emb: loss(emb, person), emb.requires_grad_())


@given(batch=batches(), scale=st.floats(0.01, 100))
def test_neither_the_order_nor_the_length_of_vectors_matters(batch, scale):
    emb, person = batch
    loss = MultiSimilarity()
    order = torch.arange(len(person)).flip(0)
    expected = loss(emb, person).item()
    assert loss(emb[order], person[order]).item() == pytest.approx(expected, abs=1e-9)
    assert loss(scale * emb, person).item() == pytest.approx(expected, abs=1e-9)


def test_perfect_embeddings_cost_nothing_and_have_no_slope():
    emb = torch.eye(4).repeat_interleave(3, dim=0).requires_grad_()
    loss = MultiSimilarity()(emb, torch.arange(4).repeat_interleave(3))
    loss.backward()
    assert loss.item() == 0
    assert not emb.grad.any()


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_where_all_embeddings_are_equal_all_pairs_count(value):
    """At cosine 1 (or 0, of zero vectors) each of 4 anchors has one positive pair and two negative ones."""
    emb = torch.full((4, 8), value).requires_grad_()
    loss = MultiSimilarity()(emb, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    cosine = 1 if value else 0
    expected = math.log(1 + math.exp(-2 * (cosine - 1))) / 2 + math.log(1 + 2 * math.exp(50 * (cosine - 1))) / 50
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert emb.grad.isfinite().all()
    assert emb.grad.abs().max() < 10


def test_long_raw_vectors_do_not_overflow():
    emb = (100 * torch.randn(8, 512, generator=torch.Generator().manual_seed(0))).requires_grad_()
    loss = MultiSimilarity(normalised=False)(emb, torch.arange(8) // 2)
    loss.backward()
    assert loss.isfinite()
    assert emb.grad.isfinite().all()


def test_an_utterance_of_somebody_who_is_heard_once_is_only_a_stranger():
    emb = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    pairs = mined(emb @ emb.T, torch.tensor([0, 0, 1]), margin=0.1)
    assert places(pairs.positive) == {(0, 1), (1, 0)}
    assert places(pairs.negative) == {(0, 2), (1, 2)}


def test_nan_is_seen_in_the_loss():
    emb = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    emb[2, 1] = math.nan
    assert MultiSimilarity()(emb, torch.arange(6) // 2).isnan()


def test_under_autocast_it_is_the_loss_in_float32():
    emb = torch.randn(12, 64, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    person = torch.arange(12) // 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = MultiSimilarity()(emb, person)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, MultiSimilarity()(emb.detach().float(), person))
    assert value.item() > 0
    assert emb.grad.isfinite().all()


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([3, 3, 3], "3 utterances of 1 people: expected two people, and two utterances of one, at least"),
        ([0, 1, 2], "3 utterances of 3 people: expected two people, and two utterances of one, at least"),
        ([0, 0], r"embeddings of shape \(3, 4\), people of shape \(2,\): expected \(B, D\) and \(B,\)"),
    ],
)
def test_a_batch_that_cannot_give_the_loss_is_refused(people, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MultiSimilarity()(torch.ones(3, 4), torch.tensor(people))


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"beta": -1.0}, {"margin": -0.1}, {"alpha": math.nan}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match="expected above 0, above 0, and 0 at least"):
        MultiSimilarity(**settings)


def test_the_constants_are_the_papers():
    loss = MultiSimilarity()
    assert (loss.alpha, loss.beta, loss.threshold, loss.margin) == (2, 50, 1, 0.1)


@pytest.mark.parametrize(("eta", "expected"), [(0.0, 5.0), (0.1, 4.7), (0.3, 4.1), (1.0, 2.0)])
def test_eta_weighs_the_two_losses(eta, expected):
    assert multi_task(torch.tensor(2.0), torch.tensor(5.0), eta=eta).item() == pytest.approx(expected)


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_an_eta_that_is_no_share_is_refused(eta):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        multi_task(torch.tensor(2.0), torch.tensor(5.0), eta=eta)
