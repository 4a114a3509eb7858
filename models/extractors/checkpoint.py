"""Networks of `models/` that training has kept, as encoders: clean a corpus with a model that was trained on it.

On a processor utterances go one at a time through the form of the network that is made for it; on a GPU those of like
length share a batch, under masks. A waveform shorter than the network can hear is repeated until it is long enough.

Shape letters: B batch, N samples, D embedding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.hearing import Checkpoint, name_of
from models import checkpoint
from models.age_adversarial import joined, rawnet2
from models.angular_prototypical import model as half_resnet
from models.checkpoint import FEATURES, WEIGHTS, Network
from models.common import (
    ecapa,
    ecapa_onednn,
    features,
    log_mel,
    mfcc,
    onednn,
    pooling,
    processor,
    resnet,
    resnet_onednn,
)
from models.common import waveform as wave
from models.common.ecapa_onednn import FastEcapa
from models.common.features import SAMPLE_RATE_HZ, batch
from models.common.processor import dtype_on, for_processor
from models.common.resnet_onednn import FastResNet
from models.disjoint_mtl import encoder, model
from models.extractors import batches
from models.extractors.batches import in_halves_when_full, of_like_length
from models.extractors.device import device_of
from models.extractors.fingerprint import fingerprint
from models.multi_similarity import model as mfcc_networks

BATCH_S_GPU = 240.0  # several make a block, so that one is decoded while another is heard
CODE = (
    *(checkpoint, batches, ecapa, ecapa_onednn, features, half_resnet, joined, log_mel, mfcc, mfcc_networks, onednn),
    *(pooling, processor, rawnet2, resnet, resnet_onednn, wave, encoder, model),
)

Waveform = NDArray[np.float32]


@final
class CheckpointEncoder:
    """The encoder as `curate.embed` wants it."""

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, hearing: Checkpoint) -> None:
        """Raises ExtractorError for a folder that holds no checkpoint, or a device that is not there."""
        folder = Path(hearing.source)
        self._device = device_of(hearing.device)
        loaded = checkpoint.load(folder)
        description = loaded.description
        self.name = name_of(hearing)
        self.dimension = description.dimension
        self.min_same_person, self.min_one_person = description.min_same_person, description.min_one_person
        self._features = FEATURES[description.features](loaded.network.settings.num_bands).to(self._device)
        self._min_samples = self._features.min_samples(loaded.network.settings.min_frames)
        self._max_samples = 0
        dtype = dtype_on(self._device, hearing.precision)
        if self._device.type == "cuda":
            self._max_samples = round(BATCH_S_GPU * SAMPLE_RATE_HZ)
            self._network: Network | FastEcapa | FastResNet = loaded.network.products_in(dtype).to(self._device)
        else:
            self._network = for_processor(loaded.network, dtype)
        self.batch_s = self._max_samples / SAMPLE_RATE_HZ
        self.fingerprint = fingerprint(
            "checkpoint",
            weights=[folder / WEIGHTS],
            code=[Path(__file__), *(Path(str(module.__file__)) for module in CODE)],
            packages=("torch", "numpy", *(("transformers",) if description.architecture == "wav2vec2" else ())),
            settings={  # not the thresholds: to measure them, one must have embedded
                "precision": str(dtype),  # that it computes in
                "architecture": description.architecture,
                "network": description.settings,
                "features": description.features,
            },
        )

    @in_halves_when_full
    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        """(N, D) for N waveforms at 16 kHz of any lengths above 0. May be called by several threads at once."""
        least = self._min_samples
        heard = [waveform if len(waveform) >= least else np.resize(waveform, least) for waveform in waveforms]
        vectors = np.zeros((len(heard), self.dimension), dtype=np.float32)
        for chosen in of_like_length([len(waveform) for waveform in heard], self._max_samples):
            vectors[chosen] = self._vectors(*batch([heard[i] for i in chosen]))
        return vectors

    @torch.inference_mode()
    def _vectors(self, wave_BN: Tensor, samples_B: Tensor | None) -> NDArray[np.float32]:
        """(B, D)."""
        lengths = None if samples_B is None else samples_B.to(self._device)
        feats_BTM, length_B = self._features(wave_BN.to(self._device), lengths)
        if isinstance(self._network, FastEcapa | FastResNet):
            vector_D: NDArray[np.float32] = self._network(feats_BTM[0]).numpy()
            return vector_D[None]
        vectors: NDArray[np.float32] = self._network(feats_BTM, length_B).cpu().numpy()
        return vectors
