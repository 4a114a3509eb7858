"""Pairs of test utterances to be told same or different.

Targets are two utterances of one person, by default from two sessions: a target within one session is about five times
easier. An utterance without a session counts as a session of its own. Nontargets are two people, by default of one sex.
What else may be asked of a pair is in `benchmarks.trial_rules`; how pairs are drawn, in `drawing` and `pairs`.

A draw is the same for the same seed, whatever the order of the rows and however many pairs are drawn at once. It comes
with a report: what each rule took away, counted where sums over groups can count it, else among the pairs that were
looked at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.drawing import Kind
from benchmarks.pairs import PAIRS_AT_ONCE, Pairs, new_keys
from benchmarks.trial_rules import Enrolments, NoPairError, Rules, Utterances
from curate.errors import PipelineError
from curate.schema import TRIALS
from curate.similarity import Vectors

ROWS_PER_BATCH = 1 << 20  # a row group of a file, with its own dictionary of ids
REPORT = pa.schema(
    [
        pa.field("is_target", pa.bool_(), nullable=False),  # the kind of trial
        pa.field("constraint", pa.string(), nullable=False),  # in words
        pa.field("examined", pa.int64()),  # pairs that the rules before it left; null where nobody counted them
        pa.field("removed", pa.int64()),  # of those, by this one
        pa.field("is_exact", pa.bool_(), nullable=False),  # of all pairs, else of those that were looked at
    ]
)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Trials, targets first, each kind in the order of ids; and what each rule took away, as `REPORT`."""

    trials: pa.Table
    report: pa.Table


class Draw:
    """Trials of both kinds under rules, in chunks.

    `test` has a row an utterance: utterance_id, identity_id and the columns that the rules look at; `vectors` (N, D)
    are its rows', where a rule asks for cosines. `models` (model_id, utterance_id) are enrolled in the place of single
    utterances. Raises PipelineError for rules and rows that do not fit, and NoPairError where a kind has no pair.
    """

    def __init__(
        self,
        test: pa.Table,
        *,
        targets: Rules,
        nontargets: Rules,
        rng: np.random.Generator,
        models: pa.Table | None = None,
        vectors: Vectors | None = None,
    ) -> None:
        utterances = Utterances(test, vectors=vectors)
        enrolments = Enrolments(utterances, models)
        self.kinds = [
            Kind(utterances, enrolments, rules, is_target=is_target, keys=new_keys(rng))
            for rules, is_target in ((targets, True), (nontargets, False))
        ]

    def batches(
        self, benchmark: str, name: str = "test", *, at_least: int = ROWS_PER_BATCH
    ) -> Iterator[pa.RecordBatch]:
        """Rows of `TRIALS` in the order in which they are drawn, their ids as dictionaries.

        A batch has at least so many rows of one kind, but for the last. Memory is a batch's.
        """
        for kind in self.kinds:
            waiting: list[Pairs] = []
            for pairs in kind.chunks():
                waiting.append(pairs)
                if sum(len(left) for left, _ in waiting) >= at_least:
                    yield _batch(benchmark, name, kind, waiting)
                    waiting = []
            if waiting:
                yield _batch(benchmark, name, kind, waiting)

    def report(self) -> pa.Table:
        """See `REPORT`; of what was drawn so far."""
        rows = [step.row() | {"is_target": kind.is_target} for kind in self.kinds for step in kind.report()]
        return pa.Table.from_pylist(rows, schema=REPORT)


def draw_trials(
    test: pa.Table,
    *,
    benchmark: str,
    name: str = "test",
    targets: Rules,
    nontargets: Rules,
    rng: np.random.Generator,
    models: pa.Table | None = None,
    vectors: Vectors | None = None,
    at_once: int = PAIRS_AT_ONCE,
) -> Drawn:
    """Trials under rules, and the report: see `Draw`. The list is called `name`."""
    draw = Draw(test, targets=targets, nontargets=nontargets, rng=rng, models=models, vectors=vectors)
    return Drawn(
        trials=pa.concat_tables(_rows(benchmark, name, kind, _sorted(kind.chunks(at_once))) for kind in draw.kinds),
        report=draw.report(),
    )


