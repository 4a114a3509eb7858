"""What `benchmarks.building` promises: the splits and the lists that a protocol says, and what each rule took."""

import numpy as np
import pytest

from benchmarks.list_files import read_models, write_models, write_voxceleb
from benchmarks.protocol import Filters, Source, Split, TrialList
from benchmarks.trial_rules import Rules, Side
from curate.conforming import conform
from curate.errors import PipelineError
from curate.schema import MODELS, REMOVALS, SPLITS, TRIALS
from tests.benchmarks.catalogs_made import (
    ALL,
    TOY,
    built,
    catalog,
    enrolments,
    pairs,
    people,
    protocol,
    published,
    removals,
    several,
    sides,
)

# ------------------------------------------------------------------------------------------------- sources, filters


def test_sources_are_told_by_reader_or_name_by_labels_and_by_what_rows_say():
    rows = catalog(
        {"utterance": "a", "speaker": "id10001", "corpus_split": "dev"},
        {"utterance": "b", "speaker": "id00012", "corpus_split": "dev"},
        {"utterance": "c", "speaker": "id00013", "corpus_split": "test"},
        {"utterance": "d", "speaker": "id00014", "corpus": "mine", "reader": "x", "corpus_split": "dev"},
        {"utterance": "e", "speaker": "id00015", "corpus": "yours", "corpus_split": "dev"},
    )
    source = Source(
        name="two", readers=("toy",), corpora=("mine",), speakers=("id0*",), only={"corpus_split": ("dev",)}
    )
    made = built(protocol(Split(name="all", sources=("two",)), sources=[source]), rows)
    assert sides(made) == {"all": {"toy/b", "mine/d"}}
    assert removals(made, "source", "two") == [
        ("of reader toy or corpus mine", 5, 1),
        ("of speakers id0*", 4, 1),
        ("of corpus_split dev", 3, 1),
    ]
    for table, found in (
        (SPLITS, made.splits),
        (MODELS, made.models),
        (TRIALS, made.trials),
        (REMOVALS, made.removals),
    ):
        assert conform(table, found).num_rows == len(found)


def test_filters_leave_out_what_is_too_short_too_long_or_not_known():
    rows = catalog(
        {"utterance": "short", "speaker": "ann", "duration_s": 0.5, "sex": "female"},
        {"utterance": "long", "speaker": "ann", "duration_s": 21.0, "sex": "female"},
        {"utterance": "unread", "speaker": "ann", "duration_s": None, "sex": "female"},
        {"utterance": "whose", "speaker": "bob", "age_group": "20-39"},
        {"utterance": "ageless", "speaker": "ann", "sex": "female"},
        {"utterance": "good", "speaker": "ann", "duration_s": 20.0, "sex": "female", "age_group": "20-39"},
        {"utterance": "other", "speaker": "eve", "corpus": "other", "duration_s": 0.1},
    )
    filters = Filters(sources=("toy",), min_duration_s=1.0, max_duration_s=20.0, known=("sex",), age_scheme="decades")
    other = Source(name="other", corpora=("other",))
    asked = protocol(ALL, Split(name="rest", sources=("other",)), sources=[TOY, other], filters=filters)
    made = built(asked, rows)
    assert sides(made) == {"all": {"toy/good"}, "rest": {"other/other"}}
    assert removals(made, "filter", "toy") == [
        ("of at least 1 s", 6, 2),
        ("of at most 20 s", 4, 1),
        ("sex known", 3, 1),
        ("in a group of decades", 2, 1),
    ]
    assert removals(made, "filter", "other") == []


