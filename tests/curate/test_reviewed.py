"""What reviewers' decisions promise: what stands is applied to whatever rules say, and to what is there."""

import random
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.catalog import rows_of
from curate.decisions import Author, as_decided, kept, settled, verdicts
from curate.reasons import Reason, Subject, Verdict
from curate.reviewed import pairs_of, reviewed
from curate.reviews import standing
from curate.schema import DECISIONS, REVIEWS, UTTERANCES
from curate.speakers import speaker_table

T0 = datetime(2026, 1, 2, tzinfo=UTC)
UTTERANCE, SPEAKER, PAIR = Subject.UTTERANCE, Subject.SPEAKER, Subject.PAIR
KEEP, DROP, MERGE, RELABEL = Verdict.KEEP, Verdict.DROP, Verdict.MERGE, Verdict.RELABEL
LABELS = {"a/1": "c/a", "a/2": "c/a", "b/1": "c/b", "b/2": "c/b", "e/1": "c/e", "f/1": "d/f", "d/g": "d/g"}
UNHEARD = ("b/2", "e/1")

HEARD = pa.chunked_array([[one for one in LABELS if one not in UNHEARD]], pa.string())
UTTERED = rows_of(
    UTTERANCES,
    [{"utterance_id": one, "corpus": label[0], "speaker_id": label} for one, label in LABELS.items()],
)


def ruled(step, verdict, reason, *ids, other_ids=None):
    author = Author(rule="a rule", step=step, run_id="0")
    return verdicts(author, UTTERANCE, list(ids), verdict=verdict, reason=reason, other_ids=other_ids)


def standing_rows(*things):
    rows = [
        {"reviewer": f"r{number}", "num_before": 0, "said_at": T0 + timedelta(seconds=number)}
        | {"subject": subject, "subject_id": one, "verdict": verdict, "other_id": other}
        for number, (subject, one, verdict, other) in enumerate(things)
    ]
    return standing(rows_of(REVIEWS, rows))


def on_utterances(*things, rules=()):
    """Who is left under which label, and what the step says of utterances: {id: (verdict, who)}."""
    rules = pa.concat_tables([rows_of(DECISIONS, []), *rules])
    found = reviewed(standing_rows(*things), UTTERED, rules, HEARD, run_id="0")
    decisions = pa.concat_tables([rules, found.decisions])
    left = as_decided(UTTERED, decisions, speaker_table(UTTERED))
    told = {
        row["subject_id"]: (row["verdict"], row["decided_by"])
        for row in found.decisions.to_pylist()
        if row["subject"] == UTTERANCE
    }
    return dict(zip(left["utterance_id"].to_pylist(), left["speaker_id"].to_pylist(), strict=True)), told


def without(*ids):
    return {one: label for one, label in LABELS.items() if one not in ids}


def test_every_decision_of_a_reviewer_is_signed_and_in_the_order_of_ids():
    things = [
        (UTTERANCE, "f/1", RELABEL, "c/a"),
        (PAIR, "d/f", MERGE, "c/b"),
        (SPEAKER, "c/b", DROP, None),
        (PAIR, "c/a", KEEP, "c/b"),
    ]
    found = reviewed(standing_rows(*things), UTTERED, rows_of(DECISIONS, []), HEARD, run_id="abc")
    shown = ("subject", "subject_id", "other_id", "verdict", "decided_by")
    assert [tuple(row[name] for name in shown) for row in found.decisions.to_pylist()] == [
        ("pair", "c/a", "c/b", "keep", "r3"),
        ("pair", "c/b", "d/f", "merge", "r1"),
        ("speaker", "c/b", None, "drop", "r2"),
        ("utterance", "b/1", None, "drop", "r2"),
        ("utterance", "b/2", None, "drop", "r2"),
        ("utterance", "f/1", "c/a", "relabel", "r0"),
    ]
    same = {(row["reason"], row["step"], row["run_id"], row["score"]) for row in found.decisions.to_pylist()}
    assert same == {("reviewed", "review", "abc", None)}
    assert pairs_of(found.decisions) == {("c/a", "c/b"): "keep", ("c/b", "d/f"): "merge"}
    assert found.gone == found.contradicting == []


def test_nothing_said_is_no_decision():
    found = reviewed(standing_rows(), UTTERED, rows_of(DECISIONS, []), HEARD, run_id="0")
    assert found.decisions.equals(DECISIONS.arrow().empty_table())


