"""What an utterance may say of itself, and how ages and sexes are read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.corpora.described import Described, age_of, files_in, sex_of
from curate.errors import CorpusError


@pytest.mark.parametrize(
    ("word", "years"),
    [
        ("34", (34, 34)),
        (" 34.0 ", (34, 34)),
        ("30-39", (30, 39)),
        ("30 – 39", (30, 39)),
        ("teens", (10, 19)),
        ("Twenties", (20, 29)),
        ("forties", (40, 49)),
        ("fourties", (40, 49)),  # as Common Voice writes it
        ("nineties", (90, 99)),
        ("60+", (60, 120)),
        (" 18 + ", (18, 120)),
        ("120+", (120, 120)),
        ("", None),
        (None, None),
        ("  ", None),
    ],
)
def test_an_age_is_the_youngest_and_oldest_that_its_word_allows(word, years):
    assert age_of(word) == years


@pytest.mark.parametrize(
    "word", ["old", "34.5", "-3", "1234", "30-", "30-39-50", "nan", "30 years", "tens", "+", "60++", "130+", "30-39+"]
)
def test_a_word_that_is_no_age_is_refused(word):
    with pytest.raises(CorpusError, match=r"^age '.*'; expected years \(34\), a range \(30-39, 60\+\) or a decade"):
        age_of(word)


@given(st.text(max_size=12))
def test_any_word_is_an_age_or_a_corpus_error(word):
    try:
        years = age_of(word)
    except CorpusError:
        return
    assert years is None or 0 <= years[0] <= years[1]


@pytest.mark.parametrize(
    ("words", "sex"),
    [
        (["f", " F ", "female", "Woman", "female_feminine"], "female"),
        (["m", "M", "male", "MAN"], "male"),
        (["", None, "other", "x"], None),
    ],
)
def test_a_sex_is_female_or_male_or_not_said(words, sex):
    assert {sex_of(word) for word in words} == {sex}


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.wav", "a/../../x.wav", "a/..", "", "."])
def test_a_path_that_leaves_the_corpus_is_refused(path):
    with pytest.raises(CorpusError, match="leaves the corpus; expected one below its root"):
        Described(path=path, speaker="s")


@pytest.mark.parametrize("path", ["a\0b.wav", b"m\xfcller/a.wav".decode("utf-8", "surrogateescape")])
def test_a_path_that_is_no_text_is_refused_in_words_that_can_be_printed(path):
    with pytest.raises(CorpusError, match=": says what is no text; expected names and words in UTF-8") as caught:
        Described(path=path, speaker="s")
    assert str(caught.value).encode().isascii()


def test_a_speaker_without_a_label_is_refused():
    with pytest.raises(CorpusError, match=r"^a\.wav: no speaker; expected a label$"):
        Described(path="a.wav", speaker="")


@pytest.mark.parametrize(
    "stretch",
    [{"start_s": -0.1}, {"start_s": math.nan}, {"start_s": math.inf}]
    + [{"duration_s": duration_s} for duration_s in (0.0, -1.0, math.nan, math.inf)],
    ids=str,
)
def test_a_stretch_that_cannot_be_is_refused(stretch):
    with pytest.raises(CorpusError, match=rf"^a\.wav: {next(iter(stretch))} .*; expected "):
        Described(path="a.wav", speaker="s", **stretch)


@pytest.mark.parametrize(
    ("said", "utterance"),
    [
        ({"path": "a/b.wav"}, "a/b"),
        ({"path": "./a//b.c.wav"}, "a/b.c"),
        ({"path": "a b/c\td.wav"}, "a%20b/c%20d"),
        ({"path": "a.wav", "name": "call 7"}, "call%207"),
        ({"path": "tiếng/Việt.flac"}, "tiếng/Việt"),
        ({"path": "a/b.wav", "start_s": 12.5}, "a/b-0012500"),
        ({"path": "a/b.wav", "start_s": 0.0}, "a/b-0000000"),
        ({"path": "a/b.wav", "duration_s": 2.0}, "a/b-0000000"),
        ({"path": "a/b.wav", "start_s": 0.0006}, "a/b-0000001"),
        ({"path": "a/b.wav", "start_s": 99999.0}, "a/b-99999000"),
        ({"path": "a/b.wav", "start_s": 12.5, "name": "call"}, "call"),
    ],
)
def test_an_utterance_is_called_by_its_name_or_its_path_without_suffix_and_blanks_and_a_stretch_by_its_start(
    said, utterance
):
    assert Described(speaker="s", **said).utterance == utterance


def test_files_come_in_order_without_folders_but_with_links_that_lead_nowhere(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "a.wav").touch()
    (tmp_path / "z.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    assert [file.name for file in files_in(tmp_path, "z*", "*.wav")][:3] == ["a.wav", "gone.wav", "z.wav"]
    assert tmp_path / "folder.wav" not in files_in(tmp_path, "*")
