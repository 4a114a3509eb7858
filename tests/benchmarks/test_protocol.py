"""What a protocol file promises: every key is understood or refused in one line, and is told again in words."""

import copy
import json
import math
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.protocol import PROTOCOLS, Protocol, in_words, load_protocol, names
from curate.ages import SCHEMES
from curate.corpora import READERS
from curate.errors import PipelineError

GOOD = """
name = "made"
version = 1
title = "Made up"
paper = "none"
description = "none"
seed = 3
[[sources]]
name = "toy"
readers = ["kaldi"]
only = { sex = ["female"] }
[filters]
max_duration_s = 20
[[splits]]
name = "test"
sources = ["toy"]
num = 4
sex_balanced = true
[[splits]]
name = "train"
sources = ["toy"]
unit = "sessions"
share = 0.5
max_sessions_per_person = 2
shares_people = ["test"]
[[keep_apart]]
split = "train"
other = ["test"]
min_similarity = "calibrated"
[[trials]]
name = "list"
split = "test"
targets = { not_same = ["session_id"], max_trials = 5 }
[trials.nontargets]
same = ["sex"]
enrol = { min_duration_s = 2, only = { language = ["en", "vi"] } }
[[trials]]
name = "any"
split = "test"
random_pairs = 10
[[metrics]]
name = "eer"
[[reported.figures]]
system = "x"
list = "list"
metric = "eer"
value = 0.1
where = "table 1"
"""


def changed(place, value):
    """`GOOD` with another value at a place."""
    content = copy.deepcopy(tomllib.loads(GOOD))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


def without(*place):
    """`GOOD` without what is at a place."""
    content = changed(place, None)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return content


