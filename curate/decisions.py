"""Verdicts as rows, and the one join that leaves out what was dropped and puts the rest under its label.

A reviewer's verdict on an utterance stands in place of all that rules say of it. What a reviewer says of a speaker is
turned into verdicts on its utterances by the step `review`, so that nobody else has to ask who outranks whom.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.reasons import MEANING, Reason, Subject, Verdict
from curate.schema import DECISIONS

Numbers = NDArray[np.float64] | float | None
REVIEW = "review"  # the step whose verdicts outrank those of all others
DONE = {Verdict.KEEP: "kept", Verdict.DROP: "dropped", Verdict.MERGE: "merged", Verdict.RELABEL: "relabelled"}
OF_LABEL = ("sex", "age_min_years", "age_max_years", "age_source", "age_conflict_years", "accent", "nationality")


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
    if isinstance(value, str):
        return pa.repeat(pa.scalar(str(value), pa.string()), num)
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.itemsize:
        return _few_texts(value)
    return pa.array([str(v) for v in value], pa.string())


def _few_texts(values: NDArray[np.str_]) -> pa.Array:
    """Of few different texts: only these are made, not a text of Python's for each of millions of rows."""
    fixed = pa.binary(values.itemsize)
    buffers = [None, pa.py_buffer(np.ascontiguousarray(values))]
    coded = pa.FixedSizeBinaryArray.from_buffers(fixed, len(values), buffers).dictionary_encode()
    texts = np.frombuffer(b"".join(coded.dictionary.to_pylist()), values.dtype)
    return pa.array(texts.tolist(), pa.string()).take(coded.indices)


def _numbers(value: Numbers, num: int) -> pa.Array:
    if value is None:
        return pa.nulls(num, pa.float64())
    return pa.array(np.broadcast_to(np.asarray(value, dtype=np.float64), num), pa.float64(), from_pandas=True)


def dropped(decisions: pa.Table, subject: Subject) -> pa.Array:
    """The ids of this kind that a verdict drops."""
    rows = decisions.filter((pc.field("subject") == subject) & (pc.field("verdict") == Verdict.DROP))
    return rows["subject_id"].combine_chunks().unique()


def settled(decisions: pa.Table) -> pa.Table:
    """Without the verdicts on utterances, speakers and pairs that a reviewer's stands in place of."""
    is_review = pc.equal(decisions["step"], REVIEW)
    if not pc.any(is_review).as_py():
        return decisions
    is_outranked = pc.and_not(pc.is_in(about(decisions), value_set=about(decisions.filter(is_review))), is_review)
    return decisions.filter(pc.invert(is_outranked))


def about(rows: pa.Table) -> pa.Array:
    """What each row is about, as one text: of a pair both, of an utterance not where it goes. Also for REVIEWS."""
    is_pair = pc.equal(rows["subject"], Subject.PAIR)
    other = pc.if_else(is_pair, pc.fill_null(rows["other_id"], ""), "")
    joined: pa.ChunkedArray = pc.binary_join_element_wise(rows["subject"], rows["subject_id"], other, "\0")
    return joined.combine_chunks()


def kept(utterances: pa.Table, decisions: pa.Table) -> pa.Table:
    """The utterances that no verdict drops, in their order, under the labels that they came with."""
    out = pc.is_in(utterances["utterance_id"], value_set=dropped(settled(decisions), Subject.UTTERANCE))
    return utterances.filter(pc.invert(out))


