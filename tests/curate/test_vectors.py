"""What `curate.vectors` promises: nothing computed twice, and the same table however the work was cut."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.blocks import BlockStore, Stretch, matrix
from curate.catalog import Catalog, conform, rows_of
from curate.decisions import Author, verdicts
from curate.embed import embed_block
from curate.errors import CatalogError
from curate.reasons import Reason, Subject, Verdict
from curate.schema import DECISIONS, EMBEDDINGS, UTTERANCES
from curate.similarity import unit
from curate.vectors import embedding_rows, plan, without_vector

AUTHOR = Author(rule="extractor counting", step="embed", run_id="0123456789ab")
RATE_HZ = 8_000


class CountingExtractor:
    """Mean, spread and length of a waveform; counts what it was given."""

    name, fingerprint, sample_rate_hz, dimension = "counting", "counting-v1", RATE_HZ, 3
    min_same_person, min_one_person, batch_s = 0.9, 0.5, 0.0

    def __init__(self):
        self.num_heard = 0

    def embed(self, waveforms):
        self.num_heard += len(waveforms)
        return np.float32([[waveform.mean(), waveform.std(), len(waveform)] for waveform in waveforms])


@pytest.fixture
def root(tmp_path):
    """Six short files, of which `silent` is silent and `twin` is a copy of `a`."""
    folder = tmp_path / "audio"
    folder.mkdir()
    rng = np.random.default_rng(8)
    for i, name in enumerate("abcd"):
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.5, 0.5, size=400 + 80 * i), RATE_HZ)
    soundfile.write(folder / "silent.wav", np.zeros(500), RATE_HZ)
    shutil.copy(folder / "a.wav", folder / "twin.wav")
    return folder


def row(root, name, **told):
    file = root / f"{name}.wav"
    return {
        "utterance_id": f"toy/{name}",
        "corpus": "toy",
        "speaker_id": "toy/x",
        "path": file.name,
        "content_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "start_s": 0.0,
        "duration_s": soundfile.info(file).duration,
    } | told


class Toy:
    """A catalog of one corpus, and all that a run does about its embeddings."""

    def __init__(self, folder, rows, dropped=()):
        self.folder, self.catalog = folder, Catalog(folder / "catalog")
        self.describe(rows, dropped)

    def describe(self, rows, dropped=()):
        told = rows_of(UTTERANCES, rows).sort_by("utterance_id")
        self.catalog.publish(UTTERANCES, told, part="toy", fingerprint="1")
        judged = Author(rule="limits", step="ingest", run_id="1")
        ids = pa.array([one["utterance_id"] for one in rows], pa.string())
        noted = verdicts(judged, Subject.UTTERANCE, ids, verdict=Verdict.KEEP, reason=Reason.AGE_CONFLICT)
        of_speakers = verdicts(judged, Subject.SPEAKER, ids, verdict=Verdict.DROP, reason=Reason.INCOHERENT_SPEAKER)
        unfit = verdicts(
            judged,
            Subject.UTTERANCE,
            pa.array(dropped, pa.string()),
            verdict=Verdict.DROP,
            reason=Reason.TOO_SHORT,
        )
        everything = pa.concat_tables([unfit, noted.filter(pc.invert(pc.is_in(ids, pa.array(dropped, pa.string()))))])
        self.catalog.publish(DECISIONS, pa.concat_tables([everything, of_speakers]), part="ingest-toy", fingerprint="1")
        later = verdicts(judged, Subject.UTTERANCE, ids, verdict=Verdict.DROP, reason=Reason.BELOW_RANGE)
        self.catalog.publish(DECISIONS, later, part="clean", fingerprint="1")  # of the run before: not ingest's

    def planned(self, root, store):
        return plan(self.catalog, store, {"toy": root}, self.folder / "scratch")

    def embed(self, root, extractor, store, per_block=2):
        for block in self.planned(root, store).blocks(per_block):
            embed_block(block, extractor, store)
        return self.gathered(store)

    def gathered(self, store):
        scratch = self.folder / "scratch"
        rows = embedding_rows(self.catalog, store, extractor="counting", dimension=3, scratch=scratch)
        batches = list(rows.batches())
        table = pa.Table.from_batches(batches) if batches else EMBEDDINGS.arrow().empty_table()
        without, num_embedded = without_vector(self.catalog, store, AUTHOR, scratch)
        assert num_embedded == table.num_rows
        return conform(EMBEDDINGS, table), without


@pytest.fixture
def toy(tmp_path):
    return lambda rows, dropped=(): Toy(tmp_path, rows, dropped)


@pytest.fixture
def store(tmp_path):
    return BlockStore(tmp_path / "blocks")


def test_vectors_come_in_the_order_of_ids_and_each_is_that_of_its_utterance(root, toy, store):
    rows, without = toy([row(root, name) for name in "dac"]).embed(root, CountingExtractor(), store)
    assert rows["utterance_id"].to_pylist() == ["toy/a", "toy/c", "toy/d"]
    assert matrix(rows["vector"])[:, 2].tolist() == [400, 560, 640]
    assert rows["extractor"].to_pylist() == ["counting"] * 3
    assert rows.schema.field("vector").type.list_size == 3
    assert len(without) == 0


def test_what_ingest_dropped_is_neither_heard_nor_gathered(root, toy, store):
    one, extractor = toy([row(root, name) for name in "abc"], dropped=["toy/b"]), CountingExtractor()
    rows, without = one.embed(root, extractor, store)
    assert rows["utterance_id"].to_pylist() == ["toy/a", "toy/c"]
    assert (extractor.num_heard, len(without)) == (2, 0)


def test_nothing_is_computed_twice_and_only_what_is_new_is_computed(root, toy, store):
    extractor = CountingExtractor()
    one = toy([row(root, name) for name in "abc"])
    first = one.embed(root, extractor, store)
    assert extractor.num_heard == 3
    assert one.embed(root, extractor, store) == first
    assert extractor.num_heard == 3
    one.describe([row(root, name) for name in "abcd"])
    one.embed(root, extractor, store, per_block=1)
    assert extractor.num_heard == 4


def test_audio_that_moves_is_found_again_and_audio_that_changes_is_not(root, toy, store, tmp_path):
    extractor = CountingExtractor()
    one = toy([row(root, name) for name in "ab"])
    one.embed(root, extractor, store)
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    (root / "a.wav").rename(moved / "renamed.wav")
    one.describe([row(moved, "renamed")])
    one.embed(moved, extractor, store)
    assert extractor.num_heard == 2
    soundfile.write(moved / "renamed.wav", np.full(400, 0.25), RATE_HZ)
    one.describe([row(moved, "renamed")])
    rows, _ = one.embed(moved, extractor, store)
    assert extractor.num_heard == 3
    assert matrix(rows["vector"])[0, 0] == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("names", [("a", "twin", "b"), ("twin", "b", "a")])
def test_of_two_files_of_the_same_bytes_the_first_by_id_stays_and_the_other_is_dropped(root, toy, store, names):
    extractor = CountingExtractor()
    rows, without = toy([row(root, name) for name in names]).embed(root, extractor, store)
    assert extractor.num_heard == 2
    assert rows["utterance_id"].to_pylist() == ["toy/a", "toy/b"]
    (verdict,) = conform(DECISIONS, without).to_pylist()
    assert (verdict["subject_id"], verdict["other_id"]) == ("toy/twin", "toy/a")
    assert (verdict["subject"], verdict["verdict"], verdict["reason"]) == ("utterance", "drop", "duplicate")


def test_a_duplicate_without_a_vector_has_one_verdict(root, toy, store):
    for name in ("silent2", "silent3"):
        shutil.copy(root / "silent.wav", root / f"{name}.wav")
    found, without = toy([row(root, name) for name in ("silent3", "silent", "silent2")]).embed(
        root, CountingExtractor(), store
    )
    told = {one["subject_id"]: (one["reason"], one["other_id"]) for one in conform(DECISIONS, without).to_pylist()}
    copy = ("duplicate", "toy/silent")
    assert told == {"toy/silent": ("silent", None), "toy/silent2": copy, "toy/silent3": copy}
    assert (len(found), len(without)) == (0, 3)


def test_that_nothing_is_heard_in_a_file_is_remembered_too(root, toy, store, monkeypatch):
    one, extractor = toy([row(root, "silent"), row(root, "a")]), CountingExtractor()
    first = one.embed(root, extractor, store)
    shutil.rmtree(root)
    assert one.embed(root, extractor, store) == first


def test_other_stretches_and_channels_of_the_same_bytes_are_no_duplicates(root, toy, store):
    rows = [
        row(root, "d", utterance_id="toy/1", duration_s=0.05),
        row(root, "d", utterance_id="toy/2", start_s=0.05, duration_s=0.03),
        row(root, "d", utterance_id="toy/3", duration_s=0.05, channel=0),
    ]
    found, without = toy(rows).embed(root, CountingExtractor(), store)
    sound, _ = soundfile.read(root / "d.wav", dtype="float32")
    expected = CountingExtractor().embed([sound[:400], sound[400:640], sound[:400]])
    np.testing.assert_allclose(matrix(found["vector"]), expected, rtol=1e-6)
    assert len(without) == 0


def test_a_vector_of_zeros_never_reaches_the_table(root, toy, store):
    class Deaf(CountingExtractor):
        def embed(self, waveforms):
            return super().embed(waveforms) * np.float32([[len(waveform) != 480] for waveform in waveforms])

    found, without = toy([row(root, name) for name in "abc"]).embed(root, Deaf(), store)
    assert found["utterance_id"].to_pylist() == ["toy/a", "toy/c"]
    assert [one["reason"] for one in without.to_pylist()] == ["no_speech"]
    unit(matrix(found["vector"]))


@pytest.mark.parametrize("names", [(), ("silent",)])
def test_a_corpus_without_speech_gives_tables_without_rows(root, toy, store, names):
    rows, without = toy([row(root, name) for name in names]).embed(root, CountingExtractor(), store)
    assert len(matrix(rows["vector"])) == 0
    assert (len(rows), len(without)) == (0, len(names))


@pytest.mark.parametrize("per_block", [1, 2, 3, 100])
def test_the_tables_do_not_depend_on_the_size_of_the_blocks(root, toy, tmp_path, per_block):
    one = toy([row(root, name) for name in ("silent", "d", "a", "twin", "c", "b")])
    whole = one.embed(root, CountingExtractor(), BlockStore(tmp_path / "whole"), per_block=6)
    cut = BlockStore(tmp_path / "cut")
    assert one.embed(root, CountingExtractor(), cut, per_block=per_block) == whole
    assert len(cut.files()) == -(-5 // per_block)


def test_a_stretch_in_two_blocks_has_one_row(root, toy, store):
    one = toy([row(root, name) for name in "abc"])
    planned = one.planned(root, store)
    for per_block in (2, 3):
        for block in planned.blocks(per_block):
            embed_block(block, CountingExtractor(), store)
    rows, without = one.gathered(store)
    assert (rows["utterance_id"].to_pylist(), len(without)) == (["toy/a", "toy/b", "toy/c"], 0)


def test_what_is_not_computed_yet_is_no_table(root, toy, store):
    one = toy([row(root, name) for name in "abcd"])
    first, _ = one.planned(root, store).blocks(2)
    embed_block(first, CountingExtractor(), store)
    with pytest.raises(CatalogError, match="lacks the vector of toy/"):
        one.gathered(store)
    extractor = CountingExtractor()
    one.embed(root, extractor, store)
    assert extractor.num_heard == 2


def test_a_damaged_block_is_computed_again(root, toy, store):
    one, extractor = toy([row(root, name) for name in "abcd"]), CountingExtractor()
    first = one.embed(root, extractor, store)
    victim = store.files()[0]
    victim.write_bytes(victim.read_bytes()[:-40])
    assert one.embed(root, extractor, store) == first
    assert extractor.num_heard == 6


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0.5, 1.0, 2.5])), max_size=12),
    st.sets(st.sampled_from("abcdefgh")),
    st.integers(1, 5),
)
def test_what_is_missing_is_cut_into_full_blocks_longest_first_each_stretch_once(
    tmp_path_factory, wanted, done, per_block
):
    folder = tmp_path_factory.mktemp("toy")
    rows = [
        {"utterance_id": f"toy/{i:02}", "corpus": "toy", "speaker_id": "toy/x", "path": f"{i}.wav"}
        | {"content_sha256": sha, "start_s": 0.0, "duration_s": duration_s}
        for i, (sha, duration_s) in enumerate(wanted)
    ]
    keys = {(sha, 0.0, duration_s, -1) for sha, duration_s in wanted}
    store = BlockStore(folder / "blocks")
    for key in sorted(key for key in keys if key[0] in done):
        computed = Stretch(file=Path("x"), content_sha256=key[0], start_s=0.0, duration_s=key[2])
        store.add([computed], np.ones((1, 3), dtype=np.float32))
    planned = Toy(folder, rows).planned(folder, store)
    blocks = list(planned.blocks(per_block))
    flat = [stretch for block in blocks for stretch in block]
    left = {key for key in keys if key[0] not in done}
    assert sorted(stretch.key for stretch in flat) == sorted(left)
    lengths = [stretch.duration_s for stretch in flat]
    assert lengths == sorted(lengths, reverse=True)
    assert all(len(block) == per_block for block in blocks[:-1])
    assert (planned.num_stretches, planned.audio_s) == (len(left), pytest.approx(sum(lengths)))
