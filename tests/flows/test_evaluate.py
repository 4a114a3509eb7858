"""`curate evaluate` and `curate compare`, as a user gives them."""

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from benchmarks import comparison, evaluation
from benchmarks.metrics import equal_error_rate, min_dcf
from benchmarks.protocol import Metric
from curate.catalog import Catalog, rows_of
from curate.errors import VoxcurateError
from curate.runs import last_done
from curate.schema import AGE_LABELS, DECISIONS, IDENTITIES, MODELS, RESULTS, RUNS, SPLITS, TRIALS, UTTERANCES
from flows import evaluating, seeds
from flows.cli import app
from flows.listed import Listed, people_in

NUM_PEOPLE, LABELS = 24, [f"{'one' if person < 12 else 'two'}/p{person:02}" for person in range(24)]
FILES = [(person, take) for person in range(NUM_PEOPLE) for take in range(3)]


def utterance(person, take):
    return f"{LABELS[person]}/{take}"


def spoken():
    """Every even person is a woman, the last one of an unknown sex; of two sessions, and of lengths from 1 to 9 s."""
    return [
        {
            "utterance_id": utterance(person, take),
            "corpus": LABELS[person].split("/")[0],
            "speaker_id": LABELS[person],
            "session_id": f"{LABELS[person]}/{take % 2}",
            "path": f"p{person:02}/{take}.flac",
            "start_s": 0.0,
            "duration_s": float(1 + 4 * take),
            "sex": None if person == 23 else ("female", "male")[person % 2],
        }
        for person, take in FILES
    ]


