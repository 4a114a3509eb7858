"""What an audit of circularity found, as JSON and in words."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.circularity import AUDITED, CONDITIONS, JUDGE, METRICS, SYSTEMS, UNCLEANED, Circularity
from benchmarks.intervals import MIN_PEOPLE, Estimate

UNITS = {"eer": ("EER in %", 100, 2), "min_dcf": ("minDCF", 1, 4)}  # heading, factor, places


def as_json(found: Circularity) -> dict[str, Any]:
    """Plain values; what is not defined is null."""
    plain: dict[str, Any] = _without_nan(asdict(found))
    return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def as_text(found: Circularity, names: Mapping[str, str]) -> str:
    """A table for each metric, and in words what they say; `names` has one for each system."""
    tables = [line for metric in METRICS for line in [*_aligned(_rows(found, names, metric)), ""]]
    return "\n".join([*tables, "In brackets: 95 % intervals, people drawn anew.", "", *in_words(found, names)])


def _rows(found: Circularity, names: Mapping[str, str], metric: str) -> list[list[str]]:
    head, factor, places = UNITS[metric]

    def shown(one: Estimate, sign: str = "") -> str:
        return _shown(one, factor, f"{sign}.{places}f")

    def told(name: str, by: str) -> list[str]:
        one = found.conditions[name]
        figures = [shown(one.figures[system][metric]) for system in SYSTEMS]
        return [by, str(one.num_target), str(one.num_nontarget), *figures]

    def at_random(values: list[float]) -> str:
        if any(map(math.isnan, values)):
            return "-"
        low, mean, high = (f"{factor * one:.{places}f}" for one in (min(values), float(np.mean(values)), max(values)))
        return f"{mean} ({low} .. {high})"

    def change(by: str) -> list[str]:
        figures = [shown(found.changes[by][system][metric], "+") for system in SYSTEMS]
        return [f"change by cleaning of {names[by]}", "", "", *figures]

    def taste(by: str) -> list[str]:
        own = shown(found.own_taste[by][metric], "+")
        return ["  of it its own taste", "", "", *(own if system == by else "" for system in SYSTEMS)]

    controls = [at_random(found.controls[system][metric]) for system in SYSTEMS]
    num = len(found.controls[AUDITED][metric])
    cleaned = {
        name: f"cleaned by {names[system]}" for name, system in zip(CONDITIONS[1:], (AUDITED, JUDGE), strict=True)
    }
    return [
        [head, "targets", "nontargets", *(f"scored by {names[system]}" for system in SYSTEMS)],
        told(UNCLEANED, "before cleaning"),
        told(CONDITIONS[1], cleaned[CONDITIONS[1]]),
        [f"as many dropped at random, {num} times", "", "", *controls],
        told(CONDITIONS[2], cleaned[CONDITIONS[2]]),
        *(row for by in SYSTEMS for row in (change(by), taste(by))),
    ]


def _shown(one: Estimate, factor: float, form: str) -> str:
    if math.isnan(one.value):
        return "-"
    if math.isnan(one.low):
        return f"{factor * one.value:{form}}"
    return f"{factor * one.value:{form}} [{factor * one.low:{form}}, {factor * one.high:{form}}]"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def in_words(found: Circularity, names: Mapping[str, str]) -> list[str]:
    """What was taken, whether the benchmark flatters its cleaner, whether the judge agrees, and how the two agree."""
    told = (_what_was_taken, _does_it_flatter, _what_the_judge_gains, _how_they_agree)
    return list(filter(None, (say(found, names) for say in told)))


def _what_was_taken(found: Circularity, names: Mapping[str, str]) -> str:
    taken = found.taken[AUDITED]
    relabelled = f" and gives {taken.relabelled} another label" if taken.relabelled else ""
    if not taken.dropped and not taken.relabelled:
        return f"The cleaning of {names[AUDITED]} takes none of the {found.num_utterances} utterances of the test away."
    change = found.changes[AUDITED]
    return (
        f"The cleaning of {names[AUDITED]} takes {taken.dropped} of {found.num_utterances} utterances of the test away"
        f"{relabelled}. That moves its own EER by {_points(change[AUDITED]['eer'])} points, and the EER of the judge, "
        f"{names[JUDGE]}, by {_points(change[JUDGE]['eer'])}."
    )


def _does_it_flatter(found: Circularity, names: Mapping[str, str]) -> str:
    """Told from the interval of its own taste in EER."""
    taste, taken = found.own_taste[AUDITED]["eer"], found.taken[AUDITED]
    if not taken.dropped and not taken.relabelled:
        return "So it flatters nobody."
    if not found.agreement.audited_only:
        return f"Circularity: none. All that it takes, the cleaning of {names[JUDGE]} takes, too."
    if found.num_people < MIN_PEOPLE:
        return f"Circularity: none can be told from {found.num_people} people; it takes {MIN_PEOPLE}."
    if math.isnan(taste.low):
        return "Circularity: none can be told: EER is not defined before and after, or not in most draws of the people."
    if taste.high < 0:
        return (
            f"Circularity: yes. {_points(taste)} points are the taste of {names[AUDITED]}, which other ears do not "
            "share: by so much the benchmark flatters it. Publish the judge's figures beside its own."
        )
    if taste.low > 0:
        return f"Circularity: none. By what it alone takes, the judge gains more than it, by {_points(taste)} points."
    return (
        f"Circularity: none can be told from these {found.num_people} people. Its own taste, "
        f"{_points(taste)} points, may be none; a fall of {-100 * taste.low:.2f} points may be, too."
    )


def _what_the_judge_gains(found: Circularity, names: Mapping[str, str]) -> str:
    change, taken = found.changes[AUDITED][JUDGE]["eer"], found.taken[AUDITED]
    if (not taken.dropped and not taken.relabelled) or math.isnan(change.low):
        return ""
    if change.high < 0:
        return f"{names[JUDGE]} finds the cleaned test easier, too: the cleaning also took what both hear as wrong."
    if change.low > 0:
        return f"{names[JUDGE]} finds the cleaned test harder: it does not hear what was taken as wrong."
    return f"Whether the cleaned test is easier for {names[JUDGE]} cannot be told."


def _how_they_agree(found: Circularity, names: Mapping[str, str]) -> str:
    one = found.agreement
    kappa = "not defined" if math.isnan(one.kappa) else f"{one.kappa:.2f}"
    return (
        f"Of these utterances {one.both} are taken by both cleanings, {one.audited_only} by that of {names[AUDITED]} "
        f"alone, {one.judge_only} by that of {names[JUDGE]} alone; Cohen's kappa {kappa}."
    )


def _points(one: Estimate) -> str:
    return _shown(one, 100, "+.2f")
