"""Weights that a system takes: its teacher, and what it begins with; one line for a place that has none."""

import re

import pytest
import torch

from curate.errors import ExtractorError
from models import checkpoint
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.resnet import ResNet, ResNetSettings
from models.mixup_distillation.recipe import begin_with, save_encoder
from tests.models.mixup_distillation.systems_made import BY_NAME, same, settings_of, state_of, system, tiny


def other_folder(where, tmp_path, teachers):
    match where:
        case "nothing":
            return tmp_path / "nothing"
        case "changed":
            save_encoder(tmp_path / "changed", system())
            weights = tmp_path / "changed" / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
            return tmp_path / "changed"
        case "another network":
            small = ResNet(ResNetSettings(num_bands=16, channels=8, blocks=(1, 1, 1, 1), dimension=8))
            checkpoint.save(tmp_path / "resnet", small, features="kaldi")
            return tmp_path / "resnet"
        case "other features":
            small = HalfResNet(HalfResNetSettings(num_bands=16, channels=8, blocks=(1, 1, 1, 1)))
            checkpoint.save(tmp_path / "log-mel", small, features="log-mel")
            return tmp_path / "log-mel"
    raise ValueError(where)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nothing", r"model\.json: cannot be read \(No such file or directory\).*"),
        ("changed", r"model\.safetensors: is damaged or of another checkpoint; expected the sha256 .*"),
        ("another network", "resnet on kaldi features; expected ecapa or half-resnet on speechbrain features"),
        ("other features", "half-resnet on log-mel features; expected ecapa or half-resnet on speechbrain features"),
    ],
)
def test_a_teacher_that_is_none_is_told_in_a_line_that_says_how_to_bring_one(where, said, tmp_path, teachers):
    folder = other_folder(where, tmp_path, teachers)
    how = (
        "train mixup-ecapa-teacher on clean speech first, then --set settings.teacher=runs/mixup-ecapa-teacher/encoder"
    )
    with pytest.raises(ValueError, match=rf"^teacher: {re.escape(str(folder))}.{{1,2}}{said}: {how}$"):
        system("mixup-ecapa-mkd-ch", teacher=str(folder))


def test_a_missing_teacher_is_told_in_a_line_that_says_how_to_bring_one():
    how = "train mixup-resnet-teacher .*, then --set settings.teacher=runs/mixup-resnet-teacher/encoder"
    with pytest.raises(ValueError, match=rf"^teacher: none is told; expected [^\n]*: {how}$"):
        system("mixup-resnet-mkd-ch")


def test_a_teacher_of_other_bands_is_told_in_a_line(teachers):
    network = settings_of(BY_NAME["mixup-ecapa-mkd-ch"])["network"] | {"num_bands": 24}
    with pytest.raises(ValueError, match=r"^teacher: .*: 16 bands; expected 24, as the student has$"):
        system("mixup-ecapa-mkd-ch", teacher=str(teachers["ecapa"]), network=network)


# ------------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("kind", ["ecapa", "resnet"])
def test_a_run_begins_with_an_encoder_that_was_kept(kind, teachers, tmp_path):
    kept, found = system(f"mixup-{kind}-base", seed=1), tiny(BY_NAME[f"mixup-{kind}-mkd-ch"], teachers)
    save_encoder(tmp_path / "encoder", kept)
    loaded = checkpoint.load(tmp_path / "encoder")
    assert (loaded.description.features, loaded.description.dimension) == ("speechbrain", 12)
    before = {name: state_of(getattr(found, name)) for name in ("teacher", "classifiers")}
    (line,) = begin_with(found, tmp_path / "encoder")
    num = len(kept.network.state_dict())
    assert line == f"{tmp_path / 'encoder'}: {num} tensors of the network matched, all; the classifiers begin anew"
    assert same(found.network.state_dict(), kept.network.state_dict())
    assert all(same(state_of(getattr(found, name)), state) for name, state in before.items())
    assert all(parameter.requires_grad for parameter in found.network.parameters())


def test_speechbrain_s_ecapa_is_taken_but_for_its_last_layer(ecapa_folder):
    sizes = {
        "num_bands": 80,
        "channels": 64,
        "pooled_channels": 192,
        "attention_channels": 32,
        "scale": 8,
        "se_channels": 128,
    }
    for place in (ecapa_folder, ecapa_folder / "embedding_model.ckpt"):
        found = system(network=sizes | {"dimension": 256})
        last = state_of(found.network.encoder.fc)
        (line,) = begin_with(found, place)
        num = len(found.network.state_dict())
        assert f"{num - 2} of {num} tensors of the network matched; its last layer begins anew" in line
        assert same(state_of(found.network.encoder.fc), last)
        theirs = torch.load(ecapa_folder / "embedding_model.ckpt", weights_only=True)["mfa.conv.conv.weight"]
        assert torch.equal(found.network.encoder.mfa.conv.weight, theirs)
        whole = system(network=sizes | {"dimension": 48})
        assert "matched, all" in begin_with(whole, place)[0]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nothing", r"holds no weights; expected a folder with model\.json \(ours\) or hyperparams\.yaml"),
        ("resnet", r"HalfResNetSettings\(.*; expected EcapaSettings\(.*, or another dimension"),
        ("other sizes", r"pooled_channels=32.*; expected .*pooled_channels=24.*, or another dimension"),
        ("another network", "resnet on kaldi features; expected ecapa or half-resnet on speechbrain features"),
        ("classifier", r"is no tensor of SpeechBrain's ECAPA_TDNN"),
    ],
)
def test_a_place_without_its_weights_is_told_in_a_line_and_changes_nothing(
    where, said, tmp_path, teachers, ecapa_folder
):
    place = {
        "resnet": teachers["resnet"],
        "other sizes": teachers["ecapa"],
        "classifier": ecapa_folder / "classifier.ckpt",
    }.get(where) or other_folder(where, tmp_path, teachers)
    found = system()
    before = state_of(found)
    with pytest.raises(ExtractorError, match=said) as caught:
        begin_with(found, place)
    assert str(caught.value).startswith(str(place))
    assert "\n" not in str(caught.value)
    assert same(state_of(found), before)
