"""Whatever goes on at once, nothing is lost, doubled or mixed; and what would be is found."""

import errno
import fcntl
import queue
import threading
from contextlib import nullcontext

import pytest
from typer.testing import CliRunner

from curate import turns
from curate.catalog import A_RUN, Catalog, rows_of
from curate.errors import CatalogError
from curate.named import Review
from curate.reasons import Subject, Verdict
from curate.reviews import decide, said
from curate.runs import Step
from curate.schema import LEAKS, REVIEWS, RUNS, UTTERANCES
from flows.cli import app
from tests.faults import concurrency, reading, reviewing, tiny
from tests.faults.account import faults
from tests.faults.commands import Done, contents, held, told_badly
from tests.faults.watched import changed


def test_two_at_once_never_mix_and_what_is_acknowledged_is_kept(tmp_path, loaded):
    found = list(concurrency.tried(tmp_path, loaded, full=False))
    assert faults(found) == []
    assert len(found) >= 13


# ------------------------------------------------------------------------------------------- what checks, finds faults


@pytest.fixture
def catalog(tmp_path):
    tiny.write_tiny(tmp_path)
    return Catalog(tmp_path / "catalog")


def test_a_table_that_another_has_written_is_found(catalog):
    before = contents(catalog.root)
    catalog.publish(LEAKS, catalog.read(LEAKS).slice(0, 0), part="toy", fingerprint="another")
    assert changed(contents(catalog.root), before) == ("leaks/toy.parquet",)


def test_a_refusal_without_a_line_with_a_wrong_code_or_with_a_traceback_is_found():
    good = Done(("curate", "score"), 1, "", "scoring\ncurate: process 7 is writing it\n")
    assert told_badly(good, refused=True, says=("process 7",)) == ()
    assert len(told_badly(good, refused=True, says=("process 8",))) == 1
    assert len(told_badly(good, refused=False)) == 1
    assert len(told_badly(Done(("curate",), 1, "", "Traceback (most recent call last)"), refused=True)) == 2


def test_a_command_that_never_comes_to_its_point_is_told_at_once(catalog, loaded):
    with pytest.raises(RuntimeError, match=r"status has ended without call 1 of .*:Catalog\.publish"):
        held(loaded, concurrency.PUBLISHED, "status", "-c", catalog.root)


def test_readers_that_look_without_asking_see_tables_of_two_runs(catalog, monkeypatch):
    """In the middle of publishing: the moment that `as_one` keeps from them."""
    reading.publish(catalog.root, reading.OLD)
    seen = []
    monkeypatch.setattr("curate.whole.move", half(catalog, seen, monkeypatch))
    reading.publish(catalog.root, reading.NEW)
    assert {reading.OLD, reading.NEW} in seen


def half(catalog, seen, monkeypatch):
    from curate import whole

    real = whole.move

    def move(place, to):
        real(place, to)
        with monkeypatch.context() as patch:
            patch.setattr(Catalog, "as_one", lambda _: nullcontext())
            seen.append(reading.by_query(catalog.root)["all tables"])

    return move


def test_a_word_that_is_not_there_or_twice_is_found(catalog):
    drop = Review(subject=Subject.UTTERANCE, subject_id="studio/an/1", verdict=Verdict.DROP, note="0-0")
    decide(catalog, "ann", [drop])
    word = ("ann", "studio/an/1", "0-0")
    assert reviewing.missing(catalog.root, [word]) == ((), ())
    assert reviewing.missing(catalog.root, [word, ("ann", "studio/an/2", "0-1")])[0] == ("ann studio/an/2 0-1",)
    (once,) = said(catalog).to_pylist()
    rows = rows_of(REVIEWS, [once, once | {"num_before": 1}])
    catalog.publish(REVIEWS, rows, part="ann", fingerprint="f")
    assert reviewing.missing(catalog.root, [word])[1] == ("ann studio/an/1 0-0",)


# ------------------------------------------------------------------------------------------------ several tables as one


def test_who_publishes_waits_for_who_reads_and_who_reads_waits_for_who_publishes(catalog):
    reading.publish(catalog.root, reading.OLD)
    with catalog.as_one(), (catalog.root / turns.READING).open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with catalog.publishing(A_RUN), (catalog.root / turns.PUBLISHING).open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with catalog.as_one():
        pass


def test_a_writer_that_broke_off_between_tables_is_named_until_it_was_run_again(catalog, monkeypatch):
    reading.publish(catalog.root, reading.OLD)
    calls = []

    def breaks(place, to):
        calls.append(to)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("curate.whole.move", breaks)
        with pytest.raises(OSError, match="No space left"):
            reading.publish(catalog.root, reading.NEW)
    assert len(calls) == 1
    told = "`curate run` broke off while it replaced tables"
    with pytest.raises(CatalogError, match=told), catalog.as_one():
        pass
    with pytest.raises(CatalogError, match=told), catalog.locked():
        pass
    reading.publish(catalog.root, reading.NEW)
    assert reading.by_query(catalog.root) == {"all tables": {reading.NEW}}


