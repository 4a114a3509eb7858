"""Common Voice: sentences that volunteers read aloud and others checked, in some 300 languages.

Licence: CC0 1.0; who downloads it also agrees not to find out who the speakers are. Citation: Ardila et al., "Common
Voice: a massively-multilingual speech corpus", LREC 2020. https://commonvoice.mozilla.org

Layout: the root is the folder of one language in `cv-corpus-<version>-<date>`: `clips/*.mp3`, and tables that are split
at tabs and never quoted. `tables` says which of train, dev, test, validated, invalidated and other are read; a clip
that more than one of them has is read once. `corpus_split` is the one of train, dev and test that has the clip in this
release: the next one divides anew. A speaker is a client_id: an account or browser, not for certain one person, nor the
same id in another language. No session is told. Ages are decades. Votes, variants, segments and domains are not read.
"""

import hashlib
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Literal, final, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as validated

from curate.audio import SUFFIXES
from curate.corpora.described import STRICT, CorpusSettings, Described, age_of, sex_of
from curate.corpora.places import inside
from curate.corpora.sidecars import own_file
from curate.corpora.tabular import read_cells
from curate.errors import CorpusError

LICENCE = "CC0-1.0"
CITATION = "Ardila et al.: Common Voice: a massively-multilingual speech corpus, LREC 2020"
URL = "https://commonvoice.mozilla.org"
FILLS = ("sex", "age", "accent", "language", "transcript", "corpus_split")

Table = Literal["train", "dev", "test", "validated", "invalidated", "other"]
_SPLITS = ("train", "dev", "test")
_REQUIRED = ("client_id", "path", "sentence", "age", "gender")
_COLUMNS = {
    *(*_REQUIRED, "accent", "accents", "locale"),
    *("sentence_id", "sentence_domain", "up_votes", "down_votes", "variant", "segment"),
}
_PLAIN_NAME = re.compile(r"[\w-]+(\.\w+)?")
_MISATTRIBUTED = "cv-corpus-6.0-"  # its successor's notes say so


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`tables` says what to read; `validated` holds train, dev and test."""

    reader: Literal["common_voice"]
    tables: tuple[Table, ...] = ("validated",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tables:
            raise ValueError(f"tables: none; expected any of {', '.join(get_args(Table))}")


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every clip of the tables. Raises CorpusError for one that two lines of a table have, or two clients."""
    _require_own_tables(root, settings)
    splits = {split: _Clips(root, split) for split in _SPLITS if (root / f"{split}.tsv").exists()}
    done: list[_Clips] = []
    for table in dict.fromkeys(settings.tables):
        clips = splits[table] if table in splits else _Clips(root, table)
        for place, row in _rows(root, table):
            if [earlier for earlier in done if earlier.has(place, row)]:
                continue
            within = [split for split, held in splits.items() if held.has(place, row)]
            yield _described(place, row, table, within[0] if within else None, settings)
        done.append(clips)


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """Clips and clients in two splits, clips whose length is not told or nothing, and a release with wrong ages."""
    if root.resolve().parent.name.startswith(_MISATTRIBUTED):
        yield "release 6.0 gives ages, sexes and accents to the wrong clips; 6.1 corrects it"
    _require_own_tables(root, settings)
    splits = [_Clips(root, split) for split in _SPLITS if (root / f"{split}.tsv").exists()]
    for one, other in combinations(splits, 2):
        if both := len(np.intersect1d(one.clips, other.clips)):
            yield f"{both} clips are in {one.table}.tsv and in {other.table}.tsv"
        if both := len(np.intersect1d(one.clients, other.clients)):
            yield f"{both} clients speak in {one.table}.tsv and in {other.table}.tsv"
    if (root / "clip_durations.tsv").exists():
        yield from _odd_lengths(root, settings)


def _require_own_tables(root: Path, settings: Settings) -> None:
    """Raises CorpusError for a table that is a link out of the root."""
    for table in (*get_args(Table), "clip_durations"):
        own_file(root, f"{table}.tsv", settings.links)


def _odd_lengths(root: Path, settings: Settings) -> Iterator[str]:
    measured = np.fromiter(_lengths(root), dtype=[("clip", "u8"), ("ms", "f8")])
    if empty := int((measured["ms"] <= 0).sum()):
        yield f"{empty} clips last 0 ms in clip_durations.tsv"
    for table in dict.fromkeys(settings.tables):
        clips = _Clips(root, table)
        lines = clips.lines[~np.isin(clips.clips, measured["clip"])]
        if len(lines):
            yield f"{len(lines)} clips of {table}.tsv are not in clip_durations.tsv, first that of line {lines.min()}"


