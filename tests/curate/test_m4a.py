"""What AAC in MP4 promises: as long and as much in step as what was encoded; what is garbled is told, never fatal."""

import io
import math

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import audio, m4a
from curate.audio import decode, probe, probe_header, sha256_of
from curate.errors import CorpusError

RATE = 16_000
A_MS = RATE // 1000 + 1


def speechlike(num, channels=1, *, rate=RATE):
    """(N, channels): noise without the highest notes, which every encoder keeps in step."""
    noise = np.random.default_rng(num).normal(size=(num + 40, channels))
    smooth = np.stack([np.convolve(one, np.hanning(12), "same") for one in noise.T], axis=1)[20:][:num]
    return (0.4 * smooth / np.abs(smooth).max()).astype(np.float32)


def written(path, samples, *, codec="aac", rate=RATE, movflags="faststart", tags=None):
    """Encode (N, channels) into an MP4."""
    layout = {1: "mono", 2: "stereo", 8: "7.1"}[samples.shape[1]]
    with av.open(str(path), "w", format="mp4", options={"movflags": movflags} if movflags else {}) as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        blocks = av.AudioResampler(stream.format.name, layout, rate, frame_size=stream.frame_size or None)
        for block in (*blocks.resample(frame), *blocks.resample(None), None):
            container.mux(stream.encode(block))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("m4a")


@pytest.fixture(scope="module")
def source():
    return speechlike(30_000)


@pytest.fixture(scope="module")
def whole(folder, source):
    """A file of `source`."""
    return written(folder / "whole.m4a", source, tags={"title": "ngày mai"})


# --------------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("num", [1000, 1024, 1025, 12_345])
def test_it_is_as_long_as_what_was_encoded(folder, num, rate):
    found = m4a.decode(written(folder / "a.m4a", speechlike(num), rate=rate).read_bytes())
    assert (found.sample_rate_hz, found.samples.dtype, found.samples.shape[1]) == (rate, np.float32, 1)
    assert abs(len(found.samples) - num) <= rate // 1000 + 1  # an MP4 counts the length of its sound in milliseconds
    assert found.promised == len(found.samples)
    assert not found.is_cut


def test_it_is_in_step_with_what_was_encoded(source, whole):
    heard = m4a.decode(whole.read_bytes()).samples[: len(source), 0]
    around = np.arange(-1200, 1201)  # an encoder runs ahead by 1,024, which must be taken away
    likeness = [np.dot(np.roll(heard, lag)[2000:-2000], source[2000:-2000, 0]) for lag in around]
    assert around[int(np.argmax(likeness))] == 0
    assert np.corrcoef(heard, source[:, 0])[0, 1] > 0.95


def test_channels_keep_their_places(folder):
    both = speechlike(8000, 2) * np.float32([1, 0.1])
    found = m4a.decode(written(folder / "a.m4a", both).read_bytes()).samples
    assert found.shape[1] == 2
    assert np.abs(found[:, 0]).max() > 5 * np.abs(found[:, 1]).max() > 0


@pytest.mark.parametrize(("codec", "error"), [("alac", 1e-6), ("flac", 2e-5), ("pcm_s16le", 2e-5), ("pcm_s24le", 1e-6)])
@pytest.mark.parametrize("channels", [1, 2])
def test_whole_numbers_are_scaled_to_one(folder, codec, error, channels):
    samples = speechlike(5000, channels)
    found = m4a.decode(written(folder / "a.m4a", samples, codec=codec).read_bytes())
    assert found.samples.shape == samples.shape
    assert np.abs(found.samples - samples).max() < error


def test_bytes_without_a_sign_are_centred():
    frame = av.AudioFrame.from_ndarray(np.uint8([[0, 128, 255, 64]]), format="u8", layout="stereo")
    assert m4a._floats(frame).tolist() == [[-1, 0], [127 / 128, -0.5]]


@pytest.mark.parametrize("movflags", ["", "frag_keyframe+empty_moov", "frag_keyframe+empty_moov+dash"])
def test_it_is_read_whatever_the_order_of_its_boxes(folder, source, movflags):
    found = probe(written(folder / "a.m4a", source, movflags=movflags))
    assert found.damage is None
    assert len(source) <= found.num_samples <= len(source) + 1024 + A_MS


# --------------------------------------------------------------------------------------------------------------- probe


def test_a_look_measures_it(whole, source):
    found = probe(whole)
    assert (found.sample_rate_hz, found.num_channels, found.damage, found.detail) == (RATE, 1, None, "")
    assert abs(found.num_samples - len(source)) <= A_MS
    assert found.peak_dbfs == pytest.approx(20 * math.log10(0.4), abs=3)
    assert found.content_sha256 == sha256_of(whole)
    assert probe_header(whole) == found  # no plain header: it is decoded all the same


