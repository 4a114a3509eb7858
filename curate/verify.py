"""Hold a published folder against its manifest, and its card and Croissant against what is there.

A fault is one line, in the order of what is wrong first: the manifest, the files, the card, Croissant.
"""

import fnmatch
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import ExportError
from curate.export import manifest
from curate.export.croissant import lacking
from curate.export.hub_front import read_front_matter

CARD, CROISSANT = "README.md", "croissant.json"


def faults_of(folder: Path) -> list[str]:
    """What is wrong with the folder; nothing, where all is as it was published.

    Raises ExportError where it is not there, or has no manifest to be held against.
    """
    for expected in (folder, folder / manifest.MANIFEST):
        if not expected.exists():
            raise ExportError(f"{expected} is not there; expected a folder that `curate publish` has written")
    try:
        files = manifest.read(folder)
    except ExportError as error:
        return [str(error)]
    found = list(manifest.differences(folder, files))
    if found:
        return found  # what the rest say of other files is of no use
    tables = sorted(name for name in files if name.endswith(".parquet"))
    return [
        *_told(CARD, _of_card(folder, tables)),
        *_told(CROISSANT, _of_croissant(folder, files, tables)),
    ]


def _told(name: str, faults: Iterator[str]) -> list[str]:
    """What is wrong with one of the two, which anybody may have written anyhow."""
    try:
        return list(faults)
    except (AttributeError, KeyError, TypeError):
        return [f"{name}: laid out in another way; expected it as `curate publish` writes it"]


def _of_card(folder: Path, tables: list[str]) -> Iterator[str]:
    """Every configuration has its files, every file its configuration, and the counts are those of the files."""
    if not (folder / CARD).is_file():
        yield f"missing: {CARD}"
        return
    try:
        front = read_front_matter((folder / CARD).read_text(encoding="utf-8"))
    except (ExportError, UnicodeDecodeError) as error:
        yield str(error)
        return
    counts = {
        (one.get("config_name"), split.get("name")): split.get("num_examples")
        for one in front.get("dataset_info", [])
        for split in one.get("splits", [])
    }
    named: set[str] = set()
    for config in front.get("configs", []):
        for part in config.get("data_files", []):
            here = fnmatch.filter(tables, part["path"])
            named.update(here)
            what = f"{CARD}: configuration {config['config_name']!r}, split {part['split']!r}"
            if not here:
                yield f"{what}: no file is {part['path']}"
            elif (num := _num_rows(folder, here)) != counts.get((config["config_name"], part["split"])):
                yield f"{what}: {counts.get((config['config_name'], part['split']))} rows; the files have {num}"
    yield from (f"{CARD}: {name} is in no configuration" for name in tables if name not in named)


def _num_rows(folder: Path, names: list[str]) -> int | None:
    try:
        return int(sum(pq.read_metadata(folder / name).num_rows for name in names))
    except (OSError, pa.ArrowInvalid):
        return None


def _of_croissant(folder: Path, files: dict[str, dict[str, Any]], tables: list[str]) -> Iterator[str]:
    """What Croissant requires is there, and the files that it names are those of the manifest."""
    if not (folder / CROISSANT).is_file():
        yield f"missing: {CROISSANT}"
        return
    try:
        told = json.loads((folder / CROISSANT).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        yield f"{CROISSANT}: {error}; expected JSON"
        return
    yield from (f"{CROISSANT}: no {name}, which Croissant requires" for name in lacking(told))
    named = {one["contentUrl"]: one.get("sha256") for one in told.get("distribution", []) if one.get("contentUrl")}
    for name, sha256 in named.items():
        if name not in files:
            yield f"{CROISSANT}: names {name}, which is not there"
        elif sha256 != files[name]["sha256"]:
            yield f"{CROISSANT}: has another checksum of {name}"
    yield from (f"{CROISSANT}: does not name {name}" for name in tables if name not in named)
