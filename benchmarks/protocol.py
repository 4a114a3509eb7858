"""A protocol (TOML): how a published design makes a benchmark from a curated catalog, as validated objects.

Sources name corpora of the catalog by their readers; filters and splits say which utterances go where; every list of
trials says from which split, and by which rules. `benchmarks.building` carries it out, `in_words` prints it.
"""

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from benchmarks.trial_rules import Rules
from curate.complaints import in_words as complaints
from curate.corpora.described import STRICT
from curate.errors import PipelineError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Only = dict[str, tuple[str, ...]]  # a column of utterances or age_labels, and which values it may have
PROTOCOLS = resources.files("benchmarks") / "protocols"


@validated(frozen=True, kw_only=True, config=STRICT)
class Source:
    """`[[sources]]`: corpora of the catalog, by their reader or by their name there."""

    name: Name
    readers: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    only: Only = Field(default_factory=dict)
    required: bool = True  # else a catalog without it is built from the others, and the card says so


@validated(frozen=True, kw_only=True, config=STRICT)
class Filters:
    """`[filters]`: which utterances of the sources are used at all."""

    min_duration_s: float = Field(default=0.0, ge=0)
    max_duration_s: float = Field(default=float("inf"), gt=0)
    known: tuple[Literal["sex", "age", "session_id", "transcript"], ...] = ()
    age_scheme: Literal["leq29", "leq17", "decades"] | None = None  # in which an utterance must have a group


@validated(frozen=True, kw_only=True, config=STRICT)
class Split:
    """`[[splits]]`: in their order, each takes from what those before it left. Several of one name are one split.

    With neither `num` nor `share` it takes all that is left. Whom one split has, no other takes, whatever the source,
    unless `shares_people`.
    """

    name: Name
    sources: tuple[Name, ...]
    only: Only = Field(default_factory=dict)
    unit: Literal["people", "sessions", "utterances"] = "people"
    num: int | None = Field(default=None, ge=1)
    share: Share | None = None  # of the utterances that its `only` lets pass and no split before it took
    sex_balanced: bool = False  # as many women as men; without `num`, as many as the rarer sex has
    min_utterances: int = Field(default=1, ge=1)  # of a person, or he is not drawn
    max_sessions_per_person: int | None = Field(default=None, ge=1)  # of units that are sessions
    shares_people: tuple[Name, ...] = ()  # splits that may have the same people

    def __post_init__(self) -> None:
        if self.num is not None and self.share is not None:
            raise ValueError("num and share: expected one of them")
        if self.sex_balanced and self.unit != "people":
            raise ValueError(f"sex_balanced with unit {self.unit!r}; expected it with people")
        if self.sex_balanced and self.num is not None and self.num % 2:
            raise ValueError(f"num {self.num} must be even where sex_balanced is true")
        if self.max_sessions_per_person is not None and self.unit != "sessions":
            raise ValueError(f"max_sessions_per_person with unit {self.unit!r}; expected it with sessions")


@validated(frozen=True, kw_only=True, config=STRICT)
class KeptApart:
    """`[[keep_apart]]`: a split loses the people of another side, by a list of names and by how alike they sound."""

    split: Name  # which loses
    other: tuple[Name, ...] = ()  # splits that keep theirs
    list: str | None = None  # `--list NAME=FILE` gives it: speakers, sessions or files, one a line
    list_url: str = ""  # where it can be had
    min_similarity: float | Literal["calibrated"] | None = None  # mean cosine of two people from which they are one


@validated(frozen=True, kw_only=True, config=STRICT)
class TrialList:
    """`[[trials]]`: a list of trials: published, of random pairs, or of targets and nontargets under rules."""

    name: Name
    split: Name
    published: str | None = None  # the list's name in `published_trials`, `*` for anything
    random_pairs: int | None = Field(default=None, ge=1)  # any two utterances, target or not as it comes
    targets: Rules | None = None
    nontargets: Rules | None = None
    utterances_a_model: int | None = Field(default=None, ge=1)  # enrol models of so many utterances of one session

    def __post_init__(self) -> None:
        ways = [self.published is not None, self.random_pairs is not None, self.targets is not None]
        if sum(ways) != 1 or (self.targets is None) != (self.nontargets is None):
            raise ValueError(
                f"{self.name}: expected one of `published`, `random_pairs`, or both `targets` and `nontargets`"
            )


