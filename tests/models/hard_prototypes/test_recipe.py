"""What hard prototype mining promises: who is like whom, batches of them, runs that go on, SpeechBrain's weights."""

import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from curate.errors import ExtractorError, TrainingError
from curate.hearing import Checkpoint
from models import checkpoint
from models.common.augment import SpecAugmentSettings
from models.common.ecapa import EcapaSettings
from models.extractors.checkpoint import CheckpointEncoder
from models.hard_prototypes.recipe import RECIPES, begin_with, made, save_encoder
from models.training.batches import _of_crops
from models.training.systems import recipes
from tests.models.made import cosines, edit, encoder_of, noises
from tests.models.recipes_made import GOLDEN, close, first_steps, golden
from tests.models.training.runs_made import recipe, spoken, training
from tests.models.training.test_engine import same_weights, states, steps, stopped_after

TINY = {"num_bands": 16, "channels": 16, "scale": 2, "pooled_channels": 24, "dimension": 12}
TINY |= {"attention_channels": 8, "se_channels": 8}
PUBLISHED = {"channels": 64, "pooled_channels": 192, "attention_channels": 32, "dimension": 48}  # see conftest.py


def system_of(num_people=6, *, seed=0, **network):
    torch.manual_seed(seed)
    return made({"network": network or TINY}, num_people=num_people, spec_augment=SpecAugmentSettings())


def set_prototypes(system, prototypes):
    with torch.no_grad():
        system.loss.prototypes.copy_(torch.as_tensor(prototypes, dtype=torch.float32))


def waves(*lengths):
    return torch.from_numpy(np.stack(noises(0, *lengths)))


# ---------------------------------------------------------------------------------------------------------- the recipes


def test_the_recipes_are_those_of_the_papers():
    assert [(one.name, one.optimizer.kind) for one in RECIPES] == [
        ("vietsv-ecapa-hpm-adam", "adam"),
        ("vietsv-ecapa-hpm-sgd", "sgd"),
    ]
    assert [re.search(r"\d\.\d+ %", one.source)[0] for one in RECIPES] == ["4.017 %", "4.299 %"]
    for one in RECIPES:
        batches = one.batches
        assert (batches.speakers * batches.utterances_each, batches.crop_s, batches.hard) == (200, (2.0, 2.0), 7)
        assert (one.epochs, one.schedule.rate, one.schedule.factor, one.schedule.num_epochs) == (2000, 0.005, 0.75, 50)
        with torch.device("meta"):
            system = made(one.settings, num_people=10, spec_augment=one.augmentation.spec_augment)
        assert (system.loss.margin_rad, system.loss.scale) == (0.2, 30)
        sizes = system.network.settings
        assert (sizes.num_bands, sizes.channels, sizes.pooled_channels, sizes.dimension) == (80, 1024, 3072, 192)
        assert sum(parameter.numel() for parameter in system.network.parameters()) == 20_767_552


@pytest.mark.parametrize(
    ("settings", "num_people", "said"),
    [
        ({"margin": 0.2}, 6, "margin: Unexpected keyword argument"),
        ({"margin_rad": 1.6}, 6, "margin_rad 1.6"),
        ({"network": {"channels": 9}}, 6, "network: .*channels 9 must be a multiple of scale 8"),
        ({"network": {"channel": 8}}, 6, "network.channel: "),
        ({"network": TINY}, 1, "num_people 1"),
    ],
)
def test_settings_that_are_none_of_it_are_told(settings, num_people, said):
    with pytest.raises(ValueError, match=said) as caught:
        made(settings, num_people=num_people, spec_augment=SpecAugmentSettings())
    assert "\n" not in str(caught.value)


# ----------------------------------------------------------------------------------------------------- who is like whom


def test_the_most_similar_others_come_first_by_the_angles_of_their_prototypes():
    system = system_of(5, **(TINY | {"dimension": 2}))
    angles, lengths = np.radians([0, 10, 30, 90, 101]), np.array([1, 9, 0.1, 3, 2])
    set_prototypes(system, lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    system.begin_epoch()
    expected = {0: [1, 2], 1: [0, 2], 2: [1, 0], 3: [4, 2], 4: [3, 2]}
    asked = np.array([3, 0, 4, 2, 1])
    assert system.similar(asked, 2).tolist() == [expected[who] for who in asked]


@hypothesis_settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), num_people=st.integers(3, 30), data=st.data())
def test_similar_people_are_those_whom_all_cosines_say(seed, num_people, data):
    system = system_of(num_people, seed=seed)
    rng = np.random.default_rng(seed)
    asked = rng.permutation(num_people)[: data.draw(st.integers(3, num_people))]
    num = data.draw(st.integers(1, len(asked) - 1))
    found = system.similar(asked, num)
    unit = functional.normalize(system.loss.prototypes.detach().double(), dim=1).numpy()
    for who, others in zip(asked, found, strict=True):
        ranked = sorted(set(asked.tolist()) - {who}, key=lambda other: -unit[who] @ unit[other])
        assert others.tolist() == ranked[:num]


