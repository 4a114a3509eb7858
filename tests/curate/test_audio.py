"""What a look into a file promises: what is there is measured, and what was cut, garbled or emptied is never sound."""

import hashlib
import io
import math
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from curate import audio
from curate.audio import Probe, decode, probe, probe_header, sha256_of
from curate.errors import CorpusError, DamagedAudioError

RATE = 16_000
MEASURED = ("sample_rate_hz", "num_channels", "num_samples")


def tone(num=8000, *, rate=RATE, peak=0.5, hz=440.0):
    return (peak * np.sin(2 * np.pi * hz * np.arange(num) / rate)).astype(np.float32)


def encoded(samples, kind="WAV", *, rate=RATE, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def noise(num, *, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num).astype(np.float32)


WAV, FLAC = encoded(noise(3000)), encoded(noise(20_000), "FLAC")  # noise: no frame of it compresses away


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    """Bytes -> what `probe` says of a file of them."""
    file = tmp_path_factory.mktemp("audio") / "file.wav"

    def look(content):
        file.write_bytes(content)
        return probe(file)

    return look


# -------------------------------------------------------------------------------------------------------------- good


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "FLAC", "OGG", "MP3", "NIST", "AIFF"])
def test_a_sound_file_is_measured(looked_at, kind):
    content = encoded(tone(), kind)
    found = looked_at(content)
    assert (found.sample_rate_hz, found.num_channels, found.duration_s) == (RATE, 1, 0.5)
    assert (found.damage, found.detail) == (None, "")
    assert found.peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=1)  # MP3 overshoots
    assert found.content_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"]
)
def test_a_wav_is_sound_whole_and_truncated_when_cut_whatever_its_encoding(looked_at, subtype):
    content = encoded(tone(), subtype=subtype)
    assert looked_at(content).damage is None
    assert looked_at(content[: len(content) // 2]).damage == "truncated"


@settings(deadline=None, max_examples=40)
@given(samples=st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40), channels=st.integers(1, 3))
def test_length_and_peak_are_those_of_the_samples(looked_at, samples, channels):
    frames = np.repeat(np.int16(samples)[:, None], channels, axis=1)
    found = looked_at(encoded(frames))
    loudest = max(abs(sample) for sample in samples) / 2**15
    assert found.duration_s == pytest.approx(len(samples) / RATE)
    assert found.num_channels == channels
    assert found.peak_dbfs == (pytest.approx(20 * math.log10(loudest), abs=1e-4) if loudest else -math.inf)


def test_a_long_file_is_measured_block_by_block_to_its_end(looked_at):
    samples = np.zeros(600_001, dtype=np.float32)
    samples[-1] = -0.25
    found = looked_at(encoded(samples))
    assert found.duration_s == 600_001 / RATE
    assert found.peak_dbfs == pytest.approx(20 * math.log10(0.25))


def test_digital_silence_is_a_sound_file_at_minus_infinity(looked_at):
    found = looked_at(encoded(np.zeros(800, dtype=np.float32)))
    assert (found.damage, found.peak_dbfs, found.duration_s) == (None, -math.inf, 0.05)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFF024])
def test_the_header_of_a_stream_announces_nothing_and_takes_nothing_away(looked_at, length):
    at = WAV.index(b"data") + 4
    found = looked_at(WAV[:at] + struct.pack("<I", length) + WAV[at + 4 :])
    assert found.damage == (None if length else "empty")  # libsndfile reads length 0 as no samples


# ----------------------------------------------------------------------------------------------------------- damaged


@pytest.mark.parametrize("cut", [46, 100, 1000, -1000, -2, -1])
def test_a_cut_wav_is_truncated_and_its_missing_bytes_are_counted(looked_at, cut):
    found, missing = looked_at(WAV[:cut]), len(WAV) - len(WAV[:cut])
    assert (found.damage, found.detail) == ("truncated", f"{missing} bytes that its header announces are not there")
    assert found.duration_s == (len(WAV[:cut]) - 44) // 2 / RATE


