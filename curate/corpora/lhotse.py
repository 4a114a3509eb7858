"""Any corpus told by manifests of Lhotse: recordings and supervisions, or cuts; JSON lines, plain or gzipped.

Licence and citation are its owner's to say, in the pipeline file; a supervision's `custom` may say its own licence.

Layout: one recording an audio file, one supervision of it one utterance (`id, recording_id, start, duration, channel,
text, language, speaker, gender, custom`); or cuts that hold both. What Lhotse has no field for is looked for in
`custom`: age, session, accent, nationality, corpus_split, licence. Sources must be files: nothing is executed or
fetched. A cut may be a MonoCut or a MultiCut; each of its supervisions, as far as the cut goes, is an utterance. What
lasts to the end of its file is all of it: the file's header says how long that is, whatever the recording says.

Recordings are needed by id. Where they come in the order of the supervisions, both files are read side by side and
nothing is held; else the recordings are read once more and held, about 0.5 kB each.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described
from curate.corpora.listed import at, by_split, exact, named_file, needed, number, objects, some, sounds, told
from curate.corpora.places import inside
from curate.errors import CorpusError
from curate.headers import Header
from curate.storage import Location

LICENCE = None
CITATION = None
URL = None
FILLS = ("sex", "age", "session", "accent", "nationality", "language", "transcript", "corpus_split", "licence")

CUTS = ("MonoCut", "MultiCut")
LEAST_S = 1e-5  # less than half a sample of any rate: no start, but a rounding


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`recordings` and `supervisions`, or `cuts`: relative to the root, one file or `{ train = ..., test = ... }`."""

    reader: Literal["lhotse"]
    recordings: Location | dict[str, Location] | None = None  # one file may serve several of supervisions
    supervisions: Location | dict[str, Location] | None = None
    cuts: Location | dict[str, Location] | None = None
    moved_from: str | None = None  # where the root was when the manifests were written

    def __post_init__(self) -> None:
        super().__post_init__()
        if [self.recordings is None, self.supervisions is None].count(self.cuts is None):
            raise ValueError("expected `recordings` and `supervisions`, or `cuts`")
        if isinstance(self.recordings, dict) and (
            not isinstance(self.supervisions, dict) or self.recordings.keys() != self.supervisions.keys()
        ):
            raise ValueError(f"recordings are of {', '.join(self.recordings)}; expected `supervisions` of the same")


class Recording(NamedTuple):
    """What is needed of a recording: per source its channels and path."""

    id: str
    sources: tuple[tuple[tuple[int, ...], str], ...]


