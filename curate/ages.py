"""Age groups and subgroups from years or ranges of years (arXiv:2301.09058, section 3.1 and table 1; mixup, section 1).

The paper prints adult as 30-60 (leq29) or 18-60 (leq17) and senior as from 60: a person of 60 is in both. The rule
here: 60 is senior, so that a decade (Common Voice's `fifties`, 50-59) lies in one group whole.

Its subgroups follow decades and the film ratings of the Motion Picture Association, shown in a figure without numbers.
Ours: decades, and below 18 the ages at which a rating changes (PG-13 at 13, R at 17).

`decades` is the scheme of the mixup paper: superclasses that it names 20-30, 40-50 and 60 after their decades, which
are its subclasses. Who is younger than 20 or older than 69 has no class there.

Groups of one's own are written out, each with its subgroups in years: `young 0-25/26-30; adult 31/32+`. A corpus of one
generation, or of a school, is of one group by every scheme of the papers.

A label is given where the whole stated range lies in one group; a range that straddles two stays unlabelled. The same
holds, within the group, for subgroups.
"""

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator

from curate.schema import AGE_LABELS

NO_AGE, BEYOND_AGES = 1 << 16, 1 << 20  # of 16 bits none is as great
OLDEST = 120  # years; a statement beyond it is a slip of the corpus


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group from `youngest` to `oldest` years, both included, and where its later subgroups begin."""

    name: str
    youngest: int
    oldest: int
    subgroups_from: tuple[int, ...]

    def subgroup(self, youngest: int, oldest: int) -> str | None:
        """The subgroup that holds the whole range, such as `30-39`; None where it straddles two."""
        starts = (self.youngest, *self.subgroups_from)
        ends = (*(start - 1 for start in self.subgroups_from), self.oldest)
        for start, end in zip(starts, ends, strict=True):
            if start <= youngest and oldest <= end:
                return f"{start}+" if end == OLDEST else f"{start}-{end}" if start < end else f"{start}"
        return None


_SENIOR = Group(name="senior", youngest=60, oldest=OLDEST, subgroups_from=(70, 80))
SCHEMES: dict[str, tuple[Group, ...]] = {
    "leq29": (
        Group(name="young", youngest=0, oldest=29, subgroups_from=(10, 20)),
        Group(name="adult", youngest=30, oldest=59, subgroups_from=(40, 50)),
        _SENIOR,
    ),
    "leq17": (
        Group(name="young", youngest=0, oldest=17, subgroups_from=(13, 17)),
        Group(name="adult", youngest=18, oldest=59, subgroups_from=(30, 40, 50)),
        _SENIOR,
    ),
    "decades": (
        Group(name="20-39", youngest=20, oldest=39, subgroups_from=(30,)),
        Group(name="40-59", youngest=40, oldest=59, subgroups_from=(50,)),
        Group(name="60-69", youngest=60, oldest=69, subgroups_from=()),
    ),
}

_WRITTEN = re.compile(r"(?P<name>[\w-]+) (?P<subgroups>[\d+/-]+)")
_YEARS = re.compile(r"(?P<youngest>\d{1,3})(?:-(?P<oldest>\d{1,3})|(?P<end>\+))?")


@cache
def groups_of(scheme: str) -> tuple[Group, ...]:
    """Those of a scheme of the papers by its name, or as they are written out, from the youngest on.

    Raises ValueError for what is neither.
    """
    return SCHEMES.get(scheme) or tuple(_written_out(scheme))


def _written_out(scheme: str) -> list[Group]:
    groups: list[Group] = []
    for one in scheme.split(";"):
        written = _WRITTEN.fullmatch(one.strip())
        if written is None:
            where = "" if one == scheme else f"{scheme!r}: "
            told = "groups written out, such as 'young 0-25/26-30; adult 31/32+'"
            raise ValueError(f"{where}{one.strip()!r}; expected one of {', '.join(SCHEMES)}, or {told}")
        name, spans = written["name"], [_span(scheme, years) for years in written["subgroups"].split("/")]
        for (_, oldest), (youngest, _) in pairwise(spans):
            if youngest != oldest + 1:
                raise ValueError(f"{scheme!r}: {name}: {youngest} follows {oldest}; expected {oldest + 1}")
        if groups and spans[0][0] <= groups[-1].oldest:
            most = groups[-1].oldest
            raise ValueError(f"{scheme!r}: {name} begins at {spans[0][0]}; expected groups in order, past {most}")
        if name in {group.name for group in groups}:
            raise ValueError(f"{scheme!r}: {name} stands twice; expected each group once")
        starts = tuple(youngest for youngest, _ in spans[1:])
        groups.append(Group(name=name, youngest=spans[0][0], oldest=spans[-1][1], subgroups_from=starts))
    return groups


def _span(scheme: str, years: str) -> tuple[int, int]:
    """`26-30`, `31` or `32+`."""
    told = _YEARS.fullmatch(years)
    youngest = int(told["youngest"]) if told else OLDEST + 1
    oldest = OLDEST if told and told["end"] else int(told["oldest"] or youngest) if told else OLDEST
    if not youngest <= oldest <= OLDEST:
        raise ValueError(f"{scheme!r}: {years!r}; expected years up to {OLDEST}, such as 26-30, 31 or 32+")
    return youngest, oldest


def _known(scheme: str) -> str:
    groups_of(scheme)
    return scheme


Scheme = Annotated[str, AfterValidator(_known)]  # in what a user writes


@dataclass(frozen=True, kw_only=True)
class Label:
    """What one scheme says of one age: a group, or why there is none."""

    group: str | None = None
    subgroup: str | None = None
    unlabelled_because: str | None = None


def label(scheme: str, youngest: int | None, oldest: int | None) -> Label:
    """The group of a person between `youngest` and `oldest` years old; equal for a known age."""
    if youngest is None or oldest is None:
        return Label(unlabelled_because="no_age")
    if not 0 <= youngest <= oldest <= OLDEST:
        return Label(unlabelled_because="impossible_age")
    for group in groups_of(scheme):
        if group.youngest <= youngest and oldest <= group.oldest:
            return Label(group=group.name, subgroup=group.subgroup(youngest, oldest))
    touched = any(youngest <= group.oldest and group.youngest <= oldest for group in groups_of(scheme))
    return Label(unlabelled_because="straddles_groups" if touched else "no_group")


def label_ages(utterances: pa.Table, schemes: tuple[str, ...]) -> pa.Table:
    """One row an utterance and scheme, from the columns age_min_years and age_max_years."""
    ages, which = _different_ages(utterances)
    rows = [AGE_LABELS.arrow().empty_table()]
    for scheme in schemes:
        labels = [label(scheme, *age) for age in ages]
        told = {
            "age_group": [one.group for one in labels],
            "age_subgroup": [one.subgroup for one in labels],
            "unlabelled_because": [one.unlabelled_because for one in labels],
        }
        columns = {name: pa.array(texts, pa.string()).take(which) for name, texts in told.items()}
        same = {"scheme": pa.repeat(scheme, len(utterances)), "utterance_id": utterances["utterance_id"]}
        rows.append(AGE_LABELS.rows(same | columns))
    return pa.concat_tables(rows)


def _different_ages(utterances: pa.Table) -> tuple[list[tuple[int | None, int | None]], pa.Array]:
    """Each pair of youngest and oldest that there is, and for each row which: there are few, however many the rows."""
    ages = utterances.select(["age_min_years", "age_max_years"])
    pairs = ages.group_by(ages.column_names).aggregate([]).to_pylist()
    known = [(pair["age_min_years"], pair["age_max_years"]) for pair in pairs]
    coded = [pc.fill_null(column.cast(pa.int64()), NO_AGE).to_numpy() for column in ages.columns]
    key = coded[0] * BEYOND_AGES + coded[1]
    keys = np.array([_coded(youngest) * BEYOND_AGES + _coded(oldest) for youngest, oldest in known], np.int64)
    order = np.argsort(keys)
    return known, pa.array(order[np.searchsorted(keys[order], key)])


def _coded(years: int | None) -> int:
    return NO_AGE if years is None else years
