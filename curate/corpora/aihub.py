"""AI-Hub: Korean speech of the Open AI Dataset Project, as audio with JSON files that label it.

Licence: AI-Hub terms of use: for people who live in Korea, on application, not to be passed on. Citation: "This work
used datasets from The Open AI Dataset Project (AI-Hub, S. Korea)". https://www.aihub.or.kr

Layout: trees of audio (`원천데이터`, `[원천]...`) and of labels (`라벨링데이터`, `[라벨]...`) whose last folders are
called alike: `.../<folder>/<name>.wav` and `.../<folder>/<name>.json`. A JSON is looked for beside its audio, then
where `labels` says (`{ "원천데이터" = "라벨링데이터" }`), then in a folder of the same name elsewhere below the root.

No schema is published: AI-Hub shows it to those who log in, and its field names could not be confirmed there. So every
field is found by a path into the JSON (`json_paths` has its grammar) or by a group of `pattern`, a regular expression
over the path of the audio; `preset` fills in our best reading, from public code that reads these sets, and any entry of
`fields` corrects it ("" takes a field away). What a preset does not find is an error that lists what the JSON has.
A value may be several sources, joined by "/"; `<group>` is what that group of `pattern` holds. A region, such as
`대화정보.cityCode`, is taken for an accent only where `fields` says so.

* `fcvg`, `fcve`: Free Conversation Voice, general (109) and elderly (107): a JSON an utterance. A session is a day.
* `ltv`: Low-quality Telephone network Voice (571): a JSON a call, which names the file of each utterance. Whether its
  speaker ids hold beyond one call is not known, so that a label is call and id: one person may have several.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.audio import SUFFIXES
from curate.corpora.aihub_presets import PRESETS, FieldName, Fields
from curate.corpora.described import STRICT, CorpusSettings, Described
from curate.corpora.json_paths import ABSENT, look_up, require_path, text_of, told_keys
from curate.corpora.places import files_below, inside, is_file, printable
from curate.corpora.sidecars import (
    Encoding,
    Twins,
    matched,
    meant_age,
    meant_sex,
    meant_years,
    partner,
    read_json,
    require_groups,
)
from curate.errors import CorpusError

LICENCE = "AI-Hub terms of use"
CITATION = "This work used datasets from The Open AI Dataset Project (AI-Hub, S. Korea)"
URL = "https://www.aihub.or.kr"
FILLS = ("sex", "age", "session", "accent", "language", "transcript", "corpus_split")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`fields` says where a JSON holds what; a group of `pattern` that is called like a field fills it."""

    reader: Literal["aihub"]
    preset: Literal["fcvg", "fcve", "ltv"] | None = None
    fields: Fields = Field(default_factory=dict)
    utterances: str | None = None  # where a JSON holds a list of them
    pattern: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)  # text in an audio's folder -> in that of its JSON
    words: dict[Literal["sex", "age"], dict[str, str]] = Field(default_factory=dict)  # coded word -> what it means
    encoding: Encoding = "utf-8"
    times: Literal["s", "ms"] = "s"
    unpaired: Literal["refuse", "skip"] = "refuse"  # what has no JSON, or what a JSON names and is not there

    def __post_init__(self) -> None:
        super().__post_init__()
        sources = [source for path in self.map.values() for source in _sources(path)]
        for path in (*(source for source in sources if not source.startswith("<")), *filter(None, [self.list_at])):
            require_path(path)
        asked = {source[1:-1] for source in sources if source.startswith("<")}
        groups = require_groups(self.expression, {*get_args(FieldName), "call", *asked}) if self.expression else set()
        if missing := sorted(asked - groups):
            raise ValueError(f"fields ask for <{missing[0]}>; expected a group (?P<{missing[0]}>...) in `pattern`")
        if "speaker" not in self.map and "speaker" not in groups:
            raise ValueError("no speaker; expected a `preset`, or fields.speaker, or a group (?P<speaker>...)")
        if ("birth_year" in self.map) != ("recording_year" in self.map):
            raise ValueError("fields has one of birth_year and recording_year; expected both or neither")

    @property
    def map(self) -> Fields:
        """The preset's fields as corrected."""
        given = (PRESETS[self.preset].fields if self.preset else {}) | self.fields
        return {name: path for name, path in given.items() if path}

    @property
    def expression(self) -> str | None:
        """The pattern that holds."""
        return self.pattern or (PRESETS[self.preset].pattern if self.preset else None)

    @property
    def list_at(self) -> str | None:
        """Where a JSON holds its utterances; None where it is one."""
        return self.utterances or (PRESETS[self.preset].utterances if self.preset else None)


