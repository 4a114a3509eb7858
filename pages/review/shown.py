"""What is shown of a catalog: what its files hold now, though each is read once for as long as it holds still.

A run that publishes other decisions, and a reviewer who speaks in another process, change files; whoever asks next is
shown what they say then. What only reviewers said anew does not have the rules' tables read again.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.catalog import Catalog, rows_of
from curate.closeness import Closeness
from curate.decisions import REVIEW, about
from curate.doubts import DOUBTS, doubts
from curate.errors import CatalogError
from curate.kappa import own_words
from curate.reasons import Subject
from curate.reviews import pairs_in_order, said, standing
from curate.schema import CORPORA, DECISIONS, REVIEWS, TABLES, UTTERANCES, Table
from curate.storage import facts, is_local, version_of
from pages.review.strip import Kind, Scale, scales

Flags = NDArray[np.bool_]
NO_ROWS = pa.array([], pa.int64())
RULES = tuple(table for table in TABLES.values() if table is not REVIEWS)


class Tables:
    """The tables that runs write, as they are now; each is read when it is first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._read: dict[str, pa.Table] = {}
        self._lock = threading.RLock()
        self.doubts = doubts(catalog)
        self.place_of = {key: place for place, key in enumerate(self.doubts["about"].to_pylist())}
        self.utterances = self.of(UTTERANCES)
        self._rows_of = _rows_by(self.utterances["speaker_id"])
        self.closeness = Closeness(catalog)
        with suppress(CatalogError):  # there may be no vectors, or those of two extractors; who asks is told
            self.closeness.matrix([])  # read now: nobody waits for it at the first look

    def of(self, table: Table) -> pa.Table:
        """All rows; none where it was not made yet."""
        with self._lock:
            if table.name not in self._read:
                there = self.catalog.parts(table)
                self._read[table.name] = self.catalog.read(table).combine_chunks() if there else rows_of(table, [])
            return self._read[table.name]

    @cached_property
    def roots(self) -> dict[str, str]:
        """Where each corpus lies."""
        rows = self.of(CORPORA)
        return dict(zip(rows["corpus"].to_pylist(), rows["root"].to_pylist(), strict=True))

    @cached_property
    def scales(self) -> dict[Kind, Scale]:
        """How the scores of each kind are spread."""
        return scales(self.doubts)

    @cached_property
    def rules_decisions(self) -> pa.Table:
        """The decisions of rules alone."""
        rows = self.of(DECISIONS)
        return rows.filter(pc.not_equal(rows["step"], REVIEW))

    def utterance(self, utterance_id: str) -> dict[str, Any] | None:
        """Its row; None where there is none."""
        at = pc.index(self.utterances["utterance_id"], utterance_id).as_py()
        return None if at < 0 else self.utterances.slice(at, 1).to_pylist()[0]

    def told(self, asked: pa.ChunkedArray, key: str, column: str) -> pa.ChunkedArray:
        """Of each id that is asked for the value of a column of its first utterance; null for an unknown one."""
        return self.utterances[column].take(pc.index_in(asked, value_set=self.utterances[key].combine_chunks()))

    def utterances_of(self, speaker_id: str) -> pa.Table:
        """The rows under this label, as they came."""
        return self.utterances.take(self._rows_of.get(speaker_id, NO_ROWS))


def _rows_by(speakers: pa.ChunkedArray) -> dict[str, pa.Array]:
    """The rows of each speaker, in order: one look through all of them for all looks."""
    encoded = speakers.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    order = pa.array(np.argsort(codes, kind="stable"))
    ends = np.cumsum(np.bincount(codes, minlength=len(encoded.dictionary)))
    names = encoded.dictionary.to_pylist()
    return {
        name: order.slice(end - count, count)
        for name, end, count in zip(names, ends.tolist(), np.diff(ends, prepend=0).tolist(), strict=True)
    }


def keyed(reviews: pa.Table) -> pa.Table:
    """Rows of REVIEWS, the speakers of pairs in order, with what each is `about`."""
    rows = pairs_in_order(reviews)
    return rows.append_column("about", about(rows))


