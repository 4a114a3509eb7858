"""The lists of trials of a protocol: published, of random pairs, or drawn under rules.

A list that lacks one kind of trial is made all the same, and a remark says so; a list without any trial is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.account import Account
from benchmarks.apart import Heard
from benchmarks.division import key_of
from benchmarks.pairs import new_keys
from benchmarks.protocol import Protocol, TrialList
from benchmarks.trial_rules import RECORDING, Enrolments, NoPairError, Utterances, made_models
from benchmarks.trials import draw_kind, random_pairs
from curate.corpora.described import one_word
from curate.errors import PipelineError
from curate.schema import MODELS, TRIALS, Table
from curate.similarity import Flags, Indices, Vectors

KINDS = {True: "targets", False: "nontargets"}


@dataclass(frozen=True, kw_only=True)
class MadeList:
    """The trials of one list, the models that they enrol, and what a reader must be told."""

    trials: pa.Table
    models: pa.Table
    remarks: tuple[str, ...] = ()


class Lists:
    """Makes the lists of a protocol. `published` and `enrolments` are what corpora bring; `voices` are for cosines."""

    def __init__(
        self,
        protocol: Protocol,
        *,
        published: pa.Table,
        enrolments: pa.Table,
        voices: Heard | None,
        account: Account,
    ) -> None:
        self._protocol, self._published, self._enrolments = protocol, published, enrolments
        self._voices, self._account = voices, account

    def make(self, asked: TrialList, rows: pa.Table, places: Indices) -> MadeList:
        """The list `asked` of the utterances `rows` of its split, which stand at `places`.

        Raises PipelineError where no trial is left, naming the list and the rule.
        """
        if asked.published is not None:
            return self._of_published(asked, rows)
        rng = np.random.default_rng(list(key_of(self._protocol.seed, "trials", asked.name)))
        if asked.random_pairs is not None:
            return self._of_random_pairs(asked, rows, rng)
        return self._of_rules(asked, rows, places, rng)

    # ------------------------------------------------------------------------------------------------- published

    def _of_published(self, asked: TrialList, rows: pa.Table) -> MadeList:
        names = sorted(set(self._published["list"].to_pylist()))
        matching = [name for name in names if fnmatchcase(name, str(asked.published))]
        if not matching:
            told = (
                f"list {asked.name}: no corpus brings a published list {asked.published!r}; "
                f"there is {', '.join(names) or 'none'}"
            )
            if asked.required:
                raise PipelineError(f"{told}; expected it among the trials of a corpus")
            return MadeList(trials=_none(TRIALS), models=_none(MODELS), remarks=(f"{told}; it was left out",))
        listed = self._published.filter(pc.is_in(self._published["list"], value_set=pa.array(matching)))
        sides = _Sides(rows, self._enrolments)
        enrol, test = sides.enrolled(listed["enrol_id"]), sides.tested(listed["test_id"])
        is_target = np.asarray(listed["is_target"].fill_null(False))
        is_there, is_keyed = (enrol >= 0) & (test >= 0), np.asarray(listed["is_target"].is_valid())
        if not is_keyed.all():
            self._account.note("trials", asked.name, "with a published key", len(listed), int((~is_keyed).sum()))
        for kind, stage in KINDS.items():
            of_kind = is_keyed & (is_target == kind)
            rule = f"in {', '.join(matching)}, both sides in split {asked.split}"
            self._account.note(stage, asked.name, rule, int(of_kind.sum()), int((of_kind & ~is_there).sum()))
        kept = np.flatnonzero(is_there & is_keyed)
        if not len(kept):
            raise self._empty(asked, f"no trial of {', '.join(matching)} has both sides in split {asked.split!r}")
        num_listed = {kind: int((is_target[kept] == kind).sum()) for kind in KINDS}
        enrol, test, is_target = _each_once(asked, sides, enrol[kept], test[kept], is_target[kept])
        for kind, stage in KINDS.items():
            again = num_listed[kind] - int((is_target == kind).sum())
            if again:
                self._account.note(stage, asked.name, "none that another line has", num_listed[kind], again)
        odd = int(((sides.person_of_enrolled[enrol] == sides.person[test]) != is_target).sum())
        remarks = list(_lacking(asked, is_target))
        if odd:
            told = f"of {odd:,} trials the published key says otherwise than the labels"
            remarks.append(f"list {asked.name}: {told}; the key stands")
        columns = {
            "benchmark": pa.repeat(self._protocol.name, len(enrol)),
            "list": pa.repeat(asked.name, len(enrol)),
            "enrol_id": sides.names.take(pa.array(enrol)),
            "test_id": sides.heard.take(pa.array(test)),
            "is_target": pa.array(is_target),
        }
        used = sides.models.filter(pc.is_in(sides.models["model_id"], value_set=columns["enrol_id"]))
        return MadeList(trials=TRIALS.rows(columns), models=_models(self._protocol.name, used), remarks=tuple(remarks))

    # ------------------------------------------------------------------------------------------------------ drawn

    def _of_random_pairs(self, asked: TrialList, rows: pa.Table, rng: np.random.Generator) -> MadeList:
        num = int(asked.random_pairs or 0)
        num_rows, utterances = len(rows), Utterances(rows)
        of_recording = np.unique(utterances.code(RECORDING), return_counts=True)[1]
        of_one = int((of_recording * (of_recording - 1) // 2).sum())
        every = num_rows * (num_rows - 1) // 2 - of_one
        if not every:
            recordings = f"{num_rows} utterances of {len(of_recording)} recordings"
            raise self._empty(asked, f"split {asked.split!r} has {recordings}; expected two recordings at least")
        benchmark = self._protocol.name
        drawn = random_pairs(utterances, num, benchmark=benchmark, name=asked.name, keys=new_keys(rng))
        if of_one:
            self._account.note("trials", asked.name, "not of one recording", every + of_one, of_one)
        self._account.note("trials", asked.name, f"at most {num:,} random pairs", every, every - len(drawn))
        few = (f"list {asked.name}: split {asked.split} has no more than {every:,} pairs",) if every < num else ()
        told = _lacking(asked, np.asarray(drawn["is_target"]))
        return MadeList(trials=drawn, models=_none(MODELS), remarks=(*few, *told))

    def _of_rules(self, asked: TrialList, rows: pa.Table, places: Indices, rng: np.random.Generator) -> MadeList:
        models, remarks = self._models_of(asked, rows, rng)
        utterances = Utterances(rows, vectors=self._vectors(asked, places))
        enrolments = Enrolments(utterances, models)
        drawn: list[pa.Table] = []
        errors: list[NoPairError] = []
        for is_target, rules in ((True, asked.targets), (False, asked.nontargets)):
            keys = new_keys(rng)
            if rules is None:
                continue
            try:
                found = draw_kind(
                    utterances,
                    enrolments,
                    rules,
                    is_target=is_target,
                    benchmark=self._protocol.name,
                    name=asked.name,
                    keys=keys,
                )
                drawn.append(found.trials)
                steps = found.report.to_pylist()
            except NoPairError as error:
                errors.append(error)
                steps = list(error.steps) or [_nothing()]
            for step in steps:
                self._account.note(
                    KINDS[is_target],
                    asked.name,
                    step["constraint"],
                    step["examined"],
                    step["removed"],
                    is_exact=step["is_exact"],
                )
        if not drawn:
            raise self._empty(asked, " and ".join(str(error).removeprefix("trials: ") for error in errors))
        remarks += [f"list {asked.name}: {str(error).removeprefix('trials: ')}" for error in errors]
        trials = pa.concat_tables(drawn)
        used = (
            None
            if models is None
            else models.filter(pc.is_in(models["model_id"], value_set=trials["enrol_id"].combine_chunks()))
        )
        made = _none(MODELS) if used is None else _models(self._protocol.name, used)
        return MadeList(trials=trials, models=made, remarks=tuple(remarks))

    def _models_of(
        self, asked: TrialList, rows: pa.Table, rng: np.random.Generator
    ) -> tuple[pa.Table | None, list[str]]:
        if asked.utterances_a_model is None:
            return None, []
        try:
            made = made_models(rows, asked.utterances_a_model, rng=rng)
        except PipelineError as error:
            raise self._empty(asked, str(error).removeprefix("trials: ")) from error
        people = len(rows["identity_id"].unique())
        persons = made["model_id"].unique().to_pylist()
        modelled, name_of = len(persons), {one: one_word(f"{asked.name}/{one}") for one in persons}
        if len(set(name_of.values())) < modelled:
            raise self._empty(asked, "labels that differ in a blank and %20 alone would be one model; expected others")
        names = pa.array([name_of[one] for one in made["model_id"].to_pylist()], pa.string())
        made = made.set_column(0, "model_id", names)  # without the blanks that labels may have, as ids: lists name it
        if modelled == people:
            return made, []
        told = f"{people - modelled:,} of {people:,} people have no session of {asked.utterances_a_model} utterances"
        return made, [f"list {asked.name}: {told}, and no model"]

    def _vectors(self, asked: TrialList, places: Indices) -> Vectors | None:
        rules = [one for one in (asked.targets, asked.nontargets) if one is not None]
        if not any(one.has_cosine for one in rules):
            return None
        if self._voices is None or (self._voices.place[places] < 0).any():
            raise PipelineError(f"list {asked.name}: a rule asks for cosines; expected a vector of each utterance")
        vectors: Vectors = self._voices.unit_vectors[self._voices.place[places]]
        return vectors

    def _empty(self, asked: TrialList, why: str) -> PipelineError:
        last = self._account.last(asked.split, "split")
        told = f" (of split {asked.split}, {last})" if last else ""
        return PipelineError(f"protocol {self._protocol.name}: list {asked.name!r} has no trial: {why}{told}")


def _nothing() -> dict[str, object]:
    return {"constraint": "any pair", "examined": 0, "removed": 0, "is_exact": True}


def _none(table: Table) -> pa.Table:
    return table.arrow().empty_table()


class _Sides:
    """What may be enrolled and tested in a published list: the utterances of its split, and models made of them alone.

    Both are numbered in the order of their ids: `heard` and `names`.
    """

    def __init__(self, rows: pa.Table, enrolments: pa.Table) -> None:
        self.heard: pa.Array = rows["utterance_id"].combine_chunks()
        place = np.asarray(pc.index_in(enrolments["utterance_id"], value_set=self.heard).fill_null(-1))
        broken = enrolments["model_id"].filter(pa.array(place < 0)).combine_chunks()
        self.models = enrolments.filter(pc.invert(pc.is_in(enrolments["model_id"], value_set=broken)))
        models = self.models["model_id"].combine_chunks().unique()
        names = pa.concat_arrays([self.heard, models])
        order = pc.sort_indices(names)
        self.names: pa.Array = names.take(order)
        self.person: Indices = np.asarray(rows["identity_id"].combine_chunks().dictionary_encode().indices, np.int64)
        first = pc.index_in(models, value_set=enrolments["model_id"].combine_chunks())
        of_models = self.person[place[np.asarray(first, np.int64)]]
        self.person_of_enrolled: Indices = np.concatenate([self.person, of_models])[np.asarray(order)]

    def enrolled(self, ids: pa.ChunkedArray) -> Indices:
        """The numbers of what is enrolled; -1 for what is not there."""
        return np.asarray(pc.index_in(ids, value_set=self.names).fill_null(-1), np.int64)

    def tested(self, ids: pa.ChunkedArray) -> Indices:
        """The numbers of what is tested; -1 for what is not there."""
        return np.asarray(pc.index_in(ids, value_set=self.heard).fill_null(-1), np.int64)


def _each_once(
    asked: TrialList, sides: _Sides, enrol: Indices, test: Indices, is_target: Flags
) -> tuple[Indices, Indices, Flags]:
    """Targets first, each kind in the order of ids; a pair that several lists have is one trial.

    Raises PipelineError where they disagree on it.
    """
    pair = enrol * len(sides.heard) + test
    targets, nontargets = (np.unique(pair[is_target == kind]) for kind in KINDS)
    both = np.intersect1d(targets, nontargets, assume_unique=True)
    if len(both):
        one, other = divmod(int(both[0]), len(sides.heard))
        raise PipelineError(
            f"list {asked.name}: {sides.names[one]} against {sides.heard[other]} is a target and is none; "
            "expected lists that agree"
        )
    enrol, test = np.divmod(np.concatenate([targets, nontargets]), len(sides.heard))
    return enrol, test, np.arange(len(enrol)) < len(targets)


def _models(benchmark: str, rows: pa.Table) -> pa.Table:
    rows = rows.sort_by([("model_id", "ascending"), ("utterance_id", "ascending")])
    told = {column: rows[column] for column in ("model_id", "utterance_id")}
    return MODELS.rows({"benchmark": pa.repeat(benchmark, len(rows)), **told})


def _lacking(asked: TrialList, is_target: Flags) -> Sequence[str]:
    return [f"list {asked.name}: no {name[:-1]} is in it" for kind, name in KINDS.items() if kind not in is_target]
