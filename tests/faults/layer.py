"""Between a process and the kernel: what it changes under a folder is seen before it happens, and can be made to fail.

A forked process asks the kernel to hold each of its system calls that write, rename or sync, and those of its threads
and children, until somebody else has looked at them (seccomp's user notification, Linux 5.9 or later). That somebody is
`watched`, in the process that tests: it counts those that concern files under a folder, and at the one that it was told
lets it fail, or ends the process before it happens. Nothing in the process knows of it, be it Python, Arrow or SQLite.

A power cut is more than a kill: it takes with it what was not synced. What that is, is told by a model, which allows no
more than file systems promise that keep the order in which names changed (ext4, XFS, Btrfs):

- a file loses what was written to it after it was synced last, and all of it where it was emptied since then (what was
  written over what had been synced stays);
- names of files and folders that were made, changed or removed come back as they were, but for those before a sync of
  their folder or, for a new one, of itself.

What is written to a file without a name, through a map of a file (mmap), by io_uring or splice, or by openat2 and
creat, is not seen.
"""

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.forked import Forks

IS_POSSIBLE = sys.platform == "linux" and platform.machine() == "x86_64"
TO_CHANGE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC  # of what is opened, nothing else is looked at
HERE = -100  # AT_FDCWD
PATIENCE_S = 300.0  # for who never comes
AT_REMOVEDIR = 0x200


@dataclass(frozen=True)
class Call:
    """A system call, and in which of its words it says what it is about."""

    name: str
    file: int | None = None  # an open one
    names: tuple[tuple[int | None, int], ...] = ()  # of each, the folder that it is taken from, and the name
    flags: int | None = None


CALLS = {  # by their numbers on x86-64
    **{number: Call("write", file=0) for number in (1, 18, 20, 296, 328, 40)},  # pwrite, writev, ..., sendfile
    326: Call("write", file=2),  # copy_file_range
    76: Call("truncate", names=((None, 0),)),
    77: Call("truncate", file=0),
    285: Call("truncate", file=0),  # fallocate
    74: Call("sync", file=0),
    75: Call("sync", file=0),  # fdatasync
    82: Call("rename", names=((None, 0), (None, 1))),
    264: Call("rename", names=((0, 1), (2, 3))),
    316: Call("rename", names=((0, 1), (2, 3))),
    86: Call("link", names=((None, 0), (None, 1))),
    265: Call("link", names=((0, 1), (2, 3))),
    88: Call("symlink", names=((None, 1),)),
    266: Call("symlink", names=((1, 2),)),
    87: Call("unlink", names=((None, 0),)),
    263: Call("unlink", names=((0, 1),), flags=2),
    84: Call("rmdir", names=((None, 0),)),
    83: Call("mkdir", names=((None, 0),)),
    258: Call("mkdir", names=((0, 1),)),
    2: Call("open", names=((None, 0),), flags=1),
    257: Call("open", names=((0, 1),), flags=2),
}

# <linux/seccomp.h>, <linux/filter.h>, <linux/prctl.h>
SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER = 317, 1, 8
SET_NO_NEW_PRIVS, SET_PTRACER = 38, 0x59616D61
LET, HOLD, X86_64 = 0x7FFF0000, 0x7FC00000, 0xC000003E
LOAD, IF_EQUAL, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
RECEIVE, SEND = 0xC0502100, 0xC0182101
NOTICE, ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
GO_ON = 1


@dataclass(frozen=True)
class Change:
    """A system call that changes something under the folder, or syncs it."""

    call: str
    path: Path
    other: Path | None = None  # where something is renamed or linked to

    def __str__(self) -> str:
        return f"{self.call} {self.path}" + (f" -> {self.other}" if self.other else "")


@dataclass(frozen=True, kw_only=True)
class Strike:
    """What happens at which change, counted from 0; by itself, nothing does, and all is only counted."""

    at: int | None = None
    kills: bool = False
    cuts_power: bool = False  # at the end, where there are fewer changes than `at`
    fails_with: int | None = None  # errno
    lasts: bool = False  # whether what comes after fails, too: a full disk stays full
    only: frozenset[str] | None = None  # which calls fail; all, where nothing is said


@dataclass
class Ended:
    """How a watched process ended, and what it had changed until then."""

    code: int
    out: str
    err: str
    changes: list[Change] = field(repr=False)
    was_struck: bool = False  # whether the strike was due before it ended


