"""The card of a benchmark that a protocol made: what it holds, what was taken away, what leaks, and how it compares."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.leakage import CHECKS, NAMED
from benchmarks.leakage_report import ALLOWED, IN_WORDS, LEAK, NOT_KNOWN, status
from benchmarks.protocol import Protocol, in_words
from benchmarks.sexes import sexes_of
from curate.codes import in_order
from curate.publish import SIZES, figure, filled, hours, said
from curate.schema import OF_ALL

STAGES = ("source", "filter", "split", "trials", "targets", "nontargets")
REMARK = "remark"  # the stage under which REMOVALS hold what a reader must be told
OF_UTTERANCES = {"utterance_id", "corpus", "session_id", "duration_s", "sex", "language", "licence"}  # that it tells of
RULES = ("Sources", "Filters", "Splits", "Kept apart", "Lists of trials", "Metrics", "Seed")  # blocks of `in_words`
HERE = "here"


def protocol_card(
    protocol: Protocol,
    *,
    corpora: pa.Table,
    utterances: pa.Table,
    splits: pa.Table,
    models: pa.Table,
    trials: pa.Table,
    removals: pa.Table,
    leaks: pa.Table,
    results: pa.Table,
) -> str:
    """A README.md with the front matter that the Hugging Face hub reads. Everything counted comes from the tables.

    `utterances` (OF_UTTERANCES) are those left after all verdicts, under their settled labels, with `age_group` where
    the protocol or they themselves tell of ages.
    """
    used = _used(utterances, splits)
    made = set(trials["list"].unique().to_pylist())
    values = {
        "protocol": protocol,
        "rules": "\n\n".join(block for block in in_words(protocol).split("\n\n") if block.startswith(RULES)),
        "languages": said(used, "language"),
        "size": next((name for limit, name in SIZES if len(used) < limit), "10M<n<100M"),
        "num_utterances": len(used),
        "num_people": len(used["identity_id"].unique()),
        "hours": hours(used),
        "corpora": [_corpus(row, protocol, utterances, used) for row in corpora.sort_by("corpus").to_pylist()],
        "lacking": _lacking(protocol, corpora),
        "removals": rules_applied(removals),
        "remarks": remarks_of(removals),
        "splits": [
            split_counts(name, used) for name in _in_turn((split.name for split in protocol.splits), used["split"])
        ],
        "ages": ages_of_splits(used),
        "lists": [
            list_counts(one.name, one.split, trials, models, used) for one in protocol.trials if one.name in made
        ],
        "checks": [IN_WORDS[check] for check in CHECKS if check != NAMED],
        "sides": _sides(leaks),
        "named": [row | {"cell": _cell(row)} for row in _in_order(leaks) if row["check"] == NAMED],
        "shared": [row | {"what": IN_WORDS[row["check"]]} for row in _in_order(leaks) if row["num_shared"]],
        "num_leaks": sum(status(row) == LEAK for row in leaks.to_pylist()),
        "figures": _figures(protocol, results),
        "conventions": conventions(results),
        "citations": citations(corpora, used),
    }
    return filled("protocol.md.jinja", values)


def _used(utterances: pa.Table, splits: pa.Table) -> pa.Table:
    """The utterances that are in a split, in the order of ids, with it and their person."""
    told = [name for name in utterances.column_names if name in OF_UTTERANCES | {"age_group"}]
    place = pc.index_in(utterances["utterance_id"], value_set=splits["utterance_id"].combine_chunks()).combine_chunks()
    used, place = utterances.select(told).filter(place.is_valid()), place.drop_null()
    for column in ("identity_id", "split"):
        used = used.append_column(column, splits[column].combine_chunks().take(place))
    return in_order(used, "utterance_id")


def _in_turn(wanted: Iterable[str], found: pa.ChunkedArray) -> list[str]:
    """The names in the order of the protocol, then any others."""
    return list(dict.fromkeys([*wanted, *sorted(found.unique().to_pylist())]))


# ----------------------------------------------------------------------------------------------------------- sources


def _corpus(row: dict[str, Any], protocol: Protocol, utterances: pa.Table, used: pa.Table) -> dict[str, Any]:
    mine = used.filter(pc.equal(used["corpus"], row["corpus"]))
    terms = sorted(set(mine["licence"].unique().to_pylist()) - {None}) or [row["licence"] or "not stated"]
    return row | {
        "sources": [source.name for source in protocol.sources if source.holds(row["corpus"], row["reader"])],
        "num_left": pc.sum(pc.equal(utterances["corpus"], row["corpus"])).as_py() or 0,
        "num_used": len(mine),
        "hours_used": hours(mine),
        "licences": terms,
    }


def _lacking(protocol: Protocol, corpora: pa.Table) -> list[str]:
    rows = corpora.to_pylist()
    return [
        source.name
        for source in protocol.sources
        if not any(source.holds(row["corpus"], row["reader"]) for row in rows)
    ]


def citations(corpora: pa.Table, used: pa.Table) -> list[str]:
    """Of the corpora that the benchmark has something of."""
    return said(corpora.filter(pc.is_in(corpora["corpus"], value_set=used["corpus"].combine_chunks())), "citation")


def rules_applied(removals: pa.Table) -> list[dict[str, Any]]:
    """What each rule took away: stage after stage, parts by name, and of each its rules in their order."""
    rows = [row for row in removals.to_pylist() if row["stage"] != REMARK]
    return sorted(rows, key=lambda row: (STAGES.index(row["stage"]), row["part"], row["place"]))


def remarks_of(removals: pa.Table) -> list[str]:
    """What a reader must be told."""
    rows = removals.filter(pc.equal(removals["stage"], REMARK)).sort_by("place")
    remarks: list[str] = rows["rule"].to_pylist()
    return remarks


# ------------------------------------------------------------------------------------------------- splits and trials


def split_counts(name: str, used: pa.Table) -> dict[str, Any]:
    """How much a split has, and of whom."""
    rows = used.filter(pc.equal(used["split"], name))
    sexes = list(sexes_of(rows["identity_id"], rows["sex"]).values())
    return {
        "name": name,
        "num_utterances": len(rows),
        "num_people": len(sexes),
        "num_female": sexes.count("female"),
        "num_male": sexes.count("male"),
        "num_unknown": sexes.count(None),
        "num_sessions": len(rows["session_id"].drop_null().unique()),
        "hours": hours(rows),
    }


def ages_of_splits(used: pa.Table) -> list[dict[str, Any]]:
    """Utterances and people of each split and age group; none where nobody's age is told."""
    if "age_group" not in used.column_names or used["age_group"].null_count == len(used):
        return []
    counted = used.group_by(["split", "age_group"]).aggregate(
        [("utterance_id", "count"), ("identity_id", "count_distinct")]
    )
    rows: list[dict[str, Any]] = counted.to_pylist()
    return sorted(rows, key=lambda row: (row["split"], row["age_group"] is None, row["age_group"] or ""))


