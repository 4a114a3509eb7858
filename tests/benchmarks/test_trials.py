"""What `make_trials` promises: every pair that is wanted or a sample of them, none twice, none of a wrong kind."""

from collections import Counter
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.trials import make_trials
from curate.conforming import conform
from curate.errors import PipelineError
from curate.schema import TRIALS

TEST = pa.schema([(name, pa.string()) for name in ("utterance_id", "identity_id", "session_id", "sex")])
ALL = 10**9
booleans, seeds = st.booleans(), st.integers(0, 2**32 - 1)


def table(*rows):
    """Rows of (utterance, person, session, sex); sessions are the person's own, as the schema says."""
    named = [(u, p, s and f"{p}/{s}", sex) for u, p, s, sex in rows]
    return pa.Table.from_pylist([dict(zip(TEST.names, row, strict=True)) for row in named], schema=TEST)


def make(test, *, targets=ALL, nontargets=ALL, cross_session=True, same_sex=True, seed=0):
    return make_trials(
        test,
        benchmark="toy",
        max_targets=targets,
        max_nontargets=nontargets,
        cross_session_targets=cross_session,
        same_sex_nontargets=same_sex,
        rng=np.random.default_rng(seed),
    )


def pairs(trials, is_target):
    rows = [row for row in trials.to_pylist() if row["is_target"] == is_target]
    return [frozenset((row["enrol_id"], row["test_id"])) for row in rows]


def by_force(test, cross_session, same_sex):
    """(targets, nontargets) of all that can be had, from every pair of rows."""
    rows, said = test.to_pylist(), {}
    for row in rows:
        said.setdefault(row["identity_id"], set()).update({row["sex"]} - {None})
    sex = {person: min(values) if len(values) == 1 else None for person, values in said.items()}
    targets, nontargets = set(), set()
    for one, other in combinations(rows, 2):
        pair = frozenset((one["utterance_id"], other["utterance_id"]))
        a, b = one["identity_id"], other["identity_id"]
        if a == b:
            one_session = (
                None not in (one["session_id"], other["session_id"]) and one["session_id"] == other["session_id"]
            )
            targets |= {pair} if not (cross_session and one_session) else set()
        elif not same_sex or (sex[a] is not None and sex[a] == sex[b]):
            nontargets.add(pair)
    return targets, nontargets


WORKED = table(
    ("u1", "ann", "s1", "female"),
    ("u2", "ann", "s1", "female"),
    ("u3", "ann", "s2", "female"),
    ("u4", "eve", "s1", "female"),
    ("u5", "tom", None, "male"),
    ("u6", "tom", None, "male"),
    ("u7", "kim", "s1", None),
)


def test_a_worked_case():
    trials = make(WORKED)
    assert {tuple(sorted(pair)) for pair in pairs(trials, True)} == {("u1", "u3"), ("u2", "u3"), ("u5", "u6")}
    assert {tuple(sorted(pair)) for pair in pairs(trials, False)} == {("u1", "u4"), ("u2", "u4"), ("u3", "u4")}
    assert trials["is_target"].to_pylist() == [True] * 3 + [False] * 3
    assert conform(TRIALS, trials).num_rows == 6


def test_without_conditions_every_pair_is_a_trial():
    trials = make(WORKED, cross_session=False, same_sex=False)
    assert len(pairs(trials, True)) == 3 + 1
    assert len(pairs(trials, False)) == 7 * 6 // 2 - 4


@st.composite
def sets_of_utterances(draw):
    """Up to 16 utterances of a few people, with and without session and sex, in any order; rows of one may disagree."""
    people = {person: draw(st.sampled_from(["female", "male", None])) for person in "abcde"}
    rows = draw(
        st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["1", "2", "3", None]), booleans), max_size=16)
    )
    odd = draw(st.sampled_from(["female", "male", None]))
    return table(*((f"u{i:02}", p, s, odd if is_odd else people[p]) for i, (p, s, is_odd) in enumerate(rows)))


@settings(deadline=None, max_examples=300)
@given(sets_of_utterances(), booleans, booleans)
def test_without_a_cap_the_trials_are_all_that_can_be_had_and_each_is_there_once(test, cross_session, same_sex):
    targets, nontargets = by_force(test, cross_session, same_sex)
    if not targets or not nontargets:
        with pytest.raises(PipelineError, match="trials: no"):
            make(test, cross_session=cross_session, same_sex=same_sex)
        return
    trials = make(test, cross_session=cross_session, same_sex=same_sex)
    assert Counter(pairs(trials, True)) == dict.fromkeys(targets, 1)
    assert Counter(pairs(trials, False)) == dict.fromkeys(nontargets, 1)


