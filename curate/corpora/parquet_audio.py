"""Parquet files with audio in a column of bytes and path, as `datasets` writes them: read, and unpacked into files."""

import json
import os
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from curate.audio import SUFFIXES
from curate.corpora.inventory import held_at
from curate.corpora.listed import at
from curate.corpora.places import inside, is_file
from curate.corpora.sidecars import Links, own_file
from curate.corpora.tabular import parquet, parquet_values
from curate.errors import CorpusError
from curate.storage import is_local, put, why

ROWS_AT_ONCE = 16  # of Parquet: as much audio is in memory
NUM_HASH_DIGITS = 32  # of its SHA-256 name an unpacked file
_MAGIC = (
    (b"RIFF", 0, ".wav"),
    (b"fLaC", 0, ".flac"),
    (b"OggS", 0, ".ogg"),
    (b"ID3", 0, ".mp3"),
    (b"\xff\xfb", 0, ".mp3"),
    (b"\xff\xf3", 0, ".mp3"),
    (b"\xff\xf2", 0, ".mp3"),
    (b"NIST_1A", 0, ".sph"),
    (b"ftyp", 4, ".m4a"),
)


def audio_column(path: Path, asked: str | None, columns: set[str]) -> str | None:
    """Which column of a Parquet file is audio: the one asked for, or that the file says is, or `audio`.

    None where it has no such column; `columns` takes in which it has.
    """
    with parquet(path) as file:
        schema = file.schema_arrow
    columns |= set(schema.names)
    told = [name for name, feature in _features(schema).items() if feature.get("_type") == "Audio"]
    if asked is not None:
        told = [asked]
    elif not told:
        told = ["audio"]
    if len(told) > 1:
        raise CorpusError(f"{path}: audio in {', '.join(told)[:200]}; expected one column (`fields` maps `path` to it)")
    if told[0] not in schema.names:
        return None
    kind = schema.field(told[0]).type
    if not pa.types.is_struct(kind) or not {"bytes", "path"} & {kind.field(i).name for i in range(kind.num_fields)}:
        raise CorpusError(f"{path}: column {told[0][:80]!r} is {str(kind)[:80]}; expected a struct of bytes and path")
    return told[0]


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What `datasets` wrote of its columns; nothing where it did not write the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def parquet_rows(
    root: Path, data: Path, table: str, column: str, *, wanted: set[str], unpack: Path | None, links: Links
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Place, row, and the path of the audio relative to the root; what the table holds is unpacked."""
    with parquet(data / table) as file:
        features = _features(file.schema_arrow)
    names = {name: feature["names"] for name, feature in features.items() if "names" in feature}
    for place, row in parquet_values(data / table, wanted | {column}, rows_at_once=ROWS_AT_ONCE):
        audio = row[column] or {}
        content, said = audio.get("bytes"), audio.get("path")
        try:
            if content is not None:
                path = _unpacked(root, content, said, unpack, links)
            else:
                path = _in_place(root, (data / table).parent, data, said)
        except CorpusError as error:
            raise at(place, error) from error
        row[column] = {"path": said}
        yield place, {name: _named(value, names.get(name)) for name, value in row.items()}, path


def _named(value: Any, names: Any) -> Any:
    """The name of a class that is stored as a number; `datasets` writes -1 where none is known."""
    if not isinstance(names, list) or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _unpacked(root: Path, content: Any, said: Any, unpack: Path | None, links: Links) -> str:
    """Where the bytes lie as a file of their own, below the root; they are written where they do not yet."""
    if unpack is None:
        raise CorpusError("the audio is within the table; expected `unpack`, a folder below the root to write it to")
    if not isinstance(content, bytes):
        raise CorpusError(f"audio of type {type(content).__name__}; expected bytes")
    name = sha256(content).hexdigest()[:NUM_HASH_DIGITS]
    path = inside(str(unpack / name[:2] / f"{name}{_suffix(content, said)}"), root)
    target = own_file(root, path, links)
    try:
        if not is_local(target):
            held = held_at(root, path)
            if held is None or held.num_bytes != len(content):
                put(target, content)
        elif not target.is_file() or target.stat().st_size != len(content):
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f"{target.name}.{os.getpid()}.unfinished")  # a killed run leaves no half of it
            aside.unlink(missing_ok=True)
            with aside.open("xb") as file:  # never through a link
                file.write(content)
            aside.replace(target)
    except OSError as error:
        raise CorpusError(f"{target}: {why(error)}; expected to write the audio there (`unpack`)") from error
    return path


def _suffix(content: bytes, said: Any) -> str:
    """By what the bytes are, or else by what they were called."""
    for magic, first, suffix in _MAGIC:
        if content[first : first + len(magic)] == magic:
            return suffix
    called = PurePosixPath(said.replace("\0", "")).suffix.lower() if isinstance(said, str) else ""
    return called if called in SUFFIXES else ".bin"


def _in_place(root: Path, folder: Path, data: Path, said: Any) -> str:
    """The file below the root that a row without bytes names."""
    if not isinstance(said, str) or not said:
        raise CorpusError("neither bytes nor path; expected audio in every row")
    for below in (folder, data, root):
        try:
            path = on_disk(root, inside(said, root, below=below))
        except CorpusError:
            if below == root:
                raise
            continue
        if is_file(root, path):
            return path
    raise CorpusError(f"no bytes, and no file {said[:200]!r} below {root}; expected either")


def on_disk(root: Path, path: str) -> str:
    """The same name in the normal form in which it lies there."""
    if path.isascii():
        return path  # in any form
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    return next((form for form in forms if is_file(root, form)), path)
