"""The GE2E speaker encoder (arXiv:1710.10467) on the weights that the package `resemblyzer` carries.

Three LSTM layers over 40 mel bands, a linear layer with ReLU, length one: 256 numbers for each window of 1.6 s. An
utterance is the mean over its windows, at length one again. What the package does to a waveform before is done here
too: quiet audio is raised to -30 dBFS and long silences are cut by WebRTC's voice activity detector. Vectors agree with
the package's own at a cosine above 0.999 (tests/models/test_ge2e.py).

All windows are of one length, so those of several utterances share a batch without any padding. The batch, the number
of threads and the device move a vector by rounding only.

Shape letters: B utterances, W windows, T frames, S samples of a frame, M mel bands, D embedding.
"""

import importlib.util
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, final

# the detector itself: the module `webrtcvad` around it brings pkg_resources, and warnings that this will go away
import _webrtcvad as webrtc  # type: ignore[import-not-found]
import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import ExtractorError
from curate.hearing import Ge2e, name_of
from models.extractors import batches
from models.extractors.batches import in_halves_when_full
from models.extractors.device import device_of
from models.extractors.fingerprint import fingerprint

SAMPLE_RATE_HZ = 16_000
FFT, HOP = 400, 160  # samples: 25 ms and 10 ms
WINDOW_FRAMES = 160  # of one window, 1.6 s
WINDOWS_PER_S = 1.3
MIN_COVERAGE = 0.75  # of the last window, by audio; else it is left out
TARGET_DBFS = -30.0
VAD_WINDOW = 480  # samples: 30 ms
VAD_MODE = 3  # the most eager to call a window silent
VAD_AVERAGE = 8  # windows that the detector's flags are averaged over
VAD_SILENCE = 6  # windows of silence that are left beside speech
COMPUTING = ("torch", "torchaudio", "numpy", "scipy", "webrtcvad")
# On a processor the weights are read from the cache once for so many windows, and the windows still fit in beside them.
MAX_WINDOWS_CPU, BATCH_S_CPU = 48, 60.0
MAX_WINDOWS_GPU, BATCH_S_GPU = 1024, 600.0

Waveform = NDArray[np.float32]


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


