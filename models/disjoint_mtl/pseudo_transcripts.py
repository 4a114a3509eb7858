"""Transcripts by Whisper for the utterances of a manifest that have none, as the paper has them of VoxCeleb2.

    .venv/bin/python -m models.disjoint_mtl.pseudo_transcripts MANIFEST OUT [--model openai/whisper-base]
        [--language en [--only]] [--again] [--field path=wav] [--root FOLDER] [--batch 16] [--device cuda]

MANIFEST is what the reader `manifest` of a pipeline file reads: CSV, TSV, JSONL or Parquet, a row an utterance, with
`path` and `speaker`. OUT is the same with `transcript` filled where it is empty, or everywhere with --again; all else
stays as it is. With --only it stays empty where Whisper hears another language, which the paper leaves out so.

What is done is kept beside OUT, in OUT.part: a command that was stopped goes on. OUT itself is there whole or not at
all. An utterance that cannot be read is told of, and has no transcript.
"""

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate import audio
from curate.audio import sha256_of
from curate.corpora import manifest as manifests
from curate.corpora.described import Described
from curate.corpora.listed import objects
from curate.corpora.tabular import SUFFIXES
from curate.errors import CorpusError, VoxcurateError
from curate.explain import counted
from curate.whole import written
from models.disjoint_mtl.whisper import BASE, RATE_HZ, Wave, Whisper

SECONDS_BETWEEN_LINES = 10.0
COLUMN = "transcript"
FIELDS = tuple(name for name in get_args(manifests.FieldName) if name != COLUMN)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of a manifest is to be written, and how."""

    manifest: Path
    out: Path
    model: str = BASE
    language: str | None = None  # else Whisper tells of each 30 s which it is
    only: bool = False  # nothing where it is another
    again: bool = False  # also where there is a transcript
    root: Path | None = None  # what paths are relative to; else the folder of the manifest
    fields: Mapping[str, str] = field(default_factory=dict)  # our field -> the manifest's column
    batch: int = 1  # utterances at once
    device: str = "auto"

    @property
    def folder(self) -> Path:
        """What paths are relative to."""
        return self.manifest.absolute().parent if self.root is None else self.root.absolute()

    @property
    def part(self) -> Path:
        """What is done, while not all is."""
        return self.out.with_name(f"{self.out.name}.part")


def main() -> None:
    """What is asked for, and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default=BASE, help="a folder, or a name at the Hugging Face hub")
    parser.add_argument("--language", help="such as en; else Whisper tells")
    parser.add_argument("--only", action="store_true", help="no transcript of another language than that")
    parser.add_argument("--again", action="store_true", help="also where there is a transcript")
    parser.add_argument("--root", type=Path, help="what paths are relative to; else the folder of the manifest")
    parser.add_argument("--field", action="append", default=[], metavar="OURS=THEIRS", help="what a column is called")
    parser.add_argument("--batch", type=int, default=1, help="utterances at once; on a GPU more are faster")
    parser.add_argument("--device", default="auto")
    given = vars(parser.parse_args())
    if wrong := [one for one in given["field"] if not all(one.partition("="))]:
        parser.error(f"--field {wrong[0]}: expected OURS=THEIRS, such as path=wav")
    if given["batch"] < 1:
        parser.error(f"--batch {given['batch']}: expected 1 or more")
    fields = dict(one.split("=", 1) for one in given.pop("field"))
    try:
        say(fill(Asked(fields=fields, **given)))
    except VoxcurateError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; run it again, and it goes on")


