"""A Hugging Face data set: `load_dataset(folder)` gives the utterances with their audio, split by split.

Writes `data/<split>-<nnnnn>-of-<nnnnn>.parquet`, shards of about half a gigabyte, a row an utterance with the column
`audio` of bytes and path; `trials/<list>-00000-of-00001.parquet`, a row a trial; `models/train-00000-of-00001.parquet`,
a row an utterance of a model, where trials enrol models; and `README.md`, whose front matter names two configurations
or three: that of the benchmark (the default), `trials-<benchmark>` with a split a list, and `models-<benchmark>`, which
is in no parts and so, as the Hub has it, all `train`. Names with hyphens have underscores there, as splits must.

A file that is one utterance goes out byte by byte, whatever its format: a loader that lacks a decoder for it says so. A
stretch or one side of a call is cut and written as 24-bit FLAC, which holds every sample of 16- and 24-bit audio as it
is. No sampling rate is declared, as loaders would resample to it: each audio says its own. The form cannot say which
stretch of which file an utterance was.

Format: https://huggingface.co/docs/datasets/repository_structure and the class `Audio` of `datasets`.
"""

import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from curate import audio
from curate.errors import ExportError
from curate.export.hub_card import Contents, hub_card
from curate.export.outgoing import TOLD, Export, Outgoing
from curate.export.sound import quantised
from curate.storage import is_local

CAN_HOLD = (*TOLD, "split", "trials", "models")
HOLDS_AUDIO = True  # what the audio was made into need not be kept beside
BYTES_PER_SHARD = 500_000_000
BYTES_PER_ROW_GROUP = 50_000_000
ROWS_PER_ROW_GROUP = 1000
ROWS_AT_ONCE = 100_000  # of trials and models
FETCHED_AT_ONCE = 8  # files of a store

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("utterance_id", "string", "which utterance"),
    ("speaker_id", "string", "the person who speaks, across corpora"),
    ("label", "string", "what a corpus calls the speaker"),
    ("corpus", "string", "where it comes from"),
    ("session_id", "string", "which of the speaker's sessions"),
    ("duration_s", "float64", "how long it is"),
    ("sex", "string", "female or male"),
    ("age_min_years", "int32", "youngest age"),
    ("age_max_years", "int32", "oldest age"),
    ("age_source", "string", "who says so"),
    ("accent", "string", "as the corpus says"),
    ("nationality", "string", "as the corpus says"),
    ("language", "string", "which is spoken"),
    ("transcript", "string", "what is said"),
    ("corpus_split", "string", "in which part its corpus has it"),
    ("licence", "string", "of this utterance"),
)
_TRIAL_COLUMNS = (("enrol", "string"), ("test", "string"), ("is_target", "bool"))
_MODEL_COLUMNS = (("model", "string"), ("utterance", "string"))
_TYPES = {"string": pa.string(), "float64": pa.float64(), "int32": pa.int32(), "bool": pa.bool_()}


def write(out: Path, export: Export) -> None:
    """The whole data set. Raises ExportError for a split or a list whose name the form does not allow."""
    splits, lists = _allowed("split", export.splits), _allowed("list", export.lists)
    contents = {name: _write_split(out / "data", name, split, export) for name, split in splits.items()}
    for name, asked in lists.items():
        rows = ({"enrol": one.enrol, "test": one.test, "is_target": one.is_target} for one in export.trials(asked))
        _write_plain(out / "trials" / f"{name}-00000-of-00001.parquet", _TRIAL_COLUMNS, rows)
    if export.models:
        rows = ({"model": model, "utterance": one} for model, of in export.models.items() for one in of)
        _write_plain(out / "models" / "train-00000-of-00001.parquet", _MODEL_COLUMNS, rows)
    meanings = [(name, meaning) for name, _, meaning in COLUMNS]
    (out / "README.md").write_text(hub_card(export, contents, lists, meanings), encoding="utf-8", newline="\n")


def _allowed(what: str, names: tuple[str, ...]) -> dict[str, str]:
    """What Hugging Face lets them be called -> what they are. Raises ExportError for one without such a name."""
    allowed = {name.replace("-", "_"): name for name in names}
    for name in names:
        plain = name.replace("-", "_")
        if not re.fullmatch(r"\w+(\.\w+)*", plain):
            raise ExportError(f"{what} {name!r}; expected letters, digits and underscores, as Hugging Face allows")
        if allowed[plain] != name:
            raise ExportError(f"{what}s {name!r} and {allowed[plain]!r} are both {plain!r} there; expected one of them")
    return allowed


