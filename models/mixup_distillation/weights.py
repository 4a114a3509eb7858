"""Weights of others that the mixup distillation system takes: its teacher, and what a network begins with."""

from pathlib import Path

from curate.errors import ExtractorError
from models import checkpoint
from models.angular_prototypical.model import HalfResNet
from models.common.ecapa import Ecapa
from models.extractors.ecapa_weights import FEATURES, ecapa_at
from models.training.system import written_out

LAST = "fc."  # the layer of both networks that gives the embedding


def teacher_at(folder: str | None, architecture: str, *, num_bands: int) -> Ecapa | HalfResNet:
    """The encoder of that folder, frozen. Raises ValueError where there is none, or its features are others.

    Weights are held against the hash that the folder has of them.
    """
    recipe = f"mixup-{architecture}-teacher"
    how = f"train {recipe} on clean speech first, then --set settings.teacher=runs/{recipe}/encoder"
    if folder is None:
        raise ValueError(f"teacher: none is told; expected the encoder of a network that heard clean speech: {how}")
    try:
        network = _ours_at(Path(folder))
    except ExtractorError as error:
        raise ValueError(f"teacher: {error}: {how}") from error
    if network.settings.num_bands != num_bands:
        found = f"{network.settings.num_bands} bands"
        raise ValueError(f"teacher: {folder}: {found}; expected {num_bands}, as the student has")
    return network


def taken(network: Ecapa | HalfResNet, place: Path) -> str:
    """Load what fits into the network, and say what; its last layer stays where only the embedding's size is another.

    The place is a folder of ours, SpeechBrain's ECAPA as it is published, or its `embedding_model.ckpt`. Raises
    ExtractorError for weights of other sizes, or of a network on other features.
    """
    theirs = _network_at(place)
    found, wanted = written_out(theirs.settings), written_out(network.settings)
    if type(theirs) is not type(network) or found | {"dimension": 0} != wanted | {"dimension": 0}:
        raise ExtractorError(f"{place}: {theirs.settings}; expected {network.settings}, or another dimension")
    state = theirs.state_dict()
    if found == wanted:
        network.load_state_dict(state)
        return f"{len(state)} tensors of the network matched, all"
    state = {key: tensor for key, tensor in state.items() if not key.startswith(LAST)}
    network.load_state_dict(state, strict=False)
    return f"{len(state)} of {len(network.state_dict())} tensors of the network matched; its last layer begins anew"


def _ours_at(folder: Path) -> Ecapa | HalfResNet:
    loaded = checkpoint.load(folder)
    network, description = loaded.network, loaded.description
    if not isinstance(network, Ecapa | HalfResNet) or description.features != FEATURES:
        found = f"{description.architecture} on {description.features} features"
        raise ExtractorError(f"{folder}: {found}; expected ecapa or half-resnet on {FEATURES} features")
    return network


def _network_at(place: Path) -> Ecapa | HalfResNet:
    return _ours_at(place) if (place / checkpoint.DESCRIPTION).is_file() else ecapa_at(place)[0]