@validated(frozen=True, kw_only=True, config=STRICT)
class Metric:
    """`[[metrics]]`: what is computed of a list's scores, or of what a classifier says."""

    name: Literal["eer", "min_dcf", "act_dcf", "cllr", "min_cllr", "precision", "recall", "f1", "wer", "cer"]
    p_target: float = Field(default=0.01, gt=0, lt=1)
    cost_miss: float = Field(default=1.0, gt=0)
    cost_false_accept: float = Field(default=1.0, gt=0)


@validated(frozen=True, kw_only=True, config=STRICT)
class Figure:
    """`[[figures]]`: what the paper itself reports, to be put beside ours."""

    system: str
    list: Name
    metric: str
    value: float  # a rate in [0, 1], or a normalised cost
    where: str  # the table


@validated(frozen=True, kw_only=True, config=STRICT)
class Protocol:
    """A whole protocol file."""

    name: Name
    version: int = Field(ge=1)
    title: str
    paper: str
    description: str
    differences: tuple[str, ...] = ()  # from the paper, each with its reason
    seed: int = Field(ge=0)
    sources: tuple[Source, ...]
    filters: Filters = Filters()
    splits: tuple[Split, ...]
    keep_apart: tuple[KeptApart, ...] = ()
    trials: tuple[TrialList, ...] = ()
    metrics: tuple[Metric, ...] = ()
    figures: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        sources, splits = {source.name for source in self.sources}, {split.name for split in self.splits}
        asked = [(f"splits.{split.name}.sources", set(split.sources), sources) for split in self.splits]
        asked += [(f"splits.{split.name}.shares_people", set(split.shares_people), splits) for split in self.splits]
        asked += [(f"trials.{one.name}.split", {one.split}, splits) for one in self.trials]
        asked += [("keep_apart", {one.split, *one.other}, splits) for one in self.keep_apart]
        asked += [("figures.list", {one.list for one in self.figures}, {one.name for one in self.trials} | {"none"})]
        for key, names, known in asked:
            if names - known:
                raise ValueError(f"{key}: no {min(names - known)!r}; expected any of {', '.join(sorted(known))}")
        for kind, given in (("sources", [s.name for s in self.sources]), ("trials", [t.name for t in self.trials])):
            twice = sorted({name for name in given if given.count(name) > 1})
            if twice:
                raise ValueError(f"{kind}: the name {twice[0]!r} is given twice; expected each once")


def names() -> list[str]:
    """The protocols that come with Voxcurate."""
    return sorted(Path(file.name).stem for file in PROTOCOLS.iterdir() if file.name.endswith(".toml"))


def load_protocol(name: str) -> Protocol:
    """One of `names()`, or a file of yours. Raises PipelineError naming the file, the key and what was expected."""
    if name.endswith(".toml"):
        place, file = name, Path(name)
    elif name in names():
        place, file = f"{name}.toml", Path(str(PROTOCOLS / f"{name}.toml"))
    else:
        raise PipelineError(f"{name!r}: no such protocol; expected one of {', '.join(names())}, or a TOML file")
    try:
        content = json.dumps(tomllib.loads(file.read_text(encoding="utf-8")), default=str)
        return TypeAdapter(Protocol).validate_json(content, strict=True)
    except OSError as error:
        raise PipelineError(f"{place}: {error.strerror}; expected a protocol file (TOML)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PipelineError(f"{place}: no TOML: {error}") from error
    except ValidationError as error:
        raise PipelineError(f"{place}: {'; '.join(complaints(error.errors(), Protocol))}") from error
