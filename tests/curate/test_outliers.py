"""What `clean_vietsv` promises: the paper's verdicts, one for every utterance and speaker, and nothing dropped."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from curate.conforming import conform
from curate.decisions import Author
from curate.outliers import clean_vietsv, quartiles, valid_ranges
from curate.schema import DECISIONS, SPEAKER_SCORES, UTTERANCE_SCORES

AUTHOR = Author(rule="vietsv", step="clean", run_id="0123456789ab")
ROUNDING = 1e-5  # what the tests allow around a bound
seeds = st.integers(0, 2**32 - 1)


def table(speakers):
    ids = [f"toy/{i:03}" for i in range(len(speakers))]
    return pa.table({"utterance_id": pa.array(ids, pa.string()), "speaker_id": pa.array(list(speakers), pa.string())})


def clean(speakers, vectors, *, iqr_factor=1.5, min_speaker_similarity=-1.0):
    return clean_vietsv(
        table(speakers),
        np.float32(vectors),
        iqr_factor=iqr_factor,
        min_speaker_similarity=min_speaker_similarity,
        author=AUTHOR,
    )


def told(cleaned, subject):
    """subject_id -> (verdict, reason), in the order of the rows."""
    rows = [row for row in cleaned.decisions.to_pylist() if row["subject"] == subject]
    return {row["subject_id"]: (row["verdict"], row["reason"]) for row in rows}


def reasons(cleaned):
    return [reason for _, reason in told(cleaned, "utterance").values()]


def angles(*degrees):
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)


def by_matrix(vectors, speakers, iqr_factor, divisor):
    """(score, lower, upper) a row by the rule as printed: a full matrix and numpy's percentiles, speaker by speaker."""
    speakers = np.array(speakers)
    rows = np.zeros((len(speakers), 3))
    for one in set(speakers):
        mine = np.flatnonzero(speakers == one)
        matrix = cosine_similarity(np.float64(vectors[mine]))
        average = (matrix.sum(axis=1) - 1) / max(divisor(len(mine)), 1)
        first, third = np.percentile(average, [25, 75])
        rows[mine, 0] = average
        rows[mine, 1] = first - iqr_factor * (third - first)
        rows[mine, 2] = third + iqr_factor * (third - first)
    return rows


def verdicts_of(rows, speakers):
    """What follows from (score, lower, upper), and which rows are too near a bound to insist on."""
    score, lower, upper = rows.T
    alone = np.array([speakers.count(one) < 2 for one in speakers])
    reason = np.select([alone, score < lower, score > upper], ["too_few_to_judge", "below_range", "above_range"], "ok")
    unsure = np.minimum(abs(score - lower), abs(score - upper)) < ROUNDING
    return reason, unsure & ~alone


def test_the_odd_one_out_is_below_the_range():
    cleaned = clean("aaaaaa", angles(0, 1, 2, 3, 4, 80))
    assert reasons(cleaned) == ["ok"] * 5 + ["below_range"]


def test_scores_and_bounds_of_a_worked_case():
    """Cosines 1, 0, 0: a = (1/3, 1/3, 0), so Q1 = 1/6, Q3 = 1/3 and the range reaches from -1/12 to 7/12."""
    cleaned = clean("aaa", [[2, 0], [7, 0], [0, 1]])
    assert cleaned.utterance_scores["average_similarity"].to_pylist() == pytest.approx([1 / 3, 1 / 3, 0])
    (speaker,) = cleaned.speaker_scores.to_pylist()
    assert (speaker["num_utterances"], speaker["self_similarity"]) == (3, pytest.approx(1 / 3))
    assert (speaker["lower_bound"], speaker["upper_bound"]) == (pytest.approx(-1 / 12), pytest.approx(7 / 12))
    rows = [row for row in cleaned.decisions.to_pylist() if row["subject"] == "utterance"]
    assert [row["lower_bound"] for row in rows] == pytest.approx([-1 / 12] * 3)
    assert [row["score"] for row in rows] == pytest.approx([1 / 3, 1 / 3, 0])


def test_the_range_is_two_sided():
    """Seven utterances far apart, each on an axis of its own, and one in the middle that is like all of them."""
    assert reasons(clean("a" * 8, [*np.eye(7), np.ones(7)])) == ["ok"] * 7 + ["above_range"]


