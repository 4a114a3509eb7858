"""Tiny systems of the published recipes, and what they hear: noise, and words whose letters are tones."""

import numpy as np
import torch

from models.common.augment import SpecAugmentSettings
from models.disjoint_mtl.recipe import RECIPES, made
from tests.models.made import noises

NETWORK = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [24] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
NOTHING_DRAWN = {  # in training either: what is computed twice is the same
    **{f"{part}_dropout": 0.0 for part in ("hidden", "activation", "attention", "feat_proj")},
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
}
ECAPA = {"num_bands": 32, "channels": 16, "scale": 2, "pooled_channels": 24, "dimension": 12}
ECAPA |= {"attention_channels": 8, "se_channels": 8}
LETTERS = "ABCD"
PITCH_HZ = dict(zip(LETTERS, (300, 700, 1_500, 3_000), strict=True))
LETTER_S, PAUSE_S = 0.12, 0.06


def recipe_of(name):
    return next(one for one in RECIPES if one.name == name)


def settings_of(recipe, *, network=None, **settings):
    """Those of a recipe for a tiny network, and others where they are given."""
    told = dict(recipe.settings)
    told |= {"network": NETWORK | (network or {}), "ecapa": ECAPA if told["pooling"] == "ecapa" else None}
    return told | {"speaker_layer": {6: 1, 12: 3}[told["speaker_layer"]], **settings}


def system_of(name, *, num_people=4, seed=0, **settings):
    """The system of a recipe, tiny, and with other settings where they are given."""
    told = settings_of(recipe_of(name), **settings)
    torch.manual_seed(seed)
    return made(told, num_people=num_people, spec_augment=SpecAugmentSettings())


def padded(waves):
    """(B, N) and (B,)."""
    spoken = [torch.from_numpy(one) for one in waves]
    return torch.nn.utils.rnn.pad_sequence(spoken, batch_first=True), torch.tensor([len(one) for one in spoken])


def of_texts(vocabulary, texts):
    """(B, L) codes, -1 after the end of each."""
    codes = [torch.from_numpy(one) for one in vocabulary.encoded(texts).codes]
    return torch.nn.utils.rnn.pad_sequence(codes, batch_first=True, padding_value=-1)


def spoken(text, *, seed=0, tilt=0.0):
    """Each letter is a tone, and a blank a pause; `tilt` is the share of an octave above it, which tells the voice."""
    rng = np.random.default_rng(seed)
    size, pause = round(LETTER_S * 16_000), np.zeros(round(PAUSE_S * 16_000))
    pieces = [pause]
    for one in text:
        times = np.arange(size) / 16_000
        tone = np.zeros(size)
        if one != " ":
            tone = np.sin(2 * np.pi * PITCH_HZ[one] * times) + tilt * np.sin(4 * np.pi * PITCH_HZ[one] * times)
        pieces += [0.3 * tone * np.hanning(size), pause]
    wave = np.concatenate(pieces)
    return (wave + 0.003 * rng.normal(size=len(wave))).astype(np.float32)


def batches_of(system, name, seed=0):
    """Labelled batches of noise, as the recipe has them: of whole utterances, of crops, or one of each."""
    recipe, found = recipe_of(name), []
    if recipe.whole is not None:
        waves, lengths = padded(noises(seed, 9_000, 7_000, 8_100))
        labels = {"samples": lengths, "text": of_texts(system.vocabulary, ["A BEE", "I", "IT'S"])}
        if "person" in recipe.whole.learns:
            labels["person"] = torch.tensor([0, 1, 3])
        found.append((waves, labels))
    if recipe.batches is not None:
        crops = torch.tensor(np.stack(noises(seed + 1, *[6_400] * 4)))
        found.append((crops, {"person": torch.tensor([0, 1, 2, 2])}))
    return found
