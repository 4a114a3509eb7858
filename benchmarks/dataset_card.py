"""The card of a published benchmark, and what Croissant says in the same words. All counts come from the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.leakage_report import HEAD, conclusion, told
from benchmarks.protocol import Protocol, in_words
from benchmarks.protocol_card import RULES, citations, conventions, list_counts, remarks_of, rules_applied
from benchmarks.protocol_card import split_counts as counts_of
from curate.decisions import REVIEW, as_decided, counts, new_labels, relabelled, settled
from curate.explain import counted
from curate.export.licences import PASSED_ON, is_non_commercial, terms_of
from curate.publish import filled, hours, said, shares, shares_of_ages
from curate.reasons import MEANING, Subject, Verdict
from curate.speakers import speaker_table

NOT_STATED = "not stated"
ATTRIBUTES = ("sex", "age_group", "language", "accent", "nationality", "corpus")
VALUES_SHOWN = 12  # of each attribute
RARE = 0.5  # of an equal share


@dataclass(frozen=True, kw_only=True)
class Said:
    """What no table knows: its publisher says it."""

    title: str
    description: str
    makers: tuple[str, ...]
    version: str
    published: str  # the day, as ISO 8601 has it
    has_audio: bool
    insisted: tuple[str, ...]  # licences that do not allow audio to be passed on, which is


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the catalog knows. `used` are the rows that go out: utterances with identity_id, split, age_group, terms."""

    benchmark: str
    used: pa.Table
    corpora: pa.Table
    utterances: pa.Table  # all, as their corpora have them
    decisions: pa.Table
    identities: pa.Table
    age_labels: pa.Table
    trials: pa.Table
    models: pa.Table
    removals: pa.Table
    leaks: pa.Table | None  # none: nobody looked
    results: pa.Table  # of whole lists
    class_results: pa.Table
    protocol: Protocol | None
    extractors: Sequence[str]  # by which voices were compared
    settings: Sequence[tuple[str, str, str]]  # of the steps that drew it, where no protocol did
    planted: Sequence[tuple[str, int, int]]  # fault, planted, found


def account(tables: Tables, saying: Said) -> dict[str, Any]:
    """All that the card's template asks for, but for what is known only when the files are written."""
    used, stands = tables.used, settled(tables.decisions)
    labels = speaker_table(tables.utterances)
    left = as_decided(tables.utterances, tables.decisions, labels)
    of_all = relabelled(tables.utterances, tables.decisions, labels)
    by_reviewers = stands.filter(pc.equal(stands["step"], REVIEW))
    people = tables.identities.filter(
        pc.is_in(tables.identities["speaker_id"], value_set=left["speaker_id"].combine_chunks())
    )
    of_person = people.group_by("identity_id").aggregate([("speaker_id", "count")])["speaker_id_count"]
    licences = _licences(used)
    protocol = tables.protocol
    represented, not_shown = _represented(used)
    values: dict[str, Any] = {
        "name": tables.benchmark,
        "title": saying.title,
        "description": saying.description,
        "makers": saying.makers,
        "version": saying.version,
        "published": saying.published,
        "has_audio": saying.has_audio,
        "insisted": saying.insisted,
        "num_utterances": len(used),
        "num_people": len(used["identity_id"].unique()),
        "hours": hours(used),
        "has_models": bool(len(tables.models)),
        "sources": [_source(row, tables, left) for row in tables.corpora.sort_by("corpus").to_pylist()],
        "licences": licences,
        "mixed": _by_split(licences, lambda row: True, least=2),
        "non_commercial": _by_split(licences, lambda row: is_non_commercial(row["licence"])),
        "not_passed_on": _by_split(licences, lambda row: row["terms"] not in PASSED_ON),
        "num_all": len(tables.utterances),
        "num_dropped": len(tables.utterances) - len(left),
        "num_moved": _among(left["utterance_id"], new_labels(tables.decisions)["utterance_id"]),
        "num_merged": pc.sum(pc.greater(of_person, 1)).as_py() or 0,
        "num_reviewed": len(by_reviewers),
        "num_reviewers": len(by_reviewers["decided_by"].unique()),
        "extractors": tables.extractors,
        "decisions": counts(stands),
        "meaning": {str(reason): text for reason, text in MEANING.items()},
        "removals": rules_applied(tables.removals),
        "remarks": remarks_of(tables.removals),
        "planted": tables.planted,
        "splits": [counts_of(name, used) for name in said(used, "split")],
        "lists": _lists(tables),
        "rules": "" if protocol is None else _rules(protocol),
        "paper": "" if protocol is None else protocol.paper,
        "differences": () if protocol is None else [" ".join(one.split()) for one in protocol.differences],
        "settings": tables.settings,
        "leakage": "Nobody looked for what they share." if tables.leaks is None else conclusion(tables.leaks),
        "leaks": [] if tables.leaks is None else [one.cells for one in told(tables.leaks)],
        "leaks_head": HEAD,
        "results": tables.results.sort_by(
            [("list", "ascending"), ("metric", "ascending"), ("system", "ascending")]
        ).to_pylist(),
        "class_results": tables.class_results.to_pylist(),
        "conventions": conventions(tables.results),
        "represented": represented,
        "not_shown": not_shown,
        "shares": [
            *shares(of_all, left, "corpus"),
            *shares(of_all, left, "sex"),
            *shares_of_ages(tables.age_labels, left),
        ],
        "citations": citations(tables.corpora, used),
    }
    values |= {"biometric": _biometric(values), "limits": _limits(tables, values), "cite_as": _cite_as(values)}
    return values


