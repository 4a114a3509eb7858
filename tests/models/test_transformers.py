"""What the encoders of `transformers` promise: one layer's mean over time, as the whole network gives it.

The networks are made here, tiny and with random weights, in the layout of the Hugging Face hub.
"""

import importlib.metadata
import json
import pickle
import re
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from curate import audio
from curate.errors import ExtractorError
from curate.hearing import Transformers
from models.extractors import transformers as extractor
from models.extractors.transformers import MeanOfLayer, receptive_field

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import (
        HubertModel,
        SeamlessM4TFeatureExtractor,
        UniSpeechSatModel,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Model,
        WavLMModel,
    )

FILES = (
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a02Tb.wav",
    "fsdd/recordings/4_lucas_2.wav",
    "fsdd/recordings/5_yweweler_5.wav",
)
LAYERS = 4  # of the networks of conftest.py
BASE = {"do_stable_layer_norm": False, "feat_extract_norm": "group"}  # the two forms in which all of them come
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
KINDS = {
    "wav2vec2": Wav2Vec2Model,
    "hubert": HubertModel,
    "wavlm": WavLMModel,
    "unispeech-sat": UniSpeechSatModel,
}


def heard(source, *, layer=2, **settings):
    return MeanOfLayer(
        Transformers(extractor="transformers", source=str(source), layer=layer, device="cpu", **settings)
    )


def whole_network(folder, kind="wav2vec2"):
    network = KINDS[kind].from_pretrained(folder).eval()
    return network, Wav2Vec2FeatureExtractor.from_pretrained(folder)


def expected(folder, waveforms, layer, kind="wav2vec2"):
    """The whole network, one by one, its mask as the feature extractor gives it."""
    network, features = whole_network(folder, kind)
    rows = []
    for waveform in waveforms:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # WavLM's mask is of another type than torch would have it
            states = network(
                **features(waveform, sampling_rate=16_000, return_tensors="pt"), output_hidden_states=True
            ).hidden_states
        assert len(states) == LAYERS + 1
        rows.append(states[layer][0].numpy().mean(axis=0))
    return np.stack(rows)


def noise(seed, num_samples, level=0.1):
    return (0.02 + level * np.random.default_rng(seed).normal(size=num_samples)).astype(np.float32)


def cosine(one, other):
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@pytest.fixture(scope="module")
def speech(corpora):
    return [audio.decode(corpora / file, sample_rate_hz=16_000)[:24_000] for file in FILES]


@pytest.mark.parametrize("form", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_is_the_mean_of_the_layer_as_the_whole_network_gives_it(save_wav2vec2, tmp_path, kind, form):
    is_large = form is LARGE
    folder = save_wav2vec2(tmp_path, kind, form, do_normalize=is_large, return_attention_mask=is_large)
    waveforms = [noise(i, num_samples) for i, num_samples in enumerate((16_000, 7_777, 16_000))]
    vectors = {layer: heard(folder, layer=layer).embed(waveforms) for layer in (0, 2, LAYERS)}
    for layer, means in vectors.items():
        assert means.dtype == np.float32
        np.testing.assert_allclose(means, expected(folder, waveforms, layer, kind), rtol=1e-4, atol=1e-5)
    assert cosine(vectors[0], vectors[2]).max() < 0.999
    assert cosine(vectors[2], vectors[LAYERS]).max() < 0.999


def test_the_layers_above_are_neither_loaded_nor_computed(wav2vec2_folder):
    assert [len(heard(wav2vec2_folder, layer=layer)._network.encoder.layers) for layer in (0, 1, 3, 4)] == [1, 1, 3, 4]


def test_the_waveform_is_normalised_where_the_folder_says_so(save_wav2vec2, tmp_path):
    """By hand: mean 0 and variance 1 beforehand make the setting without effect, and only then."""
    says = {flag: heard(save_wav2vec2(tmp_path / str(flag), do_normalize=flag, form=LARGE)) for flag in (True, False)}
    waveform = noise(0, 8_000)
    normal = ((waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)).astype(np.float32)
    np.testing.assert_allclose(says[True].embed([waveform]), says[False].embed([normal]), rtol=1e-4, atol=1e-5)
    assert np.abs(says[True].embed([waveform]) - says[False].embed([waveform])).max() > 1e-3


def test_the_sample_rate_and_dimension_are_those_of_the_folder(save_wav2vec2, tmp_path):
    encoder = heard(save_wav2vec2(tmp_path, sampling_rate=8_000))
    assert (encoder.sample_rate_hz, encoder.dimension) == (8_000, 32)
    assert encoder.embed([noise(0, 8_000)]).shape == (1, 32)


@pytest.mark.real
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_shuffled_batch_gives_the_vectors_that_one_by_one_gives(wav2vec2_folder, speech, precision):
    encoder = heard(wav2vec2_folder, precision=precision)
    assert encoder.batch_s == 0  # on the processor
    waveforms = [*speech, *(waveform[:9_000] for waveform in speech[:2])]
    alone = np.concatenate([encoder.embed([waveform]) for waveform in waveforms])
    encoder.batch_s = 60.0
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(waveforms))
        together = encoder.embed([waveforms[i] for i in order])
        assert cosine(together, alone[order]).min() >= 0.99999


