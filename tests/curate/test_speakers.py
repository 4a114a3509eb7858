"""What `unify` promises: labels that are one person, by complete links only, and a reason for every similar pair."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from curate.calibration import Calibration
from curate.conforming import conform
from curate.decisions import Author
from curate.schema import DECISIONS, IDENTITIES, SPEAKER_PAIRS
from curate.similarity import SimilarPairs
from curate.speakers import complete_link, speaker_table, unify

AUTHOR = Author(rule="mean cosine, complete link", step="identities", run_id="0123456789ab")
SPEAKERS = pa.schema([(name, pa.string()) for name in ("speaker_id", "corpus", "sex", "language")])
AGED = pa.schema([*SPEAKERS, ("age_min_years", pa.int16()), ("age_max_years", pa.int16())])
seeds = st.integers(0, 2**32 - 1)


def speakers(*ids, sex=None, language=None):
    """Speakers such as `a/1` of corpus `a`; `sex` and `language` map ids to what is said of them."""
    rows = [
        {"speaker_id": i, "corpus": i.split("/")[0], "sex": (sex or {}).get(i), "language": (language or {}).get(i)}
        for i in ids
    ]
    return pa.Table.from_pylist(rows, schema=SPEAKERS)


def join(
    who,
    of_utterance,
    vectors,
    *,
    min_similarity=0.7,
    within_corpora=True,
    guards=("sex", "language"),
    min_utterances=1,
    speech_s=1.0,
    **more,
):
    lengths = np.full(len(of_utterance), speech_s)
    utterances = pa.table({"speaker_id": pa.array(list(of_utterance), pa.string()), "duration_s": lengths})
    return unify(
        who,
        utterances,
        np.float32(vectors),
        min_similarity=min_similarity,
        within_corpora=within_corpora,
        guards=guards,
        min_utterances=min_utterances,
        min_speech_s=1.0,
        author=AUTHOR,
        **more,
    )


def at(*degrees):
    """Directions in a plane: their cosine is that of the angle between them."""
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)


def people(unified):
    return dict(zip(*(unified.identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))


def groups(unified):
    found: dict[str, set[str]] = {}
    for speaker, identity in people(unified).items():
        found.setdefault(identity, set()).add(speaker)
    return found


def told(unified):
    """(speaker, other) -> (verdict, reason)."""
    rows = unified.decisions.to_pylist()
    return {(row["subject_id"], row["other_id"]): (row["verdict"], row["reason"]) for row in rows}


def crowd(seed, num_speakers, *, dimension=3):
    """Speakers with labels at random, none to five utterances each, in so few dimensions that many are alike."""
    rng = np.random.default_rng(seed)
    ids = [f"{rng.choice(list('ab'))}/{i:02}" for i in range(num_speakers)]
    sex = dict(zip(ids, rng.choice(["female", "male", None], num_speakers), strict=True))
    language = dict(zip(ids, rng.choice(["vi", "en", None], num_speakers, p=[0.5, 0.2, 0.3]), strict=True))
    of_utterance = [i for i in ids for _ in range(rng.integers(6))]
    centre = {i: rng.normal(size=dimension) for i in ids}
    noise = 0.3 * rng.normal(size=(len(of_utterance), dimension))
    vectors = np.array([centre[i] for i in of_utterance]).reshape(-1, dimension) + noise
    return speakers(*ids, sex=sex, language=language), of_utterance, vectors


def mean_cosines(of_utterance, vectors):
    """{(speaker, other): mean cosine} from the whole matrix of utterances."""
    whose, rows = np.array(of_utterance), np.float64(vectors)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    matrix = rows @ rows.T
    pairs = combinations(sorted(set(of_utterance)), 2)
    return {(a, b): matrix[np.ix_(whose == a, whose == b)].mean() for a, b in pairs}


def test_two_labels_of_one_voice_become_one_person():
    unified = join(speakers("a/1", "a/2", "b/1"), ["a/1", "b/1", "a/2"], at(0, 3, 90))
    assert people(unified) == {"a/1": "a/1", "a/2": "a/2", "b/1": "a/1"}
    assert told(unified) == {("a/1", "b/1"): ("merge", "same_person")}
    (decision,) = unified.decisions.to_pylist()
    assert decision["score"] == pytest.approx(np.cos(np.deg2rad(3)))
    assert decision["lower_bound"] == 0.7


def test_a_chain_is_not_a_person():
    """A-B (35 degrees) and B-C (40) are similar, A-C (75) is not: A and B are one, C stays alone."""
    unified = join(speakers("a/A", "a/B", "a/C"), ["a/A", "a/B", "a/C"], at(0, 35, 75))
    assert groups(unified) == {"a/A": {"a/A", "a/B"}, "a/C": {"a/C"}}
    assert told(unified) == {("a/A", "a/B"): ("merge", "same_person"), ("a/B", "a/C"): ("keep", "incomplete_link")}


def test_a_person_is_called_by_the_first_label_even_if_a_later_one_leads():
    """2 and 3 meet as the ends of a link whose second end stands with 1 already."""
    unified = join(speakers("a/1", "a/2", "a/3"), ["a/1", "a/2", "a/3"], at(0, 10, 1))
    assert groups(unified) == {"a/1": {"a/1", "a/2", "a/3"}}


def test_equal_similarities_are_taken_in_the_order_of_ids_whatever_the_order_of_rows():
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        ids = np.array(["a/1", "a/2", "a/3"])[order]
        assert groups(join(speakers(*ids), ids, at(40, 0, -40)[order])) == {"a/1": {"a/1", "a/2"}, "a/3": {"a/3"}}


@pytest.mark.parametrize(
    ("said", "guards", "expected"),
    [
        ({"sex": {"a/1": "female", "b/1": "male"}}, ("sex", "language"), ("keep", "sex_conflict")),
        ({"sex": {"a/1": "female", "b/1": "male"}}, ("language",), ("merge", "same_person")),
        ({"sex": {"a/1": "female"}}, ("sex",), ("merge", "same_person")),
        ({"language": {"a/1": "vi", "b/1": "en"}}, ("sex", "language"), ("keep", "language_conflict")),
        ({"language": {"b/1": "en"}}, ("language",), ("merge", "same_person")),
        ({}, ("sex", "language"), ("merge", "same_person")),
    ],
)
def test_a_guard_keeps_apart_what_is_labelled_differently_and_the_unknown_conflicts_with_none(said, guards, expected):
    unified = join(speakers("a/1", "b/1", **said), ["a/1", "b/1"], at(0, 1), guards=guards)
    assert told(unified) == {("a/1", "b/1"): expected}
    assert len(groups(unified)) == (1 if expected[0] == "merge" else 2)


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        (("a/1", 20, 29), ("a/2", 39, 39), True),  # ten years apart
        (("a/1", 20, 29), ("a/2", 40, 49), False),
        (("a/1", 40, 49), ("a/2", 20, 29), False),
        (("a/1", 20, 60), ("a/2", 30, 31), True),
        (("a/1", 20, 29), ("a/2", None, None), True),
        (("a/1", 20, 29), ("b/1", 70, 79), True),  # who knows when the two corpora were recorded
    ],
)
def test_ages_far_apart_in_one_corpus_are_two_people(one, other, merged):
    rows = [
        {"speaker_id": i, "corpus": i[0], "age_min_years": youngest, "age_max_years": oldest}
        for i, youngest, oldest in (one, other)
    ]
    who, ids = pa.Table.from_pylist(rows, schema=AGED), [one[0], other[0]]
    for guards, expected in ((("sex", "age"), merged), (("sex",), True)):
        (told_of,) = told(join(who, ids, at(0, 1), guards=guards)).values()
        assert told_of == (("merge", "same_person") if expected else ("keep", "ages_apart"))
    (told_of,) = told(join(who, ids, at(0, 1), guards=("age",), max_age_gap_years=60)).values()
    assert told_of == ("merge", "same_person")


def test_a_label_merges_with_the_likest_of_a_corpus_that_holds_nobody_twice():
    """a/1 is at 0 degrees, b/1 at 2 and b/2 at 1; the two of b are one degree apart themselves."""
    who, ids = speakers("a/1", "b/1", "b/2"), ["a/1", "b/1", "b/2"]
    assert groups(join(who, ids, at(0, 2, 1))) == {"a/1": {"a/1", "b/1", "b/2"}}
    unified = join(who, ids, at(0, 2, 1), without_duplicates=("b",))
    assert groups(unified) == {"a/1": {"a/1", "b/2"}, "b/1": {"b/1"}}
    assert told(unified) == {
        ("a/1", "b/1"): ("keep", "nobody_twice"),
        ("a/1", "b/2"): ("merge", "same_person"),
        ("b/1", "b/2"): ("keep", "nobody_twice"),
    }
    assert groups(join(who, ids, at(0, 2, 1), without_duplicates=("a", "elsewhere"))) == groups(
        join(who, ids, at(0, 2, 1))
    )


def test_a_link_that_is_missing_is_told_from_a_corpus_that_holds_nobody_twice():
    """a/1 goes with b/1; c/1 is similar to a/1 alone, and no corpus would have two labels of one person."""
    unified = join(speakers("a/1", "b/1", "c/1"), ["a/1", "b/1", "c/1"], at(0, -40, 42), without_duplicates=("a", "b"))
    assert told(unified) == {("a/1", "b/1"): ("merge", "same_person"), ("a/1", "c/1"): ("keep", "incomplete_link")}


@settings(deadline=None)
@given(st.integers(1, 14), seeds)
def test_corpora_without_duplicates_are_matched_one_to_one(num, seed):
    who, of_utterance, vectors = crowd(seed, num)
    unified = join(who, of_utterance, vectors, without_duplicates=("a", "b"))
    for group in groups(unified).values():
        assert len({speaker[0] for speaker in group}) == len(group)
    candidates = unified.decisions.to_pylist()
    merged = {row["subject_id"] for row in candidates if row["verdict"] == "merge"}
    merged |= {row["other_id"] for row in candidates if row["verdict"] == "merge"}
    across = [row for row in candidates if row["subject_id"][0] != row["other_id"][0]]
    for row in across:  # nothing stands in the way of the most similar of all
        if row["reason"] == "nobody_twice":
            assert {row["subject_id"], row["other_id"]} & merged


def calibrated(corpus, threshold, *, num=1):
    """A calibration from labels of `num` utterances each, of which a single one varies by 0.1."""
    return Calibration(
        corpus=corpus,
        threshold=threshold,
        estimate=threshold,
        wanted_rate=1e-3,
        rate=1e-3,
        rate_interval=(0.0, 1e-3),
        threshold_interval=(threshold, threshold),
        num_speakers=10,
        num_pairs=45,
        num_set_aside=0,
        genuine_low=1.0,
        genuine_median=1.0,
        is_told_apart=True,
        centre=0.5,
        variance=0.01,
        variance_of_one=0.01,
        typical_inverse=2 / num,
    )


def test_calibrated_thresholds_hold_for_their_own_corpus_and_the_stricter_between_two():
    """Pairs 31 degrees apart (cosine 0.857) within a, within b and across; one 20 degrees apart (0.940) across."""
    ids = ["a/1", "a/2", "b/1", "b/2", "a/3", "b/3", "a/4", "b/4"]
    found = {"a": calibrated("a", 0.8), "b": calibrated("b", 0.9)}
    unified = join(speakers(*ids), ids, at(0, 31, 100, 131, 200, 231, 290, 310), min_similarity=found)
    assert told(unified) == dict.fromkeys([("a/1", "a/2"), ("a/4", "b/4")], ("merge", "same_person"))
    assert unified.decisions["lower_bound"].to_pylist() == [0.8, 0.9]


def test_a_label_of_few_utterances_needs_to_be_more_like_the_other_than_one_of_many():
    ids = ["a/1"] * 10 + ["a/2"] * 10 + ["a/3"]
    found = {"a": calibrated("a", 0.8, num=10)}
    unified = join(speakers("a/1", "a/2", "a/3"), ids, at(*[0] * 10, *[30] * 10, -30), min_similarity=found)
    assert told(unified) == {("a/1", "a/2"): ("merge", "same_person")}  # a/3 is as near, at a threshold of 0.91
    assert 0.5 + 0.3 * np.sqrt(1 + 0.9) > np.cos(np.deg2rad(30)) > 0.8


def test_twenty_thousand_labels_and_their_candidates_are_linked_like_few():
    """Groups of five in a row: every group is found whole."""
    num = 20_000
    first = np.repeat(np.arange(0, num, 5), 10) + np.tile([0, 0, 0, 0, 1, 1, 1, 2, 2, 3], num // 5)
    second = np.repeat(np.arange(0, num, 5), 10) + np.tile([1, 2, 3, 4, 2, 3, 4, 3, 4, 4], num // 5)
    pairs = SimilarPairs(first=first, second=second, similarity=np.random.default_rng(0).random(len(first)))
    leader, reasons = complete_link(num, pairs, np.full(len(first), ""), np.full(num, -1))
    assert leader == (np.arange(num) // 5 * 5).tolist()
    assert set(reasons.tolist()) == {"same_person"}


def test_somebody_of_unknown_sex_does_not_join_a_woman_and_a_man():
    who = speakers("a/1", "a/2", "a/3", sex={"a/1": "female", "a/3": "male"})
    unified = join(who, ["a/1", "a/2", "a/3"], at(0, 1, 3))
    assert groups(unified) == {"a/1": {"a/1", "a/2"}, "a/3": {"a/3"}}
    assert told(unified)["a/1", "a/3"] == ("keep", "sex_conflict")
    assert told(unified)["a/2", "a/3"] == ("keep", "incomplete_link")


def test_within_corpora_off_leaves_labels_of_one_corpus_apart():
    who, ids = speakers("a/1", "a/2", "b/1"), ["a/1", "a/2", "b/1"]
    unified = join(who, ids, at(0, 1, 3), within_corpora=False)
    assert groups(unified) == {"a/1": {"a/1"}, "a/2": {"a/2", "b/1"}}
    assert ("a/1", "a/2") not in told(unified)
    assert groups(join(who, ids, at(0, 1, 3), within_corpora=True)) == {"a/1": {"a/1", "a/2", "b/1"}}


def test_a_speaker_without_kept_utterances_is_its_own_person():
    unified = join(speakers("a/1", "a/2", "a/3"), ["a/1", "a/3"], at(0, 0))
    assert groups(unified) == {"a/1": {"a/1", "a/3"}, "a/2": {"a/2"}}
    nobody = join(speakers("a/1", "a/2"), [], np.empty((0, 2)))
    assert groups(nobody) == {"a/1": {"a/1"}, "a/2": {"a/2"}}
    assert len(nobody.speaker_pairs) == len(nobody.decisions) == 0


@settings(deadline=None)
@given(st.integers(1, 14), seeds, st.booleans())
def test_groups_are_cliques_that_no_guard_forbids_and_none_could_be_joined_further(num, seed, within_corpora):
    who, of_utterance, vectors = crowd(seed, num)
    unified = join(who, of_utterance, vectors, within_corpora=within_corpora)
    said = {row["speaker_id"]: row for row in who.to_pylist()}
    cosines = mean_cosines(of_utterance, vectors)

    def may_be_one(a, b):
        one, other = said[a], said[b]
        agree = all(None in (one[g], other[g]) or one[g] == other[g] for g in ("sex", "language"))
        return cosines.get((a, b), -1) >= 0.7 and agree and (within_corpora or one["corpus"] != other["corpus"])

    members = [sorted(group) for group in groups(unified).values()]
    assert sorted(speaker for group in members for speaker in group) == sorted(said)
    assert all(may_be_one(a, b) for group in members for a, b in combinations(group, 2))
    for one, other in combinations(members, 2):
        assert not all(may_be_one(*sorted((a, b))) for a in one for b in other)
    assert all(identity == min(group) for identity, group in groups(unified).items())


@settings(deadline=None)
@given(st.integers(1, 14), seeds)
def test_every_similar_pair_is_a_decision_and_says_what_became_of_it(num, seed):
    who, of_utterance, vectors = crowd(seed, num)
    unified, cosines = join(who, of_utterance, vectors), mean_cosines(of_utterance, vectors)
    identity = people(unified)
    assert list(told(unified)) == [pair for pair in sorted(cosines) if cosines[pair] >= 0.7]
    for (a, b), (verdict, reason) in told(unified).items():
        assert (verdict == "merge") == (reason == "same_person") == (identity[a] == identity[b])
    in_table = [(r["speaker_id"], r["other_id"], r["similarity"]) for r in unified.speaker_pairs.to_pylist()]
    assert [cosines[a, b] for a, b, _ in in_table] == pytest.approx([value for *_, value in in_table], abs=1e-6)
    for schema, rows in ((DECISIONS, "decisions"), (IDENTITIES, "identities"), (SPEAKER_PAIRS, "speaker_pairs")):
        assert conform(schema, getattr(unified, rows)).num_rows == getattr(unified, rows).num_rows


@settings(deadline=None)
@given(st.integers(1, 14), seeds)
def test_the_order_of_the_rows_does_not_matter(num, seed):
    who, of_utterance, vectors = crowd(seed, num)
    rng = np.random.default_rng(seed)
    order, other_order = rng.permutation(len(of_utterance)), rng.permutation(num)
    one = join(who, of_utterance, vectors)
    other = join(who.take(pa.array(other_order)), [of_utterance[i] for i in order], vectors[order])
    assert one.identities == other.identities
    assert told(one) == told(other)


@pytest.mark.parametrize("seed", range(5))
def test_well_separated_people_are_those_of_scipys_complete_linkage(seed):
    rng = np.random.default_rng(seed)
    person = rng.integers(8, size=25)
    ids = [f"a/{i:02}" for i in range(25)]
    vectors = np.repeat(np.eye(8)[person], 3, axis=0) + 0.1 * rng.normal(size=(75, 8))
    unified = join(speakers(*ids), np.repeat(ids, 3), vectors)
    cosines = mean_cosines(np.repeat(ids, 3), vectors)
    cluster = fcluster(linkage([1 - c for c in cosines.values()], "complete"), 1 - 0.7, "distance")
    expected = {frozenset(np.array(ids)[cluster == c].tolist()) for c in set(cluster)}
    assert {frozenset(group) for group in groups(unified).values()} == expected


def test_a_speakers_sex_and_language_are_what_its_rows_agree_on_and_its_ages_what_they_span():
    said = [
        ("a/2", "male", "vi", 30, 39, "north"),
        ("a/1", "female", "vi", None, None, "south"),
        ("a/1", None, "en", None, None, None),
        ("a/2", "female", None, 36, 41, "south"),
        ("a/2", "female", None, None, None, None),
    ]
    names = ("speaker_id", "sex", "language", "age_min_years", "age_max_years", "accent")
    rows = [{"corpus": "a"} | dict(zip(names, row, strict=True)) for row in said]
    schema = AGED.append(pa.field("accent", pa.string())).append(pa.field("nationality", pa.string()))
    table = speaker_table(pa.Table.from_pylist(rows, schema=schema))
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("a/1", "a", "female", None, "south", None, None, None),
        ("a/2", "a", None, "vi", None, None, 30, 41),
    ]


@pytest.mark.real
def test_chapters_of_one_reader_under_two_labels_are_found_in_real_speech(corpora, librispeech):
    from curate.hearing import Ge2e
    from models.extractors import extractor

    chapters = sorted((corpora / "LibriSpeech/train-clean-100").glob("*/*"))
    files = [file for chapter in chapters for file in sorted(chapter.glob("*.flac"))[:6]]
    of_utterance = [f"libri/{file.parts[-3]}-{file.parts[-2]}" for file in files]
    threshold = extractor(Ge2e()).min_same_person
    unified = join(speakers(*sorted(set(of_utterance))), of_utterance, librispeech.of(files), min_similarity=threshold)
    readers = [{speaker.split("-")[0] for speaker in group} for group in groups(unified).values()]
    assert sorted(map(sorted, readers)) == [["libri/19"], ["libri/26"], ["libri/27"]]


@pytest.mark.parametrize(
    ("more", "merged"),
    [
        ({}, True),
        ({"min_utterances": 2}, True),
        ({"min_utterances": 3}, False),
        ({"speech_s": 0.5}, True),
        ({"speech_s": 0.4}, False),
    ],
)
def test_labels_with_little_speech_are_not_judged_and_stay_apart(more, merged):
    unified = join(speakers("a/1", "b/1"), ["a/1", "a/1", "b/1", "b/1"], at(0, 0, 1, 1), **more)
    assert (people(unified)["b/1"] == "a/1") == merged
    assert unified.decisions["reason"].to_pylist() == ["same_person" if merged else "too_few_to_judge"]


# --------------------------------------------------------------------------------------------------- reviewers' pairs


def test_what_a_reviewer_merges_is_one_person_whatever_rules_say():
    """Of unlike voices, different sexes, one corpus that holds nobody twice, too little speech, and one not heard."""
    who = speakers("a/1", "a/2", "a/3", "b/1", sex={"a/1": "female", "a/2": "male"})
    rules = {"without_duplicates": ("a",), "min_utterances": 2, "within_corpora": False}
    reviewed = {("a/1", "a/2"): "merge", ("a/2", "b/1"): "merge"}
    unified = join(who, ["a/1", "a/2", "a/2", "a/3"], at(0, 90, 90, 90), reviewed=reviewed, **rules)
    assert groups(unified) == {"a/1": {"a/1", "a/2", "b/1"}, "a/3": {"a/3"}}
    assert told(unified) == dict.fromkeys(reviewed, ("merge", "reviewed"))
    one, other = unified.decisions.to_pylist()
    assert (one["score"], one["lower_bound"]) == (pytest.approx(0, abs=1e-6), 0.7)
    assert (other["score"], other["lower_bound"]) == (None, None)
    conform(DECISIONS, unified.decisions)


def test_what_a_reviewer_keeps_apart_is_two_people_also_where_a_third_is_like_both():
    who, ids = speakers("a/1", "a/2", "a/3"), ["a/1", "a/2", "a/3"]
    assert len(groups(join(who, ids, at(0, 1, 2)))) == 1
    unified = join(who, ids, at(0, 1, 2), reviewed={("a/1", "a/2"): "keep"})
    assert groups(unified) == {"a/1": {"a/1"}, "a/2": {"a/2", "a/3"}}
    assert told(unified) == {
        ("a/1", "a/2"): ("keep", "reviewed"),
        ("a/1", "a/3"): ("keep", "incomplete_link"),
        ("a/2", "a/3"): ("merge", "same_person"),
    }
    far = join(who, ids, at(0, 1, 90), reviewed={("a/1", "a/3"): "keep"})
    assert told(far)["a/1", "a/3"] == ("keep", "reviewed")


def test_a_pair_between_labels_that_reviewers_merged_through_a_third_is_theirs():
    who, ids = speakers("a/1", "a/2", "a/3", sex={"a/1": "female", "a/3": "male"}), ["a/1", "a/2", "a/3"]
    unified = join(who, ids, at(0, 90, 1), reviewed={("a/1", "a/2"): "merge", ("a/2", "a/3"): "merge"})
    assert groups(unified) == {"a/1": {"a/1", "a/2", "a/3"}}
    assert set(told(unified).values()) == {("merge", "reviewed")}
    assert list(told(unified)) == [("a/1", "a/2"), ("a/1", "a/3"), ("a/2", "a/3")]


def test_a_group_of_a_reviewer_is_linked_completely_but_for_labels_that_cannot_be_judged():
    """c/1 is like b/1 and not like b/2; b/3 has no utterances, and b/4 a single one."""
    who, ids = speakers("b/1", "b/2", "b/3", "b/4", "c/1"), ["b/1", "b/1", "b/2", "b/2", "b/4", "c/1", "c/1"]
    rows = at(0, 0, 60, 60, 90, 3, 3)
    for other, expected in (("b/2", {"b/1", "b/2"}), ("b/3", {"b/1", "b/3", "c/1"}), ("b/4", {"b/1", "b/4", "c/1"})):
        unified = join(who, ids, rows, min_utterances=2, reviewed={("b/1", other): "merge"})
        assert groups(unified)["b/1"] == expected
    assert groups(join(who, ids, rows, min_utterances=2))["b/1"] == {"b/1", "c/1"}


@pytest.mark.parametrize(
    ("sex", "without_duplicates", "kept", "why"),
    [
        ({"b/3": "male", "c/1": "female"}, (), {}, "incomplete_link"),
        ({}, ("b",), {}, "nobody_twice"),
        ({}, (), {("b/3", "c/1"): "keep"}, "incomplete_link"),
    ],
)
def test_what_forbids_a_label_that_was_not_heard_forbids_those_that_it_was_merged_with(
    sex, without_duplicates, kept, why
):
    """a/1 and c/1 sound like one person. Of b nobody is heard; reviewers say that b/3 is a/1, and b/4 is c/1."""
    ids, merged = ("a/1", "b/3", "b/4", "c/1"), {("a/1", "b/3"): "merge", ("b/4", "c/1"): "merge"}
    assert len(groups(join(speakers(*ids), ["a/1", "c/1"], at(0, 1), reviewed=merged))) == 1
    who, more = speakers(*ids, sex=sex), {"without_duplicates": without_duplicates, "reviewed": merged | kept}
    unified = join(who, ["a/1", "c/1"], at(0, 1), **more)
    assert groups(unified) == {"a/1": {"a/1", "b/3"}, "b/4": {"b/4", "c/1"}}
    assert told(unified)["a/1", "c/1"] == ("keep", why)


@pytest.mark.parametrize(
    ("reviewed", "expected"),
    [
        ({("a/1", "a/9"): "merge"}, "'a/9': no speaker of 3"),
        (
            {("a/1", "a/2"): "merge", ("a/2", "a/3"): "merge", ("a/1", "a/3"): "keep"},
            "speakers a/1 and a/3 are kept apart, and merged through others",
        ),
    ],
)
def test_pairs_of_nobody_and_pairs_that_contradict_each_other_are_refused(reviewed, expected):
    with pytest.raises(ValueError, match=expected):
        join(speakers("a/1", "a/2", "a/3"), ["a/1"], at(0), reviewed=reviewed)


def consistent(ids, seed):
    """Pairs at random between labels that are put into few groups: merged within, kept apart across."""
    rng = np.random.default_rng(seed)
    group = dict(zip(ids, rng.integers(4, size=len(ids)), strict=True))
    every = [pair for pair in combinations(sorted(ids), 2) if rng.random() < 0.15]
    return {(a, b): "merge" if group[a] == group[b] else "keep" for a, b in every}


@settings(deadline=None)
@given(st.integers(2, 14), seeds, st.booleans(), st.sampled_from([(), ("a",), ("a", "b")]), st.integers(1, 3))
def test_reviewers_have_the_last_word_and_what_is_left_to_rules_is_as_complete_as_ever(
    num, seed, within_corpora, without_duplicates, min_utterances
):
    who, of_utterance, vectors = crowd(seed, num)
    reviewed = consistent(who["speaker_id"].to_pylist(), seed)
    rules = {"within_corpora": within_corpora, "without_duplicates": without_duplicates}
    rules |= {"min_utterances": min_utterances, "reviewed": reviewed}
    unified = join(who, of_utterance, vectors, **rules)
    identity, cosines = people(unified), mean_cosines(of_utterance, vectors)
    assert all((identity[a] == identity[b]) == (verdict == "merge") for (a, b), verdict in reviewed.items())
    reasons = told(unified)
    assert len(reasons) == len(unified.decisions)
    assert list(reasons) == sorted(reasons)
    assert reasons.keys() >= reviewed.keys()
    assert all(reasons[pair] == (verdict, "reviewed") for pair, verdict in reviewed.items())
    assert all((verdict == "merge") == (identity[a] == identity[b]) for (a, b), (verdict, _) in reasons.items())
    for row in unified.decisions.to_pylist():
        assert row["score"] == pytest.approx(cosines.get((row["subject_id"], row["other_id"])), abs=1e-6)

    theirs = {one: {one} for one in identity}  # who is one by reviewers alone
    for (a, b), verdict in reviewed.items():
        if verdict == "merge":
            both = theirs[a] | theirs[b]
            theirs.update(dict.fromkeys(both, both))
    said = {row["speaker_id"]: row for row in who.to_pylist()}
    judged = {one for one in identity if of_utterance.count(one) >= min_utterances}

    def may_be_one(a, b):
        one, other = said[a], said[b]
        agree = all(None in (one[g], other[g]) or one[g] == other[g] for g in ("sex", "language"))
        twice = one["corpus"] == other["corpus"] and one["corpus"] in without_duplicates
        if not agree or twice or reviewed.get((a, b)) == "keep":
            return False
        if not {a, b} <= judged:
            return True
        return cosines[a, b] >= 0.7 and (within_corpora or one["corpus"] != other["corpus"])

    for members in groups(unified).values():
        for a, b in combinations(sorted(members), 2):
            assert b in theirs[a] or may_be_one(a, b)
        if not members & judged:
            assert len({frozenset(theirs[one]) for one in members}) == 1
    for one, other in combinations([sorted(group) for group in groups(unified).values()], 2):
        if judged & set(one) and judged & set(other):
            assert not all(may_be_one(*sorted((a, b))) for a in one for b in other)

    order = np.random.default_rng(seed).permutation(len(of_utterance))
    mixed = who.take(np.random.default_rng(seed).permutation(len(who)))
    again = join(
        mixed,
        [of_utterance[i] for i in order],
        vectors[order],
        **rules | {"reviewed": dict(reversed(reviewed.items()))},
    )
    assert again.decisions.equals(unified.decisions)
    assert again.identities.equals(unified.identities)
