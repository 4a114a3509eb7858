"""LEAKS in words, for the command line and for cards: what leaks that should not first."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from benchmarks.leakage import (
    CHECKS,
    NAMED,
    NEAR_DUPLICATE,
    PERSON,
    RECORDING,
    SAMPLES,
    SESSION,
    SPEAKER,
    TRANSCRIPT,
    VOICE,
)
from curate.explain import counted

IN_WORDS = {
    PERSON: "people",
    SPEAKER: "speaker labels",
    SESSION: "sessions",
    RECORDING: "recordings",
    SAMPLES: "the same samples",
    NEAR_DUPLICATE: "recordings, changed or cut",
    TRANSCRIPT: "transcripts",
    VOICE: "two people who sound alike",
    NAMED: "what the list names",
}
LEAK, ALLOWED, CLEAN, NOT_KNOWN = "LEAK", "allowed", "clean", "not known"
WORST_FIRST = (LEAK, NOT_KNOWN, ALLOWED, CLEAN)
HEAD = ["", "what", "between", "compared", "shared", "utterances", "not known of"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """One row of LEAKS in words."""

    status: str
    what: str
    between: str
    compared: str
    shared: int
    touched: str
    unknown: str
    examples: list[str]

    @property
    def cells(self) -> tuple[str | int, ...]:
        """Under HEAD."""
        return (self.status, self.what, self.between, self.compared, self.shared, self.touched, self.unknown)


def told(leaks: pa.Table) -> list[Told]:
    """Each row in words: what leaks that should not first, then what nothing is known of, then what is allowed."""
    rows = sorted(leaks.to_pylist(), key=_worst_first)
    return [_in_words(row) for row in rows]


def conclusion(leaks: pa.Table) -> str:
    """Whether anything leaks that should not, and what cannot be told, in one line."""
    found = told(leaks)
    if not found:
        return "Nothing was compared: there is one split, and no list."
    leaking, unknown, in_part = (
        "; ".join(f"{one.what} ({one.between})" for one in some)
        for some in (
            [one for one in found if one.status == LEAK],
            [one for one in found if one.status == NOT_KNOWN],
            [one for one in found if one.status == CLEAN and one.unknown],
        )
    )
    said = f"Something leaks that should not: {leaking}." if leaking else "Nothing leaks that should not."
    said += f" Whether these leak cannot be told, since nothing is known of them: {unknown}." if unknown else ""
    return said + (f" Of these only some utterances could be compared: {in_part}." if in_part else "")


def does_leak(leaks: pa.Table) -> bool:
    """Whether anything is shared that the protocol does not allow."""
    return any(status(row) == LEAK for row in leaks.to_pylist())


def status(row: dict[str, Any]) -> str:
    """Whether a row of LEAKS is a leak: one of `WORST_FIRST`."""
    if not row["num_side"] or not row["num_other"]:
        return NOT_KNOWN
    if not row["num_shared"]:
        return CLEAN
    return ALLOWED if row["is_allowed"] else LEAK


def _worst_first(row: dict[str, Any]) -> tuple[int, int, int, str, str]:
    return (
        WORST_FIRST.index(status(row)),
        -row["num_utterances"],
        CHECKS.index(row["check"]),
        row["side"],
        row["other_side"],
    )


def _in_words(row: dict[str, Any]) -> Told:
    side, other, num = row["side"], row["other_side"], row["num_utterances"]
    touched = f"{num} of {side}"
    if row["num_other_utterances"] is not None:
        touched += f", {row['num_other_utterances']} of {other}"
    return Told(
        status=status(row),
        what=IN_WORDS[row["check"]],
        between=f"{side} and {other}",
        compared=f"{row['num_side']} with {row['num_other']}",
        shared=row["num_shared"],
        touched=touched if row["num_shared"] else "",
        unknown=counted(row["num_unknown"], "utterance") if row["num_unknown"] else "",
        examples=(row["examples"] or "").splitlines(),
    )
