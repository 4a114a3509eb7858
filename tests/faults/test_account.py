"""The table of what came of faults, by hand."""

from tests.faults.account import Tried, faults, table

FINE = Tried(suite="crash", during="run", fault="killed", point="3: write x")
BAD = Tried(suite="crash", during="run", fault="killed", point="4: sync x", lost=("x", "y"), untold=("Traceback",))
OTHER = Tried(suite="hostile", during="export", fault="a link", point="out", half_written=("z",))
LATE = Tried(suite="crash", during="run", fault="killed", point="9: sync y", has_struck=False)


def test_what_was_tried_is_counted_by_what_struck_whom():
    assert table([FINE, BAD, OTHER, LATE]).splitlines()[2:] == [
        "| crash | run | killed | 3 | 2 | 2 | 2 | 0 | 0 | 1 |",
        "| hostile | export | a link | 1 | 1 | 0 | 0 | 0 | 1 | 0 |",
        "| all |  |  | 4 | 3 | 2 | 2 | 0 | 1 | 1 |",
    ]


def test_what_is_wrong_is_told_with_the_point_where_it_struck():
    assert faults([FINE, BAD, OTHER]) == [
        "crash, run, killed, 4: sync x: lost: x",
        "crash, run, killed, 4: sync x: lost: y",
        "crash, run, killed, 4: sync x: untold: Traceback",
        "hostile, export, a link, out: half-written: z",
    ]
