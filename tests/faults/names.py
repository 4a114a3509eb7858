"""Names that are SQL, markup, paths or worse: they stay what they are, wherever they go, or are refused in one line."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq

from curate.catalog import Catalog
from curate.schema import UTTERANCES
from tests.faults import tiny
from tests.faults.account import Tried
from tests.faults.commands import Done, contents, copied, curate, told_badly
from tests.forked import Forks

ODD = (
    "'; DROP TABLE utterances; --",
    '" OR "a"="a" /*',
    "../../../etc/passwd",
    "new\nline\r\ttab",
    "\u202eright to left\u200f",
    "Tha\u0309o",  # not composed, beside the same composed
    "Thảo",
    "<script>alert(1)</script>",
    "{{ 7*7 }}{% raw %}${x}%s",
    "| a | b |",
    "x" * 3_000,
)
NAMES = ("../'; DROP TABLE x; --", "a\nb\0", "x" * 300, "..", "/etc", "", ".", "a b")  # of corpora and benchmarks


def tried(folder: Path, forks: Forks, *, full: bool) -> Iterator[Tried]:
    """Speakers and utterances with such names, through every command; then names of corpora and benchmarks."""
    odd = ODD if full else (*ODD[:5], *ODD[-2:])
    forks.run(tiny.write_tiny, folder / "odd", odd).check_returncode()
    catalog = folder / "odd" / "catalog"
    for command, words in commands(folder, catalog, full=full).items():
        yield through(folder, catalog, forks, command, words)
    yield asked_back(catalog, forks, odd)
    for at, name in enumerate(NAMES if full else NAMES[:3]):
        yield in_the_pipeline_file(folder / f"named-{at}", catalog, forks, name)


def commands(folder: Path, catalog: Path, *, full: bool) -> dict[str, tuple[object, ...]]:
    """Each writes, or prints, what the catalog says."""
    one = "odd/'; DROP TABLE utterances; --"
    short = {
        "why": ("why", one, "-c", catalog),
        "decide": ("decide", f"{one}/1", "drop", "-c", catalog, "--reviewer", "ann", "--note", ODD[0]),
        "publish": ("publish", catalog, "toy", folder / "published"),
        "score": ("score", "toy", "-c", catalog),
    }
    if not full:
        return short
    forms = ("nemo", "kaldi", "lhotse", "speechbrain", "wespeaker", "huggingface", "voxceleb")
    exports = {f"export --to {to}": ("export", catalog, folder / to, "--to", to, "--benchmark", "toy") for to in forms}
    built = {"build": ("build", folder / "odd" / "mine.toml", "-c", catalog)}
    return short | built | exports | {"report": ("report", catalog, folder / "report", "--benchmark", "toy")}


def through(folder: Path, catalog: Path, forks: Forks, command: str, words: tuple[object, ...]) -> Tried:
    """One command; it may refuse, in one line without a control character, and leaves nothing but its folder."""
    before, beside = contents(catalog), {path.name for path in folder.iterdir()}
    done = curate(forks, *words)
    after = contents(catalog)
    lost = [name for name, content in before.items() if after.get(name) != content]
    may_refuse = command == "build" or command.startswith("export")  # of forms, and lists, that hold words alone
    untold = told_badly(done, refused=may_refuse and bool(done.returncode))
    came = {path.name for path in folder.iterdir()} - beside - {str(Path(str(word)).name) for word in words}
    scripts = [fault for page in (folder / "report").rglob("*.html") for fault in would_run(page.read_text("utf-8"))]
    return Tried(
        suite="hostile",
        during=command,
        fault="names that are SQL, paths or markup",
        point="speakers and utterances",
        lost=tuple(name for name in lost if not name.startswith("reviews/")),
        half_written=tuple(f"{name} was left" for name in sorted(came)),
        untold=(*untold, *scripts, *controls(done)),
    )


def asked_back(catalog: Path, forks: Forks, odd: tuple[str, ...]) -> Tried:
    """A query gives every name as it was put in, and no table has gone."""
    done = curate(forks, "query", "select speaker_id from utterances where corpus = 'odd'", "-c", catalog, "--json")
    found = {row["speaker_id"] for row in json.loads(done.stdout or "[]")}
    stored = set(pq.read_table(Catalog(catalog).path(UTTERANCES, "odd"), partitioning=None)["speaker_id"].to_pylist())
    expected = {f"odd/{name}" for name in odd}
    return Tried(
        suite="hostile",
        during="query",
        fault="names that are SQL, paths or markup",
        point="asked for again",
        lost=tuple(sorted(repr(name)[:80] for name in (found ^ expected) | (stored ^ expected))),
        untold=told_badly(done, refused=False),
    )


def in_the_pipeline_file(home: Path, catalog: Path, forks: Forks, name: str) -> Tried:
    """A corpus and a benchmark of such a name are refused before anything is made."""
    copied(catalog, home / "catalog")
    file = home / "p.toml"
    quoted = '"' + "".join(f"\\U{ord(one):08x}" for one in name) + '"'
    corpus = f'[[corpora]]\nname = {quoted}\nreader = "folder"\nroot = "{catalog.parent / "odd"}"\n'
    file.write_text(f'name = {quoted}\ncatalog = "catalog"\n{corpus}', encoding="utf-8")
    before = sorted(str(path) for path in home.rglob("*"))
    done = curate(forks, "run", file)
    return Tried(
        suite="hostile",
        during="run",
        fault="names that are SQL, paths or markup",
        point=f"corpus and benchmark {name[:30]!r}",
        half_written=tuple(set(map(str, home.rglob("*"))) ^ set(before)),
        untold=(*told_badly(done, refused=True), *controls(done)),
    )


def controls(done: Done) -> tuple[str, ...]:
    """Signs that would write over, or turn around, what a terminal shows."""
    told = done.stdout + done.stderr
    found = {sign for sign in told if sign in "\0\r\x1b\x7f\x85\u2028\u2029\u200e\u200f\u202a\u202b\u202c\u202d\u202e"}
    return tuple(f"{done.args[1]} prints {sign!r}" for sign in sorted(found))


class Page(HTMLParser):
    """What of a page would run, or fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag] * (tag in ("script", "iframe", "object", "embed", "base"))
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith(("javascript:", "http:", "https:")):
                self.found.append(f"{tag} {name}")


def would_run(text: str) -> list[str]:
    """Elements and attributes of a page that would."""
    page = Page()
    page.feed(text)
    return [f"the page has {one}" for one in page.found]