def watched(
    forked: Forks,
    folder: Path,
    strike: Strike,
    call: Callable[..., object],
    *arguments: object,
    argv: tuple[str, ...] = ("-c",),
) -> Ended:
    """Call it in a forked process, and strike at what it does under `folder`."""
    folder = folder.resolve()
    with (
        tempfile.TemporaryDirectory(dir=folder.parent) as kept,
        tempfile.TemporaryDirectory() as met,
        socket.socket(socket.AF_UNIX) as meeting,
    ):
        place = Path(met) / "layer"
        meeting.bind(str(place))
        meeting.listen(1)
        meeting.settimeout(PATIENCE_S)
        ended = forked.start(_held_in, str(place), call, arguments, argv=argv)
        connection, _ = meeting.accept()
        with connection:
            message, listeners, _, _ = socket.recv_fds(connection, 64, 1)
            if not listeners:  # the kernel, or what we run in, does not let a process filter its calls
                raise OSError(ended().stderr)
            (listener,) = listeners
            watcher = _Watcher(folder, Path(kept), strike, int(message), listener)
            connection.sendall(b"go")
            try:
                watcher.watch()
            finally:
                os.close(listener)
        finished = ended()
        if strike.cuts_power:
            watcher.disk.cut()
        return Ended(finished.returncode, finished.stdout, finished.stderr, watcher.changes, watcher.was_struck)


class _Watcher:
    """Answers each call that is held."""

    def __init__(self, folder: Path, kept: Path, strike: Strike, process: int, listener: int) -> None:
        self._folder, self._strike, self._process, self._listener = folder, strike, process, listener
        self.changes: list[Change] = []
        self.was_struck = False
        self.disk = _Disk(folder, kept)

    def watch(self) -> None:
        """Until the process and its children have ended."""
        polled = select.poll()
        polled.register(self._listener, select.POLLIN)
        while True:
            ((_, event),) = polled.poll()
            if event & select.POLLIN:
                self._answer()
            elif event & select.POLLHUP:
                return

    def _answer(self) -> None:
        notice = bytearray(NOTICE.size)
        try:
            fcntl.ioctl(self._listener, RECEIVE, notice)
        except OSError as error:  # it was killed while it waited
            if error.errno in (errno.ENOENT, errno.EINTR):
                return
            raise
        number, thread, _, call, _, _, *words = NOTICE.unpack(notice)
        error_code = 0
        with suppress(FileNotFoundError, ProcessLookupError):  # it is gone
            change = _change(thread, CALLS[call], tuple(words))
            if change is not None and self._concerns(change):
                error_code = self._struck(change)
        answer = ANSWER.pack(number, 0, -error_code, 0 if error_code else GO_ON)
        with suppress(FileNotFoundError):
            fcntl.ioctl(self._listener, SEND, answer)

    def _concerns(self, change: Change) -> bool:
        return any(path is not None and path.is_relative_to(self._folder) for path in (change.path, change.other))

    def _struck(self, change: Change) -> int:
        """The error with which it shall fail; 0 where it goes on."""
        strike, number = self._strike, len(self.changes)
        is_due = strike.at is not None and (number == strike.at or (strike.lasts and number > strike.at))
        self.changes.append(change)
        if is_due and (strike.kills or strike.cuts_power):
            self.was_struck = True
            os.killpg(self._process, signal.SIGKILL)
            return errno.EINTR  # never seen: nothing that was killed goes on
        if is_due and strike.fails_with is not None and (strike.only is None or change.call in strike.only):
            self.was_struck = True
            return strike.fails_with
        if strike.cuts_power:
            self.disk.note(change)
        return 0


# ------------------------------------------------------------------------------------------- what a power cut takes


