"""Blows to tables, weights and archives, where their forms have lengths, counts and checksums."""

import gzip
import io
import struct
import zipfile

from tests.fuzz.blows import TO_BYTES, Rng, pick, text, with_number, word

MAX_HELD = 1 << 20  # bytes of what is unpacked


def parquet(content: bytes, rng: Rng) -> bytes:
    """The footer, whose length is made right again, or the first bytes of a page."""
    (length,) = struct.unpack("<I", content[-8:-4])
    start = len(content) - 8 - length
    if rng.random() < 0.5 and length < len(content):
        footer = pick(TO_BYTES, rng)(content[start:-8], rng)
        if rng.random() < 0.3:
            footer = word(footer, rng)
        return content[:start] + footer + struct.pack("<I", len(footer)) + b"PAR1"
    at = int(rng.integers(4, max(min(start, 400), 5)))
    return content[:at] + rng.bytes(int(rng.integers(1, 3))) + content[at + 2 :]


def safetensors(content: bytes, rng: Rng) -> bytes:
    """The header in JSON, whose length is made right again, or that length."""
    (length,) = struct.unpack("<Q", content[:8])
    if rng.random() < 0.2:
        return with_number(content, 0, 8, rng, "<")
    head = text(content[8 : 8 + length], rng)
    return struct.pack("<Q", len(head)) + head + content[8 + length :]


def archive(content: bytes, rng: Rng) -> bytes:
    """A member of a zip file, as torch keeps weights in one; its checksum is made right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as before:
        members = {name: before.read(name) for name in before.namelist()}
    name = (
        pick([one for one in members if one.endswith(".pkl")] or list(members), rng)
        if rng.random() < 0.7
        else pick(list(members), rng)
    )
    match int(rng.integers(5)):
        case 0:
            members.pop(name)
        case 1:
            members[name] = word(members[name], rng)
        case _:
            members[name] = pick(TO_BYTES, rng)(members[name], rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as after:
        for one, held in members.items():
            after.writestr(zipfile.ZipInfo(one), held)
    return packed.getvalue()


def zipped(content: bytes, rng: Rng) -> bytes:
    """What is in a gzip file; now and then far more of it than the file is long."""
    held = gzip.decompress(content)[:MAX_HELD]
    if rng.random() < 0.02:
        return gzip.compress(held + bytes([int(rng.choice([0, 10, 32, 48]))]) * (1 << 26), 1, mtime=0)
    return gzip.compress(text(held, rng), 1, mtime=0)
