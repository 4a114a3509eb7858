"""What undoing promises beside a plain model: stacks of words, from which others may take, too."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import example, given
from hypothesis import strategies as st

from curate.catalog import rows_of
from curate.named import ReviewError
from curate.schema import REVIEWS
from pages.review.saying import last_undone
from pages.review.shown import keyed

T0 = datetime(2026, 1, 2, tzinfo=UTC)


class Words:
    """What was said, as a `Moment` is asked of it."""

    def __init__(self):
        self.rows, self.numbers = [], dict.fromkeys(("ann", "bob", "carl"), 0)

    def say(self, who, *things):
        """All at one time; each a subject and a verdict."""
        at = T0 + timedelta(minutes=len(self.rows))
        for one, verdict in things:
            row = {"reviewer": who, "num_before": self.numbers[who], "said_at": at, "subject": "utterance"}
            self.rows.append(row | {"subject_id": one, "verdict": verdict})
            self.numbers[who] += 1

    def said_by(self, who):
        rows = keyed(rows_of(REVIEWS, self.rows))
        return rows.filter(pc.equal(rows["reviewer"], who))

    def said_of(self, key):
        rows = keyed(rows_of(REVIEWS, self.rows))
        return rows.filter(pc.is_in(rows["about"], value_set=pa.array([key])))

    def left(self):
        """By reviewer and subject, by a list of what was not taken back."""
        words = {}
        for row in self.rows:
            who, one = row["reviewer"], row["subject_id"]
            if row["verdict"] is not None:
                words[who, one] = row["verdict"]
            elif words.pop((who, one), None) is None:
                words = {key: verdict for key, verdict in words.items() if key[1] != one}
        return words


TURNS = st.tuples(
    st.just("say"), st.sampled_from(["ann", "bob"]), st.sampled_from("xy"), st.sampled_from(["keep", "drop"])
)
TURNS |= st.tuples(st.just("undo"), st.sampled_from(["ann", "bob"]))
TURNS |= st.tuples(st.just("take all back"), st.sampled_from("xy"))


# what another took back is not said again
TAKEN_BACK = [("say", "ann", "x", "keep"), ("take all back", "x"), ("say", "ann", "x", "drop"), ("undo", "ann")]

# the word on x that is said again is older than that on y, which is undone next
SAID_AGAIN = [("say", "ann", one, verdict) for one, verdict in (("x", "keep"), ("y", "keep"), ("x", "drop"))]
SAID_AGAIN += [("undo", "ann"), ("undo", "ann")]


@example(TAKEN_BACK)
@example(SAID_AGAIN)
@given(st.lists(TURNS, max_size=9))
def test_undoing_goes_back_through_what_is_left_of_ones_words(turns):
    words, stacks = Words(), {"ann": [], "bob": []}
    for kind, *turn in turns:
        if kind == "say":
            who, one, verdict = turn
            words.say(who, (one, verdict))
            stacks[who].append((one, verdict))
        elif kind == "take all back":  # by carl, who never says anything
            words.say("carl", (turn[0], None))
            stacks = {who: [word for word in stack if word[0] != turn[0]] for who, stack in stacks.items()}
        else:
            (who,) = turn
            try:
                words.say(who, *((one.subject_id, one.verdict) for one in last_undone(words, who)))
            except ReviewError:
                assert stacks[who] == []
            else:
                stacks[who].pop()
        assert words.left() == {(who, one): verdict for who, stack in stacks.items() for one, verdict in stack}
