"""What audio on its way out promises: copies are byte for byte, cuts have the very samples, files appear whole."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from curate import audio
from curate.errors import CorpusError, ExportError
from curate.export import sound
from curate.export.outgoing import Outgoing
from curate.export.sound import TELEPHONE, Conversion, converted, file_name, quantised

RATE = 16_000
SUBTYPES = {16: "PCM_16", 24: "PCM_24"}


def whole_numbers(num, channels=1, *, bits=16, seed=0):
    """Noise (N, channels) over the whole range, both ends included; 24 bits are the upper ones, as in libsndfile."""
    most = 2 ** (bits - 1)
    noise = np.random.default_rng(seed).integers(-most, most, (num, channels))
    noise.flat[:2] = -most, most - 1
    return noise.astype(np.int16) if bits == 16 else (noise << 8).astype(np.int32)


def utterance(path, **changed):
    """All of a file, or the stretch that is said."""
    header = soundfile.info(path)
    said = {"start_s": 0.0, "duration_s": header.frames / header.samplerate - changed.get("start_s", 0.0)} | changed
    return Outgoing(
        **({"utterance": f"c/{path.stem}"} | said),
        speaker="c/a",
        label="c/a",
        corpus="c",
        split="test",
        file=path,
        file_rate_hz=header.samplerate,
        file_num_samples=header.frames,
        file_num_channels=header.channels,
    )


@pytest.fixture
def source(tmp_path):
    """Write samples into a file of the corpus."""

    def write(samples, name="x.wav", *, rate=RATE, subtype=None):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, subtype=subtype)
        return path

    return write


@pytest.fixture
def export_of(tmp_path):
    """Convert utterances into `out.unfinished`, which shall be `out`."""

    def convert(*utterances, workers=2, **asked):
        jobs = (replace(one, content_sha256=audio.sha256_of(one.file)) for one in utterances)
        folder, final = tmp_path / "out.unfinished", tmp_path / "out"
        return list(converted(jobs, Conversion(**asked), folder, final=final, workers=workers))

    return convert


def samples_of(one, bits=16):
    """The whole numbers of a written file."""
    return soundfile.read(one.source, dtype="int16" if bits == 16 else "int32", always_2d=True)[0]


# ------------------------------------------------------------------------------------------------------------- samples


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    samples=st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=50),
    bits=st.sampled_from([16, 24]),
    kind=st.sampled_from(["WAV", "FLAC"]),
)
def test_samples_that_were_read_as_floats_come_back_as_they_were(scratch, samples, bits, kind):
    given = np.array(samples, np.int32)
    given = (given >> 8).astype(np.int16) if bits == 16 else given << 8
    soundfile.write(scratch, given, RATE, subtype=SUBTYPES[bits], format=kind)
    whole, subtype = quantised(audio.read(scratch)[0], bits)
    assert (subtype, whole.dtype) == (SUBTYPES[bits], given.dtype)
    assert np.array_equal(whole[:, 0], given)
    soundfile.write(scratch, whole, RATE, subtype=subtype, format=kind)
    assert np.array_equal(soundfile.read(scratch, dtype=str(given.dtype))[0], given)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("sound") / "scratch"


@pytest.mark.parametrize("bits", [16, 24])
def test_what_is_beyond_full_scale_is_clipped_and_the_rest_is_rounded_to_the_nearest(bits):
    step, most, shift = 2.0 ** (1 - bits), 2 ** (bits - 1), 0 if bits == 16 else 8
    given = np.float32([-2, -1, -0.6 * step, -0.4 * step, 0, 0.4 * step, 0.6 * step, 1 - step, 1, 2])
    whole, _ = quantised(given, bits)
    assert (whole >> shift).tolist() == [-most, -most, -1, 0, 0, 0, 1, most - 1, most - 1, most - 1]


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("kinds", [("wav", "wav"), ("wav", "flac"), ("flac", "wav"), ("flac", "flac")])
def test_a_stretch_has_exactly_the_samples_that_it_has_in_the_source(source, export_of, bits, kinds):
    given = whole_numbers(8_000, 2, bits=bits)
    path = source(given, f"long.{kinds[0]}", subtype=SUBTYPES[bits])
    parts = [(0, 1), (0, 8_000), (1, 7_999), (123, 4_567), (7_999, 1)]
    every = [
        utterance(path, utterance=f"c/{start}-{num}", start_s=start / RATE, duration_s=num / RATE)
        for start, num in parts
    ]
    for (start, num), one in zip(parts, export_of(*every, bits=bits, format=kinds[1]), strict=True):
        assert np.array_equal(samples_of(one, bits), given[start:][:num])
        assert (one.start_s, one.duration_s, one.channel) == (0.0, num / RATE, None)
        assert (one.file_rate_hz, one.file_num_samples, one.file_num_channels) == (RATE, num, 2)
        assert one.is_whole_file
        assert soundfile.info(one.source).subtype == SUBTYPES[bits]


@hypothesis_settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 399), num=st.integers(1, 400), channel=st.none() | st.integers(0, 2))
def test_any_stretch_and_channel_is_a_slice_of_the_source(sliced, start, num, channel):
    convert, path, given = sliced
    one = utterance(path, start_s=start / RATE, duration_s=min(num, 400 - start) / RATE, channel=channel)
    picked = given if channel is None else given[:, channel : channel + 1]
    assert np.array_equal(convert(one), picked[start:][:num])


@pytest.fixture(scope="module")
def sliced(tmp_path_factory):
    """Convert an utterance into a new folder, and read it; a file of three channels, and what it holds."""
    home, numbers, given = tmp_path_factory.mktemp("sliced"), iter(range(10**6)), whole_numbers(400, 3)
    soundfile.write(home / "x.wav", given, RATE)

    def convert(one):
        folder, known = home / str(next(numbers)), audio.sha256_of(home / "x.wav")
        (out,) = converted(
            iter([replace(one, content_sha256=known)]), Conversion(bits=16), folder, final=folder, workers=1
        )
        return samples_of(out)

    return convert, home / "x.wav", given


@pytest.mark.parametrize("channel", [0, 1])
def test_one_side_of_a_call_is_a_file_of_one_channel(source, export_of, channel):
    given = whole_numbers(800, 2)
    (one,) = export_of(utterance(source(given), channel=channel))
    assert np.array_equal(samples_of(one), given[:, channel : channel + 1])
    assert (one.file_num_channels, one.channel, one.file.suffix) == (1, None, ".wav")


def test_a_channel_that_the_file_lacks_is_an_error(source, export_of):
    with pytest.raises(CorpusError, match=r"x\.wav: no channel 2; it has 2, counted from 0$"):
        export_of(utterance(source(whole_numbers(800, 2)), channel=2))


def test_mono_is_the_mean_of_all_channels(source, export_of):
    given = whole_numbers(2_000, 3)
    (one,) = export_of(utterance(source(given)), mono=True)
    mean = given.astype(np.float64).mean(axis=1)
    assert np.abs(samples_of(one)[:, 0] - mean).max() <= 0.51
    assert one.file_num_channels == 1


def test_a_sound_of_opposite_channels_is_silent_in_mono(source, export_of):
    one_side = np.clip(whole_numbers(500), -32_767, None)
    (one,) = export_of(utterance(source(np.hstack([one_side, -one_side]))), mono=True)
    assert not samples_of(one).any()


# ---------------------------------------------------------------------------------------------------------------- rate


def tones(rate, *hertz, num=None, peak=0.3):
    times = np.arange(num or rate // 2) / rate
    return sum(peak * np.sin(2 * np.pi * hz * times) for hz in hertz).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "asked"), [(44_100, 16_000), (48_000, 16_000), (16_000, 8_000), (8_000, 16_000), (22_050, 44_100)]
)
def test_another_rate_agrees_with_scipy_away_from_the_ends(source, export_of, rate, asked):
    samples = tones(rate, 440, 1_500, 2_200)
    (one,) = export_of(utterance(source(samples, rate=rate, subtype="FLOAT")), rate_hz=asked, bits=24)
    common = math.gcd(rate, asked)
    theirs = resample_poly(samples.astype(np.float64), asked // common, rate // common, window=("kaiser", 12.0))
    ours = samples_of(one, 24)[:, 0] / 2.0**31
    assert (one.file_rate_hz, one.file_num_samples, one.duration_s) == (asked, asked // 2, 0.5)
    edge = asked // 20
    assert np.abs(ours - theirs[: len(ours)])[edge:-edge].max() < 2e-3


def test_each_channel_is_resampled_by_itself(source, export_of):
    left, right = tones(RATE, 500), tones(RATE, 1_200)
    (both,) = export_of(utterance(source(np.stack([left, right], axis=1), "both.wav")), rate_hz=8_000)
    (alone,) = export_of(utterance(source(right, "alone.wav")), rate_hz=8_000)
    assert np.array_equal(samples_of(both)[:, 1], samples_of(alone)[:, 0])


def test_a_stretch_is_cut_before_it_is_resampled(source, export_of):
    given = whole_numbers(RATE)
    cut = utterance(source(given), start_s=0.25, duration_s=0.5)
    alone = utterance(source(given[4_000:12_000], "alone.wav"))
    ours, theirs = export_of(cut, alone, rate_hz=8_000)
    assert np.array_equal(samples_of(ours), samples_of(theirs))


def test_a_telephone_hears_8_khz_of_one_channel_in_16_bits(source, export_of):
    assert Conversion(rate_hz=8_000, mono=True, bits=16, format=None) == TELEPHONE
    samples = np.stack([tones(44_100, 1_000), tones(44_100, 1_000)], axis=1)
    (one,) = export_of(utterance(source(samples, rate=44_100)), **vars(TELEPHONE))
    header = soundfile.info(one.source)
    assert (header.samplerate, header.channels, header.subtype, header.format) == (8_000, 1, "PCM_16", "WAV")
    assert loudest_hz(samples_of(one)[:, 0]) == pytest.approx(1_000, abs=5)


@pytest.mark.parametrize("hz", [4_500, 5_000, 6_000, 7_500])
def test_what_is_above_4_khz_is_gone_in_a_telephone_and_not_folded_back(source, export_of, hz):
    (one,) = export_of(utterance(source(tones(RATE, hz, peak=0.9))), **vars(TELEPHONE))
    heard = samples_of(one)[400:-400, 0].astype(np.float64)
    assert np.abs(heard).max() <= 2  # of 32768: more than 80 dB below what went in


def loudest_hz(samples, rate=8_000):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)


# -------------------------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.WAV", "x.mp3"])
def test_what_needs_no_change_is_copied_byte_for_byte(source, export_of, tmp_path, name):
    given = utterance(source(whole_numbers(4_000, 2), name))
    (one,) = export_of(given)
    assert one.source.read_bytes() == given.file.read_bytes()
    assert one == replace(
        given,
        file=tmp_path / "out" / "c" / f"x{given.file.suffix.lower()}",
        readable=tmp_path / "out.unfinished" / "c" / f"x{given.file.suffix.lower()}",
    )


@pytest.mark.parametrize(
    ("asked", "is_copied"),
    [
        ({}, True),
        ({"rate_hz": RATE}, True),
        ({"rate_hz": 8_000}, False),
        ({"mono": True}, False),
        ({"bits": 16}, False),
        ({"format": "wav"}, False),
    ],
)
def test_only_what_needs_no_change_is_copied(source, asked, is_copied):
    assert Conversion(**asked).leaves(utterance(source(whole_numbers(800, 2)))) is is_copied


def test_a_mono_file_is_copied_where_mono_is_asked_for(source):
    assert Conversion(mono=True).leaves(utterance(source(whole_numbers(800))))


@pytest.mark.parametrize("asked", [{}, {"bits": 16}], ids=["copied", "converted"])
def test_a_file_that_is_not_what_was_scanned_is_refused_and_leaves_nothing(source, tmp_path, asked):
    one = utterance(source(whole_numbers(800)))
    known = audio.sha256_of(one.file)
    source(whole_numbers(800, seed=1))
    folder = tmp_path / "audio"
    with pytest.raises((ExportError, CorpusError), match=rf"^{one.file} [^\n]*`?curate run`?|changed[^\n]*$"):
        list(
            converted(iter([replace(one, content_sha256=known)]), Conversion(**asked), folder, final=folder, workers=1)
        )
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_file_that_is_gone_is_an_error_that_names_it(source, export_of):
    one = utterance(source(whole_numbers(800)))
    jobs = [replace(one, content_sha256=audio.sha256_of(one.file))]
    one.file.unlink()
    for conversion in (Conversion(), Conversion(bits=16)):
        with pytest.raises((OSError, CorpusError), match=str(one.file)):
            list(converted(iter(jobs), conversion, one.file.parent, final=one.file.parent, workers=1))


# ------------------------------------------------------------------------------------------------------------- written


def test_utterances_come_in_their_order_whatever_the_number_of_workers(source, export_of, tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "FILES_AT_ONCE", 4)
    path = source(whole_numbers(1_000))
    every = [utterance(path, utterance=f"c/{9 - n}", start_s=n / 100, duration_s=0.01) for n in range(6)]
    assert [one.utterance for one in export_of(*every, workers=3)] == [one.utterance for one in every]


def test_the_same_audio_is_the_same_bytes(source, tmp_path):
    path = source(whole_numbers(3_000, 2))
    one, known = utterance(path, start_s=0.01), audio.sha256_of(path)
    for asked in ({"format": "wav"}, {"format": "flac"}, {"bits": 24, "format": "flac"}, {"rate_hz": 8_000}):
        folders = [tmp_path / name / str(len(asked)) / str(asked) for name in ("first", "second")]
        written = [
            next(
                converted(
                    iter([replace(one, content_sha256=known)]), Conversion(**asked), folder, final=folder, workers=1
                )
            ).file.read_bytes()
            for folder in folders
        ]
        assert written[0] == written[1]


def test_files_that_are_there_are_kept(source, export_of):
    path = source(whole_numbers(2_000))
    every = [utterance(path, utterance=f"c/{n}", start_s=n / 100, duration_s=0.01) for n in range(4)]
    first = export_of(*every[:2])
    marks = [(os.stat(one.source).st_ino, os.stat(one.source).st_mtime_ns) for one in first]
    again = export_of(*every)
    assert again[:2] == first
    assert [(os.stat(one.source).st_ino, os.stat(one.source).st_mtime_ns) for one in again[:2]] == marks
    assert all(one.source.exists() for one in again)


def test_a_file_that_was_being_written_is_written_anew(source, export_of, tmp_path):
    one = utterance(source(whole_numbers(2_000)))
    aside = tmp_path / "out.unfinished/c/x.wav.new"
    aside.parent.mkdir(parents=True)
    aside.write_bytes(b"half a file, and longer than the whole" * 1_000)
    (done,) = export_of(one)
    assert done.source.read_bytes() == one.file.read_bytes()
    assert not aside.exists()


def test_a_file_has_its_name_only_when_the_disk_holds_it(source, export_of, monkeypatch):
    """Else one that is empty after a power cut would be kept by the next attempt."""
    path, synced = source(whole_numbers(2_000)), []
    fsync, rename = os.fsync, Path.replace

    def note(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    def checked(self, target):
        assert str(self) in synced
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", checked)
    assert len(export_of(utterance(path), utterance(path, utterance="c/y", start_s=0.01))) == 2


@pytest.mark.parametrize(
    ("samples", "asked", "said"),
    [
        (whole_numbers(800, 9), {"format": "flac"}, r"^c/x: .*flac.*; expected another `--format`"),
        (whole_numbers(800), {"format": "flac", "rate_hz": 96_001}, r"^c/x: .*flac.*; expected another `--format`"),
    ],
    ids=["nine channels", "a rate that FLAC has not"],
)
def test_what_a_format_cannot_hold_is_told_in_one_line(source, export_of, samples, asked, said):
    with pytest.raises(ExportError, match=said) as caught:
        export_of(utterance(source(samples)), **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_stretch_of_no_samples_is_told_in_one_line(source, export_of, kind):
    one = utterance(source(whole_numbers(800)), start_s=0.04, duration_s=0.00001)
    with pytest.raises(ExportError, match=r"^c/x: no samples[^\n]*; expected [^\n]+$"):
        export_of(one, format=kind)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rate_hz": 7}, "rate 7; expected 1000 to 384000 Hz"),
        ({"rate_hz": 0}, "rate 0; expected 1000 to 384000 Hz"),
        ({"rate_hz": 384_001}, "rate 384001; expected 1000 to 384000 Hz"),
        ({"bits": 3}, "bits 3; expected one of 16, 24"),
        ({"bits": 0}, "bits 0; expected one of 16, 24"),
        ({"format": "ogg"}, "format 'ogg'; expected one of wav, flac"),
        ({"format": ""}, "format ''; expected one of wav, flac"),
    ],
)
def test_what_cannot_be_asked_for_is_an_error(asked, said):
    with pytest.raises(ExportError) as caught:
        Conversion(**asked)
    assert str(caught.value) == said


# --------------------------------------------------------------------------------------------------------------- names

PARTS = st.sampled_from(
    ["", ".", "..", "...", "%", "%%", "%2E", "%%2E", "%%2E%2E", "%%%2E", "a", "a.wav", "ẵ", "-", " "]
)
IDS = st.lists(PARTS | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)).map(
    "/".join
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(ids=st.sets(IDS, max_size=8))
def test_any_id_is_a_path_below_the_folder_and_another_id_another_path(ids):
    names = {one: file_name(one) for one in ids}
    assert len({os.path.normpath(f"/audio/{name}.wav") for name in names.values()}) == len(ids)
    for name in names.values():
        whole = f"/audio/{name}.wav"
        assert os.path.normpath(whole) == whole
        assert whole.startswith("/audio/")
        assert not {"", ".", ".."} & set(name.split("/"))


@pytest.mark.parametrize(
    ("one", "name"),
    [
        ("c/a/b-c.d", "c/a/b-c.d"),
        ("c/call%207", "c/call%207"),
        ("c/../x", "c/%%2E%2E/x"),
        ("c//x", "c/%/x"),
        ("/etc/x", "%/etc/x"),
        ("c/.", "c/%%2E"),
        ("c/%/x", "c/%%/x"),
        ("c/.hidden", "c/.hidden"),
    ],
)
def test_an_id_is_its_own_name_but_for_parts_that_lead_elsewhere(one, name):
    assert file_name(one) == name


def test_a_name_that_no_disk_holds_is_an_error_and_one_that_just_fits_is_written(source, export_of):
    with pytest.raises(ExportError, match=r"too long for the name of a file; expected at most 240 bytes$"):
        file_name("c/" + "ẵ" * 81)
    longest = utterance(source(whole_numbers(800)), utterance="c/" + "ẵ" * 80)
    for asked in ({}, {"format": "flac"}):
        (one,) = export_of(longest, **asked)
        assert one.source.is_file()
