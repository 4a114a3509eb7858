"""What the schedules promise: rates worked out by hand, those of torch where it has the same rule, and no state."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch.optim import lr_scheduler

from models.training.schedules import Constant, Exponential, Linear, Moment, Plateau, Schedule, Step, TriStage

SCHEDULE = TypeAdapter(Schedule)
ALL = (
    Constant(rate=0.1),
    Step(rate=0.005),
    Plateau(rate=0.1, factor=0.5, patience=2),
    Exponential(),
    Linear(),
    TriStage(rate=3e-5),
)


def optimizer(rate):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def rates_of_torch(scheduler, num_steps):
    """The rate before each of so many steps."""
    rates = []
    for _ in range(num_steps):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def plateau_of_torch(scores, *, rate, factor, patience, min_gain=0.0, min_rate=0.0):
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer(rate),
        factor=factor,
        patience=patience - 1,  # as the docstring says
        threshold=min_gain,
        threshold_mode="abs",
        min_lr=min_rate,
        eps=0,
    )
    for score in scores:
        scheduler.step(score)
    return scheduler.get_last_lr()[0]


def at(epoch=1, progress=0.0, scores=()):
    return Moment(epoch, progress, scores)


def test_a_constant_rate_is_constant():
    assert {Constant(rate=0.1).at(at(epoch, epoch / 9, [0.5] * epoch)) for epoch in range(1, 10)} == {0.1}


@pytest.mark.parametrize(
    ("epoch", "rate"), [(1, 0.005), (50, 0.005), (51, 0.00375), (100, 0.00375), (101, 0.0028125), (151, 0.002109375)]
)
def test_vietsv_takes_a_quarter_away_every_fifty_epochs(epoch, rate):
    assert Step(rate=0.005).at(at(epoch)) == pytest.approx(rate, rel=1e-12)


@given(st.integers(1, 20), st.floats(0.05, 0.95))
def test_steps_are_those_of_torch(num_epochs, factor):
    ours = [Step(rate=0.1, factor=factor, num_epochs=num_epochs).at(at(epoch)) for epoch in range(1, 61)]
    assert ours == pytest.approx(rates_of_torch(lr_scheduler.StepLR(optimizer(0.1), num_epochs, factor), 60), rel=1e-9)


def test_the_first_of_the_steps_may_be_taken_earlier_or_later():
    """Baeg et al. 2023: "0.8 was employed for every 4 epochs from the 2nd to the 10th epoch"."""
    early = Step(rate=1e-4, factor=0.8, num_epochs=4, first_epoch=2)
    rates = [1e-4, *[0.8e-4] * 4, *[0.64e-4] * 4, 0.512e-4]
    assert [early.at(at(epoch)) for epoch in range(1, 11)] == pytest.approx(rates, rel=1e-12)
    late = Step(rate=1.0, factor=0.5, num_epochs=2, first_epoch=6)
    assert [late.at(at(epoch)) for epoch in range(1, 10)] == [1, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]


@given(st.integers(1, 20), st.integers(2, 40))
def test_steps_from_an_epoch_on_are_those_of_torch(num_epochs, first_epoch):
    ours = [Step(rate=1.0, factor=0.5, num_epochs=num_epochs, first_epoch=first_epoch).at(at(e)) for e in range(1, 61)]
    milestones = list(range(first_epoch - 1, 60, num_epochs))
    assert ours == pytest.approx(rates_of_torch(lr_scheduler.MultiStepLR(optimizer(1.0), milestones, 0.5), 60))


@pytest.mark.parametrize(
    ("scores", "rate"),
    [
        ([], 1.0),
        ([0.3], 1.0),
        ([0.3, 0.4], 1.0),  # one without a gain
        ([0.3, 0.4, 0.3], 0.5),  # two: as low as the best is no gain
        ([0.3, 0.4, 0.3, 0.3], 0.5),  # counted anew
        ([0.3, 0.4, 0.3, 0.3, 0.35], 0.25),
        ([0.3, 0.4, 0.2, 0.3], 1.0),  # a gain between them
        ([0.3, 0.4, 0.3, 0.4, 0.2, 0.3, 0.19], 0.5),
        ([math.nan, math.nan], 0.5),
        ([0.3, math.nan, 0.2], 1.0),
    ],
)
def test_a_plateau_halves_the_rate_after_two_validations_without_a_gain(scores, rate):
    assert Plateau(rate=1.0, factor=0.5, patience=2).at(at(scores=scores)) == rate


def test_a_gain_of_a_plateau_has_to_be_more_than_the_least():
    scores = [0.5, 0.4375, 0.375]  # in eighths and sixteenths, which floats hold
    assert Plateau(rate=1.0, factor=0.5, patience=1, min_gain=0.0625).at(at(scores=scores)) == 0.5
    assert Plateau(rate=1.0, factor=0.5, patience=2, min_gain=0.0625).at(at(scores=scores)) == 1.0


def test_a_plateau_does_not_fall_below_the_least_rate():
    plateau = Plateau(rate=1.0, factor=0.1, patience=1, min_rate=0.05)
    assert [plateau.at(at(scores=[0.1] * num)) for num in range(5)] == [1.0, 1.0, 0.1, 0.05, 0.05]


@given(
    st.lists(st.integers(0, 8), max_size=40), st.integers(1, 4), st.sampled_from([0.0, 1.0]), st.sampled_from([0, 0.1])
)
def test_a_plateau_is_that_of_torch(scores, patience, min_gain, min_rate):
    settings = {"rate": 1.0, "factor": 0.5, "patience": patience, "min_gain": min_gain, "min_rate": min_rate}
    theirs = plateau_of_torch(scores, **settings)
    assert Plateau(**settings).at(at(scores=scores)) == pytest.approx(theirs, rel=1e-12)


@given(st.lists(st.floats(0, 0.5), max_size=30))
def test_what_a_plateau_knows_comes_back_from_json(scores):
    plateau = Plateau(rate=0.1, patience=2)
    again, told = SCHEDULE.validate_json(SCHEDULE.dump_json(plateau)), json.loads(json.dumps(scores))
    assert again.at(at(scores=told)) == plateau.at(at(scores=scores))


@pytest.mark.parametrize(
    ("progress", "exponential", "linear"),
    [(0.0, 1e-3, 1e-3), (0.25, 5.623413251903491e-4, 7.75e-4), (0.5, 3.1622776601683794e-4, 5.5e-4), (1.0, 1e-4, 1e-4)],
)
def test_a_rate_goes_from_the_first_to_the_last(progress, exponential, linear):
    assert Exponential().at(at(progress=progress)) == pytest.approx(exponential, rel=1e-12)
    assert Linear().at(at(progress=progress)) == pytest.approx(linear, rel=1e-12)


def test_gradual_rates_are_those_of_torch():
    moments = [at(progress=step / 200) for step in range(200)]
    exponential = lr_scheduler.ExponentialLR(optimizer(1e-3), 0.1 ** (1 / 200))
    linear = lr_scheduler.LinearLR(optimizer(1e-3), start_factor=1.0, end_factor=0.1, total_iters=200)
    assert list(map(Exponential().at, moments)) == pytest.approx(rates_of_torch(exponential, 200), rel=1e-9)
    assert list(map(Linear().at, moments)) == pytest.approx(rates_of_torch(linear, 200), rel=1e-9)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [
        (0.0, 0.01),
        (0.05, 0.505),  # half way up: 0.01 + 0.99 / 2
        (0.1, 1.0),
        (0.3, 1.0),
        (0.5, 1.0),
        (0.75, 0.22360679774997896),  # half way down: the root of 1/20
        (1.0, 0.05),
    ],
)
def test_the_three_stages_rise_hold_and_fall(progress, rate):
    assert TriStage(rate=1.0).at(at(progress=progress)) == pytest.approx(rate, rel=1e-9)


def test_the_three_stages_are_those_that_torch_puts_together():
    steps = optimizer(3e-5)
    stages = [
        lr_scheduler.LinearLR(steps, start_factor=0.01, end_factor=1.0, total_iters=20),
        lr_scheduler.ConstantLR(steps, factor=1.0, total_iters=80),
        lr_scheduler.ExponentialLR(steps, 0.05 ** (1 / 100)),
    ]
    theirs = rates_of_torch(lr_scheduler.SequentialLR(steps, stages, milestones=[20, 100]), 200)
    ours = [TriStage(rate=3e-5).at(at(progress=step / 200)) for step in range(200)]
    assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("warm", "hold"), [(0.0, 0.0), (0.7, 0.3), (0.0, 1.0), (1.0, 0.0), (0.5, 0.0)])
@given(progress=st.floats(0, 1))
def test_stages_may_be_missing(warm, hold, progress):
    schedule = TriStage(rate=1.0, warm_share=warm, hold_share=hold)
    assert 0.01 <= schedule.at(at(progress=progress)) <= 1.0


@pytest.mark.parametrize("schedule", ALL, ids=lambda schedule: schedule.schedule)
def test_a_schedule_is_found_again_by_its_name(schedule):
    assert SCHEDULE.validate_json(SCHEDULE.dump_json(schedule)) == schedule


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"schedule": "cosine", "rate": 1.0}, "cosine"),
        ({"schedule": "constant", "rate": 0.0}, "greater than 0"),
        ({"schedule": "constant", "rate": math.inf}, "finite"),
        ({"schedule": "step", "rate": 1.0, "factor": 1.0}, "less than 1"),
        ({"schedule": "step", "rate": 1.0, "num_epochs": 0}, "greater than or equal to 1"),
        ({"schedule": "step", "rate": 1.0, "first_epoch": 1}, "greater than or equal to 2"),
        ({"schedule": "plateau", "rate": 1.0, "patience": 0}, "greater than or equal to 1"),
        ({"schedule": "plateau", "rate": 1.0, "min_rate": 2.0}, "min_rate 2.0; expected at most the rate, 1.0"),
        ({"schedule": "tri_stage", "rate": 1.0, "warm_share": 0.7}, "expected at most 1 together"),
        ({"schedule": "linear", "rate": 1.0}, "rate"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        SCHEDULE.validate_json(json.dumps(settings))
