"""The recipes of the multi-task paper: each has what the paper prints, and learns today as when it was written."""

import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from curate.errors import ExtractorError
from models import checkpoint
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.augment import AugmentationSettings, SpecAugmentSettings
from models.multi_similarity.loss import MultiSimilarity
from models.multi_similarity.model import MfccResNet, MfccResNetSettings, XVectorSettings
from models.multi_similarity.recipe import RECIPES, begin_with, made, save_encoder
from models.training.system import written_out
from models.training.systems import recipes
from tests.models.made import noise
from tests.models.multi_similarity.test_model import SMALL_RESNET, SMALL_XVECTOR
from tests.models.recipes_made import GOLDEN, close, first_steps, golden

# Tables 2 and 3: network, eta of eq. 7, EER of SITW eval in % with augmentation and without.
TABLES = """
mtml-tdnn     tdnn    0.0  3.34  4.21
mtml-resnet   resnet  0.0  2.92  3.69
mtml-eta-0.1  resnet  0.1  2.54  3.28
mtml-eta-0.3  resnet  0.3  2.35  3.14
mtml-eta-1    resnet  1.0  7.27  9.89
"""
ROWS = [row.split() for row in TABLES.strip().splitlines()]
SIZES = {"resnet": SMALL_RESNET, "tdnn": SMALL_XVECTOR}
NO_MASKS = SpecAugmentSettings()


def system(network="resnet", sizes=None, **settings):
    torch.manual_seed(0)
    told = {"architecture": network, "eta": 0.3, "network": asdict(sizes or SIZES[network])} | settings
    return made(told, num_people=5, spec_augment=NO_MASKS)


def noises(*seeds, num_samples=16_000):
    return torch.from_numpy(np.stack([noise(seed, num_samples) for seed in seeds]))


def one_line(system, place):
    with pytest.raises(ExtractorError) as caught:
        begin_with(system, place)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{place}")
    return message