class _Disk:
    """What of the changes under a folder is on the disk for good."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self._folder, self._kept = folder, kept
        self._lasting: dict[int, int] = {}  # bytes that were synced of each file that was written to, by its number
        self._names: list[tuple[Change, Path | None]] = []  # changes of names, and what was removed by them
        self._num_lasting = 0  # of these

    def note(self, change: Change) -> None:
        """Take in a change that is about to happen."""
        if change.call == "sync":
            self._sync(change.path)
        elif change.call in ("write", "truncate"):
            self._lasting.setdefault(change.path.stat().st_ino, change.path.stat().st_size)
        elif change.call == "empty":
            self._lasting[change.path.stat().st_ino] = 0
        elif change.call in ("create", "mkdir", "rmdir"):
            if change.path.exists() == (change.call == "rmdir"):  # else it fails, and changes nothing
                self._names.append((change, None))
        elif change.call in ("rename", "link", "symlink", "unlink"):
            removed = change.path if change.call == "unlink" else change.other
            self._names.append((change, self._keep(removed)))

    def _keep(self, path: Path | None) -> Path | None:
        """A second name for what is about to lose its own."""
        if path is None or not path.is_file() or path.is_symlink():
            return None
        second = self._kept / str(len(self._names))
        os.link(path, second)
        return second

    def _sync(self, path: Path) -> None:
        if path.is_dir():
            self._last(
                lambda change: (
                    path in (change.path.parent, change.other and change.other.parent)
                    or (change.call == "mkdir" and change.path == path)
                )
            )
        else:
            self._lasting[path.stat().st_ino] = path.stat().st_size
            self._last(lambda change: change.call == "create" and change.path == path)

    def _last(self, is_synced: Callable[[Change], bool]) -> None:
        synced = [number for number, (change, _) in enumerate(self._names) if is_synced(change)]
        self._num_lasting = max([self._num_lasting, *(number + 1 for number in synced)])

    def cut(self) -> None:
        """Take away what is not there for good."""
        for path in [*self._folder.rglob("*"), *self._kept.iterdir()]:
            if path.is_file() and not path.is_symlink():
                lasting = self._lasting.get(path.stat().st_ino)
                if lasting is not None and lasting < path.stat().st_size:
                    os.truncate(path, lasting)
        for change, removed in reversed(self._names[self._num_lasting :]):
            if change.call == "rename" and change.other is not None and change.other.exists():
                change.other.rename(change.path)
            elif change.call in ("create", "link", "symlink"):
                (change.other or change.path).unlink(missing_ok=True)
            elif change.call == "mkdir":
                with suppress(OSError):  # it holds what was there before, if it was renamed to here
                    change.path.rmdir()
            elif change.call == "rmdir":
                change.path.mkdir(parents=True, exist_ok=True)
            came_back = change.path if change.call == "unlink" else change.other
            if removed is not None and came_back is not None:
                came_back.parent.mkdir(parents=True, exist_ok=True)  # its folder may have been removed after it
                os.link(removed, came_back)


# ------------------------------------------------------------------------------------------- what a call is about


def _change(thread: int, call: Call, words: tuple[int, ...]) -> Change | None:
    """What a call would change or sync; None where that is nothing that has a name."""
    if call.file is not None:
        path = Path(os.readlink(f"/proc/{thread}/fd/{words[call.file]}"))
        return Change(call.name, path) if path.is_file() or path.is_dir() else None  # no pipe, no socket
    paths = [_named(thread, words[name], HERE if home is None else words[home]) for home, name in call.names]
    flags = words[call.flags] if call.flags is not None else 0
    if call.name == "open":
        return _opened(paths[0], flags)
    name = "rmdir" if call.name == "unlink" and flags & AT_REMOVEDIR else call.name
    return Change(name, *paths)


def _opened(path: Path, flags: int) -> Change | None:
    """A file is made, or emptied, or only opened to be written to."""
    if not path.exists():
        return Change("create", path) if flags & os.O_CREAT else None
    return Change("empty" if flags & os.O_TRUNC else "open", path)


def _named(thread: int, address: int, folder: int) -> Path:
    """The path that a text in the memory of the process names, from one of its open folders on."""
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        text = b""
        while b"\0" not in text:  # up to the end of a page, what comes after may not be there
            text += memory.read(4096 - (address + len(text)) % 4096)
    path = Path(os.fsdecode(text.partition(b"\0")[0]))
    number = ctypes.c_int32(folder & 0xFFFFFFFF).value
    home = Path(os.readlink(f"/proc/{thread}/cwd" if number == HERE else f"/proc/{thread}/fd/{number}"))
    named = home / path
    return named.parent.resolve() / named.name


# ------------------------------------------------------------------------------------------- in the process itself


def _held_in(place: str, call: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Call it, with each of its system calls that are looked at held by who listens at `place`."""
    os.setpgid(0, 0)  # who kills it, kills its children
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        socket.send_fds(connection, [str(os.getpid()).encode()], [_hold()])
        connection.recv(2)
    call(*arguments)


def _hold() -> int:
    """From here on, the kernel holds those calls; returns the open file by which they are answered."""
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.prctl(SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)  # let its memory be read: names are there
    if kernel.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: expected a process that may give up privileges")
    program = _program()
    text = ctypes.create_string_buffer(program)
    filled = ctypes.create_string_buffer(struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(text)))
    listener: int = kernel.syscall(SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER, filled)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp: expected Linux 5.9 or later that lets a process filter its calls")
    return listener


def _program() -> bytes:
    """What the kernel runs at each system call (classic BPF): whether it is held."""
    words: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, 4),  # the architecture
        (IF_EQUAL, 1, 0, X86_64),
        (RETURN, 0, 0, LET),
        (LOAD, 0, 0, 0),  # the number of the call
    ]
    for number, call in CALLS.items():
        if call.name == "open" and call.flags is not None:
            words += [
                (IF_EQUAL, 0, 4, number),
                (LOAD, 0, 0, 16 + 8 * call.flags),  # the lower half of its word
                (IF_ANY_BIT, 0, 1, TO_CHANGE),
                (RETURN, 0, 0, HOLD),
                (RETURN, 0, 0, LET),
            ]
        else:
            words += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, HOLD)]
    words.append((RETURN, 0, 0, LET))
    return b"".join(struct.pack("=HBBI", *word) for word in words)
