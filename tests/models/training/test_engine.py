"""The loop: what a step does, what stops it, and that a run that was stopped goes on as if it had not been."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from curate.errors import DamagedAudioError, TrainingError
from models.data.crops import RATE_HZ
from models.data.samplers import Planned
from models.training import checkpoints
from models.training.engine import Validated
from models.training.run_folder import RunFolder
from models.training.schedules import Linear
from tests.models.training.runs_made import Tones, recipe, spoken, training


def steps(folder):
    with (folder / "steps.csv").open() as file:
        return [(row["epoch"], row["step"], row["loss"], row["lr"]) for row in csv.DictReader(file)]


def states(folder):
    return checkpoints.load(checkpoints.latest(folder / "checkpoints"))


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_learns_to_tell_tones_apart(tmp_path):
    run = training(recipe(epochs=4), tmp_path / "run")
    (tmp_path / "run").mkdir()
    at = run.train()
    losses = [float(loss) for _, _, loss, _ in steps(tmp_path / "run")]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert at.epoch == 5
    assert at.num_steps == 12
    assert len(at.errors) == 4


class DiedError(Exception):
    pass


def stopped_after(run, num_steps):
    """The run dies before the step after these, wherever it is: nothing is told to it."""
    learn, done = run._learn, []

    def learn_or_die(*args, **kwargs):
        if len(done) == num_steps:
            raise DiedError
        done.append(None)
        return learn(*args, **kwargs)

    run._learn = learn_or_die
    with pytest.raises(DiedError):
        run.train()


@pytest.mark.parametrize("num_steps", range(6))
def test_a_run_that_died_anywhere_goes_on_step_for_step(tmp_path, num_steps):
    asked = recipe(checkpoint_every=1)
    for name in ("whole", "died"):
        (tmp_path / name).mkdir()
    training(asked, tmp_path / "whole").train()
    stopped_after(training(asked, tmp_path / "died"), num_steps)
    again = training(asked, tmp_path / "died")
    assert again.go_on() == (num_steps > 0)
    again.train()
    assert steps(tmp_path / "died") == steps(tmp_path / "whole")
    one, other = states(tmp_path / "died"), states(tmp_path / "whole")
    assert same_weights(one.system, other.system)
    assert one.state == other.state


def test_a_run_goes_on_from_the_end_of_an_epoch_where_steps_are_not_kept(tmp_path):
    asked = recipe()
    for name in ("whole", "died"):
        (tmp_path / name).mkdir()
    training(asked, tmp_path / "whole").train()
    stopped_after(training(asked, tmp_path / "died"), 5)
    assert len(steps(tmp_path / "died")) == 5
    again = training(asked, tmp_path / "died")
    assert again.go_on()
    assert len(steps(tmp_path / "died")) == 3, "what is done once more is not there twice"
    again.train()
    assert steps(tmp_path / "died") == steps(tmp_path / "whole")


def test_the_gradient_of_a_group_is_the_mean_of_its_batches(tmp_path):
    asked = recipe(epochs=1, accumulate=3, clip_norm=None)
    (tmp_path / "run").mkdir()
    run = training(asked, tmp_path / "run", validate=False)
    gradients = []

    def note():
        gradients.append(run._system.network.fc.weight.grad.clone())

    run._optimizer.step = note
    run.train()
    alone = []
    for step in range(3):
        fresh = training(asked, tmp_path / "run", validate=False)
        planned = fresh._plan(1)
        for place, (wave, person) in enumerate(fresh._batches(planned, first=0)):
            fresh._seed(1, place)
            parts = fresh._system(wave, person)
            if place == step:
                fresh._optimizer.zero_grad()
                parts["loss"].backward()
                alone.append(fresh._system.network.fc.weight.grad.clone())
    assert len(gradients) == 1
    torch.testing.assert_close(gradients[0], sum(alone) / 3)


def test_a_gradient_is_clipped_to_its_norm(tmp_path):
    (tmp_path / "run").mkdir()
    run = training(recipe(epochs=1, clip_norm=1e-3), tmp_path / "run", validate=False)
    norms, step = [], run._optimizer.step

    def note():
        grads = [one.grad for one in run._system.parameters() if one.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in grads]))))
        step()

    run._optimizer.step = note
    run.train()
    assert norms == pytest.approx([1e-3] * 3, rel=1e-3)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_and_the_last_checkpoint_stays(tmp_path, what):
    (tmp_path / "run").mkdir()
    run = training(recipe(checkpoint_every=1, epochs=1), tmp_path / "run", validate=False)
    losses, calls = run._system.losses, []

    def diverging(wave, labels):
        parts = losses(wave, labels)
        calls.append(None)
        if len(calls) == 3:
            weight = run._system.network.fc.weight.sum()
            parts["loss"] = parts["loss"] * torch.nan if what == "loss" else parts["loss"] + (weight * 0).sqrt()
        return parts

    run._system.losses = diverging
    with pytest.raises(
        TrainingError, match=rf"^epoch 1, step 3: the {what} is not finite \(.*000001-00000002 is as it was"
    ):
        run.train()
    assert states(tmp_path / "run").step == 2


def test_a_disk_that_is_full_at_a_checkpoint_leaves_the_one_before(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    run = training(recipe(checkpoint_every=1, epochs=1), tmp_path / "run", validate=False)
    save, calls = checkpoints.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) == 4:  # the optimiser's, of the second checkpoint
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(TrainingError, match=r"000001-00000002: cannot be written \(No space left on device\)"):
        run.train()
    assert [place.name for place in (tmp_path / "run" / "checkpoints").iterdir()] == ["000001-00000001"]
    assert states(tmp_path / "run").step == 1


def test_audio_that_cannot_be_read_in_the_middle_stops_the_run_with_its_own_line(tmp_path):
    class Damaged(Tones):
        def read_into(self, row, first, out):
            if row == 7:
                raise DamagedAudioError(
                    "p1/3: x.wav: cannot be decoded at sample 0; expected the file that was scanned"
                )
            super().read_into(row, first, out)

    (tmp_path / "run").mkdir()
    speech = spoken()
    with pytest.raises(DamagedAudioError, match=r"^p1/3: x\.wav"):
        training(recipe(epochs=20), tmp_path / "run", reader=Damaged(speech), validate=False).train()


def test_a_run_ends_when_as_many_validations_as_it_is_patient_for_gain_nothing(tmp_path):
    (tmp_path / "run").mkdir()
    run = training(recipe(epochs=10, patience=2), tmp_path / "run")
    errors = iter([0.5, 0.3, 0.2, 0.2, 0.25, 0.1])
    run._validate = lambda system: Validated(next(errors), "eer", {"num_target": 1})
    at = run.train()
    assert (at.first_error, at.errors, at.best_error, at.best_epoch) == (0.5, [0.3, 0.2, 0.2, 0.25], 0.2, 2)
    kept = {place.name for place in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"000003-00000000", "000005-00000000"}, "the best and the last"
    assert RunFolder(tmp_path / "run").best().name == "000003-00000000"


def test_a_checkpoint_of_another_system_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    asked = recipe(epochs=1)
    training(asked, tmp_path / "run").train()
    other = replace(asked, settings=asked.settings | {"network": asked.settings["network"] | {"dimension": 8}})
    with pytest.raises(TrainingError, match=r"is of another system \(.*expected one of this recipe"):
        training(other, tmp_path / "run").go_on()


def test_too_few_people_for_a_batch_are_told(tmp_path):
    (tmp_path / "run").mkdir()
    asked = recipe(batches=replace(recipe().batches, utterances_each=5))
    with pytest.raises(TrainingError, match=r"^p0: 4 utterances; expected 5 of each speaker"):
        training(asked, tmp_path / "run")


@pytest.mark.parametrize("clip", [{"clip_value": 1e-4}, {"clip_norm": 1e-3}])
def test_gradients_of_the_batches_of_a_step_may_be_clipped_each_before_they_are_added(tmp_path, clip):
    (tmp_path / "run").mkdir()
    asked = recipe(epochs=1, accumulate=3, clip_each=True, **clip)
    run, gradients = training(asked, tmp_path / "run", validate=False), []
    run._optimizer.step = lambda: gradients.append([one.grad.clone() for one in run._system.parameters()])
    run.train()
    fresh = training(asked, tmp_path / "run", validate=False)
    expected = [torch.zeros_like(one) for one in fresh._system.parameters()]
    fresh._system.train()
    for place, (wave, labels) in enumerate(fresh._batches(fresh._plan(1), first=0)):
        fresh._seed(1, place)
        fresh._optimizer.zero_grad()
        (fresh._system(wave, labels)["loss"] / 3).backward()
        if "clip_value" in clip:
            torch.nn.utils.clip_grad_value_(fresh._system.parameters(), 1e-4)
        else:
            torch.nn.utils.clip_grad_norm_(fresh._system.parameters(), 1e-3)
        expected = [held + one.grad for held, one in zip(expected, fresh._system.parameters(), strict=True)]
    assert len(gradients) == 1
    for found, wanted in zip(gradients[0], expected, strict=True):
        torch.testing.assert_close(found, wanted)


class Whole:
    """Two batches of whole utterances that are learnt by their texts alone."""

    def plan(self, epoch):
        return [Planned(np.array(rows), 0, learns=("text",)) for rows in ([0, 5], [7, 2])]


def test_whole_utterances_come_with_their_lengths_and_texts(tmp_path):
    (tmp_path / "run").mkdir()
    speech = spoken()
    speech.num_samples[:] = RATE_HZ - 100 * np.arange(len(speech))
    run = training(recipe(epochs=1), tmp_path / "run", speech=speech, validate=False)
    texts = [np.arange(1 + row) for row in range(len(speech))]
    run._heard = replace(run._heard, sampler=Whole(), texts=texts)
    told = []

    def losses(wave, labels):
        told.append((wave.shape, labels))
        return {"loss": sum(one.sum() for one in run._system.parameters())}

    run._system.losses = losses
    run.train()
    (shape, labels), (_, other) = told
    assert shape == (2, RATE_HZ)
    assert sorted(labels) == ["samples", "text"]
    assert labels["samples"].tolist() == [RATE_HZ, RATE_HZ - 500]
    assert labels["text"].tolist() == [[0, -1, -1, -1, -1, -1], [0, 1, 2, 3, 4, 5]]
    assert other["text"].tolist() == [[*range(8)], [0, 1, 2, *[-1] * 5]]


@pytest.mark.parametrize(("accumulate", "steps_done"), [(3, [0, 0, 0, 1, 1, 1]), (2, [0, 0, 1, 2, 2, 3])])
def test_a_system_hears_of_every_step_of_its_optimiser_and_a_rate_is_that_of_a_step(tmp_path, accumulate, steps_done):
    """Of two epochs of three batches; the last step of an epoch may be of fewer."""
    (tmp_path / "run").mkdir()
    asked = recipe(epochs=2, accumulate=accumulate, schedule=Linear(first_rate=1.2, last_rate=0.6))
    run, told = training(asked, tmp_path / "run", validate=False), []
    run._system.begin_step = told.append
    run.train()
    assert told == steps_done
    begun = {3: [0, 0, 0, 3, 3, 3], 2: [0, 0, 2, 3, 3, 5]}[accumulate]  # batches before its step
    assert [float(lr) for _, _, _, lr in steps(tmp_path / "run")] == pytest.approx([1.2 - 0.1 * num for num in begun])
