"""Runs of the age systems' recipes on speech, of seconds: what they tell of people and sentences not heard.

.venv/bin/python -m tests.models.age_speech_made CORPORA [SEEDS]    # says what each recipe tells, for the READMEs
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.classes import macro_f1
from benchmarks.protocol import load_protocol
from curate.catalog import Catalog
from flows.building import build_benchmark
from models.common.augment import AugmentationSettings
from models.data import pcm_cache
from models.data.crops import Reader
from models.data.labels import codes
from models.data.speech import Speech, of_split
from models.mixup_distillation.recipe import save_encoder
from models.training.recipe import Recipe
from models.training.schedules import Exponential
from models.training.system import System
from models.training.systems import recipes
from models.training.validation import Validation
from tests.flows.protocols_made import filled, section
from tests.models import crowd_made
from tests.models.labelled_runs_made import noted, of_system, training

DESIGN = Path(__file__).parents[2] / "examples" / "emodb" / "design.toml"
SCHEME = load_protocol(str(DESIGN)).filters.age_scheme
SENTENCES_UNHEARD = ("a05", "b03")  # of EmoDB's ten
TOLD_S = 1.5  # that is heard of an utterance to tell its classes
NUM_PERMUTED = 40

ECAPA = {"num_bands": 24, "channels": 32, "scale": 2, "kernel_sizes": [5, 3, 1], "dilations": [1, 2, 1]}
ECAPA |= {"pooled_channels": 64, "attention_channels": 16, "se_channels": 16, "dimension": 32}
RESNET = {"num_bands": 24, "channels": 8, "blocks": [1, 1, 1, 1], "attention_channels": 16, "dimension": 32}
RAWNET2 = {"filters": 4, "filter_size": 31, "channels": [4, 4, 4, 8], "gru_size": 16, "dimension": 16}
NETWORKS = {"ecapa": ECAPA, "resnet": RESNET, "joined": {"ecapa": ECAPA, "rawnet2": RAWNET2}}
LARGER = {"ecapa": {"channels": 48, "pooled_channels": 96}, "resnet": {"blocks": [2, 1, 1, 1]}}  # teachers
CROWD, EMODB = "crowd", "emodb"
BATCHES = {  # crops, and their seconds
    CROWD: {"ecapa": (16, 0.8), "resnet": (16, 0.8), "joined": (12, 0.6)},
    EMODB: {"ecapa": (16, 1.2), "resnet": (12, 0.8), "joined": (12, 1.2)},
}
NUM_STEPS = {
    CROWD: {"ecapa": 36, "resnet": 45, "joined": 30},
    EMODB: {"ecapa": 60, "resnet": 60, "joined": 60},
}


def network_of(recipe: Recipe) -> str:
    """What of `NETWORKS` it trains."""
    told = recipe.settings
    return str(told["extractor"] if recipe.system == "age_adversarial" else told["architecture"])


def small(name: str, corpus: str, seed: int, *, teacher: Path | None = None) -> Recipe:
    """A recipe for some minutes of speech on a processor: 30 to 60 steps at rates that fall from 1e-2 to 5e-4.

    So few steps need all that they hear: no dropout, no augmentation but the masks of what is distilled. AM-softmax has
    a scale of 5: at 30 the loss of 36 people outweighs that of the ages until they are known. EmoDB's ages are told by
    the scheme of its design.
    """
    recipe = recipes()[name]
    kind, told = network_of(recipe), recipe.settings | {"hidden": 32, "dropout": 0.0}
    told["network"] = NETWORKS[kind] | (LARGER[kind] if name.endswith("teacher") else {})
    if corpus == EMODB:
        told["scheme"] = SCHEME
    if recipe.system == "age_adversarial":
        told["scale"] = 5.0
    elif told["distance"] is not None:
        told["teacher"] = str(teacher)
    utterances, crop_s = BATCHES[corpus][kind]
    is_distilled = told.get("distance") is not None
    return replace(
        recipe,
        settings=told,
        batches=replace(recipe.batches, utterances=utterances, crop_s=(crop_s, crop_s)),
        schedule=Exponential(first_rate=1e-2, last_rate=5e-4),
        epochs=1,
        steps_an_epoch=NUM_STEPS[corpus][kind],
        augmentation=recipe.augmentation if is_distilled else AugmentationSettings(),
        accumulate=1,
        precision="float32",
        readers=1,
        seed=seed,
    )


# ------------------------------------------------------------------------------------------------------- what is heard


class Spoken(NamedTuple):
    """What is learnt from, and what is told of afterwards."""

    heard: Reader
    unheard: Reader


def readers(heard: Speech, unheard: Speech, cache: Path) -> Spoken:
    """Decoded once."""
    for speech in (heard, unheard):
        pcm_cache.write(speech, cache)
    return Spoken(pcm_cache.MappedReader(heard, cache), pcm_cache.MappedReader(unheard, cache))


def crowd_of(folder: Path, cache: Path, system: str, seed: int) -> Spoken:
    """Half of the crowd, and the other half; of 20 to 69 years where the scheme is of decades."""
    years = {"youngest": 20, "oldest": 69} if system == "mixup_distillation" else {}
    return readers(*crowd_made.halves(crowd_made.speech(folder), seed, **years), cache)


def emodb(folder: Path, corpora: Path) -> Catalog:
    """A catalog of EmoDB as `curate run` leaves it where it finds no fault."""
    return filled(folder, [section("emodb", "emodb", corpora / "emodb")])


def actors_of(catalog: Catalog, cache: Path, seed: int) -> Spoken:
    """The split `train` of the design with another seed, and the actors of `dev` and `eval`."""
    design = replace(load_protocol(str(DESIGN)), name=f"emodb-ages-{seed}", seed=seed)
    build_benchmark(design, catalog, {})
    train, dev, evaluated = (of_split(catalog, design.name, split) for split in ("train", "dev", "eval"))
    return readers(train, dev.joined(evaluated), cache)


def sentences_of(catalog: Catalog, cache: Path) -> Spoken:
    """All actors: eight sentences of theirs, and two others."""
    design = load_protocol(str(DESIGN))
    build_benchmark(design, catalog, {})
    train, dev, evaluated = (of_split(catalog, design.name, split) for split in ("train", "dev", "eval"))
    everybody = train.joined(dev).joined(evaluated)
    is_out = np.array([path.name[2:5] in SENTENCES_UNHEARD for path in everybody.files])
    return readers(*(everybody.take(np.flatnonzero(some)) for some in (~is_out, is_out)), cache)


# ----------------------------------------------------------------------------------------------------- what is learnt


class Told(NamedTuple):
    """How well a task is told, as macro F1."""

    f1: float
    permuted: float  # where people have the classes of other people; the mean of some permutations
    chance: float  # the most that who knows nothing comes to on average: 1 / K of K classes


class Learnt(NamedTuple):
    """What a short run did."""

    first_loss: float  # the mean of its first five steps
    last_loss: float
    of_task: Mapping[str, Told]  # of the unheard


def learnt(recipe: Recipe, speech: Spoken, folder: Path) -> tuple[System, Learnt]:
    """What a short run leaves, and what it tells."""
    folder.mkdir(parents=True)
    run = training(recipe, speech.heard, folder)
    with closing(run._run):
        run.train()
    loss = noted(folder)["loss"]
    return run._system, Learnt(
        float(np.mean(loss[:5])), float(np.mean(loss[-5:])), told_by(run._system, speech.unheard)
    )


def told_by(system: System, reader: Reader) -> dict[str, Told]:
    """Of each of its tasks."""
    labels = codes(reader.speech, system.tasks, system.age_scheme)
    said = Validation(reader=reader, longest_s=TOLD_S, labels=labels, batch_s=32.0).told(system)
    found = {}
    for task, truth in labels.items():
        rows = np.flatnonzero(truth >= 0)
        guess, true, person = said[task][rows].argmax(axis=1), truth[rows], reader.speech.person[rows]
        permuted = np.mean([macro_f1(guess, other) for other in of_others(true, person)])
        found[task] = Told(float(macro_f1(guess, true)), float(permuted), 1 / len(np.unique(true)))
    return found


def of_others(true: NDArray[np.int64], person: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """(U,) classes where each person has those of another: utterances of one voice stay of one class."""
    rng, (who, first, place) = np.random.default_rng(0), np.unique(person, return_index=True, return_inverse=True)
    for _ in range(NUM_PERMUTED):
        yield true[first][rng.permutation(len(who))][place]


class Runs:
    """Runs on one kind of speech, each made once: teachers are asked for by several rows."""

    def __init__(self, corpus: str, folder: Path, spoken: Mapping[int, Spoken]) -> None:
        self._corpus, self._folder, self.spoken = corpus, folder, spoken
        self._done: dict[tuple[str, int], Learnt] = {}

    def of(self, name: str, seed: int) -> Learnt:
        """What a recipe learns on the speech of a seed."""
        if (name, seed) not in self._done:
            recipe, teacher = recipes()[name], None
            if recipe.settings.get("distance") is not None:
                trained = f"mixup-{recipe.settings['architecture']}-teacher"
                self.of(trained, seed)
                teacher = self._folder / f"{trained}-{seed}" / "encoder"
            place = self._folder / f"{name}-{seed}"
            made = small(name, self._corpus, seed, teacher=teacher)
            system, self._done[name, seed] = learnt(made, self.spoken[seed], place)
            if name.endswith("teacher"):
                save_encoder(place / "encoder", system)
        return self._done[name, seed]

    def seeds(self, name: str) -> list[int]:
        """By which a recipe is run: one on EmoDB where its network is ResNet, whose steps take thrice as long."""
        is_slow = self._corpus == EMODB and network_of(recipes()[name]) == "resnet"
        return list(self.spoken)[: 1 if is_slow else None]

    def mean(self, name: str, task: str) -> Told:
        """Of its seeds."""
        told = [self.of(name, seed).of_task[task] for seed in self.seeds(name)]
        return Told(*(float(np.mean(some)) for some in zip(*told, strict=True)))

    def require_told(self, name: str, task: str, *, margin: float, each: bool = True) -> None:
        """By the mean of its seeds so much better than by chance, and where `each` by that of each seed better."""
        for seed in self.seeds(name):
            told = self.of(name, seed).of_task[task]
            assert not each or told.f1 > max(told.chance, told.permuted), (seed, told)
        mean = self.mean(name, task)
        assert mean.permuted < mean.chance + 0.04, mean
        assert mean.f1 >= mean.chance + margin, mean

    def require_less_loss(self, name: str) -> None:
        """At the end than at the beginning."""
        for seed in self.seeds(name):
            found = self.of(name, seed)
            assert found.last_loss < found.first_loss, (seed, found)


def told_of(runs: Runs, name: str, task: str) -> str:
    """F1 of a task in %."""
    of_each = " ".join(f"{100 * runs.of(name, seed).of_task[task].f1:.0f}" for seed in runs.seeds(name))
    mean = runs.mean(name, task)
    return f"{task} {of_each}, mean {100 * mean.f1:.1f}, permuted {100 * mean.permuted:.1f}"


def measure(corpora: Path, seeds: list[int]) -> None:
    """Say what every recipe tells of the unheard: F1 of each seed, the mean, and that of people's classes permuted."""
    with TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "crowd").mkdir()
        crowd_made.write(root / "crowd")
        catalog = emodb(root / "emodb", corpora)
        for system in ("age_adversarial", "mixup_distillation"):
            of_crowd = {seed: crowd_of(root / "crowd", root / "cache", system, seed) for seed in seeds}
            is_mixup = system == "mixup_distillation"
            if is_mixup:
                of_emodb = {seed: actors_of(catalog, root / "cache", seed) for seed in seeds[:2]}
            else:
                of_emodb = {seeds[0]: sentences_of(catalog, root / "cache")}
            for corpus, spoken in ((CROWD, of_crowd), (EMODB, of_emodb)):
                runs = Runs(corpus, root / f"{system}-{corpus}", spoken)
                names = [name for name in of_system(system) if corpus == CROWD or "leq17" not in name]
                for name in names:
                    started = process_time()
                    tasks = runs.of(name, seeds[0]).of_task
                    said = [told_of(runs, name, task) for task in tasks]
                    used_s = process_time() - started
                    sys.stdout.write(f"{corpus} {name} ({used_s:.1f} s): {'; '.join(said)}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(Path(sys.argv[1]).resolve(), [int(word) for word in sys.argv[2:]] or [1, 2, 3])
