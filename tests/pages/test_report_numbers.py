"""What the pictures of a report are drawn from: worked by hand, recounted in SQL, and true of any verdicts."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics import equal_error_rate
from curate.catalog import Catalog, rows_of
from curate.decisions import kept
from curate.query import ask
from curate.schema import DECISIONS
from pages.report import likeness, losses, merges, sheets, speaker_map, spread, trial_scores, way, way_drawn
from pages.report.material import STEPS, gathered
from pages.report.way import Split, Stage, TrialList
from tests.pages.report_made import BENCHMARK, DROPPED_LABEL, LABELS, decision, material_of, utterance, write_odd


@pytest.fixture(scope="module")
def odd(once):
    """A catalog with all that a report can show."""
    return Catalog(once("report-odd-catalog", lambda folder: write_odd(folder / "catalog")) / "catalog")


@pytest.fixture(scope="module")
def of_odd(odd):
    return gathered(odd)


def toy(num, **more):
    return [utterance("toy", f"toy/{'ab'[at % 2]}", at, **more) for at in range(num)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Twelve utterances of two labels, without a verdict."""
    return material_of(tmp_path_factory.mktemp("base") / "catalog", utterances=toy(12))


def judged(base, rows):
    """The same under these verdicts."""
    decisions = rows_of(DECISIONS, rows)
    return replace(base, decisions=decisions, left=kept(base.utterances, decisions), steps=STEPS)


# ------------------------------------------------------------------------------------------------------------- the way


def test_the_way_worked_by_hand(tmp_path):
    """0 leaves twice and counts once; 2 comes back; 4 is in no split; 0 is in one though it was dropped."""
    ids = [row["utterance_id"] for row in toy(6)]
    about = {"benchmark": "toy"}
    material = material_of(
        tmp_path / "catalog",
        utterances=[*toy(5), utterance("tap", "tap/c", 5, path="toy/a/0.wav")],
        decisions=[
            decision(ids[0], "drop", "too_short", step="ingest"),
            decision(ids[0], "drop", "wrong_speaker"),
            decision(ids[1], "drop", "duplicate", step="duplicates", other=ids[3]),
            decision(ids[2], "drop", "wrong_speaker"),
            decision(ids[2], "keep", "reviewed", step="review"),
            decision(ids[3], "drop", "reviewed", step="review"),
        ],
        splits=[
            about | {"utterance_id": one, "identity_id": person, "split": split}
            for one, person, split in (
                (ids[0], "p", "train"),
                (ids[2], "p", "test"),
                ("tap/c/5", "q", "test"),
            )
        ],
        models=[about | {"model_id": "m", "utterance_id": ids[2]}],
        trials=[
            about | {"list": "l", "enrol_id": "m", "test_id": "tap/c/5", "is_target": False},
            about | {"list": "l", "enrol_id": "tap/c/5", "test_id": ids[2], "is_target": True},
            about | {"list": "l", "enrol_id": "tap/c/5", "test_id": "tap/c/5", "is_target": True},
        ],
    )
    found = way.way_of(material)
    assert found.corpora == (("toy", 5), ("tap", 1))
    assert found.num_files == 6
    assert found.stages == (
        Stage(name="ingest", enters=6, leaves=(("too_short", 1),)),
        Stage(name="duplicates", enters=5, leaves=(("duplicate", 1),)),
        Stage(name="clean", enters=4, leaves=(("wrong_speaker", 1),)),
        Stage(name="review", enters=3, leaves=(("reviewed", 1),), returns=((way.BROUGHT_BACK, 1),)),
        Stage(name="splits", enters=3, leaves=((way.NO_SPLIT, 1),), returns=((way.GONE, 1),)),
    )
    assert found.stages[-1].goes_on == 3
    assert found.splits == (
        Split(name="test", num_utterances=2, num_people=2, num_in_trials=2, in_lists={"l": 2}),
        Split(name="train", num_utterances=1, num_people=1, num_in_trials=0, in_lists={"l": 0}),
    )
    assert found.lists == (TrialList(name="l", num_targets=2, num_nontargets=1, num_utterances=2),)
    title, _ = way.in_words(found, material)
    assert title == "3 of 6 utterances (50.0 %) are left; most go at the step ingest, 1"
    assert ("clean", "leaves: wrong_speaker", -1) in [row[:3] for row in way.as_rows(found)]


