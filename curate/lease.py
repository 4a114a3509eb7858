"""One writer at a time where there are no locks: a lease, an object of the store that its holder keeps renewing.

    <root>/writer.lock   {"host": ..., "process": ..., "token": ..., "renewed_at": ...}

It is created where there is none, and renewed every `RENEW_S`. One that was not renewed for `LEASE_S` is that of a dead
writer, and is taken over. Clocks of two machines may differ: before that, it is watched for `WATCH_S`, and one that
changes is alive. A holder that was held up for so long (a machine asleep) finds out when it renews the next time;
`require_held` does so before anything is published.

What is atomic: on S3 each write of the lease names what it replaces (If-None-Match, If-Match), so that one wins of two
that come at once. In other stores only the creation is, as far as fsspec's client has an exclusive one; a lease is
replaced by reading, writing and reading again, and two that take over a dead one in the same moment may both go on. No
store refuses what a former holder writes to other objects: between `require_held` and the last copy of the drafts
nothing but time guards, some seconds against a minute.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from curate import whole
from curate.errors import CatalogError

LEASE_S = 60.0
RENEW_S = 10.0
WATCH_S = 2.5 * RENEW_S

log = logging.getLogger("voxcurate")
_held_here: dict[str, "Lease"] = {}


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Seconds since 1970, and a way to let some pass."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Whose lease it is, and when he was last heard of."""

    host: str
    process: int
    token: str  # of one run: two processes may have one number
    renewed_at: float  # by the holder's clock


def _holder(content: bytes | None) -> Holder | None:
    """Who wrote this; None where it was none of us."""
    try:
        return Holder(**json.loads(content or b""))
    except (ValueError, TypeError):
        return None


class Lease:
    """The lease on the catalog at `root`, for one who writes it."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root, self._clock, self._object = root, clock, root / "writer.lock"
        self._me = Holder(host=socket.gethostname(), process=os.getpid(), token=uuid.uuid4().hex, renewed_at=0.0)
        self._one_at_a_time = threading.Lock()

    def acquire(self) -> None:
        """Become its holder. Raises CatalogError that names another one who lives."""
        there = whole.read_bytes(self._object)
        if there is not None:
            self._require_dead(there)
        content = self._told_now()
        found = _swap(self._object, lambda now: now == there, content)
        if found != content:
            raise self._refusal(found)

    def renew(self) -> None:
        """Say that its holder lives. Raises CatalogError where somebody has taken it over."""
        with self._one_at_a_time:
            content = self._told_now()
            found = _swap(self._object, self._is_mine, content)
        if found != content:
            raise CatalogError(
                f"{self._root}: {_who(found)} took over, since this one was not heard of for {LEASE_S:.0f} s; "
                "expected to be the only one that writes it"
            )

    def release(self) -> None:
        """Give it back; one that somebody has taken over is his. Raises CatalogError as `renew`."""
        self.renew()  # so that for a while nobody takes over what is now removed
        whole.remove(self._object)

    def _told_now(self) -> bytes:
        return json.dumps(asdict(replace(self._me, renewed_at=self._clock.now()))).encode()

    def _is_mine(self, content: bytes | None) -> bool:
        """Also where a renewal arrived whose answer was lost."""
        holder = _holder(content)
        return holder is not None and holder.token == self._me.token

    def _require_dead(self, content: bytes) -> None:
        holder = _holder(content)
        if holder is not None and abs(self._clock.now() - holder.renewed_at) < LEASE_S:
            raise self._refusal(content)
        log.info(f"{self._root}: {_who(content)} has not renewed its lease; watching for {WATCH_S:.0f} s if it lives")
        self._clock.sleep(WATCH_S)
        found = whole.read_bytes(self._object)
        if found != content:
            raise self._refusal(found)

    def _refusal(self, content: bytes | None) -> CatalogError:
        hint = f"expected to be the only one (if it died, try again in {LEASE_S:.0f} s)"
        return CatalogError(f"{self._root}: {_who(content)} is writing it; {hint}")


def _who(content: bytes | None) -> str:
    holder = _holder(content)
    return f"process {holder.process} on {holder.host}" if holder else "another process"


def _swap(place: Path, may_replace: Callable[[bytes | None], bool], new: bytes) -> bytes | None:
    """Put `new` in the place of what is there, if it may be replaced; what is there afterwards says who has won."""
    store, path = whole.in_store(place)
    with whole.reaching(place):
        tag = _tag(store, path)  # asked for before what it is the tag of: if both change in between, it is refused
        there = whole.read_bytes(place)
        if not may_replace(there):
            return there
        condition = {"mode": "create"} if there is None else {"IfMatch": tag} if tag else {}
        try:
            store.pipe_file(path, new, **condition)
        except OSError as error:
            if not _lost_the_race(error):
                raise
    return whole.read_bytes(place)


def _tag(store: Any, path: str) -> str | None:
    """What S3 calls this version of the object; None in other stores, and where there is none."""
    if "s3" not in ([store.protocol] if isinstance(store.protocol, str) else store.protocol):
        return None
    try:
        return str(store.info(path)["ETag"])
    except FileNotFoundError:
        return None


def _lost_the_race(error: OSError) -> bool:
    """Whether the store refused as somebody else was first."""
    refusals = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
    return isinstance(error, FileExistsError) or whole.code_of(error) in refusals


@contextmanager
def held(root: Path, clock: Clock | None = None) -> Iterator[None]:
    """Hold the lease and keep renewing it. Raises CatalogError that names another holder, also one who took over."""
    lease, stop = Lease(root, clock or Clock()), threading.Event()
    lease.acquire()
    renewing = threading.Thread(target=keep_renewing, args=(lease, stop.wait), name="lease", daemon=True)
    renewing.start()
    _held_here[str(root)] = lease
    try:
        yield
    except BaseException:
        _end(root, renewing, stop)
        with suppress(CatalogError):  # what went wrong before is what to tell
            lease.release()
        raise
    _end(root, renewing, stop)
    lease.release()


def _end(root: Path, renewing: threading.Thread, stop: threading.Event) -> None:
    stop.set()
    renewing.join()
    del _held_here[str(root)]


def keep_renewing(lease: Lease, wait: Callable[[float], bool]) -> None:
    """Renew the lease until `wait`, which lets some seconds pass, says that it is over."""
    while not wait(RENEW_S):
        try:
            lease.renew()
        except CatalogError as error:  # of the store, which may answer the next time, or for good
            log.warning(str(error))


def require_held(root: Path) -> None:
    """Raises CatalogError where this process began as the only writer of the catalog and is so no more."""
    if str(root) in _held_here:
        _held_here[str(root)].renew()
