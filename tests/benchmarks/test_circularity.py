"""What an audit of circularity promises, on cases whose truth is known and against a slower route."""

import json
from dataclasses import asdict
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from benchmarks.circularity import (
    AUDITED,
    CONDITIONS,
    JUDGE,
    METRICS,
    NUM_CONTROLS,
    SYSTEMS,
    Rule,
    agreement,
    audit,
    before_cleaning,
    condition,
)
from benchmarks.circularity_report import as_json, as_text, in_words
from benchmarks.intervals import NUM_DRAWS
from benchmarks.metrics import Costs, equal_error_rate, min_dcf
from benchmarks.trials import make_trials

COLUMNS = ("utterance_id", "identity_id", "session_id", "sex")
NAMES = {AUDITED: "ears", JUDGE: "others"}
ANY = Rule(cross_session_targets=False, same_sex_nontargets=False)
FEW_DRAWS = 30  # where every trial is gone through for each
seeds = st.integers(0, 2**32 - 1)


def rows(*given):
    """Utterances before cleaning, from tuples of COLUMNS."""
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in given], schema=schema)


def left_of(given):
    """What a cleaning left: {utterance: person}."""
    columns = {"utterance_id": list(given), "identity_id": list(given.values())}
    return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def trials_of(test, rule=ANY, *, most=10**9, seed=0):
    return make_trials(
        test,
        benchmark="toy",
        max_targets=most,
        max_nontargets=most,
        **asdict(rule),
        rng=np.random.default_rng(seed),
    )


def audited(test, trials, scores, cleaned, *, rule=ANY, seed=0, num_draws=NUM_DRAWS):
    rng = np.random.default_rng(seed)
    return audit(test, trials, scores, cleaned, rule=rule, costs=Costs(), rng=rng, num_draws=num_draws)


# ------------------------------------------------------------------------------------------- what is asked, by hand

FOUR = rows(
    ("a1", "ann", "ann/1", "female"),
    ("a2", "ann", "ann/2", "female"),
    ("b1", "bob", "bob/1", "male"),
    ("b2", "bob", "bob/1", "male"),
    ("c1", "cat", None, "female"),
)


@pytest.mark.parametrize(
    ("after", "rule", "asked"),
    [
        ({"a1": "ann", "a2": "ann", "b1": "bob", "b2": "bob", "c1": "cat"}, ANY, "a1a2+ b1b2+ a1b1- a1b2- a1c1- c1b1-"),
        ({"a1": "ann", "b1": "bob", "b2": "bob", "c1": "cat"}, ANY, "b1b2+ a1b1- a1b2- a1c1- c1b1-"),
        # a2 goes to cat: a target becomes a nontarget
        ({"a1": "ann", "a2": "cat", "b1": "bob", "b2": "bob", "c1": "cat"}, ANY, "a1a2- b1b2+ a1b1- a1b2- a1c1- c1b1-"),
        # a1 goes to bob, where b1 is of one session and the other way round of two sexes
        ({"a1": "bob", "a2": "ann", "b1": "bob", "b2": "bob", "c1": "cat"}, ANY, "a1a2- b1b2+ a1b1+ a1b2+ a1c1- c1b1-"),
        (
            {"a1": "bob", "a2": "ann", "b1": "bob", "b2": "bob", "c1": "cat"},
            Rule(cross_session_targets=True, same_sex_nontargets=True),
            "b1b2+ a1b1+ a1b2+ a1c1- c1b1-",
        ),
        # b2 goes to somebody who is not in the test, and an utterance comes from without
        ({"a1": "ann", "a2": "ann", "b1": "bob", "b2": "dan", "c1": "cat", "z": "ann"}, ANY, "a1a2+ a1b1- a1c1- c1b1-"),
    ],
)
def test_a_trial_is_asked_where_both_sides_are_left_and_under_the_labels_that_they_have(after, rule, asked):
    pairs = [("a1", "a2"), ("b1", "b2"), ("a1", "b1"), ("a1", "b2"), ("a1", "c1"), ("c1", "b1")]
    test = before_cleaning(FOUR)
    ids = test.utterance_ids.to_pylist()
    left, right = (np.array([ids.index(pair[side]) for pair in pairs]) for side in (0, 1))
    found = condition(test, left, right, test.after(left_of(after)), rule)
    kept = [
        f"{one}{other}{'+' if is_target else '-'}"
        for (one, other), is_target, is_asked in zip(pairs, found.is_target, found.asked, strict=True)
        if is_asked
    ]
    assert kept == asked.split()


