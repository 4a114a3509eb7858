"""`manifest.json` of a published folder: every file with its size and checksum, and what a folder lacks of that.

The manifest has a checksum of its own, over the rest of it, and is written in one way alone: whatever byte of a folder
turns, in the manifest too, is found.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.audio import sha256_of
from curate.errors import ExportError

MANIFEST = "manifest.json"
OF_OTHERS = (".git", ".gitattributes", ".cache")  # what git, the Hub and its client put into a folder of theirs


def seal(folder: Path) -> str:
    """Write the manifest of all that is in the folder; its own checksum."""
    files = {name: _facts(path) for name, path in sorted(present(folder).items())}
    text = _as_text(files)
    (folder / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    return str(json.loads(text)["sha256"])


def present(folder: Path) -> dict[str, Path]:
    """Path within the folder -> the file, of every file but the manifest and what is of others."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    return {
        name.as_posix(): path
        for name, path in found.items()
        if name.parts[0] not in OF_OTHERS and name.as_posix() != MANIFEST
    }


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """What each file should be. Raises ExportError where the manifest is not there, or not as it was written."""
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        files = json.loads(text)["files"]
        is_as_written = text == _as_text(files)
    except FileNotFoundError:
        raise ExportError(f"{path} is not there; expected a folder that `curate publish` has written") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_as_written = False
    if not is_as_written:
        raise ExportError(f"{path}: changed; expected it as `curate publish` wrote it")
    return dict(files)


def differences(folder: Path, files: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What the files are not as they should be, a line each: missing, added, changed."""
    there = present(folder)
    for name in sorted(files.keys() | there.keys()):
        if name not in there:
            yield f"missing: {name}"
        elif name not in files:
            yield f"added: {name}"
        elif there[name].is_symlink() or _facts(there[name]) != files[name]:
            yield f"changed: {name}"


def _facts(path: Path) -> dict[str, Any]:
    return {"num_bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _as_text(files: dict[str, dict[str, Any]]) -> str:
    ordered = {name: {key: files[name][key] for key in ("num_bytes", "sha256")} for name in sorted(files)}
    checksum = hashlib.sha256(json.dumps(ordered, ensure_ascii=True).encode()).hexdigest()
    return json.dumps({"files": ordered, "sha256": checksum}, indent=1, ensure_ascii=True) + "\n"