def test_only_waveforms_of_one_length_share_a_batch(wav2vec2_folder, monkeypatch):
    encoder = heard(wav2vec2_folder)
    encoder.batch_s = 60.0
    sizes, embed = [], encoder._embed
    monkeypatch.setattr(encoder, "_embed", lambda batch: sizes.append(batch.shape) or embed(batch))
    encoder.embed([noise(i, num_samples) for i, num_samples in enumerate((800, 900, 800, 801))])
    assert sizes == [(2, 800), (1, 801), (1, 900)]


@pytest.mark.real
@pytest.mark.parametrize("form", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
def test_bfloat16_hardly_moves_a_vector(save_wav2vec2, tmp_path, speech, kind, form):
    folder = save_wav2vec2(tmp_path, kind, form)
    exact, rounded = heard(folder).embed(speech), heard(folder, precision="bfloat16").embed(speech)
    assert cosine(exact, rounded).min() >= 0.999
    assert np.abs(exact - rounded).max() > 0


def test_with_bfloat16_only_the_layers_compute_in_it(wav2vec2_folder):
    encoder, seen = heard(wav2vec2_folder, precision="bfloat16"), {}
    parts = {
        "waveform": encoder._network.feature_extractor.module,
        "positions": encoder._network.encoder.pos_conv_embed.module,
        "layer": encoder._network.encoder.layers[1].attention.q_proj,
    }
    for name, part in parts.items():
        part.register_forward_hook(lambda _, given, result, name=name: seen.update({name: result.dtype}))
    vector = encoder.embed([noise(0, 800)])
    assert vector.dtype == np.float32
    assert seen == {"waveform": torch.float32, "positions": torch.float32, "layer": torch.bfloat16}


def test_threads_may_call_at_once(wav2vec2_folder):
    encoder = heard(wav2vec2_folder)
    waveforms = [noise(i, 4_000 + 40 * i) for i in range(12)]
    alone = encoder.embed(waveforms)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda waveform: encoder.embed([waveform])[0], waveforms))
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_a_waveform_too_short_for_a_frame_is_repeated(wav2vec2_folder):
    encoder = heard(wav2vec2_folder)
    short = noise(0, 150)
    np.testing.assert_array_equal(encoder.embed([short]), encoder.embed([np.tile(short, 3)[:400]]))
    assert np.isfinite(encoder.embed([noise(0, 1), np.zeros(3, np.float32), noise(0, 399), noise(0, 400)])).all()


def test_wav2vec2_sees_25_ms_in_a_frame():
    assert receptive_field((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)) == 400


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=4))
def test_a_stack_of_convolutions_gives_one_frame_of_what_it_sees_and_none_of_less(stack):
    kernels, strides = zip(*stack, strict=True)
    convolutions = nn.Sequential(*(nn.Conv1d(1, 1, kernel, stride) for kernel, stride in stack))
    num_samples = receptive_field(kernels, strides)
    assert convolutions(torch.zeros(1, 1, num_samples)).shape == (1, 1, 1)
    if num_samples > 1:
        with pytest.raises(RuntimeError):
            convolutions(torch.zeros(1, 1, num_samples - 1))


def test_weights_below_a_head_of_another_task_are_found(save_wav2vec2, tmp_path, wav2vec2_folder):
    save_wav2vec2(tmp_path, with_head=True)
    network = Wav2Vec2ForCTC.from_pretrained(tmp_path).wav2vec2.eval()
    with torch.no_grad():
        values = Wav2Vec2FeatureExtractor()(noise(0, 4_000), sampling_rate=16_000, return_tensors="pt").input_values
        wanted = network(values, output_hidden_states=True).hidden_states[2].mean(1).numpy()
    np.testing.assert_allclose(heard(tmp_path).embed([noise(0, 4_000)]), wanted, rtol=1e-4, atol=1e-5)


def pickled(folder, source):
    """The older layout: pytorch_model.bin, the norm of a weight under the names that it had then."""
    state = Wav2Vec2Model.from_pretrained(source).state_dict()
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for new, was in old.items():
        state = {key.replace(new, was): value for key, value in state.items()}
    assert any(key.endswith("weight_g") for key in state)
    folder.mkdir()
    torch.save(state, folder / "pytorch_model.bin")
    for name in extractor.CONFIGS:
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def test_older_weights_are_read_too(tmp_path, wav2vec2_folder):
    older = heard(pickled(tmp_path / "older", wav2vec2_folder))
    np.testing.assert_array_equal(older.embed([noise(0, 4_000)]), heard(wav2vec2_folder).embed([noise(0, 4_000)]))


