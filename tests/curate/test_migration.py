"""Catalogs of every version open or are migrated, whatever happens on the way, and come back byte for byte.

`tests/golden/version-N` was filled by the code of that version; its README says how.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate import migration
from curate.blocks import BlockStore
from curate.catalog import Catalog, fingerprint_of, open_catalog, parquet_schema, read_parquet, write_parquet
from curate.errors import CatalogError
from curate.migration import migrate, undo
from curate.named import Review
from curate.query import ask, write_database
from curate.reasons import Subject, Verdict
from curate.reviews import decide, said
from curate.schema import DECISIONS, HISTORY, RESULTS, SPLITS, TABLES, TRIALS, UTTERANCES, VERSION
from curate.versions import FILE, version_of
from tests.curate.killed_migration import migrate_until_killed

GOLDEN = Path(__file__).parents[1] / "golden"
OLD = "a catalog of version 1; this Voxcurate reads version 2: run `curate migrate"
CUT_OFF = "a migration is under way or was cut off"


def copied(version, folder):
    """A golden catalog, as it would lie on a disk: with views of its tables."""
    root = folder / "catalog"
    shutil.copytree(GOLDEN / f"version-{version}", root)
    write_database(Catalog(root))
    return root


@pytest.fixture
def old(tmp_path):
    return copied(1, tmp_path)


def hashes(root, *, but=()):
    """Of the files of a catalog; what is kept or being written aside and what locks are no part of it."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix not in (".lock", ".new")]
    told = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: one for name, one in told.items() if not name.startswith(("before/", *but))}


def tree(folder):
    """What lies there, but for what locks."""
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*") if path.suffix != ".lock"}


def cut_off(*_):
    raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------------------------ versions


def test_a_golden_catalog_is_kept_of_every_version_and_each_has_a_history():
    assert sorted(HISTORY) == list(range(1, VERSION + 1))
    assert {path.name for path in GOLDEN.glob("version-*")} == {f"version-{version}" for version in HISTORY}
    for version in HISTORY:
        assert version_of(GOLDEN / f"version-{version}") == version


def test_the_golden_catalog_of_today_has_rows_in_every_table_with_just_the_columns_of_the_schema():
    """Who changes the schema raises VERSION, tells the migration, and adds a golden catalog."""
    catalog = open_catalog(GOLDEN / f"version-{VERSION}")
    for table in TABLES.values():
        rows = catalog.read(table)
        assert len(rows), f"{table.name}: no rows in the golden catalog"
        for part in catalog.parts(table):
            have = parquet_schema(catalog.path(table, part))
            sizes = [one.type.list_size for one in have if pa.types.is_fixed_size_list(one.type)]
            plain = [
                one.with_type(pa.list_(one.type.value_type)) if pa.types.is_fixed_size_list(one.type) else one
                for one in have
            ]
            assert pa.schema(plain).equals(table.arrow()), f"{table.name}/{part}: see the docstring of this test"
            assert len(sizes) <= 1


@pytest.mark.parametrize("version", HISTORY)
def test_a_golden_catalog_of_any_version_opens_or_is_migrated_and_then_has_todays_columns(version, tmp_path):
    root = copied(version, tmp_path)
    migrate(root)
    catalog = open_catalog(root)
    for table in TABLES.values():
        for part in catalog.parts(table):
            have, today = parquet_schema(catalog.path(table, part)), table.arrow()
            assert have.names == today.names
            assert [one.nullable for one in have] == [one.nullable for one in today]
            catalog.read(table, part)


def test_a_catalog_says_its_version_from_its_first_table_on(tmp_path):
    assert version_of(tmp_path) is None
    Catalog(tmp_path).publish(SPLITS, SPLITS.arrow().empty_table(), part="a", fingerprint="x")
    assert version_of(tmp_path) == VERSION
    assert json.loads((tmp_path / FILE).read_text()) == {"version": VERSION}


def test_a_folder_of_somebody_that_is_called_like_a_table_makes_no_catalog(tmp_path):
    (tmp_path / "corpora" / "one").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    assert version_of(tmp_path) is None