def test_the_rows_of_tables_2_and_3_are_published_and_no_others():
    assert [recipe.name for recipe in RECIPES] == [row[0] for row in ROWS]
    assert {name for name, recipe in recipes().items() if recipe.system == "multi_similarity"} == {
        recipe.name for recipe in RECIPES
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_recipe_is_its_row_and_section_4_1_3(row):
    name, network, eta, augmented, without = row
    recipe = recipes()[name]
    sizes = written_out(XVectorSettings() if network == "tdnn" else MfccResNetSettings())
    assert recipe.settings == {"architecture": network, "eta": float(eta), "network": sizes}
    assert f"{augmented} %" in recipe.source
    assert f"{without} %" in recipe.source
    assert recipe.begins_with is None
    assert asdict(recipe.optimizer) == {"kind": "adam", "momentum": 0.0, "weight_decay": 1e-4}  # the decay is not told
    assert asdict(recipe.schedule) == {"schedule": "exponential", "first_rate": 1e-3, "last_rate": 1e-4}
    assert recipe.epochs == 20  # not told
    batches = recipe.batches
    assert (batches.speakers, batches.utterances_each, batches.crop_s, batches.hard) == (32, 4, (2.0, 4.0), 0)
    assert batches.speakers * batches.utterances_each == 128  # "batch-size=128"
    assert recipe.augmentation == AugmentationSettings()
    assert (recipe.accumulate, recipe.clip_norm, recipe.patience) == (1, None, None)
    found = made(recipe.settings | {"network": asdict(SIZES[network])}, num_people=5, spec_augment=NO_MASKS)
    assert (found.metric.margin, found.metric.alpha, found.metric.beta, found.metric.threshold) == (0.1, 2, 50, 1)
    assert found.settings.eta == float(eta)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_network_of_a_recipe_is_the_paper_s(recipe):
    found = made(recipe.settings, num_people=7_000, spec_augment=NO_MASKS)
    expected = {"resnet": MfccResNetSettings(), "tdnn": XVectorSettings()}[recipe.settings["architecture"]]
    assert found.network.settings == expected
    assert (expected.num_bands, expected.dimension) == (30, 512)
    assert found.features.cosines_MM.shape == (30, 30)
    assert (found.head.hidden.in_features, found.head.hidden.out_features) == (512, 512)
    assert found.head.speakers.output.out_features == 7_000


def test_sizes_may_be_told_as_a_recipe_s_file_has_them():
    found = made(
        {"architecture": "resnet", "eta": 0.1, "network": {"blocks": [1, 1, 2, 1], "channels": 8, "dimension": 16}},
        num_people=5,
        spec_augment=NO_MASKS,
    )
    assert found.network.settings == MfccResNetSettings(blocks=(1, 1, 2, 1), channels=8, dimension=16)
    other = made({"architecture": "tdnn", "eta": 0, "network": {"channels": 8}}, num_people=5, spec_augment=NO_MASKS)
    assert other.network.settings == XVectorSettings(channels=8)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "eta: Field required"),
        ({"eta": 0.3}, "architecture: Field required"),
        ({"architecture": "ecapa", "eta": 0.3}, "architecture: Input should be 'resnet' or 'tdnn'"),
        ({"architecture": "resnet", "eta": 1.1}, "eta: Input should be less than or equal to 1"),
        ({"architecture": "resnet", "eta": -0.1}, "eta: Input should be greater than or equal to 0"),
        ({"architecture": "resnet", "eta": "0.3"}, "eta: Input should be a valid number"),
        ({"architecture": "resnet", "eta": float("nan")}, "eta: Input should be a valid number"),
        ({"architecture": "resnet", "eta": 0.3, "alpha": 0}, "alpha: Input should be greater than 0"),
        ({"architecture": "resnet", "eta": 0.3, "beta": -1.0}, "beta: Input should be greater than 0"),
        ({"architecture": "resnet", "eta": 0.3, "margin": -1.0}, "margin: Input should be greater than or equal to 0"),
        ({"architecture": "resnet", "eta": 0.3, "lambda": 1}, "lambda: Unexpected keyword argument"),
        ({"architecture": "resnet", "eta": 0.3, "network": 5}, "network: Input should be an object"),
        ({"architecture": "resnet", "eta": 0.3, "network": {"width": 8}}, "network.width: Unexpected keyword argument"),
        (
            {"architecture": "tdnn", "eta": 0.3, "network": {"blocks": [1] * 4}},
            "network.blocks: Unexpected keyword argument",
        ),
        ({"architecture": "resnet", "eta": 0.3, "network": {"blocks": [1]}}, "network.blocks.1: Field required"),
    ],
)
def test_settings_that_are_none_of_it_are_told_in_a_line(settings, says):
    with pytest.raises(ValueError, match=rf"^{re.escape(says)}[^\n]*$"):
        made(settings, num_people=5, spec_augment=NO_MASKS)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("network", ["resnet", "tdnn"])
def test_its_losses_are_those_of_its_vectors_and_their_sum_is_eq_7(network, eta):
    found = system(network, eta=eta, margin=0.2, alpha=3.0, beta=40.0).eval()
    wave, person = noises(1, 2, 3, 4), torch.tensor([3, 3, 0, 0])
    vectors = found.embed(wave)
    cross_entropy = found.head(vectors, person)
    metric = MultiSimilarity(alpha=3.0, beta=40.0, margin=0.2)(vectors, person)
    parts = found.losses(wave, {"person": person})
    torch.testing.assert_close(parts["cross_entropy"], cross_entropy, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts["multi_similarity"], metric, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts["loss"], eta * metric + (1 - eta) * cross_entropy, rtol=1e-4, atol=1e-5)


