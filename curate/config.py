"""A pipeline file (TOML) as validated objects. Paths in it are relative to the file itself."""

import json
import os
import tomllib
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from curate.ages import Scheme
from curate.complaints import in_words
from curate.corpora import READERS
from curate.corpora.described import STRICT, CorpusSettings
from curate.errors import PipelineError
from curate.hearing import EmbeddingSection, Ge2e, Hearing
from curate.presets import CleaningSection, Cosine, Duplicates, Positive, Robust, VietSV
from curate.storage import Location, is_local

if TYPE_CHECKING:  # every reader's Settings are these and more, and so is what is said of every encoder
    Corpus = CorpusSettings
    Embedding = Hearing
    Cleaning = Robust | VietSV
else:
    Cleaning = CleaningSection
    Embedding = EmbeddingSection
    Corpus = Annotated[reduce(or_, (reader.Settings for reader in READERS.values())), Discriminator("reader")]


@validated(frozen=True, kw_only=True, config=STRICT)
class Runner:
    """`[runner]`: what carries out the scans and the blocks of embeddings; everything else is done where the run is."""

    kind: Literal["threads", "dask", "ray"] = "threads"
    workers: int = Field(default=2, ge=1)  # corpora scanned, or blocks embedded, at once
    address: str | None = None  # of a Dask scheduler or a Ray cluster; a local one is started where it is not said

    def __post_init__(self) -> None:
        if self.address is not None and self.kind == "threads":
            raise ValueError(f"address {self.address!r}: threads have none; expected `kind` to be dask or ray")


@validated(frozen=True, kw_only=True, config=STRICT)
class Identities:
    """`[identities]`: which speakers are one person. `vietsv` stands for the paper's 0.7."""

    min_similarity: Cosine | Literal["calibrated", "extractor", "vietsv"] = "calibrated"
    max_false_merge_rate: float = Field(default=1e-3, gt=0, le=0.05)  # of compared pairs of different people
    within_corpora: bool = True
    min_utterances: int = Field(default=3, ge=1)  # kept ones of either label, or the pair is not judged
    min_speech_s: float = Field(default=10.0, ge=0)  # the same, for the sum of their lengths
    guards: tuple[Literal["sex", "language", "age"], ...] = ("sex", "language")
    max_age_gap_years: int = Field(default=10, ge=0)  # of the guard of ages, within a corpus
    without_duplicates: tuple[str, ...] = ()  # corpora in which nobody is there twice


@validated(frozen=True, kw_only=True, config=STRICT)
class Ages:
    """`[ages]`: which schemes label the utterances."""

    schemes: tuple[Scheme, ...] = ("leq29", "leq17")

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
    """A whole pipeline file. Without `[splits]` it curates and no more: benchmarks are then built by protocols."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")  # of the benchmark
    catalog: Location
    seed: int = Field(default=0, ge=0)
    corpora: tuple[Corpus, ...]
    splits: Splits | None = None
    embedding: Embedding = Ge2e()
    runner: Runner = Runner()
    duplicates: Duplicates = Duplicates()
    cleaning: Cleaning = Robust()
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
        named = {
            "splits.test_from": () if self.splits is None else self.splits.test_from,
            "identities.without_duplicates": self.identities.without_duplicates,
        }
        for key, corpora in named.items():
            unknown = set(corpora) - set(names)
            if unknown:
                raise ValueError(f"{key}: no corpus {min(unknown)!r}; expected any of {', '.join(names)}")

    def corpus(self, name: str) -> CorpusSettings:
        """The section of this name. Raises PipelineError where there is none."""
        for corpus in self.corpora:
            if corpus.name == name:
                return corpus
        raise PipelineError(f"{self.name}: no corpus {name!r}; expected a section `[[corpora]]` for all of its catalog")


def load_pipeline(path: Path) -> Pipeline:
    """Read a pipeline file. Raises PipelineError naming the file, the key and what was expected."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        content = json.dumps(said, default=str)
    except OSError as error:
        raise PipelineError(f"{path}: {error.strerror}; expected a pipeline file (TOML)") from error
    except (ValueError, RecursionError) as error:  # a number of more digits than Python reads is no TOMLDecodeError
        raise PipelineError(f"{path}: no TOML: {error}") from error
    try:
        # As JSON: strict about types, yet a list may become a tuple and a text a path.
        pipeline = TypeAdapter(Pipeline).validate_json(content, strict=True)
    except ValidationError as error:
        raise PipelineError(f"{path}: {'; '.join(in_words(error.errors(), Pipeline))}") from error
    if "trials" in said and pipeline.splits is None:
        raise PipelineError(f"{path}: trials: there are none without splits; expected both sections, or neither")
    here = path.resolve().parent
    try:
        corpora = tuple(replace(corpus, **_places(here, corpus)) for corpus in pipeline.corpora)
        embedding = _with_source(here, pipeline.embedding)
        return replace(pipeline, catalog=_beside(here, pipeline.catalog), corpora=corpora, embedding=embedding)
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
    return Path(os.path.normpath(here / path.expanduser())) if is_local(path) else path


def _with_source(here: Path, hearing: Hearing) -> Hearing:
    """Where its encoder comes from: a file from where the pipeline file lies, or a name at a hub as it is."""
    if hearing.source is None:
        return hearing
    beside = _beside(here, Path(hearing.source))
    is_path = hearing.SOURCE_IS_FILE or beside.exists() or hearing.source.startswith((".", "/", "~"))
    return replace(hearing, source=str(beside)) if is_path else hearing