@pytest.mark.parametrize("cut", [1024, 1025, 2000, -1])
@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW"])
def test_a_cut_sphere_is_truncated_and_its_missing_bytes_are_counted(looked_at, subtype, cut):
    whole = encoded(noise(3000), "NIST", subtype=subtype)
    found = looked_at(whole[:cut])
    detail = f"{len(whole) - len(whole[:cut])} bytes that its header announces are not there"
    assert (found.damage, found.detail) == ("truncated", detail)


def test_sphere_that_is_compressed_by_shorten_is_told_as_such(looked_at):
    whole = encoded(noise(300), "NIST").replace(
        b"sample_coding -s3 pcm", b"sample_coding -s26 pcm,embedded-shorten-v2.00"
    )
    found = looked_at(whole[:1024] + b"ajkg\x02" + bytes(400))
    detail = "SPHERE compressed by shorten; expected what `sph2pipe` makes of it"
    assert (found.damage, found.detail) == ("unreadable", detail)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_flac_is_truncated_and_holds_about_what_was_left(looked_at, share):
    found = looked_at(FLAC[: int(len(FLAC) * share)])
    assert found.damage == "truncated"
    assert found.detail.endswith("of 20000 samples can be decoded")
    assert share * 20_000 - 5200 < found.duration_s * RATE <= share * 20_000  # a frame holds 4096, a block 1024


