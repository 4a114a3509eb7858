"""`curate test`: what a trained run comes to on a benchmark: classes that it tells, trials that it scores, pictures.

Figures go to the catalog's tables `class_results` and `results`, all else below the run (`flows.tested`). What is heard
of an utterance are its first twenty seconds, as at the end of training, and of one that is read sixty; trials may be
scored by less as well, under another name.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import class_results
from benchmarks.class_results import GROUP, SUBGROUP, Told
from benchmarks.evaluation import names_in, plain, results_part
from benchmarks.intervals import MIN_PEOPLE
from benchmarks.scoring import cosine_scores
from curate.catalog import Catalog, read_parquet
from curate.errors import CatalogError, ListError, TrainingError
from curate.explain import counted
from curate.export.chosen import benchmark_of
from curate.runs import Step, content_fingerprint, last_done, take_note
from curate.schema import CLASS_RESULTS, RESULTS, RUNS, SPLITS, TRIALS
from curate.similarity import unit
from flows import evaluating, layers, seeds, tested, transcribed
from flows.code import TESTING
from flows.listed import Listed, listed
from flows.measured import Beside, Measured
from flows.scoring import asked_of, require_catalog
from flows.tested import Answer, Vectors
from models.data.crops import FileReader
from models.data.labels import codes, group_of_subgroup
from models.data.speech import Speech, of_split, of_utterances
from models.training.processes import together
from models.training.run import LONGEST_S
from models.training.system import System
from models.training.trained import load_run, people_of
from models.training.validation import Validation

SPLITS_TESTED = ("eval", "test")  # where none is named: the first that there is
OF_FIRST = re.compile(r".*(_first-[0-9.]+s)")  # what a system is called of which beginnings are heard


def measure(
    run: Path,
    catalog: Catalog,
    *,
    benchmark: str | None,
    split: str | None,
    lists: Sequence[str],
    system: str | None,
    first_s: float | None = None,
    with_layers: bool = False,
    seed: int,
    device: str,
) -> Measured:
    """Hear the split and the lists, write and publish what comes of it.

    With `first_s` trials are scored a second time, by the first so many seconds of both sides (Vaessen and van Leeuwen
    2023, table 3), as a system of another name; `with_layers` also by each layer (`flows.layers`). Raises TrainingError
    for a folder that is no complete run, a split that is not there or a system without layers, CatalogError and
    ListError for a list that it cannot score.
    """
    require_catalog(catalog)
    trained, recipe = load_run(run)
    name = _name(system or recipe.name)
    if with_layers and not trained.has_layers:
        raise TrainingError(f"--layers: {run}: {recipe.system} tells none; expected a run of disjoint_mtl")
    with catalog.as_one():
        benchmark = benchmark_of(catalog, benchmark)
        split = _split(catalog, benchmark, split)
        speech = of_split(catalog, benchmark, split)
        chosen, remarks = _lists(catalog, benchmark, lists)
        whole = _union(catalog, benchmark, speech, chosen)
    folder = run / "tests" / f"{plain(benchmark)}-{plain(split)}"
    with together(device) as processes:
        trained.to(processes.device)
        vectors, told = _vectors(run, trained, whole), _told(trained, speech)
        of_first = {}
        if first_s is not None and chosen:
            of_first = {first_s: _vectors(run, trained, whole, longest_s=first_s)}
        elif first_s is not None:
            remarks.append(f"first {first_s:g} s: no list to score")
        of_layers = layers.NONE
        if with_layers:
            of_layers = layers.measure(run, trained, whole, chosen, folder, title=f"{benchmark}: {name}")
        of_texts, unread, texts = transcribed.read(
            trained, speech, folder, benchmark=benchmark, split=split, system=name, seed=seed
        )
    classes = _class_rows(trained, speech, told, benchmark=benchmark, split=split, system=name, seed=seed)
    classes = pa.concat_tables([classes, of_texts])
    results, of_lists = _score(catalog, chosen, whole, {None: vectors} | of_first, system=name, seed=seed, run=run)
    if len(classes):
        _publish(catalog, classes, told, {"seed": seed, "run": run.name})
    left = tested.leave_behind(
        folder,
        speech,
        told,
        vectors[pc.index_in(speech.utterance_ids, value_set=whole.utterance_ids).to_numpy()],
        trained.age_scheme or _scheme_of(catalog, benchmark),
        title=f"{benchmark}, {split}: {name}",
        seed=seed,
    )
    people = {f"split {split}": speech.people} | {f"list {one.name}": _people_of(one) for one in chosen}
    return Measured(
        about=f"{name}: {benchmark}, split {split}, {counted(len(speech), 'utterance')} of "
        f"{counted(len(speech.people), 'person', 'people')}",
        classes=classes,
        results=results,
        first_s=first_s,
        layers=of_layers.rows,
        papers=_papers(benchmark, classes, results, [one.name for one in chosen], name),
        remarks=[
            *(*remarks, *of_lists, *of_layers.remarks),
            *(*_left_out(told), *unread, *_no_interval(classes), *_heard_before(run, people)),
        ],
        files=[*texts, *of_layers.files, *left],
    )


# ---------------------------------------------------------------------------------------------------- what is measured


def name_of_first(system: str, first_s: float) -> str:
    """What a system is called of which the first seconds are heard; as `flows.systems` calls one."""
    return f"{system}_first-{first_s:.12g}s"


def _name(asked: str) -> str:
    """What the run is called. Raises ListError for what may not name a file, or is what beginnings are called by."""
    if plain(asked) != asked:
        raise ListError(f"--system {asked!r}: names a file; expected letters, digits and any of _.+=@-")
    if found := OF_FIRST.fullmatch(asked):
        raise ListError(f"--system {asked!r}: {found[1]!r} is what --first-s adds; expected a name without it")
    return asked


def _split(catalog: Catalog, benchmark: str, asked: str | None) -> str:
    if asked is not None:
        return asked
    there = catalog.read(SPLITS, benchmark)["split"].unique().to_pylist()
    return next((name for name in SPLITS_TESTED if name in there), SPLITS_TESTED[0])


def _lists(catalog: Catalog, benchmark: str, asked: Sequence[str]) -> tuple[list[Listed], list[str]]:
    """The lists asked for, or all that can be scored, and why others cannot be.

    Raises CatalogError or ListError for one asked for.
    """
    path = catalog.path(TRIALS, benchmark)
    has_part = benchmark in catalog.parts(TRIALS)
    there = sorted(read_parquet(path, ["list"])["list"].unique().to_pylist()) if has_part else []
    if unknown := [name for name in asked if name not in there]:
        expected = ", ".join(there) or "none: it has no lists"
        raise CatalogError(f"{benchmark}: no list {unknown[0]!r}; expected {expected}")
    known = set(catalog.read(SPLITS, benchmark)["utterance_id"].to_pylist())
    found, remarks = [], []
    for name in dict.fromkeys(asked or there):
        one = listed(f"{benchmark}/{name}", catalog)
        if reason := _why_not(one, known):
            if asked:
                raise ListError(f"{one.place}: {reason}")
            remarks.append(f"list {name}: not scored: {reason}")
        else:
            found.append(one)
    return found, remarks


def _why_not(one: Listed, known: set[str]) -> str | None:
    """Why a list cannot be scored; None where it can."""
    num_targets = int(one.is_target.sum())
    if num_targets in (0, len(one.is_target)):
        return f"{num_targets} targets of {len(one.is_target)} trials; expected both kinds"
    if strangers := [name for name in names_in(one.trials) if name not in known]:
        return f"{len(strangers)} of its sides are no utterances of the splits; expected a list of utterances"
    return None


def _union(catalog: Catalog, benchmark: str, speech: Speech, chosen: Sequence[Listed]) -> Speech:
    """The utterances of the split and of the lists, each once."""
    asked = pa.array(
        sorted({*speech.utterance_ids.to_pylist(), *(name for one in chosen for name in names_in(one.trials))})
    )
    if len(asked) == len(speech):
        return speech
    splits = catalog.read(SPLITS, benchmark)
    rows = splits.filter(pc.is_in(splits["utterance_id"], value_set=asked))
    return of_utterances(catalog, rows.select(["utterance_id", "identity_id"]))


def _people_of(one: Listed) -> list[str]:
    return sorted({one.person[name] for name in names_in(one.trials)}) if one.person is not None else []


def _vectors(run: Path, trained: System, speech: Speech, *, longest_s: float = LONGEST_S) -> Vectors:
    """(U, D) of unit length. Raises TrainingError."""
    vectors = Validation(reader=FileReader(speech), longest_s=longest_s).vectors(trained)
    if not vectors.any(axis=1).all():
        raise TrainingError(f"{run}: a vector is zero: the system has collapsed; expected one that has learnt")
    return unit(vectors)


def _told(trained: System, speech: Speech) -> list[Answer]:
    """Of each task what is said and true of the utterances."""
    if not trained.tasks:
        return []
    likely = Validation(reader=FileReader(speech), longest_s=LONGEST_S).told(trained)
    truth = codes(speech, trained.tasks, trained.age_scheme)
    found = []
    for task, names in trained.tasks.items():
        said = likely[task].argmax(axis=1).astype(np.int64)
        told = Told(task=task, classes=tuple(names), said=said, truth=truth[task], person=speech.person)
        found.append(Answer(told, likely[task]))
    return found


def _score(
    catalog: Catalog,
    chosen: Sequence[Listed],
    speech: Speech,
    vectors: Mapping[float | None, Vectors],
    *,
    system: str,
    seed: int,
    run: Path,
) -> tuple[pa.Table, list[str]]:
    """The figures of all lists, which are published, and what a reader must be told beside them.

    `vectors` are of the first so many seconds of utterances; None: of whole ones.
    """
    tables, remarks = [RESULTS.arrow().empty_table()], []
    for first_s, one in product(vectors, chosen):
        metrics = asked_of(catalog, one.benchmark)[0]
        scores = cosine_scores(one.trials, speech.utterance_ids, vectors[first_s])
        called = system if first_s is None else name_of_first(system, first_s)
        found = evaluating.evaluated(one, scores, system=called, metrics=metrics, by=[], seed=seed)
        settings = {"metrics": [asdict(metric) for metric in metrics], "seed": seed, "run": run.name}
        settings |= {} if first_s is None else {"first_s": first_s}
        evaluating.publish(catalog, one, found, scores, settings)
        tables.append(found.rows)
        heard = "" if first_s is None else f", first {first_s:g} s"
        remarks += [f"list {one.name}{heard}: {line}" for line in found.remarks]
    return pa.concat_tables(tables), remarks


def _class_rows(
    trained: System, speech: Speech, told: Sequence[Answer], *, benchmark: str, split: str, system: str, seed: int
) -> pa.Table:
    found, about = [CLASS_RESULTS.arrow().empty_table()], (benchmark, split, system)
    for one, _ in told:
        found.append(class_results.class_rows(one, *about, rng=_rng(seed, one.task)))
    said = {one.task: one.said for one, _ in told}
    if GROUP in said and SUBGROUP in said and trained.age_scheme is not None:
        contradicts = class_results.contradicts(said[GROUP], said[SUBGROUP], group_of_subgroup(trained.age_scheme))
        rng = _rng(seed, class_results.CONTRADICTION)
        found.append(class_results.contradiction_rows(contradicts, speech.person, *about, rng=rng))
    return pa.concat_tables(found)


def _rng(seed: int, what: str) -> np.random.Generator:
    return np.random.default_rng([seed, seeds.INTERVALS, *f"classes of {what}".encode()])


def _scheme_of(catalog: Catalog, benchmark: str) -> str | None:
    """The age scheme that the benchmark was built by."""
    if not catalog.parts(RUNS):
        return None
    for row in last_done(catalog):
        if (row["step"], row["part"]) == ("build", benchmark):
            scheme: str | None = json.loads(row["settings"])["protocol"]["filters"]["age_scheme"]
            return scheme
    return None


# -------------------------------------------------------------------------------------------------- what must be said


def _left_out(told: Sequence[Answer]) -> list[str]:
    """Utterances, task by task, of which the class is not known."""
    lines = []
    for one, _ in told:
        if num := int((~one.is_known).sum()):
            lines.append(f"{one.task}: {num} of {len(one.truth)} utterances left out: their {one.task} is not known")
    return lines


def _no_interval(classes: pa.Table) -> list[str]:
    """How many figures of each task have none."""
    without, of_all = Counter[str](), Counter[str]()
    for row in classes.to_pylist():
        of_all[row["task"]] += row["value"] is not None
        without[row["task"]] += row["value"] is not None and row["lower"] is None
    told = ", ".join(f"{num} of {of_all[task]} figures of {task}" for task, num in without.items() if num)
    return [f"no interval of {told}: it takes {MIN_PEOPLE} people of each class, whose draws differ"] if told else []


def _heard_before(run: Path, sides: Mapping[str, Sequence[str]]) -> list[str]:
    """Who of each side was in training."""
    trained_on, lines = people_of(run), []
    for side, people in sides.items():
        if both := trained_on & {*people}:
            lines.append(
                f"{side}: {len(both)} of its {counted(len(people), 'person', 'people')} were in training: its figures "
                "say little of people who were not"
            )
    return lines


def _papers(benchmark: str, classes: pa.Table, results: pa.Table, lists: Sequence[str], system: str) -> list[Beside]:
    """What the benchmark's paper reports of classes and of these lists, all of it of whole utterances."""
    rows = [row for row in results.to_pylist() if row["system"] == system]
    of_lists = {(row["list"], row["metric"]): row["value"] for row in rows}
    of_classes = class_results.beside_papers(classes, evaluating.published(benchmark, "none"))
    found = [Beside(figure=figure, ours=ours) for figure, ours in of_classes] if len(classes) else []
    for name in lists:
        figures = evaluating.published(benchmark, name)
        found += [Beside(figure=one, ours=of_lists.get((name, one.metric))) for one in figures]
    return found


# ------------------------------------------------------------------------------------------------- what is left behind


def _publish(catalog: Catalog, classes: pa.Table, told: Sequence[Answer], settings: Mapping[str, Any]) -> None:
    about = {name: classes[name][0].as_py() for name in ("benchmark", "split", "system")}
    part = results_part(*about.values())
    said = hashlib.sha256(b"".join(likely.tobytes() for _, likely in told)).hexdigest()
    figures = {(row["task"], row["metric"]): row["value"] for row in classes.to_pylist()}
    shown = [f"{task} {100 * value:.2f} %" for (task, metric), value in figures.items() if metric == "macro f1"]
    summary = f"macro F1 of {', '.join(shown) or 'nothing known'} ({about['system']}, {about['split']})"
    step = Step(
        catalog=catalog,
        name="test",
        part=part,
        settings={**settings, **about, "said": said, "figures": content_fingerprint(classes)},
        code=TESTING,
        publishes=[(CLASS_RESULTS, part)],
        compute=lambda step: ([classes], summary),
    )
    with catalog.locked():
        take_note(catalog, step.carry_out())
