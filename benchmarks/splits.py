"""Divide the kept utterances into train and test, speaker-disjoint (VietSV section 4.4).

A person is in one split with all utterances, from whatever corpora: whom the test has drawn, training never hears.

The seed gives each person a place in line, by his name alone. So a few verdicts do not make another test: who is taken
away costs one place, and who comes in takes at most one.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from benchmarks.sexes import SEXES, agreed_sexes
from curate.errors import PipelineError
from curate.schema import SPLITS


@dataclass(frozen=True, kw_only=True)
class Person:
    """What drawing needs to know of an identity."""

    identity_id: str
    sex: str | None  # None where nothing is said, or its labels disagree
    num_utterances: int  # in the corpora that the test draws from


def split_speakers(
    utterances: pa.Table,
    identities: pa.Table,
    *,
    benchmark: str,
    num_test_speakers: int,
    test_from: tuple[str, ...],
    sex_balanced: bool,
    min_test_utterances: int,
    rng: np.random.Generator,
) -> pa.Table:
    """One row a kept utterance (utterance_id, corpus, speaker_id, sex). Raises PipelineError for too few people."""
    rows = utterances.join(identities, "speaker_id").sort_by("utterance_id")
    people = [p for p in people_of(rows, test_from) if p.num_utterances >= min_test_utterances]
    test = draw(people, num_test_speakers, sex_balanced=sex_balanced, rng=rng)
    identity = rows["identity_id"].to_pylist()
    columns = {
        "benchmark": [benchmark] * len(identity),
        "utterance_id": rows["utterance_id"],
        "identity_id": rows["identity_id"],
        "split": ["test" if person in test else "train" for person in identity],
    }
    return pa.table(columns).cast(SPLITS.arrow())


def people_of(rows: pa.Table, test_from: tuple[str, ...]) -> list[Person]:
    """Everybody who speaks in the corpora that the test draws from (all, if none is named), in the order of ids."""
    sexes = agreed_sexes(*(rows[column].to_pylist() for column in ("identity_id", "sex")))
    counts: dict[str, int] = {}
    for identity, corpus in zip(*(rows[column].to_pylist() for column in ("identity_id", "corpus")), strict=True):
        counts[identity] = counts.get(identity, 0) + (not test_from or corpus in test_from)
    return [
        Person(identity_id=identity, sex=sexes[identity], num_utterances=counts[identity]) for identity in sorted(sexes)
    ]


def draw(people: list[Person], num: int, *, sex_balanced: bool, rng: np.random.Generator) -> set[str]:
    """The identities of `num` people, half of them of each sex if balanced: of the least keyed hashes (BLAKE2b).

    `rng` gives the key and nothing else. Of one person more or less at most one place of the test changes, and whoever
    else was drawn stays. Raises PipelineError for too few people.
    """
    key = rng.bytes(16)
    if not sex_balanced:
        return _draw([p.identity_id for p in people], num, "people", key)
    drawn = [_draw([p.identity_id for p in people if p.sex == sex], num // 2, sex, key) for sex in SEXES]
    return set.union(*drawn)


def _draw(identities: list[str], num: int, kind: str, key: bytes) -> set[str]:
    if len(identities) < num:
        raise PipelineError(
            f"splits.num_test_speakers: the test needs {num} {kind}, but only {len(identities)} can be drawn; "
            "expected a smaller number, more corpora in `test_from`, or `sex_balanced = false`"
        )
    return set(sorted(identities, key=lambda identity: blake2b(identity.encode(), key=key).digest())[:num])
