"""What tells the people of a split apart in training: softmax heads without and with a margin, and who is like whom.

A head has a vector for each person, its prototype. All is computed in float32 at least, under autocast too: a cosine in
bfloat16 has three digits.

Shape letters: B batch, D embedding, P people of the split, S people that are drawn, I people alike.
"""

import math
from collections.abc import Callable
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from curate.similarity import Vectors
from curate.similarity import unit as unit_rows

AT_ONCE = 1024  # drawn people that are compared with all at once


@final
class SpeakerSoftmax(nn.Module):
    """Cross-entropy of a linear layer with a bias over all people (MTML, Chen et al. 2021, eq. 6).

    The equation as printed lacks the minus sign, with which it is a loss: read as -1/D sum y_i^T log p_i.
    """

    def __init__(self, dimension: int, num_people: int) -> None:
        super().__init__()
        _check_sizes(dimension, num_people)
        self.output = nn.Linear(dimension, num_people)

    def forward(self, emb_BD: Tensor, person_B: Tensor) -> Tensor:
        """The loss, a scalar. Raises ValueError for other shapes."""
        check_batch(emb_BD, person_B, self.output.in_features)
        with torch.autocast(emb_BD.device.type, enabled=False):
            return F.cross_entropy(self.output(precise(emb_BD)), person_B)


@final
class AdditiveAngularMargin(nn.Module):
    """Softmax over people with the true angle widened by `margin_rad`: AAM-softmax (arXiv:1801.07698, eq. 3).

    Margin 0.2 and scale 30 are those of ECAPA-TDNN (arXiv:2005.07143), which Thienpondt et al. (arXiv:2007.07689)
    fine-tune.
    """

    def __init__(self, dimension: int, num_people: int, *, margin_rad: float = 0.2, scale: float = 30.0) -> None:
        super().__init__()
        _check_sizes(dimension, num_people)
        if not (0 <= margin_rad < math.pi / 2 and scale > 0):
            raise ValueError(
                f"margin_rad {margin_rad} and scale {scale}: expected a margin in [0, pi/2) and a positive scale"
            )
        self.margin_rad, self.scale = margin_rad, scale
        self.prototypes = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_people, dimension)))

    def forward(self, emb_BD: Tensor, person_B: Tensor) -> Tensor:
        """The loss, a scalar. Raises ValueError for other shapes."""
        return _with_margin(
            emb_BD, person_B, self.prototypes, self.scale, lambda cosine: widened(cosine, self.margin_rad)
        )


@final
class AdditiveMargin(nn.Module):
    """Softmax over people with the true cosine lowered by `margin`: AM-softmax (arXiv:1801.05599, psi = cos - m).

    A scale of 30 is its paper's, which finds margins of 0.35 to 0.4 best for faces; 0.2 is usual for voices.
    """

    def __init__(self, dimension: int, num_people: int, *, margin: float = 0.2, scale: float = 30.0) -> None:
        super().__init__()
        _check_sizes(dimension, num_people)
        if not (0 <= margin < 1 and scale > 0):
            raise ValueError(f"margin {margin} and scale {scale}: expected a margin in [0, 1) and a positive scale")
        self.margin, self.scale = margin, scale
        self.prototypes = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_people, dimension)))

    def forward(self, emb_BD: Tensor, person_B: Tensor) -> Tensor:
        """The loss, a scalar. Raises ValueError for other shapes."""
        return _with_margin(emb_BD, person_B, self.prototypes, self.scale, lambda cosine: cosine - self.margin)


def _with_margin(
    emb_BD: Tensor, person_B: Tensor, prototypes_PD: Tensor, scale: float, harder: Callable[[Tensor], Tensor]
) -> Tensor:
    """Cross-entropy of scaled cosines to all prototypes, of which that to one's own is made `harder`."""
    check_batch(emb_BD, person_B, prototypes_PD.shape[1])
    with torch.autocast(emb_BD.device.type, enabled=False):
        cos_BP = unit(precise(emb_BD)) @ unit(precise(prototypes_PD)).T
        harder_B1 = harder(cos_BP.gather(1, person_B[:, None]))
        return F.cross_entropy(scale * cos_BP.scatter(1, person_B[:, None], harder_B1), person_B)