class Planted:
    """What a hostile file of weights would run when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_nothing_in_a_file_of_weights_is_run(tmp_path, wav2vec2_folder):
    folder = pickled(tmp_path / "hostile", wav2vec2_folder)
    (folder / "pytorch_model.bin").unlink()
    torch.save({"masked_spec_embed": Planted(tmp_path / "mark")}, folder / "pytorch_model.bin")
    with pytest.raises(ExtractorError, match=r"hostile: expected a network of `transformers`: [^\n]+$"):
        heard(folder)
    assert not (tmp_path / "mark").exists()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(tmp_path / "mark")))
    with pytest.raises(ExtractorError):
        heard(folder)
    assert not (tmp_path / "mark").exists()


def test_no_code_of_the_folder_is_run(save_wav2vec2, tmp_path):
    save_wav2vec2(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Network"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(ExtractorError, match=r"expected a network of `transformers`: [^\n]+$"):
        heard(tmp_path)


def test_a_layer_that_the_network_lacks_is_told_in_one_line(wav2vec2_folder):
    with pytest.raises(
        ExtractorError, match=rf"^{re.escape(str(wav2vec2_folder))}: layer = 5; expected 0 to 4, the layers"
    ):
        heard(wav2vec2_folder, layer=5)


def test_weights_that_lack_parameters_are_refused_instead_of_made_up(tmp_path, wav2vec2_folder):
    """`transformers` would draw them at random."""
    folder = pickled(tmp_path / "part", wav2vec2_folder)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del state["encoder.layers.1.attention.k_proj.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ExtractorError, match=r"part: its weights lack 1 parameters, encoder\.layers\.1\.attention\.k"):
        heard(folder)
    assert heard(folder, layer=1).embed([noise(0, 800)]).shape == (1, 32)  # where that layer is not wanted


def test_a_folder_without_what_it_needs_is_told_in_one_line(tmp_path, wav2vec2_folder):
    for name in (*extractor.CONFIGS, "model.safetensors"):
        folder = tmp_path / f"without-{name}"
        folder.mkdir()
        for file in wav2vec2_folder.iterdir():
            if file.name != name:
                (folder / file.name).write_bytes(file.read_bytes())
        with pytest.raises(ExtractorError, match=rf"^{re.escape(str(folder))}: no {name} in it; expected [^\n]+$"):
            heard(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_damaged_file_is_told_in_one_line(save_wav2vec2, tmp_path, name):
    save_wav2vec2(tmp_path)
    (tmp_path / name).write_bytes(b"{damaged")
    with pytest.raises(ExtractorError, match=rf"^{re.escape(str(tmp_path))}: expected a network of [^\n]+$"):
        heard(tmp_path)


def test_networks_of_another_kind_are_told_in_one_line(save_wav2vec2, tmp_path):
    save_wav2vec2(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "whisper"}))
    with pytest.raises(ExtractorError, match="its model_type is 'whisper'; expected one of wav2vec2, hubert, wavlm"):
        heard(tmp_path)
    SeamlessM4TFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ExtractorError, match="those of SeamlessM4TFeatureExtractor; expected Wav2Vec2FeatureExtractor"):
        heard(tmp_path)


def test_a_name_at_the_hub_is_found_in_the_cache(hub_cache, no_network, wav2vec2_folder):
    folder = hub_cache / "models--someone--wav2vec2-tiny"
    shutil.copytree(wav2vec2_folder, folder / "snapshots" / "0123456789abcdef0123456789abcdef01234567")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123456789abcdef0123456789abcdef01234567")
    encoder = heard("someone/wav2vec2-tiny")
    assert encoder.name == "wav2vec2-tiny"
    assert encoder.fingerprint == heard(wav2vec2_folder).fingerprint
    assert no_network == []


def test_the_fingerprint_differs_with_what_a_vector_depends_on(save_wav2vec2, tmp_path, wav2vec2_folder, monkeypatch):
    before = heard(wav2vec2_folder)
    assert re.fullmatch("transformers-[0-9a-f]{24}", before.fingerprint)
    assert heard(wav2vec2_folder, name="other").fingerprint == before.fingerprint
    assert heard(wav2vec2_folder, name="other").name == "other"
    others = {
        heard(wav2vec2_folder, layer=3).fingerprint,
        heard(wav2vec2_folder, precision="bfloat16").fingerprint,
        heard(save_wav2vec2(tmp_path / "seed", seed=1)).fingerprint,
        heard(save_wav2vec2(tmp_path / "features", do_normalize=False)).fingerprint,
    }
    version = importlib.metadata.version
    for package in ("torch", "transformers"):
        monkeypatch.setattr(importlib.metadata, "version", lambda name, p=package: version(name) + ".1" * (name == p))
        others.add(heard(wav2vec2_folder).fingerprint)
    assert len(others - {before.fingerprint}) == 6


def test_loading_is_quiet_and_leaves_the_library_as_it_was(wav2vec2_folder, capfd):
    from transformers.utils import logging

    was = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        heard(wav2vec2_folder, layer=1)
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity(was)
    assert capfd.readouterr() == ("", "")
