"""CTC against the forward algorithm written out, texts too long for their frames, and how losses are weighed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.disjoint_mtl.loss import ctc, frames_needed, weighed

SPEECH, SPEAKER = torch.tensor(3.0), torch.tensor(5.0)


def forward(logits, text):
    """Minus the logarithm of the chance of all paths that write a text: eq. 5 to 8 of Graves et al. 2006, in loops."""
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    states = [0] + [code for one in text for code in (one, 0)]
    alpha = np.zeros((len(chance), len(states)))
    for t in range(len(chance)):
        for s, code in enumerate(states):
            if t == 0:
                reached = float(s < 2)
            else:
                reached = alpha[t - 1, s] + (alpha[t - 1, s - 1] if s else 0)
                if s > 1 and code not in (0, states[s - 2]):
                    reached += alpha[t - 1, s - 2]
            alpha[t, s] = reached * chance[t, code]
    total = alpha[-1, -2:].sum() if len(states) > 1 else alpha[-1, -1]
    return -math.log(total) if total else math.inf


def side_by_side(texts):
    codes = torch.full((len(texts), max(1, *map(len, texts))), -1)
    for row, text in zip(codes, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    return codes


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 1000),
    batch=st.lists(st.tuples(st.lists(st.integers(1, 3), max_size=5), st.integers(1, 8)), min_size=2, max_size=4),
)
def test_it_is_that_of_the_forward_algorithm_and_what_is_too_long_counts_as_nothing(seed, batch):
    texts, frames = zip(*batch, strict=True)
    logits = np.random.default_rng(seed).normal(size=(len(texts), max(frames), 4))
    slow = [forward(one[:length], text) for one, text, length in zip(logits, texts, frames, strict=True)]
    logits = torch.tensor(logits, requires_grad=True)
    found = ctc(logits, torch.tensor(frames), side_by_side(texts))
    each = [0 if math.isinf(one) else one / max(1, len(text)) for one, text in zip(slow, texts, strict=True)]
    assert found.loss.item() == pytest.approx(np.mean(each), rel=1e-10)
    assert found.num_too_long.item() == sum(map(math.isinf, slow))
    found.loss.backward()
    assert logits.grad.isfinite().all()
    for row, (one, length) in enumerate(zip(slow, frames, strict=True)):
        assert not logits.grad[row, length:].any()
        assert logits.grad[row].any() != math.isinf(one)


def test_frames_needed_by_hand():
    """AAB is written by `A b A B`, four frames; AB by two."""
    assert frames_needed(torch.tensor([[1, 1, 2], [1, 2, -1], [-1, -1, -1]])).tolist() == [4, 2, 0]


def test_where_all_texts_are_too_long_there_is_a_graph_with_slopes_of_zero():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = ctc(logits, torch.tensor([3, 2]), torch.tensor([[1, 1, 1], [1, 2, 3]]))
    found.loss.backward()
    assert (found.loss.item(), found.num_too_long.item()) == (0, 2)
    assert logits.grad.eq(0).all()


def test_it_is_in_float32_where_logits_are_not():
    logits = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = ctc(logits, torch.tensor([3]), torch.tensor([[1, 2]]))
    assert found.loss.dtype == torch.float32
    torch.testing.assert_close(
        found.loss, ctc(logits.float(), torch.tensor([3]), torch.tensor([[1, 2]])).loss, rtol=0, atol=0
    )


def test_losses_are_weighed_as_eq_1_says():
    assert weighed("speech", 0.9, speech=SPEECH) == 3
    assert weighed("speaker", 0.9, speaker=SPEAKER) == 5
    assert weighed("joint", 0.9, speech=SPEECH, speaker=SPEAKER).item() == pytest.approx(0.9 * 3 + 0.1 * 5)
    both = weighed("disjoint", 0.9, speech=SPEECH), weighed("disjoint", 0.9, speaker=SPEAKER)
    assert (both[0] / 2 + both[1] / 2).item() == pytest.approx(0.9 * 3 + 0.1 * 5)  # as the engine averages them


@pytest.mark.parametrize(
    ("training", "given", "complaint"),
    [
        ("speech", {"speaker": SPEAKER}, "speech learns from a batch with person; expected text$"),
        ("speaker", {"speech": SPEECH}, "speaker learns from a batch with text; expected person$"),
        ("joint", {"speech": SPEECH}, "joint learns from a batch with text; expected text and person$"),
        ("joint", {}, "joint learns from a batch with nothing; expected text and person$"),
        (
            "disjoint",
            {"speech": SPEECH, "speaker": SPEAKER},
            "disjoint learns from a batch with text and person; expected text or person, one$",
        ),
    ],
)
def test_batches_of_another_kind_are_told(training, given, complaint):
    with pytest.raises(ValueError, match=complaint):
        weighed(training, 0.5, **given)
