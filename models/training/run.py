"""A run from its first line to its last: a recipe and speech go in, a trained network and its figures come out."""

import hashlib
import logging
import platform
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.evaluation import result_rows
from benchmarks.protocol import Metric
from benchmarks.words import normalised
from curate.audio import sha256_of
from curate.catalog import read_parquet, write_parquet
from curate.errors import TrainingError
from curate.explain import counted
from curate.runs import content_fingerprint
from curate.whole import write_text
from models.common.augment import Augmentation
from models.common.onednn import has_bfloat16
from models.data import pcm_cache
from models.data.crops import FileReader, Reader
from models.data.labels import codes
from models.data.speech import Speech
from models.data.texts import Vocabulary
from models.training import checkpoints
from models.training.batches import Lessons, lessons_of, rows_of_whole
from models.training.engine import Heard, Progress, Training, Validate
from models.training.processes import Processes, together
from models.training.recipe import Recipe
from models.training.run_folder import RunFolder
from models.training.schedules import Plateau
from models.training.system import System
from models.training.systems import module_of
from models.training.validation import ReadingValidation, Validation

log = logging.getLogger("voxcurate")  # the command line shows it

LETTERS_SHOWN = 100  # of a vocabulary that is found: some scripts have thousands
LONGEST_S = 20.0  # of an utterance, at the end: GPUs have so much memory
VERSIONS = ("voxcurate", "torch", "torchaudio", "numpy", "pyarrow")
ENCODER, RESULTS, PEOPLE = "encoder", "results.parquet", "people.txt"
METRICS = (Metric(name="eer"), Metric(name="min_dcf", p_target=0.01), Metric(name="min_dcf", p_target=0.001))


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Whom a system is validated on."""

    benchmark: str
    list_name: str
    trials: pa.Table | None  # enrol_id, test_id, is_target; none where no two utterances are of one person
    speech: Speech  # all utterances of the trials, and others
    read: Speech | None = None  # what is read, by a system that reads; else `speech` is


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run."""

    progress: Progress
    encoder: Path | None  # of the first process alone
    results: pa.Table | None  # rows of RESULTS; None where nobody was held out


def train(
    recipe: Recipe,
    speech: Speech,
    folder: Path,
    *,
    of: str,
    also: Speech | None = None,
    held_out: HeldOut | None = None,
    initial: Path | None = None,
    cache: bool = False,
    device: str = "auto",
) -> Trained:
    """Train, or go on where the run of this folder stands; `of` says in words what the speech is.

    `also` are utterances that are learnt whole, where a recipe has batches of two kinds; without them they are those of
    which there are crops. A run that is complete is only told of. Raises TrainingError for a recipe that does not fit
    the speech, the folder of another run, and where training cannot go on; CorpusError for audio that cannot be read.
    """
    run, recipe = RunFolder(folder), _with_whole_path(recipe)
    with together(device) as processes, closing(run):
        goes_on = checkpoints.latest(run.checkpoints) is not None
        learns_whole = recipe.whole is not None and "person" in recipe.whole.learns
        num_of_crops, num_people = len(speech), len(speech.people)
        if also is not None:
            speech = speech.joined(also)
            num_people = len(speech.people) if learns_whole else num_people
        recipe = _with_letters(recipe, speech, num_of_crops)
        augmentation = Augmentation(recipe.augmentation, num_people)
        system = _system(recipe, augmentation.num_classes, None if goes_on else initial)
        lessons = lessons_of(recipe, system, speech, num_of_crops)
        if not goes_on:
            lessons.sampler.plan(1)  # or an error, before anything is begun
        if held_out is None:
            _require_no_validation(recipe)
        else:
            _require_measurable(system, recipe, held_out)
        validate = None if held_out is None else _validate(system, held_out, recipe)
        reader: Reader = FileReader(speech)
        if processes.is_first:  # now that the recipe is known to fit
            run.begin(_description(recipe, speech, num_people, lessons, of, held_out, initial, processes))
            write_text(run.root / PEOPLE, "".join(f"{who}\n" for who in speech.people))
        processes.wait()
        if (run.root / ENCODER).exists():
            return _ended(run, recipe, held_out, processes)
        hours = float(speech.duration_s.sum()) / 3600
        people = counted(len(speech.people), "person", "people")
        log.info(
            f"train: {recipe.name} on {counted(len(speech), 'utterance')} of {people}, {hours:.2f} h ({of}), on "
            f"{processes.device}"
        )
        if recipe.batches is not None and recipe.batches.speakers > len(speech.people):
            log.info(f"train: a batch has all {people}; the recipe asks for {recipe.batches.speakers}")
        if recipe.begins_with is not None and initial is None and not goes_on:
            log.info(f"train: the paper begins with {recipe.begins_with} (`--from`); this run begins with none")
        if recipe.precision == "bfloat16" and processes.device.type == "cpu" and not has_bfloat16():
            log.info(
                "train: this processor does not multiply bfloat16 itself: float32 is several times as fast here "
                "(`--set precision=float32`)"
            )
        if cache:
            reader = _mapped(speech, run, processes, num_threads=recipe.readers)
        heard = Heard(
            speech=speech,
            sampler=lessons.sampler,
            reader=reader,
            augmentation=augmentation,
            labels=lessons.labels,
            texts=lessons.texts,
        )
        training = Training(system, recipe, heard, run=run, processes=processes, validate=validate)
        if training.go_on():
            log.info(f"train: goes on in epoch {training.progress.epoch} after step {training.progress.step}")
        progress = training.train()
        if not processes.is_first:
            return Trained(progress=progress, encoder=None, results=None)
        return _finish(run, system, recipe, progress, held_out)


