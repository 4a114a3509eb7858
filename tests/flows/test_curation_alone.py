"""A pipeline without `[splits]` ends with the ages; benchmarks of published designs are built from its catalog."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate.catalog import Catalog
from curate.config import load_pipeline
from curate.errors import PipelineError
from curate.schema import AGE_LABELS, LEAKS, RESULTS, SPLITS, TRIALS
from flows import steps
from flows.cli import app
from flows.pipeline import run
from flows.reading import require_own_catalog
from flows.running import curate_file

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("prefect_server")]

WITHOUT = ("[splits]", "num_test_speakers = 4", "[trials]", "cross_session_targets = false", "max_nontargets = 40")
STALE = "libri-vox: no longer what `curate build` would make of this catalog; run it again"


def without_splits(file: Path) -> Path:
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(line for line in lines if line not in WITHOUT) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def curated(tmp_path_factory, write_pipeline, prefect_server) -> Path:
    """The small pipeline without its benchmark, run once: its file."""
    file = without_splits(write_pipeline(tmp_path_factory.mktemp("alone")))
    done = run(file)
    assert [step.step for step in done][-1] == "ages"
    return file


@pytest.fixture
def pipeline(curated, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(curated.parent, tmp_path / "copy")
    return tmp_path / "copy" / curated.name


def told_by(*words) -> str:
    """What a command prints; in this process, whose code is one all the while."""
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def catalog(pipeline) -> Catalog:
    return Catalog(pipeline.parent / "catalog")


def test_it_ends_with_the_ages_and_its_card_says_what_was_curated(pipeline, catalog, curate):
    assert catalog.parts(AGE_LABELS) == ["all"]
    assert [table.name for table in (SPLITS, TRIALS, RESULTS) if catalog.parts(table)] == []
    card = (catalog.root / "README.md").read_text(encoding="utf-8")
    assert "This pipeline curates and draws no test." in card
    assert "splits/" not in card
    assert "## What was decided" in card
    assert not (catalog.root / "lists").exists()
    assert steps.is_complete(load_pipeline(pipeline), Catalog(catalog.root, drafts=True))
    told = curate("export", catalog.root, pipeline.parent / "out", "--to", "kaldi")
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1


def test_a_published_design_is_built_from_it_and_told_when_verdicts_outdate_it(pipeline, catalog, contents, caplog):
    with caplog.at_level("INFO", "voxcurate"):
        told = told_by("build", "libri-vox", "-c", catalog.root)
    assert any(line.startswith("build: list libri-test-other: ") for line in caplog.messages)
    assert told.endswith(f"its card: {catalog.root}/benchmarks/libri-vox/README.md\n")
    lines = (catalog.root / "benchmarks/libri-vox/lists/libri-test-other.txt").read_text(encoding="utf-8").splitlines()
    assert {line[0] for line in lines} <= {"0", "1"}
    assert all(len(line.split()) == 3 for line in lines)
    assert set(catalog.read(SPLITS)["split"].to_pylist()) == {"speech-test"}
    assert catalog.parts(LEAKS) == ["libri-vox"]
    before = contents(catalog.root)
    assert curate_file(pipeline) == f"Nothing to do: {catalog.root} is complete."
    assert contents(catalog.root) == before
    pipeline.write_text(pipeline.read_text(encoding="utf-8").replace("iqr_factor = 1.5", "iqr_factor = 0.2"))
    assert "clean" in [step.step for step in run(pipeline) if step.changed]
    assert catalog.parts(SPLITS) == ["libri-vox"]
    assert curate_file(pipeline).splitlines()[1:] == [STALE]
    assert told_by("status", "-c", catalog.root).splitlines()[-1] == STALE
    num_before = len(catalog.read(SPLITS))
    assert "nothing to do" not in told_by("build", "libri-vox", "-c", catalog.root)
    assert len(catalog.read(SPLITS)) < num_before
    assert curate_file(pipeline) == f"Nothing to do: {catalog.root} is complete."


def test_a_benchmark_comes_and_goes_with_its_section(pipeline, catalog, curate, write_pipeline):
    told_by("build", "libri-vox", "-c", catalog.root)
    write_pipeline(pipeline.parent)
    run(pipeline)
    assert catalog.parts(SPLITS) == ["libri-vox", "small"]
    assert (catalog.root / "lists" / "small.txt").exists()
    told = curate("export", catalog.root, pipeline.parent / "out", "--to", "kaldi")
    assert (told.returncode, told.stderr) == (
        1,
        f"curate: {catalog.root} holds libri-vox, small; expected `--benchmark` to name one\n",
    )
    without_splits(pipeline)
    run(pipeline)
    assert [catalog.parts(table) for table in (SPLITS, TRIALS, RESULTS)] == [["libri-vox"], ["libri-vox"], []]
    assert not (catalog.root / "lists" / "small.txt").exists()
    assert steps.is_complete(load_pipeline(pipeline), Catalog(catalog.root, drafts=True))


def test_another_pipeline_is_refused_also_where_neither_has_a_benchmark(pipeline, catalog):
    other = pipeline.with_name("other.toml")
    other.write_text(pipeline.read_text(encoding="utf-8").replace('name = "small"', 'name = "other"'), encoding="utf-8")
    told = "filled by the pipeline 'small'; expected its file, or another `catalog` for 'other'"
    with pytest.raises(PipelineError, match=told):
        require_own_catalog(load_pipeline(other), catalog)
    with pytest.raises(PipelineError, match=told):
        run(other)


def test_the_steps_of_a_benchmark_cannot_be_had_without_its_section(pipeline, catalog):
    with pytest.raises(
        PipelineError, match="small: no section `\\[splits\\]`; expected one that says who is in the test"
    ):
        steps.split(load_pipeline(pipeline), catalog)
