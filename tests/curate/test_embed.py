"""What `curate.embed` promises: a block is whole or not there, and one bad file costs the others nothing."""

import hashlib
import itertools
import shutil
import threading
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate import embed
from curate.blocks import BlockStore, Fault, SoundPrint, Stretch
from curate.embed import Heard, Unheard, embed_block, in_batches, unheard
from curate.errors import CorpusError
from curate.landmarks import landmarks
from curate.reasons import Reason

RATE_HZ = 8_000


class CountingExtractor:
    """Mean, spread and length of a waveform; hears no speech where it is quiet; counts what it was given."""

    name = "counting"
    fingerprint = "counting-v1"
    sample_rate_hz = RATE_HZ
    dimension = 3
    min_same_person = 0.9
    min_one_person = 0.5

    def __init__(self, batch_s=0.0):
        self.batch_s = batch_s
        self.calls = []

    def embed(self, waveforms):
        self.calls.append([len(waveform) for waveform in waveforms])
        return np.stack([self._embed(waveform) for waveform in waveforms])

    def _embed(self, waveform):
        if np.abs(waveform).max() < 0.01:
            return np.zeros(3, dtype=np.float32)
        return np.float32([waveform.mean(), waveform.std(), len(waveform)])


class BrokenExtractor(CountingExtractor):
    def embed(self, waveforms):
        raise MemoryError("half way")


@pytest.fixture
def root(tmp_path):
    """Files of 400, 480, 560 and 640 samples; one of zeros, one that is quiet, one of nan, one of text, one cut."""
    rng = np.random.default_rng(8)
    for i, name in enumerate("abcd"):
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, size=400 + 80 * i), RATE_HZ)
    soundfile.write(tmp_path / "zeros.wav", np.zeros(500), RATE_HZ)
    soundfile.write(tmp_path / "quiet.wav", np.full(500, 1e-3), RATE_HZ)
    soundfile.write(tmp_path / "nan.wav", np.full(500, np.nan), RATE_HZ, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "short.wav", rng.uniform(-0.5, 0.5, size=1_000), RATE_HZ)
    return tmp_path


def block_of(root, *names, **lengths):
    """One stretch a file, whole; `lengths` are those that a header promised."""

    def stretch(name):
        file = root / f"{name}.wav"
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        duration_s = lengths.get(name) or (1.0 if name == "text" else soundfile.info(file).duration)
        return Stretch(file=file, content_sha256=sha, start_s=0.0, duration_s=duration_s)

    return [stretch(name) for name in names]


def filed(store):
    """The rows of the only block."""
    (file,) = store.files()
    return pq.read_table(file).to_pylist()


@pytest.fixture
def store(tmp_path):
    return BlockStore(tmp_path / "blocks")


@pytest.mark.parametrize("batch_s", [0.0, 0.06, 10.0])
@pytest.mark.parametrize("decoders", [1, 3])
def test_vectors_come_in_the_order_of_the_block_however_it_is_decoded_and_batched(root, store, batch_s, decoders):
    block = block_of(root, "d", "a", "c", "b")
    extractor = CountingExtractor(batch_s)
    done = embed_block(block, extractor, store, decoders=decoders)
    sound = [soundfile.read(stretch.file, dtype="float32")[0] for stretch in block]
    expected = CountingExtractor().embed(sound)
    np.testing.assert_array_equal([row["vector"] for row in filed(store)], expected)
    batched = {0.0: [[640], [400], [560], [480]], 0.06: [[640], [400], [560], [480]], 10.0: [[640, 400, 560, 480]]}
    assert extractor.calls == batched[batch_s]
    assert (done.num_utterances, done.faults) == (4, ())
    assert done.audio_s == pytest.approx(2080 / RATE_HZ)
    assert 0 <= done.waited_s <= done.seconds