ids_of_toy = st.sampled_from([row["utterance_id"] for row in toy(12)] + ["toy/gone"])
drops = st.builds(
    lambda one, step, reason: decision(one, "drop", reason, step=step),
    ids_of_toy,
    st.sampled_from(STEPS[:-1]),
    st.sampled_from(["too_short", "wrong_speaker"]),
)
reviews = st.builds(
    lambda one, verdict: decision(
        one, verdict, "reviewed", step="review", other="toy/b" if verdict == "relabel" else None
    ),
    ids_of_toy,
    st.sampled_from(["keep", "drop", "relabel"]),
)


@given(
    st.lists(drops, max_size=20, unique_by=lambda row: (row["subject_id"], row["step"])),
    st.lists(reviews, max_size=8, unique_by=lambda row: row["subject_id"]),
)
def test_what_enters_less_what_leaves_goes_on_and_is_at_last_what_is_left(base, ruled, said):
    material = judged(base, [*ruled, *said])
    stages = way.way_of(material).stages
    assert [stage.name for stage in stages] == list(STEPS)
    assert stages[0].enters == 12
    for stage, after in pairwise(stages):
        assert after.enters == stage.goes_on == stage.enters - stage.num_left + sum(n for _, n in stage.returns)
    assert stages[-1].goes_on == len(material.left)
    gone = losses.dropped(material)["utterance_id"].to_pylist()
    assert sorted(gone + material.left["utterance_id"].to_pylist()) == sorted(base.came["utterance_id"].to_pylist())
    assert sum(row["num"] for row in losses.reason_counts(material).to_pylist()) == len(gone)
    counts = losses.group_counts(material).to_pylist()
    assert sum(row["num_dropped"] for row in counts if row["attribute"] == "corpus") == len(gone)


def test_sql_counts_the_same_as_the_pictures(odd, of_odd):
    def one(sql):
        return ask(odd, sql)[1]

    out = "utterance_id IN (SELECT subject_id FROM settled WHERE subject = 'utterance' AND verdict = 'drop')"
    found = way.way_of(of_odd)
    assert found.stages[-2].goes_on == one(f"SELECT count(*) FROM utterances WHERE NOT {out}")[0][0]
    assert found.stages[-1].goes_on == one("SELECT count(*) FROM splits")[0][0]
    assert {(s.name, s.num_utterances, s.num_people) for s in found.splits} == set(
        one("SELECT split, count(*), count(DISTINCT identity_id) FROM splits GROUP BY 1")
    )
    assert {(t.name, t.num_targets, t.num_nontargets) for t in found.lists} == set(
        one("SELECT list, count(*) FILTER (is_target), count(*) FILTER (NOT is_target) FROM trials GROUP BY 1")
    )
    counts = losses.group_counts(of_odd).to_pylist()
    for attribute, table in (("corpus", "utterances"), ("age_group", "age_labels")):
        mine = {(row["value"], row["num"], row["num_dropped"]) for row in counts if row["attribute"] == attribute}
        sql = f"SELECT {attribute}, count(*), count(*) FILTER ({out}) FROM {table} GROUP BY 1"
        assert mine == set(one(sql))


