"""What the encoders of `transformers` promise: one layer's mean over time, as the whole network gives it.

The networks are made here, tiny and with random weights, in the layout of the Hugging Face hub.
"""

import importlib.metadata
import json
import pickle
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch

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
    import huggingface_hub
    from transformers import (
        HubertConfig,
        HubertModel,
        SeamlessM4TFeatureExtractor,
        UniSpeechSatConfig,
        UniSpeechSatModel,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Model,
        WavLMConfig,
        WavLMModel,
    )

FILES = (
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a02Tb.wav",
    "fsdd/recordings/4_lucas_2.wav",
    "fsdd/recordings/5_yweweler_5.wav",
)
LAYERS = 4
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "initializer_range": 0.2,  # so that the layers do something
}
BASE = {"do_stable_layer_norm": False, "feat_extract_norm": "group"}  # the two forms in which all of them come
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
KINDS = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
    "unispeech-sat": (UniSpeechSatConfig, UniSpeechSatModel),
}


def made(folder, kind="wav2vec2", form=BASE, *, seed=0, with_head=False, **features):
    """A folder in the layout of the hub."""
    config, network = KINDS[kind]
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = (Wav2Vec2ForCTC if with_head else network)(config(**TINY, **form))
        whole.save_pretrained(folder)
        Wav2Vec2FeatureExtractor(**features).save_pretrained(folder)
    return folder


def heard(source, *, layer=2, **settings):
    return MeanOfLayer(
        Transformers(extractor="transformers", source=str(source), layer=layer, device="cpu", **settings)
    )


def whole_network(folder, kind="wav2vec2"):
    network = KINDS[kind][1].from_pretrained(folder).eval()
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


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return made(tmp_path_factory.mktemp("wav2vec2-base"))


@pytest.mark.parametrize("form", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_is_the_mean_of_the_layer_as_the_whole_network_gives_it(tmp_path, kind, form):
    is_large = form is LARGE
    folder = made(tmp_path, kind, form, do_normalize=is_large, return_attention_mask=is_large)
    waveforms = [noise(i, num_samples) for i, num_samples in enumerate((16_000, 7_777, 16_000))]
    vectors = {layer: heard(folder, layer=layer).embed(waveforms) for layer in (0, 2, LAYERS)}
    for layer, means in vectors.items():
        assert means.dtype == np.float32
        np.testing.assert_allclose(means, expected(folder, waveforms, layer, kind), rtol=1e-4, atol=1e-5)
    assert cosine(vectors[0], vectors[2]).max() < 0.999
    assert cosine(vectors[2], vectors[LAYERS]).max() < 0.999


def test_the_layers_above_are_neither_loaded_nor_computed(base):
    assert [len(heard(base, layer=layer)._network.encoder.layers) for layer in (0, 1, 3, 4)] == [1, 1, 3, 4]


def test_the_waveform_is_normalised_where_the_folder_says_so(tmp_path):
    """By hand: mean 0 and variance 1 beforehand make the setting without effect, and only then."""
    says = {flag: heard(made(tmp_path / str(flag), do_normalize=flag, form=LARGE)) for flag in (True, False)}
    waveform = noise(0, 8_000)
    normal = ((waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)).astype(np.float32)
    np.testing.assert_allclose(says[True].embed([waveform]), says[False].embed([normal]), rtol=1e-4, atol=1e-5)
    assert np.abs(says[True].embed([waveform]) - says[False].embed([waveform])).max() > 1e-3


def test_the_sample_rate_and_dimension_are_those_of_the_folder(tmp_path):
    encoder = heard(made(tmp_path, sampling_rate=8_000))
    assert (encoder.sample_rate_hz, encoder.dimension) == (8_000, 32)
    assert encoder.embed([noise(0, 8_000)]).shape == (1, 32)


@pytest.mark.real
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_shuffled_batch_gives_the_vectors_that_one_by_one_gives(base, speech, precision):
    encoder = heard(base, precision=precision)
    assert encoder.batch_s == 0  # on the processor
    waveforms = [*speech, *(waveform[:9_000] for waveform in speech[:2])]
    alone = np.concatenate([encoder.embed([waveform]) for waveform in waveforms])
    encoder.batch_s = 60.0
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(waveforms))
        together = encoder.embed([waveforms[i] for i in order])
        assert cosine(together, alone[order]).min() >= 0.99999


