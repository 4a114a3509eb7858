"""Which utterances make the batches of an epoch: functions of a seed and the number of the epoch, and of nothing else.

A plan is a list, the same on every process: training goes on from any place of it, and processes share each batch. The
utterances of one speaker lie beside each other in a batch. A speaker is a person of the split, whatever labels he has.

Shape letters: U utterances of the split, S speakers, N speakers of a batch, M utterances of each, B = N x M.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

import numpy as np
from numpy.typing import NDArray

from curate.errors import TrainingError
from curate.kernels import compiled, ordered

log = logging.getLogger("voxcurate")

Integers = NDArray[np.int64]
Similar = Callable[[Integers], Integers]  # of speakers (S,) the K most similar others (S, K), the most similar first

MIN_SPEAKERS = 2  # of a batch: with one there is nobody to tell him from
SAMPLES_PER_STEP = 160  # crop lengths differ by whole frames of 10 ms
SPREAD = 0.1  # utterances that differ less in length than this share of it may come into one batch, in any order


class Planned(NamedTuple):
    """One batch: the utterances of a speaker are `num_per_speaker` rows in succession."""

    utterances: Integers  # (B,) rows of the split
    num_samples: int  # at 16 kHz, of each crop; 0: whole utterances
    num_per_speaker: int = 1
    learns: tuple[str, ...] = ("person",)  # by which labels: `person`, `text`


class Sampler(Protocol):
    """What makes the batches of an epoch."""

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch, counted from 1, in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """N speakers x M utterances, cropped to one length a batch, which is drawn from a range. Raises TrainingError."""

    num_speakers: int
    num_per_speaker: int
    min_samples: int  # at 16 kHz
    max_samples: int

    def __post_init__(self) -> None:
        if self.num_speakers < MIN_SPEAKERS or self.num_per_speaker < 1:
            size = f"{self.num_speakers} speakers x {self.num_per_speaker} utterances"
            raise TrainingError(f"a batch of {size}; expected {MIN_SPEAKERS} x 1 or more")
        if not 0 < self.min_samples <= self.max_samples:
            raise TrainingError(
                f"crops of {self.min_samples} to {self.max_samples} samples; expected 1 or more, rising"
            )

    def planned(self, batches: Sequence[Integers], rng: np.random.Generator) -> list[Planned]:
        """The batches with the lengths of their crops."""
        num_lengths = (self.max_samples - self.min_samples) // SAMPLES_PER_STEP + 1
        lengths = self.min_samples + SAMPLES_PER_STEP * rng.integers(num_lengths, size=len(batches))
        return [
            Planned(rows, length, self.num_per_speaker) for rows, length in zip(batches, lengths.tolist(), strict=True)
        ]


def generator(seed: int, epoch: int) -> np.random.Generator:
    """The randomness of a plan; by a key of its own: numpy takes [seed, epoch] and [seed, epoch, 0] for the same."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch], spawn_key=(0,)))


class _Utterances:
    """The utterances (U,) of a split, speaker by speaker."""

    def __init__(self, person: Integers):
        self.num = np.bincount(person)  # (S,)
        self.first = np.concatenate([[0], np.cumsum(self.num)])[:-1]  # (S,) places in `rows`
        self.rows = ordered(person, self.first)

    def speakers(self, people: Sequence[str], shape: BatchShape, *, skip_short: bool) -> Integers:
        """The codes of those who have M utterances. Raises TrainingError where one has not, and skips none."""
        wanted = shape.num_per_speaker
        short = np.flatnonzero((self.num < wanted) & (self.num > 0))
        if len(short) and not skip_short:
            who, held = people[int(short[0])], int(self.num[short[0]])
            raise TrainingError(
                f"{who}: {held} utterances; expected {wanted} of each speaker, or to skip {len(short)} who have fewer"
            )
        if len(short):
            log.info("%d of %d speakers have fewer than %d utterances; left out", len(short), len(people), wanted)
        speakers = np.flatnonzero(self.num >= wanted)
        if len(speakers) < MIN_SPEAKERS:
            raise TrainingError(
                f"{len(speakers)} speakers with {wanted} utterances; expected {MIN_SPEAKERS} or more in a split"
            )
        return speakers

    def drawn(self, speakers: Integers, num_per_speaker: int, rng: np.random.Generator) -> Integers:
        """(S, M) different utterances of each speaker (S,), every set and order of them as likely as another.

        R. W. Floyd's way (Bentley and Floyd, "A sample of brilliance", 1987): each of M draws from one place more; a
        place that is taken gives way to the new one, which no draw before could reach.
        """
        num = self.num[speakers]
        chosen = np.empty((len(speakers), num_per_speaker), dtype=np.int64)
        for draw in range(num_per_speaker):
            newest = num - num_per_speaker + draw
            place = rng.integers(newest + 1)
            taken = (chosen[:, :draw] == place[:, None]).any(axis=1)
            chosen[:, draw] = np.where(taken, newest, place)
        chosen = rng.permuted(chosen, axis=1)  # what is drawn last would lean to the last places
        drawn: Integers = self.rows[self.first[speakers][:, None] + chosen]
        return drawn