def test_a_new_target_of_one_session_and_a_new_nontarget_of_two_sexes_are_not_asked_where_the_rule_would_not():
    test = before_cleaning(
        rows(
            ("a1", "ann", "x", "female"),
            ("a2", "ann", "y", "female"),
            ("b1", "bob", "x", "male"),
            ("c1", "cat", "z", None),
        )
    )
    after = test.after(left_of({"a1": "bob", "a2": "ann", "b1": "bob", "c1": "ann"}))
    left, right = np.array([0, 0, 1, 0]), np.array([2, 1, 3, 3])  # a1b1, a1a2, a2c1, a1c1
    asked = {
        rule: condition(test, left, right, after, Rule(cross_session_targets=rule[0], same_sex_nontargets=rule[1]))
        for rule in product((False, True), repeat=2)
    }
    assert {rule: one.asked.tolist() for rule, one in asked.items()} == {
        (False, False): [True, True, True, True],
        (True, False): [False, True, True, True],
        (False, True): [True, False, True, True],
        (True, True): [False, False, True, True],
    }


def test_figures_worked_by_hand():
    """One of ann's is bad for the audited ears alone; without it they make no mistake."""
    test = rows(*((f"{p}{i}", p, None, "female") for p in "ab" for i in range(3)))
    trials = trials_of(test)
    both = list(zip(trials["enrol_id"].to_pylist(), trials["test_id"].to_pylist(), strict=True))
    clean = trials["is_target"].to_numpy().astype(float)
    bad = np.array([-1.0 if "a0" in pair else 0.0 for pair in both])
    left = {AUDITED: left_of({one: one[0] for one in ("a1", "a2", "b0", "b1", "b2")}), JUDGE: test}
    found = audited(test, trials, {AUDITED: clean + bad, JUDGE: clean}, left)
    assert (found.num_people, found.num_utterances) == (2, 6)
    assert [(one.num_target, one.num_nontarget) for one in found.conditions.values()] == [(6, 9), (4, 6), (6, 9)]
    before, cleaned, by_judge = (one.figures[AUDITED]["eer"].value for one in found.conditions.values())
    # targets 1 1 1 1 0 0, nontargets 0 x 6 and -1 x 3: accepting 4 targets and nothing else, or at 0 all 6 and 6 of 9
    assert before == pytest.approx(1 / 3 * 2 / 3)  # miss 1/3 - t/3 meets accept 2t/3 at t = 1/3
    assert (cleaned, by_judge) == (0.0, before)
    assert [one.figures[JUDGE]["eer"].value for one in found.conditions.values()] == [0.0, 0.0, 0.0]
    assert found.own_taste[AUDITED]["eer"].value == pytest.approx(-2 / 9)
    assert all(one["eer"].value == 0 for one in (found.changes[AUDITED][JUDGE], *found.changes[JUDGE].values()))
    assert (found.taken[AUDITED].dropped, found.taken[JUDGE].dropped) == (1, 0)
    drawn = found.controls[AUDITED]["eer"]
    assert len(drawn) == NUM_CONTROLS
    # dropped is always one of ann's: the bad one, or another, and then targets are 1 1 1 0, nontargets 0 x 3, -1 x 3
    assert sorted(set(drawn)) == pytest.approx([0, 1 / 6])  # miss 1/4 - t/4 meets accept t/2 at t = 1/3
    assert found.controls[JUDGE]["eer"] == [0.0] * NUM_CONTROLS


def test_random_drops_take_as_many_of_each_person():
    """Scores that tell who was dropped: of ann nothing is, so that her targets are always all there."""
    test = rows(*((f"{p}{i}", p, None, "female") for p in "ab" for i in range(4)))
    trials = trials_of(test)
    of_ann = np.array([one.startswith("a") for one in trials["enrol_id"].to_pylist()])
    scores = np.where(trials["is_target"].to_numpy(), np.where(of_ann, 0.0, 1.0), 0.5)
    left = {AUDITED: left_of({one: one[0] for one in ("a0", "a1", "a2", "a3", "b2", "b3")}), JUDGE: test}
    found = audited(test, trials, {AUDITED: scores, JUDGE: scores}, left)
    # 1 of bob's 6 targets is left, 6 of ann's miss: from (0, 6/7) straight to (1, 6/7) of accept, reject
    assert found.controls[AUDITED]["eer"] == pytest.approx([6 / 7] * NUM_CONTROLS)


