"""`curate test`, as a user gives it, on a catalog of tones: a run that tells nobody's age, and one that does."""

import json
import logging
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from benchmarks import pictures
from curate.catalog import Catalog, read_parquet, rows_of
from curate.errors import VoxcurateError
from curate.schema import CLASS_RESULTS, DECISIONS, IDENTITIES, RESULTS, RUNS, SPLITS, TRIALS
from flows.cli import app
from flows.tested import _coloured
from models.data.labels import classes_of
from models.data.speech import of_split
from models.training import checkpoints
from models.training.system import System
from models.training.systems import module_of, recipes
from models.training.trained import load_run
from tests.models.training.tones_made import BENCHMARK, catalog_of, described, files_of, tones

RATE_HZ = 16_000
NUM_TESTED = 12  # people of the split `test`; two others are trained on
AGES = [(5, 5), (15, 15), (25, 25), (25, 25), (35, 35), (45, 45), (55, 55), (55, 55), (65, 65), (75, 75), (85, 85)]
AGES += [(25, 35), None, None]  # the last tested person is young or adult
SEXES = ["female", "male"] * 5 + ["female", None, None, None]
CLASSES = {"sex": ("female", "male"), **classes_of("leq29")}
NUM_CLASSES = {task: len(names) for task, names in CLASSES.items()}
GROUP_OF = [0, 1, 0, 0, 0, 1, 1, 1, 2, 2, 2, 1]  # of each person, as the system has it: p1 and p4 wrong
PART_OF = [0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 3]
SEX_OF = [0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1]  # p3 wrong
RECIPE = """base = "vietsv-scratch-ap-adam"
name = "small"
epochs = 1
readers = 1
[batches]
speakers = 2
utterances_each = 2
crop_s = [0.3, 0.3]
[settings.network]
channels = 8
blocks = [1, 1, 1, 1]
num_bands = 16
dimension = 16
attention_channels = 8
"""


class OfPitch(System):
    """Knows everybody of the catalog by his pitch, and takes p1 for an adult, p4 for young and p3 for a woman."""

    tasks = CLASSES
    age_scheme = "leq29"

    def __init__(self):
        super().__init__()
        self.network = nn.Linear(1, 1)
        for name, codes in {"sex": SEX_OF, "age_group": GROUP_OF, "age_subgroup": PART_OF}.items():
            self.register_buffer(name, torch.tensor(codes))

    def person_of(self, wave):
        pitch = torch.fft.rfft(wave).abs().argmax(dim=1) * RATE_HZ / wave.shape[1]
        return ((pitch - 200) / 300).round().long().clamp(0, NUM_TESTED - 1)

    def losses(self, wave, labels):
        raise NotImplementedError

    def embed(self, wave, samples=None):
        return nn.functional.one_hot(self.person_of(wave), 16) + 0.1 * wave[:, :16]

    def tell(self, wave, samples=None):
        person = self.person_of(wave)
        codes = {task: self.get_buffer(task)[person] for task in CLASSES}
        return {task: 0.8 * nn.functional.one_hot(codes[task], num) + 0.2 / num for task, num in NUM_CLASSES.items()}


def aged(audio, root):
    row, who = described(audio, root), int(audio.parent.name[1:])
    youngest, oldest = AGES[who] or (None, None)
    return row | {"sex": SEXES[who], "age_min_years": youngest, "age_max_years": oldest}


