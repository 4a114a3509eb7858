"""Wrong labels, and utterances in which nobody of the corpus is to be heard."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.mislabelled import MIN_TO_JUDGE, find_mislabelled, find_unlike
from curate.similarity import Indices, Vectors, unit

DIMENSION = 32


def voices(num_speakers: int, each: int, seed: int = 0, spread: float = 0.08) -> tuple[Vectors, Indices]:
    """Unit vectors around a direction a speaker, and whose each is."""
    rng = np.random.default_rng(seed)
    centre = unit(rng.normal(size=(num_speakers, DIMENSION)).astype(np.float32))
    speaker = np.repeat(np.arange(num_speakers), each)
    noise = rng.normal(size=(len(speaker), DIMENSION)).astype(np.float32) * spread
    return unit(centre[speaker] + noise), speaker


def planted(speaker: Indices, share: float, seed: int = 1) -> Indices:
    """As many labels as that moved to another speaker, evenly drawn."""
    rng = np.random.default_rng(seed)
    num, labels = int(speaker.max()) + 1, speaker.copy()
    rows = rng.choice(len(speaker), round(share * len(speaker)), replace=False)
    labels[rows] = (speaker[rows] + rng.integers(1, num, len(rows))) % num
    return labels


def unknown(speaker: Indices) -> Indices:
    """Nobody knows the sessions."""
    return np.full(len(speaker), -1)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_wrong_labels_are_found_and_their_share_is_told(share):
    vectors, speaker = voices(20, 15)
    labels = planted(speaker, share)
    found = find_mislabelled(vectors, labels, unknown(labels), 20)
    assert (found.is_wrong == (labels != speaker)).all()
    assert found.mixture.share_wrong == pytest.approx(share, abs=0.01)


def test_the_nearest_label_is_the_true_one():
    vectors, speaker = voices(20, 15)
    labels = planted(speaker, 0.1)
    found = find_mislabelled(vectors, labels, unknown(labels), 20)
    assert (found.near.first[found.is_wrong] == speaker[found.is_wrong]).all()


def test_labels_of_few_utterances_are_not_judged():
    vectors, speaker = voices(20, 15)
    few = speaker == 3
    few[np.flatnonzero(few)[: 15 - MIN_TO_JUDGE + 1]] = False
    keep = (speaker != 3) | few
    vectors, speaker = vectors[keep], speaker[keep]
    vectors[np.flatnonzero(speaker == 3)[0]] = vectors[0]  # plainly another's
    found = find_mislabelled(vectors, speaker, unknown(speaker), 20)
    assert not found.is_judged[speaker == 3].any()
    assert not found.is_wrong[speaker == 3].any()
    assert found.is_judged[speaker != 3].all()


def test_a_voice_without_a_label_is_like_nobody():
    vectors, speaker = voices(20, 15)
    strangers, _ = voices(8, 1, seed=99)
    rows = np.arange(0, 15 * 8, 15)
    vectors[rows] = strangers
    found = find_mislabelled(vectors, speaker, unknown(speaker), 20)
    alike = find_unlike(vectors, speaker, unknown(speaker), 20, ~found.is_wrong)
    assert not (found.is_wrong & alike.is_unlike).any()
    assert set(np.flatnonzero(found.is_wrong | alike.is_unlike)) == set(rows)


def test_a_whole_foreign_session_does_not_defend_itself():
    vectors, speaker = voices(12, 24)
    session = speaker * 3 + np.tile(np.arange(24) // 8, 12)  # three sessions of eight
    labels, sittings = speaker.copy(), session.copy()
    moved = session == 3 * 3  # the first of speaker 3 goes to speaker 5, where it is a fourth
    labels[moved], sittings[moved] = 5, session.max() + 1
    found = find_mislabelled(vectors, labels, sittings, 12)
    assert (found.is_wrong == moved).all()


@pytest.mark.parametrize(("num_speakers", "each"), [(0, 0), (1, 1), (1, 40), (2, 2), (40, 1)])
def test_where_nothing_can_be_told_nothing_is_wrong(num_speakers, each):
    vectors, speaker = voices(num_speakers, each) if num_speakers else (np.zeros((0, 4), np.float32), np.zeros(0, int))
    found = find_mislabelled(vectors, speaker, unknown(speaker), num_speakers)
    assert not found.is_wrong.any()
    assert found.mixture is None
    assert not find_unlike(vectors, speaker, unknown(speaker), num_speakers, ~found.is_wrong).is_unlike.any()


def test_vectors_that_are_all_the_same_are_nobodys_in_particular():
    vectors, speaker = np.ones((60, 4), np.float32) / 2, np.repeat(np.arange(6), 10)
    found = find_mislabelled(vectors, speaker, unknown(speaker), 6)
    assert not found.is_wrong.any()
    assert not find_unlike(vectors, speaker, unknown(speaker), 6, ~found.is_wrong).is_unlike.any()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.3]))
def test_the_order_of_rows_does_not_matter(seed, share):
    vectors, speaker = voices(8, 10, seed=seed, spread=0.2)
    labels = planted(speaker, share, seed=seed)
    order = np.random.default_rng(seed).permutation(len(speaker))
    one = find_mislabelled(vectors, labels, unknown(labels), 8)
    two = find_mislabelled(vectors[order], labels[order], unknown(labels), 8)
    assert (one.is_wrong[order] == two.is_wrong).all()
    alike = find_unlike(vectors, labels, unknown(labels), 8, ~one.is_wrong)
    other = find_unlike(vectors[order], labels[order], unknown(labels), 8, ~two.is_wrong)
    assert (alike.is_unlike[order] == other.is_unlike).all()
