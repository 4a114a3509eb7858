"""What the catalog promises: a part is there whole or not at all, in the columns of its schema, under a unique key."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import catalog as catalogs
from curate.catalog import (
    Catalog,
    Sorted,
    canonical_json,
    conform,
    read_batches,
    read_parquet,
    rows_of,
    write_batches,
    write_parquet,
    write_text,
)
from curate.errors import CatalogError
from curate.schema import CORPORA, DECISIONS, EMBEDDINGS, IDENTITIES, SPLITS, UTTERANCE_SCORES, UTTERANCES

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from curate import catalog
from curate.catalog import Catalog, rows_of
from curate.schema import IDENTITIES

def half_then_die(rows, file, **_):
    file.write(b"PAR1 half of a file"); file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

catalog.pq.write_table = half_then_die
rows = rows_of(IDENTITIES, [{"speaker_id": "x", "identity_id": "x"}])
with Catalog(Path(sys.argv[1])).locked():
    Catalog(Path(sys.argv[1])).publish(IDENTITIES, rows, fingerprint="second")
"""
HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from curate.catalog import Catalog
with Catalog(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def identities(*speakers, identity="p"):
    return rows_of(IDENTITIES, [{"speaker_id": speaker, "identity_id": identity} for speaker in speakers])


def vectors(*rows):
    flat = pa.array([value for row in rows for value in row], pa.float32())
    columns = {"utterance_id": [f"a/{i}" for i in range(len(rows))], "extractor": ["toy"] * len(rows)}
    return pa.table(columns | {"vector": pa.FixedSizeListArray.from_arrays(flat, len(rows[0]))})


def child(script, root, **options):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(root)], cwd=Path(catalogs.__file__).parents[1], **options
    )


def half_then_fail(rows, file, **_):
    file.write(b"PAR1 half of a file")
    raise OSError(28, "No space left on device")


def fail(*_):
    raise OSError(5, "Input/output error")


# ----------------------------------------------------------------------------------------------------------- publish


@settings(deadline=None, max_examples=40)
@given(rows=st.dictionaries(texts, texts, max_size=12), cut=st.integers(0, 12))
def test_what_is_published_is_what_is_read_and_equal_rows_give_equal_bytes(tmp_path_factory, rows, cut):
    ours = Catalog(tmp_path_factory.mktemp("catalog"))
    table = rows_of(IDENTITIES, [{"speaker_id": s, "identity_id": i} for s, i in rows.items()])
    in_pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    ours.publish(IDENTITIES, table, part="one", fingerprint="f")
    ours.publish(IDENTITIES, in_pieces.select(["identity_id", "speaker_id"]), part="two", fingerprint="f")
    assert ours.read(IDENTITIES, "one").equals(table)
    assert ours.path(IDENTITIES, "one").read_bytes() == ours.path(IDENTITIES, "two").read_bytes()


@settings(deadline=None)
@given(keys=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), max_size=5))
def test_rows_are_refused_exactly_where_a_key_comes_twice(keys):
    rows = rows_of(SPLITS, [{"benchmark": b, "utterance_id": u, "identity_id": "p", "split": "test"} for b, u in keys])
    if max(Counter(keys).values(), default=1) == 1:
        assert conform(SPLITS, rows).equals(rows)
    else:
        with pytest.raises(ValueError, match=r"^splits: benchmark \+ utterance_id must be unique among its \d rows$"):
            conform(SPLITS, rows)


