"""The system in training: gradients of its tasks, what is frozen when, what it writes, and that it learns."""

import numpy as np
import pytest
import torch

from benchmarks.metrics import equal_error_rate
from benchmarks.words import character_edits, error_rate
from curate.errors import TrainingError
from models.common.classification import AdditiveAngularMargin
from models.data.texts import Vocabulary
from models.disjoint_mtl.loss import ctc
from tests.models.disjoint_mtl.systems_made import (
    LETTERS,
    NOTHING_DRAWN,
    batches_of,
    of_texts,
    padded,
    spoken,
    system_of,
)
from tests.models.made import noises

DISJOINT, SPEECH, SPEAKER, JOINT = "w2v2-dj-2s-0.5", "w2v2-asr-ls", "w2v2-skr-2s-mean", "w2v2-joint-0.5"


def learning(name, *, like=None, **told):
    """In float64, thawed, with the weights that another system has of the same parts."""
    system = system_of(name, frozen_steps=0, **told).double().train()
    if like is not None:
        known = like.state_dict()
        system.load_state_dict({key: known[key] for key in system.state_dict()})
    return system


def as_float64(batch):
    waves, labels = batch
    return waves.double(), labels


def slopes(system):
    return {name: one.grad.clone() for name, one in system.named_parameters() if one.grad is not None}


def stepped(system, batches):
    """The gradient of one step as the engine makes it: the mean over the batches, each with its own seed."""
    system.zero_grad(set_to_none=True)
    for number, (waves, labels) in enumerate(batches):
        torch.manual_seed(number)
        (system.losses(waves, labels)["loss"] / len(batches)).backward()
    return slopes(system)


@pytest.mark.parametrize("layer_and_pooling", [(3, "mean"), (1, "first")])
@pytest.mark.parametrize("weight", [0.5, 0.9, 0.0, 1.0])
def test_the_gradient_of_a_disjoint_step_is_eq_2_of_the_two_tasks_apart(weight, layer_and_pooling):
    layer, pooling = layer_and_pooling
    told = {"speaker_layer": layer, "pooling": pooling}
    both = learning(DISJOINT, speech_weight=weight, **told)
    batches = [as_float64(one) for one in batches_of(both, DISJOINT)]
    together = stepped(both, batches)
    speech, speaker = learning(SPEECH, like=both, **told), learning(SPEAKER, like=both, **told)
    torch.manual_seed(0)
    speech.losses(*batches[0])["loss"].backward()
    torch.manual_seed(1)
    speaker.losses(*batches[1])["loss"].backward()
    apart = slopes(speech), slopes(speaker)
    assert together.keys() == apart[0].keys() | apart[1].keys()
    shared = [name for name in together if name.startswith("network.")]
    for name, found in together.items():
        of_speech, of_speaker = (one.get(name, torch.zeros_like(found)) for one in apart)
        torch.testing.assert_close(found, weight * of_speech + (1 - weight) * of_speaker, rtol=0, atol=1e-8)
        if weight in (0.0, 1.0):
            torch.testing.assert_close(found, of_speech if weight else of_speaker, rtol=0, atol=1e-8)
    assert len(shared) > 20
    if 0 < weight < 1:
        assert all(together[name].any() for name in shared)


def test_heads_never_see_the_gradient_of_the_other_task():
    system = learning(DISJOINT)
    for waves, labels in map(as_float64, batches_of(system, DISJOINT)):
        system.zero_grad(set_to_none=True)
        system.losses(waves, labels)["loss"].backward()
        heads = {name.split(".")[0] for name in slopes(system)} - {"network"}
        assert heads == ({"speech_head"} if "text" in labels else {"speaker_loss"})


def test_a_joint_step_weighs_both_losses_of_the_same_utterances():
    system = learning(JOINT, speech_weight=0.8, network=NOTHING_DRAWN)
    ((waves, labels),) = map(as_float64, batches_of(system, JOINT))
    parts = system.losses(waves, labels)
    x, num_frames = system.network(waves, labels["samples"], layers={3})
    read = ctc(system.speech_head(x[3]), num_frames, labels["text"]).loss
    mean = torch.stack([one[:length].mean(dim=0) for one, length in zip(x[3], num_frames, strict=True)])
    who = system.speaker_loss(mean, labels["person"])
    assert isinstance(system.speaker_loss, AdditiveAngularMargin)
    assert (system.speaker_loss.margin_rad, system.speaker_loss.scale) == (0.2, 30)
    torch.testing.assert_close(parts["loss"], 0.8 * read + 0.2 * who)
    assert [*parts] == ["loss", "ctc", "too_long", "aam_softmax"]
    assert (parts["ctc"], parts["aam_softmax"], parts["too_long"]) == (read, who, 0)


