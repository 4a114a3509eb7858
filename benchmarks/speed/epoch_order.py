"""How fast the batches of an epoch are planned, beside voxceleb_trainer's loops over lists.

    .venv/bin/python -m benchmarks.speed.epoch_order [--rounds 5] [--utterances 200000 1000000]

Batches of 200 speakers with two utterances of each, of at most 500 utterances a speaker; a speaker has some 170
utterances, as in VoxCeleb2, and one more than another. voxceleb_trainer's way is written here from its description: all
utterances are shuffled, cut into groups speaker by speaker, and the groups shuffled; a group whose speaker is in the
batch already is dropped. Here it waits, so that more of the utterances are heard, which is told. How it is timed:
`turns`.
"""

import argparse

import numpy as np
import torch

from benchmarks.speed.turns import Turns, in_turns, machine
from models.data.samplers import BatchShape, Integers, UtteranceSampler

NUM_SPEAKERS, NUM_PER_SPEAKER, MAX_PER_SPEAKER = 200, 2, 500
UTTERANCES_PER_SPEAKER = 170
OURS = "ours"
THEIRS = "voxceleb_trainer: lists, group by group"


def by_voxceleb_trainer(person: list[int], seed: int) -> list[list[int]]:
    """Groups of utterances, in the order in which batches are filled."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    of_speaker: dict[int, list[int]] = {}
    for row in torch.randperm(len(person), generator=generator).tolist():
        of_speaker.setdefault(person[row], []).append(row)
    groups, speaker_of = [], []
    for speaker in sorted(of_speaker):
        rows = of_speaker[speaker]
        usable = min(len(rows), MAX_PER_SPEAKER) // NUM_PER_SPEAKER * NUM_PER_SPEAKER
        for begin in range(0, usable, NUM_PER_SPEAKER):
            groups.append(rows[begin : begin + NUM_PER_SPEAKER])
            speaker_of.append(speaker)
    placed: list[int] = []
    speakers: list[int] = []
    for group in torch.randperm(len(groups), generator=generator).tolist():
        begin_of_batch = len(speakers) // NUM_SPEAKERS * NUM_SPEAKERS
        if speaker_of[group] not in speakers[begin_of_batch:]:
            speakers.append(speaker_of[group])
            placed.append(group)
    return [groups[group] for group in placed[: len(placed) // NUM_SPEAKERS * NUM_SPEAKERS]]


def split_of(num_utterances: int) -> Integers:
    """(U,) whose each utterance is: some speakers talk a few times as much as others."""
    rng = np.random.default_rng(1)
    num_speakers = num_utterances // UTTERANCES_PER_SPEAKER
    return rng.choice(num_speakers, num_utterances, p=rng.dirichlet(np.full(num_speakers, 5.0)))


def compare(num_utterances: int, *, rounds: int) -> Turns:
    """Times of an epoch's plan, and how much of the split is in it."""
    person = split_of(num_utterances)
    as_list = person.tolist()
    shape = BatchShape(
        num_speakers=NUM_SPEAKERS, num_per_speaker=NUM_PER_SPEAKER, min_samples=32_000, max_samples=32_000
    )
    sampler = UtteranceSampler(person, shape, seed=1, max_per_speaker=MAX_PER_SPEAKER)
    print(f"{num_utterances:,} utterances of {person.max() + 1:,} speakers")
    turns = in_turns(
        {OURS: lambda: sampler.plan(1), THEIRS: lambda: by_voxceleb_trainer(as_list, 1)},
        rounds=rounds,
    )
    print(*turns.lines(OURS), sep="\n")
    heard = {
        OURS: sum(len(planned.utterances) for planned in turns.found[OURS]),
        THEIRS: sum(len(group) for group in turns.found[THEIRS]),
    }
    for name, num_heard in heard.items():
        print(f"  {name}: {100 * num_heard / num_utterances:.2f} % of the utterances are in a batch")
    return turns


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--utterances", type=int, nargs="+", default=[200_000, 1_000_000])
    given = parser.parse_args()
    print(machine())
    for num_utterances in given.utterances:
        compare(num_utterances, rounds=given.rounds)


if __name__ == "__main__":
    main()
