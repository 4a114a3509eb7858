"""What reviewers say of utterances, speakers and pairs of speakers: kept by name and time, and outranking the rules.

Each reviewer has one part of REVIEWS, to which what he says is added; nothing that was said is changed or taken away,
and no run writes there. Of each subject the last thing said stands, whoever said it. `curate.reviewed` makes decisions
of what stands whenever rules run.

Who takes back something takes back his own word, and what others said stands again as if he had not spoken. Only who
has no word there, or took it back already, takes back all that others said. His own earlier words were replaced by his
last one and do not come back.

What was said is on the disk when `decide` returns. Two processes of one reviewer take turns by a lock beside the part,
`<reviewer>.lock`; the lock of a run is another one, so that reviews go on while it runs. In a store a lease stands for
it (`curate.lease`), which does not wait: of two processes of one reviewer the second is refused, and may try again. Two
reviewers never write the same part.
"""

import fcntl
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import lease
from curate.catalog import Catalog, rows_of
from curate.decisions import REVIEW, about
from curate.named import Named, Review, ReviewError, ids_of
from curate.reasons import Subject, Verdict
from curate.runs import content_fingerprint
from curate.schema import DECISIONS, IDENTITIES, REVIEWS, UTTERANCES
from curate.sides import Pair, Sides, ordered
from curate.similarity import Flags, Indices
from curate.storage import is_local
from curate.whole import make_folder, opened_here, require_no_way_out

NAME = re.compile(r"[^\W_][\w.-]{0,63}")  # a file is named by it, composed (NFC)
MAX_NAME_BYTES = 200  # file systems take 255, and what is written beside the file has a longer name


def in_few_words(row: dict[str, Any]) -> str:
    """What a row of REVIEWS says, such as `keep one/ann and two/ann apart`."""
    one, other, verdict = row["subject_id"], row["other_id"], row["verdict"]
    if row["subject"] == Subject.PAIR:
        what = f"{one} and {other}"
    else:
        what = f"{row['subject']} {one}{f' to {other}' if other else ''}"
    if verdict is None:
        return f"take back what was said of {what}"
    return f"{verdict} {what}{' apart' if row['subject'] == Subject.PAIR and verdict == Verdict.KEEP else ''}"


# ------------------------------------------------------------------------------------------------------ what was said


def said(catalog: Catalog) -> pa.Table:
    """All that was said, by reviewers in order. Raises CatalogError where there is no catalog."""
    if not catalog.parts(UTTERANCES):
        return catalog.read(UTTERANCES)  # which says so
    return catalog.read(REVIEWS) if catalog.parts(REVIEWS) else rows_of(REVIEWS, [])


def last_said(reviews: pa.Table) -> pa.Table:
    """Of each subject what stands, or, where all of it was taken back, the row without a verdict that did so last.

    Last is by time, then reviewer and number. The ids of a pair are put in order; rows are in the order of subjects and
    ids, whatever that of `reviews`.
    """
    rows = pairs_in_order(reviews).sort_by([(name, "ascending") for name in ("said_at", "reviewer", "num_before")])
    subject, reviewer = (
        column.dictionary_encode().indices.to_numpy() for column in (about(rows), rows["reviewer"].combine_chunks())
    )
    last = _last(subject, reviewer, pc.is_valid(rows["verdict"]).to_numpy())
    return rows.take(pa.array(last)).sort_by([(name, "ascending") for name in ("subject", "subject_id", "other_id")])


def pairs_in_order(reviews: pa.Table) -> pa.Table:
    """The rows as they are, but the two ids of each pair in order, so that `about` says the same of both ways."""
    one, other = reviews["subject_id"], reviews["other_id"]
    turn = pc.fill_null(pc.and_(pc.equal(reviews["subject"], Subject.PAIR), pc.greater(one, other)), False)
    for name, ids in (("subject_id", pc.if_else(turn, other, one)), ("other_id", pc.if_else(turn, one, other))):
        column = reviews.column_names.index(name)
        reviews = reviews.set_column(column, reviews.schema.field(column), ids)
    return reviews


