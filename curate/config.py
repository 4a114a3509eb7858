"""A pipeline file (TOML) as validated objects. Paths in it are relative to the file itself."""

import difflib
import json
import os
import re
import tomllib
from dataclasses import fields, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from curate.corpora import READERS
from curate.corpora.described import STRICT, CorpusSettings
from curate.errors import PipelineError

if TYPE_CHECKING:  # every reader's Settings are these and more
    Corpus = CorpusSettings
else:
    Corpus = Annotated[reduce(or_, (reader.Settings for reader in READERS.values())), Discriminator("reader")]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# what pydantic puts among the keys
UNION_TAG = r"(constrained-)?float$|literal\[|\[key\]$|lax-or-strict\[|dict\[|function-|json-or-python\["


@validated(frozen=True, kw_only=True, config=STRICT)
class Embedding:
    """`[embedding]`: which encoder listens, and how much of the work is one task."""

    extractor: Literal["ge2e"] = "ge2e"
    utterances_per_block: int = Field(default=256, ge=1)
    workers: int = Field(default=2, ge=1)


@validated(frozen=True, kw_only=True, config=STRICT)
class Cleaning:
    """`[cleaning]`: the rule of the VietSV paper, section 4.3."""

    preset: Literal["vietsv"] = "vietsv"
    iqr_factor: Positive = 1.5  # eq. 7
    min_speaker_similarity: Cosine | Literal["extractor"] = "extractor"  # below it a speaker is invalid


@validated(frozen=True, kw_only=True, config=STRICT)
class Identities:
    """`[identities]`: which speakers are one person. `vietsv` stands for the paper's 0.7."""

    min_similarity: Cosine | Literal["extractor", "vietsv"] = "extractor"
    within_corpora: bool = True
    min_utterances: int = Field(default=3, ge=1)  # kept ones of either label, or the pair is not judged
    min_speech_s: float = Field(default=10.0, ge=0)  # the same, for the sum of their lengths
    guards: tuple[Literal["sex", "language"], ...] = ("sex", "language")


@validated(frozen=True, kw_only=True, config=STRICT)
class Ages:
    """`[ages]`: which schemes label the utterances."""

    schemes: tuple[Literal["leq29", "leq17"], ...] = ("leq29", "leq17")

    def __post_init__(self) -> None:
        if len(set(self.schemes)) < len(self.schemes):
            raise ValueError(f"schemes {list(self.schemes)} names one twice; expected each once")


@validated(frozen=True, kw_only=True, config=STRICT)
class Splits:
    """`[splits]`: who is in the test. An empty `test_from` draws from every corpus."""

    num_test_speakers: int = Field(ge=1)
    test_from: tuple[str, ...] = ()
    sex_balanced: bool = True
    min_test_utterances: int = Field(default=2, ge=2)  # a person with one makes no target trial

    def __post_init__(self) -> None:
        if self.sex_balanced and self.num_test_speakers % 2:
            raise ValueError(f"num_test_speakers {self.num_test_speakers} must be even where sex_balanced is true")


@validated(frozen=True, kw_only=True, config=STRICT)
class Trials:
    """`[trials]`: which pairs of the test are asked about, and at most how many."""

    max_targets: int = Field(default=100_000, ge=1)
    max_nontargets: int = Field(default=100_000, ge=1)
    cross_session_targets: bool = True  # within one session a target is about five times easier
    same_sex_nontargets: bool = True
    p_target: float = Field(default=0.01, gt=0, lt=1)  # of the detection cost
    cost_miss: Positive = 1.0
    cost_false_accept: Positive = 1.0


@validated(frozen=True, kw_only=True, config=STRICT)
class Card:
    """`[card]`: what only its makers can say of the data set."""

    title: str | None = None
    description: str = ""
    licence: str | None = None  # of the whole; each row keeps its own
    makers: tuple[str, ...] = ()


