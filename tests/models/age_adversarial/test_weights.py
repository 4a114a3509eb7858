"""What a system begins with and what is kept of it: SpeechBrain's weights and ours, encoders."""

import numpy as np
import pytest
import torch

from curate.errors import ExtractorError
from curate.hearing import Checkpoint
from models import checkpoint
from models.age_adversarial.recipe import begin_with, save_encoder
from models.extractors.checkpoint import CheckpointEncoder
from tests.models.age_adversarial.systems_made import ECAPA, RAWNET2, system_of
from tests.models.made import noises

E, E_R = "age-leq29-e-wod", "age-leq29-e-r-wod"
PUBLISHED = {"channels": 64, "pooled_channels": 192, "attention_channels": 32}  # see conftest.py; its embedding is 48
WIDER = PUBLISHED | {"dimension": 64}


def state_of(module):
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("is_folder", [True, False])
def test_of_speechbrain_s_weights_all_but_the_last_layer_are_begun_with(ecapa_folder, is_folder):
    system = system_of(E, network=WIDER, seed=5)
    begun = state_of(system)
    place = ecapa_folder if is_folder else ecapa_folder / "embedding_model.ckpt"
    theirs = torch.load(ecapa_folder / "embedding_model.ckpt", weights_only=True)
    left = "classifier.ckpt, mean_var_norm_emb.ckpt" if is_folder else "none"
    assert begin_with(system, place) == [
        f"{place}: {len(theirs) - 2} of {len(theirs)} tensors of ecapa matched; fc.bias, fc.weight begin anew: "
        "its embedding has 48 values, ours 64",
        f"{place}: left: {left}; heads, discriminators begin anew",
    ]
    after = state_of(system)
    changed = {key for key in after if not torch.equal(after[key], begun[key])}
    assert torch.equal(after["network.mfa.conv.weight"], theirs["mfa.conv.conv.weight"])
    assert {"network.asp_bn.running_mean", "network.blocks.0.conv.weight"} <= changed
    assert all(key.startswith("network.") and not key.startswith("network.fc.") for key in changed)


def test_an_embedding_of_the_same_size_is_begun_with_whole(ecapa_folder):
    system = system_of(E, network=PUBLISHED | {"dimension": 48})
    lines = begin_with(system, ecapa_folder)
    assert lines[0].endswith("tensors of ecapa matched, all")
    theirs = torch.load(ecapa_folder / "embedding_model.ckpt", weights_only=True)
    assert torch.equal(system.network.fc.weight, theirs["fc.conv.weight"])


def test_with_rawnet2_beside_it_ecapa_is_begun_with_and_rawnet2_anew(ecapa_folder):
    system = system_of(E_R, network={"ecapa": WIDER, "rawnet2": RAWNET2})
    begun = state_of(system.network.rawnet2)
    lines = begin_with(system, ecapa_folder)
    assert lines[-1].endswith("; rawnet2, heads, discriminators begin anew")
    theirs = torch.load(ecapa_folder / "embedding_model.ckpt", weights_only=True)
    assert torch.equal(system.network.ecapa.mfa.conv.weight, theirs["mfa.conv.conv.weight"])
    assert same(begun, state_of(system.network.rawnet2))


@pytest.mark.parametrize("name", [E, E_R])
def test_an_encoder_of_ours_is_begun_with(name, tmp_path):
    trained, system = system_of(name, seed=1), system_of(name, seed=2)
    save_encoder(tmp_path / "encoder", trained)
    lines = begin_with(system, tmp_path / "encoder")
    assert all("matched, all" in line for line in lines[:-1])
    assert len(lines) == (2 if name == E else 3)
    assert lines[-1] == f"{tmp_path / 'encoder'}: left: none; heads, discriminators begin anew"
    assert same(state_of(system.network), state_of(trained.network))
    assert all(parameter.requires_grad for parameter in system.parameters())


def test_each_part_of_what_was_joined_is_begun_with_alone(tmp_path):
    joined, alone, other = system_of(E_R, seed=1), system_of(E, seed=2), system_of(E_R, seed=3)
    save_encoder(tmp_path / "joined", joined)
    begin_with(alone, tmp_path / "joined")
    assert same(state_of(alone.network), state_of(joined.network.ecapa))
    checkpoint.save(tmp_path / "rawnet2", joined.network.rawnet2, features="wave")
    assert begin_with(other, tmp_path / "rawnet2")[-1].endswith("; ecapa, heads, discriminators begin anew")
    assert same(state_of(other.network.rawnet2), state_of(joined.network.rawnet2))
    assert not same(state_of(other.network.ecapa), state_of(joined.network.ecapa))


def broken(where, ecapa_folder, save_checkpoint, tmp_path):
    """A place that gives no weights."""
    match where:
        case "nothing":
            return tmp_path / "nothing"
        case "resnet":
            return save_checkpoint(tmp_path / "resnet", "resnet")
        case "rawnet2":
            checkpoint.save(tmp_path / "rawnet2", system_of(E_R).network.rawnet2, features="wave")
            return tmp_path / "rawnet2"
        case "kaldi features":
            checkpoint.save(tmp_path / "kaldi", system_of(E, network=WIDER).network, features="kaldi")
            return tmp_path / "kaldi"
        case "other sizes":
            save_encoder(tmp_path / "other", system_of(E, network=ECAPA))
            return tmp_path / "other"
    raise ValueError(where)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nothing", r"holds no weights; expected a folder"),
        ("resnet", r"resnet on kaldi features; expected ecapa on speechbrain features"),
        ("rawnet2", r"weights of rawnet2; expected those of ecapa"),
        ("kaldi features", r"ecapa on kaldi features; expected ecapa on speechbrain features"),
        ("other sizes", r"channels=16.*; expected .*channels=64.*, but for the dimension"),
    ],
)
def test_a_place_without_its_weights_is_told_in_one_line_and_changes_nothing(
    where, said, ecapa_folder, save_checkpoint, tmp_path
):
    place, system = broken(where, ecapa_folder, save_checkpoint, tmp_path), system_of(E, network=WIDER)
    begun = state_of(system)
    with pytest.raises(ExtractorError, match=said) as caught:
        begin_with(system, place)
    assert str(caught.value).startswith(str(place))
    assert "\n" not in str(caught.value)
    assert same(begun, state_of(system))


def test_where_one_of_two_parts_does_not_fit_neither_is_begun_with(tmp_path):
    save_encoder(tmp_path / "joined", system_of(E_R, seed=1))
    other = RAWNET2 | {"gru_size": 11}
    system = system_of(E_R, seed=2, network={"ecapa": ECAPA, "rawnet2": other})
    begun = state_of(system)
    with pytest.raises(ExtractorError, match=r"gru_size=10.*; expected .*gru_size=11"):
        begin_with(system, tmp_path / "joined")
    assert same(begun, state_of(system))


@pytest.mark.parametrize("name", [E, E_R])
def test_the_encoder_that_is_kept_gives_the_vectors_of_the_system(name, tmp_path):
    system = system_of(name).eval().requires_grad_(False)
    save_encoder(tmp_path / "encoder", system)
    heard = noises(0, 8_000, 100, 6_400)
    encoder = CheckpointEncoder(Checkpoint(extractor="checkpoint", source=str(tmp_path / "encoder"), device="cpu"))
    expected = np.concatenate([system.embed(torch.from_numpy(one)[None]).numpy() for one in heard])
    np.testing.assert_allclose(encoder.embed(heard), expected, rtol=1e-3, atol=1e-4)
    assert encoder.dimension == (12 if name == E else 18)
    assert checkpoint.load(tmp_path / "encoder").network.settings == system.network.settings
