"""The same of catalogs and protocols at random, against a reference that goes by loops and knows no arrays."""

from hashlib import blake2b
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from benchmarks.pairs import new_keys
from benchmarks.protocol import Source, Split, TrialList
from benchmarks.trial_rules import Rules, Side, Utterances
from benchmarks.trials import random_pairs
from curate.errors import PipelineError
from tests.benchmarks.catalogs_made import ALL, built, catalog, pairs, protocol, removals, several, sides

CORPORA = ("one", "two")
SOURCES = tuple(Source(name=name, corpora=(name,), required=False) for name in CORPORA)
NAMES = ("test", "dev", "train")


@st.composite
def catalogs(draw):
    """Up to thirty utterances of up to six people in two corpora."""
    size = draw(st.integers(1, 30))
    rows = [
        {
            "utterance": f"u{at:02}",
            "corpus": draw(st.sampled_from(CORPORA)),
            "speaker": f"s{(person := draw(st.integers(0, 5)))}",
            "identity_id": f"p{person}",
            "session_id": draw(st.none() | st.integers(0, 2).map(lambda session, who=person: f"{who}/{session}")),
            "work_id": draw(st.none() | st.sampled_from(["b0", "b1"])),
            "sex": draw(st.sampled_from([None, "female", "male", ("female", "male")[person % 2]])),
            "path": draw(st.sampled_from([f"u{at:02}.wav", "shared.wav"])),
            "corpus_split": draw(st.sampled_from([None, "a", "b"])),
        }
        for at in range(size)
    ]
    return catalog(*rows)


@st.composite
def splits(draw):
    """Two to four splits, of which some may have one name."""
    found = []
    for _ in range(draw(st.integers(2, 4))):
        unit = draw(st.sampled_from(["people", "sessions", "utterances"]))
        how = draw(st.sampled_from(["all", "num", "share"]))
        balanced = unit == "people" and draw(st.booleans())
        num = draw(st.integers(1, 3))
        found.append(
            Split(
                name=draw(st.sampled_from(NAMES)),
                sources=draw(st.sampled_from([("one",), ("two",), CORPORA])),
                only=draw(st.sampled_from([{}, {"corpus_split": ("a",)}])),
                unit=unit,
                num=(2 * num if balanced else num) if how == "num" else None,
                share=draw(st.sampled_from([0.1, 0.4, 0.7])) if how == "share" else None,
                share_of=draw(st.sampled_from(["left", "all"])),
                sex_balanced=balanced,
                min_utterances=draw(st.integers(1, 2)),
                max_sessions_per_person=draw(st.sampled_from([None, 1, 2])) if unit == "sessions" else None,
                shares_people=draw(st.sampled_from([(), ("test",)])),
            )
        )
    there = {one.name for one in found}
    return [Split(**vars(one) | {"shares_people": tuple(there & {*one.shares_people})}) for one in found]


def by_hand(asked, rows):
    """What each split has, by loops; None where a draw wants more than there is, or nothing is there at all."""
    said = {}
    for row in rows:
        if row["sex"]:
            said.setdefault(row["identity_id"], set()).add(row["sex"])
    split_of, before = {}, []
    for at, split in enumerate(asked.splits):
        there = [row for row in rows if row["corpus"] in split.sources]
        if not there:
            continue
        there = [row for row in there if all(row[column] in values for column, values in split.only.items())]
        pool = [row for row in there if row["utterance_id"] not in split_of]
        foreign = {
            row["identity_id"]
            for row in rows
            for other in [split_of.get(row["utterance_id"])]
            if other not in (None, split.name)
            and other not in split.shares_people
            and not any(one.name == other and split.name in one.shares_people for one in before)
        }
        pool = [row for row in pool if row["identity_id"] not in foreign]
        of_person = [row["identity_id"] for row in pool]
        pool = [row for row in pool if of_person.count(row["identity_id"]) >= split.min_utterances]
        base = pool if split.share_of == "left" else there
        place = sum(one.name == split.name for one in asked.splits[:at])
        key = "\0".join((str(asked.seed), "split", split.name, str(place))).encode()
        drawn = _drawn(split, pool, base, said, blake2b(key, digest_size=16).digest())
        if drawn is None:
            return None
        split_of |= {row["utterance_id"]: split.name for row in drawn}
        before.append(split)
    return split_of


def _in_line(names, key):
    return sorted(names, key=lambda name: blake2b(name.encode(), key=key, digest_size=16).digest())


