"""What `benchmarks.class_results` promises: scikit-learn's figures, intervals over people, and contradictions."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from benchmarks.class_results import (
    CONVENTIONS,
    Told,
    beside_papers,
    class_rows,
    contradiction_rows,
    contradicts,
    conventions,
    text_rows,
)
from benchmarks.classes import accuracy, macro_f1, macro_recall, weighted_f1
from benchmarks.intervals import estimate
from benchmarks.protocol import Figure, load_protocol
from curate.conforming import conform
from curate.schema import CLASS_RESULTS

GROUPS = ("young", "adult", "senior")
ABOUT = ("toy", "eval", "small")


def told(said, truth, person=None, classes=GROUPS):
    person = range(len(said)) if person is None else person
    said, truth, person = (np.array(column, np.int64) for column in (said, truth, person))
    return Told(task="age_group", classes=classes, said=said, truth=truth, person=person)


def rows_of(one, seed=0):
    rows = class_rows(one, *ABOUT, rng=np.random.default_rng(seed))
    return {(row["class_name"], row["metric"]): row for row in conform(CLASS_RESULTS, rows).to_pylist()}


def at_random(seed, *, num_people=30, each=4, share=0.7):
    """People of one class each, of whom some utterances are told rightly, and some but the first of no known class."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(num_people), each)
    truth = (person % 3).astype(np.int64)
    said = np.where(rng.random(len(person)) < share, truth, rng.integers(0, 3, len(person)))
    is_unknown = (rng.random(len(person)) < 0.1) & (np.arange(len(person)) % each > 0)
    return told(said, np.where(is_unknown, -1, truth), person)


def test_a_worked_case():
    """Of three young one is told adult; the one adult is told young; of one nothing is known."""
    found = rows_of(told([0, 0, 1, 0, 2], [0, 0, 0, 1, -1], [7, 7, 8, 9, 9]))
    young = [found["young", name] for name in ("precision", "recall", "f1")]
    assert [row["value"] for row in young] == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert {(row["num_utterances"], row["num_people"]) for row in young} == {(3, 2)}
    assert found["adult", "recall"]["value"] == found["adult", "precision"]["value"] == 0
    assert [found["senior", name]["value"] for name in ("precision", "recall", "f1")] == [None, None, None]
    assert found["all", "macro f1"]["value"] == pytest.approx(1 / 3)
    assert found["all", "weighted f1"]["value"] == pytest.approx(1 / 2)
    assert found["all", "accuracy"]["value"] == pytest.approx(1 / 2)
    assert {(row["num_utterances"], row["num_people"]) for (name, _), row in found.items() if name == "all"} == {(4, 3)}
    assert {row["lower"] for row in found.values()} == {None}
    assert found["all", "macro recall"]["conventions"] == (
        "mean of the classes that some utterance is of; right / truly so"
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2), st.integers(0, 12)), min_size=1, max_size=60))
def test_values_are_scikit_learns_of_what_is_known(triples):
    said, truth, person = np.array(triples).T
    found = rows_of(told(said, truth, person))
    known = truth >= 0
    if not known.any():
        assert found == {}
        return
    said, truth = said[known], truth[known]
    there = np.unique(truth)
    theirs = precision_recall_fscore_support(truth, said, labels=there, zero_division=0)
    for place, code in enumerate(there):
        for metric, values in zip(("precision", "recall", "f1"), theirs, strict=False):
            assert found[GROUPS[code], metric]["value"] == pytest.approx(values[place], abs=1e-12)
        assert found[GROUPS[code], "f1"]["num_utterances"] == theirs[3][place]
        assert found[GROUPS[code], "f1"]["num_people"] == len(np.unique(person[known][truth == code]))
    for mean in ("macro", "weighted"):
        theirs = precision_recall_fscore_support(truth, said, labels=there, average=mean, zero_division=0)
        for metric, value in zip(("precision", "recall", "f1"), theirs, strict=False):
            assert found["all", f"{mean} {metric}"]["value"] == pytest.approx(value, abs=1e-12)
    assert found["all", "accuracy"]["value"] == pytest.approx(accuracy_score(truth, said))


