"""What becomes of the batches that samplers plan: of some rows, of several samplers in turn, shared among processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from curate.errors import TrainingError
from models.data.samplers import MIN_SPEAKERS, Planned, Sampler
from models.data.speech import Integers


@final
@dataclass(frozen=True, kw_only=True)
class AmongRows:
    """The batches of a sampler that knows some rows of a split only: `rows` (R,) says which; and what they learn by."""

    sampler: Sampler
    rows: Integers
    learns: tuple[str, ...] = ("person",)

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch, as rows of the split."""
        planned = self.sampler.plan(epoch)
        return [one._replace(utterances=self.rows[one.utterances], learns=self.learns) for one in planned]


@final
@dataclass(frozen=True, kw_only=True)
class InTurn:
    """A batch of each sampler, again and again, until every sampler's pass is over; one that ends before goes on.

    With `num_rounds` so many batches of each make an epoch, however long a pass is. A further pass is that of an epoch
    of another number, which no epoch of the run has: `num_epochs` says how many it has.
    """

    samplers: Sequence[Sampler]
    num_epochs: int
    num_rounds: int | None = None

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch. Raises TrainingError where a sampler has none."""
        first = [sampler.plan(epoch) for sampler in self.samplers]
        if not all(first):
            raise TrainingError(f"epoch {epoch}: no batch of one kind; expected more utterances, or smaller batches")
        num = self.num_rounds or max(map(len, first))
        for sampler, planned in zip(self.samplers, first, strict=True):
            further = epoch
            while len(planned) < num:
                further += self.num_epochs
                planned += sampler.plan(further)
        return [one for of_round in zip(*(planned[:num] for planned in first), strict=True) for one in of_round]


def share(planned: Planned, process: int, num_processes: int) -> Planned:
    """What one of several processes takes of a batch: whole speakers, as many as every other; the rest is dropped."""
    if not 0 <= process < num_processes:
        raise TrainingError(f"process {process} of {num_processes}; expected 0 to {num_processes - 1}")
    num_speakers = len(planned.utterances) // planned.num_per_speaker
    size = num_speakers // num_processes * planned.num_per_speaker
    return planned._replace(utterances=planned.utterances[process * size : (process + 1) * size])


def shares(plan: Sequence[Planned], process: int, num_processes: int, *, num_in_turn: int = 1) -> list[Planned]:
    """The plan of one of several processes, as long as that of every other.

    A batch is dropped for all of them where each would get nothing or, of crops, fewer than two speakers; of so many
    kinds that come in turn with the others of its round, as every step has as many of each kind.
    """
    shared = [share(planned, process, num_processes) for planned in plan]
    rounds = (shared[begin : begin + num_in_turn] for begin in range(0, len(shared), num_in_turn))
    return [one for of_round in rounds if all(map(_is_enough, of_round)) for one in of_round]


def _is_enough(planned: Planned) -> bool:
    least = MIN_SPEAKERS * planned.num_per_speaker if planned.num_samples else 1  # whole utterances: of anybody
    return len(planned.utterances) >= least
