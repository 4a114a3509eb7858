"""What the choices of the two verification papers are worth on speech of one's own: EER over several seeds.

    .venv/bin/python -m models.training.ablation MANIFEST [--seeds 5] [--device cuda --full] [--only losses]

The manifest is SpeechBrain's or NeMo's, as `curate export` writes them. Of each person every fourth utterance, four at
the most, is not heard but compared: all pairs of those whose names begin alike up to a `/`, as `corpus/speaker` has it.
People who have no four utterances beside are left out.

- losses: AP, AMP-cos and AMP-arc with a margin of 0.2, each by SGD and Adam (VietSV, table 3). They go on from one
  network, which AP and Adam have trained from nothing on the same speech; its own EER stands beside.
- eta: 0, 0.1, 0.3 and 1 of the multi-similarity loss (MTML, table 3), from nothing.

As it stands networks are tiny and batches small, for a processor; `--full` takes sizes, batches, crops and rates from
the recipes. Training hears `--passes` passes through the people.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from benchmarks.trial_rules import Rules
from benchmarks.trials import draw_trials
from models.common.augment import Augmentation
from models.data import pcm_cache
from models.data.crops import RATE_HZ
from models.data.samplers import BalancedSampler, BatchShape
from models.data.speech import Speech, of_manifest
from models.training.engine import Heard, Training
from models.training.processes import Processes, together
from models.training.recipe import Recipe
from models.training.run_folder import RunFolder
from models.training.schedules import Exponential, Step
from models.training.system import System
from models.training.systems import module_of, recipes
from models.training.validation import Validation

EVERY, MOST_HELD_OUT = 4, 4  # utterances of a person
LONGEST_S = 4.0  # that is heard of an utterance, without --full
CROP_S = (0.7, 0.9)  # likewise
HELD_OUT_S = 3.0  # that is compared of one, likewise
FULL_HELD_OUT_S = 20.0
BATCH_S = 24.0  # of audio that is compared, padded
FROM_NOTHING = "vietsv-scratch-ap-adam"
ETAS = ("mtml-resnet", "mtml-eta-0.1", "mtml-eta-0.3", "mtml-eta-1")
HALF_RESNET = {"num_bands": 24, "channels": 8, "blocks": [1, 1, 1, 1], "attention_channels": 32, "dimension": 64}
RESNET = {"channels": 8, "blocks": [1, 1, 1, 1], "dimension": 64}


class Measured(NamedTuple):
    """One run."""

    row: str
    seed: int
    before: float  # EER in %, of the network that it began with
    after: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all runs share."""

    reader: pcm_cache.MappedReader
    held_out: Validation
    processes: Processes
    passes: int
    is_full: bool


def main() -> None:
    """Print a line a run, and the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--passes", type=int, help="through all people; else 40, or 2,000 with --full")
    parser.add_argument("--full", action="store_true", help="sizes, batches, crops and rates as published")
    parser.add_argument("--only", choices=("losses", "eta"))
    asked = parser.parse_args()
    heard, compared = divided(of_manifest(asked.manifest))
    longest_s, held_out_s = (np.inf, FULL_HELD_OUT_S) if asked.full else (LONGEST_S, HELD_OUT_S)
    with tempfile.TemporaryDirectory() as scratch, together(asked.device) as processes:
        heard, compared = beginning(heard, longest_s), beginning(compared, held_out_s)
        for speech in (heard, compared):
            pcm_cache.write(speech, Path(scratch))
        reader, trials = pcm_cache.MappedReader(compared, Path(scratch)), trials_of(compared)
        bench = Bench(
            reader=pcm_cache.MappedReader(heard, Path(scratch)),
            held_out=Validation(trials=trials, reader=reader, longest_s=held_out_s, batch_s=BATCH_S),
            processes=processes,
            passes=asked.passes or (2000 if asked.full else 40),
            is_full=asked.full,
        )
        say(f"{len(heard)} utterances of {len(heard.people)} people; {len(trials)} trials of others")
        found = []
        for seed in asked.seeds:
            for one in runs(bench, seed, asked.only):
                say(f"seed {one.seed}  {one.row:<16} {one.before:5.1f} > {one.after:5.1f}")
                found.append(one)
    say(table(found))


def say(line: str) -> None:
    """At once, also into a file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def table(found: Sequence[Measured]) -> str:
    """In Markdown: of each row the mean and the standard deviation of its seeds, and what it began with."""
    lines = ["| | EER before, % | EER after, % | runs |", "| --- | --- | --- | --- |"]
    for row in dict.fromkeys(one.row for one in found):
        before, after = (np.array([getattr(one, at) for one in found if one.row == row]) for at in ("before", "after"))
        lines.append(f"| {row} | {spread(before)} | {spread(after)} | {len(after)} |")
    return "\n".join(lines)


def spread(eers: np.ndarray) -> str:
    """Mean and standard deviation; of one run no deviation is known."""
    return f"{eers.mean():.1f}" + (f" ± {eers.std(ddof=1):.1f}" if len(eers) > 1 else "")


# --------------------------------------------------------------------------------------------------- who is heard


