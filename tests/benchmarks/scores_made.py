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


def names_of(num_trials, *, seed=0):
    """A pair of names as VoxCeleb has them for each of that many trials, no pair twice."""
    rng = np.random.default_rng([2, seed])
    num_files = int(2 * np.sqrt(num_trials)) + 2
    files = [f"id{10_000 + i // 3}/video{i % 3}/{i:05d}.wav" for i in range(num_files)]
    left, right = np.divmod(rng.choice(num_files**2, num_trials, replace=False), num_files)
    return [(files[i], files[j]) for i, j in zip(left.tolist(), right.tolist(), strict=True)]


def write_scores(form, pairs, scores, is_target):
    """The lines of a file of scores, as the code of each tool writes them, but that nothing is rounded away."""
    rows = zip(pairs, scores.tolist(), is_target.tolist(), strict=True)
    cut = {name: name.split(".")[0] for pair in pairs for name in pair}
    line = {
        "kaldi": lambda enrol, test, score, target: f"{enrol} {test} {score!r}",
        "wespeaker": lambda enrol, test, score, target: f"{enrol} {test} {score!r} {'' if target else 'non'}target",
        "as-norm": lambda enrol, test, score, target: (
            f"{enrol} {test} {score!r} {'' if target else 'non'}target 13.1000 12.9000 0.1000 0.0900"
        ),
        "speechbrain": lambda enrol, test, score, target: f"{cut[enrol]} {cut[test]} {int(target)} {score!r}",
        "voxceleb_trainer": lambda enrol, test, score, target: f"{score!r} {enrol} {test}",
    }[form]
    return "".join(f"{line(*pair, score, target)}\n" for pair, score, target in rows)
