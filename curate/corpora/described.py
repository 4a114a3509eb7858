"""What a reader says of one utterance, and what every corpus section of a pipeline file may hold."""

import posixpath
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated

from curate.errors import CorpusError
from curate.storage import Location, is_local, matching

STRICT = ConfigDict(extra="forbid", strict=True)
FEMALE, MALE = "female", "male"
OLDEST_YEARS = 120  # what `60+` leaves open
LONGEST_S = 1e9  # 32 years
MOST_CHANNELS = 1 << 15
_BLANK = re.compile(r"\s")
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # among them all that ends a line
NOTHING_SAID = frozenset(  # how tables write that somebody does not say, or nobody knows
    (
        *("", "-", "?", "na", "n/a", "<na>", "nan", "none", "null", "unk", "<unk>", "unknown", "other", "undefined"),
        *("unspecified", "not specified", "not_specified", "undisclosed", "do_not_wish_to_say", "do not wish to say"),
        *("prefer_not_to_say", "prefer not to say"),
    )
)
_SEXES: dict[str, str | None] = {
    **dict.fromkeys(("f", "female", "woman", "feminine", "female_feminine", "nữ"), FEMALE),
    **dict.fromkeys(("m", "male", "man", "masculine", "male_masculine", "nam"), MALE),
    **dict.fromkeys(NOTHING_SAID, None),
    **dict.fromkeys(("u", "x", "o", "diverse", "intersex", "trans", "transgender", "nonbinary", "non-binary"), None),
    **dict.fromkeys(("non_binary", "non binary"), None),
}
_DECADES = {
    word: 10 * decade
    for decade, words in enumerate(
        (
            "",
            "teens",
            "twenties",
            "thirties",
            "forties fourties",
            "fifties",
            "sixties",
            "seventies",
            "eighties",
            "nineties",
        )
    )
    for word in words.split()
}


@dataclass(frozen=True, kw_only=True)
class Described:
    """One utterance in its corpus' own words. `path` is relative to the root, with forward slashes.

    Speaker, session, name and ids are in Unicode's composed form, whatever form they are given in: spelt two ways, one
    person would be two. `path` stays as it is, to be found on the disk.
    """

    path: str
    speaker: str
    name: str | None = None  # where the path does not tell utterances apart: several in one file
    session: str | None = None
    start_s: float | None = None  # None: from the start of the file
    duration_s: float | None = None  # None: to the end of the file
    channel: int | None = None  # counted from 0; None: all of them, averaged
    sex: str | None = None
    age_years: tuple[int, int] | None = None  # youngest and oldest
    age_source: str | None = None
    age_conflict_years: int | None = None  # how far its sources are apart, where they disagree
    work: str | None = None  # the book, show or film that it is from
    accent: str | None = None
    nationality: str | None = None
    language: str | None = None
    transcript: str | None = None
    corpus_split: str | None = None
    licence: str | None = None  # where it is another than that of the corpus

    def __post_init__(self) -> None:
        if self.path.startswith("/") or ".." in self.path.split("/") or self.path in ("", "."):
            raise CorpusError(f"path {self.path[:200]!r} leaves the corpus; expected one below its root")
        said = (self.path, self.speaker, self.name, self.session, self.age_source, self.accent, self.nationality)
        words = (*said, self.work, self.language, self.transcript, self.corpus_split, self.licence)
        try:  # undecodable bytes of a name, and halves of pairs in JSON, come as lone surrogates
            is_text = b"\0" not in " ".join([word for word in words if word]).encode()
        except UnicodeEncodeError:
            is_text = False
        if not is_text:
            raise CorpusError(
                f"{self.path[:200]!r}: says what is no text; expected names and words in UTF-8, no zero bytes"
            )
        if not self.speaker:
            raise CorpusError(f"{self._shown}: no speaker; expected a label")
        for field in ("speaker", "session", "name"):
            self._compose(field, getattr(self, field) or "")
        if self.start_s is not None and not 0 <= self.start_s < LONGEST_S:
            raise CorpusError(f"{self._shown}: start_s {self.start_s}; expected seconds from the start of the file")
        if self.duration_s is not None and not 0 < self.duration_s < LONGEST_S:
            raise CorpusError(f"{self._shown}: duration_s {self.duration_s}; expected more than 0 seconds")
        if self.channel is not None and not 0 <= self.channel < MOST_CHANNELS:
            raise CorpusError(f"{self._shown}: channel {self.channel}; expected channels counted from 0")

    def _compose(self, field: str, label: str) -> None:
        if _CONTROL.search(label):
            raise CorpusError(f"{self._shown}: {field} {label[:80]!r} holds a control character; expected plain text")
        if not unicodedata.is_normalized("NFC", label):
            object.__setattr__(self, field, unicodedata.normalize("NFC", label))  # it is frozen, but not yet made

    @property
    def _shown(self) -> str:
        return repr(self.path[:200])[1:-1]

    @property
    def utterance(self) -> str:
        """What the utterance is called within its corpus; no blanks, so that it fits into any list."""
        channel = "" if self.channel is None else f"-c{self.channel}"
        start = f"-{round(1000 * (self.start_s or 0)):07d}" if self.is_stretch else ""
        return one_word(self.name or self.recording + channel + start)

    @property
    def recording(self) -> str:
        """The file's path without its suffix, in the composed form: two names that differ in form alone are one id."""
        path = posixpath.normpath(self.path) if "//" in self.path or "./" in self.path else self.path
        path = unicodedata.normalize("NFC", path)
        folder, slash, name = path.rpartition("/")
        stem, dot, _ = name.rpartition(".")
        return folder + slash + (stem if dot and stem.strip(".") else name)

    @property
    def is_stretch(self) -> bool:
        """Whether its corpus says where in the file it lies, be it at the very start."""
        return self.start_s is not None or self.duration_s is not None


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """One utterance that a published model is made of; `list` is what its models are numbered within."""

    list: str
    model: str
    utterance: str  # as `Described.utterance`


