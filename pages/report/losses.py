"""What was dropped: of which corpora, sexes and age groups, and for which reasons."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.pictures import styled
from curate.reasons import MEANING, Reason
from pages.report.material import Material, corpora_in_turn
from pages.report.names import drawn_apart, shown
from pages.report.palette import DROPPED, GREY, GROUPS_TOLD, HATCH_OF_DROPPED, INK, KEPT, looks
from pages.report.picture import SMALL, USUAL, LeftOut, Picture, counting, number_of, percent, sheet
from pages.report.way import fates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_GROUPS, OF_REASONS = "What was dropped, and of whom", "Why it was dropped"
ATTRIBUTES = {"corpus": "corpus", "sex": "sex", "age_group": "age group"}
NOT_STATED = "not stated"
GROUPS_SHOWN, REASONS_SHOWN = 12, 12


def pictures(material: Material) -> list[Picture | LeftOut]:
    """By group, and by reason."""
    if not len(material.utterances):
        why = "The catalog holds no utterance."
        return [
            LeftOut(name=name, heading=head, why=why) for name, head in (("groups", OF_GROUPS), ("reasons", OF_REASONS))
        ]
    return [_by_group(material), _by_reason(material)]


# -------------------------------------------------------------------------------------------------------------- groups


def group_counts(material: Material) -> pa.Table:
    """(attribute, value, num, num_dropped, reason) of each corpus, sex and age group; null is not stated.

    `num` are all its utterances, `reason` the one for which most are dropped. Corpora, and then age groups, are in
    order of names; groups by the youngest in them.
    """
    gone = dropped(material)
    rows = material.utterances
    place = pc.index_in(rows["utterance_id"].combine_chunks(), value_set=gone["utterance_id"].combine_chunks())
    why = gone["reason"].combine_chunks().take(place).to_pylist()
    found: list[dict[str, object]] = []
    for attribute in ATTRIBUTES:
        values = rows[attribute].to_pylist()
        reasons: dict[str | None, Counter[str | None]] = {}
        for value, reason in zip(values, why, strict=True):
            reasons.setdefault(value, Counter())[reason] += 1
        if set(reasons) == {None}:
            continue
        for value in sorted(reasons, key=_turn(material, attribute)):
            lost = {reason: number for reason, number in reasons[value].items() if reason is not None}
            found.append(
                {
                    "attribute": attribute,
                    "value": value,
                    "num": reasons[value].total(),
                    "num_dropped": sum(lost.values()),
                    "reason": min(lost, key=lambda one: (-lost[one], one), default=None),
                }
            )
    kinds = {"attribute": pa.string(), "value": pa.string(), "num": pa.int64(), "num_dropped": pa.int64()}
    return pa.Table.from_pylist(found, schema=pa.schema(kinds | {"reason": pa.string()}))


def dropped(material: Material) -> pa.Table:
    """(utterance_id, step, reason) of what is dropped in the end."""
    found = fates(material)
    return found.filter(pc.invert(found["is_back"])).drop_columns(["is_back"])


def _turn(material: Material, attribute: str) -> "Callable[[str | None], tuple[bool, int, str]]":
    """The key by which its values are put in order: not stated last."""
    youngest: dict[str | None, int] = {}
    if attribute == "age_group":
        told = material.utterances.group_by("age_group").aggregate([("age_min_years", "min")])
        youngest = dict(zip(told["age_group"].to_pylist(), told["age_min_years_min"].to_pylist(), strict=True))
    return lambda value: (value is None, youngest.get(value) or 0, value or "")


def _by_group(material: Material) -> Picture:
    counts = group_counts(material)
    title = title_of_groups(counts)
    caption = (
        f"n = {number_of(len(material.utterances), 'utterance')}. The part of a bar that is hatched was dropped; at "
        "its end stands how many of how many. Sexes are those of settled labels."
    )
    if material.scheme is not None:
        caption += f" Age groups are those of the scheme {shown(material.scheme)}."
    lacking = [told for name, told in ATTRIBUTES.items() if name not in counts["attribute"].to_pylist()]
    if lacking:
        caption += f" Nothing is stated of {' and '.join(lacking)}."
    rows = [
        (
            *(ATTRIBUTES[row["attribute"]], _named(row["value"]), row["num"], row["num_dropped"]),
            *(percent(row["num_dropped"], row["num"]), row["reason"] or ""),
        )
        for row in counts.to_pylist()
    ]
    return Picture(
        name="groups",
        heading=OF_GROUPS,
        title=title,
        caption=caption,
        head=("of", "group", "utterances", "dropped", "share", "most often as"),
        rows=rows,
        draw=lambda: draw_groups(counts, title),
    )


def title_of_groups(counts: pa.Table) -> str:
    """Of the corpus that lost the greatest share."""
    corpora = [row for row in counts.to_pylist() if row["attribute"] == "corpus"]
    worst = max(corpora, key=lambda row: row["num_dropped"] / row["num"])
    if not worst["num_dropped"]:
        return f"None of {number_of(sum(row['num'] for row in corpora), 'utterance')} is dropped"
    of, name = f"{worst['num_dropped']:,} of {number_of(worst['num'], 'utterance')}", _named(worst["value"])
    reason = f"as {worst['reason']}" if worst["num_dropped"] == 1 else f"most often as {worst['reason']}"
    if len(corpora) > 1:
        return f"No corpus loses a greater share than {name}: {of}, {reason}"
    return f"{of} of {name} {'is' if worst['num_dropped'] == 1 else 'are'} dropped, {reason}"


@styled()
def draw_groups(counts: pa.Table, title: str) -> "Figure":
    """A panel an attribute, a bar a group: kept, and dropped after it; beyond 12 groups the rest is one."""
    panels = {name: _most(counts, name) for name in ATTRIBUTES if name in counts["attribute"].to_pylist()}
    sizes = [len(rows) + 1.4 for rows in panels.values()]
    figure, axes = sheet(title, height_in=0.23 * sum(sizes) + 0.7, num_rows=len(panels), heights=sizes)
    for panel, (name, rows) in zip(axes, panels.items(), strict=True):
        most = max(row["num"] for row in rows)
        for place, row in enumerate(rows):
            stays = row["num"] - row["num_dropped"]
            panel.barh(place, stays, color=KEPT, height=0.65)
            look: dict[str, Any] = {"color": DROPPED, "hatch": HATCH_OF_DROPPED, "edgecolor": "white", "linewidth": 0}
            panel.barh(place, row["num_dropped"], left=stays, height=0.65, **look)
            told = f" {row['num_dropped']:,} of {row['num']:,} ({percent(row['num_dropped'], row['num'])})"
            panel.text(row["num"], place, told, fontsize=SMALL, va="center", color=INK)
        panel.set_yticks(range(len(rows)), [row["told"] for row in rows])
        panel.set(xlim=(0, 1.75 * most), ylim=(len(rows) - 0.4, -0.6))
        panel.set_title(f"by {ATTRIBUTES[name]}", fontsize=USUAL, loc="left", color=INK)
        counting(panel, "x", most_ticks=7)
        panel.set_xticks([tick for tick in panel.get_xticks() if 0 <= tick <= 1.05 * most])
        panel.grid(visible=False, axis="y")
    axes[-1].set_xlabel("utterances", fontsize=USUAL)
    axes[0].barh(-9, 0, color=KEPT, label="kept")
    axes[0].barh(-9, 0, color=DROPPED, hatch=HATCH_OF_DROPPED, edgecolor="white", linewidth=0, label="dropped")
    figure.legend(loc="outside lower center", ncols=2, fontsize=USUAL, frameon=False)
    return figure


def _most(counts: pa.Table, attribute: str) -> list[dict[str, Any]]:
    """The groups that are drawn, in their order, and the rest as one."""
    rows = counts.filter(pc.equal(counts["attribute"], attribute)).to_pylist()
    shown_ones = rows
    if len(rows) > GROUPS_SHOWN:
        largest = sorted(rows, key=lambda row: (-row["num_dropped"], -row["num"], row["value"] or ""))
        shown_ones = [row for row in rows if row in largest[: GROUPS_SHOWN - 1]]
    names = [NOT_STATED if row["value"] is None else row["value"] for row in shown_ones]
    labels = drawn_apart(names)
    found = [row | {"told": labels[name]} for name, row in zip(names, shown_ones, strict=True)]
    if len(found) < len(rows):
        rest = [row for row in rows if row not in shown_ones]
        sums = {key: sum(row[key] for row in rest) for key in ("num", "num_dropped")}
        found.append(sums | {"told": f"{len(rest)} others"})
    return found


def _named(value: str | None) -> str:
    return NOT_STATED if value is None else shown(value)


# ------------------------------------------------------------------------------------------------------------- reasons


def reason_counts(material: Material) -> pa.Table:
    """(reason, step, corpus, num) of what is dropped; the reason of most first, corpora in order of names."""
    gone = dropped(material)
    place = pc.index_in(
        gone["utterance_id"].combine_chunks(), value_set=material.utterances["utterance_id"].combine_chunks()
    )
    rows = gone.append_column("corpus", material.utterances["corpus"].combine_chunks().take(place))
    found = rows.group_by(["reason", "step", "corpus"]).aggregate([("utterance_id", "count")]).to_pylist()
    total = Counter[str]()
    for row in found:
        total[row["reason"]] += row["utterance_id_count"]
    found.sort(key=lambda row: (-total[row["reason"]], row["reason"], row["step"], row["corpus"]))
    columns = {name: [row[name] for row in found] for name in ("reason", "step", "corpus")}
    return pa.table(
        {name: pa.array(values, pa.string()) for name, values in columns.items()}
        | {"num": pa.array([row["utterance_id_count"] for row in found], pa.int64())}
    )


def _by_reason(material: Material) -> Picture | LeftOut:
    counts = reason_counts(material)
    if not len(counts):
        return LeftOut(name="reasons", heading=OF_REASONS, why="No utterance is dropped.")
    of_reason = Counter[str]()
    for row in counts.to_pylist():
        of_reason[row["reason"]] += row["num"]
    reason, most = of_reason.most_common(1)[0]
    total = of_reason.total()
    title = f"{most:,} of {number_of(total, 'dropped utterance')} {'goes' if most == 1 else 'go'} as {reason}"
    title += f": {MEANING[Reason(reason)].split(';')[0]}" if reason in {str(one) for one in Reason} else ""
    rows = [
        (row["reason"], row["step"], row["corpus"], row["num"], MEANING.get(row["reason"], ""))
        for row in counts.to_pylist()
    ]
    return Picture(
        name="reasons",
        heading=OF_REASONS,
        title=title,
        caption=f"n = {number_of(total, 'dropped utterance')}, each under the first rule that drops it.",
        head=("reason", "step", "corpus", "utterances", "meaning"),
        rows=rows,
        draw=lambda: draw_reasons(counts, corpora_in_turn(material), title),
    )


@styled()
def draw_reasons(counts: pa.Table, in_turn: list[str], title: str) -> "Figure":
    """A bar a reason, its parts the corpora `in_turn`; beyond 12 reasons, and 7 corpora, the rest is one."""
    reasons = list(dict.fromkeys(counts["reason"].to_pylist()))
    told = reasons if len(reasons) <= REASONS_SHOWN else [*reasons[: REASONS_SHOWN - 1], "others"]
    corpora = in_turn[:GROUPS_TOLD]
    names, look = drawn_apart(corpora), looks(corpora)
    parts = np.zeros((len(told), len(corpora) + 1), np.int64)
    for row in counts.to_pylist():
        at = min(reasons.index(row["reason"]), len(told) - 1)
        parts[at, corpora.index(row["corpus"]) if row["corpus"] in names else -1] += row["num"]
    figure, (axes,) = sheet(title, height_in=0.27 * len(told) + 0.75 + 0.17 * ((len(corpora) + 2) // 3))
    start = np.zeros(len(told), np.int64)
    others = [("others", GREY, "")] if parts[:, -1].any() else []
    bars = [(names[one], look[one].colour, look[one].hatch) for one in corpora] + others
    for column, (label, colour, hatch) in enumerate(bars):
        how: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0, "height": 0.65}
        axes.barh(range(len(told)), parts[:, column], left=start, label=f" {label}", **how)
        start = start + parts[:, column]
    for place, number in enumerate(start.tolist()):
        axes.text(number, place, f" {number:,}", fontsize=SMALL, va="center", color=INK)
    axes.set_yticks(range(len(told)), told)
    axes.set(xlim=(0, 1.15 * max(start)), ylim=(len(told) - 0.4, -0.6))
    counting(axes, "x")
    axes.set_xlabel("dropped utterances", fontsize=USUAL)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=3, fontsize=USUAL, frameon=False)
    return figure
