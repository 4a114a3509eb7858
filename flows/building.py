"""Build a benchmark from a catalog by a protocol: what goes into it, the step that publishes it, and its files.

A built benchmark lies beside what `curate run` made: parts of its name in SPLITS, MODELS, TRIALS, REMOVALS and LEAKS,
its card and its lists in `<catalog>/benchmarks/<name>`. It is made of what all verdicts leave, so that a later run may
make it stale: `told_stale` tells. Needs neither torch nor Prefect: the vectors are in the catalog.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.building import build
from benchmarks.leakage import allowed_by
from benchmarks.list_files import list_names, write_models, write_voxceleb
from benchmarks.protocol import OF_AGES, Protocol
from benchmarks.protocol_card import OF_UTTERANCES, REMARK, protocol_card
from curate import whole
from curate.ages import label_ages
from curate.catalog import Catalog, canonical_json, rows_of, write_text
from curate.codes import in_order
from curate.errors import CatalogError, PipelineError
from curate.exclusions import Exclusions, read_exclusions
from curate.explain import counted
from curate.labels import columns_of
from curate.query import write_database
from curate.runs import Result, Step, fingerprint, last_done, take_note
from curate.schema import (
    CALIBRATIONS,
    CORPORA,
    DECISIONS,
    EMBEDDINGS,
    ENROLMENTS,
    IDENTITIES,
    LEAKS,
    MODELS,
    PUBLISHED_TRIALS,
    REMOVALS,
    RESULTS,
    SOUND_PRINTS,
    SPLITS,
    TRIALS,
    UTTERANCES,
)
from flows.code import BUILDING
from flows.leaking import aliases_of, heard, read, shared

log = logging.getLogger("voxcurate")  # the command line shows it
STEP = "build"
READS = (UTTERANCES, DECISIONS, IDENTITIES, PUBLISHED_TRIALS, ENROLMENTS, EMBEDDINGS, SOUND_PRINTS, CALIBRATIONS)
PARTS = (REMOVALS, SPLITS, MODELS, TRIALS, LEAKS)  # removals first: by them a benchmark is told to be a built one
Lists = Mapping[str, Exclusions]


def build_benchmark(protocol: Protocol, catalog: Catalog, files: Mapping[str, Path]) -> str:
    """Build it unless it is there as it would be built now; write its files; say so in one line.

    `files` are the lists that the user gives, by name. Raises CatalogError where `curate run` has not filled the
    catalog or a source is lacking, PipelineError where the protocol cannot be carried out, CorpusError for a list.
    """
    require_sources(protocol, catalog)
    lists = lists_of(protocol, catalog, files)
    with catalog.locked(f"curate {STEP} {protocol.name}"):
        require_free_name(protocol, catalog)
        done = step(protocol, catalog, lists).carry_out()
        take_note(catalog, done)
        card = write_files(protocol, catalog)
    told = done.summary if done.changed else "nothing to do"
    return f"{protocol.name}: {told}; its card: {card}"


def told_stale(catalog: Catalog) -> list[str]:
    """A line for each built benchmark that would be built anew: verdicts, vectors or the code are others now."""
    noted = [row for row in last_done(catalog) if row["step"] == STEP]
    lines = []
    for name, told in sorted((row["part"], row["settings"]) for row in noted):
        made = catalog.fingerprint(REMOVALS, name)
        settings = json.loads(told) | {"readers": readers_of(catalog)}
        would_be = fingerprint(catalog, STEP, name, settings=settings, code=BUILDING, reads=READS)
        if made is not None and made != would_be:
            lines.append(f"{name}: no longer what `curate build` would make of this catalog; run it again")
    return lines


# ------------------------------------------------------------------------------------------------- what is asked for


def require_sources(protocol: Protocol, catalog: Catalog) -> None:
    """Raises CatalogError where there is no catalog, or no corpus for a source that is required."""
    readers = readers_of(catalog)
    for source in protocol.sources:
        if source.required and not any(source.holds(name, reader) for name, reader in readers.items()):
            told = [f"read by {' or '.join(source.readers)}"] if source.readers else []
            told += [f"called {' or '.join(source.corpora)}"] if source.corpora else []
            there = ", ".join(sorted(f"{name} ({reader})" for name, reader in readers.items()))
            raise CatalogError(
                f"{catalog.root}: no corpus for the source {source.name!r} of {protocol.name!r}; expected one "
                f"{', '.join(told)}; it has {there}"
            )


def readers_of(catalog: Catalog) -> dict[str, str]:
    """The reader of each corpus."""
    rows = catalog.read(CORPORA)
    return dict(zip(rows["corpus"].to_pylist(), rows["reader"].to_pylist(), strict=True))


def require_free_name(protocol: Protocol, catalog: Catalog) -> None:
    """Raises PipelineError where the pipeline's own benchmark has the protocol's name."""
    if protocol.name in set(catalog.parts(SPLITS)) - set(catalog.parts(REMOVALS)):
        raise PipelineError(
            f"{catalog.root}: the benchmark {protocol.name!r} is that of its pipeline file; expected another `name` in "
            "either"
        )


def lists_of(protocol: Protocol, catalog: Catalog, files: Mapping[str, Path]) -> dict[str, Exclusions]:
    """The lists that the protocol asks for. Raises PipelineError for one too few or too many."""
    asked = {one.list: one.list_url for one in protocol.keep_apart if one.list is not None}
    for name in sorted(files.keys() - asked.keys()):
        known = f"one of {', '.join(sorted(asked))}" if asked else "none"
        raise PipelineError(f"--list {name}: the protocol {protocol.name!r} asks for no such list; expected {known}")
    for name, url in sorted(asked.items()):
        if name not in files:
            where = f" (it can be had at {url})" if url else ""
            raise PipelineError(
                f"{protocol.name}: the list {name!r} is not given; expected `--list {name}=FILE`, a speaker, "
                f"session or file a line{where}"
            )
    aliases = aliases_of(catalog) if files else {}
    return {name: read_exclusions(path, aliases) for name, path in sorted(files.items())}


# -------------------------------------------------------------------------------------------------- what goes into it


def left(catalog: Catalog, columns: list[str], age_scheme: str | None) -> pa.Table:
    """What all verdicts leave, under settled labels and in the order of ids, with reader, person and age group.

    Of the `columns` of utterances these; with a scheme the ages are among them.
    """
    rows = in_order(columns_of(catalog, with_dropped=False)(columns), "utterance_id")
    readers, identities = readers_of(catalog), catalog.read(IDENTITIES)
    rows = _looked_up(rows, "corpus", list(readers), reader=pa.array(list(readers.values()), pa.string()))
    rows = _looked_up(rows, "speaker_id", identities["speaker_id"], identity_id=identities["identity_id"])
    if age_scheme:
        ages = label_ages(rows, (age_scheme,))  # a row an utterance, in their order
        for column in ("age_group", "age_subgroup"):
            rows = rows.append_column(column, ages[column])
    return rows


def _looked_up(rows: pa.Table, column: str, keys: Any, **told: pa.Array | pa.ChunkedArray) -> pa.Table:
    """With what is told of each row's value in `column`; null where nothing is."""
    keys = keys if isinstance(keys, list) else keys.combine_chunks()
    place = pc.index_in(rows[column], value_set=pa.array(keys, pa.string())).combine_chunks()
    for name, values in told.items():
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        rows = rows.append_column(name, values.take(place))
    return rows