def test_a_stretch_that_cannot_be_heard_has_its_reason_and_costs_the_others_nothing(root, store):
    names = ("a", "zeros", "text", "quiet", "nan", "short", "b")
    done = embed_block(block_of(root, *names, short=0.5), CountingExtractor(10.0), store)
    rows = filed(store)
    assert [row["fault"] for row in rows] == [
        None,
        "silent",
        "unreadable",
        "no_speech",
        "unreadable",
        "truncated",
        None,
    ]
    assert [row["vector"][2] for row in rows] == [400, 0, 0, 0, 0, 0, 480]
    assert [row["samples_sha256"] is None for row in rows] == [row["fault"] is not None for row in rows]
    told = "\n".join(done.faults)
    assert len(done.faults) == 5
    for words in (
        "zeros.wav: all its samples are zero",
        "text.wav: cannot be decoded",
        "quiet.wav: no speech is heard in it",
        "nan.wav: holds samples that are not finite numbers",
        "short.wav: ends 0.38 s before its 0.50 s",
    ):
        assert words in told


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_a_fault_of_that_one_alone(root, store, value, monkeypatch):
    plain = CountingExtractor._embed
    monkeypatch.setattr(
        CountingExtractor,
        "_embed",
        lambda self, waveform: np.float32([1, value, 1]) if len(waveform) == 480 else plain(self, waveform),
    )
    done = embed_block(block_of(root, "a", "b", "c"), CountingExtractor(10.0), store)
    rows = filed(store)
    assert [row["fault"] for row in rows] == [None, "not_finite", None]
    assert rows[1]["vector"] == [0, 0, 0]
    assert (rows[1]["samples_sha256"], rows[1]["landmarks"]) == (None, [])
    assert done.faults == (f"{root}/b.wav: its vector is not finite",)


def test_a_block_of_nothing_but_faults_is_filed(root, store):
    extractor = CountingExtractor()
    embed_block(block_of(root, "zeros", "text"), extractor, store)
    assert [row["fault"] for row in filed(store)] == ["silent", "unreadable"]
    assert extractor.calls == []


def test_a_file_that_changed_since_the_scan_is_named_and_nothing_is_filed(root, store):
    block = block_of(root, "a", "b")
    shutil.copy(root / "c.wav", root / "b.wav")
    with pytest.raises(CorpusError, match=r"b\.wav changed since it was scanned; run again"):
        embed_block(block, CountingExtractor(), store)
    assert store.files() == []


def test_a_file_that_went_away_is_an_error_and_no_fault_of_its_audio(root, store):
    block = block_of(root, "a", "b")
    (root / "b.wav").unlink()
    with pytest.raises(CorpusError, match=r"b\.wav"):
        embed_block(block, CountingExtractor(), store)
    assert store.files() == []


def test_a_block_whose_network_fails_leaves_nothing(root, store):
    with pytest.raises(MemoryError):
        embed_block(block_of(root, "a", "b"), BrokenExtractor(), store)
    assert store.files() == []


def test_a_stretch_of_a_file_is_heard_alone(root, store):
    (whole,) = block_of(root, "d")
    parts = [
        Stretch(file=whole.file, content_sha256=whole.content_sha256, start_s=start, duration_s=length)
        for start, length in ((0.0, 0.05), (0.05, 0.03))
    ]
    embed_block(parts, CountingExtractor(), store)
    sound, _ = soundfile.read(whole.file, dtype="float32")
    expected = CountingExtractor().embed([sound[:400], sound[400:640]])
    np.testing.assert_array_equal([row["vector"] for row in filed(store)], expected)


def test_a_channel_of_a_file_is_heard_alone(root, store):
    both = np.random.default_rng(2).uniform(-0.5, 0.5, size=(400, 2)).astype(np.float32)
    soundfile.write(root / "two.wav", both, RATE_HZ, subtype="FLOAT")
    (whole,) = block_of(root, "two")
    embed_block([replace(whole, channel=channel) for channel in (0, 1, None)], CountingExtractor(), store)
    expected = CountingExtractor().embed([both[:, 0], both[:, 1], both.mean(axis=1)])
    np.testing.assert_allclose([row["vector"] for row in filed(store)], expected, rtol=1e-6)


@pytest.mark.parametrize("batch_s", [0.0, 10.0])
def test_sound_prints_are_of_what_the_extractor_is_given(root, store, batch_s):
    """Mono, at its rate: here of files of two channels at twice that."""
    rng, given = np.random.default_rng(4), []

    class Keeping(CountingExtractor):
        def embed(self, waveforms):
            given.extend(waveforms)
            return super().embed(waveforms)

    for name, num_samples in (("x", 16_000), ("y", 24_000)):
        sound = rng.uniform(-0.5, 0.5, (num_samples, 2)) * np.sin(np.arange(num_samples) / 900)[:, None]
        soundfile.write(root / f"{name}.wav", sound, 2 * RATE_HZ)
    embed_block(block_of(root, "zeros", "x", "text", "y"), Keeping(batch_s), store)
    rows = [row for row in filed(store) if row["fault"] is None]
    assert [len(waveform) for waveform in given] == [8_000, 12_000]
    assert [row["samples_sha256"] for row in rows] == [hashlib.sha256(one.tobytes()).hexdigest() for one in given]
    assert [row["landmarks"] for row in rows] == [landmarks(one, RATE_HZ).tolist() for one in given]
    assert all(row["landmarks"] for row in rows)


