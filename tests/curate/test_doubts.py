"""What `doubts` promises: every subject once, under the verdict that settled it, those near their bounds first."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.catalog import Catalog, rows_of
from curate.doubts import DOUBTS, as_measured, doubt, doubts, most_doubtful_first, settling
from curate.errors import CatalogError
from curate.schema import CALIBRATIONS, DECISIONS, IDENTITIES, RUNS, SPEAKER_PAIRS, UTTERANCE_SCORES, UTTERANCES

T0 = datetime(2026, 1, 2, tzinfo=UTC)
LABELS = {"a/1": "c/a", "a/2": "c/a", "b/1": "c/b", "f/1": "d/f", "g/1": "d/g"}
MADS = 1.4826


def ruled(subject, one, verdict, reason, *bounds, step="clean", other=None):
    """One decision; `bounds` are the score, the lower and the upper one."""
    score, lower, upper = (*bounds, None, None, None)[:3]
    common = {"decided_by": "a rule", "run_id": "0", "step": step, "verdict": verdict, "reason": reason}
    ids = {"subject": subject, "subject_id": one, "other_id": other}
    return common | ids | {"score": score, "lower_bound": lower, "upper_bound": upper}


def compared(settings, finished_at=T0):
    """A row of runs on the step that compares labels."""
    told = {
        "num_rows": 0,
        "summary": "",
        "versions": "{}",
        "fingerprint": "f",
        "part": "all",
        "finished_at": finished_at,
    }
    return told | {"run_id": f"{finished_at}", "step": "identities", "settings": json.dumps(settings)}


@pytest.fixture
def catalog(tmp_path):
    catalog = Catalog(tmp_path)
    for corpus in ("c", "d"):
        rows = [
            {"utterance_id": one, "corpus": corpus, "speaker_id": label, "path": "x.wav", "start_s": 0.0}
            for one, label in LABELS.items()
            if label.startswith(corpus)
        ]
        catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part=corpus, fingerprint="f")
    return catalog


def publish(catalog, table, rows, part="all"):
    catalog.publish(table, rows_of(table, rows), part=part, fingerprint="f")


def pairs(*rows):
    return [{"speaker_id": one, "other_id": other, "similarity": cosine} for one, other, cosine in rows]


def calibrated(**thresholds):
    numbers = ("threshold_lower", "threshold_upper", "wanted_rate", "rate", "rate_lower", "rate_upper")
    same = dict.fromkeys(numbers, 0.0) | {"num_people": 9, "num_pairs": 9, "is_told_apart": True}
    return [same | {"corpus": one, "told_by": one, "threshold": value} for one, value in thresholds.items()]


# ----------------------------------------------------------------------------------------------------- how doubtful


def test_doubt_worked_by_hand():
    """Of 0, 1, 2, 3 and 10 the median is 2, and the median distance from it 1."""
    found = doubt(np.array([0, 1, 2, 3, 10.0]), np.full(5, 1.0), np.full(5, np.nan))
    assert found == pytest.approx([math.exp(-d / MADS) for d in (1, 0, 1, 2, 9)], abs=1e-15)


def test_the_nearer_of_two_bounds_counts():
    score = np.array([0, 1, 2, 3, 10.0])
    found = doubt(score, np.array([-4, -4, -4, np.nan, -4]), np.array([6, 6, 1.5, 5, np.nan]))
    assert found == pytest.approx([math.exp(-d / MADS) for d in (4, 5, 0.5, 2, 14)], abs=1e-15)


def test_few_scores_and_equal_ones_are_counted_in_their_median_distance():
    nothing = np.full(4, np.nan)
    assert doubt(np.array([1, 2, 3, 7.0]), np.zeros(4), nothing) == pytest.approx(np.exp([-0.4, -0.8, -1.2, -2.8]))
    score, bound = np.array([2, 2, 2, 2, 9.0]), np.full(5, 1.0)
    assert doubt(score, bound, np.full(5, np.nan)) == pytest.approx(np.exp([-1, -1, -1, -1, -8]))
    assert doubt(np.array([0.7, 0.7, 0.7, 0.9]), np.full(4, 0.7), nothing).tolist() == [1, 1, 1, 0]


def test_what_was_not_measured_or_held_against_nothing_is_in_no_doubt_and_does_not_count_for_others():
    score = np.array([0, 1, 2, 3, 10, np.nan, -np.inf, 500, 500])
    lower = np.array([1, 1, 1, 1, 1, 1, 1, np.nan, -np.inf])
    found = doubt(score, lower, np.full(9, np.nan))
    assert found == pytest.approx([math.exp(-d / MADS) for d in (1, 0, 1, 2, 9)] + [0] * 4, abs=1e-15)
    assert doubt(np.array([]), np.array([]), np.array([])).tolist() == []


numbers = st.floats(-1e3, 1e3) | st.just(math.nan)


@given(st.lists(st.tuples(numbers, numbers, numbers), max_size=12), st.floats(0.01, 100), st.floats(-5, 5))
def test_doubt_does_not_know_the_unit_of_a_score(rows, unit, origin):
    score, lower, upper = np.array(rows).reshape(-1, 3).T.round(3)
    found = doubt(score, lower, upper)
    assert ((found >= 0) & (found <= 1)).all()
    assert doubt(*(unit * values + origin for values in (score, lower, upper))) == pytest.approx(found, abs=1e-6)


# ------------------------------------------------------------------------------------------------------ what is there


def test_a_catalog_by_hand(catalog):
    """Of no scale are there enough scores to tell their spread; binary fractions make equal doubts equal."""
    ingest = [
        ruled("utterance", "g/1", "drop", "too_short", 0.2, 0.5, 60.0, step="ingest"),
        ruled("utterance", "a/1", "keep", "age_conflict", 9.0, step="ingest"),
    ]
    clean = [
        ruled("speaker", "c/a", "keep", "ok", 0.75, 0.5),
        ruled("speaker", "d/f", "drop", "mixed_speaker", 0.375, 0.5),
        ruled("utterance", "a/1", "keep", "ok", 0.25, -0.125),
        ruled("utterance", "a/2", "relabel", "wrong_speaker", -0.25, -0.125, other="c/b"),
        ruled("utterance", "b/1", "keep", "too_few_to_judge", 0.1, 0.1, 0.1),
        ruled("utterance", "f/1", "drop", "invalid_speaker", 0.0, 0.0, 0.0),
    ]
    people = [
        ruled("pair", "c/a", "merge", "same_person", 1.0, 0.75, step="identities", other="c/b"),
        ruled("pair", "c/b", "keep", "too_few_to_judge", 0.8125, 0.75, step="identities", other="d/f"),
    ]
    reviews = [ruled("utterance", "a/2", "keep", "reviewed", step="review")]
    for part, rows in {"ingest-c": ingest, "clean": clean, "identities": people, "review": reviews}.items():
        publish(catalog, DECISIONS, rows, part)
    near = pairs(("c/a", "c/b", 1.0), ("c/a", "d/f", 0.625), ("d/f", "d/g", 0.4375), ("c/b", "d/f", 0.8125))
    publish(catalog, SPEAKER_PAIRS, near)
    publish(catalog, CALIBRATIONS, calibrated(c=0.5, d=0.75))
    found = doubts(catalog)
    assert found.schema.equals(DOUBTS)
    names = [*DOUBTS.names[:8], "lower_bound", "doubt"]
    # medians of distances: 1/4 of utterances, 3/16 of speakers and of pairs
    assert [tuple(row[name] for name in names) for row in found.to_pylist()] == [
        ("pair", "c/b", "d/f", "c/b", "c", "d", "keep", "too_few_to_judge", 0.75, pytest.approx(math.exp(-1 / 3))),
        (
            "utterance",
            "a/2",
            "c/b",
            "c/a",
            "c",
            None,
            "relabel",
            "wrong_speaker",
            -0.125,
            pytest.approx(math.exp(-0.5)),
        ),
        ("pair", "c/a", "d/f", "c/a", "c", "d", "keep", None, 0.75, pytest.approx(math.exp(-2 / 3))),
        ("speaker", "d/f", None, "d/f", "d", None, "drop", "mixed_speaker", 0.5, pytest.approx(math.exp(-2 / 3))),
        ("pair", "c/a", "c/b", "c/a", "c", "c", "merge", "same_person", 0.75, pytest.approx(math.exp(-4 / 3))),
        ("speaker", "c/a", None, "c/a", "c", None, "keep", "ok", 0.5, pytest.approx(math.exp(-4 / 3))),
        ("utterance", "a/1", None, "c/a", "c", None, "keep", "ok", -0.125, pytest.approx(math.exp(-1.5))),
        ("pair", "d/f", "d/g", "d/f", "d", "d", "keep", None, 0.75, pytest.approx(math.exp(-5 / 3))),
        ("utterance", "b/1", None, "c/b", "c", None, "keep", "too_few_to_judge", 0.1, 0),
        ("utterance", "f/1", None, "d/f", "d", None, "drop", "invalid_speaker", 0.0, 0),
        ("utterance", "g/1", None, "d/g", "d", None, "drop", "too_short", 0.5, 0),
    ]
    by_about = {row["about"]: row for row in found.to_pylist()}
    assert by_about["utterance\0a/2\0"]["step"] == "clean"
    near_miss = by_about["pair\0c/a\0d/f"]
    assert (near_miss["step"], near_miss["decided_by"], near_miss["score"]) == ("identities", None, 0.625)


def test_the_first_step_that_drops_or_relabels_settles_an_utterance_else_the_last_that_keeps(catalog):
    rows = [
        ruled("utterance", "a/1", "drop", "no_speech", step="embed"),
        ruled("utterance", "a/1", "keep", "age_conflict", 9.0, step="ingest"),
        ruled("utterance", "a/1", "drop", "unlike_speaker", 0.1, 0.2),
        ruled("utterance", "a/2", "keep", "ok", 0.3, 0.2),
        ruled("utterance", "a/2", "keep", "age_conflict", 9.0, step="ingest"),
        ruled("utterance", "b/1", "relabel", "wrong_speaker", 0.1, 0.2, other="c/a"),
        ruled("utterance", "b/1", "drop", "a rule of others", step="a step of others"),
    ]
    for turned in (rows, rows[::-1]):
        found = settling(rows_of(DECISIONS, turned)).sort_by("subject_id").to_pylist()
        assert [(row["subject_id"], row["step"]) for row in found] == [
            ("a/1", "embed"),
            ("a/2", "clean"),
            ("b/1", "clean"),
        ]


@pytest.mark.parametrize(
    ("settings", "threshold"),
    [
        ({"min_similarity": 0.8, "min_same_person": 0.82}, 0.8),
        ({"min_similarity": "vietsv", "min_same_person": 0.82}, 0.7),
        ({"min_similarity": "extractor", "min_same_person": 0.82}, 0.82),
        ({"min_similarity": "calibrated", "min_same_person": 0.82}, 0.82),  # of too few people
        ({"min_similarity": "calibrated", "min_same_person": None}, None),
        (None, None),
    ],
)
def test_where_nothing_was_calibrated_a_pair_is_held_against_the_threshold_of_the_last_run(
    catalog, settings, threshold
):
    publish(catalog, SPEAKER_PAIRS, pairs(("c/a", "d/f", 0.6)))
    publish(catalog, CALIBRATIONS, [])
    if settings:
        later = T0.replace(year=2027)
        publish(catalog, RUNS, [compared(settings, later), compared({"min_similarity": 0.1})])
    (row,) = doubts(catalog).to_pylist()
    assert (row["score"], row["lower_bound"]) == (0.6, threshold)
    assert row["doubt"] == pytest.approx(0.0 if threshold is None else math.exp(-1))


def test_a_kept_utterance_that_is_nearest_to_another_label_of_its_person_is_in_no_doubt(catalog):
    """f is a: what could be of either is of one person. Whom a rule dropped is doubted as ever."""
    rows = [ruled("utterance", one, "drop" if one == "a/2" else "keep", "ok", 0.5, 0.25) for one in LABELS]
    publish(catalog, DECISIONS, rows, "clean")
    nearest = {"a/1": "d/f", "a/2": "d/f", "b/1": "d/f", "f/1": "c/a", "g/1": None}
    scores = [{"utterance_id": one, "speaker_id": LABELS[one], "nearest_speaker_id": of} for one, of in nearest.items()]
    publish(catalog, UTTERANCE_SCORES, scores)
    assert doubts(catalog)["doubt"].to_pylist() == pytest.approx([math.exp(-1)] * 5)
    people = {"c/a": "c/a", "c/b": "c/b", "d/f": "c/a", "d/g": "d/g"}
    publish(catalog, IDENTITIES, [{"speaker_id": one, "identity_id": who} for one, who in people.items()])
    told = {row["subject_id"]: row["doubt"] for row in doubts(catalog).to_pylist()}
    assert [one for one, doubtful in told.items() if doubtful] == ["a/2", "b/1", "g/1"]


def test_tables_that_are_not_there_yet_are_empty_and_without_a_catalog_it_is_told(catalog, tmp_path):
    assert doubts(catalog).equals(DOUBTS.empty_table())
    publish(
        catalog, DECISIONS, [ruled("utterance", "a/1", "drop", "silent", -math.inf, -60.0, step="ingest")], "ingest-c"
    )
    assert [(row["subject_id"], row["doubt"]) for row in doubts(catalog).to_pylist()] == [("a/1", 0)]
    with pytest.raises(CatalogError, match="expected a catalog"):
        doubts(Catalog(tmp_path / "nowhere"))


# -------------------------------------------------------------------------------------------------- beside a plain loop


def by_a_loop(decisions):
    """Of each subject its row and doubt, in order, from plain rows."""
    steps = ["ingest", "embed", "duplicates", "clean", "identities"]
    follows = ("invalid_speaker", "another_person", "too_few_left", "too_few_to_judge")
    found = {}
    for row in decisions:
        if row["step"] == "review":
            continue
        key = (row["subject"], row["subject_id"], row["other_id"] if row["subject"] == "pair" else "")
        turn = steps.index(row["step"])
        rank = (1, -turn) if row["verdict"] == "keep" else (0, turn)
        if key not in found or rank < found[key][0]:
            found[key] = (rank, row)
    scales = {}
    for key, (_, row) in found.items():
        bounds = [row[name] for name in ("lower_bound", "upper_bound") if row[name] is not None]
        known = row["reason"] not in follows or row["subject"] == "pair"
        known &= key[:2] != ("utterance", "c") or row["verdict"] != "keep"  # is nearest to its own person
        if row["score"] is not None and bounds and known and row["step"] != "ingest":
            distance = min(abs(row["score"] - bound) for bound in bounds)
            scales.setdefault((row["subject"], row["step"]), {})[key] = (row["score"], distance)
    doubtful = dict.fromkeys(found, 0.0)
    for measured in scales.values():
        scores, distances = zip(*measured.values(), strict=True)
        middle = np.median(scores)
        spread = MADS * np.median([abs(score - middle) for score in scores]) if len(scores) >= 5 else 0
        spread = spread or np.median(distances)
        for key, (_, distance) in measured.items():
            doubtful[key] = math.exp(-distance / spread) if spread else float(distance == 0)
    return {key: (row, doubtful[key]) for key, (_, row) in found.items()}


SCORES = st.sampled_from([None, 0.0, 0.125, 0.25, 0.5, 0.75, 4.0])
THINGS = st.sampled_from(
    [(kind, one, None) for kind in ("utterance", "speaker") for one in "abcdefgh"]
    + [("pair", one, other) for one in "abc" for other in "def"]
)
SAID = st.sampled_from(
    [("keep", "ok"), ("drop", "invalid_speaker"), ("drop", "unlike_speaker"), ("relabel", "wrong_speaker")]
) | st.just(("keep", "too_few_to_judge"))
BY = st.sampled_from(["ingest", "embed", "duplicates", "clean", "identities", "review"])


@given(st.dictionaries(st.tuples(THINGS, BY), st.tuples(SAID, SCORES, SCORES, SCORES), max_size=40))
def test_every_subject_is_there_once_as_a_plain_loop_finds_it(made):
    rows = [
        ruled(subject, one, *said, *bounds, step=step, other=other)
        for ((subject, one, other), step), (said, *bounds) in made.items()
    ]
    nobody = rows_of(UTTERANCES, [])
    found = most_doubtful_first(settling(rows_of(DECISIONS, rows)), nobody, nobody, pa.array(["c"])).to_pylist()
    expected = by_a_loop(rows)
    keys = [(row["subject"], row["subject_id"], row["other_id"] or "") for row in found]
    assert sorted(keys) == sorted(expected)
    for key, row in zip(keys, found, strict=True):
        settled, doubtful = expected[key]
        assert {name: row[name] for name in ("verdict", "reason", "step", "score", "decided_by")} == {
            name: settled[name] for name in ("verdict", "reason", "step", "score", "decided_by")
        }
        assert row["doubt"] == pytest.approx(doubtful, abs=1e-12)
    order = [(-row["doubt"], key) for key, row in zip(keys, found, strict=True)]
    assert order == sorted(order)


def test_of_a_pair_that_a_reviewer_decided_on_stands_what_the_rule_would_say():
    """Below the bound it would not have spoken, from there on it would have merged; nothing measured is no row."""
    said = [
        ruled("pair", "c/a", "merge", "reviewed", 0.7, 0.75, step="identities", other="c/b"),
        ruled("pair", "c/a", "keep", "reviewed", 0.75, 0.75, step="identities", other="d/f"),
        ruled("pair", "c/b", "merge", "reviewed", None, 0.75, step="identities", other="d/f"),
        ruled("pair", "d/f", "keep", "sex_conflict", 0.8, 0.75, step="identities", other="d/g"),
    ]
    found = as_measured(rows_of(DECISIONS, said)).to_pylist()
    assert [
        (row["subject_id"], row["other_id"], row["verdict"], row["reason"], row["decided_by"]) for row in found
    ] == [
        ("c/a", "c/b", "keep", None, None),
        ("c/a", "d/f", "merge", "same_person", "a rule"),
        ("d/f", "d/g", "keep", "sex_conflict", "a rule"),
    ]