def list_counts(name: str, split: str, trials: pa.Table, models: pa.Table, used: pa.Table) -> dict[str, Any]:
    """How many trials of each kind a list has, and of how many models, utterances and people."""
    rows = trials.filter(pc.equal(trials["list"], name))
    num_targets = pc.sum(rows["is_target"]).as_py() or 0
    enrolled = rows["enrol_id"].combine_chunks().unique()
    of_list = models.filter(pc.is_in(models["model_id"], value_set=enrolled))
    heard = pa.chunked_array([*rows["enrol_id"].chunks, *rows["test_id"].chunks, *of_list["utterance_id"].chunks])
    heard = heard.combine_chunks() if heard.num_chunks else pa.array([], pa.string())
    told = used.filter(pc.is_in(used["utterance_id"], value_set=heard))
    return {
        "name": name,
        "split": split,
        "num_targets": num_targets,
        "num_nontargets": len(rows) - num_targets,
        "num_models": len(of_list["model_id"].unique()),
        "num_utterances": len(told),
        "num_people": len(told["identity_id"].unique()),
    }


# ------------------------------------------------------------------------------------------------------------- leaks


def _in_order(leaks: pa.Table) -> list[dict[str, Any]]:
    return sorted(leaks.to_pylist(), key=lambda row: (row["side"], row["other_side"], CHECKS.index(row["check"])))


def _sides(leaks: pa.Table) -> list[tuple[str, str, list[str]]]:
    """Of each two splits what each check found."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in _in_order(leaks):
        if row["check"] != NAMED:
            found.setdefault((row["side"], row["other_side"]), {})[row["check"]] = _cell(row)
    return [(*sides, [told.get(check, "") for check in CHECKS if check != NAMED]) for sides, told in found.items()]


def _cell(row: dict[str, Any]) -> str:
    """How much is shared, and of how many utterances nothing is known."""
    found = status(row)
    if found == NOT_KNOWN:
        return found
    num = row["num_shared"]
    shared = {LEAK: f"**{num}**", ALLOWED: f"{num}, allowed"}.get(found, str(num))
    return f"{shared}; {row['num_unknown']} unknown" if row["num_unknown"] else shared


# ----------------------------------------------------------------------------------------------------------- figures


def _figures(protocol: Protocol, results: pa.Table) -> list[dict[str, Any]]:
    """The paper's and ours, by list and metric; figures on parts of a list are left to the table `results`."""
    whole = results.filter(pc.equal(results["subset"], OF_ALL)).to_pylist()
    ours = [row | {"where": HERE, "shown": figure(row["value"], row["metric"])} for row in whole]
    blank = {"lower": None, "upper": None, "num_target": None, "num_nontarget": None}
    theirs = [
        blank
        | {"list": one.list, "metric": one.metric, "system": one.system, "where": one.where}
        | {"value": one.value, "shown": figure(one.value, one.metric)}
        for one in protocol.figures
    ]
    rows = [*theirs, *sorted(ours, key=lambda row: (row["metric"], row["system"]))]
    lists, metrics = [one.name for one in protocol.trials], list(dict.fromkeys(row["metric"] for row in rows))
    turn = {name: at for at, name in enumerate(lists)}
    return sorted(rows, key=lambda row: (turn.get(row["list"], len(turn)), metrics.index(row["metric"])))


def conventions(results: pa.Table) -> list[tuple[str, str]]:
    """How each metric is computed."""
    pairs = zip(results["metric"].to_pylist(), results["conventions"].to_pylist(), strict=True)
    return sorted(set(pairs))
