"""The whole path, from a pipeline file to what is published, in other surroundings: every byte is to be the same.

`python -m tests.faults.order FOLDER SURROUNDINGS` is the process that goes it, in a folder that `lay_out` has made.
"""

import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

from curate.catalog import Catalog
from curate.schema import RUNS
from tests.faults.account import Tried
from tests.faults.around import HOMES, Surroundings
from tests.faults.watched import changed

ROOT = Path(__file__).parents[2]
NAME = "small"
PIPELINE = """
name = "{name}"
catalog = "catalog"
seed = 1

[runner]
workers = {workers}

[[corpora]]
name = "one"
reader = "librispeech"
root = "{corpora}/LibriSpeech"
include = ["test-other/*/*/*[0-2].flac"]

[[corpora]]
name = "Iki"
reader = "folder"
root = "{corpora}/folders"
licence = "CC0-1.0"
language = "tr"

[embedding]
utterances_per_block = 4
decoders = {workers}

[cleaning]
preset = "vietsv"

[splits]
num_test_speakers = 3
sex_balanced = false

[trials]
cross_session_targets = false
same_sex_nontargets = false
max_nontargets = 40

[ages]
schemes = ["leq29"]
"""
PROTOCOL = """
name = "built"
version = 1
title = "Built"
paper = "None"
description = "Everybody is tested."
differences = []
seed = 3

[[sources]]
name = "all"
readers = ["librispeech", "folder"]

[[splits]]
name = "test"
sources = ["all"]
num = 3

[[splits]]
name = "train"
sources = ["all"]

[[trials]]
name = "test"
split = "test"
targets = {}
nontargets = { max_trials = 30 }

[[metrics]]
name = "eer"
"""
READERS = ("1688", "1998", "2033")  # who is in the first corpus
OTHERS = {"3005": "Đặng İpek", "3331": "ılgın", "1688": "Zoë"}  # and in the second, of whom one is in both
COMMANDS = {  # what is told of each is kept, under its name
    "run": ("run", "small.toml"),
    "build": ("build", "built.toml", "-c", "catalog"),
    "score": ("score", NAME, "-c", "catalog", "--as-norm", "2", "--out", "scores.parquet"),
    "evaluate": (
        *("evaluate", f"{NAME}/test", "scores.parquet", "-c", "catalog", "--metric", "eer", "--metric", "cllr"),
        *("--by", "corpus", "--pictures", "pictures"),
    ),
    "kaldi": ("export", "catalog", "kaldi", "--to", "kaldi", "--benchmark", NAME),
    "lhotse": ("export", "catalog", "lhotse", "--to", "lhotse", "--benchmark", NAME),
    "nemo": ("export", "catalog", "nemo", "--to", "nemo", "--benchmark", NAME),
    "wespeaker": (
        *("export", "catalog", "wespeaker", "--to", "wespeaker", "--benchmark", NAME, "--telephone"),
        *("--workers", "{workers}"),
    ),
    "publish": (
        *("publish", "catalog", NAME, "published", "--audio", "--insist", "--date", "2026-01-02"),
        *("--maker", "Ipek"),
    ),
    "report": ("report", "catalog", "report", "--benchmark", NAME),
    "audit": ("audit", "leakage", "-c", "catalog", "--benchmark", NAME, "--json"),
}


def lay_out(corpora: Path, libri: Path, *, seed: int) -> None:
    """Make the corpora of the pipeline, with their files created in the order of that seed."""
    files = {f"LibriSpeech/{name}.TXT": libri / f"{name}.TXT" for name in ("SPEAKERS", "CHAPTERS", "BOOKS")}
    for path in sorted(libri.glob("test-other/*/*/*")):
        reader, last = path.parts[-3], path.stem[-1]
        if reader in READERS and (last in "012" or path.suffix == ".txt"):
            files[f"LibriSpeech/test-other/{'/'.join(path.parts[-3:])}"] = path
        if reader in OTHERS and last in "234" and path.suffix == ".flac":
            files[f"folders/{OTHERS[reader]}/{path.parts[-2]}/{path.name}"] = path
    names = sorted(files)
    random.Random(seed).shuffle(names)
    for name in (name for name in names if files[name].exists()):
        (corpora / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[name], corpora / name)


Process = Callable[[Path, Surroundings], subprocess.CompletedProcess[str]]


