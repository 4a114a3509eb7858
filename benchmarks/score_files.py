"""Files of scores as other tools write them, and what they say of a list of trials.

Forms, a trial a line, fields divided by one blank or one tab:

    kaldi             `enrol test score`: ivector-plda-scoring, and WeSpeaker where it knows no labels
    wespeaker         `enrol test score target|nontarget`: wespeaker/bin/score.py; after score_norm.py, 4 columns more
                      (magnitudes and means among the cohort, which are not read)
    speechbrain       `enrol test 1|0 score`: recipes/VoxCeleb/SpeakerRec/speaker_verification_cosine.py, which cuts
                      names at their first dot
    voxceleb_trainer  `score enrol test`: what its `--eval` saved until 2021, in four decimals
    parquet           columns enrol_id, test_id, score

disjoint-mtl writes figures, not scores. Which form a file has is told by its first lines; where two fit, as `kaldi` and
`voxceleb_trainer` do if names are numbers, it must be said.

A score belongs to the trial of its two names, in their order, wherever it stands in the file. A pair that a list has
twice must have its score twice: lists of others do that. Names are compared in Unicode's composed form, held once, and
looked up once a block: ten million scores take 20 s of a processor and 1.3 GB, the list itself 17 s.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.evaluation import Codes, coded, names_in
from benchmarks.list_files import trials_in
from curate.errors import ListError
from curate.storage import opened, seekable, why

FORMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "kaldi": (("enrol", "test", "score"),),
    "wespeaker": (
        ("enrol", "test", "score", "key"),
        ("enrol", "test", "score", "key", "magnitude", "test_magnitude", "mean", "test_mean"),
    ),
    "speechbrain": (("enrol", "test", "digit", "score"),),
    "voxceleb_trainer": (("score", "enrol", "test"),),
}
PARQUET = ("enrol_id", "test_id", "score")
IN_WORDS = "`enrol test score`, `enrol test score target|nontarget`, `enrol test 1|0 score` or `score enrol test`"
LABELS = {"key": ("target", "nontarget"), "digit": ("1", "0")}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
LINES_LOOKED_AT = 1000
BYTES_AT_ONCE = 1 << 24  # names are looked up once in so many
NAME = pa.dictionary(pa.int32(), pa.string())

Columns = tuple[str, ...]
Some = tuple[pa.Array, pa.Array, pa.Array, pa.Array | None]  # names of both sides, scores, is_target if it is told


def scores_of(
    trials: pa.Table, path: Path, *, form: str | None = None, names: Mapping[str, str] | None = None
) -> NDArray[np.float64]:
    """(T,) scores of the trials (enrol_id, test_id, is_target), in their order.

    `names` maps ids to what else the file may call them. Raises ListError naming the first offender and how many there
    are: a trial without a score, a score of no trial, a pair more or less often than in the list, two scores of one
    pair, a label that is not the list's, or a score that is not a finite number.
    """
    ids = names_in(trials)
    place = {name: at for at, name in enumerate(ids)}
    known = place | {names[one]: at for one, at in place.items() if one in names} if names else place
    known = known | {unicodedata.normalize("NFC", name): at for name, at in known.items() if not name.isascii()}
    columns = _columns(path, form)
    if columns == FORMS["speechbrain"][0]:
        known = _with_cut_names(path, known)
    found, stranger = [_no_rows()], None
    for enrol_names, test_names, score, label in _batches(path, columns):
        enrol, test = (coded(_composed(names), known) for names in (enrol_names, test_names))
        strange = (enrol < 0) | (test < 0)
        if stranger is None and strange.any():
            stranger = [names[int(strange.argmax())].as_py() for names in (enrol_names, test_names)]
        told = np.full(len(score), -1) if label is None else np.asarray(label)
        found.append((np.where(strange, -1, enrol * len(ids) + test), score.to_numpy(), told.astype(np.int8)))
    pairs, scores, label = (np.concatenate(parts) for parts in zip(*found, strict=True))
    del found  # twice as much is not held while all are sorted
    if stranger is not None:
        count = (pairs < 0).sum()
        who = " ".join(name[:80] for name in stranger)
        raise ListError(f"{path}: {who}: a score of no trial{_in_all(int(count))}; expected names of the list")
    if not (len(pairs) and len(trials)):
        raise ListError(f"{path}: {len(pairs)} scores of {len(trials)} trials; expected one of every trial")
    asked = coded(trials["enrol_id"], place) * len(ids) + coded(trials["test_id"], place)
    return _matched(path, ids, asked, np.asarray(trials["is_target"]), pairs, scores, label)


def read_list(path: Path) -> pa.Table:
    """A list of trials as rows (enrol_id, test_id, is_target), whose names are held once."""
    place: dict[str, int] = {}
    codes: dict[str, list[NDArray[np.int32]]] = {"enrol": [], "test": []}
    is_target = [pa.array([], pa.bool_())]
    for batch in trials_in(path):
        for side, found in codes.items():
            coded_once = batch[side].dictionary_encode()
            places = [place.setdefault(name, len(place)) for name in coded_once.dictionary.to_pylist()]
            found.append(np.array(places, np.int32)[coded_once.indices.to_numpy()])
        is_target.append(batch["is_target"])
    names = pa.array(list(place), pa.string())
    sides = [np.concatenate([np.empty(0, np.int32), *found]) for found in codes.values()]
    columns = [pa.DictionaryArray.from_arrays(pa.array(side), names) for side in sides]
    return pa.table([*columns, pa.concat_arrays(is_target)], names=["enrol_id", "test_id", "is_target"])


def form_of(path: Path) -> str:
    """Which form a file of scores has. Raises ListError where none fits, or several do."""
    if _is_parquet(path):
        return "parquet"
    lines = [line.split() for line in _first_lines(path)]
    fits = [form for form, kinds in FORMS.items() if any(_all_fit(lines, columns) for columns in kinds)]
    if len(fits) == 1:
        return fits[0]
    shown = " ".join(lines[0])[:80] if lines else ""
    if fits:
        raise ListError(f"{path}: {shown!r} is a line of {' and of '.join(fits)}; expected `--form` to say which")
    at = next((at for at, line in enumerate(lines, 1) if not _fits_any(line)), 1)
    shown = " ".join(lines[at - 1])[:80] if lines else "an empty file"
    raise ListError(f"{path}:{at}: {shown!r}; expected {IN_WORDS} on every line")


# ------------------------------------------------------------------------------------------------------------ reading


def _columns(path: Path, form: str | None) -> Columns:
    """The columns of the file; those of Parquet are `PARQUET`."""
    form = form_of(path) if form is None else form
    if form == "parquet":
        return PARQUET
    if form not in FORMS:
        raise ListError(f"form {form!r}; expected one of {', '.join([*FORMS, 'parquet'])}")
    width = len(next(iter(_first_lines(path)), "").split())
    kinds = FORMS[form]
    return next((columns for columns in kinds if len(columns) == width), kinds[0])


def _batches(path: Path, columns: Columns) -> Iterator[Some]:
    return _of_parquet(path) if columns == PARQUET else _of_text(path, columns)


def _of_text(path: Path, columns: Columns) -> Iterator[Some]:
    label = next((name for name in LABELS if name in columns), None)
    wanted = ["enrol", "test", "score", *([label] if label else [])]
    types = {"enrol": NAME, "test": NAME, "score": pa.float64()} | ({label: pa.string()} if label else {})
    first = next(iter(_first_lines(path)), "")
    try:
        with opened(path) as file:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=pyarrow.csv.ReadOptions(column_names=columns, block_size=BYTES_AT_ONCE),
                parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if "\t" in first else " ", quote_char=False),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=types, include_columns=wanted, null_values=[""], strings_can_be_null=True
                ),
            )
            for batch in reader:
                if any(batch[name].null_count for name in wanted):
                    raise _fault(path, columns)
                enrol, test, score = batch.columns[:3]
                if label and not pc.all(pc.is_in(batch[label], value_set=pa.array(LABELS[label]))).as_py():
                    raise _fault(path, columns)
                yield enrol, test, score, pc.equal(batch[label], LABELS[label][0]) if label else None
    except OSError as error:
        raise ListError(f"{path}: {why(error)}; expected a file of scores") from error
    except pa.ArrowInvalid as error:
        raise _fault(path, columns) from error


def _of_parquet(path: Path) -> Iterator[Some]:
    try:
        with seekable(path) as file, pq.ParquetFile(file) as content:
            absent = [name for name in PARQUET if name not in content.schema_arrow.names]
            if absent:
                raise ListError(f"{path}: no column {absent[0]!r}; expected {', '.join(PARQUET)}")
            told = ["is_target"] if "is_target" in content.schema_arrow.names else []
            for batch in content.iter_batches(columns=[*PARQUET, *told]):
                sides = [batch[name].cast(NAME) for name in PARQUET[:2]]
                score = batch["score"].cast(pa.float64())
                if any(one.null_count for one in (*sides, score)):
                    raise ListError(f"{path}: {pc.sum(score.is_null()).as_py()} scores are null; expected numbers")
                yield *sides, score, batch["is_target"] if told else None
    except OSError as error:
        raise ListError(f"{path}: {why(error)}; expected a file of scores") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        words = " ".join(str(error).split())
        raise ListError(f"{path}: {words}; expected Parquet with columns {', '.join(PARQUET)}") from error


def _composed(names: pa.DictionaryArray) -> pa.DictionaryArray:
    """As lists are read; plain letters need no look."""
    if pc.all(pc.string_is_ascii(names.dictionary)).as_py():
        return names
    return pa.DictionaryArray.from_arrays(names.indices, pc.utf8_normalize(names.dictionary, form="NFC"))


def _is_parquet(path: Path) -> bool:
    try:
        with opened(path) as file:
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise ListError(f"{path}: {why(error)}; expected a file of scores") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the lines that are not empty."""
    try:
        with opened(path) as file:
            for number, line in enumerate(file, 1):
                if line := line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").rstrip(b"\r\n"):
                    yield number, line.decode()
    except OSError as error:
        raise ListError(f"{path}: {why(error)}; expected a file of scores") from error
    except UnicodeDecodeError as error:
        raise ListError(f"{path}: no text in UTF-8; expected {IN_WORDS}, or Parquet") from error


