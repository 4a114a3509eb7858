"""What is known of the utterances of a split beside who speaks them: sex and age, as the codes of classes."""

from collections.abc import Mapping, Sequence

import numpy as np

from curate.ages import Group, groups_of, label
from models.data.speech import Integers, Speech

UNKNOWN = -1
OF_AGES = ("age_group", "age_subgroup")


def classes_of(scheme: str) -> dict[str, tuple[str, ...]]:
    """The names of a scheme's groups, and of all their subgroups, from the youngest on: their places are their codes.

    A group that is not divided is its own one subgroup.
    """
    groups = groups_of(scheme)
    return {
        "age_group": tuple(group.name for group in groups),
        "age_subgroup": tuple(name for group in groups for name in _subgroups(group)),
    }


def group_of_subgroup(scheme: str) -> tuple[int, ...]:
    """The code of the group that each subgroup is in, by the code of the subgroup."""
    return tuple(code for code, group in enumerate(groups_of(scheme)) for _ in _subgroups(group))


def codes(speech: Speech, classes: Mapping[str, Sequence[str]], scheme: str | None) -> dict[str, Integers]:
    """(U,) of each kind of class, `sex`, `age_group` or `age_subgroup`: the place of its name, -1 where unknown.

    Ages are told by `scheme`. Raises ValueError for another kind, and for ages without a scheme.
    """
    found: dict[str, Integers] = {}
    for kind, names in classes.items():
        if kind == "sex":
            said: Sequence[str | None] = speech.sex or [None] * len(speech)
        elif kind in OF_AGES and scheme is not None:
            said = _said_of_ages(speech, scheme)[OF_AGES.index(kind)]
        else:
            raise ValueError(f"{kind} by the scheme {scheme}; expected sex, or {' or '.join(OF_AGES)} with a scheme")
        place = {name: code for code, name in enumerate(names)}
        found[kind] = np.array([UNKNOWN if one is None else place.get(one, UNKNOWN) for one in said], np.int64)
    return found


def _said_of_ages(speech: Speech, scheme: str) -> tuple[list[str | None], list[str | None]]:
    """(U,) groups and (U,) subgroups."""
    ages = speech.ages or [None] * len(speech)
    told = {age: label(scheme, *(age or (None, None))) for age in set(ages)}
    return [told[age].group for age in ages], [told[age].subgroup for age in ages]


def _subgroups(group: Group) -> list[str]:
    starts = (group.youngest, *group.subgroups_from)
    ends = (*(start - 1 for start in group.subgroups_from), group.oldest)
    named = (group.subgroup(start, end) for start, end in zip(starts, ends, strict=True))
    return [name for name in named if name is not None]
