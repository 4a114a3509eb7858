"""Where reviewers agree: how often each two do, and of what they say different things."""

from itertools import groupby
from typing import Any

import pyarrow.compute as pc

from curate.kappa import agreements, contradicting, own_words
from curate.reasons import Subject
from pages.review.shown import Moment

MAX_LISTED = 200


def agreement(moment: Moment) -> dict[str, Any]:
    """What the template shows, of each reviewer's own last words."""
    words = own_words(moment.reviews)
    counted = words.group_by("reviewer").aggregate([("about", "count")]).sort_by("reviewer")
    against = contradicting(words)
    first = pc.unique(against["about"])
    listed = against.filter(pc.is_in(against["about"], value_set=first.slice(0, MAX_LISTED))).to_pylist()
    return {
        "reviewers": [(row["reviewer"], row["about_count"]) for row in counted.to_pylist()],
        "kappas": agreements(words),
        "against": [_listed(list(rows)) for _, rows in groupby(listed, lambda row: row["about"])],
        "num_against": len(first),
    }


def _listed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    other = first["other_id"] if first["subject"] == Subject.PAIR else None
    return {"subject": first["subject"], "id": first["subject_id"], "other": other, "words": rows}
