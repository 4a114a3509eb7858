"""Which labels are on one side and which on two, as reviewers say it of pairs, and what contradicts what.

Merges join: A with B and B with C put A with C. Labels kept apart may therefore not be joined through others either.
"""

from collections import defaultdict

from curate.reasons import Verdict

Pair = tuple[str, str]


def ordered(one: str, other: str) -> Pair:
    """The two labels as a pair that does not depend on which was named first."""
    return (one, other) if one < other else (other, one)


class Sides:
    """Pairs that were merged or kept apart, of which none contradicts the others."""

    def __init__(self) -> None:
        self._merged: defaultdict[str, set[str]] = defaultdict(set)
        self._apart: defaultdict[str, set[str]] = defaultdict(set)

    def against(self, pair: Pair, verdict: str) -> list[Pair]:
        """The pairs that speak against it, one way from label to label; empty where nothing does.

        Against keeping two apart speak merges that lead from one to the other; against merging them, two who are
        kept apart, and the merges that lead there from either.
        """
        one, other = pair
        ways = self._ways(one)
        if verdict == Verdict.KEEP:
            return self._way(ways, other) if other in ways else []
        others = self._ways(other)
        for label in ways:
            for foe in sorted(self._apart[label] & others.keys()):
                return [*self._way(ways, label), ordered(label, foe), *reversed(self._way(others, foe))]
        return []

    def add(self, pair: Pair, verdict: str) -> None:
        """Take it in; nothing must be against it."""
        one, other = pair
        among = self._apart if verdict == Verdict.KEEP else self._merged
        among[one].add(other)
        among[other].add(one)

    def _ways(self, start: str) -> dict[str, str]:
        """Every label that merges lead to from here, nearest first, each with the one before it."""
        before, queue = {start: start}, [start]
        for label in queue:
            for following in sorted(self._merged[label] - before.keys()):
                before[following] = label
                queue.append(following)
        return before

    def _way(self, before: dict[str, str], end: str) -> list[Pair]:
        """The merges from where `before` starts to a label."""
        way = []
        while before[end] != end:
            way.append(ordered(before[end], end))
            end = before[end]
        return way[::-1]
