"""What the loops of `curate.agreement` promise: they find what the definition says, of any landmarks."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import agreement
from tests.curate.agreement_by_definition import agreeing, around_seeds, num_around_a_seed

numbers = st.integers(0, 2**32 - 1)
SEED = (5 << 12 | 3, 5 << 12 | 4)  # two hashes of landmarks that begin at one peak


def landmarks(*told):
    """(hash, frame) each, ascending."""
    return np.unique(np.int64([hash_ << 32 | frame for hash_, frame in told]))


def drawn(rng, num):
    """So few hashes at so few times that seeds come often, some of them several times in a recording."""
    frame = rng.choice([0, 3, 7, 8, 250, 255, 256, 263, 264, 600], num)
    return np.unique(rng.integers(0, 3, num) << 44 | rng.integers(0, 3, num) << 32 | frame)


def together(recordings):
    """Their landmarks one after the other, and where each begins and ends."""
    bounds = np.cumsum([0, *map(len, recordings)])
    return np.concatenate(recordings), bounds[:-1], bounds[1:]


def held(recordings, *, min_beside, max_alike=100, num_room=1 << 13):
    """The pairs that `candidates` names, and how often it had to be called."""
    marks, num = together(recordings), np.zeros(1, np.int64)
    agreement.seeds(*marks, 0, len(recordings), num, np.empty(0, np.int64))
    seeds = np.empty(num[0], np.int64)
    agreement.seeds(*marks, 0, len(recordings), np.zeros(1, np.int64), seeds)
    seeds, begin, pairs, num_calls = np.unique(seeds), 0, set(), 0
    while begin < len(seeds):
        room = np.empty(num_room, np.int64)
        found, begin = agreement.candidates(*marks, seeds, begin, max_alike, min_beside, room)
        pairs |= {(pair >> 32, pair & 0xFFFFFFFF) for pair in room[:found].tolist()}
        num_calls += 1
    return pairs, num_calls


@pytest.mark.parametrize(
    ("later", "num_agreeing"),
    [
        ((0, 0, 0, 0), 5),  # 2.56 s before it are near enough, 2.56 s after it too far
        ((0, 1, 1, 0), 5),  # frames 40 to 47 are one time
        ((0, 1, 2, 0), 4),
        ((1, 0, 0, -1), 5),
        ((8, 8, 8, 8), 2),  # none but the seed's own
    ],
)
def test_recordings_are_held_against_each_other_where_enough_agrees_around_a_seed(later, num_agreeing):
    frames = (-256, 40, 46, 256)
    one = landmarks(*((hash_, 300) for hash_ in SEED), *((9 + at, 300 + frame) for at, frame in enumerate(frames)))
    moved = [(9 + at, 1000 + frames[at] + by) for at, by in enumerate(later)]
    other = landmarks(*((hash_, 1000) for hash_ in SEED), *moved)
    assert num_around_a_seed(one, other) == num_agreeing
    assert held([one, other], min_beside=num_agreeing)[0] == {(0, 1)}
    assert held([one, other], min_beside=num_agreeing + 1)[0] == set()


def test_what_is_there_many_times_in_one_step_counts_once():
    again = [(9, 320 + frame) for frame in range(4)]
    one = landmarks(*((hash_, 300) for hash_ in SEED), *again)
    assert held([one, one], min_beside=3)[0] == {(0, 1)}
    assert held([one, one], min_beside=4)[0] == set()


@pytest.mark.parametrize(("num_more", "is_held"), [(4094, False), (4095, True)])
def test_with_long_recordings_all_are_held_that_share_a_seed(num_more, is_held):
    seed = [(hash_, 300) for hash_ in SEED]
    long = landmarks(*seed, *((9, 1000 + at) for at in range(num_more)))
    assert held([landmarks(*seed), long], min_beside=3)[0] == ({(0, 1)} if is_held else set())
    assert held([long, landmarks(*seed)], min_beside=3)[0] == ({(0, 1)} if is_held else set())


@given(seed=numbers)
def test_pairs_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    recordings = [drawn(rng, num) for num in rng.integers(1, 30, rng.integers(2, 7))]
    recordings += [recordings[0] + 7, np.zeros(0, np.int64)]
    min_beside, max_alike = rng.integers(2, 10), rng.integers(2, 9)
    around = [around_seeds(one) for one in recordings]
    is_rare = {seed for of_one in around for seed in of_one if sum(seed in other for other in around) <= max_alike}
    expected = {
        (one, other)
        for one, other in combinations(range(len(recordings)), 2)
        for seed in around[one].keys() & around[other].keys() & is_rare
        if len(around[one][seed] & around[other][seed]) >= min_beside
    }
    found, _ = held(recordings, min_beside=min_beside, max_alike=max_alike)
    assert found == expected


def test_room_for_few_pairs_takes_several_calls_and_finds_the_same():
    rng = np.random.default_rng(3)
    one = np.unique(rng.integers(0, 20, 60) << 44 | rng.integers(0, 9, 60) << 32 | rng.integers(0, 30, 60))
    recordings = [one + by for by in range(5)]
    pairs, num_calls = held(recordings, min_beside=6)
    again, num_calls_again = held(recordings, min_beside=6, num_room=10)
    assert pairs == again == set(combinations(range(5), 2))
    assert num_calls == 1 < num_calls_again


@given(seed=numbers)
def test_the_compiled_count_is_that_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    # few hashes in few frames, so that many agree by chance and at several offsets
    one, other = (np.unique(rng.integers(0, 6, n) << 32 | rng.integers(0, 12, n)) for n in rng.integers(1, 60, 2))
    values, start, end = together([one, other])
    agree = agreeing(one, other)
    for least in (0, agree):
        counts = np.empty(2, np.int64)
        agreement.agreeing(values, start, end, np.array([1, 1 << 32]), np.array([least] * 2), counts)
        assert counts.tolist() == [agree] * 2
