"""Names of corpora and labels as they are shown: whatever they hold, they are one short line of plain text."""

import unicodedata
from collections.abc import Iterable
from functools import cache

IN_PICTURES, ON_PAGE = 22, 80  # letters
NO_GLYPH = "\u25a1"
LEFT_TO_RIGHT = "\u200e"  # ends a name that is read from right to left, or the numbers after it would join it


def shown(text: object, most: int = ON_PAGE) -> str:
    """One line without what is invisible or turns the order of letters; a long one has an ellipsis in its middle."""
    some = str(text)
    if len(some) > 8 * most:  # composing letters shortens a text, but not that much
        some = f"{some[: 4 * most]}\u2026{some[-4 * most :]}"
    seen = ("\ufffd" if unicodedata.category(one) == "Cs" else one for one in unicodedata.normalize("NFC", some))
    plain = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in seen)
    line = " ".join(plain.split()) or NO_GLYPH
    if len(line) > most:
        begins = (most - 1) // 2
        line = f"{line[:begins]}\u2026{line[begins + 1 - most :]}"
    is_turned = any(unicodedata.bidirectional(one) in ("R", "AL") for one in line)
    return line + LEFT_TO_RIGHT if is_turned else line


def drawn(text: object, most: int = IN_PICTURES) -> str:
    """The same for a picture: a letter that its font does not have is a square."""
    return with_glyphs(shown(text, most))


def with_glyphs(text: str) -> str:
    """A text of ours, which may hold names that are shown, for a picture."""
    return "".join(one if ord(one) in _glyphs() else NO_GLYPH for one in text)


def drawn_apart(names: Iterable[str], most: int = IN_PICTURES) -> dict[str, str]:
    """Each name as it is drawn; of several that would look alike all but the first have a number."""
    found: dict[str, str] = {}
    times: dict[str, int] = {}
    for name in names:
        if name not in found:
            looks = drawn(name, most)
            times[looks] = times.get(looks, 0) + 1
            found[name] = looks if times[looks] == 1 else f"{looks} ({times[looks]})"
    return found


@cache
def _glyphs() -> frozenset[int]:
    """Of the font that matplotlib brings along."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())
