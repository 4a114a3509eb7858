"""EmoDB's ten actors in age groups: the design and the recipe of `examples/`, from the command line to the figures."""

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

EXAMPLES = Path(__file__).parents[2] / "examples"
DESIGN, RECIPE = EXAMPLES / "emodb-ages.toml", EXAMPLES / "emodb-age.toml"
SCHEME = load_protocol(str(DESIGN)).filters.age_scheme
FEW = ("--set", "epochs=1", "--set", "steps_an_epoch=3", "--set", "readers=1", "--device", "cpu")
TINY = {"channels": 16, "pooled_channels": 24, "attention_channels": 8, "se_channels": 8, "dimension": 16}


def told_by(*words) -> str:
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(corpora, tmp_path_factory):
    """A catalog of EmoDB as `curate run` leaves it where it finds no fault, and the benchmark of the design."""
    folder = tmp_path_factory.mktemp("emodb")
    filled(folder, [section("emodb", "emodb", corpora / "emodb")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.cli.show_progress", lambda: None)
        told = told_by("build", DESIGN, "-c", folder / "catalog")
    assert told.startswith("emodb-ages: 535 utterances in 3 splits")
    return folder


@pytest.fixture(autouse=True)
def quiet(folder, monkeypatch, caplog):
    """A handler of the command line would outlive the stream that it writes to."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))


def test_nobody_is_in_two_splits_and_training_hears_both_sexes_and_all_groups():
    catalog = Catalog(Path("catalog"))
    speech = {split: of_split(catalog, "emodb-ages", split) for split in ("train", "dev", "eval")}
    assert {split: len(some.people) for split, some in speech.items()} == {"train": 5, "dev": 2, "eval": 3}
    assert len({who for some in speech.values() for who in some.people}) == 10
    assert {split: {*some.sex} for split, some in speech.items()} == {key: {"female", "male"} for key in speech}
    groups = codes(speech["train"], classes_of(SCHEME), SCHEME)["age_group"]
    assert {*groups.tolist()} == {0, 1, 2}, "all are labelled"
    assert len(catalog.read(SPLITS, "emodb-ages")) == 535


def figures(run: str) -> dict[str, dict[str, float]]:
    """Macro F1 of each task of a run."""
    rows = Catalog(Path("catalog")).read(CLASS_RESULTS, f"emodb-ages--eval--{run}").to_pylist()
    return {row["task"]: row["value"] for row in rows if (row["class_name"], row["metric"]) == ("all", "macro f1")}


def test_the_age_recipe_of_the_examples_is_trained_and_measured_on_it():
    words = ("-c", "catalog", "--benchmark", "emodb-ages")
    told_by("train", RECIPE, *words, "--dev", "dev", *FEW, "--set", "validate_s=1.0")
    about = json.loads(Path("runs/emodb-age/run.json").read_text())
    assert about["recipe"]["settings"]["scheme"] == SCHEME
    assert about["recipe"]["settings"]["discriminators"] == ["young", "senior"]
    assert (about["speech"]["people"], about["validation"]["list"]) == (5, "held-out-dev")
    with Path("runs/emodb-age/steps.csv").open() as file:
        assert {"age_group", "am_softmax", "young", "senior"} <= {*file.readline().strip().split(",")}
    said = told_by("test", "runs/emodb-age", *words, "--device", "cpu")
    assert said.startswith("emodb-age: emodb-ages, split eval, 149 utterances of 3 people")
    assert figures("emodb-age").keys() == {"age_group"}


def test_a_recipe_of_the_mixup_system_takes_the_groups_of_the_design():
    words = ("-c", "catalog", "--benchmark", "emodb-ages")
    sizes = [word for key, size in TINY.items() for word in ("--set", f"settings.network.{key}={size}")]
    told_by("train", "mixup-ecapa-ch", *words, "--hold-out", "0", *FEW, *sizes, "--set", f"settings.scheme={SCHEME}")
    assert json.loads(Path("runs/mixup-ecapa-ch/run.json").read_text())["recipe"]["settings"]["scheme"] == SCHEME
    told_by("test", "runs/mixup-ecapa-ch", *words, "--device", "cpu")
    assert figures("mixup-ecapa-ch").keys() == {"sex", "age_group", "age_subgroup"}
