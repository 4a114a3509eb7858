"""Any corpus told by manifests of SpeechBrain: a CSV with one row an utterance, or one JSON object of utterances.

Licence and citation are its owner's to say, in the pipeline file; a row may say its own licence.

Layout: `ID,duration,wav,start,stop,spk_id` (VoxCeleb), `ID,duration,wav,spk_id,wrd` (LibriSpeech), and more columns in
any order; or `{"<id>": {"wav" or "path", "start", "stop", "spk_id", "wrd" or "words", ...}}`, where `wav` may be an
object of `file`, `start` and `stop`. Paths are relative to the root. Placeholders, `$data_root` in a CSV and
`{data_root}` in JSON, are filled from `replacements`; elsewhere than in a path, one that is not given there stays.

`start` and `stop` are samples: the file's header says at what rate, and whether they are all of the file. `duration`
cannot say it: beside a part of a file the recipe for VoxCeleb writes the duration of the whole.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described
from curate.corpora.listed import (
    DECODER,
    MAX_CHARACTERS,
    at,
    by_split,
    exact,
    lines_of,
    named_file,
    needed,
    number,
    some,
    sounds,
    told,
    word,
)
from curate.corpora.places import inside
from curate.errors import CorpusError
from curate.headers import Header
from curate.storage import Location, why

LICENCE = None
CITATION = None
URL = None
FILLS = ("sex", "age", "session", "accent", "nationality", "language", "transcript", "corpus_split", "licence")

PATH_KEYS = ("wav", "path", "file_path")
SPEAKER_KEYS = ("spk_id", "speaker", "speaker_id")
TRANSCRIPT_KEYS = ("wrd", "words", "transcript", "text")
CHARACTERS_AT_ONCE = 1 << 20
_IN_CSV = re.compile(r"\$([\w.]+)")
_IN_JSON = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_BLANKS = re.compile(r"\s*")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`manifest` is relative to the root: one file, or `{ train = "train.csv", test = "test.csv" }` by split."""

    reader: Literal["speechbrain"]
    manifest: Location | dict[str, Location]
    replacements: dict[str, str] = Field(default_factory=dict)  # { data_root = "." } fills `$data_root`
    moved_from: str | None = None  # where the root was when the manifest was written


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every entry of the manifests. Raises CorpusError naming file and line of one that makes no utterance."""
    look = sounds(root, settings)
    for split, manifest in by_split(settings.manifest):
        path = named_file(root, manifest, settings)
        for place, name, entry in some(path, _entries(path)):
            try:
                said = _filled(entry, _IN_CSV if path.suffix == ".csv" else _IN_JSON, settings.replacements)
                audio = inside(_path_of(said), root, moved_from=settings.moved_from)
                start_s, duration_s = _stretch(said, audio, look)
                yield Described(
                    path=audio,
                    name=needed({"ID": name}, "ID"),
                    start_s=start_s,
                    duration_s=duration_s,
                    transcript=exact(said, *TRANSCRIPT_KEYS),
                    **told(said, settings, speaker_keys=SPEAKER_KEYS, source=path.name, split=split),
                )
            except CorpusError as error:
                raise at(place, error) from error


def _filled(entry: Mapping[str, Any], pattern: re.Pattern[str], replacements: Mapping[str, str]) -> dict[str, Any]:
    """The entry with its placeholders filled. Raises CorpusError for one of a path that is not given."""

    def fill(key: str, found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]  # a brace that is meant is written twice
        if key in PATH_KEYS and found[1] not in replacements:
            raise CorpusError(
                f"`{key}` holds {found[0][:80]!r}; expected it in `replacements`, such as {{ {found[1][:80]!r} = '.' }}"
            )
        return replacements.get(found[1], found[0])

    return {
        key: pattern.sub(partial(fill, key), value) if isinstance(value, str) else value for key, value in entry.items()
    }


def _path_of(entry: Mapping[str, Any]) -> str:
    if word(entry, "wav_opts"):
        raise CorpusError("`wav_opts` of SpeechBrain before 0.5; expected columns `start` and `stop`")
    return needed(entry, *PATH_KEYS)


def _stretch(
    entry: Mapping[str, Any], audio: str, look: Callable[[str], Header | None]
) -> tuple[float | None, float | None]:
    """Start and duration, both None for a whole file. A file that is not there is whole: others will miss it."""
    first, stop = number(entry, "start") or 0.0, number(entry, "stop")
    if first < 0 or (stop is not None and stop < first):
        raise CorpusError(f"samples {first:g} to {stop:g}; expected `start` and a `stop` after it, counted from 0")
    if stop == first:
        stop = None  # to SpeechBrain the end of the file
    found = look(audio) if first or stop is not None else None
    if found is None or (first == 0 and (stop is None or stop >= found.num_samples)):
        return None, None
    rate = found.sample_rate_hz
    return first / rate, None if stop is None else (stop - first) / rate


def _entries(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Place, id and fields of each utterance."""
    if path.suffix not in (".csv", ".json"):
        raise CorpusError(f"{path}: cannot read {path.suffix or 'no suffix'!r}; expected .csv or .json")
    return _csv(path) if path.suffix == ".csv" else _json(path)


