"""What the softmax heads promise: their equations, by hand and by loops; and who is picked beside a drawn person."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.common import classification
from models.common.classification import AdditiveAngularMargin, AdditiveMargin, SpeakerSoftmax, hard_speakers

KINDS = [SpeakerSoftmax, AdditiveAngularMargin, AdditiveMargin]
SHAPES = {
    "seed": st.integers(0, 2**32 - 1),
    "num": st.integers(1, 6),
    "num_people": st.integers(2, 7),
    "dimension": st.integers(2, 8),
}


def drawn(seed, num, num_people, dimension):
    rng = torch.Generator().manual_seed(seed)
    emb = torch.randn(num, dimension, generator=rng, dtype=torch.float64)
    return emb, torch.randint(num_people, (num,), generator=rng), rng


def cross_entropy(scores, person):
    return -math.log(math.exp(scores[person]) / sum(map(math.exp, scores)))


def wider(cosine, margin_rad):
    """Equation 3 of ArcFace."""
    angle = math.acos(cosine) + margin_rad
    return math.cos(angle) if angle <= math.pi else cosine - margin_rad * math.sin(margin_rad)


def margin_by_loops(emb, codes, prototypes, harder, scale):
    """Number by number; `harder` is what becomes of the cosine to one's own prototype."""
    total = 0.0
    for row, person in zip(emb.tolist(), codes.tolist(), strict=True):
        scores = []
        for code, prototype in enumerate(prototypes.tolist()):
            dot = sum(a * b for a, b in zip(row, prototype, strict=True))
            cosine = dot / math.hypot(*row) / math.hypot(*prototype)
            scores.append(scale * (harder(cosine) if code == person else cosine))
        total += cross_entropy(scores, person)
    return total / len(emb)


@given(**SHAPES, margin_rad=st.sampled_from([0.0, 0.2, 0.5]), scale=st.sampled_from([1.0, 30.0]))
def test_the_margin_loss_is_that_of_the_equation(seed, num, num_people, dimension, margin_rad, scale):
    emb, codes, rng = drawn(seed, num, num_people, dimension)
    head = AdditiveAngularMargin(dimension, num_people, margin_rad=margin_rad, scale=scale).double()
    head.prototypes.data = torch.randn(num_people, dimension, generator=rng, dtype=torch.float64)
    expected = margin_by_loops(emb, codes, head.prototypes, lambda cosine: wider(cosine, margin_rad), scale)
    assert head(emb, codes).item() == pytest.approx(expected, abs=1e-6)


@given(**SHAPES, margin=st.sampled_from([0.0, 0.2, 0.4]), scale=st.sampled_from([1.0, 30.0]))
def test_the_loss_with_the_margin_of_the_cosine_is_that_of_the_equation(
    seed, num, num_people, dimension, margin, scale
):
    """Cross-entropy of s (cos - m) among s cos."""
    emb, codes, rng = drawn(seed, num, num_people, dimension)
    head = AdditiveMargin(dimension, num_people, margin=margin, scale=scale).double()
    head.prototypes.data = torch.randn(num_people, dimension, generator=rng, dtype=torch.float64)
    expected = margin_by_loops(emb, codes, head.prototypes, lambda cosine: cosine - margin, scale)
    assert head(emb, codes).item() == pytest.approx(expected, abs=1e-6)


