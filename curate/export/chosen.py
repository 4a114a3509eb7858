"""The utterances of a benchmark as rows on their way out: what nothing dropped, under people, with its split.

A row that a verdict put under another label goes out as that label's, with its sex and ages.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import Catalog
from curate.errors import ExportError
from curate.export.outgoing import Export, Outgoing, Trial
from curate.labels import labelled
from curate.schema import CORPORA, MODELS, SPLITS, TRIALS
from curate.storage import is_local, location

ROWS_AT_ONCE = 4_096
ABOUT_AUDIO = (  # what converting changes
    ("file", pa.string()),
    ("readable", pa.string()),
    ("sample_rate_hz", pa.int32()),
    ("num_samples", pa.int64()),
    ("num_channels", pa.int32()),
    ("start_s", pa.float64()),
    ("duration_s", pa.float64()),
    ("channel", pa.int16()),
    ("content_sha256", pa.string()),
)


def benchmark_of(catalog: Catalog, name: str | None) -> str:
    """The benchmark of this name, or the only one. Raises ExportError naming those that there are."""
    names = catalog.parts(SPLITS)
    if not names:
        raise ExportError(f"{catalog.root}: no splits; expected a benchmark that `curate run` or `curate build` made")
    if name is None and len(names) > 1:
        raise ExportError(f"{catalog.root} holds {', '.join(names)}; expected `--benchmark` to name one")
    if name is not None and name not in names:
        raise ExportError(f"{catalog.root}: no benchmark {name!r}; expected one of {', '.join(names)}")
    return name or names[0]


def outgoing_rows(
    catalog: Catalog, benchmark: str, *, min_duration_s: float = 0.0, max_duration_s: float = float("inf")
) -> pa.Table:
    """One row an utterance that goes out, in the order of ids.

    Raises ExportError where none is of such a length, and where the catalog's tables are not of one run; LocationError
    for a root that is no place.
    """
    utterances = labelled(catalog).rename_columns({"licence": "row_licence"})
    corpora = catalog.read(CORPORA)
    places = pa.array([str(location(root)) for root in corpora["root"].to_pylist()], pa.string())
    roots = pa.table({"corpus": corpora["corpus"], "root": places})
    splits = catalog.read(SPLITS, benchmark)
    rows = splits.join(utterances, "utterance_id", join_type="inner")
    rows = rows.join(roots, "corpus", join_type="inner").sort_by("utterance_id")
    if len(rows) < len(splits):
        raise ExportError(
            f"{catalog.root}: {len(splits) - len(rows)} of {len(splits)} utterances of {benchmark!r} are not in the "
            "tables of utterances and corpora; expected a catalog whose last `curate run` was completed"
        )
    rows = rows.append_column("file", pc.binary_join_element_wise(rows["root"], rows["path"], "/"))
    rows = rows.append_column("readable", rows["file"])
    long_enough = pc.greater_equal(rows["duration_s"], min_duration_s)
    left = rows.filter(pc.and_(long_enough, pc.less_equal(rows["duration_s"], max_duration_s)))
    if not len(left):
        raise ExportError(
            f"{catalog.root}: none of {len(rows)} utterances of {benchmark!r} lasts {min_duration_s} to "
            f"{max_duration_s} seconds; expected some"
        )
    return left


def described(row: dict[str, object]) -> Outgoing:
    """One row, with its file where the corpus has it."""
    youngest, oldest = row["age_min_years"], row["age_max_years"]
    plain = ("corpus", "split", "start_s", "duration_s", "channel", "sex", "age_source", "accent", "nationality")
    return Outgoing(
        utterance=row["utterance_id"],  # type: ignore[arg-type]
        speaker=row["identity_id"],  # type: ignore[arg-type]
        label=row["speaker_id"],  # type: ignore[arg-type]
        session=row["session_id"],  # type: ignore[arg-type]
        file=_place(str(row["file"]), row),
        file_in_corpus=row["path"],  # type: ignore[arg-type]
        readable=_place(str(row["readable"]), row),
        file_rate_hz=row["sample_rate_hz"],  # type: ignore[arg-type]
        file_num_samples=row["num_samples"],  # type: ignore[arg-type]
        file_num_channels=row["num_channels"],  # type: ignore[arg-type]
        age_years=None if youngest is None else (youngest, oldest),  # type: ignore[arg-type]
        licence=row["row_licence"],  # type: ignore[arg-type]
        language=row["language"],  # type: ignore[arg-type]
        transcript=row["transcript"],  # type: ignore[arg-type]
        corpus_split=row["corpus_split"],  # type: ignore[arg-type]
        content_sha256=row["content_sha256"],  # type: ignore[arg-type]
        **{name: row[name] for name in plain},  # type: ignore[arg-type]
    )


def _place(file: str, row: dict[str, object]) -> Path:
    """Of the audio: below its root, which may be elsewhere, or on this machine, where it was converted."""
    root = _root(str(row["root"]))
    if is_local(root) or not file.startswith(f"{row['root']}/"):
        return Path(file)
    return root / str(row["path"])


@lru_cache(maxsize=256)
def _root(text: str) -> Path:
    return location(text)


def in_order(rows: pa.Table) -> Iterator[Outgoing]:
    """The rows one by one; few of them are Python objects at once."""
    for batch in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield described(row)


def with_audio(rows: pa.Table, converted: Iterator[Outgoing]) -> pa.Table:
    """The rows with their audio as it was converted, in the same order."""
    columns: dict[str, list[object]] = {name: [] for name, _ in ABOUT_AUDIO}
    for one in converted:
        values = (one.file, one.source, one.file_rate_hz, one.file_num_samples, one.file_num_channels)
        told = (str(values[0]), str(values[1]), *values[2:], *one.stretch.values())
        for column, value in zip(columns.values(), told, strict=True):
            column.append(value)
    for name, kind in ABOUT_AUDIO:
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(columns[name], kind))
    return rows


def mixed(rows: pa.Table) -> pa.Table:
    """The rows in an order by chance that is the same every time."""
    return rows.take(np.random.default_rng(0).permutation(len(rows)))


def trials_among(catalog: Catalog, benchmark: str, rows: pa.Table) -> pa.Table:
    """The benchmark's trials (list, enrol_id, test_id, is_target) of which all utterances go out, also a model's."""
    trials = catalog.read(TRIALS, benchmark)
    there = rows["utterance_id"].combine_chunks()
    enrolled = pa.concat_arrays([there, models_among(catalog, benchmark, rows)["model_id"].combine_chunks().unique()])
    both = pc.and_(pc.is_in(trials["enrol_id"], value_set=enrolled), pc.is_in(trials["test_id"], value_set=there))
    return trials.filter(both).select(["list", "enrol_id", "test_id", "is_target"])


def models_among(catalog: Catalog, benchmark: str, rows: pa.Table) -> pa.Table:
    """The benchmark's models (model_id, utterance_id) all of whose utterances go out."""
    if benchmark not in catalog.parts(MODELS):  # what `curate run` draws has none
        return MODELS.arrow().empty_table().select(["model_id", "utterance_id"])
    models = catalog.read(MODELS, benchmark).select(["model_id", "utterance_id"])
    lost = models.filter(pc.invert(pc.is_in(models["utterance_id"], value_set=rows["utterance_id"].combine_chunks())))
    return models.filter(pc.invert(pc.is_in(models["model_id"], value_set=lost["model_id"].combine_chunks())))


