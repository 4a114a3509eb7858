"""From a button to what is said: the verdict of a form, its opposite, and what takes back what was said last."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.decisions import about
from curate.named import Review, ReviewError
from curate.reasons import Subject, Verdict
from curate.sides import ordered
from pages.review.shown import Moment

ACCEPT_RELABEL = "accept_relabel"
OPPOSITE = {
    (Subject.UTTERANCE, Verdict.KEEP): Verdict.DROP,
    (Subject.UTTERANCE, Verdict.DROP): Verdict.KEEP,
    (Subject.UTTERANCE, Verdict.RELABEL): Verdict.KEEP,
    (Subject.SPEAKER, Verdict.KEEP): Verdict.DROP,
    (Subject.SPEAKER, Verdict.DROP): Verdict.KEEP,
    (Subject.PAIR, Verdict.KEEP): Verdict.MERGE,
    (Subject.PAIR, Verdict.MERGE): Verdict.KEEP,
}


def key_of(subject: str, one: str, other: str | None) -> str:
    """What it is about, as `curate.decisions.about` has it; the speakers of a pair in either order."""
    if subject == Subject.PAIR:
        one, other = ordered(one, other or "")
    row = pa.table({"subject": [subject], "subject_id": [one], "other_id": pa.array([other], pa.string())})
    key: str = about(row)[0].as_py()
    return key


def review_of(form: Mapping[str, str]) -> Review:
    """What a form says: of its item, or of its speaker with another one. Raises ReviewError for half a form.

    `other` is the second speaker of an item that is a pair; `to` is typed or chosen, and only some verdicts take it.
    The verdict `accept_relabel` goes to `ruled_to`, the label that the rule on the page named, whatever is typed.
    """
    accepts = form.get("verdict") == ACCEPT_RELABEL
    try:
        subject = Subject(form.get("subject", ""))
        verdict = Verdict.RELABEL if accepts else Verdict(form.get("verdict", ""))
    except ValueError:
        raise ReviewError("nothing was said; expected a verdict on an utterance, a speaker or a pair") from None
    one, other = form.get("id", ""), form.get("other") or None
    to, note = form.get("to", "").strip() or None, form.get("note", "").strip() or None
    if verdict == Verdict.RELABEL:
        to = form.get("ruled_to") if accepts else to
        if to is None:
            raise ReviewError(f"{one!r}: relabel without a label; expected a speaker to be chosen or typed")
        return Review(subject=subject, subject_id=one, other_id=to, verdict=verdict, note=note)
    if subject == Subject.SPEAKER and verdict == Verdict.MERGE:
        if to is None:
            raise ReviewError(f"{one!r}: merge without a second speaker; expected one to be chosen or typed")
        subject, other = Subject.PAIR, to
    return Review(
        subject=subject, subject_id=one, other_id=other if subject == Subject.PAIR else None, verdict=verdict, note=note
    )


def last_undone(moment: Moment, reviewer: str) -> list[Review]:
    """What takes back the last thing that a reviewer said and did not take back.

    It is taken back; where he had said something of the same subject before, that is said again, at the same time: by
    which a later look tells it from a new word, so that one undoing after another goes back step by step. Raises
    ReviewError where nothing is left.
    """
    rows = moment.said_by(reviewer).sort_by("num_before")
    left: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, key in reversed(list(enumerate(rows["about"].to_pylist()))):
        if left and left[-1]["num_before"] > number:
            break
        if key not in seen:
            left = max(left, _not_taken_back(moment, reviewer, key), key=_number_of_last)
        seen.add(key)
    if not left:
        raise ReviewError("nothing to undo; expected something that you said and did not take back")
    again = [_review(row, row["verdict"], row["note"]) for row in left[-2:-1]]
    return [_review(left[-1], None, None), *again]


def _number_of_last(said: list[dict[str, Any]]) -> int:
    return int(said[-1]["num_before"]) if said else -1


def _not_taken_back(moment: Moment, reviewer: str, key: str) -> list[dict[str, Any]]:
    """What one reviewer said of one subject, by the rule of `curate.reviews`; without a word that was said again.

    Empty where another took it back: to do so again would take back what others said since.
    """
    said: list[dict[str, Any]] = []
    before: list[dict[str, Any]] = []
    taken_back_at = None
    words: set[str] = set()  # whose are left
    rows = moment.said_of(key).sort_by([(name, "ascending") for name in ("said_at", "reviewer", "num_before")])
    for row in rows.to_pylist():
        who, is_own = row["reviewer"], row["reviewer"] == reviewer
        if row["verdict"] is None and who not in words:
            words, said, before = set(), [], []
        elif row["verdict"] is None:
            words.remove(who)
            if is_own:
                said, before, taken_back_at = [], said[:-1], row["said_at"]
        else:
            words.add(who)
            if is_own and before and row["said_at"] == taken_back_at:
                said, before = before, []
            elif is_own:
                said.append(row)
    return said


def _review(row: dict[str, Any], verdict: str | None, note: str | None) -> Review:
    is_pair = row["subject"] == Subject.PAIR
    other = row["other_id"] if is_pair or verdict is not None else None
    return Review(
        subject=Subject(row["subject"]),
        subject_id=row["subject_id"],
        other_id=other,
        verdict=None if verdict is None else Verdict(verdict),
        note=note,
    )