def _sources(path: str | tuple[str, ...]) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else path


class _Reading:
    """One run over the corpus: its settings worked out, which fields any JSON had, and what the first one holds."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root, self.settings = root, settings
        self.map, self.pattern, self.list_at = settings.map, settings.expression, settings.list_at
        self.found: set[FieldName] = set()
        self.first: tuple[str, Any] | None = None


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every utterance. Raises CorpusError naming the JSON of one that cannot be understood."""
    reading = _Reading(root, settings)
    yield from _rows_by_json(reading) if "audio" in reading.map else _rows_by_audio(reading)
    if reading.first is None:
        return
    place, top = reading.first
    for name, path in reading.map.items():
        if name not in reading.found:
            raise CorpusError(
                f"{place}: neither it nor any other JSON has {'/'.join(_sources(path))!r} for `{name}`; "
                f'expected one of {told_keys(top)} (`fields` corrects it, and "" takes it away)'
            )


def _rows_by_audio(reading: _Reading) -> Iterator[Described]:
    root, settings = reading.root, reading.settings
    sounds, labels = _trees(root, settings)
    for path in files_below(root, SUFFIXES, links=settings.links):
        label = partner(path, sounds, labels)
        if label is not None:
            for top, utterance, place in _utterances(reading, label):
                yield _described(place, path, top, utterance, reading)
        elif settings.unpaired == "refuse":
            raise CorpusError(
                f"{root}/{printable(path)}: no JSON beside it, nor in a folder of the same name; expected one "
                '(`labels` says where, `unpaired = "skip"` leaves such files out)'
            )


def _trees(root: Path, settings: Settings) -> tuple[Twins, Twins]:
    """Of the audio, and of the JSONs."""
    links = settings.links
    return Twins(root, SUFFIXES, {}, links), Twins(root, (".json",), settings.labels, links)


def _rows_by_json(reading: _Reading) -> Iterator[Described]:
    root, links = reading.root, reading.settings.links
    sounds = Twins(root, SUFFIXES, {}, links)
    for label in files_below(root, (".json",), links=links):
        for top, utterance, place in _utterances(reading, label):
            try:
                said = _text("audio", top, utterance, {}, reading)
                path = _audio(root, label, said, sounds)
            except CorpusError as error:
                raise CorpusError(f"{place}: {error}") from error
            if path is not None:
                yield _described(place, path, top, utterance, reading)
            elif reading.settings.unpaired == "refuse":
                raise CorpusError(
                    f"{place}: no audio {said[:200]!r} below {root}; expected every file that a JSON names "
                    '(`unpaired = "skip"` leaves them out)'
                )


def _utterances(reading: _Reading, label: str) -> Iterator[tuple[Any, Any, str]]:
    """The whole JSON, the utterance within it, and its place in words."""
    place = f"{reading.root}/{printable(label)}"
    top = read_json(reading.root / label, reading.settings.encoding)
    reading.first = reading.first or (place, top)
    if reading.list_at is None:
        yield top, top, place
        return
    several = look_up(reading.list_at, top)
    if not isinstance(several, list):
        raise CorpusError(f"{place}: no list at {reading.list_at!r} for `utterances`; expected one of {told_keys(top)}")
    for number, utterance in enumerate(several):
        yield top, utterance, f"{place}: {reading.list_at}[{number}]"


