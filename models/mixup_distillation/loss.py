"""The losses of the mixup distillation paper (Baeg et al. 2023, "Mixup-Based Knowledge Distillation with Causal
Intervention for Multi-Task Speech Classification", eq. 2, 4 and 5).

Readings, where print and text leave room or are at odds:

- Eq. 2, cosine: i numbers the inputs in the text, and stands under both the sum and the norms of whole vectors. Read as
  the cosine of the two vectors of one utterance, whose products are summed over their values; one less it, and the mean
  over the utterances. The square error is the mean over values and utterances.
- Eq. 4 lacks the minus sign that makes it a loss. As in its source (Ben-Baruch et al., arXiv:2009.14119, eq. 1 and 6)
  it is -L+ of the true class and -L- of each other class, summed. "The single label version": p is a softmax over the
  classes; a sigmoid of each makes the source's multi-label one. The source's code has another single-label form, which
  weighs the smoothed cross-entropy by class and has neither m nor log(1 - p); eq. 4 as printed has both, and is
  followed. gamma+ 0 and gamma- 4 are that code's defaults, m 0.05 is the source's; the paper tells none. There is no
  label smoothing in it: the 0.1 of the paper is "the CE loss"'s.
- Eq. 5 has a minus sign, which would reward the larger loss for a conflict: left out. It has the form of the dependency
  loss of Gao et al. (arXiv:2005.06692), in which D says that the class told of a level is not within the one told of
  the level above, and I_l that the class told of level l is wrong. The paper prints one condition, sup != sub, for D
  and for I_agesup, and none for I_agesub: read as the source has them, I_agesub and I_agesup each by the label of its
  own level, D alone by what is told of both.
- Where the exponents are 0 the product of eq. 5 is 1: a constant without a slope, which tells nothing. Code of the
  source takes 1 from every product; here an utterance without a conflict costs 0, and one with a conflict its product
  as printed, which so stays at or above 0. The slopes are the same.
- D and I come from what is told, the likeliest class, and have no slope; that of eq. 5 is the slope of the losses in
  the product, L_sub and L_sup of eq. 4 of the same utterance. In the source their places have constants, and nothing is
  learnt from it. With labels that are of one hierarchy a conflict means that one of both is wrong, or both.

A label of -1 is not known: the utterance is left out of that loss, and out of eq. 5 where either age is not known. The
mean is over the utterances that are left; of none it is 0, with a graph.

All is computed in float32 at least, under autocast too.

Shape letters: B batch, K classes, C channels of pooled features.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.common.classification import precise, unit
from models.data.labels import UNKNOWN

Distance = Literal["mse", "cosine"]


def distance(student_BC: Tensor, teacher_BC: Tensor, kind: Distance) -> Tensor:
    """How far the student's features are from the teacher's (eq. 2), a scalar."""
    student_BC, teacher_BC = precise(student_BC), precise(teacher_BC)
    if kind == "mse":
        return F.mse_loss(student_BC, teacher_BC)
    return 1 - (unit(student_BC) * unit(teacher_BC)).sum(dim=1).mean()


def asymmetric(
    logits_BK: Tensor, label_B: Tensor, *, gamma_positive: float, gamma_negative: float, margin: float
) -> Tensor:
    """(B,): the loss of each utterance by eq. 4; 0 where the label is not known.

    Logarithms of p and of 1 - p are those of sums of exponentials, so that a sure answer, right or wrong, has finite
    slopes. Without gammas and margin it is the cross-entropy of each class against the rest.
    """
    logits_BK = precise(logits_BK)
    num_classes = logits_BK.shape[1]
    log_p_BK = logits_BK.log_softmax(dim=1)
    own_KK = torch.eye(num_classes, dtype=torch.bool, device=logits_BK.device)
    others_BKK = logits_BK[:, None].masked_fill(own_KK, -torch.inf)
    log_rest_BK = others_BKK.logsumexp(dim=2) - logits_BK.logsumexp(dim=1, keepdim=True)  # log(1 - p)
    positive_BK = -(gamma_positive * log_rest_BK).exp() * log_p_BK

    above_BK = log_p_BK.exp() - margin
    is_heard_BK = above_BK > 0
    above_BK = above_BK.where(is_heard_BK, 1)  # a power has no slope at 0
    log_margin = log_rest_BK.new_full((), math.log(margin) if margin > 0 else -math.inf)
    negative_BK = -above_BK.pow(gamma_negative) * torch.logaddexp(log_rest_BK, log_margin)  # log(1 - p_m)
    negative_BK = negative_BK.where(is_heard_BK, 0)

    is_true_BK = label_B[:, None] == torch.arange(num_classes, device=label_B.device)
    loss_B = torch.where(is_true_BK, positive_BK, negative_BK).sum(dim=1)
    return loss_B.where(label_B != UNKNOWN, 0)


def dependency(
    group_BK: Tensor,
    subgroup_BK: Tensor,
    *,
    group_B: Tensor,
    subgroup_B: Tensor,
    group_loss_B: Tensor,
    subgroup_loss_B: Tensor,
    group_of_subgroup_K: Tensor,
) -> Tensor:
    """(B,): what a conflict of the superclass and the subclass that are told costs (eq. 5), by their logits and losses.

    0 where there is none, and where a label is not known.
    """
    told_group_B, told_subgroup_B = group_BK.argmax(dim=1), subgroup_BK.argmax(dim=1)
    is_conflict_B = group_of_subgroup_K[told_subgroup_B] != told_group_B  # D
    is_wrong_group_B, is_wrong_subgroup_B = told_group_B != group_B, told_subgroup_B != subgroup_B  # I of each
    product_B = subgroup_loss_B.where(is_wrong_subgroup_B, 1) * group_loss_B.where(is_wrong_group_B, 1)
    return product_B.where(is_conflict_B & (group_B != UNKNOWN) & (subgroup_B != UNKNOWN), 0)
