"""What faults strike: runs, reviews, a publication and a training, each from its beginning to what it leaves."""

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

import flows.cli
from curate.catalog import Catalog, read_parquet
from curate.schema import RUNS, UTTERANCES
from flows.cli import main
from tests.faults.layer import Change
from tests.flows.pipelines_made import SMALL
from tests.forked import SCRIPT

GOLDEN = Path(__file__).parents[1] / "golden"
VIEWS = "catalog.duckdb"
Left = Mapping[str, bytes]  # what a job promises, by its name


@dataclass(frozen=True)
class Command:
    """A call for a process of its own."""

    call: Callable[..., object]
    arguments: tuple[object, ...] = ()
    argv: tuple[str, ...] = ("-c",)


class Job:
    """Work in a folder of its own that may be struck at any moment, and is then begun again."""

    name: str

    def begin(self, folder: Path) -> None:
        """Put there what is there before."""

    def command(self, folder: Path) -> Command:
        """What is done, and done again after a fault."""
        raise NotImplementedError

    def left(self, folder: Path) -> Left:
        """What can be read there, and is promised. Raises what its reader raises where that is not whole."""
        raise NotImplementedError

    def blocks(self, folder: Path) -> dict[str, int]:
        """Finished blocks of work, and when each was written (ns)."""
        return {}

    def may_be(self, name: str, content: bytes) -> bool:
        """Whether a crash may leave this, which is neither as before nor as at the end."""
        return False

    def acknowledged(self, told: str) -> set[str]:
        """What the job has said on its standard output to be kept, as `left` names it."""
        return set()

    def is_done(self, told: str) -> bool:
        """Whether it says, when it is begun again, that there is nothing to do; it may end with an error then."""
        return False

    def during(self, change: Change) -> str:
        """What was going on, in a word."""
        return self.name


def of_curate(*words: str | Path) -> Command:
    """`curate` with these words."""
    return Command(main, (), (str(SCRIPT), *map(str, words)))


class Run(Job):
    """`curate run` over five readers of LibriSpeech, 24 utterances in six blocks."""

    name = "run"
    iqr_factor = 1.5

    def __init__(self, libri: Path) -> None:
        self._libri = libri

    def begin(self, folder: Path) -> None:
        text = SMALL.format(libri=self._libri, seed=1, iqr_factor=self.iqr_factor, num_test=4)
        (folder / "small.toml").write_text(text, encoding="utf-8")

    def command(self, folder: Path) -> Command:
        return of_curate("run", folder / "small.toml")

    def left(self, folder: Path) -> Left:
        root = folder / "catalog"
        files = [file for file in root.rglob("*") if file.is_file() and file.relative_to(root).parts[0] != "cache"]
        found = {}
        for file in files:
            if file.suffix == ".parquet":
                read_parquet(file, verify=True)
            if file.suffix != ".lock":
                found[str(file.relative_to(root))] = file.read_bytes()
        if (timed := f"{RUNS.name}/all.parquet") in found:
            found[timed] = _untimed(root)
        if VIEWS in found:
            found[VIEWS] = _views(root)
        return found

    def blocks(self, folder: Path) -> dict[str, int]:
        found = (folder / "catalog" / "cache" / "embeddings").glob("*/*.parquet")
        return {file.name: file.stat().st_mtime_ns for file in found}

    def during(self, change: Change) -> str:
        parts = (change.other or change.path).parts
        inside = parts[parts.index("catalog") + 1 :] if "catalog" in parts else ()
        match inside:
            case ("cache", "scanned" | "files", *_):
                return "scan"
            case ("cache", "embeddings" | "embedding", *_):
                return "embed"
            case ("cache", "draft", "corpora" | "utterances", *_):
                return "ingest"
            case ("cache", "draft", "splits" | "trials" | "leaks" | "results", *_):
                return "benchmark"
            case ("cache", *_):
                return "clean"
        return "publish tables"


class RunAgain(Run):
    """The same over what it has published, with another threshold: most tables change."""

    name = "run again"
    iqr_factor = 0.5

    def __init__(self, libri: Path, published: Path) -> None:
        super().__init__(libri)
        self._published = published

    def begin(self, folder: Path) -> None:
        super().begin(folder)
        shutil.copytree(self._published, folder / "catalog")


