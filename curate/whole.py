"""Files that are there whole or not at all, on a disk or in a store of objects (`s3://`, `gs://`, ...).

On a disk a file is written aside, synced, and made current by one rename. A store has no rename and needs none: an
upload shows when it is complete, and one that dies shows nothing (what its parts take up, a lifecycle rule of the
bucket clears away). What fsspec reaches but is no store of objects, such as `sftp://`, is not meant: there an upload
shows half a file, and needs folders, which nothing here makes.

A place in a store is what `curate.storage.location` gives: its client remembers no listing, since another machine may
have written in the meantime.
"""

import errno
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from curate.errors import CatalogError
from curate.storage import is_local, reachable, why

AT_ONCE = 2**20  # bytes that one request asks for at least: the footer and the columns after one another
IN_ONE_REQUEST = 2**25  # an upload up to this size is held in memory


@contextmanager
def reaching(place: Path) -> Iterator[None]:
    """Tell in one line, as a CatalogError, whatever a store's client raises."""
    try:
        with reachable(place):
            yield
    except OSError as error:
        hint = (
            "expected a place that can be reached (is it spelt so, and are there credentials and an endpoint for it?)"
        )
        raise CatalogError(f"{place}: {why(error)}; {hint}") from error


def code_of(error: OSError) -> str:
    """What a server of S3 calls the fault; empty for others."""
    answer: dict[str, dict[str, str]] = getattr(error.__cause__, "response", {})
    return answer.get("Error", {}).get("Code", "")


def in_store(place: Path) -> tuple[Any, str]:
    """The fsspec file system of a place that is not local, and its path there."""
    with reaching(place):
        return place.fs, place.path  # type: ignore[attr-defined]


def exists(place: Path) -> bool:
    """Whether there is such a file."""
    if is_local(place):
        return place.exists()
    store, path = in_store(place)
    with reaching(place):
        try:
            return bool(store.info(path)["type"] == "file")
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise
            return False


def stems(folder: Path, suffix: str) -> set[str]:
    """The names, without it, of the files in the folder that have this suffix; none where there is no folder."""
    return {name.removesuffix(f".{suffix}") for name in names(folder) if name.endswith(f".{suffix}")}


def names(folder: Path) -> set[str]:
    """What is in a folder, files and folders; nothing where there is none."""
    if is_local(folder):
        return {path.name for path in folder.glob("*")}
    store, path = in_store(folder)
    with reaching(folder):
        try:
            return {str(one).rstrip("/").rsplit("/", 1)[-1] for one in store.ls(path, detail=False)}
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise
            return set()


def files_below(folder: Path) -> list[str]:
    """The files in a folder and in those within it, by their place there, in order; none where there is no folder."""
    if is_local(folder):
        files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
        return sorted(path.relative_to(folder).as_posix() for path in files)
    store, path = in_store(folder)
    with reaching(folder):
        return sorted(str(file).removeprefix(f"{path.rstrip('/')}/") for file in store.find(path))


def remove(place: Path) -> None:
    """Take a file away, if it is there."""
    if is_local(place):
        place.unlink(missing_ok=True)
        return
    store, path = in_store(place)
    with reaching(place):
        try:
            store.rm_file(path)
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise


def mark(place: Path) -> None:
    """Leave an empty file there."""
    if is_local(place):
        make_folder(place.parent)
        place.touch()
    else:
        write_bytes(place, b"")


def move(place: Path, to: Path) -> None:
    """Make a file current as `to`. In a store that is a copy, then a removal: a crash between leaves both, whole."""
    if is_local(place):
        make_folder(to.parent)
        rename_durably(place, to)
        return
    copy(place, to)
    remove(place)


def copy(place: Path, to: Path) -> None:
    """The same bytes once more, whole."""
    if is_local(place):
        with place.open("rb") as file, written(to) as other:
            shutil.copyfileobj(file, other)
        return
    store, path = in_store(place)
    with reaching(to):
        store.cp_file(path, in_store(to)[1])


