"""Hold what curation found against the faults that were planted.

A planted fault is found when its utterance is dropped, its speaker is dropped, or its two labels are one identity. What
was dropped or merged although nothing was wrong with it is a false alarm.
"""

from dataclasses import dataclass

import pyarrow as pa

from curate.decisions import dropped
from curate.reasons import Subject


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One row of the truth."""

    fault: str
    subject: str  # utterance | speaker | pair
    subject_id: str
    other_id: str = ""  # of a pair


@dataclass(frozen=True, kw_only=True)
class Account:
    """One kind of fault: what was planted, what was found of it, what was missed."""

    fault: str
    found: tuple[Planted, ...]
    missed: tuple[Planted, ...]


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """What was done without cause."""

    utterances: tuple[str, ...]  # dropped
    speakers: tuple[str, ...]  # dropped
    pairs: tuple[tuple[str, str], ...]  # merged


def account(planted: list[Planted], decisions: pa.Table, identities: pa.Table) -> list[Account]:
    """One account a kind of fault, in the order in which the kinds first appear."""
    out = {subject: set(dropped(decisions, subject).to_pylist()) for subject in (Subject.UTTERANCE, Subject.SPEAKER)}
    identity = _identity(identities)

    def is_found(row: Planted) -> bool:
        if row.subject == Subject.PAIR:
            return identity[row.subject_id] == identity[row.other_id]
        return row.subject_id in out[Subject(row.subject)]

    accounts = []
    for fault in dict.fromkeys(row.fault for row in planted):
        rows = [row for row in planted if row.fault == fault]
        found = tuple(row for row in rows if is_found(row))
        accounts.append(Account(fault=fault, found=found, missed=tuple(row for row in rows if row not in found)))
    return accounts


def false_alarms(
    planted: list[Planted], utterances: pa.Table, decisions: pa.Table, identities: pa.Table
) -> FalseAlarms:
    """Dropped utterances and speakers, and merged pairs, that the truth does not name.

    An utterance of a speaker that is wrong, and was rightly dropped, is no false alarm.
    """
    wrong = {row.subject_id for row in planted if row.subject != Subject.PAIR}
    speaker_of = dict(zip(*(utterances[c].to_pylist() for c in ("utterance_id", "speaker_id")), strict=True))
    same = _groups({row.subject_id: row.other_id for row in planted if row.subject == Subject.PAIR})
    leader = _identity(identities)
    merged = [(speaker, other) for speaker, other in leader.items() if speaker != other]
    return FalseAlarms(
        utterances=tuple(
            utterance
            for utterance in dropped(decisions, Subject.UTTERANCE).to_pylist()
            if utterance not in wrong and speaker_of[utterance] not in wrong
        ),
        speakers=tuple(s for s in dropped(decisions, Subject.SPEAKER).to_pylist() if s not in wrong),
        pairs=tuple((a, b) for a, b in merged if not any({a, b} <= group for group in same)),
    )


def _identity(identities: pa.Table) -> dict[str, str]:
    return dict(zip(*(identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))


def _groups(pairs: dict[str, str]) -> list[set[str]]:
    """Labels of one person, joined through any chain of pairs: the truth is transitive."""
    groups: list[set[str]] = []
    for pair in ({a, b} for a, b in pairs.items()):
        touching = [group for group in groups if group & pair]
        groups = [group for group in groups if not group & pair] + [pair.union(*touching)]
    return groups
