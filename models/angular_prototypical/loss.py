"""Angular prototypical loss and its two variants with a margin (VietSV: Vi, Pham and Nguyen 2022, eq. 1 to 5).

Of M utterances of each of N people the last is the query. The prototype of a person is the mean of the others as they
come, not of their directions (eq. 1); only then is the cosine taken. Softmax over the N prototypes shall find the
query's own. clovaai/voxceleb_trainer takes the first utterance as the query: the same loss where utterances are drawn
by chance.

All is computed in float32 at least, under autocast too, and by one matrix product of N x D by D x N.

Shape letters: N people of a batch, M utterances of each, D embedding.
"""

import math
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.common.classification import precise, unit, widened

Kind = Literal["ap", "amp-cos", "amp-arc"]


@final
class AngularPrototypical(nn.Module):
    """AP (eq. 1 to 3), AMP-cos (eq. 4) or AMP-arc (eq. 5).

    `margin` is taken off the cosine of the true pair (amp-cos), or is added to its angle, in radians (amp-arc); table 3
    has 0.1 to 0.5 for both. Without a margin both are AP. Where the angle and the margin pass pi: `widened`.

    Scale w and bias b of eq. 2 are learnt, from 10 and -5 on (Chung et al. 2020, arXiv:2003.11982). The bias moves all
    scores alike, which a softmax does not see; it is kept since eq. 2 has it. The scale must stay positive, or the loss
    would draw people together: what is learnt is its inverse softplus. Softplus has a slope of 0.99995 at 10, so w
    learns as fast as if it were learnt itself; through its logarithm it would learn 100 times as fast under SGD, and a
    clamp would leave it without a slope below its bound.
    """

    def __init__(self, kind: Kind, *, margin: float = 0.0, scale: float = 10.0, bias: float = -5.0) -> None:
        super().__init__()
        limits = {"ap": 0.0, "amp-cos": 2.0, "amp-arc": math.pi / 2}
        if kind not in limits:
            raise ValueError(f"kind {kind!r}: expected one of {', '.join(get_args(Kind))}")
        if not (0 <= margin < limits[kind] or margin == 0):
            raise ValueError(f"margin {margin} of {kind}: expected 0 for ap, [0, 2) for amp-cos, [0, pi/2) for amp-arc")
        self.kind, self.margin = kind, margin
        self.raw_scale = nn.Parameter(torch.tensor(raw_scale_of(scale)))
        self.bias = nn.Parameter(torch.tensor(bias))

    @property
    def scale(self) -> Tensor:
        """w of eq. 2, positive."""
        return F.softplus(self.raw_scale)

    def scores(self, emb_NMD: Tensor) -> Tensor:
        """(N, N): S_ik of eq. 2, 4 or 5, of the query of person i and the prototype of person k.

        Raises ValueError unless there are two people with two utterances each at least.
        """
        if emb_NMD.ndim != 3 or min(emb_NMD.shape[:2]) < 2:
            shape = tuple(emb_NMD.shape)
            raise ValueError(
                f"embeddings of shape {shape}: expected (people, utterances of each, D), 2 or more of both"
            )
        with torch.autocast(emb_NMD.device.type, enabled=False):
            emb_NMD = precise(emb_NMD)
            query_ND, prototype_ND = emb_NMD[:, -1], emb_NMD[:, :-1].mean(dim=1)
            cos_NN = unit(query_ND) @ unit(prototype_ND).T
            return self.scale * self._with_margin(cos_NN) + self.bias

    def forward(self, emb_NMD: Tensor) -> Tensor:
        """The loss of eq. 3, a scalar; errors as of `scores`."""
        scores_NN = self.scores(emb_NMD)
        return F.cross_entropy(scores_NN, torch.arange(len(scores_NN), device=scores_NN.device))

    def _with_margin(self, cos_NN: Tensor) -> Tensor:
        if self.kind == "ap":
            return cos_NN
        true_N = cos_NN.diagonal()
        harder_N = true_N - self.margin if self.kind == "amp-cos" else widened(true_N, self.margin)
        return torch.diagonal_scatter(cos_NN, harder_N)


def raw_scale_of(scale: float) -> float:
    """What is learnt in place of this scale: its inverse softplus. Raises ValueError unless it is positive and finite.

    For weights of others that keep the scale itself, such as `w` of voxceleb_trainer.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"scale {scale}: expected a positive number")
    return scale + math.log(-math.expm1(-scale))