def made_catalog(folder):
    root = folder / "tones"
    rows = [aged(audio, root) for audio in files_of(root)]
    catalog = catalog_of(folder / "catalog", root, utterances=rows, test=[f"p{who}" for who in range(NUM_TESTED)])
    catalog.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="clean", fingerprint="x")
    people = [{"speaker_id": who, "identity_id": who} for who in sorted({row["speaker_id"] for row in rows})]
    catalog.publish(IDENTITIES, rows_of(IDENTITIES, people), fingerprint="x")
    return catalog


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Tones of 14 people, a run of a small network on those who are not tested, and one that knows ages by pitch."""
    folder = tmp_path_factory.mktemp("test")
    tones(folder / "tones", num_people=14, each=2)
    made_catalog(folder)
    (folder / "small.toml").write_text(RECIPE)
    words = [folder / "small.toml", "-c", folder / "catalog", "--out", folder / "small", "--hold-out", "0"]
    told = CliRunner().invoke(app, ["train", *map(str, words), "--device", "cpu"], catch_exceptions=False)
    assert told.exit_code == 0
    recipe = replace(recipes()["vietsv-scratch-ap-adam"], name="of-pitch", system="of_pitch", settings={})
    run = folder / "pitch"
    (run / "encoder").mkdir(parents=True)
    about = {"recipe": recipe.plain(), "speech": {"people": 2}}
    (run / "run.json").write_text(json.dumps(about))
    (run / "people.txt").write_text("nobody\n")
    kept = checkpoints.Checkpoint(
        system=OfPitch().state_dict(), optimizer={"state": {}, "param_groups": []}, state={}, epoch=1, step=1
    )
    checkpoints.save(run / "checkpoints", kept)
    return folder


@pytest.fixture
def curate_test(place, tmp_path, monkeypatch, caplog):
    """The command on copies of the catalog and of the runs."""
    for name in ("catalog", "small", "pitch"):
        shutil.copytree(place / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))
    module = SimpleNamespace(made=lambda settings, *, num_people, spec_augment: OfPitch())
    monkeypatch.setattr(
        "models.training.trained.module_of", lambda name: module if name == "of_pitch" else module_of(name)
    )
    monkeypatch.setattr("models.training.trained.SYSTEMS", ("of_pitch", "angular_prototypical"))

    def command(*words):
        given = ["test", *map(str, words), "-c", "catalog", "--device", "cpu"]
        told = CliRunner().invoke(app, given, catch_exceptions=False)
        assert told.exit_code == 0
        return told.stdout

    return command


def figures(catalog):
    part = catalog.read(CLASS_RESULTS, f"{BENCHMARK}--test--of-pitch")
    return {(row["task"], row["class_name"], row["metric"]): row for row in part.to_pylist()}


def test_classes_are_told_published_and_drawn(curate_test, tmp_path):
    said = curate_test("pitch")
    found = figures(Catalog(tmp_path / "catalog"))
    values = {key: row["value"] for key, row in found.items()}
    of_groups = [values["age_group", "young", metric] for metric in ("precision", "recall", "f1")]
    assert of_groups == pytest.approx([6 / 8, 6 / 8, 6 / 8])
    assert values["age_group", "senior", "f1"] == 1
    assert values["age_group", "all", "accuracy"] == pytest.approx(18 / 22)
    assert values["age_group", "all", "macro f1"] == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert values["sex", "female", "precision"] == pytest.approx(12 / 14)
    assert values["sex", "male", "recall"] == pytest.approx(8 / 10)
    assert values["age_subgroup", "30-39", "f1"] == 1
    contradicts = found["age_subgroup", "all", "contradiction"]
    assert (contradicts["value"], contradicts["num_utterances"], contradicts["num_people"]) == (4 / 24, 24, 12)
    assert contradicts["lower"] < 4 / 24 < contradicts["upper"]
    accuracy = found["age_group", "all", "accuracy"]
    assert (accuracy["num_utterances"], accuracy["num_people"]) == (22, 11)
    assert accuracy["lower"] < 18 / 22 < accuracy["upper"]
    assert found["age_group", "young", "recall"]["lower"] is None, "of four people"
    lines = said.splitlines()
    assert lines[0] == "of-pitch: toy, split test, 24 utterances of 12 people"
    assert "age_group: 2 of 24 utterances left out: their age_group is not known" in lines
    assert any(
        line.startswith("no interval of 9 of 13 figures of sex, 12 of 16 figures of age_group, ") for line in lines
    )
    assert any(line.split()[:6] == ["age_group", "young", *["0.7500"] * 3, "8"] for line in lines)
    assert "were in training" not in said
    folder = tmp_path / "pitch" / "tests" / "toy-test"
    names = ["told.parquet", *(f"confusion_{task}.svg" for task in CLASSES), "points.svg"]
    assert lines[-len(names) :] == [f"pitch/tests/toy-test/{name}" for name in names]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    drawn = (folder / "points.svg").read_text()
    assert all(f"<!-- {name}" in drawn for name in ("young, 20-29 (4)", "senior, 80+ (2)", "not known (2)"))


def test_what_is_said_of_each_utterance_is_kept_with_its_probabilities(curate_test, tmp_path):
    curate_test("pitch")
    told = read_parquet(tmp_path / "pitch" / "tests" / "toy-test" / "told.parquet")
    assert told.column_names == ["utterance_id", "task", "truth", "said", "probability"]
    rows = {(row["task"], row["utterance_id"]): row for row in told.to_pylist()}
    assert len(rows) == 3 * 24
    wrong = rows["age_group", "tones/p1/0"]
    assert (wrong["truth"], wrong["said"]) == ("young", "adult")
    assert dict(wrong["probability"]) == pytest.approx({"young": 0.2 / 3, "adult": 0.8 + 0.2 / 3, "senior": 0.2 / 3})
    unknown = rows["age_group", "tones/p11/1"]
    assert (unknown["truth"], unknown["said"]) == (None, "adult")
    assert rows["sex", "tones/p11/1"]["truth"] is None


def test_lists_are_scored_by_cosine_and_those_that_cannot_be_are_told(curate_test, tmp_path):
    said = curate_test("pitch")
    catalog = Catalog(tmp_path / "catalog")
    rows = catalog.read(RESULTS, f"{BENCHMARK}--test--of-pitch").to_pylist()
    assert [(row["metric"], row["num_target"], row["num_nontarget"]) for row in rows] == [
        ("eer", 12, 264),
        ("min_dcf", 12, 264),
    ]
    assert [row["value"] for row in rows] == [0, 0]
    assert {*catalog.parts(RESULTS)} == {"toy--test--of-pitch", "toy--known--of-pitch"}
    assert "list targets: not scored: 12 targets of 12 trials; expected both kinds" in said
    noted = {(row["step"], row["part"]) for row in catalog.read(RUNS).to_pylist()}
    assert noted == {("test", "toy--test--of-pitch"), *(("evaluate", part) for part in catalog.parts(RESULTS))}


def test_it_is_the_same_when_it_is_done_again_and_another_with_another_seed(curate_test, tmp_path):
    first = curate_test("pitch")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "writer.lock"]
    before = {path: path.read_bytes() for path in files}
    assert curate_test("pitch") == first
    assert {path: path.read_bytes() for path in files} == before
    curate_test("pitch", "--seed", "1")
    part = tmp_path / "catalog" / "class_results" / "toy--test--of-pitch.parquet"
    assert part.read_bytes() != before[part]


def test_a_system_without_tasks_is_scored_on_the_lists_asked_for(curate_test, tmp_path):
    said = curate_test("small", "--list", "test", "--split", "train", "--system", "mine")
    catalog = Catalog(tmp_path / "catalog")
    assert catalog.parts(RESULTS) == ["toy--test--mine"]
    assert catalog.parts(CLASS_RESULTS) == []
    assert said.splitlines()[0] == "mine: toy, split train, 4 utterances of 2 people"
    assert "split train: 2 of its 2 people were in training: its figures say little of people who were not" in said
    assert not (tmp_path / "small" / "tests").exists(), "four utterances are no picture"
    curate_test("small", "--list", "test")
    assert [path.name for path in (tmp_path / "small" / "tests" / "toy-test").iterdir()] == ["points.svg"]
    drawn = (tmp_path / "small" / "tests" / "toy-test" / "points.svg").read_text()
    assert "<!-- female (12)" in drawn, "no scheme of ages is asked for"
    one, other = (catalog.read(RESULTS, f"toy--test--{name}").to_pylist() for name in ("mine", "small"))
    assert [row["value"] for row in one] == [row["value"] for row in other], "whatever else is heard"


def test_people_who_were_in_training_are_told_of_split_and_list(curate_test, tmp_path):
    said = curate_test("small")
    assert "list known: 2 of its 2 people were in training: its figures say little" in said
    assert said.count("were in training") == 1
    (tmp_path / "small" / "people.txt").unlink()
    with pytest.raises(
        VoxcurateError, match=r"^small/people\.txt: No such file or directory; expected what a run wrote"
    ):
        curate_test("small")


def test_json_has_all_of_it(curate_test, tmp_path):
    told = json.loads(curate_test("pitch", "--json"))
    assert {(row["task"], row["class_name"], row["metric"]) for row in told["classes"]} == {
        *figures(Catalog(tmp_path / "catalog"))
    }
    assert {row["list"] for row in told["results"]} == {"test", "known"}
    assert told["published"] == []
    assert told["files"][0] == "pitch/tests/toy-test/told.parquet"
    assert any("left out" in line for line in told["remarks"])


def test_the_papers_figures_stand_beside_ours(place, tmp_path, curate_test):
    """The same catalog under the name of a protocol, with a split that the paper's is called."""
    catalog = Catalog(tmp_path / "catalog")
    name = "voxceleb-enrichment-leq29"
    for table in ("splits", "trials"):
        path = tmp_path / "catalog" / table / f"{BENCHMARK}.parquet"
        rows = read_parquet(path)
        renamed = rows.set_column(0, "benchmark", [[name] * len(rows)])
        if table == "trials":
            listed = ["eval" if one == "test" else one for one in rows["list"].to_pylist()]
            renamed = renamed.set_column(1, "list", [listed])
        catalog.publish(TRIALS if table == "trials" else SPLITS, renamed, part=name, fingerprint="x")
        path.unlink()
    told = json.loads(curate_test("pitch", "--json"))["published"]
    young = [row for row in told if row["metric"] == "precision of young"]
    assert len(young) >= 5
    assert {row["ours"] for row in young} == {6 / 8}
    of_list = [row for row in told if row["list"] == "eval"]
    assert of_list
    assert {(row["metric"], row["ours"]) for row in of_list} == {("eer", 0.0), ("min_dcf", 0.0)}
    said = curate_test("pitch").splitlines()
    assert any(line.split()[:1] == ["MTL"] and "precision of young" in line and " 0.75 " in line for line in said)


