"""The three modules that an `EncoderClassifier` of SpeechBrain hears with, made from what its hyperparams.yaml says.

Features, their normalisation and the network; its classifier and labels are not looked at. Only classes of layers are
made, and weights are loaded as tensors and nothing else, whatever else a file may hold.

Shape letters: B batch, N samples, D embedding.
"""

import importlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from curate.errors import ExtractorError
from models.extractors.hub import folder_of
from models.extractors.speechbrain_hyperparams import Hyperparams, Part

HYPERPARAMS = "hyperparams.yaml"
EXAMPLE = "speechbrain/spkrec-ecapa-voxceleb"
ROLES = ("compute_features", "mean_var_norm", "embedding_model")
LAYERS = re.compile(
    r"torch\.nn\.modules\.\w+|torchaudio\.transforms\.\w+"
    r"|speechbrain\.(nnet|processing)\.\w+|speechbrain\.lobes\.(features|models\.\w+)"
)
OLD_NAMES = "DeprecatedModuleRedirect"
DEFAULT_SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True, kw_only=True)
class Description:
    """What an encoder is made of: each role's part, and the file of weights of each part that has one."""

    source: str
    roles: Mapping[str, Part]
    weights: tuple[tuple[Any, Path], ...]  # a part, or several in a list, and its file
    sample_rate_hz: int

    def weights_of(self, role: str) -> Path | None:
        """The file that holds this part's weights and no other's."""
        return next((file for part, file in self.weights if part is self.roles[role]), None)


def described(source: str) -> Description:
    """Of the folder, or the model of this name at the hub. Raises ExtractorError where there is no encoder."""
    hyperparams = Hyperparams(folder_of(source, [HYPERPARAMS], example=EXAMPLE) / HYPERPARAMS)
    roles = {role: hyperparams.get("modules", role) for role in ROLES}
    for role, part in roles.items():
        if not isinstance(part, Part) or not part.is_made:
            raise ExtractorError(
                f"{source}: {HYPERPARAMS} makes no `{role}` among its modules; expected an `EncoderClassifier` with"
                f" {', '.join(ROLES)}"
            )
    loaded = list(_loaded(hyperparams, list(roles.values())))
    folder = folder_of(source, [HYPERPARAMS, *(name for _, name in loaded)], example=EXAMPLE)
    weights = tuple((part, folder / name) for part, name in loaded)
    if not any(roles["embedding_model"] in _parts(part) for part, _ in weights):
        raise ExtractorError(
            f"{source}: no weights for its embedding_model; expected it among the loadables of `pretrainer`"
        )
    rate_hz = hyperparams.get("sample_rate") or roles["compute_features"].kwargs.get("sample_rate")
    return Description(
        source=source,
        roles=roles,
        weights=weights,
        sample_rate_hz=int(rate_hz or DEFAULT_SAMPLE_RATE_HZ),
    )


def _loaded(hyperparams: Hyperparams, needed: list[Part]) -> Iterator[tuple[Any, str]]:
    """Of what the file has loaded, that which holds a needed part, and the name of its file.

    Only the last piece of a path counts: what stands before it is the place where the model was published.
    """
    paths = hyperparams.get("pretrainer", "paths") or {}
    for name, value in (hyperparams.get("pretrainer", "loadables") or {}).items():
        if any(part in needed for part in _parts(value)):
            yield value, str(paths.get(name, f"{name}.ckpt")).rpartition("/")[2]


def _parts(value: Any) -> Iterator[Part]:
    """Every part in it, itself among them."""
    if isinstance(value, Part):
        yield value
        value = [value.args, value.kwargs]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _parts(one)


def plain(value: Any) -> Any:
    """A part and all in it as what JSON can say."""
    match value:
        case Part():
            return {value.target: [plain(value.args), plain(value.kwargs)]}
        case dict():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    return value


class Sharing(Enum):
    """Which waveforms may share a batch without hearing each other."""

    NOBODY = "nobody"
    EQUAL_LENGTHS = "equal lengths"
    LIKE_LENGTHS = "like lengths"