def test_a_source_that_is_not_there_is_told_or_refused():
    rows = catalog(*several(2))
    gone = Source(name="gone", readers=("nothing",), required=False)
    lists = (TrialList(name="gone", split="gone", random_pairs=3),)
    asked = protocol(ALL, Split(name="gone", sources=("gone",)), sources=[TOY, gone], trials=lists)
    made = built(asked, rows)
    assert made.remarks == (
        "source gone is not in the catalog: `of reader nothing` took the last 8",
        "list gone: its split gone has no source in the catalog; it was left out",
    )
    needed = Source(name="gone", readers=("nothing",))
    with pytest.raises(PipelineError, match="protocol made: source gone is not in the catalog: `of reader nothing`"):
        built(protocol(ALL, sources=[TOY, needed]), rows)
    with pytest.raises(PipelineError, match="protocol made: the catalog has none of its sources"):
        built(protocol(Split(name="gone", sources=("gone",)), sources=[gone]), rows)
    strict = Filters(min_duration_s=50.0)
    with pytest.raises(PipelineError, match="source toy is not in the catalog: `of at least 50 s` took the last 8"):
        built(protocol(ALL, filters=strict), rows)


def test_an_utterance_that_is_given_twice_is_refused():
    row = {"utterance": "a", "speaker": "ann"}
    with pytest.raises(PipelineError, match="'toy/a' is given twice"):
        built(protocol(ALL), catalog(row, row))


# ------------------------------------------------------------------------------------------------------------ splits


def test_as_many_women_as_men_are_drawn_and_nobody_of_them_is_elsewhere():
    rows = catalog(*several(20))
    test = Split(name="test", sources=("toy",), num=6, sex_balanced=True)
    made = built(protocol(test, Split(name="train", sources=("toy",))), rows)
    drawn = people(made)["test"]
    assert sorted(int(one[-3:]) % 2 for one in drawn) == [0, 0, 0, 1, 1, 1]
    assert not drawn & people(made)["train"]
    assert len(sides(made)["test"]) == 24
    assert len(sides(made)["train"]) == 56
    assert removals(made, "split", "test") == [("in no split before it", 80, 0), ("3 women and 3 men drawn", 80, 56)]
    assert removals(made, "split", "train") == [("in no split before it", 80, 24), ("of nobody in test", 56, 0)]


def test_without_a_number_as_many_of_each_sex_are_drawn_as_the_rarer_has():
    rows = catalog(*several(9), {"utterance": "x", "speaker": "nobody knows"})
    made = built(protocol(Split(name="test", sources=("toy",), sex_balanced=True)), rows)
    assert len(people(made)["test"]) == 8


def test_a_person_of_two_sexes_has_none():
    rows = catalog(
        *several(2), {"utterance": "x", "speaker": "eve", "identity_id": "toy/p000", "sex": "male", "corpus": "other"}
    )
    with pytest.raises(
        PipelineError, match=r"splits\.test: wants 2 people, as many women as men, but only 0 can be drawn"
    ):
        built(protocol(Split(name="test", sources=("toy",), num=2, sex_balanced=True)), rows)


def test_whom_one_split_has_no_other_takes_whatever_the_source():
    rows = catalog(
        {"utterance": "a", "speaker": "ann"},
        {"utterance": "b", "speaker": "anna", "corpus": "other", "identity_id": "toy/ann"},
        {"utterance": "c", "speaker": "eve", "corpus": "other"},
    )
    sources = [TOY, Source(name="other", corpora=("other",))]
    test, train = Split(name="test", sources=("toy",)), Split(name="train", sources=("other",))
    made = built(protocol(test, train, sources=sources), rows)
    assert sides(made) == {"test": {"toy/a"}, "train": {"other/c"}}
    assert removals(made, "split", "train")[1] == ("of nobody in test", 2, 1)
    shared = Split(name="train", sources=("other",), shares_people=("test",))
    assert sides(built(protocol(test, shared, sources=sources), rows))["train"] == {"other/b", "other/c"}
    sharing = Split(name="test", sources=("toy",), shares_people=("train",))
    assert sides(built(protocol(sharing, train, sources=sources), rows))["train"] == {"other/b", "other/c"}
    same = Split(name="test", sources=("other",))
    assert sides(built(protocol(test, same, sources=sources), rows)) == {"test": {"toy/a", "other/b", "other/c"}}


