"""Our own checkpoints: a network of `models/` as training keeps it and anybody may load it.

    <folder>/model.safetensors   the weights; no pickle, so that loading runs no code of the file
    <folder>/model.json          the architecture, its settings, what it is given and gives, and the hash of the weights

A checkpoint is written aside and renamed: the folder is there whole or not at all, and is never written again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from curate.errors import ExtractorError
from curate.whole import rename_durably, sync
from models.age_adversarial.joined import Joined, JoinedSettings
from models.age_adversarial.rawnet2 import RawNet2, RawNet2Settings
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.features import KaldiFbank, SpeechBrainFbank
from models.common.log_mel import LogMel
from models.common.mfcc import Mfcc
from models.common.resnet import ResNet, ResNetSettings
from models.common.waveform import Waveform
from models.disjoint_mtl.encoder import SpeakerEncoder, SpeakerEncoderSettings
from models.multi_similarity.model import MfccResNet, MfccResNetSettings, XVector, XVectorSettings

FORMAT: Literal[1] = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"

Network = Ecapa | ResNet | HalfResNet | MfccResNet | XVector | RawNet2 | Joined | SpeakerEncoder
Settings = (
    EcapaSettings
    | ResNetSettings
    | HalfResNetSettings
    | MfccResNetSettings
    | XVectorSettings
    | RawNet2Settings
    | JoinedSettings
    | SpeakerEncoderSettings
)
Architecture = Literal["ecapa", "resnet", "half-resnet", "mfcc-resnet", "x-vector", "rawnet2", "joined", "wav2vec2"]
Features = Literal["kaldi", "speechbrain", "log-mel", "mfcc", "wave"]
FEATURES: dict[Features, type[KaldiFbank | SpeechBrainFbank | LogMel | Mfcc | Waveform]] = {
    "kaldi": KaldiFbank,
    "speechbrain": SpeechBrainFbank,
    "log-mel": LogMel,
    "mfcc": Mfcc,
    "wave": Waveform,
}
ARCHITECTURES: dict[Architecture, tuple[type[Any], type[Any]]] = {  # the network, and its settings
    "ecapa": (Ecapa, EcapaSettings),
    "resnet": (ResNet, ResNetSettings),
    "half-resnet": (HalfResNet, HalfResNetSettings),
    "mfcc-resnet": (MfccResNet, MfccResNetSettings),
    "x-vector": (XVector, XVectorSettings),
    "rawnet2": (RawNet2, RawNet2Settings),
    "joined": (Joined, JoinedSettings),
    "wav2vec2": (SpeakerEncoder, SpeakerEncoderSettings),
}
HEAR_WAVES: tuple[Architecture, ...] = ("rawnet2", "joined", "wav2vec2")  # all others hear features
Cosine = Annotated[float, Field(ge=-1, le=1)]


@validated(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class Description:
    """What model.json says."""

    format: Literal[1]
    architecture: Architecture
    settings: dict[str, Any]
    features: Features
    sample_rate_hz: Literal[16_000]
    dimension: int
    weights_sha256: str
    min_same_person: Cosine | None = None  # mean cosine from which two labels are one person
    min_one_person: Cosine | None = None  # mean cosine below which a label is not one person


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A network in evaluation mode on the processor, and what its description says."""

    network: Network
    description: Description


def save(
    folder: Path,
    network: Network,
    *,
    features: Features,
    min_same_person: float | None = None,
    min_one_person: float | None = None,
) -> None:
    """Keep the network in a folder that is not there yet. Raises ExtractorError where it is, or for its features."""
    if folder.exists():
        raise ExtractorError(f"{folder}: is there already; expected a folder that a checkpoint may make")
    architecture = next(name for name, (kind, _) in ARCHITECTURES.items() if type(network) is kind)
    _check_features(folder, architecture, features)
    weights = save_tensors({key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()})
    description = Description(
        format=FORMAT,
        architecture=architecture,
        settings=asdict(network.settings),
        features=features,
        sample_rate_hz=16_000,
        dimension=network.settings.dimension,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        min_same_person=min_same_person,
        min_one_person=min_one_person,
    )
    aside = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)  # of a run that died
    aside.mkdir(parents=True)
    _write(aside / WEIGHTS, weights)
    _write(aside / DESCRIPTION, TypeAdapter(Description).dump_json(description, indent=2))
    sync(aside)
    rename_durably(aside, folder)


def load(folder: Path) -> Loaded:
    """The network that was kept there. Raises ExtractorError for a folder that holds none, or a bad one."""
    description = _description(folder / DESCRIPTION)
    settings = _settings(folder / DESCRIPTION, description)
    state = _state(folder / WEIGHTS, description.weights_sha256)
    with torch.device("meta"):  # no memory before the sizes are known to be those of the weights
        network: Network = ARCHITECTURES[description.architecture][0](settings)
    _check(folder / WEIGHTS, state, network.state_dict())
    network.load_state_dict(state, assign=True)
    return Loaded(network=network.eval().requires_grad_(False), description=description)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        expected = f"a folder with {WEIGHTS} and {DESCRIPTION}"
        raise ExtractorError(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error


def _description(path: Path) -> Description:
    try:
        description = TypeAdapter(Description).validate_json(_read(path))
    except ValidationError as error:
        raise ExtractorError(_complaint(path, error)) from error
    _check_features(path, description.architecture, description.features)
    return description


def _check_features(path: Path, architecture: Architecture, features: Features) -> None:
    hears_waves = architecture in HEAR_WAVES
    if hears_waves != (features == "wave"):
        expected = "wave" if hears_waves else ", ".join(name for name in FEATURES if name != "wave")
        raise ExtractorError(f"{path}: {architecture} on features {features!r}; expected {expected}")


def _settings(path: Path, description: Description) -> Settings:
    kind = ARCHITECTURES[description.architecture][1]
    try:
        settings: Settings = TypeAdapter(kind).validate_json(json.dumps(description.settings))
    except ValidationError as error:
        raise ExtractorError(_complaint(path, error, "settings")) from error
    if settings.dimension != description.dimension:
        raise ExtractorError(
            f"{path}: dimension {description.dimension}; expected that of the settings, {settings.dimension}"
        )
    return settings


def _complaint(path: Path, error: ValidationError, *within: str) -> str:
    """The first thing wrong, and where."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(key)[:80] for key in (*within, *first["loc"])) or "content"
    return f"{path}: {where}: {first['msg'].splitlines()[0]}; expected what models/checkpoint.py writes"


def _state(path: Path, sha256: str) -> dict[str, Tensor]:
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ExtractorError(f"{path}: is damaged or of another checkpoint; expected the sha256 {sha256[:16]}...")
    try:
        state: dict[str, Tensor] = load_tensors(content)
    except SafetensorError as error:
        reason = str(error).splitlines()[0]
        raise ExtractorError(
            f"{path}: cannot be read ({reason}); expected weights as safetensors keeps them"
        ) from error
    return state


def _check(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for key in sorted(state.keys() ^ expected.keys()):
        which = "is missing" if key in expected else "is too many"
        raise ExtractorError(f"{path}: {key} {which}; expected the weights of the settings in {DESCRIPTION}")
    for key, tensor in expected.items():
        if (state[key].shape, state[key].dtype) != (tensor.shape, tensor.dtype):
            found = f"{tuple(state[key].shape)} of {state[key].dtype}"
            raise ExtractorError(f"{path}: {key} is {found}; expected {tuple(tensor.shape)} of {tensor.dtype}")