def divided(speech: Speech) -> tuple[Speech, Speech]:
    """What is trained on, and other utterances of the same people."""
    heard: list[int] = []
    compared: list[int] = []
    for who in range(len(speech.people)):
        rows = np.flatnonzero(speech.person == who).tolist()
        out = rows[::EVERY][:MOST_HELD_OUT]
        if len(rows) - len(out) >= EVERY:  # as many as a batch of MTML has of a person
            heard += [row for row in rows if row not in out]
            compared += out
    return speech.take(np.array(sorted(heard), np.int64)), speech.take(np.array(sorted(compared), np.int64))


def beginning(speech: Speech, longest_s: float) -> Speech:
    """So much of each utterance."""
    longest = np.minimum(speech.num_samples, speech.sample_rate_hz * longest_s)
    return replace(speech, num_samples=longest.astype(np.int64))


def trials_of(speech: Speech) -> pa.Table:
    """All pairs within a corpus: microphones tell corpora apart."""
    who = [speech.people[code] for code in speech.person]
    corpus = [name.partition("/")[0] if "/" in name else "" for name in who]
    rows = pa.table({"utterance_id": speech.utterance_ids, "identity_id": who, "corpus": corpus})
    rules = Rules(same_recording=True, same=("corpus",))
    return draw_trials(rows, benchmark="ablation", targets=rules, nontargets=rules, rng=np.random.default_rng(0)).trials


# ------------------------------------------------------------------------------------------------------- the runs


def runs(bench: Bench, seed: int, only: str | None) -> Iterator[Measured]:
    """All rows with one seed."""
    if only != "eta":
        begun, one = run(bench, "from nothing", sized(recipes()[FROM_NOTHING], bench, seed))
        yield one
        for name, recipe in losses():
            yield run(bench, name, sized(recipe, bench, seed), begun.network.state_dict())[1]
    if only != "losses":
        for name in ETAS:
            recipe = recipes()[name]
            yield run(bench, f"eta {recipe.settings['eta']:g}", sized(recipe, bench, seed))[1]


def losses() -> Iterator[tuple[str, Recipe]]:
    """Each loss by each optimiser."""
    for loss, name in (("AP", "vietsv-ap-sgd"), ("AMP-cos", "vietsv-amp-cos-0.2"), ("AMP-arc", "vietsv-amp-arc-0.2")):
        for optimizer in ("sgd", "adam"):
            changed = replace(recipes()[name].optimizer, kind=optimizer)
            yield (
                f"{loss}, {optimizer.upper() if optimizer == 'sgd' else 'Adam'}",
                replace(recipes()[name], optimizer=changed),
            )


def sized(recipe: Recipe, bench: Bench, seed: int) -> Recipe:
    """For one pass after another in a single epoch; without --full tiny, at rates at which so few steps show."""
    batches = recipe.batches
    assert batches is not None  # noqa: S101  # those of the papers have batches of people
    if bench.is_full:
        schedule = Step(rate=recipe.schedule.rate) if isinstance(recipe.schedule, Step) else recipe.schedule
        batches = replace(batches, passes=bench.passes)
        return replace(recipe, seed=seed, epochs=1, batches=batches, schedule=schedule)
    recipe = replace(recipe, seed=seed, epochs=1, readers=1)
    if recipe.system == "multi_similarity":
        return replace(
            recipe,
            settings=recipe.settings | {"network": RESNET},
            batches=replace(batches, speakers=6, crop_s=CROP_S, passes=bench.passes // 4),
            schedule=Exponential(first_rate=2e-3, last_rate=1e-3),
        )
    return replace(
        recipe,
        settings=recipe.settings | {"network": HALF_RESNET},
        batches=replace(batches, speakers=16, crop_s=CROP_S, passes=bench.passes),
        schedule=Step(rate=0.001 if recipe.optimizer.kind == "adam" else 0.005),
    )


def run(
    bench: Bench, row: str, recipe: Recipe, begin: dict[str, torch.Tensor] | None = None
) -> tuple[System, Measured]:
    """Train one system; `begin` are the weights of its network."""
    assert recipe.batches is not None  # noqa: S101  # `sized` made them
    speech = bench.reader.speech
    torch.manual_seed(recipe.seed)
    augmentation = Augmentation(recipe.augmentation, len(speech.people))
    system = module_of(recipe.system).made(
        recipe.settings, num_people=augmentation.num_classes, spec_augment=recipe.augmentation.spec_augment
    )
    if begin is not None:
        system.network.load_state_dict(begin)
    shortest, longest = (round(seconds * RATE_HZ) for seconds in recipe.batches.crop_s)
    shape = BatchShape(
        num_speakers=recipe.batches.speakers,
        num_per_speaker=recipe.batches.utterances_each,
        min_samples=shortest,
        max_samples=longest,
    )
    sampler = BalancedSampler(speech.person, speech.people, shape, seed=recipe.seed, passes=recipe.batches.passes)
    heard = Heard(speech=speech, sampler=sampler, reader=bench.reader, augmentation=augmentation)
    with tempfile.TemporaryDirectory() as folder, closing(RunFolder(Path(folder))) as notes:
        training = Training(system, recipe, heard, run=notes, processes=bench.processes, validate=bench.held_out)
        progress = training.train()
    assert progress.first_error is not None  # noqa: S101  # it was validated
    return system, Measured(row, recipe.seed, 100 * progress.first_error, 100 * progress.errors[-1])


if __name__ == "__main__":
    main()
