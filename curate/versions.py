"""Which version of the schema a catalog has. One small file at its root says it, so that no table need be opened.

    <root>/schema.json   {"version": 2}

It is written before the first table is, and by a migration after the last one is in its place (`curate.migration`). A
catalog that has tables and no such file is of version 1. Footers do not say it: a table keeps its bytes.
"""

import json
from pathlib import Path

from curate import whole
from curate.errors import CatalogError
from curate.schema import TABLES, VERSION

FILE = "schema.json"
BEFORE = "before"  # the folder of what a migration keeps
MIGRATION = f"{BEFORE}/migration.json"  # there from before the first file changes


def version_of(root: Path) -> int | None:
    """The version of a catalog; None where no table is. Raises CatalogError where the file does not say one."""
    content = whole.read_bytes(root / FILE)
    if content is None:
        folders = sorted(whole.names(root) & TABLES.keys())  # of ours, or of a user who calls something `corpora`, too
        return 1 if any(whole.stems(root / name, "parquet") for name in folders) else None
    try:
        version = json.loads(content)["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        version = None
    if type(version) is not int or version < 1:
        raise CatalogError(f'{root / FILE}: says no version; expected {{"version": {VERSION}}} or another number')
    return version


def require_current(root: Path) -> None:
    """Raises CatalogError, which says what to do, where a catalog is there and of another version than ours."""
    version = version_of(root)
    if version in (None, VERSION):
        return
    told = f"{root}: a catalog of version {version}; this Voxcurate reads version {VERSION}:"
    if version is not None and version > VERSION:
        raise CatalogError(f"{told} expected a newer Voxcurate")
    if whole.exists(root / MIGRATION):
        hint = f"`curate migrate {root}` ends it, with --undo takes it back"
        raise CatalogError(f"{told} a migration is under way or was cut off; {hint}")
    raise CatalogError(f"{told} run `curate migrate {root}` (it can be undone)")


def say_current(root: Path) -> None:
    """Say that the catalog is of our version, where that is not said. Raises CatalogError where it is of another."""
    require_current(root)
    say(root, VERSION)


def say(root: Path, version: int) -> None:
    """Say that the catalog is of this version, whatever was said before."""
    whole.write_text(root / FILE, json.dumps({"version": version}) + "\n")