@final
class BalancedSampler:
    """An epoch is one pass through the speakers, or `passes`; in each, everybody gives M random utterances once.

    VietSV: "One epoch is defined as a full pass through the speakers", in batches of 200. A pass ends with a batch of
    those who are left, unless that is only one. Raises TrainingError, which names the first speaker with fewer than M
    utterances; `skip_short_speakers` leaves such speakers out, and says how many.
    """

    def __init__(
        self,
        person: Integers,
        people: Sequence[str],
        shape: BatchShape,
        *,
        seed: int,
        passes: int = 1,
        skip_short_speakers: bool = False,
    ):
        if passes < 1:
            raise TrainingError(f"{passes} passes through the speakers; expected 1 or more in an epoch")
        self.shape, self.seed, self.passes = shape, seed, passes
        self._utterances = _Utterances(person)
        self._speakers = self._utterances.speakers(people, shape, skip_short=skip_short_speakers)

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch."""
        rng, size = generator(self.seed, epoch), self.shape.num_speakers
        batches = []
        for _ in range(self.passes):
            rows_SM = self._utterances.drawn(rng.permutation(self._speakers), self.shape.num_per_speaker, rng)
            batches += [rows_SM[begin : begin + size].ravel() for begin in range(0, len(rows_SM) - 1, size)]
        return self.shape.planned(batches, rng)


@final
class ShuffledSampler:
    """An epoch is `passes` through the utterances in random order, B to a batch, whoever speaks; the last may be short.

    The mixup paper trains on batches of 12. Raises TrainingError where there are not two utterances.
    """

    def __init__(self, num_utterances: int, shape: BatchShape, *, seed: int, passes: int = 1):
        if num_utterances < MIN_SPEAKERS:
            raise TrainingError(f"{num_utterances} utterances; expected {MIN_SPEAKERS} or more in a split")
        self.num_utterances, self.shape, self.seed, self.passes = num_utterances, shape, seed, passes

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch."""
        rng, size = generator(self.seed, epoch), self.shape.num_speakers
        batches = []
        for _ in range(self.passes):
            rows = rng.permutation(self.num_utterances)
            batches += [rows[begin : begin + size] for begin in range(0, len(rows) - 1, size)]
        return self.shape.planned(batches, rng)


