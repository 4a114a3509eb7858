"""The GE2E speaker encoder (arXiv:1710.10467) on the weights that the package `resemblyzer` carries.

Three LSTM layers over 40 mel bands, a linear layer with ReLU, length one: 256 numbers for each window of 1.6 s. An
utterance is the mean over its windows, at length one again. What the package does to a waveform before is done here
too: quiet audio is raised to -30 dBFS and long silences are cut by WebRTC's voice activity detector. Vectors agree with
the package's own at a cosine above 0.999 (tests/models/test_ge2e.py).

Shape letters: W windows, T frames, M mel bands, D embedding.
"""

import hashlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from torch import Tensor, nn
from torch.nn import functional as F

from curate import audio
from curate.catalog import canonical_json
from curate.errors import ExtractorError
from curate.hearing import Ge2e
from curate.runs import code_fingerprint

SAMPLE_RATE_HZ = 16_000
FFT, HOP = 400, 160  # samples: 25 ms and 10 ms
WINDOW_FRAMES = 160  # of one window, 1.6 s
WINDOWS_PER_S = 1.3
MIN_COVERAGE = 0.75  # of the last window, by audio; else it is left out
TARGET_DBFS = -30.0
VAD_WINDOW = 480  # samples: 30 ms
VAD_AVERAGE = 8  # windows that the detector's flags are averaged over
VAD_SILENCE = 6  # windows of silence that are left beside speech
COMPUTING = ("torch", "torchaudio", "soxr", "soundfile", "av", "webrtcvad")  # what decodes, resamples, trims and embeds


class Network(nn.Module):
    """The network itself; its attribute names are those of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size=40, hidden_size=256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mel_WTM: Tensor) -> Tensor:
        """(W, D) at length one."""
        _, (hidden, _) = self.lstm(mel_WTM)
        return F.normalize(F.relu(self.linear(hidden[-1])))


class GE2E:
    """The encoder as `curate.embed` wants it. On the processor, one waveform at a time."""

    name = "ge2e"
    sample_rate_hz = SAMPLE_RATE_HZ
    dimension = 256
    # Measured on LibriSpeech, EmoDB and FSDD; docs/log.md has the figures.
    min_same_person: float | None = 0.82
    min_one_person: float | None = 0.60
    batch_s = 0.0

    def __init__(self, hearing: Ge2e | None = None) -> None:
        weights = _weights()
        self.fingerprint = fingerprint(weights)
        self._new_detector = _voice_detector_class()
        torch.set_num_threads(1)  # one LSTM this small is slower on two, and sums must not depend on the machine
        self._network = Network()
        state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
        self._network.load_state_dict({key: value for key, value in state.items() if not key.startswith("similarity")})
        self._network.eval()
        self._bands = torchaudio.functional.melscale_fbanks(
            FFT // 2 + 1, 0.0, SAMPLE_RATE_HZ / 2, 40, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney"
        )

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(N, 256) for N waveforms at 16 kHz; nan where no speech is heard."""
        return np.stack([self._embed(self._speech(waveform)) for waveform in waveforms])

    def _speech(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        detector = self._new_detector(mode=3)  # new for each: it remembers what it has heard
        return trim_silence(raise_volume(waveform), detector)

    def _embed(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(waveform):
            return np.full(self.dimension, np.nan, dtype=np.float32)
        starts, num_samples = windows(len(waveform))
        mel_TM = self._mel(np.pad(waveform, (0, max(0, num_samples - len(waveform)))))
        mel_WTM = torch.stack([mel_TM[start : start + WINDOW_FRAMES] for start in starts])
        with torch.inference_mode():
            mean_D = self._network(mel_WTM).mean(dim=0)
            vector: NDArray[np.float32] = F.normalize(mean_D, dim=0).numpy()
        return vector

    def _mel(self, waveform: NDArray[np.float32]) -> Tensor:
        """(T, M) of power, not its logarithm: so was the network trained."""
        spectrum = torch.stft(
            torch.from_numpy(waveform),
            FFT,
            HOP,
            window=torch.hann_window(FFT),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        mel_TM: Tensor = spectrum.abs().square().T @ self._bands
        return mel_TM


def windows(num_samples: int) -> tuple[list[int], int]:
    """First frames of the windows over a waveform, and how many samples the last one reaches to."""
    step = round(SAMPLE_RATE_HZ / WINDOWS_PER_S / HOP)
    num_frames = -(-(num_samples + 1) // HOP)
    starts = list(range(0, max(1, num_frames - WINDOW_FRAMES + step + 1), step))
    covered = (num_samples - starts[-1] * HOP) / (WINDOW_FRAMES * HOP)
    if covered < MIN_COVERAGE and len(starts) > 1:
        starts.pop()
    return starts, (starts[-1] + WINDOW_FRAMES) * HOP


def raise_volume(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quiet audio at -30 dBFS; loud audio as it is."""
    power = float(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    if power == 0:
        return waveform
    gain_db = TARGET_DBFS - 10 * np.log10(power)
    return waveform if gain_db <= 0 else (waveform * 10 ** (gain_db / 20)).astype(np.float32)


def trim_silence(waveform: NDArray[np.float32], detector: Any) -> NDArray[np.float32]:
    """Without the silences longer than about 0.4 s; empty where nothing is speech to a new webrtcvad.Vad."""
    waveform = waveform[: len(waveform) // VAD_WINDOW * VAD_WINDOW]
    pcm = np.round(np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes()
    size = 2 * VAD_WINDOW
    flags = [detector.is_speech(pcm[at : at + size], sample_rate=SAMPLE_RATE_HZ) for at in range(0, len(pcm), size)]
    if not any(flags):
        return waveform[:0]
    before = (VAD_AVERAGE - 1) // 2
    padded = np.concatenate([np.zeros(before), flags, np.zeros(VAD_AVERAGE - 1 - before)])
    mostly = np.round(np.convolve(padded, np.ones(VAD_AVERAGE), mode="valid") / VAD_AVERAGE) > 0
    near = binary_dilation(mostly, np.ones(VAD_SILENCE + 1))
    speech: NDArray[np.float32] = waveform[np.repeat(near, VAD_WINDOW)]
    return speech


def _voice_detector_class() -> Any:
    """To be called once, before there are threads: warnings are turned off for all of them, and on again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports pkg_resources, which says that it will go away
        import webrtcvad
    return webrtcvad.Vad


def fingerprint(weights: Path) -> str:
    """Of all that a vector depends on, as a name that a folder can have."""
    versions = {name: importlib.metadata.version(name) for name in COMPUTING}
    code = code_fingerprint(Path(__file__), *audio.SOURCES)
    made_from = canonical_json({"weights": audio.sha256_of(weights), "code": code, "versions": versions})
    return f"ge2e-{hashlib.sha256(made_from.encode()).hexdigest()[:24]}"


def _weights() -> Path:
    """The file in the installed package, whose code is not imported."""
    spec = importlib.util.find_spec("resemblyzer")
    weights = (
        Path(spec.submodule_search_locations[0]) / "pretrained.pt" if spec and spec.submodule_search_locations else None
    )
    if weights is None or not weights.exists():
        raise ExtractorError(
            "ge2e: the package `resemblyzer` with its pretrained.pt is missing; expected `pip install resemblyzer`"
        )
    return weights
