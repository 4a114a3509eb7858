"""`curate run` is struck in its midst; `make faults` does so everywhere."""

import pytest

from tests.faults.account import faults
from tests.faults.crash import by_a_clock_that_jumps, point_at, struck, undisturbed
from tests.faults.jobs import Run, RunAgain

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("layer")]


@pytest.fixture(scope="module")
def first(running, corpora):
    return undisturbed(Run(corpora / "LibriSpeech"), running)


@pytest.fixture(scope="module")
def again(running, corpora, small_run):
    return undisturbed(RunAgain(corpora / "LibriSpeech", small_run.with_name("catalog")), running)


@pytest.mark.parametrize(
    ("fault", "share"),
    [
        *[("killed", share) for share in (0.17, 0.45, 0.52, 0.71)],
        *[("power cut", share) for share in (0.6, 1.0)],
        *[("disk full", 0.98), ("disk fault", 0.65)],
    ],
)
def test_a_run_that_is_struck_and_begun_again_ends_as_if_nothing_had_been(first, running, fault, share):
    one = struck(first, running, fault, point_at(first, fault, share))
    assert one.has_struck
    assert faults([one]) == []


@pytest.mark.parametrize(
    ("fault", "share"),
    [("killed", 0.9), ("power cut", 0.8), ("disk fault", 0.85)],
)
def test_what_is_published_stays_until_a_run_that_is_struck_has_replaced_it(again, running, fault, share):
    one = struck(again, running, fault, point_at(again, fault, share))
    assert one.has_struck
    assert faults([one]) == []


def test_a_run_by_a_clock_that_jumps_publishes_the_same(again, running):
    assert faults([by_a_clock_that_jumps(again, running)]) == []
