"""One kind of trial: what its rules leave, counted; the numbering of that; and the pairs, drawn.

Rules that say equal or unequal are in the numbering or counted by sums over groups. What is left, unequal in further
columns, ages and cosines, is tested on each pair that is drawn, and a refused one is replaced by the next number.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.balance import OfPairsOfPeople, OfPeople, Strata, cells_of, in_rounds
from benchmarks.hard_pairs import cosines, hardest_pairs
from benchmarks.pairs import PAIRS_AT_ONCE, Keys, ListedPairs, NumberedPairs, Pairs, Tally, Test, in_order
from benchmarks.trial_rules import (
    RECORDING,
    UNKNOWN,
    Enrolments,
    NoPairError,
    Rules,
    Side,
    Utterances,
    check_kinds,
    joint,
    num_equal,
    subsets,
)
from curate.errors import PipelineError
from curate.similarity import Flags, Indices

PAIRS_FOR_QUANTILE = 100_000  # cosines that a quantile is taken of


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one constraint took of the pairs that those before it had left; None where that was not counted."""

    constraint: str
    examined: int | None
    removed: int | None
    is_exact: bool

    def row(self) -> dict[str, object]:
        """As a row."""
        return asdict(self)


class Kind:
    """Targets or nontargets."""

    def __init__(
        self, utterances: Utterances, enrolments: Enrolments, rules: Rules, *, is_target: bool, keys: Keys
    ) -> None:
        self.is_target, self._rules, self._keys = is_target, rules, keys
        self._utterances, self._enrolments = utterances, enrolments
        check_kinds(*((rules, None) if is_target else (None, rules)))
        utterances.need(rules.columns())
        self._person = self._both(utterances.person)
        self._is_enrolled, self._is_tested = np.ones(len(enrolments), bool), np.ones(len(utterances), bool)
        self._same: list[Indices] = []  # codes of enrolments and of utterances, that must be equal
        self._unequal: dict[str, Indices] = {}  # that must not, by constraint
        self._to_test: dict[str, Test] = {}
        self._steps: list[Step] = []
        self._apply()
        self._number()
        self._tally = Tally(len(self._to_test))
        self._num_drawn = 0

    # ---------------------------------------------------------------------------------------------- rules, counted

    def _both(self, code: Indices) -> Indices:
        """(L + N,)."""
        return np.concatenate([self._enrolments.agreed(code), code])

    def _apply(self) -> None:
        self._first = self._left = self._num_left()
        if not self._first:
            lacking = "no person of the test has two utterances" if self.is_target else "the test has not two people"
            raise NoPairError(f"trials: no {self._name} is left: {lacking}; expected more utterances", "")
        for name, side in (("enrolment", self._rules.enrol), ("test", self._rules.test)):
            self._apply_side(name, side)
        if self._rules.has_age:
            low, high = (self._utterances.number(column) for column in ("age_min_years", "age_max_years"))
            self._keep("age known", ~np.isnan(low + high))
        for column in self._rules.same:
            code = self._utterances.code(column)
            agreed = self._both(code)
            self._same.append(agreed)
            self._is_enrolled &= agreed[: len(self._enrolments)] != UNKNOWN
            self._is_tested &= code != UNKNOWN
            self._count(f"same {column}")
        for column in (*self._rules.not_same, *(() if self._rules.same_recording else (RECORDING,))):
            code = self._utterances.code(column)
            alone = int(code.max(initial=UNKNOWN)) + 1 + np.arange(len(code))
            self._part(f"not the same {column}", np.where(code == UNKNOWN, alone, code))
        for column in self._rules.different:
            code = self._utterances.code(column)
            self._keep(f"{column} known", code != UNKNOWN)
            self._part(f"different {column}", code)

    @property
    def _name(self) -> str:
        return "target" if self.is_target else "nontarget"

    def _apply_side(self, name: str, side: Side) -> None:
        for constraint, column, wanted in side.constraints(name):
            if isinstance(wanted, tuple):
                values = self._utterances.number(column)
                values = self._enrolments.sum(values) if name == "enrolment" else values
                is_so = (values >= wanted[0]) & (values <= wanted[1])
            else:
                is_so = self._is_among(column, wanted)
                is_so = self._enrolments.all(is_so) if name == "enrolment" else is_so
            if name == "enrolment":
                self._is_enrolled &= is_so
            else:
                self._is_tested &= is_so
            self._count(constraint)

    def _is_among(self, column: str, values: object) -> Flags:
        """(N,) whether the utterance has one of these values."""
        said, code = self._utterances.rows[column], self._utterances.code(column)
        told = pc.cast(said, pa.string())  # as `only` of a split is compared
        is_said = np.asarray(pc.is_in(told, value_set=pa.array(values, pa.string())), bool)
        is_among: Flags = np.isin(code, self._utterances.told(column)[is_said]) & (code != UNKNOWN)
        return is_among

    def _keep(self, constraint: str, is_known: Flags) -> None:
        """Only what is known on both sides."""
        self._is_tested &= is_known
        self._is_enrolled &= self._enrolments.all(is_known)
        self._count(constraint)

    def _part(self, constraint: str, code: Indices) -> None:
        """Only pairs that have different codes: counted, or to be tested where a model has several of them."""
        code_of_both = self._both(code)
        if (code_of_both[: len(self._enrolments)] != UNKNOWN)[self._is_enrolled].all():
            removed = self._num_left(code_of_both)
            self._unequal[constraint] = code_of_both
            self._take(constraint, removed)
        else:
            self._to_test[constraint] = self._share_none(code)

    def _count(self, constraint: str) -> None:
        self._take(constraint, self._left - self._num_left())

    def _take(self, constraint: str, removed: int) -> None:
        self._steps.append(Step(constraint=constraint, examined=self._left, removed=removed, is_exact=True))
        self._left -= removed
        if not self._left:
            raise self._no_pair()

    def _num_left(self, *also: Indices) -> int:
        """Pairs that have equal codes in all of `_same` and `also`, in none of `_unequal`: inclusion and exclusion."""
        return sum(
            (-1) ** len(chosen) * self._num_equal([*self._same, *also, *(self._unequal[c] for c in chosen)])
            for chosen in subsets([*self._unequal])
        )

    def _num_equal(self, codes: list[Indices]) -> int:
        of_one = self._num_in_cells(joint(self._person, *codes))
        return of_one if self.is_target else self._num_in_cells(joint(np.zeros_like(self._person), *codes)) - of_one

    def _num_in_cells(self, cells: Indices) -> int:
        num = len(self._enrolments)
        sides = {"is_enrolled": self._is_enrolled, "is_tested": self._is_tested}
        return num_equal(cells[:num], cells[num:], **sides, is_utterances=self._enrolments.is_utterances)

    def _no_pair(self) -> NoPairError:
        last = next(step for step in reversed(self._steps) if step.removed)
        return NoPairError(
            f"trials: no {self._name} is left: `{last.constraint}` took the last {last.removed:,} of "
            f"{self._first:,} pairs; expected rules that leave some",
            last.constraint,
            tuple(step.row() for step in self._steps),
        )

    # ------------------------------------------------------------------------------------------- what is left, numbered

    def _number(self) -> None:
        """Sort both sides so that partners lie side by side, and number the pairs."""
        num = len(self._enrolments)
        run = joint(self._person, *self._same) if self.is_target else joint(np.zeros_like(self._person), *self._same)
        cut = joint(run, self._cut())
        lead = self._person if self.is_target else run  # pairs of one person have numbers side by side
        self._left_item = _ordered(self._is_enrolled, lead[:num], run[:num], cut[:num])
        self._right_row = _ordered(self._is_tested, lead[num:], run[num:], cut[num:])
        run_first, run_end = _blocks(run[num:][self._right_row], run[:num][self._left_item])
        cut_first, cut_end = _blocks(cut[num:][self._right_row], cut[:num][self._left_item])
        cut_first = np.where(cut_first < cut_end, cut_first, run_first)  # an empty cut lies in its run, too
        cut_end = np.maximum(cut_end, cut_first)
        self._both_ways = NumberedPairs(first=run_first, end=run_end, cut_first=cut_first, cut_end=cut_end)
        self._is_one_side = self._enrolments.is_utterances and np.array_equal(self._is_enrolled, self._is_tested)
        self._pairs = self._both_ways
        if self._is_one_side:  # each pair from the side that comes first
            self._pairs = NumberedPairs(first=cut_end, end=run_end, cut_first=run_end, cut_end=run_end)
        self._run = run[:num][self._left_item], run[num:][self._right_row]
        self.enrol_ids = self._enrolments.ids.take(pa.array(self._left_item))
        self.test_ids = self._utterances.ids.take(pa.array(self._right_row))
        self._add_tests()

    def _cut(self) -> Indices:
        """(L + N,) a pair whose codes are one is none."""
        if not self.is_target:
            return self._person
        if self._unequal:
            return next(iter(self._unequal.values()))
        own = np.arange(len(self._utterances))
        items = own if self._enrolments.is_utterances else len(own) + np.arange(len(self._enrolments))
        return np.concatenate([items, own])

    def _add_tests(self) -> None:
        removed = {step.constraint: step.removed for step in self._steps}
        in_cut = next(iter(self._unequal), None) if self.is_target else None
        tests: dict[str, Test] = {}
        if self._enrolments.is_utterances and not self._is_one_side:
            tests[""] = self._not_told_twice()
        for constraint, code in self._unequal.items():
            if removed[constraint] and constraint != in_cut:
                tests[constraint] = self._differ(code)
        if self.is_target and not self._enrolments.is_utterances and not self._unequal and not self._to_test:
            tests["not of the model"] = self._share_none(np.arange(len(self._utterances)))
        self._to_test = tests | self._to_test
        if self._rules.min_age_gap_years is not None:
            constraint = f"age gap of at least {self._rules.min_age_gap_years} years"
            self._to_test[constraint] = self._age_gap(self._rules.min_age_gap_years, is_least=True)
        if self._rules.max_age_gap_years is not None:
            constraint = f"age gap of at most {self._rules.max_age_gap_years} years"
            self._to_test[constraint] = self._age_gap(self._rules.max_age_gap_years, is_least=False)
        if self._rules.min_cosine_quantile is not None:
            self._add_cosine(self._rules.min_cosine_quantile)

    def _not_told_twice(self) -> Test:
        """Where both sides of a pair may be enrolled and tested, one order is enough."""
        either = self._is_enrolled & self._is_tested
        item, row = self._left_item, self._right_row
        return lambda left, right: ~((item[left] > row[right]) & either[item[left]] & either[row[right]])

    def _differ(self, code: Indices) -> Test:
        num = len(self._enrolments)
        one, other = code[:num][self._left_item], code[num:][self._right_row]
        return lambda left, right: one[left] != other[right]

    def _share_none(self, code: Indices) -> Test:
        """That no utterance of a model has the code of the one that is tested."""
        from benchmarks import pair_kernels

        start, codes = self._enrolments.start, code[self._enrolments.member]

        def allowed(left: Indices, right: Indices) -> Flags:
            found = np.empty(len(left), bool)
            pair_kernels.share_one(start, codes, code, self._left_item[left], self._right_row[right], found)
            return ~found

        return allowed

    def _age_gap(self, years: int, *, is_least: bool) -> Test:
        low, high = (self._utterances.number(column) for column in ("age_min_years", "age_max_years"))
        one_low, one_high = (
            self._enrolments.least(low)[self._left_item],
            self._enrolments.greatest(high)[self._left_item],
        )
        low, high = low[self._right_row], high[self._right_row]
        if is_least:  # whatever the ages are within their ranges
            return lambda left, right: np.maximum(low[right] - one_high[left], one_low[left] - high[right]) >= years
        return lambda left, right: np.maximum(high[right] - one_low[left], one_high[left] - low[right]) <= years

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        one, other = self._enrolments.unit_LD(), self._utterances.unit_ND
        if other is None:
            raise PipelineError("trials: a rule asks for cosines, but no vectors are given; expected one an utterance")
        return one[self._left_item], other[self._right_row]

    def _add_cosine(self, quantile: float) -> None:
        """The quantile is that of all pairs, or of a sample of them."""
        one, other = self._vectors()
        tests, tally = [*self._to_test.values()], Tally(len(self._to_test))
        sample = in_order(self._pairs, tests, at_most=PAIRS_FOR_QUANTILE, keys=self._keys[::-1].copy(), tally=tally)
        heard = [cosines(one, other, left, right) for left, right in sample]
        least = float(np.quantile(np.concatenate(heard), quantile)) if heard else -1.0
        constraint = f"cosine of at least {least:.4f}, the {quantile:g} quantile"
        self._to_test[constraint] = lambda left, right: cosines(one, other, left, right) >= least

    # ------------------------------------------------------------------------------------------------------ drawn

    def chunks(self, at_once: int = PAIRS_AT_ONCE) -> Iterator[Pairs]:
        """Places in `enrol_ids` and `test_ids` of the pairs that are drawn."""
        self._tally, self._num_drawn = Tally(len(self._to_test)), 0
        for left, right in self._drawn(at_once):
            self._num_drawn += len(left)
            yield left, right
        if not self._num_drawn:
            self._steps += self._tested()
            raise self._no_pair()

    def _drawn(self, at_once: int) -> Iterator[Pairs]:
        tests = [*self._to_test.values()]
        at_most = self._rules.max_trials or self._pairs.total
        if self._rules.hardest_per_enrolment:
            pairs = self._hardest(self._rules.hardest_per_enrolment)
            keys = self._keys if at_most < pairs.total else None
            yield from in_order(pairs, [], at_most=at_most, keys=keys, tally=Tally(0), at_once=at_once)
        elif self._rules.max_per_person or (self._rules.balance and at_most < self._pairs.total):
            most = self._rules.max_per_person
            yield from in_rounds(
                self._strata(), tests, at_most=at_most, max_each=most, tally=self._tally, at_once=at_once
            )
        else:
            keys = self._keys if at_most < self._pairs.total else None
            yield from in_order(self._pairs, tests, at_most=at_most, keys=keys, tally=self._tally, at_once=at_once)

    def _hardest(self, num_each: int) -> ListedPairs:
        """Where both are enrolled and each is among the other's hardest, the pair is that of the first."""
        tests = [test for constraint, test in self._to_test.items() if constraint]
        left, right = hardest_pairs(self._both_ways, tests, *self._vectors(), num_each=num_each)
        if self._enrolments.is_utterances:
            sides = np.sort(np.stack([self._left_item[left], self._right_row[right]]), axis=0)
            _, first = np.unique(sides[0] * len(self._utterances) + sides[1], return_index=True)
            first.sort()
            left, right = left[first], right[first]
        return ListedPairs(left=left, right=right)

    def _strata(self) -> Strata:
        num = len(self._enrolments)
        left, right = self._person[:num][self._left_item], self._person[num:][self._right_row]
        if self.is_target:
            people = np.flatnonzero(np.diff(left, append=-1)) + 1
            return OfPeople(pairs=self._pairs, start=self._pairs.before[np.concatenate([[0], people])], keys=self._keys)
        return OfPairsOfPeople(
            left=cells_of(self._run[0], left),
            right=cells_of(self._run[1], right),
            total=self._pairs.total,
            one_circle=self._is_one_side,
            by_people=self._rules.balance == "people",
            keys=self._keys,
        )

    def _tested(self) -> list[Step]:
        """What the tests took. Where pairs were tested after they were counted, what the count says stands."""
        counted = {step.constraint for step in self._steps}
        left, steps = self._tally.examined, []
        is_exact = left == self._pairs.total
        for constraint, refused in zip(self._to_test, self._tally.refused.tolist(), strict=True):
            if constraint and constraint not in counted:
                steps.append(Step(constraint=constraint, examined=left, removed=refused, is_exact=is_exact))
            left -= refused
        return steps

    def report(self) -> list[Step]:
        """What each constraint took."""
        tested = self._tested()
        is_exact = all(step.is_exact for step in tested) and not self._rules.hardest_per_enrolment
        left = self._left - sum(step.removed or 0 for step in tested) if is_exact else None
        asked = {"hardest_per_enrolment": "hardest of each enrolment", "max_per_person": "of each person"}
        limits = [f"at most {n:,} {told}" for key, told in asked.items() if (n := getattr(self._rules, key))]
        limits += [f"at most {self._rules.max_trials:,}"] if self._rules.max_trials else []
        last = Step(
            constraint=", ".join(limits) or "all",
            examined=left,
            removed=None if left is None else left - self._num_drawn,
            is_exact=left is not None,
        )
        return [*self._steps, *tested, last]


def _ordered(flag: Flags, *codes: Indices) -> Indices:
    """Those that are flagged, by the first code, then the second and so on."""
    places = np.flatnonzero(flag)
    return places[np.lexsort([code[places] for code in reversed(codes)])]


def _blocks(code: Indices, wanted: Indices) -> Pairs:
    """From where to where each wanted code lies among `code`, in which equal ones lie side by side; 0, 0 if nowhere."""
    num = int(max(code.max(initial=-1), wanted.max(initial=-1))) + 1
    first, end = np.zeros((2, num), np.int64)
    heads = np.flatnonzero(np.diff(code, prepend=-1))
    first[code[heads]], end[code[heads]] = heads, np.append(heads[1:], len(code))
    return first[wanted], end[wanted]
