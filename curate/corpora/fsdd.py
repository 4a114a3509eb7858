"""FSDD, the Free Spoken Digit Dataset: single English digits at 8 kHz.

Licence: CC BY-SA 4.0. Citation: Jackson et al., "Free Spoken Digit Dataset", Zenodo 1342401.
https://github.com/Jakobovski/free-spoken-digit-dataset

Layout: `recordings/<digit>_<speaker>_<take>.wav`. Sex, accent and language come from `speakers.csv` at the root
(speaker,sex,accent,language) where it is there; nobody's age and no session is known. Most files are shorter than half
a second: give the section a `min_duration_s` that fits.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, files_in, sex_of
from curate.corpora.listed import at
from curate.corpora.sidecars import own_file
from curate.corpora.tabular import read_rows
from curate.errors import CorpusError

LICENCE = "CC-BY-SA-4.0"
CITATION = "Jackson et al.: Free Spoken Digit Dataset, Zenodo 1342401"
URL = "https://github.com/Jakobovski/free-spoken-digit-dataset"
FILLS = ("sex", "accent", "language", "transcript")

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes."""

    reader: Literal["fsdd"]


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every WAV; the digit is the transcript. Raises CorpusError for a name that is not of FSDD's form."""
    speakers = _speakers(own_file(root, "speakers.csv", settings.links))
    for file in files_in(root / "recordings", "*.wav"):
        name = re.fullmatch(r"([0-9])_([^_]+)_([0-9]+)", file.stem)
        if not name:
            raise CorpusError(f"{file}: expected a name like 7_jackson_32 (digit, speaker, take)")
        sex, accent = speakers.get(name[2], (None, None))
        yield Described(
            path=file.relative_to(root).as_posix(),
            speaker=name[2],
            sex=sex,
            accent=accent,
            language=settings.language or "en",
            transcript=_DIGITS[int(name[1])],
        )


def _speakers(path: Path) -> dict[str, tuple[str | None, str | None]]:
    """Sex and accent by speaker; nothing where there is no table."""
    speakers = {}
    for place, row in read_rows(path) if path.exists() else ():
        try:
            speakers[row.get("speaker", "")] = (sex_of(row.get("sex")), row.get("accent"))
        except CorpusError as error:
            raise at(place, error) from error
    return speakers
