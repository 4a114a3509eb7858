"""What the cache promises: the crops of the files within a rounding, whole or not there, its size told before."""

import os
import pickle
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from curate import audio
from curate.errors import CorpusError, DamagedAudioError, TrainingError
from curate.storage import location
from models.data import pcm_cache
from models.data.crops import FileReader
from models.data.pcm_cache import FIRST, SAMPLES, MappedReader, place_of, room, write
from tests.models.data.speech_made import ramp, speech_of, speechlike

ROUNDING = 0.5 / 32_768
ROOT = Path(__file__).parents[3]


@pytest.fixture
def speech(tmp_path):
    """A ramp of 16 bits, floats at 44.1 kHz that pass full scale, and a short one."""
    soundfile.write(tmp_path / "float.wav", 3 * speechlike(1, 50_000), 44_100, subtype="FLOAT")
    files = ramp(tmp_path / "ramp.wav", 9_000), tmp_path / "float.wav", ramp(tmp_path / "short.wav", 7, first=-3)
    return speech_of(*files, stretches=[(0, 9_000), (1_000, 45_000), (0, 7)])


def listed(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_samples_of_a_file_of_16_bits_are_held_as_they_are(speech, tmp_path):
    place = write(speech, tmp_path / "cache")
    samples = np.fromfile(place / SAMPLES, "<i2")
    resampled = 45_000 * 16_000 // 44_100
    assert np.load(place / FIRST).tolist() == [0, 9_000, 9_000 + resampled, 9_007 + resampled]
    np.testing.assert_array_equal(samples[:9_000], np.arange(9_000))
    np.testing.assert_array_equal(samples[-7:], np.arange(-3, 4))
    assert samples.max() == 32_767  # full scale is one step more than 16 bits have
    assert samples.min() == -32_768


def test_crops_are_those_of_the_files_within_a_rounding(speech, tmp_path):
    write(speech, tmp_path / "cache", num_threads=3)
    mapped, files = MappedReader(speech, tmp_path / "cache"), FileReader(speech)
    rows = np.random.default_rng(1).integers(3, size=50)
    for num_samples in (100, 5_000, 20_000):
        found = mapped.crops(rows, num_samples, np.random.default_rng(2))
        expected = files.crops(rows, num_samples, np.random.default_rng(2))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.minimum(expected, 32_767 / 32_768), rtol=0, atol=ROUNDING + 1e-6)
    held, lengths = mapped.whole(np.arange(3))
    expected = audio.decode(speech.files[1], sample_rate_hz=16_000, start_s=1_000 / 44_100, duration_s=45_000 / 44_100)
    np.testing.assert_allclose(held[1], np.clip(expected[: lengths[1]], -1, 32_767 / 32_768), atol=ROUNDING + 1e-6)


def test_the_number_of_threads_changes_no_byte(speech, tmp_path):
    one, three = write(speech, tmp_path / "one"), write(speech, tmp_path / "three", num_threads=3)
    for name in (SAMPLES, FIRST):
        assert (one / name).read_bytes() == (three / name).read_bytes()
    assert one.name == three.name


def test_a_cache_that_is_there_is_not_written_again(speech, tmp_path, monkeypatch):
    place = write(speech, tmp_path / "cache")
    monkeypatch.setattr(pcm_cache, "_fill", None)
    assert write(speech, tmp_path / "cache") == place
    assert listed(tmp_path / "cache") == [place.name]


def test_its_name_follows_from_all_that_it_is_made_of_and_from_nothing_else(speech, tmp_path):
    name = place_of(speech, tmp_path).name
    ids = speech.utterance_ids.to_pylist()
    others = [
        replace(speech, utterance_ids=pa.array([*ids[:2], "made/other"])),
        speech.take(np.array([0, 1])),
        speech.take(np.array([1, 0, 2])),
        replace(speech, content_sha256=[*speech.content_sha256[:2], "0" * 64]),
        replace(speech, start=speech.start + np.eye(3, dtype=np.int64)[1]),
        replace(speech, num_samples=speech.num_samples - np.eye(3, dtype=np.int64)[1]),
        replace(speech, sample_rate_hz=speech.sample_rate_hz + np.eye(3, dtype=np.int64)[1]),
        replace(speech, channel=np.array([0, -1, -1])),
    ]
    names = [place_of(other, tmp_path).name for other in others]
    assert len({name, *names}) == len(others) + 1
    moved = replace(speech, files=[Path("/elsewhere") / path.name for path in speech.files], person=np.array([1, 1, 0]))
    assert place_of(moved, tmp_path).name == name