@settings(deadline=None)
@given(
    keys=st.lists(
        st.tuples(st.sampled_from("uvw"), st.sampled_from("abcdefghijkl"), st.sampled_from([None, "x", "y"]))
    ),
    sort=st.booleans(),
)
def test_keys_of_few_and_of_many_values_in_order_or_not_with_nulls_or_not_are_told_apart(keys, sort):
    """Of each way of looking: in order, divided by few values, all at once."""
    rows = sorted(keys, key=str) if sort else keys
    said = [{"subject": one, "subject_id": two, "other_id": other} for one, two, other in rows]
    same = {"verdict": "keep", "reason": "ok", "decided_by": "toy", "step": "clean", "run_id": "r"}
    table = rows_of(DECISIONS, [same | one for one in said])
    if len(set(keys)) == len(keys):
        assert conform(DECISIONS, table).equals(table)
    else:
        with pytest.raises(ValueError, match="must be unique"):
            conform(DECISIONS, table)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (identities("a").drop_columns("identity_id"), "identities: no column 'identity_id'; expected"),
        (pa.table({"speaker_id": ["a", None], "identity_id": ["p", "p"]}), "identities.speaker_id: 1 nulls"),
        (pa.table({"speaker_id": [["a"]], "identity_id": ["p"]}), "identities: Unsupported cast"),
        (pa.table({"speaker_id": [b"\xff"], "identity_id": ["p"]}), "identities: Invalid UTF8"),
        (identities("a", "b", "a"), "identities: speaker_id must be unique among its 3 rows"),
    ],
    ids=["no column", "null", "type", "no text", "key"],
)
def test_rows_that_break_the_schema_are_refused_and_the_last_part_stays(tmp_path, rows, told):
    ours = Catalog(tmp_path)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    before = ours.path(IDENTITIES).read_bytes()
    with pytest.raises(ValueError, match=told):
        ours.publish(IDENTITIES, rows, fingerprint="second")
    assert ours.path(IDENTITIES).read_bytes() == before
    assert os.listdir(tmp_path / "identities") == ["all.parquet"]


def test_a_number_that_does_not_fit_is_refused_rather_than_rounded():
    rows = pa.table({"utterance_id": ["a"], "speaker_id": ["s"], "average_similarity": ["0.5x"]})
    with pytest.raises(ValueError, match="utterance_scores"):
        conform(UTTERANCE_SCORES, rows)


def test_columns_that_the_schema_does_not_know_are_left_out():
    rows = identities("a").append_column("mood", pa.array(["good"]))
    assert conform(IDENTITIES, rows).column_names == ["speaker_id", "identity_id"]


def test_a_vector_keeps_its_fixed_size_on_the_disk(tmp_path):
    Catalog(tmp_path).publish(EMBEDDINGS, vectors([1, 2, 3], [4, 5, 6]), part="toy", fingerprint="f")
    found = Catalog(tmp_path).read(EMBEDDINGS)
    assert found.schema.field("vector").type == pa.list_(pa.float32(), 3)
    assert found["vector"].to_pylist() == [[1, 2, 3], [4, 5, 6]]


@settings(deadline=None, max_examples=40)
@given(num=st.integers(1, 9), size=st.integers(1, 4), cuts=st.lists(st.integers(0, 9), max_size=4))
def test_vectors_that_stream_keep_their_fixed_size_and_are_the_same_bytes_as_a_table(tmp_path_factory, num, size, cuts):
    ours, rows = Catalog(tmp_path_factory.mktemp("vectors")), vectors(*([float(i)] * size for i in range(num)))
    ours.publish(EMBEDDINGS, rows, part="table", fingerprint="f")
    ours.publish(EMBEDDINGS, Sorted(lambda: in_batches(rows, cuts)), part="stream", fingerprint="f")
    assert ours.read(EMBEDDINGS, "stream").schema.field("vector").type == pa.list_(pa.float32(), size)
    assert ours.path(EMBEDDINGS, "table").read_bytes() == ours.path(EMBEDDINGS, "stream").read_bytes()


