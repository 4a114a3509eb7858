"""All that is shown of one utterance, speaker or pair: what rules say, whom to listen to, what was said before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import rows_of
from curate.errors import CatalogError, VoxcurateError
from curate.explain import on_speaker, on_utterance
from curate.named import FITTING
from curate.reasons import MEANING, Reason, Subject, Verdict
from curate.reviews import in_few_words
from curate.schema import DECISIONS, IDENTITIES, REVIEWS, SPLITS, Table
from pages.review.matrix import evenly
from pages.review.saying import ACCEPT_RELABEL, OPPOSITE, key_of
from pages.review.shown import Moment
from pages.review.strip import Strip, strip

REPEATS = (Reason.DUPLICATE, Reason.NEAR_DUPLICATE)  # whose other_id is an utterance; of others it is a speaker
NUM_NEAREST = 5
NUM_EXAMPLES = 4  # to listen to, of a speaker who is one of several
NUM_OF_SPEAKER = 24
KEY_OF = {Verdict.KEEP: "k", Verdict.DROP: "d", Verdict.MERGE: "m"}  # to relabel asks for a label first


class UnknownError(VoxcurateError, LookupError):
    """Nothing of this id is in the catalog."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """A button: what it says to the server, how it is called, and its keys, of which the first is shown."""

    value: str
    name: str
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One utterance to listen to, with what the rules say of it."""

    row: dict[str, Any]
    verdict: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Utterances that belong together, under a heading; `speaker` is whose they are."""

    heading: str
    speaker: str
    sounds: list[Sound]
    num_all: int


@dataclass(frozen=True, kw_only=True)
class Near:
    """Another speaker who sounds alike, and one utterance to hear it by."""

    speaker: str
    cosine: float
    sound: Sound | None


@dataclass(frozen=True, kw_only=True)
class Item:
    """As the page shows it."""

    subject: Subject
    id: str
    other: str | None  # of a pair
    key: str
    row: dict[str, Any] | None  # of `items`, as far as it may be seen
    words: str
    strip: Strip | None
    groups: list[Group]
    near: list[Near]
    without_vectors: str  # why nobody can be compared, if so
    speakers: list[str]  # of the matrix
    marked: list[str]  # utterances that the matrix shows for certain
    told: list[tuple[str, list[str]]]
    said: list[dict[str, Any]]
    stands: dict[str, Any] | None
    mine: dict[str, Any] | None
    is_hidden: bool  # others' words are kept back until this reviewer has spoken
    actions: list[Action]
    takes_to: str  # the verdict that goes with another speaker, if any


def item_of(
    moment: Moment, subject: Subject, one: str, other: str | None, *, reviewer: str, is_blind: bool = False
) -> Item:
    """Of an id, or of the two speakers of a pair in either order. Raises UnknownError where the catalog has it not."""
    key = key_of(subject, one, other)
    if subject == Subject.PAIR:
        _, one, other = key.split("\0") if key.count("\0") == 2 else ("", one, other)
    mine, (stands,) = moment.word_on(key, reviewer), moment.stands_on([key])
    is_hidden = is_blind and mine is None
    place = moment.place(key)
    row = None if place is None else moment.items.slice(place, 1).to_pylist()[0]
    speakers, marked, groups = _heard(moment, subject, one, other, row)
    near, without_vectors = _nearest(moment, subject, one)
    told = _told(moment, subject, one, other, reviewer if is_hidden else None)
    said = moment.said_of(key)
    if is_hidden:
        said = said.filter(pc.equal(said["reviewer"], reviewer))
    return Item(
        subject=subject,
        id=one,
        other=other if subject == Subject.PAIR else None,
        key=key,
        row=row,
        words=_words(row),
        strip=None if row is None else strip(row, moment.tables.scales),
        groups=groups,
        near=near,
        without_vectors=without_vectors,
        speakers=[*speakers, *(one.speaker for one in near[:1] if len(speakers) == 1)],
        marked=marked,
        told=told,
        said=[one | {"words": in_few_words(one)} for one in said.sort_by("said_at").to_pylist()],
        stands=None if is_hidden else stands,
        mine=mine,
        is_hidden=is_hidden,
        actions=_actions(subject, row),
        takes_to={Subject.UTTERANCE: Verdict.RELABEL, Subject.SPEAKER: Verdict.MERGE}.get(subject, ""),
    )


def _words(row: dict[str, Any] | None) -> str:
    if row is None or row["verdict"] is None:
        return "No rule decided on it."
    if row["reason"] is None:
        return "Kept apart: they sound less alike than the threshold asks."
    meaning = MEANING[Reason(row["reason"])].replace("score", _brief(row["score"]))
    text = meaning.replace("other_id", str(row["other_id"]))  # last: an id may have the word `score` in it
    return text[0].upper() + text[1:] + "."


def _brief(score: float | None) -> str:
    """A score that is named among words, such as a number of years."""
    return "some" if score is None else f"{score:g}"


def _actions(subject: Subject, row: dict[str, Any] | None) -> list[Action]:
    """To accept what the rule says, to reject it, and what else there is; where it says nothing, that alone."""
    found = []
    if row is not None and row["verdict"] is not None:
        verdict = Verdict(row["verdict"])
        found = [("Accept: ", "a", verdict), ("Reject: ", "r", OPPOSITE[subject, verdict])]
    told = {verdict for _, _, verdict in found}
    found += [("", "", verdict) for verdict in FITTING[subject] if verdict not in {*told, Verdict.RELABEL}]
    return [_action(subject, row, *one) for one in found]


def _action(subject: Subject, row: dict[str, Any] | None, word: str, key: str, verdict: Verdict) -> Action:
    keys = tuple(one for one in (key, KEY_OF.get(verdict)) if one)
    if verdict == Verdict.RELABEL and row is not None:
        return Action(value=ACCEPT_RELABEL, name=f"{word}relabel to {row['other_id']}", keys=keys)
    name = word + ("keep apart" if (subject, verdict) == (Subject.PAIR, Verdict.KEEP) else verdict)
    return Action(value=verdict, name=name[0].upper() + name[1:], keys=keys)


# ------------------------------------------------------------------------------------------------ whom to listen to


def _heard(
    moment: Moment, subject: Subject, one: str, other: str | None, row: dict[str, Any] | None
) -> tuple[list[str], list[str], list[Group]]:
    """Speakers of the matrix, utterances that it must show, and groups to listen to."""
    tables = moment.tables
    if subject == Subject.UTTERANCE:
        utterance = tables.utterance(one)
        if utterance is None:
            raise UnknownError(f"{one!r}: no utterance of {tables.catalog.root}")
        speaker, likelier = utterance["speaker_id"], row["other_id"] if row else None
        groups = [Group(heading="This utterance", speaker=speaker, sounds=_sounds(moment, [utterance]), num_all=1)]
        repeats_it = row is not None and row["reason"] in REPEATS
        of_original = tables.utterance(likelier) if likelier and repeats_it else None
        if of_original:
            repeats = _sounds(moment, [of_original])
            groups.append(
                Group(heading="What it repeats", speaker=of_original["speaker_id"], sounds=repeats, num_all=1)
            )
        groups.append(_examples(moment, "Others of its speaker", speaker, without=one))
        speakers, marked = [speaker], [one]
        if likelier and not of_original:
            groups.append(_examples(moment, "Of the likelier speaker", likelier))
            speakers.append(likelier)
        if of_original:
            speakers.append(of_original["speaker_id"])
            marked.append(of_original["utterance_id"])
        return list(dict.fromkeys(speakers)), marked, groups
    speakers = [one] if subject == Subject.SPEAKER else [one, str(other)]
    for speaker in speakers:
        if not len(tables.utterances_of(speaker)):
            raise UnknownError(f"{speaker!r}: no speaker of {tables.catalog.root}")
    if subject == Subject.SPEAKER:
        return speakers, [], [_most_doubtful(moment, one)]
    return speakers, [], [_examples(moment, "", speaker) for speaker in speakers]


def _examples(moment: Moment, heading: str, speaker: str, without: str | None = None) -> Group:
    """A few, evenly, of those that have sound; of those that rules keep, where some of thrice as many are."""
    rows = moment.tables.utterances_of(speaker)
    fit = rows.filter(pc.and_(pc.is_null(rows["damage"]), pc.not_equal(rows["utterance_id"], without or "")))
    fit = _evenly(fit, 3 * NUM_EXAMPLES)
    ruled = [moment.place(key_of(Subject.UTTERANCE, one, None)) for one in fit["utterance_id"].to_pylist()]
    is_kept = pc.fill_null(pc.equal(moment.items["verdict"].take(pa.array(ruled, pa.int64())), Verdict.KEEP), False)
    fit = _evenly(fit.filter(is_kept) if pc.any(is_kept).as_py() else fit, NUM_EXAMPLES)
    return Group(heading=heading, speaker=speaker, sounds=_sounds(moment, fit.to_pylist()), num_all=len(rows))


def _evenly(rows: pa.Table, most: int) -> pa.Table:
    return rows.take(pa.array(evenly(min(most, len(rows)), len(rows))))


def _most_doubtful(moment: Moment, speaker: str) -> Group:
    """Of one speaker: what rules do not keep first, then what they doubt most."""
    items = moment.items
    mine = items.filter(pc.and_(pc.equal(items["subject"], Subject.UTTERANCE), pc.equal(items["speaker_id"], speaker)))
    is_kept = pc.fill_null(pc.equal(mine["verdict"], Verdict.KEEP), True)
    ids = pa.concat_arrays(
        [mine.filter(which)["subject_id"].combine_chunks() for which in (pc.invert(is_kept), is_kept)]
    )
    rows = moment.tables.utterances_of(speaker)
    rest = rows["utterance_id"].filter(pc.invert(pc.is_in(rows["utterance_id"], value_set=ids)))
    ids = pa.concat_arrays([ids, rest.combine_chunks()]).slice(0, NUM_OF_SPEAKER)
    shown = rows.take(pc.index_in(ids, value_set=rows["utterance_id"].combine_chunks()).drop_null())
    return Group(
        heading="Its utterances", speaker=speaker, sounds=_sounds(moment, shown.to_pylist()), num_all=len(rows)
    )


def _sounds(moment: Moment, rows: Sequence[dict[str, Any]]) -> list[Sound]:
    places = [moment.place(key_of(Subject.UTTERANCE, row["utterance_id"], None)) for row in rows]
    ruled = moment.items.select(["verdict", "reason"]).take(pa.array(places, pa.int64())).to_pylist()
    return [Sound(row=row, **one) for row, one in zip(rows, ruled, strict=True)]


def _nearest(moment: Moment, subject: Subject, one: str) -> tuple[list[Near], str]:
    """Of a pair there is nobody else to choose. Beside them why there are no vectors to tell it by."""
    closeness = moment.tables.closeness
    try:
        closeness.matrix([])
        found = [] if subject == Subject.PAIR else closeness.nearest_speakers(subject, one, k=NUM_NEAREST)
    except CatalogError as error:
        return [], str(error)
    groups = [(speaker, cosine, _examples(moment, "", speaker)) for speaker, cosine in found]
    return [
        Near(speaker=speaker, cosine=cosine, sound=group.sounds[len(group.sounds) // 2] if group.sounds else None)
        for speaker, cosine, group in groups
    ], ""


# ------------------------------------------------------------------------------------------------ what is told of it


def _told(
    moment: Moment, subject: Subject, one: str, other: str | None, blind: str | None
) -> list[tuple[str, list[str]]]:
    """Lines of `curate why`; for who is `blind` without what others said, and what was made of it."""
    tables = moment.tables
    row = tables.utterance(one) if subject == Subject.UTTERANCE else None
    speakers = [row["speaker_id"]] if row else [one, *([other] if other else [])]

    def read(table: Table) -> pa.Table:
        if table is REVIEWS:
            rows = _touching(moment.reviews, tables.of(DECISIONS), [one, *speakers]).select(REVIEWS.arrow().names)
            return rows if blind is None else rows.filter(pc.equal(rows["reviewer"], blind))
        if blind is None:
            return tables.of(table)
        if table is DECISIONS:
            rows = tables.rules_decisions
            return rows.filter(pc.not_equal(rows["reason"], Reason.REVIEWED))
        return rows_of(table, []) if table in (IDENTITIES, SPLITS) else tables.of(table)

    if row is not None:
        return [(one, on_utterance(read, row))]
    return [(speaker, on_speaker(read, speaker, tables.utterances_of(speaker))) for speaker in speakers]


def _touching(reviews: pa.Table, decisions: pa.Table, ids: list[str]) -> pa.Table:
    """What was said of these, or of labels that an utterance of them was given: a few rows of very many."""
    moves = decisions.filter((pc.field("verdict") == Verdict.RELABEL) & pc.is_in(pc.field("subject_id"), pa.array(ids)))
    known = pa.array([*ids, *moves["other_id"].to_pylist()], pa.string())
    return reviews.filter(pc.or_(*(pc.is_in(reviews[name], value_set=known) for name in ("subject_id", "other_id"))))