@validated(frozen=True, kw_only=True, config=STRICT)
class Pipeline:
    """A whole pipeline file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")  # of the benchmark
    catalog: Path
    seed: int = Field(default=0, ge=0)
    corpora: tuple[Corpus, ...]
    splits: Splits
    embedding: Embedding = Embedding()
    cleaning: Cleaning = Cleaning()
    identities: Identities = Identities()
    ages: Ages = Ages()
    trials: Trials = Trials()
    card: Card = Card()

    def __post_init__(self) -> None:
        names = [corpus.name for corpus in self.corpora]
        if not names:
            raise ValueError("corpora: none; expected at least one [[corpora]] section")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"corpora: the name {twice[0]!r} is given twice; expected one section a corpus")
        unknown = set(self.splits.test_from) - set(names)
        if unknown:
            raise ValueError(f"splits.test_from: no corpus {min(unknown)!r}; expected any of {', '.join(names)}")

    def corpus(self, name: str) -> CorpusSettings:
        """The section of this name."""
        return next(corpus for corpus in self.corpora if corpus.name == name)


def load_pipeline(path: Path) -> Pipeline:
    """Read a pipeline file. Raises PipelineError naming the file, the key and what was expected."""
    try:
        content = json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), default=str)
    except OSError as error:
        raise PipelineError(f"{path}: {error.strerror}; expected a pipeline file (TOML)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PipelineError(f"{path}: no TOML: {error}") from error
    try:
        # As JSON: strict about types, yet a list may become a tuple and a text a path.
        pipeline = TypeAdapter(Pipeline).validate_json(content, strict=True)
    except ValidationError as error:
        raise PipelineError(f"{path}: {'; '.join(_in_words(error.errors()))}") from error
    here = path.resolve().parent
    try:
        corpora = tuple(replace(corpus, **_places(here, corpus)) for corpus in pipeline.corpora)
        return replace(pipeline, catalog=_beside(here, pipeline.catalog), corpora=corpora)
    except RuntimeError as error:
        raise PipelineError(f"{path}: `~` of a user that is not there; expected another path") from error


def _places(here: Path, corpus: CorpusSettings) -> dict[str, Any]:
    """The corpus' root, and the files that the user brings to it, from where the pipeline file lies."""
    brought = {key: getattr(corpus, key) for key in corpus.FILES_BESIDE}
    return {"root": _beside(here, corpus.root)} | {
        key: tuple(_beside(here, one) for one in value) if isinstance(value, tuple) else _beside(here, value)
        for key, value in brought.items()
        if value is not None
    }


def _beside(here: Path, path: Path) -> Path:
    return Path(os.path.normpath(here / path.expanduser()))


def _in_words(problems: list[Any]) -> list[str]:
    """Pydantic's errors as `key: what is wrong; what was expected`, one a key."""
    said: dict[str, list[str]] = {}
    for problem in problems:
        said.setdefault(_key(problem), []).append(_fault(problem))
    return [(f"{key}: " if key else "") + _joined(faults) for key, faults in said.items()]


def _joined(faults: list[str]) -> str:
    """One value can fail each alternative of a union: it is said once, then all that was expected."""
    first, *others = dict.fromkeys(faults)
    return " or ".join([first, *(other.rpartition("; expected ")[2] for other in others)])


def _key(problem: Any) -> str:
    """The key as a user would look for it. A union adds its alternatives to the place: they are no keys."""
    where = problem["loc"]
    unknown = len(where) - 1 if problem["type"] == "unexpected_keyword_argument" else None  # may be called anything
    keys = [
        part
        for i, part in enumerate(where)
        if i == unknown or not (_is_reader_tag(where, i) or re.match(UNION_TAG, str(part)))
    ]
    return "".join(f"[{key}]" if isinstance(key, int) else f".{_quoted(key)}" for key in keys).lstrip(".")


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key)


def _is_reader_tag(where: tuple[int | str, ...], i: int) -> bool:
    return i == 2 and where[0] == "corpora" and where[i] in READERS


def _fault(problem: Any) -> str:
    kind = problem["type"]
    if kind == "unexpected_keyword_argument":
        known = _keys_beside(problem["loc"])
        near = difflib.get_close_matches(problem["loc"][-1], known, n=1)
        return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; expected one of {', '.join(known)}"
    if kind.startswith("missing"):
        return "missing; expected a value"
    if kind.startswith("union_tag"):
        given = f"reader {problem['ctx']['tag']!r}" if "tag" in problem["ctx"] else "no reader"
        return f"{given}; expected one of {', '.join(READERS)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = message.replace("String should match pattern", "text that matches")
    return message if kind == "value_error" else f"{problem['input']!r}; expected {message[0].lower()}{message[1:]}"


def _keys_beside(where: tuple[int | str, ...]) -> list[str]:
    """The keys that the section of an unknown key may hold."""
    section: Any = Pipeline
    for i, part in enumerate(where[:-1]):
        if _is_reader_tag(where, i):
            section = READERS[str(part)].Settings
        elif isinstance(part, str) and part != "corpora":
            section = section.__dataclass_fields__[part].type
    return [field.name for field in fields(section)]
