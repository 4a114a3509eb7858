"""How well a system tells people apart whom it was not trained on: the EER of cosines on a list of trials."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from benchmarks.metrics import equal_error_rate
from benchmarks.scoring import cosine_scores
from curate.errors import TrainingError
from curate.similarity import unit
from models.data.crops import RATE_HZ, Reader
from models.extractors.batches import of_like_length
from models.training.engine import Validated
from models.training.system import System

BATCH_S = 120.0  # of audio, padded, on a GPU; a processor hears one utterance at a time


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Trials (enrol_id, test_id, is_target) among the utterances of a reader, each heard from its start on."""

    trials: pa.Table
    reader: Reader
    longest_s: float  # that is heard of an utterance

    def __call__(self, system: System) -> Validated:
        """Raises TrainingError where the system gives a vector that is not finite."""
        scores, is_target = self.scores(system), np.asarray(self.trials["is_target"])
        num_target = int(is_target.sum())
        return Validated(equal_error_rate(scores, is_target), num_target, len(is_target) - num_target)

    def scores(self, system: System) -> NDArray[np.float64]:
        """(T,) cosines, in the order of the trials."""
        return cosine_scores(self.trials, self.reader.speech.utterance_ids, unit(self.vectors(system)))

    def vectors(self, system: System) -> NDArray[np.float32]:
        """(U, D) of all utterances."""
        was_training = system.training
        system.eval()
        try:
            with torch.inference_mode():
                heard = [(rows, vectors) for rows, vectors in self._heard(system)]
        finally:
            system.train(was_training)
        vectors = np.empty((len(self.reader.speech), heard[0][1].shape[1]), np.float32)
        for rows, some in heard:
            vectors[rows] = some
        lost = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(lost):
            name = self.reader.speech.utterance_ids[int(lost[0])]
            raise TrainingError(f"{name}: its vector is not finite; expected a system that has not diverged")
        return vectors

    def _heard(self, system: System) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        device = next(system.parameters()).device
        lengths = np.minimum(self.reader.num_samples, round(self.longest_s * RATE_HZ)).tolist()
        at_once = round(BATCH_S * RATE_HZ) if device.type == "cuda" else 0
        for rows in of_like_length(lengths, at_once):
            num_samples = torch.tensor([lengths[row] for row in rows])
            wave_BN = np.zeros((len(rows), int(num_samples.max())), np.float32)
            for row, wave_N in zip(rows, wave_BN, strict=True):
                self.reader.read_into(row, 0, wave_N[: lengths[row]])
            samples = None if len(set(num_samples.tolist())) == 1 else num_samples.to(device)
            yield rows, system.embed(torch.from_numpy(wave_BN).to(device), samples).float().cpu().numpy()