# ---------------------------------------------------------------------------------------------------------- the step


def step(protocol: Protocol, catalog: Catalog, lists: Lists) -> Step:
    """Carry out the protocol, and look for what its sides share."""

    def make(step: Step) -> Result:
        utterances = left(catalog, sorted(protocol.columns), protocol.filters.age_scheme)
        sound = heard(catalog, utterances)
        people = counted(len(utterances["identity_id"].unique()), "person", "people")
        log.info(f"build: {counted(len(utterances), 'utterance')} of {people} are left by all verdicts")
        made = build(
            protocol,
            utterances=utterances,
            published=read(catalog, PUBLISHED_TRIALS),
            enrolments=read(catalog, ENROLMENTS),
            vectors=sound.vectors,
            lists={name: sorted(one.entries) for name, one in lists.items()},
            thresholds=sound.threshold if isinstance(sound.threshold, dict) else None,
            apart=sound.apart,
        )
        del utterances  # of millions they are not held beside what an audit looks at
        for line in (*in_counts(made.splits, made.trials), *made.remarks):
            log.info(f"build: {line}")
        among, allowed = columns_of(catalog, with_dropped=False), allowed_by(protocol)
        looked = shared(protocol.name, made.splits, among, sound, lists=lists, allowed=allowed)
        found = looked.filter(pc.and_(pc.greater(looked["num_shared"], 0), pc.invert(looked["is_allowed"])))
        for row in found.to_pylist():
            log.info(f"build: {row['side']} and {row['other_side']} share {row['num_shared']} by {row['check']}")
        removals = pa.concat_tables([made.removals, _remarks(protocol.name, made.remarks)])
        summary = (
            f"{counted(len(made.splits), 'utterance')} in {counted(len(made.splits['split'].unique()), 'split')}, "
            f"{_in_lists(made.trials)}; "
            f"{counted(len(found), 'thing')} shared that the protocol does not allow"
        )
        return [removals, made.splits, made.models, made.trials, looked], summary

    settings = {
        "protocol": asdict(protocol),
        "lists": {name: _digest(sorted(one.entries)) for name, one in lists.items()},
        "readers": readers_of(catalog),
    }
    return Step(
        catalog=catalog,
        name=STEP,
        part=protocol.name,
        settings=settings,
        code=BUILDING,
        reads=READS,
        publishes=[(table, protocol.name) for table in PARTS],
        compute=make,
    )


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _remarks(benchmark: str, remarks: tuple[str, ...]) -> pa.Table:
    """As rows of REMOVALS, so that the card can be written again without building again."""
    rows = [
        {"benchmark": benchmark, "stage": REMARK, "part": "", "place": place, "rule": text, "is_exact": True}
        for place, text in enumerate(remarks)
    ]
    return rows_of(REMOVALS, rows)


