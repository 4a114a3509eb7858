"""Carry a protocol out: from the rows of a catalog to splits, models and trials, and an account of what each rule took.

The same rows give the same tables, byte for byte, in whatever order they come. Each draw has a key of its own, made of
the protocol's seed and of what is drawn.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.account import Account
from benchmarks.apart import heard, keep_apart
from benchmarks.division import Division, among
from benchmarks.leakage import Voices
from benchmarks.protocol import KNOWN_BY, Filters, Protocol, Source
from benchmarks.protocol_trials import Lists, MadeList
from curate.codes import in_order, is_ascending
from curate.errors import PipelineError
from curate.schema import MODELS, TRIALS
from curate.sides import Pair
from curate.similarity import Flags


@dataclass(frozen=True, kw_only=True)
class Built:
    """A benchmark: rows of the tables `splits`, `models`, `trials` and `removals`, and what a reader must be told."""

    splits: pa.Table
    models: pa.Table
    trials: pa.Table
    removals: pa.Table
    remarks: tuple[str, ...]


def build(
    protocol: Protocol,
    *,
    utterances: pa.Table,
    published: pa.Table,
    enrolments: pa.Table,
    vectors: Voices | None = None,
    lists: Mapping[str, Iterable[str]] | None = None,
    thresholds: Mapping[str, float] | None = None,
    apart: Collection[Pair] = (),
) -> Built:
    """Build the benchmark of a protocol.

    `utterances` are those that all verdicts left, under their settled labels: of the columns of UTTERANCES those that
    the protocol looks at (`Protocol.columns`), `identity_id`, the `reader` of their corpus, and `age_group` and
    `age_subgroup` where the protocol has a scheme of ages. `published` and `enrolments` are rows of their tables.
    `vectors` gives ids and their vectors (V, D), which are written over, where any are needed; `lists` are the entries
    of the lists that the user gives by name, `thresholds` the calibrated ones by corpus, `apart` pairs of
    identity_id that reviewers keep apart. Raises PipelineError, naming the source, the split or the list.
    """
    account, remarks = Account(protocol.name), []
    rows = _rows(utterances)
    sources = {source.name: _source(source, rows, account) for source in protocol.sources}
    for name in protocol.filters.sources or sources:
        sources[name] = _filtered(name, sources[name], protocol.filters, rows, account)
    remarks += [_lacking(protocol, source, account) for source in protocol.sources if not sources[source.name].any()]
    if not any(inside.any() for inside in sources.values()):
        raise PipelineError(f"protocol {protocol.name}: the catalog has none of its sources; {remarks[0]}")
    division = Division(rows, sources, seed=protocol.seed, account=account)
    absent = {source.name for source in protocol.sources if not sources[source.name].any()}
    for at, split in enumerate(protocol.splits):
        if not absent >= {*split.sources}:
            remarks += division.take(split, sum(one.name == split.name for one in protocol.splits[:at]))
    voices = heard(division.utterance_ids, vectors) if vectors is not None and protocol.has_cosine else None
    for kept in protocol.keep_apart:
        remarks += keep_apart(
            kept,
            division,
            rows,
            voices=voices,
            lists=lists or {},
            thresholds=thresholds or {},
            known_apart=apart,
        )
    made, told = _lists(
        protocol,
        division,
        rows,
        Lists(protocol, published=published, enrolments=enrolments, voices=voices, account=account),
    )
    for name in division.names:
        if not division.of(name).any():
            remarks.append(f"split {name} is empty: {account.last(name, 'split')}")
    return Built(
        splits=division.table(protocol.name),
        models=_together([one.models for one in made], MODELS.arrow()),
        trials=_together([one.trials for one in made], TRIALS.arrow()),
        removals=account.table(),
        remarks=(*remarks, *told),
    )


def _rows(utterances: pa.Table) -> pa.Table:
    """In the order of ids."""
    rows = in_order(utterances, "utterance_id")
    ids = rows["utterance_id"]
    if not is_ascending(ids, strictly=True):
        twice = ids[1:].filter(pc.equal(ids[1:], ids[:-1]))[0].as_py()
        raise PipelineError(f"utterance {twice!r} is given twice; expected each once")
    return rows


def _source(source: Source, rows: pa.Table, account: Account) -> Flags:
    """(N,) which utterances are in it."""
    inside = among(rows, "reader", source.readers) | among(rows, "corpus", source.corpora)
    told = [f"reader {' or '.join(source.readers)}"] if source.readers else []
    told += [f"corpus {' or '.join(source.corpora)}"] if source.corpora else []
    account.note("source", source.name, f"of {' or '.join(told)}", len(rows), int((~inside).sum()))
    rules = []
    if source.speakers:
        rules.append((f"of speakers {' or '.join(source.speakers)}", _are_called(rows, source.speakers)))
    for column, values in source.only.items():
        rules.append((f"of {column} {', '.join(values)}", among(rows, column, values)))
    return _after(rules, inside, "source", source.name, account)


def _are_called(rows: pa.Table, globs: tuple[str, ...]) -> Flags:
    """(N,) whether the label, without its corpus, matches one of these."""
    labels = rows["speaker_id"].combine_chunks().dictionary_encode()
    matches = [
        any(fnmatchcase(label.partition("/")[2], one) for one in globs) for label in labels.dictionary.to_pylist()
    ]
    is_called: Flags = np.array(matches, bool)[np.asarray(labels.indices)]
    return is_called


def _lacking(protocol: Protocol, source: Source, account: Account) -> str:
    """What to say of a source that is not there. Raises PipelineError where it must be."""
    last = account.last(source.name, "source", "filter")
    told = f"source {source.name} is not in the catalog" + (f": {last}" if last else "")
    if source.required:
        raise PipelineError(f"protocol {protocol.name}: {told}; expected a catalog that has it")
    return told


def _filtered(name: str, inside: Flags, filters: Filters, rows: pa.Table, account: Account) -> Flags:
    """(N,) what the filters leave of a source."""
    duration = np.asarray(rows["duration_s"].fill_null(np.nan).to_numpy(), np.float64)
    rules: list[tuple[str, Flags]] = []
    if filters.min_duration_s:
        rules.append((f"of at least {filters.min_duration_s:g} s", duration >= filters.min_duration_s))
    if np.isfinite(filters.max_duration_s):
        rules.append((f"of at most {filters.max_duration_s:g} s", duration <= filters.max_duration_s))
    for known in filters.known:
        rules.append((f"{known} known", np.asarray(rows[KNOWN_BY[known]].is_valid())))
    if filters.age_scheme:
        rules.append((f"in a group of {filters.age_scheme}", np.asarray(rows["age_group"].is_valid())))
    return _after(rules, inside, "filter", name, account)


def _after(rules: list[tuple[str, Flags]], inside: Flags, stage: str, part: str, account: Account) -> Flags:
    for rule, passes in rules:
        left = inside & passes
        account.note(stage, part, rule, int(inside.sum()), int(inside.sum() - left.sum()))
        inside = left
    return inside


def _lists(protocol: Protocol, division: Division, rows: pa.Table, lists: Lists) -> tuple[list[MadeList], list[str]]:
    """Every list whose split has utterances; what is left out is told."""
    made: list[MadeList] = []
    remarks: list[str] = []
    drawn = {split.name for split in protocol.splits} & {*division.names}
    for asked in protocol.trials:
        if asked.split not in drawn:
            remarks.append(f"list {asked.name}: its split {asked.split} has no source in the catalog; it was left out")
            continue
        places = np.flatnonzero(division.of(asked.split))
        one = lists.make(asked, rows.take(pa.array(places)), places)
        made.append(one)
        remarks += one.remarks
    return made, remarks


def _together(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    """One after the other; a model that several lists enrol stands once."""
    whole = pa.concat_tables([schema.empty_table(), *tables])
    return whole if "list" in schema.names else _each_once(whole)


def _each_once(models: pa.Table) -> pa.Table:
    once = models.group_by(models.column_names).aggregate([])
    return (
        once.select(models.column_names)
        .sort_by([("model_id", "ascending"), ("utterance_id", "ascending")])
        .cast(models.schema)
    )
