"""Any corpus laid out as `speaker/file` or `speaker/session/file`.

Licence, citation and language are its owner's to say, in the pipeline file. A table `speakers.csv` at the root
(speaker,sex,age,accent,language; any of them but the first may be missing) tells of the speakers what folders cannot.
"""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.audio import SUFFIXES
from curate.corpora.described import STRICT, CorpusSettings, Described, age_of, sex_of
from curate.corpora.places import files_below, require_inside
from curate.corpora.tabular import read_rows
from curate.errors import CorpusError

LICENCE = None
CITATION = None
URL = None
FILLS = ("sex", "age", "session", "accent", "language")

_COLUMNS = ("speaker", "sex", "age", "accent", "language")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes."""

    reader: Literal["folder"]


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every audio file two or three levels down. Raises CorpusError for one that lies elsewhere."""
    table = root / "speakers.csv"
    if settings.links == "inside":
        require_inside(root, table.name)
    speakers = _speakers(table) if table.exists() else {}
    for path in files_below(root, SUFFIXES, links=settings.links):
        inner = path.split("/")
        if len(inner) not in (2, 3):
            raise CorpusError(
                f"{root / path}: {len(inner) - 1} folders deep; expected speaker/file or speaker/session/file"
            )
        place, known = speakers.get(unicodedata.normalize("NFC", inner[0]), ("", {}))
        try:
            sex, years = sex_of(known.get("sex")), age_of(known.get("age"))
        except CorpusError as error:
            raise CorpusError(f"{place}: {error}") from error
        yield Described(
            path=path,
            speaker=inner[0],
            session=inner[1] if len(inner) == 3 else None,
            sex=sex,
            age_years=years,
            age_source=table.name if years else None,
            accent=known.get("accent"),
            language=known.get("language") or settings.language,
        )


def _speakers(table: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Each speaker's place in the table and row."""
    speakers: dict[str, tuple[str, dict[str, str]]] = {}
    for place, row in read_rows(table):
        if "speaker" not in row:
            raise CorpusError(f"{place}: no `speaker`; expected speaker and any of sex, age, accent, language")
        if unknown := sorted(row.keys() - set(_COLUMNS)):  # or `gender` would lose every sex without a word
            raise CorpusError(f"{place}: column {unknown[0]!r}; expected {', '.join(_COLUMNS)}")
        speaker = unicodedata.normalize("NFC", row["speaker"])
        if speaker in speakers:
            first, _ = speakers[speaker]
            raise CorpusError(f"{place}: speaker {speaker!r} again, after {first}; expected one row a speaker")
        speakers[speaker] = (place, row)
    return speakers
