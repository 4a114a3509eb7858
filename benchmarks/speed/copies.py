"""How many copies of real speech are told again, by how they were changed and by how long they are.

    python -m benchmarks.speed.copies CORPORA

Recordings are all of LibriSpeech, EmoDB and FSDD under CORPORA, and of each of LibriSpeech one piece of 1, 1.5, 2, 3,
5 and 10 s. All are copied in each of `WAYS`, one way after another, and held together with their copies. Of the copies
that `[duplicates]` calls near duplicates of their original, which is asked of the two alone, it counts how many share a
seed with it, how many `curate.duplicates` looks at and finds, and how many pairs of different files it tells falsely.
Ends with exit code 1 where one is told falsely, or more than `MAX_LOST` of those with a shared seed are not found.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.planting.sound import CODEC_COMPRESSION, Samples, at_snr, chords, through_codec
from curate import audio
from curate.duplicates import MIN_BESIDE, near_among, near_pairs
from curate.landmarks import landmarks
from curate.marks import Marks
from curate.presets import Duplicates
from curate.similarity import Flags, Indices

RATE_HZ, TELEPHONE_HZ = 16_000, 8_000
PIECES_S = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
LENGTHS_S = (0.0, 0.9, 2.0, 3.0, 5.0)  # of copies, from one to the next
MAX_LOST = 0.002
SETTINGS = Duplicates()
Way = Callable[[Samples, np.random.Generator], Samples]


# --------------------------------------------------------------------------------------------------- ways to change it


def gain(samples: Samples, rng: np.random.Generator) -> Samples:
    """12 dB less."""
    found: Samples = samples * np.float32(10 ** (-12 / 20))
    return found


def resampled(samples: Samples, rng: np.random.Generator) -> Samples:
    """To a telephone's rate and back."""
    return audio.resample(audio.resample(samples, RATE_HZ, TELEPHONE_HZ), TELEPHONE_HZ, RATE_HZ)


def vorbis(samples: Samples, rng: np.random.Generator) -> Samples:
    """As `curate plant` does it."""
    return through_codec(samples, RATE_HZ, CODEC_COMPRESSION)


def clipped(samples: Samples, rng: np.random.Generator) -> Samples:
    """12 dB beyond full scale."""
    loud = samples * np.float32(10 ** (12 / 20) / (np.abs(samples).max(initial=0) or 1))
    found: Samples = np.clip(loud, -1, 1)
    return found


def music(samples: Samples, rng: np.random.Generator) -> Samples:
    """At 10 dB."""
    return at_snr(samples, chords(len(samples), RATE_HZ, rng), 10.0)


def noise(snr_db: float) -> Way:
    """White."""
    return lambda samples, rng: at_snr(samples, rng.standard_normal(len(samples)).astype(np.float32), snr_db)


def telephone(subtype: str) -> Way:
    """Through a codec of libsndfile at 8 kHz and back."""

    def through(samples: Samples, rng: np.random.Generator) -> Samples:
        file = BytesIO()
        there = audio.resample(samples, RATE_HZ, TELEPHONE_HZ)
        soundfile.write(file, there, TELEPHONE_HZ, format="WAV", subtype=subtype)
        file.seek(0)
        return audio.resample(soundfile.read(file, dtype="float32")[0], TELEPHONE_HZ, RATE_HZ)

    return through


def part(duration_s: float) -> Way:
    """So much of it, from anywhere; of what is not twice as long, half."""

    def cut(samples: Samples, rng: np.random.Generator) -> Samples:
        length = int(min(duration_s * RATE_HZ, len(samples) / 2))
        start = int(rng.integers(len(samples) - length + 1))
        return samples[start : start + length]

    return cut


def both(one: Way, other: Way) -> Way:
    """One after the other."""
    return lambda samples, rng: other(one(samples, rng), rng)


HALF = part(np.inf)
WAYS: dict[str, Way] = {
    "gain of -12 dB": gain,
    "8 kHz and back": resampled,
    "Ogg Vorbis": vorbis,
    "12 dB clipped": clipped,
    "mu-law, 8 kHz": telephone("ULAW"),
    "GSM": telephone("GSM610"),
    "music of 10 dB": music,
    **{f"noise of {snr_db} dB": noise(snr_db) for snr_db in (20, 15, 10, 5)},
    "half": HALF,
    "half, Ogg Vorbis": both(HALF, vorbis),
    "half, GSM": both(HALF, telephone("GSM610")),
    "half, noise of 10 dB": both(HALF, noise(10)),
    "half, noise of 15 dB, mu-law": both(HALF, both(noise(15), telephone("ULAW"))),
    **{f"{length} s": part(length) for length in (1, 2, 3)},
    **{f"{length} s, GSM": both(part(length), telephone("GSM610")) for length in (1, 2, 3)},
    **{f"{length} s, noise of 15 dB": both(part(length), noise(15)) for length in (1, 2, 3)},
}


