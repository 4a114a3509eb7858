"""What `curate.similarity` promises: the numbers of the whole matrix of cosines, without the matrix."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from threadpoolctl import threadpool_limits

from curate import kernels, similarity
from curate.similarity import Picked, mean_vectors, product_error, self_similarity, similar_pairs, speaker_sums, unit

ROOT = Path(__file__).parents[2]
seeds = st.integers(0, 2**32 - 1)


def vectors(rng, num_rows, dimension=8):
    """Of very unlike lengths, as ECAPA's are."""
    return (rng.normal(size=(num_rows, dimension)) * rng.uniform(0.1, 400, size=(num_rows, 1))).astype(np.float32)


def by_matrix(raw, speaker, num_speakers):
    """Utterances' and speakers' mean cosines from scikit-learn's n x n matrix, one speaker at a time."""
    matrix = cosine_similarity(raw.astype(np.float64))
    np.fill_diagonal(matrix, np.nan)
    utterance, of_speaker = np.full(len(raw), np.nan), np.full(num_speakers, np.nan)
    for s in range(num_speakers):
        mine = np.flatnonzero(speaker == s)
        if len(mine) > 1:
            own = matrix[np.ix_(mine, mine)]
            utterance[mine], of_speaker[s] = np.nanmean(own, axis=1), np.nanmean(own)
    return utterance, of_speaker


def pairs_by_force(means, min_similarity):
    cosines = means.astype(np.float64) @ means.astype(np.float64).T
    np.fill_diagonal(cosines, -np.inf)
    wanted = {(a, b) for a, b in combinations(range(len(means)), 2) if cosines[a, b] >= min_similarity}
    if len(means) > 1:
        wanted |= {(min(a, b), max(a, b)) for a, b in enumerate(cosines.argmax(axis=1).tolist())}
    return {pair: cosines[pair] for pair in sorted(wanted)}


def found_pairs(means, min_similarity):
    found = similar_pairs(means, min_similarity)
    links = zip(found.first.tolist(), found.second.tolist(), strict=True)
    return dict(zip(links, found.similarity, strict=True))


