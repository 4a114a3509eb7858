"""What `curate.embed` promises: whole blocks, nothing computed twice, and the same table however the work was cut."""

import hashlib
import shutil

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.catalog import conform
from curate.decisions import Author
from curate.embed import (
    BlockStore,
    Stretch,
    duplicates,
    embed_block,
    embedding_rows,
    fixed_size_lists,
    matrix,
    missing_blocks,
    stretches,
)
from curate.errors import CorpusError
from curate.schema import DECISIONS, EMBEDDINGS
from curate.similarity import unit

AUTHOR = Author(rule="extractor counting", step="embed", run_id="0123456789ab")
RATE_HZ = 8_000


class CountingExtractor:
    """Mean, spread and length of a waveform; hears no speech in silence; counts what it was given."""

    name = "counting"
    fingerprint = "counting-v1"
    sample_rate_hz = RATE_HZ
    dimension = 3
    min_same_person = 0.9
    min_one_person = 0.5

    def __init__(self):
        self.num_heard = 0

    def embed(self, waveforms):
        self.num_heard += len(waveforms)
        return np.stack([self._embed(waveform) for waveform in waveforms])

    def _embed(self, waveform):
        if not waveform.any():
            return np.full(3, np.nan, dtype=np.float32)
        return np.float32([waveform.mean(), waveform.std(), len(waveform)])


class BrokenExtractor(CountingExtractor):
    def embed(self, waveforms):
        raise MemoryError("half way")


@pytest.fixture
def root(tmp_path):
    """Six short files, of which `silent` is silent and `twin` is a copy of `a`."""
    rng = np.random.default_rng(8)
    for i, name in enumerate("abcd"):
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, size=400 + 80 * i), RATE_HZ)
    soundfile.write(tmp_path / "silent.wav", np.zeros(500), RATE_HZ)
    shutil.copy(tmp_path / "a.wav", tmp_path / "twin.wav")
    return tmp_path


def utterances(root, *names):
    """One row a file, whole."""
    files = [root / f"{name}.wav" for name in names]
    columns = {
        "utterance_id": [f"toy/{name}" for name in names],
        "corpus": ["toy"] * len(names),
        "path": [file.relative_to(root).as_posix() for file in files],
        "content_sha256": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
    }
    texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    lengths = pa.array([soundfile.info(file).duration for file in files], pa.float64())
    starts, channels = pa.array([0.0] * len(names), pa.float64()), pa.nulls(len(names), pa.int16())
    return pa.table(texts | {"start_s": starts, "duration_s": lengths, "channel": channels})


def carry_out(rows, root, extractor, store, per_block=2):
    """All that a run does about embeddings."""
    wanted = stretches(rows, {"toy": root})
    for block in missing_blocks(wanted, store.keys(), per_block):
        embed_block(block, extractor, store)
    return embedding_rows(rows, wanted, extractor, store, AUTHOR)


def stretch(key, duration_s):
    return Stretch(file=None, content_sha256=key, start_s=0.0, duration_s=duration_s)


def test_vectors_come_in_the_order_of_the_utterances(root, tmp_path):
    rows, unheard = carry_out(
        utterances(root, "d", "a", "c"), root, CountingExtractor(), BlockStore(tmp_path / "blocks")
    )
    assert rows["utterance_id"].to_pylist() == ["toy/d", "toy/a", "toy/c"]
    assert matrix(rows["vector"])[:, 2].tolist() == [640, 400, 560]
    assert rows["extractor"].to_pylist() == ["counting"] * 3
    assert conform(EMBEDDINGS, rows).num_rows == 3
    assert len(unheard) == 0


def test_nothing_is_computed_twice(root, tmp_path):
    extractor, store = CountingExtractor(), BlockStore(tmp_path / "blocks")
    first, _ = carry_out(utterances(root, "a", "b", "c"), root, extractor, store)
    assert extractor.num_heard == 3
    again, _ = carry_out(utterances(root, "a", "b", "c"), root, extractor, store)
    assert extractor.num_heard == 3
    assert again == first
    carry_out(utterances(root, "a", "b", "c", "d"), root, extractor, store, per_block=1)
    assert extractor.num_heard == 4


