"""Look into files, and remember what was found as long as they hold still: a killed scan goes on where it was."""

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Semaphore
from typing import NamedTuple

from curate import audio
from curate.audio import Probe
from curate.catalog import canonical_json
from curate.corpora.described import CorpusSettings
from curate.corpora.inventory import Held, held_at, inventory_of
from curate.corpora.places import require_inside
from curate.errors import CatalogError, CorpusError
from curate.runs import code_fingerprint
from curate.storage import is_local, why

FILES_AT_ONCE = 2  # decoding and hashing let go of the interpreter lock
FETCHES_AT_ONCE = 16  # of files elsewhere: what takes long is the answer
LONG_FILE_BYTES = 1 << 16  # 0.5 s of WAV is looked into twice as fast by one thread, 10 s of FLAC by two
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
DISK_FAULTS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
COLUMNS = (
    "num_bytes, changed_ns, touched_ns, version, content_sha256, sample_rate_hz, num_channels, num_samples, peak_dbfs, "
    "damage, detail"
)


class Seen(NamedTuple):
    """A probe, and what the file is known by to hold still: its size and times of change, or elsewhere its version."""

    num_bytes: int
    changed_ns: int
    touched_ns: int  # of its inode: `cp -p` sets size and time of change back, but not this
    probe: Probe
    version: str = ""


MISSING = Seen(0, 0, 0, Probe(damage="missing", detail="no such file"))


@dataclass(frozen=True)
class Memory:
    """What was seen in the files of one corpus: an SQLite file, because few of many millions are asked for at once."""

    connection: sqlite3.Connection
    look: str  # how thorough the looks are; others do not count

    def known(self, paths: Sequence[str]) -> dict[str, Seen]:
        """What is remembered of these."""
        marks = ",".join("?" * len(paths))
        query = f"SELECT path, {COLUMNS} FROM seen WHERE look = ? AND path IN ({marks})"
        try:
            rows = self.connection.execute(query, (self.look, *paths)).fetchall()
        except sqlite3.OperationalError:  # a text that the disk garbled: these are looked into again
            return {}
        return {path: Seen(a, b, c, _probe(*rest), version) for path, a, b, c, version, *rest in rows}

    def keep(self, seen: dict[str, Seen]) -> None:
        """Remember these, all or none."""
        rows = [
            (path, self.look, one.num_bytes, one.changed_ns, one.touched_ns, one.version, *_facts(one.probe))
            for path, one in seen.items()
        ]
        with self.connection:
            marks = ",".join("?" * 13)
            self.connection.executemany(f"INSERT OR REPLACE INTO seen VALUES ({marks})", rows)


def _facts(probe: Probe) -> tuple[object, ...]:
    measured = (probe.content_sha256, probe.sample_rate_hz, probe.num_channels, probe.num_samples)
    return (*measured, probe.peak_dbfs, probe.damage, probe.detail)


def _probe(sha: str, rate: int, channels: int, samples: int, peak: float, damage: str, detail: str) -> Probe:
    return Probe(
        content_sha256=sha,
        sample_rate_hz=rate,
        num_channels=channels,
        num_samples=samples,
        peak_dbfs=peak,
        damage=damage,
        detail=detail,
    )


@contextmanager
def remembered(path: Path, look: str) -> Iterator[Memory]:
    """The memory in this file; empty where other code or another decoder had looked, or the file is garbled.

    Raises CatalogError where the disk is full, or another process writes the file: what it remembers is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = _opened_anew_if_garbled(path)
        try:
            yield Memory(connection, look)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if not _is_of_the_disk(error):
            raise
        raise CatalogError(
            f"{path}: {error}; expected room on the disk, and to be the only one who writes it"
        ) from error


def _opened_anew_if_garbled(path: Path) -> sqlite3.Connection:
    try:
        return _opened(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter of SQLite's own words on it
        if _is_of_the_disk(error):
            raise
        path.unlink()
        return _opened(path)


def _is_of_the_disk(error: Exception) -> bool:
    """Whether the file itself may be as it should."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DISK_FAULTS  # extended codes add higher bits