def test_two_percent_by_at_most_two_sessions_a_person():
    rows = catalog(*several(10, num_sessions=10, num_each=3))
    val = Split(name="val", sources=("toy",), unit="sessions", share=0.04, max_sessions_per_person=2)
    train = Split(name="train", sources=("toy",), shares_people=("val",))
    made = built(protocol(val, train), rows)
    sessions = {one.rpartition("-")[0] for one in sides(made)["val"]}
    assert len(sides(made)["val"]) == 12
    assert len(sessions) == 4, "whole sessions"
    assert len(sides(made)["train"]) == 288
    assert removals(made, "split", "val")[-1] == ("4 sessions drawn, at most 2 a person", 300, 288)
    most = built(protocol(Split(name="val", sources=("toy",), unit="sessions", max_sessions_per_person=2)), rows)
    assert len(sides(most)["val"]) == 10 * 2 * 3
    with pytest.raises(PipelineError, match=r"splits\.val: wants 21 sessions but only 20 can be drawn"):
        built(protocol(Split(name="val", sources=("toy",), unit="sessions", num=21, max_sessions_per_person=2)), rows)


@pytest.mark.parametrize("unit", ["people", "utterances"])
def test_eighty_ten_ten(unit):
    rows = catalog(*several(30))
    shares = () if unit == "people" else ("eval", "dev")
    tenth = {"sources": ("toy",), "unit": unit, "share": 0.1, "share_of": "all"}
    splits = [
        Split(name="eval", **tenth),
        Split(name="dev", **tenth, shares_people=shares[:1]),
        Split(name="train", sources=("toy",), shares_people=shares),
    ]
    made = built(protocol(*splits), rows)
    assert {name: len(found) for name, found in sides(made).items()} == {"eval": 12, "dev": 12, "train": 96}
    shared = people(made)["eval"] & people(made)["train"]
    assert bool(shared) == (unit == "utterances")
    left = Split(name="dev", sources=("toy",), unit=unit, share=0.5)
    again = built(protocol(splits[0], left), rows)
    if unit == "people":
        assert len(people(again)["dev"]) == 14, "half of the 27 that are left, rounded to the even"


def test_who_has_too_few_utterances_is_not_drawn():
    rows = catalog(*several(3, num_sessions=1), {"utterance": "x", "speaker": "eve"})
    made = built(protocol(Split(name="test", sources=("toy",), min_utterances=2)), rows)
    assert people(made)["test"] == {"toy/p000", "toy/p001", "toy/p002"}
    assert removals(made, "split", "test")[-1] == ("of people with at least 2 utterances", 7, 1)
    with pytest.raises(PipelineError, match=r"splits\.test: wants 4 people but only 3 can be drawn of toy"):
        built(protocol(Split(name="test", sources=("toy",), num=4, min_utterances=2)), rows)


def test_one_person_more_takes_at_most_one_place_and_each_split_has_a_draw_of_its_own():
    num, drawn = 60, 20
    asked = protocol(Split(name="test", sources=("toy",), num=drawn))
    before = people(built(asked, catalog(*several(num))))["test"]
    for gone in range(0, num, 7):
        rows = [row for row in several(num) if row["speaker"] != f"p{gone:03}"]
        after = people(built(asked, catalog(*rows)))["test"]
        assert len(before - after) == (f"toy/p{gone:03}" in before)
    other = people(built(protocol(Split(name="dev", sources=("toy",), num=drawn)), catalog(*several(num))))["dev"]
    assert other != before
    seeded = protocol(Split(name="test", sources=("toy",), num=drawn), seed=8)
    assert people(built(seeded, catalog(*several(num))))["test"] != before


def test_an_empty_split_is_told_with_the_rule_that_emptied_it():
    rows = catalog(*several(2))
    made = built(protocol(ALL, Split(name="rest", sources=("toy",))), rows)
    assert made.remarks == ("split rest is empty: `in no split before it` took the last 8",)


# ------------------------------------------------------------------------------------------------------------- lists


