"""LibriSpeech: read English from LibriVox audiobooks.

Licence: CC BY 4.0. Citation: Panayotov et al., "Librispeech: an ASR corpus based on public domain audio books",
ICASSP 2015. https://www.openslr.org/12

Layout: `<subset>/<reader>/<chapter>/<reader>-<chapter>-<nnnn>.flac`, `<reader>-<chapter>.trans.txt` beside them,
`SPEAKERS.TXT` at the root. A session is a chapter. Nobody's age is known.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, files_in, sex_of
from curate.errors import CorpusError

LICENCE = "CC-BY-4.0"
CITATION = (
    "Panayotov, Chen, Povey, Khudanpur: Librispeech: an ASR corpus based on public domain audio books, ICASSP 2015"
)
URL = "https://www.openslr.org/12"
FILLS = ("sex", "session", "transcript", "corpus_split")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes; `include = ["dev-clean/*"]` picks subsets."""

    reader: Literal["librispeech"]


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every FLAC in its place. Raises CorpusError where SPEAKERS.TXT is missing or lacks a reader."""
    sexes = _sexes(root / "SPEAKERS.TXT")
    for chapter in sorted(root.glob("*/*/*/")):
        subset, reader, number = chapter.relative_to(root).parts
        audio = files_in(chapter, "*.flac")
        if audio and reader not in sexes:
            raise CorpusError(f"{root / 'SPEAKERS.TXT'}: no line for reader {reader} of {subset}")
        transcripts = _transcripts(chapter / f"{reader}-{number}.trans.txt")
        for file in audio:
            yield Described(
                path=file.relative_to(root).as_posix(),
                speaker=reader,
                session=number,
                sex=sexes[reader],
                language=settings.language or "en",
                transcript=transcripts.get(file.stem),
                corpus_split=subset,
            )


def _sexes(path: Path) -> dict[str, str | None]:
    """Sex by reader. A name may hold pipes (reader 60), so that only the first four divide."""
    fields = [line.split("|", 4) for line in _lines(path) if line.strip() and not line.startswith(";")]
    for line in fields:
        if len(line) < 5:
            raise CorpusError(f"{path}: line {'|'.join(line)!r}; expected ID | SEX | SUBSET | MINUTES | NAME")
    return {line[0].strip(): sex_of(line[1]) for line in fields}


def _transcripts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    return dict(line.split(" ", 1) for line in _lines(path) if " " in line)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}; expected the file that LibriSpeech has there") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: byte {error.start} is no UTF-8; expected text in UTF-8") from error
