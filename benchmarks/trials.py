"""Pairs of test utterances to be told same or different.

Targets are two utterances of one person, by default from two sessions: a target within one session is about five times
easier. An utterance without a session counts as a session of its own. Nontargets are two people, by default of one sex.

Nothing is enumerated that is not wanted. Sorted by person and session, the partners that an utterance may have after it
are one unbroken run of rows; so all pairs can be numbered, any number turned back into its pair, and distinct pairs
drawn by drawing distinct numbers.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import PipelineError
from curate.schema import TRIALS

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NumberedPairs:
    """Row i may be paired with the rows from `first[i]` up to, not including, `end[i]`."""

    first: Rows
    end: Rows

    @property
    def total(self) -> int:
        """How many pairs there are."""
        return int((self.end - self.first).sum())

    def pair(self, numbers: Rows) -> tuple[Rows, Rows]:
        """The pairs of these numbers, each from 0 to `total` - 1."""
        past = np.cumsum(self.end - self.first)
        left = np.searchsorted(past, numbers, side="right")
        before = past[left] - (self.end - self.first)[left]
        return left, self.first[left] + numbers - before

    def sample(self, at_most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Distinct pairs, all of them if there are no more than `at_most`."""
        if self.total <= at_most:
            return self.pair(np.arange(self.total))
        return self.pair(np.sort(rng.choice(self.total, size=at_most, replace=False, shuffle=False)))


def make_trials(
    test: pa.Table,
    *,
    benchmark: str,
    max_targets: int,
    max_nontargets: int,
    cross_session_targets: bool,
    same_sex_nontargets: bool,
    rng: np.random.Generator,
) -> pa.Table:
    """Trials among `test` (utterance_id, identity_id, session_id, sex), targets first.

    A person's sex is the one that its rows agree on: of two labels that are one person, one may say nothing. Raises
    PipelineError where a kind of trial cannot be had.
    """
    test = test.drop_columns("sex").append_column("sex", _sex_of_person(test))
    test = test.sort_by([(column, "ascending") for column in ("sex", "identity_id", "session_id", "utterance_id")])
    columns = {name: test[name].to_pylist() for name in ("utterance_id", "identity_id", "session_id", "sex")}
    person = _codes(columns["identity_id"])
    own = [session or f"\0{i}" for i, session in enumerate(columns["session_id"])]
    session = _codes(own if cross_session_targets else [str(i) for i in range(len(own))])
    sex = _codes(columns["sex"] if same_sex_nontargets else [None] * len(own))
    known = np.array([not same_sex_nontargets or value is not None for value in columns["sex"]], dtype=bool)
    end_of_person, end_of_sex = _ends(person), np.where(known, _ends(sex), _ends(person))
    targets = NumberedPairs(first=_ends(session), end=end_of_person)
    nontargets = NumberedPairs(first=end_of_person, end=end_of_sex)
    if not targets.total:
        raise PipelineError(
            "trials: no person of the test has two utterances in two sessions; expected more sessions, "
            "or `cross_session_targets = false`"
        )
    if not nontargets.total and not known.any():
        raise PipelineError(
            "trials: nobody in the test has a known sex; expected one, or `same_sex_nontargets = false`"
        )
    if not nontargets.total:
        raise PipelineError(
            "trials: no two people of the test share a sex; expected more people, or `same_sex_nontargets = false`"
        )
    kinds = [(targets.sample(max_targets, rng), True), (nontargets.sample(max_nontargets, rng), False)]
    return pa.concat_tables(_rows(benchmark, test["utterance_id"], *pairs, is_target) for pairs, is_target in kinds)


def _sex_of_person(test: pa.Table) -> pa.Array:
    """For each row; null where nothing is said of its person, or its rows disagree."""
    identities = test["identity_id"].to_pylist()
    said: dict[str, set[str]] = {identity: set() for identity in identities}
    for identity, sex in zip(identities, test["sex"].to_pylist(), strict=True):
        said[identity] |= {sex} - {None}
    return pa.array([min(said[i]) if len(said[i]) == 1 else None for i in identities], pa.string())


def _codes(values: list[str | None]) -> Rows:
    """Runs of equal values as runs of equal numbers."""
    changes = [0, *(a != b for a, b in pairwise(values))]
    return np.cumsum(changes[: len(values)])


def _ends(codes: Rows) -> Rows:
    """For each row, the row after the last of its run."""
    return np.searchsorted(codes, codes, side="right")


def _rows(benchmark: str, ids: pa.ChunkedArray, left: Rows, right: Rows, is_target: bool) -> pa.Table:
    one, other = ids.take(pa.array(left)), ids.take(pa.array(right))
    columns = {
        "benchmark": pa.array([benchmark] * len(left)),
        "enrol_id": one,
        "test_id": other,
        "is_target": pa.array(np.full(len(left), is_target)),
    }
    return pa.table(columns).cast(TRIALS.arrow())


def voxceleb_list(trials: pa.Table, file_of: dict[str, str]) -> str:
    """The trials as lines `1|0 enrol test`, with `file_of` mapping utterance ids to what the list calls them."""
    rows = zip(*(trials[column].to_pylist() for column in ("is_target", "enrol_id", "test_id")), strict=True)
    return "".join(f"{int(target)} {file_of[enrol]} {file_of[test]}\n" for target, enrol, test in rows)


def list_names(utterances: pa.Table) -> dict[str, str]:
    """`corpus/relative/path.wav` of each utterance; its id where it is but a stretch of its file."""
    names = {}
    for utterance, corpus, path in zip(
        *(utterances[c].to_pylist() for c in ("utterance_id", "corpus", "path")), strict=True
    ):
        file = PurePosixPath(corpus, path)
        whole = utterance == re.sub(r"\s", "%20", str(file.with_suffix("")))  # as Described.utterance does
        names[utterance] = utterance + file.suffix if whole else utterance
    return names
