"""Log filter banks of waveforms at 16 kHz, in batches, on the device of their buffers.

Two kinds, each as the networks that were trained on it expect it: `KaldiFbank` (Kaldi's, as WeSpeaker calls it) and
`SpeechBrainFbank` (SpeechBrain's `Fbank` and `InputNormalization` by sentence, as its ECAPA has them). Both take the
mean over time away, which is the channel's. Tests hold them against torchaudio and SpeechBrain themselves. What they
share with `log_mel.py` and `mfcc.py` is at the end.

Shape letters: B batch, N samples, T frames, W samples of a window, F frequencies, M mel bands.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE_HZ = 16_000
WINDOW, HOP = 400, 160  # samples: 25 ms and 10 ms
FFT = 512  # the power of two above the window
PREEMPHASIS = 0.97
KALDI_LOWEST_HZ = 20.0
KALDI_FULL_SCALE = 32768  # samples of 16 bits in size
KALDI_FLOOR = float(np.finfo(np.float32).eps)  # of a band's energy


@final
class KaldiFbank(nn.Module):
    """Kaldi's filter banks with WeSpeaker's settings: Hamming window, no dither, samples of 16 bits in size.

    Only whole windows count: N samples give 1 + (N - 400) // 160 frames.
    """

    window_W: Tensor  # noqa: N815
    bands_FM: Tensor  # noqa: N815

    def __init__(self, num_bands: int = 80) -> None:
        super().__init__()
        window_W = KALDI_FULL_SCALE * torch.hamming_window(WINDOW, periodic=False)
        self.register_buffer("window_W", window_W, persistent=False)
        bands_FM = kaldi_bands(num_bands, highest_hz=SAMPLE_RATE_HZ / 2)
        self.register_buffer("bands_FM", bands_FM, persistent=False)

    @staticmethod
    def min_samples(num_frames: int) -> int:
        """The least waveform that has so many frames."""
        return WINDOW + HOP * (num_frames - 1)

    def forward(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Filter banks (B, T, M) in float32 and how many frames of each are valid; None, and None, where all are."""
        frames_BTW = wave_BN.unfold(1, WINDOW, HOP)
        frames_BTW = frames_BTW - frames_BTW.mean(dim=2, keepdim=True)
        energy_BTM = kaldi_power(frames_BTW, self.window_W) @ self.bands_FM
        feats_BTM = energy_BTM.clamp_(min=KALDI_FLOOR).log_()
        length_B = None if samples_B is None else (samples_B - WINDOW).div(HOP, rounding_mode="floor") + 1
        return _without_mean(feats_BTM, length_B), length_B


