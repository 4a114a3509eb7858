"""Plant faults into a catalog, as a catalog of its own, and hold rules of cleaning against them.

What is planted into is what is left where nothing is there twice. The planted folder holds the tables of what cleaning
sees: utterances that have a vector, their vectors and sound prints. With them
go `truth.parquet` (`benchmarks.planting.faults.TRUTH`), `planting.json`, the altered audio, and, where all audio lies
on this machine, `planted.toml`, by which `curate run` takes the planted corpora from ingest on, into the catalog `run`
beside it; what is known is not heard again. The folder appears whole or not at all, and the catalog that was planted
into is only read. Tables are held in memory, utterances as plain rows: some 4 kB each.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.planting.account import Account, Judged, Preset, account
from benchmarks.planting.faults import TRUTH, Fault, Planting, PlantingError
from benchmarks.planting.labels import plant_labels
from benchmarks.planting.report import Outcome, as_rows, as_text, outcome
from benchmarks.planting.sound import plant_sound
from curate import cleaning
from curate.ages import label_ages
from curate.blocks import SoundPrint, arrays, fixed_size_lists
from curate.catalog import (
    Catalog,
    canonical_json,
    open_catalog,
    read_parquet,
    rename_durably,
    write_parquet,
    write_text,
)
from curate.config import Pipeline
from curate.decisions import Author
from curate.duplicates import judge_duplicates
from curate.errors import CatalogError
from curate.explain import counted
from curate.identities import same_people
from curate.presets import PRESETS
from curate.runs import content_fingerprint
from curate.schema import CORPORA, DECISIONS, EMBEDDINGS, IDENTITIES, SOUND_PRINTS, UTTERANCES
from curate.similarity import Vectors
from curate.speakers import speaker_table
from flows import seeds
from flows.embedding import block_store, embedded, encoder, sound_prints
from flows.judging import left_of
from flows.planted_audio import can_be_linked, file_known, pipeline_text, sound, write_corpora

REPORTS = ("report.json", "report.md")
log = logging.getLogger("voxcurate")
TRUTH_FILE, SETTINGS_FILE, PIPELINE_FILE = "truth.parquet", "planting.json", "planted.toml"


@dataclass(frozen=True, kw_only=True)
class Source:
    """The catalog that is planted into, as its pipeline's encoder hears it."""

    pipeline_file: Path
    pipeline: Pipeline
    utterances: pa.Table  # of which none is a duplicate
    vectors: Vectors
    prints: list[SoundPrint]
    person_of: dict[str, str]  # of labels that it found to be somebody who has another label, too
    fingerprint: str


def source(pipeline_file: Path, pipeline: Pipeline) -> Source:
    """Read it. Raises CatalogError where `curate run` has not filled it."""
    catalog = open_catalog(pipeline.catalog)
    heard, vectors = embedded(pipeline, catalog)
    utterances, vectors = left_of(heard, vectors, catalog.read(DECISIONS, "duplicates"), speaker_table(heard))
    prints = sound_prints(pipeline, catalog)
    prints = prints.filter(pc.is_in(prints["utterance_id"], value_set=utterances["utterance_id"].combine_chunks()))
    person_of: dict[str, str] = {}
    if catalog.parts(IDENTITIES):
        rows = catalog.read(IDENTITIES).to_pylist()
        person_of = {row["speaker_id"]: row["identity_id"] for row in rows if row["speaker_id"] != row["identity_id"]}
    if not len(utterances):
        raise CatalogError(f"{catalog.root}: no utterance has a vector; expected a catalog with embeddings")
    of_vectors = hashlib.sha256(np.ascontiguousarray(vectors).tobytes()).hexdigest()
    of_tables = [content_fingerprint(rows) for rows in (utterances, prints)]
    made_from = [*of_tables, of_vectors, person_of, encoder(pipeline).fingerprint]
    return Source(
        pipeline_file=pipeline_file,
        pipeline=pipeline,
        utterances=utterances,
        vectors=vectors,
        prints=[
            SoundPrint(samples_sha256=sha, landmarks=landmarks)
            for sha, landmarks in zip(prints["samples_sha256"].to_pylist(), arrays(prints["landmarks"]), strict=True)
        ],
        person_of=person_of,
        fingerprint=hashlib.sha256(canonical_json(made_from).encode()).hexdigest(),
    )


