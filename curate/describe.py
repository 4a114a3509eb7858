"""What a corpus says of its utterances, as a file of rows in the order of their ids.

A corpus may have millions of utterances: they stream from its reader into a file, DuckDB sorts that on the disk, and no
step here holds more than a chunk of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import translate
from functools import lru_cache
from glob import escape
from itertools import islice
from pathlib import Path
from typing import TypeVar

import duckdb
import langcodes
import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import write_batches
from curate.corpora import READERS
from curate.corpora.described import NOTHING_SAID, CorpusSettings, Described
from curate.errors import CatalogError, CorpusError
from curate.schema import UTTERANCES
from curate.storage import is_folder, is_there

ROWS_A_CHUNK = 2_000
SORT_MEMORY = "256MB"  # what is more goes to the disk
FOUND_BY_LOOKING = {"sample_rate_hz", "num_channels", "num_samples", "peak_dbfs", "content_sha256", "damage"}

SAID = pa.schema(
    [field for field in UTTERANCES.arrow() if field.name not in FOUND_BY_LOOKING | {"start_s", "duration_s"}]
    + [
        pa.field("start_s", pa.float64()),
        pa.field("duration_s", pa.float64()),
        pa.field("recording", pa.string()),
        pa.field("is_part", pa.bool_()),
        pa.field("is_first", pa.bool_()),
    ]
)  # start and duration as the corpus says them: null where it does not; is_first: of all that are in its file
Item = TypeVar("Item")


def require_root(corpus: CorpusSettings) -> None:
    """Raises CorpusError where a corpus is not there at all, or a file that its section brings along."""
    if not is_folder(corpus.root):
        raise CorpusError(f"corpus {corpus.name!r}: no folder {corpus.root}; expected the {corpus.reader} layout in it")
    for key in corpus.FILES_BESIDE:
        given = getattr(corpus, key)
        for path in given if isinstance(given, tuple) else filter(None, [given]):
            if not is_there(path):
                raise CorpusError(
                    f"corpus {corpus.name!r}: {key}: {path} is not there; expected what the section names"
                )


def describe(corpus: CorpusSettings, folder: Path) -> Path:
    """Write the utterances of a corpus in its own words, as `said.parquet` in the folder, and say where.

    Raises CorpusError for an empty corpus, and for two utterances with one id.
    """
    require_root(corpus)
    unsorted, path = folder / "said.unsorted.parquet", folder / "said.parquet"
    chunks = in_chunks(chosen(corpus, READERS[corpus.reader].rows(corpus.root, corpus)), ROWS_A_CHUNK)
    write_batches(unsorted, SAID, (_said(corpus, chunk) for chunk in chunks))
    with sorting(folder) as connection:
        connection.execute(f"CREATE VIEW said AS SELECT * FROM {rows_in(unsorted)}")
        _refuse_equal_ids(corpus, connection)
        # A file is the session of its stretches where none is told: two of them are never two sessions. Files of
        # several utterances are few, or the utterances are: a window over all paths would have to be held.
        rows = connection.sql(
            "SELECT said.* REPLACE (coalesce(session_id, CASE WHEN is_part OR first IS NOT NULL "
            "THEN speaker_id || '/' || recording END) AS session_id, coalesce(utterance_id = first, true) AS is_first) "
            "FROM said LEFT JOIN (SELECT path, min(utterance_id) AS first FROM said GROUP BY path HAVING count(*) > 1) "
            "USING (path) ORDER BY utterance_id"
        )
        write_batches(path, SAID, rows.to_arrow_reader(ROWS_A_CHUNK))
    unsorted.unlink()
    return path


def said_alone(corpus: CorpusSettings) -> Iterator[pa.RecordBatch]:
    """What is said of the utterances, a chunk at a time and in no order, before any file is looked into.

    Each has a session, which is its recording where none is told: `describe` gives it to fewer, once it knows how many
    are in each file, so that no list matches less here. Raises CorpusError as `describe` does, but for ids.
    """
    for chunk in in_chunks(chosen(corpus, READERS[corpus.reader].rows(corpus.root, corpus)), ROWS_A_CHUNK):
        said = _said(corpus, chunk)
        recording = pc.binary_join_element_wise(said["speaker_id"], said["recording"], "/")
        at = said.schema.get_field_index("session_id")
        yield said.set_column(at, "session_id", pc.coalesce(said["session_id"], recording))


def in_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, so many at a time."""
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk


def chosen(corpus: CorpusSettings, found: Iterable[Described]) -> Iterator[Described]:
    """What `include` and `exclude` leave. A pattern that matches nothing is an error: it was meant to do something."""
    takes, leaves = _Patterns(corpus.include), _Patterns(corpus.exclude)
    first, num_found, num_chosen = "", 0, 0
    for said in found:
        first, num_found = first or said.path, num_found + 1
        taken, left = takes.match(said.path), leaves.match(said.path)
        if (taken or not corpus.include) and not left:
            num_chosen += 1
            yield said
    if not num_found:
        raise CorpusError(f"corpus {corpus.name!r}: no audio in {corpus.root}; expected the {corpus.reader} layout")
    for pattern in (*takes.idle, *leaves.idle):
        raise CorpusError(f"corpus {corpus.name!r}: {pattern!r} matches none of {num_found} paths such as {first!r}")
    if not num_chosen:
        raise CorpusError(
            f"corpus {corpus.name!r}: `exclude` leaves none of {num_found} files; expected some to remain"
        )


