"""What `benchmarks.pictures` promises: curves where the figures say they are; the same bytes for the same scores."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from benchmarks.metrics import equal_error_rate
from benchmarks.pictures import (
    Bar,
    bars,
    confusion,
    det,
    distinct,
    distributions,
    eer_threshold,
    layers,
    on_plane,
    points,
    save,
    shades,
)
from curate.errors import ListError
from tests.benchmarks.scores_made import gaussian


def lines_of(figure):
    return figure.axes[0].get_lines()


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_det_curves_cross_the_diagonal_at_the_eer_and_are_straight_for_gaussian_scores():
    systems = {"one": gaussian(1, num_trials=20_000), "other": gaussian(2, num_trials=20_000, apart=3.0)}
    figure = det(systems)
    eers = [equal_error_rate(*system) for system in systems.values()]
    assert legend_of(figure) == [f"{name}, EER {100 * eer:.2f} %" for name, eer in zip(systems, eers, strict=True)]
    for line, eer, apart in zip(lines_of(figure), eers, (2.0, 3.0), strict=False):
        accept, reject = line.get_data()
        at = np.argmin(abs(accept - reject))
        assert ndtr(accept[at]) == pytest.approx(eer, abs=1e-3)
        middle = (accept > ndtri(0.02)) & (reject > ndtri(0.02))
        assert accept[middle] + reject[middle] == pytest.approx(-apart, abs=0.2)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()][:4] == ["0.01", "0.1", "0.5", "1"]
    assert axes.get_xticks() == pytest.approx(ndtri([0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4]))
    assert axes.get_xlim() == axes.get_ylim()


@pytest.mark.parametrize("apart", [100.0, -100.0])
def test_curves_of_perfect_and_of_inverted_scores_stay_finite(apart):
    scores, is_target = gaussian(1, num_trials=50)
    (line, _) = lines_of(det({"one": (scores + apart * is_target, is_target)}))
    assert np.isfinite(line.get_data()).all()


def test_the_threshold_at_the_eer_worked_by_hand():
    """From 0.6 up one of two targets is missed, and one of three nontargets accepted; from 0.4 up none, and one."""
    scores, is_target = np.array([0.9, 0.4, 0.6, 0.1, 0.2]), np.array([True, True, False, False, False])
    assert eer_threshold(scores, is_target) == 0.4
    assert eer_threshold(np.array([1.0, 1, 2, 2]), np.array([False, False, True, True])) == 2


def test_distributions_are_densities_that_name_their_threshold():
    scores, is_target = gaussian(3, num_trials=5_000)
    figure = distributions(scores, is_target, name="ecapa")
    axes = figure.axes[0]
    areas = [sum(bar.get_height() * bar.get_width() for bar in kind) for kind in axes.containers]
    assert areas == pytest.approx([1, 1])
    threshold, eer = eer_threshold(scores, is_target), equal_error_rate(scores, is_target)
    assert lines_of(figure)[0].get_xdata() == [threshold, threshold]
    assert sorted(legend_of(figure)) == sorted(
        [
            f"{is_target.sum():,} targets",
            f"{(~is_target).sum():,} nontargets",
            f"threshold {threshold:.3g} at EER {100 * eer:.2f} %",
        ]
    )
    assert axes.get_title() == "ecapa"


def test_bars_are_the_figures_with_the_intervals_that_there_are():
    figure = bars([Bar("f", 0.1, 0.05, 0.2), Bar("m", 0.3)], what="EER", title="by sex", as_percent=True)
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([10, 30])
    (interval,) = lines_of(figure)
    assert interval.get_xdata() == pytest.approx([5, 20])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["f", "m"]
    assert axes.get_xlabel() == "EER (%)"


def test_layers_are_curves_in_percent_and_the_last_looks_alike_with_another_and_alone():
    before, after = np.array([0.4, 0.3, 0.35]), np.array([0.4, 0.1, 0.2])
    figure = layers({"before": before, "after": after}, title="list")
    assert legend_of(figure) == ["before", "after"]
    for line, eers in zip(lines_of(figure), (before, after), strict=True):
        assert line.get_xdata().tolist() == [0, 1, 2]
        assert line.get_ydata() == pytest.approx(100 * eers)
    axes = figure.axes[0]
    assert (axes.get_ylabel(), axes.get_title()) == ("EER (%)", "list")
    assert axes.get_xlabel().startswith("layer")
    looks = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines_of(figure)]
    assert all(one != other for one, other in zip(*looks, strict=True))
    (alone,) = lines_of(layers({"after": after}, title="list"))
    assert (alone.get_color(), alone.get_marker(), alone.get_linestyle()) == looks[1]


def test_a_confusion_matrix_tells_counts_and_shares_of_what_is_true():
    figure = confusion(np.array([[3.0, 1], [0, 0]]), ("young", "adult"), title="toy")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["3\n75.0 %", "1\n25.0 %", "0", "0"]
    assert axes.get_images()[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["young", "adult"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("said", "true", "toy")


def clouds(num=3, each=20, dimension=8):
    """Unit vectors around so many directions, and of which cloud each is."""
    rng = np.random.default_rng(0)
    cloud = np.repeat(np.arange(num), each)
    vectors = (rng.normal(size=(num, dimension))[cloud] + 0.05 * rng.normal(size=(num * each, dimension))).astype("f4")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), cloud


def test_a_plane_keeps_what_is_alike_together_and_is_the_same_each_time():
    vectors, cloud = clouds()
    at = on_plane(vectors, seed=1)
    assert at.shape == (60, 2)
    apart = np.linalg.norm(at[:, None] - at[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (cloud[apart.argmin(axis=1)] == cloud).all()
    np.testing.assert_array_equal(on_plane(vectors, seed=1), at)


@pytest.mark.parametrize("num", [5, 7])
def test_few_vectors_and_those_that_are_all_alike_have_a_place(num):
    vectors, _ = clouds()
    assert np.isfinite(on_plane(vectors[:num], seed=1)).all()
    assert np.isfinite(on_plane(np.tile(vectors[:1], (num, 1)), seed=1)).all()


def test_points_have_the_colours_of_their_groups_and_a_legend_of_those_that_there_are():
    at, colours = np.array([[0.0, 1], [2, 3], [4, 5]]), {"old": (0, 0, 1, 1), "none": (0, 1, 0, 1), "new": (1, 0, 0, 1)}
    figure = points(at, ["new", "old", "new"], colours, title="toy")
    drawn = figure.axes[0].collections[0]
    assert drawn.get_offsets().tolist() == at.tolist()
    assert drawn.get_facecolor().tolist() == [[1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1]]
    assert legend_of(figure) == ["old (1)", "new (2)"]
    many = [str(number) for number in range(25)]
    assert points(np.zeros((25, 2)), many, distinct(many), title="people").legends == []


def test_the_first_group_is_red_all_others_grey_and_each_part_has_a_shade_of_its_own():
    found = shades({"young": ["0-9", "10-19"], "adult": ["30-39", "40-49"], "senior": ["60-69"]})
    assert list(found) == ["0-9", "10-19", "30-39", "40-49", "60-69"]
    assert len({tuple(colour) for colour in found.values()}) == 5
    assert all(red > green + 0.2 for red, green, *_ in (found["0-9"], found["10-19"]))
    assert all(red == green == blue for red, green, blue, _ in (found["30-39"], found["40-49"], found["60-69"]))


@pytest.mark.parametrize("num", [2, 10, 24])
def test_a_few_names_have_colours_of_their_own(num):
    names = [f"p{number}" for number in range(num)]
    found = distinct(names)
    assert list(found) == names
    assert len({tuple(colour) for colour in found.values()}) == num


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_scores_are_the_same_bytes_whatever_the_users_settings_are(suffix, tmp_path):
    systems = {"one": gaussian(1)}
    first, again = (tmp_path / f"{name}{suffix}" for name in ("first", "again"))
    save(det(systems), first)
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "mine", "savefig.dpi": 30}):
        save(det(systems), again)
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes()[:4] == {".svg": b"<?xm", ".png": b"\x89PNG"}[suffix]


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ListError, match=r"det\.pdf: suffix '\.pdf'; expected \.svg or \.png"):
        save(det({"one": gaussian(1)}), tmp_path / "det.pdf")


def test_matplotlib_is_loaded_by_the_first_picture_and_by_nothing_before():
    script = "import sys, flows.evaluating, flows.listed, flows.scoring, flows.test; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "sklearn", "torch", "prefect", "duckdb", "jiwer"} & set(loaded)


@pytest.mark.parametrize("name", ["a$b^{$c", "_one", "\u00e9\nx"])
def test_a_name_stands_in_every_picture_as_it_is(name, tmp_path):
    scores, is_target = gaussian(3, num_trials=50)
    curves = det({name: (scores, is_target), "other": (scores, is_target)})
    assert [one.split(",")[0].strip() for one in legend_of(curves)] == [name, "other"]
    drawn = [curves, distributions(scores, is_target, name=name), bars([Bar(name, 0.1)], what=name, title=name)]
    for figure in drawn:
        save(figure, tmp_path / "any.svg")
    assert [figure.axes[0].get_title() for figure in drawn[1:]] == [name, name]
