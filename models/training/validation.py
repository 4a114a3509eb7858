"""How well a system tells people apart whom it was not trained on: the EER of cosines on a list of trials."""

from collections.abc import Iterator, Sequence
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

BATCH_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Trials (enrol_id, test_id, is_target) among the utterances of a reader, each heard from its start on."""

    trials: pa.Table
    reader: Reader
    longest_s: float  # that is heard of an utterance
    batch_s: float | None = None  # of audio, padded; else BATCH_S on a GPU, and on a processor an utterance at a time

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
            with torch.inference_mode(), torch.compiler.set_stance("force_eager"):  # lengths differ
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
        """Rows and their vectors, batch by batch; one that does not fit into memory in halves."""
        device = next(system.parameters()).device
        lengths = np.minimum(self.reader.num_samples, round(self.longest_s * RATE_HZ)).tolist()
        batch_s = (BATCH_S if device.type == "cuda" else 0.0) if self.batch_s is None else self.batch_s
        waiting = of_like_length(lengths, round(batch_s * RATE_HZ))[::-1]
        while waiting:
            rows = waiting.pop()
            vectors = self._of_batch(system, rows, [lengths[row] for row in rows], device)
            if vectors is not None:
                yield rows, vectors
                continue
            if len(rows) == 1:
                raise TrainingError(
                    f"{self.reader.speech.utterance_ids[rows[0]]}: {lengths[rows[0]] / RATE_HZ:.1f} s do not fit into "
                    f"the memory of {device} beside training; expected a shorter `validate_s`"
                )
            waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]

    def _of_batch(
        self, system: System, rows: Sequence[int], lengths: Sequence[int], device: torch.device
    ) -> NDArray[np.float32] | None:
        """(B, D); None where memory does not do. The error would hold the tensors of the try."""
        wave_BN = np.zeros((len(rows), max(lengths)), np.float32)
        for row, length, wave_N in zip(rows, lengths, wave_BN, strict=True):
            self.reader.read_into(row, 0, wave_N[:length])
        try:
            samples_B = None if len(set(lengths)) == 1 else torch.tensor(lengths).to(device)
            vectors: NDArray[np.float32] = (
                system.embed(torch.from_numpy(wave_BN).to(device), samples_B).float().cpu().numpy()
            )
        except torch.OutOfMemoryError:
            return None
        return vectors
