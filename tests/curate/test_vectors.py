"""What `curate.vectors` promises: nothing computed twice, and the same tables however the work was cut."""

import hashlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import audio
from curate.blocks import BlockStore, SoundPrint, Stretch, matrix
from curate.catalog import Catalog, rows_of
from curate.conforming import conform
from curate.decisions import Author, verdicts
from curate.duplicates import judge_duplicates
from curate.embed import embed_block
from curate.errors import CatalogError
from curate.landmarks import landmarks, samples_sha256
from curate.presets import Duplicates
from curate.reasons import Reason, Subject, Verdict
from curate.schema import DECISIONS, EMBEDDINGS, SOUND_PRINTS, UTTERANCES
from curate.similarity import unit
from curate.vectors import embedding_rows, plan, print_rows, without_vector

AUTHOR = Author(rule="extractor counting", step="embed", run_id="0123456789ab")
RATE_HZ = 8_000
SHAS, LENGTHS_S = st.sampled_from("abcdefgh"), st.sampled_from([0.5, 1.0, 2.5])


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
        table = tabled(EMBEDDINGS, rows)
        without, num_embedded = without_vector(self.catalog, store, AUTHOR, scratch)
        assert num_embedded == table.num_rows
        assert self.prints(store)["utterance_id"].equals(table["utterance_id"])
        return table, without

    def prints(self, store):
        rows = print_rows(self.catalog, store, extractor="counting", scratch=self.folder / "scratch")
        return tabled(SOUND_PRINTS, rows)


def tabled(kind, rows):
    batches = list(rows.batches())
    return conform(kind, pa.Table.from_batches(batches) if batches else kind.arrow().empty_table())


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


def test_a_plan_counts_each_stretch_that_a_block_holds_once_and_names_those_that_none_does(root, toy, store):
    one = toy([row(root, name) for name in ("a", "twin", "silent", "b")])
    assert one.planned(root, store).num_held == 0
    one.embed(root, CountingExtractor(), store)
    one.describe([row(root, name) for name in ("twin", "a", "silent", "d", "c")])
    planned = one.planned(root, store)
    assert (planned.num_held, planned.num_stretches) == (2, 2)  # the twins, and the fault of the silent one
    ids = [stretch.utterance_id for block in planned.blocks(1) for stretch in block]
    assert sorted(ids) == ["toy/c", "toy/d"]


def test_a_fault_is_told_of_the_utterance_by_its_id(root, toy, store):
    one = toy([row(root, name) for name in ("a", "silent")])
    (block,) = one.planned(root, store).blocks(2)
    assert embed_block(block, CountingExtractor(), store).faults == ("toy/silent: all its samples are zero",)


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
def test_two_files_of_the_same_bytes_are_heard_once_and_both_have_the_vector_and_the_print(root, toy, store, names):
    extractor = CountingExtractor()
    one = toy([row(root, name) for name in names])
    rows, without = one.embed(root, extractor, store)
    assert (extractor.num_heard, len(without)) == (2, 0)
    assert rows["utterance_id"].to_pylist() == ["toy/a", "toy/b", "toy/twin"]
    a, b, twin = matrix(rows["vector"])
    assert np.array_equal(a, twin)
    assert not np.array_equal(a, b)
    prints = one.prints(store).drop_columns("utterance_id").to_pylist()
    assert prints[0] == prints[2]
    assert prints[0]["samples_sha256"] != prints[1]["samples_sha256"]


def test_a_flac_and_a_wav_of_the_same_samples_are_told_as_duplicates(root, toy, store):
    sound, _ = soundfile.read(root / "d.wav", dtype="int16")
    soundfile.write(root / "d.flac", sound, RATE_HZ)
    sha = hashlib.sha256((root / "d.flac").read_bytes()).hexdigest()
    flac = row(root, "d", utterance_id="toy/e", path="d.flac", content_sha256=sha)
    one = toy([*(row(root, name) for name in "acd"), flac])
    rows, _ = one.embed(root, CountingExtractor(), store)
    utterances, vectors = one.catalog.read(UTTERANCES), matrix(rows["vector"])
    found = judge_duplicates(utterances, one.prints(store), vectors, settings=Duplicates(), author=AUTHOR)
    told = [(verdict["subject_id"], verdict["other_id"], verdict["reason"]) for verdict in found.to_pylist()]
    assert told == [("toy/e", "toy/d", Reason.DUPLICATE)]


