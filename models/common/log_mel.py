"""Log-mel bands of waveforms at 16 kHz as voxceleb_trainer's ResNetSE34V2 takes them, in batches.

Samples from -1 to 1 (as its loader reads them with soundfile) are emphasised, cut into Hamming windows that stand
around their time, and made into triangular mel bands of power, whose logarithms are normalised in mean and variance for
each band of an utterance: InstanceNorm1d without weights (arXiv:2009.14153; VietSV, section 5.1.1). A test holds them
against torchaudio.

N samples give 1 + N // 160 frames. VietSV's crops of 200 x 64 hence have 31,840 to 31,999 samples ("roughly 2 s");
voxceleb_trainer's own crops "of 200 frames" have 32,240, which are 202.

Shape letters: B batch, N samples, T frames, W samples of a window, F frequencies, M mel bands.
"""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from models.common.features import FFT, HOP, PREEMPHASIS, SAMPLE_RATE_HZ, WINDOW, continued, is_valid, mel, power


@final
class LogMel(nn.Module):
    """The features of VietSV and of voxceleb_trainer, in float32 under autocast too; no gradient goes through them."""

    FLOOR: ClassVar[float] = 1e-6  # added to a band's energy
    VARIANCE_FLOOR: ClassVar[float] = 1e-5  # added to a band's variance, as InstanceNorm1d does

    window_W: Tensor  # noqa: N815
    bands_FM: Tensor  # noqa: N815

    def __init__(self, num_bands: int = 64) -> None:
        super().__init__()
        self.register_buffer("window_W", torch.hamming_window(WINDOW), persistent=False)
        self.register_buffer("bands_FM", self._bands(num_bands), persistent=False)

    @staticmethod
    def min_samples(num_frames: int) -> int:
        """The least waveform that has so many frames, and enough to be mirrored at its ends."""
        return max(WINDOW // 2 + 1, HOP * (num_frames - 1))

    @torch.no_grad()
    def forward(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Bands (B, T, M), zero after an end, and how many frames of each are valid; None, and None, where all are."""
        with torch.autocast(wave_BN.device.type, enabled=False):
            frames_BTW = self._windows(wave_BN.float(), samples_B)
            energy_BTM = power(torch.fft.rfft(frames_BTW, n=FFT)) @ self.bands_FM
            feats_BTM = energy_BTM.add_(self.FLOOR).log_()
            length_B = None if samples_B is None else samples_B.div(HOP, rounding_mode="floor") + 1
            return self._normalised(feats_BTM, length_B), length_B

    def _windows(self, wave_BN: Tensor, samples_B: Tensor | None) -> Tensor:
        """(B, T, W). The sample before the first is the second, as in a mirror."""
        first_B1 = wave_BN[:, :1] - PREEMPHASIS * wave_BN[:, 1:2]
        emphasised_BN = torch.cat([first_B1, wave_BN[:, 1:] - PREEMPHASIS * wave_BN[:, :-1]], dim=1)
        reach = WINDOW // 2
        whole_BN = continued(emphasised_BN, samples_B, before=reach, after=reach, is_edge_repeated=False)
        return whole_BN.unfold(1, WINDOW, HOP) * self.window_W

    def _normalised(self, feats_BTM: Tensor, length_B: Tensor | None) -> Tensor:
        num_frames = feats_BTM.shape[1]
        if length_B is None:
            length_B = feats_BTM.new_full((len(feats_BTM),), num_frames)
        valid_BT1, length_B11 = is_valid(length_B, num_frames)[..., None], length_B[:, None, None]
        mean_B1M = (feats_BTM * valid_BT1).sum(dim=1, keepdim=True) / length_B11
        away_BTM = (feats_BTM - mean_B1M).masked_fill_(~valid_BT1, 0)
        variance_B1M = away_BTM.square().sum(dim=1, keepdim=True) / length_B11
        return away_BTM / (variance_B1M + self.VARIANCE_FLOOR).sqrt()

    @staticmethod
    def _bands(num_bands: int) -> Tensor:
        """(F, M): triangles whose slopes are straight in Hz, from 0 to half the sample rate."""
        edges_M2 = torch.linspace(0, mel(SAMPLE_RATE_HZ / 2), num_bands + 2, dtype=torch.float64)
        hz_M2 = 700 * (10 ** (edges_M2 / 2595) - 1)
        hz_F1 = torch.linspace(0, SAMPLE_RATE_HZ / 2, FFT // 2 + 1, dtype=torch.float64)[:, None]
        low_M, centre_M, high_M = hz_M2[:-2], hz_M2[1:-1], hz_M2[2:]
        up_FM, down_FM = (hz_F1 - low_M) / (centre_M - low_M), (high_M - hz_F1) / (high_M - centre_M)
        return torch.minimum(up_FM, down_FM).clamp(min=0).float()