def test_who_is_similar_holds_until_the_next_epoch_begins_and_is_kept_with_the_weights():
    system, everybody = system_of(4, **(TINY | {"dimension": 2})), np.arange(4)
    set_prototypes(system, [[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    system.begin_epoch()
    before = system.similar(everybody, 1)
    assert before[:, 0].tolist() == [1, 0, 3, 2]
    set_prototypes(system, [[1, 0], [0, 1], [1, 0.1], [0.1, 1]])
    np.testing.assert_array_equal(system.similar(everybody, 1), before)
    other = system_of(4, seed=1, **(TINY | {"dimension": 2}))
    other.load_state_dict(system.state_dict())
    np.testing.assert_array_equal(other.similar(everybody, 1), before)
    system.begin_epoch()
    assert system.similar(everybody, 1)[:, 0].tolist() == [2, 3, 0, 1]


def test_prototypes_of_voices_at_other_speeds_are_nobody_s():
    system = system_of(9)  # three people at three speeds
    voices = torch.randn(3, 12, generator=torch.Generator().manual_seed(0))
    set_prototypes(system, torch.cat([voices, voices + 1e-3, voices - 1e-3]))
    system.begin_epoch()
    found = system.similar(np.arange(3), 2)
    assert [sorted(row) for row in found.tolist()] == [[1, 2], [0, 2], [0, 1]]


def test_more_similar_people_than_there_are_are_told():
    with pytest.raises(
        TrainingError, match=r"^batches\.hard 6: similar people of 6; expected 5 at most, all the others$"
    ):
        system_of(6).similar(np.arange(6), 6)


def test_batches_hold_people_who_are_alike():
    asked = recipe("vietsv-ecapa-hpm-adam", settings={"network": TINY})
    batches = replace(asked.batches, speakers=3, utterances_each=2, hard=2)
    speech, system = spoken(12), system_of(12)
    centres = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0][np.arange(12) % 4]  # 0, 4 and 8 are alike
    set_prototypes(system, centres + 0.01 * np.random.default_rng(1).normal(size=(12, 12)))
    system.begin_epoch()
    plan = _of_crops(batches, speech, np.arange(len(speech)), system, seed=1).plan(1)
    people = [sorted(set(speech.person[one.utterances].tolist())) for one in plan]
    assert all(batch in ([0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]) for batch in people)
    assert sorted({who for batch in people for who in batch}) == list(range(12))
    assert len(plan) == 12, "everybody is drawn once, and brings his two"


# ------------------------------------------------------------------------------------------------------------- training


def mining(folder, **changes):
    """A run as `models.training.run` makes it, on tones of twelve people: four to a batch, each with two like him."""
    published = recipe("vietsv-ecapa-hpm-adam", settings={"network": TINY}, checkpoint_every=1)
    batches = replace(published.batches, speakers=4, utterances_each=1, hard=2)
    asked = replace(published, batches=batches, schedule=replace(published.schedule, rate=0.1), **changes)
    run = training(asked, folder, speech=spoken(12))
    sampler = _of_crops(asked.batches, run._heard.speech, np.arange(len(run._heard.speech)), run._system, asked.seed)
    run._heard = replace(run._heard, sampler=sampler)
    return run


def people_of(run):
    """Who is in the batches of the epoch, as planned now."""
    planned = run._plan(run.progress.epoch)
    return [run._heard.speech.person[one.utterances].tolist() for one in planned]


@pytest.mark.parametrize("num_steps", [2, 5, 10])
def test_a_run_that_died_within_an_epoch_goes_on_step_for_step_although_prototypes_moved(tmp_path, num_steps):
    for name in ("whole", "died"):
        (tmp_path / name).mkdir()
    mining(tmp_path / "whole").train()
    died = mining(tmp_path / "died")
    stopped_after(died, num_steps)
    again = mining(tmp_path / "died")
    assert again.go_on()
    assert again.progress.step > 0, "within an epoch"
    assert people_of(again) == people_of(died)
    died._system.begin_epoch()
    assert people_of(again) != people_of(died), "by the prototypes as they now are other people would come together"
    again.train()
    assert steps(tmp_path / "died") == steps(tmp_path / "whole")
    one, other = states(tmp_path / "died"), states(tmp_path / "whole")
    assert same_weights(one.system, other.system)
    assert one.state == other.state


def test_each_epoch_is_planned_by_the_prototypes_that_the_last_one_left(tmp_path):
    (tmp_path / "run").mkdir()
    run, then = mining(tmp_path / "run"), []
    plan = run._plan

    def note(epoch):
        then.append((run._system.prototypes_at_start.clone(), run._system.loss.prototypes.detach().clone()))
        return plan(epoch)

    run._plan = note
    run.train()
    assert len(then) == 2
    assert all(torch.equal(at_start, learnt) for at_start, learnt in then)
    assert not torch.equal(then[0][0], then[1][0])


def test_a_batch_is_learnt():
    system, wave, person = system_of().train(), waves(4_800, 4_800, 4_800), torch.tensor([0, 1, 2])
    optimizer, told = torch.optim.Adam(system.parameters(), lr=0.01), []
    for _ in range(20):
        optimizer.zero_grad()
        loss = system.losses(wave, {"person": person})["loss"]
        loss.backward()
        optimizer.step()
        told.append(float(loss.detach()))
    assert told[-1] < told[0] / 4


def test_the_loss_is_that_of_the_wider_angle_written_out():
    system, wave, person = system_of().eval(), waves(4_800, 4_800, 4_800), torch.tensor([0, 5, 2])
    system.requires_grad_(False)
    found = system.losses(wave, {"person": person})["loss"]
    cosine = functional.cosine_similarity(system.embed(wave)[:, None].double(), system.loss.prototypes[None], dim=2)
    expected = 0.0
    for row, who in zip(cosine, person, strict=True):
        logits = [30 * math.cos(math.acos(one) + 0.2 * (at == who)) for at, one in enumerate(row.tolist())]
        expected += math.log(sum(math.exp(logit - logits[who]) for logit in logits)) / 3
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("is_half", [False, True])
def test_all_of_it_learns_also_in_half_precision_and_features_stay_precise(is_half):
    system, wave, person = system_of().train(), waves(4_800, 4_800, 4_800), torch.tensor([0, 1, 2])
    heard = []
    system.masks.register_forward_hook(lambda module, given, feats: heard.append(feats))
    begun = {name: tensor.clone() for name, tensor in system.network.named_buffers()}
    with torch.autocast("cpu", torch.bfloat16, is_half):
        loss = system.losses(wave, {"person": person})["loss"]
    loss.backward()
    idle = [
        name
        for name, parameter in system.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert idle == []
    after = dict(system.network.named_buffers())
    assert [name for name, tensor in begun.items() if torch.equal(tensor, after[name])] == []
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in system.network.modules()) * 3 == len(begun)
    torch.testing.assert_close(heard[0], system.features(wave)[0], atol=0, rtol=0)


# -------------------------------------------------------------------------------------------------------------- vectors


def test_waveforms_share_a_batch_without_hearing_each_other_and_the_shortest_are_repeated(tmp_path):
    system = system_of().eval().requires_grad_(False)
    save_encoder(tmp_path / "encoder", system)
    spoken_by = noises(0, 9_000, 100, 6_400, 639)
    alone = CheckpointEncoder(Checkpoint(extractor="checkpoint", source=str(tmp_path / "encoder"), device="cpu"))
    expected = alone.embed(spoken_by)
    lengths = torch.tensor([len(one) for one in spoken_by])
    padded = nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in spoken_by], batch_first=True)
    np.testing.assert_allclose(system.embed(padded, lengths).numpy(), expected, rtol=1e-3, atol=1e-4)
    for one, vector in zip(spoken_by, expected, strict=True):
        np.testing.assert_allclose(system.embed(torch.from_numpy(one)[None])[0].numpy(), vector, rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------------------------------------ weights to begin with


@pytest.mark.parametrize("is_folder", [True, False])
def test_speechbrain_s_weights_are_begun_with_whole_and_give_its_vectors(ecapa_folder, is_folder):
    system, heard = system_of(**PUBLISHED), noises(0, 8_000, 8_000)
    prototypes = system.loss.prototypes.detach().clone()
    place = ecapa_folder if is_folder else ecapa_folder / "embedding_model.ckpt"
    left = "classifier.ckpt, mean_var_norm_emb.ckpt" if is_folder else "none"
    num = len(torch.load(ecapa_folder / "embedding_model.ckpt", weights_only=True))
    assert begin_with(system, place) == [
        f"{place}: {num} tensors of the network matched, all; left: {left}; the softmax layer begins anew"
    ]
    assert torch.equal(system.loss.prototypes, prototypes)
    with torch.inference_mode():
        found = system.eval().embed(torch.from_numpy(np.stack(heard))).numpy()
    assert cosines(found, encoder_of(ecapa_folder).embed(heard)).min() >= 0.99999
    assert all(parameter.requires_grad for parameter in system.parameters())


def test_an_encoder_of_ours_is_begun_with(tmp_path):
    trained, system = system_of(seed=1), system_of(seed=2)
    save_encoder(tmp_path / "encoder", trained)
    assert checkpoint.load(tmp_path / "encoder").description.features == "speechbrain"
    (line,) = begin_with(system, tmp_path / "encoder")
    assert "all; left: none; the softmax layer begins anew" in line
    assert same_weights(system.network.state_dict(), trained.network.state_dict())


def broken(where, ecapa_folder, speechbrain_folders, save_checkpoint, tmp_path):
    """A place that gives no weights."""
    match where:
        case "nothing":
            return tmp_path / "nothing"
        case "empty folder":
            (tmp_path / "empty").mkdir()
            return tmp_path / "empty"
        case "statistics" | "classifier":
            return ecapa_folder / {"statistics": "mean_var_norm_emb.ckpt"}.get(where, "classifier.ckpt")
        case "numbers":
            torch.save({"fc.conv.weight": 3}, tmp_path / "numbers.ckpt")
            return tmp_path / "numbers.ckpt"
        case "no pickle":
            (ecapa_folder / "embedding_model.ckpt").write_bytes(b"half")
            return ecapa_folder
        case "x-vector":
            return speechbrain_folders["xvector"]
        case "other features":
            return edit(ecapa_folder, "n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    f_min: 20")
        case "other dilations":
            return edit(ecapa_folder, "dilations: [1, 2, 3, 4, 1]", "dilations: [1, 2, 3, 3, 1]")
        case "resnet of ours":
            return save_checkpoint(tmp_path / "resnet", "resnet")
        case "kaldi features":
            network = system_of(**PUBLISHED).network
            checkpoint.save(tmp_path / "kaldi", network, features="kaldi")
            return tmp_path / "kaldi"
        case "other sizes":
            return save_checkpoint(tmp_path / "other sizes", "ecapa")
    raise ValueError(where)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nothing", r"holds no weights; expected a folder with model\.json \(ours\) or hyperparams\.yaml"),
        ("empty folder", r"holds no weights; expected a folder"),
        ("statistics", r"is no tensor of SpeechBrain's ECAPA_TDNN; expected embedding_model\.ckpt"),
        ("classifier", r"is no tensor of SpeechBrain's ECAPA_TDNN|blocks\.0\.conv\.weight"),
        ("numbers", r"fc\.conv\.weight is no tensor"),
        ("no pickle", r"damaged"),
        ("x-vector", r"not SpeechBrain's ECAPA_TDNN"),
        ("other features", r"has settings that ours has not"),
        ("other dilations", r"dilations=\(1, 2, 3, 3, 1\).*; expected .*dilations=\(1, 2, 3, 4, 1\)"),
        ("resnet of ours", r"resnet on kaldi features; expected ecapa on speechbrain features"),
        ("kaldi features", r"ecapa on kaldi features; expected ecapa on speechbrain features"),
        ("other sizes", r"pooled_channels=96.*; expected .*pooled_channels=192"),
    ],
)
def test_a_place_without_its_weights_is_told_in_one_line_and_changes_nothing(
    where, said, ecapa_folder, speechbrain_folders, save_checkpoint, tmp_path
):
    place = broken(where, ecapa_folder, speechbrain_folders, save_checkpoint, tmp_path)
    system = system_of(**PUBLISHED)
    assert asdict(system.network.settings) == asdict(EcapaSettings(**PUBLISHED))
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    with pytest.raises(ExtractorError, match=said) as caught:
        begin_with(system, place)
    assert str(caught.value).startswith(str(place))
    assert "\n" not in str(caught.value)
    assert same_weights(system.state_dict(), before)


# ------------------------------------------------------------------------------------------------------ the first steps


@pytest.mark.parametrize("name", sorted(golden("hard_prototypes")))
def test_the_first_steps_are_those_that_were_kept(name, tmp_path):
    found, kept = first_steps(recipes()[name], tmp_path / "run"), golden("hard_prototypes")[name]
    assert close(found, kept), f"{found} and not {kept}: see {GOLDEN['hard_prototypes'].name} in recipes_made.py"


def test_the_first_steps_of_every_recipe_are_kept():
    assert sorted(golden("hard_prototypes")) == sorted(one.name for one in RECIPES)
    assert all(len(kept["loss"]) == len(kept["lr"]) == 20 for kept in golden("hard_prototypes").values())
