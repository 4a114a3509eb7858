"""What is read to be mixed into speech: at 16 kHz, in one order, and a broken file named before training begins."""

import os

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import TrainingError
from models.common.augment import Augmentation, AugmentationSettings, SoundFolder
from tests.models.made import noise


def write(file, samples, rate=16_000, **how):
    file.parent.mkdir(exist_ok=True, parents=True)
    soundfile.write(file, samples, rate, **how)
    return file


def as_float(file, samples, rate=16_000):
    """Without rounding."""
    return write(file.with_suffix(".wav"), samples, rate, subtype="FLOAT")


def made(**settings):
    return Augmentation(AugmentationSettings(**settings), num_people=1)


@pytest.fixture
def noise_folder(tmp_path):
    """Longer and shorter than a batch, at another rate, with two channels, in another format, and what is no sound."""
    folder = tmp_path / "noise"
    as_float(folder / "long", noise(1, 40_000))
    as_float(folder / "deeper" / "short", noise(2, 1_500))
    as_float(folder / "telephone", noise(3, 9_001), 8_000)
    as_float(folder / "stereo", np.stack([noise(4, 20_000), np.zeros(20_000, np.float32)], axis=1))
    write(folder / "LOUD.FLAC", noise(5, 12_345, level=0.3))
    (folder / "README").write_text("no sound")
    return folder


def test_files_are_heard_at_16_khz_by_their_first_channel(noise_folder):
    folder = SoundFolder(noise_folder)
    stereo, telephone = noise_folder / "stereo.wav", noise_folder / "telephone.wav"
    assert torch.equal(folder(stereo)[0], torch.from_numpy(noise(4, 20_000)))
    assert torch.equal(folder(stereo, 500, 700)[0], torch.from_numpy(noise(4, 20_000)[500:1_200]))
    assert folder.get_num_samples(telephone) == 18_002
    whole, stretch = folder(telephone)[0].double(), folder(telephone, 4_000, 8_000)[0].double()
    assert whole.shape == (18_002,)
    expected = scipy.signal.resample_poly(noise(3, 9_001).astype(float), 2, 1)
    assert np.corrcoef(whole, expected)[0, 1] > 0.99
    assert np.corrcoef(whole[4_100:11_900], stretch[100:-100])[0, 1] > 0.99999  # but for the ends of the filter


@given(offset=st.integers(0, 18_001), data=st.data())
def test_a_stretch_has_the_length_that_is_asked_for(tmp_path_factory, offset, data):
    file = tmp_path_factory.getbasetemp() / "stretches" / "one.wav"
    if not file.exists():
        as_float(file, noise(0, 24_806), 22_050)  # 18,001 samples, which is no whole number of its own
    folder = SoundFolder(file.parent)
    num_samples = data.draw(st.integers(1, max(1, folder.get_num_samples(file) - offset)))
    assert folder(file, min(offset, 18_000), num_samples).shape == (1, num_samples)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
def test_what_libsndfile_reads_can_be_mixed(tmp_path, suffix):
    file = write(tmp_path / f"one.{suffix}", noise(1, 16_000), **({"format": "OGG"} if suffix == "opus" else {}))
    folder = SoundFolder(tmp_path)
    assert folder.paths == [file]
    assert folder(file, 4_000, 8_000).shape == (1, 8_000)


def test_files_come_in_one_order_and_through_links(noise_folder, tmp_path):
    (tmp_path / "linked").mkdir()
    os.symlink(noise_folder, tmp_path / "linked" / "noise")
    names = [file.relative_to(noise_folder).as_posix() for file in SoundFolder(noise_folder).paths]
    assert names == ["LOUD.FLAC", "deeper/short.wav", "long.wav", "stereo.wav", "telephone.wav"]
    assert [file.name for file in SoundFolder(tmp_path / "linked").paths] == [name.split("/")[-1] for name in names]


def spoil_header(file):
    file.write_bytes(b"no sound at all, but long enough to be one")


def cut(file):
    file.write_bytes(file.read_bytes()[:-2_000])


def empty(file):
    write(file, np.zeros(0, np.float32))


def close(file):
    file.unlink()
    file.symlink_to("nowhere.wav")


@pytest.mark.parametrize("what", ["noise", "reverb"])
@pytest.mark.parametrize("spoil", [spoil_header, cut, empty, close])
def test_a_broken_file_is_named_before_training(noise_folder, what, spoil):
    file = noise_folder / "deeper" / "short.wav"
    spoil(file)
    with pytest.raises(TrainingError) as caught:
        made(**{f"{what}_folder": noise_folder, f"{what}_probability": 0.5})
    said = str(caught.value)
    assert said.startswith(f"{file}: ")
    assert "expected a" in said
    assert "\n" not in said


def test_a_cut_flac_is_named_before_training(tmp_path):
    cut(write(tmp_path / "one.flac", noise(1, 16_000)))
    with pytest.raises(TrainingError, match=r"one.flac: .*expected a"):
        SoundFolder(tmp_path)


def test_a_response_that_is_silent_is_named(noise_folder):
    as_float(noise_folder / "dead", np.zeros(500, np.float32))
    with pytest.raises(TrainingError, match=r"dead.wav: is silent; expected an impulse response"):
        made(reverb_folder=noise_folder, reverb_probability=0.5)


def test_samples_that_are_not_finite_are_named_where_they_are_heard(tmp_path):
    samples = noise(1, 8_000)
    samples[100] = np.nan
    as_float(tmp_path / "noise" / "one", samples)
    augmentation = made(noise_folder=tmp_path / "noise", noise_probability=1.0)
    with pytest.raises(TrainingError, match=r"one.wav: .*not finite"):
        augmentation(torch.ones(1, 8_000), torch.zeros(1))


def test_a_file_that_goes_while_training_is_named(tmp_path):
    file = as_float(tmp_path / "noise" / "one", noise(1, 20_000))
    augmentation = made(noise_folder=file.parent, noise_probability=1.0)
    augmentation(torch.ones(1, 8_000), torch.zeros(1))
    file.unlink()
    with pytest.raises(TrainingError, match=r"one.wav: cannot be decoded"):
        augmentation(torch.ones(1, 8_000), torch.zeros(1))


def test_a_folder_without_sound_or_that_is_none_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"nowhere: is no folder; expected one of sound files"):
        SoundFolder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no sound")
    with pytest.raises(TrainingError, match=r"holds no sound file; expected some \(.wav"):
        SoundFolder(tmp_path)
