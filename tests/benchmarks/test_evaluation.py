"""What `benchmarks.evaluation` promises: figures with intervals, counts and conventions, of any subset."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation import (
    OF_SCORES,
    as_function,
    coded,
    conventions,
    metric_names,
    names_in,
    of_todays_lists,
    people_of,
    result_rows,
    rows_by_group,
    told_of_intervals,
    values_by_weight,
    values_of,
)
from benchmarks.intervals import estimate
from benchmarks.metrics import EER_CONVENTIONS, Costs, act_dcf, cllr, equal_error_rate, min_cllr, min_dcf
from benchmarks.protocol import Metric
from curate.catalog import rows_of
from curate.conforming import conform
from curate.schema import RESULTS

EVERY = [
    Metric(name="eer"),
    Metric(name="min_dcf", p_target=0.01),
    Metric(name="min_dcf", p_target=0.001),
    Metric(name="act_dcf", p_target=0.2),
    Metric(name="cllr"),
    Metric(name="min_cllr"),
]
result = partial(result_rows, benchmark="toy", list_name="test", system="ge2e")
by_group = partial(rows_by_group, benchmark="toy", list_name="test", system="ge2e")


def ids(places):
    return pa.chunked_array([pa.array([f"toy/{i}" for i in places], pa.string())])


def asked(left, right, is_target):
    return pa.table({"enrol_id": ids(left), "test_id": ids(right), "is_target": pa.array(is_target, pa.bool_())})


def made(num_people=20, *, seed=0, apart=2.0):
    """(scores, trials, person): three utterances a person, all pairs of them."""
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(3 * num_people, 1)
    is_target = left // 3 == right // 3
    scores = rng.normal(size=len(left)) + apart * is_target
    return scores, asked(left, right, is_target), {f"toy/{i}": f"p{i // 3}" for i in range(3 * num_people)}


def test_a_worked_case():
    """Half of two targets missed where one of three is accepted; four people have no interval."""
    scores, is_target = np.array([0.9, 0.4, 0.6, 0.1, 0.2]), np.array([True, True, False, False, False])
    trials = asked([0, 2, 0, 0, 0], [1, 3, 2, 4, 5], is_target)
    person = {f"toy/{i}": name for i, name in enumerate("aabbcd")}
    metrics = [Metric(name="eer"), Metric(name="min_dcf", p_target=0.05)]
    rows = result(scores, trials, person, metrics=metrics, rng=np.random.default_rng(1), subset="sex = female")
    eer, dcf = conform(RESULTS, rows).to_pylist()
    common = {"benchmark": "toy", "list": "test", "system": "ge2e", "subset": "sex = female"}
    common |= {"num_target": 2, "num_nontarget": 3, "lower": None, "upper": None}
    assert eer == common | {"metric": "eer", "value": pytest.approx(1 / 3), "conventions": EER_CONVENTIONS}
    told = Costs(p_target=0.05).conventions()
    assert dcf == common | {"metric": "min_dcf", "value": pytest.approx(0.5), "conventions": told}


def test_each_figure_is_that_of_its_metric_and_has_the_interval_of_it_alone():
    scores, trials, person = made()
    is_target = trials["is_target"].to_numpy()
    rows = result(scores, trials, person, metrics=EVERY, rng=np.random.default_rng(1)).to_pylist()
    alone = [equal_error_rate, min_dcf, partial(min_dcf, p_target=0.001), partial(act_dcf, p_target=0.2)]
    alone += [cllr, min_cllr]
    people = people_of(trials, person)
    for row, metric, of_scores in zip(rows, alone, map(as_function, EVERY), strict=True):
        expected = estimate(metric, scores, is_target, people, rng=np.random.default_rng(1))
        assert row["value"] == expected.value == of_scores(scores, is_target)
        low, high = expected.low, expected.high
        if row["metric"].startswith(("eer", "min")):
            low, high = max(low, 0), min(high, 1)
        assert (row["lower"], row["upper"]) == pytest.approx((low, high), abs=1e-9)
        assert row["lower"] < row["upper"]
    assert [row["metric"] for row in rows] == [
        *("eer", "min_dcf p=0.01", "min_dcf p=0.001", "act_dcf"),
        *("cllr", "min_cllr"),
    ]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_intervals_hold_their_figure_with_ties_and_without(seed, digits):
    scores, trials, person = made(12, seed=seed)
    scores = scores.round(digits)
    for row in result(scores, trials, person, metrics=EVERY, rng=np.random.default_rng(seed)).to_pylist():
        assert row["lower"] is None or row["lower"] <= row["value"] + 1e-12 <= row["upper"] + 2e-12


def test_scores_without_a_mistake_have_an_upper_end_in_every_figure():
    scores, trials, person = made(apart=100.0)
    metrics = [Metric(name=name) for name in ("eer", "min_dcf", "act_dcf", "min_cllr")]
    rows = result(scores - 50, trials, person, metrics=metrics, rng=np.random.default_rng(1)).to_pylist()
    rate = rows[0]["upper"]
    assert (1 - rate) ** 20 + (1 - rate) ** 10 == pytest.approx(0.05)
    entropy = -(rate * np.log2(rate) + (1 - rate) * np.log2(1 - rate))
    expected = [rate, 1, rate + 99 * rate, entropy]  # 99 false accepts cost as much as a miss
    assert [(row["value"], row["lower"]) for row in rows] == [(0, 0)] * 4
    assert [row["upper"] for row in rows] == pytest.approx(expected)


def test_a_threshold_that_nobody_reaches_costs_the_same_in_every_draw_which_is_no_interval():
    scores, trials, person = made()
    (row,) = result(
        scores, trials, person, metrics=[Metric(name="act_dcf", p_target=1e-6)], rng=np.random.default_rng(1)
    ).to_pylist()
    assert (row["value"], row["lower"], row["upper"]) == (1, None, None)


def test_costs_of_bad_ratios_and_their_intervals_are_not_cut_off_at_one():
    scores, trials, person = made()
    metrics = [Metric(name="act_dcf", p_target=0.3), Metric(name="cllr")]
    rows = result(4 * scores + 4, trials, person, metrics=metrics, rng=np.random.default_rng(1)).to_pylist()
    assert all(1 < row["lower"] < row["value"] < row["upper"] for row in rows)


def test_without_people_there_are_figures_and_no_intervals():
    scores, trials, person = made()
    known = result(scores, trials, person, metrics=EVERY, rng=np.random.default_rng(1))
    unknown = result(scores, trials, None, metrics=EVERY, rng=np.random.default_rng(1))
    assert unknown["value"] == known["value"]
    assert unknown["lower"].null_count == unknown["upper"].null_count == len(EVERY)


def test_the_interval_does_not_depend_on_people_who_are_in_no_trial():
    scores, trials, person = made(12)
    others = {f"toy/train{i}": name for i, name in enumerate(("a", "p00", "z"))}
    drawn = [
        result(scores, trials, known, metrics=EVERY, rng=np.random.default_rng(1))
        for known in (person, person | others)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0]["lower"].null_count == 0


def test_ids_of_nobody_are_named():
    scores, trials, person = made(12)
    del person["toy/7"], person["toy/9"]
    with pytest.raises(ValueError, match=r"^toy/7: 2 ids of the trials are of nobody"):
        result(scores, trials, person, metrics=EVERY, rng=np.random.default_rng(1))


@pytest.mark.parametrize("is_target", [True, False])
def test_one_kind_of_trial_is_an_error(is_target):
    trials = asked([0, 1], [2, 3], [is_target] * 2)
    with pytest.raises(ValueError, match="expected both kinds"):
        result(np.ones(2), trials, None, metrics=EVERY[:1], rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([Metric(name="min_dcf", p_target=0.001)], ["min_dcf"]),
        (EVERY[:3], ["eer", "min_dcf p=0.01", "min_dcf p=0.001"]),
        (
            [Metric(name="act_dcf"), Metric(name="act_dcf", cost_miss=10), Metric(name="act_dcf", cost_false_accept=2)],
            ["act_dcf p=0.01", "act_dcf p=0.01 c_miss=10", "act_dcf p=0.01 c_fa=2"],
        ),
    ],
)
def test_a_metric_is_told_in_full_where_several_of_its_name_are_asked(metrics, expected):
    assert metric_names(metrics) == expected


def test_metrics_of_other_things_or_asked_twice_are_refused():
    with pytest.raises(ValueError, match=r"^wer: not computed of scores; expected any of eer, min_dcf"):
        metric_names([Metric(name="wer")])
    with pytest.raises(ValueError, match=r"^eer p=0\.01: asked twice"):
        metric_names([Metric(name="eer"), Metric(name="eer")])


def test_every_metric_says_its_conventions():
    told = {name: conventions(Metric(name=name, p_target=0.05, cost_miss=10)) for name in OF_SCORES}
    assert len(set(told.values())) == len(OF_SCORES)
    assert all("p_target 0.05, C_miss 10" in told[name] for name in ("min_dcf", "act_dcf"))
    assert all("log-likelihood ratios" in told[name] for name in ("act_dcf", "cllr"))


def test_groups_are_figured_as_if_each_were_alone_and_what_they_lack_is_told():
    """Women and men of twelve each; pairs of both have no targets, and one pair of strangers is no more than told."""
    scores, trials, person = made(24)
    sex = np.array(["f" if int(person[one][1:]) < 12 else "m" for one in trials["enrol_id"].to_pylist()])
    other = np.array(["f" if int(person[one][1:]) < 12 else "m" for one in trials["test_id"].to_pylist()])
    groups = np.where(sex == other, sex, "f/m").astype(object)
    groups[-1] = None
    found = by_group(scores, trials, person, groups, column="sex", metrics=EVERY[:2], rng=np.random.default_rng(1))
    told = [(row["subset"], row["metric"]) for row in found.rows.to_pylist()]
    assert told == [(f"sex = {name}", metric) for name in "fm" for metric in ("eer", "min_dcf")]
    assert found.remarks == [
        "sex = f: min_dcf: interval from 12 people, likely too narrow; expected 40 or more",
        f"sex = f/m: 0 targets among {36 * 36} trials; a figure takes both kinds",
        "sex = m: min_dcf: interval from 12 people, likely too narrow; expected 40 or more",
        "sex = unknown: 1 targets among 1 trials; a figure takes both kinds",
    ]
    for at, name in enumerate("fm"):
        some, rows = groups == name, found.rows.slice(2 * at, 2).to_pylist()
        assert rows[0]["value"] == equal_error_rate(scores[some], trials["is_target"].to_numpy()[some])
        assert rows[0]["num_target"] + rows[0]["num_nontarget"] == some.sum()
        alone = by_group(
            scores[some],
            trials.filter(pa.array(some)),
            person,
            groups[some],
            column="sex",
            metrics=EVERY[:2],
            rng=np.random.default_rng(1),
        )
        assert alone.rows.to_pylist() == rows
    assert conform(RESULTS, found.rows).num_rows == 4


def test_a_group_of_few_people_has_figures_and_is_told_to_have_no_interval():
    scores, trials, person = made(12)
    groups = np.array(["few" if int(person[one][1:]) < 3 else "many" for one in trials["test_id"].to_pylist()])
    found = by_group(scores, trials, person, groups, column="corpus", metrics=EVERY[:1], rng=np.random.default_rng(1))
    few, many = found.rows.to_pylist()
    assert (few["subset"], few["lower"], many["subset"]) == ("corpus = few", None, "corpus = many")
    assert found.remarks[0] == "corpus = few: no interval; it takes 10 people with trials of each kind"


def test_a_group_whose_draws_are_all_alike_says_of_which_metric():
    scores, trials, person = made(14)
    metrics, groups = [Metric(name="eer"), Metric(name="act_dcf", p_target=1e-6)], np.full(len(scores), "all")
    found = by_group(scores, trials, person, groups, column="corpus", metrics=metrics, rng=np.random.default_rng(1))
    told = "corpus = all: no interval of act_dcf: every draw of people comes to the same figure"
    assert found.remarks == [told]


def test_an_interval_of_a_cost_from_fewer_than_forty_people_is_told_to_be_too_narrow():
    """The kind of trial counts that has fewer people: here targets, of all but one or two of 41."""
    scores, trials, person = made(41)
    rows = result(scores, trials, person, metrics=EVERY, rng=np.random.default_rng(1))
    who, is_target = people_of(trials, person)[0], trials["is_target"].to_numpy()
    for num_people, told in (
        (40, []),
        (39, ["min_dcf p=0.01, min_dcf p=0.001, act_dcf: interval from 39 people, likely "]),
    ):
        some = ~is_target | (who < num_people)
        found = told_of_intervals(rows, scores[some], trials.filter(pa.array(some)), person)
        assert found == [line + "too narrow; expected 40 or more" for line in told]


def test_the_exact_interval_of_a_list_without_a_mistake_is_not_told_to_be_too_narrow():
    scores, trials, person = made(12, apart=100.0)
    rows = result(scores, trials, person, metrics=EVERY[:2], rng=np.random.default_rng(1))
    assert rows["value"].to_pylist() == [0, 0]
    assert rows["lower"].null_count == 0
    assert told_of_intervals(rows, scores, trials, person) == []


def test_what_lacks_an_interval_and_what_has_too_narrow_a_one_are_both_told():
    scores, trials, person = made(14)
    metrics = [Metric(name="act_dcf", p_target=1e-6), Metric(name="min_dcf")]
    rows = result(scores, trials, person, metrics=metrics, rng=np.random.default_rng(1))
    assert told_of_intervals(rows, scores, trials, person) == [
        "no interval of act_dcf: every draw of people comes to the same figure",
        "min_dcf: interval from 14 people, likely too narrow; expected 40 or more",
    ]


@given(st.lists(st.integers(0, 5), min_size=1), st.booleans())
def test_names_are_coded_whatever_holds_them(places, as_dictionary):
    column = ids(places)
    chunks = pa.chunked_array([column.chunk(0), column.chunk(0)])
    table = pa.table({"enrol_id": chunks.dictionary_encode() if as_dictionary else chunks, "test_id": chunks})
    names = names_in(table)
    assert sorted(names) == sorted({f"toy/{i}" for i in places})
    place = {name: int(name[4:]) for name in names}
    assert coded(table["enrol_id"], place).tolist() == [*places, *places]
    assert coded(table["test_id"], {}).tolist() == [-1] * 2 * len(places)


@given(st.integers(0, 30), st.sampled_from([None, 1, 0]))
@settings(max_examples=20, deadline=None)
def test_ranked_once_every_figure_of_a_weight_is_that_of_its_metric(seed, digits):
    scores, trials, _ = made(6, seed=seed)
    scores = scores if digits is None else scores.round(digits)
    is_target = trials["is_target"].to_numpy()
    weighed, rng = values_by_weight(scores, is_target, EVERY), np.random.default_rng(seed)
    for weight in (np.ones(len(scores)), *rng.integers(0, 4, (3, len(scores))).astype(np.float64)):
        expected = [as_function(metric)(scores, is_target, weight=weight) for metric in EVERY]
        assert weighed(weight) == pytest.approx(expected, abs=1e-9)
    assert weighed(np.ones(len(scores))) == pytest.approx(values_of(scores, is_target, EVERY), abs=1e-9)
    assert np.isnan(weighed(1.0 * is_target)).all()


def test_figures_of_a_list_that_was_drawn_anew_are_left_out_and_no_figure_is_there_twice():
    def told(list_name, system, num_target, *, subset="all", value=0.1):
        row = {"benchmark": "toy", "list": list_name, "system": system, "subset": subset, "metric": "eer"}
        return row | {"value": value, "num_target": num_target, "num_nontarget": 3, "conventions": "none"}

    rows = [
        told("a", "ge2e", 2),
        told("a", "ge2e", 1, value=0.3),  # of before it was drawn anew, by another command
        told("a", "older", 1),
        told("a", "ge2e", 1, subset="sex = female"),
        told("a", "ge2e", 2, value=0.2),
        told("gone", "ge2e", 2),
        told("b", "older", 1),
    ]
    kinds = {"a": (2, 3), "b": (1, 3)}
    trials = [{"list": name, "is_target": i < num[0]} for name, num in kinds.items() for i in range(sum(num))]
    for order in (rows, [rows[1], rows[0], *rows[2:]]):
        left = of_todays_lists(rows_of(RESULTS, order), pa.Table.from_pylist(trials))
        assert left.to_pylist() == rows_of(RESULTS, [rows[0], rows[6]]).to_pylist()
    of_none = pa.table({"list": pa.array([], pa.string()), "is_target": pa.array([], pa.bool_())})
    assert of_todays_lists(rows_of(RESULTS, rows), of_none).num_rows == 0
