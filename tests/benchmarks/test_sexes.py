"""What `benchmarks.sexes` promises: a person's sex is what all labels agree on that say any."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sexes import agreed_sexes


def test_a_worked_case():
    people = ["bob", "ann", "bob", "ann", "eve", "kim"]
    said = ["male", None, "female", "female", None, "other"]
    assert list(agreed_sexes(people, said).items()) == [
        ("bob", None),
        ("ann", "female"),
        ("eve", None),
        ("kim", "other"),
    ]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["female", "male", None]))))
def test_who_has_a_sex_has_it_of_a_row_and_no_row_says_another(rows):
    found = agreed_sexes(*(zip(*rows, strict=True) if rows else ([], [])))
    assert list(found) == list(dict.fromkeys(who for who, _ in rows))
    for who, sex in found.items():
        said = [one for other, one in rows if other == who and one is not None]
        assert sex == (said[0] if said and said == [said[0]] * len(said) else None)