def smoothed_cross_entropy(logits_BK: Tensor, class_B: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """(B,): that of each utterance; 0 with slopes of 0 where the class is -1, not known.

    The target is 1 - smoothing at the class, and smoothing shared alike by all K (arXiv:1701.06548).
    """
    logits_BK = precise(logits_BK)
    return F.cross_entropy(logits_BK, class_B, ignore_index=-1, label_smoothing=smoothing, reduction="none")


def mean_of_known(loss_B: Tensor, is_known_B: Tensor) -> Tensor:
    """Over the utterances whose class is known, of the others `loss_B` being 0; where none is, a zero with a graph."""
    return loss_B.sum() / is_known_B.sum().clamp(min=1)


def widened(cosine: Tensor, margin_rad: float) -> Tensor:
    """cos(theta + margin) of these cosines of theta, which goes on falling where the wider angle would pass pi.

    Beyond pi the cosine would turn back up, and reward the worst angles: there it is cos(theta) - margin * sin(margin),
    as in the authors' code of ArcFace (arXiv:1801.07698), which states no such case in its equations. The slope is
    finite everywhere: at an angle of 0 or pi, where the sine has none, it is that of the cosine alone.
    """
    square = (1 - cosine) * (1 + cosine)
    sine = torch.where(square > 0, square, 1).sqrt().where(square > 0, 0)
    wide = cosine * math.cos(margin_rad) - sine * math.sin(margin_rad)
    return torch.where(cosine >= -math.cos(margin_rad), wide, cosine - margin_rad * math.sin(margin_rad))


def unit(x: Tensor) -> Tensor:
    """Vectors along the last axis at length one; zeros stay, with a slope of one (an epsilon would make it 1e12)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    directions: Tensor = x / length.where(length > 0, 1)
    return directions


def precise(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def check_batch(emb_BD: Tensor, person_B: Tensor, dimension: int | None = None) -> None:
    """Raise ValueError unless these are vectors (of that dimension) and a code for each."""
    is_such = emb_BD.ndim == 2 and person_B.shape == emb_BD.shape[:1] and dimension in (None, emb_BD.shape[1])
    if not is_such or not len(emb_BD):
        shapes = f"embeddings of shape {tuple(emb_BD.shape)}, people of shape {tuple(person_B.shape)}"
        raise ValueError(f"{shapes}: expected (B, {dimension or 'D'}) and (B,) with B at least 1")


def hard_speakers(prototypes_PD: Vectors, drawn_S: NDArray[np.int64], *, num_alike: int) -> NDArray[np.int64]:
    """(S, I) codes: each drawn person, and after it the I - 1 whose prototypes are most similar to its own by cosine.

    Of these a batch of hard prototype mining is made (Thienpondt, Desplanques and Demuynck 2020, arXiv:2007.07689), so
    that it holds people who are hard to tell apart. Read from their abstract: it uses the distances between the
    prototypes of AAM-softmax, the rows of its weights. That a person counts among its own I is how hyperion
    (github.com/hyperion-ml/hyperion) samples. They also balance a batch by domain: where there are several, call this
    with the prototypes of one at a time.

    Ties go to the lower code. Raises ValueError where the shapes or codes do not fit, or a prototype has no direction.
    """
    if prototypes_PD.ndim != 2:
        raise ValueError(f"prototypes of shape {prototypes_PD.shape}: expected (P, D)")
    num_people = len(prototypes_PD)
    if not 1 <= num_alike <= num_people:
        raise ValueError(f"num_alike {num_alike}: expected 1 to {num_people}, as many as there are prototypes")
    if drawn_S.ndim != 1 or not ((drawn_S >= 0) & (drawn_S < num_people)).all():
        raise ValueError(f"drawn people of shape {drawn_S.shape}: expected codes (S,) from 0 to {num_people - 1}")
    unit_PD = unit_rows(prototypes_PD)
    alike_SI = np.empty((len(drawn_S), num_alike), dtype=np.int64)
    for start in range(0, len(drawn_S), AT_ONCE):
        some = drawn_S[start : start + AT_ONCE]
        cosines = unit_PD[some] @ unit_PD.T
        cosines[np.arange(len(some)), some] = np.inf  # itself comes first, even beside an equal
        alike_SI[start : start + AT_ONCE] = np.argsort(-cosines, axis=1, kind="stable")[:, :num_alike]
    return alike_SI


def _check_sizes(dimension: int, num_people: int) -> None:
    if dimension < 1 or num_people < 2:
        raise ValueError(f"dimension {dimension} and num_people {num_people}: expected 1 and 2 at least")
