"""What reading a header promises: what libsndfile would say, and of anything else never more than "not known"."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.headers import HEAD_BYTES, Header, parse_header, read_header

PLAIN = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
    *(("WAVEX", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW")),
    *(("NIST", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW")),
    *(("FLAC", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
]
CUTTABLE = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAVEX", "FLOAT"), ("NIST", "PCM_16"), ("NIST", "ULAW")]
OTHER_ENCODINGS = [("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("OGG", "VORBIS"), ("MP3", None)]
ODD_CHUNK = b"LIST" + struct.pack("<I", 5) + b"odd!!\0"


def encoded(kind, subtype, *, num=300, channels=1, rate=16_000):
    file = io.BytesIO()
    noise = np.random.default_rng(num).uniform(-0.5, 0.5, (num, channels))
    soundfile.write(file, noise, rate, format=kind, subtype=subtype)
    return file.getvalue()


def of(content):
    return parse_header(content[:HEAD_BYTES], len(content))


def as_libsndfile(content):
    found = soundfile.info(io.BytesIO(content))
    return Header(found.samplerate, found.channels, found.frames)


# -------------------------------------------------------------------------------------------------------------- whole


@settings(deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(PLAIN),
    num=st.integers(1, 9000),
    channels=st.integers(1, 8),
    rate=st.sampled_from([8000, 11_025, 16_000, 44_100, 48_000, 96_000]) | st.integers(1, 65_535),
)
def test_a_header_says_what_libsndfile_says(kind, num, channels, rate):
    content = encoded(*kind, num=num, channels=channels, rate=rate)
    assert of(content) == as_libsndfile(content)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("chunks", [ODD_CHUNK, b"junk" + bytes(4), ODD_CHUNK * 3, b"bext" + struct.pack("<I", 602)])
def test_chunks_before_the_sound_are_passed_over(kind, chunks):
    chunks += bytes(602 if chunks.startswith(b"bext") else 0)
    content = encoded(kind, "PCM_16")
    at = content.index(b"data")
    whole = content[:4] + struct.pack("<I", len(content) - 8 + len(chunks)) + content[8:at] + chunks + content[at:]
    assert of(whole) == as_libsndfile(whole) == of(content)


def test_what_follows_the_sound_is_no_sound():
    content = encoded("WAV", "PCM_24")
    assert of(content + ODD_CHUNK * 9) == of(content)


def test_a_header_that_is_longer_than_what_is_read_is_not_known():
    content = encoded("WAV", "PCM_16")
    at = content.index(b"data")
    assert of(content[:at] + b"junk" + struct.pack("<I", HEAD_BYTES) + bytes(HEAD_BYTES) + content[at:]) is None


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFF024, 0xFFFFFFFE])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_the_header_of_a_stream_announces_what_is_there(subtype, length):
    content = encoded("WAV", subtype)
    at = content.index(b"data") + 4
    assert of(content[:at] + struct.pack("<I", length) + content[at + 4 :]) == of(content)


@pytest.mark.parametrize(("kind", "subtype"), OTHER_ENCODINGS)
def test_a_kind_of_file_whose_length_only_a_decoder_knows_is_not_known(kind, subtype):
    assert of(encoded(kind, subtype, rate=8000)) is None


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("NIST", "PCM_16"), ("FLAC", "PCM_16")])
def test_a_file_is_read_as_its_bytes_are(tmp_path, kind, subtype):
    content = encoded(kind, subtype, num=5000, channels=2)
    (tmp_path / "a").write_bytes(content)
    assert read_header(tmp_path / "a") == read_header(str(tmp_path / "a")) == of(content) == Header(16_000, 2, 5000)
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.wav")


def test_sphere_is_read_whatever_the_order_of_its_lines_and_its_byte_order():
    lines = ["channel_count -i 2", "sample_count -i 40", "sample_byte_format -s2 10", "sample_rate -i 8000"]
    head = "\n".join(["NIST_1A", "   1024", *lines, "sample_n_bytes -i 2", "database_id -s7 odd one", "end_head", ""])
    assert of(head.encode().ljust(1024) + bytes(160)) == Header(8000, 2, 40)


# ----------------------------------------------------------------------------------------------------------------- cut


@settings(deadline=None, max_examples=200)
@given(kind=st.sampled_from(CUTTABLE), channels=st.integers(1, 2), share=st.floats(0, 1, exclude_max=True))
def test_of_a_file_that_is_cut_the_missing_bytes_are_counted(kind, channels, share):
    whole = encoded(*kind, channels=channels)
    cut = whole[: int(len(whole) * share)]
    found, sound = of(cut), len(whole) - of(whole).num_samples * channels * _width(kind)
    if len(cut) < sound:
        assert found is None  # the header itself is cut
    else:
        here = (len(cut) - sound) // (channels * _width(kind))
        assert found == Header(16_000, channels, here, len(whole) - len(cut))


def _width(kind):
    return {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4, "ULAW": 1}[kind[1]]


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_flac_that_is_cut_says_what_it_should_hold_or_nothing(share):
    whole = encoded("FLAC", "PCM_16")
    assert of(whole[: int(len(whole) * share)]) in (None, Header(16_000, 1, 300))


# ---------------------------------------------------------------------------------------------------------------- junk


def require_sane(content):
    found = of(content)
    if found is not None:
        assert 1 <= found.sample_rate_hz < 2**31  # what a column of the catalog can hold
        assert 1 <= found.num_channels <= 1024
        assert 0 <= found.num_samples < 2**36
        assert found.bytes_missing >= 0
        assert content[:4] == b"fLaC" or found.num_samples <= len(content)


HEADS = [b"", b"RIFF\0\0\0\0WAVE", b"fLaC\0\0\0\x22", b"NIST_1A\n   1024\n"]


@given(head=st.sampled_from(HEADS), content=st.binary(max_size=120))
def test_junk_is_not_known_or_has_numbers_that_can_be(head, content):
    require_sane(head + content)


@settings(max_examples=400)
@given(
    kind=st.sampled_from([("WAV", "PCM_16"), ("WAVEX", "FLOAT"), ("FLAC", "PCM_16"), ("NIST", "ULAW")]),
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=6),
    share=st.floats(0.01, 1),
)
def test_a_garbled_header_is_not_known_or_has_numbers_that_can_be(kind, changes, share):
    garbled = bytearray(encoded(*kind, num=100))
    for at, value in changes:
        garbled[at] = value
    require_sane(bytes(garbled[: int(len(garbled) * share)]))


@pytest.mark.parametrize(
    "line",
    [
        f"sample_rate -i {10**30}",
        "sample_rate -i 0",
        "sample_rate -i -8000",
        "sample_rate -i eight",
        "sample_rate",
        "channel_count -i 99999",
        "channel_count -i 0",
        f"sample_count -i {'9' * 5000}",
        "sample_count -i -1",
        "sample_n_bytes -i 0",
        "sample_coding -s26 pcm,embedded-shorten-v2.00",
        "sample_coding -s3 new",
        "speaker -s1 é",
    ],
)
def test_sphere_whose_lines_make_no_sense_is_not_known(line):
    lines = {"channel_count": "-i 1", "sample_count": "-i 40", "sample_rate": "-i 8000", "sample_n_bytes": "-i 2"}
    lines[line.partition(" ")[0]] = line.partition(" ")[2]
    head = "\n".join(["NIST_1A", "   1024", *(f"{key} {value}" for key, value in lines.items()), "end_head", ""])
    assert of(head.encode().ljust(1024) + bytes(80)) is None


@pytest.mark.parametrize("size", ["1024 x", "-1024", "0", "99999999", "16", "1e3"])
def test_sphere_whose_header_has_no_length_is_not_known(size):
    lines = "channel_count -i 1\nsample_count -i 4\nsample_rate -i 8000\nsample_n_bytes -i 2\nend_head\n"
    assert of(f"NIST_1A\n{size:>7}\n{lines}".encode().ljust(1024) + bytes(8)) is None
