"""Divide the rows of a design's sources into its splits: what each takes, draws and loses, and what is left.

Whom one split has no other takes, unless one of the two says so. Each draw has a key of its own, and gives each name a
place in line: one more or less moves no other.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.account import Account
from benchmarks.pairs import chunks
from benchmarks.protocol import Split
from benchmarks.sexes import SEXES, sexes_of
from curate.errors import PipelineError
from curate.schema import SPLITS
from curate.similarity import Flags, Indices

UNTAKEN = -1  # in no split
TEXTS_AT_ONCE = 1 << 16


class Division:
    """Which utterance is in which split, filled split by split (see `benchmarks.protocol.Split`).

    `rows` (N of them, in the order of their ids) are utterance_id, identity_id, session_id, sex and the columns that
    splits ask for; `sources` says of each row whether it is in a source.
    """

    def __init__(self, rows: pa.Table, sources: dict[str, Flags], *, seed: int, account: Account) -> None:
        self._rows, self._sources, self._seed, self._account = rows, sources, seed, account
        self.utterance_ids: pa.ChunkedArray = rows["utterance_id"]
        people = rows["identity_id"].combine_chunks().dictionary_encode()
        self.people: list[str] = people.dictionary.to_pylist()
        self.person: Indices = np.asarray(people.indices, np.int64)
        agreed = sexes_of(rows["identity_id"], rows["sex"])
        sexes = (agreed[person] for person in self.people)
        self.sex: Indices = np.array([SEXES.index(sex) if sex in SEXES else -1 for sex in sexes], np.int64)
        self.names: list[str] = []
        self.split: Indices = np.full(len(rows), UNTAKEN)
        self._entries: list[Split] = []

    def of(self, *names: str) -> Flags:
        """(N,) whether the utterance is in one of these splits."""
        return np.isin(self.split, [self.names.index(name) for name in names if name in self.names])

    def take(self, split: Split, place: int = 0) -> list[str]:
        """Give the split its utterances; return remarks.

        `place` is its turn among those of its name, each of which draws on its own. Raises PipelineError where fewer
        can be drawn than it wants.
        """
        pool = np.logical_or.reduce([self._sources[name] for name in split.sources])
        for column, values in split.only.items():
            pool = self._keep(split, f"of {column} {', '.join(values)}", pool, among(self._rows, column, values))
        share_of = pool
        pool = self._keep(split, "in no split before it", pool, self.split == UNTAKEN)
        others = [name for name in self.names if name != split.name and not self._may_share(split, name)]
        remarks: list[str] = []
        if others:
            of_others = self._are_in(others)
            remarks += self._passed_over(split, pool & of_others, others)
            pool = self._keep(split, f"of nobody in {', '.join(others)}", pool, ~of_others)
        if split.min_utterances > 1:
            count = np.bincount(self.person[pool], minlength=len(self.people))
            enough = (count >= split.min_utterances)[self.person]
            pool = self._keep(split, f"of people with at least {split.min_utterances} utterances", pool, enough)
        if split.name not in self.names:
            self.names.append(split.name)
        key = key_of(self._seed, "split", split.name, str(place))
        drawn = self._drawn(split, pool, pool if split.share_of == "left" else share_of, key)
        if drawn is not None:
            rule, wanted = drawn
            pool = self._keep(split, rule, pool, wanted)
        self._entries.append(split)
        self.split[pool] = self.names.index(split.name)
        return remarks

    def lose(self, name: str, people: Flags, rule: str) -> None:
        """Take these people, of `self.people`, out of a split."""
        lost = self.of(name) & people[self.person]
        self._account.note("split", name, rule, int(self.of(name).sum()), int(lost.sum()))
        self.split[lost] = UNTAKEN

    def table(self, benchmark: str) -> pa.Table:
        """As `SPLITS`, in the order of ids."""
        taken = self.split != UNTAKEN
        told = self._rows.select(["utterance_id", "identity_id"]).filter(pa.array(taken))
        columns = {
            "benchmark": pa.repeat(benchmark, len(told)),
            "utterance_id": told["utterance_id"],
            "identity_id": told["identity_id"],
            "split": pa.array(self.names, pa.string()).take(pa.array(self.split[taken])),
        }
        return pa.table(columns).cast(SPLITS.arrow())

    def _keep(self, split: Split, rule: str, pool: Flags, wanted: Flags) -> Flags:
        kept: Flags = pool & wanted
        self._account.note("split", split.name, rule, int(pool.sum()), int(pool.sum() - kept.sum()))
        return kept

    def _passed_over(self, split: Split, passed: Flags, others: list[str]) -> list[str]:
        """Whose utterances another split has only in part: people of several labels, whose rest no split may take."""
        who = np.unique(self.person[passed])
        if not len(who):
            return []
        where = [name for name in others if np.isin(who, self.person[self.of(name)]).any()]
        people = f"{len(who):,} {'person' if len(who) == 1 else 'people'}"
        told = f"{int(passed.sum()):,} utterances of {people} are not in it: other utterances of the same are in"
        return [f"split {split.name}: {told} {', '.join(where)}"]

    def _may_share(self, split: Split, name: str) -> bool:
        """Whether one of the two says so."""
        return name in split.shares_people or any(
            split.name in entry.shares_people for entry in self._entries if entry.name == name
        )

    def _are_in(self, names: list[str]) -> Flags:
        """(N,) whether the utterance's person is in one of these splits."""
        people = np.zeros(len(self.people), bool)
        people[self.person[self.of(*names)]] = True
        found: Flags = people[self.person]
        return found

    def _drawn(self, split: Split, pool: Flags, share_of: Flags, key: bytes) -> tuple[str, Flags] | None:
        """What the split draws, in words, and which utterances that is; None where it takes all."""
        if split.num is None and split.share is None and not split.sex_balanced and not split.max_sessions_per_person:
            return None
        if split.unit == "people":
            return self._people(split, pool, share_of, key)
        if split.unit == "sessions":
            return self._sessions(split, pool, share_of, key)
        places = np.flatnonzero(pool)
        num = self._wanted(split, len(places), int(share_of.sum()))
        first = in_line(_texts(self.utterance_ids, places), key)[:num]
        wanted = np.zeros(len(pool), bool)
        wanted[places[first]] = True
        return f"{num:,} utterances drawn", wanted

    def _people(self, split: Split, pool: Flags, share_of: Flags, key: bytes) -> tuple[str, Flags]:
        heard = np.unique(self.person[pool])
        groups = [heard]
        if split.sex_balanced:
            groups = [heard[self.sex[heard] == sex] for sex in range(len(SEXES))]
        fewest = len(groups) * min(map(len, groups))
        num = self._wanted(split, fewest, len(np.unique(self.person[share_of]))) // len(groups)
        drawn = [group[in_line((self.people[at] for at in group), key)[:num]] for group in groups]
        kind = " and ".join(f"{num:,} {one}" for one in (("women", "men") if split.sex_balanced else ("people",)))
        return f"{kind} drawn", np.isin(self.person, np.concatenate(drawn))

    def _sessions(self, split: Split, pool: Flags, share_of: Flags, key: bytes) -> tuple[str, Flags]:
        """Sessions in line, none of a person who has given his; with a share, until it is as near as can be."""
        session = sessions_of(self._rows)
        whole, first, size = np.unique(session[pool], return_index=True, return_counts=True)
        row = np.flatnonzero(pool)[first]
        person, told = self.person[row], _texts(self._rows["session_id"], row)
        most = split.max_sessions_per_person or len(session)
        names = (name or utterance for name, utterance in zip(told, _texts(self.utterance_ids, row), strict=True))
        target = None if split.share is None else split.share * int(share_of.sum())
        drawn: list[int] = []
        given, total = np.zeros(len(self.people), np.int64), 0
        for at in in_line(names, key).tolist():
            if given[person[at]] >= most:
                continue
            near = target is None or abs(total + size[at] - target) < abs(target - total)
            if (split.num is not None and len(drawn) == split.num) or (drawn and not near):
                break
            drawn.append(whole[at])
            given[person[at]] += 1
            total += int(size[at])
        if split.num is not None and len(drawn) < split.num:
            raise self._too_few(split, split.num, len(drawn))
        limit = f", at most {most} a person" if split.max_sessions_per_person else ""
        return f"{len(drawn):,} sessions drawn{limit}", np.isin(session, drawn)

    def _wanted(self, split: Split, there: int, share_of: int) -> int:
        """How many units; at least one of a share. Raises PipelineError for more than there are."""
        num = there if split.num is None else split.num
        if split.share is not None:
            num = min(there, max(1, round(split.share * share_of)))
        if num > there:
            raise self._too_few(split, num, there)
        return num

    def _too_few(self, split: Split, num: int, there: int) -> PipelineError:
        kind = f"{split.unit}, as many women as men," if split.sex_balanced else split.unit
        return PipelineError(
            f"splits.{split.name}: wants {num:,} {kind} but only {there:,} can be drawn of "
            f"{', '.join(split.sources)}; expected a smaller `num`, or more in the catalog"
        )


