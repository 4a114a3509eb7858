"""`curate score`: figures of lists by a catalog's vectors, published once, and one line for what cannot be scored."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from benchmarks.calibration import fitted as calibration_of
from benchmarks.metrics import equal_error_rate, min_dcf
from curate.blocks import fixed_size_lists
from curate.catalog import Catalog, rows_of
from curate.errors import VoxcurateError
from curate.runs import Step, fingerprint, last_done, take_note
from curate.schema import CORPORA, EMBEDDINGS, MODELS, REMOVALS, RESULTS, RUNS, SPLITS, TRIALS, UTTERANCES
from flows import building, systems
from flows.cli import app
from flows.code import BUILDING
from flows.scoring import score_lists
from flows.systems import System

NAME, DIMENSION = "toy", 6
NOISE = [0.7, 0.7, 0.7, 0.7, 2.0, 2.0]  # in the last two dimensions nobody is told apart
NUM_TRAIN, NUM_TEST, EACH = 40, 30, 6  # people, and utterances of each


@pytest.fixture
def catalog(tmp_path):
    """People who are heard in six dimensions, with two lists: of utterances, and of models of two utterances."""
    rng, opened = np.random.default_rng(0), Catalog(tmp_path / "catalog")
    people = [f"p{i:02d}" for i in range(NUM_TRAIN + NUM_TEST)]
    centres = rng.normal(size=(len(people), DIMENSION)) + 2.0  # off the centre: centring matters
    rows = [(f"toy/{person}/{i}", person, centres[number]) for number, person in enumerate(people) for i in range(EACH)]
    ids, who, centre = zip(*rows, strict=True)
    vectors = np.float32(centre + rng.normal(size=(len(ids), DIMENSION)) * NOISE)
    split = ["train" if int(person[1:]) < NUM_TRAIN else "test" for person in who]
    trials, models = [], []
    for person in people[NUM_TRAIN:]:
        models += [(f"model/{person}", f"toy/{person}/{i}") for i in (0, 1)]
        others = rng.choice(people[NUM_TRAIN:], 4)
        trials += [("pairs", f"toy/{person}/0", f"toy/{person}/{i}", True) for i in (2, 3)]
        trials += [("pairs", f"toy/{person}/0", f"toy/{one}/4", False) for one in {*others} - {person}]
        trials += [("models", f"model/{person}", f"toy/{person}/{i}", True) for i in (2, 3, 4)]
        trials += [("models", f"model/{person}", f"toy/{one}/5", False) for one in {*others} - {person}]
    tables = {
        UTTERANCES: [
            {"utterance_id": one, "corpus": "toy", "speaker_id": f"toy/{person}", "path": f"{one}.wav", "start_s": 0.0}
            | {"duration_s": 1.0 + len(one) + place}
            for place, (one, person) in enumerate(zip(ids, who, strict=True))
        ],
        SPLITS: [
            {"benchmark": NAME, "utterance_id": one, "identity_id": person, "split": part}
            for one, person, part in zip(ids, who, split, strict=True)
        ],
        TRIALS: [
            {"benchmark": NAME, "list": name, "enrol_id": enrol, "test_id": test, "is_target": is_target}
            for name, enrol, test, is_target in trials
        ],
        MODELS: [{"benchmark": NAME, "model_id": model, "utterance_id": one} for model, one in models],
    }
    for table, told in tables.items():
        part = "toy" if table is UTTERANCES else NAME
        opened.publish(table, rows_of(table, told), part=part, fingerprint=f"{table.name} as made")
    embeddings = {"utterance_id": list(ids), "extractor": ["ge2e"] * len(ids), "vector": fixed_size_lists(vectors)}
    opened.publish(EMBEDDINGS, pa.table(embeddings), part="ge2e", fingerprint="heard")
    noted(opened, metrics=[{"name": "eer"}, {"name": "min_dcf", "p_target": 0.05}, {"name": "f1"}])
    return opened


def noted(catalog, *, metrics) -> None:
    """That a protocol with these metrics has built it."""
    settings = {"protocol": {"metrics": metrics, "seed": 7}}
    built = Step(
        catalog=catalog,
        name="build",
        part=NAME,
        settings=settings,
        code="",
        publishes=[],
        compute=lambda step: ([], "built"),
    )
    take_note(catalog, replace(built.carry_out(), changed=True))


def score(catalog, *words):
    return CliRunner().invoke(app, ["score", NAME, "-c", str(catalog.root), *map(str, words)])


def lines(catalog, *words) -> list[str]:
    done = score(catalog, *words)
    assert done.exit_code == 0, done.exception
    return done.stdout.splitlines()


def fault(catalog, *words) -> str:
    done = score(catalog, *words)
    assert isinstance(done.exception, VoxcurateError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


def heard(catalog) -> dict:
    rows = catalog.read(EMBEDDINGS, "ge2e")
    return {
        one: np.float64(row)
        for one, row in zip(rows["utterance_id"].to_pylist(), rows["vector"].to_pylist(), strict=True)
    }


def cosines(catalog, name, mean=0.0) -> tuple:
    """The scores of a list as loops compute them, and which are targets."""
    vectors = {one: (row - mean) / np.linalg.norm(row - mean) for one, row in heard(catalog).items()}
    for model in {*catalog.read(MODELS, NAME)["model_id"].to_pylist()}:
        rows = catalog.read(MODELS, NAME).filter(pc.field("model_id") == model)
        total = sum(vectors[one] for one in rows["utterance_id"].to_pylist())
        vectors[model] = total / np.linalg.norm(total)
    rows = catalog.read(TRIALS, NAME).filter(pc.field("list") == name).to_pylist()
    return np.array([vectors[row["enrol_id"]] @ vectors[row["test_id"]] for row in rows]), np.array(
        [row["is_target"] for row in rows]
    )


def figures(catalog, name, system="ge2e") -> dict:
    return {row["metric"]: row for row in catalog.read(RESULTS, f"{NAME}--{name}--{system}").to_pylist()}


# ------------------------------------------------------------------------------------------------------------ figures


def test_each_list_has_its_figures_and_one_line(catalog):
    told = lines(catalog)
    assert [line.split(":")[0] for line in told] == ["toy, list models", "toy, list pairs"]
    for name, line in zip(("models", "pairs"), told, strict=True):
        scores, is_target = cosines(catalog, name)
        found = figures(catalog, name)
        assert found.keys() == {"eer", "min_dcf"}  # f1 is not of scores
        assert found["eer"]["value"] == pytest.approx(equal_error_rate(scores, is_target), abs=1e-9)
        assert found["min_dcf"]["value"] == pytest.approx(min_dcf(scores, is_target, p_target=0.05), abs=1e-9)
        assert found["eer"].items() >= {"list": name, "system": "ge2e", "subset": "all"}.items()
        assert found["eer"]["num_target"] == is_target.sum()
        assert found["eer"]["lower"] < found["eer"]["value"] < found["eer"]["upper"]
        assert f"EER {100 * found['eer']['value']:.2f} %, min_dcf {found['min_dcf']['value']:.4f} (ge2e; " in line


def test_what_is_there_is_not_scored_again(catalog):
    first = lines(catalog, "--list", "pairs")
    before = catalog.path(RESULTS, f"{NAME}--pairs--ge2e").stat().st_mtime_ns
    assert lines(catalog, "--list", "pairs") == [f"{first[0]} (nothing to do)"]
    assert catalog.path(RESULTS, f"{NAME}--pairs--ge2e").stat().st_mtime_ns == before
    assert catalog.parts(RESULTS) == [f"{NAME}--pairs--ge2e"]


def test_other_vectors_are_scored_again(catalog):
    lines(catalog, "--list", "pairs")
    rows = catalog.read(EMBEDDINGS, "ge2e")
    turned = rows.set_column(2, "vector", rows["vector"].combine_chunks().take(pa.array(range(len(rows))[::-1])))
    catalog.publish(EMBEDDINGS, turned, part="ge2e", fingerprint="heard otherwise")
    assert "nothing to do" not in lines(catalog, "--list", "pairs")[0]


def test_a_pipelines_own_benchmark_is_scored_by_its_costs(catalog):
    rows = catalog.read(RUNS).to_pylist()
    rows[0] |= {"step": "score"}
    rows[0]["settings"] = json.dumps({"p_target": 0.2, "miss": 2.0, "false_accept": 1.0, "seed": 1, "system": "ge2e"})
    catalog.publish(RUNS, rows_of(RUNS, rows), fingerprint="")
    lines(catalog, "--list", "pairs")
    scores, is_target = cosines(catalog, "pairs")
    expected = min_dcf(scores, is_target, p_target=0.2, c_miss=2.0)
    assert figures(catalog, "pairs")["min_dcf"]["value"] == pytest.approx(expected, abs=1e-9)


def test_the_scores_can_be_had(catalog, tmp_path):
    lines(catalog, "--list", "models", "--out", tmp_path / "scores.parquet")
    rows = pq.read_table(tmp_path / "scores.parquet")
    expected, is_target = cosines(catalog, "models")
    np.testing.assert_allclose(rows["score"].to_numpy(), expected, atol=1e-6)
    assert rows["is_target"].to_pylist() == is_target.tolist()


def test_centred_by_the_training_split_alone(catalog, tmp_path):
    lines(catalog, "--list", "models", "--center", "--out", tmp_path / "scores.parquet")
    train = catalog.read(SPLITS, NAME).filter(pc.field("split") == "train")["utterance_id"].to_pylist()
    mean = np.mean([heard(catalog)[one] for one in train], axis=0)
    expected, _ = cosines(catalog, "models", mean)
    np.testing.assert_allclose(pq.read_table(tmp_path / "scores.parquet")["score"].to_numpy(), expected, atol=1e-5)
    assert catalog.parts(RESULTS) == [f"{NAME}--models--ge2e_centred"]


@pytest.mark.parametrize(
    ("words", "system"),
    [
        (["--backend", "lda", "--dimensions", 4], "ge2e_centred_lda4"),
        (["--backend", "plda"], "ge2e_centred_plda"),
        (["--backend", "lda-plda", "--dimensions", 4], "ge2e_centred_lda4_plda"),
        (["--backend", "plda", "--as-norm", 50, "--cohort-of", "utterances"], "ge2e_centred_plda_asnorm50-utterances"),
    ],
)
def test_a_back_end_learns_in_which_dimensions_nobody_is_told_apart(catalog, words, system):
    lines(catalog, "--list", "models", *words)
    assert figures(catalog, "models", system)["eer"]["value"] < equal_error_rate(*cosines(catalog, "models"))


def test_as_norm_is_what_a_loop_over_the_cohort_gives(catalog, tmp_path):
    lines(catalog, "--list", "pairs", "--as-norm", 7, "--out", tmp_path / "scores.parquet")
    splits = catalog.read(SPLITS, NAME).filter(pc.field("split") == "train").to_pylist()
    unit = {one: row / np.linalg.norm(row) for one, row in heard(catalog).items()}
    sums: dict = {}
    for row in splits:
        sums[row["identity_id"]] = sums.get(row["identity_id"], 0) + unit[row["utterance_id"]]
    cohort = np.array([total / np.linalg.norm(total) for total in sums.values()])

    def highest(one):
        return np.sort(cohort @ unit[one])[-7:]

    expected = [
        np.mean([(unit[row["enrol_id"]] @ unit[row["test_id"]] - found.mean()) / found.std() for found in both])
        for row in catalog.read(TRIALS, NAME).filter(pc.field("list") == "pairs").to_pylist()
        for both in [(highest(row["enrol_id"]), highest(row["test_id"]))]
    ]
    np.testing.assert_allclose(pq.read_table(tmp_path / "scores.parquet")["score"].to_numpy(), expected, rtol=1e-4)


def test_scores_are_calibrated_on_another_list(catalog, tmp_path):
    lines(catalog, "--list", "models", "--calibrate-on", "pairs", "--out", tmp_path / "scores.parquet")
    scores, is_target = cosines(catalog, "pairs")
    expected = calibration_of(np.float32(scores), is_target).applied(cosines(catalog, "models")[0])
    np.testing.assert_allclose(pq.read_table(tmp_path / "scores.parquet")["score"].to_numpy(), expected, rtol=1e-3)


def test_that_a_list_is_calibrated_on_itself_or_on_its_people_is_told(catalog):
    models, pairs = lines(catalog, "--calibrate-on", "pairs")
    assert models.endswith(f"; {NUM_TEST} people of the list it is calibrated on are in it, too")
    assert pairs.endswith("; calibrated on itself, which flatters costs at a threshold")
    assert lines(catalog, "--list", "pairs", "--calibrate-on", "pairs") == [f"{pairs} (nothing to do)"]
    assert "calibrated on" not in "".join(lines(catalog))


@pytest.mark.parametrize("name", ["pairs", "models"])
@pytest.mark.parametrize("first_of", ["both", "test"])
def test_of_both_sides_or_of_the_test_alone_the_beginning_is_heard(catalog, tmp_path, name, first_of):
    asked, rng = [], np.random.default_rng(4)
    began = {one: row + rng.normal(size=DIMENSION) for one, row in heard(catalog).items()}

    def beginnings(utterance_ids, seconds):
        asked.append((set(utterance_ids.to_pylist()), seconds))
        return np.float32([began[one] for one in utterance_ids.to_pylist()])

    system = System(extractor="ge2e", first_s=2.0, first_of=first_of)
    out = tmp_path / "scores.parquet"
    score_lists(catalog, NAME, system, lists=[name], out=out, beginnings=beginnings)
    models: dict = {}
    for row in catalog.read(MODELS, NAME).to_pylist():
        models.setdefault(row["model_id"], []).append(row["utterance_id"])
    enrolled, expected = began if first_of == "both" else heard(catalog), []
    rows = catalog.read(TRIALS, NAME).filter(pc.field("list") == name).to_pylist()
    of_enrolled = {one for row in rows for one in models.get(row["enrol_id"], [row["enrol_id"]])}
    for row in rows:
        units = [
            enrolled[one] / np.linalg.norm(enrolled[one]) for one in models.get(row["enrol_id"], [row["enrol_id"]])
        ]
        enrol, test = sum(units), began[row["test_id"]]
        expected.append(enrol @ test / np.linalg.norm(enrol) / np.linalg.norm(test))
    np.testing.assert_allclose(pq.read_table(out)["score"].to_numpy(), expected, atol=1e-6)
    of_test = {row["test_id"] for row in rows}
    assert asked == [(of_test | of_enrolled if first_of == "both" else of_test, 2.0)]
    assert catalog.parts(RESULTS) == [f"{NAME}--{name}--ge2e_first-2s" + ("-of-test" if first_of == "test" else "")]


def test_plda_is_learnt_from_the_longest_utterances(catalog, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(systems, "MAX_PLDA", 150)
    learn = systems.fitted
    monkeypatch.setattr(systems, "fitted", lambda *given, **more: seen.append(more["plda_of"]) or learn(*given, **more))
    lines(catalog, "--list", "pairs", "--backend", "plda")
    assert seen[0].sum() == 150
    assert seen[0].tolist() == [False] * (NUM_TRAIN * EACH - 150) + [True] * 150  # each is longer than those before


def test_people_of_the_trials_are_not_in_the_cohort(catalog, tmp_path):
    """The cohort of all the test is that of its people whom no trial of the list names: none is left here."""
    assert fault(catalog, "--list", "pairs", "--as-norm", 5, "--cohort", "test").startswith("cohort 'test': all its")


def test_the_cohort_is_of_those_alone_whom_the_trials_do_not_name(catalog, tmp_path):
    rows = catalog.read(TRIALS, NAME).to_pylist()
    few = [row | {"list": "few"} for row in rows if row["list"] == "pairs"]
    few = [row for row in few if {row[side][4:6] for side in ("enrol_id", "test_id")} <= {"p4", "p5"}]
    catalog.publish(TRIALS, rows_of(TRIALS, rows + few), part=NAME, fingerprint="with a few")
    words = ("--list", "few", "--as-norm", 5, "--cohort", "test", "--cohort-of", "utterances")
    assert f"{NAME}--few--ge2e_asnorm5-utterances-from-test" not in catalog.parts(RESULTS)
    lines(catalog, *words, "--out", tmp_path / "scores.parquet")
    assert f"{NAME}--few--ge2e_asnorm5-utterances-from-test" in catalog.parts(RESULTS)
    unit = {one: row / np.linalg.norm(row) for one, row in heard(catalog).items()}
    cohort = np.array([row for one, row in unit.items() if one[4:6] == "p6"])
    assert len(cohort) == 10 * EACH

    def standard(score, one):
        highest = np.sort(cohort @ unit[one])[-5:]
        return (score - highest.mean()) / highest.std()

    expected = [
        np.mean([standard(unit[row["enrol_id"]] @ unit[row["test_id"]], row[side]) for side in ("enrol_id", "test_id")])
        for row in few
    ]
    np.testing.assert_allclose(pq.read_table(tmp_path / "scores.parquet")["score"].to_numpy(), expected, rtol=1e-3)


def test_that_the_back_end_has_seen_people_of_the_trials_is_told(catalog, caplog):
    with caplog.at_level("INFO", logger="voxcurate"):
        lines(catalog, "--list", "pairs", "--backend", "plda", "--train-split", "test")
    assert f"of whom {NUM_TEST} people are in the trials, too" in caplog.text
    assert f"{NAME}--pairs--ge2e_centred_plda_of-test" in catalog.parts(RESULTS)


# ------------------------------------------------------------------------------------------------------------- faults


def test_a_benchmark_that_is_not_there_is_told(catalog):
    done = CliRunner().invoke(app, ["score", "other", "-c", str(catalog.root)])
    assert str(done.exception) == f"{catalog.root}: no trials of a benchmark 'other'; expected toy"


@pytest.mark.parametrize("words", [[], ["--out", "scores.parquet"]])
def test_a_benchmark_without_lists_is_told(catalog, words):
    catalog.publish(TRIALS, rows_of(TRIALS, []), part=NAME, fingerprint="classes alone")
    assert fault(catalog, *words) == "toy: has no lists of trials; expected a benchmark that has some"


def test_a_place_without_a_catalog_is_told(tmp_path):
    nowhere = Catalog(tmp_path / "nothere")
    assert fault(nowhere) == f"{nowhere.root}: no catalog there; expected a folder that `curate run` has filled"
    assert not nowhere.root.exists()


def test_a_built_benchmark_that_is_stale_is_scored_and_told(catalog, caplog):
    corpus = {"corpus": "toy", "reader": "folder", "root": "toy"}
    catalog.publish(CORPORA, rows_of(CORPORA, [corpus]), fingerprint="registered")
    settings = json.loads(last_done(catalog)[0]["settings"]) | {"readers": {"toy": "folder"}}
    for made_from, is_stale in (
        (fingerprint(catalog, building.STEP, NAME, settings=settings, code=BUILDING, reads=building.READS), False),
        ("of other verdicts", True),
    ):
        catalog.publish(REMOVALS, rows_of(REMOVALS, []), part=NAME, fingerprint=made_from)
        caplog.clear()
        assert len(lines(catalog)) == 2
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        line = "score: toy: no longer what `curate build` would make of this catalog; run it again"
        assert told == [line] * is_stale


@pytest.mark.parametrize("option", ["--list", "--calibrate-on"])
def test_an_unknown_list_is_told(catalog, option):
    assert fault(catalog, option, "easy") == "toy: no list 'easy'; expected models, pairs"


def test_a_catalog_without_vectors_is_told(catalog):
    catalog.keep_only(EMBEDDINGS, set())
    told = "no vectors; expected one extractor (`--extractor` says which), or `curate run` to be done"
    assert fault(catalog) == f"{catalog.root}: {told}"
    assert fault(catalog, "--extractor", "ecapa").endswith("vectors of nobody; expected those of 'ecapa'")


def test_an_utterance_without_a_vector_is_named(catalog):
    rows = catalog.read(EMBEDDINGS, "ge2e").filter(pc.field("utterance_id") != "toy/p41/2")
    catalog.publish(EMBEDDINGS, rows, part="ge2e", fingerprint="fewer")
    told = f"toy/p41/2: 1 utterance or model of {catalog.root} without a vector of 'ge2e'; expected one for each"
    assert fault(catalog, "--list", "pairs") == told


def test_a_model_without_utterances_is_named(catalog):
    rows = catalog.read(MODELS, NAME).filter(pc.field("model_id") != "model/p41")
    catalog.publish(MODELS, rows, part=NAME, fingerprint="fewer")
    told = f"model/p41: 1 utterance or model of {catalog.root} without a vector of 'ge2e'; expected one for each"
    assert fault(catalog, "--list", "models") == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--backend", "lda", "--dimensions", 7],
            "ge2e_centred_lda7: LDA to 7 dimensions of 40 people in 6 dimensions",
        ),
        (["--backend", "plda", "--train-split", "dev"], "toy: no split 'dev'; expected test, train"),
        (["--as-norm", 41], "ge2e_asnorm41: the 41 highest of 40 scores of a cohort; expected 2 to 40"),
        (["--out", "scores.parquet"], "scores.parquet: holds the scores of one list, not of models, pairs; expected"),
    ],
)
def test_what_cannot_be_scored_so_is_told(catalog, words, told):
    assert fault(catalog, *words).startswith(told)
    assert catalog.parts(RESULTS) == []


def test_a_list_that_a_threshold_tells_apart_calibrates_nothing(catalog):
    rows = catalog.read(TRIALS, NAME).to_pylist()
    easy = [row | {"list": "easy", "test_id": row["enrol_id"]} for row in rows if row["list"] == "pairs"]
    easy = list({row["enrol_id"]: row for row in easy if row["is_target"]}.values())
    easy += [row | {"list": "easy"} for row in rows if row["list"] == "pairs" and not row["is_target"]]
    catalog.publish(TRIALS, rows_of(TRIALS, rows + easy), part=NAME, fingerprint="with easy ones")
    assert fault(catalog, "--calibrate-on", "easy").startswith("calibration on the list 'easy': a threshold tells all")


def test_a_list_whose_targets_score_lower_calibrates_nothing(catalog):
    rows = catalog.read(TRIALS, NAME).to_pylist()
    turned = [row | {"list": "turned", "is_target": not row["is_target"]} for row in rows if row["list"] == "pairs"]
    catalog.publish(TRIALS, rows_of(TRIALS, rows + turned), part=NAME, fingerprint="with wrong ones")
    told = fault(catalog, "--list", "pairs", "--calibrate-on", "turned")
    assert told.startswith("calibration on the list 'turned': slope -")
    assert told.endswith("would turn all scores round; expected a list whose targets score higher")


@pytest.mark.parametrize(
    "words", [["--backend", "svm"], ["--cohort-of", "cats"], ["--first-s", "2"], ["--first-of", "cat"]]
)
def test_options_that_make_no_sense_are_refused(catalog, words):
    done = score(catalog, *words)
    assert (done.exit_code, words[0] in done.output) == (2, True)


# --------------------------------------------------------------------------------------------------------- what it is


def test_no_two_systems_have_one_name():
    systems_ = [
        System(
            extractor=extractor,
            backend=backend,
            center=center,
            train_split=train,
            as_norm=norm,
            cohort=cohort,
            cohort_of=of,
            first_s=first,
            first_of=sides,
        )
        for extractor in ("ge2e", "ecapa")
        for backend in ("cosine", "lda", "plda", "lda-plda")
        for center in (False, True)
        for train in ("train", "dev")
        for norm in (None, 300)
        for cohort in ("train", "dev", "utterances", "dev-utterances")
        for of in ("people", "utterances")
        for first, sides in ((None, "both"), (2.0, "both"), (2.0, "test"), (2.0000001, "both"))
        if (norm or (cohort == "train" and of == "people")) and (center or backend != "cosine" or train == "train")
    ]
    assert len({one.name for one in systems_}) == len(systems_)


def test_scoring_loads_neither_torch_nor_prefect(catalog):
    script = (
        "import sys; from typer.testing import CliRunner; from flows.cli import app; "
        f"done = CliRunner().invoke(app, ['score', 'toy', '-c', {str(catalog.root)!r}, '--backend', 'plda']); "
        "assert done.exit_code == 0, done.exception; print({'torch', 'prefect'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


# -------------------------------------------------------------------------------------------------------- real speech


@pytest.fixture(scope="module")
def filled(small_run, tmp_path_factory):
    """The small pipeline, carried out; a copy, to which figures are added."""
    return shutil.copytree(small_run.parent, tmp_path_factory.mktemp("scored") / "copy") / small_run.name


def score_real(filled, *words):
    return CliRunner().invoke(app, ["score", "small", "-c", str(filled.parent / "catalog"), *map(str, words)])


@pytest.mark.real
def test_the_figures_of_a_run_are_found_again(filled):
    catalog = Catalog(filled.parent / "catalog")
    assert score_real(filled).exit_code == 0
    ours, runs = (catalog.read(RESULTS, part).drop_columns("benchmark") for part in ("small--test--ge2e", "small"))
    assert ours.to_pylist() == runs.to_pylist()


@pytest.mark.real
def test_the_first_seconds_of_both_sides_are_heard_once(filled, corpora, tmp_path, caplog):
    from curate.audio import decode
    from curate.hearing import Ge2e
    from models.extractors import extractor

    catalog, words = Catalog(filled.parent / "catalog"), ["--first-s", 1.5, "--pipeline", filled]
    embeddings = catalog.parts(EMBEDDINGS)
    with caplog.at_level("INFO", logger="voxcurate"):
        done = score_real(filled, *words, "--out", tmp_path / "scores.parquet")
    assert done.exit_code == 0, done.exception
    rows, encoder = pq.read_table(tmp_path / "scores.parquet"), extractor(Ge2e())
    num_sides = len({*rows["enrol_id"].to_pylist(), *rows["test_id"].to_pylist()})
    assert f"score: {num_sides} of {num_sides} beginnings heard by ge2e" in caplog.text
    assert catalog.parts(EMBEDDINGS) == embeddings  # a run would take away what is no encoder of its file
    assert "small--test--ge2e_first-1.5s" in catalog.parts(RESULTS)

    paths = {row["utterance_id"]: row["path"] for row in catalog.read(UTTERANCES).to_pylist()}
    for row in rows.slice(0, 5).to_pylist():
        waveforms = [
            decode(corpora / "LibriSpeech" / paths[row[side]], sample_rate_hz=encoder.sample_rate_hz)
            for side in ("enrol_id", "test_id")
        ]
        begun = [waveform[: int(1.5 * encoder.sample_rate_hz)] for waveform in waveforms]
        enrol, test = encoder.embed(begun).astype(np.float64)
        cosine = enrol @ test / np.linalg.norm(enrol) / np.linalg.norm(test)
        assert row["score"] == pytest.approx(cosine, abs=1e-4)

    before = {file: file.stat().st_mtime_ns for file in (catalog.root / "cache" / "embeddings").rglob("*.parquet")}
    caplog.clear()
    assert score_real(filled, *words, "--backend", "cosine", "--center").exit_code == 0
    assert "beginnings" not in caplog.text
    assert {
        file: file.stat().st_mtime_ns for file in (catalog.root / "cache" / "embeddings").rglob("*.parquet")
    } == before


@pytest.mark.real
def test_another_encoder_than_that_of_the_vectors_is_told(filled, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(filled.read_text().replace("[embedding]", '[embedding]\nname = "mine"'))
    done = score_real(filled, "--first-s", 1, "--pipeline", other)
    assert str(done.exception) == f"{other}: its encoder is 'mine'; expected 'ge2e', whose vectors are scored"
