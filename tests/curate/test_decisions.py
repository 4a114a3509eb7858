"""What verdicts promise: one row an id in their order, only what was dropped is left out, and a reviewer's outrank."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.catalog import rows_of
from curate.conforming import conform
from curate.decisions import (
    OF_LABEL,
    REVIEW,
    Author,
    as_decided,
    counts,
    dropped,
    in_words,
    kept,
    new_labels,
    relabelled,
    settled,
    verdicts,
)
from curate.reasons import MEANING, Reason, Subject, Verdict
from curate.schema import DECISIONS, UTTERANCES
from curate.speakers import speaker_table

AUTHOR = Author(rule="a rule", step="clean", run_id="0123456789ab")
kinds = st.sampled_from([Verdict.KEEP, Verdict.DROP])
numbers = st.none() | st.floats(allow_nan=False)


def judged(verdict_by_id, subject=Subject.UTTERANCE):
    return verdicts(AUTHOR, subject, list(verdict_by_id), verdict=list(verdict_by_id.values()), reason=Reason.OK)


def uttered(ids):
    return pa.table({"utterance_id": pa.array(ids, pa.string()), "number": range(len(ids))})


@settings(deadline=None)
@given(rows=st.lists(st.tuples(kinds, st.sampled_from(Reason), numbers, numbers), max_size=8))
def test_one_row_an_id_in_their_order_with_what_was_given(rows):
    ids = [f"a/{i}" for i in range(len(rows))]
    kind, reason, score, lower = ([row[i] for row in rows] for i in range(4))
    as_nan = [np.array([np.nan if v is None else v for v in values], dtype=np.float64) for values in (score, lower)]
    table = verdicts(
        AUTHOR, Subject.UTTERANCE, ids, verdict=kind, reason=reason, score=as_nan[0], lower_bound=as_nan[1]
    )
    assert conform(DECISIONS, table).equals(table)
    assert table["subject_id"].to_pylist() == ids
    assert [table[name].to_pylist() for name in ("verdict", "reason", "score", "lower_bound")] == [
        kind,
        reason,
        score,
        lower,
    ]
    assert table["upper_bound"].null_count == table["other_id"].null_count == len(rows)


def test_a_single_value_stands_for_all():
    ids = pa.chunked_array([["a"], ["b", "c"]])
    table = verdicts(
        AUTHOR, Subject.SPEAKER, ids, verdict=Verdict.KEEP, reason=Reason.OK, score=0.5, upper_bound=np.nan
    )
    first = {"subject": "speaker", "verdict": "keep", "reason": "ok", "score": 0.5, "lower_bound": None}
    first |= {"upper_bound": None, "decided_by": "a rule", "step": "clean", "run_id": "0123456789ab", "other_id": None}
    assert table.to_pylist() == [first | {"subject_id": one} for one in "abc"]


def test_no_ids_are_no_rows():
    table = verdicts(AUTHOR, Subject.UTTERANCE, [], verdict=Verdict.DROP, reason=np.array([], dtype=str), score=None)
    assert table.num_rows == 0
    assert table.schema.equals(DECISIONS.arrow())
    assert dropped(table, Subject.UTTERANCE).to_pylist() == []
    assert counts(table) == []


@settings(deadline=None)
@given(
    present=st.lists(st.sampled_from("abcdef"), unique=True),
    steps=st.lists(st.dictionaries(st.sampled_from("abcdef"), kinds), max_size=3),
)
def test_an_utterance_is_left_out_exactly_where_some_step_drops_it(present, steps):
    decisions = pa.concat_tables([judged(step) for step in steps] or [judged({})])
    left = kept(uttered(present), decisions)
    out = {one for step in steps for one, verdict in step.items() if verdict == Verdict.DROP}
    assert left["utterance_id"].to_pylist() == [one for one in present if one not in out]
    assert all(present[row["number"]] == row["utterance_id"] for row in left.to_pylist())


def test_dropping_a_speaker_or_pair_drops_no_utterance_of_the_same_name():
    decisions = pa.concat_tables(
        [judged({"a": "drop"}, Subject.SPEAKER), judged({"b": "drop"}, Subject.PAIR), judged({"c": "drop"})]
    )
    assert kept(uttered(["a", "b", "c"]), decisions)["utterance_id"].to_pylist() == ["a", "b"]
    assert dropped(decisions, Subject.SPEAKER).to_pylist() == ["a"]


def test_an_id_that_two_steps_drop_is_named_once():
    assert dropped(pa.concat_tables([judged({"a": "drop"})] * 2), Subject.UTTERANCE).to_pylist() == ["a"]


def test_counts_are_of_each_step_subject_verdict_and_reason_in_order():
    def of(step, verdict, reason, ids):
        author = Author(rule="r", step=step, run_id="0")
        return verdicts(author, Subject.UTTERANCE, ids, verdict=verdict, reason=reason)

    table = pa.concat_tables(
        [
            of("ingest", "drop", "silent", ["a"]),
            of("clean", "keep", "ok", ["c", "b"]),
            of("clean", "drop", "silent", "d"),
        ]
    )
    assert counts(table) == [
        ("clean", "utterance", "drop", "silent", 1),
        ("clean", "utterance", "keep", "ok", 2),
        ("ingest", "utterance", "drop", "silent", 1),
    ]


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({}, ""),
        ({"score": 0.41}, " (score 0.4100)"),
        ({"score": 0.41, "lower_bound": 0.63, "upper_bound": 0.97}, " (score 0.4100, expected 0.6300 to 0.9700)"),
        ({"score": 0.41, "lower_bound": 0.63}, " (score 0.4100, expected at least 0.6300)"),
        ({"score": 9.0, "upper_bound": 0.0}, " (score 9.0000, expected at most 0.0000)"),
    ],
)
def test_a_decision_in_words_says_what_was_done_why_and_on_what_grounds(numbers, told):
    blank = {"subject": "utterance", "score": None, "lower_bound": None, "upper_bound": None}
    row = blank | {"verdict": "drop", "reason": "below_range"} | numbers
    assert in_words(row) == f"dropped, below_range: {MEANING[Reason.BELOW_RANGE]}{told}"


def test_every_verdict_has_a_word():
    row = {"subject": "utterance", "reason": "ok", "score": None}
    told = [in_words(row | {"verdict": verdict}).split(",")[0] for verdict in Verdict]
    assert told == ["kept", "dropped", "merged", "relabelled"]


def test_two_speakers_are_kept_apart_and_one_is_kept():
    row = {"verdict": "keep", "reason": "sex_conflict", "score": None}
    told = [in_words(row | {"subject": subject}).split(",")[0] for subject in Subject]
    assert dict(zip(Subject, told, strict=True)) == {"utterance": "kept", "speaker": "kept", "pair": "kept apart"}


# ------------------------------------------------------------------------------------------ labels that verdicts give


def said(subject_id, verdict, other_id=None, *, step="clean", subject=Subject.UTTERANCE):
    """One decision."""
    author = Author(rule="a rule", step=step, run_id="0")
    return verdicts(author, subject, [subject_id], verdict=verdict, reason=Reason.OK, other_ids=[other_id])


def all_of(*rows):
    return pa.concat_tables([DECISIONS.arrow().empty_table(), *rows])


def told(utterance_id, speaker_id, **columns):
    """One row of utterances, of the corpus that its label is of."""
    corpus = speaker_id.split("/")[0]
    return {
        "utterance_id": utterance_id,
        "corpus": corpus,
        "speaker_id": speaker_id,
        "path": f"{utterance_id}.wav",
        "start_s": 0.0,
        **columns,
    }


AN = {"sex": "female", "age_min_years": 30, "age_max_years": 30, "age_source": "list", "accent": "northern"}
BAO = {"sex": "male", "nationality": "Việt Nam"}
SPOKEN = rows_of(
    UTTERANCES,
    [
        told(
            "a/1",
            "a/an",
            session_id="a/an/video 1",
            work_id="a/book",
            language="vi",
            transcript="xin chào",
            licence="CC0",
            **AN,
        ),
        told("a/2", "a/an", **AN | {"age_min_years": 34, "age_max_years": 36}),
        told("b/1", "b/bao", session_id="b/bao/call", age_min_years=50, age_max_years=59, age_source="list", **BAO),
        told("b/2", "b/bao", age_min_years=61, age_max_years=61, age_conflict_years=3, accent="southern", **BAO),
        told("b/3", "b/bao", accent="northern", **BAO),
    ],
)
LABELS = speaker_table(SPOKEN)


def test_a_moved_utterance_is_told_as_its_new_label_is_and_keeps_what_is_of_the_recording():
    after = relabelled(SPOKEN, all_of(said("a/1", "relabel", "b/bao")), LABELS)
    assert after.schema == SPOKEN.schema
    before, now = SPOKEN.to_pylist(), after.to_pylist()
    assert now[1:] == before[1:]
    assert now[0] == before[0] | {
        "speaker_id": "b/bao",
        "session_id": "b/bao/video 1",
        "sex": "male",
        "age_min_years": 50,  # the range that the label's own rows span
        "age_max_years": 61,
        "age_source": None,  # and nobody said that range
        "age_conflict_years": None,
        "accent": None,  # its rows disagree
        "nationality": "Việt Nam",
    }


def test_what_nobody_says_of_the_new_label_is_not_said_of_what_moves_there():
    after = relabelled(SPOKEN, all_of(said("b/2", "relabel", "a/an")), LABELS).to_pylist()[3]
    assert {name: after[name] for name in ("sex", "accent", "nationality", "session_id")} == {
        "sex": "female",
        "accent": "northern",
        "nationality": None,
        "session_id": None,
    }
    bare = LABELS.select(["speaker_id"])
    after = relabelled(SPOKEN, all_of(said("b/2", "relabel", "a/an")), bare).to_pylist()[3]
    assert {after[name] for name in OF_LABEL} == {None}


def test_columns_that_are_not_there_are_not_added():
    some = SPOKEN.select(["sex", "utterance_id", "speaker_id"])
    after = relabelled(some, all_of(said("a/2", "relabel", "b/bao")), LABELS)
    assert after.schema == some.schema
    assert after.to_pylist()[1] == {"sex": "male", "utterance_id": "a/2", "speaker_id": "b/bao"}


def test_an_utterance_that_is_dropped_moves_nowhere():
    decisions = all_of(said("a/1", "relabel", "b/bao"), said("a/1", "drop", step="duplicates"), said("a/2", "drop"))
    assert as_decided(SPOKEN, decisions, LABELS).to_pylist() == SPOKEN.to_pylist()[2:]


def test_labels_and_pairs_of_the_same_name_move_no_utterance():
    decisions = all_of(
        said("a/1", "relabel", "b/bao", subject=Subject.SPEAKER), said("a/1", "relabel", "b/bao", subject=Subject.PAIR)
    )
    assert relabelled(SPOKEN, decisions, LABELS).equals(SPOKEN)
    assert new_labels(decisions).num_rows == 0


def test_a_reviewers_verdict_on_an_utterance_stands_in_place_of_all_others():
    rule_moves, rule_drops = said("a/1", "relabel", "b/bao"), said("a/1", "drop", step="embed")
    keeps, drops, moves = (
        said("a/1", verdict, other, step=REVIEW)
        for verdict, other in (("keep", None), ("drop", None), ("relabel", "b/bao"))
    )
    for decisions, speaker in (
        ([rule_moves, keeps], "a/an"),
        ([keeps, rule_drops, rule_moves], "a/an"),
        ([rule_drops, moves], "b/bao"),
        ([rule_moves, drops], None),
        ([rule_moves], "b/bao"),
    ):
        left = as_decided(SPOKEN, all_of(*decisions), LABELS)
        assert dict(zip(*(left[c].to_pylist() for c in ("utterance_id", "speaker_id")), strict=True)) == {
            "a/2": "a/an",
            "b/1": "b/bao",
            "b/2": "b/bao",
            "b/3": "b/bao",
        } | ({"a/1": speaker} if speaker else {})


def test_a_reviewers_verdict_on_a_pair_is_of_this_pair_alone():
    pair = {"subject": Subject.PAIR}
    by_rule = [said("x", "merge", "y", **pair), said("x", "keep", "z", **pair), said("x", "drop")]
    by_reviewer = said("x", "keep", "y", step=REVIEW, **pair)
    assert settled(all_of(*by_rule, by_reviewer)).equals(all_of(*by_rule[1:], by_reviewer))


def test_where_nobody_reviewed_everything_is_settled():
    decisions = all_of(said("a", "drop"), said("a", "relabel", "b"), said("a", "drop", subject=Subject.SPEAKER))
    assert settled(decisions).equals(decisions)
    assert len(settled(DECISIONS.arrow().empty_table())) == 0


LABEL_IDS = ["a/x", "a/y", "b/z"]


@st.composite
def judged_tables(draw):
    """Utterances in any order, and any decisions on them and on others; of one step, one row an utterance."""
    ids = draw(st.lists(st.sampled_from([f"u{i}" for i in range(8)]), unique=True, max_size=8))
    sexes = st.sampled_from(["female", "male", None])
    rows = [
        told(one, draw(st.sampled_from(LABEL_IDS)), sex=draw(sexes), session_id=draw(st.sampled_from(["s", None])))
        for one in ids
    ]
    for row in rows:
        row["session_id"] = row["session_id"] and f"{row['speaker_id']}/{row['session_id']}"
    said_of = {
        step: draw(
            st.dictionaries(
                st.sampled_from([f"u{i}" for i in range(8)]),
                st.tuples(st.sampled_from(["keep", "drop", "relabel"]), st.sampled_from(LABEL_IDS)),
            )
        )
        for step in ("clean", REVIEW)
    }
    decisions = [
        said(one, verdict, other if verdict == "relabel" else None, step=step)
        for step, verdict_of in said_of.items()
        for one, (verdict, other) in verdict_of.items()
    ]
    order = draw(st.permutations(range(len(decisions))))
    return rows_of(UTTERANCES, rows), all_of(*(decisions[i] for i in order)), said_of


@settings(deadline=None, max_examples=60)
@given(judged_tables())
def test_every_utterance_is_where_plain_loops_put_it(made):
    utterances, decisions, said_of = made
    labels = speaker_table(utterances)
    sexes = dict(zip(labels["speaker_id"].to_pylist(), labels["sex"].to_pylist(), strict=True))
    expected = []
    for row in utterances.to_pylist():
        verdict, other = said_of[REVIEW].get(row["utterance_id"]) or said_of["clean"].get(
            row["utterance_id"], ("keep", None)
        )
        if verdict == "relabel":
            session = row["session_id"] and f"{other}/s"
            row |= {"speaker_id": other, "sex": sexes.get(other), "session_id": session}
        if verdict != "drop":
            expected.append(row)
    after = as_decided(utterances, decisions, labels)
    assert after.schema == utterances.schema
    assert after.to_pylist() == expected
    assert as_decided(after, decisions, labels).equals(after)  # to do so again changes nothing
    assert relabelled(utterances, decisions, labels)["utterance_id"].equals(utterances["utterance_id"])
    once = settled(decisions)
    assert settled(once).equals(once)


@given(st.lists(st.sampled_from(["", "keep", "drop", "a longer one", "việt"]), max_size=8))
def test_texts_of_an_array_are_those_of_a_list(texts):
    author = Author(rule="toy", step="clean", run_id="r")
    one, other = (
        verdicts(author, Subject.UTTERANCE, [f"u{n}" for n in range(len(texts))], verdict=said, reason="ok")
        for said in (np.array(texts, str), texts)
    )
    assert one.equals(other)
