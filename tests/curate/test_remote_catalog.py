"""What a catalog in a store promises: what a local one does, whole or absent, under one writer.

`memory://` stands for stores without conditions, a real S3 protocol server on loopback for those with.
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import s3fs
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from curate import catalog as catalogs
from curate import whole
from curate.catalog import (
    Catalog,
    Sorted,
    conform,
    fingerprint_of,
    open_catalog,
    read_batches,
    read_parquet,
    rows_of,
    write_text,
)
from curate.decisions import Author, verdicts
from curate.errors import CatalogError, QueryError
from curate.explain import explain
from curate.lease import LEASE_S, RENEW_S, WATCH_S, Clock, Lease, held, keep_renewing
from curate.migration import migrate, undo
from curate.overview import what_was_filled
from curate.query import ask, view_statements, write_database
from curate.reasons import Reason, Subject, Verdict
from curate.runs import Step, last_done, take_note
from curate.schema import CORPORA, DECISIONS, EMBEDDINGS, IDENTITIES, SPLITS, TRIALS, UTTERANCES
from curate.storage import location

BUCKET = "shelf"
ONE_LINE = r"^[^\n]*$"


@pytest.fixture(scope="module")
def server(s3_server):
    location(f"s3://{BUCKET}").mkdir()
    return s3_server


@pytest.fixture
def s3(server):
    return location(f"s3://{BUCKET}/{uuid.uuid4().hex}/catalog")


@pytest.fixture
def memory():
    root = location(f"memory://{BUCKET}/{uuid.uuid4().hex}/catalog")
    yield root
    root.fs.store.clear()


@pytest.fixture(params=["memory", "s3"])
def root(request):
    return request.getfixturevalue(request.param)


def identities(*speakers, identity="p"):
    return rows_of(IDENTITIES, [{"speaker_id": speaker, "identity_id": identity} for speaker in speakers])


def vectors(num, dimension=8):
    flat = pa.array(np.random.default_rng(num).standard_normal(num * dimension).astype(np.float32))
    columns = {"utterance_id": [f"a/{i:06}" for i in range(num)], "extractor": ["toy"] * num}
    return conform(EMBEDDINGS, pa.table(columns | {"vector": pa.FixedSizeListArray.from_arrays(flat, dimension)}))


def streaming(table, rows_a_batch=1000):
    return Sorted(lambda: table.to_batches(max_chunksize=rows_a_batch))


def keys(root):
    """All objects of the catalog, but for that which says its version."""
    names = {one.removeprefix(whole.in_store(root)[1] + "/") for one in root.fs.find(root.path)}
    return sorted(names - {"schema.json"})


# ------------------------------------------------------------------------------------------- the same as a local one

parts = st.sampled_from(["a", "a.b", "all"])
steps = st.one_of(
    st.tuples(st.just("publish"), parts, st.sets(st.sampled_from("xyz")), st.booleans(), st.booleans()),
    st.tuples(st.just("keep_only"), st.sets(parts), st.booleans()),
    st.tuples(st.just("publish_drafts")),
    st.tuples(st.just("has"), parts, st.sets(st.sampled_from("xyz")), st.booleans()),
)


def carried_out(root, step):
    """What one step on a catalog gives, and how published tables and drafts look afterwards."""
    match step:
        case "publish", part, speakers, drafts, streamed:
            rows = identities(*sorted(speakers))
            given = streaming(rows, 1) if streamed else rows
            told = Catalog(root, drafts).publish(IDENTITIES, given, part=part, fingerprint="".join(sorted(speakers)))
        case "keep_only", kept, drafts:
            told = Catalog(root, drafts).keep_only(IDENTITIES, kept)
        case "has", part, speakers, drafts:
            told = Catalog(root, drafts).has(IDENTITIES, part, "".join(sorted(speakers)))
        case _:
            told = Catalog(root, drafts=True).publish_drafts()
    seen = []
    for drafts in (False, True):
        catalog = Catalog(root, drafts)
        parts = catalog.parts(IDENTITIES)
        files = [whole.read_bytes(catalog.path(IDENTITIES, part)) for part in parts]
        rows = catalog.read(IDENTITIES).to_pylist() if parts else []
        seen.append((parts, files, rows, [catalog.fingerprint(IDENTITIES, part) for part in ("a", "all")]))
    return told, seen


@settings(deadline=None, max_examples=25)
@given(taken=st.lists(steps, max_size=8))
def test_whatever_is_done_a_catalog_in_a_store_holds_what_a_local_one_does_byte_for_byte(tmp_path_factory, taken):
    here, there = tmp_path_factory.mktemp("catalog"), location(f"memory://{BUCKET}/{uuid.uuid4().hex}")
    for step in taken:
        assert carried_out(there, step) == carried_out(here, step)


def test_on_s3_drafts_are_seen_by_their_run_alone_until_they_are_published(s3):
    ours, run = Catalog(s3), Catalog(s3, drafts=True)
    ours.publish(IDENTITIES, identities("a"), part="old", fingerprint="first")
    run.publish(IDENTITIES, identities("b"), part="new", fingerprint="second")
    run.keep_only(IDENTITIES, {"new"})
    assert (ours.parts(IDENTITIES), run.parts(IDENTITIES)) == (["old"], ["new"])
    run.publish_drafts()
    assert ours.read(IDENTITIES).equals(identities("b"))
    assert (ours.fingerprint(IDENTITIES, "new"), ours.fingerprint(IDENTITIES, "old")) == ("second", None)
    assert keys(s3) == ["identities/new.parquet"]


def filled(root):
    """A small catalog with something in the tables that are asked for most."""
    catalog = Catalog(root)
    common = {"corpus": "toy", "start_s": 0.0, "duration_s": 1.5, "sample_rate_hz": 8000}
    utterances = [
        common | {"utterance_id": f"toy/{i}", "speaker_id": f"toy/s{i % 2}", "path": f"{i}.wav"} for i in range(6)
    ]
    author = Author(rule="vietsv", step="clean", run_id="c1ea0")
    ids = [row["utterance_id"] for row in utterances]
    decided = verdicts(author, Subject.UTTERANCE, ids[:4], verdict=Verdict.KEEP, reason=Reason.OK, score=0.9)
    dropped = verdicts(author, Subject.UTTERANCE, ids[4:], verdict=Verdict.DROP, reason=Reason.SILENT, score=-70.0)
    corpora = [{"corpus": "toy", "reader": "folder", "root": "/", "remarks": "one\ntwo"}]
    heard = vectors(6).set_column(0, "utterance_id", pa.array(ids))
    catalog.publish(CORPORA, rows_of(CORPORA, corpora), fingerprint="f")
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, utterances), part="toy", fingerprint="f")
    catalog.publish(DECISIONS, decided, part="clean", fingerprint="f")
    catalog.publish(DECISIONS, dropped, part="quiet", fingerprint="f")
    catalog.publish(EMBEDDINGS, heard, part="toy", fingerprint="f")
    return catalog


@pytest.mark.parametrize(
    "sql",
    [
        "select reason, count(*) from decisions group by 1 order by 1",
        "select path from utterances join decisions on utterance_id = subject_id where score < 0 order by 1",
        "select u.utterance_id, vector[1] from utterances u join embeddings using (utterance_id) order by 1 limit 3",
        "select a.reason, b.reason from decisions a, decisions b order by all",
        "select sum(duration_s) from utterances",
    ],
)
def test_a_query_gives_what_it_gives_of_a_local_catalog(tmp_path, root, sql):
    assert ask(filled(root), sql) == ask(filled(tmp_path), sql)


def test_why_status_and_corpora_say_what_they_say_of_a_local_catalog(tmp_path, root):
    here, there = filled(tmp_path), filled(root)
    for subject in ("toy/0", "toy/5", "toy/s1"):
        assert explain(there, subject) == explain(here, subject)
    assert what_was_filled(there) == what_was_filled(here)
    with pytest.raises(CatalogError, match=f"neither an utterance nor a speaker of {root}; did you mean toy/0"):
        explain(there, "toy")


def test_a_step_is_done_once_and_noted(root):
    catalog = Catalog(root, drafts=True)
    step = Step(
        catalog=catalog,
        name="unify",
        settings={},
        code="c",
        publishes=[(IDENTITIES, "all")],
        compute=lambda _: ([identities("a", "b")], "two"),
    )
    take_note(catalog, step.carry_out())
    again = step.carry_out()
    assert (step.is_current, step.is_noted, again.changed, again.row["num_rows"]) == (True, True, False, 2)
    catalog.publish_drafts()
    assert [(row["step"], row["summary"]) for row in last_done(Catalog(root))] == [("unify", "two")]


@pytest.mark.parametrize("streamed", [False, True])
def test_vectors_keep_their_size_and_many_groups_of_rows_arrive(root, monkeypatch, streamed):
    monkeypatch.setattr(catalogs, "ROWS_PER_GROUP", 300)
    rows = vectors(1000)
    Catalog(root).publish(EMBEDDINGS, streaming(rows, 90) if streamed else rows, part="toy", fingerprint="f")
    assert Catalog(root).read(EMBEDDINGS).equals(rows)
    path = Catalog(root).path(EMBEDDINGS, "toy")
    both = zip(read_batches(path, rows=250), read_batches(path, rows=250), strict=True)  # two readers, in turns
    pieces = [(one, other) for one, other in both]
    assert pa.Table.from_batches([one for one, _ in pieces]).equals(rows)
    assert pa.Table.from_batches([other for _, other in pieces]).equals(rows)
    assert read_parquet(path, ["extractor"], verify=True).equals(rows.select(["extractor"]))


def test_two_readers_of_one_file_are_each_at_their_own_place(root):
    whole.write_bytes(root / "a", b"0123456789")
    one, other = whole.reader(root / "a"), whole.reader(root / "a")
    assert (one.read(4), other.seek(7), one.read(2), other.read(3)) == (b"0123", 7, b"45", b"789")
    whole.write_bytes(root / "a", b"")
    assert (whole.read_bytes(root / "a"), whole.read_bytes(root / "b")) == (b"", None)


def test_text_that_is_there_already_is_left_alone(s3):
    file = s3 / "lists" / "demo.txt"
    write_text(file, "één\n")
    written = file.fs.info(file.path)
    write_text(file, "één\n")
    assert file.fs.info(file.path) == written
    write_text(file, "two\n")
    assert whole.read_bytes(file) == b"two\n"


# ------------------------------------------------------------------------------------------------------------ fetched


@pytest.fixture
def fetched(monkeypatch):
    """The bytes that S3 is asked for, from and to."""
    ranges, ask_server = [], s3fs.core._fetch_range

    def counted(fs, bucket, key, version_id, start, end, **options):
        ranges.append((start, end))
        return ask_server(fs, bucket, key, version_id, start, end, **options)

    monkeypatch.setattr(s3fs.core, "_fetch_range", counted)
    return ranges


def test_of_a_part_no_more_than_is_asked_for_is_fetched(s3, fetched, monkeypatch):
    monkeypatch.setattr(catalogs, "ROWS_PER_GROUP", 4000)
    monkeypatch.setattr(whole, "AT_ONCE", 2**12)
    rows = vectors(20_000, 64)
    Catalog(s3).publish(EMBEDDINGS, rows, part="toy", fingerprint="f")
    path = Catalog(s3).path(EMBEDDINGS, "toy")
    size = path.fs.info(path.path)["size"]
    assert size > 4_000_000
    assert fingerprint_of(path) == "f"
    assert sum(end - start for start, end in fetched) < size / 20  # the footer
    fetched.clear()
    batches = read_batches(path, rows=4000)
    next(batches)
    assert sum(end - start for start, end in fetched) < size / 3  # the first of five groups
    assert sum(batch.num_rows for batch in batches) == 16_000
    assert sum(end - start for start, end in fetched) < size * 1.2
    fetched.clear()
    assert read_parquet(path, ["extractor"]).num_rows == 20_000
    assert sum(end - start for start, end in fetched) < size / 20


def test_a_part_that_is_replaced_while_it_is_read_is_told_and_no_mixture_of_both(s3, monkeypatch):
    monkeypatch.setattr(catalogs, "ROWS_PER_GROUP", 4000)
    monkeypatch.setattr(whole, "AT_ONCE", 2**12)
    Catalog(s3).publish(EMBEDDINGS, vectors(20_000, 16), part="toy", fingerprint="f")
    batches = read_batches(Catalog(s3).path(EMBEDDINGS, "toy"), rows=4000)
    next(batches)
    Catalog(s3).publish(EMBEDDINGS, vectors(19_999, 16), part="toy", fingerprint="f")
    with pytest.raises(CatalogError, match=r"^s3://shelf/.*/toy\.parquet: replaced while it was read; [^\n]*$"):
        list(batches)


# ------------------------------------------------------------------------------------------------------------- crash


def big():
    """More than two parts of an upload, each of 5 MiB at least."""
    return vectors(60_000, 64)


@pytest.fixture
def small_uploads(monkeypatch):
    monkeypatch.setattr(whole, "IN_ONE_REQUEST", 1000)
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, chunksize=None: 5 * 2**20)


def refusing(monkeypatch, method, after=0):
    """The server answers so many requests of this kind, and then no more."""
    asked, call = [], s3fs.S3FileSystem._call_s3

    async def answer(self, name, *args, **kwargs):
        if name == method:
            asked.append(name)
            if len(asked) > after:
                raise ConnectionResetError(104, "Connection reset by peer")
        return await call(self, name, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", answer)


@pytest.mark.parametrize(
    ("method", "after", "streamed"), [("upload_part", 1, True), ("complete_multipart_upload", 0, False)]
)
def test_an_upload_in_parts_that_breaks_off_leaves_the_old_part(
    s3, monkeypatch, small_uploads, streamed, method, after
):
    ours = Catalog(s3)
    ours.publish(EMBEDDINGS, vectors(3), part="toy", fingerprint="first")
    with monkeypatch.context() as patch:
        refusing(patch, method, after)
        with pytest.raises(CatalogError, match=r"^s3://shelf/[^\n]*toy\.parquet: [^\n]*reset[^\n]*$"):
            ours.publish(EMBEDDINGS, streaming(big()) if streamed else big(), part="toy", fingerprint="second")
    assert (ours.read(EMBEDDINGS).equals(vectors(3)), ours.fingerprint(EMBEDDINGS, "toy")) == (True, "first")
    assert keys(s3) == ["embeddings/toy.parquet"]
    ours.publish(EMBEDDINGS, streaming(big()) if streamed else big(), part="toy", fingerprint="second")
    assert ours.read(EMBEDDINGS).equals(big())


def test_an_upload_in_one_request_that_is_refused_leaves_the_old_part(s3, monkeypatch):
    ours = Catalog(s3)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    with monkeypatch.context() as patch:
        refusing(patch, "put_object")
        with pytest.raises(CatalogError, match=r"^s3://shelf/[^\n]*all\.parquet: [^\n]*reset[^\n]*$"):
            ours.publish(IDENTITIES, identities("b"), fingerprint="second")
    assert (ours.read(IDENTITIES).equals(identities("a")), ours.fingerprint(IDENTITIES)) == (True, "first")


KILLED_WHILE_UPLOADING = """
import os, signal, sys
import numpy as np, pyarrow as pa, s3fs
from curate import whole
from curate.catalog import write_parquet
from curate.storage import location