def in_counts(splits: pa.Table, trials: pa.Table) -> list[str]:
    """A line for each split and each list."""
    lines = []
    for name in sorted(splits["split"].unique().to_pylist()):
        rows = splits.filter(pc.equal(splits["split"], name))
        people = counted(len(rows["identity_id"].unique()), "person", "people")
        lines.append(f"split {name}: {counted(len(rows), 'utterance')} of {people}")
    for name in sorted(trials["list"].unique().to_pylist()):
        is_target = trials.filter(pc.equal(trials["list"], name))["is_target"]
        num = pc.sum(is_target).as_py() or 0
        lines.append(f"list {name}: {counted(num, 'target')}, {counted(len(is_target) - num, 'nontarget')}")
    return lines


def _in_lists(trials: pa.Table) -> str:
    """How many trials of each kind all lists have together, and which lists are without a target."""
    if not len(trials):
        return "no list of trials"
    names, num = sorted(trials["list"].unique().to_pylist()), pc.sum(trials["is_target"]).as_py()
    targets = set(trials.filter(trials["is_target"])["list"].to_pylist())
    kinds = f"{counted(num, 'target')} and {counted(len(trials) - num, 'nontarget')}"
    return "; ".join(
        [f"{kinds} in {counted(len(names), 'list')}", *(f"{n}: 0 targets" for n in names if n not in targets)]
    )


# --------------------------------------------------------------------------------------------------------- its files


def write_files(protocol: Protocol, catalog: Catalog) -> Path:
    """Its card, which is returned, its lists and models, and the database of views; what lists it has no more go."""
    name, folder = protocol.name, catalog.root / "benchmarks" / protocol.name
    splits, models, trials, removals, found = (
        catalog.read(table, name) for table in (SPLITS, MODELS, TRIALS, REMOVALS, LEAKS)
    )
    results, scheme = read(catalog, RESULTS), protocol.filters.age_scheme
    asked = OF_UTTERANCES | {"speaker_id", "path"} | (OF_AGES if scheme else set())
    utterances = left(catalog, sorted(asked), scheme)
    text = protocol_card(
        protocol,
        corpora=catalog.read(CORPORA),
        utterances=utterances,
        splits=splits,
        models=models,
        trials=trials,
        removals=removals,
        leaks=found,
        results=results.filter(pc.equal(results["benchmark"], name)),
    )
    write_text(folder / "README.md", text)
    sides = [*trials["enrol_id"].chunks, *trials["test_id"].chunks, *models["utterance_id"].chunks]
    listed = pc.is_in(utterances["utterance_id"], value_set=pa.chunked_array(sides, pa.string()).unique())
    names = list_names(utterances.filter(listed), models)
    written: dict[str, set[str]] = {"lists": set(), "models": set()}
    for list_name in trials["list"].unique().to_pylist():
        rows = trials.filter(pc.equal(trials["list"], list_name))
        write_voxceleb(folder / "lists" / f"{list_name}.txt", rows, names)
        written["lists"].add(list_name)
        of_list = models.filter(pc.is_in(models["model_id"], value_set=rows["enrol_id"].combine_chunks().unique()))
        if len(of_list):
            write_models(folder / "models" / f"{list_name}.txt", of_list, names)
            written["models"].add(list_name)
    for kind, kept in written.items():
        for gone in whole.stems(folder / kind, "txt") - kept:
            whole.remove(folder / kind / f"{gone}.txt")
    write_database(catalog)
    return folder / "README.md"