def test_only_waveforms_of_one_length_share_a_batch(base, monkeypatch):
    encoder = heard(base)
    encoder.batch_s = 60.0
    sizes, embed = [], encoder._embed
    monkeypatch.setattr(encoder, "_embed", lambda batch: sizes.append(batch.shape) or embed(batch))
    encoder.embed([noise(i, num_samples) for i, num_samples in enumerate((800, 900, 800, 801))])
    assert sizes == [(2, 800), (1, 801), (1, 900)]


@pytest.mark.real
@pytest.mark.parametrize("form", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
def test_bfloat16_hardly_moves_a_vector(tmp_path, speech, kind, form):
    folder = made(tmp_path, kind, form)
    exact, rounded = heard(folder).embed(speech), heard(folder, precision="bfloat16").embed(speech)
    assert cosine(exact, rounded).min() >= 0.999
    assert np.abs(exact - rounded).max() > 0


def test_with_bfloat16_only_the_layers_compute_in_it(base):
    encoder, seen = heard(base, precision="bfloat16"), {}
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


def test_threads_may_call_at_once(base):
    encoder = heard(base)
    waveforms = [noise(i, 4_000 + 40 * i) for i in range(12)]
    alone = encoder.embed(waveforms)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda waveform: encoder.embed([waveform])[0], waveforms))
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_a_waveform_too_short_for_a_frame_is_repeated(base):
    encoder = heard(base)
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


def test_weights_below_a_head_of_another_task_are_found(tmp_path, base):
    made(tmp_path, with_head=True)
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


def test_older_weights_are_read_too(tmp_path, base):
    older = heard(pickled(tmp_path / "older", base))
    np.testing.assert_array_equal(older.embed([noise(0, 4_000)]), heard(base).embed([noise(0, 4_000)]))


