"""`curate test`: what a trained run comes to on a benchmark: classes that it tells, trials that it scores, pictures.

Figures go to the catalog's tables `class_results` and `results`, all else below the run (`flows.tested`). What is heard
of an utterance are its first twenty seconds, as at the end of training.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import class_results
from benchmarks.class_results import ALL, GROUP, SUBGROUP, Told
from benchmarks.evaluation import names_in, plain, results_part
from benchmarks.intervals import MIN_PEOPLE
from benchmarks.protocol import Figure
from benchmarks.scoring import cosine_scores
from curate.catalog import Catalog, read_parquet
from curate.errors import CatalogError, ListError, TrainingError
from curate.explain import counted
from curate.export.chosen import benchmark_of
from curate.query import as_table
from curate.runs import Step, content_fingerprint, last_done, take_note
from curate.schema import CLASS_RESULTS, RESULTS, RUNS, SPLITS, TRIALS
from curate.similarity import unit
from flows import evaluating, seeds, tested, transcribed
from flows.code import TESTING
from flows.listed import Listed, listed
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
OF_PAPERS = ["published by", "list", "metric", "value", "ours", "where"]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A figure of the benchmark's paper, and ours where it was computed."""

    figure: Figure
    ours: float | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found of a run."""

    about: str
    classes: pa.Table  # rows of CLASS_RESULTS
    results: pa.Table  # rows of RESULTS
    papers: list[Beside]
    remarks: list[str]
    files: list[Path]


def measure(
    run: Path,
    catalog: Catalog,
    *,
    benchmark: str | None,
    split: str | None,
    lists: Sequence[str],
    system: str | None,
    seed: int,
    device: str,
) -> Measured:
    """Hear the split and the lists, write and publish what comes of it.

    Raises TrainingError for a folder that is no complete run or a split that is not there, CatalogError and ListError
    for a list that it cannot score.
    """
    require_catalog(catalog)
    trained, recipe = load_run(run)
    name = system or recipe.name
    if plain(name) != name:
        raise ListError(f"--system {name!r}: names a file; expected letters, digits and any of _.+=@-")
    benchmark = benchmark_of(catalog, benchmark)
    split = _split(catalog, benchmark, split)
    speech = of_split(catalog, benchmark, split)
    chosen, remarks = _lists(catalog, benchmark, lists)
    whole = _union(catalog, benchmark, speech, chosen)
    folder = run / "tests" / f"{plain(benchmark)}-{plain(split)}"
    with together(device) as processes:
        trained.to(processes.device)
        vectors, told = _vectors(run, trained, whole), _told(trained, speech)
        of_texts, unread, texts = transcribed.read(
            trained, speech, folder, benchmark=benchmark, split=split, system=name, seed=seed
        )
    classes = _class_rows(trained, speech, told, benchmark=benchmark, split=split, system=name, seed=seed)
    classes = pa.concat_tables([classes, of_texts])
    results, of_lists = _score(catalog, chosen, whole, vectors, system=name, seed=seed, run=run)
    if len(classes):
        _publish(catalog, classes, told, {"seed": seed, "run": run.name})
    files = texts + tested.leave_behind(
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
        papers=_papers(benchmark, classes, results, [one.name for one in chosen]),
        remarks=[*remarks, *of_lists, *_left_out(told), *unread, *_no_interval(classes), *_heard_before(run, people)],
        files=files,
    )


# ---------------------------------------------------------------------------------------------------- what is measured


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


def _vectors(run: Path, trained: System, speech: Speech) -> Vectors:
    """(U, D) of unit length. Raises TrainingError."""
    vectors = Validation(reader=FileReader(speech), longest_s=LONGEST_S).vectors(trained)
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
    catalog: Catalog, chosen: Sequence[Listed], speech: Speech, vectors: Vectors, *, system: str, seed: int, run: Path
) -> tuple[pa.Table, list[str]]:
    """The figures of all lists, which are published, and what a reader must be told beside them."""
    tables, remarks = [RESULTS.arrow().empty_table()], []
    for one in chosen:
        metrics = asked_of(catalog, one.benchmark)[0]
        scores = cosine_scores(one.trials, speech.utterance_ids, vectors)
        found = evaluating.evaluated(one, scores, system=system, metrics=metrics, by=[], seed=seed)
        settings = {"metrics": [asdict(metric) for metric in metrics], "seed": seed, "run": run.name}
        evaluating.publish(catalog, one, found, scores, settings)
        tables.append(found.rows)
        remarks += [f"list {one.name}: {line}" for line in found.remarks]
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
    """Which figures of classes have none."""
    rows = [row for row in classes.to_pylist() if row["lower"] is None and row["value"] is not None]
    of = dict.fromkeys(row["class_name"] if row["class_name"] != ALL else row["metric"] for row in rows)
    if not of:
        return []
    told = f"it takes {MIN_PEOPLE} people of each class, whose draws differ"
    return [f"no interval, or not of every figure, of {', '.join(of)}: {told}"]


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


def _papers(benchmark: str, classes: pa.Table, results: pa.Table, lists: Sequence[str]) -> list[Beside]:
    """What the benchmark's paper reports of classes and of these lists."""
    of_lists = {(row["list"], row["metric"]): row["value"] for row in results.to_pylist()}
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


