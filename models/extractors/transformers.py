"""Self-supervised encoders of `transformers`: wav2vec 2.0 (arXiv:2006.11477), HuBERT (arXiv:2106.07447), WavLM
(arXiv:2110.13900) and UniSpeech-SAT (arXiv:2110.05752). A vector is the mean over time of one layer's output.

Layer 0 is what enters the first transformer layer, layer k is what leaves the k-th: `hidden_states[k]` of the library's
version 5, where the last one, too, is taken before the norm that closes some networks. The layers above the chosen one
are neither loaded nor computed. Only waveforms of one length share a batch: the group norm of the base networks
averages over time, so that it would hear padding.

Weights come from a local folder, or by a name at the Hugging Face hub from its cache, fetched if need be; safetensors
where there are any, else the older `pytorch_model.bin`, of which only tensors are unpickled. No code of a network's own
is run. A waveform too short for one frame (25 ms at 16 kHz) is repeated up to one.

With `bfloat16` the transformer layers multiply in that, while the convolutions over the waveform and over positions
stay in float32: eight bits would be audible in a waveform, and a processor has no fast convolution of that kind. A
processor without instructions for bfloat16 is slower with it than without.

Shape letters: B batch, S samples, D embedding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from curate.errors import ExtractorError
from curate.hearing import Transformers, name_of
from models.extractors import batches
from models.extractors.batches import in_halves_when_full
from models.extractors.device import device_of
from models.extractors.fingerprint import fingerprint
from models.extractors.hub import folder_of

KINDS = ("wav2vec2", "hubert", "wavlm", "unispeech-sat")  # as `model_type` in config.json calls them
CUDA_BATCH_S = 60.0
CONFIGS = ("config.json", "preprocessor_config.json")
SAFE, PICKLED = "model*.safetensors*", "pytorch_model*.bin*"


class MeanOfLayer:
    """The encoder as `curate.embed` wants it."""

    min_same_person: float | None = None  # nobody measured it
    min_one_person: float | None = None

    def __init__(self, hearing: Transformers) -> None:
        device = device_of(hearing.device)
        folder = folder_of(hearing.source, CONFIGS, (SAFE, PICKLED), example="microsoft/wavlm-base")
        self._is_bfloat16 = hearing.precision == "bfloat16"
        with one_line(hearing.source), quiet():
            self._features = _feature_extractor(folder)
            self._network = _network(folder, hearing.layer).to(device)
        self._device, self._layer = device, hearing.layer
        config = self._network.config
        self._min_samples = receptive_field(config.conv_kernel, config.conv_stride)
        self.name = name_of(hearing)
        self.sample_rate_hz: int = self._features.sampling_rate
        self.dimension: int = config.hidden_size
        self.batch_s = CUDA_BATCH_S if device.type == "cuda" else 0.0
        self.fingerprint = fingerprint(
            "transformers",
            weights=[*(folder / name for name in CONFIGS), *_weights(folder)],
            code=[Path(__file__), Path(batches.__file__)],
            packages=["torch", "transformers"],
            settings={"layer": hearing.layer, "precision": hearing.precision},
        )

    @in_halves_when_full
    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(N, D) for N waveforms."""
        heard = [waveform if len(waveform) >= self._min_samples else self._repeated(waveform) for waveform in waveforms]
        max_samples = round(self.batch_s * self.sample_rate_hz)
        return batches.by_equal_length(heard, self._embed, max_samples=max_samples)

    def _repeated(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.resize(waveform, self._min_samples)

    def _embed(self, waveforms_BS: NDArray[np.float32]) -> NDArray[np.float32]:
        heard = self._features(list(waveforms_BS), sampling_rate=self.sample_rate_hz, return_tensors="pt")
        heard_BS = heard["input_values"].to(self._device)
        halved = torch.autocast(self._device.type, torch.bfloat16, enabled=self._is_bfloat16)
        with torch.inference_mode(), halved:
            states = self._network(heard_BS, output_hidden_states=[self._layer]).hidden_states
            vectors_BD: NDArray[np.float32] = states[self._layer].float().mean(dim=1).cpu().numpy()
        return vectors_BD


class InFloat32(nn.Module):
    """A module that computes in float32, whatever is computed around it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, given: Tensor) -> Tensor:
        """What the module gives."""
        with torch.autocast(given.device.type, enabled=False):
            result: Tensor = self.module(given.float())
        return result


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that one frame of a stack of convolutions sees."""
    num_samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        num_samples = (num_samples - 1) * stride + kernel
    return num_samples


def _feature_extractor(folder: Path) -> Any:
    """What brings a waveform to mean 0 and variance 1 where the network was trained so, and knows its sample rate."""
    from transformers import AutoFeatureExtractor, Wav2Vec2FeatureExtractor

    features = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not isinstance(features, Wav2Vec2FeatureExtractor):
        raise ExtractorError(f"its features are those of {type(features).__name__}; expected Wav2Vec2FeatureExtractor")
    return features


def _network(folder: Path, layer: int) -> Any:
    """The network up to the layer, for inference."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type not in KINDS:
        raise ExtractorError(f"its model_type is {config.model_type!r}; expected one of {', '.join(KINDS)}")
    if layer > config.num_hidden_layers:
        raise ExtractorError(f"layer = {layer}; expected 0 to {config.num_hidden_layers}, the layers that it has")
    config.num_hidden_layers = max(1, layer)  # what enters a layer is told by that layer only
    network, loaded = AutoModel.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(set(loaded["missing_keys"]) - {"masked_spec_embed"})  # that one is for training
    if missing:
        raise ExtractorError(f"its weights lack {len(missing)} parameters, {missing[0]} among them; expected all")
    network.feature_extractor = InFloat32(network.feature_extractor)
    network.encoder.pos_conv_embed = InFloat32(network.encoder.pos_conv_embed)
    return network.eval()


def _weights(folder: Path) -> list[Path]:
    """The files that `transformers` reads weights from."""
    return sorted(folder.glob(SAFE)) or sorted(folder.glob(PICKLED))


@contextmanager
def one_line(source: str) -> Iterator[None]:
    """What goes wrong with its files, as one line that names them."""
    try:
        yield
    except ExtractorError as error:
        raise ExtractorError(f"{source}: {error}") from None
    except Exception as error:  # a damaged file is told by whatever its reader meets first
        told = " ".join(str(error).split())
        raise ExtractorError(f"{source}: expected a network of `transformers`: {told}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without a bar and a list of the weights that are not wanted: those of the layers above."""
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
