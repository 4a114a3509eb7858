"""Zalo AI Challenge 2020, voice verification: Vietnamese sentences of 400 speakers.

Licence and citation are not published: say in the pipeline file on what terms you hold it. The challenge was at
https://challenge.zalo.ai

Layout: `<id>-<M or F>-<number>/<id>-<n>.wav`, at the root or in any folder below it; `<id>.wav`, `speaker_<id>-<n>.wav`
and one file named like its folder occur, too. A speaker is a folder under its whole name: two folders with one id stay
two speakers, and a remark names them. The number is taken for an age in years; some of the files named like their
folder have another number in it (`600-M-29/600-M-30.wav`): then the speaker's age is from one to the other, and a
conflict. Nobody says who speaks in the folder `public-test`: it is left out, with a remark. No session is told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import OLDEST_YEARS, STRICT, CorpusSettings, Described, sex_of
from curate.corpora.places import files_below
from curate.errors import CorpusError

LICENCE = None
CITATION = None
URL = "https://challenge.zalo.ai"
FILLS = ("sex", "age", "language")

_AGE_SOURCE = "folder name"
_UNLABELLED = re.compile(r"(public|private)[-_]test", re.IGNORECASE)


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes."""

    reader: Literal["zaloai"]


@dataclass(frozen=True, kw_only=True)
class _Folder:
    name: str
    id: str
    sex: str
    years: int
    files: tuple[str, ...]  # relative to the root


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every WAV in the folder of a speaker. Raises CorpusError for one elsewhere."""
    for folder in _folders(root, settings):
        ages = {folder.years} | {years for *_, years in _told_by_names(folder) if years and years <= OLDEST_YEARS}
        for path in folder.files:
            yield Described(
                path=path,
                speaker=folder.name,
                sex=sex_of(folder.sex),
                age_years=(min(ages), max(ages)),
                age_source=_AGE_SOURCE,
                age_conflict_years=max(ages) - min(ages) or None,
                language=settings.language or "vi",
            )


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """What is left out, ids that more than one folder claims, and files whose names contradict their folder."""
    if unlabelled := sum(_is_unlabelled(path) for path in _sounds(root, settings)):
        yield f"{unlabelled} files of a test whose speakers nobody names are left out"
    claims: dict[str, set[str]] = {}
    for folder in _folders(root, settings):
        claims.setdefault(folder.id, set()).add(folder.name)
        for path, number, sex, years in _told_by_names(folder):
            told = (number, sex or folder.sex, folder.years if years is None else years)
            if told != (folder.id, folder.sex, folder.years):
                yield f"{path} is named after another id, sex or age than its folder"
    for number, names in sorted(claims.items()):
        if len(names) > 1:
            yield f"id {number} has the folders {' and '.join(sorted(names))}: expected one speaker an id"


def aliases(root: Path, settings: Settings) -> dict[str, str]:
    """Each speaker's id, as public lists have it, but for those that two folders claim."""
    claims: dict[str, set[str]] = {}
    for folder in _folders(root, settings):
        claims.setdefault(folder.id, set()).add(folder.name)
    return {number: min(names) for number, names in sorted(claims.items()) if len(names) == 1}


def _sounds(root: Path, settings: Settings) -> Iterator[str]:
    return files_below(root, (".wav",), links=settings.links)


def _folders(root: Path, settings: Settings) -> Iterator[_Folder]:
    for path, files in groupby(_sounds(root, settings), key=lambda path: path.rpartition("/")[0]):
        if _is_unlabelled(path):
            continue
        name = path.rpartition("/")[2]
        parts = re.fullmatch(r"([0-9]+)-([MFmf])-([0-9]{1,3})", name)
        paths = tuple(files)
        odd = [path for path in paths if not path.isprintable()]
        if not parts or odd:
            raise CorpusError(
                f"{(odd or paths)[0]!r} in {root}; expected audio in folders like 577-M-27 (id, sex, age)"
            )
        if not 0 < int(parts[3]) <= OLDEST_YEARS:
            raise CorpusError(f"{path!r} in {root}: {int(parts[3])} years; expected an age of 1 to {OLDEST_YEARS}")
        yield _Folder(name=name, id=parts[1], sex=parts[2].upper(), years=int(parts[3]), files=paths)


def _is_unlabelled(path: str) -> bool:
    return any(_UNLABELLED.fullmatch(level) for level in path.split("/"))


def _told_by_names(folder: _Folder) -> Iterator[tuple[str, str, str | None, int | None]]:
    """Path, id, sex and age of every file whose name begins with an id."""
    for path in folder.files:
        told = re.match(r"(?:speaker_)?([0-9]+)(?:-([MFmf])-([0-9]{0,3})$)?", PurePosixPath(path).stem)
        if told:
            yield path, told[1], told[2] and told[2].upper(), int(told[3]) if told[3] else None
