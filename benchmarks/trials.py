"""Pairs of test utterances to be told same or different.

Targets are two utterances of one person, by default from two sessions: a target within one session is about five times
easier. An utterance without a session counts as a session of its own. Nontargets are two people, by default of one sex.
What else may be asked of a pair is in `benchmarks.trial_rules`; how pairs are drawn, in `drawing` and `pairs`.

A draw is the same for the same seed, whatever the order of the rows and however many pairs are drawn at once. It comes
with a report: what each rule took away, counted where sums over groups can count it, else among the pairs that were
looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.drawing import Kind
from benchmarks.pairs import PAIRS_AT_ONCE, Keys, NumberedPairs, Pairs, Tally, Test, in_order, new_keys
from benchmarks.trial_rules import RECORDING, Enrolments, NoPairError, Rules, Utterances
from curate import whole
from curate.errors import PipelineError
from curate.schema import TRIALS
from curate.similarity import Vectors

Places = NDArray[np.int32]  # (P,) of ids

ROWS_PER_BATCH = 1 << 20  # a row group of a file at least, which has its own dictionary of ids
ROWS_PER_ID = 16  # at least, or writing dictionaries takes longer than writing trials
VALUES_AT_ONCE = 1 << 16  # that the writer encodes: with the 1,024 of its own it takes a quarter longer
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

    def batches(self, benchmark: str, name: str = "test", *, at_least: int | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of `TRIALS` in the order in which they are drawn, their ids as dictionaries.

        A batch has at least so many rows of one kind, but for the last; by default `ROWS_PER_BATCH`, and `ROWS_PER_ID`
        for each id. Memory is a batch's.
        """
        for kind in self.kinds:
            num_rows = at_least or max(ROWS_PER_BATCH, ROWS_PER_ID * len(kind.test_ids))
            sides, done = np.empty((2, num_rows + PAIRS_AT_ONCE), np.int32), 0
            for left, right in kind.chunks():
                sides[0, done : done + len(left)], sides[1, done : done + len(left)] = left, right
                done += len(left)
                if done >= num_rows:
                    yield _batch(benchmark, name, kind, *sides[:, :done])
                    sides, done = np.empty_like(sides), 0
            if done:
                yield _batch(benchmark, name, kind, *sides[:, :done])

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


def draw_kind(
    utterances: Utterances,
    enrolments: Enrolments,
    rules: Rules,
    *,
    is_target: bool,
    benchmark: str,
    name: str,
    keys: Keys,
) -> Drawn:
    """Trials of one kind. Raises NoPairError, whose `steps` say what each rule took."""
    kind = Kind(utterances, enrolments, rules, is_target=is_target, keys=keys)
    trials = _rows(benchmark, name, kind, _sorted(kind.chunks()))
    rows = [step.row() | {"is_target": is_target} for step in kind.report()]
    return Drawn(trials=trials, report=pa.Table.from_pylist(rows, schema=REPORT))


def random_pairs(utterances: Utterances, num: int, *, benchmark: str, name: str, keys: Keys) -> pa.Table:
    """So many of all pairs of different recordings, or all: none twice, each as likely as any other, target or not.

    Targets first, each kind in the order of ids, as `TRIALS`. Pairs are numbered, and none is made that is not drawn.
    """
    size = len(utterances)
    after, end = np.arange(1, size + 1), np.full(size, size)
    every = NumberedPairs(first=after, end=end, cut_first=end, cut_end=end)
    recording = utterances.code(RECORDING)
    tests: list[Test] = [lambda left, right: recording[left] != recording[right]]
    drawn = in_order(every, tests, at_most=num, keys=keys if num < every.total else None, tally=Tally(1))
    left, right = _sorted(drawn)
    is_target = utterances.person[left] == utterances.person[right]
    order = np.argsort(~is_target, kind="stable")
    left, right, is_target = left[order], right[order], is_target[order]
    columns = {
        "benchmark": pa.repeat(benchmark, len(left)),
        "list": pa.repeat(name, len(left)),
        "enrol_id": utterances.ids.take(pa.array(left)),
        "test_id": utterances.ids.take(pa.array(right)),
        "is_target": is_target,
    }
    return pa.table(columns).cast(TRIALS.arrow())


def write_trials(path: Path, draw: Draw, *, benchmark: str, name: str = "test") -> pa.Table:
    """Write the trials as Parquet, as they are drawn; return the report. Only a chunk of them is in memory.

    The file is there when all are written, or not at all: see `curate.whole.written`.
    """
    ids = pa.dictionary(pa.int32(), pa.string())
    types = {"benchmark": ids, "list": ids, "enrol_id": ids, "test_id": ids, "is_target": pa.bool_()}
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])
    size = sum(column.nbytes for kind in draw.kinds for column in (kind.enrol_ids, kind.test_ids))
    with (
        whole.written(path) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            store_schema=False,  # or ids would be read back as dictionaries
            dictionary_pagesize_limit=max(1 << 20, 2 * size),
            write_statistics=["is_target"],  # those of dictionaries take as long as writing, and here help nobody
            write_batch_size=VALUES_AT_ONCE,
        ) as writer,
    ):
        for batch in draw.batches(benchmark, name):
            writer.write_batch(batch.cast(schema), row_group_size=len(batch))
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


def _batch(benchmark: str, name: str, kind: Kind, left: Places, right: Places) -> pa.RecordBatch:
    columns = {
        "benchmark": (np.zeros(len(left), np.int32), pa.array([benchmark])),
        "list": (np.zeros(len(left), np.int32), pa.array([name])),
        "enrol_id": (left, kind.enrol_ids),
        "test_id": (right, kind.test_ids),
    }
    coded = {name: pa.DictionaryArray.from_arrays(pa.array(at), ids, safe=False) for name, (at, ids) in columns.items()}
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
