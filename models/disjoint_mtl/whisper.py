"""What is said in waveforms, as Whisper (arXiv:2212.04356) in the layout of openai/whisper-base writes it.

The network, its features and its texts are those of `transformers`. It hears 30 s at once; longer waveforms are heard
in parts, cut where they are quietest. Decoding is what the folder's generation_config.json says: greedy, for the
published ones. A multilingual network is told the language, or tells itself which it hears.

Shape letters: B batch, N samples at 16 kHz.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from curate.errors import ExtractorError
from models.extractors.device import device_of
from models.extractors.hub import folder_of
from models.extractors.transformers import PICKLED, SAFE, one_line, quiet

BASE = "openai/whisper-base"  # which the paper has texts of VoxCeleb2 from (section 3.2.2)
FILES = (
    *("config.json", "generation_config.json", "preprocessor_config.json"),
    *("tokenizer.json", "tokenizer_config.json"),
)
RATE_HZ = 16_000
PART_S = 30.0  # that it hears at once
SOUGHT_S = 5.0  # at the end of a part, in which the cut lies
QUIET_S = 0.2  # that is quiet where it is cut
FRAME = 320  # samples whose energy is one number
Wave = NDArray[np.float32]


class Whisper:
    """The network, ready to write."""

    def __init__(self, source: str, *, device: str = "auto", language: str | None = None, only: bool = False) -> None:
        """Of a folder or a name at the hub. With `only` no utterance is written that it hears as another language's.

        Raises ExtractorError, which says how to bring it, where it is not there, and for what is no Whisper or does not
        know the language.
        """
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
            raise ExtractorError(f"device {device!r}: expected auto, cpu, cuda or one such as cuda:1")
        self.device = device_of(device)
        folder = _folder(source)
        with one_line(source), quiet():
            self._network, self._features, self._texts = _loaded(folder)
            told = self._network.generation_config
            self._asked, self._language_code = _language(told, language), None
            if only:
                if language is None:
                    raise ExtractorError("--only without --language; expected one, such as --language en")
                if not told.is_multilingual:
                    raise ExtractorError("tells no languages apart; expected a multilingual network")
                self._language_code = told.lang_to_id[f"<|{language}|>"]
        self._network.to(self.device)

    def read(self, waves: Sequence[Wave]) -> list[str]:
        """(B,) what is said in each, on one line; empty where that is nothing. So many at once.

        Raises ExtractorError where they do not fit into memory.
        """
        found: list[list[str]] = [[] for _ in waves]
        try:
            pieces = [(at, part) for at in self._asked_for(waves) for part in parts(waves[at])]
            for first in range(0, len(pieces), len(waves)):
                some = pieces[first : first + len(waves)]
                for (at, _), text in zip(some, self._read([part for _, part in some]), strict=True):
                    found[at].append(text)
        except torch.OutOfMemoryError as error:
            told = f"{len(waves)} utterances at once do not fit into the memory of {self.device}"
            raise ExtractorError(f"{told}; expected fewer (--batch)") from error
        return [" ".join(" ".join(texts).split()) for texts in found]

    @torch.inference_mode()
    def _asked_for(self, waves: Sequence[Wave]) -> list[int]:
        """Which of them are to be written: none that is empty, nor of another language where that is not asked for.

        What language an utterance is of its first part tells, as in openai-whisper: a text that lacks a part in the
        middle would be no text of the whole.
        """
        heard = [at for at, wave in enumerate(waves) if len(wave)]
        if self._language_code is None or not heard:
            return heard
        features, _ = self._heard([parts(waves[at])[0] for at in heard])
        codes = self._network.detect_language(features).tolist()
        return [at for at, code in zip(heard, codes, strict=True) if code == self._language_code]

    @torch.inference_mode()
    def _read(self, waves: Sequence[Wave]) -> list[str]:
        """Of 30 s at most."""
        features, mask = self._heard(waves)
        with quiet():
            codes = self._network.generate(features, attention_mask=mask, **self._asked)
        written: list[str] = self._texts.batch_decode(codes, skip_special_tokens=True)
        return written

    def _heard(self, waves: Sequence[Wave]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of 30 s at most, and which of their frames are not padded."""
        heard = self._features(list(waves), sampling_rate=RATE_HZ, return_tensors="pt", return_attention_mask=True)
        return heard["input_features"].to(self.device), heard["attention_mask"].to(self.device)


def parts(wave_N: Wave) -> list[Wave]:
    """The same samples in parts of 30 s at most, cut in the middle of the quietest fifth of a second of the last five.

    Of those that are as quiet, the last.
    """
    found, most, sought = [], round(PART_S * RATE_HZ), round(SOUGHT_S * RATE_HZ)
    width = round(QUIET_S * RATE_HZ) // FRAME
    while len(wave_N) > most:
        energy = np.square(wave_N[most - sought : most].reshape(-1, FRAME), dtype=np.float64).sum(axis=1)
        of_each = np.lib.stride_tricks.sliding_window_view(energy, width).sum(axis=1)
        quietest = len(of_each) - 1 - int(of_each[::-1].argmin())
        cut = most - sought + (quietest + width // 2) * FRAME
        found.append(wave_N[:cut])
        wave_N = wave_N[cut:]
    return [*found, wave_N]


def _folder(source: str) -> Path:
    try:
        return folder_of(source, FILES, (SAFE, PICKLED), example=BASE)
    except ExtractorError as error:
        if "hf download" in str(error):
            raise
        raise ExtractorError(f"{error} (`hf download {BASE} --local-dir FOLDER` brings it)") from error


def _loaded(folder: Path) -> tuple[Any, Any, Any]:
    """The network, what makes its features of waveforms, and what makes texts of its codes."""
    from transformers import AutoConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type != "whisper":
        raise ExtractorError(f"its model_type is {config.model_type!r}; expected 'whisper', as of {BASE}")
    features = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    texts = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
    made: Any = WhisperForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
    )
    network, loaded = made
    if missing := sorted({*loaded["missing_keys"]} - {"proj_out.weight"}):  # that is the embedding of codes
        raise ExtractorError(f"its weights lack {len(missing)} parameters, {missing[0]} among them; expected all")
    if features.sampling_rate != RATE_HZ or features.chunk_length != PART_S:
        told = f"it hears {features.chunk_length} s at {features.sampling_rate} Hz"
        raise ExtractorError(f"{told}; expected {PART_S:g} s at {RATE_HZ} Hz")
    return network.eval(), features, texts


def _language(told: Any, language: str | None) -> dict[str, str]:
    """What is asked of generation: networks of English alone are asked for nothing. Raises ExtractorError."""
    if not getattr(told, "is_multilingual", False):
        if language not in (None, "en"):
            raise ExtractorError(f"knows English alone; expected --language en, or a multilingual one like {BASE}")
        return {}
    known = [code.strip("<|>") for code in told.lang_to_id]
    if language is not None and language not in known:
        raise ExtractorError(f"no language {language!r}; expected one of {', '.join(known)}")
    return {"task": "transcribe"} | ({} if language is None else {"language": language})
