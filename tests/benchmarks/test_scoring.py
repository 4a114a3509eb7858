"""What `benchmarks.scoring` promises: the score of every trial, in order, from Parquet to Parquet, in chunks."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.calibration import Calibration
from benchmarks.scoring import (
    SCORED,
    Scorer,
    Side,
    Spread,
    averaged,
    cosine_scores,
    score_list,
    scored,
    trials_of,
    write_scores,
)
from curate.catalog import rows_of, write_parquet
from curate.conforming import conform
from curate.schema import MODELS, TRIALS
from curate.similarity import unit

SEEDS = st.integers(0, 2**32 - 1)


def ids(places):
    return pa.chunked_array([pa.array([f"toy/{i}" for i in places], pa.string())])


def asked(left, right, is_target=None):
    is_target = np.zeros(len(left), dtype=bool) if is_target is None else is_target
    return pa.table({"enrol_id": ids(left), "test_id": ids(right), "is_target": pa.array(is_target, pa.bool_())})


def side(rows, **more):
    rows = np.asarray(rows, np.float32)
    return Side(ids=ids(range(len(rows))).combine_chunks(), rows=rows, **more)


def models(**utterances):
    rows = [
        {"benchmark": "toy", "model_id": model, "utterance_id": f"toy/{i}"}
        for model, places in utterances.items()
        for i in places
    ]
    return conform(MODELS, pa.Table.from_pylist(rows))


def test_a_worked_case():
    vectors = unit(np.float32([[2, 0], [0, 5], [3, 4]]))
    scores = cosine_scores(asked([0, 2, 1, 0], [1, 0, 2, 0]), ids(range(3)), vectors)
    assert scores.tolist() == pytest.approx([0.0, 0.6, 0.8, 1.0])


@given(st.integers(1, 20), st.integers(0, 50), st.integers(1, 70), SEEDS, st.booleans())
def test_the_scores_are_the_entries_of_the_whole_matrix(num_rows, num_trials, dimension, seed, as_dictionaries):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(num_rows, dimension)).astype(np.float32)
    left, right = rng.integers(num_rows, size=(2, num_trials))
    names = rng.permutation(num_rows)  # row i is not utterance i
    trials = asked(names[left], names[right])
    if as_dictionaries:
        trials = pa.table({name: trials[name].dictionary_encode() for name in ("enrol_id", "test_id")})
    scores = cosine_scores(trials, ids(names), unit(raw))
    np.testing.assert_allclose(scores, cosine_similarity(np.float64(raw))[left, right], atol=1e-6)


@pytest.mark.parametrize(("left", "right"), [([0, 7], [1, 1]), ([0, 1], [7, 0])])
def test_an_utterance_without_an_embedding_is_named(left, right):
    told = r"^toy/7: 1 utterances or models of the trials have no vector; expected one for each$"
    with pytest.raises(ValueError, match=told):
        cosine_scores(asked(left, right), ids(range(3)), np.eye(3, dtype=np.float32))


# ------------------------------------------------------------------------------------------------ terms, norm, models


def test_terms_of_both_sides_are_added():
    scorer = Scorer(enrol=side([[1, 0], [0, 2]], terms=np.array([10.0, 20.0])), test=side([[3, 4]]))
    assert scorer.scores(np.int32([0, 1]), np.int32([0, 0])).tolist() == [13.0, 28.0]


def test_a_normalised_score_is_the_mean_of_two_standard_scores():
    enrol = side([[1, 0]], spread=Spread(mean=np.array([0.2]), deviation=np.array([0.1])))
    test = side([[0.6, 0.8]], spread=Spread(mean=np.array([0.5]), deviation=np.array([0.05])))
    scorer = Scorer(enrol=enrol, test=test)
    assert scorer.scores(np.int32([0]), np.int32([0])).tolist() == pytest.approx([(4.0 + 2.0) / 2], rel=1e-5)


def test_scores_are_calibrated_last():
    both = side([[1, 0], [0.6, 0.8]], spread=Spread(mean=np.zeros(2), deviation=np.full(2, 0.1)))
    scorer = Scorer(enrol=both, test=both, calibration=Calibration(slope=2.0, offset=-1.0))
    assert scorer.scores(np.int32([0]), np.int32([1])).tolist() == pytest.approx([2 * 6.0 - 1])


def test_a_model_is_the_direction_of_the_mean_of_its_unit_vectors():
    vectors = unit(np.float32([[100, 0], [0, 1], [3, 4]]))  # a loud one counts as much as any
    names, found = averaged(models(both=[0, 1], one=[2]), ids(range(3)), vectors)
    assert names.to_pylist() == ["both", "one"]
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5], [0.6, 0.8]], rtol=1e-6)


@given(SEEDS, st.integers(1, 12), st.integers(1, 5))
def test_models_are_averaged_as_a_loop_would(seed, num_rows, num_models):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(num_rows, 6)).astype(np.float32))
    of = {f"m{m}": rng.choice(num_rows, rng.integers(1, num_rows + 1), replace=False) for m in range(num_models)}
    names, found = averaged(models(**of), ids(range(num_rows)), vectors)
    for name, row in zip(names.to_pylist(), found, strict=True):
        mean = vectors[of[name]].mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-3, atol=1e-5)


def test_a_model_of_which_an_utterance_has_no_vector_is_named():
    with pytest.raises(ValueError, match=r"^model m: its utterance toy/9 has no vector; expected one for each$"):
        averaged(models(m=[0, 9]), ids(range(3)), np.eye(3, dtype=np.float32))


# ------------------------------------------------------------------------------------------------- Parquet to Parquet


@pytest.fixture
def trials_file(tmp_path):
    """Two lists in one file, mixed, of 500 trials each."""
    rng = np.random.default_rng(0)
    left, right = rng.integers(30, size=(2, 1000))
    rows = asked(left, right, rng.random(1000) < 0.3).append_column("list", pa.array(["a", "b"] * 500))
    write_parquet(tmp_path / "trials.parquet", rows.append_column("benchmark", pa.array(["toy"] * 1000)))
    return tmp_path / "trials.parquet"


@pytest.mark.parametrize("at_once", [1 << 20, 70, 1])
def test_a_list_is_scored_in_its_order_however_many_at_once(trials_file, tmp_path, at_once):
    vectors = unit(np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32))
    scorer = Scorer(enrol=side(vectors), test=side(vectors))
    assert score_list(trials_file, "b", tmp_path / "scores.parquet", scorer, at_once=at_once) == 500
    found, given_ = pq.read_table(tmp_path / "scores.parquet"), pq.read_table(trials_file)
    given_ = given_.filter(pa.compute.field("list") == "b").select(["enrol_id", "test_id", "is_target"])
    assert found.schema.names == SCORED.names
    assert found.select(given_.column_names).to_pylist() == given_.to_pylist()
    expected = cosine_scores(given_, ids(range(30)), vectors)
    assert found["score"].to_pylist() == expected.tolist()


def test_only_a_chunk_is_held(tmp_path):
    """Of 400,000 trials, whose ids alone would be 10 MB."""
    rng = np.random.default_rng(0)
    left, right = rng.integers(50, size=(2, 400_000)).astype(np.int32)
    names = ids(range(50)).combine_chunks()
    columns = {
        name: pa.DictionaryArray.from_arrays(places, names) for name, places in (("enrol_id", left), ("test_id", right))
    }
    rows = pa.table({"list": pa.array(["test"] * 400_000), **columns, "is_target": left == right})
    pq.write_table(rows, tmp_path / "trials.parquet", row_group_size=50_000, store_schema=False)
    del rows, columns
    scorer = Scorer(enrol=side(np.eye(50)), test=side(np.eye(50)))
    before, most = pa.total_allocated_bytes(), 0
    for batch in scored(trials_of(tmp_path / "trials.parquet", "test", at_once=20_000), scorer):
        assert len(batch) <= 20_000
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 3_000_000


def test_a_list_that_the_file_does_not_have_has_no_trials(trials_file):
    assert sum(len(batch) for batch in trials_of(trials_file, "c")) == 0


def test_scores_that_fail_half_way_leave_no_file(trials_file, tmp_path):
    vectors = unit(np.random.default_rng(1).normal(size=(9, 8)).astype(np.float32))  # trials know thirty
    scorer = Scorer(enrol=side(vectors), test=side(vectors))
    with pytest.raises(ValueError, match="have no vector"):
        score_list(trials_file, "a", tmp_path / "scores.parquet", scorer, at_once=1)
    assert not (tmp_path / "scores.parquet").exists()


def test_trials_of_the_catalog_are_read(tmp_path):
    rows = rows_of(TRIALS, [{"benchmark": "x", "list": "l", "enrol_id": "a", "test_id": "b", "is_target": True}])
    write_parquet(tmp_path / "one.parquet", rows)
    scorer = Scorer(
        enrol=Side(ids=pa.array(["a"]), rows=np.float32([[1]])), test=Side(ids=pa.array(["b"]), rows=np.float32([[-1]]))
    )
    assert write_scores(tmp_path / "s.parquet", scored(trials_of(tmp_path / "one.parquet", "l"), scorer)) == 1
    assert pq.read_table(tmp_path / "s.parquet").to_pylist() == [
        {"enrol_id": "a", "test_id": "b", "is_target": True, "score": -1.0}
    ]
