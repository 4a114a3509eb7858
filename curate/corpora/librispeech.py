"""LibriSpeech: read English from LibriVox audiobooks.

Licence: CC BY 4.0. Citation: Panayotov et al., "Librispeech: an ASR corpus based on public domain audio books",
ICASSP 2015. https://www.openslr.org/12

Layout: `<subset>/<reader>/<chapter>/<reader>-<chapter>-<nnnn>.flac`, `<reader>-<chapter>.trans.txt` beside them,
`SPEAKERS.TXT` and `CHAPTERS.TXT` at the root, as the archives unpack. A session is a chapter, a work is the book that
it is of, by its number at Project Gutenberg: several people read chapters of one book, and a text may be read twice.
Nobody's age is known. A chapter may come without its transcripts, a transcript may lack a line, and `CHAPTERS.TXT` may
lack a chapter, or not be there: then the words, or the book, are not known, and a remark says so. `BOOKS.TXT` is not
read.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described
from curate.corpora.places import files_below, is_file
from curate.corpora.sidecars import lines_of, own_file, pairs_of, sex_at
from curate.errors import CorpusError

LICENCE = "CC-BY-4.0"
CITATION = (
    "Panayotov, Chen, Povey, Khudanpur: Librispeech: an ASR corpus based on public domain audio books, ICASSP 2015"
)
URL = "https://www.openslr.org/12"
FILLS = ("sex", "session", "work", "language", "transcript", "corpus_split")
CHECKSUMS = {  # md5, as in https://www.openslr.org/resources/12/md5sum.txt
    "dev-clean.tar.gz": "42e2234ba48799c1f50f24a7926300a1",
    "dev-other.tar.gz": "c8d0bcc9cca99d4f8b62fcc847357931",
    "test-clean.tar.gz": "32fa31d27d2e1cad72775fee3f4849a9",
    "test-other.tar.gz": "fb5a50374b501bb3bac4815ee91d3135",
    "train-clean-100.tar.gz": "2a93770f6d5c6c964bc36631d331a522",
    "train-clean-360.tar.gz": "c0e676e450a7ff2f54aeade5171606fa",
    "train-other-500.tar.gz": "d1a0fd59409feb2c614ce4d30c387708",
}

_NUM_READERS = {
    "dev-clean": 40,
    "dev-other": 33,
    "test-clean": 40,
    "test-other": 33,
    "train-clean-100": 251,
    "train-clean-360": 921,
    "train-other-500": 1166,
}


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes; `include = ["dev-clean/*"]` picks subsets."""

    reader: Literal["librispeech"]