def test_published_lists_keep_what_has_both_sides_in_the_split():
    rows = catalog(*several(3), {"utterance": "far", "speaker": "eve", "corpus": "other"})
    one, two, three = "toy/p000-0-0", "toy/p000-1-0", "toy/p001-0-0"
    lists = published(
        ("eval/core-core", one, two, True),
        ("eval/core-core", one, three, False),
        ("eval/core-core", one, "other/far", False),
        ("eval/core-core", "toy/list/model", three, False),
        ("eval/core-core", "toy/list/broken", three, False),
        ("eval/core-core", two, three, None),
        ("dev/core-core", three, one, False),
    )
    models = enrolments(**{"toy/list/model": [one, two], "toy/list/broken": [one, "toy/gone"]})
    asked = protocol(ALL, trials=(TrialList(name="core", split="all", published="eval/*"),))
    made = built(asked, rows, published=lists, enrolments=models)
    assert pairs(made, "core", True) == [(one, two)]
    assert pairs(made, "core", False) == [("toy/list/model", three), (one, three)]
    assert made.models.to_pylist() == [
        {"benchmark": "made", "model_id": "toy/list/model", "utterance_id": utterance} for utterance in (one, two)
    ]
    told = "in eval/core-core, both sides in split all"
    assert removals(made, "targets", "core") == [(told, 1, 0)]
    assert removals(made, "nontargets", "core") == [(told, 4, 2)]
    assert removals(made, "trials", "core") == [("with a published key", 6, 1)]
    assert made.remarks == ()


def test_a_trial_of_two_published_lists_stands_once_and_the_account_adds_up():
    one, two, three = "toy/p000-0-0", "toy/p000-1-0", "toy/p001-0-0"
    lists = published(("a", one, two, True), ("b", one, two, True), ("a", one, three, False), ("b", two, three, False))
    asked = protocol(ALL, trials=(TrialList(name="both", split="all", published="*"),))
    made = built(asked, catalog(*several(2)), published=lists)
    assert pairs(made, "both", True) == [(one, two)]
    told = "in a, b, both sides in split all"
    assert removals(made, "targets", "both") == [(told, 2, 0), ("none that another line has", 2, 1)]
    assert removals(made, "nontargets", "both") == [(told, 2, 0)]


def test_published_lists_that_are_not_there_or_say_odd_things():
    rows = catalog(*several(2))
    one, two, three = "toy/p000-0-0", "toy/p000-1-0", "toy/p001-0-0"
    asked = protocol(ALL, trials=(TrialList(name="core", split="all", published="core*"),))
    with pytest.raises(PipelineError, match=r"list core: no corpus brings a published list 'core[*]'; there is other"):
        built(asked, rows, published=published(("other", one, two, True)))
    optional = protocol(ALL, trials=(TrialList(name="core", split="all", published="core", required=False),))
    made = built(optional, rows)
    assert len(made.trials) == 0
    assert made.remarks == ("list core: no corpus brings a published list 'core'; there is none; it was left out",)
    with pytest.raises(PipelineError, match="protocol made: list 'core' has no trial: no trial of core has both sides"):
        built(asked, rows, published=published(("core", one, "toy/gone", True)))
    with pytest.raises(PipelineError, match=f"list core: {one} against {two} is a target and is none"):
        built(asked, rows, published=published(("core", one, two, True), ("core2", one, two, False)))
    lone = built(asked, rows, published=published(("core", one, two, True), ("core2", one, two, True)))
    assert pairs(lone, "core", True) == [(one, two)]
    assert lone.remarks == ("list core: no nontarget is in it",)
    odd = built(asked, rows, published=published(("core", one, three, True), ("core", one, two, False)))
    assert odd.remarks == ("list core: of 2 trials the published key says otherwise than the labels; the key stands",)


def test_the_key_of_a_model_is_held_against_the_person_of_its_utterances():
    """The model's id comes before all utterances, which are numbered with it."""
    lists = published(("core", "toy/a", "toy/p001-0-0", True), ("core", "toy/a", "toy/p000-0-0", False))
    asked = protocol(ALL, trials=(TrialList(name="core", split="all", published="core"),))
    made = built(asked, catalog(*several(2)), published=lists, enrolments=enrolments(**{"toy/a": ["toy/p001-1-0"]}))
    assert len(made.trials) == 2
    assert made.remarks == ()