def _last(subject: Indices, reviewer: Indices, speaks: Flags) -> Indices:
    """Of each subject the place of what stands, else of what was said last, among R rows in the order of time.

    `subject` and `reviewer` (R,) are numbered from 0; `speaks` (R,) is False where something is taken back.
    """
    last = np.zeros(subject.max(initial=-1) + 1, np.int64)
    np.maximum.at(last, subject, np.arange(len(subject)))
    is_taken_back = np.zeros(len(last), bool)
    is_taken_back[subject[~speaks]] = True
    words: dict[int, dict[int, int]] = {}  # by subject and reviewer, where something was taken back
    rows = np.flatnonzero(is_taken_back[subject])
    told = zip(rows.tolist(), *(column[rows].tolist() for column in (subject, reviewer, speaks)), strict=True)
    for row, about_it, who, is_word in told:
        said_of_it = words.setdefault(about_it, {})
        if is_word:
            said_of_it[who] = row
        elif who in said_of_it:
            del said_of_it[who]
        else:
            said_of_it.clear()
    for about_it, said_of_it in words.items():
        last[about_it] = max(said_of_it.values(), default=last[about_it])
    return last


def standing(reviews: pa.Table) -> pa.Table:
    """What stands: of each subject the last thing said that was not taken back. In the order of `last_said`."""
    last = last_said(reviews)
    return last.filter(pc.is_valid(last["verdict"]))


# ----------------------------------------------------------------------------------------------------------- to say it


def decide(catalog: Catalog, reviewer: str, things: Sequence[Review]) -> None:
    """Say these things, all of them or none; they are on the disk when this returns.

    Raises ReviewError for a name that cannot be a reviewer's, for what does not fit the catalog, and for pairs that
    contradict what stands; CatalogError where there is no catalog.
    """
    reviewer = composed(reviewer)
    published = Catalog(catalog.root)  # never the drafts of a run
    named = Named(published, ids_of(things))
    for one in things:
        if one.verdict is not None:
            named.require_fit(one)
    with _alone(catalog.root, reviewer):
        before = said(published)
        mine = before.filter(pc.equal(before["reviewer"], reviewer))
        common = {"reviewer": reviewer, "said_at": _after(before)}
        numbered = enumerate(things, start=len(mine))
        new = rows_of(REVIEWS, [asdict(one) | common | {"num_before": number} for number, one in numbered])
        if any(one.subject == Subject.PAIR for one in things):
            _require_no_contradiction(pa.concat_tables([before, new]), things)
        rows = pa.concat_tables([mine, new])
        published.publish(REVIEWS, rows, part=reviewer, fingerprint=content_fingerprint(rows))


def composed(reviewer: str) -> str:
    """The name in NFC, so that one name is one reviewer, however typed. Raises ReviewError where it cannot be one."""
    name = unicodedata.normalize("NFC", reviewer)
    if NAME.fullmatch(name) and len(name.encode()) <= MAX_NAME_BYTES:
        return name
    raise ReviewError(
        f"reviewer {reviewer!r}: expected at most 64 letters, digits, `.`, `-` and `_`, a letter or digit first, no "
        f"marks beside letters, and at most {MAX_NAME_BYTES} bytes in UTF-8"
    )


def _after(reviews: pa.Table) -> datetime:
    """Now, but after whatever was said: by a clock that is behind, an answer would come before what it answers."""
    last, now = pc.max(reviews["said_at"]).as_py(), datetime.now(UTC)
    return now if last is None else max(now, last + timedelta(microseconds=1))


