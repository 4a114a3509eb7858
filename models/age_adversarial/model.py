"""What stands on the feature f of the adversarial multi-task system: heads, discriminators (arXiv:2301.09058, fig. 2).

What the paper leaves open, and how it is decided:

- "FC layers with leaky ReLU activation, one-dimensional batch normalization, and dropout (0.5)" are a hidden layer, in
  this order, and one that gives the classes. How wide the hidden one is, is not told: 256, as ECAPA's embedding. The
  slope is PyTorch's, 0.01.
- No gradient goes through y^k, the probability that weighs f in eq. 1. It says how much an utterance "should be
  attended to", no more. Eq. 2 as printed lets the age group's head minimise -L_d too: it could, by denying the group
  that an utterance is of, which takes f away from the discriminator and mixes no subgroups at all. MADA (Pei et al.
  2018, arXiv:1809.02176), whose eq. 1 this is, has a graph that reverses the gradient to f alone, and lets that to the
  probability through as it is, so that its head would help the discriminators, which eq. 2 does not say either.
- All of a batch go through each discriminator, as eq. 1 sums over all, weighed by y^k: batch normalisation then has
  statistics where one utterance alone is of the group. The loss is of those whose subgroup is known and lies in the
  group: others have no domain to tell. A batch without any gives a zero with slopes of zero.
- A group that is not divided has nothing to tell apart, and no discriminator.

Shape letters: B batch, D feature, K age groups.
"""

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from models.common.classification import mean_of_known, smoothed_cross_entropy
from models.data.labels import UNKNOWN, classes_of, group_of_subgroup


@final
class Head(nn.Module):
    """From features to the logits of classes."""

    def __init__(self, dimension: int, num_classes: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dimension, hidden),
            nn.LeakyReLU(),
            nn.BatchNorm1d(hidden),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, feature_BD: Tensor) -> Tensor:
        """(B, classes). In training, B is 2 or more."""
        logits: Tensor = self.layers(feature_BD)
        return logits


@final
class Discriminators(nn.Module):
    """G_d: for each of some groups of a scheme, what tells its subgroups apart by features that are to hide them.

    Raises ValueError for a group that the scheme does not have, or does not divide.
    """

    def __init__(
        self, scheme: str, groups: Sequence[str], dimension: int, *, hidden: int, dropout: float, smoothing: float
    ) -> None:
        super().__init__()
        self.smoothing = smoothing
        of_subgroup = group_of_subgroup(scheme)
        self._codes = {name: code for code, name in enumerate(classes_of(scheme)["age_group"])}
        self._first = {name: of_subgroup.index(code) for name, code in self._codes.items()}
        divided = {name: of_subgroup.count(code) for name, code in self._codes.items() if of_subgroup.count(code) > 1}
        for name in groups:
            if name not in divided:
                why = (
                    "has one subgroup, which is nothing to tell apart" if name in self._codes else f"is not of {scheme}"
                )
                raise ValueError(f"discriminators: {name} {why}; expected some of {', '.join(divided)}")
        self.heads = nn.ModuleDict(
            {name: Head(dimension, divided[name], hidden=hidden, dropout=dropout) for name in groups}
        )

    def forward(self, feature_BD: Tensor, probability_BK: Tensor, subgroup_B: Tensor) -> dict[str, Tensor]:
        """The loss of each group's discriminator, a scalar; features get the opposite of its slope (eq. 1 and 2)."""
        found = {}
        for name, head in self.heads.items():
            code, first = self._codes[name], self._first[name]
            attended_BD = probability_BK[:, code, None].detach() * reversed_gradient(feature_BD)
            logits = head(attended_BD)
            place_B = subgroup_B - first
            domain_B = place_B.where((place_B >= 0) & (place_B < logits.shape[1]), UNKNOWN)
            loss_B = smoothed_cross_entropy(logits, domain_B, smoothing=self.smoothing)
            found[name] = mean_of_known(loss_B, domain_B != UNKNOWN)
        return found


def reversed_gradient(x: Tensor) -> Tensor:
    """`x` as it is, to which the opposite of the gradient comes back (Ganin and Lempitsky 2015, arXiv:1409.7495).

    2 x - x is x, to the last bit.
    """
    return 2 * x.detach() - x