@pytest.mark.parametrize("names", [("a", "twin", "b"), ("twin", "b", "a")])
def test_of_two_files_of_the_same_bytes_the_first_by_id_stays_and_the_other_is_dropped(root, tmp_path, names):
    extractor = CountingExtractor()
    rows, without = carry_out(utterances(root, *names), root, extractor, BlockStore(tmp_path / "blocks"))
    assert extractor.num_heard == 2
    assert sorted(rows["utterance_id"].to_pylist()) == ["toy/a", "toy/b"]
    (verdict,) = conform(DECISIONS, without).to_pylist()
    assert (verdict["subject_id"], verdict["other_id"]) == ("toy/twin", "toy/a")
    assert (verdict["subject"], verdict["verdict"], verdict["reason"]) == ("utterance", "drop", "duplicate")


def test_a_duplicate_without_speech_has_one_verdict(root, tmp_path):
    for name in ("silent2", "silent3"):
        shutil.copy(root / "silent.wav", root / f"{name}.wav")
    rows = utterances(root, "silent3", "silent", "silent2")
    found, without = carry_out(rows, root, CountingExtractor(), BlockStore(tmp_path / "blocks"))
    told = {row["subject_id"]: (row["reason"], row["other_id"]) for row in conform(DECISIONS, without).to_pylist()}
    copy = ("duplicate", "toy/silent")
    assert told == {"toy/silent": ("no_speech", None), "toy/silent2": copy, "toy/silent3": copy}
    assert (len(found), len(without)) == (0, 3)


def test_another_stretch_of_the_same_bytes_is_no_duplicate():
    wanted = [Stretch(file=None, content_sha256="x", start_s=start, duration_s=1.0) for start in (0.0, 1.0, 0.0)]
    assert duplicates(pa.table({"utterance_id": ["c", "b", "a"]}), wanted) == {"c": "a"}


class ZeroExtractor(CountingExtractor):
    """Zeros, not nan, for silence."""

    def _embed(self, waveform):
        return np.nan_to_num(super()._embed(waveform))


def test_a_vector_of_length_zero_counts_as_no_speech(root, tmp_path):
    rows = utterances(root, "a", "silent", "b")
    found, without = carry_out(rows, root, ZeroExtractor(), BlockStore(tmp_path / "blocks"))
    assert found["utterance_id"].to_pylist() == ["toy/a", "toy/b"]
    assert [row["reason"] for row in without.to_pylist()] == ["no_speech"]
    unit(matrix(found["vector"]))


def test_a_file_that_changed_since_the_scan_is_named_and_nothing_is_filed(root, tmp_path):
    rows, store = utterances(root, "a", "b"), BlockStore(tmp_path / "blocks")
    shutil.copy(root / "c.wav", root / "b.wav")
    with pytest.raises(CorpusError, match=r"b\.wav changed since it was scanned; run again"):
        carry_out(rows, root, CountingExtractor(), store)
    assert store.keys() == set()


def test_audio_that_moves_is_found_again_and_audio_that_changes_is_not(root, tmp_path):
    extractor, store = CountingExtractor(), BlockStore(tmp_path / "blocks")
    carry_out(utterances(root, "a", "b"), root, extractor, store)
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    (root / "a.wav").rename(moved / "renamed.wav")
    carry_out(utterances(moved, "renamed"), moved, extractor, store)
    assert extractor.num_heard == 2
    soundfile.write(moved / "renamed.wav", np.full(400, 0.25), RATE_HZ)
    rows, _ = carry_out(utterances(moved, "renamed"), moved, extractor, store)
    assert extractor.num_heard == 3
    assert matrix(rows["vector"])[0, 0] == pytest.approx(0.25, abs=1e-4)


def test_two_stretches_of_one_file_are_two_vectors(root, tmp_path):
    rows = utterances(root, "d", "d")
    rows = rows.set_column(0, "utterance_id", pa.array(["toy/d1", "toy/d2"]))
    rows = rows.set_column(4, "start_s", pa.array([0.0, 0.05])).set_column(5, "duration_s", pa.array([0.05, 0.03]))
    found, _ = carry_out(rows, root, CountingExtractor(), BlockStore(tmp_path / "blocks"))
    sound, _ = soundfile.read(root / "d.wav", dtype="float32")
    expected = CountingExtractor().embed([sound[:400], sound[400:640]])
    np.testing.assert_allclose(matrix(found["vector"]), expected, rtol=1e-6)


def test_where_no_speech_is_heard_there_is_a_verdict_and_no_vector(root, tmp_path):
    store, extractor = BlockStore(tmp_path / "blocks"), CountingExtractor()
    rows, unheard = carry_out(utterances(root, "a", "silent", "b"), root, extractor, store)
    assert rows["utterance_id"].to_pylist() == ["toy/a", "toy/b"]
    (verdict,) = conform(DECISIONS, unheard).to_pylist()
    assert (verdict["subject_id"], verdict["verdict"], verdict["reason"]) == ("toy/silent", "drop", "no_speech")
    carry_out(utterances(root, "silent"), root, extractor, store)
    assert extractor.num_heard == 3  # that nothing is heard is remembered, too


