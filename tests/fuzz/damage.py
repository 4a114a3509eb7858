"""Damage to files: bytes and words changed anywhere, or where a form has its lengths, counts and checksums.

A form is told by its first bytes. What only its makers would notice, such as the checksum of a page, is made right
again after the damage: else a reader would stop there each time, and what lies behind were never tried.
"""

import struct
import zipfile
import zlib

from tests.fuzz import sound_forms, table_forms
from tests.fuzz.blows import TO_BYTES, TO_TEXT, Damage, Rng, pick

MAX_BYTES = 1 << 20  # what grows beyond it is cut
MOST_BLOWS = 4
CANNOT_BE_FOLLOWED = (struct.error, IndexError, ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error)
FORMS: tuple[tuple[bytes, int, Damage], ...] = (
    (b"RIFF", 0, sound_forms.wave),
    (b"RF64", 0, sound_forms.wave),
    (b"fLaC", 0, sound_forms.flac),
    (b"OggS", 0, sound_forms.ogg),
    (b"ID3", 0, sound_forms.mp3),
    (b"\xff\xfb", 0, sound_forms.mp3),
    (b"\xff\xf3", 0, sound_forms.mp3),
    (b"NIST_1A\n", 0, sound_forms.sphere),
    (b"ftyp", 4, sound_forms.boxes),
    (b"PAR1", 0, table_forms.parquet),
    (b'{"', 8, table_forms.safetensors),
    (b"PK\x03\x04", 0, table_forms.archive),
    (b"\x1f\x8b", 0, table_forms.zipped),
)


def damaged(content: bytes, rng: Rng) -> bytes:
    """Another content, by one blow to a few."""
    for _ in range(min(int(rng.geometric(0.6)), MOST_BLOWS)):
        content = _blow(content, rng)
    return content[:MAX_BYTES]


def _blow(content: bytes, rng: Rng) -> bytes:
    known = next((blow for magic, at, blow in FORMS if content[at : at + len(magic)] == magic), None)
    if known is not None and rng.random() < 0.7:
        try:
            return known(content, rng)
        except (*CANNOT_BE_FOLLOWED, NotImplementedError, RuntimeError):
            pass  # damaged before
    is_text = content.isascii() or b"\x00" not in content[:1_000]
    return pick(TO_TEXT if is_text and rng.random() < 0.8 else TO_BYTES, rng)(content, rng)