def dataset_card(values: Mapping[str, Any]) -> str:
    """The README.md of an `account`, with the rest of what the template asks for."""
    return filled("dataset.md.jinja", dict(values))


# ------------------------------------------------------------------------------------------------ sources and licences


def _source(row: dict[str, Any], tables: Tables, left: pa.Table) -> dict[str, Any]:
    of_all, kept, mine = (
        rows.filter(pc.equal(rows["corpus"], row["corpus"])) for rows in (tables.utterances, left, tables.used)
    )
    return row | {
        "num_utterances": len(of_all),
        "num_kept": len(kept),
        "num_here": len(mine),
        "hours_here": hours(mine),
        "num_people_here": len(mine["identity_id"].unique()),
        "licences": said(mine, "row_licence") or [row["licence"] or NOT_STATED],
    }


def _licences(used: pa.Table) -> list[dict[str, Any]]:
    """A row a split and licence."""
    found = used.group_by(["split", "row_licence"]).aggregate([("utterance_id", "count"), ("corpus", "distinct")])
    rows = [
        {
            "split": row["split"],
            "licence": row["row_licence"] or NOT_STATED,
            "terms": terms_of(row["row_licence"]),
            "num_utterances": row["utterance_id_count"],
            "corpora": sorted(row["corpus_distinct"]),
        }
        for row in found.to_pylist()
    ]
    return sorted(rows, key=lambda row: (row["split"], row["licence"]))


def _by_split(licences: list[dict[str, Any]], asked: Any, *, least: int = 1) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for row in filter(asked, licences):
        found.setdefault(row["split"], []).append(row["licence"])
    return [(split, names) for split, names in found.items() if len(names) >= least]


# ------------------------------------------------------------------------------------------------ splits and protocol


def _lists(tables: Tables) -> list[dict[str, Any]]:
    names = said(tables.trials, "list")
    return [list_counts(name, "", tables.trials, tables.models, tables.used) for name in names]


def _rules(protocol: Protocol) -> str:
    return "\n\n".join(block for block in in_words(protocol).split("\n\n") if block.startswith(RULES))


def _among(ids: pa.ChunkedArray, asked: pa.Array) -> int:
    return int(pc.sum(pc.is_in(ids, value_set=asked)).as_py() or 0)


# ------------------------------------------------------------------------------------------------ who is in it


def _represented(used: pa.Table) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    """How much there is of each value, the most frequent first, and of which attributes how many values are left out.

    Of an attribute that nothing is told of there is one row, that says so.
    """
    rows, left_out = [], []
    for attribute in ATTRIBUTES:
        of_values = _of_values(used, attribute)
        known = [row for row in of_values if row["share"] is not None]
        rows += [*known[:VALUES_SHOWN], *(row for row in of_values if row["share"] is None)]
        if len(known) > VALUES_SHOWN:
            left_out.append((attribute.replace("_", " "), len(known) - VALUES_SHOWN))
    return rows, left_out


def _of_values(used: pa.Table, attribute: str) -> list[dict[str, Any]]:
    found = used.group_by(attribute).aggregate(
        [("identity_id", "count_distinct"), ("utterance_id", "count"), ("duration_s", "sum")]
    )
    by_value = {row[attribute]: row for row in found.to_pylist()}
    if attribute == "sex":  # of which both are looked for
        by_value = {sex: by_value.get(sex, {}) for sex in ("female", "male")} | by_value
    num_told = len(used.filter(pc.is_valid(used[attribute]))["identity_id"].unique())
    num_values = len(by_value.keys() - {None})
    rows = []
    for value, row in by_value.items():
        num = row.get("identity_id_count_distinct", 0)
        share = None if value is None or not num_told else num / num_told
        if not num and share is None:
            continue
        rows.append(
            {
                "attribute": attribute.replace("_", " "),
                "value": NOT_STATED if value is None else value,
                "num_people": num,
                "num_utterances": row.get("utterance_id_count", 0),
                "hours": (row.get("duration_s_sum") or 0.0) / 3600,
                "share": share,
                "is_rare": share is not None and num_values > 1 and share < RARE / num_values,
            }
        )
    return sorted(rows, key=lambda row: (-row["num_people"], row["value"]))