@dataclass(frozen=True, kw_only=True)
class _Chapter:
    subset: str
    reader: str
    number: str
    files: tuple[str, ...]  # relative to the root
    transcripts: dict[str, str] | None  # by utterance; None where it comes without


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every FLAC in its place. Raises CorpusError for one elsewhere, and where SPEAKERS.TXT lacks a reader."""
    readers, books = _readers(root, settings), _books(root, settings) or {}
    for chapter in _chapters(root, settings):
        if chapter.reader not in readers:
            raise CorpusError(
                f"{root / 'SPEAKERS.TXT'}: no line for reader {chapter.reader} of {chapter.subset}; "
                "expected one for each"
            )
        for path in chapter.files:
            yield Described(
                path=path,
                speaker=chapter.reader,
                session=chapter.number,
                work=books.get(chapter.number),
                sex=readers[chapter.reader][0],
                language=settings.language or "en",
                transcript=(chapter.transcripts or {}).get(PurePosixPath(path).stem),
                corpus_split=chapter.subset,
            )


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """Readers listed otherwise than published or lying in another subset, and what is lacking of books and transcripts.

    Less audio than published is no fault: a corpus may be a piece of itself.
    """
    readers, books = _readers(root, settings), _books(root, settings)
    lying: set[tuple[str, str]] = set()
    bare: list[str] = []
    of_no_book: list[str] = []
    untold: list[str] = []
    unheard: list[str] = []
    for chapter in _chapters(root, settings):
        lying.add((chapter.subset, chapter.reader))
        of_no_book += [] if books is None or chapter.number in books else [chapter.number]
        if chapter.transcripts is None:
            bare.append(f"{chapter.subset}/{chapter.reader}/{chapter.number}")
            continue
        spoken = {PurePosixPath(path).stem for path in chapter.files}
        untold += sorted(spoken - chapter.transcripts.keys())
        unheard += sorted(chapter.transcripts.keys() - spoken)
    yield from _readers_unlike_published(readers, lying)
    if books is None:
        yield "CHAPTERS.TXT is not there: of no chapter is it known which book it is of"
    if of_no_book:
        yield f"{len(of_no_book)} chapters have no line in CHAPTERS.TXT, such as {of_no_book[0]}"
    if bare:
        yield f"{len(bare)} chapters come without transcripts, such as {bare[0]}"
    if untold:
        yield f"{len(untold)} utterances have no line in the transcripts of their chapter, such as {untold[0]}"
    if unheard:
        yield f"{len(unheard)} lines of transcripts have no audio, such as {unheard[0]}"


def _readers_unlike_published(readers: dict[str, tuple[str | None, str]], lying: set[tuple[str, str]]) -> Iterator[str]:
    told = Counter(subset for _, subset in readers.values())
    for subset in sorted({subset for subset, _ in lying} & _NUM_READERS.keys()):
        if told[subset] != _NUM_READERS[subset]:
            yield f"SPEAKERS.TXT names {told[subset]} readers of {subset}; published are {_NUM_READERS[subset]}"
    moved = Counter(
        (subset, readers[reader][1]) for subset, reader in lying if reader in readers and readers[reader][1] != subset
    )
    for (subset, where), count in sorted(moved.items()):
        yield f"{count} readers lie in {subset}, but are readers of {where} in SPEAKERS.TXT"


def _chapters(root: Path, settings: Settings) -> Iterator[_Chapter]:
    found = files_below(root, (".flac",), links=settings.links)
    for folder, files in groupby(found, key=lambda path: path.rpartition("/")[0]):
        levels = folder.split("/")
        paths = tuple(files)
        if odd := [path for path in paths if len(levels) != 3 or not path.isprintable()]:
            raise CorpusError(f"{odd[0]!r} in {root}; expected audio as <subset>/<reader>/<chapter>/<file>.flac")
        subset, reader, number = levels
        for path in paths:
            named = re.match(r"(\d+-\d+)-\d+$", PurePosixPath(path).stem)
            if named and named[1] != f"{reader}-{number}":
                raise CorpusError(f"{path!r} in {root}: named after {named[1]}; expected {reader}-{number}")
        transcripts = _transcripts(root, f"{folder}/{reader}-{number}.trans.txt")  # whose links the walk has met
        yield _Chapter(subset=subset, reader=reader, number=number, files=paths, transcripts=transcripts)


def _readers(root: Path, settings: Settings) -> dict[str, tuple[str | None, str]]:
    """Sex and subset by reader. A name may hold pipes (reader 60), so that only the first four divide."""
    readers: dict[str, tuple[str | None, str]] = {}
    for place, line in lines_of(own_file(root, "SPEAKERS.TXT", settings.links), "LibriSpeech"):
        if line.startswith(";"):
            continue
        fields = [field.strip() for field in line.split("|", 4)]
        if len(fields) < 5 or not all(fields[:3]):
            raise CorpusError(f"{place}: line {line[:80]!r}; expected ID | SEX | SUBSET | MINUTES | NAME")
        reader, sex, subset = fields[:3]
        if reader in readers:
            raise CorpusError(f"{place}: reader {reader[:80]!r} again; expected one line a reader")
        readers[reader] = (sex_at(place, sex), subset)
    return readers


def _books(root: Path, settings: Settings) -> dict[str, str] | None:
    """The book by chapter; None without the list. A title may hold pipes, so that only the first six divide."""
    path = own_file(root, "CHAPTERS.TXT", settings.links)
    if not is_file(root, "CHAPTERS.TXT"):
        return None
    books: dict[str, str] = {}
    for place, line in lines_of(path, "LibriSpeech"):
        if line.startswith(";"):
            continue
        fields = [field.strip() for field in line.split("|", 6)]
        if len(fields) < 7 or not re.fullmatch("[0-9]+", fields[0]) or not re.fullmatch("[0-9]+", fields[5]):
            raise CorpusError(
                f"{place}: line {line[:80]!r}; expected ID | READER | MINUTES | SUBSET | PROJECT | BOOK ID | TITLE"
            )
        if fields[0] in books:
            raise CorpusError(f"{place}: chapter {fields[0]} again; expected one line a chapter")
        books[fields[0]] = fields[5]
    return books


def _transcripts(root: Path, path: str) -> dict[str, str] | None:
    if not is_file(root, path):
        return None
    pairs = pairs_of(root / path, "LibriSpeech", expected="an utterance and its text")
    return {utterance: text for _, utterance, text in pairs}
