"""SpeechBrain's ECAPA-TDNN on our own network, where its hyperparams.yaml says nothing that this does not know.

Then SpeechBrain need not be installed, and on a GPU utterances of unlike lengths share a batch.

Shape letters: B batch, N samples, D embedding.
"""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from curate.errors import ExtractorError
from models.common.ecapa import Ecapa, ecapa_from_speechbrain
from models.common.features import SpeechBrainFbank
from models.common.processor import dtype_on, for_processor
from models.extractors.speechbrain_hyperparams import Part
from models.extractors.speechbrain_modules import Description, Sharing, tensors

FBANK = "speechbrain.lobes.features.Fbank"
NORM = "speechbrain.processing.features.InputNormalization"
NETWORK = "speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN"
RELU = "torch.nn.ReLU"
DEFAULT_BANDS = 40
DEFAULT_DILATIONS = (1, 2, 3, 4, 1)
# What our filter banks are like; SpeechBrain's are too where nothing else is said.
FBANK_IS: dict[str, Any] = {
    "deltas": False,
    "context": False,
    "requires_grad": False,
    "sample_rate": 16_000,
    "f_min": 0,
    "f_max": 8000,
    "n_fft": 400,
    "filter_shape": "triangular",
    "param_change_factor": 1.0,
    "win_length": 25,
    "hop_length": 10,
}
FBANK_FREE = {"n_mels", "left_frames", "right_frames", "param_rand_factor"}  # no matter here, or read
NORM_IS: dict[str, Any] = {"mean_norm": True, "length_dim": 1, "avg_factor": None}
NORM_FREE = {"norm_type", "std_norm", "avoid_padding_norm", "epsilon", "update_until_epoch", "device"}
NETWORK_IS: dict[str, Any] = {"global_context": True}
NETWORK_FREE = {  # the weights say it, or it is for training
    *("input_size", "lin_neurons", "channels", "kernel_sizes", "attention_channels", "se_channels"),
    *("dilations", "res2net_scale", "activation", "groups", "dropout", "device"),
}


@final
class OneByOne:
    """From a waveform to its vector, on a processor, where that is faster than any batch."""

    sharing = Sharing.NOBODY

    def __init__(self, num_bands: int, network: Ecapa, device: torch.device, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._features = SpeechBrainFbank(num_bands).to(device)
        self._network = for_processor(network, dtype)

    def __call__(self, wave_1N: Tensor) -> Tensor:
        """(1, D) in float32."""
        feats_1TM, _ = self._features(wave_1N)
        return self._network(feats_1TM[0])[None]


@final
class Padded:
    """From waveforms to vectors, in batches with masks."""

    sharing = Sharing.LIKE_LENGTHS

    def __init__(self, num_bands: int, network: Ecapa, device: torch.device, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._features = SpeechBrainFbank(num_bands).to(device)
        self._network = network.products_in(dtype).to(device)

    def __call__(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, of so many valid samples each; None: of all."""
        vectors: Tensor = self._network(*self._features(wave_BN, samples_B))
        return vectors


def own_ecapa(description: Description, device: torch.device, precision: str) -> OneByOne | Padded | None:
    """The encoder on our own network; None where it is another, or has settings that ours does not."""
    features, norm, network = description.roles.values()
    file = description.weights_of("embedding_model")
    if file is None or not (_is_our_fbank(features) and _is_our_norm(norm) and _is_our_network(network)):
        return None
    dilations = tuple(network.kwargs.get("dilations", DEFAULT_DILATIONS))
    num_bands = features.kwargs.get("n_mels", DEFAULT_BANDS)
    try:
        ecapa = ecapa_from_speechbrain(tensors(file), dilations=dilations)
    except ExtractorError:
        return None  # SpeechBrain itself then says what is wrong with the weights, or takes them
    if not _is_as_said(ecapa, num_bands, network.kwargs):
        return None
    kind = Padded if device.type == "cuda" else OneByOne
    return kind(num_bands, ecapa, device, dtype_on(device, precision))


def _is_our_fbank(part: Part) -> bool:
    settings = {key: value for key, value in part.kwargs.items() if (key, value) != ("f_max", None)}
    return part.target == FBANK and _is_known(part, settings, FBANK_IS, FBANK_FREE)


def _is_our_norm(part: Part) -> bool:
    of_sentence = part.kwargs.get("norm_type") == "sentence" and part.kwargs.get("std_norm") is False
    return part.target == NORM and of_sentence and _is_known(part, part.kwargs, NORM_IS, NORM_FREE)


def _is_our_network(part: Part) -> bool:
    activation = part.kwargs.get("activation")
    is_relu = activation is None or (
        isinstance(activation, Part) and not activation.kwargs and activation.target == RELU
    )
    is_whole = all(groups == 1 for groups in part.kwargs.get("groups", ()))
    return part.target == NETWORK and is_relu and is_whole and _is_known(part, part.kwargs, NETWORK_IS, NETWORK_FREE)


def _is_known(part: Part, settings: Mapping[str, Any], fixed: Mapping[str, Any], free: set[str]) -> bool:
    return not part.args and all(key in free or fixed.get(key) == value for key, value in settings.items())


def _is_as_said(ecapa: Ecapa, num_bands: int, said: Mapping[str, Any]) -> bool:
    """Whether the weights have the sizes that the file speaks of, as SpeechBrain would have it."""
    sizes = ecapa.settings
    channels = [sizes.channels] * (len(sizes.dilations) - 1) + [sizes.pooled_channels]
    of_weights = {
        "input_size": num_bands,
        "lin_neurons": sizes.dimension,
        "channels": channels,
        "kernel_sizes": list(sizes.kernel_sizes),
        "attention_channels": sizes.attention_channels,
        "se_channels": sizes.se_channels,
        "res2net_scale": sizes.scale,
    }
    return sizes.num_bands == num_bands and all(said.get(key, value) == value for key, value in of_weights.items())
