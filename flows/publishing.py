"""Write a benchmark as a data set for others: its rows, its card, its Croissant, its licences and its checksums.

The folder appears whole or not at all, and the same catalog gives the same bytes: there is no time in it but the day of
the catalog's last run.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.dataset_card import NOT_STATED, Said, Tables, account, biases, dataset_card, steps
from benchmarks.evaluation import of_todays_lists
from benchmarks.protocol import Protocol
from curate.audio import sha256_of
from curate.catalog import Catalog, rename_durably
from curate.config import Card, load_pipeline
from curate.errors import ExportError
from curate.explain import counted
from curate.export import huggingface, manifest
from curate.export.chosen import as_export, benchmark_of, models_among, outgoing_rows, trials_among
from curate.export.croissant import File, Origin, Step, Told, croissant, lacking
from curate.export.hub_front import Configuration, Front, Part, front_matter
from curate.export.huggingface import COLUMNS, MODEL_COLUMNS, SOURCE_COLUMNS, TRIAL_COLUMNS, Written
from curate.export.licences import PASSED_ON, terms_of
from curate.export.writing import (
    here,
    made_from,
    refuse_missing,
    refuse_taken,
    refuse_within,
    sync_all,
    unfinished,
)
from curate.publish import cell, short
from curate.runs import last_done
from curate.schema import (
    AGE_LABELS,
    CLASS_RESULTS,
    CORPORA,
    DECISIONS,
    EMBEDDINGS,
    IDENTITIES,
    LEAKS,
    REMOVALS,
    RESULTS,
    RUNS,
    TRIALS,
    UTTERANCES,
    Table,
)
from flows.noted import age_groups, drawn_with, planted_in, protocol_of

ALL_COLUMNS = (*COLUMNS, *SOURCE_COLUMNS)
KINDS = ["list", "is_target"]  # of trials: how many a list has


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the publisher says and wants."""

    has_audio: bool = False
    insists: bool = False
    pipeline: Path | None = None
    makers: tuple[str, ...] = ()
    version: str = "1.0.0"
    published: date | None = None  # none: the day of the catalog's last run
    url: str | None = None


def publish_benchmark(catalog: Catalog, benchmark: str, out: Path, asked: Asked) -> str:
    """Write the folder, and say in one line what it holds.

    Raises ExportError where something is at `out`, where audio may not be passed on, and for names that the Hub does
    not allow.
    """
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", asked.version):
        raise ExportError(f"version {asked.version!r}; expected MAJOR.MINOR.PATCH, such as 1.0.0")
    out = here(out)
    refuse_taken(out)
    refuse_within(out, catalog)
    with catalog.as_one():
        name = benchmark_of(catalog, benchmark)
        rows = with_terms(catalog, outgoing_rows(catalog, name))
        withheld = withheld_licences(rows)
        if asked.has_audio and withheld and not asked.insists:
            raise ExportError(refusal(rows, withheld))
        saying, tables = gathered(catalog, name, rows, asked, withheld)
    if asked.has_audio:
        refuse_missing(rows)
    export = as_export(name, rows, tables.trials, tables.models, out)
    export = export if len(tables.trials) else replace(export, lists=())
    with unfinished(out, made_from(rows, None)) as folder:
        written = huggingface.write_data(folder, export, ALL_COLUMNS, has_audio=asked.has_audio)
        describe(folder, tables, saying, written, has_models=bool(export.models), url=asked.url)
        checksum = manifest.seal(folder)
        sync_all(folder)
        if out.exists():
            out.rmdir()  # empty, or this fails
        rename_durably(folder, out)
    what = f"{counted(len(rows), 'utterance')}, {counted(len(tables.trials), 'trial')}"
    return f"{out}: {what}, {'with' if asked.has_audio else 'without'} audio; checksum of its manifest {checksum}"


# ------------------------------------------------------------------------------------------------------------ licences


def with_terms(catalog: Catalog, rows: pa.Table) -> pa.Table:
    """Each row with a licence of its own, or that of its corpus."""
    corpora = catalog.read(CORPORA)
    place = pc.index_in(rows["corpus"].combine_chunks(), value_set=corpora["corpus"].combine_chunks())
    of_corpus = corpora["licence"].combine_chunks().take(place)
    told = pc.coalesce(rows["row_licence"].combine_chunks(), of_corpus)
    return rows.set_column(rows.column_names.index("row_licence"), "row_licence", told)


def withheld_licences(rows: pa.Table) -> dict[str | None, list[str]]:
    """The licences that are not known to let audio be passed on -> the corpora that come under them."""
    found = rows.group_by("row_licence").aggregate([("corpus", "distinct")]).to_pylist()
    held = {row["row_licence"]: sorted(row["corpus_distinct"]) for row in found}
    return {said: held[said] for said in sorted(held, key=lambda one: one or "") if terms_of(said) not in PASSED_ON}


