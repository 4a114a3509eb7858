"""The audio of a planted catalog, and the pipeline file by which the whole tool can be run on it.

What was altered is written as FLAC of 16 bits below `audio/<corpus>/altered`; every other file is a link to where it
lies. A manifest in `audio/<corpus>` says what the table of utterances says.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from benchmarks.planting.sound import Alteration, altered
from curate import audio
from curate.blocks import BlockStore, Key, SoundPrint, Stretch
from curate.catalog import read_parquet, write_text
from curate.config import Pipeline
from curate.corpora.described import CorpusSettings
from curate.decisions import Author, verdicts
from curate.embed import Extractor, embed_block
from curate.export.sound import file_name, quantised
from curate.ingest import judge_files
from curate.reasons import Subject, Verdict
from curate.schema import UTTERANCES
from curate.similarity import Vectors
from curate.storage import is_local

MANIFEST = "planted.jsonl"
PER_BLOCK = 4096
CARRIED = ("look", "licence", "language", "min_duration_s", "max_duration_s", "min_peak_dbfs")


@dataclass(frozen=True, kw_only=True)
class Sounding:
    """What became of the altered ones: all rows, vectors and sound prints where they could be had, else verdicts."""

    utterances: pa.Table
    vectors: dict[str, np.ndarray]
    prints: dict[str, SoundPrint]
    verdicts: pa.Table


def sound(
    utterances: pa.Table,
    originals: dict[str, dict[str, Any]],
    alterations: list[Alteration],
    *,
    pipeline: Pipeline,
    listener: Extractor,
    store: BlockStore,
    folder: Path,
    run_id: str,
) -> Sounding:
    """Write the altered audio below `folder`, look into it as ingest does, and have it heard."""
    made = {one.utterance_id: one for one in alterations}
    rows = utterances.to_pylist()
    for row in rows:
        if row["utterance_id"] in made:
            one = made[row["utterance_id"]]
            row |= _written(row, originals[one.original_id], one, pipeline, folder)
    new = [row for row in rows if row["utterance_id"] in made]
    author = Author(rule="limits of the corpus", step="embed", run_id=run_id)
    unfit = [
        judge_files(pipeline.corpus(name), pa.Table.from_pylist(told, schema=UTTERANCES.arrow()), author)
        for name, told in _by_corpus(new).items()
    ]
    out = {one for table in unfit for one in table["subject_id"].to_pylist()}
    fit = [row for row in new if row["utterance_id"] not in out]
    vectors, prints, faults = _heard(fit, listener, store, folder)
    unheard = verdicts(
        Author(rule=f"extractor {listener.name}", step="embed", run_id=run_id),
        Subject.UTTERANCE,
        list(faults),
        verdict=Verdict.DROP,
        reason=list(faults.values()),
    )
    return Sounding(
        utterances=pa.Table.from_pylist(rows, schema=utterances.schema),
        vectors=vectors,
        prints=prints,
        verdicts=pa.concat_tables([*unfit, unheard]),
    )


def _written(
    row: dict[str, Any], original: dict[str, Any], one: Alteration, pipeline: Pipeline, folder: Path
) -> dict[str, Any]:
    """One file, and what a look into it finds."""
    samples = audio.decode(
        pipeline.corpus(original["corpus"]).root / original["path"],
        start_s=original["start_s"],
        duration_s=original["duration_s"],
        channel=original["channel"],
        content_sha256=original["content_sha256"],
    )
    rate = original["sample_rate_hz"]
    path = f"altered/{file_name(row['utterance_id'].split('/', 1)[1])}.flac"
    file = folder / row["corpus"] / path
    file.parent.mkdir(parents=True, exist_ok=True)
    whole, subtype = quantised(altered(samples, rate, one), 16)
    soundfile.write(file, whole, rate, subtype=subtype, format="FLAC")
    probe = audio.probe(file)
    found = {
        name: getattr(probe, name)
        for name in ("content_sha256", "sample_rate_hz", "num_channels", "num_samples", "damage")
    }
    return found | {
        "path": path,
        "channel": None,
        "start_s": 0.0,
        "duration_s": probe.duration_s,
        "peak_dbfs": probe.peak_dbfs,
    }


def _heard(
    rows: list[dict[str, Any]], listener: Extractor, store: BlockStore, folder: Path
) -> tuple[dict[str, np.ndarray], dict[str, SoundPrint], dict[str, str]]:
    """A vector and a sound print of each, or the reason why it has none. Rows of the same audio are heard once."""
    block = {_key(row): _stretch(row, folder) for row in rows}
    if not block:
        return {}, {}, {}
    ordered = sorted(block.values(), key=lambda stretch: (-stretch.duration_s, stretch.content_sha256))
    name = embed_block(ordered, listener, store).block
    keys, vectors = store.read(name)
    vector, sound_print = dict(zip(keys, vectors, strict=True)), store.read_prints(name)
    reasons = read_parquet(store.folder / f"{name}.parquet", ["fault"])["fault"].to_pylist()
    reason = dict(zip(keys, reasons, strict=True))
    key_of = {row["utterance_id"]: _key(row) for row in rows}
    heard = {one: key for one, key in key_of.items() if reason[key] is None}
    return (
        {one: vector[key] for one, key in heard.items()},
        {one: sound_print[key] for one, key in heard.items()},
        {one: reason[key] for one, key in key_of.items() if one not in heard},
    )


def file_known(rows: list[dict[str, Any]], vectors: Vectors, prints: list[SoundPrint], store: BlockStore) -> None:
    """File what is known already of N rows, with vectors (N, D): a run on the planted corpora need not compute it."""
    for start in range(0, len(rows), PER_BLOCK):
        part = slice(start, start + PER_BLOCK)
        store.add([_stretch(row, Path()) for row in rows[part]], vectors[part], dict(enumerate(prints[part])), {})


def _stretch(row: dict[str, Any], folder: Path) -> Stretch:
    """As `curate.vectors` asks for it: times of whole samples, and one channel of a mono file is all of it."""
    rate = row["sample_rate_hz"]
    return Stretch(
        file=folder / row["corpus"] / row["path"],
        content_sha256=row["content_sha256"],
        start_s=round(row["start_s"] * rate) / rate,
        duration_s=round(row["duration_s"] * rate) / rate,
        channel=None if row["channel"] == 0 and row["num_channels"] == 1 else row["channel"],
    )


def _key(row: dict[str, Any]) -> Key:
    return _stretch(row, Path()).key


def _by_corpus(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["corpus"], []).append(row)
    return grouped


# ------------------------------------------------------------------------------------- as corpora of a pipeline file


def write_corpora(
    rows: list[dict[str, Any]], originals: dict[str, dict[str, Any]], *, pipeline: Pipeline, folder: Path
) -> None:
    """Links and manifests; `originals` are the rows that the untouched ones were, by utterance_id."""
    for corpus, told in _by_corpus(rows).items():
        for row in told:
            link = folder / corpus / row["path"]
            if row["utterance_id"] in originals and not link.is_symlink():
                original = originals[row["utterance_id"]]
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((pipeline.corpus(original["corpus"]).root / original["path"]).resolve())
        lines = [json.dumps(_in_manifest(row), ensure_ascii=False) for row in told]
        write_text(folder / corpus / MANIFEST, "\n".join(lines) + "\n")


def _in_manifest(row: dict[str, Any]) -> dict[str, Any]:
    """What the manifest reader makes the same row of."""
    corpus, speaker = row["corpus"], row["speaker_id"]
    is_whole = not row["start_s"] and row["duration_s"] == row["num_samples"] / row["sample_rate_hz"]
    youngest, oldest = row["age_min_years"], row["age_max_years"]
    age = None if youngest is None else str(youngest) if youngest == oldest else f"{youngest}-{oldest}"
    said = {
        "path": row["path"],
        "name": row["utterance_id"].removeprefix(f"{corpus}/"),
        "speaker": speaker.removeprefix(f"{corpus}/"),
        "session": row["session_id"] and row["session_id"].removeprefix(f"{speaker}/"),
        "work": row["work_id"] and row["work_id"].removeprefix(f"{corpus}/"),
        "start_s": None if is_whole else row["start_s"],
        "duration_s": None if is_whole else row["duration_s"],
        "channel": row["channel"],
        "age": age,
        "split": row["corpus_split"],
    }
    same = ("sex", "accent", "nationality", "language", "transcript", "licence")
    return {name: value for name, value in (said | {name: row[name] for name in same}).items() if value is not None}


def pipeline_text(
    pipeline_file: Path, pipeline: Pipeline, corpora: list[str], folder: Path, *, channels: set[str]
) -> str:
    """The pipeline file of the planted corpora: sections as in the one that was planted into, but for `corpora`."""
    said = tomllib.loads(pipeline_file.read_text(encoding="utf-8"))
    top = {key: value for key, value in said.items() if not isinstance(value, dict | list)}
    lines = [f"{key} = {_toml(value)}" for key, value in (top | {"catalog": "run"}).items()]
    for name in corpora:
        lines += ["", "[[corpora]]", *_section(_corpus_section(pipeline.corpus(name), folder, name in channels))]
    for key, section in said.items():
        if isinstance(section, dict):
            own = {"source": pipeline.embedding.source} if key == "embedding" and "source" in section else {}
            lines += ["", f"[{key}]", *_section(section | own)]
    return "\n".join(lines) + "\n"


def _corpus_section(corpus: CorpusSettings, folder: Path, has_channels: bool) -> dict[str, Any]:
    carried = {key: getattr(corpus, key) for key in CARRIED if getattr(corpus, key) is not None}
    own = {"name": corpus.name, "reader": "manifest", "root": str(folder / corpus.name), "manifest": MANIFEST}
    fields = {"fields": {"channel": "channel"}} if has_channels else {}
    return own | {"links": "anywhere"} | fields | carried


def _section(keys: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in keys.items()]


def _toml(value: Any) -> str:
    """A value as TOML; texts are written alike in both, and JSON has no infinity."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def can_be_linked(pipeline: Pipeline) -> bool:
    """Whether all audio lies on this machine."""
    return all(is_local(corpus.root) for corpus in pipeline.corpora)
