"""Any `EncoderClassifier` of SpeechBrain (arXiv:2106.04624), by its name at the Hugging Face hub or as a local folder.

The folder is as it is published: hyperparams.yaml, embedding_model.ckpt and what else the former names. Its own files
are used, wherever it says that it was published, and nothing is written. An ECAPA-TDNN (arXiv:2005.07143) with the
published settings runs on our own network, anything else on SpeechBrain's modules. Vectors agree with those of its
`encode_batch` at a cosine above 0.99999, in bfloat16 above 0.999 (tests/models/test_speechbrain_encoder.py); they are
not normalised.

A waveform shorter than 0.1 s is heard repeated up to that: less is too short for some networks.

Shape letters: B batch, N samples, D embedding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.errors import ExtractorError
from curate.hearing import SpeechBrain, name_of
from models.common import ecapa, ecapa_onednn, features, onednn, processor
from models.extractors import batches, speechbrain_ecapa, speechbrain_hyperparams, speechbrain_modules
from models.extractors.batches import in_halves_when_full
from models.extractors.device import device_of, multiply_float32_as_such
from models.extractors.fingerprint import fingerprint
from models.extractors.speechbrain_ecapa import own_ecapa
from models.extractors.speechbrain_modules import Description, Modules, Sharing, described, plain

MIN_S = 0.1
BATCH_S_CPU, BATCH_S_GPU = 10.0, 120.0
CODE = (batches, speechbrain_ecapa, speechbrain_hyperparams, speechbrain_modules)
OWN_CODE = (ecapa, ecapa_onednn, features, onednn, processor)

Waveform = NDArray[np.float32]


@final
class SpeechBrainEncoder:
    """The encoder as `curate.embed` wants it."""

    min_same_person: float | None = None  # nobody measured it
    min_one_person: float | None = None

    def __init__(self, hearing: SpeechBrain) -> None:
        """Raises ExtractorError for an encoder that cannot be had, is none, or holds more than an encoder."""
        self._device = device_of(hearing.device)
        dtype = torch.bfloat16 if hearing.precision == "bfloat16" else torch.float32
        description = described(hearing.source)
        self.name = name_of(hearing)
        self.sample_rate_hz = description.sample_rate_hz
        self.batch_s = BATCH_S_GPU if self._device.type == "cuda" else BATCH_S_CPU
        self._encoder = own_ecapa(description, self._device, hearing.precision) or Modules(
            description, self._device, dtype
        )
        multiply_float32_as_such()  # SpeechBrain, when it is imported, has it otherwise
        self.dimension = self._probed(hearing.source)
        self.fingerprint = _fingerprint(description, self._encoder.dtype, own=not isinstance(self._encoder, Modules))

    @in_halves_when_full
    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        """(N, D) for N waveforms. Those of like length share a batch; of one length where there are no masks."""
        least = round(MIN_S * self.sample_rate_hz)
        heard = [waveform if len(waveform) >= least else np.resize(waveform, least) for waveform in waveforms]
        max_samples = 0 if self._encoder.sharing is Sharing.NOBODY else round(self.batch_s * self.sample_rate_hz)
        if self._encoder.sharing is Sharing.LIKE_LENGTHS:
            vectors = np.zeros((len(heard), self.dimension), dtype=np.float32)
            for chosen in batches.of_like_length([len(waveform) for waveform in heard], max_samples):
                vectors[chosen] = self._vectors(*features.batch([heard[i] for i in chosen]))
            return vectors
        return batches.by_equal_length(
            heard, lambda same: self._vectors(torch.from_numpy(same)), max_samples=max_samples
        )

    @torch.inference_mode()
    def _vectors(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> NDArray[np.float32]:
        """(B, D)."""
        given = [one.to(self._device) for one in (wave_BN, samples_B) if one is not None]
        vectors: NDArray[np.float32] = self._encoder(*given).cpu().numpy()
        return vectors

    def _probed(self, source: str) -> int:
        """The length of a vector. Raises ExtractorError for a network that gives none for the shortest waveform."""
        (noise,) = np.random.default_rng(0).normal(size=(1, round(MIN_S * self.sample_rate_hz))).astype(np.float32)
        try:
            vectors = [self._vectors(torch.from_numpy(np.tile(noise, times)[None])) for times in (1, 2)]
        except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
            reason = str(error).partition("\n")[0]
            raise ExtractorError(f"{source}: cannot be run ({reason}); expected a network over its features") from error
        shapes = {vector.shape for vector in vectors}
        if len(shapes) > 1 or not np.isfinite(vectors).all():
            raise ExtractorError(
                f"{source}: gives {' and '.join(map(str, sorted(shapes)))} for {MIN_S} s and twice that;"
                " expected one finite vector for each"
            )
        return int(vectors[0].shape[1])


def _fingerprint(description: Description, dtype: torch.dtype, *, own: bool) -> str:
    return fingerprint(
        "speechbrain",
        weights=[file for _, file in description.weights],
        code=[Path(__file__), *(Path(str(module.__file__)) for module in (*CODE, *(OWN_CODE if own else ())))],
        packages=["torch"] if own else ["torch", "torchaudio", "speechbrain"],
        settings={
            "modules": {role: plain(part) for role, part in description.roles.items()},
            "sample_rate_hz": description.sample_rate_hz,
            "precision": str(dtype),  # that it computes in
        },
    )
