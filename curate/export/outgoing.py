"""What goes out: the utterances of a benchmark that nothing dropped, under the people that they were found to be."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

TOLD = (  # what is known beside the audio; a form says which of it survives
    "sex",
    "age",
    "session",
    "accent",
    "nationality",
    "language",
    "transcript",
    "corpus_split",
    "licence",
)
AUDIO = "audio"  # the folder within an export that has the audio, where it is taken along


class Stretch(TypedDict):
    """Which part of a file is read, and what the file must hold."""

    start_s: float
    duration_s: float
    channel: int | None
    content_sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One utterance on its way out. File, times and channel are those of the audio that the export refers to."""

    utterance: str  # its utterance_id
    speaker: str  # its identity_id
    label: str  # its speaker_id: what its corpus calls the speaker; of one that a verdict moved, the label that it gave
    corpus: str
    split: str  # of the benchmark
    file: Path  # absolute, or an address
    file_rate_hz: int
    file_num_samples: int  # in each channel
    file_num_channels: int
    start_s: float
    duration_s: float
    channel: int | None = None  # counted from 0; None: all of them
    session: str | None = None
    sex: str | None = None  # female | male
    age_years: tuple[int, int] | None = None  # youngest and oldest
    age_source: str | None = None
    accent: str | None = None
    nationality: str | None = None
    language: str | None = None
    transcript: str | None = None
    corpus_split: str | None = None
    licence: str | None = None
    content_sha256: str | None = None  # what the file must hold; None for one that was written with the export
    file_in_corpus: str | None = None  # of the audio as the corpus has it: relative to its root
    readable: Path | None = None  # where the file lies while the export is being written, if that is elsewhere

    @property
    def source(self) -> Path:
        """Where the audio can be read now."""
        return self.readable or self.file

    @property
    def stretch(self) -> Stretch:
        """What `curate.audio` is asked for, to read it."""
        return {
            "start_s": self.start_s,
            "duration_s": self.duration_s,
            "channel": self.channel,
            "content_sha256": self.content_sha256,
        }

    @property
    def file_duration_s(self) -> float:
        """Of the whole file."""
        return self.file_num_samples / self.file_rate_hz

    @property
    def is_whole_file(self) -> bool:
        """Whether the file holds this utterance and nothing else."""
        is_all_channels = self.channel is None or self.file_num_channels == 1
        return is_all_channels and round(self.duration_s * self.file_rate_hz) >= self.file_num_samples

    @property
    def age(self) -> str | None:
        """As a reader of ours takes it: `34`, or `30-39`."""
        if self.age_years is None:
            return None
        youngest, oldest = self.age_years
        return str(youngest) if youngest == oldest else f"{youngest}-{oldest}"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One pair of a list."""

    enrol: str  # an utterance_id, or a model that the export has
    test: str  # an utterance_id
    is_target: bool


@dataclass(frozen=True, kw_only=True)
class Export:
    """A benchmark as every form is handed it; utterances and trials can be gone through as often as needed.

    A model is enrolled in the place of one utterance: it is said of which utterances it is made.
    """

    name: str  # of the benchmark
    splits: tuple[str, ...]
    utterances: Callable[[str], Iterator[Outgoing]]  # of one split, in the order of their ids
    mixed: Callable[[str], Iterator[Outgoing]]  # the same in an order that puts nobody's utterances together
    lists: tuple[str, ...]  # of trials
    trials: Callable[[str], Iterator[Trial]]  # of one list
    out: Path  # where the export will lie; absolute
    licence: str | None = None
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the utterances of each

    def told_apart(self, trials: str) -> str:
        """What the file of a list has in its name: nothing where `test` is the only one, else `_<list>`."""
        return "" if self.lists == ("test",) else f"_{trials}"
