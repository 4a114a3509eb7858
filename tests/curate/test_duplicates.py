"""What `judge_duplicates` promises: one of each recording stays, and different recordings are left alone."""

import io

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate import audio, duplicates, marks
from curate.decisions import Author
from curate.duplicates import MIN_BESIDE, judge_duplicates, near_pairs
from curate.landmarks import landmarks, samples_sha256
from curate.marks import Marks
from curate.presets import Duplicates
from curate.schema import DECISIONS, SOUND_PRINTS
from tests.curate.agreement_by_definition import agreeing, num_around_a_seed

seeds = st.integers(0, 2**32 - 1)
AUTHOR = Author(rule="the rule", step="duplicates", run_id="run")
DIMENSION = 4
FEW = Duplicates(min_landmarks=4, min_share=0.25, min_span=0.0)  # spans have tests of their own


def recording(rng, num=40):
    """Landmarks of so many peaks of a recording, two each."""
    first, frame = rng.integers(0, 99, num), np.sort(rng.integers(0, 500, num))
    hashes = first << 12 | rng.integers(0, 99, (2, num)) << 5 | rng.integers(1, 32, (2, num))
    return np.unique(hashes << 32 | frame)


def shifted(found, by, share=1.0):
    """The first `share` of a recording, of all frequencies alike, so many frames later."""
    by_frame = found[np.argsort(found & 0xFFFFFFFF, kind="stable")]
    return np.sort(by_frame[: round(share * len(found))] + by)


def collection(*told, duration_s=None):
    """Rows of (id, label, samples, landmarks), and a vector of each: its label's, unless the fifth value is another."""
    ids = [f"toy/{one[0]}" for one in told]
    utterances = pa.table(
        {
            "utterance_id": pa.array(ids, pa.string()),
            "speaker_id": pa.array([f"toy/{one[1]}" for one in told], pa.string()),
            "duration_s": pa.array([3.0] * len(told) if duration_s is None else duration_s, pa.float64()),
        }
    )
    prints = SOUND_PRINTS.rows(
        {
            "utterance_id": pa.array(ids, pa.string()),
            "extractor": pa.array(["toy"] * len(told), pa.string()),
            "samples_sha256": pa.array([one[2] for one in told], pa.string()),
            "landmarks": pa.array([one[3] for one in told], pa.list_(pa.int64())),
        }
    )
    voices = [one[4] if len(one) > 4 else one[1] for one in told]
    vectors = [np.random.default_rng(list(voice.encode())).standard_normal(DIMENSION) for voice in voices]
    return utterances, prints, np.float32(vectors).reshape(-1, DIMENSION)


def judged(told, settings=FEW, **more):
    return judge_duplicates(*collection(*told, **more), settings=settings, author=AUTHOR)


def told_of(rows):
    return [
        (row["subject_id"].removeprefix("toy/"), row["other_id"].removeprefix("toy/"), row["reason"])
        for row in rows.to_pylist()
    ]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def none():
    return np.zeros(0, np.int64)


def test_nothing_is_twice_in_nothing():
    rows = judged([])
    assert rows.schema == DECISIONS.arrow()
    assert len(rows) == 0


def test_the_same_samples_are_a_duplicate_though_too_few_landmarks_tell():
    rows = judged([("a", "x", "one", none()), ("b", "x", "one", none()), ("c", "x", "two", none())])
    assert told_of(rows) == [("b", "a", "duplicate")]
    (row,) = rows.to_pylist()
    assert (row["subject"], row["verdict"], row["score"], row["lower_bound"]) == ("utterance", "drop", None, None)
    assert (row["decided_by"], row["step"], row["run_id"]) == ("the rule", "duplicates", "run")


def test_a_shifted_copy_is_near_and_says_how_many_agree_and_how_many_must(rng):
    whole = recording(rng)
    half = shifted(whole, 25, share=0.5)
    rows = judged([("a", "x", "one", whole), ("b", "x", "two", half), ("c", "x", "three", recording(rng))])
    assert told_of(rows) == [("b", "a", "near_duplicate")]
    assert rows["score"].to_pylist() == [len(half)]
    assert rows["lower_bound"].to_pylist() == [np.ceil(len(half) / 4)]


def test_without_near_only_the_same_samples_are_looked_for(rng):
    whole = recording(rng)
    told = [("a", "x", "one", whole), ("b", "x", "two", shifted(whole, 3)), ("c", "x", "two", shifted(whole, 3))]
    assert told_of(judged(told, Duplicates(near=False))) == [("c", "b", "duplicate")]