@final
class SpeechBrainFbank(nn.Module):
    """SpeechBrain's filter banks in dB, at most 80 dB under the utterance's loudest, with its defaults.

    Windows stand around their time, with zeros beyond the ends: N samples give 1 + N // 160 frames.
    """

    TOP_DB: ClassVar[float] = 80.0
    FLOOR: ClassVar[float] = 1e-10  # of a band's energy

    window_W: Tensor  # noqa: N815
    bands_FM: Tensor  # noqa: N815

    def __init__(self, num_bands: int = 80) -> None:
        super().__init__()
        self.register_buffer("window_W", torch.hamming_window(WINDOW), persistent=False)
        self.register_buffer("bands_FM", self._bands(num_bands), persistent=False)

    @staticmethod
    def min_samples(num_frames: int) -> int:
        """The least waveform that has so many frames."""
        return max(1, HOP * (num_frames - 1))

    def forward(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Filter banks (B, T, M) in float32 and how many frames of each are valid; None, and None, where all are."""
        padded_BN = F.pad(wave_BN, (WINDOW // 2, WINDOW // 2))
        spectrum_BTF = torch.fft.rfft(padded_BN.unfold(1, WINDOW, HOP) * self.window_W)
        energy_BTM = power(spectrum_BTF) @ self.bands_FM
        db_BTM = energy_BTM.clamp_(min=self.FLOOR).log10_().mul_(10)
        # Beyond its end an utterance has silence alone, which is never its loudest.
        db_BTM = torch.maximum(db_BTM, db_BTM.amax(dim=(1, 2), keepdim=True) - self.TOP_DB)
        length_B = None if samples_B is None else samples_B.div(HOP, rounding_mode="floor") + 1
        return _without_mean(db_BTM, length_B), length_B

    @staticmethod
    def _bands(num_bands: int) -> Tensor:
        """(F, M): triangles in Hz, both of whose slopes are as wide as the lower one."""
        edges_M2 = torch.linspace(0, mel(SAMPLE_RATE_HZ / 2), num_bands + 2, dtype=torch.float64)
        hz_M2 = 700 * (10 ** (edges_M2 / 2595) - 1)
        hz_F1 = torch.linspace(0, SAMPLE_RATE_HZ / 2, WINDOW // 2 + 1, dtype=torch.float64)[:, None]
        slope_FM = (hz_F1 - hz_M2[1:-1]) / (hz_M2[1:-1] - hz_M2[:-2])
        return (1 - slope_FM.abs()).clamp(min=0).float()


def batch(waveforms: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor | None]:
    """The waveforms with zeros after them (B, N), and how many samples of each are valid: None where all are."""
    if len({len(waveform) for waveform in waveforms}) == 1:
        return torch.from_numpy(np.stack(waveforms)), None
    samples_B = torch.tensor([len(waveform) for waveform in waveforms])
    wave_BN = torch.zeros(len(waveforms), int(samples_B.max()))
    for row_N, waveform in zip(wave_BN, waveforms, strict=True):
        row_N[: len(waveform)] = torch.from_numpy(waveform)
    return wave_BN, samples_B


def is_valid(length_B: Tensor, num_frames: int) -> Tensor:
    """(B, T): true for the first frames of each utterance, so many as its length says."""
    return torch.arange(num_frames, device=length_B.device) < length_B[:, None]


def continued(wave_BN: Tensor, samples_B: Tensor | None, *, before: int, after: int, is_edge_repeated: bool) -> Tensor:
    """Each waveform (B, before + N + after) as it goes on beyond its ends, which are its own, as in a mirror.

    The mirror stands in the sample at the end, or behind it, where that is repeated. A waveform has more samples than
    it goes on by.
    """
    twice, num_samples = int(is_edge_repeated), wave_BN.shape[1]
    place_N = torch.arange(-before, num_samples + after, device=wave_BN.device)
    place_N = torch.where(place_N < 0, -twice - place_N, place_N)
    if samples_B is None:
        last = num_samples - 1
        return wave_BN[:, torch.where(place_N > last, 2 * last + twice - place_N, place_N)]
    last_B1 = samples_B[:, None] - 1
    place_BN = torch.where(place_N > last_B1, 2 * last_B1 + twice - place_N, place_N)
    return wave_BN.gather(1, place_BN.clamp_(min=0))  # below 0 lies what follows the end's mirrored part


def kaldi_power(frames_BTW: Tensor, window_W: Tensor) -> Tensor:
    """Power spectra (B, T, F) of windows without their means, which Kaldi emphasises one by one."""
    first_BT1 = (1 - PREEMPHASIS) * frames_BTW[..., :1]  # Kaldi takes the first sample as its own past
    later_BTW = torch.sub(frames_BTW[..., 1:], frames_BTW[..., :-1], alpha=PREEMPHASIS)
    windowed_BTW = torch.cat([first_BT1, later_BTW], dim=2).mul_(window_W)
    return power(torch.fft.rfft(windowed_BTW, n=FFT))


def kaldi_bands(num_bands: int, *, highest_hz: float) -> Tensor:
    """(F, M): triangles whose slopes are straight in mel, not in Hz; none reaches half the sample rate."""
    edges_M2 = torch.linspace(mel(KALDI_LOWEST_HZ), mel(highest_hz), num_bands + 2, dtype=torch.float64)
    hz_F = torch.arange(FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE_HZ / FFT
    mel_F1 = (2595 * torch.log10(1 + hz_F / 700))[:, None]
    low_M, centre_M, high_M = edges_M2[:-2], edges_M2[1:-1], edges_M2[2:]
    up_FM, down_FM = (mel_F1 - low_M) / (centre_M - low_M), (high_M - mel_F1) / (high_M - centre_M)
    bands_FM = torch.minimum(up_FM, down_FM).clamp(min=0)
    bands_FM[-1] = 0
    return bands_FM.float()


def mel(hz: float) -> float:
    """On O'Shaughnessy's scale, as HTK has it."""
    return 2595 * math.log10(1 + hz / 700)


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitudes, in two passes over memory; `abs` would take a root first."""
    parts = torch.view_as_real(spectrum)
    return parts.square_().sum(dim=-1)


def _without_mean(feats_BTM: Tensor, length_B: Tensor | None) -> Tensor:
    """Of each band over the valid frames; the others are zero."""
    if length_B is None:
        return feats_BTM.sub_(feats_BTM.mean(dim=1, keepdim=True))
    valid_BT1 = is_valid(length_B, feats_BTM.shape[1])[..., None]
    mean_B1M = (feats_BTM * valid_BT1).sum(dim=1, keepdim=True) / length_B[:, None, None]
    return (feats_BTM - mean_B1M).masked_fill_(~valid_BT1, 0)