def test_drafts_alone_say_no_version_and_say_it_before_they_are_published(tmp_path):
    drafts = Catalog(tmp_path, drafts=True)
    drafts.publish(SPLITS, SPLITS.arrow().empty_table(), part="a", fingerprint="x")
    assert version_of(tmp_path) is None
    drafts.publish_drafts()
    assert version_of(tmp_path) == VERSION


def test_a_table_keeps_its_bytes_whatever_the_version_of_its_catalog(tmp_path):
    """Footers do not say it."""
    Catalog(tmp_path).publish(SPLITS, SPLITS.arrow().empty_table(), part="a", fingerprint="x")
    told = parquet_metadata(tmp_path / "splits" / "a.parquet")
    assert set(told) <= {b"voxcurate.fingerprint", b"ARROW:schema"}


def parquet_metadata(path):
    with pq.ParquetFile(path) as file:
        return file.metadata.metadata


@pytest.mark.parametrize(
    "text",
    ["", "2", "{}", '{"version": "2"}', '{"version": true}', "[]", "\xff", '{"version": 0}', "[" * 100_000],
    ids=lambda text: text[:20],
)
def test_a_file_that_says_no_version_is_told_in_one_line(tmp_path, text):
    (tmp_path / FILE).write_text(text, encoding="latin-1")
    with pytest.raises(CatalogError, match=r"^[^\n]*schema.json: says no version; expected [^\n]*$"):
        open_catalog(tmp_path)


def test_an_old_catalog_is_neither_opened_nor_written(old):
    before = hashes(old)
    with pytest.raises(CatalogError, match=OLD):
        open_catalog(old)
    with pytest.raises(CatalogError, match=OLD), Catalog(old).locked():
        pass
    with pytest.raises(CatalogError, match=OLD):
        Catalog(old).publish(SPLITS, SPLITS.arrow().empty_table(), part="new", fingerprint="x")
    Catalog(old, drafts=True).publish(SPLITS, SPLITS.arrow().empty_table(), part="new", fingerprint="x")
    with pytest.raises(CatalogError, match=OLD):
        Catalog(old, drafts=True).publish_drafts()
    assert hashes(old, but=("cache/",)) == before


@pytest.mark.parametrize("do", [open_catalog, migrate, undo])
def test_a_catalog_of_a_newer_version_is_never_touched(tmp_path, do):
    root = copied(VERSION, tmp_path)
    (root / FILE).write_text(json.dumps({"version": VERSION + 1}))
    before = hashes(root)
    with pytest.raises(
        CatalogError, match=r"of version 3; this Voxcurate reads version 2: expected a newer Voxcurate$"
    ):
        do(root)
    assert hashes(root) == before


# ----------------------------------------------------------------------------------------------------- there and back


def test_lists_subsets_and_works_of_version_1_are_what_the_schema_says_of_rows_without(old):
    was = {
        table: pa.concat_tables(map(read_parquet, sorted((old / table.name).glob("*.parquet"))))
        for table in (TRIALS, RESULTS, UTTERANCES)
    }
    migrate(old)
    now = {table: open_catalog(old).read(table) for table in was}
    assert set(now[TRIALS]["list"].to_pylist()) == set(now[RESULTS]["list"].to_pylist()) == {"test"}
    assert set(now[RESULTS]["subset"].to_pylist()) == {"all"}
    assert now[UTTERANCES]["work_id"].null_count == len(now[UTTERANCES]) > 0
    for table, rows in was.items():
        assert now[table].select(rows.column_names).equals(rows)


def test_what_need_not_change_keeps_its_bytes_and_everything_its_fingerprint(old):
    before = hashes(old)
    marks = {path.relative_to(old): fingerprint_of(path) for path in old.rglob("*.parquet")}
    migrate(old)
    after = hashes(old)
    changed = {name for name in before if after.get(name) != before[name]}
    assert {name.split("/")[0] for name in changed} == {"trials", "results", "utterances", "catalog.duckdb"}
    assert after.keys() - before.keys() == {FILE}
    assert {path: fingerprint_of(old / path) for path in marks} == marks


def test_views_of_the_database_have_the_new_columns(old):
    migrate(old)
    with duckdb.connect(str(old / "catalog.duckdb"), read_only=True) as database:
        assert database.execute("SELECT DISTINCT list FROM trials").fetchall() == [("test",)]
    assert ask(open_catalog(old), "SELECT DISTINCT subset FROM results")[1] == [("all",)]


