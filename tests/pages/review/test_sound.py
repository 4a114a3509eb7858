"""Sound as a browser is given it: the samples of the stretch, its ranges, its outline."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate.audio import sha256_of
from curate.errors import CorpusError
from pages.review.sound import HEADER_BYTES, Sounds, UnsatisfiableError, byte_range, peaks, wav_bytes


def row(file, **changes):
    facts = {"path": file.name, "channel": None, "start_s": 0.0, "duration_s": None, "sample_rate_hz": 8000}
    return facts | {"content_sha256": sha256_of(file), "damage": None} | changes


@pytest.fixture
def stereo(tmp_path):
    """One second of two channels, of which only the second sounds."""
    rng = np.random.default_rng(1)
    samples = np.stack([np.zeros(8000), rng.uniform(-0.9, 0.9, 8000)], axis=1)
    soundfile.write(tmp_path / "call.flac", samples, 8000, subtype="PCM_16")
    return tmp_path / "call.flac", samples[:, 1]


def test_a_stretch_of_one_channel_is_what_another_reader_finds_in_the_wav(stereo):
    file, samples = stereo
    wav = Sounds().wav(row(file, channel=1, start_s=0.25, duration_s=0.5), str(file.parent))
    found, rate = soundfile.read(io.BytesIO(wav))
    assert rate == 8000
    assert found == pytest.approx(samples[2000:6000], abs=1e-4)
    info = soundfile.info(io.BytesIO(wav))
    assert (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1)


def test_what_is_too_loud_is_cut_and_what_is_no_number_is_silent():
    pcm = np.frombuffer(wav_bytes(np.float32([0, 1, -1, 2, -np.inf, np.nan, 0.5]), 8000), "<i2", offset=HEADER_BYTES)
    assert pcm.tolist() == [0, 32767, -32767, 32767, -32767, 0, 16384]


@pytest.mark.parametrize("path", ["../call.flac", "/etc/passwd", "a/../../call.flac"])
def test_no_path_leads_out_of_its_corpus(stereo, path):
    with pytest.raises(CorpusError, match="leads out of its corpus"):
        Sounds().wav(row(stereo[0], path=path), str(stereo[0].parent))


def test_a_file_that_was_changed_or_never_read_is_told(stereo):
    file, _ = stereo
    with pytest.raises(CorpusError, match="changed since it was scanned"):
        Sounds().wav(row(file, content_sha256="0" * 64), str(file.parent))
    with pytest.raises(CorpusError, match=r"call\.flac: missing; expected a sound file"):
        Sounds().wav(row(file, sample_rate_hz=None, damage="missing"), str(file.parent))


def test_what_was_listened_to_last_is_held_and_no_more_than_fits(stereo, monkeypatch):
    monkeypatch.setattr("pages.review.sound.HELD_BYTES", 20_000)
    file, _ = stereo
    sounds = Sounds()
    short = [row(file, start_s=at / 10, duration_s=0.5) for at in range(4)]  # 8 kB each: two fit
    first = sounds.wav(short[0], str(file.parent))
    assert sounds.wav(short[0], str(file.parent)) is first
    for one in short[1:]:
        sounds.wav(one, str(file.parent))
    assert len(sounds._held) == 2
    assert sounds.wav(short[0], str(file.parent)) == first


# ------------------------------------------------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, None),
        ("bytes=0-", (0, 99)),
        ("bytes=10-19", (10, 19)),
        ("bytes=90-500", (90, 99)),
        ("bytes=-30", (70, 99)),
        ("bytes=-500", (0, 99)),
        ("bytes=99-", (99, 99)),
        ("bytes=5-2", None),  # no range, so that all is sent
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=²-", None),
        ("bytes=" + "9" * 5000 + "-", None),
    ],
)
def test_ranges_of_a_hundred_bytes(asked, found):
    assert byte_range(asked, 100) == found


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_had(asked):
    with pytest.raises(UnsatisfiableError):
        byte_range(asked, 100)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_a_range_that_is_found_lies_within(first, last, num):
    try:
        found = byte_range(f"bytes={first}-{last}", num)
    except UnsatisfiableError:
        assert first >= num
    else:
        assert found == (None if last < first else (first, min(last, num - 1)))


# ----------------------------------------------------------------------------------------------------------- outline


def test_an_outline_worked_by_hand():
    wav = wav_bytes(np.float32([0, 1, -1, 0, 0.5, 0.25]), 3)
    assert peaks(wav, 3) == {"duration_s": 2.0, "low": [0, -127, 32], "high": [127, 0, 64]}
    assert peaks(wav_bytes(np.float32([]), 3)) == {"duration_s": 0.0, "low": [], "high": []}


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60), st.integers(1, 20))
def test_an_outline_holds_every_sample_between_its_ends(samples, num):
    found = peaks(wav_bytes(np.float32(samples), 8000), num)
    bars = min(num, len(samples))
    assert len(found["low"]) == len(found["high"]) == bars
    edges = [at * len(samples) // bars for at in range(bars)] + [len(samples)]
    for low, high, start, end in zip(found["low"], found["high"], edges, edges[1:], strict=False):
        assert low == pytest.approx(127 * min(samples[start:end]), abs=0.51)
        assert high == pytest.approx(127 * max(samples[start:end]), abs=0.51)