class Reviews(Job):
    """A reviewer says eight things of a curated catalog, one after the other."""

    name = "review"

    def __init__(self, published: Path) -> None:
        self._published = published

    def begin(self, folder: Path) -> None:
        shutil.copytree(self._published, folder / "catalog", ignore=shutil.ignore_patterns("cache"))

    def command(self, folder: Path) -> Command:
        return Command(say_what_is_not_said, (folder / "catalog",), (str(SCRIPT),))

    def left(self, folder: Path) -> Left:
        from curate.reviews import said

        found: dict[str, bytes] = {}
        for row in said(Catalog(folder / "catalog")).to_pylist():
            name = row["subject_id"]
            while name in found:
                name += " again"
            found[name] = f"{row['reviewer']} {row['verdict']} {row['num_before']}".encode()
        return found

    def acknowledged(self, told: str) -> set[str]:
        return set(re.findall(r"^ann: drop utterance (\S+)\. ", told, flags=re.MULTILINE))


def say_what_is_not_said(root: Path) -> None:
    """`curate decide` on eight utterances, as far as that was not done: it prints a line for each that is kept."""
    from curate.reviews import said

    catalog = Catalog(root)
    before = set(said(catalog)["subject_id"].to_pylist())
    for one in sorted(catalog.read(UTTERANCES)["utterance_id"].to_pylist())[:8]:
        if one not in before:
            sys.argv = [*sys.argv[:1], "decide", one, "drop", "--reviewer", "ann", "--catalog", str(root)]
            try:
                main()
            except SystemExit as end:
                if end.code:
                    raise


class Publication(Job):
    """`curate publish` of a benchmark, as a folder that is there whole or not at all."""

    name = "publish"

    def __init__(self, published: Path) -> None:
        self._published = published

    def command(self, folder: Path) -> Command:
        return of_curate("publish", self._published, "small", folder / "out", "--insist", "--date", "2026-01-02")

    def is_done(self, told: str) -> bool:
        return "is there already" in told

    def left(self, folder: Path) -> Left:
        out = folder / "out"
        return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()}


class Migration(Job):
    """`curate migrate` of a catalog of the first version."""

    name = "migrate"

    def begin(self, folder: Path) -> None:
        shutil.copytree(GOLDEN / "version-1", folder / "catalog")

    def command(self, folder: Path) -> Command:
        return of_curate("migrate", folder / "catalog")

    def left(self, folder: Path) -> Left:
        root = folder / "catalog"
        files = [file for file in root.rglob("*") if file.is_file() and file.suffix != ".lock"]
        kept = [file for file in files if file.relative_to(root).parts[0] not in ("before", VIEWS)]
        return {str(file.relative_to(root)): file.read_bytes() for file in kept}


class Training(Job):
    """A training of two epochs with a checkpoint after each of its six steps."""

    name = "train"

    def __init__(self, tones: Path) -> None:
        self._tones = tones

    def command(self, folder: Path) -> Command:
        return Command(train, (self._tones, folder / "run"))

    def left(self, folder: Path) -> Left:
        from models.training import checkpoints

        run = folder / "run"
        if not run.exists():
            return {}
        files = [*run.glob("*.json"), *run.glob("*.csv"), *run.glob("*.parquet"), *run.glob("encoder/*")]
        found = {str(file.relative_to(run)): file.read_bytes() for file in files if file.name != "run.json"}
        for name in set(found) & {"steps.csv", "validations.csv"}:
            found[name] = _without_rates(found[name])
        for place in (run / "checkpoints").glob("*"):
            if not place.suffix:  # else it is unfinished, or being removed
                found[f"checkpoints/{place.name}"] = repr(checkpoints.load(place).state).encode()
        return found

    def may_be(self, name: str, content: bytes) -> bool:
        """Checkpoints come and go, tables grow, and what was best is not so for long."""
        return True


def train(tones: Path, folder: Path) -> None:
    """The run of `tests.models.training.test_run`, on one thread, with faults told as the command tells them."""
    import torch

    from tests.models.training.test_run import begun

    torch.set_num_threads(1)
    flows.cli.app = partial(begun, tones, folder)
    main()


def _without_rates(table: bytes) -> bytes:
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    kept = [{key: value for key, value in row.items() if key != "utterances_per_s"} for row in rows]
    return json.dumps(kept).encode()


def _views(root: Path) -> bytes:
    """What the views of DuckDB are; the bytes of its file are never twice the same."""
    with duckdb.connect(root / VIEWS, read_only=True) as connection:
        found = connection.execute("select view_name, sql from duckdb_views() where not internal order by 1").fetchall()
    return json.dumps(found).replace(str(root), "").encode()


def _untimed(root: Path) -> bytes:
    """Which steps `runs` tells of; when, and in which words, depends on when they were done."""
    rows: list[dict[str, Any]] = Catalog(root).read(RUNS).to_pylist()
    return json.dumps(sorted([row["step"], row["part"], row["fingerprint"]] for row in rows)).encode()
