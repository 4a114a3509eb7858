"""What the choice of a rule promises: large corpora are judged by themselves, small ones together, each row once."""

from dataclasses import astuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.cleaning import MIN_UTTERANCES, clean, judged_together
from curate.decisions import Author
from curate.errors import PipelineError
from curate.presets import Robust, VietSV
from curate.robust import clean_robust

AUTHOR = Author(rule="toy", step="clean", run_id="r")


def say(corpus: str, num_labels: int, num_each: int, *, wrong: int = 0, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """A corpus of voices, of which the first `wrong` utterances bear the next label; and its vectors."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(num_labels), num_each)
    vectors = rng.normal(size=(num_labels, 32))[speaker] + 0.4 * rng.normal(size=(len(speaker), 32))
    label = np.where(np.arange(len(speaker)) < wrong, (speaker + 1) % num_labels, speaker)
    columns = {
        "utterance_id": [f"{corpus}/{at:04}" for at in range(len(speaker))],
        "corpus": [corpus] * len(speaker),
        "speaker_id": [f"{corpus}/s{one:02}" for one in label],
        "session_id": [None] * len(speaker),
    }
    rows = pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))
    return rows, np.float32(vectors)


def judge(*corpora: tuple[pa.Table, np.ndarray], order: np.ndarray | None = None):
    rows, vectors = pa.concat_tables(rows for rows, _ in corpora), np.concatenate([vectors for _, vectors in corpora])
    order = np.arange(len(rows)) if order is None else order
    return clean(rows.take(pa.array(order)), vectors[order], settings=Robust(), min_one_person=None, author=AUTHOR)


def told(found) -> list[dict]:
    return sorted(found.decisions.to_pylist(), key=lambda row: (row["subject"], row["subject_id"]))


def test_a_large_corpus_is_judged_by_itself_whatever_others_there_are():
    one, two = say("one", 6, 40, wrong=7), say("two", 5, 50, wrong=4, seed=1)
    alone = clean_robust(*one, settings=Robust(), author=AUTHOR)
    both = judge(one, two)
    of_one = [row for row in told(both) if row["subject_id"].startswith("one/")]
    assert of_one == told(alone)
    gone = [row["subject_id"] for row in of_one if row["verdict"] == "drop"]
    assert gone == [f"one/{at:04}" for at in range(7)]


def test_small_corpora_are_judged_together():
    few, fewer, large = say("few", 3, 80), say("fewer", 8, 5, seed=1), say("large", 5, 40, seed=2)
    rows, vectors = (pa.concat_tables([few[0], fewer[0]]), np.concatenate([few[1], fewer[1]]))
    together = clean_robust(rows, vectors, settings=Robust(), author=AUTHOR)
    found = judge(few, fewer, large)
    assert [row for row in told(found) if not row["subject_id"].startswith("large/")] == told(together)


@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60)), max_size=5), seed=st.integers(0, 2**32 - 1))
def test_every_row_is_in_one_group_and_every_large_corpus_is_one(sizes, seed):
    corpora = [say(f"c{at}", *size)[0] for at, size in enumerate(sizes)]
    rows = pa.concat_tables([*corpora, say("none", 0, 1)[0]])
    rows = rows.take(pa.array(np.random.default_rng(seed).permutation(len(rows))))
    groups = judged_together(rows)
    assert sorted(row for group in groups for row in group.tolist()) == list(range(len(rows)))
    names = [set(rows["corpus"].take(pa.array(group)).to_pylist()) for group in groups]
    large = {f"c{at}" for at, (labels, each) in enumerate(sizes) if labels >= 5 and labels * each >= MIN_UTTERANCES}
    assert {min(group) for group in names if group and group <= large} == large
    assert all(len(group) == 1 for group in names if group & large)
    assert len([group for group in names if not group & large]) <= 1


def verdicts_in(order: np.ndarray | None) -> list[list]:
    """Of a large and a small corpus; scores may differ in their last digits."""
    found = judge(say("one", 6, 40, wrong=7), say("few", 3, 10, seed=1), order=order)
    return [[row[key] for key in ("subject", "subject_id", "other_id", "verdict", "reason")] for row in told(found)]


@pytest.fixture(scope="module")
def plain():
    return verdicts_in(None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_verdicts_do_not_depend_on_the_order_of_rows(plain, seed):
    assert verdicts_in(np.random.default_rng(seed).permutation(270)) == plain


def test_without_utterances_there_are_no_verdicts():
    assert len(judge(say("one", 0, 1)).decisions) == 0


def test_the_paper_needs_a_threshold():
    with pytest.raises(PipelineError, match="min_speaker_similarity: nobody has measured this encoder's"):
        clean(*say("one", 2, 3), settings=VietSV(), min_one_person=None, author=AUTHOR)


@pytest.mark.parametrize("settings", [Robust(), VietSV(min_speaker_similarity=0.4)])
@pytest.mark.parametrize("mixed", [False, True])
def test_vectors_that_may_be_overwritten_give_the_same(settings, mixed):
    rows, vectors = (both(say("one", 6, 40, wrong=7), say("two", 5, 50, seed=1), at) for at in (0, 1))
    order = np.random.default_rng(0).permutation(len(rows)) if mixed else np.arange(len(rows))
    rows, vectors = rows.take(pa.array(order)), vectors[order]
    found = [
        clean(rows, given, settings=settings, min_one_person=None, author=AUTHOR, overwrite=overwrite)
        for given, overwrite in ((vectors, False), (vectors.copy(), True))
    ]
    assert astuple(found[0]) == astuple(found[1])


def both(one, two, at):
    return pa.concat_tables([one[at], two[at]]) if at == 0 else np.concatenate([one[at], two[at]])