def test_vectors_of_two_sizes_in_one_stream_are_refused_and_no_vectors_are_a_part_of_the_schema(tmp_path):
    ours = Catalog(tmp_path)
    others = vectors([1, 2]).set_column(0, "utterance_id", pa.array(["b/0"]))
    told = r"embeddings\.vector: fixed_size_list<.*>\[2\]; expected fixed_size_list<.*>\[3\] as in the rows before"
    with pytest.raises(ValueError, match=told):
        ours.publish(
            EMBEDDINGS, Sorted(lambda: [*in_batches(vectors([1, 2, 3])), *in_batches(others)]), fingerprint="f"
        )
    for none in ([], [empty(vectors([1, 2, 3]).schema)]):
        assert ours.publish(EMBEDDINGS, Sorted(lambda none=none: none), fingerprint="f") == 0
        assert ours.read(EMBEDDINGS).schema.equals(EMBEDDINGS.arrow())


@pytest.mark.parametrize("write", ["a table", "a stream"])
def test_one_bit_that_a_disk_turned_is_found_where_a_reader_asks_for_it(tmp_path, write):
    file, rows = tmp_path / "a.parquet", vectors(*np.random.default_rng(0).standard_normal((500, 8)))
    if write == "a table":
        write_parquet(file, rows)
    else:
        write_batches(file, rows.schema, in_batches(rows, [100]))
    assert read_parquet(file, verify=True).equals(rows)
    assert pa.Table.from_batches(read_batches(file, verify=True)).equals(rows)
    with pq.ParquetFile(file) as parquet:
        pages = parquet.metadata.row_group(0).column(2)
    content = bytearray(file.read_bytes())
    content[pages.dictionary_page_offset + pages.total_compressed_size // 2] ^= 1
    file.write_bytes(content)
    assert not read_parquet(file).equals(rows)  # floats as they are: nothing else would tell
    for read in (read_parquet, lambda path, verify: list(read_batches(path, verify=verify))):
        with pytest.raises(CatalogError, match=r"^/.*/a\.parquet: [^\n]*CRC[^\n]*expected Parquet[^\n]*$"):
            read(file, verify=True)


# ------------------------------------------------------------------------------------------------------------ batches


def in_batches(table, cuts=()):
    """The rows cut at these places, with empty batches among them where two places are one."""
    whole, stops = table.combine_chunks(), [0, *sorted(cut for cut in cuts if cut <= len(table)), len(table)]
    for start, stop in pairwise(stops):
        yield whole.slice(start, stop - start).to_batches()[0] if stop > start else empty(table.schema)


def empty(schema):
    return pa.RecordBatch.from_pylist([], schema)


sorted_rows = st.dictionaries(texts, texts, max_size=14).map(
    lambda rows: rows_of(IDENTITIES, [{"speaker_id": s, "identity_id": rows[s]} for s in sorted(rows)])
)


@settings(deadline=None, max_examples=60)
@given(rows=sorted_rows, cuts=st.lists(st.integers(0, 14), max_size=6), group=st.integers(1, 9))
def test_the_file_is_the_same_however_its_rows_are_cut_into_batches(tmp_path_factory, rows, cuts, group):
    folder, schema = tmp_path_factory.mktemp("batches"), IDENTITIES.arrow()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogs, "ROWS_PER_GROUP", group)
        assert write_batches(folder / "one.parquet", schema, in_batches(rows), "f") == len(rows)
        assert write_batches(folder / "two.parquet", schema, in_batches(rows, cuts), "f") == len(rows)
    assert (folder / "one.parquet").read_bytes() == (folder / "two.parquet").read_bytes()
    assert read_parquet(folder / "one.parquet").equals(rows)
    assert max((batch.num_rows for batch in read_batches(folder / "one.parquet", rows=group)), default=0) <= group


def test_no_more_than_a_group_of_rows_waits_to_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogs, "ROWS_PER_GROUP", 10)
    rows = identities(*(f"{i:03}" for i in range(95)))
    write_batches(tmp_path / "a.parquet", IDENTITIES.arrow(), in_batches(rows, [1, 2, 50]))
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [10] * 9 + [5]


def test_rows_of_no_batch_are_a_file_of_no_rows(tmp_path):
    for batches in ((), (empty(IDENTITIES.arrow()),)):
        assert write_batches(tmp_path / "a.parquet", IDENTITIES.arrow(), iter(batches)) == 0
        assert read_parquet(tmp_path / "a.parquet").equals(identities())
        assert list(read_batches(tmp_path / "a.parquet")) == []