class _Utterance(NamedTuple):
    """A supervision with its recording and its times within it."""

    supervision: Mapping[str, Any]
    custom: Mapping[str, Any]
    recording: Recording
    start_s: float
    duration_s: float


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every supervision, in order. Raises CorpusError naming file and line of one that makes no utterance."""
    look = sounds(root, settings)
    for split, manifest in by_split(settings.cuts or settings.supervisions or {}):
        path = named_file(root, manifest, settings)
        of_it = _recordings_of(split, settings)
        recordings = _Recordings(named_file(root, of_it, settings)) if of_it else None
        for place, row in some(path, objects(path)):
            try:
                for one in [_of_supervision(row, recordings)] if recordings else _of_cut(row):
                    said, channel = _side(one.recording, _channels(one.supervision, "channel"))
                    audio = inside(said, root, moved_from=settings.moved_from)
                    times, keys = _stretch(one, audio, look), {**one.custom, **one.supervision}
                    yield Described(
                        path=audio,
                        name=needed(one.supervision, "id"),
                        start_s=times[0],
                        duration_s=times[1],
                        channel=channel,
                        transcript=exact(one.supervision, "text"),
                        **told(keys, settings, speaker_keys=("speaker",), source=path.name, split=split),
                    )
            except CorpusError as error:
                raise at(place, error) from error


def _recordings_of(split: str | None, settings: Settings) -> Path | None:
    said = settings.recordings
    return said[split] if isinstance(said, dict) and split else said  # type: ignore[return-value]  # keys are equal


def _of_supervision(row: Mapping[str, Any], recordings: "_Recordings") -> _Utterance:
    start_s, duration_s = _times(row)
    custom = _object(row, "custom")
    return _Utterance(row, custom, recordings.find(needed(row, "recording_id")), start_s, duration_s)


def _of_cut(row: Mapping[str, Any]) -> Iterator[_Utterance]:
    """Supervisions count from the start of their cut, and may go past it."""
    kind = row.get("type")
    if kind not in CUTS:
        raise CorpusError(f"a cut of type {str(kind)[:40]!r}; expected {' or '.join(CUTS)}")
    recording = _recording(_object(row, "recording"))
    cut_start_s, cut_duration_s = _times(row)
    supervisions = row.get("supervisions")
    if not isinstance(supervisions, list) or not all(isinstance(one, dict) for one in supervisions) or not supervisions:
        raise CorpusError("a cut without supervisions; expected at least one, which says the speaker")
    for one in supervisions:
        start_s, duration_s = _times(one)
        first_s = max(start_s, 0.0)
        length_s = min(start_s + duration_s, cut_duration_s) - first_s if start_s else min(duration_s, cut_duration_s)
        custom = _object(row, "custom") | _object(one, "custom")
        yield _Utterance(one, custom, recording, cut_start_s + first_s, length_s)


def _stretch(one: _Utterance, audio: str, look: Callable[[str], Header | None]) -> tuple[float | None, float | None]:
    """Start and duration, both None for a whole file. A file that is not there is whole: others will miss it."""
    if 0 <= one.start_s < LEAST_S and one.duration_s > 0:
        found = look(audio)
        if found is None or one.duration_s >= (found.num_samples - 0.5) / found.sample_rate_hz:
            return None, None
    return one.start_s, one.duration_s


def _side(recording: Recording, channels: tuple[int, ...]) -> tuple[str, int | None]:
    """The file that holds the channels, and which of its channels they are; None for all."""
    holding = [(held, file) for held, file in recording.sources if set(channels) & set(held)]
    if len(holding) != 1 or not set(channels) <= set(holding[0][0]):
        raise CorpusError(
            f"channels {str(list(channels))[:80]} of {recording.id[:80]!r}; expected channels of one of its files"
        )
    (held, file), *_ = holding
    if set(channels) == set(held):
        return file, None
    if len(channels) > 1:
        asked, there = str(list(channels))[:80], str(list(held))[:80]
        raise CorpusError(f"channels {asked} of {there} of {recording.id[:80]!r}; expected one, or all")
    return file, held.index(channels[0])


@final
class _Recordings:
    """The recordings of a file by their ids, asked for in any order."""

    def __init__(self, path: Path):
        self._path, self._ahead = path, _recordings(path)
        self._current: Recording | None = None
        self._held: dict[str, Recording] | None = None

    def find(self, name: str) -> Recording:
        """Raises CorpusError where there is none."""
        if self._current and self._current.id == name:
            return self._current
        if self._held is None:
            for recording in self._ahead:
                self._current = recording
                if recording.id == name:
                    return recording
            self._held = self._all()
        if name not in self._held:
            raise CorpusError(f"recording {name[:80]!r} is not in {self._path}; expected a line of it there")
        return self._held[name]

    def _all(self) -> dict[str, Recording]:
        held: dict[str, Recording] = {}
        for recording in _recordings(self._path):
            if recording.id in held:
                raise CorpusError(f"recording {recording.id[:80]!r} twice in {self._path}; expected one line an id")
            held[recording.id] = recording
        return held


def _recordings(path: Path) -> Iterator[Recording]:
    for place, row in objects(path):
        try:
            yield _recording(row)
        except CorpusError as error:
            raise at(place, error) from error


def _recording(row: Mapping[str, Any]) -> Recording:
    name = needed(row, "id")
    if row.get("transforms"):
        raise CorpusError(f"recording {name[:80]!r} has `transforms`; expected audio as it lies in its files")
    sources = row.get("sources")
    if not isinstance(sources, list) or not sources:
        raise CorpusError(f"recording {name[:80]!r} has no `sources`; expected the file that holds it")
    return Recording(name, tuple(_source(name, source) for source in sources))


def _source(name: str, source: object) -> tuple[tuple[int, ...], str]:
    kind = source.get("type") if isinstance(source, dict) else source
    if not isinstance(source, dict) or kind not in ("file", "url"):
        raise CorpusError(f"recording {name[:80]!r} has a source of type {str(kind)[:40]!r}; expected `file` or `url`")
    return _channels(source, "channels"), needed(source, "source")


def _channels(row: Mapping[str, Any], key: str) -> tuple[int, ...]:
    value = row.get(key, 0)  # 0 is what Lhotse takes where none is said
    channels = value if isinstance(value, list) else [value]
    if not channels or not all(type(one) is int and one >= 0 for one in channels):
        raise CorpusError(f"`{key}` {str(value)[:40]!r}; expected a number from 0, or a list of such")
    return tuple(channels)


def _times(row: Mapping[str, Any]) -> tuple[float, float]:
    start_s, duration_s = number(row, "start"), number(row, "duration")
    if start_s is None or duration_s is None:
        raise CorpusError("no `start` or `duration`; expected both, in seconds")
    return start_s, duration_s


def _object(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = row.get(key) or {}
    if not isinstance(value, dict):
        raise CorpusError(f"`{key}` is a {type(value).__name__}; expected an object")
    return value
