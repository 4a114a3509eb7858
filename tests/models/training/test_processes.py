"""Two processes that train together by gloo: one system, whose run goes on step for step when it was stopped."""

import pytest
import torch

from curate.errors import TrainingError
from models.training.processes import Processes
from tests.models.training.runs_made import recipe, spoken, training
from tests.models.training.test_engine import same_weights, states, steps
from tests.models.training.two_processes import one_of_two, train_together


@pytest.fixture(scope="module")
def run(loaded, tmp_path_factory):
    root = tmp_path_factory.mktemp("together")
    for name in ("whole", "died", "added", "each", "parts"):
        (root / name).mkdir()
    train_together(loaded, one_of_two, root)
    return root


def test_a_run_that_died_goes_on_step_for_step(run):
    assert len(steps(run / "whole")) == 6
    assert steps(run / "died") == steps(run / "whole")
    one, other = states(run / "died"), states(run / "whole")
    assert same_weights(one.system, other.system)
    assert one.state == other.state


def test_both_processes_have_the_same_weights(run):
    assert same_weights(*(torch.load(run / f"{number}.pt", weights_only=True) for number in range(2)))


@pytest.mark.parametrize("which", ["added", "each", "parts"])
def test_a_step_is_the_mean_of_both_processes(run, which):
    """Of three batches: added, each clipped before it is added, or each of which leaves one of two heads out."""
    (first, expected), (second, _) = (torch.load(run / f"{which}-{number}.pt", weights_only=True) for number in (0, 1))
    assert same_weights(first, second)
    assert first.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(first[name], gradient, rtol=1e-4, atol=1e-7)
        assert gradient.any(), name


def test_batches_that_cannot_be_shared_are_told(tmp_path):
    three = Processes(number=0, num=3, device=torch.device("cpu"))
    alone = training(recipe(), tmp_path)
    alone._processes = three
    with pytest.raises(TrainingError, match="make no batch for each of 3 processes"):
        alone._plan(1)
    assert len(spoken().people) == 6
