"""The loop: batches through a system, its gradients, an optimiser, validation, checkpoints.

Written by hand for three reasons. SpeechBrain's `Brain` cannot train batch normalisation in two processes without
GPUs; its checkpointer may take half a checkpoint for a whole one (`models.training.checkpoints`); and what it draws
depends on what was drawn before, so that a run that was killed within an epoch goes on otherwise.

All that a step draws comes from the seed, the epoch, the step and the process; nothing else is random. A run that goes
on from a checkpoint gives the losses of one that was never stopped, step for step.
"""

import logging
import math
import random
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from curate.errors import TrainingError
from curate.explain import counted
from models.common.augment import Augmentation
from models.data.crops import RATE_HZ, Reader
from models.data.plans import shares
from models.data.samplers import Planned, Sampler
from models.data.speech import Integers, Speech
from models.training import checkpoints
from models.training.checkpoints import Checkpoint
from models.training.processes import Processes
from models.training.recipe import Recipe
from models.training.run_folder import RunFolder
from models.training.schedules import Moment
from models.training.system import Labels, System

log = logging.getLogger("voxcurate")  # the command line shows it

BATCHES_AHEAD = 4  # that are read while one is learnt from


@dataclass(frozen=True)
class Validated:
    """What a validation found: the error that the best system has least of."""

    error: float
    measure: str  # eer; class_error: 1 - macro F1, the mean of all tasks; wer; or wer_eer, a share of each
    counts: dict[str, int]  # what it was found on
    parts: Mapping[str, float] = field(default_factory=dict)  # that the error is made of, by measure


