"""What pairs of utterances may be trials: rules for targets and for nontargets, and what they mean for a test's rows.

What is not known satisfies no rule that needs it: of two ages that are ranges, the gap is at least what it may be at
the least. Sex and nationality are a person's, and are what all of the person's rows agree on; every other column is
each utterance's own.
"""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT
from curate.errors import PipelineError
from curate.similarity import Flags, Indices, Scores, Vectors, unit

OF_PERSON = ("sex", "nationality")  # columns of a person: see `agreed`
RECORDING = "recording"  # corpus and path
UNKNOWN = -1  # as a code


class NoPairError(PipelineError):
    """No pair is left; `constraint` took the last. `steps` are what each constraint took, as rows of a report."""

    def __init__(self, message: str, constraint: str, steps: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(message)
        self.constraint, self.steps = constraint, steps


@validated(frozen=True, kw_only=True, config=STRICT)
class Side:
    """What one side of a trial must be. The duration of a model is that of all its utterances."""

    min_duration_s: float | None = Field(default=None, ge=0)
    max_duration_s: float | None = Field(default=None, gt=0)
    only: dict[str, tuple[str | int, ...]] = Field(default_factory=dict)  # a column, and which values it may have

    def constraints(self, name: str) -> Iterator[tuple[str, str, object]]:
        """In words, the column, and what it must be."""
        if self.min_duration_s is not None:
            yield f"{name} of at least {self.min_duration_s:g} s", "duration_s", (self.min_duration_s, np.inf)
        if self.max_duration_s is not None:
            yield f"{name} of at most {self.max_duration_s:g} s", "duration_s", (0.0, self.max_duration_s)
        for column, values in self.only.items():
            yield f"{name} of {column} {', '.join(map(str, values))}", column, [str(value) for value in values]


@validated(frozen=True, kw_only=True, config=STRICT)
class Rules:
    """Which pairs may be trials of one kind, and how they are drawn. Columns are those of the test's rows.

    `not_same` lets pairs pass of which a side is unknown, `different` does not. Raises ValueError (pydantic's) for
    values of a wrong kind, out of range, or at odds with each other.
    """

    max_trials: int | None = Field(default=None, ge=1)  # None: all
    same: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    not_same: tuple[str, ...] = ()
    same_recording: bool = False  # whether a pair may be of one file
    min_age_gap_years: int | None = Field(default=None, ge=0)
    max_age_gap_years: int | None = Field(default=None, ge=0)
    enrol: Side = Field(default_factory=Side)
    test: Side = Field(default_factory=Side)
    min_cosine_quantile: float | None = Field(default=None, ge=0, lt=1)  # of the cosines of all pairs that may be
    hardest_per_enrolment: int | None = Field(default=None, ge=1)  # those with the highest cosines
    balance: Literal["people", "pairs of people"] | None = None  # who gives as many pairs as any other, while they last
    max_per_person: int | None = Field(default=None, ge=1)  # targets

    def __post_init__(self) -> None:
        if self.hardest_per_enrolment and (self.balance or self.max_per_person):
            raise ValueError(
                "hardest_per_enrolment: with balance; expected one of them: it takes as many of each enrolment"
            )
        twice = sorted({*self.same} & {*self.different, *self.not_same})
        if twice:
            raise ValueError(f"{twice[0]} must be the same and not the same; expected one of them")

    def columns(self) -> set[str]:
        """What the rules look at."""
        sides = [column for side in (self.enrol, self.test) for _, column, _ in side.constraints("")]
        ages = ["age_min_years", "age_max_years"] if self.has_age else []
        return {*self.same, *self.different, *self.not_same, *sides, *ages} | (
            set() if self.same_recording else {"corpus", "path"}
        )

    @property
    def has_age(self) -> bool:
        """Whether ages are looked at."""
        return self.min_age_gap_years is not None or self.max_age_gap_years is not None

    @property
    def has_cosine(self) -> bool:
        """Whether vectors are needed."""
        return self.min_cosine_quantile is not None or self.hardest_per_enrolment is not None


def check_kinds(targets: Rules | None = None, nontargets: Rules | None = None) -> None:
    """Raises PipelineError for rules that only the other kind may have."""
    if targets is not None and targets.balance == "pairs of people":
        raise PipelineError("trials.targets.balance: pairs of people; expected people: a target has only one")
    if targets is not None and targets.has_cosine:
        raise PipelineError("trials.targets: hard by cosine; expected that of nontargets only")
    if nontargets is not None and nontargets.max_per_person:
        raise PipelineError("trials.nontargets.max_per_person: is for targets; expected `balance`")


class Utterances:
    """The rows of a test (utterance_id, identity_id and what the rules look at), in the order of their ids.

    Row i is `utterance_id[i]`. `vectors` (N, D) come in the order of `rows`.
    """

    def __init__(self, rows: pa.Table, *, vectors: Vectors | None = None) -> None:
        order = pc.sort_indices(rows["utterance_id"])
        self.rows = rows.take(order).combine_chunks()
        self.unit_ND = None if vectors is None else unit(vectors)[order.to_numpy()]
        self.ids = self.rows["utterance_id"].combine_chunks()
        if len(self.ids.unique()) < len(self.ids):
            twice = next(i for i, j in zip(self.ids[1:], self.ids[:-1], strict=True) if i == j)
            raise PipelineError(f"trials: utterance {twice} is in the test twice; expected each once")
        self.person = self.told("identity_id")
        self._codes: dict[str, Indices] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def need(self, columns: set[str]) -> None:
        """Raises PipelineError for a column that the rows do not have."""
        lacking = sorted(columns - {*self.rows.column_names})
        if lacking:
            raise PipelineError(
                f"trials: the test's rows have no column {lacking[0]!r}; expected one of {self.rows.column_names}"
            )

    def code(self, column: str) -> Indices:
        """(N,) equal where the values are; `UNKNOWN` where there is none."""
        if column not in self._codes:
            if column == RECORDING:
                self._codes[column] = joint(self.told("corpus"), self.told("path"))
            elif column in OF_PERSON:
                self._codes[column] = self._agreed(self.told(column))
            else:
                self._codes[column] = self.told(column)
        return self._codes[column]

    def number(self, column: str) -> Scores:
        """(N,) nan where there is none."""
        values = pc.cast(self.rows[column].combine_chunks(), pa.float64())
        return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)

    def told(self, column: str) -> Indices:
        """(N,) the same of what each row says itself."""
        indices = self.rows[column].combine_chunks().dictionary_encode().indices
        return np.asarray(indices.fill_null(UNKNOWN), np.int64)

    def _agreed(self, code: Indices) -> Indices:
        """What the rows of each person say; unknown where none does, or where they disagree."""
        num = int(self.person.max(initial=-1)) + 1
        low, high = np.full(num, len(self) + 1), np.full(num, UNKNOWN)
        said = code >= 0
        np.minimum.at(low, self.person[said], code[said])
        np.maximum.at(high, self.person[said], code[said])
        return np.where(low == high, high, UNKNOWN)[self.person]


