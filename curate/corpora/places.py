"""Where the files lie that a list names: always below the root of the corpus, whatever the list says."""

import os
from collections.abc import Iterator
from pathlib import Path

from curate.errors import CorpusError


def inside(said: str, root: Path, *, below: Path | None = None, moved_from: str | None = None) -> str:
    """The path, relative to the root, of a file that a list names; nothing is looked up on the disk.

    A relative path is taken from `below`, a folder of the corpus (its root, where none is given). An absolute one must
    lie below the root, or below `moved_from`, where the root was when the list was written. Backslashes divide, too.

    Raises CorpusError for a path that leaves the root, and for an address of the web.
    """
    text = said.strip().replace("\\", "/").removeprefix("file://")
    if not text or "\0" in text:
        raise CorpusError(f"path {said!r}; expected the path of an audio file")
    if "://" in text:
        raise CorpusError(f"path {said!r} is an address; expected a file below {root}")
    whole = os.path.normpath(os.path.join(below or root, text))
    if moved_from is not None and _is_below(whole, moved := os.path.normpath(moved_from)):
        whole = os.path.normpath(f"{root}/{whole[len(moved) :]}")
    home = os.path.normpath(root)
    if not _is_below(whole, home):
        raise CorpusError(
            f"path {said!r} leaves {root}; expected a `root` that holds all audio, or by `moved_from` the folder that "
            "stood in its place when the list was written"
        )
    return whole[len(home) :].lstrip("/")


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def files_below(root: Path, suffixes: tuple[str, ...], *, folder: str = "") -> Iterator[str]:
    """Every file with one of the suffixes, in lower or upper case, as a path relative to the root; in order of names.

    One folder's names are held at once. Links are followed, but not to a folder that the link lies in.
    """
    yield from _walk(str(root), folder, suffixes, ())


def _walk(root: str, folder: str, suffixes: tuple[str, ...], above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    here = os.path.join(root, folder)
    status = os.stat(here)
    if (status.st_dev, status.st_ino) in above:
        return
    with os.scandir(here) as found:
        entries = sorted((entry.name, entry.is_dir()) for entry in found)
    for name, is_folder in entries:
        path = f"{folder}/{name}" if folder else name
        if is_folder:
            yield from _walk(root, path, suffixes, (*above, (status.st_dev, status.st_ino)))
        elif name.lower().endswith(suffixes):
            yield path
