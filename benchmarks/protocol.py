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

from benchmarks.trial_rules import Rules, Side, check_kinds
from curate.ages import Scheme
from curate.complaints import in_words as complaints
from curate.corpora.described import STRICT
from curate.errors import PipelineError
from curate.schema import UTTERANCES

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Only = dict[str, tuple[str, ...]]  # a column of utterances or age_labels, and which values it may have
COLUMNS = {column.name for column in UTTERANCES.columns} | {"identity_id", "age_group", "age_subgroup"}
KNOWN_BY = {"sex": "sex", "age": "age_min_years", "session_id": "session_id", "transcript": "transcript"}
OF_AGES = {"age_min_years", "age_max_years"}
ALWAYS = {"utterance_id", "corpus", "speaker_id", "session_id", "path", "sex", "duration_s"}  # are looked at
PROTOCOLS = resources.files("benchmarks") / "protocols"


@validated(frozen=True, kw_only=True, config=STRICT)
class Source:
    """`[[sources]]`: corpora of the catalog, by their reader or by their name there; one of the two is enough."""

    name: Name
    readers: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()  # globs over labels: `id1*` is VoxCeleb1, wherever it lies
    only: Only = Field(default_factory=dict)
    required: bool = True  # else a catalog without it is built from the others, and the card says so

    def __post_init__(self) -> None:
        if not self.readers and not self.corpora:
            raise ValueError(f"source {self.name}: of no corpus; expected `readers` or `corpora`")

    def holds(self, corpus: str, reader: str) -> bool:
        """Whether a corpus of the catalog is one that the source may be of."""
        return corpus in self.corpora or reader in self.readers


@validated(frozen=True, kw_only=True, config=STRICT)
class Filters:
    """`[filters]`: which utterances of the sources are used at all."""

    sources: tuple[Name, ...] = ()  # that it is about; all, if none is named
    min_duration_s: float = Field(default=0.0, ge=0)
    max_duration_s: float = Field(default=float("inf"), gt=0)
    known: tuple[Literal["sex", "age", "session_id", "transcript"], ...] = ()
    age_scheme: Scheme | None = None  # in which an utterance must have a group


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
    share: Share | None = None  # of the people there are to draw from; of their utterances, for other units
    share_of: Literal["left", "all"] = "left"  # what no split before it took, or all that `only` lets pass
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

    def __post_init__(self) -> None:
        if self.list is None and self.min_similarity is None:
            raise ValueError(f"{self.split}: expected `list` or `min_similarity`, or both")
        if self.min_similarity is not None and not self.other:
            raise ValueError(f"{self.split}: min_similarity to nobody; expected splits in `other`")


@validated(frozen=True, kw_only=True, config=STRICT)
class TrialList:
    """`[[trials]]`: a list of trials: published, of random pairs, or of targets and nontargets under rules."""

    name: Name
    split: Name
    published: str | None = None  # the list's name in `published_trials`, `*` for anything
    random_pairs: int | None = Field(default=None, ge=1)  # of any two recordings, target or not as it comes
    targets: Rules | None = None
    nontargets: Rules | None = None
    utterances_a_model: int | None = Field(default=None, ge=1)  # enrol models of so many utterances of one session
    required: bool = True  # else a published list that no corpus brings is left out, and the card says so

    def __post_init__(self) -> None:
        ways = [self.published is not None, self.random_pairs is not None, self.targets is not None]
        if sum(ways) != 1 or (self.targets is None) != (self.nontargets is None):
            raise ValueError(
                f"{self.name}: expected one of `published`, `random_pairs`, or both `targets` and `nontargets`"
            )
        if self.utterances_a_model is not None and self.targets is None:
            raise ValueError(f"{self.name}: utterances_a_model; expected it with `targets` and `nontargets`")
        if self.targets is not None and self.nontargets is not None:
            check_kinds(self.targets, self.nontargets)


@validated(frozen=True, kw_only=True, config=STRICT)
class Metric:
    """`[[metrics]]`: what is computed of a list's scores, or of what a classifier says."""

    name: Literal["eer", "min_dcf", "act_dcf", "cllr", "min_cllr", "precision", "recall", "f1", "wer", "cer"]
    p_target: float = Field(default=0.01, gt=0, lt=1)
    cost_miss: float = Field(default=1.0, gt=0)
    cost_false_accept: float = Field(default=1.0, gt=0)


@validated(frozen=True, kw_only=True, config=STRICT)
class Figure:
    """What the paper itself reports of one system, to be put beside ours."""

    system: str
    list: Name
    metric: str
    value: float  # a rate in [0, 1], or a normalised cost
    where: str  # the table


