"""VIVOS: read Vietnamese, 65 speakers of Ho Chi Minh City, 15 hours at 16 kHz.

Licence: CC BY-NC-SA 4.0. Citation: Luong and Vu, "A non-expert Kaldi recipe for Vietnamese speech recognition system",
WLSI/OIAF4HLT 2016. https://zenodo.org/records/7068130

Layout: `<train or test>/waves/<speaker>/<speaker>_<number>.wav`; beside `waves` lie `genders.txt` (speaker m|f) and
`prompts.txt` (utterance TEXT). Speakers are VIVOSSPKnn in train and VIVOSDEVnn in test; numbers are written `R012` and
`012`. No session and nobody's age is told. Without `prompts.txt`, or a line in it, an utterance has no transcript, and
a remark says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described
from curate.corpora.places import files_below
from curate.corpora.sidecars import pairs_of, sex_at
from curate.errors import CorpusError

LICENCE = "CC-BY-NC-SA-4.0"
CITATION = (
    "Luong, Vu: A non-expert Kaldi recipe for Vietnamese speech recognition system, WLSI/OIAF4HLT 2016, pages 51-55"
)
URL = "https://zenodo.org/records/7068130"
FILLS = ("sex", "language", "transcript", "corpus_split")

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
    for split, speaker, path in _files(root, settings):
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
    for split, _, path in _files(root, settings):
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


def _files(root: Path, settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Split, speaker and path of every WAV."""
    for path in files_below(root, (".wav",), links=settings.links):
        levels = path.split("/")
        if len(levels) != 4 or levels[0] not in _NUM_SPEAKERS or levels[1] != "waves" or not path.isprintable():
            raise CorpusError(f"{path!r} in {root}; expected audio as <train or test>/waves/<speaker>/<file>.wav")
        split, _, speaker, file = levels
        if file.partition("_")[0] != speaker:
            raise CorpusError(f"{path!r} in {root}: the folder of {speaker}; expected names that begin with {speaker}_")
        yield split, speaker, path


def _part(folder: Path) -> _Part:
    """Read after the walk, which has met all links on the way here."""
    sexes: dict[str, str | None] = {}
    for place, speaker, sex in pairs_of(folder / "genders.txt", "VIVOS", expected="a speaker and m or f"):
        sexes[speaker] = sex_at(place, sex)
    prompts = folder / "prompts.txt"
    told = pairs_of(prompts, "VIVOS", expected="an utterance and its text") if prompts.exists() else None
    return _Part(sexes=sexes, prompts=None if told is None else {utterance: text for _, utterance, text in told})
