"""What `benchmarks.alike` promises: copies and voices across splits are found, by whatever split they are in."""

from collections import Counter, defaultdict
from itertools import combinations, product

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import alike
from benchmarks.alike import NEAR, similar_between
from curate import audio
from curate.duplicates import near_pairs
from curate.landmarks import landmarks, samples_sha256
from curate.marks import Marks
from curate.similarity import unit
from tests.benchmarks.leaks_made import found, recording, row

seeds = st.integers(0, 2**32 - 1)
VOICE = ("voice", "test", "train")
NEAR_DUPLICATE = ("near_duplicate", "test", "train")


@pytest.fixture
def rng():
    return np.random.default_rng(3)


# ------------------------------------------------------------------------------------------------------------ copies


def later(marks, num_frames):
    """The same recording, so many frames later."""
    return np.sort(marks + num_frames)


def one_offset(one, other):
    """How many landmarks agree at one offset or at it and the next, and the frames in `one` that they span."""
    offsets = defaultdict(list)
    for first, second in product(one.tolist(), other.tolist()):
        if first >> 32 == second >> 32:
            offsets[(second & 0xFFFFFFFF) - (first & 0xFFFFFFFF)].append(first & 0xFFFFFFFF)
    runs = {by: offsets[by] + offsets.get(by + 1, []) for by in sorted(offsets)}
    return max(runs.values(), key=len, default=[])


def near_by_definition(one, other):
    """Whether two recordings are near duplicates, as curate.duplicates says in words."""
    frames = one_offset(one, other)
    length = min(int((marks & 0xFFFFFFFF).max() - (marks & 0xFFFFFFFF).min()) for marks in (one, other))
    enough = max(NEAR.min_landmarks, NEAR.min_share * min(len(one), len(other)))
    return len(frames) >= enough and (max(frames) - min(frames)) / length >= NEAR.min_span


def test_a_changed_copy_on_another_side_is_found_and_one_on_the_same_side_is_not_asked_about(rng):
    whole = recording(rng)
    rows = [
        row("a", "test", landmarks=whole),
        row("b", "train", landmarks=later(whole, 30)),
        row("c", "train", landmarks=later(whole, 60)),
        row("d", "test", landmarks=recording(rng)),
        row("e", "train", landmarks=recording(rng)),
        row("e2", "train", landmarks=later(whole, 30), samples_sha256="samples of b"),
    ]
    one = found(rows)[NEAR_DUPLICATE]
    assert (one["num_side"], one["num_other"], one["num_shared"], one["num_unknown"]) == (2, 3, 2, 0)
    assert (one["num_utterances"], one["num_other_utterances"], one["is_allowed"]) == (1, 3, False)
    agree = len(whole)
    assert one["examples"].splitlines() == [
        f"toy/a | toy/b ({agree} landmarks agree)",
        f"toy/a | toy/c ({agree} landmarks agree)",
    ]


def test_the_same_samples_are_told_as_such_and_not_twice(rng):
    whole = recording(rng)
    rows = [row(name, split, landmarks=whole, samples_sha256="x") for name, split in (("a", "test"), ("b", "train"))]
    checks = found(rows)
    assert checks["samples", "test", "train"]["num_shared"] == 1
    assert checks[NEAR_DUPLICATE]["num_shared"] == 0
    assert checks[NEAR_DUPLICATE]["num_side"] == 1


def test_what_has_too_few_landmarks_to_be_told_again_is_not_known(rng):
    rows = [row("a", "test", landmarks=recording(rng)[: NEAR.min_landmarks - 1]), row("b", "train", landmarks=[])]
    one = found(rows)[NEAR_DUPLICATE]
    assert (one["num_side"], one["num_other"], one["num_unknown"]) == (0, 0, 2)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, num=st.integers(2, 7))