def test_one_whose_header_says_nothing_of_its_length_holds_what_can_be_decoded(folder, whole, source):
    content = bytearray(whole.read_bytes())
    duration = content.index(b"mdhd") + 20
    content[duration : duration + 4] = bytes(4)
    (folder / "a.m4a").write_bytes(content)
    assert m4a.decode(bytes(content)).promised == 0
    found = probe(folder / "a.m4a")
    assert (found.damage, found.detail) == (None, "")
    assert found.num_samples == pytest.approx(len(source), abs=2048)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_one_that_is_cut_is_truncated_and_holds_about_what_was_left(folder, whole, source, share):
    content = whole.read_bytes()
    (folder / "cut.m4a").write_bytes(content[: int(len(content) * share)])
    found = probe(folder / "cut.m4a")
    assert found.damage == "truncated"
    assert found.detail == f"{found.num_samples} of {m4a.decode(content).promised} samples can be decoded"
    assert found.num_samples == pytest.approx(share * len(source), abs=4096)


def test_one_that_is_cut_before_its_index_is_unreadable(folder, source):
    content = written(folder / "late.m4a", source, movflags="").read_bytes()  # the index comes last
    (folder / "late.m4a").write_bytes(content[: content.index(b"stsd")])
    found = probe(folder / "late.m4a")
    assert (found.damage, found.num_samples) == ("unreadable", None)
    assert "no sound that FFmpeg knows" in found.detail


@pytest.mark.parametrize("content", [b"\0\0\0\x1cftyp", b"\0\0\0\x1cftypM4A " + bytes(500), b"\0\0\0\x08ftypjunk" * 40])
def test_junk_is_unreadable(folder, content):
    (folder / "junk.m4a").write_bytes(content)
    found = probe(folder / "junk.m4a")
    assert (found.damage, found.sample_rate_hz) == ("unreadable", None)
    with pytest.raises(CorpusError, match=rf"^{folder}/junk.m4a: cannot be decoded \([^\n]+\); expected a sound file$"):
        decode(folder / "junk.m4a")


def test_eight_channels_are_refused_before_they_kill_the_process(folder):
    found = probe(written(folder / "a.m4a", speechlike(3000, 8)))
    assert (found.damage, found.detail) == (
        "unreadable",
        "no sound that FFmpeg knows (8 channels; at most 7 can be read)",
    )


def test_a_codec_that_nobody_knows_is_unreadable(folder, whole):
    (folder / "a.m4a").write_bytes(whole.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    found = probe(folder / "a.m4a")
    assert (found.damage, found.num_channels) == ("unreadable", None)


def test_a_title_that_is_no_utf_8_does_no_harm(folder, whole):
    (folder / "a.m4a").write_bytes(whole.read_bytes().replace("ngày".encode(), b"n\xff\xfey "))
    assert probe(folder / "a.m4a").damage is None


@settings(deadline=None, max_examples=250)
@given(
    changes=st.lists(st.tuples(st.integers(8, 950) | st.integers(8, 9000), st.integers(0, 255)), max_size=6),
    share=st.just(1.0) | st.floats(0.01, 1),
)
def test_garbled_bytes_are_answered_with_numbers_that_can_be(folder, whole, changes, share):
    garbled = bytearray(whole.read_bytes())
    for at, value in changes:
        garbled[at] = value
    (folder / "garbled.m4a").write_bytes(garbled[: max(int(len(garbled) * share), 8)])
    found = probe(folder / "garbled.m4a")
    assert (found.damage is None) == (found.detail == "")
    assert (found.damage == "empty") == (found.num_samples == 0 and found.damage != "truncated")
    assert found.damage in (None, "unreadable", "truncated", "empty")
    assert found.sample_rate_hz is None or 0 < found.sample_rate_hz < 2**31
    assert found.peak_dbfs is None or not math.isnan(found.peak_dbfs)


# -------------------------------------------------------------------------------------------------------------- decode


@settings(deadline=None, max_examples=30)
@given(start=st.integers(0, 31_000), length=st.none() | st.integers(1, 31_000))
def test_a_stretch_is_a_slice_of_the_whole(whole, start, length):
    everything = m4a.decode(whole.read_bytes()).samples[:, 0]
    found = decode(whole, start_s=start / RATE, duration_s=None if length is None else length / RATE)
    assert np.array_equal(found, everything[start:][:length])


def test_a_channel_is_picked_and_one_that_is_not_there_is_refused(folder):
    path = written(folder / "two.m4a", speechlike(4000, 2))
    both = m4a.decode(path.read_bytes()).samples
    assert np.array_equal(decode(path, channel=1), both[:, 1])
    assert decode(path) == pytest.approx(both.mean(axis=1))
    with pytest.raises(CorpusError, match=rf"^{path}: no channel 2; it has 2, counted from 0$"):
        decode(path, channel=2)


@pytest.mark.parametrize("name", ["long.m4a", "long.M4A", "long.mp4", "long.wav"])
def test_a_long_one_is_the_same_whatever_it_is_called(folder, whole, monkeypatch, name):
    path = folder / name
    path.write_bytes(whole.read_bytes())
    short = decode(path, start_s=0.5, duration_s=0.5)
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", 1000)
    assert np.array_equal(decode(path, start_s=0.5, duration_s=0.5, content_sha256=sha256_of(path)), short)


def test_one_is_known_by_its_first_bytes(whole):
    assert m4a.is_m4a(whole.read_bytes())
    assert not any(m4a.is_m4a(content) for content in (b"", b"ftyp", b"RIFF\0\0\0\0WAVEfmt ", io.BytesIO().getvalue()))