def test_groups_worked_by_hand(tmp_path):
    """Three of four women's utterances go; a sex that nobody states comes last; the youngest group first."""
    rows = [utterance("toy", "toy/a", at, sex="female", age_min_years=50, age_max_years=50) for at in range(4)]
    rows += [utterance("tap", "tap/b", at, age_min_years=9, age_max_years=9) for at in range(2)]
    gone = ("toy/a/0", "wrong_speaker"), ("toy/a/1", "too_short"), ("toy/a/2", "wrong_speaker")
    material = material_of(
        tmp_path / "catalog",
        utterances=rows,
        decisions=[decision(one, "drop", reason) for one, reason in gone],
        age_labels=[
            {"scheme": "s", "utterance_id": row["utterance_id"], "age_group": "old" if row["sex"] else "young"}
            for row in (dict.fromkeys(["sex"]) | one for one in rows)
        ],
    )
    counts = losses.group_counts(material)
    assert [tuple(row.values()) for row in counts.to_pylist()] == [
        ("corpus", "tap", 2, 0, None),
        ("corpus", "toy", 4, 3, "wrong_speaker"),
        ("sex", "female", 4, 3, "wrong_speaker"),
        ("sex", None, 2, 0, None),
        ("age_group", "young", 2, 0, None),
        ("age_group", "old", 4, 3, "wrong_speaker"),
    ]
    assert losses.title_of_groups(counts) == "3 of 4 utterances of toy are dropped, most as wrong_speaker"
    figure = losses.draw_groups(counts, "toy")
    assert [bar.get_width() for bar in figure.axes[0].patches][:4] == [2, 0, 1, 3]
    assert [text.get_text() for text in figure.axes[0].texts] == [" 0 of 2 (0.0 %)", " 3 of 4 (75.0 %)"]


def test_many_corpora_are_drawn_as_twelve_bars_that_hold_all(base):
    counts = pa.table(
        {
            "attribute": ["corpus"] * 40,
            "value": [f"c{at:02d}" for at in range(40)],
            "num": [10] * 40,
            "num_dropped": [at % 7 for at in range(40)],
            "reason": ["too_short"] * 40,
        }
    )
    axes = losses.draw_groups(counts, "many").axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert len(labels) == losses.GROUPS_SHOWN
    assert labels[-1] == "29 others"
    assert axes.texts[-1].get_text() == " 56 of 290 (19.3 %)"  # of 115: five 6, five 5 and a 4 are drawn


# ----------------------------------------------------------------------------------------------------- ages, durations


def test_histograms_worked_by_hand(tmp_path):
    """A range of 10 years counts at its middle, one of 11 nowhere; the longest utterance is the end of the last bin."""
    ages = [
        (20, 20, "male"),
        (20, 30, "female"),
        (21, 21, None),
        (20, 31, "male"),
        (None, None, "male"),
        (34, 34, "male"),
    ]
    rows = [
        utterance("toy", "toy/a", at, age_min_years=low, age_max_years=high, sex=sex, duration_s=3.0 * (at + 1))
        for at, (low, high, sex) in enumerate(ages)
    ]
    material = material_of(tmp_path / "catalog", utterances=rows)
    found = spread.ages(material)
    assert found.sexes == ("female", "male", "not stated")
    assert found.edges.tolist() == [20, 25, 30, 35]
    assert found.counts.tolist() == [[0, 1, 0], [1, 0, 1], [1, 0, 0]]
    assert (found.num, found.num_out) == (4, 2)
    lengths = spread.lengths(material)
    assert lengths.edges[[0, 1, -1]].tolist() == [0, pytest.approx(0.6), 18]
    assert lengths.num == 6
    assert lengths.counts.sum(axis=0)[[5, 29]].tolist() == [1, 1]
    assert lengths.num_beyond == 0
    bars = spread.draw(found, "toy", xlabel="age (years)").axes[0].patches
    assert [(bar.get_y(), bar.get_height()) for bar in bars][3:] == [(0, 1), (1, 0), (0, 1), (1, 1), (1, 0), (1, 0)]


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=300))
def test_every_duration_is_counted_once(base, durations):
    left = base.left.take(pa.array([0] * len(durations)))
    place = left.column_names.index("duration_s")
    found = spread.lengths(replace(base, left=left.set_column(place, "duration_s", pa.array(durations))))
    assert found.num == len(durations)
    assert found.num_beyond == sum(one > found.edges[-1] for one in durations)
    assert found.num_beyond <= 0.005 * len(durations)


# ------------------------------------------------------------------------------------------------ matrices, merges, map


