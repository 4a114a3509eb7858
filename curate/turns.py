"""Who may write a catalog on a disk, and when several of its tables are replaced. In a store see `curate.lease`.

    <root>/writer.lock      whose process it is that writes; held from the beginning of a command to its end
    <root>/publishing.lock  held while several tables are replaced; and who does that, for as long as it is not done
    <root>/reading.lock     held by all who read several tables

Each table is whole by itself, whoever reads it. Several together are of one run for who reads them under `reading`, as
our own commands do: `publishing` waits for those, and they for it. Who reads files without it, such as another DuckDB,
can see the moment in which some tables are new and some are old. A writer that was killed in that moment leaves its
name; until it was run again to its end, nobody else writes, and commands that read several tables refuse to.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from curate.errors import CatalogError
from curate.versions import version_of
from curate.whole import make_folder, opened_here, sync

WRITER, PUBLISHING, READING = "writer.lock", "publishing.lock", "reading.lock"
NOT_FOR_US = (errno.EACCES, errno.EPERM, errno.EROFS)

log = logging.getLogger("voxcurate")  # the command line shows it


@contextmanager
def writing(root: Path, who: str) -> Iterator[None]:
    """Be the only writer.

    Raises CatalogError that names the other one, where nothing can be written there, or as `require_whole` does.
    """
    try:
        make_folder(root)
        held = opened_here(root / WRITER, "a+")
    except OSError as error:
        if error.errno not in NOT_FOR_US:
            raise
        one = "a folder" if version_of(root) is None else "a catalog, such as a copy of this one,"
        raise CatalogError(
            f"{error.filename or root}: cannot be written ({error.strerror}); expected {one} in which this user may "
            "write"
        ) from error
    with held as file:
        try:
            _hold(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CatalogError(
                f"{root}: process {file.read().strip() or '?'} is writing it; expected to be the only one"
            ) from None
        _say(file, str(os.getpid()))
        for name in (PUBLISHING, READING):  # there before anybody reads what is published first, and after a power cut
            opened_here(root / name, "a").close()
        sync(root)
        require_whole(root, mended_by=who)
        yield


@contextmanager
def publishing(root: Path, who: str) -> Iterator[None]:
    """Replace several tables, when nobody reads them. `who` is what is run again where this is broken off.

    Who comes to read waits from now on, so that readers who come all the time do not keep it waiting.
    """
    with opened_here(root / PUBLISHING, "a+") as file, opened_here(root / READING, "a") as readers:
        _hold(file, fcntl.LOCK_EX)
        try:
            _hold(readers, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info(f"{root}: waiting for who reads it")
            _hold(readers, fcntl.LOCK_EX)
        _say(file, who)
        yield
        _say(file, "")  # not where the block raises: then tables of two runs may lie there


@contextmanager
def reading(root: Path) -> Iterator[None]:
    """Read several tables as one run left them; not within another `reading`, which would wait for itself.

    Raises CatalogError where a writer broke off in between.
    """
    with ExitStack() as until_read:
        try:
            publishing = until_read.enter_context(opened_here(root / PUBLISHING))
            readers = until_read.enter_context(opened_here(root / READING))
        except (FileNotFoundError, NotADirectoryError):
            yield  # nobody has published several at once here
            return
        _hold(publishing, fcntl.LOCK_SH)
        require_whole(root)
        _hold(readers, fcntl.LOCK_SH)
        publishing.close()
        yield


def broke_off(root: Path) -> str:
    """Who was killed while tables were replaced, or is at it; else empty."""
    try:
        with opened_here(root / PUBLISHING) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def require_whole(root: Path, mended_by: str = "") -> None:
    """Raises CatalogError where a writer broke off while tables were replaced, unless it is the one of now."""
    who = broke_off(root)
    if who not in ("", mended_by):
        raise CatalogError(
            f"{root}: `{who}` broke off while it replaced tables, which may be of two runs now; expected it to be run "
            f"again to its end (or {PUBLISHING} to be taken away, to take them as they are)"
        )


def _hold(file: IO[str], how: int) -> None:
    """Lock it, as `fcntl.flock` does. Raises CatalogError where its file system has no locks."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:
        raise CatalogError(
            f"{file.name}: cannot be locked ({error.strerror}); expected a catalog on a file system that has locks"
        ) from error


def _say(file: IO[str], text: str) -> None:
    """All that the file holds, on the disk when this returns."""
    file.truncate(0)
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