def _opened(path: Path) -> sqlite3.Connection:
    made_by = canonical_json({"code": code_fingerprint(*audio.SOURCES), "decoders": audio.DECODERS})
    connection = sqlite3.connect(path)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # a garbled path is nobody's
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS made_by (text TEXT)")
        if connection.execute("SELECT text FROM made_by").fetchall() != [(made_by,)]:
            connection.executescript(
                "DROP TABLE IF EXISTS seen; DELETE FROM made_by;"
                f"CREATE TABLE seen (path TEXT, look TEXT, {COLUMNS}, PRIMARY KEY (path, look)) WITHOUT ROWID"
            )
            connection.execute("INSERT INTO made_by VALUES (?)", (made_by,))
            connection.commit()
        faults = connection.execute("PRAGMA quick_check(1)").fetchall()
        if faults != [("ok",)]:
            raise sqlite3.DatabaseError(faults[0][0])
        connection.execute("SELECT * FROM seen LIMIT 1")
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        connection.close()
        raise
    return connection


def look_into(corpus: CorpusSettings, paths: Sequence[str], memory: Memory) -> dict[str, Seen]:
    """What is in each of these files; those that hold still since the last look are not opened.

    Raises CorpusError for a link that leads out of the corpus, unless the corpus says that links may.
    """
    known = memory.known(paths)
    if not is_local(corpus.root):
        seen = _looks_elsewhere(corpus, known, paths)
    elif corpus.look == "header" or not _are_long(corpus, paths):
        seen = {path: _look(corpus, known, path) for path in paths}
    else:
        with ThreadPoolExecutor(FILES_AT_ONCE) as threads:
            seen = dict(zip(paths, threads.map(partial(_look, corpus, known), paths), strict=True))
    news = {path: one for path, one in seen.items() if known.get(path) != one}
    if news:
        memory.keep(news)
    return seen


def _are_long(corpus: CorpusSettings, paths: Sequence[str]) -> bool:
    """Whether decoding such files is work enough to be handed between threads, by a few of them."""
    sizes = []
    for path in paths[:: len(paths) // 16 + 1]:
        with suppress(OSError):
            sizes.append(os.stat(f"{corpus.root}/{path}").st_size)
    return sum(sizes) > LONG_FILE_BYTES * len(sizes)


def _look(corpus: CorpusSettings, known: dict[str, Seen], path: str) -> Seen:
    file = f"{corpus.root}/{path}"
    if corpus.links == "inside":
        require_inside(corpus.root, path)
    try:
        status = os.stat(file)
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise CorpusError(f"{file}: {error.strerror}; expected a readable file") from error
        return MISSING
    size, changed_ns, touched_ns = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    seen = known.get(path)
    if seen and (seen.num_bytes, seen.changed_ns, seen.touched_ns) == (size, changed_ns, touched_ns):
        return seen
    if not stat.S_ISREG(status.st_mode):
        raise CorpusError(f"{file}: no plain file; expected audio")
    probe = audio.probe_header(Path(file)) if corpus.look == "header" else audio.probe(Path(file))
    return Seen(num_bytes=size, changed_ns=changed_ns, touched_ns=touched_ns, probe=probe)


def _looks_elsewhere(corpus: CorpusSettings, known: dict[str, Seen], paths: Sequence[str]) -> dict[str, Seen]:
    """The same of files that are fetched, many at once; long ones are few at once, since they are held."""
    with inventory_of(corpus.root) as inventory:
        listed = inventory.held(paths)
    held_long = Semaphore(FILES_AT_ONCE)

    def look(path: str) -> Seen:
        try:
            held = listed.get(path) or held_at(corpus.root, path)
            seen = known.get(path)
            if held is None:
                return MISSING
            if seen and held.version and (seen.num_bytes, seen.version) == held:
                return seen
            with held_long if held.num_bytes > audio.LONG_FILE_BYTES else nullcontext():
                return _fetched(corpus, path, held)
        except OSError as error:
            raise CorpusError(f"{corpus.root / path}: {why(error)}; expected a readable file") from error

    with ThreadPoolExecutor(FETCHES_AT_ONCE) as threads:
        return dict(zip(paths, threads.map(look, paths), strict=True))


def _fetched(corpus: CorpusSettings, path: str, held: Held) -> Seen:
    content = audio.fetched(corpus.root / path, held.num_bytes)
    probe = audio.probe_header_of(content) if corpus.look == "header" else audio.probe_of(content)
    return Seen(held.num_bytes, 0, 0, probe, held.version)
