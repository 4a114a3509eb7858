"""Lists of trials and of enrolment models as files: as other tools write them, and as they read ours.

Forms of a list of trials, a trial a line, fields divided by one blank; all are read, and VoxCeleb's is written:

    voxceleb    `1|0 enrol test`: https://www.robots.ox.ac.uk/~vgg/data/voxceleb, voxceleb_trainer, SpeechBrain's recipe
    kaldi       `enrol test target|nontarget`: Kaldi, WeSpeaker, 3D-Speaker
    parquet     columns enrol, test, is_target

Models are lines of `model utterance utterance ...`, as Kaldi's `spk2utt` has those of speakers; trials name them where
an utterance would stand.

What is written is read back as it was. A name is one word, so that every tool divides a line alike: it has no blank
of Unicode, and is neither `target` nor `nontarget`. It may begin with `-` or `_`, as ids of videos do. Lists of others
may divide fields by tabs or by several blanks, end lines as Windows does, and spell letters in the decomposed form.

SpeechBrain's recipe (`recipes/VoxCeleb/SpeakerRec/speaker_verification_cosine.py`) cuts a name at its first dot and
looks it up among the ids of its CSV: a name with another dot before that of its suffix it does not find.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from curate import whole
from curate.errors import ListError, shown
from curate.storage import opened, seekable, why

TRIALS = pa.schema(
    [
        pa.field("enrol", pa.string(), False),
        pa.field("test", pa.string(), False),
        pa.field("is_target", pa.bool_(), False),
    ]
)
MODELS = pa.schema([pa.field("model", pa.string(), False), pa.field("utterance", pa.string(), False)])
ROWS_AT_ONCE = 1 << 16
BYTES_AT_ONCE = 1 << 22
KEYS = ("target", "nontarget")
BLANK = re.compile(r"\s")
VOXCELEB, KALDI = "`1 enrol test` or `0 enrol test`", "`enrol test target` or `enrol test nontarget`"

Names = Mapping[str, str]  # of utterances and models, what a list calls them


def write_voxceleb(path: Path, trials: pa.Table, names: Names | None = None) -> None:
    """`1|0 enrol test` a trial for the rows (enrol_id, test_id, is_target); ids are the names where none are given.

    Nothing is written where the file holds it already. Raises ListError for a side that has no name, or none that fits
    a line.
    """
    named = _with_words(trials, names)
    if _holds(path, _texts(named)):
        return
    with whole.written(path) as file:
        for text in _texts(named):
            file.write(text)


def write_models(path: Path, models: pa.Table, names: Names | None = None) -> None:
    """`model utterance utterance ...` a line for the rows (model_id, utterance_id), in the order in which models come.

    Raises ListError as `write_voxceleb` does.
    """
    of_model: dict[str, list[str]] = {}
    for model, utterance in zip(*(models[c].to_pylist() for c in ("model_id", "utterance_id")), strict=True):
        of_model.setdefault(model, []).append(utterance)
    lines = (" ".join(_words([model, *of_model[model]], names)) + "\n" for model in of_model)
    whole.write_text(path, "".join(lines))


def read_trials(path: Path) -> pa.Table:
    """A list of any form as rows (enrol, test, is_target), in its order and in Unicode's composed form.

    Parquet is told by its suffix, the others by their first line. Raises ListError naming file and line.
    """
    return pa.Table.from_batches(trials_in(path), schema=TRIALS)


def trials_in(path: Path) -> Iterator[pa.RecordBatch]:
    """The same in batches, so that a list need not fit into memory."""
    yield from _parquet_trials(path) if path.suffix == ".parquet" else _text_trials(path)


def read_models(path: Path) -> pa.Table:
    """What `write_models` writes, as rows (model, utterance). Raises ListError for one of nothing or on two lines."""
    rows: list[dict[str, str]] = []
    first: dict[str, int] = {}
    for start, lines in _lines_in(path):
        for number, line in enumerate(lines.to_pylist(), start=start):
            model, *utterances = line.split() or [""]
            if not model:
                continue
            if not utterances:
                raise ListError(f"{path}:{number}: {shown(line)}; expected a model and its utterances")
            if model in first:
                raise ListError(
                    f"{path}:{number}: model {shown(model)} again, after line {first[model]}; expected one line"
                )
            first[model] = number
            rows += [{"model": model, "utterance": utterance} for utterance in utterances]
    return pa.Table.from_pylist(rows, schema=MODELS)


def list_names(utterances: pa.Table, models: pa.Table | None = None) -> dict[str, str]:
    """`corpus/relative/path.wav` of each utterance; its id where it is a stretch of its file. Models have theirs."""
    ids = utterances["utterance_id"].to_pylist()
    taken, names = set(ids), {}
    for utterance, corpus, path in zip(
        ids, utterances["corpus"].to_pylist(), utterances["path"].to_pylist(), strict=True
    ):
        file = posixpath.normpath(path) if "//" in path or "./" in path else path
        stem, suffix = posixpath.splitext(f"{corpus}/{file}")
        is_whole = utterance == BLANK.sub("%20", stem)  # as Described.utterance does
        name = utterance + BLANK.sub("%20", suffix)
        names[utterance] = name if is_whole and name not in taken else utterance
    return names | ({} if models is None else {model: model for model in models["model_id"].unique().to_pylist()})


# ------------------------------------------------------------------------------------------------------------ writing


def _with_words(trials: pa.Table, names: Names | None) -> pa.Table:
    """(enrol, test, is_target) with names as dictionaries."""
    columns = {}
    for side, column in (("enrol", "enrol_id"), ("test", "test_id")):
        ids = trials[column]
        coded = (ids if pa.types.is_dictionary(ids.type) else ids.dictionary_encode()).unify_dictionaries()
        words = pa.array(_words(coded.chunk(0).dictionary.to_pylist(), names) if len(coded) else [], pa.string())
        chunks = [pa.DictionaryArray.from_arrays(chunk.indices, words) for chunk in coded.chunks]
        columns[side] = pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))
    return pa.table(columns | {"is_target": trials["is_target"]})


def _words(ids: list[str], names: Names | None) -> list[str]:
    words = ids if names is None else [names.get(one, "") for one in ids]
    for one, word in zip(ids, words, strict=True):
        if word.split() != [word] or word in KEYS:
            raise ListError(f"{one}: called {shown(word)} in the list; expected one word, neither target nor nontarget")
    return words


def _texts(trials: pa.Table) -> Iterator[bytes]:
    """The lines of some trials at a time: of one column of text all values, which lie one after another."""
    for batch in trials.to_batches(max_chunksize=ROWS_AT_ONCE):
        enrol, test = (batch[side].cast(pa.string()) for side in ("enrol", "test"))
        said = pc.binary_join_element_wise(pc.if_else(batch["is_target"], "1", "0"), enrol, test, " ")
        lines = pc.binary_join_element_wise(said, "\n", "")
        yield lines.buffers()[2].to_pybytes()


def _holds(path: Path, texts: Iterable[bytes]) -> bool:
    """Whether the file is these texts one after another."""
    if not whole.exists(path):
        return False
    with opened(path) as file:
        return all(file.read(len(text)) == text for text in texts) and not file.read(1)


# ------------------------------------------------------------------------------------------------------------ reading


def _text_trials(path: Path) -> Iterator[pa.RecordBatch]:
    expected = None
    for start, lines in _lines_in(path):
        words = pc.ascii_split_whitespace(lines)  # what divides for Kaldi and voxceleb_trainer
        is_said, num_words = pc.not_equal(lines, ""), pc.list_value_length(words)
        if expected is None and (said := pc.index(is_said, True).as_py()) >= 0:
            expected = _form_of(path, start + said, lines[said].as_py())
        _require(pc.or_(pc.invert(is_said), pc.equal(num_words, 3)), path, start, lines, expected)
        fields = words.filter(is_said).flatten()
        one, two, three = fields[0::3], fields[1::3], fields[2::3]
        label, target, enrol, test = (one, "1", two, three) if expected == VOXCELEB else (three, "target", one, two)
        known = pc.is_in(label, value_set=pa.array(["1", "0"] if expected == VOXCELEB else KEYS))
        _require(known, path, start, lines, expected, among=is_said)
        yield pa.record_batch([enrol, test, pc.equal(label, target)], schema=TRIALS)


def _form_of(path: Path, number: int, line: str) -> str:
    words = line.split()
    if len(words) == 3 and words[-1] in KEYS:
        return KALDI
    if len(words) == 3 and words[0] in ("1", "0"):
        return VOXCELEB
    raise ListError(f"{path}:{number}: {shown(line)}; expected {VOXCELEB}, or {KALDI}")


def _require(
    holds: pa.Array, path: Path, start: int, lines: pa.Array, expected: str | None, *, among: pa.Array | None = None
) -> None:
    """Raises ListError for the first line, of all or `among` them, of which it does not hold."""
    at = pc.index(holds, False).as_py()
    if at < 0:
        return
    if among is not None:
        at = pc.indices_nonzero(among)[at].as_py()
    raise ListError(f"{path}:{start + at}: {shown(lines[at].as_py())}; expected {expected}")


def _lines_in(path: Path) -> Iterator[tuple[int, pa.Array]]:
    """Lines without blanks around them, many at a time, with the number of the first; a blank line is ""."""
    start = 1
    try:
        with opened(path) as file:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=pyarrow.csv.ReadOptions(column_names=["line"], block_size=BYTES_AT_ONCE),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter="\x1f", quote_char=False, escape_char=False, ignore_empty_lines=False
                ),  # one column: what divides a line is not for a parser of tables to say
                convert_options=pyarrow.csv.ConvertOptions(column_types={"line": pa.binary()}),
            )
            for batch in reader:
                yield start, _composed(pc.ascii_trim_whitespace(_as_text(path, start, batch["line"])))
                start += len(batch)
    except OSError as error:
        raise ListError(f"{path}: {why(error)}; expected a list") from error
    except pa.ArrowInvalid as error:
        words = " ".join(str(error).split())
        raise ListError(f"{path}: from line {start} on no list, or an empty one ({words}); expected text") from error


def _as_text(path: Path, start: int, lines: pa.Array) -> pa.Array:
    try:
        return lines.cast(pa.string())
    except pa.ArrowInvalid as error:
        for number, line in enumerate(lines.to_pylist(), start=start):
            try:
                line.decode()
            except UnicodeDecodeError as fault:
                raise ListError(f"{path}:{number}: byte {fault.start} is no UTF-8; expected text in UTF-8") from error
        raise


def _composed(lines: pa.Array) -> pa.Array:
    """As ids are; plain letters need no look."""
    is_plain = pc.all(pc.string_is_ascii(lines)).as_py()
    return lines if is_plain else pc.utf8_normalize(lines, form="NFC")


def _parquet_trials(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with seekable(path) as file, pq.ParquetFile(file) as content:
            absent = [name for name in TRIALS.names if name not in content.schema_arrow.names]
            if absent:
                raise ListError(f"{path}: no column {absent[0]!r}; expected {', '.join(TRIALS.names)}")
            for batch in content.iter_batches(columns=TRIALS.names):
                enrol, test, is_target = batch.select(TRIALS.names).columns
                yield pa.record_batch([_composed(enrol), _composed(test), is_target], schema=TRIALS)
    except OSError as error:
        raise ListError(f"{path}: {why(error)}; expected a list") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        words = " ".join(str(error).split())
        raise ListError(f"{path}: {words}; expected Parquet with columns {', '.join(TRIALS.names)}") from error
