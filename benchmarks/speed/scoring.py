"""How fast a list of trials is scored by cosine, beside the ways of others, from arrays and from Parquet to Parquet.

    .venv/bin/python -m benchmarks.speed.scoring [--rounds 5] [--utterances 5000 150000] [--trials 1000000]

Random vectors of 192 dimensions and random pairs. The ways of WeSpeaker, voxceleb_trainer, SpeechBrain and disjoint-mtl
are written here from their description, without the text that theirs read and write; they go through a part of the
list, and times are told for a million trials. What a trial costs does not depend on the length of the list. How it is
timed: `turns`.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.scoring import Scorer, Side, cosine_scores, score_list
from benchmarks.speed.turns import Turns, extra_mb, in_turns, machine
from curate.similarity import Vectors, unit

DIMENSION, NUM_CROPS = 192, 10
AT_ONCE, IN_A_BLOCK = 1024, 100_000
OURS = "fused loop over places (ours)"
OF_STRINGS = "ours, ids of strings"
TO_PARQUET = "ours, Parquet to Parquet"
DISJOINT = "disjoint-mtl: stacked blocks of 100,000"

Places = NDArray[np.int32]
Names = list[tuple[str, str]]


def in_chunks(vectors: Vectors, enrol: Places, test: Places) -> NDArray[np.float64]:
    """Plain numpy: both sides are gathered, a chunk that stays in the cache at a time."""
    scores = np.empty(len(enrol))
    for start in range(0, len(enrol), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        scores[some] = np.einsum("td,td->t", vectors[enrol[some]], vectors[test[some]])
    return scores


def by_disjoint_mtl(heard: dict[str, torch.Tensor], trials: Names) -> NDArray[np.float32]:
    """Vectors are looked up and stacked, a block of trials at a time, and compared by `cosine_similarity`."""
    scores = []
    for start in range(0, len(trials), IN_A_BLOCK):
        block = trials[start : start + IN_A_BLOCK]
        left, right = (torch.stack([heard[pair[side]] for pair in block]) for side in (0, 1))
        scores.append(torch.nn.functional.cosine_similarity(left, right))
    return torch.cat(scores).numpy()


def by_speechbrain(heard: dict[str, torch.Tensor], trials: Names) -> NDArray[np.float32]:
    """A trial at a time, by an object of `CosineSimilarity`."""
    similarity = torch.nn.CosineSimilarity(dim=-1, eps=1e-6)
    scores = [similarity(heard[enrol][None], heard[test][None])[0] for enrol, test in trials]
    return torch.stack(scores).numpy()


def by_voxceleb_trainer(heard: dict[str, torch.Tensor], trials: Names) -> NDArray[np.float32]:
    """A trial at a time, by the distances of all ten crops of one to all ten of the other."""
    scores = []
    for enrol, test in trials:
        one, other = (torch.nn.functional.normalize(heard[name], p=2, dim=1) for name in (enrol, test))
        scores.append(-float(np.mean(torch.cdist(one, other).numpy())))
    return np.array(scores, dtype=np.float32)


def by_wespeaker(heard: dict[str, Vectors], trials: Names) -> NDArray[np.float32]:
    """A trial at a time, by scikit-learn's function of matrices."""
    scores = [cosine_similarity(heard[one][None], heard[other][None])[0][0] for one, other in trials]
    return np.array(scores, dtype=np.float32)


def compare(num_utterances: int, num_trials: int, *, rounds: int, folder: Path) -> Turns:
    """Times for a million trials, memory and agreement on one list."""
    rng = np.random.default_rng(1)
    vectors = unit(rng.standard_normal((num_utterances, DIMENSION), dtype=np.float32))
    ids = pa.array([f"voxceleb/id{i // 100:05d}/Qs3yXmcgCEo/{i % 100:05d}" for i in range(num_utterances)])
    enrol, test = rng.integers(num_utterances, size=(2, num_trials)).astype(np.int32)
    side = Side(ids=ids, rows=vectors)
    scorer = Scorer(enrol=side, test=side)
    source, strings = written(folder / "trials.parquet", ids, enrol, test)
    names = list(zip(*(ids.take(pa.array(one[:IN_A_BLOCK])).to_pylist() for one in (enrol, test)), strict=True))
    tensors = dict(zip(ids.to_pylist(), torch.from_numpy(vectors), strict=True))
    some = {name for pair in names[:5_000] for name in pair}
    crops = {name: tensors[name].repeat(NUM_CROPS, 1) for name in some}
    arrays = {name: tensors[name].numpy() for name in some}
    ways: dict[str, tuple[Callable[[], object], int]] = {
        OURS: (partial(scorer.scores, enrol, test), num_trials),
        OF_STRINGS: (partial(cosine_scores, strings, ids, vectors), num_trials),
        TO_PARQUET: (partial(score_list, source, "test", folder / "scores.parquet", scorer), num_trials),
        "chunks gathered by numpy": (partial(in_chunks, vectors, enrol, test), num_trials),
        DISJOINT: (partial(by_disjoint_mtl, tensors, names), len(names)),
        "SpeechBrain: one by one": (partial(by_speechbrain, tensors, names[:5_000]), 5_000),
        "voxceleb_trainer: crops, one by one": (partial(by_voxceleb_trainer, crops, names[:5_000]), 5_000),
        "WeSpeaker: scikit-learn, one by one": (partial(by_wespeaker, arrays, names[:500]), 500),
    }
    print(f"{num_trials:,} trials of {num_utterances:,} utterances, {vectors.nbytes / 2**20:.1f} MB of vectors")
    turns = a_million(in_turns({name: way for name, (way, _) in ways.items()}, rounds=rounds), ways)
    print(*turns.lines(OURS), sep="\n")
    for name in (OURS, TO_PARQUET, DISJOINT):
        print(f"  {name}: extra memory {extra_mb(ways[name][0]):.1f} MB")
    for name in (OF_STRINGS, "chunks gathered by numpy", DISJOINT, "SpeechBrain: one by one"):
        theirs = np.asarray(turns.found[name])
        print(f"  {name}: apart by {np.abs(theirs - turns.found[OURS][: len(theirs)]).max():.1e} at most")
    return turns


def written(path: Path, ids: pa.Array, enrol: Places, test: Places) -> tuple[Path, pa.Table]:
    """The list as `benchmarks.trials` writes it, and as a table of strings."""
    sides = {"enrol_id": enrol, "test_id": test}
    coded = {name: pa.DictionaryArray.from_arrays(places, ids) for name, places in sides.items()}
    kind = {"is_target": np.zeros(len(enrol), dtype=bool)}
    limit = 2 * ids.nbytes
    rows = pa.table({"list": pa.repeat("test", len(enrol)), **coded, **kind})
    pq.write_table(rows, path, compression="zstd", store_schema=False, dictionary_pagesize_limit=max(1 << 20, limit))
    return path, pa.table({name: ids.take(pa.array(places)) for name, places in sides.items()})


def a_million(turns: Turns, ways: dict[str, tuple[Callable[[], object], int]]) -> Turns:
    """The times for a million trials each."""
    scaled = {name: [one * 1e6 / ways[name][1] for one in taken] for name, taken in turns.seconds.items()}
    return replace(turns, seconds=scaled)


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--utterances", type=int, nargs="+", default=[5_000, 150_000])
    parser.add_argument("--trials", type=int, default=10**6)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    for num_utterances in given.utterances:
        with tempfile.TemporaryDirectory() as folder:
            compare(num_utterances, given.trials, rounds=given.rounds, folder=Path(folder))


if __name__ == "__main__":
    main()
