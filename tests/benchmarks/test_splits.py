"""What `split_speakers` promises: a person in one split, the sexes balanced, and the same draw for the same seed.

One person more or less changes one place of the test, at most.
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.splits import Person, draw, people_of, split_speakers
from curate.conforming import conform
from curate.errors import PipelineError
from curate.schema import IDENTITIES, SPLITS

ROWS = pa.schema([(name, pa.string()) for name in ("utterance_id", "corpus", "speaker_id", "sex")])
MERGED = {"b/f0": "a/f0", "b/m0": "a/m0", "b/?0": "a/f1"}  # one of unknown sex is a woman of corpus a
seeds = st.integers(0, 2**32 - 1)


def catalog(num_each=4, num_utterances=3):
    """Corpora a and b, each with women, men and people of whom nothing is said; some speak in both."""
    sexes = {"f": "female", "m": "male", "?": None}
    speakers = [(f"{c}/{s}{i}", c, sexes[s]) for c in "ab" for s in sexes for i in range(num_each)]
    rows = [
        {"utterance_id": f"{speaker}-{u}", "corpus": corpus, "speaker_id": speaker, "sex": sex}
        for speaker, corpus, sex in speakers
        for u in range(num_utterances)
    ]
    identities = [{"speaker_id": s, "identity_id": MERGED.get(s, s)} for s, _, _ in speakers]
    return pa.Table.from_pylist(rows, schema=ROWS), pa.Table.from_pylist(identities, schema=IDENTITIES.arrow())


def split(
    utterances, identities, *, num_test_speakers=4, test_from=(), sex_balanced=True, min_test_utterances=2, seed=0
):
    return split_speakers(
        utterances,
        identities,
        benchmark="toy",
        num_test_speakers=num_test_speakers,
        test_from=test_from,
        sex_balanced=sex_balanced,
        min_test_utterances=min_test_utterances,
        rng=np.random.default_rng(seed),
    )


def people_in(rows, name):
    told = zip(rows["identity_id"].to_pylist(), rows["split"].to_pylist(), strict=True)
    return {identity for identity, where in told if where == name}


def test_a_worked_case_where_nothing_is_left_to_chance():
    told = [("a/1", "female"), ("a/2", "male"), ("b/1", "female")]
    rows = [
        {"utterance_id": f"{s}-{u}", "corpus": s[0], "speaker_id": s, "sex": sex} for s, sex in told for u in range(2)
    ]
    identities = pa.table({"speaker_id": ["a/1", "a/2", "b/1"], "identity_id": ["a/1", "a/2", "b/1"]})
    found = split(pa.Table.from_pylist(rows, schema=ROWS), identities, num_test_speakers=2, test_from=("a",))
    assert found["utterance_id"].to_pylist() == ["a/1-0", "a/1-1", "a/2-0", "a/2-1", "b/1-0", "b/1-1"]
    assert found["split"].to_pylist() == ["test"] * 4 + ["train"] * 2
    assert set(found["benchmark"].to_pylist()) == {"toy"}
    assert conform(SPLITS, found).num_rows == 6


@settings(deadline=None)
@given(seeds, st.integers(1, 4), st.booleans(), st.sampled_from([(), ("a",), ("b",), ("a", "b")]))
def test_no_person_is_in_two_splits_and_every_utterance_is_in_one(seed, half, sex_balanced, test_from):
    utterances, identities = catalog()
    found = split(
        utterances,
        identities,
        num_test_speakers=2 * half,
        test_from=test_from,
        sex_balanced=sex_balanced,
        seed=seed,
    )
    assert found["utterance_id"].to_pylist() == sorted(utterances["utterance_id"].to_pylist())
    assert not people_in(found, "test") & people_in(found, "train")
    assert len(people_in(found, "test")) == 2 * half
    person = dict(zip(*(identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))
    assert [person[u[:4]] for u in found["utterance_id"].to_pylist()] == found["identity_id"].to_pylist()


@settings(deadline=None)
@given(seeds, st.integers(1, 4))
def test_half_of_the_test_is_of_each_sex(seed, half):
    utterances, identities = catalog()
    test = people_in(split(utterances, identities, num_test_speakers=2 * half, seed=seed), "test")
    assert Counter(person[2] for person in test) == {"f": half, "m": half}


@settings(deadline=None)
@given(seeds, st.booleans())
def test_the_test_is_drawn_from_the_named_corpora_and_takes_a_person_with_all_labels(seed, sex_balanced):
    utterances, identities = catalog()
    found = split(utterances, identities, test_from=("b",), sex_balanced=sex_balanced, seed=seed)
    test = people_in(found, "test")
    assert test <= {row["identity_id"] for row in identities.to_pylist() if row["speaker_id"][0] == "b"}
    for row in found.to_pylist():
        assert (row["split"] == "test") == (row["identity_id"] in test)


def test_the_same_seed_draws_the_same_and_another_seed_draws_others():
    utterances, identities = catalog()
    draws = [frozenset(people_in(split(utterances, identities, seed=seed), "test")) for seed in range(10)]
    assert split(utterances, identities, seed=3) == split(utterances, identities, seed=3)
    assert len(set(draws)) > 5


@settings(deadline=None)
@given(seeds)
def test_the_order_of_the_rows_does_not_matter(seed):
    utterances, identities = catalog()
    rng = np.random.default_rng(seed)
    shuffled = [table.take(pa.array(rng.permutation(len(table)))) for table in (utterances, identities)]
    assert split(*shuffled, seed=1) == split(utterances, identities, seed=1)


NAMES = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=12, max_size=20, unique=True)


@settings(deadline=None)
@given(NAMES, st.sampled_from([2, 4, 6]), st.booleans(), seeds)
def test_one_person_more_or_less_changes_his_own_place_and_no_other(names, num, sex_balanced, seed):
    """Of twelve and more, a third of each sex and of none: who is taken away leaves enough. Backwards, one is added."""
    people = [
        Person(identity_id=name, sex=("female", "male", None)[i % 3], num_utterances=2) for i, name in enumerate(names)
    ]

    def drawn_of(some):
        return draw(some, num, sex_balanced=sex_balanced, rng=np.random.default_rng(seed))

    sex = {person.identity_id: person.sex for person in people}
    drawn = drawn_of(people)
    assert len(drawn) == num
    assert drawn_of(people[::-1]) == drawn
    if sex_balanced:
        assert Counter(sex[one] for one in drawn) == {"female": num // 2, "male": num // 2}
    for person in people:
        others = drawn_of([one for one in people if one != person])
        if person.identity_id not in drawn:
            assert others == drawn
            continue
        assert drawn - others == {person.identity_id}
        (instead,) = others - drawn
        assert not sex_balanced or sex[instead] == person.sex


def test_a_verdict_on_one_speaker_leaves_the_test_as_it_was():
    utterances, identities = catalog()
    before = people_in(split(utterances, identities), "test")
    whose = dict(zip(*(identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))
    for gone in set(whose.values()):
        stays = pa.array([whose[speaker] != gone for speaker in utterances["speaker_id"].to_pylist()])
        after = people_in(split(utterances.filter(stays), identities), "test")
        assert before - after == before & {gone}
        assert len(after) == len(before)


def test_the_draw_of_a_seed_does_not_change_from_version_to_version():
    people = [Person(identity_id=f"a/{i}", sex=None, num_utterances=2) for i in range(12)]
    assert draw(people, 3, sex_balanced=False, rng=np.random.default_rng([1, 1])) == {"a/11", "a/2", "a/5"}


def test_everybody_who_may_be_drawn_is_drawn_about_as_often():
    people = [Person(identity_id=f"a/{i}", sex="female", num_utterances=2) for i in range(5)]
    drawn = Counter()
    for seed in range(500):
        drawn.update(draw(people, 2, sex_balanced=False, rng=np.random.default_rng(seed)))
    assert set(drawn) == {person.identity_id for person in people}
    assert all(150 < count < 250 for count in drawn.values())  # 200 are expected


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"num_test_speakers": 12, "test_from": ("a",)}, "needs 6 female, but only 4"),
        ({"num_test_speakers": 30, "sex_balanced": False}, "needs 30 people, but only 21"),
        ({"num_test_speakers": 2, "min_test_utterances": 7}, "needs 1 female, but only 0"),
    ],
)
def test_too_few_people_are_an_error_that_names_the_numbers(asked, numbers):
    with pytest.raises(PipelineError, match=rf"splits\.num_test_speakers: .*{numbers}") as raised:
        split(*catalog(), **asked)
    assert "\n" not in str(raised.value)


def test_only_utterances_in_the_named_corpora_count_towards_the_least_number():
    """a/f0 and a/m0 speak in both corpora, 3 times in each: 6 in all, but 3 in corpus b."""
    utterances, identities = catalog()
    assert people_in(split(utterances, identities, num_test_speakers=2, min_test_utterances=6), "test") <= {
        "a/f0",
        "a/f1",
        "a/m0",
    }
    with pytest.raises(PipelineError, match="only 0"):
        split(utterances, identities, num_test_speakers=2, min_test_utterances=6, test_from=("b",))


def test_a_person_has_the_sex_that_its_labels_agree_on():
    said = [("2", "female"), ("1", "female"), ("2", "male"), ("1", None), ("3", None)]
    rows = pa.table(
        {
            "identity_id": [identity for identity, _ in said],
            "corpus": ["a", "a", "a", "b", "b"],
            "sex": pa.array([sex for _, sex in said], pa.string()),
        }
    )
    assert people_of(rows, ("a",)) == [
        Person(identity_id="1", sex="female", num_utterances=1),
        Person(identity_id="2", sex=None, num_utterances=2),
        Person(identity_id="3", sex=None, num_utterances=0),
    ]
