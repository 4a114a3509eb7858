"""What counts as found, and how sure that is: worked by hand, and counted anew by plain loops."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.planting.account import Judged, account
from benchmarks.planting.faults import TRUTH, Fault, Planting
from benchmarks.planting.figures import draws, false_merges, figures, ratio, summed
from benchmarks.planting.labels import plant_labels
from benchmarks.planting.report import as_rows, as_text, outcome
from benchmarks.planting.sound import plant_sound
from curate.decisions import Author, verdicts
from curate.outliers import clean_vietsv
from curate.reasons import Subject, Verdict
from curate.schema import DECISIONS, IDENTITIES
from tests.benchmarks.plant_made import catalog, vectors_of

AUTHOR = Author(rule="rule", step="clean", run_id="0")
LABELS = ["c/a", "c/b", "c/c"]
SPOKEN = pa.table(
    {
        "utterance_id": ["c/a/1", "c/a/2", "c/a/3", "c/b/1", "c/b/2", "c/c/1"],
        "speaker_id": ["c/a", "c/a", "c/a", "c/b", "c/b", "c/c"],
    }
)


def truth(*rows: tuple[str, str, str, str]) -> pa.Table:
    """`(fault, utterance_id, speaker_id, true_speaker_id)`."""
    names = ("fault", "utterance_id", "speaker_id", "true_speaker_id")
    told = [dict(zip(names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(
        [{"kind": "", "original_id": row["utterance_id"], **row} for row in told], schema=TRUTH.arrow()
    )


def rows(verdict: Verdict, *ids: str, subject=Subject.UTTERANCE, reason="below_range", to: str | None = None):
    others = None if to is None else [to] * len(ids)
    return verdicts(AUTHOR, subject, list(ids), verdict=verdict, reason=reason, other_ids=others)


def judged(*decisions: pa.Table, **same: str) -> Judged:
    told = pa.concat_tables([DECISIONS.arrow().empty_table(), *decisions])
    identities = [{"speaker_id": f"c/{a}", "identity_id": f"c/{b}"} for a, b in same.items()]
    return Judged(decisions=told, identities=pa.Table.from_pylist(identities, schema=IDENTITIES.arrow()))


def told(table: pa.Table, planted: pa.Table, found: Judged, fault: Fault, **more):
    counts = account(table, planted, found, labels=LABELS, **more).faults[fault]
    return figures(counts, draws(len(LABELS), np.random.default_rng(0)))


def test_a_wrong_speaker_is_found_where_it_is_dropped_relabelled_or_its_label_dropped():
    planted = truth(*(("wrong_speaker", one, one[:3], "c/c") for one in ("c/a/1", "c/a/2", "c/b/1")))
    found = told(
        SPOKEN,
        planted,
        judged(
            rows(Verdict.DROP, "c/a/1", to="c/b"),
            rows(Verdict.DROP, "c/c/1"),
            rows(Verdict.RELABEL, "c/a/2", to="c/c"),
            rows(Verdict.KEEP, "c/b/1"),
            rows(Verdict.RELABEL, "c/a/3", to="c/b"),
        ),
        Fault.WRONG_SPEAKER,
    )
    assert (found.unit, found.planted, found.found, found.alarms, found.good) == ("utterance", 3, 2, 2, 3)
    assert (found.precision.value, found.recall.value, found.f1.value) == (
        0.5,
        pytest.approx(2 / 3),
        pytest.approx(4 / 7),
    )
    assert found.beside["true_speaker_named"][:2] == (1, 3)
    of_label = told(SPOKEN, planted, judged(rows(Verdict.DROP, "c/b", subject=Subject.SPEAKER)), Fault.WRONG_SPEAKER)
    assert (of_label.found, of_label.alarms) == (1, 1)  # c/b/1, and the good c/b/2


def test_a_drop_may_name_who_is_heard_as_well_and_another_label_of_the_same_person_is_right():
    planted = truth(("foreign_session", "c/a/1", "c/a", "c/b"))
    found = judged(rows(Verdict.RELABEL, "c/a/1", to="c/c"))
    assert told(SPOKEN, planted, found, Fault.FOREIGN_SESSION).beside["true_speaker_named"][:2] == (0, 1)
    same = told(SPOKEN, planted, found, Fault.FOREIGN_SESSION, person_of={"c/c": "c/b"})
    assert same.beside["true_speaker_named"][:2] == (1, 1)
    dropping = judged(rows(Verdict.DROP, "c/a/1", reason="wrong_speaker", to="c/b"))
    assert told(SPOKEN, planted, dropping, Fault.FOREIGN_SESSION).beside["true_speaker_named"][:2] == (1, 1)


def test_a_mixed_label_is_found_where_it_is_told_so_or_dropped_and_its_owner_is_no_false_alarm():
    planted = truth(("mixed", "c/a/1", "c/a", "c/c"), ("mixed", "c/b/1", "c/b", "c/c"))
    for decision in (
        rows(Verdict.DROP, "c/a", subject=Subject.SPEAKER),
        rows(Verdict.KEEP, "c/a", subject=Subject.SPEAKER, reason="mixed_speaker"),
    ):
        found = told(SPOKEN, planted, judged(decision), Fault.MIXED)
        assert (found.unit, found.planted, found.found, found.alarms, found.good) == ("label", 2, 1, 0, 1)
    taken = told(SPOKEN, planted, judged(rows(Verdict.DROP, "c/a/1", "c/b/2")), Fault.MIXED)
    assert taken.found == 0
    assert taken.beside["guests_taken"][:2] == (1, 2)
    assert taken.beside["owners_taken"][:2] == (1, 3)
    assert taken.beside["one_person_left"][:2] == (2, 2)  # whichever of them
    nothing = told(SPOKEN, planted, judged(), Fault.MIXED)
    assert nothing.beside["one_person_left"][:2] == (0, 2)
    alarm = told(SPOKEN, planted, judged(rows(Verdict.DROP, "c/c", subject=Subject.SPEAKER)), Fault.MIXED)
    assert (alarm.found, alarm.alarms) == (0, 1)


def test_a_label_with_a_foreign_session_may_be_told_as_mixed():
    planted = truth(("mixed", "c/a/1", "c/a", "c/c"), ("foreign_session", "c/b/1", "c/b", "c/c"))
    found = told(SPOKEN, planted, judged(rows(Verdict.DROP, "c/b", subject=Subject.SPEAKER)), Fault.MIXED)
    assert (found.found, found.alarms, found.good) == (0, 0, 1)


def test_a_split_is_found_where_both_labels_are_one_identity_and_two_people_merged_are_an_alarm():
    spoken = pa.table({"utterance_id": ["1", "2", "3", "4"], "speaker_id": ["c/a", "c/a-2", "c/b", "c/c"]})
    planted = truth(("split", "2", "c/a-2", "c/a"))
    found = account(spoken, planted, judged(**{"a": "a", "a-2": "a", "b": "a", "c": "c"}), labels=LABELS)
    counts = figures(found.faults[Fault.SPLIT], draws(3, np.random.default_rng(0)))
    assert (counts.unit, counts.planted, counts.found, counts.alarms) == ("pair", 1, 1, 2)  # b with both a and a-2
    num, pairs, rate = false_merges([found.merges], draws(3, np.random.default_rng(0)))
    assert (num, pairs, rate.value) == (2, 5, 0.4)  # of six pairs, one is of one person
    apart = account(spoken, planted, judged(**{"a": "a", "a-2": "a-2", "b": "b", "c": "c"}), labels=LABELS)
    assert apart.faults[Fault.SPLIT].found.sum() == 0
    assert len(apart.merges.false_pairs) == 0


def test_merging_labels_of_one_person_is_no_false_merge_nor_is_one_with_a_mixed_label():
    planted = truth(("mixed", "c/a/1", "c/a", "c/b"))
    merged = judged(a="a", b="a", c="a")
    found = account(SPOKEN, planted, merged, labels=LABELS)
    assert found.merges.false_pairs.tolist() == [[1, 2]]
    assert false_merges([found.merges], draws(3, np.random.default_rng(0)))[:2] == (1, 1)
    same = account(SPOKEN, planted, merged, labels=LABELS, person_of={"c/c": "c/b"})
    assert false_merges([same.merges], draws(3, np.random.default_rng(0)))[:2] == (0, 0)


TWICE = pa.table({"utterance_id": ["c/a/1", "c/a/1-2", "c/b/1"], "speaker_id": ["c/a", "c/b", "c/b"]})
COPIED = truth(("duplicate", "c/a/1-2", "c/b", "c/a"))
COPIED = COPIED.set_column(3, TRUTH.arrow().field("original_id"), pa.array(["c/a/1"]))


def test_a_duplicate_is_found_where_a_drop_names_its_twin():
    for decision, found, alarms, original_taken in [
        (rows(Verdict.DROP, "c/a/1-2", reason="duplicate", to="c/a/1"), 1, 0, 0),
        (rows(Verdict.DROP, "c/a/1", reason="near_duplicate", to="c/a/1-2"), 1, 0, 1),
        (rows(Verdict.DROP, "c/a/1", reason="near_duplicate", to="c/b/1"), 0, 1, 0),
        (rows(Verdict.DROP, "c/a/1-2", reason="duplicate", to="c/b/1"), 0, 0, 0),
        (rows(Verdict.DROP, "c/a/1-2"), 0, 0, 0),
        (rows(Verdict.DROP, "c/b/1", reason="duplicate", to="c/a/1"), 0, 1, 0),
    ]:
        counts = told(TWICE, COPIED, judged(decision), Fault.DUPLICATE)
        assert (counts.planted, counts.found, counts.alarms) == (1, found, alarms)
        assert counts.beside["original_taken"][:2] == (original_taken, found)
        assert counts.beside["unfit"][:2] == (0, 1)


def test_a_good_utterance_taken_as_a_copy_is_an_alarm_of_duplicates_only_and_otherwise_of_other_faults_only():
    spoken = pa.concat_tables([TWICE, pa.table({"utterance_id": ["c/c/1", "c/c/2"], "speaker_id": ["c/c", "c/c"]})])
    planted = pa.concat_tables([COPIED, truth(("noise", "c/c/1", "c/c", "c/c"))])
    for decision, of_duplicates, of_noise in [
        (rows(Verdict.DROP, "c/b/1", reason="duplicate", to="c/a/1"), 1, 0),
        (rows(Verdict.DROP, "c/b/1", reason="near_duplicate", to="c/c/1"), 1, 0),
        (rows(Verdict.DROP, "c/a/1", reason="duplicate", to="c/a/1-2"), 0, 0),
        (rows(Verdict.DROP, "c/b/1", reason="wrong_speaker", to="c/a"), 0, 1),
        (rows(Verdict.RELABEL, "c/b/1", to="c/a"), 0, 1),
        (rows(Verdict.DROP, "c/c", subject=Subject.SPEAKER), 0, 1),
    ]:
        counted = account(spoken, planted, judged(decision), labels=LABELS, groups={"sex": ["male"] * 5})
        alarms = [int(counted.faults[fault].alarms.sum()) for fault in (Fault.DUPLICATE, Fault.NOISE)]
        assert alarms == [of_duplicates, of_noise]
        assert counted.groups["sex", "male"].alarms.sum() == of_duplicates + of_noise  # lost is lost


def test_a_copy_that_cannot_be_heard_is_told_beside_and_is_not_missed():
    def unfit(one, reason):
        author = Author(rule="limits of the corpus", step="embed", run_id="0")
        return verdicts(author, Subject.UTTERANCE, [one], verdict=Verdict.DROP, reason=reason)

    of_sex = {"sex": ["male"] * 3}
    for decision, planted, unheard in [
        (unfit("c/a/1-2", "too_short"), 0, 1),
        (unfit("c/a/1-2", "no_speech"), 0, 1),
        (unfit("c/b/1", "too_short"), 1, 0),
        (rows(Verdict.DROP, "c/a/1-2", reason="below_range"), 1, 0),  # a rule judged it, but by something else
    ]:
        counted = account(TWICE, COPIED, judged(decision), labels=LABELS, groups=of_sex)
        counts = figures(counted.faults[Fault.DUPLICATE], draws(len(LABELS), np.random.default_rng(0)))
        assert (counts.planted, counts.found, counts.alarms) == (planted, 0, 0)
        assert counts.beside["unfit"][:2] == (unheard, 1)
        assert counted.groups["sex", "male"].planted.sum() == planted
    silence = truth(("silence", "c/a/1", "c/a", "c/a"))
    of_silence = told(TWICE, silence, judged(unfit("c/a/1", "silent")), Fault.SILENCE)
    assert (of_silence.planted, of_silence.found) == (1, 1)  # what is silent should go, whoever says so


def test_a_wrong_sex_or_age_is_found_only_by_a_decision_about_it():
    planted = truth(("wrong_sex", "c/a/1", "c/a", "c/a"), ("wrong_age", "c/b/1", "c/b", "c/b"))
    dropping = judged(rows(Verdict.DROP, "c/a/1", "c/a/2"))
    assert told(SPOKEN, planted, dropping, Fault.WRONG_SEX).found == 0
    conflict = judged(
        rows(Verdict.KEEP, "c/a", subject=Subject.PAIR, reason="sex_conflict", to="c/c"),
        rows(Verdict.KEEP, "c/b/2", reason="age_conflict"),
    )
    sex, age = (told(SPOKEN, planted, conflict, fault) for fault in (Fault.WRONG_SEX, Fault.WRONG_AGE))
    assert (sex.unit, sex.planted, sex.found, sex.alarms) == ("label", 1, 1, 1)
    assert (age.planted, age.found, age.alarms) == (1, 1, 0)


def test_groups_count_their_own_utterances():
    planted = truth(("wrong_speaker", "c/a/1", "c/a", "c/c"), ("noise", "c/b/1", "c/b", "c/b"))
    sexes = ["female", "female", "male", "male", None, "female"]
    found = account(
        SPOKEN, planted, judged(rows(Verdict.DROP, "c/a/1", "c/a/2", "c/b/2")), labels=LABELS, groups={"sex": sexes}
    )
    names = ("planted", "found", "alarms", "good")
    told_of = {key: tuple(int(getattr(one, name).sum()) for name in names) for key, one in found.groups.items()}
    assert told_of == {("sex", "female"): (1, 1, 1, 2), ("sex", "male"): (1, 0, 0, 1)}


# --------------------------------------------------------------------------------------------------- counted anew


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.floats(0, 0.3), st.floats(0, 0.3))
def test_precision_and_recall_are_those_of_plain_loops(seed, share_dropped, share_relabelled, share_repeated):
    before = catalog(**{name: {"s1": 3, "s2": 3} for name in "abcdefgh"})
    planting = Planting(seed=seed % 7, wrong_speaker=0.1, mixed=0.125, split=0.125, noise=0.1, duplicate=0.1)
    labelled = plant_labels(before, vectors_of(before), planting)
    planted, _ = plant_sound(labelled, planting)
    spoken = planted.utterances.to_pylist()
    rng = np.random.default_rng(seed)
    labels = sorted({row["speaker_id"] for row in spoken})
    drop = {row["utterance_id"] for row in spoken if rng.random() < share_dropped}
    drop_labels = {label for label in labels if rng.random() < share_dropped / 3}
    move = {row["utterance_id"]: str(rng.choice(labels)) for row in spoken if rng.random() < share_relabelled}
    identity = {label: str(rng.choice(labels[: 1 + len(labels) // 2])) for label in labels}
    decisions = [rows(Verdict.DROP, *drop), rows(Verdict.DROP, *drop_labels, subject=Subject.SPEAKER)]
    decisions += [rows(Verdict.RELABEL, one, to=to) for one, to in move.items()]
    ids = [row["utterance_id"] for row in spoken]
    twins = {r["utterance_id"]: r["original_id"] for r in planted.truth.to_pylist() if r["fault"] == "duplicate"}
    twins |= {original: copy for copy, original in twins.items()}
    repeats = {
        one: twins[one] if one in twins and rng.random() < 0.5 else str(rng.choice(ids))
        for one in ids
        if rng.random() < share_repeated
    }
    decisions += [rows(Verdict.DROP, one, reason="near_duplicate", to=other) for one, other in repeats.items()]
    identities = [{"speaker_id": a, "identity_id": b} for a, b in identity.items()]
    found = Judged(
        decisions=pa.concat_tables(decisions), identities=pa.Table.from_pylist(identities, schema=IDENTITIES.arrow())
    )
    originals = sorted({row["speaker_id"] for row in before.to_pylist()})
    counted = account(planted.utterances, planted.truth, found, labels=originals)

    wrong = {row["utterance_id"]: row for row in planted.truth.to_pylist()}
    mixed = {row["speaker_id"] for row in wrong.values() if row["fault"] == "mixed"}
    gone = {r["utterance_id"] for r in spoken if r["utterance_id"] in drop or r["speaker_id"] in drop_labels}
    gone |= {*move, *repeats}
    good = {
        r["utterance_id"]
        for r in spoken
        if r["speaker_id"] not in mixed
        and (r["utterance_id"] not in wrong or wrong[r["utterance_id"]]["fault"] == "split")
        and (r["utterance_id"] not in twins or repeats.get(r["utterance_id"]) != twins[r["utterance_id"]])
    }
    drawn = np.ones((1, len(originals)))
    for fault in (Fault.WRONG_SPEAKER, Fault.NOISE):
        bad = {one for one, row in wrong.items() if row["fault"] == fault}
        told_of = figures(counted.faults[fault], drawn)
        hits, alarms = len(bad & gone), len(good & gone - repeats.keys())
        assert (told_of.planted, told_of.found, told_of.alarms, told_of.good) == (len(bad), hits, alarms, len(good))
        assert told_of.recall.value == hits / len(bad)
        assert (
            math.isnan(told_of.precision.value)
            if not hits + alarms
            else told_of.precision.value == hits / (hits + alarms)
        )
        assert told_of.f1.value == pytest.approx(2 * hits / (len(bad) + hits + alarms))
    copies = [one for one, row in wrong.items() if row["fault"] == "duplicate"]
    told_of = figures(counted.faults[Fault.DUPLICATE], drawn)
    by_original = [one for one in copies if repeats.get(twins[one]) == one]
    hits = len({*by_original, *(one for one in copies if repeats.get(one) == twins[one])})
    assert (told_of.planted, told_of.found, told_of.alarms) == (len(copies), hits, len(good & repeats.keys()))
    assert told_of.beside["original_taken"][:2] == (len(by_original), hits)
    came_from = {row["speaker_id"]: row["true_speaker_id"] for row in wrong.values() if row["fault"] == "split"}
    pairs = [(a, b) for a in labels for b in labels if a < b and not {a, b} & mixed]
    two = [(a, b) for a, b in pairs if came_from.get(a, a) != came_from.get(b, b)]
    merged = [(a, b) for a, b in two if identity[a] == identity[b]]
    assert false_merges([counted.merges], drawn)[:2] == (len(merged), len(two))
    assert figures(counted.faults[Fault.SPLIT], drawn).found == sum(
        identity[a] == identity[b] for a, b in came_from.items()
    )
    named = figures(counted.faults[Fault.MIXED], drawn)
    assert (named.found, named.alarms) == (len(mixed & drop_labels), len(drop_labels - mixed))


# -------------------------------------------------------------------------------------------------------- intervals


def test_the_interval_is_of_labels_drawn_anew_with_all_that_was_counted_of_them():
    num, total = np.array([8, 1, 3]), np.array([10, 10, 10])
    drawn = draws(3, np.random.default_rng(1))
    figure = ratio(drawn @ num, drawn @ total)
    assert figure.value == 0.4
    rng, means = np.random.default_rng(5), []
    for _ in range(20_000):  # another route: draw three of three by hand
        chosen = rng.integers(0, 3, 3)
        means.append(num[chosen].sum() / 30)
    assert (figure.low, figure.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.07)


def test_what_is_not_defined_is_nan_and_what_never_varies_is_a_point():
    drawn = draws(3, np.random.default_rng(1))
    nothing, everything = np.zeros(3), np.ones(3)
    undefined = ratio(drawn @ nothing, drawn @ nothing)
    assert all(math.isnan(one) for one in (undefined.value, undefined.low, undefined.high))
    point = ratio(drawn @ everything, drawn @ everything)
    assert (point.value, point.low, point.high) == (1, 1, 1)
    rare = np.array([1, 0, 0])  # in 30 % of the draws nobody has one
    assert ratio(drawn @ rare, drawn @ rare).low == 1
    hundred = draws(100, np.random.default_rng(1))
    assert ratio(hundred @ np.eye(100)[0], hundred @ np.eye(100)[0]).low == 1  # in 37 % of draws


def test_several_plantings_are_summed_label_by_label():
    planted = truth(("noise", "c/a/1", "c/a", "c/a"), ("noise", "c/b/1", "c/b", "c/b"))
    one = account(SPOKEN, planted, judged(rows(Verdict.DROP, "c/a/1")), labels=LABELS).faults[Fault.NOISE]
    two = account(SPOKEN, planted, judged(rows(Verdict.DROP, "c/b/1", "c/c/1")), labels=LABELS).faults[Fault.NOISE]
    both = summed([one, two])
    assert both.planted.tolist() == [2, 2, 0]
    assert both.found.tolist() == [1, 1, 0]
    assert both.alarms.tolist() == [0, 0, 1]


def test_a_report_says_each_figure_and_is_the_same_each_time():
    planted = truth(("wrong_speaker", "c/a/1", "c/a", "c/c"))
    accounts = [
        account(SPOKEN, planted, found, labels=LABELS, groups={"corpus": ["c"] * 6})
        for found in (judged(rows(Verdict.DROP, "c/a/1")), judged(rows(Verdict.DROP, "c/b/1")))
    ]
    one, again = (outcome("toy", "0.2", accounts, rng=np.random.default_rng(0)) for _ in range(2))
    assert one == again
    (plain,) = as_rows([one])
    assert plain["faults"]["wrong_speaker"]["recall"]["value"] == 0.5
    assert plain["num_plantings"] == 2
    assert plain["groups"][0]["alarms"] == 1
    text = as_text([one])
    assert "| toy    | 0.2   | 1/2 " in text
    assert "## Who loses good utterances" in text


def test_vietsv_finds_scattered_wrong_labels_and_not_a_half_of_somebody_else():
    before = catalog(**{name: {"s1": 20, "s2": 20} for name in "abcdefgh"})
    for asked, fault, least, most in [
        ({"wrong_speaker": 0.05}, Fault.WRONG_SPEAKER, 0.8, 1.0),
        ({"mixed": 0.25}, Fault.MIXED, 0.0, 0.0),
    ]:
        planted = plant_labels(before, vectors_of(before), Planting(**asked))
        vectors = dict(zip(before["utterance_id"].to_pylist(), vectors_of(before), strict=True))
        found = clean_vietsv(
            planted.utterances,
            np.stack([vectors[one] for one in planted.original_ids]),
            iqr_factor=1.5,
            min_speaker_similarity=-1.0,
            author=AUTHOR,
        )
        empty = IDENTITIES.arrow().empty_table()
        labels = sorted(set(before["speaker_id"].to_pylist()))
        counted = account(
            planted.utterances, planted.truth, Judged(decisions=found.decisions, identities=empty), labels=labels
        )
        recall = figures(counted.faults[fault], draws(8, np.random.default_rng(0))).recall.value
        assert least <= recall <= most
