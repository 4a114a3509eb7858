"""Any corpus told by Kaldi data directories.

Licence and citation are its owner's to say, in the pipeline file.

Layout: `wav.scp` and `utt2spk`; beside them, where they are there, `segments`, `text`, `spk2utt` (which must agree),
`spk2gender`, `utt2lang`, and what our own writer adds: `utt2age` (34, 30-39), `utt2session`, `utt2accent`,
`utt2nationality`, `utt2licence`; `<file>.known` stands for a file that Kaldi wants whole where it is not. A folder of
such directories is a corpus of as many splits. `trials` and `trials_*` hold `enrol test target|nontarget`; an `enrol`
that is no utterance is a model: of the utterances that `model2utt` has beside it, or of all that a speaker of its name
has. See https://kaldi-asr.org/doc/data_prep.html

Commands in `wav.scp` are never run (see `pipes`). A path that is not absolute is taken from the root, as Kaldi takes
it from the folder that its commands run in. A segment that covers its recording, as `reco2dur` and the file itself have
it, is the whole file.

Files are merged as they are read: those in C order, as Kaldi demands, take no memory, any other is sorted in it. Held
are the speakers, the recordings that segments are cut from, and for `trials` the ids.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import (
    STRICT,
    CorpusSettings,
    Described,
    Enrolment,
    PublishedTrial,
    age_of,
    files_in,
    one_word,
)
from curate.corpora.kaldi_files import BLANKS, Column, Line, in_order, pairs_of_spk2utt, trials_in
from curate.corpora.kaldi_ids import names_of, unquoted
from curate.corpora.listed import sound_of
from curate.corpora.pipes import Audio, audio_of
from curate.corpora.sidecars import own_file, sex_at
from curate.errors import CorpusError
from curate.storage import Location, is_local, joined

LICENCE = None
CITATION = None
URL = None
FILLS = ("sex", "age", "session", "accent", "nationality", "language", "transcript", "corpus_split", "licence")

SECONDS = re.compile(r"\d{1,9}(\.\d{1,20})?(e-\d{1,2})?", re.IGNORECASE | re.ASCII)
_BESIDE = ("text", "utt2gender", "utt2lang", "utt2age", "utt2session", "utt2accent", "utt2nationality", "utt2licence")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`manifest` is a data directory, or a folder of several, relative to the root or absolute."""

    reader: Literal["kaldi"]
    manifest: Location = Path(".")
    moved_from: str | None = None  # where the root was when `wav.scp` was written


class Extent(NamedTuple):
    """What is heard of a file; no times: all of it."""

    audio: Audio
    start_s: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Directory:
    """One data directory; `split` is its name where there are several."""

    folder: Path
    split: str | None

    def file(self, name: str) -> Path | None:
        """The file of that name, or the one that holds as much of it as is known."""
        return next((path for path in (self.folder / name, self.folder / f"{name}.known") if path.exists()), None)


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every utterance of `utt2spk`, in C order of Kaldi's ids. Raises CorpusError where two files do not agree."""
    for directory in _directories(root, settings):
        yield from _rows(directory, root, settings)


def _directories(root: Path, settings: Settings) -> list[Directory]:
    where = joined(root, settings.manifest)
    if (where / "utt2spk").exists() or (where / "wav.scp").exists():
        found = [Directory(where, None)]
    else:
        folders = [path.parent for path in files_in(where, "*/utt2spk") if (path.parent / "wav.scp").exists()]
        found = [Directory(folder, folder.name) for folder in folders]
    if not found:
        raise CorpusError(f"{where}: no data directory; expected `wav.scp` and `utt2spk` in it or in folders of it")
    for directory in found if is_local(root) and not settings.manifest.is_absolute() else ():
        _require_own_files(directory.folder, root, settings)
    return found


def _require_own_files(folder: Path, root: Path, settings: Settings) -> None:
    """Raises CorpusError for a file of a directory that is a link out of the root."""
    links = sorted(entry.name for entry in os.scandir(folder) if entry.is_symlink())
    for name in ("wav.scp", *links):
        own_file(root, (folder / name).relative_to(root).as_posix(), settings.links)