def remove_folder(folder: Path) -> None:
    """Take away a folder with all that is in it, if it is there."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=not folder.exists())
        return
    store, path = in_store(folder)
    with reaching(folder):
        for file in store.find(path):
            store.rm_file(file)


@contextmanager
def written(place: Path, *, alone: bool = True) -> Iterator[IO[bytes]]:
    """A file to write, which becomes current at `place` when the block ends, and never where the block raises.

    Who is not alone in writing it writes aside under a name of his own; what a crash leaves of that, nobody replaces.
    """
    if is_local(place):
        make_folder(place.parent)
        aside = place.with_name(place.name + (".new" if alone else f".{uuid.uuid4().hex}.new"))
        aside.unlink(missing_ok=True)  # of one that died
        with aside.open("xb") as file:  # never through a link
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename_durably(aside, place)
        return
    with tempfile.NamedTemporaryFile(prefix="voxcurate-") as temporary:
        yield temporary.file
        temporary.flush()
        upload(Path(temporary.name), place)


def upload(file: Path, place: Path) -> None:
    """A local file to a store, whole or not at all."""
    if file.stat().st_size <= IN_ONE_REQUEST:
        write_bytes(place, file.read_bytes())
        return
    store, path = in_store(place)
    with reaching(place):
        store.put_file(str(file), path)


def write_bytes(place: Path, content: bytes) -> None:
    """One object of a store, in one request."""
    store, path = in_store(place)
    with reaching(place):
        store.pipe_file(path, content)


def read_bytes(place: Path) -> bytes | None:
    """All of a file; None where there is none."""
    if is_local(place):
        return place.read_bytes() if place.exists() else None
    store, path = in_store(place)
    with reaching(place):
        try:
            return bytes(store.cat_file(path))
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise
            return None


def write_text(place: Path, text: str) -> None:
    """A text file, whole or not at all; does nothing where it holds this text already."""
    if read_bytes(place) == text.encode():
        return
    with written(place) as file:
        file.write(text.encode())


def opened_here(place: Path, mode: str = "r") -> IO[str]:
    """A text file that is read and written where it lies, such as a lock. A link in its place is an OSError."""
    return open(place, mode, encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))


def require_no_way_out(root: Path, names: Iterable[str]) -> None:
    """Raises CatalogError where one of these files and folders of `root`, or anything below, is a link that leads out.

    What is written there would be written elsewhere, and what is read would be somebody else's.
    """
    home = os.path.realpath(root)
    waiting = [os.path.join(root, name) for name in names]
    while waiting:
        path = waiting.pop()
        if os.path.islink(path) and not os.path.realpath(path).startswith(f"{home}/"):
            raise CatalogError(f"{path} leads out of {root} by a link; expected what lies in it")
        if os.path.isdir(path) and not os.path.islink(path):
            with os.scandir(path) as found:
                waiting += [one.path for one in found if one.is_symlink() or one.is_dir(follow_symlinks=False)]


def rename_durably(aside: Path, path: Path) -> None:
    """Make `aside`, a local file or folder, current as `path`, and have the folder remember it."""
    aside.replace(path)
    sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make a local folder and those above it, and have the disk remember them; what is in it would be lost with it."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Have the disk hold a local file as it is now, or remember what is in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reader(place: Path) -> Any:
    """A file of a store for pyarrow, which reads as far as it asks. Raises FileNotFoundError where there is none."""
    store, path = in_store(place)
    file = None
    with reaching(place):
        try:
            file = store.open(path, "rb", block_size=AT_ONCE)
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise
    if file is None:
        raise FileNotFoundError(errno.ENOENT, "No such object")
    # The memory of fsspec gives all its readers one position; its bytes stay what they are when it is replaced.
    return pa.BufferReader(file.getbuffer()) if isinstance(file, io.BytesIO) else _Telling(place, file)


class _Telling:
    """What pyarrow asks of a file, with the faults of the store told as ours."""

    def __init__(self, place: Path, file: Any) -> None:
        self._place, self._file = place, file

    def read(self, num_bytes: int = -1) -> bytes:
        """So many bytes from here."""
        with reaching(self._place):
            try:
                return bytes(self._file.read(num_bytes))
            except OSError as error:
                if type(error).__name__ != "FileExpired":  # of s3fs, which asks for the version that it began with
                    raise
                raise CatalogError(
                    f"{self._place}: replaced while it was read; expected one version of it: try again"
                ) from error

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Go there."""
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        """How far from the start."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close it."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._file.closed)
