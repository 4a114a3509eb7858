"""What the adversarial multi-task system adds up (Baeg et al. 2023, arXiv:2301.09058, eq. 4 to 6).

How the equations are read:

- Eq. 4 weighs each task's loss by C, eq. 5 by 1 / (2 C^2), with ln(1 + C^2) beside it. Eq. 5 is that of its source,
  Liebel and Koerner (arXiv:1805.06334), and says what eq. 4 means by a weight: the sum over the tasks of both terms,
  each with a C of its own, which is learnt. C begins at 1, as in implementations of the source; neither paper says.
- Tasks of eq. 5 are the label predictors, speaker and age group. The losses of discriminators have their weight in eq.
  6, alpha: a C that is learnt to make a sum small would turn them off, or up, against what eq. 2 wants.
- The reversal (`models.age_adversarial.model`) is within the losses of discriminators: what eq. 1 subtracts, times
  lambda, eq. 6 adds, times alpha. So lambda is 1, and alpha scales the gradient of discriminators and extractor alike.

Shape letters: J tasks.
"""

from typing import final

import torch
from torch import Tensor, nn


@final
class AutomaticWeights(nn.Module):
    """The sum over tasks of L / (2 C^2) + ln(1 + C^2), whose C are learnt (eq. 5).

    Where L stands still, C^2 goes to (L + sqrt(L^2 + 8 L)) / 4: the larger a loss, the smaller its weight.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.ones(num_tasks))

    def forward(self, loss_J: Tensor, is_told_J: Tensor) -> Tensor:
        """A scalar. A task of which a batch tells nothing is left out with its logarithm, which would move its C."""
        square_J = self.c.square()
        each_J = loss_J / (2 * square_J) + square_J.log1p()
        return each_J.where(is_told_J, 0).sum()