def _csv(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    # strict: a quote that is never closed must not swallow the rows below it
    reader = csv.reader((line for _, line in lines_of(path)), skipinitialspace=True, strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        if "ID" not in header or len(set(header)) < len(header):
            told_as = ",".join(header)[:200]
            raise CorpusError(f"{path}:1: columns {told_as!r}; expected ID,duration,wav,spk_id and others, each once")
        line = reader.line_num + 1  # where a row begins; it may go over several
        for cells in reader:
            place, line = f"{path}:{line}", reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise CorpusError(f"{place}: {len(cells)} fields; expected {len(header)} as in the header")
            entry = dict(zip(header, cells, strict=True))
            yield place, entry.pop("ID"), entry
    except csv.Error as error:
        raise CorpusError(f"{path}:{line}: {error}; expected a CSV, with every quote closed") from error


def _json(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for place, name, entry in _Members(path, file).read():
                if not isinstance(entry, dict):
                    raise CorpusError(f"{place}: {type(entry).__name__} of {name[:80]!r}; expected an object")
                if isinstance(wav := entry.get("wav"), dict):
                    entry = entry | wav | {"wav": wav.get("file")}
                yield place, name, entry
    except OSError as error:
        raise CorpusError(f"{path}: {why(error)}; expected a manifest of SpeechBrain") from error


class _Members:
    """The members of one JSON object, read as the file goes by: json.load would hold all of them at once."""

    def __init__(self, path: Path, file: IO[str]):
        self._path, self._file = path, file
        self._text, self._at = "", 0
        self._line, self._counted = 1, 0  # the line at `_counted`

    def read(self) -> Iterator[tuple[str, str, object]]:
        """Place, key and value of each. Raises CorpusError."""
        self._take("{")
        mark = "}" if self._next() == "}" else ","
        if mark == "}":
            self._take("}")
        while mark == ",":
            key = self._value()
            place = f"{self._path}:{self._line}"
            if not isinstance(key, str):
                raise self._error(f"{type(key).__name__} where an id should be")
            self._take(":")
            yield place, key, self._value()
            mark = self._take(",}")
        if self._next():
            raise self._error("text after the end")

    def _next(self) -> str:
        """The next character that is no blank, which stays; "" at the end."""
        while True:
            self._at = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches everything
            if self._at < len(self._text):
                self._line += self._text.count("\n", self._counted, self._at)
                self._counted = self._at
                return self._text[self._at]
            if not self._more():
                return ""

    def _take(self, expected: str) -> str:
        mark = self._next()
        if not mark or mark not in expected:
            raise self._error(f"{mark or 'the end'!r} where {' or '.join(expected)} should be")
        self._at += 1
        return mark

    def _value(self) -> object:
        """The next value, however much of the file must be read for it."""
        self._next()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._at > MAX_CHARACTERS or not self._more():
                    raise self._error(f"no JSON ({getattr(error, 'msg', error)})") from error
                continue
            if end < len(self._text) or not self._more():  # else it may be half a number
                self._at = end
                return value

    def _more(self) -> bool:
        """Drop what is done with and read on, twice as much where that was not enough."""
        self._line += self._text.count("\n", self._counted, self._at)
        try:
            grown = self._file.read(max(CHARACTERS_AT_ONCE, len(self._text) - self._at))
        except UnicodeDecodeError as error:
            raise self._error("no UTF-8 from here on") from error
        self._text, self._at, self._counted = self._text[self._at :] + grown, 0, 0
        return bool(grown)

    def _error(self, what: str) -> CorpusError:
        return CorpusError(f"{self._path}:{self._line}: {what}; expected one JSON object of utterances by their ids")