@dataclass(frozen=True, kw_only=True)
class PublishedTrial:
    """One line of a published list. `enrol` names an utterance, or with `enrol_list` a model of that list."""

    list: str
    enrol: str
    enrol_list: str | None = None
    test: str
    is_target: bool | None  # None: no key is published


@validated(frozen=True, kw_only=True, config=STRICT)
class CorpusSettings:
    """One `[[corpora]]` section: what every reader takes."""

    FILES_BESIDE: ClassVar[tuple[str, ...]] = ("exclusions",)  # keys whose paths are relative to the pipeline file

    reader: str
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    root: Location
    include: tuple[str, ...] = ()  # globs over the relative path; nothing given takes everything
    exclude: tuple[str, ...] = ()
    exclusions: tuple[Location, ...] = ()  # lists of speakers, sessions and files to leave out
    links: Literal["inside", "anywhere"] = "inside"  # whether links may lead out of the root
    look: Literal["whole", "header"] = "whole"  # decode every file to its end, or trust what its header says
    licence: str | None = None  # instead of what the reader knows
    language: str | None = None
    damaged: Literal["refuse", "keep"] = "refuse"  # stop, or set damaged files aside as rows
    min_duration_s: float = Field(default=0.5, ge=0)
    max_duration_s: float = Field(default=60.0, gt=0)
    min_peak_dbfs: float = Field(default=-60.0, le=0)  # below it a file is silent

    def __post_init__(self) -> None:
        if self.min_duration_s >= self.max_duration_s:
            raise ValueError(
                f"min_duration_s {self.min_duration_s} must be less than max_duration_s {self.max_duration_s}"
            )


def one_word(name: str) -> str:
    """What ids have in place of a name: in the composed form, and without blanks, which would divide lines of lists."""
    return _BLANK.sub("%20", unicodedata.normalize("NFC", name))


def files_in(folder: Path, *patterns: str) -> list[Path]:
    """What matches, in order, but for folders that are named like files; a link that leads nowhere is a file."""
    if is_local(folder):
        return sorted(path for pattern in patterns for path in folder.glob(pattern) if not path.is_dir())
    return sorted((path for one in patterns for path in matching(folder, one)), key=lambda path: path.parts)


def sex_of(word: str | None) -> str | None:
    """`female`, `male`, or None for the other answers that corpora give. Raises CorpusError for what is no answer."""
    said = (word or "").strip().lower()
    if said not in _SEXES:
        raise CorpusError(
            f"sex {str(word)[:80]!r}; expected female or male, another answer such as `other`, or nothing"
        )
    return _SEXES[said]


def age_of(word: str | None) -> tuple[int, int] | None:
    """Youngest and oldest age in years of `34`, `30-39`, `60+` or `thirties`; None where nothing is said.

    Raises CorpusError for words that are no age. A decade's last year counts: `teens` is 10 to 19. Years count when
    they are completed: 34.5 is 34.
    """
    text = (word or "").strip().lower()
    if text in NOTHING_SAID:
        return None
    if text in _DECADES:
        return _DECADES[text], _DECADES[text] + 9
    if match := re.fullmatch(r"([0-9]{1,3})(?:\.[0-9]+)?(?:\s*(?:[-–]\s*([0-9]{1,3})|(\+)))?", text):
        youngest = int(match[1])
        oldest = OLDEST_YEARS if match[3] else int(match[2] or youngest)
        if youngest <= oldest <= OLDEST_YEARS:
            return youngest, oldest
    told = (word or "")[:80]
    raise CorpusError(f"age {told!r}; expected years (34), a range (30-39, 60+) or a decade (thirties), at most 120")
