"""Which utterances of a split are learnt from, by what, and in which batches."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from curate.errors import TrainingError
from curate.explain import counted
from models.data.crops import RATE_HZ, num_samples_at_16_khz
from models.data.labels import classes_of, codes
from models.data.plans import AmongRows, InTurn
from models.data.samplers import (
    BalancedSampler,
    BatchShape,
    HardPrototypeSampler,
    LengthBucketSampler,
    Sampler,
    ShuffledSampler,
)
from models.data.speech import Integers, Speech
from models.training.recipe import Batches, Recipe, Whole
from models.training.system import System

log = logging.getLogger("voxcurate")  # the command line shows it


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What is to be learnt from U utterances."""

    labels: Mapping[str, Integers]  # (U,) codes of classes; -1: not known
    texts: list[Integers]  # (U,) codes of characters; empty where nothing is read
    sampler: Sampler


def lessons_of(recipe: Recipe, system: System, speech: Speech, num_of_crops: int) -> Lessons:
    """As the recipe has it. Crops are of the first so many utterances; whole ones of the others, of all if none are.

    Utterances of which nothing is known that the system tells, and such as cannot be read, are left out, and said.
    Raises TrainingError where none are left, or two classes are missing, or who speaks has too few.
    """
    labels = _labels(system, speech)
    known = _known(system, speech, labels)
    texts: list[Integers] = []
    samplers: list[Sampler] = []
    if recipe.whole is not None:
        rows = np.intersect1d(known, rows_of_whole(recipe, speech, num_of_crops))
        texts = _texts(system, speech, rows) if recipe.reads else []
        samplers.append(_of_whole(recipe.whole, speech, system, texts, rows, recipe.seed))
    if recipe.batches is not None:
        samplers.append(_of_crops(recipe.batches, speech, known[known < num_of_crops], system, recipe.seed))
    if len(samplers) == 1 and recipe.steps_an_epoch is None:
        return Lessons(labels=labels, texts=texts, sampler=samplers[0])
    num_rounds = None
    if recipe.steps_an_epoch is not None:
        num_rounds = recipe.steps_an_epoch * recipe.accumulate // len(samplers)
    in_turn = InTurn(samplers=samplers, num_epochs=recipe.epochs, num_rounds=num_rounds)
    return Lessons(labels=labels, texts=texts, sampler=in_turn)


def rows_of_whole(recipe: Recipe, speech: Speech, num_of_crops: int) -> Integers:
    """The rows that are learnt whole: those after the first so many, of which there are crops; all if none are."""
    first = num_of_crops if recipe.batches is not None and num_of_crops < len(speech) else 0
    return np.arange(first, len(speech))


def _labels(system: System, speech: Speech) -> dict[str, Integers]:
    """(U,) codes of all classes that the system learns from."""
    of_ages = {} if system.age_scheme is None else classes_of(system.age_scheme)
    needed = {name: of_ages[name] for name in system.labels_needed}
    return codes(speech, {**needed, **system.tasks}, system.age_scheme)


def _known(system: System, speech: Speech, labels: Mapping[str, Integers]) -> Integers:
    """The rows of which at least one of what the system tells is known."""
    if not system.tasks:
        return np.arange(len(speech))
    rows = np.flatnonzero(np.any([labels[task] >= 0 for task in system.tasks], axis=0))
    what = " or ".join(system.tasks) + ("" if system.age_scheme is None else f" ({system.age_scheme})")
    if len(rows) < len(speech):
        left = counted(len(speech) - len(rows), "utterance")
        log.info(f"train: {left} of {len(speech)} left out: no {what} is known")
    for task, classes in system.tasks.items():
        if num_unknown := int((labels[task][rows] < 0).sum()):
            log.info(f"train: {task}: not known of {num_unknown} of {len(rows)} utterances")
        if len(np.unique(labels[task][rows])) - (-1 in labels[task][rows]) < 2:
            raise TrainingError(f"no two classes of {task} occur in the split; expected some of {', '.join(classes)}")
        unheard = [name for code, name in enumerate(classes) if not (labels[task] == code).any()]
        if unheard:
            log.info(f"train: {task}: nobody is {', '.join(unheard)}")
    return rows


def _texts(system: System, speech: Speech, rows: Integers) -> list[Integers]:
    """(U,) codes of what is said in these rows; none where that is not known, or the system cannot write it."""
    assert system.vocabulary is not None  # noqa: S101  # its recipe has texts to learn
    said = speech.transcripts or [None] * len(speech)
    found = system.vocabulary.encoded([said[row] for row in rows])
    if told := found.told():
        log.info(f"train: {told}")
    texts = [np.array([], np.int64)] * len(speech)
    for row, codes_of_row in zip(rows, found.codes, strict=True):
        texts[row] = codes_of_row
    return texts


def _of_whole(
    whole: Whole, speech: Speech, system: System, texts: list[Integers], rows: Integers, seed: int
) -> Sampler:
    """Batches of those of these rows that fit into one, and whose text is known where it is learnt."""
    num_samples, most = num_samples_at_16_khz(speech), round(whole.seconds * RATE_HZ)
    fits = num_samples[rows] <= most
    if not fits.all():
        name = speech.utterance_ids[int(rows[~fits][0])]
        left = counted(int((~fits).sum()), "utterance")
        log.info(f"train: {left} of {len(rows)} left out, such as {name}: longer than a batch, {whole.seconds:g} s")
    rows = rows[fits]
    if texts:
        rows = rows[[len(texts[row]) > 0 for row in rows]]
    if not len(rows):
        raise TrainingError(
            f"no utterance of {len(speech)} can be learnt from whole; expected some with a transcript, of "
            f"{whole.seconds:g} s at most"
        )
    if texts:
        long = rows[system.texts_too_long(num_samples[rows], [texts[row] for row in rows])]
        if len(long):
            name, num = speech.utterance_ids[int(long[0])], counted(len(long), "utterance")
            log.info(f"train: {num} of {len(rows)}, such as {name}: fewer frames than its text needs; its loss is 0")
    names = [str(speech.utterance_ids[int(row)]) for row in rows]
    sampler = LengthBucketSampler(num_samples[rows], names, max_padded_samples=most, seed=seed)
    return AmongRows(sampler=sampler, rows=rows, learns=whole.learns)


def _of_crops(batches: Batches, speech: Speech, rows: Integers, system: System, seed: int) -> Sampler:
    """Batches of crops of these rows."""
    person = speech.person[rows]
    shortest, longest = (round(seconds * RATE_HZ) for seconds in batches.crop_s)
    shape = BatchShape(
        num_speakers=batches.speakers or batches.utterances,
        num_per_speaker=batches.utterances_each,
        min_samples=shortest,
        max_samples=longest,
    )
    sampler: Sampler
    if batches.utterances:
        sampler = ShuffledSampler(len(rows), shape, seed=seed, passes=batches.passes)
    elif batches.hard:
        sampler = HardPrototypeSampler(
            person,
            speech.people,
            shape,
            lambda people: system.similar(people, batches.hard),
            seed=seed,
            skip_short_speakers=batches.skip_short_speakers,
        )
    else:
        sampler = BalancedSampler(
            person,
            speech.people,
            shape,
            seed=seed,
            passes=batches.passes,
            skip_short_speakers=batches.skip_short_speakers,
        )
    return AmongRows(sampler=sampler, rows=rows)
