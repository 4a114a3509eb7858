"""What `Closeness` promises: the cosines that the vectors have, and labels in the order of how near they are."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.blocks import fixed_size_lists
from curate.catalog import Catalog, rows_of
from curate.closeness import Closeness
from curate.decisions import Author, verdicts
from curate.errors import CatalogError
from curate.reasons import Subject
from curate.schema import DECISIONS, EMBEDDINGS, UTTERANCES

UTTERANCE, SPEAKER, PAIR = Subject.UTTERANCE, Subject.SPEAKER, Subject.PAIR
# utterance -> label and vector, of whatever length; `c/z` was never heard
VECTORS = {
    "a/1": ("c/a", [2, 0]),
    "a/2": ("c/a", [0, 3]),
    "b/1": ("c/b", [3, 4]),
    "d/1": ("c/d", [-1, 0]),
    "d/2": ("c/d", [1, 0]),
    "z/1": ("c/z", None),
}


def filled(root, labelled):
    """A catalog of these utterances in two parts, of which the vectors are in the order of ids."""
    catalog, ids = Catalog(root), sorted(labelled)
    for part in ("c", "d"):
        rows = [
            {"utterance_id": one, "corpus": part, "speaker_id": labelled[one][0], "path": "x", "start_s": 0.0}
            for one in ids[:: 1 if part == "c" else -1]
            if (one < "b") == (part == "c")
        ]
        catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part=part, fingerprint="f")
    heard = [one for one in ids if labelled[one][1] is not None]
    vectors = fixed_size_lists(np.float32([labelled[one][1] for one in heard]))
    rows = {"utterance_id": heard, "extractor": ["x"] * len(heard), "vector": vectors}
    catalog.publish(EMBEDDINGS, pa.table(rows), part="x", fingerprint="f")
    return catalog


def decide(catalog, one, verdict, other=None, step="clean"):
    author = Author(rule="a rule", step=step, run_id="0")
    others = pa.array([other], pa.string())
    rows = verdicts(author, UTTERANCE, [one], verdict=verdict, reason="ok", other_ids=others)
    before = catalog.read(DECISIONS, step) if step in catalog.parts(DECISIONS) else rows_of(DECISIONS, [])
    catalog.publish(DECISIONS, pa.concat_tables([before, rows]), part=step, fingerprint="f")


@pytest.fixture
def catalog(tmp_path):
    return filled(tmp_path, VECTORS)


def near(found):
    return [(one, pytest.approx(cosine, abs=1e-6)) for one, cosine in found]


def test_a_vector_of_an_utterance_that_the_corpus_has_no_more_is_nobodys(catalog):
    rows = catalog.read(UTTERANCES, "d")
    catalog.publish(UTTERANCES, rows.filter(pc.not_equal(rows["utterance_id"], "b/1")), part="d", fingerprint="g")
    closeness = Closeness(catalog)
    assert np.isnan(closeness.matrix(["b/1"])).all()
    assert closeness.nearest_speakers(UTTERANCE, "b/1") == []
    assert [one for one, _ in closeness.nearest_speakers(SPEAKER, "c/a")] == ["c/d"]


def test_a_matrix_by_hand_is_in_the_order_that_was_asked_and_nan_where_nothing_was_heard(catalog):
    found = Closeness(catalog).matrix(["d/1", "z/1", "b/1", "nobody", "a/2"])
    nan = np.nan
    expected = [
        [1, nan, -0.6, nan, 0],
        [nan] * 5,
        [-0.6, nan, 1, nan, 0.8],
        [nan] * 5,
        [0, nan, 0.8, nan, 1],
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert Closeness(catalog).matrix([]).shape == (0, 0)


def test_the_nearest_labels_by_hand(catalog):
    """a has the mean (1/2, 1/2), b (3/5, 4/5); d points nowhere, and has a mean cosine of zero with everybody."""
    closeness = Closeness(catalog)
    assert closeness.nearest_speakers(SPEAKER, "c/a") == near([("c/b", 0.7), ("c/d", 0)])
    assert closeness.nearest_speakers(SPEAKER, "c/b", k=1) == near([("c/a", 0.7)])
    assert closeness.nearest_speakers(UTTERANCE, "d/2") == near([("c/a", 0.5**0.5), ("c/b", 0.6)])
    assert closeness.nearest_speakers(UTTERANCE, "a/1") == near([("c/b", 0.6)])
    assert closeness.nearest_speakers(UTTERANCE, "z/1") == closeness.nearest_speakers(SPEAKER, "c/z") == []
    assert closeness.nearest_speakers(SPEAKER, "nobody") == closeness.nearest_speakers(UTTERANCE, "c/a") == []
    with pytest.raises(ValueError, match="expected a speaker or an utterance"):
        closeness.nearest_speakers(PAIR, "c/a")


def test_a_label_is_what_verdicts_leave_under_it_and_reviewers_have_the_last_word(catalog):
    decide(catalog, "d/1", "drop")
    assert Closeness(catalog).nearest_speakers(SPEAKER, "c/b") == near([("c/a", 0.7), ("c/d", 0.6)])
    decide(catalog, "a/1", "relabel", "c/z")  # so that a label has a vector that none came with
    closeness = Closeness(catalog)
    assert closeness.nearest_speakers(SPEAKER, "c/b") == near([("c/a", 0.8), ("c/d", 0.6), ("c/z", 0.6)])
    assert closeness.nearest_speakers(UTTERANCE, "a/1") == near([("c/d", 1), ("c/z", 1), ("c/b", 0.6)])
    decide(catalog, "a/1", "keep", step="review")
    assert Closeness(catalog).nearest_speakers(SPEAKER, "c/b") == near([("c/a", 0.7), ("c/d", 0.6)])
    decide(catalog, "d/1", "keep", step="review")
    assert Closeness(catalog).nearest_speakers(SPEAKER, "c/b") == near([("c/a", 0.7), ("c/d", 0)])


def test_of_a_label_of_which_nothing_is_left_all_that_it_came_with_counts(catalog):
    decide(catalog, "b/1", "drop")
    decide(catalog, "a/2", "relabel", "c/b")
    decide(catalog, "a/1", "drop")
    closeness = Closeness(catalog)
    assert closeness.nearest_speakers(SPEAKER, "c/a") == near([("c/b", 0.5), ("c/d", 0)])


def test_it_is_read_once_and_only_when_something_is_asked(catalog, tmp_path):
    unread = Closeness(Catalog(tmp_path / "nowhere"))
    with pytest.raises(CatalogError, match="expected a catalog"):
        unread.matrix([])
    closeness = Closeness(catalog)
    decide(catalog, "d/1", "drop")
    told = closeness.nearest_speakers(SPEAKER, "c/b")
    decide(catalog, "a/1", "drop")
    assert closeness.nearest_speakers(SPEAKER, "c/b") == told == near([("c/a", 0.7), ("c/d", 0.6)])


def test_before_anything_was_heard_nothing_is_near_and_of_two_extractors_none_is_meant(catalog):
    catalog.publish(EMBEDDINGS, catalog.read(EMBEDDINGS, "x"), part="y", fingerprint="f")
    with pytest.raises(CatalogError, match="embeddings of x and y; expected those of one extractor"):
        Closeness(catalog).matrix(["a/1"])
    for part in ("x", "y"):
        catalog.path(EMBEDDINGS, part).unlink()
    closeness = Closeness(catalog)
    assert np.isnan(closeness.matrix(["a/1"])).all()
    assert closeness.nearest_speakers(SPEAKER, "c/a") == closeness.nearest_speakers(UTTERANCE, "a/1") == []


whole = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)


@settings(max_examples=15)  # each writes a catalog
@given(st.lists(st.tuples(st.sampled_from("abcd"), whole), min_size=1, max_size=10))
def test_cosines_are_those_of_a_plain_loop(tmp_path_factory, rows):
    labelled = {f"{label}{number}": (f"s/{label}", vector) for number, (label, vector) in enumerate(rows)}
    closeness = Closeness(filled(tmp_path_factory.mktemp("catalog"), labelled))
    ids = list(labelled)[::-1]
    unit = {one: np.array(vector) / np.linalg.norm(vector) for one, (_, vector) in labelled.items()}
    expected = [[float(unit[one] @ unit[other]) for other in ids] for one in ids]
    np.testing.assert_allclose(closeness.matrix(ids), expected, atol=1e-6)
    of = {label: [unit[one] for one in ids if labelled[one][0] == label] for label, _ in labelled.values()}
    one = ids[0]
    own = labelled[one][0]
    of_pairs = {label: np.mean([v @ w for v in of[own] for w in of[label]]) for label in of if label != own}
    assert dict(closeness.nearest_speakers(SPEAKER, own)) == pytest.approx(of_pairs, abs=1e-6)
    sums = {label: np.sum(of[label], axis=0) for label in of if label != own}
    pointing = {label: total for label, total in sums.items() if np.linalg.norm(total) > 1e-5}
    told = closeness.nearest_speakers(UTTERANCE, one)
    assert dict(told) == pytest.approx(
        {label: unit[one] @ total / np.linalg.norm(total) for label, total in pointing.items()}, abs=1e-5
    )
    assert [cosine for _, cosine in told] == sorted((cosine for _, cosine in told), reverse=True)
