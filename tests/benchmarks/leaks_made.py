"""Benchmarks that are made up, and what is found to be shared in them."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.leakage import leaks
from curate.exclusions import Exclusions
from curate.marks import Prints
from curate.schema import SOUND_PRINTS, SPLITS, UTTERANCES

KEYED = ("person", "speaker", "session", "recording", "samples", "transcript")


def row(name, split, **told):
    """An utterance of which everything is its own, but for what is told."""
    own = {"utterance_id": f"toy/{name}", "split": split, "identity_id": f"toy/{name}", "corpus": "toy"}
    own |= {"speaker_id": f"toy/{name}", "session_id": f"toy/{name}/s", "path": f"{name}.wav"}
    own |= {"content_sha256": f"bytes of {name}", "samples_sha256": f"samples of {name}", "landmarks": []}
    own["transcript"] = f"of {name} this is what was said in a studio"
    return own | told


def tables(rows):
    """SPLITS, UTTERANCES and SOUND_PRINTS; a row without a split is in none, one without samples has no print."""
    splits = [{"benchmark": "made", **one} for one in rows if one["split"] is not None]
    prints = [{"extractor": "toy", **one} for one in rows if one["samples_sha256"] is not None]
    return tuple(
        pa.Table.from_pylist([{name: one.get(name) for name in table.arrow().names} for one in some], table.arrow())
        for table, some in ((SPLITS, splits), (UTTERANCES, rows), (SOUND_PRINTS, prints))
    )


def found(rows, **more):
    """{(check, side, other): row} of LEAKS."""
    splits, utterances, prints = tables(rows)
    if "vectors" in more:
        ids, vectors = more["vectors"]
        more |= {"vectors": lambda: (ids, vectors.copy())}
    shared = leaks("made", splits, utterances.select, **({"sound_prints": Prints.held(prints)} | more))
    return {(one["check"], one["side"], one["other_side"]): one for one in shared.to_pylist()}


def shared_checks(rows, **more):
    """The checks that found something."""
    return {check for (check, *_), one in found(rows, **more).items() if one["num_shared"]}


def names(*entries):
    """A list of these."""
    return Exclusions(Path("names.txt"), frozenset(entries), entries[0])


def recording(rng, num=40):
    """Landmarks of so many peaks of a recording, two each."""
    first, frame = rng.integers(0, 99, num), np.sort(rng.integers(0, 500, num))
    hashes = first << 12 | rng.integers(0, 99, (2, num)) << 5 | rng.integers(1, 32, (2, num))
    return np.unique(hashes << 32 | frame)