whole.IN_ONE_REQUEST = 1000
s3fs.core.calculate_chunksize = lambda size, chunksize=None: 5 * 2**20
call = s3fs.S3FileSystem._call_s3

async def answer(self, name, *args, **kwargs):
    if name == "upload_part" and kwargs["PartNumber"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return await call(self, name, *args, **kwargs)

s3fs.S3FileSystem._call_s3 = answer
write_parquet(location(sys.argv[1]), pa.table({"x": np.random.default_rng(0).standard_normal(2_000_000)}))
"""


def test_a_process_killed_while_it_uploads_leaves_the_old_part(s3):
    ours = Catalog(s3)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    path, before = ours.path(IDENTITIES), keys(s3)
    child = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_UPLOADING, str(path)], cwd=Path(catalogs.__file__).parents[1]
    )
    assert child.returncode == -signal.SIGKILL
    assert (keys(s3), ours.read(IDENTITIES).equals(identities("a"))) == (before, True)


def test_a_catalog_of_an_earlier_version_is_migrated_and_comes_back(root):
    old = Path(__file__).parents[1] / "golden" / "version-1"
    for path in sorted(old.rglob("*.parquet")):
        if path.parent.name in ("trials", "reviews"):
            whole.write_bytes(root / str(path.relative_to(old)), path.read_bytes())
    kept = {name: root.fs.cat_file(name) for name in root.fs.find(root.path)}
    with pytest.raises(CatalogError, match="run `curate migrate"):
        open_catalog(root)
    migrate(root)
    assert set(open_catalog(root).read(TRIALS)["list"].to_pylist()) == {"test"}
    undo(root)
    assert {name: root.fs.cat_file(name) for name in root.fs.find(root.path)} == kept


def test_rows_that_break_the_schema_leave_the_old_part(root):
    ours = Catalog(root)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    for wrong in (identities("b", "b"), streaming(identities("c", "b"))):
        with pytest.raises(ValueError, match="identities: "):
            ours.publish(IDENTITIES, wrong, fingerprint="second")
    assert (ours.read(IDENTITIES).equals(identities("a")), keys(root)) == (True, ["identities/all.parquet"])


@pytest.mark.parametrize("broken", ["copy_object", "delete_object"])
@pytest.mark.parametrize("after", [0, 1])
def test_publishing_drafts_that_breaks_off_is_mended_by_the_next_run(s3, monkeypatch, broken, after):
    ours, run = Catalog(s3), Catalog(s3, drafts=True)
    for part in ("a", "b"):
        ours.publish(IDENTITIES, identities("old"), part=part, fingerprint="first")
        run.publish(IDENTITIES, identities(part), part=part, fingerprint="second")
    with monkeypatch.context() as patch:
        refusing(patch, broken, after)
        with pytest.raises(CatalogError, match=ONE_LINE):
            run.publish_drafts()
    for part in ("a", "b"):  # whole, whichever it is
        assert ours.read(IDENTITIES, part)["speaker_id"].to_pylist() in (["old"], [part])
        assert run.has(IDENTITIES, part, "second")  # the next run has nothing to compute
    run.publish_drafts()
    assert ours.read(IDENTITIES).equals(identities("a", "b"))
    assert keys(s3) == ["identities/a.parquet", "identities/b.parquet"]


# ------------------------------------------------------------------------------------------------------------- faults


def everything(catalog):
    """What any command begins with."""
    yield lambda: catalog.parts(IDENTITIES)
    yield lambda: catalog.read(IDENTITIES)
    yield lambda: catalog.fingerprint(IDENTITIES)
    yield lambda: catalog.publish(IDENTITIES, identities("a"), fingerprint="f")
    yield lambda: catalog.publish(IDENTITIES, streaming(identities("a")), fingerprint="f")
    yield lambda: catalog.locked().__enter__()
    yield lambda: ask(catalog, "select 1")
    yield lambda: write_text(catalog.root / "README.md", "x")
    yield lambda: Catalog(catalog.root, drafts=True).publish_drafts()


def test_a_bucket_that_is_not_there_is_told_in_one_line(server):
    for do in everything(Catalog(location("s3://no-such-bucket/catalog"))):
        with pytest.raises(
            CatalogError, match=r"^s3://no-such-bucket/catalog[^\n]*: The specified bucket does not exist; [^\n]*$"
        ):
            do()


def test_a_store_that_refuses_is_told_in_one_line(s3, monkeypatch):
    async def refuse(*_, **__):
        raise PermissionError("Access Denied")

    filled(s3)
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", refuse)
    for do in everything(Catalog(s3)):
        with pytest.raises(CatalogError, match=r"^s3://shelf/[^\n]*/catalog[^\n]*: Access Denied; [^\n]*$"):
            do()


def test_a_store_that_refuses_in_the_middle_of_a_query_is_told_in_one_line(s3, fetched, monkeypatch):
    catalog, fetch = filled(s3), s3fs.core._fetch_range

    def schemas_only(*args, **options):
        if len(fetched) >= 5:  # of five parts
            raise PermissionError("Access Denied")
        return fetch(*args, **options)

    monkeypatch.setattr(s3fs.core, "_fetch_range", schemas_only)
    told = r"^Invalid Input[^\n]*: s3://shelf/[^\n]*/embeddings/toy\.parquet: Access Denied; expected a place [^\n]*\)$"
    with pytest.raises(QueryError, match=told):
        ask(catalog, "select sum(vector[1]) from embeddings")


def test_an_endpoint_that_is_down_and_missing_keys_are_told_in_one_line(server, monkeypatch):
    once = {"config_kwargs": {"retries": {"max_attempts": 0}}, "use_listings_cache": False}
    down = UPath("s3://shelf/catalog", endpoint_url="http://127.0.0.1:9", **once)
    monkeypatch.setattr(down.fs, "retries", 1)
    keyless = UPath("s3://shelf/catalog", **once)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for root, told in ((keyless, "Unable to locate credentials"), (down, "")):
        with pytest.raises(CatalogError, match=rf"^s3://shelf/catalog/identities: {told}[^\n]*; expected[^\n]*$"):
            Catalog(root).parts(IDENTITIES)


@pytest.mark.parametrize("content", [b"", b"junk", b"PAR1junkPAR1"])
def test_an_object_that_is_no_parquet_has_no_fingerprint_and_is_named_in_one_line(root, content):
    ours = Catalog(root)
    path = ours.path(IDENTITIES)
    whole.write_bytes(path, content)
    assert ours.fingerprint(IDENTITIES) is None
    with pytest.raises(CatalogError, match=rf"^{path}: [^\n]*expected Parquet[^\n]*$"):
        ours.read(IDENTITIES)
    with pytest.raises(CatalogError, match="no table 'splits'; expected a catalog that `curate run` has filled"):
        ours.read(SPLITS)


# ---------------------------------------------------------------------------------------------------- views, scratch


def test_the_views_name_addresses_and_any_duckdb_that_is_given_the_store_reads_them(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    catalog = filled(root)
    path = write_database(catalog)
    assert str(path) == f"{root}/catalog.duckdb"
    *of_tables, settled = view_statements(catalog)
    assert all(f"'{root}/" in statement for statement in of_tables)
    assert settled.startswith("CREATE VIEW settled AS")
    (tmp_path / "got.duckdb").write_bytes(whole.read_bytes(path))
    with duckdb.connect(str(tmp_path / "got.duckdb"), read_only=True) as database:
        database.register_filesystem(root.fs)
        for view in ("decisions", "settled"):
            assert database.execute(f"SELECT count(*) FROM {view}").fetchall() == [(6,)]
        assert database.execute("SELECT typeof(vector) FROM embeddings LIMIT 1").fetchall() == [("FLOAT[8]",)]


def test_a_database_that_is_right_is_left_alone_and_one_that_is_not_is_replaced(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    catalog = filled(root)
    path = write_database(catalog)
    before = whole.read_bytes(path)
    uploads = []
    monkeypatch.setattr(whole, "upload", lambda file, place: uploads.append(file.read_bytes()))
    write_database(catalog)
    assert (uploads, whole.read_bytes(path)) == ([], before)
    catalog.publish(IDENTITIES, identities("a"), fingerprint="f")
    write_database(catalog)
    assert len(uploads) == 1


def test_scratch_is_the_cache_of_a_local_catalog_and_a_folder_of_the_users_cache_for_one_in_a_store(
    tmp_path, monkeypatch
):
    assert Catalog(tmp_path).scratch == tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, same, other = (Catalog(location(f"memory://{BUCKET}/{name}")).scratch for name in ("a", "a", "b"))
    assert one == same != other
    assert one.parent == other.parent == tmp_path / "voxcurate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Catalog(location(f"memory://{BUCKET}/a")).scratch == tmp_path / ".cache" / "voxcurate" / one.name


def test_what_only_reads_loads_the_clients_of_stores_for_addresses_alone():
    code = (
        "import sys, curate.query, curate.explain, curate.runs; print({'fsspec', 's3fs', 'upath'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=Path(catalogs.__file__).parents[1], capture_output=True)
    assert told.stdout.decode().strip() == "set()"


# -------------------------------------------------------------------------------------------------------------- lease


class Hands:
    """A clock that is moved by hand; while somebody sleeps, `meanwhile` happens."""

    def __init__(self, now=1000.0, meanwhile=lambda: None):
        self.now, self.slept, self.meanwhile = now, [], meanwhile

    @property
    def clock(self):
        return Clock(now=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        self.meanwhile()


def lease_of(root):
    return json.loads(whole.read_bytes(root / "writer.lock"))


def test_a_second_writer_is_refused_by_host_and_process_and_a_lease_given_back_is_free(root, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "first.host")
    told = rf"^{root}: process {os.getpid()} on first\.host is writing it; expected to be the only one [^\n]*$"
    for _ in range(2):
        with Catalog(root).locked(), pytest.raises(CatalogError, match=told):
            Catalog(root).locked().__enter__()
        assert keys(root) == []


@pytest.mark.parametrize("silent_s", [0.0, LEASE_S - 0.5, -LEASE_S + 0.5])
def test_a_lease_that_was_renewed_within_a_minute_is_refused_at_once(root, silent_s):
    Lease(root, Hands(1000.0).clock).acquire()
    hands = Hands(1000.0 + silent_s)
    with pytest.raises(CatalogError, match="is writing it"):
        Lease(root, hands.clock).acquire()
    assert hands.slept == []


@pytest.mark.parametrize("silent_s", [LEASE_S + 0.5, 1e6, -LEASE_S - 0.5])
def test_a_lease_that_nobody_renews_is_taken_over_once_it_was_watched(root, silent_s):
    dead = Lease(root, Hands(1000.0).clock)
    dead.acquire()
    hands = Hands(1000.0 + silent_s)
    living = Lease(root, hands.clock)
    living.acquire()
    assert hands.slept == [WATCH_S]
    assert WATCH_S > 2 * RENEW_S
    assert lease_of(root)["renewed_at"] == hands.now
    with pytest.raises(CatalogError, match=f"process {os.getpid()} on [^ ]* took over"):
        dead.renew()
    with pytest.raises(CatalogError, match="took over"):
        dead.release()
    living.renew()
    living.release()
    assert keys(root) == []


def test_a_holder_whose_clock_is_wrong_but_who_renews_while_it_is_watched_lives(root):
    slow = Hands(now=-1e6)
    first = Lease(root, slow.clock)
    first.acquire()

    def renewed():
        slow.now += RENEW_S
        first.renew()

    with pytest.raises(CatalogError, match="is writing it"):
        Lease(root, Hands(now=1000.0, meanwhile=renewed).clock).acquire()
    first.renew()


def test_of_two_that_watch_one_dead_writer_the_second_is_refused(root):
    Lease(root, Hands(0.0).clock).acquire()
    quick = Lease(root, Hands(500.0).clock)
    with pytest.raises(CatalogError, match="is writing it"):
        Lease(root, Hands(500.0, meanwhile=quick.acquire).clock).acquire()
    quick.renew()


@pytest.mark.parametrize("there", ["nothing", "a dead one"])
def test_on_s3_one_wins_of_two_that_write_at_once(s3, monkeypatch, there):
    if there == "a dead one":
        Lease(s3, Hands(0.0).clock).acquire()
    first, second = Lease(s3, Hands(500.0).clock), Lease(s3, Hands(500.0).clock)
    write = s3.fs.pipe_file
    with monkeypatch.context() as patch:

        def other_first(*args, **kwargs):  # both have read, and found that they may write
            patch.setattr(s3.fs, "pipe_file", write)
            first.acquire()
            return write(*args, **kwargs)

        patch.setattr(s3.fs, "pipe_file", other_first)
        with pytest.raises(CatalogError, match="is writing it"):
            second.acquire()
    first.renew()


@pytest.mark.parametrize("what", ["acquire", "renew"])
def test_an_answer_that_gets_lost_does_not_lose_the_lease(s3, monkeypatch, what):
    hands = Hands()
    lease = Lease(s3, hands.clock)
    if what == "renew":
        lease.acquire()
    write = s3.fs.pipe_file
    with monkeypatch.context() as patch:

        def twice(*args, **kwargs):  # as a client that repeats a request whose answer it did not get
            write(*args, **kwargs)
            return write(*args, **kwargs)

        patch.setattr(s3.fs, "pipe_file", twice)
        hands.now += RENEW_S
        getattr(lease, what)()
    with monkeypatch.context() as patch:

        def arrives_and_fails(*args, **kwargs):
            write(*args, **kwargs)
            raise ConnectionResetError(104, "Connection reset by peer")

        patch.setattr(s3.fs, "pipe_file", arrives_and_fails)
        hands.now += RENEW_S
        with pytest.raises(CatalogError, match="reset"):
            lease.renew()
    hands.now += RENEW_S
    lease.renew()
    assert lease_of(s3)["renewed_at"] == hands.now


def test_renewing_goes_on_past_a_fault_of_the_store_until_it_is_told_to_stop(root, monkeypatch, caplog):
    hands = Hands()
    lease = Lease(root, hands.clock)
    lease.acquire()
    faults, waited = iter([True, False, False]), []

    def wait(seconds):
        waited.append(seconds)
        hands.now += seconds
        return len(waited) == 4

    def swap(*args, **kwargs):
        if next(faults):
            raise CatalogError("the store is down")
        return swapped(*args, **kwargs)

    swapped = sys.modules["curate.lease"]._swap
    monkeypatch.setattr("curate.lease._swap", swap)
    keep_renewing(lease, wait)
    assert (waited, lease_of(root)["renewed_at"]) == ([RENEW_S] * 4, 1000.0 + 3 * RENEW_S)
    assert [record.message for record in caplog.records if record.name == "voxcurate"] == ["the store is down"]


def test_a_writer_whose_lease_was_taken_over_publishes_no_drafts_and_leaves_the_lease_to_the_other(root):
    run = Catalog(root, drafts=True)
    run.publish(IDENTITIES, identities("a"), fingerprint="f")
    late = Lease(root, Hands(2000.0).clock)
    with pytest.raises(CatalogError, match="took over"), held(root, Hands(1000.0).clock):
        late.acquire() or run.publish_drafts()
    assert Catalog(root).parts(IDENTITIES) == []
    late.renew()
    with pytest.raises(CatalogError, match="took over"), held(root, Hands(1e6).clock):
        Lease(root, Hands(2e6).clock).acquire()  # noticed at the end, where nothing was published


def test_what_goes_wrong_under_the_lease_is_what_is_told_and_the_lease_is_given_back(root):
    with pytest.raises(KeyError, match="mine"), held(root):
        raise KeyError("mine")
    assert keys(root) == []
    with pytest.raises(KeyError, match="mine"), held(root, Hands(1000.0).clock):
        Lease(root, Hands(2000.0).clock).acquire() or {}["mine"]
    assert keys(root) == ["writer.lock"]


def test_a_lock_that_none_of_us_wrote_is_taken_over_once_it_was_watched(root):
    for content in (b"", b"12", b"[]", b"\xff", b'{"host": "x"}'):
        whole.write_bytes(root / "writer.lock", content)
        hands = Hands()
        lease = Lease(root, hands.clock)
        lease.acquire()
        assert hands.slept == [WATCH_S]
        lease.release()
