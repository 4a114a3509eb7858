"""Multi-similarity loss over the pairs of a batch, and its combination with cross-entropy (MTML: Chen et al. 2021).

Each utterance of a batch is an anchor in turn. Pairs are mined (eq. 3), and those that are kept make the loss (eq. 5);
its slope by a similarity is the weight of that pair (eq. 4) over the size of the batch. Constants are the paper's.

Readings, where the paper leaves room or its print contradicts its text; the source is Wang et al. 2019
(arXiv:1904.06627) with its code (github.com/MalongTech/research-ms-loss):

- Eq. 3, positive pairs: printed is S_ij > max + eps, which would keep the easy pairs alone; the text wants the
  informative ones. Kept are those with S_ij < max + eps over the anchor's negatives, as in the source.
- Eq. 3, negative pairs: printed is the minimum over y_k = y_j, the negative's own speaker, among whom is j itself: that
  would keep every pair. Kept are those with S_ij > min - eps over the anchor's own positives, y_k = y_i, as in the
  source. An utterance is not its own positive.
- Eq. 5: an anchor without positive pairs after mining adds nothing to the first sum, one without negative pairs nothing
  to the second. The source's code leaves out an anchor that lacks either. D counts all anchors.
- The similarity is the dot product of embeddings; they are taken at length one, so that it is a cosine, unless
  `normalised` is false. The paper does not say so. With lambda = 1 and beta = 50 only a similarity of at most about one
  makes sense: longer vectors leave nothing but the largest similarity of each anchor.

All is computed in float32 at least, under autocast too; sums of exponentials are taken by their logarithm, and do not
overflow.

Shape letters: B batch, D embedding.
"""

from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.common.classification import check_batch, precise, unit

INFINITY = float("inf")


class Pairs(NamedTuple):
    """Which pairs of anchor and other utterance are kept: (B, B), true or false; anchors are rows."""

    positive: Tensor
    negative: Tensor


@final
class MultiSimilarity(nn.Module):
    """The loss of eq. 5 with `threshold` lambda and `margin` epsilon."""

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        beta: float = 50.0,
        threshold: float = 1.0,
        margin: float = 0.1,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        if not (alpha > 0 and beta > 0 and margin >= 0):
            raise ValueError(f"alpha {alpha}, beta {beta}, margin {margin}: expected above 0, above 0, and 0 at least")
        self.alpha, self.beta, self.threshold, self.margin = alpha, beta, threshold, margin
        self.normalised = normalised

    def forward(self, emb_BD: Tensor, person_B: Tensor) -> Tensor:
        """The loss, a scalar.

        Raises ValueError for other shapes, and where nobody has two utterances or all are of one person: such a batch
        has no pairs to compare, and would train nothing unseen.
        """
        check_batch(emb_BD, person_B)
        with torch.autocast(emb_BD.device.type, enabled=False):
            emb_BD = precise(emb_BD)
            emb_BD = unit(emb_BD) if self.normalised else emb_BD
            similarity_BB = emb_BD @ emb_BD.T
            pairs = mined(similarity_BB, person_B, margin=self.margin)
            return loss_of_pairs(similarity_BB, pairs, alpha=self.alpha, beta=self.beta, threshold=self.threshold)


@torch.no_grad()
def mined(similarity_BB: Tensor, person_B: Tensor, *, margin: float) -> Pairs:
    """The pairs that eq. 3 keeps; how it is read stands above.

    Raises ValueError where nobody has two utterances or all are of one person.
    """
    is_same_BB = person_B[:, None] == person_B
    is_positive_BB = is_same_BB & ~torch.eye(len(person_B), dtype=torch.bool, device=person_B.device)
    if not bool(is_positive_BB.any() & ~is_same_BB.all()):
        found = f"{len(person_B)} utterances of {len(set(person_B.tolist()))} people"
        raise ValueError(f"{found}: expected two people, and two utterances of one, at least")
    hardest_negative_B1 = similarity_BB.masked_fill(is_same_BB, -INFINITY).amax(dim=1, keepdim=True)
    hardest_positive_B1 = similarity_BB.masked_fill(~is_positive_BB, INFINITY).amin(dim=1, keepdim=True)
    # Said by what is left out: nan is not, so that it is seen in the loss.
    is_easy_positive_BB = similarity_BB >= hardest_negative_B1 + margin
    is_easy_negative_BB = similarity_BB <= hardest_positive_B1 - margin
    return Pairs(is_positive_BB & ~is_easy_positive_BB, ~is_same_BB & ~is_easy_negative_BB)


def loss_of_pairs(similarity_BB: Tensor, pairs: Pairs, *, alpha: float, beta: float, threshold: float) -> Tensor:
    """Eq. 5 over these pairs, a scalar."""
    positive_BB, negative_BB = _exponents(similarity_BB, pairs, alpha=alpha, beta=beta, threshold=threshold)
    return (_log_of_one_and_sum(positive_BB) / alpha + _log_of_one_and_sum(negative_BB) / beta).mean()


def weights_of_pairs(similarity_BB: Tensor, pairs: Pairs, *, alpha: float, beta: float, threshold: float) -> Tensor:
    """(B, B): w_ij of eq. 4, from 0 to 1; zero where a pair is not kept.

    A positive pair is drawn together by this weight and a negative one pushed apart: the slope of the loss by S_ij is
    -w_ij / B or w_ij / B. Both fractions of eq. 4 are extended by the exponential of their own pair.
    """
    exponents = _exponents(similarity_BB, pairs, alpha=alpha, beta=beta, threshold=threshold)
    positive_BB, negative_BB = ((one_BB - _log_of_one_and_sum(one_BB)[:, None]).exp() for one_BB in exponents)
    return positive_BB + negative_BB


def multi_task(metric: Tensor, cross_entropy: Tensor, *, eta: float) -> Tensor:
    """Eq. 7: eta of the metric loss and the rest of the cross-entropy. Raises ValueError for eta outside 0 to 1."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta {eta}: expected 0 to 1")
    return eta * metric + (1 - eta) * cross_entropy


def _exponents(
    similarity_BB: Tensor, pairs: Pairs, *, alpha: float, beta: float, threshold: float
) -> tuple[Tensor, Tensor]:
    """(B, B) each: of the positive and of the negative pairs in eq. 5; minus infinity where a pair is not kept."""
    positive_BB = (-alpha * (similarity_BB - threshold)).masked_fill(~pairs.positive, -INFINITY)
    negative_BB = (beta * (similarity_BB - threshold)).masked_fill(~pairs.negative, -INFINITY)
    return positive_BB, negative_BB


def _log_of_one_and_sum(exponents_BB: Tensor) -> Tensor:
    """(B,): log(1 + sum of the exponentials of a row)."""
    return F.pad(exponents_BB, (0, 1)).logsumexp(dim=1)