def test_cosines_are_those_of_the_vectors_and_the_choice_is_the_one_told(of_odd):
    labels, pairs = likeness.label_matrices(of_odd), likeness.pair_matrices(of_odd)
    assert [one.kind for one in labels] == ["a good label", "dropped"]
    assert labels[0].labels == (LABELS[6],)  # of greatest self_similarity among those that are kept
    assert labels[1].labels == (DROPPED_LABEL,)
    told = [(one.kind, one.labels) for one in pairs]
    assert told == [
        ("merged", (LABELS[4], LABELS[6])),
        ("merged", (LABELS[0], LABELS[1])),
        ("not merged", (LABELS[2], LABELS[5])),
        ("not merged", (LABELS[2], LABELS[4])),
    ]
    vectors = dict(zip(of_odd.ids.to_pylist(), of_odd.vectors, strict=True))
    for one in [*labels, *pairs]:
        rows = of_odd.came if one.kind == "dropped" else of_odd.left
        mine = [
            sorted(
                utterance
                for utterance, label in zip(*(rows[c].to_pylist() for c in ("utterance_id", "speaker_id")), strict=True)
                if label == name and utterance in vectors
            )
            for name in one.labels
        ]
        assert one.nums == one.num_all == tuple(map(len, mine))
        other = mine[-1]
        cosines = [float(vectors[a] @ vectors[b]) for a in mine[0] for b in other if a != b]
        assert one.mean == pytest.approx(np.mean(cosines), abs=1e-6)


def test_of_many_utterances_thirty_are_taken_evenly():
    assert likeness._evenly(list(range(30))) == list(range(30))
    taken = likeness._evenly(list(range(1000)))
    assert (len(taken), taken[0], taken[-1]) == (30, 0, 999)
    assert set(np.diff(taken)) <= {34, 35}


def test_people_of_several_labels_are_told_with_their_links(of_odd):
    found = merges.people(of_odd)
    assert [one.labels for one in found] == [tuple(sorted((LABELS[0], LABELS[1], LABELS[3]))), (LABELS[4], LABELS[6])]
    assert found[0].links == ((LABELS[0], LABELS[1], 0.9), (LABELS[0], LABELS[3], None))
    assert found[1].links == ((LABELS[4], LABELS[6], 0.8),)
    assert merges.title_of(found).startswith("5 labels are 2 people; the weakest merge is of plain/")


@pytest.mark.parametrize("num", [2, 3, 10, 40])
def test_a_circle_has_its_labels_evenly_apart(num):
    places = np.array(merges.circle(num))
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-9)
    apart = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
    np.testing.assert_allclose(apart, apart[0])
    assert apart[0] > (0.4 if num <= merges.LABELS_NAMED else 0.15)
    assert places[0].tolist() == [0, pytest.approx(places[:, 1].max())]


sizes = st.tuples(st.floats(0.1, 4.8), st.floats(0.1, 3))


@given(st.lists(sizes, max_size=20))
def test_packed_boxes_lie_within_the_width_and_on_none_other(boxes):
    middles, height = merges.packed(boxes, 4.8)
    ends = [(x - w / 2, x + w / 2, y - h / 2, y + h / 2) for (x, y), (w, h) in zip(middles, boxes, strict=True)]
    for at, (left, right, top, bottom) in enumerate(ends):
        assert min(left, top) >= -1e-9
        assert right <= 4.8 + 1e-6
        assert bottom <= height + 1e-6
        for other in ends[:at]:
            assert left >= other[1] - 1e-6 or right <= other[0] + 1e-6 or top >= other[3] - 1e-6


