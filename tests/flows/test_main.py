"""What `curate` does whatever the command: its version, its help, how it ends."""

import errno
import fcntl
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from curate.catalog import Catalog, rows_of
from curate.errors import CatalogError
from curate.reviews import said as reviews_of
from curate.reviews import standing
from curate.schema import REVIEWS, RUNS, UTTERANCES
from curate.turns import PUBLISHING, READING
from flows.cli import app, main
from tests.forked import ROOT


def test_the_version_is_said_without_what_takes_long_to_import():
    script = (
        "import sys; from typer.testing import CliRunner; from flows.cli import app; "
        "print(CliRunner().invoke(app, ['--version']).output, end=''); "
        "print(sorted({'torch', 'prefect', 'pyarrow', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == f"voxcurate {version('voxcurate')}\n[]\n"


@pytest.mark.parametrize("words", [[], ["audit"]], ids=["curate", "audit"])
def test_what_each_command_does_is_said_whole_in_the_list_of_commands(words):
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=80).output
    lines = shown.partition("Commands:\n")[2].strip("\n").splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("  ") and line.endswith(".") and not line.endswith("..") for line in lines)


# ------------------------------------------------------------------------------------------------------------- Ctrl-C

AGAIN = "; run it again, and it goes on from there"


@pytest.fixture
def ended(monkeypatch, capsys, tmp_path):
    """The exit code of a command, and what it writes, where something in it raises this."""

    def end(words: list[str], stopped_in: str, fault: BaseException) -> tuple[object, str, str]:
        def stop(*_: object, **__: object) -> None:
            raise fault

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("curate.export.chosen.benchmark_of", lambda *_: "any")
        monkeypatch.setattr(stopped_in, stop)
        monkeypatch.setattr("sys.argv", ["curate", *words])
        with pytest.raises(SystemExit) as told:
            main()
        return told.value.code, *capsys.readouterr()

    return end


@pytest.mark.parametrize(
    ("words", "stopped_in", "again"),
    [
        (["run", "any.toml"], "flows.cli.curate_file", AGAIN),
        (["demo", "any"], "flows.demo.speak", AGAIN),
        (["migrate", "any"], "curate.migration.migrate", AGAIN),
        (["plant", "any", "--to", "out"], "curate.config.load_pipeline", "; run it again: plantings that are complete"),
        (["export", "any", "out", "--to", "kaldi"], "curate.export.writing.export_benchmark", "; run it again: audio"),
        (["why", "one/anna"], "curate.explain.explain", ""),
        (["audit", "leakage"], "flows.leaking.measured", ""),
    ],
    ids=lambda one: " ".join(one[:1]) if isinstance(one, list) else "",
)
def test_ctrl_c_is_told_in_one_line_and_whether_the_same_command_goes_on(words, stopped_in, again, ended):
    code, out, err = ended(words, stopped_in, KeyboardInterrupt())
    assert (code, out) == (130, "")
    assert err.startswith(f"\ncurate: interrupted{again}")
    assert err.count("\n") == 2
    assert again or err == "\ncurate: interrupted\n"


def test_ctrl_c_before_any_command_is_told_too(ended):
    assert ended([], "flows.cli.app", SystemExit(130)) == (130, "", "\ncurate: interrupted\n")


def test_ctrl_c_ends_a_query_that_duckdb_would_compute_for_days(catalog):
    sql = "select count(*) from utterances, range(10_000_000), range(10_000_000)"
    running = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "query", sql, "-c", str(catalog.root)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while computed_ticks(running.pid) < 10:
        assert running.poll() is None, running.communicate()
    running.send_signal(signal.SIGINT)
    try:
        assert running.communicate(timeout=60) == ("", "\ncurate: interrupted\n")
    finally:
        running.kill()
    assert running.returncode == 130


def computed_ticks(process: int) -> int:
    """What the threads beside the first have computed, in hundredths of a second: Python imports in the first."""
    ticks = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            ticks += int((thread / "stat").read_text().rpartition(")")[2].split()[11]) * (thread.name != str(process))
    return ticks


def test_what_duckdb_raises_in_place_of_a_ctrl_c_is_told_as_one(ended):
    """It hears a Ctrl-C itself where it computes in the first thread. What else goes wrong there is not silenced."""
    told = f"\ncurate: interrupted{AGAIN}\n"
    assert ended(["run", "any.toml"], "flows.cli.curate_file", RuntimeError("Query interrupted")) == (130, "", told)
    code, _, err = ended(["run", "any.toml"], "flows.cli.curate_file", RuntimeError("a slip"))
    assert (code, err.startswith("Traceback "), err.endswith("\nRuntimeError: a slip\n")) == (1, True, True)


# ---------------------------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("fault", "code", "of_others", "told"),
    [
        (typer.Exit(1), 1, 1, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 2, 1, ""),
        (EOFError(), 2, 1, "\nAborted!\n"),
        (OSError(errno.EIO, "no luck", "some/file"), 2, 1, "curate: some/file: no luck\n"),
        (CatalogError("no luck"), 2, 1, "curate: no luck\n"),
        (ZeroDivisionError("a slip"), 2, 1, "\nZeroDivisionError: a slip\n"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, BaseException) else "",
)
def test_of_a_command_that_judges_1_is_its_judgement_and_nothing_else(fault, code, of_others, told, ended):
    judges = [(["audit", "leakage"], "flows.leaking.measured"), (["verify", "any"], "curate.verify.faults_of")]
    for words, stopped_in in judges:
        found, out, err = ended(words, stopped_in, fault)
        assert (found, out, err[-len(told) :] if told else err) == (code, "", told)
    assert ended(["why", "one/anna"], "curate.explain.explain", fault)[0] == of_others


