"""Hold what a rule of cleaning decided against the truth. Nothing but its decisions and identities is looked at.

An utterance is *taken* where a verdict drops it, drops its label, or relabels it, and *taken as a copy* where it is
dropped as duplicate or near_duplicate. An utterance is *good* where nothing was planted in it and its label is not
mixed; those of a split speaker are good. What counts as found, and as a false alarm:

| fault | of | found | false alarm |
| --- | --- | --- | --- |
| wrong_speaker, foreign_session | utterances | it is taken | a good one is taken, but not as a copy |
| noise, tones, clipping, silence | utterances | it is taken | a good one is taken, but not as a copy |
| duplicate | utterances | it is taken as a copy of its original, or that as one of it | a good one is taken as a copy |
| mixed | labels | it is told as mixed_speaker, or dropped | a label that is not mixed is told so, or dropped |
| wrong_sex, wrong_age | labels | a sex_conflict, age_conflict of it, its utterances, its pairs | of another label |
| split | pairs | the two labels are one identity | two people are one identity |

Precision is found / (found + false alarms), recall found / planted, F1 their harmonic mean. A false alarm belongs to no
fault: where several are planted at once, each is held against all alarms of its kind, so that precision is told too low
rather than too high. Planting one fault at a time tells it exactly.

Left out of alarms: utterances of a mixed label that are its owner's (who owns a half is nobody's to say), utterances
of a label whose sex or age is wrong, labels with a foreign session that are told as mixed, and an original that is
taken as a copy of its copy. A copy that cannot be heard (it is too short, say) is judged by no rule, and does not
count as planted. Groups of people are told of all faults of utterances at once: any good one that is taken is an alarm.

Beside these are told: of wrong speakers, foreign sessions and guests of mixed labels, how often the verdict that takes
an utterance names a label of who is heard, whether it relabels or drops; of duplicates that are found, how often the
original is taken in place of the copy, and of all copies, how many cannot be heard; of mixed labels, how many guests
and how many of the owner's utterances were taken, and in how many labels no more than one person is left; and the
false-merge rate: of all pairs of labels of two people, those that are one identity. Pairs with a mixed label are
neither right nor wrong.

Everything is counted by the label that an utterance bears (that of a split, or a duplicate: the label it came from),
because people are what the bootstrap draws. Shapes: N utterances, C labels of the catalog that was planted into.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.planting.faults import OF_LABELS, Fault
from curate.decisions import dropped
from curate.reasons import Reason, Subject, Verdict
from curate.similarity import Indices, Vectors

Flags = NDArray[np.bool_]
MIXED_REASONS = [Reason.MIXED_SPEAKER]
DUPLICATE_REASONS = [Reason.DUPLICATE, Reason.NEAR_DUPLICATE]
REASONS_ABOUT = {Fault.WRONG_SEX: [Reason.SEX_CONFLICT], Fault.WRONG_AGE: [Reason.AGE_CONFLICT]}
UNFIT_STEP = "embed"  # what the planted catalog itself says of recordings that no rule can judge
NAMED = (Fault.WRONG_SPEAKER, Fault.FOREIGN_SESSION, Fault.MIXED)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a rule says: rows of `decisions`, and of `identities` where it unifies."""

    decisions: pa.Table
    identities: pa.Table


Preset = Callable[[pa.Table, pa.Table, Vectors], Judged]  # of utterances in the order of ids, sound prints, vectors


@dataclass(frozen=True, kw_only=True)
class Share:
    """So many of so many, by label (C,)."""

    num: Indices
    total: Indices


@dataclass(frozen=True, kw_only=True)
class Counts:
    """One kind of thing that was planted, by label (C,)."""

    unit: str  # utterance | label | pair
    planted: Indices
    found: Indices
    alarms: Indices
    good: Indices  # that an alarm could have been about; of pairs none: see Merges
    beside: dict[str, Share] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Merges:
    """Who is one identity although they are two people. L labels of the planted catalog."""

    false_pairs: Indices  # (F, 2) places among the C labels that they came from
    origin: Indices  # (L,) the same of every label that is not mixed
    person: Indices  # (L,) and whose it is


