"""How fast files are looked into, beside soundfile and Lhotse, and whether a scan grows linearly in flat memory.

    .venv/bin/python -m benchmarks.speed.ingest [--files 10000] [--largest 100000]

Files are 0.5 s of speech-like noise at 16 kHz, in the page cache. Rates are per second of processor time, contenders in
turn in one process; the scan runs in a process of its own for each size, so that its greatest memory can be asked for.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from curate.audio import probe, probe_header
from curate.corpora.folder import Settings
from curate.headers import read_header
from curate.scan import scan

ROUNDS = 5
RATE_HZ, SECONDS = 16_000, 0.5
FILES_A_CHAPTER = 50
VARIANTS = 200  # so many different files; the rest repeats them


def variants(suffix: str) -> list[bytes]:
    """Encoded files, each different."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.{suffix}" for number in range(VARIANTS)]
        for number, file in enumerate(files):
            noise = np.random.default_rng(number).normal(0, 0.05, round(RATE_HZ * SECONDS))
            soundfile.write(file, np.convolve(noise, np.ones(8) / 8, mode="same"), RATE_HZ)
        return [file.read_bytes() for file in files]


def write_tree(root: Path, num_files: int, suffix: str) -> list[Path]:
    """LibriSpeech's layout with transcripts: speakers of two chapters of 50 files."""
    contents, files = variants(suffix), []
    for first in range(0, num_files, FILES_A_CHAPTER):
        chapter = first // FILES_A_CHAPTER
        name = f"{chapter // 2}-{chapter}"
        folder = root / "dev-clean" / str(chapter // 2) / str(chapter)
        folder.mkdir(parents=True)
        lines = []
        for number in range(first, min(first + FILES_A_CHAPTER, num_files)):
            file = folder / f"{name}-{number - first:04d}.{suffix}"
            file.write_bytes(contents[number % VARIANTS])
            files.append(file)
            lines.append(f"{file.stem} SOME WORDS\n")
        (folder / f"{name}.trans.txt").write_text("".join(lines))
    return files


def rates(contenders: dict[str, Callable[[], object]], num_files: int) -> dict[str, float]:
    """Files per second of processor time: the median of the rounds, in each of which all take their turn."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, work in contenders.items():
            started = time.process_time()
            work()
            taken[name].append(time.process_time() - started)
    return {name: num_files / statistics.median(seconds) for name, seconds in taken.items()}


def lhotse_prepares(root: Path) -> Callable[[], object]:
    """Lhotse's preparation of LibriSpeech, one job, nothing written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lhotse.recipes import prepare_librispeech

    logging.disable(logging.WARNING)
    os.environ["TQDM_DISABLE"] = "1"
    return lambda: prepare_librispeech(root, dataset_parts=["dev-clean"], num_jobs=1)


def compare(num_files: int) -> Iterator[str]:
    """Lines on the looks."""
    with tempfile.TemporaryDirectory() as folder:
        wavs, flacs = (write_tree(Path(folder) / suffix, num_files, suffix) for suffix in ("wav", "flac"))
        names = [str(file) for file in wavs]
        wav = rates(
            {
                "soundfile.info": lambda: [soundfile.info(name) for name in names],
                "header": lambda: [read_header(name) for name in names],
                "header + sha256": lambda: [probe_header(file) for file in wavs],
                "whole": lambda: [probe(file) for file in wavs],
            },
            num_files,
        )
        flac = rates(
            {
                "lhotse prepare_librispeech": lhotse_prepares(Path(folder) / "flac"),
                "header + sha256": lambda: [probe_header(file) for file in flacs],
                "whole": lambda: [probe(file) for file in flacs],
            },
            num_files,
        )
    for kind, found, peer in (("WAV", wav, "soundfile.info"), ("FLAC", flac, "lhotse prepare_librispeech")):
        for name, rate in found.items():
            yield f"{kind:5} {name:28} {rate:10,.0f} files/s  {rate / found[peer]:6.1f} x {peer}"


def scan_apart(num_files: int, look: str) -> dict[str, float]:
    """Seconds and greatest memory of one scan, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "corpus"
        write_tree(root, num_files, "wav")
        for file in root.rglob("*.trans.txt"):
            file.unlink()
        command = [sys.executable, "-m", "benchmarks.speed.ingest", "--scan", folder, "--look", look]
        return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def scan_here(folder: Path, look: str) -> dict[str, float]:
    """What `scan_apart` asks the other process for."""
    corpus = Settings(reader="folder", name="toy", root=folder / "corpus" / "dev-clean", look=look)  # type: ignore[arg-type]
    started = time.perf_counter()
    scan(corpus, folder / "aside", folder / "seen.sqlite", progress=lambda _: None)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return {"seconds": seconds, "megabytes": int(peak_kb) / 1024}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--look", default="header")
    asked = parser.parse_args()
    if asked.scan:
        sys.stdout.write(json.dumps(scan_here(asked.scan, asked.look)))
        return
    for line in compare(asked.files):
        sys.stdout.write(line + "\n")
    for look in ("header", "whole"):
        for num_files in (asked.largest // 100, asked.largest // 10, asked.largest):
            found = scan_apart(num_files, look)
            rate = num_files / found["seconds"]
            sys.stdout.write(
                f"scan, {look:6} {num_files:8,} files {rate:8,.0f} files/s  {found['megabytes']:6,.0f} MB\n"
            )


if __name__ == "__main__":
    main()
