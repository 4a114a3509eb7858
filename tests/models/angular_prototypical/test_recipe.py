"""The recipes of VietSV: each has what the paper prints of its row, and learns today as it did when it was written."""

import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from curate.errors import ExtractorError
from models import checkpoint
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.angular_prototypical.recipe import RECIPES, begin_with, made, save_encoder
from models.common.augment import AugmentationSettings, SpecAugmentSettings
from models.common.resnet import ResNet, ResNetSettings
from models.multi_similarity.model import XVector, XVectorSettings
from models.training.schedules import Step
from models.training.system import written_out
from models.training.systems import recipes
from tests.models.angular_prototypical.test_key_map import small
from tests.models.angular_prototypical.test_model import SMALL
from tests.models.made import noise
from tests.models.recipes_made import GOLDEN, close, first_steps, golden

# Table 3, its rows of ResNet-34 from the second on: FT, loss, m, optimiser, EER of VietSV and of Common Voice in %.
TABLE_3 = """
vietsv-scratch-ap-adam  N  AP       -    Adam  7.602  10.934
vietsv-ap-adam          Y  AP       -    Adam  5.446   8.002
vietsv-ap-sgd           Y  AP       -    SGD   3.539   5.542
vietsv-amp-cos-0.1      Y  AMP-cos  0.1  SGD   3.319   5.100
vietsv-amp-cos-0.2      Y  AMP-cos  0.2  SGD   3.269   5.702
vietsv-amp-cos-0.3      Y  AMP-cos  0.3  SGD   3.232   6.687
vietsv-amp-cos-0.4      Y  AMP-cos  0.4  SGD   3.211   6.436
vietsv-amp-cos-0.5      Y  AMP-cos  0.5  SGD   3.331   8.102
vietsv-amp-arc-0.1      Y  AMP-arc  0.1  SGD   3.240   4.789
vietsv-amp-arc-0.2      Y  AMP-arc  0.2  SGD   3.115   5.391
vietsv-amp-arc-0.3      Y  AMP-arc  0.3  SGD   3.194   5.914
vietsv-amp-arc-0.4      Y  AMP-arc  0.4  SGD   3.298   6.757
vietsv-amp-arc-0.5      Y  AMP-arc  0.5  SGD   3.352   7.755
"""
ROWS = [row.split() for row in TABLE_3.strip().splitlines()]
NO_MASKS = SpecAugmentSettings()


def system(network=SMALL, loss="amp-arc", margin=0.2):
    torch.manual_seed(0)
    return made({"loss": loss, "margin": margin, "network": asdict(network)}, num_people=5, spec_augment=NO_MASKS)


def one_line(system, place):
    with pytest.raises(ExtractorError) as caught:
        begin_with(system, place)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{place}")
    return message