@pytest.mark.parametrize("names", [(), ("silent",)])
def test_a_corpus_without_speech_gives_tables_without_rows(root, tmp_path, names):
    rows, unheard = carry_out(utterances(root, *names), root, CountingExtractor(), BlockStore(tmp_path / "blocks"))
    assert matrix(rows["vector"]).shape == (0, 3)
    assert (len(rows), len(unheard)) == (0, len(names))


@pytest.mark.parametrize("per_block", [1, 2, 3, 100])
def test_the_tables_do_not_depend_on_the_size_of_the_blocks(root, tmp_path, per_block):
    rows = utterances(root, "silent", "d", "a", "twin", "c", "b")
    whole = carry_out(rows, root, CountingExtractor(), BlockStore(tmp_path / "whole"), per_block=6)
    assert carry_out(rows, root, CountingExtractor(), BlockStore(tmp_path / "cut"), per_block=per_block) == whole
    assert len(list((tmp_path / "cut").iterdir())) == -(-5 // per_block)


def test_a_block_that_fails_leaves_nothing_and_the_others_stand(root, tmp_path):
    rows, store = utterances(root, "a", "b", "c", "d"), BlockStore(tmp_path / "blocks")
    first, second = missing_blocks(stretches(rows, {"toy": root}), set(), 2)
    embed_block(first, CountingExtractor(), store)
    with pytest.raises(MemoryError):
        embed_block(second, BrokenExtractor(), store)
    assert store.keys() == {stretch.key for stretch in first}
    with pytest.raises(KeyError, match="2 of 4 vectors"):
        embedding_rows(rows, [*first, *second], CountingExtractor(), store, AUTHOR)
    extractor = CountingExtractor()
    carry_out(rows, root, extractor, store)
    assert extractor.num_heard == 2


def test_a_block_that_was_being_written_when_the_power_failed_is_not_read(root, tmp_path):
    store = BlockStore(tmp_path / "blocks")
    carry_out(utterances(root, "a", "b"), root, CountingExtractor(), store)
    (block,) = store.folder.iterdir()
    half = block.read_bytes()[:100]
    block.rename(block.with_name(block.name + ".new"))
    block.with_name(block.name + ".new").write_bytes(half)
    assert store.keys() == set()
    extractor = CountingExtractor()
    rows, _ = carry_out(utterances(root, "a", "b"), root, extractor, store)
    assert (extractor.num_heard, len(rows)) == (2, 2)


def test_an_unreadable_file_is_named(root, tmp_path):
    (root / "text.wav").write_text("no audio")
    content = hashlib.sha256(b"no audio").hexdigest()
    rows = [Stretch(file=root / "text.wav", content_sha256=content, start_s=0.0, duration_s=1.0)]
    with pytest.raises(CorpusError, match=r"text\.wav: cannot be decoded"):
        embed_block(rows, CountingExtractor(), BlockStore(tmp_path / "blocks"))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0.5, 1.0, 2.5]))),
    st.sets(st.sampled_from("abcdefgh")),
    st.integers(1, 5),
)
def test_what_is_missing_is_cut_into_full_blocks_of_like_length_each_stretch_once(rows, done, per_block):
    wanted = [stretch(key, duration_s) for key, duration_s in rows]
    done = {s.key for s in wanted if s.content_sha256 in done}
    blocks = missing_blocks(wanted, done, per_block)
    flat = [s for block in blocks for s in block]
    assert sorted(s.key for s in flat) == sorted({s.key for s in wanted} - done)
    assert [s.duration_s for s in flat] == sorted(s.duration_s for s in flat)
    assert all(len(block) == per_block for block in blocks[:-1])
    assert missing_blocks(wanted[::-1], done, per_block) == blocks


@given(st.integers(0, 5), st.integers(1, 4))
def test_a_matrix_survives_being_a_column(num_rows, dimension):
    vectors = np.arange(num_rows * dimension, dtype=np.float32).reshape(num_rows, dimension)
    one, two = (pa.chunked_array([fixed_size_lists(vectors)] * chunks) for chunks in (1, 2))
    np.testing.assert_array_equal(matrix(one), vectors)
    np.testing.assert_array_equal(matrix(one.slice(1)), vectors[1:])
    np.testing.assert_array_equal(matrix(two.slice(1)), np.concatenate([vectors, vectors])[1:])
