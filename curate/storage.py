"""Where corpora and catalogs lie: folders of this machine, or any place that fsspec knows (`s3://`, `gs://`, ...).

A place elsewhere is an object with the methods of Path (`upath.UPath`; no subclass of it), so that code which keeps to
methods need not know where it works. What calls the operating system itself asks `is_local` first. Three things differ
elsewhere: there are no links, a name is joined by `joined` where it may be absolute or a dot, and what goes wrong is
said in the words of a network (`why`, `reachable`).

Keys and regions come from where the client of the place looks for them, such as AWS_ACCESS_KEY_ID, ~/.aws or a file of
fsspec's configuration: never from the address, which is printed and written into tables.
"""

import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

from curate.errors import LocationError

if TYPE_CHECKING:
    from upath import UPath

BYTES_PER_BLOCK = 1 << 20  # read at once of a file elsewhere that is read here and there
BYTES_PER_FETCH = 1 << 23  # the same of one that is read from its start to its end
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]*)://(.*)", re.DOTALL)
_LOCAL = ("file", "local")
_CLIENTS = {  # whose exceptions are faults of a network or of a service, where they are no OSErrors
    *("adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "huggingface_hub"),
    *("paramiko", "requests", "s3fs", "socket", "ssl", "urllib3"),
}
_CODES = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES, NotADirectoryError: errno.ENOTDIR}


class UnreachableError(OSError):
    """A service did not answer, or not as it should; another try may succeed."""


def location(text: str | Path) -> Path:
    """The place that a text names: a path of this machine, also after `file://`, or an object with its methods.

    A place stays as it is: the command line asks of defaults, too. Raises LocationError for an address whose scheme is
    not known or lacks its package, or that holds a password.
    """
    if not isinstance(text, str):
        return text
    if not (found := _ADDRESS.fullmatch(text)):
        return Path(text)
    scheme, rest = found[1].lower(), found[2]
    _require_no_secret(scheme, rest)
    if scheme in _LOCAL:
        if not rest.startswith("/"):
            raise LocationError(f"{text!r}: no path of this machine; expected one such as file:///data")
        return Path(rest)
    if not rest.strip("/") or ".." in rest.split("/"):
        raise LocationError(f"{text!r}: no plain address; expected one such as s3://bucket/folder, without `..`")
    return _elsewhere(scheme, rest.rstrip("/"))


def _require_no_secret(scheme: str, rest: str) -> None:
    """Raises LocationError that does not repeat it: an address ends up in tables, messages and logs."""
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and ":" in user) or (scheme in ("http", "https") and "?" in rest):
        raise LocationError(
            f"{scheme}:// with a key or password in it; expected a plain address, and the secret where the client of "
            "the place looks for it, such as AWS_ACCESS_KEY_ID or ~/.aws/credentials"
        )


def _elsewhere(scheme: str, rest: str) -> Path:
    # a tenth of a second: not for who stays on this machine
    from fsspec.asyn import AsyncFileSystem
    from fsspec.registry import (
        get_filesystem_class,
        known_implementations,
        registry,
    )
    from upath import UPath

    make: Callable[..., object] = UPath  # its overloads know none of the options of a service
    if scheme not in known_implementations and scheme not in registry:
        raise LocationError(f"{scheme}://{rest}: unknown scheme {scheme!r}; expected a path, or one such as s3 or gs")
    try:
        kind = get_filesystem_class(scheme)
        # what is remembered of a folder grows without bound, and is wrong as soon as another process writes there
        fresh = {"use_listings_cache": False} if issubclass(kind, AsyncFileSystem) else {}
        return cast(Path, make(f"{scheme}://{rest}", **fresh))
    except ImportError as error:
        told = known_implementations.get(scheme, {}).get("err") or str(error)
        raise LocationError(f"{scheme}://{rest}: {' '.join(told.split())}; expected its package") from error


def _validated(value: object) -> Path:
    if isinstance(value, str):
        return location(value)
    if isinstance(value, Path) or hasattr(value, "protocol"):
        return cast(Path, value)
    raise ValueError(f"{str(value)[:80]!r}; expected a path, or an address such as s3://bucket/folder")


class _ByPydantic:
    """How pydantic reads it; a class of our own, so that who only reads audio needs no pydantic."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(_validated)


Location = Annotated[Path, _ByPydantic]  # of a settings class: Path itself would make an s3:/ of s3://


def is_local(path: Path) -> bool:
    """Whether it lies in the file system of this machine."""
    return isinstance(path, Path)


def joined(folder: Path, said: Path) -> Path:
    """What `said` names from a folder on: a place of its own where it is an absolute path or an address."""
    if not is_local(said) or said.is_absolute():
        return said
    if is_local(folder):
        return folder / said
    for part in said.parts:
        folder = folder.parent if part == ".." else folder / part
    return folder


def why(error: BaseException) -> str:
    """What went wrong in words, on one line; clients of services leave `strerror` empty."""
    words = " ".join(str(getattr(error, "strerror", None) or error).split())
    code = _code_of(error)
    is_told = " " in words and "/" not in words  # many say the path and nothing more
    return os.strerror(code) if code and not is_told else words or type(error).__name__


def _code_of(error: BaseException) -> int | None:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Turn whatever the client of a service raises into an UnreachableError that names the place; ours pass."""
    try:
        yield
    except Exception as error:
        if is_local(path) or not _is_of_a_client(error):
            raise
        raise UnreachableError(_code_of(error) or errno.EIO, why(error), str(path)) from error