def plant(given: Source, planting: Planting, to: Path) -> str:
    """Write the planted folder, and say what is in it; does nothing where it holds just this already.

    Raises PlantingError where it holds anything else, or lies within the catalog.
    """
    written = {"planting": asdict(planting), "source": given.fingerprint, "same_person": given.person_of}
    to = to.resolve()  # a link may lead into the catalog
    if to.exists() and _settings(to) == json.loads(json.dumps(written)):
        return f"{to}: planted before"
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise PlantingError(f"{to}: is there already, and holds something else; expected a new folder")
    if to.is_relative_to(given.pipeline.catalog.resolve()):
        raise PlantingError(f"{to}: lies in the catalog {given.pipeline.catalog}; expected a folder of its own")
    if not planting.faults:
        raise PlantingError(f"nothing to plant; expected a share of any of {', '.join(Fault)}")
    aside = to.with_name(f".{to.name}.new")
    with _alone(aside):
        told = _write(given, planting, aside, to)
        write_text(aside / SETTINGS_FILE, json.dumps(written, indent=1, ensure_ascii=False) + "\n")
        if to.exists():
            to.rmdir()  # it is empty
        rename_durably(aside, to)
    return told


@contextmanager
def _alone(aside: Path) -> Iterator[None]:
    """Be the only process that writes into the folder, which is empty then. Raises PlantingError where another is."""
    aside.mkdir(parents=True, exist_ok=True)
    handle = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlantingError(f"{aside}: another process plants there; expected to be the only one") from error
        for entry in aside.iterdir():  # of one that died
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        yield
    finally:
        os.close(handle)


def _settings(folder: Path) -> dict[str, Any] | None:
    file = folder / SETTINGS_FILE
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (ValueError, RecursionError) as error:
        raise PlantingError(f"{file}: no JSON; expected what `curate plant` wrote there") from error


def _write(given: Source, planting: Planting, aside: Path, to: Path) -> str:
    planted = plant_labels(given.utterances, given.vectors, planting, person_of=given.person_of)
    planted, alterations = plant_sound(planted, planting, person_of=given.person_of)
    pipeline, listener, catalog = given.pipeline, encoder(given.pipeline), Catalog(aside)
    before = {row["utterance_id"]: row for row in given.utterances.to_pylist()}
    row_of = {one: row for row, one in enumerate(before)}
    altered = {one.utterance_id for one in alterations}
    untouched = {
        one: original
        for one, original in zip(planted.utterances["utterance_id"].to_pylist(), planted.original_ids, strict=True)
        if one not in altered
    }
    vectors = {one: given.vectors[row_of[original]] for one, original in untouched.items()}
    prints = {one: given.prints[row_of[original]] for one, original in untouched.items()}
    utterances, run_id = planted.utterances, hashlib.sha256(canonical_json(asdict(planting)).encode()).hexdigest()[:12]
    decided = DECISIONS.arrow().empty_table()
    store = block_store(pipeline, Catalog(aside / "run"))
    if alterations:
        log.info("plant: %d recordings to alter, and to be heard by %s", len(alterations), listener.name)
        made = sound(
            utterances,
            before,
            alterations,
            pipeline=pipeline,
            listener=listener,
            store=store,
            folder=aside / "audio",
            run_id=run_id,
        )
        utterances, decided = made.utterances, made.verdicts
        vectors |= made.vectors
        prints |= made.prints
    ids = sorted(vectors)
    heard = {"utterance_id": ids, "extractor": [listener.name] * len(ids)}
    told = [prints[one] for one in ids]
    of_prints = {
        "samples_sha256": [one.samples_sha256 for one in told],
        "landmarks": pa.array([one.landmarks for one in told], pa.list_(pa.int64())),
    }
    of_vectors = {"vector": fixed_size_lists(np.stack([vectors[one] for one in ids]))}
    names = sorted(set(utterances["corpus"].to_pylist()))
    publish = {"fingerprint": given.fingerprint}
    catalog.publish(CORPORA, _corpora(pipeline, names, to), **publish)
    for name in names:
        catalog.publish(UTTERANCES, utterances.filter(pc.field("corpus") == name), part=name, **publish)
    catalog.publish(EMBEDDINGS, pa.table(heard | of_vectors), part=listener.name, **publish)
    catalog.publish(SOUND_PRINTS, pa.table(heard | of_prints), part=listener.name, **publish)
    catalog.publish(DECISIONS, decided, part="embed", **publish)
    write_parquet(aside / TRUTH_FILE, planted.truth.cast(TRUTH.arrow()))
    if can_be_linked(pipeline):
        rows = utterances.to_pylist()
        was = {one: before[original] for one, original in untouched.items()}
        write_corpora(rows, was, pipeline=pipeline, folder=aside / "audio")
        known = {row["utterance_id"]: row for row in rows if row["utterance_id"] in untouched}
        known_vectors, known_prints = np.stack([vectors[one] for one in known]), [prints[one] for one in known]
        file_known(list(known.values()), known_vectors, known_prints, store)
        channels = {row["corpus"] for row in rows if row["channel"] is not None}
        text = pipeline_text(given.pipeline_file, pipeline, names, to / "audio", channels=channels)
        write_text(aside / PIPELINE_FILE, text)
    kinds = pc.value_counts(planted.truth["fault"]).to_pylist()
    of_each = ", ".join(f"{one['counts']} {one['values']}" for one in sorted(kinds, key=lambda one: one["values"]))
    return f"{to}: {counted(len(utterances), 'utterance')}, of them planted: {of_each}"


