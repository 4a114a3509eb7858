"""All of the tool on a small corpus with odd names: nothing beside its catalog and its output folders is touched."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import soundfile

from benchmarks.demo.spoken import SAMPLE_RATE_HZ, Voice, speak
from curate.catalog import Catalog
from curate.schema import UTTERANCES
from tests.faults import tiny
from tests.faults.account import Tried
from tests.faults.commands import SCRIPT, carried_out, told_badly
from tests.faults.links import victim_in
from tests.faults.names import controls
from tests.faults.watched import changed, opened_below, tree
from tests.forked import Forks

SPEAKERS = ("'; DROP TABLE utterances; --", "<b>&", "\u202eolleh", "new line", "Tha\u0309o", "x" * 200)
TEXTS = ("một hai ba bốn năm sáu bảy tám chín mười", "hôm nay trời đẹp lắm", "chúng tôi đi chợ mua cá và rau")
LIBRARIES = ("/.config/matplotlib", "/.cache/matplotlib")  # which keep their settings and lists of fonts at home
SYSTEM = ("/dev/", "/proc/", "/sys/")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def tried(folder: Path, forks: Forks) -> Iterator[Tried]:
    """A run, a benchmark, an export, a published folder and a report, one after the other; minutes."""
    write_corpus(folder / "corpus")
    victim, catalog, out = victim_in(folder), folder / "catalog", folder / "out"
    (folder / "mine.toml").write_text(tiny.PROTOCOL.replace('"studio", "calls", "odd"', '"toy"'), encoding="utf-8")
    (folder / "p.toml").write_text(
        'name = "toy"\ncatalog = "catalog"\n[[corpora]]\nname = "toy"\nreader = "folder"\nroot = "corpus"\n'
        'licence = "CC0-1.0"\n[splits]\nnum_test_speakers = 3\nsex_balanced = false\n'
        "[identities]\nmin_similarity = 0.95\n"
        "[trials]\ncross_session_targets = false\nsame_sex_nontargets = false\n",
        encoding="utf-8",
    )
    commands: tuple[tuple[object, ...], ...] = (
        ("run", folder / "p.toml"),
        ("build", folder / "mine.toml", "-c", catalog),
        ("why", f"toy/{SPEAKERS[0]}", "-c", catalog),
        ("export", catalog, out / "nemo", "--to", "nemo", "--benchmark", "toy", "--rate", "8000"),
        ("publish", catalog, "toy", out / "published", "--audio"),
        ("report", catalog, out / "report", "--benchmark", "toy"),
    )
    for words in commands:
        yield one(folder, forks, victim, words)
    labels = set(Catalog(catalog).read(UTTERANCES)["speaker_id"].to_pylist())
    lost = tuple(sorted({"toy/Thảo" if name == SPEAKERS[4] else f"toy/{name}" for name in SPEAKERS} - labels))
    yield Tried(suite="hostile", during="run", fault="odd names in a corpus", point="ingested", lost=lost)


def write_corpus(root: Path) -> None:
    """Six voices say three sentences each, in folders with odd names."""
    for number, name in enumerate(SPEAKERS):
        voice = Voice(
            language="vi", variant=("m1", "f1")[number % 2], pitch=10 + 15 * number, formant_scale=1 - 0.04 * number
        )
        (root / name).mkdir(parents=True)
        for take, text in enumerate(TEXTS):
            soundfile.write(root / name / f"{take}.wav", speak(text, voice), SAMPLE_RATE_HZ)


def one(folder: Path, forks: Forks, victim: Path, words: tuple[object, ...]) -> Tried:
    """One command; what lies beside its catalog and its folder is as it was, and what is written is told by Python."""
    aside, beside = Path(tempfile.mkdtemp()) / "written", surroundings(folder)
    with opened_below(victim) as opened:
        done = forks.start(noting_writes, folder, aside, argv=(str(SCRIPT), *map(str, words)))()
    written = aside.read_text("utf-8").splitlines() if aside.exists() else []
    shutil.rmtree(aside.parent)
    return Tried(
        suite="hostile",
        during=str(words[0]),
        fault="whatever lies beside",
        point="a whole command",
        lost=(*changed(beside, surroundings(folder)), *dict.fromkeys(opened), *dict.fromkeys(written)),
        untold=(*told_badly(done, refused=False), *controls(done)),
    )


def surroundings(folder: Path) -> dict[str, str]:
    """All of the folder but the catalog and what is put out; of the folder itself the names."""
    ours = ("catalog", "out")
    return {name: told for name, told in tree(folder).items() if name.partition("/")[0] not in ours}


def noting_writes(folder: Path, aside: Path) -> None:
    """Carry out the command, and note what Python opens for writing, renames, makes or removes elsewhere."""
    temporary = os.path.realpath(tempfile.gettempdir())
    ours = (f"{folder}/catalog", f"{folder}/out")
    noting = False

    def note(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal noting
        if noting or not (places := written_by(event, arguments)):
            return
        noting = True
        for place in map(os.path.realpath, places):
            is_scratch = place.startswith(temporary) and not place.startswith(str(folder))
            is_of_a_library = "/__pycache__" in place or "numba" in place or any(one in place for one in LIBRARIES)
            if not (place.startswith((*ours, *SYSTEM)) or is_scratch or is_of_a_library):
                with aside.open("a", encoding="utf-8") as file:
                    file.write(f"{event} {place!r}\n")
        noting = False

    sys.addaudithook(note)
    carried_out()


def written_by(event: str, arguments: tuple[object, ...]) -> list[str]:
    """The places that something is written to, made at, or taken away from."""
    if event == "open":
        path, _, flags = arguments
        return [os.fsdecode(path)] if isinstance(path, str | bytes | os.PathLike) and int(str(flags)) & WRITES else []
    if event in ("os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"):
        several = (
            arguments[1:2] if event in ("os.link", "os.symlink") else arguments[: 2 if event == "os.rename" else 1]
        )
        return [os.fsdecode(one) for one in several if isinstance(one, str | bytes | os.PathLike)]
    return []
