"""Hugging Face data sets: a folder of audio with a metadata table, or Parquet files that hold the audio.

Licence and citation are its owner's to say, in the pipeline file. It is laid out as `datasets` reads it:

* `metadata.csv`, `.jsonl` or `.parquet` at the root or in any folder: a row a file, which `file_name` names relative
  to the table.
* `data/<split>-00000-of-00002.parquet` and the like, with a column `audio` of bytes and path. A file of its own is what
  is measured, hashed and listened to, so that bytes are unpacked once into the folder `unpack` below the root, under
  the hash of what they hold; what lies there in full is not written again. A path within the data is never written to.
  A row without bytes names a file of the data set, which is read in place. `data` is where the Parquet files lie, if
  not at the root: the cache of a download is better left alone, and its links lead from `snapshots` to `blobs`, so that
`data` is the folder above both. A Parquet file without audio is another
  configuration, such as a list of trials; `tables` picks files where several hold the same audio.

`fields` says which column holds what (`audio.path` for what is within a column); a field that is not mapped is looked
for under the names that data sets use, in this order: FIELDS below. Classes that are stored as numbers are read by
their names. A split is what the name of a Parquet file begins with, or a folder called train, validation, test or
another word that `datasets` takes for one of them.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.audio import SUFFIXES
from curate.corpora.described import STRICT, CorpusSettings, Described, age_of, sex_of
from curate.corpora.listed import at
from curate.corpora.parquet_audio import audio_column, on_disk, parquet_rows
from curate.corpora.places import files_below, inside
from curate.corpora.tabular import read_values, text_in, told_columns
from curate.errors import CorpusError
from curate.storage import Location, is_folder

LICENCE = None
CITATION = None
URL = None
FILLS = ("sex", "age", "session", "accent", "nationality", "language", "transcript", "corpus_split", "licence")

FieldName = Literal[
    "path",
    "speaker",
    "name",
    "session",
    "sex",
    "age",
    "age_min",
    "age_max",
    "age_source",
    "accent",
    "nationality",
    "language",
    "transcript",
    "split",
    "licence",
]
FIELDS: dict[FieldName, tuple[str, ...]] = {
    "path": ("file_name", "audio"),
    "speaker": ("speaker_id", "speaker", "client_id"),
    "name": ("utterance_id",),
    "session": ("session_id", "session"),
    "sex": ("sex", "gender"),
    "age": ("age",),
    "age_min": ("age_min_years",),
    "age_max": ("age_max_years",),
    "age_source": ("age_source",),
    "accent": ("accent", "accents"),
    "nationality": ("nationality",),
    "language": ("language", "locale"),
    "transcript": ("transcript", "transcription", "sentence", "text"),
    "split": (),
    "licence": ("licence", "license"),
}
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}.*\.parquet")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`unpack` is relative to the root and below it; `data` to the pipeline file."""

    FILES_BESIDE: ClassVar[tuple[str, ...]] = (*CorpusSettings.FILES_BESIDE, "data")

    reader: Literal["huggingface"]
    fields: dict[FieldName, str] = Field(default_factory=dict)  # our field -> the data set's column
    unpack: Path | None = None
    data: Location | None = None
    tables: tuple[str, ...] = ()  # globs over the paths of metadata and Parquet files; nothing given takes all


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every row of every table with audio. Raises CorpusError naming file and row of one that makes no utterance."""
    data = settings.data or root
    seen: set[str] = set()
    columns: set[str] = set()
    wanted = {name for names in FIELDS.values() for name in names} | set(settings.fields.values())
    wanted |= {name.partition(".")[0] for name in wanted}
    has_audio = False
    for table in _tables(data, settings):
        if PurePosixPath(table).name in METADATA:
            found = _metadata_rows(root, data, table, wanted, settings)
        elif (column := audio_column(data / table, settings.fields.get("path"), columns)) is not None:
            found = parquet_rows(root, data, table, column, wanted=wanted, unpack=settings.unpack, links=settings.links)
        else:
            continue
        has_audio = True
        for place, row, path in found:
            seen |= row.keys()
            yield _described(place, path, row, table, settings)
    if not has_audio:
        told = f" (its Parquet files have {told_columns(columns)})" if columns else ""
        raise CorpusError(f"{data}: no metadata table and no Parquet file with audio{told}; expected either")
    if not seen:
        raise CorpusError(f"{data}: no rows in its tables; expected at least one utterance")
    _require_mapped(data, settings, seen)


def _tables(data: Path, settings: Settings) -> list[str]:
    """The metadata tables and Parquet files that are asked for, relative to where the data lie."""
    if not is_folder(data):
        raise CorpusError(f"{data}: no such folder; expected the files of the data set in it (`data`)")
    found = files_below(data, (*METADATA, ".parquet"), links=settings.links)
    every = [path for path in found if path.endswith(".parquet") or PurePosixPath(path).name in METADATA]
    if odd := next((path for path in every if not path.isprintable()), None):
        raise CorpusError(f"{data}: table {odd[:200]!r}; expected a name that can be printed")
    for pattern in settings.tables:
        if not any(fnmatchcase(path, pattern) for path in every):
            raise CorpusError(f"{data}: `tables` {pattern!r} matches none of {len(every)} metadata and Parquet files")
    return [path for path in every if not settings.tables or any(fnmatchcase(path, one) for one in settings.tables)]


def _require_mapped(data: Path, settings: Settings, seen: set[str]) -> None:
    for field, column in settings.fields.items():
        if column.partition(".")[0] not in seen and column not in seen:
            raise CorpusError(f"{data}: no column {column!r} for `{field}`; expected one of {told_columns(seen)}")


def _metadata_rows(
    root: Path, data: Path, table: str, wanted: set[str], settings: Settings
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Place, row, and the path of the audio relative to the root."""
    column = settings.fields.get("path", "file_name")
    for place, row in read_values(data / table, wanted):
        if column not in row:
            raise CorpusError(
                f"{place}: no column {column!r} among {told_columns(row)}; expected the names of files in it (`fields` "
                "maps `path`), and commas between the columns of a CSV"
            )
        said = text_in(place, column, row[column])
        if not said:
            raise CorpusError(f"{place}: no {column!r}; expected the name of a file in every row")
        try:
            path = inside(said, root, below=(data / table).parent)
        except CorpusError as error:
            raise at(place, error) from error
        yield place, row, on_disk(root, path)