def test_parts_are_unweighed_and_those_of_the_batch():
    system = learning(DISJOINT, speech_weight=0.9)
    found = [system.losses(*as_float64(one)) for one in batches_of(system, DISJOINT)]
    assert [[*parts] for parts in found] == [["loss", "ctc", "too_long"], ["loss", "aam_softmax"]]
    assert found[0]["loss"].item() == pytest.approx(2 * 0.9 * found[0]["ctc"].item())
    assert found[1]["loss"].item() == pytest.approx(2 * 0.1 * found[1]["aam_softmax"].item())


def test_a_batch_that_the_recipe_does_not_learn_from_is_told():
    speech, crops = batches_of(system_of(DISJOINT), DISJOINT)
    with pytest.raises(ValueError, match="speech learns from a batch with nothing; expected text"):
        system_of(SPEECH).losses(*crops)
    with pytest.raises(ValueError, match="joint learns from a batch with text; expected text and person"):
        system_of(JOINT).losses(*speech)


# --------------------------------------------------------------------------------------------------- what is frozen


@pytest.mark.parametrize("name", [DISJOINT, SPEECH, SPEAKER, JOINT, "w2v2-dj-2s-ecapa-c6"])
def test_only_heads_learn_for_the_first_3000_steps_and_the_convolutions_never(name):
    system = system_of(name).train()
    assert system.settings.frozen_steps == 3_000
    for num_steps, is_frozen in ((0, True), (2_999, True), (3_000, False), (200_000, False)):
        system.begin_step(num_steps)
        assert system.is_frozen is is_frozen
        torch.manual_seed(num_steps)
        moved = stepped(system, batches_of(system, name))
        learnt = {name.split(".")[0] for name in moved}
        assert ("network" in learnt) is not is_frozen
        assert learnt - {"network"} == {name.split(".")[0] for name, _ in system.named_parameters()} - {"network"}
        assert not any("feature_extractor" in name for name in moved)
        if not is_frozen:
            assert {"network.model.masked_spec_embed", "network.model.feature_projection.projection.weight"} <= {*moved}


def test_the_loss_of_a_frozen_step_is_that_of_one_that_is_not():
    system = system_of(DISJOINT).train()
    for batch in batches_of(system, DISJOINT):
        found = []
        for num_steps in (0, 3_000):
            system.begin_step(num_steps)
            torch.manual_seed(0)
            found.append(system.losses(*batch)["loss"])
        assert torch.equal(*found)


# ------------------------------------------------------------------------------------------------ what it is asked for