def biases(values: Mapping[str, Any]) -> list[str]:
    """Who is rare, and of what nothing is told, in sentences with counts."""
    lines = [
        f"{row['attribute']} {row['value'][:80]}: {counted(row['num_people'], 'person', 'people')}, "
        f"{100 * row['share']:.1f} % of those of whom it is told"
        for row in values["represented"]
        if row["is_rare"]
    ]
    lines += [
        f"{row['attribute']} is not told of {counted(row['num_people'], 'person', 'people')} "
        f"({counted(row['num_utterances'], 'utterance')})"
        for row in values["represented"]
        if row["share"] is None
    ]
    return lines or ["No value of sex, age group, language, accent, nationality or corpus is rare among its people."]


def _biometric(values: Mapping[str, Any]) -> list[str]:
    return [
        f"It holds or describes the voices of {counted(values['num_people'], 'person', 'people')}. A voice is "
        "biometric, and personal data: who has a second recording can find out who speaks.",
        "Labels were compared across corpora to find out which are one person; no name was looked up for that. "
        "Do not try to find out who somebody is.",
        "How the speakers consented, and to what, is for each corpus to say; the catalog does not know. A licence is "
        "no consent.",
        "Sex and ages are as corpora state them; a transcript may say more about a speaker than the speaker meant to.",
        "Somebody who wants to be left out writes to the makers of the corpus, and to whoever published this.",
    ]


def _limits(tables: Tables, values: Mapping[str, Any]) -> list[str]:
    used = tables.used
    no_session = used["session_id"].null_count
    no_age = used["age_group"].null_count
    limits = [
        "Verdicts are of rules that hold voices against each other: they miss what does not sound wrong."
        if not values["num_reviewed"]
        else f"Only {counted(values['num_reviewed'], 'verdict')} are of people who listened; all others are of rules.",
        f"It is of {counted(values['num_people'], 'person', 'people')}: what is measured on it holds for others "
        "only as far as they are like these.",
        "It is not made to identify or watch people, and nothing about how well a system would do so follows from it.",
    ]
    if no_session:
        limits.append(
            f"No sitting is known of {no_session} of {counted(len(used), 'utterance')}; each counts as its own."
        )
    if no_age:
        limits.append(f"No age group is known of {no_age} of {counted(len(used), 'utterance')}.")
    if not values["planted"]:
        limits.append("How many wrong labels are left is not known.")
    return limits


def _cite_as(values: Mapping[str, Any]) -> str:
    """A BibTeX entry; what would end it early is left out of its words."""
    year = values["published"][:4]
    fields = {
        "title": f"{values['title']}, version {values['version']}",
        "author": " and ".join(values["makers"]) or NOT_STATED,
        "year": year,
        "note": "Made with Voxcurate",
    }
    key = "".join(one for one in values["name"] if one.isascii() and one.isalnum()) or "dataset"
    lines = [f"  {name} = {{{_in_bibtex(text)}}}" for name, text in fields.items()]
    return f"@misc{{{key}{year},\n" + ",\n".join(lines) + "\n}"


def _in_bibtex(text: str) -> str:
    return " ".join("".join(" " if one in "{}\\`" or not one.isprintable() else one for one in text).split())


def steps(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each step of the ledger and of the protocol, with what it decided in counts."""
    found: dict[str, list[str]] = {}
    for step, subject, verdict, reason, count in values["decisions"]:
        if (subject, verdict) != (Subject.UTTERANCE, Verdict.KEEP) or reason != "ok":
            found.setdefault(step, []).append(f"{verdict} {subject} ({reason}): {count}")
        else:
            found.setdefault(step, []).insert(0, f"kept: {count}")
    lines = [(step, "; ".join(told)) for step, told in found.items()]
    for row in values["removals"]:
        num = "uncounted" if row["num_removed"] is None else row["num_removed"]
        lines.append((f"protocol: {row['stage']}", f"{row['part']}: {row['rule']}: {num} taken away"))
    counted_splits = "; ".join(f"{one['name']} {one['num_utterances']}" for one in values["splits"])
    return [*lines, ("split", f"utterances: {counted_splits}")]
