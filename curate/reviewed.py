"""What reviewers said as decisions, made anew whenever rules run: from what stands, and from what the rules say now.

A speaker that was dropped takes its utterances along, also those that rules put under it. One that was kept is one
person: it brings back those that rules dropped for its sake, or as another person's than its main one. What was said of
an utterance itself goes before both. What does not fit the catalog any more, and of pairs what contradicts what was
said before it, is left out and told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import rows_of
from curate.decisions import REVIEW
from curate.reasons import Reason, Subject, Verdict
from curate.reviews import in_few_words
from curate.schema import DECISIONS
from curate.sides import Pair, Sides

OF_ITS_SPEAKER = (Reason.INVALID_SPEAKER, Reason.ANOTHER_PERSON)  # of drops that a speaker who is one person undoes


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """Decisions of the step `review`, in the order of ids, and in words what could not be made one, and why."""

    decisions: pa.Table
    gone: list[str]
    contradicting: list[str]


def reviewed(
    stands: pa.Table, utterances: pa.Table, ruled: pa.Table, heard: pa.ChunkedArray, *, run_id: str
) -> Reviewed:
    """Decisions from what stands (rows of REVIEWS), on these utterances.

    `ruled` are the decisions of the rules, `heard` the ids of the utterances that have an embedding.
    """
    fits, gone = _fitting(stands, utterances, heard)
    pairs, contradicting = _consistent(fits)
    own = [row for row in fits if row["subject"] != Subject.PAIR]
    rows = [*own, *_of_speakers(own, utterances, ruled), *pairs]
    same = {"reason": Reason.REVIEWED, "step": REVIEW, "run_id": run_id}
    names = ("subject", "subject_id", "other_id", "verdict")
    decisions = rows_of(
        DECISIONS, [same | {name: row[name] for name in names} | {"decided_by": row["reviewer"]} for row in rows]
    )
    order = [(name, "ascending") for name in ("subject", "subject_id", "other_id")]
    return Reviewed(decisions=decisions.sort_by(order), gone=gone, contradicting=contradicting)


def pairs_of(decisions: pa.Table) -> dict[Pair, str]:
    """Of each pair that reviewers decided on, merge or keep."""
    rows = decisions.filter((pc.field("step") == REVIEW) & (pc.field("subject") == Subject.PAIR)).to_pylist()
    return {(row["subject_id"], row["other_id"]): row["verdict"] for row in rows}


def _fitting(stands: pa.Table, utterances: pa.Table, heard: pa.ChunkedArray) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows whose subjects are there, in order of ids, and in words why the others are not."""
    asked = pa.chunked_array([*stands["subject_id"].chunks, *stands["other_id"].chunks], pa.string())
    there, with_vector, speakers = (
        set(known.filter(pc.is_in(known, value_set=asked.combine_chunks())).to_pylist())
        for known in (utterances["utterance_id"], heard, utterances["speaker_id"])
    )
    fits, gone = [], []
    for row in stands.to_pylist():
        one, other, verdict = row["subject_id"], row["other_id"], row["verdict"]
        ids = {Subject.UTTERANCE: there, Subject.SPEAKER: speakers, Subject.PAIR: speakers}[row["subject"]]
        if one not in ids:
            why = f"there is no {one}"
        elif other is not None and other not in speakers:
            why = f"there is no {other}"
        elif row["subject"] == Subject.UTTERANCE and verdict != Verdict.DROP and one not in with_vector:
            why = "it has no embedding"
        else:
            fits.append(row)
            continue
        gone.append(f"{in_few_words(row)} ({row['reviewer']}): {why}")
    return fits, gone


def _consistent(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The pairs that do not contradict what was said before them, and the others in words."""
    sides, consistent, contradicting = Sides(), [], []
    for row in sorted(rows, key=lambda row: (row["said_at"], row["reviewer"], row["num_before"])):
        if row["subject"] != Subject.PAIR:
            continue
        pair = row["subject_id"], row["other_id"]
        against = sides.against(pair, row["verdict"])
        if against:
            told = ", ".join(" and ".join(one) for one in against)
            contradicting.append(f"{in_few_words(row)} ({row['reviewer']}): said before of {told}")
            continue
        sides.add(pair, row["verdict"])
        consistent.append(row)
    return consistent, contradicting


def _of_speakers(rows: list[dict[str, Any]], utterances: pa.Table, ruled: pa.Table) -> list[dict[str, Any]]:
    """Verdicts on utterances of whose speakers something was said, and of which nothing was said themselves."""
    of_speakers = [row for row in rows if row["subject"] == Subject.SPEAKER]
    dropped, kept = (
        {row["subject_id"]: row["reviewer"] for row in of_speakers if row["verdict"] == verdict}
        for verdict in (Verdict.DROP, Verdict.KEEP)
    )
    about = ruled.filter(pc.equal(ruled["subject"], Subject.UTTERANCE))
    moves = about.filter(pc.equal(about["verdict"], Verdict.RELABEL))
    drops = about.filter(pc.equal(about["verdict"], Verdict.DROP))
    for_its_speaker = pc.is_in(drops["reason"], value_set=pa.array(OF_ITS_SPEAKER, pa.string()))
    may_come_back = set(drops.filter(for_its_speaker)["subject_id"].to_pylist())
    may_come_back -= set(drops.filter(pc.invert(for_its_speaker))["subject_id"].to_pylist())
    found = {one: (Verdict.DROP, by) for one, by in _under(moves, "subject_id", "other_id", dropped)}
    found |= {one: (Verdict.DROP, by) for one, by in _under(utterances, "utterance_id", "speaker_id", dropped)}
    for one, by in _under(utterances, "utterance_id", "speaker_id", kept):
        if one in may_come_back:
            found.setdefault(one, (Verdict.KEEP, by))
    said_of = {row["subject_id"] for row in rows if row["subject"] == Subject.UTTERANCE}
    nothing = {"subject": Subject.UTTERANCE, "other_id": None}
    return [
        nothing | {"subject_id": one, "verdict": verdict, "reviewer": by}
        for one, (verdict, by) in found.items()
        if one not in said_of
    ]


def _under(rows: pa.Table, ids: str, labels: str, said: dict[str, str]) -> Iterable[tuple[str, str]]:
    """The ids under labels of which something was said, and who said it."""
    under = rows.filter(pc.is_in(rows[labels], value_set=pa.array(said, pa.string())))
    for one, label in zip(under[ids].to_pylist(), under[labels].to_pylist(), strict=True):
        yield one, said[label]