def each_trial(trials: pa.Table) -> Iterator[Trial]:
    """The trials one by one."""
    for batch in trials.to_batches(max_chunksize=ROWS_AT_ONCE):
        columns = (batch[name].to_pylist() for name in ("enrol_id", "test_id", "is_target"))
        for enrol, test, is_target in zip(*columns, strict=True):
            yield Trial(enrol=enrol, test=test, is_target=is_target)


def as_export(name: str, rows: pa.Table, trials: pa.Table, models: pa.Table, out: Path) -> Export:
    """What every form is handed, with audio where the corpora have it; of the models those that a trial enrols."""
    licences = rows["row_licence"].unique().to_pylist()
    enrolled = models.filter(pc.is_in(models["model_id"], value_set=trials["enrol_id"].combine_chunks()))
    of_model: dict[str, list[str]] = {}
    for model, utterance in zip(*(enrolled[c].to_pylist() for c in ("model_id", "utterance_id")), strict=True):
        of_model.setdefault(model, []).append(utterance)
    return Export(
        name=name,
        splits=tuple(sorted(rows["split"].unique().to_pylist())),
        utterances=lambda split: in_order(rows.filter(pc.equal(rows["split"], split))),
        mixed=lambda split: in_order(mixed(rows.filter(pc.equal(rows["split"], split)))),
        lists=tuple(sorted(trials["list"].unique().to_pylist())) or ("test",),
        trials=lambda asked: each_trial(trials.filter(pc.equal(trials["list"], asked))),
        models={model: tuple(of) for model, of in of_model.items()},
        out=out,
        licence=licences[0] if len(licences) == 1 else None,
    )
