"""What a report tells of voices is what the vectors say: matrices, merges, the map, and the scores of trials."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics import equal_error_rate
from pages.report import likeness, merges, sheets, speaker_map, trial_scores, way, way_drawn
from pages.report.way import Split, Stage, TrialList
from tests.pages.report_made import BENCHMARK, DROPPED_LABEL, LABELS

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
    assert merges.title_of(found).startswith("5 labels are 2 people; the weakest merge by a rule is of plain/")


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


def test_a_map_of_which_some_are_not_known_says_among_whom_it_looked(of_odd):
    """Of seven labels that are left sex is known of five: three women in two corpora, and two men."""
    _, by_sex = speaker_map.pictures(of_odd)
    found = speaker_map.speakers(of_odd)
    known = [sex for sex in found.groups["sex"] if sex != speaker_map.NOT_STATED]
    assert (len(known), len(found.labels)) == (5, 7)
    same, _, chance = speaker_map.neighbours(found.vectors, found.groups["sex"])
    assert chance == pytest.approx((3 * 2 + 2 * 1) / 4)
    told = f"{same} of 5 labels of known sex {'is' if same == 1 else 'are'} nearest to one of the same sex"
    assert by_sex.title == f"{told}; by chance 2 would be"
    assert "among those of known sex alone" in by_sex.caption


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


def test_the_title_of_curves_says_of_which_lists_it_is(of_odd):
    """Errors of a quarter, of a quarter, and of a half."""
    is_target = np.arange(8) < 4
    scores = {"a": [4, 3, 2, 0.5, 1, 0, -1, -2], "b": [4, 3, 2, 0.5, 1, 0, -1, -2], "c": [4, 3, 0, -1, 2, 1, -2, -3]}
    made = [
        trial_scores.Scored(name=name, scores=np.array(some, float), is_target=is_target, num_all=(4, 4))
        for name, some in scores.items()
    ]
    titles = [trial_scores._curves(made[:num], of_odd, "").title for num in (1, 2, 3)]
    assert titles == [
        "At equal rates 25.00 % of the trials of list a are told wrongly",
        "At equal rates 25.00 % of the trials of each list are told wrongly",
        "At equal rates from 25.00 % (list a) to 50.00 % (list c) of the trials are told wrongly",
    ]


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
    assert facts["labels left"] == "7"
    assert facts["people found"] == "4"
    assert facts["benchmark"] == f"{BENCHMARK}: 251 trials"
    rows = sheets.corpora(of_odd)
    assert [row[1:4] for row in rows] == [(18, 17, 3), (18, 16, 3), (12, 6, 2)]
    assert {row[4] for row in rows} == {"<i>CC0</i>"}
