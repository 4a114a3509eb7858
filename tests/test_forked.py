"""The process that forks: one that cannot start is told at once, and who dies as he asks does not end it for others."""

import pickle
import socket
from pathlib import Path

import pytest

from tests.forked import forks, shared_forks


def test_a_process_that_cannot_import_what_it_is_asked_to_is_told_and_not_started_again(tmp_path):
    made = []

    def once(name: str, fill) -> Path:
        made.append(tmp_path / name)
        made[-1].mkdir()
        fill(made[-1])
        return made[-1]

    with pytest.raises(RuntimeError, match="has failed"), shared_forks(once, "no.such.module"):
        pass
    assert len(made) == 1


@pytest.mark.parametrize("half", [b"", pickle.dumps(("argv", {}))[:9]], ids=["silent", "half"])
def test_who_asks_and_dies_does_not_end_it_for_others(half):
    with forks() as forked:
        for waits in (False, True) * 3:
            with socket.socket(socket.AF_UNIX) as dying:
                dying.connect(str(forked._place))
                if waits:
                    assert dying.recv(6) == b"ready\n"
                    dying.sendall(half)
        assert forked.run(print, "as ever").stdout == "as ever\n"