# --------------------------------------------------------------------------------------------- a slower, other route


def toy(rng, *, num_people=5, num_each=6, share_gone=0.2, share_moved=0.1):
    """A test of made sexes and sessions, two systems' scores, and two cleanings that drop and move by chance."""
    people = [f"p{i}" for i in range(num_people)]
    sexes = [str(rng.choice(["female", "male"])) for _ in people]
    given = [
        (f"{p}-{i}", p, f"{p}/{rng.integers(3)}" if rng.random() < 0.8 else None, sex if rng.random() < 0.8 else None)
        for p, sex in zip(people, sexes, strict=True)
        for i in range(num_each)
    ]
    test = rows(*given, ("f1", "fay", None, "female"), ("f2", "fay", None, "female"), ("g1", "gil", None, "female"))
    cleaned = {}
    for system in SYSTEMS:
        cleaned[system] = left_of(
            {
                row["utterance_id"]: str(rng.choice([*people, "stranger"])) if move else row["identity_id"]
                for row, gone, move in zip(
                    test.to_pylist(),
                    rng.random(len(test)) < share_gone,
                    rng.random(len(test)) < share_moved,
                    strict=True,
                )
                if not gone
            }
        )
    return test, cleaned


def slowly(test, trials, scores, cleaned, rule, times):
    """{(system, condition): (EER, minDCF)}, trial by trial, each written out as often as its people are drawn."""
    before = {row["utterance_id"]: row for row in test.to_pylist()}
    sexes = {}
    for row in before.values():
        sexes.setdefault(row["identity_id"], set()).update({row["sex"]} - {None})
    people = {one: row["identity_id"] for one, row in before.items()}
    by_label = {CONDITIONS[0]: people}
    for name, system in zip(CONDITIONS[1:], SYSTEMS, strict=True):
        by_label[name] = {row["utterance_id"]: row["identity_id"] for row in cleaned[system].to_pylist()}
    for own, other in (CONDITIONS[1:], CONDITIONS[:0:-1]):  # what the other left where it was is as if nobody took it
        untaken = {one: person for one, person in people.items() if by_label[other].get(one) == person}
        by_label[f"shared_{own}"] = by_label[own] | untaken
    found = {}
    for (name, after), system in product(by_label.items(), SYSTEMS):
        written, keys = [], []
        for trial, score in zip(trials.to_pylist(), scores[system], strict=True):
            one, other = trial["enrol_id"], trial["test_id"]
            p, q = after.get(one), after.get(other)
            if p not in sexes or q not in sexes:
                continue
            if (p == q) != trial["is_target"]:
                sessions = {before[one]["session_id"], before[other]["session_id"]}
                if p == q and rule.cross_session_targets and len(sessions) == 1 and None not in sessions:
                    continue
                if p != q and rule.same_sex_nontargets and not (len(sexes[p]) == 1 and sexes[p] == sexes[q]):
                    continue
            copies = times[p] if p == q else times[p] * times[q]
            written += [score] * copies
            keys += [p == q] * copies
        mixed = True in keys and False in keys
        scored = np.array(written), np.array(keys, dtype=bool)
        found[system, name] = (equal_error_rate(*scored), min_dcf(*scored)) if mixed else (np.nan, np.nan)
    return found


def interval(values, bounds):
    """The value, and what `benchmarks.intervals` makes of draws."""
    value, drawn = values[0], [one for one in values[1:] if not np.isnan(one)]
    if np.isnan(value) or len(drawn) < FEW_DRAWS / 2:
        return value, np.nan, np.nan
    return value, *np.clip(np.quantile(drawn, [0.025, 0.975]) + value - np.mean(drawn), *bounds)


