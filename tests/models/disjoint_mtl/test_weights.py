"""Weights in the layout of facebook/wav2vec2-base: they load through `begin_with`, and what is kept loads anywhere.

The folders are made here, by the library, tiny and with random weights.
"""

import json
import re
import warnings
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForPreTraining, Wav2Vec2Model

from curate.errors import ExtractorError
from curate.hearing import Checkpoint
from models.disjoint_mtl.model import Wav2Vec2Settings
from models.disjoint_mtl.recipe import begin_with, save_encoder
from models.disjoint_mtl.weights import FORM, SIZES
from models.extractors.checkpoint import CheckpointEncoder
from tests.models.disjoint_mtl.systems_made import NETWORK, padded, system_of
from tests.models.made import noises


def published(folder, *, seed=7, do_normalize=True, kind=Wav2Vec2ForPreTraining, **told):
    """As facebook/wav2vec2-base is: the network below the heads of its pre-training."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library
        config = Wav2Vec2Config(**{**NETWORK, "initializer_range": 0.2, "codevector_dim": 16, **told})
        kind(config).eval().save_pretrained(folder)
        Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return folder


def test_a_published_folder_loads_and_gives_the_outputs_of_the_library(tmp_path):
    folder = published(tmp_path / "wav2vec2-base")
    system = system_of("w2v2-dj-2s-0.5").eval()
    heads = {name: one.clone() for name, one in system.state_dict().items() if not name.startswith("network.")}
    (told,) = begin_with(system, folder)
    assert re.fullmatch(rf"{folder}: (\d+) of \1 tensors of the network matched; heads begin anew", told)
    library = Wav2Vec2Model.from_pretrained(folder).eval()
    features = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    waves = noises(0, 6_000, 6_000)
    with torch.no_grad():
        values = features(waves, sampling_rate=16_000, return_tensors="pt")["input_values"]
        expected = library(values, output_hidden_states=True).hidden_states
        found, _ = system.network(torch.from_numpy(np.stack(waves)), layers=range(4))
        vectors = system.layer_vectors(torch.from_numpy(np.stack(waves)))
    for layer, states in enumerate(expected):
        torch.testing.assert_close(found[layer], states, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(vectors[:, layer], states.mean(dim=1), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(system.state_dict()[name], one) for name, one in heads.items())
    assert not any(one.requires_grad for one in system.network.model.feature_extractor.parameters())


def test_the_older_layout_that_the_published_folder_has_loads_too(tmp_path):
    """`pytorch_model.bin`, the norm of a weight under the names that it had, features of no named kind."""
    newer, older = published(tmp_path / "newer"), published(tmp_path / "older")
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = load_file(older / "model.safetensors")
    for new, was in old.items():
        state = {key.replace(new, was): value for key, value in state.items()}
    assert {f"wav2vec2.encoder.pos_conv_embed.conv.{was}" for was in old.values()} <= state.keys()
    torch.save(state, older / "pytorch_model.bin")
    (older / "model.safetensors").unlink()
    features = json.loads((older / "preprocessor_config.json").read_text())
    del features["feature_extractor_type"]
    (older / "preprocessor_config.json").write_text(json.dumps(features))
    first, second = system_of("w2v2-asr-ls"), system_of("w2v2-asr-ls", seed=1)
    begin_with(first, newer)
    (told,) = begin_with(second, older)
    assert re.fullmatch(rf"{older}: (\d+) of \1 tensors of the network matched; heads begin anew", told)
    for name, one in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], one)


def test_without_a_vector_for_masks_it_begins_anew_and_is_told(tmp_path):
    folder = published(tmp_path / "base")
    state = load_file(folder / "model.safetensors")
    del state["wav2vec2.masked_spec_embed"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    system = system_of("w2v2-asr-ls")
    before = system.network.model.masked_spec_embed.clone()
    (told,) = begin_with(system, folder)
    assert told.endswith("heads, masked_spec_embed begin anew")
    assert torch.equal(system.network.model.masked_spec_embed, before)


def test_who_masks_nothing_needs_no_vector_for_masks(tmp_path):
    system = system_of("w2v2-asr-ls", network={"mask_time_prob": 0.0})
    (told,) = begin_with(system, published(tmp_path / "base"))
    assert told.endswith("matched; heads begin anew")


@pytest.mark.parametrize(
    "name", ["w2v2-dj-2s-mean-c6", "w2v2-asr-ls", "w2v2-dj-2s-first-c12", "w2v2-dj-2s-ecapa-c6", "w2v2-skr-10s-ecapa"]
)
def test_an_encoder_that_was_kept_gives_the_vectors_of_embed_and_is_one_to_begin_with(name, tmp_path):
    system = system_of(name).eval().requires_grad_(False)
    save_encoder(tmp_path / "encoder", system)
    hearing = Checkpoint(extractor="checkpoint", source=str(tmp_path / "encoder"), device="cpu")
    waves = noises(1, 5_000, 7_000, 300)
    np.testing.assert_allclose(
        CheckpointEncoder(hearing).embed(waves), system.embed(*padded(waves)).numpy(), rtol=1e-3, atol=1e-4
    )
    other = system_of(name, seed=5)
    begin_with(other, tmp_path / "encoder")
    for key, tensor in system.network.state_dict().items():
        assert torch.equal(other.network.state_dict()[key], tensor)
    assert [*tmp_path.iterdir()] == [tmp_path / "encoder"]
    with pytest.raises(ExtractorError, match="encoder: its intermediate_size is 48; expected 64, that of settings"):
        begin_with(system_of(name, network={"intermediate_size": 64}), tmp_path / "encoder")
    with pytest.raises(ExtractorError, match="encoder: is there already; expected a folder that a checkpoint"):
        save_encoder(tmp_path / "encoder", system)


def test_sizes_and_form_are_looked_at_one_by_one():
    told = asdict(Wav2Vec2Settings())
    assert {*SIZES} <= told.keys()
    assert all(getattr(Wav2Vec2Config(), name) == wanted for name, wanted in FORM.items())
    config = Wav2Vec2Config()
    assert all([*np.atleast_1d(getattr(config, name))] == [*np.atleast_1d(told[name])] for name in SIZES)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"hidden_size": 64}, "its hidden_size is 64; expected 32, that of settings.network.hidden_size"),
        ({"conv_dim": [16] * 7}, r"its conv_dim is \[16, .*\]; expected \[24, .*\], that of settings.network.conv_dim"),
        ({"feat_extract_norm": "layer"}, "its feat_extract_norm is 'layer'; expected 'group', as of facebook/wav2vec2"),
        ({"do_stable_layer_norm": True}, "its do_stable_layer_norm is True; expected False, as of facebook/wav2vec2"),
        ({"do_normalize": False}, "its do_normalize is False; expected True, that of settings.network.do_normalize"),
    ],
)
def test_a_network_of_other_sizes_or_another_form_is_told_in_one_line(changed, complaint, tmp_path):
    folder = published(tmp_path / "base", **changed)
    with pytest.raises(ExtractorError, match=rf"^{re.escape(str(folder))}: {complaint}[^\n]*$"):
        begin_with(system_of("w2v2-asr-ls"), folder)


def test_weights_of_another_kind_or_in_part_are_told_in_one_line(tmp_path):
    folder = published(tmp_path / "base", kind=Wav2Vec2Model)
    state = load_file(folder / "model.safetensors")
    del state["encoder.layers.1.attention.k_proj.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExtractorError, match=r"base: its weights lack 1 parameters, encoder\.layers\.1\.att[^\n]+$"):
        begin_with(system_of("w2v2-asr-ls"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "hubert"}))
    with pytest.raises(ExtractorError, match=r"base: its model_type is 'hubert'; expected 'wav2vec2', as of [^\n]+$"):
        begin_with(system_of("w2v2-asr-ls"), folder)


@pytest.mark.parametrize("place", ["nowhere", "someone/wav2vec2-base", "half"])
def test_weights_that_are_not_there_are_told_in_one_line_that_says_how_to_bring_them(
    place, tmp_path, monkeypatch, hub_cache, no_network
):
    monkeypatch.chdir(tmp_path)
    published(tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    system = system_of("w2v2-asr-ls")
    before = {name: one.clone() for name, one in system.state_dict().items()}
    with pytest.raises(ExtractorError, match=rf"^{place}: [^\n]*`hf download [a-z]+/wav2vec2-base --local-dir FOLDER`"):
        begin_with(system, tmp_path.__class__(place))
    assert all(torch.equal(system.state_dict()[name], one) for name, one in before.items())
