"""Runs of the age systems' recipes on speech, of seconds: what they tell of people and sentences not heard.

.venv/bin/python -m tests.models.age_speech_made CORPORA [FIRST_SEED]    # says what each recipe tells, for the READMEs
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import mean
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
from models.data.crops import Reader
from models.data.labels import codes
from models.data.speech import of_split
from models.mixup_distillation.recipe import save_encoder
from models.training.recipe import Recipe
from models.training.schedules import Exponential
from models.training.system import System
from models.training.systems import recipes
from models.training.validation import Validation
from tests.flows.protocols_made import filled, section
from tests.models import demo_people_made
from tests.models.demo_people_made import Held, held
from tests.models.labelled_runs_made import noted, of_system, training

DESIGN = Path(__file__).parents[2] / "examples" / "emodb" / "design.toml"
SCHEME = load_protocol(str(DESIGN)).filters.age_scheme
SENTENCES_UNHEARD = ("a05", "b03")  # of EmoDB's ten
TOLD_S = 1.5  # that is heard of an utterance to tell its classes
NUM_PERMUTED = 1_000

ECAPA = {"num_bands": 24, "channels": 32, "scale": 2, "kernel_sizes": [5, 3, 1], "dilations": [1, 2, 1]}
ECAPA |= {"pooled_channels": 64, "attention_channels": 16, "se_channels": 16, "dimension": 32}
RESNET = {"num_bands": 24, "channels": 8, "blocks": [1, 1, 1, 1], "attention_channels": 16, "dimension": 32}
RAWNET2 = {"filters": 4, "filter_size": 31, "channels": [4, 4, 4, 8], "gru_size": 16, "dimension": 16}
NETWORKS = {"ecapa": ECAPA, "resnet": RESNET, "joined": {"ecapa": ECAPA, "rawnet2": RAWNET2}}
LARGER = {"ecapa": {"channels": 48, "pooled_channels": 96}, "resnet": {"blocks": [2, 1, 1, 1]}}  # teachers
DEMO, EMODB = "demo", "emodb"
BATCHES = {  # crops, and their seconds
    DEMO: {"ecapa": (16, 0.8), "resnet": (16, 0.8), "joined": (12, 0.6)},
    EMODB: {"ecapa": (16, 1.2), "resnet": (12, 0.8), "joined": (8, 1.2)},
}
NUM_STEPS = {
    DEMO: {"ecapa": 24, "resnet": 36, "joined": 24},
    EMODB: {"ecapa": 36, "resnet": 60, "joined": 40},
}


def network_of(recipe: Recipe) -> str:
    """What of `NETWORKS` it trains."""
    told = recipe.settings
    return str(told["extractor"] if recipe.system == "age_adversarial" else told["architecture"])


def small(name: str, corpus: str, seed: int, *, teacher: Path | None = None) -> Recipe:
    """A recipe for some minutes of speech on a processor: 24 to 60 steps at rates that fall from 1e-2 to 5e-4.

    So few steps need all that they hear: no dropout, no augmentation but the masks of what is distilled. AM-softmax has
    a scale of 5: at 30 the loss of 20 people outweighs that of the ages until they are known. EmoDB's ages are told by
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


def demo_of(everybody: Held, seed: int) -> Spoken:
    """Two thirds of the demo's people, and the others."""
    return Spoken(*demo_people_made.split(everybody, seed))


def emodb(folder: Path, corpora: Path) -> Catalog:
    """A catalog of EmoDB as `curate run` leaves it where it finds no fault."""
    return filled(folder, [section("emodb", "emodb", corpora / "emodb")])


def actors_of(catalog: Catalog, everybody: Held, seed: int) -> Spoken:
    """The split `train` of the design with another seed, and the actors of `dev` and `eval`."""
    design = replace(load_protocol(str(DESIGN)), name=f"emodb-ages-{seed}", seed=seed)
    build_benchmark(design, catalog, {})
    heard = {*of_split(catalog, design.name, "train").utterance_ids.to_pylist()}
    return parted(everybody, np.array([name in heard for name in everybody.speech.utterance_ids.to_pylist()]))


def all_of(catalog: Catalog) -> Held:
    """All actors."""
    design = load_protocol(str(DESIGN))
    build_benchmark(design, catalog, {})
    train, dev, evaluated = (of_split(catalog, design.name, split) for split in ("train", "dev", "eval"))
    return held(train.joined(dev).joined(evaluated))


def sentences_of(everybody: Held) -> Spoken:
    """All actors: eight sentences of theirs, and two others."""
    return parted(everybody, np.array([path.name[2:5] not in SENTENCES_UNHEARD for path in everybody.speech.files]))


def by_sex(everybody: Held) -> Held:
    """With ages by which women are young and men adult in `SCHEME`, the older half of each in its second subgroup.

    What ten voices of 21 to 35 years cannot teach of age they can of sex: so the systems of age groups have an easy
    task, whose subgroups are of the true ages. There are no seniors.
    """
    ages = []
    for sex, stated in zip(everybody.speech.sex, everybody.speech.ages, strict=True):
        assert sex
        assert stated
        # from which of the actors' ages on about half of a sex is older, and an age in each subgroup of `SCHEME`
        older_from, younger, older = {"female": (32, 20, 24), "male": (30, 28, 31)}[sex]
        ages.append((older if stated[0] >= older_from else younger,) * 2)
    return Held(replace(everybody.speech, ages=ages), everybody.samples)


