"""Bad input of every kind: links, traps, names, and secrets that must not be told."""

from collections.abc import Iterator
from pathlib import Path

from tests.faults import bombs, links, names, secrets, surroundings, tiny
from tests.faults.account import Tried
from tests.forked import Forks


def tried(folder: Path, forks: Forks, *, full: bool) -> Iterator[Tried]:
    """All of it; `forks` have loaded what commands import."""
    made = folder / "made"
    forks.run(tiny.write_tiny, made).check_returncode()
    yield from links.tried(folder / "links", made, forks, full=full)
    yield from bombs.tried(folder / "bombs", forks)
    yield from names.tried(folder / "names", forks, full=full)
    yield from secrets.tried(folder / "secrets", made, forks, full=full)
    if full:
        yield from surroundings.tried(folder / "around", forks)
