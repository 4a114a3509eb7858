"""A small catalog to review: three speakers whose utterances are tones on the disk, judged by made-up rules."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from curate.audio import sha256_of
from curate.blocks import fixed_size_lists
from curate.catalog import Catalog, rows_of
from curate.schema import CORPORA, DECISIONS, EMBEDDINGS, RUNS, SPEAKER_PAIRS, UTTERANCES

RATE_HZ = 8_000
PLAIN = ("one/ann", "one/bob", "two/cem")
T0 = datetime(2026, 1, 2, tzinfo=UTC)


def tone(pitch_hz, num_samples):
    return 0.4 * np.sin(2 * np.pi * pitch_hz * np.arange(num_samples) / RATE_HZ)


def review_catalog(
    root: Path, *, speakers=PLAIN, names=None, transcript="xin chào", num_each=4, with_sound=True
) -> Catalog:
    """Of each speaker `num_each` utterances of 0.5 s; `names` gives utterances other ids than `<speaker>/<n>`.

    Rules: of the first speaker the first utterance is dropped, the second relabelled to the second speaker; the first
    two speakers are merged, the first and third narrowly missed. One utterance of the third speaker is not heard.
    """
    catalog, corpora = Catalog(root / "catalog"), sorted({speaker.partition("/")[0] for speaker in speakers})
    rows, vectors = [], []
    for at, speaker in enumerate(speakers):
        for turn in range(num_each):
            usual = f"{speaker}/{turn}"
            path = root / "audio" / f"s{at}-{turn}.wav"
            if with_sound:
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, tone(200 * (at + 1) + 10 * turn, RATE_HZ // 2), RATE_HZ, subtype="FLOAT")
            rows.append(
                {
                    "utterance_id": (names or {}).get(usual, usual),
                    "corpus": speaker.partition("/")[0],
                    "speaker_id": speaker,
                    "path": path.name,
                    "start_s": 0.0,
                    "duration_s": 0.5,
                    "sample_rate_hz": RATE_HZ,
                    "num_channels": 1,
                    "num_samples": RATE_HZ // 2,
                    "content_sha256": sha256_of(path) if with_sound else None,
                    "transcript": transcript,
                }
            )
            vectors.append([1.0 + at, 0.5 * turn, 1.0 if at == 1 else -0.5 * at])
    for corpus in corpora:
        own = [row for row in rows if row["corpus"] == corpus]
        catalog.publish(UTTERANCES, rows_of(UTTERANCES, own), part=corpus, fingerprint="f")
    places = [{"corpus": corpus, "reader": "folder", "root": str(root / "audio")} for corpus in corpora]
    catalog.publish(CORPORA, rows_of(CORPORA, places), fingerprint="f")
    ids = [row["utterance_id"] for row in rows]
    heard = sorted(zip(ids[:-1], vectors[:-1], strict=True))
    columns = {"utterance_id": [one for one, _ in heard], "extractor": ["x"] * len(heard)}
    columns["vector"] = fixed_size_lists(np.float32([vector for _, vector in heard]))
    catalog.publish(EMBEDDINGS, pa.table(columns), part="x", fingerprint="f")
    _judge(catalog, ids, list(speakers))
    return catalog


def _judge(catalog: Catalog, ids: list[str], speakers: list[str]) -> None:
    def row(subject, one, verdict, reason, score=None, lower=None, other=None, step="clean"):
        bounds = {"score": score, "lower_bound": lower, "upper_bound": None}
        by = {"decided_by": "a rule", "step": step, "run_id": "0"}
        ids = {"subject": subject, "subject_id": one, "other_id": other}
        return ids | {"verdict": verdict, "reason": reason} | bounds | by

    clean = [
        row("utterance", ids[0], "drop", "unlike_speaker", 0.29, 0.3),
        row("utterance", ids[1], "relabel", "wrong_speaker", 0.1, 0.3, other=speakers[1]),
        *(row("utterance", one, "keep", "ok", 0.4 + 0.05 * at, 0.3) for at, one in enumerate(ids[2:-1])),
        *(row("speaker", one, "keep", "ok", 0.7 + 0.1 * at, 0.6) for at, one in enumerate(speakers)),
    ]
    same = [
        row("pair", *sorted(speakers[:2])[:1], "merge", "same_person", 0.9, 0.8, sorted(speakers[:2])[1], "identities")
    ]
    short = [row("utterance", ids[-1], "drop", "too_short", 0.5, 1.0, step="ingest")]
    for step, rows in (("ingest", short), ("clean", clean), ("identities", same)):
        catalog.publish(DECISIONS, rows_of(DECISIONS, rows), part=step, fingerprint="f")
    one, other = sorted((speakers[0], speakers[2]))
    near = [{"speaker_id": one, "other_id": other, "similarity": 0.79}]
    catalog.publish(SPEAKER_PAIRS, rows_of(SPEAKER_PAIRS, near), fingerprint="f")
    told = {"run_id": "0", "step": "identities", "part": "all", "finished_at": T0, "num_rows": 1, "summary": ""}
    told |= {"settings": json.dumps({"min_similarity": 0.8}), "versions": "{}", "fingerprint": "f"}
    catalog.publish(RUNS, rows_of(RUNS, [told]), part="identities", fingerprint="f")