@pytest.mark.parametrize("num", [7, 5_000])  # more than one batch
def test_rows_of_any_lengths_come_in_the_order_of_ids_and_each_is_of_its_utterance(root, toy, store, num):
    """Noise that comes and goes: from no landmarks at all to many, and not in the order of ids."""
    rng, known = np.random.default_rng(6), []
    for i, length_s in enumerate((1.0, 0.1, 3.0, 0.02, 2.0, 0.5, 1.5)):
        t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
        soundfile.write(root / f"{i}.wav", rng.uniform(-0.5, 0.5, len(t)) * np.sin(17 * t), RATE_HZ)
        waveform = audio.decode(root / f"{i}.wav")
        known.append((len(waveform), samples_sha256(waveform), landmarks(waveform, RATE_HZ).tolist()))
    assert {len(marks) > 9 for *_, marks in known} == {True, False}
    asked = [row(root, str(i)) for i in range(7)]
    one = toy([asked[i % 7] | {"utterance_id": f"toy/{i:04}"} for i in range(num)] + [row(root, "silent")])
    rows, _ = one.embed(root, CountingExtractor(), store)
    prints = one.prints(store)
    assert rows["utterance_id"].to_pylist() == [f"toy/{i:04}" for i in range(num)]
    assert set(prints["extractor"].to_pylist()) == {"counting"}
    told = zip(
        matrix(rows["vector"])[:, 2], prints["samples_sha256"].to_pylist(), prints["landmarks"].to_pylist(), strict=True
    )
    assert list(told) == [known[i % 7] for i in range(num)]


def test_a_duplicate_without_a_vector_has_the_verdict_that_any_other_has(root, toy, store):
    for name in ("silent2", "silent3"):
        shutil.copy(root / "silent.wav", root / f"{name}.wav")
    found, without = toy([row(root, name) for name in ("silent3", "silent", "silent2")]).embed(
        root, CountingExtractor(), store
    )
    told = {one["subject_id"]: (one["reason"], one["other_id"]) for one in conform(DECISIONS, without).to_pylist()}
    assert told == dict.fromkeys(("toy/silent", "toy/silent2", "toy/silent3"), ("silent", None))
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


def test_of_audio_that_lies_in_several_places_the_first_corpus_and_path_is_heard(root, toy, store):
    places = [("toy", "b.wav"), ("toy", "a.wav"), ("other", "d.wav"), ("other", "c.wav"), ("toy", "e.wav")]
    rows = [
        row(root, "a", utterance_id=f"toy/{i}", corpus=corpus, path=path) for i, (corpus, path) in enumerate(places)
    ]
    one = toy(rows)
    planned = plan(one.catalog, store, {"toy": root, "other": root / "other"}, one.folder / "scratch")
    ((stretch,),) = planned.blocks(10)
    assert stretch.file == root / "other" / "c.wav"


def test_verdicts_come_in_the_order_of_ids(root, toy, store):
    files = []
    for i in range(6):
        files.append(root / f"silent{i}.wav")
        soundfile.write(files[-1], np.zeros(400 + i), RATE_HZ)
    files.sort(key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest(), reverse=True)  # blocks go by the hash
    rows = [row(root, file.stem, utterance_id=f"toy/{i}") for i, file in enumerate(files)]
    rows += [row(root, "silent3", utterance_id=f"toy/{i}") for i in "6x"]
    _, without = toy(rows).embed(root, CountingExtractor(), store)
    assert without["subject_id"].to_pylist() == [f"toy/{i}" for i in "0123456x"]


