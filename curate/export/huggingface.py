"""A Hugging Face data set: `load_dataset(folder)` gives the utterances with their audio, split by split.

Writes `data/<split>-<nnnnn>-of-<nnnnn>.parquet`, shards of about half a gigabyte, a row an utterance with the column
`audio` of bytes and path; `trials/<list>-00000-of-00001.parquet`, a row a trial; `models/train-00000-of-00001.parquet`,
a row an utterance of a model, where trials enrol models; and `README.md`, whose front matter names two configurations
or three: that of the benchmark (the default), `trials-<benchmark>` with a split a list, and `models-<benchmark>`, which
is in no parts and so, as the Hub has it, all `train`. Names with hyphens have underscores there, as splits must.

A file that is one utterance goes out byte by byte, whatever its format: a loader that lacks a decoder for it says so. A
stretch or one side of a call is cut and written as 24-bit FLAC, which holds every sample of 16- and 24-bit audio as it
is. No sampling rate is declared, as loaders would resample to it: each audio says its own. The export does not say
which stretch of which file an utterance was; what `curate publish` writes in this form does (SOURCE_COLUMNS), and may
leave the audio out.

Format: https://huggingface.co/docs/datasets/repository_structure and the class `Audio` of `datasets`.
"""

import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
SOURCE_COLUMNS: tuple[tuple[str, str, str], ...] = (  # where in its corpus the audio is, for who has that
    ("source_file", "string", "of the corpus, relative to its root"),
    ("source_start_s", "float64", "where in that file it begins"),
    ("source_channel", "int32", "of that file, counted from 0; null: all of them"),
    ("source_sample_rate_hz", "int32", "of that file"),
    ("source_sha256", "string", "of that file's bytes"),
)
TRIAL_COLUMNS = (
    ("enrol", "string", "utterance_id, or a model"),
    ("test", "string", "utterance_id"),
    ("is_target", "bool", "one person speaks both"),
)
MODEL_COLUMNS = (("model", "string", "what trials enrol"), ("utterance", "string", "that it is made of"))
_TYPES = {"string": pa.string(), "float64": pa.float64(), "int32": pa.int32(), "bool": pa.bool_()}


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written, by the names that splits and lists have there."""

    splits: dict[str, Contents]
    lists: dict[str, str]  # as the benchmark calls them


def write(out: Path, export: Export) -> None:
    """The whole data set. Raises ExportError for a split or a list whose name the form does not allow."""
    written = write_data(out, export)
    meanings = [(name, meaning) for name, _, meaning in COLUMNS]
    card = hub_card(export, written.splits, written.lists, meanings)
    (out / "README.md").write_text(card, encoding="utf-8", newline="\n")


def write_data(
    out: Path, export: Export, columns: tuple[tuple[str, str, str], ...] = COLUMNS, *, has_audio: bool = True
) -> Written:
    """All but the card. Without audio the first column is left out. Raises ExportError as `write`."""
    splits, lists = _allowed("split", export.splits), _allowed("list", export.lists)
    form = Form(columns=columns, has_audio=has_audio)
    contents = {name: _write_split(out / "data", name, split, export, form) for name, split in splits.items()}
    for name, asked in lists.items():
        rows = ({"enrol": one.enrol, "test": one.test, "is_target": one.is_target} for one in export.trials(asked))
        _write_plain(out / "trials" / f"{name}-00000-of-00001.parquet", TRIAL_COLUMNS, rows)
    if export.models:
        rows = ({"model": model, "utterance": one} for model, of in export.models.items() for one in of)
        _write_plain(out / "models" / "train-00000-of-00001.parquet", MODEL_COLUMNS, rows)
    return Written(splits=contents, lists=lists)


@dataclass(frozen=True, kw_only=True)
class Form:
    """Which columns a split has."""

    columns: tuple[tuple[str, str, str], ...]
    has_audio: bool

    def row(self, one: Outgoing) -> dict[str, Any]:
        """One utterance in these columns, with its audio."""
        told = _told(one)
        row = {name: told[name] for name, _, _ in self.columns}
        if not self.has_audio:
            return row
        content, suffix = _sound(one)
        return {"audio": {"bytes": content, "path": one.utterance + suffix}} | row

    def schema(self) -> pa.Schema:
        """With what `datasets` reads its features from."""
        fields = [pa.field("audio", pa.struct({"bytes": pa.binary(), "path": pa.string()}))] if self.has_audio else []
        features: dict[str, dict[str, str]] = {"audio": {"_type": "Audio"}} if self.has_audio else {}
        for name, kind, _ in self.columns:
            fields.append(pa.field(name, _TYPES[kind]))
            features[name] = {"dtype": kind, "_type": "Value"}
        return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


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


def _write_split(folder: Path, name: str, split: str, export: Export, form: Form) -> Contents:
    """Shards are counted when all are written, and get their names then."""
    folder.mkdir(exist_ok=True)
    contents, shards = Contents(), _Shards(folder, name, form)
    for one, row in _with_rows(export.utterances(split), form):
        shards.add(row)
        contents.num_utterances += 1
        contents.duration_s += one.duration_s
        contents.speakers.add(one.speaker)
        contents.languages.update([one.language] if one.language else [])
        contents.licences[one.licence or "not told"] += 1
    shards.close()
    return contents


def _with_rows(utterances: Iterator[Outgoing], form: Form) -> Iterator[tuple[Outgoing, dict[str, Any]]]:
    """In their order. A store answers late, but many at a time."""
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as threads:
        while some := list(islice(utterances, FETCHED_AT_ONCE)):
            is_here = not form.has_audio or all(is_local(one.source) for one in some)
            yield from zip(some, map(form.row, some) if is_here else threads.map(form.row, some), strict=True)


class _Shards:
    """Parquet files of bounded size; a few rows are in memory at a time."""

    def __init__(self, folder: Path, split: str, form: Form) -> None:
        self._folder, self._split, self._form, self._schema = folder, split, form, form.schema()
        self._paths: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = self._shard_bytes = 0

    def add(self, row: dict[str, Any]) -> None:
        size = len(row["audio"]["bytes"]) if self._form.has_audio else 0
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
        plain = [
            name for name, _, _ in self._form.columns
        ]  # audio repeats nothing, and has no least value worth keeping
        self._writer = pq.ParquetWriter(self._paths[-1], self._schema, use_dictionary=plain, write_statistics=plain)
        self._shard_bytes = 0

    def _end_shard(self) -> None:
        self._flush()
        if self._writer:
            self._writer.close()
        self._writer = None

    def _flush(self) -> None:
        if self._rows and self._writer:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._row_bytes = [], 0


def _told(one: Outgoing) -> dict[str, Any]:
    youngest, oldest = one.age_years or (None, None)
    return {
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
        "source_file": one.file_in_corpus,
        "source_start_s": one.start_s,
        "source_channel": one.channel,
        "source_sample_rate_hz": one.file_rate_hz,
        "source_sha256": one.content_sha256,
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


def _write_plain(path: Path, columns: tuple[tuple[str, str, str], ...], rows: Iterator[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    schema = Form(columns=columns, has_audio=False).schema()
    with pq.ParquetWriter(path, schema) as file:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            file.write_table(pa.Table.from_pylist(some, schema=schema))