class Enrolments:
    """What is enrolled: the utterances themselves, or models of one or several.

    Item i is made of the rows `member[start[i] : start[i + 1]]`.
    """

    def __init__(self, utterances: Utterances, models: pa.Table | None = None) -> None:
        self.is_utterances = models is None
        if models is None:
            self.ids, self.member = utterances.ids, np.arange(len(utterances))
            self.start = np.arange(len(utterances) + 1)
        else:
            models = models.sort_by([("model_id", "ascending"), ("utterance_id", "ascending")])
            found = pc.index_in(models["utterance_id"].combine_chunks(), utterances.ids)
            if found.null_count:
                absent = models["utterance_id"].combine_chunks().filter(found.is_null())[0]
                raise PipelineError(f"trials: no utterance {absent} of a model is in the test; expected all of them")
            encoded = models["model_id"].combine_chunks().dictionary_encode()
            self.ids, self.member = encoded.dictionary, np.asarray(found, np.int64)
            self.start = np.searchsorted(np.asarray(encoded.indices), np.arange(len(self.ids) + 1))
        self._utterances = utterances
        self.person = self.agreed(utterances.person)
        if (self.person == UNKNOWN).any():
            model = self.ids[int((self.person == UNKNOWN).argmax())]
            raise PipelineError(f"trials: model {model} has utterances of two people; expected one person's")

    def __len__(self) -> int:
        return len(self.ids)

    def agreed(self, code: Indices) -> Indices:
        """(L,) the code of all members; `UNKNOWN` where they differ."""
        if self.is_utterances:
            return code
        low, high = (at.reduceat(code[self.member], self.start[:-1]) for at in (np.minimum, np.maximum))
        return np.where(low == high, low, UNKNOWN)

    def least(self, values: Scores) -> Scores:
        """(L,) of the members; nan where one is."""
        return np.minimum.reduceat(values[self.member], self.start[:-1])

    def greatest(self, values: Scores) -> Scores:
        """(L,) of the members; nan where one is."""
        return np.maximum.reduceat(values[self.member], self.start[:-1])

    def sum(self, values: Scores) -> Scores:
        """(L,) of the members."""
        return np.add.reduceat(values[self.member], self.start[:-1])

    def all(self, flags: Flags) -> Flags:
        """(L,) whether all members are so."""
        return np.logical_and.reduceat(flags[self.member], self.start[:-1])

    def unit_LD(self) -> Vectors:  # noqa: N802 (shape letters)
        """Unit vectors, of models those of the mean of their utterances'."""
        vectors = self._utterances.unit_ND
        if vectors is None or self.is_utterances:
            return vectors if vectors is not None else np.empty((0, 0), np.float32)
        return unit(np.add.reduceat(vectors[self.member].astype(np.float64), self.start[:-1]).astype(np.float32))


