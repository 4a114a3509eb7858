"""What is wrong with a pipeline file, in words: `key: what is wrong; what was expected`."""

import difflib
import re
from dataclasses import fields, is_dataclass
from typing import Any, get_args

from curate.corpora import READERS
from curate.errors import shown
from curate.hearing import EXTRACTORS
from curate.presets import PRESETS

MAX_TOLD = 6  # keys at once: more is no line that anybody reads
# what pydantic puts among the keys
UNION_TAG = r"(constrained-)?float$|literal\[|\[key\]$|lax-or-strict\[|dict\[|function-|json-or-python\["
KINDS: dict[str, tuple[str, dict[str, type]]] = {  # sections that are of one kind or another, and the key that says so
    "corpora": ("reader", {name: reader.Settings for name, reader in READERS.items()}),
    "embedding": ("extractor", dict(EXTRACTORS)),
    "cleaning": ("preset", dict(PRESETS)),
}


def in_words(problems: list[Any], whole: type) -> list[str]:
    """Pydantic's errors on a `whole` pipeline, one a key; of many the first."""
    said: dict[str, list[str]] = {}
    for problem in problems:
        said.setdefault(_key(problem), []).append(_fault(problem, whole))
    lines = [(f"{key}: " if key else "") + _joined(faults) for key, faults in said.items()]
    return [*lines[:MAX_TOLD], *([f"and {len(lines) - MAX_TOLD} more"] if len(lines) > MAX_TOLD else [])]


def _joined(faults: list[str]) -> str:
    """One value can fail each alternative of a union: it is said once, then all that was expected."""
    first, *others = dict.fromkeys(faults)
    return " or ".join([first, *(other.rpartition("; expected ")[2] for other in others)])


def _key(problem: Any) -> str:
    """The key as a user would look for it. A union adds its alternatives to the place: they are no keys."""
    where = problem["loc"]
    unknown = len(where) - 1 if problem["type"] == "unexpected_keyword_argument" else None  # may be called anything
    keys = [
        part
        for i, part in enumerate(where)
        if i == unknown or not (_is_tag(where, i) or re.match(UNION_TAG, str(part)))
    ]
    return "".join(f"[{key}]" if isinstance(key, int) else f".{_quoted(key)}" for key in keys).lstrip(".")


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) else shown(key)


def _is_tag(where: tuple[int | str, ...], i: int) -> bool:
    """Whether this part of a place is no key, but the kind of the section: `corpora[0]` is of one, `embedding` too."""
    return where[0] in KINDS and i == (2 if where[0] == "corpora" else 1) and where[i] in KINDS[str(where[0])][1]


def _fault(problem: Any, whole: type) -> str:
    kind = problem["type"]
    if kind == "unexpected_keyword_argument":
        known = _keys_beside(problem["loc"], whole)
        near = difflib.get_close_matches(problem["loc"][-1], known, n=1)
        return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; expected one of {', '.join(known)}"
    if kind.startswith("missing"):
        return f"missing; expected {_described(problem['loc'], whole) or 'a value'}"
    if kind == "string_too_short" and (wanted := _described(problem["loc"], whole)):
        return f"{shown(problem['input'])}; expected {wanted}"
    if kind.startswith("union_tag"):
        key, kinds = KINDS[problem["loc"][0]]
        given = f"{key} {shown(problem['ctx']['tag'])}" if "tag" in problem["ctx"] else f"no {key}"
        return f"{given}; expected one of {', '.join(kinds)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = message.replace("String should match pattern", "text that matches")
    return (
        message if kind == "value_error" else f"{shown(problem['input'])}; expected {message[0].lower()}{message[1:]}"
    )


def _keys_beside(where: tuple[int | str, ...], whole: type) -> list[str]:
    """The keys that the section of an unknown key may hold."""
    return [field.name for field in fields(_section(where, whole))]


def _described(where: tuple[int | str, ...], whole: type) -> str | None:
    """What is expected of a key, where its field says so; what is no key of a section, but within one, has no field."""
    field = getattr(_section(where, whole), "__dataclass_fields__", {}).get(where[-1])
    return getattr(field and field.default, "description", None)


def _section(where: tuple[int | str, ...], whole: type) -> Any:
    """The class of the section that a key stands in."""
    section: Any = whole
    for i, part in enumerate(where[:-1]):
        if _is_tag(where, i):
            section = KINDS[str(where[0])][1][str(part)]
        elif isinstance(part, str) and part not in KINDS:
            section = _of_one(section.__dataclass_fields__[part].type)
    return section


def _of_one(kind: Any) -> Any:
    """The class of a section that may be left out (`Splits | None`), or of which there may be several."""
    return next((one for one in get_args(kind) if is_dataclass(one)), kind)