def test_one_utterance_is_too_few_to_judge_a_speaker_by_and_three_an_utterance():
    cleaned = clean("abb", angles(0, 10, 50), min_speaker_similarity=0.6)
    assert told(cleaned, "speaker") == {"a": ("keep", "too_few_to_judge"), "b": ("keep", "ok")}
    assert reasons(cleaned) == ["too_few_to_judge"] * 3
    assert reasons(clean("aaaa", angles(0, 1, 2, 3))) == ["ok"] * 4
    assert cleaned.speaker_scores["lower_bound"].to_pylist()[0] is None


@pytest.mark.parametrize("num_rows", [2, 3, 4, 5, 17, 100])
def test_equal_scores_flag_nobody(num_rows):
    """Rounding alone tells the scores apart: the range has no width, and must not be taken at its word."""
    vector = np.random.default_rng(num_rows).normal(size=256)
    kept = ["ok" if num_rows > 3 else "too_few_to_judge"] * num_rows
    assert reasons(clean("a" * num_rows, np.tile(vector, (num_rows, 1)))) == kept
    around = angles(*np.linspace(0, 360, num_rows, endpoint=False))
    assert reasons(clean("a" * num_rows, around)) == kept


def test_an_incoherent_speaker_drops_all_its_utterances():
    cleaned = clean("abbaa", angles(0, 0, 1, 90, 45), min_speaker_similarity=0.6)
    assert told(cleaned, "speaker") == {"a": ("drop", "incoherent_speaker"), "b": ("keep", "ok")}
    assert list(told(cleaned, "utterance").values()) == [
        ("drop", "invalid_speaker"),
        ("keep", "too_few_to_judge"),
        ("keep", "too_few_to_judge"),
        ("drop", "invalid_speaker"),
        ("drop", "invalid_speaker"),
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdé"), max_size=40), seeds, st.floats(0.1, 3), st.floats(-1, 1))
def test_every_utterance_and_every_speaker_has_a_verdict_in_order(speakers, seed, iqr_factor, min_speaker_similarity):
    vectors = np.random.default_rng(seed).normal(size=(len(speakers), 4))
    cleaned = clean(speakers, vectors, iqr_factor=iqr_factor, min_speaker_similarity=min_speaker_similarity)
    assert list(told(cleaned, "utterance")) == table(speakers)["utterance_id"].to_pylist()
    assert list(told(cleaned, "speaker")) == sorted(set(speakers)) == cleaned.speaker_scores["speaker_id"].to_pylist()
    assert len(cleaned.decisions) == len(speakers) + len(set(speakers))
    assert cleaned.utterance_scores["speaker_id"].to_pylist() == speakers
    schemas = (DECISIONS, cleaned.decisions), (SPEAKER_SCORES, cleaned.speaker_scores)
    for schema, rows in (*schemas, (UTTERANCE_SCORES, cleaned.utterance_scores)):
        assert conform(schema, rows).num_rows == rows.num_rows


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), seeds, st.sampled_from([0.5, 1.5, 3.0]))
def test_the_verdicts_are_those_of_the_printed_rule_whether_it_divides_by_n_or_by_n_less_one(speakers, seed, factor):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(speakers), 8)) + 3 * rng.normal(size=8)
    cleaned = clean(speakers, vectors, iqr_factor=factor)
    printed = by_matrix(vectors, speakers, factor, divisor=lambda n: n)
    measured = np.nan_to_num(cleaned.utterance_scores["average_similarity"].to_numpy())  # null for a lone utterance
    np.testing.assert_allclose(measured, printed[:, 0], atol=1e-6)
    for rows in (printed, by_matrix(vectors, speakers, factor, divisor=lambda n: n - 1)):
        expected, unsure = verdicts_of(rows, speakers)
        flagged = np.array([reason.endswith("_range") for reason in reasons(cleaned)])
        expected = np.array([reason.endswith("_range") for reason in expected])
        assert flagged[~unsure].tolist() == expected[~unsure].tolist()


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), seeds)
def test_the_order_of_the_rows_does_not_matter(speakers, seed):
    rng = np.random.default_rng(seed)
    vectors, order = rng.normal(size=(len(speakers), 8)), rng.permutation(len(speakers))
    one, other = clean(speakers, vectors), clean(np.array(speakers)[order].tolist(), vectors[order])
    assert np.array(reasons(one))[order].tolist() == reasons(other)
    assert told(one, "speaker") == told(other, "speaker")