class Moment:
    """The tables and what reviewers said, both as they were at one moment."""

    def __init__(self, tables: Tables, reviews: pa.Table, before: "Moment | None" = None) -> None:
        self.tables, self.reviews = tables, keyed(reviews)
        new = None if before is None else _added(before.reviews, self.reviews)
        if before is not None and new is not None and tables.place_of.keys() >= {*new}:
            self._go_on(before, new)
            return
        stands = standing(self.reviews)
        known = tables.place_of
        unknown = stands.filter(pa.array([key not in known for key in stands["about"].to_pylist()], pa.bool_()))
        self.items = tables.doubts if not len(unknown) else _with(tables, unknown)
        places = range(len(tables.doubts), len(self.items))
        self._place_of_unknown = dict(zip(unknown["about"].to_pylist(), places, strict=True))
        self._decided: dict[str | None, Flags] = {None: self._flags(stands)}

    def _go_on(self, before: "Moment", keys: list[str]) -> None:
        """Of very many words a few are new: only what they are about is looked at again."""
        self.items, self._place_of_unknown = before.items, before._place_of_unknown
        known = dict(before._decided)  # in one go: who asks of `before` still may add to it
        self._decided = {name: flags.copy() for name, flags in known.items()}
        places = [self.tables.place_of[key] for key in keys]
        for reviewer, flags in self._decided.items():
            rows = self.stands_on(keys) if reviewer is None else [self.word_on(key, reviewer) for key in keys]
            flags[places] = [row is not None for row in rows]

    def place(self, key: str) -> int | None:
        """Where among `items` what this is about stands; None where rules and reviewers are silent."""
        return self.tables.place_of.get(key, self._place_of_unknown.get(key))

    def decided(self, reviewer: str | None = None) -> Flags:
        """Whether anything stands on each of `items`; of a reviewer, whether he has spoken and not taken it back."""
        if reviewer not in self._decided:
            self._decided[reviewer] = self._flags(own_words(self.said_by(str(reviewer))))
        return self._decided[reviewer]

    def said_by(self, reviewer: str) -> pa.Table:
        """All that this reviewer ever said."""
        return self.reviews.filter(pc.equal(self.reviews["reviewer"], reviewer))

    def said_of(self, *keys: str) -> pa.Table:
        """All that was ever said of these."""
        return self.reviews.filter(pc.is_in(self.reviews["about"], value_set=pa.array(keys, pa.string())))

    def stands_on(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        """What stands on each of these."""
        found = {row["about"]: row for row in standing(self.said_of(*keys)).to_pylist()}
        return [found.get(key) for key in keys]

    def word_on(self, key: str, reviewer: str) -> dict[str, Any] | None:
        """What this reviewer said last of it and did not take back."""
        said_of_it = self.said_of(key)
        words = own_words(said_of_it.filter(pc.equal(said_of_it["reviewer"], reviewer))).to_pylist()
        return words[0] if words else None

    def _flags(self, rows: pa.Table) -> Flags:
        """At each of `items` whether one of these rows is about it."""
        found: Flags = np.zeros(len(self.items), np.bool_)
        places = (self.place(key) for key in rows["about"].to_pylist())
        found[[place for place in places if place is not None]] = True
        return found


def _added(before: pa.Table, now: pa.Table) -> list[str] | None:
    """What the words are about that were added to these, for reviewers add and take nothing away; None if otherwise."""
    counted = before.group_by("reviewer").aggregate([("num_before", "count")])
    place = pc.index_in(now["reviewer"], value_set=counted["reviewer"].combine_chunks())
    num = pc.fill_null(counted["num_before_count"].take(place), 0)
    new = now.filter(pc.greater_equal(now["num_before"], num))
    return pc.unique(new["about"]).to_pylist() if len(before) + len(new) == len(now) else None


def _with(tables: Tables, new: pa.Table) -> pa.Table:
    """The doubts, and after them subjects that only reviewers spoke of: without a verdict, and in no doubt."""
    is_utterance, is_pair = (pc.equal(new["subject"], kind) for kind in (Subject.UTTERANCE, Subject.PAIR))
    speaker = pc.if_else(is_utterance, tables.told(new["subject_id"], "utterance_id", "speaker_id"), new["subject_id"])
    other = pc.if_else(is_pair, new["other_id"], pa.scalar(None, pa.string()))
    columns = {name: pa.nulls(len(new), DOUBTS.field(name).type) for name in DOUBTS.names} | {
        "subject": new["subject"],
        "subject_id": new["subject_id"],
        "other_id": other,
        "speaker_id": speaker,
        "corpus": tables.told(speaker, "speaker_id", "corpus"),
        "other_corpus": tables.told(other, "speaker_id", "corpus"),
        "doubt": pa.array(np.zeros(len(new))),
        "about": new["about"],
    }
    loose = pa.schema([field.with_nullable(True) for field in DOUBTS])
    return pa.concat_tables([tables.doubts.cast(loose), pa.table(columns).cast(loose)]).combine_chunks()


class Shown:
    """A catalog that is looked at for as long as the server lives. Raises CatalogError where there is none."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._lock = threading.Lock()
        self._rules_were: object = None
        self._reviews_were: object = None
        self._tables: Tables | None = None
        self._moment: Moment | None = None
        self.now()

    def now(self) -> Moment:
        """What its files hold now. Raises CatalogError where they cannot be read."""
        with self._lock:
            rules, reviews = (self._state(tables) for tables in (RULES, (REVIEWS,)))
            if self._tables is None or rules != self._rules_were:
                self._tables, self._moment = _twice(lambda: Tables(self.catalog)), None
                self._rules_were = rules
            if self._moment is None or reviews != self._reviews_were:
                self._moment = Moment(self._tables, said(self.catalog), self._moment)
                self._reviews_were = reviews
            return self._moment

    def _state(self, tables: tuple[Table, ...]) -> list[tuple[object, ...]]:
        """What differs when a part of these was written anew: they are replaced, never written into."""
        found: list[tuple[object, ...]] = []
        for table in tables:
            for part in self.catalog.parts(table):
                path = self.catalog.path(table, part)
                if is_local(path):
                    status = path.stat()
                    found.append((table.name, part, status.st_ino, status.st_mtime_ns, status.st_size))
                else:
                    found.append((table.name, part, version_of(facts(path))))
        return found


def _twice(read: Callable[[], Tables]) -> Tables:
    """A run that publishes takes parts away while they are read: what is there a moment later is whole."""
    try:
        return read()
    except CatalogError:
        return read()