def test_near_duplicates_are_those_of_the_definition_pair_by_pair(seed, num):
    rng = np.random.default_rng(seed)
    sources = [recording(rng, 20) for _ in range(3)]
    marks = []
    for _ in range(num):
        source = sources[rng.integers(3)]
        by_frame = source[np.argsort(source & 0xFFFFFFFF, kind="stable")]
        begin, end = np.sort(rng.integers(0, len(source) + 1, 2))
        piece = by_frame[begin : max(end, begin + 2)]
        marks.append(np.unique(np.concatenate([later(piece, int(rng.integers(9))), recording(rng, 5)])))
    side = [("test", "train", "dev")[n] for n in rng.integers(0, 3, num)]
    rows = [row(f"{n}", side[n], landmarks=marks[n]) for n in range(num)]
    expected = Counter(
        tuple(sorted((side[n], side[m])))
        for n, m in combinations(range(num), 2)
        if side[n] != side[m] and near_by_definition(marks[n], marks[m])
    )
    counted = {
        (one, other): told["num_shared"]
        for (check, one, other), told in found(rows).items()
        if check == "near_duplicate" and told["num_shared"]
    }
    assert counted == dict(expected)


@settings(deadline=None, max_examples=40)
@given(seed=seeds)
def test_pairs_across_sides_are_those_of_all_that_are_across(seed):
    rng = np.random.default_rng(seed)
    sources = [recording(rng) for _ in range(3)]
    lists = pa.chunked_array(
        [pa.array([later(sources[n], int(rng.integers(5))) for n in rng.integers(0, 3, 10)], pa.list_(pa.int64()))]
    )
    side, rows = rng.integers(0, 3, 10), rng.permutation(10)
    every, across = near_pairs(Marks.held(lists), rows, NEAR), near_pairs(Marks.held(lists), rows, NEAR, side)
    differ = side[every.one] != side[every.other]
    for name in ("one", "other", "score", "least"):
        np.testing.assert_array_equal(getattr(across, name), getattr(every, name)[differ])


# ------------------------------------------------------------------------------------------------------------ voices


def heard(*told):
    """Rows of (utterance, split, person, corpus), and a vector of each."""
    rows = [row(name, split, identity_id=person, corpus=corpus) for name, split, person, corpus, _ in told]
    return rows, (pa.chunked_array([[one["utterance_id"] for one in rows]]), np.float32([one[-1] for one in told]))


def test_two_people_who_sound_as_one_are_found_across_splits_by_their_means():
    rows, vectors = heard(
        ("1", "test", "an", "a", [2, 0]),
        ("2", "test", "an", "a", [0, 5]),  # with the one before: a mean of (1/2, 1/2)
        ("3", "train", "bo", "a", [1, 1]),  # to that mean: 1 / sqrt 2 = 0.707
        ("4", "train", "bo", "a", [1, 1]),
        ("5", "train", "chi", "a", [1, 0]),  # 0.5
        ("6", "train", "an", "a", [1, 1]),  # who is himself
    )
    one = found(rows, vectors=vectors, threshold=0.7)[VOICE]
    assert (one["num_side"], one["num_other"], one["num_shared"]) == (1, 3, 1)
    assert (one["num_utterances"], one["num_other_utterances"], one["is_allowed"]) == (2, 2, False)
    assert one["examples"] == "an | bo (cosine 0.707)"
    assert found(rows, vectors=vectors, threshold=0.71)[VOICE]["num_shared"] == 0
    assert found(rows, vectors=vectors, threshold=0.5)[VOICE]["examples"].splitlines() == [
        "an | bo (cosine 0.707)",
        "an | chi (cosine 0.500)",
    ]


def test_the_stricter_corpus_counts_and_of_one_that_nobody_knows_the_strictest():
    rows, vectors = heard(("1", "test", "an", "a", [1, 0]), ("2", "train", "bo", "b", [4, 3]))  # 0.8
    for threshold, num in (
        ({"a": 0.7, "b": 0.7}, 1),
        ({"a": 0.9, "b": 0.7}, 0),
        ({"a": 0.7, "b": 0.9}, 0),
        ({"a": 0.7, "c": 0.9}, 0),
        ({"a": 0.7}, 1),
    ):
        assert found(rows, vectors=vectors, threshold=threshold)[VOICE]["num_shared"] == num


def test_people_whom_reviewers_keep_apart_are_two():
    rows, vectors = heard(("1", "test", "bo", "a", [1, 0]), ("2", "train", "an", "a", [1, 0]))
    assert found(rows, vectors=vectors, threshold=0.9)[VOICE]["num_shared"] == 1
    assert found(rows, vectors=vectors, threshold=0.9, apart={("an", "bo")})[VOICE]["num_shared"] == 0