Validate = Callable[[System], Validated]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a system is trained on, and how a batch of it comes about."""

    speech: Speech
    sampler: Sampler
    reader: Reader
    augmentation: Augmentation
    labels: Mapping[str, Integers] = field(default_factory=dict)  # (U,) codes beside `person`; -1: not known
    texts: Sequence[Integers] = ()  # (U,) of each the codes of its characters, where batches learn by `text`


@dataclass(kw_only=True)
class Progress:
    """Where training stands, and what it remembers: kept with every checkpoint."""

    epoch: int = 1
    step: int = 0  # of the epoch, done: a batch each
    num_steps: int = 0  # of all epochs
    num_kept: int = 0  # of these, at the last checkpoint
    num_taken: int = 0  # steps of the optimiser, each of as many batches as the recipe accumulates
    measure: str = ""  # of validations
    best_error: float | None = None
    best_epoch: int = 0
    first_error: float | None = None  # before the first step
    errors: list[float] = field(default_factory=list)  # of each validation after it
    num_without_gain: int = 0  # validations since the best
    is_best: bool = False  # here

    def why_over(self, recipe: Recipe) -> str | None:
        """Why there is nothing left to train, in words; None where there is."""
        if self.epoch > recipe.epochs:
            return f"all of its {counted(recipe.epochs, 'epoch')}"
        if recipe.patience and self.num_without_gain >= recipe.patience:
            validations = counted(self.num_without_gain, "validation")
            return (
                f"{self.epoch - 1} of {recipe.epochs} epochs: {validations} gained nothing on epoch {self.best_epoch}"
            )
        return None


def side_by_side(texts: Sequence[Integers]) -> Integers:
    """(B, L) the codes of B texts, -1 after the end of each."""
    beside = np.full((len(texts), max(map(len, texts))), -1, np.int64)
    for row, text in zip(beside, texts, strict=True):
        row[: len(text)] = text
    return beside


class Training:
    """One run. Raises TrainingError as soon as it cannot go on; the last checkpoint stays as it is."""

    def __init__(
        self,
        system: System,
        recipe: Recipe,
        heard: Heard,
        *,
        run: RunFolder,
        processes: Processes,
        validate: Validate | None = None,
    ) -> None:
        self._recipe, self._heard, self._run = recipe, heard, run
        self._processes, self._validate = processes, validate
        self._system = system.to(processes.device)
        if recipe.compiled:
            self._system.network.compile()
        self._shared: nn.Module = self._system
        if processes.num > 1:
            warnings.filterwarnings(
                "ignore", message="Grad strides do not match"
            )  # of channels last: slower, not wrong
            # buffers, such as statistics of normalisation, are the first process' own: they alone are kept
            self._shared = DistributedDataParallel(
                self._system, broadcast_buffers=False, find_unused_parameters=system.learns_in_parts
            )
        # else processes share the gradient of a whole step: what each clips, or leaves out, would stay its own
        self._shares_each_batch = recipe.clip_each or system.learns_in_parts
        self._optimizer = recipe.optimizer.made(self._system)
        self.progress = Progress()
        self._began, self._began_at = 0.0, -1.0  # when this process took its first step, and how much was done then

    def go_on(self) -> bool:
        """From the last checkpoint of the run; whether there was one. Raises TrainingError where it does not fit."""
        place = checkpoints.latest(self._run.checkpoints)
        if place is None:
            if self._processes.is_first:
                self._run.forget_after(0, 0)
            return False
        kept = checkpoints.load(place)
        try:
            self._system.load_state_dict(kept.system)
            self._optimizer.load_state_dict(kept.optimizer)
            self.progress = Progress(**kept.state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(f"{place}: is of another system ({reason}); expected one of this recipe") from error
        if self._processes.is_first:
            self._run.forget_after(self.progress.epoch, self.progress.step)
            self._run.keep_best_and(place, is_best=self.progress.is_best)  # who was killed may not have come to say it
        return True

    def train(self) -> Progress:
        """Until the last epoch, or until as many validations as the recipe is patient for have gained nothing."""
        at, recipe = self.progress, self._recipe
        if self._validate is not None and at.num_steps == 0:
            self._take_first(self._agreed(self._validate))
        while at.why_over(recipe) is None:
            if at.step == 0:
                self._system.begin_epoch()
            planned = self._plan(at.epoch)
            self._train_epoch(planned)
            is_due = at.epoch % recipe.validate_every == 0 or at.epoch == recipe.epochs
            if self._validate is not None and is_due:
                self._take_validation(self._agreed(self._validate))
            at.epoch, at.step = at.epoch + 1, 0
            if is_due or self._is_to_keep:
                self._keep()
        return at

    # ------------------------------------------------------------------------------------------------- one epoch

    def _plan(self, epoch: int) -> list[Planned]:
        """This process' part of every batch."""
        processes = self._processes
        of_all = self._heard.sampler.plan(epoch)
        planned = shares(of_all, processes.number, processes.num, num_in_turn=self._recipe.num_kinds)
        if planned and len(planned) < len(of_all):
            left = f"{len(of_all) - len(planned)} of {counted(len(of_all), 'batch', 'batches')}"
            log.info(f"train: epoch {epoch}: {left} left out: too few utterances for {processes.num} processes")
        if not planned:
            speech = self._heard.speech
            raise TrainingError(
                f"epoch {epoch}: {len(speech)} utterances of {len(speech.people)} people make no batch for each of "
                f"{processes.num} processes; expected more of them, or larger batches"
            )
        return planned

    def _train_epoch(self, planned: Sequence[Planned]) -> None:
        at, recipe = self.progress, self._recipe
        self._shared.train()
        self._optimizer.zero_grad(set_to_none=True)
        started, num_heard = time.monotonic(), 0
        if self._began_at < 0:
            self._began, self._began_at = started, self._done(at.step / len(planned))
        for wave, labels in self._batches(planned, first=at.step):
            self._system.begin_step(at.num_taken)
            group = at.step - at.step % recipe.accumulate
            num_in_group = min(recipe.accumulate, len(planned) - group)
            is_last = at.step == group + num_in_group - 1
            lr = recipe.schedule.at(Moment(at.epoch, self._done(group / len(planned)), at.errors))  # one for a step
            for parameters in self._optimizer.param_groups:
                parameters["lr"] = lr
            self._seed(at.epoch, at.step)
            with self._fitting(wave, is_whole="samples" in labels):
                person = labels.pop("person")
                wave, person = self._heard.augmentation(wave, person, planned[at.step].num_samples)
                if "person" in planned[at.step].learns:
                    labels["person"] = person
                parts = self._learn(wave, labels, weight=1 / num_in_group, is_last=is_last)
            at.step, at.num_steps, at.is_best = at.step + 1, at.num_steps + 1, False
            at.num_taken += is_last
            num_heard += len(wave) * self._processes.num
            if self._processes.is_first:
                rate = num_heard / max(time.monotonic() - started, 1e-6)
                left_s = self._left_s(at.step / len(planned))
                self._run.note_step(at, len(planned), parts, lr=lr, rate=rate, left_s=left_s)
            if is_last and self._is_to_keep and at.step < len(planned):
                self._keep()

    def _learn(self, wave: Tensor, labels: Labels, *, weight: float, is_last: bool) -> dict[str, float]:
        """One batch: its losses. The optimiser steps after the last batch of a group."""
        shared, is_shared = self._shared, is_last or self._shares_each_batch
        with nullcontext() if is_shared or not isinstance(shared, DistributedDataParallel) else shared.no_sync():
            with torch.autocast(self._processes.device.type, torch.bfloat16, self._recipe.precision == "bfloat16"):
                parts = shared(wave, labels)
            with self._clipped_alone() if self._recipe.clip_each else nullcontext():
                (parts["loss"] * weight).backward()
        numbers = [part.detach() for part in parts.values()]
        if is_last:
            numbers.append(self._clip(is_alone=False))
        read = torch.stack(numbers).tolist()  # at once: each look at a GPU waits for it
        told = dict(zip(parts, read, strict=False))
        if not all(map(math.isfinite, told.values())):
            raise self._fault("the loss", told)
        if is_last:
            if not math.isfinite(read[-1]):
                raise self._fault("the gradient", told)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        return told

    @contextmanager
    def _clipped_alone(self) -> Iterator[None]:
        """What gradient comes meanwhile is clipped before it is added to that of the batches before."""
        parameters = list(self._system.parameters())
        before = [parameter.grad for parameter in parameters]
        self._optimizer.zero_grad(set_to_none=True)
        yield
        self._clip(is_alone=True)
        for parameter, held in zip(parameters, before, strict=True):
            if held is not None:
                parameter.grad = held if parameter.grad is None else parameter.grad + held

    def _clip(self, *, is_alone: bool) -> Tensor:
        """Clip the gradient as the recipe says, of one batch alone or of a step; its norm as it was."""
        recipe, parameters = self._recipe, list(self._system.parameters())
        if recipe.clip_each != is_alone:
            return nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None]).detach()
        norm = nn.utils.clip_grad_norm_(parameters, recipe.clip_norm or math.inf).detach()
        if recipe.clip_value is not None:
            nn.utils.clip_grad_value_(parameters, recipe.clip_value)
        return norm

    @contextmanager
    def _fitting(self, wave: Tensor, *, is_whole: bool) -> Iterator[None]:
        """Turn what a batch cannot give, or memory cannot hold, into a TrainingError that says what to change."""
        at, (num, num_samples) = self.progress, wave.shape
        what, less = "crops of", "fewer (`batches.speakers`, `batches.utterances`) or shorter ones (`batches.crop_s`)"
        if is_whole:
            what, less = "utterances of up to", "less (`whole.seconds`)"
        batch = f"epoch {at.epoch}, step {at.step + 1}: {num} {what} {num_samples / RATE_HZ:g} s"
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise TrainingError(
                f"{batch} do not fit into the memory of {self._processes.device}; expected {less}, or "
                '`precision = "bfloat16"`'
            ) from error
        except ValueError as error:
            raise TrainingError(
                f"{batch}: {' '.join(str(error).split())}; expected other `batches` or other `settings` of the system"
            ) from error

    def _fault(self, what: str, told: dict[str, float]) -> TrainingError:
        at, kept = self.progress, checkpoints.latest(self._run.checkpoints)
        parts = ", ".join(f"{name} {value:g}" for name, value in told.items())
        left = f"{kept} is as it was" if kept else "there is no checkpoint yet"
        return TrainingError(
            f"epoch {at.epoch}, step {at.step + 1}: {what} is not finite ({parts}); expected finite numbers, as a "
            f"smaller learning rate or `clip_norm` may give; {left}"
        )

    def _seed(self, epoch: int, step: int) -> None:
        drawn = np.random.SeedSequence([self._recipe.seed, epoch, step, self._processes.number]).generate_state(2)
        torch.manual_seed(int(drawn[0]))
        random.seed(int(drawn[1]))  # the augmentation draws files by it

    def _batches(self, planned: Sequence[Planned], first: int) -> Iterator[tuple[Tensor, Labels]]:
        """Crops and what is known of them, on the device, from batch `first` on; the next are read meanwhile."""
        heard, device, epoch = self._heard, self._processes.device, self.progress.epoch
        known = {"person": heard.speech.person, **heard.labels}

        def read(step: int) -> tuple[NDArray[np.float32], Integers | None]:
            one = planned[step]
            if not one.num_samples:
                return heard.reader.whole(one.utterances)
            rng = np.random.default_rng([self._recipe.seed, epoch, step, self._processes.number])
            num_samples = heard.augmentation.num_samples_to_read(one.num_samples)
            return heard.reader.crops(one.utterances, num_samples, rng), None

        waiting: deque[Future[tuple[NDArray[np.float32], Integers | None]]] = deque()
        with ThreadPoolExecutor(self._recipe.readers) as threads:
            try:
                for step in range(first, len(planned)):
                    while len(waiting) < min(BATCHES_AHEAD, len(planned) - step):
                        waiting.append(threads.submit(read, step + len(waiting)))
                    (wave, num_samples), rows = waiting.popleft().result(), planned[step].utterances
                    told = {name: codes[rows] for name, codes in known.items()}
                    if num_samples is not None:
                        told["samples"] = num_samples
                    if "text" in planned[step].learns:
                        told["text"] = side_by_side([heard.texts[row] for row in rows])
                    labels = {name: torch.from_numpy(codes).to(device) for name, codes in told.items()}
                    yield torch.from_numpy(wave).to(device), labels
            finally:
                for left in waiting:
                    left.cancel()

    # ---------------------------------------------------------------------------------------- between the epochs

    def _done(self, of_epoch: float) -> float:
        """The share of the run that is done."""
        return (self.progress.epoch - 1 + of_epoch) / self._recipe.epochs

    def _left_s(self, of_epoch: float) -> float:
        """How long the rest takes if it goes as fast as what this process did."""
        done = self._done(of_epoch)
        return (time.monotonic() - self._began) * (1 - done) / (done - self._began_at)

    @property
    def _is_to_keep(self) -> bool:
        every, at = self._recipe.checkpoint_every, self.progress
        return every > 0 and at.num_steps // every > at.num_kept // every

    def _agreed(self, validate: Validate) -> Validated:
        """What the first process finds: the statistics of normalisation differ a little among processes."""
        found = [validate(self._system) if self._processes.is_first else None]
        if self._processes.num > 1:
            distributed.broadcast_object_list(found)
        assert found[0] is not None  # noqa: S101  # the first has sent it
        return found[0]

    def _take_first(self, found: Validated) -> None:
        self.progress.first_error, self.progress.measure = found.error, found.measure
        if self._processes.is_first:
            self._run.note_validation(0, found, is_best=False, num_steps=0)

    def _take_validation(self, found: Validated) -> None:
        at = self.progress
        at.errors.append(found.error)
        at.is_best = at.best_error is None or found.error < at.best_error
        at.num_without_gain = 0 if at.is_best else at.num_without_gain + 1
        if at.is_best:
            at.best_error, at.best_epoch = found.error, at.epoch
        if self._processes.is_first:
            self._run.note_validation(at.epoch, found, is_best=at.is_best, num_steps=at.num_steps)

    def _keep(self) -> None:
        """A checkpoint; the last and the best one stay."""
        self.progress.num_kept = self.progress.num_steps
        if self._processes.is_first:
            at = self.progress
            kept = Checkpoint(
                system=checkpoints.on_processor(self._system.state_dict()),
                optimizer=self._optimizer.state_dict(),
                state=vars(at).copy(),
                epoch=at.epoch,
                step=at.step,
            )
            self._run.sync_tables()
            self._run.keep_best_and(checkpoints.save(self._run.checkpoints, kept), is_best=at.is_best)
        self._processes.wait()
