"""Blows to bytes and words, wherever they stand."""

import re
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
Damage = Callable[[bytes, Rng], bytes]

ODD_NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 400, 1023, 1024, 32_767, 65_535, 10_000_000, 2**24, 2**31 - 1)
HUGE_NUMBERS = (2**31, 2**32 - 1, 2**33, 2**62, 2**63 - 1, 2**64 - 1)
ODD_WORDS = (
    *(b"", b"0", b"-1", b"1e309", b"-0.0", b"nan", b"inf", b"1e-320", b"9" * 30, b"9" * 5_000, b"0x10", b"1_0", b"01"),
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"[[]]",
        b'{"a": 1}',
        b"None",
        b"NaN",
        b"Infinity",
        b'"\\ud800"',
        b'"\\u0000"',
    ),
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        "\u2028".encode(),
        "\u202e".encode(),
        b"\x1f",
        b"\x85",
        b"\r",
    ),
    *(
        b"../../etc/passwd",
        b"/etc/passwd",
        b"~nobody/x",
        b"a" * 300,
        b"x/" * 3_000,
        b"file:///",
        b"s3://b/k",
        b"| true",
    ),
    *(
        b"(" * 3_000,
        b"[" * 20_000,
        b'{"a":' * 20_000,
        b"'",
        b'"',
        b"`",
        b"\\",
        b"#",
        b"*",
        b"&a",
        b"<<: *a",
        b"!!python/x",
    ),
    *(
        b"(?P<a>" * 90,
        b"(a+)+$",
        b"1979-05-27T07:32:00Z",
        b"1979-05-27",
        b"99999-99-99",
        b"12:00",
        b"%s",
        b"%(x)s",
        b"{}",
    ),
    *(b"\xe0\xb9\x80" * 40_000, b"1,000", b"1;2", b"target", b"nontarget", b"-", b" ", b"\t", b"\n", b"\n\n", b","),
)
WORD = re.compile(rb"[^\s,:=\[\]{}\"'<>|]+")


def pick(many, rng: Rng):
    return many[int(rng.integers(len(many)))]


def place(content: bytes, rng: Rng) -> int:
    """Anywhere, or where headers and footers are."""
    length = len(content)
    if rng.random() < 0.5 or length < 64:
        return int(rng.integers(length + 1))
    near = int(min(length, rng.geometric(0.02)))
    return near if rng.random() < 0.7 else length - near


# ------------------------------------------------------------------------------------------------------------ anything


def flip(content: bytes, rng: Rng) -> bytes:
    at = place(content, rng)
    return content[:at] + bytes(byte ^ (1 << int(rng.integers(8))) for byte in content[at : at + 1]) + content[at + 1 :]


def cut(content: bytes, rng: Rng) -> bytes:
    return content[: place(content, rng)]


def take_out(content: bytes, rng: Rng) -> bytes:
    at = place(content, rng)
    return content[:at] + content[at + int(rng.geometric(0.1)) :]


def put_in(content: bytes, rng: Rng) -> bytes:
    at = place(content, rng)
    return content[:at] + rng.bytes(int(rng.geometric(0.2))) + content[at:]


def repeat(content: bytes, rng: Rng) -> bytes:
    at, length = place(content, rng), int(rng.geometric(0.005))
    return content[:at] + content[at : at + length] * int(rng.integers(2, 20)) + content[at + length :]


def blank(content: bytes, rng: Rng) -> bytes:
    at, length = place(content, rng), int(rng.geometric(0.02))
    return content[:at] + bytes([int(rng.choice([0, 255]))]) * len(content[at : at + length]) + content[at + length :]


def number(content: bytes, rng: Rng) -> bytes:
    at = place(content, rng)
    return with_number(content, at, int(rng.choice([1, 2, 4, 8])), rng, "<>"[int(rng.integers(2))])


def with_number(content: bytes, at: int, width: int, rng: Rng, order: str) -> bytes:
    """An odd number in the place of one of so many bytes."""
    value = int(pick((*ODD_NUMBERS, *HUGE_NUMBERS, len(content), int(rng.integers(2**31))), rng)) % 256**width
    return content[:at] + value.to_bytes(width, "little" if order == "<" else "big") + content[at + width :]


TO_BYTES: tuple[Damage, ...] = (flip, flip, cut, take_out, put_in, repeat, blank, number, number)


# ---------------------------------------------------------------------------------------------------------------- text


def word(content: bytes, rng: Rng) -> bytes:
    """One word becomes another, odd or of the text itself, or goes, or comes twice."""
    words = list(WORD.finditer(content[:200_000]))
    if not words:
        return content + pick(ODD_WORDS, rng)
    found, other = pick(words, rng), pick(words, rng)[0]
    new = pick(
        (
            pick(ODD_WORDS, rng),
            pick(ODD_WORDS, rng),
            other,
            other + b" " + other,
            str(pick(ODD_NUMBERS, rng)).encode(),
        ),
        rng,
    )
    return content[: found.start()] + new + content[found.end() :]


def odd_word(content: bytes, rng: Rng) -> bytes:
    at = place(content, rng)
    return content[:at] + pick(ODD_WORDS, rng) + content[at:]


def line(content: bytes, rng: Rng) -> bytes:
    """One line goes, comes again elsewhere, or is cut; or all lines end otherwise."""
    lines = content.splitlines(keepends=True) or [b""]
    at, to = int(rng.integers(len(lines))), int(rng.integers(len(lines) + 1))
    match int(rng.integers(5)):
        case 0:
            lines.pop(at)
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines[at] = lines[at][: int(rng.integers(len(lines[at]) + 1))]
        case 3:
            return content.replace(b"\n", pick((b"\r\n", b"\r", b"\n\n", b"\x00\n"), rng))
        case _:
            lines = lines[:to] * int(rng.integers(2, 5)) + lines[to:]
    return b"".join(lines)


def divider(content: bytes, rng: Rng) -> bytes:
    """What divides words or cells becomes something else, once or always."""
    old, new = (
        pick((b",", b"\t", b" ", b":", b"=", b'"', b"|", b"\n"), rng),
        pick((b",", b"\t", b" ", b";", b'"', b""), rng),
    )
    return content.replace(old, new, int(pick((1, 1, -1), rng)))


def encoding(content: bytes, rng: Rng) -> bytes:
    text = content.decode(errors="replace")
    return text.encode(
        str(rng.choice(["utf-16", "utf-8-sig", "latin-1", "utf-32", "cp1252", "utf-7"])), errors="replace"
    )


TO_TEXT: tuple[Damage, ...] = (word, word, word, odd_word, line, line, divider, encoding, cut, flip, take_out, repeat)


def text(content: bytes, rng: Rng) -> bytes:
    """One blow to what is known to be text."""
    return pick(TO_TEXT, rng)(content, rng)
