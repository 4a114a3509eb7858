"""The commands on catalogs of earlier versions: refused in one line, migrated by `curate migrate`, and then as ever."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from curate.catalog import Catalog
from curate.errors import CatalogError
from curate.query import write_database
from curate.schema import VERSION
from flows.cli import app
from pages.review.app import create_app
from pages.review.guard import Door
from tests.pages.conftest import Visitor
from tests.pages.visits import look

GOLDEN = Path(__file__).parents[1] / "golden"
WITHOUT = {"demo", "verify", "migrate"}  # are given no catalog that was there before, or bring it up


def copied(version, folder):
    """A golden catalog beside the files that a user has; its audio is gone."""
    shutil.copytree(GOLDEN / f"version-{version}", folder / "catalog")
    write_database(Catalog(folder / "catalog"))
    for name in ("pipeline", "design", "recipe"):
        shutil.copy(GOLDEN / f"{name}.toml", folder)
    shutil.copy(GOLDEN / "pipeline.toml", folder / "judge.toml")
    return folder


COMMANDS = {
    "run": ("pipeline.toml",),
    "query": ("select 1", "-c", "catalog"),
    "why": ("studio/lan", "-c", "catalog"),
    "status": ("-c", "catalog"),
    "corpora": ("-c", "catalog"),
    "export": ("catalog", "out/kaldi", "--to", "kaldi", "--benchmark", "golden"),
    "build": ("design.toml", "-c", "catalog"),
    "score": ("golden", "-c", "catalog", "--out", "scores.parquet"),
    "evaluate": ("golden/test", "scores.parquet", "-c", "catalog"),
    "compare": ("ge2e", "scores", "--trials", "golden/test", "-c", "catalog"),
    "train": ("recipe.toml", "-c", "catalog"),
    "test": ("runs/golden", "-c", "catalog"),
    "plant": ("pipeline.toml", "--to", "out/planted", "--wrong-sex", "0.5"),
    "review": ("catalog", "--no-open", "--port", "0"),
    "decide": ("studio/lan", "keep", "-c", "catalog", "--reviewer", "zoe"),
    "undo": ("studio/lan", "-c", "catalog", "--reviewer", "zoe"),
    "reviews": ("-c", "catalog"),
    "publish": ("catalog", "golden", "out/published"),
    "report": ("catalog", "out/report", "--benchmark", "golden"),
    "audit leakage": ("-c", "catalog", "--benchmark", "golden"),
    "audit circularity": ("pipeline.toml", "--judge", "judge.toml"),
}
NOT_HERE = {
    "run",
    "train",
    "test",
    "review",
    "audit circularity",
}  # need audio, an encoder or a browser; tested elsewhere


@pytest.fixture(autouse=True)
def quiet(monkeypatch, caplog):
    """A handler of the command line would outlive the stream that it writes to."""
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))


def asked(command, *more):
    return CliRunner().invoke(app, [*command.split(), *COMMANDS.get(command, ()), *more])


def names_of(group, above=""):
    for name, command in group.commands.items():
        yield from names_of(command, f"{above}{name} ") if hasattr(command, "commands") else [f"{above}{name}"]


def test_every_command_that_opens_a_catalog_is_among_those_that_are_tried():
    assert COMMANDS.keys() | WITHOUT == set(names_of(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return copied(1, tmp_path_factory.mktemp("old"))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_in_one_line_what_to_do_with_a_catalog_of_an_earlier_version(old, command, monkeypatch):
    monkeypatch.chdir(old)
    before = contents(old)
    told = asked(command)
    assert isinstance(told.exception, CatalogError), told.output
    line = "catalog: a catalog of version 1; this Voxcurate reads version 2: run `curate migrate "
    assert line in str(told.exception)
    assert "\n" not in str(told.exception)
    assert told.stdout == ""
    assert contents(old) == before


@pytest.fixture(scope="module", params=range(1, VERSION))
def migrated(request, tmp_path_factory):
    """A golden catalog of an earlier version, migrated by the command."""
    folder = copied(request.param, tmp_path_factory.mktemp("migrated"))
    told = CliRunner().invoke(app, ["migrate", str(folder / "catalog")])
    assert told.exit_code == 0, told.output
    assert f"from version {request.param} to {VERSION}, 4 files changed" in told.output
    return folder


def test_every_command_works_on_a_golden_catalog_once_it_is_migrated(migrated, monkeypatch):
    monkeypatch.chdir(migrated)
    for command in (one for one in COMMANDS if one not in NOT_HERE):  # later ones take what earlier ones left
        told = asked(command)
        assert told.exit_code == 0, f"{command}: {told.output} {told.exception!r}"
    assert json.loads(asked("query", "--json").output) == [{"1": 1}]
    assert "drop" in asked("reviews").output
    assert {"kaldi", "planted", "published", "report"} == set(os.listdir("out"))
    visitor = Visitor(create_app(Catalog(Path("catalog")), Door(host="127.0.0.1", port=8765)))
    assert "a door" in visitor.get(look("utterance", "studio/lan/s1/lan-s1-01")).text


def test_migrate_is_undone_by_the_command(tmp_path):
    root = copied(1, tmp_path) / "catalog"
    before = contents(root)
    for words in (["migrate", str(root)], ["migrate", str(root), "--undo"]):
        told = CliRunner().invoke(app, words)
        assert told.exit_code == 0, told.output
        assert len(told.output.splitlines()) == 1
    assert contents(root) == before
