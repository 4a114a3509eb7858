"""What rules of cleaning found of what was planted, as JSON and in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.planting.account import Account
from benchmarks.planting.figures import Figure, Figures, draws, false_merges, figures, summed

RATES = ("precision", "recall", "f1", "lost")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One preset at one share of faults, over all seeds."""

    preset: str
    share: str  # as asked for; empty where there is one planting
    num_plantings: int
    faults: dict[str, Figures]
    groups: dict[tuple[str, str], Figures]
    false_merges: tuple[int, int, Figure]  # so many, of so many pairs of two people


def outcome(preset: str, share: str, accounts: Sequence[Account], *, rng: np.random.Generator) -> Outcome:
    """The figures of several plantings into one catalog, as one; people are drawn alike for all of them."""
    num_labels = len(next(iter(accounts[0].faults.values())).planted)
    drawn = draws(num_labels, rng)
    groups = sorted({group for one in accounts for group in one.groups})
    return Outcome(
        preset=preset,
        share=share,
        num_plantings=len(accounts),
        faults={
            str(fault): figures(summed([one.faults[fault] for one in accounts if fault in one.faults]), drawn)
            for fault in accounts[0].faults
        },
        groups={
            group: figures(summed([one.groups[group] for one in accounts if group in one.groups]), drawn)
            for group in groups
        },
        false_merges=false_merges([one.merges for one in accounts], drawn),
    )


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Plain values for JSON: what is not defined is null."""
    return [
        {
            "preset": one.preset,
            "share": one.share,
            "num_plantings": one.num_plantings,
            "faults": {name: _plain(told) for name, told in one.faults.items()},
            "groups": [{"by": by, "value": value, **_plain(told)} for (by, value), told in one.groups.items()],
            "false_merges": dict(
                zip(("num", "pairs", "rate"), (*one.false_merges[:2], _of(one.false_merges[2])), strict=True)
            ),
        }
        for one in outcomes
    ]


def _plain(told: Figures) -> dict[str, Any]:
    counts = {name: getattr(told, name) for name in ("unit", "planted", "found", "alarms", "good")}
    rates = {name: _of(getattr(told, name)) for name in RATES}
    beside = {name: {"num": num, "of": total, "rate": _of(rate)} for name, (num, total, rate) in told.beside.items()}
    return counts | rates | beside


def _of(figure: Figure) -> dict[str, float | None]:
    return {name: _number(getattr(figure, name)) for name in ("value", "low", "high")}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Tables in Markdown, a row a preset, so that presets stand beneath each other."""
    faults = list(dict.fromkeys(fault for one in outcomes for fault in one.faults))
    lines = []
    for fault in faults:
        told = [(one, one.faults[fault]) for one in outcomes if fault in one.faults]
        beside = list(told[0][1].beside)
        heads = ["preset", "share", f"found ({told[0][1].unit}s)", "false alarms", "precision", "recall", "F1", *beside]
        rows = [
            [
                *_named(one, figure),
                *(_shown(getattr(figure, name)) for name in ("precision", "recall", "f1")),
                *(f"{num}/{total} {_shown(rate)}" for num, total, rate in (figure.beside[name] for name in beside)),
            ]
            for one, figure in told
        ]
        lines += [f"## {fault}", "", *_table(heads, rows), ""]
    merged = [
        [one.preset, one.share, f"{num}/{total}", _shown(rate)]
        for one in outcomes
        for num, total, rate in [one.false_merges]
    ]
    lines += ["## Two people merged", "", *_table(["preset", "share", "pairs", "rate"], merged), ""]
    lost = [
        [by, value, one.preset, one.share, f"{told.alarms}/{told.good}", _shown(told.lost), _shown(told.recall)]
        for group in sorted({group for one in outcomes for group in one.groups})
        for one in outcomes
        if group in one.groups
        for (by, value), told in [(group, one.groups[group])]
    ]
    if lost:
        heads = ["by", "of", "preset", "share", "good utterances lost", "rate", "recall"]
        lines += ["## Who loses good utterances", "", *_table(heads, lost), ""]
    return "\n".join([*lines, "In brackets: 95 % intervals, people drawn anew. A dash: not defined."])


def _named(one: Outcome, figure: Figures) -> list[str]:
    return [one.preset, one.share, f"{figure.found}/{figure.planted}", f"{figure.alarms}/{figure.good}"]


def _shown(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "-"
    if math.isnan(figure.low):
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(heads), line(["-" * width for width in widths]), *(line(row) for row in rows)]