@pytest.mark.parametrize(("num_agreeing", "is_near"), [(7, False), (8, True)])
def test_so_many_landmarks_must_agree(rng, num_agreeing, is_near):
    one, other = recording(rng), recording(rng)
    by_frame = one[np.argsort(one & 0xFFFFFFFF)]  # two of a peak beside each other
    both = np.sort(np.concatenate([by_frame[:num_agreeing], other]))
    rows = judged(
        [("a", "x", "one", one), ("b", "x", "two", both)], Duplicates(min_landmarks=8, min_share=0.01, min_span=0.0)
    )
    assert len(rows) == is_near


@pytest.mark.parametrize(("min_share", "is_near"), [(0.5, True), (0.51, False)])
def test_such_a_share_of_the_one_with_fewer_must_agree(rng, min_share, is_near):
    one = recording(rng, 100)
    other = np.sort(np.concatenate([shifted(one, 0, share=0.1), recording(rng, 200)[:20]]))
    rows = judged([("a", "x", "one", one), ("b", "x", "two", other)], Duplicates(min_share=min_share, min_span=0.0))
    assert len(other) == 40
    assert len(rows) == is_near


def test_under_one_label_the_longest_stays_then_the_first_id(rng):
    whole = recording(rng)
    told = [(name, "x", name, shifted(whole, i)) for i, name in enumerate("abcd")]
    rows = judged(told, duration_s=[3.0, 4.0, 4.0, 3.5])
    assert told_of(rows) == [(name, "b", "near_duplicate") for name in "acd"]


def test_under_several_labels_the_one_stays_that_sounds_like_the_rest_of_its_own(rng):
    whole = recording(rng)
    told = [
        ("a", "x", "one", whole, "y"),  # longer and first, but the voice is that of y
        ("b", "y", "one", whole, "y"),
        ("c", "x", "two", none()),
        ("d", "y", "three", none()),
    ]
    assert told_of(judged(told, duration_s=[9.0, 3.0, 3.0, 3.0])) == [("a", "b", "duplicate")]


def test_a_label_of_which_nothing_else_is_left_comes_last(rng):
    whole = recording(rng)
    told = [
        ("a", "x", "one", whole),
        ("b", "x", "two", shifted(whole, 9)),  # of the group itself: no rest
        ("c", "y", "three", shifted(whole, 18), "x"),
        ("d", "y", "four", none()),
    ]
    rows = judged(told, duration_s=[9.0, 9.0, 3.0, 3.0])
    assert told_of(rows) == [("a", "c", "near_duplicate"), ("b", "c", "near_duplicate")]


