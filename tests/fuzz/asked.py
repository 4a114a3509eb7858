"""Subjects that a user writes and hands to a command: settings, designs, recipes, lists, scores, verdicts; catalogs."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from benchmarks.list_files import read_models
from benchmarks.protocol import in_words, load_protocol
from benchmarks.protocol import names as designs
from curate.config import load_pipeline
from curate.errors import VoxcurateError
from curate.schema import TABLES
from curate.verdict_files import read_verdicts
from curate.verify import faults_of
from flows.cli import app
from flows.publishing import Asked, publish_benchmark
from models.training.systems import in_toml
from tests.flows.published_made import write_catalog
from tests.fuzz.subjects import Subject, anew, of_folder, of_texts
from tests.pages.catalogs_made import review_catalog

ROOT = Path(__file__).parents[2]


def command(*words: str | Path) -> str:
    """What `curate` prints, called in this process. What `main` tells in one line is raised as a VoxcurateError."""
    out = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(io.StringIO()):
            typer.main.get_command(app).main([str(one) for one in words], standalone_mode=False)
    except click.ClickException as error:
        raise VoxcurateError(error.format_message()) from error
    except OSError as error:
        if error.filename is None:
            raise  # a line that names nobody
        raise VoxcurateError(f"{error.filename}: {error.strerror}") from error
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------------- settings


def pipeline_files(folder: Path) -> list[Subject]:
    """Those that come with Voxcurate, and one with every kind of section."""
    demo = (ROOT / "benchmarks/demo/pipeline.toml").read_text().format(seed=1)
    files = {"demo.toml": demo, "real.toml": (ROOT / "examples/real.toml").read_text(), "all.toml": ALL_SECTIONS}
    return [of_texts("pipeline files", anew(folder / "pipelines"), files, load_pipeline)]


ALL_SECTIONS = """
name = "all"
catalog = "c"
[[corpora]]
name = "a"
reader = "speechbrain"
root = "a"
manifest = { train = "train.csv", test = "test.json" }
replacements = { data_root = "." }
include = ["*.wav"]
exclusions = ["leave.txt"]
[[corpora]]
name = "b"
reader = "vlsp2020"
root = "~/b"
pattern = '(?P<speaker>[^/]+)/.*'
[[corpora]]
name = "c"
reader = "lhotse"
root = "s3://bucket/c"
cuts = "cuts.jsonl.gz"
max_duration_s = 10.5
[splits]
num_test_speakers = 4
test_from = ["a", "b"]
[embedding]
extractor = "transformers"
source = "microsoft/wavlm-base"
layer = 9
part = "windows"
[runner]
kind = "dask"
address = "tcp://host:8786"
[cleaning]
preset = "vietsv"
[identities]
min_similarity = 0.8
without_duplicates = ["a"]
guards = ["sex", "age"]
[duplicates]
min_span = 0.4
[ages]
schemes = ["leq17"]
[trials]
p_target = 0.05
[card]
title = "All"
makers = ["x"]
"""


def design_files(folder: Path) -> list[Subject]:
    """Protocols, ours and the example's, read and put into words."""
    files = {f"{name}.toml": (ROOT / f"benchmarks/protocols/{name}.toml").read_text() for name in designs()}
    files["digits.toml"] = (ROOT / "examples/digits/design.toml").read_text()
    return [of_texts("designs", anew(folder / "designs"), files, lambda path: in_words(load_protocol(str(path))))]


def recipe_files(folder: Path) -> list[Subject]:
    """Recipes over a published one, read and written out."""
    files = {"demo.toml": (ROOT / "benchmarks/demo/recipe.toml").read_text()}
    files |= {
        "digits.toml": (ROOT / "examples/digits/recipe.toml").read_text(),
        "adversarial.toml": (ROOT / "examples/emodb/adversarial.toml").read_text(),
    }
    return [of_texts("recipes", anew(folder / "recipes"), files, lambda path: in_toml(str(path)))]


# ---------------------------------------------------------------------------------------------------- lists and scores

TRIALS = "1 an-1 an-2\n0 an-1 bình-1\n1 bình-1 bình-2\n0 an-2 bình-2\n"
KALDI = "an-1 an-2 target\nan-1 bình-1 nontarget\nbình-1 bình-2 target\nan-2 bình-2 nontarget\n"
PEOPLE = "an-1 an\nan-2 an\nbình-1 bình\nbình-2 bình\n"
SIDES = tuple(line.split()[1:] for line in TRIALS.splitlines())
SCORES = (0.9, 0.2, 0.7, -0.1)