def _drawn(split, pool, base, said, key):
    """The rows that a split draws of its pool."""
    if split.unit == "people":
        heard = {row["identity_id"] for row in pool}
        groups = [heard]
        if split.sex_balanced:
            groups = [{one for one in heard if said.get(one) == {sex}} for sex in ("female", "male")]
        there, whole = len(groups) * min(map(len, groups)), len({row["identity_id"] for row in base})
        num = _number(split, there, whole)
        if num is None:
            return None
        each = num // len(groups)
        chosen = {one for group in groups for one in _in_line(group, key)[:each]}
        return [row for row in pool if row["identity_id"] in chosen]
    if split.unit == "utterances":
        num = _number(split, len(pool), len(base))
        chosen = None if num is None else _in_line([row["utterance_id"] for row in pool], key)[:num]
        return None if chosen is None else [row for row in pool if row["utterance_id"] in chosen]
    sessions = {}
    for row in pool:
        sessions.setdefault(row["session_id"] or row["utterance_id"], []).append(row)
    found, given, taken = [], {}, 0
    for name in _in_line(sessions, key):
        person = sessions[name][0]["identity_id"]
        if split.max_sessions_per_person and given.get(person, 0) == split.max_sessions_per_person:
            continue
        if split.num is not None and taken == split.num:
            break
        if split.share is not None and found:
            wanted = split.share * len(base)
            if abs(len(found) + len(sessions[name]) - wanted) >= abs(len(found) - wanted):
                break
        found += sessions[name]
        given[person], taken = given.get(person, 0) + 1, taken + 1
    return found if split.num is None or taken == split.num else None


def _number(split, there, whole):
    if split.num is not None:
        return split.num if split.num <= there else None
    return there if split.share is None else min(there, max(1, round(split.share * whole)))


@settings(max_examples=120, deadline=None)
@given(catalogs(), splits(), st.integers(0, 3))
def test_splits_are_what_loops_find_and_whom_one_has_no_other_has(rows, asked, seed):
    asked = protocol(*asked, sources=SOURCES, seed=seed)
    expected = by_hand(asked, rows.to_pylist())
    if expected is None:
        with pytest.raises(PipelineError, match=r"splits\.(test|dev|train): wants"):
            built(asked, rows)
        return
    made = built(asked, rows)
    assert {row["utterance_id"]: row["split"] for row in made.splits.to_pylist()} == expected
    assert len(made.splits) == len(set(made.splits["utterance_id"].to_pylist()))
    people = {}
    for row in made.splits.to_pylist():
        people.setdefault(row["split"], set()).add(row["identity_id"])
    shares = {(one.name, other) for one in asked.splits for other in one.shares_people}
    for one, other in combinations(people, 2):
        assert {(one, other), (other, one)} & shares or not people[one] & people[other]
    for row in made.removals.to_pylist():
        assert 0 <= row["num_removed"] <= row["num_examined"] <= len(rows)


columns = st.sampled_from(["sex", "session_id", "work_id", "corpus"])


@st.composite
def rules(draw):
    """Rules of which a loop can tell what they leave; a draw in half of them."""
    same, not_same = draw(st.sets(columns, max_size=1)), draw(st.sets(columns, max_size=2))
    return Rules(
        same=tuple(same),
        not_same=tuple(sorted(not_same - same)),
        same_recording=draw(st.booleans()),
        max_trials=draw(st.none() | st.integers(1, 5)),
    )


def allowed(rows, asked, is_target):
    """All pairs that may be trials, by loops."""
    told = {}
    for row in rows:
        if row["sex"]:
            told.setdefault(row["identity_id"], set()).add(row["sex"])
    sex = {person: min(said) if len(said) == 1 else None for person, said in told.items()}
    rows = [row | {"sex": sex.get(row["identity_id"])} for row in sorted(rows, key=lambda row: row["utterance_id"])]
    return {
        frozenset((one["utterance_id"], other["utterance_id"]))
        for one, other in combinations(rows, 2)
        if (one["identity_id"] == other["identity_id"]) == is_target
        and all(one[column] == other[column] is not None for column in asked.same)
        and not any(one[column] == other[column] is not None for column in asked.not_same)
        and (asked.same_recording or (one["corpus"], one["path"]) != (other["corpus"], other["path"]))
    }


