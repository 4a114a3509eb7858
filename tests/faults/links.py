"""Links planted in a catalog and beside an output folder, and corpora that lead out: nothing elsewhere is touched."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults import tiny
from tests.faults.account import Tried
from tests.faults.commands import copied, curate, told_badly
from tests.faults.watched import changed, opened_below, tree
from tests.forked import Forks

Words = tuple[object, ...]

IN_THE_CATALOG = (  # where a link is put, and whether it leads to a folder
    *(("results", True), ("cache", True), ("benchmarks", True), ("reviews", True), ("decisions", True)),
    *(("writer.lock", False), ("publishing.lock", False), ("reading.lock", False), ("runs/all.parquet.new", False)),
    *(("catalog.duckdb", False), ("catalog.duckdb.new", False), ("results/toy--test--scores.parquet.new", False)),
    *(("utterances/studio.parquet", False), ("README.md", False), ("reviews/ann.lock", False)),
)
SHORT = ("cache", "writer.lock", "runs/all.parquet.new", "reviews", "utterances/studio.parquet")
BESIDE = (("out", True), ("out.unfinished", True), ("out.unfinished.json", False), (".out.new", True))


def tried(folder: Path, made: Path, forks: Forks, *, full: bool) -> Iterator[Tried]:
    """Each link, and every command that might go through it."""
    for place, is_folder in IN_THE_CATALOG:
        if full or place in SHORT:
            yield planted(folder, made, forks, place, is_folder=is_folder, full=full)
    for place, is_folder in BESIDE if full else BESIDE[1:3]:
        yield beside(folder, made, forks, place, is_folder=is_folder, full=full)
    for name, lead_out in CORPORA.items():
        yield corpus(folder, forks, name, lead_out)


def planted(folder: Path, made: Path, forks: Forks, place: str, *, is_folder: bool, full: bool) -> Tried:
    """A link in a catalog that leads out of it: commands refuse in one line, or take the link itself away."""
    home = folder / place.replace("/", "-")
    catalog, victim = copied(made / "catalog", home / "catalog"), victim_in(home)
    link = catalog / place
    link.parent.mkdir(exist_ok=True)
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    link.symlink_to(victim if is_folder else victim / "secret.parquet")
    every: tuple[Words, ...] = (
        ("evaluate", "toy/test", made / "scores.parquet", "-c", catalog),
        ("decide", "studio/an/1", "drop", "-c", catalog, "--reviewer", "ann"),
        ("query", "select count(*) from results", "-c", catalog),
        ("build", made / "mine.toml", "-c", catalog),
        ("status", "-c", catalog),
        ("publish", catalog, "toy", home / "published"),
        ("run", tiny.write_pipeline(made, catalog)),
    )
    return none_touches(forks, victim, every if full else every[:3], "a link in the catalog", place)


def beside(folder: Path, made: Path, forks: Forks, place: str, *, is_folder: bool, full: bool) -> Tried:
    """A link where an output folder is written."""
    home = folder / f"beside-{place}"
    catalog, victim = copied(made / "catalog", home / "catalog"), victim_in(home)
    (home / place).symlink_to(victim if is_folder else victim / "secret.parquet")
    every: tuple[Words, ...] = (
        ("publish", catalog, "toy", home / "out"),
        ("export", catalog, home / "out", "--to", "nemo", "--benchmark", "toy"),
        ("report", catalog, home / "out", "--benchmark", "toy"),
        ("plant", tiny.write_pipeline(made, catalog), "--wrong-speaker", "0.2", "--to", home / "out"),
    )
    return none_touches(forks, victim, every if full else every[:1], "a link beside its folder", place)


def victim_in(home: Path) -> Path:
    """A folder that is nobody's business."""
    victim = home / "victim"
    victim.mkdir()
    (victim / "secret.parquet").write_bytes(b"PAR1 a secret of another user")
    (victim / "secret.wav").write_bytes(b"RIFF a secret of another user")
    return victim


def none_touches(forks: Forks, victim: Path, commands: tuple[Words, ...], fault: str, place: str) -> Tried:
    """Commands one after the other; what was done to the victim, and what was told badly."""
    before, untold = tree(victim), []
    with opened_below(victim) as opened:
        for words in commands:
            done = curate(forks, *words)
            untold += told_badly(done, refused=bool(done.returncode))
            if "a secret of" in done.stdout + done.stderr:
                untold.append(f"{words[0]}: tells what is elsewhere")
    return Tried(
        suite="hostile",
        during=", ".join(dict.fromkeys(str(words[0]) for words in commands)),
        fault=fault,
        point=place,
        lost=(*changed(before, tree(victim)), *dict.fromkeys(opened)),
        untold=tuple(untold),
    )


# ------------------------------------------------------------------------------------------------------------- corpora


def a_linked_file(root: Path, victim: Path) -> None:
    (root / "an" / "2.wav").symlink_to(victim / "secret.wav")


def a_linked_folder(root: Path, victim: Path) -> None:
    (root / "bo").symlink_to(victim)


def a_linked_table(root: Path, victim: Path) -> None:
    (root / "speakers.csv").symlink_to(victim / "secret.wav")


def rows_that_climb(root: Path, victim: Path) -> None:
    (root / "list.csv").write_text("path,speaker\n../victim/secret.wav,an\n", encoding="utf-8")


def rows_with_a_root(root: Path, victim: Path) -> None:
    (root / "list.csv").write_text(f"path,speaker\n{victim}/secret.wav,an\n", encoding="utf-8")


def rows_through_a_link(root: Path, victim: Path) -> None:
    (root / "inner").symlink_to(victim)
    (root / "list.csv").write_text("path,speaker\ninner/secret.wav,an\n", encoding="utf-8")


CORPORA: dict[str, Callable[[Path, Path], None]] = {
    one.__name__.replace("_", " "): one
    for one in (a_linked_file, a_linked_folder, a_linked_table, rows_that_climb, rows_with_a_root, rows_through_a_link)
}


def corpus(folder: Path, forks: Forks, name: str, lead_out: Callable[[Path, Path], None]) -> Tried:
    """`curate run` over a corpus that leads out of its root: refused before anything of it is opened."""
    home = folder / name.replace(" ", "-")
    (home / "corpus" / "an").mkdir(parents=True)
    victim = victim_in(home)
    (home / "corpus" / "an" / "1.wav").write_bytes(b"RIFF")
    lead_out(home / "corpus", victim)
    is_listed = (home / "corpus" / "list.csv").exists()
    reader = 'reader = "manifest"\nmanifest = "list.csv"' if is_listed else 'reader = "folder"'
    text = f'name = "toy"\ncatalog = "catalog"\n[[corpora]]\nname = "toy"\n{reader}\nroot = "corpus"\n'
    (home / "p.toml").write_text(text, encoding="utf-8")
    before = tree(victim)
    with opened_below(victim) as opened:
        done = forks.run(scan, home / "p.toml", argv=("curate", "scan", name))
    return Tried(
        suite="hostile",
        during="scan",
        fault="a corpus that leads out of its root",
        point=name,
        lost=(*changed(before, tree(victim)), *dict.fromkeys(opened)),
        untold=told_badly(done, refused=True),
    )


def scan(pipeline_file: Path) -> None:
    """What a run does first, without Prefect; ends as the command line does."""
    from curate.catalog import Catalog
    from curate.config import load_pipeline
    from curate.errors import VoxcurateError
    from flows import cli, reading

    try:
        pipeline = load_pipeline(pipeline_file)
        reading.scan(pipeline, Catalog(pipeline.catalog, drafts=True), "toy")
    except VoxcurateError as error:
        cli.refuse(str(error))
