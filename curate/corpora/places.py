"""Where the files lie that a list names: always below the root of the corpus, whatever the list says."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from curate.errors import CorpusError

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
    if "://" in text:
        raise CorpusError(f"path {said[:200]!r} is an address; expected a file below {root}")
    whole = os.path.normpath(os.path.join(below or root, text))
    if moved_from and _is_below(whole, moved := os.path.normpath(moved_from)):
        whole = os.path.normpath(f"{root}/{whole[len(moved) :]}")
    home = os.path.normpath(root)
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


def printable(name: str) -> str:
    """A file's name as a message can show it, on one line: of the usual ones, the same."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= MAX_SHOWN else f"...{shown[-MAX_SHOWN:]}"


def require_inside(root: Path | str, path: str) -> None:
    """Raises CorpusError where a path below the root, or a folder on the way to it, is a link that leads out."""
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