def _lengths(root: Path) -> Iterator[tuple[int, float]]:
    """Hash and milliseconds of each clip that clip_durations.tsv has."""
    for place, row in read_cells(root / "clip_durations.tsv"):
        clip, ms = row.get("clip") or row.get("filename"), row.get("duration[ms]")
        if not clip or ms is None:
            raise CorpusError(f"{place}: no clip or no duration[ms]; expected these two columns")
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", ms):
            raise CorpusError(f"{place}: duration[ms] {ms[:80]!r}; expected milliseconds")
        yield _hash(_at(place, clip, root)), float(ms)


@final
class _Clips:
    """Which clips a table holds and whose they are, in 20 bytes a clip: a table can have millions of lines."""

    def __init__(self, root: Path, table: str) -> None:
        self.table = table
        held = (
            (_hash(row["path"]), _hash(row["client_id"]), int(place.rpartition(":")[2]))
            for place, row in _rows(root, table)
        )
        told = np.fromiter(held, dtype=[("clip", "u8"), ("client", "u8"), ("line", "u4")])
        told = told[np.argsort(told["clip"], kind="stable")]
        self.clips: NDArray[np.uint64] = told["clip"]
        self.clients: NDArray[np.uint64] = told["client"]
        self.lines: NDArray[np.uint32] = told["line"]
        twice = np.flatnonzero(self.clips[1:] == self.clips[:-1])
        if len(twice):
            first, again = self.lines[twice[0]], self.lines[twice[0] + 1]
            raise CorpusError(f"{root / table}.tsv:{again}: the clip of line {first} again; expected one line a clip")

    def has(self, place: str, row: dict[str, str]) -> bool:
        """Whether the clip of that row is here. Raises CorpusError where it is another client's."""
        clip = np.uint64(_hash(row["path"]))
        at = int(np.searchsorted(self.clips, clip))
        if at == len(self.clips) or self.clips[at] != clip:
            return False
        if int(self.clients[at]) != _hash(row["client_id"]):
            raise CorpusError(
                f"{place}: clip {row['path'][:80]!r} is another client's than in {self.table}.tsv:{self.lines[at]}; "
                "expected one speaker a clip"
            )
        return True


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _rows(root: Path, table: str) -> Iterator[tuple[str, dict[str, str]]]:
    """`(place, row)` with the path as it is below the root. Raises CorpusError for a column that would be lost."""
    for number, (place, row) in enumerate(read_cells(root / f"{table}.tsv")):
        if number == 0:
            _check_columns(place, row)
        yield place, row | {"path": _at(place, row["path"], root)}


def _check_columns(place: str, row: dict[str, str]) -> None:
    missing = [column for column in _REQUIRED if column not in row]
    if not row.keys() & {"accent", "accents"}:
        missing.append("accents")
    unknown = sorted(row.keys() - _COLUMNS)
    if "locale" not in row and unknown:  # releases before 5.0 have none: but this could be it, misspelt
        missing.append("locale")
    if missing:
        told = f" but {unknown[0][:80]!r}" if unknown else ""
        raise CorpusError(f"{place}: no column {missing[0]!r}{told}; expected the columns of Common Voice")


def _at(place: str, told: str, root: Path) -> str:
    """Where a clip lies: older releases leave out `.mp3`, and some copies put `clips/` before the name."""
    name = told.replace("\\", "/").removeprefix("./")
    if _PLAIN_NAME.fullmatch(name):  # nearly all: looking at each closely takes longer than reading its line
        path = f"clips/{name}"
    else:
        try:
            path = inside(name, root, below=root if name.startswith("clips/") else root / "clips")
        except CorpusError as error:
            raise CorpusError(f"{place}: {error}") from error
    if not path.isprintable():
        raise CorpusError(f"{place}: path {told[:80]!r}; expected the name of a clip")
    return path if path.lower().endswith(SUFFIXES) else f"{path}.mp3"


def _described(place: str, row: dict[str, str], table: str, split: str | None, settings: Settings) -> Described:
    try:
        years = age_of(row["age"])
        return Described(
            path=row["path"],
            speaker=row["client_id"],
            sex=sex_of(row["gender"]),
            age_years=years,
            age_source=f"{table}.tsv" if years else None,
            accent=row.get("accents") or row.get("accent") or None,
            language=row.get("locale") or settings.language,
            transcript=row["sentence"] or None,
            corpus_split=split,
        )
    except CorpusError as error:
        raise CorpusError(f"{place}: {error}") from error
