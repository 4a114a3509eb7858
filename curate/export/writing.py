"""Write a benchmark in one form: into a folder beside, which takes its name when all is there.

The catalog and the corpora may lie in a store; the export lies on this machine.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.compute as pc

from curate.audio import DECODERS, SOURCES
from curate.catalog import Catalog, canonical_json, rename_durably
from curate.corpora.inventory import inventory_of
from curate.errors import ExportError
from curate.export import form, sound
from curate.export.chosen import (
    ROWS_AT_ONCE,
    as_export,
    benchmark_of,
    in_order,
    models_among,
    outgoing_rows,
    trials_among,
    with_audio,
)
from curate.export.outgoing import AUDIO
from curate.export.sound import Conversion, converted
from curate.runs import code_fingerprint, content_fingerprint
from curate.schema import CORPORA, SPLITS, TRIALS
from curate.storage import is_local, location, renewed
from curate.whole import opened_here, sync


def export_benchmark(
    catalog: Catalog,
    to: str,
    out: Path,
    *,
    benchmark: str | None = None,
    conversion: Conversion | None = None,
    min_duration_s: float = 0.0,
    max_duration_s: float = float("inf"),
    workers: int = 2,
) -> str:
    """Write the export, and say in one line what it holds. Without a conversion it refers to audio where that lies.

    Raises ExportError where something is at `out`, where nothing is chosen, and where the form cannot hold what is.
    """
    target, out = form(to), here(out)
    refuse_taken(out)
    refuse_within(out, catalog)
    if not 0 <= min_duration_s <= max_duration_s:
        raise ExportError(f"lengths from {min_duration_s} to {max_duration_s} s; expected the least first, from 0 on")
    with catalog.as_one():
        name = benchmark_of(catalog, benchmark)
        rows = outgoing_rows(catalog, name, min_duration_s=min_duration_s, max_duration_s=max_duration_s)
        trials, models = trials_among(catalog, name, rows), models_among(catalog, name, rows)
        num_all, num_trials = len(catalog.read(SPLITS, name)), len(catalog.read(TRIALS, name))
    if conversion is None:
        refuse_unopened(rows, target, to)
    refuse_missing(rows)
    with unfinished(out, made_from(rows, conversion)) as folder:
        if conversion is not None:
            sounds = converted(in_order(rows), conversion, folder / AUDIO, final=out / AUDIO, workers=workers)
            rows = with_audio(rows, sounds)
        target.write(folder, as_export(name, rows, trials, models, out))
        if conversion is not None and getattr(target, "HOLDS_AUDIO", False):
            shutil.rmtree(folder / AUDIO)
        sync_all(folder)
        if out.exists():
            out.rmdir()  # empty, or this fails
        rename_durably(folder, out)
    rates = sorted(rows["sample_rate_hz"].unique().to_pylist())
    left = f"; {num_all - len(rows)} utterances and {num_trials - len(trials)} trials left out by length"
    summary = f"{out}: {len(rows)} utterances, {len(trials)} trials ({to})"
    told = f"; {len(rates)} sampling rates ({', '.join(map(str, rates))} Hz): `--rate` makes them one"
    return summary + (left if num_all > len(rows) else "") + (told if len(rates) > 1 else "")


def made_from(rows: pa.Table, conversion: Conversion | None) -> str:
    """What converted audio depends on, so that an export that was stopped goes on with what is there."""
    how = None if conversion is None else asdict(conversion)
    columns = ("utterance_id", "content_sha256", "start_s", "duration_s", "channel", "path")
    audio = content_fingerprint(rows.select(columns)) if conversion else ""
    code = code_fingerprint(*SOURCES, Path(sound.__file__)) if conversion else ""
    versions = DECODERS | {"soxr": version("soxr")}
    return canonical_json({"conversion": how, "audio": audio, "code": code, "versions": versions})


@contextmanager
def unfinished(out: Path, made_from: str) -> Iterator[Path]:
    """The folder beside, where the export is written: empty but for audio that is of the same make.

    A note beside it says of what make it is; whoever writes holds that. Raises ExportError where another process does,
    and where the folder is somebody else's.
    """
    folder = out.with_name(out.name + ".unfinished")
    folder.parent.mkdir(parents=True, exist_ok=True)
    note = folder.with_name(folder.name + ".json")
    if folder.is_symlink():
        raise ExportError(f"{folder}: a link; expected it to be taken away")
    with opened_here(note, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not note.exists() or not os.path.samestat(
                note.stat(), os.fstat(file.fileno())
            ):  # its holder took it away
                raise BlockingIOError
        except BlockingIOError:
            raise ExportError(f"{folder}: another process is writing it; expected to be the only one") from None
        file.seek(0)
        left = file.read()
        folder.mkdir(exist_ok=True)
        if not left and any(folder.iterdir()):
            note.unlink()
            raise ExportError(f"{folder}: holds what no export has left there; expected it to be taken away")
        for entry in folder.iterdir():
            if not entry.is_dir():
                entry.unlink()
            elif left != made_from or entry.name != AUDIO:
                shutil.rmtree(entry)
        file.truncate(0)
        file.write(made_from)
        file.flush()
        os.fsync(file.fileno())
        try:
            yield folder
        finally:
            if not (folder / AUDIO).exists():  # it has its name now, or there is nothing to go on with
                shutil.rmtree(folder, ignore_errors=True)
                note.unlink()


def sync_all(folder: Path) -> None:
    """Have the disk hold what was written, before the folder takes its name."""
    for path in (*sorted(folder.rglob("*")), folder):
        sync(path)


def here(out: Path) -> Path:
    """The folder as an absolute path. Raises ExportError for an address: a store renames no folder."""
    if not is_local(out):
        raise ExportError(f"{out}: an address; expected a folder of this machine, to be uploaded when it is written")
    return out.absolute()


def refuse_taken(out: Path) -> None:
    """Raises ExportError where there is something already."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ExportError(f"{out} is there already; expected a folder that is not, or is empty")


