"""What is fuzzed: files of a user, each read as the product reads it.

A subject is a folder of whole files and a way to read them. One file of it is damaged at a time; what reads it may
raise what a user is told in one line, `VoxcurateError`, and nothing else.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from curate.errors import VoxcurateError

MAX_MESSAGE = 2_000  # characters: a longer one is no line that anybody reads


@dataclass(frozen=True)
class Subject:
    """Files below a folder that are damaged one at a time, and what reads them; it is told which one is."""

    name: str
    root: Path
    files: Mapping[str, bytes]
    read: Callable[[Path], object]

    def told(self, file: str, content: bytes) -> str | None:
        """What a user is told of this content in the place of the file's own; None where it is read all the same.

        Raises whatever reading raises beside what a user is told, and AssertionError for a message that is no line.
        """
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            self.read(path)
        except VoxcurateError as error:
            line = " ".join(str(error).split())  # as the command line prints it
            assert 0 < len(line) <= MAX_MESSAGE, f"a message of {len(line)} characters: {line[:300]}"
            return line
        finally:
            if file in self.files:
                path.write_bytes(self.files[file])
            elif path.exists():
                path.unlink()
        return None


def of_folder(name: str, root: Path, read: Callable[[Path], object], *, skip: tuple[str, ...] = ()) -> Subject:
    """The files that lie below the folder now, but for those with these suffixes."""
    found = sorted(one for one in root.rglob("*") if one.is_file() and one.suffix.lower() not in skip)
    return Subject(name, root, {one.relative_to(root).as_posix(): one.read_bytes() for one in found}, read)


def of_texts(name: str, root: Path, files: Mapping[str, str | bytes], read: Callable[[Path], object]) -> Subject:
    """These files, written below the folder; other files may lie there that are never damaged."""
    whole = {file: text if isinstance(text, bytes) else text.encode() for file, text in files.items()}
    for file, content in whole.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(content)
    return Subject(name, root, whole, read)


def anew(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