def _corpora(pipeline: Pipeline, names: list[str], to: Path) -> pa.Table:
    """Where they lie, on the terms that they had."""
    known = {row["corpus"]: row for row in Catalog(pipeline.catalog).read(CORPORA).to_pylist()}
    own = {"reader": "manifest", "remarks": "faults were planted into it"} if can_be_linked(pipeline) else {}
    rows = [known[name] | own | ({"root": str(to / "audio" / name)} if own else {}) for name in names]
    return pa.Table.from_pylist(rows, schema=CORPORA.arrow())


# ------------------------------------------------------------------------------------------------- hold rules to it


def evaluate(pipeline: Pipeline, folder: Path, preset: Preset) -> Account:
    """Judge what lies in a planted folder by a preset, and count what it found. Raises PlantingError where none is."""
    settings = _settings(folder)
    if settings is None:
        raise PlantingError(f"{folder}: no {SETTINGS_FILE}; expected a folder that `curate plant` has written")
    catalog = open_catalog(folder)
    utterances, truth = catalog.read(UTTERANCES), read_parquet(folder / TRUTH_FILE)
    given, vectors = embedded(pipeline, catalog)
    judged = preset(given, sound_prints(pipeline, catalog), vectors)
    everything = Judged(
        decisions=pa.concat_tables([judged.decisions, catalog.read(DECISIONS)]), identities=judged.identities
    )
    new = set(truth.filter(pc.field("fault") == Fault.SPLIT)["speaker_id"].to_pylist())
    labels = {*utterances["speaker_id"].to_pylist(), *truth["true_speaker_id"].to_pylist()} - new
    return account(
        utterances,
        truth,
        everything,
        labels=sorted(labels),
        person_of=settings["same_person"],
        groups={
            "sex": utterances["sex"].to_pylist(),
            "age_group": label_ages(utterances, ("leq29",))["age_group"].to_pylist(),
            "corpus": utterances["corpus"].to_pylist(),
        },
    )