@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_those_of_rows_weighed_one_by_one(seed):
    """The same draws of people, by `benchmarks.intervals`, which knows no confusion matrices of people."""
    one = at_random(seed)
    known = one.is_known
    said, truth, person = one.said[known], one.truth[known], one.person[known]
    found = rows_of(one, seed)
    metrics = {"accuracy": accuracy, "macro recall": macro_recall, "macro f1": macro_f1, "weighted f1": weighted_f1}
    for name, metric in metrics.items():
        slow = estimate(metric, said, truth, [person], rng=np.random.default_rng(seed), bounds=(0, 1))
        row = found["all", name]
        assert (row["value"], row["lower"], row["upper"]) == pytest.approx((slow.value, slow.low, slow.high))


@given(st.integers(0, 2**16))
def test_intervals_hold_the_value_lie_within_0_and_1_and_do_not_lean_on_the_order(seed):
    one = at_random(seed)
    found = rows_of(one)
    for row in found.values():
        assert 0 <= row["lower"] <= row["upper"] <= 1
        assert row["lower"] - 1e-9 <= row["value"] <= row["upper"] + 1e-9
    order = np.random.default_rng(seed).permutation(len(one.said))
    assert rows_of(told(one.said[order], one.truth[order], one.person[order])) == found


def test_an_interval_takes_ten_people_of_the_class_and_of_every_class_for_a_macro_mean():
    people = np.repeat(np.arange(22), 3)
    truth = np.where(people < 9, 0, 1)
    said = np.where(np.arange(66) % 4 == 0, 1 - truth, truth)
    found = rows_of(told(said, truth, people))
    assert found["young", "recall"]["num_people"] == 9
    has_none = {key for key, row in found.items() if row["lower"] is None}
    macro = {("all", f"macro {name}") for name in ("precision", "recall", "f1")}
    assert (
        has_none == {(name, metric) for name in ("young", "senior") for metric in ("precision", "recall", "f1")} | macro
    )
    people[people == 21] = 0  # a tenth young person, who is of both
    truth[-3:], said[-3:] = 1, 0
    people[-3] = 9
    truth[-3] = 0
    found = rows_of(told(said, truth, people))
    assert found["young", "recall"]["num_people"] == 10
    assert {key[0] for key, row in found.items() if row["lower"] is None} == {"senior"}


def test_figures_of_which_no_draw_tells_another_have_no_interval():
    people = np.repeat(np.arange(34), 2)
    found = rows_of(told(people % 7 % 3, people % 7 % 3, people))  # of shares that do not add up to 1 in each draw
    assert {row["value"] for row in found.values()} == {1}
    assert {row["upper"] for row in found.values()} == {None}


def test_each_word_of_a_metric_is_explained_once():
    rows = class_rows(at_random(1), *ABOUT, rng=np.random.default_rng(0))
    names = ["precision", "recall", "f1", "macro", "weighted", "accuracy"]
    assert conventions(rows) == [f"{name}: {CONVENTIONS[name]}" for name in names]
    assert conventions(rows.slice(1, 1)) == [f"recall: {CONVENTIONS['recall']}"]


def test_nothing_known_is_no_row():
    assert rows_of(told([0, 1], [-1, -1])) == {}


def test_contradictions_worked_by_hand():
    """Subgroups 0 and 1 are young, 2 is adult: of five utterances two are told as cannot be."""
    found = contradicts(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 2, 1]), (0, 0, 1))
    assert found.tolist() == [False, False, True, False, True]
    row, *others = contradiction_rows(
        found, np.array([4, 4, 5, 5, 9]), *ABOUT, rng=np.random.default_rng(0)
    ).to_pylist()
    assert others == []
    assert (row["task"], row["class_name"], row["metric"]) == ("age_subgroup", "all", "contradiction")
    assert (row["value"], row["num_utterances"], row["num_people"]) == (2 / 5, 5, 3)
    assert row["lower"] is row["upper"] is None