def test_drawings_of_many_and_large_numbers_stay_within_their_paper():
    """Twelve corpora, eleven reasons, more splits and lists than are drawn, all with long names; 2 to 50 labels."""
    lists = ("core-core-with-a-long-name", "all_" * 30, "l3", "l4")
    splits = tuple(
        Split(
            name=f"split-number-{at}",
            num_utterances=10**at,
            num_people=10**at,
            num_in_trials=1,
            in_lists=dict.fromkeys(lists, 99_999),
        )
        for at in range(1, 6)
    )
    big = way.Way(
        corpora=tuple((f"corpus-{at}-with-a-rather-long-name", 900_000 - at) for at in range(12)),
        num_files=10_794_934,
        stages=(
            Stage(name="ingest", enters=10_799_934, leaves=tuple((f"reason_number_{at}", 50_000) for at in range(11))),
            Stage(
                name="review", enters=10_249_934, leaves=(("reviewed", 10**7),), returns=((way.BROUGHT_BACK, 43_134),)
            ),
        ),
        splits=splits,
        lists=tuple(
            TrialList(name=one, num_targets=12_345_678, num_nontargets=98_765_432, num_utterances=5) for one in lists
        ),
    )
    people = []
    for num in (50, 10, 5, 4, 3, 2):
        labels = tuple(f"corpus-{at % 9}/a-long-label-{num}-{at:03d}" for at in range(num))
        people.append(merges.Person(labels=labels, links=((*labels[:2], 0.8), (labels[0], labels[-1], None))))
    corpus = {label: label.partition("/")[0] for one in people for label in one.labels}
    for figure in (way_drawn.draw(big, "toy"), merges.draw(people, corpus, sorted(set(corpus.values())), "toy")):
        figure.draw_without_rendering()
        paper = figure.bbox
        texts = [text for text in (*figure.axes[0].texts, *figure.texts) if text.get_text()]
        assert len(texts) > 30
        for text in texts:
            box = text.get_window_extent()
            assert paper.x0 - 1 <= box.x0 <= box.x1 <= paper.x1 + 1, text.get_text()
            assert paper.y0 - 1 <= box.y0 <= box.y1 <= paper.y1 + 1, text.get_text()


def test_neighbours_worked_by_hand_and_who_is_not_known_is_left_out():
    """Three of `a` on one side, of whom the last is nearest to the one `b`, who is nearest to it."""
    angles = np.deg2rad([0, 10, 60, 75, 61])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = ("a", "a", "a", "b", speaker_map.NOT_STATED)
    assert speaker_map.neighbours(vectors, groups) == (2, 4, pytest.approx(3 * 2 / 3))
    assert speaker_map.neighbours(vectors[:1], ("a",)) == (0, 1, 0.0)


def test_the_map_is_of_the_means_of_what_is_left_and_thins_many_the_same_way_each_time(of_odd):
    found = speaker_map.speakers(of_odd)
    assert found.labels == tuple(sorted(set(LABELS) - {DROPPED_LABEL}))
    vectors = dict(zip(of_odd.ids.to_pylist(), of_odd.vectors, strict=True))
    label = LABELS[0]  # with the utterance that was put under it
    rows = zip(*(of_odd.left[name].to_pylist() for name in ("utterance_id", "speaker_id")), strict=True)
    mine = [vectors[one] for one, speaker in rows if speaker == label and one in vectors]
    assert len(mine) == 6
    mean = np.mean(mine, axis=0)
    np.testing.assert_allclose(found.vectors[found.labels.index(label)], mean / np.linalg.norm(mean), atol=1e-6)
    some = speaker_map.speakers(of_odd, most=3)
    assert (len(some.labels), some.num_all) == (3, 7)
    assert some.labels == speaker_map.speakers(of_odd, most=3).labels
    for name, vector in zip(some.labels, some.vectors, strict=True):
        np.testing.assert_array_equal(vector, found.vectors[found.labels.index(name)])


# -------------------------------------------------------------------------------------------------------------- scores


