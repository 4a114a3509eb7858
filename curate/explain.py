"""Every decision on an utterance or a speaker, in words: what reviewers said first, then what it stands in place of."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import Catalog, num_rows_of, rows_of
from curate.decisions import DONE, REVIEW, about, in_words, settled
from curate.errors import CatalogError
from curate.labels import changes_of
from curate.named import did_you_mean
from curate.reasons import Reason, Subject, Verdict
from curate.reviews import in_few_words, last_said, pairs_in_order
from curate.schema import AGE_LABELS, DECISIONS, IDENTITIES, REVIEWS, RUNS, SPEAKER_PAIRS, SPLITS, UTTERANCES, Table

TURNING = frozenset("\u2028\u2029\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
Read = Callable[[Table], pa.Table]  # all rows of a table; none where it was not made yet


def explain(catalog: Catalog, subject_id: str) -> list[str]:
    """Lines on the utterance of this id, then on the speaker. Raises CatalogError where there is neither."""
    utterances, read, lines = catalog.read(UTTERANCES), _reading(catalog), []
    for row in utterances.filter(pc.equal(utterances["utterance_id"], subject_id)).to_pylist():
        lines += on_utterance(read, row)
    of_speaker = utterances.filter(pc.equal(utterances["speaker_id"], subject_id))
    if len(of_speaker):
        lines += on_speaker(read, subject_id, of_speaker)
    if lines:
        return lines
    ids = utterances["utterance_id"].to_pylist()
    hint = did_you_mean(subject_id, ids)
    raise CatalogError(f"{subject_id!r}: neither an utterance nor a speaker of {catalog.root}; {hint}")


def not_applied(catalog: Catalog) -> list[str]:
    """A line on how much of what reviewers said is in no run yet; none where all is, or nobody said anything."""
    if not catalog.parts(REVIEWS):
        return []
    decisions = catalog.read(DECISIONS, REVIEW) if REVIEW in catalog.parts(DECISIONS) else rows_of(DECISIONS, [])
    number = _Reviews.of(_reading(catalog)).num_waiting(decisions)
    said = f"{counted(number, 'thing')} that reviewers said {'is' if number == 1 else 'are'} not applied yet"
    return [f"{said}; `curate run FILE` does that"] if number else []


def nothing_left(catalog: Catalog) -> str:
    """`4 utterances: 3 invalid_speaker, 1 too_short` where verdicts drop all there are; empty where one is left.

    One that is dropped for several reasons counts once, under the first of them by name.
    """
    num = sum(num_rows_of(catalog.path(UTTERANCES, corpus)) for corpus in catalog.parts(UTTERANCES))
    stands = settled(changes_of(catalog))
    drops = stands.filter((pc.field("subject") == Subject.UTTERANCE) & (pc.field("verdict") == Verdict.DROP))
    dropped = drops.group_by("subject_id").aggregate([("reason", "min")])
    if len(dropped) < num:
        return ""
    reasons = dropped.group_by("reason_min").aggregate([("subject_id", "count")])
    ordered = reasons.sort_by([("subject_id_count", "descending"), ("reason_min", "ascending")]).to_pylist()
    told = ", ".join(f"{row['subject_id_count']} {row['reason_min']}" for row in ordered)
    return f"{counted(num, 'utterance')}: {told}"


def _reading(catalog: Catalog) -> Read:
    return lambda table: catalog.read(table) if catalog.parts(table) else rows_of(table, [])


def for_a_terminal(text: str) -> str:
    """The text, with signs spelt out that would move, hide or turn what a terminal shows."""
    return "".join(repr(sign)[1:-1] if sign in TURNING or unicodedata.category(sign) == "Cc" else sign for sign in text)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 speaker` or `2 speakers`; `many` is how several are called where that is not `one` with an s."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def on_utterance(read: Read, row: dict[str, Any]) -> list[str]:
    """Lines on the utterance of this row of UTTERANCES, of whatever tables one is shown."""
    utterance, speaker = row["utterance_id"], row["speaker_id"]
    length = "no audio" if row["duration_s"] is None else f"{row['duration_s']:.2f} s at {row['sample_rate_hz']} Hz"
    told = [f"sex {row['sex'] or 'unknown'}", f"age {_age(row)}", f"session {row['session_id'] or 'unknown'}"]
    lines = [f"Utterance {utterance}: {row['path']}, {length}; {', '.join(told)}."]
    decisions, reviews = read(DECISIONS), _Reviews.of(read)
    about_it = _of_utterance(decisions, utterance)
    lines += reviews.story("The utterance", about_it, _of_utterance(reviews.last, utterance))
    moves = settled(about_it).filter(pc.field("verdict") == Verdict.RELABEL)["other_id"].to_pylist()
    for name, label in (("Its speaker", speaker), *(("Its new speaker", one) for one in moves)):
        lines += reviews.story(f"{name} {label}", _of_label(decisions, label), _of_label(reviews.last, label))
    lines += _identity(read, moves[0] if moves else speaker)
    for label in _rows(read, AGE_LABELS, "utterance_id", utterance):
        group = (
            f"{label['age_group']}, {label['age_subgroup'] or 'no one subgroup'}"
            if label["age_group"]
            else f"none ({label['unlabelled_because']})"
        )
        lines.append(f"Age group in {label['scheme']}: {group}.")
    for split in _rows(read, SPLITS, "utterance_id", utterance):
        lines.append(f"Benchmark {split['benchmark']}: in {split['split']}.")
    return lines


def on_speaker(read: Read, speaker: str, utterances: pa.Table) -> list[str]:
    """The same on a speaker, of whom these are the rows of UTTERANCES."""
    decisions, reviews = read(DECISIONS), _Reviews.of(read)
    of_speaker = pc.is_in(decisions["subject_id"], value_set=utterances["utterance_id"].combine_chunks())
    judged = settled(decisions.filter(pc.and_(of_speaker, pc.equal(decisions["subject"], Subject.UTTERANCE))))
    counts = judged.group_by(["verdict", "reason"]).aggregate([("subject_id", "count")])
    lines = [f"Speaker {speaker}: {counted(len(utterances), 'utterance')}."]
    for row in counts.sort_by([("reason", "ascending"), ("verdict", "ascending")]).to_pylist():
        lines.append(f"  {row['subject_id_count']} {DONE[Verdict(row['verdict'])]}, {row['reason']}")
    lines += reviews.story("The speaker", _of_label(decisions, speaker), _of_label(reviews.last, speaker))
    for column, other in (("speaker_id", "other_id"), ("other_id", "speaker_id")):
        for pair in _rows(read, SPEAKER_PAIRS, column, speaker):
            lines.append(f"How alike {pair[other]} sounds: a mean cosine of {pair['similarity']:.4f}, of at most 1.")
    return lines + _identity(read, speaker)


def _of_utterance(rows: pa.Table, utterance: str) -> pa.Table:
    """Those of decisions or reviews that are about the utterance; a speaker may have the same id."""
    return rows.filter((pc.field("subject") == Subject.UTTERANCE) & (pc.field("subject_id") == utterance))


def _of_label(rows: pa.Table, speaker: str) -> pa.Table:
    """Those of decisions or reviews that are about the speaker, or a pair of which it is one."""
    of_others = rows.filter(pc.field("subject") != Subject.UTTERANCE)
    return pa.concat_tables(of_others.filter(pc.field(name) == speaker) for name in ("subject_id", "other_id"))


@dataclass(frozen=True, kw_only=True)
class _Reviews:
    """What stands of each subject or took it back, and since when; and when the tables last took it in, if ever."""

    last: pa.Table
    changed_at: dict[str, datetime]  # by what it is about: when somebody last spoke of it, or took back
    applied_at: datetime | None

    @classmethod
    def of(cls, read: Read) -> Self:
        times = [row["started_at"] or row["finished_at"] for row in _rows(read, RUNS, "step", REVIEW)]
        rows = pairs_in_order(read(REVIEWS))
        spoken = pa.table({"about": about(rows), "said_at": rows["said_at"]}).group_by("about")
        changed_at = dict(zip(*spoken.aggregate([("said_at", "max")]).to_pydict().values(), strict=True))
        return cls(last=last_said(rows), changed_at=changed_at, applied_at=max(times, default=None))

    def story(self, name: str, decisions: pa.Table, reviews: pa.Table) -> list[str]:
        """The `decisions` on a subject, those of reviewers first, and what of their `reviews` is not among them."""
        last = dict(zip(about(reviews).to_pylist(), reviews.to_pylist(), strict=True))
        decided = list(zip(about(decisions).to_pylist(), decisions.to_pylist(), strict=True))
        by_reviewers = {key: row for key, row in decided if row["step"] == REVIEW}
        lines = []
        for key, row in by_reviewers.items():
            said_of = last.get(key)
            noted = said_of and said_of["reviewer"] == row["decided_by"] and said_of["note"]
            lines.append(f"What stands: {_sentence(name, row)}{f' Noted: {noted}' if noted else ''}")
        for key, row in last.items():
            is_new = self._is_new(key)
            if _is_left_out(row, by_reviewers.get(key), is_new=is_new):
                lines.append(_left_out(row, is_new=is_new))
        rules = [(key, row) for key, row in decided if row["step"] != REVIEW]
        for key, row in rules:  # the step that carries out what was said of a pair says so, and what it measured
            is_outranked = key in by_reviewers and row["reason"] != Reason.REVIEWED
            lines.append(f"{'Outranked: ' if is_outranked else ''}{_sentence(name, row)}")
        return lines

    def num_waiting(self, by_reviewers: pa.Table) -> int:
        """Of how many subjects the last thing said came after the last run, and is not what that one decided on."""
        decided = dict(zip(about(by_reviewers).to_pylist(), by_reviewers.to_pylist(), strict=True))
        last = zip(about(self.last).to_pylist(), self.last.to_pylist(), strict=True)
        return sum(self._is_new(key) and _is_left_out(row, decided.get(key), is_new=True) for key, row in last)

    def _is_new(self, key: str) -> bool:
        return self.applied_at is None or self.changed_at[key] >= self.applied_at


def _is_left_out(review: dict[str, Any], decision: dict[str, Any] | None, *, is_new: bool) -> bool:
    """Whether this was said of a subject, and is not what was decided on it."""
    if decision is not None and all(decision[key] == review[key] for key in ("verdict", "other_id")):
        return False
    # What was taken back waits for a run only where one had made a decision of it. What is decided after that run is of
    # another word: an utterance shares what was said of its speaker.
    return review["verdict"] is not None or (decision is not None and is_new)


def _left_out(review: dict[str, Any], *, is_new: bool) -> str:
    noted = f" ({review['note']})" if review["note"] else ""
    why = "no run has applied it yet; `curate run` does" if is_new else "the last run could not apply it"
    return f"By {review['reviewer']}, {review['said_at']:%Y-%m-%d %H:%M} UTC: {in_few_words(review)}{noted}: {why}."


def _sentence(subject: str, decision: dict[str, Any]) -> str:
    if decision["subject"] == Subject.PAIR:
        subject = f"The pair {decision['subject_id']} and {decision['other_id']}"
    words = in_words(decision).replace("other_id", str(decision["other_id"]))  # a duplicate's meaning names it
    if decision["verdict"] == Verdict.RELABEL:
        words = words.replace("relabelled", f"relabelled to {decision['other_id']}", 1)
    who = decision["decided_by"] if decision["step"] == REVIEW else f"the rule `{decision['decided_by']}`"
    return f"{subject} was {words}. By {who}, step {decision['step']}, run {decision['run_id']}."


def _identity(read: Read, speaker: str) -> list[str]:
    lines = []
    for row in _rows(read, IDENTITIES, "speaker_id", speaker):
        same = [r["speaker_id"] for r in _rows(read, IDENTITIES, "identity_id", row["identity_id"])]
        others = ", ".join(one for one in same if one != speaker)
        lines.append(
            f"Identity {row['identity_id']}{f', one person with {others}' if others else ', of this speaker alone'}."
        )
    return lines


def _rows(read: Read, table: Table, column: str, value: str) -> list[dict[str, Any]]:
    """The rows where the column has this value."""
    rows = read(table)
    found: list[dict[str, Any]] = rows.filter(pc.equal(rows[column], value)).to_pylist()
    return found


def _age(row: dict[str, Any]) -> str:
    youngest, oldest = row["age_min_years"], row["age_max_years"]
    if youngest is None:
        return "unknown"
    return f"{youngest}" if youngest == oldest else f"{youngest} to {oldest}"
