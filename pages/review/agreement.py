"""Where reviewers agree: how often each two do, and of what two say different things."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.reasons import Subject
from pages.review.shown import Moment, Words

MAX_LISTED = 200


def agreement(moment: Moment) -> dict[str, Any]:
    """What the template shows, of each reviewer's own last words."""
    names = sorted(pc.unique(moment.reviews["reviewer"]).to_pylist())
    words = {name: moment.own(name) for name in names}
    against = contradictions(list(words.values()))
    return {
        "reviewers": [(name, len(own.rows)) for name, own in words.items()],
        "kappas": [],
        "against": [_listed(rows) for rows in against[:MAX_LISTED]],
        "num_against": len(against),
    }


def contradictions(words: list[Words]) -> list[list[dict[str, Any]]]:
    """Of each subject on which reviewers' last words differ, these, in the order of subjects and reviewers."""
    rows = [one.rows.append_column("about", one.keys) for one in words]
    if not rows:
        return []
    table = pa.concat_tables(rows)
    said = pc.binary_join_element_wise(table["verdict"], pc.fill_null(table["other_id"], ""), "\0")
    counted = table.append_column("said", said).group_by("about").aggregate([("said", "count_distinct")])
    keys = counted.filter(pc.greater(counted["said_count_distinct"], 1))["about"].combine_chunks()
    found: dict[str, list[dict[str, Any]]] = {}
    names = ("subject", "subject_id", "other_id", "reviewer")
    differing = table.filter(pc.is_in(table["about"], value_set=keys)).sort_by([(name, "ascending") for name in names])
    for row in differing.to_pylist():
        found.setdefault(row["about"], []).append(row)
    return list(found.values())


def _listed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    other = first["other_id"] if first["subject"] == Subject.PAIR else None
    return {"subject": first["subject"], "id": first["subject_id"], "other": other, "words": rows}
