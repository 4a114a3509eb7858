"""Which corpora can be read, what each can tell, what it told in a catalog, and whether downloads are whole."""

import difflib
import hashlib
import inspect
from dataclasses import MISSING, Field, fields
from pathlib import Path

import pyarrow.compute as pc
from pydantic.fields import FieldInfo

from curate.catalog import Catalog, read_parquet
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings
from curate.errors import CorpusError
from curate.schema import CORPORA, UTTERANCES

TOLD = ("sex", "age", "session", "work", "transcript", "language", "accent", "nationality", "corpus_split", "licence")
COLUMN = {"age": "age_min_years", "session": "session_id", "work": "work_id"}  # where the table calls it otherwise
Rows = tuple[list[str], list[tuple[str, ...]]]


def what_readers_fill() -> Rows:
    """One row a reader: what its layout can tell, and the licence that its utterances come under."""
    head = ["reader", *TOLD[:-1], "licence"]
    rows = [
        (name, *("yes" if said in reader.FILLS else "" for said in TOLD[:-1]), _licence(reader.LICENCE, reader.FILLS))
        for name, reader in READERS.items()
    ]
    return head, rows


def about(reader: str) -> str:
    """What a reader is, expects and takes, in words. Raises CorpusError naming the readers that there are."""
    if reader not in READERS:
        near = difflib.get_close_matches(reader, READERS, n=1)
        raise CorpusError(f"reader {reader!r}; expected {near[0] + ', or ' if near else ''}one of {', '.join(READERS)}")
    module = READERS[reader]
    own = [field for field in fields(module.Settings) if field.name not in {f.name for f in fields(CorpusSettings)}]
    keys = [f"  {field.name:<14}{_default(field)}" for field in own]
    told = ", ".join(module.FILLS)
    return "\n".join(
        [
            inspect.getdoc(module) or "",
            "",
            f"Can tell: {told}.",
            "",
            f"Keys of its section: {inspect.getdoc(module.Settings)}"
            if keys
            else "Keys of its section: those of every.",
            *keys,
        ]
    )


def _default(field: "Field[object]") -> str:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    if isinstance(default, FieldInfo):  # pydantic's word for one with conditions, or made anew each time
        default = MISSING if default.is_required() else default.get_default(call_default_factory=True)
    return "needed" if default is MISSING else f"default {default!r}"


def _licence(licence: str | None, fills: tuple[str, ...]) -> str:
    if "licence" in fills:
        return "of each row"
    return licence or "yours to say"


def what_was_filled(catalog: Catalog) -> tuple[Rows, list[str]]:
    """One row a corpus of the catalog: utterances, and the share of them that is told each thing; and all remarks."""
    terms = catalog.read(CORPORA).to_pylist()
    rows = [(row["corpus"], row["reader"], *_shares(catalog, row["corpus"])) for row in terms]
    remarks = [f"{row['corpus']}: {line}" for row in terms for line in (row["remarks"] or "").splitlines()]
    return (["corpus", "reader", "utterances", *TOLD], rows), remarks


def _shares(catalog: Catalog, corpus: str) -> tuple[str, ...]:
    columns = [COLUMN.get(said, said) for said in TOLD]
    table = read_parquet(catalog.path(UTTERANCES, corpus), columns)
    told = (pc.sum(pc.is_valid(table[column])).as_py() or 0 for column in columns)
    return (f"{len(table)}", *(_share(num, len(table)) for num in told))


def _share(num: int, of: int) -> str:
    """In whole per cent; some is never said to be none, nor most of them all."""
    if not num:
        return ""
    share = f"{100 * num / of:.0f} %"
    return {"0 %": "<1 %", "100 %": ">99 %"}.get(share, share) if num < of else share


def check_archives(folder: Path) -> Rows:
    """One row an archive of the folder. Raises CorpusError where its checksum differs, or none is there."""
    published = {
        name: (reader, md5)
        for reader, module in READERS.items()
        for name, md5 in getattr(module, "CHECKSUMS", {}).items()
    }
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; expected downloaded archives in it")
    found = [path for path in sorted(folder.iterdir()) if path.name in published]
    if not found:
        raise CorpusError(f"{folder}: no archive that we know a checksum of; expected names such as {min(published)}")
    rows: list[tuple[str, ...]] = []
    faults = []
    for path in found:
        reader, md5 = published[path.name]
        with path.open("rb") as file:
            held = hashlib.file_digest(file, "md5").hexdigest()
        if held != md5:
            faults.append(f"{path}: md5 {held}; expected {md5}, as its publisher says: fetch it again")
        rows.append((path.name, reader, "whole"))
    if faults:
        raise CorpusError("; ".join(faults))
    return ["archive", "reader", "md5"], rows