@contextmanager
def _alone(root: Path, reviewer: str) -> Iterator[None]:
    """Be the only process of this reviewer. On a disk it waits; in a store, raises CatalogError naming the other."""
    folder = root / REVIEWS.name
    if not is_local(root):
        with lease.held(folder / reviewer):
            yield
        return
    require_no_way_out(root, [REVIEWS.name])
    make_folder(folder)
    with opened_here(folder / f"{reviewer}.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ----------------------------------------------------------------------------------------------- what contradicts


def _require_no_contradiction(reviews: pa.Table, things: Sequence[Review]) -> None:
    """Raises ReviewError naming what stands against one of these things, which `reviews` holds already.

    Where one is taken back, what stands again in its place is held against the others.
    """
    said_now = {one.pair: one.verdict for one in things if one.subject == Subject.PAIR}
    sides, new, others = Sides(), {}, {}
    pairs = standing(reviews.filter(pc.equal(reviews["subject"], Subject.PAIR)))
    for row in pairs.sort_by([(name, "ascending") for name in ("said_at", "reviewer", "num_before")]).to_pylist():
        pair = row["subject_id"], row["other_id"]
        if pair in said_now:
            new[pair] = row
        elif not sides.against(pair, row["verdict"]):
            others[pair] = row
            sides.add(pair, row["verdict"])
    for pair, row in new.items():
        verdict = row["verdict"]
        against = sides.against(pair, verdict)
        if against:
            known = [others.get(one) for one in against]
            told = ", ".join(f"{in_few_words(row)} ({row['reviewer']})" for row in known if row)
            again = "" if said_now[pair] else f" ({row['reviewer']}) would stand again and"
            raise ReviewError(
                f"{' and '.join(pair)}: {verdict}{again} contradicts what stands: {told}; expected `curate undo` of "
                "one of these first"
            )
        sides.add(pair, verdict)


# -------------------------------------------------------------------------------------------------------- to undo it


def undone(catalog: Catalog, one: str, other: str | None = None, *, asked: Subject | None = None) -> list[Review]:
    """What there is to say, so that what stands on an id or a pair, or the merge that a rule made, is taken back.

    Where who says it has a word of his own there, that alone is taken back. Of a pair that a rule merged it is said
    that it be kept apart; of one speaker of whom nothing stands, the same with each other label of his identity.
    `asked` says which is meant where an id is that of an utterance and of a speaker.
    Raises ReviewError where there is nothing to undo.
    """
    last = {_key(row): row for row in standing(said(catalog)).to_pylist()}
    if other is not None:
        pair = ordered(one, other)
        if (Subject.PAIR, *pair) in last:
            return [_apart_from(pair, None)]
        named = Named(catalog, pair)
        for speaker in pair:
            named.require_speaker(speaker)
        if other in _merged_with(catalog, one) and not _was_merged_by_a_reviewer(catalog, pair):
            return [_apart_from(pair, Verdict.KEEP)]
        raise ReviewError(
            f"{one!r} and {other!r}: nothing to undo; expected a pair that a rule merged, or on which a reviewer's "
            "verdict stands"
        )
    kinds = [kind for kind in (Subject.UTTERANCE, Subject.SPEAKER) if asked in (None, kind) and (kind, one) in last]
    if len(kinds) > 1:
        raise ReviewError(f"{one!r}: verdicts stand on the utterance and on the speaker; expected `--subject`")
    if kinds:
        return [Review(subject=kinds[0], subject_id=one, verdict=None)]
    kind = asked or Named(catalog, [one]).subject_of(one, None, Verdict.KEEP, None)
    if kind == Subject.SPEAKER:
        pairs = [ordered(one, label) for label in _merged_with(catalog, one)]
        stands = [pair for pair in pairs if last.get((Subject.PAIR, *pair), {}).get("verdict") != Verdict.KEEP]
        if stands:
            return [_apart_from(pair, Verdict.KEEP) for pair in stands]
    hint = {
        Subject.UTTERANCE: "a rule's verdict gives way to `curate decide` with keep",
        Subject.SPEAKER: "a verdict on a pair is taken back by `curate undo` of both",
    }
    raise ReviewError(f"{one!r}: nothing to undo; expected one on which a reviewer's verdict stands ({hint[kind]})")


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    is_pair = row["subject"] == Subject.PAIR
    return (row["subject"], row["subject_id"], *([row["other_id"]] if is_pair else []))


def _apart_from(pair: Pair, verdict: Verdict | None) -> Review:
    return Review(subject=Subject.PAIR, subject_id=pair[0], other_id=pair[1], verdict=verdict)


def _merged_with(catalog: Catalog, speaker: str) -> list[str]:
    """The other labels of the speaker's identity, as the last run found it."""
    if not catalog.parts(IDENTITIES):
        return []
    rows = catalog.read(IDENTITIES)
    own = rows.filter(pc.equal(rows["speaker_id"], speaker))["identity_id"].to_pylist()
    same = rows.filter(pc.is_in(rows["identity_id"], value_set=pa.array(own, pa.string())))["speaker_id"].to_pylist()
    return [label for label in same if label != speaker]


def _was_merged_by_a_reviewer(catalog: Catalog, pair: Pair) -> bool:
    """In the last run; where that stands no more, the next one parts them again."""
    rows = catalog.read(DECISIONS, REVIEW) if REVIEW in catalog.parts(DECISIONS) else rows_of(DECISIONS, [])
    same = pc.and_(pc.equal(rows["subject_id"], pair[0]), pc.equal(rows["other_id"], pair[1]))
    is_merge = pc.equal(rows["verdict"], Verdict.MERGE)
    return bool(pc.any(pc.and_(same, is_merge)).as_py())
