"""voxceleb_trainer's public weights of ResNetSE34V2 (such as `baseline_v2_ap.model`) as our H/ASP network.

Its files name the network's tensors `__S__.` and the loss's `__L__.`: ours are named alike without the prefix. Features
stand among the network's as buffers; they are not loaded but must be those that `log_mel.py` computes. What trained it
beside the angular prototypical loss (a softmax layer) is left. Files are read as tensors alone: nothing in them is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curate.errors import ExtractorError
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.features import PREEMPHASIS
from models.common.log_mel import LogMel

EXPECTED = "expected voxceleb_trainer's ResNetSE34V2 with attentive statistics (ASP)"
NETWORK, LOSS = "__S__.", "__L__."
SCALES, BIASES = ("w", "angleproto.w"), ("b", "angleproto.b")  # of `angleproto`, and of `softmaxproto` around it
MAX_DIFFERENCE = 1e-4  # of features: bands were computed in float32 by several versions of torchaudio


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of the names in the file."""

    matched: tuple[str, ...]  # loaded, or features that are ours
    left: tuple[str, ...]  # of the loss, and not needed
    missing: tuple[str, ...]  # features that could not be compared, or the scale or bias of the loss

    def __str__(self) -> str:
        return f"{len(self.matched)} matched; left: {_listed(self.left)}; missing: {_listed(self.missing)}"


@dataclass(frozen=True, kw_only=True)
class Clova:
    """The network in training mode; scale and bias of the loss where the file has them."""

    network: HalfResNet
    scale: float | None
    bias: float | None
    report: Report


def read_voxceleb_trainer(path: Path) -> Clova:
    """What the file holds. Raises ExtractorError for one that cannot be read or holds another network."""
    if not path.is_file():
        raise ExtractorError(f"{path}: is no file; {EXPECTED}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        raise ExtractorError(f"{path}: damaged, or holds more than weights and was not run; {EXPECTED}") from error
    return h_asp_from_voxceleb_trainer(content, name=str(path))


def h_asp_from_voxceleb_trainer(content: Any, *, name: str = "weights") -> Clova:
    """The network of these weights by name, as they are or as one of the three kinds of file holds them.

    Sizes are read off the weights. Raises ExtractorError for weights of another network; every tensor of the network
    must be there and none too many.
    """
    network_state, loss_state = _parts(content, name)
    features = {key: network_state.pop(key) for key in list(network_state) if key.startswith("torchfb.")}
    network = _network(network_state, name)
    expected = _features(network.settings.num_bands)
    _check_features(features, expected, name)
    scale_key = next((key for key in SCALES if key in loss_state), None)
    bias_key = next((key for key in BIASES if key in loss_state), None)
    taken = {key for key in (scale_key, bias_key) if key is not None}
    report = Report(
        matched=(
            *(NETWORK + key for key in (*network_state, *features)),
            *(LOSS + key for key in loss_state if key in taken),
        ),
        left=tuple(LOSS + key for key in loss_state if key not in taken),
        missing=(
            *(NETWORK + key for key in expected if key not in features),
            *([] if scale_key else [LOSS + SCALES[0]]),
            *([] if bias_key else [LOSS + BIASES[0]]),
        ),
    )
    return Clova(
        network=network,
        scale=None if scale_key is None else _number(loss_state, scale_key, name),
        bias=None if bias_key is None else _number(loss_state, bias_key, name),
        report=report,
    )


def _parts(content: Any, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the network and of the loss, without prefixes."""
    for wrapping in ("model_state_dict", "model"):  # newer files, and files of the network alone
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not isinstance(content, Mapping) or not content:
        raise ExtractorError(f"{name}: holds no weights by name; {EXPECTED}")
    # torch's wrappers for several devices put "module." before names
    state = {str(key).replace("module.", ""): tensor for key, tensor in content.items()}
    odd = next((key for key, tensor in state.items() if not isinstance(tensor, Tensor)), None)
    if odd is not None:
        raise ExtractorError(f"{name}: {odd} is no tensor; {EXPECTED}")
    loss = {key.removeprefix(LOSS): tensor for key, tensor in state.items() if key.startswith(LOSS)}
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(LOSS)}
    return {key.removeprefix(NETWORK): tensor for key, tensor in rest.items()}, loss


def _network(state: Mapping[str, Tensor], name: str) -> HalfResNet:
    try:
        settings = _settings_of(state)
    except KeyError as error:
        raise ExtractorError(f"{name}: {error.args[0]} is missing; {EXPECTED}") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise ExtractorError(f"{name}: sizes of another network; {EXPECTED}") from error
    with torch.device("meta"):  # no memory before the sizes are known to be those of the weights
        network = HalfResNet(settings)
    expected = network.state_dict()
    wrong = [f"{key} is missing" for key in expected if key not in state]
    wrong += [f"{key} is too many" for key in state if key not in expected]
    for key in expected:  # in the network's order: which is named shall not depend on how this process hashes
        if key in state and state[key].shape != expected[key].shape:
            wrong.append(f"{key} is {tuple(state[key].shape)} and not {tuple(expected[key].shape)}")
    if wrong:
        others = f" and {len(wrong) - 1} more do not fit" if len(wrong) > 1 else ""
        raise ExtractorError(f"{name}: {wrong[0]}{others}; {EXPECTED}")
    network.to_empty(device="cpu").load_state_dict(state)
    return network


def _settings_of(state: Mapping[str, Tensor]) -> HalfResNetSettings:
    channels = state["conv1.weight"].shape[0]
    counts = [len({key.split(".")[1] for key in state if key.startswith(f"layer{i}.")}) for i in range(1, 5)]
    attention = state["attention.0.weight"]
    return HalfResNetSettings(
        num_bands=attention.shape[1] // channels,
        channels=channels,
        blocks=(counts[0], counts[1], counts[2], counts[3]),
        reduction=channels // state["layer1.0.se.fc.0.weight"].shape[0],
        attention_channels=attention.shape[0],
        dimension=state["fc.weight"].shape[0],
    )


def _features(num_bands: int) -> dict[str, Tensor]:
    """The buffers of its features, as ours are."""
    ours = LogMel(num_bands)
    return {
        "torchfb.0.flipped_filter": torch.tensor([[[-PREEMPHASIS, 1.0]]]),
        "torchfb.1.spectrogram.window": ours.window_W,
        "torchfb.1.mel_scale.fb": ours.bands_FM,
    }


def _check_features(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str) -> None:
    for key, tensor in found.items():
        ours = expected.get(key)
        if ours is None or ours.shape != tensor.shape or not bool(((tensor - ours).abs() <= MAX_DIFFERENCE).all()):
            raise ExtractorError(f"{name}: {key} is of other features; {EXPECTED} on its log-mel bands")


def _number(state: Mapping[str, Tensor], key: str, name: str) -> float:
    if state[key].numel() != 1:
        raise ExtractorError(f"{name}: {LOSS}{key} is {tuple(state[key].shape)} and not one number; {EXPECTED}")
    return float(state[key])


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