@settings(max_examples=8)
@given(seed=seeds, rule=st.builds(Rule, cross_session_targets=st.booleans(), same_sex_nontargets=st.booleans()))
def test_every_figure_is_that_of_trials_written_out_as_often_as_their_people_are_drawn(seed, rule):
    rng = np.random.default_rng(seed)
    test, cleaned = toy(rng)
    trials = trials_of(test, rule, most=60)
    scores = {system: np.round(trials["is_target"].to_numpy() + rng.normal(size=len(trials)), 1) for system in SYSTEMS}
    found = audited(test, trials, scores, cleaned, rule=rule, seed=seed, num_draws=FEW_DRAWS)

    people = list(dict.fromkeys(row["identity_id"] for row in test.sort_by("utterance_id").to_pylist()))
    person_of = dict(zip(test["utterance_id"].to_pylist(), test["identity_id"].to_pylist(), strict=True))
    asked = {person_of[one] for side in ("enrol_id", "test_id") for one in trials[side].to_pylist()}
    for system in SYSTEMS:  # also who is only there because a trial was relabelled
        after = dict(zip(*(cleaned[system][c].to_pylist() for c in ("utterance_id", "identity_id")), strict=True))
        for one, other in zip(trials["enrol_id"].to_pylist(), trials["test_id"].to_pylist(), strict=True):
            asked |= {after.get(one), after.get(other)} & set(people)
    present = [one for one in people if one in asked]
    draws = np.random.default_rng(seed).multinomial(len(present), np.full(len(present), 1 / len(present)), FEW_DRAWS)
    each = [dict.fromkeys(present, 1), *(dict(zip(present, row.tolist(), strict=True)) for row in draws)]
    slow = [slowly(test, trials, scores, cleaned, rule, times) for times in each]

    def same(estimate, values, bounds=(-np.inf, np.inf)):
        expected = interval(values, bounds)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, abs=1e-12, nan_ok=True)

    for at, metric in enumerate(METRICS):
        for system, name in product(SYSTEMS, CONDITIONS):
            same(found.conditions[name].figures[system][metric], [one[system, name][at] for one in slow], (0, 1))
        for by, name in zip(SYSTEMS, CONDITIONS[1:], strict=True):
            change = {
                system: [one[system, name][at] - one[system, CONDITIONS[0]][at] for one in slow] for system in SYSTEMS
            }
            for system in SYSTEMS:
                same(found.changes[by][system][metric], change[system])
            (other,) = set(SYSTEMS) - {by}
            alone = {
                system: [one[system, name][at] - one[system, f"shared_{name}"][at] for one in slow]
                for system in SYSTEMS
            }
            same(found.own_taste[by][metric], list(np.subtract(alone[by], alone[other])))


