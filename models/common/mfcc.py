"""Kaldi's MFCC of waveforms at 16 kHz without the frames that are no speech, in batches.

The settings are those of Kaldi's VoxCeleb recipe for x-vectors (egs/voxceleb/v2, conf/mfcc.conf and conf/vad.conf), as
the papers that say "30 MFCC and energy VAD" leave them out: 30 bands from 20 to 7600 Hz, 30 cepstra of which the first
is the log energy of the frame, Kaldi's own window ("povey", not Hamming), frames also at the ends. As in that recipe,
the mean of 300 frames around each is taken away before frames are dropped. Two things differ. Kaldi adds noise to the
samples at random (dither 1.0): here a frame's energy is given what that noise has on average, so that the same frames
are speech as for `models.extractors.speech`. And an utterance in which nearly nothing is speech keeps all its frames,
where Kaldi would leave it out.

Shape letters: B batch, N samples, T frames, W samples of a window, M mel bands or cepstra.
"""

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.common.features import (
    HOP,
    KALDI_FLOOR,
    KALDI_FULL_SCALE,
    WINDOW,
    continued,
    is_valid,
    kaldi_bands,
    kaldi_power,
)

BEFORE, AFTER = (WINDOW - HOP) // 2, WINDOW // 2  # samples beyond the ends that frames reach at the most
MEAN_WINDOW = 300  # frames
DITHER_ENERGY = float(WINDOW)  # of noise whose standard deviation is one step of 16 bits
MIN_SPEECH = 25  # frames; Kaldi makes no x-vector of fewer

# Kaldi's rule for speech, whose energies are natural logarithms: conf/vad.conf of the recipe.
ENERGY_THRESHOLD, ENERGY_MEAN_SCALE = 5.5, 0.5
CONTEXT, PROPORTION = 2, 0.12  # frames to either side, and the share of all these that must be loud