def _write_split(folder: Path, name: str, split: str, export: Export) -> Contents:
    """Shards are counted when all are written, and get their names then."""
    folder.mkdir(exist_ok=True)
    contents, shards = Contents(), _Shards(folder, name)
    for one, row in _with_rows(export.utterances(split)):
        shards.add(row)
        contents.num_utterances += 1
        contents.duration_s += one.duration_s
        contents.speakers.add(one.speaker)
        contents.languages.update([one.language] if one.language else [])
        contents.licences[one.licence or "not told"] += 1
    shards.close()
    return contents


def _with_rows(utterances: Iterator[Outgoing]) -> Iterator[tuple[Outgoing, dict[str, Any]]]:
    """In their order. A store answers late, but many at a time."""
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as threads:
        while some := list(islice(utterances, FETCHED_AT_ONCE)):
            is_here = all(is_local(one.source) for one in some)
            yield from zip(some, map(_row, some) if is_here else threads.map(_row, some), strict=True)


class _Shards:
    """Parquet files of bounded size; a few rows are in memory at a time."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._paths: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = self._shard_bytes = 0

    def add(self, row: dict[str, Any]) -> None:
        size = len(row["audio"]["bytes"])
        if self._writer and self._shard_bytes + size > BYTES_PER_SHARD:
            self._end_shard()
        if self._writer is None:
            self._begin_shard()
        self._rows.append(row)
        self._row_bytes += size
        self._shard_bytes += size
        if self._row_bytes >= BYTES_PER_ROW_GROUP or len(self._rows) >= ROWS_PER_ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """A split without utterances is a shard without rows, so that it can be loaded, too."""
        if not self._paths:
            self._begin_shard()
        self._end_shard()
        for number, path in enumerate(self._paths):
            path.rename(self._folder / f"{self._split}-{number:05d}-of-{len(self._paths):05d}.parquet")

    def _begin_shard(self) -> None:
        self._paths.append(self._folder / f"{self._split}-{len(self._paths):05d}.unfinished")
        plain = [name for name, _, _ in COLUMNS]  # audio repeats nothing, and has no least value worth keeping
        self._writer = pq.ParquetWriter(self._paths[-1], _schema(), use_dictionary=plain, write_statistics=plain)
        self._shard_bytes = 0

    def _end_shard(self) -> None:
        self._flush()
        if self._writer:
            self._writer.close()
        self._writer = None

    def _flush(self) -> None:
        if self._rows and self._writer:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=_schema()))
        self._rows, self._row_bytes = [], 0


def _schema() -> pa.Schema:
    """With what `datasets` reads its features from."""
    fields = [pa.field("audio", pa.struct({"bytes": pa.binary(), "path": pa.string()}))]
    features: dict[str, dict[str, str]] = {"audio": {"_type": "Audio"}}
    for name, kind, _ in COLUMNS:
        fields.append(pa.field(name, _TYPES[kind]))
        features[name] = {"dtype": kind, "_type": "Value"}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _row(one: Outgoing) -> dict[str, Any]:
    content, suffix = _sound(one)
    youngest, oldest = one.age_years or (None, None)
    return {
        "audio": {"bytes": content, "path": one.utterance + suffix},
        "utterance_id": one.utterance,
        "speaker_id": one.speaker,
        "label": one.label,
        "corpus": one.corpus,
        "session_id": one.session,
        "duration_s": one.duration_s,
        "sex": one.sex,
        "age_min_years": youngest,
        "age_max_years": oldest,
        "age_source": one.age_source,
        "accent": one.accent,
        "nationality": one.nationality,
        "language": one.language,
        "transcript": one.transcript,
        "corpus_split": one.corpus_split,
        "licence": one.licence,
    }


def _sound(one: Outgoing) -> tuple[bytes, str]:
    """The file as it is, or what is cut out of it."""
    if one.is_whole_file:
        return audio.content_of(one.source, one.content_sha256), one.file.suffix.lower()
    samples, rate = audio.read(one.source, **one.stretch)
    whole, subtype = quantised(samples, 24)
    file = io.BytesIO()
    soundfile.write(file, whole, rate, format="FLAC", subtype=subtype)
    return file.getvalue(), ".flac"


def _write_plain(path: Path, columns: tuple[tuple[str, str], ...], rows: Iterator[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    features = {name: {"dtype": kind, "_type": "Value"} for name, kind in columns}
    schema = pa.schema(
        [pa.field(name, _TYPES[kind]) for name, kind in columns],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    with pq.ParquetWriter(path, schema) as file:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            file.write_table(pa.Table.from_pylist(some, schema=schema))