def _finish(run: RunFolder, system: System, recipe: Recipe, progress: Progress, held_out: HeldOut | None) -> Trained:
    """The best network's figures, and last itself as an encoder: what has one is complete."""
    place = run.best()
    if place is not None:
        system.load_state_dict(checkpoints.load(place).system)
    is_compared = held_out is not None and held_out.trials is not None and system.knows_voices
    results = _results(system, recipe, held_out) if held_out is not None and is_compared else None
    if results is not None:
        write_parquet(run.root / RESULTS, results)
    module_of(recipe.system).save_encoder(run.root / ENCODER, system)
    return Trained(progress=progress, encoder=run.root / ENCODER, results=results)


def _ended(run: RunFolder, recipe: Recipe, held_out: HeldOut | None, processes: Processes) -> Trained:
    """What came of a run that is complete."""
    place = checkpoints.latest(run.checkpoints)
    if place is None:
        raise TrainingError(f"{run.root}: has an encoder and no checkpoint; expected the folder as a run left it")
    progress = Progress(**checkpoints.load(place).state)
    log.info(f"train: {run.root} is complete after {progress.why_over(recipe)}; nothing to do")
    if not processes.is_first:
        return Trained(progress=progress, encoder=None, results=None)
    results = read_parquet(run.root / RESULTS) if (run.root / RESULTS).exists() else None
    return Trained(progress=progress, encoder=run.root / ENCODER, results=results)


def _results(system: System, recipe: Recipe, held_out: HeldOut) -> pa.Table:
    """Of its trials."""
    speech = held_out.speech
    people = [speech.people[code] for code in speech.person]
    return result_rows(
        _validation(system, held_out, LONGEST_S).scores(system),
        held_out.trials,
        dict(zip(speech.utterance_ids.to_pylist(), people, strict=True)),
        benchmark=held_out.benchmark,
        list_name=held_out.list_name,
        system=recipe.name,
        metrics=METRICS,
        rng=np.random.default_rng([recipe.seed, 0]),
    )


