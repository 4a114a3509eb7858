"""What `people` promises: mixed labels are cut into their people, labels of one person stay whole."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.halves import cut
from curate.mixed import people
from curate.similarity import unit
from curate.whitened import Spaces, spaces

DIMENSION = 24
seeds = st.integers(0, 2**32 - 1)


def voices(rng, counts, spread=0.5):
    """So many utterances of each of as many people, who are as unlike as chance makes them."""
    person = np.repeat(np.arange(len(counts)), counts)
    centre = unit(rng.normal(size=(len(counts), DIMENSION)))
    noise = rng.normal(size=(len(person), DIMENSION)) * spread / np.sqrt(DIMENSION)
    return unit(np.float32(1.0 + centre[person] + noise)), person


def unknown(speaker):
    return np.full(len(speaker), -1)


def told(vectors, speaker, session=None, **settings):
    return people(
        vectors, speaker, unknown(speaker) if session is None else session, int(speaker.max()) + 1, **settings
    )


def as_they_are(dimension):
    """A space that changes nothing."""
    return Spaces(centre_D=np.zeros(dimension, np.float32), whitening_FDD=np.eye(dimension, dtype=np.float32)[None])


def cut_of(vectors, session=None):
    rows = np.arange(len(vectors))
    found = cut(
        np.float32(vectors), unknown(rows) if session is None else session, as_they_are(2), [rows], np.zeros(1, int)
    )
    return found.score[0], found.upper[0].tolist()


def angles(*degrees):
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)


def similarity_by_pairs(one, other):
    """The figure by its definition, pair by pair."""

    def within(half):
        return np.mean([a @ b for a, b in combinations(half, 2)])

    return np.mean([a @ b for a in one for b in other]) / np.sqrt(within(one) * within(other))


def test_two_pairs_at_a_right_angle_are_cut_and_share_nothing():
    score, upper = cut_of(angles(0, 0, 90, 90))
    assert score == pytest.approx(0, abs=1e-6)
    assert upper in ([True, True, False, False], [False, False, True, True])


def test_halves_that_are_as_tight_as_they_are_apart_score_as_worked_by_hand():
    # within: cos 20 each; across: (cos 60 + cos 40 + cos 80 + cos 60) / 4
    score, _ = cut_of(angles(0, 20, 60, 80))
    across = np.cos(np.deg2rad([60, 40, 80, 60])).mean()
    assert score == pytest.approx(across / np.cos(np.deg2rad(20)), abs=1e-6)


def test_one_utterance_is_not_a_half():
    score, upper = cut_of(angles(0, 0, 90))
    assert np.isnan(score)
    assert upper == [False] * 3


def test_a_session_that_stands_out_is_a_half_although_utterances_part_more_tightly_elsewhere():
    vectors = angles(*[-40] * 20, *[40] * 20, *[95] * 2)
    alone, _ = cut_of(vectors)
    score, upper = cut_of(vectors, np.array([0] * 20 + [0] * 20 + [1] * 2))
    assert score <= alone
    assert upper[-2:] != upper[:1] * 2


@given(seed=seeds, size=st.integers(4, 12))
def test_the_score_of_a_cut_is_that_of_all_pairs(seed, size):
    rng = np.random.default_rng(seed)
    vectors, _ = voices(rng, [size, size])
    rows = [np.arange(size + 2), np.arange(2 * size)]
    found = cut(vectors, unknown(np.arange(2 * size)), as_they_are(DIMENSION), rows, np.zeros(2, int))
    for of_set, score, upper in zip(rows, found.score, found.upper, strict=True):
        if not np.isnan(score):
            halves = vectors[of_set[upper]].astype(float), vectors[of_set[~upper]].astype(float)
            assert score == pytest.approx(similarity_by_pairs(*halves), abs=1e-5)


@given(seed=seeds)
def test_a_space_makes_utterances_of_the_other_labels_vary_alike_in_all_directions(seed):
    rng = np.random.default_rng(seed)
    stretched = rng.normal(size=(3000, 4)) * [0.1, 0.2, 0.3, 0.4]
    label = np.arange(3000) % 3
    space = spaces(np.float32(stretched), label, np.array([0, 1, 1])[label])
    residual = stretched[label > 0]
    white = residual @ space.whitening_FDD[0]
    assert np.cov(white.T) == pytest.approx(np.eye(4) * np.trace(np.cov(white.T)) / 4, abs=0.02)


def people_who_share_a_label_are_told_apart(seed):
    rng = np.random.default_rng(seed)
    vectors, person = voices(rng, [20] * 11 + [40])
    label = person.copy()
    label[np.flatnonzero(person == 11)[:20]] = 0  # half and half
    label[np.flatnonzero(person == 10)[:5]] = 1  # a fifth
    found = told(vectors, label)
    halves, of_1 = found.part[label == 0].tolist(), found.parts.speaker == 1
    return (
        found.num_people.tolist() == [2, 2] + [1] * (len(found.num_people) - 2)
        and found.part[label == 1].tolist() == [0] * 20 + [1] * 5
        and halves == [0] * 20 + [1] * 20  # another label claims the second
        and found.parts.size[of_1].tolist() == [20, 5]
        and found.parts.nearest[of_1].tolist()[1] == 10
        and found.parts.is_of_nearest[of_1].tolist() == [False, True]
    )


def test_people_who_share_a_label_are_told_apart():
    """But for a few draws of voices: of the first 300 it is nine, in seven of which a label of one person is cut."""
    assert sum(map(people_who_share_a_label_are_told_apart, range(30))) >= 27


def test_three_people_under_one_label_are_three():
    vectors, person = voices(np.random.default_rng(1), [20] * 12)
    result = told(vectors, np.where(person > 9, 0, person))
    assert result.num_people.tolist() == [3] + [1] * 9
    pairs = np.stack([result.part, person])[:, (person == 0) | (person > 9)]
    assert np.unique(pairs, axis=1).shape[1] == 3


@settings(max_examples=20)
@given(seed=seeds)
def test_labels_of_one_person_stay_whole(seed):
    rng = np.random.default_rng(seed)
    vectors, person = voices(rng, rng.integers(6, 25, size=12))
    rotation = np.linalg.qr(rng.normal(size=(DIMENSION, DIMENSION)))[0]
    for one in (vectors, unit(np.float32(vectors @ rotation))):
        result = told(one, person)
        assert (result.num_people == 1).all()
        assert (result.part == 0).all()
        assert len(result.parts.speaker) == 0


@settings(max_examples=10)
@given(seed=seeds)
def test_neither_the_order_of_rows_nor_the_index_of_a_label_matters(seed):
    rng = np.random.default_rng(seed)
    vectors, person = voices(rng, [12] * 10)
    label = np.where(person == 9, 0, person)
    session = rng.integers(-1, 4, size=len(label))
    rows, index = rng.permutation(len(label)), rng.permutation(9)
    first, second = told(vectors, label, session), told(vectors[rows], index[label[rows]], session[rows])
    assert second.num_people[index].tolist() == first.num_people.tolist()
    assert second.score[index] == pytest.approx(first.score, abs=1e-4, nan_ok=True)
    assert second.threshold[index] == pytest.approx(first.threshold, abs=1e-2, nan_ok=True)
    same = second.part == first.part[rows]
    assert same[label[rows] != 0].all()
    assert same[label[rows] == 0].all() or not same[label[rows] == 0].any()  # halves of one size, claimed by nobody


@pytest.mark.parametrize("counts", [[], [1], [30], [30, 30, 30], [5] * 20], ids=str)
def test_too_few_labels_or_utterances_are_not_judged(counts):
    vectors, person = (
        voices(np.random.default_rng(0), counts) if counts else (np.zeros((0, 4), np.float32), np.zeros(0, int))
    )
    result = people(vectors, person, unknown(person), len(counts) + 1)
    assert result.num_people.tolist() == [1] * len(counts) + [0]
    assert np.isnan(result.score).all()
    assert np.isnan(result.threshold).all()


def test_labels_whose_utterances_are_all_alike_are_whole():
    vectors = np.repeat(np.eye(8, dtype=np.float32), 8, axis=0)
    assert told(vectors, np.repeat(np.arange(8), 8)).num_people.tolist() == [1] * 8


@pytest.fixture(scope="module")
def readers(librispeech):
    """(unit vectors, reader, chapter) of the LibriSpeech pieces as GE2E hears them."""
    reader, chapter = (np.unique(of, return_inverse=True)[1] for of in (librispeech.speaker, librispeech.session))
    return librispeech.vectors, reader, chapter


@pytest.mark.real
def test_readers_are_one_person_each(readers):
    assert (told(*readers).num_people == 1).all()


@pytest.mark.real
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_a_reader_under_another_label_is_found(readers, share):
    vectors, reader, chapter = readers
    rng = np.random.default_rng(5)
    found = attributed = 0
    for _ in range(5):
        owner, foreigner = rng.choice(13, 2, replace=False)
        own, foreign = (rng.permutation(np.flatnonzero(reader == one)) for one in (owner, foreigner))
        number = min(round(len(own) * share), len(foreign) - 2)
        label = reader.copy()
        label[foreign[:number]] = owner
        kept = np.setdiff1d(np.arange(len(label)), own[:number])
        result = told(vectors[kept], label[kept], chapter[kept])
        is_foreign = reader[kept][label[kept] == owner] == foreigner
        part = result.part[label[kept] == owner] > 0
        found += result.num_people[owner] == 2 and (np.delete(result.num_people, owner) == 1).all()
        attributed += (part == is_foreign).all() or (part != is_foreign).all()
    assert (found, attributed) == (5, 5)


@pytest.mark.real
def test_a_whole_chapter_of_somebody_else_is_found_and_given_back(readers):
    vectors, reader, chapter = readers
    two_chapters = [one for one in range(13) if len(set(chapter[reader == one])) == 2]
    for foreigner in two_chapters:
        label = reader.copy()
        label[chapter == chapter[reader == foreigner][0]] = 0
        result = told(vectors, label, chapter)
        assert np.flatnonzero(result.num_people > 1).tolist() == [0]
        assert result.parts.nearest[result.parts.is_of_nearest].tolist() == [foreigner]