def refusal(rows: pa.Table, withheld: Mapping[str | None, list[str]]) -> str:
    """Why audio is not taken along, in one line."""
    told = "; ".join(
        f"{', '.join(corpora)} ({short(said) if said else 'no licence is stated'}: audio {terms_of(said)})"
        for said, corpora in withheld.items()
    )
    return f"audio of {told}; expected to publish without `--audio`, or `--insist` where its owners allow it"


# ------------------------------------------------------------------------------------------------- what the tables say


def gathered(
    catalog: Catalog, name: str, rows: pa.Table, asked: Asked, withheld: Mapping[str | None, list[str]]
) -> tuple[Said, Tables]:
    """What the publisher says, and what the catalog knows."""
    card = Card() if asked.pipeline is None else load_pipeline(asked.pipeline).card
    protocol = protocol_of(catalog, name)
    results, class_results = (read(catalog, table) for table in (RESULTS, CLASS_RESULTS))
    results = results.filter(pc.equal(results["benchmark"], name))
    tables = Tables(
        benchmark=name,
        used=age_groups(rows, read(catalog, AGE_LABELS), protocol),
        corpora=catalog.read(CORPORA),
        utterances=catalog.read(UTTERANCES),
        decisions=catalog.read(DECISIONS),
        identities=read(catalog, IDENTITIES),
        age_labels=read(catalog, AGE_LABELS),
        trials=trials_among(catalog, name, rows),
        models=models_among(catalog, name, rows),
        removals=read(catalog, REMOVALS, name),
        leaks=catalog.read(LEAKS, name) if name in catalog.parts(LEAKS) else None,
        results=of_todays_lists(results, read(catalog, TRIALS, name, KINDS)),
        class_results=class_results.filter(pc.equal(class_results["benchmark"], name)),
        protocol=protocol,
        extractors=catalog.parts(EMBEDDINGS),
        settings=drawn_with(catalog, name),
        planted=planted_in(catalog),
    )
    saying = Said(
        title=card.title or (protocol.title if protocol else name),
        description=card.description or (_in_one_line(protocol) if protocol else ""),
        makers=asked.makers or card.makers,
        version=asked.version,
        published=(asked.published or last_day(catalog)).isoformat(),
        has_audio=asked.has_audio,
        insisted=tuple(said or NOT_STATED for said in withheld) if asked.has_audio else (),
    )
    return saying, tables


def _in_one_line(protocol: Protocol) -> str:
    return " ".join(protocol.description.split())


def read(catalog: Catalog, table: Table, part: str | None = None, columns: list[str] | None = None) -> pa.Table:
    """All of a table, or one part, with all `columns` or these; no rows where there is none."""
    parts = catalog.parts(table)
    if not parts or (part is not None and part not in parts):
        return table.arrow().empty_table().select(columns or table.arrow().names)
    return catalog.read(table, part, columns=columns)


def last_day(catalog: Catalog) -> date:
    """When something was last done. Raises ExportError where the catalog does not know."""
    done = last_done(catalog) if catalog.parts(RUNS) else []
    if not done:
        raise ExportError(f"{catalog.root}: no note of when it was made; expected `--date`")
    found: date = done[-1]["finished_at"].date()
    return found


# --------------------------------------------------------------------------------------------- what is written of it


def describe(
    folder: Path, tables: Tables, saying: Said, written: Written, *, has_models: bool, url: str | None
) -> None:
    """Write Croissant, the licences and the card. Raises ExportError where Croissant would lack what it requires."""
    values = account(tables, saying)
    files = [_file(folder, path) for path in sorted(folder.rglob("*.parquet"))]
    told = told_of(values, tables, saying, written, files, url=url or named_by_content(files), has_models=has_models)
    jsonld = croissant(told)
    if missing := lacking(jsonld):
        raise ExportError(f"croissant.json: no {missing[0]}; expected all that Croissant requires")
    text = json.dumps(jsonld, indent=1, ensure_ascii=False)
    _write(folder / "croissant.json", text + "\n")
    _write(folder / "LICENSE.md", licence_file(values))
    front = front_matter(front_of(values, tables, written, folder, has_models=has_models))
    more = {
        "front": front,
        "columns": ALL_COLUMNS,
        "part_names": list(written.splits),
        "list_names": list(written.lists),
    }
    _write(folder / "README.md", dataset_card(values | more))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _file(folder: Path, path: Path) -> File:
    return File(path=path.relative_to(folder).as_posix(), num_bytes=path.stat().st_size, sha256=sha256_of(path))


