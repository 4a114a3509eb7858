"""Runs of the age systems' recipes on real speech, of seconds: what they gain on EmoDB and LibriSpeech.

.venv/bin/python -m tests.models.age_speech_made CORPORA    # says what each recipe gains, for the READMEs
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.classes import macro_f1
from curate.ages import OLDEST, SCHEMES, Group
from models.common.augment import AugmentationSettings
from models.data import pcm_cache
from models.data.crops import RATE_HZ, Reader
from models.data.labels import classes_of, codes
from models.data.speech import Speech
from models.mixup_distillation.recipe import save_encoder
from models.training.recipe import Recipe
from models.training.schedules import Constant
from models.training.system import System
from models.training.systems import recipes
from models.training.validation import Validation
from tests.models.labelled_runs_made import training
from tests.models.recipes_made import spoken_by

# EmoDB's ten are 21 to 35 years old: by leq29 young and adult, with one decade each, by leq17 and by decades of one
# group. These groups have two subgroups each, and four and six people.
SCHEME = "emodb"
GROUPS = (
    Group(name="young", youngest=0, oldest=30, subgroups_from=(26,)),
    Group(name="adult", youngest=31, oldest=OLDEST, subgroups_from=(32,)),
)
ADVERSARIAL = ("age-leq29-e-stl", "age-leq29-e-wod", "age-leq29-e-yd", "age-leq29-e-ad")  # no seniors: SD is woD
TEACHER = "mixup-ecapa-teacher"
MIXUP = (TEACHER, "mixup-ecapa-base", "mixup-ecapa-mkd-cos", "mixup-ecapa-ch", "mixup-ecapa-mkd-ch")
SENTENCES_UNHEARD = ("a05", "b03")  # of EmoDB's ten
MOST_HEARD, NUM_UNHEARD = 24, 4  # utterances of a person; of each of LibriSpeech as many are not heard
LONGEST_S, UNHEARD_S = 3.0, 2.0
ECAPA = {"num_bands": 24, "channels": 32, "scale": 4, "kernel_sizes": [5, 3, 3, 1], "dilations": [1, 2, 3, 1]}
ECAPA |= {"pooled_channels": 64, "attention_channels": 16, "se_channels": 16, "dimension": 32}
LARGER = {"channels": 48, "pooled_channels": 96}
EPOCHS = {"age_adversarial": 7, "mixup_distillation": 3}


@contextmanager
def emodb_ages() -> Iterator[None]:
    """With the scheme of ages `SCHEME`."""
    with patch.dict(SCHEMES, {SCHEME: GROUPS}):
        yield


def small(name: str, seed: int, teacher: Path | None = None) -> Recipe:
    """A recipe for EmoDB and LibriSpeech on a processor: steps of 16 crops of 1 s, each, at a rate of 3e-3.

    So few steps need all that they hear: there is no augmentation but the masks of what is distilled, and a dropout of
    0.1.
    """
    recipe = recipes()[name]
    told = recipe.settings | {"scheme": SCHEME, "hidden": 32, "dropout": 0.1}
    told |= {"network": ECAPA | (LARGER if name == TEACHER else {})}
    if told.get("distance") is not None:
        told |= {"teacher": str(teacher)}
    is_mixup = recipe.system == "mixup_distillation"
    return replace(
        recipe,
        settings=told,
        batches=replace(recipe.batches, utterances=16, crop_s=(1.0, 1.0)),
        schedule=Constant(rate=3e-3),
        epochs=EPOCHS[recipe.system],
        augmentation=recipe.augmentation if is_mixup else AugmentationSettings(),
        accumulate=1,
        precision="float32",
        readers=1,
        seed=seed,
    )


class Spoken(NamedTuple):
    """What is learnt from, and what is not heard: other sentences of EmoDB, other utterances of LibriSpeech."""

    heard: Reader
    unheard: Reader  # of the same people
    strangers: Reader | None  # people who are not heard


def spoken(corpora: Path, cache: Path, strangers: Sequence[str] = ()) -> Spoken:
    """All of EmoDB, with sex and age, and of LibriSpeech, with sex, but for people such as `emodb/03`; decoded once."""
    heard, unheard, of_strangers = {}, {}, {}
    for who, paths in _files(corpora).items():
        if who in strangers:
            of_strangers[who] = paths
            continue
        is_out = [path.name[2:5] in SENTENCES_UNHEARD for path in paths]
        if not who.startswith("emodb"):
            is_out = [place % (len(paths) // NUM_UNHEARD) == 0 for place in range(len(paths))]
        unheard[who] = [path for path, out in zip(paths, is_out, strict=True) if out]
        kept = [path for path, out in zip(paths, is_out, strict=True) if not out]
        heard[who] = (
            [kept[place * len(kept) // MOST_HEARD] for place in range(MOST_HEARD)] if len(kept) > MOST_HEARD else kept
        )
    readers = []
    for files, longest_s in ((heard, LONGEST_S), (unheard, UNHEARD_S), (of_strangers, UNHEARD_S)):
        if not files:
            continue
        speech = _told(spoken_by(files, longest_s=longest_s), corpora)
        pcm_cache.write(speech, cache)
        readers.append(pcm_cache.MappedReader(speech, cache))
    return Spoken(*readers) if strangers else Spoken(*readers, None)


def _files(corpora: Path) -> dict[str, list[Path]]:
    """Of each person."""
    files: dict[str, list[Path]] = {}
    for path in sorted(corpora.glob("LibriSpeech/*/*/*/*.flac")):
        files.setdefault(f"librispeech/{path.parts[-3]}", []).append(path)
    for path in sorted(corpora.glob("emodb/wav/*.wav")):
        files.setdefault(f"emodb/{path.name[:2]}", []).append(path)
    return files


def _told(speech: Speech, corpora: Path) -> Speech:
    """With the sexes and ages that the corpora state."""
    sexes, years = {}, {}
    for line in (corpora / "LibriSpeech" / "SPEAKERS.TXT").read_text(encoding="utf-8").splitlines():
        if not line.startswith(";"):
            who, sex = (part.strip() for part in line.split("|")[:2])
            sexes[f"librispeech/{who}"] = {"F": "female", "M": "male"}[sex]
    with (corpora / "emodb" / "speakers.csv").open() as file:
        for row in csv.DictReader(file):
            sexes[f"emodb/{row['speaker']}"] = row["sex"]
            years[f"emodb/{row['speaker']}"] = (int(row["age"]), int(row["age"]))
    who = [speech.people[code] for code in speech.person]
    return replace(speech, sex=[sexes[one] for one in who], ages=[years.get(one) for one in who])


class Learnt(NamedTuple):
    """What a short run did."""

    loss: float  # less of it, of the same crops
    f1: float  # more of it in %, the mean of all tasks, on utterances unheard


def f1_of(system: System, reader: Reader) -> float:
    """In %, the mean of its tasks."""
    labels = codes(reader.speech, system.tasks, system.age_scheme)
    return 100 * (1 - Validation(reader=reader, longest_s=UNHEARD_S, labels=labels, batch_s=24.0)(system).error)


def loss_of(system: System, reader: Reader) -> float:
    """Its loss of the same crops of those whom it learns from, as in training; the system stays as it is."""
    speech, rng = reader.speech, np.random.default_rng(0)
    ages = classes_of(SCHEME)
    classes = {**{name: ages[name] for name in system.labels_needed}, **system.tasks}
    labels = {"person": speech.person, **codes(speech, classes, SCHEME)}
    known = np.flatnonzero(np.any([labels[task] >= 0 for task in system.tasks], axis=0))
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    system.train()
    found = []
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)  # dropout and masks
        for rows in (rng.choice(known, 64, replace=False) for _ in range(3)):
            wave = torch.from_numpy(reader.crops(rows, RATE_HZ, rng))
            of_rows = {name: torch.from_numpy(some[rows]) for name, some in labels.items()}
            found.append(float(system.losses(wave, of_rows)["loss"]))
    system.load_state_dict(before)
    return float(np.mean(found))


def learnt(name: str, seed: int, speech: Spoken, folder: Path, teacher: Path | None = None) -> tuple[System, Learnt]:
    """What a short run leaves, and what it gained on what it began with."""
    folder.mkdir()
    run = training(small(name, seed, teacher), speech.heard, folder)
    system = run._system
    loss, f1 = loss_of(system, speech.heard), f1_of(system, speech.unheard)
    with closing(run._run):
        run.train()
    return system, Learnt(loss - loss_of(system, speech.heard), f1_of(system, speech.unheard) - f1)


# Of each seed: one of each of EmoDB's groups, and a woman and a man of LibriSpeech, who are not heard.
STRANGERS = (
    ("emodb/09", "emodb/10", "librispeech/1998", "librispeech/2033"),
    ("emodb/11", "emodb/14", "librispeech/3331", "librispeech/2609"),
    ("emodb/15", "emodb/08", "librispeech/533", "librispeech/3005"),
)


def measure(corpora: Path) -> None:
    """Say what every recipe gains: on utterances unheard, and, of a run without them, F1 by task on strangers."""
    with TemporaryDirectory() as scratch, emodb_ages():
        root = Path(scratch)
        everybody = spoken(corpora, root / "cache")
        for seed, strangers in enumerate(STRANGERS, start=1):
            for what, speech in (("all", everybody), ("some", spoken(corpora, root / "cache", strangers))):
                teacher = root / f"teacher-{what}-{seed}"
                for name in (*ADVERSARIAL, *MIXUP):
                    system, gained = learnt(name, seed, speech, root / f"{name}-{what}-{seed}", teacher)
                    if name == TEACHER:
                        save_encoder(teacher, system)
                    told = f"loss less by {gained.loss:.3f}, F1 more by {gained.f1:.1f}"
                    if speech.strangers is not None:
                        told = "strangers: " + ", ".join(
                            f"{task} {100 * of_task:.1f}" for task, of_task in by_task(system, speech.strangers).items()
                        )
                    sys.stdout.write(f"seed {seed}, {name}: {told}\n")
                    sys.stdout.flush()


def by_task(system: System, reader: Reader) -> dict[str, float]:
    """Macro F1 of each."""
    labels = codes(reader.speech, system.tasks, system.age_scheme)
    told = Validation(reader=reader, longest_s=UNHEARD_S, labels=labels, batch_s=24.0).told(system)
    known = {task: labels[task] >= 0 for task in system.tasks}
    return {task: float(macro_f1(told[task][rows].argmax(axis=1), labels[task][rows])) for task, rows in known.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(Path(sys.argv[1]))
