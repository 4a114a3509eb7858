"""How fast similar speakers are found among all pairs, beside the plain ways, and in what memory.

    .venv/bin/python -m benchmarks.speed.unification [--sizes 2000 20000] [--alone 100000] [--rounds 5]

Every pair of mean vectors whose product is at least 0.7, d 192. Ours tells each speaker's nearest other as well, and
computes in float64 what float32 cannot decide. Beside it: numpy by blocks of rows, which is what a patient notebook
does; the whole matrix by numpy and by scikit-learn; and faiss (`IndexFlatIP.range_search`), where it is installed: it
need not be. Means are made up: of lengths between 0.75 and 0.97, with a common direction as voices have, and one
speaker in a hundred is another's double. `--alone` is a size that only ours is run at. How it is timed: `turns`.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import linear_kernel

from benchmarks.speed.turns import extra_mb, in_turns, machine
from curate.similarity import Vectors, similar_pairs

OURS = "tiles of the upper half, checked (ours)"
DIMENSION = 192
MIN_SIMILARITY = 0.7
ROWS_PER_BLOCK = 1024
Pairs = NDArray[np.int64]


def mean_vectors(num_speakers: int) -> Vectors:
    """(S, D)."""
    rng = np.random.default_rng(1)
    common = rng.standard_normal(DIMENSION)
    voice = 0.5 * at_length_one(common[None]) + np.sqrt(0.75) * at_length_one(
        rng.normal(size=(num_speakers, DIMENSION))
    )
    double = rng.choice(num_speakers, num_speakers // 100, replace=False)
    voice[double] = 0.97 * voice[(double + 1) % num_speakers] + 0.03 * voice[double]
    means: Vectors = (at_length_one(voice) * rng.uniform(0.75, 0.97, size=(num_speakers, 1))).astype(np.float32)
    return means


def at_length_one(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, D)."""
    found: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def ours(mean_SD: Vectors) -> Pairs:
    """Without the pairs that are there for being nearest only."""
    found = similar_pairs(mean_SD, MIN_SIMILARITY)
    return np.stack([found.first, found.second])[:, found.similarity >= MIN_SIMILARITY]


def by_blocks(mean_SD: Vectors) -> Pairs:
    """Both halves, as the mask of a block is a rectangle."""
    found = []
    for row in range(0, len(mean_SD), ROWS_PER_BLOCK):
        first, second = np.nonzero(mean_SD[row : row + ROWS_PER_BLOCK] @ mean_SD.T >= MIN_SIMILARITY)
        found.append(np.stack([first + row, second])[:, first + row < second])
    return np.concatenate(found, axis=1)


def by_matrix(mean_SD: Vectors) -> Pairs:
    """All at once."""
    return np.stack(np.nonzero(np.triu(mean_SD @ mean_SD.T >= MIN_SIMILARITY, k=1)))


def by_sklearn(mean_SD: Vectors) -> Pairs:
    """The same by its own product."""
    return np.stack(np.nonzero(np.triu(linear_kernel(mean_SD) >= MIN_SIMILARITY, k=1)))


def by_faiss(mean_SD: Vectors) -> Pairs:
    """As its page shows."""
    import faiss  # type: ignore[import-not-found,import-untyped,unused-ignore]

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(mean_SD)
    limits, _, second = index.range_search(mean_SD, MIN_SIMILARITY)
    first = np.repeat(np.arange(len(mean_SD)), limits[1:].astype(np.int64) - limits[:-1].astype(np.int64))
    found = np.stack([first, second])[:, first < second]
    return found[:, np.lexsort((found[1], found[0]))]


def compare(num_speakers: int, rounds: int) -> None:
    """Print one line a way."""
    means = mean_vectors(num_speakers)
    print(f"{num_speakers:,} speakers, d {DIMENSION}")
    ways: dict[str, Callable[[Vectors], Pairs]] = {
        OURS: ours,
        "numpy, blocks of rows": by_blocks,
        "numpy, the whole matrix": by_matrix,
        "scikit-learn, the whole matrix": by_sklearn,
    }
    if importlib.util.find_spec("faiss"):
        ways["faiss, range_search"] = by_faiss
    else:
        print("  faiss is not installed: not compared")
    turns = in_turns({name: lambda way=way: way(means) for name, way in ways.items()}, rounds=rounds)  # type: ignore[misc]
    print(*turns.lines(OURS), sep="\n")
    same = [name for name, found in turns.found.items() if np.array_equal(found, turns.found[OURS])]
    print(f"  {turns.found[OURS].shape[1]} pairs; the same by {len(same)} of {len(ways)} ways")


def main() -> None:
    """Compare at each size, then run ours alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[2_000, 20_000])
    parser.add_argument("--alone", type=int, nargs="*", default=[100_000])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(machine())
    for num_speakers in asked.sizes:
        compare(num_speakers, asked.rounds)
    for num_speakers in asked.alone:
        means = mean_vectors(num_speakers)
        similar_pairs(means[:100], MIN_SIMILARITY)  # compiles
        started = time.process_time()
        memory = extra_mb(lambda means=means: similar_pairs(means, MIN_SIMILARITY))  # type: ignore[misc]
        taken = (time.process_time() - started) / 2  # as it runs twice
        print(f"{num_speakers:,} speakers alone: {taken:.1f} s, {memory:.1f} MB beside the means")


if __name__ == "__main__":
    main()