class Planted:
    """What a hostile file of weights would run when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_nothing_in_a_file_of_weights_is_run(tmp_path, base):
    folder = pickled(tmp_path / "hostile", base)
    (folder / "pytorch_model.bin").unlink()
    torch.save({"masked_spec_embed": Planted(tmp_path / "mark")}, folder / "pytorch_model.bin")
    with pytest.raises(ExtractorError, match=r"hostile: expected a network of `transformers`: [^\n]+$"):
        heard(folder)
    assert not (tmp_path / "mark").exists()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(tmp_path / "mark")))
    with pytest.raises(ExtractorError):
        heard(folder)
    assert not (tmp_path / "mark").exists()


def test_no_code_of_the_folder_is_run(tmp_path):
    made(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Network"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(ExtractorError, match=r"expected a network of `transformers`: [^\n]+$"):
        heard(tmp_path)


def test_a_layer_that_the_network_lacks_is_told_in_one_line(base):
    with pytest.raises(ExtractorError, match=rf"^{re.escape(str(base))}: layer = 5; expected 0 to 4, the layers"):
        heard(base, layer=5)


def test_weights_that_lack_parameters_are_refused_instead_of_made_up(tmp_path, base):
    """`transformers` would draw them at random."""
    folder = pickled(tmp_path / "part", base)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del state["encoder.layers.1.attention.k_proj.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ExtractorError, match=r"part: its weights lack 1 parameters, encoder\.layers\.1\.attention\.k"):
        heard(folder)
    assert heard(folder, layer=1).embed([noise(0, 800)]).shape == (1, 32)  # where that layer is not wanted


def test_a_folder_without_what_it_needs_is_told_in_one_line(tmp_path, base):
    for name in (*extractor.CONFIGS, "model.safetensors"):
        folder = tmp_path / f"without-{name}"
        folder.mkdir()
        for file in base.iterdir():
            if file.name != name:
                (folder / file.name).write_bytes(file.read_bytes())
        with pytest.raises(ExtractorError, match=rf"^{re.escape(str(folder))}: no {name} in it; expected [^\n]+$"):
            heard(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_damaged_file_is_told_in_one_line(tmp_path, name):
    made(tmp_path)
    (tmp_path / name).write_bytes(b"{damaged")
    with pytest.raises(ExtractorError, match=rf"^{re.escape(str(tmp_path))}: expected a network of [^\n]+$"):
        heard(tmp_path)


def test_networks_of_another_kind_are_told_in_one_line(tmp_path):
    made(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "whisper"}))
    with pytest.raises(ExtractorError, match="its model_type is 'whisper'; expected one of wav2vec2, hubert, wavlm"):
        heard(tmp_path)
    SeamlessM4TFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ExtractorError, match="those of SeamlessM4TFeatureExtractor; expected Wav2Vec2FeatureExtractor"):
        heard(tmp_path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def test_a_name_at_the_hub_is_found_in_the_cache(cache, base):
    folder = cache / "models--someone--wav2vec2-tiny"
    snapshot = folder / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(snapshot.name)
    for file in base.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    encoder = heard("someone/wav2vec2-tiny")
    assert encoder.name == "wav2vec2-tiny"
    assert encoder.fingerprint == heard(base).fingerprint
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ExtractorError, match="someone/wav2vec2-tiny: not whole in the cache"):
        heard("someone/wav2vec2-tiny")


def test_a_name_that_is_not_in_the_cache_says_how_to_bring_it(cache):
    told = (
        r"^microsoft/wavlm-base: not whole in the cache .*`hf download microsoft/wavlm-base --local-dir FOLDER`[^\n]+$"
    )
    with pytest.raises(ExtractorError, match=told):
        heard("microsoft/wavlm-base")
    for source in ("/no/such/folder", "a/b/c", "folder"):
        with pytest.raises(ExtractorError, match=rf"^{source}: no such folder; expected [^\n]+$"):
            heard(source)


@pytest.mark.parametrize("has_safetensors", [True, False])
def test_of_the_hub_only_what_is_read_is_asked_for(cache, tmp_path, base, monkeypatch, has_safetensors):
    there, here, asked = pickled(tmp_path / "there", base), tmp_path / "here", []
    here.mkdir()
    if has_safetensors:
        (there / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())

    def hub(name, *, local_files_only=False, allow_patterns=None):
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        for file in there.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                asked.append(file.name)
                (here / file.name).write_bytes(file.read_bytes())
        return str(here)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    encoder = heard("someone/network")
    np.testing.assert_array_equal(encoder.embed([noise(0, 800)]), heard(base).embed([noise(0, 800)]))
    weights = "model.safetensors" if has_safetensors else "pytorch_model.bin"
    assert set(asked) == {*extractor.CONFIGS, weights}


def test_the_fingerprint_differs_with_what_a_vector_depends_on(tmp_path, base, monkeypatch):
    before = heard(base)
    assert re.fullmatch("transformers-[0-9a-f]{24}", before.fingerprint)
    assert heard(base, name="other").fingerprint == before.fingerprint
    assert heard(base, name="other").name == "other"
    others = {
        heard(base, layer=3).fingerprint,
        heard(base, precision="bfloat16").fingerprint,
        heard(made(tmp_path / "seed", seed=1)).fingerprint,
        heard(made(tmp_path / "features", do_normalize=False)).fingerprint,
    }
    version = importlib.metadata.version
    for package in ("torch", "transformers"):
        monkeypatch.setattr(importlib.metadata, "version", lambda name, p=package: version(name) + ".1" * (name == p))
        others.add(heard(base).fingerprint)
    assert len(others - {before.fingerprint}) == 6


def test_loading_is_quiet_and_leaves_the_library_as_it_was(base, capfd):
    from transformers.utils import logging

    was = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        heard(base, layer=1)
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity(was)
    assert capfd.readouterr() == ("", "")
