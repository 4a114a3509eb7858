"""What manifests of other tools have in common: lines of JSON, plain or gzipped, and fields that all have."""

import gzip
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from curate.audio import probe
from curate.corpora.described import CorpusSettings, age_of, sex_of
from curate.corpora.places import require_inside
from curate.errors import CorpusError
from curate.headers import Header, read_header
from curate.storage import is_local, joined, opened, why

MAX_CHARACTERS = 1 << 24  # a longer line is no utterance, but a file of another form
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
Row = TypeVar("Row")


def by_split(said: Path | dict[str, Path]) -> list[tuple[str | None, Path]]:
    """The files of a settings key, each with its split if that is told."""
    return list(said.items()) if isinstance(said, dict) else [(None, said)]


def named_file(root: Path, said: Path, settings: CorpusSettings) -> Path:
    """A file that a section names by its place in the root. Raises CorpusError for a link that leads out of it.

    An absolute path, and one that goes up, is meant to lead out.
    """
    if settings.links == "inside" and not said.is_absolute() and ".." not in said.parts:
        require_inside(root, said.as_posix())
    return joined(root, said)


def some(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of a file. Raises CorpusError where there is none."""
    first = next(rows, None)
    if first is None:
        raise CorpusError(f"{path}: no rows; expected at least one utterance")
    yield first
    yield from rows


def at(place: str, error: CorpusError) -> CorpusError:
    """The same error with its place, on one line whatever a file's name holds."""
    return CorpusError(f"{place}: {' '.join(str(error).split())}")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a file that may be gzipped. Raises CorpusError naming file and line."""
    number = 0
    try:
        with _opened(path) as file:
            while line := file.readline(MAX_CHARACTERS):
                number += 1
                if len(line) == MAX_CHARACTERS:
                    raise CorpusError(f"{path}:{number}: {MAX_CHARACTERS} bytes without an end; expected lines of text")
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}:{number}: byte {error.start} is no UTF-8; expected text in UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{path}: {why(error)}; expected a manifest, plain or gzipped") from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with opened(path) as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if is_gzip:
            with gzip.open(file) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            yield file


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(place, object)` for each line of JSON; blank lines are passed over."""
    for number, line in lines_of(path):
        if not line.strip():
            continue
        try:
            value = DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path}:{number}: no JSON ({error}); expected one object a line") from error
        if not isinstance(value, dict):
            raise CorpusError(f"{path}:{number}: {type(value).__name__}; expected one object a line")
        yield f"{path}:{number}", value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):  # Python would keep the last
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)[:80]!r} twice")
    return row


DECODER = json.JSONDecoder(object_pairs_hook=_once)


def exact(row: Mapping[str, object], *keys: str) -> str | None:
    """The first of the keys that holds more than blanks, as it stands; None where there is none.

    Numbers are written out, and those that pandas made floats are whole again. Raises CorpusError for what is no text.
    """
    for key in keys:
        value = row.get(key)
        if value is None or (isinstance(value, float) and math.isnan(value)):  # what pandas writes for nothing
            continue
        is_inexact = isinstance(value, float) and abs(value) >= 2**53
        if isinstance(value, bool) or not isinstance(value, str | int | float) or is_inexact:
            raise CorpusError(f"`{key}` {str(value)[:40]!r}; expected text")
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if re.search("[\0\ud800-\udfff]", text):
            raise CorpusError(f"`{key}` {text[:80]!r} holds what is no text; expected Unicode")
        if text.strip():
            return text
    return None


def word(row: Mapping[str, object], *keys: str) -> str | None:
    """The same without blanks around it."""
    text = exact(row, *keys)
    return text and text.strip()


def needed(row: Mapping[str, object], *keys: str) -> str:
    """The same, or CorpusError where there is none."""
    text = word(row, *keys)
    if text is None:
        raise CorpusError(f"no {' or '.join(f'`{key}`' for key in keys)}; expected one in every row")
    return text


def number(row: Mapping[Any, object], key: str) -> float | None:
    """A finite number, or None where nothing is said."""
    value = row.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
            found = float(cast(float, value))
            if math.isfinite(found):
                return found
    except OverflowError:
        pass
    raise CorpusError(f"`{key}` {str(value)[:40]!r}; expected a finite number")


def told(
    row: Mapping[str, object],
    settings: CorpusSettings,
    *,
    speaker_keys: tuple[str, ...],
    source: str,
    split: str | None,
) -> dict[str, Any]:
    """What manifests of every kind say of an utterance in keys of one name; ours write `sex`, the others `gender`."""
    years = age_of(word(row, "age"))
    return {
        "speaker": needed(row, *speaker_keys),
        "session": word(row, "session"),
        "sex": sex_of(word(row, "sex", "gender")),
        "age_years": years,
        "age_source": (word(row, "age_source") or source) if years else None,
        "accent": word(row, "accent"),
        "nationality": word(row, "nationality"),
        "language": word(row, "language", "lang", "source_lang") or settings.language,
        "corpus_split": word(row, "corpus_split", "split") or split,
        "licence": word(row, "licence", "license"),
    }


def sounds(root: Path, settings: CorpusSettings) -> Callable[[str], Header | None]:
    """A function that says the same as `sound_of` of a path below the root. It remembers the last of them.

    It raises CorpusError for a link that leads out of the root, before it opens what lies there.
    """

    @lru_cache(maxsize=1)
    def look(path: str) -> Header | None:
        return sound_of(named_file(root, Path(path), settings))

    return look


def sound_of(file: Path) -> Header | None:
    """Rate and length of a sound file; None where there is none. Kinds without a plain header are decoded whole."""
    if is_local(file) and not os.path.isfile(file):
        return None
    try:
        if header := read_header(file):
            return header
        found = probe(file)
    except FileNotFoundError:
        return None
    except (OSError, CorpusError) as error:
        if is_local(file):
            return None
        raise CorpusError(f"{file}: {why(error)}; expected a file that can be read") from error
    if not found.sample_rate_hz or not found.duration_s:
        return None
    rate = found.sample_rate_hz
    return Header(rate, found.num_channels or 1, round(found.duration_s * rate))