@given(**SHAPES)
def test_the_cross_entropy_is_that_of_equation_6_with_a_minus(seed, num, num_people, dimension):
    emb, codes, _ = drawn(seed, num, num_people, dimension)
    head = SpeakerSoftmax(dimension, num_people).double()
    weight, bias = head.output.weight.tolist(), head.output.bias.tolist()
    total = 0.0
    for row, person in zip(emb.tolist(), codes.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(row, one, strict=True)) + c for one, c in zip(weight, bias, strict=True)]
        total += cross_entropy(scores, person)
    assert head(emb, codes).item() == pytest.approx(total / num, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(**SHAPES)
def test_the_gradient_is_that_of_the_loss(kind, seed, num, num_people, dimension):
    emb, codes, _ = drawn(seed, num, num_people, dimension)
    head = kind(dimension, num_people).double()
    names, learnt = zip(*head.named_parameters(), strict=True)

    def of(emb, *learnt):
        return torch.func.functional_call(head, dict(zip(names, learnt, strict=True)), (emb, codes))

    assert torch.autograd.gradcheck(of, (emb.requires_grad_(), *learnt))


def test_one_embedding_worked_by_hand():
    """60 degrees from its own prototype and 30 from the other's; widened by 30 degrees the first is a right angle."""
    head = AdditiveAngularMargin(2, 2, margin_rad=math.pi / 6, scale=2.0)
    head.prototypes.data = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    found = head(torch.tensor([[math.cos(math.pi / 3), math.sin(math.pi / 3)]]), torch.tensor([0]))
    assert found.item() == pytest.approx(math.log(1 + math.exp(math.sqrt(3))), abs=1e-6)


def test_one_embedding_with_the_margin_of_the_cosine_worked_by_hand():
    """0.6 from its own prototype, lowered to 0.3, and 0.8 from the other's: half a unit, twice."""
    head = AdditiveMargin(2, 2, margin=0.3, scale=2.0)
    head.prototypes.data = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    found = head(torch.tensor([[3.0, 4.0]]), torch.tensor([0]))
    assert found.item() == pytest.approx(math.log(1 + math.exp(1)), abs=1e-6)


@pytest.mark.parametrize("kind", [AdditiveAngularMargin, AdditiveMargin])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [1.0, -1.0, 0.0])
def test_perfect_opposite_and_zero_embeddings_have_finite_slopes(kind, dtype, value):
    head = kind(3, 4)
    head.prototypes.data = torch.ones(4, 3)
    emb = torch.full((2, 3), value, dtype=dtype).requires_grad_()
    loss = head(emb, torch.tensor([0, 3]))
    loss.backward()
    assert loss.isfinite()
    assert emb.grad.isfinite().all()
    assert emb.grad.abs().max() < 60
    assert head.prototypes.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_it_is_the_loss_in_float32(kind):
    torch.manual_seed(0)
    head, emb, codes = kind(32, 9), torch.randn(6, 32).bfloat16(), torch.arange(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = head(emb, codes)
    assert value.dtype == torch.float32
    assert torch.equal(value, head(emb.float(), codes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("emb", "people"), [((2, 5), 2), ((2, 4), 3), ((0, 4), 0), ((2, 1, 4), 2)])
def test_a_batch_of_another_shape_is_refused(kind, emb, people):
    with pytest.raises(ValueError, match=r"^embeddings of shape .* expected \(B, 4\) and \(B,\) with B at least 1"):
        kind(4, 3)(torch.ones(emb), torch.zeros(people, dtype=torch.int64))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dimension", "num_people"), [(0, 3), (4, 1)])
def test_sizes_that_make_no_sense_are_refused(kind, dimension, num_people):
    with pytest.raises(ValueError, match="expected 1 and 2 at least"):
        kind(dimension, num_people)


@pytest.mark.parametrize("settings", [{"margin_rad": -0.1}, {"margin_rad": 1.6}, {"scale": 0.0}, {"scale": math.nan}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match="expected a margin in"):
        AdditiveAngularMargin(4, 3, **settings)


@pytest.mark.parametrize(
    "settings", [{"margin": -0.1}, {"margin": 1.0}, {"margin": math.nan}, {"scale": 0.0}, {"scale": math.nan}]
)
def test_margins_of_the_cosine_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match=r"expected a margin in \[0, 1\) and a positive scale"):
        AdditiveMargin(4, 3, **settings)


def test_the_most_similar_people_worked_by_hand():
    """Directions of 0, 10, 30, 180 and 90 degrees; lengths do not matter."""
    angles = np.deg2rad([0.0, 10.0, 30.0, 180.0, 90.0])
    prototypes = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1.0], [9.0], [0.1], [2.0], [1.0]])
    found = hard_speakers(prototypes.astype(np.float32), np.array([2, 0, 3, 2]), num_alike=3)
    assert found.tolist() == [[2, 1, 0], [0, 1, 2], [3, 4, 2], [2, 1, 0]]


def test_of_equal_people_oneself_comes_first_and_then_the_lower_code():
    prototypes = np.ones((4, 3), dtype=np.float32)
    assert hard_speakers(prototypes, np.arange(4), num_alike=3).tolist() == [
        [0, 1, 2],
        [1, 0, 2],
        [2, 0, 1],
        [3, 0, 1],
    ]


@given(seed=st.integers(0, 2**32 - 1), num_people=st.integers(1, 9), num_drawn=st.integers(0, 12), data=st.data())
def test_nobody_who_is_left_out_is_more_similar(seed, num_people, num_drawn, data):
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(size=(num_people, 4)).astype(np.float32)
    people = rng.integers(num_people, size=num_drawn)
    num_alike = data.draw(st.integers(1, num_people))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "AT_ONCE", 5)  # several blocks
        found = hard_speakers(prototypes, people, num_alike=num_alike)
    assert found.shape == (num_drawn, num_alike)
    directions = prototypes.astype(np.float64) / np.linalg.norm(prototypes.astype(np.float64), axis=1, keepdims=True)
    for person, alike in zip(people.tolist(), found.tolist(), strict=True):
        by_cosine = sorted(set(range(num_people)) - {person}, key=lambda other: -directions[person] @ directions[other])
        assert alike == [person, *by_cosine][:num_alike]


@pytest.mark.parametrize(
    ("prototypes", "people", "num_alike", "message"),
    [
        (np.ones(4), [0], 1, r"prototypes of shape \(4,\): expected \(P, D\)"),
        (np.zeros((4, 2)), [0], 1, "vector 0 of 4 is zero or not finite"),
        (np.full((4, 2), np.nan), [0], 1, "vector 0 of 4 is zero or not finite"),
        (np.ones((4, 2)), [0], 0, "num_alike 0: expected 1 to 4"),
        (np.ones((4, 2)), [0], 5, "num_alike 5: expected 1 to 4"),
        (np.ones((4, 2)), [4], 1, "expected codes .* from 0 to 3"),
        (np.ones((4, 2)), [-1], 1, "expected codes .* from 0 to 3"),
        (np.ones((4, 2)), [[0]], 1, "expected codes .* from 0 to 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(prototypes, people, num_alike, message):
    with pytest.raises(ValueError, match=message):
        hard_speakers(prototypes.astype(np.float32), np.array(people), num_alike=num_alike)
