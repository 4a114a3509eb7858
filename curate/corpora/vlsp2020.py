"""VLSP 2020 ASR: Vietnamese, flat audio files with a text file each; its speakers are told by names or by a table.

Licence: VLSP 2020 participation agreement, which its organisers hand out. Citation: VLSP 2020, "Automatic speech
recognition for Vietnamese", the 7th International Workshop on Vietnamese Language and Speech Processing.
https://vlsp.org.vn/vlsp2020

Layout: `<name>.wav` and `<name>.txt` with its transcript beside it, in one folder or in several. Nothing published
says who speaks: the labels of the 567 speakers that the VietSV paper used, and how they are written, could not be
confirmed. So a section says where a speaker is told: `pattern`, a regular expression over the whole path with a group
`speaker` (and any of session, split, sex, age), or `speakers`, a table with columns file and speaker (and any of
session, sex, age, accent); `file` is the path of the audio or its name without suffix.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.audio import SUFFIXES
from curate.corpora.described import STRICT, CorpusSettings, Described
from curate.corpora.places import files_below, printable
from curate.corpora.sidecars import (
    Encoding,
    Twins,
    matched,
    meant_age,
    meant_sex,
    nfc,
    read_text,
    require_groups,
)
from curate.corpora.tabular import read_rows
from curate.errors import CorpusError
from curate.storage import Location

LICENCE = "VLSP 2020 participation agreement"
CITATION = "VLSP 2020: Automatic speech recognition for Vietnamese, 7th International Workshop on VLSP, 2020"
URL = "https://vlsp.org.vn/vlsp2020"
FILLS = ("sex", "age", "session", "accent", "language", "transcript", "corpus_split")

_GROUPS = {"speaker", "session", "split", "sex", "age"}
_COLUMNS = ("file", "speaker", "session", "sex", "age", "accent")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """One of `pattern` and `speakers` at least; where both tell something, the table holds."""

    FILES_BESIDE: ClassVar[tuple[str, ...]] = (*CorpusSettings.FILES_BESIDE, "speakers")

    reader: Literal["vlsp2020"]
    pattern: str | None = None
    speakers: Location | None = None
    words: dict[Literal["sex", "age"], dict[str, str]] = Field(default_factory=dict)  # coded word -> what it means
    encoding: Encoding = "utf-8"

    def __post_init__(self) -> None:
        super().__post_init__()
        groups = require_groups(self.pattern, _GROUPS) if self.pattern is not None else set()
        if "speaker" not in groups and self.speakers is None:
            raise ValueError(
                "no speakers: expected `pattern` with a group (?P<speaker>...), or `speakers`, a table of files"
            )


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every audio file. Raises CorpusError for one whose speaker nothing tells."""
    table = _table(settings.speakers) if settings.speakers else {}
    texts = Twins(root, (".txt",), {}, settings.links)
    used: set[str] = set()
    for path in files_below(root, SUFFIXES, links=settings.links):
        names = (nfc(path), nfc(str(PurePosixPath(path).with_suffix(""))), nfc(PurePosixPath(path).stem))
        row = next((name for name in names if name in table), None)
        try:
            known = matched(settings.pattern, path) if settings.pattern is not None else {}
            if row is not None:
                known |= table[row][1]
                used.add(row)
            yield _described(root, path, known, texts, settings)
        except CorpusError as error:
            raise CorpusError(f"{root}/{printable(path)}: {error}") from error
    for file, (place, _) in table.items():
        if file not in used:
            raise CorpusError(f"{place}: no audio is called {file[:200]!r}; expected a file below {root}")


def _described(root: Path, path: str, known: dict[str, str], texts: Twins, settings: Settings) -> Described:
    if "speaker" not in known:
        raise CorpusError("no speaker; expected one by `pattern` or in the table `speakers`")
    text = texts.beside(path)
    years = meant_age(known["age"], settings.words.get("age", {})) if "age" in known else None
    source = settings.speakers.name if settings.speakers else "path"
    return Described(
        path=path,
        speaker=known["speaker"],
        session=known.get("session"),
        sex=meant_sex(known["sex"], settings.words.get("sex", {})) if "sex" in known else None,
        age_years=years,
        age_source=source if years else None,
        accent=known.get("accent"),
        language=settings.language or "vi",
        transcript=_spoken(read_text(root / text, settings.encoding)) if text else None,
        corpus_split=known.get("split"),
    )


def _spoken(text: str) -> str | None:
    """On one line."""
    return " ".join(text.replace("\0", " ").split()) or None


def _table(path: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """By file: the place of its row, and what it says."""
    table: dict[str, tuple[str, dict[str, str]]] = {}
    for place, row in read_rows(path):
        if unknown := sorted(row.keys() - set(_COLUMNS)):
            raise CorpusError(f"{place}: column {unknown[0][:80]!r}; expected {', '.join(_COLUMNS)}")
        if "file" not in row or "speaker" not in row:
            raise CorpusError(f"{place}: no file or no speaker; expected both in every row")
        file = nfc(row.pop("file").replace("\\", "/"))
        if file in table:
            raise CorpusError(f"{place}: file {file[:200]!r} again, after {table[file][0]}; expected one row a file")
        table[file] = (place, row)
    return table


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """How many files have no text beside them, and how many texts no audio."""
    links = settings.links
    texts, sounds = Twins(root, (".txt",), {}, links), Twins(root, SUFFIXES, {}, links)
    silent = sum(texts.beside(path) is None for path in files_below(root, SUFFIXES, links=links))
    alone = sum(sounds.beside(path) is None for path in files_below(root, (".txt",), links=links))
    if silent:
        yield f"{silent} recordings have no text beside them; they have no transcript"
    if alone:
        yield f"{alone} texts have no recording beside them; they are not read"
