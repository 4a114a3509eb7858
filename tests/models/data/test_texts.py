"""What texts become codes, and codes texts: by hand, and for any text that a vocabulary is made of."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.words import normalised
from curate.errors import TrainingError
from models.data.texts import BLANK, LIBRISPEECH, WORD_BOUNDARY, Vocabulary

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


def test_the_vocabulary_of_librispeech_is_a_blank_a_boundary_an_apostrophe_and_26_letters():
    assert len(LIBRISPEECH) == 29
    assert LIBRISPEECH.letters == "'ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert (BLANK, WORD_BOUNDARY) == (0, 1)


def test_a_text_is_encoded_as_it_is_scored():
    found = LIBRISPEECH.encoded(["It's  a-Bee!"])
    assert [codes.tolist() for codes in found.codes] == [[11, 22, 2, 21, 1, 3, 1, 4, 7, 7]]
    assert found.codes[0].dtype == np.int64
    assert found.told() is None


def test_what_cannot_be_written_is_left_out_whole_and_told():
    found = LIBRISPEECH.encoded(["ONE", None, " ?! ", "CAFÉ 22", "été", "TWO"])
    assert [len(codes) for codes in found.codes] == [3, 0, 0, 0, 0, 3]
    assert all(codes.dtype == np.int64 for codes in found.codes)
    assert (found.num_silent, found.num_outside) == (2, 2)
    assert found.outside == {"É": 3, "2": 2}
    assert found.told() == (
        "4 utterances of 6 left out of reading: 2 without a text, 2 with characters outside the vocabulary (É 3, 2 2)"
    )


def test_of_many_characters_outside_the_most_frequent_are_told():
    letters = "ÀÁÂÃÄÅÆÇÈÉÊË"
    told = Vocabulary("A").encoded([letters, "ÈÈ"]).told()
    assert told.endswith("(È 3, À 1, Á 1, Â 1, Ã 1, Ä 1, Å 1, Æ 1, Ç 1, É 1, ...)")


def test_frames_are_decoded_by_hand():
    """b: blank, _: boundary. `b A A b A _ _ B b B b` is AA BB."""
    assert Vocabulary("AB").decoded(np.array([0, 2, 2, 0, 2, 1, 1, 3, 0, 3, 0])) == "AA BB"
    assert Vocabulary("AB").decoded(np.array([1, 0, 1, 2, 1, 0, 1])) == "A"
    assert Vocabulary("AB").decoded(np.array([0, 0])) == ""
    assert Vocabulary("AB").decoded(np.array([], np.int64)) == ""


def test_a_vocabulary_of_texts_has_what_occurs_in_them():
    assert Vocabulary.of(["Đi đâu?", None, "ở nhà"]) == Vocabulary("HINUÀÂĐỞ")
    with pytest.raises(TrainingError, match="no text has a word; expected some"):
        Vocabulary.of([None, "...", ""])


@pytest.mark.parametrize(
    ("letters", "complaint"),
    [
        ("", "letters ''; expected some, each once"),
        ("ABA", "letters 'ABA'; expected some, each once"),
        ("AB ", "' ' is in no text; expected capitals"),
        ("AbC", "'b' is in no text"),
        ("A-", "'-' is in no text"),
    ],
)
def test_letters_that_no_text_has_are_refused(letters, complaint):
    with pytest.raises(TrainingError, match=re.escape(complaint)):
        Vocabulary(letters)


@given(texts=st.lists(TEXTS, min_size=1, max_size=4), data=st.data())
def test_any_text_comes_back_from_any_path_that_writes_it(texts, data):
    plain = [normalised(text) for text in texts]
    if not any(plain):
        return
    vocabulary = Vocabulary.of(texts)
    found = vocabulary.encoded(texts)
    assert found.num_outside == 0
    assert found.num_silent == plain.count("")
    for codes, expected in zip(found.codes, plain, strict=True):
        path, before = [BLANK] * data.draw(st.integers(0, 2)), BLANK
        for code in codes.tolist():
            least = 1 if code == before else 0
            path += [BLANK] * data.draw(st.integers(least, 2)) + [code] * data.draw(st.integers(1, 3))
            before = code
        assert vocabulary.decoded(np.array(path, np.int64)) == expected


@given(codes=st.lists(st.integers(0, 4), max_size=30))
def test_what_is_written_by_any_frames_is_what_a_loop_reads(codes):
    written, before = [], None
    for code in codes:
        if code not in (before, BLANK):
            written.append(("", " ", "A", "B", "C")[code])
        before = code
    assert Vocabulary("ABC").decoded(np.array(codes, np.int64)) == " ".join("".join(written).split())
