"""What `curate.similarity` promises: the numbers of the whole matrix of cosines, without the matrix."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from curate import similarity
from curate.similarity import cross_similarity, mean_vectors, self_similarity, similar_pairs, unit

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
    np.testing.assert_allclose(one.utterance[order], other.utterance, atol=1e-12)
    np.testing.assert_allclose(one.speaker, other.speaker, atol=1e-12)


def test_where_there_is_nothing_to_compare_there_is_no_number():
    found = self_similarity(np.float32([[1, 0], [0.6, 0.8]]), np.array([0, 2]), 3)
    assert np.isnan(found.utterance).all()
    assert np.isnan(found.speaker).all()
    assert found.count.tolist() == [1, 0, 1]


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
def test_a_vector_without_direction_is_refused(bad):
    with pytest.raises(ValueError, match="zero or not finite"):
        unit(np.float32([[1, 0], bad]))


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
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-6)


@pytest.mark.parametrize("tile", [1, 2, 3, 1024])
def test_of_equally_near_speakers_the_first_is_the_nearest_whatever_the_tiles(tile, monkeypatch):
    monkeypatch.setattr(similarity, "SPEAKERS_PER_TILE", tile)
    means = np.float32([[0, 1], [1, 0], [0, 1], [1, 0], [1, 0]])
    assert list(found_pairs(means, 2.0)) == [(0, 2), (1, 3), (1, 4)]


@pytest.mark.parametrize("tile", [1, 2, 3, 4, 7, 8])
def test_the_tiles_cover_the_upper_triangle_once(tile, monkeypatch):
    monkeypatch.setattr(similarity, "SPEAKERS_PER_TILE", tile)
    means = unit(vectors(np.random.default_rng(5), 7))
    seen = np.zeros((7, 7), dtype=int)
    for part in cross_similarity(means):
        height, width = part.cosines.shape
        seen[part.row : part.row + height, part.column : part.column + width] += 1
        assert max(height, width) <= tile
    assert (seen[np.triu_indices(7)] == 1).all()
    assert seen.max() == 1


def test_one_speaker_has_no_pair():
    assert found_pairs(np.float32([[1, 0]]), -1.0) == {}