def test_scores_are_cosines_and_a_model_is_the_direction_of_its_mean(of_odd):
    scored, why = trial_scores.scored_lists(of_odd)
    assert why == ""
    assert [one.name for one in scored] == sorted(of_odd.lists)
    assert not any(one.is_sampled for one in scored)
    vectors = dict(zip(of_odd.ids.to_pylist(), of_odd.vectors, strict=True))
    of_model = [vectors[one] for one in of_odd.models["utterance_id"].to_pylist()]
    mean = np.mean(of_model, axis=0)
    vectors[of_odd.models["model_id"][0].as_py()] = mean / np.linalg.norm(mean)
    for one in scored:
        trials = of_odd.lists[one.name].to_pylist()
        expected = [float(vectors[row["enrol_id"]] @ vectors[row["test_id"]]) for row in trials]
        np.testing.assert_allclose(one.scores, expected, atol=1e-5)
        edges, *both = trial_scores.density(one)
        assert [float((values * np.diff(edges)).sum()) for values in both] == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("targets", "nontargets", "is_seen"),
    [
        ([1.0, 2.0], [0.0, -1.0], False),  # all are told
        ([0.0, -1.0], [1.0, 2.0], False),  # the wrong way
        ([1.0, 2.0, 0.5, 3.0], [0.0, 0.6, -1.0, -2.0], True),  # from a quarter of rejects to a quarter of accepts
        ([1.0, 2.0, 0.5, 3.0], [0.0, -0.6, -1.0, -2.0], False),  # no nontarget is above any target
    ],
)
def test_a_curve_is_drawn_only_where_it_can_be_seen(targets, nontargets, is_seen):
    scores = np.array([*targets, *nontargets])
    is_target = np.arange(len(scores)) < len(targets)
    one = trial_scores.Scored(name="toy", scores=scores, is_target=is_target, num_all=(len(targets), len(nontargets)))
    assert trial_scores.is_within(one) == is_seen
    (line, _) = trial_scores.draw_curves({"toy": (scores, is_target)}, "toy").axes[0].get_lines()
    x, y = line.get_data()
    low, high = line.axes.get_xlim()
    path = [np.linspace(ends[:-1], ends[1:], 50) for ends in (x, y)]
    inside = [(some > low + 1e-9) & (some < high - 1e-9) for some in path]
    assert (inside[0] & inside[1]).any() == is_seen


def test_dotted_lines_stand_at_the_means():
    scores, is_target = np.array([0.9, 0.7, 0.1, 0.2, 0.6]), np.array([True, True, False, False, False])
    one = trial_scores.Scored(name="toy", scores=scores, is_target=is_target, num_all=(2, 3))
    axes = trial_scores.draw_densities(one, "toy").axes[0]
    dotted = [line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == ":"]
    assert dotted == pytest.approx([0.8, 0.3])


def test_of_many_trials_each_kind_is_thinned_by_itself_and_the_rates_stay():
    rng = np.random.default_rng(0)
    is_target = rng.random(50_000) < 0.02
    trials = pa.table({"score": rng.normal(size=50_000) + 2.0 * is_target, "is_target": is_target})
    some = trial_scores.sampled(trials, most=5_000)
    taken = np.asarray(some["is_target"])
    assert (taken.sum(), (~taken).sum()) == (is_target.sum(), 5_000)
    last = np.asarray(some["score"])[~taken][-1]
    assert last in trials["score"][-1_000:].to_pylist()  # they are not the first
    assert some.equals(trial_scores.sampled(trials, most=5_000))
    assert trial_scores.sampled(trials, most=50_000) is trials
    eers = [equal_error_rate(np.asarray(rows["score"]), np.asarray(rows["is_target"])) for rows in (trials, some)]
    assert eers[1] == pytest.approx(eers[0], abs=0.01)
    chosen = set(some["score"].to_pylist())
    assert some["score"].to_pylist() == [one for one in trials["score"].to_pylist() if one in chosen]


def test_the_facts_at_the_top_are_those_of_what_is_left(of_odd):
    facts = dict(sheets.facts(of_odd))
    assert facts["utterances left"] == "39 of 48"
    assert facts["labels"] == "7"
    assert facts["people found"] == "4"
    assert facts["benchmark"] == f"{BENCHMARK}: 251 trials"
    rows = sheets.corpora(of_odd)
    assert [row[1:4] for row in rows] == [(18, 17, 3), (18, 16, 3), (12, 6, 2)]
    assert {row[4] for row in rows} == {"<i>CC0</i>"}