def test_a_worked_case_of_three_utterances():
    found = self_similarity(unit(np.float32([[2, 0], [5, 0], [0, 3]])), np.array([0, 0, 0]), 1)
    np.testing.assert_allclose(found.utterance, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(found.speaker, [1 / 3])
    assert found.count.tolist() == [3]


@settings(deadline=None)
@given(num_rows=st.integers(0, 40), num_speakers=st.integers(1, 6), seed=seeds)
def test_self_similarity_is_the_mean_of_the_matrix_without_its_diagonal(num_rows, num_speakers, seed):
    rng = np.random.default_rng(seed)
    raw, speaker = vectors(rng, num_rows), rng.integers(num_speakers, size=num_rows)
    found = self_similarity(unit(raw), speaker, num_speakers)
    utterance, of_speaker = by_matrix(raw, speaker, num_speakers) if num_rows else ([], np.full(num_speakers, np.nan))
    np.testing.assert_allclose(found.utterance, utterance, atol=1e-6)
    np.testing.assert_allclose(found.speaker, of_speaker, atol=1e-6)
    assert found.count.tolist() == [(speaker == s).sum() for s in range(num_speakers)]


@settings(deadline=None)
@given(num_rows=st.integers(1, 40), seed=seeds)
def test_the_order_of_the_rows_does_not_matter(num_rows, seed):
    rng = np.random.default_rng(seed)
    rows, speaker, order = unit(vectors(rng, num_rows)), rng.integers(4, size=num_rows), rng.permutation(num_rows)
    one, other = self_similarity(rows, speaker, 4), self_similarity(rows[order], speaker[order], 4)
    np.testing.assert_array_equal(one.utterance[order], other.utterance)
    np.testing.assert_array_equal(one.speaker, other.speaker)
    np.testing.assert_array_equal(mean_vectors(rows, speaker, 4), mean_vectors(rows[order], speaker[order], 4))


@settings(deadline=None)
@given(num_rows=st.integers(0, 60), dimension=st.sampled_from([1, 3, 8, 33]), seed=seeds)
def test_a_sum_of_many_vectors_is_wrong_by_half_a_step_of_its_grid_a_vector(num_rows, dimension, seed):
    rng = np.random.default_rng(seed)
    rows, speaker = unit(vectors(rng, num_rows, dimension)), rng.integers(3, size=num_rows)
    trusted = rng.random(num_rows) < 0.6
    for taken, some in ((np.ones(num_rows, bool), None), (trusted, trusted)):
        count, total = speaker_sums(rows, speaker, 3, some)
        for s in range(3):
            mine = rows[(speaker == s) & taken].astype(float)
            assert count[s] == len(mine)
            exact = [math.fsum(column) for column in mine.T]
            np.testing.assert_allclose(total[s], exact, rtol=0, atol=len(mine) * 2.0**-31)


def test_numbers_that_are_lost_beside_others_do_not_make_a_sum_depend_on_their_order():
    rng = np.random.default_rng(6)
    raw = rng.normal(size=(500, 8)) * 10.0 ** rng.uniform(-14, 0, size=(500, 8))
    rows, order = unit(raw.astype(np.float32)), rng.permutation(500)
    sums = [speaker_sums(given, np.zeros(500, np.int64), 1)[1] for given in (rows, rows[order], rows[::-1].copy())]
    np.testing.assert_array_equal(sums[0], sums[1])
    np.testing.assert_array_equal(sums[0], sums[2])


def test_one_utterance_is_not_lost_among_a_hundred_thousand():
    rows = np.full((100_000, 4), 0.5, np.float32)
    rows[7] = [1, 0, 0, 0]
    found = self_similarity(rows, np.zeros(len(rows), np.int64), 1)
    assert found.utterance[7] == pytest.approx(0.5, abs=1e-12)
    assert found.utterance[8] == pytest.approx(1 - 0.5 / 99_999, abs=1e-12)
    assert found.speaker[0] == pytest.approx(1 - 2 * 99_999 * 0.5 / (100_000 * 99_999), abs=1e-12)


def test_where_there_is_nothing_to_compare_there_is_no_number():
    found = self_similarity(np.float32([[1, 0], [0.6, 0.8]]), np.array([0, 2]), 3)
    assert np.isnan(found.utterance).all()
    assert np.isnan(found.speaker).all()
    assert found.count.tolist() == [1, 0, 1]


@pytest.mark.parametrize("num_speakers", [0, 3])
def test_of_nobody_nothing_is_told(num_speakers):
    nobody, speaker = np.empty((0, 4), np.float32), np.empty(0, np.int64)
    found = self_similarity(unit(nobody), speaker, num_speakers)
    assert (len(found.utterance), found.count.tolist()) == (0, [0] * num_speakers)
    assert np.isnan(found.speaker).all()
    assert mean_vectors(nobody, speaker, num_speakers).tolist() == [[0.0] * 4] * num_speakers


@settings(deadline=None)
@given(num_rows=st.integers(1, 30), seed=seeds)
def test_the_product_of_two_means_is_the_mean_of_all_cosines_between_two_speakers(num_rows, seed):
    rng = np.random.default_rng(seed)
    raw, speaker = vectors(rng, num_rows), rng.integers(3, size=num_rows)
    means = mean_vectors(unit(raw), speaker, 3)
    matrix = cosine_similarity(raw.astype(np.float64))
    for a, b in combinations(range(3), 2):
        block = matrix[np.ix_(speaker == a, speaker == b)]
        assert means[a] @ means[b] == pytest.approx(block.mean() if block.size else 0.0, abs=1e-6)


@pytest.mark.parametrize("length", [1, 1e-3, 300])
def test_unit_keeps_the_direction_and_drops_the_length(length):
    np.testing.assert_allclose(unit(np.float32([[3, 4]]) * np.float32(length)), [[0.6, 0.8]], rtol=1e-6)
    assert unit(np.float32([[3, 4]])).dtype == np.float32


@pytest.mark.parametrize("bad", [[0, 0], [np.nan, 1], [np.inf, 1]])
def test_a_vector_without_direction_is_refused_by_its_row(bad):
    with pytest.raises(ValueError, match="vector 1 of 3 is zero or not finite"):
        unit(np.float32([[1, 0], bad, bad]))


@pytest.mark.parametrize("bad", [[0, 0], [np.nan, 1], [np.inf, 1], [3, 4]])
@pytest.mark.parametrize("function", [self_similarity, speaker_sums, mean_vectors])
def test_what_is_not_a_unit_vector_is_refused_by_its_row(function, bad):
    with pytest.raises(ValueError, match=r"vector 2 of 3 has length .*; expected length one"):
        function(np.float32([[1, 0], [0, 1], bad]), np.array([1, 0, 0]), 2)


@pytest.mark.parametrize("speaker", [[0, 2], [-1, 0], [0], [0, 1, 1]])
@pytest.mark.parametrize("function", [self_similarity, speaker_sums, mean_vectors])
def test_labels_that_do_not_fit_the_vectors_are_refused(function, speaker):
    with pytest.raises(ValueError, match=r"expected 0 to 1|expected one of each"):
        function(np.float32([[1, 0], [0, 1]]), np.array(speaker), 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_mean_that_is_not_finite_is_refused_by_its_row(bad):
    with pytest.raises(ValueError, match="mean vector 1 of 2 is not finite"):
        similar_pairs(np.float32([[1, 0], [0, bad]]), 0.5)


@settings(deadline=None)
@given(
    num_speakers=st.integers(0, 20),
    tile=st.integers(1, 8),
    min_similarity=st.sampled_from([-1.0, -0.2, 0.1, 0.35, 0.999]),
    seed=seeds,
)
def test_similar_pairs_across_tiles_are_those_of_the_whole_matrix(num_speakers, tile, min_similarity, seed):
    means = unit(vectors(np.random.default_rng(seed), num_speakers, dimension=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "SPEAKERS_PER_TILE", tile)
        found = found_pairs(means, min_similarity)
    expected = pairs_by_force(means, min_similarity)
    assert list(found) == list(expected)  # in order, each once, first < second
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-12)


@pytest.mark.parametrize("tile", [1, 2, 3, 1024])
def test_of_equally_near_speakers_the_first_is_the_nearest_whatever_the_tiles(tile, monkeypatch):
    monkeypatch.setattr(similarity, "SPEAKERS_PER_TILE", tile)
    means = np.float32([[0, 1], [1, 0], [0, 1], [1, 0], [1, 0]])
    assert list(found_pairs(means, 2.0)) == [(0, 2), (1, 3), (1, 4)]


def test_one_speaker_has_no_pair():
    assert found_pairs(np.float32([[1, 0]]), -1.0) == {}


@pytest.mark.parametrize("num_speakers", [0, 1])
def test_nobody_is_similar_to_nobody(num_speakers):
    assert found_pairs(np.ones((num_speakers, 2), np.float32), -1.0) == {}


def short_and_long(rng, num_speakers):
    """Means of coherent and of incoherent speakers, some of them as long as zero."""
    means = unit(vectors(rng, num_speakers, dimension=6) + np.float32(100))
    return means * rng.choice([0, 0.01, 0.1, 0.5, 1], size=(num_speakers, 1)).astype(np.float32)


@settings(deadline=None)
@given(num_speakers=st.integers(1, 40), tile=st.integers(1, 50), min_similarity=st.floats(-0.5, 0.9), seed=seeds)
def test_pairs_are_the_same_to_the_last_bit_in_any_tiles_and_any_order(num_speakers, tile, min_similarity, seed):
    rng = np.random.default_rng(seed)
    means, order = short_and_long(rng, num_speakers), rng.permutation(num_speakers)
    expected = similar_pairs(means, min_similarity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "SPEAKERS_PER_TILE", tile)
        found = similar_pairs(means[order], min_similarity)
    reached = found.similarity >= min_similarity  # of equally near ones the least in this order may be another
    back = np.sort(order[np.stack([found.first, found.second])[:, reached]], axis=0)
    pairs = dict(zip(map(tuple, back.T.tolist()), found.similarity[reached], strict=True))
    links = zip(expected.first.tolist(), expected.second.tolist(), strict=True)
    wanted = dict(zip(links, expected.similarity, strict=True))
    assert pairs == {pair: value for pair, value in wanted.items() if value >= min_similarity}


@settings(deadline=None)
@given(num_speakers=st.integers(2, 40), tile=st.integers(1, 8), min_similarity=st.floats(0.05, 0.9), seed=seeds)
def test_the_bound_by_lengths_loses_no_pair(num_speakers, tile, min_similarity, seed):
    means = short_and_long(np.random.default_rng(seed), num_speakers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "SPEAKERS_PER_TILE", tile)
        found = found_pairs(means, min_similarity)
    cosines = means.astype(np.float64) @ means.astype(np.float64).T
    np.fill_diagonal(cosines, -np.inf)
    for a, b in combinations(range(num_speakers), 2):
        if cosines[a, b] >= min_similarity + 1e-12:
            assert (a, b) in found
    for a in range(num_speakers):  # some pair of it is as good as its best
        mine = [value for pair, value in found.items() if a in pair]
        assert max(mine) == pytest.approx(cosines[a].max(), abs=1e-12)


def test_tiles_of_short_means_are_left_out(monkeypatch):
    """Two that are long and two that are short, all in one direction: the short are nearest to the long."""
    asked = []
    monkeypatch.setattr(similarity, "SPEAKERS_PER_TILE", 2)
    monkeypatch.setattr(kernels, "keep_pairs", lambda *given, keep=kernels.keep_pairs: asked.append(1) or keep(*given))
    means = np.float32([[0.1, 0], [1, 0], [0.1, 0], [1, 0]])
    assert found_pairs(means, 0.7) == {(1, 3): 1, (0, 1): pytest.approx(0.1), (1, 2): pytest.approx(0.1)}
    assert len(asked) == 2  # of three


def test_what_rounding_hides_in_float32_is_found():
    """A million to one: the product of two long sums in float32 is off by more than the pair is from the threshold."""
    rng = np.random.default_rng(3)
    means = unit(rng.normal(size=(300, 512)).astype(np.float32) + 0.3)
    exact = np.sort((means.astype(float) @ means.astype(float).T)[np.triu_indices(300, 1)])
    for threshold in exact[[10_000, 20_000, 30_000, 44_000]]:
        found = similar_pairs(means, threshold + 1e-12)
        assert (found.similarity > threshold).sum() == (exact > threshold + 1e-12).sum()


@pytest.mark.parametrize("dimension", [1, 2, 64, 192, 256, 1024])
def test_no_float32_product_is_further_off_than_its_bound(dimension):
    rng = np.random.default_rng(dimension)
    one, other = (unit(rng.normal(size=(200, dimension)).astype(np.float32) + 1) for _ in range(2))
    error = abs(one.astype(float) @ other.astype(float).T - one @ other.T).max()
    assert 0 <= error < product_error(dimension)
    assert product_error(dimension) < 1e-4


def test_the_number_of_threads_changes_no_bit():
    rng = np.random.default_rng(11)
    rows, speaker = unit(vectors(rng, 4000, 48)), rng.integers(1500, size=4000)

    def measured():
        found = self_similarity(rows, speaker, 1500)
        pairs = similar_pairs(mean_vectors(rows, speaker, 1500), 0.45)
        return [found.utterance, found.speaker, pairs.first, pairs.second, pairs.similarity]

    expected = measured()
    for num_threads in (1, 2, 3):
        with threadpool_limits(num_threads), ThreadPoolExecutor(num_threads) as threads:
            for found in threads.map(lambda _: measured(), range(num_threads)):
                for one, other in zip(expected, found, strict=True):
                    np.testing.assert_array_equal(one, other)


def test_rows_may_be_read_only(tmp_path):
    rows, speaker = unit(vectors(np.random.default_rng(2), 30)), np.arange(30) % 4
    np.save(tmp_path / "rows.npy", rows)
    found = self_similarity(np.load(tmp_path / "rows.npy", mmap_mode="r"), speaker, 4)
    np.testing.assert_array_equal(found.utterance, self_similarity(rows, speaker, 4).utterance)


def python(code, **environment):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | environment)
    return done.stdout.split()


def test_the_compiler_is_loaded_when_something_is_computed_and_not_before():
    modules = "curate.similarity, curate.nearest, curate.outliers, curate.speakers"
    assert python(f"import sys, {modules}; print('numba' in sys.modules)") == ["False"]


def test_where_what_was_compiled_cannot_be_kept_it_is_compiled_all_the_same():
    code = (
        "import numpy as np; from curate.kernels import dot; print(dot(np.ones(3), np.ones(3)), dot.stats.cache_path)"
    )
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "IPythonCacheLocator"}  # which is for notebooks
    assert python(code, **nowhere) == ["3.0", "None"]


@given(seed=seeds)
def test_picked_rows_are_those_of_the_array_that_has_them_alone(seed):
    rng = np.random.default_rng(seed)
    every = vectors(rng, 9)
    rows = np.flatnonzero(rng.random(9) < 0.6)
    picked, copied = Picked(every, rows), every[rows]
    assert len(picked) == len(copied)
    assert picked.shape == copied.shape
    some = rng.integers(0, max(len(rows), 1), 5 if len(rows) else 0)
    np.testing.assert_array_equal(picked[some], copied[some])
    np.testing.assert_array_equal(picked[1:3], copied[1:3])


@given(seed=seeds)
def test_products_of_pairs_of_rows_are_those_of_numpy(seed):
    rng = np.random.default_rng(seed)
    ones, others = unit(vectors(rng, 6)), unit(vectors(rng, 4))
    of_one, of_other, found = rng.integers(0, 6, 20), rng.integers(0, 4, 20), np.empty(20)
    kernels.products(ones, of_one, others, of_other, found)
    expected = (ones.astype(np.float64) @ others.T.astype(np.float64))[of_one, of_other]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
