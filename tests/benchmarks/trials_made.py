"""Tests of utterances that are made up, and what is drawn of them."""

import numpy as np
import pyarrow as pa

from benchmarks.trial_rules import Rules
from benchmarks.trials import draw_trials

TEXT = ("utterance_id", "identity_id", "session_id", "sex", "nationality", "corpus", "path", "language")
TEST = pa.schema(
    [
        *((name, pa.string()) for name in TEXT),
        ("channel", pa.int16()),
        ("age_min_years", pa.int16()),
        ("age_max_years", pa.int16()),
        ("duration_s", pa.float64()),
    ]
)
ANY = Rules(same_recording=True)


def table(*rows):
    """Rows of whatever is said; the utterances are u00, u01 and so on, where they do not say."""
    named = [{"utterance_id": f"u{i:02}", "corpus": "toy", "path": f"{i}.wav"} | row for i, row in enumerate(rows)]
    return pa.Table.from_pylist([dict.fromkeys(TEST.names) | row for row in named], schema=TEST)


def draw(test, targets=ANY, nontargets=ANY, *, seed=0, **more):
    rng = np.random.default_rng(seed)
    return draw_trials(test, benchmark="toy", targets=targets, nontargets=nontargets, rng=rng, **more)


def pairs(drawn, is_target):
    rows = drawn.trials.to_pylist()
    return [(row["enrol_id"], row["test_id"]) for row in rows if row["is_target"] == is_target]


def steps(drawn, is_target):
    return [
        (row["constraint"], row["examined"], row["removed"], row["is_exact"])
        for row in drawn.report.to_pylist()
        if row["is_target"] == is_target
    ]
