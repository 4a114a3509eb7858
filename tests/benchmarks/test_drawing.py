"""Trials under random rules are all pairs that every rule allows and no other, and the report adds up."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.trial_rules import NoPairError, Rules, Side
from curate.conforming import conform
from curate.schema import TRIALS
from tests.benchmarks.trials_made import ANY, draw, pairs, steps, table

maybe, seeds = st.sampled_from, st.integers(0, 2**32 - 1)


def agreed(values):
    return min(values) if len(values) == 1 else None


def allowed_by_force(test, models, rules, is_target):
    """{(enrol, test)} of all that rules allow, each rule told again in its plainest words."""
    rows, said = test.to_pylist(), {}
    for row in rows:
        for column in ("sex", "nationality"):
            said.setdefault((row["identity_id"], column), set()).update({row[column]} - {None})
    for row in rows:
        row |= {column: agreed(said[row["identity_id"], column]) for column in ("sex", "nationality")}
    members = {u: [row for row in rows if row["utterance_id"] in us] for u, us in models.items()}
    return {
        (name, row["utterance_id"])
        for (name, model), row in product(members.items(), rows)
        if (model[0]["identity_id"] == row["identity_id"]) == is_target
        and row not in model
        and is_allowed(model, row, rules)
    }


def is_allowed(model, row, rules):
    spoken = [m["duration_s"] for m in model]
    if not is_side(model, None if None in spoken else sum(spoken), rules.enrol):
        return False
    if not is_side([row], row["duration_s"], rules.test):
        return False
    for m in model:
        if any(m[c] is None or m[c] != row[c] for c in rules.same):
            return False
        if any(m[c] is None or row[c] is None or m[c] == row[c] for c in rules.different):
            return False
        if any(m[c] is not None and m[c] == row[c] for c in rules.not_same):
            return False
        if not rules.same_recording and (m["corpus"], m["path"]) == (row["corpus"], row["path"]):
            return False
        ages = [m["age_min_years"], m["age_max_years"], row["age_min_years"], row["age_max_years"]]
        if rules.has_age and None in ages:
            return False
    if rules.has_age:
        ours = [age for m in model for age in range(m["age_min_years"], m["age_max_years"] + 1)]
        span = range(min(ours), max(ours) + 1)
        gaps = [abs(a - b) for a in span for b in range(row["age_min_years"], row["age_max_years"] + 1)]
        if rules.min_age_gap_years is not None and min(gaps) < rules.min_age_gap_years:
            return False
        if rules.max_age_gap_years is not None and max(gaps) > rules.max_age_gap_years:
            return False
    return True


def is_side(members, duration_s, side):
    if side.min_duration_s is not None and (duration_s is None or duration_s < side.min_duration_s):
        return False
    if side.max_duration_s is not None and (duration_s is None or duration_s > side.max_duration_s):
        return False
    return all(m[column] in values for m in members for column, values in side.only.items())


@st.composite
def catalogs(draw):
    """8 to 14 utterances of three people, two at least of two of them; all else may be unknown; in any order."""
    made = []
    sexes = {p: draw(maybe(["female", "male", None])) for p in "abc"}
    for i in draw(st.permutations(range(draw(st.integers(8, 14))))):
        person = "aabb"[i] if i < 4 else draw(maybe("abc"))
        low = draw(maybe([None, 20, 30, 31]))
        made.append(
            {
                "utterance_id": f"u{i:02}",
                "identity_id": person,
                "session_id": draw(maybe([f"{person}1", f"{person}2", None])),
                "sex": draw(maybe([sexes[person], sexes[person], None])),
                "nationality": draw(maybe(["vn", "vn", "vn", None, "kr"])),
                "corpus": draw(maybe("xy")),
                "path": draw(maybe("1234")),
                "language": draw(maybe(["vi", "ko", None])),
                "channel": draw(maybe([0, 1, None])),
                "age_min_years": low,
                "age_max_years": low and low + draw(maybe([0, 0, 9])),
                "duration_s": draw(maybe([None, 1.0, 2.0, 3.0])),
            }
        )
    return table(*made)


sides = maybe(
    [
        *[Side()] * 6,
        Side(min_duration_s=1.5),
        Side(max_duration_s=2.5),
        Side(only={"channel": (0,)}),
        Side(only={"sex": ("female",)}),
        Side(only={"language": ("vi", "xx"), "corpus": ("x",)}),
    ]
)


@st.composite
def rules(draw):
    """Any of them, one side in two the same as the other."""
    columns = ("session_id", "sex", "nationality", "corpus", "language", "channel")
    asked = draw(st.lists(maybe(columns), max_size=2, unique=True))
    how = {c: draw(maybe(["same", "different", "not_same", "not_same"])) if c in asked else "" for c in columns}
    chosen = {kind: tuple(c for c in columns if how[c] == kind) for kind in ("same", "different", "not_same")}
    enrol = draw(sides)
    return Rules(
        **chosen,
        same_recording=draw(st.booleans()),
        min_age_gap_years=draw(maybe([*[None] * 6, 1, 10])),
        max_age_gap_years=draw(maybe([*[None] * 6, 5, 11])),
        enrol=enrol,
        test=draw(maybe([enrol, draw(sides)])),
    )


@st.composite
def models_of(draw, test):
    """None for utterances, or models of one to three utterances of a person; a person may have two."""
    if draw(st.booleans()):
        return None
    made = []
    by_person = {}
    for row in test.to_pylist():
        by_person.setdefault(row["identity_id"], []).append(row["utterance_id"])
    for number in range(draw(st.integers(1, 5))):
        utterances = by_person[draw(maybe(sorted(by_person)))]
        chosen = draw(st.lists(maybe(utterances), min_size=1, max_size=2, unique=True))
        made += [(f"m{number}", u) for u in chosen]
    return pa.table({"model_id": [m for m, _ in made], "utterance_id": [u for _, u in made]})


def as_dict(test, models):
    if models is None:
        return {u: [u] for u in test["utterance_id"].to_pylist()}
    found = {}
    for model, utterance in zip(*(models[c].to_pylist() for c in ("model_id", "utterance_id")), strict=True):
        found.setdefault(model, []).append(utterance)
    return found


def has(set_of_pairs, models):
    """Where utterances are enrolled, a pair in either order is one."""
    return set_of_pairs if models is not None else {frozenset(pair) for pair in set_of_pairs}


@settings(max_examples=100)
@given(st.data())
def test_all_that_is_allowed_is_drawn_once_and_nothing_else(data):
    test = data.draw(catalogs())
    models = data.draw(models_of(test))
    ruled, one_kind = data.draw(rules()), data.draw(st.booleans())
    kinds = {one_kind: ruled, not one_kind: ANY}
    every = {kind: allowed_by_force(test, as_dict(test, models), kinds[kind], kind) for kind in (True, False)}
    if not all(every.values()):
        with pytest.raises(NoPairError, match=r"trials: no (non)?target is left"):
            draw(test, kinds[True], kinds[False], models=models)
        return
    drawn = draw(test, kinds[True], kinds[False], models=models)
    for kind, allowed in every.items():
        found = pairs(drawn, kind)
        assert set(found) <= allowed
        assert len(found) == len(has(set(found), models))
        assert has(set(found), models) == has(allowed, models)
        told = steps(drawn, kind)
        assert all(is_exact for *_, is_exact in told)
        for (_, examined, removed, _), (_, then, _, _) in pairwise(told):
            assert examined - removed == then
        assert told[-1][1:3] == (len(found), 0)
        first = allowed_by_force(test, as_dict(test, models), ANY, kind)
        own = sum(map(len, as_dict(test, models).values())) if kind and models else 0  # a model's own count as pairs
        assert told[0][1] == len(has(first, models)) + own
    assert conform(TRIALS, drawn.trials).num_rows == sum(len(pairs(drawn, kind)) for kind in kinds)


@settings(max_examples=100)
@given(st.data(), seeds, st.integers(1, 12), maybe([None, "people", "pairs of people"]))
def test_a_sample_is_of_what_is_allowed_whatever_the_order_of_rows_and_the_chunks(data, seed, most, balance):
    test = data.draw(catalogs())
    models = data.draw(models_of(test))
    ruled, one_kind = data.draw(rules()), data.draw(st.booleans())
    target = replace(ruled if one_kind else ANY, max_trials=most, balance=balance and "people")
    nontarget = replace(ANY if one_kind else ruled, max_trials=most, balance=balance)
    names = as_dict(test, models)
    every = [allowed_by_force(test, names, rule, kind) for rule, kind in ((target, True), (nontarget, False))]
    if not all(every):
        return
    drawn = draw(test, target, nontarget, models=models, seed=seed, at_once=data.draw(st.integers(1, 5)))
    for allowed, kind in zip(every, (True, False), strict=True):
        found = pairs(drawn, kind)
        assert set(found) <= allowed
        assert len(found) == len(has(set(found), models)) == min(most, len(has(allowed, models)))
    order = np.random.default_rng(seed).permutation(len(test))
    again = draw(test.take(pa.array(order)), target, nontarget, models=models, seed=seed)
    assert again.trials == drawn.trials
    assert again.report == drawn.report