def test_undo_brings_every_byte_back_and_may_be_followed_by_another_migration(old):
    before = hashes(old)
    migrate(old)
    after = hashes(old, but=("catalog.duckdb",))
    undo(old)
    assert hashes(old) == before
    assert not (old / "before").exists()
    migrate(old)
    assert hashes(old, but=("catalog.duckdb",)) == after


def test_a_second_migration_does_nothing_and_nothing_is_undone_twice(old):
    migrate(old)
    after = hashes(old)
    assert "nothing to do" in migrate(old)
    assert hashes(old) == after
    undo(old)
    with pytest.raises(CatalogError, match="nothing to undo"):
        undo(old)


def test_where_there_is_no_catalog_one_line_says_so_and_nothing_is_made(tmp_path):
    for do in (migrate, undo):
        with pytest.raises(CatalogError, match="no catalog there"):
            do(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("do", [migrate, undo])
def test_while_the_first_run_works_on_a_new_catalog_that_is_told(tmp_path, do):
    drafts = Catalog(tmp_path, drafts=True)
    with drafts.locked():
        drafts.publish(SPLITS, SPLITS.arrow().empty_table(), part="a", fingerprint="x")
        with pytest.raises(CatalogError, match="no table is there yet, its first run is under way or was cut off"):
            do(tmp_path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS], ids=errno.errorcode.get)
def test_what_cannot_be_written_is_told_in_words_and_a_copy_where_there_is_something_to_copy(old, code, monkeypatch):
    def refuse(place, *_, **__):
        raise OSError(code, os.strerror(code), str(place))

    new = old.parent / "new" / "catalog"
    with monkeypatch.context() as patch:  # root may write anywhere
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(CatalogError) as nothing_there, Catalog(new).locked():
            pass
    monkeypatch.setattr("curate.turns.opened_here", refuse)
    with pytest.raises(CatalogError) as one_there:
        migrate(old)
    why = f"cannot be written ({os.strerror(code)}); expected"
    assert str(nothing_there.value) == f"{new.parent}: {why} a folder in which this user may write"
    assert str(one_there.value) == (
        f"{old}/writer.lock: {why} a catalog, such as a copy of this one, in which this user may write"
    )


MINE = ["notes.txt", "decisions/all.parquet", "old/decisions/mine.parquet", "new/notes.txt", "begun"]


@pytest.mark.parametrize("mine", MINE)
def test_a_folder_of_the_user_that_is_called_before_is_never_taken_away(old, mine):
    def put():
        (old / "before" / mine).parent.mkdir(parents=True, exist_ok=True)
        (old / "before" / mine).write_text("mine")
        return tree(old)

    def refuse(do):
        before = put()
        with pytest.raises(CatalogError, match=rf"before/{mine}: of no migration; expected it elsewhere"):
            do(old)
        assert tree(old) == before
        (old / "before" / mine).unlink()

    refuse(migrate)
    migrate(old)
    put()
    assert "nothing to do" in migrate(old)
    refuse(undo)
    undo(old)


@pytest.mark.parametrize("way", ["_go_on", "_go_back"])
def test_a_file_of_the_user_keeps_a_migration_that_was_cut_off_from_being_ended(old, way, monkeypatch):
    if way == "_go_back":
        migrate(old)
    with monkeypatch.context() as patch:
        patch.setattr(migration, way, cut_off)
        with pytest.raises(KeyboardInterrupt):
            (undo if way == "_go_back" else migrate)(old)
    mine = old / "before" / "new" / "notes.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    before = tree(old)
    with pytest.raises(CatalogError, match=r"before/new/notes.txt: of no migration; expected it elsewhere"):
        migrate(old)
    assert tree(old) == before
    mine.unlink()
    migrate(old)
    assert open_catalog(old)


def test_what_reviewers_say_after_a_migration_survives_its_undo(old):
    migrate(old)
    speaker = open_catalog(old).read(UTTERANCES)["speaker_id"][0].as_py()
    one = Review(subject=Subject.SPEAKER, subject_id=speaker, verdict=Verdict.KEEP)
    decide(open_catalog(old), "ann", [one])
    decide(open_catalog(old), "zoe", [one])
    words = said(Catalog(old))
    undo(old)
    assert said(Catalog(old)).equals(words)
    migrate(old)
    assert said(open_catalog(old)).equals(words)