@pytest.mark.parametrize(
    "words",
    [
        *(("query", "select 1"), ("why", "x"), ("status",), ("corpora",), ("audit", "leakage")),
        *(("evaluate", "toy/test", "s.txt"), ("compare", "one", "other", "--trials", "toy/test")),
    ],
    ids=lambda words: words[0],
)
def test_commands_that_read_several_tables_do_not_read_those_of_two_runs(catalog, words):
    with catalog.locked():
        pass
    (catalog.root / turns.PUBLISHING).write_text(A_RUN)
    with pytest.raises(CatalogError, match="`curate run` broke off while it replaced tables"):
        CliRunner().invoke(app, [*words, "-c", str(catalog.root)], catch_exceptions=False)


@pytest.mark.parametrize("do", [Catalog.as_one, Catalog.locked])
def test_a_file_system_without_locks_is_told_in_one_line(catalog, do, monkeypatch):
    with catalog.locked():
        pass

    def has_none(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", has_none)
    told = r"\w+.lock: cannot be locked \(No locks available\); expected a catalog on a file system that has locks"
    with pytest.raises(CatalogError, match=told), do(catalog):
        pass


def test_a_step_that_publishes_several_parts_is_seen_whole_and_one_of_one_part_keeps_nobody_waiting(catalog):
    def made_of(*publishes):
        seen = []

        def compute(step):
            return [catalog.read(table, part) for table, part in publishes], "done"

        step = Step(
            catalog=catalog, name="build", part="toy", settings={}, code="c", publishes=publishes, compute=compute
        )
        real = Catalog.publish

        def publish(self, *arguments, **named):
            seen.append(turns.broke_off(catalog.root))
            return real(self, *arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Catalog, "publish", publish)
            step.carry_out()
        return seen

    assert made_of((LEAKS, "toy"), (RUNS, "all")) == ["curate build toy"] * 2
    assert turns.broke_off(catalog.root) == ""
    assert made_of((UTTERANCES, "studio")) == [""]


def test_a_step_that_was_killed_when_all_its_parts_were_in_place_is_mended_by_itself_alone(catalog, monkeypatch):
    def compute(step):
        return [catalog.read(LEAKS, "toy"), catalog.read(RUNS)], "done"

    parts = [(LEAKS, "toy"), (RUNS, "all")]
    step = Step(catalog=catalog, name="build", part="toy", settings={}, code="x", publishes=parts, compute=compute)
    say = turns._say

    def dies(file, text):
        if not text:
            raise KeyboardInterrupt
        say(file, text)

    with monkeypatch.context() as patch:
        patch.setattr(turns, "_say", dies)
        with pytest.raises(KeyboardInterrupt):
            step.carry_out()
    assert step.is_current
    with pytest.raises(CatalogError, match="`curate build toy` broke off"), catalog.as_one():
        pass
    with catalog.locked("curate build toy"):
        assert not step.carry_out().changed
    with catalog.as_one():
        pass


def test_readers_who_come_all_the_time_do_not_keep_a_writer_waiting(catalog):
    """One who comes while a writer waits for another waits behind it."""
    with catalog.locked():
        pass
    said = queue.Queue()
    with pytest.MonkeyPatch.context() as patch, catalog.as_one():
        patch.setattr(turns.log, "info", said.put)
        writer = threading.Thread(target=publish_and_say, args=(catalog, said))
        writer.start()
        assert said.get(timeout=60).endswith("waiting for who reads it")
        with (catalog.root / turns.PUBLISHING).open() as late, pytest.raises(BlockingIOError):
            fcntl.flock(late, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert said.empty()
    assert said.get(timeout=60) == "published"
    writer.join()


def publish_and_say(catalog, said):
    with catalog.publishing("me"):
        said.put("published")


def test_who_comes_to_read_while_tables_are_replaced_waits_and_then_reads_the_new_ones(catalog, monkeypatch):
    reading.publish(catalog.root, reading.OLD)
    said, real = queue.Queue(), fcntl.flock

    def read():
        try:
            with catalog.as_one():
                said.put("read")
        except CatalogError as error:
            said.put(str(error))

    def asked(file, how):
        if threading.current_thread() is reader:
            said.put("asks")
        real(file, how)

    reader = threading.Thread(target=read)
    monkeypatch.setattr(fcntl, "flock", asked)
    with catalog.publishing(A_RUN):
        reader.start()
        assert said.get(timeout=60) == "asks"
        assert said.empty()
    reader.join()
    assert [said.get() for _ in range(said.qsize())] == ["asks", "read"]
