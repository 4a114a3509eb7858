"""What `benchmarks.scoring` promises: the cosine of every trial, in order, and figures with their conventions."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks import scoring
from benchmarks.metrics import EER_CONVENTIONS, Costs, equal_error_rate, min_dcf
from benchmarks.scoring import cosine_scores, result_rows
from curate.catalog import conform
from curate.schema import RESULTS
from curate.similarity import unit


def ids(places):
    return pa.chunked_array([pa.array([f"toy/{i}" for i in places], pa.string())])


def asked(left, right, is_target=None):
    is_target = np.zeros(len(left), dtype=bool) if is_target is None else is_target
    return pa.table({"enrol_id": ids(left), "test_id": ids(right), "is_target": pa.array(is_target, pa.bool_())})


def test_a_worked_case():
    vectors = unit(np.float32([[2, 0], [0, 5], [3, 4]]))
    scores = cosine_scores(asked([0, 2, 1, 0], [1, 0, 2, 0]), ids(range(3)), vectors)
    assert scores.tolist() == pytest.approx([0.0, 0.6, 0.8, 1.0])


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 50), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_the_scores_are_the_entries_of_the_whole_matrix_however_many_at_once(num_rows, num_trials, at_once, seed):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(num_rows, 8)).astype(np.float32)
    left, right = rng.integers(num_rows, size=(2, num_trials))
    names = rng.permutation(num_rows)  # row i is not utterance i
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "TRIALS_AT_ONCE", at_once)
        scores = cosine_scores(asked(names[left], names[right]), ids(names), unit(raw))
    matrix = cosine_similarity(np.float64(raw))
    np.testing.assert_allclose(scores, matrix[left, right], atol=1e-6)


@pytest.mark.parametrize(("left", "right"), [([0, 7], [1, 1]), ([0, 1], [7, 0])])
def test_an_utterance_without_an_embedding_is_named(left, right):
    with pytest.raises(ValueError, match=r"^toy/7: 1 utterances of the trials have no embedding"):
        cosine_scores(asked(left, right), ids(range(3)), np.eye(3, dtype=np.float32))


def test_the_figures_come_with_intervals_counts_and_conventions():
    scores, is_target = np.array([0.9, 0.4, 0.6, 0.1, 0.2]), np.array([True, True, False, False, False])
    costs = Costs(p_target=0.05)
    trials = asked([0, 2, 0, 0, 0], [1, 3, 2, 4, 5], is_target)
    identity = {f"toy/{i}": person for i, person in enumerate("aabbcd")}
    rng = np.random.default_rng(1)
    rows = result_rows(scores, trials, identity, benchmark="toy", system="ge2e", costs=costs, rng=rng)
    eer, dcf = conform(RESULTS, rows).to_pylist()
    common = {"benchmark": "toy", "system": "ge2e", "num_target": 2, "num_nontarget": 3}
    value = equal_error_rate(scores, is_target)
    assert eer.items() >= (common | {"metric": "eer", "value": value, "conventions": EER_CONVENTIONS}).items()
    value = min_dcf(scores, is_target, p_target=0.05)
    assert dcf.items() >= (common | {"metric": "min_dcf", "value": value, "conventions": costs.conventions()}).items()
    assert (eer["value"], dcf["value"]) == (pytest.approx(1 / 3), pytest.approx(0.5))
    assert all(row["lower"] <= row["value"] <= row["upper"] for row in (eer, dcf))


def test_the_interval_does_not_depend_on_people_who_are_in_no_trial():
    rng = np.random.default_rng(0)
    left, right = rng.integers(12, size=(2, 60))
    trials = asked(left, right, left // 2 == right // 2)
    test = {f"toy/{i}": f"m{i // 2}" for i in range(12)}
    train = {f"toy/train{i}": person for i, person in enumerate(("a", "n", "z"))}
    drawn = [
        result_rows(
            np.linspace(0, 1, 60),
            trials,
            identity,
            benchmark="toy",
            system="ge2e",
            costs=Costs(),
            rng=np.random.default_rng(1),
        )
        for identity in (test, test | train)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0]["lower"].null_count == 0
