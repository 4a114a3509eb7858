"""What an utterance is in one vector: mean and standard deviation over its frames, in float32.

Deviations are those of the frames at hand (divided by their number, not by one less), at least sqrt(1e-5).

Shape letters: B batch, T frames, C channels.
"""

import torch
from torch import Tensor

from models.common.features import is_valid

VARIANCE_FLOOR = 1e-5


def statistics(x_BCT: Tensor, length_B: Tensor | None) -> Tensor:
    """Mean and deviation (B, 2 C) over the first so many frames of each (Snyder et al. 2018); None: over all."""
    num_frames = x_BCT.shape[2]
    if length_B is None:
        return _weighted(x_BCT.float(), x_BCT.new_full((1, 1, num_frames), 1 / num_frames, dtype=torch.float32))
    return _weighted(x_BCT.float(), (is_valid(length_B, num_frames) / length_B[:, None])[:, None])


def attentive_statistics(x_BCT: Tensor, score_BCT: Tensor, length_B: Tensor | None) -> Tensor:
    """Mean and deviation (B, 2 C), frames weighed by the softmax of their scores (arXiv:1803.10963, eq. 4 to 6).

    A score is here of each channel and not, as in the paper, of each frame alone: as in H/ASP (arXiv:2009.14153).
    """
    score_BCT = score_BCT.float()
    if length_B is not None:
        score_BCT = score_BCT.masked_fill(~is_valid(length_B, x_BCT.shape[2])[:, None], -torch.inf)
    return _weighted(x_BCT.float(), score_BCT.softmax(dim=2))


def _weighted(x_BCT: Tensor, share_BCT: Tensor) -> Tensor:
    mean_BC = (share_BCT * x_BCT).sum(dim=2)
    variance_BC = (share_BCT * (x_BCT - mean_BC[..., None]).square()).sum(dim=2)
    return torch.cat([mean_BC, variance_BC.clamp(min=VARIANCE_FLOOR).sqrt()], dim=1)