def test_an_utterance_is_what_was_said_of_it_whatever_rules_say():
    rules = [
        ruled("clean", DROP, Reason.BELOW_RANGE, "a/1", "a/2"),
        ruled("clean", RELABEL, Reason.WRONG_SPEAKER, "b/1", "f/1", other_ids=["c/a", "c/a"]),
    ]
    left, _ = on_utterances(rules=rules)
    assert left == without("a/1", "a/2") | {"b/1": "c/a", "f/1": "c/a"}
    left, told = on_utterances(
        (UTTERANCE, "a/1", KEEP, None),
        (UTTERANCE, "a/2", RELABEL, "d/f"),
        (UTTERANCE, "b/1", KEEP, None),
        (UTTERANCE, "f/1", DROP, None),
        rules=rules,
    )
    assert left == without("f/1") | {"a/2": "d/f"}
    assert told == {"a/1": (KEEP, "r0"), "a/2": (RELABEL, "r1"), "b/1": (KEEP, "r2"), "f/1": (DROP, "r3")}


def test_a_speaker_that_is_dropped_takes_along_what_is_his_and_what_rules_put_under_him():
    rules = [ruled("clean", RELABEL, Reason.WRONG_SPEAKER, "f/1", other_ids=["c/a"])]
    left, told = on_utterances((SPEAKER, "c/a", DROP, None), (UTTERANCE, "a/2", KEEP, None), rules=rules)
    assert left == without("a/1", "f/1")
    assert told == {"a/1": (DROP, "r0"), "f/1": (DROP, "r0"), "a/2": (KEEP, "r1")}


def test_an_utterance_of_two_dropped_speakers_is_dropped_once():
    rules = [ruled("clean", RELABEL, Reason.WRONG_SPEAKER, "f/1", other_ids=["c/a"])]
    _, told = on_utterances((SPEAKER, "c/a", DROP, None), (SPEAKER, "d/f", DROP, None), rules=rules)
    assert told["f/1"] == (DROP, "r1")  # by who dropped the label that it came with


def test_a_speaker_that_is_kept_brings_back_what_was_dropped_for_his_sake_alone():
    rules = [
        ruled("clean", DROP, Reason.INVALID_SPEAKER, "a/1", "a/2", "b/1", "f/1"),
        ruled("duplicates", DROP, Reason.DUPLICATE, "a/2", other_ids=["f/1"]),
    ]
    left, told = on_utterances(
        (SPEAKER, "c/a", KEEP, None), (SPEAKER, "d/f", KEEP, None), (UTTERANCE, "f/1", DROP, None), rules=rules
    )
    assert left == without("a/2", "b/1", "f/1")
    assert told == {"a/1": (KEEP, "r0"), "f/1": (DROP, "r2")}


def test_a_speaker_that_is_kept_is_one_person_and_brings_back_what_was_called_another_s():
    author = Author(rule="a rule", step="clean", run_id="0")
    rules = [
        verdicts(author, SPEAKER, ["c/a", "c/b"], verdict=DROP, reason=Reason.MIXED_SPEAKER),
        ruled("clean", DROP, Reason.INVALID_SPEAKER, "a/1"),
        ruled("clean", DROP, Reason.ANOTHER_PERSON, "a/2", "b/1", "f/1"),
        ruled("duplicates", DROP, Reason.NEAR_DUPLICATE, "f/1", other_ids=["b/2"]),
        ruled("clean", DROP, Reason.WRONG_SPEAKER, "d/g", other_ids=["c/e"]),
    ]
    kept_ones = [(SPEAKER, label, KEEP, None) for label in ("c/a", "d/f", "d/g")]
    left, told = on_utterances(*kept_ones, rules=rules)
    assert left == without("b/1", "f/1", "d/g")
    assert told == {"a/1": (KEEP, "r0"), "a/2": (KEEP, "r0")}