def test_silence_within_a_crop_is_not_heard_and_crops_of_more_and_of_less_speech_share_a_batch():
    found = system().eval()
    whole = noises(1, 2, 3, 4)
    broken = whole.clone()
    broken[0, 8_000:] *= 1e-4
    parts, other = (found.losses(wave, {"person": torch.tensor([0, 0, 1, 1])}) for wave in (whole, broken))
    assert torch.isfinite(other["loss"])
    assert not torch.equal(parts["loss"], other["loss"])


@pytest.mark.parametrize("network", ["resnet", "tdnn"])
def test_a_run_begins_with_a_network_that_was_kept(tmp_path, network):
    kept, found = system(network), system(network, eta=1.0)
    with torch.no_grad():
        for tensor in kept.state_dict().values():
            tensor += 1
    head = {key: tensor.clone() for key, tensor in found.head.state_dict().items()}
    save_encoder(tmp_path / "encoder", kept)
    assert checkpoint.load(tmp_path / "encoder").description.features == "mfcc"
    (line,) = begin_with(found, tmp_path / "encoder")
    num = len(kept.network.state_dict())
    assert line == f"{tmp_path / 'encoder'}: {num} tensors of the network matched, all; the softmax layer begins anew"
    for key, tensor in found.network.state_dict().items():
        torch.testing.assert_close(tensor, kept.network.state_dict()[key], rtol=0, atol=0)
    for key, tensor in found.head.state_dict().items():
        torch.testing.assert_close(tensor, head[key], rtol=0, atol=0)


def test_what_a_run_cannot_begin_with_is_told_in_a_line(tmp_path):
    save_encoder(tmp_path / "ours", system())
    larger = system(sizes=replace(SMALL_RESNET, dimension=16))
    message = one_line(larger, tmp_path / "ours")
    assert "dimension=12) on mfcc; expected MfccResNetSettings(" in message
    assert message.endswith("dimension=16) on mfcc")
    assert "; expected XVectorSettings(" in one_line(system("tdnn"), tmp_path / "ours")
    missing = "model.json: cannot be read (No such file or directory); expected a folder with model.safetensors"
    assert missing in one_line(system(), tmp_path / "nowhere")
    (tmp_path / "file.model").write_text("no weights")
    assert "cannot be read (Not a directory); expected a folder" in one_line(system(), tmp_path / "file.model")
    (tmp_path / "ours" / "model.safetensors").write_text("no weights")
    assert "is damaged or of another checkpoint" in one_line(system(), tmp_path / "ours")


@pytest.mark.parametrize(
    ("network", "features"),
    [
        (HalfResNet(HalfResNetSettings(num_bands=16, channels=8, blocks=(1, 1, 1, 1), dimension=12)), "log-mel"),
        (MfccResNet(SMALL_RESNET), "kaldi"),
    ],
)
def test_a_network_of_another_kind_or_on_other_features_is_told_in_a_line(tmp_path, network, features):
    checkpoint.save(tmp_path / "other", network, features=features)
    message = one_line(system(), tmp_path / "other")
    assert f" on {features}; expected MfccResNetSettings(" in message


@pytest.mark.parametrize("network", ["resnet", "tdnn"])
def test_a_short_waveform_is_repeated_and_a_silent_one_has_a_vector(network):
    found = system(network).eval()
    with torch.inference_mode():
        for num_samples in (200, 400, 1_000, 3_000):
            vector = found.embed(noises(1, num_samples=num_samples))
            assert vector.shape == (1, 12)
            assert torch.isfinite(vector).all()
        assert torch.isfinite(found.embed(torch.zeros(2, 16_000))).all()


@pytest.mark.parametrize("name", sorted(golden("multi_similarity")))
def test_the_first_steps_are_those_that_were_kept(name, tmp_path):
    found, kept = first_steps(recipes()[name], tmp_path / "run"), golden("multi_similarity")[name]
    assert close(found, kept), f"{found} and not {kept}: see {GOLDEN['multi_similarity'].name} in recipes_made.py"


def test_the_first_steps_of_every_recipe_are_kept():
    assert sorted(golden("multi_similarity")) == sorted(recipe.name for recipe in RECIPES)
