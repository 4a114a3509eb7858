"""Lines of the plain lists that evaluations publish, each with the place that an error can name."""

import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from curate.errors import CorpusError
from curate.storage import why

SIDES = {"a": 0, "b": 1}  # of a call, and the channel that each is recorded on


def lines_of(path: Path, *, expected: str) -> Iterator[tuple[str, str]]:
    """`(place, line)` for each line that is not blank, in Unicode's composed form.

    Raises CorpusError for a file that cannot be opened, or that holds what is no text.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if "\0" in line:
                    raise CorpusError(f"{path}:{number}: holds a zero byte; expected {expected}")
                if line.strip():
                    yield f"{path}:{number}", unicodedata.normalize("NFC", line).strip()
    except OSError as error:
        raise CorpusError(f"{path}: {why(error)}; expected {expected}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: byte {error.start} is no UTF-8; expected {expected}") from error


def fields_of(path: Path, *, expected: str, counts: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    """`(place, fields)` for each line that is not blank, divided at blanks into one of `counts` fields."""
    for place, line in lines_of(path, expected=expected):
        fields = line.split()
        if len(fields) not in counts:
            raise CorpusError(f"{place}: {len(fields)} fields; expected {expected}")
        yield place, fields


def seconds(text: str, place: str) -> float:
    """The number of seconds that a field says. Raises CorpusError for what is no plain number."""
    value = float(text) if re.fullmatch(r"[0-9]{1,7}(\.[0-9]{0,9})?", text) else math.inf
    if value == math.inf:
        raise CorpusError(f"{place}: {text[:80]!r}; expected seconds such as 88.000")
    return value


def stretch(start: str, end: str, place: str) -> tuple[float, float]:
    """Start and duration in seconds of what two fields bound; a millisecond is the finest that lists say."""
    start_s, end_s = seconds(start, place), seconds(end, place)
    duration_s = round(end_s - start_s, 3)
    if duration_s <= 0:
        raise CorpusError(f"{place}: from {start[:40]} to {end[:40]} s; expected an end after its start")
    return start_s, duration_s


def side_of(text: str, place: str) -> str:
    """`a` or `b`, the side of a call. Raises CorpusError for anything else."""
    if text.lower() not in SIDES:
        raise CorpusError(f"{place}: side {text[:80]!r}; expected a or b")
    return text.lower()
