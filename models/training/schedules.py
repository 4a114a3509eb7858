"""How the learning rate changes while a system is trained: each a formula of where the run is, without a state.

What torch keeps in a scheduler, such as since when nothing was gained, is seen in the scores of all validations so far,
which a run writes down anyway: one that goes on has the rates of one that was never stopped.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Moment(NamedTuple):
    """Where a run is before one of its steps."""

    epoch: int  # from 1
    progress: float  # steps done / steps of the whole run: 0 before the first, 1 after the last
    scores: Sequence[float] = ()  # of all validations so far; lower is better, as the EER


@validated(frozen=True, kw_only=True, config=STRICT)
class Constant:
    """One rate."""

    schedule: Literal["constant"] = "constant"
    rate: Rate

    def at(self, moment: Moment) -> float:
        """The learning rate."""
        return self.rate


@validated(frozen=True, kw_only=True, config=STRICT)
class Step:
    """Times `factor` every `num_epochs`; in VietSV 0.005, "reduced by 25% every 50 epochs" (section 5.1.3)."""

    schedule: Literal["step"] = "step"
    rate: Rate
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.75
    num_epochs: Annotated[int, Field(ge=1)] = 50
    first_epoch: Annotated[int, Field(ge=2)] | None = None  # that has the second rate; where None, num_epochs + 1

    def at(self, moment: Moment) -> float:
        """The learning rate: epochs 1..50 have the first, 51..100 the second."""
        first = self.num_epochs + 1 if self.first_epoch is None else self.first_epoch
        return float(self.rate * self.factor ** max(0, 1 + (moment.epoch - first) // self.num_epochs))


@validated(frozen=True, kw_only=True, config=STRICT)
class Plateau:
    """Times `factor` when `patience` validations in a row have gained nothing; then they are counted anew.

    A gain is a score more than `min_gain` below the best so far, in the score's own unit; one that is no number gains
    nothing. torch's ReduceLROnPlateau waits for one more: its patience of 2 is 3 here.
    """

    schedule: Literal["plateau"] = "plateau"
    rate: Rate
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Annotated[int, Field(ge=1)] = 3
    min_gain: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    min_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    def __post_init__(self) -> None:
        if self.min_rate > self.rate:
            raise ValueError(f"min_rate {self.min_rate}; expected at most the rate, {self.rate}")

    def at(self, moment: Moment) -> float:
        """The learning rate."""
        rate, best, num_without = self.rate, math.inf, 0
        for score in moment.scores:
            if score < best - self.min_gain:
                best, num_without = score, 0
            else:
                num_without += 1
            if num_without == self.patience:
                rate, num_without = max(rate * self.factor, self.min_rate), 0
        return rate


@validated(frozen=True, kw_only=True, config=STRICT)
class Exponential:
    """From one rate to another by the same factor at every step.

    MTML "gradually decreases from 1e-3 to 1e-4" (section 4.1.3) and says no more. It is read so, because the x-vector
    recipes that it goes by decrease so in Kaldi (`--trainer.optimization.initial-effective-lrate` and `final-`).
    """

    schedule: Literal["exponential"] = "exponential"
    first_rate: Rate = 1e-3
    last_rate: Rate = 1e-4

    def at(self, moment: Moment) -> float:
        """The learning rate; the last one is that after the last step."""
        return float(self.first_rate * (self.last_rate / self.first_rate) ** moment.progress)


@validated(frozen=True, kw_only=True, config=STRICT)
class Linear:
    """From one rate to another by the same amount at every step: the other way to read MTML."""

    schedule: Literal["linear"] = "linear"
    first_rate: Rate = 1e-3
    last_rate: Rate = 1e-4

    def at(self, moment: Moment) -> float:
        """The learning rate; the last one is that after the last step."""
        return self.first_rate + (self.last_rate - self.first_rate) * moment.progress


@validated(frozen=True, kw_only=True, config=STRICT)
class TriStage:
    """Up in a straight line, held, and down by the same factor at every step, as wav2vec 2.0 is fine-tuned.

    Shares and scales are those of fairseq's `tri_stage` in arXiv:2006.11477, and of Vaessen and van Leeuwen (2023,
    section 4.2), whose code (`disjoint-mtl`) has the same.
    """

    schedule: Literal["tri_stage"] = "tri_stage"
    rate: Rate  # that is held
    warm_share: Share = 0.1  # of the run's steps
    hold_share: Share = 0.4
    first_scale: Annotated[float, Field(gt=0, le=1)] = 0.01  # of the rate, at the start
    last_scale: Annotated[float, Field(gt=0, le=1)] = 0.05  # and at the end

    def __post_init__(self) -> None:
        if self.warm_share + self.hold_share > 1:
            shares = f"warm_share {self.warm_share} and hold_share {self.hold_share}"
            raise ValueError(f"{shares}; expected at most 1 together, the rest being the decay")

    def at(self, moment: Moment) -> float:
        """The learning rate."""
        if moment.progress < self.warm_share:
            done = moment.progress / self.warm_share
            return self.rate * (self.first_scale + (1 - self.first_scale) * done)
        past = moment.progress - self.warm_share - self.hold_share
        if past <= 0:
            return self.rate
        return float(self.rate * self.last_scale ** (past / (1 - self.warm_share - self.hold_share)))


Kind = Constant | Step | Plateau | Exponential | Linear | TriStage
Schedule = Annotated[Kind, Field(discriminator="schedule")]  # what a recipe says
# these have one rate, which stays where a user changes one kind for another
WITH_RATE = tuple(kind.schedule for kind in get_args(Kind) if "rate" in kind.__dataclass_fields__)