@dataclass(frozen=True, kw_only=True)
class Account:
    """One rule on one planting."""

    faults: dict[Fault, Counts]
    groups: dict[tuple[str, str], Counts]  # all faults of utterances, by (sex | age_group | corpus, value)
    merges: Merges


def account(
    utterances: pa.Table,
    truth: pa.Table,
    judged: Judged,
    *,
    labels: list[str],
    person_of: Mapping[str, str] | None = None,
    groups: Mapping[str, list[str | None]] | None = None,
) -> Account:
    """Count what was found in `utterances` (utterance_id, speaker_id) as planted.

    `labels` are those of the catalog that was planted into, `groups` what is said of each utterance, row by row.
    """
    case = _Case(utterances, truth, judged, labels, dict(person_of or {}))
    told: dict[Fault, Counts] = {}
    for fault in case.faults:
        if fault == Fault.SPLIT:
            told[fault] = case.split()
        elif fault == Fault.MIXED:
            told[fault] = case.mixed()
        elif fault in OF_LABELS and fault != Fault.FOREIGN_SESSION:
            told[fault] = case.said_wrong(fault)
        else:
            told[fault] = case.taken_away(fault)
    some = np.isin(case.fault, [fault for fault in case.faults if told[fault].unit == "utterance"])
    grouped = {
        (by, value): case.among(some, alarming=case.taken, within=np.array([one == value for one in values]))
        for by, values in (groups or {}).items()
        for value in sorted({one for one in values if one is not None})
    }
    return Account(faults=told, groups=grouped, merges=case.merges())


