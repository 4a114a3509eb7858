"""What crops promise: right samples at any rate, from any codec; nothing read in vain; one line where it cannot be."""

from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate import audio
from curate.errors import CorpusError, DamagedAudioError
from curate.storage import location
from models.data.crops import FileReader, Reader, num_samples_at_16_khz
from tests.models.data.speech_made import ramp, speech_of, speechlike

RAMP = 5_000


class Counting(Reader):
    """Sample i of utterance u is i + 10,000 u."""

    def read_into(self, row, first, out):
        out[:] = np.arange(first, first + len(out)) + 10_000 * row


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crops")


@pytest.fixture(scope="module")
def ramps(folder):
    """Four utterances of 5,000, 300, 7 and 5,000 samples."""
    lengths = [RAMP, 300, 7, RAMP]
    return speech_of(*(ramp(folder / f"ramp{i}.wav", length, first=i) for i, length in enumerate(lengths)))


def m4a(path, samples):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        blocks = av.AudioResampler(stream.format.name, "mono", 16_000, frame_size=stream.frame_size).resample(frame)
        for block in (*blocks, None):
            container.mux(stream.encode(block))
    return path


def one_crop(speech, num_samples, seed=0):
    return FileReader(speech).crops(np.zeros(1, np.int64), num_samples, np.random.default_rng(seed))[0]


# ------------------------------------------------------------------------------------------------------ where crops lie


def test_a_crop_is_the_samples_from_where_it_was_drawn_and_a_short_utterance_is_repeated_from_its_start(ramps):
    found = FileReader(ramps).crops(np.array([0, 2, 3]), 20, np.random.default_rng(3)) * 32_768
    drawn = np.random.default_rng(3).random(3)  # one number a row, of the short one too
    begins = [int(drawn[0] * 4_981), int(drawn[2] * 4_981) + 3]
    np.testing.assert_array_equal(found[0], np.arange(begins[0], begins[0] + 20))
    np.testing.assert_array_equal(found[1], [2, 3, 4, 5, 6, 7, 8] * 2 + [2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(found[2], np.arange(begins[1], begins[1] + 20))
    assert found.dtype == np.float32


def test_an_utterance_as_long_as_the_crop_is_taken_whole(ramps):
    found = FileReader(ramps).crops(np.array([1]), 300, np.random.default_rng(0))
    np.testing.assert_array_equal(found[0] * 32_768, np.arange(1, 301))


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(1, 400), st.integers(0, 2**32))
def test_every_crop_lies_within_its_utterance(ramps, rows, num_samples, seed):
    reader = Counting(ramps)
    found = reader.crops(np.array(rows, np.int64), num_samples, np.random.default_rng(seed))
    assert found.shape == (len(rows), num_samples)
    for row, crop in zip(rows, found - 10_000 * np.array(rows, np.float32)[:, None], strict=True):
        length = int(reader.num_samples[row])
        assert crop.min() >= 0
        assert crop.max() < length
        np.testing.assert_array_equal(np.diff(crop) % length, np.full(num_samples - 1, 1 % length))
        assert length > num_samples or crop[0] == 0


def test_every_place_is_as_likely_as_another(ramps):
    found = Counting(ramps).crops(np.full(9_000, 1), 298, np.random.default_rng(1))[:, 0] - 10_000
    assert set(found) == {0, 1, 2}
    assert np.bincount(found.astype(int)).min() > 2_850  # of 3,000: three standard deviations


@pytest.mark.parametrize("num_threads", [2, 5])
def test_threads_change_nothing(ramps, num_threads):
    rows = np.random.default_rng(5).integers(4, size=40)
    alone = FileReader(ramps).crops(rows, 100, np.random.default_rng(6))
    together = FileReader(ramps, num_threads=num_threads).crops(rows, 100, np.random.default_rng(6))
    np.testing.assert_array_equal(alone, together)


def test_whole_utterances_are_followed_by_silence(ramps):
    found, num_samples = FileReader(ramps).whole(np.array([2, 1]))
    assert num_samples.tolist() == [7, 300]
    np.testing.assert_array_equal(found[0] * 32_768, [2, 3, 4, 5, 6, 7, 8] + [0] * 293)
    np.testing.assert_array_equal(found[1] * 32_768, np.arange(1, 301))


def test_a_stretch_of_a_recording_is_all_that_is_heard_of_it(folder, ramps):
    speech = speech_of(ramps.files[0], stretches=[(1_000, 50)])
    np.testing.assert_array_equal(one_crop(speech, 50) * 32_768, np.arange(1_000, 1_050))
    np.testing.assert_array_equal(one_crop(speech, 100) * 32_768, np.tile(np.arange(1_000, 1_050), 2))


# ----------------------------------------------------------------------------------------------------- rates and codecs


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 11_127, 22_050, 44_100, 48_000, 96_000])
def test_a_crop_of_another_rate_is_that_of_the_whole_utterance_resampled(folder, rate):
    path = folder / f"at{rate}.wav"
    soundfile.write(path, speechlike(rate, 3 * rate + 77), rate, subtype="FLOAT")
    start, length = rate // 3, 2 * rate + 11
    speech = speech_of(path, stretches=[(start, length)])
    expected = audio.decode(path, sample_rate_hz=16_000, start_s=start / rate, duration_s=length / rate)
    num_samples = int(num_samples_at_16_khz(speech)[0])
    assert num_samples == length * 16_000 // rate
    reader = FileReader(speech)
    for first, n in [(0, 400), (1, 4_000), (12_345, 8_001), (num_samples - 4_000, 4_000), (0, num_samples)]:
        out = np.empty(n, np.float32)
        reader.read_into(0, first, out)
        np.testing.assert_allclose(out, expected[first : first + n], atol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "kind", "subtype"),
    [
        ("flac", "FLAC", "PCM_16"),
        ("sph", "NIST", "PCM_16"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
    ],
)
def test_a_jump_finds_what_decoding_from_the_start_finds(folder, suffix, kind, subtype):
    path = folder / f"coded.{suffix}"
    soundfile.write(path, speechlike(1, 120_000), 16_000, format=kind, subtype=subtype)
    whole, _ = soundfile.read(path, dtype="float32")
    reader = FileReader(speech_of(path))
    for first in (0, 1_000, 50_001, 100_003, 112_000):
        out = np.empty(8_000, np.float32)
        reader.read_into(0, first, out)
        np.testing.assert_allclose(out, whole[first : first + 8_000], atol=1e-6)