ODD_NAMES = (
    "it's", "100%41 of `a b`", "größe–声", "[ab]c", "a*b?", "corpus=other", "block=x", "start_s=7", "fault=silent",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_is_a_name_whatever_is_in_it(root, toy, tmp_path, name):
    """No SQL, no glob, no escape of an address and no Hive partition."""
    for other in ("ac", "axby"):  # which the globs among the names match
        beside = tmp_path / "odd" / other
        Toy(beside, [row(root, "c")]).embed(root, CountingExtractor(), BlockStore(beside / "blocks"))
    names = ("silent", "d", "a", "twin", "b")
    expected = toy([row(root, one) for one in names]).embed(root, CountingExtractor(), BlockStore(tmp_path / "plain"))
    folder, extractor = tmp_path / "odd" / name, CountingExtractor()
    audio = shutil.copytree(root, folder / name)
    for file in audio.iterdir():
        file.rename(file.with_name(name + file.name))
    rows = [row(audio, name + one, utterance_id=f"toy/{one}") for one in names]
    odd, blocks = Toy(folder, rows), BlockStore(folder / "blocks")
    assert odd.embed(audio, extractor, blocks) == expected
    assert odd.embed(audio, extractor, blocks) == expected
    assert extractor.num_heard == 3


@pytest.mark.parametrize("is_read_to_its_end", [True, False])
def test_no_copy_of_the_vectors_is_left_behind(root, toy, store, is_read_to_its_end):
    one = toy([row(root, name) for name in "abc"])
    table, _ = one.embed(root, CountingExtractor(), store)
    vector, scratch = matrix(table["vector"])[1].tobytes(), one.folder / "scratch"

    def copies():
        return [file for file in scratch.rglob("*") if file.is_file() and vector in file.read_bytes()]

    batches = embedding_rows(one.catalog, store, extractor="counting", dimension=3, scratch=scratch).batches()
    next(batches)
    assert len(copies()) == 1  # vectors may be more than fit into memory
    if is_read_to_its_end:
        assert list(batches) == []
    else:
        batches.close()
    assert copies() == []


@pytest.mark.parametrize("per_block", [1, 2, 3, 100])
def test_the_tables_do_not_depend_on_the_size_of_the_blocks(root, toy, tmp_path, per_block):
    one = toy([row(root, name) for name in ("silent", "d", "a", "twin", "c", "b")])
    whole = one.embed(root, CountingExtractor(), BlockStore(tmp_path / "whole"), per_block=6)
    cut = BlockStore(tmp_path / "cut")
    assert one.embed(root, CountingExtractor(), cut, per_block=per_block) == whole
    assert one.prints(cut).equals(one.prints(BlockStore(tmp_path / "whole")))
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


def in_order(keys):
    """Longest first; equal lengths by what is heard, so that whoever plans the same names the same blocks."""
    return sorted(keys, key=lambda key: (-key[2], key[0], key[1], key[3]))


def test_a_plan_of_thousands_has_one_order(toy, store, tmp_path):
    """Sorting keeps a few rows of equal length as they came, and many it does not."""
    rows = [
        {"utterance_id": f"toy/{i:04}", "corpus": "toy", "speaker_id": "toy/x", "path": "x.wav"}
        | {
            "content_sha256": f"{i * 7 % 500:03}",
            "start_s": i // 1_000 / 2,
            "duration_s": 1.0 + i % 3,
            "channel": i % 2,
        }
        for i in range(3_000)
    ]
    (block,) = toy(rows).planned(tmp_path, store).blocks(len(rows))
    wanted = {(one["content_sha256"], one["start_s"], one["duration_s"], one["channel"]) for one in rows}
    assert [stretch.key for stretch in block] == in_order(wanted)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(SHAS, st.sampled_from([0.0, 0.5]), LENGTHS_S, st.sampled_from([None, 0, 1])), max_size=12),
    st.sets(SHAS),
    st.integers(1, 5),
)
def test_what_is_missing_is_cut_into_full_blocks_longest_first_each_stretch_once(
    tmp_path_factory, wanted, done, per_block
):
    folder = tmp_path_factory.mktemp("toy")
    rows = [
        {"utterance_id": f"toy/{i:02}", "corpus": "toy", "speaker_id": "toy/x", "path": f"{i}.wav"}
        | {"content_sha256": sha, "start_s": start_s, "duration_s": duration_s, "channel": channel}
        for i, (sha, start_s, duration_s, channel) in enumerate(wanted)
    ]
    stretches = {
        one.key: one
        for sha, start_s, duration_s, channel in wanted
        for one in [Stretch(file=folder, content_sha256=sha, start_s=start_s, duration_s=duration_s, channel=channel)]
    }
    store = BlockStore(folder / "blocks")
    for key, stretch in stretches.items():
        if key[0] in done:
            known = {0: SoundPrint(samples_sha256="1f", landmarks=np.int64([]))}
            store.add([stretch], np.ones((1, 3), dtype=np.float32), known, {})
    planned = Toy(folder, rows).planned(folder, store)
    blocks = list(planned.blocks(per_block))
    flat = [stretch for block in blocks for stretch in block]
    left = [key for key in stretches if key[0] not in done]
    assert [one.key for one in flat] == in_order(left)
    assert all(len(block) == per_block for block in blocks[:-1])
    assert (planned.num_stretches, planned.audio_s) == (len(left), pytest.approx(sum(key[2] for key in left)))
