"""Scan a corpus: what it says, what its files hold, its lists and its oddities, set aside as files in one folder.

    said.parquet               what the corpus says of its utterances, in the order of their ids
    utterances.parquet         the same with what was found in the files: rows of the table
    enrolments.parquet         where its authors publish models
    published_trials.parquet   where they publish trials
    remarks.txt                what is odd, a line each

Rows stream: memory is bounded, about half a gigabyte, however large the corpus. Faults are told when all of it has been
looked at, the first of each kind by name, so that one run tells how much is wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate.catalog import read_batches, write_batches, write_text
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings
from curate.corpora.inventory import listed_once
from curate.describe import ROWS_A_CHUNK, describe, said_alone
from curate.errors import CorpusError
from curate.exclusions import Exclusions, read_exclusions
from curate.ingest import Faults, looked_into
from curate.lists import published_tables, write_lists
from curate.schema import UTTERANCES, Table
from curate.seen import remembered
from curate.storage import UnreachableError, reachable, why

LOOKING = frozenset({"kaldi", "lhotse", "nemo", "speechbrain"})  # readers that open files to tell what lists leave open


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What a scan found, in numbers and words."""

    num_utterances: int
    num_files: int
    remarks: list[str]


def scan(corpus: CorpusSettings, folder: Path, memory: Path, *, progress: Callable[[int], None]) -> Scanned:
    """Scan into `folder`; `memory` is the file that remembers earlier looks, `progress` is told of rows done.

    Raises CorpusError for whatever keeps the corpus from being what its section says.
    """
    with _answering(corpus):
        return _scanned(corpus, folder, memory, progress)


def require_named(corpus: CorpusSettings) -> None:
    """Raises CorpusError for a pattern or a list that matches nothing, by names alone: no file is looked into.

    A scan tells it, too, but when it ends, and others may take hours before it. Not asked are corpora with neither, and
    readers that look into files for what their lists leave open.
    """
    if corpus.reader in LOOKING or not (corpus.include or corpus.exclude or corpus.exclusions):
        return
    with _answering(corpus):
        lists, first = exclusion_lists(corpus), ""
        for batch in said_alone(corpus):
            first = first or batch["utterance_id"][0].as_py()
            for exclusions in lists:
                exclusions.match(batch)
    for exclusions in lists:
        exclusions.require_matches(corpus.name, first)


@contextmanager
def _answering(corpus: CorpusSettings) -> Iterator[None]:
    """Its root, listed once. Raises CorpusError where a place elsewhere does not answer."""
    try:
        with reachable(corpus.root), listed_once(corpus.root):
            yield
    except UnreachableError as error:
        raise CorpusError(
            f"corpus {corpus.name!r}: {error.filename}: {why(error)}; expected a place that answers"
        ) from error


def _scanned(corpus: CorpusSettings, folder: Path, memory: Path, progress: Callable[[int], None]) -> Scanned:
    said, lists, faults = describe(corpus, folder), exclusion_lists(corpus), Faults(corpus)
    with remembered(memory, corpus.look) as looks:
        rows = looked_into(corpus, read_batches(said, rows=ROWS_A_CHUNK), looks, faults)
        held = _held_against(rows, lists, progress)
        num_utterances = write_batches(file_of(folder, UTTERANCES), UTTERANCES.arrow(), held)
    faults.refuse()
    for exclusions in lists:
        exclusions.require_matches(corpus.name, first_id(folder))
    reader = READERS[corpus.reader]
    remarks = [
        *(reader.remarks(corpus.root, corpus) if hasattr(reader, "remarks") else ()),
        *(exclusions.remark for exclusions in lists if exclusions.remark),
        *write_lists(corpus, said, folder),
    ]
    write_text(folder / "remarks.txt", "\n".join(remarks))
    return Scanned(num_utterances=num_utterances, num_files=faults.num_files, remarks=remarks)


def _held_against(
    rows: Iterator[pa.RecordBatch], lists: list[Exclusions], progress: Callable[[int], None]
) -> Iterator[pa.RecordBatch]:
    """The rows as they come; the lists take note of what they name."""
    num_rows = 0
    for batch in rows:
        for exclusions in lists:
            exclusions.match(batch)
        num_rows += batch.num_rows
        progress(num_rows)
        yield batch


def exclusion_lists(corpus: CorpusSettings) -> list[Exclusions]:
    """The lists that the corpus names."""
    aliases = getattr(READERS[corpus.reader], "aliases", None)
    names = aliases(corpus.root, corpus) if aliases and corpus.exclusions else {}
    return [read_exclusions(path, names) for path in corpus.exclusions]


def tables_of(corpus: CorpusSettings) -> list[Table]:
    """What a scan of it sets aside."""
    return [UTTERANCES, *published_tables(corpus)]


def file_of(folder: Path, table: Table) -> Path:
    """Where the scan set the rows of this table aside."""
    return folder / f"{table.name}.parquet"


def remarks_of(folder: Path) -> list[str]:
    """What the scan found odd."""
    return (folder / "remarks.txt").read_text(encoding="utf-8").splitlines()


def first_id(folder: Path) -> str:
    """Of the utterances that were set aside."""
    batch = next(read_batches(file_of(folder, UTTERANCES), ["utterance_id"], rows=1))
    return str(batch["utterance_id"][0].as_py())
