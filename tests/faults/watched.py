"""What is opened, read or changed below a folder, by whatever code: the kernel says (inotify), also of C++."""

import ctypes
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ACCESS, MODIFY, OPEN = 0x1, 0x2, 0x20  # <linux/inotify.h>
OVERFLOW, UNWATCHED, OF_A_FOLDER = 0x4000, 0x8000, 0x40000000
NAMES = {ACCESS: "read", MODIFY: "written", OPEN: "opened"}


@contextmanager
def opened_below(folder: Path) -> Iterator[list[str]]:
    """Collects, when the block ends, what was done to files of the folder, such as `opened secret`.

    Folders that are only listed do not count: what is in them is not read by that.
    """
    libc, found = ctypes.CDLL(None, use_errno=True), []
    watching = libc.inotify_init1(os.O_NONBLOCK)
    if watching < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    watched = {}
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            if (watch := libc.inotify_add_watch(watching, os.fsencode(path), ACCESS | MODIFY | OPEN)) < 0:
                raise OSError(ctypes.get_errno(), f"inotify: {path} cannot be watched")
            watched[watch] = path
    try:
        yield found
        while True:
            try:
                events = os.read(watching, 1 << 16)
            except BlockingIOError:
                break
            while events:
                which, mask, _, length = struct.unpack("iIII", events[:16])
                name = events[16 : 16 + length].rstrip(b"\0").decode()
                events = events[16 + length :]
                if mask & OVERFLOW:
                    raise OSError("inotify: more has happened than it could tell")
                if mask & UNWATCHED:
                    found.append(f"removed {watched[which]}")
                elif not mask & OF_A_FOLDER:
                    what = next(told for bit, told in NAMES.items() if mask & bit)
                    found.append(f"{what} {watched[which] / name}")
    finally:
        os.close(watching)


def tree(folder: Path) -> dict[str, str]:
    """Every file, folder and link below it, with what it holds and when it was last changed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = os.readlink(path) if path.is_symlink() else "folder" if path.is_dir() else _digest(path)
        found[str(path.relative_to(folder))] = f"{kind} {path.lstat().st_mtime_ns}"
    return found


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """What came, went or is another, by its name."""
    return tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