@pytest.mark.parametrize("name", [DISJOINT, "w2v2-dj-2s-first-c6", "w2v2-dj-2s-ecapa-c6", SPEECH])
def test_waveforms_share_a_batch_without_hearing_each_other_however_short(name):
    system = system_of(name).eval().requires_grad_(False)
    torch.manual_seed(3)
    for one in system.network.parameters():
        one += 0.05 * torch.randn(one.shape)
    waves = noises(0, 9_000, 1, 399, 400, 5_000)
    vectors, texts, layers = (ask(*padded(waves)) for ask in (system.embed, system.transcribe, system.layer_vectors))
    assert vectors.shape == (5, system.pooling.dimension)
    assert layers.shape == (5, 4, 32)
    assert len({*texts}) > 1
    for row, wave in enumerate(waves):
        alone = torch.from_numpy(wave)[None]
        torch.testing.assert_close(system.embed(alone)[0], vectors[row], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(system.layer_vectors(alone)[0], layers[row], rtol=1e-3, atol=1e-4)
        assert system.transcribe(alone) == [texts[row]]
    if system.settings.pooling == "mean":
        torch.testing.assert_close(layers[:, system.settings.speaker_layer], vectors)


@pytest.mark.parametrize("name", [DISJOINT, SPEECH, JOINT, "w2v2-dj-2s-ecapa-c6"])
def test_short_utterances_and_texts_too_long_have_finite_losses_and_are_counted(name):
    system = system_of(name, frozen_steps=0).train()
    waves, lengths = padded(noises(0, 1, 399, 300))
    texts = ["A", "AN ANT", "AA"]
    labels = {"samples": lengths, "text": of_texts(system.vocabulary, texts)}
    too_long = system.texts_too_long(lengths.numpy(), system.vocabulary.encoded(texts).codes)
    assert too_long.tolist() == [False, True, True], "what a batch counts is known before"
    parts = system.losses(waves, labels | ({"person": torch.tensor([0, 1, 2])} if name == JOINT else {}))
    parts["loss"].backward()
    assert parts["too_long"] == 2  # one frame each writes one letter
    assert all(part.isfinite() for part in parts.values())
    assert all(one.isfinite().all() for one in slopes(system).values())


def test_crops_too_short_for_ecapa_are_repeated_in_training_too():
    system = system_of("w2v2-skr-10s-ecapa", frozen_steps=0).train()
    assert system.network.settings.min_samples(system.pooling.min_frames) == 1_680  # five frames
    waves, _ = padded(noises(0, 800, 800, 800))
    assert system.losses(waves, {"person": torch.tensor([0, 1, 2])})["loss"].isfinite()


def test_what_is_written_is_the_likeliest_code_of_each_valid_frame():
    system = system_of(SPEECH, characters="AB").eval().requires_grad_(False)
    assert system.vocabulary == Vocabulary("AB")
    system.speech_head.weight.zero_()
    system.speech_head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    assert system.transcribe(*padded(noises(0, 4_000, 900))) == ["B", "B"]


def test_a_system_of_speakers_alone_writes_nothing():
    system = system_of(SPEAKER)
    assert system.vocabulary is None
    with pytest.raises(TrainingError, match="this system writes no text; expected one that learns speech"):
        system.transcribe(*padded(noises(0, 800)))


def test_heads_are_precise_under_autocast():
    system, given = system_of(JOINT).train(), []
    system.speech_head.register_forward_hook(lambda _, heard, told: given.append((heard[0].dtype, told.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        parts = system.losses(*batches_of(system, JOINT)[0])
    assert given == [(torch.float32, torch.float32)]
    assert all(part.dtype == torch.float32 for part in parts.values())


# --------------------------------------------------------------------------------------------------------- it learns

TEXTS, TILTS = ("AB", "CA D", "DB", "BAC"), (0.0, 1.0)


def test_words_of_tones_are_written_and_voices_told_after_a_hundred_disjoint_steps():
    said = [(text, voice) for text in TEXTS for voice in range(len(TILTS))]
    waves, lengths = padded([spoken(text, seed=at, tilt=TILTS[who]) for at, (text, who) in enumerate(said)])
    system = system_of(DISJOINT, num_people=2, network=NOTHING_DRAWN, characters=LETTERS, frozen_steps=10)
    read = {"samples": lengths, "text": of_texts(system.vocabulary, [text for text, _ in said])}
    crops, knew = waves[:, 800:5_600], {"person": torch.tensor([who for _, who in said])}
    optimizer = torch.optim.Adam([one for one in system.parameters() if one.requires_grad], lr=5e-3)

    def measured():
        with torch.inference_mode():
            edits = character_edits([text for text, _ in said], system.eval().transcribe(waves, lengths))
            vectors = torch.nn.functional.normalize(system.embed(crops))  # whole ones it need not know: table 3
        first, second = np.triu_indices(len(said), 1)
        is_same = knew["person"].numpy()[first] == knew["person"].numpy()[second]
        cosines = (vectors @ vectors.T).numpy()[first, second]
        return error_rate(edits.total, edits.num_reference), equal_error_rate(cosines, is_same)

    before = measured()
    for step in range(120):
        system.train().begin_step(step)
        optimizer.zero_grad()
        for batch in ((waves, read), (crops, knew)):
            (system.losses(*batch)["loss"] / 2).backward()
        optimizer.step()
    after = measured()
    assert before[0] > 0.5
    assert before[1] > 0.3
    assert after[0] < 0.05
    assert after[1] < 0.05
