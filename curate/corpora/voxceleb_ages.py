"""How old VoxCeleb's speakers were in each video, by the lists that others made of it: VoxCeleb itself tells no age.

| list | form |
| --- | --- |
| VoxCeleb Enrichment (arXiv:2109.13510), `final_dataframe_extended.csv` | a table; speaker_age, VoxCeleb_ID, video_id |
| its `age-train.txt`, `age-test.txt` | the same columns among fewer |
| AgeVoxCeleb (Tawara et al., ICASSP 2021), `utt2age.train`, `utt2age.test` | `id00012/21Uxsk56VDQ/00001 43` |

In the last form the number of the utterance may be missing. All say an age a video. Vox-CA (arXiv:2207.05929) gives out
its ages as a pickle, which can run code when it is opened: written as lines of the last form, it is read.

An age counts in completed years. A blank one, or `nan`, is unknown; any other that nobody has is an error.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curate.corpora.described import OLDEST_YEARS
from curate.corpora.lists import lines_of
from curate.errors import CorpusError

_COLUMNS = ("speaker_age", "VoxCeleb_ID", "video_id")
_EXPECTED = "a list that goes with VoxCeleb"
_FORMS = f"lines such as `id00012/21Uxsk56VDQ/00001 43` (AgeVoxCeleb), or a table of {', '.join(_COLUMNS)} (Enrichment)"
_DELIMITERS = "\t,;"
_SPEAKER, _VIDEO = re.compile(r"id[0-9]{5}"), re.compile(r"[A-Za-z0-9_-]{11}")
_AGE = re.compile(r"([0-9]{1,3})(?:\.[0-9]+)?")
_LINE = re.compile(rf"({_SPEAKER.pattern})/({_VIDEO.pattern})(?:/[0-9]{{5}})?[ \t]+(\S+)")


@dataclass(frozen=True, slots=True)
class Age:
    """What all lists say of one speaker in one video: youngest and oldest, in years."""

    youngest: int
    oldest: int
    lists: tuple[str, ...]

    @property
    def source(self) -> str:
        """The names of the lists that tell it."""
        return "+".join(self.lists)

    @property
    def conflict_years(self) -> int | None:
        """How far they are apart; None where they agree."""
        return self.oldest - self.youngest or None

    def joined(self, years: int, told_by: str) -> "Age":
        """With one more statement."""
        if self.youngest <= years <= self.oldest and told_by in self.lists:
            return self
        lists = self.lists if told_by in self.lists else (*self.lists, told_by)
        return Age(min(self.youngest, years), max(self.oldest, years), lists)


@dataclass(frozen=True, kw_only=True)
class Ages:
    """What the lists give, and by list how many of their rows give nothing."""

    of_video: dict[str, Age]  # by `speaker/video`: many people may speak in one video
    of_voxceleb1: Counter[str]
    without_speaker: Counter[str]


def gather(paths: Iterable[Path], is_of_voxceleb1: Callable[[str], bool]) -> Ages:
    """The ages of all lists together. Raises CorpusError naming file and line of one that makes no sense.

    Enrichment lost VoxCeleb1's speakers on its way (it looked for ids `!= nan`, as all are), so that a row of it which
    names one cannot be meant: it gives no age.
    """
    ages = Ages(of_video={}, of_voxceleb1=Counter(), without_speaker=Counter())
    for path in paths:
        is_enrichment = not _LINE.fullmatch(first := _first_line(path))
        if is_enrichment and not any(column in first for column in _COLUMNS):
            raise CorpusError(f"{path}: begins with {first[:80]!r}; expected {_FORMS}")
        for speaker, video, years in _of_enrichment(path) if is_enrichment else _of_agevoxceleb(path):
            key = f"{speaker}/{video}"
            if not speaker:
                ages.without_speaker[path.name] += 1
            elif is_enrichment and is_of_voxceleb1(speaker):
                ages.of_voxceleb1[path.name] += 1
            elif key in ages.of_video:
                ages.of_video[key] = ages.of_video[key].joined(years, path.name)
            else:
                ages.of_video[key] = Age(years, years, (path.name,))
    return ages


def remarks(ages: Ages) -> Iterator[str]:
    """What is odd about the lists, a line each."""
    for name, count in ages.of_voxceleb1.items():
        yield f"{name}: {count} of its ages are left out: they name VoxCeleb1's speakers, of whom Enrichment knows none"
    for name, count in ages.without_speaker.items():
        yield f"{name}: {count} of its ages are left out: their rows have no VoxCeleb_ID"
    apart = {key: age for key, age in ages.of_video.items() if age.conflict_years}
    if apart:
        key, age = max(apart.items(), key=lambda item: item[1].conflict_years or 0)
        yield (
            f"the lists of ages disagree on {len(apart)} of {len(ages.of_video)} videos, "
            f"most on {key}: {age.youngest} to {age.oldest} years ({age.source})"
        )


def _of_agevoxceleb(path: Path) -> Iterator[tuple[str, str, int]]:
    for place, line in lines_of(path, expected=_EXPECTED):
        match = _LINE.fullmatch(line)
        if not match:
            raise CorpusError(f"{place}: {line[:80]!r}; expected a speaker's video and age, id00012/21Uxsk56VDQ 43")
        years = _years(place, match[3])
        if years is not None:
            yield match[1], match[2], years


def _of_enrichment(path: Path) -> Iterator[tuple[str, str, int]]:
    for place, row in table_rows(path):
        for column in _COLUMNS:
            if column not in row:
                raise CorpusError(f"{place}: no column {column!r}; expected {', '.join(_COLUMNS)}")
        age, speaker, video = (row[column] for column in _COLUMNS)
        years = _years(place, age)
        if years is None:
            continue
        speaker = "" if speaker.lower() == "nan" else speaker
        for said, form, expected in ((speaker or "id00012", _SPEAKER, "id00012"), (video, _VIDEO, "21Uxsk56VDQ")):
            if not form.fullmatch(said):  # cut or misspelt, it would find nobody
                raise CorpusError(f"{place}: {said[:80]!r}; expected an id such as {expected}")
        yield speaker, video, years


def _years(place: str, word: str) -> int | None:
    if word.lower() in ("", "nan"):
        return None
    match = _AGE.fullmatch(word)
    if not match or int(match[1]) > OLDEST_YEARS:
        raise CorpusError(f"{place}: age {word[:80]!r}; expected years from 0 to {OLDEST_YEARS}, or a blank")
    return int(match[1])


def table_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """`(place, row)` of a table that is split at whatever of tab, comma, semicolon its header holds most of.

    Blanks around cells are cut off. Raises CorpusError naming file and line.
    """
    delimiter = max(_DELIMITERS, key=_first_line(path).count)
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, quoting=quoting, strict=True)
        try:
            yield from _stripped(path, reader)
        except csv.Error as error:
            raise CorpusError(f"{path}:{reader.reader.line_num}: {error}; expected a table") from error
        except UnicodeDecodeError as error:
            raise CorpusError(f"{path}: byte {error.start} is no UTF-8; expected text in UTF-8") from error


def _stripped(path: Path, reader: "csv.DictReader[str]") -> Iterator[tuple[str, dict[str, str]]]:
    header = [column.strip() for column in reader.fieldnames or ()]
    if len(set(header)) < len(header):
        raise CorpusError(f"{path}:{reader.line_num}: a column is named twice; expected each once")
    place = ""
    for row in reader:
        place = f"{path}:{reader.line_num}"
        if None in row or None in row.values():  # so DictReader tells cells too many, or too few
            raise CorpusError(f"{place}: not as many fields as the header; expected {len(header)}")
        yield place, {column: cell.strip() for column, cell in zip(header, row.values(), strict=True)}
    if not place:
        raise CorpusError(f"{path}: no rows; expected a header and rows")


def _first_line(path: Path) -> str:
    for _, line in lines_of(path, expected=_EXPECTED):
        return line
    raise CorpusError(f"{path}: empty; expected {_EXPECTED}")