def _first_lines(path: Path) -> list[str]:
    return [line for _, (_, line) in zip(range(LINES_LOOKED_AT), _lines(path), strict=False)]


def _all_fit(lines: list[list[str]], columns: Columns) -> bool:
    return bool(lines) and all(_fits(line, columns) for line in lines)


def _fits_any(words: list[str]) -> bool:
    return any(_fits(words, columns) for kinds in FORMS.values() for columns in kinds)


def _fits(words: list[str], columns: Columns) -> bool:
    return len(words) == len(columns) and all(
        NUMBER.fullmatch(word) if name == "score" else word in LABELS.get(name, (word,))
        for word, name in zip(words, columns, strict=True)
    )


def _fault(path: Path, columns: Columns) -> ListError:
    """Says which line could not be read; looked for only once one could not."""
    told = " ".join({"key": "target|nontarget", "digit": "1|0"}.get(name, name) for name in columns)
    blank = None
    for number, line in _lines(path):
        blank = blank or ("\t" if "\t" in line else " ")
        if not _fits(line.split(blank), columns) or "" in line.split(blank):
            return ListError(f"{path}:{number}: {line[:80]!r}; expected `{told}`, divided by one blank or one tab")
    return ListError(f"{path}: no score; expected `{told}` on every line")


# ------------------------------------------------------------------------------------------------------------ joining