def named_by_content(files: list[File]) -> str:
    """A URI for what lies nowhere yet: its name is its checksum (RFC 6920)."""
    digest = hashlib.sha256("".join(f"{one.path} {one.sha256}\n" for one in files).encode()).digest()
    return f"ni:///sha-256;{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def told_of(
    values: Mapping[str, Any],
    tables: Tables,
    saying: Said,
    written: Written,
    files: list[File],
    *,
    url: str,
    has_models: bool,
) -> Told:
    """All that Croissant says."""
    trials = {one["name"]: one for one in values["lists"]}
    done = steps(values)
    protocol_lines = tuple(f"{step}: {found}" for step, found in done)
    sources = [row for row in values["sources"] if row["num_here"]]
    collected = tuple(
        f"{row['corpus']}: {row['num_here']} utterances of {row['num_people_here']} people, as its makers recorded or "
        f"collected them ({row['citation'] or 'no citation is stated'})"
        for row in sources
    )
    return Told(
        name=saying.title,
        description=saying.description or "What it is for is not stated.",
        url=url,
        licences=tuple(sorted({row["licence"] for row in values["licences"]})),
        creators=saying.makers or (NOT_STATED,),
        published=date.fromisoformat(saying.published),
        version=saying.version,
        cite_as=values["cite_as"],
        languages=tuple(sorted(set(tables.used["language"].drop_null().to_pylist()))),
        made_with=f"Voxcurate {version_of('voxcurate')}",
        files=tuple(files),
        splits={name: (one.num_utterances, len(one.speakers)) for name, one in written.splits.items()},
        lists={
            name: (trials[asked]["num_targets"], trials[asked]["num_nontargets"])
            for name, asked in written.lists.items()
        },
        columns=ALL_COLUMNS,
        trial_columns=TRIAL_COLUMNS,
        model_columns=MODEL_COLUMNS if has_models else (),
        has_audio=saying.has_audio,
        origins=tuple(
            Origin(name=row["corpus"], licences=tuple(row["licences"]), citation=row["citation"], url=row["url"])
            for row in sources
        ),
        steps=tuple(Step(name=step, found=found) for step, found in done),
        rai={
            "dataCollection": collected,
            "dataPreprocessingProtocol": protocol_lines,
            "dataBiases": tuple(biases(values)),
            "personalSensitiveInformation": tuple(values["biometric"]),
            "dataLimitations": tuple(values["limits"]),
            "dataUseCases": ("training and measuring speaker verification",),
        },
    )


def licence_file(values: Mapping[str, Any]) -> str:
    """What the Hub links to as the licence."""
    lines = ["# Licences", "", "Each row of the data says its own in the column `licence`.", ""]
    lines += ["| split | licence | utterances |", "| --- | --- | ---: |"]
    lines += [
        f"| {row['split']} | {cell(short(row['licence']))} | {row['num_utterances']} |" for row in values["licences"]
    ]
    return "\n".join(lines) + "\n"


def front_of(values: Mapping[str, Any], tables: Tables, written: Written, folder: Path, *, has_models: bool) -> Front:
    """What the Hub reads."""
    name = values["name"]
    splits = tuple(_part(folder, "data", split) for split in written.splits)
    lists = tuple(_part(folder, "trials", one) for one in written.lists)
    configurations = [
        Configuration(name=name, columns=ALL_COLUMNS, parts=splits, has_audio=values["has_audio"]),
        *([Configuration(name=f"trials-{name}", columns=TRIAL_COLUMNS, parts=lists)] if lists else []),
    ]
    if has_models:
        models = (_part(folder, "models", "train"),)
        configurations.append(Configuration(name=f"models-{name}", columns=MODEL_COLUMNS, parts=models))
    licences_of: dict[str, list[str]] = {}
    for row in values["licences"]:
        licences_of.setdefault(row["split"], []).append(short(row["licence"]))
    return Front(
        title=short(values["title"]),
        languages=tables.used["language"].drop_null().unique().to_pylist(),
        licences=[None if one == NOT_STATED else one for one in sorted({row["licence"] for row in values["licences"]})],
        licences_of=licences_of,
        corpora=[row["corpus"] for row in values["sources"] if row["num_here"]],
        configurations=configurations,
        num_utterances=values["num_utterances"],
        has_reviewers=bool(values["num_reviewed"]),
    )


def _part(folder: Path, kind: str, split: str) -> Part:
    paths = sorted((folder / kind).glob(f"{split}-*.parquet"))
    found = [pq.read_metadata(path) for path in paths]
    return Part(
        split=split,
        pattern=f"{kind}/{split}-*",
        num_bytes=sum(one.row_group(at).total_byte_size for one in found for at in range(one.num_row_groups)),
        num_bytes_of_files=sum(path.stat().st_size for path in paths),
        num_rows=sum(one.num_rows for one in found),
    )
