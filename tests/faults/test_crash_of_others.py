"""Reviews, a publication and a training are struck in their midst; `make faults` does so everywhere."""

import pytest

from tests.faults.account import faults
from tests.faults.crash import by_a_clock_that_jumps, point_at, struck, undisturbed
from tests.faults.jobs import Publication, Reviews, Training
from tests.models.training.tones_made import tones

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("layer")]
JOBS = {
    "review": [("killed", 0.57), ("killed", 0.97), ("power cut", 0.35), ("power cut", 1.0), ("disk fault", 0.7)],
    "publish": [("killed", 0.4), ("power cut", 0.9), ("power cut", 1.0), ("disk full", 0.6), ("disk fault", 0.99)],
    "train": [("killed", 0.7), ("power cut", 0.5), ("power cut", 1.0), ("disk full", 0.6)],
}


@pytest.fixture(scope="module")
def known(loaded, small_run, tmp_path_factory):
    published = small_run.with_name("catalog")
    jobs = (Reviews(published), Publication(published), Training(tones(tmp_path_factory.mktemp("tones"))))
    return {job.name: undisturbed(job, loaded) for job in jobs}


@pytest.mark.parametrize(
    ("name", "fault", "share"), [(name, *at) for name, struck_at in JOBS.items() for at in struck_at]
)
def test_a_job_that_is_struck_and_begun_again_ends_as_if_nothing_had_been(known, loaded, name, fault, share):
    job = known[name]
    one = struck(job, loaded, fault, point_at(job, fault, share))
    assert one.has_struck
    assert faults([one]) == []


def test_reviews_by_a_clock_that_jumps_are_kept_in_the_order_in_which_they_were_said(known, loaded):
    assert faults([by_a_clock_that_jumps(known["review"], loaded)]) == []