def test_what_is_not_there_any_more_is_told_and_left_out():
    things = [
        (UTTERANCE, "gone", DROP, None),
        (UTTERANCE, "b/2", KEEP, None),
        (UTTERANCE, "a/1", RELABEL, "c/gone"),
        (SPEAKER, "c/gone", DROP, None),
        (PAIR, "c/a", MERGE, "c/gone"),
        (PAIR, "c/gone", KEEP, "c/a"),
        (UTTERANCE, "b/1", DROP, None),
    ]
    found = reviewed(standing_rows(*things), UTTERED, rows_of(DECISIONS, []), HEARD, run_id="0")
    assert [row["subject_id"] for row in found.decisions.to_pylist()] == ["b/1"]
    assert found.gone == [
        "keep c/a and c/gone apart (r5): there is no c/gone",
        "drop speaker c/gone (r3): there is no c/gone",
        "relabel utterance a/1 to c/gone (r2): there is no c/gone",
        "keep utterance b/2 (r1): it has no embedding",
        "drop utterance gone (r0): there is no gone",
    ]


def test_of_pairs_that_contradict_each_other_what_was_said_first_holds():
    """Two reviewers may say it in the same moment: neither saw the other's."""
    things = [(PAIR, "c/a", MERGE, "c/b"), (PAIR, "c/b", KEEP, "c/e"), (PAIR, "c/a", MERGE, "c/e")]
    for order in ([0, 1, 2], [2, 1, 0]):
        rows = standing_rows(*things)
        found = reviewed(rows.take(order), UTTERED, rows_of(DECISIONS, []), HEARD, run_id="0")
        assert pairs_of(found.decisions) == {("c/a", "c/b"): "merge", ("c/b", "c/e"): "keep"}
        assert found.contradicting == ["merge c/a and c/e (r2): said before of c/a and c/b, c/b and c/e"]


kinds = st.sampled_from(
    [(UTTERANCE, one, verdict, None) for one in LABELS for verdict in (KEEP, DROP)]
    + [(UTTERANCE, one, RELABEL, label) for one in LABELS for label in set(LABELS.values()) - {LABELS[one]}]
    + [(SPEAKER, one, verdict, None) for one in sorted(set(LABELS.values())) for verdict in (KEEP, DROP)]
    + [
        (PAIR, *pair[:1], verdict, pair[1])
        for pair in combinations(sorted(set(LABELS.values())), 2)
        for verdict in (MERGE, KEEP)
    ]
)


@settings(max_examples=60)
@given(
    st.lists(kinds, max_size=8),
    st.dictionaries(
        st.sampled_from(sorted(LABELS)),
        st.sampled_from(["invalid_speaker", "another_person", "below_range", "c/a", "d/f"]),
    ),
    st.integers(0, 2**16),
)
def test_the_step_does_not_depend_on_the_order_of_rows_and_what_was_said_of_an_utterance_holds(things, by_rules, seed):
    rules = pa.concat_tables(
        [rows_of(DECISIONS, [])]
        + [
            ruled("clean", RELABEL, Reason.WRONG_SPEAKER, one, other_ids=[what])
            if "/" in what
            else ruled("clean", DROP, what, one)
            for one, what in by_rules.items()
        ]
    )
    rows = standing_rows(*things)
    found = reviewed(rows, UTTERED, rules, HEARD, run_id="0")
    mixed = [
        table.take(pa.array(random.Random(seed).sample(range(len(table)), len(table)), pa.int64()))
        for table in (rows, UTTERED, rules)
    ]
    assert reviewed(*mixed, HEARD, run_id="0").decisions.equals(found.decisions)
    keys = [(r["subject"], r["subject_id"], r["other_id"]) for r in found.decisions.to_pylist()]
    assert len({key[:2] if key[0] == UTTERANCE else key for key in keys}) == len(keys)
    decisions = pa.concat_tables([rules, found.decisions])
    left = as_decided(UTTERED, decisions, speaker_table(UTTERED))
    under = dict(zip(left["utterance_id"].to_pylist(), left["speaker_id"].to_pylist(), strict=True))
    for row in rows.to_pylist():
        one, heard = row["subject_id"], row["subject_id"] not in UNHEARD
        if row["subject"] != UTTERANCE or (row["verdict"] != DROP and not heard):
            continue
        expected = {DROP: None, KEEP: LABELS[one], RELABEL: row["other_id"]}[row["verdict"]]
        assert under.get(one) == expected
    assert kept(UTTERED, decisions).num_rows == len(under)
    assert not set(settled(decisions).filter(pc.field("step") != "review")["subject_id"].to_pylist()) & {
        row["subject_id"] for row in found.decisions.to_pylist() if row["subject"] == UTTERANCE
    }
