"""EmoDB: ten actors, ten German sentences, seven emotions, recorded in an anechoic chamber.

Licence: free for research. Citation: Burkhardt et al., "A database of German emotional speech", Interspeech 2005.
http://emodb.bilderbar.info

Layout: `wav/<speaker><sentence><emotion><version>.wav`, such as `03a01Fa.wav`. Sex and age are as its authors publish
them; `speakers.csv` (speaker,sex,age) and `sentences.csv` (code,transcript) at the root go before that. One
session: nothing says on which day a file was recorded.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import FEMALE, MALE, STRICT, CorpusSettings, Described, age_of, files_in, sex_of
from curate.corpora.listed import at
from curate.corpora.sidecars import own_file
from curate.corpora.tabular import read_rows
from curate.errors import CorpusError

LICENCE = "free for research"
CITATION = "Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss: A database of German emotional speech, Interspeech 2005"
URL = "http://emodb.bilderbar.info"
FILLS = ("sex", "age", "language", "transcript")

_PUBLISHED = {
    "03": (MALE, 31),
    "08": (FEMALE, 34),
    "09": (FEMALE, 21),
    "10": (MALE, 32),
    "11": (MALE, 26),
    "12": (MALE, 30),
    "13": (FEMALE, 32),
    "14": (FEMALE, 35),
    "15": (MALE, 25),
    "16": (FEMALE, 31),
}


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes."""

    reader: Literal["emodb"]


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every WAV. Raises CorpusError for a name that is not of EmoDB's form, or an actor nobody knows."""
    speakers = _speakers(own_file(root, "speakers.csv", settings.links))
    sentences = _sentences(own_file(root, "sentences.csv", settings.links))
    for file in files_in(root / "wav", "*.wav"):
        name = re.fullmatch(r"([0-9]{2})([ab][0-9]{2})([WLEAFTN])([a-z])", file.stem)
        if not name:
            raise CorpusError(f"{file}: expected a name like 03a01Fa (speaker, sentence, emotion, version)")
        if name[1] not in speakers:
            raise CorpusError(f"{file}: speaker {name[1]} is not among {', '.join(sorted(speakers))}")
        sex, years = speakers[name[1]]
        yield Described(
            path=file.relative_to(root).as_posix(),
            speaker=name[1],
            sex=sex,
            age_years=years,
            age_source="corpus" if years else None,
            language=settings.language or "de",
            transcript=sentences.get(name[2]),
        )


def _speakers(path: Path) -> dict[str, tuple[str | None, tuple[int, int] | None]]:
    if not path.exists():
        return {speaker: (sex, (age, age)) for speaker, (sex, age) in _PUBLISHED.items()}
    return {row.get("speaker", ""): _sex_and_age(place, row) for place, row in read_rows(path)}


def _sex_and_age(place: str, row: dict[str, str]) -> tuple[str | None, tuple[int, int] | None]:
    try:
        return sex_of(row.get("sex")), age_of(row.get("age"))
    except CorpusError as error:
        raise at(place, error) from error


def _sentences(path: Path) -> dict[str, str]:
    return (
        {row["code"]: row["transcript"] for _, row in read_rows(path) if row.keys() >= {"code", "transcript"}}
        if path.exists()
        else {}
    )
