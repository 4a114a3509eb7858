"""Small catalogs to plant into."""

import numpy as np
import pyarrow as pa

from curate.schema import UTTERANCES

DIMENSION = 6


def utterance(speaker: str, number: int, *, session: str | None = "s1", sex: str | None = None, age: int | None = None):
    corpus, label = speaker.split("/", 1)
    name = f"{label}/{session or 'x'}-{number}"
    return {
        "utterance_id": f"{corpus}/{name}",
        "corpus": corpus,
        "speaker_id": speaker,
        "session_id": session and f"{speaker}/{session}",
        "path": f"{name}.wav",
        "channel": None,
        "start_s": 0.0,
        "duration_s": 2.0,
        "sample_rate_hz": 8000,
        "num_channels": 1,
        "num_samples": 16000,
        "peak_dbfs": -3.0,
        "content_sha256": f"{number:064x}",
        "sex": sex,
        "age_min_years": age,
        "age_max_years": age,
        "age_source": age and "corpus",
        "accent": f"accent of {label}",
    }


def catalog(**speakers: dict[str, int]) -> pa.Table:
    """Each speaker of corpus `c`, with the number of utterances in each of its sessions; the sexes take turns."""
    rows = [
        utterance(f"c/{name}", number, session=session, sex=("female", "male")[at % 2], age=20 + 10 * at)
        for at, (name, sessions) in enumerate(speakers.items())
        for session, count in sessions.items()
        for number in range(count)
    ]
    return table(rows)


def table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=UTTERANCES.arrow()).sort_by("utterance_id")


def vectors_of(utterances: pa.Table, *, spread: float = 0.3, seed: int = 0) -> np.ndarray:
    """(N, DIMENSION): each speaker around a direction of its own; the same for the same id."""
    rng = np.random.default_rng(seed)
    speakers = sorted(set(utterances["speaker_id"].to_pylist()))
    centre = {speaker: rng.standard_normal(DIMENSION) for speaker in speakers}
    own = {one: rng.standard_normal(DIMENSION) for one in sorted(utterances["utterance_id"].to_pylist())}
    pairs = zip(utterances["utterance_id"].to_pylist(), utterances["speaker_id"].to_pylist(), strict=True)
    return np.stack([centre[speaker] + spread * own[one] for one, speaker in pairs]).astype(np.float32)