def refuse_within(out: Path, catalog: Catalog) -> None:
    """Raises ExportError where the export would be taken for a part of the catalog, or of a corpus."""
    roots = catalog.read(CORPORA)["root"].to_pylist() if catalog.parts(CORPORA) else []
    for folder in map(Path.absolute, filter(is_local, (catalog.root, *map(location, roots)))):
        if out.is_relative_to(folder):
            raise ExportError(f"{out} is within {folder}; expected a folder outside of the catalog and of all corpora")


def refuse_unopened(rows: pa.Table, target: ModuleType, to: str) -> None:
    """Raises ExportError where the form would name audio in a store that its tools cannot open; `OPENS` of it says."""
    if getattr(target, "HOLDS_AUDIO", False):
        return
    for root in rows["root"].unique().to_pylist():
        scheme, mark, _ = root.partition("://")
        if mark and scheme not in getattr(target, "OPENS", ()):
            raise ExportError(f"{root}: audio there is out of reach for what reads {to}; expected a copy: `--audio`")


def refuse_missing(rows: pa.Table) -> None:
    """Raises ExportError naming the first file that is not where the catalog says; CorpusError where nobody answers."""
    for root in rows["root"].unique().to_pylist():
        of_root = rows.filter(pc.equal(rows["root"], root))
        for file, corpus in _missing(location(root), of_root.select(["path", "file", "corpus"])):
            raise ExportError(
                f"{file} is not there; expected the audio of corpus {corpus!r} where the catalog says (after a "
                "move, `curate run` with the new root)"
            )


def _missing(root: Path, rows: pa.Table) -> Iterator[tuple[str, str]]:
    """Files that are not there, with their corpus. A store is listed: it takes as long to say it of one file."""
    with nullcontext() if is_local(root) else inventory_of(renewed(root)) as inventory:
        for some in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
            paths, files, corpora = (column.to_pylist() for column in some.columns)
            there = map(os.path.exists, files) if inventory is None else map(inventory.held(paths).__contains__, paths)
            for is_there, file, corpus in zip(there, files, corpora, strict=True):
                if not is_there:
                    yield file, corpus
