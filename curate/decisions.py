"""Verdicts as rows, and the one join that leaves out what was dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.reasons import MEANING, Reason, Subject, Verdict
from curate.schema import DECISIONS

Numbers = NDArray[np.float64] | float | None


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who decides: the rule, the step it belongs to, and the run."""

    rule: str
    step: str
    run_id: str


def verdicts(
    author: Author,
    subject: Subject,
    ids: pa.ChunkedArray | pa.Array | Sequence[str],
    *,
    verdict: Sequence[str] | NDArray[np.str_] | str,
    reason: Sequence[str] | NDArray[np.str_] | str,
    other_ids: pa.Array | Sequence[str] | None = None,
    score: Numbers = None,
    lower_bound: Numbers = None,
    upper_bound: Numbers = None,
) -> pa.Table:
    """One row an id, in their order. A single value stands for all; nan becomes null."""
    num = len(ids)
    columns = {
        "subject": _texts(subject, num),
        "subject_id": ids,
        "other_id": pa.nulls(num, pa.string()) if other_ids is None else other_ids,
        "verdict": _texts(verdict, num),
        "reason": _texts(reason, num),
        "score": _numbers(score, num),
        "lower_bound": _numbers(lower_bound, num),
        "upper_bound": _numbers(upper_bound, num),
        "decided_by": _texts(author.rule, num),
        "step": _texts(author.step, num),
        "run_id": _texts(author.run_id, num),
    }
    return pa.table(columns).cast(DECISIONS.arrow())


def _texts(value: Sequence[str] | NDArray[np.str_] | str, num: int) -> pa.Array:
    return pa.array([str(value)] * num if isinstance(value, str) else [str(v) for v in value], pa.string())


def _numbers(value: Numbers, num: int) -> pa.Array:
    if value is None:
        return pa.nulls(num, pa.float64())
    return pa.array(np.broadcast_to(np.asarray(value, dtype=np.float64), num), pa.float64(), from_pandas=True)


def dropped(decisions: pa.Table, subject: Subject) -> pa.Array:
    """The ids of this kind that a verdict drops."""
    rows = decisions.filter((pc.field("subject") == subject) & (pc.field("verdict") == Verdict.DROP))
    return rows["subject_id"].combine_chunks().unique()


def kept(utterances: pa.Table, decisions: pa.Table) -> pa.Table:
    """The utterances that no verdict drops, in their order."""
    out = pc.is_in(utterances["utterance_id"], value_set=dropped(decisions, Subject.UTTERANCE))
    return utterances.filter(pc.invert(out))


def counts(decisions: pa.Table) -> list[tuple[str, str, str, str, int]]:
    """`(step, subject, verdict, reason, count)` of all decisions, in order of the steps' and reasons' names."""
    keys = ["step", "subject", "verdict", "reason"]
    table = decisions.group_by(keys).aggregate([("subject_id", "count")]).sort_by([(key, "ascending") for key in keys])
    return [tuple(row.values()) for row in table.select([*keys, "subject_id_count"]).to_pylist()]


def in_words(row: dict[str, object]) -> str:
    """One decision as a clause: `dropped as below_range: 0.41 is not within [0.63, 0.97] (vietsv)`."""
    done = {Verdict.KEEP: "kept", Verdict.DROP: "dropped", Verdict.MERGE: "merged", Verdict.RELABEL: "relabelled"}
    text = f"{done[Verdict(str(row['verdict']))]}, {row['reason']}: {MEANING[Reason(str(row['reason']))]}"
    if row["score"] is not None:
        low, high = (f"{row[key]:.4f}" if row[key] is not None else "" for key in ("lower_bound", "upper_bound"))
        bounds = f", held against {low or 'no least'} .. {high or 'no greatest'}" if low or high else ""
        text += f" (score {row['score']:.4f}{bounds})"
    return text
