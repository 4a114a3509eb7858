"""How well a system does on utterances held out: the EER of its cosines on trials, or the classes that it tells."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.classes import macro_f1
from benchmarks.metrics import equal_error_rate
from benchmarks.scoring import cosine_scores
from benchmarks.words import error_rate, word_edits
from curate.errors import TrainingError
from curate.similarity import unit
from models.data.crops import RATE_HZ, Reader
from models.data.speech import Integers
from models.extractors.batches import of_like_length
from models.training.engine import Validated
from models.training.system import System

BATCH_S = 120.0


WER_SHARE = 0.25  # of what the best system that reads and knows voices has least of (Vaessen and van Leeuwen 2023)
Answers = dict[str, NDArray[Any]]  # by name (B, ...)
Ask = Callable[[Tensor, Tensor | None], Answers]  # of waveforms and their valid samples


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The utterances of a reader, each heard from its start on; trials (enrol_id, test_id, is_target) among them."""

    reader: Reader
    longest_s: float  # that is heard of an utterance
    trials: pa.Table | None = None
    labels: Mapping[str, Integers] = field(default_factory=dict)  # (U,) codes of each task; -1: not known
    batch_s: float | None = None  # of audio, padded; else BATCH_S on a GPU, and on a processor an utterance at a time

    def __call__(self, system: System) -> Validated:
        """Of classes, where the system tells some: one of their tasks at least has labels.

        Raises TrainingError where what it gives is not finite.
        """
        if system.tasks:
            return self._of_classes(system)
        assert self.trials is not None  # noqa: S101  # a run has some, or no validation
        scores, is_target = self.scores(system), np.asarray(self.trials["is_target"])
        num_target = int(is_target.sum())
        counts = {"num_target": num_target, "num_nontarget": len(is_target) - num_target}
        return Validated(equal_error_rate(scores, is_target), "eer", counts)

    def _of_classes(self, system: System) -> Validated:
        told, f1s, counts = self.told(system), [], {}
        for task in system.tasks:
            truth = self.labels[task]
            rows = np.flatnonzero(truth >= 0)
            counts[f"num_{task}"] = len(rows)
            if len(rows):
                f1s.append(macro_f1(told[task][rows].argmax(axis=1), truth[rows]))
        return Validated(1 - float(np.mean(f1s)), "class_error", counts)

    def scores(self, system: System) -> NDArray[np.float64]:
        """(T,) cosines, in the order of the trials."""
        assert self.trials is not None  # noqa: S101  # who asks has given some
        return cosine_scores(self.trials, self.reader.speech.utterance_ids, unit(self.vectors(system)))

    def vectors(self, system: System) -> NDArray[np.float32]:
        """(U, D) of all utterances."""
        return self._asked(system, lambda wave, samples: {"vector": _numbers(system.embed(wave, samples))})["vector"]

    def layer_vectors(self, system: System) -> NDArray[np.float32]:
        """(U, L, D) of all utterances, for each layer of the system."""

        def ask(wave_BN: Tensor, samples_B: Tensor | None) -> Answers:
            return {"layers": _numbers(system.layer_vectors(wave_BN, samples_B))}

        return self._asked(system, ask)["layers"]

    def told(self, system: System) -> dict[str, NDArray[np.float32]]:
        """(U, K) of all utterances, for each task: how likely each class is."""

        def ask(wave_BN: Tensor, samples_B: Tensor | None) -> Answers:
            return {task: _numbers(likely_BK) for task, likely_BK in system.tell(wave_BN, samples_B).items()}

        return self._asked(system, ask)

    def written(self, system: System) -> list[str]:
        """(U,) what the system reads in all utterances."""

        def ask(wave_BN: Tensor, samples_B: Tensor | None) -> Answers:
            return {"text": np.array([[text] for text in system.transcribe(wave_BN, samples_B)], object)}

        texts: list[str] = self._asked(system, ask)["text"][:, 0].tolist()
        return texts

    def _asked(self, system: System, ask: Ask) -> Answers:
        """(U, ...) by name: what is asked of all utterances."""
        found: Answers = {}
        was_training = system.training
        system.eval()
        try:
            with torch.inference_mode(), torch.compiler.set_stance("force_eager"):  # lengths differ
                for rows, given in self._heard(system, ask):
                    for name, some in given.items():
                        if name not in found:
                            found[name] = np.empty((len(self.reader.speech), *some.shape[1:]), some.dtype)
                        found[name][rows] = some
        finally:
            system.train(was_training)
        for name, of_all in found.items():
            of_each = of_all.reshape(len(of_all), -1)
            if of_all.dtype == np.float32 and len(lost := np.flatnonzero(~np.isfinite(of_each).all(axis=1))):
                who = self.reader.speech.utterance_ids[int(lost[0])]
                raise TrainingError(f"{who}: its {name} is not finite; expected a system that has not diverged")
        return found

    def _heard(self, system: System, ask: Ask) -> Iterator[tuple[list[int], Answers]]:
        """Rows and what is given of them, batch by batch; one that does not fit into memory in halves."""
        device = next(system.parameters()).device
        lengths = np.minimum(self.reader.num_samples, round(self.longest_s * RATE_HZ)).tolist()
        batch_s = (BATCH_S if device.type == "cuda" else 0.0) if self.batch_s is None else self.batch_s
        waiting = of_like_length(lengths, round(batch_s * RATE_HZ))[::-1]
        while waiting:
            rows = waiting.pop()
            given = self._of_batch(ask, rows, [lengths[row] for row in rows], device)
            if given is not None:
                yield rows, given
                continue
            if len(rows) == 1:
                raise TrainingError(
                    f"{self.reader.speech.utterance_ids[rows[0]]}: {lengths[rows[0]] / RATE_HZ:.1f} s do not fit into "
                    f"the memory of {device} beside training; expected a shorter `validate_s`, or "
                    "`validate_whole_s` where words are read"
                )
            waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]

    def _of_batch(self, ask: Ask, rows: Sequence[int], lengths: Sequence[int], device: torch.device) -> Answers | None:
        """(B, ...) by name; None where memory does not do. The error would hold the tensors of the try."""
        wave_BN = np.zeros((len(rows), max(lengths)), np.float32)
        for row, length, wave_N in zip(rows, lengths, wave_BN, strict=True):
            self.reader.read_into(row, 0, wave_N[:length])
        try:
            samples_B = None if len(set(lengths)) == 1 else torch.tensor(lengths).to(device)
            return ask(torch.from_numpy(wave_BN).to(device), samples_B)
        except torch.OutOfMemoryError:
            return None


