"""Whole runs, on tones, of the systems that learn by labels beside who speaks: ages, sexes, texts.

Their first steps, runs that go on, also in two processes, and the age systems from the command line.
"""

import json
import logging

import pytest
import torch
from typer.testing import CliRunner

from curate.catalog import Catalog, rows_of
from curate.schema import CLASS_RESULTS, DECISIONS, IDENTITIES, SPLITS
from flows.cli import app
from models import checkpoint
from models.training.systems import recipes
from tests.models.age_adversarial import systems_made as adversarial
from tests.models.labelled_runs_made import (
    OF_AGES,
    STOPPED,
    SYSTEMS,
    close,
    first_steps,
    golden,
    noted,
    of_system,
    one_of_two,
    reader_of,
    whole_and_stopped,
)
from tests.models.mixup_distillation import systems_made as mixup
from tests.models.training.test_engine import same_weights, states
from tests.models.training.tones_made import BENCHMARK, catalog_of, described, files_of, tones
from tests.models.training.two_processes import train_together

READ, KNEW = {"ctc", "too_long"}, {"aam_softmax"}
PARTS = READ | KNEW


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums are added up as they were when the losses were kept."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """The folder of an encoder of each architecture."""
    return mixup.teachers_in(tmp_path_factory.mktemp("teachers"))


# ------------------------------------------------------------------------------------------------- the first steps


@pytest.fixture(scope="module")
def readers():
    return {system: reader_of(system) for system in SYSTEMS}


@pytest.mark.parametrize("name", [name for system in SYSTEMS for name in of_system(system)])
def test_the_first_steps_of_a_recipe_are_those_that_were_kept(name, teachers, readers, tmp_path):
    recipe = recipes()[name]
    found = first_steps(recipe, teachers, readers[recipe.system], tmp_path / "run")
    assert close(found, golden(recipe.system)[name]), found


@pytest.mark.parametrize("system", OF_AGES)
def test_every_recipe_has_twenty_steps_in_which_its_rate_falls(system):
    kept = golden(system)
    assert sorted(kept) == sorted(of_system(system))
    assert {len(values) for curve in kept.values() for values in curve.values()} == {20}
    assert all(curve["lr"][-1] < curve["lr"][0] for curve in kept.values())
    losses = [tuple(value for values in curve.values() for value in values) for curve in kept.values()]
    assert len({*losses}) == len(losses), "no two recipes are one"


def test_every_recipe_of_texts_has_twenty_steps_that_thaw_of_batches_that_come_in_turn():
    kept = golden("disjoint_mtl")
    assert sorted(kept) == sorted(of_system("disjoint_mtl"))
    for name, curve in kept.items():
        to_a_step = 2 if "-dj-" in name else 1
        assert {len(values) for values in curve.values()} == {20 * to_a_step}
        rates = curve["lr"][::to_a_step]
        assert curve["lr"] == [rate for rate in rates for _ in range(to_a_step)]
        highest = 3e-5 if "ecapa" in name else 3e-4  # see `_of_texts`
        by_hand = [0.01, 0.505, *[1.0] * 9, *(0.05 ** (step / 10) for step in range(1, 10))]  # 2 up, 8 held, 10 down
        assert rates == pytest.approx([highest * share for share in by_hand], rel=1e-5)
        parts = [{part for part in PARTS if part in curve and curve[part][row] is not None} for row in range(to_a_step)]
        kind = name.split("-")[1]
        assert parts == {"asr": [READ], "skr": [KNEW], "joint": [READ | KNEW], "dj": [READ, KNEW]}[kind]
        assert "too_long" not in curve or any(curve["too_long"]), "a text longer than its frames"
    plain = {name: {**one.plain(), "name": "", "source": ""} for name, one in of_system("disjoint_mtl").items()}
    of_losses = {tuple(curve["loss"]): json.dumps(plain[name]) for name, curve in kept.items()}
    assert len(of_losses) == len({*map(json.dumps, plain.values())}) == 25, "some rows differ by their data alone"


# --------------------------------------------------------------------------------------------- runs that are stopped


def require_same(folder, num_batches=20):
    """Losses, rates, weights and what is remembered."""
    assert len(noted(folder / "whole")["loss"]) == num_batches
    assert noted(folder / "died") == noted(folder / "whole")
    one, other = states(folder / "died"), states(folder / "whole")
    assert same_weights(one.system, other.system)
    assert one.state == other.state


def require_frozen(system, teachers):
    """Its teacher is the encoder of the folder, to the last bit."""
    teacher = checkpoint.load(teachers["ecapa"]).network.state_dict()
    assert same_weights(
        {key.removeprefix("teacher.encoder."): some for key, some in system.items() if key.startswith("teacher.")},
        teacher,
    )


@pytest.mark.parametrize("name", STOPPED)
def test_a_run_that_died_within_an_epoch_goes_on_step_for_step(name, teachers, tmp_path):
    for place in ("whole", "died"):
        (tmp_path / place).mkdir()
    begun, _ = whole_and_stopped(name, teachers, tmp_path)
    assert begun == (4, 2), "of four batches, the third was learnt from in vain"
    require_same(tmp_path)
    rates = noted(tmp_path / "whole")["lr"]
    assert rates[12] < max(rates), "the rate had fallen before"
    if name.startswith("mixup"):
        require_frozen(states(tmp_path / "died").system, teachers)


@pytest.fixture(scope="module")
def together(loaded, tmp_path_factory):
    """What two processes did that trained together."""
    root = tmp_path_factory.mktemp("together")
    for name in STOPPED:
        for place in ("whole", "died"):
            (root / name / place).mkdir(parents=True)
    train_together(loaded, one_of_two, root)
    return root


@pytest.mark.parametrize("name", STOPPED)
def test_two_processes_that_died_go_on_step_for_step_and_have_the_same_weights(name, together, teachers):
    require_same(together / name, num_batches=18 if name in of_system("disjoint_mtl") else 20)
    weights = [torch.load(together / name / f"{number}.pt", weights_only=True) for number in range(2)]
    assert same_weights(*weights)
    assert same_weights(weights[0], {key: states(together / name / "died").system[key] for key in weights[0]})
    if name.startswith("mixup"):
        require_frozen(weights[1] | states(together / name / "died").system, teachers)


def test_two_processes_have_a_batch_of_each_kind_to_a_step(together):
    """The one that they cannot share is left out with the crops that come with it."""
    (name,) = {*STOPPED} & {*of_system("disjoint_mtl")}
    curve = noted(together / name / "whole")
    assert [one is None for one in curve["ctc"]] == [False, True] * 9
    assert [one is None for one in curve["aam_softmax"]] == [True, False] * 9


# ------------------------------------------------------------------------------------------- from the command line

YEARS = {"train": (22, 27, 35, 45, 55, 65), "dev": (25, 38, 62), "test": (24, 33, 48, 64)}
SPLIT_OF = {f"p{who}": split for who, split in enumerate(split for split, ages in YEARS.items() for _ in ages)}
AGE_OF = dict(zip(SPLIT_OF, (age for ages in YEARS.values() for age in ages), strict=True))
TINY = {"batches.utterances": 6, "batches.crop_s": [0.3, 0.3], "epochs": 2, "readers": 1, "settings.hidden": 10}


@pytest.fixture
def curate(tmp_path, monkeypatch, caplog):
    """The command beside a catalog of tones: people of all ages and both sexes, of whom six are trained on."""
    root = tones(tmp_path / "tones", num_people=len(SPLIT_OF), each=3)
    rows = [described(audio, root) for audio in files_of(root)]
    for row in rows:
        who = row["speaker_id"].removeprefix("tones/")
        sex = ("female", "male")[int(who[1:]) % 2]
        row |= {"sex": sex, "age_min_years": AGE_OF[who], "age_max_years": AGE_OF[who]}
    tested = [who for who, split in SPLIT_OF.items() if split == "test"]
    catalog = catalog_of(tmp_path / "catalog", root, utterances=rows, test=tested)
    splits = catalog.read(SPLITS, BENCHMARK).to_pylist()
    for row in splits:
        row["split"] = SPLIT_OF[row["identity_id"].removeprefix("tones/")]
    catalog.publish(SPLITS, rows_of(SPLITS, splits), part=BENCHMARK, fingerprint="y")
    catalog.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="clean", fingerprint="x")
    people = [{"speaker_id": f"tones/{who}", "identity_id": f"tones/{who}"} for who in sorted(SPLIT_OF)]
    catalog.publish(IDENTITIES, rows_of(IDENTITIES, people), fingerprint="x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))

    def command(*words, **settings):
        told = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        given = [*words, *told, "-c", "catalog", "--device", "cpu"]
        done = CliRunner().invoke(app, given, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return command


def figures(run, place):
    """The tasks of which there are figures of a run, and its macro F1 and contradiction."""
    rows = Catalog(place).read(CLASS_RESULTS, f"{BENCHMARK}--test--{run}").to_pylist()
    said = {(row["task"], row["metric"]): row["value"] for row in rows if row["class_name"] == "all"}
    return {row["task"] for row in rows}, said


def network(sizes):
    return {f"settings.network.{key}": size for key, size in sizes.items()}


def test_the_adversarial_system_is_trained_and_measured_from_the_command_line(curate, tmp_path):
    name = "age-leq29-e-yd"
    said = curate("train", name, "--dev", "dev", **TINY, **network(adversarial.ECAPA), accumulate=2)
    assert f"The run is in runs/{name}" in said
    about = json.loads((tmp_path / "runs" / name / "run.json").read_text())
    assert about["recipe"]["settings"]["discriminators"] == ["young"]
    assert (about["speech"]["people"], about["validation"]["list"]) == (6, "held-out-dev")
    with (tmp_path / "runs" / name / "steps.csv").open() as file:
        assert {"loss", "age_group", "am_softmax", "young"} <= {*file.readline().strip().split(",")}
    said = curate("test", f"runs/{name}")
    assert said.startswith(f"{name}: toy, split test, 12 utterances of 4 people")
    tasks, found = figures(name, tmp_path / "catalog")
    assert tasks == {"age_group"}
    assert 0 <= found["age_group", "macro f1"] <= 1
    assert (tmp_path / "runs" / name / "tests" / "toy-test" / "points.svg").exists()


def test_a_teacher_and_then_its_student_are_trained_and_measured_from_the_command_line(curate, tmp_path):
    settings = TINY | network(mixup.TINY["ecapa"])
    curate("train", "mixup-ecapa-teacher", "--dev", "dev", **settings)
    teacher = "runs/mixup-ecapa-teacher/encoder"
    curate("train", "mixup-ecapa-mkd-ch", "--dev", "dev", **settings, **{"settings.teacher": teacher})
    run = tmp_path / "runs" / "mixup-ecapa-mkd-ch"
    with (run / "steps.csv").open() as file:
        assert {"distance", "sex", "age_group", "age_subgroup", "dependency"} <= {*file.readline().strip().split(",")}
    require_frozen(states(run).system, {"ecapa": tmp_path / teacher})
    student = checkpoint.load(run / "encoder").network.settings
    assert student.scale == 4
    assert checkpoint.load(tmp_path / teacher).network.settings.scale == 8
    curate("test", "runs/mixup-ecapa-mkd-ch")
    tasks, found = figures("mixup-ecapa-mkd-ch", tmp_path / "catalog")
    assert tasks == {"sex", "age_group", "age_subgroup"}
    assert 0 <= found["age_subgroup", "contradiction"] <= 1