class _Patterns:
    """Globs, and which of them have matched nothing yet."""

    def __init__(self, globs: Iterable[str]) -> None:
        self.idle = list(dict.fromkeys(globs))
        self.matchers: list[Callable[[str], object]] = [re.compile(translate(glob)).match for glob in self.idle]
        self.waiting = dict(zip(self.idle, self.matchers, strict=True))

    def match(self, path: str) -> bool:
        """Whether any of them matches."""
        for glob in [glob for glob, matches in self.waiting.items() if matches(path)]:
            del self.waiting[glob]
            self.idle.remove(glob)
        return any(matches(path) for matches in self.matchers)


def _said(corpus: CorpusSettings, chunk: list[Described]) -> pa.RecordBatch:
    licence = corpus.licence or READERS[corpus.reader].LICENCE
    try:
        return _batch([_row(corpus.name, licence, said) for said in chunk])
    except (pa.ArrowInvalid, UnicodeEncodeError, OverflowError):
        for said in chunk:  # one of them holds what no column can
            try:
                _batch([_row(corpus.name, licence, said)])
            except (pa.ArrowInvalid, UnicodeEncodeError, OverflowError) as error:
                raise CorpusError(
                    f"corpus {corpus.name!r}: {said.path}: {error}; expected texts in UTF-8, and numbers that can be"
                ) from error
        raise


def _batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SAID)


def _row(corpus: str, licence: str | None, said: Described) -> dict[str, object]:
    speaker_id = f"{corpus}/{said.speaker}"
    youngest, oldest = said.age_years or (None, None)
    return {
        "utterance_id": f"{corpus}/{said.utterance}",
        "corpus": corpus,
        "speaker_id": speaker_id,
        "session_id": f"{speaker_id}/{said.session}" if said.session else None,
        "path": said.path,
        "channel": said.channel,
        "start_s": said.start_s,
        "duration_s": said.duration_s,
        "sex": said.sex,
        "age_min_years": youngest,
        "age_max_years": oldest,
        "age_source": said.age_source,
        "age_conflict_years": said.age_conflict_years,
        "work_id": f"{corpus}/{said.work}" if said.work else None,
        "accent": said.accent,
        "nationality": said.nationality,
        "language": tag_of(said.language, said.path) if said.language else None,
        "transcript": said.transcript,
        "corpus_split": said.corpus_split,
        "licence": said.licence or licence,
        "recording": said.recording,
        "is_part": said.is_stretch or said.channel is not None,
    }


def tag_of(language: str, path: str) -> str | None:
    """The BCP 47 tag of a language that a corpus names by some tag, or by its name in any language.

    A guard that forbids to merge people of two languages must not see two in `German`, `deu` and `de`. None where a
    word says that nothing is known. Raises CorpusError naming the utterance's path for all else.
    """
    try:
        return _tag_of(language)
    except LookupError as error:
        raise CorpusError(
            f"{path}: language {language[:80]!r}; expected a tag such as de, or a language's name"
        ) from error


@lru_cache(maxsize=256)
def _tag_of(language: str) -> str | None:
    said = language.strip().replace("_", "-")
    if said.lower() in NOTHING_SAID:
        return None
    if re.fullmatch("[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", said) and langcodes.tag_is_valid(said):
        return langcodes.standardize_tag(said)
    if not re.fullmatch(r"[^\W\d_]+([ ()'-]+[^\W\d_]+)*\)?", said):
        raise LookupError(said)  # langcodes would guess at one of several
    return langcodes.find(said).to_tag()


def _refuse_equal_ids(corpus: CorpusSettings, connection: duckdb.DuckDBPyConnection) -> None:
    """Raises CorpusError that names the files of the first id that is there twice, in the order of ids."""
    twice = connection.execute(
        "SELECT utterance_id, min(path), max(path) FROM said GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
    ).fetchall()
    for utterance_id, first, second in twice:
        raise CorpusError(
            f"corpus {corpus.name!r}: {first} and {second} both have the id {utterance_id}; expected one file an id "
            "(`exclude` one), or a manifest that maps `name` to what tells its rows apart"
        )


@contextmanager
def sorting(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with little memory, and room in the folder for what does not fit. Raises CatalogError where that lacks."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{SORT_MEMORY}'; SET temp_directory = {quoted(folder / 'sorting')}")
        connection.execute("SET threads = 2")
        try:
            yield connection
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            words = " ".join(str(error).split())
            raise CatalogError(f"{folder}: {words}; expected room on the disk to sort what the corpus says") from error


def rows_in(path: Path) -> str:
    """The rows of one Parquet file in SQL: its folders are names, neither globs nor Hive partitions."""
    return f"read_parquet({quoted(escape(str(path)))}, hive_partitioning = false)"


def quoted(text: object) -> str:
    """A text, or a path, in SQL."""
    return "'" + str(text).replace("'", "''") + "'"