def test_the_rows_of_table_3_are_published_and_no_others():
    assert [recipe.name for recipe in RECIPES] == [row[0] for row in ROWS]
    assert {name for name, recipe in recipes().items() if recipe.system == "angular_prototypical"} == {
        recipe.name for recipe in RECIPES
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_recipe_is_its_row_and_section_5_1_3(row):
    name, fine_tuned, loss, margin, optimizer, vietsv, common_voice = row
    recipe = recipes()[name]
    expected = {"loss": loss.lower(), "margin": 0.0 if margin == "-" else float(margin)}
    assert recipe.settings == expected | {"network": written_out(HalfResNetSettings())}
    assert f"{vietsv} %" in recipe.source
    assert f"{common_voice} %" in recipe.source
    assert (recipe.begins_with is not None) == (fine_tuned == "Y")
    assert asdict(recipe.optimizer) == {"kind": optimizer.lower(), "momentum": 0.0, "weight_decay": 0.0}
    assert recipe.schedule == Step(rate=0.005, factor=0.75, num_epochs=50)
    assert recipe.epochs == 2000
    batches = recipe.batches
    assert (batches.speakers, batches.utterances_each, batches.passes, batches.hard) == (200, 2, 1, 0)
    num_samples = [16_000 * seconds for seconds in batches.crop_s]
    assert num_samples == [31_999, 31_999]
    assert 1 + num_samples[0] // 160 == 200  # frames of a spectrogram: "200 x 64"
    assert recipe.augmentation == AugmentationSettings()
    assert (recipe.accumulate, recipe.clip_norm, recipe.patience) == (1, None, None)
    whole = recipe.settings | {"network": asdict(SMALL)}
    found = made(whole, num_people=5, spec_augment=NO_MASKS)
    assert (found.loss.kind, found.loss.margin) == (recipe.settings["loss"], recipe.settings["margin"])
    assert (found.loss.scale.item(), found.loss.bias.item()) == (pytest.approx(10), -5)  # w and b of Chung et al. 2020


def test_the_network_of_a_recipe_is_that_of_table_2():
    found = made(RECIPES[0].settings, num_people=5, spec_augment=NO_MASKS).network
    assert found.settings == HalfResNetSettings()
    assert (found.settings.num_bands, found.settings.channels, found.settings.dimension) == (64, 32, 512)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "loss: Field required"),
        ({"loss": "amp"}, "loss: Input should be 'ap', 'amp-cos' or 'amp-arc'"),
        ({"loss": ["ap"]}, "loss: Input should be"),
        ({"loss": "ap", "margin": 0.2}, "margin 0.2 of ap: expected 0 for ap"),
        ({"loss": "amp-cos", "margin": 2.0}, "margin 2.0 of amp-cos: expected"),
        ({"loss": "amp-arc", "margin": 1.6}, "margin 1.6 of amp-arc: expected"),
        ({"loss": "amp-arc", "margin": -0.1}, "margin -0.1 of amp-arc: expected"),
        ({"loss": "amp-arc", "margin": "0.2"}, "margin: Input should be a valid number"),
        ({"loss": "amp-arc", "margin": True}, "margin: Input should be a valid number"),
        ({"loss": "amp-arc", "margin": float("nan")}, "margin: Input should be a valid number"),
        ({"loss": "ap", "scale": 30}, "scale: Unexpected keyword argument"),
        ({"loss": "ap", "network": 5}, "network: Input should be an object"),
        ({"loss": "ap", "network": {"width": 8}}, "network.width: Unexpected keyword argument"),
        ({"loss": "ap", "network": {"channels": "8"}}, "network.channels: Input should be a valid integer"),
        ({"loss": "ap", "network": {"channels": 7}}, "network: channels 7 must be a multiple of reduc"),
        ({"loss": "ap", "network": {"num_bands": 30}}, "network: num_bands 30 must be a multiple of 8"),
    ],
)
def test_settings_that_are_none_of_it_are_told_in_a_line(settings, says):
    with pytest.raises(ValueError, match=rf"^{re.escape(says)}[^\n]*$"):
        made(settings, num_people=5, spec_augment=NO_MASKS)


def test_its_losses_are_those_of_its_vectors_the_last_of_each_person_the_query():
    found = system(loss="amp-cos", margin=0.3).eval()  # else normalisation moves between the two
    wave = torch.from_numpy(np.stack([noise(seed, 8_000) for seed in range(6)]))
    parts = found.losses(wave, {"person": torch.tensor([4, 4, 4, 1, 1, 1])})
    vectors = functional.normalize(found.embed(wave), dim=1, eps=0)
    raw = found.embed(wave)
    prototypes = functional.normalize(torch.stack([raw[:2].mean(0), raw[3:5].mean(0)]), dim=1)
    cosines = torch.stack([vectors[2], vectors[5]]) @ prototypes.T
    scores = 10 * (cosines - 0.3 * torch.eye(2)) - 5
    expected = functional.cross_entropy(scores, torch.arange(2))
    torch.testing.assert_close(parts["loss"], expected, rtol=1e-4, atol=1e-5)
    assert parts["scale"].item() == pytest.approx(10)
    assert parts["loss"].requires_grad
    assert not parts["scale"].requires_grad


@pytest.mark.parametrize("people", [[0, 0, 0, 1, 1], [0, 1], [0, 0, 1, 1, 2]])
def test_batches_of_other_shapes_are_told(people):
    wave = torch.from_numpy(np.stack([noise(seed, 8_000) for seed in range(len(people))]))
    with pytest.raises(ValueError, match=f"^{len(people)} utterances of {len(set(people))} people: expected two or mo"):
        system().losses(wave, {"person": torch.tensor(people)})


def test_a_run_begins_with_a_network_that_was_kept(tmp_path):
    kept, found = system(), system(loss="ap", margin=0.0)
    with torch.no_grad():
        kept.loss.bias.fill_(7.0)
        for tensor in kept.network.state_dict().values():
            tensor += 1
    save_encoder(tmp_path / "encoder", kept)
    assert checkpoint.load(tmp_path / "encoder").description.features == "log-mel"
    (line,) = begin_with(found, tmp_path / "encoder")
    num = len(kept.network.state_dict())
    assert line == f"{tmp_path / 'encoder'}: {num} tensors of the network matched, all; the loss begins anew"
    for key, tensor in found.network.state_dict().items():
        torch.testing.assert_close(tensor, kept.network.state_dict()[key], rtol=0, atol=0)
    assert (found.loss.bias.item(), found.loss.scale.item()) == (-5, pytest.approx(10))
    assert all(one.requires_grad for one in found.parameters())