def _is_of_a_client(error: Exception) -> bool:
    """Of OSErrors, those that no call on files of this machine raises; but what is not there is simply not there."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return False
    if any(kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__):
        return True
    has_no_file = isinstance(error, OSError) and error.errno in (None, errno.EIO) and error.filename is None
    return has_no_file or isinstance(error, ConnectionError | TimeoutError)


def fetch(path: Path, num_bytes: int | None = None) -> bytes:
    """All of a file elsewhere, or its first bytes, by one request. Raises OSError."""
    there = cast("UPath", path)
    whole = {"max_concurrency": 1} if hasattr(there.fs, "call_s3") else {}  # or s3fs asks for the size first
    with reachable(path):
        content: bytes = there.fs.cat_file(there.path, **whole if num_bytes is None else {"start": 0, "end": num_bytes})
        return content


def read_bytes(path: Path) -> bytes:
    """All of a file, wherever it lies. Raises OSError."""
    return path.read_bytes() if is_local(path) else fetch(path)


def opened(path: Path) -> IO[bytes]:
    """A file to be read from its start on, in lines of bounded length, which fsspec's own files cannot give."""
    if is_local(path):
        return path.open("rb")
    there = cast("UPath", path)
    with reachable(path):
        return io.BufferedReader(there.fs.open(there.path, block_size=BYTES_PER_FETCH), BYTES_PER_BLOCK)


def put(path: Path, content: bytes) -> None:
    """Write a file elsewhere, by one request: it is there whole, or not at all. Raises OSError."""
    there = cast("UPath", path)
    with reachable(path):
        if not there.fs.async_impl:  # services have no folders, and would make a bucket
            there.fs.makedirs(there.parent.path, exist_ok=True)
        there.fs.pipe_file(there.path, content)


def facts(path: Path) -> dict[str, Any]:
    """What the place says of a file elsewhere, such as `size` and `type`. Raises OSError."""
    there = cast("UPath", path)
    with reachable(path):
        found: dict[str, Any] = there.fs.info(there.path)
        return found


def version_of(facts: dict[str, Any]) -> str:
    """What differs when a file elsewhere was written anew: its tag, or else its time of change; "" where none is told.

    Of the same file it is the same by a listing and by `facts`, which name hours of different zones.
    """
    for key in ("ETag", "etag", "content_hash", "md5Hash", "generation"):
        if facts.get(key):
            return str(facts[key])
    for key in ("LastModified", "last_modified", "mtime", "modified", "updated", "created"):
        if told := facts.get(key):
            told = datetime.fromtimestamp(told, UTC) if isinstance(told, int | float) else told
            return told.astimezone(UTC).isoformat() if isinstance(told, datetime) else str(told)
    return ""


def is_folder(path: Path) -> bool:
    """Whether there is a folder of this name; elsewhere, whether anything lies below it. Raises OSError."""
    if is_local(path):
        return path.is_dir()
    try:
        return bool(facts(path)["type"] == "directory")
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder. Raises OSError for a place that does not say."""
    if is_local(path):
        return path.exists()
    try:
        return bool(facts(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_taken(path: Path) -> bool:
    """Whether anything has this name, be it a link that leads nowhere. Raises OSError."""
    return os.path.lexists(path) if is_local(path) else is_there(path)


def matching(folder: Path, pattern: str) -> Iterator[Path]:
    """The files below a folder elsewhere that a glob matches, `*` within names; by one request a folder.

    Path.glob would ask once more for each file that it finds. Raises OSError.
    """
    first, _, rest = pattern.partition("/")
    there = cast("UPath", folder)
    home = there.path.rstrip("/") + "/"
    with reachable(folder):
        try:
            found = there.fs.ls(there.path, detail=True) if re.search(r"[*?[]", first) else [facts(folder / first)]
        except (FileNotFoundError, NotADirectoryError):
            return
    for entry in found:
        whole, is_folder = entry["name"].rstrip("/"), entry["type"] == "directory"
        name = whole.removeprefix(home)
        if name != whole and fnmatchcase(name, first) and is_folder == bool(rest):  # a folder's mark names itself
            yield from matching(folder / name, rest) if is_folder else [folder / name]


@contextmanager
def seekable(path: Path, *, bytes_per_block: int = BYTES_PER_BLOCK) -> Iterator[Path | IO[bytes]]:
    """What pyarrow and libsndfile read here and there: the path itself on this machine, else an open file."""
    if is_local(path):
        yield path
        return
    there = cast("UPath", path)
    with reachable(path), there.fs.open(there.path, block_size=bytes_per_block) as file:
        yield file


def renewed(path: Path) -> Path:
    """The same place, where nothing of earlier listings is remembered."""
    if not is_local(path):
        cast("UPath", path).fs.invalidate_cache()
    return path
