"""What is promised of kappa: each one's own last word is compared, and the coefficient is Cohen's."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from curate.catalog import rows_of
from curate.kappa import Agreement, agreements, contradicting, kappa, own_words
from curate.reasons import Subject
from curate.schema import REVIEWS

T0 = datetime(2026, 1, 2, tzinfo=UTC)
UTTERANCE, SPEAKER, PAIR = Subject.UTTERANCE, Subject.SPEAKER, Subject.PAIR


def reviews(*things):
    """Rows of (reviewer, subject, id, verdict, other), said in turn."""
    numbers, rows = {}, []
    for moment, (reviewer, subject, one, verdict, *other) in enumerate(things):
        ids = {"subject": subject, "subject_id": one, "other_id": other[0] if other else None, "verdict": verdict}
        said = {"reviewer": reviewer, "num_before": numbers.get(reviewer, 0), "said_at": T0 + timedelta(minutes=moment)}
        numbers[reviewer] = numbers.get(reviewer, 0) + 1
        rows.append(said | ids)
    return rows_of(REVIEWS, rows)


def on(subject, words):
    """What reviewers say of subjects 0, 1, ...: `{"ann": "kkd"}` is keep, keep, drop; a dot is nothing."""
    verdicts = {"k": "keep", "d": "drop", "-": None}
    return [
        (reviewer, subject, f"{number}", verdicts[letter])
        for reviewer, letters in words.items()
        for number, letter in enumerate(letters)
        if letter != "."
    ]


def test_kappa_worked_by_hand():
    """Of fifty, ann keeps 25 and bob 30; both keep 20, both drop 15: p = 0.7, e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5."""
    said = {"ann": "k" * 20 + "k" * 5 + "d" * 10 + "d" * 15, "bob": "k" * 20 + "d" * 5 + "k" * 10 + "d" * 15}
    (found,) = agreements(reviews(*on(UTTERANCE, said)))
    assert found == Agreement(
        one="ann", other="bob", subject=UTTERANCE, num_compared=50, num_agreed=35, kappa=pytest.approx(0.4)
    )


@pytest.mark.parametrize(
    ("ann", "bob", "value"),
    [
        ("kd", "kd", 1.0),
        ("kd", "dk", -1.0),
        ("kk", "kd", 0.0),
        ("kkd", "dkk", -0.5),
        ("k", "d", 0.0),
        ("kkk", "kkk", None),
        ("d", "d", None),
    ],
)
def test_kappa_of_few(ann, bob, value):
    (found,) = agreements(reviews(*on(SPEAKER, {"bob": bob, "ann": ann})))
    assert found.kappa == (None if value is None else pytest.approx(value))
    assert found.num_compared == len(ann)


def test_each_ones_own_last_word_is_compared_whoever_took_back_what():
    rows = reviews(
        ("ann", UTTERANCE, "1", "drop"),
        ("bob", UTTERANCE, "1", "drop"),
        ("ann", UTTERANCE, "1", "keep"),
        ("carl", UTTERANCE, "1", None),  # all of it, which has not changed what they said
        ("ann", UTTERANCE, "2", "keep"),
        ("bob", UTTERANCE, "2", "keep"),
        ("bob", UTTERANCE, "2", None),
        ("ann", UTTERANCE, "3", "relabel", "s/x"),
        ("bob", UTTERANCE, "3", "relabel", "s/x"),
        ("ann", UTTERANCE, "4", "relabel", "s/x"),
        ("bob", UTTERANCE, "4", "relabel", "s/y"),
    )
    assert [(row["reviewer"], row["subject_id"], row["verdict"]) for row in own_words(rows).to_pylist()] == [
        ("ann", "1", "keep"),
        ("bob", "1", "drop"),
        ("ann", "2", "keep"),
        ("ann", "3", "relabel"),
        ("bob", "3", "relabel"),
        ("ann", "4", "relabel"),
        ("bob", "4", "relabel"),
    ]
    (found,) = agreements(rows)
    # ann says keep, to x, to x; bob drop, to x, to y: p = 1/3, e = 2/9
    assert (found.num_compared, found.num_agreed, found.kappa) == (3, 1, pytest.approx((1 / 3 - 2 / 9) / (7 / 9)))
    told = [(row["subject_id"], row["reviewer"]) for row in contradicting(rows).to_pylist()]
    assert told == [("1", "ann"), ("1", "bob"), ("4", "ann"), ("4", "bob")]


def test_a_pair_is_one_subject_whichever_is_named_first_and_kinds_are_apart():
    rows = reviews(
        ("ann", PAIR, "b", "merge", "a"),
        ("bob", PAIR, "a", "merge", "b"),
        ("ann", PAIR, "a", "keep", "c"),
        ("bob", PAIR, "c", "merge", "a"),
        ("ann", SPEAKER, "a", "keep"),
        ("bob", UTTERANCE, "a", "keep"),
        ("carl", SPEAKER, "a", "drop"),
    )
    assert [(one.one, one.other, one.subject, one.num_compared, one.num_agreed) for one in agreements(rows)] == [
        ("ann", "bob", PAIR, 2, 1),
        ("ann", "carl", SPEAKER, 1, 0),
    ]
    told = [
        (row["subject"], row["subject_id"], row["other_id"], row["reviewer"]) for row in contradicting(rows).to_pylist()
    ]
    assert told == [
        ("pair", "a", "c", "ann"),
        ("pair", "a", "c", "bob"),
        ("speaker", "a", None, "ann"),
        ("speaker", "a", None, "carl"),
    ]


def test_where_nobody_or_one_alone_spoke_there_is_nothing_to_compare():
    for rows in (reviews(), reviews(("ann", UTTERANCE, "1", "keep"), ("ann", UTTERANCE, "2", None))):
        assert agreements(rows) == []
        assert contradicting(rows).num_rows == 0
    assert kappa(np.array([], np.int64), np.array([], np.int64)) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_kappa_is_scikit_learns_and_does_not_know_names_or_sides(rows):
    one, other = np.array(rows).T
    found = kappa(one, other)
    assert (found is None) == (len({*one, *other}) == 1)
    assume(found is not None)
    assert found == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    assert kappa(other, one) == kappa(3 - one, 3 - other) == found
    assert -1 <= found <= 1


words = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "carl"]), st.sampled_from(Subject), st.integers(0, 3), st.sampled_from("kd-")
    ),
    max_size=30,
)


@given(words, st.randoms(use_true_random=False))
def test_agreements_are_those_of_a_plain_loop_in_any_order_of_rows(made, shuffled):
    verdicts = {"k": "keep", "d": "drop", "-": None}
    rows = reviews(
        *((who, kind, f"{one}", verdicts[said], *(["x"] if kind == PAIR else [])) for who, kind, one, said in made)
    )
    last = {}
    for who, kind, one, said in made:
        last[who, kind, one] = said
    expected = []
    for one, other in combinations(sorted({who for who, _, _, _ in made}), 2):
        for kind in Subject:
            said = [(last.get((one, kind, n), "-"), last.get((other, kind, n), "-")) for n in range(4)]
            both = [two for two in said if "-" not in two]
            if both:
                expected.append((one, other, kind, len(both), sum(a == b for a, b in both)))
    places = list(range(len(rows)))
    shuffled.shuffle(places)
    found = agreements(rows.take(np.array(places, np.int64)))
    assert [(a.one, a.other, a.subject, a.num_compared, a.num_agreed) for a in found] == expected
    differ = {
        (kind, f"{n}")
        for kind in Subject
        for n in range(4)
        if len({last.get((who, kind, n), "-") for who in ("ann", "bob", "carl")} - {"-"}) > 1
    }
    assert {(row["subject"], row["subject_id"]) for row in contradicting(rows).to_pylist()} == differ
