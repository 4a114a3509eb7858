"""The demo runs to its end, accounts for every fault that it planted, and learns from what it kept."""

import csv
import re
from pathlib import Path

import pytest

from curate.catalog import Catalog
from curate.schema import SPLITS, TRIALS
from flows import demo

EERS = re.compile(r"^trained +vietsv-demo \(0\.2 M parameters(?:, \d+ s)?\): EER ([\d.]+) % before, ([\d.]+) % after")
FEW_STEPS = ("--set", "batches.passes=1", "--set", "epochs=6")  # as the fixture has them: the rest is as it is given


@pytest.mark.usefixtures("prefect_server")
def test_the_demo_accounts_for_every_planted_fault_learns_and_says_where_things_lie(curate, demo_made):
    root, told = demo_made / "whole", (demo_made / "told").read_text(encoding="utf-8")
    with (root / "corpora" / "truth.csv").open(encoding="utf-8", newline="") as file:
        planted = [row["fault"] for row in csv.DictReader(file)]
    accounts = re.findall(r"^(\w+) +(\d+)/(\d+) +(.+)$", told, flags=re.MULTILINE)
    assert {fault: int(total) for fault, _, total, _ in accounts} == {f: planted.count(f) for f in set(planted)}
    for fault, found, total, missed in accounts:
        assert int(total) - int(found) == (0 if missed == "-" else len(missed.split(", "))), fault
        assert int(found) > int(total) / 2, f"{fault}: hardly any was found"
    for place in ("catalog", "catalog/lists/demo.txt", "catalog/README.md", "run"):
        assert (root / place).exists()
        assert str(root / place) in told
    before, after = eers(told)
    assert after < before
    assert "expected another folder" in curate("demo", root, "--seed", "2").stderr
    trained = contents(root / "run")
    again = curate("demo", root, *FEW_STEPS)
    assert again.stdout.startswith("Nothing to do")
    assert "Nothing to train" in again.stderr
    assert eers(again.stdout) == (before, after)
    assert contents(root / "run") == trained


def eers(told: str) -> tuple[float, float]:
    before, after = next(filter(None, map(EERS.match, told.splitlines()))).groups()
    return float(before), float(after)


def contents(run: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.fixture
def curated(tmp_path):
    """As far as training asks before it begins."""
    for table in (SPLITS, TRIALS):
        path = Catalog(tmp_path / "catalog").path(table, "demo")
        path.parent.mkdir(parents=True)
        path.write_text(f"a {table.name}")
    return tmp_path


@pytest.fixture
def trainings(monkeypatch):
    """What a training found of its run, one after another; each takes one step, and every second one is the last."""
    from flows import training

    found = []

    def step(recipe, settings, catalog, *, out, **rest):
        out.mkdir(exist_ok=True)
        found.append(len(list(out.iterdir())))
        (out / ("step" if found[-1] == 0 else demo.ENCODER)).touch()

    monkeypatch.setattr(training, "train_on_split", step)
    return found


def test_a_demo_that_was_killed_while_it_trained_goes_on_and_is_trained_once(curated, trainings):
    assert demo.train(curated) is not None
    assert demo.train(curated) is None, "the seconds are not those of the whole"
    assert demo.train(curated) is None
    assert trainings == [0, 1]


@pytest.mark.parametrize("table", [SPLITS, TRIALS], ids=lambda table: table.name)
def test_another_catalog_is_trained_on_anew(curated, trainings, table):
    for _ in range(2):
        demo.train(curated)
    Catalog(curated / "catalog").path(table, "demo").write_text("another")
    assert demo.train(curated) is not None
    assert trainings == [0, 1, 0]


def test_another_setting_is_trained_anew(curated, trainings):
    for _ in range(2):
        demo.train(curated, ["epochs=2"])
    demo.train(curated, ["epochs=3"])
    assert trainings == [0, 1, 0]