def test_contradictions_have_the_interval_of_a_share_over_people():
    rng = np.random.default_rng(5)
    person = np.repeat(np.arange(20), 5) * 3
    found = rng.random(100) < rng.beta(2, 5, 61)[person]
    (row,) = contradiction_rows(found, person, *ABOUT, rng=np.random.default_rng(1)).to_pylist()

    def share(said, truth, *, weight=None):
        return float(np.average(said, weights=weight))

    slow = estimate(share, found, found, [person], rng=np.random.default_rng(1), bounds=(0, 1))
    assert (row["value"], row["lower"], row["upper"]) == pytest.approx((slow.value, slow.low, slow.high))


def test_figures_of_papers_stand_beside_ours_of_the_same_name():
    rows = class_rows(at_random(1), *ABOUT, rng=np.random.default_rng(0))
    ours = {(row["class_name"], row["metric"]): row["value"] for row in rows.to_pylist()}
    age = beside_papers(rows, load_protocol("voxceleb-enrichment-leq17").figures)
    assert {figure.metric for figure, _ in age} == {f"precision of {name}" for name in GROUPS}  # none of a list
    assert all(value == ours[figure.metric.removeprefix("precision of "), "precision"] for figure, value in age)
    mixup = {figure.metric: value for figure, value in beside_papers(rows, load_protocol("aihub-age").figures)}
    assert mixup["f1 of age class"] == ours["all", "macro f1"]
    assert mixup["recall of age class"] == ours["all", "macro recall"]
    assert mixup["f1 of sex"] is None


def test_a_class_that_two_tasks_have_is_that_of_the_first():
    """60-69 years are a group of the mixup paper, and its one subgroup."""
    figure = Figure(system="theirs", list="none", metric="f1 of 60-69", value=0.5, where="table 1")
    groups = told([0, 1, 1], [0, 1, 0], classes=("40-59", "60-69"))
    subgroups = replace(told([0, 0, 1], [0, 1, 0], classes=("50-59", "60-69")), task="age_subgroup")
    tables = [class_rows(one, *ABOUT, rng=np.random.default_rng(0)) for one in (groups, subgroups)]
    assert beside_papers(pa.concat_tables(tables), [figure]) == [(figure, rows_of(groups)["60-69", "f1"]["value"])]


def test_word_and_character_error_rates_by_hand_and_by_jiwer():
    """ONE TWO -> ONE TO loses a character; THREE -> nothing loses a word of five: 2 of 3 words, 6 of 12 characters."""
    rows = text_rows(
        ["One, two", "three"], ["ONE TO", ""], np.array([4, 4]), "b", "s", "x", rng=np.random.default_rng(0)
    )
    found = {row["metric"]: row for row in rows.to_pylist()}
    assert {row["task"] for row in found.values()} == {"text"}
    assert found["wer"]["value"] == pytest.approx(2 / 3)
    assert found["cer"]["value"] == pytest.approx(6 / 12)
    assert (found["wer"]["num_utterances"], found["wer"]["num_people"], found["wer"]["lower"]) == (2, 1, None)
    assert [line.partition(":")[0] for line in conventions(rows)] == ["wer", "cer"]


def test_an_error_rate_of_enough_people_has_an_interval_that_may_pass_one():
    said = ["a b c d e f"] * 40
    told = ["a b c d e f" if at % 2 else "u v w x y z 1 2 3 4 5 6" for at in range(40)]
    (row, _) = text_rows(said, told, np.arange(40), "b", "s", "x", rng=np.random.default_rng(0)).to_pylist()
    assert row["value"] == 1.0
    assert row["lower"] < 1 < row["upper"]
