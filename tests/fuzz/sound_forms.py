"""Blows to sound files, where their forms have lengths, counts and checksums."""

import re
import struct
from functools import cache

from tests.fuzz.blows import ODD_NUMBERS, Rng, pick, text, with_number


def wave(content: bytes, rng: Rng) -> bytes:
    """RIFF: the length of a chunk, a number of the chunk `fmt `, a sample that is no number, or another form."""
    chunks, at = [], 12
    while at + 8 <= len(content) and len(chunks) < 20:
        chunks.append(at)
        at += 8 + struct.unpack_from("<I", content, at + 4)[0] // 2 * 2
    match int(rng.integers(5)):
        case 0:
            return with_number(content, pick(chunks, rng) + 4, 4, rng, "<")
        case 1:
            form = content.index(b"fmt ")
            return with_number(
                content, form + 8 + int(pick((0, 2, 4, 8, 12, 14, 16, 24), rng)), int(pick((2, 4), rng)), rng, "<"
            )
        case 2:
            return pick((b"RIFX", b"RF64", b"riff", b"FORM"), rng) + content[4:]
        case 3:
            data = content.index(b"data") + 8
            return content[:data] + struct.pack("<2f", float("nan"), float("inf")) + content[data + 8 :]
        case _:
            first = pick(chunks, rng)
            return (
                content[:first]
                + struct.pack(
                    "<4sI",
                    pick((b"LIST", b"fact", b"fmt ", b"data", b"bext"), rng),
                    int(pick((*ODD_NUMBERS, 2**32 - 1), rng)),
                )
                + content[first:]
            )


def flac(content: bytes, rng: Rng) -> bytes:
    """STREAMINFO: blocks, frames, rate, channels and samples; or the kind and length of any block of metadata."""
    if rng.random() < 0.3:
        return with_number(content, 4, 4, rng, ">")
    return with_number(content, int(pick((8, 10, 12, 15, 18, 20, 21, 22), rng)), int(pick((1, 2, 4), rng)), rng, ">")


def ogg(content: bytes, rng: Rng) -> bytes:
    """A page of Ogg: its flags, position, number, table of segments or packets; then its checksum, made right again."""
    starts = [found.start() for found in re.finditer(b"OggS", content)]
    at = pick(starts[:3] if rng.random() < 0.6 else starts, rng)
    page = bytearray(content[at : next((one for one in starts if one > at), len(content))])
    size = 27 + page[26]
    place = int(pick((4, 5, 6, 13, 14, 18, 26, *range(27, size), *range(size, min(size + 60, len(page)))), rng))
    changed = bytearray(with_number(bytes(page), place, int(pick((1, 1, 2, 4, 8), rng)), rng, "<"))
    changed[22:26] = bytes(4)
    changed[22:26] = struct.pack("<I", _ogg_checksum(bytes(changed)))
    return content[:at] + bytes(changed) + content[at + len(page) :]


@cache
def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 of RFC 3533: polynomial 04c11db7, not reflected, from 0."""
    value, table = 0, _ogg_table()
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value


def mp3(content: bytes, rng: Rng) -> bytes:
    """The header of a frame: version, layer, rate, padding, channels; or the tag before it."""
    frames = [at for at in range(len(content) - 4) if content[at] == 255 and content[at + 1] & 0xE0 == 0xE0][:50]
    if content[:3] == b"ID3" and rng.random() < 0.3:
        return with_number(content, int(pick((3, 5, 6), rng)), int(pick((1, 4), rng)), rng, ">")
    at = pick(frames, rng) + int(rng.integers(1, 4))
    return content[:at] + rng.bytes(1) + content[at + 1 :]


def sphere(content: bytes, rng: Rng) -> bytes:
    """The lines of the header; it keeps its 1,024 bytes, mostly."""
    head = text(content[:1024].rstrip(b"\x00 "), rng)
    return (head.ljust(1024)[:1024] if rng.random() < 0.8 else head) + content[1024:]


def boxes(content: bytes, rng: Rng) -> bytes:
    """MP4: the size or name of a box, or a number in the first bytes of one that holds tables."""
    found = [
        m.start()
        for m in re.finditer(
            b"moov|trak|mdia|minf|stbl|stsd|mp4a|alac|esds|stts|stsc|stsz|stco|co64|mdhd|hdlr|mdat|ftyp|edts|elst|mvhd|tkhd",
            content,
        )
    ]
    at = pick(found, rng)
    match int(rng.integers(4)):
        case 0:
            return with_number(content, at - 4, 4, rng, ">")
        case 1:
            return (
                content[:at]
                + pick(
                    (b"free", b"stsz", b"stco", b"co64", b"moof", b"trun", b"mp4a", b"alac", b".mp3", b"sowt", b"ulaw"),
                    rng,
                )
                + content[at + 4 :]
            )
        case _:
            return with_number(content, at + 4 + int(rng.integers(40)), int(pick((1, 2, 4), rng)), rng, ">")
