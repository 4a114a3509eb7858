"""How fast each utterance is compared with the others of its speaker, and its flag found, beside the plain ways.

    .venv/bin/python -m benchmarks.speed.similarity [--rounds 5]

Mean cosines of 5,000 speakers of 50 utterances, in the order of their speakers and shuffled, and of one speaker of
20,000, beside a matrix a speaker by numpy and by scikit-learn. Then quartiles of 250,000 scores beside a loop of
numpy.percentile and pandas. Vectors are random, of length one; growth is that from a tenth of the utterances. How it is
timed: `turns`.
"""

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.speed.turns import extra_mb, in_turns, machine
from curate.outliers import quartiles
from curate.similarity import Indices, Scores, Vectors, self_similarity, unit

OURS = "sums, compiled (ours)"


def people(num_speakers: int, num_each: int, dimension: int, *, shuffled: bool = False) -> tuple[Vectors, Indices]:
    """Unit vectors (N, D) and whose each is."""
    rng = np.random.default_rng(1)
    speaker = np.repeat(np.arange(num_speakers), num_each)
    if shuffled:
        rng.shuffle(speaker)
    voice = rng.standard_normal((num_speakers, dimension), dtype=np.float32)
    return unit(voice[speaker] + rng.standard_normal((len(speaker), dimension), dtype=np.float32)), speaker


def by_numpy(unit_ND: Vectors, speaker: Indices) -> Scores:
    """A matrix of cosines a speaker."""
    found = np.empty(len(speaker))
    for rows in rows_of_each(speaker):
        mine = unit_ND[rows]
        found[rows] = ((mine @ mine.T).sum(axis=1) - 1) / (len(mine) - 1)
    return found


def by_sklearn(unit_ND: Vectors, speaker: Indices) -> Scores:
    """The same, as most notebooks do it."""
    found = np.empty(len(speaker))
    for rows in rows_of_each(speaker):
        matrix = cosine_similarity(unit_ND[rows])
        found[rows] = (matrix.sum(axis=1) - 1) / (len(matrix) - 1)
    return found


def rows_of_each(speaker: Indices) -> list[slice | Indices]:
    """Slices where rows come speaker by speaker, as that is faster."""
    if (np.diff(speaker) >= 0).all():
        ends = np.cumsum(np.bincount(speaker)).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    return list(np.split(np.argsort(speaker, kind="stable"), np.cumsum(np.bincount(speaker))[:-1]))


def by_percentile(scores: Scores, speaker: Indices) -> NDArray[np.float64]:
    """(2, S) by a loop."""
    return np.stack([np.percentile(scores[rows], [25, 75]) for rows in rows_of_each(speaker)], axis=1)


def by_pandas(scores: Scores, speaker: Indices) -> NDArray[np.float64]:
    """(2, S) by its own groups."""
    found = pd.Series(scores).groupby(speaker).quantile(np.array([0.25, 0.75]))
    return np.asarray(found, dtype=np.float64).reshape(-1, 2).T


def compare_many(rounds: int, *, shuffled: bool) -> None:
    """5,000 speakers."""
    vectors, speaker = people(5_000, 50, 192, shuffled=shuffled)
    print(f"5,000 speakers x 50 utterances, d 192{', shuffled' if shuffled else ''}")
    print(f"  extra memory of ours {extra_mb(lambda: self_similarity(vectors, speaker, 5_000)):.1f} MB")
    turns = in_turns(
        {
            OURS: lambda: self_similarity(vectors, speaker, 5_000).utterance,
            "numpy, a matrix a speaker": lambda: by_numpy(vectors, speaker),
            "scikit-learn, a matrix a speaker": lambda: by_sklearn(vectors, speaker),
        },
        rounds=rounds,
    )
    print(*turns.lines(OURS), sep="\n")
    plain = turns.found["numpy, a matrix a speaker"]
    print(f"  greatest difference from numpy's float32 {np.abs(turns.found[OURS] - plain).max():.1e}")


def compare_one(rounds: int) -> None:
    """One speaker of 20,000."""
    vectors, speaker = people(1, 20_000, 256)
    tenth = (vectors[:2_000], speaker[:2_000])
    print("one speaker of 20,000 utterances, d 256")
    print(f"  extra memory of ours {extra_mb(lambda: self_similarity(vectors, speaker, 1)):.1f} MB")
    turns = in_turns(
        {
            OURS: lambda: self_similarity(vectors, speaker, 1),
            "ours, a tenth of the utterances": lambda: self_similarity(*tenth, 1),
            "numpy's matrix": lambda: by_numpy(vectors, speaker),
        },
        rounds=rounds,
    )
    print(*turns.lines(OURS), sep="\n")
    taken, fewer = (np.median(turns.seconds[name]) for name in (OURS, "ours, a tenth of the utterances"))
    print(f"  ten times the utterances take {taken / fewer:.1f} times as long")


def compare_flags(rounds: int, *, shuffled: bool) -> None:
    """Quartiles of 5,000 speakers."""
    speaker = people(5_000, 50, 1, shuffled=shuffled)[1]
    scores = np.random.default_rng(2).normal(size=len(speaker))
    print(f"quartiles of 250,000 scores of 5,000 speakers{', shuffled' if shuffled else ''}")
    ours = "selected, compiled (ours)"
    turns = in_turns(
        {
            ours: lambda: np.stack(quartiles(scores, speaker, 5_000)),
            "pandas, groupby.quantile": lambda: by_pandas(scores, speaker),
            "numpy.percentile, a speaker at a time": lambda: by_percentile(scores, speaker),
        },
        rounds=rounds,
    )
    print(*turns.lines(ours), sep="\n")
    wrong = turns.found[ours] != turns.found["numpy.percentile, a speaker at a time"]
    print(f"  {wrong.sum()} of {wrong.size} quartiles are not numpy's to the last bit")


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(machine())
    for shuffled in (False, True):
        compare_many(rounds, shuffled=shuffled)
    compare_one(rounds)
    for shuffled in (False, True):
        compare_flags(rounds, shuffled=shuffled)


if __name__ == "__main__":
    main()