def test_m4a_is_decoded_by_ffmpeg(folder):
    source = speechlike(2, 50_000)
    path = m4a(folder / "coded.m4a", source)
    whole = audio.decode(path)
    speech = speech_of(path, stretches=[(2_000, 40_000)])
    out = np.empty(9_000, np.float32)
    FileReader(speech).read_into(0, 5_000, out)
    np.testing.assert_array_equal(out, whole[7_000:16_000])
    assert np.corrcoef(out, source[7_000:16_000, 0])[0, 1] > 0.9


def test_a_channel_is_read_alone_and_without_one_all_are_averaged(folder):
    path = folder / "two.wav"
    both = np.stack([np.arange(100), np.arange(100) * 3], axis=1).astype(np.int16)
    soundfile.write(path, both, 16_000, subtype="PCM_16")
    for channel, factor in [(0, 1), (1, 3), (-1, 2)]:
        np.testing.assert_array_equal(one_crop(speech_of(path, channel=channel), 100) * 32_768, np.arange(100) * factor)


def test_samples_beyond_full_scale_are_clipped(folder):
    path = folder / "loud.wav"
    soundfile.write(path, np.array([0.5, 1.7, -3.0, 0.25]), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(one_crop(speech_of(path), 4), np.array([0.5, 1.0, -1.0, 0.25], np.float32))


def test_no_more_is_decoded_than_the_crop_needs(folder, monkeypatch):
    path = folder / "long.flac"
    soundfile.write(path, speechlike(3, 60 * 8_000), 8_000)
    decoded = []
    read = soundfile.SoundFile.read

    def counted(self, frames=-1, *args, **kwargs):
        found = read(self, frames, *args, **kwargs)
        decoded.append(len(found))
        return found

    speech = speech_of(path)
    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    one_crop(speech, 32_000, seed=4)
    assert len(decoded) == 1
    assert 16_000 <= decoded[0] <= 16_000 + 2 * 256 + 1


def test_audio_in_a_store_of_objects_is_read(folder, ramps):
    place = location("memory://crops/ramp.wav")
    place.write_bytes(ramps.files[0].read_bytes())
    speech = replace(speech_of(ramps.files[0], stretches=[(100, 40)]), files=[place])
    np.testing.assert_array_equal(one_crop(speech, 40) * 32_768, np.arange(100, 140))


# --------------------------------------------------------------------------------------------------------------- faults


def error_of(speech, kind, num_threads=1):
    """What is said of an utterance that cannot be read, in the middle of a batch of which the others can."""
    reader = FileReader(speech, num_threads=num_threads)
    with pytest.raises(kind) as caught:
        reader.crops(np.zeros(3, np.int64), int(reader.num_samples[0]), np.random.default_rng(0))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{speech.utterance_ids[0]}: {speech.files[0]}")
    return message


def test_a_file_that_went_away_is_named_with_its_utterance(folder):
    path = ramp(folder / "gone.wav", 50)
    speech = speech_of(path)
    path.unlink()
    assert "No such file" in error_of(speech, CorpusError)
    assert "No such file" in error_of(speech, CorpusError, num_threads=3)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_file_that_breaks_off_is_named_with_its_utterance(folder, suffix):
    path = folder / f"cut.{suffix}"
    soundfile.write(path, speechlike(4, 60_000), 16_000)
    speech = speech_of(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = error_of(speech, DamagedAudioError)
    assert "ends at sample" in message or "cannot be decoded" in message
    late = replace(speech, start=np.array([55_000]), num_samples=np.array([100]))
    error_of(late, DamagedAudioError)


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a"])
def test_what_is_no_sound_is_named_with_its_utterance(folder, suffix):
    path = folder / f"garbled.{suffix}"
    if suffix == "m4a":
        m4a(path, speechlike(5, 20_000))
    else:
        soundfile.write(path, speechlike(5, 20_000), 16_000)
    speech = speech_of(path, stretches=[(0, 20_000)])
    path.write_bytes(path.read_bytes()[:8] + bytes(3_000))
    assert "expected a sound file" in error_of(speech, DamagedAudioError)


def test_a_file_of_another_rate_than_was_scanned_is_named(folder, ramps):
    speech = replace(speech_of(ramps.files[0]), sample_rate_hz=np.array([8_000]))
    assert "has 16000 Hz; expected the 8000 Hz" in error_of(speech, CorpusError)


def test_a_channel_that_is_not_there_is_named(ramps):
    assert "no channel 1; it has 1" in error_of(speech_of(ramps.files[0], channel=1), DamagedAudioError)


def test_samples_that_are_not_numbers_are_told(folder):
    path = folder / "nan.wav"
    soundfile.write(path, np.array([0.1, np.nan, 0.1]), 16_000, subtype="FLOAT")
    assert "not finite" in error_of(speech_of(path), DamagedAudioError)


def test_an_utterance_without_a_sample_is_named(ramps):
    with pytest.raises(CorpusError, match="made/ramp0: no sample at 16 kHz"):
        FileReader(replace(speech_of(ramps.files[0]), num_samples=np.array([0])))
