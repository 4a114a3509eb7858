"""SITW: Speakers in the Wild, public figures in open-source media, 16 kHz, one and several voices a file.

Licence: SITW research-only licence of SRI International. Citation: McLaren et al., "The Speakers in the Wild (SITW)
Speaker Recognition Database", Interspeech 2016. http://www.speech.sri.com/projects/sitw/

Layout: `{dev,eval}/` with `audio/<xxxxx>.flac` and
    `keys/meta.lst`: file, speaker, sex, microphone, session, start and end within the session's video, number of
    voices, artefacts, their level, environment, and what else was heard; no header; 10 fields or more
    `lists/enroll-core.lst`: model, file
    `lists/enroll-assist.lst`, `enroll-assistclean.lst`: model, file, start and end in seconds of where it speaks
    `lists/test-core.lst`, `test-multi.lst`: file, and perhaps more
    `keys/<enrol>-<test>.lst`: model, file, `tgt` or `imp`; `lists/trial.<enrol>-<test>.lst` is the same without a key
The corpus' own README and Kaldi's recipe say so. `keys/aux/` holds parts of the same keys and is not read.

Every file of meta.lst is an utterance, every annotated stretch of an assist list one more. A file with several voices
carries the label of its person of interest. A session is a video; two persons of interest in it have a file each.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, Enrolment, PublishedTrial, files_in
from curate.corpora.lists import fields_of, lines_of, stretch
from curate.corpora.places import files_below, inside
from curate.corpora.sidecars import own_file, sex_at
from curate.errors import CorpusError
from curate.storage import is_folder

LICENCE = "SITW research-only licence of SRI International"
CITATION = (
    "McLaren, Ferrer, Castan, Lawson: The Speakers in the Wild (SITW) Speaker Recognition Database, Interspeech 2016"
)
URL = "http://www.speech.sri.com/projects/sitw/"
FILLS = ("sex", "session", "corpus_split")

SPLITS = ("dev", "eval")
ENROL, TEST = ("core", "assist", "assistclean"), ("core", "multi")
_META = "FILE SPEAKER SEX MICROPHONE SESSION START END VOICES ARTEFACTS LEVEL ... as in meta.lst of SITW"
_KEYS = {"tgt": True, "imp": False}


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes; `include = ["eval/*"]` picks a split."""

    reader: Literal["sitw"]
    max_duration_s: float = Field(default=600.0, gt=0)  # calls and interviews last minutes


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every file of meta.lst, then every stretch of the assist lists once, dev before eval."""
    for split in _splits(root, settings):
        files = _files(root, split, settings)
        yield from files.values()
        told: set[str] = set()  # assistclean may say again what assist says
        for enrol in _enrol_lists(root, split):
            for _, row in _models(root, split, enrol, files):
                if row.is_stretch and row.utterance not in told:
                    told.add(row.utterance)
                    yield row


def enrolments(root: Path, settings: Settings) -> Iterator[Enrolment]:
    """Every line of the enrolment lists, in lists called `eval/enroll-core` and so on."""
    for split in _splits(root, settings):
        files = _files(root, split, settings)
        for enrol in _enrol_lists(root, split):
            for model, row in _models(root, split, enrol, files):
                yield Enrolment(list=_enrol_name(split, enrol), model=model, utterance=row.utterance)


def published_trials(root: Path, settings: Settings) -> Iterator[PublishedTrial]:
    """The keys of both splits, in lists called `eval/core-core` and so on; without a key the bare list of trials.

    The assist conditions may also name models of enroll-core.lst: each trial says whose list its model is of.
    """
    for split in _splits(root, settings):
        files = _files(root, split, settings)
        lists = _enrol_lists(root, split)
        models = {enrol: {model for model, _ in _models(root, split, enrol, files)} for enrol in lists}
        for enrol in ENROL:
            for test in TEST:
                yield from _trials(root, split, (enrol, test), files, models)


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """Audio that meta.lst does not name, and speakers of both splits, which are meant to share none."""
    speakers: dict[str, set[str]] = {}
    for split in _splits(root, settings):
        files = _files(root, split, settings)
        speakers[split] = {row.speaker for row in files.values()}
        found = files_below(root, (".flac",), folder=split, links=settings.links)
        strangers = [path for path in found if path not in files]
        if strangers:
            yield f"{split}: {len(strangers)} audio files that meta.lst does not name, such as {strangers[0]!r}"
    for speaker in sorted(speakers.get("dev", set()) & speakers.get("eval", set())):
        yield f"speaker {speaker!r} is in dev and in eval, which are meant to share none"


def _splits(root: Path, settings: Settings) -> list[str]:
    """Raises CorpusError where there is none, and for a list that is a link out of the root."""
    found = [split for split in SPLITS if is_folder(root / split)]
    if not found:
        raise CorpusError(f"{root}: no folder dev and none eval; expected one of them")
    for path in (path for split in found for path in files_in(root / split, "keys/*.lst", "lists/*.lst")):
        own_file(root, path.relative_to(root).as_posix(), settings.links)
    return found


def _enrol_lists(root: Path, split: str) -> list[str]:
    return [enrol for enrol in ENROL if (root / split / "lists" / f"enroll-{enrol}.lst").exists()]


def _enrol_name(split: str, enrol: str) -> str:
    return f"{split}/enroll-{enrol}"


def _files(root: Path, split: str, settings: Settings) -> dict[str, Described]:
    """Row by path, in the order of meta.lst."""
    files: dict[str, Described] = {}
    for place, line in lines_of(root / split / "keys" / "meta.lst", expected=_META):
        fields = line.split()
        if len(fields) < 10 or not re.search(r"\.\w+$", fields[0]):
            raise CorpusError(
                f"{place}: {len(fields)} fields, of which the first is {fields[0][:80]!r}; expected {_META}"
            )
        path = _path(fields[0], root, split, place)
        if path in files:
            raise CorpusError(f"{place}: file {fields[0][:80]!r} again; expected one line a file")
        files[path] = Described(
            path=path,
            speaker=fields[1],
            session=fields[4],
            sex=sex_at(place, fields[2]),
            language=settings.language,
            corpus_split=split,
        )
    return files


def _path(said: str, root: Path, split: str, place: str) -> str:
    try:
        return inside(said, root, below=root / split)
    except CorpusError as error:
        raise CorpusError(f"{place}: {error}") from error


def _known(said: str, root: Path, split: str, place: str, files: dict[str, Described]) -> Described:
    path = _path(said, root, split, place)
    if path not in files:
        raise CorpusError(
            f"{place}: no file {said[:80]!r} in {root / split / 'keys' / 'meta.lst'}; expected one that it has"
        )
    return files[path]


def _models(root: Path, split: str, enrol: str, files: dict[str, Described]) -> Iterator[tuple[str, Described]]:
    """Model and row of each line of an enrolment list: of the whole file, or of the stretch that the line says."""
    expected, count = ("MODEL FILE", 2) if enrol == "core" else ("MODEL FILE START END", 4)
    path = root / split / "lists" / f"enroll-{enrol}.lst"
    for place, fields in fields_of(path, expected=expected, counts=(count,)):
        whole = _known(fields[1], root, split, place, files)
        yield fields[0], whole if enrol == "core" else _stretch(whole, fields[2], fields[3], place)


def _stretch(whole: Described, start: str, end: str, place: str) -> Described:
    start_s, duration_s = stretch(start, end, place)
    bounds = f"{round(1000 * start_s):07d}-{round(1000 * (start_s + duration_s)):07d}"
    name = f"{whole.recording}-{bounds}"  # two stretches of a file may start together
    return replace(whole, name=name, start_s=start_s, duration_s=duration_s)


def _trials(
    root: Path, split: str, condition: tuple[str, str], files: dict[str, Described], models: dict[str, set[str]]
) -> Iterator[PublishedTrial]:
    enrol, test = condition
    key = root / split / "keys" / f"{enrol}-{test}.lst"
    unkeyed = root / split / "lists" / f"trial.{enrol}-{test}.lst"
    if not key.exists() and not unkeyed.exists():
        return
    path, expected, count = (key, "MODEL FILE tgt|imp", 3) if key.exists() else (unkeyed, "MODEL FILE", 2)
    tests = _tests(root, split, test, files)
    for place, fields in fields_of(path, expected=expected, counts=(count,)):
        if count == 3 and fields[2] not in _KEYS:
            raise CorpusError(f"{place}: {fields[2][:80]!r}; expected tgt or imp")
        tested = _known(fields[1], root, split, place, files)
        if tested.path not in tests:
            raise CorpusError(f"{place}: no file {fields[1][:80]!r} in lists/test-{test}.lst; expected one that it has")
        yield PublishedTrial(
            list=f"{split}/{enrol}-{test}",
            enrol=fields[0],
            enrol_list=_enrol_name(split, _list_with(fields[0], enrol, models, place)),
            test=tested.utterance,
            is_target=_KEYS[fields[2]] if count == 3 else None,
        )


def _tests(root: Path, split: str, test: str, files: dict[str, Described]) -> set[str]:
    lines = lines_of(root / split / "lists" / f"test-{test}.lst", expected="a FILE a line")
    return {_known(line.split()[0], root, split, place, files).path for place, line in lines}


def _list_with(model: str, enrol: str, models: dict[str, set[str]], place: str) -> str:
    looked_in = list(dict.fromkeys((enrol, "core")))
    for one in looked_in:
        if model in models.get(one, ()):
            return one
    lists = " or ".join(f"lists/enroll-{one}.lst" for one in looked_in)
    raise CorpusError(f"{place}: no model {model[:80]!r} in {lists}; expected one that is listed there")