def preset_named(name: str, pipeline: Pipeline) -> Preset:
    """Duplicates, the rule of that name and unification, one after the other, with what the pipeline file says."""
    if name not in PRESETS:
        raise PlantingError(f"preset {name!r}; expected one of {', '.join(PRESETS)}")
    rule = pipeline.cleaning if pipeline.cleaning.preset == name else PRESETS[name]()
    listener = encoder(pipeline)

    def judge(utterances: pa.Table, prints: pa.Table, vectors: Vectors) -> Judged:
        copying, judging, unifying = (
            Author(rule=name, step=step, run_id="") for step in ("duplicates", "clean", "identities")
        )
        speakers, least = speaker_table(utterances), listener.min_one_person
        decisions = judge_duplicates(utterances, prints, vectors, settings=pipeline.duplicates, author=copying)
        left, heard = left_of(utterances, vectors, decisions, speakers)
        cleaned = cleaning.clean(left, heard, settings=rule, min_one_person=least, author=judging)
        decisions = pa.concat_tables([decisions, cleaned.decisions])
        left, heard = left_of(utterances, vectors, decisions, speakers)
        same = same_people(
            speakers,
            left,
            heard,
            settings=pipeline.identities,
            min_same_person=listener.min_same_person,
            author=unifying,
        )
        decisions = pa.concat_tables([decisions, same.unified.decisions])
        return Judged(decisions=decisions, identities=same.unified.identities)

    return judge


def _require_own(to: Path) -> None:
    """Raises PlantingError where a folder of several plantings holds anything that is none of ours."""
    if to.exists() and not to.is_dir():
        raise PlantingError(f"{to}: a file; expected a new folder")
    inside = sorted(to.iterdir()) if to.exists() else []
    plantings = [one for one in inside if (one / SETTINGS_FILE).is_file()]
    ours = {*plantings, *(to / name for name in REPORTS if plantings)}
    alien = [one for one in inside if one not in ours and not one.name.endswith(".new")]  # of one that died
    if alien:
        raise PlantingError(f"{alien[0]}: is there already, and is no planting; expected a new folder")


def plant_and_tell(
    given: Source,
    planting: Planting,
    to: Path,
    *,
    presets: Sequence[str],
    levels: Sequence[float] = (),
    num_seeds: int = 1,
) -> str:
    """Plant at each level with each seed, and hold each preset to it; no preset plants only.

    A level stands for every share that is asked for. Several plantings are folders below `to`, whose report.json and
    report.md tell of all. Raises PlantingError where there is nothing to repeat.
    """
    judges = {name: preset_named(name, given.pipeline) for name in presets}
    if levels and not planting.faults:
        raise PlantingError(f"levels {list(levels)}: of no fault; expected a share of any of {', '.join(Fault)}")
    several = bool(levels) or num_seeds > 1
    if several:
        _require_own(to)
    lines: list[str] = []
    outcomes: list[Outcome] = []
    each: list[float | None] = [*dict.fromkeys(levels)] or [None]
    for level in each:
        at = planting if level is None else planting.at(level)
        plantings = [replace(at, seed=planting.seed + more) for more in range(num_seeds)]
        folders = [to / _name_of(one, level) if several else to for one in plantings]
        lines += [plant(given, one, folder) for one, folder in zip(plantings, folders, strict=True)]
        for name, judge in judges.items():
            accounts = [evaluate(given.pipeline, folder, judge) for folder in folders]
            rng = np.random.default_rng([planting.seed, seeds.INTERVALS_OF_PLANTING])
            outcomes.append(outcome(name, "" if level is None else f"{level:g}", accounts, rng=rng))
    if not outcomes:
        return "\n".join(lines)
    text = as_text(sorted(outcomes, key=lambda one: list(judges).index(one.preset)))
    report = {"planting": asdict(planting), "levels": list(levels), "num_seeds": num_seeds, "told": as_rows(outcomes)}
    write_text(to / REPORTS[0], json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(to / REPORTS[1], f"{text}\n")
    return "\n".join([*lines, "", text, "", f"{to / REPORTS[0]}"])


def _name_of(planting: Planting, level: float | None) -> str:
    return f"seed-{planting.seed}" if level is None else f"share-{level:g}-seed-{planting.seed}"