WRONG = [
    (["gone"], r"^gone: no run \(No such file or directory\); expected a folder that `curate train` made$"),
    (["half"], r"^half: the run is not complete; expected one that `curate train` ended$"),
    (["odd"], r"^odd/run\.json: cannot be read"),
    (["listed"], r"^listed/run\.json: holds list; expected what a run wrote there$"),
    (["bare"], r"^bare/run\.json: no `recipe` or `speech\.people`; expected what a run wrote there$"),
    (["newer"], r"^newer/run\.json: recipe\.epochs: .*; expected a run of this version$"),
    (["other"], r"^other/run\.json: system 'gone'; expected one of of_pitch, angular_prototypical$"),
    (["emptied"], r"^emptied: has an encoder and no checkpoint; expected the folder as a run left it$"),
    (["swapped"], r"^swapped/checkpoints/.*\(expected the weights of small\)$"),
    (["pitch", "--benchmark", "other"], r"no benchmark 'other'; expected one of toy$"),
    (["pitch", "--split", "dev"], r"^toy: no split 'dev', or an empty one; expected test, train$"),
    (["pitch", "--list", "dev"], r"^toy: no list 'dev'; expected known, targets, test$"),
    (["pitch", "--list", "targets"], r"^toy/targets: 12 targets of 12 trials; expected both kinds$"),
    (["pitch", "--system", "a/b"], r"^--system 'a/b': names a file"),
    (["small", "--layers"], r"^--layers: small: angular_prototypical tells none; expected a run of disjoint_mtl$"),
    (["pitch", "--device", "gpu"], r"^--device gpu: expected auto, cpu, cuda or one such as cuda:1$"),
]


