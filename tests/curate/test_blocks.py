"""What `curate.blocks` promises: files that are whole or not there, found again by what they were computed from."""

import errno

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import blocks
from curate.blocks import (
    BLOCK_SCHEMA,
    BlockStore,
    Fault,
    SoundPrint,
    Stretch,
    arrays,
    fixed_size_lists,
    keep_rows,
    matrix,
    name_of_block,
    read_vectors,
)
from curate.catalog import Catalog
from curate.errors import CatalogError
from curate.reasons import Reason
from curate.schema import EMBEDDINGS

VECTORS = np.float32([[1, 2, 3], [4, 5, 6], [0, 0, 0]])


def stretch(sha, start_s=0.0, duration_s=1.0, channel=None):
    return Stretch(file=None, content_sha256=sha, start_s=start_s, duration_s=duration_s, channel=channel)


BLOCK = [stretch("a"), stretch("b", channel=1), stretch("c", start_s=0.1)]
PRINTS = {
    0: SoundPrint(samples_sha256="1f", landmarks=np.int64([3, 5 << 40])),
    1: SoundPrint(samples_sha256="2f", landmarks=np.int64([])),
}
FAULTS = {2: Fault(reason=Reason.SILENT, detail="all its samples are zero")}


def add(store, block=BLOCK, vectors=VECTORS):
    return store.add(block, vectors, PRINTS, FAULTS)


@pytest.fixture
def store(tmp_path):
    return BlockStore(tmp_path / "blocks")


def rows_of(store):
    (file,) = store.files()
    return pq.read_table(file).to_pylist()


def test_a_block_holds_what_each_vector_was_computed_from_and_why_there_is_none(store):
    name = add(store)
    rows = rows_of(store)
    assert [(row["content_sha256"], row["start_s"], row["duration_s"], row["channel"]) for row in rows] == [
        ("a", 0.0, 1.0, -1),
        ("b", 0.0, 1.0, 1),
        ("c", 0.1, 1.0, -1),
    ]
    assert [row["vector"] for row in rows] == VECTORS.tolist()
    assert [(row["fault"], row["detail"]) for row in rows] == [
        (None, None),
        (None, None),
        ("silent", "all its samples are zero"),
    ]
    assert [(row["samples_sha256"], row["num_landmarks"], row["landmarks"]) for row in rows] == [
        ("1f", 2, [3, 5 << 40]),
        ("2f", 0, []),
        (None, 0, []),
    ]
    assert {row["block"] for row in rows} == {name} == {name_of_block(BLOCK)}
    assert pq.read_schema(store.files()[0]).names == BLOCK_SCHEMA.names


def test_who_computes_a_block_twice_writes_one_file(store):
    assert add(store) == add(store)
    assert len(store.files()) == 1


def told(prints):
    return {key: (one.samples_sha256, one.landmarks.tolist()) for key, one in prints.items()}


def test_sound_prints_are_read_by_what_they_are_of_and_where_there_is_a_fault_there_is_none(store):
    prints = store.read_prints(add(store))
    assert told(prints) == {BLOCK[0].key: ("1f", [3, 5 << 40]), BLOCK[1].key: ("2f", [])}
    assert {one.landmarks.dtype for one in prints.values()} == {np.dtype(np.int64)}


@given(st.sampled_from(["content_sha256", "start_s", "duration_s", "channel"]))
def test_another_stretch_is_another_key_and_another_block(part):
    other = {"content_sha256": "z", "start_s": 0.5, "duration_s": 2.0, "channel": 0}[part]
    changed = Stretch(**{"file": None, "content_sha256": "a", "start_s": 0.0, "duration_s": 1.0, part: other})
    assert changed.key != stretch("a").key
    assert name_of_block([changed]) != name_of_block([stretch("a")])


def test_a_file_that_moved_has_the_key_it_had(tmp_path):
    here, there = (
        Stretch(file=tmp_path / n, content_sha256="a", start_s=0.0, duration_s=1.0) for n in ("here", "there")
    )
    assert here.key == there.key


def test_a_block_that_was_being_written_when_the_power_failed_is_none_and_is_cleared_away(store):
    add(store)
    (block,) = store.files()
    block.rename(block.with_name(block.name + ".1234.new"))
    assert store.files() == []
    store.drop_damaged()
    assert list(store.folder.iterdir()) == []


