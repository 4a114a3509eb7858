"""The way of the data: how many utterances each step is given, what leaves there and why, and what goes on.

What enters, less what leaves, and with what comes back, is what goes on, at every step. An utterance leaves at the
first rule that drops it. A reviewer may bring it back, or have one leave that no rule dropped.
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curate.decisions import REVIEW
from curate.reasons import MEANING, Reason, Subject, Verdict
from pages.report import way_drawn
from pages.report.material import Material
from pages.report.names import shown
from pages.report.picture import LeftOut, Picture, Row, number_of, percent

HEADING = "The way of the data"
IN_WORDS = {
    "ingest": "with sound audio",
    "embed": "heard by the extractor",
    "duplicates": "there once",
    "clean": "of the right speaker",
    REVIEW: "after reviewers",
}
NO_SPLIT, GONE, NO_TRIAL = "in no split", "in a split, though dropped since", "in no trial"
BROUGHT_BACK = "brought back by a reviewer"
Counts = tuple[tuple[str, int], ...]  # the most frequent first


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step: what it is given, what leaves there and what comes back, by reason."""

    name: str
    enters: int
    leaves: Counts = ()
    returns: Counts = ()

    @property
    def num_left(self) -> int:
        """How many leave."""
        return sum(number for _, number in self.leaves)

    @property
    def goes_on(self) -> int:
        """What the next step is given."""
        return self.enters - self.num_left + sum(number for _, number in self.returns)


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split: `in_lists` says how many of its utterances are in each list's trials."""

    name: str
    num_utterances: int
    num_people: int
    num_in_trials: int
    in_lists: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class TrialList:
    """One list of trials."""

    name: str
    num_targets: int
    num_nontargets: int
    num_utterances: int


@dataclass(frozen=True, kw_only=True)
class Way:
    """All of it."""

    corpora: Counts
    num_files: int
    stages: tuple[Stage, ...]
    splits: tuple[Split, ...]
    lists: tuple[TrialList, ...]


def picture(material: Material) -> Picture | LeftOut:
    """The way as a picture."""
    if not len(material.came):
        return LeftOut(name="way", heading=HEADING, why="The catalog holds no utterance.")
    way = way_of(material)
    title, caption = in_words(way, material)

    return Picture(
        name="way",
        heading=HEADING,
        title=title,
        caption=caption,
        head=("step", "what", "utterances", "meaning"),
        rows=as_rows(way),
        draw=lambda: way_drawn.draw(way, title),
    )


# ------------------------------------------------------------------------------------------------------------- numbers


def fates(material: Material) -> pa.Table:
    """(utterance_id, step, reason, is_back) of each utterance that leaves, by the first rule that drops it.

    `is_back`: a reviewer brought it back, so that it is not dropped in the end.
    """
    rows = material.decisions.filter(pc.equal(material.decisions["subject"], Subject.UTTERANCE))
    rows = rows.filter(pc.is_in(rows["subject_id"], value_set=material.came["utterance_id"].combine_chunks()))
    by_reviewer = rows.filter(pc.equal(rows["step"], REVIEW))
    drops = rows.filter(pc.equal(rows["verdict"], Verdict.DROP))
    turn = {step: place for place, step in enumerate(material.steps)}
    first: dict[str, tuple[int, str]] = {}
    for subject, step, reason in _each(drops, "subject_id", "step", "reason"):
        found = (turn[step], reason)
        first[subject] = min(first.get(subject, found), found)
    heard = set(by_reviewer["subject_id"].to_pylist())
    out = set(by_reviewer.filter(pc.equal(by_reviewer["verdict"], Verdict.DROP))["subject_id"].to_pylist())
    ids = sorted(first)
    return pa.table(
        {
            "utterance_id": pa.array(ids, pa.string()),
            "step": pa.array([material.steps[first[one][0]] for one in ids], pa.string()),
            "reason": pa.array([first[one][1] for one in ids], pa.string()),
            "is_back": pa.array([one in heard and one not in out for one in ids], pa.bool_()),
        }
    )


def way_of(material: Material) -> Way:
    """All counts, each taken from the tables."""
    came, found = material.came, fates(material)
    stages: list[Stage] = []
    enters = len(came)
    for step in material.steps:
        here = found.filter(pc.equal(found["step"], step))
        back = int(pc.sum(found["is_back"]).as_py() or 0) if step == REVIEW else 0
        returns = ((BROUGHT_BACK, back),) if back else ()
        stages.append(Stage(name=step, enters=enters, leaves=_counted(here["reason"]), returns=returns))
        enters = stages[-1].goes_on
    if len(material.splits):
        stages.append(_into_splits(material, enters))
    files = came.group_by(["corpus", "path"]).aggregate([])
    trials = {name: _utterances_of(material, rows) for name, rows in material.lists.items()}
    return Way(
        corpora=_counted(came["corpus"]),
        num_files=len(files),
        stages=tuple(stages),
        splits=tuple(_split(material, name, trials) for name in sorted(set(material.splits["split"].to_pylist()))),
        lists=tuple(_list(name, rows, trials[name]) for name, rows in material.lists.items()),
    )


def _into_splits(material: Material, enters: int) -> Stage:
    left, chosen = set(material.left["utterance_id"].to_pylist()), set(material.splits["utterance_id"].to_pylist())
    lost, gone = len(left - chosen), len(chosen - left)
    return Stage(
        name="splits",
        enters=enters,
        leaves=((NO_SPLIT, lost),) if lost else (),
        returns=((GONE, gone),) if gone else (),
    )


def _split(material: Material, name: str, trials: dict[str, set[str]]) -> Split:
    rows = material.splits.filter(pc.equal(material.splits["split"], name))
    mine = set(rows["utterance_id"].to_pylist())
    return Split(
        name=name,
        num_utterances=len(rows),
        num_people=len(rows["identity_id"].unique()),
        num_in_trials=len(mine & set().union(*trials.values())),
        in_lists={one: len(mine & utterances) for one, utterances in trials.items()},
    )


def _utterances_of(material: Material, trials: pa.Table) -> set[str]:
    """Those of both sides, and of the enrolment models that are one."""
    sides = [trials[side].combine_chunks() for side in ("enrol_id", "test_id")]
    names = {name for side in sides for name in side.dictionary.take(side.indices.unique()).to_pylist()}
    of_model: dict[str, set[str]] = {}
    for model, utterance in _each(material.models, "model_id", "utterance_id"):
        of_model.setdefault(model, set()).add(utterance)
    return set().union(*(of_model.get(name, {name}) for name in names))


def _list(name: str, trials: pa.Table, utterances: set[str]) -> TrialList:
    targets = int(pc.sum(trials["is_target"]).as_py() or 0)
    return TrialList(
        name=name, num_targets=targets, num_nontargets=len(trials) - targets, num_utterances=len(utterances)
    )


def _counted(column: pa.ChunkedArray) -> Counts:
    return tuple(sorted(Counter(column.to_pylist()).items(), key=lambda one: (-one[1], one[0])))


def _each(rows: pa.Table, *columns: str) -> "zip[tuple[str, ...]]":
    return zip(*(rows[name].to_pylist() for name in columns), strict=True)


# --------------------------------------------------------------------------------------------------------------- words


def in_words(way: Way, material: Material) -> tuple[str, str]:
    """What is seen, and of what it is."""
    num, left = sum(number for _, number in way.corpora), len(material.left)
    title = f"{left:,} of {num:,} utterances ({percent(left, num)}) are left"
    rules = [stage for stage in way.stages if stage.name in material.steps]  # what is in no split is left all the same
    dropping = max(rules, key=lambda stage: stage.num_left, default=None)
    if dropping is not None and dropping.num_left:
        title += f"; no step drops more than {dropping.name}, {dropping.num_left:,}"
    if back := sum(number for stage in rules for _, number in stage.returns):
        title += f"; {number_of(back, 'comes', 'come')} back"
    caption = (
        f"n = {number_of(num, 'utterance')} in {number_of(way.num_files, 'file')} of "
        f"{number_of(len(way.corpora), 'corpus', 'corpora')}. The band is as wide as what goes on; what leaves is "
        "counted at the first step that drops it, so that all counts add up."
    )
    if way.splits:
        caption += f" Splits and trials are those of {shown(material.benchmark)}; people may be in several lists."
    return title, caption


def as_rows(way: Way) -> list[Row]:
    """Every count of the picture."""
    rows: list[Row] = [("found", name, number, "a corpus") for name, number in way.corpora]
    for stage in way.stages:
        rows.append((stage.name, "enters", stage.enters, IN_WORDS.get(stage.name, "")))
        rows += [(stage.name, f"leaves: {why}", -number, _meaning(why)) for why, number in stage.leaves]
        rows += [(stage.name, f"comes back: {why}", number, "") for why, number in stage.returns]
        rows.append((stage.name, "goes on", stage.goes_on, ""))
    for split in way.splits:
        rows.append(("split", split.name, split.num_utterances, number_of(split.num_people, "person", "people")))
        rows += [(f"split {split.name}", f"in list {one}", number, "") for one, number in split.in_lists.items()]
        if way.lists:
            rows.append((f"split {split.name}", NO_TRIAL, split.num_utterances - split.num_in_trials, ""))
    for one in way.lists:
        trials = f"{one.num_targets + one.num_nontargets:,} trials: {one.num_targets:,} targets, "
        rows.append(("list", one.name, one.num_utterances, f"{trials}{one.num_nontargets:,} nontargets"))
    return rows


def _meaning(reason: str) -> str:
    return MEANING[Reason(reason)] if reason in {str(one) for one in Reason} else ""