def parted(everybody: Held, is_heard: NDArray[np.bool_]) -> Spoken:
    """By (U,) flags."""
    return Spoken(*(everybody.take(np.flatnonzero(some)) for some in (is_heard, ~is_heard)))


# ----------------------------------------------------------------------------------------------------- what is learnt


class Told(NamedTuple):
    """What is told of one task, of the utterances of which it is known."""

    likely: NDArray[np.float32]  # (U, K)
    true: NDArray[np.int64]  # (U,)
    person: NDArray[np.str_]  # (U,) by name: one person is of one class

    @property
    def f1(self) -> float:
        """Macro F1."""
        return float(macro_f1(self.likely.argmax(axis=1), self.true))

    @property
    def chance(self) -> float:
        """The most that who knows nothing comes to on average: 1 / K of K classes."""
        return 1 / len(np.unique(self.true))

    def permuted(self) -> NDArray[np.float64]:
        """(R,) macro F1 where people have the classes of other people: utterances of one voice stay of one class."""
        _, first, place = np.unique(self.person, return_index=True, return_inverse=True)
        said = np.zeros((len(first), self.likely.shape[1]))  # how often each class is said of each person
        np.add.at(said, (place, self.likely.argmax(axis=1)), 1)
        of_others = np.random.default_rng(0).permuted(np.tile(self.true[first], (NUM_PERMUTED, 1)), axis=1)
        confusion = np.eye(said.shape[1])[of_others].swapaxes(1, 2) @ said  # (R, K, K): rows are true, columns said
        known = np.unique(self.true)
        right, total = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=1) + confusion.sum(axis=2)
        of_classes: NDArray[np.float64] = 2 * right[:, known] / total[:, known]
        return of_classes.mean(axis=1)


def pooled(some: Sequence[Told]) -> Told:
    """Of several runs, as if one had said it all."""
    return Told(*(np.concatenate(parts) for parts in zip(*some, strict=True)))


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
    who = np.array(reader.speech.people)[reader.speech.person]
    return {task: Told(said[task][true >= 0], true[true >= 0], who[true >= 0]) for task, true in labels.items()}


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

    def told(self, name: str, task: str) -> list[Told]:
        """Of each seed."""
        return [self.of(name, seed).of_task[task] for seed in self.spoken]

    def require_less_loss(self, name: str) -> None:
        """At the end than at the beginning."""
        for seed in self.spoken:
            found = self.of(name, seed)
            assert found.last_loss < found.first_loss, (seed, found.first_loss, found.last_loss)

    def require_told(self, name: str, task: str, *, margin: float) -> None:
        """By the mean of its seeds so much better than by chance, and than with the classes of others."""
        told = self.told(name, task)
        f1, chance = mean(one.f1 for one in told), mean(one.chance for one in told)
        permuted = mean(float(one.permuted().mean()) for one in told)
        assert permuted < chance + 0.04, permuted
        assert f1 >= chance + margin, [one.f1 for one in told]


def require_beyond_chance(told: Told, share: float = 0.95) -> None:
    """Better than of this share of permutations of people: by those, and not by utterances, it is counted."""
    bound = float(np.quantile(told.permuted(), share))
    assert told.f1 > bound, (told.f1, bound)


def told_of(runs: Runs, name: str, task: str) -> str:
    """F1 of a task in %."""
    told = runs.told(name, task)
    together = pooled(told)
    of_each = " ".join(f"{100 * one.f1:.0f}" for one in told)
    share = (together.permuted() >= together.f1).mean()
    return f"{task} {of_each}, mean {100 * mean(one.f1 for one in told):.0f}, p {share:.3f}"


def measure(corpora: Path, first: int) -> None:
    """Say what every recipe tells of the unheard: F1 of each seed, the mean, and how many permutations do as well."""
    with TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "demo").mkdir()
        demo_people_made.write(root / "demo")
        people = demo_people_made.people(root / "demo")
        catalog = emodb(root / "emodb", corpora)
        actors = all_of(catalog)
        of_demo = {seed: demo_of(people, seed) for seed in range(first, first + 3)}
        five = range(first, first + 5)
        of_actors = {seed: actors_of(catalog, actors, seed) for seed in five}
        of_sexes = {seed: actors_of(catalog, by_sex(actors), seed) for seed in five}
        of_sentences = dict.fromkeys((first, first + 1), sentences_of(actors))
        for system, of_emodb in (("age_adversarial", (of_sexes, of_sentences)), ("mixup_distillation", (of_actors,))):
            for i, spoken in enumerate((of_demo, *of_emodb)):
                corpus = EMODB if i else DEMO
                runs = Runs(corpus, root / f"{system}-{i}", spoken)
                for name in of_system(system):
                    if corpus == EMODB and "leq17" in name:
                        continue
                    started = process_time()
                    tasks = runs.of(name, first).of_task
                    said = [told_of(runs, name, task) for task in tasks]
                    used_s = process_time() - started
                    sys.stdout.write(f"{corpus} {name} ({used_s:.1f} s): {'; '.join(said)}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
