"""What the card of a built benchmark promises: the counts of its tables, and the paper's figures beside ours."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.protocol import Figure, Protocol, Reported, Source, Split, TrialList
from benchmarks.protocol_card import REMARK, protocol_card
from benchmarks.trial_rules import Rules
from curate.catalog import rows_of
from curate.schema import CORPORA, LEAKS, MODELS, REMOVALS, RESULTS, SPLITS, TRIALS, UTTERANCES

ANY = Rules()
PROTOCOL = Protocol(
    name="toy",
    version=3,
    title="Toy people",
    paper="Nobody: nothing, 2026",
    description="Half of them\nare the test.",
    differences=("The paper's\nseed is `7`.",),
    seed=5,
    sources=(
        Source(name="here", readers=("folder",)),
        Source(name="there", corpora=("far",), required=False),
    ),
    splits=(Split(name="test", sources=("here",), num=2), Split(name="train", sources=("here", "there"))),
    trials=(
        TrialList(name="drawn", split="test", targets=ANY, nontargets=ANY),
        TrialList(name="of-models", split="test", published="o"),
        TrialList(name="left-out", split="test", published="p", required=False),
    ),
    reported=Reported(
        figures=(
            Figure(system="theirs", list="drawn", metric="min_dcf p=0.01", value=0.25, where="table 2"),
            Figure(system="theirs", list="drawn", metric="eer", value=0.05, where="table 2"),
            Figure(system="theirs", list="none", metric="f1 of sex", value=0.875, where="table 1"),
        )
    ),
)
# Utterance: person, split, sex, hours, age group. `p3` says both sexes.
USED = {
    "near/1": ("p1", "test", "female", 1.0, "young"),
    "near/2": ("p1", "test", "female", 0.5, "young"),
    "near/3": ("p2", "test", "male", 0.25, None),
    "near/4": ("p3", "train", "male", 2.0, "adult"),
    "near/5": ("p3", "train", "female", 2.0, "adult"),
    "near/6": ("p4", "train", None, 0.5, "adult"),
}
LEAK = {"benchmark": "toy", "num_unknown": 0, "num_other_utterances": 1, "num_utterances": 2}


def leak(check, side, other, num_side, num_other, num_shared, *, is_allowed=False, **more):
    counts = {"num_side": num_side, "num_other": num_other, "num_shared": num_shared, "is_allowed": is_allowed}
    return LEAK | {"check": check, "side": side, "other_side": other} | counts | more


def result(metric, value, *, subset="all", system="ours"):
    row = {"benchmark": "toy", "list": "drawn", "system": system, "subset": subset, "metric": metric, "value": value}
    return row | {
        "lower": value / 2,
        "upper": value * 2,
        "num_target": 1,
        "num_nontarget": 2,
        "conventions": "as | ever",
    }


def tables(*, licence="CC0", citation="Cite me", remark="list left-out: nobody brings it", leaks=(), results=()):
    uttered = [
        {
            "utterance_id": one,
            "corpus": "near",
            "speaker_id": f"near/{person}",
            "session_id": f"near/{person}/{one}",
            "path": f"{one}.wav",
            "start_s": 0.0,
            "duration_s": 3600 * hours,
            "sex": sex,
            "language": "vi",
        }
        for one, (person, _, sex, hours, _) in USED.items()
    ]
    uttered.append(uttered[0] | {"utterance_id": "near/unused"})
    given = rows_of(UTTERANCES, uttered)
    people = [*(person for person, *_ in USED.values()), "p1"]
    groups = [*(group for *_, group in USED.values()), "young"]
    given = given.append_column("identity_id", [people]).append_column("age_group", [groups])
    split = [
        {"benchmark": "toy", "utterance_id": one, "identity_id": person, "split": name}
        for one, (person, name, *_) in USED.items()
    ]
    asked = [("drawn", "near/1", "near/2", True), ("drawn", "near/1", "near/3", False)]
    asked += [("of-models", "m", "near/3", False)]
    trials = [
        {"benchmark": "toy", "list": name, "enrol_id": enrol, "test_id": test, "is_target": target}
        for name, enrol, test, target in asked
    ]
    rules = [
        ("split", "test", 1, "2 people drawn", 6, 3, True),
        ("source", "here", 0, "of reader folder", 7, 0, True),
        ("nontargets", "drawn", 0, "any | pair", None, None, False),
        ("split", "test", 0, "in no split before it", 6, 0, True),
        (REMARK, "", 0, remark, None, None, True),
    ]
    keys = ("stage", "part", "place", "rule", "num_examined", "num_removed", "is_exact")
    removed = [{"benchmark": "toy"} | dict(zip(keys, row, strict=True)) for row in rules]
    corpus = {"corpus": "near", "reader": "folder", "root": "/secret", "licence": licence, "citation": citation}
    models = [{"benchmark": "toy", "model_id": "m", "utterance_id": one} for one in ("near/1", "near/2")]
    return {
        "corpora": rows_of(CORPORA, [corpus, corpus | {"corpus": "other", "reader": "vivos", "citation": "Not me"}]),
        "utterances": given,
        "splits": rows_of(SPLITS, split),
        "models": rows_of(MODELS, models),
        "trials": rows_of(TRIALS, trials),
        "removals": rows_of(REMOVALS, removed),
        "leaks": rows_of(LEAKS, list(leaks)),
        "results": rows_of(RESULTS, list(results)),
    }


def rows_under(text, heading):
    """Cells of the table rows under a heading: an escaped pipe is text."""
    section = re.split(r"^##+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in cells]


def test_splits_lists_and_removals_are_counted():
    text = protocol_card(PROTOCOL, **tables())
    assert "6 utterances of 4 people (6.25 hours)." in text
    assert rows_under(text, "Splits") == [
        ["test", "3", "3", "2", "1", "1", "0", "1.75"],
        ["train", "3", "3", "2", "0", "0", "2", "4.50"],  # nobody knows what p3 and p4 are
    ]
    assert rows_under(text, "Age groups") == [
        ["test", "young", "2", "1"],
        ["test", "unknown", "1", "1"],
        ["train", "adult", "3", "2"],
    ]
    assert rows_under(text, "Lists of trials") == [
        ["[drawn](lists/drawn.txt)", "test", "1", "1", "none", "3", "2"],
        ["[of-models](lists/of-models.txt)", "test", "0", "1", "1", "3", "2"],
    ]
    assert rows_under(text, "What each rule took away") == [
        ["source", "here", "of reader folder", "7", "0"],
        ["split", "test", "in no split before it", "6", "0"],
        ["split", "test", "2 people drawn", "6", "3"],
        ["nontargets", "drawn", "any | pair", "uncounted", "uncounted"],
    ]
    assert "\n- list left-out: nobody brings it\n" in text
    assert "Not in the catalog: there." in text
    assert rows_under(text, "Sources") == [["near", "folder", "here", "7", "6", "6.25", "CC0"]]


def test_what_is_counted_in_part_is_told_so():
    rows = tables()
    looked = {"benchmark": "toy", "stage": "targets", "part": "drawn", "place": 0, "rule": "of one sex"}
    more = rows_of(REMOVALS, [looked | {"num_examined": 9, "num_removed": 4, "is_exact": False}])
    text = protocol_card(PROTOCOL, **rows | {"removals": pa.concat_tables([rows["removals"], more])})
    assert ["targets", "drawn", "of one sex", "9", "about 4"] in rows_under(text, "What each rule took away")


def test_the_protocol_is_told_once_with_its_differences_and_how_to_cite():
    text = protocol_card(PROTOCOL, **tables())
    assert "Half of them are the test.\n" in text
    assert "Benchmark `toy`, version 3 of its protocol, after: Nobody: nothing, 2026." in text
    assert text.count("The paper's seed is `7`.") == 1
    assert text.count("theirs") == len(PROTOCOL.figures)
    assert "1. test: from here" in text
    assert "Seed 5" in text
    assert text.endswith(
        "- Nobody: nothing, 2026\n- Cite me\n\nSay the name and the version of the protocol beside any figure, and "
        'name what is under "Where it differs from the paper".\n'
    )
    assert "Not me" not in text
    assert "/secret" not in text


def test_differences_are_to_be_named_only_where_there_are_any():
    text = protocol_card(replace(PROTOCOL, differences=()), **tables())
    assert text.endswith("\n\nSay the name and the version of the protocol beside any figure.\n")
    assert "Nowhere that we know of." in text


def test_a_design_without_lists_is_not_said_to_be_scored():
    rows = tables()
    about = PROTOCOL.reported.figures[-1]  # of no list
    for figures, told in (((about,), "The figures are the"), ((), "None here: it has no lists of trials.")):
        design = replace(PROTOCOL, trials=(), reported=Reported(figures=figures))
        text = protocol_card(design, **rows | {"trials": rows["trials"].slice(0, 0)})
        section = text.split("## Results\n", 1)[1].split("\n##", 1)[0]
        assert "hat it asks for is of classifiers, and `curate test` computes it of a run" in " ".join(section.split())
        assert told in section
        assert "curate score" not in text


def test_our_figures_stand_beside_the_papers_with_its_first():
    assert "Nothing was scored here yet: `curate score toy`" in protocol_card(PROTOCOL, **tables())
    ours = [result("eer", 0.04), result("min_dcf p=0.01", 0.5), result("eer", 0.9, subset="sex = female")]
    text = protocol_card(PROTOCOL, **tables(results=ours))
    assert rows_under(text, "Results") == [
        ["drawn", "min_dcf p=0.01", "theirs", "0.2500", "", "", "", "the paper, table 2"],
        ["drawn", "min_dcf p=0.01", "ours", "0.5000", "0.2500 to 1.0000", "1", "2", "here"],
        ["drawn", "eer", "theirs", "5.00 %", "", "", "", "the paper, table 2"],
        ["drawn", "eer", "ours", "4.00 %", "2.00 % to 8.00 %", "1", "2", "here"],
        ["none", "f1 of sex", "theirs", "87.50 %", "", "", "", "the paper, table 1"],
    ]
    assert "- eer: as \\| ever\n" in text
    assert "Nothing was scored" not in text


def test_what_sides_share_is_told_by_whether_it_is_allowed_and_known():
    found = [
        leak("person", "test", "train", 2, 2, 1),
        leak("session", "test", "train", 3, 3, 2, is_allowed=True),
        leak("samples", "test", "train", 3, 3, 0, num_unknown=4),
        leak("voice", "test", "train", 2, 0, 0),
        leak("named", "test", "banned", 3, 9, 0, num_other_utterances=None),
    ]
    text = protocol_card(PROTOCOL, **tables(leaks=found))
    assert "**1 thing that the protocol does not allow is shared.**" in text
    rows = [row for row in rows_under(text, "What its sides share") if set(row[0]) != {"-"}]
    sides, named, people, sessions = [row for row in rows if row[0] in ("test", "people", "sessions")]
    assert sides == ["test", "train", "**1**", "", "2, allowed", "", "0; 4 unknown", "", "", "not known"]
    assert named == ["test", "banned", "9", "0"]
    assert people == ["people", "test", "train", "1", "2", "1", "**not allowed**"]
    assert sessions == ["sessions", "test", "train", "2", "2", "1", "allowed"]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "There is one split, and nothing to compare it with."),
        (
            [leak("person", "test", "train", 2, 2, 0)],
            "Nothing that the protocol does not allow was found on two sides.",
        ),
        ([leak("person", "test", "train", 2, 2, 1, is_allowed=True)], "Nothing that the protocol does not allow was"),
        (
            [leak("person", "test", "train", 2, 2, 1), leak("session", "test", "train", 2, 2, 1)],
            "**2 things that the protocol does not allow are shared.**",
        ),
    ],
)
def test_the_verdict_on_leaks_comes_first(found, told):
    section = protocol_card(PROTOCOL, **tables(leaks=found)).split("## What its sides share\n\n")[1]
    assert section.startswith(told)


def test_nothing_is_told_of_ages_where_nobody_tells_any():
    rows = tables()
    without = rows["utterances"].drop_columns(["age_group"])
    assert "Age groups" not in protocol_card(PROTOCOL, **rows | {"utterances": without})
    unknown = without.append_column("age_group", pa.nulls(len(without), pa.string()))
    assert "Age groups" not in protocol_card(PROTOCOL, **rows | {"utterances": unknown})


def test_the_card_does_not_depend_on_the_order_of_rows():
    found = [leak("person", "test", "train", 2, 2, 1), leak("named", "test", "banned", 3, 9, 0)]
    given = tables(leaks=found, results=[result("eer", 0.1), result("eer", 0.2, system="another")])
    expected = protocol_card(PROTOCOL, **given)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mixed = {name: rows.take(rng.permutation(len(rows))) for name, rows in given.items()}
        assert protocol_card(PROTOCOL, **mixed) == expected


ODD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@settings(deadline=None, max_examples=40)
@given(ODD, ODD, ODD)
def test_odd_text_of_a_corpus_stays_harmless(licence, citation, remark):
    text = protocol_card(PROTOCOL, **tables(licence=licence, citation=citation, remark=remark))
    _, matter, body = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
    said = yaml.safe_load(matter)
    assert said["pretty_name"] == "Toy people"
    assert [one["data_files"] for one in said["configs"]] == ["lists/drawn.txt", "lists/of-models.txt"]
    assert len([line for line in body.split("\n") if line.startswith("#")]) == 12
    (row,) = rows_under(body, "Sources")
    assert len(row) == 7