def write_trials(path: Path, draw: Draw, *, benchmark: str, name: str = "test") -> pa.Table:
    """Write the trials as Parquet, as they are drawn; return the report. Only a chunk of them is in memory."""
    ids = pa.dictionary(pa.int32(), pa.string())
    types = {"benchmark": ids, "list": ids, "enrol_id": ids, "test_id": ids, "is_target": pa.bool_()}
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])
    size = sum(column.nbytes for kind in draw.kinds for column in (kind.enrol_ids, kind.test_ids))
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        store_schema=False,  # or ids would be read back as dictionaries
        dictionary_pagesize_limit=max(1 << 20, 2 * size),
        write_statistics=["benchmark", "list", "is_target"],  # of ids in random order they help nobody
    ) as writer:
        for batch in draw.batches(benchmark, name):
            writer.write_batch(batch.cast(schema))
    return draw.report()


def make_trials(
    test: pa.Table,
    *,
    benchmark: str,
    max_targets: int,
    max_nontargets: int,
    cross_session_targets: bool,
    same_sex_nontargets: bool,
    rng: np.random.Generator,
) -> pa.Table:
    """Trials among `test` (utterance_id, identity_id, session_id, sex), targets first.

    Where the rows say of which corpus and path they are, no pair is of one recording. Raises PipelineError where a kind
    of trial cannot be had.
    """
    same_recording = not {"corpus", "path"} <= {*test.column_names}
    targets = Rules(
        max_trials=max_targets,
        not_same=("session_id",) if cross_session_targets else (),
        same_recording=same_recording,
    )
    nontargets = Rules(
        max_trials=max_nontargets, same=("sex",) if same_sex_nontargets else (), same_recording=same_recording
    )
    try:
        return draw_trials(test, benchmark=benchmark, targets=targets, nontargets=nontargets, rng=rng).trials
    except NoPairError as error:
        instead = {"same sex": "same_sex_nontargets", "not the same session_id": "cross_session_targets"}
        if error.constraint not in instead:
            raise
        raise PipelineError(f"{error}, or `{instead[error.constraint]} = false`") from error


def _sorted(chunks: Iterator[Pairs]) -> Pairs:
    """By left place, then right."""
    sides = [np.concatenate(side) for side in zip(*chunks, strict=True)]
    left, right = sides[0], sides[1]
    width = int(right.max()) + 1
    left, right = np.divmod(np.sort(left * width + right), width)
    return left, right


def _batch(benchmark: str, name: str, kind: Kind, pairs: list[Pairs]) -> pa.RecordBatch:
    left, right = (np.concatenate(side).astype(np.int32) for side in zip(*pairs, strict=True))
    columns = {
        "benchmark": (np.zeros(len(left), np.int32), pa.array([benchmark])),
        "list": (np.zeros(len(left), np.int32), pa.array([name])),
        "enrol_id": (left, kind.enrol_ids),
        "test_id": (right, kind.test_ids),
    }
    coded = {name: pa.DictionaryArray.from_arrays(pa.array(at), ids) for name, (at, ids) in columns.items()}
    return pa.record_batch(coded | {"is_target": pa.repeat(kind.is_target, len(left))})


def _rows(benchmark: str, name: str, kind: Kind, pairs: Pairs) -> pa.Table:
    left, right = (pa.array(side) for side in pairs)
    columns = {
        "benchmark": pa.repeat(benchmark, len(left)),
        "list": pa.repeat(name, len(left)),
        "enrol_id": kind.enrol_ids.take(left),
        "test_id": kind.test_ids.take(right),
        "is_target": pa.repeat(kind.is_target, len(left)),
    }
    return pa.table(columns).cast(TRIALS.arrow())


def voxceleb_list(trials: pa.Table, file_of: dict[str, str]) -> str:
    """The trials as lines `1|0 enrol test`, with `file_of` mapping utterance ids to what the list calls them."""
    rows = zip(*(trials[column].to_pylist() for column in ("is_target", "enrol_id", "test_id")), strict=True)
    return "".join(f"{int(target)} {file_of[enrol]} {file_of[test]}\n" for target, enrol, test in rows)


def list_names(utterances: pa.Table) -> dict[str, str]:
    """`corpus/relative/path.wav` of each utterance; its id where it is but a stretch of its file."""
    names = {}
    for utterance, corpus, path in zip(
        *(utterances[c].to_pylist() for c in ("utterance_id", "corpus", "path")), strict=True
    ):
        file = PurePosixPath(corpus, path)
        whole = utterance == re.sub(r"\s", "%20", str(file.with_suffix("")))  # as Described.utterance does
        names[utterance] = utterance + file.suffix if whole else utterance
    return names