@final
class Mfcc(nn.Module):
    """Cepstra of the speech of an utterance, in float32 under autocast too; no gradient goes through them."""

    LIFTER: ClassVar[float] = 22.0
    HIGHEST_HZ: ClassVar[float] = 7600.0

    window_W: Tensor  # noqa: N815
    bands_FM: Tensor  # noqa: N815
    cosines_MM: Tensor  # noqa: N815

    def __init__(self, num_bands: int = 30) -> None:
        super().__init__()
        window_W = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64).pow(0.85).float()
        self.register_buffer("window_W", window_W, persistent=False)
        bands_FM = kaldi_bands(num_bands, highest_hz=self.HIGHEST_HZ)
        self.register_buffer("bands_FM", bands_FM, persistent=False)
        self.register_buffer("cosines_MM", self._cosines(num_bands), persistent=False)

    @staticmethod
    def min_samples(num_frames: int) -> int:
        """The least waveform that has so many frames, were all of them speech."""
        return max(AFTER, HOP * num_frames - HOP // 2)

    @torch.no_grad()
    def forward(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Cepstra (B, T, M) of the frames of speech, one after another and zero after them, and how many these are."""
        with torch.autocast(wave_BN.device.type, enabled=False):
            cepstra_BTM, length_B = self.cepstra(wave_BN, samples_B)
            speech_BT = is_speech(cepstra_BTM[..., 0], length_B)
            is_mute_B1 = speech_BT.sum(dim=1, keepdim=True) < MIN_SPEECH
            chosen_BT = torch.where(is_mute_B1, is_valid(length_B, speech_BT.shape[1]), speech_BT)
            return only(without_moving_mean(cepstra_BTM, length_B), chosen_BT)

    def cepstra(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, T, M) of all frames, their means not taken away, and how many frames are valid."""
        loud_BN = KALDI_FULL_SCALE * wave_BN.float()
        whole_BN = continued(loud_BN, samples_B, before=BEFORE, after=AFTER, is_edge_repeated=True)
        frames_BTW = whole_BN.unfold(1, WINDOW, HOP)
        if samples_B is None:
            length_B = torch.full((len(wave_BN),), frames_BTW.shape[1], device=wave_BN.device)
        else:
            length_B = (samples_B + HOP // 2).div(HOP, rounding_mode="floor")
        frames_BTW = frames_BTW - frames_BTW.mean(dim=2, keepdim=True)
        log_energy_BT = frames_BTW.square().sum(dim=2).add_(DITHER_ENERGY).log_()
        bands_BTM = (kaldi_power(frames_BTW, self.window_W) @ self.bands_FM).clamp_(min=KALDI_FLOOR).log_()
        cepstra_BTM = bands_BTM @ self.cosines_MM
        cepstra_BTM[..., 0] = log_energy_BT
        return cepstra_BTM, length_B

    @classmethod
    def _cosines(cls, num_bands: int) -> Tensor:
        """From bands to cepstra (M, M): the orthonormal cosine transform, the higher cepstra lifted."""
        number_M = torch.arange(num_bands, dtype=torch.float64)
        angle_MM = math.pi / num_bands * (number_M[:, None] + 0.5) * number_M
        transform_MM = math.sqrt(2 / num_bands) * torch.cos(angle_MM)
        transform_MM[:, 0] = math.sqrt(1 / num_bands)
        return (transform_MM * (1 + cls.LIFTER / 2 * torch.sin(math.pi * number_M / cls.LIFTER))).float()


def is_speech(log_energy_BT: Tensor, length_B: Tensor) -> Tensor:
    """Which frames (B, T) are speech by Kaldi's rule (compute-vad); none beyond an end.

    Loud is a frame above 5.5 + half the mean log energy of its utterance; speech is where enough frames around are
    loud. Energies are natural logarithms of samples of 16 bits.
    """
    valid_BT = is_valid(length_B, log_energy_BT.shape[1])
    mean_B1 = (log_energy_BT * valid_BT).sum(dim=1, keepdim=True, dtype=torch.float64) / length_B[:, None]
    loud_BT = valid_BT & (log_energy_BT > ENERGY_THRESHOLD + ENERGY_MEAN_SCALE * mean_B1)
    return valid_BT & (_around(loud_BT) >= PROPORTION * _around(valid_BT))


def without_moving_mean(feats_BTM: Tensor, length_B: Tensor) -> Tensor:
    """Less the mean of the 300 frames around each, or the first or the last 300; of fewer, all (apply-cmvn-sliding)."""
    num_frames = feats_BTM.shape[1]
    first_BT = (torch.arange(num_frames, device=feats_BTM.device) - MEAN_WINDOW // 2).clamp(min=0)
    first_BT = torch.minimum(first_BT, (length_B[:, None] - MEAN_WINDOW).clamp(min=0))
    end_BT = torch.minimum(first_BT + MEAN_WINDOW, length_B[:, None])
    total_BTM = F.pad(feats_BTM.cumsum(dim=1, dtype=torch.float64), (0, 0, 1, 0))
    size = (-1, -1, feats_BTM.shape[2])
    sum_BTM = total_BTM.gather(1, end_BT[..., None].expand(size)) - total_BTM.gather(
        1, first_BT[..., None].expand(size)
    )
    return feats_BTM - (sum_BTM / (end_BT - first_BT)[..., None]).to(feats_BTM.dtype)


def only(feats_BTM: Tensor, chosen_BT: Tensor) -> tuple[Tensor, Tensor]:
    """The chosen frames (B, T', M) one after another, zeros after them, and how many they are; T' is the most."""
    length_B = chosen_BT.sum(dim=1)
    order_BT = chosen_BT.logical_not().byte().argsort(dim=1, stable=True)[:, : int(length_B.max())]
    feats_BTM = feats_BTM.gather(1, order_BT[..., None].expand(-1, -1, feats_BTM.shape[2]))
    return feats_BTM * is_valid(length_B, feats_BTM.shape[1])[..., None], length_B


def repeated(feats_BTM: Tensor, length_B: Tensor, num_frames: int) -> Tensor:
    """The first so many frames of each (B, num_frames, M), which begins anew where it ends: a batch without masks.

    Training wants one: crops of one duration have different numbers of frames of speech.
    """
    place_BT = torch.arange(num_frames, device=length_B.device) % length_B[:, None]
    return feats_BTM.gather(1, place_BT[..., None].expand(-1, -1, feats_BTM.shape[2]))


def _around(is_so_BT: Tensor) -> Tensor:
    """How many frames (B, T) it is so of among those around each, in whole numbers of float32."""
    window_11K = torch.ones(1, 1, 2 * CONTEXT + 1, device=is_so_BT.device)
    return F.conv1d(is_so_BT[:, None].float(), window_11K, padding=CONTEXT)[:, 0]
