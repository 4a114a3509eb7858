"""From what a corpus says of its utterances, and what a look into its files finds, to rows and verdicts.

A file is never left out silently. An unfit one is a row like the others, and a verdict says why it is dropped.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.corpora.described import CorpusSettings
from curate.corpora.places import printable
from curate.decisions import Author, verdicts
from curate.errors import CorpusError
from curate.exclusions import Exclusions
from curate.reasons import Reason, Subject, Verdict
from curate.schema import DECISIONS, UTTERANCES
from curate.seen import Memory, Seen, look_into

MAX_BEYOND_S = 0.1  # how far a stretch may go past the end of its file: times are rounded


@dataclass
class Faults:
    """What is wrong with the files of a corpus: the first of each kind, and how many there are."""

    corpus: CorpusSettings
    num_files: int = 0
    num_utterances: int = 0
    num_beyond: int = 0
    damages: Counter[str] = field(default_factory=Counter)
    first_damaged: str = ""
    first_beyond: str = ""

    def take_note(self, rows: pa.Table, asked: pa.RecordBatch, seen: dict[str, Seen]) -> None:
        """Of one chunk: its rows, what was said of them, and what was found in their files."""
        files = asked.filter(asked["is_first"])["path"].to_pylist()  # each once, though it has rows in many chunks
        self.num_files, self.num_utterances = self.num_files + len(files), self.num_utterances + len(rows)
        for path in files:
            probe = seen[path].probe
            if probe.damage:
                self.damages[probe.damage] += 1
                where = f"{printable(str(self.corpus.root / path))} is {probe.damage}: {probe.detail}"
                self.first_damaged = self.first_damaged or where
        for at in _beyond(rows, asked):
            self.num_beyond += 1
            self.first_beyond = self.first_beyond or self._in_words(rows, asked, at)

    def _in_words(self, rows: pa.Table, asked: pa.RecordBatch, at: int) -> str:
        row, said = rows.slice(at, 1).to_pylist()[0], asked.slice(at, 1).to_pylist()[0]
        start_s, length_s = row["start_s"], said["duration_s"]
        which = "" if row["channel"] is None else f"channel {row['channel']} of {row['num_channels']}, "
        until = f"from {start_s} s" + (f" to {round(start_s + length_s, 3)} s" if length_s else " on")
        whole_s, file = row["num_samples"] / row["sample_rate_hz"], printable(str(self.corpus.root / row["path"]))
        return f"{row['utterance_id']} is {which}{until}, but {file} is {whole_s} s long"

    def refuse(self) -> None:
        """Raises CorpusError for stretches beyond their files, and for damage that the corpus does not keep as rows."""
        name = f"corpus {self.corpus.name!r}"
        if self.damages and self.corpus.damaged == "refuse":
            kinds = ", ".join(f"{count} {damage}" for damage, count in sorted(self.damages.items()))
            raise CorpusError(
                f"{name}: {self.first_damaged}; expected a sound file. {self.damages.total()} of {self.num_files} "
                f'files are damaged ({kinds}): mend or `exclude` them, or set them aside as rows by `damaged = "keep"`'
            )
        if self.num_beyond:
            raise CorpusError(
                f"{name}: {self.first_beyond}; expected a channel, and seconds, within the file (are these "
                f"milliseconds?). {self.num_beyond} of {self.num_utterances} utterances are beyond their file"
            )


def _beyond(rows: pa.Table, asked: pa.RecordBatch) -> list[int]:
    """Which rows are of a stretch or channel that their file does not hold; damaged files hold what they may."""
    whole = pc.divide(rows["num_samples"].cast(pa.float64()), rows["sample_rate_hz"].cast(pa.float64()))
    start, length = rows["start_s"], pc.fill_null(asked["duration_s"], 0.0)
    beyond = pc.or_(pc.greater_equal(start, whole), pc.greater(pc.add(start, length), pc.add(whole, MAX_BEYOND_S)))
    no_channel = pc.fill_null(pc.greater_equal(rows["channel"].cast(pa.int32()), rows["num_channels"]), False)
    counts = pc.and_(pc.is_null(rows["damage"]), asked["is_part"])
    found = pc.fill_null(pc.and_(counts, pc.or_(beyond, no_channel)), False)
    return [int(at) for at in np.flatnonzero(found.to_numpy())]


def looked_into(
    corpus: CorpusSettings, said: Iterator[pa.RecordBatch], memory: Memory, faults: Faults
) -> Iterator[pa.RecordBatch]:
    """The rows of `utterances`, chunk by chunk: what is said, with what is found in the files."""
    for chunk in said:
        paths = list(dict.fromkeys(chunk["path"].to_pylist()))
        seen = look_into(corpus, paths, memory)
        rows = utterance_rows(chunk, seen)
        faults.take_note(rows, chunk, seen)
        yield from rows.to_batches()


def utterance_rows(said: pa.RecordBatch, seen: dict[str, Seen]) -> pa.Table:
    """One row an utterance, in the order given. A stretch ends with its file, if not before."""
    found = [seen[path].probe for path in said["path"].to_pylist()]
    columns = {name: said[name] for name in said.schema.names if name in UTTERANCES.arrow().names}
    for name in ("content_sha256", "sample_rate_hz", "num_channels", "num_samples", "peak_dbfs", "damage"):
        columns[name] = pa.array([getattr(one, name) for one in found], UTTERANCES.arrow().field(name).type)
    columns["start_s"] = pc.fill_null(said["start_s"], 0.0)
    whole = pa.array([one.duration_s for one in found], pa.float64())
    rest = pc.max_element_wise(pc.subtract(whole, columns["start_s"]), 0.0, skip_nulls=False)
    columns["duration_s"] = pc.if_else(pc.is_null(rest), None, pc.min_element_wise(rest, said["duration_s"]))
    return pa.table([columns[name] for name in UTTERANCES.arrow().names], schema=UTTERANCES.arrow())


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """Why an utterance's audio cannot be used: what was measured, and the bounds it was held against."""

    reason: str
    score: float = math.nan
    lower: float = math.nan
    upper: float = math.nan