def test_the_same_samples_in_another_format_have_the_same_print(root, store):
    sound, _ = soundfile.read(root / "short.wav", dtype="int16")
    soundfile.write(root / "short.flac", sound, RATE_HZ)
    (wav,) = block_of(root, "short")
    sha = hashlib.sha256((root / "short.flac").read_bytes()).hexdigest()
    embed_block([wav, replace(wav, file=root / "short.flac", content_sha256=sha)], CountingExtractor(), store)
    one, other = filed(store)
    assert one["content_sha256"] != other["content_sha256"]
    assert one["samples_sha256"] == other["samples_sha256"]


@pytest.mark.parametrize(("promised_s", "fault"), [(0.199, None), (0.33, "truncated"), (0.26, "truncated")])
def test_a_stretch_may_end_a_little_early_but_not_by_half(root, store, promised_s, fault):
    """`short` has 0.125 s."""
    embed_block(block_of(root, "short", short=promised_s), CountingExtractor(), store)
    assert [row["fault"] for row in filed(store)] == [fault]


@pytest.mark.parametrize("decoders", [1, 3])
def test_decoding_runs_ahead_of_the_network(root, store, decoders, monkeypatch):
    """Each call waits until all that the next is given has been decoded: decoding that waits in turn never would be."""
    decoded, plain = [threading.Event() for _ in range(8)], embed.audio.decode

    def decode(*arguments, start_s, **options):
        waveform = plain(*arguments, start_s=start_s, **options)
        decoded[round(64 * start_s)].set()
        return waveform

    class Patient(CountingExtractor):
        def embed(self, waveforms):
            for event in decoded[: 3 * (len(self.calls) + 2)]:
                assert event.wait(timeout=60)
            return super().embed(waveforms)

    monkeypatch.setattr(embed.audio, "decode", decode)
    (one,) = block_of(root, "short")
    extractor = Patient(batch_s=3 / 64)
    embed_block(
        [replace(one, start_s=i / 64, duration_s=1 / 64) for i in range(8)], extractor, store, decoders=decoders
    )
    assert extractor.calls == [[125] * 3, [125] * 3, [125] * 2]


@pytest.mark.parametrize("batch_s", [0.0, 0.1])
def test_no_more_is_decoded_ahead_than_a_batch_and_a_file_for_each_thread(root, store, batch_s, monkeypatch):
    """Memory must not grow with the block."""
    ahead, most, lock, plain = [0], [0], threading.Lock(), embed.audio.decode

    def decode(*arguments, **options):
        with lock:
            ahead[0] += 1
            most[0] = max(most[0], ahead[0])
        return plain(*arguments, **options)

    class Taking(CountingExtractor):
        def embed(self, waveforms):
            with lock:
                ahead[0] -= len(waveforms)
            return super().embed(waveforms)

    monkeypatch.setattr(embed.audio, "decode", decode)
    (one,) = block_of(root, "b")  # 0.06 s
    block = [Stretch(file=one.file, content_sha256=one.content_sha256, start_s=0.0, duration_s=0.06)] * 50
    embed_block(block, Taking(batch_s), store, decoders=2)
    assert most[0] <= 2 + 2 + 2 * round(batch_s / 0.06)  # two threads, the one that is taken, and two batches


@given(st.lists(st.integers(1, 50), max_size=30), st.sets(st.integers(0, 29)), st.integers(0, 100))
def test_batches_hold_every_waveform_once_in_order_and_no_more_than_was_asked(lengths, faulty, most):
    extractor = CountingExtractor(most / RATE_HZ)
    silent, known = Fault(reason=Reason.SILENT), SoundPrint(samples_sha256="", landmarks=np.int64([]))
    heard = [
        Unheard(i, silent) if i in faulty else Heard(i, np.ones(n, dtype=np.float32), known)
        for i, n in enumerate(lengths)
    ]
    faults = {}
    batches = list(in_batches(iter(heard), faults, extractor))
    places = [one.place for batch in batches for one in batch]
    assert places == [i for i in range(len(lengths)) if i not in faulty]
    assert set(faults) == {i for i in faulty if i < len(lengths)}
    for batch in batches:
        total = sum(len(one.waveform) for one in batch)
        assert len(batch) == 1 or total <= most + 1e-6
    for one, two in itertools.pairwise(batches):
        assert sum(len(heard.waveform) for heard in one) + len(two[0].waveform) > most


def test_what_is_known_of_a_fault_stays_as_it_is():
    vectors = np.float32([[1, 0], [0, 0], [np.nan, 0], [0, 0]])
    known = {3: Fault(reason=Reason.SILENT)}
    found = unheard(vectors, known)
    assert {place: fault.reason for place, fault in found.items()} == {1: Reason.NO_SPEECH, 2: Reason.NOT_FINITE}
