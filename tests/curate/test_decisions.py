"""What verdicts promise: one row an id in their order, and only what was dropped is left out."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.catalog import conform
from curate.decisions import Author, counts, dropped, in_words, kept, verdicts
from curate.reasons import MEANING, Reason, Subject, Verdict
from curate.schema import DECISIONS

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
        ({"score": 0.41, "lower_bound": 0.63, "upper_bound": 0.97}, " (score 0.4100, held against 0.6300 .. 0.9700)"),
        ({"score": 0.41, "lower_bound": 0.63}, " (score 0.4100, held against 0.6300 .. no greatest)"),
        ({"score": 9.0, "upper_bound": 0.0}, " (score 9.0000, held against no least .. 0.0000)"),
    ],
)
def test_a_decision_in_words_says_what_was_done_why_and_on_what_grounds(numbers, told):
    blank = {"score": None, "lower_bound": None, "upper_bound": None}
    row = blank | {"verdict": "drop", "reason": "below_range"} | numbers
    assert in_words(row) == f"dropped, below_range: {MEANING[Reason.BELOW_RANGE]}{told}"


def test_every_verdict_has_a_word():
    row = {"reason": "ok", "score": None}
    told = [in_words(row | {"verdict": verdict}).split(",")[0] for verdict in Verdict]
    assert told == ["kept", "dropped", "merged", "relabelled"]