def test_each_list_and_each_seed_has_a_draw_of_its_own():
    few = Rules(max_trials=5)
    asked = [TrialList(name=name, split="all", targets=few, nontargets=few) for name in ("one", "two")]
    asked += [TrialList(name=name, split="all", random_pairs=5) for name in ("three", "four")]
    rows = catalog(*several(10))
    drawn = []
    for seed in (7, 8):
        made = built(protocol(ALL, trials=tuple(asked), seed=seed), rows)
        drawn += [frozenset(pairs(made, one.name, True) + pairs(made, one.name, False)) for one in asked]
    assert len(set(drawn)) == 8
    alone = built(protocol(ALL, trials=(asked[1],)), rows)
    assert frozenset(pairs(alone, "two", True) + pairs(alone, "two", False)) == drawn[1], "no list moves another"


def test_a_list_without_one_kind_is_made_and_one_without_any_trial_is_refused():
    rows = catalog(*several(3, num_sessions=1))
    across = Rules(not_same=("session_id",))
    asked = protocol(ALL, trials=(TrialList(name="few", split="all", targets=across, nontargets=Rules(same=("sex",))),))
    made = built(asked, rows)
    assert pairs(made, "few", True) == []
    assert len(pairs(made, "few", False)) == 4
    assert removals(made, "targets", "few") == [("not the same session_id", 3, 3)]
    assert made.remarks == (
        "list few: no target is left: `not the same session_id` took the last 3 of 3 pairs; "
        "expected rules that leave some",
    )
    alone = catalog(*several(1, num_sessions=1))
    with pytest.raises(
        PipelineError,
        match="protocol made: list 'few' has no trial: no target is left: `not the same session_id` took the last 1 of "
        "1 pairs; expected rules that leave some and no nontarget is left: the test has not two people",
    ):
        built(asked, alone)


def test_random_pairs_are_of_any_two_utterances_each_once():
    rows = catalog(*several(4))
    asked = protocol(ALL, trials=(TrialList(name="any", split="all", random_pairs=50),))
    made = built(asked, rows)
    drawn = pairs(made, "any", True) + pairs(made, "any", False)
    assert len({frozenset(pair) for pair in drawn}) == len(drawn) == 50
    person = {row["utterance_id"]: row["identity_id"] for row in rows.to_pylist()}
    assert all(person[one] == person[other] for one, other in pairs(made, "any", True))
    assert all(person[one] != person[other] for one, other in pairs(made, "any", False))
    assert removals(made, "trials", "any") == [("at most 50 random pairs", 120, 70)]
    every = built(protocol(ALL, trials=(TrialList(name="any", split="all", random_pairs=500),)), rows)
    assert len(every.trials) == 120
    assert len(pairs(every, "any", True)) == 4 * 6
    assert every.remarks == ("list any: split all has no more than 120 pairs",)
    with pytest.raises(PipelineError, match="list 'any' has no trial: split 'all' has 1 utterances of 1 recordings"):
        built(asked, catalog({"utterance": "a", "speaker": "ann"}))


def test_random_pairs_are_of_two_recordings():
    rows = catalog(*several(2, num_sessions=1, num_each=3, path="whole.wav"), *several(1, corpus="other"))
    sources = [Source(name="both", corpora=("toy", "other"))]
    asked = TrialList(name="any", split="all", random_pairs=500)
    made = built(protocol(Split(name="all", sources=("both",)), sources=sources, trials=(asked,)), rows)
    assert not any(one.startswith("toy/") and two.startswith("toy/") for one, two in pairs(made, "any", False))
    assert len(made.trials) == 6 * 4 + 6, "of ten utterances all but the 15 pairs of one file"
    account = [("not of one recording", 45, 15), ("at most 500 random pairs", 30, 0)]
    assert removals(made, "trials", "any") == account
    one_file = catalog(*several(2, path="whole.wav"))
    with pytest.raises(PipelineError, match="split 'all' has 8 utterances of 1 recordings; expected two recordings"):
        built(protocol(ALL, trials=(asked,)), one_file)