def _audio(root: Path, label: str, said: str, sounds: Twins) -> str | None:
    """Where the file lies that a JSON names: there, or in a folder that is called like the one named."""
    path = PurePosixPath(inside(said, root))
    if is_file(root, str(path)):
        return str(path)
    folder = str(path.parent) if path.parent.name else label.rpartition("/")[0]
    return sounds.named(path.stem, folder=folder, near=label)


def _described(place: str, path: str, top: Any, utterance: Any, reading: _Reading) -> Described:
    try:
        settings = reading.settings
        groups = matched(reading.pattern, path) if reading.pattern else {}
        told = {name: _text(name, top, utterance, groups, reading) for name in get_args(FieldName)}
        if not told["speaker"]:
            source = "/".join(_sources(reading.map.get("speaker", "<speaker>")))
            raise CorpusError(f"nothing at {source!r} for `speaker`; expected one of {told_keys(top)}")
        years = _years(told, settings)
        start, duration = _stretch(told, settings)
        return Described(
            path=path,
            speaker=told["speaker"],
            name=told["name"] or None,
            session=told["session"] or None,
            start_s=start,
            duration_s=duration,
            channel=_channel(told["channel"]),
            sex=meant_sex(told["sex"], settings.words.get("sex", {})),
            age_years=years,
            age_source="label" if years else None,
            accent=told["accent"] or None,
            language=settings.language or "ko",
            transcript=told["transcript"] or None,
            corpus_split=told["split"] or None,
        )
    except CorpusError as error:
        raise CorpusError(f"{place}: {error}") from error


def _text(name: FieldName, top: Any, utterance: Any, groups: dict[str, str], reading: _Reading) -> str:
    """What a field holds, in the corpus' own words; "" where it is not told."""
    if name not in reading.map:
        return groups.get(name, "")
    texts = []
    for source in _sources(reading.map[name]):
        if source.startswith("<"):
            texts.append(groups.get(source[1:-1], ""))
            continue
        value = look_up(source, top, utterance)
        if value is ABSENT:
            return ""
        try:
            texts.append(text_of(value))
        except CorpusError as error:
            raise CorpusError(f"`{name}` at {source!r} is {error}") from error
    reading.found.add(name)
    return "/".join(texts) if all(texts) else ""


def _years(told: dict[FieldName, str], settings: Settings) -> tuple[int, int] | None:
    stated = meant_age(told["age"], settings.words.get("age", {}))
    return stated or meant_years(told["birth_year"], told["recording_year"])


def _stretch(told: dict[FieldName, str], settings: Settings) -> tuple[float | None, float | None]:
    """Start and duration in seconds."""
    seconds: dict[str, float] = {}
    for name in ("start", "end", "duration"):
        if text := told[name]:
            try:
                seconds[name] = float(text) / (1000 if settings.times == "ms" else 1)
            except ValueError as error:
                raise CorpusError(f"{name} {text[:80]!r}; expected a number") from error
    if "end" in seconds and "duration" not in seconds:
        seconds["duration"] = round(seconds["end"] - seconds.get("start", 0.0), 6)
    return seconds.get("start"), seconds.get("duration")


def _channel(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 3:
        raise CorpusError(f"channel {text[:80]!r}; expected a number, counted from 0")
    return int(text)


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """How many JSONs label no audio that is here; of a partial download those are many."""
    if "audio" in settings.map:
        return
    sounds, labels = _trees(root, settings)
    used = sum(partner(path, sounds, labels) is not None for path in files_below(root, SUFFIXES, links=settings.links))
    if alone := sum(1 for _ in files_below(root, (".json",), links=settings.links)) - used:
        yield f"{alone} JSON files label no audio below the root; they are not read"