def _no_rows() -> tuple[Codes, NDArray[np.float64], NDArray[np.int8]]:
    return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int8)


def _in_all(count: int) -> str:
    return f" ({count:,} in all)" if count > 1 else ""


def _with_cut_names(path: Path, known: dict[str, int]) -> dict[str, int]:
    """Names, and what SpeechBrain makes of them: what stands before the first dot."""
    cut: dict[str, int] = {}
    for name, at in known.items():
        short = name.split(".")[0]
        if cut.setdefault(short, at) != at and short not in known:
            raise ListError(
                f"{path}: SpeechBrain cuts names at the first dot, and two of the list are {short[:80]!r} then; "
                "expected names that stay apart"
            )
    return cut | known


def _matched(
    path: Path,
    ids: list[str],
    asked: Codes,
    is_target: NDArray[np.bool_],
    pairs: Codes,
    scores: NDArray[np.float64],
    label: NDArray[np.int8],
) -> NDArray[np.float64]:
    """The scores in the order of the trials `asked`; both are sorted by pair, where all must agree row by row."""

    def refuse(rows: NDArray[np.intp], of: Codes, what: str, expected: str) -> None:
        if len(rows):
            enrol, test = divmod(int(of[rows.min()]), len(ids))
            raise ListError(
                f"{path}: {ids[enrol][:80]} {ids[test][:80]}: {what}{_in_all(len(rows))}; expected {expected}"
            )

    refuse(np.flatnonzero(~np.isfinite(scores)), pairs, "its score is not a finite number", "numbers")
    of_list, of_file = np.argsort(asked, kind="stable"), np.argsort(pairs, kind="stable")
    listed, there = asked[of_list], pairs[of_file]
    if not np.array_equal(listed, there):
        refuse(_strangers(asked, there), asked, "a trial without a score", "one of every trial")
        refuse(_strangers(pairs, listed), pairs, "a score of no trial", "those of the list alone")
        times, in_list = (np.searchsorted(one, pairs, "right") - np.searchsorted(one, pairs) for one in (there, listed))
        what = "repeated, and not as often as in the list"
        refuse(np.flatnonzero(times != in_list), pairs, what, "as many scores as trials")
    scores, label, truth = scores[of_file], label[of_file], is_target[of_list]
    again = np.append(False, there[1:] == there[:-1])
    other, turned = (again & np.append(False, np.diff(one) != 0) for one in (scores, truth.astype(np.int8)))
    refuse(of_file[other], pairs, "repeated with another score", "one score of a pair")
    refuse(of_list[turned], asked, "target and nontarget in the list", "one label of a pair")
    refuse(of_file[(label >= 0) & (label != truth)], pairs, "its label is not that of the list", "the same labels")
    found = np.empty(len(asked))
    found[of_list] = scores
    return found


def _strangers(some: Codes, ordered: Codes) -> NDArray[np.intp]:
    """The places in `some` of what is not among the others."""
    at = np.minimum(np.searchsorted(ordered, some), len(ordered) - 1)
    return np.flatnonzero(ordered[at] != some)
