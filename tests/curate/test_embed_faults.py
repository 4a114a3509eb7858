"""What is told of audio that cannot be heard, the same whichever step meets it first; and what is heard once."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate import audio, embed, vectors
from curate.audio import probe_header_of, probe_of
from curate.blocks import BlockStore, SoundPrint, Stretch
from curate.catalog import Catalog, rows_of
from curate.decisions import Author
from curate.embed import embed_block
from curate.errors import CorpusError
from curate.schema import UTTERANCES
from curate.vectors import embedding_rows, plan, without_vector

RATE_HZ = 16_000
AUTHOR = Author(rule="extractor mean", step="embed", run_id="0123456789ab")


class Mean:
    """Mean, spread and length of a waveform."""

    name, fingerprint, sample_rate_hz, dimension = "mean", "mean-v1", RATE_HZ, 3
    min_same_person, min_one_person = 0.9, 0.5

    def __init__(self, batch_s=0.0):
        self.batch_s = batch_s

    def embed(self, waveforms):
        return np.float32([[waveform.mean(), waveform.std(), len(waveform)] for waveform in waveforms])


def noise(num_samples, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (num_samples, channels)).astype(np.float32)


def encoded(samples, kind, rate_hz=RATE_HZ):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind)
    return file.getvalue()


# ------------------------------------------------------------------------------------------------------------ reasons


WHOLE = {kind: encoded(noise(20_000), kind) for kind in ("FLAC", "WAV", "OGG")}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The bytes of a file -> the reason that a scan of its header, or else embedding, gives for it; None for none."""
    folder = tmp_path_factory.mktemp("cut")

    def reason(content, name="cut"):
        file = folder / name
        file.write_bytes(content)
        seen = probe_header_of(content)
        if seen.damage is not None:
            return seen.damage
        whole = Stretch(file=file, content_sha256=seen.content_sha256, start_s=0.0, duration_s=seen.duration_s)
        store = BlockStore(folder / "blocks")
        (row,) = pq.read_table(store.folder / f"{embed_block([whole], Mean(), store).block}.parquet").to_pylist()
        return row["fault"]

    return reason


@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("kept", [0.0, 0.0005, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999, 1.0])
def test_a_cut_file_has_the_reason_of_a_thorough_scan_where_only_embedding_finds_it(
    told, kind, kept, is_long, monkeypatch
):
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", -1 if is_long else 1 << 23)
    content = WHOLE[kind][: int(len(WHOLE[kind]) * kept)]
    assert told(content) == probe_of(content).damage


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(sorted(WHOLE)), kept=st.floats(0, 1), flipped=st.none() | st.floats(0, 1))
def test_wherever_a_file_is_cut_or_garbled_both_give_one_reason(told, kind, kept, flipped):
    content = bytearray(WHOLE[kind][: int(len(WHOLE[kind]) * kept)])
    if flipped is not None and len(content) > 5_000:
        content[4_999 + int((len(content) - 5_000) * flipped)] ^= 0xFF  # of the sound; a header may say anything
    assert told(bytes(content)) == probe_of(bytes(content)).damage


