"""Where the files lie that a list names: always below the root of the corpus, whatever the list says."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from curate.corpora.inventory import inventory_of, is_listed
from curate.errors import CorpusError
from curate.storage import is_local

MAX_SHOWN = 300  # of a path, in a message


def inside(said: str, root: Path, *, below: Path | None = None, moved_from: str | None = "") -> str:
    """The path, relative to the root, of a file that a list names; nothing is looked up on the disk.

    A relative path is taken from `below`, a folder of the corpus (its root, where none is given). An absolute one must
    lie below the root, or below `moved_from`, where the root was when the list was written; None where nobody says, and
    "" where nobody is asked. Backslashes divide, too.

    Raises CorpusError for a path that leaves the root, and for an address of the web.
    """
    text = said.strip().replace("\\", "/").removeprefix("file://")
    if not text or "\0" in text:
        raise CorpusError(f"path {said[:200]!r}; expected the path of an audio file")
    is_address = "://" in text
    whole = os.path.normpath(text if is_address else os.path.join(str(below or root), text))
    if moved_from and _is_below(whole, moved := os.path.normpath(moved_from)):
        whole = os.path.normpath(f"{root}/{whole[len(moved) :]}")
    home = os.path.normpath(str(root))  # of an address, too: both lose one slash
    if is_address and not _is_below(whole, home):
        raise CorpusError(f"path {said[:200]!r} is an address; expected a file below {root}")
    if not _is_below(whole, home):
        moved = ", or by `moved_from` the folder that stood in its place when the list was written"
        hint = "" if moved_from == "" else moved
        raise CorpusError(f"path {said[:200]!r} leaves {root}; expected a `root` that holds all audio{hint}")
    return whole[len(home) :].lstrip("/")


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def files_below(
    root: Path, suffixes: tuple[str, ...], *, folder: str = "", links: Literal["inside", "anywhere"] = "inside"
) -> Iterator[str]:
    """Every file with one of the suffixes, in lower or upper case, as a path relative to the root; in order of names.

    One folder's names are held at once. Links are followed, but not to a folder that the link lies in. Raises
    CorpusError for any link on the way, be it of another kind of file, that leads out of the root, unless links may.
    """
    if not is_local(root):
        with inventory_of(root) as inventory:
            paths = inventory.below(folder, suffixes)
            yield from (path for path in paths if not path.rpartition("/")[2].startswith("._"))
        return
    waiting = [(folder, frozenset[tuple[int, int]]())]
    while waiting:
        path, above = waiting.pop()
        if path.startswith("\0"):  # a file, which waited for its turn among the folders
            yield path[1:]
            continue
        here = os.path.join(root, path)
        status = os.stat(here)
        if (this := (status.st_dev, status.st_ino)) in above:
            continue
        with os.scandir(here) as found:
            entries = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in found)
        if links == "inside":
            for name in (name for name, _, is_link in entries if is_link):
                require_inside(root, f"{path}/{name}" if path else name)
        for name, is_folder, _ in reversed(entries):
            inner = f"{path}/{name}" if path else name
            if is_folder:
                waiting.append((inner, above | {this}))
            elif name.lower().endswith(suffixes) and not name.startswith("._"):  # what macOS writes beside a file
                waiting.append(("\0" + inner, frozenset()))


def is_file(root: Path, path: str) -> bool:
    """Whether there is a file at this place below the root, whatever the name may hold."""
    if is_local(root):
        return os.path.isfile(root / path)  # not `Path.is_file`, which raises for names that are too long
    return is_listed(root, path)


def names_in(root: Path, folder: str) -> list[str]:
    """Of the files in a folder below the root, in order; a link that leads nowhere is a file."""
    if is_local(root):
        return sorted(entry.name for entry in os.scandir(root / folder) if not entry.is_dir())
    with inventory_of(root) as inventory:
        return inventory.names(folder)


def printable(name: str) -> str:
    """A file's name as a message can show it, on one line: of the usual ones, the same."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= MAX_SHOWN else f"...{shown[-MAX_SHOWN:]}"


def require_inside(root: Path | str, path: str) -> None:
    """Raises CorpusError where a path below the root, or a folder on the way to it, is a link that leads out."""
    if not isinstance(root, str) and not is_local(root):
        return  # no other place has links
    folder, _, name = path.rpartition("/")
    home, real = _real_folder(str(root), "."), _real_folder(str(root), folder)
    whole = os.path.join(real, name)
    if not _is_in(real, home) or (os.path.islink(whole) and not _is_in(os.path.realpath(whole), home)):
        raise CorpusError(
            f'{root}/{path} leads out of {root} by a link; expected what lies below it, or `links = "anywhere"`'
        )


@lru_cache(maxsize=4096)
def _real_folder(root: str, folder: str) -> str:
    return os.path.realpath(f"{root}/{folder}")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or _is_below(path, folder)
