"""What a user is told is a line that can be read, however long the offender."""

import pytest

from curate.errors import BEGINNING, END, CorpusError, VoxcurateError
from curate.named import ReviewError


@pytest.mark.parametrize("error", [VoxcurateError, CorpusError, ReviewError])
def test_of_a_long_message_the_beginning_and_the_end_are_told(error):
    told = str(error(f"a.csv, line 3: verdict {'v' * 100_000!r}; expected one of keep, drop"))
    assert told.startswith("a.csv, line 3: verdict 'vvv")
    assert told.endswith("vvv'; expected one of keep, drop")
    assert len(told) == BEGINNING + len(" ... ") + END


def test_a_message_of_common_length_is_told_whole():
    message = "v" * (BEGINNING + END)
    assert str(VoxcurateError(message)) == message
