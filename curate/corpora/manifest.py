"""Any corpus told by a table: CSV, TSV, JSONL or Parquet, one row an utterance.

Licence and citation are its owner's to say, in the pipeline file. `fields` says which of the table's columns holds
what; a field that is not mapped is looked for under its own name.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, age_of, sex_of
from curate.corpora.listed import at, named_file, number, some
from curate.corpora.places import inside
from curate.corpora.tabular import read_values, text_in, told_columns
from curate.errors import CorpusError
from curate.storage import Location

LICENCE = None
CITATION = None
URL = None
FILLS = ("sex", "age", "session", "work", "accent", "nationality", "language", "transcript", "corpus_split", "licence")

FieldName = Literal[
    "path",
    "speaker",
    "name",
    "session",
    "work",
    "start_s",
    "duration_s",
    "channel",
    "sex",
    "age",
    "accent",
    "nationality",
    "language",
    "transcript",
    "split",
    "licence",
]
REQUIRED: tuple[FieldName, ...] = ("path", "speaker")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`manifest` is relative to the root, as the paths in it are."""

    reader: Literal["manifest"]
    manifest: Location
    fields: dict[FieldName, str] = Field(default_factory=dict)  # our field -> the manifest's column


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every row of the manifest. Raises CorpusError naming file and line of one that makes no utterance."""
    columns: dict[FieldName, str] = {field: field for field in get_args(FieldName) if field != "channel"}
    columns |= settings.fields  # a channel must be asked for: a column of that name often says `left`, or a microphone
    path = named_file(root, settings.manifest, settings)
    seen: set[str] = set()
    for place, row in some(path, read_values(path, columns.values())):
        seen |= row.keys()
        for field in REQUIRED:
            if columns[field] not in row:
                raise CorpusError(
                    f"{place}: no column {columns[field]!r} that says the {field}; expected it among "
                    f"{told_columns(row)} (`fields` maps names; commas divide a .csv, tabs a .tsv)"
                )
        told = {field: text_in(place, column, row[column]) for field, column in columns.items() if column in row}
        try:
            yield _described(told, columns, root, settings)
        except CorpusError as error:
            raise at(place, error) from error
    for field, column in settings.fields.items():
        if column not in seen:
            raise CorpusError(
                f"{path}: no row has a column {column!r} for `{field}`; expected one of {told_columns(seen)}"
            )


def _described(row: dict[FieldName, str], columns: dict[FieldName, str], root: Path, settings: Settings) -> Described:
    for field in REQUIRED:
        if not row[field]:
            raise CorpusError(f"row has no {field} in column {columns[field]!r}; expected a {field} in every row")
    row = {field: text for field, text in row.items() if text}
    years = age_of(row.get("age"))
    return Described(
        path=inside(row["path"], root),
        speaker=row["speaker"],
        name=row.get("name"),
        session=row.get("session"),
        work=row.get("work"),
        start_s=number(row, "start_s"),
        duration_s=number(row, "duration_s"),
        channel=_channel(row.get("channel")),
        sex=sex_of(row.get("sex")),
        age_years=years,
        age_source=settings.manifest.name if years else None,
        accent=row.get("accent"),
        nationality=row.get("nationality"),
        language=row.get("language") or settings.language,
        transcript=row.get("transcript"),
        corpus_split=row.get("split"),
        licence=row.get("licence"),
    )


def _channel(said: str | None) -> int | None:
    if said is not None and not re.fullmatch("[0-9]{1,4}", said):
        raise CorpusError(f"channel {said[:80]!r}; expected a channel of the file, counted from 0")
    return None if said is None else int(said)