# ----------------------------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was told of C copies; false pairs of the originals with all of them."""

    duration_s: NDArray[np.float64]  # (C,)
    by_rule: Flags  # (C,) the copy and its original are near duplicates
    share_a_seed: Flags  # (C,) and share a seed
    is_found: Flags  # (C,) and are found
    num_false: int


def originals(corpora: Path, rng: np.random.Generator) -> tuple[list[Samples], Indices]:
    """R recordings, and of which file each is."""
    read = sorted((corpora / "LibriSpeech").glob("*/*/*/*.flac"))
    files = [
        *read,
        *sorted((corpora / "emodb/wav").glob("*.wav")),
        *sorted((corpora / "fsdd/recordings").glob("*.wav")),
    ]
    found: list[Samples] = []
    file_of: list[int] = []
    for number, file in enumerate(files):
        whole = audio.decode(file, sample_rate_hz=RATE_HZ)
        pieces = [part(length)(whole, rng) for length in PIECES_S if number < len(read)]
        found += [whole, *pieces]
        file_of += [number] * (1 + len(pieces))
    return found, np.array(file_of)


def measured(recordings: list[Samples], prints: list[Indices], file_of: Indices, way: Way, seed: int) -> Told:
    """Hold R recordings and a copy of each against each other."""
    rng = np.random.default_rng([2, seed])
    copies = [way(samples, rng) for samples in recordings]
    lists = [*prints, *(landmarks(np.ascontiguousarray(copy, np.float32), RATE_HZ) for copy in copies)]
    marks = Marks(values=np.concatenate(lists), offsets=np.cumsum([0, *map(len, lists)]))
    num, rows = len(recordings), np.arange(2 * len(recordings))
    pairs = np.arange(num) << 32 | np.arange(num) + num
    by_rule = np.isin(pairs, near_among(pairs, marks.values, marks.offsets[:-1], marks.offsets[1:], SETTINGS)[0])
    share, near = (near_pairs(marks, rows, SETTINGS, min_beside=least) for least in (2, MIN_BESIDE))
    of_row = np.concatenate([file_of, file_of])
    return Told(
        duration_s=np.array([len(copy) / RATE_HZ for copy in copies]),
        by_rule=by_rule,
        share_a_seed=by_rule & np.isin(pairs, share.one << 32 | share.other),
        is_found=by_rule & np.isin(pairs, near.one << 32 | near.other),
        num_false=int((of_row[near.one] != of_row[near.other]).sum()),
    )


def line(name: str, told: Told, rows: Flags | slice = slice(None)) -> str:
    """One of the table, of some copies."""
    rule, share, found = (int(flags[rows].sum()) for flags in (told.by_rule, told.share_a_seed, told.is_found))
    return f"| {name} | {len(told.by_rule[rows]):,} | {rule:,} | {share:,} | {found:,} | {share - found} |"


def joined(parts: list[Told]) -> Told:
    """All copies."""
    columns = ("duration_s", "by_rule", "share_a_seed", "is_found")
    together = {name: np.concatenate([getattr(told, name) for told in parts]) for name in columns}
    return Told(**together, num_false=sum(told.num_false for told in parts))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path)
    recordings, file_of = originals(parser.parse_args().corpora, np.random.default_rng(1))
    prints = [landmarks(samples, RATE_HZ) for samples in recordings]
    print("| copies | are there | near by the rule | share a seed | found | lost |\n| --- |" + " ---: |" * 5)
    parts = []
    for seed, (name, way) in enumerate(WAYS.items()):
        parts.append(measured(recordings, prints, file_of, way, seed))
        print(line(name, parts[-1]), flush=True)
    told = joined(parts)
    for least, below in pairwise([*LENGTHS_S, np.inf]):
        is_so_long = (told.duration_s >= least) & (told.duration_s < below)
        print(line(f"of {least:g} s or more, below {below:g} s", told, is_so_long))
    print(line("all", told), f"\n{told.num_false} pairs of different files are told the same", sep="\n")
    num_lost = int((told.share_a_seed & ~told.is_found).sum())
    sys.exit(int(told.num_false > 0 or num_lost > MAX_LOST * told.share_a_seed.sum()))


if __name__ == "__main__":
    main()