@settings(deadline=None, max_examples=150)
@given(content=st.sampled_from([WAV, FLAC]), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_never_sound(looked_at, content, share):
    assert looked_at(content[: int(len(content) * share)]).damage in {"empty", "unreadable", "truncated"}


@pytest.mark.parametrize(
    ("content", "damage", "detail"),
    [
        (b"", "empty", "0 bytes"),
        (
            b"This was meant to be speech.\n" * 50,
            "unreadable",
            "no audio that libsndfile knows (Format not recognised)",
        ),
        (b"<html>404</html>", "unreadable", "no audio that libsndfile knows (Format not recognised)"),
        (WAV[:20], "unreadable", "no audio that libsndfile knows"),
        (encoded(np.zeros(0, dtype=np.float32)), "empty", "0 samples"),
        (WAV[:44], "truncated", "6000 bytes that its header announces are not there"),
        (
            encoded(np.float32([0, np.nan, 1]), subtype="FLOAT"),
            "unreadable",
            "holds samples that are not finite numbers",
        ),
        (encoded(np.float32([0, -np.inf]), subtype="FLOAT"), "unreadable", "holds samples that are not finite numbers"),
        (FLAC[:21] + bytes([FLAC[21] & 0xF0, 0, 0, 0, 0]) + FLAC[26:], "unreadable", "does not say how many samples"),
    ],
    ids=["0 bytes", "text", "html", "half a header", "0 samples", "header alone", "nan", "inf", "stream flac"],
)
def test_damage_is_named_and_said_in_words(looked_at, content, damage, detail):
    found = looked_at(content)
    assert found.damage == damage
    assert detail in found.detail
    assert found.content_sha256 == hashlib.sha256(content).hexdigest()


@settings(deadline=None, max_examples=150)
@given(content=st.binary(max_size=200), head=st.sampled_from([b"", b"RIFF", WAV[:12], WAV[:40], b"fLaC", FLAC[:42]]))
def test_any_bytes_are_answered(looked_at, content, head):
    found = looked_at(head + content)
    assert isinstance(found, Probe)
    assert (found.damage is None) == (found.detail == "")


@settings(deadline=None, max_examples=250)
@given(
    content=st.sampled_from([WAV, FLAC]),
    changes=st.lists(st.tuples(st.integers(0, 119) | st.integers(0, 5999), st.integers(0, 255)), max_size=8),
    share=st.floats(0, 1),
)
def test_damaged_bytes_are_answered_with_numbers_that_can_be(looked_at, content, changes, share):
    garbled = bytearray(content)
    for at, value in changes:
        garbled[at] = value
    found = looked_at(bytes(garbled[: int(len(garbled) * share)]))
    assert found.duration_s is None or found.duration_s >= 0
    assert found.peak_dbfs is None or not math.isnan(found.peak_dbfs)
    assert found.damage is None or found.damage in {"empty", "unreadable", "truncated"}


def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(tmp_path):
    for path, why in ((tmp_path / "none.wav", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(CorpusError, match=rf"{path}: {why}; expected a readable file$"):
            probe(path)


# ------------------------------------------------------------------------------------------------------------ header


@pytest.fixture(scope="module")
def looked_at_both_ways(tmp_path_factory):
    """Bytes -> what a look at the header alone says, and what `probe` says."""
    file = tmp_path_factory.mktemp("header") / "file"

    def look(content):
        file.write_bytes(content)
        return probe_header(file), probe(file)

    return look


def but_for_the_peak(found):
    return [getattr(found, name) for name in ("content_sha256", *MEASURED, "damage", "detail")]


@settings(deadline=None, max_examples=80)
@given(
    kind=st.sampled_from(
        [
            *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW", "IMA_ADPCM")),
            *(("NIST", subtype) for subtype in ("PCM_16", "ULAW", "ALAW")),
            *((kind, None) for kind in ("WAVEX", "FLAC", "OGG", "MP3", "AIFF", "AU")),
        ]
    ),
    num=st.integers(1, 3000),
    channels=st.integers(1, 2),
)
def test_a_look_at_the_header_agrees_with_a_look_at_the_whole(looked_at_both_ways, kind, num, channels):
    content = encoded(np.repeat(noise(num)[:, None], channels, axis=1), kind[0], subtype=kind[1])
    quick, thorough = looked_at_both_ways(content)
    assert but_for_the_peak(quick) == but_for_the_peak(thorough)
    assert quick.damage is None


@pytest.mark.parametrize("cut", [44, 46, 100, -1000, -2, -1])
def test_a_look_at_the_header_finds_that_a_wav_is_cut(looked_at_both_ways, cut):
    quick, thorough = looked_at_both_ways(WAV[:cut])
    assert but_for_the_peak(quick) == but_for_the_peak(thorough)
    assert quick.damage == "truncated"


@pytest.mark.parametrize("content", [b"", b"no sound", encoded(noise(0)), WAV[:20], FLAC[:20]])
def test_a_look_at_the_header_finds_what_is_no_sound(looked_at_both_ways, content):
    quick, thorough = looked_at_both_ways(content)
    assert quick == thorough
    assert quick.damage in {"empty", "unreadable"}


def test_a_look_at_the_header_decodes_nothing_and_knows_no_peak(tmp_path, monkeypatch):
    (tmp_path / "a.flac").write_bytes(FLAC[: len(FLAC) // 2])
    monkeypatch.setattr(audio.soundfile, "SoundFile", None)
    found = probe_header(tmp_path / "a.flac")
    assert (found.num_samples, found.peak_dbfs, found.damage) == (20_000, None, None)  # it cannot see that it is cut
    assert found.content_sha256 == sha256_of(tmp_path / "a.flac")


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=200), head=st.sampled_from([b"", b"RIFF", WAV[:12], WAV[:40], b"fLaC", FLAC[:42]]))
def test_a_look_at_the_header_answers_any_bytes(looked_at_both_ways, content, head):
    quick, _ = looked_at_both_ways(head + content)
    assert (quick.damage is None) == (quick.detail == "")
    assert quick.damage is not None or quick.num_samples > 0


# ------------------------------------------------------------------------------------------------------------ decode


@pytest.fixture
def file(tmp_path):
    def write(samples, rate=RATE, name="a.wav"):
        soundfile.write(tmp_path / name, samples, rate, subtype="PCM_16" if name.endswith("flac") else "FLOAT")
        return tmp_path / name

    return write


def test_channels_are_averaged(file):
    samples = np.float32([[0.5, -0.5, 0.3], [0.2, 0.4, 0.0]])
    assert decode(file(samples), sample_rate_hz=RATE) == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_one_channel_is_picked_by_its_number(file, name):
    both = np.stack([noise(1000), noise(1000, seed=1)], axis=1)
    path = file(both, name=name)
    for channel in (0, 1):
        assert decode(path, channel=channel) == pytest.approx(both[:, channel], abs=2e-5)
        assert decode(path, channel=channel, start_s=500 / RATE) == pytest.approx(both[500:, channel], abs=2e-5)


@pytest.mark.parametrize(("channels", "asked"), [(1, 1), (2, 2), (2, 70_000)])
def test_a_channel_that_is_not_there_is_refused(file, channels, asked):
    path = file(np.repeat(noise(100)[:, None], channels, axis=1))
    with pytest.raises(CorpusError, match=rf"^{path}: no channel {asked}; it has {channels}, counted from 0$"):
        decode(path, channel=asked)


def test_what_has_the_asked_rate_is_returned_as_it_is(file):
    samples = noise(1000)
    found = decode(file(samples), sample_rate_hz=RATE)
    assert found.dtype == np.float32
    assert np.array_equal(found, samples)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_resampling_agrees_with_scipy_away_from_the_ends(file, rate):
    samples = tone(rate // 2, rate=rate, hz=600) + tone(rate // 2, rate=rate, hz=1500, peak=0.2)
    ours = decode(file(samples, rate), sample_rate_hz=RATE)
    common = math.gcd(rate, RATE)
    theirs = resample_poly(samples.astype(np.float64), RATE // common, rate // common, window=("kaiser", 12.0))
    assert (ours.dtype, len(ours)) == (np.float32, RATE // 2)
    assert np.abs(ours - theirs[: len(ours)])[800:-800].max() < 2e-3


@settings(deadline=None, max_examples=60)
@given(start=st.integers(0, 120), length=st.none() | st.integers(1, 120))
def test_a_stretch_is_a_slice_of_the_whole(stretched, start, length):
    path, samples = stretched
    duration_s = None if length is None else length / RATE
    found = decode(path, sample_rate_hz=RATE, start_s=start / RATE, duration_s=duration_s)
    assert np.array_equal(found, samples[start:][:length])


@pytest.fixture(scope="module")
def stretched(tmp_path_factory):
    path, samples = tmp_path_factory.mktemp("stretch") / "a.wav", noise(100)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path, samples


def test_a_stretch_of_a_flac_is_the_same_slice(file):
    path = file(noise(20_000), name="a.flac")
    whole = decode(path, sample_rate_hz=RATE)
    assert np.array_equal(decode(path, sample_rate_hz=RATE, start_s=0.5, duration_s=0.25), whole[8000:12_000])


def test_a_stretch_beyond_the_end_is_empty_at_any_rate(file):
    for rate in (RATE, 8000):
        assert len(decode(file(noise(100)), sample_rate_hz=rate, start_s=1.0)) == 0


@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize("content", [b"", b"no sound", FLAC[: len(FLAC) // 2]])
def test_what_cannot_be_decoded_is_damage_that_names_it(tmp_path, content, is_long, monkeypatch):
    path = tmp_path / "a.flac"
    path.write_bytes(content)
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", -1 if is_long else 1 << 20)
    with pytest.raises(DamagedAudioError, match=rf"^{path}: cannot be decoded \([^\n]+\); expected a sound file$"):
        decode(path, sample_rate_hz=RATE, content_sha256=sha256_of(path))


@pytest.mark.parametrize("is_long", [False, True])
def test_a_channel_that_is_not_there_is_damage(file, is_long, monkeypatch):
    path = file(noise(100))
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", -1 if is_long else 1 << 20)
    with pytest.raises(DamagedAudioError, match=rf"^{path}: no channel 1; it has 1, counted from 0$"):
        decode(path, channel=1)


@pytest.mark.parametrize("is_long", [False, True])
def test_what_another_try_may_read_is_no_damage(file, tmp_path, is_long, monkeypatch):
    """A file that is not there, is a folder, is of other bytes, or vanishes between its hash and its sound."""
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", -1 if is_long else 1 << 20)
    for path in (tmp_path / "none.wav", tmp_path):
        with pytest.raises(CorpusError, match=rf"^{path}: [^\n]+; expected a readable file$") as told:
            decode(path)
        assert isinstance(told.value.__cause__, OSError)
        assert type(told.value) is CorpusError
    path = file(noise(100))
    with pytest.raises(CorpusError, match="changed since it was scanned") as told:
        decode(path, content_sha256="0" * 64)
    assert type(told.value) is CorpusError
    if is_long:
        monkeypatch.setattr(audio, "_require_hash", lambda path, *_: path.unlink())
        with pytest.raises(CorpusError, match=rf"^{path}: [^\n]+; expected a readable file$") as told:
            decode(path)
        assert isinstance(told.value.__cause__, OSError)
        assert type(told.value) is CorpusError


def test_a_file_is_decoded_only_where_its_bytes_have_the_hash_that_is_asked_for(file):
    path = file(noise(100))
    known = sha256_of(path)
    assert len(decode(path, sample_rate_hz=RATE, content_sha256=known)) == 100
    path = file(noise(100, seed=1))
    with pytest.raises(CorpusError, match=rf"^{path} changed since it was scanned; run again[^\n]*$"):
        decode(path, sample_rate_hz=RATE, content_sha256=known)


def test_what_is_decoded_is_what_was_hashed(file, monkeypatch):
    """Even where the file changes in between: it is read once."""
    path, later = file(noise(100)), noise(100, seed=1)
    expected, known, read_bytes = decode(path, sample_rate_hz=RATE), sha256_of(path), type(path).read_bytes

    def read_and_change(self):
        content = read_bytes(self)
        file(later)
        return content

    monkeypatch.setattr(type(path), "read_bytes", read_and_change)
    assert np.array_equal(decode(path, sample_rate_hz=RATE, content_sha256=known), expected)


@pytest.fixture
def long(monkeypatch):
    """Every file is a long one."""
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", 0)


@pytest.mark.parametrize(("start", "length"), [(0, None), (500, None), (0, 300), (700, 100), (900, 900), (5000, None)])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.sph"])
def test_a_stretch_of_a_long_file_is_that_of_a_short_one(file, monkeypatch, name, start, length):
    path = file(noise(1000), name="a.flac" if name == "a.flac" else "a.wav")
    if name == "a.sph":
        path.write_bytes(encoded(noise(1000), "NIST"))
    stretch = {"start_s": start / RATE, "duration_s": length and length / RATE}
    short = decode(path, **stretch)
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", 0)
    assert np.array_equal(decode(path, content_sha256=sha256_of(path), **stretch), short)
    assert len(short) == len(range(1000)[start:][:length])


def test_a_long_file_is_hashed_once_for_all_of_its_stretches(file, long, monkeypatch):
    path = file(noise(1000))
    known, hashed = sha256_of(path), []
    monkeypatch.setattr(audio, "sha256_of", lambda one: hashed.append(one) or sha256_of(one))
    for start in range(10):
        decode(path, start_s=start / RATE, duration_s=1 / RATE, content_sha256=known)
    assert hashed == [path]


def test_a_long_file_that_changed_is_refused(file, long):
    path = file(noise(1000))
    known = sha256_of(path)
    assert len(decode(path, content_sha256=known)) == 1000
    file(noise(1001))
    with pytest.raises(CorpusError, match=rf"^{path} changed since it was scanned; run again[^\n]*$"):
        decode(path, content_sha256=known)


def test_a_long_file_that_is_no_sound_is_an_error_that_names_it(tmp_path, long):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(CorpusError, match=rf"^{tmp_path}/a.wav: cannot be decoded \([^\n]+\); expected a sound file$"):
        decode(tmp_path / "a.wav", content_sha256=sha256_of(tmp_path / "a.wav"))


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.real
@pytest.mark.parametrize(("path", "num"), [("LibriSpeech", 220), ("emodb", 535), ("fsdd", 600)])
def test_real_speech_is_sound_and_as_long_as_its_header_says(corpora, path, num):
    files = [file for file in (corpora / path).rglob("*") if file.suffix in {".flac", ".wav"}]
    assert len(files) == num
    for file in files:
        found, said = probe(file), soundfile.info(file)
        assert (found.damage, found.sample_rate_hz, found.duration_s) == (None, said.samplerate, said.duration)
        assert -40 < found.peak_dbfs <= 0
