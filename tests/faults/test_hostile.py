"""Whatever is read: nothing elsewhere is touched, nothing of it runs, and it costs a line. What would be is found."""

from pathlib import Path

import pytest

from tests.faults import bombs, hostile, links
from tests.faults.account import faults
from tests.faults.commands import Done
from tests.faults.watched import changed, opened_below, tree


def test_bad_input_costs_a_line_and_touches_nothing_elsewhere(tmp_path, loaded):
    found = list(hostile.tried(tmp_path, loaded, full=False))
    assert faults(found) == []
    assert len(found) >= 29


# ------------------------------------------------------------------------------------------- what checks, finds faults


@pytest.mark.parametrize("through", ["read_bytes", "arrow", "append"])
def test_whoever_opens_a_watched_file_is_seen_also_through_a_link_and_from_cplusplus(tmp_path, through):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "secret").write_bytes(b"s")
    (tmp_path / "link").symlink_to(tmp_path / "victim" / "secret")
    with opened_below(tmp_path / "victim") as opened:
        list((tmp_path / "victim").iterdir())
    assert opened == []
    with opened_below(tmp_path / "victim") as opened:
        TOUCHES[through](tmp_path / "link")
    assert f"opened {tmp_path / 'victim' / 'secret'}" in opened


def by_arrow(path: Path) -> None:
    from pyarrow import OSFile

    OSFile(str(path)).close()


TOUCHES = {
    "read_bytes": Path.read_bytes,
    "arrow": by_arrow,
    "append": lambda path: path.open("a").close(),
}


def test_whatever_comes_goes_or_changes_is_seen(tmp_path):
    (tmp_path / "a").write_text("1")
    before = tree(tmp_path)
    assert changed(before, tree(tmp_path)) == ()
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_text("2")
    assert changed(before, tree(tmp_path)) == ("a", "b")


class Forged:
    """Forks that do what they are told to before they end, in the place of what was asked."""

    def __init__(self, does) -> None:
        self.does = does

    def run(self, _call, *arguments, argv):
        self.does(*arguments)
        return Done(argv, 1, "", "curate: refused\n")


def test_a_trap_that_was_run_and_one_that_was_followed_are_found(tmp_path):
    assert bombs.sprung(tmp_path / "0", Forged(lambda _name, home: None), "a pickle as weights").survived
    ran = bombs.sprung(tmp_path / "1", Forged(lambda _name, home: (home / "ran").touch()), "a pickle as weights")
    assert ran.lost == ("the file was run",)
    read = Forged(lambda _name, home: (home.parent / "victim" / "secret").read_bytes())
    assert len(bombs.sprung(tmp_path / "2", read, "a network whose weights are elsewhere").lost) == 2


def test_a_pickle_of_ours_does_run_where_somebody_opens_it(tmp_path):
    import pickle

    pickle.loads(pickle.dumps(bombs.Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_a_corpus_that_was_read_through_its_link_is_found(tmp_path):
    read = Forged(lambda file: (file.parent / "corpus" / "an" / "2.wav").read_bytes())
    assert links.corpus(tmp_path / "1", read, "a linked file", links.a_linked_file).lost
    assert links.corpus(tmp_path / "2", Forged(lambda _: None), "a linked file", links.a_linked_file).survived