def crowd(num_people=8, num_utterances=5):
    rows = [(p, u) for p in range(num_people) for u in range(num_utterances)]
    return table(*((f"u{p}-{u}", f"p{p}", f"s{u % 3}", ["female", "male", None][p % 3]) for p, u in rows))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 300), booleans, booleans, seeds)
def test_a_sample_keeps_to_its_caps_and_to_the_pairs_that_can_be_had(
    targets, nontargets, cross_session, same_sex, seed
):
    test = crowd()
    trials = make(
        test, targets=targets, nontargets=nontargets, cross_session=cross_session, same_sex=same_sex, seed=seed
    )
    every = by_force(test, cross_session, same_sex)
    for is_target, cap, wanted in ((True, targets, every[0]), (False, nontargets, every[1])):
        drawn = pairs(trials, is_target)
        assert len(drawn) == len(set(drawn)) == min(cap, len(wanted))
        assert set(drawn) <= wanted


def test_targets_cross_sessions_nontargets_are_of_one_known_sex_and_nobody_meets_themselves():
    test = crowd()
    told = {row["utterance_id"]: row for row in test.to_pylist()}
    for row in make(test, targets=20, nontargets=50).to_pylist():
        one, other = told[row["enrol_id"]], told[row["test_id"]]
        assert row["enrol_id"] != row["test_id"]
        assert (one["identity_id"] == other["identity_id"]) == row["is_target"]
        if row["is_target"]:
            assert one["session_id"] != other["session_id"]
        else:
            assert one["sex"] == other["sex"] is not None


def test_two_labels_of_one_person_make_targets_and_never_nontargets_even_if_one_says_no_sex():
    """A person found in two corpora, one of which says nothing of sex: its rows once lay apart after sorting."""
    test = table(
        ("u1", "ann", "s1", "female"),
        ("u2", "ann", "s2", None),
        ("u3", "eve", "s1", "female"),
        ("u4", "zoe", "s1", None),
    )
    for same_sex in (True, False):
        trials = make(test, same_sex=same_sex)
        assert pairs(trials, True) == [frozenset(("u1", "u2"))]
        assert frozenset(("u1", "u2")) not in pairs(trials, False)
    assert len(pairs(make(test), False)) == 2  # eve with both of ann's


def test_the_same_seed_draws_the_same_trials_and_another_seed_draws_others():
    test, caps = crowd(), {"targets": 10, "nontargets": 30}
    assert make(test, **caps, seed=1) == make(test, **caps, seed=1)
    assert make(test, **caps, seed=1) != make(test, **caps, seed=2)


@settings(deadline=None)
@given(seeds)
def test_the_order_of_the_rows_does_not_matter(seed):
    test = crowd()
    order = np.random.default_rng(seed).permutation(len(test))
    assert make(test.take(pa.array(order)), targets=9, nontargets=9) == make(test, targets=9, nontargets=9)


def test_a_few_trials_of_half_a_thousand_million_do_not_enumerate_them():
    num = 30_000
    rows = [(f"u{i:05}", f"p{i // 2:05}", f"s{i % 2}", "female") for i in range(num)]
    trials = make(table(*rows), targets=100, nontargets=1000)
    nontargets = pairs(trials, False)
    assert len(set(nontargets)) == 1000
    assert all(int(min(pair)[1:]) // 2 != int(max(pair)[1:]) // 2 for pair in nontargets)
    spread = [int(min(pair)[1:]) for pair in nontargets]
    assert min(spread) < num / 100
    assert max(spread) > num / 2


def test_where_a_kind_of_trial_cannot_be_had_the_error_says_what_would_help():
    with pytest.raises(PipelineError, match="cross_session_targets = false"):
        make(table(("u1", "ann", "s1", "female"), ("u2", "ann", "s1", "female"), ("u3", "eve", "s1", "female")))
    with pytest.raises(PipelineError, match="same_sex_nontargets = false"):
        make(table(("u1", "ann", "s1", "female"), ("u2", "ann", "s2", "female"), ("u3", "tom", "s1", "male")))
    with pytest.raises(PipelineError, match="trials: no"):
        make(table())