def test_models_are_made_for_a_list_and_told():
    rows = catalog(*several(3, num_each=3), {"utterance": "x", "speaker": "eve"})
    ask = TrialList(
        name="models", split="all", targets=Rules(not_same=("session_id",)), nontargets=Rules(), utterances_a_model=3
    )
    made = built(protocol(ALL, trials=(ask,)), rows)
    assert sorted({row["model_id"] for row in made.models.to_pylist()}) == [f"models/toy/p00{i}" for i in range(3)]
    assert len(made.models) == 9
    assert {enrol for enrol, _ in pairs(made, "models", True)} == {f"models/toy/p00{i}" for i in range(3)}
    sessions = {row["utterance_id"]: row["session_id"] for row in rows.to_pylist()}
    of_model = {row["model_id"]: sessions[row["utterance_id"]] for row in made.models.to_pylist()}
    assert all(of_model[model] != sessions[test] for model, test in pairs(made, "models", True))
    assert made.remarks == ("list models: 1 of 4 people have no session of 3 utterances, and no model",)
    with pytest.raises(PipelineError, match="list 'models' has no trial: nobody of the test has a session of 3"):
        built(protocol(ALL, trials=(ask,)), catalog(*several(2)))


def test_a_model_of_a_label_with_blanks_is_called_without_as_ids_are_so_that_lists_can_name_it(tmp_path):
    rows = catalog(
        *(
            {"utterance": f"{number}{session}{take}", "speaker": speaker, "session_id": f"toy/{number}/{session}"}
            for number, speaker in enumerate(("Ann Lee", "bob", "eve\u3000x"))
            for session in "ab"
            for take in "12"
        )
    )
    ask = TrialList(name="models", split="all", targets=Rules(), nontargets=Rules(), utterances_a_model=2)
    made = built(protocol(ALL, trials=(ask,)), rows)
    models = ["models/toy/Ann%20Lee", "models/toy/bob", "models/toy/eve%20x"]
    assert made.models["model_id"].unique().to_pylist() == models
    assert {enrol for enrol, _ in pairs(made, "models", True)} == set(models)
    write_models(tmp_path / "models.txt", made.models)
    write_voxceleb(tmp_path / "list.txt", made.trials)
    assert read_models(tmp_path / "models.txt")["model"].unique().to_pylist() == models
    both = catalog(
        *(
            {"utterance": f"{one}{take}", "speaker": one, "session_id": one}
            for one in ("a b", "a%20b")
            for take in "123"
        )
    )
    with pytest.raises(PipelineError, match="labels that differ in a blank and %20 alone would be one model"):
        built(protocol(ALL, trials=(ask,)), both)


def test_cosines_are_asked_of_the_vectors_that_are_given():
    rows = catalog(*several(3))
    hard = TrialList(name="hard", split="all", targets=Rules(), nontargets=Rules(min_cosine_quantile=0.5))
    ids = rows["utterance_id"].to_pylist()
    order = np.random.default_rng(1).permutation(len(ids))
    vectors = np.random.default_rng(0).normal(size=(len(ids), 4)).astype(np.float32)
    made = built(protocol(ALL, trials=(hard,)), rows, vectors=(ids, vectors))
    shuffled = ([ids[i] for i in order], vectors[order])
    assert built(protocol(ALL, trials=(hard,)), rows, vectors=shuffled).trials == made.trials
    assert 0 < len(pairs(made, "hard", False)) < 48
    for given in (None, (ids[1:], vectors[1:])):
        with pytest.raises(PipelineError, match="list hard: a rule asks for cosines; expected a vector of each"):
            built(protocol(ALL, trials=(hard,)), rows, vectors=given)


def test_sides_of_rules_are_read():
    rows = catalog(*several(4))
    women = Side(only={"sex": ("female",)})
    ask = TrialList(name="women", split="all", targets=Rules(enrol=women, test=women), nontargets=Rules(enrol=women))
    made = built(protocol(ALL, trials=(ask,)), rows)
    assert all(enrol[-7:-4] in ("000", "002") for enrol, _ in pairs(made, "women", True) + pairs(made, "women", False))