@validated(frozen=True, kw_only=True, config=STRICT)
class Reported:
    """`[reported]`: the paper's own figures."""

    figures: tuple[Figure, ...] = ()


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
    reported: Reported = Reported()

    def __post_init__(self) -> None:
        sources, splits = {source.name for source in self.sources}, {split.name for split in self.splits}
        asked = [(f"splits.{split.name}.sources", set(split.sources), sources) for split in self.splits]
        asked += [(f"splits.{split.name}.shares_people", set(split.shares_people), splits) for split in self.splits]
        asked += [(f"trials.{one.name}.split", {one.split}, splits) for one in self.trials]
        asked += [("filters.sources", {*self.filters.sources}, sources)]
        asked += [("keep_apart", {one.split, *one.other}, splits) for one in self.keep_apart]
        lists = {one.name for one in self.trials} | {"none"}
        asked += [("reported.figures.list", {one.list for one in self.figures}, lists)]
        asked += [(f"{key}.only", {*only}, COLUMNS) for key, only in _onlys(self)]
        asked += [(key, rules.columns(), COLUMNS) for key, rules in _rules(self)]
        for key, names, known in asked:
            if names - known:
                raise ValueError(f"{key}: no {min(names - known)!r}; expected any of {', '.join(sorted(known))}")
        for kind, given in (("sources", [s.name for s in self.sources]), ("trials", [t.name for t in self.trials])):
            twice = sorted({name for name in given if given.count(name) > 1})
            if twice:
                raise ValueError(f"{kind}: the name {twice[0]!r} is given twice; expected each once")

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What the paper reports."""
        return self.reported.figures

    @property
    def columns(self) -> set[str]:
        """The columns of utterances that are looked at."""
        asked = {column for _, only in _onlys(self) for column in only}
        asked |= {column for _, rules in _rules(self) for column in rules.columns()}
        ages = OF_AGES if self.filters.age_scheme else set()
        found = ALWAYS | asked | ages | {KNOWN_BY[known] for known in self.filters.known}
        return found & {column.name for column in UTTERANCES.columns}

    @property
    def has_cosine(self) -> bool:
        """Whether vectors are needed."""
        by_voice = any(apart.min_similarity is not None for apart in self.keep_apart)
        return by_voice or any(rules.has_cosine for _, rules in _rules(self))


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
    except ValidationError as error:
        raise PipelineError(f"{place}: {'; '.join(complaints(error.errors(), Protocol))}") from error
    except (ValueError, RecursionError) as error:  # a number of more digits than Python reads is no TOMLDecodeError
        raise PipelineError(f"{place}: no TOML: {error}") from error


def _onlys(protocol: Protocol) -> list[tuple[str, Only]]:
    """Every `only` of sources and splits, and where it stands."""
    return [
        *((f"sources.{one.name}", one.only) for one in protocol.sources),
        *((f"splits.{one.name}", one.only) for one in protocol.splits),
    ]


def _rules(protocol: Protocol) -> list[tuple[str, Rules]]:
    """The rules of every list, and where they stand."""
    return [
        (f"trials.{one.name}.{kind}", rules)
        for one in protocol.trials
        for kind, rules in (("targets", one.targets), ("nontargets", one.nontargets))
        if rules is not None
    ]


# ------------------------------------------------------------------------------------------------------ in words


def in_words(protocol: Protocol) -> str:
    """The whole protocol in plain words: every rule, seed and metric, and what the paper reports."""
    blocks = [
        [f"{protocol.title} ({protocol.name}, version {protocol.version})", protocol.paper, "", protocol.description],
        ["Sources", *(f"- {one.name}: {_source(one)}" for one in protocol.sources)],
        ["Filters", *(f"- {line}" for line in _filters(protocol.filters))],
        [
            "Splits, in this order; whom one of them has, no other takes, unless it is said",
            *(f"{place}. {one.name}: {_split(one)}" for place, one in enumerate(protocol.splits, 1)),
        ],
        ["Kept apart", *(f"- {line}" for one in protocol.keep_apart for line in _apart(one))],
        ["Lists of trials", *(line for one in protocol.trials for line in _list(one))],
        ["Metrics", *(f"- {_metric(one)}" for one in protocol.metrics)],
        ["Figures of the paper", *(f"- {_figure(one)}" for one in protocol.figures)],
        ["Differences from the paper", *(f"- {line}" for line in protocol.differences)],
        [f"Seed {protocol.seed}: each draw has a key of its own, made of it and of the name of what is drawn."],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if len(block) > 1 or block[0].startswith("Seed")) + "\n"


def _only(only: Only) -> list[str]:
    return [f"{column} {_or(values)}" for column, values in only.items()]


def _or(values: tuple[str, ...]) -> str:
    return " or ".join(values)


def _source(source: Source) -> str:
    which = [f"of reader {_or(source.readers)}"] if source.readers else []
    which += [f"called {_or(source.corpora)}"] if source.corpora else []
    rules = [f"corpora {' or '.join(which)}"]
    rules += [f"speakers {_or(source.speakers)}"] if source.speakers else []
    rules += [*_only(source.only), *([] if source.required else ["may be lacking"])]
    return "; ".join(rules)


def _filters(filters: Filters) -> list[str]:
    rules = [f"of at least {filters.min_duration_s:g} s"] if filters.min_duration_s else []
    rules += [f"of at most {filters.max_duration_s:g} s"] if filters.max_duration_s < float("inf") else []
    rules += [f"{known} known" for known in filters.known]
    rules += [f"in an age group of scheme {filters.age_scheme}"] if filters.age_scheme else []
    whose = f" (of {', '.join(filters.sources)} alone)" if filters.sources else ""
    return [rule + whose for rule in rules]


def _split(split: Split) -> str:
    rules = [f"from {', '.join(split.sources)}", *_only(split.only)]
    if split.share is None:
        taken = f"{'all' if split.num is None else f'{split.num:,}'} {split.unit}"
    else:
        there = "that are left" if split.share_of == "left" else "there are"
        how = {"people": "people {}", "sessions": "utterances {}, in whole sessions", "utterances": "utterances {}"}
        taken = f"{100 * split.share:g} % of the {how[split.unit].format(there)}"
    rules.append(taken + (", as many women as men" if split.sex_balanced else ""))
    if split.min_utterances > 1:
        rules.append(f"people with at least {split.min_utterances} utterances")
    if split.max_sessions_per_person is not None:
        rules.append(f"at most {split.max_sessions_per_person} sessions a person")
    if split.shares_people:
        rules.append(f"may share people with {', '.join(split.shares_people)}")
    return "; ".join(rules)


def _apart(apart: KeptApart) -> list[str]:
    lines = []
    if apart.list is not None:
        where = f", to be had at {apart.list_url}" if apart.list_url else ""
        lines.append(f"{apart.split} loses whom the list {apart.list} names (`--list {apart.list}=FILE`{where})")
    if apart.min_similarity is not None:
        least = apart.min_similarity
        told = "the calibrated threshold" if least == "calibrated" else f"{least:g}"
        others = ", ".join(apart.other)
        lines.append(f"{apart.split} loses who sounds like somebody of {others}: mean cosine of at least {told}")
    return lines


def _list(asked: TrialList) -> list[str]:
    head = f"- {asked.name}, of split {asked.split}: "
    optional = "" if asked.required else "; left out where no corpus brings it"
    if asked.published is not None:
        return [f"{head}the published list {asked.published}, where both sides are in the split{optional}"]
    if asked.random_pairs is not None:
        told = "not of one recording, each as likely as any other, none twice"
        return [f"{head}{asked.random_pairs:,} pairs at random, {told}"]
    models = f"models of {asked.utterances_a_model} utterances of one session are enrolled" * bool(
        asked.utterances_a_model
    )
    kinds = (("targets", asked.targets), ("nontargets", asked.nontargets))
    lines = [f"  - {kind}: {'; '.join(_pairs(rules))}" for kind, rules in kinds if rules is not None]
    return [f"{head}drawn under rules{'; ' * bool(models)}{models}", *lines]


def _pairs(rules: Rules) -> list[str]:
    told = [f"the same {column}" for column in rules.same]
    told += [f"different {column}" for column in rules.different]
    told += [f"not the same {column}" for column in rules.not_same]
    told += [] if rules.same_recording else ["not of one recording"]
    told += [f"an age gap of at least {rules.min_age_gap_years} years"] if rules.min_age_gap_years is not None else []
    told += [f"an age gap of at most {rules.max_age_gap_years} years"] if rules.max_age_gap_years is not None else []
    told += [line for name, side in (("enrolment", rules.enrol), ("test", rules.test)) for line in _side(name, side)]
    if rules.min_cosine_quantile is not None:
        told.append(f"cosine from the {rules.min_cosine_quantile:g} quantile on")
    if rules.hardest_per_enrolment is not None:
        told.append(f"the {rules.hardest_per_enrolment:,} hardest of each enrolment")
    told += [f"at most {rules.max_per_person:,} of each person"] if rules.max_per_person is not None else []
    told += [f"balanced over {rules.balance}"] if rules.balance is not None else []
    return [*told, "all of them" if rules.max_trials is None else f"{rules.max_trials:,} of them, drawn"]


def _side(name: str, side: Side) -> list[str]:
    return [constraint for constraint, _, _ in side.constraints(name)]


def _metric(metric: Metric) -> str:
    if metric.name in ("min_dcf", "act_dcf"):
        costs = f"cost of a miss {metric.cost_miss:g}, of a false accept {metric.cost_false_accept:g}"
        return f"{metric.name} at p_target {metric.p_target:g}, {costs}, normalised"
    return metric.name


def _figure(figure: Figure) -> str:
    of = "" if figure.list == "none" else f" on {figure.list}"
    return f"{figure.system}: {figure.metric} {figure.value:g}{of} ({figure.where})"