def _rows(directory: Directory, root: Path, settings: Settings) -> Iterator[Described]:
    extents = _Extents(directory, root, settings)
    sexes = _Sexes(directory)
    beside = {name: Column(directory.file(name)) for name in _BESIDE}
    listed = Column(directory.file("spk2utt"), pairs_of_spk2utt)
    for line in in_order(directory.folder / "utt2spk"):
        if not line.value or BLANKS.search(line.value):
            raise CorpusError(f"{line.place}: {line.value[:80]!r}; expected an utterance and its speaker")
        speaker, name = names_of(line.value, line.key)
        _require_agreement(line, listed)
        told = {file: found for file, column in beside.items() if (found := column.take(line.key)) and found.value}
        words = {file: found.value for file, found in told.items()}
        extent = extents.of(line)
        yield Described(
            path=extent.audio.path,
            channel=extent.audio.channel,
            start_s=extent.start_s,
            duration_s=extent.duration_s,
            speaker=speaker,
            name=name,
            sex=sexes.of(line.value) or _sex(told.get("utt2gender")),
            age_years=_age(told.get("utt2age")),
            age_source="utt2age" if "utt2age" in told else None,
            session=words.get("utt2session"),
            accent=words.get("utt2accent"),
            nationality=words.get("utt2nationality"),
            language=words.get("utt2lang") or settings.language,
            transcript=words.get("text"),
            licence=words.get("utt2licence"),
            corpus_split=directory.split,
        )
    for column in (listed, *beside.values()):
        column.require_end()
    extents.require_end()
    sexes.require_end()


def _require_agreement(line: Line, listed: Column) -> None:
    found = listed.take(line.key)
    if listed.is_there and (found is None or found.value != line.value):
        other = f"{found.place} has {found.value[:80]!r}" if found else "spk2utt lacks it"
        raise CorpusError(
            f"{line.place}: {line.key[:80]!r} is of {line.value[:80]!r}, but {other}; expected the same in both"
        )


class _Sexes:
    """By speaker, from `spk2gender`."""

    def __init__(self, directory: Directory) -> None:
        path = directory.file("spk2gender")
        self._lines = {line.key: line for line in in_order(path)} if path else {}
        self._asked: set[str] = set()

    def of(self, speaker: str) -> str | None:
        """None where the file does not name the speaker."""
        self._asked.add(speaker)
        return _sex(self._lines.get(speaker))

    def require_end(self) -> None:
        """Raises CorpusError for a speaker without an utterance."""
        for line in self._lines.values():
            if line.key not in self._asked:
                raise CorpusError(
                    f"{line.place}: speaker {line.key[:80]!r} is not in utt2spk; expected the same speakers"
                )


def _sex(line: Line | None) -> str | None:
    return sex_at(line.place, line.value) if line else None


def _age(line: Line | None) -> tuple[int, int] | None:
    try:
        return age_of(line.value) if line else None
    except CorpusError as error:
        raise CorpusError(f"{line.place if line else ''}: {error}") from error


class _Extents:
    """Where each utterance is heard: in a file of `wav.scp`, or with `segments` in a part of one."""

    def __init__(self, directory: Directory, root: Path, settings: Settings) -> None:
        self._root, self._moved_from, self._links = root, settings.moved_from, settings.links
        self._files = directory.folder / "wav.scp"
        segments = directory.file("segments")
        self._lines = Column(segments or self._files)
        self._recordings = {line.key: self._audio(line) for line in in_order(self._files)} if segments else None
        self._uncut = set(self._recordings or ())
        lengths = directory.file("reco2dur") if segments else None
        self._lengths = {line.key: _seconds(line, line.value) for line in in_order(lengths)} if lengths else {}

    def of(self, asked: Line) -> Extent:
        """Raises CorpusError where it is not told."""
        line = self._lines.take(asked.key)
        if line is None:
            file = self._files.name if self._recordings is None else "segments"
            raise CorpusError(
                f"{asked.place}: {asked.key[:80]!r} is not in {file}; expected the same utterances in both"
            )
        return Extent(self._audio(line)) if self._recordings is None else self._stretch(line, self._recordings)

    def _audio(self, line: Line) -> Audio:
        try:
            return audio_of(line.value, self._root, self._moved_from)
        except CorpusError as error:
            raise CorpusError(f"{line.place}: {error}") from error

    def _stretch(self, line: Line, recordings: dict[str, Audio]) -> Extent:
        """`recording start end [channel]`; an end of -1 is that of the file."""
        words = BLANKS.split(line.value)
        if len(words) not in (3, 4):
            raise CorpusError(f"{line.place}: {line.value[:80]!r}; expected `recording start end`")
        if words[0] not in recordings:
            raise CorpusError(f"{line.place}: recording {words[0][:80]!r} is not in {self._files}; expected it there")
        self._uncut.discard(words[0])
        audio = recordings[words[0]]
        if len(words) == 4:
            audio = audio._replace(channel=_channel(line, words[3], audio))
        start = _seconds(line, words[1])
        if words[2] == "-1":
            return Extent(audio, float(start)) if start else Extent(audio)
        end = _seconds(line, words[2])
        if end <= start:
            raise CorpusError(f"{line.place}: from {start} s to {end} s; expected an end after the start")
        if not start and words[0] in self._lengths and end >= self._lengths[words[0]] and self._is_all(audio, end):
            return Extent(audio)
        return Extent(audio, float(start), float(end - start))

    def _is_all(self, audio: Audio, end: Decimal) -> bool:
        """Whether nothing of the file comes later, whatever `reco2dur` says."""
        sound = sound_of(own_file(self._root, audio.path, self._links))
        return sound is not None and round(end * sound.sample_rate_hz) >= sound.num_samples

    def require_end(self) -> None:
        """Raises CorpusError for an utterance or a recording that nobody asked for."""
        self._lines.require_end()
        if self._uncut:
            raise CorpusError(
                f"{self._files}: recording {min(self._uncut)[:80]!r} has no segment; expected one or more"
            )


