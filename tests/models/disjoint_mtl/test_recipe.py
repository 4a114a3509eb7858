"""Every row of the paper's tables is a recipe: its settings are the paper's, and a tiny system of it takes a step."""

import itertools

import pytest
import torch
from torch import nn

from models.common.augment import SpecAugmentSettings
from models.disjoint_mtl.model import Wav2Vec2Settings
from models.disjoint_mtl.recipe import RECIPES, Settings, made
from models.training.schedules import Moment
from models.training.system import checked
from tests.models.disjoint_mtl.systems_made import batches_of, recipe_of, system_of

NAMES = [one.name for one in RECIPES]
DISJOINT = [one.name for one in RECIPES if one.settings["training"] == "disjoint"]
BATCH_SAMPLES = {"speech": 3_200_000, "speaker": 3_200_000, "joint": 3_200_000, "disjoint": 1_600_000}


def test_every_row_of_tables_1_and_2_has_a_recipe_and_those_of_table_3_are_among_them():
    table_1 = {"asr-ls", "asr-v2", "skr-2s-ls", "skr-2s-mean", "joint-ls-0.5", "joint-0.5", "joint-0.9"}
    table_1 |= {f"dj-{crop}s-{row}" for crop in (2, 10) for row in ("ls-0.5", "0.5", "0.9")}
    crops, poolings = (2, 10), ("mean", "first", "ecapa")
    table_2 = {f"skr-{crop}s-{pooling}" for crop, pooling in itertools.product(crops, poolings)}
    table_2 |= {f"dj-{crop}s-{one}-c{layer}" for crop, one, layer in itertools.product(crops, poolings, (6, 12))}
    assert len(table_1) == 13
    assert {*NAMES} == {f"w2v2-{row}" for row in table_1 | table_2}
    assert len(NAMES) == 30
    table_3 = {one.name for one in RECIPES if "1 and 3" in one.source or "1 to 3" in one.source}
    assert table_3 == {f"w2v2-{row}" for row in ("asr-ls", "skr-2s-mean", "joint-0.9", "dj-2s-0.9", "dj-10s-0.9")}
    assert len({one.source for one in RECIPES}) > 25


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("w2v2-asr-ls", "LibriSpeech (LS): WER 10.4 % on LS test-other, 40 % on HUB5; tables 1 and 3"),
        ("w2v2-skr-2s-mean", "VoxCeleb2 (V2): EER 5.1 % on vox1-h, 17 (tables 1 and 3: 16) % on SRE08; tables 1 to 3"),
        ("w2v2-dj-10s-0.5", "WER 11.1 % on LS test-other, 80 % on HUB5; EER 4.8 % on vox1-h, 39 % on SRE08; table 1"),
        ("w2v2-dj-2s-ecapa-c6", "WER 13.2 % on LS test-other, 45 % on HUB5; EER 9 % on vox1-h, 25 % on SRE08; table 2"),
    ],
)
def test_a_recipe_tells_its_data_and_the_figures_of_its_row(name, figures):
    assert figures in recipe_of(name).source


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_trains_as_section_4_2_says(name):
    one = recipe_of(name)
    settings = checked(Settings, one.settings)
    assert settings.network == Wav2Vec2Settings()
    assert (settings.margin_rad, settings.scale, settings.frozen_steps) == (0.2, 30, 3_000)
    assert (one.optimizer.kind, one.clip_value, one.clip_norm) == ("adam", 1, None)
    assert (one.steps_an_epoch, one.epochs, one.validate_every, one.patience) == (5_000, 40, 1, 8)  # 200 k, 40 k
    rates = [one.schedule.at(Moment(1, progress)) for progress in (0, 0.05, 0.1, 0.3, 0.5, 0.75, 1)]
    assert rates == pytest.approx([3e-7, 1.515e-5, 3e-5, 3e-5, 3e-5, 3e-5 * 0.05**0.5, 1.5e-6])
    most = BATCH_SAMPLES[settings.training]
    if one.batches is not None:
        shortest, longest = one.batches.crop_s
        assert shortest == longest == (10 if "-10s" in name else 2)
        assert one.batches.utterances * longest * 16_000 == most
    if one.whole is not None:
        assert one.whole.seconds * 16_000 == most
    assert one.validate_whole_s == 36
    assert one.validate_s == (36 if one.batches is None else longest), "voices by as much as a crop"
    kinds = (one.batches is not None, one.whole is not None)
    assert kinds == {"speech": (False, True), "speaker": (True, False), "joint": (False, True)}.get(
        settings.training, (True, True)
    )


