"""What lies below a root on another place than this machine: listed once, then asked as often as a scan likes.

A service lists a thousand files a request, and takes as long to say whether one is there. So all of a root is listed
as a scan begins, into a database that SQLite keeps in a file of its own and takes away when it is closed: memory is
bounded, however many files there are. Within `listed_once` the readers share that one; elsewhere each lists anew.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, cast

from curate import storage
from curate.errors import CorpusError

FILES_AT_ONCE = 10_000  # written, or read, in one go
_shared: ContextVar["Inventory | None"] = ContextVar("inventory", default=None)


class Held(NamedTuple):
    """What a listing says of one file; `version` differs when it was written anew, "" where the place says nothing."""

    num_bytes: int
    version: str


class Inventory:
    """The files below a root. Its keys are paths with a zero byte for each `/`: so they sort as folders are walked."""

    def __init__(self, root: Path) -> None:
        """Raises CorpusError where the place cannot be listed."""
        self.root = root
        self._files = sqlite3.connect("", check_same_thread=False)  # "": on the disk, and gone when it is closed
        try:
            self._files.execute("CREATE TABLE file (key BLOB PRIMARY KEY, size INT, version TEXT) WITHOUT ROWID")
            with storage.reachable(root):
                for files in _listed(root):
                    rows = [(_key(path), size, version) for path, size, version in files]
                    self._files.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", rows)
        except OSError as error:
            self.close()
            raise CorpusError(f"{root}: {storage.why(error)}; expected a place that can be listed") from error

    def close(self) -> None:
        """Give back what it takes on the disk."""
        self._files.close()

    def below(self, folder: str, suffixes: tuple[str, ...] = ("",)) -> Iterator[str]:
        """Every path below a folder, with one of the suffixes in lower or upper case, folder by folder in order."""
        last = first = _key(f"{folder}/") if folder else b""
        while True:  # never one long query: the asker may take its time, and ask for other things meanwhile
            query = "SELECT key FROM file WHERE key > ? ORDER BY key LIMIT ?"
            keys = self._files.execute(query, (last, FILES_AT_ONCE)).fetchall()
            for (last,) in keys:
                if not last.startswith(first):
                    return
                if (path := _path(last)).lower().endswith(suffixes):
                    yield path
            if len(keys) < FILES_AT_ONCE:
                return

    def names(self, folder: str) -> list[str]:
        """Of the files that lie in a folder itself, in order."""
        start = len(folder) + 1 if folder else 0
        return [path[start:] for path in self.below(folder) if "/" not in path[start:]]

    def held(self, paths: Sequence[str]) -> dict[str, Held]:
        """What it says of these; one that is not there is left out."""
        marks = ",".join("?" * len(paths))
        rows = self._files.execute(f"SELECT * FROM file WHERE key IN ({marks})", [_key(path) for path in paths])
        return {_path(key): Held(size, version) for key, size, version in rows}


def _key(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass").replace(b"/", b"\0")


def _path(key: bytes) -> str:
    return key.replace(b"\0", b"/").decode("utf-8", "surrogatepass")


def _listed(root: Path) -> Iterator[list[tuple[str, int, str]]]:
    """Path below the root, size and version of every file, some at a time. Raises whatever its client does."""
    there = cast(Any, root)
    home = there.path.rstrip("/") + "/"
    if hasattr(there.fs, "call_s3"):
        yield from _pages_of_s3(there.fs, home)
        return
    if not storage.is_folder(root):
        return  # where there are no folders but by what lies in them, this is one
    for folder, _, files in there.fs.walk(home.rstrip("/"), detail=True, on_error="raise"):
        below = f"{folder}/"[len(home) :]
        yield [(below + name, info["size"] or 0, storage.version_of(info)) for name, info in files.items() if name]


def _pages_of_s3(service: Any, home: str) -> Iterator[list[tuple[str, int, str]]]:
    """By its own request, a thousand files each: s3fs would hold all of them, and ask again for each folder."""
    bucket, _, prefix = home.partition("/")
    more: dict[str, str] = {}
    while True:
        page = service.call_s3("list_objects_v2", service.req_kw, Bucket=bucket, Prefix=prefix, **more)
        found = [one for one in page.get("Contents", ()) if not one["Key"].endswith("/")]  # a folder's mark
        yield [(one["Key"][len(prefix) :], one["Size"], storage.version_of(one)) for one in found]
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


@contextmanager
def listed_once(root: Path) -> Iterator[None]:
    """List a root now, and let all that is asked of it meanwhile be answered from that; nothing on this machine."""
    if storage.is_local(root):
        yield
        return
    inventory = Inventory(storage.renewed(root))
    token = _shared.set(inventory)
    try:
        yield
    finally:
        _shared.reset(token)
        inventory.close()


@contextmanager
def inventory_of(root: Path) -> Iterator[Inventory]:
    """That which is shared, or one of its own."""
    shared = _shared.get()
    if shared is not None and shared.root == root:
        yield shared
        return
    inventory = Inventory(root)
    try:
        yield inventory
    finally:
        inventory.close()


def is_listed(root: Path, path: str) -> bool:
    """Whether there is such a file below a root elsewhere; within a scan, whether there was as it began."""
    shared = _shared.get()
    if shared is not None and shared.root == root:
        return bool(shared.held([path]))
    return held_at(root, path) is not None


def held_at(root: Path, path: str) -> Held | None:
    """What is known of one file below a root elsewhere; None where it is not there. Raises OSError.

    One that the shared inventory lacks is asked for: it may have been written since.
    """
    shared = _shared.get()
    if shared is not None and shared.root == root and (known := shared.held([path])):
        return known[path]
    try:
        facts = storage.facts(root / path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Held(facts["size"] or 0, storage.version_of(facts)) if facts["type"] == "file" else None