@pytest.mark.parametrize("change", ["written", "added", "taken away", "drafted"])
def test_undo_is_refused_where_a_run_came_after_the_migration(old, change):
    migrate(old)
    catalog = open_catalog(old)
    (part,) = catalog.parts(SPLITS)
    if change == "taken away":
        catalog.path(SPLITS, part).unlink()
    else:
        name = part if change == "written" else "other"
        Catalog(old, drafts=change == "drafted").publish(
            SPLITS, catalog.read(SPLITS, part).slice(1), part=name, fingerprint="a later run"
        )
    left = hashes(old)
    with pytest.raises(CatalogError, match=r"splits/\w+\.parquet: written or taken away since the migration"):
        undo(old)
    assert hashes(old) == left
    assert version_of(old) == VERSION


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")], ids=["gone", "other"])
def test_where_a_kept_file_is_not_as_it_was_nothing_is_undone(old, damage):
    migrate(old)
    damage(old / "before" / "old" / "trials" / "golden.parquet")
    after = hashes(old)
    with pytest.raises(CatalogError, match=r"before/old/trials/golden.parquet: changed or taken away"):
        undo(old)
    assert hashes(old) == after
    assert open_catalog(old)


@pytest.mark.parametrize("goes_back", [True, False])
@pytest.mark.parametrize("name", ["../../victim.parquet", "/tmp/victim.parquet", "trials/../../victim.parquet"])
def test_a_note_of_a_migration_that_names_what_is_elsewhere_moves_nothing(old, name, goes_back):
    (old / "before").mkdir()
    (old.parent / "victim.parquet").write_text("mine")
    told = {"since": 1, "to": VERSION, "goes_back": goes_back, "has_database": False}
    (old / "before" / "migration.json").write_text(json.dumps(told | {"before": {name: "a"}, "after": {name: "b"}}))
    before = tree(old.parent)
    for do in (migrate, undo):
        with pytest.raises(CatalogError, match=r"migration.json: expected what `curate migrate` wrote there"):
            do(old)
    assert tree(old.parent) == before


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000], ids=lambda text: text[:20])
def test_a_note_of_a_migration_that_is_none_is_told(old, text):
    migrate(old)
    (old / "before" / "migration.json").write_text(text)
    with pytest.raises(CatalogError, match=r"migration.json: expected what"):
        undo(old)


@pytest.mark.parametrize("do", [migrate, undo])
def test_what_a_migration_keeps_is_not_written_through_a_link(old, do):
    (old.parent / "elsewhere").mkdir()
    (old.parent / "elsewhere" / "migration.json").write_text("{}")
    (old / "before").symlink_to(old.parent / "elsewhere")
    before = tree(old.parent)
    with pytest.raises(CatalogError, match=r"before leads out of .* by a link"):
        do(old)
    assert tree(old.parent) == before


