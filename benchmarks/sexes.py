"""What the labels of a person say of the sex, taken together."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pyarrow as pa

SEXES = ("female", "male")
Who = TypeVar("Who", str, int)


def agreed_sexes(people: Iterable[Who], said: Iterable[str | None]) -> dict[Who, str | None]:
    """Of each person, who speaks in some of N rows, what these rows say of the sex.

    None where they say nothing, or disagree. People are in the order in which they come.
    """
    found: dict[Who, set[str]] = {}
    for one, sex in zip(people, said, strict=True):
        found.setdefault(one, set()).update(() if sex is None else (sex,))
    return {one: min(sexes) if len(sexes) == 1 else None for one, sexes in found.items()}


def sexes_of(people: pa.ChunkedArray, said: pa.ChunkedArray) -> dict[Any, str | None]:
    """The same of columns, which may have millions of rows: each person with each sex is looked at once."""
    pairs = pa.table({"who": people, "sex": said}).group_by(["who", "sex"], use_threads=False).aggregate([])
    return agreed_sexes(pairs["who"].to_pylist(), pairs["sex"].to_pylist())