def fresh(folder: Path, surroundings: Surroundings) -> subprocess.CompletedProcess[str]:
    """The whole path in a new process of Python."""
    words = [sys.executable, "-m", "tests.faults.order", str(folder), json.dumps(asdict(surroundings))]
    around = dict(os.environ) | surroundings.environment(folder) | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, env=around, cwd=ROOT, capture_output=True, text=True, check=False)


def go(folder: Path, corpora: Path, surroundings: Surroundings, process: Process = fresh) -> dict[str, bytes]:
    """Go the whole path in such surroundings; the bytes of all that came of it, by its place in the folder.

    AssertionError with what the process wrote, where it failed.
    """
    folder.mkdir(parents=True)
    told = {"name": NAME, "workers": surroundings.workers, "corpora": corpora}
    (folder / "small.toml").write_text(PIPELINE.format_map(told), encoding="utf-8")
    (folder / "built.toml").write_text(PROTOCOL, encoding="utf-8")
    done = process(folder, surroundings)
    assert done.returncode == 0, done.stderr
    return contents(folder)


def main(folder: Path, surroundings: Surroundings) -> None:
    """Carry out every command, and keep what it tells but for where the folder lies."""
    os.chdir(folder)
    surroundings.enter()
    from flows.cli import app

    for name, words in COMMANDS.items():
        said = io.StringIO()
        with redirect_stdout(said):
            app([word.format(workers=surroundings.workers) for word in words], standalone_mode=False)
        place = Path("told", name)
        place.parent.mkdir(exist_ok=True)
        place.write_text(said.getvalue().replace(str(folder), "FOLDER"), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is to be the same, with the folder's name where a list has it: what `wespeaker` reads has paths.

    Without caches and settings, and of `runs` without the moments.
    """
    here = str(folder).encode()
    found = {
        str(place): (folder / place).read_bytes().replace(here, b"FOLDER")
        for place in sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        if place.parts[0] not in (HOMES, "small.toml")
        and place.parts[:2] not in (("catalog", "cache"), ("catalog", "runs"))
        and place.parts not in (("catalog", "writer.lock"), ("catalog", "catalog.duckdb"))
    }
    rows = Catalog(folder / "catalog").read(RUNS).drop_columns(["started_at", "finished_at"]).to_pylist()
    return found | {"runs": json.dumps(rows, ensure_ascii=False).encode()}


USUAL = Surroundings()
OTHER = Surroundings(
    zone="Pacific/Kiritimati",
    locale="tr_TR.UTF-8",
    hash_seed="1",
    listing="reversed",
    cores=4,
    workers=3,
    umask=0o077,
    days=40,
    machine="other",
    user="jürgen",
)


EACH = {
    "all at once": OTHER,
    **{f"{key} {value}": replace(USUAL, **{key: value}) for key, value in asdict(OTHER).items()},
    **{f"zone {zone}": replace(USUAL, zone=zone) for zone in ("America/St_Johns", "Asia/Kathmandu")},
    **{f"locale {name}": replace(USUAL, locale=name) for name in ("C", "de_DE.UTF-8")},
    "hash_seed random": replace(USUAL, hash_seed="random"),
    "listing shuffled": replace(USUAL, listing="shuffled"),
}


def tried(folder: Path, libri: Path, *, full: bool = False, process: Process = fresh) -> Iterator[Tried]:
    """What came of the whole path in other surroundings: of all of them at once, or in full of each by itself too.

    `process` is who goes it as usual; what came of that is left in `usual`. `libri` is the folder of LibriSpeech.
    """
    corpora = folder / "corpora"
    lay_out(corpora, libri, seed=1)
    usual = go(folder / "usual", corpora, USUAL, process)
    for what, surroundings in (EACH if full else {"all at once": OTHER}).items():
        yield _told(what, changed(usual, go(folder / "other", corpora, surroundings)))
        shutil.rmtree(folder / "other")
    if full:
        shutil.rmtree(corpora)
        lay_out(corpora, libri, seed=2)
        yield _told("files created in another order", changed(usual, go(folder / "other", corpora, USUAL)))


def _told(what: str, places: Iterable[str]) -> Tried:
    told = tuple(f"{place} has other bytes" for place in places)
    return Tried(suite="order", during="the whole path", fault=what, point="from the pipeline file on", lost=told)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Surroundings(**json.loads(sys.argv[2])))
