"""Wrong scores told from right ones."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from curate.mixture import BIN, fit

RIGHT, WRONG = (0.3, 0.05), (-0.2, 0.08)  # mean and standard deviation


def drawn(num: int, share_wrong: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed scores, which of them are wrong, and other wrong scores."""
    rng = np.random.default_rng(seed)
    is_wrong = np.arange(num) < round(share_wrong * num)
    observed = np.where(is_wrong, rng.normal(*WRONG, num), rng.normal(*RIGHT, num))
    return observed, is_wrong, rng.normal(*WRONG, 5_000)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.3, 0.45])
def test_it_finds_the_share_of_wrong_ones_and_which(share):
    observed, is_wrong, wrong = drawn(2_000, share)
    found = fit(observed, [wrong])
    assert found.share_wrong == pytest.approx(share, abs=0.01)
    assert ((observed < found.threshold) == is_wrong).mean() > 0.999


def test_nothing_is_wrong_among_right_ones():
    observed, _, wrong = drawn(500, 0.0)
    assert fit(observed, [wrong]).threshold < observed.min()


def test_the_threshold_is_where_both_are_as_likely():
    observed, _, wrong = drawn(200_000, 0.2)
    found = fit(observed, [wrong])
    grid = np.linspace(-0.2, 0.3, 100_001)
    expected = grid[np.argmin(np.abs(0.2 * norm.pdf(grid, *WRONG) - 0.8 * norm.pdf(grid, *RIGHT)))]
    assert found.threshold == pytest.approx(expected, abs=2 * BIN)
    assert found.probability_wrong(np.array([expected]))[0] == pytest.approx(0.5, abs=0.1)


def test_the_share_is_the_likeliest_that_a_general_optimiser_finds():
    observed, _, wrong = drawn(3_000, 0.15, seed=4)
    found = fit(observed, [wrong])
    width = 1.06 * wrong.std() * len(wrong) ** -0.2
    of_wrong = norm.pdf(observed[:, None], wrong[None], width).mean(axis=1)

    def cost(parameters: np.ndarray) -> float:
        share, mean, spread = parameters
        return -np.log(share * of_wrong + (1 - share) * norm.pdf(observed, mean, spread)).sum()

    best = minimize(cost, [0.1, 0.25, 0.1], bounds=[(1e-4, 0.5), (-1, 1), (1e-3, 1)])
    assert found.share_wrong == pytest.approx(best.x[0], abs=2e-3)


def test_swapped_candidates_are_told_by_right_scores_with_the_sign_changed():
    observed, is_wrong, _ = drawn(1_000, 0.0)
    is_wrong[:200] = True
    observed[is_wrong] *= -1
    found = fit(observed, [], mirrored=True)
    assert found.share_wrong == pytest.approx(0.2, abs=0.005)
    assert ((observed < found.threshold) == is_wrong).all()


def test_two_kinds_of_wrong_scores_have_shares_of_their_own():
    rng = np.random.default_rng(0)
    observed = np.concatenate([rng.normal(0.4, 0.03, 800), rng.normal(0.1, 0.03, 100), rng.normal(-0.3, 0.03, 100)])
    found = fit(observed, [rng.normal(0.1, 0.03, 2_000), rng.normal(-0.3, 0.03, 2_000)])
    assert found.share_wrong == pytest.approx(0.2, abs=0.01)
    assert (observed < found.threshold).sum() == 200


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=60),
    st.lists(st.floats(-1.5, 1.5), max_size=60),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_scores_give_probabilities_that_fall_and_do_not_depend_on_order(observed, wrong, mirrored, random):
    assume(wrong or mirrored)
    found = fit(np.array(observed), [np.array(wrong)], mirrored=mirrored)
    assert 0 <= found.share_wrong <= 0.5 + 1e-9
    assert ((found.probability >= 0) & (found.probability <= 1)).all()
    assert (np.diff(found.probability) <= 0).all()
    assert (found.grid < found.threshold).sum() == (found.probability > 0.5).sum()
    shuffled = random.sample(observed, len(observed))
    again = fit(np.array(shuffled), [np.array(wrong[::-1])], mirrored=mirrored)
    assert again.threshold == found.threshold


def test_one_score_alone_is_right():
    assert fit(np.array([0.3]), [np.array([-0.2])]).threshold < 0.3


def test_no_scores_are_refused():
    with pytest.raises(ValueError, match="no scores; expected at least one observed"):
        fit(np.zeros(0), [np.zeros(3)])