def _described(place: str, path: str, row: Mapping[str, Any], table: str, settings: Settings) -> Described:
    told = {field: _told(place, field, row, settings) for field in FIELDS if field != "path"}
    try:
        return _utterance(path, told, row, table, settings)
    except CorpusError as error:
        raise at(place, error) from error


def _utterance(path: str, told: Mapping[Any, str], row: Mapping[str, Any], table: str, settings: Settings) -> Described:
    if not told["speaker"]:
        looked = settings.fields.get("speaker") or " or ".join(FIELDS["speaker"])
        raise CorpusError(
            f"no speaker in {looked}; expected one in every row (`fields` maps it; has {told_columns(row)})"
        )
    years = _years(told)
    return Described(
        path=path,
        speaker=told["speaker"],
        name=told["name"] or None,
        session=told["session"] or None,
        sex=sex_of(told["sex"]),
        age_years=years,
        age_source=(told["age_source"] or PurePosixPath(table).name) if years else None,
        accent=told["accent"] or None,
        nationality=told["nationality"] or None,
        language=told["language"] or settings.language,
        transcript=told["transcript"] or None,
        corpus_split=told["split"] or split_of(table if _SHARD.fullmatch(PurePosixPath(table).name) else path, table),
        licence=told["licence"] or None,
    )


def _told(place: str, field: FieldName, row: Mapping[str, Any], settings: Settings) -> str:
    """What the first column that may hold a field says; "" where none does."""
    asked = settings.fields.get(field)
    for column in (asked,) if asked is not None else FIELDS[field]:
        outer, _, inner = column.partition(".")
        value = row.get(column)
        if column not in row and isinstance(row.get(outer), dict):
            value = row[outer].get(inner)
        if text := text_in(place, column, value):
            return text
    return ""


def _years(told: Mapping[Any, str]) -> tuple[int, int] | None:
    if not told["age_min"] and not told["age_max"]:
        return age_of(told["age"])
    youngest = age_of(told["age_min"]) or age_of(told["age_max"])
    oldest = age_of(told["age_max"]) or youngest
    if youngest is None or oldest is None or youngest[0] > oldest[1]:
        raise CorpusError(f"age from {told['age_min'][:40]} to {told['age_max'][:40]}; expected the younger first")
    return youngest[0], oldest[1]


def split_of(*paths: str) -> str | None:
    """What the first path says that says any: by the name of a shard, or by a folder's or file's word for a split."""
    for path in paths:
        parts = PurePosixPath(path)
        if shard := _SHARD.fullmatch(parts.name):
            return shard["split"]
        for part in (*parts.parts[:-1], parts.stem):
            for word in re.split(r"[-._ 0-9]+", part.lower()):
                if word in _SPLITS:
                    return _SPLITS[word]
    return None


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """How many files of a folder of audio no metadata table names."""
    tables = [path for path in _tables(settings.data or root, settings) if PurePosixPath(path).name in METADATA]
    if not tables or settings.data:
        return
    column = settings.fields.get("path", "file_name")
    named = sum(1 for table in tables for _ in read_values(root / table, {column}))
    there = sum(1 for _ in files_below(root, SUFFIXES, links=settings.links))
    if there > named:
        yield f"{there} audio files lie below the root, of which the metadata tables name {named}; the rest is not read"
