"""EmoDB's ten actors in age groups: the design and the recipes of `examples/emodb`, from the command line."""

import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.protocol import load_protocol
from curate.catalog import Catalog
from curate.schema import CLASS_RESULTS, SPLITS
from flows.cli import app
from models.data.labels import classes_of, codes
from models.data.speech import of_split
from tests.flows.protocols_made import filled, section

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[2] / "examples" / "emodb"
DESIGN, ADVERSARIAL, MIXUP = (EXAMPLES / f"{name}.toml" for name in ("design", "adversarial", "mixup"))
SCHEME = load_protocol(str(DESIGN)).filters.age_scheme
FEW = ("--set", "epochs=1", "--set", "steps_an_epoch=3", "--set", "readers=1", "--device", "cpu")


def told_by(*words) -> str:
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(corpora, tmp_path_factory):
    """A catalog of EmoDB as `curate run` leaves it where it finds no fault, and the benchmark of the design."""
    folder = tmp_path_factory.mktemp("emodb")
    filled(folder, [section("emodb", "emodb", corpora / "emodb")])
    told = told_by("build", DESIGN, "-c", folder / "catalog")
    assert told.startswith("emodb-ages: 535 utterances in 3 splits")
    return folder


@pytest.fixture(autouse=True)
def quiet(folder, monkeypatch, caplog):
    """A handler of the command line would outlive the stream that it writes to."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))


def test_nobody_is_in_two_splits_and_all_but_dev_have_both_sexes_and_all_groups():
    catalog = Catalog(Path("catalog"))
    speech = {split: of_split(catalog, "emodb-ages", split) for split in ("train", "dev", "eval")}
    assert {split: len(some.people) for split, some in speech.items()} == {"train": 5, "dev": 2, "eval": 3}
    assert len({who for some in speech.values() for who in some.people}) == 10
    assert {split: {*some.sex} for split, some in speech.items()} == {key: {"female", "male"} for key in speech}
    groups = {key: codes(some, classes_of(SCHEME), SCHEME)["age_group"].tolist() for key, some in speech.items()}
    assert {key: {*some} for key, some in groups.items()} == {"train": {0, 1, 2}, "dev": {1, 2}, "eval": {0, 1, 2}}
    assert len(catalog.read(SPLITS, "emodb-ages")) == 535


def figures(run: str) -> set[str]:
    """The tasks of which there are figures of a run."""
    rows = Catalog(Path("catalog")).read(CLASS_RESULTS, f"emodb-ages--eval--{run}").to_pylist()
    return {row["task"] for row in rows if row["metric"] == "macro f1" and 0 <= row["value"] <= 1}


def test_the_adversarial_recipe_is_trained_and_measured_on_it():
    words = ("-c", "catalog", "--benchmark", "emodb-ages")
    told_by("train", ADVERSARIAL, *words, "--dev", "dev", *FEW, "--set", "validate_s=1.0")
    about = json.loads(Path("runs/emodb-adversarial/run.json").read_text())
    assert about["recipe"]["settings"]["scheme"] == SCHEME
    assert about["recipe"]["settings"]["discriminators"] == ["young", "senior"]
    assert (about["speech"]["people"], about["validation"]["list"]) == (5, "held-out-dev")
    with Path("runs/emodb-adversarial/steps.csv").open() as file:
        assert {"age_group", "am_softmax", "young", "senior"} <= {*file.readline().strip().split(",")}
    said = told_by("test", "runs/emodb-adversarial", *words, "--device", "cpu")
    assert said.startswith("emodb-adversarial: emodb-ages, split eval, 166 utterances of 3 people")
    assert figures("emodb-adversarial") == {"age_group"}


def test_the_recipe_of_the_mixup_system_is_trained_and_measured_on_it():
    words = ("-c", "catalog", "--benchmark", "emodb-ages")
    told_by("train", MIXUP, *words, "--hold-out", "0", *FEW)
    assert json.loads(Path("runs/emodb-mixup/run.json").read_text())["recipe"]["settings"]["scheme"] == SCHEME
    told_by("test", "runs/emodb-mixup", *words, "--device", "cpu")
    assert figures("emodb-mixup") == {"sex", "age_group", "age_subgroup"}