def test_its_size_is_told_before_it_is_written_and_whether_there_is_room(speech, tmp_path):
    folder = tmp_path / "not" / "yet" / "there"
    told = room(speech, folder)
    assert told.is_enough
    assert listed(tmp_path / "not") == []
    place = write(speech, folder)
    assert told.num_bytes == sum(path.stat().st_size for path in place.iterdir())
    assert told.free_bytes <= shutil.disk_usage(tmp_path).total


def test_a_disk_without_room_is_told_before_anything_is_written(speech, tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(
        TrainingError, match=r"no room for a cache of 50,\d{3} bytes for 3 utterances; 1,000 bytes are free"
    ):
        write(speech, tmp_path / "cache")
    assert listed(tmp_path / "cache") == []


@pytest.mark.parametrize("where", ["samples", "index"])
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(speech, tmp_path, where, monkeypatch):
    if where == "samples":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    else:
        monkeypatch.setattr(np, "save", lambda file, _: os.write(os.open("/dev/full", os.O_WRONLY), b"index"))
    try:
        with pytest.raises(TrainingError, match=r"cannot be written \([^\n]+\); expected room for a cache$") as caught:
            write(speech, tmp_path / "cache")
    finally:
        if where == "samples":
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(place_of(speech, tmp_path / "cache")) in str(caught.value)
    assert listed(tmp_path / "cache") == []


@pytest.mark.parametrize("num_threads", [1, 3])
def test_what_is_interrupted_leaves_nothing(speech, tmp_path, monkeypatch, num_threads):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pcm_cache, "_write_at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(speech, tmp_path / "cache", num_threads=num_threads)
    assert listed(tmp_path / "cache") == []


def test_what_a_killed_process_leaves_looks_like_no_cache_and_is_made_anew(speech, tmp_path):
    script = (
        "import os, pickle, signal, sys; from models.data import pcm_cache; from pathlib import Path\n"
        "pcm_cache.rename_durably = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "pcm_cache.write(pickle.load(sys.stdin.buffer), Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cache")]
    killed = subprocess.run(command, input=pickle.dumps(speech), cwd=ROOT, check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    place = place_of(speech, tmp_path / "cache")
    assert listed(tmp_path / "cache") == [place.name + ".unfinished"]
    with pytest.raises(TrainingError, match="no cache of these utterances"):
        MappedReader(speech, tmp_path / "cache")
    write(speech, tmp_path / "cache")
    assert listed(tmp_path / "cache") == [place.name]
    MappedReader(speech, tmp_path / "cache")


def test_an_utterance_that_cannot_be_read_is_named_and_nothing_is_left(speech, tmp_path):
    path = speech.files[0]
    soundfile.write(path, np.zeros(5_000, np.int16), 16_000)
    with pytest.raises(CorpusError, match=f"made/ramp: {path} changed since it was scanned"):
        write(speech, tmp_path / "cache")
    hashes = [audio.sha256_of(path), *speech.content_sha256[1:]]
    with pytest.raises(DamagedAudioError, match=f"made/ramp: {path}: ends at sample 5000; expected 9000"):
        write(replace(speech, content_sha256=hashes), tmp_path / "cache")
    path.unlink()
    with pytest.raises(CorpusError, match=f"{path}: No such file"):
        write(speech, tmp_path / "cache")
    assert listed(tmp_path / "cache") == []


def test_a_cache_of_another_size_is_refused(speech, tmp_path):
    place = write(speech, tmp_path / "cache")
    with (place / SAMPLES).open("r+b") as file:
        file.truncate(1_000)
    with pytest.raises(TrainingError, match=f"{place}: damaged; expected a whole cache"):
        MappedReader(speech, tmp_path / "cache")


def test_a_folder_elsewhere_cannot_hold_it(speech):
    for ask in (room, write):
        with pytest.raises(TrainingError, match="memory://cache: cannot be mapped"):
            ask(speech, location("memory://cache"))


def test_a_reader_goes_to_another_process_without_its_samples(speech, tmp_path):
    write(speech, tmp_path / "cache")
    reader = MappedReader(speech, tmp_path / "cache")
    sent = pickle.dumps(reader)
    assert len(sent) < 8_000  # the samples are 50,000 bytes
    rows = np.arange(3)
    again = pickle.loads(sent).crops(rows, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(again, reader.crops(rows, 50, np.random.default_rng(0)))