@pytest.mark.parametrize(("min_span", "is_near"), [(0.2, True), (0.4, False)])
def test_what_agrees_must_lie_over_so_much_of_the_shorter(rng, min_span, is_near):
    """A word in common: all of its landmarks agree, but they are in one place."""
    one, word = recording(rng), recording(rng)
    frame = word & 0xFFFFFFFF
    length = int((one & 0xFFFFFFFF).max())
    word = word[frame < 0.3 * length]
    other = np.sort(np.concatenate([one[(one & 0xFFFFFFFF) > length // 2], word]))
    both = np.sort(np.concatenate([recording(rng), word]))
    settings = Duplicates(min_landmarks=4, min_share=0.01, min_span=min_span)
    assert len(judged([("a", "x", "one", other), ("b", "x", "two", both)], settings)) == is_near


def test_of_labels_that_are_as_like_the_one_with_more_utterances_keeps_all():
    shared = [(f"{label}{at}", label, f"s{at}", none()) for at in range(6) for label in "xy"]
    own = [(f"y{at}", "y", f"t{at}", none()) for at in range(7, 12)] + [("x7", "x", "u", none())]
    assert {gone[0] for gone, *_ in told_of(judged(shared + own))} == {"x"}


def test_labels_with_nothing_else_leave_it_to_the_length(rng):
    told = [("a", "x", "one", none()), ("b", "y", "one", none()), ("c", "z", "one", none())]
    assert told_of(judged(told, duration_s=[3.0, 5.0, 5.0])) == [("a", "b", "duplicate"), ("c", "b", "duplicate")]


def test_what_is_like_both_ends_does_not_make_the_ends_alike(rng):
    one, other = recording(rng), recording(rng)
    both = np.sort(np.concatenate([one, shifted(other, 1000)]))
    told = [("a", "x", "one", one), ("b", "x", "two", both), ("c", "x", "three", other)]
    assert told_of(judged(told, duration_s=[3.0, 6.0, 3.0])) == [
        ("a", "b", "near_duplicate"),
        ("c", "b", "near_duplicate"),
    ]
    # where an end stays first, the middle falls to it, and the other end to nobody
    assert told_of(judged(told, duration_s=[9.0, 6.0, 3.0])) == [("b", "a", "near_duplicate")]


def test_prints_are_found_by_id_and_a_missing_one_is_named(rng):
    utterances, prints, vectors = collection(("a", "x", "one", none()), ("b", "x", "one", none()))
    backwards = pa.concat_tables([prints.slice(1), prints.slice(0, 1)])
    assert told_of(judge_duplicates(utterances, backwards, vectors, settings=FEW, author=AUTHOR)) == [
        ("b", "a", "duplicate")
    ]
    with pytest.raises(ValueError, match=r"toy/b: has no sound print; expected one for each utterance"):
        judge_duplicates(utterances, prints.slice(0, 1), vectors, settings=FEW, author=AUTHOR)


def made(rng):
    """Recordings of three labels: copies, copies of copies, cuts and strangers."""
    told = []
    for number in range(int(rng.integers(1, 16))):
        kind = rng.integers(4) if told else 0
        samples, found = (told[rng.integers(len(told))][2:4]) if kind else ("", recording(rng, 12))
        if kind == 2:
            found = shifted(found, int(rng.integers(5)), share=rng.uniform(0.3, 1.0))
        if kind == 3:
            found = np.unique(np.concatenate([found, recording(rng, 12)]))
        told.append(
            (
                f"{number:02}",
                str(rng.choice(list("xyz"))),
                samples if kind == 1 else f"s{number}",
                found,
                "xyz"[rng.integers(3)],
            )
        )
    return told, rng.choice([2.0, 3.0, 4.0], len(told))


@given(seed=seeds)
def test_no_result_depends_on_the_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    told, duration_s = made(rng)
    utterances, prints, vectors = collection(*told, duration_s=duration_s)
    order, of_prints = rng.permutation(len(told)), rng.permutation(len(told))
    rows = judge_duplicates(utterances, prints, vectors, settings=FEW, author=AUTHOR)
    again = judge_duplicates(
        utterances.take(order), prints.take(of_prints), vectors[order], settings=FEW, author=AUTHOR
    )
    assert again == rows


@given(seed=seeds)
def test_what_stays_agrees_with_what_it_stands_for_and_with_nothing_else_that_stays(seed):
    told, duration_s = made(np.random.default_rng(seed))
    by_name = {one[0]: one for one in told}
    rows = judged(told, duration_s=duration_s)
    gone = told_of(rows)

    def least(one, other):
        return max(4, np.ceil(0.25 * min(len(one[3]), len(other[3]))))

    def are_alike(one, other):
        count = agreeing(one[3], other[3])
        return one[2] == other[2] or (count >= least(one, other) and num_around_a_seed(one[3], other[3]) >= 4)

    for (name, stays, reason), score, bound in zip(
        gone, rows["score"].to_pylist(), rows["lower_bound"].to_pylist(), strict=True
    ):
        one, other = by_name[name], by_name[stays]
        assert are_alike(one, other)
        assert (reason == "duplicate") == (one[2] == other[2])
        if reason == "near_duplicate":
            assert (score, bound) == (agreeing(one[3], other[3]), least(one, other))
    left = [one for one in told if one[0] not in {name for name, *_ in gone}]
    assert {stays for _, stays, _ in gone} <= {one[0] for one in left}
    assert not any(are_alike(one, other) for at, one in enumerate(left) for other in left[:at])


@pytest.mark.parametrize(
    ("seeds_at_once", "landmarks_at_once", "pairs_at_once"),
    [(50, 1 << 22, 1 << 16), (1 << 25, 1 << 22, 20_000), (50, 70, 20_000), (1 << 25, 1, 1 << 16)],
)
@pytest.mark.parametrize("is_filed", [False, True])
def test_parts_find_what_all_at_once_finds(
    rng, monkeypatch, tmp_path, is_filed, seeds_at_once, landmarks_at_once, pairs_at_once
):
    found = [recording(rng) for _ in range(30)]
    found += [shifted(one, 5, share=0.7) for one in found] + [np.zeros(0, np.int64)]
    lists, rows = pa.chunked_array([pa.array(found, pa.list_(pa.int64()))]), rng.permutation(61)
    at_once = near_pairs(Marks.held(lists), rows, FEW)
    monkeypatch.setattr(duplicates, "SEEDS_AT_ONCE", seeds_at_once)
    monkeypatch.setattr(duplicates, "LANDMARKS_AT_ONCE", landmarks_at_once)
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", pairs_at_once)
    monkeypatch.setattr(marks, "MOST_HELD", 0)
    batches = pa.table({"landmarks": lists}).to_batches(max_chunksize=7)
    in_parts = near_pairs(Marks.read(batches, tmp_path) if is_filed else Marks.held(lists), rows, FEW)
    pairs = zip(rows[at_once.one].tolist(), rows[at_once.other].tolist(), strict=True)
    assert {frozenset(pair) for pair in pairs} == {frozenset((n, n + 30)) for n in range(30)}
    for name in ("one", "other", "score", "least"):
        assert (getattr(in_parts, name) == getattr(at_once, name)).all()
    assert not list(tmp_path.iterdir())


def test_what_more_recordings_share_than_are_compared_is_passed_by(rng, monkeypatch):
    found = [recording(rng)] * 4
    lists = pa.chunked_array([pa.array(found, pa.list_(pa.int64()))])
    assert len(near_pairs(Marks.held(lists), np.arange(4), FEW).one) == 6
    monkeypatch.setattr(duplicates, "MAX_ALIKE", 3)
    assert len(near_pairs(Marks.held(lists), np.arange(4), FEW).one) == 0


# ------------------------------------------------------------------------------------------------------- real speech


def telephone(samples):
    """Through mu-law at 8 kHz and back."""
    heard, file = audio.resample(samples, 16000, 8000), io.BytesIO()
    soundfile.write(file, heard, 8000, format="WAV", subtype="ULAW")
    file.seek(0)
    return audio.resample(soundfile.read(file, dtype="float32")[0], 8000, 16000)


def copies(samples, rng):
    power = float(np.sqrt(np.mean(samples**2)))
    yield "gain", samples * np.float32(0.25)
    yield "resampling", audio.resample(audio.resample(samples, 16000, 8000), 8000, 16000)
    yield "offset", samples[16000:]
    yield "noise of 20 dB", samples + rng.standard_normal(len(samples)).astype(np.float32) * np.float32(power / 10)
    yield "telephone", telephone(samples)
    yield "half", samples[len(samples) // 2 :]


@pytest.mark.real
def test_no_two_recordings_of_real_speech_are_one_and_every_copy_is_found(corpora):
    files = [
        *sorted((corpora / "LibriSpeech").glob("*/*/*/*.flac")),
        *sorted((corpora / "emodb/wav").glob("*.wav")),  # the same ten sentences by the same ten actors
        *sorted((corpora / "fsdd/recordings").glob("*.wav")),
    ]
    waveforms = [audio.decode(file, sample_rate_hz=16000) for file in files]
    rng = np.random.default_rng(5)
    of_copy = {
        f"{at}-{kind}": copy
        for at in range(0, len(files), 8)
        if len(waveforms[at]) >= 5 * 16000
        for kind, copy in copies(waveforms[at], rng)
    }
    assert len(of_copy) > 100
    told = [(f"{at}", "x", samples_sha256(one), landmarks(one, 16000)) for at, one in enumerate(waveforms)]
    assert len(judged(told, Duplicates())) == 0
    told += [(name, "x", samples_sha256(one), landmarks(one, 16000)) for name, one in of_copy.items()]
    lengths = [len(one) / 16000 for one in (*waveforms, *of_copy.values())]
    found = told_of(judged(told, Duplicates(), duration_s=lengths))
    assert {frozenset((name.split("-")[0], other.split("-")[0])) for name, other, _ in found} == {
        frozenset([name.split("-")[0]]) for name in of_copy
    }
    assert len(found) == len(of_copy)


@pytest.mark.real
def test_of_real_copies_that_share_a_seed_with_their_original_none_is_passed_by(corpora):
    files = sorted((corpora / "LibriSpeech").glob("*/*/*/*.flac"))[::4]
    rng, found = np.random.default_rng(6), []
    for file in files:
        samples = audio.decode(file, sample_rate_hz=16000)
        power = float(np.sqrt(np.mean(samples**2)))
        noise = rng.standard_normal(len(samples)).astype(np.float32) * np.float32(power / 10**0.25)  # 5 dB
        found += [samples, samples + noise, (samples + noise)[:16000], telephone(samples + noise)[:24000]]
    lists = pa.chunked_array([pa.array([landmarks(one, 16000) for one in found], pa.list_(pa.int64()))])
    looked_at, all_ = (
        near_pairs(Marks.held(lists), np.arange(len(found)), Duplicates(), min_beside=least)
        for least in (MIN_BESIDE, 2)
    )
    assert len(all_.one) > 2 * len(files)
    assert (all_.one // 4 == all_.other // 4).all()
    assert looked_at.one.tolist() == all_.one.tolist()
    assert looked_at.other.tolist() == all_.other.tolist()
