"""What the pictures of a report are drawn from: worked by hand, recounted in SQL, and true of any verdicts."""

from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.catalog import rows_of
from curate.decisions import kept
from curate.query import ask
from curate.schema import DECISIONS
from pages.report import losses, spread, way
from pages.report.material import STEPS
from pages.report.way import Split, Stage, TrialList
from tests.pages.report_made import decision, material_of, utterance


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
    assert title == "3 of 6 utterances (50.0 %) are left; no step drops more than ingest, 1; 1 comes back"
    assert ("clean", "leaves: wrong_speaker", -1) in [row[:3] for row in way.as_rows(found)]


def test_what_no_split_took_is_not_told_as_dropped(tmp_path):
    """One of six is dropped and one is in a split: five are left."""
    material = material_of(
        tmp_path / "catalog",
        utterances=toy(6),
        decisions=[decision("toy/a/0", "drop", "too_short", step="ingest")],
        splits=[{"benchmark": "x\u202e" * 50, "utterance_id": "toy/b/1", "identity_id": "toy/b", "split": "test"}],
    )
    found = way.way_of(material)
    assert found.stages[-1].leaves == ((way.NO_SPLIT, 4),)
    title, caption = way.in_words(found, material)
    assert title == "5 of 6 utterances (83.3 %) are left; no step drops more than ingest, 1"
    assert "\u202e" not in caption
    assert losses.title_of_groups(losses.group_counts(material)) == "1 of 6 utterances of toy is dropped, as too_short"


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
    told = "3 of 4 utterances, most often as wrong_speaker"
    assert losses.title_of_groups(counts) == f"No corpus loses a greater share than toy: {told}"
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


def test_groups_whose_names_begin_and_end_alike_have_bars_of_other_names():
    values = [f"{'x' * 90}{place}{'y' * 90}" for place in "ab"]
    counts = {
        "attribute": ["corpus"] * 2,
        "value": values,
        "num": [2, 2],
        "num_dropped": [0, 1],
        "reason": [None, "listed"],
    }
    told = [row["told"] for row in losses._most(pa.table(counts), "corpus")]
    assert told[1] == f"{told[0]} (2)"


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
