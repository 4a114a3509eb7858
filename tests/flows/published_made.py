"""A small catalog to publish: tidy corpora under several licences, and one whose words are as odd as words can be."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import soundfile

from curate.catalog import Catalog, rows_of
from curate.schema import (
    AGE_LABELS,
    CORPORA,
    DECISIONS,
    IDENTITIES,
    LEAKS,
    RESULTS,
    RUNS,
    SPLITS,
    TRIALS,
    UTTERANCES,
)

ODD = (
    "<script>alert(1)</script>",
    "\"quoted\" 'twice' \\ `ticks` {braces} $math$",
    "\u202eright to left\u200f \u2066",
    "line\nbreak\r\n---\nname: no # | > & * ! % @ :",
    "- ? : , [] {} ~ null yes 0x1f 1e3 \u0085 \u2028",
    "ố" * 5_000,
)
LICENCES = {"studio": "CC-BY-4.0", "calls": "CC-BY-NC-SA-4.0", "odd": "CC0-1.0"}


def write_catalog(
    root: Path, *, licences: Mapping[str, str | None] = LICENCES, odd: Sequence[str] = ODD, url: str | None = None
) -> Catalog:
    """`studio` and `odd` are whole files, `calls` are stretches of one; `odd` has a person for each odd text.

    Its citation is the fourth of them; all corpora have the same URL.
    """
    catalog, utterances = Catalog(root / "catalog"), []
    for number, text in enumerate(odd):
        for take in (1, 2):
            path = _file(root / "odd", f"{number}-{take}.flac", 2_000)
            row = _row("odd", f"{text}/{take}", text, path, root / "odd", 2_000)
            utterances.append(row | {"transcript": text, "accent": text, "nationality": text, "sex": "female"})
    for speaker, sex in (("an", "female"), ("bình", "male")):
        for take in (1, 2, 3):
            path = _file(root / "studio", f"{speaker}-{take}.wav", 4_000)
            row = _row("studio", f"{speaker}/{take}", speaker, path, root / "studio", 4_000)
            utterances.append(row | {"sex": sex, "age_min_years": 40, "age_max_years": 49, "language": "vi"})
    call = _file(root / "calls", "long.wav", 16_000)
    for place, speaker in enumerate(("x", "x", "y", "y")):
        row = _row("calls", f"long-{place}", speaker, call, root / "calls", 4_000)
        utterances.append(row | {"start_s": place * 0.5, "language": "no"})
    for row in utterances:
        row["licence"] = licences[str(row["corpus"])]
    _publish(catalog, utterances, _terms(root, licences, odd[3], url))
    return catalog


def _file(folder: Path, name: str, num_samples: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([num_samples, *name.encode()])
    soundfile.write(folder / name, rng.normal(0, 0.1, num_samples), 8_000)
    return folder / name


def _row(corpus: str, name: str, speaker: str, path: Path, root: Path, num_samples: int) -> dict[str, object]:
    return {
        "utterance_id": f"{corpus}/{name}",
        "corpus": corpus,
        "speaker_id": f"{corpus}/{speaker}",
        "session_id": f"{corpus}/{speaker}/{name}",
        "path": path.relative_to(root).as_posix(),
        "start_s": 0.0,
        "duration_s": num_samples / 8_000,
        "sample_rate_hz": 8_000,
        "num_channels": 1,
        "num_samples": soundfile.info(path).frames,
        "content_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _terms(root: Path, licences: Mapping[str, str | None], citation: str, url: str | None) -> list[dict]:
    """Rows of CORPORA."""
    cited = {"studio": "Who & where {2020}", "calls": None, "odd": citation}
    common = {"reader": "folder", "url": url}
    return [
        common | {"corpus": one, "root": str(root / one), "licence": licences[one], "citation": cited[one]}
        for one in cited
    ]


def _publish(catalog: Catalog, utterances: list[dict], corpora: list[dict]) -> None:
    def put(table, rows, part="all"):
        catalog.publish(table, rows_of(table, rows), part=part, fingerprint="")

    put(CORPORA, corpora)
    for corpus in (one["corpus"] for one in corpora):
        put(UTTERANCES, [row for row in utterances if row["corpus"] == corpus], corpus)
    dropped = "studio/bình/3"
    told = {"subject": "utterance", "decided_by": "a rule", "step": "clean", "run_id": "0", "score": 0.1}
    put(
        DECISIONS,
        [
            told
            | {"subject_id": row["utterance_id"]}
            | (
                {"verdict": "drop", "reason": "too_short"}
                if row["utterance_id"] == dropped
                else {"verdict": "keep", "reason": "ok"}
            )
            for row in utterances
        ],
        "clean",
    )
    labels = sorted({str(row["speaker_id"]) for row in utterances})
    put(IDENTITIES, [{"speaker_id": one, "identity_id": one} for one in labels])
    put(
        AGE_LABELS,
        [
            {"scheme": "leq29", "utterance_id": row["utterance_id"]}
            | ({"age_group": "adult"} if row["corpus"] == "studio" else {"unlabelled_because": "no_age"})
            for row in utterances
        ],
    )
    left = [row for row in utterances if row["utterance_id"] != dropped]
    split_of = {row["utterance_id"]: "train" if row["corpus"] == "calls" else "test" for row in left}
    put(
        SPLITS,
        [
            {
                "benchmark": "toy",
                "utterance_id": row["utterance_id"],
                "identity_id": row["speaker_id"],
                "split": split_of[row["utterance_id"]],
            }
            for row in left
        ],
        "toy",
    )
    person = {row["utterance_id"]: row["speaker_id"] for row in left}
    pairs = combinations([one for one, split in split_of.items() if split == "test"], 2)
    put(
        TRIALS,
        [
            {"benchmark": "toy", "list": "test", "enrol_id": a, "test_id": b, "is_target": person[a] == person[b]}
            for a, b in pairs
        ],
        "toy",
    )
    put(
        LEAKS,
        [
            {
                "benchmark": "toy",
                "check": "person",
                "side": "test",
                "other_side": "train",
                "num_side": 8,
                "num_other": 2,
                "num_unknown": 0,
                "num_shared": 0,
                "num_utterances": 0,
                "num_other_utterances": 0,
                "is_allowed": False,
            }
        ],
        "toy",
    )
    put(
        RESULTS,
        [
            {
                "benchmark": "toy",
                "list": "test",
                "system": "ge2e",
                "subset": "all",
                "metric": "eer",
                "value": 0.125,
                "num_target": 10,
                "num_nontarget": 126,
                "conventions": "tied scores | one point",
            }
        ],
        "toy",
    )
    done = {"part": "toy", "num_rows": 1, "summary": "", "versions": "{}", "fingerprint": "f"}
    at = datetime(2026, 3, 4, 23, 59, tzinfo=UTC)
    put(RUNS, [done | {"run_id": "1", "step": "split", "settings": '{"num_test_speakers": 8}', "finished_at": at}])
