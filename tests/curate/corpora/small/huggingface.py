"""Parquet with the audio in it: two shards of one split, and a row that names a file instead."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SETTINGS = {"unpack": Path("unpacked")}
AUDIO = pa.struct({"bytes": pa.binary(), "path": pa.string()})
FEATURES = {
    "audio": {"_type": "Audio", "sampling_rate": 16000},
    "speaker_id": {"dtype": "string", "_type": "Value"},
    "gender": {"names": ["male", "female"], "_type": "ClassLabel"},
}


def write_table(path, rows, features=None):
    """Rows of (bytes or None, path, columns), with what `datasets` writes of its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"audio": pa.array([{"bytes": content, "path": said} for content, said, _ in rows], AUDIO)}
    for name in rows[0][2] if rows else ():
        columns[name] = pa.array([more[name] for *_, more in rows])
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


def make(root, sound):
    sound(root, "made/1.flac", rate=16000)
    sound(root, "made/2.wav", rate=8000)
    flac, wav = (root / "made" / name for name in ("1.flac", "2.wav"))
    first = {"speaker_id": "an", "gender": 1, "age": "twenties", "text": "xin chào"}
    second = {"speaker_id": "dũng", "gender": 0, "age": None, "text": None}
    third = {"speaker_id": "an", "gender": -1, "age": "34", "text": "ba"}
    write_table(
        root / "data/train-00000-of-00002.parquet",
        [(flac.read_bytes(), "/home/somebody/1.mp3", first), (wav.read_bytes(), "../../2", second)],
        FEATURES,
    )
    sound(root, "more/3.ogg")
    write_table(root / "data/train-00001-of-00002.parquet", [(None, "more/3.ogg", third)], FEATURES)
    flac.unlink()
    wav.unlink()
    (root / "made").rmdir()