def test_a_run_begins_with_weights_of_voxceleb_trainer_their_scale_and_bias_too(tmp_path):
    state = small(w=torch.tensor(12.5), b=torch.tensor(-3.0))
    torch.save(state, tmp_path / "baseline_v2_ap.model")
    found = system()
    (line,) = begin_with(found, tmp_path / "baseline_v2_ap.model")
    assert line == f"{tmp_path / 'baseline_v2_ap.model'}: {len(state)} matched; left: none; missing: none"
    for key, tensor in found.network.state_dict().items():
        torch.testing.assert_close(tensor, state[f"__S__.{key}"], rtol=0, atol=0)
    assert (found.loss.scale.item(), found.loss.bias.item()) == (pytest.approx(12.5), -3)


def test_a_scale_that_is_not_positive_begins_anew(tmp_path):
    torch.save(small(w=torch.tensor(-2.0)), tmp_path / "odd.model")
    found = system()
    begin_with(found, tmp_path / "odd.model")
    assert (found.loss.scale.item(), found.loss.bias.item()) == (pytest.approx(10), -5)


def test_what_a_run_cannot_begin_with_is_told_in_a_line(tmp_path):
    larger = system(replace(SMALL, dimension=32))
    save_encoder(tmp_path / "ours", system())
    torch.save(small(), tmp_path / "theirs.model")
    for name in ("ours", "theirs.model"):
        assert "dimension=24" in one_line(larger, tmp_path / name)
        assert "expected HalfResNetSettings(num_bands=16" in one_line(larger, tmp_path / name)
    assert "is not there; expected a folder of ours" in one_line(larger, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "model.json: cannot be read" in one_line(larger, tmp_path / "empty")
    (tmp_path / "text.model").write_text("no weights")
    assert "damaged, or holds more than weights" in one_line(larger, tmp_path / "text.model")
    torch.save({"epoch": 3}, tmp_path / "epoch.model")
    assert "epoch is no tensor; expected voxceleb_trainer's" in one_line(larger, tmp_path / "epoch.model")


@pytest.mark.parametrize(
    ("network", "features"),
    [
        (XVector(XVectorSettings(channels=8, pooled_channels=8, dimension=24)), "mfcc"),
        (ResNet(ResNetSettings(num_bands=16, channels=8, blocks=(1, 1, 1, 1), dimension=24)), "kaldi"),
        (HalfResNet(SMALL), "kaldi"),
    ],
)
def test_a_network_of_another_kind_or_on_other_features_is_told_in_a_line(tmp_path, network, features):
    checkpoint.save(tmp_path / "other", network, features=features)
    message = one_line(system(), tmp_path / "other")
    assert f" on {features}; expected HalfResNetSettings(" in message
    assert message.endswith("on log-mel")


def test_a_short_waveform_is_repeated_and_a_silent_one_has_a_vector():
    found = system().eval()
    with torch.inference_mode():
        for num_samples in (1, 100, 1_000):
            wave = torch.from_numpy(noise(1, num_samples))[None]
            vector = found.embed(wave)
            assert vector.shape == (1, 24)
            assert torch.isfinite(vector).all()
        assert torch.isfinite(found.embed(torch.zeros(2, 16_000))).all()


def test_a_short_waveform_has_the_same_vector_beside_a_long_one():
    found = system().eval()
    short, long = torch.from_numpy(noise(1, 700)), torch.from_numpy(noise(2, 16_000))
    both = torch.zeros(2, 16_000)
    both[0, :700], both[1] = short, long
    with torch.inference_mode():
        expected = torch.cat([found.embed(short[None]), found.embed(long[None])])
        torch.testing.assert_close(found.embed(both, torch.tensor([700, 16_000])), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", sorted(golden("angular_prototypical")))
def test_the_first_steps_are_those_that_were_kept(name, tmp_path):
    found, kept = first_steps(recipes()[name], tmp_path / "run"), golden("angular_prototypical")[name]
    assert close(found, kept), f"{found} and not {kept}: see {GOLDEN['angular_prototypical'].name} in recipes_made.py"


def test_the_first_steps_of_every_recipe_are_kept():
    assert sorted(golden("angular_prototypical")) == sorted(recipe.name for recipe in RECIPES)
