"""What the encoder of our own checkpoints promises: one by one, in batches and in threads the same vectors."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate import audio
from curate.errors import ExtractorError
from curate.hearing import Checkpoint
from models import checkpoint
from models.age_adversarial.joined import Joined, JoinedSettings
from models.age_adversarial.rawnet2 import RawNet2, RawNet2Settings
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.checkpoint import FEATURES
from models.common import onednn
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.resnet import ResNet, ResNetSettings
from models.disjoint_mtl.encoder import SpeakerEncoder, SpeakerEncoderSettings
from models.disjoint_mtl.model import Wav2Vec2Settings
from models.extractors.batches import of_like_length
from models.extractors.checkpoint import CheckpointEncoder
from models.multi_similarity.model import MfccResNet, MfccResNetSettings, XVector, XVectorSettings
from models.training.system import checked
from tests.models.disjoint_mtl.systems_made import NETWORK
from tests.models.made import cosines, noise

FILES = (
    "LibriSpeech/test-other/1688/142285/1688-142285-0000.flac",
    "LibriSpeech/train-clean-100/19/198/19-198-0000.flac",
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a02Tb.wav",
    "fsdd/recordings/4_lucas_2.wav",
)
ECAPA = EcapaSettings(channels=64, pooled_channels=96, attention_channels=16, se_channels=16)
WAV2VEC2 = checked(Wav2Vec2Settings, NETWORK)
RAWNET2 = RawNet2Settings(filters=16, channels=(16, 16, 24, 24, 24, 24), gru_size=32, dimension=64)
MADE = {
    "ecapa-of-speechbrain": (Ecapa, ECAPA, "speechbrain"),
    "resnet-of-kaldi": (ResNet, ResNetSettings(num_bands=40, channels=8, blocks=(1, 1, 1, 1), dimension=64), "kaldi"),
    "half-resnet-of-log-mel": (
        HalfResNet, HalfResNetSettings(num_bands=40, channels=8, blocks=(1, 1, 1, 1), dimension=64), "log-mel",
    ),
    "resnet-of-mfcc": (MfccResNet, MfccResNetSettings(channels=8, blocks=(1, 1, 1, 1), dimension=64), "mfcc"),
    "x-vector-of-mfcc": (XVector, XVectorSettings(channels=32, pooled_channels=48, dimension=64), "mfcc"),
    "rawnet2-of-wave": (RawNet2, RAWNET2, "wave"),
    "joined-of-wave": (Joined, JoinedSettings(ecapa=ECAPA, rawnet2=RAWNET2), "wave"),
    "wav2vec2-of-wave": (SpeakerEncoder, SpeakerEncoderSettings(network=WAV2VEC2, layer=3), "wave"),
}  # fmt: skip
EACH = pytest.mark.parametrize("which", sorted(MADE))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint of each, which has heard a little, so that its normalisations are not those of the start."""
    found = {}
    for name, (new, settings, features) in MADE.items():
        torch.manual_seed(0)
        network = new(settings)
        for seed in range(3):
            network(FEATURES[features](settings.num_bands)(torch.from_numpy(noise(seed, 16_000)).reshape(4, -1))[0])
        found[name] = tmp_path_factory.mktemp("checkpoints") / name
        checkpoint.save(found[name], network, features=features, min_same_person=0.7)
    return found


@pytest.fixture(scope="module")
def speech(corpora):
    return [audio.decode(corpora / file, sample_rate_hz=16_000)[:64_000] for file in FILES]


def encoder(folder, **settings):
    return CheckpointEncoder(Checkpoint(extractor="checkpoint", source=str(folder), device="cpu", **settings))


def in_batches(encoder, folder):
    """As on a GPU: the network under masks, up to 20 s a batch."""
    encoder._network, encoder._max_samples = checkpoint.load(folder).network, 20 * 16_000
    return encoder


