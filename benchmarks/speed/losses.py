"""How long the angular prototypical loss takes, forward and back, beside the way of voxceleb_trainer.

    .venv/bin/python -m benchmarks.speed.losses [--rounds 5] [--people 200] [--utterances 2] [--dimension 512]

Random embeddings. The way of voxceleb_trainer is written here from its description: queries and prototypes are each
spread out to N x D x N, and compared by `cosine_similarity`. Its query is the first utterance and ours the last, so it
is given the utterances the other way round; losses and gradients are then the same. How it is timed: `turns`.
"""

import argparse
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.turns import Turns, extra_mb, in_turns, machine
from models.angular_prototypical.loss import AngularPrototypical

OURS = "one matrix product (ours)"
WITH_MARGIN = "ours, AMP-arc with 0.2"
SPREAD_OUT = "voxceleb_trainer: spread out to N x D x N"
SCALE, BIAS = 10.0, -5.0

Found = tuple[Tensor, Tensor]  # the loss, and its gradient by the embeddings (N, M, D)


def by_product(loss: AngularPrototypical, emb_NMD: Tensor) -> Found:
    """As we train."""
    emb_NMD = emb_NMD.detach().requires_grad_()
    value = loss(emb_NMD)
    value.backward()
    return value.detach(), gradient_of(emb_NMD)


def spread_out(emb_NMD: Tensor) -> Found:
    """Query first, all pairs side by side."""
    emb_NMD = emb_NMD.detach().requires_grad_()
    scale, bias = torch.tensor(SCALE, requires_grad=True), torch.tensor(BIAS, requires_grad=True)
    query_ND, prototype_ND = emb_NMD[:, 0], emb_NMD[:, 1:].mean(dim=1)
    num = len(emb_NMD)
    query_NDN = query_ND.unsqueeze(-1).expand(-1, -1, num)
    prototype_NDN = prototype_ND.unsqueeze(-1).expand(-1, -1, num).transpose(0, 2)
    scores_NN = F.cosine_similarity(query_NDN, prototype_NDN) * scale + bias
    value = F.cross_entropy(scores_NN, torch.arange(num))
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach(), gradient_of(emb_NMD)


def gradient_of(emb_NMD: Tensor) -> Tensor:
    """What a step back has left."""
    if emb_NMD.grad is None:
        raise ValueError("no gradient: expected one of backward()")
    return emb_NMD.grad


def compare(num_people: int, num_utterances: int, dimension: int, *, rounds: int) -> Turns:
    """Times, memory and agreement on one batch."""
    emb_NMD = torch.randn(num_people, num_utterances, dimension, generator=torch.Generator().manual_seed(1))
    ways = {
        OURS: partial(by_product, AngularPrototypical("ap", scale=SCALE, bias=BIAS), emb_NMD),
        WITH_MARGIN: partial(by_product, AngularPrototypical("amp-arc", margin=0.2), emb_NMD),
        SPREAD_OUT: partial(spread_out, emb_NMD.flip(1)),
    }
    print(f"{num_people} people x {num_utterances} utterances, {dimension} dimensions, forward and back")
    turns = in_turns(ways, rounds=rounds)
    print(*turns.lines(OURS), sep="\n")
    for name in (OURS, SPREAD_OUT):
        print(f"  {name}: extra memory {extra_mb(ways[name]):.1f} MB")
    (mine, my_slope), (theirs, their_slope) = turns.found[OURS], turns.found[SPREAD_OUT]
    apart = (my_slope - their_slope.flip(1)).abs().max()
    print(f"  losses apart by {(mine - theirs).abs():.1e}, gradients by {apart:.1e} of {my_slope.abs().max():.1e}")
    return turns


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--utterances", type=int, default=2)
    parser.add_argument("--dimension", type=int, default=512)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    compare(given.people, given.utterances, given.dimension, rounds=given.rounds)


if __name__ == "__main__":
    main()