def _description(
    recipe: Recipe,
    speech: Speech,
    num_people: int,
    lessons: Lessons,
    of: str,
    held_out: HeldOut | None,
    initial: Path | None,
    processes: Processes,
) -> dict[str, object]:
    teacher = recipe.settings.get("teacher")
    heard: dict[str, object] = {"of": of, "utterances": len(speech), "people": num_people}
    if lessons.labels:
        told = b"".join(name.encode() + of_all.tobytes() for name, of_all in sorted(lessons.labels.items()))
        heard["of_labels"] = hashlib.sha256(told).hexdigest()
    if lessons.texts:
        heard["of_texts"] = hashlib.sha256(b"".join(text.tobytes() + b"\n" for text in lessons.texts)).hexdigest()
    validation: dict[str, object] | None = None
    if held_out is not None:
        validation = {
            "benchmark": held_out.benchmark,
            "list": held_out.list_name,
            "fingerprint": held_out.speech.fingerprint,
        }
        if held_out.read is not None:
            validation["of_read"] = held_out.read.fingerprint
        if held_out.trials is not None:
            of_trials = content_fingerprint(held_out.trials.select(["enrol_id", "test_id", "is_target"]))
            validation |= {"trials": len(held_out.trials), "of_trials": of_trials}
    return {
        "recipe": recipe.plain(),
        "speech": heard | {"fingerprint": speech.fingerprint},
        "validation": validation,
        "weights": None if initial is None else _weights(initial),
        "teacher": None if teacher is None else {"of": teacher, "sha256": sha256_of_weights(Path(teacher))},
        "processes": processes.num,
        "versions": {name: version(name) for name in VERSIONS} | {"python": platform.python_version()},
    }


def _weights(initial: Path) -> dict[str, str]:
    """Which they are, told from the root as a teacher is; of what is no file and no folder, its name at a hub."""
    place = initial.absolute() if initial.exists() else initial
    return {"of": str(place), "sha256": sha256_of_weights(initial)}


def _with_whole_path(recipe: Recipe) -> Recipe:
    """Its teacher, if it has one, told from the root: the run may be tested from another folder."""
    teacher = recipe.settings.get("teacher")
    if teacher is None:
        return recipe
    return replace(recipe, settings=recipe.settings | {"teacher": str(Path(teacher).absolute())})


def _with_letters(recipe: Recipe, speech: Speech, num_of_crops: int) -> Recipe:
    """With all letters of what is learnt to be read, where `settings.characters` is unset: the same at every call.

    Raises TrainingError where nothing is said.
    """
    if not recipe.reads or recipe.settings.get("characters", "") is not None:
        return recipe
    texts = speech.transcripts or [None] * len(speech)
    try:
        letters = Vocabulary.of(texts[row] for row in rows_of_whole(recipe, speech, num_of_crops)).letters
    except TrainingError as error:
        raise TrainingError(f"{recipe.name}: settings.characters is unset, and {error}") from error
    shown = letters if len(letters) <= LETTERS_SHOWN else f"{letters[:LETTERS_SHOWN]}..."
    log.info(f"train: writes {counted(len(letters), 'letter')}, those of what is read: {shown}")
    return replace(recipe, settings=recipe.settings | {"characters": letters})


def sha256_of_weights(initial: Path) -> str:
    """Of a file of weights, or of all files of a folder; of what is neither, as a name at a hub, its name."""
    if not initial.exists():
        return hashlib.sha256(str(initial).encode()).hexdigest()
    files = sorted(path for path in initial.iterdir() if path.is_file()) if initial.is_dir() else [initial]
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def _require_measurable(system: System, recipe: Recipe, held_out: HeldOut) -> None:
    """Raises TrainingError where those held out tell nothing of the system."""
    if system.tasks:
        labels = codes(held_out.speech, system.tasks, system.age_scheme)
        if not any((of_task >= 0).any() for of_task in labels.values()):
            what = " or ".join(system.tasks)
            raise TrainingError(f"{recipe.name}: nobody held out has a known {what}; expected somebody who has")
    elif system.vocabulary is not None and not len(_with_words(held_out)):
        if held_out.trials is None or not system.knows_voices:
            raise TrainingError(f"{recipe.name}: no utterance held out has a transcript; expected some that have")
    elif held_out.trials is None and system.vocabulary is None:
        raise TrainingError(f"{recipe.name}: nobody held out has two utterances to compare; expected trials")


