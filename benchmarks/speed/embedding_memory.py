"""Whether the engine of embeddings needs the same memory for few utterances and for many.

    .venv/bin/python -m benchmarks.speed.embedding_memory [--sizes 1000 10000 100000]

Planning, decoding, embedding and gathering of so many files of 0.1 s, each size in a process of its own, so that its
greatest memory can be asked for. The encoder is a projection to 256 numbers: a network adds its weights, whatever the
number of utterances. The plain way holds the vectors of all utterances, and then makes one table of them.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray

from curate import audio
from curate.blocks import BlockStore, fixed_size_lists
from curate.catalog import Catalog, Sorted, rows_of
from curate.decisions import Author
from curate.embed import embed_block
from curate.schema import DECISIONS, EMBEDDINGS, SOUND_PRINTS, UTTERANCES
from curate.vectors import embedding_rows, plan, print_rows, without_vector

RATE_HZ, SECONDS, DIMENSION = 16_000, 0.1, 256
FILES_A_FOLDER = 1_000
PER_BLOCK = 256
WAYS = ("here", "plain")


class Projection:
    """An encoder that costs no memory of its own."""

    name, fingerprint, sample_rate_hz, dimension = "projection", "projection-1", RATE_HZ, DIMENSION
    min_same_person: float | None = None
    min_one_person: float | None = None
    batch_s = 0.0

    def __init__(self) -> None:
        self._weights = np.random.default_rng(1).normal(size=(160, DIMENSION)).astype(np.float32)

    def embed(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(N, 256)."""
        return np.stack([np.abs(self._spectrum(waveform)) for waveform in waveforms])

    def _spectrum(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        frames: NDArray[np.float32] = waveform[: len(waveform) // 160 * 160].reshape(-1, 160) @ self._weights
        return np.asarray(frames.mean(axis=0), dtype=np.float32)


def write_corpus(root: Path, num_files: int) -> None:
    """Files of noise, each different, and the catalog that a scan would make of them."""
    catalog = Catalog(root / "catalog")
    catalog.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="ingest-noise", fingerprint="1")
    catalog.publish(UTTERANCES, Sorted(lambda: _described(root, num_files)), part="noise", fingerprint="1")


def _described(root: Path, num_files: int) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(0)
    for first in range(0, num_files, FILES_A_FOLDER):
        folder = root / f"{first:07d}"
        folder.mkdir()
        rows = []
        for number in range(first, min(first + FILES_A_FOLDER, num_files)):
            file = folder / f"{number:07d}.wav"
            soundfile.write(file, rng.normal(0, 0.1, round(RATE_HZ * SECONDS)), RATE_HZ)
            rows.append(
                {
                    "utterance_id": f"noise/{number:07d}",
                    "corpus": "noise",
                    "speaker_id": f"noise/{number // 100}",
                    "path": f"{folder.name}/{file.name}",
                    "content_sha256": audio.sha256_of(file),
                    "start_s": 0.0,
                    "duration_s": SECONDS,
                }
            )
        yield from rows_of(UTTERANCES, rows).to_batches()


def embed_here(root: Path) -> int:
    """The engine as a run uses it, on two threads."""
    catalog, store, encoder = Catalog(root / "catalog"), BlockStore(root / "blocks"), Projection()
    planned = plan(catalog, store, {"noise": root}, root / "scratch")
    with ThreadPoolExecutor(2) as threads:
        waiting = []
        for block in planned.blocks(PER_BLOCK):
            waiting.append(threads.submit(embed_block, block, encoder, store))
            if len(waiting) > 2:
                waiting.pop(0).result()
        for future in waiting:
            future.result()
    rows = embedding_rows(catalog, store, extractor=encoder.name, dimension=DIMENSION, scratch=root / "scratch")
    without_vector(catalog, store, Author(rule="bench", step="embed", run_id="1"), root / "scratch")
    prints = print_rows(catalog, store, extractor=encoder.name, scratch=root / "scratch")
    catalog.publish(SOUND_PRINTS, prints, part=encoder.name, fingerprint="1")
    return catalog.publish(EMBEDDINGS, rows, part=encoder.name, fingerprint="1")


def embed_plainly(root: Path) -> int:
    """All rows, then all vectors, then one table."""
    catalog, encoder = Catalog(root / "catalog"), Projection()
    rows = catalog.read(UTTERANCES).select(["utterance_id", "path"]).to_pylist()
    vectors = [encoder.embed([audio.decode(root / row["path"], sample_rate_hz=RATE_HZ)])[0] for row in rows]
    table = pa.table(
        {
            "utterance_id": [row["utterance_id"] for row in rows],
            "extractor": [encoder.name] * len(rows),
            "vector": fixed_size_lists(np.stack(vectors)),
        }
    )
    return catalog.publish(EMBEDDINGS, table, part="plain", fingerprint="1")


def greatest_memory_mb(root: Path, way: str) -> float:
    """Of a process that does nothing else."""
    words = [sys.executable, "-m", "benchmarks.speed.embedding_memory", "--one", way, "--root", str(root)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        {"here": embed_here, "plain": embed_plainly}[asked.one](asked.root)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    first: dict[str, float] = {}
    for size in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(Path(folder), size)
            used = {way: greatest_memory_mb(Path(folder), way) for way in WAYS}
        first = first or used
        told = "   ".join(f"{way} {mb:6.0f} MB ({mb - first[way]:+5.0f})" for way, mb in used.items())
        print(f"{size:>9} utterances   {told}")


if __name__ == "__main__":
    main()
