"""What `calibrate` promises: a threshold that merges no more different people than wanted, and one person's labels."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student_t

from curate import calibration
from curate.calibration import (
    Calibration,
    calibrate,
    calibrate_corpora,
    fit_tail,
    genuine_range,
    halves,
    one_person_twice,
    shared_threshold,
    tail_share,
    thresholds_between,
)
from curate.decisions import Author
from curate.errors import PipelineError
from curate.similarity import mean_vectors
from curate.speakers import unify

AUTHOR = Author(rule="mean cosine, complete link", step="identities", run_id="0123456789ab")
SPEAKERS = pa.schema([(name, pa.string()) for name in ("speaker_id", "corpus", "sex", "language")])
DIMENSION = 64
seeds = st.integers(0, 2**32 - 1)


def at(*degrees):
    return np.float32(np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1))


def voices(num, rng, *, kinds=0.0):
    """(num, D) people about one common voice: their cosines are about 0.5; with `kinds`, in four kinds of people."""
    kind = np.sqrt(kinds) * np.random.default_rng(7).normal(size=(4, DIMENSION))[rng.integers(4, size=num)]
    return 1 + kind + np.sqrt(1 - kinds) * rng.normal(size=(num, DIMENSION))


def say(voice_SD, num_utterances, rng):  # noqa: N803
    """Unit vectors (N, D), so many in turn of each voice."""
    vectors = np.repeat(voice_SD, num_utterances, axis=0)
    vectors = vectors + 0.5 * rng.normal(size=vectors.shape)
    return np.float32(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def judge(unit_ND, speaker, *, wanted_rate=1e-3, session=None, stated=(), seed=0):  # noqa: N803
    return calibrate(
        unit_ND,
        speaker,
        int(speaker.max()) + 1,
        session=np.full(len(speaker), -1) if session is None else session,
        wanted_rate=wanted_rate,
        stated=stated,
        rng=np.random.default_rng(seed),
    )


def impostors(mean_SD):  # noqa: N803
    return np.float64(mean_SD @ mean_SD.T)[np.triu_indices(len(mean_SD), 1)]


def tables(vectors, of_utterance, *, sex=None, session=None):
    """Speakers and utterances as `unify` is given them, from labels such as `a/1` of corpus `a`."""
    ids = sorted(set(of_utterance))
    people = [{"speaker_id": i, "corpus": i.split("/")[0], "sex": (sex or {}).get(i), "language": None} for i in ids]
    utterances = pa.table(
        {
            "utterance_id": [f"{speaker}/{n:05}" for n, speaker in enumerate(of_utterance)],
            "speaker_id": list(of_utterance),
            "session_id": pa.array([None] * len(of_utterance) if session is None else list(session), pa.string()),
            "duration_s": np.full(len(of_utterance), 5.0),
        }
    )
    return pa.Table.from_pylist(people, schema=SPEAKERS), utterances, vectors


def by_corpus(speakers, utterances, vectors, **more):
    asked = {"wanted_rate": 1e-3, "guards": ("sex", "language", "age"), "min_utterances": 3, "seed": 0}
    return calibrate_corpora(speakers, utterances, vectors, **(asked | more))


def one(**fields):
    """A calibration; what a test does not name is of no matter to it."""
    given = {
        "corpus": "a",
        "threshold": 0.8,
        "estimate": 0.75,
        "wanted_rate": 1e-3,
        "rate": 1e-4,
        "rate_interval": (0.0, 1e-3),
        "threshold_interval": (0.7, 0.8),
        "num_speakers": 13,
        "num_pairs": 78,
        "num_set_aside": 0,
        "genuine_low": 0.85,
        "genuine_median": 0.9,
        "is_told_apart": True,
        "centre": 0.5,
        "variance": 0.01,
        "variance_of_one": 0.02,
        "typical_inverse": 0.2,
    }
    return Calibration(**(given | fields))


def test_a_tail_through_normal_quantiles_is_that_normal():
    place = (np.arange(1000) + 0.5) / 1000
    cosines = 0.5 + 0.06 * norm.isf(place)
    tail = fit_tail(cosines[:300], np.ones(300), 1000.0, share=0.2, centre=0.5)
    assert tail.scale == pytest.approx(0.06, rel=1e-12)
    assert tail.threshold(1e-3) == pytest.approx(0.5 + 0.06 * 3.0902323, abs=1e-8)
    assert tail.rate(tail.threshold(1e-4)) == pytest.approx(1e-4)


def test_only_the_top_share_shapes_a_tail():
    cosines = np.sort(np.random.default_rng(0).normal(0.5, 0.06, 1000))[::-1]
    bent = np.where(np.arange(1000) < 200, cosines, 0.4)
    fitted = [fit_tail(values, np.ones(1000), 1000.0, share=0.2, centre=0.5) for values in (cosines, bent)]
    assert fitted[0] == fitted[1]
    assert fit_tail(bent, np.ones(1000), 1000.0, share=0.5, centre=0.5) != fitted[0]


@settings(deadline=None)
@given(seeds, st.integers(20, 60))
def test_a_tail_of_weights_is_that_of_repeated_pairs_by_least_squares(seed, num):
    rng = np.random.default_rng(seed)
    cosines, weight = np.sort(rng.normal(size=num))[::-1], rng.integers(1, 3, num).astype(float)
    place = (np.cumsum(weight) - weight / 2) / weight.sum()
    used = place <= 0.4
    normal, root = norm.isf(place[used])[:, None], np.sqrt(weight[used])
    slope = np.linalg.lstsq(root[:, None] * normal, root * cosines[used], rcond=None)[0][0]
    tail = fit_tail(cosines, weight, weight.sum(), share=0.4, centre=0.0)
    assert tail.scale == pytest.approx(max(slope, calibration.ROUNDING), rel=1e-9, abs=1e-9)


def test_the_tail_begins_at_sixty_pairs_or_ten_times_the_rate_and_at_the_median_at_most():
    assert tail_share(78, 1e-3) == 0.5
    assert tail_share(6_000, 1e-3) == 0.01
    assert tail_share(6_000, 1e-2) == 0.1
    assert tail_share(10**6, 1e-3) == 0.01


def test_a_label_with_sessions_is_halved_between_them_and_others_anyhow():
    """The first has sessions at 0 and 60 degrees, the second one session, the third too little for two halves."""
    vectors = at(0, 0, 60, 60, 20, 20, 20, 20, 0, 0, 0)
    speaker, session = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]), np.array([3, 3, 4, 4, 5, 5, 5, 5, -1, -1, -1])
    found = halves(vectors, speaker, 3, session=session, rng=np.random.default_rng(0))
    assert found.shape == (calibration.NUM_HALVINGS, 3)
    assert found[:, 0] == pytest.approx(0.5)
    assert found[:, 1] == pytest.approx(1.0)
    assert np.isnan(found[:, 2]).all()


def test_what_belongs_to_no_session_is_left_out_where_there_are_sessions():
    vectors, speaker = at(0, 0, 60, 60, 180, 180), np.zeros(6, int)
    found = halves(vectors, speaker, 1, session=np.array([3, 3, 4, 4, -1, -1]), rng=np.random.default_rng(0))
    assert found == pytest.approx(0.5)


def test_what_one_person_reaches_is_predicted_for_one_more_label():
    rng = np.random.default_rng(0)
    halved = 0.9 + 0.03 * rng.normal(size=8) + 0.01 * rng.normal(size=(20, 8))
    low, median = genuine_range(halved)
    label = halved.mean(axis=0)
    spread = np.sqrt((label.var(ddof=1) + np.median(halved.var(axis=0, ddof=1)) / 2) * (1 + 1 / 8))
    assert median == np.median(label)
    assert low == pytest.approx(label.mean() + student_t.ppf(0.02, 7) * spread, abs=1e-12)
    mixed = np.hstack([halved, halved[:, :1] - 0.5])
    assert genuine_range(mixed)[0] == pytest.approx(low, abs=1e-3)  # two people under one label say nothing of one
    assert np.isnan(genuine_range(halved[:, :4])).all()
    assert np.isnan(genuine_range(np.full((20, 9), np.nan))).all()


def test_a_pair_is_one_person_where_it_is_that_alike_and_no_two_people_would_be():
    rng = np.random.default_rng(0)
    cosines = np.append(rng.normal(0.55, 0.05, 77), 0.9)
    assert one_person_twice(cosines, 0.85).nonzero()[0].tolist() == [77]
    assert not one_person_twice(cosines, 0.95).any()  # one person is more alike than that
    assert not one_person_twice(cosines, float("nan")).any()
    assert not one_person_twice(cosines[:77], 0.6).any()  # alike enough, but so are different people here
    assert len(one_person_twice(np.empty(0), 0.8)) == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, 0.8),  # the upper end
        ({"genuine_low": 0.77}, {}, 0.77),  # no more than one person reaches in either
        ({"genuine_low": 0.7}, {}, 0.75),  # but the rate is kept
        ({"genuine_low": float("nan")}, {"genuine_low": float("nan")}, 0.8),
        ({"genuine_low": float("nan")}, {"genuine_low": 0.78}, 0.78),
        ({"threshold_interval": (0.7, 0.84)}, {}, 0.84),  # the stricter
        ({"estimate": 0.82, "threshold_interval": (0.8, 0.9), "genuine_low": 0.7}, {}, 0.82),
    ],
)
def test_two_corpora_share_the_stricter_threshold_but_the_lower_cap(first, second, expected):
    assert shared_threshold(one(**first), one(**second)) == expected
    assert shared_threshold(one(**second), one(**first)) == expected


def test_few_utterances_need_a_higher_threshold_and_many_no_lower_one():
    """Of two labels of ten the means are as noisy as those calibrated from; of one and two, noisier by 0.02 * 1.3."""
    calibrated = one()
    found = thresholds_between(calibrated, calibrated, np.array([10, 1, 100]), np.array([10, 2, 100]))
    assert found == pytest.approx([0.8, 0.5 + 0.3 * np.sqrt(1 + 0.026 / 0.01), 0.8])
    other = replace(calibrated, variance_of_one=0.0)
    assert thresholds_between(other, calibrated, np.array([1]), np.array([2])) == pytest.approx(found[1:2])


def test_the_spread_of_few_utterances_is_the_predicted_one():
    rng = np.random.default_rng(3)
    voice = voices(200, rng)
    calibrated = judge(say(voice, 20, rng), np.repeat(np.arange(200), 20))
    few = impostors(mean_vectors(say(voice, 2, rng), np.repeat(np.arange(200), 2), 200))
    threshold = thresholds_between(calibrated, calibrated, np.array([2]), np.array([2]))[0]
    widened = (threshold - calibrated.centre) / (calibrated.threshold - calibrated.centre)
    assert widened == pytest.approx(few.std() / np.sqrt(calibrated.variance), rel=0.01)
    assert widened > 1.02


@pytest.mark.parametrize("kinds", [0.0, 0.33])
@pytest.mark.parametrize(("num", "wanted_rate"), [(8, 1e-2), (14, 1e-3), (60, 1e-2), (60, 1e-3)])
def test_no_more_different_people_merge_than_wanted(num, wanted_rate, kinds):
    """Thresholds of 20 small corpora, held against the pairs of 1,500 others who speak the same way."""
    rng = np.random.default_rng(0)
    strangers = np.sort(impostors(say(voices(1500, rng, kinds=kinds), 6, rng).reshape(1500, 6, DIMENSION).mean(axis=1)))
    kept = 0
    for seed in range(20):
        rng = np.random.default_rng([1, seed])
        found = judge(say(voices(num, rng, kinds=kinds), 6, rng), np.repeat(np.arange(num), 6), wanted_rate=wanted_rate)
        rate = 1 - np.searchsorted(strangers, found.threshold) / len(strangers)
        kept += found.rate_interval[0] <= rate <= found.rate_interval[1]
        assert found.threshold_interval[0] <= found.estimate <= found.threshold <= found.threshold_interval[1]
        assert found.is_told_apart
    assert kept >= 18


def test_more_people_give_a_lower_threshold_and_a_narrower_interval():
    rng = np.random.default_rng(0)
    few, many = (judge(say(voices(n, rng), 6, rng), np.repeat(np.arange(n), 6)) for n in (12, 120))
    assert many.threshold < few.threshold
    assert np.diff(many.threshold_interval)[0] < np.diff(few.threshold_interval)[0] / 2


def test_people_who_are_there_twice_are_set_aside_and_move_little():
    rng = np.random.default_rng(0)
    vectors = say(voices(30, rng), 12, rng)
    once = judge(vectors, np.repeat(np.arange(30), 12))
    twice = judge(vectors, np.repeat(np.arange(60), 6))
    assert (once.num_speakers, once.num_pairs, once.num_set_aside) == (30, 435, 0)
    assert 28 <= twice.num_set_aside <= 30  # one person in fifty is less alike than `genuine_low`
    assert twice.num_speakers == 60 - twice.num_set_aside
    assert twice.num_pairs == 1770 - twice.num_set_aside
    assert twice.threshold == pytest.approx(once.threshold, abs=0.02)


def test_only_pairs_that_no_guard_forbids_are_compared():
    rng = np.random.default_rng(0)
    vectors, speaker = say(voices(10, rng), 6, rng), np.repeat(np.arange(10), 6)
    sex = np.array([0] * 5 + [1] * 4 + [-1])
    assert judge(vectors, speaker, stated=[sex]).num_pairs == 10 + 6 + 9
    assert judge(vectors, speaker).num_pairs == 45


def test_where_one_person_and_two_are_equally_alike_the_rate_is_kept_and_it_is_said():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, DIMENSION)) + 1
    found = judge(np.float32(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)), np.repeat(np.arange(20), 10))
    assert not found.is_told_apart
    assert found.threshold == found.estimate > found.genuine_low


def test_of_a_large_corpus_some_labels_are_drawn(monkeypatch):
    monkeypatch.setattr(calibration, "MAX_SPEAKERS", 20)
    rng = np.random.default_rng(0)
    found = judge(say(voices(50, rng), 4, rng), np.repeat(np.arange(50), 4), stated=[np.zeros(50, int)])
    assert (found.num_speakers, found.num_pairs) == (20, 190)


@pytest.mark.parametrize("num", [0, 1, 4])
def test_too_few_people_are_one_clear_line(num):
    rng = np.random.default_rng(0)
    of_utterance = np.repeat([f"tiny/{n}" for n in range(num)], 6)
    given = tables(say(voices(num, rng), 6, rng), of_utterance.tolist())
    if not num:
        given = (pa.Table.from_pylist([dict.fromkeys(SPEAKERS.names, "tiny")], schema=SPEAKERS), *given[1:])
        given = (
            given[0],
            given[1].cast(
                pa.schema([(f.name, pa.string() if f.name != "duration_s" else f.type) for f in given[1].schema])
            ),
            given[2],
        )
    with pytest.raises(PipelineError, match=rf"^tiny has {num} people .* expected 5 .*: give min_similarity$"):
        by_corpus(*given)


def test_a_corpus_with_too_few_people_takes_the_strictest_of_the_others():
    rng = np.random.default_rng(0)
    ids = [f"a/{n:02}" for n in range(12)] + [f"b/{n:02}" for n in range(12)] + ["c/0", "c/1"]
    close = 2 + voices(12, rng)  # people of b are more alike than those of a
    given = tables(say(np.vstack([voices(12, rng), close, voices(2, rng)]), 6, rng), np.repeat(ids, 6).tolist())
    found = by_corpus(*given)
    assert found["b"].threshold > found["a"].threshold
    assert (found["a"].corpus, found["c"]) == ("a", found["b"])


def test_labels_with_too_few_utterances_are_not_heard():
    rng = np.random.default_rng(0)
    of_utterance = np.repeat([f"a/{n}" for n in range(10)], [6] * 8 + [2] * 2).tolist()
    vectors = np.vstack([say(voices(8, rng), 6, rng), say(voices(2, rng), 2, rng)])
    assert by_corpus(*tables(vectors, of_utterance))["a"].num_speakers == 8


@pytest.mark.parametrize("wanted_rate", [0.0, -1e-3, 0.06, float("nan")])
def test_a_rate_that_no_tail_can_tell_is_refused(wanted_rate):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"wanted_rate is .*; expected above 0 and at most"):
        judge(say(voices(8, rng), 6, rng), np.repeat(np.arange(8), 6), wanted_rate=wanted_rate)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_vectors_without_direction_are_refused(bad):
    rng = np.random.default_rng(0)
    vectors = say(voices(8, rng), 6, rng)
    vectors[3] = bad
    with pytest.raises(ValueError, match=r"expected .* a direction"):
        by_corpus(*tables(vectors, np.repeat([f"a/{n}" for n in range(8)], 6).tolist()))


@settings(deadline=None, max_examples=10)
@given(seeds)
def test_neither_the_order_of_rows_nor_another_corpus_matters(seed):
    rng = np.random.default_rng(seed)
    ids = np.repeat([f"{corpus}/{n}" for corpus in "ab" for n in range(7)], 6)
    session = [f"{i}/{n % 2}" if n % 3 else None for n, i in enumerate(ids)]
    sex = dict(zip(sorted(set(ids)), rng.choice(["female", "male", None], 14, p=[0.45, 0.45, 0.1]), strict=True))
    sex |= dict.fromkeys([f"{corpus}/{n}" for corpus in "ab" for n in range(5)])  # ten pairs at least
    speakers, utterances, vectors = tables(say(voices(14, rng), 6, rng), ids.tolist(), sex=sex, session=session)
    found = by_corpus(speakers, utterances, vectors)
    order = rng.permutation(len(ids))
    shuffled = speakers.take(pa.array(rng.permutation(14))), utterances.take(pa.array(order)), vectors[order]
    assert by_corpus(*shuffled) == found
    of_a = np.char.startswith(ids, "a/")
    alone = by_corpus(speakers.slice(0, 7), utterances.filter(pa.array(of_a)), vectors[of_a])
    assert alone["a"] == found["a"]


@pytest.mark.real
def test_every_reader_who_was_split_is_whole_again_and_nobody_else_is_merged(corpora, librispeech):
    vectors, reader, chapter = librispeech.vectors, librispeech.speaker, librispeech.session
    told = (corpora / "LibriSpeech" / "SPEAKERS.TXT").read_text().splitlines()
    sex = {fields[0].strip(): fields[1].strip() for fields in (line.split("|") for line in told if line[:1] != ";")}
    for seed in range(8):
        for corpus in (("a", "a"), ("a", "b")):  # the second label of everybody in the same corpus, or in another
            rng = np.random.default_rng(seed)
            half = np.zeros(len(reader), int)
            for name in sorted(set(reader)):
                rows = rng.permutation([n for n, other in enumerate(reader) if other == name])
                half[rows[: len(rows) // 2]] = 1
            ids = [f"{corpus[h]}/{name}-{h}" for name, h in zip(reader, half, strict=True)]
            given = tables(vectors, ids, sex={i: sex[i[2:-2]] for i in ids}, session=chapter)
            found = unify(
                *given,
                min_similarity=by_corpus(*given),
                within_corpora=True,
                guards=("sex",),
                min_utterances=3,
                min_speech_s=10.0,
                author=AUTHOR,
            )
            groups: dict[str, set[str]] = {}
            for speaker, identity in zip(*found.identities.to_pydict().values(), strict=True):
                groups.setdefault(identity, set()).add(speaker[2:-2])
            assert sorted(map(sorted, groups.values())) == [[name] for name in sorted(set(reader))], (seed, corpus)
