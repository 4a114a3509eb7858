"""What plans promise: whole speakers, nobody twice in a batch, every one in turn, and the same on every process."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import TrainingError
from models.data.samplers import (
    BalancedSampler,
    BatchShape,
    HardPrototypeSampler,
    LengthBucketSampler,
    ShuffledSampler,
    UtteranceSampler,
    _placed,
    generator,
)

MTML = BatchShape(num_speakers=32, num_per_speaker=4, min_samples=32_000, max_samples=64_000)
PEOPLE = [f"p{code}" for code in range(60)]

# so many utterances each of the speakers has, and in what order they lie
counts = st.lists(st.integers(2, 9), min_size=2, max_size=20)
shuffles = st.randoms(use_true_random=False)


def shape(num_speakers, num_per_speaker):
    return BatchShape(num_speakers=num_speakers, num_per_speaker=num_per_speaker, min_samples=320, max_samples=640)


def people_of(num_of_each, shuffle):
    """(U,) whose each utterance is."""
    person = np.repeat(np.arange(len(num_of_each)), num_of_each).tolist()
    shuffle.shuffle(person)
    return np.array(person, np.int64)


def speakers_of(planned, person):
    """(N,) of a batch, in whose groups of M every utterance is another one of one speaker."""
    groups = planned.utterances.reshape(-1, planned.num_per_speaker)
    assert all(len(set(group)) == planned.num_per_speaker for group in groups.tolist())
    speakers = person[groups]
    assert (speakers == speakers[:, :1]).all()
    return speakers[:, 0].tolist()


def same(plan, other):
    return len(plan) == len(other) and all(
        np.array_equal(one.utterances, two.utterances) and one[1:] == two[1:]
        for one, two in zip(plan, other, strict=True)
    )


# ---------------------------------------------------------------------------------------------- passes through speakers


@given(
    counts, shuffles, st.integers(2, 8), st.integers(1, 2), st.integers(1, 3), st.integers(0, 2**40), st.integers(1, 99)
)
def test_in_every_pass_everybody_speaks_once(num_of_each, shuffle, n, m, passes, seed, epoch):
    person = people_of(num_of_each, shuffle)
    plan = BalancedSampler(person, PEOPLE, shape(n, m), seed=seed, passes=passes).plan(epoch)
    batches = [speakers_of(planned, person) for planned in plan]
    assert all(len(set(batch)) == len(batch) >= 2 for batch in batches)
    num_speakers = len(num_of_each)
    in_a_pass = [n] * (num_speakers // n) + [num_speakers % n] * (num_speakers % n > 1)
    assert [len(batch) for batch in batches] == in_a_pass * passes
    for number in range(passes):
        of_pass = batches[number * len(in_a_pass) : (number + 1) * len(in_a_pass)]
        once = [who for batch in of_pass for who in batch]
        assert len(set(once)) == len(once) == num_speakers - (num_speakers % n == 1)
    assert same(plan, BalancedSampler(person, PEOPLE, shape(n, m), seed=seed, passes=passes).plan(epoch))


def test_epochs_and_seeds_differ():
    person = np.repeat(np.arange(30), 5)
    plans = [BalancedSampler(person, PEOPLE, shape(8, 2), seed=seed).plan(epoch) for seed in (0, 1) for epoch in (1, 2)]
    assert not any(same(plans[i], plans[j]) for i in range(4) for j in range(i))


def test_a_plan_is_drawn_from_other_numbers_than_the_first_crops():
    ours = generator(7, 1).random(4)
    for key in ([7, 1], [7, 1, 0], [7, 1, 0, 0]):  # all three are one to numpy
        assert not set(ours) & set(np.random.default_rng(key).random(100))


def test_every_pair_of_a_speaker_is_drawn_alike_in_both_orders():
    person = np.array([0, 1, 0, 1, 0, 1, 0])  # four utterances of the first: 12 pairs in order
    sampler = BalancedSampler(person, PEOPLE, shape(2, 2), seed=0, passes=6_000)
    rows = np.concatenate([planned.utterances.reshape(-1, 2) for planned in sampler.plan(1)])
    pairs, times = np.unique(rows[person[rows[:, 0]] == 0], axis=0, return_counts=True)
    assert len(pairs) == 12
    assert abs(times - 500).max() < 3.5 * np.sqrt(500)
    _, places = np.unique(rows[person[rows[:, 0]] == 1], axis=0, return_counts=True)
    assert len(places) == 6


def test_a_speaker_with_too_few_utterances_is_named_or_left_out(caplog):
    person = np.array([0, 0, 1, 2, 2, 3, 4, 4])
    with pytest.raises(
        TrainingError, match=r"^p1: 1 utterances; expected 2 of each speaker, or to skip 2 who have fewer$"
    ):
        BalancedSampler(person, PEOPLE[:5], shape(5, 2), seed=0)
    with caplog.at_level(logging.INFO, logger="voxcurate"):
        sampler = BalancedSampler(person, PEOPLE[:5], shape(5, 2), seed=0, skip_short_speakers=True)
    assert caplog.messages == ["2 of 5 speakers have fewer than 2 utterances; left out"]
    assert [sorted(speakers_of(planned, person)) for planned in sampler.plan(1)] == [[0, 2, 4]]


def test_a_split_of_one_speaker_is_refused():
    with pytest.raises(TrainingError, match="1 speakers with 3 utterances; expected 2 or more"):
        BalancedSampler(np.array([0, 0, 0, 1]), PEOPLE[:2], shape(2, 3), seed=0, skip_short_speakers=True)


# ----------------------------------------------------------------------------------------------------- crops of a batch


def test_the_crops_of_a_batch_are_of_one_length_between_two_and_four_seconds():
    person = np.repeat(np.arange(64), 6)
    plan = BalancedSampler(person, [str(code) for code in range(64)], MTML, seed=0, passes=500).plan(1)
    lengths = np.array([planned.num_samples for planned in plan])
    assert {len(planned.utterances) for planned in plan} == {128}
    assert lengths.min() == 32_000
    assert lengths.max() == 64_000
    assert set(lengths % 160) == {0}
    assert abs(lengths.mean() - 48_000) < 1_000  # its standard error is 290


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"num_speakers": 1}, "1 speakers x 4 utterances; expected 2 x 1"),
        ({"num_per_speaker": 0}, "32 speakers x 0 utterances"),
        ({"min_samples": 0}, "crops of 0 to 64000 samples"),
        ({"max_samples": 31_999}, "crops of 32000 to 31999 samples"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(given_, said):
    whole = {"num_speakers": 32, "num_per_speaker": 4, "min_samples": 32_000, "max_samples": 64_000}
    with pytest.raises(TrainingError, match=said):
        BatchShape(**whole | given_)


def test_no_pass_is_no_epoch():
    with pytest.raises(TrainingError, match="0 passes"):
        BalancedSampler(np.array([0, 1]), PEOPLE[:2], shape(2, 1), seed=0, passes=0)


# -------------------------------------------------------------------------------------------- passes through utterances


@given(counts, shuffles, st.integers(2, 6), st.integers(1, 3), st.sampled_from([None, 4, 7]), st.integers(0, 99))
def test_no_utterance_comes_twice_and_no_speaker_twice_in_a_batch(num_of_each, shuffle, n, m, most, epoch):
    person = people_of(num_of_each, shuffle)
    groups = np.minimum(num_of_each, most or 99) // m
    if np.count_nonzero(groups) < n:
        with pytest.raises(TrainingError, match=f"expected {n} for a batch"):
            UtteranceSampler(person, shape(n, m), seed=3, max_per_speaker=most)
        return
    plan = UtteranceSampler(person, shape(n, m), seed=3, max_per_speaker=most).plan(epoch)
    batches = [speakers_of(planned, person) for planned in plan]
    assert all(len(set(batch)) == len(batch) == n for batch in batches)
    rows = [row for planned in plan for row in planned.utterances.tolist()]
    assert len(set(rows)) == len(rows)
    heard = np.bincount(person[rows], minlength=len(num_of_each)) if rows else np.zeros(len(num_of_each))
    assert (heard <= groups * m).all()
    left = (groups - heard // m) > 0
    assert np.count_nonzero(left) < n, "a batch could still be made"
    assert same(plan, UtteranceSampler(person, shape(n, m), seed=3, max_per_speaker=most).plan(epoch))


def in_line(speakers, batch_size):
    """Batches by hand: who is in the batch waits, and those who wait are the first of the next, once each."""
    stream, waiting, batches = list(speakers), [], []
    while True:
        batch, line = [], []
        for who in waiting:  # in the order in which they began to wait
            if who not in batch and len(batch) < batch_size:
                batch.append(who)
            else:
                line.append(who)
        waiting = [who for who in line if who not in batch] + [who for who in line if who in batch]
        while len(batch) < batch_size and stream:
            who = stream.pop(0)
            (waiting if who in batch else batch).append(who)
        if len(batch) < batch_size:
            return batches
        batches.append(batch)


@given(st.lists(st.integers(0, 7), max_size=60), st.integers(2, 5))
def test_groups_are_placed_as_a_slow_queue_places_them(speakers, n):
    found = _placed(np.array(speakers, np.int64), np.arange(8) * 100, 1, n)
    expected = in_line(speakers, n)
    assert (found // 100).reshape(-1, n).tolist() == expected
    for code in range(8):  # each takes his groups one after the other
        np.testing.assert_array_equal(
            found[found // 100 == code] % 100, np.arange(np.count_nonzero(found // 100 == code))
        )


def test_a_group_that_must_wait_is_not_lost():
    # batches of two: 0, and the second 0 waits, 1 | 0, 2 | the third 0 waits, 3
    found = _placed(np.array([0, 0, 1, 2, 0, 3]), np.array([0, 10, 20, 30]), 1, 2)
    assert found.tolist() == [0, 10, 1, 20, 2, 30]


def test_almost_all_of_a_large_split_is_heard_and_every_epoch_leaves_out_others():
    person = np.repeat(np.arange(300), 20)
    sampler = UtteranceSampler(person, shape(32, 2), seed=1)
    heard = [np.concatenate([planned.utterances for planned in sampler.plan(epoch)]) for epoch in (1, 2)]
    assert min(map(len, heard)) >= 0.98 * len(person)
    assert set(heard[0].tolist()) | set(heard[1].tolist()) > set(heard[0].tolist())


def test_of_a_speaker_others_are_taken_each_epoch_where_there_is_a_most():
    person = np.repeat(np.arange(10), 50)
    sampler = UtteranceSampler(person, shape(5, 2), seed=1, max_per_speaker=10)
    heard = {row for epoch in range(1, 30) for planned in sampler.plan(epoch) for row in planned.utterances.tolist()}
    assert len(heard) > 480  # 29 epochs of a fifth: all but one in 600


# ------------------------------------------------------------------------------------------------------ hard prototypes


def test_a_speaker_comes_with_those_who_are_like_him():
    person = np.repeat(np.arange(12), 3)
    ring = lambda speakers: np.stack([(speakers + 1) % 12, (speakers - 1) % 12], axis=1)  # noqa: E731
    sampler = HardPrototypeSampler(person, PEOPLE[:12], shape(6, 2), ring, seed=2)
    plan = sampler.plan(1)
    assert same(plan, sampler.plan(1))
    batches = [speakers_of(planned, person) for planned in plan]
    assert all(len(set(batch)) == len(batch) for batch in batches)
    assert {len(batch) for batch in batches[:-1]} == {6}
    assert {who for batch in batches for who in batch} == set(range(12))
    first = batches[0][0]
    assert batches[0][:3] == [first, (first + 1) % 12, (first - 1) % 12]


def test_a_last_speaker_whom_nobody_is_like_makes_no_batch():
    person = np.repeat(np.arange(3), 2)
    plan = HardPrototypeSampler(person, PEOPLE[:3], shape(2, 2), lambda speakers: speakers[:, None], seed=0).plan(1)
    assert [len(set(speakers_of(planned, person))) for planned in plan] == [2]


def test_those_who_are_left_out_are_not_brought_in_by_others():
    person = np.array([0, 0, 1, 2, 2, 3, 3])
    others = lambda speakers: np.tile([1, 0], (len(speakers), 1))  # noqa: E731
    sampler = HardPrototypeSampler(person, PEOPLE[:4], shape(4, 2), others, seed=0, skip_short_speakers=True)
    assert [sorted(speakers_of(planned, person)) for planned in sampler.plan(1)] == [[0, 2, 3]]


# -------------------------------------------------------------------------------------------------------------- lengths


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=80), st.integers(1_000, 5_000), st.integers(1, 99))
def test_every_utterance_comes_once_and_no_batch_holds_more_than_is_allowed(lengths, most, epoch):
    num_samples = np.array(lengths)
    sampler = LengthBucketSampler(num_samples, [], max_padded_samples=most, seed=5)
    plan = sampler.plan(epoch)
    assert sorted(row for planned in plan for row in planned.utterances.tolist()) == list(range(len(lengths)))
    for planned in plan:
        assert num_samples[planned.utterances].max() * len(planned.utterances) <= most
        assert planned.num_samples == 0
    assert same(plan, sampler.plan(epoch))


def padding(num_samples, batches):
    """The share of silence in the batches."""
    return 1 - sum(num_samples[rows].sum() for rows in batches) / sum(
        num_samples[rows].max() * len(rows) for rows in batches
    )


def test_less_is_padded_than_in_random_batches_and_epochs_differ():
    rng = np.random.default_rng(1)
    num_samples = (16_000 * np.exp(rng.normal(2, 0.5, 2_000))).astype(np.int64)
    sampler = LengthBucketSampler(num_samples, [], max_padded_samples=16_000 * 200, seed=5)
    batches = [planned.utterances for planned in sampler.plan(1)]
    at_random = np.split(rng.permutation(2_000), np.cumsum([len(rows) for rows in batches])[:-1])
    assert padding(num_samples, batches) < 0.07
    assert padding(num_samples, at_random) > 0.4
    together = {tuple(sorted(rows.tolist())) for rows in batches}
    again = together & {tuple(sorted(planned.utterances.tolist())) for planned in sampler.plan(2)}
    assert len(again) < 0.05 * len(together)  # the longest have few like them
    longest = np.array([num_samples[rows].max() for rows in batches])
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.2  # in no order of length


def test_an_utterance_longer_than_a_batch_is_named():
    with pytest.raises(TrainingError, match=r"^b: 12 samples; expected at most the 10 of a batch"):
        LengthBucketSampler(np.array([3, 12, 20]), ["a", "b", "c"], max_padded_samples=10, seed=0)


# ------------------------------------------------------------------------------------------------------------ processes


@given(st.integers(2, 40), st.integers(2, 12), st.integers(1, 3), st.integers(1, 4))
def test_a_shuffled_pass_hears_every_utterance_once_but_for_one_that_is_left_alone(num, size, passes, epoch):
    shape = BatchShape(num_speakers=size, num_per_speaker=1, min_samples=1_600, max_samples=3_200)
    planned = ShuffledSampler(num, shape, seed=3, passes=passes).plan(epoch)
    counts = np.bincount(np.concatenate([one.utterances for one in planned]), minlength=num)
    assert counts.max() <= passes
    assert counts.sum() == passes * (num - (num % size == 1))
    assert all(2 <= len(one.utterances) <= size for one in planned)
    assert all(1_600 <= one.num_samples <= 3_200 for one in planned)


def test_shuffled_epochs_differ_and_are_drawn_again_alike():
    shape = BatchShape(num_speakers=4, num_per_speaker=1, min_samples=1_600, max_samples=1_600)
    sampler = ShuffledSampler(20, shape, seed=3)
    first, second = (np.concatenate([one.utterances for one in sampler.plan(epoch)]) for epoch in (1, 2))
    assert not np.array_equal(first, second)
    again = ShuffledSampler(20, shape, seed=3).plan(1)
    assert np.array_equal(first, np.concatenate([one.utterances for one in again]))
    with pytest.raises(TrainingError, match=r"^1 utterances; expected 2 or more"):
        ShuffledSampler(1, shape, seed=3)
