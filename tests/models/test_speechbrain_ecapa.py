"""What our own network promises of SpeechBrain's ECAPA-TDNN: the same vectors, and no say in what it does not know."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from curate.errors import ExtractorError
from models.extractors import speechbrain as encoder_module
from models.extractors import speechbrain_ecapa
from models.extractors.speechbrain_ecapa import OneByOne, Padded
from models.extractors.speechbrain_modules import Modules
from tests.models.made import cosines, edit, encoder_of, noises


@pytest.fixture(scope="module")
def ours(speechbrain_folders):
    return encoder_of(speechbrain_folders["ecapa"])


@pytest.mark.real
def test_our_own_network_and_speechbrains_agree(speechbrain_folders, ours, speech, monkeypatch):
    monkeypatch.setattr(encoder_module, "own_ecapa", lambda *given: None)
    theirs = encoder_of(speechbrain_folders["ecapa"])
    assert isinstance(theirs._encoder, Modules)
    assert isinstance(ours._encoder, OneByOne)
    assert cosines(theirs.embed(speech), ours.embed(speech)).min() >= 0.99999
    assert theirs.fingerprint != ours.fingerprint


@pytest.mark.real
def test_in_padded_batches_as_on_a_gpu_our_network_gives_the_same(speechbrain_folders, ours, speech, monkeypatch):
    monkeypatch.setattr(speechbrain_ecapa, "OneByOne", Padded)
    monkeypatch.setattr(encoder_module, "BATCH_S_CPU", 9.0)  # two batches of several
    padded, half = (
        encoder_of(speechbrain_folders["ecapa"]),
        encoder_of(speechbrain_folders["ecapa"], precision="bfloat16"),
    )
    assert isinstance(padded._encoder, Padded)
    expected = ours.embed(speech)
    for order in ([0, 1, 2, 3, 4], [3, 0, 4, 2, 1]):
        assert cosines(padded.embed([speech[i] for i in order]), expected[order]).min() >= 0.99999
        assert cosines(half.embed([speech[i] for i in order]), expected[order]).min() >= 0.999


@pytest.mark.real
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    f_min: 20"),
        ("n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    filter_shape: gaussian"),
        ("std_norm: False\n\nembedding", "std_norm: True\n\nembedding"),
        ("lin_neurons: 48", "lin_neurons: 48\n    activation: !name:torch.nn.GELU"),
        ("lin_neurons: 48", "lin_neurons: 48\n    something_new: 1"),
    ],
)
def test_settings_that_our_network_does_not_know_are_left_to_speechbrain(old, new, ecapa_folder, encode_batch, speech):
    edit(ecapa_folder, old, new)
    if "something_new" in new:
        with pytest.raises(ExtractorError, match="cannot make"):
            encoder_of(ecapa_folder)
        return
    encoder = encoder_of(ecapa_folder)
    assert isinstance(encoder._encoder, Modules)
    assert cosines(encoder.embed(speech), encode_batch(ecapa_folder, speech)).min() >= 0.99999


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lin_neurons: 48", "lin_neurons: 48\n    activation: !name:torch.nn.ReLU\n    dropout: 0.1"),
        (
            "n_mels: !ref <n_mels>",
            "n_mels: !ref <n_mels>\n    sample_rate: 16000\n    left_frames: 0\n    deltas: False",
        ),
        ("    dilations: [1, 2, 3, 4, 1]\n", ""),
    ],
)
def test_settings_that_change_nothing_are_left_to_our_network(old, new, ecapa_folder, ours):
    encoder, waveforms = encoder_of(edit(ecapa_folder, old, new)), noises(0, 4_000)
    assert isinstance(encoder._encoder, OneByOne)
    np.testing.assert_array_equal(encoder.embed(waveforms), ours.embed(waveforms))


def test_the_defaults_that_our_network_counts_on_are_speechbrains(library):
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    for kind, fixed, free in (
        (Fbank, speechbrain_ecapa.FBANK_IS | {"f_max": None}, speechbrain_ecapa.FBANK_FREE),
        (InputNormalization, speechbrain_ecapa.NORM_IS, speechbrain_ecapa.NORM_FREE),
        (ECAPA_TDNN, speechbrain_ecapa.NETWORK_IS, speechbrain_ecapa.NETWORK_FREE),
    ):
        takes = inspect.signature(kind).parameters
        assert set(takes) == set(fixed) | free  # a setting that is new to us is known of
        assert {key: takes[key].default for key in fixed} == fixed
    assert inspect.signature(Fbank).parameters["n_mels"].default == speechbrain_ecapa.DEFAULT_BANDS
    assert tuple(inspect.signature(ECAPA_TDNN).parameters["dilations"].default) == speechbrain_ecapa.DEFAULT_DILATIONS


def test_an_ecapa_is_heard_with_without_importing_speechbrain(speechbrain_folders):
    folder = str(speechbrain_folders["ecapa"])
    code = (
        "import sys; from curate.hearing import SpeechBrain;"
        "from models.extractors.speechbrain import SpeechBrainEncoder;"
        f"SpeechBrainEncoder(SpeechBrain(extractor='speechbrain', source={folder!r}, device='cpu'));"
        "sys.exit('speechbrain' in sys.modules)"
    )
    home = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
