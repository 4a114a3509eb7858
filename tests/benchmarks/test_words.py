"""Word and character error rates: by hand, against a distance of our own, and with intervals over people."""

import unicodedata

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.intervals import estimate
from benchmarks.words import character_edits, error_rate, normalised, word_edits
from curate.errors import ListError

SPOKEN = st.lists(st.sampled_from(["AN", "ANN", "BAO", "CHI", "'TIS"]), min_size=1, max_size=7).map(" ".join)
HEARD = st.lists(st.sampled_from(["AN", "ANN", "BAO", "DŨNG"]), max_size=7).map(" ".join)


def distance(reference, hypothesis):
    """Levenshtein's, row by row, of two sequences of anything."""
    row = list(range(len(hypothesis) + 1))
    for number, said in enumerate(reference, start=1):
        before, row[0] = row[0], number
        for place, heard in enumerate(hypothesis, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (said != heard))
    return row[-1]


def kinds(edits):
    return [column.tolist() for column in (edits.substitutions, edits.deletions, edits.insertions, edits.num_reference)]


def test_by_hand_each_kind_of_edit_is_counted_for_each_utterance():
    references = ["the cat sat on the mat", "yes", "a b c", "one two"]
    hypotheses = ["the cat sit on mat", "oh yes", "", "one two"]
    edits = word_edits(references, hypotheses)
    assert kinds(edits) == [[1, 0, 0, 0], [1, 0, 3, 0], [0, 1, 0, 0], [6, 1, 3, 2]]
    assert edits.total.tolist() == [2, 1, 3, 0]
    assert error_rate(edits.total, edits.num_reference) == 6 / 12  # not the mean of 2/6, 1/1, 3/3 and 0/2


def test_by_hand_characters_are_those_of_the_normalised_text_with_its_blanks():
    edits = character_edits(["a cat!", "no"], ["acat", "know"])
    assert kinds(edits) == [[0, 0], [1, 0], [0, 2], [5, 2]]
    assert error_rate(edits.total, edits.num_reference) == 3 / 7


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ('It\u2019s  "to-day",\tMr. O\'Neil!', "IT'S TO DAY MR O'NEIL"),
        ("MISTER QUILTER IS THE APOSTLE", "MISTER QUILTER IS THE APOSTLE"),
        ("'tis ' the dogs'", "'TIS THE DOGS'"),
        ("tiếng Việt, được không?", "TIẾNG VIỆT ĐƯỢC KHÔNG"),
        (unicodedata.normalize("NFD", "tiếng Việt"), "TIẾNG VIỆT"),
        ("नमस्ते दुनिया।", "नमस्ते दुनिया"),  # vowels are marks
        ("Straße", "STRASSE"),
        ("한국어 42%", "한국어 42"),
        ("co\u00adop \ufeffnaïve", "COOP NAÏVE"),
        ("… — ''", ""),
        ("I ❤\ufe0f you", "I YOU"),  # the mark that colours the heart is no word
    ],
)
def test_texts_are_normalised_as_librispeech_writes_them(text, plain):
    assert normalised(text) == plain


@given(st.text())
def test_what_is_normalised_stays_as_it_is_and_holds_words_alone(text):
    plain = normalised(text)
    assert normalised(plain) == plain == " ".join(plain.split())
    assert all(one in " '" or unicodedata.category(one)[0] in "LMN" for one in plain)


@given(st.lists(st.tuples(SPOKEN, HEARD), min_size=1, max_size=6))
def test_edits_are_the_fewest_and_their_kinds_add_up(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    for edits, divided in (
        (word_edits(references, hypotheses), str.split),
        (character_edits(references, hypotheses), list),
    ):
        said, heard = ([divided(text) for text in texts] for texts in (references, hypotheses))
        assert edits.total.tolist() == [distance(*pair) for pair in zip(said, heard, strict=True)]
        assert edits.num_reference.tolist() == [len(one) for one in said]
        grown = edits.insertions - edits.deletions
        assert grown.tolist() == [len(other) - len(one) for one, other in zip(said, heard, strict=True)]


@given(st.lists(st.tuples(SPOKEN, HEARD), min_size=1, max_size=6))
def test_the_rate_of_the_corpus_is_what_jiwer_says_of_it(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    words, characters = word_edits(references, hypotheses), character_edits(references, hypotheses)
    assert error_rate(words.total, words.num_reference) == pytest.approx(jiwer.wer(references, hypotheses), abs=1e-12)
    told = error_rate(characters.total, characters.num_reference)
    assert told == pytest.approx(jiwer.cer(references, hypotheses), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_weight_counts_an_utterance_so_often(rows):
    edits, num_reference, times = (np.array(column) for column in zip(*rows, strict=True))
    told = error_rate(edits, num_reference, weight=times.astype(float))
    if times.any():
        assert told == error_rate(np.repeat(edits, times), np.repeat(num_reference, times))
    else:
        assert np.isnan(told)


def test_an_interval_comes_from_drawing_people_anew():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(30), 20)
    num_reference = rng.integers(5, 20, len(people))
    edits = rng.binomial(num_reference, np.repeat(rng.beta(2, 18, 30), 20))  # people differ
    found = estimate(error_rate, edits, num_reference, [people], rng=np.random.default_rng(1))
    alone = estimate(error_rate, edits, num_reference, [np.arange(len(people))], rng=np.random.default_rng(1))
    assert found.value == edits.sum() / num_reference.sum()
    assert found.low < found.value < found.high
    assert found.high - found.low > 2 * (alone.high - alone.low)  # as if utterances of one person were independent


def test_what_defines_no_rate_is_an_error():
    with pytest.raises(ListError, match=r"^reference 1: '\.\.\.' has no word; expected some$"):
        word_edits(["a", "..."], ["a", "b"])
    with pytest.raises(ListError, match=r"^reference 0: ' ' has no word; expected some$"):
        character_edits([" "], ["a"], normalise=str)
    with pytest.raises(ListError, match=r"^2 references and 1 hypotheses; expected as many of both, above 0$"):
        word_edits(["a", "b"], ["a"])
    with pytest.raises(ListError, match=r"^0 references and 0 hypotheses"):
        word_edits([], [])


def test_a_normalisation_of_ones_own_takes_the_place_of_ours():
    assert word_edits(["Yes, no"], ["yes no"], normalise=str).total.tolist() == [1]
    assert word_edits(["Yes, no"], ["yes no"]).total.tolist() == [0]
