"""What a step promises: it is done once for its settings, code and inputs, and what it did is noted."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.catalog import Catalog, rows_of
from curate.runs import Step, code_fingerprint, content_fingerprint, last_done, take_note
from curate.schema import CORPORA, IDENTITIES, RUNS, SPLITS


def identities(*speakers):
    return rows_of(IDENTITIES, [{"speaker_id": speaker, "identity_id": "p"} for speaker in speakers])


def splits(*utterances):
    common = {"benchmark": "b", "identity_id": "p", "split": "test"}
    return rows_of(SPLITS, [common | {"utterance_id": utterance} for utterance in utterances])


class Counted:
    """A computation that knows how often it was done."""

    def __init__(self):
        self.times = 0

    def __call__(self, step):
        self.times += 1
        return [identities("a", "b"), splits("u")], f"computed as {step.run_id}"


@pytest.fixture
def step(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.publish(CORPORA, rows_of(CORPORA, [{"corpus": "c", "reader": "folder", "root": "/"}]), fingerprint="in1")
    return Step(
        catalog=catalog,
        name="unify",
        settings={"threshold": 0.5},
        code="code1",
        reads=[CORPORA],
        publishes=[(IDENTITIES, "all"), (SPLITS, "b")],
        compute=Counted(),
    )


def test_a_step_publishes_all_its_tables_under_its_fingerprint(step):
    done = step.carry_out()
    assert (done.changed, done.summary, done.row["num_rows"]) == (True, f"computed as {step.fingerprint[:12]}", 3)
    assert step.catalog.read(IDENTITIES).equals(identities("a", "b"))
    assert step.catalog.fingerprint(SPLITS, "b") == step.catalog.fingerprint(IDENTITIES) == step.fingerprint


def test_a_step_that_is_current_computes_nothing(step):
    assert not step.is_current
    step.carry_out()
    again = replace(step)
    assert again.is_current
    assert again.carry_out().changed is False
    assert step.compute.times == 1


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"threshold": 0.6}},
        {"settings": {"threshold": 0.5, "more": None}},
        {"code": "code2"},
        {"name": "merge"},
        {"part": "other"},
        {"reads": []},
    ],
    ids=str,
)
def test_whatever_a_result_depends_on_gives_another_fingerprint(step, change):
    step.carry_out()
    changed = replace(step, **change)
    assert changed.fingerprint != step.fingerprint
    assert not changed.is_current


def test_an_input_that_changed_came_or_went_gives_another_fingerprint(step):
    catalog, found = step.catalog, {step.fingerprint}
    rows = catalog.read(CORPORA)
    for part, fingerprint in (("all", "in2"), ("more", "in1")):
        catalog.publish(CORPORA, rows, part=part, fingerprint=fingerprint)
        found.add(replace(step).fingerprint)
    catalog.keep_only(CORPORA, {"more"})
    found.add(replace(step).fingerprint)
    assert len(found) == 4


def test_a_step_that_reads_one_part_does_not_mind_the_others(step):
    one = replace(step, reads=[(CORPORA, "all")])
    before = one.fingerprint
    step.catalog.publish(CORPORA, step.catalog.read(CORPORA), part="more", fingerprint="x")
    assert replace(one).fingerprint == before


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.booleans() | st.none(), max_size=4))
def test_the_order_of_settings_does_not_matter(wanted):
    common = {"catalog": Catalog("/nowhere"), "name": "s", "code": "c", "publishes": [], "compute": Counted()}
    turned = dict(reversed(wanted.items()))
    assert Step(settings=wanted, **common).fingerprint == Step(settings=turned, **common).fingerprint


def test_a_step_that_died_between_its_tables_is_done_again(step):
    step.catalog.publish(IDENTITIES, identities("a", "b"), fingerprint=step.fingerprint)
    assert not step.is_current
    assert step.carry_out().changed
    assert replace(step).is_current


def test_a_computation_that_fails_publishes_nothing(step):
    def fails(_):
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        replace(step, compute=fails).carry_out()
    assert step.catalog.parts(IDENTITIES) == step.catalog.parts(SPLITS) == []


# -------------------------------------------------------------------------------------------------------------- note


def test_what_was_done_is_noted_once_with_settings_versions_and_times(step):
    done = step.carry_out()
    assert not step.is_noted
    take_note(step.catalog, done)
    assert step.is_noted
    take_note(step.catalog, done)
    (row,) = step.catalog.read(RUNS).to_pylist()
    assert (row["run_id"], row["step"], row["part"], row["num_rows"]) == (step.run_id, "unify", "all", 3)
    assert row["started_at"] <= row["finished_at"] <= datetime.now(UTC)
    assert json.loads(row["settings"]) == {"threshold": 0.5}
    assert json.loads(row["versions"]).keys() >= {"voxcurate", "numpy", "pyarrow"}
    assert row["fingerprint"] == step.fingerprint


def test_a_step_with_nothing_to_do_leaves_the_notes_as_they_are(step):
    take_note(step.catalog, step.carry_out())
    before = step.catalog.path(RUNS).read_bytes()
    take_note(step.catalog, replace(step).carry_out())
    assert step.catalog.path(RUNS).read_bytes() == before


def test_a_step_whose_run_died_before_it_took_note_is_noted_by_the_next(step):
    step.carry_out()
    take_note(step.catalog, replace(step).carry_out())
    (row,) = step.catalog.read(RUNS).to_pylist()
    assert (row["num_rows"], row["started_at"]) == (3, None)
    assert row["summary"] == "finished by a run that died before it took note"


def test_of_each_step_and_part_the_last_is_told_in_the_order_of_finishing(step):
    first = step.carry_out()
    steps = [("a", "all", "r1", 1), ("a", "x", "r4", 2), ("b", "all", "r2", 3), ("a", "all", "r3", 4)]
    for name, part, run_id, second in steps:
        row = first.row | {"step": name, "part": part, "run_id": run_id, "fingerprint": run_id}
        row |= {"finished_at": datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)}
        take_note(step.catalog, replace(first, step=name, part=part, row=row))
    assert [row["run_id"] for row in last_done(step.catalog)] == ["r4", "r2", "r3"]


# ------------------------------------------------------------------------------------------------------- fingerprint


def test_what_is_done_later_is_noted_as_later_though_the_clock_was_put_back(step):
    take_note(step.catalog, step.carry_out())
    before = last_done(step.catalog)[-1]["finished_at"]
    done = replace(step, settings={"threshold": 0.9}).carry_out()
    put_back = replace(done, row=done.row | {"finished_at": before - timedelta(days=400)})
    take_note(step.catalog, put_back)
    (last,) = last_done(step.catalog)
    assert json.loads(last["settings"]) == {"threshold": 0.9}
    assert last["finished_at"] == before + timedelta(microseconds=1)


def test_the_fingerprint_of_code_is_of_its_python_wherever_it_lies(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place / "lib" / "inner").mkdir(parents=True)
        (tmp_path / place / "lib" / "inner" / "a.py").write_text("a = 1\n")
        (tmp_path / place / "one.py").write_text("b = 1\n")
    here, there = ([tmp_path / place / "lib", tmp_path / place / "one.py"] for place in ("here", "there"))
    first = code_fingerprint(*here)
    assert code_fingerprint(*there) == first
    (there[0] / "notes.txt").write_text("no code")
    assert code_fingerprint(*there) == first
    (there[0] / "inner" / "a.py").write_text("a = 2\n")
    assert code_fingerprint(*there) != first
    (here[0] / "inner" / "a.py").rename(here[0] / "inner" / "b.py")
    assert code_fingerprint(*here) != first


@settings(deadline=None)
@given(values=st.lists(st.text("ab", max_size=2), max_size=6), cut=st.integers(0, 6))
def test_the_fingerprint_of_a_content_is_of_its_values_and_not_of_its_pieces(values, cut):
    whole = pa.table({"a": pa.array(values, pa.string())})
    pieces = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert content_fingerprint(pieces) == content_fingerprint(whole)
    longer = pa.table({"a": pa.array([*values, "c"], pa.string())})
    assert content_fingerprint(longer) != content_fingerprint(whole)