def test_whom_nobody_heard_is_not_compared():
    rows, (ids, vectors) = heard(("1", "test", "an", "a", [1, 0]), ("2", "train", "bo", "a", [1, 0]))
    one = found(rows, vectors=(ids.slice(1), vectors[1:]), threshold=0.9)[VOICE]
    assert (one["num_side"], one["num_other"], one["num_shared"], one["num_unknown"]) == (0, 1, 0, 1)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, threshold=st.floats(-0.2, 0.95))
def test_voices_are_those_of_all_cosines_pair_by_pair(seed, threshold):
    rng = np.random.default_rng(seed)
    num = int(rng.integers(2, 30))
    directions = rng.standard_normal((6, 4))
    person, side = rng.integers(0, 6, num), rng.integers(0, 3, num)
    raw = np.float32((directions[person] + 0.8 * rng.standard_normal((num, 4))) * rng.uniform(0.1, 9, (num, 1)))
    rows = [row(f"{n:02}", "abc"[side[n]], identity_id=f"p{person[n]}") for n in range(num)]
    checks = found(rows, vectors=(pa.chunked_array([[one["utterance_id"] for one in rows]]), raw), threshold=threshold)
    directed = raw.astype(np.float64) / np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
    for (check, one, other), told in checks.items():
        if check != "voice":
            continue
        means = {}
        for p, q in product(range(6), repeat=2):
            mine = [n for n in range(num) if person[n] == p and "abc"[side[n]] == one]
            others = [n for n in range(num) if person[n] == q and "abc"[side[n]] == other]
            if mine and others and p != q:
                means[p, q] = np.mean([directed[n] @ directed[m] for n in mine for m in others])
        sure = sum(mean >= threshold + 1e-6 for mean in means.values())
        perhaps = sum(mean >= threshold - 1e-6 for mean in means.values())
        assert sure <= told["num_shared"] <= perhaps


@settings(deadline=None, max_examples=30)
@given(seed=seeds, tile=st.integers(1, 9))
def test_no_tile_changes_what_is_alike(seed, tile):
    rng = np.random.default_rng(seed)
    ones, others = (unit(rng.standard_normal((int(rng.integers(0, 20)), 3)).astype(np.float32)) for _ in range(2))
    asked = [rng.uniform(-0.5, 0.9, len(side)) for side in (ones, others)]
    whole = [pairs for pairs, _ in similar_between(ones, others, *asked)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "PEOPLE_PER_TILE", tile)
        tiled = [pairs for pairs, _ in similar_between(ones, others, *asked)]
    known = [{(int(one), int(other)) for pairs in found for one, other in pairs.T} for found in (whole, tiled)]
    cosines = ones.astype(np.float64) @ others.astype(np.float64).T
    assert known[0] == known[1] == {tuple(pair) for pair in np.argwhere(cosines >= np.maximum.outer(*asked)).tolist()}


# ------------------------------------------------------------------------------------------------------- real speech


@pytest.mark.real
def test_a_resampled_copy_in_another_split_of_real_speech_is_found_and_nothing_else(corpora, tmp_path):
    files = sorted((corpora / "LibriSpeech").glob("test-other/*/*/*.flac"))[::12]
    readers = sorted({file.parts[-3] for file in files})
    split_of = {reader: ("test", "train")[n % 2] for n, reader in enumerate(readers)}
    copied = next(file for file in files if split_of[file.parts[-3]] == "test" and soundfile.info(file).duration > 6)
    telephone = tmp_path / "copy.wav"
    samples = audio.decode(copied, sample_rate_hz=8000)
    soundfile.write(telephone, samples[8000:], 8000, subtype="ULAW")  # its first second is cut away
    rows = []
    for file in [*files, telephone]:
        heard = audio.decode(file, sample_rate_hz=16000)
        told = {"landmarks": landmarks(heard, 16000), "samples_sha256": samples_sha256(heard)}
        person, split = (file.parts[-3], split_of[file.parts[-3]]) if file != telephone else ("copied", "train")
        rows.append(row(file.stem, split, identity_id=person, **told))
    checks = found(rows)
    assert {check for (check, *_), one in checks.items() if one["num_shared"]} == {"near_duplicate"}
    one = checks[NEAR_DUPLICATE]
    assert (one["num_shared"], one["num_utterances"], one["num_other_utterances"]) == (1, 1, 1)
    assert one["examples"].startswith(f"toy/{copied.stem} | toy/copy (")
    assert one["num_side"] + one["num_other"] == len(rows)
