"""No result depends on the order of folders, locale, time zone, hashes, threads, workers, machine, user or day."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.account import Tried, faults
from tests.faults.around import Surroundings
from tests.faults.order import OTHER, USUAL, contents, main, tried
from tests.faults.watched import changed
from tests.forked import Forks


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("order")


@pytest.fixture(scope="module")
def gone(folder, corpora, loaded, prefect_server) -> list[Tried]:
    """The whole path, in `usual` as a process goes it that had its modules loaded, and in a new one elsewhere."""

    def forked(there, surroundings):
        return loaded.start(main, there, surroundings, environment=surroundings.environment(there))()

    return list(tried(folder, corpora / "LibriSpeech", process=forked))


@pytest.mark.real
def test_the_whole_path_gives_the_same_bytes_where_all_around_it_is_another(gone):
    assert gone
    assert faults(gone) == []


@pytest.mark.real
def test_nothing_that_is_published_is_left_out(gone, folder):
    usual = contents(folder / "usual")
    kinds, tables = {Path(place).parts[0] for place in usual}, {Path(place).parent.name for place in usual}
    assert kinds >= {"told", "pictures", "kaldi", "lhotse", "nemo", "wespeaker", "published", "report", "runs"}
    assert tables >= {"utterances", "embeddings", "decisions", "splits", "trials", "results", "leaks", "lists", "built"}
    for place in ("catalog/README.md", "scores.parquet", "report/report.html", "told/audit", "wespeaker/test/wav.scp"):
        assert changed(usual, usual | {place: usual[place][:-2] + b"?!"}) == (place,)
    assert changed(usual, usual | {"more": b""}) == ("more",)


def test_surroundings_are_what_they_are_called(loaded: Forks, tmp_path):
    for name in "bac":
        (tmp_path / name).touch()
    for surroundings in (USUAL, OTHER, replace(USUAL, listing="shuffled")):
        done = loaded.start(look_around, surroundings, tmp_path, environment=surroundings.environment(tmp_path))()
        assert done.returncode == 0, done.stderr
        order = {"sorted": "abc", "reversed": "cba", "shuffled": "bca"}[surroundings.listing]
        zone = {"Pacific/Pago_Pago": "-1100", "Pacific/Kiritimati": "+1400"}[surroundings.zone]
        cores = [surroundings.cores] * 3
        assert json.loads(done.stdout) == [*[order] * 3, zone, *cores, surroundings.machine, surroundings.days]


def look_around(surroundings: Surroundings, folder: Path) -> None:
    """Print what a process finds itself in."""
    surroundings.enter()
    import os
    import socket
    import time
    from datetime import UTC, datetime

    import duckdb
    import pyarrow as pa

    import curate.runs

    listed = ["".join(os.listdir(folder)), "".join(path.name for path in folder.glob("*"))]
    with os.scandir(folder) as entries:
        listed.append("".join(entry.name for entry in entries))
    (threads,) = duckdb.connect().execute("select current_setting('threads')").fetchone()
    later = round((curate.runs.datetime.now(UTC) - datetime.now(UTC)).total_seconds() / 86_400)
    found = [*listed, time.strftime("%z"), threads, pa.cpu_count(), os.cpu_count(), socket.gethostname(), later]
    print(json.dumps(found))  # noqa: T201 - a process of its own
