"""VIVOS: read Vietnamese, 65 speakers of Ho Chi Minh City, 15 hours at 16 kHz.

Licence: CC BY-NC-SA 4.0. Citation: Luong and Vu, "A non-expert Kaldi recipe for Vietnamese speech recognition system",
WLSI/OIAF4HLT 2016. https://zenodo.org/records/7068130

Layout: `<train or test>/waves/<speaker>/<speaker>_<number>.wav`; beside `waves` lie `genders.txt` (speaker m|f) and
`prompts.txt` (utterance TEXT). Speakers are VIVOSSPKnn in train and VIVOSDEVnn in test; numbers are written `R012` and
`012`. No session and nobody's age is told. Without `prompts.txt`, or a line in it, an utterance has no transcript, and
a remark says so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, sex_of
from curate.corpora.places import files_below
from curate.errors import CorpusError

LICENCE = "CC-BY-NC-SA-4.0"
CITATION = (
    "Luong, Vu: A non-expert Kaldi recipe for Vietnamese speech recognition system, WLSI/OIAF4HLT 2016, pages 51-55"
)
URL = "https://zenodo.org/records/7068130"
FILLS = ("sex", "transcript", "corpus_split")

_NUM_SPEAKERS = {"train": 46, "test": 19}


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes; `include = ["test/*"]` picks a part."""

    reader: Literal["vivos"]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What train or test says of its speakers and utterances."""

    sexes: dict[str, str | None]
    prompts: dict[str, str] | None  # None where there is no such file


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every WAV in its place. Raises CorpusError for one elsewhere, and where genders.txt lacks a speaker."""
    parts: dict[str, _Part] = {}
    for split, speaker, path in _files(root):
        part = parts.get(split) or parts.setdefault(split, _part(root / split))
        if speaker not in part.sexes:
            raise CorpusError(
                f"{root / split / 'genders.txt'}: no line for speaker {speaker}; expected `{speaker} m|f`"
            )
        yield Described(
            path=path,
            speaker=speaker,
            sex=part.sexes[speaker],
            language=settings.language or "vi",
            transcript=(part.prompts or {}).get(PurePosixPath(path).stem),
            corpus_split=split,
        )


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """Speakers listed otherwise than published, and prompts that do not fit the audio."""
    heard: dict[str, set[str]] = {}
    for split, _, path in _files(root):
        heard.setdefault(split, set()).add(PurePosixPath(path).stem)
    for split, utterances in heard.items():
        part = _part(root / split)
        if len(part.sexes) != _NUM_SPEAKERS[split]:
            yield f"{split}/genders.txt names {len(part.sexes)} speakers; published are {_NUM_SPEAKERS[split]}"
        if part.prompts is None:
            yield f"{split} comes without prompts.txt: no transcript is known"
            continue
        if untold := sorted(utterances - part.prompts.keys()):
            yield f"{len(untold)} utterances have no line in {split}/prompts.txt, such as {untold[0]}"
        if unheard := sorted(part.prompts.keys() - utterances):
            yield f"{len(unheard)} lines of {split}/prompts.txt have no audio, such as {unheard[0]}"


def _files(root: Path) -> Iterator[tuple[str, str, str]]:
    """Split, speaker and path of every WAV."""
    for path in files_below(root, (".wav",)):
        levels = path.split("/")
        if len(levels) != 4 or levels[0] not in _NUM_SPEAKERS or levels[1] != "waves" or not path.isprintable():
            raise CorpusError(f"{path!r} in {root}; expected audio as <train or test>/waves/<speaker>/<file>.wav")
        split, _, speaker, file = levels
        if file.partition("_")[0] != speaker:
            raise CorpusError(f"{path!r} in {root}: the folder of {speaker}; expected names that begin with {speaker}_")
        yield split, speaker, path


def _part(folder: Path) -> _Part:
    sexes: dict[str, str | None] = {}
    for place, speaker, sex in _pairs(folder / "genders.txt", "a speaker and m or f"):
        if sex_of(sex) is None:
            raise CorpusError(f"{place}: sex {sex[:80]!r}; expected m or f")
        sexes[speaker] = sex_of(sex)
    prompts = folder / "prompts.txt"
    told = _pairs(prompts, "an utterance and its text") if prompts.exists() else None
    return _Part(sexes=sexes, prompts=None if told is None else {utterance: text for _, utterance, text in told})


def _pairs(path: Path, expected: str) -> Iterator[tuple[str, str, str]]:
    """Place, first word and rest of each line that is not blank, whatever ends it. No first word comes twice."""
    try:
        lines = re.split(r"\r\n|\r|\n", path.read_bytes().decode("utf-8-sig"))  # `splitlines` would divide at more
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}; expected the file that VIVOS has there") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: byte {error.start} is no UTF-8; expected text in UTF-8") from error
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        first, *rest = line.split(maxsplit=1) or [""]
        if not first:
            continue
        if not rest:
            raise CorpusError(f"{path}:{number}: line {line[:80]!r}; expected {expected}")
        if first in seen:
            raise CorpusError(f"{path}:{number}: {first[:80]!r} again; expected one line for each")
        seen.add(first)
        yield f"{path}:{number}", first, rest[0].strip()
