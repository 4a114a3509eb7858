"""What becomes of planned batches: of some rows of a split, of two samplers in turn, shared among processes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import TrainingError
from models.data.plans import AmongRows, InTurn, share, shares
from models.data.samplers import BalancedSampler, BatchShape, Planned
from tests.models.data.test_samplers import PEOPLE, counts, people_of, shape, shuffles, speakers_of


@given(st.integers(0, 12), st.integers(1, 3), st.integers(1, 5))
def test_shares_are_whole_speakers_as_many_on_each_process(num_speakers, m, num_processes):
    planned = Planned(np.arange(num_speakers * m), 320, m)
    parts = [share(planned, process, num_processes) for process in range(num_processes)]
    of_each = num_speakers // num_processes
    assert [len(part.utterances) for part in parts] == [of_each * m] * num_processes
    joined = np.concatenate([part.utterances for part in parts])
    np.testing.assert_array_equal(joined, planned.utterances[: of_each * num_processes * m])
    assert all(part[1:3] == (320, m) for part in parts)


def test_by_hand_three_speakers_of_two_on_two_processes():
    planned = Planned(np.array([4, 9, 1, 7, 5, 2]), 640, 2)
    assert [share(planned, process, 2).utterances.tolist() for process in (0, 1)] == [[4, 9], [1, 7]]


@given(counts, shuffles, st.integers(2, 8), st.integers(1, 2), st.integers(1, 4))
def test_every_process_takes_as_many_steps_with_batches_of_one_size(num_of_each, shuffle, n, m, num_processes):
    person = people_of(num_of_each, shuffle)
    plan = BalancedSampler(person, PEOPLE, shape(n, m), seed=0, passes=2).plan(1)
    taken = [shares(plan, process, num_processes) for process in range(num_processes)]
    steps = [[(len(one.utterances), one.num_samples) for one in part] for part in taken]
    assert steps == [steps[0]] * num_processes
    assert all(len(speakers_of(one, person)) >= 2 for part in taken for one in part)
    assert len(taken[0]) == sum(len(one.utterances) // m // num_processes >= 2 for one in plan)


def test_a_batch_that_cannot_be_shared_is_dropped_with_those_of_its_round():
    """Two processes, and whole utterances and crops in turn: one whole utterance, and three crops, are too few."""
    whole, crops = (Planned(np.arange(4), 0, learns=("text",)), Planned(np.arange(4), 320))
    plan = [
        whole,
        crops,
        whole._replace(utterances=np.arange(1)),
        crops,
        whole,
        crops._replace(utterances=np.arange(3)),
    ]
    for process in (0, 1):
        assert [one.learns for one in shares(plan, process, 2, num_in_turn=2)] == [("text",), ("person",)]
        assert [one.learns[0] for one in shares(plan, process, 2)] == ["text", "person", "person", "text"]
        assert [len(one.utterances) for one in shares(plan, process, 2, num_in_turn=2)] == [2, 2]
    assert len(shares(plan, 0, 1, num_in_turn=2)) == 6


@pytest.mark.parametrize("process", [-1, 2])
def test_a_process_that_is_not_one_of_them_is_refused(process):
    with pytest.raises(TrainingError, match=f"process {process} of 2; expected 0 to 1"):
        share(Planned(np.arange(4), 1), process, 2)


def test_batches_among_some_rows_are_those_rows_of_the_split():
    rows, shape = np.array([3, 5, 9, 11]), BatchShape(num_speakers=2, num_per_speaker=2, min_samples=16, max_samples=16)
    inner = BalancedSampler(np.array([0, 0, 1, 1]), ["a", "b"], shape, seed=1)
    (found,), (place,) = AmongRows(sampler=inner, rows=rows).plan(1), inner.plan(1)
    assert found.utterances.tolist() == rows[place.utterances].tolist()
    assert (found.num_samples, found.num_per_speaker) == (place.num_samples, place.num_per_speaker)


class Numbered:
    """Batches of one utterance, which tell the epoch and the place: `[100 * epoch + place]`."""

    def __init__(self, num):
        self.num = num

    def plan(self, epoch):
        return [Planned(np.array([100 * epoch + place]), 16) for place in range(self.num)]


def heard(planned):
    return [int(one.utterances[0]) for one in planned]


def test_samplers_in_turn_worked_by_hand():
    """Three epochs: a pass that ends too early goes on with that of epoch 1 + 3, which the run itself has not."""
    plan = InTurn(samplers=[Numbered(2), Numbered(3)], num_epochs=3).plan(1)
    assert heard(plan) == [100, 100, 101, 101, 400, 102]
    plan = InTurn(samplers=[Numbered(2), Numbered(3)], num_epochs=3, num_rounds=5).plan(2)
    assert heard(plan) == [200, 200, 201, 201, 500, 202, 501, 500, 800, 501]
    assert heard(InTurn(samplers=[Numbered(4), Numbered(3)], num_epochs=3, num_rounds=1).plan(3)) == [300, 300]
    with pytest.raises(TrainingError, match=r"^epoch 1: no batch of one kind"):
        InTurn(samplers=[Numbered(2), Numbered(0)], num_epochs=3).plan(1)
    alone = AmongRows(sampler=Numbered(1), rows=np.arange(200), learns=("text",)).plan(1)
    assert alone[0].learns == ("text",)