def test_rows_are_read_so_many_at_a_time_and_only_the_columns_that_are_asked_for(tmp_path):
    rows = identities(*(f"{i:02}" for i in range(25)))
    write_batches(tmp_path / "a.parquet", IDENTITIES.arrow(), in_batches(rows), "fingerprint")
    found = list(read_batches(tmp_path / "a.parquet", rows=10))
    assert [batch.num_rows for batch in found] == [10, 10, 5]
    assert pa.Table.from_batches(found).equals(rows)
    assert found[0].schema.metadata is None
    (ids,) = read_batches(tmp_path / "a.parquet", ["identity_id"])
    assert ids.schema.names == ["identity_id"]


@pytest.mark.parametrize("content", [b"", b"junk", b"PAR1junkPAR1", None])
def test_batches_of_a_file_that_is_no_parquet_are_an_error_that_names_it(tmp_path, content):
    if content is not None:
        (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(CatalogError, match=r"^/.*/a\.parquet: [^\n]*expected Parquet[^\n]*$"):
        list(read_batches(tmp_path / "a.parquet"))


def test_a_file_that_a_disk_garbled_is_an_error_that_names_it(tmp_path):
    write_batches(tmp_path / "a.parquet", IDENTITIES.arrow(), in_batches(identities(*map(str, range(3000)))))
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[4:400] = b"\xee" * 396
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(CatalogError, match=r"^/.*/a\.parquet: [^\n]*expected Parquet[^\n]*$"):
        list(read_batches(tmp_path / "a.parquet"))


@settings(deadline=None, max_examples=60)
@given(
    keys=st.lists(st.tuples(st.sampled_from(["a", "b", "é"]), st.sampled_from(["", "x", "y", "xy"])), max_size=6),
    cuts=st.lists(st.integers(0, 6), max_size=4),
)
def test_rows_that_stream_are_taken_exactly_where_they_come_in_the_order_of_a_unique_key(tmp_path_factory, keys, cuts):
    rows = rows_of(SPLITS, [{"benchmark": b, "utterance_id": u, "identity_id": "p", "split": "test"} for b, u in keys])
    ours = Catalog(tmp_path_factory.mktemp("sorted"))
    streaming = Sorted(lambda: in_batches(rows, cuts))
    if keys == sorted(set(keys)):
        assert ours.publish(SPLITS, streaming, fingerprint="f") == len(keys)
        assert ours.read(SPLITS).equals(rows)
        assert ours.fingerprint(SPLITS) == "f"
    else:
        with pytest.raises(
            ValueError, match=r"^splits: (rows out of order; expected|benchmark \+ utterance_id must be)"
        ):
            ours.publish(SPLITS, streaming, fingerprint="f")
        assert ours.parts(SPLITS) == []


@pytest.mark.parametrize(
    ("speakers", "told"),
    [
        ((("b",), ("a",)), "identities: rows out of order; expected them in the order of speaker_id$"),
        ((("a", "c"), ("b", "d")), "identities: rows out of order; expected them in the order of speaker_id$"),
        ((("a", "b"), ("b", "c")), r"identities: speaker_id must be unique: \{'speaker_id': 'b'\} is not$"),
        ((("a", "b"), (), ("b",)), r"identities: speaker_id must be unique: \{'speaker_id': 'b'\} is not$"),
        ((("a", "a"),), "identities: speaker_id must be unique among its 2 rows$"),
    ],
)
def test_disorder_and_keys_that_come_twice_are_found_across_batches(tmp_path, speakers, told):
    ours = Catalog(tmp_path)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    before = ours.path(IDENTITIES).read_bytes()
    batches = [(identities(*some).to_batches() or [empty(IDENTITIES.arrow())])[0] for some in speakers]
    with pytest.raises(ValueError, match=told):
        ours.publish(IDENTITIES, Sorted(lambda: batches), fingerprint="second")
    assert ours.path(IDENTITIES).read_bytes() == before
    ours.publish(IDENTITIES, Sorted(lambda: in_batches(identities("b"))), fingerprint="third")  # replaces what it left
    assert os.listdir(tmp_path / "identities") == ["all.parquet"]


def test_rows_that_stream_are_held_against_the_schema(tmp_path):
    null = pa.record_batch({"speaker_id": pa.array(["a", None]), "identity_id": pa.array(["p", "p"])})
    less = null.slice(0, 1).select(["speaker_id"])
    for batch, told in ((null, "identities.speaker_id: 1 nulls"), (less, "identities: no column 'identity_id'")):
        with pytest.raises(ValueError, match=told):
            Catalog(tmp_path).publish(IDENTITIES, Sorted(lambda batch=batch: [batch]), fingerprint="f")


def test_rows_that_stream_may_have_more_columns_in_another_order_and_are_the_same_bytes_as_a_table(tmp_path):
    rows, ours = identities(*"abc"), Catalog(tmp_path)
    more = rows.append_column("mood", pa.array(["good"] * 3)).select(["mood", "identity_id", "speaker_id"])
    ours.publish(IDENTITIES, Sorted(lambda: in_batches(more)), part="one", fingerprint="f")
    ours.publish(IDENTITIES, Sorted(lambda: in_batches(rows, [1])), part="two", fingerprint="f")
    assert ours.read(IDENTITIES, "one").equals(rows)
    assert ours.path(IDENTITIES, "one").read_bytes() == ours.path(IDENTITIES, "two").read_bytes()


def test_a_stream_that_fails_leaves_the_last_part_and_nobody_reads_what_it_wrote(tmp_path):
    ours = Catalog(tmp_path)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")

    def failing():
        yield from in_batches(identities("b", "c"))
        assert ours.read(IDENTITIES).equals(identities("a"))  # until the rename
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        ours.publish(IDENTITIES, Sorted(failing), fingerprint="second")
    assert (ours.parts(IDENTITIES), ours.fingerprint(IDENTITIES)) == (["all"], "first")
    assert ours.read(IDENTITIES).equals(identities("a"))


@pytest.mark.parametrize(
    ("where", "what"), [(catalogs.os, "fsync"), (Path, "replace")], ids=["while syncing", "before the rename"]
)
def test_a_stream_that_cannot_be_made_current_leaves_the_last_part(tmp_path, monkeypatch, where, what):
    ours = Catalog(tmp_path)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    with monkeypatch.context() as patch:
        patch.setattr(where, what, fail)
        with pytest.raises(OSError, match="Input"):
            ours.publish(IDENTITIES, Sorted(lambda: in_batches(identities("b"))), fingerprint="second")
    assert ours.read(IDENTITIES).equals(identities("a"))


def test_a_reader_goes_on_in_the_old_rows_while_new_ones_are_made_current(tmp_path):
    file, rows = tmp_path / "a.parquet", identities(*(f"{i:04}" for i in range(1000)))
    write_batches(file, IDENTITIES.arrow(), in_batches(rows))
    reading = read_batches(file, rows=100)
    found = [next(reading)]
    write_batches(file, IDENTITIES.arrow(), in_batches(identities("new")))
    assert pa.Table.from_batches([*found, *reading]).equals(rows)
    assert read_parquet(file).equals(identities("new"))


def test_rows_that_stream_into_drafts_are_seen_by_their_run_alone(tmp_path):
    ours, run = Catalog(tmp_path), Catalog(tmp_path, drafts=True)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    run.publish(IDENTITIES, Sorted(lambda: in_batches(identities("b"))), fingerprint="second")
    assert (ours.read(IDENTITIES).equals(identities("a")), run.read(IDENTITIES).equals(identities("b"))) == (True, True)
    run.publish_drafts()
    assert pc.all(pc.equal(ours.read(IDENTITIES)["speaker_id"], "b")).as_py()


# ------------------------------------------------------------------------------------------------------------- crash


@pytest.mark.parametrize(
    ("where", "what", "double"),
    [(catalogs.pq, "write_table", half_then_fail), (catalogs.os, "fsync", fail), (Path, "replace", fail)],
    ids=["while writing", "while syncing", "before the rename"],
)
def test_a_write_that_fails_leaves_the_last_part_as_it_was(tmp_path, monkeypatch, where, what, double):
    ours = Catalog(tmp_path)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    before = ours.path(IDENTITIES).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(where, what, double)
        with pytest.raises(OSError, match=r"space|Input"):
            ours.publish(IDENTITIES, identities("b"), fingerprint="second")
    assert ours.path(IDENTITIES).read_bytes() == before
    assert (ours.parts(IDENTITIES), ours.fingerprint(IDENTITIES)) == (["all"], "first")
    ours.publish(IDENTITIES, identities("b"), fingerprint="second")  # and the next attempt replaces what it left
    assert ours.read(IDENTITIES).equals(identities("b"))
    assert os.listdir(tmp_path / "identities") == ["all.parquet"]


def test_a_process_killed_while_writing_leaves_the_last_part_and_no_lock(tmp_path):
    ours = Catalog(tmp_path)
    ours.publish(IDENTITIES, identities("a"), fingerprint="first")
    before = ours.path(IDENTITIES).read_bytes()
    assert child(KILLED_WHILE_WRITING, tmp_path).wait() == -signal.SIGKILL
    assert (tmp_path / "identities" / "all.parquet.new").read_bytes() == b"PAR1 half of a file"
    assert ours.path(IDENTITIES).read_bytes() == before
    with ours.locked():
        assert ours.read(IDENTITIES).equals(identities("a"))


def test_what_is_being_written_is_no_part(tmp_path):
    (tmp_path / "identities").mkdir()
    (tmp_path / "identities" / "all.parquet.new").write_bytes(b"half")
    assert Catalog(tmp_path).parts(IDENTITIES) == []
    with pytest.raises(CatalogError, match="no table 'identities'"):
        Catalog(tmp_path).read(IDENTITIES)


def test_a_reader_sees_the_old_rows_or_the_new_ones_while_a_part_is_replaced(tmp_path):
    ours, versions = Catalog(tmp_path), [identities(*map(str, range(n))) for n in (2000, 3000)]
    ours.publish(IDENTITIES, versions[0], fingerprint="0")

    def replace_it():
        for i in range(40):
            ours.publish(IDENTITIES, versions[i % 2], fingerprint=str(i))

    writer = threading.Thread(target=replace_it)
    writer.start()
    seen = {ours.read(IDENTITIES).num_rows}
    while writer.is_alive():
        seen.add(ours.read(IDENTITIES).num_rows)
    writer.join()
    assert seen <= {2000, 3000}


# -------------------------------------------------------------------------------------------------------------- read


def test_parts_are_read_in_the_order_of_their_names_and_forgotten_ones_are_taken_away(tmp_path):
    ours = Catalog(tmp_path)
    for part in ("b", "a.b", "a"):
        ours.publish(IDENTITIES, identities(part), part=part, fingerprint=part)
    assert ours.parts(IDENTITIES) == ["a", "a.b", "b"]
    assert ours.read(IDENTITIES)["speaker_id"].to_pylist() == ["a", "a.b", "b"]
    ours.keep_only(IDENTITIES, {"b", "not there"})
    assert ours.parts(IDENTITIES) == ["b"]


def test_folders_that_look_like_partitions_add_no_column(tmp_path):
    ours = Catalog(tmp_path / "corpus=other")
    ours.publish(CORPORA, rows_of(CORPORA, [{"corpus": "mine", "reader": "folder", "root": "/"}]), fingerprint="f")
    assert ours.read(CORPORA)["corpus"].to_pylist() == ["mine"]


def test_a_table_that_is_not_there_is_named(tmp_path):
    Catalog(tmp_path).publish(IDENTITIES, identities("a"), part="a", fingerprint="f")
    for table, part in ((UTTERANCES, None), (IDENTITIES, "b")):
        with pytest.raises(CatalogError, match=f"no table {table.name!r}; expected a catalog"):
            Catalog(tmp_path).read(table, part)


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", b"PAR1junkPAR1", b"PAR1" + b"\x99" * 60 + (50).to_bytes(4, "little") + b"PAR1"],
    ids=["empty", "junk", "short", "footer"],
)
def test_a_file_that_is_no_parquet_has_no_fingerprint_and_is_named_in_one_line(tmp_path, content):
    ours = Catalog(tmp_path)
    ours.path(IDENTITIES).parent.mkdir()
    ours.path(IDENTITIES).write_bytes(content)
    assert ours.fingerprint(IDENTITIES) is None
    with pytest.raises(CatalogError, match=r"^/.*identities/all\.parquet: [^\n]*expected Parquet[^\n]*$"):
        ours.read(IDENTITIES)