def _require_no_validation(recipe: Recipe) -> None:
    """Raises TrainingError where it waits for what validations gain."""
    num_validations = -(-recipe.epochs // recipe.validate_every)
    may_end = recipe.patience is not None and recipe.patience < num_validations
    waits = {"patience": may_end, "schedule plateau": isinstance(recipe.schedule, Plateau)}
    if what := ", ".join(name for name, does in waits.items() if does):
        raise TrainingError(
            f"{recipe.name}: {what}: nobody is held out to validate on; expected people "
            f"(`--hold-out`, `--dev` or `--trials`), or no {what}"
        )


def _system(recipe: Recipe, num_people: int, initial: Path | None) -> System:
    module = module_of(recipe.system)
    torch.manual_seed(recipe.seed)  # the weights are drawn by it
    try:
        system = module.made(recipe.settings, num_people=num_people, spec_augment=recipe.augmentation.spec_augment)
    except ValueError as error:
        raise TrainingError(f"{recipe.name}: settings: {error}") from error
    if initial is not None:
        for line in module.begin_with(system, initial):
            log.info(f"train: {line}")
    return system


def _mapped(speech: Speech, run: RunFolder, processes: Processes, *, num_threads: int) -> Reader:
    folder = run.root / "cache"
    if processes.is_first:
        pcm_cache.write(speech, folder, num_threads=num_threads)
    processes.wait()
    return pcm_cache.MappedReader(speech, folder)


def _validate(system: System, held_out: HeldOut, recipe: Recipe) -> Validate:
    """Of what the system is trained to do."""
    validation = _validation(system, held_out, recipe.validate_s)
    if system.vocabulary is None:
        return validation
    speech, of_all = _with_words(held_out), held_out.read or held_out.speech
    read = Validation(reader=FileReader(speech), longest_s=recipe.validate_whole_s) if len(speech) else None
    is_compared = held_out.trials is not None and system.knows_voices
    _say_what_is_left_out(system.vocabulary, speech, of_all, is_compared=is_compared or not system.knows_voices)
    if num := int((speech.duration_s > recipe.validate_whole_s).sum()):
        cut = f"{counted(num, 'utterance')} of {len(speech)} held out read to {recipe.validate_whole_s:g} s"
        log.info(f"train: {cut} (`validate_whole_s`): what is said after that are errors")
    return ReadingValidation(read=read, compared=validation if is_compared else None)


def _say_what_is_left_out(vocabulary: Vocabulary, read: Speech, of_all: Speech, *, is_compared: bool) -> None:
    """What a validation of those held out does not measure, or measures as errors."""
    if not len(read):
        log.info("train: nobody held out has a transcript: validations are of EER alone")
    elif len(read) < len(of_all):
        left = counted(len(of_all) - len(read), "utterance")
        log.info(f"train: {left} of {len(of_all)} held out not read in validations: no transcript")
    if not is_compared:
        log.info("train: nobody held out has two utterances to compare: validations are of WER alone")
    found = vocabulary.encoded(read.transcripts)
    if found.num_outside:
        num = counted(found.num_outside, "utterance")
        log.info(f"train: {num} of {len(read)} held out with {found.strange}, which are errors")


def _with_words(held_out: HeldOut) -> Speech:
    """Those utterances whose transcripts have a word."""
    speech = held_out.read or held_out.speech
    texts = speech.transcripts or [None] * len(speech)
    return speech.take(np.array([row for row, text in enumerate(texts) if text and normalised(text)], np.int64))


def _validation(system: System, held_out: HeldOut, longest_s: float) -> Validation:
    return Validation(
        reader=FileReader(held_out.speech),
        longest_s=longest_s,
        trials=held_out.trials,
        labels=codes(held_out.speech, system.tasks, system.age_scheme),
    )
