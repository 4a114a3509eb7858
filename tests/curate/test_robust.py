"""The robust rule as a whole: verdicts on utterances and speakers."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.decisions import Author
from curate.outliers import Cleaned
from curate.presets import Robust
from curate.reasons import Reason, Subject, Verdict
from curate.robust import MAX_BY_CHANCE, clean_robust
from curate.schema import DECISIONS, SPEAKER_SCORES, UTTERANCE_SCORES
from curate.similarity import Indices, Vectors
from tests.curate.test_mislabelled import planted, voices

AUTHOR = Author(rule="robust, heard by toy", step="clean", run_id="c1ea0")


def table(labels: Indices, sessions: list[str | None] | None = None) -> pa.Table:
    """Utterances in the order of their ids."""
    return pa.table(
        {
            "utterance_id": [f"toy/{i:05d}" for i in range(len(labels))],
            "speaker_id": pa.array([f"toy/s{label:03d}" for label in labels], pa.string()),
            "session_id": pa.array(sessions or [None] * len(labels), pa.string()),
        }
    )


def judged(vectors: Vectors, labels: Indices, **changed: Any) -> Cleaned:
    """By the robust rule, with these settings changed."""
    return clean_robust(table(labels), vectors, settings=Robust(**changed), author=AUTHOR)


def verdicts_of(found: Cleaned, subject: Subject) -> dict[str, tuple[str, str, str | None]]:
    """Verdict, reason and other id by id."""
    rows = [row for row in found.decisions.to_pylist() if row["subject"] == subject]
    return {row["subject_id"]: (row["verdict"], row["reason"], row["other_id"]) for row in rows}


def test_a_wrong_label_is_dropped_and_names_the_likelier_speaker():
    vectors, speaker = voices(20, 15)
    labels = planted(speaker, 0.1)
    of_utterance = verdicts_of(judged(vectors, labels), Subject.UTTERANCE)
    for i, (label, true) in enumerate(zip(labels, speaker, strict=True)):
        wrong = (Verdict.DROP, Reason.WRONG_SPEAKER, f"toy/s{true:03d}")
        assert of_utterance[f"toy/{i:05d}"] == ((Verdict.KEEP, Reason.OK, None) if label == true else wrong)


def test_a_stranger_is_dropped_and_names_nobody():
    vectors, speaker = voices(20, 15)
    vectors[7] = voices(1, 1, seed=77)[0][0]
    of_utterance = verdicts_of(judged(vectors, speaker), Subject.UTTERANCE)
    assert of_utterance.pop("toy/00007") == (Verdict.DROP, Reason.UNLIKE_SPEAKER, None)
    assert set(of_utterance.values()) == {(Verdict.KEEP, Reason.OK, None)}


def test_two_people_half_and_half_are_nobody():
    vectors, speaker = voices(21, 20)
    labels = speaker.copy()
    labels[speaker == 20] = 4  # as many as speaker 4 has
    found = judged(vectors, labels)
    of_speaker, of_utterance = (verdicts_of(found, subject) for subject in (Subject.SPEAKER, Subject.UTTERANCE))
    assert of_speaker.pop("toy/s004") == (Verdict.DROP, Reason.MIXED_SPEAKER, None)
    assert set(of_speaker.values()) == {(Verdict.KEEP, Reason.OK, None)}
    out = {f"toy/{i:05d}" for i in np.flatnonzero(labels == 4)}
    assert {id_ for id_, (verdict, *_) in of_utterance.items() if verdict == Verdict.DROP} == out
    assert (
        dict(zip(*(found.speaker_scores[c].to_pylist() for c in ("speaker_id", "num_people")), strict=True))["toy/s004"]
        == 2
    )


def test_the_main_person_of_a_mixed_label_keeps_it():
    vectors, speaker = voices(21, 20)
    keep = (speaker != 20) | (np.arange(len(speaker)) >= len(speaker) - 5)  # five utterances of the last person
    vectors, labels = vectors[keep], np.where(speaker == 20, 4, speaker)[keep]
    found = judged(vectors, labels)
    assert verdicts_of(found, Subject.SPEAKER)["toy/s004"] == (Verdict.KEEP, Reason.MIXED_SPEAKER, None)
    of_utterance = verdicts_of(found, Subject.UTTERANCE)
    reasons = [of_utterance[f"toy/{i:05d}"][:2] for i in range(len(labels) - 5, len(labels))]
    assert {verdict for verdict, _ in reasons} == {Verdict.DROP}
    assert sum(verdict == Verdict.DROP for verdict, *_ in of_utterance.values()) == 5


@pytest.mark.parametrize(("guests", "is_mixed"), [((7, 7, 7), True), ((7, 7), True), ((5, 6, 7), False)])
def test_a_label_with_several_utterances_of_one_other_label_is_told_as_mixed(guests, is_mixed):
    vectors, speaker = voices(20, 15)
    labels = speaker.copy()
    for place, guest in enumerate(guests):
        labels[np.flatnonzero(speaker == guest)[place]] = 4
    found = judged(vectors, labels)
    reason = Reason.MIXED_SPEAKER if is_mixed else Reason.OK
    assert verdicts_of(found, Subject.SPEAKER)["toy/s004"] == (Verdict.KEEP, reason, None)
    of_utterance = verdicts_of(found, Subject.UTTERANCE)
    assert sum(reason == Reason.WRONG_SPEAKER for _, reason, _ in of_utterance.values()) == len(guests)


def test_a_label_of_strangers_is_nobodys():
    vectors, speaker = voices(20, 15)
    vectors[speaker == 6] = voices(15, 1, seed=5)[0]
    found = judged(vectors, speaker)
    verdict, reason, _ = verdicts_of(found, Subject.SPEAKER)["toy/s006"]
    assert verdict == Verdict.DROP
    assert reason in {Reason.INCOHERENT_SPEAKER, Reason.MIXED_SPEAKER}
    of_utterance = verdicts_of(found, Subject.UTTERANCE)
    assert all(of_utterance[f"toy/{i:05d}"][0] == Verdict.DROP for i in np.flatnonzero(speaker == 6))


def test_few_utterances_are_too_few_to_judge_and_kept():
    vectors, speaker = voices(20, 15)
    keep = (speaker != 3) | (np.cumsum(speaker == 3) <= 4)
    found = judged(vectors[keep], speaker[keep])
    assert verdicts_of(found, Subject.SPEAKER)["toy/s003"][:2] == (Verdict.KEEP, Reason.TOO_FEW_TO_JUDGE)
    counts = Counter(reason for _, reason, _ in verdicts_of(found, Subject.UTTERANCE).values())
    assert counts == {Reason.OK: 19 * 15, Reason.TOO_FEW_TO_JUDGE: 4}


def test_a_speaker_of_whom_too_little_is_left_is_dropped_with_the_rest():
    vectors, speaker = voices(20, 15)
    labels = speaker.copy()
    labels[np.flatnonzero(speaker == 2)[:6]] = np.arange(10, 16)
    found = judged(vectors, labels, min_utterances=10)
    assert verdicts_of(found, Subject.SPEAKER)["toy/s002"][:2] == (Verdict.DROP, Reason.TOO_FEW_LEFT)
    of_utterance = verdicts_of(found, Subject.UTTERANCE)
    assert {of_utterance[f"toy/{i:05d}"][1] for i in np.flatnonzero(labels == 2)} == {Reason.INVALID_SPEAKER}


def test_scores_say_what_was_measured():
    vectors, speaker = voices(20, 15)
    labels = planted(speaker, 0.1)
    found = judged(vectors, labels)
    rows = found.utterance_scores.to_pylist()
    wrong = int(np.flatnonzero(labels != speaker)[0])
    assert rows[wrong]["nearest_speaker_id"] == f"toy/s{speaker[wrong]:03d}"
    assert rows[wrong]["probability_wrong"] > 0.99
    others = [row for i, row in enumerate(rows) if labels[i] == speaker[i]]
    assert max(row["probability_wrong"] for row in others) < 0.5
    decided = {row["subject_id"]: row for row in found.decisions.to_pylist()}[rows[wrong]["utterance_id"]]
    assert decided["score"] == pytest.approx(rows[wrong]["own_cosine"] - rows[wrong]["nearest_cosine"])
    assert decided["score"] < decided["lower_bound"]


@pytest.mark.parametrize(("num_speakers", "each"), [(0, 0), (1, 1), (1, 30), (2, 3), (30, 1)])
def test_where_nothing_can_be_told_everything_is_kept(num_speakers, each):
    vectors, speaker = voices(num_speakers, each) if num_speakers else (np.zeros((0, 4), np.float32), np.zeros(0, int))
    found = judged(vectors, speaker)
    assert len(found.decisions) == num_speakers + num_speakers * each
    assert set(found.decisions["verdict"].to_pylist()) <= {Verdict.KEEP}
    assert found.utterance_scores.schema == UTTERANCE_SCORES.arrow()
    assert found.speaker_scores.schema == SPEAKER_SCORES.arrow()
    assert found.decisions.schema == DECISIONS.arrow()


def test_a_vector_without_direction_is_refused():
    vectors, speaker = voices(3, 10)
    vectors[4] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        judged(vectors, speaker)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(seed):
    vectors, speaker = voices(10, 12, seed=seed, spread=0.15)
    labels = planted(speaker, 0.2, seed=seed)
    rows, order = table(labels), np.random.default_rng(seed).permutation(len(labels))
    one = clean_robust(rows, vectors, settings=Robust(), author=AUTHOR)
    two = clean_robust(rows.take(order), vectors[order], settings=Robust(), author=AUTHOR)
    assert verdicts_of(one, Subject.UTTERANCE) == verdicts_of(two, Subject.UTTERANCE)
    assert verdicts_of(one, Subject.SPEAKER) == verdicts_of(two, Subject.SPEAKER)


def planted_under_others(heard, share: float, seed: int) -> tuple[Cleaned, set[str]]:
    """Real utterances judged with as many of them under a label of somebody else, evenly drawn; and which those are."""
    names, speaker = np.unique(heard.speaker, return_inverse=True)
    labels = planted(speaker, share, seed=seed)
    sessions = [
        None if session is None else f"{names[label]}/{session}"
        for label, session in zip(labels, heard.session, strict=True)
    ]
    found = clean_robust(table(labels, sessions), heard.vectors, settings=Robust(), author=AUTHOR)
    return found, {f"toy/{i:05d}" for i in np.flatnonzero(labels != speaker)}


def dropped_from(found: Cleaned) -> set[str]:
    """The ids of utterances."""
    return {id_ for id_, (verdict, *_) in verdicts_of(found, Subject.UTTERANCE).items() if verdict == Verdict.DROP}


@pytest.mark.real
@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_wrong_labels_of_read_speech_are_found_and_nothing_else(share, librispeech):
    for seed in range(5):
        found, wrong = planted_under_others(librispeech, share, seed)
        dropped = dropped_from(found)
        assert len(dropped & wrong) >= 0.98 * len(wrong), (seed, wrong - dropped)
        assert len(dropped & wrong) >= 0.98 * len(dropped), (seed, dropped - wrong)


@pytest.mark.real
@pytest.mark.parametrize(("share", "least"), [(0.1, 0.80), (0.3, 0.88)])
def test_wrong_labels_of_acted_speech_are_found_better_than_by_a_classifier_of_all_vectors(share, least, emodb):
    scores = []
    for seed in range(5):
        found, wrong = planted_under_others(emodb, share, seed)
        dropped = dropped_from(found)
        scores.append(2 * len(dropped & wrong) / (len(dropped) + len(wrong)))  # F1
    assert np.mean(scores) >= least, scores


@pytest.mark.real
def test_hardly_anything_is_dropped_of_acted_speech_where_nothing_is_wrong(emodb):
    found, _ = planted_under_others(emodb, 0.0, 0)
    assert len(dropped_from(found)) <= 0.02 * len(emodb.speaker)


@pytest.mark.parametrize("num_wrong", [6, 9, 10, 11, 12])
def test_a_label_of_mostly_or_only_wrong_utterances_is_not_kept(num_wrong):
    vectors, speaker = voices(40, 12)
    rng = np.random.default_rng(3)
    for row in range(num_wrong):  # of label 0, each by another person
        other = vectors[12 * (row + 1)] + rng.normal(size=vectors.shape[1]).astype(np.float32) * 0.01
        vectors[row] = other / np.linalg.norm(other)
    of_utterance = verdicts_of(judged(vectors, speaker), Subject.UTTERANCE)
    assert {of_utterance[f"toy/{row:05d}"][0] for row in range(num_wrong)} == {Verdict.DROP}
    assert {verdict for id_, (verdict, *_) in of_utterance.items() if id_ >= "toy/00012"} == {Verdict.KEEP}


def test_an_invalid_speaker_takes_its_few_utterances_along():
    vectors, speaker = voices(30, 3)
    found = judged(vectors, speaker, min_utterances=5)
    assert {one[:2] for one in verdicts_of(found, Subject.SPEAKER).values()} == {(Verdict.DROP, Reason.TOO_FEW_LEFT)}
    of_utterance = verdicts_of(found, Subject.UTTERANCE).values()
    assert {one[:2] for one in of_utterance} == {(Verdict.DROP, Reason.INVALID_SPEAKER)}


def test_no_score_of_an_utterance_is_held_against_a_bound_that_did_not_decide():
    vectors, speaker = voices(21, 20)
    labels = np.where(speaker == 20, 4, speaker)
    for row in judged(vectors, labels).decisions.to_pylist():
        if row["subject"] == Subject.UTTERANCE and row["lower_bound"] is not None:
            assert (row["score"] < row["lower_bound"]) == (row["verdict"] == Verdict.DROP)


def test_the_order_of_rows_does_not_matter_where_the_first_dimensions_are_dead():
    vectors, speaker = voices(20, 14, spread=0.15)
    vectors[:, :2] = 0.0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = speaker.copy()
    labels[(speaker < 6) & (np.arange(len(speaker)) % 2 == 0)] += 1
    rows, order = table(labels), np.random.default_rng(0).permutation(len(labels))
    one = clean_robust(rows, vectors, settings=Robust(), author=AUTHOR)
    two = clean_robust(rows.take(order), vectors[order], settings=Robust(), author=AUTHOR)
    for subject in (Subject.SPEAKER, Subject.UTTERANCE):
        assert verdicts_of(one, subject) == verdicts_of(two, subject)


# ------------------------------------------------------------------------------------------------ moved, not dropped


def moved_in(found: Cleaned) -> dict[str, str]:
    """The label that each moved utterance goes to."""
    of_utterance = verdicts_of(found, Subject.UTTERANCE)
    return {id_: other for id_, (verdict, _, other) in of_utterance.items() if verdict == Verdict.RELABEL and other}


def both_ways(vectors: Vectors, labels: Indices, **changed: Any) -> tuple[Cleaned, Cleaned]:
    """The same judged by dropping and by moving; they differ in nothing but that some are moved instead of dropped."""
    drop, move = (judged(vectors, labels, wrong_speaker=how, **changed) for how in ("drop", "relabel"))
    assert drop.utterance_scores.equals(move.utterance_scores)
    assert drop.speaker_scores.equals(move.speaker_scores)
    moved = moved_in(move)
    as_dropped = [
        row | ({"verdict": "drop"} if row["subject"] == "utterance" and row["subject_id"] in moved else {})
        for row in move.decisions.to_pylist()
    ]
    assert as_dropped == drop.decisions.to_pylist()
    assert {row["reason"] for row in move.decisions.to_pylist() if row["verdict"] == "relabel"} <= {"wrong_speaker"}
    of_speaker = {verdicts_of(move, Subject.SPEAKER)[label][:2] for label in moved.values()}
    assert of_speaker <= {(Verdict.KEEP, Reason.OK), (Verdict.KEEP, Reason.MIXED_SPEAKER)}
    return drop, move


def test_wrong_labels_are_dropped_unless_moving_is_asked_for():
    vectors, speaker = voices(20, 15)
    labels = planted(speaker, 0.1)
    assert not moved_in(judged(vectors, labels))
    _, move = both_ways(vectors, labels)
    wrong = {f"toy/{i:05d}": f"toy/s{true:03d}" for i, true in enumerate(speaker) if labels[i] != true}
    assert moved_in(move).items() <= wrong.items()
    assert len(moved_in(move)) > 0.9 * len(wrong)


def test_what_moves_stands_out_as_few_would_that_have_no_label():
    vectors, speaker = voices(12, 14, spread=0.16, seed=2)
    labels = planted(speaker, 0.2, seed=2)
    _, move = both_ways(vectors, labels)
    moved, of_utterance = moved_in(move), verdicts_of(move, Subject.UTTERANCE)
    stays = np.array([of_utterance[f"toy/{i:05d}"][0] == Verdict.KEEP for i in range(len(labels))])
    towards = np.array([vectors[stays & (labels == label)].sum(axis=0, dtype=np.float64) for label in range(12)])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    leads = []
    for i in np.flatnonzero(stays):
        nearest, second = sorted((vectors[i] @ towards[k] for k in range(12) if k != labels[i]), reverse=True)[:2]
        leads.append(nearest - second)
    told = Counter[bool]()
    for i in range(len(labels)):
        _, reason, other = of_utterance[f"toy/{i:05d}"]
        if reason != Reason.WRONG_SPEAKER:
            continue
        to = int(other.removeprefix("toy/s"))
        lead = vectors[i] @ towards[to] - max(vectors[i] @ towards[k] for k in range(12) if k != to)
        share = (sum(one >= lead for one in leads) + 1) / (len(leads) + 1)
        assert (f"toy/{i:05d}" in moved) == (share < MAX_BY_CHANCE)
        told[share < MAX_BY_CHANCE] += 1
    assert min(told[True], told[False]) > 3


def test_nothing_moves_to_a_label_that_is_dropped():
    vectors, speaker = voices(21, 20)
    keep = (speaker != 20) | (np.arange(len(speaker)) >= len(speaker) - 12)
    vectors, speaker = vectors[keep], speaker[keep]
    labels = np.where(speaker == 20, 4, speaker)  # of label 4 its own person has less than two thirds
    away = np.flatnonzero(speaker == 4)[:3]
    labels[away] = [7, 8, 9]
    _, move = both_ways(vectors, labels)
    assert verdicts_of(move, Subject.SPEAKER)["toy/s004"] == (Verdict.DROP, Reason.MIXED_SPEAKER, None)
    of_utterance = verdicts_of(move, Subject.UTTERANCE)
    assert {of_utterance[f"toy/{i:05d}"] for i in away} == {(Verdict.DROP, Reason.WRONG_SPEAKER, "toy/s004")}
    _, move = both_ways(vectors, labels, min_main_share=0.5)
    assert moved_in(move) == {f"toy/{i:05d}": "toy/s004" for i in away}


def test_nothing_moves_to_a_label_of_which_too_little_came_with_it():
    vectors, speaker = voices(20, 15)
    labels = speaker.copy()
    labels[np.flatnonzero(speaker == 2)[:6]] = np.arange(10, 16)
    _, move = both_ways(vectors, labels, min_utterances=10)  # the six would make it enough
    assert verdicts_of(move, Subject.SPEAKER)["toy/s002"][1] == Reason.TOO_FEW_LEFT
    assert not moved_in(move)
    _, move = both_ways(vectors, labels, min_utterances=9)
    assert set(moved_in(move).values()) == {"toy/s002"}
    assert len(moved_in(move)) == 6


def test_nothing_moves_to_a_label_that_is_too_small_to_judge():
    vectors, speaker = voices(20, 15)
    keep = (speaker != 3) | (np.cumsum(speaker == 3) <= 6)
    vectors, speaker = vectors[keep], speaker[keep]
    labels = speaker.copy()
    labels[np.flatnonzero(speaker == 3)[:2]] = [8, 9]
    _, move = both_ways(vectors, labels)
    of_utterance = verdicts_of(move, Subject.UTTERANCE)
    for i in np.flatnonzero(speaker == 3)[:2]:
        assert of_utterance[f"toy/{i:05d}"] == (Verdict.DROP, Reason.WRONG_SPEAKER, "toy/s003")


def test_who_has_no_label_moves_nowhere():
    vectors, speaker = voices(21, 15, spread=0.12)
    labels = np.where(speaker == 20, np.arange(len(speaker)) % 20, speaker)
    _, move = both_ways(vectors, labels)
    strangers = {f"toy/{i:05d}" for i in np.flatnonzero(speaker == 20)}
    assert len(strangers & moved_in(move).keys()) <= 1
    assert not moved_in(move).keys() - strangers


def test_a_part_of_a_mixed_label_moves_to_the_label_of_its_person():
    vectors, speaker = voices(20, 20)
    labels = speaker.copy()
    labels[np.flatnonzero(speaker == 9)[:7]] = 4
    _, move = both_ways(vectors, labels)
    assert set(moved_in(move)) == {f"toy/{i:05d}" for i in np.flatnonzero(labels != speaker)}
    assert set(moved_in(move).values()) == {"toy/s009"}


@pytest.mark.parametrize(("num_speakers", "each"), [(0, 0), (1, 30), (2, 40), (30, 3)])
def test_where_nothing_tells_how_far_one_leads_by_chance_nothing_moves(num_speakers, each):
    vectors, speaker = voices(num_speakers, each) if num_speakers else (np.zeros((0, 4), np.float32), np.zeros(0, int))
    labels = planted(speaker, 0.1) if num_speakers > 1 else speaker
    _, move = both_ways(vectors, labels)
    assert not moved_in(move)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_who_moves_does_not_depend_on_the_order_of_rows(seed):
    vectors, speaker = voices(10, 14, seed=seed, spread=0.15)
    labels = planted(speaker, 0.2, seed=seed)
    _, one = both_ways(vectors, labels)
    rows, order = table(labels), np.random.default_rng(seed).permutation(len(labels))
    two = clean_robust(rows.take(order), vectors[order], settings=Robust(wrong_speaker="relabel"), author=AUTHOR)
    assert moved_in(one) == moved_in(two)


@pytest.mark.real
@pytest.mark.parametrize("corpus", ["librispeech", "emodb"])
def test_real_utterances_move_to_who_is_heard(corpus, request):
    heard = request.getfixturevalue(corpus)
    speaker = np.unique(heard.speaker, return_inverse=True)[1]
    truth = {f"toy/{i:05d}": f"toy/s{true:03d}" for i, true in enumerate(speaker)}
    right, moved = 0, 0
    for share in (0.0, 0.1, 0.3):
        _, move = both_ways(heard.vectors, planted(speaker, share, seed=1))
        right += sum(truth[id_] == label for id_, label in moved_in(move).items())
        moved += len(moved_in(move))
    assert moved > 20
    assert right >= 0.98 * moved, (right, moved)
