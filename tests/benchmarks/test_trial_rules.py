"""What each rule for trials promises, worked by hand, and on real speech; and that chance favours no pair."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy.stats import chi2

from benchmarks.trial_rules import NoPairError, Rules, Side, made_models
from benchmarks.trials import Draw, make_trials, write_trials
from curate.corpora.librispeech import Settings, rows
from curate.errors import PipelineError
from curate.schema import TRIALS
from curate.similarity import unit
from tests.benchmarks.trials_made import ANY, draw, pairs, steps, table

# ----------------------------------------------------------------------------------------------------- worked by hand


def people(num_people, num_utterances, num_sessions=2):
    return table(
        *(
            {
                "utterance_id": f"p{p}-{u:02}",
                "identity_id": f"p{p}",
                "session_id": f"p{p}/{u % num_sessions}",
                "sex": ("female", "male")[p % 2],
            }
            for p in range(num_people)
            for u in range(num_utterances)
        )
    )


def test_the_report_counts_what_each_rule_takes():
    """Four people of four utterances in two sessions: 4 x 6 pairs of one person, 4 x 2 in one session."""
    rule = Rules(same=("sex",), max_trials=10)
    drawn = draw(people(4, 4), Rules(not_same=("session_id",)), rule)
    assert steps(drawn, True) == [
        ("not the same session_id", 24, 8, True),
        ("not the same recording", 16, 0, True),
        ("all", 16, 0, True),
    ]
    assert steps(drawn, False) == [
        ("same sex", 6 * 16, 4 * 16, True),
        ("not the same recording", 32, 0, True),
        ("at most 10", 32, 22, True),
    ]


def test_what_only_a_look_can_tell_is_told_as_a_share():
    ages = [{"identity_id": f"p{i}", "age_min_years": 20 + i, "age_max_years": 20 + i} for i in range(40)]
    test = pa.concat_tables([table(*ages), table({"utterance_id": "x", "identity_id": "p0"})])
    drawn = draw(test, ANY, replace(ANY, min_age_gap_years=20, max_trials=30))
    (_, known, unknown, _), (constraint, examined, removed, is_exact), last = steps(drawn, False)
    assert (known, unknown) == (40 * 41 // 2 - 1, 39)
    assert constraint == "age gap of at least 20 years"
    assert not is_exact
    assert examined - removed == 30
    assert last == ("at most 30", None, None, False)
    for one, other in pairs(drawn, False):
        assert abs(int(one[1:]) - int(other[1:])) >= 20


def test_ages_that_are_ranges_are_as_near_or_far_as_they_may_be():
    test = table(
        {"identity_id": "a", "age_min_years": 20, "age_max_years": 29},
        {"identity_id": "a"},
        {"identity_id": "b", "age_min_years": 35, "age_max_years": 39},
    )
    assert len(pairs(draw(test, ANY, replace(ANY, min_age_gap_years=6, max_age_gap_years=19)), False)) == 1
    for gap in ({"min_age_gap_years": 7}, {"max_age_gap_years": 18}):
        with pytest.raises(NoPairError, match="age gap"):
            draw(test, ANY, replace(ANY, **gap))


def test_of_each_person_at_most_so_many_targets_and_as_many_as_of_any_other():
    rows = [
        {"identity_id": p, "session_id": f"{p}{u}"} for p, num in (("a", 20), ("b", 5), ("c", 2)) for u in range(num)
    ]
    test = table(*rows)
    who = dict(zip(*(test[c].to_pylist() for c in ("utterance_id", "identity_id")), strict=True))
    capped = draw(test, Rules(max_per_person=4))
    assert Counter(who[u] for u, _ in pairs(capped, True)) == {"a": 4, "b": 4, "c": 1}
    assert steps(capped, True)[-1] == ("at most 4 of each person", 190 + 10 + 1, 192, True)
    even = draw(test, Rules(max_trials=15, balance="people"))
    assert sorted(Counter(who[u] for u, _ in pairs(even, True)).values()) == [1, 7, 7]
    assert "b" in {who[u] for u, _ in pairs(draw(test, Rules(max_trials=3, balance="people")), True)}


def test_nontargets_are_balanced_over_people_or_over_pairs_of_people():
    """Three women and seven men; one of the men has half of all utterances."""
    rows = [
        {"identity_id": f"p{p}", "sex": "female" if p < 3 else "male"}
        for p in range(10)
        for _ in range(40 if p == 9 else 4)
    ]
    test = table(*rows)
    test = test.set_column(0, "utterance_id", pa.array([f"u{i:03}" for i in range(len(test))]))
    who = dict(zip(*(test[c].to_pylist() for c in ("utterance_id", "identity_id")), strict=True))

    def met(balance, num):
        drawn = draw(test, ANY, Rules(same=("sex",), balance=balance, max_trials=num))
        return [(who[one], who[other]) for one, other in pairs(drawn, False)]

    assert Counter(p for pair in met("people", 60) for p in pair) == {f"p{p}": 12 for p in range(10)}
    assert set(Counter(map(frozenset, met("pairs of people", 48))).values()) == {2}
    uneven = Counter(p for pair in met(None, 60) for p in pair)
    assert uneven["p9"] > 20


def test_models_are_tested_with_what_is_neither_theirs_nor_of_their_sessions():
    test = people(2, 6)
    models = pa.table({"model_id": ["m0", "m0", "m1"], "utterance_id": ["p0-00", "p0-02", "p1-01"]})
    drawn = draw(test, Rules(not_same=("session_id",)), Rules(), models=models)
    assert pairs(drawn, True) == [("m0", f"p0-{u:02}") for u in (1, 3, 5)] + [("m1", f"p1-{u:02}") for u in (0, 2, 4)]
    assert len(pairs(drawn, False)) == 2 * 6
    loose = draw(test, Rules(), Rules(), models=models)
    assert [test for model, test in pairs(loose, True) if model == "m0"] == [f"p0-{u:02}" for u in (1, 3, 4, 5)]


def test_a_model_of_two_sessions_is_tested_with_a_third():
    test = people(2, 6, num_sessions=3)
    models = pa.table({"model_id": ["m", "m"], "utterance_id": ["p0-00", "p0-01"]})
    drawn = draw(test, Rules(not_same=("session_id",)), Rules(), models=models)
    assert pairs(drawn, True) == [("m", "p0-02"), ("m", "p0-05")]


def test_models_are_made_of_one_session_each():
    test = pa.concat_tables([people(3, 7, num_sessions=3), table({"identity_id": "q", "session_id": "q/0"})])
    made = made_models(test, 2, rng=np.random.default_rng(0)).to_pylist()
    session = dict(zip(*(test[c].to_pylist() for c in ("utterance_id", "session_id")), strict=True))
    assert Counter(row["model_id"] for row in made) == {"p0": 2, "p1": 2, "p2": 2}
    for person in ("p0", "p1", "p2"):
        assert len({session[row["utterance_id"]] for row in made if row["model_id"] == person}) == 1
    chosen = {made_models(test, 2, rng=np.random.default_rng(seed))["utterance_id"][0].as_py() for seed in range(30)}
    assert len(chosen) > 2
    shuffled = test.take(pa.array(np.random.default_rng(1).permutation(len(test))))
    assert made_models(shuffled, 2, rng=np.random.default_rng(0)).to_pylist() == made
    gone = test.filter(pc.not_equal(test["identity_id"], made[0]["model_id"]))
    rest = made_models(gone, 2, rng=np.random.default_rng(0)).to_pylist()
    assert rest == [row for row in made if row["model_id"] != made[0]["model_id"]], "the models of others stay"
    with pytest.raises(PipelineError, match="nobody of the test has a session of 4"):
        made_models(test, 4, rng=np.random.default_rng(0))


# ----------------------------------------------------------------------------------------------------- hard by cosine


def voices(test, dimension=6, seed=0):
    return np.random.default_rng(seed).normal(size=(len(test), dimension)).astype(np.float32)


def cosines_of(test, vectors, drawn):
    place = {u: i for i, u in enumerate(test["utterance_id"].to_pylist())}
    directions = unit(vectors).astype(float)
    return [directions[place[a]] @ directions[place[b]] for a, b in drawn]


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9])
def test_hard_nontargets_are_those_from_a_quantile_on(quantile):
    test = people(6, 5)
    vectors = voices(test)
    all_of_them = cosines_of(test, vectors, pairs(draw(test), False))
    found = pairs(draw(test, ANY, replace(ANY, min_cosine_quantile=quantile), vectors=vectors), False)
    assert len(found) == sum(np.array(all_of_them) >= np.quantile(all_of_them, quantile) - 1e-9)
    assert min(cosines_of(test, vectors, found)) >= np.quantile(all_of_them, quantile) - 1e-9


def test_the_hardest_of_each_utterance_are_those_of_the_whole_matrix():
    test = people(6, 5)
    vectors = voices(test)
    found = pairs(draw(test, ANY, Rules(same=("sex",), hardest_per_enrolment=2), vectors=vectors), False)
    directions, told = unit(vectors).astype(float), test.to_pylist()
    expected = set()
    for i, one in enumerate(told):
        others = [j for j, o in enumerate(told) if o["sex"] == one["sex"] and o["identity_id"] != one["identity_id"]]
        best = sorted(others, key=lambda j: -directions[i] @ directions[j])[:2]
        expected |= {frozenset((one["utterance_id"], told[j]["utterance_id"])) for j in best}
    assert len(found) == len(expected)
    assert {frozenset(pair) for pair in found} == expected
    some = pairs(draw(test, ANY, Rules(same=("sex",), hardest_per_enrolment=2, max_trials=7), vectors=vectors), False)
    assert len(some) == 7
    assert set(some) <= set(found)


def test_vectors_go_with_their_rows_and_those_of_models_are_means():
    test = people(4, 4)
    vectors = voices(test)
    rule = Rules(hardest_per_enrolment=1)
    models = pa.table({"model_id": ["m", "m"], "utterance_id": ["p0-00", "p0-02"]})
    drawn = draw(test, Rules(), rule, models=models, vectors=vectors)
    mean = unit(vectors)[[0, 2]].mean(axis=0)
    best = max(range(4, 16), key=lambda j: mean @ unit(vectors)[j])
    assert pairs(drawn, False) == [("m", test["utterance_id"][best].as_py())]
    order = np.random.default_rng(2).permutation(len(test))
    again = draw(test.take(pa.array(order)), Rules(), rule, models=models, vectors=vectors[order])
    assert again.trials == drawn.trials
    with pytest.raises(PipelineError, match="no vectors are given"):
        draw(test, Rules(), rule)


# ------------------------------------------------------------------------------------------------------------- chance


@pytest.mark.parametrize(
    "rule",
    [
        Rules(same=("sex",), max_trials=3),
        Rules(same=("sex",), not_same=("channel",), max_trials=3),  # tested, not numbered
        Rules(same=("sex",), max_trials=3, balance="pairs of people"),  # where all have as many
        Rules(same=("sex",), max_trials=3, balance="people"),
        Rules(enrol=Side(only={"channel": (0,)}), max_trials=3),
    ],
)
def test_every_pair_is_drawn_as_often(rule):
    test = people(6, 2)
    test = test.set_column(test.column_names.index("channel"), "channel", pa.array([0, 1] * 6, pa.int16()))
    every = {frozenset(p) for p in pairs(draw(test, ANY, replace(rule, max_trials=None, balance=None)), False)}
    drawn = Counter()
    for seed in range(500):
        drawn.update(frozenset(pair) for pair in pairs(draw(test, ANY, rule, seed=seed), False))
    assert drawn.keys() == every
    expected = 1500 / len(every)
    deviation = sum((count - expected) ** 2 / expected for count in drawn.values())
    assert chi2.sf(deviation, len(every) - 1) > 0.001


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("targets", "nontargets", "message"),
    [
        (Rules(same=("book",)), ANY, "no column 'book'"),
        (Rules(not_same=("session_id", "sex")), ANY, "`not the same sex` took the last"),
        (ANY, Rules(different=("language",)), "`language known` took the last 96 of 96 pairs"),
        (ANY, Rules(same=("sex",), test=Side(min_duration_s=9)), "`test of at least 9 s` took the last"),
        (
            ANY,
            Rules(enrol=Side(only={"sex": ("male",)}), same=("sex",), test=Side(only={"sex": ("female",)})),
            "same sex",
        ),
        (Rules(balance="pairs of people"), ANY, "targets.balance"),
        (Rules(hardest_per_enrolment=1), ANY, "hard by cosine"),
        (ANY, Rules(max_per_person=1), "max_per_person"),
    ],
)
def test_errors_name_what_took_the_last(targets, nontargets, message):
    with pytest.raises(PipelineError, match=message) as caught:
        draw(people(4, 4), targets, nontargets)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_trials": 0}, "(?s)max_trials.*greater than or equal to 1"),
        ({"min_cosine_quantile": 1.0}, "min_cosine_quantile"),
        ({"hardest_per_enrolment": 2, "balance": "people"}, "with balance"),
        ({"same": ("sex",), "different": ("sex",)}, "sex must be the same and not the same"),
        ({"min_age_gap_years": "5"}, "(?s)min_age_gap_years.*valid integer"),
        ({"sames": ("sex",)}, "(?s)sames.*Unexpected keyword"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Rules(**wrong)


def test_rows_and_models_that_do_not_fit_are_refused():
    test = people(2, 2)
    for ids, message in ((["p0-00", "p1-00"], "of two people"), (["p0-00", "nobody"], "no utterance nobody")):
        with pytest.raises(PipelineError, match=message):
            draw(test, models=pa.table({"model_id": ["m", "m"], "utterance_id": ids}))
    with pytest.raises(PipelineError, match="u00 is in the test twice"):
        draw(table({"identity_id": "a"}, {"identity_id": "b", "utterance_id": "u00"}))
    with pytest.raises(NoPairError, match="no person of the test has two"):
        draw(table({"identity_id": "a"}, {"identity_id": "b"}))


# ------------------------------------------------------------------------------------------------------------ written


def test_what_is_written_as_it_is_drawn_is_what_is_drawn(tmp_path):
    test = people(6, 20)
    rule = Rules(same=("sex",), max_trials=500)
    drawn = draw(test, Rules(not_same=("session_id",)), rule)
    writing = Draw(
        test,
        targets=Rules(not_same=("session_id",)),
        nontargets=rule,
        rng=np.random.default_rng(0),
    )
    report = write_trials(tmp_path / "trials.parquet", writing, benchmark="toy")
    written = pq.read_table(tmp_path / "trials.parquet")
    assert written.schema.types == TRIALS.arrow().types
    by = [("is_target", "descending"), ("enrol_id", "ascending"), ("test_id", "ascending")]
    assert written.sort_by(by).to_pylist() == drawn.trials.sort_by(by).to_pylist()
    assert report == drawn.report


def test_where_paths_are_told_no_trial_is_of_one_recording():
    """Two channels of one call, and two files."""
    test = table(
        {"identity_id": "a", "path": "call", "sex": "male"},
        {"identity_id": "b", "path": "call", "sex": "male"},
        {"identity_id": "a", "path": "1", "sex": "male"},
        {"identity_id": "b", "path": "2", "sex": "male"},
    )
    caps = {"max_targets": 99, "max_nontargets": 99, "cross_session_targets": True, "same_sex_nontargets": True}
    made = [
        make_trials(rows, benchmark="toy", **caps, rng=np.random.default_rng(0)).to_pylist()
        for rows in (test, test.drop_columns(["path"]))
    ]
    assert [len(rows) for rows in made] == [2 + 3, 2 + 4]
    assert ("u00", "u01") not in {(row["enrol_id"], row["test_id"]) for row in made[0]}


# --------------------------------------------------------------------------------------------------------------- real


def librispeech(root):
    """The readers' utterances, with their chapter as session, and the book of each chapter."""
    lines = [line.split("|") for line in (root / "CHAPTERS.TXT").read_text().splitlines() if not line.startswith(";")]
    book = {line[0].strip(): line[5].strip() for line in lines}
    settings = Settings(name="libri", reader="librispeech", root=str(root))
    made = [
        {
            "utterance_id": row.path,
            "identity_id": row.speaker,
            "session_id": f"{row.speaker}/{row.session}",
            "sex": row.sex,
            "path": row.path,
            "book": book[row.session],
        }
        for row in rows(root, settings)
    ]
    return pa.table({name: [row[name] for row in made] for name in made[0]} | {"corpus": ["libri"] * len(made)})


@pytest.mark.real
@pytest.mark.parametrize(("sitting", "num_targets"), [("session_id", 1200), ("book", 400)])
def test_librispeech_under_the_rules_of_vaessen_and_van_leeuwen(corpora, sitting, num_targets):
    """All pairs, no targets of one book (or chapter), nontargets of one sex (section 3.1 of the paper of 2023).

    Of the three readers that have two chapters, only one read them from two books.
    """
    test = librispeech(corpora / "LibriSpeech")
    drawn = draw(test, Rules(not_same=(sitting,)), Rules(same=("sex",)))
    told = test.to_pylist()
    expected = {True: set(), False: set()}
    for one, other in combinations(told, 2):
        is_target = one["identity_id"] == other["identity_id"]
        if one[sitting] != other[sitting] if is_target else one["sex"] == other["sex"]:
            expected[is_target].add(frozenset((one["utterance_id"], other["utterance_id"])))
    for kind in (True, False):
        found = pairs(drawn, kind)
        assert len(found) == len(set(found)) == len(expected[kind])
        assert {frozenset(pair) for pair in found} == expected[kind]
    assert len(expected[True]) == num_targets