def relabelled(utterances: pa.Table, decisions: pa.Table, labels: pa.Table) -> pa.Table:
    """The utterances in their order, each under the label that a verdict gives it, and with what is said of that label.

    `labels` (speaker_id and columns of OF_LABEL) says that; what it lacks becomes null. A `speaker_table` of
    curate.speakers has sex, accent and nationality where the label's own rows agree, and the range of ages that they
    span. That range is nobody's statement: age_source and age_conflict_years become null. Columns that `utterances`
    lacks are not added.

    Corpus, work, language, transcript and licence stay: they are the recording's. A session is `speaker_id/session`,
    and so becomes the new label's of that name: a video in which both were filed is one sitting of either.
    """
    label_of = new_labels(decisions)
    place = pc.index_in(utterances["utterance_id"].combine_chunks(), value_set=label_of["utterance_id"])
    moves = pc.is_valid(place)
    if not pc.any(moves).as_py():
        return utterances
    speaker = label_of["speaker_id"].take(place)
    at = pc.index_in(speaker, value_set=labels["speaker_id"].combine_chunks())
    told = {name: _said_of(labels, name, at) for name in OF_LABEL} | {"speaker_id": speaker}
    if "session_id" in utterances.column_names:
        told["session_id"] = _sessions_of(speaker, utterances["speaker_id"], utterances["session_id"])
    for name, values in told.items():
        if name in utterances.column_names:
            column, kind = utterances.column_names.index(name), utterances.schema.field(name)
            values = pc.if_else(moves, values.cast(kind.type), utterances[name])
            utterances = utterances.set_column(column, kind, values)
    return utterances


def new_labels(decisions: pa.Table) -> pa.RecordBatch:
    """utterance_id and speaker_id of the utterances that were given another label."""
    rows = settled(decisions).filter(
        (pc.field("subject") == Subject.UTTERANCE) & (pc.field("verdict") == Verdict.RELABEL)
    )
    columns = [rows[name].combine_chunks() for name in ("subject_id", "other_id")]
    return pa.record_batch(columns, names=["utterance_id", "speaker_id"])


def _said_of(labels: pa.Table, name: str, at: pa.Array) -> pa.Array:
    return labels[name].combine_chunks().take(at) if name in labels.column_names else pa.nulls(len(at))


def _sessions_of(speaker: pa.Array, came_from: pa.ChunkedArray, session: pa.ChunkedArray) -> pa.Array:
    """For each row that moves (to `speaker`, else null) the session of that name under its new label."""
    found: list[str | None] = [None] * len(speaker)
    rows = np.flatnonzero(speaker.is_valid().to_numpy(zero_copy_only=False))
    moved = [column.take(pa.array(rows)).to_pylist() for column in (speaker, came_from, session)]
    for row, to, label, name in zip(rows.tolist(), *moved, strict=True):
        found[row] = None if name is None else f"{to}/{name.removeprefix(f'{label}/')}"
    return pa.array(found, pa.string())


def as_decided(utterances: pa.Table, decisions: pa.Table, labels: pa.Table) -> pa.Table:
    """The utterances that no verdict drops, in their order, under the labels that they were given."""
    return relabelled(kept(utterances, decisions), decisions, labels)


def counts(decisions: pa.Table) -> list[tuple[str, str, str, str, int]]:
    """`(step, subject, verdict, reason, count)` of all decisions, in order of the steps' and reasons' names."""
    keys = ["step", "subject", "verdict", "reason"]
    table = decisions.group_by(keys).aggregate([("subject_id", "count")]).sort_by([(key, "ascending") for key in keys])
    return [tuple(row.values()) for row in table.select([*keys, "subject_id_count"]).to_pylist()]


def in_words(row: dict[str, object]) -> str:
    """One decision as a clause: `dropped, below_range: less like ... (score 0.4100, expected 0.6300 to 0.9700)`."""
    apart = " apart" if row["subject"] == Subject.PAIR and row["verdict"] == Verdict.KEEP else ""
    text = f"{DONE[Verdict(str(row['verdict']))]}{apart}, {row['reason']}: {MEANING[Reason(str(row['reason']))]}"
    if row["score"] is not None:
        low, high = (f"{row[key]:.4f}" if row[key] is not None else "" for key in ("lower_bound", "upper_bound"))
        bounds = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
        text += f" (score {row['score']:.4f}{f', expected {bounds}' if low or high else ''})"
    return text