@settings(max_examples=80, deadline=None)
@given(catalogs(), rules(), rules(), st.integers(0, 3))
def test_lists_hold_what_their_rules_let_pass_and_nothing_else(rows, targets, nontargets, seed):
    test = Split(name="test", sources=CORPORA)
    ask = TrialList(name="list", split="test", targets=targets, nontargets=nontargets)
    asked = protocol(test, sources=SOURCES, seed=seed, trials=(ask,))
    every = {kind: allowed(rows.to_pylist(), rule, kind) for kind, rule in ((True, targets), (False, nontargets))}
    if not any(every.values()):
        with pytest.raises(PipelineError, match="protocol made: list 'list' has no trial: no target is left"):
            built(asked, rows)
        return
    made = built(asked, rows)
    for kind, rule in ((True, targets), (False, nontargets)):
        found = [frozenset(pair) for pair in pairs(made, "list", kind)]
        assert len(found) == len(set(found)) == min(len(every[kind]), rule.max_trials or len(every[kind]))
        assert set(found) <= every[kind]
        stage = "targets" if kind else "nontargets"
        assert bool(found) != any(f"no {stage[:-1]} is left" in remark for remark in made.remarks)
        account = [
            (row["num_examined"], row["num_removed"]) for row in made.removals.to_pylist() if row["stage"] == stage
        ]
        for (examined, removed), (left, _) in pairwise(account):
            assert examined - removed == left
        assert account[-1][0] - account[-1][1] == len(found)


@settings(max_examples=100, deadline=None)
@given(catalogs(), splits(), rules(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, asked, rule, random):
    lists = (
        TrialList(name="ruled", split=asked[0].name, targets=rule, nontargets=rule),
        TrialList(name="random", split=asked[0].name, random_pairs=7),
    )
    asked = protocol(*asked, sources=SOURCES, trials=lists)
    order = list(range(len(rows)))
    random.shuffle(order)
    assert outcome(asked, rows.take(pa.array(order))) == outcome(asked, rows)


def outcome(asked, rows):
    """What is built, or why it cannot be."""
    try:
        return vars(built(asked, rows))
    except PipelineError as error:
        return str(error)


def test_each_pair_is_as_likely_as_any_other_among_random_pairs():
    test, counts = Utterances(catalog(*several(4, num_sessions=1))), {}
    rng = np.random.default_rng(0)
    for _ in range(2000):
        drawn = random_pairs(test, 5, benchmark="made", name="any", keys=new_keys(rng))
        for pair in zip(drawn["enrol_id"].to_pylist(), drawn["test_id"].to_pylist(), strict=True):
            counts[pair] = counts.get(pair, 0) + 1
    expected = 2000 * 5 / 28
    assert len(counts) == 28
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < chi2.ppf(0.999, 27)


def test_each_person_is_as_likely_as_any_other_to_be_drawn():
    rows = catalog(*several(10, num_sessions=1, num_each=1))
    counts = np.zeros(10)
    for seed in range(200):
        made = built(protocol(Split(name="test", sources=("toy",), num=3), seed=seed), rows)
        for utterance in sides(made)["test"]:
            counts[int(utterance[5:8])] += 1
    assert ((counts - 60) ** 2 / 60).sum() < chi2.ppf(0.999, 9)


def test_what_is_told_of_a_list_adds_up_where_pairs_are_counted_and_then_tested_in_vain():
    about = {"a": ("b0", 20), "b": ("b0", 20), "c": ("b1", 40)}
    rows = [
        {"utterance": name, "speaker": "ann", "work_id": work, "age_min_years": age, "age_max_years": age}
        for name, (work, age) in about.items()
    ]
    rules = Rules(different=("work_id",), max_age_gap_years=3)
    asked = TrialList(name="old", split="all", targets=rules, nontargets=Rules())
    made = built(protocol(ALL, trials=(asked,)), catalog(*rows, {"utterance": "d", "speaker": "bob"}))
    assert removals(made, "targets", "old") == [
        ("age known", 3, 0),
        ("not the same recording", 3, 0),
        ("work_id known", 3, 0),
        ("different work_id", 3, 1),
        ("age gap of at most 3 years", 2, 2),
    ]


def test_what_a_side_must_be_is_compared_as_text_whatever_its_column():
    rows = catalog(*several(2, age_min_years=30), *several(2, corpus="toy", utterance="old", age_min_years=40)[:1])
    kept = []
    for said in (30, "30", "young"):
        side = Side(only={"age_min_years": (said,)})
        asked = TrialList(name="aged", split="all", targets=Rules(enrol=side, test=side), nontargets=Rules())
        kept.append(len(pairs(built(protocol(ALL, trials=(asked,)), rows), "aged", True)))
    assert kept == [12, 12, 0]
