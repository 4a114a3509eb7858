"""The files of a Kaldi data directory: lines of a key and what is said of it, several of them read side by side.

Those in C order, as Kaldi demands, take no memory; any other is sorted in it.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from curate.corpora.listed import MAX_CHARACTERS
from curate.corpora.places import printable
from curate.errors import CorpusError
from curate.storage import opened, why

BLANKS = re.compile(r"[ \t\r\f\v]+")  # what divides for Kaldi; Python would divide at any blank of Unicode
MAX_LINE_BYTES = 1 << 20  # a longer line says nothing of one utterance; but `spk2utt` has all of a speaker on one


class Line(NamedTuple):
    """`key value` of one file, and where it stands."""

    place: str
    key: str
    value: str


def lines_of(path: Path, max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """Every line that is not blank. Raises CorpusError for a file that cannot be read as text."""
    for place, text in lines_in(path, max_bytes):
        key, *value = BLANKS.split(text, maxsplit=1)
        yield Line(place, key, "".join(value))


def lines_in(path: Path, max_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[str, str]]:
    """The same in one piece, with their places; only a line feed ends a line."""
    name, number = printable(str(path)), 0
    try:
        with opened(path) as file:
            while line := file.readline(max_bytes):
                number += 1
                if len(line) == max_bytes:
                    raise CorpusError(f"{name}:{number}: {max_bytes} bytes without an end; expected lines of text")
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip(" \t\r\n\f\v")
                if "\0" in text:
                    raise CorpusError(f"{name}:{number}: holds a NUL; expected text")
                if text:
                    yield f"{name}:{number}", text
    except OSError as error:
        raise CorpusError(f"{name}: {why(error)}; expected lines of a key and what is said of it") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{name}:{number}: byte {error.start} is no UTF-8; expected text in UTF-8") from error


def pairs_of_spk2utt(path: Path) -> Iterator[Line]:
    """The same as in utt2spk: utterance, speaker; of `model2utt` utterance, model."""
    for line in lines_of(path, MAX_CHARACTERS):
        yield from (Line(line.place, key, line.key) for key in filter(None, BLANKS.split(line.value)))


def in_order(path: Path, read: Callable[[Path], Iterator[Line]] = lines_of) -> Iterator[Line]:
    """Its lines by key, in C order, which is that of code points. Raises CorpusError for a key that comes twice."""
    last: Line | None = None
    for line in read(path) if _is_in_order(read(path)) else sorted(read(path), key=lambda line: line.key):
        if last is not None and line.key == last.key:
            raise CorpusError(f"{line.place}: {line.key[:80]!r} again, after {last.place}; expected each key once")
        last = line
        yield line


def _is_in_order(lines: Iterator[Line]) -> bool:
    last = ""
    for line in lines:
        if line.key < last:
            return False
        last = line.key
    return True


class Column:
    """What one file says of the utterances, which are asked for in order; of a file that is not there, nothing."""

    def __init__(self, path: Path | None, read: Callable[[Path], Iterator[Line]] = lines_of) -> None:
        self.is_there = path is not None
        self._lines = in_order(path, read) if path else iter(())
        self._next = next(self._lines, None)

    def take(self, key: str) -> Line | None:
        """The line of this key, or None. Raises CorpusError for a line that was passed by."""
        line = self._next
        if line is None or line.key > key:
            return None
        if line.key < key:
            self.require_end()
        self._next = next(self._lines, None)
        return line

    def require_end(self) -> None:
        """Raises CorpusError where a line is left."""
        if self._next:
            raise CorpusError(
                f"{self._next.place}: {self._next.key[:80]!r} is not in utt2spk; expected the same utterances in "
                "every file"
            )


def trials_in(path: Path) -> Iterator[tuple[str, str, str, bool | None]]:
    """Place, both sides, and whether they are one speaker where the line says it."""
    for place, enrol, rest in lines_of(path):
        test, *key = BLANKS.split(rest)
        if not test or key not in ([], ["target"], ["nontarget"]):
            raise CorpusError(
                f"{place}: {rest[:80]!r} after {enrol[:80]!r}; expected `enrol test target` or `nontarget`"
            )
        yield place, enrol, test, key == ["target"] if key else None