@pytest.mark.parametrize("name", DISJOINT)
def test_a_step_of_disjoint_training_has_a_batch_of_each_kind_which_table_1_clips_alone(name):
    one = recipe_of(name)
    assert one.accumulate == 2
    assert one.whole.learns == ("text",)
    assert one.clip_each == (not name.endswith(("-c6", "-c12")))
    assert (one.settings["speech_weight"] == 0.9) == name.endswith("-0.9")
    assert one.settings["speaker_layer"] == (6 if name.endswith("-c6") else 12)


def test_joint_batches_learn_both():
    assert all(one.whole.learns == ("person", "text") for one in RECIPES if one.settings["training"] == "joint")


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_system_of_every_recipe_takes_a_finite_step_in_which_all_that_thaws_moves(name):
    one, system = recipe_of(name), system_of(name, network={"layerdrop": 0.0}, frozen_steps=0).train()
    optimizer = one.optimizer.made(system)
    before = {key: tensor.clone() for key, tensor in system.named_parameters()}
    torch.manual_seed(0)
    batches = batches_of(system, name)
    for waves, labels in batches:
        with torch.autocast("cpu", torch.bfloat16):
            parts = system.losses(waves, labels)
        assert all(part.isfinite() and part.dtype == torch.float32 for part in parts.values())
        (parts["loss"] / len(batches)).backward()
    norm = nn.utils.clip_grad_norm_(system.parameters(), torch.inf)
    assert norm.isfinite()
    assert norm > 0
    optimizer.param_groups[0]["lr"] = 0.01
    optimizer.step()
    moved = {key for key, tensor in system.named_parameters() if not torch.equal(tensor, before[key])}
    assert {key for key in before if "feature_extractor" not in key} - moved == set()
    assert not any("feature_extractor" in key for key in moved)


def test_a_system_of_a_published_recipe_has_the_base_network_and_heads_of_the_paper():
    for name, num_codes, dimension in (("w2v2-dj-2s-0.5", 29, 768), ("w2v2-dj-2s-ecapa-c6", 29, 192)):
        with torch.device("meta"):
            system = made(recipe_of(name).settings, num_people=5_800, spec_augment=SpecAugmentSettings())
        assert system.speech_head.weight.shape == (num_codes, 768)
        assert system.speaker_loss.prototypes.shape == (5_800, dimension)
        assert len(system.network.model.encoder.layers) == 12
    sizes = system.pooling.ecapa.settings
    assert (sizes.num_bands, sizes.channels, sizes.pooled_channels) == (768, 1_024, 3_072)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"speaker_layer": 4}, "speaker_layer 4; expected 0 to 3, the layers that there are"),
        ({"speech_weight": 1.1}, "speech_weight"),
        ({"training": "both"}, "training"),
        ({"characters": "abc"}, "characters: letters 'abc': 'a' is in no text"),
        ({"characters": None}, "characters: none; expected letters, where no run reads texts to find them in"),
        ({"network": {"width": 3}}, "network.width"),
        ({"ecapa": {"num_bands": 32, "layers": 3}, "pooling": "ecapa"}, "ecapa.layers"),
        ({"training": "speech", "pooling": "ecapa"}, "pooling ecapa with training speech"),
    ],
)
def test_settings_that_are_none_are_told(changed, complaint):
    with pytest.raises(ValueError, match=complaint):
        system_of("w2v2-dj-2s-0.5", **changed)


def test_masks_of_filter_banks_are_refused():
    settings = recipe_of("w2v2-asr-ls").settings
    with pytest.raises(ValueError, match="masks of filter banks; expected none, but settings"):
        made(settings, num_people=2, spec_augment=SpecAugmentSettings(num_time_masks=1))
