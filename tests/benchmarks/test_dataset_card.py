"""Who is rare among the people of a data set, and what is not known of them, counted by hand."""

import pyarrow as pa
import pytest

from benchmarks.dataset_card import _of_values, _represented, biases

# Nine people: eight women (of whom one is in two corpora), one of whose sex nothing is told; an accent for each.
PEOPLE = ["a", "a", "b", "c", "d", "e", "f", "g", "h", "i"]


@pytest.fixture
def used():
    num = len(PEOPLE)
    return pa.table(
        {
            "utterance_id": [str(place) for place in range(num)],
            "identity_id": PEOPLE,
            "duration_s": [360.0] * num,
            "sex": [*["female"] * 9, None],
            "age_group": pa.nulls(num, pa.string()),
            "language": [*["vi"] * 9, "en"],
            "accent": [f"accent {one}" for one in PEOPLE],
            "nationality": pa.nulls(num, pa.string()),
            "corpus": ["one", "two", *["one"] * 8],
        }
    )


def rows(used, attribute):
    return [(row["value"], row["num_people"], row["share"], row["is_rare"]) for row in _of_values(used, attribute)]


def test_a_sex_that_nobody_has_is_rare(used):
    assert rows(used, "sex") == [("female", 8, 1.0, False), ("not stated", 1, None, False), ("male", 0, 0.0, True)]


def test_a_value_is_rare_below_half_of_an_equal_share(used):
    assert rows(used, "language") == [("vi", 8, 8 / 9, False), ("en", 1, 1 / 9, True)]
    assert not any(is_rare for *_, is_rare in rows(used, "accent"))


def test_somebody_in_two_corpora_is_one_person_of_either(used):
    assert rows(used, "corpus") == [("one", 9, 1.0, False), ("two", 1, 1 / 9, True)]


def test_what_is_told_of_nobody_is_said_so(used):
    assert rows(used, "age_group") == [("not stated", 9, None, False)]


def test_of_many_values_the_most_frequent_are_shown(used):
    names = pa.array([f"nation {place}" for place in range(20)])
    many = used.take([*range(10)] * 2).drop_columns("nationality").append_column("nationality", names)
    represented, not_shown = _represented(many)
    assert sum(row["attribute"] == "nationality" for row in represented) == 12
    assert not_shown == [("nationality", 8)]


def test_biases_are_sentences_with_counts(used):
    represented, _ = _represented(used)
    assert biases({"represented": represented}) == [
        "sex male: 0 people, 0.0 % of those of whom it is told",
        "language en: 1 person, 11.1 % of those of whom it is told",
        "corpus two: 1 person, 11.1 % of those of whom it is told",
        "sex is not told of 1 person (1 utterance)",
        "age group is not told of 9 people (10 utterances)",
        "nationality is not told of 9 people (10 utterances)",
    ]
    assert biases({"represented": []})[0].startswith("No value of sex")
