"""What is shown of a catalog: what its files hold now, though each is read once for as long as it holds still.

A run that publishes other decisions, and a reviewer who speaks in another process, change files; whoever asks next is
shown what they say then. What only reviewers said anew does not have the rules' tables read again.
"""

import threading
from collections.abc import Callable
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
RULES = tuple(table for table in TABLES.values() if table is not REVIEWS)


class Tables:
    """The tables that runs write, as they are now; each is read when it is first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._read: dict[str, pa.Table] = {}
        self._lock = threading.RLock()
        self.doubts = doubts(catalog)
        self.utterances = self.of(UTTERANCES)
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

    def utterances_of(self, speaker_id: str) -> pa.Table:
        """The rows under this label, as they came."""
        return self.utterances.filter(pc.equal(self.utterances["speaker_id"], speaker_id))


def keyed(reviews: pa.Table) -> pa.Table:
    """Rows of REVIEWS, the speakers of pairs in order, with what each is `about`."""
    rows = pairs_in_order(reviews)
    return rows.append_column("about", about(rows))


class Words:
    """Rows of REVIEWS, of each subject one, by what they are about."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self.keys = about(rows)

    def of(self, keys: pa.Array) -> list[dict[str, Any] | None]:
        """The row on each of these; None where there is none."""
        places = pc.index_in(keys, value_set=self.keys)
        rows = iter(self.rows.take(places.drop_null()).to_pylist())
        return [next(rows) if there else None for there in places.is_valid().to_pylist()]


class Moment:
    """The tables and what reviewers said, both as they were at one moment."""

    def __init__(self, tables: Tables, reviews: pa.Table) -> None:
        self.tables, self.reviews = tables, keyed(reviews)
        self.stands = Words(standing(reviews))
        self.items = self._with_what_only_reviewers_spoke_of()
        self._own: dict[str, Words] = {}
        self._decided: dict[str | None, Flags] = {}

    def said_by(self, reviewer: str) -> pa.Table:
        """All that this reviewer ever said."""
        return self.reviews.filter(pc.equal(self.reviews["reviewer"], reviewer))

    def own(self, reviewer: str) -> Words:
        """What this reviewer said last of each, and did not take back, whatever others said."""
        if reviewer not in self._own:
            self._own[reviewer] = Words(own_words(self.said_by(reviewer)))
        return self._own[reviewer]

    def decided(self, reviewer: str | None = None) -> Flags:
        """Whether anything stands on each of `items`: of anybody, or of this reviewer alone."""
        if reviewer not in self._decided:
            words = self.stands if reviewer is None else self.own(reviewer)
            found = pc.is_in(self.items["about"], value_set=words.keys)
            self._decided[reviewer] = np.asarray(found.to_numpy(), dtype=np.bool_)
        return self._decided[reviewer]

    def place(self, key: str) -> int | None:
        """Where among `items` what this is about stands; None where rules and reviewers are silent."""
        found = pc.index(self.items["about"], key).as_py()
        return None if found < 0 else int(found)

    def _with_what_only_reviewers_spoke_of(self) -> pa.Table:
        """The doubts, and after them subjects that rules do not speak of: without a verdict, and in no doubt."""
        known = self.tables.doubts
        new = self.stands.rows.append_column("about", self.stands.keys)
        new = new.filter(pc.invert(pc.is_in(new["about"], value_set=known["about"].combine_chunks())))
        is_pair = pc.equal(new["subject"], Subject.PAIR)
        columns = {name: pa.nulls(len(new), DOUBTS.field(name).type) for name in DOUBTS.names} | {
            "subject": new["subject"],
            "subject_id": new["subject_id"],
            "other_id": pc.if_else(is_pair, new["other_id"], pa.scalar(None, pa.string())),
            "speaker_id": new["subject_id"],
            "doubt": pa.array(np.zeros(len(new))),
            "about": new["about"],
        }
        loose = pa.schema([field.with_nullable(True) for field in DOUBTS])
        return pa.concat_tables([known.cast(loose), pa.table(columns).cast(loose)]).combine_chunks()


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
                self._moment = Moment(self._tables, said(self.catalog))
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