# ------------------------------------------------------------------------------------------------------------ in words


def in_words(found: Measured) -> str:
    """All of it, as it is printed."""
    blocks = [found.about]
    if len(found.classes):
        of_classes = class_table(found.classes)
        blocks.append(as_table(*of_classes) if of_classes[1] else "")  # what is read has no classes
        blocks.append("\n".join(_shares(found.classes)))
    if len(found.results):
        head, rows = evaluating.as_rows(found.results)
        lists = found.results["list"].to_pylist()
        blocks.append(as_table(["list", *head[1:]], [(name, *row[1:]) for name, row in zip(lists, rows, strict=True)]))
    if found.papers:
        rows = [
            (one.figure.system, one.figure.list, one.figure.metric, one.figure.value, one.ours, one.figure.where)
            for one in found.papers
        ]
        blocks.append(as_table(OF_PAPERS, rows))
    conventions = [*class_results.conventions(found.classes), *evaluating.conventions(found.results)]
    blocks.append("\n".join([*conventions, *found.remarks]))
    blocks.append("\n".join(map(str, found.files)))
    return "\n\n".join(block for block in blocks if block)


def class_table(classes: pa.Table) -> evaluating.Table:
    """A row for each class of each task, and for each kind of mean."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for row in classes.to_pylist():
        mean, _, metric = row["metric"].rpartition(" ")
        if metric in class_results.OF_A_CLASS:
            key = row["task"], f"{mean} mean" if mean else row["class_name"]
            cells.setdefault(key, {})[metric] = _cell(row)
            counts[key] = row["num_utterances"], row["num_people"]
    rows = [(*key, *(of_key[name] for name in class_results.OF_A_CLASS), *counts[key]) for key, of_key in cells.items()]
    return ["task", "class", *class_results.OF_A_CLASS, "utterances", "people"], rows


def _shares(classes: pa.Table) -> list[str]:
    """What is of a whole task, and no mean."""
    of_tasks = ("accuracy", class_results.CONTRADICTION, "wer", "cer")
    rows = [row for row in classes.to_pylist() if row["metric"] in of_tasks]
    return [f"{row['task']}: {row['metric']} {_cell(row)} of {row['num_utterances']} utterances" for row in rows]


def _cell(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "-"
    ends = "" if row["lower"] is None else f" [{row['lower']:.4f}, {row['upper']:.4f}]"
    return f"{row['value']:.4f}{ends}"


def as_json(found: Measured) -> str:
    """All of it, for programs."""
    papers = [{**asdict(one.figure), "ours": one.ours} for one in found.papers]
    told = {"classes": found.classes.to_pylist(), "results": found.results.to_pylist(), "published": papers}
    told |= {"remarks": found.remarks, "files": list(map(str, found.files))}
    return json.dumps(told, ensure_ascii=False, indent=1)