def test_the_fingerprint_is_the_one_last_published_and_none_of_a_foreign_file(tmp_path):
    ours = Catalog(tmp_path)
    assert ours.fingerprint(IDENTITIES) is None
    for fingerprint in ("one", "two"):
        ours.publish(IDENTITIES, identities("a"), fingerprint=fingerprint)
        assert ours.fingerprint(IDENTITIES) == fingerprint
    pq.write_table(identities("a"), ours.path(IDENTITIES))
    assert ours.fingerprint(IDENTITIES) is None


# -------------------------------------------------------------------------------------------------------------- lock


def test_a_second_writer_is_refused_by_the_name_of_the_first_and_a_killed_one_holds_nothing(tmp_path):
    ours = Catalog(tmp_path / "new")
    with child(HOLDS_THE_LOCK, ours.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(
            CatalogError, match=rf"new: process {other.pid} is writing it; expected to be the only one$"
        ):
            ours.locked().__enter__()
        other.kill()
    with ours.locked(), pytest.raises(CatalogError, match=f"process {os.getpid()} is writing"):
        ours.locked().__enter__()
    with ours.locked():
        pass


# ------------------------------------------------------------------------------------------------------ text and rest


def test_text_that_is_there_already_is_left_alone_and_other_text_replaces_it(tmp_path, monkeypatch):
    file = tmp_path / "folder" / "list.txt"
    write_text(file, "één\n")
    before = file.stat()
    write_text(file, "één\n")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    monkeypatch.setattr(catalogs.os, "fsync", fail)
    with pytest.raises(OSError, match="Input"):
        write_text(file, "two\n")
    assert file.read_text(encoding="utf-8") == "één\n"


@given(st.dictionaries(texts, st.integers() | st.booleans() | texts))
def test_equal_values_give_one_json_in_whatever_order_their_keys_come(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)
    assert json.loads(canonical_json(value)) == value


def test_a_column_that_is_not_there_or_of_another_type_is_told_of_its_file(tmp_path):
    catalog = Catalog(tmp_path)
    rows = pa.table({"speaker_id": ["a"], "identity_id": [1]})
    write_parquet(catalog.path(IDENTITIES), rows)
    file = re.escape(f"{catalog.path(IDENTITIES)}")
    at_once, by_and_by = catalog.read, catalog.batches
    for read in (lambda n: at_once(IDENTITIES, columns=n), lambda n: [*by_and_by(IDENTITIES, "all", n)]):
        assert read(["speaker_id"])[0] is not None
        with pytest.raises(CatalogError, match=rf"^{file}: column 'identity_id' is of int64; expected string$"):
            read(["identity_id"])
        with pytest.raises(CatalogError, match=rf"^{file}: no column 'merged'; expected one beside \['speaker_id', "):
            read(["merged"])