def test_a_fault_of_the_disk_costs_no_block(store, monkeypatch):
    add(store)

    def too_many(*_arguments, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", too_many)
        with pytest.raises(CatalogError, match=r"\.parquet: Too many open files; expected"):
            store.drop_damaged()
    assert len(store.files()) == 1


@given(st.data())
def test_a_block_with_any_bit_turned_is_told_damaged_or_read_as_it_was(tmp_path_factory, data):
    store = BlockStore(tmp_path_factory.mktemp("blocks"))
    add(store)
    (file,) = store.files()
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(bytes(content))
    store.drop_damaged()
    if store.files():
        keys, vectors = store.read(file.stem)
        assert keys == [stretch.key for stretch in BLOCK]
        np.testing.assert_array_equal(vectors, VECTORS)
        assert told(store.read_prints(file.stem)) == {BLOCK[0].key: ("1f", [3, 5 << 40]), BLOCK[1].key: ("2f", [])}


def test_two_workers_at_one_block_do_not_write_into_one_file(store, monkeypatch):
    """The second begins while the first is writing, and the first ends later."""
    write_table = pq.write_table

    def with_another(rows, file, **options):
        monkeypatch.setattr(pq, "write_table", write_table)
        add(store)
        write_table(rows, file, **options)

    monkeypatch.setattr(pq, "write_table", with_another)
    add(store)
    (block,) = store.folder.iterdir()
    assert [row["vector"] for row in pq.read_table(block).to_pylist()] == VECTORS.tolist()


@pytest.mark.parametrize("damage", ["cut", "other", "flipped", "without prints"])
def test_a_damaged_block_is_taken_away_and_the_others_stay(store, damage):
    vectors = np.random.default_rng(3).normal(size=(3, 64)).astype(np.float32)
    add(store, BLOCK, vectors)
    (sound,) = store.files()
    add(store, BLOCK[:1], vectors[:1])
    (damaged,) = set(store.files()) - {sound}
    content = bytearray(damaged.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "without prints":  # as they were before there were any
        pq.write_table(pq.read_table(damaged).drop_columns(["samples_sha256", "num_landmarks", "landmarks"]), damaged)
        content = bytearray(damaged.read_bytes())
    elif damage == "other":
        pq.write_table(pa.table({"key": ["x"]}), damaged)
        content = bytearray(damaged.read_bytes())
    else:  # a bit of a vector: only a checksum tells
        place = bytes(content).find(vectors[0, 20:30].tobytes())
        place = place if place > 0 else len(content) // 3
        content[place] ^= 1
    damaged.write_bytes(bytes(content))
    store.drop_damaged()
    assert store.files() == [sound]


@given(st.integers(0, 5), st.integers(1, 4))
def test_a_matrix_survives_being_a_column(num_rows, dimension):
    vectors = np.arange(num_rows * dimension, dtype=np.float32).reshape(num_rows, dimension)
    one, two = (pa.chunked_array([fixed_size_lists(vectors)] * chunks) for chunks in (1, 2))
    np.testing.assert_array_equal(matrix(one), vectors)
    np.testing.assert_array_equal(matrix(one.slice(1)), vectors[1:])
    np.testing.assert_array_equal(matrix(two.slice(1)), np.concatenate([vectors, vectors])[1:])


@given(st.lists(st.booleans(), max_size=9), st.integers(1, 4))
def test_rows_that_stay_are_moved_to_the_front_of_the_same_memory(keep, at_once):
    vectors, flags = np.arange(3 * len(keep), dtype=np.float32).reshape(-1, 3), np.array(keep, bool)
    expected = vectors[flags]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "ROWS_AT_ONCE", at_once)
        found = keep_rows(vectors, flags)
    np.testing.assert_array_equal(found, expected)
    assert not len(found) or np.shares_memory(found, vectors)


@pytest.mark.parametrize("num_rows", [0, 5])
def test_vectors_are_read_as_they_lie_a_few_at_a_time(tmp_path, monkeypatch, num_rows):
    monkeypatch.setattr(blocks, "ROWS_AT_ONCE", 2)
    catalog, vectors = Catalog(tmp_path), np.arange(3 * num_rows, dtype=np.float32).reshape(-1, 3)
    for part in ("one", "two"):
        columns = {"utterance_id": pa.array([f"{part}/{n}" for n in range(num_rows)], pa.string())}
        columns |= {"extractor": pa.array([part] * num_rows, pa.string()), "vector": fixed_size_lists(vectors)}
        catalog.publish(EMBEDDINGS, pa.table(columns), part=part, fingerprint="f")
    ids, found = read_vectors(catalog, ["two", "one"])
    assert ids.to_pylist() == [f"{part}/{n}" for part in ("two", "one") for n in range(num_rows)]
    np.testing.assert_array_equal(found, np.concatenate([vectors, vectors])[:, : found.shape[1]])


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), max_size=5), st.integers(0, 5))
def test_lists_of_any_lengths_survive_being_a_column(lists, skipped):
    column = pa.chunked_array([pa.array(lists, pa.list_(pa.int64()))] * 2)
    assert [one.tolist() for one in arrays(column.slice(skipped))] == (lists + lists)[skipped:]


def test_an_empty_column_of_lists_is_an_empty_matrix():
    assert matrix(pa.chunked_array([pa.array([], pa.list_(pa.float32()))])).shape == (0, 0)
