"""What faults are planted into, and the rows that a fault makes of it.

Shapes: N utterances in the order of their ids, L labels, D dimensions, M rows that a fault changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.similarity import Indices, Vectors, mean_vectors, unit

Objects = NDArray[np.object_]
Flags = NDArray[np.bool_]
MOVED = ("utterance_id", "corpus", "speaker_id", "session_id", "path")  # what another label, or corpus, changes
OF_SPEAKER = (  # what a table says of the speaker, in each of its utterances
    *("sex", "age_min_years", "age_max_years", "age_source", "age_conflict_years"),
    *("accent", "nationality", "language", "corpus_split"),
)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What is planted into: N utterances of L labels, in the order of their ids."""

    utterances: pa.Table
    labels: list[str]
    corpus: Objects  # (L,)
    person: Objects  # (L,) labels of one person have one
    speaker: Indices  # (N,) the label of each utterance
    session: Objects  # (N,) or None
    alike: Vectors  # (L, D) mean unit vectors
    free: Flags  # (N,) whether no fault has touched it
    by_label: list[Indices]  # the rows of each label

    def rows_of(self, label: int) -> Indices:
        """Its utterances."""
        return self.by_label[label]

    def whole(self) -> list[int]:
        """The labels that no fault has touched."""
        return [int(label) for label in np.setdiff1d(self.speaker, self.speaker[~self.free])]

    def with_free(self) -> list[int]:
        """The labels of which some utterance is untouched."""
        return [int(label) for label in np.unique(self.speaker[self.free])]

    def neighbours(self, label: int, among: list[int]) -> list[int]:
        """Labels of other people in the same corpus."""
        same = self.corpus[label]
        return [other for other in among if self.corpus[other] == same and self.person[other] != self.person[label]]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What M rows become, by column, and in which way each. `beside` are rows that share a label with a fault."""

    rows: Indices
    columns: dict[str, list[Any]]
    kinds: list[str]
    amounts: list[float | None]
    beside: Indices


def ground_of(utterances: pa.Table, vectors: Vectors, person_of: Mapping[str, str]) -> Ground:
    """Sorted by ids, so that the order of rows does not matter; `vectors` (N, D) are those of the rows as given."""
    order = np.argsort(utterances["utterance_id"].to_numpy().astype(str), kind="stable")
    utterances, vectors = utterances.take(pa.array(order)), vectors[order]
    labels, speaker = np.unique(utterances["speaker_id"].to_numpy().astype(str), return_inverse=True)
    return Ground(
        utterances=utterances,
        labels=labels.tolist(),
        corpus=np.array([label.split("/")[0] for label in labels], dtype=object),
        person=np.array([person_of.get(label, label) for label in labels.tolist()], dtype=object),
        speaker=speaker,
        session=np.array(utterances["session_id"].to_pylist(), dtype=object),
        alike=mean_vectors(unit(vectors), speaker, len(labels)),
        free=np.ones(len(utterances), dtype=bool),
        by_label=np.split(np.argsort(speaker, kind="stable"), np.cumsum(np.bincount(speaker))[:-1]),
    )


def joined(
    ground: Ground, rng: np.random.Generator, moves: list[tuple[Indices, int]], kinds: list[str], beside: list[Indices]
) -> Change:
    """Rows that come together under another label; their sessions come along, under names that it has not yet."""
    rows = np.concatenate([moved for moved, _ in moves])
    like = np.concatenate([rng.choice(ground.rows_of(owner), len(moved)) for moved, owner in moves])
    sessions: list[str | None] = []
    used: dict[int, set[str]] = {}
    for moved, owner in moves:
        taken = used.setdefault(owner, {name for name in ground.session[ground.rows_of(owner)] if name is not None})
        new: dict[str | None, str | None] = {None: None}
        for name in sorted({name for name in ground.session[moved] if name is not None}):
            giver = ground.labels[ground.speaker[moved[0]]]
            new[name] = unused(f"{ground.labels[owner]}/{tail_of(name, giver)}", taken)
            taken.add(str(new[name]))
        sessions += [new[name] for name in ground.session[moved]]
    columns = as_said_of(ground, like)
    columns["session_id"] = sessions
    each = [kind for kind, (moved, _) in zip(kinds, moves, strict=True) for _ in moved]
    return change_of(rows, columns, each, beside)


def as_said_of(ground: Ground, like: Indices) -> dict[str, list[Any]]:
    """The label of these rows, and what they say of its speaker."""
    names = ["speaker_id", *OF_SPEAKER]
    told = ground.utterances.select(names).take(pa.array(like))
    return {name: told[name].to_pylist() for name in names}


def tail_of(session: str, label: str) -> str:
    """What the corpus calls the session: `speaker_id/session` without the speaker."""
    return session.removeprefix(f"{label}/")


def unused(name: str, taken: set[str]) -> str:
    """The name, or with the first number that makes it new."""
    number, new = 1, name
    while new in taken:
        number += 1
        new = f"{name}-{number}"
    return new


def change_of(
    rows: Indices,
    columns: dict[str, list[Any]],
    kinds: list[str],
    beside: list[Indices],
    amounts: list[float] | None = None,
) -> Change:
    """The rows with what becomes of them; an amount is not said of every fault."""
    return Change(
        rows=rows,
        columns=columns,
        kinds=kinds,
        amounts=list(amounts) if amounts else [None] * len(rows),
        beside=np.concatenate(beside) if beside else np.zeros(0, dtype=np.int64),
    )