def say(line: str) -> None:
    """At once, also into a file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def fill(asked: Asked) -> str:
    """Write the manifest with transcripts; what came of it, in words.

    Raises CorpusError for what is no manifest and where OUT is there already, ExtractorError for what is no Whisper.
    """
    rows = _rows(asked)
    missing = [at for at, one in enumerate(rows) if asked.again or not one.transcript]
    done = _begun(asked)
    if left := [at for at in missing if at not in done]:
        whisper = Whisper(asked.model, device=asked.device, language=asked.language, only=asked.only)
        for at, text in _heard(asked, rows, left, whisper):
            done[at] = text
    filled = {at: done[at] for at in missing}
    with written(asked.out) as file:
        file.write(_whole(asked, filled))
    asked.part.unlink(missing_ok=True)
    num_empty = sum(not text for text in filled.values())
    return (
        f"{asked.out}: {counted(len(filled), 'transcript')} written, {num_empty} of them empty; "
        f"{len(rows) - len(filled)} were there"
    )


def _rows(asked: Asked) -> list[Described]:
    """As the reader has them, in the order of the manifest."""
    if asked.out.suffix != asked.manifest.suffix or asked.manifest.suffix not in SUFFIXES:
        expected = f"both with one of {', '.join(SUFFIXES)}"
        raise CorpusError(f"{asked.manifest}, {asked.out}: are not of one form; expected {expected}")
    if asked.out.exists():
        raise CorpusError(f"{asked.out}: is there already; expected a file that is not")
    path, root = asked.manifest.absolute(), asked.folder
    if unknown := [name for name in asked.fields if name not in FIELDS]:
        raise CorpusError(f"--field {unknown[0]}: expected one of {', '.join(FIELDS)}")
    fields: Any = dict(asked.fields)
    settings = manifests.Settings(
        reader="manifest", name="manifest", root=root, manifest=path, fields=fields, links="anywhere"
    )
    return list(manifests.rows(root, settings))


def _begun(asked: Asked) -> dict[int, str]:
    """What a command of the same words has done: texts by row. Raises CorpusError for the work of another."""
    if not asked.part.exists():
        return {}
    lines = asked.part.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):  # half of what was written when it was killed
        lines.pop()
        asked.part.write_text("".join(lines), encoding="utf-8")
    if not lines:  # it was killed before anything was written
        return {}
    try:
        first, *others = map(json.loads, lines)
        if first == _about(asked):
            return {int(at): str(text) for at, text in others}
    except (ValueError, TypeError, RecursionError):
        pass
    raise CorpusError(
        f"{asked.part}: was begun with another manifest or in other words; expected the same ones, or no such file"
    )


def _about(asked: Asked) -> dict[str, Any]:
    """What makes a text another: the first line of what is done."""
    return {
        "manifest": sha256_of(asked.manifest),
        "root": str(asked.folder),
        "fields": dict(asked.fields),
        "model": asked.model,
        "language": asked.language,
        "only": asked.only,
        "again": asked.again,
    }


def _heard(asked: Asked, rows: Sequence[Described], left: Sequence[int], whisper: Whisper) -> Iterator[tuple[int, str]]:
    """Row and text of each; they are noted first."""
    said = time.monotonic()
    asked.part.parent.mkdir(parents=True, exist_ok=True)
    with asked.part.open("a", encoding="utf-8") as notes:
        if not notes.tell():
            notes.write(json.dumps(_about(asked)) + "\n")
        for first in range(0, len(left), asked.batch):
            some = left[first : first + asked.batch]
            texts = whisper.read([_wave(asked.folder, rows[at]) for at in some])
            notes.writelines(json.dumps([at, text]) + "\n" for at, text in zip(some, texts, strict=True))
            notes.flush()
            yield from zip(some, texts, strict=True)
            if time.monotonic() - said > SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                say(f"{first + len(some)} of {counted(len(left), 'utterance')} heard")


def _wave(root: Path, one: Described) -> Wave:
    """(N,) at 16 kHz; of what cannot be read nothing, and it is told."""
    try:
        return audio.decode(
            root / one.path,
            sample_rate_hz=RATE_HZ,
            start_s=one.start_s or 0.0,
            duration_s=one.duration_s,
            channel=one.channel,
        )
    except CorpusError as error:
        say(f"not heard: {error}")
        return np.zeros(0, np.float32)


# --------------------------------------------------------------------------------------------------- the manifest anew


def _whole(asked: Asked, filled: Mapping[int, str]) -> bytes:
    """The manifest with these texts, by row."""
    if asked.manifest.suffix == ".parquet":
        return _parquet(asked, filled)
    if asked.manifest.suffix == ".jsonl":
        lines = []
        for at, (_, row) in enumerate(objects(asked.manifest)):
            lines.append(row | ({COLUMN: filled[at]} if at in filled else {}))
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    return _delimited(asked, filled)


def _delimited(asked: Asked, filled: Mapping[int, str]) -> bytes:
    """As `curate.corpora.tabular` reads it: tabs without quotes, commas with them; blank lines are gone."""
    form: dict[str, Any] = {"delimiter": ",", "strict": True}
    if asked.manifest.suffix == ".tsv":
        form = {"delimiter": "\t", "strict": True, "quoting": csv.QUOTE_NONE, "quotechar": None}
    with asked.manifest.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = (cells for cells in csv.reader(file, **form) if cells)
    names = [name.strip() for name in header]
    if COLUMN not in names:
        names.append(COLUMN)
        header.append(COLUMN)
        rows = [[*cells, ""] for cells in rows]
    for at, text in filled.items():
        rows[at][names.index(COLUMN)] = text
    told = io.StringIO(newline="")
    csv.writer(told, lineterminator="\n", **form).writerows([header, *rows])
    return told.getvalue().encode()


def _parquet(asked: Asked, filled: Mapping[int, str]) -> bytes:
    table = pq.read_table(asked.manifest)
    is_there = COLUMN in table.column_names
    before = table[COLUMN].cast(pa.string()).to_pylist() if is_there else [None] * len(table)
    texts = pa.array([filled.get(at, text) for at, text in enumerate(before)], pa.string())
    if is_there:
        table = table.set_column(table.column_names.index(COLUMN), COLUMN, texts)
    else:
        table = table.append_column(COLUMN, texts)
    told = io.BytesIO()
    pq.write_table(table, told)
    return told.getvalue()


if __name__ == "__main__":
    main()