@pytest.mark.real
@EACH
def test_vectors_are_the_same_in_any_order_in_batches_and_in_threads(which, folders, speech):
    alone = encoder(folders[which])
    expected = np.concatenate([alone.embed([waveform]) for waveform in speech])
    assert expected.shape == (len(speech), alone.dimension)
    assert expected.dtype == np.float32
    batched = in_batches(encoder(folders[which]), folders[which])
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(len(speech))
        shuffled = [speech[i] for i in order]
        assert cosines(alone.embed(shuffled), expected[order]).min() >= 0.99999
        assert cosines(batched.embed(shuffled), expected[order]).min() >= 0.99999
    with ThreadPoolExecutor(3) as pool:
        threaded = np.concatenate(list(pool.map(lambda waveform: alone.embed([waveform]), speech)))
    assert cosines(threaded, expected).min() >= 0.99999
    away = expected - expected.mean(axis=0)
    assert cosines(away, np.roll(away, 1, axis=0)).max() < 0.99  # else all would be alike whatever is heard


@EACH
def test_a_waveform_too_short_is_repeated(which, folders):
    found = encoder(folders[which])
    for num_samples in (1, 7, found._min_samples - 1):
        waveform = noise(num_samples, num_samples)
        vector = found.embed([waveform])
        assert np.isfinite(vector).all()
        np.testing.assert_array_equal(vector, found.embed([np.resize(waveform, found._min_samples)]))
    together = in_batches(encoder(folders[which]), folders[which]).embed([noise(1, 1), noise(2, 5000)])
    assert cosines(together, found.embed([noise(1, 1), noise(2, 5000)])).min() >= 0.99999


@EACH
def test_silence_has_a_vector_alone_and_beside_speech(which, folders):
    found = encoder(folders[which])
    half = np.concatenate([noise(0, 8_000), np.zeros(8_000, np.float32)])
    waveforms = [np.zeros(1, np.float32), np.zeros(3_000, np.float32), half, np.full(16_000, 0.5, np.float32)]
    alone = np.concatenate([found.embed([waveform]) for waveform in waveforms])
    assert np.isfinite(alone).all()
    together = in_batches(encoder(folders[which]), folders[which]).embed([*waveforms, noise(1, 20_000)])
    assert cosines(together[:-1], alone).min() >= 0.99999


@EACH
def test_it_says_what_its_checkpoint_says(which, folders):
    found = encoder(folders[which])
    assert (found.name, found.sample_rate_hz, found.batch_s) == (which, 16_000, 0.0)
    assert (found.min_same_person, found.min_one_person) == (0.7, None)
    assert found.dimension == MADE[which][1].dimension
    assert encoder(folders[which], name="mine").name == "mine"


def test_its_fingerprint_follows_weights_and_the_precision_that_it_computes_in(folders, monkeypatch):
    without = encoder(folders["resnet-of-kaldi"], precision="bfloat16").fingerprint
    if not onednn.has_bfloat16():
        assert without == encoder(folders["resnet-of-kaldi"]).fingerprint  # the same vectors are not computed twice
    monkeypatch.setattr(onednn, "fastest", lambda dtype: dtype)  # as on a processor that has it
    usual = {name: encoder(folder).fingerprint for name, folder in folders.items()}
    lowered = encoder(folders["resnet-of-kaldi"], precision="bfloat16").fingerprint
    assert len({*usual.values(), lowered}) == len(MADE) + 1
    assert all(found.startswith("checkpoint-") for found in (*usual.values(), lowered))
    assert encoder(folders["resnet-of-kaldi"]).fingerprint == usual["resnet-of-kaldi"]


@EACH
def test_bfloat16_agrees_with_float32_and_says_where_it_is_not_to_be_had(which, folders, caplog):
    waveforms = [noise(seed, 16_000) for seed in range(2)]
    with caplog.at_level(logging.WARNING, logger="voxcurate"):
        lowered = encoder(folders[which], precision="bfloat16")
    assert bool(caplog.records) != onednn.has_bfloat16()
    assert cosines(lowered.embed(waveforms), encoder(folders[which]).embed(waveforms)).min() >= 0.9999


def test_a_folder_without_a_checkpoint_is_told_in_one_line(tmp_path):
    with pytest.raises(ExtractorError, match=r"^[^\n]*model\.json: cannot be read [^\n]*; expected[^\n]*$"):
        encoder(tmp_path)


@given(lengths=st.lists(st.integers(1, 50), max_size=12), max_samples=st.integers(0, 100))
def test_batches_hold_each_waveform_once_and_no_more_than_they_may(lengths, max_samples):
    batches = of_like_length(lengths, max_samples)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_samples