@dataclass(frozen=True, kw_only=True)
class ReadingValidation:
    """The words that a system reads in some utterances, and how well it knows the voices of others.

    The error is WER_SHARE of the word error rate and the rest of the EER (section 4.2), or the one that there is. A
    word error rate may exceed 1: so may the error.
    """

    read: Validation | None  # whose utterances have transcripts with a word
    compared: Validation | None  # which has trials

    def __call__(self, system: System) -> Validated:
        """Raises TrainingError where what the system gives is not finite."""
        errors, counts = [], {}
        if self.read is not None:
            texts = [text or "" for text in self.read.reader.speech.transcripts]
            edits = word_edits(texts, self.read.written(system))
            errors.append((WER_SHARE, "wer", error_rate(edits.total, edits.num_reference)))
            counts["num_words"] = int(edits.num_reference.sum())
        if self.compared is not None:
            found = self.compared(system)
            errors.append((1 - WER_SHARE, found.measure, found.error))
            counts |= found.counts
        if len(errors) == 1:
            return Validated(errors[0][2], errors[0][1], counts)
        parts = {measure: error for _, measure, error in errors}
        return Validated(sum(share * error for share, _, error in errors), "wer_eer", counts, parts)


def _numbers(some: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = some.float().cpu().numpy()
    return found
