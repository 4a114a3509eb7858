"""The data card: what the data set holds, what was done to it with counts at every step, and on what terms."""

import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc

from curate.config import Pipeline
from curate.decisions import REVIEW, as_decided, counts, new_labels, relabelled, settled
from curate.explain import counted
from curate.hearing import Hearing, Transformers, name_of
from curate.reasons import MEANING, Verdict
from curate.speakers import ABOUT_A_LABEL, speaker_table

OF_UTTERANCES = ["utterance_id", "session_id", "duration_s", *ABOUT_A_LABEL]  # columns that a card tells of
OF_DECISIONS = ["subject", "subject_id", "other_id", "verdict", "reason", "score", "decided_by", "step"]
OF_AGES, OF_SPLITS = ["scheme", "utterance_id", "age_group", "unlabelled_because"], ["split", "identity_id"]
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_TURNING = re.compile("[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKUP = re.compile(r"[\\`*\[\]<>|~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")  # `_` within a word is itself
RATES = ("eer", "precision", "recall", "f1", "wer", "cer")


def card(
    pipeline: Pipeline,
    *,
    corpora: pa.Table,
    utterances: pa.Table,
    decisions: pa.Table,
    identities: pa.Table,
    calibrations: pa.Table,
    age_labels: pa.Table,
    splits: pa.Table | None = None,
    trials: pa.Table | None = None,
    results: pa.Table | None = None,
    leakage: tuple[str, Sequence[tuple[str | int, ...]]] | None = None,
) -> str:
    """A README.md with the front matter that the Hugging Face hub reads. Everything counted comes from the tables.

    Those of the benchmark are there where the pipeline has one. `leakage` is what its splits share: whether anything
    leaks, and rows of how it is, what it is, between what, out of how many, how many, of which utterances, and how many
    were not compared.
    """
    stands = settled(decisions)
    by_reviewers = stands.filter(pc.equal(stands["step"], REVIEW))
    labels = speaker_table(utterances)
    left, as_given = as_decided(utterances, decisions, labels), relabelled(utterances, decisions, labels)
    moved = left.filter(pc.is_in(left["utterance_id"], value_set=new_labels(decisions)["utterance_id"]))
    people = identities.filter(pc.is_in(identities["speaker_id"], value_set=left["speaker_id"].combine_chunks()))
    values: dict[str, Any] = {
        "pipeline": pipeline,
        "title": pipeline.card.title or pipeline.name,
        "licence": pipeline.card.licence,
        "languages": said(utterances, "language"),
        "size": next((name for limit, name in SIZES if len(left) < limit), "10M<n<100M"),
        "heard": _heard(pipeline.embedding),
        "corpora": [_corpus(row, utterances, left, moved) for row in corpora.to_pylist()],
        "num_utterances": len(utterances),
        "num_kept": len(left),
        "num_moved": len(moved),
        "hours_kept": hours(left),
        "decisions": counts(stands),
        "reasons": _totals(stands),
        "num_reviewed": len(by_reviewers),
        "num_reviewers": len(by_reviewers["decided_by"].unique()),
        "meaning": {str(reason): text for reason, text in MEANING.items()},
        "num_speakers": len(people),
        "num_identities": len(people["identity_id"].unique()),
        "calibrations": calibrations.to_pylist(),
        "merged_groups": _merged(identities, decisions),
        "shares": shares(as_given, left, "sex") + shares_of_ages(age_labels, left),
        "ages": _counted(age_labels, ["scheme", "age_group", "unlabelled_because"]),
    }
    if splits is not None and trials is not None and results is not None:
        num_targets = len(trials.filter(trials["is_target"]))
        values |= {
            "num_targets_without_session": _targets_with(trials, left.filter(pc.is_null(left["session_id"]))),
            "num_targets_moved": _targets_with(trials, moved),
            "splits": [_split(splits, name) for name in ("train", "test")],
            "num_targets": num_targets,
            "num_nontargets": len(trials) - num_targets,
            "results": results.to_pylist(),
            "leakage": leakage,
        }
    return filled("benchmark.md.jinja", values)


def filled(template: str, values: dict[str, Any]) -> str:
    """One of `data_cards` with these values; a name that it asks for and that is not among them is an error."""
    text = resources.files("data_cards").joinpath(template).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["cell"] = cell
    environment.filters["counted"] = counted
    environment.filters["figure"] = figure
    environment.filters["short"] = short
    environment.filters["yaml"] = _yaml
    return environment.from_string(text).render(values)


def _heard(hearing: Hearing) -> str:
    """Which encoder listened, and to what of an utterance. Not where it came from: that may be a private folder."""
    layer = f", layer {hearing.layer}" if isinstance(hearing, Transformers) else ""
    hop_s = hearing.part_s / 2 if hearing.hop_s is None else hearing.hop_s
    part = {
        "whole": "the whole of",
        "first": f"the first {hearing.part_s:g} s of",
        "windows": f"windows of {hearing.part_s:g} s, one every {hop_s:g} s, of",
    }[hearing.part]
    heard = {
        "all": "each utterance, without speech detection",
        "energy": "the speech in each utterance, detected by its energy",
        "silero": "the speech in each utterance, detected by silero-vad",
    }[hearing.speech]
    return f"`{name_of(hearing)}` (extractor `{hearing.extractor}`{layer}), which heard {part} {heard}"


def figure(value: float, metric: str) -> str:
    """A result as it is printed: a rate in per cent, a cost as it is."""
    return f"{100 * value:.2f} %" if metric.split()[0] in RATES else f"{value:.4f}"


def cell(value: object) -> str:
    """Text that stays text, within its line and its cell of a Markdown table; nothing turns the order of letters."""
    plain = _TURNING.sub(" ", str(value))
    return _MARKUP.sub(r"\\\g<0>", " ".join(plain.split()))


def short(value: object, most: int = 120) -> str:
    """What somebody wrote, cut where it goes on and on."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[:most] + "..."


def _yaml(value: str) -> str:
    """A double-quoted YAML scalar, whatever is in it: YAML takes no control characters as they are."""
    escaped = " ".join(value.split()).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def said(rows: pa.Table, column: str) -> list[str]:
    """What the rows say in a column, each once and in order."""
    return sorted(value for value in rows[column].unique().to_pylist() if value)


def hours(rows: pa.Table) -> float:
    """How long they last together."""
    return float(pc.sum(rows["duration_s"]).as_py() or 0) / 3600


def _corpus(row: dict[str, Any], utterances: pa.Table, left: pa.Table, moved: pa.Table) -> dict[str, Any]:
    mine = utterances.filter(pc.equal(utterances["corpus"], row["corpus"]))
    kept_of_mine = left.filter(pc.equal(left["corpus"], row["corpus"]))
    return row | {
        "num_utterances": len(mine),
        "num_kept": len(kept_of_mine),
        "num_moved": pc.sum(pc.equal(moved["corpus"], row["corpus"])).as_py() or 0,
        "hours_kept": hours(kept_of_mine),
        "num_speakers": len(mine["speaker_id"].unique()),
    }


def _counted(rows: pa.Table, columns: list[str]) -> list[dict[str, Any]]:
    table = rows.group_by(columns).aggregate([("utterance_id", "count")])
    counted: list[dict[str, Any]] = table.sort_by([(column, "ascending") for column in columns]).to_pylist()
    return counted


def _totals(stands: pa.Table) -> list[tuple[str, int]]:
    """What `select reason, count(*) from settled group by 1` gives."""
    totals = stands.group_by("reason").aggregate([("subject_id", "count")]).sort_by("reason")
    return list(zip(totals["reason"].to_pylist(), totals["subject_id_count"].to_pylist(), strict=True))


def shares(utterances: pa.Table, left: pa.Table, column: str) -> list[tuple[str, str, int, int]]:
    """`(column, value, utterances, kept)` for each value: does one of them lose more?"""
    total, remaining = (
        Counter({one["values"]: one["counts"] for one in rows[column].value_counts().to_pylist()})
        for rows in (utterances, left)
    )
    return [(column, value or "unknown", total[value], remaining[value]) for value in sorted(total, key=_unknown_last)]


def _unknown_last(value: str | None) -> tuple[bool, str]:
    return value is None, value or ""


def shares_of_ages(age_labels: pa.Table, left: pa.Table) -> list[tuple[str, str, int, int]]:
    """The same for the age groups of the first scheme."""
    if not len(age_labels):
        return []
    told = age_labels.select(["utterance_id", "age_group"])
    labels = told.filter(pc.equal(age_labels["scheme"], age_labels["scheme"][0]))
    remaining = labels.filter(pc.is_in(labels["utterance_id"], value_set=left["utterance_id"].combine_chunks()))
    return shares(labels, remaining, "age_group")


def _targets_with(trials: pa.Table, utterances: pa.Table) -> int:
    """Target trials of which a side is among these."""
    targets, asked = trials.filter(trials["is_target"]), utterances["utterance_id"].combine_chunks()
    sides = [pc.is_in(targets[column], value_set=asked) for column in ("enrol_id", "test_id")]
    return int(pc.sum(pc.or_(*sides)).as_py() or 0)


def _merged(identities: pa.Table, decisions: pa.Table) -> list[tuple[list[str], float | None]]:
    """The labels of each person who has several, with the least similarity among them where a rule measured it."""
    person = dict(zip(*(identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))
    groups: dict[str, list[str]] = {}
    for speaker in sorted(person):
        groups.setdefault(person[speaker], []).append(speaker)
    measured = decisions.filter((pc.field("verdict") == Verdict.MERGE) & pc.field("score").is_valid())
    least: dict[str, float] = {}
    for speaker, score in zip(*(measured[c].to_pylist() for c in ("subject_id", "score")), strict=True):
        identity = person[speaker]
        least[identity] = min(score, least.get(identity, score))
    return [(members, least.get(identity)) for identity, members in sorted(groups.items()) if len(members) > 1]


def _split(splits: pa.Table, name: str) -> dict[str, Any]:
    rows = splits.filter(pc.equal(splits["split"], name))
    return {"name": name, "num_utterances": len(rows), "num_people": len(rows["identity_id"].unique())}
