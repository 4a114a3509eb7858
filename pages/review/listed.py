"""One page of the queue, what it can be narrowed down to, and how far the reviewers have come."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.reasons import Reason, Subject, Verdict
from pages.review.asked import DOUBTFUL, UNDECIDED, Asked, State
from pages.review.shown import Moment
from pages.review.strip import strip

PER_PAGE = 50
STATES = {
    State.OPEN: "Open",
    State.MINE_OPEN: "Not said by me (blind)",
    State.DECIDED: "Decided",
    State.ALL: "All",
}
COUNTED = {
    State.OPEN: "open",
    State.MINE_OPEN: "not said by you",
    State.DECIDED: "decided",
    State.ALL: "in all",
}


def listed(moment: Moment, asked: Asked, reviewer: str, page: str) -> dict[str, Any]:
    """What the template shows; a page that is none is the nearest that there is."""
    rows = asked.rows(moment, reviewer)
    num_pages = max(-(-len(rows) // PER_PAGE), 1)
    at = min(max(int(page) if page.isascii() and page.isdecimal() and len(page) < 10 else 1, 1), num_pages)
    start = (at - 1) * PER_PAGE
    some = moment.items.take(pa.array(rows[start : start + PER_PAGE]))
    said = [None] * len(some) if asked.is_blind else moment.stands_on(some["about"].to_pylist())
    entries = [
        {"row": row, "said": one, "strip": strip(row, moment.tables.scales)}
        for row, one in zip(some.to_pylist(), said, strict=True)
    ]
    return {
        "entries": entries,
        "num_found": len(rows),
        "page": at,
        "num_pages": num_pages,
        "start": start + 1,
        **_progress(moment, asked, reviewer),
        **_choices(moment),
        "is_narrowed": asked.in_any_state() != Asked(state=State.ALL, text=asked.text),
    }


def _progress(moment: Moment, asked: Asked, reviewer: str) -> dict[str, Any]:
    """Of what the filters leave, however decided, how much is doubtful, and of how much of that something was said."""
    rows = asked.in_any_state().rows(moment, reviewer)
    doubtful = rows[moment.items["doubt"].to_numpy()[rows] >= DOUBTFUL]
    decided = moment.decided(reviewer if asked.is_blind else None)[doubtful]
    return {"num_doubtful": len(doubtful), "num_decided": int(np.count_nonzero(decided)), "doubtful": DOUBTFUL}


def _choices(moment: Moment) -> dict[str, Any]:
    there = {name: set(pc.unique(moment.items[name]).to_pylist()) for name in ("corpus", "reason")}
    return {
        "states": [(state.value, name) for state, name in STATES.items()],
        "kinds": list(Subject),
        "verdicts": list(Verdict),
        "corpora": sorted(one for one in there["corpus"] if one is not None),
        "reasons": [reason for reason in Reason if reason in there["reason"]] + [UNDECIDED],
    }