def toml(value):
    """A value as TOML, sections as inline tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("protocols") / "made.toml"


def load(file, content):
    text = content if isinstance(content, str) else "".join(f"{key} = {toml(v)}\n" for key, v in content.items())
    file.write_text(text)
    return load_protocol(str(file))


def refusal(file, content):
    """What is said of a file that is not good, without its name."""
    with pytest.raises(PipelineError) as caught:
        load(file, content)
    told = str(caught.value)
    assert len(told.splitlines()) == 1
    assert told.startswith(f"{file}: ")
    return told.removeprefix(f"{file}: ")


# -------------------------------------------------------------------------------------------------- those that come


@pytest.mark.parametrize("name", names())
def test_a_protocol_that_comes_with_voxcurate_is_whole(name):
    asked = load_protocol(name)
    assert asked.name == name
    assert {reader for source in asked.sources for reader in source.readers} <= {*READERS}
    assert asked.figures
    assert asked.differences
    assert all(math.isfinite(one.value) and 0 <= one.value <= 1 for one in asked.figures)
    assert len({(one.system, one.list, one.metric, one.where) for one in asked.figures}) == len(asked.figures)
    assert asked.filters.age_scheme in {None, *SCHEMES}


@pytest.mark.parametrize("name", names())
def test_every_name_number_and_difference_of_a_protocol_is_told_in_words(name):
    asked, told = load_protocol(name), in_words(load_protocol(name))
    named = [*asked.sources, *asked.splits, *asked.trials, *asked.metrics]
    assert all(one.name in told for one in named)
    assert all(text in told for text in (asked.title, asked.paper, asked.description, *asked.differences))
    assert f"Seed {asked.seed}" in told
    assert all(f"{one.system}: {one.metric} {one.value:g}" in told for one in asked.figures)
    numbers = [one.num for one in asked.splits] + [one.random_pairs for one in asked.trials]
    numbers += [rule.max_trials for one in asked.trials for rule in (one.targets, one.nontargets) if rule]
    assert all(f"{num:,}" in told for num in numbers if num)
    assert all(f"{100 * one.share:g} %" in told for one in asked.splits if one.share)
    assert all(f"p_target {one.p_target:g}" in told for one in asked.metrics if one.name == "min_dcf")


def test_the_designs_are_those_of_the_papers():
    """What each paper says, by hand."""
    libri_vox = load_protocol("libri-vox")
    dev, val = (next(one for one in libri_vox.splits if one.name == name) for name in ("dev", "val"))
    assert (dev.num, dev.sex_balanced, val.share, val.max_sessions_per_person) == (194, True, 0.02, 2)
    lists = {one.name: one for one in libri_vox.trials}
    held_out = lists["vox2-dev"]
    assert (held_out.targets.max_trials, held_out.nontargets.max_trials) == (100_000, 100_000)
    assert (held_out.targets.not_same, held_out.nontargets.same) == (("session_id",), ("sex",))
    for name in ("libri-dev-other", "libri-test-other"):
        assert lists[name].targets.max_trials is lists[name].nontargets.max_trials is None
        assert "work_id" in lists[name].targets.not_same
    for scheme in ("leq29", "leq17"):
        for suffix in ("", "-disjoint"):
            asked = load_protocol(f"voxceleb-enrichment-{scheme}{suffix}")
            assert asked.filters.age_scheme == scheme
            assert [one.share for one in asked.splits if one.name in ("eval", "dev")] == [0.1, 0.1]
            assert {one.unit for one in asked.splits if one.share} == {"people" if suffix else "utterances"}
            assert bool(suffix) != any(one.shares_people for one in asked.splits)
            assert asked.trials[0].random_pairs == 1_000_000
    sitw = load_protocol("sitw")
    conditions = {f"{side}/{one}" for side in ("eval", "dev") for one in ("core-core", "core-multi")}
    conditions |= {f"{side}/{one}" for side in ("eval", "dev") for one in ("assist-core", "assist-multi")}
    assert {one.published for one in sitw.trials} == conditions
    (apart,) = sitw.keep_apart
    assert (apart.split, apart.list, apart.min_similarity) == ("train", "voxceleb1-sitw", "calibrated")
    assert [one.p_target for one in sitw.metrics if one.name == "min_dcf"] == [0.01, 0.001]
    aihub = load_protocol("aihub-age")
    limits = (aihub.filters.min_duration_s, aihub.filters.max_duration_s)
    assert (*limits, aihub.filters.age_scheme) == (1.0, 20.0, "decades")
    vietsv = load_protocol("vietsv")
    assert [(one.num, one.sex_balanced) for one in vietsv.splits[:2]] == [(40, True), (None, False)]
    asked = {one.name: one.targets.max_trials + one.nontargets.max_trials for one in vietsv.trials}
    assert asked == {"test": 48_148, "common-voice": 12_192}


def test_words_are_the_same_each_time_and_say_what_may_be_lacking():
    told = in_words(load_protocol("libri-vox"))
    assert told == in_words(load_protocol("libri-vox"))
    assert "7. val: from voxceleb2-dev; 2 % of the utterances that are left, in whole sessions; at most 2 sess" in told
    assert "- voxceleb1: corpora of reader voxceleb; speakers id1*; may be lacking" in told
    assert "  - nontargets: the same sex; not of one recording; 100,000 of them, drawn" in told
    assert "`--list voxceleb1-sitw=FILE`, to be had at https://www.openslr.org" in in_words(load_protocol("sitw"))


def test_every_rule_that_a_file_may_hold_is_told(file):
    content = changed(
        ("trials", 0, "nontargets"),
        {
            "different": ["session_id"],
            "min_age_gap_years": 11,
            "max_age_gap_years": 22,
            "min_cosine_quantile": 0.9,
            "balance": "pairs of people",
            "enrol": {"max_duration_s": 33.5, "only": {"language": ["vi"]}},
            "test": {"min_duration_s": 4.5},
        },
    )
    content["trials"][0] |= {"utterances_a_model": 3, "targets": {"max_per_person": 77, "same_recording": True}}
    told = in_words(load(file, content))
    for words in (
        "models of 3 utterances of one session are enrolled",
        "  - targets: at most 77 of each person; all of them",
        "different session_id",
        "an age gap of at least 11 years; an age gap of at most 22 years",
        "enrolment of at most 33.5 s; enrolment of language vi; test of at least 4.5 s",
        "cosine from the 0.9 quantile on",
        "balanced over pairs of people",
    ):
        assert words in told


# ------------------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (changed(("sede",), 1), "sede: unknown key; did you mean 'seed'?"),
        (changed(("sources", 0, "reader"), "x"), "sources[0].reader: unknown key; did you mean 'readers'?"),
        (changed(("trials", 0, "targets", "sames"), []), "trials[0].targets.sames: unknown key; did you mean 'same'?"),
        (
            changed(("trials", 0, "nontargets", "enrol", "maximum"), 3),
            "trials[0].nontargets.enrol.maximum: unknown key; expected one of min_duration_s, max_duration_s, only",
        ),
        (
            changed(("trials", 0, "targets", "max_trials"), "5"),
            "trials[0].targets.max_trials: '5'; expected a valid int",
        ),
        (
            changed(("trials", 0, "targets", "max_trials"), 0),
            "trials[0].targets.max_trials: 0; expected greater than or",
        ),
        (
            changed(("trials", 0, "targets", "same"), ["session_id"]),
            "trials[0].targets: session_id must be the same and not the same; expected one of them",
        ),
        (
            changed(("trials", 0, "targets", "min_cosine_quantile"), 0.5),
            "trials[0]: trials.targets: hard by cosine; expected that of nontargets only",
        ),
        (
            changed(("trials", 0, "nontargets", "same"), ["sexes"]),
            "trials.list.nontargets: no 'sexes'; expected any of ",
        ),
        (changed(("sources", 0, "only"), {"gender": ["f"]}), "sources.toy.only: no 'gender'; expected any of accent, "),
        (changed(("sources", 0, "only"), {"sex": "f"}), "sources[0].only.sex: 'f'; expected a valid array"),
        (
            changed(("sources", 0, "readers"), []),
            "sources[0]: source toy: of no corpus; expected `readers` or `corpora`",
        ),
        (changed(("splits", 0, "sources"), ["tyo"]), "splits.test.sources: no 'tyo'; expected any of toy"),
        (changed(("splits", 1, "shares_people"), ["x"]), "splits.train.shares_people: no 'x'; expected any of test, "),
        (changed(("splits", 0, "share"), 0.5), "splits[0]: num and share: expected one of them"),
        (changed(("splits", 0, "num"), 3), "splits[0]: num 3 must be even where sex_balanced is true"),
        (changed(("splits", 1, "share"), 1.0), "splits[1].share: 1.0; expected less than 1"),
        (
            changed(("splits", 1, "unit"), "people"),
            "splits[1]: max_sessions_per_person with unit 'people'; expected it w",
        ),
        (
            changed(("splits", 1, "unit"), "files"),
            "splits[1].unit: 'files'; expected 'people', 'sessions' or 'utterances'",
        ),
        (
            changed(("filters", "age_scheme"), "leq18"),
            "filters.age_scheme: 'leq18'; expected one of leq29, leq17, decades, or groups",
        ),
        (changed(("filters", "sources"), ["x"]), "filters.sources: no 'x'; expected any of toy"),
        (changed(("keep_apart", 0, "split"), "x"), "keep_apart: no 'x'; expected any of test, train"),
        (changed(("keep_apart", 0, "min_similarity"), "high"), "keep_apart[0].min_similarity: 'high'; expected "),
        (changed(("keep_apart", 0), {"split": "test"}), "keep_apart[0]: test: expected `list` or `min_similarity`"),
        (changed(("keep_apart", 0, "other"), []), "keep_apart[0]: train: min_similarity to nobody; expected splits"),
        (changed(("trials", 1, "name"), "list"), "trials: the name 'list' is given twice; expected each once"),
        (changed(("trials", 1, "name"), "A B"), "trials[1].name: 'A B'; expected text that matches"),
        (
            changed(("trials", 1, "published"), "x"),
            "trials[1]: any: expected one of `published`, `random_pairs`, or both",
        ),
        (without("trials", 0, "nontargets"), "trials[0]: list: expected one of `published`, `random_pairs`, or both"),
        (
            changed(("trials", 1, "utterances_a_model"), 2),
            "trials[1]: any: utterances_a_model; expected it with `targets`",
        ),
        (changed(("trials", 1, "random_pairs"), 0), "trials[1].random_pairs: 0; expected greater than or equal to 1"),
        (
            changed(("reported", "figures", 0, "list"), "x"),
            "reported.figures.list: no 'x'; expected any of any, list, none",
        ),
        (changed(("metrics", 0, "name"), "err"), "metrics[0].name: 'err'; expected 'eer', 'min_dcf', "),
        (without("seed"), "seed: missing; expected a value"),
        (changed(("seed",), -1), "seed: -1; expected greater than or equal to 0"),
        ("name = ", "no TOML: Invalid value (at end of document)"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_fault_names_the_file_the_key_and_what_was_expected(file, content, told):
    assert told in refusal(file, content)


def test_the_good_file_of_these_tests_is_good(file):
    asked = load(file, GOOD)
    assert asked.trials[0].nontargets.enrol.only == {"language": ("en", "vi")}
    assert load(file, tomllib.loads(GOOD)) == asked


def test_a_protocol_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(PipelineError, match="'libri': no such protocol; expected one of aihub-age, libri-vox, sitw"):
        load_protocol("libri")
    with pytest.raises(PipelineError, match=r"none.toml: No such file or directory; expected a protocol file"):
        load_protocol(str(tmp_path / "none.toml"))
    assert names() == sorted(file.name.removesuffix(".toml") for file in PROTOCOLS.iterdir())


# -------------------------------------------------------------------------------------------------------------- junk


def places(value, at=()):
    """Every place of a value in nested sections."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*at, key)
        yield from places(one, (*at, key))


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=6)
leaves = words | st.integers(-(2**70), 2**70) | st.booleans() | st.floats()
junk = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))


def said_well(file, content):
    """Whether it is a protocol, which can be told, or refused in one line."""
    try:
        return isinstance(asked := load(file, content), Protocol) and bool(in_words(asked))
    except PipelineError as error:
        return str(error).startswith(f"{file}: ") and len(str(error).splitlines()) == 1


@settings(max_examples=300)
@given(place=st.sampled_from([*places(tomllib.loads(GOOD))]), value=junk)
def test_junk_in_place_of_any_value_is_a_protocol_or_an_error_of_one_line(file, place, value):
    assert said_well(file, changed(place, value))