@given(taken=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_agreement_is_that_of_scikit_learn(taken):
    one, other = np.array(taken).T
    found = agreement(one, other)
    assert (found.both, found.neither) == (sum(a and b for a, b in taken), sum(not a and not b for a, b in taken))
    assert (found.audited_only, found.judge_only) == (
        sum(a and not b for a, b in taken),
        sum(b and not a for a, b in taken),
    )
    alike = len(set(one) | set(other)) == 1  # chance alone agrees always
    expected = np.nan if alike else cohen_kappa_score(one, other)
    assert found.kappa == pytest.approx(expected, nan_ok=True, abs=1e-12)


# ------------------------------------------------------------------------------------------------------- properties


@settings(max_examples=10)
@given(seed=seeds)
def test_neither_the_order_of_rows_nor_the_names_of_people_change_a_figure(seed):
    rng = np.random.default_rng(seed)
    test, cleaned = toy(rng)
    by_pair = {}

    def scored(trials):
        """The same score for the same two utterances, whichever side they are on."""
        found = {system: [] for system in SYSTEMS}
        for row in trials.to_pylist():
            pair = frozenset((row["enrol_id"], row["test_id"]))
            by_pair.setdefault(pair, row["is_target"] + rng.normal(size=2))
            for at, system in enumerate(SYSTEMS):
                found[system].append(by_pair[pair][at])
        return {system: np.array(one) for system, one in found.items()}

    trials = trials_of(test)
    expected = audited(test, trials, scored(trials), cleaned, num_draws=FEW_DRAWS)
    order = rng.permutation(len(trials))
    shuffled = {system: one.take(rng.permutation(len(one))) for system, one in cleaned.items()}
    again = audited(
        test.take(rng.permutation(len(test))),
        trials.take(order),
        {system: one[order] for system, one in scored(trials).items()},
        shuffled,
        num_draws=FEW_DRAWS,
    )
    assert json.dumps(as_json(again)) == json.dumps(as_json(expected))

    people = sorted(set(test["identity_id"].to_pylist()))
    new = dict(zip(people, rng.permutation([f"n{i}" for i in range(len(people))]).tolist(), strict=True))

    def renamed(table):
        names = [new.get(one, one) for one in table["identity_id"].to_pylist()]
        return table.set_column(table.column_names.index("identity_id"), "identity_id", pa.array(names))

    trials = trials_of(renamed(test))
    cleaned = {system: renamed(one) for system, one in cleaned.items()}
    again = audited(renamed(test), trials, scored(trials), cleaned, num_draws=FEW_DRAWS)
    assert json.dumps(as_json(again)) == json.dumps(as_json(expected))


def test_a_trial_of_an_utterance_that_was_not_in_the_test_is_told():
    trials = trials_of(FOUR)
    scores = {system: np.zeros(len(trials)) for system in SYSTEMS}
    with pytest.raises(ValueError, match="c1: in a trial, and not in the test before cleaning"):
        audited(FOUR.slice(0, 4), trials, scores, dict.fromkeys(SYSTEMS, FOUR))


# ----------------------------------------------------------------------------------------- cases whose truth is known


def spoken(rng, *, num_people=40, num_each=12, dimension=16, own_noise=(1.0, 1.0)):
    """Voices as both ears hear them: what is said differs a little for both, and each adds noise of its own."""
    person = np.repeat(np.arange(num_people), num_each)
    voices = rng.normal(size=(num_people, dimension))[person] + 0.3 * rng.normal(size=(len(person), dimension))
    heard = {}
    for system, noise in zip(SYSTEMS, own_noise, strict=True):
        loud = noise * rng.gamma(1.0, 1.0, size=(len(person), 1))  # some utterances it hears much worse
        vectors = voices + loud * rng.normal(size=voices.shape)
        heard[system] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return person, heard


def to_own_label(unit, label):
    """(N,) cosine of each to the others under its label."""
    sums = np.zeros((label.max() + 1, unit.shape[1]))
    np.add.at(sums, label, unit)
    others = sums[label] - unit
    return np.einsum("nd,nd->n", unit, others) / np.linalg.norm(others, axis=1)


def benchmark(label, heard, taken):
    ids = [f"u{i:04}" for i in range(len(label))]
    test = rows(*((one, f"p{p}", None, "female") for one, p in zip(ids, label, strict=True)))
    trials = trials_of(test, most=5000)
    left, right = (np.array([int(one[1:]) for one in trials[side].to_pylist()]) for side in ("enrol_id", "test_id"))
    scores = {system: np.einsum("td,td->t", unit[left], unit[right]) for system, unit in heard.items()}
    cleaned = {
        system: test.filter(pa.array(~gone)).select(["utterance_id", "identity_id"]) for system, gone in taken.items()
    }
    return audited(test, trials, scores, cleaned)


def worst(score, share=0.15):
    return score <= np.quantile(score, share)


@pytest.mark.parametrize("seed", range(5))
def test_cleaning_right_labels_by_ones_own_ears_is_told_as_circular(seed):
    label, heard = spoken(np.random.default_rng(seed))
    found = benchmark(label, heard, {system: worst(to_own_label(unit, label)) for system, unit in heard.items()})
    own, judge = (found.changes[AUDITED][system]["eer"] for system in SYSTEMS)
    assert own.high < 0
    assert judge.low < 0.003  # ears of its own hear nothing of it; 0.3 points are left to chance
    assert abs(judge.value) < abs(own.value) / 4
    at_random = found.controls[AUDITED]["eer"]
    assert found.conditions[CONDITIONS[1]].figures[AUDITED]["eer"].value < min(at_random)
    assert found.own_taste[AUDITED]["eer"].high < 0
    assert found.own_taste[JUDGE]["eer"].high < 0  # and the other way round
    assert any(line.startswith("Circularity: yes.") for line in in_words(found, NAMES))


def mislabelled(seed, *, share=0.15, own_noise=(0.5, 0.5), overlooked=0.0, too_much=0.0):
    """A benchmark with wrong labels. Both cleanings know of them, but for shares that each overlooks or takes wrongly,
    whatever it hears.
    """
    rng = np.random.default_rng(seed)
    person, heard = spoken(rng, own_noise=own_noise)
    num_people = person.max() + 1
    wrong = rng.random(len(person)) < share
    label = np.where(wrong, (person + rng.integers(1, num_people, len(person))) % num_people, person)
    chance = {system: rng.random(len(person)) for system in SYSTEMS}
    taken = {system: np.where(wrong, one >= overlooked, one < too_much) for system, one in chance.items()}
    return benchmark(label, heard, taken)


@pytest.mark.parametrize("own_noise", [(0.5, 0.5), (0.3, 1.0), (1.0, 0.3)])
@pytest.mark.parametrize("seed", range(2))
def test_taking_wrong_labels_away_is_not_told_as_circular(seed, own_noise):
    """However much better one hears than the other, and so gains more."""
    found = mislabelled(seed, own_noise=own_noise)
    own, judge = (found.changes[AUDITED][system]["eer"] for system in SYSTEMS)
    assert own.high < -0.05
    assert judge.high < -0.05
    assert [found.own_taste[by]["eer"].value for by in SYSTEMS] == [0, 0]
    assert found.agreement.kappa == 1
    told = in_words(found, NAMES)
    assert "Circularity: none. All that it takes, the cleaning of others takes, too." in told
    assert any(line.startswith("others finds the cleaned test easier, too") for line in told)


@pytest.mark.parametrize("own_noise", [(0.5, 0.5), (0.3, 1.0), (1.0, 0.3)])
def test_what_cleanings_take_wrongly_and_not_by_ear_is_no_taste(own_noise):
    found = mislabelled(0, own_noise=own_noise, too_much=0.05)
    falls = [found.changes[AUDITED][system]["eer"].value for system in SYSTEMS]
    taste = found.own_taste[AUDITED]["eer"]
    assert abs(taste.value) < 0.1 * abs(np.mean(falls))
    assert taste.low < 0 < taste.high


def test_where_the_interval_holds_zero_nothing_is_told():
    told = in_words(mislabelled(0, overlooked=0.1, too_much=0.05), NAMES)
    assert any(line.startswith("Circularity: none can be told from these 40 people.") for line in told)


def test_dropping_at_random_is_what_the_controls_do():
    rng = np.random.default_rng(1)
    label, heard = spoken(rng)
    found = benchmark(label, heard, {system: rng.random(len(label)) < 0.15 for system in SYSTEMS})
    for system, metric in product(SYSTEMS, METRICS):
        drawn = found.controls[system][metric]
        spread = max(drawn) - min(drawn)
        cleaned = found.conditions[CONDITIONS[1]].figures[system][metric].value
        assert min(drawn) - spread < cleaned < max(drawn) + spread
        assert np.mean(drawn) == pytest.approx(found.conditions[CONDITIONS[0]].figures[system][metric].value, abs=0.02)


# ---------------------------------------------------------------------------------------------------------- in words


def test_a_cleaning_that_takes_nothing_flatters_nobody():
    label, heard = spoken(np.random.default_rng(1), num_people=6)
    found = benchmark(label, heard, {system: np.zeros(len(label), dtype=bool) for system in SYSTEMS})
    assert in_words(found, NAMES) == [
        "The cleaning of ears takes none of the 72 utterances of the test away.",
        "So it flatters nobody.",
        "Of these utterances 0 are taken by both cleanings, 0 by that of ears alone, 0 by that of others alone; "
        "Cohen's kappa not defined.",
    ]
    assert as_json(found)["agreement"]["kappa"] is None
    json.dumps(as_json(found), allow_nan=False)


@pytest.mark.parametrize(
    ("people", "why"), [("ab", " from 2 people; it takes 10."), ("abcdefghij", ": EER is not defined before and after")]
)
def test_a_cleaning_that_leaves_no_target_is_told_without_figures(people, why):
    test = rows(*((f"{p}{i}", p, None, "female") for p in people for i in range(2)))
    trials = trials_of(test)
    scores = {system: trials["is_target"].to_numpy().astype(float) for system in SYSTEMS}
    found = audited(test, trials, scores, {AUDITED: left_of({f"{p}0": p for p in people}), JUDGE: test})
    assert found.conditions[CONDITIONS[1]].num_target == 0
    assert np.isnan(found.own_taste[AUDITED]["eer"].value)
    told = as_text(found, NAMES)
    assert f"Circularity: none can be told{why}" in told
    assert "nan" not in told
    json.dumps(as_json(found), allow_nan=False)


def test_of_few_people_no_taste_is_told():
    """With five, intervals of an EER hold the truth in 7 of 10 simulations."""
    label, heard = spoken(np.random.default_rng(0), num_people=9)
    found = benchmark(label, heard, {system: worst(to_own_label(unit, label)) for system, unit in heard.items()})
    assert found.own_taste[AUDITED]["eer"].high < 0
    assert "Circularity: none can be told from 9 people; it takes 10." in in_words(found, NAMES)


def test_a_judge_who_gains_more_is_told():
    label, heard = spoken(np.random.default_rng(1))
    taken = {AUDITED: worst(to_own_label(heard[JUDGE], label)), JUDGE: np.zeros(len(label), dtype=bool)}
    told = in_words(benchmark(label, heard, taken), NAMES)
    assert any(line.startswith("Circularity: none. By what it alone takes, the judge gains more") for line in told)