class _Case:
    """The tables, row by row."""

    def __init__(
        self, utterances: pa.Table, truth: pa.Table, judged: Judged, labels: list[str], person_of: dict[str, str]
    ) -> None:
        rows = {row["utterance_id"]: row for row in truth.to_pylist()}
        self.ids = utterances["utterance_id"].to_pylist()
        self.label = utterances["speaker_id"].to_pylist()
        self.truth = [rows.get(one) for one in self.ids]
        self.fault = np.array([row["fault"] if row else "" for row in self.truth], dtype=object)
        self.faults = [fault for fault in Fault if (self.fault == fault).any()]
        self.person_of, self.labels, self.judged = person_of, labels, judged
        came_from = {row["speaker_id"]: row["true_speaker_id"] for row in rows.values() if row["fault"] == Fault.SPLIT}
        place = {label: at for at, label in enumerate(labels)}
        self.origin = {label: place[came_from.get(label, label)] for label in set(self.label)}
        self.cluster = np.array(
            [
                place[row["true_speaker_id"]] if row and row["fault"] == Fault.DUPLICATE else self.origin[label]
                for row, label in zip(self.truth, self.label, strict=True)
            ],
            dtype=np.int64,
        )
        self.mixed_labels = {row["speaker_id"] for row in rows.values() if row["fault"] == Fault.MIXED}
        self._read_decisions()

    def _read_decisions(self) -> None:
        decisions = self.judged.decisions
        gone = set(dropped(decisions, Subject.UTTERANCE).to_pylist())
        self.labels_gone = set(dropped(decisions, Subject.SPEAKER).to_pylist())
        moved = decisions.filter((pc.field("subject") == Subject.UTTERANCE) & (pc.field("verdict") == Verdict.RELABEL))
        moved_away = set(moved["subject_id"].to_pylist())
        naming = decisions.filter(
            (pc.field("subject") == Subject.UTTERANCE)
            & pc.field("verdict").isin([Verdict.DROP, Verdict.RELABEL])
            & pc.field("other_id").is_valid()
        )
        names_copy = pc.field("reason").isin(DUPLICATE_REASONS)
        self.copy_of, self.named = (
            dict(zip(rows["subject_id"].to_pylist(), rows["other_id"].to_pylist(), strict=True))
            for rows in (naming.filter(names_copy), naming.filter(~names_copy))
        )
        unfit = set(dropped(decisions.filter(pc.field("step") == UNFIT_STEP), Subject.UTTERANCE).to_pylist())
        self.unfit = np.array([one in unfit for one in self.ids], dtype=bool)
        original = [row["original_id"] if row and row["fault"] == Fault.DUPLICATE else None for row in self.truth]
        pairs = list(zip(self.ids, original, strict=True))
        self.copy_taken = np.array([of is not None and self.copy_of.get(copy) == of for copy, of in pairs], dtype=bool)
        self.original_taken = np.array([self.copy_of.get(of) == copy for copy, of in pairs], dtype=bool)
        taken_for_copy = {of for of, is_so in zip(original, self.original_taken, strict=True) if is_so}
        self.as_copy = np.array([one in self.copy_of for one in self.ids], dtype=bool)
        self.taken = np.array(
            [
                one in gone or one in moved_away or label in self.labels_gone
                for one, label in zip(self.ids, self.label, strict=True)
            ],
            dtype=bool,
        )
        self.good = np.array(
            [
                (row is None or row["fault"] == Fault.SPLIT)
                and label not in self.mixed_labels
                and one not in taken_for_copy
                for one, row, label in zip(self.ids, self.truth, self.label, strict=True)
            ],
            dtype=bool,
        )
        said_wrong = {label for fault in REASONS_ABOUT for label in self._labels_with(fault)}
        self.good &= np.array([label not in said_wrong for label in self.label], dtype=bool)

    def has(self, fault: Fault) -> Flags:
        """Which utterances bear it."""
        return np.asarray(self.fault == fault, dtype=bool)

    def _labels_with(self, fault: Fault) -> list[str]:
        return sorted({str(label) for label, one in zip(self.label, self.fault, strict=True) if one == fault})

    def _count(self, flags: Flags) -> Indices:
        return np.bincount(self.cluster[flags], minlength=len(self.labels))

    def _count_labels(self, labels: list[str]) -> Indices:
        return np.bincount([self.origin[label] for label in labels], minlength=len(self.labels))

    def taken_away(self, fault: Fault) -> Counts:
        """Utterances that should go, and those that should not have gone for such a reason."""
        planted = self.has(fault)
        if fault == Fault.DUPLICATE:
            return self.among(planted, alarming=self.as_copy, beside=self._of_copies(planted))
        beside = {"true_speaker_named": self._named(planted)} if fault in NAMED else {}
        return self.among(planted, alarming=self.taken & ~self.as_copy, beside=beside)

    def among(
        self, planted: Flags, *, alarming: Flags, within: Flags | None = None, beside: dict[str, Share] | None = None
    ) -> Counts:
        """Those planted, and the good ones, of which those that are `alarming` are false alarms."""
        within = np.ones(len(self.ids), dtype=bool) if within is None else within
        copies = self.has(Fault.DUPLICATE)
        planted, good = planted & within & ~(copies & self.unfit), self.good & within
        found = planted & np.where(copies, self.copy_taken | self.original_taken, self.taken)
        return Counts(
            unit="utterance",
            planted=self._count(planted),
            found=self._count(found),
            alarms=self._count(good & alarming),
            good=self._count(good),
            beside=beside or {},
        )

    def _of_copies(self, copies: Flags) -> dict[str, Share]:
        found = copies & (self.copy_taken | self.original_taken)
        return {
            "original_taken": Share(num=self._count(copies & self.original_taken), total=self._count(found)),
            "unfit": Share(num=self._count(copies & self.unfit), total=self._count(copies)),
        }

    def _named(self, planted: Flags) -> Share:
        """Of how many the verdict names a label of who is heard."""

        def is_right(one: str, row: dict[str, str] | None) -> bool:
            to = self.named.get(one)
            return row is not None and to is not None and self._person(to) == self._person(row["true_speaker_id"])

        right = np.array([is_right(one, row) for one, row in zip(self.ids, self.truth, strict=True)], dtype=bool)
        return Share(num=self._count(planted & right), total=self._count(planted))

    def _person(self, label: str) -> str:
        at = self.origin.get(label)
        origin = label if at is None else self.labels[at]
        return self.person_of.get(origin, origin)

    def mixed(self) -> Counts:
        """Labels told as several people."""
        decisions = self.judged.decisions
        about = (pc.field("subject") == Subject.SPEAKER) & pc.field("reason").isin(MIXED_REASONS)
        told = self.labels_gone | set(decisions.filter(about)["subject_id"].to_pylist())
        planted = sorted(self.mixed_labels & set(self.label))
        clean = sorted(set(self.label) - self.mixed_labels - set(self._labels_with(Fault.FOREIGN_SESSION)))
        guests = self.has(Fault.MIXED)
        owners = np.array([label in self.mixed_labels for label in self.label], dtype=bool) & (self.fault == "")
        return Counts(
            unit="label",
            planted=self._count_labels(planted),
            found=self._count_labels([label for label in planted if label in told]),
            alarms=self._count_labels([label for label in clean if label in told]),
            good=self._count_labels(clean),
            beside={
                "guests_taken": Share(num=self._count(guests & self.taken), total=self._count(guests)),
                "true_speaker_named": self._named(guests),
                "owners_taken": Share(num=self._count(owners & self.taken), total=self._count(owners)),
                "one_person_left": Share(
                    num=self._count_labels(sorted(self.mixed_labels - self._of_several(guests | owners))),
                    total=self._count_labels(planted),
                ),
            },
        )

    def _of_several(self, rows: Flags) -> set[str]:
        """The labels in which several people are left when what is taken is gone."""
        left: dict[str, set[str]] = {}
        for at in np.flatnonzero(rows & ~self.taken).tolist():
            row = self.truth[at]
            left.setdefault(self.label[at], set()).add(self._person(row["true_speaker_id"] if row else self.label[at]))
        return {label for label, people in left.items() if len(people) > 1}

    def said_wrong(self, fault: Fault) -> Counts:
        """Labels of which something is told that has to do with the fault."""
        rows = self.judged.decisions.filter(pc.field("reason").isin(REASONS_ABOUT[fault]))
        label_of = dict(zip(self.ids, self.label, strict=True))
        named = {one for column in ("subject_id", "other_id") for one in rows[column].to_pylist()}
        told = {label_of.get(one, one) for one in named}
        planted = self._labels_with(fault)
        clean = sorted(set(self.label) - set(planted))
        return Counts(
            unit="label",
            planted=self._count_labels(planted),
            found=self._count_labels([label for label in planted if label in told]),
            alarms=self._count_labels([label for label in clean if label in told]),
            good=self._count_labels(clean),
        )

    def split(self) -> Counts:
        """Labels of one person that became one identity. A false merge is an alarm of the first of its two labels."""
        identity = self._identity()
        pairs = {row["speaker_id"]: row["true_speaker_id"] for row in self.truth if row and row["fault"] == "split"}
        planted = sorted(pairs)
        found = [new for new in planted if identity.get(new, new) == identity.get(pairs[new], pairs[new])]
        num = len(self.labels)
        return Counts(
            unit="pair",
            planted=self._count_labels(planted),
            found=self._count_labels(found),
            alarms=np.bincount(self.merges().false_pairs[:, 0], minlength=num),
            good=np.zeros(num, dtype=np.int64),
        )

    def merges(self) -> Merges:
        """The false ones, among all that could be."""
        identity = self._identity()
        labels = sorted(set(self.label) - self.mixed_labels)
        together: dict[str, list[str]] = {}
        for label in labels:
            together.setdefault(identity.get(label, label), []).append(label)
        false = [
            (self.origin[a], self.origin[b])
            for group in together.values()
            for at, a in enumerate(group)
            for b in group[at + 1 :]
            if self._person(a) != self._person(b)
        ]
        people = sorted({self._person(label) for label in labels})
        number = {person: at for at, person in enumerate(people)}
        return Merges(
            false_pairs=np.array(false, dtype=np.int64).reshape(-1, 2),
            origin=np.array([self.origin[label] for label in labels], dtype=np.int64),
            person=np.array([number[self._person(label)] for label in labels], dtype=np.int64),
        )

    def _identity(self) -> dict[str, str]:
        rows = self.judged.identities
        return dict(zip(rows["speaker_id"].to_pylist(), rows["identity_id"].to_pylist(), strict=True))