def test_who_reads_is_waited_for_and_who_comes_to_read_what_was_undone_is_told(old, monkeypatch):
    migrate(old)
    opened, waited = open_catalog(old), []
    copy = migration.whole.copy

    def watching(place, to):
        with (old / "reading.lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        waited.append(to)
        copy(place, to)

    monkeypatch.setattr(migration.whole, "copy", watching)
    undo(old)
    assert waited
    with pytest.raises(CatalogError, match="a catalog of version 1"), opened.as_one():
        pass


def test_where_a_new_file_is_gone_a_migration_that_was_cut_off_can_only_be_undone(old, monkeypatch):
    before = hashes(old)
    with monkeypatch.context() as patch:
        patch.setattr(migration, "_go_on", cut_off)
        with pytest.raises(KeyboardInterrupt):
            migrate(old)
    (old / "before" / "new" / "trials" / "golden.parquet").unlink()
    with pytest.raises(CatalogError, match=r"before/new/trials/golden.parquet: changed or taken away"):
        migrate(old)
    undo(old)
    assert hashes(old) == before


def test_a_table_that_no_version_had_is_told_and_the_catalog_left_as_it_was(old):
    path = old / "decisions" / "clean.parquet"
    rows = Catalog(old).read(DECISIONS, "clean")
    for told_of, other in (
        ("no column 'verdict'", rows.drop_columns("verdict")),
        ("a column 'mood'", rows.append_column("mood", pa.nulls(len(rows), pa.string()))),
    ):
        write_parquet(path, other)
        before = hashes(old)
        with pytest.raises(CatalogError, match=rf"clean.parquet: {told_of}, as in no version"):
            migrate(old)
        assert hashes(old) == before
        assert version_of(old) == 1


def test_drafts_of_a_run_that_was_cut_off_are_brought_along_and_back(old):
    draft = old / "cache" / "draft" / "trials" / "golden.parquet"
    draft.parent.mkdir(parents=True)
    shutil.copy(old / "trials" / "golden.parquet", draft)
    before = hashes(old)
    migrate(old)
    assert parquet_schema(draft).names == TRIALS.arrow().names
    undo(old)
    assert hashes(old) == before


def test_blocks_of_embeddings_are_left_alone(old):
    block = old / "cache" / "embeddings" / "ge2e-1" / "block.parquet"
    block.parent.mkdir(parents=True)
    block.write_bytes(b"costly")
    migrate(old)
    assert BlockStore(block.parent).files() == [block]
    undo(old)
    assert block.read_bytes() == b"costly"


# ------------------------------------------------------------------------------------------------------------ killed


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """A catalog before and after a migration, and the hashes of both; views may have other bytes each time."""
    folder = tmp_path_factory.mktemp("states")
    before = copied(1, folder)
    for path in before.iterdir():  # two files change: each costs moments
        if path.name not in ("trials", "results", "splits", "reviews", "catalog.duckdb"):
            shutil.rmtree(path)
    write_database(Catalog(before))
    after = folder / "after" / "catalog"
    shutil.copytree(before, after)
    migrate(after)
    return before, after


def told(root):
    """What a command is told that would open it; empty where it opens."""
    try:
        open_catalog(root)
    except CatalogError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("undoing", [False, True], ids=["migrate", "undo"])
def test_killed_at_any_moment_it_is_ended_or_taken_back_by_the_next_call(loaded, states, tmp_path, undoing):
    before, after = (hashes(one, but=("catalog.duckdb",)) for one in states)
    seen = set()
    for number in range(1000):
        root = tmp_path / str(number) / "catalog"
        shutil.copytree(states[1 if undoing else 0], root)
        died = loaded.run(migrate_until_killed, root, number, undoing)
        if died.returncode == 1:
            break
        assert died.returncode == -signal.SIGKILL, died.stderr
        now, state = hashes(root, but=("catalog.duckdb",)), told(root)
        assert not state or OLD in state or CUT_OFF in state
        assert state or now == after, "a catalog that opens is whole"
        assert OLD not in state or now == before, "a catalog that is said to be old is as it was"
        seen.add("new" if not state else "old" if OLD in state else "cut off")
        other = tmp_path / str(number) / "other"
        shutil.copytree(root, other)
        migrate(root)
        assert hashes(root, but=("catalog.duckdb",)) == after
        if state and CUT_OFF not in state:
            with pytest.raises(CatalogError, match="nothing to undo"):
                undo(other)
        else:
            undo(other)
        assert hashes(other, but=("catalog.duckdb",)) == before
        shutil.rmtree(root.parent)
    assert seen == {"old", "cut off", "new"}
    assert number > 5


def test_a_catalog_written_by_an_older_voxcurate_while_its_migration_was_cut_off_is_not_mixed(old, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(migration, "_go_on", cut_off)
        with pytest.raises(KeyboardInterrupt):
            migrate(old)
    assert CUT_OFF in told(old)
    rows = Catalog(old).read(SPLITS, "golden")
    write_parquet(old / "splits" / "golden.parquet", rows.slice(1))
    for do in (migrate, undo):
        with pytest.raises(CatalogError, match="written or taken away since the migration"):
            do(old)


def test_only_one_writes_while_a_catalog_is_migrated(old):
    with Catalog(old).locked_of_any_version():
        for do in (migrate, undo):
            with pytest.raises(CatalogError, match="is writing it"):
                do(old)