def unfit(
    corpus: CorpusSettings, *, damage: str | None, duration_s: float | None, peak_dbfs: float | None
) -> Unfit | None:
    """The first of the corpus' limits that the audio breaks; damage goes before them."""
    if damage is not None:
        return Unfit(reason=damage)
    if duration_s is not None and not corpus.min_duration_s <= duration_s <= corpus.max_duration_s:
        reason = Reason.TOO_SHORT if duration_s < corpus.min_duration_s else Reason.TOO_LONG
        return Unfit(reason=reason, score=duration_s, lower=corpus.min_duration_s, upper=corpus.max_duration_s)
    if peak_dbfs is not None and peak_dbfs < corpus.min_peak_dbfs:
        return Unfit(reason=Reason.SILENT, score=peak_dbfs, lower=corpus.min_peak_dbfs)
    return None


def judge(corpus: CorpusSettings, rows: Iterator[pa.RecordBatch], lists: list[Exclusions], author: Author) -> pa.Table:
    """A verdict for each utterance that a list names or whose audio cannot be used; others are judged by later steps.

    One whose sources of ages disagree is kept, and a verdict says so.
    """
    found = [DECISIONS.arrow().empty_table()]
    for batch in rows:
        left = pa.Table.from_batches([batch])
        for exclusions in lists:
            named = exclusions.match(left.combine_chunks().to_batches()[0]) if len(left) else pa.array([], pa.bool_())
            by_list = Author(rule=f"list {exclusions.path.name}", step=author.step, run_id=author.run_id)
            found.append(_verdicts_on(left.filter(named)["utterance_id"], by_list, Verdict.DROP, Reason.LISTED))
            left = left.filter(pc.invert(named))
        unfit_ones = judge_files(corpus, left, author)
        fit = left.filter(
            pc.invert(pc.is_in(left["utterance_id"], value_set=unfit_ones["subject_id"].combine_chunks()))
        )
        doubted = fit.filter(pc.is_valid(fit["age_conflict_years"]))
        years = doubted["age_conflict_years"].to_numpy().astype(np.float64)
        conflicts = _verdicts_on(doubted["utterance_id"], author, Verdict.KEEP, Reason.AGE_CONFLICT, score=years)
        found += [unfit_ones, conflicts]
    return pa.concat_tables(found)


def _verdicts_on(
    ids: pa.ChunkedArray, author: Author, verdict: Verdict, reason: Reason, score: NDArray[np.float64] | None = None
) -> pa.Table:
    return verdicts(author, Subject.UTTERANCE, ids, verdict=verdict, reason=reason, score=score)


def judge_files(corpus: CorpusSettings, utterances: pa.Table, author: Author) -> pa.Table:
    """A verdict for each utterance whose audio cannot be used."""
    rows = utterances.select(["utterance_id", "damage", "duration_s", "peak_dbfs"]).to_pylist()
    found = {row.pop("utterance_id"): unfit(corpus, **row) for row in rows}
    faults = {utterance: fault for utterance, fault in found.items() if fault is not None}
    return verdicts(
        author,
        Subject.UTTERANCE,
        list(faults),
        verdict=Verdict.DROP,
        reason=[fault.reason for fault in faults.values()],
        score=np.array([fault.score for fault in faults.values()]),
        lower_bound=np.array([fault.lower for fault in faults.values()]),
        upper_bound=np.array([fault.upper for fault in faults.values()]),
    )