@final
class UtteranceSampler:
    """An epoch is one pass through the utterances, in groups of M of one speaker, none of them twice in a batch.

    As voxceleb_trainer: of each speaker at most `max_per_speaker` utterances (500 there), in random groups; what makes
    no group or no full batch is left out for this epoch. Where a batch has the speaker already, voxceleb_trainer drops
    the group; here it waits for the next batch. Raises TrainingError where there are not N speakers with M utterances;
    those with fewer have no group.
    """

    def __init__(self, person: Integers, shape: BatchShape, *, seed: int, max_per_speaker: int | None = None):
        self.shape, self.seed = shape, seed
        self._person = person
        self._utterances = _Utterances(person)
        usable = np.minimum(self._utterances.num, len(person) if max_per_speaker is None else max_per_speaker)
        self._num_groups = usable // shape.num_per_speaker  # (S,)
        num_speakers = np.count_nonzero(self._num_groups)
        if num_speakers < shape.num_speakers:
            raise TrainingError(
                f"{num_speakers} speakers with {shape.num_per_speaker} utterances; expected {shape.num_speakers} for a "
                "batch"
            )

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch."""
        rng, of_each = generator(self.seed, epoch), self.shape.num_per_speaker
        shuffled = rng.permutation(len(self._person))
        rows = shuffled[ordered(self._person[shuffled], self._utterances.first)]  # speaker by speaker
        waiting = rng.permutation(np.repeat(np.arange(len(self._num_groups)), self._num_groups))
        placed = _placed(waiting, self._utterances.first, of_each, self.shape.num_speakers)
        batches = rows[placed[:, None] + np.arange(of_each)].reshape(-1, self.shape.num_speakers * of_each)
        return self.shape.planned(list(batches), rng)


@compiled()
def _placed(speaker: Integers, first: Integers, num_per_speaker: int, num_speakers: int) -> Integers:
    """For the groups of full batches, batch by batch, where their utterances begin; `speaker` is the order of groups.

    Who is in the batch already waits in line; a new batch takes one group of each in the line before it goes on.
    """
    start = np.empty(len(speaker), np.int64)
    next_start = first.copy()
    in_batch = np.full(len(first), -1, np.int64)  # the last batch that a speaker is in
    owed = np.zeros(len(first), np.int64)  # his groups that wait
    line = np.empty(len(first), np.int64)
    line_begin = line_length = 0
    num_placed = num_seen = 0
    while True:
        batch = num_placed // num_speakers
        end = num_placed + num_speakers
        at = num_placed
        for _ in range(min(line_length, num_speakers)):
            who = line[line_begin]
            line_begin = (line_begin + 1) % len(line)
            line_length -= 1
            start[at] = next_start[who]
            next_start[who] += num_per_speaker
            in_batch[who] = batch
            at += 1
            owed[who] -= 1
            if owed[who]:
                line[(line_begin + line_length) % len(line)] = who
                line_length += 1
        while at < end and num_seen < len(speaker):
            who = speaker[num_seen]
            num_seen += 1
            if in_batch[who] == batch:
                if not owed[who]:
                    line[(line_begin + line_length) % len(line)] = who
                    line_length += 1
                owed[who] += 1
                continue
            start[at] = next_start[who]
            next_start[who] += num_per_speaker
            in_batch[who] = batch
            at += 1
        if at < end:
            return start[:num_placed]
        num_placed = end


@final
class HardPrototypeSampler:
    """An epoch is one pass through the speakers, each together with those whom the network takes him for.

    Hard prototype mining (Thienpondt et al., arXiv:2007.07689). In random order every speaker enters a batch with his
    K most similar ones; who is in it already is not taken twice, and what exceeds N is cut. So a speaker comes about
    K + 1 times an epoch. The last batch is kept if it has two speakers. `similar` is asked once a plan, for all
    speakers: to resume within an epoch it must answer from what is saved with a checkpoint, alike on every process.
    """

    def __init__(
        self,
        person: Integers,
        people: Sequence[str],
        shape: BatchShape,
        similar: Similar,
        *,
        seed: int,
        skip_short_speakers: bool = False,
    ):
        self.shape, self.seed, self.similar = shape, seed, similar
        self._utterances = _Utterances(person)
        self._speakers = self._utterances.speakers(people, shape, skip_short=skip_short_speakers)

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch."""
        rng, size = generator(self.seed, epoch), self.shape.num_speakers
        seeds = rng.permutation(self._speakers)
        usable = set(self._speakers.tolist())
        together: list[dict[int, None]] = [{}]  # an ordered set a batch
        for drawn, others in zip(seeds.tolist(), self.similar(seeds).tolist(), strict=True):
            if len(together[-1]) >= size:
                together.append({})
            batch = together[-1]
            new = dict.fromkeys(one for one in (drawn, *others) if one in usable and one not in batch)
            batch |= dict.fromkeys(list(new)[: size - len(batch)])
        batches = [
            self._utterances.drawn(np.array(list(batch)), self.shape.num_per_speaker, rng).ravel()
            for batch in together
            if len(batch) >= MIN_SPEAKERS
        ]
        return self.shape.planned(batches, rng)


@final
class LengthBucketSampler:
    """An epoch is every utterance once and whole, in batches of similar lengths that hold so much with their padding.

    The longest utterance times their number is at most `max_padded_samples`. Batches come in random order. Raises
    TrainingError, which names the first utterance that alone is longer.
    """

    def __init__(self, num_samples: Integers, names: Sequence[str], *, max_padded_samples: int, seed: int):
        if len(over := np.flatnonzero(num_samples > max_padded_samples)):
            name, length = names[int(over[0])], num_samples[over[0]]
            raise TrainingError(f"{name}: {length} samples; expected at most the {max_padded_samples} of a batch")
        self._num_samples, self.max_padded_samples, self.seed = num_samples, max_padded_samples, seed

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of an epoch."""
        rng = generator(self.seed, epoch)
        blurred = self._num_samples * (1 + SPREAD * rng.random(len(self._num_samples)))
        order = np.argsort(-blurred, kind="stable")
        begins = _cut(self._num_samples[order], self.max_padded_samples)
        batches = np.split(order, begins[1:])
        return [Planned(batches[place], 0) for place in rng.permutation(len(batches))]


@compiled()
def _cut(num_samples: Integers, max_padded_samples: int) -> Integers:
    """Where batches begin: each goes on as long as it holds what is asked for."""
    begins = np.zeros(len(num_samples), np.int64)
    num_batches, longest = 1, 0
    for place in range(len(num_samples)):
        longest = max(longest, num_samples[place])
        if longest * (place - begins[num_batches - 1] + 1) > max_padded_samples:
            begins[num_batches] = place
            num_batches += 1
            longest = num_samples[place]
    return begins[:num_batches]
