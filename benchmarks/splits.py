"""Divide the kept utterances into train and test, speaker-disjoint (VietSV section 4.4).

A person is in one split with all utterances, from whatever corpora: whom the test has drawn, training never hears.

The seed gives each person a place in line, by his name alone. So a few verdicts do not make another test: who is taken
away costs one place, and who comes in takes at most one.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.sexes import SEXES
from curate.codes import in_order
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
    rows = in_order(utterances, "utterance_id")
    place = pc.index_in(rows["speaker_id"], value_set=identities["speaker_id"].combine_chunks())
    rows = rows.append_column("identity_id", identities["identity_id"].combine_chunks().take(place.combine_chunks()))
    people = [p for p in people_of(rows, test_from) if p.num_utterances >= min_test_utterances]
    test = draw(people, num_test_speakers, sex_balanced=sex_balanced, rng=rng)
    is_test = pc.is_in(rows["identity_id"], value_set=pa.array(sorted(test), pa.string()))
    columns = {
        "benchmark": pa.repeat(benchmark, len(rows)),
        "utterance_id": rows["utterance_id"],
        "identity_id": rows["identity_id"],
        "split": pc.if_else(is_test, "test", "train"),
    }
    return pa.table(columns).cast(SPLITS.arrow())


def people_of(rows: pa.Table, test_from: tuple[str, ...]) -> list[Person]:
    """Everybody who speaks in the corpora that the test draws from (all, if none is named), in the order of ids."""
    is_drawn_from = pc.is_in(rows["corpus"], value_set=pa.array(test_from, pa.string()))
    counted = pa.repeat(True, len(rows)) if not test_from else is_drawn_from
    told = pa.table({"identity_id": rows["identity_id"], "sex": rows["sex"], "counted": counted})
    people = told.group_by("identity_id").aggregate([("sex", "distinct"), ("counted", "sum")]).sort_by("identity_id")
    return [
        Person(identity_id=one["identity_id"], sex=_agreed(one["sex_distinct"]), num_utterances=one["counted_sum"])
        for one in people.to_pylist()
    ]


def _agreed(sexes: list[str | None]) -> str | None:
    said = [sex for sex in sexes if sex is not None]
    return said[0] if len(said) == 1 else None


def draw(people: list[Person], num: int, *, sex_balanced: bool, rng: np.random.Generator) -> set[str]:
    """The identities of `num` people, half of them of each sex if balanced: of the least keyed hashes (BLAKE2b).

    `rng` gives the key and nothing else. Of one person more or less at most one place of the test changes, and whoever
    else was drawn stays. Raises PipelineError for too few people.
    """
    key = rng.bytes(16)
    if not sex_balanced:
        return _draw([p.identity_id for p in people], num, "people", key)
    unknown = sum(p.sex is None for p in people)
    others = f" (of {unknown} of {len(people)} people the sex is not known)" if unknown else ""
    drawn = [_draw([p.identity_id for p in people if p.sex == sex], num // 2, sex, key, others) for sex in SEXES]
    return set.union(*drawn)


def _draw(identities: list[str], num: int, kind: str, key: bytes, others: str = "") -> set[str]:
    if len(identities) < num:
        raise PipelineError(
            f"splits.num_test_speakers: the test needs {num} {kind}, but only {len(identities)} can be drawn{others}; "
            "expected a smaller number, more corpora in `test_from`, or `sex_balanced = false`"
        )
    return set(sorted(identities, key=lambda identity: blake2b(identity.encode(), key=key).digest())[:num])
