"""What is told of an offender is no longer than a line that is read, and is one line."""

from curate.errors import MAX_SHOWN, shown


def test_of_a_long_value_the_beginning_is_shown():
    assert shown("v" * MAX_SHOWN) == f"'{'v' * (MAX_SHOWN - 1)}..."


def test_a_short_one_is_shown_whole_and_on_one_line():
    assert shown("one\ntwo") == r"'one\ntwo'"
    assert shown("v" * (MAX_SHOWN - 2)) == f"'{'v' * (MAX_SHOWN - 2)}'"