def _seconds(line: Line, said: str) -> Decimal:
    if not SECONDS.fullmatch(said):
        raise CorpusError(f"{line.place}: {said[:80]!r}; expected seconds")
    return Decimal(said)


def _channel(line: Line, said: str, audio: Audio) -> int:
    if audio.channel is not None or not re.fullmatch("[0-9]{1,2}", said):
        raise CorpusError(f"{line.place}: channel {said[:80]!r}; expected one counted from 0, where wav.scp picks none")
    return int(said)


def published_trials(root: Path, settings: Settings) -> Iterator[PublishedTrial]:
    """Every line of every list. Raises CorpusError for a side that is neither utterance nor model."""
    directories = _directories(root, settings)
    names = _names(directories)
    models = _lists_of_speakers(directories) | _lists_of_models(directories)
    for directory, path in _lists_of_trials(directories):
        for place, enrol, test, is_target in trials_in(path):
            lost = test if test not in names else enrol if enrol not in names and enrol not in models else None
            if lost is not None:
                raise CorpusError(f"{place}: {lost[:80]!r} is not in utt2spk; expected an utterance")
            yield PublishedTrial(
                list=_under(directory, path.name),
                enrol=names.get(enrol) or unquoted(enrol),
                enrol_list=None if enrol in names else models[enrol],
                test=names[test],
                is_target=is_target,
            )


def enrolments(root: Path, settings: Settings) -> Iterator[Enrolment]:
    """The utterances of every model of `model2utt`, and of every speaker that a trial names as a whole."""
    directories = _directories(root, settings)
    names, lists, models = _names(directories), _lists_of_speakers(directories), _lists_of_models(directories)
    for line in (line for directory in directories for line in _in_models(directory)):
        if line.key not in names:
            raise CorpusError(f"{line.place}: {line.key[:80]!r} is not in utt2spk; expected an utterance")
        yield Enrolment(list=models[line.value], model=unquoted(line.value), utterance=names[line.key])
    asked = {enrol for _, path in _lists_of_trials(directories) for _, enrol, _, _ in trials_in(path)}
    asked -= names.keys() | models.keys()
    for directory in directories:
        for line in in_order(directory.folder / "utt2spk"):
            if line.value in asked and lists[line.value] == _under(directory, "spk2utt"):
                yield Enrolment(list=lists[line.value], model=unquoted(line.value), utterance=names[line.key])


def _lists_of_trials(directories: list[Directory]) -> list[tuple[Directory, Path]]:
    return [(one, path) for one in directories for path in files_in(one.folder, "trials", "trials_*")]


def _names(directories: list[Directory]) -> dict[str, str]:
    """The utterances' names by Kaldi's ids, as `Described.utterance` has them."""
    lines = (line for one in directories for line in in_order(one.folder / "utt2spk"))
    return {line.key: one_word(names_of(line.value, line.key)[1]) for line in lines}


def _lists_of_speakers(directories: list[Directory]) -> dict[str, str]:
    """Where each speaker is met first."""
    lists: dict[str, str] = {}
    for directory in directories:
        for line in in_order(directory.folder / "utt2spk"):
            lists.setdefault(line.value, _under(directory, "spk2utt"))
    return lists


def _in_models(directory: Directory) -> Iterator[Line]:
    """Utterance and model of each that `model2utt` has."""
    path = directory.folder / "model2utt"
    yield from pairs_of_spk2utt(path) if path.exists() else ()


def _lists_of_models(directories: list[Directory]) -> dict[str, str]:
    """Where each model is told. Raises CorpusError for one that two directories tell."""
    lists: dict[str, str] = {}
    for directory in directories:
        own = _under(directory, "model2utt")
        for line in _in_models(directory):
            if lists.setdefault(line.value, own) != own:
                raise CorpusError(
                    f"{line.place}: model {line.value[:80]!r} again, after {lists[line.value]}; expected one of a name"
                )
    return lists


def _under(directory: Directory, name: str) -> str:
    return f"{directory.split}/{name}" if directory.split else name
