"""What is written about the project is true of it."""

import re
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.protocol import load_protocol
from curate.config import Ages, Card, Identities, Runner, Splits, Trials, load_pipeline
from curate.corpora import READERS
from curate.export import FORMS
from curate.hearing import Hearing
from curate.presets import Duplicates, Robust, VietSV
from curate.reasons import MEANING, Reason
from curate.schema import TABLES, as_markdown
from flows.cli import app
from models.training.systems import recipe_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"
COMMANDS = [
    *(command.name or command.callback.__name__ for command in app.registered_commands),
    *(
        f"{group.name} {command.name or command.callback.__name__}"
        for group in app.registered_groups
        for command in group.typer_instance.registered_commands
    ),
]


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if (ROOT / line).exists()]


def test_the_readme_names_every_file_outside_tests_and_no_other():
    tree = README.split("<!-- tree -->")[1]
    named = set(re.findall(r"^- `([^`]+)`", tree, flags=re.MULTILINE))
    expected = {file for file in tracked() if not file.startswith("tests/") and not file.endswith("__init__.py")}
    assert named - {"tests/"} == expected


def test_the_tables_are_described_as_the_schema_has_them():
    written = (DOCS / "tables.md").read_text(encoding="utf-8")
    assert written == as_markdown()  # python -c "from curate.schema import as_markdown; print(as_markdown(), end='')"


def test_every_reason_has_a_meaning():
    assert set(MEANING) == set(Reason)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_helped_with_an_example_and_named_in_the_readme(command):
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert f"Example: curate {command}" in shown.output
    assert f"curate {command}" in README


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_is_named_in_the_readme(reader):
    assert f"`{reader}`" in README


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_named_where_the_catalog_is_told(table):
    assert f"`{table}`" in (DOCS / "catalog.md").read_text(encoding="utf-8")


def test_every_dependency_has_its_reason():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = pyproject.split("dependencies = [")[1].split("[project.scripts]")[0]
    asked = set(re.findall(r'^\s+"([a-z0-9-]+)', block, flags=re.MULTILINE))
    reasons = (DOCS / "dependencies.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert {name for name in asked if name not in reasons} == {"voxcurate"}  # `dev` takes its other extras


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-lowest.txt"])
def test_the_constraints_hold_every_dependency_and_no_address(name):
    lines = (ROOT / name).read_text(encoding="utf-8").split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    assert {"torch==2.11.0", "torchaudio==2.11.0"} <= set(lines)


EXAMPLES = ROOT / "examples"
PIPELINES = sorted([*EXAMPLES.glob("*.toml"), *EXAMPLES.glob("*/pipeline.toml")])
DESIGNS = sorted(EXAMPLES.glob("*/design.toml"))
RECIPES = sorted({*EXAMPLES.rglob("*.toml")} - {*PIPELINES, *DESIGNS})


def named(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


@pytest.mark.parametrize("example", PIPELINES, ids=named)
def test_every_example_is_a_valid_pipeline(example):
    assert load_pipeline(example).name


@pytest.mark.parametrize("example", DESIGNS, ids=named)
def test_or_a_valid_design(example):
    assert load_protocol(str(example)).name


@pytest.mark.parametrize("example", RECIPES, ids=named)
def test_or_a_valid_recipe(example):
    assert recipe_of(str(example)).name


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """The corpora of docs/corpora.md, as one pipeline."""
    text = (DOCS / "corpora.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    file = tmp_path_factory.mktemp("docs") / "pipeline.toml"
    head = 'name = "all"\ncatalog = "catalog"\nsplits = { num_test_speakers = 2 }\n'
    file.write_text(head + "".join(blocks), encoding="utf-8")
    return load_pipeline(file).corpora


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_has_a_valid_section_in_the_docs(reader, sections):
    assert reader in {corpus.reader for corpus in sections}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_named_where_exporting_is_told(form):
    assert f"| `{form}` |" in (DOCS / "exporting.md").read_text(encoding="utf-8")


LEAST = {  # what an example may leave out because it shows other sections
    "name": 'name = "x"\n',
    "catalog": 'catalog = "x"\n',
    "splits": "splits = { num_test_speakers = 2 }\n",
    "corpora": 'corpora = [{ name = "x", reader = "folder", root = "x" }]\n',
}


@pytest.mark.parametrize("page", ["README.md", "docs/clusters.md", "docs/encoders.md"])
def test_examples_of_pipeline_files_are_valid(page, tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        head = "".join(line for key, line in LEAST.items() if key not in tomllib.loads(block))
        (tmp_path / "pipeline.toml").write_text(head + block, encoding="utf-8")
        assert load_pipeline(tmp_path / "pipeline.toml").corpora


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_pages_lead_to_files_that_there_are(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for place in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (DOCS / place).is_file(), place
    for place in re.findall(r"`((?:docs|examples|benchmarks|models)/[a-z0-9_/-]+\.(?:md|toml|py))`", text):
        assert (ROOT / place).is_file(), place


def test_and_so_does_the_readme():
    for place in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / place).is_file(), place


SECTIONS = [Runner, Duplicates, Robust, VietSV, Identities, Ages, Splits, Trials, Card, *Hearing.__subclasses__()]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_stands_among_the_settings(section):
    told = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert {key.name for key in fields(section) if f"`{key.name}`" not in told} == set()


def test_every_promise_names_tests_that_there_are():
    text = (DOCS / "promises.md").read_text(encoding="utf-8")
    for promise in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", promise)
        assert named, promise.partition("\n")[0]
        for file, test in named:
            assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8"), (file, test)