# ------------------------------------------------------------------------------------------------- what reviewers said

SAID = "1 thing that reviewers said is not applied yet; `curate run FILE` does that\n"


@pytest.fixture
def catalog(tmp_path):
    """One utterance, which a reviewer dropped after the last run."""
    made, at = Catalog(tmp_path / "catalog"), datetime(2026, 1, 1, tzinfo=UTC)
    rows = {
        UTTERANCES: {"utterance_id": "one/ann/1", "corpus": "one", "speaker_id": "one/ann", "path": "1.wav"},
        REVIEWS: {"reviewer": "bob", "subject": "utterance", "subject_id": "one/ann/1", "verdict": "drop"},
        RUNS: {"run_id": "1", "step": "review", "part": "all", "finished_at": at, "summary": "nothing"},
    }
    rows[UTTERANCES] |= {"start_s": 0.0}
    rows[REVIEWS] |= {"num_before": 0, "said_at": at + timedelta(1)}
    rows[RUNS] |= {"num_rows": 0, "settings": "{}", "versions": "{}", "fingerprint": "f"}
    for table, row in rows.items():
        made.publish(table, rows_of(table, [row]), fingerprint="f")
    return made


@pytest.mark.parametrize(
    ("words", "works_in"),
    [
        (["export", "HERE", "out", "--to", "kaldi"], "curate.export.writing.export_benchmark"),
        (["publish", "HERE", "toy", "out"], "flows.publishing.publish_benchmark"),
        (["report", "HERE", "out"], "flows.reporting.write_report"),
        (["build", "libri-vox", "-c", "HERE"], "flows.building.build_benchmark"),
        (["status", "-c", "HERE"], ""),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_what_no_run_has_applied_is_told_by_what_is_made_of_the_catalog(words, works_in, catalog, monkeypatch):
    if works_in:
        monkeypatch.setattr(works_in, lambda *_, **__: "done")
    words = [str(catalog.root) if word == "HERE" else word for word in words]
    told = CliRunner().invoke(app, words, catch_exceptions=False)
    assert (told.stdout, told.stderr) == ("done\n", SAID) if works_in else told.stdout.endswith(f"\n{SAID}")
    catalog.publish(REVIEWS, rows_of(REVIEWS, []), fingerprint="g")
    told = CliRunner().invoke(app, words, catch_exceptions=False)
    assert (told.stdout, told.stderr) == ("done\n", "") if works_in else SAID not in told.output
    monkeypatch.setattr("flows.building.told_stale", lambda _: ["sitw: is old"])
    told = CliRunner().invoke(app, words, catch_exceptions=False)
    assert ("sitw: is old\n" in told.output) == (words[0] != "build")


def test_what_is_told_before_a_build_is_read_as_one_and_keeps_nobody_from_mending_what_broke_off(catalog, monkeypatch):
    def reading(_):
        with (catalog.root / READING).open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return ["told"]

    with catalog.locked():
        pass
    monkeypatch.setattr("curate.explain.not_applied", reading)
    monkeypatch.setattr("flows.building.build_benchmark", lambda *_: "done")
    for broke_off, said in (("", "told\n"), ("curate build libri-vox", "")):
        (catalog.root / PUBLISHING).write_text(broke_off)
        told = CliRunner().invoke(app, ["build", "libri-vox", "-c", str(catalog.root)], catch_exceptions=False)
        assert (told.stdout, told.stderr) == ("done\n", said)


def test_a_merge_of_a_woman_and_a_man_is_taken_with_a_remark_that_says_how_to_take_it_back(tmp_path):
    """Of labels whose rows all say one sex; kept apart they are nobody's slip."""
    catalog = Catalog(tmp_path / "some other's")
    sexes = {"ann": ["female", None], "b o'b": ["male"], "eve": ["female"], "kim": ["male", "female"], "lee": [None]}
    sexes["tom"] = ["male"]
    common = {"corpus": "one", "path": "1.wav", "start_s": 0.0}
    rows = [
        common | {"speaker_id": f"one/{name}", "utterance_id": f"one/{name}/{number}", "sex": sex}
        for name, said in sexes.items()
        for number, sex in enumerate(said)
    ]
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="one", fingerprint="f")

    def done(*words):
        told = CliRunner().invoke(app, [*words, "--reviewer", "zoe"], catch_exceptions=False)
        assert (told.exit_code, told.stdout.startswith("zoe: ")) == (0, True)
        return told.stderr

    def said(one, verdict, other):
        return done("decide", f"one/{one}", verdict, f"one/{other}", "-c", str(catalog.root))

    remark = said("b o'b", "merge", "ann")
    assert remark.startswith("one/ann is female and one/b o'b male, as their corpora have it; the merge is taken all ")
    assert len(standing(reviews_of(catalog))) == 1
    curate, *words = shlex.split(remark.split("`")[1])
    assert (curate, done(*words)) == ("curate", "")
    assert len(standing(reviews_of(catalog))) == 0
    assert said("tom", "keep", "ann") == ""
    silent = [("ann", "eve"), ("tom", "b o'b"), ("ann", "kim"), ("b o'b", "kim"), ("ann", "lee"), ("b o'b", "lee")]
    for one, other in [*silent, *(pair[::-1] for pair in silent)]:
        assert said(one, "merge", other) == ""
        done("undo", f"one/{one}", f"one/{other}", "-c", str(catalog.root))