def made_models(rows: pa.Table, num_utterances: int, *, rng: np.random.Generator) -> pa.Table:
    """(model_id, utterance_id): of each person one model, of so many utterances of one session, both drawn.

    `rows` are (utterance_id, identity_id, session_id). A model is called as its person. Who has no session of so many
    has no model; raises PipelineError where nobody has. `rng` gives a key, and the least keyed hashes (BLAKE2b) are
    drawn: whoever comes or goes, the models of others stay.
    """
    key = rng.bytes(16)
    rows = rows.sort_by([(column, "ascending") for column in ("identity_id", "session_id", "utterance_id")])
    sessions: dict[str, dict[str, list[str]]] = {}
    columns = (rows[c].to_pylist() for c in ("identity_id", "session_id", "utterance_id"))
    for person, session, utterance in zip(*columns, strict=True):
        if session is not None:
            sessions.setdefault(person, {}).setdefault(session, []).append(utterance)
    made: dict[str, list[str]] = {"model_id": [], "utterance_id": []}
    for person, heard in sessions.items():
        long = [session for session, utterances in heard.items() if len(utterances) >= num_utterances]
        if long:
            chosen = heard[min(long, key=lambda session: _hash(session, key))]
            made["model_id"] += [person] * num_utterances
            made["utterance_id"] += sorted(sorted(chosen, key=lambda one: _hash(one, key))[:num_utterances])
    if not made["model_id"]:
        raise PipelineError(
            f"trials: nobody of the test has a session of {num_utterances} utterances; expected fewer a model"
        )
    return pa.table(made)


def _hash(name: str, key: bytes) -> bytes:
    return blake2b(name.encode(), key=key, digest_size=16).digest()


def joint(*codes: Indices) -> Indices:
    """One code for each combination; `UNKNOWN` where one of them is."""
    found, *others = codes
    for code in others:
        num = int(code.max(initial=-1)) + 1
        pair = np.where((found >= 0) & (code >= 0), found * num + code, UNKNOWN)
        if (int(found.max(initial=-1)) + 1) * num > 4 * len(pair):
            known = pa.array(pair, mask=pair < 0).dictionary_encode()
            pair = np.asarray(known.indices.fill_null(UNKNOWN), np.int64)
        found = pair
    return found


def num_equal(enrolled: Indices, tested: Indices, *, is_enrolled: Flags, is_tested: Flags, is_utterances: bool) -> int:
    """How many pairs have one code, of those enrolled (L,) and those tested (N,); none twice, none with itself.

    Where utterances are enrolled, L is N, and a pair of which both sides may be either counts once.
    """
    num = int(max(enrolled.max(initial=-1), tested.max(initial=-1))) + 1
    one, other = (
        np.bincount(code[flag & (code >= 0)], minlength=num)
        for code, flag in ((enrolled, is_enrolled), (tested, is_tested))
    )
    if not is_utterances:
        return int((one * other).sum())
    both = np.bincount(tested[is_enrolled & is_tested & (tested >= 0)], minlength=num)
    return int((one * other - both * (both + 1) // 2).sum())


def subsets(columns: list[str]) -> Iterator[tuple[str, ...]]:
    """All of them, also the empty one."""
    return (chosen for size in range(len(columns) + 1) for chosen in combinations(columns, size))
