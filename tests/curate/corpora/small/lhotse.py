"""Two sides of a call, a channel with a file of its own, and a whole file; recordings in the supervisions' order."""

import gzip
import json
from pathlib import Path

SETTINGS = {"recordings": Path("recordings.jsonl.gz"), "supervisions": {"train": Path("supervisions.jsonl.gz")}}


def _recording(name, *sources):
    told = [{"type": "file", "channels": channels, "source": source} for channels, source in sources]
    return {"id": name, "sources": told, "sampling_rate": 16000, "num_samples": 1600, "duration": 0.1}


RECORDINGS = [
    _recording("call", ([0, 1], "wav/call.wav")),
    _recording("unused", ([0], "wav/unused.wav")),
    _recording("pair", ([0], "wav/pair-a.wav"), ([1], "wav/pair-b.wav")),
    _recording("solo", ([0], "wav/solo.flac")),
]
SUPERVISIONS = [
    {"id": "call-a", "recording_id": "call", "start": 0.0, "duration": 0.04, "channel": 0, "speaker": "an"},
    {"id": "call-b", "recording_id": "call", "start": 0.05, "duration": 0.05, "channel": 1, "speaker": "ba"},
    {"id": "pair-b", "recording_id": "pair", "start": 0.0, "duration": 0.1, "channel": [1], "speaker": "ba"},
    {
        "id": "solo",
        "recording_id": "solo",
        "start": 0.0,
        "duration": 0.1,
        "channel": 0,
        "text": "Nói  gì",
        "speaker": "Dũng",
        "gender": "M",
        "custom": {"age": 34, "session": "s1", "split": "dev"},
    },
]


def make(root, sound):
    sound(root, "wav/call.wav", channels=2)
    sound(root, "wav/pair-a.wav", "wav/pair-b.wav", "wav/solo.flac")
    for name, rows in {"recordings": RECORDINGS, "supervisions": SUPERVISIONS}.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (root / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
