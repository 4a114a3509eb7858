"""What a system tells and learns: eq. 3, a frozen teacher, labels that are not known, and tones that it tells apart."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from models import checkpoint
from models.mixup_distillation.loss import asymmetric, dependency, distance
from models.mixup_distillation.model import mixed
from tests.models.mixup_distillation.systems_made import (
    BY_NAME,
    LABELS,
    OF_GROUP,
    UNKNOWN,
    same,
    state_of,
    system,
    tiny,
    wave,
)

# ------------------------------------------------------------------------------------------------- what it is told of


def test_it_tells_sex_and_ages_by_decades():
    found = system()
    assert found.age_scheme == "decades"
    assert found.tasks == {
        "sex": ("female", "male"),
        "age_group": ("20-39", "40-59", "60-69"),
        "age_subgroup": ("20-29", "30-39", "40-49", "50-59", "60-69"),
    }
    assert found.group_of_subgroup_K.tolist() == OF_GROUP
    assert len(system(scheme="leq29").tasks["age_subgroup"]) == 9


@pytest.mark.parametrize("name", ["mixup-ecapa-base", "mixup-resnet-base", "mixup-ecapa-mkd-ch", "mixup-resnet-mkd-ch"])
def test_what_it_tells_are_probabilities_alike_alone_and_in_a_batch(name, teachers):
    found = tiny(BY_NAME[name], teachers)
    found.losses(wave(3), LABELS)
    found.eval()
    lengths = [8_000, 5_000, 300]
    padded = wave(1, num=3)
    for row, length in zip(padded, lengths, strict=True):
        row[length:] = 0
    with torch.inference_mode():
        told = found.tell(padded, torch.tensor(lengths))
        vectors = found.embed(padded, torch.tensor(lengths))
        assert vectors.shape == (3, 12)
        for task, classes in found.tasks.items():
            assert told[task].shape == (3, len(classes))
            assert told[task].dtype == torch.float32
            torch.testing.assert_close(told[task].sum(dim=1), torch.ones(3))
        for at, length in enumerate(lengths):
            torch.testing.assert_close(found.embed(padded[at : at + 1, :length])[0], vectors[at], rtol=1e-4, atol=1e-5)
            for task, one in found.tell(padded[at : at + 1, :length]).items():
                torch.testing.assert_close(one[0], told[task][at], rtol=1e-4, atol=1e-5)


def test_what_a_teacher_hears_counts_in_what_is_told_and_not_in_the_embedding(teachers):
    found = tiny(BY_NAME["mixup-ecapa-mkd-cos"], teachers).eval()
    with torch.no_grad():
        told, vectors = found.tell(wave()), found.embed(wave())
        for parameter in found.teacher.parameters():
            parameter += 0.05
        assert not torch.allclose(found.tell(wave())["sex"], told["sex"])
        assert torch.equal(found.embed(wave()), vectors)


# ------------------------------------------------------------------------------------------------------- what it learns


@pytest.mark.parametrize("kind", ["ecapa", "resnet"])
def test_a_base_system_is_plain_multi_task(kind):
    found = system(f"mixup-{kind}-base", dropout=0.0)
    with torch.no_grad():
        feats, _ = found.features(wave())
        vectors = system(f"mixup-{kind}-base").network.encoder(feats)  # another of the same weights
        expected = {}
        for task, layers in found.classifiers.items():
            first, norm, _, _, last = layers
            hidden = first(vectors)
            centred = hidden - hidden.mean(dim=0)
            hidden = functional.leaky_relu(centred / (hidden.var(dim=0, unbiased=False) + norm.eps).sqrt())
            known = LABELS[task] >= 0
            expected[task] = functional.cross_entropy(last(hidden)[known], LABELS[task][known], label_smoothing=0.1)
    parts = found.losses(wave(), LABELS)
    for task, loss in expected.items():
        torch.testing.assert_close(parts[task], loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts["loss"], sum(expected.values()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mse", "cosine"])
def test_its_loss_is_eq_3(kind, teachers):
    found = tiny(BY_NAME["mixup-ecapa-mkd-ch"], teachers, distance=kind, distance_weight=0.5).eval()
    parts = found.losses(wave(), LABELS)
    with torch.no_grad():
        feats, _ = found.features(wave())
        teacher = checkpoint.load(teachers["ecapa"]).network
        pooled, vectors = found.network(feats)
        apart = functional.linear(pooled, found.projection.weight)
        both = torch.cat([teacher(feats), vectors], dim=1)
        rows = {task: layers(both) for task, layers in found.classifiers.items()}
        losses = {
            task: asymmetric(rows[task], LABELS[task], gamma_positive=0.0, gamma_negative=4.0, margin=0.05)
            for task in ("age_group", "age_subgroup")
        }
        costs = dependency(
            rows["age_group"],
            rows["age_subgroup"],
            group_B=LABELS["age_group"],
            subgroup_B=LABELS["age_subgroup"],
            group_loss_B=losses["age_group"],
            subgroup_loss_B=losses["age_subgroup"],
            group_of_subgroup_K=torch.tensor(OF_GROUP),
        )
        expected = {
            "distance": distance(apart, teacher.pooled(feats), kind),
            "sex": functional.cross_entropy(rows["sex"], LABELS["sex"], ignore_index=-1, label_smoothing=0.1),
            "age_group": losses["age_group"].sum() / 5,
            "age_subgroup": losses["age_subgroup"].sum() / 4,
            "dependency": costs.sum() / 4,
        }
    for name, part in expected.items():
        torch.testing.assert_close(parts[name], part, rtol=1e-4, atol=1e-5)
    total = sum(part for name, part in expected.items() if name != "distance") + 0.5 * expected["distance"]
    torch.testing.assert_close(parts["loss"], total, rtol=1e-4, atol=1e-5)


def test_the_teacher_hears_the_features_and_the_student_their_mixup(teachers):
    recipe = BY_NAME["mixup-ecapa-mkd-cos"]
    found = tiny(recipe, teachers)
    heard = {}
    found.teacher.register_forward_pre_hook(lambda _, given: heard.update(teacher=given[0]))
    found.network.register_forward_pre_hook(lambda _, given: heard.update(student=given[0]))
    feats, _ = found.features(wave())
    torch.manual_seed(3)
    masked = found.masks(feats)
    assert not torch.equal(masked, feats)
    torch.manual_seed(3)
    found.losses(wave(), LABELS)
    assert torch.equal(heard["teacher"], feats)
    assert torch.equal(heard["student"], mixed(feats, masked, share=0.7, window=15))
    found.eval().losses(wave(), LABELS)
    assert torch.equal(heard["student"], feats)


@pytest.mark.parametrize("kind", ["ecapa", "resnet"])
def test_the_teacher_is_frozen_with_the_statistics_of_its_normalisation(kind, teachers):
    found = tiny(BY_NAME[f"mixup-{kind}-mkd-mse"], teachers).train()
    before = {name: state_of(getattr(found, name)) for name in ("teacher", "network", "classifiers")}
    weight = found.projection.weight.clone()
    optimizer = BY_NAME[f"mixup-{kind}-mkd-mse"].optimizer.made(found)
    for seed in range(3):
        found.train()
        optimizer.zero_grad()
        found.losses(wave(seed), LABELS)["loss"].backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        optimizer.step()
    kept = checkpoint.load(teachers[kind]).network.state_dict()
    assert same(found.teacher.encoder.state_dict(), kept)
    assert same(state_of(found.teacher), before["teacher"])
    assert torch.equal(found.projection.weight, weight)
    assert not any(parameter.requires_grad for parameter in found.teacher.parameters())
    for name in ("network", "classifiers"):
        first, *_, last = getattr(found, name).named_parameters()
        assert not any(torch.equal(parameter, before[name][key]) for key, parameter in (first, last))


def test_a_run_that_goes_on_has_its_teacher_and_its_projection(teachers):
    recipe = BY_NAME["mixup-ecapa-mkd-mse"]
    found, other = tiny(recipe, teachers), tiny(recipe, teachers, seed=5)
    other.load_state_dict(found.state_dict())
    assert "projection.weight" not in found.state_dict()
    parts = []
    for one in (found, other):
        torch.manual_seed(4)
        parts.append(one.losses(wave(), LABELS))
    assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0])


@pytest.mark.parametrize("name", ["mixup-ecapa-base", "mixup-ecapa-mkd-ch"])
def test_a_batch_of_which_nothing_is_known_has_losses_of_zero_with_a_graph(name, teachers):
    found = tiny(BY_NAME[name], teachers)
    parts = found.losses(wave(), UNKNOWN)
    parts["loss"].backward()
    assert all(part.item() == 0 for key, part in parts.items() if key not in ("loss", "distance"))
    assert parts["loss"].item() == pytest.approx(0.25 * parts["distance"].item() if "distance" in parts else 0)
    for layers in found.classifiers.values():
        assert all((parameter.grad == 0).all() for parameter in layers.parameters())


def test_who_is_not_known_is_left_out_of_that_loss_alone():
    found = system("mixup-ecapa-ch", dropout=0.0).eval()
    more = {task: labels.clone() for task, labels in LABELS.items()}
    more["sex"][4] = 1
    parts, others = found.losses(wave(), LABELS), found.losses(wave(), more)
    assert not torch.equal(parts["sex"], others["sex"])
    for name in ("age_group", "age_subgroup", "dependency"):
        assert torch.equal(parts[name], others[name])


@pytest.mark.parametrize("name", ["mixup-ecapa-mkd-ch", "mixup-resnet-mkd-ch"])
def test_losses_are_in_float32_under_autocast_and_close_to_those_without(name, teachers):
    found = tiny(BY_NAME[name], teachers, dropout=0.0).eval()
    exact = found.losses(wave(), LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        parts = found.losses(wave(), LABELS)
    for key, part in parts.items():
        assert part.dtype == torch.float32
        if key not in ("dependency", "loss"):  # which jump where another class is told
            torch.testing.assert_close(part, exact[key], rtol=0.05, atol=0.05)


def test_classifiers_are_in_float32_under_autocast():
    found, logits = system().eval(), []
    for layers in found.classifiers.values():
        layers.register_forward_hook(lambda _, given, out: logits.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        found.losses(wave(), LABELS)
        found.tell(wave())
    assert logits == [torch.float32] * 6


def test_a_tiny_system_learns_sex_and_age_from_tones():
    rng = np.random.default_rng(0)
    times = np.arange(8_000) / 16_000
    subgroup = np.repeat(np.arange(5), 8)
    sex = np.arange(40) % 2
    pitch = (300 + 900 * subgroup) * np.where(sex, 1.0, 1.4)
    heard = 0.1 * np.sin(2 * np.pi * pitch[:, None] * times) + 0.01 * rng.normal(size=(40, 8_000))
    heard = torch.from_numpy(heard.astype(np.float32))
    labels = {"sex": sex, "age_group": np.array(OF_GROUP)[subgroup], "age_subgroup": subgroup}
    labels = {task: torch.from_numpy(codes) for task, codes in labels.items()}
    found = system("mixup-ecapa-ch", dropout=0.0)
    optimizer = torch.optim.Adam(found.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = found.losses(heard, labels)["loss"]
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        told = found.eval().tell(heard)
    for task, codes in labels.items():
        assert (told[task].argmax(dim=1) == codes).float().mean() > 0.9, task
