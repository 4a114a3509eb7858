"""What is planted into labels is what was asked for, is told by the truth, and touches nothing else."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.planting.faults import Planting, PlantingError
from benchmarks.planting.labels import AGES, YEARS_OFF, plant_labels
from tests.benchmarks.plant_made import catalog, table, utterance, vectors_of

SIX = {name: {"s1": 4, "s2": 4} for name in "abcdef"}
OF_SPEAKER = ("sex", "age_min_years", "age_max_years", "accent")


def planted(utterances: pa.Table, person_of=None, **asked):
    found = plant_labels(utterances, vectors_of(utterances), Planting(**asked), person_of=person_of)
    return found, {row["original_id"]: row for row in found.truth.to_pylist()}


def by_original(found) -> dict[str, dict]:
    return dict(zip(found.original_ids, found.utterances.to_pylist(), strict=True))


def test_a_wrong_label_brings_along_what_is_said_of_its_speaker_and_one_of_its_sessions():
    before = catalog(a={"s1": 2}, b={"s9": 2})
    found, truth = planted(before, wrong_speaker=0.25)
    ((moved, told),) = truth.items()
    row, other = by_original(found)[moved], {"c/a": "c/b", "c/b": "c/a"}[told["true_speaker_id"]]
    assert told["speaker_id"] == row["speaker_id"] == other
    of_other = next(one for one in before.to_pylist() if one["speaker_id"] == other)
    for name in ("session_id", *OF_SPEAKER):
        assert row[name] == of_other[name]
    assert (row["utterance_id"], row["path"]) == (moved, moved.removeprefix("c/") + ".wav")


def test_a_uniformly_wrong_label_is_each_of_the_others_about_as_often():
    _, truth = planted(catalog(**{name: {"s1": 100} for name in "abcde"}), wrong_speaker=1.0)
    assert len(truth) == 500
    to = Counter((row["true_speaker_id"], row["speaker_id"]) for row in truth.values())
    assert len(to) == 20
    assert min(to.values()) > 10  # 25 are expected, with a standard deviation of 4.3
    assert max(to.values()) < 41


def test_a_wrong_label_of_the_same_sex_is_of_the_same_sex():
    before = catalog(**SIX)
    sex = dict(zip(before["speaker_id"].to_pylist(), before["sex"].to_pylist(), strict=True))
    _, truth = planted(before, wrong_speaker=0.5, wrong_speaker_to="same_sex")
    assert len(truth) == 24
    assert all(sex[row["speaker_id"]] == sex[row["true_speaker_id"]] for row in truth.values())


def test_the_nearest_label_is_the_one_of_the_highest_mean_cosine():
    before = catalog(**SIX)
    vectors = vectors_of(before)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    speakers = np.array(before["speaker_id"].to_pylist())
    names = sorted(set(speakers))
    cosines = {(a, b): (unit[speakers == a] @ unit[speakers == b].T).mean() for a in names for b in names if a != b}
    nearest = {a: max((b for b in names if b != a), key=lambda b, a=a: cosines[a, b]) for a in names}
    _, truth = planted(before, wrong_speaker=0.5, wrong_speaker_to="nearest")
    assert all(row["speaker_id"] == nearest[row["true_speaker_id"]] for row in truth.values())


def test_nothing_is_given_to_another_label_of_the_same_person_or_to_another_corpus():
    rows = [utterance(f"{corpus}/{name}", number) for corpus in "cd" for name in "xyz" for number in range(10)]
    person_of = {"c/y": "c/x"}
    _, truth = planted(table(rows), person_of, wrong_speaker=1.0)
    to = {(row["true_speaker_id"], row["speaker_id"]) for row in truth.values()}
    assert {one for one in to if one[0][0] == "c"} == {("c/x", "c/z"), ("c/y", "c/z"), ("c/z", "c/x"), ("c/z", "c/y")}
    assert all(a[0] == b[0] for a, b in to)


@pytest.mark.parametrize(
    ("parts", "guests"), [((0.5, 0.5), [8]), ((0.8, 0.2), [2]), ((0.34, 0.33, 0.33), [8, 8]), ((0.6, 0.2, 0.2), [3, 3])]
)
def test_a_mixed_label_holds_people_in_the_parts_asked_for_in_sessions_of_their_own(parts, guests):
    before = catalog(**SIX)
    found, truth = planted(before, mixed=1 / 6, mixed_parts=parts)
    (label,) = {row["speaker_id"] for row in truth.values()}
    assert sorted(Counter(row["true_speaker_id"] for row in truth.values()).values()) == sorted(guests)
    rows = [row for row in by_original(found).items() if row[1]["speaker_id"] == label]
    assert len(rows) == 8 + sum(guests)  # the owner keeps its own
    people: dict[str, set[str]] = {}
    for original, row in rows:
        assert row["session_id"].startswith(f"{label}/")
        people.setdefault(row["session_id"], set()).add(truth[original]["true_speaker_id"] if original in truth else "")
    assert all(len(one) == 1 for one in people.values())
    assert {row["accent"] for _, row in rows} == {f"accent of {label[2:]}"}


def test_a_foreign_session_is_a_whole_one_and_the_smaller_part_of_its_new_label():
    before = catalog(a={"s1": 3, "s2": 3}, b={"s1": 2, "s2": 5})
    found, truth = planted(before, foreign_session=0.5)
    (told,) = {(row["speaker_id"], row["true_speaker_id"], row["kind"]) for row in truth.values()}
    new, old, kind = told
    sessions = {row["session_id"] for row in before.to_pylist() if row["utterance_id"] in truth}
    assert kind == "session"
    assert len(sessions) == 1
    assert len(truth) == sum(row["session_id"] in sessions for row in before.to_pylist())
    left = Counter(row["speaker_id"] for row in by_original(found).values())
    assert len(truth) < left[new] - len(truth)
    assert left[old] > 0
    assert {by_original(found)[one]["session_id"] for one in truth} <= {
        f"{new}/s1-2",
        f"{new}/s2-2",
    }  # s1, s2 are there


@pytest.mark.parametrize("seed", range(6))
def test_a_session_that_would_be_the_larger_part_is_not_given(seed):
    _, truth = planted(catalog(a={"s1": 2}, b={"s1": 4, "s2": 4}), foreign_session=0.5, seed=seed)
    assert [row["speaker_id"] for row in truth.values()] == ["c/b"]  # half of what `a` has


def test_who_has_one_session_gives_half_of_it():
    _, truth = planted(catalog(a={"s1": 6}, b={"s1": 6}), foreign_session=0.5)
    assert [row["kind"] for row in truth.values()] == ["half"] * 3


def test_a_split_goes_by_whole_sessions_where_there_are_several():
    before = catalog(a={"s1": 3, "s2": 3, "s3": 3})
    found, truth = planted(before, split=1.0)
    after = by_original(found)
    assert {row["speaker_id"] for row in truth.values()} == {"c/a-2"}
    for session in ("s1", "s2", "s3"):
        of = [row["utterance_id"] for row in before.to_pylist() if row["session_id"] == f"c/a/{session}"]
        labels = {after[one]["speaker_id"] for one in of}
        assert len(labels) == 1
        assert {after[one]["session_id"] for one in of} == {f"{labels.pop()}/{session}"}
    assert len(truth) == 6  # the first session that reaches half takes it along


def test_a_split_of_one_session_takes_half_of_it():
    _, truth = planted(catalog(a={"s1": 7}), split=1.0)
    assert len(truth) == 3


def test_a_split_across_corpora_is_a_label_and_utterances_of_the_other_corpus():
    rows = [utterance("c/a", number, session=None) for number in range(4)] + [utterance("d/a", 0)]
    found, truth = planted(table(rows), split=0.5, split_to="other_corpus")
    after = by_original(found)
    assert len(truth) == 2
    for original in truth:
        row = after[original]
        assert (row["corpus"], row["speaker_id"], row["session_id"]) == ("d", "d/a-2", None)
        assert row["utterance_id"] == f"d/{original}"
        assert row["path"] == f"c/{original.removeprefix('c/')}.wav"


def test_a_wrong_sex_and_a_wrong_age_are_said_throughout_a_label():
    before = catalog(**SIX)
    found, truth = planted(before, wrong_sex=1 / 3, wrong_age=1 / 3)
    was, after = {row["utterance_id"]: row for row in before.to_pylist()}, by_original(found)
    assert Counter(row["fault"] for row in truth.values()) == {"wrong_sex": 16, "wrong_age": 16}
    for one, told in truth.items():
        if told["fault"] == "wrong_sex":
            assert {was[one]["sex"], after[one]["sex"]} == {"female", "male"}
        else:
            off = after[one]["age_min_years"] - was[one]["age_min_years"]
            assert off == after[one]["age_max_years"] - was[one]["age_max_years"] == told["amount"]
            assert YEARS_OFF[0] <= abs(off) <= YEARS_OFF[1]
            assert AGES[0] <= after[one]["age_min_years"] <= AGES[1]
    assert len({(row["speaker_id"], row["fault"]) for row in truth.values()}) == 4


SHARES = st.sampled_from([0.0, 0.0, 0.1, 0.2, 0.34, 0.5])
ASKED = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 5),
        **dict.fromkeys(("wrong_speaker", "mixed", "foreign_session", "split", "wrong_sex", "wrong_age"), SHARES),
        "wrong_speaker_to": st.sampled_from(["uniform", "same_sex", "nearest"]),
        "mixed_parts": st.sampled_from([(0.5, 0.5), (0.8, 0.2), (0.34, 0.33, 0.33)]),
        "split_to": st.sampled_from(["same_corpus", "other_corpus"]),
    }
)


@st.composite
def catalogs(draw):
    rows = []
    for at in range(draw(st.integers(3, 9))):
        speaker, sex = f"{draw(st.sampled_from('cd'))}/{at}", draw(st.sampled_from(["female", "male", None]))
        age = draw(st.sampled_from([None, 8, 30, 90]))
        for session in draw(st.sampled_from([[None], ["s1"], ["s1", "s2"], ["s1", "s2", None]])):
            for number in range(draw(st.integers(1, 5))):
                rows.append(utterance(speaker, number, session=session, sex=sex, age=age))
    return table(rows)


@given(catalogs(), ASKED, st.randoms(use_true_random=False))
def test_the_truth_is_what_differs_and_neither_order_nor_repetition_changes_it(before, asked, random):
    planting, vectors = Planting(**asked), vectors_of(before)
    kept_rows, kept_vectors = before.to_pylist(), vectors.copy()
    try:
        found = plant_labels(before, vectors, planting)
    except PlantingError:
        assume(False)
    order = list(range(len(before)))
    random.shuffle(order)
    again = plant_labels(before.take(pa.array(order)), vectors[order], planting)
    assert again.utterances.equals(found.utterances)
    assert again.truth.equals(found.truth)
    assert again.original_ids == found.original_ids
    assert before.to_pylist() == kept_rows
    assert np.array_equal(vectors, kept_vectors)

    was, after = {row["utterance_id"]: row for row in kept_rows}, by_original(found)
    assert after.keys() == was.keys()
    assert {one for one in was if was[one] != after[one]} == {row["original_id"] for row in found.truth.to_pylist()}
    ids = found.utterances["utterance_id"].to_pylist()
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    labels, half_up = {row["speaker_id"] for row in kept_rows}, lambda x: int(x + 0.5)
    number = {
        "wrong_speaker": len({r["original_id"] for r in found.truth.to_pylist() if r["fault"] == "wrong_speaker"}),
        **{
            fault: len({r["speaker_id"] for r in found.truth.to_pylist() if r["fault"] == fault})
            for fault in ("mixed", "foreign_session", "split", "wrong_sex", "wrong_age")
        },
    }
    for fault, num in number.items():
        assert num == half_up(asked[fault] * (len(was) if fault == "wrong_speaker" else len(labels)))
    for row in found.truth.to_pylist():
        new = after[row["original_id"]]
        assert (row["utterance_id"], row["speaker_id"]) == (new["utterance_id"], new["speaker_id"])
        assert row["true_speaker_id"] == was[row["original_id"]]["speaker_id"]
        assert new["session_id"] is None or new["session_id"].startswith(f"{new['speaker_id']}/")
        assert new["utterance_id"].startswith(f"{new['corpus']}/")
        assert new["speaker_id"].startswith(f"{new['corpus']}/")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"wrong_speaker": 1.5}, "wrong_speaker 1.5; expected a share from 0 to 1"),
        ({"mixed": -0.1}, "mixed -0.1; expected a share"),
        ({"noise": float("nan")}, "noise nan; expected a share"),
        ({"seed": -1}, "seed -1; expected a whole number"),
        ({"snr_db": float("inf")}, "snr_db inf"),
        ({"mixed_parts": (0.5, 0.2)}, "expected two shares or more that make 1"),
        ({"mixed_parts": (1.0,)}, "expected two shares or more"),
        ({"mixed_parts": (0.2, 0.8)}, "expected the owner's share"),
        ({"wrong_speaker_to": "anybody"}, "wrong_speaker_to 'anybody'; expected one of uniform, same_sex, nearest"),
        ({"split_to": "there"}, "expected one of same_corpus, other_corpus"),
        ({"duplicate_by": ("gain", "magic")}, "expected any of gain, resampling, codec, offset"),
        ({"duplicate_by": ()}, "duplicate_by nothing"),
    ],
)
def test_what_makes_no_sense_cannot_be_asked_for(asked, told):
    with pytest.raises(PlantingError, match=told.replace("(", r"\(")):
        Planting(**asked)


@pytest.mark.parametrize(
    ("before", "asked", "told"),
    [
        (catalog(a={"s1": 1}, b={"s1": 3}), {"split": 1.0}, "split 1.0: 1 labels of 2 have two utterances"),
        (catalog(a={"s1": 3}), {"wrong_speaker": 0.5}, "0 utterances of 2 are left whose corpus has somebody else"),
        (catalog(**SIX), {"mixed": 0.6}, "3 labels of 4 find other people"),
        (catalog(**SIX), {"mixed": 0.5, "mixed_parts": (0.34, 0.33, 0.33)}, "2 labels of 3 find other people"),
        (catalog(**SIX), {"foreign_session": 1.0}, "3 labels of 6 find a session"),
        (catalog(**SIX), {"split": 0.01}, "less than one of 6 labels"),
        (catalog(**SIX), {"split": 0.5, "split_to": "other_corpus"}, "c is the only corpus; expected two or more"),
        (table([utterance("c/a", 0)]), {"wrong_sex": 1.0}, "0 labels of 1 say a sex"),
        (table([utterance("c/a", 0)]), {"wrong_age": 1.0}, "0 labels of 1 say an age"),
    ],
)
def test_what_is_not_there_cannot_be_planted(before, asked, told):
    with pytest.raises(PlantingError, match=told):
        planted(before, **asked)