@final
class Modules:
    """SpeechBrain's own modules, one after another as its `encode_batch` has them."""

    def __init__(self, description: Description, device: torch.device, dtype: torch.dtype) -> None:
        """Raises ExtractorError for what is no layer, or weights that are another network's."""
        made: dict[int, Any] = {}
        self._modules = nn.ModuleList(_made(part, made, description.source) for part in description.roles.values())
        for part, file in description.weights:
            load(_made(part, made, description.source), file)
        _leave_nothing_to_chance(self._modules)
        for layer in self._modules[-1].modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
                layer.to(dtype)  # what autocast would round anew for each batch
        for module in self._modules.eval():
            module.to(device)  # each by its own `to`: some have tensors that torch does not know of
        mixes = any(getattr(module, "norm_type", None) == "batch" for module in self._modules)
        self.sharing = Sharing.NOBODY if mixes else Sharing.EQUAL_LENGTHS
        self.dtype = dtype

    def __call__(self, wave_BN: Tensor) -> Tensor:
        """(B, D)."""
        features, norm, network = self._modules
        length_B = wave_BN.new_ones(len(wave_BN))
        with torch.autocast(wave_BN.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            vectors: Tensor = network(norm(features(wave_BN), length_B), length_B)
        return vectors.float().flatten(1)


def _leave_nothing_to_chance(modules: nn.Module) -> None:
    """SpeechBrain adds noise of 1e-5 to the means that an x-vector pools: a vector must not depend on chance."""
    from speechbrain.nnet.pooling import StatisticsPooling

    for layer in modules.modules():
        if isinstance(layer, StatisticsPooling):
            layer.eps = 0.0


def _made(value: Any, made: dict[int, Any], source: str) -> Any:
    """What the file would have made of it; each part once."""
    match value:
        case Part():
            if id(value) not in made:
                made[id(value)] = _new(value, made, source)
            return made[id(value)]
        case dict():
            return {key: _made(one, made, source) for key, one in value.items()}
        case list() | tuple():
            return type(value)(_made(one, made, source) for one in value)
    return value


def _new(part: Part, made: dict[int, Any], source: str) -> Any:
    kind = _layer(part.target, source)
    args, kwargs = _made(part.args, made, source), _made(part.kwargs, made, source)
    if not part.is_made:
        return partial(kind, *args, **kwargs) if args or kwargs else kind
    try:
        return kind(*args, **kwargs)
    except (TypeError, ValueError, RuntimeError, LookupError, AssertionError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ExtractorError(f"{source}: cannot make {part.target}: {reason}; expected what it takes") from error


def _layer(target: str, source: str) -> type[nn.Module]:
    """The class of this name. Raises ExtractorError for one that is no layer: it might fetch or run files."""
    module, _, name = target.rpartition(".")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of its modules use what torch will drop
            kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ExtractorError(
            f"{source}: {target} is not there; expected a class of what is installed, as by `pip install speechbrain`"
        ) from error
    finally:
        _forget_old_names()
    if not (isinstance(kind, type) and issubclass(kind, nn.Module) and LAYERS.fullmatch(kind.__module__)):
        raise ExtractorError(f"{source}: {target} is no layer of a network; expected layers alone")
    return kind


def _forget_old_names() -> None:
    """SpeechBrain leaves modules under old names, each of which warns whoever so much as looks at it."""
    for name in [name for name, module in list(sys.modules.items()) if type(module).__name__ == OLD_NAMES]:
        del sys.modules[name]


def load(module: nn.Module, file: Path) -> None:
    """Put the file's weights into the module. Raises ExtractorError where they are another network's."""
    from speechbrain.utils.checkpoints import (
        hook_on_loading_state_dict_checkpoint,
    )

    state = tensors(file)
    _forget_old_names()
    try:
        if hasattr(module, "glob_mean"):  # a normalisation whose statistics torch does not know of
            module.count, module.glob_mean, module.glob_std = state["count"], state["glob_mean"], state["glob_std"]
            return
        missing = module.load_state_dict(hook_on_loading_state_dict_checkpoint(state), strict=False).missing_keys
    except (RuntimeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ExtractorError(f"{file}: {reason}; expected weights of what {HYPERPARAMS} describes") from error
    if missing:
        raise ExtractorError(f"{file}: lacks {missing[0]}; expected weights of what {HYPERPARAMS} describes")


def tensors(file: Path) -> dict[str, Any]:
    """What the file holds, loaded as tensors and numbers alone. Raises ExtractorError for a file that holds more."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, which it then refuses
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        raise ExtractorError(
            f"{file}: damaged, or a pickle that holds more than weights and was not run; expected tensors alone"
        ) from error
    if not isinstance(state, dict):
        raise ExtractorError(f"{file}: not weights by name; expected tensors as SpeechBrain saves them")
    return state
