"""What `benchmarks.speed.copies` counts."""

import numpy as np
import pytest

from benchmarks.speed.copies import RATE_HZ, WAYS, joined, line, measured
from curate.landmarks import landmarks


@pytest.fixture(scope="module")
def recordings():
    """Two seconds of noise, its first, and another one."""
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, 2 * RATE_HZ)).astype(np.float32) / 10
    return [one, one[: RATE_HZ * 3 // 2], other]


def test_copies_are_counted_and_pairs_of_two_files_are_false(recordings):
    prints = [landmarks(samples, RATE_HZ) for samples in recordings]
    told = measured(recordings, prints, np.array([0, 0, 1]), WAYS["gain of -12 dB"], 1)
    assert line("gain", told) == "| gain | 3 | 3 | 3 | 3 | 0 |"
    assert told.num_false == 0
    assert told.duration_s.tolist() == [2.0, 1.5, 2.0]
    # the second is told to be of another file than the first: four of six pairs of these and their copies are false
    told = measured(recordings, prints, np.array([0, 1, 2]), WAYS["gain of -12 dB"], 1)
    assert told.num_false == 4
    both = joined([told, told])
    assert line("both", both, both.duration_s > 1.5) == "| both | 4 | 4 | 4 | 4 | 0 |"
    assert both.num_false == 8


@pytest.mark.parametrize("way", WAYS)
def test_no_copy_is_longer_than_its_original(recordings, way):
    copy = WAYS[way](recordings[0], np.random.default_rng(2))
    assert copy.dtype == np.float32
    assert 0 < len(copy) <= len(recordings[0]) + 640  # GSM fills its last block