def test_a_flac_that_is_cut_half_way_is_truncated_to_both(told):
    half = WHOLE["FLAC"][: len(WHOLE["FLAC"]) // 2]
    assert probe_header_of(half).damage is None  # only decoding can tell
    assert told(half) == probe_of(half).damage == "truncated"


def test_what_is_no_sound_is_unreadable_to_both(tmp_path):
    file = tmp_path / "a.flac"
    file.write_bytes(b"This was meant to be speech.\n" * 50)
    with pytest.raises(audio.DamagedAudioError) as error:
        audio.decode(file)
    assert not isinstance(error.value, audio.TruncatedAudioError)
    assert probe_of(file.read_bytes()).damage == "unreadable"


# ------------------------------------------------------------------------------------------------------------- errors


def test_an_error_of_the_users_does_not_wait_for_what_was_to_be_decoded_ahead(tmp_path, monkeypatch):
    """The second file is held until all that has not begun is called off; nothing comes after it."""
    called_off, decoded, plain = Event(), [], audio.decode

    class Watched(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            called_off.set()
            super().shutdown(wait=wait)

    def decode(file, **asked):
        decoded.append(file.name)
        if len(decoded) > 1:
            assert called_off.wait(60)
        return plain(file, **asked)

    monkeypatch.setattr(embed, "ThreadPoolExecutor", Watched)
    monkeypatch.setattr(audio, "decode", decode)
    block = []
    for i in range(20):
        file = tmp_path / f"{i}.wav"
        file.write_bytes(encoded(noise(100, seed=i), "WAV"))
        known = "0" * 64 if i == 0 else hashlib.sha256(file.read_bytes()).hexdigest()
        block.append(Stretch(file=file, content_sha256=known, start_s=0.0, duration_s=100 / RATE_HZ))
    with pytest.raises(CorpusError, match=r"0\.wav changed since it was scanned"):
        embed_block(block, Mean(batch_s=100.0), BlockStore(tmp_path / "blocks"), decoders=1)
    assert decoded in (["0.wav"], ["0.wav", "1.wav"])


# ------------------------------------------------------------------------------------------------- the same samples


class Toy:
    """A catalog of utterances of one file, and all that a run does about its embeddings."""

    def __init__(self, folder, samples, rate_hz=RATE_HZ):
        self.folder, self.catalog, self.store = folder, Catalog(folder / "catalog"), BlockStore(folder / "blocks")
        (folder / "a.wav").write_bytes(encoded(samples, "WAV", rate_hz))
        self.known = {
            "corpus": "toy",
            "speaker_id": "toy/x",
            "path": "a.wav",
            "content_sha256": hashlib.sha256((folder / "a.wav").read_bytes()).hexdigest(),
            "sample_rate_hz": rate_hz,
            "num_channels": samples.shape[1],
            "num_samples": len(samples),
        }

    def planned(self, stretches):
        """What is to be computed of (start_s, duration_s, channel) of utterances 0, 1, ..."""
        names = ("start_s", "duration_s", "channel")
        rows = [
            self.known | {"utterance_id": f"toy/{i}"} | dict(zip(names, stretch, strict=True))
            for i, stretch in enumerate(stretches)
        ]
        told = rows_of(UTTERANCES, rows).sort_by("utterance_id")
        self.catalog.publish(UTTERANCES, told, part="toy", fingerprint="1")
        found = plan(self.catalog, self.store, {"toy": self.folder}, self.folder / "scratch")
        return [stretch for block in found.blocks(100) for stretch in block]

    def lengths(self):
        """The lengths that the vectors tell, in the order of ids."""
        scratch = self.folder / "scratch"
        found = embedding_rows(self.catalog, self.store, extractor="mean", dimension=3, scratch=scratch)
        lengths = [row["vector"][2] for batch in found.batches() for row in batch.to_pylist()]
        without, _ = without_vector(self.catalog, self.store, AUTHOR, scratch)
        assert not len(without)
        return lengths


def test_the_same_samples_are_heard_once_though_their_times_differ_by_rounding(tmp_path):
    toy = Toy(tmp_path, noise(40_000))
    block = toy.planned([(0.5, 1.0, None), (0.5000000001, 1.0000000001, 0), (0.4999999999, 0.9999999999, None)])
    assert [(one.start_s, one.duration_s, one.channel) for one in block] == [(0.5, 1.0, None)]
    embed_block(block, Mean(), toy.store)
    assert toy.lengths() == [16_000] * 3


def test_a_sample_more_is_another_stretch_and_so_is_a_channel_of_two(tmp_path):
    step = 1 / RATE_HZ
    toy = Toy(tmp_path, noise(40_000, channels=2))
    asked = [(0.5, 1.0, None), (0.5 + step, 1.0, None), (0.5, 1.0 + step, None), (0.5, 1.0, 0), (0.5, 1.0, 1)]
    block = toy.planned(asked)
    assert sorted((one.start_s, one.duration_s, one.channel) for one in block if one.channel is None) == sorted(
        asked[:3]
    )
    assert {one.channel for one in block} == {None, 0, 1}
    embed_block(block, Mean(), toy.store)
    assert toy.lengths() == [16_000, 16_000, 16_001, 16_000, 16_000]


@settings(deadline=None, max_examples=25)
@given(
    rate_hz=st.sampled_from([8_000, 11_025, 16_000, 44_100]),
    stretches=st.lists(st.tuples(st.floats(0, 0.5), st.floats(0.01, 0.4)), min_size=1, max_size=6),
)
@example(16_000, [(0.5 / 16_000, 0.1), (1.5 / 16_000, 0.1), (0.0, 0.1)])  # halves, which Python rounds to even
def test_two_stretches_are_one_where_the_decoder_gives_the_same_samples(tmp_path_factory, rate_hz, stretches):
    toy = Toy(tmp_path_factory.mktemp("toy"), noise(rate_hz), rate_hz)
    whole, _ = soundfile.read(toy.folder / "a.wav", dtype="float32")
    cut = [
        whole[round(start_s * rate_hz) :][: round(duration_s * rate_hz)].tobytes() for start_s, duration_s in stretches
    ]
    block = toy.planned([(*stretch, None) for stretch in stretches])
    assert len(block) == len(set(cut))
    given = [audio.decode(one.file, start_s=one.start_s, duration_s=one.duration_s).tobytes() for one in block]
    assert sorted(given) == sorted(set(cut))


def test_a_block_of_before_is_found_where_its_times_were_whole_samples(tmp_path):
    """A whole file of a rate that no decimal divides: its length is what the scan says, to the last bit."""
    toy = Toy(tmp_path, noise(12_345), 44_100)
    before = Stretch(
        file=Path("x"), content_sha256=toy.known["content_sha256"], start_s=0.0, duration_s=12_345 / 44_100
    )
    known = {0: SoundPrint(samples_sha256="1f", landmarks=np.int64([1]))}
    toy.store.add([before], np.float32([[1, 2, 3]]), known, {})
    assert toy.planned([(0.0, 12_345 / 44_100, None)]) == []


# ---------------------------------------------------------------------------------------------- blocks in a store


def test_blocks_in_a_store_are_copied_once_for_all_that_a_step_asks_and_anew_when_there_are_others(
    tmp_path, monkeypatch
):
    toy = Toy(tmp_path, noise(40_000))
    monkeypatch.setattr(vectors, "is_local", lambda path: path.parent != toy.store.folder)
    opened, plain = [], vectors.read_batches

    def read_batches(path, *arguments, **options):
        if path.parent == toy.store.folder:
            opened.append(path.stem)
        return plain(path, *arguments, **options)

    monkeypatch.setattr(vectors, "read_batches", read_batches)
    first = embed_block(toy.planned([(0.0, 1.0, None)]), Mean(), toy.store).block
    assert toy.lengths() == [16_000]
    assert opened == [first]
    second = embed_block(toy.planned([(0.0, 1.0, None), (0.5, 0.5, None)]), Mean(), toy.store).block
    assert opened == [first]
    assert toy.lengths() == [16_000, 8_000]
    assert sorted(opened) == sorted([first, first, second])