def trial_lists(folder: Path) -> list[Subject]:
    """Lists in every form and who speaks in them, evaluated beside scores that fit the whole list."""
    root = anew(folder / "trials")
    rows = [{"enrol": one, "test": other, "is_target": at % 2 == 0} for at, (one, other) in enumerate(SIDES)]
    files = {"voxceleb.txt": TRIALS, "kaldi.txt": KALDI, "list.parquet": _parquet(rows)}
    scores = folder / "fitting.txt"
    scores.write_text(_scores("{0} {1} {2}"))
    people = of_texts(
        "people", root, {"utt2spk": PEOPLE}, lambda path: _evaluate(root / "voxceleb.txt", scores, people=path)
    )
    lists = of_texts("trial lists", root, files, lambda path: _evaluate(path, scores, people=root / "utt2spk"))
    models = of_texts("models", root, {"models.txt": "m an-1 an-2\nn bình-1\n"}, read_models)
    return [lists, people, models]


def score_files(folder: Path) -> list[Subject]:
    """Scores in every form, evaluated over a whole list."""
    root = anew(folder / "scores")
    (folder / "whole.txt").write_text(TRIALS)
    rows = [
        {"enrol_id": one, "test_id": other, "score": score} for (one, other), score in zip(SIDES, SCORES, strict=True)
    ]
    files = {
        "kaldi.txt": _scores("{0} {1} {2}"),
        "wespeaker.txt": _scores("{0} {1} {2} {3}"),
        "normed.txt": _scores("{0} {1} {2} {3} 0.5 0.5 0.1 0.2"),
        "speechbrain.txt": _scores("{0} {1} {4} {2}"),
        "trainer.txt": _scores("{2} {0} {1}"),
        "tabs.txt": _scores("{0}\t{1}\t{2}"),
        "scores.parquet": _parquet(rows),
    }
    return [of_texts("scores", root, files, lambda path: _evaluate(folder / "whole.txt", path))]


def _scores(form: str) -> str:
    truth = [line[0] == "1" for line in TRIALS.splitlines()]
    rows = zip(SIDES, SCORES, truth, strict=True)
    return "".join(
        form.format(*names, score, "target" if is_one else "nontarget", int(is_one)) + "\n"
        for names, score, is_one in rows
    )


def _parquet(rows: list[dict]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def _evaluate(trials: Path, scores: Path, people: Path | None = None) -> None:
    command("evaluate", trials, scores, "--json", *(() if people is None else ("--people", people)))


# ------------------------------------------------------------------------------------------------ verdicts, catalogs


def verdict_files(folder: Path) -> list[Subject]:
    """Of reviewers, as `curate decide --file` reads them."""
    catalog = review_catalog(anew(folder / "reviewed"))
    rows = ("one/ann/1,keep,,utterance,heard", "one/ann,merge,one/bob,pair,", 'two/cem,drop,,,"a, b"')
    text = "".join(f"{row}\n" for row in ("subject_id,verdict,other_id,subject,note", *rows))
    return [
        of_texts("verdicts", anew(folder / "verdicts"), {"said.csv": text}, lambda path: read_verdicts(path, catalog))
    ]


def catalogs(folder: Path) -> list[Subject]:
    """Two catalogs, of which one table is damaged: every command that reads says one line, or reads what it needs."""
    reviewed = review_catalog(anew(folder / "catalog of reviews"))
    built = write_catalog(anew(folder / "catalog of a benchmark"))
    return [
        of_folder("reviewed catalog", reviewed.root, lambda path: _every(reviewed.root, path, OF_REVIEWS)),
        of_folder("benchmark catalog", built.root, lambda path: _every(built.root, path, OF_BENCHMARKS)),
    ]


OF_REVIEWS = (("status",), ("why", "one/ann"), ("why", "one/ann/1"), ("reviews",), ("corpora",))
OF_BENCHMARKS = (("status",), ("why", "studio/an"), ("corpora",), ("audit", "leakage"))


def _every(root: Path, damaged: Path, commands: tuple[tuple[str, ...], ...]) -> None:
    """All of them, and a query of the table that is damaged; raises the first that was told."""
    table = damaged.parent.name
    told = []
    for words in (*commands, *([("query", f"SELECT * FROM {table}")] if table in TABLES else [])):
        try:
            command(*words, "-c", root)
        except VoxcurateError as error:
            told.append(error)
    out = anew(root.parent / "out")
    try:
        if commands is OF_BENCHMARKS:
            command("export", root, out / "kaldi", "--to", "kaldi")
    except VoxcurateError as error:
        told.append(error)
    if told:
        raise told[0]


def published_folders(folder: Path) -> list[Subject]:
    """A published data set, verified: what is wrong with it is told, a line each."""
    made = write_catalog(anew(folder / "to publish"))
    out = folder / "published"
    publish_benchmark(made, "toy", out, Asked(has_audio=False, insists=True))

    def read(path: Path) -> None:
        if told := faults_of(out):
            raise VoxcurateError(told[0])

    return [of_folder("published folder", out, read)]
