"""Scores and costs that the tests of metrics share."""

from functools import partial

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from benchmarks.metrics import Costs

seeds = st.integers(0, 2**32 - 1)
costs = st.builds(Costs, p_target=st.floats(0.001, 0.999), miss=st.floats(0.1, 10), false_accept=st.floats(0.1, 10))


@st.composite
def trials(draw, *, tied=True):
    """Scores, of which few are different if tied, and at least one trial of each kind."""
    score = st.integers(-3, 3).map(float) if tied else st.floats(-1, 1)
    rows = draw(
        st.lists(st.tuples(score, st.booleans()), min_size=2, max_size=40, unique_by=None if tied else (lambda r: r[0]))
    )
    is_target = np.array([target for _, target in rows])
    assume(is_target.any() and not is_target.all())
    return np.array([score for score, _ in rows]), is_target


def under(metric, how):
    """`min_dcf` or `act_dcf` with the costs of `how`."""
    return partial(metric, p_target=how.p_target, c_miss=how.miss, c_fa=how.false_accept)


def gaussian(seed, num_trials=2_000, share=0.2, apart=2.0):
    rng = np.random.default_rng(seed)
    is_target = rng.random(num_trials) < share
    return rng.normal(size=num_trials) + apart * is_target, is_target
