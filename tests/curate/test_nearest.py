"""What `curate.nearest` promises: the cosines of the whole matrix without the matrix, and not to one's own session."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from curate import nearest
from curate.nearest import NearestSpeakers, directions, nearest_speakers, own_cosines
from curate.similarity import unit

seeds = st.integers(0, 2**32 - 1)
NONE = -1


def by_matrix(unit_ND, speaker, session, num_speakers, trusted):  # noqa: N803
    """The same in float64, an utterance and a label at a time, from the words of the docstring."""
    rows = unit_ND.astype(np.float64)

    def cosine(row, others):
        total = rows[others].sum(axis=0)
        length = np.linalg.norm(total)
        return rows[row] @ total / length if length > 1e-6 else np.nan

    own, order, cosines = [], [], []
    for i in range(len(rows)):
        mine = speaker == speaker[i]
        rest = mine & (np.arange(len(rows)) != i)
        rest_of_label = mine & (session != session[i])
        is_most = 4 * rest_of_label.sum() >= 3 * mine.sum()
        if session[i] >= 0 and len(set(session[mine]) - {-1, session[i]}) >= 2 and is_most:
            rest = rest_of_label
        own.append(cosine(i, rest & trusted))
        others = [s for s in range(num_speakers) if s != speaker[i]]
        found = [(value, s) for s in others if not np.isnan(value := cosine(i, (speaker == s) & trusted))]
        found = sorted(found, key=lambda one: (-one[0], one[1])) + [(-np.inf, NONE)] * 2
        cosines.append([value for value, _ in found[:2]])
        order.append([s for _, s in found[:2]])
    order, cosines = np.reshape(order, (-1, 2)), np.reshape(cosines, (-1, 2))
    return NearestSpeakers(
        own=np.array(own),
        first=order[:, 0],
        second=order[:, 1],
        first_cosine=cosines[:, 0],
        second_cosine=cosines[:, 1],
    )


def corpus(seed, num_rows, num_speakers, num_sessions=3, dimension=6):
    """Utterances of people who differ, labels, sessions of which some are not known, and whom to trust."""
    rng = np.random.default_rng(seed)
    speaker = rng.integers(num_speakers, size=num_rows)
    session = rng.integers(-1, num_sessions, size=num_rows)  # numbers that several labels share
    raw = rng.normal(size=(num_speakers, dimension))[speaker] + rng.normal(size=(num_rows, dimension))
    return unit(raw.astype(np.float32)), speaker, session, rng.random(num_rows) < 0.7


def assert_alike(found, expected):
    for one, other in zip(astuple(found), astuple(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)  # what a step of 2^-30 may move in a short sum


def test_a_worked_case_of_three_labels():
    """Label 0 points along x, 1 along y, 2 at 45 degrees; the last utterance of 0 points along y."""
    half = np.sqrt(0.5)
    rows = np.float32([[1, 0], [1, 0], [0, 1], [0, 1], [half, half]])
    found = nearest_speakers(rows, np.array([0, 0, 0, 1, 2]), np.full(5, NONE), 3)
    np.testing.assert_allclose(found.own, [half, half, 0, np.nan, np.nan], atol=1e-7)
    assert found.first.tolist() == [2, 2, 1, 2, 0]
    assert found.second.tolist() == [1, 1, 2, 0, 1]
    np.testing.assert_allclose(found.first_cosine, [half, half, 1, half, 3 * half / np.sqrt(5)], atol=1e-7)
    np.testing.assert_allclose(found.second_cosine, [0, 0, half, 1 / np.sqrt(5), half], atol=1e-7)


def test_a_session_does_not_speak_for_itself_where_two_others_can():
    """Four sessions, of two utterances each: without its own session nothing is like it."""
    rows, session = np.repeat(np.eye(4, dtype=np.float32), 2, axis=0), np.repeat(np.arange(4), 2)
    label = np.zeros(8, np.int64)
    assert nearest_speakers(rows, label, session, 1).own.tolist() == [0.0] * 8
    # Of two sessions nobody can tell which is the foreign one: only the utterance itself is left out.
    np.testing.assert_allclose(nearest_speakers(rows[:4], label[:4], session[:4], 1).own, [1 / np.sqrt(5)] * 4)
    # Utterances of no known session stand for themselves, and are no further sessions.
    session[4:] = NONE
    np.testing.assert_allclose(nearest_speakers(rows, label, session, 1).own, [1 / np.sqrt(13)] * 8)


def test_a_session_that_is_much_of_its_label_is_not_left_out():
    """Five along x, and one each of two others: what the two say is not what the label is."""
    rows = np.eye(3, dtype=np.float32)[[0, 0, 0, 0, 0, 1, 2]]
    own = nearest_speakers(rows, np.zeros(7, int), np.array([0, 0, 0, 0, 0, 1, 2]), 1).own
    np.testing.assert_allclose(own, [4 / np.sqrt(18)] * 5 + [0.0] * 2)


def test_sessions_of_two_labels_are_two_whatever_their_numbers():
    rows, speaker, session, trusted = corpus(5, 40, 3)
    apart = np.where(session >= 0, session + 10 * speaker, NONE)
    one, other = (nearest_speakers(rows, speaker, told, 3, trusted) for told in (session, apart))
    np.testing.assert_array_equal(one.own, other.own)


def test_who_is_not_trusted_is_held_against_the_others_but_they_not_against_him():
    rows = np.float32([[1, 0], [1, 0], [0, 1], [0, 1]])
    speaker, nowhere = np.array([0, 0, 0, 1]), np.full(4, NONE)
    found = nearest_speakers(rows, speaker, nowhere, 2, np.array([True, True, False, True]))
    assert found.own.tolist()[:3] == [1, 1, 0]
    assert found.first_cosine.tolist() == [0, 0, 1, 0]
    nobody = nearest_speakers(rows, speaker, nowhere, 2, np.zeros(4, bool))
    assert np.isnan(nobody.own).all()
    assert nobody.first.tolist() == nobody.second.tolist() == [NONE] * 4
    assert nobody.first_cosine.tolist() == nobody.second_cosine.tolist() == [-np.inf] * 4


@settings(deadline=None)
@given(num_rows=st.integers(0, 30), num_speakers=st.integers(1, 7), all_trusted=st.booleans(), seed=seeds)
def test_it_is_the_whole_matrix_in_float64(num_rows, num_speakers, all_trusted, seed):
    rows, speaker, session, trusted = corpus(seed, num_rows, num_speakers)
    trusted = np.ones(num_rows, bool) if all_trusted else trusted
    found = nearest_speakers(rows, speaker, session, num_speakers, None if all_trusted else trusted)
    assert_alike(found, by_matrix(rows, speaker, session, num_speakers, trusted))


def test_it_is_the_whole_matrix_for_more_labels_than_a_stretch():
    rows, speaker, session, trusted = corpus(7, 400, 150, dimension=24)
    assert_alike(
        nearest_speakers(rows, speaker, session, 150, trusted), by_matrix(rows, speaker, session, 150, trusted)
    )


@settings(deadline=None)
@given(
    num_rows=st.integers(1, 60),
    num_speakers=st.integers(1, 20),
    tiles=st.tuples(st.integers(1, 70), st.integers(1, 25)),
    seed=seeds,
)
def test_it_is_the_same_to_the_last_bit_in_any_tiles_and_any_order(num_rows, num_speakers, tiles, seed):
    rows, speaker, session, trusted = corpus(seed, num_rows, num_speakers)
    order = np.random.default_rng(seed).permutation(num_rows)
    expected = nearest_speakers(rows, speaker, session, num_speakers, trusted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "UTTERANCES_PER_TILE", tiles[0])
        patch.setattr(nearest, "SPEAKERS_PER_TILE", tiles[1])
        found = nearest_speakers(rows[order], speaker[order], session[order], num_speakers, trusted[order])
    for one, other in zip(astuple(found), astuple(expected), strict=True):
        np.testing.assert_array_equal(one, other[order])


@pytest.mark.parametrize("tile", [1, 2, 3, 1024])
def test_of_equally_near_labels_the_lesser_are_the_nearest(tile, monkeypatch):
    """The cosines of float32 and the order of tiles must not decide between them."""
    monkeypatch.setattr(nearest, "SPEAKERS_PER_TILE", tile)
    rng = np.random.default_rng(4)
    voice, other = unit(rng.normal(size=(2, 200)).astype(np.float32))
    rows = np.stack([other, voice, voice, other, voice, voice, voice])
    found = nearest_speakers(rows, np.arange(7), np.full(7, NONE), 7)
    assert found.first.tolist() == [3, 2, 1, 0, 1, 1, 1]
    assert found.second[[1, 2, 4, 5, 6]].tolist() == [4, 4, 2, 2, 2]
    assert len(set(found.second_cosine[[1, 2, 4, 5, 6]].tolist())) == 1


def test_the_nearest_of_labels_that_float32_cannot_tell_apart_is_found():
    rng = np.random.default_rng(12)
    voices = unit((rng.normal(size=256) + 1e-5 * rng.normal(size=(600, 256))).astype(np.float32))
    rows = np.concatenate([voices, unit(rng.normal(size=(200, 256)).astype(np.float32) + 0.1)])
    speaker = np.append(np.arange(600), np.full(200, 600))
    found = nearest_speakers(rows, speaker, np.full(800, NONE), 601)
    cosines = np.sort(rows[600:].astype(float) @ voices.astype(float).T, axis=1)
    grid = 2.0**-30  # of sums
    np.testing.assert_allclose(found.first_cosine[600:], cosines[:, -1], rtol=0, atol=3 * grid)
    np.testing.assert_allclose(found.second_cosine[600:], cosines[:, -2], rtol=0, atol=3 * grid)


def test_the_number_of_threads_changes_no_bit():
    rows, speaker, session, trusted = corpus(9, 3000, 700, dimension=40)
    expected = nearest_speakers(rows, speaker, session, 700, trusted)
    for num_threads in (1, 2, 3):
        with threadpool_limits(num_threads):
            found = nearest_speakers(rows, speaker, session, 700, trusted)
        for one, other in zip(astuple(found), astuple(expected), strict=True):
            np.testing.assert_array_equal(one, other)


def test_one_label_has_no_other_and_one_utterance_nothing_to_be_like():
    rows = np.float32([[1, 0], [0.6, 0.8]])
    found = nearest_speakers(rows, np.array([0, 0]), np.array([NONE, NONE]), 1)
    assert (found.first.tolist(), found.first_cosine.tolist()) == ([NONE] * 2, [-np.inf] * 2)
    np.testing.assert_allclose(found.own, [0.6, 0.6], atol=1e-7)
    alone = nearest_speakers(rows[:1], np.array([0]), np.array([3]), 1)
    assert np.isnan(alone.own).all()
    assert len(nearest_speakers(rows[:0], np.array([], int), np.array([], int), 0).own) == 0


def test_what_is_left_of_opposite_voices_points_nowhere():
    rows = np.float32([[1, 0], [-1, 0], [0, 1]])
    found = nearest_speakers(rows, np.array([0, 0, 1]), np.full(3, NONE), 2)
    assert (found.first.tolist(), found.first_cosine.tolist()[2]) == ([1, 1, NONE], -np.inf)
    pointing = directions(rows, np.array([0, 0, 1]), 2, np.ones(3, bool))
    assert np.isnan(pointing[0]).all()
    assert pointing[1].tolist() == [0, 1]


@pytest.mark.parametrize("bad", [[0, 0], [np.nan, 1], [2, 0]])
def test_what_is_not_a_unit_vector_is_refused_by_its_row(bad):
    with pytest.raises(ValueError, match="vector 1 of 2 has length"):
        nearest_speakers(np.float32([[1, 0], bad]), np.array([0, 1]), np.full(2, NONE), 2)


def test_labels_point_where_the_sums_of_their_trusted_utterances_do():
    rows, speaker, _, trusted = corpus(3, 50, 4)
    found = directions(rows, speaker, 5, trusted)
    for s in range(4):
        total = rows[(speaker == s) & trusted].astype(float).sum(axis=0)
        np.testing.assert_allclose(found[s], total / np.linalg.norm(total), atol=1e-7)
    assert np.isnan(found[4]).all()


@given(seeds, st.integers(1, 60))
def test_cosines_to_the_own_label_alone_are_the_same(seed, num_rows):
    rows, speaker, session, trusted = corpus(seed, num_rows, 5)
    found = nearest_speakers(rows, speaker, session, 5, trusted).own
    np.testing.assert_array_equal(own_cosines(rows, speaker, session, 5, trusted), found)