@pytest.fixture
def broken(tmp_path, curate_test):
    """Folders that are no runs, or not whole ones."""
    whole = json.loads((tmp_path / "small" / "run.json").read_text())

    def of(name, about, *, encoder=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(about if isinstance(about, str) else json.dumps(about))
        if encoder:
            (tmp_path / name / "encoder").mkdir()

    of("half", whole, encoder=False)
    of("odd", "{")
    of("listed", [])
    of("bare", {"recipe": whole["recipe"]})
    of("newer", whole | {"recipe": whole["recipe"] | {"epochs": "many"}})
    of("other", whole | {"recipe": whole["recipe"] | {"system": "gone"}})
    of("emptied", whole)
    of("swapped", whole)
    shutil.copytree(tmp_path / "pitch" / "checkpoints", tmp_path / "swapped" / "checkpoints")


@pytest.mark.parametrize(("words", "said"), WRONG, ids=lambda words: "_".join(words) if isinstance(words, list) else "")
def test_what_is_wrong_is_one_line_and_nothing_is_written(broken, curate_test, tmp_path, words, said):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(VoxcurateError, match=said) as told:
        CliRunner().invoke(app, ["test", *words, "-c", "catalog", *_on(words)], catch_exceptions=False)
    assert "\n" not in str(told.value)
    assert sorted(tmp_path.rglob("*")) == before


def _on(words):
    return [] if "--device" in words else ["--device", "cpu"]


def test_the_picture_has_the_vectors_of_the_split_alone_in_its_order(curate_test, monkeypatch):
    seen = []
    monkeypatch.setattr("benchmarks.pictures.on_plane", lambda vectors, seed: seen.append(vectors) or vectors[:, :2])
    curate_test("pitch", "--list", "known")
    people = [
        int(name.split("/")[1][1:]) for name in sorted(f"tones/p{who}/{take}" for who in range(12) for take in "01")
    ]
    assert seen[0].argmax(axis=1).tolist() == people


def test_half_of_the_points_that_are_drawn_are_young(curate_test, monkeypatch):
    seen, points = [], pictures.points

    def noted(at, groups, *rest, **title):
        seen.append(groups)
        return points(at, groups, *rest, **title)

    monkeypatch.setattr("flows.tested.MOST_POINTS", 10)
    monkeypatch.setattr("benchmarks.pictures.points", noted)
    curate_test("pitch")
    assert len(seen[0]) == 10
    assert sum(name.startswith("young") for name in seen[0]) == 5


def test_a_system_that_has_collapsed_is_told(curate_test, monkeypatch):
    monkeypatch.setattr(OfPitch, "embed", lambda self, wave, samples=None: torch.zeros(len(wave), 16))
    with pytest.raises(VoxcurateError, match=r"^pitch: a vector is zero: the system has collapsed; expected"):
        curate_test("pitch")


def test_a_run_is_loaded_as_it_was_best_and_not_as_it_was_last(curate_test, tmp_path):
    folder = tmp_path / "small" / "checkpoints"
    best = checkpoints.load(checkpoints.latest(folder))
    (tmp_path / "small" / "best.json").write_text(json.dumps({"checkpoint": checkpoints.latest(folder).name}))
    worse = {name: torch.zeros_like(tensor) for name, tensor in best.system.items()}
    checkpoints.save(folder, replace(best, system=worse, epoch=best.epoch + 1))
    system, recipe = load_run(tmp_path / "small")
    assert recipe.name == "small"
    assert not system.training
    assert all(torch.equal(tensor, best.system[name]) for name, tensor in system.state_dict().items())


def test_a_run_is_made_of_as_many_people_as_it_heard_and_without_its_noise(curate_test, tmp_path, monkeypatch):
    asked = []

    def made(settings, *, num_people, spec_augment):
        asked.append(num_people)
        return OfPitch()

    monkeypatch.setattr("models.training.trained.module_of", lambda name: SimpleNamespace(made=made))
    path = tmp_path / "pitch" / "run.json"
    about = json.loads(path.read_text())
    noise = {"noise_folder": "/gone", "noise_probability": 0.5}
    about["recipe"]["augmentation"] |= {"speeds": [1.0, 0.9, 1.1], "speeds_are_people": True, **noise}
    path.write_text(json.dumps(about))
    _, recipe = load_run(tmp_path / "pitch")
    assert asked == [6]
    assert recipe.augmentation.noise_probability == 0.5


def test_points_are_coloured_by_age_else_by_sex_else_by_person(place):
    speech = of_split(Catalog(place / "catalog"), BENCHMARK, "test")
    told, colours, is_young = _coloured(speech, "leq29")
    assert {told[row] for row in np.flatnonzero(is_young)} == {"young, 0-9", "young, 10-19", "young, 20-29"}
    assert told[speech.utterance_ids.to_pylist().index("tones/p11/0")] == "not known"
    assert set(told) <= set(colours)
    told, colours, is_young = _coloured(speech, None)
    assert {*told} == {"female", "male", "not known"} == {*colours}
    assert not is_young.any()
    told, colours, _ = _coloured(replace(speech, sex=(), ages=()), "leq29")
    assert {*told} == {*speech.people} == {*colours}