@final
class GE2E:
    """The encoder as `curate.embed` wants it."""

    sample_rate_hz = SAMPLE_RATE_HZ
    dimension = 256
    # Measured on LibriSpeech, EmoDB and FSDD; docs/log.md has the figures.
    min_same_person: float | None = 0.82
    min_one_person: float | None = 0.60

    def __init__(self, hearing: Ge2e | None = None) -> None:
        hearing = hearing or Ge2e()
        weights = _weights()
        self.name = name_of(hearing)
        code = [Path(__file__), Path(batches.__file__)]
        self.fingerprint = fingerprint("ge2e", weights=[weights], code=code, packages=COMPUTING)
        self._device = device_of(hearing.device)
        on_gpu = self._device.type == "cuda"
        self.batch_s = BATCH_S_GPU if on_gpu else BATCH_S_CPU
        self._max_windows = MAX_WINDOWS_GPU if on_gpu else MAX_WINDOWS_CPU
        self._network = _network(weights).to(self._device)
        self._hann_S = torch.hann_window(FFT, device=self._device)
        self._bands = torchaudio.functional.melscale_fbanks(
            FFT // 2 + 1, 0.0, SAMPLE_RATE_HZ / 2, 40, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney"
        ).to(self._device)

    @in_halves_when_full
    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        """(N, 256) for N waveforms at 16 kHz; zeros where no speech is heard, nan for what holds no finite numbers."""
        vectors = np.zeros((len(waveforms), self.dimension), dtype=np.float32)
        speech = [_speech(waveform) for waveform in waveforms]
        heard = [row for row, samples in enumerate(speech) if len(samples)]
        if heard:
            vectors[heard] = self._vectors([speech[row] for row in heard])
        return vectors

    @torch.inference_mode()
    def _vectors(self, speech: Sequence[Waveform]) -> NDArray[np.float32]:
        """(B, D) of utterances that are not empty."""
        pieces = [_framed(samples) for samples in speech]
        num_frames = [len(piece) // HOP for piece, _ in pieces]
        first_frames = accumulate(num_frames, initial=0)
        starts_W = [first + start for first, (_, starts) in zip(first_frames, pieces, strict=False) for start in starts]
        mel_TM = self._mel(np.concatenate([piece for piece, _ in pieces]))
        emb_WD = torch.cat([self._of_windows(mel_TM, part) for part in self._parts(torch.tensor(starts_W))])
        parts = torch.split(emb_WD, [len(starts) for _, starts in pieces])
        vectors: NDArray[np.float32] = F.normalize(torch.stack([part.mean(dim=0) for part in parts])).cpu().numpy()
        return vectors

    def _parts(self, starts_W: Tensor) -> Sequence[Tensor]:
        """As few as the bound allows, and of like size: a small one costs nearly what a full one does."""
        return starts_W.to(self._device).tensor_split(-(-len(starts_W) // self._max_windows))

    def _of_windows(self, mel_TM: Tensor, starts_W: Tensor) -> Tensor:
        frames_WT = starts_W[:, None] + torch.arange(WINDOW_FRAMES, device=self._device)
        emb_WD: Tensor = self._network(mel_TM[frames_WT])
        return emb_WD

    def _mel(self, samples: Waveform) -> Tensor:
        """(T, M) of power, not its logarithm: so was the network trained. As much at once as the network takes."""
        frames_TS = torch.from_numpy(samples).to(self._device).unfold(0, FFT, HOP)
        parts = torch.split(frames_TS, self._max_windows * WINDOW_FRAMES)
        return torch.cat([self._power(part) @ self._bands for part in parts])

    def _power(self, frames_TS: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(frames_TS * self._hann_S)
        power: Tensor = spectrum.real.square() + spectrum.imag.square()
        return power


def _framed(samples: Waveform) -> tuple[Waveform, list[int]]:
    """The samples as far as the windows reach, with zeros around, and the first frames of the windows.

    Frame t then begins at sample t * HOP, and is centred where the t-th hop of the samples begins. What follows this
    piece in a row of pieces is heard by none of its windows, and the next piece begins a whole number of hops later.
    """
    starts, reach = windows(len(samples))
    before, after = FFT // 2, 2 * HOP - FFT // 2
    heard = samples[: reach + after]  # the last frame goes on for FFT / 2 - HOP samples
    return np.pad(heard, (before, reach + after - len(heard))), starts


def windows(num_samples: int) -> tuple[list[int], int]:
    """First frames of the windows over a waveform, and how many samples the last one reaches to."""
    step = round(SAMPLE_RATE_HZ / WINDOWS_PER_S / HOP)
    num_frames = -(-(num_samples + 1) // HOP)
    starts = list(range(0, max(1, num_frames - WINDOW_FRAMES + step + 1), step))
    covered = (num_samples - starts[-1] * HOP) / (WINDOW_FRAMES * HOP)
    if covered < MIN_COVERAGE and len(starts) > 1:
        starts.pop()
    return starts, (starts[-1] + WINDOW_FRAMES) * HOP


def _speech(waveform: Waveform) -> Waveform:
    """As loud as the network expects, without long silences. What holds nan stays: the vector shall tell of it."""
    return trim_silence(raise_volume(waveform)) if np.isfinite(waveform).all() else waveform


def raise_volume(waveform: Waveform) -> Waveform:
    """Quiet audio at -30 dBFS; loud audio as it is."""
    power = float(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    if power == 0:
        return waveform
    gain_db = TARGET_DBFS - 10 * np.log10(power)
    return waveform if gain_db <= 0 else (waveform * 10 ** (gain_db / 20)).astype(np.float32)


def trim_silence(waveform: Waveform) -> Waveform:
    """Without the silences longer than about 0.4 s; empty where nothing is speech."""
    waveform = waveform[: len(waveform) // VAD_WINDOW * VAD_WINDOW]
    flags = _voiced(np.round(np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes())
    if not any(flags):
        return waveform[:0]
    before = (VAD_AVERAGE - 1) // 2
    padded = np.concatenate([np.zeros(before), flags, np.zeros(VAD_AVERAGE - 1 - before)])
    mostly = np.round(np.convolve(padded, np.ones(VAD_AVERAGE), mode="valid") / VAD_AVERAGE) > 0
    near = binary_dilation(mostly, np.ones(VAD_SILENCE + 1))
    speech: Waveform = waveform[np.repeat(near, VAD_WINDOW)]
    return speech


def _voiced(pcm: bytes) -> list[bool]:
    """Whether each window of 30 ms is speech to the detector. It remembers what it has heard: a new one for each."""
    detector: Any = webrtc.create()
    webrtc.init(detector)
    webrtc.set_mode(detector, VAD_MODE)
    size = 2 * VAD_WINDOW
    return [
        webrtc.process(detector, SAMPLE_RATE_HZ, pcm[at : at + size], VAD_WINDOW) for at in range(0, len(pcm), size)
    ]


def _network(weights: Path) -> Network:
    network = Network()
    state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
    network.load_state_dict({key: value for key, value in state.items() if not key.startswith("similarity")})
    return network.eval()


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
