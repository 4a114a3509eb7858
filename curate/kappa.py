"""How far reviewers agree, beyond what chance would have them agree.

Compared is each one's own last word, whatever stands: that one reviewer's word outranks another's, or was taken back by
somebody else, does not change what he said. What he took back himself is no word.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.decisions import about
from curate.reasons import Subject
from curate.reviews import pairs_in_order
from curate.similarity import Indices

ORDER = [(name, "ascending") for name in ("subject", "subject_id", "other_id", "reviewer")]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two reviewers on one kind of subject; `one` comes first in the order of names."""

    one: str
    other: str
    subject: Subject
    num_compared: int  # subjects of this kind of which both have said something; at least one
    num_agreed: int  # on which both say the same
    kappa: float | None  # None where both say the same one thing of all: chance alone would have them agree


def agreements(reviews: pa.Table) -> list[Agreement]:
    """Cohen's kappa of every two reviewers and kind of subject, where both have spoken of one; rows are of REVIEWS.

    In the order of names, then of kinds. Verdicts are told apart by name, and relabels by the label as well.
    """
    return list(_agreements(_own_words(reviews)))


def own_words(reviews: pa.Table) -> pa.Table:
    """Of each subject each reviewer's own last word, but what he took back; pairs and rows in order."""
    return _own_words(reviews).sort_by(ORDER)


def _own_words(reviews: pa.Table) -> pa.Table:
    """The same in any order: to sort texts takes longer than all else."""
    rows = pairs_in_order(reviews)
    subject, reviewer = _codes(about(rows)), _codes(rows["reviewer"].combine_chunks())
    order = np.lexsort((rows["num_before"].to_numpy(), reviewer, subject))
    key = np.stack([subject, reviewer])[:, order]
    is_last = np.append((np.diff(key) != 0).any(axis=0), True)[: len(order)]
    last = rows.take(pa.array(order[is_last]))
    return last.filter(pc.is_valid(last["verdict"]))


def contradicting(reviews: pa.Table) -> pa.Table:
    """The rows of `own_words` on subjects of which not all who spoke say the same; those of one subject together."""
    words = _own_words(reviews)
    subject, said = _codes(about(words)), _codes(_said(words))
    num = subject.max(initial=-1) + 1
    least, greatest = np.full(num, len(said)), np.full(num, -1)
    np.minimum.at(least, subject, said)
    np.maximum.at(greatest, subject, said)
    return words.filter(pa.array((least < greatest)[subject])).sort_by(ORDER)


def kappa(one: Indices, other: Indices) -> float | None:
    """(p - e) / (1 - e): p is the share of N subjects on which two say the same, e what chance would give.

    `one` and `other` (N,) number what each says, from 0; e is the chance that two subjects drawn from what either says
    are called the same (Cohen, A coefficient of agreement for nominal scales, 1960, eq. 1). None where e is one, as
    both say the same one thing of all, and of no subjects.
    """
    num_kinds = max(one.max(initial=-1), other.max(initial=-1)) + 1
    drawn = int(np.bincount(one, minlength=num_kinds) @ np.bincount(other, minlength=num_kinds))
    agreed, num = int((one == other).sum()), len(one)
    return None if drawn == num * num else (num * agreed - drawn) / (num * num - drawn)


def _agreements(words: pa.Table) -> Iterator[Agreement]:
    by_kind = {kind: words.filter(pc.equal(words["subject"], kind)) for kind in Subject}
    coded = {kind: (_codes(about(rows)), _codes(_said(rows))) for kind, rows in by_kind.items()}
    of = {kind: rows["reviewer"].to_numpy() for kind, rows in by_kind.items()}
    for one, other in combinations(sorted(set(words["reviewer"].to_pylist())), 2):
        for kind, (subject, said) in coded.items():
            mine, theirs = np.flatnonzero(of[kind] == one), np.flatnonzero(of[kind] == other)
            both, at, there = np.intersect1d(subject[mine], subject[theirs], assume_unique=True, return_indices=True)
            if not len(both):
                continue
            first, second = said[mine[at]], said[theirs[there]]
            yield Agreement(
                one=one,
                other=other,
                subject=kind,
                num_compared=len(both),
                num_agreed=int((first == second).sum()),
                kappa=kappa(first, second),
            )


def _said(words: pa.Table) -> pa.Array:
    """The verdict, and of a relabel where it goes, as one text."""
    to = pc.if_else(pc.equal(words["subject"], Subject.UTTERANCE), pc.fill_null(words["other_id"], ""), "")
    return pc.binary_join_element_wise(words["verdict"], to, "\0").combine_chunks()


def _codes(texts: pa.Array) -> Indices:
    """Of equal texts the same number, from 0."""
    codes: Indices = texts.dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes
