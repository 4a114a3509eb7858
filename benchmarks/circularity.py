"""By how much a benchmark flatters the encoder that cleaned it, with another encoder as the judge.

What an encoder hears badly it scores badly, whether or not the label is wrong. Where it cleans the test that it is then
measured on, its error falls by both: wrong labels that are gone, which is what cleaning is for, and its own bad hearing
that is no longer asked about, which is circular. What a second encoder's cleaning takes, too, is held to be the first
kind. Own taste is how the error moves by what one cleaning takes alone, less how the other encoder's moves by it. The
falls by all that is taken are no measure of taste: wrong labels cost the better encoder more, so that it gains more
where they go. What both hear badly makes taste too small, wrong labels that the other overlooks make it too large where
the other hears worse.

Trials are drawn once, on the test before cleaning, under the labels of the corpora. The conditions differ in which of
them are asked:
- `uncleaned`: all.
- `cleaned_by_audited`, `cleaned_by_judge`: those of which a cleaning left both sides in the test, under the labels that
  it gave. A trial whose key so changes is asked under its new key if the rule of the trials would ask it (its sessions,
  the sexes of its people), else not. An utterance that a label comes to hold from without is in no trial.
- of each cleaning, for its own taste: those of the same way where it took only what the other took, too.
- beside them, 20 times, as many utterances of each person dropped at random as the audited cleaning took from the test:
  what fewer trials do by themselves.

Intervals are those of `benchmarks.intervals`: 200 times people are drawn anew, and all conditions and both encoders are
weighed by the same draw, so that differences are paired. A figure that is not defined is nan.

Who is one person, and who is in the test, is the audited catalog's in every condition: what unification and the choice
of people may flatter is not told. A label that cleaning dropped whole has no person in the test.

Shapes: N utterances of the test before cleaning, P people, T trials, R draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.intervals import NUM_DRAWS, Estimate, central
from benchmarks.metrics import Costs, Floats, Ranking, crossing, least_cost
from benchmarks.sexes import agreed_sexes
from curate.similarity import Flags, Indices

AUDITED, JUDGE = "audited", "judge"
SYSTEMS = (AUDITED, JUDGE)
UNCLEANED = "uncleaned"
CONDITIONS = (UNCLEANED, *(f"cleaned_by_{system}" for system in SYSTEMS))
METRICS = ("eer", "min_dcf")
NUM_CONTROLS = 20
GONE = -1


Estimates = dict[str, dict[str, Estimate]]  # by system, by metric


@dataclass(frozen=True, kw_only=True)
class Told:
    """One condition as both systems score it."""

    num_target: int
    num_nontarget: int
    figures: Estimates


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a cleaning did to the test."""

    dropped: int  # no longer in the test: by a verdict, or under a label of somebody else
    relabelled: int  # in it, as another person


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often two cleanings took an utterance from its label, dropped or relabelled; kappa of Cohen (1960)."""

    both: int
    audited_only: int
    judge_only: int
    neither: int
    kappa: float  # nan where chance alone agrees always


@dataclass(frozen=True, kw_only=True)
class Circularity:
    """All figures of an audit."""

    num_people: int
    num_utterances: int
    taken: dict[str, Taken]  # by whose cleaning
    conditions: dict[str, Told]
    controls: dict[str, dict[str, list[float]]]  # by system, by metric: one figure a random drop
    changes: dict[str, Estimates]  # by whose cleaning: cleaned - uncleaned
    own_taste: dict[str, dict[str, Estimate]]  # by whose cleaning; below 0 it flatters
    agreement: Agreement


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What `make_trials` asks about."""

    cross_session_targets: bool
    same_sex_nontargets: bool


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Which of T trials are asked, and whose they are. People are numbers from 0, GONE where one is not in the test."""

    asked: Flags
    is_target: Flags
    enrol_person: Indices
    test_person: Indices


@dataclass(frozen=True, kw_only=True)
class Before:
    """The utterances before cleaning, in the order of ids; people in that of their first, so that no name matters."""

    utterance_ids: pa.Array
    identity_ids: pa.Array  # (P,)
    person: Indices  # (N,)
    session: Indices  # (N,)
    sex: Indices  # (P,) -1 where nothing is said, or rows disagree

    def after(self, cleaned: pa.Table) -> Indices:
        """(N,) whose each is by what a cleaning left (utterance_id, identity_id); GONE where it is not in the test."""
        place = pc.index_in(self.utterance_ids, value_set=cleaned["utterance_id"].combine_chunks())
        identity = cleaned["identity_id"].combine_chunks().take(place)
        of_test = pc.and_(pc.is_valid(identity), pc.is_in(identity, value_set=self.identity_ids))
        person = pc.if_else(of_test, pc.index_in(identity, value_set=self.identity_ids), GONE)
        found: Indices = person.to_numpy(zero_copy_only=False).astype(np.int64)
        return found


def before_cleaning(rows: pa.Table) -> Before:
    """Of (utterance_id, identity_id, session_id, sex). An utterance without a session counts as one of its own."""
    rows = rows.sort_by("utterance_id").combine_chunks()
    person = rows["identity_id"].combine_chunks().dictionary_encode()
    number = person.indices.to_numpy().astype(np.int64)
    session = pc.fill_null(rows["session_id"].combine_chunks().dictionary_encode().indices, GONE).to_numpy()
    sexes = agreed_sexes(number.tolist(), rows["sex"].to_pylist())
    known = sorted({sex for sex in sexes.values() if sex is not None})
    return Before(
        utterance_ids=rows["utterance_id"].combine_chunks(),
        identity_ids=person.dictionary,
        person=number,
        session=np.where(session == GONE, len(rows) + np.arange(len(rows)), session).astype(np.int64),
        sex=np.array([-1 if sex is None else known.index(sex) for _, sex in sorted(sexes.items())], dtype=np.int64),
    )


def condition(test: Before, left: Indices, right: Indices, after: Indices, rule: Rule) -> Condition:
    """The trials of rows `left` and `right` (T,) of the test, when `after` (N,) says whose each utterance is."""
    one, other = after[left], after[right]
    is_target = one == other
    by_rule = np.where(
        is_target,
        (test.session[left] != test.session[right]) | (not rule.cross_session_targets),
        ((test.sex[one] == test.sex[other]) & (test.sex[one] >= 0)) | (not rule.same_sex_nontargets),
    )
    same_key = is_target == (test.person[left] == test.person[right])
    asked = (one != GONE) & (other != GONE) & (same_key | by_rule)
    return Condition(asked=asked, is_target=is_target, enrol_person=one, test_person=other)


class Ranked:
    """The asked trials of a condition by the scores (T,) of both systems, for being weighed again and again."""

    def __init__(self, asked: Condition, scores: Mapping[str, Floats]) -> None:
        self._ranked = []
        for system in SYSTEMS if asked.asked.any() else ():
            rows = np.flatnonzero(asked.asked)
            rows = rows[np.argsort(scores[system][rows], kind="stable")]  # in order, weights need not be sought
            is_target = asked.is_target[rows]
            other = np.where(is_target, GONE, asked.test_person[rows])  # one person counts once
            self._ranked.append((Ranking(scores[system][rows], is_target), asked.enrol_person[rows], other))

    def figures(self, times: Indices, costs: Costs) -> Floats:
        """(systems, metrics) with each person drawn so often (P,); nan without either kind of trial.

        A target counts as often as its person was drawn, a nontarget the product of both.
        """
        found = np.full((len(SYSTEMS), len(METRICS)), np.nan)
        weight = np.append(times, 1.0)  # the last is that of GONE
        for at, (ranking, enrolled, other) in enumerate(self._ranked):
            rates = ranking.error_rates(weight[enrolled] * weight[other])
            if not np.isnan(rates[0][0]):
                found[at] = crossing(*rates), least_cost(*rates, costs)
        return found


def audit(
    test: pa.Table,
    trials: pa.Table,
    scores: Mapping[str, Floats],
    cleaned: Mapping[str, pa.Table],
    *,
    rule: Rule,
    costs: Costs,
    rng: np.random.Generator,
    num_draws: int = NUM_DRAWS,
) -> Circularity:
    """Of the test before cleaning (utterance_id, identity_id, session_id, sex), and `trials` that were drawn on it.

    For each of SYSTEMS: its `scores` (T,), and what its cleaning left (utterance_id, identity_id). Neither the order of
    utterances nor the names of people matter to a figure. Raises ValueError where one of a trial is not in the test.
    """
    before = before_cleaning(test)
    left, right = (_rows(trials[side], before) for side in ("enrol_id", "test_id"))
    after = {system: before.after(cleaned[system]) for system in SYSTEMS}
    shared = (  # of each cleaning, what the other took, too
        np.where(after[other] == before.person, before.person, after[by])
        for by, other in zip(SYSTEMS, reversed(SYSTEMS), strict=True)
    )
    each = [condition(before, left, right, one, rule) for one in (before.person, *after.values(), *shared)]
    times = _draws(each, len(before.identity_ids), num_draws, rng)
    views = [Ranked(one, scores) for one in each]
    drawn = np.array([[view.figures(row, costs) for view in views] for row in times])
    uncleaned, cleanings, of_shared = np.split(drawn, [1, len(CONDITIONS)], axis=1)
    changed, alone = cleanings - uncleaned, cleanings - of_shared  # by cleaning, by system
    dropped = _controls(each[0], before.person, after[AUDITED] == GONE, left, right, rng)
    controls = np.array([Ranked(one, scores).figures(times[0], costs) for one in dropped])
    return Circularity(
        num_people=len(before.identity_ids),
        num_utterances=len(before.person),
        taken={
            system: Taken(
                dropped=int((one == GONE).sum()), relabelled=int(((one != GONE) & (one != before.person)).sum())
            )
            for system, one in after.items()
        },
        conditions={
            name: Told(
                num_target=int((one.asked & one.is_target).sum()),
                num_nontarget=int((one.asked & ~one.is_target).sum()),
                figures=_by_system(drawn[:, at], bounds=(0, 1)),
            )
            for at, (name, one) in enumerate(zip(CONDITIONS, each[: len(CONDITIONS)], strict=True))
        },
        controls={
            system: {metric: controls[:, at, m].tolist() for m, metric in enumerate(METRICS)}
            for at, system in enumerate(SYSTEMS)
        },
        changes={by: _by_system(changed[:, at]) for at, by in enumerate(SYSTEMS)},
        own_taste={by: _by_metric(alone[:, at, at] - alone[:, at, 1 - at]) for at, by in enumerate(SYSTEMS)},
        agreement=agreement(after[AUDITED] != before.person, after[JUDGE] != before.person),
    )


def _rows(ids: pa.ChunkedArray, test: Before) -> Indices:
    found = pc.index_in(ids, value_set=test.utterance_ids)
    if found.null_count:
        absent = ids.filter(pc.is_null(found))[0].as_py()
        raise ValueError(f"{absent}: in a trial, and not in the test before cleaning; expected trials drawn on it")
    rows: Indices = found.to_numpy().astype(np.int64)
    return rows


def _draws(conditions: list[Condition], num_people: int, num_draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each person is drawn (1 + R, P), of those in any trial; the first row is the test as it is."""
    sides = [side[one.asked] for one in conditions for side in (one.enrol_person, one.test_person)]
    present = np.unique(np.concatenate(sides))
    times = np.zeros((1 + num_draws, num_people), dtype=np.int64)
    times[0, present] = 1
    times[1:, present] = rng.multinomial(len(present), np.full(len(present), 1 / len(present)), size=num_draws)
    return times


def _controls(
    uncleaned: Condition, person: Indices, gone: Flags, left: Indices, right: Indices, rng: np.random.Generator
) -> list[Condition]:
    """The trials that are left when as many utterances of each person as are `gone` (N,) are dropped at random."""
    count, num_gone = np.bincount(person), np.bincount(person, weights=gone)
    first = np.cumsum(count) - count
    found = []
    for _ in range(NUM_CONTROLS):
        shuffled = np.lexsort([rng.random(len(person)), person])  # each person's utterances in an order of chance
        stays = np.empty(len(person), dtype=bool)
        stays[shuffled] = np.arange(len(person)) - first[person[shuffled]] >= num_gone[person[shuffled]]
        found.append(replace(uncleaned, asked=stays[left] & stays[right]))
    return found


def _by_system(drawn: Floats, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Estimates:
    """Of (1 + R, systems, metrics)."""
    return {system: _by_metric(drawn[:, at], bounds) for at, system in enumerate(SYSTEMS)}


def _by_metric(drawn: Floats, bounds: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, Estimate]:
    return {metric: _estimate(drawn[:, at], bounds) for at, metric in enumerate(METRICS)}


def _estimate(drawn: Floats, bounds: tuple[float, float]) -> Estimate:
    """Of (1 + R,): the figure itself, and its draws. What the test itself does not define has no interval."""
    value = float(drawn[0])
    low, high = (np.nan, np.nan) if np.isnan(value) else central(value, drawn[1:].tolist(), bounds=bounds)
    return Estimate(value=value, low=low, high=high)


def agreement(audited: Flags, judge: Flags) -> Agreement:
    """Of what two cleanings took (N,)."""
    observed, chance = np.mean(audited == judge), audited.mean() * judge.mean() + (~audited).mean() * (~judge).mean()
    return Agreement(
        both=int((audited & judge).sum()),
        audited_only=int((audited & ~judge).sum()),
        judge_only=int((~audited & judge).sum()),
        neither=int((~audited & ~judge).sum()),
        kappa=float((observed - chance) / (1 - chance)) if chance < 1 else np.nan,
    )
