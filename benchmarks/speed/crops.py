"""How fast crops of 2 s are read for training, beside voxceleb_trainer's way, which reads whole files.

    .venv/bin/python -m benchmarks.speed.crops [--rounds 5] [--folder ../shared/corpora/LibriSpeech] [--files 220]

Real FLAC where the folder is, else noise of 10 s written as FLAC. Files are in the memory of the system, which is good
for who reads whole ones. A batch is one crop of each file. voxceleb_trainer's way is written here from its description.
What has to be the same is looked at, too: crops from the cache are those of the files. How it is timed: `turns`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray

from benchmarks.speed.turns import Turns, in_turns, machine
from curate.audio import sha256_of
from models.data.crops import FileReader, Integers, Reader
from models.data.pcm_cache import MappedReader, room, write
from models.data.speech import Speech

NUM_SAMPLES = 32_000
WHOLE = "voxceleb_trainer: whole files, then a slice"
SEEKING = "ours: seeking in the files"
MAPPED = "ours: mapped cache"


def by_whole_files(files: list[Path], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each file is decoded to its end, in float64; one that is short is repeated, and a stretch is cut from it."""
    crops = []
    for file in files:
        samples, _ = soundfile.read(file)
        if len(samples) <= NUM_SAMPLES:
            samples = np.pad(samples, (0, NUM_SAMPLES - len(samples) + 1), "wrap")
        begin = int(rng.random() * (len(samples) - NUM_SAMPLES))
        crops.append(samples[begin : begin + NUM_SAMPLES])
    return np.stack(crops).astype(np.float32)


def by_reader(reader: Reader, rows: Integers) -> NDArray[np.float32]:
    """Our way, the same places each time."""
    return reader.crops(rows, NUM_SAMPLES, np.random.default_rng(1))


def speech_of(files: list[Path]) -> Speech:
    """An utterance a file."""
    frames = np.array([soundfile.info(file).frames for file in files])
    return Speech(
        utterance_ids=pa.array([file.stem for file in files]),
        files=files,
        start=np.zeros(len(files), np.int64),
        num_samples=frames,
        sample_rate_hz=np.full(len(files), 16_000),
        channel=np.full(len(files), -1),
        person=np.zeros(len(files), np.int64),
        people=["anybody"],
        content_sha256=[sha256_of(file) for file in files],
    )


def made(folder: Path, num_files: int) -> list[Path]:
    """Noise of 10 s, as loud as speech."""
    files = [folder / f"{number:04}.flac" for number in range(num_files)]
    for number, file in enumerate(files):
        soundfile.write(file, 0.05 * np.random.default_rng(number).standard_normal(160_000), 16_000)
    return files


def compare(files: list[Path], *, rounds: int, cache: Path) -> Turns:
    """Times of a batch, and whether crops are the same."""
    speech = speech_of(files)
    needed = room(speech, cache)
    write(speech, cache)
    rows: Integers = np.arange(len(files))
    ways: dict[str, Callable[[], NDArray[np.float32]]] = {
        MAPPED: partial(by_reader, MappedReader(speech, cache), rows),
        SEEKING: partial(by_reader, FileReader(speech), rows),
        WHOLE: partial(by_whole_files, files, np.random.default_rng(1)),
    }
    print(f"{len(files)} files of {speech.duration_s.mean():.1f} s on average; a cache of {needed.num_bytes:,} bytes")
    turns = in_turns(ways, rounds=rounds)
    print(*turns.lines(MAPPED), sep="\n")
    for name, taken in turns.seconds.items():
        print(f"  {name}: {len(files) / statistics.median(taken):,.0f} crops a second")
    apart = np.abs(turns.found[MAPPED] - turns.found[SEEKING]).max()
    print(f"  crops of the cache and of the files: apart by {apart:.1e} at most")
    return turns


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("../shared/corpora/LibriSpeech"))
    parser.add_argument("--files", type=int, default=220)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(given.folder.rglob("*.flac"))[: given.files] or made(Path(folder), given.files)
        compare(files, rounds=given.rounds, cache=Path(folder) / "cache")


if __name__ == "__main__":
    main()
