"""What `benchmarks.score_files` promises: every form gives back the scores, and each slip is one line that names it."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import score_files
from benchmarks.score_files import form_of, read_list, scores_of
from curate.errors import ListError
from tests.benchmarks.scores_made import gaussian, names_of, write_scores

TEXT_FORMS = ["kaldi", "wespeaker", "as-norm", "speechbrain", "voxceleb_trainer"]
PAIRS = [("a/1.wav", "a/2.wav"), ("a/1.wav", "b/1.wav"), ("b/1.wav", "c/1.wav")]
TARGETS = [True, False, False]
KALDI = ["a/1.wav a/2.wav 0.9", "a/1.wav b/1.wav 0.1", "b/1.wav c/1.wav -0.2"]


def trials(pairs=PAIRS, is_target=TARGETS):
    enrol, test = zip(*pairs, strict=True)
    return pa.table({"enrol_id": list(enrol), "test_id": list(test), "is_target": pa.array(is_target)})


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "scores.txt"
        path.write_bytes(content if isinstance(content, bytes) else ("\n".join(content) + "\n").encode())
        return path

    return write


@pytest.mark.parametrize("form", TEXT_FORMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_form_gives_the_scores_back_whatever_their_order(form, seed, tmp_path, monkeypatch):
    monkeypatch.setattr(score_files, "BYTES_AT_ONCE", 2_000)  # in many blocks
    scores, is_target = gaussian(seed, num_trials=500)
    pairs = names_of(500, seed=seed)
    order = np.random.default_rng(seed).permutation(500)
    path = tmp_path / f"{form}.txt"
    path.write_text(write_scores(form, [pairs[at] for at in order], scores[order], is_target[order]))
    assert form_of(path) == ("wespeaker" if form == "as-norm" else form)
    np.testing.assert_array_equal(scores_of(trials(pairs, is_target), path), scores)


@pytest.mark.parametrize("with_labels", [True, False])
def test_parquet_gives_the_scores_back(with_labels, tmp_path):
    scores, is_target = gaussian(3, num_trials=300)
    asked = trials(names_of(300), is_target)
    columns = asked.select(["enrol_id", "test_id", "is_target"] if with_labels else ["enrol_id", "test_id"])
    path = tmp_path / "scores.bin"  # told by what it holds
    pq.write_table(columns.append_column("score", pa.array(scores, pa.float32())).slice(100), path)
    assert form_of(path) == "parquet"
    np.testing.assert_array_equal(scores_of(asked.slice(100), path), scores[100:].astype(np.float32))


def test_a_list_is_read_with_its_names_held_once_and_its_scores_found(tmp_path):
    scores, is_target = gaussian(5, num_trials=200)
    pairs = names_of(200)
    as_voxceleb, as_kaldi = tmp_path / "voxceleb.txt", tmp_path / "kaldi.txt"
    rows = list(zip(pairs, is_target.tolist(), strict=True))
    as_voxceleb.write_text("".join(f"{int(target)} {enrol} {test}\n" for (enrol, test), target in rows))
    as_kaldi.write_text("".join(f"{enrol} {test} {'' if target else 'non'}target\n" for (enrol, test), target in rows))
    path = tmp_path / "scores"
    path.write_text(write_scores("kaldi", pairs, scores, is_target))
    for one in (as_voxceleb, as_kaldi):
        asked = read_list(one)
        assert asked.cast(trials().schema).to_pylist() == trials(pairs, is_target).to_pylist()
        np.testing.assert_array_equal(scores_of(asked, path), scores)


def test_ids_of_a_catalog_are_found_under_the_names_of_its_lists_too(file):
    asked = trials([("c/a1", "c/a2"), ("c/a1", "c/b1"), ("c/b1", "model-1")])
    names = {"c/a1": "c/a1.flac", "c/a2": "c/a2.flac", "c/b1": "c/b1.flac", "model-1": "model-1"}
    path = file(["c/b1.flac model-1 3", "c/a1.flac c/a2.flac 1", "c/a1 c/b1 2"])
    assert scores_of(asked, path, names=names).tolist() == [1, 2, 3]


def test_tabs_blank_lines_and_ends_of_windows_are_read(file):
    path = file(b"a/1.wav\ta/2.wav\t1e-3\r\n\r\na/1.wav\tb/1.wav\t-2\r\nb/1.wav\tc/1.wav\t+.5\r\n")
    assert scores_of(trials(), path).tolist() == [0.001, -2, 0.5]


def test_a_pair_that_a_list_has_twice_needs_its_score_twice(file):
    asked = trials([*PAIRS, PAIRS[1]], [*TARGETS, False])
    assert scores_of(asked, file([*KALDI, KALDI[1]])).tolist() == [0.9, 0.1, -0.2, 0.1]
    with pytest.raises(ListError, match=r"a/1\.wav b/1\.wav: repeated, and not as often as in the list"):
        scores_of(asked, file(KALDI))
    with pytest.raises(ListError, match=r"a/1\.wav b/1\.wav: repeated with another score; expected one score"):
        scores_of(asked, file([*KALDI, "a/1.wav b/1.wav 0.2"]))
    with pytest.raises(ListError, match=r"a/1\.wav b/1\.wav: target and nontarget in the list"):
        scores_of(trials([*PAIRS, PAIRS[1]], [*TARGETS, True]), file([*KALDI, KALDI[1]]))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (KALDI[:1], "a/1.wav b/1.wav: a trial without a score (2 in all); expected one of every trial"),
        (KALDI[1:], "a/1.wav a/2.wav: a trial without a score; expected"),
        (
            [*KALDI, "c/1.wav d/1.wav 1", "e a/2.wav 1", "e f 1"],
            "c/1.wav d/1.wav: a score of no trial (3 in all); expected",
        ),
        ([*KALDI, "a/2.wav a/1.wav 1"], "a/2.wav a/1.wav: a score of no trial; expected those of the list alone"),
        ([*KALDI, *KALDI], "a/1.wav a/2.wav: repeated, and not as often as in the list (6 in all)"),
        ([*KALDI[:2], "b/1.wav c/1.wav nan"], "b/1.wav c/1.wav: its score is not a finite number; expected numbers"),
        (["a/1.wav a/2.wav inf", *KALDI[1:]], "a/1.wav a/2.wav: its score is not a finite number; expected numbers"),
        ([*KALDI[:2], "b/1.wav c/1.wav 0,5"], ":3: 'b/1.wav c/1.wav 0,5'; expected"),
        ([*KALDI, "a/1.wav b/1.wav"], ":4: 'a/1.wav b/1.wav'; expected"),
        ([*KALDI, "a/1.wav  b/1.wav 0.1"], ":4: 'a/1.wav  b/1.wav 0.1'; expected `enrol test score`, divided by one"),
        (
            [f"{one} {kind}target" for one, kind in zip(KALDI, ("", "", "non"), strict=True)],
            "a/1.wav b/1.wav: its label is not that of the list; expected the same labels",
        ),
        (
            [f"{one} nontarget" for one in KALDI],
            "a/1.wav a/2.wav: its label is not that of the list; expected the same labels",
        ),
        (["a/1 a/2 1 0.9", "a/1 b/1 1 0.1", "b/1 c/1 1 0"], "its label is not that of the list (2 in all)"),
        ([f"{one} maybe" for one in KALDI], ":1: 'a/1.wav a/2.wav 0.9 maybe'; expected `enrol test score`, "),
        (["1 0 a b c"], ":1: '1 0 a b c'; expected"),
    ],
)
def test_a_slip_is_one_line_with_the_first_offender_and_how_many(lines, told, file):
    path = file(lines)
    with pytest.raises(ListError) as error:
        scores_of(trials(), path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_line_that_is_wrong_beyond_what_is_looked_at_is_found(file):
    pairs = [(f"a/{i}", f"b/{i}") for i in range(3_000)]
    lines = [f"{enrol} {test} {at}" for at, (enrol, test) in enumerate(pairs)]
    asked = trials(pairs, [True] * 3_000)
    assert scores_of(asked, file(lines))[-1] == 2_999
    for wrong in ("a/2500 b/2500 x", "a/2500 b/2500", "a/2500 b/2500 1 2", "a/2500 b/2500 ", "a/2500  2"):
        with pytest.raises(ListError, match=re.escape(f":2501: {wrong!r}; expected `enrol test score`")):
            scores_of(asked, file([*lines[:2500], wrong, *lines[2501:]]))


def test_where_two_forms_fit_it_must_be_said(file):
    pairs = [("1", "2"), ("1", "3")]
    asked = trials(pairs, [True, False])
    path = file(["1 2 0.5", "1 3 0.25"])
    with pytest.raises(ListError, match=r"'1 2 0\.5' is a line of kaldi and of voxceleb_trainer; expected `--form`"):
        scores_of(asked, path)
    assert scores_of(asked, path, form="kaldi").tolist() == [0.5, 0.25]
    path = file(["0.5 1 2", "0.25 1 3"])
    assert scores_of(asked, path, form="voxceleb_trainer").tolist() == [0.5, 0.25]
    with pytest.raises(ListError, match=r"^form 'csv'; expected one of kaldi, wespeaker"):
        scores_of(asked, path, form="csv")


def test_a_name_that_looks_like_a_number_to_python_is_a_name(file):
    asked = trials([("1688_142285", "a"), ("1688_142285", "b")], [True, False])
    assert scores_of(asked, file(["1688_142285 a 1", "1688_142285 b 2"])).tolist() == [1, 2]


def test_a_form_that_is_said_and_is_not_that_of_the_file_is_refused_by_line(file):
    for form in ("wespeaker", "speechbrain", "voxceleb_trainer"):
        with pytest.raises(ListError, match=r":1: 'a/1\.wav a/2\.wav 0\.9'; expected `"):
            scores_of(trials(), file(KALDI), form=form)
    with pytest.raises(ListError, match="expected Parquet with columns enrol_id, test_id, score"):
        scores_of(trials(), file(KALDI), form="parquet")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00a b 1\n"])
@pytest.mark.parametrize("form", [None, "kaldi"])
def test_a_file_of_nothing_or_no_text_is_refused(content, form, file):
    path = file(content)
    with pytest.raises(ListError, match=re.escape(str(path))):
        scores_of(trials(), path, form=form)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for form in (None, "kaldi", "parquet"):
        with pytest.raises(ListError, match=r"none\.txt: No such file"):
            scores_of(trials(), tmp_path / "none.txt", form=form)


def test_parquet_without_its_columns_or_with_nulls_is_refused(tmp_path):
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table({"enrol_id": ["a/1.wav"], "score": [0.5]}), path)
    with pytest.raises(ListError, match="no column 'test_id'; expected enrol_id, test_id, score"):
        scores_of(trials(), path)
    score = pa.array([0.5, None, 1.0])
    pq.write_table(trials().append_column("score", score), path)
    with pytest.raises(ListError, match="1 scores are null; expected numbers"):
        scores_of(trials(), path)
    pq.write_table(trials().slice(3).append_column("score", score.slice(3)), path)
    with pytest.raises(ListError, match="0 scores of 3 trials; expected one of every trial"):
        scores_of(trials(), path)


def test_speechbrain_must_leave_names_apart(file):
    asked = trials([("a/1.one.wav", "b"), ("a/1.two.wav", "b")], [True, False])
    with pytest.raises(ListError, match=r"cuts names at the first dot, and two of the list are 'a/1' then"):
        scores_of(asked, file(["a/1 b 1 0.5", "a/1 b 0 0.5"]))


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_list_comes_back_from_any_order(data, tmp_path_factory):
    pairs = data.draw(st.lists(st.tuples(*[st.sampled_from("abcd")] * 2), min_size=1, max_size=16, unique=True))
    scores = data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(pairs), max_size=len(pairs)))
    order = data.draw(st.permutations(range(len(pairs))))
    path = tmp_path_factory.mktemp("scores") / "scores"
    path.write_text("".join(f"{' '.join(pairs[at])} {scores[at]!r}\n" for at in order))
    found = scores_of(trials(pairs, [True] * len(pairs)), path)
    assert found.tolist() == scores


@pytest.mark.parametrize("of_list", ["e\u0301", "\u00e9"])
@pytest.mark.parametrize("of_scores", ["e\u0301", "\u00e9"])
def test_names_are_the_same_in_any_form_of_unicode(of_list, of_scores, file, tmp_path):
    (tmp_path / "list.txt").write_text(f"1 {of_list} b\n0 b {of_list}\n")
    path = file([f"b {of_scores} 0.25", f"{of_scores} b 0.5"])
    for asked in (read_list(tmp_path / "list.txt"), trials([(of_list, "b"), ("b", of_list)], [True, False])):
        assert scores_of(asked, path).tolist() == [0.5, 0.25]


@pytest.mark.parametrize("lines", [["a b 0.5", "a c 0.25"], ["0.5 a b", "0.25 a c"]])
def test_a_mark_of_utf_8_is_no_part_of_the_first_field(lines, file):
    path = file("\n".join(lines).encode("utf-8-sig"))
    assert scores_of(trials([("a", "b"), ("a", "c")], [True, False]), path).tolist() == [0.5, 0.25]


@pytest.mark.parametrize(("line", "form"), [(" ", "kaldi"), ("a b \u0661.5", "kaldi"), (" ", None)])
def test_the_line_that_cannot_be_read_is_named_even_if_nothing_is_to_be_seen_there(line, form, file):
    path = file(["a b 0.5", "a c 0.25", line])
    with pytest.raises(ListError, match=rf"scores\.txt:3: '{line if form else ''}'; expected"):
        scores_of(trials([("a", "b"), ("a", "c")], [True, False]), path, form=form)
