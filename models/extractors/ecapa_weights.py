"""Weights of ECAPA-TDNN that training begins with, ours or SpeechBrain's."""

from pathlib import Path

import torch
from torch import Tensor

from curate.errors import ExtractorError
from models import checkpoint
from models.common.ecapa import Ecapa, ecapa_from_speechbrain
from models.extractors.speechbrain_ecapa import DEFAULT_DILATIONS, own_ecapa
from models.extractors.speechbrain_modules import EXAMPLE, HYPERPARAMS, described, tensors

FEATURES: checkpoint.Features = "speechbrain"
WEIGHTS = "embedding_model.ckpt"  # SpeechBrain's name for the network's


def ecapa_at(place: Path, dilations: tuple[int, ...] = DEFAULT_DILATIONS) -> tuple[Ecapa, list[str]]:
    """The network of a folder of ours, of a folder as SpeechBrain publishes it, or of its `embedding_model.ckpt` alone.

    And what else of the place is not loaded. Weights alone do not tell their dilations: these are told. Raises
    ExtractorError for weights of another network, or on other features than SpeechBrain's filter banks.
    """
    if (place / checkpoint.DESCRIPTION).is_file():
        loaded = checkpoint.load(place)
        if not isinstance(loaded.network, Ecapa) or loaded.description.features != FEATURES:
            found = f"{loaded.description.architecture} on {loaded.description.features} features"
            raise ExtractorError(f"{place}: {found}; expected ecapa on {FEATURES} features")
        return loaded.network, []
    if (place / HYPERPARAMS).is_file():
        return _published(place)
    if place.is_file():
        return _ecapa_of(place, dilations), []  # which weights alone do not tell
    raise ExtractorError(
        f"{place}: holds no weights; expected a folder with {checkpoint.DESCRIPTION} (ours) or {HYPERPARAMS} "
        f"(SpeechBrain's), or a file such as {WEIGHTS}"
    )


def _published(folder: Path) -> tuple[Ecapa, list[str]]:
    """SpeechBrain's, where its settings are those that our features and network have."""
    description = described(str(folder))
    file = description.weights_of("embedding_model")
    if file is None:
        raise ExtractorError(f"{folder}: no file has the weights of embedding_model alone; expected {WEIGHTS}")
    dilations = description.roles["embedding_model"].kwargs.get("dilations", DEFAULT_DILATIONS)
    network = _ecapa_of(file, tuple(dilations))
    if own_ecapa(description, torch.device("cpu"), "float32") is None:
        raise ExtractorError(f"{folder}: {HYPERPARAMS} has settings that ours has not; expected those of {EXAMPLE}")
    return network, sorted(other.name for other in folder.glob("*.ckpt") if other.name != file.name)


def _ecapa_of(file: Path, dilations: tuple[int, ...]) -> Ecapa:
    state = tensors(file)
    for key, value in state.items():
        if not (isinstance(key, str) and "." in key and isinstance(value, Tensor)):
            raise ExtractorError(f"{file}: {key} is no tensor of SpeechBrain's ECAPA_TDNN; expected {WEIGHTS}")
    try:
        return ecapa_from_speechbrain(state, dilations=dilations)
    except ExtractorError as error:
        raise ExtractorError(f"{file}: {error}") from error
