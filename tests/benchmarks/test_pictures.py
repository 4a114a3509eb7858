"""What `benchmarks.pictures` promises: curves where the figures say they are; the same bytes for the same scores."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from benchmarks.metrics import equal_error_rate
from benchmarks.pictures import Bar, bars, det, distributions, eer_threshold, save
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
    script = "import sys, flows.evaluating, flows.listed, flows.scoring; print(*sorted(sys.modules))"
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
