"""What `benchmarks.classes` promises: the figures of scikit-learn, and what it says of classes that never occur."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from benchmarks.classes import accuracy, macro_f1, macro_recall, of_confusion, report, weighted_f1

NAMES = np.array(["junior", "middle", "senior", "old"])
rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def labels(pairs):
    """(said, truth)"""
    return NAMES[[said for said, _ in pairs]], NAMES[[truth for _, truth in pairs]]


def test_a_worked_case():
    """Of three a, two are told and one is called b; the one b is called a."""
    said, truth = np.array(["a", "a", "b", "a"]), np.array(["a", "a", "a", "b"])
    found = report(said, truth)
    assert found.classes == ("a", "b")
    assert found.confusion.tolist() == [[2, 1], [1, 0]]
    assert found.support.tolist() == [3, 1]
    assert found.precision.tolist() == pytest.approx([2 / 3, 0])
    assert found.recall.tolist() == pytest.approx([2 / 3, 0])
    assert found.f1.tolist() == pytest.approx([2 / 3, 0])
    assert found.macro.f1 == pytest.approx(1 / 3)
    assert found.weighted.f1 == pytest.approx(1 / 2)
    assert found.accuracy == pytest.approx(1 / 2)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(rows)
def test_the_figures_are_scikit_learns_over_the_classes_of_the_truth(pairs):
    said, truth = labels(pairs)
    found, true = report(said, truth), np.unique(truth)
    of_true = [found.classes.index(name) for name in true.tolist()]
    expected = precision_recall_fscore_support(truth, said, labels=true, zero_division=0)
    for mine, theirs in zip((found.precision, found.recall, found.f1, found.support), expected, strict=True):
        np.testing.assert_allclose(mine[of_true], theirs, atol=1e-12)
    for kind, means in (("macro", found.macro), ("weighted", found.weighted)):
        theirs = precision_recall_fscore_support(truth, said, labels=true, average=kind, zero_division=0)[:3]
        np.testing.assert_allclose([means.precision, means.recall, means.f1], theirs, atol=1e-12)
    np.testing.assert_array_equal(found.confusion, confusion_matrix(truth, said, labels=list(found.classes)))
    assert accuracy(said, truth) == found.accuracy == pytest.approx(accuracy_score(truth, said), abs=1e-12)
    expected = f1_score(truth, said, labels=true, average="macro", zero_division=0)
    assert macro_f1(said, truth) == pytest.approx(expected, abs=1e-12)
    expected = f1_score(truth, said, labels=true, average="weighted", zero_division=0)
    assert weighted_f1(said, truth) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(rows.map(lambda pairs: [*pairs, *((truth, truth) for _, truth in pairs), *((said, said) for said, _ in pairs)]))
def test_where_every_class_is_true_balanced_accuracy_is_scikit_learns(pairs):
    said, truth = labels(pairs)
    assert macro_recall(said, truth) == pytest.approx(balanced_accuracy_score(truth, said), abs=1e-12)


def test_a_class_that_is_never_said_has_precision_0_and_takes_part_in_the_means():
    found = report(np.array(["a", "a"]), np.array(["a", "b"]))
    assert (found.precision[1], found.recall[1], found.f1[1]) == (0, 0, 0)
    assert found.macro.precision == pytest.approx(1 / 4)


def test_a_class_that_the_truth_lacks_has_no_recall_and_takes_part_in_no_mean():
    found = report(np.array(["a", "b"]), np.array(["a", "a"]))
    assert (found.precision[1], found.f1[1]) == (0, 0)
    assert np.isnan(found.recall[1])
    assert (found.macro.recall, found.weighted.recall, found.accuracy) == (1 / 2, 1 / 2, 1 / 2)


def test_a_class_that_neither_has_is_told_as_nan_and_changes_nothing():
    said, truth = np.array(["a", "b"]), np.array(["a", "a"])
    with_c = report(said, truth, classes=["c", "b", "a"])
    assert with_c.classes == ("c", "b", "a")
    assert np.isnan([with_c.precision[0], with_c.recall[0], with_c.f1[0]]).all()
    assert with_c.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert (with_c.macro, with_c.weighted) == (report(said, truth).macro, report(said, truth).weighted)


@given(rows, st.integers(0, 2**32 - 1))
def test_a_weight_is_how_often_a_row_is_written_out(pairs, seed):
    said, truth = labels(pairs)
    times = np.random.default_rng(seed).integers(0, 3, size=len(said))
    for metric in (accuracy, macro_recall, macro_f1, weighted_f1):
        found = metric(said, truth, weight=times.astype(float))
        if times.any():
            assert found == pytest.approx(metric(np.repeat(said, times), np.repeat(truth, times)), abs=1e-12)
        else:
            assert np.isnan(found)


@given(rows, st.permutations(range(4)))
def test_names_and_the_order_of_rows_do_not_matter(pairs, renamed):
    said, truth = labels(pairs)
    other_said, other_truth = labels([(renamed[one], renamed[other]) for one, other in reversed(pairs)])
    for metric in (accuracy, macro_recall, macro_f1, weighted_f1):
        assert metric(other_said, other_truth) == pytest.approx(metric(said, truth), abs=1e-12)


@given(rows)
def test_numbers_are_labels_too_and_a_matrix_is_all_that_is_needed(pairs):
    said, truth = np.array(pairs).T
    found = report(said, truth)
    again = of_confusion(found.confusion, found.classes)
    assert (again.macro, again.weighted, again.accuracy) == (found.macro, found.weighted, found.accuracy)
    assert found.confusion.sum() == len(pairs)
    assert macro_f1(said, truth) == pytest.approx(macro_f1(*labels(pairs)), abs=1e-12)


@pytest.mark.parametrize(
    ("said", "truth", "classes", "words"),
    [
        (["a"], ["a", "b"], None, r"labels \(1,\) said and \(2,\) true"),
        ([], [], None, "expected one of each a row, and some rows"),
        (["a", "x"], ["a", "b"], ["a", "b"], r"class 'x'; expected one of \['a', 'b'\]"),
        (["a"], ["a"], ["a", "a"], "expected each once"),
    ],
)
def test_labels_that_make_no_sense_are_refused(said, truth, classes, words):
    with pytest.raises(ValueError, match=words):
        report(np.array(said), np.array(truth), classes=classes)
