"""What sides promise: pairs that hold together are taken in, and what speaks against the others is told."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from curate.reasons import Verdict
from curate.sides import Sides, ordered

KEEP, MERGE = Verdict.KEEP, Verdict.MERGE
pairs = st.lists(
    st.tuples(st.sampled_from(list(combinations("abcdef", 2))), st.sampled_from([MERGE, KEEP])), max_size=12
)


@settings(max_examples=300)
@given(pairs)
def test_sides_take_in_what_holds_together_and_tell_what_speaks_against_the_rest(things):
    sides, taken = Sides(), {}

    def torn(all_pairs):
        """Whether somebody is kept apart from himself: groups by merging sets, not by following links."""
        groups = [{one} for one in "abcdef"]
        for (one, other), verdict in all_pairs:
            if verdict == MERGE:
                joined = [group for group in groups if one in group or other in group]
                groups = [group for group in groups if group not in joined] + [set().union(*joined)]
        return any(v == KEEP and any({*pair} <= group for group in groups) for pair, v in all_pairs)

    for pair, verdict in things:
        if pair in taken:
            continue
        against = sides.against(pair, verdict)
        assert bool(against) == torn([*taken.items(), (pair, verdict)])
        assert torn([*((one, taken[one]) for one in against), (pair, verdict)]) == bool(against)
        if not against:
            sides.add(pair, verdict)
            taken[pair] = verdict


def test_a_pair_is_the_same_whichever_is_named_first():
    assert ordered("b", "a") == ordered("a", "b") == ("a", "b")
