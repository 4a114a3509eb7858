"""Two commands at once on one catalog, or into one folder: one after the other, or one line; never mixed."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

from curate.catalog import Catalog
from curate.reviews import said
from tests.faults import reading, reviewing, tiny
from tests.faults.account import Tried
from tests.faults.commands import contents, copied, curate, held, told_badly
from tests.faults.watched import changed
from tests.forked import Forks

tried_one = partial(Tried, suite="concurrency")

PUBLISHED = "curate.catalog:Catalog.publish"  # what a writer comes to when it holds the lock
HELD_AT = {"score": PUBLISHED, "build": "flows.building:build", "evaluate": PUBLISHED, "run": "flows.steps:is_complete"}
PAIRS = [("score", "run"), ("build", "evaluate"), ("evaluate", "score")]  # of the short form
INTO = {  # commands that write a folder, and where each is when it does
    "publish": "curate.export.huggingface:write_data",
    "export": "curate.export.writing:sync_all",
    "report": "pages.report.sheets:write",
    "plant": "flows.planting:_write",
}
SUITES: tuple[ModuleType, ...] = (reading, reviewing)


def tried(folder: Path, forks: Forks, *, full: bool) -> Iterator[Tried]:
    """All of it; `forks` have loaded what commands import."""
    made = folder / "made"
    forks.run(tiny.write_tiny, made).check_returncode()
    undisturbed = {name: alone(folder, made, forks, name) for name in HELD_AT if name != "run"}
    pairs = [(one, other) for one in HELD_AT for other in HELD_AT] if full else PAIRS
    for first, second in pairs:
        yield two_writers(folder, made, forks, first, second, undisturbed)
    for first in undisturbed if full else ("score",):
        yield after_a_kill(folder, made, forks, first, undisturbed)
        yield others_beside(folder, made, forks, first, undisturbed)
    for name in INTO if full else ("plant",):
        yield into_one_folder(folder, made, forks, name)
    for suite in SUITES:
        yield from suite.tried(folder, made, forks, full=full)


def words_of(name: str, made: Path, catalog: Path) -> tuple[object, ...]:
    """A command that writes the catalog."""
    return {
        "score": ("score", "toy", "-c", catalog),
        "build": ("build", made / "mine.toml", "-c", catalog),
        "evaluate": ("evaluate", "toy/test", made / "scores.parquet", "-c", catalog),
        "run": ("run", tiny.write_pipeline(made, catalog)),
    }[name]


def alone(folder: Path, made: Path, forks: Forks, name: str) -> dict[str, bytes]:
    """What a writer leaves that nobody disturbs."""
    catalog = copied(made / "catalog", folder / f"alone-{name}" / "catalog")
    done = curate(forks, *words_of(name, made, catalog))
    if done.returncode:
        raise RuntimeError(f"{name} alone has failed: {done.stderr}")
    return contents(catalog)


def two_writers(
    folder: Path, made: Path, forks: Forks, first: str, second: str, undisturbed: dict[str, dict[str, bytes]]
) -> Tried:
    """The second comes while the first holds the catalog: it is told whose process that is, and nothing is disturbed.

    A run would go on to hear the corpora, and is killed instead: then the tables are as they were.
    """
    catalog = copied(made / "catalog", folder / f"{first}-{second}" / "catalog")
    before, writer = contents(catalog), held(forks, HELD_AT[first], *words_of(first, made, catalog))
    refused = curate(forks, *words_of(second, made, catalog))
    untold = told_badly(refused, refused=True, says=(f"process {writer.process} is writing it",))
    if first == "run":
        writer.kill()
    else:
        untold += told_badly(writer.go_on(), refused=False)
    return tried_one(
        during=first,
        fault="a second writer",
        point=second,
        lost=changed(contents(catalog), undisturbed.get(first, before)),
        untold=untold,
    )


def after_a_kill(folder: Path, made: Path, forks: Forks, first: str, undisturbed: dict[str, dict[str, bytes]]) -> Tried:
    """A writer is killed while it holds the catalog: the next one takes it over at once, and makes what is missing."""
    catalog = copied(made / "catalog", folder / f"killed-{first}" / "catalog")
    held(forks, HELD_AT[first], *words_of(first, made, catalog)).kill()
    after = curate(forks, *words_of(first, made, catalog))
    return tried_one(
        during=first,
        fault="the lock of a killed writer",
        point="the same again",
        lost=changed(contents(catalog), undisturbed[first]),
        untold=told_badly(after, refused=False),
    )


def others_beside(
    folder: Path, made: Path, forks: Forks, first: str, undisturbed: dict[str, dict[str, bytes]]
) -> Tried:
    """While a writer is at work, reviewers speak, and whoever reads reads the old tables."""
    home = folder / f"beside-{first}"
    catalog = copied(made / "catalog", home / "catalog")
    writer = held(forks, HELD_AT[first], *words_of(first, made, catalog))
    beside = (
        ("decide", "studio/an/1", "drop", "-c", catalog, "--reviewer", "ann"),
        ("undo", "studio/an/1", "-c", catalog, "--reviewer", "ann"),
        ("decide", "studio/an/2", "drop", "-c", catalog, "--reviewer", "ann"),
        ("query", "select count(*) from results", "-c", catalog, "--csv"),
        ("publish", catalog, "toy", home / "published"),
    )
    done = [curate(forks, *words) for words in beside]
    untold = tuple(fault for one in done for fault in told_badly(one, refused=False))
    if done[3].stdout.split()[1:] != ["1"]:
        untold += (f"query beside {first}: {done[3].stdout!r}; expected the one row of before",)
    untold += told_badly(writer.go_on(), refused=False)
    words = [(row["subject_id"], row["verdict"]) for row in said(Catalog(catalog)).to_pylist()]
    kept = [("studio/an/1", "drop"), ("studio/an/1", None), ("studio/an/2", "drop")]
    after = {name: content for name, content in contents(catalog).items() if not name.startswith("reviews/")}
    return tried_one(
        during=first,
        fault="reviewers and readers beside it",
        point="before it publishes",
        lost=changed(after, undisturbed[first]) + (() if words == kept else (f"of {kept} is kept: {words}",)),
        untold=untold,
    )


def into_one_folder(folder: Path, made: Path, forks: Forks, name: str) -> Tried:
    """Two at once into one folder: the second is refused, and the folder is what the first alone writes."""
    home, catalog = folder / f"into-{name}", copied(made / "catalog", folder / f"into-{name}" / "catalog")
    planted = ("plant", tiny.write_pipeline(made, catalog), "--wrong-speaker", "0.2", "--to")
    words = {
        "publish": lambda out: ("publish", catalog, "toy", out),
        "export": lambda out: ("export", catalog, out, "--to", "nemo", "--benchmark", "toy"),
        "report": lambda out: ("report", catalog, out, "--benchmark", "toy"),
        "plant": lambda out: (*planted, out),
    }[name]
    expected = curate(forks, *words(home / "out"))
    whole = files_below(home / "out")
    (home / "out").rename(home / "before")
    writer = held(forks, INTO[name], *words(home / "out"))
    refused = curate(forks, *words(home / "out"))
    first = writer.go_on()
    untold = told_badly(refused, refused=True, says=("another process",))
    for done in (expected, first):
        untold += told_badly(done, refused=False)
    left = sorted(path.name for path in home.iterdir() if path.name not in ("catalog", "catalog.toml", "before", "out"))
    return tried_one(
        during=name,
        fault="a second one into its folder",
        point=INTO[name],
        lost=changed(files_below(home / "out"), whole),
        half_written=tuple(f"{one} is left beside it" for one in left),
        untold=untold,
    )


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
