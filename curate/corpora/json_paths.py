"""Paths into a JSON: keys with dots between, and in brackets what picks from a list or a text.

`speaker.id` is a key within a key, `[2]` an item of a list, `[*]` the list itself, `[id=@.speaker]` the item whose `id`
is what the utterance says at `speaker`, `[:10]` the first characters of a text. `@` is the utterance, where a JSON
holds several; every other path starts at the top.
"""

import math
import re
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from functools import cache
from typing import Any

from curate.errors import CorpusError

ABSENT = object()  # the JSON has no such key; None is what it says by `null`
NUM_KEYS_TOLD = 40
STEP = re.compile(r"([^.\[\]]+)((?:\[[^\]]*\])*)")


def require_path(path: str) -> None:
    """Raises ValueError for what is no path into a JSON."""
    text = path.removeprefix("@.")
    if path != "@" and not re.fullmatch(rf"{STEP.pattern}(?:\.{STEP.pattern})*", text):
        raise ValueError(f"path {path!r}; expected keys with dots between, such as 'speaker.id' or 'items[0].name'")


def look_up(path: str, top: Any, utterance: Any = None) -> Any:
    """What stands there, or ABSENT."""
    if path == "@":
        return utterance
    here = utterance if path.startswith("@.") else top
    for key, selectors in _steps(path):
        here = here.get(key, ABSENT) if isinstance(here, dict) else ABSENT
        for selector in selectors:
            here = _selected(here, selector, top, utterance)
        if here is ABSENT:
            return ABSENT
    return here


@cache
def _steps(path: str) -> list[tuple[str, list[str]]]:
    """Keys, each with what stands in brackets after it; worked out once for a whole corpus."""
    steps = STEP.findall(path.removeprefix("@."))
    return [(key, re.findall(r"\[([^\]]*)\]", selectors)) for key, selectors in steps]


def _selected(here: Any, selector: str, top: Any, utterance: Any) -> Any:
    if re.fullmatch(r":\d{1,4}", selector):
        return here[: int(selector[1:])] if isinstance(here, str) else here
    if not isinstance(here, list):
        return ABSENT
    if selector == "*":
        return here
    if re.fullmatch(r"-?\d{1,6}", selector):
        return here[int(selector)] if -len(here) <= int(selector) < len(here) else ABSENT
    key, _, other = selector.partition("=")
    wanted = str(look_up(other, top, utterance))  # an id may be a number in one place and a text in the other
    return next((item for item in here if isinstance(item, dict) and key in item and str(item[key]) == wanted), ABSENT)


def text_of(value: Any) -> str:
    """A value as text; "" for null and what is no number. Raises CorpusError for an object, a list, or no Unicode.

    A float that is whole is written as the whole number that it was before pandas met a null in its column.
    """
    if value is None or value is ABSENT:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | date | time):
        kind = {dict: "an object", list: "a list", bool: "true or false"}.get(type(value), type(value).__name__)
        raise CorpusError(f"{kind}; expected a text or a number")
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        if abs(value) >= 2**53:
            raise CorpusError(f"{value}, which no float holds exactly; expected a text or a number")
        value = int(value) if value.is_integer() else value
    text = str(value).strip()
    if re.search("[\0\ud800-\udfff]", text):
        raise CorpusError(f"{text[:80]!r} holds what is no text; expected characters of Unicode")
    return text


def keys_of(value: Any, at: str = "") -> Iterator[str]:
    """The paths to all that a JSON holds, a list by its first item; no deeper than ten levels."""
    if isinstance(value, dict) and at.count(".") < 10:
        for key, inner in value.items():
            yield from keys_of(inner, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list) and value and at.count(".") < 10:
        yield from keys_of(value[0], f"{at}[*]")
    elif at:
        yield at


def told_keys(top: Any) -> str:
    """The same on one line, for an error."""
    keys = [repr(key[:80])[1:-1] for key in keys_of(top)]
    return ", ".join(keys[:NUM_KEYS_TOLD]) + (", ..." if len(keys) > NUM_KEYS_TOLD else "") or "no keys"