def key_of(seed: int, *names: str) -> bytes:
    """The key of one draw, of the protocol's seed and of what is drawn: no draw moves another."""
    return blake2b("\0".join((str(seed), *names)).encode(), digest_size=16).digest()


def in_line(names: Iterable[str], key: bytes) -> Indices:
    """The places of these names in the order of their keyed hashes: each name's own place, whoever else is there."""
    hashes = b"".join(blake2b(name.encode(), key=key, digest_size=16).digest() for name in names)
    high, low = np.frombuffer(hashes, ">u8").reshape(-1, 2).T
    return np.lexsort([low, high])


def _texts(column: pa.ChunkedArray, places: Indices) -> Iterator[str]:
    """Those of these rows, some at a time: a Python text takes three times what it does in a column."""
    return (text for some in chunks(places, TEXTS_AT_ONCE) for text in column.take(pa.array(some)).to_pylist())


def among(rows: pa.Table, column: str, values: tuple[str, ...]) -> Flags:
    """(N,) whether the row says one of these values. Raises PipelineError for a column that is not there."""
    if column not in rows.column_names:
        raise PipelineError(f"only: no column {column!r} of utterances; expected one of {', '.join(rows.column_names)}")
    said = pc.is_in(pc.cast(rows[column], pa.string()), value_set=pa.array(values, pa.string()))
    return np.asarray(said, bool)


def sessions_of(rows: pa.Table) -> Indices:
    """(N,) the session of each row as a number; an utterance without one is a session of its own."""
    code = rows["session_id"].combine_chunks().dictionary_encode().indices
    known = np.asarray(code.fill_null(-1), np.int64)
    return np.where(known < 0, len(known) + np.arange(len(known)), known)