def listed():
    """(enrol, test, is_target) of all pairs of utterances, by ids; the first two labels are one person."""
    who = {utterance(person, take): max(person, 1) for person, take in FILES}
    ids = list(who)
    return [(one, other, who[one] == who[other]) for at, one in enumerate(ids) for other in ids[at + 1 :]]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """It has the benchmark `vietsv` with its list `test`, and `toy` with two lists, of which one has models."""
    made = Catalog(tmp_path_factory.mktemp("evaluate") / "catalog")

    def publish(table, rows, part="all"):
        made.publish(table, rows_of(table, rows), part=part, fingerprint="made")

    rows = spoken()
    for corpus in ("one", "two"):
        publish(UTTERANCES, [row for row in rows if row["corpus"] == corpus], corpus)
    publish(DECISIONS, [], "clean")
    publish(
        IDENTITIES,
        [{"speaker_id": label, "identity_id": LABELS[max(person, 1)]} for person, label in enumerate(LABELS)],
    )
    ages = [
        {"scheme": "leq29", "utterance_id": row["utterance_id"], "age_group": ("young", "old")[at % 3 // 2]}
        for at, row in enumerate(rows)
    ]
    publish(AGE_LABELS, ages)
    names = ("enrol_id", "test_id", "is_target")
    trials = [dict(zip(names, row, strict=True)) for row in listed()]
    models = [
        {"benchmark": "toy", "model_id": f"m{person:02}", "utterance_id": utterance(person, take)}
        for person in range(12, 24)
        for take in (0, 1)
    ]
    publish(MODELS, models, "toy")
    publish(TRIALS, [], "ages")
    of_models = [
        {"enrol_id": f"m{model:02}", "test_id": utterance(person, 2), "is_target": model == person}
        for model in range(12, 24)
        for person in range(12, 24)
    ]
    publish(TRIALS, [row | {"benchmark": "vietsv", "list": "test"} for row in trials], "vietsv")
    parts = [row | {"benchmark": "toy", "list": "test"} for row in trials]
    publish(TRIALS, [*parts, *(row | {"benchmark": "toy", "list": "models"} for row in of_models)], "toy")
    identity = {row["utterance_id"]: LABELS[max(at // 3, 1)] for at, row in enumerate(rows)}
    splits = [{"utterance_id": one, "identity_id": who, "split": "test"} for one, who in identity.items()]
    publish(SPLITS, [row | {"benchmark": "vietsv"} for row in splits], "vietsv")
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of scores of two systems, under the names of lists, and the list and its people as files."""
    place = tmp_path_factory.mktemp("scores")
    rng = np.random.default_rng(4)
    rows = listed()
    for system, apart in (("good", 2.5), ("poor", 1.5)):
        scores = rng.normal(size=len(rows)) + apart * np.array([row[2] for row in rows])
        lines = [
            f"{one}.flac {other}.flac {score!r}" for (one, other, _), score in zip(rows, scores.tolist(), strict=True)
        ]
        (place / f"{system}.txt").write_text("\n".join(lines[::-1]) + "\n")
    (place / "list.txt").write_text("".join(f"{int(is_target)} {a}.flac {b}.flac\n" for a, b, is_target in rows))
    (place / "utt2spk").write_text(
        "".join(f"{utterance(person, take)}.flac {LABELS[max(person, 1)]}\n" for person, take in FILES)
    )
    models = [f"m{m} {utterance(p, 2)} {3 * (m == p) + rng.normal()}" for m in range(12, 24) for p in range(12, 24)]
    (place / "models.txt").write_text("\n".join(models) + "\n")
    return place


@pytest.fixture
def say(folder, catalog, monkeypatch):
    """A command in the folder of the files; what it printed."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("VOXCURATE_CATALOG", raising=False)

    def command(*words, code=0):
        told = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert told.exit_code == code, told.output
        return told.output

    return command


def score_of(folder, system):
    return np.array([float(line.split()[2]) for line in (folder / f"{system}.txt").read_text().splitlines()][::-1])


def target():
    return np.array([row[2] for row in listed()])


def test_two_files_are_enough_for_figures_and_none_has_an_interval(say, folder):
    told = say("evaluate", "list.txt", "good.txt")
    eer = equal_error_rate(score_of(folder, "good"), target())
    lines = told.splitlines()
    assert lines[0].split() == ["subset", "metric", "value", "lower", "upper", "targets", "nontargets"]
    assert re.fullmatch(rf"all +eer +{eer:.6g} +{target().sum()} +{(~target()).sum()}", lines[2])
    assert lines[-1] == "no intervals: who speaks is not known; expected --people, or --catalog"
    assert "eer: linear interpolation between operating points; tied scores are one operating point" in lines


def test_the_metrics_that_are_asked_at_every_p_target_are_told_with_intervals_as_json(say, folder):
    asked = ("--metric", "min_dcf", "--metric", "min_cllr", "--p-target", 0.01, "--p-target", 0.001)
    told = json.loads(say("evaluate", "list.txt", "good.txt", "--people", "utt2spk", *asked, "--json"))
    scores = score_of(folder, "good")
    one, other, cllr = told["results"]
    assert (one["metric"], one["value"]) == ("min_dcf p=0.01", min_dcf(scores, target(), p_target=0.01))
    assert (other["metric"], other["value"]) == ("min_dcf p=0.001", min_dcf(scores, target(), p_target=0.001))
    assert (cllr["metric"], one["system"], one["benchmark"], one["list"]) == ("min_cllr", "good", "list", "list")
    assert all(row["lower"] < row["value"] < row["upper"] for row in (one, cllr))
    narrow = "min_dcf p=0.01, min_dcf p=0.001: interval from 23 people, likely too narrow; expected 40 or more"
    assert told["remarks"] == [narrow]
    again = json.loads(say("evaluate", "list.txt", "good.txt", "--people", "utt2spk", *asked, "--json"))
    assert again == told
    other_seed = json.loads(
        say("evaluate", "list.txt", "good.txt", "--people", "utt2spk", *asked, "--json", "--seed", 7)
    )
    assert other_seed["results"][0]["lower"] != one["lower"]


def test_figures_of_a_catalogs_list_are_published_and_broken_down(say, folder, catalog):
    by = ("--by", "sex", "--by", "corpus", "--by", "duration_s", "--by", "session_id", "--by", "age_group")
    told = say("evaluate", "vietsv/test", "good.txt", "-c", catalog.root, "--system", "a/b", "--metric", "eer", *by)
    rows = catalog.read(RESULTS, "vietsv--test--a_b").to_pylist()
    value = {row["subset"]: row["value"] for row in rows}
    assert {(row["benchmark"], row["list"], row["system"], row["metric"]) for row in rows} == {
        ("vietsv", "test", "a/b", "eer")
    }
    scores, is_target = score_of(folder, "good"), target()
    assert value["all"] == equal_error_rate(scores, is_target)
    of = {row["utterance_id"]: row for row in spoken()}
    sides = [(of[one], of[other]) for one, other, _ in listed()]

    def subset(test):
        some = np.array([test(*pair) for pair in sides])
        return equal_error_rate(scores[some], is_target[some])

    assert value["sex = female"] == subset(lambda a, b: a["sex"] == b["sex"] == "female")
    assert value["sex = female/male"] == subset(lambda a, b: {a["sex"], b["sex"]} == {"female", "male"})
    assert value["sex = unknown"] == subset(lambda a, b: None in (a["sex"], b["sex"]))
    assert value["corpus = one"] == subset(lambda a, b: a["corpus"] == b["corpus"] == "one")
    assert value["duration_s = under 2 s"] == subset(lambda a, b: min(a["duration_s"], b["duration_s"]) < 2)
    assert value["duration_s = 4-8 s"] == subset(lambda a, b: min(a["duration_s"], b["duration_s"]) == 5)
    assert value["age_group = old/young"] == subset(lambda a, b: (a["path"][-6] == "2") != (b["path"][-6] == "2"))
    assert value["session_id = not one session"] == subset(lambda a, b: a["session_id"] != b["session_id"])
    assert "corpus = one/two: 0 targets among 1296 trials; a figure takes both kinds" in told.splitlines()
    assert "session_id = one session: 24 targets among 24 trials; a figure takes both kinds" in told.splitlines()
    assert value.keys() >= {"duration_s = from 8 s", "age_group = young"}
    assert not any(name in value for name in ("corpus = one/two", "session_id = one session"))
    noted = next(row for row in last_done(catalog) if row["part"] == "vietsv--test--a_b")
    assert (noted["step"], noted["num_rows"]) == ("evaluate", len(rows))
    assert noted["summary"] == f"EER {100 * value['all']:.2f} % (a/b, list test of vietsv)"


def test_the_people_of_a_catalog_are_those_of_identities(say, folder, catalog):
    """Two labels are one person there: the interval is that of the people told beside a file, not that of labels."""
    about = ("--metric", "eer", "--json")
    of_catalog = json.loads(say("evaluate", "vietsv/test", "good.txt", "-c", catalog.root, *about))
    of_file = json.loads(say("evaluate", "list.txt", "good.txt", "--people", "utt2spk", *about))
    keys = ("value", "lower", "upper", "num_target", "num_nontarget", "conventions")
    assert [of_catalog["results"][0][key] for key in keys] == [of_file["results"][0][key] for key in keys]


def test_said_again_nothing_changes_and_another_system_may_not_take_its_part(say, catalog):
    words = ("evaluate", "toy/test", "good.txt", "-c", catalog.root, "--metric", "eer", "--system")
    part = catalog.path(RESULTS, "toy--test--x_y")
    say(*words, "x/y")
    before, noted = part.read_bytes(), catalog.path(RUNS).read_bytes()
    say(*words, "x/y")
    assert (part.read_bytes(), catalog.path(RUNS).read_bytes()) == (before, noted)
    with pytest.raises(
        VoxcurateError, match=r"^toy--test--x_y: has figures of 'x/y' on toy/test; expected another name"
    ):
        say(*words, "x:y")
    assert part.read_bytes() == before


def test_models_are_enrolled_under_the_person_and_the_length_of_their_utterances(say, catalog):
    words = ("evaluate", "toy/models", "models.txt", "-c", catalog.root, "--metric", "eer", "--by", "sex")
    rows = {row["subset"]: row for row in json.loads(say(*words, "--by", "duration_s", "--json"))["results"]}
    assert rows["all"]["num_target"] == 12
    assert rows["all"]["upper"] is not None
    assert rows["sex = male"]["num_target"] == 5  # of six, one is of unknown sex
    assert rows["duration_s = 4-8 s"]["num_target"] == 12  # 1 and 5 s enrolled, 9 s tested


def test_a_list_from_a_file_finds_its_utterances_in_the_catalog(say, catalog):
    named = ("--benchmark", "mine", "--list", "some")
    words = ("evaluate", "list.txt", "good.txt", "-c", catalog.root, "--metric", "eer", "--by", "sex")
    say(*words, *named)
    mine = catalog.read(RESULTS, "mine--some--good").to_pylist()
    say("evaluate", "toy/test", "good.txt", "-c", catalog.root, "--metric", "eer", "--by", "sex")
    toy = catalog.read(RESULTS, "toy--test--good").to_pylist()
    assert [row | {"benchmark": "toy", "list": "test"} for row in mine] == toy
    assert "expected --benchmark and --list" in say(*words, code=2)


def test_pictures_are_drawn_and_the_same_again(say, catalog, tmp_path):
    words = ("evaluate", "vietsv/test", "good.txt", "-c", catalog.root, "--by", "sex", "--pictures")
    for folder in ("one", "again"):
        say(*words, tmp_path / folder)
    names = {"det.svg", "scores_good.svg", "eer_by_sex_good.svg", "min_dcf_by_sex_good.svg"}
    assert {file.name for file in (tmp_path / "one").iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_files_are_compared_by_the_same_draws_beside_what_the_paper_reports(say, folder, catalog, tmp_path):
    words = ("compare", "good.txt", "bad=poor.txt", "--trials", "vietsv/test", "-c", catalog.root, "--metric", "eer")
    told = json.loads(say(*words, "--draws", 200, "--pictures", tmp_path, "--json"))
    (between,) = told["differences"]
    values = {row["system"]: row["value"] for row in told["results"]}
    assert values == {
        name: equal_error_rate(score_of(folder, file), target()) for name, file in (("good", "good"), ("bad", "poor"))
    }
    assert (between["metric"], between["system"], between["other"]) == ("eer", "good", "bad")
    assert between["difference"] == values["good"] - values["bad"] < 0
    assert between["lower"] < between["difference"] < between["upper"] < 0
    assert between["p"] == pytest.approx(2 / 201)
    assert {"system", "list", "metric", "value", "where"} == told["published"][0].keys()
    assert {one["list"] for one in told["published"]} == {"test"}
    assert {one["value"] for one in told["published"] if one["system"] == "ResNet-34 pretrained"} == {0.14954}
    assert {"det.svg", "scores_good.svg", "scores_bad.svg"} == {file.name for file in tmp_path.iterdir()}
    text = say(*words, "--draws", 200)
    assert re.search(r"^subset +metric +good +bad", text)
    assert re.search(r"^eer +good +bad +-0\.\d+ +-0\.\d+ +-0\.\d+ +0\.00995025$", text, re.MULTILINE)
    assert re.search(r"^ResNet-34 pretrained +eer +0.14954 +table 3$", text, re.MULTILINE)
    assert re.search(r"^published by +metric +value +where$", text, re.MULTILINE)
    assert "p: two-sided, of 200 draws of people, the same for both systems" in text.splitlines()


def test_published_figures_are_put_side_by_side_where_they_are_of_one_kind(say, catalog):
    words = ("-c", catalog.root, "--metric", "eer", "--metric", "min_dcf", "--p-target")
    say("evaluate", "toy/test", "good.txt", *words, 0.01, "--by", "corpus")
    say("evaluate", "toy/test", "poor.txt", *words, 0.05)
    text = say("compare", "good", "poor", "--trials", "toy/test", "-c", catalog.root)
    rows = [re.split(r" {2,}", line) for line in text.splitlines()]
    assert rows[0] == ["subset", "metric", "good", "poor"]
    cell = r"\d\.\d{4} \[\d\.\d{4}, \d\.\d{4}\]"
    assert re.fullmatch(cell, rows[2][2])
    assert re.fullmatch(cell, rows[2][3])
    assert [row[:2] for row in rows[2:] if len(row) > 1 and row[1] == "min_dcf" and row[0] == "all"] == [
        ["all", "min_dcf"],
        ["all", "min_dcf"],
    ]
    assert "min_dcf of all: computed in more than one way, a row each" in text.splitlines()
    with pytest.raises(VoxcurateError, match=r"^toy/test: no figures of 'fair'; there are good, poor"):
        say("compare", "good", "fair", "--trials", "toy/test", "-c", catalog.root)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("none.txt", "good.txt"), "none.txt: no such file; expected a list of trials, or `--catalog`"),
        (("none/test", "good.txt", "-c", "CATALOG"), "none/test: no such file, and no such benchmark in "),
        (("toy", "good.txt", "-c", "CATALOG"), "toy: no such list; expected toy/ and one of models, test"),
        (("ages", "good.txt", "-c", "CATALOG"), "ages: has no lists of trials; expected a benchmark that has some"),
        (("toy/none", "good.txt", "-c", "CATALOG"), "toy/none: no such list; expected toy/ and one of models, test"),
        (("list.txt", "good.txt", "--metric", "wer"), "metric 'wer'; expected any of eer, min_dcf, act_dcf, cllr"),
        (("list.txt", "good.txt", "--metric", "eer", "--metric", "eer"), "metric eer p=0.01: asked twice; expected"),
        (("list.txt", "good.txt", "--p-target", "0.01", "--p-target", "0.01"), "metric min_dcf p=0.01: asked twice"),
        (("list.txt", "good.txt", "--by", "sex"), "list.txt: what is told of its utterances is not known; expected"),
        (("toy/test", "good.txt", "-c", "CATALOG", "--by", "mood"), "--by mood: expected a column of utterances, or"),
        (("toy/test", "good.txt", "-c", "CATALOG", "--by", "utterance_id"), "--by utterance_id: "),
        (("list.txt", "good.txt", "--people", "good.txt"), "good.txt:1: "),
        (("list.txt", "good.txt", "--people", "none"), "none: no such file; expected lines of `utterance person`"),
        (("list.txt", "models.txt"), "models.txt: m12 two/p12/2: a score of no trial (144 in all); expected names"),
        (("one_kind.txt", "one.txt"), "one_kind.txt: 1 targets among 1 trials; expected both kinds"),
        (("one_kind.txt", "one.txt", "--form", "csv"), "form 'csv'; expected one of kaldi"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_one_line(words, told, say, folder, catalog):
    (folder / "one_kind.txt").write_text("1 a b\n")
    (folder / "one.txt").write_text("a b 0.5\n")
    with pytest.raises(VoxcurateError) as error:
        say("evaluate", *(str(catalog.root) if word == "CATALOG" else word for word in words))
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_people_who_are_not_all_told_are_named(say, folder):
    (folder / "few").write_text("".join((folder / "utt2spk").read_text().splitlines(keepends=True)[2:]))
    with pytest.raises(VoxcurateError, match=r"^list\.txt: one/p00/0\.flac: 2 of its names are of nobody known"):
        say("evaluate", "list.txt", "good.txt", "--people", "few")
    apart = (folder / "utt2spk").read_text() + "e\u0301 one/p01\n"
    (folder / "of_windows").write_text(apart.replace("\n", "\r\n"), encoding="utf-8-sig")
    assert people_in(folder / "of_windows")["one/p00/0.flac"] == people_in(folder / "of_windows")["\u00e9"] == "one/p01"
    (folder / "double").write_text((folder / "utt2spk").read_text() + "one/p00/0.flac somebody\n")
    with pytest.raises(VoxcurateError, match=r"^double:73: 'one/p00/0\.flac somebody'; expected `utterance person`"):
        say("evaluate", "list.txt", "good.txt", "--people", "double")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("good.txt",), "one system; expected two or more"),
        (("good.txt", "nobody"), "some are files of scores and some are not"),
        (("a", "b"), "no files of scores"),
        (("good.txt", "good=poor.txt"), "two files of scores are called so"),
    ],
)
def test_what_cannot_be_compared_is_refused(words, told, say):
    output = re.sub(r"\s+", " ", say("compare", *words, "--trials", "list.txt", code=2))
    assert told in output


@pytest.mark.parametrize("words", [("--metric", "eer"), ("--p-target", 0.01), ("--pictures", "drawn")])
def test_what_goes_with_files_alone_is_refused_beside_systems_of_the_catalog(words, say, catalog):
    told = say("compare", "one", "other", "--trials", "toy/test", "-c", catalog.root, *words, code=2)
    assert "--metric, --p-target and --pictures go with files of scores only" in re.sub(r"[\s│]+", " ", told)


@pytest.mark.parametrize("words", [("evaluate", "toy/test", "good.txt"), ("compare", "a", "b", "--trials", "toy/test")])
def test_a_place_without_a_catalog_is_told(words, say, tmp_path):
    with pytest.raises(VoxcurateError) as error:
        say(*words, "-c", tmp_path / "nothere")
    assert str(error.value).endswith("nothere: no catalog there; expected a folder that `curate run` has filled")


def test_a_figure_that_every_draw_shares_is_told_by_its_metric(say):
    """Nobody reaches the threshold of so rare a target: the cost is 1 whoever is drawn."""
    words = ("--people", "utt2spk", "--metric", "act_dcf", "--metric", "eer", "--p-target", 1e-6, "--json")
    told = json.loads(say("evaluate", "list.txt", "good.txt", *words))
    assert [row["lower"] is None for row in told["results"]] == [True, False]
    assert told["remarks"] == ["no interval of act_dcf: every draw of people comes to the same figure"]


def test_without_people_systems_stand_side_by_side_and_nothing_is_said_of_their_difference(say):
    told = json.loads(say("compare", "good.txt", "poor.txt", "--trials", "list.txt", "--metric", "eer", "--json"))
    assert len(told["results"]) == 2
    assert told["differences"] == told["published"] == []
    assert told["remarks"] == ["no intervals: who speaks is not known; expected --people, or --catalog"]


def test_a_benchmark_whose_name_runs_into_its_lists_takes_no_others_part(say, folder, catalog):
    words = ("evaluate", "list.txt", "good.txt", "-c", catalog.root, "--metric", "eer", "--system", "one")
    say(*words, "--benchmark", "mine", "--list", "a--b")
    with pytest.raises(VoxcurateError, match=r"^mine--a--b--one: has figures of 'one' on mine/a--b; expected another"):
        say(*words, "--benchmark", "mine--a", "--list", "b")


def made_list(num_people):
    """All pairs of two utterances of each person, and everybody's name."""
    ids = [f"p{person}/{take}" for person in range(num_people) for take in range(2)]
    rows = [(one, other, one[:-1] == other[:-1]) for at, one in enumerate(ids) for other in ids[at + 1 :]]
    columns = dict(zip(("enrol_id", "test_id", "is_target"), zip(*rows, strict=True), strict=True))
    people = {one: one.split("/")[0] for one in ids}
    trials = pa.table({name: pa.array(column) for name, column in columns.items()})
    return Listed(trials=trials, benchmark="mine", name="some", place="list.txt", people=people)


def test_differences_are_those_of_each_two_systems_by_each_metric_alone():
    listed, metrics = made_list(14), [Metric(name="eer"), Metric(name="min_dcf", p_target=0.05), Metric(name="cllr")]
    rng = np.random.default_rng(1)
    scores = {name: rng.normal(size=len(listed.is_target)) + 2.0 * listed.is_target for name in ("a", "b", "c")}
    _, rows = evaluating.differences(listed, scores, metrics, seed=3, num_draws=100)
    assert [row[:3] for row in rows] == [
        (metric, *both) for metric in ("eer", "min_dcf", "cllr") for both in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    people = evaluation.people_of(listed.trials, listed.people)
    for metric, three in zip(metrics, (rows[:3], rows[3:6], rows[6:]), strict=True):
        for _, one, other, *told in three:
            found = comparison.compared(
                evaluation.as_function(metric),
                scores[one],
                scores[other],
                listed.is_target,
                people,
                rng=np.random.default_rng([3, seeds.COMPARISON]),
                num_draws=100,
            )
            ends = (found.difference.value, found.difference.low, found.difference.high, found.p_value)
            assert told == pytest.approx(ends, abs=1e-9)


def test_of_few_people_with_targets_no_difference_is_sure():
    """There are 14 people, but targets of three of them: they have no interval, and their difference has none."""
    whole = made_list(14)
    kept = whole.trials.filter(pa.array([not target or at < 80 for at, target in enumerate(whole.is_target.tolist())]))
    listed = replace(whole, trials=kept)
    assert listed.is_target.sum() == 2
    scores = {name: np.random.default_rng(at).normal(size=len(kept)) for at, name in enumerate("ab")}
    _, ((_, _, _, difference, *rest),) = evaluating.differences(
        listed, scores, [Metric(name="eer")], seed=0, num_draws=100
    )
    assert difference == pytest.approx(
        equal_error_rate(scores["a"], listed.is_target) - equal_error_rate(scores["b"], listed.is_target)
    )
    assert rest == [None, None, None]
