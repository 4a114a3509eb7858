"""What `curate.agreement` computes, as its words say it: landmark by landmark, with nothing passed by."""

from collections import Counter, defaultdict


def agreeing(one, other):
    """Landmarks that agree at an offset or at the next: pair by pair."""
    offsets = Counter(
        (int(b) & 0xFFFFFFFF) - (int(a) & 0xFFFFFFFF) for a in one for b in other if int(a) >> 32 == int(b) >> 32
    )
    return min(max((offsets[at] + offsets[at + 1] for at in offsets), default=0), len(one), len(other))


def around_seeds(found):
    """Around each two landmarks that begin at one peak: what they all are, and in which step of eight frames."""
    told = [(int(value) & 0xFFFFFFFF, int(value) >> 44, int(value) >> 32) for value in found]
    around = defaultdict(set)
    for frame, peak, hash_ in told:
        for of_other, other_peak, other in told:
            if (frame, peak) == (of_other, other_peak) and hash_ < other:
                around[hash_, other] |= {(h, (at - frame) // 8) for at, _, h in told if -256 <= at - frame < 256}
    return around


def num_around_a_seed(one, other):
    """How many agree around the seed of both around which most do; 0 where they have none in common."""
    first, second = around_seeds(one), around_seeds(other)
    return max((len(first[seed] & second[seed]) for seed in first.keys() & second.keys()), default=0)