def by_percentile(scores, speaker, num_speakers):
    """(2, S) as numpy finds them, speaker by speaker."""
    mine = [scores[speaker == s] for s in range(num_speakers)]
    return np.stack([np.percentile(one, [25, 75]) if len(one) else (np.nan, np.nan) for one in mine], axis=1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.one_of(st.floats(-1, 1), st.sampled_from([0.25, -0.5]))), max_size=60),
    st.floats(0, 4),
)
def test_quartiles_and_ranges_are_those_of_numpy_to_the_last_bit(rows, iqr_factor):
    speaker = np.array([s for s, _ in rows], dtype=np.int64)
    scores = np.array([score for _, score in rows])
    first, third = by_percentile(scores, speaker, 5)
    np.testing.assert_array_equal(quartiles(scores, speaker, 5), [first, third])
    expected = first - iqr_factor * (third - first), third + iqr_factor * (third - first)
    np.testing.assert_array_equal(valid_ranges(scores, speaker, 5, iqr_factor=iqr_factor), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 50, 511, 512, 513, 2000])
@pytest.mark.parametrize("kind", ["random", "ascending", "descending", "equal", "two values", "few values"])
def test_quartiles_are_those_of_numpy_however_the_scores_lie(size, kind):
    rng = np.random.default_rng(size)
    scores = {
        "random": rng.normal(size=size),
        "ascending": np.arange(size) / 7,
        "descending": -np.arange(size) / 7,
        "equal": np.full(size, 0.3),
        "two values": rng.choice([0.1, 0.7], size),
        "few values": rng.integers(5, size=size) / 3,
    }[kind]
    speaker = np.zeros(size, np.int64)
    np.testing.assert_array_equal(quartiles(scores, speaker, 1), by_percentile(scores, speaker, 1))


def test_flags_of_many_scores_are_those_of_numpy():
    rng = np.random.default_rng(8)
    scores, speaker = rng.standard_t(3, size=20_000), rng.integers(400, size=20_000)
    lower, upper = valid_ranges(scores, speaker, 400)
    first, third = by_percentile(scores, speaker, 400)
    flagged = (scores < lower[speaker]) | (scores > upper[speaker])
    spread = 1.5 * (third - first)
    assert flagged.tolist() == ((scores < (first - spread)[speaker]) | (scores > (third + spread)[speaker])).tolist()
    assert 100 < flagged.sum() < 4000


@pytest.mark.parametrize("size", [1, 2, 5, 600])
def test_a_speaker_with_a_score_that_is_not_known_has_no_range(size):
    scores = np.append(np.linspace(0, 1, size), [0.5, 0.5])
    speaker = np.append(np.zeros(size, np.int64), [2, 2])
    scores[size // 2] = np.nan
    np.testing.assert_array_equal(quartiles(scores, speaker, 3), [[np.nan, np.nan, 0.5]] * 2)


@pytest.mark.real
def test_a_recording_of_somebody_else_is_found_in_real_speech(corpora, librispeech):
    """Ten utterances each of four readers; one of each is filed under the next reader. Thresholds are GE2E's."""
    from curate.hearing import Ge2e
    from models.extractors import extractor

    readers = sorted((corpora / "LibriSpeech/test-other").iterdir())[:4]
    files = [file for reader in readers for file in sorted(reader.rglob("*.flac"))]
    speakers = [file.parts[-3] for file in files]
    planted = [10 * i + 4 for i in range(4)]
    for i in planted:
        speakers[i] = readers[(i // 10 + 1) % 4].name
    cleaned = clean(speakers, librispeech.of(files), min_speaker_similarity=extractor(Ge2e()).min_one_person)
    assert {verdict for verdict, _ in told(cleaned, "speaker").values()} == {"keep"}
    flagged = np.flatnonzero(np.array(reasons(cleaned)) == "below_range").tolist()
    assert set(planted) <= set(flagged)
    assert len(flagged) <= len(planted) + 2
